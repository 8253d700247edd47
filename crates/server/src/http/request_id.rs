//! What every answer carries: its id, how long it took; and what every answer is counted as.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use platform::hex;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::app::App;

/// Gives the answer its id and counts it. An id that a client sends is not taken: it names nothing here.
pub(crate) async fn with_request_id(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = app.now();
    let id = hex(&app.random::<16>());
    let id = format!("req_{id}");
    let (method, route) = (request.method().clone(), route(&request));
    // What a collector may know: no path, no query, nobody's address.
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        request_id = %id,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
        video = Empty,
    );
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    drop(span);
    let millis = app.now().since(began).as_millis();
    app.metrics.count(&method, response.status());
    tracing::info!(request_id = %id, %method, route, status = response.status().as_u16(), millis = millis as u64, "answered");
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

/// The pattern of the route that a request found: paths hold secrets, such as the link of a notice, and the log holds none.
fn route(request: &Request) -> String {
    request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_log_names_routes_and_no_secrets() {
        // As the router of a server is put together: the layer is around everything.
        let log = async |request: Request, _: Next| route(&request).into_response();
        let router =
            Router::new().route("/takedown/status/{link}", get(async || "")).fallback(async || "").layer(from_fn(log));
        for (path, logged) in
            [("/takedown/status/mis_tkd_secret", "/takedown/status/{link}"), ("/nowhere/mis_tkd_secret", "none")]
        {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(to_bytes(answer.into_body(), 1_000).await.unwrap(), logged);
        }
    }
}
