//! Putting a person's rows back. What is there stays as it is, so that doing it twice changes nothing; what would touch anyone else is
//! left out, and counted.

use std::collections::{BTreeMap, HashMap};

use platform::{
    ActiveMembership, GenerationState, Handle, IdentityId, LinkToken, MAX_FOLDERS, PlaceId, PostState, ProjectId,
    Service, Timestamp, VideoId, search_words,
};

use super::{ArchiveClass, ArchiveRow, ArchiveTable, ArchiveValue, bound};
use crate::database::{Tx, Value, args};
use crate::error::{StoreError, corrupt};
use crate::likeness::{Brought, join_again, may_come_back};
use crate::membership::from_row as membership_from_row;
use crate::objects::StoredVideo;
use crate::social::{is_anothers, shown, warm};
use crate::store::Store;

/// The most words that hide comments, and the most handles of one person, as the services themselves have them.
const MAX_HIDDEN_WORDS: i64 = 200;
const MAX_HANDLES: i64 = 5;
/// The most projects of one person after archives came back: twice what they can make.
const MAX_PROJECTS: i64 = 40;

/// Whose rows come back, and how far that is.
#[derive(Debug)]
pub struct Restoring {
    identity: IdentityId,
    /// Whose they were where the archive was written.
    was: [u8; 16],
    members: Vec<Service>,
    home: Option<ProjectId>,
    /// The tier of projects that come back.
    tier: String,
    /// Nothing was published after this moment.
    now: Timestamp,
    /// New ids of what had an id that is someone else's here.
    ids: HashMap<[u8; 16], [u8; 16]>,
}

/// What came of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Put back.
    pub added: u64,
    /// There already.
    pub there: u64,
    /// Left out, and why.
    pub left_out: BTreeMap<LeftOut, u64>,
}

/// Why a row did not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// The person is no active member of its service.
    NotMember,
    /// What it names is not on this installation.
    NotHere,
    /// It is, or would be, what someone else did.
    Theirs,
    /// It had not ended when the archive was written.
    Unfinished,
    /// There is no profile that it could belong to.
    NoProfile,
    /// Its handle is someone else's.
    Taken,
    /// There are as many as there may be.
    Full,
    /// Its fields contradict each other.
    Contradictory,
    /// Someone who appears in it does not let the person have it: they withdrew their likeness, or it is not for them.
    Likeness,
}

impl LeftOut {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotMember => "not_a_member",
            Self::NotHere => "not_here",
            Self::Theirs => "of_others",
            Self::Unfinished => "unfinished",
            Self::NoProfile => "no_profile",
            Self::Taken => "taken",
            Self::Full => "full",
            Self::Contradictory => "contradictory",
            Self::Likeness => "likeness_not_permitted",
        }
    }
}

impl Restored {
    /// Counts what came of others too.
    pub fn add(&mut self, other: &Self) {
        self.added += other.added;
        self.there += other.there;
        for (why, count) in &other.left_out {
            *self.left_out.entry(*why).or_default() += count;
        }
    }

    /// Counts rows that were left out.
    pub fn leave(&mut self, why: LeftOut, count: u64) {
        *self.left_out.entry(why).or_default() += count;
    }
}

/// What came of one row.
enum Outcome {
    Added,
    There,
    Left(LeftOut),
}

impl Restoring {
    /// The restoring of someone's rows. `was` is their id where the archive was written.
    pub fn new(identity: IdentityId, was: IdentityId, home: Option<ProjectId>, tier: &str, now: Timestamp) -> Self {
        let (members, tier, ids) = (Vec::new(), tier.to_owned(), HashMap::new());
        Self { identity, was: was.bytes(), members, home, tier, now, ids }
    }

    /// Lets rows of these services come back, of which the person is an active member, and of no others.
    ///
    /// # Panics
    /// If a membership is someone else's.
    pub fn allow_only(&mut self, members: impl IntoIterator<Item = ActiveMembership>) {
        let service = |member: ActiveMembership| {
            assert_eq!(member.identity(), self.identity, "the membership is someone else's");
            member.service()
        };
        self.members = members.into_iter().map(service).collect();
    }

