//! What an archive of a person holds: every class of data, its tables, their columns and public names. One description serves reading,
//! writing and the list of what is left out, so that none of them can forget a column the others have.

mod classes;
mod restore;

use platform::{IdentityId, Timestamp};

pub use classes::ARCHIVE_CLASSES;
pub use restore::{FilmLook, LeftOut, Restored, Restoring, RowToRestore};

use crate::database::{Row, Value};
use crate::error::StoreError;
use crate::objects::ObjectKey;
use crate::store::Store;

/// A class of data, as retention, export and deletion name it.
#[derive(Debug)]
pub struct ArchiveClass {
    /// Its name, and that of its file: `data/NAME.jsonl`.
    pub name: &'static str,
    /// Whose it is: `account`, or a service.
    pub owner: &'static str,
    /// Why it is in no archive; empty if it is.
    pub excluded: &'static str,
    /// Its tables, so that each comes after those that its rows name.
    pub tables: &'static [ArchiveTable],
}

/// A table of a class: one line of its file is one row.
#[derive(Debug)]
pub struct ArchiveTable {
    /// What each of its lines says it is.
    pub object: &'static str,
    table: &'static str,
    /// Which rows are the person's, `$1`.
    condition: &'static str,
    /// The columns that order its pages.
    key: &'static [&'static str],
    /// What of it stands in a line.
    pub columns: &'static [ArchiveColumn],
}

/// A field of a line.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveColumn {
    column: &'static str,
    /// Its name in the line.
    pub name: &'static str,
    /// What it holds.
    pub kind: ArchiveKind,
    /// Whether it may be null.
    pub optional: bool,
    /// Whether it comes back with an import. What does not is told for people.
    pub restored: bool,
}

/// What a field holds, with its spelling and what is allowed.
#[derive(Clone, Copy, Debug)]
pub enum ArchiveKind {
    /// An id: how it is spelt, and read.
    Id(fn([u8; 16]) -> String, fn(&str) -> Option<[u8; 16]>),
    /// Words without spaces, each of which must be allowed.
    List(fn(&str) -> bool),
    /// A text that must be allowed.
    Text(fn(&str) -> bool),
    /// A whole number between two.
    Whole(i64, i64),
    /// Any finite number.
    Number,
    /// Yes or no.
    Flag,
    /// A moment.
    Moment,
    /// JSON of the product's own, or of whoever asked.
    Json,
    /// A file of the archive.
    File,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum ArchiveValue {
    /// Nothing.
    Null,
    /// A whole number, a flag, or microseconds.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text, JSON, or the name of an object.
    Text(String),
    /// An id.
    Id([u8; 16]),
}

/// A row, its values in the order of the table's columns.
#[derive(Clone, Debug)]
pub struct ArchiveRow {
    /// What it is a row of.
    pub table: &'static ArchiveTable,
    /// Its values.
    pub values: Vec<ArchiveValue>,
}

impl Store {
    /// A page of a person's rows of a table, behind the last row of the page before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn archive_rows(
        &self,
        identity: IdentityId,
        table: &'static ArchiveTable,
        after: Option<&ArchiveRow>,
        limit: u32,
    ) -> Result<Vec<ArchiveRow>, StoreError> {
        let mut args: Vec<Value> = vec![identity.into(), limit.into()];
        let mut behind = String::new();
        let keys = table.key.join(", ");
        if let Some(after) = after {
            let from = args.len() + 1;
            for column in table.key {
                args.push(after.bound(column));
            }
            let places = (from..from + table.key.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
            behind = format!(" AND ({keys}) > ({places})");
        }
        let columns = table.columns.iter().enumerate().map(|(at, column)| format!("{} AS c{at}", column.column));
        let sql = format!(
            "SELECT {} FROM {} WHERE ({}){behind} ORDER BY {keys} LIMIT $2",
            columns.collect::<Vec<_>>().join(", "),
            table.table,
            table.condition
        );
        self.database.all(sql, &args).await?.iter().map(|row| table.read(row)).collect()
    }
}

impl ArchiveTable {
    fn read(&'static self, row: &Row) -> Result<ArchiveRow, StoreError> {
        let values = self.columns.iter().enumerate().map(|(at, column)| {
            let name = format!("c{at}");
            Ok(match column.kind {
                ArchiveKind::Id(..) => row.opt_id(&name)?.map_or(ArchiveValue::Null, ArchiveValue::Id),
                ArchiveKind::Whole(..) | ArchiveKind::Flag | ArchiveKind::Moment => {
                    row.opt_int(&name)?.map_or(ArchiveValue::Null, ArchiveValue::Int)
                }
                ArchiveKind::Number => row.opt_float(&name)?.map_or(ArchiveValue::Null, ArchiveValue::Float),
                ArchiveKind::List(_) | ArchiveKind::Text(_) | ArchiveKind::Json | ArchiveKind::File => {
                    row.opt_text(&name)?.map_or(ArchiveValue::Null, ArchiveValue::Text)
                }
            })
        });
        Ok(ArchiveRow { table: self, values: values.collect::<Result<_, StoreError>>()? })
    }

