//! Media and files as objects: in a folder, in an S3-compatible store or in memory. An object is written once and
//! never changed; its name holds the SHA-256 of its content.
//!
//! What is put is somebody's ([`Subject`]) and is sealed with that person's key of that service (`sealed_object`, `keyring`). Reading needs
//! no subject: the object says whose it is. Objects that earlier versions wrote lie open and are read as they are.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart,
};
use platform::{ExportId, IdentityId, ImportId, Owner, PostId, Service, Timestamp, VideoId, hex};
use provenance::SignedVideo;
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::export::Export;
use crate::generation::PublishedVideo;
use crate::keyring::{FOLDER, Holder, Keyring, Subject, SubjectKey};
use crate::sealed_object::{Cipher, HEAD_BYTES, Head, Pieces, seal, seal_pieces, take_head};
use crate::sealer::Sealer;
use crate::social::PostMedia;

/// What is larger is written in parts of this size, of which two are under way at a time.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_A_TIME: usize = 2;

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectsPlace {
    /// In this process, for tests.
    Memory,
    /// In a folder, which is made if it is missing.
    Folder(PathBuf),
    /// In a bucket of an S3-compatible store.
    S3(S3Place),
}

/// A bucket. `Debug` prints no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket, which exists.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The store's address; Amazon's own if nothing. `http://` is taken too.
    pub endpoint: Option<String>,
    /// Access key.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
}

/// The objects of an installation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    pub(crate) keyring: Keyring,
}

/// The name of an object: letters, digits and `/ . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A signed video that lies among the objects. Only [`Objects::put_video`] makes one, and only this can be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVideo {
    key: ObjectKey,
    size_bytes: u64,
    sha256: String,
}

/// Bytes of an object as they come.
pub struct ObjectBytes {
    /// The whole object's size.
    pub size_bytes: u64,
    /// Which of its bytes these are.
    pub range: Range<u64>,
    /// The bytes.
    pub stream: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// Which bytes of an object are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to before the second; the end is cut to the object's.
    Bounded(Range<u64>),
    /// From here to the end.
    From(u64),
    /// So many at the end.
    Last(u64),
}

/// How the names of all objects begin.
pub const OBJECT_PREFIXES: [&str; 5] = ["renders/", "uploads/", "posts/", "exports/", "imports/"];

impl Objects {
    /// Opens a place for objects. Without [`Self::sealed_with`] nothing that is somebody's can be put or read.
    ///
    /// # Errors
    /// [`StoreError::ObjectsPlace`] if the folder cannot be made or the bucket's address is none.
    pub fn open(place: &ObjectsPlace) -> Result<Self, StoreError> {
        let (store, keys): (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>) = match place {
            ObjectsPlace::Memory => {
                let store = Arc::new(InMemory::new());
                (store.clone(), store)
            }
            ObjectsPlace::Folder(folder) => {
                let refuse = |error: &dyn std::fmt::Display| {
                    StoreError::ObjectsPlace(format!("folder {}: {error}", folder.display()))
                };
                std::fs::create_dir_all(folder).map_err(|error| refuse(&error))?;
                let open = || LocalFileSystem::new_with_prefix(folder).map_err(|error| refuse(&error));
                // A key that a power cut takes takes all its objects, and one that it brings back brings them back.
                (Arc::new(open()?.with_automatic_cleanup(true)), Arc::new(open()?.with_fsync(true)))
            }
            ObjectsPlace::S3(place) => {
                let store = Arc::new(place.open(None)?);
                (store.clone(), store)
            }
        };
        Ok(Self { store, keyring: Keyring::new(keys) })
    }

    /// The same objects with the key of the installation that people's keys are sealed with. It is the one of the rows.
    #[must_use]
    pub fn sealed_with(self, sealer: Sealer) -> Self {
        Self { keyring: self.keyring.sealed_with(sealer), ..self }
    }

    /// Destroys the key of what is kept for a person's service, or of the account itself: from then on nothing of it can be read here, within seconds on other nodes
    /// too, nor from any backup. Doing it again changes nothing. Whoever comes back gets a new key by themselves.
    ///
    /// # Errors
    /// [`StoreError::Objects`]; then it was done or not, and is to be done again.
    pub async fn destroy_key(
        &self,
        identity: IdentityId,
        owner: impl Into<Owner>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.keyring.destroy(identity, owner.into(), now).await
    }