    /// Whether there is a project for what has none of its own here.
    pub fn has_home(&self) -> bool {
        self.home.is_some()
    }

    /// The project for what has none of its own here.
    pub fn set_home(&mut self, home: ProjectId) {
        self.home = Some(home);
    }

    /// Whether rows of this class may come back.
    pub fn allows(&self, class: &ArchiveClass) -> bool {
        class.owner == "account" || self.members.iter().any(|service| service.as_str() == class.owner)
    }

    /// The id that a thing had where the archive was written, by the one that it has here.
    fn was_called(&self, id: [u8; 16]) -> [u8; 16] {
        self.ids.iter().find(|(_, here)| **here == id).map_or(id, |(was, _)| *was)
    }

    fn now_called(&self, id: [u8; 16]) -> [u8; 16] {
        self.ids.get(&id).copied().unwrap_or(id)
    }

    fn value(&self, value: &ArchiveValue) -> ArchiveValue {
        match value {
            ArchiveValue::Id(id) => ArchiveValue::Id(self.now_called(*id)),
            value => value.clone(),
        }
    }
}

/// A row to put back, with what only this installation can give it.
#[derive(Clone, Debug)]
pub struct RowToRestore {
    /// The row; the names of its objects are those of this installation.
    pub row: ArchiveRow,
    /// Its signed video, if it has one.
    pub video: Option<StoredVideo>,
    /// The secret of a post's link.
    pub link_token: Option<LinkToken>,
    /// SHA-256 of its film as the archive has it, hexadecimal; empty if it has none.
    pub came_as: String,
    /// How its film looks, as far as it was looked at.
    pub look: FilmLook,
}

/// How the film of an archive looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilmLook {
    /// The hashes of its frames.
    pub frames: Vec<[u8; 32]>,
    /// The clips of this installation that it looks like in which someone appears.
    pub alike: Vec<VideoId>,
}

impl Store {
    /// Whether rows of these ids are the person's already, in their order. An id that is someone else's is given another, always the
    /// same; the row gets it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn find_archived(
        &self,
        restoring: &mut Restoring,
        rows: &mut [ArchiveRow],
    ) -> Result<Vec<bool>, StoreError> {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(id), Some(sql)) = (row.id(), owner_sql(row.table.object)) else {
                found.push(false);
                continue;
            };
            let owner = async |id: [u8; 16]| {
                let row = self.database.first(sql, &[Value::Uuid(Some(uuid::Uuid::from_bytes(id)))]).await?;
                row.map(|row| row.id("whose")).transpose()
            };
            let (me, mut there) = (restoring.identity.bytes(), owner(id).await?);
            if there.is_some_and(|whose| whose != me) {
                // Any kind of id is derived in the same way.
                let other = VideoId::derived(id, &restoring.identity.to_string()).bytes();
                restoring.ids.insert(id, other);
                row.set("id", ArchiveValue::Id(other));
                there = owner(other).await?;
            }
            found.push(there == Some(me));
        }
        Ok(found)
    }

    /// Whether everyone who appears in a clip or post of an archive lets the person have it, before its film is written: by its id, whichever
    /// that was, by the film's SHA-256 as it came and as it will lie here, or by the clips that it looks like.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn may_come_back(
        &self,
        restoring: &Restoring,
        row: &ArchiveRow,
        sha256: [&str; 2],
        alike: &[VideoId],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(ids) = video_ids(restoring, row) else { return Ok(true) };
        let mut tx = self.database.begin().await?;
        Ok(may_come_back(&mut tx, restoring.identity, &Brought { ids: &ids, sha256, alike }, now).await?.is_ok())
    }

    /// Puts rows of a class back, all or none; what is there, or cannot come back, is counted. Whether the person is still a member of the
    /// class's service is asked once more: an end of it waits for these rows, or they are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn restore_rows(
        &self,
        restoring: &mut Restoring,
        class: &ArchiveClass,
        rows: &[RowToRestore],
        now: Timestamp,
    ) -> Result<Restored, StoreError> {
        let mut restored = Restored::default();
        if rows.is_empty() {
            return Ok(restored);
        }
        let mut tx = self.database.begin().await?;
        if !restoring.allows(class) || !is_member(&mut tx, restoring.identity, class, now).await? {
            restored.leave(LeftOut::NotMember, rows.len() as u64);
            return Ok(restored);
        }
        for row in rows {
            match put(&mut tx, restoring, row, now).await? {
                Outcome::Added => restored.added += 1,
                Outcome::There => restored.there += 1,
                Outcome::Left(why) => restored.leave(why, 1),
            }
        }
        tx.commit().await?;
        Ok(restored)
    }
}

