//! An archive comes back: checked whole before anything is written, then put back row by row. Doing it again changes nothing, so whoever
//! takes it up after a crash begins from the front.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt;
use platform::policy::{RightsUse, Stage};
use platform::{FileId, IdentityId, LinkToken, PostId, ProjectId, Service, Timestamp, VideoId, hex};
use provenance::SignedVideo;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{
    ARCHIVE_CLASSES, ArchiveClass, ArchiveRow, ArchiveValue, FilmLook, Import, LeftOut, ObjectKey, Project, Restored,
    Restoring, RowToRestore, StoreError, Subject,
};
use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::archive::Archivist;
use crate::archive::export::{LEASE, class_of};
use crate::archive::foreign::{self, ForeignClip};
use crate::archive::manifest::{FORMAT, Manifest, PATH, VERSION};
use crate::archive::media::{MAX_VIDEO_BYTES, Signing};
use crate::archive::outbox::OUTBOX;
use crate::archive::rows::{read_line, read_moment};
use crate::archive::zip::{EntryReader, ZipArchive, ZipError, ZipLimits};
use crate::http::creation::REFERENCE_PURPOSE;
use crate::http::upload::media_type;
use crate::recognise::look_at_film;

/// The longest manifest, and the longest line of rows.
const MAX_MANIFEST_BYTES: u64 = 60_000_000;
const MAX_LINE_BYTES: u64 = 16_000_000;
/// The most rows of an archive.
const MAX_ROWS: u64 = 5_000_000;
/// The largest file that is no video.
const MAX_FILE_BYTES: u64 = platform::MAX_INPUT_BYTES;
/// Rows that come back in one transaction.
const AT_ONCE: usize = 50;
/// What a file may say that it is; any other word gives way to what its bytes say.
const MEDIA_TYPES: [&str; 8] = [
    "application/jsonl",
    "application/json",
    "application/octet-stream",
    "text/plain; charset=utf-8",
    "image/png",
    "image/jpeg",
    "image/webp",
    "video/mp4",
];

/// Why an archive did not come back.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not as it should be; nothing of it was written.
    #[error("{0}")]
    Refused(String),
    /// The rows or objects failed; another try goes on.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine failed; another try goes on.
    #[error("the archive could not be read here")]
    Io(#[from] io::Error),
}

/// What came of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// What kind of archive it was.
    pub format: String,
    /// What came of each class of data in it.
    pub classes: Vec<ClassReport>,
}

/// What came of a class of data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassReport {
    /// Its name.
    pub class: String,
    /// Rows that came back.
    pub added: u64,
    /// Rows that were there.
    pub there: u64,
    /// Rows that were left out.
    pub left_out: Vec<LeftOutReport>,
}

/// Why rows were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutReport {
    /// Why: `not_here`, `of_others`, `told_only` and so on.
    pub why: String,
    /// How many.
    pub count: u64,
}

impl ImportReport {
    /// Rows that came back, of all classes.
    pub fn added(&self) -> u64 {
        self.classes.iter().map(|class| class.added).sum()
    }
}

/// A file that several read, each at its own place.
#[derive(Clone, Debug)]
pub(crate) struct SharedFile {
    file: Arc<Mutex<File>>,
    at: u64,
}

impl SharedFile {
    pub(crate) fn new(file: File) -> Self {
        Self { file: Arc::new(Mutex::new(file)), at: 0 }
    }
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let count = file.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        self.at = match to {
            SeekFrom::Current(by) => {
                self.at.checked_add_signed(by).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?
            }
            to => file.seek(to)?,
        };
        Ok(self.at)
    }
}

/// Archives of ours that belong together: the rows are those of the newest, media those of all.
#[derive(Clone, Debug)]
struct Bundle {
    archives: Vec<ZipArchive<SharedFile>>,
    manifest: Manifest,
    /// Where media lie: which archive, which entry.
    media: HashMap<String, (usize, usize)>,
}

