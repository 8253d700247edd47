//! Administration of the registry of rights. The acts are those of `http::rights`.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::policy::{RightsKind, RightsUse, Stance};
use platform::{RightsAgentId, RightsId};
use store::{RightsAgent, StoredRights};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::form::Field;
use crate::http::page::Id;
use crate::http::rights::{create_agent, create_rights, revoke_agent, verify_agent, withdraw_rights};
use crate::web::admin::seconds_of;
use crate::web::guard::{Visitor, is_guards};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

const ADMIN: Viewer = Viewer::Administrator;

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/admin/rights", ADMIN, show_rights),
        post("/admin/rights", ADMIN, enter),
        post("/admin/rights/{id}/withdraw", ADMIN, withdraw),
        post("/admin/rights/agents", ADMIN, add_agent),
        post("/admin/rights/agents/{id}/verify", ADMIN, verify),
        post("/admin/rights/agents/{id}/revoke", ADMIN, revoke),
    ]
}

struct EntryView {
    id: String,
    names: String,
    stance: &'static str,
    kind: &'static str,
    uses: String,
    holder: String,
    from: Moment,
    until: Option<Moment>,
    withdrawn: bool,
}

struct AgentView {
    id: String,
    name: String,
    contact: String,
    proof: String,
    verified: Option<Moment>,
    revoked: bool,
}

#[derive(Template)]
#[template(path = "admin/rights.html")]
struct RightsPage {
    shell: Shell,
    entries: Vec<EntryView>,
    agents: Vec<AgentView>,
    /// Agents who can still say something: id and name.
    speakers: Vec<(String, String)>,
    kinds: Vec<(&'static str, &'static str)>,
    stances: Vec<(&'static str, &'static str)>,
    uses: Vec<(&'static str, &'static str)>,
    said: Option<String>,
}

impl EntryView {
    fn new(words: &Words, StoredRights { entry, withdrawn_at, .. }: &StoredRights) -> Self {
        let uses = entry.uses.iter().map(|reach| words.say(&format!("rights.use_{}", reach.as_str())));
        Self {
            id: entry.id.to_string(),
            names: entry.names.join(" · "),
            stance: words.say(&format!("rights.stance_{}", entry.stance.as_str())),
            kind: words.say(&format!("rights.kind_{}", entry.kind.as_str())),
            uses: uses.collect::<Vec<_>>().join(" · "),
            holder: entry.holder.clone(),
            from: Moment::of(entry.from),
            until: entry.until.map(Moment::of),
            withdrawn: withdrawn_at.is_some(),
        }
    }
}

impl AgentView {
    fn new(agent: &RightsAgent) -> Self {
        Self {
            id: agent.id.to_string(),
            name: agent.name.clone(),
            contact: agent.contact.clone(),
            proof: agent.proof.clone(),
            verified: agent.verified.map(|(_, at)| Moment::of(at)),
            revoked: agent.revoked_at.is_some(),
        }
    }
}

async fn rights_page(app: &App, visitor: &Visitor) -> Result<RightsPage, ApiError> {
    let words = visitor.words;
    let agents = app.store.rights_agents().await?;
    let speakers = agents.iter().filter(|agent| agent.revoked_at.is_none());
    let rights = app.store.rights().await?;
    let named = |kind: &'static str, word: &'static str| (word, words.say(&format!("rights.{kind}_{word}")));
    Ok(RightsPage {
        shell: Shell::new(app, visitor, "rights.title", Here::Admin),
        entries: rights.iter().map(|stored| EntryView::new(words, stored)).collect(),
        speakers: speakers.map(|agent| (agent.id.to_string(), agent.name.clone())).collect(),
        agents: agents.iter().map(AgentView::new).collect(),
        kinds: RightsKind::ALL.map(|kind| named("kind", kind.as_str())).into(),
        stances: Stance::ALL.map(|stance| named("stance", stance.as_str())).into(),
        uses: RightsUse::ALL.map(|reach| named("use", reach.as_str())).into(),
        said: None,
    })
}

async fn show_rights(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    Ok(html(&rights_page(&app, &visitor).await?))
}

/// Goes back to the registry, or shows it with what went wrong.
async fn done<T>(app: &App, visitor: &Visitor, result: Result<T, ApiError>) -> Result<Response, ApiError> {
    match result {
        Ok(_) => Ok(go("/admin/rights")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&RightsPage { said, ..rights_page(app, visitor).await? }, &error))
        }
    }
}

/// The form has the names as lines, a box for each use, and a day.
async fn enter(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    let lines = form.text("lines")?.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<_> = lines.map(|line| Field::Text(line.to_owned())).collect();
    let mut uses = Vec::new();
    for reach in RightsUse::ALL {
        if form.flag(&format!("use_{}", reach.as_str()))?.unwrap_or(false) {
            uses.push(Field::Text(reach.as_str().to_owned()));
        }
    }
    let until = form.text("day")?.and_then(seconds_of);
    form.set("names", Field::List(names));
    form.set("uses", Field::List(uses));
    if let Some(until) = until {
        form.set("until", Field::Text(until.to_string()));
    }
    let made = create_rights(State(app.clone()), person, form).await;
    done(&app, &visitor, made).await
}

async fn withdraw(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<RightsId>,
) -> Result<Response, ApiError> {
    let withdrawn = withdraw_rights(State(app.clone()), person, id).await;
    done(&app, &visitor, withdrawn).await
}

async fn add_agent(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let made = create_agent(State(app.clone()), person, form).await;
    done(&app, &visitor, made).await
}

async fn verify(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<RightsAgentId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let verified = verify_agent(State(app.clone()), person, id, form).await;
    done(&app, &visitor, verified).await
}

async fn revoke(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<RightsAgentId>,
) -> Result<Response, ApiError> {
    let revoked = revoke_agent(State(app.clone()), person, id).await;
    done(&app, &visitor, revoked).await
}
