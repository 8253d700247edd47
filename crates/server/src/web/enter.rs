//! Joining, signing in and out, and asking for a new password.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;

use crate::app::App;
use crate::http::accounts::{ask_password_reset, create_account};
use crate::http::auth::{ClientAddress, Person};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::Values;
use crate::http::passkeys::are_possible;
use crate::http::sessions::{create_session, reauthenticate, sign_out};
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/sign-in", Viewer::Anyone, show_sign_in),
        post("/sign-in", Viewer::Anyone, sign_in),
        get("/sign-up", Viewer::Anyone, show_sign_up),
        post("/sign-up", Viewer::Anyone, sign_up),
        post("/sign-out", Viewer::Person, leave),
        get("/forgotten-password", Viewer::Anyone, show_forgotten),
        post("/forgotten-password", Viewer::Anyone, ask_new_password),
        get("/confirm-password", Viewer::Person, show_confirm),
        post("/confirm-password", Viewer::Person, confirm),
    ]
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    email: String,
    next: String,
    /// Whether a second factor is asked for.
    code: bool,
    /// Whether browsers can have passkeys of this installation.
    passkeys: bool,
    said: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUpPage {
    shell: Shell,
    email: String,
    invite: String,
    by_invite: bool,
    closed: bool,
    next: String,
    said: Option<String>,
}

#[derive(Template)]
#[template(path = "forgotten.html")]
struct ForgottenPage {
    shell: Shell,
    sent: bool,
    said: Option<String>,
}

#[derive(Template)]
#[template(path = "confirm_password.html")]
struct ConfirmPage {
    shell: Shell,
    next: String,
    /// Whether a second factor is asked for.
    code: bool,
    said: Option<String>,
}

/// Whether an error asks for a code beside the password.
fn asks_for_code(error: &ApiError) -> bool {
    matches!(error.code(), Some("second_factor_required" | "wrong_code"))
}

/// A path of this site to go on to; anything else is the first page.
pub(super) fn inner(next: Option<&str>) -> String {
    let next = next.unwrap_or("/");
    // Browsers leave tabs and ends of lines out of an address, so `/\t/elsewhere` would lead elsewhere.
    let odd = |letter: char| letter == '\\' || letter.is_control();
    let here = next.starts_with('/') && !next.starts_with("//") && !next.contains(odd);
    if here { next.to_owned() } else { "/".into() }
}

/// Goes on as whoever the answer's cookie says.
fn with_cookie(answer: &Response, to: &str) -> Response {
    let mut response = go(to);
    for cookie in answer.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

fn text(form: &Form, name: &str) -> String {
    form.text(name).ok().flatten().unwrap_or_default().to_owned()
}

async fn show_sign_in(State(app): State<App>, visitor: Visitor, values: Values) -> Response {
    let next = inner(values.get("next"));
    if visitor.person.is_some() {
        return go(&next);
    }
    let shell = Shell::new(&app, &visitor, "enter.sign_in", Here::Nowhere);
    let passkeys = are_possible(&app);
    html(&SignInPage { shell, email: String::new(), next, code: false, passkeys, said: None })
}

async fn sign_in(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    headers: HeaderMap,
    Fields(form): Fields,
) -> Response {
    let (email, next) = (text(&form, "email"), inner(form.text("next").ok().flatten()));
    match create_session(State(app.clone()), address, headers, form).await {
        Ok(answer) => with_cookie(&answer, &next),
        Err(error) => {
            let shell = Shell::new(&app, &visitor, "enter.sign_in", Here::Nowhere);
            let (code, said) = (asks_for_code(&error), Some(visitor.words.error(&error)));
            let passkeys = are_possible(&app);
            html_refused(&SignInPage { shell, email, next, code, passkeys, said }, &error)
        }
    }
}

fn sign_up_page(app: &App, visitor: &Visitor, email: String, invite: String, next: String) -> SignUpPage {
    SignUpPage {
        shell: Shell::new(app, visitor, "enter.sign_up", Here::Nowhere),
        email,
        invite,
        by_invite: app.settings.sign_up == platform::SignUpMode::Invite,
        closed: app.settings.sign_up == platform::SignUpMode::Closed,
        next,
        said: None,
    }
}

async fn show_sign_up(State(app): State<App>, visitor: Visitor, values: Values) -> Response {
    let next = inner(values.get("next"));
    if visitor.person.is_some() {
        return go(&next);
    }
    let invite = values.get("invite").unwrap_or_default().to_owned();
    html(&sign_up_page(&app, &visitor, String::new(), invite, next))
}

async fn sign_up(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    headers: HeaderMap,
    Fields(form): Fields,
) -> Response {
    let (email, invite) = (text(&form, "email"), text(&form, "invite"));
    let next = inner(form.text("next").ok().flatten());
    match create_account(State(app.clone()), address, headers, form).await {
        Ok(answer) => with_cookie(&answer, &next),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            html_refused(&SignUpPage { said, ..sign_up_page(&app, &visitor, email, invite, next) }, &error)
        }
    }
}

async fn leave(State(app): State<App>, person: Person) -> Result<Response, ApiError> {
    Ok(with_cookie(&sign_out(State(app), person).await?, "/"))
}

async fn show_forgotten(State(app): State<App>, visitor: Visitor) -> Response {
    let shell = Shell::new(&app, &visitor, "enter.forgotten", Here::Nowhere);
    html(&ForgottenPage { shell, sent: false, said: None })
}

async fn ask_new_password(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    Fields(form): Fields,
) -> Response {
    let shell = Shell::new(&app, &visitor, "enter.forgotten", Here::Nowhere);
    match ask_password_reset(State(app), address, form).await {
        Ok(_) => html(&ForgottenPage { shell, sent: true, said: None }),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            html_refused(&ForgottenPage { shell, sent: false, said }, &error)
        }
    }
}

async fn show_confirm(State(app): State<App>, visitor: Visitor, values: Values) -> Response {
    let shell = Shell::new(&app, &visitor, "enter.confirm", Here::Account);
    html(&ConfirmPage { shell, next: inner(values.get("next")), code: false, said: None })
}

async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    address: ClientAddress,
    Fields(form): Fields,
) -> Response {
    let next = inner(form.text("next").ok().flatten());
    match reauthenticate(State(app.clone()), person, address, form).await {
        Ok(_) => go(&next),
        Err(error) => {
            let shell = Shell::new(&app, &visitor, "enter.confirm", Here::Account);
            let (code, said) = (asks_for_code(&error), Some(visitor.words.error(&error)));
            html_refused(&ConfirmPage { shell, next, code, said }, &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_stays_on_this_site() {
        for (next, expected) in [
            ("/make?prompt=a", "/make?prompt=a"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("/\n/evil.example", "/"),
            ("", "/"),
        ] {
            assert_eq!(inner(Some(next)), expected);
        }
    }
}
