//! What bodies look like, word for word.

use serde_json::{Value, json};

use super::site::{As, Sent, Site, small};

/// Ids differ each time.
fn still(mut value: Value) -> Value {
    for key in ["id", "seed"] {
        if value.get(key).is_some() {
            value[key] = json!(format!("[{key}]"));
        }
    }
    value
}

#[tokio::test]
async fn a_video_has_every_key() {
    let site = Site::new().await;
    let made = site.post("/v1/videos", small("a red boat")).await.ok();
    insta::assert_json_snapshot!("queued", still(made.clone()));
    site.work().await;
    let done = site.get(&format!("/v1/videos/{}", made["id"].as_str().unwrap())).await.ok();
    insta::assert_json_snapshot!("completed", still(done));
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_what_is_allowed() {
    let site = Site::new().await;
    let long = "a".repeat(32_001);
    let mut bodies = Vec::new();
    for body in [
        json!({}),
        json!({ "prompt": "" }),
        json!({ "prompt": long }),
        json!({ "prompt": 7 }),
        json!({ "prompt": "a boat", "size": "13x7" }),
        json!({ "prompt": "a boat", "seconds": "7" }),
        json!({ "prompt": "a boat", "model": "no-such-model" }),
        json!({ "prompt": "a boat", "seed": -1 }),
        json!({ "prompt": "a boat", "n": 11 }),
        json!({ "prompt": "explicit hardcore pornography" }),
    ] {
        let answer = site.post("/v1/videos", body).await;
        bodies.push(json!({ "status": answer.status, "body": answer.json() }));
    }
    for path in ["/v1/videos/video_1", "/v1/models/none", "/v1/nothing", "/v1/files/file-1"] {
        let answer = site.get(path).await;
        bodies.push(json!({ "status": answer.status, "path": path, "body": answer.json() }));
    }
    for (method, path, who) in [
        ("GET", "/v1/videos", As::Nobody),
        ("GET", "/v1/videos", As::Key("sk-wrong")),
        ("PATCH", "/v1/videos", As::Key(&site.key)),
        ("GET", "/api/account", As::Nobody),
    ] {
        let answer = site.send(method, path, who, Sent::Nothing).await;
        bodies.push(json!({ "status": answer.status, "request": format!("{method} {path}"), "body": answer.json() }));
    }
    insta::assert_json_snapshot!("errors", bodies);
}

#[tokio::test]
async fn broken_bodies_are_the_senders_fault() {
    let site = Site::new().await;
    let broken = site
        .send_with("POST", "/v1/videos", As::Key(&site.key), Sent::Nothing, &[("content-type", "multipart/form-data")])
        .await;
    assert_eq!(broken.error().0, 400);
    for body in [json!([]), json!("text"), json!(null)] {
        assert_eq!(site.post("/v1/videos", body).await.error().0, 400);
    }
    let clash: &[(&str, Option<&str>, &[u8])] = &[("prompt", None, b"a"), ("prompt[x]", None, b"b")];
    assert_eq!(site.send("POST", "/v1/videos", As::Key(&site.key), Sent::Form(clash)).await.error().0, 400);
}

#[tokio::test]
async fn moderation_answers_for_each_text() {
    let site = Site::new().await;
    let answer =
        site.post("/v1/moderations", json!({ "input": ["a calm meadow", "explicit hardcore pornography"] })).await.ok();
    let flagged: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|result| result["flagged"].as_bool().unwrap()).collect();
    assert_eq!(flagged, [false, true]);
    assert_eq!(answer["results"][1]["categories"]["sexual"], true);
    assert_eq!(answer["results"][1]["categories"].as_object().unwrap().len(), 13);
    let parts = json!([{ "type": "text", "text": "a meadow" }, { "type": "image_url", "image_url": { "url": "data:;base64,aGk=" } }]);
    assert_eq!(
        site.post("/v1/moderations", json!({ "input": parts })).await.ok()["results"].as_array().unwrap().len(),
        1
    );
    assert_eq!(site.post("/v1/moderations", json!({})).await.error().1, "missing_required_parameter");
}

#[tokio::test]
async fn models_are_listed_under_all_their_names() {
    let site = Site::new().await;
    let models = site.get("/v1/models").await.ok();
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["sora-2", "test-card"]);
    assert_eq!(site.get("/v1/models/sora-2").await.ok()["model"], "test-card");
}

#[tokio::test]
async fn an_unknown_field_is_refused_with_the_one_that_was_meant() {
    let site = Site::new().await;
    let check = async |path: &str, field: &str, meant: Option<&str>| {
        let mut body = small("a boat");
        body[field] = json!("4");
        let answer = site.post(path, body).await;
        assert_eq!(answer.error(), (400, "unknown_parameter".into(), field.into()), "{path}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message.contains("Did you mean"), meant.is_some(), "{message}");
        assert!(message.contains(meant.unwrap_or(field)), "{message}");
    };
    check("/v1/videos", "secnods", Some("'seconds'")).await;
    check("/v1/videos/quote", "temperature", None).await;
    check("/v1/videos/edits", "promt", Some("'prompt'")).await;
    check("/v1/videos/extensions", "vidio", Some("'video'")).await;
    let picture = site.post("/v1/images/generations", json!({ "prompt": "a boat", "seconds": "4" })).await;
    assert_eq!(picture.error(), (400, "unknown_parameter".into(), "seconds".into()));
    // What engines with the same path take is passed over.
    let mut body = small("a boat");
    for field in ["user", "generate_sound", "flow_shift", "fps"] {
        body[field] = json!("7");
    }
    site.post("/v1/videos", body).await.ok();
}

#[tokio::test]
async fn uploads_share_one_budget_and_give_it_back() {
    let most = 300_000;
    let site = Site::with(|settings| {
        settings.max_body_bytes = most;
        settings.upload_memory_bytes = most;
    })
    .await;
    let file = vec![b'a'; 200_000];
    let upload = || {
        let parts: &[(&str, Option<&str>, &[u8])] = &[("purpose", None, b"user_data"), ("file", Some("a.txt"), &file)];
        site.form("/v1/files", parts)
    };
    // One alone fits, as often as it comes: what it held is given back.
    for _ in 0..3 {
        site.answer(upload()).await.ok();
    }
    // Another is still coming in.
    let (pieces, slow) = site.slow_form("/v1/files");
    let coming = async {
        let head = b"--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        pieces.send([&head[..], &[b'a'; 250_000]].concat().into()).await.unwrap();
        // There is room for this one only when the first was taken.
        pieces.send("a".into()).await.unwrap();
        let refused = site.answer(upload()).await;
        assert_eq!((refused.error().0, refused.error().1.as_str()), (503, "unavailable"));
        assert_eq!((refused.header("retry-after"), refused.header("retry-after-ms")), ("5", "5000"));
        // Small requests go on.
        site.post("/v1/videos", small("a boat")).await.ok();
        drop(pieces);
    };
    let (cut, ()) = tokio::join!(site.answer(slow), coming);
    assert_eq!(cut.error().0, 400);
    site.answer(upload()).await.ok();
}
