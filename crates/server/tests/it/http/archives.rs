//! Leaving and arriving: R19, R20 and R21 of the guarantees.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use platform::{
    DestinationId, FileId, IdentityId, ImportId, MembershipEvent, ProjectId, Quotas, Scopes, Service, Tier, Timestamp,
};
use provenance::{Action, State, TrustedRoots, verify};
use serde_json::{Value, json};
use server::archive::{self, Archivist, ArchivistParts, FOLDER, OWNERS};
use server::{Clock as _, HttpOutbound, SystemClock, SystemEntropy};
use sha2::{Digest, Sha256};
use store::{
    ARCHIVE_CLASSES, ArchiveTable, ByteRange, Destination, File, Objects, ObjectsPlace, Project, Store, StoreError,
    Subject,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::site::{As, Sent, Site, small};
use crate::loops::bed::{Bed, entropy, key};
use crate::loops::killed::killed_after;

/// What everybody's archive must know, as the services own it.
const CLASSES: &[&str] = &[
    "account",
    "sign_in",
    "sessions",
    "letters",
    "memberships",
    "decisions",
    "audit",
    "projects",
    "ledger",
    "usage",
    "clips",
    "jobs",
    "characters",
    "folders",
    "keys",
    "webhooks",
    "files",
    "batches",
    "idempotency",
    "profile",
    "posts",
    "likes",
    "comments",
    "follows",
    "blocks",
    "mutes",
    "notices",
    "messages",
    "reports",
];

const CLIP: &[u8] = include_bytes!("../../../../provenance/tests/it/clip.mp4");

/// A site on each database, and one whose objects are in a bucket if there is an S3 server.
async fn sites() -> Vec<Site> {
    let mut sites = vec![Site::new().await, Site::of(Bed::on_postgres(|_| {}).await).await];
    if let Some(bed) = Bed::on_s3(|_| {}).await {
        sites.push(Site::of(bed).await);
    }
    sites
}

async fn post(site: &Site, cookie: &str, path: &str, fields: &[(&str, &str)]) -> String {
    site.send("POST", path, As::Cookie(cookie), Sent::Fields(fields)).await.goes_to()
}

pub(crate) async fn join_social(site: &Site, identity: IdentityId) {
    let (store, now) = (&site.bed.app.store, site.bed.app.now());
    store.change_membership(identity, Service::Social, MembershipEvent::Join, now).await.unwrap();
}

/// Someone with a profile; their cookie.
async fn sociable(site: &Site, identity: IdentityId, handle: &str) -> String {
    join_social(site, identity).await;
    let cookie = site.sign_in(identity).await;
    post(site, &cookie, "/account/profile", &[("handle", handle), ("display_name", "M. M."), ("bio", "boats")]).await;
    cookie
}

/// The site's owner does one of everything; the cookie, and a word that must be in no archive.
pub(crate) async fn live(site: &Site) -> (String, Vec<String>) {
    let mika = sociable(site, site.owner(), "mika").await;
    let (yuki, _) = site.stranger("yuki@example.org").await;
    let yuki = sociable(site, yuki, "yuki").await;

    let (first, second, third) = (site.video().await, site.video().await, site.video().await);
    let cancelled = site.post("/v1/videos", small("a grey boat")).await.ok()["id"].as_str().unwrap().to_owned();
    site.post(&format!("/v1/videos/{cancelled}/cancel"), json!({})).await.ok();
    let folder = post(site, &mika, "/library/folders", &[("name", "boats")]).await;
    let folder = folder.split("folder=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    post(site, &mika, &format!("/clips/{first}/move"), &[("folder", &folder)]).await;
    post(site, &mika, &format!("/clips/{first}/favourite"), &[("on", "true")]).await;
    post(site, &mika, &format!("/clips/{third}/delete"), &[]).await;

    let shown = post(
        site,
        &mika,
        &format!("/clips/{first}/publish"),
        &[("visibility", "public"), ("caption", "look #boat"), ("remix", "true"), ("comments", "true")],
    )
    .await;
    post(site, &mika, &format!("/clips/{second}/publish"), &[("visibility", "link"), ("caption", "")]).await;
    post(site, &mika, &format!("{shown}/comment"), &[("text", "mine")]).await;
    post(site, &yuki, &format!("{shown}/like"), &[("on", "true")]).await;
    post(site, &mika, "/account/profile/words", &[("words", "spoiler")]).await;
    post(site, &mika, "/@yuki/follow", &[]).await;
    post(site, &mika, "/messages/@yuki", &[("text", "hello")]).await;

    let form = [("purpose", None, &b"user_data"[..]), ("file", Some("a.txt"), b"hello")];
    site.send("POST", "/v1/files", As::Key(&site.key), Sent::Form(&form)).await.ok();
    let endpoint = json!({ "name": "mine", "url": "http://127.0.0.1:9/", "event_types": ["video.completed"] });
    let endpoint = site.post("/v1/webhook_endpoints", endpoint).await.ok();
    let secret = endpoint["signing_secret"].as_str().map(str::to_owned);
    let mut secrets = vec![site.key.clone(), mika.split('=').nth(1).unwrap().to_owned()];
    secrets.extend(secret);
    (mika, secrets)
}

/// Works until there is nothing to do.
pub(crate) async fn work(archivist: &Archivist) {
    while archive::work(archivist).await.unwrap() {}
}

/// An archive that is ready: what the API says of it.
pub(crate) async fn exported(site: &Site, cookie: &str, body: Value) -> Value {
    let asked = site.send("POST", "/api/exports", As::Cookie(cookie), Sent::Json(body)).await.ok();
    work(&site.bed.app.archivist()).await;
    let path = format!("/api/exports/{}", asked["id"].as_str().unwrap());
    let export = site.send("GET", &path, As::Cookie(cookie), Sent::Nothing).await.ok();
    assert_eq!(export["status"], "ready", "{export}");
    export
}

pub(crate) async fn fetched(site: &Site, cookie: &str, export: &Value) -> Vec<u8> {
    let path = format!("/api/exports/{}/content", export["id"].as_str().unwrap());
    let answer = site.send("GET", &path, As::Cookie(cookie), Sent::Nothing).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/zip");
    answer.body
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of an archive, as another program reads it.
pub(crate) fn unpacked(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(zip.to_vec())).unwrap();
    (0..zip.len())
        .map(|at| {
            let mut file = zip.by_index(at).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (file.name().to_owned(), bytes)
        })
        .collect()
}

/// What of a person's lines an import must bring back, by what each is.
pub(crate) async fn canonical(site: &Site, identity: IdentityId) -> BTreeMap<&'static str, BTreeSet<String>> {
    let archivist = site.bed.app.archivist();
    let mut all = BTreeMap::new();
    for table in ARCHIVE_CLASSES.iter().flat_map(|class| class.tables).filter(|table| table.is_restored()) {
        let lines = archivist.lines(identity, table).await.unwrap();
        all.insert(table.object, lines.iter().map(|line| told_apart(table, line)).collect());
    }
    all
}

/// A line without what belongs to the installation.
fn told_apart(table: &ArchiveTable, line: &str) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    for column in table.columns.iter().filter(|column| !column.restored) {
        line.as_object_mut().unwrap().remove(column.name);
    }
    line.to_string()
}

