//! What stands before every page: who looks, in which language, from where; and what becomes of an error.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use platform::{Role, Service, Sunset};

use crate::app::App;
use crate::http::auth::{Person, visitor};
use crate::http::error::ApiError;
use crate::sunsets::sunset_headers;
use crate::web::go;
use crate::web::shell::{Here, Shell, html};
use crate::web::words::Words;

/// Who may look at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Anyone.
    Anyone,
    /// Whoever is signed in; others are asked to.
    Person,
    /// Whoever administers the installation.
    Administrator,
}

/// Whoever looks at a page.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// Who, if they are signed in.
    pub(super) person: Option<Person>,
    /// Their language.
    pub(super) words: &'static Words,
    /// The page's path, for coming back to it.
    pub(super) path: Arc<str>,
}

/// What a page may load: what this server sends, and nothing else. No script and no style stands in a page itself.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     media-src 'self'; connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) async fn guard(State((app, viewer)): State<(App, Viewer)>, mut request: Request, next: Next) -> Response {
    let words = Words::preferred(request.headers());
    let path: Arc<str> = request.uri().path_and_query().map_or("/", |path| path.as_str()).into();
    let unsafe_method = !matches!(*request.method(), Method::GET | Method::HEAD);
    let (parts, body) = request.into_parts();
    let person = visitor(&app, &parts).await;
    request = Request::from_parts(parts, body);
    let (visitor, refusal) = match person {
        Ok(person) => (Visitor { person, words, path }, None),
        Err(error) => (Visitor { person: None, words, path }, Some(error)),
    };
    if let Some(error) = refusal {
        return show_error(&app, &visitor, &error);
    }
    let sunset = service_of(&visitor.path).and_then(|service| app.service_sunset(service));
    let mut response = guarded(&app, viewer, visitor, unsafe_method, sunset.as_ref(), request, next).await;
    sunset_headers(&sunset, response.headers_mut());
    response
}

/// Runs a page for whoever may look at it, or says why not.
async fn guarded(
    app: &App,
    viewer: Viewer,
    visitor: Visitor,
    unsafe_method: bool,
    sunset: Option<&Sunset>,
    mut request: Request,
    next: Next,
) -> Response {
    match (viewer, &visitor.person) {
        (Viewer::Person | Viewer::Administrator, None) => {
            let next = if unsafe_method { "/" } else { &visitor.path };
            return secured(go(&sign_in_first(next)));
        }
        (Viewer::Administrator, Some(person)) if !administers(person) => {
            // Whoever does not administer does not learn what there is to administer.
            return show_error(app, &visitor, &ApiError::not_found("page"));
        }
        _ => {}
    }
    if let Some(person) = &visitor.person {
        request.extensions_mut().insert(person.clone());
    }
    request.extensions_mut().insert(visitor.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<ApiError>() {
        Some(error) if error.status() == StatusCode::UNAUTHORIZED && error.code() == Some("sign_in_required") => {
            secured(go(&sign_in_first(&visitor.path)))
        }
        Some(error) if error.code() == Some("reauth_required") => {
            let back: String = form_urlencoded::byte_serialize(back_from(&visitor.path).as_bytes()).collect();
            secured(go(&format!("/confirm-password?next={back}")))
        }
        Some(error) => match sunset.filter(|_| error.code() == Some("service_retired")) {
            Some(sunset) => show_error(app, &visitor, &error.toward(&sunset.successor)),
            None => show_error(app, &visitor, &error),
        },
        None => secured(response),
    }
}

/// The service that a page is of.
fn service_of(path: &str) -> Option<Service> {
    let plain = path.split('?').next().unwrap_or("/");
    let parts: Vec<_> = plain.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["make" | "clips" | "library", ..] => Some(Service::Video),
        ["account", "likeness", ..] => Some(Service::Likeness),
        ["account", "profile" | "feed" | "unblock", ..] => Some(Service::Social),
        ["p" | "tags" | "search" | "messages" | "report" | "moderation" | "oembed" | "latest.atom", ..] => {
            Some(Service::Social)
        }
        [handle, ..] if handle.starts_with('@') => Some(Service::Social),
        ["account", "keys" | "projects" | "webhooks", ..] => Some(Service::Api),
        _ => None,
    }
}

/// Where to go after the password was confirmed: the page that holds the form, which is the path's first two parts at most.
fn back_from(path: &str) -> String {
    let plain = path.split('?').next().unwrap_or("/");
    let kept: Vec<_> = plain.split('/').filter(|part| !part.is_empty()).take(2).collect();
    match kept.as_slice() {
        [
            "account",
            part @ ("keys" | "webhooks" | "profile" | "feed" | "security" | "notices" | "likeness" | "decisions"),
        ] => {
            format!("/account/{part}")
        }
        ["account", "destination"] => "/account/export".into(),
        ["admin", part] => format!("/admin/{part}"),
        ["account", "close" | "erase"] => "/account/close".into(),
        ["account", "services"] => {
            plain.rsplit_once('/').map_or("/account".into(), |(place, _)| format!("{place}/close"))
        }
        ["account", ..] => "/account".into(),
        _ => "/".into(),
    }
}

fn sign_in_first(next: &str) -> String {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/sign-in?next={next}")
}

/// Whether an error is for the guard: it asks for the password, or shows a page of its own. A form shows all others beside what was written.
pub(super) fn is_guards(error: &ApiError) -> bool {
    matches!(error.code(), Some("reauth_required" | "service_retired")) || error.status().is_server_error()
}

/// Whether someone administers the installation.
pub(super) fn administers(person: &Person) -> bool {
    Service::ALL.into_iter().any(|service| person.role(service) >= Role::Administrator)
}

/// Whether a request wants a page rather than JSON.
pub(crate) fn wants_page(request: &Request) -> bool {
    let path = request.uri().path();
    let program = ["/v1", "/api", "/media"].iter().any(|start| path.starts_with(start));
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    !program && accept.contains("text/html")
}

/// The page of a path that is none.
pub(crate) async fn nowhere(app: App, request: Request) -> Response {
    let words = Words::preferred(request.headers());
    let path: Arc<str> = request.uri().path().into();
    let (parts, _) = request.into_parts();
    let person = visitor(&app, &parts).await.ok().flatten();
    show_error(&app, &Visitor { person, words, path }, &ApiError::not_found("page"))
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    status: u16,
    said: String,
    /// Where to go on instead.
    pointer: Option<String>,
    /// Where the reasons stand, and can be contested.
    contest: Option<String>,
    signed_in: bool,
}

fn show_error(app: &App, visitor: &Visitor, error: &ApiError) -> Response {
    let page = ErrorPage {
        shell: Shell::new(app, visitor, "error.title", Here::Nowhere),
        status: error.status().as_u16(),
        said: visitor.words.error(error),
        pointer: error.pointer().map(str::to_owned),
        contest: error.contest().map(str::to_owned),
        signed_in: visitor.person.is_some(),
    };
    let mut response = html(&page);
    error.mark(&mut response);
    secured(response)
}

/// The headers of every page.
pub(super) fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CACHE_CONTROL, "private, no-cache");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    response
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| ApiError::internal(&"a page has no guard"))
    }
}
