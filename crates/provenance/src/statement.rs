//! Statements of the installation that stand on their own: a receipt, an index. Facts as JSON under the key that signs videos, so that
//! whoever holds the file can show it years later, without network and without us.
//!
//! A statement is a JSON Web Signature (RFC 7515) in the flattened JSON serialisation of §7.2.2. Its protected header has three
//! members: `alg`, `typ` (what kind of statement it is) and `x5c` (the certificates, the signing one first).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use c2pa::SigningAlg;
use c2pa::crypto::cose::{CertificateProfileError, CertificateTrustPolicy, check_end_entity_certificate_profile};
use c2pa::crypto::raw_signature::validator_for_signing_alg;
use c2pa::status_tracker::StatusTracker;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::key::{KeyError, SigningKey, certificates};
use crate::report::{Signer, State, one_line};
use crate::verify::{TrustedRoots, signer_of_chain};

/// More facts than this belong into a file of their own, whose digest the statement has.
const MAX_PAYLOAD_BYTES: usize = 4 << 20;
/// The payload in base64, the certificates, and what stands around them.
const MAX_FILE_BYTES: usize = MAX_PAYLOAD_BYTES / 3 * 4 + (1 << 20);
const MAX_CERTIFICATES: usize = 8;
/// Lines that a summary shows of the facts.
const MAX_LINES: usize = 200;

/// Why a statement could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// A kind that no media type can be.
    #[error("a statement's kind is 1 to 100 of a-z, 0-9, `.`, `-` and `+`, got {0:?}")]
    Kind(String),
    /// The facts are no JSON.
    #[error("what is stated must be JSON")]
    Payload(#[from] serde_json::Error),
    /// The facts are too long.
    #[error("a statement has at most {MAX_PAYLOAD_BYTES} bytes, got {0}")]
    TooLong(usize),
    /// The certificates cannot be read.
    #[error("cannot read the certificates of the signing key")]
    Certificates(#[from] KeyError),
    /// The C2PA library, whose cryptography signs, failed.
    #[error("cannot sign the statement")]
    Sign(#[source] Box<c2pa::Error>),
}

/// The flattened serialisation. An unprotected `header` is refused, since nobody vouches for it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    protected: String,
    signature: String,
}

/// What is signed with the payload. A member that we do not know, `crit` above all, may change what the signature means.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Algorithm,
    typ: String,
    x5c: Vec<String>,
}

/// RFC 7518 §3.1 and RFC 8037 §3.1: what [`SigningKey`] signs with.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Algorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "ES384")]
    Es384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Signs facts. `kind` is a media type without its `application/`, such as `misora-deletion-receipt+json`; `payload` is JSON.
///
/// # Errors
/// [`StatementError`]; a payload that is no JSON or over 4 MiB is the caller's mistake.
pub fn sign_statement(key: &SigningKey, kind: &str, payload: &[u8]) -> Result<String, StatementError> {
    if !is_kind(kind) {
        return Err(StatementError::Kind(kind.to_owned()));
    }
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(StatementError::TooLong(payload.len()));
    }
    serde_json::from_slice::<Value>(payload)?;
    let alg = match key.algorithm() {
        SigningAlg::Es384 => Algorithm::Es384,
        SigningAlg::Ed25519 => Algorithm::EdDsa,
        _ => Algorithm::Es256,
    };
    let x5c = certificates(key.chain_pem())?.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    let header = Header { alg, typ: kind.to_owned(), x5c };
    let protected = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let sign_failed = |error| StatementError::Sign(Box::new(error));
    let signature =
        key.signer().map_err(sign_failed)?.sign(signing_input(&protected, &payload).as_bytes()).map_err(sign_failed)?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Ok(serde_json::to_string(&Envelope { payload, protected, signature })?)
}