/// Brings an archive by the API; what came of it.
pub(crate) async fn brought(site: &Site, cookie: &str, zip: &[u8]) -> Value {
    let form = [("file", Some("mine.zip"), zip)];
    let import = site.send("POST", "/api/imports", As::Cookie(cookie), Sent::Form(&form)).await.ok();
    work(&site.bed.app.archivist()).await;
    let path = format!("/api/imports/{}", import["id"].as_str().unwrap());
    site.send("GET", &path, As::Cookie(cookie), Sent::Nothing).await.ok()
}

fn counted(import: &Value, what: &str) -> u64 {
    import["report"]["classes"].as_array().unwrap().iter().map(|class| class[what].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn r19_every_class_of_data_is_in_the_archive_or_left_out_with_a_ground() {
    for site in sites().await {
        let (mika, secrets) = live(&site).await;
        let export = exported(&site, &mika, json!({})).await;
        let zip = fetched(&site, &mika, &export).await;
        assert_eq!((export["bytes"].as_u64().unwrap(), &export["sha256"]), (zip.len() as u64, &json!(sha256(&zip))));
        let files = unpacked(&zip);
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!((&manifest["format"], &manifest["version"]), (&json!("misora-archive"), &json!(1)));
        assert_eq!(manifest["person"]["email"], "mika@example.org");
        assert!(manifest["masters"].as_str().unwrap().contains("visible mark"));

        let classes = manifest["classes"].as_array().unwrap();
        let names: BTreeSet<_> = classes.iter().map(|class| class["name"].as_str().unwrap()).collect();
        let missing: Vec<_> = CLASSES.iter().filter(|name| !names.contains(*name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for class in classes {
            let there = class["files"].as_array().is_some_and(|files| !files.is_empty());
            let ground = class["excluded"].as_str().unwrap_or_default();
            assert_eq!(there, ground.is_empty(), "{class}");
            let lines: usize = class["files"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|path| {
                    let text = std::str::from_utf8(&files[path.as_str().unwrap()]).unwrap();
                    assert!(
                        text.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["object"].is_string())
                    );
                    text.lines().count()
                })
                .sum();
            assert_eq!(class["count"].as_u64().unwrap_or(0), lines as u64, "{class}");
        }
        // Every file is listed as it is, and nothing else is there.
        let listed = manifest["files"].as_array().unwrap();
        assert_eq!(listed.len() + 1, files.len());
        for file in listed {
            let bytes = &files[file["path"].as_str().unwrap()];
            assert_eq!((file["bytes"].as_u64().unwrap(), &file["sha256"]), (bytes.len() as u64, &json!(sha256(bytes))));
        }
        let clips = String::from_utf8(files["data/clips.jsonl"].clone()).unwrap();
        let clips: Vec<Value> = clips.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(clips.len(), 4);
        let cancelled = clips.iter().find(|clip| clip["prompt"] == "a grey boat").unwrap();
        assert_eq!((&cancelled["status"], &cancelled["error_code"]), (&json!("cancelled"), &json!("cancelled")));
        assert!(clips.iter().any(|clip| clip["favourite"] == true && clip["folder"].is_string()));
        assert!(clips.iter().any(|clip| clip["trashed_at"].is_string()));
        for clip in clips.iter().filter(|clip| clip["status"] == "completed") {
            assert!(files.contains_key(clip["content"].as_str().unwrap()), "{clip}");
            assert!(clip["recipe"].is_object() && clip["seed"].is_u64(), "{clip}");
        }
        // What is public is told in the words of the fediverse too.
        let outbox: Value = serde_json::from_slice(&files["activitypub/outbox.json"]).unwrap();
        assert_eq!((&outbox["type"], &outbox["totalItems"]), (&json!("OrderedCollection"), &json!(1)));
        let note = &outbox["orderedItems"][0]["object"];
        assert_eq!((&note["type"], &note["content"]), (&json!("Note"), &json!("<p>look #boat</p>")));
        assert!(files.contains_key(note["attachment"][0]["url"].as_str().unwrap().trim_start_matches('/')));
        for secret in secrets {
            let found = zip.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in the archive");
        }
    }
}

#[tokio::test]
async fn r19_a_download_that_breaks_off_goes_on_and_is_whole() {
    let site = Site::new().await;
    let (mika, _) = live(&site).await;
    let export = exported(&site, &mika, json!({ "services": ["video"] })).await;
    let (size, sha) = (export["bytes"].as_u64().unwrap(), export["sha256"].as_str().unwrap().to_owned());
    let path = format!("/api/exports/{}/content", export["id"].as_str().unwrap());
    let etag = format!("\"{sha}\"");
    let mut whole = Vec::new();
    let step = size.div_ceil(20);
    while (whole.len() as u64) < size {
        let from = whole.len() as u64;
        let range = format!("bytes={from}-{}", (from + step - 1).min(size - 1));
        let headers = [("range", range.as_str()), ("if-range", etag.as_str())];
        let part = site.send_with("GET", &path, As::Cookie(&mika), Sent::Nothing, &headers).await;
        assert_eq!((part.status, part.header("etag")), (206, etag.as_str()));
        whole.extend(part.body);
    }
    assert_eq!(sha256(&whole), sha);
    let known = [("if-none-match", etag.as_str())];
    assert_eq!(site.send_with("GET", &path, As::Cookie(&mika), Sent::Nothing, &known).await.status, 304);
    let beyond = [("range", "bytes=999999999-")];
    assert_eq!(site.send_with("GET", &path, As::Cookie(&mika), Sent::Nothing, &beyond).await.status, 416);
    // It goes after seven days, with its objects.
    site.bed.clock.advance(Duration::from_secs(7 * 86_400));
    server::housekeeping::tidy(&site.bed.app).await.unwrap();
    assert!(site.bed.app.objects.list("exports").await.unwrap().is_empty());
    let mika = site.sign_in(site.owner()).await;
    assert_eq!(site.send("GET", &path, As::Cookie(&mika), Sent::Nothing).await.status, 404);
}

/// A body as far as a connection gives it: so many bytes, then the connection is cut.
async fn read_and_cut(address: SocketAddr, request: String, most: u64, hash: &mut Sha256) -> u64 {
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut reader = tokio::io::BufReader::new(connection);
    let mut line = String::new();
    while reader.read_line(&mut line).await.unwrap() > 2 {
        assert!(!line.starts_with("HTTP/") || line.contains(" 206 "), "{line}");
        line.clear();
    }
    let (mut count, mut buffer) = (0, vec![0; 60_000]);
    while count < most {
        let wanted = buffer.len().min((most - count) as usize);
        let read = reader.read(&mut buffer[..wanted]).await.unwrap();
        assert!(read > 0, "the server cut it");
        hash.update(&buffer[..read]);
        count += read as u64;
    }
    count
}

#[tokio::test]
async fn r19_a_large_download_that_is_cut_twenty_times_is_whole() {
    let megabytes: usize = std::env::var("MISORA_ARCHIVE_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let site = Site::of(Bed::in_folder().await).await;
    let (app, owner) = (&site.bed.app, site.owner());
    fill(&app.store, &app.objects, owner, site.bed.project, megabytes, app.now()).await;
    let cookie = site.sign_in(owner).await;
    let export = exported(&site, &cookie, json!({})).await;
    let (size, sha) = (export["bytes"].as_u64().unwrap(), export["sha256"].as_str().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = server::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let (mut at, mut hash, mut cuts) = (0, Sha256::new(), 0);
    while at < size {
        let id = export["id"].as_str().unwrap();
        let request = format!(
            "GET /api/exports/{id}/content HTTP/1.1\r\nhost: misora.test\r\ncookie: {cookie}\r\nrange: bytes={at}-\r\n\
             if-range: \"{sha}\"\r\nconnection: close\r\n\r\n"
        );
        // Nowhere near the ends of anything.
        let most = if cuts < 20 { size / 21 + 1_234 * cuts % 977 } else { size - at };
        at += read_and_cut(address, request, most, &mut hash).await;
        cuts += 1;
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((cuts, found.as_str()), (21, sha));
    println!("{size} bytes in {cuts} pieces, at most {} MB", peak_megabytes());
}

#[tokio::test]
async fn r19_an_archive_lies_sealed_for_as_long_as_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let (archivist, store, objects, owner, project) = installation(folder.path()).await;
    let now = SystemClock.now();
    let subject = Subject { identity: owner, service: Service::Api, since: now };
    let id = FileId::new(now, entropy());
    let words = b"a marked sentence. ".repeat(20_000);
    let file = File {
        id,
        project,
        filename: "a marked name.txt".into(),
        purpose: "user_data".into(),
        media_type: "text/plain; charset=utf-8".into(),
        size_bytes: words.len() as u64,
        key: objects.put_upload(subject, &id, words.clone().into()).await.unwrap(),
        created_at: now,
        expires_at: None,
    };
    store.create_file(&file).await.unwrap();
    let id = archivist.ask_for_export(owner, &OWNERS, None).await.unwrap();
    work(&archivist).await;
    let export = store.export(owner, id).await.unwrap();
    let whole: Vec<Bytes> = archivist.open_export(&export, None).await.unwrap().stream.try_collect().await.unwrap();
    let whole = whole.concat();
    assert_eq!(sha256(&whole), export.sha256.clone().unwrap());
    let files = unpacked(&whole);
    assert!(files.values().any(|file| *file == words));
    // Any part of it can be had, about the ends of what is sealed at once too.
    for from in [0, 65_535, 65_536, 131_071, whole.len() as u64 - 70_000] {
        let range = ByteRange::Bounded(from..from + 65_537);
        let part: Vec<Bytes> =
            archivist.open_export(&export, Some(range)).await.unwrap().stream.try_collect().await.unwrap();
        assert!(part.concat() == whole[from as usize..from as usize + 65_537], "{from}");
    }
    // And of what lies there nothing can be read: no words, no names, no addresses.
    let import = ImportId::new(now, entropy());
    objects.put_import_part(owner, now, import, 0, whole.clone().into()).await.unwrap();
    let (mut lying, mut folders) =
        (0, vec![folder.path().join("objects/exports"), folder.path().join("objects/imports")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            lying += 1;
            let bytes = std::fs::read(&path).unwrap();
            for open in ["a marked", "mika@example.org", "PK\u{3}\u{4}", "\"object\""] {
                let found = bytes.windows(open.len()).any(|window| window == open.as_bytes());
                assert!(!found, "{} says {open:?}", path.display());
            }
        }
    }
    assert!(lying > 6, "{lying}");
    // What is of a service goes with the key of the service; the rest with that of the account.
    objects.destroy_key(owner, Service::Api, now).await.unwrap();
    let copies = objects.list("exports").await.unwrap();
    let mut gone = Vec::new();
    for copy in &copies {
        if objects.get(copy, None).await.is_err() {
            gone.push(copy);
        }
    }
    assert_eq!(gone.len(), 1);
    objects.destroy_key(owner, platform::Owner::Account, now).await.unwrap();
    for copy in &copies {
        assert!(matches!(objects.get(copy, None).await, Err(StoreError::NotFound(_))), "{copy:?}");
    }
}

#[tokio::test]
async fn r19_an_archive_can_be_had_in_every_state_of_a_membership() {
    use MembershipEvent::{Close, Restrict, Suspend};
    for event in [Restrict, Suspend, Close] {
        let site = Site::new().await;
        let (mika, _) = live(&site).await;
        for service in [Service::Video, Service::Social, Service::Api] {
            site.bed.app.store.change_membership(site.owner(), service, event, site.bed.app.now()).await.unwrap();
        }
        let export = exported(&site, &mika, json!({})).await;
        let files = unpacked(&fetched(&site, &mika, &export).await);
        assert!(files.keys().filter(|path| path.starts_with("media/")).count() >= 3, "{event:?}");
    }
}

#[tokio::test]
async fn r19_what_is_asked_for_is_what_comes() {
    let site = Site::new().await;
    let (mika, _) = live(&site).await;
    let export = exported(&site, &mika, json!({ "services": ["social"], "since": 4_000_000_000_i64 })).await;
    let files = unpacked(&fetched(&site, &mika, &export).await);
    assert!(files.contains_key("data/posts.jsonl") && !files.contains_key("data/clips.jsonl"));
    assert!(!files.keys().any(|path| path.starts_with("media/")), "nothing is as new as that");
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let clips = manifest["classes"].as_array().unwrap().iter().find(|class| class["name"] == "clips").unwrap();
    assert_eq!(clips["excluded"], "its service was not asked for");
    for (body, param) in [(json!({ "services": ["assistant"] }), "services"), (json!({ "since": "soon" }), "since")] {
        let refused = site.send("POST", "/api/exports", As::Cookie(&mika), Sent::Json(body)).await.error();
        assert_eq!((refused.0, refused.2.as_str()), (400, param));
    }
    // The page shows it, and its button leads to the same bytes.
    let page = site.send("GET", "/account/export", As::Cookie(&mika), Sent::Nothing).await.page();
    let content = format!("/account/export/{}/content", export["id"].as_str().unwrap());
    assert!(page.contains(&content) && page.contains(export["sha256"].as_str().unwrap()), "{page}");
    let answer = site.send("GET", &content, As::Cookie(&mika), Sent::Nothing).await;
    assert_eq!(sha256(&answer.body), export["sha256"].as_str().unwrap());
    post(&site, &mika, &content.replace("/content", "/delete"), &[]).await;
    assert_eq!(site.send("GET", &content, As::Cookie(&mika), Sent::Nothing).await.status, 404);
}

#[tokio::test]
async fn r19_whoever_is_killed_while_making_an_archive_is_followed_by_another() {
    for site in sites().await {
        let (mika, _) = live(&site).await;
        let asked = site.send("POST", "/api/exports", As::Cookie(&mika), Sent::Json(json!({}))).await.ok();
        let archivist = site.bed.app.archivist();
        let mut steps = 3;
        let path = format!("/api/exports/{}", asked["id"].as_str().unwrap());
        let export = loop {
            let now = site.bed.app.now();
            if let Some(export) = site.bed.app.store.claim_export(Duration::from_secs(120), now).await.unwrap() {
                killed_after(steps, archivist.make_export(&export)).await;
                // Whoever held it before can write no more.
                site.bed.clock.advance(Duration::from_secs(121));
            }
            steps = steps * 3 / 2 + 1;
            let export = site.send("GET", &path, As::Cookie(&mika), Sent::Nothing).await.ok();
            assert_ne!(export["status"], "failed", "{export}");
            if export["status"] == "ready" {
                break export;
            }
        };
        let zip = fetched(&site, &mika, &export).await;
        assert_eq!(sha256(&zip), export["sha256"].as_str().unwrap());
        let files = unpacked(&zip);
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest["files"].as_array().unwrap().len() + 1, files.len());
        assert_eq!(String::from_utf8(files["data/clips.jsonl"].clone()).unwrap().lines().count(), 4);
    }
}

#[tokio::test]
async fn r20_an_archive_comes_back_whole_on_a_clean_installation_and_twice_changes_nothing() {
    let (lived_in, mut clean) = (sites().await, sites().await);
    // Across the engines, and the places of objects.
    clean.rotate_left(1);
    for (from, to) in lived_in.into_iter().zip(clean) {
        let (mika, _) = live(&from).await;
        let export = exported(&from, &mika, json!({})).await;
        let zip = fetched(&from, &mika, &export).await;
        let before = canonical(&from, from.owner()).await;

        join_social(&to, to.owner()).await;
        let cookie = to.sign_in(to.owner()).await;
        let import = brought(&to, &cookie, &zip).await;
        assert_eq!(import["status"], "done", "{import}");
        let after = canonical(&to, to.owner()).await;
        for (object, lines) in &before {
            match *object {
                // They were of others too, who are not here.
                "follow" | "like" | "block" | "mute" => assert!(after[object].is_empty(), "{object}"),
                // The other installation has one of its own.
                "project" => assert!(after[object].is_superset(lines), "{object}"),
                _ => assert_eq!(&after[object], lines, "{object}"),
            }
        }
        assert!(before["video"].len() == 4 && before["post"].len() == 2 && before["comment"].len() == 1);
        let left: BTreeSet<String> = import["report"]["classes"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|class| class["left_out"].as_array().unwrap())
            .map(|left| left["why"].as_str().unwrap().to_owned())
            .collect();
        assert!(left.contains("not_here") && left.contains("told_only"), "{import}");

        // What came back can be watched and found, as it was: public, with its tag.
        let shown = to.send("GET", "/tags/boat", As::Nobody, Sent::Nothing).await.page();
        assert!(shown.contains("/p/post_"), "{shown}");

        let objects = to.bed.app.objects.list("").await.unwrap().len();
        let again = brought(&to, &cookie, &zip).await;
        assert_eq!((counted(&again, "added"), &canonical(&to, to.owner()).await), (0, &after), "{again}");
        server::housekeeping::tidy(&to.bed.app).await.unwrap();
        server::housekeeping::tidy(&to.bed.app).await.unwrap();
        assert_eq!(to.bed.app.objects.list("").await.unwrap().len(), objects - 1, "but for the archive itself");
    }
}

#[tokio::test]
async fn r20_every_kind_of_clip_comes_back() {
    let (lived_in, mut clean) = (sites().await, sites().await);
    clean.rotate_left(1);
    for (from, to) in lived_in.into_iter().zip(clean) {
        let id = from.video().await;
        from.post(&format!("/v1/videos/{id}/trim"), json!({ "start": 1, "end": 2.5 })).await.ok();
        from.post(&format!("/v1/videos/{id}/remix"), json!({ "prompt": "at dusk" })).await.ok();
        for direction in ["after", "before", "loop"] {
            let more = json!({ "prompt": "more", "seconds": "4", "direction": direction, "video": { "id": id } });
            from.post("/v1/videos/extensions", more).await.ok();
        }
        let shots = json!([{ "prompt": "a boat" }, { "prompt": "it rains", "join": "continue" }]);
        let board = json!({ "storyboard": 1, "title": "Rain", "size": "144x80", "shots": shots });
        from.post("/v1/videos", json!({ "storyboard": board })).await.ok();
        for _ in 0..6 {
            from.work().await;
        }
        let mika = from.sign_in(from.owner()).await;
        let export = exported(&from, &mika, json!({})).await;
        let zip = fetched(&from, &mika, &export).await;
        let cookie = to.sign_in(to.owner()).await;
        brought(&to, &cookie, &zip).await;
        let (before, after) = (canonical(&from, from.owner()).await, canonical(&to, to.owner()).await);
        assert_eq!(before["video"].len(), 7);
        assert_eq!(after["video"], before["video"]);
        let films = after["video"].iter().filter(|clip| clip.contains(r#""title":"Rain""#)).count();
        assert_eq!(films, 1);
    }
}

#[tokio::test]
async fn r20_an_archive_in_another_account_takes_nothing_away_from_its_first() {
    let site = Site::new().await;
    let (mika, _) = live(&site).await;
    let export = exported(&site, &mika, json!({})).await;
    let zip = fetched(&site, &mika, &export).await;
    let before = canonical(&site, site.owner()).await;
    let (lia, _) = site.stranger("lia@example.org").await;
    let cookie = sociable(&site, lia, "lia").await;
    let import = brought(&site, &cookie, &zip).await;
    assert_eq!(import["status"], "done", "{import}");
    assert_eq!(canonical(&site, site.owner()).await, before);
    let theirs = canonical(&site, lia).await;
    assert_eq!((theirs["video"].len(), theirs["post"].len()), (4, 2));
    assert!(theirs["video"].is_disjoint(&before["video"]), "they have ids of their own");
    // Whom mika follows is here, so lia follows them now.
    assert_eq!(theirs["follow"].len(), 1);
    let again = brought(&site, &cookie, &zip).await;
    assert_eq!(counted(&again, "added"), 0, "{again}");
}

#[tokio::test]
async fn r20_whoever_is_killed_while_an_archive_comes_back_leaves_nothing_double() {
    let (from, to) = (Site::new().await, Site::of(Bed::on_postgres(|_| {}).await).await);
    let (mika, _) = live(&from).await;
    let export = exported(&from, &mika, json!({})).await;
    let zip = fetched(&from, &mika, &export).await;
    join_social(&to, to.owner()).await;
    let cookie = to.sign_in(to.owner()).await;
    let form = [("file", Some("mine.zip"), &zip[..])];
    to.send("POST", "/api/imports", As::Cookie(&cookie), Sent::Form(&form)).await.ok();
    let archivist = to.bed.app.archivist();
    for steps in [5, 40, 120] {
        let import = to.bed.app.store.claim_import(Duration::from_secs(120), to.bed.app.now()).await.unwrap().unwrap();
        killed_after(steps, archivist.bring_back(&import)).await;
        to.bed.clock.advance(Duration::from_secs(121));
    }
    work(&archivist).await;
    let (before, after) = (canonical(&from, from.owner()).await, canonical(&to, to.owner()).await);
    for object in ["video", "post", "comment", "folder", "file", "profile", "handle", "hidden_words"] {
        assert_eq!(after[object], before[object], "{object}");
    }
}

#[test]
fn r20_an_archive_comes_back_where_one_thread_does_all_that_blocks() {
    // As on a machine that gives no more threads, or while others use them all.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let all = async {
        let (from, to) = (Site::new().await, Site::new().await);
        let (mika, _) = live(&from).await;
        let export = exported(&from, &mika, json!({})).await;
        let zip = fetched(&from, &mika, &export).await;
        join_social(&to, to.owner()).await;
        let cookie = to.sign_in(to.owner()).await;
        let import = brought(&to, &cookie, &zip).await;
        assert_eq!(import["status"], "done", "{import}");
        assert_eq!(canonical(&to, to.owner()).await["video"].len(), 4);
    };
    // It takes seconds. What waits for itself would take for ever.
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), all).await }).unwrap();
}

#[tokio::test]
async fn r20_whoever_leaves_a_service_while_an_archive_comes_back_gets_nothing_more_into_it() {
    let (from, to) = (Site::new().await, Site::of(Bed::on_postgres(|_| {}).await).await);
    let (mika, _) = live(&from).await;
    let export = exported(&from, &mika, json!({})).await;
    let zip = fetched(&from, &mika, &export).await;
    join_social(&to, to.owner()).await;
    let cookie = to.sign_in(to.owner()).await;
    let (app, owner) = (&to.bed.app, to.owner());
    let archivist = app.archivist();
    let videos = ARCHIVE_CLASSES.iter().flat_map(|class| class.tables).find(|table| table.object == "video").unwrap();
    let leave = async {
        while archivist.lines(owner, videos).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        // The posts are still to come.
        app.store.close_service(owner, Service::Social, app.now(), app.now()).await.unwrap();
        server::closures::finish_due(app).await.unwrap();
    };
    let (import, ()) = tokio::join!(brought(&to, &cookie, &zip), leave);
    assert_eq!(import["status"], "done", "{import}");
    let class = |name: &str| {
        let classes = import["report"]["classes"].as_array().unwrap();
        classes.iter().find(|class| class["class"] == name).unwrap().clone()
    };
    assert_eq!((class("clips")["added"].as_u64(), class("posts")["added"].as_u64()), (Some(4), Some(0)));
    assert_eq!(class("posts")["left_out"][0], json!({ "why": "not_a_member", "count": 2 }));
    let there = canonical(&to, owner).await;
    for object in ["profile", "post", "comment", "handle", "hidden_words"] {
        assert!(there[object].is_empty(), "{object}: {:?}", there[object]);
    }
    assert!(app.objects.list("posts").await.unwrap().is_empty());
}

/// Files of an archive, by path.
pub(crate) type Files<'a> = [(&'a str, &'a [u8])];

/// A ZIP of stored files, with what a careful writer would not write: mode bits, wrong sizes, names of any kind.
pub(crate) fn packed(files: &[(&str, &[u8])], change: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (path, content) in files {
        let offset = zip.len() as u32;
        let mut about = Vec::new();
        for word in [0x0800_u16, 0, 0, 0x21] {
            about.extend(word.to_le_bytes());
        }
        for word in [crc32fast::hash(content), content.len() as u32, content.len() as u32] {
            about.extend(word.to_le_bytes());
        }
        about.extend((path.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(&about);
        zip.extend(path.as_bytes());
        zip.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&about);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
    }
    let start = zip.len();
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend((files.len() as u16).to_le_bytes());
    zip.extend((files.len() as u16).to_le_bytes());
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend((start as u32).to_le_bytes());
    zip.extend([0, 0]);
    change(&mut zip, start);
    zip
}

/// A manifest of these files.
fn manifest(files: &[(&str, &[u8])], version: u32) -> Vec<u8> {
    let listed: Vec<_> = files
        .iter()
        .map(|(path, bytes)| json!({ "path": path, "bytes": bytes.len(), "sha256": sha256(bytes) }))
        .collect();
    let classes = json!([{ "name": "folders", "owner": "video", "files": ["data/folders.jsonl"], "count": 1 }]);
    let person = json!({ "id": format!("user_{}", "0".repeat(32)), "email": "x@example.org" });
    let manifest = json!({ "format": "misora-archive", "version": version, "instance": "https://elsewhere", "person": person,
        "services": ["video"], "created_at": "2026-11-26T00:00:00Z", "since": null, "masters": "", "classes": classes, "files": listed });
    manifest.to_string().into_bytes()
}

const FOLDER_LINE: &str = "{\"object\":\"folder\",\"id\":\"folder_00000000000070008000000000000001\",\"name\":\"Boats\",\"created_at\":\"2026-11-26T07:00:00Z\"}\n";

#[tokio::test]
async fn r20_hostile_archives_are_refused_and_leave_nothing_behind() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let rows: &[(&str, &[u8])] = &[("data/folders.jsonl", FOLDER_LINE.as_bytes())];
    let with = |files: &[(&str, &[u8])], listed: &[(&str, &[u8])]| {
        let manifest = manifest(listed, 1);
        let all: Vec<(&str, &[u8])> =
            [("manifest.json", &manifest[..])].into_iter().chain(files.iter().copied()).collect();
        packed(&all, |_, _| {})
    };
    let same = |_: &mut Vec<u8>, _: usize| {};
    let good = with(rows, rows);
    let bad_row = FOLDER_LINE.replace("Boats", "");
    let bad_row: &[(&str, &[u8])] = &[("data/folders.jsonl", bad_row.as_bytes())];
    let wrong: &[(&str, &[u8])] = &[("data/folders.jsonl", FOLDER_LINE.as_bytes()), ("media/a.mp4", b"xx")];
    let right: &[(&str, &[u8])] = &[("data/folders.jsonl", FOLDER_LINE.as_bytes()), ("media/a.mp4", b"yy")];
    let deep = format!("{{\"object\":{}1{}}}\n", "[".repeat(50_000), "]".repeat(50_000));
    let deep: &[(&str, &[u8])] = &[("data/folders.jsonl", deep.as_bytes())];
    let second = manifest(rows, 2);
    let elsewhere: &[(&str, &[u8])] = &[("data/folders.jsonl", FOLDER_LINE.as_bytes()), ("media/../../x", b"x")];
    let unknown: &[(&str, &[u8])] = &[("data/folders.jsonl", FOLDER_LINE.as_bytes()), ("more/x", b"x")];
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no ZIP", b"hello".to_vec(), "no ZIP"),
        ("cut", good[..good.len() / 2].to_vec(), "no ZIP"),
        ("nothing in it", packed(&[], same), "no video"),
        ("a path that leads elsewhere", with(elsewhere, elsewhere), "leads elsewhere"),
        ("an absolute path", packed(&[("/etc/passwd", b"x")], same), "leads elsewhere"),
        ("a backslash", packed(&[("a\\b", b"x")], same), "leads elsewhere"),
        ("the same name twice", packed(&[("a.mp4", b"x"), ("A.mp4", b"y")], same), "twice"),
        ("a link", packed(&[("a.mp4", b"/etc/passwd")], |zip, at| zip[at + 41] = 0xa0), "a link"),
        ("encrypted", packed(&[("a.mp4", b"x")], |zip, at| zip[at + 8] |= 1), "encrypted"),
        (
            "too many files",
            packed(&[("a.mp4", b"x")], |zip, _| {
                let at = zip.len() - 12;
                zip[at..at + 2].copy_from_slice(&60_000_u16.to_le_bytes());
            }),
            "ZIP file is damaged",
        ),
        ("a size that lies", packed(&[("a.mp4", b"x")], |zip, at| zip[at + 24] = 200), "two sizes"),
        ("a wrong hash", with(wrong, right), "is not the file"),
        ("a file that is not listed", with(unknown, rows), "not the same"),
        ("a file that nobody knows", with(unknown, unknown), "nobody knows"),
        ("a file that is listed and missing", with(&[], rows), "not the same"),
        ("a row that no table may hold", with(bad_row, bad_row), "\"name\""),
        ("deep JSON", with(deep, deep), "no JSON object"),
        ("another version", packed(&[("manifest.json", &second[..]), rows[0]], same), "version 2"),
        (
            "bytes that changed",
            {
                let mut zip = good.clone();
                let at = zip.windows(5).position(|window| window == b"Boats").unwrap();
                zip[at] = b'C';
                zip
            },
            "damaged",
        ),
    ];
    let objects = site.bed.app.objects.list("").await.unwrap();
    let before = canonical(&site, site.owner()).await;
    for (name, zip, words) in cases {
        let import = brought(&site, &cookie, &zip).await;
        assert_eq!(import["status"], "refused", "{name}: {import}");
        assert!(import["error"].as_str().unwrap().contains(words), "{name}: {import}");
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert_eq!(site.bed.app.objects.list("").await.unwrap(), objects, "{name}");
        assert_eq!(canonical(&site, site.owner()).await, before, "{name}");
    }
    // The good one is taken.
    let import = brought(&site, &cookie, &good).await;
    assert_eq!((&import["status"], counted(&import, "added")), (&json!("done"), 1), "{import}");
}

