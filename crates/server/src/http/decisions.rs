//! Decisions about memberships, by moderators of that service: recorded, with a ground, and no wider than the service.

use axum::Json;
use axum::extract::State;
use platform::{
    DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionError, DecisionId, DecisionRecord, DecisionScope,
    IdentityId, Service, Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::memberships::ShownMembership;
use crate::http::page::Id;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/decisions", Access::Moderator, create_decision)
            .says("Limits a membership, or lifts a limit; for moderators of that service.")
            .reads::<CreateDecision>(BodyKind::Json)
            .answers::<ShownDecision>(),
        post("/api/admin/account-decisions", Access::Administrator, propose_account_decision)
            .says("Proposes to suspend all services of someone, on one of the published grounds. A second administrator confirms it.")
            .reads::<ProposeDecision>(BodyKind::Json)
            .answers::<Proposal>(),
        post("/api/admin/account-decisions/{id}/confirm", Access::Administrator, confirm_account_decision)
            .says("Carries out what another administrator proposed.")
            .answers::<Proposal>(),
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
    /// What happened, in plain words: the person reads it.
    facts: Option<String>,
    /// Whether it is against the law. Then it stands while an appeal is late.
    unlawful: Option<bool>,
    /// Strikes that come with it, 0 to 10; they are taken back if an appeal is right.
    strikes: Option<u8>,
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

/// A decision about a whole account.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProposeDecision {
    /// Whom it limits.
    identity: String,
    /// `child_safety`, `court_order`, `account_takeover` or `attack_on_the_installation`.
    ground: String,
    /// What happened, in plain words: the person reads it.
    facts: Option<String>,
    /// Unix seconds at which it ends by itself; permanent if it is not said.
    ends_at: Option<i64>,
}

/// A proposal, or what came of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Proposal {
    /// Its id.
    id: String,
    /// Always `account_decision`.
    object: &'static str,
    /// `proposed` or `carried_out`.
    state: &'static str,
    /// The services that were suspended.
    services: Vec<&'static str>,
}

/// Someone whom a decision is about.
fn subject(form: &Form) -> Result<IdentityId, ApiError> {
    form.needed_text("identity")?.parse().map_err(|_| ApiError::invalid("identity", "This is no identity."))
}

/// When a decision ends: in the future, or by itself never.
fn end(form: &Form, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let ends_at = form.whole("ends_at", 0, i64::MAX as u64 / 1_000_000)?;
    let ends_at = ends_at.and_then(|seconds| i64::try_from(seconds).ok()).map(Timestamp::from_seconds);
    match ends_at {
        Some(end) if end <= now => Err(ApiError::invalid("ends_at", "'ends_at' must be in the future.")),
        ends_at => Ok(ends_at),
    }
}

/// Why a decision is not taken.
pub(crate) fn refused(error: DecisionError) -> ApiError {
    match error {
        DecisionError::NotModerator | DecisionError::NotAdministrator => {
            ApiError::forbidden("role_missing", format!("{error}."))
        }
        DecisionError::TooWide => ApiError::forbidden("scope_too_wide", format!("{error}.")),
        DecisionError::OwnCase | DecisionError::SamePerson => {
            ApiError::forbidden("second_person_needed", format!("{error}."))
        }
        DecisionError::NoGround | DecisionError::NotListed => ApiError::invalid("ground", format!("{error}.")),
    }
}

/// The highest role that someone has anywhere.
pub(crate) fn highest(person: &Person) -> platform::Role {
    Service::ALL.into_iter().map(|service| person.role(service)).max().unwrap_or_default()
}

/// The words of whoever decides, for whom it is about.
fn facts(form: &Form) -> Result<String, ApiError> {
    Ok(form.text("facts")?.unwrap_or_default().trim().to_owned())
}

pub(crate) async fn propose_account_decision(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<Proposal>, ApiError> {
    let now = app.now();
    let ground = form.needed_text("ground")?.to_owned();
    let proposed = DecisionRecord {
        id: DecisionId::new(now, app.random()),
        subject: subject(&form)?,
        scope: DecisionScope::Identity,
        service: None,
        effect: DecisionEffect::Suspend,
        item: DecidedItem::unnamed(DecidedKind::Account),
        rule: DecidedRule::of_house(&ground),
        ground,
        facts: facts(&form)?,
        evidence: String::new(),
        unlawful: true,
        automated_detection: false,
        author: Some(person.identity()),
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: end(&form, now)?,
    };
    proposed.check_proposal(highest(&person)).map_err(refused)?;
    app.store.identity(proposed.subject).await?;
    app.store.propose_decision(&proposed).await?;
    let (id, object) = (proposed.id.to_string(), "account_decision");
    Ok(Json(Proposal { id, object, state: "proposed", services: Vec::new() }))
}

pub(crate) async fn confirm_account_decision(
    State(app): State<App>,
    person: Person,
    Id(id): Id<DecisionId>,
) -> Result<Json<Proposal>, ApiError> {
    let proposed = app.store.proposed_decision(id).await?;
    proposed.check_second(person.identity(), highest(&person)).map_err(refused)?;
    let suspended = app.store.carry_out_proposal(id, person.identity(), app.now()).await?;
    app.keys.clear();
    let services: Vec<_> = suspended.into_iter().map(Service::as_str).collect();
    Ok(Json(Proposal { id: id.to_string(), object: "account_decision", state: "carried_out", services }))
}

pub(crate) async fn create_decision(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<ShownDecision>, ApiError> {
    let now = app.now();
    let subject = subject(&form)?;
    let service = Service::from_word(form.needed_text("service")?)
        .ok_or_else(|| ApiError::invalid("service", "There is no such service."))?;
    let effect = match form.needed_text("event")? {
        "restrict" => DecisionEffect::Restrict,
        "suspend" => DecisionEffect::Suspend,
        "restore" => DecisionEffect::Restore,
        _ => return Err(ApiError::invalid("event", "An event is restrict, suspend or restore.")),
    };
    let scope = form.text("scope")?.unwrap_or("service");
    let scope = DecisionScope::ALL.into_iter().find(|known| known.as_str() == scope);
    let scope = scope.ok_or_else(|| ApiError::invalid("scope", "There is no such scope."))?;
    let ground = form.needed_text("ground")?.to_owned();
    let strikes = form.whole("strikes", 0, 10)?.unwrap_or(0);
    let decision = DecisionRecord {
        id: DecisionId::new(now, app.random()),
        subject,
        scope,
        service: Some(service),
        effect,
        item: DecidedItem::unnamed(DecidedKind::Membership),
        rule: DecidedRule::of_house(&ground),
        ground,
        facts: facts(&form)?,
        evidence: String::new(),
        unlawful: form.flag("unlawful")?.unwrap_or(false),
        automated_detection: false,
        author: Some(person.identity()),
        second: None,
        strikes: u32::try_from(strikes).unwrap_or(0),
        decided_at: now,
        ends_at: end(&form, now)?,
    };
    decision.check(person.role(service)).map_err(refused)?;
    app.store.identity(subject).await?;
    app.store.decide(&decision).await?;
    app.keys.clear();
    let membership = app.store.membership(subject, service).await?;
    Ok(Json(ShownDecision {
        id: decision.id.to_string(),
        object: "decision",
        membership: ShownMembership::from(&membership),
    }))
}
