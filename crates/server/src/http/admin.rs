//! What administrators do: people, roles, tiers, invites, projects, keys, models, the queue. Every change is recorded.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use platform::{
    ApiKeyId, Credits, IdentityId, Invite, LedgerEntryId, ModelName, ProjectId, Quotas, Role, Service, Tier, Timestamp,
    Token, TokenHash, TokenKind, hex,
};
use serde::Serialize;
use store::{AuditEntry, StoredInvite};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::Done;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::memberships::ShownMembership;
use crate::http::page::{Id, List, Values, one_more, path_texts};
use crate::http::video_object::Deleted;

const ADMIN: Access = Access::Administrator;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/admin/identities", ADMIN, list_identities)
            .says("Lists people, the oldest first.")
            .query(&[("after", "Begin behind this id."), ("limit", "So many at most.")])
            .answers_list::<ShownIdentity>(),
        get("/api/admin/identities/{id}", ADMIN, retrieve_identity)
            .says("Reads what is known of a person.")
            .answers::<ShownIdentity>(),
        post("/api/admin/identities/{id}/role", ADMIN, change_role)
            .says("Gives someone a role in a service that they joined.")
            .reads::<ChangeRole>(BodyKind::Json)
            .answers::<ShownIdentity>(),
        get("/api/admin/tiers", ADMIN, list_tiers).says("Lists tiers.").answers_list::<ShownTier>(),
        post("/api/admin/tiers", ADMIN, set_tier)
            .says("Keeps a tier in place of the one of its name; what is not said is as at the start.")
            .reads::<SetTier>(BodyKind::Json)
            .answers::<ShownTier>(),
        get("/api/admin/invites", ADMIN, list_invites).says("Lists invites.").answers_list::<ShownInvite>(),
        post("/api/admin/invites", ADMIN, create_invite)
            .says("Makes an invite. Its code is shown here and never again.")
            .reads::<CreateInvite>(BodyKind::Json)
            .answers::<NewInvite>(),
        delete("/api/admin/invites/{id}", ADMIN, revoke_invite).says("Withdraws an invite.").answers::<Deleted>(),
        post("/api/admin/projects/{id}/tier", ADMIN, change_project_tier)
            .says("Moves a project to another tier.")
            .reads::<ChangeTier>(BodyKind::Json)
            .answers::<Done>(),
        post("/api/admin/projects/{id}/grant", ADMIN, grant_credits)
            .says("Gives a project credits, or takes some.")
            .reads::<Grant>(BodyKind::Json)
            .answers::<Done>(),
        delete("/api/admin/keys/{id}", ADMIN, revoke_any_key).says("Revokes anyone's key.").answers::<Deleted>(),
        get("/api/admin/model-aliases", ADMIN, list_aliases)
            .says("Lists the aliases of models.")
            .answers_list::<Alias>(),
        post("/api/admin/model-aliases", ADMIN, set_alias)
            .says("Maps an alias to a model, or with no model forgets it.")
            .reads::<SetAlias>(BodyKind::Json)
            .answers::<Done>(),
        get("/api/admin/queue", ADMIN, retrieve_queue).says("Says how full the queue is.").answers::<Queue>(),
        get("/api/admin/audit", ADMIN, list_audit)
            .says("Lists the newest 100 lines of what was done to others.")
            .answers_list::<ShownAudit>(),
    ]
}

/// A role to give.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeRole {
    /// In which service.
    service: String,
    /// `member`, `moderator` or `administrator`.
    role: String,
}

/// A person.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownIdentity {
    /// Its id.
    pub(crate) id: String,
    /// Always `identity`.
    pub(crate) object: &'static str,
    /// The address.
    pub(crate) email: String,
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// What was ever joined.
    pub(crate) memberships: Vec<ShownMembership>,
}

