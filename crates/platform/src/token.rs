//! Secrets that we hand out once and keep only as a hash: sessions, recovery codes, invites, one-time links.
//! API keys have their own file.

use sha2::{Digest, Sha256};

use crate::hex;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A browser's session.
    Session,
    /// A way back in without password.
    RecoveryCode,
    /// Joining.
    Invite,
    /// The one-time link that makes the first administrator.
    SetUp,
    /// The link in an e-mail that confirms the address.
    EmailConfirmation,
    /// The link in an e-mail that sets a new password.
    PasswordReset,
    /// A ceremony with a passkey that was begun.
    Ceremony,
    /// The page of a notice that something should be taken down.
    Takedown,
    /// The page of what a holder of rights asks for.
    RightsRequest,
}

/// A secret with its kind and checksum: `mis_KIND_SECRET_CRC32`, 192 random bits. `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    kind: TokenKind,
    secret: [u8; 24],
}

/// SHA-256 of a token's or key's whole text: what is stored. There is nothing to guess in 192 random bits, so
/// it needs no slow hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// A text that is no token of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no valid {}", .0.name())]
pub struct TokenError(pub TokenKind);

impl TokenKind {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "ses",
            Self::RecoveryCode => "rec",
            Self::Invite => "inv",
            Self::SetUp => "set",
            Self::EmailConfirmation => "eml",
            Self::PasswordReset => "pwr",
            Self::Ceremony => "cer",
            Self::Takedown => "tkd",
            Self::RightsRequest => "rts",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::RecoveryCode => "recovery code",
            Self::Invite => "invite",
            Self::SetUp => "set-up link",
            Self::EmailConfirmation => "confirmation link",
            Self::PasswordReset => "password link",
            Self::Ceremony => "ceremony",
            Self::Takedown => "link of a notice",
            Self::RightsRequest => "link of a request",
        }
    }
}

impl Token {
    /// A token from 24 random bytes.
    pub fn new(kind: TokenKind, entropy: [u8; 24]) -> Self {
        Self { kind, secret: entropy }
    }

    /// Reads a token of one kind.
    ///
    /// # Errors
    /// [`TokenError`] for any other text, a wrong checksum included.
    pub fn parse(text: &str, kind: TokenKind) -> Result<Self, TokenError> {
        let error = TokenError(kind);
        let body = without_checksum(text).ok_or(error)?;
        let secret = body.strip_prefix("mis_").and_then(|rest| rest.strip_prefix(kind.word())).ok_or(error)?;
        let secret = secret.strip_prefix('_').and_then(hex::decode).ok_or(error)?;
        Ok(Self { kind, secret })
    }

    /// The text to hand out: the only place where the secret is written.
    pub fn reveal(&self) -> String {
        with_checksum(format!("mis_{}_{}", self.kind.word(), hex::encode(&self.secret)))
    }

    /// What to store.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.reveal())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?})", self.kind)
    }
}

impl TokenHash {
    /// The hash of a token's text.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// The hash as a row holds it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash")
    }
}

fn checksum_of(text: &str) -> [u8; 4] {
    crc32fast::hash(text.as_bytes()).to_be_bytes()
}

/// Adds the CRC-32 by which a scanner of leaks tells a token from chance.
pub(crate) fn with_checksum(body: String) -> String {
    let checksum = hex::encode(&checksum_of(&body));
    body + "_" + &checksum
}

/// The text before a right checksum.
pub(crate) fn without_checksum(text: &str) -> Option<&str> {
    let (body, checksum) = text.rsplit_once('_')?;
    (hex::decode(checksum) == Some(checksum_of(body))).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_its_own_kind_only() {
        let token = Token::new(TokenKind::Session, [9; 24]);
        let text = token.reveal();
        assert_eq!(Token::parse(&text, TokenKind::Session), Ok(token.clone()));
        assert!(Token::parse(&text, TokenKind::Invite).is_err());
        assert!(Token::parse(&text.replacen("09", "08", 1), TokenKind::Session).is_err());
        assert_eq!(format!("{token:?} {:?}", token.hash()), "Token(Session) TokenHash");
    }
}
