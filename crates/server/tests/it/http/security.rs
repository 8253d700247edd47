//! The page of passkeys and codes, and the way in by passkey: what is shown, and what its forms do.

use std::time::Duration;

use platform::SignUpMode;

use super::pages::{join, page};
use super::passkeys::{Authenticator, register, sign_in};
use super::second_factor::code;
use super::site::{Answer, As, Sent, Site};
use crate::loops::bed::Bed;

const PASSWORD: &str = "a long enough password";
const EMAIL: &str = "new@example.org";
const PAGE: &str = "/account/security";

async fn post(site: &Site, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    site.send("POST", path, As::Cookie(cookie), Sent::Fields(fields)).await
}

/// What stands in an attribute, the first time that it is there.
fn attribute<'a>(page: &'a str, name: &str) -> &'a str {
    let rest = page.split(&format!(" {name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn passkeys_are_listed_named_and_forgotten_in_the_account() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, EMAIL).await;
    assert!(page(&site, &cookie, "/account").await.contains("href=\"/account/security\""));
    let none = page(&site, &cookie, PAGE).await;
    assert!(none.contains("No passkeys yet") && none.contains("data-passkey-add") && none.contains("needs JavaScript"));

    let mut phone = Authenticator::new(1);
    register(&site, &cookie, &mut phone, "phone <b>").await.ok();
    let added = page(&site, &cookie, "/account/security?notice=passkey_added").await;
    for said in ["can sign in from now on", "phone &#60;b&#62;", "not used yet"] {
        assert!(added.contains(said), "{said}: {added}");
    }
    let rename =
        added.split("action=\"").find_map(|rest| rest.split('"').next().filter(|path| path.ends_with("/rename")));
    let rename = rename.unwrap().to_owned();
    let blank = post(&site, &cookie, &rename, &[("name", "")]).await;
    assert_eq!(blank.status, 400);
    assert!(blank.page().contains("role=\"alert\""));
    let named = post(&site, &cookie, &rename, &[("name", "old phone")]).await.goes_to();
    assert_eq!(named, "/account/security?notice=passkey_named");
    sign_in(&site, &mut phone).await.ok();
    let used = page(&site, &cookie, &named).await;
    assert!(used.contains("old phone") && used.contains("last used") && !used.contains("phone &#60;b"), "{used}");

    // Forgetting asks for the password once more, and comes back here.
    let forget = rename.replace("/rename", "/forget");
    site.bed.clock.advance(Duration::from_secs(601));
    let asked = post(&site, &cookie, &forget, &[]).await.goes_to();
    assert_eq!(asked, "/confirm-password?next=%2Faccount%2Fsecurity");
    let confirmed = post(&site, &cookie, "/confirm-password", &[("password", PASSWORD), ("next", PAGE)]).await;
    assert_eq!(confirmed.goes_to(), PAGE);
    assert_eq!(post(&site, &cookie, &forget, &[]).await.goes_to(), "/account/security?notice=passkey_forgotten");
    assert_eq!(sign_in(&site, &mut phone).await.status, 401);
    // It is gone: the page says so.
    assert_eq!(post(&site, &cookie, &forget, &[]).await.status, 404);
}

#[tokio::test]
async fn an_authenticator_app_is_shown_once_and_counts_once_a_code_confirmed_it() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, EMAIL).await;
    let fresh = page(&site, &cookie, PAGE).await;
    assert!(!fresh.contains("/second-factor/confirm") && !fresh.contains("/second-factor/off"));

    let begun = post(&site, &cookie, "/account/security/second-factor", &[]).await;
    assert_eq!((begun.status, begun.header("cache-control")), (200, "no-store"));
    let begun = begun.page();
    let secret = attribute(&begun, "data-copy").to_owned();
    assert_eq!(attribute(&begun, "class=\"qr\" viewBox").split(' ').count(), 4);
    let url = begun.split("href=\"otpauth://totp/").nth(1).unwrap().split('"').next().unwrap();
    assert!(url.contains(&secret) && url.contains("issuer=Misora"), "{url}");
    assert!(begun.contains("fill=\"#000\"") && !begun.contains("style="));
    // The seed is not shown again, the field for its first code is.
    let again = page(&site, &cookie, PAGE).await;
    assert!(!again.contains(&secret) && again.contains("/second-factor/confirm"));

    let confirm =
        async |code: &str| post(&site, &cookie, "/account/security/second-factor/confirm", &[("code", code)]).await;
    let wrong = confirm("000000").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.page().contains("This code is wrong"));
    let on = confirm(&code(&site, &secret)).await;
    assert_eq!(on.header("cache-control"), "no-store");
    let on = on.page();
    assert_eq!(on.matches("<li>mis_rec_").count(), 10, "{on}");
    let later = page(&site, &cookie, PAGE).await;
    assert!(later.contains("/second-factor/off") && later.contains("Recovery codes left: 10"));
    assert!(!later.contains("mis_rec_"));
    // It is on already.
    assert_eq!(post(&site, &cookie, "/account/security/second-factor", &[]).await.status, 400);

    // Signing in asks for a code beside the password, as before.
    site.bed.clock.advance(Duration::from_secs(60));
    let fields = [("email", EMAIL), ("password", PASSWORD), ("next", "/library")];
    let asked = site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&fields)).await;
    assert_eq!(asked.status, 401);
    assert!(asked.page().contains("name=\"code\""));
    let now = code(&site, &secret);
    let fields = [("email", EMAIL), ("password", PASSWORD), ("code", now.as_str()), ("next", "/library")];
    assert_eq!(site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&fields)).await.goes_to(), "/library");

    site.bed.clock.advance(Duration::from_secs(601));
    let off = "/account/security/second-factor/off";
    assert_eq!(post(&site, &cookie, off, &[]).await.goes_to(), "/confirm-password?next=%2Faccount%2Fsecurity");
    let now = code(&site, &secret);
    let proof = [("password", PASSWORD), ("code", now.as_str()), ("next", PAGE)];
    assert_eq!(post(&site, &cookie, "/confirm-password", &proof).await.goes_to(), PAGE);
    assert_eq!(post(&site, &cookie, off, &[]).await.goes_to(), "/account/security?notice=factor_off");
    assert!(!page(&site, &cookie, PAGE).await.contains(off));
}