    /// Every service of a person that was ever erased, with the last time. After a restore, all that these people had there before that
    /// time is to be erased again; what they have since they came back stays, and so does their new key.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn erased_subjects(&self) -> Result<Vec<(IdentityId, Service, Timestamp)>, StoreError> {
        self.keyring.erased().await
    }

    /// Keeps a signed video of one attempt.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_video(
        &self,
        subject: Subject,
        id: VideoId,
        attempt: u32,
        video: SignedVideo,
    ) -> Result<StoredVideo, StoreError> {
        self.put_signed(subject, &ObjectKey::render_prefix(id, attempt), video).await
    }

    async fn put_signed(&self, subject: Subject, prefix: &str, video: SignedVideo) -> Result<StoredVideo, StoreError> {
        let bytes = Bytes::from(video.into_bytes());
        let size_bytes = bytes.len() as u64;
        let (key, sha256) = self.put(subject, prefix, "mp4", bytes).await?;
        Ok(StoredVideo { key, size_bytes, sha256 })
    }

    /// Keeps a file that an archive is made of. It is of several services, so the key of the account seals it. No backup has archives.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_archive_part(&self, export: &Export, bytes: Bytes) -> Result<ObjectKey, StoreError> {
        Ok(self.put(of_account(export), &ObjectKey::export_prefix(export.id), "bin", bytes).await?.0)
    }

    /// Copies an object for an archive, so that the archive is whole for as long as it can be fetched. The copy is sealed with the key of
    /// the service that it is of, and what lay open with that of the account.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the object has gone; [`StoreError::Erased`].
    pub async fn copy_for_archive(&self, export: &Export, from: &ObjectKey) -> Result<ObjectKey, StoreError> {
        let name = from.0.rsplit('/').next().unwrap_or_default();
        let copy = ObjectKey(format!("{}/{name}", ObjectKey::export_prefix(export.id)));
        let key = match self.head(from).await?.1.map(|head| head.key()) {
            Some((name, fingerprint)) if name.identity == export.identity => {
                self.keyring.reading(name, fingerprint).await?
            }
            _ => self.keyring.writing(of_account(export)).await?,
        };
        let content = self.get(from, None).await?;
        self.write(&copy, seal_pieces(&key, content.size_bytes, content.stream)).await?;
        Ok(copy)
    }

    /// Deletes all that lies there of an archive.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn delete_archive(&self, export: ExportId) -> Result<(), StoreError> {
        self.delete_under(&ObjectKey::export_prefix(export)).await.map(|_| ())
    }

    /// Keeps a piece of an archive that someone brings, since that moment; the key of their account seals it.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_import_part(
        &self,
        identity: IdentityId,
        since: Timestamp,
        import: ImportId,
        number: u32,
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        let holder = Holder { identity, owner: Owner::Account, since };
        Ok(self.put(holder, &format!("{}/{number:06}", ObjectKey::import_prefix(import)), "bin", bytes).await?.0)
    }

    /// Keeps a signed video that a post brought along from an archive.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_post_video(
        &self,
        subject: Subject,
        post: PostId,
        video: SignedVideo,
    ) -> Result<StoredVideo, StoreError> {
        self.put_signed(subject, &ObjectKey::post_prefix(post), video).await
    }

    /// Keeps a picture of a post that an archive brought along. `extension` is without dot.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_post_picture(
        &self,
        subject: Subject,
        post: PostId,
        extension: &'static str,
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        Ok(self.put(subject, &ObjectKey::post_prefix(post), extension, bytes).await?.0)
    }

    /// Keeps a picture derived from a video of one attempt, such as its thumbnail. `extension` is without dot.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_derived(
        &self,
        subject: Subject,
        id: VideoId,
        attempt: u32,
        extension: &'static str,
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        let (key, _) = self.put(subject, &ObjectKey::render_prefix(id, attempt), extension, bytes).await?;
        Ok(key)
    }

    /// Keeps what someone uploaded, under a folder of its own such as `uploads/file-…`.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Objects`].
    pub async fn put_upload(
        &self,
        subject: Subject,
        owner: &(dyn std::fmt::Display + Sync),
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        let (key, _) = self.put(subject, &ObjectKey::uploads_prefix(owner), "bin", bytes).await?;
        Ok(key)
    }

    /// Copies the media of a published video for a post, so that the post outlives the video and the video the post: the copies are the
    /// `subject`'s, who is the author of the post. A signed video stays signed: its bytes are the same.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the media have gone; [`StoreError::Erased`].
    pub async fn copy_for_post(
        &self,
        subject: Subject,
        post: PostId,
        video: &PublishedVideo,
    ) -> Result<PostMedia, StoreError> {
        let key = self.keyring.writing(subject).await?;
        Ok(PostMedia {
            video: self.copy_under(&video.key, post, &key).await?,
            size_bytes: video.size_bytes,
            sha256: video.sha256.clone(),
            thumbnail: self.copy_if_there(video.thumbnail.as_ref(), post, &key).await?,
            spritesheet: self.copy_if_there(video.spritesheet.as_ref(), post, &key).await?,
        })
    }

    async fn copy_if_there(
        &self,
        from: Option<&ObjectKey>,
        post: PostId,
        key: &SubjectKey,
    ) -> Result<Option<ObjectKey>, StoreError> {
        match from {
            Some(from) => self.copy_under(from, post, key).await.map(Some),
            None => Ok(None),
        }
    }

    async fn copy_under(&self, from: &ObjectKey, post: PostId, key: &SubjectKey) -> Result<ObjectKey, StoreError> {
        let name = from.0.rsplit('/').next().unwrap_or_default();
        let copy = ObjectKey(format!("{}/{name}", ObjectKey::post_prefix(post)));
        if !self.is_sealed_with(&copy, key).await? {
            let content = self.get(from, None).await?;
            self.write(&copy, seal_pieces(key, content.size_bytes, content.stream)).await?;
        }
        Ok(copy)
    }

    async fn write(&self, key: &ObjectKey, pieces: Pieces) -> Result<(), StoreError> {
        write_whole(&*self.store, &key.path(), pieces).await
    }

    /// Keeps a content; says its name and its SHA-256.
    async fn put(
        &self,
        holder: impl Into<Holder>,
        prefix: &str,
        extension: &str,
        bytes: Bytes,
    ) -> Result<(ObjectKey, String), StoreError> {
        let key = self.keyring.writing(holder).await?;
        let sealing = key.clone();
        let (sha256, sealed) = computed(move || (sha256_hex(&bytes), seal(&sealing, bytes))).await?;
        let name = ObjectKey(format!("{prefix}/{sha256}.{extension}"));
        let written = self.store.put_opts(&name.path(), sealed.clone(), PutMode::Create.into()).await;
        match written {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => {
                // The same content is there: the name says so. It stays if it is this subject's and can still be read.
                if !self.is_sealed_with(&name, &key).await? {
                    self.store.put(&name.path(), sealed).await?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok((name, sha256))
    }

    /// Whether an object is there that this key opens.
    async fn is_sealed_with(&self, name: &ObjectKey, key: &SubjectKey) -> Result<bool, StoreError> {
        match self.head(name).await {
            Ok((_, head)) => Ok(head.is_some_and(|head| head.key() == (key.name, key.fingerprint()))),
            Err(StoreError::NotFound(_) | StoreError::Unsealable) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts an object back under the name that it had, with the bytes that lay there.
    pub(crate) async fn put_back(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put_opts(&key.path(), PutPayload::from(bytes), PutMode::Create.into()).await?;
        Ok(())
    }

    /// The bytes of an object as they lie there.
    pub(crate) async fn raw(&self, key: &ObjectKey) -> Result<Pieces, StoreError> {
        let result = self.store.get(&key.path()).await.map_err(not_found)?;
        Ok(result.into_stream().map_err(StoreError::from).boxed())
    }

    /// Reads an object, or some of its bytes. One whose key was destroyed is not there any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Range`] if the range begins past the end or is empty; [`StoreError::Unsealable`], also from
    /// the stream, if the object is damaged.
    pub async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<ObjectBytes, StoreError> {
        // From the beginning to the end is one request. Players ask so.
        if range.as_ref().is_some_and(|range| *range != ByteRange::From(0)) {
            return self.get_part(key, range).await;
        }
        let result = self.store.get(&key.path()).await.map_err(not_found)?;
        let lying_bytes = result.meta.size;
        let (head, pieces) = take_head(result.into_stream().map_err(StoreError::from).boxed()).await?;
        let Some(head) = head else {
            let range = wanted(range, lying_bytes)?;
            return Ok(ObjectBytes { size_bytes: lying_bytes, range, stream: pieces });
        };
        let (cipher, size_bytes) = (self.cipher(&head, lying_bytes).await?, head.size_bytes());
        let range = wanted(range, size_bytes)?;
        Ok(ObjectBytes { size_bytes, range: range.clone(), stream: cipher.open_pieces(pieces, range) })
    }

    async fn get_part(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<ObjectBytes, StoreError> {
        let (lying_bytes, head) = self.head(key).await?;
        let Some(head) = head else {
            let range = wanted(range, lying_bytes)?;
            let stream = self.lying(key, range.clone()).await?;
            return Ok(ObjectBytes { size_bytes: lying_bytes, range, stream });
        };
        let (cipher, size_bytes) = (self.cipher(&head, lying_bytes).await?, head.size_bytes());
        let range = wanted(range, size_bytes)?;
        let sealed = self.lying(key, cipher.sealed_range(&range)).await?;
        Ok(ObjectBytes { size_bytes, range: range.clone(), stream: cipher.open_pieces(sealed, range) })
    }

    /// Some of the bytes of an object as they lie there.
    async fn lying(&self, key: &ObjectKey, range: Range<u64>) -> Result<Pieces, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let result = self.store.get_opts(&key.path(), options).await.map_err(not_found)?;
        Ok(result.into_stream().map_err(StoreError::from).boxed())
    }

    /// How many bytes of an object lie there, and its head if it is sealed.
    async fn head(&self, key: &ObjectKey) -> Result<(u64, Option<Head>), StoreError> {
        let range = Some(GetRange::Bounded(0..HEAD_BYTES as u64));
        match self.store.get_opts(&key.path(), GetOptions { range, ..GetOptions::default() }).await {
            Ok(result) => {
                let lying_bytes = result.meta.size;
                Ok((lying_bytes, Head::read(&result.bytes().await?)?))
            }
            Err(error @ object_store::Error::NotFound { .. }) => Err(not_found(error)),
            // No range lies within an object that is empty.
            Err(error) => match self.store.head(&key.path()).await {
                Ok(meta) if meta.size == 0 => Ok((0, None)),
                _ => Err(error.into()),
            },
        }
    }

    async fn cipher(&self, head: &Head, lying_bytes: u64) -> Result<Cipher, StoreError> {
        let (name, fingerprint) = head.key();
        Cipher::opening(head, &self.keyring.reading(name, fingerprint).await?, lying_bytes)
    }

    /// Reads an object whole. For what is known to be small.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unsealable`], [`StoreError::Objects`].
    pub async fn get_all(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        let bytes = self.store.get(&key.path()).await.map_err(not_found)?.bytes().await?;
        let Some(head) = Head::read(&bytes)? else { return Ok(bytes) };
        let cipher = self.cipher(&head, bytes.len() as u64).await?;
        computed(move || cipher.open(bytes)).await?
    }

    /// How many bytes an object has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Objects`].
    pub async fn size_bytes(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        let (lying_bytes, head) = self.head(key).await?;
        Ok(head.map_or(lying_bytes, |head| head.size_bytes()))
    }

    /// Deletes everything under a prefix; says how many objects that were. Nothing there is fine.
    ///
    /// # Errors
    /// [`StoreError::Objects`]; what is deleted by then stays deleted.
    pub async fn delete_under(&self, prefix: &str) -> Result<usize, StoreError> {
        let path = Path::from(prefix);
        let found: Vec<_> = self.store.list(Some(&path)).map_ok(|meta| meta.location).try_collect().await?;
        for location in &found {
            match self.store.delete(location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found.len())
    }

    /// The names of all objects under a prefix, sorted. Keys are none.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectKey>, StoreError> {
        let path = Path::from(prefix);
        let mut keys: Vec<_> =
            self.store.list(Some(&path)).map_ok(|meta| ObjectKey(meta.location.to_string())).try_collect().await?;
        keys.retain(|key| !key.is_of_keyring());
        keys.sort();
        Ok(keys)
    }
}

/// Whose the files of an archive are: they are there since someone asked for it.
fn of_account(export: &Export) -> Holder {
    Holder { identity: export.identity, owner: Owner::Account, since: export.asked_at }
}

/// Writes an object as its bytes come. It is there whole or not at all.
async fn write_whole(store: &dyn ObjectStore, path: &Path, mut pieces: Pieces) -> Result<(), StoreError> {
    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(path).await?, PART_BYTES);
    let written = async {
        while let Some(piece) = pieces.try_next().await? {
            upload.wait_for_capacity(PARTS_AT_A_TIME).await?;
            upload.put(piece);
        }
        Ok::<_, StoreError>(())
    };
    match written.await {
        Ok(()) => upload.finish().await.map(|_| ()).map_err(StoreError::from),
        Err(error) => {
            // What cannot be taken back either is for the store to clean up; the first error says more.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

fn not_found(error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::NotFound { .. } => StoreError::NotFound("object"),
        error => error.into(),
    }
}

/// The bytes that are wanted of an object of this size: all if it is not said.
fn wanted(range: Option<ByteRange>, size_bytes: u64) -> Result<Range<u64>, StoreError> {
    range.map_or(Ok(0..size_bytes), |range| range.within(size_bytes))
}

/// Runs what computes beside what waits.
async fn computed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|source| StoreError::Objects(object_store::Error::JoinError { source }))
}

/// SHA-256 in lowercase hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

impl ByteRange {
    /// The bytes of an object of this size.
    ///
    /// # Errors
    /// [`StoreError::Range`] if there are none.
    pub fn within(&self, size_bytes: u64) -> Result<Range<u64>, StoreError> {
        let range = match *self {
            Self::Bounded(Range { start, end }) => start..end.min(size_bytes),
            Self::From(start) => start..size_bytes,
            Self::Last(count) => size_bytes.saturating_sub(count)..size_bytes,
        };
        if range.start < range.end { Ok(range) } else { Err(StoreError::Range { size_bytes }) }
    }
}

impl ObjectKey {
    /// All objects of one attempt at a video.
    pub(crate) fn render_prefix(id: VideoId, attempt: u32) -> String {
        format!("renders/{id}/{attempt}")
    }

    /// All objects of a video.
    pub(crate) fn renders_prefix(id: VideoId) -> String {
        format!("renders/{id}")
    }

    /// Where uploads of one owner lie.
    pub(crate) fn uploads_prefix(owner: &(dyn std::fmt::Display + Sync)) -> String {
        format!("uploads/{owner}")
    }

    /// All objects of a post.
    pub(crate) fn post_prefix(id: PostId) -> String {
        format!("posts/{id}")
    }

    /// All objects of an archive.
    pub(crate) fn export_prefix(id: ExportId) -> String {
        format!("exports/{id}")
    }

    /// All objects of an archive that someone brings.
    pub(crate) fn import_prefix(id: ImportId) -> String {
        format!("imports/{id}")
    }

    /// A name from a row.
    pub(crate) fn from_row(key: String) -> Self {
        Self(key)
    }

    /// Whether it is that of a key, of which nothing here knows but the keyring.
    pub(crate) fn is_of_keyring(&self) -> bool {
        self.0.split('/').next() == Some(FOLDER)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that it lies in.
    pub(crate) fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    fn path(&self) -> Path {
        Path::from(self.0.as_str())
    }
}

impl StoredVideo {
    /// Its name.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Its size.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// SHA-256 of it, hexadecimal: its `ETag` without quotes.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl S3Place {
    /// Writes a stream as an object of this bucket, for what a person keeps elsewhere. What does not come to its end is not there. A
    /// client, if one is given, decides which addresses are spoken to.
    ///
    /// # Errors
    /// [`StoreError::Objects`], or that of the stream.
    pub async fn write(
        &self,
        name: &str,
        bytes: BoxStream<'static, Result<Bytes, StoreError>>,
        through: Option<reqwest::Client>,
    ) -> Result<(), StoreError> {
        write_whole(&self.open(through)?, &Path::from(name), bytes).await
    }

    /// Whether the bucket has an object of this name.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn has(&self, name: &str, through: Option<reqwest::Client>) -> Result<bool, StoreError> {
        match self.open(through)?.head(&Path::from(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self, through: Option<reqwest::Client>) -> Result<object_store::aws::AmazonS3, StoreError> {
        // `object_store` leaves the choice of TLS to the process. A choice that was made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key_id)
            .with_secret_access_key(&self.secret_access_key)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(client) = through {
            builder = builder.with_http_connector(Through(client));
        }
        builder.build().map_err(|error| StoreError::ObjectsPlace(error.to_string()))
    }
}

/// A client of the caller's in place of the library's own.
#[derive(Debug)]
struct Through(reqwest::Client);

impl HttpConnector for Through {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl std::fmt::Debug for S3Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Place({} in {}, {:?})", self.bucket, self.region, self.endpoint)
    }
}

impl std::fmt::Debug for ObjectBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectBytes({:?} of {})", self.range, self.size_bytes)
    }
}
