//! What was decided, counted month by month: for everyone.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::Month;
use store::{Answered, DecisionCount, NoticeCount};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::page::Values;
use crate::web::decisions::ground;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Shell, html};
use crate::web::words::Words;
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/transparency", Viewer::Anyone, show_transparency)]
}

struct CountView {
    ground: String,
    rule: String,
    effect: &'static str,
    found: &'static str,
    by: &'static str,
    decisions: u64,
    appeals: u64,
    overturned: u64,
}

struct AnsweredView {
    name: &'static str,
    received: u64,
    answered: u64,
    median: String,
    /// More figures: what, and how many.
    more: Vec<(&'static str, u64)>,
}

#[derive(Template)]
#[template(path = "transparency.html")]
struct TransparencyPage {
    shell: Shell,
    month: String,
    earlier: String,
    later: Option<String>,
    counts: Vec<CountView>,
    answered: Vec<AnsweredView>,
}

async fn show_transparency(State(app): State<App>, visitor: Visitor, values: Values) -> Result<Response, ApiError> {
    let now = Month::of(app.now());
    let month = match values.get("month") {
        Some(text) => Month::parse(text).ok_or_else(|| ApiError::not_found("month"))?,
        None => now,
    };
    let words = visitor.words;
    let found = app.store.transparency(month.start(), month.next().start()).await?;
    let mut answered = vec![
        row(words, "transparency.reports", &found.reports, Vec::new()),
        row(
            words,
            "transparency.appeals",
            &found.appeals,
            vec![
                (words.say("transparency.overturned"), found.overturned),
                (words.say("transparency.overdue"), found.overdue),
            ],
        ),
    ];
    answered.extend(found.notices.iter().map(|notices| notices_row(words, notices)));
    Ok(html(&TransparencyPage {
        shell: Shell::new(&app, &visitor, "transparency.title", Here::Nowhere),
        month: month.to_string(),
        earlier: month.previous().to_string(),
        later: (month < now).then(|| month.next().to_string()),
        counts: found.decisions.iter().map(|counted| count(words, counted)).collect(),
        answered,
    }))
}

fn count(words: &Words, counted: &DecisionCount) -> CountView {
    let found = if counted.automated_detection { "decision.found_program" } else { "decision.found_person" };
    let by = if counted.automated_decision { "decision.by_program" } else { "decision.by_person" };
    CountView {
        ground: ground(words, &counted.ground),
        rule: counted.rule.clone(),
        effect: words.say(&format!("transparency.effect_{}", counted.effect)),
        found: words.say(found),
        by: words.say(by),
        decisions: counted.decisions,
        appeals: counted.appeals,
        overturned: counted.overturned,
    }
}

fn notices_row(words: &Words, counted: &NoticeCount) -> AnsweredView {
    let more = vec![
        (words.say("transparency.followed"), counted.followed),
        (words.say("transparency.refused"), counted.refused),
        (words.say("transparency.countered"), counted.countered),
        (words.say("transparency.restored"), counted.restored),
    ];
    row(words, &format!("transparency.notices_{}", counted.kind.as_str()), &counted.answered, more)
}

fn row(words: &Words, name: &str, answered: &Answered, more: Vec<(&'static str, u64)>) -> AnsweredView {
    let median = answered
        .median_seconds
        .map_or_else(|| "–".to_owned(), |seconds| words.fill("transparency.hours", &[&seconds.div_ceil(3_600)]));
    AnsweredView { name: words.say(name), received: answered.received, answered: answered.answered, median, more }
}
