//! Administration: people, invites, tiers, models, the queue, and what was done. The acts are those of `http::admin`.

use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use platform::{IdentityId, NOTICE, Role, Service, Sunset, SunsetId, hex};
use store::{Figures, Identity};

use crate::app::App;
use crate::clock::start_of_day;
use crate::http::admin::{InviteInPath, change_role, create_invite, revoke_invite, set_alias, set_tier};
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::form::Field;
use crate::http::page::{Id, Values};
use crate::http::sunsets::{confirm_sunset, create_sunset, withdraw_sunset};
use crate::web::account::megabytes;
use crate::web::guard::{Visitor, is_guards};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

const ADMIN: Viewer = Viewer::Administrator;

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/admin", ADMIN, show_overview),
        get("/admin/people", ADMIN, show_people),
        post("/admin/people/{id}/role", ADMIN, new_role),
        get("/admin/invites", ADMIN, show_invites),
        post("/admin/invites", ADMIN, new_invite),
        post("/admin/invites/{id}/revoke", ADMIN, withdraw_invite),
        get("/admin/tiers", ADMIN, show_tiers),
        post("/admin/tiers", ADMIN, keep_tier),
        get("/admin/models", ADMIN, show_models),
        post("/admin/models", ADMIN, map_alias),
        get("/admin/sunsets", ADMIN, show_sunsets),
        post("/admin/sunsets", ADMIN, new_sunset),
        post("/admin/sunsets/{id}/confirm", ADMIN, confirm_end),
        post("/admin/sunsets/{id}/withdraw", ADMIN, withdraw_end),
    ]
}

/// How far back the figures of the overview go.
const DAY: Duration = Duration::from_secs(86_400);

/// People on a page.
const PEOPLE: u32 = 50;

struct AuditLine {
    at: Moment,
    who: String,
    action: String,
    subject: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage {
    shell: Shell,
    queued: u64,
    leased: u64,
    models: usize,
    figures: Figures,
    stored: String,
    /// Appeals and notices that are late, or nearly.
    late: u64,
    audit: Vec<AuditLine>,
}

async fn show_overview(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    let depth = app.store.queue_depth().await?;
    let figures = app.store.figures(app.now() - DAY).await?;
    let audit = app.store.audit(50).await?;
    let show = |entry: &store::AuditEntry| AuditLine {
        at: Moment::of(entry.at),
        who: entry.actor.map_or_else(|| "Misora".to_owned(), |actor| actor.to_string()),
        action: entry.action.clone(),
        subject: entry.subject.clone(),
        detail: entry.detail.clone(),
    };
    Ok(html(&OverviewPage {
        shell: Shell::new(&app, &visitor, "admin.title", Here::Admin),
        queued: depth.queued,
        leased: depth.leased,
        models: app.catalogue().offers().len(),
        stored: megabytes(figures.bytes),
        late: app.store.late_cases(app.now()).await?,
        figures,
        audit: audit.iter().map(show).collect(),
    }))
}

struct PersonView {
    id: String,
    email: String,
    joined: Moment,
    /// Service, state, role.
    memberships: Vec<(&'static str, &'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "admin/people.html")]
struct PeoplePage {
    shell: Shell,
    people: Vec<PersonView>,
    roles: Vec<(&'static str, &'static str)>,
    services: Vec<(&'static str, &'static str)>,
    more: Option<String>,
    said: Option<String>,
}

async fn people_page(app: &App, visitor: &Visitor, after: Option<IdentityId>) -> Result<PeoplePage, ApiError> {
    let words = visitor.words;
    let mut identities = app.store.identities(after, PEOPLE + 1).await?;
    let has_more = identities.len() > PEOPLE as usize;
    identities.truncate(PEOPLE as usize);
    let more = identities.last().filter(|_| has_more).map(|last| format!("/admin/people?after={}", last.id));
    let mut people = Vec::new();
    for Identity { id, email, created_at, .. } in identities {
        let memberships = app.store.memberships(id).await?;
        let show = |one: platform::Membership| {
            let one = one.at(app.now());
            let role = words.say(&format!("role.{}", one.role.as_str()));
            (words.say(&format!("service.{}", one.service)), words.say(&format!("state.{}", one.state.as_str())), role)
        };
        let memberships = memberships.into_iter().map(show).collect();
        people.push(PersonView { id: id.to_string(), email, joined: Moment::of(created_at), memberships });
    }
    Ok(PeoplePage {
        shell: Shell::new(app, visitor, "admin.people", Here::Admin),
        people,
        roles: Role::ALL.map(|role| (role.as_str(), words.say(&format!("role.{}", role.as_str())))).into(),
        services: [Service::Video, Service::Social, Service::Api]
            .map(|service| (service.as_str(), words.say(&format!("service.{service}"))))
            .into(),
        more,
        said: None,
    })
}

async fn show_people(State(app): State<App>, visitor: Visitor, values: Values) -> Result<Response, ApiError> {
    let after = values.get("after").and_then(|text| text.parse().ok());
    Ok(html(&people_page(&app, &visitor, after).await?))
}

async fn new_role(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<IdentityId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    match change_role(State(app.clone()), person, id, form).await {
        Ok(_) => Ok(go("/admin/people")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&PeoplePage { said, ..people_page(&app, &visitor, None).await? }, &error))
        }
    }
}

