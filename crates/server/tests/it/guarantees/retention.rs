//! R8 to R10: what is kept how long, that it is gone after, and the proof.

use std::path::Path;
use std::time::Duration;

use platform::Service;
use serde_json::{Value, json};

use super::{ask, close, sites, whose};
use crate::http::pages::page;
use crate::http::shared::{maker, post, shown};
use crate::http::site::{As, Sent, Site};

/// What nobody would write by chance.
const MARK: &str = "qzmark4711";

/// Files under a folder in which bytes appear.
fn found(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut hits = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hits.extend(found(&path, bytes));
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            hits.push(path.display().to_string());
        }
    }
    hits
}

/// Everything that an installation remembers, as files.
async fn dump(site: &Site) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    store::backup(&site.bed.app.store, &site.bed.app.objects, &folder.path().join("all")).await.unwrap();
    folder
}

#[tokio::test]
async fn r08_the_schedule_is_published_and_the_page_says_the_same() {
    let site = Site::with(|settings| {
        let shorter =
            store::DEFAULT_SCHEDULE.replace(r#""days": 180, "ground": "so that"#, r#""days": 77, "ground": "so that"#);
        settings.schedule = store::read_schedule(&shorter).unwrap();
    })
    .await;
    let file = site.send("GET", "/.well-known/retention.json", As::Nobody, Sent::Nothing).await.ok();
    let class = |name: &str| -> Value {
        file["classes"].as_array().unwrap().iter().find(|class| class["name"] == name).unwrap().clone()
    };
    assert_eq!(class("notices")["keep"][1]["days"], 77.0);
    for name in ["clips", "keys", "posts", "audit", "backups", "logs", "keyring"] {
        class(name);
    }
    let shown = site.send("GET", "/retention", As::Nobody, Sent::Nothing).await.page();
    assert!(shown.contains("77 days") && shown.contains("/.well-known/retention.json"), "{shown}");
}

#[tokio::test]
async fn r09_after_its_time_it_is_gone_everywhere() {
    for site in sites().await {
        let cookie = maker(&site, "mika").await;
        let other = maker(&site, "yuki").await;
        let me = whose(&site, &cookie).await;
        // A marked record in every class that a person can write into.
        let fields = [("prompt", MARK), ("size", "144x80"), ("seconds", "4"), ("n", "1"), ("seed", "")];
        let clip = post(&site, &cookie, "/make", &fields).await.goes_to();
        site.work().await;
        let caption = format!("{MARK} #{MARK}");
        let path = post(
            &site,
            &cookie,
            &format!("{clip}/publish"),
            &[("visibility", "public"), ("caption", &caption), ("comments", "true"), ("remix", "true")],
        )
        .await
        .goes_to();
        let theirs = shown(&site, &other, "public", &[("comments", "true")]).await;
        post(&site, &cookie, &format!("{theirs}/comment"), &[("text", MARK)]).await.goes_to();
        post(&site, &cookie, &format!("{theirs}/like"), &[("on", "true")]).await.goes_to();
        post(&site, &other, &format!("{path}/comment"), &[("text", "nice")]).await.goes_to();
        post(&site, &cookie, "/@yuki/follow", &[]).await.goes_to();
        post(&site, &cookie, "/messages/@yuki", &[("text", MARK)]).await.goes_to();
        post(&site, &cookie, "/account/profile", &[("handle", MARK), ("display_name", MARK), ("bio", MARK)])
            .await
            .goes_to();
        post(&site, &cookie, "/library/folders", &[("name", MARK)]).await.goes_to();
        post(&site, &cookie, "/account/projects", &[("name", MARK)]).await.goes_to();
        let projects = site.send("GET", "/api/projects", As::Cookie(&cookie), Sent::Nothing).await.ok();
        let project = projects["data"][0]["id"].as_str().unwrap();
        let key = ask(&site, &cookie, &format!("/api/projects/{project}/keys"), json!({ "name": MARK })).await.ok();
        let key = key["secret"].as_str().unwrap().to_owned();
        let hook =
            json!({ "name": MARK, "url": format!("https://example.org/{MARK}"), "event_types": ["video.completed"] });
        site.send("POST", "/v1/webhook_endpoints", As::Key(&key), Sent::Json(hook)).await.ok();
        let file = Sent::Form(&[("purpose", None, b"user_data"), ("file", Some("a.txt"), MARK.as_bytes())]);
        site.send("POST", "/v1/files", As::Key(&key), file).await.ok();
        // A remix by someone else hangs from the post.
        let remix = path.trim_start_matches("/p/");
        let made = post(&site, &other, "/make", &[("prompt", "a blue boat"), ("remix", remix)]).await.goes_to();
        site.work().await;
        let remix = post(&site, &other, &format!("{made}/publish"), &[("visibility", "public")]).await.goes_to();
        assert!(!found(dump(&site).await.path(), MARK.as_bytes()).is_empty());

        // A backup of before, whose rows hold it all; the media in it are sealed.
        let early = dump(&site).await;
        let place = early.path().join("all");
        ask(&site, &cookie, "/api/account/close", json!({ "confirm": "mika@people.example" })).await.ok();
        site.bed.clock.advance(Duration::from_secs(30 * 86_400));
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert!(site.bed.app.store.identity(me).await.is_err());
        assert!(site.letters().await.iter().any(|letter| letter.contains("was erased")));
        // Restored, it is erased again: the keyring, which no backup holds, remembers who is gone.
        let keys = early.path().join("keys");
        store::backup_keys(&site.bed.app.objects, &keys).await.unwrap();
        let restored = site.bed.elsewhere(&format!("sqlite:{}", early.path().join("restored.sqlite").display())).await;
        store::restore(&place, Some(&keys), &restored.store, &restored.objects).await.unwrap();
        assert!(restored.store.identity(me).await.is_ok());
        assert!(restored.store.membership(me, Service::Video).await.unwrap().readable().is_err());
        server::housekeeping::tidy(&restored).await.unwrap();
        assert!(restored.store.identity(me).await.is_err());
        let again = early.path().join("again");
        store::backup(&restored.store, &restored.objects, &again).await.unwrap();
        let kept = found(&again, MARK.as_bytes());
        assert!(kept.iter().all(|file| file.contains("reserved_handles")), "{kept:?}");
        // What stays stays for a stated time: the record of operators, receipts, the reserved handle.
        site.bed.clock.advance(Duration::from_secs(4 * 365 * 86_400));
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        let dump = dump(&site).await;
        let hits = found(dump.path(), MARK.as_bytes());
        assert!(hits.is_empty(), "{hits:?}");
        let id = me.to_string().trim_start_matches("user_").to_owned();
        for bytes in [id.as_bytes(), b"mika@people.example"] {
            assert_eq!(found(dump.path(), bytes), Vec::<String>::new());
        }
        // What others made of it is theirs, and whole.
        let other =
            site.sign_in(site.bed.app.store.identity_by_email("yuki@people.example").await.unwrap().unwrap().id).await;
        let left = page(&site, &other, &remix).await;
        assert!(!left.contains(MARK) && left.contains("/media/video"), "{left}");
        assert!(page(&site, &other, &theirs).await.contains("data-likes>0<"));
    }
}

#[tokio::test]
async fn r10_a_receipt_proves_itself_and_never_says_more_than_is_so() {
    for site in sites().await {
        let cookie = maker(&site, "mika").await;
        shown(&site, &cookie, "public", &[]).await;
        let me = whose(&site, &cookie).await;
        close(&site, &cookie, "video").await.ok();
        ask(&site, &cookie, "/api/memberships/video/erase", json!({ "confirm": "video" })).await.ok();
        // A place that does not answer makes it partial, and the end stays open.
        let deaf = site.bed.with_deaf_objects();
        assert_eq!(server::closures::finish_due(&deaf).await.unwrap(), 0);
        assert_eq!(server::closures::finish_due(&deaf).await.unwrap(), 0);
        let list = async || site.send("GET", "/api/receipts", As::Cookie(&cookie), Sent::Nothing).await.ok();
        let partial = list().await;
        assert_eq!((partial["data"].as_array().unwrap().len(), &partial["data"][0]["complete"]), (1, &json!(false)));
        assert_eq!(server::closures::finish_due(&site.bed.app).await.unwrap(), 1);
        let receipts = list().await;
        let receipts = receipts["data"].as_array().unwrap();
        assert_eq!(receipts.len(), 2);
        let whole = receipts.iter().find(|receipt| receipt["complete"] == true).unwrap();

        let path = format!("/api/receipts/{}", whole["id"].as_str().unwrap());
        let file = site.send("GET", &path, As::Cookie(&cookie), Sent::Nothing).await.body;
        let report = provenance::verify_statement(&file, &site.bed.app.trusted);
        assert_eq!(report.state, provenance::State::Untouched, "{report:?}");
        let said: Value = report.payload.clone().unwrap();
        assert_eq!(
            (&said["state"], &said["owner"], &said["person"]),
            (&json!("complete"), &json!("video"), &json!(me.to_string()))
        );
        let clips = said["erased"].as_array().unwrap().iter().find(|one| one["class"] == "clips").unwrap();
        assert_eq!(clips["count"], 1);
        assert!(said["kept"].as_array().unwrap().iter().any(|kept| kept["class"] == "backups"));
        for place in (0..file.len()).step_by(37) {
            let mut changed = file.clone();
            changed[place] ^= 1;
            let state = provenance::verify_statement(&changed, &site.bed.app.trusted).state;
            assert_ne!(state, provenance::State::Untouched, "byte {place}");
        }
        // Nobody else's.
        let other = maker(&site, "yuki").await;
        assert_eq!(site.send("GET", &path, As::Cookie(&other), Sent::Nothing).await.status, 404);
        assert!(page(&site, &cookie, "/account").await.contains("Receipts"));
        assert!(site.bed.app.store.membership(me, Service::Social).await.unwrap().active().is_ok());
    }
}
