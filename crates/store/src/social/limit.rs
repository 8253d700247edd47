//! How often someone does what others see: counted in hours, under limits that the owner can change.

use std::time::Duration;

use platform::{ActiveMembership, POSTING_HOURS, Posting, PostingLimit, Timestamp, posting_hour, posting_wait};

use super::person;
use crate::database::args;
use crate::error::StoreError;
use crate::generation::number;
use crate::store::Store;

impl Store {
    /// Counts an act; says how long to wait instead if it is too much, and then counts nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn count_posting(
        &self,
        member: ActiveMembership,
        what: Posting,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        let (me, hour) = (person(member), posting_hour(now));
        let limit = self.posting_limit(what).await?;
        let mut tx = self.database.begin().await?;
        // The row is held from here on: acts of one person and kind go one after the other.
        let sql = "INSERT INTO act_counts (identity, act, hour, count) VALUES ($1, $2, $3, 1)
                   ON CONFLICT (identity, act, hour) DO UPDATE SET count = act_counts.count + 1";
        tx.execute(sql, args![me, what.as_str(), hour]).await?;
        let sql = "SELECT hour, count FROM act_counts WHERE identity = $1 AND act = $2 AND hour > $3 ORDER BY hour";
        let rows = tx.all(sql, args![me, what.as_str(), hour - POSTING_HOURS]).await?;
        let counts: Vec<(i64, u64)> =
            rows.iter().map(|row| Ok((row.int("hour")?, number(row, "count")?))).collect::<Result<_, StoreError>>()?;
        let wait = posting_wait(&counts, limit, now);
        if wait.is_none() {
            tx.commit().await?;
        }
        Ok(wait)
    }

    /// The limit of an act: the owner's, or what an installation starts with.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn posting_limit(&self, what: Posting) -> Result<PostingLimit, StoreError> {
        let kept = self.setting(&setting(what)).await?;
        let read = |text: String| {
            let (per_hour, per_day) = text.split_once(' ')?;
            Some(PostingLimit { per_hour: per_hour.parse().ok()?, per_day: per_day.parse().ok()? })
        };
        Ok(kept.and_then(read).unwrap_or_else(|| what.default_limit()))
    }

    /// Keeps the owner's limit of an act.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_posting_limit(
        &self,
        what: Posting,
        limit: PostingLimit,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.set_setting(&setting(what), &format!("{} {}", limit.per_hour, limit.per_day), now).await
    }
}

fn setting(what: Posting) -> String {
    format!("limit:{}", what.as_str())
}
