//! Decisions about someone, as they read them: each limit with its reasons, the appeal against it, and the letters that tell of both.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{
    AppealOutcome, DecidedKind, DecisionEffect, DecisionId, DecisionScope, DecisionState, PostId, Service,
    TakedownKind, TakedownState,
};
use store::{Appeal, Decision};

use crate::app::App;
use crate::http::appeals::file_appeal;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::{Id, Values};
use crate::takedowns;
use crate::web::guard::Visitor;
use crate::web::messages::before;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/decisions", Viewer::Person, show_decisions),
        get("/account/decisions/{id}", Viewer::Person, show_decision),
        post("/account/decisions/{id}/appeal", Viewer::Person, appeal),
        post("/account/decisions/{id}/counter", Viewer::Person, counter),
    ]
}

/// Decisions on a page.
const DECISIONS: u32 = 40;

/// A decision with its reasons, in someone's language.
pub(super) struct StatementView {
    pub(super) id: String,
    /// What is limited, in a sentence.
    pub(super) what: String,
    /// How far it reaches, in a sentence.
    pub(super) means: &'static str,
    /// The reasons: what each is, and what it says.
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) at: Moment,
    pub(super) state_words: &'static str,
    /// The words that were refused.
    pub(super) evidence: String,
    /// The page of what it is about.
    pub(super) item: Option<String>,
    pub(super) unseen: bool,
    /// Until when it can be contested, if it can be.
    pub(super) contest: Option<Moment>,
    pub(super) appeal: Option<AppealView>,
}

/// An appeal, in someone's language.
pub(super) struct AppealView {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) filed: Moment,
    pub(super) due: Moment,
    pub(super) overdue: bool,
    pub(super) status: &'static str,
    pub(super) answer: String,
    pub(super) decided: Option<Moment>,
}

impl AppealView {
    pub(super) fn new(words: &Words, appeal: &Appeal) -> Self {
        let status = match appeal.outcome {
            Some(AppealOutcome::Overturned) => "decision.appeal_won",
            Some(AppealOutcome::Upheld) => "decision.appeal_lost",
            None if appeal.overdue_at.is_some() => "decision.appeal_late",
            None => "decision.appeal_open",
        };
        Self {
            id: appeal.id.to_string(),
            text: appeal.text.clone(),
            filed: Moment::of(appeal.filed_at),
            due: Moment::of(appeal.due_at),
            overdue: appeal.outcome.is_none() && appeal.overdue_at.is_some(),
            status: words.say(status),
            answer: appeal.answer.clone(),
            decided: appeal.decided_at.map(Moment::of),
        }
    }
}

impl StatementView {
    pub(super) fn new(app: &App, words: &Words, decision: &Decision) -> Self {
        let record = &decision.record;
        let (effect, kind) = (record.effect.as_str(), record.item.kind.as_str());
        let service = record.service.map(Service::as_str);
        let service_name = service.map_or_else(
            || words.say("decision.all_services"),
            |service| words.known(&format!("service.{service}")).unwrap_or(service_word(record.service)),
        );
        let what = words
            .known(&format!("decision.what_{effect}_{kind}"))
            .unwrap_or_else(|| words.say(&format!("decision.what_{effect}")));
        let found = if record.automated_detection { "decision.found_program" } else { "decision.found_person" };
        let by = match record.author {
            Some(_) if record.second.is_some() => "decision.by_two",
            Some(_) => "decision.by_person",
            None => "decision.by_program",
        };
        let ends = record.ends_at.map_or_else(|| words.say("decision.no_end").to_owned(), |end| Moment::of(end).plain);
        let version = Some(record.rule.version.as_str()).filter(|version| !version.is_empty());
        let rule = match version {
            Some(version) => words.fill("decision.rule_version", &[&record.rule.id, &version]),
            None => record.rule.id.clone(),
        };
        let facts = match record.facts.as_str() {
            facts if record.effect == DecisionEffect::Refuse && record.author.is_none() => {
                let known = refused_by(words, &record.rule.id);
                let said = if facts.is_empty() { words.say("decision.facts_refused") } else { facts };
                known.unwrap_or_else(|| said.to_owned())
            }
            "" => words.say("decision.facts_none").to_owned(),
            facts => facts.to_owned(),
        };
        let lines = vec![
            (words.say("decision.scope"), words.say(&format!("decision.scope_{}", record.scope.as_str())).to_owned()),
            (words.say("decision.where"), service_name.to_owned()),
            (words.say("decision.ground"), ground(words, &record.ground)),
            (words.say("decision.rule"), rule),
            (words.say("decision.facts"), facts),
            (words.say("decision.found"), words.say(found).to_owned()),
            (words.say("decision.by"), words.say(by).to_owned()),
            (words.say("decision.at"), Moment::of(record.decided_at).plain),
            (words.say("decision.until"), ends),
        ];
        let item = match (record.item.kind, record.item.id) {
            (DecidedKind::Post, Some(id)) if record.effect != DecisionEffect::Refuse => {
                Some(format!("/p/{}", PostId::from_bytes(id)))
            }
            _ => None,
        };
        let may = decision.appeal.is_none() && record.may_be_contested(decision.state, app.now()).is_ok();
        let means = if record.scope == DecisionScope::Identity { "decision.means_all" } else { "decision.means" };
        Self {
            id: record.id.to_string(),
            what: what.replace("{}", service_name),
            means: words.say(means),
            lines,
            at: Moment::of(record.decided_at),
            state_words: words.say(&format!("decision.state_{}", decision.state_at(app.now()))),
            evidence: record.evidence.clone(),
            item,
            unseen: decision.seen_at.is_none(),
            contest: may.then(|| Moment::of(record.contestable_until())),
            appeal: decision.appeal.as_ref().map(|appeal| AppealView::new(words, appeal)),
        }
    }

