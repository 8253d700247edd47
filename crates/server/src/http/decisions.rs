//! Decisions about memberships, by moderators of that service: recorded, with a ground, and no wider than the service.

use axum::Json;
use axum::extract::State;
use platform::{Decision, DecisionError, DecisionId, DecisionScope, IdentityId, MembershipEvent, Service, Timestamp};
use serde::Serialize;
use store::AuditEntry;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::memberships::ShownMembership;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/decisions", Access::Moderator, create_decision)
            .says("Limits a membership, or lifts a limit; for moderators of that service.")
            .reads::<CreateDecision>(BodyKind::Json)
            .answers::<ShownDecision>(),
    ]
}

/// A decision.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateDecision {
    /// Whom it limits.
    identity: String,
    /// In which service.
    service: String,
    /// `restrict`, `suspend` or `restore`.
    event: String,
    /// How far: `service`, and nothing wider.
    scope: Option<String>,
    /// The rule it rests on.
    ground: String,
    /// Unix seconds at which it ends by itself; permanent if it is not said.
    ends_at: Option<i64>,
}

/// A decision as it is recorded.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownDecision {
    /// Its id.
    id: String,
    /// Always `decision`.
    object: &'static str,
    /// The membership after it.
    membership: ShownMembership,
}

async fn create_decision(State(app): State<App>, person: Person, form: Form) -> Result<Json<ShownDecision>, ApiError> {
    let now = app.now();
    let subject: IdentityId =
        form.needed_text("identity")?.parse().map_err(|_| ApiError::invalid("identity", "This is no identity."))?;
    let service = Service::from_word(form.needed_text("service")?)
        .ok_or_else(|| ApiError::invalid("service", "There is no such service."))?;
    let event = match form.needed_text("event")? {
        "restrict" => MembershipEvent::Restrict,
        "suspend" => MembershipEvent::Suspend,
        "restore" => MembershipEvent::Restore,
        _ => return Err(ApiError::invalid("event", "An event is restrict, suspend or restore.")),
    };
    let scope = form.text("scope")?.unwrap_or("service");
    let scope = DecisionScope::ALL.into_iter().find(|known| known.as_str() == scope);
    let scope = scope.ok_or_else(|| ApiError::invalid("scope", "There is no such scope."))?;
    let ends_at = form.whole("ends_at", 0, i64::MAX as u64 / 1_000_000)?;
    let decision = Decision {
        id: DecisionId::new(now, app.random()),
        subject,
        service,
        scope,
        ground: form.needed_text("ground")?.to_owned(),
        author: person.identity(),
        decided_at: now,
        ends_at: ends_at.and_then(|seconds| i64::try_from(seconds).ok()).map(Timestamp::from_seconds),
    };
    decision.check(person.role(service)).map_err(|error| match error {
        DecisionError::NotModerator => ApiError::forbidden("role_missing", format!("{error}.")),
        DecisionError::TooWide => ApiError::forbidden("scope_too_wide", format!("{error}.")),
        DecisionError::NoGround => ApiError::invalid("ground", format!("{error}.")),
    })?;
    app.store.identity(subject).await?;
    if decision.ends_at.is_some_and(|end| end <= now) {
        return Err(ApiError::invalid("ends_at", "'ends_at' must be in the future."));
    }
    app.store.change_membership_until(subject, service, event, decision.ends_at, now).await?;
    app.store.record_decision(&decision).await?;
    let action = format!("membership.{}", form.needed_text("event")?);
    let entry = AuditEntry {
        at: now,
        actor: Some(person.identity()),
        action,
        subject: subject.to_string(),
        detail: format!("{service}: {}", decision.ground),
    };
    app.store.record_audit(&entry).await?;
    app.keys.clear();
    let membership = app.store.membership(subject, service).await?;
    Ok(Json(ShownDecision {
        id: decision.id.to_string(),
        object: "decision",
        membership: ShownMembership::from(&membership),
    }))
}
