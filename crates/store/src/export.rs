//! Archives that people ask for: what each is made of, how far it is, who makes it; and where they go by themselves.

use std::time::Duration;

use platform::{DestinationId, ExportId, IdentityId, Owner, Timestamp};

use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, number, word};
use crate::objects::ObjectKey;
use crate::store::{Store, delete_objects};

/// How often an archive is begun again without getting on, before it is given up.
const MAX_FAILURES: i64 = 10;
/// Within which an archive that is made anew must be ready.
const RENEWED_WITHIN: Duration = Duration::from_secs(7 * 86_400);
/// The most archives of one person that are kept at one time.
const MAX_EXPORTS: i64 = 20;

/// An archive that someone asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its id.
    pub id: ExportId,
    /// Whose.
    pub identity: IdentityId,
    /// Whose classes of data are in it: `account` and services.
    pub services: Vec<String>,
    /// Media made before this are not in it.
    pub since: Option<Timestamp>,
    /// Where it is sent, if it is one of a standing export.
    pub destination: Option<DestinationId>,
    /// How far it is.
    pub state: ExportState,
    /// Files that are ready.
    pub done: u64,
    /// Files that it will have, as far as that is known.
    pub total: u64,
    /// Bytes of it, once it is ready.
    pub size_bytes: Option<u64>,
    /// SHA-256 of it, hexadecimal, once it is ready.
    pub sha256: Option<String>,
    /// Why it was given up.
    pub error: Option<String>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it was ready.
    pub ready_at: Option<Timestamp>,
    /// When it goes.
    pub expires_at: Timestamp,
    /// Which claim holds it: writes of an earlier one come too late.
    pub lease: i64,
}

/// How far an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportState {
    /// Nobody has begun.
    Waiting,
    /// Rows are read.
    Reading,
    /// Media are copied.
    Copying,
    /// It is read as a whole, once.
    Sealing,
    /// It can be fetched.
    Ready,
    /// It was given up.
    Failed,
}

/// An archive to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewExport {
    /// Its id.
    pub id: ExportId,
    /// Whose.
    pub identity: IdentityId,
    /// Whose classes of data.
    pub services: Vec<String>,
    /// Media from this moment on.
    pub since: Option<Timestamp>,
    /// Where it goes.
    pub destination: Option<DestinationId>,
    /// When it goes.
    pub expires_at: Timestamp,
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPart {
    /// Its path in the archive.
    pub path: String,
    /// Its object, or the one to copy.
    pub key: ObjectKey,
    /// Lines in it, if it is rows.
    pub items: Option<u64>,
    /// Size, CRC-32 and SHA-256 once it is there.
    pub measured: Option<(u64, u32, String)>,
}

/// Where someone's archives go by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its id.
    pub id: DestinationId,
    /// Whose.
    pub identity: IdentityId,
    /// `folder`, `s3` or `webdav`.
    pub kind: String,
    /// Where: a path or an address.
    pub place: String,
    /// What it asks for; it is sealed in its row.
    pub secret: Option<String>,
    /// Whose classes of data.
    pub services: Vec<String>,
    /// Days from one archive to the next.
    pub every_days: u32,
    /// When the next is due.
    pub next_at: Timestamp,
    /// When the last arrived.
    pub last_at: Option<Timestamp>,
    /// Why the last did not arrive.
    pub error: Option<String>,
    /// When it was set.
    pub created_at: Timestamp,
}

