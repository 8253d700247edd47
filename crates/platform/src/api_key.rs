//! API keys: shown once, stored hashed, limited by scopes, time and address, rotated with an overlap.

use std::net::IpAddr;
use std::time::Duration;

use crate::hex;
use crate::id::{ApiKeyId, ProjectId};
use crate::network::IpRange;
use crate::time::Timestamp;
use crate::token::{TokenHash, with_checksum, without_checksum};

/// A whole key: `mis_sk_ID_SECRET_CRC32`, 192 random bits. A scanner of leaks finds it with
/// `mis_sk_[0-9a-f]{32}_[0-9a-f]{48}_[0-9a-f]{8}` and the checksum. `Debug` prints its id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeySecret {
    id: ApiKeyId,
    secret: [u8; 24],
}

/// A text that is no key, told without asking a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no key of this service: keys begin with mis_sk_ and end with a checksum")]
pub struct MalformedKey;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Make videos and pictures, cancel them, delete them.
    VideosWrite,
    /// Read videos, pictures, models.
    VideosRead,
    /// Upload and delete files and characters.
    FilesWrite,
    /// Read files and characters.
    FilesRead,
    /// Make and stop batches.
    BatchesWrite,
    /// Manage webhook endpoints.
    WebhooksWrite,
    /// Read usage and the ledger.
    UsageRead,
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u16);

/// What is remembered of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub id: ApiKeyId,
    /// Whose key.
    pub project: ProjectId,
    /// What its owner calls it.
    pub name: String,
    /// The hash of the whole key.
    pub hash: TokenHash,
    /// What it may be used for.
    pub scopes: Scopes,
    /// Where it may be used from; anywhere if empty.
    pub allowed_ips: Vec<IpRange>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, or will be: a rotation with overlap sets a moment to come.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// From which part of the internet it was then; see [`IpRange::around`].
    pub last_used_from: Option<IpRange>,
}

/// Proof that a key was good for a scope when it was checked. Only [`ApiKey::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    id: ApiKeyId,
    project: ProjectId,
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The secret is not the one that was stored.
    #[error("this key is not known here")]
    Unknown,
    /// It was revoked.
    #[error("this key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this key has expired")]
    Expired,
    /// It may not be used from there.
    #[error("this key may not be used from this address")]
    Address,
    /// It may not be used for that.
    #[error("this key lacks the scope {0}")]
    Scope(Scope),
}

/// An overlap of a rotation that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an old key can stay valid for at most 7 days")]
pub struct OverlapTooLong;

impl ApiKeySecret {
    /// The longest overlap of a rotation.
    pub const MAX_OVERLAP: Duration = Duration::from_secs(7 * 86_400);

    /// A key from its id and 24 random bytes.
    pub fn new(id: ApiKeyId, entropy: [u8; 24]) -> Self {
        Self { id, secret: entropy }
    }

    /// Reads a key and checks its checksum.
    ///
    /// # Errors
    /// [`MalformedKey`] for any other text.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let body = without_checksum(text).and_then(|body| body.strip_prefix("mis_sk_")).ok_or(MalformedKey)?;
        let (id, secret) = body.split_once('_').ok_or(MalformedKey)?;
        let id = hex::decode(id).map(ApiKeyId::from_bytes).ok_or(MalformedKey)?;
        Ok(Self { id, secret: hex::decode(secret).ok_or(MalformedKey)? })
    }

    /// The text to show once: the only place where the secret is written.
    pub fn reveal(&self) -> String {
        with_checksum(format!("mis_sk_{}_{}", hex::encode(&self.id.bytes()), hex::encode(&self.secret)))
    }

    /// What to look it up by.
    pub fn id(&self) -> ApiKeyId {
        self.id
    }

    /// What to store.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.reveal())
    }
}

impl std::fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeySecret({})", self.id)
    }
}

impl ApiKey {
    /// Checks a presented key against what is remembered.
    ///
    /// # Errors
    /// [`KeyRefusal`], the secret checked first, so that a stranger learns nothing about a key.
    pub fn verify(
        &self,
        presented: &ApiKeySecret,
        scope: Scope,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<VerifiedKey, KeyRefusal> {
        if presented.id() != self.id || presented.hash() != self.hash {
            return Err(KeyRefusal::Unknown);
        }
        if self.revoked_at.is_some_and(|end| end <= now) {
            return Err(KeyRefusal::Revoked);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(KeyRefusal::Expired);
        }
        let inside = from.is_some_and(|address| self.allowed_ips.iter().any(|range| range.contains(address)));
        if !self.allowed_ips.is_empty() && !inside {
            return Err(KeyRefusal::Address);
        }
        if !self.scopes.contains(scope) {
            return Err(KeyRefusal::Scope(scope));
        }
        Ok(VerifiedKey { id: self.id, project: self.project })
    }

    /// When the old key ends after a rotation with this overlap. Never later than it would have anyway.
    ///
    /// # Errors
    /// [`OverlapTooLong`] past seven days.
    pub fn end_after_rotation(&self, overlap: Duration, now: Timestamp) -> Result<Timestamp, OverlapTooLong> {
        if overlap > ApiKeySecret::MAX_OVERLAP {
            return Err(OverlapTooLong);
        }
        let end = now + overlap;
        Ok(self.revoked_at.map_or(end, |revoked| revoked.min(end)))
    }
}

impl VerifiedKey {
    /// The key.
    pub fn id(&self) -> ApiKeyId {
        self.id
    }