#[tokio::test]
async fn r20_what_is_too_large_to_be_sent_leaves_nothing_behind() {
    let site = Site::with(|settings| settings.max_body_bytes = 100_000).await;
    let cookie = site.sign_in(site.owner()).await;
    let large = vec![7; 150_000];
    let form = [("file", Some("mine.zip"), &large[..])];
    let refused = site.send("POST", "/api/imports", As::Cookie(&cookie), Sent::Form(&form)).await;
    assert_eq!(refused.status, 413);
    assert!(site.bed.app.store.imports(site.owner()).await.unwrap().is_empty());
    server::housekeeping::tidy(&site.bed.app).await.unwrap();
    assert!(site.bed.app.objects.list("imports").await.unwrap().is_empty());
    let nothing = site.send("POST", "/api/imports", As::Cookie(&cookie), Sent::Form(&[])).await;
    assert_eq!(nothing.error().2, "file");
}

#[tokio::test]
async fn r20_a_forged_archive_brings_no_mans_words_and_no_clip_without_credentials() {
    let site = Site::new().await;
    let (mika, _) = live(&site).await;
    let export = exported(&site, &mika, json!({})).await;
    let mut files = unpacked(&fetched(&site, &mika, &export).await);
    // Someone puts an unsigned video in place of a signed one, and says that they are another.
    let (path, clips) = {
        let clips = String::from_utf8(files["data/clips.jsonl"].clone()).unwrap();
        let line: Value = clips
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|clip| clip["status"] == "completed" && clip["trashed_at"].is_null())
            .unwrap();
        (line["content"].as_str().unwrap().to_owned(), clips)
    };
    files.insert(path, CLIP.to_vec());
    // And a post that was published a lifetime from now, to stand before all others.
    let posts = String::from_utf8(files["data/posts.jsonl"].clone()).unwrap();
    let posts: String = posts
        .lines()
        .map(|line| {
            let mut post: Value = serde_json::from_str(line).unwrap();
            if post["visibility"] == "public" {
                post["published_at"] = "2099-01-01T00:00:00Z".into();
            }
            format!("{post}\n")
        })
        .collect();
    files.insert("data/posts.jsonl".into(), posts.into_bytes());
    files.insert("data/clips.jsonl".into(), clips.into_bytes());
    let mut manifest: Value = serde_json::from_slice(&files.remove("manifest.json").unwrap()).unwrap();
    manifest["files"] = files
        .iter()
        .map(|(path, bytes)| json!({ "path": path, "bytes": bytes.len(), "sha256": sha256(bytes) }))
        .collect();
    let manifest = manifest.to_string().into_bytes();
    let all: Vec<(&str, &[u8])> = [("manifest.json", &manifest[..])]
        .into_iter()
        .chain(files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])))
        .collect();

    let to = Site::new().await;
    join_social(&to, to.owner()).await;
    let cookie = to.sign_in(to.owner()).await;
    let import = brought(&to, &cookie, &packed(&all, |_, _| {})).await;
    assert_eq!(import["status"], "done", "{import}");
    let archivist = to.bed.app.archivist();
    let table = |object: &str| {
        ARCHIVE_CLASSES.iter().flat_map(|class| class.tables).find(|table| table.object == object).unwrap()
    };
    for object in ["message", "conversation", "notice"] {
        assert!(archivist.lines(to.owner(), table(object)).await.unwrap().is_empty(), "{object}");
    }
    assert_eq!(canonical(&to, to.owner()).await["post"].len(), 1);
    // The project came back too, and keys of it are made anew.
    let own = to.new_key(site.bed.project, Scopes::ALL, |_| {}).await;
    let listed = to.send("GET", "/v1/videos", As::Key(&own), Sent::Nothing).await.ok();
    let mut imported = 0;
    for video in listed["data"].as_array().unwrap().iter().filter(|video| video["status"] == "completed") {
        let path = format!("/v1/videos/{}/content", video["id"].as_str().unwrap());
        let content = to.send("GET", &path, As::Key(&own), Sent::Nothing).await;
        let report = verify(&content.body, &TrustedRoots::installation(&key()));
        assert_eq!(report.state, State::Untouched, "{report:#?}");
        imported += usize::from(report.action == Some(Action::Imported));
    }
    assert_eq!(imported, 1, "it says that it was brought");
}