/// Whether someone is an active member of a class's service; it stays so until the transaction ends.
async fn is_member(
    tx: &mut Tx,
    identity: IdentityId,
    class: &ArchiveClass,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(service) = Service::from_word(class.owner) else { return Ok(true) };
    let sql = format!("SELECT * FROM memberships WHERE identity = $1 AND service = $2{}", tx.for_update());
    let Some(row) = tx.first(sql, args![identity, service.as_str()]).await? else { return Ok(false) };
    Ok(membership_from_row(&row)?.at(now).active().is_ok())
}

/// Whose a row with an id is.
fn owner_sql(object: &str) -> Option<&'static str> {
    Some(match object {
        "project" => "SELECT owner AS whose FROM projects WHERE id = $1",
        "file" => "SELECT p.owner AS whose FROM files f JOIN projects p ON p.id = f.project WHERE f.id = $1",
        "character" => "SELECT p.owner AS whose FROM characters c JOIN projects p ON p.id = c.project WHERE c.id = $1",
        "folder" => "SELECT identity AS whose FROM folders WHERE id = $1",
        "video" => "SELECT identity AS whose FROM generations WHERE id = $1",
        "batch" => "SELECT identity AS whose FROM batches WHERE id = $1",
        "post" => "SELECT author AS whose FROM posts WHERE id = $1",
        "comment" => "SELECT author AS whose FROM comments WHERE id = $1",
        _ => return None,
    })
}

/// The ids of the clip that a row is of or shows: the one here, then the one that it had.
fn video_ids(restoring: &Restoring, row: &ArchiveRow) -> Option<[VideoId; 2]> {
    let ids = match row.table.object {
        "video" => row.id().map(|id| [id, restoring.was_called(id)]),
        "post" => row.value("video").id().map(|id| [restoring.now_called(id), id]),
        _ => None,
    };
    ids.map(|ids| ids.map(VideoId::from_bytes))
}

/// Puts a clip or post in if everyone who appears in it lets the person, and joins it to their consents.
async fn put(
    tx: &mut Tx,
    restoring: &mut Restoring,
    row: &RowToRestore,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let (Some(ids), Some(video)) = (video_ids(restoring, &row.row), &row.video) else {
        return put_row(tx, restoring, row).await;
    };
    let brought = Brought { ids: &ids, sha256: [&row.came_as, video.sha256()], alike: &row.look.alike };
    if may_come_back(tx, restoring.identity, &brought, now).await?.is_err() {
        return Ok(Outcome::Left(LeftOut::Likeness));
    }
    let outcome = put_row(tx, restoring, row).await?;
    if matches!(outcome, Outcome::Added) {
        join_again(tx, restoring.identity, ids[0], &brought, &row.look.frames, now).await?;
    }
    Ok(outcome)
}