    /// Whether its rows come back with an import.
    pub fn is_restored(&self) -> bool {
        self.columns.iter().any(|column| column.restored)
    }

    fn place(&self, column: &str) -> usize {
        self.columns.iter().position(|one| one.column == column).expect("the table's own code names its columns")
    }
}

impl ArchiveRow {
    /// The value of a column of the table.
    pub fn value(&self, column: &str) -> &ArchiveValue {
        &self.values[self.table.place(column)]
    }

    /// Puts a value in place of another.
    pub fn set(&mut self, column: &str, value: ArchiveValue) {
        let place = self.table.place(column);
        self.values[place] = value;
    }

    /// The row's own id, if its table has ids.
    pub fn id(&self) -> Option<[u8; 16]> {
        let at = self.table.columns.iter().position(|column| column.column == "id")?;
        self.values[at].id()
    }

    /// The objects that it names.
    pub fn objects(&self) -> impl Iterator<Item = ObjectKey> {
        self.table.columns.iter().zip(&self.values).filter_map(|(column, value)| match (column.kind, value) {
            (ArchiveKind::File, ArchiveValue::Text(key)) => Some(ObjectKey::from_row(key.clone())),
            _ => None,
        })
    }

    /// When what it tells came to be, or was last changed, as far as that is kept.
    pub fn made_at(&self) -> Option<Timestamp> {
        ["ended_at", "updated_at", "created_at"].into_iter().find_map(|name| self.moment(name))
    }

    /// When it came before others, if it did.
    pub fn made_public_at(&self) -> Option<Timestamp> {
        self.moment("published_at")
    }

    fn moment(&self, name: &str) -> Option<Timestamp> {
        let at = self.table.columns.iter().position(|column| column.column == name)?;
        match self.values[at] {
            ArchiveValue::Int(micros) => Some(Timestamp::from_micros(micros)),
            _ => None,
        }
    }

    /// The text of a column; empty if it is none.
    pub fn text(&self, column: &str) -> &str {
        match self.value(column) {
            ArchiveValue::Text(text) => text,
            _ => "",
        }
    }

    fn bound(&self, column: &str) -> Value {
        let place = self.table.place(column);
        bound(self.table.columns[place].kind, &self.values[place])
    }
}

impl ArchiveValue {
    /// The id, if it is one.
    pub fn id(&self) -> Option<[u8; 16]> {
        match self {
            Self::Id(id) => Some(*id),
            _ => None,
        }
    }
}

/// A value for a statement; null has the type of its kind.
fn bound(kind: ArchiveKind, value: &ArchiveValue) -> Value {
    match (kind, value) {
        (_, ArchiveValue::Int(value)) => Value::Int(Some(*value)),
        (_, ArchiveValue::Float(value)) => Value::Float(Some(*value)),
        (_, ArchiveValue::Text(value)) => Value::Text(Some(value.clone())),
        (_, ArchiveValue::Id(value)) => Value::Uuid(Some(uuid::Uuid::from_bytes(*value))),
        (ArchiveKind::Id(..), ArchiveValue::Null) => Value::Uuid(None),
        (ArchiveKind::Whole(..) | ArchiveKind::Flag | ArchiveKind::Moment, ArchiveValue::Null) => Value::Int(None),
        (ArchiveKind::Number, ArchiveValue::Null) => Value::Float(None),
        (_, ArchiveValue::Null) => Value::Text(None),
    }
}
