//! Joining, signing in, and the ways back in.

use platform::{SignUpMode, Token, TokenKind};
use serde_json::json;
use store::OneTimeToken;

use super::site::{Answer, As, Sent, Site};

const PASSWORD: &str = "a long enough password";

async fn post(site: &Site, path: &str, cookie: Option<&str>, body: serde_json::Value) -> Answer {
    site.send("POST", path, cookie.map_or(As::Nobody, As::Cookie), Sent::Json(body)).await
}

fn cookie(answer: &Answer) -> String {
    answer.ok();
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

/// The administrator, made as the first start makes them; the cookie.
async fn administrator(site: &Site) -> String {
    let (app, now) = (&site.bed.app, site.bed.app.now());
    let token = Token::new(TokenKind::SetUp, app.random());
    let nobody = OneTimeToken { identity: None, subject: String::new() };
    app.store.create_one_time_token(token.hash(), TokenKind::SetUp, &nobody, None, now).await.unwrap();
    let body = json!({ "token": token.reveal(), "email": "Owner@Example.org", "password": PASSWORD });
    let made = post(site, "/api/set-up", None, body.clone()).await;
    assert_eq!(post(site, "/api/set-up", None, body).await.error().1, "set_up_refused");
    cookie(&made)
}

#[tokio::test]
async fn the_first_link_makes_the_administrator_once() {
    let site = Site::new().await;
    let admin = administrator(&site).await;
    let account = site.send("GET", "/api/account", As::Cookie(&admin), Sent::Nothing).await.ok();
    assert_eq!(
        (&account["email"], &account["memberships"][0]["role"]),
        (&json!("owner@example.org"), &json!("administrator"))
    );
    assert_eq!(site.send("GET", "/api/admin/queue", As::Cookie(&admin), Sent::Nothing).await.status, 200);
    // A new link is worth nothing while there is one.
    let (app, now) = (&site.bed.app, site.bed.app.now());
    let token = Token::new(TokenKind::SetUp, app.random());
    let nobody = OneTimeToken { identity: None, subject: String::new() };
    app.store.create_one_time_token(token.hash(), TokenKind::SetUp, &nobody, None, now).await.unwrap();
    let body = json!({ "token": token.reveal(), "email": "second@example.org", "password": PASSWORD });
    assert_eq!(post(&site, "/api/set-up", None, body).await.error().1, "set_up_refused");
}

#[tokio::test]
async fn nobody_joins_a_closed_installation() {
    let site = Site::new().await;
    let body = json!({ "email": "a@example.org", "password": PASSWORD });
    assert_eq!(post(&site, "/api/account", None, body).await.error(), (403, "sign_up_closed".into(), "-".into()));
}

#[tokio::test]
async fn an_invite_lets_as_many_in_as_it_says_and_gives_its_tier() {
    let site = Site::with_sign_up(SignUpMode::Invite).await;
    let admin = administrator(&site).await;
    post(&site, "/api/admin/tiers", Some(&admin), json!({ "name": "early", "seconds_per_day": 60 })).await.ok();
    let invite = post(&site, "/api/admin/invites", Some(&admin), json!({ "tier": "early", "uses": 1 })).await.ok();
    let join = |email: &'static str, invite: serde_json::Value| {
        let site = &site;
        async move {
            post(site, "/api/account", None, json!({ "email": email, "password": PASSWORD, "invite": invite })).await
        }
    };
    assert_eq!(join("a@example.org", json!(null)).await.error().1, "invite_needed");
    assert_eq!(join("a@example.org", json!("mis_inv_1")).await.error().1, "invite_unknown");
    let joined = cookie(&join("a@example.org", invite["code"].clone()).await);
    let projects = site.send("GET", "/api/projects", As::Cookie(&joined), Sent::Nothing).await.ok();
    assert_eq!(projects["data"][0]["tier"], "early");
    assert_eq!(join("b@example.org", invite["code"].clone()).await.error().1, "invite_used_up");
    let second = post(&site, "/api/admin/invites", Some(&admin), json!({})).await.ok();
    let path = format!("/api/admin/invites/{}", second["id"].as_str().unwrap());
    site.send("DELETE", &path, As::Cookie(&admin), Sent::Nothing).await.ok();
    assert_eq!(join("b@example.org", second["code"].clone()).await.error().1, "invite_unknown");
}

