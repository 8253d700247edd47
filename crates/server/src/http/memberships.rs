//! Memberships, one for each service, as answers show them.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use platform::{Membership, Service, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::error::ApiError;
use crate::http::page::path_texts;

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
