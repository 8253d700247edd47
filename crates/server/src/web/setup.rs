//! The page that the link of the first start opens. What the link ends with never reaches the server until the form is sent.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;

use crate::app::App;
use crate::web::guard::{Visitor, secured};
use crate::web::shell::{Here, Shell, html};
use crate::web::words::Words;

#[derive(Template)]
#[template(path = "set_up.html")]
struct SetUpPage {
    shell: Shell,
}

/// The set-up page.
pub(crate) async fn show_set_up(State(app): State<App>, request: Request) -> Response {
    let visitor = Visitor { person: None, words: Words::preferred(request.headers()), path: "/set-up".into() };
    secured(html(&SetUpPage { shell: Shell::new(&app, &visitor, "setup.title", Here::Nowhere) }))
}
