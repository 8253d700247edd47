//! The second factor: a sealed seed of one-time codes, and what was tried.

use platform::{IdentityId, Timestamp, next_code_at};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::{moment, number};
use crate::store::Store;

/// What is known of someone's second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When a first code proved that the seed had arrived: only from then on it is asked for.
    pub confirmed_at: Option<Timestamp>,
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOutcome {
    /// It is right, and works no more.
    Accepted,
    /// It is wrong, or was used before.
    Refused,
    /// Too many were wrong; not looked at before this moment.
    Wait(Timestamp),
    /// Nobody asks for one.
    NotEnrolled,
}

impl Store {
    /// Keeps a seed that has yet to be confirmed, in place of another one.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if one is confirmed: it must be taken away first.
    pub async fn enrol_second_factor(
        &self,
        identity: IdentityId,
        seed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO second_factors (identity, seed, created_at) VALUES ($1, $2, $3)
                   ON CONFLICT (identity) DO UPDATE SET seed = excluded.seed, created_at = excluded.created_at,
                   last_step = 0, failures = 0, failed_at = 0 WHERE second_factors.confirmed_at IS NULL";
        let sealed = self.sealer()?.seal(seed, &purpose(identity));
        match self.database.execute(sql, args![identity, sealed, now]).await? {
            0 => Err(StoreError::Exists("second factor")),
            _ => Ok(()),
        }
    }

    /// Someone's second factor, confirmed or not.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn second_factor(&self, identity: IdentityId) -> Result<Option<SecondFactor>, StoreError> {
        let sql = "SELECT created_at, confirmed_at FROM second_factors WHERE identity = $1";
        let row = self.database.first(sql, args![identity]).await?;
        row.map(|row| {
            let created_at = Timestamp::from_micros(row.int("created_at")?);
            Ok(SecondFactor { created_at, confirmed_at: moment(&row, "confirmed_at")? })
        })
        .transpose()
    }

    /// Tries a code. `step` says for which step of time a seed gives it, if any; a step counts once. The first one that is right
    /// confirms the seed. One attempt at a time, so that nobody guesses in parallel.
    ///
    /// # Errors
    /// [`StoreError::NoSealer`], [`StoreError::Unsealable`] or [`StoreError::Database`].
    pub async fn try_code(
        &self,
        identity: IdentityId,
        now: Timestamp,
        step: impl FnOnce(&[u8]) -> Option<u64>,
    ) -> Result<CodeOutcome, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT * FROM second_factors WHERE identity = $1{}", tx.for_update());
        let Some(row) = tx.first(sql, args![identity]).await? else { return Ok(CodeOutcome::NotEnrolled) };
        let failures: u32 = number(&row, "failures")?;
        let next = next_code_at(failures, Timestamp::from_micros(row.int("failed_at")?));
        if next > now {
            return Ok(CodeOutcome::Wait(next));
        }
        let seed = self.opened_seed(identity, &row)?;
        let last = row.int("last_step")?;
        let step = step(&seed).and_then(|step| i64::try_from(step).ok()).filter(|step| *step > last);
        let outcome = match step {
            Some(step) => {
                let sql = "UPDATE second_factors SET last_step = $2, failures = 0,
                           confirmed_at = COALESCE(confirmed_at, $3) WHERE identity = $1";
                tx.execute(sql, args![identity, step, now]).await?;
                CodeOutcome::Accepted
            }
            None => {
                let sql = "UPDATE second_factors SET failures = $2, failed_at = $3 WHERE identity = $1";
                tx.execute(sql, args![identity, failures.saturating_add(1).min(1000), now]).await?;
                CodeOutcome::Refused
            }
        };
        tx.commit().await?;
        Ok(outcome)
    }

    /// Takes someone's second factor away.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn remove_second_factor(&self, identity: IdentityId) -> Result<(), StoreError> {
        self.database.execute("DELETE FROM second_factors WHERE identity = $1", args![identity]).await.map(|_| ())
    }

    fn opened_seed(&self, identity: IdentityId, row: &Row) -> Result<Vec<u8>, StoreError> {
        self.sealer()?.open(&row.blob("seed")?, &purpose(identity))
    }
}

fn purpose(identity: IdentityId) -> String {
    format!("second factor of {identity}")
}
