//! What someone made: a grid to look through, search and filter.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{Service, VideoId};
use store::{LibraryFilter, LibraryState, Shape};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::Values;
use crate::web::clip::ClipView;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Shell, html};
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/library", Viewer::Person, show_library)]
}

/// Clips on a page.
const PAGE: u32 = 24;

#[derive(Template)]
#[template(path = "library.html")]
struct LibraryPage {
    shell: Shell,
    clips: Vec<ClipView>,
    words: String,
    /// Value, message, whether it is chosen.
    states: Vec<(&'static str, &'static str, bool)>,
    shapes: Vec<(&'static str, &'static str, bool)>,
    filtered: bool,
    older: Option<String>,
    notice: Option<&'static str>,
}

async fn show_library(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let search = values.get("q").map(str::trim).filter(|words| !words.is_empty());
    let state = LibraryState::ALL.into_iter().find(|state| Some(state.as_str()) == values.get("state"));
    let shape = Shape::ALL.into_iter().find(|shape| Some(shape.as_str()) == values.get("shape"));
    let after: Option<VideoId> = values.get("after").and_then(|text| text.parse().ok());
    let filter = LibraryFilter { words: search, state, shape };
    let page = app.store.library(person.identity(), filter, after, PAGE).await?;
    let older = page.generations.last().filter(|_| page.has_more).map(|last| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("q", search), ("state", state.map(LibraryState::as_str)), ("shape", shape.map(Shape::as_str))]
        {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("/library?{}", query.append_pair("after", &last.id.to_string()).finish())
    });
    let words = visitor.words;
    let states =
        LibraryState::ALL.map(|one| (one.as_str(), words.say(&format!("state.{}", one.as_str())), state == Some(one)));
    let shapes =
        Shape::ALL.map(|one| (one.as_str(), words.say(&format!("shape.{}", one.as_str())), shape == Some(one)));
    Ok(html(&LibraryPage {
        shell: Shell::new(&app, &visitor, "library.title", Here::Library),
        clips: page.generations.iter().map(|generation| ClipView::new(words, generation)).collect(),
        words: search.unwrap_or_default().to_owned(),
        states: states.into(),
        shapes: shapes.into(),
        filtered: filter != LibraryFilter::default() || after.is_some(),
        older,
        notice: match values.get("notice") {
            Some("deleted") => Some(words.say("notice.deleted")),
            Some("unposted") => Some(words.say("notice.unposted")),
            _ => None,
        },
    }))
}
