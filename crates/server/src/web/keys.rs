//! Projects, their keys and webhooks, for people. A secret is shown when it is made and never again.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{ApiKeyId, EventType, ProjectId, Service, WebhookEndpointId};
use store::{Order, Page as Part, Project};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::keys::{create_key, create_project, revoke_key, rotate_key};
use crate::http::page::{Id, Ids};
use crate::http::webhook_endpoints::{create_endpoint, delete_endpoint, test_endpoint};
use crate::key_letters::ends_soon;
use crate::web::guard::{Visitor, is_guards};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/keys", Viewer::Person, show_keys),
        post("/account/projects", Viewer::Person, new_project),
        post("/account/keys/{project}", Viewer::Person, new_key),
        post("/account/keys/{project}/{key}/revoke", Viewer::Person, revoke),
        post("/account/keys/{project}/{key}/rotate", Viewer::Person, rotate),
        post("/account/webhooks/{project}", Viewer::Person, new_webhook),
        post("/account/webhooks/{project}/{id}/delete", Viewer::Person, delete_webhook),
        post("/account/webhooks/{project}/{id}/test", Viewer::Person, test_webhook),
    ]
}

struct KeyView {
    id: String,
    name: String,
    used: Option<Moment>,
    /// From which part of the internet.
    used_from: Option<String>,
    made: Moment,
    ends: Option<Moment>,
    ends_soon: bool,
}

struct WebhookView {
    id: String,
    name: String,
    url: String,
    events: String,
}

struct ProjectView {
    id: String,
    name: String,
    tier: String,
    keys: Vec<KeyView>,
    webhooks: Vec<WebhookView>,
}

/// A secret that is shown this once.
struct Secret {
    name: String,
    text: String,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    shell: Shell,
    member: bool,
    projects: Vec<ProjectView>,
    event_types: Vec<&'static str>,
    base: String,
    secret: Option<Secret>,
    notice: Option<String>,
    said: Option<String>,
}

async fn keys_page(app: &App, visitor: &Visitor, person: &Person) -> Result<KeysPage, ApiError> {
    let mut projects = Vec::new();
    for project in app.store.projects(person.identity()).await?.into_iter().filter(|one| one.archived_at.is_none()) {
        projects.push(show_project(app, &project).await?);
    }
    Ok(KeysPage {
        shell: Shell::new(app, visitor, "keys.title", Here::Account),
        member: person.membership(Service::Api).readable().is_ok(),
        projects,
        event_types: EventType::ALL.map(EventType::as_str).into(),
        base: app.settings.base_url.clone(),
        secret: None,
        notice: None,
        said: None,
    })
}

async fn show_project(app: &App, project: &Project) -> Result<ProjectView, ApiError> {
    let now = app.now();
    let keys = app.store.api_keys(project.id).await?;
    let part = Part { after: None, limit: 100, order: Order::Descending };
    let webhooks = app.store.webhook_endpoints(project.id, part).await?;
    let alive = |key: &&platform::ApiKey| {
        key.revoked_at.is_none_or(|end| end > now) && key.expires_at.is_none_or(|end| end > now)
    };
    Ok(ProjectView {
        id: project.id.to_string(),
        name: project.name.clone(),
        tier: project.tier.clone(),
        keys: keys
            .iter()
            .filter(alive)
            .map(|key| KeyView {
                id: key.id.to_string(),
                name: key.name.clone(),
                used: key.last_used_at.map(Moment::of),
                used_from: key.last_used_from.map(|range| range.to_string()),
                made: Moment::of(key.created_at),
                // A rotation's end is one too.
                ends: key.revoked_at.or(key.expires_at).map(Moment::of),
                ends_soon: key.revoked_at.is_some() || ends_soon(key, now),
            })
            .collect(),
        webhooks: webhooks
            .iter()
            .map(|webhook| WebhookView {
                id: webhook.id.to_string(),
                name: webhook.name.clone(),
                url: webhook.url.clone(),
                events: webhook.event_types.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "),
            })
            .collect(),
    })
}

