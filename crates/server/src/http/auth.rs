//! Who asks, and whether they may. Every endpoint declares its [`Access`]; [`enforce`] runs before its handler, which
//! then takes what was proved as an argument.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use platform::{
    ActiveMembership, ApiKey, ApiKeyId, ApiKeySecret, IdentityId, IpRange, KeyRefusal, Membership, MembershipRefusal,
    MembershipState, Role, Scope, Service, Sunset, Tier, Timestamp, Token, TokenKind,
};
use store::{Project, Session, StoreError};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::rate::rate_headers;
use crate::sunsets::sunset_headers;

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, from anywhere.
    Open,
    /// Anyone; if a browser asks, then from a page of this installation.
    Visitor,
    /// Whoever has a key with this scope, whose owner's membership gives what is needed.
    Key(Scope, Needs),
    /// Whoever is signed in, in every state of their memberships.
    Person,
    /// Whoever moderates a service.
    Moderator,
    /// Whoever administers the installation.
    Administrator,
}

/// What a key's owner must be. A key always needs a readable membership of `api` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// May read and delete what is theirs in this service.
    Readable(Service),
    /// May make something new in this service.
    Active(Service),
}

impl Needs {
    /// In which service.
    fn service(self) -> Service {
        let (Self::Readable(service) | Self::Active(service)) = self;
        service
    }
}

/// Whoever works in a project: came with a good key of it, or is its owner and signed in.
#[derive(Clone, Debug)]
pub(crate) struct KeyCaller {
    /// The key's project.
    pub(crate) project: Arc<Project>,
    needs: Needs,
    memberships: Arc<[Membership]>,
    /// The end of a model that the request asks for, for the headers of its answer.
    model_sunset: Arc<OnceLock<Sunset>>,
}

/// Whoever is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Their session.
    pub(crate) session: Session,
    /// All that they ever joined.
    pub(crate) memberships: Arc<[Membership]>,
}

/// Where a request came from, if that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

/// The name of the session's cookie.
pub(crate) const COOKIE: &str = "misora_session";

/// How long what is known of a key is believed. Less than the 5 s in which a revocation must count everywhere.
const BELIEVED: Duration = Duration::from_secs(2);

/// How often use is noted.
const NOTED: Duration = Duration::from_secs(60);

/// Keys that were looked up in the last seconds.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<HashMap<ApiKeyId, (Timestamp, KnownKey)>>);

/// What a request with a key needs to know.
#[derive(Clone, Debug)]
struct KnownKey {
    key: Arc<ApiKey>,
    project: Arc<Project>,
    tier: Arc<Tier>,
    memberships: Arc<[Membership]>,
}

impl KeyCache {
    /// Forgets everything: a key, project or membership changed on this node.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn find(&self, id: ApiKeyId, now: Timestamp) -> Option<KnownKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&id).filter(|(at, _)| *at <= now && now.since(*at) < BELIEVED).map(|(_, known)| known.clone())
    }

    fn keep(&self, id: ApiKeyId, known: KnownKey, now: Timestamp) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() > 10_000 {
            keys.clear();
        }
        keys.insert(id, (now, known));
    }
}

