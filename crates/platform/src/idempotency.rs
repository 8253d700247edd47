//! A key with which a client may send the same request twice and have it once.

use sha2::{Digest, Sha256};

use crate::refusal::{Refusal, RefusalCode};

/// An `Idempotency-Key`: 1 to 255 printable ASCII characters. It counts within one project, for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// What a request said, to tell the same from another: SHA-256 of its method, path and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl IdempotencyKey {
    /// Reads a header's value.
    ///
    /// # Errors
    /// [`Refusal`] for an empty, long or unprintable one.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Ok(Self(text.to_owned()));
        }
        let message = "An Idempotency-Key has 1 to 255 printable ASCII characters.";
        Err(Refusal::new(RefusalCode::InvalidValue, None, message))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Fingerprint {
    /// Of a request. A multipart body differs by its boundary each time: give its parsed parts instead.
    pub fn of(method: &str, path: &str, body: &[u8]) -> Self {
        let length = (method.len() as u64).to_be_bytes();
        let path_length = (path.len() as u64).to_be_bytes();
        let hash = Sha256::new().chain_update(length).chain_update(method).chain_update(path_length).chain_update(path);
        Self(hash.chain_update(body).finalize().into())
    }

    /// From a row.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As a row holds it.
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}
