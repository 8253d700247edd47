//! SQLite or PostgreSQL behind one small surface: statements with `$1`, five kinds of value, rows read by name.
//! Every repository is written once against it.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Postgres, Row as _, SqlSafeStr, Sqlite, Transaction};
use uuid::Uuid;

use crate::error::StoreError;

/// The migrations, forward only: number, name, and the SQL of each engine. One that was released is never changed.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "start",
        include_str!("../migrations/sqlite/0001_start.sql"),
        include_str!("../migrations/postgres/0001_start.sql"),
    ),
    (
        2,
        "identity",
        include_str!("../migrations/sqlite/0002_identity.sql"),
        include_str!("../migrations/postgres/0002_identity.sql"),
    ),
    (
        3,
        "library",
        include_str!("../migrations/sqlite/0003_library.sql"),
        include_str!("../migrations/postgres/0003_library.sql"),
    ),
    (
        4,
        "social",
        include_str!("../migrations/sqlite/0004_social.sql"),
        include_str!("../migrations/postgres/0004_social.sql"),
    ),
    (
        5,
        "limits",
        include_str!("../migrations/sqlite/0005_limits.sql"),
        include_str!("../migrations/postgres/0005_limits.sql"),
    ),
    (
        6,
        "folders",
        include_str!("../migrations/sqlite/0006_folders.sql"),
        include_str!("../migrations/postgres/0006_folders.sql"),
    ),
    (
        7,
        "closures",
        include_str!("../migrations/sqlite/0007_closures.sql"),
        include_str!("../migrations/postgres/0007_closures.sql"),
    ),
    (
        8,
        "archives",
        include_str!("../migrations/sqlite/0008_archives.sql"),
        include_str!("../migrations/postgres/0008_archives.sql"),
    ),
    (
        9,
        "evidence",
        include_str!("../migrations/sqlite/0009_evidence.sql"),
        include_str!("../migrations/postgres/0009_evidence.sql"),
    ),
    (10, "app", include_str!("../migrations/sqlite/0010_app.sql"), include_str!("../migrations/postgres/0010_app.sql")),
    (
        11,
        "policy",
        include_str!("../migrations/sqlite/0011_policy.sql"),
        include_str!("../migrations/postgres/0011_policy.sql"),
    ),
    (
        12,
        "appeals",
        include_str!("../migrations/sqlite/0012_appeals.sql"),
        include_str!("../migrations/postgres/0012_appeals.sql"),
    ),
    (
        13,
        "likeness",
        include_str!("../migrations/sqlite/0013_likeness.sql"),
        include_str!("../migrations/postgres/0013_likeness.sql"),
    ),
    (
        14,
        "again",
        include_str!("../migrations/sqlite/0014_again.sql"),
        include_str!("../migrations/postgres/0014_again.sql"),
    ),
    (
        15,
        "films",
        include_str!("../migrations/sqlite/0015_films.sql"),
        include_str!("../migrations/postgres/0015_films.sql"),
    ),
    (
        16,
        "candidates",
        include_str!("../migrations/sqlite/0016_candidates.sql"),
        include_str!("../migrations/postgres/0016_candidates.sql"),
    ),
    (
        17,
        "looks",
        include_str!("../migrations/sqlite/0017_looks.sql"),
        include_str!("../migrations/postgres/0017_looks.sql"),
    ),
];

/// Counts statements and transactions that may have written something.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// A database of one of two kinds. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// One connection writes, others read: SQLite has one writer at a time, and waiting for it here is fairer than there.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction. Dropped without [`Tx::commit`], it has never been.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A value of a statement. Null has a type too, because PostgreSQL asks.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Float(Option<f64>),
    Text(Option<String>),
    Uuid(Option<Uuid>),
    Bytes(Option<Vec<u8>>),
}

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Statements with their values: `args![id, now]`.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::database::Value::from($value)),*] };
}
pub(crate) use args;