/// The page with a secret or a notice, or with what went wrong.
async fn answer(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    result: Result<(Option<Secret>, Option<String>), ApiError>,
) -> Result<Response, ApiError> {
    match result {
        Ok((None, None)) => Ok(go("/account/keys")),
        Ok((secret, notice)) => Ok(html(&KeysPage { secret, notice, ..keys_page(app, visitor, person).await? })),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&KeysPage { said, ..keys_page(app, visitor, person).await? }, &error))
        }
    }
}

/// A project of the person's own, as whoever works in it.
async fn own(app: &App, person: &Person, id: ProjectId) -> Result<Project, ApiError> {
    person.membership(Service::Api).readable()?;
    let project = app.store.project(id).await?;
    if project.owner == person.identity() { Ok(project) } else { Err(ApiError::not_found("project")) }
}

async fn show_keys(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    Ok(html(&keys_page(&app, &visitor, &person).await?))
}

async fn new_project(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let made = create_project(State(app.clone()), person.clone(), form).await.map(|_| (None, None));
    answer(&app, &visitor, &person, made).await
}

async fn new_key(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    project: Id<ProjectId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let made = create_key(State(app.clone()), person.clone(), project, form).await;
    let made = made.map(|key| (Some(Secret { name: key.0.key.name.clone(), text: key.0.secret.clone() }), None));
    answer(&app, &visitor, &person, made).await
}

async fn revoke(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    ids: Ids<ProjectId, ApiKeyId>,
) -> Result<Response, ApiError> {
    let revoked = revoke_key(State(app.clone()), person.clone(), ids).await.map(|_| (None, None));
    answer(&app, &visitor, &person, revoked).await
}

async fn rotate(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    ids: Ids<ProjectId, ApiKeyId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let made = rotate_key(State(app.clone()), person.clone(), ids, form).await;
    let made = made.map(|key| (Some(Secret { name: key.0.key.name.clone(), text: key.0.secret.clone() }), None));
    answer(&app, &visitor, &person, made).await
}

async fn new_webhook(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(project): Id<ProjectId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let made = async {
        // A new webhook is something new of the `api` service; the endpoint's own access asks for that with keys.
        person.membership(Service::Api).active()?;
        let caller = person.caller(own(&app, &person, project).await?, Service::Api);
        let made = create_endpoint(State(app.clone()), caller, form).await?.0;
        Ok((Some(Secret { name: made.endpoint.name, text: made.signing_secret }), None))
    };
    let made = made.await;
    answer(&app, &visitor, &person, made).await
}

async fn delete_webhook(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Ids(project, id): Ids<ProjectId, WebhookEndpointId>,
) -> Result<Response, ApiError> {
    let deleted = async {
        let caller = person.caller(own(&app, &person, project).await?, Service::Api);
        delete_endpoint(State(app.clone()), caller, Id(id)).await.map(|_| (None, None))
    };
    let deleted = deleted.await;
    answer(&app, &visitor, &person, deleted).await
}

async fn test_webhook(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Ids(project, id): Ids<ProjectId, WebhookEndpointId>,
) -> Result<Response, ApiError> {
    let tested = async {
        let caller = person.caller(own(&app, &person, project).await?, Service::Api);
        let mut form = Form::default();
        form.set("event_type", Field::Text(EventType::VideoCompleted.as_str().to_owned()));
        let tested = test_endpoint(State(app.clone()), caller, Id(id), form).await?.0;
        let words = visitor.words;
        let said = match tested.status_code {
            Some(status) => words.fill("keys.tested", &[&status]),
            None => words.say("keys.test_failed").to_owned(),
        };
        Ok((None, Some(said)))
    };
    let tested = tested.await;
    answer(&app, &visitor, &person, tested).await
}
