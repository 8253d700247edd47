//! Letters on their way: written in a row before anything is sent, so that a server that dies loses none. Their text holds links that
//! open accounts, so it is sealed.

use std::time::Duration;

use platform::{LetterId, Timestamp, next_delivery};

use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::number;
use crate::sealer::Sealer;
use crate::store::Store;

/// A letter to one person: plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its id, the same at each attempt.
    pub id: LetterId,
    /// The address.
    pub to: String,
    /// The subject, one line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// When it was written.
    pub at: Timestamp,
}

/// A letter for whoever claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLetter {
    /// The letter.
    pub letter: Letter,
    /// Attempts that failed before.
    pub failed_attempts: u32,
}

/// How long whoever claimed a letter has for it. After that it is claimed again, and may be sent twice.
const CLAIM: Duration = Duration::from_secs(300);

impl Store {
    /// Keeps a letter to be sent at once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_letter(&self, letter: &Letter) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        insert_letter(&mut tx, self.sealer()?, letter).await?;
        tx.commit().await
    }

    /// Takes letters that are due, the oldest first. Whoever does not answer within five minutes loses them to the next claim.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim_letters(&self, limit: u32, now: Timestamp) -> Result<Vec<WaitingLetter>, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT * FROM letters WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let mut letters = Vec::new();
        for row in tx.all(sql, args![now, limit]).await? {
            let id = LetterId::from_bytes(row.id("id")?);
            tx.execute("UPDATE letters SET next_at = $2 WHERE id = $1", args![id, now + CLAIM]).await?;
            letters.push(self.letter_from_row(&row)?);
        }
        tx.commit().await?;
        Ok(letters)
    }

    /// A letter was taken, or will never be: nothing is kept of it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn letter_done(&self, id: LetterId) -> Result<(), StoreError> {
        self.database.execute("DELETE FROM letters WHERE id = $1", args![id]).await.map(|_| ())
    }

    /// A letter was not taken. Says when it is tried again, at the pace of webhooks; nothing once 72 hours are over, when it is
    /// forgotten.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn letter_failed(
        &self,
        waiting: &WaitingLetter,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let failed = waiting.failed_attempts + 1;
        let Some(next) = next_delivery(waiting.letter.at, failed, now) else {
            self.letter_done(waiting.letter.id).await?;
            return Ok(None);
        };
        // A late word of failure does not count an attempt twice.
        let sql = "UPDATE letters SET failed_attempts = $2, next_at = $3 WHERE id = $1 AND failed_attempts < $2";
        self.database.execute(sql, args![waiting.letter.id, failed, next]).await?;
        Ok(Some(next))
    }

    fn letter_from_row(&self, row: &Row) -> Result<WaitingLetter, StoreError> {
        let id = LetterId::from_bytes(row.id("id")?);
        let body = self.sealer()?.open(&row.blob("body")?, &purpose(id))?;
        let letter = Letter {
            id,
            to: row.text("recipient")?,
            subject: row.text("subject")?,
            body: String::from_utf8(body).map_err(|_| corrupt("body", "no text"))?,
            at: Timestamp::from_micros(row.int("written_at")?),
        };
        Ok(WaitingLetter { letter, failed_attempts: number(row, "failed_attempts")? })
    }
}

/// Keeps a letter to be sent at once, in a transaction with what it is about.
pub(crate) async fn insert_letter(tx: &mut Tx, sealer: &Sealer, letter: &Letter) -> Result<(), StoreError> {
    let sql = "INSERT INTO letters (id, recipient, subject, body, written_at, next_at) VALUES ($1, $2, $3, $4, $5, $5)";
    let body = sealer.seal(letter.body.as_bytes(), &purpose(letter.id));
    tx.execute(sql, args![letter.id, letter.to.as_str(), letter.subject.as_str(), body, letter.at]).await.map(|_| ())
}

fn purpose(id: LetterId) -> String {
    format!("body of {id}")
}
