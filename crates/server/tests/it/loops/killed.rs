//! kill -9 in the middle of what takes many steps: an export, an import, a closure, a purge. A process of its own does it, over the same rows
//! and objects, and kills itself after so many steps, more each time; whoever starts next goes on. In the end all is as if nothing had been.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::Duration;

use platform::{Owner, Service, Timestamp};
use serde_json::json;
use server::{App, archive, closures, housekeeping};

use super::bed::{Bed, app_in};
use crate::http::archives::{canonical, exported, fetched, join_social, live, sha256, unpacked};
use crate::http::site::{As, Sent, Site};

/// Lets something go on for so many steps, and then gives it up.
pub(crate) async fn killed_after<F: Future>(steps: usize, work: F) -> Option<F::Output> {
    let (mut work, mut left) = (pin!(work), steps);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// How the other process is told what to do, where, when, and after how many steps it dies.
const WORK: &str = "MISORA_TEST_KILLED_WORK";
const FOLDER: &str = "MISORA_TEST_KILLED_FOLDER";
const MOMENT: &str = "MISORA_TEST_KILLED_MOMENT";
const STEPS: &str = "MISORA_TEST_KILLED_STEPS";

/// What is done, as the loops of the server do it.
async fn work(app: &App, what: &str) {
    match what {
        "archives" => while archive::work(&app.archivist()).await.unwrap() {},
        "closures" => drop(closures::finish_due(app).await.unwrap()),
        "purge" => while housekeeping::tidy(app).await.unwrap() != housekeeping::Tidied::default() {},
        other => panic!("nobody knows how to do {other}"),
    }
}

#[tokio::test]
#[ignore = "is the process that the other tests of this file start and kill"]
async fn the_process_that_is_killed() {
    let Ok(what) = env::var(WORK) else { return };
    let said = |name: &str| env::var(name).unwrap();
    let app = app_in(said(FOLDER).as_ref(), Timestamp::from_micros(said(MOMENT).parse().unwrap())).await;
    let mut left: usize = said(STEPS).parse().unwrap();
    let mut work = pin!(work(&app, &what));
    std::future::poll_fn(|context| {
        if left == 0 {
            die();
        }
        left -= 1;
        work.as_mut().poll(context)
    })
    .await;
}

/// Dies here and now: no destructor runs, nothing is told to anyone.
fn die() -> ! {
    Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
    loop {
        std::thread::park();
    }
}

/// Has the work done by processes that die, each later than the one before, until one comes to the end; says how many died. Between
/// two of them so much time goes by that what the first held is free again.
///
/// The first dies after `steps`, each later one after `times` as many: an import is not tried for ever.
fn done_by_the_dying(site: &Site, what: &str, mut steps: usize, times: f64) -> usize {
    let mut died = 0;
    loop {
        let status = Command::new(env::current_exe().unwrap())
            .args(["loops::killed::the_process_that_is_killed", "--exact", "--ignored"])
            .env(WORK, what)
            .env(FOLDER, site.bed.folder.path())
            .env(MOMENT, site.bed.app.now().micros().to_string())
            .env(STEPS, steps.to_string())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            return died;
        }
        assert_eq!(status.signal(), Some(9), "{status}");
        died += 1;
        steps = (steps as f64 * times) as usize + 1;
        site.bed.clock.advance(Duration::from_secs(121));
    }
}

async fn site() -> Site {
    Site::of(Bed::in_folder().await).await
}

#[tokio::test]
async fn r19_an_export_whose_processes_are_killed_is_whole_in_the_end() {
    let site = site().await;
    let (mika, _) = live(&site).await;
    let asked = site.send("POST", "/api/exports", As::Cookie(&mika), Sent::Json(json!({}))).await.ok();
    let died = done_by_the_dying(&site, "archives", 2, 1.6);
    assert!(died > 4, "{died}");
    let path = format!("/api/exports/{}", asked["id"].as_str().unwrap());
    let export = site.send("GET", &path, As::Cookie(&mika), Sent::Nothing).await.ok();
    assert_eq!(export["status"], "ready", "{export}");
    let zip = fetched(&site, &mika, &export).await;
    assert_eq!(sha256(&zip), export["sha256"].as_str().unwrap());
    let files = unpacked(&zip);
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len() + 1, files.len());
    for file in manifest["files"].as_array().unwrap() {
        assert_eq!(sha256(&files[file["path"].as_str().unwrap()]), file["sha256"].as_str().unwrap());
    }
    assert_eq!(String::from_utf8(files["data/clips.jsonl"].clone()).unwrap().lines().count(), 4);
}

