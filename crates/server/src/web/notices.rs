//! What others did with what is one's own, and who asks to follow.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{NoticeId, NoticeKind};
use store::Notice;

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::Values;
use crate::web::guard::Visitor;
use crate::web::messages::{before, behind};
use crate::web::post::member;
use crate::web::profile::Who;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/notices", Viewer::Person, show_notices), post("/notices/read", Viewer::Person, read)]
}

/// Notices and requests on a page.
const NOTICES: u32 = 40;
const REQUESTS: u32 = 100;

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
    notices: Vec<NoticeView>,
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
    let member = member(&person)?;
    let before = before::<NoticeId>(&values);
    let notices = app.store.notices(member, before, NOTICES).await?;
    let requests = match before {
        None => app.store.follow_requests(member, REQUESTS).await?,
        Some(_) => Vec::new(),
    };
    let full = notices.len() == NOTICES as usize;
    Ok(html(&NoticesPage {
        shell: Shell::new(&app, &visitor, "notices.title", Here::Watch),
        requests: requests.iter().map(Who::of).collect(),
        newest: notices.iter().filter(|notice| notice.read_at.is_none()).map(|notice| notice.at.micros()).max(),
        older: notices.last().filter(|_| full).map(|last| format!("/notices?{}", behind(last.at, last.id))),
        notices: notices.iter().map(|notice| NoticeView::new(visitor.words, notice)).collect(),
    }))
}

/// What was shown has been read; what came since has not.
async fn read(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    let until: Option<i64> = form.text("until")?.and_then(|text| text.parse().ok());
    let until = until.ok_or_else(|| ApiError::missing("until"))?;
    app.store.read_notices(member(&person)?, platform::Timestamp::from_micros(until), app.now()).await?;
    Ok(go("/notices"))
}