#[tokio::test]
async fn the_way_in_by_passkey_leads_on_within_this_site() {
    let site = Site::new().await;
    let entry = async |site: &Site, path: &str| site.send("GET", path, As::Nobody, Sent::Nothing).await.page();
    for (next, leads_to) in [
        ("%2Flibrary%3Fq%3Dboat", "/library?q=boat"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%09%2Fevil.example", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("javascript%3Aalert(1)", "/"),
    ] {
        let shown = entry(&site, &format!("/sign-in?next={next}")).await;
        assert_eq!(attribute(&shown, "data-then"), leads_to, "{next}");
    }
    // Without a script there is no button.
    let shown = entry(&site, "/sign-in").await;
    let place = shown.split("data-passkey-enter").nth(1).unwrap().split('>').next().unwrap();
    assert!(place.ends_with(" hidden"), "{place}");
    // A refused password leaves it where it was.
    let wrong = [("email", EMAIL), ("password", "not the password"), ("next", "/library")];
    let refused = site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&wrong)).await;
    assert_eq!(attribute(&refused.page(), "data-then"), "/library");

    // An address of numbers has no passkeys, and nothing pretends that it had.
    let bed = Bed::with(|settings| settings.base_url = "http://127.0.0.1:8080".into()).await;
    let site = Site::of(bed).await;
    assert!(!entry(&site, "/sign-in").await.contains("data-passkey-enter"));
    let cookie = site.sign_in(site.owner()).await;
    let security = page(&site, &cookie, PAGE).await;
    assert!(security.contains("public_url") && !security.contains("data-passkey-add"));
}
