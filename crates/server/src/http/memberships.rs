//! Memberships: one for each service, joined and ended by the person, each for itself.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use platform::{IdentityId, Membership, MembershipEvent, MembershipState, Service, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, Person, not_ended};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::path_texts;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/memberships/{service}/join", Access::Person, join_service)
            .says("Joins a service.")
            .answers::<ShownMembership>(),
        post("/api/memberships/{service}/close", Access::Person, close_service)
            .says("Ends a membership and nothing else. Can be undone for a while; needs a fresh sign-in.")
            .reads::<CloseService>(BodyKind::Json)
            .answers::<ShownMembership>(),
        post("/api/memberships/{service}/undo", Access::Person, undo_close)
            .says("Takes back the end of a membership.")
            .answers::<ShownMembership>(),
    ]
}

/// The end of a membership.
#[derive(Serialize, ToSchema)]
pub(crate) struct CloseService {
    /// The service's name, typed again.
    confirm: String,
}

/// A membership.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownMembership {
    /// Of what.
    pub(crate) service: &'static str,
    /// `none`, `active`, `restricted`, `suspended`, `closing` or `closed`.
    pub(crate) state: &'static str,
    /// `member`, `moderator` or `administrator`.
    pub(crate) role: &'static str,
    /// In this service alone.
    pub(crate) strikes: u32,
    /// Unix seconds at which a restriction or suspension ends by itself; null if it does not, or if there is none.
    pub(crate) ends_at: Option<i64>,
}

impl From<&Membership> for ShownMembership {
    fn from(membership: &Membership) -> Self {
        Self {
            service: membership.service.as_str(),
            state: membership.state.as_str(),
            role: membership.role.as_str(),
            strikes: membership.strikes,
            ends_at: membership.limited_until.map(Timestamp::seconds),
        }
    }
}

/// The service in the path.
pub(crate) struct ServiceInPath(pub(crate) Service);

impl<S: Send + Sync> FromRequestParts<S> for ServiceInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let service = texts.first().and_then(|text| Service::from_word(text));
        service.map(Self).ok_or_else(|| ApiError::not_found("service"))
    }
}

pub(crate) async fn join_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Json<ShownMembership>, ApiError> {
    change(&app, &person, service, MembershipEvent::Join).await
}

pub(crate) async fn close_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
    form: Form,
) -> Result<Json<ShownMembership>, ApiError> {
    person.fresh(app.now())?;
    if form.needed_text("confirm")? != service.as_str() {
        return Err(ApiError::invalid("confirm", format!("Type '{service}' to confirm.")));
    }
    change(&app, &person, service, MembershipEvent::Close).await
}

pub(crate) async fn undo_close(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Json<ShownMembership>, ApiError> {
    change(&app, &person, service, MembershipEvent::Undo).await
}

/// Where it is remembered what a membership was when its end began: a decision outlives an end that is taken back.
fn before(identity: IdentityId, service: Service) -> String {
    format!("membership-before-close:{identity}:{service}")
}

/// The limit that stood, as it is remembered: its state and, if it has one, its end.
fn remembered(membership: &Membership) -> String {
    let end = membership.limited_until.map(|end| format!(" {}", end.micros()));
    format!("{}{}", membership.state.as_str(), end.unwrap_or_default())
}

/// The membership that [`remembered`] wrote.
fn recalled(text: &str, identity: IdentityId, service: Service) -> Option<Membership> {
    let (state, end) = text.split_once(' ').map_or((text, None), |(state, end)| (state, end.parse().ok()));
    let state = MembershipState::from_word(state)?;
    let limited_until = end.map(Timestamp::from_micros);
    Some(Membership { state, limited_until, ..Membership::none(identity, service) })
}

async fn change(
    app: &App,
    person: &Person,
    service: Service,
    event: MembershipEvent,
) -> Result<Json<ShownMembership>, ApiError> {
    let (identity, now) = (person.identity(), app.now());
    if event == MembershipEvent::Join {
        not_ended(app, service)?;
    }
    if event == MembershipEvent::Close {
        let membership = app.store.membership(identity, service).await?.at(now);
        app.store.set_setting(&before(identity, service), &remembered(&membership), now).await?;
    }
    app.store.change_membership(identity, service, event, now).await?;
    if matches!(event, MembershipEvent::Undo | MembershipEvent::Join) {
        let was = app.store.setting(&before(identity, service)).await?;
        let was = was.and_then(|text| recalled(&text, identity, service));
        if let Some((limit, until)) = was.and_then(|membership| membership.at(now).limit()) {
            app.store.change_membership_until(identity, service, limit, until, now).await?;
        }
    }
    app.keys.clear();
    Ok(Json(ShownMembership::from(&app.store.membership(person.identity(), service).await?)))
}
