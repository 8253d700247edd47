//! The moderators' console: what waits, with its age; what it is about; decisions, reviews of appeals, notices, and who did how much.
//! Whoever moderates a service sees what belongs to it, and of a person only what that service decided before.

use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use platform::{
    AppealId, CommentId, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord,
    DecisionScope, IDENTITY_GROUNDS, IdentityId, MessageId, PostId, ReportId, ReportKind, ReportReason, Role, Service,
    TakedownId, TakedownState, Timestamp,
};
use store::{PostEvidence, Report, Takedown};

use crate::app::App;
use crate::http::appeals::{review, reviewable, reviewing_role};
use crate::http::auth::Person;
use crate::http::content::{Variant, send_object};
use crate::http::decisions::{confirm_account_decision, create_decision, propose_account_decision, refused};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::{Id, Values, path_texts};
use crate::takedowns;
use crate::web::decisions::{StatementView, ground};
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/moderation", Viewer::Person, show_queue),
        get("/moderation/work", Viewer::Person, show_work),
        get("/moderation/reports/{id}", Viewer::Person, show_report),
        post("/moderation/reports/{id}", Viewer::Person, decide_report),
        get("/moderation/appeals/{id}", Viewer::Person, show_appeal),
        post("/moderation/appeals/{id}", Viewer::Person, decide_appeal),
        get("/moderation/takedowns/{id}", Viewer::Person, show_notice),
        post("/moderation/takedowns/{id}", Viewer::Person, decide_notice),
        post("/moderation/members/{id}", Viewer::Person, decide_member),
        get("/moderation/posts/{post}/{variant}", Viewer::Person, send_evidence),
        get("/admin/decisions", Viewer::Administrator, show_proposals),
        post("/admin/decisions", Viewer::Administrator, propose),
        post("/admin/decisions/{id}/confirm", Viewer::Administrator, confirm),
    ]
}

/// Things of a kind on a page.
const SHOWN: u32 = 50;
/// After which a report is marked as old.
const OLD: Duration = Duration::from_secs(3 * 86_400);
/// How far back the load of whoever moderates goes.
const WORK: Duration = Duration::from_secs(30 * 86_400);
/// Earlier decisions shown beside a case.
const HISTORY: u32 = 20;

/// Whether someone moderates anything.
pub(super) fn moderates(person: &Person) -> bool {
    Service::ALL.into_iter().any(|service| person.role(service) >= Role::Moderator)
}

/// The role in `social`. Whoever does not moderate there does not learn what waits.
fn social_moderator(person: &Person) -> Result<Role, ApiError> {
    let role = person.role(Service::Social);
    if role >= Role::Moderator { Ok(role) } else { Err(ApiError::not_found("page")) }
}

/// How long something waits, and whether that is long.
struct Age {
    words: String,
    late: bool,
}

impl Age {
    fn new(words: &Words, since: Timestamp, late: bool, now: Timestamp) -> Self {
        Self { words: words.fill("moderation.hours", &[&(now.since(since).as_secs() / 3_600)]), late }
    }
}

struct ReportView {
    id: String,
    /// Its thing, as the form that withholds it names it, and what that form is called.
    thing: String,
    withhold: &'static str,
    kind: &'static str,
    reason: &'static str,
    note: String,
    copy: String,
    at: Moment,
    age: Age,
    /// The post, if it is one.
    post: Option<PostId>,
    handle: String,
}

impl ReportView {
    async fn new(app: &App, words: &Words, report: Report) -> Self {
        let (thing, withhold) = (reported(&report).1, format!("moderation.withhold_{}", report.kind.as_str()));
        let Report { id, kind, subject, about, reason, note, copy, reported_at, .. } = report;
        let profile = app.store.profile_of(platform::Viewer::SIGNED_OUT, about).await.ok();
        let now = app.now();
        Self {
            id: id.to_string(),
            thing,
            withhold: words.say(&withhold),
            kind: words.say(&format!("report.what_{}", kind.as_str())),
            reason: words.say(&format!("reason.{}", reason.as_str())),
            note,
            copy,
            at: Moment::of(reported_at),
            age: Age::new(words, reported_at, now.since(reported_at) > OLD, now),
            post: (kind == ReportKind::Post).then(|| PostId::from_bytes(subject)),
            handle: profile.map_or(String::new(), |profile| profile.handle.as_str().to_owned()),
        }
    }
}

/// A line of the queue that leads to a case.
struct CaseLine {
    path: String,
    what: String,
    due: Moment,
    age: Age,
}

