//! An archive is made: rows become lines, media are copied and measured, a manifest says what there is, and the whole is read once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use platform::{ExportId, IdentityId, Timestamp, VideoId, hex};
use sha2::{Digest, Sha256};
use store::{ARCHIVE_CLASSES, ArchiveRow, ArchiveTable, Export, ExportPart, ExportState, NewExport, StoreError};

use crate::archive::manifest::{
    ArchivedClass, ArchivedFile, ArchivedPerson, FORMAT, Manifest, PATH, VERSION, media_path, rows_path,
};
use crate::archive::outbox::{OUTBOX, Outbox};
use crate::archive::rows::{line, moment};
use crate::archive::{Archivist, OWNERS};

/// How long an archive is held by whoever makes it, without a sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(120);
/// How long an archive can be fetched.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long one may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// Rows read at once.
const PAGE: u32 = 200;
/// A file of rows is closed when it is this long.
const ROWS_BYTES: usize = 8_000_000;
/// How much is read between two signs of life.
const SIGN_OF_LIFE_BYTES: u64 = 64_000_000;

impl Archivist {
    /// Asks for an archive of someone's: of the classes of these owners, with the media from a moment on.
    ///
    /// # Errors
    /// [`StoreError::State`] while another is being made.
    pub async fn ask_for_export(
        &self,
        identity: IdentityId,
        owners: &[&str],
        since: Option<Timestamp>,
    ) -> Result<ExportId, StoreError> {
        let now = self.now();
        let id = ExportId::new(now, self.random());
        let services = OWNERS.into_iter().filter(|owner| owners.contains(owner)).map(str::to_owned).collect();
        let export = NewExport { id, identity, services, since, destination: None, expires_at: now + PATIENCE };
        self.store.create_export(&export, now).await?;
        Ok(id)
    }

    /// Makes an archive of someone's and writes it into a file; nothing of it stays among the objects. A server that runs beside may
    /// do the work.
    ///
    /// # Errors
    /// [`StoreError::State`] while another is being made, or if this one could not be.
    pub async fn export_into(
        &self,
        identity: IdentityId,
        owners: &[&str],
        since: Option<Timestamp>,
        file: &std::path::Path,
    ) -> Result<Export, StoreError> {
        let id = self.ask_for_export(identity, owners, since).await?;
        let ready = loop {
            let export = self.store.export(identity, id).await?;
            match export.state {
                ExportState::Ready => break export,
                ExportState::Failed => {
                    return Err(StoreError::State { what: "export", state: "one that could not be made".into() });
                }
                _ => {}
            }
            match self.store.claim_export(LEASE, self.now()).await? {
                Some(claimed) => {
                    // The oldest comes first. What is wrong with another's is not for whoever waits for this one.
                    let made = self.make_export(&claimed).await;
                    if claimed.id == id {
                        made?;
                    }
                }
                None => self.clock.sleep(Duration::from_secs(1)).await,
            }
        };
        self.write_export(&ready, file).await?;
        self.store.delete_export(identity, id, self.now()).await?;
        Ok(ready)
    }

    /// Makes an archive that was claimed, from where it stands to its end.
    ///
    /// # Errors
    /// [`StoreError`]; what is done stays done. [`StoreError::State`] if another has taken it over.
    pub async fn make_export(&self, export: &Export) -> Result<(), StoreError> {
        if matches!(export.state, ExportState::Waiting | ExportState::Reading) {
            self.read_rows(export).await?;
        }
        if export.state != ExportState::Sealing {
            self.copy_media(export).await?;
        }
        self.seal(export).await
    }

    fn lease(&self) -> Timestamp {
        self.now() + LEASE
    }

