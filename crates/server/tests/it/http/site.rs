//! A server without a listener, its people and their keys, and what a client needs to speak to it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, header};
use bytes::Bytes;
use platform::{
    ApiKey, ApiKeyId, ApiKeySecret, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord,
    DecisionScope, IdentityId, MembershipEvent, ProjectId, Role, Scopes, Service, SessionId, SignUpMode, Timestamp,
    Token, TokenKind,
};
use serde_json::Value;
use store::{Project, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::loops::bed::{Bed, entropy, test_card};

pub(crate) struct Site {
    pub(crate) bed: Bed,
    router: Router,
    /// A key for everything, of the bed's project.
    pub(crate) key: String,
}

/// A decision about someone that carries nothing out: a comment of theirs is taken away by a moderator.
pub(crate) fn decided(site: &Site, subject: IdentityId, author: IdentityId, ground: &str) -> DecisionRecord {
    let now = site.bed.app.now();
    DecisionRecord {
        id: DecisionId::new(now, entropy()),
        subject,
        scope: DecisionScope::Item,
        service: Some(Service::Video),
        effect: DecisionEffect::Remove,
        item: DecidedItem::unnamed(DecidedKind::Comment),
        ground: ground.into(),
        rule: DecidedRule::of_house(ground),
        facts: String::new(),
        evidence: String::new(),
        unlawful: false,
        automated_detection: false,
        author: Some(author),
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: None,
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum As<'a> {
    Nobody,
    Key(&'a str),
    Cookie(&'a str),
}

/// What is sent.
pub(crate) enum Sent<'a> {
    Nothing,
    Json(Value),
    /// A plain form of a page.
    Fields(&'a [(&'a str, &'a str)]),
    /// Name, file name, content.
    Form(&'a [(&'a str, Option<&'a str>, &'a [u8])]),
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// The answer's JSON, if it was a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Status, code and param of an error.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let word = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
        assert!(error["message"].as_str().is_some_and(|words| !words.is_empty()), "{error}");
        (self.status, word("code"), word("param"))
    }

    /// The page, if it was one.
    pub(crate) fn page(&self) -> String {
        let text = String::from_utf8(self.body.clone()).unwrap();
        assert!(self.header("content-type").starts_with("text/html"), "{}: {text}", self.status);
        text
    }

    /// Where a form leads.
    pub(crate) fn goes_to(&self) -> String {
        assert_eq!(self.status, 303, "{}", String::from_utf8_lossy(&self.body));
        self.header("location").to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::of(Bed::new().await).await
    }

    /// A site that others can join so.
    pub(crate) async fn with_sign_up(mode: SignUpMode) -> Self {
        Self::with(|settings| settings.sign_up = mode).await
    }

    pub(crate) async fn of(bed: Bed) -> Self {
        let now = bed.app.now();
        bed.app.store.change_membership(bed.member.identity(), Service::Api, MembershipEvent::Join, now).await.unwrap();
        let router = server::router(bed.app.clone());
        let mut site = Self { bed, router, key: String::new() };
        site.key = site.new_key(site.bed.project, Scopes::ALL, |_| {}).await;
        site
    }

    pub(crate) fn owner(&self) -> IdentityId {
        self.bed.member.identity()
    }

    /// A key of a project, changed before it is kept.
    pub(crate) async fn new_key(&self, project: ProjectId, scopes: Scopes, change: impl FnOnce(&mut ApiKey)) -> String {
        let now = self.bed.app.now();
        let secret = ApiKeySecret::new(ApiKeyId::new(now, entropy()), self.bed.app.random());
        let mut key = ApiKey {
            id: secret.id(),
            project,
            name: "tests".into(),
            hash: secret.hash(),
            scopes,
            allowed_ips: Vec::new(),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            last_used_from: None,
        };
        change(&mut key);
        self.bed.app.store.create_api_key(&key).await.unwrap();
        secret.reveal()
    }

    /// A site whose owner decided something else.
    pub(crate) async fn with(decide: impl FnOnce(&mut server::Settings)) -> Self {
        Self::of(Bed::with(decide).await).await
    }

    /// Another person with a project and a key for everything.
    pub(crate) async fn stranger(&self, email: &str) -> (IdentityId, String) {
        let (id, _, key) = self.member_of(email, &[Service::Video, Service::Api]).await;
        (id, key)
    }

    /// Another person who joined these services, with a project and a key for everything.
    pub(crate) async fn member_of(&self, email: &str, services: &[Service]) -> (IdentityId, ProjectId, String) {
        let (app, now) = (&self.bed.app, self.bed.app.now());
        let id = IdentityId::new(now, entropy());
        app.store.create_identity(id, email, now).await.unwrap();
        for service in services {
            app.store.change_membership(id, *service, MembershipEvent::Join, now).await.unwrap();
        }
        let project = ProjectId::new(now, entropy());
        let (name, tier) = ("theirs".into(), "default".into());
        let row = Project { id: project, owner: id, name, tier, created_at: now, archived_at: None };
        app.store.create_project(&row).await.unwrap();
        (id, project, self.new_key(project, Scopes::ALL, |_| {}).await)
    }

    /// Someone with a role in a service, signed in; the cookie.
    pub(crate) async fn with_role(&self, email: &str, service: Service, role: Role) -> String {
        let (id, _) = self.stranger(email).await;
        if !matches!(service, Service::Video | Service::Api) {
            let join = MembershipEvent::Join;
            self.bed.app.store.change_membership(id, service, join, self.bed.app.now()).await.unwrap();
        }
        self.bed.app.store.set_role(id, service, role).await.unwrap();
        self.sign_in(id).await
    }

    /// A session of someone; the cookie.
    pub(crate) async fn sign_in(&self, identity: IdentityId) -> String {
        let (app, now) = (&self.bed.app, self.bed.app.now());
        let token = Token::new(TokenKind::Session, app.random());
        let session = Session {
            id: SessionId::new(now, entropy()),
            identity,
            label: "a test".into(),
            created_at: now,
            authenticated_at: now,
            last_seen_at: now,
            expires_at: now + std::time::Duration::from_secs(86_400),
        };
        app.store.create_session(token.hash(), &session).await.unwrap();
        format!("misora_session={}", token.reveal())
    }

    pub(crate) async fn send(&self, method: &str, path: &str, who: As<'_>, sent: Sent<'_>) -> Answer {
        self.send_with(method, path, who, sent, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        who: As<'_>,
        sent: Sent<'_>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = match who {
            As::Nobody => request,
            As::Key(key) => request.header(header::AUTHORIZATION, format!("Bearer {key}")),
            As::Cookie(cookie) => request.header(header::COOKIE, cookie),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (kind, body) = match sent {
            Sent::Nothing => (None, Vec::new()),
            Sent::Json(json) => (Some("application/json".to_owned()), json.to_string().into_bytes()),
            Sent::Fields(fields) => {
                let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                (Some("application/x-www-form-urlencoded".to_owned()), body.into_bytes())
            }
            Sent::Form(parts) => (Some("multipart/form-data; boundary=cut".to_owned()), form(parts)),
        };
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        self.answer(request.body(Body::from(body)).unwrap()).await
    }

    /// Reads a path from an address.
    pub(crate) async fn send_from(
        &self,
        path: &str,
        from: Option<ConnectInfo<SocketAddr>>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        if let Some(from) = from {
            request.extensions_mut().insert(from);
        }
        self.answer(request).await
    }

    /// A form for a path, with the key of the site.
    pub(crate) fn form(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Request<Body> {
        self.form_of(path, Body::from(form(parts)))
    }

    /// A form whose body comes in pieces.
    pub(crate) fn slow_form(&self, path: &str) -> (mpsc::Sender<Bytes>, Request<Body>) {
        let (sender, receiver) = mpsc::channel(1);
        let pieces = futures_util::stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|piece| (Ok::<_, std::convert::Infallible>(piece), receiver))
        });
        (sender, self.form_of(path, Body::from_stream(pieces)))
    }

    fn form_of(&self, path: &str, body: Body) -> Request<Body> {
        Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=cut")
            .body(body)
            .unwrap()
    }

    /// What the server says to a request.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let endless = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = if endless { Vec::new() } else { axum::body::to_bytes(body, usize::MAX).await.unwrap().into() };
        assert!(parts.headers.contains_key("x-request-id"), "{asked}");
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, As::Key(&self.key), Sent::Nothing).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, As::Key(&self.key), Sent::Json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, As::Key(&self.key), Sent::Nothing).await
    }

    /// Does one job.
    pub(crate) async fn work(&self) {
        self.bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap().unwrap();
    }

    /// A video that is made; its id.
    pub(crate) async fn video(&self) -> String {
        let made = self.post("/v1/videos", small("a red boat")).await.ok();
        self.work().await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// The letters that were sent, after those that wait.
    pub(crate) async fn letters(&self) -> Vec<String> {
        server::statements::post_due(&self.bed.app).await.unwrap();
        while server::letters::deliver_due(&self.bed.app).await.unwrap() > 0 {}
        let mut paths: Vec<_> = std::fs::read_dir(self.bed.folder.path().join("outbox"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// A receipt of an `assistant` service that someone joined and ended; its id. They are out of it then.
    pub(crate) async fn receipt(&self, identity: IdentityId) -> String {
        let (app, now) = (&self.bed.app, self.bed.app.now());
        app.store.change_membership(identity, Service::Assistant, MembershipEvent::Join, now).await.unwrap();
        app.store.close_service(identity, Service::Assistant, now, now).await.unwrap();
        assert_eq!(server::closures::finish_due(app).await.unwrap(), 1);
        app.store.receipts(identity).await.unwrap()[0].id.to_string()
    }

    /// Lets what is believed of keys run out.
    pub(crate) fn forget_keys(&self) -> Timestamp {
        self.bed.clock.advance(std::time::Duration::from_secs(3));
        self.bed.app.now()
    }
}

/// The smallest clip that can be asked for.
/// A service on this machine that answers each question of JSON with what `answer` makes of it; its address. It ends with the test.
pub(crate) async fn owners_service(path: &str, answer: impl Fn(&str) -> Value + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase().lines().find_map(|line| {
                    line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
                });
                if read == 0 || length.is_some_and(|length| body.len() >= length) {
                    break body.to_owned();
                }
            };
            let answer = answer(&body).to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
            stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    url
}

pub(crate) fn small(prompt: &str) -> Value {
    serde_json::json!({ "prompt": prompt, "size": "144x80", "seconds": "4" })
}

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    media::encode_png(&media::Frame::filled(media::Size::new(width, height), [200, 120, 20])).unwrap()
}

pub(crate) fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, filename, content) in parts {
        body.extend(format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
        if let Some(filename) = filename {
            body.extend(format!("; filename=\"{filename}\"\r\nContent-Type: application/octet-stream").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--cut--\r\n");
    body
}
