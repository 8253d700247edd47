//! The second factor: turned on with a code, asked for at every way in, used once.

use std::time::Duration;

use platform::SignUpMode;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use super::site::{Answer, As, Sent, Site};

const PASSWORD: &str = "a long enough password";
const EMAIL: &str = "new@example.org";

/// Someone with a second factor.
struct Guarded {
    site: Site,
    cookie: String,
    secret: String,
    recovery_codes: Vec<String>,
}

async fn post(site: &Site, path: &str, cookie: Option<&str>, body: Value) -> Answer {
    site.send("POST", path, cookie.map_or(As::Nobody, As::Cookie), Sent::Json(body)).await
}

fn cookie(answer: &Answer) -> String {
    answer.ok();
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// What an authenticator app shows now.
pub(super) fn code(site: &Site, secret: &str) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate(u64::try_from(site.bed.app.now().seconds()).unwrap()).to_string()
}

/// So much later that the next code is another, and attempts are not counted with those before.
fn later(site: &Site) {
    site.bed.clock.advance(Duration::from_secs(60));
}

impl Guarded {
    async fn new() -> Self {
        let site = Site::with_sign_up(SignUpMode::Open).await;
        let cookie = cookie(&post(&site, "/api/account", None, json!({ "email": EMAIL, "password": PASSWORD })).await);
        let made = post(&site, "/api/account/second-factor", Some(&cookie), json!({})).await.ok();
        let secret = made["secret"].as_str().unwrap().to_owned();
        let body = json!({ "code": code(&site, &secret) });
        let on = post(&site, "/api/account/second-factor/confirm", Some(&cookie), body).await.ok();
        let recovery_codes = serde_json::from_value(on["recovery_codes"].clone()).unwrap();
        later(&site);
        Self { site, cookie, secret, recovery_codes }
    }

    fn code(&self) -> String {
        code(&self.site, &self.secret)
    }

    async fn sign_in(&self, code: Option<&str>) -> Answer {
        let body = json!({ "email": EMAIL, "password": PASSWORD, "code": code });
        post(&self.site, "/api/sessions", None, body).await
    }
}

#[tokio::test]
async fn a_seed_counts_once_a_code_confirmed_it() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let joined = cookie(&post(&site, "/api/account", None, json!({ "email": EMAIL, "password": PASSWORD })).await);
    let shown = async || site.send("GET", "/api/account/second-factor", As::Cookie(&joined), Sent::Nothing).await.ok();
    let confirm = async |code: &str| {
        post(&site, "/api/account/second-factor/confirm", Some(&joined), json!({ "code": code })).await
    };
    assert_eq!(confirm("123456").await.error().1, "invalid_state");
    let made = post(&site, "/api/account/second-factor", Some(&joined), json!({})).await.ok();
    let (secret, url) = (made["secret"].as_str().unwrap(), made["otpauth_url"].as_str().unwrap());
    assert!(url.starts_with("otpauth://totp/Misora%20misora.test:new%40example.org?"), "{url}");
    assert!(url.contains(&format!("secret={secret}")) && url.contains("issuer=Misora%20misora.test"), "{url}");
    // Not yet: whoever mistypes the seed is not shut out.
    assert_eq!(shown().await["enabled"], false);
    post(&site, "/api/sessions", None, json!({ "email": EMAIL, "password": PASSWORD })).await.ok();
    assert_eq!(confirm("000000").await.error().1, "wrong_code");
    let on = confirm(&format!("{} {}", &code(&site, secret)[..3], &code(&site, secret)[3..])).await.ok();
    assert_eq!(on["recovery_codes"].as_array().unwrap().len(), 10);
    let now = shown().await;
    assert_eq!((&now["enabled"], &now["recovery_codes_left"]), (&json!(true), &json!(10)));
    assert_eq!(post(&site, "/api/account/second-factor", Some(&joined), json!({})).await.error().1, "invalid_state");
    assert!(site.letters().await.iter().any(|letter| letter.contains("A second factor is on")));
}

#[tokio::test]
async fn signing_in_asks_for_a_code_that_works_once() {
    let guarded = Guarded::new().await;
    let asked = guarded.sign_in(None).await.error();
    assert_eq!(asked, (401, "second_factor_required".into(), "code".into()));
    // Whoever has not the password is not told that there is one.
    let body = json!({ "email": EMAIL, "password": "wrong password" });
    assert_eq!(post(&guarded.site, "/api/sessions", None, body).await.error().1, "wrong_credentials");
    assert_eq!(guarded.sign_in(Some("000000")).await.error().1, "wrong_code");
    let code = guarded.code();
    guarded.sign_in(Some(&code)).await.ok();
    assert_eq!(guarded.sign_in(Some(&code)).await.error().1, "wrong_code");
    // Nor does the code of the step before, which is still within the tolerance for clocks.
    guarded.site.bed.clock.advance(Duration::from_secs(30));
    assert_eq!(guarded.sign_in(Some(&code)).await.error().1, "wrong_code");
    guarded.sign_in(Some(&guarded.code())).await.ok();
}

