//! What a stranger can do with a signed file, and what the verifier then says.

#![allow(clippy::unwrap_used)]

mod hostile;
mod keys;
mod signing;
mod statements;

use provenance::{Action, Model, Provenance, SigningKey, SoftwareAgent, TrainingChoice};
use serde_json::json;

/// Eight frames of a test pattern, 64×36, H.264 with fast start; made with ffmpeg's `testsrc2`.
const CLIP: &[u8] = include_bytes!("clip.mp4");

/// A fresh installation's key in a folder of its own.
fn installation(organisation: &str) -> (tempfile::TempDir, SigningKey) {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::open_or_create(&dir.path().join("keys"), organisation).unwrap();
    (dir, key)
}

/// What is known about a clip made from words.
fn created() -> Provenance<'static> {
    Provenance {
        title: "a red boat sails right".to_owned(),
        action: Action::Created,
        software_agent: SoftwareAgent { name: "Misora".to_owned(), version: "0.1.0".to_owned() },
        model: Model { name: "paper-1-nano".to_owned(), weights_hash: "sha256:0123abcd".to_owned() },
        recipe: json!({ "prompt": "a red boat sails right", "seed": u64::MAX, "guidance": 4.5 }),
        training: TrainingChoice::NotAllowed,
        when: time::macros::datetime!(2026-11-23 21:30:00 UTC),
        visible_mark: true,
        parent: None,
        placed: Vec::new(),
    }
}

/// What is known about a clip made from another.
fn made_from<'a>(parent: &'a [u8], action: Action, title: &str) -> Provenance<'a> {
    Provenance { title: title.to_owned(), action, parent: Some(parent), ..created() }
}