impl ExportState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Reading, Self::Copying, Self::Sealing, Self::Ready, Self::Failed];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Copying => "copying",
            Self::Sealing => "sealing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Store {
    /// Asks for an archive.
    ///
    /// # Errors
    /// [`StoreError::State`] while another of the person's is being made, or if too many are kept.
    pub async fn create_export(&self, export: &NewExport, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT id FROM identities WHERE id = $1{}", tx.for_update());
        tx.first(sql, args![export.identity]).await?.ok_or(StoreError::NotFound("identity"))?;
        let sql = "SELECT COUNT(*) AS kept, COUNT(CASE WHEN state NOT IN ('ready', 'failed') THEN 1 END) AS open
                   FROM exports WHERE identity = $1";
        let row = tx.first(sql, args![export.identity]).await?.ok_or(StoreError::NotFound("export"))?;
        if row.int("open")? > 0 {
            return Err(StoreError::State { what: "export", state: "being made".into() });
        }
        if row.int("kept")? >= MAX_EXPORTS {
            return Err(StoreError::State { what: "export", state: "one too many: delete an earlier one".into() });
        }
        let sql = "INSERT INTO exports (id, identity, services, since, destination, state, asked_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, 'waiting', $6, $7)";
        let NewExport { id, identity, services, since, destination, expires_at } = export;
        let args = args![*id, *identity, services.join(" "), *since, *destination, now, *expires_at];
        tx.execute(sql, args).await?;
        tx.commit().await
    }

    /// An archive of someone's.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another's.
    pub async fn export(&self, identity: IdentityId, id: ExportId) -> Result<Export, StoreError> {
        let sql = "SELECT * FROM exports WHERE id = $1 AND identity = $2";
        from_row(&self.database.first(sql, args![id, identity]).await?.ok_or(StoreError::NotFound("export"))?)
    }

    /// Someone's archives, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn exports(&self, identity: IdentityId) -> Result<Vec<Export>, StoreError> {
        let sql = "SELECT * FROM exports WHERE identity = $1 ORDER BY id DESC";
        self.database.all(sql, args![identity]).await?.iter().map(from_row).collect()
    }

    /// Deletes an archive and, soon after, its objects.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another's.
    pub async fn delete_export(&self, identity: IdentityId, id: ExportId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "DELETE FROM exports WHERE id = $1 AND identity = $2";
        if tx.execute(sql, args![id, identity]).await? == 0 {
            return Err(StoreError::NotFound("export"));
        }
        delete_objects(&mut tx, &ObjectKey::export_prefix(id), now).await?;
        tx.commit().await
    }

    /// Deletes archives whose time is over; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn expire_exports(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let rows = tx.all("DELETE FROM exports WHERE expires_at <= $1 RETURNING id", args![now]).await?;
        for row in &rows {
            let id = ExportId::from_bytes(row.id("id")?);
            delete_objects(&mut tx, &ObjectKey::export_prefix(id), now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Takes the oldest archive that nobody makes, for so long. One that was begun and does not get on is given up in the end.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim_export(&self, lease: Duration, now: Timestamp) -> Result<Option<Export>, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id, failures FROM exports WHERE state NOT IN ('ready', 'failed') AND lease_until <= $1 AND expires_at > $1
             ORDER BY id LIMIT 1{}",
            tx.for_update_skip_locked()
        );
        let Some(row) = tx.first(sql, args![now]).await? else { return Ok(None) };
        let id = ExportId::from_bytes(row.id("id")?);
        if row.int("failures")? >= MAX_FAILURES {
            let sql =
                "UPDATE exports SET state = 'failed', error = COALESCE(error, 'It did not get on.') WHERE id = $1";
            tx.execute(sql, args![id]).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let sql =
            "UPDATE exports SET lease = lease + 1, lease_until = $2, failures = failures + 1 WHERE id = $1 RETURNING *";
        let row = tx.first(sql, args![id, now + lease]).await?.ok_or(StoreError::NotFound("export"))?;
        let export = from_row(&row)?;
        tx.commit().await?;
        Ok(Some(export))
    }

    /// Gives an archive back that did not get on; it is tried again later.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn return_export(&self, export: &Export, error: &str, later: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE exports SET lease_until = $3, error = $4 WHERE id = $1 AND lease = $2";
        held(self.database.execute(sql, args![export.id, export.lease, later, error]).await?)
    }

    /// Begins to read rows, from the first: what was read before is forgotten.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn begin_reading(&self, export: &Export, lease_until: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        got_on(&mut tx, export, lease_until).await?;
        tx.execute("DELETE FROM export_parts WHERE export = $1", args![export.id]).await?;
        let sql = "UPDATE exports SET state = 'reading', done = 0, total = 0 WHERE id = $1";
        tx.execute(sql, args![export.id]).await?;
        tx.commit().await
    }

    /// Adds files to an archive. One that is there stays.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn add_export_parts(
        &self,
        export: &Export,
        parts: &[ExportPart],
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        got_on(&mut tx, export, lease_until).await?;
        for part in parts {
            let (size, crc32, sha256) = measures(part);
            let items = part.items.map(|items| i64::try_from(items).unwrap_or(i64::MAX));
            let sql = "INSERT INTO export_parts (export, path, object_key, items, size, crc32, sha256)
                       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (export, path) DO NOTHING";
            let args = args![export.id, part.path.as_str(), part.key.as_str(), items, size, crc32, sha256];
            tx.execute(sql, args).await?;
        }
        count_parts(&mut tx, export.id).await?;
        tx.commit().await
    }

    /// All rows are read; media follow.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn set_export_state(
        &self,
        export: &Export,
        state: ExportState,
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE exports SET state = $3, lease_until = $4, failures = 0 WHERE id = $1 AND lease = $2";
        held(self.database.execute(sql, args![export.id, export.lease, state.as_str(), lease_until]).await?)
    }

    /// Files that are still to be copied.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn pending_export_parts(&self, id: ExportId, limit: u32) -> Result<Vec<ExportPart>, StoreError> {
        let sql = "SELECT * FROM export_parts WHERE export = $1 AND size IS NULL ORDER BY path LIMIT $2";
        self.database.all(sql, args![id, limit]).await?.iter().map(part_from_row).collect()
    }

    /// A file was copied and measured; or it has gone, and is none of the archive's any more.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn export_part_done(
        &self,
        export: &Export,
        part: &ExportPart,
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        got_on(&mut tx, export, lease_until).await?;
        let (size, crc32, sha256) = measures(part);
        let changed = if size.is_some() {
            let sql = "UPDATE export_parts SET object_key = $3, size = $4, crc32 = $5, sha256 = $6 WHERE export = $1 AND path = $2";
            tx.execute(sql, args![export.id, part.path.as_str(), part.key.as_str(), size, crc32, sha256]).await?
        } else {
            tx.execute("DELETE FROM export_parts WHERE export = $1 AND path = $2", args![export.id, part.path.as_str()])
                .await?
        };
        if changed > 0 {
            count_parts(&mut tx, export.id).await?;
        }
        tx.commit().await
    }

    /// The files of an archive that are there, by path.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn export_parts(&self, id: ExportId) -> Result<Vec<ExportPart>, StoreError> {
        let sql = "SELECT * FROM export_parts WHERE export = $1 AND size IS NOT NULL";
        let rows = self.database.all(sql, args![id]).await?;
        let mut parts = rows.iter().map(part_from_row).collect::<Result<Vec<_>, _>>()?;
        // The engines know different orders of letters.
        parts.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(parts)
    }

    /// Lengthens the time for which an archive is held.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn hold_export(&self, export: &Export, lease_until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE exports SET lease_until = $3 WHERE id = $1 AND lease = $2";
        held(self.database.execute(sql, args![export.id, export.lease, lease_until]).await?)
    }

    /// An archive can be fetched.
    ///
    /// # Errors
    /// [`StoreError::State`] if another has it.
    pub async fn finish_export(
        &self,
        export: &Export,
        size_bytes: u64,
        sha256: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let sql =
            "UPDATE exports SET state = 'ready', size = $3, sha256 = $4, expires_at = $5, ready_at = $6, error = NULL
                   WHERE id = $1 AND lease = $2";
        held(self.database.execute(sql, args![export.id, export.lease, size, sha256, expires_at, now]).await?)
    }

    /// Sets where someone's archives go by themselves.
    ///
    /// # Errors
    /// [`StoreError::NoSealer`] if it has a secret and this store was not given the key.
    pub async fn create_destination(&self, destination: &Destination) -> Result<(), StoreError> {
        let Destination { id, identity, kind, place, secret, services, every_days, next_at, created_at, .. } =
            destination;
        let secret = match secret {
            Some(secret) => Some(self.sealer()?.seal(secret.as_bytes(), &purpose(*id))),
            None => None,
        };
        let sql = "INSERT INTO export_destinations (id, identity, kind, place, secret, services, every_days, next_at, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let args = args![
            *id,
            *identity,
            kind.as_str(),
            place.as_str(),
            secret,
            services.join(" "),
            *every_days,
            *next_at,
            *created_at,
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// Where someone's archives go.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::NoSealer`].
    pub async fn destinations(&self, identity: IdentityId) -> Result<Vec<Destination>, StoreError> {
        let sql = "SELECT * FROM export_destinations WHERE identity = $1 ORDER BY id";
        let rows = self.database.all(sql, args![identity]).await?;
        rows.iter().map(|row| self.destination_from_row(row)).collect()
    }

    /// Destinations whose next archive is due, the longest overdue first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::NoSealer`].
    pub async fn due_destinations(&self, now: Timestamp, limit: u32) -> Result<Vec<Destination>, StoreError> {
        let sql = "SELECT * FROM export_destinations WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2";
        let rows = self.database.all(sql, args![now, limit]).await?;
        rows.iter().map(|row| self.destination_from_row(row)).collect()
    }

    /// Says when a destination is looked at next, and how the last time went.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_destination_next(
        &self,
        id: DestinationId,
        next_at: Timestamp,
        outcome: Result<Option<Timestamp>, &str>,
    ) -> Result<(), StoreError> {
        let (arrived, error) = match outcome {
            Ok(arrived) => (arrived, None),
            Err(error) => (None, Some(error)),
        };
        let sql =
            "UPDATE export_destinations SET next_at = $2, last_at = COALESCE($3, last_at), error = $4 WHERE id = $1";
        self.database.execute(sql, args![id, next_at, arrived, error]).await.map(|_| ())
    }

    /// Sends no more archives there. What arrived stays there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another's.
    pub async fn delete_destination(&self, identity: IdentityId, id: DestinationId) -> Result<(), StoreError> {
        let sql = "DELETE FROM export_destinations WHERE id = $1 AND identity = $2";
        match self.database.execute(sql, args![id, identity]).await? {
            0 => Err(StoreError::NotFound("destination")),
            _ => Ok(()),
        }
    }

    /// Media that a destination has already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn destination_files(&self, id: DestinationId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT path FROM export_destination_files WHERE destination = $1";
        self.database.all(sql, args![id]).await?.iter().map(|row| row.text("path")).collect()
    }

    /// Media have arrived at a destination.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn destination_has(&self, id: DestinationId, paths: &[String]) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let there = tx.first("SELECT 1 AS one FROM export_destinations WHERE id = $1", args![id]).await?;
        if there.is_some() {
            for path in paths {
                let sql =
                    "INSERT INTO export_destination_files (destination, path) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                tx.execute(sql, args![id, path.as_str()]).await?;
            }
        }
        tx.commit().await
    }

    fn destination_from_row(&self, row: &Row) -> Result<Destination, StoreError> {
        let id = DestinationId::from_bytes(row.id("id")?);
        let secret = match row.opt_blob("secret")? {
            Some(sealed) => {
                let bytes = self.sealer()?.open(&sealed, &purpose(id))?;
                Some(String::from_utf8(bytes).map_err(|_| corrupt("secret", "no text"))?)
            }
            None => None,
        };
        Ok(Destination {
            id,
            identity: IdentityId::from_bytes(row.id("identity")?),
            kind: row.text("kind")?,
            place: row.text("place")?,
            secret,
            services: words(&row.text("services")?),
            every_days: number(row, "every_days")?,
            next_at: Timestamp::from_micros(row.int("next_at")?),
            last_at: moment(row, "last_at")?,
            error: row.opt_text("error")?,
            created_at: Timestamp::from_micros(row.int("created_at")?),
        })
    }
}