/// What a checked archive turned out to be.
enum Checked {
    Ours(Box<Bundle>),
    Foreign(&'static str, ZipArchive<SharedFile>, Vec<ForeignClip>),
}

/// Whoever brings something, and what they may.
struct Arriving {
    identity: IdentityId,
    /// When it began: what is erased after that is refused what is still under way.
    began: Timestamp,
    restoring: Restoring,
    signing: Signing,
    counted: BTreeMap<&'static str, (Restored, u64)>,
}

impl Archivist {
    /// Brings an archive back that someone sent, as far as they may.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn bring_back(&self, import: &Import) -> Result<ImportReport, ImportError> {
        use tokio::io::AsyncWriteExt;
        // A file without a name: whatever happens, nothing of it stays.
        let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
        for key in self.store.import_parts(import.id).await? {
            let mut bytes = self.objects.get(&key, None).await?.stream;
            while let Some(piece) = bytes.try_next().await? {
                file.write_all(&piece).await?;
            }
            self.store.hold_import(import, self.now() + LEASE).await?;
        }
        file.flush().await?;
        let file = file.into_std().await;
        self.arrive(import.identity, vec![SharedFile::new(file)], Some(import)).await
    }

    /// Brings archives back from files, or from a folder of them, such as one that a standing export wrote.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn bring_back_from(&self, identity: IdentityId, place: &Path) -> Result<ImportReport, ImportError> {
        let mut files = Vec::new();
        for path in archives_in(place)? {
            files.push(SharedFile::new(File::open(path)?));
        }
        if files.is_empty() {
            return Err(ImportError::Refused(format!("there is no archive in {}", place.display())));
        }
        self.arrive(identity, files, None).await
    }

    async fn arrive(
        &self,
        identity: IdentityId,
        files: Vec<SharedFile>,
        import: Option<&Import>,
    ) -> Result<ImportReport, ImportError> {
        let checking = spawn_blocking(move || check(files));
        // The whole is read once; that can take longer than a lease.
        let checked = self.held_while(import, checking).await??;
        match checked {
            Checked::Ours(bundle) => self.restore(identity, *bundle, import).await,
            Checked::Foreign(format, zip, clips) => self.take_in(identity, format, zip, clips, import).await,
        }
    }

    /// Gives signs of life while something is worked on beside.
    async fn held_while<T>(
        &self,
        import: Option<&Import>,
        mut work: tokio::task::JoinHandle<T>,
    ) -> Result<T, ImportError> {
        let panicked = |_| ImportError::Io(io::Error::other("the archive's reader panicked"));
        let Some(import) = import else { return work.await.map_err(panicked) };
        loop {
            tokio::select! {
                done = &mut work => return done.map_err(panicked),
                () = self.clock.sleep(LEASE / 4) => self.store.hold_import(import, self.now() + LEASE).await?,
            }
        }
    }

    async fn arriving(&self, identity: IdentityId, was: IdentityId) -> Result<Arriving, ImportError> {
        let now = self.now();
        let home = self.store.home_project(identity).await?;
        let restoring = Restoring::new(identity, was, home, &self.tier, now);
        let when = OffsetDateTime::from_unix_timestamp(now.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let signing = Signing { key: self.key.clone(), when };
        Ok(Arriving { identity, began: now, restoring, signing, counted: BTreeMap::new() })
    }

    /// Lets come back what the person may have now: an archive takes its time, and they may leave a service meanwhile.
    async fn ask_memberships(&self, arriving: &mut Arriving) -> Result<(), ImportError> {
        let mut members = Vec::new();
        for service in [Service::Video, Service::Social, Service::Api] {
            members.extend(self.store.membership(arriving.identity, service).await?.at(self.now()).active());
        }
        arriving.restoring.allow_only(members);
        Ok(())
    }

    /// The project that takes what has none of its own here.
    async fn find_home(&self, arriving: &mut Arriving) -> Result<(), ImportError> {
        if arriving.restoring.has_home() {
            return Ok(());
        }
        let home = match self.store.home_project(arriving.identity).await? {
            Some(home) => home,
            None => {
                let (id, now) = (ProjectId::new(self.now(), self.random()), self.now());
                let (name, tier) = ("clips".to_owned(), self.tier.clone());
                let owner = arriving.identity;
                self.store
                    .create_project(&Project { id, owner, name, tier, created_at: now, archived_at: None })
                    .await?;
                id
            }
        };
        arriving.restoring.set_home(home);
        Ok(())
    }

    /// Puts an archive of ours back.
    async fn restore(
        &self,
        identity: IdentityId,
        bundle: Bundle,
        import: Option<&Import>,
    ) -> Result<ImportReport, ImportError> {
        let was = bundle.manifest.person.id.parse().map_err(|_| refused("the manifest names no person"))?;
        let mut arriving = self.arriving(identity, was).await?;
        let mut batches = Batches::of(&bundle);
        loop {
            let reading = spawn_blocking(move || {
                let next = batches.next();
                (batches, next)
            });
            let next;
            (batches, next) = reading.await.map_err(|_| io::Error::other("the archive's reader panicked"))?;
            let Some((class, rows)) = next? else { return Ok(report(FORMAT, arriving.counted)) };
            if let Some(import) = import {
                self.store.hold_import(import, self.now() + LEASE).await?;
            }
            self.ask_memberships(&mut arriving).await?;
            // Projects come first; then what must belong to one.
            if matches!(class.owner, "video" | "api") {
                self.find_home(&mut arriving).await?;
            }
            self.restore_batch(&mut arriving, &bundle, class, rows).await?;
        }
    }

    async fn restore_batch(
        &self,
        arriving: &mut Arriving,
        bundle: &Bundle,
        class: &'static ArchiveClass,
        mut rows: Vec<ArchiveRow>,
    ) -> Result<(), ImportError> {
        let told = rows.iter().filter(|row| !row.table.is_restored()).count();
        rows.retain(|row| row.table.is_restored());
        let mut restored = Restored::default();
        if arriving.restoring.allows(class) {
            let there = self.store.find_archived(&mut arriving.restoring, &mut rows).await?;
            let mut ready = Vec::new();
            for (row, there) in rows.into_iter().zip(there) {
                if there {
                    restored.there += 1;
                    continue;
                }
                let has_media = row.objects().next().is_some();
                match self.with_media(arriving, bundle, row).await? {
                    Ok(row) => ready.push(row),
                    Err(why) => restored.leave(why, 1),
                }
                // What was just written must not wait for a row.
                if has_media {
                    restored.add(&self.store.restore_rows(&mut arriving.restoring, class, &ready, self.now()).await?);
                    ready.clear();
                }
            }
            restored.add(&self.store.restore_rows(&mut arriving.restoring, class, &ready, self.now()).await?);
        } else {
            restored.leave(LeftOut::NotMember, rows.len() as u64);
        }
        let counted = arriving.counted.entry(class.name).or_default();
        counted.0.add(&restored);
        counted.1 += told as u64;
        Ok(())
    }

    /// A row with its media written. Inside why it is left out: it cannot be without them and they are in no archive, or someone who appears
    /// in it does not let whoever brings it have it.
    async fn with_media(
        &self,
        arriving: &Arriving,
        bundle: &Bundle,
        mut row: ArchiveRow,
    ) -> Result<Result<RowToRestore, LeftOut>, ImportError> {
        let id = row.id().unwrap_or_default();
        let (mut video, mut link_token, mut came_as, mut look) = (None, None, String::new(), FilmLook::default());
        let (identity, since) = (arriving.identity, arriving.began);
        let of = |service| Subject { identity, service, since };
        match row.table.object {
            "video" => {
                let id = VideoId::from_bytes(id);
                if let Some((sha256, signed)) = self.signed(arriving, bundle, &row).await? {
                    let Some(found) = self.may_have(arriving, &row, &sha256, &signed).await? else {
                        return Ok(Err(LeftOut::Likeness));
                    };
                    look = found;
                    came_as = sha256;
                    video = Some(self.objects.put_video(of(Service::Video), id, 0, signed).await?);
                }
                set(&mut row, "video_key", video.as_ref().map(|video| video.key().clone()));
                for (column, extension, kind) in PICTURES {
                    let picture = self.picture(bundle, row.text(column).to_owned(), kind).await?;
                    let key = match picture.filter(|_| video.is_some()) {
                        Some(bytes) => {
                            Some(self.objects.put_derived(of(Service::Video), id, 0, extension, bytes).await?)
                        }
                        None => None,
                    };
                    set(&mut row, column, key);
                }
            }
            "post" => {
                let id = PostId::from_bytes(id);
                let Some((sha256, signed)) = self.signed(arriving, bundle, &row).await? else {
                    return Ok(Err(LeftOut::NotHere));
                };
                let Some(found) = self.may_have(arriving, &row, &sha256, &signed).await? else {
                    return Ok(Err(LeftOut::Likeness));
                };
                look = found;
                came_as = sha256;
                let stored = self.objects.put_post_video(of(Service::Social), id, signed).await?;
                set(&mut row, "video_key", Some(stored.key().clone()));
                for (column, extension, kind) in PICTURES {
                    let key = match self.picture(bundle, row.text(column).to_owned(), kind).await? {
                        Some(bytes) => {
                            Some(self.objects.put_post_picture(of(Service::Social), id, extension, bytes).await?)
                        }
                        None => None,
                    };
                    set(&mut row, column, key);
                }
                // What would not be let out today is not let out by an archive.
                let rules = &self.judge;
                let spoken_against = async |text: &str| {
                    let judged = rules.text(Stage::Prompt, RightsUse::Prompts, text, self.now()).await;
                    // Where nobody can be asked, nothing is let out.
                    !judged.is_ok_and(|verdict| verdict.is_allowed())
                };
                if spoken_against(row.text("caption")).await || spoken_against(row.text("prompt")).await {
                    row.set("visibility", ArchiveValue::Text("only_me".into()));
                }
                (video, link_token) = (Some(stored), Some(LinkToken::new(self.random())));
            }
            "file" | "character" => {
                let path = row.text("object_key").to_owned();
                let Some(bytes) = self.content(bundle, path, MAX_FILE_BYTES).await? else {
                    return Ok(Err(LeftOut::NotHere));
                };
                if row.table.object == "file" {
                    row.set("size_bytes", ArchiveValue::Int(i64::try_from(bytes.len()).unwrap_or(i64::MAX)));
                    if !MEDIA_TYPES.contains(&row.text("media_type")) {
                        row.set("media_type", ArchiveValue::Text(media_type(&bytes).into()));
                    }
                }
                // The prefix is the id's own, as it is for what is uploaded. Pictures that clips begin with belong to the clips.
                let (owner, service) = match row.table.object {
                    "file" if row.text("purpose") != REFERENCE_PURPOSE => {
                        (FileId::from_bytes(id).to_string(), Service::Api)
                    }
                    "file" => (FileId::from_bytes(id).to_string(), Service::Video),
                    _ => (platform::CharacterId::from_bytes(id).to_string(), Service::Video),
                };
                let key = self.objects.put_upload(of(service), &owner, bytes).await?;
                set(&mut row, "object_key", Some(key));
            }
            "profile" => {
                let picture = self.picture(bundle, row.text("avatar_key").to_owned(), "image/png").await?;
                let key = match picture {
                    Some(bytes) => {
                        let owner = FileId::derived(arriving.identity.bytes(), "avatar of an archive");
                        Some(self.objects.put_upload(of(Service::Social), &owner, bytes).await?)
                    }
                    None => None,
                };
                set(&mut row, "avatar_key", key);
            }
            _ => {}
        }
        Ok(Ok(RowToRestore { row, video, link_token, came_as, look }))
    }

    /// How a clip looks, if everyone who appears in it lets whoever brings it have it; asked before its film is written.
    async fn may_have(
        &self,
        arriving: &Arriving,
        row: &ArchiveRow,
        came_as: &str,
        signed: &SignedVideo,
    ) -> Result<Option<FilmLook>, ImportError> {
        let kept_as = hex(&Sha256::digest(signed.bytes()));
        let look = look_at_film(&self.store, Bytes::copy_from_slice(signed.bytes())).await?;
        let sha256 = [came_as, &kept_as];
        let may = self.store.may_come_back(&arriving.restoring, row, sha256, &look.alike, self.now()).await?;
        Ok(may.then_some(look))
    }

    /// The signed video that a row names, with the hash of the file as it came; nothing if it is in no archive.
    async fn signed(
        &self,
        arriving: &Arriving,
        bundle: &Bundle,
        row: &ArchiveRow,
    ) -> Result<Option<(String, SignedVideo)>, ImportError> {
        let path = row.text("video_key").to_owned();
        let Some(bytes) = self.content(bundle, path, MAX_VIDEO_BYTES).await? else { return Ok(None) };
        let (signing, title) = (arriving.signing.clone(), row.text("prompt").to_owned());
        let signed = spawn_blocking(move || {
            let sha256 = hex(&Sha256::digest(&bytes));
            signing.own(bytes.into(), &title).map(|signed| (sha256, signed))
        });
        // What is no video at all is as good as missing.
        Ok(signed.await.map_err(|_| io::Error::other("a video could not be signed"))?.ok())
    }

    async fn picture(&self, bundle: &Bundle, path: String, kind: &str) -> Result<Option<Bytes>, ImportError> {
        let bytes = self.content(bundle, path, MAX_FILE_BYTES).await?;
        Ok(bytes.filter(|bytes| media_type(bytes) == kind))
    }

    async fn content(&self, bundle: &Bundle, path: String, most: u64) -> Result<Option<Bytes>, ImportError> {
        let Some(&(archive, entry)) = bundle.media.get(&path) else { return Ok(None) };
        let mut archive = bundle.archives[archive].clone();
        let read = spawn_blocking(move || archive.read_all(entry, most)).await;
        match read.map_err(|_| io::Error::other("a file could not be read"))? {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(ZipError::Io(error)) => Err(error.into()),
            // Larger than anything that this product keeps.
            Err(_) => Ok(None),
        }
    }

    /// Takes in clips that something else made.
    async fn take_in(
        &self,
        identity: IdentityId,
        format: &'static str,
        zip: ZipArchive<SharedFile>,
        clips: Vec<ForeignClip>,
        import: Option<&Import>,
    ) -> Result<ImportReport, ImportError> {
        let mut arriving = self.arriving(identity, identity).await?;
        self.find_home(&mut arriving).await?;
        let class = ARCHIVE_CLASSES.iter().find(|class| class.name == "clips").ok_or_else(|| refused("no clips"))?;
        let (mut restored, mut unreadable) = (Restored::default(), 0);
        for clip in clips {
            self.ask_memberships(&mut arriving).await?;
            if !arriving.restoring.allows(class) {
                restored.leave(LeftOut::NotMember, 1);
                continue;
            }
            if let Some(import) = import {
                self.store.hold_import(import, self.now() + LEASE).await?;
            }
            let (mut zip, signing) = (zip.clone(), arriving.signing.clone());
            let made = spawn_blocking(move || foreign::read_clip(&mut zip, &clip, &signing)).await;
            let Some(made) = made.map_err(|_| io::Error::other("a clip could not be read"))? else {
                unreadable += 1;
                continue;
            };
            let mut rows = [made.row];
            if self.store.find_archived(&mut arriving.restoring, &mut rows).await? == [true] {
                restored.there += 1;
                continue;
            }
            let [mut row] = rows;
            let Some(look) = self.may_have(&arriving, &row, &made.came_as, &made.video).await? else {
                restored.leave(LeftOut::Likeness, 1);
                continue;
            };
            let id = VideoId::from_bytes(row.id().unwrap_or_default());
            let subject = Subject { identity: arriving.identity, service: Service::Video, since: arriving.began };
            let video = self.objects.put_video(subject, id, 0, made.video).await?;
            set(&mut row, "video_key", Some(video.key().clone()));
            let thumbnail = match made.thumbnail {
                Some(webp) => Some(self.objects.put_derived(subject, id, 0, "webp", webp.into()).await?),
                None => None,
            };
            set(&mut row, "thumbnail_key", thumbnail);
            let row = RowToRestore { row, video: Some(video), link_token: None, came_as: made.came_as, look };
            restored.add(&self.store.restore_rows(&mut arriving.restoring, class, &[row], self.now()).await?);
        }
        restored.leave(LeftOut::Contradictory, unreadable);
        arriving.counted.insert(class.name, (restored, 0));
        Ok(report(format, arriving.counted))
    }
}

