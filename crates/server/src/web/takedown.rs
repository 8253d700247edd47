//! Takedown without an account: the forms, the page of a notice by its secret link, and what letters about notices say.

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use platform::{TakedownKind, TakedownState, Token, TokenKind};
use store::Takedown;

use crate::app::App;
use crate::http::accounts::count_attempt;
use crate::http::auth::ClientAddress;
use crate::http::error::ApiError;
use crate::http::page::{Values, path_texts};
use crate::takedowns;
use crate::web::guard::{Visitor, is_guards};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/takedown", Viewer::Anyone, show_choice),
        get("/takedown/{kind}", Viewer::Anyone, show_form),
        post("/takedown/{kind}", Viewer::Anyone, file),
        get("/takedown/status/{link}", Viewer::Anyone, show_status),
        post("/takedown/status/{link}/suit", Viewer::Anyone, show_suit),
    ]
}

/// What a letter about a notice says, or the facts of a decision that followed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakedownWord {
    Received,
    ToldMaker,
    Followed,
    FollowedMaker,
    Refused,
    Countered,
    ComesBack,
    Restored,
    Suit,
    Alarm,
    FactNamed,
    FactRemix,
    FactCopy,
}

/// Subject and text, in the language of the installation.
pub(crate) fn takedown_words(app: &App, word: TakedownWord, kind: TakedownKind) -> (String, String) {
    let words = Words::of(&app.settings.language).unwrap_or_else(Words::first);
    let text = match word {
        TakedownWord::Received => words.say("takedown.letter_received"),
        TakedownWord::ToldMaker => words.say("takedown.letter_told"),
        TakedownWord::Followed => words.say("takedown.letter_followed"),
        TakedownWord::FollowedMaker => words.say("takedown.letter_followed_maker"),
        TakedownWord::Refused => words.say("takedown.letter_refused"),
        TakedownWord::Countered => words.say("takedown.letter_countered"),
        TakedownWord::ComesBack => words.say("takedown.comes_back"),
        TakedownWord::Restored => words.say("takedown.letter_restored"),
        TakedownWord::Suit => words.say("takedown.letter_suit"),
        TakedownWord::Alarm => words.say("takedown.letter_alarm"),
        TakedownWord::FactNamed => words.say("takedown.fact_named"),
        TakedownWord::FactRemix => words.say("takedown.fact_remix"),
        TakedownWord::FactCopy => words.say("takedown.fact_copy"),
    };
    let kind = words.say(&format!("takedown.kind_{}", kind.as_str()));
    (words.fill("takedown.letter_subject", &[&kind]), text.to_owned())
}

/// What a notice is about, in a path.
struct KindInPath(TakedownKind);

impl<S: Send + Sync> FromRequestParts<S> for KindInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let kind = texts.first().and_then(|text| TakedownKind::from_word(text));
        kind.map(Self).ok_or_else(|| ApiError::not_found("page"))
    }
}

/// The secret of a notice, in a path.
struct LinkInPath(Token);

impl<S: Send + Sync> FromRequestParts<S> for LinkInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let token = texts.first().and_then(|text| Token::parse(text, TokenKind::Takedown).ok());
        token.map(Self).ok_or_else(|| ApiError::not_found("notice"))
    }
}

#[derive(Template)]
#[template(path = "takedown.html")]
struct ChoicePage {
    shell: Shell,
}

async fn show_choice(State(app): State<App>, visitor: Visitor) -> Response {
    html(&ChoicePage { shell: Shell::new(&app, &visitor, "takedown.title", Here::Nowhere) })
}

/// A field of the form: name, words, and whether it is long.
struct FieldView {
    name: &'static str,
    words: &'static str,
    long: bool,
    most: u32,
    complete: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "takedown_form.html")]
struct FormPage {
    shell: Shell,
    kind: &'static str,
    about: &'static str,
    fields: Vec<FieldView>,
    /// What must be ticked: name and words.
    ticks: Vec<(&'static str, &'static str)>,
    said: Option<String>,
}

