//! What someone was limited in and why, their appeals, and who reviews these.

use axum::Json;
use axum::extract::State;
use platform::{AppealId, AppealOutcome, AppealRefusal, DecisionId, Month, Role, Service, TakedownKind};
use serde::Serialize;
use store::{Answered, AppealError, Decision, DecisionCount, NoticeCount};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, Person};
use crate::http::decisions::highest;
use crate::http::endpoint::{BodyKind, Endpoint, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List, Values};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/account/decisions/{id}", Access::Person, retrieve_decision)
            .says("Returns a decision about you with its reasons, and the appeal against it.")
            .answers::<Statement>(),
        get("/api/account/decisions", Access::Person, list_decisions)
            .says("Lists the decisions about you, each with its reasons, the newest first.")
            .answers_list::<Statement>(),
        post("/api/account/decisions/{id}/appeal", Access::Person, create_appeal)
            .says("Contests a decision about you: once, free of charge, within 180 days.")
            .reads::<CreateAppeal>(BodyKind::Json)
            .answers::<Statement>(),
        get("/api/moderation/appeals", Access::Moderator, list_appeals)
            .says("Lists the appeals that wait and that you may review, the one that is due first at the top.")
            .answers_list::<Statement>(),
        post("/api/moderation/appeals/{id}", Access::Moderator, decide_appeal)
            .says("Decides an appeal against what another person or a program decided.")
            .reads::<DecideAppeal>(BodyKind::Json)
            .answers::<Statement>(),
        get("/api/transparency/{month}", Access::Open, retrieve_transparency)
            .says("Returns what was decided in a month such as 2026-11, counted.")
            .answers::<TransparencyReport>(),
    ]
}

/// A decision with its statement of reasons.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Statement {
    /// Its id.
    id: String,
    /// Always `decision`.
    object: &'static str,
    /// What it does: `refuse`, `withhold`, `remove`, `restrict`, `suspend` or `restore`.
    effect: &'static str,
    /// How far it reaches: `item`, `capability`, `service` or `identity`.
    scope: &'static str,
    /// In which service; nothing if it is about the whole account.
    service: Option<&'static str>,
    /// What kind of thing it is about.
    item_kind: &'static str,
    /// The post, if it is one.
    post: Option<String>,
    /// What it is against.
    ground: String,
    /// The rule.
    rule: String,
    /// The version of the rules that counted then.
    rule_version: String,
    /// What happened, in the words of whoever decided.
    facts: String,
    /// Whether a program found what it is about.
    automated_detection: bool,
    /// Whether a program decided.
    automated_decision: bool,
    /// Strikes that came with it.
    strikes: u32,
    /// Unix seconds at which it was decided.
    decided_at: i64,
    /// Unix seconds at which it ends by itself; permanent if it is not said.
    ends_at: Option<i64>,
    /// `standing`, `ended` by itself, `paused` while an appeal is late, `lifted` or `overturned`.
    state: &'static str,
    /// Where it can be contested.
    contest: String,
    /// Unix seconds until which it can be contested.
    contestable_until: i64,
    /// The appeal against it.
    pub(crate) appeal: Option<ShownAppeal>,
}

/// An appeal.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct ShownAppeal {
    /// Its id.
    id: String,
    /// Always `appeal`.
    object: &'static str,
    /// `open`, `overdue`, `upheld` or `overturned`.
    status: &'static str,
    /// Why the decision is wrong, in the words of whom it limits.
    text: String,
    /// Unix seconds at which it was filed.
    filed_at: i64,
    /// Unix seconds at which the answer is due.
    due_at: i64,
    /// Unix seconds at which it was decided.
    decided_at: Option<i64>,
    /// Why, in the words of whoever reviewed it.
    answer: String,
}

/// An appeal to be filed.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateAppeal {
    /// Why the decision is wrong, 1 to 4,000 characters.
    text: String,
}

/// What an appeal comes to.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecideAppeal {
    /// `upheld` or `overturned`.
    outcome: String,
    /// Why: the person reads it.
    answer: String,
}

/// What was decided in a month.
#[derive(Serialize, ToSchema)]
pub(crate) struct TransparencyReport {
    /// Always `transparency_report`.
    object: &'static str,
    /// The month.
    month: String,
    /// Decisions by kind, the most frequent first.
    decisions: Vec<CountedDecisions>,
    /// Appeals that were filed then.
    appeals: CountedAppeals,
    /// Notices of people without an account that came then.
    notices: Vec<CountedNotices>,
    /// Reports by members that came then.
    reports: CountedAnswers,
}

/// Decisions of one kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountedDecisions {
    /// What they are against.
    ground: String,
    /// The rule.
    rule: String,
    /// What they do.
    effect: String,
    /// Whether a program found what they are about.
    automated_detection: bool,
    /// Whether a program decided.
    automated_decision: bool,
    /// How many there were.
    decisions: u64,
    /// How many of them were contested since.
    appeals: u64,
    /// How many of those appeals were right.
    overturned: u64,
}

