//! A backup of an installation, taken while it runs, and its restore: the same from and to every database and place of objects.
//!
//! A folder with `backup.json`, which says the form and the version of the tables; `rows/TABLE.jsonl`, a line with the columns
//! and one for each row; and `objects/`, each under its name, as it lies there. Whole numbers and texts are JSON's own, bytes and ids are
//! `{"bytes": HEX}`, other numbers `{"float": HEX}`, so that not a bit of them is lost.
//!
//! What is somebody's is sealed, and the keys are in no backup: destroying a key reaches all backups. The keys are copied apart, into a
//! folder of which only the newest state is kept ([`backup_keys`]).

use platform::hex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use sqlx::{Column, Row as _, TypeInfo, ValueRef};
use uuid::Uuid;

use crate::database::{Database, Row, Tx, Value, args};
use crate::error::StoreError;
use crate::keyring::{KeyName, is_successor};
use crate::objects::{ObjectKey, Objects};
use crate::sealed_object::{HEAD_BYTES, Head};
use crate::store::Store;

const HEAD: &str = "backup.json";
const KEYS_HEAD: &str = "keyring.json";
/// How a file of a key ends while it is written.
const DRAFT: &str = "new";
const ROWS: &str = "rows";
const OBJECTS: &str = "objects";
/// The form that is written here, and the only one that is read.
const FORM: u64 = 1;
/// What sqlx remembers of migrations.
const MIGRATIONS: &str = "_sqlx_migrations";
/// Migrations put a row into these.
const SEEDED: &[&str] = &["audit_head", "queue_clock"];
/// Archives of people are copies, and gone in days.
const LEFT_OUT: [&str; 2] = ["exports/", "imports/"];
/// Rows read at a time, so that a long table never lies in memory whole.
const PAGE: u32 = 1000;

