//! Films: a storyboard in, one signed clip out, and the storyboard again.

use std::time::Duration;

use platform::likeness::Audience;
use platform::{CharacterId, Service, VideoId};
use provenance::{State, TrustedRoots, verify};
use serde_json::{Value, json};
use store::{Character, Subject};
use tokio_util::sync::CancellationToken;

use super::site::{As, Sent, Site, png};
use crate::guarantees::sites;
use crate::loops::bed::{entropy, gated, key};

fn board() -> Value {
    json!({
        "storyboard": 1, "title": "A boat goes home", "size": "144x80", "seed": 7,
        "shots": [
            { "prompt": "a red boat sails right", "seconds": 4, "join": "cut" },
            { "prompt": "it starts to rain", "seconds": 8, "join": "continue" },
            { "prompt": "a white house at night", "seconds": 4, "join": "cut", "seed": 3 }
        ]
    })
}

/// The board with something else at a place in it.
fn with(place: &str, value: Value) -> Value {
    let mut board = board();
    match board.pointer_mut(place) {
        Some(there) => *there = value,
        None => {
            let (at, name) = place.rsplit_once('/').unwrap();
            board.pointer_mut(at).unwrap()[name] = value;
        }
    }
    board
}

async fn ask(site: &Site, board: &Value) -> Value {
    site.post("/v1/videos", json!({ "storyboard": board })).await.ok()
}