/// The pictures of a video: column, extension, and what its bytes must be.
const PICTURES: [(&str, &str, &str); 2] =
    [("thumbnail_key", "webp", "image/webp"), ("spritesheet_key", "jpg", "image/jpeg")];

fn set(row: &mut ArchiveRow, column: &str, key: Option<ObjectKey>) {
    row.set(column, key.map_or(ArchiveValue::Null, |key| ArchiveValue::Text(key.as_str().to_owned())));
}

fn refused(words: impl Into<String>) -> ImportError {
    ImportError::Refused(words.into())
}

fn report(format: &str, counted: BTreeMap<&'static str, (Restored, u64)>) -> ImportReport {
    let classes = ARCHIVE_CLASSES.iter().filter_map(|class| {
        let (restored, told) = counted.get(class.name)?;
        let known = restored.left_out.iter().map(|(why, count)| (why.as_str(), *count));
        let left_out = known.chain([("told_only", *told)]).filter(|(_, count)| *count > 0);
        let left_out = left_out.map(|(why, count)| LeftOutReport { why: why.into(), count }).collect();
        Some(ClassReport { class: class.name.into(), added: restored.added, there: restored.there, left_out })
    });
    ImportReport { format: format.to_owned(), classes: classes.collect() }
}

/// The archive at a place, or those in a folder, by name.
fn archives_in(place: &Path) -> io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "zip") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Looks at archives from front to end: after this they hold what they say, and nothing else.
fn check(files: Vec<SharedFile>) -> Result<Checked, ImportError> {
    let mut ours = Vec::new();
    for file in files {
        let mut zip = ZipArchive::open(file, &ZipLimits::default()).map_err(told)?;
        match check_own(&mut zip)? {
            Some(manifest) => ours.push((zip, manifest)),
            None if ours.is_empty() => {
                let (format, clips) = foreign::detect(&mut zip).map_err(refused)?;
                return Ok(Checked::Foreign(format, zip, clips));
            }
            None => return Err(refused("archives of two kinds do not belong together")),
        }
    }
    // The newest last: by what they say of their time.
    ours.sort_by_key(|(_, manifest)| read_moment(&manifest.created_at));
    let persons: HashSet<_> = ours.iter().map(|(_, manifest)| &manifest.person.id).collect();
    if persons.len() > 1 {
        return Err(refused("these archives are of several people"));
    }
    let mut media = HashMap::new();
    for (at, (zip, _)) in ours.iter().enumerate() {
        for (entry, found) in zip.entries().iter().enumerate() {
            if found.path.starts_with("media/") {
                media.insert(found.path.clone(), (at, entry));
            }
        }
    }
    let (archives, manifests): (Vec<_>, Vec<_>) = ours.into_iter().unzip();
    let manifest = manifests.into_iter().next_back().ok_or_else(|| refused("there is no archive"))?;
    Ok(Checked::Ours(Box::new(Bundle { archives, manifest, media })))
}

