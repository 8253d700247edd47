//! Whether the server lives, whether it can work, and what it counts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, ClientAddress};
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/healthz", Access::Open, report_health).says("Answers as long as the process lives.").answers::<Health>(),
        get("/readyz", Access::Open, report_readiness)
            .says("Answers 200 if the database answers, 503 if not.")
            .answers::<Health>(),
        get("/metrics", Access::Open, report_metrics)
            .says("Counters for Prometheus: for this machine, or whoever has the configuration's token.")
            .answers_bytes(&["text/plain; version=0.0.4"]),
    ]
}

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`; anything else is an error.
    status: &'static str,
}

/// Answers since the start, by method and status.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<(String, u16), u64>>);

impl Metrics {
    /// Counts an answer. Methods that nobody knows are one.
    pub(crate) fn count(&self, method: &Method, status: StatusCode) {
        let known =
            [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::PUT, Method::PATCH, Method::OPTIONS];
        let method = if known.contains(method) { method.as_str() } else { "other" };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((method.to_owned(), status.as_u16())).or_default() += 1;
    }
}

async fn report_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

async fn report_readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    match app.store.ping().await {
        Ok(()) => Ok(Json(Health { status: "ok" })),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(ApiError::unavailable("The database does not answer."))
        }
    }
}

async fn report_metrics(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    match &app.settings.metrics_token {
        // Digests are compared, so that the time it takes tells nothing of the token.
        Some(token) => {
            let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
            if sent.map(Sha256::digest) != Some(Sha256::digest(token)) {
                return Err(ApiError::no_metrics_token());
            }
        }
        None if address.is_some_and(|address| address.to_canonical().is_loopback()) => {}
        None => {
            let message = "Counters are for this machine alone unless the configuration has a metrics_token.";
            return Err(ApiError::forbidden("loopback_only", message));
        }
    }
    let depth = app.store.queue_depth().await?;
    let mut text = String::from("# TYPE misora_http_answers_total counter\n");
    for ((method, status), count) in &*app.metrics.0.lock().unwrap_or_else(PoisonError::into_inner) {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "misora_http_answers_total{{method=\"{method}\",status=\"{status}\"}} {count}");
    }
    text.push_str("# TYPE misora_jobs gauge\n");
    let _ = writeln!(text, "misora_jobs{{state=\"queued\"}} {}", depth.queued);
    let _ = writeln!(text, "misora_jobs{{state=\"leased\"}} {}", depth.leased);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
