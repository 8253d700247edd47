//! Who may use which route: every route has a row, and every row is tried by everyone.

use std::collections::BTreeSet;

use platform::likeness::Audience;
use platform::{
    BatchId, CharacterId, DecidedItem, DecidedKind, DecisionEffect, DecisionRecord, DecisionScope, DestinationId,
    FileId, IDENTITY_GROUNDS, IdentityId, ImportId, MembershipEvent, MembershipState, PasskeyId, ProjectId, Role,
    Scope, Scopes, Service, Timestamp, WebhookEndpointId, WebhookSecret,
};
use serde_json::json;
use store::{Character, Destination, File, NewBatch, Passkey, Subject, WebhookEndpoint};

use super::site::{As, Sent, Site, decided};
use crate::guarantees::likeness::lent;
use crate::loops::bed::{create, entropy};

/// Method, path, and who may: `open`; a key's scope with `reads` or `makes` and the service asked beside `api`; or the least role of
/// whoever is signed in. `own` marks paths that name a thing which others must not find.
const TABLE: &str = "
POST   /v1/videos                                    videos:write    makes  video
GET    /v1/videos                                    videos:read     reads  video
POST   /v1/videos/quote                              videos:read     reads  video
GET    /v1/videos/{id}                               videos:read     reads  video  own
DELETE /v1/videos/{id}                               videos:write    reads  video  own
POST   /v1/videos/{id}/cancel                        videos:write    reads  video  own
GET    /v1/videos/{id}/content                       videos:read     reads  video  own
GET    /v1/videos/{id}/events                        videos:read     reads  video  own
POST   /v1/videos/{id}/remix                         videos:write    makes  video  own
POST   /v1/videos/edits                              videos:write    makes  video
POST   /v1/videos/extensions                         videos:write    makes  video
POST   /v1/videos/{id}/trim                          videos:write    makes  video  own
GET    /v1/videos/{id}/storyboard                    videos:read     reads  video  own
POST   /v1/videos/characters                         files:write     makes  video
GET    /v1/videos/characters/{id}                    files:read      reads  video  own
GET    /v1/likenesses/{handle}                       videos:read     reads  video
GET    /v1/models                                    videos:read     reads  api
GET    /v1/models/{*model}                           videos:read     reads  api
POST   /v1/files                                     files:write     makes  api
GET    /v1/files                                     files:read      reads  api
GET    /v1/files/{id}                                files:read      reads  api    own
DELETE /v1/files/{id}                                files:write     reads  api    own
GET    /v1/files/{id}/content                        files:read      reads  api    own
POST   /v1/images/generations                        videos:write    makes  video
POST   /v1/prompts/reword                            videos:read     reads  video
POST   /v1/moderations                               videos:read     reads  api
POST   /v1/batches                                   batches:write   makes  video
GET    /v1/batches                                   videos:read     reads  video
GET    /v1/batches/{id}                              videos:read     reads  video  own
POST   /v1/batches/{id}/cancel                       batches:write   reads  video  own
POST   /v1/webhook_endpoints                         webhooks:write  makes  api
GET    /v1/webhook_endpoints                         webhooks:write  reads  api
GET    /v1/webhook_endpoints/{id}                    webhooks:write  reads  api    own
POST   /v1/webhook_endpoints/{id}                    webhooks:write  reads  api    own
DELETE /v1/webhook_endpoints/{id}                    webhooks:write  reads  api    own
POST   /v1/webhook_endpoints/{id}/rotate_secret      webhooks:write  reads  api    own
POST   /v1/webhook_endpoints/{id}/test               webhooks:write  reads  api    own
GET    /v1/webhook_event_types                       webhooks:write  reads  api
GET    /v1/usage                                     usage:read      reads  api
GET    /v1/usage/ledger                              usage:read      reads  api
GET    /api/account                                  member
POST   /api/account/password                         member
POST   /api/account/recovery-codes                   member
POST   /api/account/confirm-email/letter             member
GET    /api/account/second-factor                    member
POST   /api/account/second-factor                    member
POST   /api/account/second-factor/confirm            member
DELETE /api/account/second-factor                    member
GET    /api/account/passkeys                         member
POST   /api/account/passkeys                         member
POST   /api/account/passkeys/start                   member
POST   /api/account/passkeys/{id}                    member          own
DELETE /api/account/passkeys/{id}                    member          own
GET    /api/sessions                                 member
DELETE /api/sessions/{id}                            member          own
DELETE /api/session                                  member
POST   /api/session/reauthenticate                   member
POST   /api/memberships/{service}/join               member
POST   /api/memberships/{service}/close              member
POST   /api/memberships/{service}/undo               member
GET    /api/memberships/{service}/closing            member
POST   /api/memberships/{service}/erase              member
GET    /api/account/closing                          member
POST   /api/account/close                            member
POST   /api/account/undo                             member
POST   /api/account/erase                            member
GET    /api/receipts                                 member
GET    /api/receipts/{id}                            member          own
GET    /api/projects                                 member
POST   /api/projects                                 member
GET    /api/projects/{project}                       member          own
POST   /api/projects/{project}                       member          own
DELETE /api/projects/{project}                       member          own
GET    /api/projects/{project}/keys                  member          own
POST   /api/projects/{project}/keys                  member          own
DELETE /api/projects/{project}/keys/{key}            member          own
POST   /api/projects/{project}/keys/{key}/rotate     member          own
POST   /api/account/key-letters                      member
GET    /api/account/evidence                         member
POST   /api/exports                                  member
GET    /api/exports                                  member
GET    /api/exports/{id}                             member          own
GET    /api/exports/{id}/content                     member          own
DELETE /api/exports/{id}                             member          own
POST   /api/imports                                  member
GET    /api/imports                                  member
GET    /api/imports/{id}                             member          own
DELETE /api/imports/{id}                             member          own
POST   /api/destinations                             member
GET    /api/destinations                             member
DELETE /api/destinations/{id}                        member          own
GET    /api/account/decisions                        member
GET    /api/account/decisions/{id}                   member          own
POST   /api/account/decisions/{id}/appeal            member          own
GET    /api/moderation/appeals                       moderator
POST   /api/moderation/appeals/{id}                  moderator
GET    /api/transparency/{month}                     open
POST   /api/decisions                                moderator
GET    /api/admin/identities                         administrator
GET    /api/admin/identities/{id}                    administrator
POST   /api/admin/identities/{id}/role               administrator
GET    /api/admin/tiers                              administrator
POST   /api/admin/tiers                              administrator
GET    /api/admin/invites                            administrator
POST   /api/admin/invites                            administrator
DELETE /api/admin/invites/{id}                       administrator
POST   /api/admin/projects/{id}/tier                 administrator
POST   /api/admin/projects/{id}/grant                administrator
DELETE /api/admin/keys/{id}                          administrator
GET    /api/admin/model-aliases                      administrator
POST   /api/admin/model-aliases                      administrator
GET    /api/admin/sunsets                            administrator
POST   /api/admin/sunsets                            administrator
POST   /api/admin/sunsets/{id}/confirm               administrator
DELETE /api/admin/sunsets/{id}                       administrator
GET    /api/admin/rights-agents                      administrator
POST   /api/admin/rights-agents                      administrator
POST   /api/admin/rights-agents/{id}/verify          administrator
DELETE /api/admin/rights-agents/{id}                 administrator
GET    /api/admin/rights                             administrator
POST   /api/admin/rights                             administrator
DELETE /api/admin/rights/{id}                        administrator
GET    /api/admin/queue                              administrator
GET    /api/admin/audit                              administrator
POST   /api/admin/account-decisions                  administrator
POST   /api/admin/account-decisions/{id}/confirm     administrator
POST   /api/account                                  open
POST   /api/account/recover                          open
POST   /api/account/password-reset                   open
POST   /api/account/password-reset/confirm           open
POST   /api/account/confirm-email                    open
POST   /api/sessions                                 open
POST   /api/sessions/passkey                         open
POST   /api/sessions/passkey/start                   open
GET    /api/likeness                                 member
POST   /api/likeness                                 member
POST   /api/likeness/withdraw                        member
GET    /api/likeness/uses                            member
DELETE /api/likeness/uses/{id}                       member          own
POST   /api/leaks                                    open
POST   /api/set-up                                   open
GET    /set-up                                       open
GET    /password-reset                               open
GET    /confirm-email                                open
GET    /links.js                                     open
GET    /links.css                                    open
GET    /media/{id}/{variant}                         open
GET    /healthz                                      open
GET    /readyz                                       open
GET    /metrics                                      open
GET    /openapi.json                                 open
GET    /docs                                         open
GET    /.well-known/retention.json                   open
";

