//! The registry of rights: agents who speak for holders, checked by administrators, and what they allow and forbid.

use axum::Json;
use axum::extract::State;
use platform::policy::{RightsEntry, RightsError, RightsKind, RightsUse, Stance};
use platform::{RightsAgentId, RightsId, Timestamp};
use serde::Serialize;
use store::{AuditEntry, RightsAgent, StoredRights};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List};
use crate::http::video_object::Deleted;

const ADMIN: Access = Access::Administrator;

/// The longest name, contact, holder or proof.
const MAX_TEXT: usize = 300;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/admin/rights-agents", ADMIN, list_agents)
            .says("Lists who speaks for holders of rights.")
            .answers_list::<ShownAgent>(),
        post("/api/admin/rights-agents", ADMIN, create_agent)
            .says("Adds someone who speaks for holders of rights. What they say counts once they are verified.")
            .reads::<CreateAgent>(BodyKind::Json)
            .answers::<ShownAgent>(),
        post("/api/admin/rights-agents/{id}/verify", ADMIN, verify_agent)
            .says("Writes down how it was checked that an agent may speak; from now on what they say counts.")
            .reads::<VerifyAgent>(BodyKind::Json)
            .answers::<ShownAgent>(),
        delete("/api/admin/rights-agents/{id}", ADMIN, revoke_agent)
            .says("Revokes an agent: nothing they said counts any more.")
            .answers::<Deleted>(),
        get("/api/admin/rights", ADMIN, list_rights)
            .says("Lists the registry of rights, withdrawn entries too.")
            .answers_list::<ShownRights>(),
        post("/api/admin/rights", ADMIN, create_rights)
            .says("Adds what a holder of rights allows or forbids.")
            .reads::<CreateRights>(BodyKind::Json)
            .answers::<ShownRights>(),
        delete("/api/admin/rights/{id}", ADMIN, withdraw_rights).says("Takes an entry back.").answers::<Deleted>(),
    ]
}

/// An agent to add.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateAgent {
    /// A firm, an estate or a person.
    name: String,
    /// A mail address or a page.
    contact: String,
}

/// How an agent was checked.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerifyAgent {
    /// What was seen: a mandate, a register, a letter.
    proof: String,
}

/// Someone who speaks for holders of rights.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownAgent {
    /// Its id.
    pub(crate) id: String,
    /// Always `rights_agent`.
    pub(crate) object: &'static str,
    /// A firm, an estate or a person.
    pub(crate) name: String,
    /// A mail address or a page.
    pub(crate) contact: String,
    /// How it was checked that they may speak.
    pub(crate) proof: String,
    /// Which administrator checked it; null if nobody has.
    pub(crate) verified_by: Option<String>,
    /// Unix seconds at which that was; null if nobody has.
    pub(crate) verified_at: Option<i64>,
    /// Unix seconds at which the agent was revoked.
    pub(crate) revoked_at: Option<i64>,
}

/// What a holder allows or forbids.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateRights {
    /// Who says so.
    agent: String,
    /// `work`, `character`, `artist` or `name`.
    kind: String,
    /// `opt_out`: it is not to be made here. `opt_in`: it may be, whatever the built-in rules say of the name.
    stance: String,
    /// The name and its other spellings, 1 to 40 of 200 characters at most.
    names: Vec<String>,
    /// What it reaches: `prompts`, `references`, `remixes`, `training`.
    uses: Vec<String>,
    /// Who holds the right, as refusals say it.
    holder: String,
    /// Unix seconds from which it counts; from now on if it is not said.
    from: Option<i64>,
    /// Unix seconds until which it counts; without end if it is not said.
    until: Option<i64>,
}