    /// The same as lines of a letter.
    fn letter(&self, app: &App, words: &Words) -> String {
        let base = &app.settings.base_url;
        let mut lines = vec![self.what.clone()];
        lines.extend(self.item.iter().map(|item| format!("{base}{item}")));
        lines.push(self.means.to_owned());
        lines.extend(self.lines.iter().map(|(what, says)| format!("{what}: {says}")));
        lines.push(format!("{base}/account/decisions/{}", self.id));
        if let Some(until) = &self.contest {
            lines.push(words.fill("decision.letter_contest", &[&until.plain]));
        }
        lines.join("\n")
    }
}

/// What a rule of the policy says, in someone's language; nothing of a rule that is none of the built-in ones.
fn refused_by(words: &Words, rule: &str) -> Option<String> {
    let rule = platform::policy::Policy::built_in().rules().iter().find(|known| known.id == rule)?;
    let says = if words.tag() == "ja" { rule.text.ja } else { rule.text.en };
    Some(format!("{} {says}", words.say("decision.facts_refused")))
}

fn service_word(service: Option<Service>) -> &'static str {
    service.map_or("", Service::as_str)
}

/// What a decision is against, in words if there are some.
pub(super) fn ground(words: &Words, ground: &str) -> String {
    let keys = ["decision.ground_", "reason.", "rule."];
    let known = keys.iter().find_map(|start| words.known(&format!("{start}{ground}")));
    known.map_or_else(|| ground.to_owned(), str::to_owned)
}

/// Where people write to about a decision beside an appeal: as an address for links and as people read it.
pub(super) fn contact(app: &App) -> Option<(String, String)> {
    let contact = app.settings.contact.clone()?;
    let address = if contact.starts_with("https://") { contact.clone() } else { format!("mailto:{contact}") };
    Some((address, contact))
}

fn letter_words(app: &App) -> &'static Words {
    Words::of(&app.settings.language).unwrap_or_else(Words::first)
}

/// The letter that tells someone of decisions with their reasons: subject and text. Of `more` it says that they are there, and where.
pub(crate) fn statement_letter(app: &App, decisions: &[Decision], more: u64) -> (String, String) {
    let words = letter_words(app);
    let mut parts: Vec<_> =
        decisions.iter().map(|decision| StatementView::new(app, words, decision).letter(app, words)).collect();
    if more > 0 {
        parts.push(format!(
            "{}\n{}/account/decisions",
            words.fill("decision.letter_more", &[&more]),
            app.settings.base_url
        ));
    }
    parts.push(words.say("decision.letter_free").to_owned());
    if let Some((_, contact)) = contact(app) {
        parts.push(format!("{}: {contact}", words.say("withheld.contest")));
    }
    let subject = match decisions {
        [one] if more == 0 => StatementView::new(app, words, one).what,
        _ => words.fill("decision.letter_several", &[&(decisions.len() as u64 + more)]),
    };
    (subject, parts.join("\n\n") + "\n")
}

