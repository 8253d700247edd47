//! R22: retirement is slow by construction.

use std::time::Duration;

use platform::{Role, Service};
use serde_json::{Value, json};
use server::housekeeping;

use super::site::{Answer, As, Sent, Site, small};
use crate::loops::bed::Bed;

const DAY: i64 = 86_400;
const NEXT: &str = "https://example.org/next";

async fn ask(site: &Site, who: &str, body: Value) -> Answer {
    site.send("POST", "/api/admin/sunsets", As::Cookie(who), Sent::Json(body)).await
}

async fn administrator(site: &Site, email: &str) -> String {
    site.with_role(email, Service::Video, Role::Administrator).await
}

/// The clock and the loops go on to a day after the start.
async fn until(site: &Site, start: i64, day: i64) {
    let left = start + day * DAY - site.bed.app.now().seconds();
    site.bed.clock.advance(Duration::from_secs(u64::try_from(left).unwrap()));
    for _ in 0..2 {
        housekeeping::refresh(&site.bed.app).await.unwrap();
    }
}

/// How many letters told the owner of an end.
async fn told(site: &Site) -> usize {
    let letters = site.letters().await;
    letters.iter().filter(|letter| letter.contains("To: mika@example.org") && letter.contains("The end of")).count()
}

fn is_told_of(answer: &Answer, start: i64) -> bool {
    let (deprecation, sunset) = (answer.header("deprecation"), answer.header("sunset"));
    assert_eq!(deprecation.is_empty(), sunset.is_empty());
    if deprecation.is_empty() {
        return false;
    }
    assert_eq!(deprecation, format!("@{start}"));
    assert!(sunset.ends_with(" GMT"), "{sunset}");
    assert_eq!(answer.header("link"), format!("<{NEXT}>; rel=\"successor-version\""));
    true
}

async fn two_administrators_override(site: &Site) {
    let (first, second) =
        (administrator(site, "first@example.org").await, administrator(site, "second@example.org").await);
    let start = site.bed.app.now().seconds();
    let near = |nearer: bool| {
        let ends_at = start + 30 * DAY;
        json!({ "kind": "model", "name": "test-card", "ends_at": ends_at, "nearer": nearer })
    };
    assert_eq!(ask(site, &first, near(false)).await.error(), (400, "invalid_value".into(), "ends_at".into()));
    let waits = ask(site, &first, near(true)).await.ok();
    assert_eq!(waits["announced_at"], Value::Null);
    assert_eq!(ask(site, &second, near(true)).await.error().1, "invalid_state");
    let path = format!("/api/admin/sunsets/{}", waits["id"].as_str().unwrap());
    let confirm =
        async |who: &str| site.send("POST", &format!("{path}/confirm"), As::Cookie(who), Sent::Json(json!({}))).await;
    // Once more by the same is no second person.
    assert_eq!(confirm(&first).await.ok()["announced_at"], Value::Null);
    assert!(!is_told_of(&site.get("/v1/models").await, start));
    let announced = confirm(&second).await.ok();
    assert_eq!(announced["announced_at"], json!(start));
    assert_eq!(announced["confirmed_by"].as_array().unwrap().len(), 2);
    assert_eq!(site.get("/v1/models").await.header("deprecation"), format!("@{start}"));
    // Both are in the record.
    let audit = site.bed.app.store.audit(50).await.unwrap();
    let of = |action: &str| {
        audit.iter().filter(|line| line.action == action).filter_map(|line| line.actor).collect::<Vec<_>>()
    };
    assert_eq!((of("sunset.ask").len(), of("sunset.confirm").len()), (1, 2));
    assert!(of("sunset.confirm").iter().any(|actor| *actor != of("sunset.ask")[0]));
    // One of them takes it back, and nothing is told any more.
    site.send("DELETE", &path, As::Cookie(&first), Sent::Nothing).await.ok();
    assert!(!is_told_of(&site.get("/v1/models").await, start));
}

