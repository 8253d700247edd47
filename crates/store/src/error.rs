//! What can go wrong in the store.

use platform::Refusal;

/// Why something could not be remembered, found or published.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the database's tables could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The address of the database is none.
    #[error("{0:?} is no database: write sqlite:PATH, sqlite::memory: or postgres://…")]
    DatabaseUrl(String),
    /// A secret is to be read or written by what was not given the key of secrets.
    #[error("secrets in rows are sealed, and the key for them was not given")]
    NoSealer,
    /// What was sealed cannot be opened: another key, another row, or changed bytes.
    #[error("a sealed secret cannot be opened with this key")]
    Unsealable,
    /// A row holds what it cannot hold.
    #[error("column {column} holds {value:?}, which nobody wrote")]
    Corrupt {
        /// The column.
        column: &'static str,
        /// What stands there, at most 80 characters.
        value: String,
    },
    /// There is no such thing, or not in this project.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is there already.
    #[error("this {0} exists already")]
    Exists(&'static str),
    /// The caller asked for something that cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something is to be kept for a person whose service was erased since it was begun.
    #[error("what this was made for has been erased")]
    Erased,
    /// It cannot happen in the state that it is in.
    #[error("this {what} is {state}")]
    State {
        /// What.
        what: &'static str,
        /// Its state's word.
        state: String,
    },
    /// The objects failed.
    #[error("the object store failed")]
    Objects(#[from] object_store::Error),
    /// The place of the objects cannot be used.
    #[error("objects cannot be kept there: {0}")]
    ObjectsPlace(String),
    /// A byte range that lies outside the object.
    #[error("the object has {size_bytes} bytes, the range is not in it")]
    Range {
        /// How many it has.
        size_bytes: u64,
    },
    /// A statement could not be signed.
    #[error("a statement could not be signed: {0}")]
    Statement(String),
    /// Copying a backup failed.
    #[error("{step} failed")]
    Backup {
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Copies of keys and a keyring that do not belong together.
    #[error("the keyring and this folder do not belong together: they have different keys under {0}")]
    Keys(String),
    /// A backup that cannot be read, or a place that cannot take it.
    #[error("the backup cannot be restored: {0}")]
    Restore(String),
}

/// What a row cannot hold.
pub(crate) fn corrupt(column: &'static str, value: impl ToString) -> StoreError {
    StoreError::Corrupt { column, value: value.to_string().chars().take(80).collect() }
}
