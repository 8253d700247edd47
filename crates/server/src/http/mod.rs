//! The HTTP side: one file a resource, one table of errors, one list of endpoints.

mod endpoint;
mod error;

mod auth;
mod rate;

mod request_id;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;

pub use auth::{Access, Needs};
pub(crate) use auth::KeyCache;
pub(crate) use rate::ReadLimit;