async fn a_model_retires_slowly(bed: Bed) {
    let site = Site::of(bed).await;
    two_administrators_override(&site).await;
    let admin = administrator(&site, "third@example.org").await;
    let video = site.video().await;
    let start = site.bed.app.now().seconds();
    let wish = json!({ "kind": "model", "name": "test-card", "ends_at": start + 200 * DAY, "successor": NEXT });
    let sunset = ask(&site, &admin, wish).await.ok();
    assert_eq!(sunset["announced_at"], json!(start));
    assert_eq!(sunset["export_until"], json!(start + 290 * DAY));

    // Every answer that it concerns says so, and no other.
    let models = site.get("/v1/models").await;
    assert!(is_told_of(&models, start));
    let model = site.get("/v1/models/sora-2").await;
    assert!(is_told_of(&model, start));
    assert_eq!((&model.ok()["sunset_at"], &model.ok()["successor"]), (&json!(start + 200 * DAY), &json!(NEXT)));
    let made = site.post("/v1/videos", small("a boat")).await;
    assert!(made.status == 200 && is_told_of(&made, start));
    site.work().await;
    assert!(!is_told_of(&site.get("/v1/videos").await, start));
    assert!(!is_told_of(&site.get("/v1/usage").await, start));

    // Letters at 180, 90, 30, 7 and 1 days, each once.
    for (day, letters) in [(20, 1), (60, 1), (110, 2), (111, 2), (170, 3), (193, 4), (199, 5)] {
        until(&site, start, day).await;
        assert_eq!(told(&site).await, letters, "day {day}");
    }
    until(&site, start, 200).await;
    assert_eq!(told(&site).await, 5);

    // Reads work, what makes something is gone, and says where to go on.
    let path = format!("/v1/videos/{video}");
    assert_eq!(site.get(&path).await.ok()["status"], "completed");
    assert_eq!(site.get(&format!("{path}/content")).await.status, 200);
    for (path, body) in [
        ("/v1/videos", small("a boat")),
        (format!("{path}/remix").as_str(), json!({ "prompt": "a blue boat" })),
        ("/v1/images/generations", json!({ "prompt": "a boat" })),
    ] {
        let gone = site.post(path, body).await;
        assert_eq!(gone.error(), (410, "model_retired".into(), "model".into()), "{path}");
        assert!(is_told_of(&gone, start), "{path}");
        assert!(gone.json()["error"]["message"].as_str().unwrap().contains(NEXT), "{path}");
    }
    // A part of what is there is no new drawing.
    assert_eq!(site.post(&format!("{path}/trim"), json!({ "end": 2 })).await.status, 200);
    let owner = site.sign_in(site.owner()).await;
    let see = async |path: &str| site.send("GET", path, As::Cookie(&owner), Sent::Nothing).await;
    assert!(see("/library").await.page().contains("Legacy"));
    assert!(see(&format!("/clips/{video}")).await.page().contains("Its model has come to its end"));
    assert_eq!(see(&format!("/clips/{video}/media/video?download=1")).await.status, 200);
}

async fn a_service_retires_slowly(bed: Bed) {
    let site = Site::of(bed).await;
    let admin = administrator(&site, "first@example.org").await;
    let video = site.video().await;
    let start = site.bed.app.now().seconds();
    let wish = json!({ "kind": "service", "name": "video", "ends_at": start + 180 * DAY, "successor": NEXT });
    ask(&site, &admin, wish).await.ok();
    let path = format!("/v1/videos/{video}");
    for of_service in ["/v1/videos", path.as_str(), "/v1/batches"] {
        assert!(is_told_of(&site.get(of_service).await, start), "{of_service}");
    }
    for other in ["/v1/models", "/v1/files", "/v1/usage"] {
        assert!(!is_told_of(&site.get(other).await, start), "{other}");
    }
    let owner = site.sign_in(site.owner()).await;
    let library = site.send("GET", "/library", As::Cookie(&owner), Sent::Nothing).await;
    assert!(library.status == 200 && is_told_of(&library, start));
    assert!(!is_told_of(&site.send("GET", "/account", As::Cookie(&owner), Sent::Nothing).await, start));

    for (day, letters) in [(0, 1), (90, 2), (150, 3), (173, 4), (179, 5), (180, 5)] {
        until(&site, start, day).await;
        assert_eq!(told(&site).await, letters, "day {day}");
    }
    let gone = site.post("/v1/videos", small("a boat")).await;
    assert_eq!((gone.error().0, gone.error().1.as_str()), (410, "service_retired"));
    assert!(is_told_of(&gone, start) && gone.json()["error"]["message"].as_str().unwrap().contains(NEXT));
    for read in ["/v1/videos", path.as_str(), &format!("{path}/content")] {
        let answer = site.get(read).await;
        assert!(answer.status == 200 && is_told_of(&answer, start), "{read}");
    }
    assert_eq!(site.post("/v1/moderations", json!({ "input": "a boat" })).await.status, 200);

    let owner = site.sign_in(site.owner()).await;
    let fields = [("prompt", "a boat"), ("size", "144x80"), ("seconds", "4")];
    let made = site.send("POST", "/make", As::Cookie(&owner), Sent::Fields(&fields)).await;
    assert_eq!(made.status, 410);
    let page = made.page();
    assert!(page.contains("come to its end") && page.contains(&format!("href=\"{NEXT}\"")), "{page}");
    for read in ["/library".to_owned(), format!("/clips/{video}"), format!("/clips/{video}/media/video")] {
        assert_eq!(site.send("GET", &read, As::Cookie(&owner), Sent::Nothing).await.status, 200, "{read}");
    }
    // Nobody joins any more, and whoever is in it may still take away what is theirs.
    let (late, _, _) = site.member_of("late@example.org", &[]).await;
    let late = site.sign_in(late).await;
    let join = site.send("POST", "/api/memberships/video/join", As::Cookie(&late), Sent::Json(json!({}))).await;
    assert_eq!((join.error().0, join.error().1.as_str()), (410, "service_retired"));
    assert_eq!(site.delete(&path).await.ok()["object"], "video.deleted");
}

#[tokio::test]
async fn r22_a_model_retires_slowly_on_sqlite() {
    a_model_retires_slowly(Bed::new().await).await;
}

#[tokio::test]
async fn r22_a_model_retires_slowly_on_postgres() {
    a_model_retires_slowly(Bed::on_postgres(|_| {}).await).await;
}

#[tokio::test]
async fn r22_a_service_retires_slowly_on_sqlite() {
    a_service_retires_slowly(Bed::new().await).await;
}

#[tokio::test]
async fn r22_a_service_retires_slowly_on_postgres() {
    a_service_retires_slowly(Bed::on_postgres(|_| {}).await).await;
}