/// Lets a request through to its handler, or answers it.
pub(crate) async fn enforce(State((app, access)): State<(App, Access)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let sunsets = sunsets_of(&app, access, parts.uri.path());
    let proved = match access {
        Access::Open => Ok(None),
        Access::Visitor => same_origin(&app, &parts).map(|()| None),
        Access::Key(scope, needs) => match key_caller(&app, &parts, scope, needs).await {
            Ok((caller, tier)) => {
                let request = Request::from_parts(parts, body);
                return with_key(&app, caller, &tier, &sunsets, request, next).await;
            }
            Err(error) => Err(error),
        },
        Access::Person | Access::Moderator | Access::Administrator => person(&app, &parts, access).await.map(Some),
    };
    let mut response = match proved {
        Ok(person) => {
            if let Some(person) = person {
                parts.extensions.insert(person);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    };
    sunset_headers(&sunsets, response.headers_mut());
    response
}

/// The announced ends of the services that a route is of.
fn sunsets_of(app: &App, access: Access, path: &str) -> Vec<Sunset> {
    let services = match (access, path.split('/').collect::<Vec<_>>().as_slice()) {
        (Access::Key(_, needs), _) => [Some(Service::Api), Some(needs.service())],
        (_, ["", "api", "projects", ..]) => [Some(Service::Api), None],
        (_, ["", "api", "memberships", service, ..]) => [Service::from_word(service), None],
        (_, ["", "media", ..]) => [Some(Service::Video), None],
        _ => [None, None],
    };
    services.into_iter().flatten().filter_map(|service| app.service_sunset(service)).collect()
}

/// Whether a request makes something: neither reads nor takes away.
fn makes(request: &Parts) -> bool {
    let reads = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    !reads && request.method != Method::DELETE && !request.uri.path().ends_with("/delete")
}

/// The memberships as they are now, for a request: in a service that has come to its end, what makes something finds no permission.
fn as_of_now(app: &App, memberships: impl Iterator<Item = Membership>, request: &Parts) -> Arc<[Membership]> {
    let (now, makes) = (app.now(), makes(request));
    let ended = |service| app.service_sunset(service).is_some_and(|sunset| sunset.has_come(now));
    let here = memberships.map(|membership| membership.at(now));
    here.map(|membership| Membership { retired: makes && ended(membership.service), ..membership }).collect()
}

/// Refuses what makes something in a service that has come to its end, and says where to go on.
pub(crate) fn not_ended(app: &App, service: Service) -> Result<(), ApiError> {
    match app.service_sunset(service).filter(|sunset| sunset.has_come(app.now())) {
        Some(sunset) => {
            let mut message = format!("{}. Reading and export go on", MembershipRefusal::Retired(service));
            if !sunset.successor.is_empty() {
                message = format!("{message}; instead: {}", sunset.successor);
            }
            Err(ApiError::retired("service_retired", format!("{message}."), &sunset.successor))
        }
        None => Ok(()),
    }
}

/// Counts the request, then runs it.
async fn with_key(
    app: &App,
    caller: KeyCaller,
    tier: &Tier,
    sunsets: &[Sunset],
    mut request: Request,
    next: Next,
) -> Response {
    let (project, limit, now) = (caller.project.id, tier.quotas.requests_per_minute, app.now());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let decision = match reads {
        true => app.reads.count(project, limit, now),
        false => match app.store.count_request(project, limit, now).await {
            Ok(decision) => decision,
            Err(error) => return ApiError::from(error).into_response(),
        },
    };
    let model_sunset = Arc::clone(&caller.model_sunset);
    request.extensions_mut().insert(caller);
    let mut response = match decision.allowed {
        true => next.run(request).await,
        false => ApiError::too_many_requests(decision.retry_after).into_response(),
    };
    rate_headers(&decision, response.headers_mut());
    sunset_headers(sunsets.iter().chain(model_sunset.get()), response.headers_mut());
    response
}

async fn key_caller(
    app: &App,
    request: &Parts,
    scope: Scope,
    needs: Needs,
) -> Result<(KeyCaller, Arc<Tier>), ApiError> {
    let text = presented_key(&request.headers).ok_or_else(ApiError::no_key)?;
    let presented = ApiKeySecret::parse(text).map_err(|_| KeyRefusal::Unknown)?;
    let now = app.now();
    let known = match app.keys.find(presented.id(), now) {
        Some(known) => known,
        None => {
            let known = look_up(app, presented.id()).await?.ok_or(KeyRefusal::Unknown)?;
            // Only a use with the right secret is a use.
            if presented.hash() == known.key.hash && known.key.last_used_at.is_none_or(|at| now.since(at) >= NOTED) {
                let from = client_address(app, request).map(IpRange::around);
                app.store.touch_api_key(presented.id(), from, now).await?;
            }
            app.keys.keep(presented.id(), known.clone(), now);
            known
        }
    };
    known.key.verify(&presented, scope, client_address(app, request), now)?;
    if known.project.archived_at.is_some() {
        return Err(KeyRefusal::Revoked.into());
    }
    let memberships = as_of_now(app, known.memberships.iter().copied(), request);
    let caller = KeyCaller { project: known.project, needs, memberships, model_sunset: Arc::default() };
    caller.membership(Service::Api).readable()?;
    if let Needs::Active(service) = needs {
        not_ended(app, Service::Api)?;
        not_ended(app, service)?;
    }
    match needs {
        Needs::Readable(service) => caller.membership(service).readable().map(|_| ())?,
        Needs::Active(service) => caller.membership(service).active().map(|_| ())?,
    }
    Ok((caller, known.tier))
}

async fn look_up(app: &App, id: ApiKeyId) -> Result<Option<KnownKey>, StoreError> {
    let Some(key) = app.store.api_key(id).await? else { return Ok(None) };
    let project = app.store.project(key.project).await?;
    let tier = app.store.tier(&project.tier).await?;
    let memberships = app.store.memberships(project.owner).await?;
    Ok(Some(KnownKey {
        key: Arc::new(key),
        project: Arc::new(project),
        tier: Arc::new(tier),
        memberships: memberships.into(),
    }))
}

/// The key in `Authorization: Bearer` or `api-key`.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("api-key")?.to_str().ok().map(str::trim))
}

/// The address of the client: the connection's, or what the owner's own proxy says.
fn client_address(app: &App, request: &Parts) -> Option<IpAddr> {
    let forwarded = || {
        let value = request.headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        value.rsplit(',').next()?.trim().parse().ok()
    };
    let connected = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if app.settings.behind_proxy { forwarded().or(connected) } else { connected }
}

/// Whoever is signed in, if anyone is. A change that another site asks for is refused, whoever asks.
pub(crate) async fn visitor(app: &App, request: &Parts) -> Result<Option<Person>, ApiError> {
    same_origin(app, request)?;
    let Some(token) = session_token(&request.headers) else { return Ok(None) };
    let now = app.now();
    let Some((session, memberships)) = app.store.signed_in(token.hash(), now).await? else { return Ok(None) };
    if now.since(session.last_seen_at) >= NOTED {
        app.store.touch_session(session.id, now + app.settings.session_lifetime, now).await?;
    }
    let memberships = as_of_now(app, memberships.into_iter(), request);
    Ok(Some(Person { session, memberships }))
}

async fn person(app: &App, request: &Parts, access: Access) -> Result<Person, ApiError> {
    if session_token(&request.headers).is_none() {
        return Err(ApiError::no_session());
    }
    let person = visitor(app, request).await?.ok_or_else(ApiError::no_session)?;
    let least = match access {
        Access::Administrator => Role::Administrator,
        Access::Moderator => Role::Moderator,
        _ => Role::Member,
    };
    if least > Role::Member && !Service::ALL.into_iter().any(|service| person.role(service) >= least) {
        let message = format!("This is for people with the role {}.", least.as_str());
        return Err(ApiError::forbidden("role_missing", message));
    }
    Ok(person)
}

/// The session's token, from its cookie.
pub(crate) fn session_token(headers: &HeaderMap) -> Option<Token> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let text = pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))?;
    Token::parse(text, TokenKind::Session).ok()
}