/// A tier to keep.
#[derive(Serialize, ToSchema)]
pub(crate) struct SetTier {
    /// 1 to 40 of a-z, 0-9 and -.
    name: String,
    /// Requests in a minute.
    requests_per_minute: Option<u32>,
    /// Jobs at one time.
    concurrent_jobs: Option<u32>,
    /// Seconds of video a day; no limit if it is not said.
    seconds_per_day: Option<u32>,
    /// The longest clip.
    longest_seconds: Option<u32>,
    /// Clips in one request.
    most_at_once: Option<u32>,
    /// Higher comes first.
    priority: Option<i32>,
    /// The share among projects of one priority, 1 to 1,000.
    weight: Option<u32>,
    /// Whether work must be covered by credits.
    metered: Option<bool>,
}

/// A tier.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownTier {
    /// Its name.
    name: String,
    /// Always `tier`.
    object: &'static str,
    /// Requests in a minute.
    requests_per_minute: u32,
    /// Jobs at one time.
    concurrent_jobs: u32,
    /// Seconds of video a day; null for no limit.
    seconds_per_day: Option<u32>,
    /// The longest clip.
    longest_seconds: u32,
    /// Clips in one request.
    most_at_once: u32,
    /// Higher comes first.
    priority: i32,
    /// The share among projects of one priority.
    weight: u32,
    /// Whether work must be covered by credits.
    metered: bool,
}

/// An invite to make.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateInvite {
    /// The tier that it leads to; the default one if it is not said.
    tier: Option<String>,
    /// How often it can be used; once if it is not said.
    uses: Option<u32>,
    /// Seconds until it ends; never if it is not said.
    expires_in_seconds: Option<u64>,
    /// Whom it is for.
    note: Option<String>,
}

/// An invite.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownInvite {
    /// Its id, which is no code.
    pub(crate) id: String,
    /// Always `invite`.
    pub(crate) object: &'static str,
    /// Whom it is for.
    pub(crate) note: String,
    /// The tier that it leads to.
    pub(crate) tier: String,
    /// How often it can be used.
    pub(crate) uses_allowed: u32,
    /// How often it was.
    pub(crate) uses: u32,
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// Unix seconds.
    pub(crate) expires_at: Option<i64>,
    /// Unix seconds.
    pub(crate) revoked_at: Option<i64>,
}

/// An invite with its code.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewInvite {
    #[serde(flatten)]
    pub(crate) invite: ShownInvite,
    /// The code to hand out.
    pub(crate) code: String,
}

/// A tier to move to.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeTier {
    /// Its name.
    tier: String,
}

/// Credits to give.
#[derive(Serialize, ToSchema)]
pub(crate) struct Grant {
    /// In millionths of a credit; negative takes some.
    micros: i64,
    /// Why.
    note: Option<String>,
}

/// An alias of a model.
#[derive(Serialize, ToSchema)]
pub(crate) struct Alias {
    /// What requests say.
    alias: String,
    /// What it means.
    model: String,
}

/// An alias to map.
#[derive(Serialize, ToSchema)]
pub(crate) struct SetAlias {
    /// What requests say.
    alias: String,
    /// What it means.
    model: Option<String>,
}

/// The queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct Queue {
    /// Always `queue`.
    object: &'static str,
    /// Jobs that wait.
    queued: u64,
    /// Jobs that are worked on.
    leased: u64,
}

/// A line of the record.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownAudit {
    /// Unix seconds.
    at: i64,
    /// By whom; null for the installation itself.
    actor: Option<String>,
    /// What.
    action: String,
    /// To what.
    subject: String,
    /// More.
    detail: String,
}

async fn record(app: &App, person: &Person, action: &str, subject: String, detail: String) -> Result<(), ApiError> {
    let (at, actor) = (app.now(), Some(person.identity()));
    Ok(app.store.record_audit(&AuditEntry { at, actor, action: action.into(), subject, detail }).await?)
}

