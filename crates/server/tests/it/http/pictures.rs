//! Pictures, whose request waits for a worker.

use std::time::Duration;

use base64::Engine;
use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn a_picture_is_made_while_its_request_waits() {
    let site = Site::new().await;
    let body = json!({ "prompt": "a meadow", "size": "96x64", "model": "gpt-image-1", "output_format": "webp" });
    let made = async {
        site.bed.clock.sleeps_reach(1).await;
        site.work().await;
        site.bed.clock.advance(Duration::from_secs(1));
    };
    let (answer, ()) = tokio::join!(site.post("/v1/images/generations", body), made);
    let answer = answer.ok();
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(answer["data"][0]["b64_json"].as_str().unwrap()).unwrap();
    assert_eq!(&bytes[8..12], b"WEBP");
    let picture = media::read_picture(&bytes, &media::PictureLimits::default()).unwrap();
    assert_eq!(picture.size(), media::Size::new(96, 64));
    assert_eq!(site.get("/v1/videos").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_picture_that_nobody_makes_costs_nothing() {
    let site = Site::new().await;
    let late = async {
        site.bed.clock.sleeps_reach(1).await;
        site.bed.clock.advance(Duration::from_secs(121));
    };
    let (answer, ()) = tokio::join!(site.post("/v1/images/generations", json!({ "prompt": "a meadow" })), late);
    assert_eq!(answer.error().0, 503);
    assert_eq!(site.bed.money().await.1, 0);
}
