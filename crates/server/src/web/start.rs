//! The first page: what this is, and the box to make the first clip.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::http::error::ApiError;
use crate::web::guard::Visitor;
use crate::web::making::PromptBox;
use crate::web::shell::{Here, Shell, html};
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/", Viewer::Anyone, show_start)]
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    shell: Shell,
    ask: PromptBox,
}

async fn show_start(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    let page = StartPage { shell: Shell::new(&app, &visitor, "start.title", Here::Watch), ask: PromptBox::empty(&app) };
    Ok(html(&page))
}