fn id(video: &Value) -> String {
    video["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_film_is_made_of_its_shots_and_gives_its_storyboard_back() {
    for site in sites().await {
        let made = ask(&site, &board()).await;
        let path = format!("/v1/videos/{}", id(&made));
        assert_eq!(
            (&made["status"], &made["seconds"], &made["size"]),
            (&json!("queued"), &json!("16"), &json!("144x80"))
        );
        assert_eq!((&made["seed"], &made["remixed_from_video_id"]), (&json!(7), &Value::Null));
        assert_eq!(made["prompt"], "a red boat sails right\nit starts to rain\na white house at night");
        // It is there before the film is.
        assert_eq!(site.get(&format!("{path}/storyboard")).await.ok(), board());
        site.work().await;
        assert_eq!(site.get(&path).await.ok()["status"], "completed");
        for (variant, kind) in [("video", "video/mp4"), ("thumbnail", "image/webp"), ("spritesheet", "image/jpeg")] {
            let content = site.get(&format!("{path}/content?variant={variant}")).await;
            assert_eq!((content.status, content.header("content-type")), (200, kind), "{variant}");
        }
        let content = site.get(&format!("{path}/content")).await;
        let part = [("range", "bytes=0-99")];
        let range = site.send_with("GET", &format!("{path}/content"), As::Key(&site.key), Sent::Nothing, &part).await;
        assert_eq!((range.status, &range.body[..]), (206, &content.body[..100]));
        let report = verify(&content.body, &TrustedRoots::installation(&key()));
        assert_eq!(
            (report.state, report.title.as_deref()),
            (State::Untouched, Some("A boat goes home")),
            "{report:#?}"
        );
        let kept = report.recipe.unwrap();
        assert_eq!(kept["storyboard"], board());
        let seeds: Vec<_> = kept["shots"].as_array().unwrap().iter().map(|shot| shot["seed"].clone()).collect();
        assert_eq!((seeds, &kept["shots"][1]["source"]), (vec![json!(7), json!(8), json!(3)], &json!("extend")));

        // The document makes the same frames again, and comes as a file of a form as well.
        let document = site.get(&format!("{path}/storyboard")).await.body;
        let parts: &[(&str, Option<&str>, &[u8])] = &[("storyboard", Some("boat.json"), &document)];
        let again = site.send("POST", "/v1/videos", As::Key(&site.key), Sent::Form(parts)).await.ok();
        site.work().await;
        let recipe = async |video: &str| {
            let video: VideoId = video.parse().unwrap();
            site.bed.app.store.any_generation(video).await.unwrap().video.unwrap().recipe
        };
        assert_eq!(recipe(&id(&made)).await, recipe(&id(&again)).await);
        // A film is cut as any clip is.
        let part = site.post(&format!("{path}/trim"), json!({ "start": 3, "end": 6 })).await.ok();
        site.work().await;
        let part = format!("/v1/videos/{}", id(&part));
        assert_eq!(site.get(&part).await.ok()["status"], "completed", "{}", site.get(&part).await.ok());
        let report = verify(&site.get(&format!("{part}/content")).await.body, &TrustedRoots::installation(&key()));
        assert_eq!(report.recipe.unwrap()["frames"], json!([36, 72]));
        assert_eq!(site.get(&format!("{part}/storyboard")).await.error().1, "invalid_state");
    }
}

#[tokio::test]
async fn a_storyboard_that_cannot_be_made_is_refused_by_its_shot() {
    let site = Site::new().await;
    let image = json!({ "prompt": "a boat", "image": "boat.png" });
    let long: Vec<_> = (0..7).map(|_| json!({ "prompt": "a boat", "seconds": 20 })).collect();
    for (board, said) in [
        (with("/shots/1/prompt", json!(" ")), "Shot 2: The prompt is empty"),
        (with("/shots/2/seconds", json!(5)), "Shot 3: \"5\" is not a length on offer"),
        (with("/shots/0/join", json!("continue")), "Shot 1: There is none before it"),
        (with("/shots/1/promt", json!("rain")), "shot 2: unknown field `promt`"),
        (with("/shots/2", image), "Shot 3: Pictures in shots are not taken here yet"),
        (with("/size", json!("640x480")), "640x480"),
        (with("/seed", json!(u64::MAX)), "A seed is a whole number"),
        (with("/storyboard", json!(2)), "of version 2"),
        (with("/shots", json!([])), "1 to 100 shots, not 0"),
        (with("/shots", json!(long)), "140 seconds long, at most 120"),
        (with("/title", json!("a\0b")), "U+0000"),
        (with("/title", json!("x".repeat(70_000))), "at most 65536 are allowed"),
        (json!([]), "expected an object or a file"),
        (json!("a red boat"), "this is no storyboard"),
    ] {
        for path in ["/v1/videos", "/v1/videos/quote"] {
            let answer = site.post(path, json!({ "storyboard": board })).await;
            assert_eq!((answer.error().0, answer.error().2.as_str()), (400, "storyboard"), "{said}");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.to_lowercase().contains(&said.to_lowercase()), "{said}: {message}");
        }
    }
    for beside in ["prompt", "seconds", "size", "seed", "n", "characters", "input_reference"] {
        let body = json!({ "storyboard": board(), beside: "4" });
        assert_eq!(site.post("/v1/videos", body).await.error(), (400, "invalid_value".into(), beside.into()));
    }
    let answer = site.post("/v1/videos", json!({ "storyboard": board(), "model": "veo" })).await;
    assert_eq!(answer.error().2, "model");
    assert_eq!(site.get("/v1/videos").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn the_policy_is_asked_of_every_shot_and_costs_nothing() {
    for site in sites().await {
        let before = site.bed.money().await;
        let bad = with("/shots/1/prompt", json!("P0RN with a nurse"));
        for path in ["/v1/videos", "/v1/videos/quote"] {
            let answer = site.post(path, json!({ "storyboard": bad })).await;
            assert_eq!(answer.error(), (400, "moderation_blocked".into(), "storyboard".into()));
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with("Shot 2: ") && message.contains("sexual.explicit"), "{message}");
        }
        let titled = with("/title", json!("P0RN with a nurse"));
        assert_eq!(site.post("/v1/videos", json!({ "storyboard": titled })).await.error().1, "moderation_blocked");
        assert_eq!(site.bed.money().await, before);
        assert_eq!(site.get("/v1/videos").await.ok()["data"], json!([]));
    }
}

#[tokio::test]
async fn a_film_costs_its_seconds_and_a_quote_says_so() {
    let site = Site::new().await;
    let quote = site.post("/v1/videos/quote", json!({ "storyboard": board() })).await.ok();
    assert_eq!((&quote["seconds"], &quote["size"], &quote["n"]), (&json!("16"), &json!("144x80"), &json!(1)));
    let single = site.post("/v1/videos/quote", json!({ "prompt": "x", "size": "144x80", "seconds": "16" })).await.ok();
    assert_eq!((&single["price"], &single["seconds"]), (&quote["price"], &quote["seconds"]));
}

#[tokio::test]
async fn a_film_in_the_making_tells_how_far_it_is_and_stops_when_told() {
    let site = Site::new().await;
    let made = ask(&site, &board()).await;
    let path = format!("/v1/videos/{}", id(&made));
    let (models, mut gate) = gated();
    let (worker, never) = (site.bed.worker(models), CancellationToken::new());
    let test = async {
        // Into the last shot: 48 and 96 frames lie before it.
        for _ in 0..48 + 96 {
            gate.reached.recv().await.unwrap();
            gate.go_on.send(()).unwrap();
        }
        gate.reached.recv().await.unwrap();
        let beat = async || {
            let sleeps = site.bed.clock.sleeps();
            site.bed.clock.advance(Duration::from_secs(1));
            site.bed.clock.sleeps_reach(sleeps + 1).await;
        };
        beat().await;
        let percent = site.get(&path).await.ok()["progress"].as_u64().unwrap();
        // Twelve of sixteen seconds, and the beginning of drawing.
        assert!((80..90).contains(&percent), "{percent}");
        assert_eq!(site.post(&format!("{path}/cancel"), json!({})).await.status, 200);
        beat().await;
        drop(gate);
    };
    let (ending, ()) = tokio::join!(worker.work_once(&never), test);
    ending.unwrap();
    let ended = site.get(&path).await.ok();
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("cancelled")));
    assert_eq!(site.bed.money().await.1, 0);
}

