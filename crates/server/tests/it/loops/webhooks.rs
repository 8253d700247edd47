//! Deliveries to a receiver on this machine that fails first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use platform::{EventType, WebhookEndpointId, WebhookSecret};
use server::webhooks;
use store::WebhookEndpoint;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, create, entropy, test_card};

/// What arrived, and what is answered next; 200 once that is used up.
#[derive(Clone, Default)]
struct Receiver {
    arrived: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let routes = Router::new()
            .route("/hook", post(Self::receive))
            .route("/moved", post(|| async { Redirect::temporary("/hook") }))
            .route("/", get(|| async { "" }))
            .with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (receiver, format!("http://{address}"))
    }

    async fn receive(State(receiver): State<Self>, headers: HeaderMap, body: String) -> Response {
        receiver.arrived.lock().unwrap().push((headers, body));
        receiver.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK).into_response()
    }

    fn arrived(&self) -> Vec<(HeaderMap, String)> {
        self.arrived.lock().unwrap().clone()
    }
}

async fn endpoint(bed: &Bed, url: String, event_types: Vec<EventType>) -> WebhookEndpoint {
    let endpoint = WebhookEndpoint {
        id: WebhookEndpointId::new(bed.app.now(), entropy()),
        project: bed.project,
        name: "test".into(),
        url,
        event_types,
        secret: WebhookSecret::new([7; 32]),
        old_secret: None,
        created_at: bed.app.now(),
        updated_at: bed.app.now(),
    };
    bed.app.store.create_webhook_endpoint(&endpoint).await.unwrap();
    endpoint
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap().to_str().unwrap()
}

#[tokio::test]
async fn a_refused_delivery_comes_again_with_the_same_id_and_a_new_signature() {
    let (bed, (receiver, url)) = (Bed::new().await, Receiver::start().await);
    let endpoint = endpoint(&bed, format!("{url}/hook"), vec![EventType::VideoCompleted]).await;
    receiver.answers.lock().unwrap().push_back(StatusCode::INTERNAL_SERVER_ERROR);
    let id = bed.accept(create()).await.id;
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();

    assert_eq!(webhooks::deliver_due(&bed.app).await.unwrap(), 1);
    assert_eq!(webhooks::deliver_due(&bed.app).await.unwrap(), 0);
    bed.clock.advance(Duration::from_secs(6));
    assert_eq!(webhooks::deliver_due(&bed.app).await.unwrap(), 1);
    bed.clock.advance(Duration::from_secs(3600));
    assert_eq!(webhooks::deliver_due(&bed.app).await.unwrap(), 0);

    let arrived = receiver.arrived();
    let [(first, body), (second, again)] = arrived.as_slice() else { panic!("{arrived:?}") };
    assert!(body.contains(&format!(r#""type":"video.completed","data":{{"id":"{id}"}}"#)), "{body}");
    assert_eq!((body, header(first, "webhook-id")), (again, header(second, "webhook-id")));
    assert_eq!(header(first, "content-type"), "application/json");
    for (headers, body) in [(first, body), (second, again)] {
        let sent_at = platform::Timestamp::from_seconds(header(headers, "webhook-timestamp").parse().unwrap());
        let expected = endpoint.secret.signature(header(headers, "webhook-id"), sent_at, body.as_bytes());
        assert_eq!(header(headers, "webhook-signature"), expected);
    }
    assert_ne!(header(first, "webhook-timestamp"), header(second, "webhook-timestamp"));
}

#[tokio::test]
async fn redirects_are_not_followed_and_a_closed_door_is_no_answer() {
    let (bed, (receiver, url)) = (Bed::new().await, Receiver::start().await);
    let moved = endpoint(&bed, format!("{url}/moved"), vec![EventType::VideoCompleted]).await;
    assert_eq!(webhooks::deliver_test(&bed.app, &moved, EventType::VideoCompleted).await, Ok(307));
    assert!(receiver.arrived().is_empty());

    let nobody = WebhookEndpoint { url: "http://127.0.0.1:1/hook".into(), ..moved.clone() };
    let error = webhooks::deliver_test(&bed.app, &nobody, EventType::VideoFailed).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to the address could be made");
    let elsewhere = WebhookEndpoint { url: "http://192.168.0.1/hook".into(), ..moved };
    let error = webhooks::deliver_test(&bed.app, &elsewhere, EventType::VideoFailed).await.unwrap_err();
    assert_eq!(error.to_string(), "webhooks go to https addresses, or to http on this machine");
}

#[tokio::test]
async fn a_sample_looks_like_the_real_thing() {
    let (bed, (receiver, url)) = (Bed::new().await, Receiver::start().await);
    let endpoint = endpoint(&bed, format!("{url}/hook"), vec![EventType::BatchCompleted]).await;
    assert_eq!(webhooks::deliver_test(&bed.app, &endpoint, EventType::BatchCompleted).await, Ok(200));
    let arrived = receiver.arrived();
    let body: serde_json::Value = serde_json::from_str(&arrived[0].1).unwrap();
    assert_eq!((&body["type"], &body["object"]), (&"batch.completed".into(), &"event".into()));
    assert_eq!(body["id"], header(&arrived[0].0, "webhook-id"));
    assert!(body["data"]["id"].as_str().unwrap().starts_with("batch_"));
}