#[tokio::test]
async fn r20_an_import_whose_processes_are_killed_brings_everything_once() {
    let (from, to) = (Site::new().await, site().await);
    let (mika, _) = live(&from).await;
    let export = exported(&from, &mika, json!({})).await;
    let zip = fetched(&from, &mika, &export).await;
    join_social(&to, to.owner()).await;
    let cookie = to.sign_in(to.owner()).await;
    let form = [("file", Some("mine.zip"), &zip[..])];
    let import = to.send("POST", "/api/imports", As::Cookie(&cookie), Sent::Form(&form)).await.ok();
    let died = done_by_the_dying(&to, "archives", 30, 5.0);
    assert!(died > 1, "{died}");
    let path = format!("/api/imports/{}", import["id"].as_str().unwrap());
    let import = to.send("GET", &path, As::Cookie(&cookie), Sent::Nothing).await.ok();
    assert_eq!(import["status"], "done", "{import}");
    let (before, after) = (canonical(&from, from.owner()).await, canonical(&to, to.owner()).await);
    for object in ["video", "post", "comment", "folder", "file", "profile", "handle", "hidden_words"] {
        assert_eq!(after[object], before[object], "{object}");
    }
    // Every clip that came can be watched, byte for byte.
    let own = to.new_key(from.bed.project, platform::Scopes::ALL, |_| {}).await;
    let listed = to.send("GET", "/v1/videos", As::Key(&own), Sent::Nothing).await.ok();
    let mut watched = 0;
    for video in listed["data"].as_array().unwrap().iter().filter(|video| video["status"] == "completed") {
        let path = format!("/v1/videos/{}/content", video["id"].as_str().unwrap());
        let there = to.send("GET", &path, As::Key(&own), Sent::Nothing).await;
        assert_eq!((there.status, there.body), (200, from.get(&path).await.body));
        watched += 1;
    }
    assert_eq!(watched, 2);
}

#[tokio::test]
async fn r06_an_end_whose_processes_are_killed_comes_to_its_end_with_one_receipt_each() {
    let site = site().await;
    let (mika, _) = live(&site).await;
    exported(&site, &mika, json!({})).await;
    let (app, owner) = (&site.bed.app, site.owner());
    app.store.close_account(owner, app.now(), app.now()).await.unwrap();
    let died = done_by_the_dying(&site, "closures", 2, 1.6);
    assert!(died > 4, "{died}");
    assert!(app.store.identity(owner).await.is_err());
    assert!(app.store.closures(owner).await.unwrap().is_empty());
    let archivist = app.archivist();
    for table in store::ARCHIVE_CLASSES.iter().flat_map(|class| class.tables) {
        assert!(archivist.lines(owner, table).await.unwrap().is_empty(), "{}", table.object);
    }
    let receipts = app.store.receipts(owner).await.unwrap();
    for of in [Owner::Account, Service::Video.into(), Service::Social.into()] {
        assert_eq!(receipts.iter().filter(|receipt| receipt.owner == of && receipt.complete).count(), 1, "{of:?}");
    }
    let letters = site.letters().await;
    assert_eq!(letters.iter().filter(|letter| letter.contains("was erased")).count(), 1);
    // Whoever else is here has what they had; of mika nothing lies there, and what lay there cannot be read.
    housekeeping::tidy(app).await.unwrap();
    for place in ["renders", "posts", "exports", "imports"] {
        assert_eq!(app.objects.list(place).await.unwrap(), [], "{place}");
    }
    let erased = app.objects.erased_subjects().await.unwrap();
    assert_eq!(erased.iter().filter(|(who, _, _)| *who == owner).count(), Service::ALL.len());
    assert!(app.store.identity_by_email("yuki@example.org").await.unwrap().is_some());
}

#[tokio::test]
async fn r09_a_purge_whose_processes_are_killed_leaves_nothing_whose_time_is_over() {
    let site = site().await;
    let (mika, _) = live(&site).await;
    exported(&site, &mika, json!({})).await;
    let before = site.bed.app.objects.list("renders").await.unwrap().len();
    site.bed.clock.advance(Duration::from_secs(400 * 86_400));
    let died = done_by_the_dying(&site, "purge", 2, 1.6);
    assert!(died > 4, "{died}");
    let app = &site.bed.app;
    assert_eq!(housekeeping::tidy(app).await.unwrap(), housekeeping::Tidied::default());
    // The clip in the trash went with its media, and what was fetched or waited for longer than it may.
    let renders = app.objects.list("renders").await.unwrap().len();
    assert_eq!((before, renders), (9, 6));
    assert!(app.objects.list("exports").await.unwrap().is_empty());
    assert!(app.store.exports(site.owner()).await.unwrap().is_empty());
    assert_eq!(canonical(&site, site.owner()).await["video"].len(), 3);
    assert!(app.store.object_deletions(100).await.unwrap().is_empty());
}
