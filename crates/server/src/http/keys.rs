//! Projects and their keys, for whoever is signed in. A key is shown when it is made and never again.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use platform::{ApiKey, ApiKeyId, ApiKeySecret, IpRange, ProjectId, Scope, Scopes, Service, Timestamp};
use serde::Serialize;
use store::Project;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::Done;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, Ids, List};
use crate::http::video_object::Deleted;

/// The most projects of a person, and the most keys of a project.
const MAX_PROJECTS: usize = 20;
const MAX_KEYS: usize = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/projects", Access::Person, list_projects)
            .says("Lists one's projects.")
            .answers_list::<ShownProject>(),
        post("/api/projects", Access::Person, create_project)
            .says("Makes a project.")
            .reads::<NameProject>(BodyKind::Json)
            .answers::<ShownProject>(),
        get("/api/projects/{project}", Access::Person, retrieve_project)
            .says("Reads a project.")
            .answers::<ShownProject>(),
        post("/api/projects/{project}", Access::Person, rename_project)
            .says("Renames a project.")
            .reads::<NameProject>(BodyKind::Json)
            .answers::<ShownProject>(),
        delete("/api/projects/{project}", Access::Person, archive_project)
            .says("Puts a project away: its keys do nothing any more.")
            .answers::<Deleted>(),
        get("/api/projects/{project}/keys", Access::Person, list_keys)
            .says("Lists a project's keys.")
            .answers_list::<ShownKey>(),
        post("/api/projects/{project}/keys", Access::Person, create_key)
            .says("Makes a key. It is shown here and never again.")
            .reads::<CreateKey>(BodyKind::Json)
            .answers::<NewKey>(),
        delete("/api/projects/{project}/keys/{key}", Access::Person, revoke_key)
            .says("Revokes a key.")
            .answers::<Deleted>(),
        post("/api/projects/{project}/keys/{key}/rotate", Access::Person, rotate_key)
            .says("Puts a new key in place of one, which stays good for the overlap.")
            .reads::<RotateKey>(BodyKind::Json)
            .answers::<NewKey>(),
        post("/api/account/key-letters", Access::Person, set_key_letters)
            .says("Switches the weekly letter about one's keys on or off.")
            .reads::<KeyLetters>(BodyKind::Json)
            .answers::<Done>(),
    ]
}

/// The weekly letter about keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyLetters {
    /// Whether one wants it.
    wanted: bool,
}

/// A project's name.
#[derive(Serialize, ToSchema)]
pub(crate) struct NameProject {
    /// 1 to 80 characters.
    name: String,
}

/// A project.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownProject {
    /// Its id.
    id: String,
    /// Always `project`.
    object: &'static str,
    /// Its name.
    name: String,
    /// Its tier.
    tier: String,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; null while it is in use.
    archived_at: Option<i64>,
}

/// A key to make.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateKey {
    /// 1 to 80 characters.
    name: String,
    /// What it may be used for; everything if it is not said.
    scopes: Option<Vec<String>>,
    /// Where it may be used from, such as `203.0.113.0/24`; anywhere if it is not said.
    allowed_ips: Option<Vec<String>>,
    /// Seconds until it ends, at least 60; never if it is not said.
    expires_in_seconds: Option<u64>,
}

/// A rotation.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotateKey {
    /// How long the old key stays good: 0 to 604,800; 0 if it is not said.
    overlap_seconds: Option<u64>,
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownKey {
    /// Its public id.
    pub(crate) id: String,
    /// Always `api_key`.
    pub(crate) object: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// What it may be used for.
    pub(crate) scopes: Vec<&'static str>,
    /// Where it may be used from.
    pub(crate) allowed_ips: Vec<String>,
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// Unix seconds.
    pub(crate) expires_at: Option<i64>,
    /// Unix seconds; may be to come.
    pub(crate) revoked_at: Option<i64>,
    /// Unix seconds, to the minute.
    pub(crate) last_used_at: Option<i64>,
    /// From which part of the internet it was last used, such as `203.0.0.0/16`.
    pub(crate) last_used_from: Option<String>,
}