/// Writes a backup into a folder, which must not exist or be empty: the rows first, as of one moment, then the
/// objects, all of which those rows name were there before. Objects deleted meanwhile may be missing.
///
/// # Errors
/// [`StoreError::Backup`] if the folder holds something or cannot be written; [`StoreError::Database`], [`StoreError::Objects`].
pub async fn backup(store: &Store, objects: &Objects, folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder.join(ROWS)).map_err(step("making the backup's folder"))?;
    let mut entries = fs::read_dir(folder).map_err(step("reading the backup's folder"))?;
    if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != ROWS)) {
        let source = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(step("making the backup's folder")(source));
    }
    let mut tx = store.database.begin_snapshot().await?;
    for table in tables(&mut tx).await? {
        let file = File::create_new(rows_of(folder, &table.name)).map_err(step("writing the rows"))?;
        write_rows(&mut tx, &table, BufWriter::new(file)).await?;
    }
    let version = version(&mut tx).await?;
    drop(tx);
    let kept = |key: &ObjectKey| !LEFT_OUT.iter().any(|prefix| key.as_str().starts_with(prefix));
    for key in objects.list("").await?.into_iter().filter(kept) {
        match objects.raw(&key).await {
            Ok(mut pieces) => {
                let path = folder.join(OBJECTS).join(key.as_str());
                let parent = path.parent().unwrap_or(folder);
                fs::create_dir_all(parent).map_err(step("copying the objects"))?;
                let mut file = File::create_new(&path).map_err(step("copying the objects"))?;
                while let Some(piece) = pieces.try_next().await? {
                    file.write_all(&piece).map_err(step("copying the objects"))?;
                }
            }
            // It was deleted meanwhile.
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    // Last: a folder without it is no backup, but the beginning of one.
    let head = json!({ "form": FORM, "version": version }).to_string();
    fs::write(folder.join(HEAD), head).map_err(step("writing the backup's head"))
}

/// Brings a folder to the state of the keyring: a copy of every key, sealed as it lies there, and of a key that was destroyed since only that
/// it was. It must not exist, be empty or be such a folder. Erasure reaches what it held before, so no older state of it may be kept.
///
/// # Errors
/// [`StoreError::Backup`] if the folder holds something else or cannot be written; [`StoreError::Keys`] if it is of another keyring;
/// [`StoreError::Objects`].
pub async fn backup_keys(objects: &Objects, folder: &Path) -> Result<(), StoreError> {
    let writing = || step("copying the keys");
    fs::create_dir_all(folder).map_err(writing())?;
    let is_empty = fs::read_dir(folder).map_err(writing())?.next().is_none();
    if is_empty {
        replace(&folder.join(KEYS_HEAD), json!({ "form": FORM }).to_string().as_bytes()).map_err(writing())?;
    } else if !folder.join(KEYS_HEAD).exists() {
        let source = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(step("making the folder of the keys")(source));
    }
    for name in objects.keyring.names().await? {
        let Some(bytes) = objects.keyring.raw(name).await? else { continue };
        let path = folder.join(name.to_string());
        match fs::read(&path) {
            Ok(copy) if copy == bytes => continue,
            // A keyring that was lost and begun anew would take away the only copies.
            Ok(copy) if !is_successor(&bytes, &copy) => return Err(StoreError::Keys(name.to_string())),
            _ => {}
        }
        fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(writing())?;
        replace(&path, &bytes).map_err(writing())?;
    }
    Ok(())
}

/// Puts a backup into an installation without rows and objects. Its tables become those of the backup, then are brought up to date. Not
/// while a server runs there.
///
/// `keys` is the folder of the keys. An installation that has its keyring still needs none; given one, keys that were destroyed stay so.
/// What was erased since the backup cannot be read; its rows come back closed on every path, and housekeeping erases them again.
///
/// # Errors
/// [`StoreError::Restore`] if it is no whole backup, is newer than this program, has media that no key opens, or if something is there
/// already; rows come all or not at all. [`StoreError::Keys`] if the keys are others than those that are there.
pub async fn restore(folder: &Path, keys: Option<&Path>, store: &Store, objects: &Objects) -> Result<(), StoreError> {
    let head = fs::read_to_string(folder.join(HEAD)).map_err(step("reading the backup's head"))?;
    let head: Json = serde_json::from_str(&head).map_err(|error| refused(format!("{HEAD} is damaged: {error}")))?;
    if head["form"] != FORM {
        return Err(refused("it has a form that this program does not know".into()));
    }
    let version = head["version"].as_i64().ok_or_else(|| refused(format!("{HEAD} names no version")))?;
    if version > Database::last_version() {
        return Err(refused(format!("its tables are of version {version}, which this program does not know yet")));
    }
    check_empty(store, objects, version).await?;
    let found = files_under(&folder.join(OBJECTS)).map_err(step("reading the objects"))?;
    check_keys(folder, &found, keys, objects).await?;

    // Objects first: rows without objects would look like a finished restore.
    if let Some(keys) = keys {
        restore_keys(keys, objects).await?;
    }
    for key in found {
        let bytes = fs::read(folder.join(OBJECTS).join(&key)).map_err(step("reading the objects"))?;
        objects.put_back(&ObjectKey::from_row(key), Bytes::from(bytes)).await?;
    }
    store.database.migrate_to(version).await?;
    let mut tx = store.database.begin().await?;
    let tables = tables(&mut tx).await?;
    for table in tables.iter().filter(|table| SEEDED.contains(&table.name.as_str())) {
        tx.execute(format!("DELETE FROM {}", table.name), args![]).await?;
    }
    for table in in_order(tables)? {
        let file = File::open(rows_of(folder, &table.name)).map_err(step("reading the rows"))?;
        read_rows(&mut tx, &table, BufReader::new(file)).await?;
    }
    tx.commit().await?;
    store.database.migrate().await?;
    store.erase_again(&objects.erased_subjects().await?).await.map(|_| ())
}

/// Refuses an installation that holds something, or whose tables are newer than the backup's.
async fn check_empty(store: &Store, objects: &Objects, backed_up: i64) -> Result<(), StoreError> {
    if !objects.list("").await?.is_empty() {
        return Err(refused("there are objects already".into()));
    }
    let mut tx = store.database.begin_snapshot().await?;
    if version(&mut tx).await? > backed_up {
        return Err(refused("the tables are newer than it: begin with an empty database".into()));
    }
    for table in tables(&mut tx).await?.into_iter().filter(|table| !SEEDED.contains(&table.name.as_str())) {
        if tx.first(format!("SELECT 1 AS one FROM {} LIMIT 1", table.name), args![]).await?.is_some() {
            return Err(refused(format!("the table {} has rows already", table.name)));
        }
    }
    Ok(())
}

/// Refuses media that no key opens, before anything is written.
async fn check_keys(folder: &Path, found: &[String], keys: Option<&Path>, objects: &Objects) -> Result<(), StoreError> {
    if found.iter().any(|name| ObjectKey::from_row(name.clone()).is_of_keyring()) {
        return Err(refused("it has keys among its objects, which no backup has".into()));
    }
    let Some(keys) = keys else {
        let there: BTreeSet<_> = objects.keyring.names().await?.into_iter().collect();
        for name in found {
            let mut bytes = Vec::new();
            let file = File::open(folder.join(OBJECTS).join(name)).map_err(step("reading the objects"))?;
            file.take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(step("reading the objects"))?;
            let head = Head::read(&bytes).map_err(|_| refused(format!("the head of the object {name} is damaged")))?;
            if head.is_some_and(|head| !there.contains(&head.key().0)) {
                return Err(refused(
                    "its media are sealed with keys that are not there: give the folder of the keys".into(),
                ));
            }
        }
        return Ok(());
    };
    if !keys.join(KEYS_HEAD).exists() {
        return Err(refused(format!("{} is no folder of keys", keys.display())));
    }
    for (name, bytes) in keys_in(keys)? {
        let there = objects.keyring.raw(name).await?;
        if there.is_some_and(|there| there != bytes && !is_successor(&there, &bytes)) {
            return Err(StoreError::Keys(name.to_string()));
        }
    }
    Ok(())
}

/// Puts back the keys that are not there.
async fn restore_keys(folder: &Path, objects: &Objects) -> Result<(), StoreError> {
    for (name, bytes) in keys_in(folder)? {
        if objects.keyring.raw(name).await?.is_none() {
            objects.keyring.put_back(name, bytes).await?;
        }
    }
    Ok(())
}

/// All keys of a folder, as they lie there.
fn keys_in(folder: &Path) -> Result<Vec<(KeyName, Bytes)>, StoreError> {
    let names = files_under(folder).map_err(step("reading the keys"))?.into_iter();
    let names = names.filter(|text| text != KEYS_HEAD && !text.ends_with(&format!(".{DRAFT}")));
    let key = |text: String| {
        let name = text.parse().map_err(|_| refused(format!("{text} in the folder of the keys is none")))?;
        let bytes = fs::read(folder.join(&text)).map_err(step("reading the keys"))?;
        Ok((name, Bytes::from(bytes)))
    };
    names.map(key).collect()
}

/// A table as the database describes it.
#[derive(Default)]
struct Table {
    name: String,
    /// Each column with the kind of its values, in the table's own order.
    columns: Vec<(String, Kind)>,
    /// The columns of its primary key.
    key: Vec<String>,
    /// A column whose numbers PostgreSQL gives by itself.
    identity: Option<String>,
    /// The tables that its rows name, without itself.
    parents: BTreeSet<String>,
    /// Columns that name rows of the same table.
    own: Vec<String>,
}

/// What a column holds. SQLite keeps ids as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Text,
    Bytes,
    Uuid,
}

