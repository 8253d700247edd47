//! Tiers and invites: the owner's data.

use platform::{Invite, Quotas, Tier, Timestamp, TokenHash};

use crate::database::{Row, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, number};
use crate::store::Store;

/// An invite as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvite {
    /// The hash of its code.
    pub hash: TokenHash,
    /// Whom it is for.
    pub note: String,
    /// What it gives.
    pub invite: Invite,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Store {
    /// Keeps a tier in place of the one of its name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_tier(&self, tier: &Tier) -> Result<(), StoreError> {
        let sql = "INSERT INTO tiers (name, requests_per_minute, concurrent_jobs, seconds_per_day, longest_seconds, most_at_once, priority,
                   weight, metered) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO UPDATE SET
                   requests_per_minute = excluded.requests_per_minute, concurrent_jobs = excluded.concurrent_jobs,
                   seconds_per_day = excluded.seconds_per_day, longest_seconds = excluded.longest_seconds,
                   most_at_once = excluded.most_at_once, priority = excluded.priority, weight = excluded.weight, metered = excluded.metered";
        let quotas = &tier.quotas;
        let args = args![
            tier.name.as_str(),
            quotas.requests_per_minute,
            quotas.concurrent_jobs,
            quotas.seconds_per_day,
            quotas.longest_seconds,
            quotas.most_at_once,
            quotas.priority,
            quotas.weight,
            tier.metered,
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// A tier.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn tier(&self, name: &str) -> Result<Tier, StoreError> {
        let row = self.database.first("SELECT * FROM tiers WHERE name = $1", args![name]).await?;
        tier_from_row(&row.ok_or(StoreError::NotFound("tier"))?)
    }

    /// All tiers.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn tiers(&self) -> Result<Vec<Tier>, StoreError> {
        self.database.all("SELECT * FROM tiers ORDER BY name", args![]).await?.iter().map(tier_from_row).collect()
    }

    /// Keeps an invite.
    ///
    /// # Errors
    /// [`StoreError::Database`], also if its tier does not exist.
    pub async fn create_invite(&self, invite: &StoredInvite) -> Result<(), StoreError> {
        let sql = "INSERT INTO invites (hash, note, tier, uses_allowed, uses, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let StoredInvite { hash, note, invite, created_at } = invite;
        let args = args![
            *hash,
            note.as_str(),
            invite.tier.as_str(),
            invite.uses_allowed,
            invite.uses,
            *created_at,
            invite.expires_at,
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// All invites, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn invites(&self) -> Result<Vec<StoredInvite>, StoreError> {
        let sql = "SELECT * FROM invites ORDER BY created_at DESC, hash";
        self.database.all(sql, args![]).await?.iter().map(invite_from_row).collect()
    }

    /// The invite of a code.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn invite(&self, hash: TokenHash) -> Result<Option<Invite>, StoreError> {
        let row = self.database.first("SELECT * FROM invites WHERE hash = $1", args![hash]).await?;
        Ok(row.map(|row| invite_from_row(&row)).transpose()?.map(|stored| stored.invite))
    }

    /// Uses an invite once; false if it was used up, over or withdrawn by then. Ask [`platform::sign_up_tier`] first for the reason.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn use_invite(&self, hash: TokenHash, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE invites SET uses = uses + 1 WHERE hash = $1 AND uses < uses_allowed AND revoked_at IS NULL
                   AND (expires_at IS NULL OR expires_at > $2)";
        Ok(self.database.execute(sql, args![hash, now]).await? > 0)
    }

    /// Withdraws an invite.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_invite(&self, hash: TokenHash, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE invites SET revoked_at = COALESCE(revoked_at, $2) WHERE hash = $1";
        match self.database.execute(sql, args![hash, now]).await? {
            0 => Err(StoreError::NotFound("invite")),
            _ => Ok(()),
        }
    }
}

pub(crate) fn tier_from_row(row: &Row) -> Result<Tier, StoreError> {
    Ok(Tier {
        name: row.text("name")?,
        quotas: Quotas {
            requests_per_minute: number(row, "requests_per_minute")?,
            concurrent_jobs: number(row, "concurrent_jobs")?,
            seconds_per_day: row.opt_int("seconds_per_day")?.and_then(|seconds| u32::try_from(seconds).ok()),
            longest_seconds: number(row, "longest_seconds")?,
            most_at_once: number(row, "most_at_once")?,
            priority: number(row, "priority")?,
            weight: number(row, "weight")?,
        },
        metered: row.int("metered")? != 0,
    })
}

fn invite_from_row(row: &Row) -> Result<StoredInvite, StoreError> {
    Ok(StoredInvite {
        hash: token_hash(row, "hash")?,
        note: row.text("note")?,
        invite: Invite {
            tier: row.text("tier")?,
            uses_allowed: number(row, "uses_allowed")?,
            uses: number(row, "uses")?,
            expires_at: moment(row, "expires_at")?,
            revoked_at: moment(row, "revoked_at")?,
        },
        created_at: Timestamp::from_micros(row.int("created_at")?),
    })
}

/// A hash of 32 bytes.
pub(crate) fn token_hash(row: &Row, column: &'static str) -> Result<TokenHash, StoreError> {
    let bytes = row.blob(column)?;
    bytes
        .try_into()
        .map(TokenHash::from_bytes)
        .map_err(|bytes: Vec<u8>| corrupt(column, format!("{} bytes", bytes.len())))
}
