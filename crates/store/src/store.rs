//! The handle to all rows, and what all pages of lists have in common.

use platform::Timestamp;

use crate::database::{Database, args};
use crate::error::StoreError;
use crate::holdings::Keeper;
use crate::sealer::Sealer;
use crate::social::PublicPostsCache;

/// All rows of an installation. Cheap to clone; its methods stand in the files of their subjects.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) database: Database,
    pub(crate) public_posts: PublicPostsCache,
    sealer: Option<Sealer>,
    pub(crate) neighbours: Vec<Keeper>,
}

/// Which way a list goes by time of creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// Which part of a list is wanted. The order within one moment is that of the ids, so pages neither miss nor repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<Id> {
    /// Begin behind this one.
    pub after: Option<Id>,
    /// So many at most.
    pub limit: u32,
    /// Which way.
    pub order: Order,
}

impl Store {
    /// Opens a database by its address: `sqlite:PATH`, `sqlite::memory:` or `postgres://…`. Tables are not touched.
    ///
    /// # Errors
    /// [`StoreError::DatabaseUrl`], or [`StoreError::Database`] if it does not answer.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            database: Database::open(url).await?,
            public_posts: PublicPostsCache::default(),
            sealer: None,
            neighbours: Vec::new(),
        })
    }

    /// The same store with the key that secrets in rows are sealed with. Without it they can be neither read nor written.
    #[must_use]
    pub fn sealed_with(self, sealer: Sealer) -> Self {
        Self { sealer: Some(sealer), ..self }
    }

    /// The same store with a service beside those of the product, which brings its own tables.
    #[must_use]
    pub fn with_neighbour(mut self, keeper: Keeper) -> Self {
        self.neighbours.push(keeper);
        self
    }

    /// What seals secrets in rows.
    pub(crate) fn sealer(&self) -> Result<&Sealer, StoreError> {
        self.sealer.as_ref().ok_or(StoreError::NoSealer)
    }

    /// Brings the tables up to date, and chains lines of the record that a version before the chain wrote. Running it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Migrate`], [`StoreError::Database`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.database.migrate().await?;
        self.chain_audit().await
    }

    /// Brings the tables to what they were in an earlier version, for tests of migrations. A version that is unknown is the last.
    ///
    /// # Errors
    /// [`StoreError::Migrate`].
    pub async fn migrate_to(&self, version: i64) -> Result<(), StoreError> {
        self.database.migrate_to(version).await
    }

    /// Counts what this process has written: while it stays the same, what was read before is still true, unless another process wrote.
    pub fn writes() -> u64 {
        Database::writes()
    }

    /// The number of the last migration.
    pub fn last_version() -> i64 {
        Database::last_version()
    }

    /// Whether the database answers: for readiness.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.first("SELECT 1 AS one", args![]).await.map(|_| ())
    }

    /// Closes all connections; what was begun ends first.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// The prefixes of objects that no row names any more. Delete them with [`crate::Objects::delete_under`], then say so.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn object_deletions(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT prefix FROM object_deletions ORDER BY asked_at, prefix LIMIT $1";
        self.database.all(sql, args![limit]).await?.iter().map(|row| row.text("prefix")).collect()
    }

    /// The objects under this prefix are gone.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn object_deletion_done(&self, prefix: &str) -> Result<(), StoreError> {
        self.database.execute("DELETE FROM object_deletions WHERE prefix = $1", args![prefix]).await.map(|_| ())
    }
}

/// Asks for the deletion of objects within the transaction that drops their rows.
pub(crate) async fn delete_objects(
    tx: &mut crate::database::Tx,
    prefix: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO object_deletions (prefix, asked_at) VALUES ($1, $2) ON CONFLICT (prefix) DO NOTHING";
    tx.execute(sql, args![prefix, now]).await.map(|_| ())
}

impl Order {
    /// The comparison and the direction of a keyset page.
    pub(crate) fn sql(self) -> (&'static str, &'static str) {
        match self {
            Self::Ascending => (">", "ASC"),
            Self::Descending => ("<", "DESC"),
        }
    }
}

impl<Id> Default for Page<Id> {
    fn default() -> Self {
        Self { after: None, limit: 20, order: Order::Descending }
    }
}
