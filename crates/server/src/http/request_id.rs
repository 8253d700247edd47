//! What every answer carries: its id, how long it took; and what every answer is counted as.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use platform::hex;

use crate::app::App;

/// Gives the answer its id and counts it. An id that a client sends is not taken: it names nothing here.
pub(crate) async fn with_request_id(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = app.now();
    let id = hex(&app.random::<16>());
    let id = format!("req_{id}");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let millis = app.now().since(began).as_millis();
    app.metrics.count(&method, response.status());
    tracing::info!(request_id = %id, %method, path, status = response.status().as_u16(), millis = millis as u64, "answered");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers.insert(
        HeaderName::from_static("openai-processing-ms"),
        HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)),
    );
    headers.insert(HeaderName::from_static("openai-version"), HeaderValue::from_static("2020-10-01"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}