#[tokio::test]
async fn whoever_is_named_in_a_shot_appears_in_that_shot_alone() {
    let site = Site::new().await;
    let (app, now) = (&site.bed.app, site.bed.app.now());
    for handle in ["mossy", "pebble", "twig"] {
        let id = CharacterId::new(now, entropy());
        let subject = Subject { identity: site.owner(), service: Service::Video, since: now };
        let key = app.objects.put_upload(subject, &id, png(144, 80).into()).await.unwrap();
        let handle = Some(platform::Handle::read(handle).unwrap());
        let (project, name, audience) = (site.bed.project, "a toy".into(), Audience::OnlyMe);
        app.store
            .create_character(&Character { id, project, name, handle, audience, key, created_at: now })
            .await
            .unwrap();
    }
    let mut cast = with("/shots/0/prompt", json!("@mossy sails"));
    cast["shots"][2]["prompt"] = json!("@mossy meets @pebble");
    let made = ask(&site, &cast).await;
    site.work().await;
    let film = app.store.any_generation(id(&made).parse().unwrap()).await.unwrap();
    let recipe: Value = serde_json::from_str(&film.video.unwrap().recipe).unwrap();
    let references: Vec<_> = recipe["shots"].as_array().unwrap().iter().map(|shot| &shot["references"]).collect();
    assert_eq!(references, [&json!(1), &json!(0), &json!(2)]);
    cast["shots"][1]["prompt"] = json!("@twig falls");
    let answer = site.post("/v1/videos", json!({ "storyboard": cast })).await;
    assert_eq!(answer.error(), (400, "invalid_value".into(), "storyboard".into()));
}

/// What the page sends, as a browser does.
fn sent<'a>(button: &'a str, shots: &'a [(String, String)]) -> Vec<(&'a str, Option<&'a str>, &'a [u8])> {
    let first =
        [("do", button), ("once", "a1"), ("title", "Home"), ("size", "144x80"), ("shape", "landscape"), ("seed", "7")];
    let first = first.into_iter().chain([("model", "test-card")]);
    let shots = shots.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    first.chain(shots).map(|(name, text)| (name, None, text.as_bytes())).collect()
}