/// Whether bytes are worth reading as a statement rather than as a video or picture. Damaged ones are too.
pub fn looks_like_statement(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

/// Says whether a statement is as it was signed, by whom, and what it states. Never fails, never panics, never opens the network.
pub fn verify_statement(bytes: &[u8], trusted: &TrustedRoots) -> StatementReport {
    if bytes.len() > MAX_FILE_BYTES {
        return StatementReport::bare(State::Unreadable);
    }
    // As with files: a panic in a parser is something unreadable to us.
    catch_unwind(AssertUnwindSafe(|| read(bytes, trusted)))
        .unwrap_or_else(|_| StatementReport::bare(unreadable_state(bytes)))
}

fn read(bytes: &[u8], trusted: &TrustedRoots) -> StatementReport {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) else {
        return StatementReport::bare(unreadable_state(bytes));
    };
    let mut report = StatementReport::bare(State::Tampered);
    let payload = URL_SAFE_NO_PAD.decode(&envelope.payload).unwrap_or_default();
    report.payload = serde_json::from_slice(&payload).ok();
    let header = URL_SAFE_NO_PAD
        .decode(&envelope.protected)
        .ok()
        .and_then(|header| serde_json::from_slice::<Header>(&header).ok())
        .filter(|header| header.x5c.len() <= MAX_CERTIFICATES && is_kind(&header.typ));
    let Some(header) = header else {
        report.codes.push("statement.header.unreadable".to_owned());
        return report;
    };
    let chain: Option<Vec<Vec<u8>>> = header.x5c.iter().map(|certificate| STANDARD.decode(certificate).ok()).collect();
    let chain = chain.unwrap_or_default();
    report.kind = Some(header.typ);
    report.signer = signer_of_chain(&chain, trusted);
    let holds = if report.payload.is_none() {
        Err("statement.payload.unreadable")
    } else {
        check(header.alg, &chain, &envelope)
    };
    match holds {
        Ok(()) => report.state = State::Untouched,
        Err(code) => report.codes.push(code.to_owned()),
    }
    report
}

/// Whether the first certificate may sign and did; otherwise the code that says why not.
fn check(algorithm: Algorithm, chain: &[Vec<u8>], envelope: &Envelope) -> Result<(), &'static str> {
    let (algorithm, signature_bytes) = match algorithm {
        Algorithm::Es256 => (SigningAlg::Es256, 64),
        Algorithm::Es384 => (SigningAlg::Es384, 96),
        Algorithm::EdDsa => (SigningAlg::Ed25519, 64),
    };
    let leaf_der = chain.first().ok_or("signingCredential.invalid")?;
    let (rest, leaf) = X509Certificate::from_der(leaf_der).map_err(|_| "signingCredential.invalid")?;
    if !rest.is_empty() {
        return Err("signingCredential.invalid");
    }
    // Only the form of RFC 7518 §3.4: the library would take others too.
    let signature = URL_SAFE_NO_PAD
        .decode(&envelope.signature)
        .ok()
        .filter(|signature| signature.len() == signature_bytes)
        .ok_or("statement.signature.mismatch")?;
    let input = signing_input(&envelope.protected, &envelope.payload);
    validator_for_signing_alg(algorithm)
        .ok_or("statement.signature.mismatch")?
        .validate(&signature, input.as_bytes(), leaf.public_key().raw)
        .map_err(|_| "statement.signature.mismatch")?;
    let mut policy = CertificateTrustPolicy::new();
    policy.add_default_valid_ekus();
    check_end_entity_certificate_profile(leaf_der, &policy, &mut StatusTracker::default(), None).map_err(|error| {
        match error {
            CertificateProfileError::CertificateNotValidAtTime => "signingCredential.expired",
            _ => "signingCredential.invalid",
        }
    })
}

/// RFC 7515 §5.1: what is signed is the text in base64, so no other text of the same facts will do.
fn signing_input(protected: &str, payload: &str) -> String {
    format!("{protected}.{payload}")
}

fn is_kind(kind: &str) -> bool {
    (1..=100).contains(&kind.len())
        && kind.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'+'))
}

/// What no envelope could be read from: was it one once?
fn unreadable_state(bytes: &[u8]) -> State {
    let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    if looks_like_statement(bytes) && has(b"\"protected\"") && has(b"\"signature\"") {
        State::Tampered
    } else {
        State::Unreadable
    }
}

