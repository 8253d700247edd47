//! Webhook endpoints.

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn an_endpoint_shows_its_secret_once_and_can_be_changed() {
    let site = Site::new().await;
    let body =
        json!({ "name": "mine", "url": "http://127.0.0.1:9/hook", "event_types": ["video.completed", "video.failed"] });
    let made = site.post("/v1/webhook_endpoints", body).await.ok();
    let secret = made["signing_secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let path = format!("/v1/webhook_endpoints/{}", made["id"].as_str().unwrap());
    assert!(site.get(&path).await.ok().get("signing_secret").is_none());
    let changed = site.post(&path, json!({ "event_types": ["video.failed"] })).await.ok();
    assert_eq!((&changed["event_types"], &changed["name"]), (&json!(["video.failed"]), &json!("mine")));
    let rotated =
        site.post(&format!("{path}/rotate_secret"), json!({ "keep_old_secret_active_for_24_hours": true })).await.ok();
    assert_ne!(rotated["signing_secret"], made["signing_secret"]);
    // Nobody listens there.
    let tested = site.post(&format!("{path}/test"), json!({ "event_type": "video.completed" })).await.ok();
    assert_eq!((&tested["success"], &tested["status_code"]), (&json!(false), &json!(null)));
    assert_eq!(site.delete(&path).await.ok()["object"], "webhook_endpoint.deleted");
    assert_eq!(site.get(&path).await.error().0, 404);
}

#[tokio::test]
async fn addresses_that_may_not_be_spoken_to_are_refused() {
    let site = Site::new().await;
    for url in ["http://example.org/hook", "ftp://example.org", "javascript:x", "hook", "http://localhost.example.org/"]
    {
        let body = json!({ "name": "a", "url": url, "event_types": ["video.completed"] });
        assert_eq!(site.post("/v1/webhook_endpoints", body).await.error().2, "url", "{url}");
    }
    let body = json!({ "name": "a", "url": "https://example.org", "event_types": ["video.started"] });
    assert_eq!(site.post("/v1/webhook_endpoints", body).await.error().2, "event_types");
}
