//! Leak reports: whoever found a key somewhere disables it, and its owner hears of it.

use axum::Json;
use axum::extract::State;
use platform::{ApiKeySecret, Timestamp};
use serde::Serialize;
use store::AuditEntry;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::count_attempt;
use crate::http::auth::{Access, ClientAddress};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::letters;

/// The most keys in one report.
const MAX_KEYS: usize = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/leaks", Access::Open, report_leak)
            .says("Disables keys that were found in public and tells their owners. Whoever has a key may.")
            .reads::<LeakReport>(BodyKind::Json)
            .answers::<LeakAnswer>(),
    ]
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeakReport {
    /// Whole keys.
    keys: Vec<String>,
    /// Where they were found, for their owners.
    url: Option<String>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeakAnswer {
    /// Always `leak_report`.
    object: &'static str,
    /// Keys that are disabled now, those that were before among them.
    disabled: usize,
}

async fn report_leak(State(app): State<App>, address: ClientAddress, form: Form) -> Result<Json<LeakAnswer>, ApiError> {
    count_attempt(&app, address, "")?;
    let keys = form.texts("keys")?.ok_or_else(|| ApiError::missing("keys"))?;
    if keys.len() > MAX_KEYS {
        return Err(ApiError::invalid("keys", format!("A report names at most {MAX_KEYS} keys.")));
    }
    let place: String = form.text("url")?.unwrap_or("a place that was not named").chars().take(500).collect();
    let mut disabled = 0;
    for text in &keys {
        disabled += usize::from(disable(&app, text.trim(), &place).await?);
    }
    Ok(Json(LeakAnswer { object: "leak_report", disabled }))
}

/// Disables a key, if that is one; the owner hears of it the first time.
async fn disable(app: &App, text: &str, place: &str) -> Result<bool, ApiError> {
    let Ok(found) = ApiKeySecret::parse(text) else { return Ok(false) };
    let Some(key) = app.store.api_key(found.id()).await?.filter(|key| key.hash == found.hash()) else {
        return Ok(false);
    };
    let now = app.now();
    if key.revoked_at.is_some_and(|end: Timestamp| end <= now) {
        return Ok(true);
    }
    app.store.revoke_api_key(key.project, key.id, now).await?;
    app.keys.clear();
    let (action, subject) = ("key.leaked".to_owned(), key.id.to_string());
    app.store.record_audit(&AuditEntry { at: now, actor: None, action, subject, detail: place.to_owned() }).await?;
    let owner = app.store.identity(app.store.project(key.project).await?.owner).await?;
    let body = format!(
        "Your key \"{}\" ({}) was found at {place}, so it was disabled. Programs that used it have stopped; make a new one at {}.",
        key.name, key.id, app.settings.base_url
    );
    letters::post(app, &owner.email, "A key of yours was found in public and is disabled", body).await?;
    Ok(true)
}
