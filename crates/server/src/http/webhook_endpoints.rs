//! Where events are sent: made, read, changed, tested and taken away by whoever has a key.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use platform::{BatchId, Event, EventType, Scope, Service, VideoId, WebhookEndpointId, WebhookSecret};
use serde::Serialize;
use store::WebhookEndpoint;
use utoipa::ToSchema;

use crate::app::{App, Outgoing};
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List, Values, one_more};
use crate::http::video_object::Deleted;
use crate::http::videos::PAGE;

const MAKE: Access = Access::Key(Scope::WebhooksWrite, Needs::Active(Service::Api));
const MANAGE: Access = Access::Key(Scope::WebhooksWrite, Needs::Readable(Service::Api));

/// How long an old secret signs too.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The most endpoints of a project.
const MAX_ENDPOINTS: u32 = 50;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/webhook_endpoints", MAKE, create_endpoint)
            .says("Makes a webhook endpoint. Its secret is shown here and never again.")
            .reads::<CreateEndpoint>(BodyKind::Json)
            .answers::<NewEndpoint>(),
        get("/v1/webhook_endpoints", MANAGE, list_endpoints)
            .says("Lists webhook endpoints.")
            .query(PAGE)
            .answers_list::<ShownEndpoint>(),
        get("/v1/webhook_endpoints/{id}", MANAGE, retrieve_endpoint)
            .says("Reads a webhook endpoint.")
            .answers::<ShownEndpoint>(),
        post("/v1/webhook_endpoints/{id}", MANAGE, update_endpoint)
            .says("Changes a webhook endpoint; what is not said stays.")
            .reads::<UpdateEndpoint>(BodyKind::Json)
            .answers::<ShownEndpoint>(),
        delete("/v1/webhook_endpoints/{id}", MANAGE, delete_endpoint)
            .says("Deletes a webhook endpoint.")
            .answers::<Deleted>(),
        post("/v1/webhook_endpoints/{id}/rotate_secret", MANAGE, rotate_secret)
            .says("Gives a webhook endpoint a new secret.")
            .reads::<RotateSecret>(BodyKind::Json)
            .answers::<NewEndpoint>(),
        post("/v1/webhook_endpoints/{id}/test", MANAGE, test_endpoint)
            .says("Sends a sample event at once and says how it was answered.")
            .reads::<TestEndpoint>(BodyKind::Json)
            .answers::<Tested>(),
        get("/v1/webhook_event_types", MANAGE, list_event_types)
            .says("Lists the types of events.")
            .answers::<EventTypes>(),
    ]
}

/// An endpoint to make.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateEndpoint {
    /// What its owner calls it.
    name: String,
    /// An https address; http on this machine itself.
    url: String,
    /// What it hears of.
    event_types: Vec<String>,
}

/// What changes of an endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct UpdateEndpoint {
    /// What its owner calls it.
    name: Option<String>,
    /// Where to.
    url: Option<String>,
    /// What it hears of.
    event_types: Option<Vec<String>>,
}

/// How a secret is replaced.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotateSecret {
    /// Whether the old one signs too for a day.
    keep_old_secret_active_for_24_hours: Option<bool>,
}

/// Which event to send.
#[derive(Serialize, ToSchema)]
pub(crate) struct TestEndpoint {
    /// Its type.
    event_type: String,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownEndpoint {
    /// Its id.
    pub(crate) id: String,
    /// Always `webhook_endpoint`.
    pub(crate) object: &'static str,
    /// What its owner calls it.
    pub(crate) name: String,
    /// Where to.
    pub(crate) url: String,
    /// What it hears of.
    pub(crate) event_types: Vec<&'static str>,
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// Unix seconds.
    pub(crate) updated_at: i64,
    /// How the secret ends.
    pub(crate) signing_secret_hint: String,
}

/// An endpoint with its secret, shown once.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewEndpoint {
    #[serde(flatten)]
    pub(crate) endpoint: ShownEndpoint,
    /// `whsec_` and base64.
    pub(crate) signing_secret: String,
}

