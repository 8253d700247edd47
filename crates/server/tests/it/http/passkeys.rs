//! Passkeys, made by an authenticator of software: ES256, no attestation.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use platform::Service;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::site::{Answer, As, Sent, Site};
use crate::loops::bed::Bed;

/// What a browser and an authenticator do together.
#[derive(Clone)]
pub(super) struct Authenticator {
    key: SigningKey,
    id: Vec<u8>,
    origin: String,
    party: String,
    user: Value,
    counter: u32,
}

/// Who is present, and whether the authenticator asked who that is.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const WITH_KEY: u8 = 0x40;

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Authenticator {
    pub(super) fn new(number: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[number; 32]).unwrap(),
            id: vec![number; 24],
            origin: "http://misora.test".into(),
            party: "misora.test".into(),
            user: Value::Null,
            counter: 0,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string().into()
    }

    fn authenticator_data(&self, flags: u8) -> Vec<u8> {
        let party = Sha256::digest(&self.party);
        [party.as_slice(), &[flags], &self.counter.to_be_bytes()].concat()
    }

    /// `navigator.credentials.create`, as `toJSON` tells it.
    fn create(&mut self, options: &Value) -> Value {
        self.user = options["user"]["id"].clone();
        let point = self.key.verifying_key().to_encoded_point(false);
        let (x, y) = (point.x().unwrap(), point.y().unwrap());
        // COSE: kty EC2, alg ES256, crv P-256, x, y.
        let cose = [
            [0xa5_u8, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32].as_slice(),
            x.as_slice(),
            &[0x22, 0x58, 32],
            y.as_slice(),
        ]
        .concat();
        let data = [
            self.authenticator_data(PRESENT | VERIFIED | WITH_KEY).as_slice(),
            &[0; 16],
            &u16::try_from(self.id.len()).unwrap().to_be_bytes(),
            &self.id,
            &cose,
        ]
        .concat();
        let attestation = [
            b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(),
            &[u8::try_from(data.len()).unwrap()],
            &data,
        ]
        .concat();
        let spki = [
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
                .as_slice(),
            point.as_bytes(),
        ]
        .concat();
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(&self.client_data("webauthn.create", options)),
                "attestationObject": text(&attestation), "authenticatorData": text(&data),
                "publicKey": text(&spki), "publicKeyAlgorithm": -7, "transports": ["internal"],
            },
        })
    }

    /// `navigator.credentials.get`, as `toJSON` tells it.
    fn get(&mut self, options: &Value, flags: u8) -> Value {
        self.counter += 1;
        let (client_data, data) = (self.client_data("webauthn.get", options), self.authenticator_data(flags));
        let signature: Signature = self.key.sign(&[data.as_slice(), &Sha256::digest(&client_data)].concat());
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(&client_data), "authenticatorData": text(&data),
                "signature": text(signature.to_der().as_bytes()), "userHandle": self.user,
            },
        })
    }
}

async fn post(site: &Site, path: &str, cookie: Option<&str>, body: Value) -> Answer {
    site.send("POST", path, cookie.map_or(As::Nobody, As::Cookie), Sent::Json(body)).await
}

pub(super) async fn register(site: &Site, cookie: &str, authenticator: &mut Authenticator, name: &str) -> Answer {
    let begun = post(site, "/api/account/passkeys/start", Some(cookie), json!({})).await.ok();
    let credential = authenticator.create(&begun["options"]);
    let body = json!({ "ceremony": begun["ceremony"], "name": name, "credential": credential });
    post(site, "/api/account/passkeys", Some(cookie), body).await
}

pub(super) async fn sign_in(site: &Site, authenticator: &mut Authenticator) -> Answer {
    let begun = post(site, "/api/sessions/passkey/start", None, json!({})).await.ok();
    let credential = authenticator.get(&begun["options"], PRESENT | VERIFIED);
    let body = json!({ "ceremony": begun["ceremony"], "credential": credential });
    post(site, "/api/sessions/passkey", None, body).await
}