fn cards(prompts: &[&str]) -> Vec<(String, String)> {
    let fields = |(index, prompt): (usize, &&str)| {
        let name = |field: &str| format!("shots[{index}][{field}]");
        [(name("prompt"), (*prompt).to_owned()), (name("seconds"), "4".into()), (name("join"), "continue".into())]
    };
    prompts.iter().enumerate().flat_map(fields).collect()
}

#[tokio::test]
async fn a_film_is_put_together_on_its_page() {
    for site in sites().await {
        let cookie = site.sign_in(site.owner()).await;
        let as_owner = As::Cookie(&cookie);
        let press = async |button: &str, prompts: &[&str]| {
            let cards = cards(prompts);
            site.send("POST", "/storyboard", as_owner, Sent::Form(&sent(button, &cards))).await
        };
        // Where a prompt stands among others in a page.
        let order = |page: &str, [one, other]: [&str; 2]| page.find(one).unwrap() < page.find(other).unwrap();
        let empty = site.send("GET", "/storyboard", as_owner, Sent::Nothing).await.page();
        assert!(
            empty.contains("id=\"shot-2\"") && !empty.contains("id=\"shot-3\"") && empty.contains("8 seconds in all")
        );
        assert!(site.send("GET", "/make", as_owner, Sent::Nothing).await.page().contains("href=\"/storyboard\""));
        let more = press("add", &["a boat", "rain"]).await.page();
        assert!(more.contains("id=\"shot-3\"") && more.contains("12 seconds in all"), "{more}");
        assert!(order(&press("down-1", &["a boat", "rain"]).await.page(), [">rain<", ">a boat<"]));
        assert!(order(&press("up-1", &["a boat", "rain"]).await.page(), [">a boat<", ">rain<"]));
        assert!(!press("remove-2", &["a boat", "rain"]).await.page().contains(">rain<"));
        let refused = press("make", &["a boat", "P0RN with a nurse"]).await;
        assert_eq!(refused.status, 400);
        let page = refused.page();
        assert!(
            page.contains("<strong>Shot 2</strong>") && page.contains("sexual.explicit") && page.contains(">a boat<")
        );

        let saved = press("download", &["a boat", "rain"]).await;
        assert!(saved.header("content-disposition").starts_with("attachment"), "{:?}", saved.headers);
        let document = saved.json();
        assert_eq!((&document["title"], &document["shots"][1]["join"]), (&json!("Home"), &json!("continue")));
        let cards = cards(&["something else"]);
        let mut parts = sent("open", &cards);
        parts.push(("document", Some("boat.json"), &saved.body));
        let opened = site.send("POST", "/storyboard", as_owner, Sent::Form(&parts)).await.page();
        assert!(opened.contains(">rain<") && !opened.contains("something else"));
        parts.pop();
        parts.push(("document", Some("boat.json"), b"{}"));
        assert_eq!(site.send("POST", "/storyboard", as_owner, Sent::Form(&parts)).await.status, 400);

        let film = press("make", &["a boat", "rain"]).await.goes_to();
        // Sent twice, it counts once.
        assert_eq!(press("make", &["a boat", "rain"]).await.goes_to(), film);
        site.work().await;
        let id = film.trim_start_matches("/clips/");
        assert_eq!(site.get(&format!("/v1/videos/{id}/storyboard")).await.ok(), document);
        let clip = site.send("GET", &film, as_owner, Sent::Nothing).await.page();
        let path = format!("/storyboard?from={id}");
        assert!(clip.contains(&path) && clip.contains("shot 2"), "{clip}");
        assert!(site.send("GET", &path, as_owner, Sent::Nothing).await.page().contains(">rain<"));
        assert_eq!(site.send("GET", &format!("/make?from={id}"), as_owner, Sent::Nothing).await.goes_to(), path);
        let stranger = site.with_role("stranger@example.org", Service::Video, platform::Role::Member).await;
        assert_eq!(site.send("GET", &path, As::Cookie(&stranger), Sent::Nothing).await.status, 404);
    }
}
