//! Keys from their making to a leak.

use serde_json::json;

use super::site::{As, Sent, Site};

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
