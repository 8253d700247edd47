//! Archives of one's own data: asked for, watched, fetched, deleted; in every state of one's memberships.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use platform::{ExportId, Timestamp};
use serde::Serialize;
use store::ExportState;
use utoipa::ToSchema;

use crate::app::App;
use crate::archive::OWNERS;
use crate::http::auth::{Access, Person};
use crate::http::content::send_bytes;
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::{Id, List};
use crate::http::video_object::Deleted;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/exports", Access::Person, create_export)
            .says("Asks for an archive of all that one has, or of some services. It is made in the background.")
            .reads::<CreateExport>(BodyKind::Json)
            .answers::<Export>(),
        get("/api/exports", Access::Person, list_exports).says("Lists one's archives.").answers_list::<Export>(),
        get("/api/exports/{id}", Access::Person, retrieve_export)
            .says("Reads how far an archive is.")
            .answers::<Export>(),
        get("/api/exports/{id}/content", Access::Person, retrieve_export_content)
            .says("Downloads an archive. Ranges work, so that a download that broke off goes on.")
            .answers_bytes(&["application/zip"])
            .in_ranges(),
        delete("/api/exports/{id}", Access::Person, delete_export).says("Deletes an archive.").answers::<Deleted>(),
    ]
}

/// What an archive is to hold.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateExport {
    /// `account`, `video`, `social`, `api`; all of them if it is not said.
    services: Option<Vec<String>>,
    /// Unix seconds: media made before are left out; none if it is not said.
    since: Option<i64>,
}

/// An archive.
#[derive(Serialize, ToSchema)]
pub(crate) struct Export {
    /// Its id.
    id: String,
    /// Always `export`.
    object: &'static str,
    /// What it holds.
    services: Vec<String>,
    /// Unix seconds: media made before are not in it; null if all are.
    since: Option<i64>,
    /// `waiting`, `reading`, `copying`, `sealing`, `ready` or `failed`.
    status: &'static str,
    /// Files that are done.
    files_done: u64,
    /// Files that it will have, as far as that is known.
    files_total: u64,
    /// Its size, once it is ready.
    bytes: Option<u64>,
    /// SHA-256 of it, hexadecimal, once it is ready.
    sha256: Option<String>,
    /// Why it failed, or did not get on.
    error: Option<String>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    ready_at: Option<i64>,
    /// Unix seconds at which it goes.
    expires_at: i64,
}

impl From<&store::Export> for Export {
    fn from(export: &store::Export) -> Self {
        Self {
            id: export.id.to_string(),
            object: "export",
            services: export.services.clone(),
            since: export.since.map(Timestamp::seconds),
            status: export.state.as_str(),
            files_done: export.done,
            files_total: export.total,
            bytes: export.size_bytes,
            sha256: export.sha256.clone(),
            error: export.error.clone(),
            created_at: export.asked_at.seconds(),
            ready_at: export.ready_at.map(Timestamp::seconds),
            expires_at: export.expires_at.seconds(),
        }
    }
}

pub(crate) async fn create_export(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<Export>, ApiError> {
    let asked = form.texts("services")?.unwrap_or_default();
    if let Some(unknown) = asked.iter().find(|word| !OWNERS.contains(&word.as_str())) {
        let shown: String = unknown.chars().take(80).collect();
        let message = format!("Invalid value for services: {shown:?}. Allowed: {}.", OWNERS.join(", "));
        return Err(ApiError::invalid("services", message));
    }
    let owners: Vec<&str> = if asked.is_empty() { OWNERS.to_vec() } else { asked.iter().map(String::as_str).collect() };
    let since = match form.field("since") {
        None => None,
        Some(Field::Text(text) | Field::Number(text)) => {
            let seconds = text.parse().ok().filter(|seconds| (0..=253_402_300_799).contains(seconds));
            let refused = || ApiError::invalid("since", "'since' must be Unix seconds.");
            Some(Timestamp::from_seconds(seconds.ok_or_else(refused)?))
        }
        Some(_) => return Err(ApiError::wrong_type("since", "a number")),
    };
    let id = app.archivist().ask_for_export(person.identity(), &owners, since).await?;
    Ok(Json(Export::from(&app.store.export(person.identity(), id).await?)))
}

async fn list_exports(State(app): State<App>, person: Person) -> Result<Json<List<Export>>, ApiError> {
    let exports = app.store.exports(person.identity()).await?;
    Ok(Json(List::new(exports.iter().map(Export::from).collect(), |export| export.id.clone(), false)))
}

async fn retrieve_export(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ExportId>,
) -> Result<Json<Export>, ApiError> {
    Ok(Json(Export::from(&app.store.export(person.identity(), id).await?)))
}

pub(crate) async fn retrieve_export_content(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ExportId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let export = app.store.export(person.identity(), id).await?;
    let Some(sha256) = export.sha256.as_deref().filter(|_| export.state == ExportState::Ready) else {
        return Err(ApiError::state(format!("This archive is {}: wait until it is ready.", export.state.as_str())));
    };
    let (archivist, name) = (app.archivist(), format!("misora-{}.zip", export.id));
    send_bytes(sha256, "application/zip", &name, &headers, |range| archivist.open_export(&export, range)).await
}

pub(crate) async fn delete_export(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ExportId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.delete_export(person.identity(), id, app.now()).await?;
    Ok(Json(Deleted::new(id, "export.deleted")))
}