impl Database {
    /// Opens a database without touching its tables.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let pool =
                PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(10)).connect(url).await?;
            return Ok(Self::Postgres(pool));
        }
        let Some(path) = url.strip_prefix("sqlite:") else { return Err(StoreError::DatabaseUrl(shown(url))) };
        if path == ":memory:" {
            let options = SqliteConnectOptions::from_str("sqlite::memory:")?;
            // The database lives in its connection, so there is one, and it never goes.
            let pool =
                SqlitePoolOptions::new().min_connections(1).max_connections(1).idle_timeout(None).max_lifetime(None);
            let writer = pool.connect_with(options).await?;
            return Ok(Self::Sqlite { readers: writer.clone(), writer });
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(StoreError::DatabaseUrl(shown(url)));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An accepted request survives a power cut, not only a crash of ours.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let readers = SqlitePoolOptions::new().max_connections(8).connect_with(options).await?;
        Ok(Self::Sqlite { writer, readers })
    }

    /// Brings the tables up to date. Running it again changes nothing.
    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_to(i64::MAX).await
    }

    /// Brings the tables to what they were in a version, for a backup of it, or for a test that every version can be left.
    pub(crate) async fn migrate_to(&self, version: i64) -> Result<(), StoreError> {
        let migration = |&(number, name, sqlite, postgres): &(i64, &'static str, &'static str, &'static str)| {
            let sql = if matches!(self, Self::Sqlite { .. }) { sqlite } else { postgres };
            Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        let wanted = MIGRATIONS.iter().filter(|(number, ..)| *number <= version);
        let migrator = Migrator::with_migrations(wanted.map(migration).collect());
        match self {
            Self::Sqlite { writer, .. } => migrator.run(writer).await?,
            Self::Postgres(pool) => migrator.run(pool).await?,
        }
        Ok(())
    }

    /// The number of the last migration.
    pub(crate) fn last_version() -> i64 {
        MIGRATIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0)
    }

    /// Begins a transaction that reads all tables as of one moment.
    pub(crate) async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(begin_whole(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(begin_whole(pool, "BEGIN").await?),
        })
    }

    /// Runs one statement on its own; says how many rows it changed.
    pub(crate) async fn execute(&self, sql: impl Into<Cow<'static, str>>, args: &[Value]) -> Result<u64, StoreError> {
        let sql = sql.into();
        let changed = match self {
            Self::Sqlite { writer, .. } => sqlite(sql, args).execute(writer).await?.rows_affected(),
            Self::Postgres(pool) => postgres(sql, args).execute(pool).await?.rows_affected(),
        };
        // What found nothing to change leaves what was read as true as it was.
        if changed > 0 {
            WRITES.fetch_add(1, Ordering::Release);
        }
        Ok(changed)
    }

    /// The same for what no page shows, so that what was read before stays as true as it was: when something was last used, for instance.
    pub(crate) async fn execute_quietly(&self, sql: &'static str, args: &[Value]) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => sqlite(sql.into(), args).execute(writer).await?.rows_affected(),
            Self::Postgres(pool) => postgres(sql.into(), args).execute(pool).await?.rows_affected(),
        })
    }

    /// How often this process has written, to any database.
    pub(crate) fn writes() -> u64 {
        WRITES.load(Ordering::Acquire)
    }

    /// Reads all rows of an answer.
    pub(crate) async fn all(&self, sql: impl Into<Cow<'static, str>>, args: &[Value]) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                sqlite(sql, args).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => postgres(sql, args).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect(),
        })
    }

    /// Reads the first row of an answer, if there is one.
    pub(crate) async fn first(
        &self,
        sql: impl Into<Cow<'static, str>>,
        args: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite { readers, .. } => sqlite(sql, args).fetch_optional(readers).await?.map(Row::Sqlite),
            Self::Postgres(pool) => postgres(sql, args).fetch_optional(pool).await?.map(Row::Postgres),
        })
    }
}

/// Begins a transaction in a task of its own, so that it is begun even if nobody waits any more: then it is rolled back. Dropped between
/// the question and the server's answer, sqlx gives a connection back that is in a transaction it does not know of. Whoever gets that
/// connection next writes into it; nothing of that ever is, and everybody else waits for the rows.
async fn begin_whole(pool: &PgPool, begin: &'static str) -> Result<Transaction<'static, Postgres>, StoreError> {
    // Waiting for a connection can be broken off.
    let connection = pool.acquire().await?;
    let begun = tokio::spawn(Transaction::begin(connection, Some(begin.into_sql_str())));
    Ok(begun.await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))??)
}

