//! The HTTP side: one file a resource, one table of errors, one list of endpoints.

mod endpoint;
mod openapi;

pub(crate) mod auth;
pub(crate) mod rate;
mod request_id;

pub(crate) mod form;
pub(crate) mod page;
pub(crate) mod upload;
mod upload_memory;

pub(crate) mod creation;
mod video_object;

mod characters;
pub(crate) mod content;
pub(crate) mod derived;
pub(crate) mod events;
pub(crate) mod storyboards;
pub(crate) mod videos;

mod batches;
mod files;
mod images;
mod models;
mod moderations;
pub(crate) mod usage;
pub(crate) mod webhook_endpoints;

pub(crate) mod accounts;
pub(crate) mod closures;
pub(crate) mod destinations;
mod evidence;
pub(crate) mod exports;
pub(crate) mod imports;
pub(crate) mod keys;
mod leaks;
pub(crate) mod likeness;
pub(crate) mod memberships;
pub(crate) mod passkeys;
mod password;
pub(crate) mod prompts;
pub(crate) mod second_factor;
pub(crate) mod sessions;

pub(crate) mod admin;
pub(crate) mod appeals;
pub(crate) mod decisions;
mod links;
pub(crate) mod rights;
pub(crate) mod setup;
pub(crate) mod sunsets;

mod health;

pub(crate) mod error;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::http::endpoint::Endpoint;
use crate::http::error::ApiError;

pub(crate) use auth::KeyCache;
pub use auth::{Access, Needs};
pub use creation::batch_creation;
pub(crate) use creation::blocked;
pub(crate) use health::Metrics;
pub use openapi::openapi;
pub(crate) use rate::NodeLimit;
pub(crate) use upload_memory::{UploadMemory, count_body};
pub(crate) use video_object::Video;

/// Every endpoint, in the order of the documents.
fn all_endpoints() -> Vec<Endpoint> {
    [
        videos::endpoints(),
        content::endpoints(),
        events::endpoints(),
        derived::endpoints(),
        storyboards::endpoints(),
        characters::endpoints(),
        models::endpoints(),
        files::endpoints(),
        images::endpoints(),
        prompts::endpoints(),
        moderations::endpoints(),
        batches::endpoints(),
        webhook_endpoints::endpoints(),
        usage::endpoints(),
        accounts::endpoints(),
        sessions::endpoints(),
        second_factor::endpoints(),
        passkeys::endpoints(),
        closures::endpoints(),
        keys::endpoints(),
        evidence::endpoints(),
        exports::endpoints(),
        imports::endpoints(),
        destinations::endpoints(),
        leaks::endpoints(),
        likeness::endpoints(),
        appeals::endpoints(),
        decisions::endpoints(),
        admin::endpoints(),
        sunsets::endpoints(),
        rights::endpoints(),
        setup::endpoints(),
        links::endpoints(),
        health::endpoints(),
        openapi::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every route with who may use it.
pub fn route_list() -> Vec<(Method, &'static str, Access)> {
    all_endpoints().iter().map(|endpoint| (endpoint.method.clone(), endpoint.path, endpoint.access)).collect()
}

/// The router of a whole server.
pub fn router(app: App) -> Router {
    let router = all_endpoints().into_iter().fold(Router::new(), |router, endpoint| endpoint.mount(router, &app));
    let router = crate::web::mount(router, &app);
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(app.clone(), request_id::with_request_id))
        .with_state(app)
}

/// A path that is none: a page for browsers, an error for programs.
async fn nowhere(State(app): State<App>, request: Request) -> Response {
    match crate::web::wants_page(&request) {
        true => crate::web::nowhere(app, request).await,
        false => ApiError::not_found("path").into_response(),
    }
}

/// A panic is a defect of ours: logged, and answered like any other.
fn answer_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    ApiError::internal(&format!("a handler panicked: {}", words.unwrap_or("without words"))).into_response()
}