/// How many came and were answered, and how long it took.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountedAnswers {
    /// How many came.
    received: u64,
    /// How many of them are answered.
    answered: u64,
    /// The seconds that half of the answers took at most.
    median_seconds: Option<u64>,
}

/// Appeals.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountedAppeals {
    /// How many were filed.
    received: u64,
    /// How many of them are decided.
    answered: u64,
    /// The seconds that half of the answers took at most.
    median_seconds: Option<u64>,
    /// How many were right.
    overturned: u64,
    /// How many were late.
    overdue: u64,
}

/// Notices of one kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountedNotices {
    /// `intimate` or `copyright`.
    kind: &'static str,
    /// How many came.
    received: u64,
    /// How many of them are answered.
    answered: u64,
    /// The seconds that half of the answers took at most.
    median_seconds: Option<u64>,
    /// How many were followed.
    followed: u64,
    /// How many were refused.
    refused: u64,
    /// How many were answered with a counter-notice.
    countered: u64,
    /// How many items came back.
    restored: u64,
}

impl Statement {
    pub(crate) fn new(app: &App, decision: &Decision) -> Self {
        let record = &decision.record;
        let post = record.item.id.filter(|_| record.item.kind == platform::DecidedKind::Post);
        Self {
            id: record.id.to_string(),
            object: "decision",
            effect: record.effect.as_str(),
            scope: record.scope.as_str(),
            service: record.service.map(Service::as_str),
            item_kind: record.item.kind.as_str(),
            post: post
                .filter(|_| record.effect != platform::DecisionEffect::Refuse)
                .map(|id| platform::PostId::from_bytes(id).to_string()),
            ground: record.ground.clone(),
            rule: record.rule.id.clone(),
            rule_version: record.rule.version.clone(),
            facts: record.facts.clone(),
            automated_detection: record.automated_detection,
            automated_decision: record.author.is_none(),
            strikes: record.strikes,
            decided_at: record.decided_at.seconds(),
            ends_at: record.ends_at.map(platform::Timestamp::seconds),
            state: decision.state_at(app.now()),
            contest: format!("{}/account/decisions/{}", app.settings.base_url, record.id),
            contestable_until: record.contestable_until().seconds(),
            appeal: decision.appeal.as_ref().map(ShownAppeal::from),
        }
    }
}

impl From<&store::Appeal> for ShownAppeal {
    fn from(appeal: &store::Appeal) -> Self {
        let status = match appeal.outcome {
            Some(outcome) => outcome.as_str(),
            None if appeal.overdue_at.is_some() => "overdue",
            None => "open",
        };
        Self {
            id: appeal.id.to_string(),
            object: "appeal",
            status,
            text: appeal.text.clone(),
            filed_at: appeal.filed_at.seconds(),
            due_at: appeal.due_at.seconds(),
            decided_at: appeal.decided_at.map(platform::Timestamp::seconds),
            answer: appeal.answer.clone(),
        }
    }
}

/// How many decisions one answer lists.
const LISTED: u32 = 100;

async fn list_decisions(
    State(app): State<App>,
    person: Person,
    values: Values,
) -> Result<Json<List<Statement>>, ApiError> {
    let before = match values.get("after") {
        Some(id) => {
            let last = own(&app, &person, crate::http::page::path_id(id)?).await?;
            Some((last.record.decided_at, last.record.id))
        }
        None => None,
    };
    let mut found = app.store.decisions_about(person.identity(), before, LISTED + 1).await?;
    let has_more = found.len() > LISTED as usize;
    found.truncate(LISTED as usize);
    let shown: Vec<_> = found.iter().map(|decision| Statement::new(&app, decision)).collect();
    Ok(Json(List::new(shown, |statement| statement.id.clone(), has_more)))
}

/// A decision about whoever asks.
async fn own(app: &App, person: &Person, id: DecisionId) -> Result<Decision, ApiError> {
    let decision = app.store.decision(id).await?;
    if decision.record.subject == person.identity() { Ok(decision) } else { Err(ApiError::not_found("decision")) }
}

async fn retrieve_decision(
    State(app): State<App>,
    person: Person,
    Id(id): Id<DecisionId>,
) -> Result<Json<Statement>, ApiError> {
    Ok(Json(Statement::new(&app, &own(&app, &person, id).await?)))
}

async fn create_appeal(
    State(app): State<App>,
    person: Person,
    Id(id): Id<DecisionId>,
    form: Form,
) -> Result<Json<Statement>, ApiError> {
    own(&app, &person, id).await?;
    file_appeal(&app, &person, id, form.needed_text("text")?).await?;
    Ok(Json(Statement::new(&app, &app.store.decision(id).await?)))
}

/// Files an appeal, in every state of someone's memberships.
pub(crate) async fn file_appeal(app: &App, person: &Person, id: DecisionId, text: &str) -> Result<(), ApiError> {
    let now = app.now();
    let appeal = AppealId::new(now, app.random());
    app.store.appeal(appeal, person.identity(), id, text, now).await.map(|_| ()).map_err(refused)
}