impl Tx {
    /// Makes it so.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        WRITES.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What to add to a SELECT whose row will be changed. SQLite's writer is alone already.
    pub(crate) fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }

    /// The same, passing over rows that others are changing.
    pub(crate) fn for_update_skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Runs a statement; says how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        args: &[Value],
    ) -> Result<u64, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(tx) => sqlite(sql, args).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => postgres(sql, args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Reads all rows of an answer.
    pub(crate) async fn all(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        args: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(tx) => sqlite(sql, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres(tx) => {
                postgres(sql, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads the first row of an answer, if there is one.
    pub(crate) async fn first(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        args: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(tx) => sqlite(sql, args).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Self::Postgres(tx) => postgres(sql, args).fetch_optional(&mut **tx).await?.map(Row::Postgres),
        })
    }
}

macro_rules! bound {
    ($name:ident, $database:ty) => {
        /// A statement with its values. All statements are written in this crate; only lists of `$n` are put together.
        fn $name(
            sql: Cow<'static, str>,
            args: &[Value],
        ) -> sqlx::query::Query<'static, $database, <$database as sqlx::Database>::Arguments> {
            args.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| match value.clone() {
                Value::Int(value) => query.bind(value),
                Value::Float(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Uuid(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            })
        }
    };
}
bound!(sqlite, Sqlite);
bound!(postgres, Postgres);

macro_rules! reader {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&self, column: &str) -> Result<$type, StoreError> {
            Ok(match self {
                Self::Sqlite(row) => row.try_get(column)?,
                Self::Postgres(row) => row.try_get(column)?,
            })
        }
    )*};
}

impl Row {
    reader! {
        /// A whole number.
        int: i64;
        /// A whole number or nothing.
        opt_int: Option<i64>;
        /// A number or nothing.
        opt_float: Option<f64>;
        /// A text.
        text: String;
        /// A text or nothing.
        opt_text: Option<String>;
        /// Bytes.
        blob: Vec<u8>;
        /// Bytes or nothing.
        opt_blob: Option<Vec<u8>>;
        /// An id or nothing.
        opt_uuid: Option<Uuid>;
    }

    /// An id's bytes.
    pub(crate) fn id(&self, column: &str) -> Result<[u8; 16], StoreError> {
        let uuid: Uuid = match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        };
        Ok(uuid.into_bytes())
    }

    /// An id's bytes or nothing.
    pub(crate) fn opt_id(&self, column: &str) -> Result<Option<[u8; 16]>, StoreError> {
        Ok(self.opt_uuid(column)?.map(Uuid::into_bytes))
    }
}

macro_rules! values {
    ($($kind:ident: $type:ty, $value:ident => $inner:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::$kind(Some($inner))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$kind(value.map(|$value| $inner))
            }
        }
    )*};
}

values! {
    Int: i64, value => value;
    Int: i32, value => i64::from(value);
    Int: u32, value => i64::from(value);
    Int: u16, value => i64::from(value);
    Int: bool, value => i64::from(value);
    Int: platform::Timestamp, value => value.micros();
    Int: platform::Credits, value => value.micros();
    Int: platform::VirtualTime, value => value.units();
    Float: f32, value => f64::from(value);
    Text: String, value => value;
    Text: &str, value => value.to_owned();
    Bytes: Vec<u8>, value => value;
    Bytes: [u8; 32], value => value.to_vec();
    Bytes: platform::TokenHash, value => value.bytes().to_vec();
    Uuid: platform::IdentityId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::VideoId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::CharacterId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::FileId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::BatchId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::EventId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ProjectId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::WebhookEndpointId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ApiKeyId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::SessionId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::DecisionId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::LetterId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::PasskeyId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::LedgerEntryId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::PostId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::PlaceId, value => Uuid::from_bytes(value.bytes());
    Uuid: Uuid, value => value;
    Uuid: platform::NoticeId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ConversationId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::MessageId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::RightsId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::RightsAgentId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::RightsRequestId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ReportId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ReceiptId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::FolderId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::AppealId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::TakedownId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::SunsetId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::CommentId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ExportId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ImportId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::DestinationId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::LikenessId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::EnrolmentId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::ConsentId, value => Uuid::from_bytes(value.bytes());
    Uuid: platform::UseId, value => Uuid::from_bytes(value.bytes());
    Bytes: platform::LinkToken, value => value.bytes().to_vec();
}

fn shown(url: &str) -> String {
    // A password may stand in it.
    url.split('@').next_back().unwrap_or_default().chars().take(80).collect()
}