    /// Writes rows as lines, and notes which media they name.
    async fn read_rows(&self, export: &Export) -> Result<(), StoreError> {
        self.store.begin_reading(export, self.lease()).await?;
        let known: HashSet<String> = match export.destination {
            Some(destination) => self.store.destination_files(destination).await?.into_iter().collect(),
            None => HashSet::new(),
        };
        let mut outbox = Outbox::new(&self.instance);
        for class in ARCHIVE_CLASSES.iter().filter(|class| class.excluded.is_empty()) {
            if !export.services.iter().any(|owner| owner == class.owner) {
                continue;
            }
            let (mut text, mut lines, mut number) = (String::new(), 0, 1);
            for table in class.tables {
                let mut after: Option<ArchiveRow> = None;
                loop {
                    let rows = self.store.archive_rows(export.identity, table, after.as_ref(), PAGE).await?;
                    self.note_media(export, &rows, &known).await?;
                    for row in &rows {
                        outbox.take(row, self.may_leave(export, row).await?);
                        text.push_str(&line(row));
                        text.push('\n');
                        lines += 1;
                        if text.len() >= ROWS_BYTES {
                            self.keep_rows(export, class.name, number, &mut text, &mut lines).await?;
                            number += 1;
                        }
                    }
                    let is_last = rows.len() < PAGE as usize;
                    after = rows.into_iter().next_back();
                    if is_last {
                        break;
                    }
                }
            }
            if number == 1 || lines > 0 {
                self.keep_rows(export, class.name, number, &mut text, &mut lines).await?;
            }
        }
        if export.services.iter().any(|owner| owner == "social") {
            self.keep(export, OUTBOX.into(), outbox.json(), None).await?;
        }
        self.store.set_export_state(export, ExportState::Copying, self.lease()).await
    }

    async fn keep_rows(
        &self,
        export: &Export,
        class: &str,
        number: u32,
        text: &mut String,
        lines: &mut u64,
    ) -> Result<(), StoreError> {
        let (path, items) = (rows_path(class, number), Some(std::mem::take(lines)));
        self.keep(export, path, std::mem::take(text), items).await
    }

    /// Keeps a file that was written here.
    async fn keep(&self, export: &Export, path: String, text: String, items: Option<u64>) -> Result<(), StoreError> {
        let bytes = Bytes::from(text);
        let measured = Some((bytes.len() as u64, crc32fast::hash(&bytes), hex(&Sha256::digest(&bytes))));
        let key = self.objects.put_archive_part(export, bytes).await?;
        self.store.add_export_parts(export, &[ExportPart { path, key, items, measured }], self.lease()).await
    }

