//! Telling the moderators.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{Handle, Posting, ReportId, ReportReason};
use store::{NewReport, ReportSubject};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::Values;
use crate::web::guard::{Visitor, is_guards};
use crate::web::post::{count_posting, member};
use crate::web::profile::whom;
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, post};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/report", Viewer::Person, show_form), post("/report", Viewer::Person, report)]
}

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