/// How a sample was answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tested {
    /// Always `webhook_endpoint.test`.
    pub(crate) object: &'static str,
    /// The endpoint.
    pub(crate) webhook_endpoint_id: String,
    /// What was sent.
    pub(crate) event_type: &'static str,
    /// What was answered; null if nothing was.
    pub(crate) status_code: Option<u16>,
    /// Whether that was 2xx.
    pub(crate) success: bool,
}

/// Types of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypes {
    /// Always `list`.
    object: &'static str,
    /// Their words.
    data: Vec<&'static str>,
}

impl From<&WebhookEndpoint> for ShownEndpoint {
    fn from(endpoint: &WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id.to_string(),
            object: "webhook_endpoint",
            name: endpoint.name.clone(),
            url: endpoint.url.clone(),
            event_types: endpoint.event_types.iter().map(|event_type| event_type.as_str()).collect(),
            created_at: endpoint.created_at.seconds(),
            updated_at: endpoint.updated_at.seconds(),
            signing_secret_hint: endpoint.secret.hint(),
        }
    }
}

impl From<&WebhookEndpoint> for NewEndpoint {
    fn from(endpoint: &WebhookEndpoint) -> Self {
        Self { endpoint: endpoint.into(), signing_secret: endpoint.secret.reveal() }
    }
}

pub(crate) async fn create_endpoint(
    State(app): State<App>,
    caller: KeyCaller,
    form: Form,
) -> Result<Json<NewEndpoint>, ApiError> {
    caller.active()?;
    let now = app.now();
    let name = read_name(form.needed_text("name")?)?;
    let url = read_url(form.needed_text("url")?)?;
    let event_types = read_types(&form)?.ok_or_else(|| ApiError::missing("event_types"))?;
    let page = store::Page { after: None, limit: MAX_ENDPOINTS, order: store::Order::Descending };
    if app.store.webhook_endpoints(caller.project.id, page).await?.len() >= MAX_ENDPOINTS as usize {
        return Err(ApiError::state(format!("A project has at most {MAX_ENDPOINTS} webhook endpoints.")));
    }
    let endpoint = WebhookEndpoint {
        id: WebhookEndpointId::new(now, app.random()),
        project: caller.project.id,
        name,
        url,
        event_types,
        secret: WebhookSecret::new(app.random()),
        old_secret: None,
        created_at: now,
        updated_at: now,
    };
    app.store.create_webhook_endpoint(&endpoint).await?;
    Ok(Json(NewEndpoint::from(&endpoint)))
}

async fn list_endpoints(
    State(app): State<App>,
    caller: KeyCaller,
    values: Values,
) -> Result<Json<List<ShownEndpoint>>, ApiError> {
    let page = values.page()?;
    let endpoints = app.store.webhook_endpoints(caller.project.id, one_more(&page)).await?;
    Ok(Json(List::cut(endpoints, page.limit, |endpoint| endpoint.into(), |endpoint| endpoint.id.to_string())))
}

async fn retrieve_endpoint(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<WebhookEndpointId>,
) -> Result<Json<ShownEndpoint>, ApiError> {
    Ok(Json(ShownEndpoint::from(&app.store.webhook_endpoint(caller.project.id, id).await?)))
}

async fn update_endpoint(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<WebhookEndpointId>,
    form: Form,
) -> Result<Json<ShownEndpoint>, ApiError> {
    let mut endpoint = app.store.webhook_endpoint(caller.project.id, id).await?;
    if let Some(name) = form.text("name")? {
        endpoint.name = read_name(name)?;
    }
    if let Some(url) = form.text("url")? {
        endpoint.url = read_url(url)?;
    }
    if let Some(event_types) = read_types(&form)? {
        endpoint.event_types = event_types;
    }
    app.store.change_webhook_endpoint(&endpoint, app.now()).await?;
    Ok(Json(ShownEndpoint::from(&app.store.webhook_endpoint(caller.project.id, id).await?)))
}