#[tokio::test]
async fn r20_what_people_hold_of_other_places_comes_in_private_and_signed() {
    let sidecar = br#"{"gen_id":"gen_01khny1fas","prompt":"a red boat","created_at":"2026-02-17T13:54:47Z","seed":7}"#;
    let outbox = json!({ "orderedItems": [{ "type": "Create", "object": {
        "id": "https://m/1", "url": "https://m/@a/1", "content": "<p>a red <b>boat</b></p>", "published": "2026-02-17T13:54:47Z",
        "attachment": [{ "mediaType": "video/mp4", "url": "/media_attachments/files/1/original/a.mp4" }] } }] })
    .to_string();
    let videos = json!({ "videos": [{ "uuid": "0b9a", "name": "boat", "description": "a red boat", "publishedAt": "2026-02-17T13:54:47Z",
        "archiveFiles": { "videoFile": "../files/videos/video-files/0b9a.mp4" } }] })
    .to_string();
    let sora =
        json!({ "generations": [{ "id": "gen_01khny1fas", "prompt": "a red boat", "created_at": 1_771_336_487 }] })
            .to_string();
    let of_loops = json!([{ "id": "79155014135844864", "caption": "a red boat", "url": "https://loops.video/v/5qWuPZ", "file_size": 9, "likes": 1,
        "comments": 0, "media": "https://cdn/videos/79/x9.720p.mp4", "created_at": "February 17, 2026, 1:54 pm" }]);
    let complete =
        json!({ "user_profile": {}, "videos": { "videos": of_loops }, "interactions": {}, "export_metadata": {
        "exported_at": "March 1, 2026, 9:00 am", "export_version": "1.0", "platform": "Loops" } })
        .to_string();
    let videos_alone = json!({ "videos": of_loops }).to_string();
    let cases: [(&str, &Files<'_>); 8] = [
        (
            "folder",
            &[
                ("sora-export/generations/gen_01khny1fas/video.mp4", CLIP),
                ("sora-export/generations/gen_01khny1fas/metadata.json", sidecar),
            ],
        ),
        (
            "folder",
            &[
                ("sora_v2_drafts/2026-02-17_a_red_boat_gen_01khny1fas.mp4", CLIP),
                ("sora_v2_drafts/2026-02-17_a_red_boat_gen_01khny1fas.txt", b"a red boat"),
            ],
        ),
        ("folder", &[("mine.mp4", CLIP), ("mine.json", sidecar)]),
        (
            "chatgpt",
            &[("conversations.json", b"[]"), ("sora.json", sora.as_bytes()), ("sora/gen_01khny1fas.mp4", CLIP)],
        ),
        ("mastodon", &[("outbox.json", outbox.as_bytes()), ("media_attachments/files/1/original/a.mp4", CLIP)]),
        ("loops", &[("data.json", complete.as_bytes()), ("videos/79155014135844864_x9.720p.mp4", CLIP)]),
        ("loops", &[("data.json", videos_alone.as_bytes()), ("videos/79155014135844864_x9.720p.mp4", CLIP)]),
        ("peertube", &[("peertube/videos.json", videos.as_bytes()), ("files/videos/video-files/0b9a.mp4", CLIP)]),
    ];
    for (format, files) in cases {
        let site = Site::new().await;
        let cookie = site.sign_in(site.owner()).await;
        let zip = packed(files, |_, _| {});
        let import = brought(&site, &cookie, &zip).await;
        assert_eq!((&import["status"], &import["report"]["format"]), (&json!("done"), &json!(format)), "{import}");
        assert_eq!(counted(&import, "added"), 1, "{format}: {import}");
        let listed = site.get("/v1/videos").await.ok();
        let video = &listed["data"][0];
        assert_eq!(
            (&video["model"], &video["prompt"]),
            (&json!("imported"), &json!("a red boat")),
            "{format}: {video}"
        );
        assert_eq!(
            video["created_at"].as_i64().unwrap().div_euclid(86_400),
            1_771_336_487_i64.div_euclid(86_400),
            "{format}"
        );
        let id = video["id"].as_str().unwrap();
        let content = site.get(&format!("/v1/videos/{id}/content")).await;
        let report = verify(&content.body, &TrustedRoots::installation(&key()));
        assert_eq!((report.state, report.action, report.generated), (State::Untouched, Some(Action::Imported), false));
        assert_eq!(site.get(&format!("/v1/videos/{id}/content?variant=thumbnail")).await.status, 200);
        let again = brought(&site, &cookie, &zip).await;
        assert_eq!((counted(&again, "added"), counted(&again, "there")), (0, 1), "{format}: {again}");
    }
}

#[tokio::test]
async fn r21_a_library_is_rebuilt_from_its_destination_when_the_installation_is_gone() {
    for site in sites().await {
        let (_, _) = live(&site).await;
        let (now, folder) = (site.bed.app.now(), tempfile::tempdir().unwrap());
        let destination = Destination {
            id: DestinationId::new(now, [7; 8]),
            identity: site.owner(),
            kind: FOLDER.into(),
            place: folder.path().join("archives").to_str().unwrap().into(),
            secret: None,
            services: OWNERS.map(str::to_owned).into(),
            every_days: 1,
            next_at: now,
            last_at: None,
            error: None,
            created_at: now,
        };
        site.bed.app.store.create_destination(&destination).await.unwrap();
        let archivist = site.bed.app.archivist();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(&destination.place)
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default();
            names.sort();
            names
        };
        let wait = async |archives: usize| {
            for _ in 0..10 {
                work(&archivist).await;
                if names().len() == archives {
                    return;
                }
                site.bed.clock.advance(Duration::from_secs(10));
            }
            panic!("{:?}: {:?}", names(), site.bed.app.store.destinations(site.owner()).await.unwrap());
        };
        wait(1).await;
        // A day later, one clip more: it alone is in the second archive.
        let new = site.video().await;
        site.bed.clock.advance(Duration::from_secs(86_400));
        wait(2).await;
        let second = unpacked(&std::fs::read(&names()[1]).unwrap());
        let videos = |files: &BTreeMap<String, Vec<u8>>| files.keys().filter(|path| path.ends_with(".mp4")).count();
        assert_eq!(videos(&second), 1);
        assert!(String::from_utf8(second["data/clips.jsonl"].clone()).unwrap().contains(&new));
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert!(site.bed.app.objects.list("exports").await.unwrap().is_empty());

        // The installation vanishes; the folder is all there is.
        let before = canonical(&site, site.owner()).await;
        drop(site);
        let to = Site::new().await;
        join_social(&to, to.owner()).await;
        let report =
            to.bed.app.archivist().bring_back_from(to.owner(), folder.path().join("archives").as_path()).await.unwrap();
        assert!(report.added() > 0);
        let after = canonical(&to, to.owner()).await;
        for object in ["video", "post", "comment", "folder", "file", "profile", "handle", "hidden_words"] {
            assert_eq!(after[object], before[object], "{object}");
        }
    }
}

