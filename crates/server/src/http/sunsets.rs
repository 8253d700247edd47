//! The ends of models and services: administrators ask for them, two of them for one that is near, and take them back.

use axum::Json;
use axum::extract::State;
use platform::{Sunset, SunsetId, SunsetSubject, Timestamp};
use serde::Serialize;
use store::{AuditEntry, NewSunset};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List};
use crate::http::video_object::Deleted;

const ADMIN: Access = Access::Administrator;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/admin/sunsets", ADMIN, list_sunsets)
            .says("Lists the ends of models and services: announced, waiting to be confirmed, or come.")
            .answers_list::<ShownSunset>(),
        post("/api/admin/sunsets", ADMIN, create_sunset)
            .says("Announces the end of a model or a service, 180 days away at least; a nearer one waits for a second administrator.")
            .reads::<CreateSunset>(BodyKind::Json)
            .answers::<ShownSunset>(),
        post("/api/admin/sunsets/{id}/confirm", ADMIN, confirm_sunset)
            .says("Confirms an end that is nearer than 180 days; it is announced once two different administrators have.")
            .answers::<ShownSunset>(),
        delete("/api/admin/sunsets/{id}", ADMIN, withdraw_sunset).says("Takes an end back.").answers::<Deleted>(),
    ]
}

/// An end to announce.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateSunset {
    /// `model` or `service`.
    kind: String,
    /// Its name.
    name: String,
    /// Unix seconds at which it comes.
    ends_at: i64,
    /// Where people can go on instead: an https address, or words.
    successor: Option<String>,
    /// Whether an end in less than 180 days is meant; then another administrator must confirm it.
    nearer: Option<bool>,
}

/// An end.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownSunset {
    /// Its id.
    pub(crate) id: String,
    /// Always `sunset`.
    pub(crate) object: &'static str,
    /// `model` or `service`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Where people can go on instead.
    pub(crate) successor: String,
    /// Unix seconds at which it comes.
    pub(crate) ends_at: i64,
    /// Unix seconds until which export is open at least.
    pub(crate) export_until: i64,
    /// Unix seconds at which it was announced; null if it waits to be confirmed.
    pub(crate) announced_at: Option<i64>,
    /// Which administrators asked for it or confirmed it.
    pub(crate) confirmed_by: Vec<String>,
}

impl From<&Sunset> for ShownSunset {
    fn from(sunset: &Sunset) -> Self {
        Self {
            id: sunset.id.to_string(),
            object: "sunset",
            kind: sunset.subject.kind(),
            name: sunset.subject.name().to_owned(),
            successor: sunset.successor.clone(),
            ends_at: sunset.ends_at.seconds(),
            export_until: sunset.export_until().seconds(),
            announced_at: sunset.announced_at.map(Timestamp::seconds),
            confirmed_by: sunset.confirmed_by.iter().map(ToString::to_string).collect(),
        }
    }
}

async fn list_sunsets(State(app): State<App>, _: Person) -> Result<Json<List<ShownSunset>>, ApiError> {
    let sunsets = app.store.sunsets().await?;
    Ok(Json(List::new(
        sunsets.iter().map(ShownSunset::from).collect(),
        |sunset: &ShownSunset| sunset.id.clone(),
        false,
    )))
}

pub(crate) async fn create_sunset(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<ShownSunset>, ApiError> {
    person.fresh(app.now())?;
    let (kind, name) = (form.needed_text("kind")?, form.needed_text("name")?);
    let subject = SunsetSubject::from_words(kind, name).filter(|subject| match subject {
        SunsetSubject::Model(model) => app.catalogue().offers().iter().any(|offer| offer.name == *model),
        SunsetSubject::Service(_) => true,
    });
    let subject = subject.ok_or_else(|| ApiError::invalid("name", "There is no such model or service here."))?;
    let ends_at = form.whole("ends_at", 0, i64::MAX as u64 / 1_000_000)?.ok_or_else(|| ApiError::missing("ends_at"))?;
    let successor: String = form.text("successor")?.unwrap_or_default().trim().chars().take(300).collect();
    let now = app.now();
    let wish = NewSunset {
        id: SunsetId::new(now, app.random()),
        subject: &subject,
        successor: &successor,
        ends_at: Timestamp::from_seconds(ends_at as i64),
        nearer: form.flag("nearer")?.unwrap_or(false),
    };
    let sunset = app.store.ask_sunset(&wish, Some(person.identity()), now).await?;
    done(&app, &person, "sunset.ask", &sunset).await
}

pub(crate) async fn confirm_sunset(
    State(app): State<App>,
    person: Person,
    Id(id): Id<SunsetId>,
) -> Result<Json<ShownSunset>, ApiError> {
    person.fresh(app.now())?;
    let sunset = app.store.confirm_sunset(id, person.identity(), app.now()).await?;
    done(&app, &person, "sunset.confirm", &sunset).await
}

/// Records what was done, and lets this node know.
async fn done(app: &App, person: &Person, action: &str, sunset: &Sunset) -> Result<Json<ShownSunset>, ApiError> {
    let state = if sunset.announced_at.is_some() { "announced" } else { "waits for another administrator" };
    let (kind, name) = (sunset.subject.kind(), sunset.subject.name());
    record(app, person, action, sunset.id, format!("{kind} {name} at {}: {state}", sunset.ends_at.seconds())).await?;
    app.reload_sunsets().await?;
    Ok(Json(ShownSunset::from(sunset)))
}

pub(crate) async fn withdraw_sunset(
    State(app): State<App>,
    person: Person,
    Id(id): Id<SunsetId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.withdraw_sunset(id, app.now()).await?;
    record(&app, &person, "sunset.withdraw", id, String::new()).await?;
    app.reload_sunsets().await?;
    Ok(Json(Deleted::new(id, "sunset.withdrawn")))
}

async fn record(app: &App, person: &Person, action: &str, id: SunsetId, detail: String) -> Result<(), ApiError> {
    let (at, actor) = (app.now(), Some(person.identity()));
    let entry = AuditEntry { at, actor, action: action.into(), subject: id.to_string(), detail };
    Ok(app.store.record_audit(&entry).await?)
}