async fn put_row(tx: &mut Tx, restoring: &mut Restoring, row: &RowToRestore) -> Result<Outcome, StoreError> {
    let object = row.row.table.object;
    let me = restoring.identity;
    if let (Some(id), Some(sql)) = (row.row.id(), owner_sql(object)) {
        let there = tx.first(sql, &[Value::Uuid(Some(uuid::Uuid::from_bytes(id)))]).await?;
        match there.map(|row| row.id("whose")).transpose()? {
            Some(whose) if whose == me.bytes() => return Ok(Outcome::There),
            Some(_) => return Ok(Outcome::Left(LeftOut::Theirs)),
            None => {}
        }
    }
    match object {
        "project" => {
            if count(tx, "SELECT COUNT(*) AS count FROM projects WHERE owner = $1", me).await? >= MAX_PROJECTS {
                return Ok(Outcome::Left(LeftOut::Full));
            }
            let more = vec![("owner", me.into()), ("tier", restoring.tier.as_str().into())];
            insert(tx, restoring, &row.row, more).await
        }
        "file" | "character" => {
            let Some(project) = project(tx, restoring, &row.row).await? else {
                return Ok(Outcome::Left(LeftOut::NotHere));
            };
            insert(tx, restoring, &row.row, vec![("project", project.into())]).await
        }
        "folder" => folder(tx, restoring, &row.row).await,
        "video" => clip(tx, restoring, row).await,
        "batch" => {
            let Some(project) = project(tx, restoring, &row.row).await? else {
                return Ok(Outcome::Left(LeftOut::NotHere));
            };
            let ended = matches!(row.row.text("state"), "completed" | "failed" | "expired" | "cancelled");
            if !ended || *row.row.value("ended_at") == ArchiveValue::Null {
                return Ok(Outcome::Left(LeftOut::Unfinished));
            }
            insert(tx, restoring, &row.row, vec![("project", project.into()), ("identity", me.into())]).await
        }
        "batch_line" => {
            let batch = bound_id(restoring.value(row.row.value("batch")));
            let sql = "SELECT 1 AS one FROM batches WHERE id = $1 AND identity = $2";
            if tx.first(sql, &[batch, me.into()]).await?.is_none() {
                return Ok(Outcome::Left(LeftOut::NotHere));
            }
            insert(tx, restoring, &row.row, Vec::new()).await
        }
        "profile" => profile(tx, me, &row.row, restoring).await,
        _ if !has_profile(tx, me.bytes()).await? => Ok(Outcome::Left(LeftOut::NoProfile)),
        "handle" => earlier_handle(tx, me, &row.row).await,
        "hidden_words" => {
            if count(tx, "SELECT COUNT(*) AS count FROM hidden_words WHERE identity = $1", me).await?
                >= MAX_HIDDEN_WORDS
            {
                return Ok(Outcome::Left(LeftOut::Full));
            }
            insert(tx, restoring, &row.row, vec![("identity", me.into())]).await
        }
        "feed_rule" => insert(tx, restoring, &row.row, vec![("identity", me.into())]).await,
        "post" => post(tx, restoring, row).await,
        "comment" => comment(tx, restoring, &row.row).await,
        "like" => like(tx, restoring, &row.row).await,
        "follow" => follow(tx, restoring, &row.row).await,
        "block" | "mute" => toward(tx, restoring, &row.row).await,
        _ => Ok(Outcome::Left(LeftOut::Theirs)),
    }
}

