//! Media and files as objects: in a folder, in an S3-compatible store or in memory. An object is written once and
//! never changed; its name holds the SHA-256 of its content.

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
use platform::{ExportId, ImportId, PostId, VideoId};
use provenance::SignedVideo;
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::generation::PublishedVideo;
use crate::social::PostMedia;

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

impl Objects {
    /// Opens a place for objects.
    ///
    /// # Errors
    /// [`StoreError::ObjectsPlace`] if the folder cannot be made or the bucket's address is none.
    pub fn open(place: &ObjectsPlace) -> Result<Self, StoreError> {
        Ok(match place {
            ObjectsPlace::Memory => Self { store: Arc::new(InMemory::new()) },
            ObjectsPlace::Folder(folder) => {
                let refuse = |error: &dyn std::fmt::Display| {
                    StoreError::ObjectsPlace(format!("folder {}: {error}", folder.display()))
                };
                std::fs::create_dir_all(folder).map_err(|error| refuse(&error))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| refuse(&error))?;
                Self { store: Arc::new(store.with_automatic_cleanup(true)) }
            }
            ObjectsPlace::S3(place) => Self { store: Arc::new(place.open(None)?) },
        })
    }

    /// Keeps a signed video of one attempt.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_video(&self, id: VideoId, attempt: u32, video: SignedVideo) -> Result<StoredVideo, StoreError> {
        self.put_signed(&ObjectKey::render_prefix(id, attempt), video).await
    }

    async fn put_signed(&self, prefix: &str, video: SignedVideo) -> Result<StoredVideo, StoreError> {
        let bytes = Bytes::from(video.into_bytes());
        let sha256 = sha256_hex(&bytes);
        let size_bytes = bytes.len() as u64;
        let key = self.put(prefix, "mp4", bytes).await?;
        Ok(StoredVideo { key, size_bytes, sha256 })
    }

    /// Keeps a picture derived from a video of one attempt, such as its thumbnail. `extension` is without dot.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_derived(
        &self,
        id: VideoId,
        attempt: u32,
        extension: &'static str,
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        self.put(&ObjectKey::render_prefix(id, attempt), extension, bytes).await
    }

    /// Keeps what someone uploaded, under a folder of its own such as `files/file-…`.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_upload(
        &self,
        owner: &(dyn std::fmt::Display + Sync),
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        self.put(&format!("uploads/{owner}"), "bin", bytes).await
    }

    /// Copies the media of a published video for a post, so that the post outlives the video and the video the post. A signed video
    /// stays signed: its bytes are the same.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the media have gone.
    pub async fn copy_for_post(&self, post: PostId, video: &PublishedVideo) -> Result<PostMedia, StoreError> {
        Ok(PostMedia {
            video: self.copy_under(&video.key, post).await?,
            size_bytes: video.size_bytes,
            sha256: video.sha256.clone(),
            thumbnail: self.copy_if_there(video.thumbnail.as_ref(), post).await?,
            spritesheet: self.copy_if_there(video.spritesheet.as_ref(), post).await?,
        })
    }

    /// Keeps a file that an archive is made of.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_archive_part(&self, export: ExportId, bytes: Bytes) -> Result<ObjectKey, StoreError> {
        self.put(&ObjectKey::export_prefix(export), "bin", bytes).await
    }

    /// Copies an object for an archive, so that the archive is whole for as long as it can be fetched.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the object has gone.
    pub async fn copy_for_archive(&self, export: ExportId, key: &ObjectKey) -> Result<ObjectKey, StoreError> {
        self.copy_to(key, ObjectKey::export_prefix(export)).await
    }

    /// Keeps a piece of an archive that someone brings.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_import_part(&self, import: ImportId, number: u32, bytes: Bytes) -> Result<ObjectKey, StoreError> {
        self.put(&format!("{}/{number:06}", ObjectKey::import_prefix(import)), "bin", bytes).await
    }

    /// Keeps a signed video that a post brought along from an archive.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_post_video(&self, post: PostId, video: SignedVideo) -> Result<StoredVideo, StoreError> {
        self.put_signed(&ObjectKey::post_prefix(post), video).await
    }

    /// Keeps a picture of a post that an archive brought along. `extension` is without dot.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put_post_picture(
        &self,
        post: PostId,
        extension: &'static str,
        bytes: Bytes,
    ) -> Result<ObjectKey, StoreError> {
        self.put(&ObjectKey::post_prefix(post), extension, bytes).await
    }

    async fn copy_if_there(&self, key: Option<&ObjectKey>, post: PostId) -> Result<Option<ObjectKey>, StoreError> {
        match key {
            Some(key) => self.copy_under(key, post).await.map(Some),
            None => Ok(None),
        }
    }

    async fn copy_under(&self, key: &ObjectKey, post: PostId) -> Result<ObjectKey, StoreError> {
        self.copy_to(key, ObjectKey::post_prefix(post)).await
    }

    async fn copy_to(&self, key: &ObjectKey, prefix: String) -> Result<ObjectKey, StoreError> {
        let name = key.0.rsplit('/').next().unwrap_or_default();
        let copy = ObjectKey(format!("{prefix}/{name}"));
        self.store.copy(&key.path(), &copy.path()).await.map_err(not_found)?;
        Ok(copy)
    }

    async fn put(&self, prefix: &str, extension: &str, bytes: Bytes) -> Result<ObjectKey, StoreError> {
        let key = ObjectKey(format!("{prefix}/{}.{extension}", sha256_hex(&bytes)));
        let written = self.store.put_opts(&key.path(), PutPayload::from(bytes), PutMode::Create.into()).await;
        match written {
            // The same content is there: the name says so.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(key),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts an object back under the name that it had.
    pub(crate) async fn put_back(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put_opts(&key.path(), PutPayload::from(bytes), PutMode::Create.into()).await?;
        Ok(())
    }

    /// Reads an object, or some of its bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Range`] if the range begins past the end or is empty.
    pub async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<ObjectBytes, StoreError> {
        let mut options = GetOptions::default();
        if let Some(range) = range {
            let size_bytes = self.size_bytes(key).await?;
            options.range = Some(GetRange::Bounded(range.within(size_bytes)?));
        }
        let result = self.store.get_opts(&key.path(), options).await.map_err(not_found)?;
        let (size_bytes, range) = (result.meta.size, result.range.clone());
        Ok(ObjectBytes { size_bytes, range, stream: result.into_stream().map_err(StoreError::from).boxed() })
    }

    /// Reads an object whole. For what is known to be small.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Objects`].
    pub async fn get_all(&self, key: &ObjectKey) -> Result<Bytes, StoreError> {
        Ok(self.store.get(&key.path()).await.map_err(not_found)?.bytes().await?)
    }

    /// How many bytes an object has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Objects`].
    pub async fn size_bytes(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        Ok(self.store.head(&key.path()).await.map_err(not_found)?.size)
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

    /// The names of all objects under a prefix, sorted.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectKey>, StoreError> {
        let path = Path::from(prefix);
        let mut keys: Vec<_> =
            self.store.list(Some(&path)).map_ok(|meta| ObjectKey(meta.location.to_string())).try_collect().await?;
        keys.sort();
        Ok(keys)
    }
}

fn not_found(error: object_store::Error) -> StoreError {
    match error {
        object_store::Error::NotFound { .. } => StoreError::NotFound("object"),
        error => error.into(),
    }
}

/// SHA-256 in lowercase hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

/// A large object goes up in parts of this size; S3 takes ten thousand of them.
const PART_BYTES: usize = 16_000_000;

impl S3Place {
    /// Writes a stream as an object of this bucket, for what a person keeps elsewhere. What does not come to its end is not there. A
    /// client, if one is given, decides which addresses are spoken to.
    ///
    /// # Errors
    /// [`StoreError::Objects`], or that of the stream.
    pub async fn write(
        &self,
        name: &str,
        mut bytes: BoxStream<'static, Result<Bytes, StoreError>>,
        through: Option<reqwest::Client>,
    ) -> Result<(), StoreError> {
        let upload = self.open(through)?.put_multipart(&Path::from(name)).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        loop {
            let piece = match bytes.try_next().await {
                Ok(None) => {
                    upload.finish().await?;
                    return Ok(());
                }
                Ok(Some(piece)) => upload.wait_for_capacity(1).await.map(|()| piece).map_err(StoreError::from),
                Err(error) => Err(error),
            };
            match piece {
                Ok(piece) => upload.put(piece),
                Err(error) => {
                    upload.abort().await?;
                    return Err(error);
                }
            }
        }
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
