//! Passwords: argon2id, hashed and compared on a thread that may compute, never told or logged.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use platform::IdentityId;
use store::CredentialKind;

use crate::app::App;
use crate::http::error::ApiError;

/// The hash of a password that nobody has, so that an unknown address takes as long as a known one.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bWlzb3JhLW5vYm9keQ$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

/// A password that is good enough: 10 to 200 characters. Its `Debug` prints nothing.
#[derive(Clone)]
pub(crate) struct NewPassword(String);

impl NewPassword {
    /// Reads a new password.
    pub(crate) fn parse(text: &str, param: &'static str) -> Result<Self, ApiError> {
        if (10..=200).contains(&text.chars().count()) {
            return Ok(Self(text.to_owned()));
        }
        Err(ApiError::invalid(param, "A password has 10 to 200 characters."))
    }

    /// Keeps it for someone, in place of the one before.
    pub(crate) async fn keep(self, app: &App, identity: IdentityId) -> Result<(), ApiError> {
        let salt = app.random::<16>();
        let work = move || {
            let salt = SaltString::encode_b64(&salt).map_err(|error| ApiError::internal(&error))?;
            let hash = Argon2::default().hash_password(self.0.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|error| ApiError::internal(&error))
        };
        let hash = tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))??;
        Ok(app.store.set_credential(identity, CredentialKind::Password, &hash, app.now()).await?)
    }
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword")
    }
}

/// Whether a password is someone's. Nobody has none.
pub(crate) async fn is_password(app: &App, identity: Option<IdentityId>, password: &str) -> Result<bool, ApiError> {
    let known = match identity {
        Some(identity) => app.store.credential(identity, CredentialKind::Password).await?,
        None => None,
    };
    let (known, password) = (known, password.to_owned());
    let work = move || {
        let hash = PasswordHash::new(known.as_deref().unwrap_or(NOBODY)).map_err(|error| ApiError::internal(&error))?;
        let same = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        Ok(same && known.is_some())
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}