#[derive(Template)]
#[template(path = "moderation.html")]
struct QueuePage {
    shell: Shell,
    /// Whether the viewer moderates `social`.
    social: bool,
    notices: Vec<CaseLine>,
    appeals: Vec<CaseLine>,
    reports: Vec<ReportView>,
    older: Option<String>,
}

async fn show_queue(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    if !moderates(&person) {
        return Err(ApiError::not_found("page"));
    }
    let (words, now) = (visitor.words, app.now());
    let role = person.role(Service::Social);
    let social = role >= Role::Moderator;
    let after = values.get("after").and_then(|text| text.parse().ok());
    let (mut reports, mut notices, mut older) = (Vec::new(), Vec::new(), None);
    if social {
        let open = app.store.open_reports(role, person.identity(), after, SHOWN).await?;
        older =
            open.last().filter(|_| open.len() == SHOWN as usize).map(|last| format!("/moderation?after={}", last.id));
        for report in open {
            reports.push(ReportView::new(&app, words, report).await);
        }
        for state in [TakedownState::Open, TakedownState::Countered] {
            for notice in app.store.takedowns(state, SHOWN).await? {
                notices.push(CaseLine {
                    path: format!("/moderation/takedowns/{}", notice.id),
                    what: format!(
                        "{} · {}",
                        words.say(&format!("takedown.kind_{}", notice.kind.as_str())),
                        words.say(&format!("takedown.state_{}", notice.state.as_str()))
                    ),
                    due: Moment::of(notice.restore_at.unwrap_or(notice.due_at)),
                    age: Age::new(words, notice.received_at, takedowns::is_late(&notice, now), now),
                });
            }
        }
    }
    let mut appeals = Vec::new();
    for decision in reviewable(&app, &person, SHOWN).await? {
        let Some(appeal) = &decision.appeal else { continue };
        appeals.push(CaseLine {
            path: format!("/moderation/appeals/{}", appeal.id),
            what: format!(
                "{} · {}",
                StatementView::new(&app, words, &decision).what,
                ground(words, &decision.record.ground)
            ),
            due: Moment::of(appeal.due_at),
            age: Age::new(words, appeal.filed_at, appeal.overdue_at.is_some() || appeal.due_at <= now, now),
        });
    }
    let shell = Shell::new(&app, &visitor, "moderation.title", Here::Admin);
    Ok(html(&QueuePage { shell, social, notices, appeals, reports, older }))
}

struct WorkView {
    who: String,
    decisions: u64,
    appeals: u64,
    notices: u64,
}

#[derive(Template)]
#[template(path = "moderation_work.html")]
struct WorkPage {
    shell: Shell,
    loads: Vec<WorkView>,
}

async fn show_work(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    if !moderates(&person) {
        return Err(ApiError::not_found("page"));
    }
    let mut loads = Vec::new();
    for load in app.store.workloads(app.now() - WORK).await? {
        let profile = app.store.profile_of(platform::Viewer::SIGNED_OUT, load.identity).await.ok();
        loads.push(WorkView {
            who: profile.map_or_else(|| load.identity.to_string(), |profile| format!("@{}", profile.handle.as_str())),
            decisions: load.decisions,
            appeals: load.appeals,
            notices: load.notices,
        });
    }
    Ok(html(&WorkPage { shell: Shell::new(&app, &visitor, "moderation.work", Here::Admin), loads }))
}

/// A post as evidence.
struct PostView {
    id: PostId,
    caption: String,
    prompt: String,
    state: &'static str,
    has_frames: bool,
    gone: bool,
}

impl PostView {
    fn new(id: PostId, evidence: PostEvidence) -> Self {
        Self {
            id,
            caption: evidence.caption,
            prompt: evidence.prompt,
            state: evidence.state.as_str(),
            has_frames: evidence.spritesheet.is_some(),
            gone: evidence.video.is_none(),
        }
    }
}

