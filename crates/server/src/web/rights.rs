//! Administration of the registry of rights. The acts are those of `http::rights`.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::policy::{RightsKind, RightsUse, Stance};
use platform::{RightsAgentId, RightsId, RightsRequestId, Timestamp};
use store::{RightsAgent, RightsRequest, StoredRights};

use crate::app::App;
use crate::clock::start_of_day;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::{Id, Values};
use crate::http::rights::{create_agent, create_rights, revoke_agent, short, verify_agent, withdraw_rights};
use crate::rights_requests;
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
        post("/admin/rights/requests/{id}", ADMIN, decide_request),
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

/// What someone without an account asks to have entered.
struct RequestView {
    id: String,
    asked: rights_requests::Asked,
    names: String,
    stance: &'static str,
    kind: &'static str,
    uses: String,
    received: Moment,
    until: Option<Moment>,
}

impl RequestView {
    fn new(words: &Words, request: &RightsRequest) -> Self {
        let asked = rights_requests::asked(request);
        let known = |key: String| words.known(&key).unwrap_or("");
        let uses: Vec<_> = asked.uses.iter().map(|word| known(format!("rights.use_{word}"))).collect();
        Self {
            id: request.id.to_string(),
            names: asked.names.join(" · "),
            stance: known(format!("rights.stance_{}", asked.stance)),
            kind: known(format!("rights.kind_{}", asked.kind)),
            uses: uses.join(" · "),
            received: Moment::of(request.received_at),
            until: asked.until.map(|until| Moment::of(Timestamp::from_seconds(until))),
            asked,
        }
    }
}

/// Requests shown at once.
const REQUESTS: u32 = 50;

#[derive(Template)]
#[template(path = "admin/rights.html")]
struct RightsPage {
    shell: Shell,
    requests: Vec<RequestView>,
    /// Where the requests that came later are.
    later: Option<String>,
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

async fn rights_page(app: &App, visitor: &Visitor, after: Option<RightsRequestId>) -> Result<RightsPage, ApiError> {
    let words = visitor.words;
    let agents = app.store.rights_agents().await?;
    let speakers = agents.iter().filter(|agent| agent.revoked_at.is_none());
    let rights = app.store.rights().await?;
    let requests = app.store.open_rights_requests(after, REQUESTS).await?;
    let last = requests.last().filter(|_| requests.len() == REQUESTS as usize);
    let named = |kind: &'static str, word: &'static str| (word, words.say(&format!("rights.{kind}_{word}")));
    Ok(RightsPage {
        shell: Shell::new(app, visitor, "rights.title", Here::Admin),
        later: last.map(|last| format!("/admin/rights?after={}", last.id)),
        requests: requests.iter().map(|request| RequestView::new(words, request)).collect(),
        entries: rights.iter().map(|stored| EntryView::new(words, stored)).collect(),
        speakers: speakers.map(|agent| (agent.id.to_string(), agent.name.clone())).collect(),
        agents: agents.iter().map(AgentView::new).collect(),
        kinds: RightsKind::ALL.map(|kind| named("kind", kind.as_str())).into(),
        stances: Stance::ALL.map(|stance| named("stance", stance.as_str())).into(),
        uses: RightsUse::ALL.map(|reach| named("use", reach.as_str())).into(),
        said: None,
    })
}

async fn show_rights(State(app): State<App>, visitor: Visitor, values: Values) -> Result<Response, ApiError> {
    let after = values.get("after").and_then(|text| text.parse().ok());
    Ok(html(&rights_page(&app, &visitor, after).await?))
}

/// Goes back to the registry, or shows it with what went wrong.
async fn done<T>(app: &App, visitor: &Visitor, result: Result<T, ApiError>) -> Result<Response, ApiError> {
    match result {
        Ok(_) => Ok(go("/admin/rights")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&RightsPage { said, ..rights_page(app, visitor, None).await? }, &error))
        }
    }
}

/// A form of a page has the names as lines, a box for each use, and a day.
pub(super) fn as_the_api_reads_it(form: &mut Form) -> Result<(), ApiError> {
    let lines = form.text("lines")?.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<_> = lines.map(|line| Field::Text(line.to_owned())).collect();
    let mut uses = Vec::new();
    for reach in RightsUse::ALL {
        if form.flag(&format!("use_{}", reach.as_str()))?.unwrap_or(false) {
            uses.push(Field::Text(reach.as_str().to_owned()));
        }
    }
    let until = form.text("day")?.and_then(start_of_day);
    form.set("names", Field::List(names));
    form.set("uses", Field::List(uses));
    if let Some(until) = until {
        form.set("until", Field::Text(until.seconds().to_string()));
    }
    Ok(())
}

async fn enter(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    as_the_api_reads_it(&mut form)?;
    let made = create_rights(State(app.clone()), person, form).await;
    done(&app, &visitor, made).await
}

/// Enters what a holder of rights asks for, once who asks was checked, or says why not.
async fn decide_request(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<RightsRequestId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let decided = async {
        let proof = short(&form, "proof")?;
        match form.needed_text("act")? {
            "enter" => rights_requests::enter(&app, id, &proof, person.identity()).await,
            "refuse" => rights_requests::refuse(&app, id, &proof, person.identity()).await,
            _ => Err(ApiError::invalid("act", "An act is enter or refuse.")),
        }
    };
    let decided = decided.await;
    done(&app, &visitor, decided).await
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