struct InviteView {
    id: String,
    note: String,
    tier: String,
    used: u32,
    allowed: u32,
    made: Moment,
    good: bool,
}

#[derive(Template)]
#[template(path = "admin/invites.html")]
struct InvitesPage {
    shell: Shell,
    invites: Vec<InviteView>,
    tiers: Vec<String>,
    /// The link with the code, this once.
    link: Option<String>,
    said: Option<String>,
}

async fn invites_page(app: &App, visitor: &Visitor) -> Result<InvitesPage, ApiError> {
    let now = app.now();
    let show = |stored: &store::StoredInvite| InviteView {
        id: hex(&stored.hash.bytes()),
        note: stored.note.clone(),
        tier: stored.invite.tier.clone(),
        used: stored.invite.uses,
        allowed: stored.invite.uses_allowed,
        made: Moment::of(stored.created_at),
        good: stored.invite.check(now).is_ok(),
    };
    Ok(InvitesPage {
        shell: Shell::new(app, visitor, "admin.invites", Here::Admin),
        invites: app.store.invites().await?.iter().map(show).collect(),
        tiers: app.store.tiers().await?.into_iter().map(|tier| tier.name).collect(),
        link: None,
        said: None,
    })
}

async fn show_invites(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    Ok(html(&invites_page(&app, &visitor).await?))
}

async fn new_invite(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    match create_invite(State(app.clone()), person, form).await {
        Ok(made) => {
            let link = Some(format!("{}/sign-up?invite={}", app.settings.base_url, made.0.code));
            Ok(html(&InvitesPage { link, ..invites_page(&app, &visitor).await? }))
        }
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&InvitesPage { said, ..invites_page(&app, &visitor).await? }, &error))
        }
    }
}

async fn withdraw_invite(State(app): State<App>, person: Person, id: InviteInPath) -> Result<Response, ApiError> {
    let Json(_) = revoke_invite(State(app), person, id).await?;
    Ok(go("/admin/invites"))
}

#[derive(Template)]
#[template(path = "admin/tiers.html")]
struct TiersPage {
    shell: Shell,
    tiers: Vec<platform::Tier>,
    said: Option<String>,
}

async fn show_tiers(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    let shell = Shell::new(&app, &visitor, "admin.tiers", Here::Admin);
    Ok(html(&TiersPage { shell, tiers: app.store.tiers().await?, said: None }))
}

async fn keep_tier(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    match set_tier(State(app.clone()), person, form).await {
        Ok(_) => Ok(go("/admin/tiers")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let shell = Shell::new(&app, &visitor, "admin.tiers", Here::Admin);
            let page = TiersPage { shell, tiers: app.store.tiers().await?, said: Some(visitor.words.error(&error)) };
            Ok(html_refused(&page, &error))
        }
    }
}

#[derive(Template)]
#[template(path = "admin/models.html")]
struct ModelsPage {
    shell: Shell,
    /// Name, sizes, lengths, credits a second.
    models: Vec<(String, String, String)>,
    aliases: Vec<(String, String)>,
    said: Option<String>,
}