impl Kind {
    fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "integer" | "bigint" | "int8" => Some(Self::Int),
            "real" | "double precision" | "float8" => Some(Self::Float),
            "text" => Some(Self::Text),
            "blob" | "bytea" => Some(Self::Bytes),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }
}

/// All tables but the record of migrations, by name.
async fn tables(tx: &mut Tx) -> Result<Vec<Table>, StoreError> {
    let (names, columns, key, parents) = match tx {
        Tx::Sqlite(_) => (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
            "SELECT name, type AS kind, 'NO' AS is_identity FROM pragma_table_info($1) ORDER BY cid",
            "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk",
            "SELECT \"table\" AS parent, \"from\" AS child FROM pragma_foreign_key_list($1) ORDER BY id",
        ),
        Tx::Postgres(_) => (
            "SELECT table_name::text AS name FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name",
            "SELECT column_name::text AS name, data_type::text AS kind, is_identity::text AS is_identity
             FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1
             ORDER BY ordinal_position",
            "SELECT attname::text AS name FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
             CROSS JOIN LATERAL unnest(indkey) WITH ORDINALITY AS part (number, place)
             JOIN pg_attribute ON attrelid = indrelid AND attnum = part.number
             WHERE indisprimary AND relname = $1 AND relnamespace = current_schema()::text::regnamespace
             ORDER BY part.place",
            "SELECT parent.relname::text AS parent, attname::text AS child FROM pg_constraint
             JOIN pg_class child ON child.oid = conrelid JOIN pg_class parent ON parent.oid = confrelid
             JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
             WHERE contype = 'f' AND child.relname = $1 AND child.relnamespace = current_schema()::text::regnamespace",
        ),
    };
    let mut tables = Vec::new();
    for row in tx.all(names, args![]).await? {
        let name = row.text("name")?;
        if name == MIGRATIONS {
            continue;
        }
        let mut table = Table { name, ..Table::default() };
        for row in tx.all(columns, args![table.name.as_str()]).await? {
            let (column, word) = (row.text("name")?, row.text("kind")?);
            let kind = Kind::from_word(&word)
                .ok_or_else(|| refused(format!("{}.{column} is a {word}, which backups do not know", table.name)))?;
            if row.text("is_identity")? == "YES" {
                table.identity = Some(column.clone());
            }
            table.columns.push((column, kind));
        }
        for row in tx.all(key, args![table.name.as_str()]).await? {
            table.key.push(row.text("name")?);
        }
        if table.key.is_empty() {
            return Err(refused(format!("the table {} has no primary key to put it in order by", table.name)));
        }
        for row in tx.all(parents, args![table.name.as_str()]).await? {
            match row.text("parent")? {
                parent if parent == table.name => table.own.push(row.text("child")?),
                parent => _ = table.parents.insert(parent),
            }
        }
        tables.push(table);
    }
    Ok(tables)
}