async fn show_identity(app: &App, identity: store::Identity) -> Result<ShownIdentity, ApiError> {
    let memberships = app.store.memberships(identity.id).await?;
    Ok(ShownIdentity {
        id: identity.id.to_string(),
        object: "identity",
        email: identity.email,
        created_at: identity.created_at.seconds(),
        memberships: memberships
            .into_iter()
            .map(|membership| ShownMembership::from(&membership.at(app.now())))
            .collect(),
    })
}

pub(crate) async fn list_identities(
    State(app): State<App>,
    _: Person,
    values: Values,
) -> Result<Json<List<ShownIdentity>>, ApiError> {
    let page = values.page::<IdentityId>()?;
    let mut identities = app.store.identities(page.after, one_more(&page).limit).await?;
    let has_more = identities.len() > page.limit as usize;
    identities.truncate(page.limit as usize);
    let mut shown = Vec::new();
    for identity in identities {
        shown.push(show_identity(&app, identity).await?);
    }
    Ok(Json(List::new(shown, |identity| identity.id.clone(), has_more)))
}

async fn retrieve_identity(
    State(app): State<App>,
    _: Person,
    Id(id): Id<IdentityId>,
) -> Result<Json<ShownIdentity>, ApiError> {
    show_identity(&app, app.store.identity(id).await?).await.map(Json)
}

pub(crate) async fn change_role(
    State(app): State<App>,
    person: Person,
    Id(id): Id<IdentityId>,
    form: Form,
) -> Result<Json<ShownIdentity>, ApiError> {
    person.fresh(app.now())?;
    let service = Service::from_word(form.needed_text("service")?);
    let service = service.ok_or_else(|| ApiError::invalid("service", "There is no such service."))?;
    let role = Role::from_word(form.needed_text("role")?)
        .ok_or_else(|| ApiError::invalid("role", "There is no such role."))?;
    let identity = app.store.identity(id).await?;
    app.store.set_role(id, service, role).await?;
    record(&app, &person, "identity.role", id.to_string(), format!("{service}: {}", role.as_str())).await?;
    app.keys.clear();
    show_identity(&app, identity).await.map(Json)
}

fn show_tier(tier: &Tier) -> ShownTier {
    let Quotas {
        requests_per_minute,
        concurrent_jobs,
        seconds_per_day,
        longest_seconds,
        most_at_once,
        priority,
        weight,
    } = tier.quotas;
    ShownTier {
        name: tier.name.clone(),
        object: "tier",
        requests_per_minute,
        concurrent_jobs,
        seconds_per_day,
        longest_seconds,
        most_at_once,
        priority,
        weight,
        metered: tier.metered,
    }
}

async fn list_tiers(State(app): State<App>, _: Person) -> Result<Json<List<ShownTier>>, ApiError> {
    let tiers = app.store.tiers().await?;
    Ok(Json(List::new(tiers.iter().map(show_tier).collect(), |tier: &ShownTier| tier.name.clone(), false)))
}

pub(crate) async fn set_tier(State(app): State<App>, person: Person, form: Form) -> Result<Json<ShownTier>, ApiError> {
    let name = form.needed_text("name")?.to_owned();
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !plain || !(1..=40).contains(&name.len()) {
        return Err(ApiError::invalid("name", "A tier's name has 1 to 40 of a-z, 0-9 and -."));
    }
    let number = |field: &str, least: u64, otherwise: u32| -> Result<u32, ApiError> {
        Ok(form.whole(field, least, 1_000_000_000)?.map_or(otherwise, |number| number as u32))
    };
    let start = Quotas::DEFAULT;
    let priority = match form.number("priority")?.map(str::parse::<i32>) {
        None => start.priority,
        Some(Ok(priority)) if (-1000..=1000).contains(&priority) => priority,
        Some(_) => return Err(ApiError::invalid("priority", "A priority is a whole number from -1000 to 1000.")),
    };
    let quotas = Quotas {
        requests_per_minute: number("requests_per_minute", 0, start.requests_per_minute)?,
        concurrent_jobs: number("concurrent_jobs", 0, start.concurrent_jobs)?,
        seconds_per_day: form.whole("seconds_per_day", 0, 1_000_000_000)?.map(|seconds| seconds as u32),
        longest_seconds: number("longest_seconds", 0, start.longest_seconds)?,
        most_at_once: number("most_at_once", 1, start.most_at_once)?.min(10),
        priority,
        weight: number("weight", 1, start.weight)?.min(1000),
    };
    let tier = Tier { name, quotas, metered: form.flag("metered")?.unwrap_or(false) };
    app.store.set_tier(&tier).await?;
    record(&app, &person, "tier.set", tier.name.clone(), format!("{quotas:?}")).await?;
    app.keys.clear();
    Ok(Json(show_tier(&tier)))
}