    async fn note_media(
        &self,
        export: &Export,
        rows: &[ArchiveRow],
        known: &HashSet<String>,
    ) -> Result<(), StoreError> {
        let mut parts = Vec::new();
        for row in rows {
            let is_new = export.since.is_none_or(|since| row.made_at().is_none_or(|at| at >= since));
            let is_new = is_new && self.may_leave(export, row).await?;
            for key in row.objects().filter(|_| is_new) {
                let path = media_path(key.as_str());
                if !known.contains(&path) {
                    parts.push(ExportPart { path, key, items: None, measured: None });
                }
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.store.add_export_parts(export, &parts, self.lease()).await
    }

    /// Whether everyone who appears in a clip lets its maker have it: of others the row is told and the film is left out.
    async fn may_leave(&self, export: &Export, row: &ArchiveRow) -> Result<bool, StoreError> {
        let video = match row.table.object {
            "video" => row.id(),
            "post" => row.value("video").id(),
            _ => None,
        };
        let Some(video) = video.map(VideoId::from_bytes) else { return Ok(true) };
        Ok(self.store.likenesses_stand(video, export.identity, self.now()).await?.is_ok())
    }

    /// Copies media and measures them, one after the other.
    async fn copy_media(&self, export: &Export) -> Result<(), StoreError> {
        loop {
            let pending = self.store.pending_export_parts(export.id, 100).await?;
            if pending.is_empty() {
                return self.store.set_export_state(export, ExportState::Sealing, self.lease()).await;
            }
            for part in pending {
                let part = match self.objects.copy_for_archive(export, &part.key).await {
                    Ok(key) => {
                        let measured = Some(self.measure(export, &key).await?);
                        ExportPart { key, measured, ..part }
                    }
                    // Its owner deleted it meanwhile. The row that names it says so: the manifest does not list it.
                    Err(StoreError::NotFound(_)) => part,
                    Err(error) => return Err(error),
                };
                let done = self.store.export_part_done(export, &part, self.lease()).await;
                if done.is_err() && self.store.exports(export.identity).await?.iter().all(|known| known.id != export.id)
                {
                    // It was deleted while this was copied: nothing else knows of the copy.
                    self.objects.delete_archive(export.id).await?;
                }
                done?;
            }
        }
    }

    async fn measure(&self, export: &Export, key: &store::ObjectKey) -> Result<(u64, u32, String), StoreError> {
        let mut bytes = self.objects.get(key, None).await?.stream;
        let (mut size, mut unsigned, mut crc32, mut sha256) = (0, 0, crc32fast::Hasher::new(), Sha256::new());
        while let Some(piece) = bytes.try_next().await? {
            size += piece.len() as u64;
            unsigned += piece.len() as u64;
            crc32.update(&piece);
            sha256.update(&piece);
            if unsigned >= SIGN_OF_LIFE_BYTES {
                unsigned = 0;
                self.store.hold_export(export, self.lease()).await?;
            }
        }
        Ok((size, crc32.finalize(), hex(&sha256.finalize())))
    }

    /// Writes the manifest, and reads the archive as whoever fetches it will.
    async fn seal(&self, export: &Export) -> Result<(), StoreError> {
        let parts = self.store.export_parts(export.id).await?;
        if !parts.iter().any(|part| part.path == PATH) {
            let manifest = self.manifest(export, &parts).await?;
            let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
            self.keep(export, PATH.into(), text, None).await?;
        }
        let layout = self.layout(export).await?;
        let (mut bytes, mut sha256) = (self.stream(&layout, &(0..layout.size_bytes)), Sha256::new());
        let (mut size, mut unsigned) = (0, 0);
        while let Some(piece) = bytes.try_next().await? {
            sha256.update(&piece);
            size += piece.len() as u64;
            unsigned += piece.len() as u64;
            if unsigned >= SIGN_OF_LIFE_BYTES {
                unsigned = 0;
                self.store.hold_export(export, self.lease()).await?;
            }
        }
        let now = self.now();
        self.store.finish_export(export, size, &hex(&sha256.finalize()), now + KEPT, now).await
    }

    async fn manifest(&self, export: &Export, parts: &[ExportPart]) -> Result<Manifest, StoreError> {
        let identity = self.store.identity(export.identity).await?;
        let mut rows: BTreeMap<&str, (Vec<String>, u64)> = BTreeMap::new();
        for part in parts {
            if let (Some(items), Some(class)) = (part.items, class_of(&part.path)) {
                let entry = rows.entry(class).or_default();
                entry.0.push(part.path.clone());
                entry.1 += items;
            }
        }
        let classes = ARCHIVE_CLASSES.iter().map(|class| {
            let found = rows.remove(class.name);
            let excluded = match (&found, class.excluded) {
                (Some(_), _) => None,
                (None, "") => Some("its service was not asked for".to_owned()),
                (None, ground) => Some(ground.to_owned()),
            };
            let (mut files, count) = found.map_or((Vec::new(), None), |(files, count)| (files, Some(count)));
            // The first has no number, the tenth one digit more than the ninth.
            files.sort_by_key(|path| path.len());
            ArchivedClass { name: class.name.into(), owner: class.owner.into(), files, count, excluded }
        });
        let classes = classes.collect();
        let files = parts.iter().filter_map(|part| {
            let (bytes, _, sha256) = part.measured.clone()?;
            Some(ArchivedFile { path: part.path.clone(), bytes, sha256 })
        });
        let masters = match self.visible_mark {
            true => {
                "The videos are the masters as they are stored. This installation draws its visible mark into the pictures when it renders \
                 them, so there are no masters without it."
            }
            false => "The videos are the masters as they are stored, without a visible mark.",
        };
        Ok(Manifest {
            format: FORMAT.into(),
            version: VERSION,
            instance: self.instance.clone(),
            person: ArchivedPerson { id: export.identity.to_string(), email: identity.email },
            services: export.services.clone(),
            created_at: moment(export.asked_at),
            since: export.since.map(moment),
            masters: masters.into(),
            classes,
            files: files.collect(),
        })
    }

    /// The lines that an archive would have of a table: for comparing what came back with what was.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn lines(&self, identity: IdentityId, table: &'static ArchiveTable) -> Result<Vec<String>, StoreError> {
        let (mut lines, mut after) = (Vec::new(), None);
        loop {
            let rows = self.store.archive_rows(identity, table, after.as_ref(), PAGE).await?;
            lines.extend(rows.iter().map(line));
            after = rows.into_iter().next_back();
            if after.is_none() {
                return Ok(lines);
            }
        }
    }
}

/// The class whose rows a path holds.
pub(crate) fn class_of(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix("data/")?.strip_suffix(".jsonl")?;
    let name = match name.rsplit_once('-') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    ARCHIVE_CLASSES.iter().map(|class| class.name).find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_which_class_it_is_of() {
        assert_eq!(class_of("data/clips.jsonl"), Some("clips"));
        assert_eq!(class_of(&rows_path("clips", 12)), Some("clips"));
        assert_eq!(class_of("data/../clips.jsonl"), None);
        assert_eq!(class_of("media/clips.jsonl"), None);
    }
}