/// The cookie of a session, or with no token the one that ends it.
pub(crate) fn session_cookie(app: &App, token: Option<&Token>) -> HeaderValue {
    let (value, age) = match token {
        Some(token) => (token.reveal(), app.settings.session_lifetime.as_secs()),
        None => (String::new(), 0),
    };
    let secure = if app.settings.base_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

/// Refuses a change that a page of somewhere else asks for. Browsers say where a page is from; what is no browser
/// sends no `Origin` and holds no cookie of anyone else.
fn same_origin(app: &App, request: &Parts) -> Result<(), ApiError> {
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let fine = match (header("origin"), header("sec-fetch-site")) {
        (Some(origin), _) => {
            let host = header("host").unwrap_or_default();
            let of_host = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
            origin == app.settings.base_url || (of_host && !host.is_empty())
        }
        (None, Some(site)) => site == "same-origin" || site == "none",
        (None, None) => true,
    };
    if fine {
        return Ok(());
    }
    Err(ApiError::forbidden("foreign_origin", "This request came from a page of another site."))
}

impl KeyCaller {
    /// The owner's membership of a service.
    fn membership(&self, service: Service) -> Membership {
        membership_of(&self.memberships, self.project.owner, service)
    }

    /// Permission to make something new, as the endpoint's access proved.
    pub(crate) fn active(&self) -> Result<ActiveMembership, MembershipRefusal> {
        self.membership(self.needs.service()).active()
    }

    /// Tells in the answer's headers of the end of a model that the request asks for.
    pub(crate) fn tell_of(&self, sunset: Option<Sunset>) {
        if let Some(sunset) = sunset {
            // Of several, the first: a request asks for one model.
            let _ = self.model_sunset.set(sunset);
        }
    }

    /// Whose key it is.
    pub(crate) fn identity(&self) -> IdentityId {
        self.project.owner
    }
}

impl Person {
    /// What a key of one of their projects would be, for work of a service in it: each use asks the memberships of this request.
    pub(crate) fn caller(&self, project: Project, service: Service) -> KeyCaller {
        let (needs, memberships) = (Needs::Active(service), Arc::clone(&self.memberships));
        KeyCaller { project: Arc::new(project), needs, memberships, model_sunset: Arc::default() }
    }

    /// Who.
    pub(crate) fn identity(&self) -> IdentityId {
        self.session.identity
    }

    /// Their membership of a service.
    pub(crate) fn membership(&self, service: Service) -> Membership {
        membership_of(&self.memberships, self.identity(), service)
    }

    /// What they may decide in a service. An administrator may in all; a limited membership gives no power.
    pub(crate) fn role(&self, service: Service) -> Role {
        let powers = self.memberships.iter().filter(|membership| membership.state == MembershipState::Active);
        let counts = |membership: &&Membership| membership.service == service || membership.role == Role::Administrator;
        powers.filter(counts).map(|membership| membership.role).max().unwrap_or_default()
    }

    /// Refuses unless the person proved who they are in the last ten minutes.
    pub(crate) fn fresh(&self, now: Timestamp) -> Result<(), ApiError> {
        let fresh = now.since(self.session.authenticated_at) <= Duration::from_secs(600);
        if fresh { Ok(()) } else { Err(ApiError::reauthenticate()) }
    }
}

fn membership_of(memberships: &[Membership], identity: IdentityId, service: Service) -> Membership {
    let found = memberships.iter().find(|membership| membership.service == service).copied();
    found.unwrap_or(Membership::none(identity, service))
}

impl<S: Sync> FromRequestParts<S> for KeyCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| ApiError::internal(&"an endpoint for keys declared no scope"))
    }
}

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| ApiError::internal(&"an endpoint for people let anyone in"))
    }
}

impl FromRequestParts<App> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Ok(Self(client_address(app, parts)))
    }
}
