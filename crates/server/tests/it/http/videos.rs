//! Videos from asking to deleting.

use platform::{MembershipEvent, Service};
use serde_json::json;

use super::site::{As, Sent, Site, small};

#[tokio::test]
async fn a_video_is_asked_for_made_downloaded_and_deleted() {
    let site = Site::new().await;
    let made = site.post("/v1/videos", small("a red boat")).await.ok();
    let path = format!("/v1/videos/{}", made["id"].as_str().unwrap());
    assert_eq!((&made["status"], &made["progress"], &made["seconds"]), (&json!("queued"), &json!(0), &json!("4")));
    let waiting = site.get(&path).await;
    assert_eq!(waiting.header("openai-poll-after-ms"), "1000");
    assert_eq!(site.get(&format!("{path}/content")).await.error().0, 400);
    site.work().await;
    let done = site.get(&path).await;
    assert_eq!(done.header("openai-poll-after-ms"), "");
    assert_eq!((&done.ok()["status"], &done.ok()["progress"]), (&json!("completed"), &json!(100)));
    let content = site.get(&format!("{path}/content")).await;
    assert_eq!((content.status, content.header("content-type")), (200, "video/mp4"));
    assert_eq!(&content.body[4..8], b"ftyp");
    assert_eq!(site.delete(&path).await.ok()["object"], "video.deleted");
    for answer in [site.get(&path).await, site.get(&format!("{path}/content")).await, site.delete(&path).await] {
        assert_eq!(answer.error().0, 404);
    }
}

#[tokio::test]
async fn a_request_without_values_has_those_of_the_api() {
    let made = Site::new().await.post("/v1/videos", json!({ "prompt": "a boat" })).await.ok();
    assert_eq!((&made["model"], &made["size"], &made["seconds"]), (&json!("sora-2"), &json!("720x1280"), &json!("4")));
}