#[tokio::test]
async fn r21_a_person_names_a_bucket_of_their_own_and_none_inside_the_network() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let body = |bucket: &str, endpoint: &str| {
        json!({ "bucket": bucket, "prefix": "misora/", "endpoint": endpoint, "access_key_id": "AKIA", "secret_access_key": "swordfish",
            "every_days": 7 })
    };
    let ask = async |body: Value| site.send("POST", "/api/destinations", As::Cookie(&cookie), Sent::Json(body)).await;
    for endpoint in
        ["http://s3.example.org", "https://127.0.0.1:9000", "https://localhost", "https://10.0.0.1", "nowhere"]
    {
        assert_eq!(ask(body("mine", endpoint)).await.error().2, "endpoint", "{endpoint}");
    }
    assert_eq!(ask(body("../mine", "https://s3.example.org")).await.error().2, "bucket");
    let set = ask(body("mine", "https://s3.example.org/")).await.ok();
    assert_eq!((&set["place"], &set["every_days"]), (&json!("mine/misora"), &json!(7)));
    let listed = site.send("GET", "/api/destinations", As::Cookie(&cookie), Sent::Nothing).await;
    assert!(!String::from_utf8(listed.body).unwrap().contains("swordfish"));
    let page = site.send("GET", "/account/export", As::Cookie(&cookie), Sent::Nothing).await.page();
    assert!(page.contains("mine/misora") && !page.contains("swordfish"), "{page}");
    // Whoever holds only the cookie of an old sign-in sends nothing anywhere.
    site.bed.clock.advance(Duration::from_secs(700));
    assert_eq!(ask(body("theirs", "https://s3.example.org")).await.error().1, "reauth_required");
    let path = format!("/account/destination/{}/delete", set["id"].as_str().unwrap());
    post(&site, &cookie, &path, &[]).await;
    assert!(site.bed.app.store.destinations(site.owner()).await.unwrap().is_empty());
}