/// A key with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    #[serde(flatten)]
    pub(crate) key: ShownKey,
    /// The whole key.
    pub(crate) secret: String,
}

impl From<&Project> for ShownProject {
    fn from(project: &Project) -> Self {
        Self {
            id: project.id.to_string(),
            object: "project",
            name: project.name.clone(),
            tier: project.tier.clone(),
            created_at: project.created_at.seconds(),
            archived_at: project.archived_at.map(Timestamp::seconds),
        }
    }
}

impl From<&ApiKey> for ShownKey {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            object: "api_key",
            name: key.name.clone(),
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            allowed_ips: key.allowed_ips.iter().map(ToString::to_string).collect(),
            created_at: key.created_at.seconds(),
            expires_at: key.expires_at.map(Timestamp::seconds),
            revoked_at: key.revoked_at.map(Timestamp::seconds),
            last_used_at: key.last_used_at.map(Timestamp::seconds),
            last_used_from: key.last_used_from.map(|range| range.to_string()),
        }
    }
}

/// A project of the person; others' are as good as none.
async fn own(app: &App, person: &Person, id: ProjectId) -> Result<Project, ApiError> {
    let project = app.store.project(id).await?;
    if project.owner == person.identity() { Ok(project) } else { Err(ApiError::not_found("project")) }
}

async fn list_projects(State(app): State<App>, person: Person) -> Result<Json<List<ShownProject>>, ApiError> {
    let projects = app.store.projects(person.identity()).await?;
    let shown = projects.iter().map(ShownProject::from).collect();
    Ok(Json(List::new(shown, |project: &ShownProject| project.id.clone(), false)))
}

