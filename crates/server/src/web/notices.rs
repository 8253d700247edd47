//! What others did with what is one's own, who asks to follow, which clips are finished, and what of it someone wants to be told.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{NoticeId, NoticeKind, NoticeTopic, NoticeWays, Service, Timestamp};
use store::{Notice, NoticeLetter, StoreError};

use crate::letters::letter;

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::Values;
use crate::web::clip::ClipView;
use crate::web::guard::Visitor;
use crate::web::messages::{before, behind};
use crate::web::post::member;
use crate::web::profile::Who;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/notices", Viewer::Person, show_notices),
        post("/notices/read", Viewer::Person, read),
        get("/account/notices", Viewer::Person, show_settings),
        post("/account/notices", Viewer::Person, keep_settings),
    ]
}

/// Notices and requests on a page.
const NOTICES: u32 = 40;
const REQUESTS: u32 = 100;
/// Clips that have ended, beside them.
const CLIPS: u32 = 8;

struct NoticeView {
    who: Who,
    words: String,
    path: String,
    at: Moment,
    unread: bool,
}

impl NoticeView {
    fn new(words: &Words, notice: &Notice) -> Self {
        let who = Who::of(&notice.actor);
        let path = match notice.post {
            Some(post) if matches!(notice.kind, NoticeKind::Commented | NoticeKind::Answered) => {
                format!("/p/{post}#comments")
            }
            Some(post) => format!("/p/{post}"),
            None => format!("/@{}", who.handle),
        };
        let others = notice.actors.saturating_sub(1);
        let name = match others {
            0 => who.name.clone(),
            _ => words.fill("notices.and_others", &[&who.name, &others]),
        };
        let words = words.fill(&format!("notices.{}", notice.kind.as_str()), &[&name]);
        Self { who, words, path, at: Moment::of(notice.at), unread: notice.read_at.is_none() }
    }
}

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage {
    shell: Shell,
    requests: Vec<Who>,
    /// Clips that have ended, and whether that is new.
    clips: Vec<(ClipView, bool)>,
    notices: Vec<NoticeView>,
    /// Decisions that they have not seen.
    decisions: u64,
    /// The moment of the newest that is not read, in microseconds.
    newest: Option<i64>,
    older: Option<String>,
}

async fn show_notices(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    // Clips are told of to whoever makes some, in `social` or not.
    let member = member(&person).ok();
    let before = before::<NoticeId>(&values);
    let notices = match member {
        Some(member) => app.store.notices(member, before, NOTICES).await?,
        None => Vec::new(),
    };
    let requests = match (member, before) {
        (Some(member), None) => app.store.follow_requests(member, REQUESTS).await?,
        _ => Vec::new(),
    };
    let clips = match before {
        None if person.membership(Service::Video).readable().is_ok() => {
            app.store.ended_clips(person.identity(), CLIPS).await?
        }
        _ => Vec::new(),
    };
    let new_clip = clips.iter().filter(|(_, seen)| !seen).filter_map(|(clip, _)| clip.ended_at).max();
    let new_notice = notices.iter().filter(|notice| notice.read_at.is_none()).map(|notice| notice.at).max();
    let full = notices.len() == NOTICES as usize;
    Ok(html(&NoticesPage {
        shell: Shell::new(&app, &visitor, "notices.title", Here::Watch),
        requests: requests.iter().map(Who::of).collect(),
        newest: new_notice.max(new_clip).map(Timestamp::micros),
        decisions: app.store.unseen_decisions(person.identity()).await?,
        clips: clips.iter().map(|(clip, seen)| (ClipView::new(&app, visitor.words, clip), !seen)).collect(),
        older: notices.last().filter(|_| full).map(|last| format!("/notices?{}", behind(last.at, last.id))),
        notices: notices.iter().map(|notice| NoticeView::new(visitor.words, notice)).collect(),
    }))
}

/// What was shown has been read; what came since has not.
async fn read(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    let until: Option<i64> = form.text("until")?.and_then(|text| text.parse().ok());
    let until = until.ok_or_else(|| ApiError::missing("until"))?;
    let until = Timestamp::from_micros(until).min(app.now());
    app.store.saw_clips(person.identity(), until).await?;
    if let Ok(member) = member(&person) {
        app.store.read_notices(member, until, app.now()).await?;
    }
    Ok(go("/notices"))
}

struct TopicView {
    word: &'static str,
    name: &'static str,
    ways: NoticeWays,
}

#[derive(Template)]
#[template(path = "notice_settings.html")]
struct SettingsPage {
    shell: Shell,
    topics: Vec<TopicView>,
    email: String,
    confirmed: bool,
    saved: bool,
}

async fn show_settings(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let identity = app.store.identity(person.identity()).await?;
    let show = |(topic, ways): (NoticeTopic, NoticeWays)| TopicView {
        word: topic.as_str(),
        name: visitor.words.say(&format!("topic.{}", topic.as_str())),
        ways,
    };
    Ok(html(&SettingsPage {
        shell: Shell::new(&app, &visitor, "topic.title", Here::Account),
        topics: app.store.notice_settings(person.identity()).await?.into_iter().map(show).collect(),
        email: identity.email,
        confirmed: identity.email_confirmed_at.is_some(),
        saved: values.get("saved").is_some(),
    }))
}

/// Keeps all topics as the form has them: what is not ticked is off.
async fn keep_settings(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    let mut settings = Vec::new();
    for topic in NoticeTopic::ALL {
        let on = |way: &str| Ok::<_, ApiError>(form.flag(&format!("{}_{way}", topic.as_str()))?.unwrap_or(false));
        settings.push((*topic, NoticeWays { in_app: on("app")?, by_mail: on("mail")? }));
    }
    app.store.set_notice_settings(person.identity(), &settings).await?;
    Ok(go("/account/notices?saved=true"))
}

/// How long what happens is gathered before a letter tells of it.
const GATHERED: Duration = Duration::from_secs(900);
/// How long what cannot be written to anybody is kept.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Letters of one round.
const LETTERS: u32 = 50;

/// Writes the letters that are due; says how many.
pub(crate) async fn write_letters(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    app.store.forget_notice_letters(now - KEPT).await?;
    let words = Words::of(&app.settings.language).unwrap_or_else(Words::first);
    let mut written = 0;
    for NoticeLetter { identity, email, happened } in app.store.notice_letters(now - GATHERED, LETTERS).await? {
        let base = &app.settings.base_url;
        let line = |(topic, times): &(NoticeTopic, u64)| {
            format!("{}: {times}\n", words.say(&format!("topic.{}", topic.as_str())))
        };
        let lines: String = happened.iter().map(line).collect();
        let body = format!("{lines}\n{base}/notices\n\n{}\n{base}/account/notices\n", words.say("topic.letter_off"));
        let subject = words.say("topic.letter").to_owned();
        let letter = letter(app, email, subject, body);
        written += usize::from(app.store.post_notice_letter(identity, &letter).await?);
    }
    Ok(written)
}
