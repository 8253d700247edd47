//! Asking for an entry in the registry of rights, without an account: the form, and the page of a request by its secret link.

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use platform::policy::{RightsKind, RightsUse, Stance};
use platform::{Token, TokenKind};

use crate::app::App;
use crate::http::auth::ClientAddress;
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::path_texts;
use crate::rights_requests;
use crate::web::guard::{Visitor, is_guards};
use crate::web::rights::as_the_api_reads_it;
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/rights", Viewer::Anyone, show_form),
        post("/rights", Viewer::Anyone, file),
        get("/rights/status/{link}", Viewer::Anyone, show_status),
    ]
}

/// What a letter about a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RightsWord {
    Received,
    Entered,
    Refused,
}

/// Subject and text, in the language of the installation.
pub(crate) fn rights_words(app: &App, word: RightsWord) -> (String, String) {
    let words = Words::of(&app.settings.language).unwrap_or_else(Words::first);
    let text = match word {
        RightsWord::Received => "rights.letter_received",
        RightsWord::Entered => "rights.letter_entered",
        RightsWord::Refused => "rights.letter_refused",
    };
    (words.say("rights.letter_subject").to_owned(), words.say(text).to_owned())
}

/// A field of one line: name, words, how a browser fills it in, and what was written.
struct LineView {
    name: &'static str,
    words: &'static str,
    complete: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "rights_form.html")]
struct FormPage {
    shell: Shell,
    lines: Vec<LineView>,
    names: String,
    kinds: Vec<(&'static str, &'static str, bool)>,
    stances: Vec<(&'static str, &'static str, bool)>,
    uses: Vec<(&'static str, &'static str)>,
    said: Option<String>,
}

impl FormPage {
    fn new(app: &App, visitor: &Visitor, written: &Form) -> Self {
        let words = visitor.words;
        let value = |name: &str| written.text(name).ok().flatten().unwrap_or_default().to_owned();
        let line = |name, key: &str, complete| LineView { name, words: words.say(key), complete, value: value(name) };
        let named = |kind: &str, word: &'static str| words.say(&format!("rights.{kind}_{word}"));
        let chosen = |name: &str, word: &str| written.text(name).ok().flatten() == Some(word);
        Self {
            shell: Shell::new(app, visitor, "rights.ask", Here::Nowhere),
            lines: vec![
                line("holder", "rights.holder", "off"),
                line("name", "rights.ask_name", "name"),
                line("email", "rights.ask_email", "email"),
                line("mandate", "rights.ask_mandate", "off"),
                line("signature", "rights.ask_signature", "off"),
            ],
            names: value("lines"),
            kinds: RightsKind::ALL
                .map(|one| (one.as_str(), named("kind", one.as_str()), chosen("kind", one.as_str())))
                .into(),
            stances: Stance::ALL
                .map(|one| (one.as_str(), named("stance", one.as_str()), chosen("stance", one.as_str())))
                .into(),
            uses: RightsUse::ALL.map(|one| (one.as_str(), named("use", one.as_str()))).into(),
            said: None,
        }
    }
}

async fn show_form(State(app): State<App>, visitor: Visitor) -> Response {
    html(&FormPage::new(&app, &visitor, &Form::default()))
}

async fn file(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    as_the_api_reads_it(&mut form)?;
    match rights_requests::file(&app, address, &form).await {
        Ok(secret) => Ok(go(&format!("/rights/status/{secret}"))),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let page = FormPage::new(&app, &visitor, &form);
            Ok(html_refused(&FormPage { said: Some(visitor.words.error(&error)), ..page }, &error))
        }
    }
}

/// The secret of a request, in a path.
struct LinkInPath(Token);

impl<S: Send + Sync> FromRequestParts<S> for LinkInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let token = texts.first().and_then(|text| Token::parse(text, TokenKind::RightsRequest).ok());
        token.map(Self).ok_or_else(|| ApiError::not_found("request"))
    }
}

#[derive(Template)]
#[template(path = "rights_status.html")]
struct StatusPage {
    shell: Shell,
    state: &'static str,
    names: String,
    received: Moment,
    decided: Option<Moment>,
    /// The entry that refusals name.
    entry: Option<String>,
    /// Why it was refused.
    why: Option<String>,
}

async fn show_status(
    State(app): State<App>,
    visitor: Visitor,
    LinkInPath(link): LinkInPath,
) -> Result<Response, ApiError> {
    let request = app.store.rights_request_of_link(link.hash()).await?;
    let words = visitor.words;
    Ok(html(&StatusPage {
        shell: Shell::new(&app, &visitor, "rights.ask", Here::Nowhere),
        state: words.say(&format!("rights.state_{}", request.state.as_str())),
        names: rights_requests::asked(&request).names.join(" · "),
        received: Moment::of(request.received_at),
        decided: request.decided.map(|(_, at)| Moment::of(at)),
        why: Some(request.answer).filter(|answer| request.entry.is_none() && !answer.is_empty()),
        entry: request.entry.map(|id| id.to_string()),
    }))
}