/// The tables so that each comes after those that its rows name.
fn in_order(tables: Vec<Table>) -> Result<Vec<Table>, StoreError> {
    let mut left: BTreeMap<String, Table> = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let ready = left.values().find(|table| !table.parents.iter().any(|parent| left.contains_key(parent)));
        let ready = ready.map(|table| table.name.clone());
        let table = ready.and_then(|name| left.remove(&name));
        ordered.push(table.ok_or_else(|| refused("its tables name each other in a circle".into()))?);
    }
    Ok(ordered)
}

/// The version of the tables; 0 if there are none.
async fn version(tx: &mut Tx) -> Result<i64, StoreError> {
    let there = match tx {
        Tx::Sqlite(_) => "SELECT 1 AS one FROM sqlite_master WHERE name = $1",
        Tx::Postgres(_) => {
            "SELECT 1 AS one FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
        }
    };
    if tx.first(there, args![MIGRATIONS]).await?.is_none() {
        return Ok(0);
    }
    let sql = format!("SELECT COALESCE(MAX(version), 0) AS version FROM {MIGRATIONS}");
    tx.first(sql, args![]).await?.map_or(Ok(0), |row| row.int("version"))
}

async fn write_rows(tx: &mut Tx, table: &Table, mut file: impl Write) -> Result<(), StoreError> {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    writeln!(file, "{}", json!(names)).map_err(step("writing the rows"))?;
    // Within one snapshot every page sees the same rows. Ids grow with time, so what names a row of its own table comes after it.
    let order = table.key.join(", ");
    let list = names.join(", ");
    let mut from = 0_i64;
    loop {
        let sql = format!("SELECT {list} FROM {} ORDER BY {order} LIMIT $1 OFFSET $2", table.name);
        let rows = tx.all(sql, args![PAGE, from]).await?;
        for row in &rows {
            let values = (0..names.len()).map(|at| written(row, at)).collect::<Result<Json, _>>()?;
            writeln!(file, "{values}").map_err(step("writing the rows"))?;
        }
        if rows.len() < PAGE as usize {
            return file.flush().map_err(step("writing the rows"));
        }
        from += i64::from(PAGE);
    }
}

/// A value of a row as JSON.
fn written(row: &Row, at: usize) -> Result<Json, StoreError> {
    macro_rules! value {
        ($row:expr) => {{
            let raw = $row.try_get_raw(at)?;
            if raw.is_null() {
                return Ok(Json::Null);
            }
            let kind = raw.type_info().name().to_owned();
            match Kind::from_word(&kind) {
                Some(Kind::Int) => json!($row.try_get::<i64, _>(at)?),
                Some(Kind::Text) => json!($row.try_get::<String, _>(at)?),
                Some(Kind::Float) => json!({ "float": hex(&$row.try_get::<f64, _>(at)?.to_be_bytes()) }),
                Some(Kind::Bytes) => json!({ "bytes": hex(&$row.try_get::<Vec<u8>, _>(at)?) }),
                Some(Kind::Uuid) => json!({ "bytes": hex($row.try_get::<Uuid, _>(at)?.as_bytes()) }),
                None => {
                    let column = $row.column(at).name();
                    return Err(refused(format!("{column} is a {kind}, which backups do not know")));
                }
            }
        }};
    }
    Ok(match row {
        Row::Sqlite(row) => value!(row),
        Row::Postgres(row) => value!(row),
    })
}