/// What a statement says, who signed it, and whether it is as it was signed.
///
/// The facts are the signer's claims. They are shown for tampered statements too, where nobody vouches for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementReport {
    /// Whether it is as it was signed.
    pub state: State,
    /// What kind of statement it is, such as `misora-deletion-receipt+json`.
    pub kind: Option<String>,
    /// Who signed.
    pub signer: Option<Signer>,
    /// What it states.
    pub payload: Option<Value>,
    /// Why it does not hold, in words for programs.
    pub codes: Vec<String>,
}

impl StatementReport {
    fn bare(state: State) -> Self {
        Self { state, kind: None, signer: None, payload: None, codes: Vec::new() }
    }

    fn reason(&self) -> &'static str {
        match self.codes.first().map(String::as_str) {
            Some("signingCredential.expired") => {
                "NOT CONFIRMED: the signing certificate has expired, or was not valid yet."
            }
            Some("signingCredential.invalid") => "NOT CONFIRMED: the signing certificate is not one for statements.",
            _ => "TAMPERED: this statement was changed after it was signed.",
        }
    }
}

impl fmt::Display for StatementReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::Untouched => writeln!(f, "UNTOUCHED: this statement says what it said when it was signed.")?,
            State::Tampered => {
                writeln!(f, "{}", self.reason())?;
                if self.payload.is_some() || self.signer.is_some() {
                    writeln!(f, "What it claims, for which nobody vouches any more:")?;
                }
            }
            State::Unreadable | State::NoCredentials => {
                return write!(f, "UNREADABLE: this is no signed statement, or a damaged one.");
            }
        }
        if let Some(kind) = &self.kind {
            let what = match kind.as_str() {
                "misora-deletion-receipt+json" => "a receipt of deletion",
                "misora-evidence-index+json" => "the index of an evidence kit",
                _ => "a statement",
            };
            writeln!(f, "  {:<10} {what} ({kind})", "what")?;
        }
        if let Some(signer) = &self.signer {
            writeln!(f, "  {:<10} {}", "who", one_line(&signer.sentence()))?;
        }
        if let Some(payload) = &self.payload {
            let mut lines = Vec::new();
            tell(payload, "", &mut lines);
            let more = lines.len() > MAX_LINES;
            for (index, line) in lines.iter().take(MAX_LINES).enumerate() {
                writeln!(f, "  {:<10} {line}", if index == 0 { "says" } else { "" })?;
            }
            if more {
                writeln!(f, "  {:<10} … and more: `--json` tells all of it", "")?;
            }
        }
        Ok(())
    }
}

/// The facts, one a line: `objects.0.name: value`. Stops soon after [`MAX_LINES`].
fn tell(value: &Value, path: &str, lines: &mut Vec<String>) {
    if lines.len() > MAX_LINES {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, member)| tell(member, &below(name), lines));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(index, item)| tell(item, &below(&(index + 1).to_string()), lines));
        }
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(words).collect();
            lines.push(one_line(&format!("{path}: {}", words.join(", "))));
        }
        value if path.is_empty() => lines.push(one_line(&words(value))),
        value => lines.push(one_line(&format!("{path}: {}", words(value)))),
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Value::Null => "nothing".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_told_one_a_line() {
        let mut lines = Vec::new();
        let facts = json!({ "complete": true, "kept": [], "services": ["video", "api"], "stores": [{ "gone": 3 }, { "name": "rows" }] });
        tell(&facts, "", &mut lines);
        assert_eq!(
            lines,
            ["complete: yes", "kept: ", "services: video, api", "stores.1.gone: 3", "stores.2.name: rows"]
        );
    }

    #[test]
    fn strangers_cannot_draw_on_the_terminal() {
        let mut report = StatementReport::bare(State::Untouched);
        let text = "x\u{1b}[2J\n".repeat(1000);
        let items: Vec<Value> = (0..1000).map(|_| json!({ "name": text })).collect();
        report.payload = Some(json!(items));
        let summary = report.to_string();
        assert!(!summary.contains('\u{1b}'));
        assert!(summary.lines().count() < MAX_LINES + 5 && summary.contains("and more"));
    }

    #[test]
    fn kinds_are_media_types() {
        let check = |kind: &str, expected| assert_eq!(is_kind(kind), expected, "{kind:?}");
        check("misora-deletion-receipt+json", true);
        check("", false);
        check("a b", false);
        check(&"a".repeat(101), false);
    }
}
