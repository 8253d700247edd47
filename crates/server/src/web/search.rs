//! Search over people, captions, and prompts that their makers show.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::page::Values;
use crate::web::feed::{before, full_page};
use crate::web::guard::Visitor;
use crate::web::post::{PostView, viewer};
use crate::web::profile::Who;
use crate::web::shell::{Here, Shell, html};
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/search", Viewer::Anyone, show_search)]
}

/// People and posts on a page.
const PEOPLE: u32 = 12;
const POSTS: u32 = 24;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    shell: Shell,
    words: String,
    people: Vec<Who>,
    posts: Vec<PostView>,
    older: Option<String>,
}

async fn show_search(State(app): State<App>, visitor: Visitor, values: Values) -> Result<Response, ApiError> {
    let words = values.get("q").map(str::trim).unwrap_or_default();
    let (looks, before) = (viewer(&visitor), before(&values));
    let posts = app.store.search_posts(looks, words, before, POSTS).await?;
    // People stand on the first page.
    let people = match before {
        None => app.store.search_people(looks, words, PEOPLE).await?,
        Some(_) => Vec::new(),
    };
    let older = full_page(&posts, POSTS).map(|place| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", words).append_pair("before", &place.to_string());
        format!("/search?{}", query.finish())
    });
    Ok(html(&SearchPage {
        shell: Shell::new(&app, &visitor, "search.title", Here::Watch),
        words: words.to_owned(),
        people: people.iter().map(Who::of).collect(),
        posts: posts.iter().map(|post| PostView::listed(&app, visitor.words, post)).collect(),
        older,
    }))
}
