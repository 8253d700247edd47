//! Archives that people bring: as they came, in pieces, and what came of them.

use std::time::Duration;

use platform::{IdentityId, ImportId, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::{moment, number, word};
use crate::objects::ObjectKey;
use crate::store::{Store, delete_objects};

/// How often an import is begun, before it is given up.
const MAX_FAILURES: i64 = 5;
/// The most imports of one person that have not ended.
const MAX_OPEN: i64 = 5;

/// An archive that someone brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// Who brings it.
    pub identity: IdentityId,
    /// Its name, for people.
    pub filename: String,
    /// Bytes of it that are here.
    pub size_bytes: u64,
    /// How far it is.
    pub state: ImportState,
    /// What came of it, JSON.
    pub report: Option<String>,
    /// Why it was refused.
    pub error: Option<String>,
    /// When it came.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its row goes.
    pub expires_at: Timestamp,
    /// Which claim holds it.
    pub lease: i64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// Its bytes are coming.
    Receiving,
    /// It waits for its turn, or is worked on.
    Waiting,
    /// It is over.
    Done,
    /// It was refused, and nothing of it is here.
    Refused,
}

impl ImportState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Receiving, Self::Waiting, Self::Done, Self::Refused];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Store {
    /// Begins to receive an archive.
    ///
    /// # Errors
    /// [`StoreError::State`] while another of the person's is worked on.
    pub async fn create_import(
        &self,
        identity: IdentityId,
        id: ImportId,
        filename: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT id FROM identities WHERE id = $1{}", tx.for_update());
        tx.first(sql, args![identity]).await?.ok_or(StoreError::NotFound("identity"))?;
        let sql = "SELECT COUNT(*) AS count FROM imports WHERE identity = $1 AND state IN ('receiving', 'waiting')";
        if tx.first(sql, args![identity]).await?.map_or(Ok(0), |row| row.int("count"))? >= MAX_OPEN {
            return Err(StoreError::State { what: "import", state: "waiting for the ones before it".into() });
        }
        let sql = "INSERT INTO imports (id, identity, filename, state, asked_at, expires_at)
                   VALUES ($1, $2, $3, 'receiving', $4, $5)";
        tx.execute(sql, args![id, identity, filename, now, expires_at]).await?;
        tx.commit().await
    }

    /// Adds a piece of an archive.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is whole already.
    pub async fn add_import_part(
        &self,
        id: ImportId,
        part: u32,
        key: &ObjectKey,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE imports SET size = size + $2 WHERE id = $1 AND state = 'receiving'";
        if tx.execute(sql, args![id, size]).await? == 0 {
            return Err(StoreError::State { what: "import", state: "no longer receiving".into() });
        }
        let sql = "INSERT INTO import_parts (import, number, object_key, size) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, args![id, part, key.as_str(), size]).await?;
        tx.commit().await
    }

    /// An archive has come whole; its row stays until then.
    ///
    /// # Errors
    /// [`StoreError::State`] if that was said before.
    pub async fn import_received(&self, id: ImportId, expires_at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE imports SET state = 'waiting', expires_at = $2 WHERE id = $1 AND state = 'receiving'";
        match self.database.execute(sql, args![id, expires_at]).await? {
            0 => Err(StoreError::State { what: "import", state: "no longer receiving".into() }),
            _ => Ok(()),
        }
    }