/// The most memory that this process has had, in megabytes.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
}

/// An installation in a folder: rows in SQLite, objects as files.
async fn installation(folder: &std::path::Path) -> (Archivist, Store, Objects, IdentityId, ProjectId) {
    let now = Timestamp::from_seconds(1_790_000_000);
    let store = Store::open(&format!("sqlite:{}", folder.join("misora.sqlite").display())).await.unwrap();
    let store = store.sealed_with(store::Sealer::new([1; 32]));
    store.migrate().await.unwrap();
    store.set_tier(&Tier { name: "default".into(), quotas: Quotas::DEFAULT, metered: false }).await.unwrap();
    let owner = IdentityId::new(now, entropy());
    store.create_identity(owner, "mika@example.org", now).await.unwrap();
    store.change_membership(owner, Service::Api, MembershipEvent::Join, now).await.unwrap();
    let id = ProjectId::new(now, entropy());
    let (name, tier) = ("clips".into(), "default".into());
    store.create_project(&Project { id, owner, name, tier, created_at: now, archived_at: None }).await.unwrap();
    let objects =
        Objects::open(&ObjectsPlace::Folder(folder.join("objects"))).unwrap().sealed_with(store::Sealer::new([1; 32]));
    let parts = ArchivistParts {
        instance: "http://misora.test".into(),
        tier: "default".into(),
        visible_mark: true,
        key: key(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        outbound: Arc::new(HttpOutbound::new(false).unwrap()),
        moderation: None,
    };
    (Archivist::new(store.clone(), objects.clone(), parts), store, objects, owner, id)
}

/// Puts files of noise into a project, 5 MB each.
async fn fill(
    store: &Store,
    objects: &Objects,
    owner: IdentityId,
    project: ProjectId,
    megabytes: usize,
    now: Timestamp,
) {
    let mut noise = 7_u64;
    for _ in 0..megabytes / 5 {
        let bytes: Vec<u8> = (0..5_000_000 / 8)
            .flat_map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                noise.to_le_bytes()
            })
            .collect();
        let id = FileId::new(now, entropy());
        let subject = Subject { identity: owner, service: Service::Api, since: now };
        let row = File {
            id,
            project,
            filename: "noise.bin".into(),
            purpose: "user_data".into(),
            media_type: "application/octet-stream".into(),
            size_bytes: bytes.len() as u64,
            key: objects.put_upload(subject, &id, bytes.into()).await.unwrap(),
            created_at: now,
            expires_at: None,
        };
        store.create_file(&row).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures: 5 GB out and in, in minutes; MISORA_ARCHIVE_MB says how much, TMPDIR where"]
async fn a_large_library_leaves_and_arrives() {
    let megabytes: usize = std::env::var("MISORA_ARCHIVE_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(5000);
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, store, objects, owner, project) = installation(old.path()).await;
    fill(&store, &objects, owner, project, megabytes, Timestamp::from_seconds(1_790_000_000)).await;
    let table = ARCHIVE_CLASSES.iter().flat_map(|class| class.tables).find(|table| table.object == "file").unwrap();
    println!("before: at most {} MB", peak_megabytes());
    let began = std::time::Instant::now();
    let zip = old.path().join("mika.zip");
    let export = from.export_into(owner, &OWNERS, None, &zip).await.unwrap();
    let out = began.elapsed();
    println!("out: {} bytes in {out:?}, at most {} MB", export.size_bytes.unwrap(), peak_megabytes());
    let (to, _, _, other, _) = installation(new.path()).await;
    let began = std::time::Instant::now();
    let report = to.bring_back_from(other, &zip).await.unwrap();
    println!("in: {} rows in {:?}, at most {} MB", report.added(), began.elapsed(), peak_megabytes());
    assert_eq!(to.lines(other, table).await.unwrap(), from.lines(owner, table).await.unwrap());
}