pub(crate) async fn create_project(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<ShownProject>, ApiError> {
    person.membership(Service::Api).active()?;
    let name = read_name(&form)?;
    let projects = app.store.projects(person.identity()).await?;
    if projects.len() >= MAX_PROJECTS {
        return Err(ApiError::state(format!("A person has at most {MAX_PROJECTS} projects.")));
    }
    // A new project is of the tier that the person came with.
    let tier = projects.first().map_or(&app.settings.default_tier, |project| &project.tier).clone();
    let now = app.now();
    let id = ProjectId::new(now, app.random());
    let project = Project { id, owner: person.identity(), name, tier, created_at: now, archived_at: None };
    app.store.create_project(&project).await?;
    Ok(Json(ShownProject::from(&project)))
}

async fn retrieve_project(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
) -> Result<Json<ShownProject>, ApiError> {
    Ok(Json(ShownProject::from(&own(&app, &person, id).await?)))
}

pub(crate) async fn rename_project(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
    form: Form,
) -> Result<Json<ShownProject>, ApiError> {
    let project = own(&app, &person, id).await?;
    app.store.change_project(id, &read_name(&form)?, &project.tier).await?;
    Ok(Json(ShownProject::from(&app.store.project(id).await?)))
}

pub(crate) async fn archive_project(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
) -> Result<Json<Deleted>, ApiError> {
    person.fresh(app.now())?;
    own(&app, &person, id).await?;
    app.store.archive_project(id, app.now()).await?;
    app.keys.clear();
    Ok(Json(Deleted::new(id, "project.archived")))
}

async fn list_keys(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
) -> Result<Json<List<ShownKey>>, ApiError> {
    own(&app, &person, id).await?;
    let keys = app.store.api_keys(id).await?;
    Ok(Json(List::new(keys.iter().map(ShownKey::from).collect(), |key: &ShownKey| key.id.clone(), false)))
}

pub(crate) async fn create_key(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
    form: Form,
) -> Result<Json<NewKey>, ApiError> {
    person.membership(Service::Api).active()?;
    let project = own(&app, &person, id).await?;
    if project.archived_at.is_some() {
        return Err(ApiError::state("This project was put away."));
    }
    let now = app.now();
    let alive = |key: &&ApiKey| key.revoked_at.is_none_or(|end| end > now);
    if app.store.api_keys(id).await?.iter().filter(alive).count() >= MAX_KEYS {
        return Err(ApiError::state(format!("A project has at most {MAX_KEYS} keys.")));
    }
    let expires_in = form.whole("expires_in_seconds", 60, 10 * 366 * 86_400)?.map(Duration::from_secs);
    let secret = ApiKeySecret::new(ApiKeyId::new(now, app.random()), app.random());
    let key = ApiKey {
        id: secret.id(),
        project: id,
        name: read_name(&form)?,
        hash: secret.hash(),
        scopes: read_scopes(&form)?,
        allowed_ips: read_ips(&form)?,
        created_at: now,
        expires_at: expires_in.map(|expires_in| now + expires_in),
        revoked_at: None,
        last_used_at: None,
        last_used_from: None,
    };
    app.store.create_api_key(&key).await?;
    Ok(Json(NewKey { key: ShownKey::from(&key), secret: secret.reveal() }))
}

pub(crate) async fn revoke_key(
    State(app): State<App>,
    person: Person,
    Ids(project, key): Ids<ProjectId, ApiKeyId>,
) -> Result<Json<Deleted>, ApiError> {
    own(&app, &person, project).await?;
    app.store.revoke_api_key(project, key, app.now()).await?;
    app.keys.clear();
    Ok(Json(Deleted::new(key, "api_key.revoked")))
}

pub(crate) async fn rotate_key(
    State(app): State<App>,
    person: Person,
    Ids(project, key): Ids<ProjectId, ApiKeyId>,
    form: Form,
) -> Result<Json<NewKey>, ApiError> {
    person.membership(Service::Api).active()?;
    own(&app, &person, project).await?;
    let overlap = Duration::from_secs(form.whole("overlap_seconds", 0, u64::from(u32::MAX))?.unwrap_or(0));
    let old = app.store.api_key(key).await?.filter(|old| old.project == project);
    let old = old.ok_or_else(|| ApiError::not_found("API key"))?;
    let now = app.now();
    let secret = ApiKeySecret::new(ApiKeyId::new(now, app.random()), app.random());
    let new = ApiKey {
        id: secret.id(),
        hash: secret.hash(),
        created_at: now,
        revoked_at: None,
        last_used_at: None,
        last_used_from: None,
        ..old.clone()
    };
    app.store.rotate_api_key(old.id, &new, overlap, now).await?;
    app.keys.clear();
    Ok(Json(NewKey { key: ShownKey::from(&new), secret: secret.reveal() }))
}

pub(crate) async fn set_key_letters(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let wanted = form.flag("wanted")?.ok_or_else(|| ApiError::missing("wanted"))?;
    app.store.want_key_letters(person.identity(), wanted, app.now()).await?;
    Ok(Json(Done::new()))
}

fn read_name(form: &Form) -> Result<String, ApiError> {
    let name = form.needed_text("name")?.trim();
    if (1..=80).contains(&name.chars().count()) {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid("name", "'name' must have 1 to 80 characters."))
}

fn read_scopes(form: &Form) -> Result<Scopes, ApiError> {
    let Some(words) = form.texts("scopes")? else { return Ok(Scopes::ALL) };
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    let refused = || ApiError::invalid("scopes", format!("A scope is one of {known}."));
    Scopes::from_words(&words.join(" ")).filter(|scopes| scopes.iter().next().is_some()).ok_or_else(refused)
}

fn read_ips(form: &Form) -> Result<Vec<IpRange>, ApiError> {
    let words = form.texts("allowed_ips")?.unwrap_or_default();
    if words.len() > 100 {
        return Err(ApiError::invalid("allowed_ips", "A key has at most 100 ranges of addresses."));
    }
    let range = |word: &String| word.parse().map_err(|error| ApiError::invalid("allowed_ips", format!("{error}.")));
    words.iter().map(range).collect()
}