fn show_invite(stored: &StoredInvite) -> ShownInvite {
    ShownInvite {
        id: hex(&stored.hash.bytes()),
        object: "invite",
        note: stored.note.clone(),
        tier: stored.invite.tier.clone(),
        uses_allowed: stored.invite.uses_allowed,
        uses: stored.invite.uses,
        created_at: stored.created_at.seconds(),
        expires_at: stored.invite.expires_at.map(Timestamp::seconds),
        revoked_at: stored.invite.revoked_at.map(Timestamp::seconds),
    }
}

async fn list_invites(State(app): State<App>, _: Person) -> Result<Json<List<ShownInvite>>, ApiError> {
    let invites = app.store.invites().await?;
    Ok(Json(List::new(invites.iter().map(show_invite).collect(), |invite: &ShownInvite| invite.id.clone(), false)))
}

pub(crate) async fn create_invite(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<NewInvite>, ApiError> {
    let (now, token) = (app.now(), Token::new(TokenKind::Invite, app.random()));
    let tier = form.text("tier")?.unwrap_or(&app.settings.default_tier).to_owned();
    known_tier(&app, &tier).await?;
    let invite = Invite {
        tier,
        uses_allowed: form.whole("uses", 1, 100_000)?.map_or(1, |uses| uses as u32),
        uses: 0,
        expires_at: form
            .whole("expires_in_seconds", 60, 366 * 86_400)?
            .map(|seconds| now + Duration::from_secs(seconds)),
        revoked_at: None,
    };
    let note: String = form.text("note")?.unwrap_or_default().chars().take(200).collect();
    let stored = StoredInvite { hash: token.hash(), note, invite, created_at: now };
    app.store.create_invite(&stored).await?;
    let shown = show_invite(&stored);
    record(&app, &person, "invite.create", shown.id.clone(), stored.note.clone()).await?;
    Ok(Json(NewInvite { invite: shown, code: token.reveal() }))
}

/// Refuses a tier that is not there.
async fn known_tier(app: &App, name: &str) -> Result<(), ApiError> {
    match app.store.tier(name).await {
        Ok(_) => Ok(()),
        Err(store::StoreError::NotFound(_)) => Err(ApiError::invalid("tier", "There is no such tier.")),
        Err(error) => Err(error.into()),
    }
}

/// The id of an invite in the path: the hash of its code.
pub(crate) struct InviteInPath(TokenHash);

impl<S: Send + Sync> FromRequestParts<S> for InviteInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let text = texts.first().filter(|text| text.len() == 64 && text.is_ascii());
        let bytes: Option<Vec<u8>> = text
            .map(|text| {
                (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect::<Option<Vec<_>>>()
            })
            .unwrap_or_default();
        let hash = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(TokenHash::from_bytes);
        hash.map(Self).ok_or_else(|| ApiError::not_found("invite"))
    }
}

pub(crate) async fn revoke_invite(
    State(app): State<App>,
    person: Person,
    InviteInPath(hash): InviteInPath,
) -> Result<Json<Deleted>, ApiError> {
    app.store.revoke_invite(hash, app.now()).await?;
    let id = hex(&hash.bytes());
    record(&app, &person, "invite.revoke", id.clone(), String::new()).await?;
    Ok(Json(Deleted::new(id, "invite.revoked")))
}