/// The letter that tells someone what their appeal came to.
pub(crate) fn outcome_letter(app: &App, decision: &Decision) -> (String, String) {
    let words = letter_words(app);
    let view = StatementView::new(app, words, decision);
    let mut parts = vec![view.what.clone()];
    if let Some(appeal) = &view.appeal {
        parts.push(appeal.status.to_owned());
        if !appeal.answer.is_empty() {
            parts.push(appeal.answer.clone());
        }
    }
    parts.push(format!("{}/account/decisions/{}", app.settings.base_url, view.id));
    (words.say("decision.letter_outcome").to_owned(), parts.join("\n\n") + "\n")
}

/// The letter that calls whoever administers to an appeal that is late.
pub(crate) fn overdue_letter(app: &App, decision: &Decision) -> (String, String) {
    let words = letter_words(app);
    let view = StatementView::new(app, words, decision);
    let place = view.appeal.as_ref().map_or_else(String::new, |appeal| format!("/moderation/appeals/{}", appeal.id));
    let body = format!("{}\n\n{}{place}\n", view.what, app.settings.base_url);
    (words.say("decision.letter_overdue").to_owned(), body)
}

#[derive(Template)]
#[template(path = "decisions.html")]
struct DecisionsPage {
    shell: Shell,
    decisions: Vec<StatementView>,
    older: Option<String>,
}

async fn show_decisions(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let decisions = app.store.decisions_about(person.identity(), before::<DecisionId>(&values), DECISIONS).await?;
    // What is on the page has been seen.
    if let Some(newest) = decisions.first() {
        app.store.saw_decisions(person.identity(), newest.record.decided_at, app.now()).await?;
    }
    let full = decisions.len() == DECISIONS as usize;
    let last = decisions.last().filter(|_| full).map(|last| (last.record.decided_at, last.record.id));
    Ok(html(&DecisionsPage {
        shell: Shell::new(&app, &visitor, "decision.title", Here::Account),
        older: last.map(|(at, id)| format!("/account/decisions?{}", crate::web::messages::behind(at, id))),
        decisions: decisions.iter().map(|decision| StatementView::new(&app, visitor.words, decision)).collect(),
    }))
}

#[derive(Template)]
#[template(path = "decision.html")]
struct DecisionPage {
    shell: Shell,
    decision: StatementView,
    contact: Option<(String, String)>,
    /// Whether a copyright notice can be answered, and when its item comes back if it was.
    may_counter: bool,
    comes_back: Option<Moment>,
    /// Whether a suit keeps it off, and what was kept of it: it is against them.
    sued: bool,
    suit: Option<takedowns::Suit>,
    text: String,
    said: Option<String>,
}

async fn page(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    id: DecisionId,
    text: String,
) -> Result<DecisionPage, ApiError> {
    let decision = app.store.decision(id).await?;
    if decision.record.subject != person.identity() {
        return Err(ApiError::not_found("decision"));
    }
    let notice = app.store.takedown_of_decision(id).await?.filter(|notice| notice.kind == TakedownKind::Copyright);
    let state = notice.as_ref().map(|notice| notice.state);
    Ok(DecisionPage {
        shell: Shell::new(app, visitor, "decision.one", Here::Account),
        decision: StatementView::new(app, visitor.words, &decision),
        contact: contact(app),
        may_counter: state == Some(TakedownState::Acted) && decision.state == DecisionState::Standing,
        sued: state == Some(TakedownState::Suit),
        suit: notice.as_ref().and_then(takedowns::suit_of),
        comes_back: notice
            .filter(|_| state == Some(TakedownState::Countered))
            .and_then(|notice| notice.restore_at.map(Moment::of)),
        text,
        said: None,
    })
}

async fn show_decision(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<DecisionId>,
) -> Result<Response, ApiError> {
    let page = page(&app, &visitor, &person, id, String::new()).await?;
    app.store.saw_decision(person.identity(), id, app.now()).await?;
    Ok(html(&page))
}

async fn appeal(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<DecisionId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    // Whose it is comes first: what is another's is not there.
    let text = form.text("text")?.unwrap_or_default().to_owned();
    let page = page(&app, &visitor, &person, id, text.clone()).await?;
    let filed = file_appeal(&app, &person, id, &text).await;
    let shown = async { Ok(page) };
    after_form(&visitor, filed, &format!("/account/decisions/{id}"), shown, |page, said| page.said = Some(said)).await
}

async fn counter(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<DecisionId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let page = page(&app, &visitor, &person, id, String::new()).await?;
    let countered = takedowns::counter(&app, &person, id, &form).await;
    let shown = async { Ok(page) };
    after_form(&visitor, countered, &format!("/account/decisions/{id}"), shown, |page, said| page.said = Some(said))
        .await
}
