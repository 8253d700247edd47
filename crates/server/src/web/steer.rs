//! One's own feed: what counts in it, and rules in plain words.

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use platform::{FEED_WEIGHTS, FeedRule, MAX_FEED_RULES, RULE_WEIGHT, VARIETY_WEIGHT, read_feed_rules};
use store::FeedSettings;

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::path_texts;
use crate::web::feed::signal_key;
use crate::web::guard::Visitor;
use crate::web::post::member;
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/feed", Viewer::Person, show_settings),
        post("/account/feed", Viewer::Person, keep_settings),
        post("/account/feed/rules", Viewer::Person, add_rules),
        post("/account/feed/rules/{place}/delete", Viewer::Person, delete_rule),
    ]
}

#[derive(Template)]
#[template(path = "steer.html")]
struct SteerPage {
    shell: Shell,
    personalised: bool,
    rules: Vec<String>,
    /// Each published weight with its words.
    weights: Vec<(String, String)>,
    text: String,
    /// What of the last words was not understood.
    not_understood: Vec<String>,
    said: Option<String>,
}

impl SteerPage {
    fn new(app: &App, visitor: &Visitor, settings: &FeedSettings) -> Self {
        let words = visitor.words;
        let mut weights: Vec<(String, String)> = FEED_WEIGHTS
            .iter()
            .map(|(signal, weight)| (words.say(signal_key(*signal)).to_owned(), format!("+{weight:.2}")))
            .collect();
        weights.push((words.say("steer.rule_weight").to_owned(), format!("±{RULE_WEIGHT:.2}")));
        weights.push((words.say("why.variety").to_owned(), format!("−{VARIETY_WEIGHT:.2}")));
        Self {
            shell: Shell::new(app, visitor, "steer.title", Here::Account),
            personalised: settings.personalised,
            rules: settings.rules.iter().map(FeedRule::to_string).collect(),
            weights,
            text: String::new(),
            not_understood: Vec::new(),
            said: None,
        }
    }
}

async fn show_settings(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    let settings = app.store.feed_settings(member(&person)?).await?;
    Ok(html(&SteerPage::new(&app, &visitor, &settings)))
}

async fn keep_settings(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let settings = app.store.feed_settings(member).await?;
    let personalised = form.flag("personalised")?.unwrap_or(false);
    app.store.set_feed_settings(member, &FeedSettings { personalised, ..settings }).await?;
    Ok(go("/account/feed"))
}

/// Reads rules from what was written and adds them; of two about the same, the later counts.
async fn add_rules(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let mut settings = app.store.feed_settings(member).await?;
    let text = form.text("text")?.unwrap_or_default();
    let read = read_feed_rules(text);
    for rule in read.rules {
        settings.rules.retain(|known| known.subject != rule.subject);
        settings.rules.push(rule);
    }
    if settings.rules.len() > MAX_FEED_RULES {
        let error =
            ApiError::invalid("text", format!("A feed has at most {MAX_FEED_RULES} rules. Take some back first."));
        let known = app.store.feed_settings(member).await?;
        let page = SteerPage::new(&app, &visitor, &known);
        let said = Some(visitor.words.error(&error));
        return Ok(html_refused(&SteerPage { text: text.to_owned(), said, ..page }, &error));
    }
    app.store.set_feed_settings(member, &settings).await?;
    if read.not_understood.is_empty() {
        return Ok(go("/account/feed"));
    }
    let page = SteerPage::new(&app, &visitor, &settings);
    let text = read.not_understood.join("\n");
    Ok(html(&SteerPage { text, not_understood: read.not_understood, ..page }))
}

/// The place of a rule in a path, from 1.
struct RuleInPath(usize);

impl<S: Send + Sync> FromRequestParts<S> for RuleInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_texts(parts, state).await.pop().unwrap_or_default();
        text.parse().ok().filter(|place| *place > 0).map(Self).ok_or_else(|| ApiError::not_found("rule"))
    }
}

/// Takes a rule back. The form names its words too, so that a second press takes back nothing else.
async fn delete_rule(
    State(app): State<App>,
    person: Person,
    RuleInPath(place): RuleInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let mut settings = app.store.feed_settings(member).await?;
    let named = form.text("rule")?;
    if settings.rules.get(place - 1).map(FeedRule::to_string).as_deref() == named {
        settings.rules.remove(place - 1);
        app.store.set_feed_settings(member, &settings).await?;
    }
    Ok(go("/account/feed"))
}