#[tokio::test]
async fn whoever_signs_in_has_a_session_until_it_is_ended() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let body = json!({ "email": " Mika@Example.org ", "password": PASSWORD });
    // The bed has this address.
    assert_eq!(post(&site, "/api/account", None, body).await.error().1, "invalid_state");
    let joined =
        cookie(&post(&site, "/api/account", None, json!({ "email": "new@example.org", "password": PASSWORD })).await);
    let sign_in = |password: &'static str| {
        let site = &site;
        async move { post(site, "/api/sessions", None, json!({ "email": "new@example.org", "password": password })).await }
    };
    assert_eq!(sign_in("wrong password").await.error(), (401, "wrong_credentials".into(), "-".into()));
    let unknown = post(&site, "/api/sessions", None, json!({ "email": "no@example.org", "password": PASSWORD })).await;
    assert_eq!(unknown.error().1, "wrong_credentials");
    let second = cookie(&sign_in(PASSWORD).await);
    let sessions = site.send("GET", "/api/sessions", As::Cookie(&joined), Sent::Nothing).await.ok();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 2);
    site.send("DELETE", "/api/session", As::Cookie(&second), Sent::Nothing).await.ok();
    assert_eq!(
        site.send("GET", "/api/account", As::Cookie(&second), Sent::Nothing).await.error().1,
        "sign_in_required"
    );
    // Guessing ends soon.
    for _ in 0..10 {
        sign_in("wrong password").await;
    }
    assert_eq!(sign_in(PASSWORD).await.error().0, 429);
}

#[tokio::test]
async fn a_lost_password_is_replaced_by_a_code_or_a_letter_once() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let joined =
        cookie(&post(&site, "/api/account", None, json!({ "email": "new@example.org", "password": PASSWORD })).await);
    let codes = post(&site, "/api/account/recovery-codes", Some(&joined), json!({})).await.ok();
    let code = codes["codes"][3].clone();
    let recover = |password: &'static str| {
        let (site, code) = (&site, code.clone());
        async move { post(site, "/api/account/recover", None, json!({ "code": code, "new_password": password })).await }
    };
    cookie(&recover("another long password").await);
    assert_eq!(recover("a third long password").await.error(), (400, "token_used".into(), "code".into()));
    assert_eq!(site.send("GET", "/api/account", As::Cookie(&joined), Sent::Nothing).await.status, 401);
    // The same answer for an address that nobody has.
    for email in ["new@example.org", "nobody@example.org"] {
        post(&site, "/api/account/password-reset", None, json!({ "email": email })).await.ok();
    }
    let letters = site.letters().await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    let token = letters.iter().find_map(|letter| letter.split("/password-reset#").nth(1)).unwrap();
    let body = json!({ "token": token.lines().next().unwrap(), "new_password": "a fourth long password" });
    cookie(&post(&site, "/api/account/password-reset/confirm", None, body.clone()).await);
    let used = post(&site, "/api/account/password-reset/confirm", None, body).await.error();
    assert_eq!(used, (400, "token_used".into(), "token".into()));
    let token = letters.iter().find_map(|letter| letter.split("/confirm-email#").nth(1)).unwrap();
    post(&site, "/api/account/confirm-email", None, json!({ "token": token.lines().next().unwrap() })).await.ok();
}

