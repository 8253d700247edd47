//! Archives that someone brings: of this product, of another installation of it, or of something else.

use std::time::Duration;

use axum::Json;
use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{StatusCode, header};
use bytes::BytesMut;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use platform::{IdentityId, ImportId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::archive::ImportReport;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::page::{Id, List};
use crate::http::video_object::Deleted;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/imports", Access::Person, create_import)
            .says("Brings an archive: a ZIP in a form, or as the body itself. What is in it comes back in the background.")
            .reads::<CreateImport>(BodyKind::Form)
            .answers::<Import>(),
        get("/api/imports", Access::Person, list_imports)
            .says("Lists the archives that one brought.")
            .answers_list::<Import>(),
        get("/api/imports/{id}", Access::Person, retrieve_import)
            .says("Reads what came of an archive.")
            .answers::<Import>(),
        delete("/api/imports/{id}", Access::Person, delete_import)
            .says("Forgets an archive that one brought. What came back by it stays.")
            .answers::<Deleted>(),
    ]
}

/// An archive to bring.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateImport {
    /// The ZIP.
    #[schema(format = Binary)]
    file: String,
}

/// An archive that was brought.
#[derive(Serialize, ToSchema)]
pub(crate) struct Import {
    /// Its id.
    id: String,
    /// Always `import`.
    object: &'static str,
    /// Its name.
    filename: String,
    /// Its size.
    bytes: u64,
    /// `receiving`, `waiting`, `done` or `refused`.
    status: &'static str,
    /// What came of it, once it is done.
    report: Option<ImportReport>,
    /// Why it was refused.
    error: Option<String>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    ended_at: Option<i64>,
}

impl From<&store::Import> for Import {
    fn from(import: &store::Import) -> Self {
        Self {
            id: import.id.to_string(),
            object: "import",
            filename: import.filename.clone(),
            bytes: import.size_bytes,
            status: import.state.as_str(),
            report: report_of(import),
            error: import.error.clone(),
            created_at: import.asked_at.seconds(),
            ended_at: import.ended_at.map(Timestamp::seconds),
        }
    }
}

/// What came of an import, as it was written down.
pub(crate) fn report_of(import: &store::Import) -> Option<ImportReport> {
    serde_json::from_str(import.report.as_deref()?).ok()
}

/// An archive is kept in pieces of this size: no more of it lies in memory.
const PIECE_BYTES: usize = 8_000_000;
/// How long an archive may take to come, and how long what came of it is told.
const RECEIVED_WITHIN: Duration = Duration::from_secs(86_400);
const TOLD: Duration = Duration::from_secs(30 * 86_400);

pub(crate) async fn create_import(
    State(app): State<App>,
    person: Person,
    request: Request,
) -> Result<Json<Import>, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let most = app.settings.max_body_bytes;
    if !kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        // A body that is longer than may be ends in an error too.
        let failed = move |_| ApiError::too_large(most);
        let bytes = request.with_limited_body().into_body().into_data_stream().map_err(failed).boxed();
        return receive(&app, &person, "archive.zip", bytes).await;
    }
    let refused = |_| ApiError::bad_request("The form could not be read: its boundary is missing.");
    let mut parts = Multipart::from_request(request, &app).await.map_err(refused)?;
    let failed = move |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(most),
        _ => ApiError::bad_request("The form could not be read to its end."),
    };
    while let Some(part) = parts.next_field().await.map_err(failed)? {
        if part.name() != Some("file") {
            continue;
        }
        let name: String =
            part.file_name().unwrap_or("archive.zip").chars().filter(|c| !c.is_control()).take(200).collect();
        return receive(&app, &person, &name, part.map_err(failed).boxed()).await;
    }
    Err(ApiError::missing("file"))
}

/// Keeps an archive in pieces; one that does not come whole leaves nothing behind.
async fn receive(
    app: &App,
    person: &Person,
    filename: &str,
    bytes: BoxStream<'_, Result<Bytes, ApiError>>,
) -> Result<Json<Import>, ApiError> {
    let (identity, now) = (person.identity(), app.now());
    let id = ImportId::new(now, app.random());
    app.store.create_import(identity, id, filename, now + RECEIVED_WITHIN, now).await?;
    if let Err(error) = keep(app, (identity, now), id, bytes).await {
        app.store.delete_import(identity, id, app.now()).await?;
        return Err(error);
    }
    app.store.import_received(id, app.now() + TOLD).await?;
    Ok(Json(Import::from(&app.store.import(identity, id).await?)))
}

async fn keep(
    app: &App,
    (identity, since): (IdentityId, Timestamp),
    id: ImportId,
    mut bytes: BoxStream<'_, Result<Bytes, ApiError>>,
) -> Result<(), ApiError> {
    let (mut piece, mut number, mut is_over) = (BytesMut::new(), 0, false);
    while !is_over {
        match bytes.try_next().await? {
            Some(more) => piece.extend_from_slice(&more),
            None => is_over = true,
        }
        if piece.len() >= PIECE_BYTES || (is_over && !piece.is_empty()) {
            let full = piece.split().freeze();
            let size = full.len() as u64;
            let key = app.objects.put_import_part(identity, since, id, number, full).await?;
            app.store.add_import_part(id, number, &key, size).await?;
            number += 1;
        }
    }
    if number == 0 {
        return Err(ApiError::invalid("file", "The file is empty."));
    }
    Ok(())
}

async fn list_imports(State(app): State<App>, person: Person) -> Result<Json<List<Import>>, ApiError> {
    let imports = app.store.imports(person.identity()).await?;
    Ok(Json(List::new(imports.iter().map(Import::from).collect(), |import| import.id.clone(), false)))
}

async fn retrieve_import(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ImportId>,
) -> Result<Json<Import>, ApiError> {
    Ok(Json(Import::from(&app.store.import(person.identity(), id).await?)))
}

pub(crate) async fn delete_import(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ImportId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.delete_import(person.identity(), id, app.now()).await?;
    Ok(Json(Deleted::new(id, "import.deleted")))
}