#[tokio::test]
async fn the_words_of_other_servers_are_understood() {
    let site = Site::new().await;
    let ask = |more: serde_json::Value| {
        let mut body = json!({ "prompt": "a boat" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        site.post("/v1/videos", body)
    };
    assert_eq!(ask(json!({ "duration": 8 })).await.ok()["seconds"], "8");
    assert_eq!(ask(json!({ "duration": "8s" })).await.ok()["seconds"], "8");
    assert_eq!(ask(json!({ "seconds": 8 })).await.ok()["seconds"], "8");
    assert_eq!(ask(json!({ "resolution": "720p", "aspect_ratio": "16:9" })).await.ok()["size"], "1280x720");
    assert_eq!(ask(json!({ "resolution": "720p" })).await.ok()["size"], "720x1280");
    assert_eq!(ask(json!({ "width": 144, "height": 80 })).await.ok()["size"], "144x80");
    assert_eq!(ask(json!({ "resolution": "4320p" })).await.error(), (400, "invalid_value".into(), "resolution".into()));
    assert_eq!(ask(json!({ "flow_shift": 1, "user": "me" })).await.status, 200);
    assert_eq!(ask(json!({ "seed": 7 })).await.ok()["seed"], 7);
}

#[tokio::test]
async fn the_same_idempotency_key_makes_one_video() {
    let site = Site::new().await;
    let ask = |prompt| {
        site.send_with("POST", "/v1/videos", As::Key(&site.key), Sent::Json(small(prompt)), &[("idempotency-key", "a")])
    };
    let (first, again) = (ask("a boat").await.ok(), ask("a boat").await.ok());
    assert_eq!(first["id"], again["id"]);
    assert_eq!(ask("a kite").await.error().1, "idempotency_key_reused");
}

#[tokio::test]
async fn several_clips_of_one_request_have_seeds_in_a_row() {
    let site = Site::new().await;
    let made = site.post("/v1/videos", json!({ "prompt": "a boat", "n": 3, "seed": 5 })).await.ok();
    let seeds: Vec<_> =
        made["videos"].as_array().unwrap().iter().map(|video| video["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [5, 6, 7]);
    assert_eq!(made["id"], made["videos"][0]["id"]);
}

#[tokio::test]
async fn lists_go_both_ways_and_begin_behind_an_id() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for prompt in ["a", "b", "c"] {
        ids.push(site.post("/v1/videos", small(prompt)).await.ok()["id"].as_str().unwrap().to_owned());
        site.bed.clock.advance(std::time::Duration::from_secs(1));
    }
    let listed = async |query: &str| {
        let page = site.get(&format!("/v1/videos{query}")).await.ok();
        let ids: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|video| video["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(page["first_id"].as_str(), ids.first().map(String::as_str));
        assert_eq!(page["last_id"].as_str(), ids.last().map(String::as_str));
        (ids, page["has_more"].as_bool().unwrap())
    };
    let newest: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(listed("").await, (newest.clone(), false));
    assert_eq!(listed("?order=asc&limit=2").await, (ids[..2].to_vec(), true));
    assert_eq!(listed(&format!("?after={}", newest[0])).await, (newest[1..].to_vec(), false));
    assert_eq!(listed("?limit=0&video_id=x").await, (Vec::new(), true));
    assert_eq!(site.get("/v1/videos?limit=101").await.error(), (400, "invalid_value".into(), "limit".into()));
    assert_eq!(site.get("/v1/videos?after=x").await.error().2, "after");
}

#[tokio::test]
async fn a_video_that_waits_can_be_cancelled_and_costs_nothing() {
    let site = Site::new().await;
    let id = site.post("/v1/videos", small("a boat")).await.ok()["id"].as_str().unwrap().to_owned();
    let cancelled = site.post(&format!("/v1/videos/{id}/cancel"), json!({})).await.ok();
    assert_eq!((&cancelled["status"], &cancelled["error"]["code"]), (&json!("failed"), &json!("cancelled")));
    assert_eq!(site.bed.money().await.1, 0);
}

#[tokio::test]
async fn remixes_edits_and_extensions_follow_their_source() {
    let site = Site::new().await;
    let id = site.video().await;
    let remix = site.post(&format!("/v1/videos/{id}/remix"), json!({ "prompt": "at dusk" })).await.ok();
    assert_eq!((&remix["remixed_from_video_id"], &remix["size"]), (&json!(id), &json!("144x80")));
    let edit = site.post("/v1/videos/edits", json!({ "prompt": "orange", "video": { "id": id } })).await.ok();
    assert_eq!(edit["seconds"], "4");
    let body = json!({ "prompt": "on it goes", "seconds": "8", "video": { "id": id } });
    assert_eq!(site.post("/v1/videos/extensions", body.clone()).await.ok()["seconds"], "12");
    for direction in ["after", "before", "loop"] {
        let mut body = body.clone();
        body["direction"] = json!(direction);
        assert_eq!(site.post("/v1/videos/extensions", body).await.ok()["seconds"], "12", "{direction}");
    }
    let mut sideways = body;
    sideways["direction"] = json!("sideways");
    let refused = site.post("/v1/videos/extensions", sideways).await;
    assert_eq!(refused.error(), (400, "invalid_value".into(), "direction".into()));
    let path = format!("/v1/videos/{id}/trim");
    let held = site.bed.money().await.1;
    let part = site.post(&path, json!({ "start": 1, "end": "2.5" })).await.ok();
    assert_eq!((&part["remixed_from_video_id"], &part["seconds"]), (&json!(id), &json!("2")));
    assert_eq!((&part["prompt"], site.bed.money().await.1), (&json!("a red boat"), held));
    for (body, field) in [
        (json!({}), "end"),
        (json!({ "start": 3.8 }), "end"),
        (json!({ "end": 5 }), "end"),
        (json!({ "start": "soon" }), "start"),
    ] {
        assert_eq!(site.post(&path, body).await.error(), (400, "invalid_value".into(), field.into()));
    }
    let parts: &[(&str, Option<&str>, &[u8])] =
        &[("prompt", None, b"x"), ("seconds", None, b"4"), ("video[id]", None, id.as_bytes())];
    assert_eq!(
        site.send("POST", "/v1/videos/extensions", As::Key(&site.key), Sent::Form(parts)).await.ok()["seconds"],
        "8"
    );
    // The Rust client sends an object as JSON in a text part.
    let object = json!({ "id": id }).to_string();
    let parts: &[(&str, Option<&str>, &[u8])] = &[("video", None, object.as_bytes()), ("prompt", None, b"x")];
    assert_eq!(site.send("POST", "/v1/videos/edits", As::Key(&site.key), Sent::Form(parts)).await.status, 200);
    let unfinished = remix["id"].as_str().unwrap();
    let answer = site.post(&format!("/v1/videos/{unfinished}/remix"), json!({ "prompt": "x" })).await;
    assert_eq!(answer.error(), (400, "invalid_state".into(), "video".into()));
}

#[tokio::test]
async fn an_uploaded_clip_can_be_edited_and_become_a_character() {
    let site = Site::new().await;
    let id = site.video().await;
    let mp4 = site.get(&format!("/v1/videos/{id}/content")).await.body;
    let parts: &[(&str, Option<&str>, &[u8])] =
        &[("video", Some("in.mp4"), &mp4), ("prompt", None, b"rain"), ("model", None, b"sora-2")];
    let edit = site.send("POST", "/v1/videos/edits", As::Key(&site.key), Sent::Form(parts)).await.ok();
    assert_eq!((&edit["size"], &edit["seconds"]), (&json!("144x80"), &json!("4")));
    let parts: &[(&str, Option<&str>, &[u8])] = &[("video", Some("c.mp4"), &mp4), ("name", None, b"Mossy")];
    let character = site.send("POST", "/v1/videos/characters", As::Key(&site.key), Sent::Form(parts)).await.ok();
    assert_eq!(character["name"], "Mossy");
    let id = character["id"].as_str().unwrap();
    assert_eq!(site.get(&format!("/v1/videos/characters/{id}")).await.ok(), character);
    for characters in [json!([{ "id": id }]), json!([id])] {
        let mut body = small("Mossy sits");
        body["characters"] = characters;
        assert_eq!(site.post("/v1/videos", body).await.status, 200);
    }
    let mut body = small("three of them");
    body["characters"] = json!([{ "id": id }, { "id": id }, { "id": id }]);
    assert_eq!(site.post("/v1/videos", body).await.error().2, "characters");
}

#[tokio::test]
async fn a_quote_says_the_price_and_makes_nothing() {
    let site = Site::new().await;
    let quote = site.post("/v1/videos/quote", small("a boat")).await.ok();
    assert_eq!((&quote["object"], &quote["acceptable"]), (&json!("video.quote"), &json!(true)));
    assert_eq!(site.get("/v1/videos").await.ok()["data"], json!([]));
    assert_eq!(site.get("/v1/usage").await.ok()["unfinished_jobs"], 0);
    let (owner, now) = (site.owner(), site.forget_keys());
    site.bed.app.store.change_membership(owner, Service::Video, MembershipEvent::Restrict, now).await.unwrap();
    let quote = site.post("/v1/videos/quote", small("a boat")).await.ok();
    assert_eq!(quote["acceptable"], false);
}

#[tokio::test]
async fn requests_past_the_limit_are_told_when_to_come_back() {
    let site = Site::new().await;
    let quotas = platform::Quotas { requests_per_minute: 2, ..platform::Quotas::DEFAULT };
    let tier = platform::Tier { name: "default".into(), quotas, metered: false };
    site.bed.app.store.set_tier(&tier).await.unwrap();
    for left in ["1", "0"] {
        let answer = site.get("/v1/videos").await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining-requests")), (200, left));
    }
    let refused = site.get("/v1/videos").await;
    assert_eq!(refused.error().1, "rate_limit_exceeded");
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-limit-requests")), ("30", "2"));
}
