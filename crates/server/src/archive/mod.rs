//! Leaving and arriving: archives of all that a person has, made in the background, fetched in ranges, brought back here or elsewhere.
//!
//! An archive is a ZIP that lies nowhere as one file: its parts are objects, its bytes follow from their names and sizes (`zip.rs`). The
//! loop reads rows, copies media, and reads the whole once; each step is written down, so that whoever takes it up after a crash goes on.

mod export;
mod foreign;
mod import;
mod manifest;
mod media;
mod outbox;
mod rows;
mod runner;
mod standing;
mod webdav;
mod zip;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use platform::Timestamp;
use provenance::SigningKey;
use store::{ByteRange, Export, ObjectBytes, ObjectKey, Objects, Store, StoreError};

use crate::app::{Entropy, Outbound};
use crate::archive::zip::{FileToWrite, Layout, Piece};
use crate::clock::Clock;
use crate::policy::{Judge, ModerationPlace};

pub use import::{ClassReport, ImportError, ImportReport, LeftOutReport};
pub use runner::{run, work};
pub use standing::{BucketSecret, FOLDER, S3, WEBDAV, send_due};
pub use webdav::{WebDavLogin, WebDavSecret, webdav_folder};

/// Whose classes of data an archive may have: the account itself, and each service that keeps something.
pub const OWNERS: [&str; 5] = ["account", "video", "social", "likeness", "api"];

/// Makes archives and brings them back, over the rows and objects of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Archivist {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    /// The address of the installation.
    pub(crate) instance: String,
    /// The tier of projects that come back.
    pub(crate) tier: String,
    /// Whether clips carry the visible mark, which is then part of their pictures.
    pub(crate) visible_mark: bool,
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) judge: Judge,
}

/// What an [`Archivist`] needs to know of an installation, beside its rows and objects.
pub struct ArchivistParts {
    /// The address of the installation.
    pub instance: String,
    /// The tier of projects that come back.
    pub tier: String,
    /// Whether clips carry the visible mark.
    pub visible_mark: bool,
    /// Signs what was made elsewhere.
    pub key: SigningKey,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives chance.
    pub entropy: Arc<dyn Entropy>,
    /// Speaks to the outside.
    pub outbound: Arc<dyn Outbound>,
    /// The moderation service that is asked of what comes in.
    pub moderation: Option<ModerationPlace>,
}

impl Archivist {
    /// An archivist of these rows and objects.
    pub fn new(store: Store, objects: Objects, parts: ArchivistParts) -> Self {
        let ArchivistParts { instance, tier, visible_mark, key, clock, entropy, outbound, moderation } = parts;
        let judge = Judge::new(store.clone(), moderation);
        Self { store, objects, instance, tier, visible_mark, key, clock, entropy, outbound, judge }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// The ZIP of an archive that is ready, or about to be.
    async fn layout(&self, export: &Export) -> Result<Layout<ObjectKey>, StoreError> {
        let mut parts = self.store.export_parts(export.id).await?;
        // What describes the rest comes first.
        parts.sort_by_key(|part| part.path != manifest::PATH);
        let files = parts.into_iter().filter_map(|part| {
            let (size_bytes, crc32, _) = part.measured?;
            Some(FileToWrite { path: part.path, size_bytes, crc32, content: part.key })
        });
        Ok(Layout::new(files, export.asked_at))
    }

    /// The bytes of an archive that is ready, or some of them.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the range is not in it.
    pub async fn open_export(&self, export: &Export, range: Option<ByteRange>) -> Result<ObjectBytes, StoreError> {
        let layout = self.layout(export).await?;
        let size_bytes = layout.size_bytes;
        let range = match range {
            Some(range) => range.within(size_bytes)?,
            None => 0..size_bytes,
        };
        Ok(ObjectBytes { size_bytes, stream: self.stream(&layout, &range), range })
    }

    /// The bytes of a range, one piece after the other: no more of them lies in memory than is on its way.
    fn stream(
        &self,
        layout: &Layout<ObjectKey>,
        range: &std::ops::Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, StoreError>> {
        let objects = self.objects.clone();
        let pieces = futures_util::stream::iter(layout.within(range));
        let bytes = pieces.then(move |(piece, part)| {
            let objects = objects.clone();
            async move {
                Ok::<_, StoreError>(match piece {
                    Piece::Header(header) => {
                        // A header is a few hundred bytes, a directory some megabytes.
                        let part = header.slice(part.start as usize..part.end as usize);
                        futures_util::stream::iter([Ok(part)]).boxed()
                    }
                    Piece::File(key, _) => objects.get(&key, Some(ByteRange::Bounded(part))).await?.stream,
                })
            }
        });
        bytes.try_flatten().boxed()
    }

    /// Writes an archive that is ready into a file.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Backup`] if the file cannot be written.
    pub async fn write_export(&self, export: &Export, file: &Path) -> Result<(), StoreError> {
        use tokio::io::AsyncWriteExt;
        let failed = |source| StoreError::Backup { step: "writing the archive", source };
        let mut file = tokio::fs::File::create(file).await.map_err(failed)?;
        let mut bytes = self.open_export(export, None).await?.stream;
        while let Some(piece) = bytes.try_next().await? {
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.sync_all().await.map_err(failed)
    }
}

/// A day such as `2026-11-26`, or a moment (RFC 3339).
pub fn read_day(text: &str) -> Option<Timestamp> {
    rows::read_moment(text).or_else(|| rows::read_moment(&format!("{text}T00:00:00Z")))
}

impl std::fmt::Debug for Archivist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archivist({})", self.instance)
    }
}
