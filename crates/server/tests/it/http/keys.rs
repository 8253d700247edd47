//! Keys from their making to a leak.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use platform::{ApiKeyId, ApiKeySecret, Scopes, SecretKind, Timestamp, find_secrets};
use serde_json::json;

use super::site::{As, Sent, Site, decided};
use crate::loops::bed::Bed;

#[tokio::test]
async fn a_key_is_shown_once_rotated_and_revoked() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let keys = format!("/api/projects/{}/keys", site.bed.project);
    let post = |path: String, body: serde_json::Value| {
        let (site, cookie) = (&site, &cookie);
        async move { site.send("POST", &path, As::Cookie(cookie), Sent::Json(body)).await }
    };
    let body = json!({ "name": "ci", "scopes": ["videos:read"], "allowed_ips": [], "expires_in_seconds": 3600 });
    let made = post(keys.clone(), body).await.ok();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("mis_sk_"));
    let listed = site.send("GET", &keys, As::Cookie(&cookie), Sent::Nothing).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(&secret));
    let read = |key: String| {
        let site = &site;
        async move { site.send("GET", "/v1/videos", As::Key(&key), Sent::Nothing).await.status }
    };
    assert_eq!(read(secret.clone()).await, 200);
    let path = format!("{keys}/{}", made["id"].as_str().unwrap());
    assert_eq!(
        post(format!("{path}/rotate"), json!({ "overlap_seconds": 604_801 })).await.error().2,
        "overlap_seconds"
    );
    let rotated = post(format!("{path}/rotate"), json!({ "overlap_seconds": 60 })).await.ok();
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert_eq!(rotated["scopes"], json!(["videos:read"]));
    assert_eq!((read(secret.clone()).await, read(new.clone()).await), (200, 200));
    site.bed.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!((read(secret).await, read(new.clone()).await), (401, 200));
    let path = format!("{keys}/{}", rotated["id"].as_str().unwrap());
    site.send("DELETE", &path, As::Cookie(&cookie), Sent::Nothing).await.ok();
    assert_eq!(read(new).await, 401);
    for (body, param) in [
        (json!({}), "name"),
        (json!({ "name": "a", "scopes": ["all"] }), "scopes"),
        (json!({ "name": "a", "allowed_ips": ["10.0.0.1/8"] }), "allowed_ips"),
    ] {
        assert_eq!(post(keys.clone(), body).await.error().2, param);
    }
}

#[tokio::test]
async fn a_leaked_key_is_disabled_and_its_owner_hears_of_it() {
    let site = Site::new().await;
    let report = |keys: serde_json::Value| {
        let site = &site;
        async move {
            site.send("POST", "/api/leaks", As::Nobody, Sent::Json(json!({ "keys": keys, "url": "a paste" })))
                .await
                .ok()
        }
    };
    // The right id with another secret is no key.
    let mut wrong = site.key.clone();
    wrong.replace_range(45..46, if &wrong[45..46] == "0" { "1" } else { "0" });
    assert_eq!(report(json!([wrong, "sk-other"])).await["disabled"], 0);
    assert_eq!(site.get("/v1/videos").await.status, 200);
    assert_eq!(report(json!([site.key])).await["disabled"], 1);
    assert_eq!(site.get("/v1/videos").await.error().1, "invalid_api_key");
    let letters = site.letters().await;
    assert!(
        letters.len() == 1 && letters[0].contains("mika@example.org") && letters[0].contains("a paste"),
        "{letters:?}"
    );
    assert!(!letters[0].contains(&site.key));
}

#[tokio::test]
async fn the_other_header_for_keys_works_too() {
    let site = Site::new().await;
    let answer = site.send_with("GET", "/v1/videos", As::Nobody, Sent::Nothing, &[("api-key", &site.key)]).await;
    assert_eq!(answer.status, 200);
}

/// Everything that the rows hold, as an operator could carry it away: a backup's rows, and of SQLite the file itself.
async fn dump(site: &Site) -> String {
    let folder = site.bed.folder.path().join("dump");
    store::backup(&site.bed.app.store, &site.bed.app.objects, &folder).await.unwrap();
    let mut text = String::new();
    let rows = std::fs::read_dir(folder.join("rows")).unwrap().map(|entry| entry.unwrap().path());
    let sqlite = ["misora.sqlite", "misora.sqlite-wal"].map(|name| site.bed.folder.path().join(name));
    for path in rows.chain(sqlite.into_iter().filter(|path| path.exists())) {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        text.push('\n');
    }
    text
}