async fn models_page(app: &App, visitor: &Visitor) -> Result<ModelsPage, ApiError> {
    let list = |texts: Vec<String>| texts.join(", ");
    let catalogue = app.catalogue();
    let show = |offer: &platform::Offer| {
        let sizes = list(offer.sizes().iter().map(ToString::to_string).collect());
        let lengths = list(offer.lengths().iter().map(|length| format!("{length} s")).collect());
        (offer.name.to_string(), sizes, lengths)
    };
    let aliases = app.store.model_aliases().await?;
    Ok(ModelsPage {
        shell: Shell::new(app, visitor, "admin.models", Here::Admin),
        models: catalogue.offers().iter().map(show).collect(),
        aliases: aliases.into_iter().map(|(alias, model)| (alias.to_string(), model.to_string())).collect(),
        said: None,
    })
}

async fn show_models(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    Ok(html(&models_page(&app, &visitor).await?))
}

async fn map_alias(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    match set_alias(State(app.clone()), person, form).await {
        Ok(_) => Ok(go("/admin/models")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&ModelsPage { said, ..models_page(&app, &visitor).await? }, &error))
        }
    }
}

struct SunsetView {
    id: String,
    what: String,
    successor: String,
    ends: Moment,
    export: Moment,
    waits: bool,
    over: bool,
    confirmations: usize,
}

#[derive(Template)]
#[template(path = "admin/sunsets.html")]
struct SunsetsPage {
    shell: Shell,
    sunsets: Vec<SunsetView>,
    /// Kind, name, what to call it.
    subjects: Vec<(&'static str, String, String)>,
    /// The first day that an end can have without a second administrator.
    earliest: String,
    said: Option<String>,
}

async fn sunsets_page(app: &App, visitor: &Visitor) -> Result<SunsetsPage, ApiError> {
    let (words, now) = (visitor.words, app.now());
    let called = |kind: &str, name: &str| words.fill(&format!("sunset.of_{kind}"), &[&name]);
    let show = |sunset: &Sunset| SunsetView {
        id: sunset.id.to_string(),
        what: called(sunset.subject.kind(), sunset.subject.name()),
        successor: sunset.successor.clone(),
        ends: Moment::of(sunset.ends_at),
        export: Moment::of(sunset.export_until()),
        waits: sunset.announced_at.is_none(),
        over: sunset.has_come(now),
        confirmations: sunset.confirmed_by.len(),
    };
    let models = app.catalogue().offers().iter().map(|offer| ("model", offer.name.to_string())).collect::<Vec<_>>();
    let services = Service::ALL.map(|service| ("service", service.as_str().to_owned()));
    let subjects = models.into_iter().chain(services).map(|(kind, name)| {
        let words = called(kind, &name);
        (kind, name, words)
    });
    Ok(SunsetsPage {
        shell: Shell::new(app, visitor, "sunset.title", Here::Admin),
        sunsets: app.store.sunsets().await?.iter().map(show).collect(),
        subjects: subjects.collect(),
        earliest: Moment::of(now + NOTICE + DAY).machine.chars().take(10).collect(),
        said: None,
    })
}

async fn show_sunsets(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    Ok(html(&sunsets_page(&app, &visitor).await?))
}

/// The form names a subject as `kind name`, and a day, which ends it as it begins in UTC.
async fn new_sunset(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    if let Some((kind, name)) = form.text("subject")?.and_then(|text| text.split_once(' ')) {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        form.set("kind", Field::Text(kind));
        form.set("name", Field::Text(name));
    }
    if let Some(day) = form.text("day")?.and_then(start_of_day) {
        form.set("ends_at", Field::Text(day.seconds().to_string()));
    }
    let made = create_sunset(State(app.clone()), person, form).await;
    ends(&app, &visitor, made).await
}

/// Goes back to the ends, or shows them with what went wrong.
async fn ends<T>(app: &App, visitor: &Visitor, result: Result<T, ApiError>) -> Result<Response, ApiError> {
    match result {
        Ok(_) => Ok(go("/admin/sunsets")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            Ok(html_refused(&SunsetsPage { said, ..sunsets_page(app, visitor).await? }, &error))
        }
    }
}

async fn confirm_end(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<SunsetId>,
) -> Result<Response, ApiError> {
    let confirmed = confirm_sunset(State(app.clone()), person, id).await;
    ends(&app, &visitor, confirmed).await
}

async fn withdraw_end(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<SunsetId>,
) -> Result<Response, ApiError> {
    let withdrawn = withdraw_sunset(State(app.clone()), person, id).await;
    ends(&app, &visitor, withdrawn).await
}