impl FormPage {
    fn new(app: &App, visitor: &Visitor, kind: TakedownKind, value: impl Fn(&str) -> String) -> Self {
        let words = visitor.words;
        let field = |name: &'static str, key: &str, most, complete| FieldView {
            name,
            words: words.say(key),
            long: most >= 500,
            most,
            complete,
            value: value(name),
        };
        let copyright = kind == TakedownKind::Copyright;
        let mut fields = vec![field("post", "takedown.post", 499, "off")];
        if copyright {
            fields.push(field("work", "takedown.work", 2_000, "off"));
        }
        let statement = if copyright { "takedown.statement_work" } else { "takedown.statement" };
        fields.push(field("statement", statement, 4_000, "off"));
        fields.push(field("name", "takedown.name", 200, "name"));
        if copyright {
            fields.push(field("address", "takedown.address", 500, "street-address"));
            fields.push(field("phone", "takedown.phone", 50, "tel"));
        }
        fields.push(field("email", "takedown.email", 254, "email"));
        fields.push(field("signature", "takedown.signature", 200, "off"));
        let ticks = if copyright {
            vec![("good_faith", words.say("takedown.good_faith_work")), ("accurate", words.say("takedown.accurate"))]
        } else {
            vec![("depicted", words.say("takedown.depicted")), ("good_faith", words.say("takedown.good_faith"))]
        };
        Self {
            shell: Shell::titled(
                app,
                visitor,
                words.say(&format!("takedown.form_{}", kind.as_str())).to_owned(),
                Here::Nowhere,
            ),
            kind: kind.as_str(),
            about: words.say(&format!("takedown.about_{}", kind.as_str())),
            fields,
            ticks,
            said: None,
        }
    }
}

async fn show_form(State(app): State<App>, visitor: Visitor, KindInPath(kind): KindInPath, values: Values) -> Response {
    let post = values.get("post").unwrap_or_default().to_owned();
    html(&FormPage::new(&app, &visitor, kind, |name| if name == "post" { post.clone() } else { String::new() }))
}

async fn file(
    State(app): State<App>,
    visitor: Visitor,
    KindInPath(kind): KindInPath,
    address: ClientAddress,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    match takedowns::file(&app, address, kind, &form).await {
        Ok(secret) => Ok(go(&format!("/takedown/status/{secret}"))),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let written = |name: &str| form.text(name).ok().flatten().unwrap_or_default().to_owned();
            let page = FormPage::new(&app, &visitor, kind, written);
            Ok(html_refused(&FormPage { said: Some(visitor.words.error(&error)), ..page }, &error))
        }
    }
}

#[derive(Template)]
#[template(path = "takedown_status.html")]
struct StatusPage {
    shell: Shell,
    link: String,
    kind: &'static str,
    state: &'static str,
    received: Moment,
    due: Option<Moment>,
    decided: Option<Moment>,
    /// What whoever made it answered, and when the item comes back.
    counter: Option<takedowns::Counter>,
    comes_back: Option<Moment>,
    suit: Option<takedowns::Suit>,
    said: Option<String>,
}

fn status_page(app: &App, visitor: &Visitor, notice: &Takedown, link: &Token) -> StatusPage {
    let words = visitor.words;
    let countered = notice.state == TakedownState::Countered;
    StatusPage {
        shell: Shell::new(app, visitor, "takedown.status", Here::Nowhere),
        link: link.reveal(),
        kind: words.say(&format!("takedown.kind_{}", notice.kind.as_str())),
        state: words.say(&format!("takedown.state_{}", notice.state.as_str())),
        received: Moment::of(notice.received_at),
        due: (notice.state == TakedownState::Open).then(|| Moment::of(notice.due_at)),
        decided: notice.decided_at.map(Moment::of),
        counter: takedowns::counter_of(notice).filter(|_| countered),
        comes_back: notice.restore_at.filter(|_| countered).map(Moment::of),
        suit: takedowns::suit_of(notice),
        said: None,
    }
}

async fn show_status(
    State(app): State<App>,
    visitor: Visitor,
    LinkInPath(link): LinkInPath,
) -> Result<Response, ApiError> {
    let notice = app.store.takedown_of_link(link.hash()).await?;
    Ok(html(&status_page(&app, &visitor, &notice, &link)))
}

/// A suit: which court has it, under which number, and since when.
async fn show_suit(
    State(app): State<App>,
    visitor: Visitor,
    LinkInPath(link): LinkInPath,
    address: ClientAddress,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    count_attempt(&app, address, "")?;
    let notice = app.store.takedown_of_link(link.hash()).await?;
    let shown = takedowns::show_suit(&app, &notice, &form, None).await;
    let to = format!("/takedown/status/{}", link.reveal());
    let page = async { Ok(status_page(&app, &visitor, &notice, &link)) };
    after_form(&visitor, shown, &to, page, |page, said| page.said = Some(said)).await
}
