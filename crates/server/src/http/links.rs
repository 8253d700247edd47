//! The pages that links open: a new password, an address that is confirmed. What follows the `#` of a link never leaves the browser
//! but in the body of a request, so no log and no other site learns it.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::http::auth::Access;
use crate::http::endpoint::{Endpoint, get};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/password-reset", Access::Open, show_password_reset)
            .says(
                "The page that sets a new password: the link of a letter opens it. Without one it asks for the letter.",
            )
            .answers_bytes(&["text/html"]),
        get("/confirm-email", Access::Open, show_confirm_email)
            .says("The page that the link of a letter opens to confirm an address.")
            .answers_bytes(&["text/html"]),
        get("/links.js", Access::Open, show_script)
            .says("The script of the pages that links open.")
            .answers_bytes(&["text/javascript"]),
        get("/links.css", Access::Open, show_style)
            .says("The style of the pages that links open.")
            .answers_bytes(&["text/css"]),
    ]
}

/// What a page may do: run our script, look like our style, speak to this server. Nothing else, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const PASSWORD_RESET: &str = r#"<form hidden data-token data-to="/api/account/password-reset/confirm"
 data-done="Your new password is set, and you are signed in. All other browsers are signed out.">
<label for="new_password">A new password of at least 10 characters</label>
<input id="new_password" name="new_password" type="password" minlength="10" maxlength="200" autocomplete="new-password" required>
<div hidden data-second-factor><label for="second_factor">The code of your authenticator app, or a recovery code</label>
<input id="second_factor" name="second_factor" autocomplete="one-time-code" autocapitalize="none" spellcheck="false"></div>
<button>Set the new password</button></form>
<form hidden data-to="/api/account/password-reset"
 data-done="If this address has an account here, a letter with a link is on its way. The link works for an hour.">
<p>A letter with a link will let you set a new one.</p>
<label for="email">Your e-mail address</label><input id="email" name="email" type="email" autocomplete="username" required>
<button>Send me the letter</button></form>
<p hidden data-again><a href="/password-reset">Ask for a new link</a></p>"#;

const CONFIRM_EMAIL: &str = r#"<form hidden data-token data-to="/api/account/confirm-email"
 data-done="Thank you. Your address is confirmed.">
<p>Is the address that the letter came to yours?</p><button>Yes, confirm it</button></form>
<p hidden data-without-token>This link is not complete. Open it from the letter again, or copy all of it.</p>
<p hidden data-again>Sign in and ask for the letter again.</p>"#;

async fn show_password_reset() -> Response {
    page("A new password", PASSWORD_RESET)
}

async fn show_confirm_email() -> Response {
    page("Confirm your address", CONFIRM_EMAIL)
}

async fn show_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("links/links.js"))
}

async fn show_style() -> Response {
    asset("text/css; charset=utf-8", include_str!("links/links.css"))
}

/// A page with a title and forms that the script sends. A form with `data-token` is shown if the link has a token, one without if it has
/// none; `data-to` says where it goes, `data-done` what is said then.
pub(crate) fn page(title: &str, main: &str) -> Response {
    let html = format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Misora</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<link rel="stylesheet" href="/links.css"><script src="/links.js" defer></script></head><body><main>
<h1>{title}</h1><noscript><p>This page needs JavaScript: what follows the # of its link is sent by it alone.</p></noscript>
{main}
<p id="said" role="status" tabindex="-1"></p></main></body></html>"#
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (headers, html).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // Short, because its name says no version.
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, text).into_response()
}