/// One of everything that a path can name, all the owner's.
struct Things {
    key: String,
    video: String,
    file: String,
    character: String,
    batch: String,
    endpoint: String,
    passkey: String,
    receipt: String,
    decision: String,
    proposal: String,
    export: String,
    import: String,
    destination: String,
    /// A use of the owner's likeness.
    use_of: String,
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    TABLE.trim().lines().map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.next().unwrap(), words.collect())
    })
}

#[test]
fn every_route_has_a_row() {
    let routes: BTreeSet<_> = server::route_list().iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let table: BTreeSet<_> = rows().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(routes.difference(&table).collect::<Vec<_>>(), Vec::<&String>::new(), "routes without a row");
    assert_eq!(table.difference(&routes).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without a route");
}

impl Things {
    async fn of(site: &Site) -> Self {
        let things = Self::of_project(site, site.owner(), site.bed.project).await;
        let likeness = lent(&site.bed.app, site.owner(), "owner_face").await;
        site.bed.ask_with(&[likeness]).await.unwrap();
        let uses = site.bed.app.store.likeness_uses(site.owner(), None, 1).await.unwrap();
        Self { use_of: uses[0].id.to_string(), ..things }
    }

    /// The same of another project, but for the video, which is the bed's.
    async fn of_project(site: &Site, identity: IdentityId, project: ProjectId) -> Self {
        let (app, now) = (&site.bed.app, site.bed.app.now());
        let video = site.bed.accept(create()).await.id;
        let file = FileId::new(now, entropy());
        let subject = |service| Subject { identity, service, since: now };
        let key = app.objects.put_upload(subject(Service::Api), &file, "hello".into()).await.unwrap();
        let (filename, purpose, media_type) = ("a.txt".into(), "user_data".into(), "text/plain".into());
        let row = File {
            id: file,
            project,
            filename,
            purpose,
            media_type,
            size_bytes: 5,
            key,
            created_at: now,
            expires_at: None,
        };
        app.store.create_file(&row).await.unwrap();
        let character = CharacterId::new(now, entropy());
        let key = app.objects.put_upload(subject(Service::Video), &character, "clip".into()).await.unwrap();
        let row = Character {
            id: character,
            project,
            name: "Mossy".into(),
            handle: None,
            audience: Audience::OnlyMe,
            key,
            created_at: now,
        };
        app.store.create_character(&row).await.unwrap();
        let batch = BatchId::new(now, entropy());
        let row = NewBatch { id: batch, project, identity, input_file: file, metadata: "{}".into() };
        app.store.create_batch(&row, now).await.unwrap();
        let endpoint = WebhookEndpointId::new(now, entropy());
        let row = WebhookEndpoint {
            id: endpoint,
            project,
            name: "mine".into(),
            url: "http://127.0.0.1:9/".into(),
            event_types: vec![platform::EventType::VideoCompleted],
            secret: WebhookSecret::new([1; 32]),
            old_secret: None,
            created_at: now,
            updated_at: now,
        };
        app.store.create_webhook_endpoint(&row).await.unwrap();
        let passkey = PasskeyId::new(now, entropy());
        let row = Passkey {
            id: passkey,
            identity,
            credential_id: entropy().repeat(2),
            name: "phone".into(),
            transports: 0,
            static_state: vec![1],
            dynamic_state: vec![1],
            created_at: now,
            last_used_at: None,
        };
        app.store.create_passkey(&row).await.unwrap();
        let receipt = site.receipt(identity).await;
        let decision = decided(site, identity, IdentityId::new(now, entropy()), "spam");
        app.store.decide(&decision).await.unwrap();
        let proposal = DecisionRecord {
            scope: DecisionScope::Identity,
            service: None,
            effect: DecisionEffect::Suspend,
            item: DecidedItem::unnamed(DecidedKind::Account),
            ..decided(site, identity, IdentityId::new(now, entropy()), IDENTITY_GROUNDS[0])
        };
        app.store.propose_decision(&proposal).await.unwrap();
        // One of each is enough, and more may not wait at one time.
        let export = match app.store.exports(identity).await.unwrap().first() {
            Some(export) => export.id,
            None => app.archivist().ask_for_export(identity, &["video"], None).await.unwrap(),
        };
        let import = match app.store.imports(identity).await.unwrap().first() {
            Some(import) => import.id,
            None => {
                let (import, end) = (ImportId::new(now, entropy()), now + std::time::Duration::from_secs(60));
                app.store.create_import(identity, import, "mine.zip", end, now).await.unwrap();
                import
            }
        };
        let destination = DestinationId::new(now, entropy());
        let row = Destination {
            id: destination,
            identity,
            kind: "folder".into(),
            place: "/nowhere".into(),
            secret: None,
            services: vec!["video".into()],
            every_days: 1,
            next_at: now,
            last_at: None,
            error: None,
            created_at: now,
        };
        app.store.create_destination(&row).await.unwrap();
        let keys = app.store.api_keys(project).await.unwrap();
        Self {
            key: keys.last().unwrap().id.to_string(),
            video: video.to_string(),
            file: file.to_string(),
            character: character.to_string(),
            batch: batch.to_string(),
            endpoint: endpoint.to_string(),
            passkey: passkey.to_string(),
            receipt,
            decision: decision.id.to_string(),
            proposal: proposal.id.to_string(),
            export: export.to_string(),
            import: import.to_string(),
            destination: destination.to_string(),
            use_of: String::new(),
        }
    }

    /// The path with the owner's things in it.
    async fn path(&self, site: &Site, path: &str) -> String {
        let session = site.bed.app.store.sessions(site.owner(), Timestamp::from_seconds(0)).await.unwrap();
        let session = session.first().map_or(String::new(), |session| session.id.to_string());
        let id = [
            ("/v1/videos/characters", &self.character),
            ("/v1/videos", &self.video),
            ("/media", &self.video),
            ("/v1/files", &self.file),
            ("/v1/batches", &self.batch),
            ("/v1/webhook_endpoints", &self.endpoint),
            ("/api/sessions", &session),
            ("/api/account/passkeys", &self.passkey),
            ("/api/exports", &self.export),
            ("/api/imports", &self.import),
            ("/api/destinations", &self.destination),
            ("/api/account/decisions", &self.decision),
            ("/api/moderation/appeals", &"appeal_1".to_owned()),
            ("/api/likeness/uses", &self.use_of),
            ("/api/admin/identities", &site.owner().to_string()),
            ("/api/admin/projects", &site.bed.project.to_string()),
            ("/api/receipts", &self.receipt),
            ("/api/admin/account-decisions", &self.proposal),
            ("/api/admin/keys", &self.key),
            ("/api/admin/invites", &"0".repeat(64)),
            ("/api/admin/sunsets", &"sunset_1".to_owned()),
            ("/api/admin/rights", &"rights_1".to_owned()),
        ]
        .into_iter()
        .find_map(|(start, id)| path.starts_with(start).then(|| id.clone()))
        .unwrap_or_default();
        path.replace("{id}", &id)
            .replace("{variant}", "video")
            .replace("{month}", "2026-11")
            .replace("{service}", "social")
            .replace("{handle}", "nobody_here")
            .replace("{project}", &site.bed.project.to_string())
            .replace("{key}", &self.key)
            .replace("{*model}", "sora-2")
    }
}

async fn status(site: &Site, method: &str, path: &str, who: As<'_>) -> u16 {
    let sent = if method == "POST" { Sent::Json(json!({})) } else { Sent::Nothing };
    site.send(method, path, who, sent).await.status
}

/// Whether whoever asked got past the door: what the handler then said of an empty body does not matter.
fn inside(status: u16) -> bool {
    !matches!(status, 401 | 403 | 404 | 405 | 410 | 429) && status < 500
}

#[tokio::test]
async fn open_routes_are_open_and_no_others() {
    let site = Site::new().await;
    let things = Things::of(&site).await;
    // So that there is a session to name.
    site.sign_in(site.owner()).await;
    for (method, path, row) in rows() {
        let path = things.path(&site, path).await;
        let status = status(&site, method, &path, As::Nobody).await;
        match row[0] {
            // A link without a signature is no link; a set-up without a link is refused by its handler.
            "open" if path.starts_with("/media") => assert_eq!(status, 404),
            // Open to this machine: nobody knows here where the request is from.
            "open" if path == "/metrics" => assert_eq!(status, 403),
            "open" => assert!(inside(status), "{method} {path}: {status}"),
            _ => assert_eq!(status, 401, "{method} {path}"),
        }
        // Attempts are counted; the next minute is another.
        site.bed.clock.advance(std::time::Duration::from_secs(60));
    }
}

#[tokio::test]
async fn keys_open_what_their_scopes_say_and_nothing_of_others() {
    for (method, path, row) in rows().filter(|(_, path, _)| path.starts_with("/v1")) {
        let site = Site::new().await;
        let things = Things::of(&site).await;
        let path = things.path(&site, path).await;
        let (project, now) = (site.bed.project, site.bed.app.now());
        let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == row[0]).unwrap();
        let others: Scopes = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let only: Scopes = [scope].into_iter().collect();
        let at = |status: u16| format!("{method} {path}: {status}");
        let refused = [
            (site.new_key(project, others, |_| {}).await, 403, "missing_scope"),
            (site.new_key(project, only, |key| key.revoked_at = Some(now)).await, 401, "invalid_api_key"),
            (site.new_key(project, only, |key| key.expires_at = Some(now)).await, 401, "invalid_api_key"),
            (
                site.new_key(project, only, |key| key.allowed_ips = vec!["10.0.0.0/8".parse().unwrap()]).await,
                403,
                "ip_not_allowed",
            ),
        ];
        for (key, expected, code) in &refused {
            let answer = site.send(method, &path, As::Key(key), Sent::Nothing).await;
            assert_eq!((answer.error().0, answer.error().1.as_str()), (*expected, *code), "{method} {path}");
        }
        let cookie = site.sign_in(site.owner()).await;
        assert_eq!(status(&site, method, &path, As::Cookie(&cookie)).await, 401, "{}", at(0));
        let (_, stranger) = site.stranger("stranger@example.org").await;
        let found = status(&site, method, &path, As::Key(&stranger)).await;
        assert_eq!(found == 404, row.contains(&"own"), "{}", at(found));
        let key = site.new_key(project, only, |_| {}).await;
        let owner = status(&site, method, &path, As::Key(&key)).await;
        assert!(inside(owner), "{}", at(owner));
    }
}