/// A ZIP's error as a refusal; the machine's own stay what they are.
fn told(error: ZipError) -> ImportError {
    match error {
        ZipError::Io(error) if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            ImportError::Io(error)
        }
        ZipError::Io(error) => refused(format!("the ZIP file is damaged: {error}")),
        error => refused(error.to_string()),
    }
}

fn read_failed(path: &str) -> impl Fn(io::Error) -> ImportError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            refused(format!("{path}: {error}"))
        }
        _ => ImportError::Io(error),
    }
}

/// As much of a manifest as says whether it is one.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    version: Option<u32>,
}

/// The manifest of an archive of ours, if everything in it is as the manifest says; nothing if it is another's.
fn check_own(zip: &mut ZipArchive<SharedFile>) -> Result<Option<Manifest>, ImportError> {
    let Some(at) = zip.find(PATH) else { return Ok(None) };
    let bytes = zip.read_all(at, MAX_MANIFEST_BYTES).map_err(told)?;
    // Others have a file of this name too.
    let Ok(head) = serde_json::from_slice::<Head>(&bytes) else { return Ok(None) };
    if head.format.as_deref() != Some(FORMAT) {
        return Ok(None);
    }
    if head.version != Some(VERSION) {
        let version = head.version.unwrap_or(0);
        return Err(refused(format!("this is an archive of version {version}, and {VERSION} is known here")));
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| refused(format!("manifest.json cannot be read: {error}")))?;
    let files: HashMap<_, _> = manifest.files.iter().map(|file| (file.path.as_str(), file)).collect();
    if files.len() != manifest.files.len() || files.len() + 1 != zip.entries().len() {
        return Err(refused("the manifest and the files of the archive are not the same"));
    }
    let mut rows = 0;
    for at in 0..zip.entries().len() {
        let (path, size) = (zip.entries()[at].path.clone(), zip.entries()[at].size_bytes);
        if path == PATH {
            continue;
        }
        let listed = files.get(path.as_str()).filter(|file| file.bytes == size);
        let listed = listed.ok_or_else(|| refused(format!("the manifest does not list {path:?} as it is")))?;
        let mut reader = Hashing { inner: zip.read(at).map_err(told)?, sha256: Sha256::new() };
        match class_of(&path) {
            Some(name) => rows += check_lines(&mut reader, &path, name)?,
            // The outbox says again what the posts say.
            None if path.starts_with("media/") || path == OUTBOX => {
                io::copy(&mut reader, &mut io::sink()).map_err(read_failed(&path))?;
            }
            None => return Err(refused(format!("nobody knows what {path:?} is"))),
        }
        if hex(&reader.sha256.finalize()) != listed.sha256.to_lowercase() {
            return Err(refused(format!("{path:?} is not the file that the manifest lists")));
        }
        if rows > MAX_ROWS {
            return Err(refused("there are too many rows in it"));
        }
    }
    Ok(Some(manifest))
}