async fn no_usable_key_in(site: Site) {
    let cookie = site.sign_in(site.owner()).await;
    let path = format!("/api/projects/{}/keys", site.bed.project);
    let made =
        site.send("POST", &path, As::Cookie(&cookie), Sent::Json(json!({ "name": "planted in rows" }))).await.ok();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let path = format!("{path}/{}/rotate", made["id"].as_str().unwrap());
    let rotated =
        site.send("POST", &path, As::Cookie(&cookie), Sent::Json(json!({ "overlap_seconds": 600 }))).await.ok();
    let secrets = [site.key.clone(), secret, rotated["secret"].as_str().unwrap().to_owned()];
    for key in &secrets {
        assert_eq!(site.send("GET", "/v1/videos", As::Key(key), Sent::Nothing).await.status, 200);
    }
    let dump = dump(&site).await;
    assert!(dump.contains("planted in rows"), "the dump is one");
    let keys = find_secrets(&dump).into_iter().filter(|(kind, _)| *kind == SecretKind::ApiKey).count();
    assert_eq!(keys, 0);
    for key in &secrets {
        let half = key.split('_').nth(3).unwrap();
        assert!(half.len() == 48 && !dump.contains(half), "a key's secret half stands in the rows");
    }
}

#[tokio::test]
async fn r24_a_dump_of_the_database_contains_no_usable_key() {
    no_usable_key_in(Site::new().await).await;
}

#[tokio::test]
async fn r24_a_dump_of_postgres_contains_no_usable_key() {
    no_usable_key_in(Site::of(Bed::on_postgres(|_| {}).await).await).await;
}

/// Random text in which a scanner could see keys: four megabytes of it here, a tenth of which begins as keys do. The guarantee names a
/// gigabyte; chance alone would need 2³² tries for one right checksum.
#[test]
fn r24_the_scanner_finds_planted_keys_and_nothing_in_random_text() {
    const BYTES: usize = 4 << 20;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_ \n";
    let mut text = String::with_capacity(BYTES + 200);
    let mut look_alikes = 0;
    while text.len() < BYTES {
        if random().is_multiple_of(1000) {
            let digits = |count: usize, random: &mut dyn FnMut() -> u64| -> String {
                (0..count).map(|_| char::from(b"0123456789abcdef"[(random() & 15) as usize])).collect()
            };
            text.push_str(&format!(
                "mis_sk_{}_{}_{}",
                digits(32, &mut random),
                digits(48, &mut random),
                digits(8, &mut random)
            ));
            look_alikes += 1;
        } else {
            text.push(char::from(alphabet[(random() % alphabet.len() as u64) as usize]));
        }
    }
    assert!(look_alikes > 1000, "{look_alikes}");
    assert_eq!(find_secrets(&text).len(), 0, "false hits");

    let now = Timestamp::from_seconds(1_790_000_000);
    let mut planted = Vec::new();
    for number in 0..50_u8 {
        let key = ApiKeySecret::new(ApiKeyId::new(now, [number; 8]), [number; 24]).reveal();
        // The random text is ASCII, so every place is one between two characters.
        text.insert_str((random() % text.len() as u64) as usize, &key);
        planted.push(key);
    }
    let found: Vec<_> = find_secrets(&text).into_iter().map(|(_, range)| &text[range]).collect();
    for key in &planted {
        // One planted into another is broken by it.
        let whole = text.contains(key.as_str());
        assert_eq!(found.contains(&key.as_str()), whole, "{key}");
    }
    assert!(found.len() >= 49, "{}", found.len());
}

#[tokio::test]
async fn r24_in_a_rotation_both_keys_work_and_after_it_only_the_new_one() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let keys = format!("/api/projects/{}/keys", site.bed.project);
    let id = site.send("GET", &keys, As::Cookie(&cookie), Sent::Nothing).await.ok()["data"][0]["id"].clone();
    let rotate = format!("{keys}/{}/rotate", id.as_str().unwrap());
    let too_long = Sent::Json(json!({ "overlap_seconds": 7 * 86_400 + 1 }));
    assert_eq!(site.send("POST", &rotate, As::Cookie(&cookie), too_long).await.error().0, 400);
    let week = Sent::Json(json!({ "overlap_seconds": 7 * 86_400 }));
    let new = site.send("POST", &rotate, As::Cookie(&cookie), week).await.ok()["secret"].as_str().unwrap().to_owned();
    let status = async |key: &str| site.send("GET", "/v1/videos", As::Key(key), Sent::Nothing).await.status;
    assert_eq!((status(&site.key).await, status(&new).await), (200, 200));
    site.bed.clock.advance(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!((status(&site.key).await, status(&new).await), (200, 200));
    site.bed.clock.advance(Duration::from_secs(1));
    assert_eq!((status(&site.key).await, status(&new).await), (401, 200));
}