pub(crate) async fn change_project_tier(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let tier = form.needed_text("tier")?;
    let project = app.store.project(id).await?;
    known_tier(&app, tier).await?;
    app.store.change_project(id, &project.name, tier).await?;
    record(&app, &person, "project.tier", id.to_string(), tier.to_owned()).await?;
    app.keys.clear();
    Ok(Json(Done::new()))
}

pub(crate) async fn grant_credits(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ProjectId>,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let text = form.number("micros")?.ok_or_else(|| ApiError::missing("micros"))?;
    let micros = text.parse::<i64>().ok().filter(|micros| micros.unsigned_abs() <= 1_000_000_000_000_000);
    let micros =
        micros.ok_or_else(|| ApiError::invalid("micros", "'micros' must be a whole number, at most 10^15."))?;
    let note: String = form.text("note")?.unwrap_or_default().chars().take(200).collect();
    let (now, amount) = (app.now(), Credits::from_micros(micros));
    app.store.grant(LedgerEntryId::new(now, app.random()), id, amount, &note, now).await?;
    record(&app, &person, "project.grant", id.to_string(), format!("{amount}: {note}")).await?;
    Ok(Json(Done::new()))
}

async fn revoke_any_key(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ApiKeyId>,
) -> Result<Json<Deleted>, ApiError> {
    let key = app.store.api_key(id).await?.ok_or_else(|| ApiError::not_found("API key"))?;
    app.store.revoke_api_key(key.project, id, app.now()).await?;
    record(&app, &person, "key.revoke", id.to_string(), String::new()).await?;
    app.keys.clear();
    Ok(Json(Deleted::new(id, "api_key.revoked")))
}

async fn list_aliases(State(app): State<App>, _: Person) -> Result<Json<List<Alias>>, ApiError> {
    let aliases = app.store.model_aliases().await?;
    let show = |(alias, model): &(ModelName, ModelName)| Alias { alias: alias.to_string(), model: model.to_string() };
    Ok(Json(List::new(aliases.iter().map(show).collect(), |alias: &Alias| alias.alias.clone(), false)))
}

pub(crate) async fn set_alias(State(app): State<App>, person: Person, form: Form) -> Result<Json<Done>, ApiError> {
    let name = |param: &'static str, text: &str| {
        ModelName::parse(text).ok_or_else(|| ApiError::invalid(param, "This can be no model's name."))
    };
    let alias = name("alias", form.needed_text("alias")?)?;
    let model = form.text("model")?.map(|text| name("model", text)).transpose()?;
    if let Some(model) = &model
        && app.catalogue().resolve(Some(model.as_str())).ok().is_none_or(|(_, offer)| offer.name != *model)
    {
        return Err(ApiError::invalid("model", "There is no such model here."));
    }
    app.store.set_model_alias(&alias, model.as_ref(), app.now()).await?;
    app.reload_catalogue().await?;
    let detail = model.map_or_else(String::new, |model| model.to_string());
    record(&app, &person, "model.alias", alias.to_string(), detail).await?;
    Ok(Json(Done::new()))
}

async fn retrieve_queue(State(app): State<App>, _: Person) -> Result<Json<Queue>, ApiError> {
    let depth = app.store.queue_depth().await?;
    Ok(Json(Queue { object: "queue", queued: depth.queued, leased: depth.leased }))
}

async fn list_audit(State(app): State<App>, _: Person) -> Result<Json<List<ShownAudit>>, ApiError> {
    let entries = app.store.audit(100).await?;
    let show = |entry: &AuditEntry| ShownAudit {
        at: entry.at.seconds(),
        actor: entry.actor.map(|actor| actor.to_string()),
        action: entry.action.clone(),
        subject: entry.subject.clone(),
        detail: entry.detail.clone(),
    };
    Ok(Json(List::new(entries.iter().map(show).collect(), |entry: &ShownAudit| entry.at.to_string(), false)))
}
