//! The trash: clips that a person deleted lie there for a while, seen by nobody else, until they are taken back or go for good.

use platform::{IdentityId, Timestamp, VideoId};

use crate::database::{Value, args};
use crate::error::StoreError;
use crate::generation::{Generation, drop_generation};
use crate::library::{LibraryPlace, pick, places};
use crate::store::Store;

/// What of the trash is to go for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded<'a> {
    /// These clips, as far as they are this person's.
    These(IdentityId, &'a [VideoId]),
    /// All that this person put there.
    AllOf(IdentityId),
    /// What anyone put there at this moment or before.
    Until(Timestamp),
}

impl Store {
    /// Puts clips into the trash, all or none; says how many of them are the person's. All of one act have `now` as their moment,
    /// by which [`Store::undo_trash`] finds them.
    ///
    /// # Errors
    /// [`StoreError::State`] if one of the person's is still being made.
    pub async fn trash(&self, identity: IdentityId, clips: &[VideoId], now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let picked = pick(&mut tx, identity, clips, LibraryPlace::Library).await?;
        for (id, state) in &picked {
            if !state.is_final() {
                return Err(StoreError::State { what: "clip", state: state.as_str().to_owned() });
            }
            tx.execute("UPDATE generations SET trashed_at = $2 WHERE id = $1", args![*id, now]).await?;
        }
        tx.commit().await?;
        Ok(picked.len())
    }

    /// Takes clips out of the trash, as favourites and in folders as they were; says how many of them were the person's.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn restore(&self, identity: IdentityId, clips: &[VideoId]) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let picked = pick(&mut tx, identity, clips, LibraryPlace::Trash).await?;
        for (id, _) in &picked {
            tx.execute("UPDATE generations SET trashed_at = NULL WHERE id = $1", args![*id]).await?;
        }
        tx.commit().await?;
        Ok(picked.len())
    }

    /// Takes back what one act put into the trash; says how many clips that were.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn undo_trash(&self, identity: IdentityId, at: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE generations SET trashed_at = NULL WHERE identity = $1 AND trashed_at = $2";
        self.database.execute(sql, args![identity, at]).await
    }

    /// How many clips lie in the trash since this act.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn trashed_at_once(&self, identity: IdentityId, at: Timestamp) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM generations WHERE identity = $1 AND trashed_at = $2";
        self.database.first(sql, args![identity, at]).await?.map_or(Ok(0), |row| row.int("count"))
    }

    /// Deletes clips of the trash for good, so many at most, and, soon after, their objects; gives back what they were.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn purge(
        &self,
        discarded: Discarded<'_>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Generation>, StoreError> {
        let mut tx = self.database.begin().await?;
        let (condition, lock, mut args): (String, _, Vec<Value>) = match discarded {
            Discarded::These(_, []) => return Ok(Vec::new()),
            Discarded::These(identity, clips) => {
                let condition = format!("g.identity = $2 AND g.id IN ({})", places(3, clips.len()));
                let mut args = args![identity].to_vec();
                args.extend(clips.iter().map(|clip| Value::from(*clip)));
                (condition, tx.for_update(), args)
            }
            Discarded::AllOf(identity) => ("g.identity = $2".into(), tx.for_update(), args![identity].to_vec()),
            // Several nodes tidy up at once.
            Discarded::Until(moment) => {
                ("g.trashed_at <= $2".into(), tx.for_update_skip_locked(), args![moment].to_vec())
            }
        };
        args.insert(0, limit.into());
        // What lies in the trash has ended: it has no job.
        let sql = format!(
            "SELECT g.*, CAST(NULL AS BIGINT) AS job_progress FROM generations g
             WHERE g.trashed_at IS NOT NULL AND {condition} ORDER BY g.id LIMIT $1{lock}"
        );
        let rows = tx.all(sql, &args).await?;
        let gone = rows.iter().map(Generation::from_row).collect::<Result<Vec<_>, _>>()?;
        for generation in &gone {
            drop_generation(&mut tx, generation.id, now).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }
}
