//! The first page: what this is, and the box to make the first clip.

use askama::Template;
use axum::response::Response;

use crate::app::App;
use crate::web::guard::Visitor;
use crate::web::making::PromptBox;
use crate::web::shell::{Here, Shell, html};

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    shell: Shell,
    ask: PromptBox,
}

/// The page of an installation where nobody has shown anything yet.
pub(super) fn show_start(app: &App, visitor: &Visitor) -> Response {
    html(&StartPage { shell: Shell::new(app, visitor, "start.title", Here::Watch), ask: PromptBox::empty(app) })
}
