//! A standing export into a folder of a WebDAV server, which is another's code on loopback.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use dav_server::DavHandler;
use dav_server::fakels::FakeLs;
use dav_server::memfs::MemFs;
use platform::DestinationId;
use serde_json::{Value, json};
use server::archive::{self, OWNERS, WEBDAV, WebDavLogin, WebDavSecret};
use store::Destination;
use tokio::net::TcpListener;

use super::archives::{canonical, join_social, live};
use super::site::{As, Sent, Site};
use crate::loops::bed::Bed;

/// A cloud of one's own: what it was asked, whom it lets write, and how many moves it refuses first.
#[derive(Clone)]
struct Cloud {
    dav: DavHandler,
    authorization: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
    refusals: Arc<Mutex<u32>>,
    address: String,
}

impl Cloud {
    async fn open(authorization: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = Self {
            dav: DavHandler::builder().filesystem(MemFs::new()).locksystem(FakeLs::new()).build_handler(),
            authorization,
            asked: Arc::default(),
            refusals: Arc::new(Mutex::new(1)),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let router = axum::Router::new().fallback(answer).with_state(cloud.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cloud
    }

    /// What was asked since the last time, without the names that archives have.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Whether this move is one of those that it refuses.
    fn refuses(&self) -> bool {
        let mut refusals = self.refusals.lock().unwrap();
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        refused
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
        let answer = self.dav.handle(request).await;
        assert_eq!(answer.status(), 200, "{path}");
        axum::body::to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap().into()
    }
}

async fn answer(State(cloud): State<Cloud>, headers: HeaderMap, request: Request) -> Response {
    if headers.get("authorization").is_none_or(|said| said != cloud.authorization) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let asked = format!("{} {}", request.method(), request.uri().path());
    cloud.asked.lock().unwrap().push(asked);
    if request.method().as_str() == "MOVE" && cloud.refuses() {
        return StatusCode::INSUFFICIENT_STORAGE.into_response();
    }
    cloud.dav.handle(request).await.map(Body::new)
}

fn destination(site: &Site, cloud: &Cloud, login: WebDavLogin) -> Destination {
    let now = site.bed.app.now();
    Destination {
        id: DestinationId::new(now, [8; 8]),
        identity: site.owner(),
        kind: WEBDAV.into(),
        place: format!("{}/mika/misora/", cloud.address),
        secret: Some(serde_json::to_string(&WebDavSecret { login, by_operator: true }).unwrap()),
        services: OWNERS.map(str::to_owned).into(),
        every_days: 1,
        next_at: now,
        last_at: None,
        error: None,
        created_at: now,
    }
}

/// Lets time go on until so many archives were moved to where they belong; their paths.
async fn archives(site: &Site, cloud: &Cloud, until: usize) -> Vec<String> {
    let archivist = site.bed.app.archivist();
    let mut moved = Vec::new();
    for _ in 0..12 {
        while archive::work(&archivist).await.unwrap() {}
        let asked = cloud.asked();
        let deleted = asked.iter().any(|line| line.starts_with("DELETE "));
        let ended = asked.iter().filter_map(|line| line.strip_prefix("MOVE ")?.strip_suffix(".unfinished"));
        // What was refused is taken away, and comes an hour later.
        moved.extend(ended.filter(|_| !deleted).map(str::to_owned));
        if moved.len() == until {
            return moved;
        }
        let waiting = &site.bed.app.store.destinations(site.owner()).await.unwrap()[0];
        let pause = if waiting.error.is_some() { 3600 } else { 10 };
        site.bed.clock.advance(Duration::from_secs(pause));
    }
    panic!("{moved:?}: {:?}", site.bed.app.store.destinations(site.owner()).await.unwrap());
}

#[tokio::test]
async fn r21_a_library_is_rebuilt_from_a_webdav_folder_when_the_installation_is_gone() {
    let basic = WebDavLogin::Basic { user: "mika".into(), password: "swordfish".into() };
    let bearer = WebDavLogin::Bearer { token: "t0ken".into() };
    for (site, login, authorization) in [
        (Site::new().await, basic, "Basic bWlrYTpzd29yZGZpc2g="),
        (Site::of(Bed::on_postgres(|_| {}).await).await, bearer, "Bearer t0ken"),
    ] {
        live(&site).await;
        let cloud = Cloud::open(authorization).await;
        site.bed.app.store.create_destination(&destination(&site, &cloud, login)).await.unwrap();
        let mut paths = archives(&site, &cloud, 1).await;
        // A day later, one clip more. The folder is there by now.
        site.video().await;
        site.bed.clock.advance(Duration::from_secs(86_400));
        paths.extend(archives(&site, &cloud, 1).await);

        // The installation vanishes; the cloud is all there is.
        let before = canonical(&site, site.owner()).await;
        drop(site);
        let folder = tempfile::tempdir().unwrap();
        let mut sizes = Vec::new();
        for path in &paths {
            let bytes = cloud.get(path).await;
            sizes.push(bytes.len());
            std::fs::write(folder.path().join(Path::new(path).file_name().unwrap()), bytes).unwrap();
        }
        // The second has only what is new.
        assert!(sizes[1] < sizes[0], "{sizes:?}");
        let to = Site::new().await;
        join_social(&to, to.owner()).await;
        assert!(to.bed.app.archivist().bring_back_from(to.owner(), folder.path()).await.unwrap().added() > 0);
        let after = canonical(&to, to.owner()).await;
        for object in ["video", "post", "comment", "folder", "file", "profile", "handle", "hidden_words"] {
            assert_eq!(after[object], before[object], "{object}");
        }
    }
}

#[tokio::test]
async fn r21_a_wrong_password_is_told_and_writes_nothing() {
    let (site, cloud) = (Site::new().await, Cloud::open("Basic bWlrYTpzd29yZGZpc2g=").await);
    let wrong = WebDavLogin::Basic { user: "mika".into(), password: "starfish".into() };
    site.bed.app.store.create_destination(&destination(&site, &cloud, wrong)).await.unwrap();
    for _ in 0..4 {
        while archive::work(&site.bed.app.archivist()).await.unwrap() {}
        site.bed.clock.advance(Duration::from_secs(10));
    }
    let kept = &site.bed.app.store.destinations(site.owner()).await.unwrap()[0];
    assert_eq!(kept.error.as_deref(), Some("The destination did not take the archive."));
    assert!(cloud.asked().is_empty());
}

#[tokio::test]
async fn r21_a_person_names_a_webdav_folder_of_their_own_and_none_inside_the_network() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let ask = async |body: Value| site.send("POST", "/api/destinations", As::Cookie(&cookie), Sent::Json(body)).await;
    let body = |url: &str| json!({ "kind": "webdav", "url": url, "user": "mika", "password": "swordfish" });
    for url in [
        "http://cloud.example.org",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://a:b@cloud.example.org",
        "cloud",
    ] {
        assert_eq!(ask(body(url)).await.error().2, "url", "{url}");
    }
    let cloud = "https://cloud.example.org/dav";
    assert_eq!(ask(json!({ "kind": "webdav", "url": cloud })).await.error().2, "user");
    assert_eq!(ask(json!({ "kind": "webdav", "url": cloud, "user": "mika" })).await.error().2, "password");
    assert_eq!(ask(json!({ "kind": "ftp", "url": cloud })).await.error().2, "kind");
    assert_eq!(ask(json!({ "kind": "webdav", "url": cloud, "token": "t", "user": "mika" })).await.error().2, "token");
    let set = ask(body(cloud)).await.ok();
    assert_eq!((&set["kind"], &set["place"]), (&json!("webdav"), &json!("https://cloud.example.org/dav/")));
    let fields =
        [("kind", "webdav"), ("url", "https://other.example.org"), ("user", "mika"), ("password", "swordfish")];
    let sent = site.send("POST", "/account/destination", As::Cookie(&cookie), Sent::Fields(&fields)).await;
    assert_eq!(sent.goes_to(), "/account/export?notice=sent");
    let page = site.send("GET", "/account/export", As::Cookie(&cookie), Sent::Nothing).await.page();
    for shown in [cloud, "https://other.example.org/"] {
        assert!(page.contains(shown) && !page.contains("swordfish"), "{page}");
    }
}
