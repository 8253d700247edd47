//! Passkeys: what an authenticator registered, in the words of the library that checks it.

use platform::{IdentityId, PasskeyId, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::{moment, number};
use crate::store::Store;

/// A passkey. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its id here.
    pub id: PasskeyId,
    /// Whose.
    pub identity: IdentityId,
    /// The authenticator's own id of it, unique.
    pub credential_id: Vec<u8>,
    /// What its owner calls it.
    pub name: String,
    /// How the authenticator is reached, a bit for each way.
    pub transports: u8,
    /// The public key and what else stays.
    pub static_state: Vec<u8>,
    /// The counter and what else changes with each use.
    pub dynamic_state: Vec<u8>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last signed in.
    pub last_used_at: Option<Timestamp>,
}

impl Store {
    /// Keeps a new passkey.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the authenticator's id is known.
    pub async fn create_passkey(&self, passkey: &Passkey) -> Result<(), StoreError> {
        let sql = "INSERT INTO passkeys (id, identity, credential_id, name, transports, static_state, dynamic_state, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (credential_id) DO NOTHING";
        let args = args![
            passkey.id,
            passkey.identity,
            passkey.credential_id.clone(),
            passkey.name.as_str(),
            u16::from(passkey.transports),
            passkey.static_state.clone(),
            passkey.dynamic_state.clone(),
            passkey.created_at,
        ];
        match self.database.execute(sql, args).await? {
            0 => Err(StoreError::Exists("passkey")),
            _ => Ok(()),
        }
    }

    /// A person's passkeys, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn passkeys(&self, identity: IdentityId) -> Result<Vec<Passkey>, StoreError> {
        let sql = "SELECT * FROM passkeys WHERE identity = $1 ORDER BY id";
        self.database.all(sql, args![identity]).await?.iter().map(Passkey::from_row).collect()
    }

    /// The passkey of an authenticator's id.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn passkey_by_credential(&self, credential_id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let sql = "SELECT * FROM passkeys WHERE credential_id = $1";
        let row = self.database.first(sql, args![credential_id.to_vec()]).await?;
        row.map(|row| Passkey::from_row(&row)).transpose()
    }

    /// A passkey signed in. Says no if what changes with each use is not what the caller knew: two took the same counter.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn passkey_used(
        &self,
        passkey: &Passkey,
        dynamic_state: &[u8],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE passkeys SET dynamic_state = $3, last_used_at = $4 WHERE id = $1 AND dynamic_state = $2";
        let args = args![passkey.id, passkey.dynamic_state.clone(), dynamic_state.to_vec(), now];
        Ok(self.database.execute(sql, args).await? > 0)
    }

    /// Calls a passkey something else.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another person's.
    pub async fn rename_passkey(&self, identity: IdentityId, id: PasskeyId, name: &str) -> Result<(), StoreError> {
        let sql = "UPDATE passkeys SET name = $3 WHERE id = $1 AND identity = $2";
        found(self.database.execute(sql, args![id, identity, name]).await?)
    }

    /// Forgets a passkey.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another person's.
    pub async fn delete_passkey(&self, identity: IdentityId, id: PasskeyId) -> Result<(), StoreError> {
        let sql = "DELETE FROM passkeys WHERE id = $1 AND identity = $2";
        found(self.database.execute(sql, args![id, identity]).await?)
    }
}

fn found(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound("passkey")) } else { Ok(()) }
}

impl Passkey {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: PasskeyId::from_bytes(row.id("id")?),
            identity: IdentityId::from_bytes(row.id("identity")?),
            credential_id: row.blob("credential_id")?,
            name: row.text("name")?,
            transports: number(row, "transports")?,
            static_state: row.blob("static_state")?,
            dynamic_state: row.blob("dynamic_state")?,
            created_at: Timestamp::from_micros(row.int("created_at")?),
            last_used_at: moment(row, "last_used_at")?,
        })
    }
}