/// What a sealed secret is good for: its own destination.
fn purpose(id: DestinationId) -> String {
    format!("secret of {id}")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whoever writes late is told that another has it.
fn held(changed: u64) -> Result<(), StoreError> {
    match changed {
        0 => Err(StoreError::State { what: "export", state: "made by another now".into() }),
        _ => Ok(()),
    }
}

async fn got_on(tx: &mut Tx, export: &Export, lease_until: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE exports SET lease_until = $3, failures = 0 WHERE id = $1 AND lease = $2";
    held(tx.execute(sql, args![export.id, export.lease, lease_until]).await?)
}

async fn count_parts(tx: &mut Tx, id: ExportId) -> Result<(), StoreError> {
    let sql = "UPDATE exports SET total = (SELECT COUNT(*) FROM export_parts WHERE export = $1),
               done = (SELECT COUNT(*) FROM export_parts WHERE export = $1 AND size IS NOT NULL) WHERE id = $1";
    tx.execute(sql, args![id]).await.map(|_| ())
}

fn measures(part: &ExportPart) -> (Option<i64>, Option<i64>, Option<String>) {
    match &part.measured {
        Some((size, crc32, sha256)) => {
            (Some(i64::try_from(*size).unwrap_or(i64::MAX)), Some(i64::from(*crc32)), Some(sha256.clone()))
        }
        None => (None, None, None),
    }
}

fn part_from_row(row: &Row) -> Result<ExportPart, StoreError> {
    let measured = match row.opt_int("size")? {
        Some(_) => Some((number(row, "size")?, number(row, "crc32")?, row.text("sha256")?)),
        None => None,
    };
    Ok(ExportPart {
        path: row.text("path")?,
        key: ObjectKey::from_row(row.text("object_key")?),
        items: row.opt_int("items")?.and_then(|items| u64::try_from(items).ok()),
        measured,
    })
}

fn from_row(row: &Row) -> Result<Export, StoreError> {
    Ok(Export {
        id: ExportId::from_bytes(row.id("id")?),
        identity: IdentityId::from_bytes(row.id("identity")?),
        services: words(&row.text("services")?),
        since: moment(row, "since")?,
        destination: row.opt_id("destination")?.map(DestinationId::from_bytes),
        state: word(row, "state", ExportState::from_word)?,
        done: number(row, "done")?,
        total: number(row, "total")?,
        size_bytes: row.opt_int("size")?.and_then(|size| u64::try_from(size).ok()),
        sha256: row.opt_text("sha256")?,
        error: row.opt_text("error")?,
        asked_at: Timestamp::from_micros(row.int("asked_at")?),
        ready_at: moment(row, "ready_at")?,
        expires_at: Timestamp::from_micros(row.int("expires_at")?),
        lease: row.int("lease")?,
    })
}

/// Makes someone's archives anew that hold clips or posts, each under an id of its own: what was made of them before, and copies that lie
/// ready, go. One that nobody has begun holds nothing yet.
pub(crate) async fn renew_exports_of(tx: &mut Tx, identity: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT id FROM exports WHERE identity = $1 AND state NOT IN ('waiting', 'failed')
         AND (' ' || services || ' ' LIKE '% video %' OR ' ' || services || ' ' LIKE '% social %') ORDER BY id{}",
        tx.for_update()
    );
    for row in tx.all(sql, args![identity]).await? {
        let old = ExportId::from_bytes(row.id("id")?);
        let sql = "INSERT INTO exports (id, identity, services, since, destination, state, asked_at, expires_at)
                   SELECT $2, identity, services, since, destination, 'waiting', asked_at,
                       CASE WHEN expires_at > $3 THEN expires_at ELSE $3 END FROM exports WHERE id = $1";
        let new = ExportId::derived(old.bytes(), &format!("anew {}", now.micros()));
        tx.execute(sql, args![old, new, now + RENEWED_WITHIN]).await?;
        tx.execute("DELETE FROM exports WHERE id = $1", args![old]).await?;
        delete_objects(tx, &ObjectKey::export_prefix(old), now).await?;
    }
    Ok(())
}

/// Drops someone's archives that hold classes of an owner, with the account all of them; says which objects they named.
pub(crate) async fn drop_exports(tx: &mut Tx, identity: IdentityId, owner: Owner) -> Result<Vec<String>, StoreError> {
    // Without the account there is nobody to fetch the others.
    let which = if owner == Owner::Account { "%".to_owned() } else { format!("% {} %", owner.as_str()) };
    let sql = "DELETE FROM exports WHERE identity = $1 AND ' ' || services || ' ' LIKE $2 RETURNING id";
    let rows = tx.all(sql, args![identity, which]).await?;
    rows.iter().map(|row| Ok(ObjectKey::export_prefix(ExportId::from_bytes(row.id("id")?)))).collect()
}
