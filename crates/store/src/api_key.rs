//! API keys as they are remembered: the hash, never the key.

use std::time::Duration;

use platform::{ApiKey, ApiKeyId, OverlapTooLong, ProjectId, Refusal, RefusalCode, Scopes, Timestamp};

use crate::database::{Row, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, word};
use crate::store::Store;
use crate::tier::token_hash;

impl Store {
    /// Keeps a new key.
    ///
    /// # Errors
    /// [`StoreError::Database`], also if its project does not exist.
    pub async fn create_api_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        self.database.execute(INSERT, &insert_args(key)).await.map(|_| ())
    }

    /// What is remembered of a key; ask [`ApiKey::verify`] whether it is good. Revoked ones are among them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let row = self.database.first("SELECT * FROM api_keys WHERE id = $1", args![id]).await?;
        row.map(|row| from_row(&row)).transpose()
    }

    /// A project's keys, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn api_keys(&self, project: ProjectId) -> Result<Vec<ApiKey>, StoreError> {
        let rows =
            self.database.all("SELECT * FROM api_keys WHERE project = $1 ORDER BY id DESC", args![project]).await?;
        rows.iter().map(from_row).collect()
    }

    /// Notes that a key was used. Call it at most once a minute for each.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn touch_api_key(&self, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        self.database.execute("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", args![id, now]).await.map(|_| ())
    }

    /// Revokes a key. An end that was set for earlier stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_api_key(&self, project: ProjectId, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE api_keys SET revoked_at = CASE WHEN revoked_at <= $3 THEN revoked_at ELSE $3 END
                   WHERE id = $1 AND project = $2";
        match self.database.execute(sql, args![id, project, now]).await? {
            0 => Err(StoreError::NotFound("API key")),
            _ => Ok(()),
        }
    }

    /// Puts a new key in place of an old one, which stays good for the overlap, 0 to 7 days. One transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Refused`] for a longer overlap; [`StoreError::State`] if the old key was revoked.
    pub async fn rotate_api_key(
        &self,
        old: ApiKeyId,
        new: &ApiKey,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT * FROM api_keys WHERE id = $1 AND project = $2{}", tx.for_update());
        let row = tx.first(sql, args![old, new.project]).await?.ok_or(StoreError::NotFound("API key"))?;
        let key = from_row(&row)?;
        if key.revoked_at.is_some_and(|end| end <= now) {
            return Err(StoreError::State { what: "API key", state: "revoked".into() });
        }
        let refuse =
            |error: OverlapTooLong| Refusal::new(RefusalCode::InvalidValue, Some("overlap_seconds"), error.to_string());
        let end = key.end_after_rotation(overlap, now).map_err(refuse)?;
        tx.execute("UPDATE api_keys SET revoked_at = $2 WHERE id = $1", args![old, end]).await?;
        tx.execute(INSERT, &insert_args(new)).await?;
        tx.commit().await?;
        Ok(end)
    }

    /// Keys that end between two moments: for the warning before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn api_keys_expiring(&self, from: Timestamp, until: Timestamp) -> Result<Vec<ApiKey>, StoreError> {
        let sql =
            "SELECT * FROM api_keys WHERE expires_at > $1 AND expires_at <= $2 AND revoked_at IS NULL ORDER BY id";
        self.database.all(sql, args![from, until]).await?.iter().map(from_row).collect()
    }
}

const INSERT: &str = "INSERT INTO api_keys (id, project, name, hash, scopes, allowed_ips, created_at, expires_at, revoked_at, last_used_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

fn insert_args(key: &ApiKey) -> [crate::database::Value; 10] {
    let ranges: Vec<_> = key.allowed_ips.iter().map(ToString::to_string).collect();
    [
        key.id.into(),
        key.project.into(),
        key.name.as_str().into(),
        key.hash.into(),
        key.scopes.words().into(),
        ranges.join(" ").into(),
        key.created_at.into(),
        key.expires_at.into(),
        key.revoked_at.into(),
        key.last_used_at.into(),
    ]
}

fn from_row(row: &Row) -> Result<ApiKey, StoreError> {
    let ranges = row.text("allowed_ips")?;
    Ok(ApiKey {
        id: ApiKeyId::from_bytes(row.id("id")?),
        project: ProjectId::from_bytes(row.id("project")?),
        name: row.text("name")?,
        hash: token_hash(row, "hash")?,
        scopes: word(row, "scopes", Scopes::from_words)?,
        allowed_ips: ranges
            .split_whitespace()
            .map(|range| range.parse().map_err(|_| corrupt("allowed_ips", range)))
            .collect::<Result<_, _>>()?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        expires_at: moment(row, "expires_at")?,
        revoked_at: moment(row, "revoked_at")?,
        last_used_at: moment(row, "last_used_at")?,
    })
}