    /// Its project.
    pub fn project(&self) -> ProjectId {
        self.project
    }
}

impl KeyRefusal {
    /// The stable word that answers carry.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown | Self::Revoked | Self::Expired => "invalid_api_key",
            Self::Address => "ip_not_allowed",
            Self::Scope(_) => "missing_scope",
        }
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::VideosWrite,
        Self::VideosRead,
        Self::FilesWrite,
        Self::FilesRead,
        Self::BatchesWrite,
        Self::WebhooksWrite,
        Self::UsageRead,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VideosWrite => "videos:write",
            Self::VideosRead => "videos:read",
            Self::FilesWrite => "files:write",
            Self::FilesRead => "files:read",
            Self::BatchesWrite => "batches:write",
            Self::WebhooksWrite => "webhooks:write",
            Self::UsageRead => "usage:read",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self((1 << Scope::ALL.len()) - 1);

    /// Whether a scope is in it.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }

    /// The scopes in it.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// Reads words parted by spaces; nothing if a word is unknown.
    pub fn from_words(words: &str) -> Option<Self> {
        words.split_whitespace().map(|word| Scope::ALL.into_iter().find(|scope| scope.as_str() == word)).collect()
    }

    /// The words, parted by spaces.
    pub fn words(self) -> String {
        self.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (ApiKeySecret, ApiKey) {
        let now = Timestamp::from_seconds(0);
        let secret = ApiKeySecret::new(ApiKeyId::new(now, [1; 8]), [2; 24]);
        let key = ApiKey {
            id: secret.id(),
            project: ProjectId::new(now, [3; 8]),
            name: "test".into(),
            hash: secret.hash(),
            scopes: [Scope::VideosRead].into_iter().collect(),
            allowed_ips: Vec::new(),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            last_used_from: None,
        };
        (secret, key)
    }

    #[test]
    fn a_key_reads_back_and_a_typo_does_not() {
        let (secret, _) = key();
        let text = secret.reveal();
        assert_eq!(text.len(), "mis_sk_".len() + 32 + 1 + 48 + 1 + 8);
        assert_eq!(ApiKeySecret::parse(&text), Ok(secret.clone()));
        assert!(!format!("{secret:?}").contains("0202"));
        for at in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(ApiKeySecret::parse(std::str::from_utf8(&typo).unwrap()), Err(MalformedKey));
        }
    }

    #[test]
    fn every_limit_of_a_key_holds() {
        let at = Timestamp::from_seconds;
        let check = |change: &dyn Fn(&mut ApiKey), scope, from: Option<&str>, expected: Result<(), KeyRefusal>| {
            let (secret, mut key) = key();
            change(&mut key);
            let from = from.map(|address| address.parse().unwrap());
            assert_eq!(key.verify(&secret, scope, from, at(100)).map(|_| ()), expected);
        };
        let read = Scope::VideosRead;
        check(&|_| {}, read, None, Ok(()));
        check(&|_| {}, Scope::VideosWrite, None, Err(KeyRefusal::Scope(Scope::VideosWrite)));
        check(&|key| key.expires_at = Some(at(100)), read, None, Err(KeyRefusal::Expired));
        check(&|key| key.revoked_at = Some(at(101)), read, None, Ok(()));
        check(&|key| key.revoked_at = Some(at(100)), read, None, Err(KeyRefusal::Revoked));
        check(&|key| key.hash = TokenHash::of("other"), read, None, Err(KeyRefusal::Unknown));
        let lan = |key: &mut ApiKey| key.allowed_ips = vec!["10.0.0.0/8".parse().unwrap()];
        check(&lan, read, Some("10.1.1.1"), Ok(()));
        check(&lan, read, Some("192.0.2.1"), Err(KeyRefusal::Address));
        check(&lan, read, None, Err(KeyRefusal::Address));
    }

    #[test]
    fn a_rotation_overlaps_at_most_seven_days_and_never_prolongs() {
        let (_, mut key) = key();
        let (day, now) = (Duration::from_secs(86_400), Timestamp::from_seconds(50));
        assert_eq!(key.end_after_rotation(day, now), Ok(now + day));
        assert_eq!(key.end_after_rotation(day * 8, now), Err(OverlapTooLong));
        key.revoked_at = Some(Timestamp::from_seconds(60));
        assert_eq!(key.end_after_rotation(day, now), Ok(Timestamp::from_seconds(60)));
    }

    #[test]
    fn scopes_are_words() {
        assert_eq!(Scopes::from_words(&Scopes::ALL.words()), Some(Scopes::ALL));
        assert_eq!(Scopes::from_words("videos:read root"), None);
    }
}
