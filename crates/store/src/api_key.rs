//! API keys as they are remembered: the hash, never the key.

use std::time::Duration;

use platform::{
    ApiKey, ApiKeyId, IdentityId, IpRange, OverlapTooLong, ProjectId, Refusal, RefusalCode, Scopes, Timestamp,
};

use crate::database::{Row, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, word};
use crate::letter::{Letter, insert_letter};
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

    /// Notes that a key was used, and where from if that is known. Call it at most once a minute for each.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn touch_api_key(&self, id: ApiKeyId, from: Option<IpRange>, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE api_keys SET last_used_at = $2, last_used_from = COALESCE($3, last_used_from) WHERE id = $1";
        self.database.execute_quietly(sql, args![id, now, from.map(|range| range.to_string())]).await.map(|_| ())
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

    /// Good keys that end within so many days and whose owners were not warned that near to the end, soonest first, each with its owner's
    /// address. Keys of projects that were put away are not among them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn api_keys_to_warn(
        &self,
        days: u32,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(ApiKey, String)>, StoreError> {
        let until = now + DAY * days;
        let sql = "SELECT api_keys.*, identities.email AS owner_email FROM api_keys
                   JOIN projects ON projects.id = api_keys.project JOIN identities ON identities.id = projects.owner
                   WHERE api_keys.expires_at > $1 AND api_keys.expires_at <= $2 AND api_keys.revoked_at IS NULL
                     AND projects.archived_at IS NULL AND (api_keys.expiry_warned IS NULL OR api_keys.expiry_warned > $3)
                   ORDER BY api_keys.expires_at, api_keys.id LIMIT $4";
        let rows = self.database.all(sql, args![now, until, days, limit]).await?;
        rows.iter().map(|row| Ok((from_row(row)?, row.text("owner_email")?))).collect()
    }

    /// Posts the warning that a key ends within so many days; says whether it did. Of several nodes one does, and a crash loses none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_expiry_warning(&self, id: ApiKeyId, days: u32, letter: &Letter) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql =
            "UPDATE api_keys SET expiry_warned = $2 WHERE id = $1 AND (expiry_warned IS NULL OR expiry_warned > $2)";
        if tx.execute(sql, args![id, days]).await? == 0 {
            return Ok(false);
        }
        insert_letter(&mut tx, self.sealer()?, letter).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The owners of keys whose week is over. Whoever wants no letters is not among them. Whoever has a first key begins a week.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn key_letters_due(&self, now: Timestamp, limit: u32) -> Result<Vec<KeyLetter>, StoreError> {
        let sql = "INSERT INTO key_letters (identity, looked_at)
                   SELECT projects.owner, $1 FROM projects JOIN api_keys ON api_keys.project = projects.id
                   WHERE projects.archived_at IS NULL AND (api_keys.revoked_at IS NULL OR api_keys.revoked_at > $1)
                     AND NOT EXISTS (SELECT 1 FROM key_letters WHERE key_letters.identity = projects.owner)
                   GROUP BY projects.owner
                   ON CONFLICT (identity) DO NOTHING";
        self.database.execute(sql, args![now]).await?;
        let sql = "SELECT identity, looked_at FROM key_letters WHERE off = 0 AND looked_at <= $1
                   ORDER BY looked_at, identity LIMIT $2";
        let rows = self.database.all(sql, args![now - WEEK, limit]).await?;
        let due = |row: &Row| {
            let (identity, since) = (row.id("identity")?, row.int("looked_at")?);
            Ok(KeyLetter { identity: IdentityId::from_bytes(identity), since: Timestamp::from_micros(since) })
        };
        rows.iter().map(due).collect()
    }

    /// Ends someone's week and posts its letter, if there is something to say; says whether it did. Of several nodes one does, and a crash
    /// loses none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn end_key_week(
        &self,
        due: KeyLetter,
        letter: Option<&Letter>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE key_letters SET looked_at = $3 WHERE identity = $1 AND looked_at = $2 AND off = 0";
        if tx.execute(sql, args![due.identity, due.since, now]).await? == 0 {
            return Ok(false);
        }
        if let Some(letter) = letter {
            insert_letter(&mut tx, self.sealer()?, letter).await?;
        }
        tx.commit().await?;
        Ok(letter.is_some())
    }

    /// Whether someone wants the weekly letter about their keys; whoever said nothing does.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn wants_key_letters(&self, identity: IdentityId) -> Result<bool, StoreError> {
        let row = self.database.first("SELECT off FROM key_letters WHERE identity = $1", args![identity]).await?;
        Ok(row.map_or(Ok(0), |row| row.int("off"))? == 0)
    }

    /// Switches the weekly letter about someone's keys on or off.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn want_key_letters(&self, identity: IdentityId, want: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO key_letters (identity, looked_at, off) VALUES ($1, $2, $3)
                   ON CONFLICT (identity) DO UPDATE SET off = excluded.off";
        self.database.execute(sql, args![identity, now, !want]).await.map(|_| ())
    }
}

/// A weekly letter about someone's keys that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLetter {
    /// Whose keys.
    pub identity: IdentityId,
    /// What happened since then belongs into it.
    pub since: Timestamp,
}

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

const INSERT: &str = "INSERT INTO api_keys (id, project, name, hash, scopes, allowed_ips, created_at, expires_at, revoked_at, last_used_at, last_used_from)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

fn insert_args(key: &ApiKey) -> [crate::database::Value; 11] {
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
        key.last_used_from.map(|range| range.to_string()).into(),
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
        last_used_from: row
            .opt_text("last_used_from")?
            .map(|range| range.parse().map_err(|_| corrupt("last_used_from", range)))
            .transpose()?,
    })
}
