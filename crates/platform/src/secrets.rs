//! Secrets in a text that is about to leave: found by what they look like, and by their checksum where they have one.

use crate::api_key::ApiKeySecret;
use crate::token::{Token, TokenKind};

/// What a secret was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An API key of ours, checksum and all.
    ApiKey,
    /// A session, an invite, a code or a link of ours, checksum and all.
    Token,
    /// A private key as PEM.
    PrivateKey,
    /// The seed of an authenticator app, as an address that such apps open.
    AuthenticatorSeed,
    /// The secret of a webhook.
    WebhookSecret,
}

/// What stands where a secret was.
#[must_use]
pub fn placeholder(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::ApiKey => "[an API key was taken out]",
        SecretKind::Token => "[a token was taken out]",
        SecretKind::PrivateKey => "[a private key was taken out]",
        SecretKind::AuthenticatorSeed => "[a seed of an authenticator app was taken out]",
        SecretKind::WebhookSecret => "[a webhook's secret was taken out]",
    }
}

/// The secrets in a text with the bytes that they take, in order. What only looks like a key of ours but has a wrong checksum is none.
pub fn find_secrets(text: &str) -> Vec<(SecretKind, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(['m', 'w', 'o', '-']) {
        let start = at + offset;
        match secret_at(&text[start..]) {
            Some((kind, length)) => {
                found.push((kind, start..start + length));
                at = start + length;
            }
            None => at = start + 1,
        }
    }
    found
}

/// The text with a placeholder for each secret, and how many there were.
pub fn without_secrets(text: &str) -> (String, usize) {
    let found = find_secrets(text);
    let (mut clean, mut at) = (String::with_capacity(text.len()), 0);
    for (kind, range) in &found {
        clean.push_str(&text[at..range.start]);
        clean.push_str(placeholder(*kind));
        at = range.end;
    }
    clean.push_str(&text[at..]);
    (clean, found.len())
}

const TOKENS: [TokenKind; 8] = [
    TokenKind::Session,
    TokenKind::RecoveryCode,
    TokenKind::Invite,
    TokenKind::SetUp,
    TokenKind::EmailConfirmation,
    TokenKind::PasswordReset,
    TokenKind::Ceremony,
    TokenKind::Takedown,
];

/// The secret that a text begins with, and how long it is.
fn secret_at(text: &str) -> Option<(SecretKind, usize)> {
    if text.starts_with("mis_") {
        let length = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        // A key with something glued to its end is a key all the same: it ends after the digits of its checksum.
        let ends = [API_KEY_LENGTH, TOKEN_LENGTH].into_iter().filter(|end| *end <= length);
        for end in ends {
            let word = &text[..end];
            if ApiKeySecret::parse(word).is_ok() {
                return Some((SecretKind::ApiKey, end));
            }
            if TOKENS.iter().any(|kind| Token::parse(word, *kind).is_ok()) {
                return Some((SecretKind::Token, end));
            }
        }
        return None;
    }
    if let Some(rest) = text.strip_prefix("whsec_") {
        let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count();
        return (length >= 32).then_some((SecretKind::WebhookSecret, text.len() - rest.len() + length));
    }
    if text.starts_with("otpauth://") {
        let length = text.bytes().take_while(|byte| !byte.is_ascii_whitespace() && !b"\"'<>\\".contains(byte)).count();
        return Some((SecretKind::AuthenticatorSeed, length));
    }
    let label = text.strip_prefix("-----BEGIN ")?;
    let (label, rest) = label.split_once("-----")?;
    if label.len() > 60 || !label.ends_with("PRIVATE KEY") {
        return None;
    }
    // One that was cut off is one to the end of the text.
    let end = format!("-----END {label}-----");
    let body = rest.find(&end).map_or(rest.len(), |at| at + end.len());
    Some((SecretKind::PrivateKey, text.len() - rest.len() + body))
}

/// `mis_sk_`, 32 digits, `_`, 48 digits, `_`, 8 digits.
const API_KEY_LENGTH: usize = 7 + 32 + 1 + 48 + 1 + 8;
/// `mis_ses_`, 48 digits, `_`, 8 digits.
const TOKEN_LENGTH: usize = 8 + 48 + 1 + 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ApiKeyId;
    use crate::webhook::WebhookSecret;

    fn key() -> String {
        ApiKeySecret::new(ApiKeyId::from_bytes([7; 16]), [9; 24]).reveal()
    }

    #[test]
    fn planted_secrets_are_found_and_taken_out() {
        let check = |secret: &str, kind: SecretKind| {
            for (before, after) in [("", ""), ("my key: ", " (laptop)"), ("空\"", "\"空"), ("a-b-", "_x"), ("mis_", "")]
            {
                let text = format!("{before}{secret}{after}");
                let found = find_secrets(&text);
                assert_eq!(found.len(), 1, "{text}: {found:?}");
                assert_eq!(found[0].0, kind, "{text}");
                let (clean, count) = without_secrets(&text);
                assert_eq!((clean.contains(secret), count), (false, 1), "{clean}");
                assert!(clean.starts_with(before) && find_secrets(&clean).is_empty(), "{clean}");
            }
        };
        check(&key(), SecretKind::ApiKey);
        for kind in TOKENS {
            check(&Token::new(kind, [5; 24]).reveal(), SecretKind::Token);
        }
        check(&WebhookSecret::new([3; 32]).reveal(), SecretKind::WebhookSecret);
        check("otpauth://totp/Misora:mika?secret=JBSWY3DPEHPK3PXP&issuer=Misora", SecretKind::AuthenticatorSeed);
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let pem = format!("-----BEGIN {label}-----\nMIGHAgEAMBMG\n-----END {label}-----");
            check(&pem, SecretKind::PrivateKey);
        }
    }

    #[test]
    fn several_are_found_one_after_the_other() {
        let text = format!("{k}{k} {k}\nwhsec_{}", "A".repeat(44), k = key());
        assert_eq!(find_secrets(&text).len(), 4);
        assert_eq!(find_secrets("-----BEGIN PRIVATE KEY-----\ncut off").len(), 1);
    }

    #[test]
    fn what_only_looks_like_a_secret_is_none() {
        let mut wrong = key();
        wrong.replace_range(50..51, if &wrong[50..51] == "0" { "1" } else { "0" });
        for text in [
            wrong.as_str(),
            "mis_sk_",
            "mis_",
            "m",
            "whsec_short",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN ",
            "otpauth",
            "空-----空",
        ] {
            assert_eq!(find_secrets(text), [], "{text}");
        }
    }
}
