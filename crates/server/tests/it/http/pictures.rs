//! Pictures, whose request waits for a worker.

use std::time::Duration;

use base64::Engine;
use serde_json::json;

use super::site::{Answer, As, Sent, Site};
use crate::loops::bed::key;

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
    let report = provenance::verify(&bytes, &provenance::TrustedRoots::installation(&key()));
    assert_eq!(report.state, provenance::State::Untouched, "{report:#?}");
    assert_eq!(report.signer.unwrap().trust, provenance::Trust::ThisInstallation);
    assert_eq!((report.title.as_deref(), report.visible_mark), (Some("a meadow"), Some(true)));
    assert_eq!(report.model.unwrap().name, "test-card");
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

#[tokio::test]
async fn the_same_request_for_pictures_is_made_and_paid_once() {
    let site = Site::new().await;
    let ask = async |prompt: &str| -> Answer {
        let body = Sent::Json(json!({ "prompt": prompt, "size": "96x64", "n": 2, "output_format": "jpeg" }));
        let name = [("idempotency-key", "one")];
        site.send_with("POST", "/v1/images/generations", As::Key(&site.key), body, &name).await
    };
    let made = async {
        site.bed.clock.sleeps_reach(1).await;
        site.work().await;
        site.work().await;
        site.bed.clock.advance(Duration::from_secs(1));
    };
    let (first, ()) = tokio::join!(ask("a meadow"), made);
    let first = first.ok();
    let money = site.bed.money().await;
    let again = ask("a meadow").await.ok();
    assert_eq!((&again["created"], again["data"].as_array().unwrap().len()), (&first["created"], 2));
    let pixels = |answer: &serde_json::Value| {
        let bytes = answer["data"][1]["b64_json"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
        media::read_picture(&bytes, &media::PictureLimits::default()).unwrap()
    };
    assert_eq!(pixels(&again), pixels(&first));
    assert_eq!(site.bed.money().await, money);
    assert_eq!(ask("a lake").await.error().0, 400);
    assert_eq!(site.get("/v1/videos").await.ok()["data"], json!([]));

    // They go when the key counts no more.
    let (app, day) = (&site.bed.app, Duration::from_secs(24 * 3600));
    let now = app.now() + day;
    assert_eq!(app.store.delete_old_pictures(app.now(), 10, now).await.unwrap(), 2);
    assert_eq!(app.store.delete_old_pictures(app.now(), 10, now).await.unwrap(), 0);
    assert_eq!(ask("a meadow").await.error().0, 404);
}