#[tokio::test]
async fn a_recovery_code_stands_in_for_the_app_once() {
    let guarded = Guarded::new().await;
    let (stranger, theirs) = (Guarded::new().await, guarded.recovery_codes[0].clone());
    assert_eq!(stranger.sign_in(Some(&theirs)).await.error().1, "wrong_code");
    guarded.sign_in(Some(&theirs)).await.ok();
    assert_eq!(guarded.sign_in(Some(&theirs)).await.error().1, "wrong_code");
    let shown =
        guarded.site.send("GET", "/api/account/second-factor", As::Cookie(&guarded.cookie), Sent::Nothing).await;
    assert_eq!(shown.ok()["recovery_codes_left"], 9);
}

#[tokio::test]
async fn guessing_is_stopped_even_over_days() {
    let guarded = Guarded::new().await;
    let mut looked_at = 0;
    for _ in 0..60 {
        if guarded.sign_in(Some("000000")).await.error().1 == "wrong_code" {
            looked_at += 1;
        }
        guarded.site.bed.clock.advance(Duration::from_secs(60));
    }
    assert!((6..=11).contains(&looked_at), "{looked_at}");
    let waits = guarded.sign_in(Some(&guarded.code())).await;
    assert_eq!((waits.error().0, waits.header("retry-after").is_empty()), (429, false));
    // A recovery code cannot be guessed, so it is not held up.
    guarded.sign_in(Some(&guarded.recovery_codes[1])).await.ok();
}

#[tokio::test]
async fn no_way_back_in_goes_around_it() {
    let guarded = Guarded::new().await;
    let site = &guarded.site;
    // A letter, and then the app or a recovery code.
    post(site, "/api/account/password-reset", None, json!({ "email": EMAIL })).await.ok();
    let letters = site.letters().await;
    let link = letters.iter().find_map(|letter| letter.split("/password-reset#").nth(1)).unwrap();
    let token = link.lines().next().unwrap().to_owned();
    let reset = async |code: Option<&str>| {
        let body = json!({ "token": token, "new_password": "another long password", "second_factor": code });
        post(site, "/api/account/password-reset/confirm", None, body).await
    };
    assert_eq!(reset(None).await.error().1, "second_factor_required");
    assert_eq!(reset(Some("000000")).await.error().1, "wrong_code");
    // The link was not used up by that.
    reset(Some(&guarded.recovery_codes[0])).await.ok();
    assert_eq!(reset(Some(&guarded.recovery_codes[1])).await.error().1, "token_used");
    later(site);
    // A recovery code, and then the app: two codes of one sheet are one factor.
    let recover = async |code: Option<&str>| {
        let body = json!({ "code": guarded.recovery_codes[2], "new_password": PASSWORD, "second_factor": code });
        post(site, "/api/account/recover", None, body).await
    };
    assert_eq!(recover(None).await.error().1, "second_factor_required");
    assert_eq!(recover(Some(&guarded.recovery_codes[3])).await.error().1, "wrong_code");
    recover(Some(&guarded.code())).await.ok();
}

#[tokio::test]
async fn turning_it_off_needs_a_fresh_proof_with_both_factors() {
    let guarded = Guarded::new().await;
    let site = &guarded.site;
    site.bed.clock.advance(Duration::from_secs(601));
    let off = || site.send("DELETE", "/api/account/second-factor", As::Cookie(&guarded.cookie), Sent::Nothing);
    assert_eq!(off().await.error().1, "reauth_required");
    let prove = async |code: Option<&str>| {
        let body = json!({ "password": PASSWORD, "code": code });
        post(site, "/api/session/reauthenticate", Some(&guarded.cookie), body).await
    };
    assert_eq!(prove(None).await.error().1, "second_factor_required");
    assert_eq!(off().await.error().1, "reauth_required");
    prove(Some(&guarded.code())).await.ok();
    off().await.ok();
    guarded.sign_in(None).await.ok();
    assert!(site.letters().await.iter().any(|letter| letter.contains("The second factor is off")));
    // Off already: nothing happens.
    off().await.ok();
}