/// Puts a row in: its restored columns, with these in place of those of the same name. What is there stays.
async fn insert(
    tx: &mut Tx,
    restoring: &Restoring,
    row: &ArchiveRow,
    more: Vec<(&'static str, Value)>,
) -> Result<Outcome, StoreError> {
    let ArchiveTable { table, columns, .. } = row.table;
    let own = columns.iter().zip(&row.values).filter(|(column, _)| column.restored);
    let own = own.filter(|(column, _)| more.iter().all(|(name, _)| *name != column.column));
    let own = own.map(|(column, value)| (column.column, bound(column.kind, &restoring.value(value))));
    let (names, values): (Vec<_>, Vec<_>) = own.collect::<Vec<_>>().into_iter().chain(more).unzip();
    let places: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
    let sql =
        format!("INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT DO NOTHING", names.join(", "), places.join(", "));
    Ok(if tx.execute(sql, &values).await? > 0 { Outcome::Added } else { Outcome::There })
}

/// The project that a row belongs to here: its own, if that is the person's, else the one that their clips go to.
async fn project(tx: &mut Tx, restoring: &Restoring, row: &ArchiveRow) -> Result<Option<ProjectId>, StoreError> {
    let own = restoring.value(row.value("project")).id().map(ProjectId::from_bytes);
    let Some(own) = own else { return Ok(restoring.home) };
    let sql = "SELECT 1 AS one FROM projects WHERE id = $1 AND owner = $2";
    let mine = tx.first(sql, args![own, restoring.identity]).await?.is_some();
    Ok(if mine { Some(own) } else { restoring.home })
}

/// A folder; one that has its name already takes its place.
async fn folder(tx: &mut Tx, restoring: &mut Restoring, row: &ArchiveRow) -> Result<Outcome, StoreError> {
    let (me, name) = (restoring.identity, row.text("name").to_lowercase());
    let sql = "SELECT id FROM folders WHERE identity = $1 AND name_key = $2";
    if let (Some(there), Some(id)) = (tx.first(sql, args![me, name.as_str()]).await?, row.id()) {
        restoring.ids.insert(id, there.id("id")?);
        return Ok(Outcome::There);
    }
    if count(tx, "SELECT COUNT(*) AS count FROM folders WHERE identity = $1", me).await? >= i64::from(MAX_FOLDERS) {
        return Ok(Outcome::Left(LeftOut::Full));
    }
    insert(tx, restoring, row, vec![("identity", me.into()), ("name_key", name.into())]).await
}

async fn clip(tx: &mut Tx, restoring: &Restoring, given: &RowToRestore) -> Result<Outcome, StoreError> {
    let (row, me) = (&given.row, restoring.identity);
    if !GenerationState::from_word(row.text("state")).is_some_and(GenerationState::is_final) {
        return Ok(Outcome::Left(LeftOut::Unfinished));
    }
    let null = |column: &str| *row.value(column) == ArchiveValue::Null;
    let fits = match row.text("kind") {
        "create" | "image" => null("source_video") && null("source_file"),
        "film" => null("source_video") && null("source_file") && !null("storyboard"),
        "remix" => !null("source_video") && null("source_file"),
        _ => null("source_video") != null("source_file"),
    };
    let seed_fits = matches!(row.value("seed"), ArchiveValue::Int(_));
    if !fits || !seed_fits || null("video_key") != given.video.is_none() || (null("recipe") && !null("video_key")) {
        return Ok(Outcome::Left(LeftOut::Contradictory));
    }
    let Some(project) = project(tx, restoring, row).await? else { return Ok(Outcome::Left(LeftOut::NotHere)) };
    let mut folder = bound_id(restoring.value(row.value("folder")));
    let sql = "SELECT 1 AS one FROM folders WHERE id = $1 AND identity = $2";
    if tx.first(sql, &[folder.clone(), me.into()]).await?.is_none() {
        folder = Value::Uuid(None);
    }
    let (size, etag) = given.video.as_ref().map(measures).unzip();
    let more = vec![
        ("identity", me.into()),
        ("project", project.into()),
        ("folder", folder),
        ("price", 0_i64.into()),
        ("video_size", size.into()),
        ("video_etag", etag.into()),
    ];
    insert(tx, restoring, row, more).await
}

fn measures(video: &StoredVideo) -> (i64, String) {
    (i64::try_from(video.size_bytes()).unwrap_or(i64::MAX), video.sha256().to_owned())
}

async fn profile(tx: &mut Tx, me: IdentityId, row: &ArchiveRow, restoring: &Restoring) -> Result<Outcome, StoreError> {
    if has_profile(tx, me.bytes()).await? {
        return Ok(Outcome::There);
    }
    // A reserved handle is nobody's to bring.
    let Ok(handle) = Handle::parse(row.text("handle")) else { return Ok(Outcome::Left(LeftOut::Taken)) };
    let sql =
        "SELECT 1 AS one FROM handles WHERE skeleton = $1 UNION ALL SELECT 1 AS one FROM profiles WHERE handle = $2";
    if is_anothers(tx, &handle, me).await? || tx.first(sql, args![handle.skeleton(), handle.as_str()]).await?.is_some()
    {
        return Ok(Outcome::Left(LeftOut::Taken));
    }
    let created = bound(super::ArchiveKind::Moment, row.value("created_at"));
    let more = vec![("identity", me.into()), ("updated_at", created.clone())];
    insert(tx, restoring, row, more).await?;
    let sql = "INSERT INTO handles (skeleton, handle, identity, taken_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &[handle.skeleton().into(), handle.as_str().into(), me.into(), created]).await?;
    for word in search_words(&format!("{handle}\n{}", row.text("display_name"))) {
        tx.execute("INSERT INTO profile_words (word, identity) VALUES ($1, $2)", args![word, me]).await?;
    }
    Ok(Outcome::Added)
}

/// A handle that the person had, or has: then only when they took it comes back.
async fn earlier_handle(tx: &mut Tx, me: IdentityId, row: &ArchiveRow) -> Result<Outcome, StoreError> {
    let Ok(handle) = Handle::parse(row.text("handle")) else { return Ok(Outcome::Left(LeftOut::Taken)) };
    if is_anothers(tx, &handle, me).await? {
        return Ok(Outcome::Left(LeftOut::Taken));
    }
    let taken_at = bound(super::ArchiveKind::Moment, row.value("taken_at"));
    let sql = "SELECT identity, taken_at FROM handles WHERE skeleton = $1";
    if let Some(there) = tx.first(sql, args![handle.skeleton()]).await? {
        if there.id("identity")? != me.bytes() {
            return Ok(Outcome::Left(LeftOut::Taken));
        }
        let sql = "UPDATE handles SET taken_at = $2 WHERE skeleton = $1";
        tx.execute(sql, &[handle.skeleton().into(), taken_at]).await?;
        return Ok(Outcome::There);
    }
    if count(tx, "SELECT COUNT(*) AS count FROM handles WHERE identity = $1", me).await? >= MAX_HANDLES {
        return Ok(Outcome::Left(LeftOut::Full));
    }
    let sql = "INSERT INTO handles (skeleton, handle, identity, taken_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &[handle.skeleton().into(), handle.as_str().into(), me.into(), taken_at]).await?;
    Ok(Outcome::Added)
}

async fn post(tx: &mut Tx, restoring: &Restoring, given: &RowToRestore) -> Result<Outcome, StoreError> {
    let (row, me) = (&given.row, restoring.identity);
    let (Some(video), Some(token)) = (&given.video, given.link_token) else {
        return Ok(Outcome::Left(LeftOut::Contradictory));
    };
    let null = |column: &str| *row.value(column) == ArchiveValue::Null;
    let state = PostState::from_word(row.text("state")).ok_or_else(|| corrupt("state", row.text("state")))?;
    let fits = null("place") == null("published_at")
        && match state {
            PostState::Draft => null("place") && null("deleted_at"),
            PostState::Published => !null("place") && null("withheld_at") && null("deleted_at"),
            PostState::Withheld => !null("withheld_at") && null("deleted_at"),
            PostState::Deleted => !null("deleted_at"),
        };
    // Lists go by time: whoever was published tomorrow would stand before everyone until then.
    let latest = PlaceId::new(restoring.now, [255; 8]).bytes();
    let is_past = row.value("place").id().is_none_or(|place| place <= latest)
        && row.made_public_at().is_none_or(|at| at <= restoring.now);
    if !fits || !is_past {
        return Ok(Outcome::Left(LeftOut::Contradictory));
    }
    // What it was made from has the credit, if it is here.
    let there = async |tx: &mut Tx, column: &str| {
        let id = bound_id(restoring.value(row.value(column)));
        let found = tx.first("SELECT id FROM posts WHERE id = $1", std::slice::from_ref(&id)).await?;
        Ok::<_, StoreError>(found.map(|_| id))
    };
    let parent = there(tx, "parent").await?;
    let root = match &parent {
        Some(parent) => there(tx, "root").await?.unwrap_or_else(|| parent.clone()),
        None => Value::Uuid(None),
    };
    let mut place = bound_id(restoring.value(row.value("place")));
    if let ArchiveValue::Id(id) = row.value("place")
        && tx.first("SELECT 1 AS one FROM posts WHERE place = $1", std::slice::from_ref(&place)).await?.is_some()
    {
        place = bound_id(ArchiveValue::Id(VideoId::derived(*id, &me.to_string()).bytes()));
    }
    let (size, sha256) = measures(video);
    let mut more = vec![
        ("author", me.into()),
        ("link_token", token.into()),
        ("place", place),
        ("video_size", size.into()),
        ("video_sha256", sha256.into()),
        ("root", root),
    ];
    match parent {
        Some(parent) => more.push(("parent", parent)),
        None => more.extend([("parent", Value::Uuid(None)), ("depth", 0_i64.into())]),
    }
    let outcome = insert(tx, restoring, row, more).await?;
    if let (Outcome::Added, PostState::Published, Some(id)) = (&outcome, state, row.id()) {
        shown(tx, platform::PostId::from_bytes(id)).await?;
    }
    Ok(outcome)
}

/// A comment below one of the person's own posts; below another's, it is not theirs alone to bring back.
async fn comment(tx: &mut Tx, restoring: &Restoring, row: &ArchiveRow) -> Result<Outcome, StoreError> {
    let me = restoring.identity;
    let post = bound_id(restoring.value(row.value("post")));
    let state = row.text("state");
    if row.text("text").is_empty() != (state == "deleted")
        || (*row.value("deleted_at") == ArchiveValue::Null) != (state != "deleted")
    {
        return Ok(Outcome::Left(LeftOut::Contradictory));
    }
    let sql = "SELECT 1 AS one FROM posts WHERE id = $1 AND author = $2";
    if tx.first(sql, &[post.clone(), me.into()]).await?.is_none() {
        return Ok(Outcome::Left(LeftOut::NotHere));
    }
    let mut thread = bound_id(ArchiveValue::Id(row.id().unwrap_or_default()));
    if *row.value("parent") != ArchiveValue::Null {
        let parent = bound_id(restoring.value(row.value("parent")));
        let sql = "SELECT thread FROM comments WHERE id = $1 AND post = $2";
        let Some(found) = tx.first(sql, &[parent, post.clone()]).await? else {
            return Ok(Outcome::Left(LeftOut::NotHere));
        };
        thread = bound_id(ArchiveValue::Id(found.id("thread")?));
    }
    let outcome = insert(tx, restoring, row, vec![("author", me.into()), ("thread", thread)]).await?;
    let counts = state == "shown" && *row.value("withheld_at") == ArchiveValue::Null;
    if matches!(outcome, Outcome::Added) && counts {
        tx.execute("UPDATE posts SET comment_count = comment_count + 1 WHERE id = $1", std::slice::from_ref(&post))
            .await?;
        warm_of(tx, &post).await?;
    }
    Ok(outcome)
}

/// A like of what the person sees here. Nobody is told anew.
async fn like(tx: &mut Tx, restoring: &Restoring, row: &ArchiveRow) -> Result<Outcome, StoreError> {
    let post = bound_id(restoring.value(row.value("post")));
    let sql = format!(
        "SELECT p.id FROM posts p WHERE p.id = $2 AND {}{}",
        crate::social::listed(),
        if matches!(tx, Tx::Postgres(_)) { " FOR UPDATE OF p" } else { "" }
    );
    if tx.first(sql, &[restoring.identity.into(), post.clone()]).await?.is_none() {
        return Ok(Outcome::Left(LeftOut::NotHere));
    }
    let outcome = insert(tx, restoring, row, vec![("identity", restoring.identity.into())]).await?;
    if matches!(outcome, Outcome::Added) {
        tx.execute("UPDATE posts SET like_count = like_count + 1 WHERE id = $1", std::slice::from_ref(&post)).await?;
        warm_of(tx, &post).await?;
    }
    Ok(outcome)
}

/// Whom the person followed, if they are here. Who followed them is not theirs to say.
async fn follow(tx: &mut Tx, restoring: &Restoring, row: &ArchiveRow) -> Result<Outcome, StoreError> {
    let me = restoring.identity;
    if row.value("follower").id() != Some(restoring.was) {
        return Ok(Outcome::Left(LeftOut::Theirs));
    }
    let followed = row.value("followed").id().map(IdentityId::from_bytes);
    let Some(followed) = followed.filter(|followed| *followed != me) else {
        return Ok(Outcome::Left(LeftOut::NotHere));
    };
    let sql = format!(
        "SELECT closed FROM profiles a WHERE a.identity = $2 AND {} AND {}",
        crate::social::no_block("a.identity"),
        crate::social::is_present("a.identity")
    );
    let Some(profile) = tx.first(sql, args![me, followed]).await? else {
        return Ok(Outcome::Left(LeftOut::NotHere));
    };
    // Whoever wants to be asked is asked.
    let open = profile.int("closed")? == 0;
    let accepted = if open { row.value("accepted_at").clone() } else { ArchiveValue::Null };
    let accepted = bound(super::ArchiveKind::Moment, &accepted);
    insert(tx, restoring, row, vec![("follower", me.into()), ("accepted_at", accepted)]).await
}

/// Whom the person blocked or muted, if they are here.
async fn toward(tx: &mut Tx, restoring: &Restoring, row: &ArchiveRow) -> Result<Outcome, StoreError> {
    let me = restoring.identity;
    let (own, other) = if row.table.object == "block" { ("blocker", "blocked") } else { ("muter", "muted") };
    let whom = row.value(other).id().map(IdentityId::from_bytes);
    let Some(whom) = whom.filter(|whom| *whom != me) else { return Ok(Outcome::Left(LeftOut::NotHere)) };
    if !has_profile(tx, whom.bytes()).await? {
        return Ok(Outcome::Left(LeftOut::NotHere));
    }
    let outcome = insert(tx, restoring, row, vec![(own, me.into())]).await?;
    if own == "blocker" && matches!(outcome, Outcome::Added) {
        let sql = "DELETE FROM follows WHERE (follower = $1 AND followed = $2) OR (follower = $2 AND followed = $1)";
        tx.execute(sql, args![me, whom]).await?;
    }
    Ok(outcome)
}

async fn has_profile(tx: &mut Tx, identity: [u8; 16]) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS one FROM profiles WHERE identity = $1";
    Ok(tx.first(sql, args![IdentityId::from_bytes(identity)]).await?.is_some())
}

async fn count(tx: &mut Tx, sql: &'static str, me: IdentityId) -> Result<i64, StoreError> {
    tx.first(sql, args![me]).await?.map_or(Ok(0), |row| row.int("count"))
}

async fn warm_of(tx: &mut Tx, post: &Value) -> Result<(), StoreError> {
    match post {
        Value::Uuid(Some(id)) => warm(tx, platform::PostId::from_bytes(id.into_bytes())).await,
        _ => Ok(()),
    }
}

/// An id, or a null of its type.
fn bound_id(value: ArchiveValue) -> Value {
    Value::Uuid(value.id().map(uuid::Uuid::from_bytes))
}
