//! What a collector of the owner's is told: spans of requests and of jobs, with ids and without words.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use server::{CollectorPlace, Traces};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::site::{As, Sent, Site, small};

/// A collector on loopback: what it is sent comes out of the channel.
async fn collector() -> (CollectorPlace, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let take =
        async |State(sender): State<mpsc::UnboundedSender<(HeaderMap, Bytes)>>, headers: HeaderMap, body: Bytes| {
            sender.send((headers, body)).unwrap();
            StatusCode::OK
        };
    let router = axum::Router::new().route("/v1/traces", axum::routing::post(take)).with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (CollectorPlace { url, headers: vec![("authorization".into(), "Bearer of-the-owner".into())] }, receiver)
}

#[tokio::test]
async fn a_collector_hears_of_a_request_and_its_job_and_no_words() {
    let (place, mut received) = collector().await;
    let traces = Arc::new(Traces::open(&place, "serve", tokio::runtime::Handle::current()).unwrap());
    // While there is one subscriber alone, whether a span is wanted is asked of whichever thread comes to it first, which may be another test's.
    let _another = Dispatch::new(tracing_subscriber::registry());
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(traces.layer()));
    let site = Site::new().await;
    let (video, request_id) = async {
        let headers = [("x-forwarded-for", "203.0.113.77"), ("user-agent", "an-agent")];
        let who = As::Key(&site.key);
        let prompt = small("a zebra by the violet sea");
        let asked = site.send_with("POST", "/v1/videos?secret=hush", who, Sent::Json(prompt), &headers).await;
        let request_id = asked.header("x-request-id").to_owned();
        site.work().await;
        let refused = Request::builder().uri("/takedown/status/mis_tkd_hush").body(Body::empty()).unwrap();
        site.answer(refused).await;
        (asked.ok()["id"].as_str().unwrap().to_owned(), request_id)
    }
    .with_subscriber(subscriber)
    .await;
    let flushing = Arc::clone(&traces);
    tokio::task::spawn_blocking(move || flushing.flush()).await.unwrap();

    let (headers, body) = received.recv().await.unwrap();
    assert_eq!(headers["authorization"], "Bearer of-the-owner");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    // Texts stand in protobuf as they are.
    let count = |text: &str| body.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    assert_eq!((count("POST /v1/videos"), count("GET /takedown/status/{link}")), (1, 1));
    assert_eq!((count(&request_id), count("req_")), (1, 2));
    // Once in the request that asked for it, and once in its job.
    assert_eq!((count(&video), count("published")), (2, 1));
    for secret in ["zebra", "hush", "mika@example.org", "203.0.113.77", "an-agent", &site.key, "crates/server"] {
        assert_eq!(count(secret), 0, "{secret}");
    }
}