async fn list(site: &Site, cookie: &str) -> Vec<Value> {
    let list = site.send("GET", "/api/account/passkeys", As::Cookie(cookie), Sent::Nothing).await.ok();
    list["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_passkey_signs_in_without_address_or_password() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let mut phone = Authenticator::new(1);
    let begun = post(&site, "/api/account/passkeys/start", Some(&cookie), json!({})).await.ok();
    let options = &begun["options"];
    assert_eq!((&options["rp"]["id"], &options["user"]["name"]), (&json!("misora.test"), &json!("mika@example.org")));
    assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(options["extensions"], json!({}), "no policy that some authenticators cannot keep");
    let made = register(&site, &cookie, &mut phone, "My phone").await.ok();
    assert_eq!((&made["name"], &made["last_used_at"]), (&json!("My phone"), &json!(null)));
    assert!(site.letters().await.iter().any(|letter| letter.contains("A new passkey")));

    for _ in 0..2 {
        let entered = sign_in(&site, &mut phone).await;
        entered.ok();
        let session = entered.header("set-cookie").split(';').next().unwrap();
        let account = site.send("GET", "/api/account", As::Cookie(session), Sent::Nothing).await.ok();
        assert_eq!(account["email"], "mika@example.org");
    }
    assert_eq!(list(&site, &cookie).await[0]["last_used_at"], site.bed.app.now().seconds());
    // The one that is there is not made twice.
    let begun = post(&site, "/api/account/passkeys/start", Some(&cookie), json!({})).await.ok();
    assert_eq!(begun["options"]["excludeCredentials"][0]["id"], text(&phone.id));
    assert_eq!(register(&site, &cookie, &mut phone, "again").await.error().1, "invalid_state");
}

#[tokio::test]
async fn passkeys_are_renamed_and_forgotten_by_their_owner_alone() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let (mut phone, mut laptop) = (Authenticator::new(1), Authenticator::new(2));
    for (authenticator, name) in [(&mut phone, "phone"), (&mut laptop, "laptop")] {
        register(&site, &cookie, authenticator, name).await.ok();
    }
    let listed = list(&site, &cookie).await;
    let id = listed.iter().find(|passkey| passkey["name"] == "phone").map(|passkey| passkey["id"].as_str().unwrap());
    let path = format!("/api/account/passkeys/{}", id.unwrap());
    let (stranger, _) = site.stranger("stranger@example.org").await;
    let stranger = site.sign_in(stranger).await;
    assert_eq!(post(&site, &path, Some(&stranger), json!({ "name": "mine" })).await.status, 404);
    assert_eq!(site.send("DELETE", &path, As::Cookie(&stranger), Sent::Nothing).await.status, 404);
    assert_eq!(post(&site, &path, Some(&cookie), json!({ "name": " " })).await.error().2, "name");
    assert_eq!(post(&site, &path, Some(&cookie), json!({ "name": "old phone" })).await.ok()["name"], "old phone");
    site.bed.clock.advance(Duration::from_secs(601));
    let forget = || site.send("DELETE", &path, As::Cookie(&cookie), Sent::Nothing);
    assert_eq!(forget().await.error().1, "reauth_required");
    let start = post(&site, "/api/account/passkeys/start", Some(&cookie), json!({})).await;
    assert_eq!(start.error().1, "reauth_required");
    let cookie = site.sign_in(site.owner()).await;
    site.send("DELETE", &path, As::Cookie(&cookie), Sent::Nothing).await.ok();
    assert_eq!(sign_in(&site, &mut phone).await.error(), (401, "passkey_refused".into(), "-".into()));
    sign_in(&site, &mut laptop).await.ok();
    assert_eq!(list(&site, &cookie).await.len(), 1);
}