/// An entry of the registry.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownRights {
    /// Its id, which refusals name.
    pub(crate) id: String,
    /// Always `rights_entry`.
    pub(crate) object: &'static str,
    /// Who says so.
    pub(crate) agent: String,
    /// `work`, `character`, `artist` or `name`.
    pub(crate) kind: &'static str,
    /// `opt_out` or `opt_in`.
    pub(crate) stance: &'static str,
    /// The name and its other spellings.
    pub(crate) names: Vec<String>,
    /// What it reaches.
    pub(crate) uses: Vec<&'static str>,
    /// Who holds the right.
    pub(crate) holder: String,
    /// Unix seconds from which it counts.
    pub(crate) from: i64,
    /// Unix seconds until which it counts; null if it does not end.
    pub(crate) until: Option<i64>,
    /// Unix seconds at which it was taken back.
    pub(crate) withdrawn_at: Option<i64>,
}

impl From<&RightsAgent> for ShownAgent {
    fn from(agent: &RightsAgent) -> Self {
        let (verified_by, verified_at) = agent.verified.unzip();
        Self {
            id: agent.id.to_string(),
            object: "rights_agent",
            name: agent.name.clone(),
            contact: agent.contact.clone(),
            proof: agent.proof.clone(),
            verified_by: verified_by.map(|by| by.to_string()),
            verified_at: verified_at.map(Timestamp::seconds),
            revoked_at: agent.revoked_at.map(Timestamp::seconds),
        }
    }
}

impl From<&StoredRights> for ShownRights {
    fn from(StoredRights { entry, agent, withdrawn_at }: &StoredRights) -> Self {
        Self {
            id: entry.id.to_string(),
            object: "rights_entry",
            agent: agent.to_string(),
            kind: entry.kind.as_str(),
            stance: entry.stance.as_str(),
            names: entry.names.clone(),
            uses: entry.uses.iter().map(|reach| reach.as_str()).collect(),
            holder: entry.holder.clone(),
            from: entry.from.seconds(),
            until: entry.until.map(Timestamp::seconds),
            withdrawn_at: withdrawn_at.map(Timestamp::seconds),
        }
    }
}

async fn list_agents(State(app): State<App>, _: Person) -> Result<Json<List<ShownAgent>>, ApiError> {
    let agents = app.store.rights_agents().await?;
    let shown = agents.iter().map(ShownAgent::from).collect();
    Ok(Json(List::new(shown, |agent: &ShownAgent| agent.id.clone(), false)))
}

/// A text of a form, not empty and not long.
pub(crate) fn short(form: &Form, name: &str) -> Result<String, ApiError> {
    let text = form.needed_text(name)?.trim();
    if !(1..=MAX_TEXT).contains(&text.chars().count()) {
        return Err(ApiError::invalid(name, format!("'{name}' must have 1 to {MAX_TEXT} characters.")));
    }
    Ok(text.to_owned())
}