/// What brings an active membership into a state.
fn events_to(state: MembershipState) -> &'static [MembershipEvent] {
    match state {
        MembershipState::None | MembershipState::Active => &[],
        MembershipState::Restricted => &[MembershipEvent::Restrict],
        MembershipState::Suspended => &[MembershipEvent::Suspend],
        MembershipState::Closing => &[MembershipEvent::Close],
        MembershipState::Closed => &[MembershipEvent::Close, MembershipEvent::Finish],
    }
}

/// What the routes of a service say in a state of its membership, those that make and those that read or take away.
fn refusals(state: MembershipState) -> [Option<(u16, &'static str)>; 2] {
    match state {
        MembershipState::None => [Some((403, "not_a_member")); 2],
        MembershipState::Active => [None; 2],
        MembershipState::Restricted => [Some((403, "membership_restricted")), None],
        MembershipState::Suspended => [Some((403, "membership_suspended")); 2],
        MembershipState::Closing | MembershipState::Closed => [Some((410, "service_closed")); 2],
    }
}

#[tokio::test]
async fn a_membership_counts_on_every_path_of_its_service_and_on_no_other() {
    for service in [Service::Video, Service::Api] {
        for state in MembershipState::ALL {
            let site = Site::new().await;
            let now = site.bed.app.now();
            // Whoever was never a member owns no video either; all else is the owner's.
            let others: Vec<_> = [Service::Video, Service::Api].into_iter().filter(|other| *other != service).collect();
            let (identity, project, key) = match state {
                MembershipState::None => site.member_of("lia@example.org", &others).await,
                _ => (site.owner(), site.bed.project, site.key.clone()),
            };
            for event in events_to(state) {
                site.bed.app.store.change_membership(identity, service, *event, now).await.unwrap();
            }
            let [making, reading] = refusals(state);
            let mut things = Things::of_project(&site, identity, project).await;
            for (method, path, row) in rows().filter(|(_, path, _)| path.starts_with("/v1")) {
                let path = things.path(&site, path).await;
                let sent = if method == "POST" { Sent::Json(json!({})) } else { Sent::Nothing };
                let answer = site.send(method, &path, As::Key(&key), sent).await;
                let expected = match (service, row[2]) {
                    (Service::Video, "video") | (Service::Api, "api") => {
                        if row[1] == "makes" {
                            making
                        } else {
                            reading
                        }
                    }
                    // Every key needs a membership of `api` that can read.
                    (Service::Api, _) => reading,
                    _ => None,
                };
                let at = format!("{state:?} {service} {method} {path}");
                match expected {
                    Some((status, code)) => {
                        assert_eq!((answer.error().0, answer.error().1.as_str()), (status, code), "{at}");
                    }
                    None => assert!(inside(answer.status), "{at}: {}", answer.status),
                }
                if method == "DELETE" && expected.is_none() {
                    things = Things::of_project(&site, identity, project).await;
                }
            }
            // The account centre is open in every state.
            let cookie = site.sign_in(identity).await;
            for path in ["/api/account", "/api/sessions", "/api/projects"] {
                assert_eq!(status(&site, "GET", path, As::Cookie(&cookie)).await, 200);
            }
        }
    }
}

#[tokio::test]
async fn a_suspension_ends_by_itself_at_its_time() {
    let site = Site::new().await;
    let cookie = site.with_role("moderator@example.org", Service::Video, Role::Moderator).await;
    let end = site.bed.app.now().seconds() + 3600;
    let decide = async |ends_at: i64| {
        let body = json!({ "identity": site.owner().to_string(), "service": "video", "event": "suspend", "ground": "rule 1", "ends_at": ends_at });
        site.send("POST", "/api/decisions", As::Cookie(&cookie), Sent::Json(body)).await
    };
    assert_eq!(decide(end - 3600).await.error().2, "ends_at");
    assert_eq!(decide(end).await.ok()["membership"]["ends_at"], end);
    assert_eq!(site.get("/v1/videos").await.error().1, "membership_suspended");
    // An end that was asked for and taken back changes nothing about it.
    let owner = site.sign_in(site.owner()).await;
    for (path, ends_at) in [("close", json!(end)), ("undo", json!(end))] {
        let body = Sent::Json(json!({ "confirm": "video" }));
        let answer = site.send("POST", &format!("/api/memberships/video/{path}"), As::Cookie(&owner), body).await;
        assert_eq!(answer.ok()["ends_at"], ends_at);
    }
    site.bed.clock.advance(std::time::Duration::from_secs(3599));
    assert_eq!(site.get("/v1/videos").await.error().1, "membership_suspended");
    site.bed.clock.advance(std::time::Duration::from_secs(1));
    // At the moment of asking, before anyone has tidied up.
    assert_eq!(site.get("/v1/videos").await.status, 200);
    assert_eq!(server::housekeeping::tidy(&site.bed.app).await.unwrap().limits, 1);
    assert_eq!(site.get("/v1/videos").await.status, 200);
    assert_eq!(server::housekeeping::tidy(&site.bed.app).await.unwrap().limits, 0);
}

#[tokio::test]
async fn counters_are_for_this_machine_or_for_whoever_has_the_token() {
    let site = Site::new().await;
    let from = |address: &str| axum::extract::ConnectInfo(address.parse::<std::net::SocketAddr>().unwrap());
    let ask = async |site: &Site, address: Option<&str>, header: &[(&str, &str)]| {
        site.send_from("/metrics", address.map(from), header).await
    };
    assert_eq!(ask(&site, Some("127.0.0.1:9"), &[]).await.status, 200);
    assert_eq!(ask(&site, Some("[::ffff:127.0.0.1]:9"), &[]).await.status, 200);
    assert_eq!(ask(&site, Some("10.0.0.9:9"), &[]).await.error().1, "loopback_only");
    assert_eq!(ask(&site, None, &[]).await.error().1, "loopback_only");

    let site = Site::with(|settings| settings.metrics_token = Some("swordfish".into())).await;
    assert_eq!(ask(&site, Some("127.0.0.1:9"), &[]).await.error().0, 401);
    assert_eq!(ask(&site, Some("10.0.0.9:9"), &[("authorization", "Bearer swordfisch")]).await.error().0, 401);
    assert_eq!(ask(&site, Some("10.0.0.9:9"), &[("authorization", "Bearer swordfish")]).await.status, 200);
}

#[tokio::test]
async fn people_may_what_their_role_says() {
    for (method, path, row) in rows() {
        let Some(least) = Role::from_word(row[0]) else { continue };
        let site = Site::new().await;
        let things = Things::of(&site).await;
        let owner = site.sign_in(site.owner()).await;
        let path = things.path(&site, path).await;
        assert_eq!(status(&site, method, &path, As::Key(&site.key)).await, 401, "{method} {path} with a key");
        for role in Role::ALL {
            let email = format!("{}@example.org", role.as_str());
            let cookie = site.with_role(&email, Service::Video, role).await;
            let status = status(&site, method, &path, As::Cookie(&cookie)).await;
            if role < least {
                assert_eq!(status, 403, "{method} {path} as {role:?}");
            } else if row.contains(&"own") {
                assert_eq!(status, 404, "{method} {path} as {role:?}, a stranger to it");
            } else {
                let fine = inside(status)
                    || (least > Role::Member && status == 404)
                    || (path.contains("reauth") && status == 401);
                assert!(fine, "{method} {path} as {role:?}: {status}");
            }
        }
        if least == Role::Member {
            let status = status(&site, method, &path, As::Cookie(&owner)).await;
            assert!(inside(status), "{method} {path} as owner: {status}");
        }
        // A page of another site cannot use the cookie to change anything.
        if method != "GET" {
            let foreign = [("origin", "https://evil.example")];
            let admin = site.with_role("admin@example.org", Service::Video, Role::Administrator).await;
            let answer = site.send_with(method, &path, As::Cookie(&admin), Sent::Nothing, &foreign).await;
            assert_eq!(answer.error().1, "foreign_origin", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_moderator_of_one_service_decides_nothing_in_another_nor_about_the_login() {
    let site = Site::new().await;
    let cookie = site.with_role("social@example.org", Service::Video, Role::Moderator).await;
    let decide = async |service: &str, scope: &str| {
        let body = json!({ "identity": site.owner().to_string(), "service": service, "event": "suspend", "scope": scope, "ground": "rule 1" });
        site.send("POST", "/api/decisions", As::Cookie(&cookie), Sent::Json(body)).await
    };
    assert_eq!(decide("api", "service").await.error().1, "role_missing");
    assert_eq!(decide("video", "identity").await.error().1, "scope_too_wide");
    assert_eq!(site.get("/v1/videos").await.status, 200);
    assert_eq!(decide("video", "service").await.ok()["membership"]["state"], "suspended");
    assert_eq!(site.get("/v1/videos").await.error().1, "membership_suspended");
    assert_eq!(site.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_suspension_outlives_an_end_that_is_taken_back() {
    let site = Site::new().await;
    let (store, owner) = (&site.bed.app.store, site.owner());
    store.change_membership(owner, Service::Video, MembershipEvent::Suspend, site.bed.app.now()).await.unwrap();
    let cookie = site.sign_in(owner).await;
    for (path, state) in [("close", "closing"), ("undo", "suspended")] {
        let body = Sent::Json(json!({ "confirm": "video" }));
        let answer = site.send("POST", &format!("/api/memberships/video/{path}"), As::Cookie(&cookie), body).await;
        assert_eq!(answer.ok()["state"], state);
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_another_node_within_five_seconds() {
    let site = Site::new().await;
    assert_eq!(site.get("/v1/videos").await.status, 200);
    // Another node revokes: this one hears nothing of it.
    let keys = site.bed.app.store.api_keys(site.bed.project).await.unwrap();
    site.bed.app.store.revoke_api_key(site.bed.project, keys[0].id, site.bed.app.now()).await.unwrap();
    site.bed.clock.advance(std::time::Duration::from_secs(4));
    assert_eq!(site.get("/v1/videos").await.error().1, "invalid_api_key");
}