    /// The pieces of an archive, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn import_parts(&self, id: ImportId) -> Result<Vec<ObjectKey>, StoreError> {
        let sql = "SELECT object_key FROM import_parts WHERE import = $1 ORDER BY number";
        let rows = self.database.all(sql, args![id]).await?;
        rows.iter().map(|row| row.text("object_key").map(ObjectKey::from_row)).collect()
    }

    /// An import of someone's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another's.
    pub async fn import(&self, identity: IdentityId, id: ImportId) -> Result<Import, StoreError> {
        let sql = "SELECT * FROM imports WHERE id = $1 AND identity = $2";
        from_row(&self.database.first(sql, args![id, identity]).await?.ok_or(StoreError::NotFound("import"))?)
    }

    /// Someone's imports, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn imports(&self, identity: IdentityId) -> Result<Vec<Import>, StoreError> {
        let sql = "SELECT * FROM imports WHERE identity = $1 ORDER BY id DESC";
        self.database.all(sql, args![identity]).await?.iter().map(from_row).collect()
    }

    /// Takes the oldest import that nobody works on, for so long.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim_import(&self, lease: Duration, now: Timestamp) -> Result<Option<Import>, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id, failures FROM imports WHERE state = 'waiting' AND lease_until <= $1 ORDER BY id LIMIT 1{}",
            tx.for_update_skip_locked()
        );
        let Some(row) = tx.first(sql, args![now]).await? else { return Ok(None) };
        let id = ImportId::from_bytes(row.id("id")?);
        if row.int("failures")? >= MAX_FAILURES {
            let sql = "UPDATE imports SET state = 'refused', ended_at = $2,
                       error = 'It failed too often. What had come back by then is there; importing it again goes on.' WHERE id = $1";
            tx.execute(sql, args![id, now]).await?;
            delete_objects(&mut tx, &ObjectKey::import_prefix(id), now).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let sql =
            "UPDATE imports SET lease = lease + 1, lease_until = $2, failures = failures + 1 WHERE id = $1 RETURNING *";
        let row = tx.first(sql, args![id, now + lease]).await?.ok_or(StoreError::NotFound("import"))?;
        let import = from_row(&row)?;
        tx.commit().await?;
        Ok(Some(import))
    }

    /// Lengthens the time for which an import is held, or shortens it to give it back.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn hold_import(&self, import: &Import, lease_until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE imports SET lease_until = $3 WHERE id = $1 AND lease = $2 AND state = 'waiting'";
        match self.database.execute(sql, args![import.id, import.lease, lease_until]).await? {
            0 => Err(StoreError::State { what: "import", state: "worked on by another now".into() }),
            _ => Ok(()),
        }
    }

    /// An import is over: with a report in JSON, or refused in words. The archive as it came goes, soon after.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn end_import(
        &self,
        import: &Import,
        outcome: Result<&str, &str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (state, report, error) = match outcome {
            Ok(report) => (ImportState::Done, Some(report), None),
            Err(error) => (ImportState::Refused, None, Some(error)),
        };
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE imports SET state = $3, report = $4, error = $5, ended_at = $6 WHERE id = $1 AND lease = $2";
        let args = args![import.id, import.lease, state.as_str(), report, error, now];
        if tx.execute(sql, args).await? == 0 {
            return Err(StoreError::State { what: "import", state: "worked on by another now".into() });
        }
        tx.execute("DELETE FROM import_parts WHERE import = $1", args![import.id]).await?;
        delete_objects(&mut tx, &ObjectKey::import_prefix(import.id), now).await?;
        tx.commit().await
    }

    /// Forgets an import; what came back by it stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another's.
    pub async fn delete_import(&self, identity: IdentityId, id: ImportId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        if tx.execute("DELETE FROM imports WHERE id = $1 AND identity = $2", args![id, identity]).await? == 0 {
            return Err(StoreError::NotFound("import"));
        }
        delete_objects(&mut tx, &ObjectKey::import_prefix(id), now).await?;
        tx.commit().await
    }

    /// Forgets imports whose time is over; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn expire_imports(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let rows = tx.all("DELETE FROM imports WHERE expires_at <= $1 RETURNING id", args![now]).await?;
        for row in &rows {
            let id = ImportId::from_bytes(row.id("id")?);
            delete_objects(&mut tx, &ObjectKey::import_prefix(id), now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}

fn from_row(row: &Row) -> Result<Import, StoreError> {
    Ok(Import {
        id: ImportId::from_bytes(row.id("id")?),
        identity: IdentityId::from_bytes(row.id("identity")?),
        filename: row.text("filename")?,
        size_bytes: number(row, "size")?,
        state: word(row, "state", ImportState::from_word)?,
        report: row.opt_text("report")?,
        error: row.opt_text("error")?,
        asked_at: Timestamp::from_micros(row.int("asked_at")?),
        ended_at: moment(row, "ended_at")?,
        expires_at: Timestamp::from_micros(row.int("expires_at")?),
        lease: row.int("lease")?,
    })
}