pub(crate) async fn create_agent(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<ShownAgent>, ApiError> {
    let now = app.now();
    let agent = RightsAgent {
        id: RightsAgentId::new(now, app.random()),
        name: short(&form, "name")?,
        contact: short(&form, "contact")?,
        proof: String::new(),
        created_at: now,
        verified: None,
        revoked_at: None,
    };
    app.store.create_rights_agent(&agent).await?;
    record(&app, &person, "rights.agent", agent.id.to_string(), agent.name.clone()).await?;
    Ok(Json(ShownAgent::from(&agent)))
}

pub(crate) async fn verify_agent(
    State(app): State<App>,
    person: Person,
    Id(id): Id<RightsAgentId>,
    form: Form,
) -> Result<Json<ShownAgent>, ApiError> {
    let proof = short(&form, "proof")?;
    app.store.verify_rights_agent(id, person.identity(), &proof, app.now()).await?;
    record(&app, &person, "rights.verify", id.to_string(), proof).await?;
    Ok(Json(ShownAgent::from(&app.store.rights_agent(id).await?)))
}

pub(crate) async fn revoke_agent(
    State(app): State<App>,
    person: Person,
    Id(id): Id<RightsAgentId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.revoke_rights_agent(id, app.now()).await?;
    record(&app, &person, "rights.revoke", id.to_string(), String::new()).await?;
    Ok(Json(Deleted::new(id, "rights_agent.revoked")))
}

async fn list_rights(State(app): State<App>, _: Person) -> Result<Json<List<ShownRights>>, ApiError> {
    let rights = app.store.rights().await?;
    let shown = rights.iter().map(ShownRights::from).collect();
    Ok(Json(List::new(shown, |entry: &ShownRights| entry.id.clone(), false)))
}

pub(crate) async fn create_rights(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<ShownRights>, ApiError> {
    let now = app.now();
    let agent = form.needed_text("agent")?;
    let agent: RightsAgentId = agent.parse().map_err(|_| ApiError::invalid("agent", "There is no such agent."))?;
    let entry = read_entry(&app, &form)?;
    app.store.create_rights(agent, &entry, now).await?;
    record(&app, &person, "rights.enter", entry.id.to_string(), format!("{agent}: {}", entry.names.join(", "))).await?;
    Ok(Json(ShownRights::from(&StoredRights { entry, agent, withdrawn_at: None })))
}

/// What a form says that a holder allows or forbids, as an entry that can stand in the registry.
pub(crate) fn read_entry(app: &App, form: &Form) -> Result<RightsEntry, ApiError> {
    let now = app.now();
    let seconds = |name| Ok::<_, ApiError>(form.whole(name, 0, i64::MAX as u64 / 1_000_000)?.map(moment));
    let (kind, stance) = (form.needed_text("kind")?, form.needed_text("stance")?);
    let kind = RightsKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let stance = Stance::ALL.into_iter().find(|known| known.as_str() == stance);
    let names = form.texts("names")?.ok_or_else(|| ApiError::missing("names"))?;
    let mut uses = Vec::new();
    for word in form.texts("uses")?.ok_or_else(|| ApiError::missing("uses"))? {
        let reach = RightsUse::ALL.into_iter().find(|reach| reach.as_str() == word);
        let wrong = || ApiError::invalid("uses", "A use is prompts, references, remixes or training.");
        uses.push(reach.ok_or_else(wrong)?);
    }
    uses.dedup();
    let entry = RightsEntry {
        id: RightsId::new(now, app.random()),
        kind: kind.ok_or_else(|| ApiError::invalid("kind", "A kind is work, character, artist or name."))?,
        stance: stance.ok_or_else(|| ApiError::invalid("stance", "A stance is opt_out or opt_in."))?,
        // A line is a name in the rows.
        names: names.iter().map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).collect(),
        uses,
        holder: short(form, "holder")?,
        from: seconds("from")?.unwrap_or(now),
        until: seconds("until")?,
    };
    entry.check().map_err(refused)?;
    Ok(entry)
}

fn moment(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds as i64)
}

fn refused(error: RightsError) -> ApiError {
    let param = match error {
        RightsError::Names | RightsError::ShortName | RightsError::LongName => "names",
        RightsError::Uses => "uses",
        RightsError::Ends => "until",
        RightsError::Holder => "holder",
    };
    ApiError::invalid(param, format!("'{param}' cannot be so: {error}."))
}

pub(crate) async fn withdraw_rights(
    State(app): State<App>,
    person: Person,
    Id(id): Id<RightsId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.withdraw_rights(id, app.now()).await?;
    record(&app, &person, "rights.withdraw", id.to_string(), String::new()).await?;
    Ok(Json(Deleted::new(id, "rights_entry.withdrawn")))
}

/// Writes down what was done; this node reads the registry again.
async fn record(app: &App, person: &Person, action: &str, subject: String, detail: String) -> Result<(), ApiError> {
    app.judge.forget_rights();
    let (at, actor) = (app.now(), Some(person.identity()));
    let entry = AuditEntry { at, actor, action: action.into(), subject, detail };
    Ok(app.store.record_audit(&entry).await?)
}
