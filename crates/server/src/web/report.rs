//! Telling the moderators, and the moderators' queue.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{DecisionId, Handle, PostId, Posting, ReportId, ReportKind, ReportReason, Role, Service};
use store::{AuditEntry, NewReport, PostDecision, Report, ReportSubject};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::{Id, Values};
use crate::letters;
use crate::web::guard::{Visitor, is_guards};
use crate::web::post::{count_posting, member};
use crate::web::profile::whom;
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/report", Viewer::Person, show_form),
        post("/report", Viewer::Person, report),
        get("/moderation", Viewer::Person, show_queue),
        post("/moderation/{report}", Viewer::Person, decide),
    ]
}

/// Reports on a page of the queue.
const REPORTS: u32 = 50;

/// What a report is about, as addresses and forms name it.
#[derive(Clone, Debug, Default)]
struct About {
    post: String,
    comment: String,
    profile: String,
    message: String,
}

impl About {
    fn of<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Self {
        let text = |name: &str| value(name).unwrap_or_default().to_owned();
        Self { post: text("post"), comment: text("comment"), profile: text("profile"), message: text("message") }
    }

    async fn subject(&self, app: &App, visitor: &Visitor) -> Result<ReportSubject, ApiError> {
        if let Ok(message) = self.message.parse() {
            return Ok(ReportSubject::Message(message));
        }
        if let Ok(handle) = Handle::read(&self.profile) {
            return Ok(ReportSubject::Profile(whom(app, visitor, &handle).await?.identity));
        }
        let post = self.post.parse().map_err(|_| ApiError::not_found("post"))?;
        Ok(self.comment.parse().map_or(ReportSubject::Post(post), |comment| ReportSubject::Comment(post, comment)))
    }

    /// The word of what it is.
    fn word(&self) -> &'static str {
        match self {
            _ if !self.message.is_empty() => "message",
            _ if !self.profile.is_empty() => "profile",
            _ if !self.comment.is_empty() => "comment",
            _ => "post",
        }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    shell: Shell,
    about: About,
    what: &'static str,
    reasons: Vec<(&'static str, &'static str, bool)>,
    note: String,
    done: bool,
    said: Option<String>,
}

impl ReportPage {
    fn new(app: &App, visitor: &Visitor, about: About, chosen: Option<ReportReason>) -> Self {
        let words = visitor.words;
        let show =
            |one: &ReportReason| (one.as_str(), words.say(&format!("reason.{}", one.as_str())), Some(*one) == chosen);
        Self {
            shell: Shell::new(app, visitor, "report.title", Here::Watch),
            what: words.say(&format!("report.what_{}", about.word())),
            about,
            reasons: ReportReason::ALL.iter().map(show).collect(),
            note: String::new(),
            done: false,
            said: None,
        }
    }
}

async fn show_form(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    member(&person)?;
    let about = About::of(|name| values.get(name));
    about.subject(&app, &visitor).await?;
    Ok(html(&ReportPage::new(&app, &visitor, about, None)))
}

async fn report(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let about = About::of(|name| form.text(name).ok().flatten());
    let subject = about.subject(&app, &visitor).await?;
    let note = form.text("note")?.unwrap_or_default();
    let reason = form.text("reason")?.and_then(ReportReason::from_word);
    let sent = async {
        let reason = reason.ok_or_else(|| ApiError::missing("reason"))?;
        count_posting(&app, member, Posting::Report).await?;
        let now = app.now();
        let report = NewReport { id: ReportId::new(now, app.random()), subject, reason, note };
        Ok::<_, ApiError>(app.store.report(member, &report, now).await?)
    };
    match sent.await {
        Ok(()) => Ok(html(&ReportPage { done: true, ..ReportPage::new(&app, &visitor, about, None) })),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            let page = ReportPage::new(&app, &visitor, about, reason);
            Ok(html_refused(&ReportPage { note: note.to_owned(), said, ..page }, &error))
        }
    }
}

/// Whether someone moderates what is shown.
pub(super) fn moderates(person: &Person) -> bool {
    person.role(Service::Social) >= Role::Moderator
}

/// Whoever does not moderate does not learn that there is a queue.
fn moderator(person: &Person) -> Result<Role, ApiError> {
    if moderates(person) { Ok(person.role(Service::Social)) } else { Err(ApiError::not_found("page")) }
}

struct ReportView {
    id: String,
    kind: &'static str,
    reason: &'static str,
    note: String,
    copy: String,
    at: Moment,
    /// The post, if it is one.
    post: Option<PostId>,
    handle: String,
}