pub(crate) async fn delete_endpoint(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<WebhookEndpointId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.delete_webhook_endpoint(caller.project.id, id).await?;
    Ok(Json(Deleted::new(id, "webhook_endpoint.deleted")))
}

pub(crate) async fn rotate_secret(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<WebhookEndpointId>,
    form: Form,
) -> Result<Json<NewEndpoint>, ApiError> {
    let now = app.now();
    let old_until = form.flag("keep_old_secret_active_for_24_hours")?.unwrap_or(false).then(|| now + OVERLAP);
    let secret = WebhookSecret::new(app.random());
    app.store.rotate_webhook_secret(caller.project.id, id, &secret, old_until, now).await?;
    Ok(Json(NewEndpoint::from(&app.store.webhook_endpoint(caller.project.id, id).await?)))
}

pub(crate) async fn test_endpoint(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<WebhookEndpointId>,
    form: Form,
) -> Result<Json<Tested>, ApiError> {
    let endpoint = app.store.webhook_endpoint(caller.project.id, id).await?;
    let event_type = read_type(form.needed_text("event_type")?).map_err(|error| error.about("event_type"))?;
    let now = app.now();
    // A sample is about a thing that never was.
    let event = match event_type {
        EventType::VideoCompleted | EventType::VideoFailed => {
            Event::of_video(VideoId::new(now, app.random()), event_type, now)
        }
        EventType::BatchCompleted | EventType::BatchFailed | EventType::BatchExpired | EventType::BatchCancelled => {
            Event::of_batch(BatchId::new(now, app.random()), event_type, now)
        }
    };
    let delivery = store::Delivery {
        event: event.id,
        event_type,
        body: event.body(),
        event_at: now,
        failed_attempts: 0,
        endpoint,
    };
    let outgoing = Outgoing {
        url: delivery.endpoint.url.clone(),
        id: event.id.to_string(),
        timestamp: now.seconds(),
        signature: delivery.signatures(now),
        body: delivery.body,
    };
    let status_code = app.outbound.post(&outgoing).await.ok();
    Ok(Json(Tested {
        object: "webhook_endpoint.test",
        webhook_endpoint_id: id.to_string(),
        event_type: event_type.as_str(),
        status_code,
        success: status_code.is_some_and(|status| (200..300).contains(&status)),
    }))
}

async fn list_event_types(_: KeyCaller) -> Json<EventTypes> {
    Json(EventTypes { object: "list", data: EventType::ALL.map(EventType::as_str).into() })
}

fn read_name(text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    if (1..=200).contains(&name.chars().count()) {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid("name", "'name' must have 1 to 200 characters."))
}

/// An address that may be spoken to: https anywhere, http on this machine. Where a name
/// leads is checked again at each delivery.
fn read_url(text: &str) -> Result<String, ApiError> {
    let refused = || ApiError::invalid("url", "'url' must be an https address; http works on this machine alone.");
    let url = reqwest::Url::parse(text).map_err(|_| refused())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let fine = match url.scheme() {
        "https" => true,
        "http" => loopback,
        _ => false,
    };
    if fine && text.len() <= 2000 { Ok(text.to_owned()) } else { Err(refused()) }
}

fn read_types(form: &Form) -> Result<Option<Vec<EventType>>, ApiError> {
    let Some(words) = form.texts("event_types")? else { return Ok(None) };
    let mut types = words.iter().map(|word| read_type(word)).collect::<Result<Vec<_>, _>>()?;
    types.sort_by_key(|event_type| event_type.as_str());
    types.dedup();
    if types.is_empty() { Err(ApiError::invalid("event_types", "'event_types' is empty.")) } else { Ok(Some(types)) }
}

fn read_type(word: &str) -> Result<EventType, ApiError> {
    EventType::from_word(word).ok_or_else(|| {
        let known = EventType::ALL.map(EventType::as_str).join(", ");
        let shown: String = word.chars().take(80).collect();
        ApiError::invalid("event_types", format!("There is no event type {shown:?}. Allowed: {known}."))
    })
}
