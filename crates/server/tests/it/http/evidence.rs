//! R23: the evidence kit, for whoever needs it most.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::time::Duration;

use platform::{
    ApiKeyId, ApiKeySecret, EventType, FileId, MembershipEvent, PasskeyId, Scopes, Service, SessionId, Token,
    TokenKind, WebhookEndpointId, WebhookSecret, find_secrets,
};
use provenance::{State, Trust, TrustedRoots, verify_statement};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{AuditEntry, File, Passkey, Session, WebhookEndpoint};

use super::site::{As, Sent, Site, decided};
use crate::loops::bed::{Bed, entropy};

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----";
const OTPAUTH: &str = "otpauth://totp/Misora:mika?secret=JBSWY3DPEHPK3PXP&issuer=Misora";

/// The kit of whoever has a cookie, by the names of its files.
async fn kit(site: &Site, cookie: &str) -> BTreeMap<String, Vec<u8>> {
    let answer = site.send("GET", "/api/account/evidence", As::Cookie(cookie), Sent::Nothing).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/zip"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut archive = zip::ZipArchive::new(Cursor::new(answer.body)).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(files.insert(file.name().to_owned(), bytes).is_none(), "{} is there twice", file.name());
    }
    files
}

fn read(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(files.get(name).unwrap_or_else(|| panic!("{name} in {:?}", files.keys()))).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Secrets in everything that a person can name, or that is told of them.
async fn plant(site: &Site) -> Vec<String> {
    let (app, now, owner, project) = (&site.bed.app, site.bed.app.now(), site.owner(), site.bed.project);
    let key = ApiKeySecret::new(ApiKeyId::new(now, entropy()), app.random()).reveal();
    let token = Token::new(TokenKind::Session, app.random()).reveal();
    let webhook = WebhookSecret::new([5; 32]).reveal();

    let passkey = Passkey {
        id: PasskeyId::new(now, entropy()),
        identity: owner,
        credential_id: entropy().repeat(2),
        name: format!("phone {key}"),
        transports: 0,
        static_state: vec![1],
        dynamic_state: vec![1],
        created_at: now,
        last_used_at: None,
    };
    app.store.create_passkey(&passkey).await.unwrap();
    let session = Session {
        id: SessionId::new(now, entropy()),
        identity: owner,
        label: format!("a browser, {token}"),
        created_at: now,
        authenticated_at: now,
        last_seen_at: now,
        expires_at: now + Duration::from_secs(86_400),
    };
    app.store.create_session(Token::new(TokenKind::Session, app.random()).hash(), &session).await.unwrap();
    app.store.change_project(project, OTPAUTH, "default").await.unwrap();
    let file = FileId::new(now, entropy());
    let subject = site.bed.subject(Service::Api);
    let object = app.objects.put_upload(subject, &file, "hello".into()).await.unwrap();
    let row = File {
        id: file,
        project,
        filename: format!("id_ecdsa {PEM}"),
        purpose: "user_data".into(),
        media_type: "text/plain".into(),
        size_bytes: 5,
        key: object,
        created_at: now,
        expires_at: None,
    };
    app.store.create_file(&row).await.unwrap();
    let endpoint = WebhookEndpoint {
        id: WebhookEndpointId::new(now, entropy()),
        project,
        name: webhook.clone(),
        url: format!("https://example.org/hook?key={key}"),
        event_types: vec![EventType::VideoCompleted],
        secret: WebhookSecret::new([6; 32]),
        old_secret: None,
        created_at: now,
        updated_at: now,
    };
    app.store.create_webhook_endpoint(&endpoint).await.unwrap();
    site.new_key(project, Scopes::ALL, |named| named.name.clone_from(&key)).await;
    let entry = AuditEntry {
        at: now,
        actor: None,
        action: "note".into(),
        subject: owner.to_string(),
        detail: format!("said {token}"),
    };
    app.store.record_audit(&entry).await.unwrap();
    vec![key, token, webhook, WebhookSecret::new([6; 32]).reveal(), OTPAUTH.into(), "MIGHAgEAMBMG".into()]
}

/// A suspended person with a clip, a decision and secrets in every name gets everything but the secrets.
async fn the_kit_is_whole(site: Site) {
    let (app, owner) = (&site.bed.app, site.owner());
    let (stranger, _) = site.stranger("stranger@example.org").await;
    let clip = site.video().await;
    let secrets = plant(&site).await;
    let now = app.now();
    for service in [Service::Video, Service::Api] {
        app.store.change_membership(owner, service, MembershipEvent::Suspend, now).await.unwrap();
    }
    app.store.change_membership(owner, Service::Social, MembershipEvent::Join, now).await.unwrap();
    let end = now + Duration::from_secs(30 * 86_400);
    app.store.close_service(owner, Service::Social, end, now).await.unwrap();
    app.store.add_strike(owner, Service::Video).await.unwrap();
    let decision = decided(&site, owner, stranger, "rule 7");
    app.store.decide(&decision).await.unwrap();
    let entry = AuditEntry {
        at: now,
        actor: Some(stranger),
        action: "membership.suspend".into(),
        subject: owner.to_string(),
        detail: "video: rule 7".into(),
    };
    app.store.record_audit(&entry).await.unwrap();
    let cookie = site.sign_in(owner).await;
    let files = kit(&site, &cookie).await;

    // The index names every file, and the statement the index.
    let index = read(&files, "index.json");
    let named: BTreeSet<&str> =
        index["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    let there: BTreeSet<&str> = files.keys().map(String::as_str).filter(|name| !name.starts_with("index.")).collect();
    assert_eq!(named, there);
    for file in index["files"].as_array().unwrap() {
        let bytes = &files[file["path"].as_str().unwrap()];
        assert_eq!((&file["sha256"], &file["size_bytes"]), (&json!(sha256(bytes)), &json!(bytes.len())), "{file}");
    }
    let statement = &files["index.jws"];
    let elsewhere = verify_statement(statement, &TrustedRoots::none());
    assert_eq!((elsewhere.state, elsewhere.kind.as_deref()), (State::Untouched, Some("misora-evidence-index+json")));
    let payload = elsewhere.payload.unwrap();
    assert_eq!(payload["index_json_sha256"], sha256(&files["index.json"]));
    assert_eq!((&payload["made_at"], &payload["account"]), (&index["made_at"], &json!(owner.to_string())));
    assert_eq!(payload["audit_head"], app.store.verify_audit().await.unwrap().head);
    assert_eq!(verify_statement(statement, &app.trusted).signer.unwrap().trust, Trust::ThisInstallation);

    // Everything that was asked for has its file, or a sentence that says why not.
    for item in [
        "consent texts as accepted",
        "account state",
        "linked services",
        "sign-in methods",
        "manifest of every clip",
        "upload metadata",
        "decisions and appeals with their ids",
        "ends of services and receipts of deletion",
        "failed re-registration messages",
        "keys with scopes and recent use",
        "systems named by the person",
        "audit log",
    ] {
        let told = index["items"].as_array().unwrap().iter().find(|told| told["item"] == item);
        let told = told.unwrap_or_else(|| panic!("{item}"));
        let names = told["files"].as_array().unwrap();
        assert!(!names.is_empty() || told["note"].is_string(), "{told}");
        for name in names {
            let name = name.as_str().unwrap();
            assert!(files.keys().any(|file| file == name || name.ends_with('/') && file.starts_with(name)), "{name}");
        }
    }
    let account = read(&files, "account.json");
    let membership = |service: &str| {
        account["memberships"].as_array().unwrap().iter().find(|one| one["service"] == service).unwrap().clone()
    };
    assert_eq!((&membership("video")["state"], &membership("video")["strikes"]), (&json!("suspended"), &json!(1)));
    assert_eq!(membership("social")["state"], "closing");
    assert_eq!(account["email"], "mika@example.org");
    let closure = &read(&files, "closures.json")["closures"][0];
    assert_eq!((&closure["of"], &closure["erasing_has_begun"]), (&json!("social"), &json!(false)));
    let decided = &read(&files, "decisions.json")["decisions"][0];
    assert_eq!((&decided["id"], &decided["ground"]), (&json!(decision.id.to_string()), &json!("rule 7")));
    let told = read(&files, &format!("clips/{clip}.json"));
    assert_eq!((&told["prompt"], &told["video"]["as_recorded"]), (&json!("a red boat"), &json!(true)));
    assert_eq!(told["video"]["manifest"]["state"], "untouched");
    assert!(told["recipe"]["seed"].is_number(), "{told}");
    let key = &read(&files, "keys.json")["keys"][0];
    assert!(key["scopes"].as_array().unwrap().len() > 1 && key["id"].as_str().unwrap().starts_with("key_"), "{key}");
    assert!(read(&files, "audit/00001.json").to_string().contains("someone who administers or moderates"));

    // No secret left, and nothing of others.
    let mut taken_out = 0;
    for (name, bytes) in &files {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(find_secrets(&text), [], "{name}");
        for secret in &secrets {
            assert!(!text.contains(secret), "{name} holds {secret}");
        }
        assert!(!text.contains(&site.key) && !text.contains(cookie.split('=').nth(1).unwrap()), "{name}");
        assert!(!text.contains("stranger@example.org") && !text.contains(&stranger.to_string()), "{name}");
        taken_out += text.matches("taken out]").count();
    }
    assert!(taken_out >= 7, "{taken_out}");
    assert_eq!(index["secrets_taken_out"], taken_out);
    for phrase in ["an API key", "a token", "a private key", "a seed of an authenticator app", "a webhook's secret"] {
        let placeholder = format!("[{phrase} was taken out]");
        assert!(files.values().any(|bytes| String::from_utf8_lossy(bytes).contains(&placeholder)), "{placeholder}");
    }
}

#[tokio::test]
async fn r23_a_suspended_person_gets_the_evidence_kit() {
    the_kit_is_whole(Site::new().await).await;
}

#[tokio::test]
async fn r23_a_suspended_person_gets_the_evidence_kit_from_postgres() {
    the_kit_is_whole(Site::of(Bed::on_postgres(|_| {}).await).await).await;
}

#[tokio::test]
async fn r23_the_kit_of_one_holds_nothing_of_another_and_is_offered_to_all() {
    let site = Site::new().await;
    let clip = site.video().await;
    let (stranger, _) = site.stranger("stranger@example.org").await;
    let cookie = site.sign_in(stranger).await;
    let files = kit(&site, &cookie).await;
    assert!(files.keys().all(|name| !name.starts_with("clips/")));
    assert!(files.values().all(|bytes| !String::from_utf8_lossy(bytes).contains(&clip)));
    assert!(files.values().all(|bytes| !String::from_utf8_lossy(bytes).contains("mika@example.org")));
    let page = site.send("GET", "/account", As::Cookie(&cookie), Sent::Nothing).await.page();
    assert!(page.contains("href=\"/api/account/evidence\""));
}

/// A clip whose object is gone or was changed is told as what it is.
#[tokio::test]
async fn r23_what_is_stored_is_what_is_told() {
    let site = Site::new().await;
    let clip = site.video().await;
    let cookie = site.sign_in(site.owner()).await;
    let generation = site.bed.app.store.any_generation(clip.parse().unwrap()).await.unwrap();
    let key = generation.video.unwrap().key;
    let prefix = key.as_str().rsplit_once('/').unwrap().0.to_owned();
    site.bed.app.objects.delete_under(&prefix).await.unwrap();
    let told = read(&kit(&site, &cookie).await, &format!("clips/{clip}.json"));
    assert_eq!(told["video"]["note"], "The stored video is gone.");
    assert!(told["video"]["sha256"].is_string());
}