fn refused(error: AppealError) -> ApiError {
    match error {
        AppealError::Store(error) => error.into(),
        AppealError::Refused(refusal) => {
            let message = format!("{refusal}.");
            match refusal {
                AppealRefusal::SamePerson => ApiError::forbidden("second_person_needed", message),
                AppealRefusal::NotModerator => ApiError::forbidden("role_missing", message),
                AppealRefusal::TooLate => ApiError::forbidden("too_late", message),
                AppealRefusal::NothingToContest => ApiError::state(message).on("decision"),
                AppealRefusal::Empty => ApiError::invalid("text", message),
            }
        }
    }
}

/// The role by which someone reviews what was decided about a service, or about a whole account.
pub(crate) fn reviewing_role(person: &Person, service: Option<Service>) -> Role {
    service.map_or_else(|| highest(person), |service| person.role(service))
}

/// The appeals that someone may review.
pub(crate) async fn reviewable(app: &App, person: &Person, limit: u32) -> Result<Vec<Decision>, ApiError> {
    let moderated: Vec<_> =
        Service::ALL.into_iter().filter(|service| person.role(*service) >= Role::Moderator).collect();
    let whole = highest(person) >= Role::Administrator;
    let open = app.store.reviewable_appeals(person.identity(), &moderated, whole, limit).await?;
    let may = |decision: &Decision| {
        let role = reviewing_role(person, decision.record.service);
        decision.record.may_be_reviewed_by(person.identity(), role).is_ok()
    };
    Ok(open.into_iter().filter(may).collect())
}

async fn list_appeals(State(app): State<App>, person: Person) -> Result<Json<List<Statement>>, ApiError> {
    let found = reviewable(&app, &person, LISTED).await?;
    let shown: Vec<_> = found.iter().map(|decision| Statement::new(&app, decision)).collect();
    Ok(Json(List::new(shown, |statement| statement.id.clone(), false)))
}

async fn decide_appeal(
    State(app): State<App>,
    person: Person,
    Id(id): Id<AppealId>,
    form: Form,
) -> Result<Json<Statement>, ApiError> {
    Ok(Json(Statement::new(&app, &review(&app, &person, id, &form).await?)))
}

/// Decides an appeal as a form says.
pub(crate) async fn review(app: &App, person: &Person, id: AppealId, form: &Form) -> Result<Decision, ApiError> {
    let decision = app.store.appealed(id).await?;
    let role = reviewing_role(person, decision.record.service);
    let outcome = AppealOutcome::from_word(form.needed_text("outcome")?)
        .ok_or_else(|| ApiError::invalid("outcome", "An outcome is upheld or overturned."))?;
    let answer = form.needed_text("answer")?;
    let decided = app.store.decide_appeal(id, person.identity(), role, outcome, answer, app.now()).await;
    let decided = decided.map_err(refused)?;
    app.keys.clear();
    // What was stopped by mistake is made after all.
    app.worker_signal.job_accepted();
    Ok(decided)
}

/// A month in a path.
struct MonthInPath(Month);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for MonthInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, ApiError> {
        let texts = crate::http::page::path_texts(parts, state).await;
        let month = texts.last().and_then(|text| Month::parse(text));
        month.map(Self).ok_or_else(|| ApiError::not_found("month"))
    }
}

async fn retrieve_transparency(
    State(app): State<App>,
    MonthInPath(month): MonthInPath,
) -> Result<Json<TransparencyReport>, ApiError> {
    let found = app.store.transparency(month.start(), month.next().start()).await?;
    let Answered { received, answered, median_seconds } = found.appeals;
    let counted = |counted: DecisionCount| CountedDecisions {
        ground: counted.ground,
        rule: counted.rule,
        effect: counted.effect,
        automated_detection: counted.automated_detection,
        automated_decision: counted.automated_decision,
        decisions: counted.decisions,
        appeals: counted.appeals,
        overturned: counted.overturned,
    };
    Ok(Json(TransparencyReport {
        object: "transparency_report",
        month: month.to_string(),
        decisions: found.decisions.into_iter().map(counted).collect(),
        appeals: CountedAppeals {
            received,
            answered,
            median_seconds,
            overturned: found.overturned,
            overdue: found.overdue,
        },
        notices: found.notices.iter().map(notices).collect(),
        reports: CountedAnswers {
            received: found.reports.received,
            answered: found.reports.answered,
            median_seconds: found.reports.median_seconds,
        },
    }))
}

fn notices(counted: &NoticeCount) -> CountedNotices {
    CountedNotices {
        kind: TakedownKind::as_str(counted.kind),
        received: counted.answered.received,
        answered: counted.answered.answered,
        median_seconds: counted.answered.median_seconds,
        followed: counted.followed,
        refused: counted.refused,
        countered: counted.countered,
        restored: counted.restored,
    }
}