fn check_lines(reader: &mut impl Read, path: &str, class: &str) -> Result<u64, ImportError> {
    let class = class_named(class)?;
    let (mut lines, mut count) = (BufReader::new(reader), 0);
    while let Some(line) = next_line(&mut lines, path)? {
        count += 1;
        read_line(class, &line).map_err(|error| refused(format!("line {count} of {path}: {error}")))?;
    }
    Ok(count)
}

fn class_named(name: &str) -> Result<&'static ArchiveClass, ImportError> {
    ARCHIVE_CLASSES.iter().find(|class| class.name == name).ok_or_else(|| refused(format!("nobody knows {name:?}")))
}

/// The next line, without its end; nothing after the last.
fn next_line(lines: &mut impl BufRead, path: &str) -> Result<Option<String>, ImportError> {
    let mut line = String::new();
    // `take` cuts a line that is too long, so that its end is missing.
    lines.take(MAX_LINE_BYTES).read_line(&mut line).map_err(read_failed(path))?;
    match line.pop() {
        None => Ok(None),
        Some('\n') => Ok(Some(line)),
        Some(_) => Err(refused(format!("a line of {path} is too long, or its end is missing"))),
    }
}

type Batch = (&'static ArchiveClass, Vec<ArchiveRow>);

/// The rows of an archive that was checked, class by class, as the classes' own order has it. They are read when they are asked for: a
/// thread that read ahead would wait for rows to be written, and what writes them waits for threads.
struct Batches {
    zip: Option<ZipArchive<SharedFile>>,
    /// Files that follow, each with its class and its place.
    files: VecDeque<(&'static ArchiveClass, String, usize)>,
    open: Option<(&'static ArchiveClass, String, BufReader<EntryReader<SharedFile>>)>,
}

impl Batches {
    fn of(bundle: &Bundle) -> Self {
        let zip = bundle.archives.last().cloned();
        let mut files = VecDeque::new();
        for class in ARCHIVE_CLASSES {
            let listed = bundle.manifest.classes.iter().find(|listed| listed.name == class.name);
            for path in listed.into_iter().flat_map(|listed| &listed.files) {
                let at = zip.as_ref().and_then(|zip| zip.find(path)).filter(|_| class_of(path) == Some(class.name));
                files.extend(at.map(|at| (class, path.clone(), at)));
            }
        }
        Self { zip, files, open: None }
    }

    /// Some rows of one class; nothing after the last.
    fn next(&mut self) -> Result<Option<Batch>, ImportError> {
        loop {
            let Some((class, path, lines)) = &mut self.open else {
                let (Some(zip), Some((class, path, at))) = (&self.zip, self.files.pop_front()) else { return Ok(None) };
                let lines = BufReader::new(zip.clone().into_reader(at).map_err(told)?);
                self.open = Some((class, path, lines));
                continue;
            };
            let (class, mut rows) = (*class, Vec::new());
            while rows.len() < AT_ONCE {
                let Some(line) = next_line(lines, path)? else {
                    self.open = None;
                    break;
                };
                rows.push(read_line(class, &line).map_err(|error| refused(format!("{path}: {error}")))?);
            }
            if !rows.is_empty() {
                return Ok(Some((class, rows)));
            }
        }
    }
}

/// Reads, and says the hash of what was read.
struct Hashing<R> {
    inner: R,
    sha256: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..count]);
        Ok(count)
    }
}