/// What follows the `#` of the last letter's link to a page.
async fn last_link(site: &Site, page: &str) -> String {
    let letters = site.letters().await;
    let mut links = letters.iter().filter_map(|letter| letter.split(&format!("/{page}#")).nth(1));
    links.next_back().unwrap().lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_says_why_it_does_not_work() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let body = json!({ "email": "new@example.org", "password": PASSWORD });
    let joined = cookie(&post(&site, "/api/account", None, body).await);
    let reset = |token: String| {
        let body = json!({ "token": token, "new_password": "another long password" });
        let site = &site;
        async move { post(site, "/api/account/password-reset/confirm", None, body).await.error() }
    };
    let refused = |code: &str| (400, code.to_owned(), "token".to_owned());
    assert_eq!(reset("mis_pwr_1".into()).await, refused("token_unknown"));
    let ask = async || {
        // Letters of one moment have no order.
        site.bed.clock.advance(std::time::Duration::from_secs(1));
        post(&site, "/api/account/password-reset", None, json!({ "email": "new@example.org" })).await.ok();
        last_link(&site, "password-reset").await
    };
    let (first, second) = (ask().await, ask().await);
    assert_eq!(reset(first).await, refused("token_unknown"), "a newer letter took its place");
    site.bed.clock.advance(std::time::Duration::from_secs(3601));
    assert_eq!(reset(second).await, refused("token_expired"));

    let confirm = async |token: &str| post(&site, "/api/account/confirm-email", None, json!({ "token": token })).await;
    let old = last_link(&site, "confirm-email").await;
    site.bed.clock.advance(std::time::Duration::from_secs(7 * 86_400));
    assert_eq!(confirm(&old).await.error(), refused("token_expired"));
    post(&site, "/api/account/confirm-email/letter", Some(&joined), json!({})).await.ok();
    let fresh = last_link(&site, "confirm-email").await;
    confirm(&fresh).await.ok();
    assert_eq!(confirm(&fresh).await.error(), refused("token_used"));
    let again = post(&site, "/api/account/confirm-email/letter", Some(&joined), json!({})).await;
    assert_eq!(again.error().1, "invalid_state");
}

#[tokio::test]
async fn a_page_for_a_link_runs_our_script_alone_and_keeps_the_token_to_itself() {
    let site = Site::new().await;
    for path in ["/password-reset", "/confirm-email"] {
        let answer = site.send("GET", path, As::Nobody, Sent::Nothing).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(
            (answer.header("referrer-policy"), answer.header("cache-control")),
            ("no-referrer", "no-store"),
            "{path}"
        );
        let page = String::from_utf8(answer.body).unwrap();
        // Nothing inline: the policy would refuse it.
        for inline in ["<style", "<script>", " style=", "onclick", "javascript:"] {
            assert!(!page.contains(inline), "{path} has {inline}");
        }
        assert!(page.contains(r#"name="viewport""#) && page.contains("<noscript>"), "{path}");
        // What it names is there, and its forms go where something answers.
        for name in ["src=\"", "href=\"", "data-to=\""] {
            for target in page.split(name).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let method = if name.starts_with("data") { "POST" } else { "GET" };
                let routes = server::route_list();
                assert!(routes.iter().any(|(verb, path, _)| *verb == method && *path == target), "{method} {target}");
            }
        }
    }
    for (path, kind) in [("/links.js", "text/javascript"), ("/links.css", "text/css")] {
        let answer = site.send("GET", path, As::Nobody, Sent::Nothing).await;
        assert!(answer.header("content-type").starts_with(kind) && answer.status == 200, "{path}");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"), "{path}");
    }
}

#[tokio::test]
async fn old_sessions_prove_themselves_again_before_grave_acts() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let joined =
        cookie(&post(&site, "/api/account", None, json!({ "email": "new@example.org", "password": PASSWORD })).await);
    site.bed.clock.advance(std::time::Duration::from_secs(601));
    let close = || post(&site, "/api/memberships/video/close", Some(&joined), json!({ "confirm": "video" }));
    assert_eq!(close().await.error(), (401, "reauth_required".into(), "-".into()));
    post(&site, "/api/session/reauthenticate", Some(&joined), json!({ "password": PASSWORD })).await.ok();
    assert_eq!(close().await.ok()["state"], "closing");
    let account = site.send("GET", "/api/account", As::Cookie(&joined), Sent::Nothing).await.ok();
    let states: Vec<_> =
        account["memberships"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["closing", "none", "none", "active", "none"]);
}