#[tokio::test]
async fn r24_the_last_use_has_a_time_and_a_coarse_place() {
    let site = Site::new().await;
    let bearer = format!("Bearer {}", site.key);
    let from = ConnectInfo(SocketAddr::from(([203, 0, 113, 7], 40_000)));
    assert_eq!(site.send_from("/v1/videos", Some(from), &[("authorization", &bearer)]).await.status, 200);
    let cookie = site.sign_in(site.owner()).await;
    let keys = format!("/api/projects/{}/keys", site.bed.project);
    let key = site.send("GET", &keys, As::Cookie(&cookie), Sent::Nothing).await.ok()["data"][0].clone();
    assert_eq!(key["last_used_at"], site.bed.app.now().seconds());
    assert_eq!(key["last_used_from"], "203.0.0.0/16");
    let page = site.send("GET", "/account/keys", As::Cookie(&cookie), Sent::Nothing).await.page();
    assert!(page.contains("203.0.0.0/16") && !page.contains("203.0.113.7"));
}

#[tokio::test]
async fn r24_owners_are_warned_14_and_3_days_before_a_key_ends_once_each() {
    let site = Site::new().await;
    let end = site.bed.app.now() + Duration::from_secs(20 * 86_400);
    let name = |key: &mut platform::ApiKey| (key.name, key.expires_at) = ("nightly".into(), Some(end));
    site.new_key(site.bed.project, Scopes::ALL, name).await;
    let mut days = Vec::new();
    for day in 1..=20 {
        site.bed.clock.advance(Duration::from_secs(86_400));
        for _ in 0..3 {
            for _ in 0..server::key_letters::post_due(&site.bed.app).await.unwrap() {
                days.push(day);
            }
        }
    }
    assert_eq!(days, [6, 17]);
    let letters = site.letters().await;
    assert!(letters.iter().all(|letter| letter.contains("mika@example.org") && letter.contains("\"nightly\"")));
    assert!(letters.iter().all(|letter| letter.contains("ends at 20")), "{letters:?}");
}

#[tokio::test]
async fn r24_the_page_of_keys_says_what_ends_soon() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let page = async || site.send("GET", "/account/keys", As::Cookie(&cookie), Sent::Nothing).await.page();
    let end = site.bed.app.now() + Duration::from_secs(15 * 86_400);
    site.new_key(site.bed.project, Scopes::ALL, |key| key.expires_at = Some(end)).await;
    let before = page().await;
    assert!(before.contains("Ends ") && !before.contains("Soon"), "{before}");
    let end = site.bed.app.now() + Duration::from_secs(13 * 86_400);
    site.new_key(site.bed.project, Scopes::ALL, |key| key.expires_at = Some(end)).await;
    assert_eq!(page().await.matches("Soon").count(), 1);
}

/// A letter a week, when there is something to say, until its reader has enough of them.
#[tokio::test]
async fn r24_the_weekly_letter_tells_of_decisions_and_of_keys_that_nobody_uses() {
    let site = Site::new().await;
    let app = &site.bed.app;
    let after = async |days: u64| {
        site.bed.clock.advance(Duration::from_secs(days * 86_400));
        server::key_letters::post_due(app).await.unwrap()
    };
    assert_eq!(after(0).await, 0, "the week begins");
    assert_eq!(after(7).await, 0, "there is nothing to say");
    let later = app.now() + Duration::from_secs(60);
    let decision =
        platform::DecisionRecord { decided_at: later, ..decided(&site, site.owner(), site.owner(), "rule 7") };
    app.store.decide(&decision).await.unwrap();
    assert_eq!(after(6).await, 0, "the week is not over");
    assert_eq!(after(1).await, 1);
    let weekly = async || {
        let letters = site.letters().await;
        letters.into_iter().rfind(|letter| letter.contains("Subject: Your keys and services")).unwrap()
    };
    let letter = weekly().await;
    for words in ["rule 7", &decision.id.to_string(), "linked to", "- video", "/account/security"] {
        assert!(letter.contains(words), "{words}: {letter}");
    }
    assert_eq!(after(7).await, 0, "it was told");
    assert_eq!(after(70).await, 1);
    let letter = weekly().await;
    assert!(letter.contains("nobody used for 90 days") && letter.contains("never used"), "{letter}");
    assert!(!letter.contains("rule 7"), "{letter}");

    let cookie = site.sign_in(site.owner()).await;
    let wanted = |wanted: bool| Sent::Json(json!({ "wanted": wanted }));
    site.send("POST", "/api/account/key-letters", As::Cookie(&cookie), wanted(false)).await.ok();
    let page = site.send("GET", "/account/security", As::Cookie(&cookie), Sent::Nothing).await.page();
    assert!(page.contains("Send the weekly letter"), "{page}");
    assert_eq!(after(14).await, 0, "it was switched off");
    let cookie = site.sign_in(site.owner()).await;
    let form = Sent::Fields(&[("wanted", "true")]);
    let answer = site.send("POST", "/account/security/key-letters", As::Cookie(&cookie), form).await;
    assert_eq!(answer.goes_to(), "/account/security?notice=letters");
    assert_eq!(after(0).await, 1);
}