#[derive(Template)]
#[template(path = "moderation.html")]
struct QueuePage {
    shell: Shell,
    reports: Vec<ReportView>,
    older: Option<String>,
}

async fn show_queue(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let moderator = moderator(&person)?;
    let after = values.get("after").and_then(|text| text.parse().ok());
    let open = app.store.open_reports(moderator, after, REPORTS).await?;
    let older =
        open.last().filter(|_| open.len() == REPORTS as usize).map(|last| format!("/moderation?after={}", last.id));
    let mut reports = Vec::new();
    for Report { id, kind, subject, about, reason, note, copy, reported_at, .. } in open {
        let profile = app.store.profile_of(platform::Viewer::SIGNED_OUT, about).await.ok();
        reports.push(ReportView {
            id: id.to_string(),
            kind: visitor.words.say(&format!("report.what_{}", kind.as_str())),
            reason: visitor.words.say(&format!("reason.{}", reason.as_str())),
            note,
            copy,
            at: Moment::of(reported_at),
            post: (kind == ReportKind::Post).then(|| PostId::from_bytes(subject)),
            handle: profile.map_or(String::new(), |profile| profile.handle.as_str().to_owned()),
        });
    }
    Ok(html(&QueuePage { shell: Shell::new(&app, &visitor, "moderation.title", Here::Admin), reports, older }))
}

/// Takes a report from the queue. A post can be withheld with it: then only its author sees it.
async fn decide(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ReportId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let moderator = moderator(&person)?;
    let now = app.now();
    let mut decided = None;
    if let Some(post) = form.text("withhold")? {
        let post: PostId = post.parse().map_err(|_| ApiError::not_found("post"))?;
        let ground = app.store.open_report(moderator, id).await?.reason;
        let decision = PostDecision {
            id: DecisionId::new(now, app.random()),
            post,
            ground,
            rule: form.text("rule")?.unwrap_or_default().to_owned(),
            decided_by: Some(person.identity()),
            decided_at: now,
        };
        let author = app.store.withhold_by(moderator, &decision).await?;
        decided = Some(decision.id);
        let entry = AuditEntry {
            at: now,
            actor: Some(person.identity()),
            action: "post.withhold".into(),
            subject: post.to_string(),
            detail: format!("{} {id}", decision.id),
        };
        app.store.record_audit(&entry).await?;
        let (subject, body) = decision_letter(&app, &decision);
        letters::post(&app, &app.store.identity(author).await?.email, &subject, body).await?;
    }
    app.store.close_report(moderator, id, decided, now).await?;
    Ok(go("/moderation"))
}

/// A decision as the post's author reads it.
pub(super) struct DecisionView {
    pub(super) ground: &'static str,
    pub(super) rule: String,
    pub(super) by: &'static str,
    pub(super) at: Moment,
}

impl DecisionView {
    pub(super) fn new(words: &Words, decision: &PostDecision) -> Self {
        let by = match decision.decided_by {
            Some(_) => words.say("withheld.by_person"),
            None => words.say("withheld.by_rule"),
        };
        Self {
            ground: words.say(&format!("reason.{}", decision.ground.as_str())),
            rule: decision.rule.clone(),
            by,
            at: Moment::of(decision.decided_at),
        }
    }
}

/// Where a decision is contested: as an address for links and as people read it.
pub(super) fn contact(app: &App) -> Option<(String, String)> {
    let contact = app.settings.contact.clone()?;
    let address = if contact.starts_with("https://") { contact.clone() } else { format!("mailto:{contact}") };
    Some((address, contact))
}

/// The letter that tells an author of a decision, with its reasons.
fn decision_letter(app: &App, decision: &PostDecision) -> (String, String) {
    let words = Words::of(&app.settings.language).unwrap_or_else(Words::first);
    let view = DecisionView::new(words, decision);
    let mut lines = vec![
        words.say("withheld.title").to_owned(),
        format!("{}/p/{}", app.settings.base_url, decision.post),
        String::new(),
        format!("{}: {}", words.say("withheld.ground"), view.ground),
    ];
    if !view.rule.is_empty() {
        lines.push(format!("{}: {}", words.say("withheld.rule"), view.rule));
    }
    lines.push(format!("{}: {}", words.say("withheld.when"), view.at.plain));
    lines.push(format!("{}: {}", words.say("withheld.by"), view.by));
    lines.push(match contact(app) {
        Some((_, contact)) => format!("{}: {contact}", words.say("withheld.contest")),
        None => words.say("withheld.contest_nobody").to_owned(),
    });
    (words.say("withheld.title").to_owned(), lines.join("\n") + "\n")
}
