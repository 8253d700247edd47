//! The app: pages that the server writes, for browsers. They call the same functions as the API's endpoints, never the API by HTTP.
//!
//! One list of [`Page`]s makes the router and the table of the access test. [`guard`] stands before each of them: it finds out who
//! looks and in which language, lets nobody in where nobody may, and shows whatever went wrong as a page.

mod guard;
mod shell;
mod words;

mod assets;

mod account;
mod admin;
mod archives;
mod clip;
mod closing;
mod credentials;
mod decisions;
mod enrolment;
mod enter;
mod feed;
mod folders;
mod keys;
mod library;
mod likeness;
mod making;
mod messages;
mod moderation;
mod notices;
mod post;
mod profile;
mod report;
mod review;
mod rights;
mod rights_request;
mod search;
mod security;
mod start;
mod steer;
mod storyboard;
mod takedown;
mod transparency;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use platform::Sunset;

use crate::app::App;
use crate::http::count_body;
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::web::guard::{Visitor, is_guards};
use crate::web::shell::html_refused;
use crate::web::words::Words;

pub(crate) use decisions::{outcome_letter, overdue_letter, statement_letter};
pub(crate) use feed::FrontPages;
pub use guard::Viewer;
pub(crate) use guard::{nowhere, wants_page};
pub(crate) use notices::write_letters as write_notice_letters;
pub(crate) use rights_request::{RightsWord, rights_words};
pub(crate) use setup::show_set_up;
pub(crate) use takedown::{TakedownWord, takedown_words};

mod setup;

/// A page, or what a form of a page is sent to.
struct Page {
    method: Method,
    path: &'static str,
    viewer: Viewer,
    handler: MethodRouter<App>,
    most_bytes: usize,
}

/// The largest form without a file, and the largest with one picture.
const SMALL_FORM_BYTES: usize = 200_000;
const PICTURE_FORM_BYTES: usize = 24_000_000;

fn get<H: Handler<T, App>, T: 'static>(path: &'static str, viewer: Viewer, handler: H) -> Page {
    Page { method: Method::GET, path, viewer, handler: on(MethodFilter::GET, handler), most_bytes: SMALL_FORM_BYTES }
}

fn post<H: Handler<T, App>, T: 'static>(path: &'static str, viewer: Viewer, handler: H) -> Page {
    Page { method: Method::POST, path, viewer, handler: on(MethodFilter::POST, handler), most_bytes: SMALL_FORM_BYTES }
}

impl Page {
    /// A form that may hold a picture.
    fn with_picture(self) -> Self {
        Self { most_bytes: PICTURE_FORM_BYTES, ..self }
    }

    /// A form that may hold an archive, as large as any request may be.
    fn with_archive(self) -> Self {
        Self { most_bytes: usize::MAX, ..self }
    }
}

fn all_pages() -> Vec<Page> {
    [
        feed::pages(),
        post::pages(),
        profile::pages(),
        search::pages(),
        steer::pages(),
        messages::pages(),
        notices::pages(),
        report::pages(),
        moderation::pages(),
        decisions::pages(),
        takedown::pages(),
        transparency::pages(),
        enter::pages(),
        making::pages(),
        storyboard::pages(),
        clip::pages(),
        credentials::pages(),
        library::pages(),
        likeness::pages(),
        enrolment::pages(),
        review::pages(),
        folders::pages(),
        account::pages(),
        closing::pages(),
        security::pages(),
        archives::pages(),
        keys::pages(),
        admin::pages(),
        rights::pages(),
        rights_request::pages(),
        assets::pages(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every page with who may look at it.
pub fn page_list() -> Vec<(Method, &'static str, Viewer)> {
    all_pages().iter().map(|page| (page.method.clone(), page.path, page.viewer)).collect()
}

/// Adds the pages to a router.
pub(crate) fn mount(router: Router<App>, app: &App) -> Router<App> {
    all_pages().into_iter().fold(router, |router, page| {
        let guarded = from_fn_with_state((app.clone(), page.viewer), guard::guard);
        let most = usize::try_from(app.settings.max_body_bytes).unwrap_or(usize::MAX);
        let limited = page.handler.layer(DefaultBodyLimit::max(page.most_bytes.min(most)));
        // Counted behind the guard, as with the API.
        let counted = limited.layer(from_fn_with_state(app.clone(), count_body));
        router.route(page.path, counted.layer(guarded))
    })
}

/// Goes on after a form, or shows its page with what went wrong. What the guard sees to goes on to it. `page` is only made if it is shown.
async fn after_form<T, P: Template>(
    visitor: &Visitor,
    result: Result<T, ApiError>,
    to: &str,
    page: impl Future<Output = Result<P, ApiError>>,
    say: impl FnOnce(&mut P, String),
) -> Result<Response, ApiError> {
    match result {
        Ok(_) => Ok(go(to)),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let mut page = page.await?;
            say(&mut page, visitor.words.error(&error));
            Ok(html_refused(&page, &error))
        }
    }
}

/// The fields of a form, whatever way the browser sent them; what was left empty is not there.
struct Fields(Form);

impl FromRequest<App> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let form = if kind.starts_with("application/x-www-form-urlencoded") {
            let body = bytes::Bytes::from_request(request, app).await;
            Form::from_url_encoded(&body.map_err(|_| ApiError::too_large(SMALL_FORM_BYTES as u64))?)?
        } else {
            Form::from_request(request, app).await?
        };
        Ok(Self(form.without_blanks()))
    }
}

/// What the installation says by itself, in one language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnWords {
    /// Below each of its first clips.
    pub(crate) caption: &'static str,
    /// Of itself.
    pub(crate) bio: &'static str,
}

/// The letter that tells of an end, so many days before it: subject and text.
pub(crate) fn sunset_letter(app: &App, sunset: &Sunset, days: u32) -> (String, String) {
    let words = Words::of(&app.settings.language).unwrap_or_else(Words::first);
    let what = words.fill(&format!("sunset.of_{}", sunset.subject.kind()), &[&sunset.subject.name()]);
    let day = |at| shell::Moment::of(at).plain;
    let mut lines = vec![
        words.fill("sunset.letter", &[&what, &day(sunset.ends_at), &days]),
        words.say(&format!("sunset.means_{}", sunset.subject.kind())).to_owned(),
        words.fill("sunset.export", &[&day(sunset.export_until())]),
    ];
    if !sunset.successor.is_empty() {
        lines.push(words.fill("sunset.instead", &[&sunset.successor]));
    }
    lines.push(format!("{}/library", app.settings.base_url));
    (words.fill("sunset.subject", &[&what]), lines.join("\n\n") + "\n")
}

/// What the installation says by itself in the language of a tag.
pub(crate) fn own_words(tag: &str) -> OwnWords {
    let words = Words::of(tag).unwrap_or_else(Words::first);
    OwnWords { caption: words.say("first.caption"), bio: words.say("first.bio") }
}

/// The tags of all languages.
pub(crate) fn languages() -> impl Iterator<Item = &'static str> {
    Words::all().map(|(tag, _)| tag)
}

/// Whether the script asks, which wants the outcome and no page.
fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/json")
}

/// Goes on to another page after a form.
fn go(to: &str) -> Response {
    Redirect::to(to).into_response()
}
