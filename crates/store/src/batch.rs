//! Batches and their lines.

use platform::{
    BatchEvent, BatchId, BatchState, COMPLETION_WINDOW, Event, EventType, FileId, IdentityId, ProjectId, Timestamp,
    VideoId,
};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::{moment, number, word};
use crate::outbox::tell;
use crate::store::{Page, Store};

/// A batch as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Whose.
    pub project: ProjectId,
    /// Who asked.
    pub identity: IdentityId,
    /// What to make.
    pub input_file: FileId,
    /// The caller's own words, JSON.
    pub metadata: String,
    /// Where it stands.
    pub state: BatchState,
    /// Why its file could not be read.
    pub error: Option<String>,
    /// What came of it.
    pub output_file: Option<FileId>,
    /// Lines that were refused.
    pub error_file: Option<FileId>,
    /// When it came.
    pub created_at: Timestamp,
    /// When its window is over.
    pub expires_at: Timestamp,
    /// When its lines began.
    pub in_progress_at: Option<Timestamp>,
    /// When its lines had ended.
    pub finalizing_at: Option<Timestamp>,
    /// When someone asked to stop it.
    pub cancelling_at: Option<Timestamp>,
    /// When it ended, in whatever way.
    pub ended_at: Option<Timestamp>,
}

/// A batch to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatch {
    /// Its id.
    pub id: BatchId,
    /// Whose.
    pub project: ProjectId,
    /// Who asks.
    pub identity: IdentityId,
    /// What to make.
    pub input_file: FileId,
    /// The caller's own words, JSON.
    pub metadata: String,
}

/// A line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatchItem {
    /// The caller's own id.
    pub custom_id: String,
    /// The request's body, JSON.
    pub body: String,
}

/// A line as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// Which, from 0.
    pub line: u32,
    /// The caller's own id.
    pub custom_id: String,
    /// The request's body, JSON.
    pub body: String,
    /// What was accepted of it.
    pub generation: Option<VideoId>,
    /// Why it was refused, JSON.
    pub error: Option<String>,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Lines.
    pub total: u64,
    /// Those whose video is there.
    pub completed: u64,
    /// Those refused, failed or cancelled.
    pub failed: u64,
}

impl BatchCounts {
    /// Lines that have not ended.
    pub fn open(self) -> u64 {
        self.total.saturating_sub(self.completed + self.failed)
    }
}

impl Store {
    /// Begins a batch, in state `validating`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_batch(&self, batch: &NewBatch, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO batches (id, project, identity, input_file, metadata, state, created_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, 'validating', $6, $7)";
        let NewBatch { id, project, identity, input_file, metadata } = batch;
        let args = args![*id, *project, *identity, *input_file, metadata.as_str(), now, now + COMPLETION_WINDOW];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// A batch of a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another project's.
    pub async fn batch(&self, project: ProjectId, id: BatchId) -> Result<Batch, StoreError> {
        let sql = "SELECT * FROM batches WHERE id = $1 AND project = $2";
        batch_from_row(&self.database.first(sql, args![id, project]).await?.ok_or(StoreError::NotFound("batch"))?)
    }

    /// A project's batches by time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the page begins behind one that is not there.
    pub async fn batches(&self, project: ProjectId, page: Page<BatchId>) -> Result<Vec<Batch>, StoreError> {
        let (comparison, direction) = page.order.sql();
        let mut args = vec![project.into(), page.limit.into()];
        let mut behind = String::new();
        if let Some(after) = page.after {
            let batch = self.batch(project, after).await?;
            args.extend([batch.created_at.into(), after.into()]);
            behind = format!("AND (created_at, id) {comparison} ($3, $4)");
        }
        let sql = format!(
            "SELECT * FROM batches WHERE project = $1 {behind} ORDER BY created_at {direction}, id {direction} LIMIT $2"
        );
        self.database.all(sql, &args).await?.iter().map(batch_from_row).collect()
    }

