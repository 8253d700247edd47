//! The page that the link of the first start opens. What the link ends with never reaches the server until the form is sent.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
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
    let mut page = secured(html(&SetUpPage { shell: Shell::new(&app, &visitor, "setup.title", Here::Nowhere) }));
    // The address holds a secret: nobody keeps the page, nobody is told where it was.
    page.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    page
}