#[tokio::test]
async fn what_proves_nothing_is_refused() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let mut phone = Authenticator::new(1);
    // A page of another site, or of another party, registers nothing here.
    let mut phished = Authenticator { origin: "http://misora.test.evil".into(), ..phone.clone() };
    assert_eq!(register(&site, &cookie, &mut phished, "a").await.error().2, "credential");
    let mut other = Authenticator { party: "evil.test".into(), ..phone.clone() };
    assert_eq!(register(&site, &cookie, &mut other, "a").await.error().2, "credential");
    assert!(list(&site, &cookie).await.is_empty());
    register(&site, &cookie, &mut phone, "phone").await.ok();

    let refused = (401, "passkey_refused".to_owned(), "-".to_owned());
    site.bed.clock.advance(Duration::from_secs(60));
    // Another origin, another key, another person, nobody verified, a counter that went back: a copy.
    let mut wrongs = [
        Authenticator { origin: "https://misora.test".into(), ..phone.clone() },
        Authenticator { key: SigningKey::from_slice(&[9; 32]).unwrap(), ..phone.clone() },
        Authenticator { user: json!(text(&[0; 16])), ..phone.clone() },
        Authenticator { id: vec![5; 24], ..phone.clone() },
    ];
    for wrong in &mut wrongs {
        assert_eq!(sign_in(&site, wrong).await.error(), refused);
    }
    site.bed.clock.advance(Duration::from_secs(60));
    let begun = post(&site, "/api/sessions/passkey/start", None, json!({})).await.ok();
    let credential = phone.get(&begun["options"], PRESENT);
    let body = json!({ "ceremony": begun["ceremony"], "credential": credential });
    assert_eq!(post(&site, "/api/sessions/passkey", None, body).await.error(), refused);
    let mut copy = phone.clone();
    sign_in(&site, &mut phone).await.ok();
    assert_eq!(sign_in(&site, &mut copy).await.error(), refused);
}

#[tokio::test]
async fn a_ceremony_works_once_for_whoever_began_it() {
    let site = Site::new().await;
    let cookie = site.sign_in(site.owner()).await;
    let mut phone = Authenticator::new(1);
    register(&site, &cookie, &mut phone, "phone").await.ok();
    let over = (400, "ceremony_over".to_owned(), "ceremony".to_owned());

    let begun = post(&site, "/api/sessions/passkey/start", None, json!({})).await.ok();
    let body = json!({ "ceremony": begun["ceremony"], "credential": phone.get(&begun["options"], PRESENT | VERIFIED) });
    post(&site, "/api/sessions/passkey", None, body.clone()).await.ok();
    assert_eq!(post(&site, "/api/sessions/passkey", None, body).await.error(), over);

    let begun = post(&site, "/api/sessions/passkey/start", None, json!({})).await.ok();
    let body = json!({ "ceremony": begun["ceremony"], "credential": phone.get(&begun["options"], PRESENT | VERIFIED) });
    site.bed.clock.advance(Duration::from_secs(301));
    assert_eq!(post(&site, "/api/sessions/passkey", None, body).await.error(), over);

    // Another person cannot end what one began, nor one kind of ceremony the other.
    let cookie = site.sign_in(site.owner()).await;
    let begun = post(&site, "/api/account/passkeys/start", Some(&cookie), json!({})).await.ok();
    let credential = Authenticator::new(2).create(&begun["options"]);
    let stranger = site.with_role("stranger@example.org", Service::Video, platform::Role::Member).await;
    let body = json!({ "ceremony": begun["ceremony"], "credential": credential });
    assert_eq!(post(&site, "/api/account/passkeys", Some(&stranger), body).await.error(), over);
    let begun = post(&site, "/api/account/passkeys/start", Some(&cookie), json!({})).await.ok();
    let body = json!({ "ceremony": begun["ceremony"], "credential": phone.get(&begun["options"], PRESENT | VERIFIED) });
    assert_eq!(post(&site, "/api/sessions/passkey", None, body).await.error(), over);
}

#[tokio::test]
async fn passkeys_need_an_address_with_a_name() {
    let bed = Bed::with(|settings| settings.base_url = "http://127.0.0.1:8080".into()).await;
    let site = Site::of(bed).await;
    let answer = post(&site, "/api/sessions/passkey/start", None, json!({})).await;
    assert_eq!(answer.error(), (400, "invalid_state".into(), "-".into()));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("public_url"));
}