    /// Batches that have not ended, the oldest first: what the batch loop works on.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_batches(&self, limit: u32) -> Result<Vec<Batch>, StoreError> {
        let sql = "SELECT * FROM batches WHERE ended_at IS NULL ORDER BY created_at, id LIMIT $1";
        self.database.all(sql, args![limit]).await?.iter().map(batch_from_row).collect()
    }

    /// Keeps the lines of a batch whose file is fine, and moves it to `in_progress`. Doing it twice is refused the second time.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is not validating any more.
    pub async fn start_batch(&self, id: BatchId, items: &[NewBatchItem], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        change(&mut tx, id, BatchEvent::Validated, now).await?;
        let sql = "INSERT INTO batch_items (batch, line, custom_id, body) VALUES ($1, $2, $3, $4)";
        for (line, item) in items.iter().enumerate() {
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            tx.execute(sql, args![id, line, item.custom_id.as_str(), item.body.as_str()]).await?;
        }
        tx.commit().await
    }

    /// Something else happens to a batch. Its end writes webhooks.
    ///
    /// # Errors
    /// [`StoreError::State`] if it cannot happen now.
    pub async fn change_batch(&self, id: BatchId, event: BatchEvent, now: Timestamp) -> Result<BatchState, StoreError> {
        let mut tx = self.database.begin().await?;
        let state = change(&mut tx, id, event, now).await?;
        tx.commit().await?;
        Ok(state)
    }

    /// Why a batch's file could not be read, and its end.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is not validating any more.
    pub async fn fail_batch(&self, id: BatchId, error: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        change(&mut tx, id, BatchEvent::Invalid, now).await?;
        tx.execute("UPDATE batches SET error = $2 WHERE id = $1", args![id, error]).await?;
        tx.commit().await
    }

    /// Names the files of what came of a batch. Call it before the event that ends the batch.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_batch_files(
        &self,
        id: BatchId,
        output: Option<FileId>,
        errors: Option<FileId>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE batches SET output_file = $2, error_file = $3 WHERE id = $1";
        self.database.execute(sql, args![id, output, errors]).await.map(|_| ())
    }

    /// Lines that were neither accepted nor refused yet, in order. [`crate::Accept::batch_line`] accepts one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn pending_batch_items(&self, id: BatchId, limit: u32) -> Result<Vec<BatchItem>, StoreError> {
        let sql = "SELECT * FROM batch_items WHERE batch = $1 AND generation IS NULL AND error IS NULL ORDER BY line LIMIT $2";
        self.database.all(sql, args![id, limit]).await?.iter().map(item_from_row).collect()
    }

    /// All lines from one on, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn batch_items(&self, id: BatchId, from_line: u32, limit: u32) -> Result<Vec<BatchItem>, StoreError> {
        let sql = "SELECT * FROM batch_items WHERE batch = $1 AND line >= $2 ORDER BY line LIMIT $3";
        self.database.all(sql, args![id, from_line, limit]).await?.iter().map(item_from_row).collect()
    }

    /// A line was refused, and why, in JSON.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn refuse_batch_item(&self, id: BatchId, line: u32, error: &str) -> Result<(), StoreError> {
        let sql = "UPDATE batch_items SET error = $3 WHERE batch = $1 AND line = $2 AND generation IS NULL";
        self.database.execute(sql, args![id, line, error]).await.map(|_| ())
    }

    /// How far a batch is. A line whose video was deleted since, or lies in the trash, counts as failed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn batch_counts(&self, id: BatchId) -> Result<BatchCounts, StoreError> {
        let sql = "SELECT COUNT(*) AS total,
                   COUNT(CASE WHEN g.state = 'completed' THEN 1 END) AS completed,
                   COUNT(CASE WHEN i.error IS NOT NULL OR g.state IN ('failed', 'cancelled')
                         OR (i.generation IS NOT NULL AND g.id IS NULL) THEN 1 END) AS failed
                   FROM batch_items i LEFT JOIN generations g ON g.id = i.generation AND g.trashed_at IS NULL WHERE i.batch = $1";
        let row = self.database.first(sql, args![id]).await?.ok_or(StoreError::NotFound("batch"))?;
        Ok(BatchCounts {
            total: number(&row, "total")?,
            completed: number(&row, "completed")?,
            failed: number(&row, "failed")?,
        })
    }
}

async fn change(
    tx: &mut crate::database::Tx,
    id: BatchId,
    event: BatchEvent,
    now: Timestamp,
) -> Result<BatchState, StoreError> {
    let sql = format!("SELECT project, state FROM batches WHERE id = $1{}", tx.for_update());
    let row = tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("batch"))?;
    let state = word(&row, "state", BatchState::from_word)?;
    let next = state.next(event).ok_or_else(|| StoreError::State { what: "batch", state: state.as_str().into() })?;
    let column = match next {
        BatchState::InProgress => "in_progress_at",
        BatchState::Finalizing => "finalizing_at",
        BatchState::Cancelling => "cancelling_at",
        _ => "ended_at",
    };
    let sql = format!("UPDATE batches SET state = $2, {column} = $3 WHERE id = $1");
    tx.execute(sql, args![id, next.as_str(), now]).await?;
    let told = match next {
        BatchState::Completed => Some(EventType::BatchCompleted),
        BatchState::Failed => Some(EventType::BatchFailed),
        BatchState::Expired => Some(EventType::BatchExpired),
        BatchState::Cancelled => Some(EventType::BatchCancelled),
        _ => None,
    };
    if let Some(event_type) = told {
        let project = ProjectId::from_bytes(row.id("project")?);
        tell(tx, project, Event::of_batch(id, event_type, now)).await?;
    }
    Ok(next)
}

fn batch_from_row(row: &Row) -> Result<Batch, StoreError> {
    Ok(Batch {
        id: BatchId::from_bytes(row.id("id")?),
        project: ProjectId::from_bytes(row.id("project")?),
        identity: IdentityId::from_bytes(row.id("identity")?),
        input_file: FileId::from_bytes(row.id("input_file")?),
        metadata: row.text("metadata")?,
        state: word(row, "state", BatchState::from_word)?,
        error: row.opt_text("error")?,
        output_file: row.opt_id("output_file")?.map(FileId::from_bytes),
        error_file: row.opt_id("error_file")?.map(FileId::from_bytes),
        created_at: Timestamp::from_micros(row.int("created_at")?),
        expires_at: Timestamp::from_micros(row.int("expires_at")?),
        in_progress_at: moment(row, "in_progress_at")?,
        finalizing_at: moment(row, "finalizing_at")?,
        cancelling_at: moment(row, "cancelling_at")?,
        ended_at: moment(row, "ended_at")?,
    })
}

fn item_from_row(row: &Row) -> Result<BatchItem, StoreError> {
    Ok(BatchItem {
        line: number(row, "line")?,
        custom_id: row.text("custom_id")?,
        body: row.text("body")?,
        generation: row.opt_id("generation")?.map(VideoId::from_bytes),
        error: row.opt_text("error")?,
    })
}