async fn read_rows(tx: &mut Tx, table: &Table, file: impl BufRead) -> Result<(), StoreError> {
    let damaged = |line: usize| refused(format!("line {} of the rows of {} is damaged", line + 1, table.name));
    let mut lines = file.lines();
    let first = lines.next().transpose().map_err(step("reading the rows"))?.unwrap_or_default();
    let names: Vec<String> = serde_json::from_str(&first).map_err(|_| damaged(0))?;
    // Names become part of a statement, so only the table's own may.
    let kind = |name: &String| table.columns.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
    let kinds: Vec<Kind> = names.iter().map(kind).collect::<Option<_>>().ok_or_else(|| damaged(0))?;
    let places: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
    let given = matches!(tx, Tx::Postgres(_)) && table.identity.is_some();
    let overriding = if given { " OVERRIDING SYSTEM VALUE" } else { "" };
    let sql = format!("INSERT INTO {} ({}){overriding} VALUES ({})", table.name, names.join(", "), places.join(", "));
    // A row may name one that comes after it: those names are written when all rows are there.
    let place_of = |column: &String| names.iter().position(|name| name == column);
    let own: Vec<usize> = table.own.iter().filter_map(place_of).collect();
    let key: Vec<usize> = table.key.iter().filter_map(place_of).collect();
    let mut later = Vec::new();
    for (at, line) in lines.enumerate() {
        let line = line.map_err(step("reading the rows"))?;
        let mut values: Vec<Json> = serde_json::from_str(&line).map_err(|_| damaged(at + 1))?;
        if values.len() != kinds.len() {
            return Err(damaged(at + 1));
        }
        if own.iter().any(|place| !values[*place].is_null()) {
            let kept = own.iter().chain(&key).map(|place| read(&values[*place], kinds[*place]));
            later.push(kept.collect::<Option<Vec<Value>>>().ok_or_else(|| damaged(at + 1))?);
            own.iter().for_each(|place| values[*place] = Json::Null);
        }
        let values: Option<Vec<Value>> = values.iter().zip(&kinds).map(|(value, kind)| read(value, *kind)).collect();
        tx.execute(sql.clone(), &values.ok_or_else(|| damaged(at + 1))?).await?;
    }
    let set = |columns: &[usize], from: usize, between: &str| {
        let each = columns.iter().enumerate().map(|(at, place)| format!("{} = ${}", names[*place], from + at));
        each.collect::<Vec<_>>().join(between)
    };
    let (own_set, key_set) = (set(&own, 1, ", "), set(&key, own.len() + 1, " AND "));
    for values in later {
        tx.execute(format!("UPDATE {} SET {own_set} WHERE {key_set}", table.name), &values).await?;
    }
    if let (true, Some(column)) = (given, &table.identity) {
        // Numbers go on behind the last one.
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence($1, $2), COALESCE(MAX({column}), 0) + 1, false) AS next FROM {}",
            table.name
        );
        tx.first(sql, args![table.name.as_str(), column.as_str()]).await?;
    }
    Ok(())
}

/// A value for a column of this kind; nothing if the JSON holds another.
fn read(json: &Json, kind: Kind) -> Option<Value> {
    let null = json.is_null();
    Some(match kind {
        Kind::Int => Value::Int(if null { None } else { Some(json.as_i64()?) }),
        Kind::Text => Value::Text(if null { None } else { Some(json.as_str()?.to_owned()) }),
        Kind::Float => Value::Float(match null {
            true => None,
            false => Some(f64::from_be_bytes(unhex(json.get("float")?.as_str()?)?.try_into().ok()?)),
        }),
        Kind::Bytes => Value::Bytes(if null { None } else { Some(unhex(json.get("bytes")?.as_str()?)?) }),
        Kind::Uuid => Value::Uuid(match null {
            true => None,
            false => Some(Uuid::from_slice(&unhex(json.get("bytes")?.as_str()?)?).ok()?),
        }),
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Writes a file in one step, in the place of one that may be there. What the old one held is nowhere in the folder then.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension(DRAFT);
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn rows_of(folder: &Path, table: &str) -> PathBuf {
    folder.join(ROWS).join(format!("{table}.jsonl"))
}

/// The files under a folder by their paths from there, `/` between their parts. Links are not followed.
fn files_under(folder: &Path) -> std::io::Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![(folder.to_owned(), String::new())]);
    while let Some((folder, prefix)) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() {
                files.push(name);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn step(step: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |source| StoreError::Backup { step, source }
}

fn refused(why: String) -> StoreError {
    StoreError::Restore(why)
}