/// What is known of a case: the post, and what this service decided about the person before.
async fn evidence(
    app: &App,
    words: &Words,
    post: Option<PostId>,
    subject: IdentityId,
    service: Service,
) -> Result<(Option<PostView>, Vec<StatementView>), ApiError> {
    let shown = match post {
        Some(post) => match app.store.post_evidence(post).await {
            Ok(evidence) => Some(PostView::new(post, evidence)),
            Err(store::StoreError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let history = app.store.decisions_of_service(subject, service, HISTORY).await?;
    Ok((shown, history.iter().map(|decision| StatementView::new(app, words, decision)).collect()))
}

/// The grounds by which moderators decide, each with its words, and which is chosen.
fn grounds(words: &Words, chosen: ReportReason) -> Vec<(&'static str, &'static str, bool)> {
    let show = |one: &ReportReason| (one.as_str(), words.say(&format!("reason.{}", one.as_str())), *one == chosen);
    ReportReason::ALL.iter().map(show).collect()
}

#[derive(Template)]
#[template(path = "moderation_report.html")]
struct ReportPage {
    shell: Shell,
    report: ReportView,
    about: String,
    grounds: Vec<(&'static str, &'static str, bool)>,
    post: Option<PostView>,
    history: Vec<StatementView>,
    said: Option<String>,
}

async fn report_page(app: &App, visitor: &Visitor, person: &Person, id: ReportId) -> Result<ReportPage, ApiError> {
    let report = app.store.open_report(social_moderator(person)?, person.identity(), id).await?;
    let post = (report.kind == ReportKind::Post).then(|| PostId::from_bytes(report.subject));
    let (reason, about) = (report.reason, report.about);
    let (post, history) = evidence(app, visitor.words, post, about, Service::Social).await?;
    Ok(ReportPage {
        shell: Shell::new(app, visitor, "moderation.report", Here::Admin),
        report: ReportView::new(app, visitor.words, report).await,
        about: about.to_string(),
        grounds: grounds(visitor.words, reason),
        post,
        history,
        said: None,
    })
}

async fn show_report(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<ReportId>,
) -> Result<Response, ApiError> {
    Ok(html(&report_page(&app, &visitor, &person, id).await?))
}

/// Takes a report from the queue. What it is about can be withheld with it: then only whoever wrote it sees it.
async fn decide_report(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<ReportId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    social_moderator(&person)?;
    let decided = close_with(&app, &person, id, &form).await;
    let page = report_page(&app, &visitor, &person, id);
    after_form(&visitor, decided, "/moderation", page, |page, said| page.said = Some(said)).await
}

/// What a report is about, as decisions and forms name it.
fn reported(report: &Report) -> (DecidedKind, String) {
    let id = report.subject;
    match report.kind {
        ReportKind::Post => (DecidedKind::Post, PostId::from_bytes(id).to_string()),
        ReportKind::Comment => (DecidedKind::Comment, CommentId::from_bytes(id).to_string()),
        ReportKind::Message => (DecidedKind::Message, MessageId::from_bytes(id).to_string()),
        ReportKind::Profile => (DecidedKind::Profile, IdentityId::from_bytes(id).to_string()),
    }
}

async fn close_with(app: &App, person: &Person, id: ReportId, form: &Form) -> Result<(), ApiError> {
    let moderator = social_moderator(person)?;
    let now = app.now();
    let report = app.store.open_report(moderator, person.identity(), id).await?;
    let mut decided = None;
    if let Some(thing) = form.text("withhold")? {
        // What is decided about is what was reported, and nothing else that a form may name.
        let (kind, spelt) = reported(&report);
        if thing != spelt {
            return Err(ApiError::not_found(report.kind.as_str()));
        }
        let ground = match form.text("ground")? {
            Some(word) => {
                ReportReason::from_word(word).ok_or_else(|| ApiError::invalid("ground", "No such ground."))?
            }
            None => report.reason,
        };
        let decision = DecisionRecord {
            id: DecisionId::new(now, app.random()),
            subject: report.about,
            scope: DecisionScope::Item,
            service: Some(Service::Social),
            effect: DecisionEffect::Withhold,
            item: DecidedItem::new(kind, report.subject),
            ground: ground.as_str().to_owned(),
            rule: DecidedRule::of_house(ground.as_str()),
            facts: form.text("rule")?.unwrap_or_default().trim().to_owned(),
            // A post is looked at where it lies; words go with the decision, for whoever reviews it.
            evidence: if kind == DecidedKind::Post { String::new() } else { report.copy.clone() },
            unlawful: form.flag("unlawful")?.unwrap_or(false),
            automated_detection: false,
            author: Some(person.identity()),
            second: None,
            strikes: u32::from(form.flag("strike")?.unwrap_or(false)),
            decided_at: now,
            ends_at: None,
        };
        decision.check(moderator).map_err(refused)?;
        app.store.decide(&decision).await?;
        decided = Some(decision.id);
    }
    Ok(app.store.close_report(moderator, id, decided, now).await?)
}

#[derive(Template)]
#[template(path = "moderation_appeal.html")]
struct AppealPage {
    shell: Shell,
    decision: StatementView,
    whose: String,
    post: Option<PostView>,
    history: Vec<StatementView>,
    /// Whether the viewer may review it.
    may: bool,
    answer: String,
    said: Option<String>,
}

async fn appeal_page(app: &App, visitor: &Visitor, person: &Person, id: AppealId) -> Result<AppealPage, ApiError> {
    let decision = app.store.appealed(id).await?;
    let record = &decision.record;
    let role = reviewing_role(person, record.service);
    // Whose own case it is reads it in their account.
    if role < Role::Moderator || record.subject == person.identity() {
        return Err(ApiError::not_found("appeal"));
    }
    let post =
        record.item.id.filter(|_| record.item.kind == DecidedKind::Post && record.effect != DecisionEffect::Refuse);
    let service = record.service.unwrap_or(Service::Social);
    let (post, history) = evidence(app, visitor.words, post.map(PostId::from_bytes), record.subject, service).await?;
    let open = decision.appeal.as_ref().is_some_and(|appeal| appeal.outcome.is_none());
    Ok(AppealPage {
        shell: Shell::new(app, visitor, "moderation.appeal", Here::Admin),
        may: open && record.may_be_reviewed_by(person.identity(), role).is_ok(),
        whose: record.subject.to_string(),
        decision: StatementView::new(app, visitor.words, &decision),
        post,
        history: history.into_iter().filter(|other| other.id != record.id.to_string()).collect(),
        answer: String::new(),
        said: None,
    })
}

async fn show_appeal(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<AppealId>,
) -> Result<Response, ApiError> {
    Ok(html(&appeal_page(&app, &visitor, &person, id).await?))
}

async fn decide_appeal(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<AppealId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let page = appeal_page(&app, &visitor, &person, id).await?;
    let reviewed = review(&app, &person, id, &form).await;
    let answer = form.text("answer")?.unwrap_or_default().to_owned();
    let shown = async { Ok(AppealPage { answer, ..page }) };
    after_form(&visitor, reviewed, "/moderation", shown, |page, said| page.said = Some(said)).await
}

#[derive(Template)]
#[template(path = "moderation_takedown.html")]
struct NoticePage {
    shell: Shell,
    id: String,
    kind: &'static str,
    state: &'static str,
    open: bool,
    countered: bool,
    received: Moment,
    due: Moment,
    age: Age,
    details: takedowns::Details,
    counter: Option<takedowns::Counter>,
    comes_back: Option<Moment>,
    /// The suit that was shown, and when.
    suit: Option<takedowns::Suit>,
    suit_at: Option<Moment>,
    /// How many notices of the same address were refused, and how many there were, in the last 90 days.
    refused_before: (u64, u64),
    post: Option<PostView>,
    history: Vec<StatementView>,
    said: Option<String>,
}

async fn notice_page(app: &App, visitor: &Visitor, person: &Person, id: TakedownId) -> Result<NoticePage, ApiError> {
    social_moderator(person)?;
    let notice: Takedown = app.store.takedown(id).await?;
    let (words, now) = (visitor.words, app.now());
    let (post, history) = evidence(app, words, Some(notice.post), notice.subject, Service::Social).await?;
    Ok(NoticePage {
        shell: Shell::new(app, visitor, "moderation.notice", Here::Admin),
        id: notice.id.to_string(),
        kind: words.say(&format!("takedown.kind_{}", notice.kind.as_str())),
        state: words.say(&format!("takedown.state_{}", notice.state.as_str())),
        open: notice.state == TakedownState::Open,
        countered: notice.state == TakedownState::Countered,
        received: Moment::of(notice.received_at),
        due: Moment::of(notice.due_at),
        age: Age::new(words, notice.received_at, takedowns::is_late(&notice, now), now),
        details: takedowns::details(&notice),
        counter: takedowns::counter_of(&notice),
        comes_back: notice.restore_at.filter(|_| notice.state != TakedownState::Suit).map(Moment::of),
        suit: takedowns::suit_of(&notice),
        suit_at: notice.suit_at.map(Moment::of),
        refused_before: notice.refused_before,
        post,
        history,
        said: None,
    })
}

async fn show_notice(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<TakedownId>,
) -> Result<Response, ApiError> {
    Ok(html(&notice_page(&app, &visitor, &person, id).await?))
}

async fn decide_notice(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<TakedownId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    social_moderator(&person)?;
    let notice = app.store.takedown(id).await?;
    let decided = async {
        let who = person.identity();
        // Nobody decides about their own.
        if notice.subject == who {
            return Err(ApiError::forbidden("second_person_needed", "Another person decides about what is yours."));
        }
        match form.needed_text("act")? {
            "follow" => {
                let facts = form.text("facts")?.unwrap_or_default();
                Ok(takedowns::follow(&app, &notice, Some(who), facts).await?)
            }
            "refuse" => Ok(takedowns::refuse(&app, &notice, who).await?),
            "suit" => takedowns::show_suit(&app, &notice, &form, Some(who)).await,
            _ => Err(ApiError::invalid("act", "An act is follow, refuse or suit.")),
        }
    };
    let decided = decided.await;
    let page = notice_page(&app, &visitor, &person, id);
    after_form(&visitor, decided, "/moderation", page, |page, said| page.said = Some(said)).await
}

/// Limits a membership, as `POST /api/decisions` does.
async fn decide_member(
    State(app): State<App>,
    person: Person,
    Id(id): Id<IdentityId>,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    social_moderator(&person)?;
    form.set("identity", Field::Text(id.to_string()));
    if let Some(days) = form.whole("days", 1, 3_650)? {
        let end = app.now() + Duration::from_secs(days * 86_400);
        form.take("days");
        form.set("ends_at", Field::Number(end.seconds().to_string()));
    }
    create_decision(State(app), person, form).await.map(|_| go("/moderation"))
}

/// Pictures and film of a post that a case is about.
struct EvidenceInPath(PostId, String);

impl<S: Send + Sync> FromRequestParts<S> for EvidenceInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let post = texts.first().and_then(|text| text.parse().ok()).ok_or_else(|| ApiError::not_found("post"))?;
        Ok(Self(post, texts.get(1).cloned().unwrap_or_default()))
    }
}

async fn send_evidence(
    State(app): State<App>,
    person: Person,
    EvidenceInPath(post, variant): EvidenceInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    social_moderator(&person)?;
    let evidence = app.store.post_evidence(post).await?;
    let (key, kind, ending) = match Variant::from_word(&variant) {
        Some(Variant::Video) => (evidence.video.as_ref(), "video/mp4", "mp4"),
        Some(Variant::Thumbnail) => (evidence.thumbnail.as_ref(), "image/webp", "webp"),
        Some(Variant::Spritesheet) => (evidence.spritesheet.as_ref(), "image/jpeg", "jpg"),
        None => (None, "", ""),
    };
    let key = key.ok_or_else(|| ApiError::not_found("post"))?;
    send_object(&app, key, kind, &format!("{post}.{ending}"), &headers).await
}

struct ProposalView {
    id: String,
    subject: String,
    ground: &'static str,
    facts: String,
    at: Moment,
    /// Whether the viewer may confirm it.
    may: bool,
}

#[derive(Template)]
#[template(path = "admin/decisions.html")]
struct ProposalsPage {
    shell: Shell,
    proposals: Vec<ProposalView>,
    grounds: Vec<(&'static str, &'static str)>,
    said: Option<String>,
}

async fn proposals_page(app: &App, visitor: &Visitor, person: &Person) -> Result<ProposalsPage, ApiError> {
    let words = visitor.words;
    let role = reviewing_role(person, None);
    let name = |ground: &str| words.say(&format!("decision.ground_{ground}"));
    let proposals = app.store.proposed_decisions(SHOWN).await?;
    let show = |proposed: &DecisionRecord| ProposalView {
        id: proposed.id.to_string(),
        subject: proposed.subject.to_string(),
        ground: name(&proposed.ground),
        facts: proposed.facts.clone(),
        at: Moment::of(proposed.decided_at),
        may: proposed.check_second(person.identity(), role).is_ok(),
    };
    Ok(ProposalsPage {
        shell: Shell::new(app, visitor, "moderation.accounts", Here::Admin),
        proposals: proposals.iter().map(show).collect(),
        grounds: IDENTITY_GROUNDS.map(|ground| (ground, name(ground))).into(),
        said: None,
    })
}

async fn show_proposals(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    Ok(html(&proposals_page(&app, &visitor, &person).await?))
}

async fn propose(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let proposed: Result<Json<_>, ApiError> = propose_account_decision(State(app.clone()), person.clone(), form).await;
    let page = proposals_page(&app, &visitor, &person);
    after_form(&visitor, proposed, "/admin/decisions", page, |page, said| page.said = Some(said)).await
}

async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<DecisionId>,
) -> Result<Response, ApiError> {
    let confirmed = confirm_account_decision(State(app.clone()), person.clone(), id).await;
    let page = proposals_page(&app, &visitor, &person);
    after_form(&visitor, confirmed, "/admin/decisions", page, |page, said| page.said = Some(said)).await
}
