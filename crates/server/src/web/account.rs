//! The account centre: services side by side, browsers that are signed in, the password, the language.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use platform::{MembershipState, Owner, Service, SessionId};
use store::Holdings;

use crate::app::App;
use crate::http::accounts::{change_password, create_recovery_codes};
use crate::http::auth::{ClientAddress, Person};
use crate::http::closures::join_service;
use crate::http::error::ApiError;
use crate::http::memberships::ServiceInPath;
use crate::http::page::{Id, Values};
use crate::http::sessions::delete_session;
use crate::web::closing::{ReceiptView, receipts};
use crate::web::enter::inner;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::{COOKIE, Words};
use crate::web::{Fields, Page, Viewer, after_form, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account", Viewer::Person, show_account),
        post("/account/services/{service}/join", Viewer::Person, join),
        post("/account/sessions/{id}/end", Viewer::Person, end_session),
        post("/account/password", Viewer::Person, new_password),
        post("/account/recovery-codes", Viewer::Person, new_codes),
        post("/language", Viewer::Anyone, choose_language),
    ]
}

/// Bytes as megabytes.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// The services that there is something to do in today.
const OFFERED: [Service; 4] = [Service::Video, Service::Social, Service::Likeness, Service::Api];

struct ServiceView {
    word: &'static str,
    name: &'static str,
    about: &'static str,
    state: &'static str,
    state_words: &'static str,
    /// How much it holds, in words; nothing if that is nothing.
    holds: Option<String>,
    can_join: bool,
    can_close: bool,
    can_undo: bool,
}

struct SessionView {
    id: String,
    label: String,
    current: bool,
    seen: Moment,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    shell: Shell,
    email: String,
    confirmed: bool,
    services: Vec<ServiceView>,
    sessions: Vec<SessionView>,
    receipts: Vec<ReceiptView>,
    /// Until when the end of the account can be taken back, if it was asked for.
    closing: Option<Moment>,
    languages: Vec<(&'static str, &'static str, bool)>,
    codes: Vec<String>,
    notice: Option<&'static str>,
    said: Option<String>,
}

async fn account_page(app: &App, visitor: &Visitor, person: &Person) -> Result<AccountPage, ApiError> {
    let words = visitor.words;
    let identity = app.store.identity(person.identity()).await?;
    let sessions = app.store.sessions(person.identity(), app.now()).await?;
    let (memberships, now) = (app.store.memberships(person.identity()).await?, app.now());
    let mut services = OFFERED.map(|service| {
        let state = memberships
            .iter()
            .find(|one| one.service == service)
            .map_or(MembershipState::None, |one| one.at(now).state);
        ServiceView {
            word: service.as_str(),
            name: words.say(&format!("service.{service}")),
            about: words.say(&format!("service.{service}_about")),
            state: state.as_str(),
            state_words: words.say(&format!("state.{}", state.as_str())),
            holds: None,
            can_join: matches!(state, MembershipState::None | MembershipState::Closed),
            can_close: matches!(
                state,
                MembershipState::Active | MembershipState::Restricted | MembershipState::Suspended
            ),
            can_undo: state == MembershipState::Closing,
        }
    });
    for (view, service) in services.iter_mut().zip(OFFERED) {
        let Holdings { count, bytes } = app.store.holdings(person.identity(), service).await?;
        view.holds = (count > 0).then(|| words.fill(&format!("service.{service}_holds"), &[&count, &megabytes(bytes)]));
    }
    let show = |session: &store::Session| SessionView {
        id: session.id.to_string(),
        label: browser(&session.label),
        current: session.id == person.session.id,
        seen: Moment::of(session.last_seen_at),
    };
    Ok(AccountPage {
        shell: Shell::new(app, visitor, "account.title", Here::Account),
        email: identity.email,
        confirmed: identity.email_confirmed_at.is_some(),
        services: services.into(),
        sessions: sessions.iter().map(show).collect(),
        receipts: receipts(app, words, person).await?,
        closing: app
            .store
            .closure(person.identity(), Owner::Account)
            .await?
            .map(|closure| Moment::of(closure.erase_at)),
        languages: Words::all().map(|(tag, name)| (tag, name, tag == words.tag())).collect(),
        codes: Vec::new(),
        notice: None,
        said: None,
    })
}

/// A browser and its system, out of what it calls itself.
fn browser(label: &str) -> String {
    let first =
        |known: &[(&str, &'static str)]| known.iter().find(|(mark, _)| label.contains(mark)).map(|(_, name)| *name);
    let program = first(&[
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Mac OS", "macOS"),
        ("Windows", "Windows"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program}, {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => label.chars().take(60).collect(),
    }
}

async fn show_account(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let notice = match values.get("notice") {
        Some("password") => Some(visitor.words.say("notice.password")),
        Some("session") => Some(visitor.words.say("notice.session")),
        Some("service") => Some(visitor.words.say("notice.service")),
        _ => None,
    };
    Ok(html(&AccountPage { notice, ..account_page(&app, &visitor, &person).await? }))
}

/// Goes back to the account centre, or shows it with what went wrong.
async fn done<T>(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    result: Result<T, ApiError>,
    notice: &str,
) -> Result<Response, ApiError> {
    let page = account_page(app, visitor, person);
    after_form(visitor, result, &format!("/account?notice={notice}"), page, |page, said| page.said = Some(said)).await
}

async fn join(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    service: ServiceInPath,
) -> Result<Response, ApiError> {
    let joined = join_service(State(app.clone()), person.clone(), service).await;
    done(&app, &visitor, &person, joined, "service").await
}

async fn end_session(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<SessionId>,
) -> Result<Response, ApiError> {
    let ended = delete_session(State(app.clone()), person.clone(), id).await;
    done(&app, &visitor, &person, ended, "session").await
}

async fn new_password(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    address: ClientAddress,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let changed = change_password(State(app.clone()), person.clone(), address, form).await;
    done(&app, &visitor, &person, changed, "password").await
}

async fn new_codes(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    let codes = create_recovery_codes(State(app.clone()), person.clone()).await?.0.codes;
    Ok(html(&AccountPage { codes, ..account_page(&app, &visitor, &person).await? }))
}

async fn choose_language(Fields(form): Fields) -> Result<Response, ApiError> {
    let tag = form.text("language")?.and_then(Words::of).map_or("en", Words::tag);
    let mut response = go(&inner(form.text("next")?));
    let cookie = format!("{COOKIE}={tag}; Path=/; SameSite=Lax; Max-Age=31536000");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
