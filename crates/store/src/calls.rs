//! What one process calls out to the workers of all others: PostgreSQL carries it (`LISTEN`, `NOTIFY`). Nothing depends on it: whoever
//! hears nothing looks by themselves a little later.

use sqlx::postgres::PgListener;

use crate::database::{Database, Tx, args};
use crate::error::StoreError;
use crate::store::Store;

/// The channel.
const CHANNEL: &str = "misora_workers";

/// What workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerCall {
    /// A job waits.
    Job,
    /// Someone asked to cancel or delete a generation that may be running.
    Cancel,
    /// The connection was lost for a while: either may have been called meanwhile.
    Either,
}

/// Hears what is called to workers.
#[derive(Debug)]
pub struct WorkerCalls(PgListener);

impl Store {
    /// Begins to hear what is called to workers from now on; nothing on SQLite, whose workers are in the process that calls.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn worker_calls(&self) -> Result<Option<WorkerCalls>, StoreError> {
        let Database::Postgres(pool) = &self.database else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(WorkerCalls(listener)))
    }
}

impl WorkerCalls {
    /// Waits for the next call.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database does not answer: then begin anew.
    pub async fn next(&mut self) -> Result<WorkerCall, StoreError> {
        Ok(match self.0.try_recv().await?.as_ref().map(sqlx::postgres::PgNotification::payload) {
            Some("job") => WorkerCall::Job,
            Some("cancel") => WorkerCall::Cancel,
            _ => WorkerCall::Either,
        })
    }
}

/// Calls to the workers of all processes, if and when the transaction is made so.
pub(crate) async fn call_workers(tx: &mut Tx, call: WorkerCall) -> Result<(), StoreError> {
    let word = match call {
        WorkerCall::Job => "job",
        WorkerCall::Cancel => "cancel",
        WorkerCall::Either => "either",
    };
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(_) => tx.execute("SELECT pg_notify($1, $2)", args![CHANNEL, word]).await.map(|_| ()),
    }
}
