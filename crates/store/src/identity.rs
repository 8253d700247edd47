//! Identities: the login, and nothing of what is done with it.

use platform::{IdentityId, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::moment;
use crate::store::Store;

/// A person's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: IdentityId,
    /// Its address in small letters, unique.
    pub email: String,
    /// When the address was confirmed.
    pub email_confirmed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What proves who someone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// An argon2id hash in PHC form.
    Password,
}

impl Store {
    /// Makes an identity. The address is kept in small letters, without the blanks around it.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the address is taken.
    pub async fn create_identity(&self, id: IdentityId, email: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO identities (id, email, created_at) VALUES ($1, $2, $3) ON CONFLICT (email) DO NOTHING";
        match self.database.execute(sql, args![id, normal(email), now]).await? {
            0 => Err(StoreError::Exists("identity")),
            _ => Ok(()),
        }
    }

    /// An identity.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn identity(&self, id: IdentityId) -> Result<Identity, StoreError> {
        let row = self.database.first("SELECT * FROM identities WHERE id = $1", args![id]).await?;
        Identity::from_row(&row.ok_or(StoreError::NotFound("identity"))?)
    }

    /// The identity of an address.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn identity_by_email(&self, email: &str) -> Result<Option<Identity>, StoreError> {
        let row = self.database.first("SELECT * FROM identities WHERE email = $1", args![normal(email)]).await?;
        row.map(|row| Identity::from_row(&row)).transpose()
    }

    /// All identities, the oldest first; for administrators.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn identities(&self, after: Option<IdentityId>, limit: u32) -> Result<Vec<Identity>, StoreError> {
        let after = after.unwrap_or(IdentityId::from_bytes([0; 16]));
        let sql = "SELECT * FROM identities WHERE id > $1 ORDER BY id LIMIT $2";
        self.database.all(sql, args![after, limit]).await?.iter().map(Identity::from_row).collect()
    }

    /// The address is confirmed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn confirm_email(&self, id: IdentityId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE identities SET email_confirmed_at = COALESCE(email_confirmed_at, $2) WHERE id = $1";
        self.database.execute(sql, args![id, now]).await.map(|_| ())
    }

    /// Keeps a credential in place of the one of its kind.
    ///
    /// # Errors
    /// [`StoreError::Database`], also if there is no such identity.
    pub async fn set_credential(
        &self,
        id: IdentityId,
        kind: CredentialKind,
        secret: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO credentials (identity, kind, secret, updated_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (identity, kind) DO UPDATE SET secret = excluded.secret, updated_at = excluded.updated_at";
        self.database.execute(sql, args![id, kind.as_str(), secret, now]).await.map(|_| ())
    }

    /// The credential of a kind.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn credential(&self, id: IdentityId, kind: CredentialKind) -> Result<Option<String>, StoreError> {
        let sql = "SELECT secret FROM credentials WHERE identity = $1 AND kind = $2";
        self.database.first(sql, args![id, kind.as_str()]).await?.map(|row| row.text("secret")).transpose()
    }

    /// Forgets the credential of a kind.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn remove_credential(&self, id: IdentityId, kind: CredentialKind) -> Result<(), StoreError> {
        let sql = "DELETE FROM credentials WHERE identity = $1 AND kind = $2";
        self.database.execute(sql, args![id, kind.as_str()]).await.map(|_| ())
    }
}

fn normal(email: &str) -> String {
    email.trim().to_lowercase()
}

impl Identity {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: IdentityId::from_bytes(row.id("id")?),
            email: row.text("email")?,
            email_confirmed_at: moment(row, "email_confirmed_at")?,
            created_at: Timestamp::from_micros(row.int("created_at")?),
        })
    }
}

impl CredentialKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
        }
    }
}
