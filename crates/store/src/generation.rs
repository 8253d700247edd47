//! Generations as they are remembered: reading, listing, cancelling, deleting.

use platform::{
    CharacterId, ClipSource, Credits, Cut, ExtensionDirection, FileId, FolderId, GenerationError, GenerationErrorCode,
    GenerationKind, GenerationState, IdentityId, ModelName, Progress, ProjectId, Seconds, Service, Size, Timestamp,
    VideoId,
};

use crate::calls::{WorkerCall, call_workers};
use crate::database::{Row, Tx, Value, args};
use crate::error::{StoreError, corrupt};
use crate::keyring::Subject;
use crate::objects::ObjectKey;
use crate::queue::{Ending, end_unpublished};
use crate::store::{Page, Store, delete_objects};

/// A generation as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Its id, and its video's.
    pub id: VideoId,
    /// Who pays.
    pub project: ProjectId,
    /// Who asked.
    pub identity: IdentityId,
    /// What kind of work.
    pub kind: GenerationKind,
    /// The prompt as written.
    pub prompt: String,
    /// What it should not look like; may be empty.
    pub negative_prompt: String,
    /// The model as asked for.
    pub model_requested: ModelName,
    /// The model that makes it.
    pub model: ModelName,
    /// Sides.
    pub size: Size,
    /// Length of what is made anew.
    pub seconds: Seconds,
    /// Length of the finished clip.
    pub total_seconds: Seconds,
    /// Seed, at most 2⁶³−1.
    pub seed: u64,
    /// Evaluations of the network, if said.
    pub num_inference_steps: Option<u32>,
    /// Guidance, if said.
    pub guidance_scale: Option<f32>,
    /// Beginnings of which the best is finished, if said.
    pub candidates: Option<u32>,
    /// What is held, or was charged.
    pub price: Credits,
    /// Where it stands.
    pub state: GenerationState,
    /// How far it is.
    pub progress: Progress,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When a worker first took it.
    pub started_at: Option<Timestamp>,
    /// When it ended, in whatever way.
    pub ended_at: Option<Timestamp>,
    /// When its media go.
    pub expires_at: Option<Timestamp>,
    /// Why there is no video.
    pub error: Option<GenerationError>,
    /// The video, once it is completed.
    pub video: Option<PublishedVideo>,
    /// Whether its maker likes it most.
    pub favourite: bool,
    /// The folder that it lies in.
    pub folder: Option<FolderId>,
    /// When it was put into the trash, if it lies there.
    pub trashed_at: Option<Timestamp>,
}

/// The media of a completed generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedVideo {
    /// The MP4.
    pub key: ObjectKey,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256, hexadecimal; its `ETag` without quotes.
    pub sha256: String,
    /// WebP.
    pub thumbnail: Option<ObjectKey>,
    /// JPEG.
    pub spritesheet: Option<ObjectKey>,
    /// The recipe as JSON.
    pub recipe: String,
}

/// A part of a list of generations.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationPage {
    /// The generations.
    pub generations: Vec<Generation>,
    /// Whether there are more.
    pub has_more: bool,
}

/// What came of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// It had not begun, and has ended now.
    Cancelled,
    /// Its worker is told at the next heartbeat.
    Requested,
    /// It had ended before.
    AlreadyEnded,
}

pub(crate) const COLUMNS: &str = "g.*, j.progress AS job_progress";
pub(crate) const TABLES: &str = "generations g LEFT JOIN jobs j ON j.id = g.id";

impl Store {
    /// A generation of a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another project's or lies in the trash.
    pub async fn generation(&self, project: ProjectId, id: VideoId) -> Result<Generation, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE g.id = $1 AND g.project = $2 AND g.trashed_at IS NULL");
        let row = self.database.first(sql, args![id, project]).await?;
        Generation::from_row(&row.ok_or(StoreError::NotFound("video"))?)
    }

    /// A generation whosever it is, in the trash too: for signed links, workers and operators.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn any_generation(&self, id: VideoId) -> Result<Generation, StoreError> {
        let row = self.database.first(format!("SELECT {COLUMNS} FROM {TABLES} WHERE g.id = $1"), args![id]).await?;
        Generation::from_row(&row.ok_or(StoreError::NotFound("video"))?)
    }

    /// A project's videos by time of creation; pictures are not among them, nor what lies in the trash.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the page begins behind something that is not there.
    pub async fn generations(&self, project: ProjectId, page: Page<VideoId>) -> Result<GenerationPage, StoreError> {
        let (comparison, direction) = page.order.sql();
        let limit = page.limit.saturating_add(1);
        let mut args: Vec<Value> = vec![project.into(), limit.into()];
        let mut behind = String::new();
        if let Some(after) = page.after {
            let sql = "SELECT created_at FROM generations WHERE id = $1 AND project = $2 AND trashed_at IS NULL";
            let row = self.database.first(sql, args![after, project]).await?.ok_or(StoreError::NotFound("video"))?;
            args.extend([row.int("created_at")?.into(), after.into()]);
            behind = format!("AND (g.created_at, g.id) {comparison} ($3, $4)");
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE g.project = $1 AND g.kind <> 'image' AND g.trashed_at IS NULL {behind}
             ORDER BY g.created_at {direction}, g.id {direction} LIMIT $2"
        );
        let mut generations =
            self.database.all(sql, &args).await?.iter().map(Generation::from_row).collect::<Result<Vec<_>, _>>()?;
        let has_more = generations.len() > page.limit as usize;
        generations.truncate(page.limit as usize);
        Ok(GenerationPage { generations, has_more })
    }

    /// Asks that a generation end without a video. What has ended stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn cancel(&self, project: ProjectId, id: VideoId, now: Timestamp) -> Result<Cancellation, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT state FROM jobs WHERE id = $1 AND project = $2{}", tx.for_update());
        let Some(job) = tx.first(sql, args![id, project]).await? else {
            let known =
                tx.first("SELECT id FROM generations WHERE id = $1 AND project = $2", args![id, project]).await?;
            return known.map(|_| Cancellation::AlreadyEnded).ok_or(StoreError::NotFound("video"));
        };
        let cancellation = if job.text("state")? == "queued" {
            end_unpublished(&mut tx, id, &Ending::cancelled(), now).await?;
            Cancellation::Cancelled
        } else {
            tx.execute("UPDATE jobs SET cancel_requested = 1 WHERE id = $1", args![id]).await?;
            call_workers(&mut tx, WorkerCall::Cancel).await?;
            Cancellation::Requested
        };
        tx.commit().await?;
        Ok(cancellation)
    }

    /// Deletes a generation, its job and, soon after, its objects. One that runs is cancelled and not charged; its
    /// worker finds its lease lost.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_generation(&self, project: ProjectId, id: VideoId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        // The job's row is taken before the generation's, as everywhere.
        let sql = format!("SELECT id FROM jobs WHERE id = $1 AND project = $2{}", tx.for_update());
        let job = tx.first(sql, args![id, project]).await?;
        let sql = format!("SELECT id FROM generations WHERE id = $1 AND project = $2{}", tx.for_update());
        tx.first(sql, args![id, project]).await?.ok_or(StoreError::NotFound("video"))?;
        if job.is_some() {
            end_unpublished(&mut tx, id, &Ending::cancelled(), now).await?;
            call_workers(&mut tx, WorkerCall::Cancel).await?;
        }
        drop_generation(&mut tx, id, now).await?;
        tx.commit().await
    }

    /// Deletes pictures that were kept for a repeated request until this moment; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delete_old_pictures(&self, until: Timestamp, limit: u32, now: Timestamp) -> Result<usize, StoreError> {
        let sql = "SELECT id, project FROM generations WHERE kind = 'image' AND created_at <= $1
                   ORDER BY created_at LIMIT $2";
        let rows = self.database.all(sql, args![until, limit]).await?;
        for row in &rows {
            let (project, id) = (ProjectId::from_bytes(row.id("project")?), VideoId::from_bytes(row.id("id")?));
            match self.delete_generation(project, id, now).await {
                // Another node was there before.
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rows.len())
    }

    /// Takes away the media of generations whose time was over at a moment; says how many. Rows and recipes stay.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn expire_media(&self, before: Timestamp, limit: u32, now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id FROM generations WHERE expires_at <= $1 AND video_key IS NOT NULL ORDER BY expires_at LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let rows = tx.all(sql, args![before, limit]).await?;
        for row in &rows {
            let id = VideoId::from_bytes(row.id("id")?);
            let sql =
                "UPDATE generations SET video_key = NULL, thumbnail_key = NULL, spritesheet_key = NULL WHERE id = $1";
            tx.execute(sql, args![id]).await?;
            delete_objects(&mut tx, &ObjectKey::renders_prefix(id), now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}

/// Drops the row of a generation that has no job, and asks for the deletion of its objects.
pub(crate) async fn drop_generation(tx: &mut Tx, id: VideoId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("DELETE FROM generations WHERE id = $1", args![id]).await?;
    delete_objects(tx, &ObjectKey::renders_prefix(id), now).await
}

impl Generation {
    /// Whose its media are.
    pub fn subject(&self) -> Subject {
        Subject { identity: self.identity, service: Service::Video, since: self.created_at }
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let state = word(row, "state", GenerationState::from_word)?;
        let progress = match state {
            GenerationState::Completed => Progress::DONE,
            _ => Progress::from_percent(u8::try_from(row.opt_int("job_progress")?.unwrap_or(0)).unwrap_or(0)),
        };
        let error = match row.opt_text("error_code")? {
            Some(code) => Some(GenerationError {
                code: GenerationErrorCode::from_word(&code).ok_or_else(|| corrupt("error_code", code))?,
                message: row.opt_text("error_message")?.unwrap_or_default(),
            }),
            None => None,
        };
        let video = match row.opt_text("video_key")? {
            Some(key) => Some(PublishedVideo {
                key: ObjectKey::from_row(key),
                size_bytes: number(row, "video_size")?,
                sha256: row.text("video_etag")?,
                thumbnail: row.opt_text("thumbnail_key")?.map(ObjectKey::from_row),
                spritesheet: row.opt_text("spritesheet_key")?.map(ObjectKey::from_row),
                recipe: row.opt_text("recipe")?.unwrap_or_default(),
            }),
            None => None,
        };
        Ok(Self {
            id: VideoId::from_bytes(row.id("id")?),
            project: ProjectId::from_bytes(row.id("project")?),
            identity: IdentityId::from_bytes(row.id("identity")?),
            kind: kind(row)?,
            prompt: row.text("prompt")?,
            negative_prompt: row.text("negative_prompt")?,
            model_requested: word(row, "model_requested", ModelName::parse)?,
            model: word(row, "model", ModelName::parse)?,
            size: size(row)?,
            seconds: seconds(row, "seconds")?,
            total_seconds: seconds(row, "total_seconds")?,
            seed: number(row, "seed")?,
            num_inference_steps: row.opt_int("num_inference_steps")?.and_then(|steps| u32::try_from(steps).ok()),
            guidance_scale: row.opt_float("guidance_scale")?.map(|scale| scale as f32),
            candidates: row.opt_int("candidates")?.and_then(|count| u32::try_from(count).ok()),
            price: Credits::from_micros(row.int("price")?),
            state,
            progress,
            created_at: Timestamp::from_micros(row.int("created_at")?),
            started_at: moment(row, "started_at")?,
            ended_at: moment(row, "ended_at")?,
            expires_at: moment(row, "expires_at")?,
            error,
            video,
            favourite: row.int("favourite")? == 1,
            folder: row.opt_id("folder")?.map(FolderId::from_bytes),
            trashed_at: moment(row, "trashed_at")?,
        })
    }
}

/// A moment or nothing.
pub(crate) fn moment(row: &Row, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.opt_int(column)?.map(Timestamp::from_micros))
}

/// A value from its word.
pub(crate) fn word<T>(row: &Row, column: &'static str, read: fn(&str) -> Option<T>) -> Result<T, StoreError> {
    let text = row.text(column)?;
    read(&text).ok_or_else(|| corrupt(column, text))
}

/// A whole number that is not negative and fits.
pub(crate) fn number<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    let number = row.int(column)?;
    T::try_from(number).map_err(|_| corrupt(column, number))
}

fn seconds(row: &Row, column: &'static str) -> Result<Seconds, StoreError> {
    let seconds = number(row, column)?;
    Seconds::new(seconds).ok_or_else(|| corrupt(column, seconds))
}

fn size(row: &Row) -> Result<Size, StoreError> {
    let (width, height): (u16, u16) = (number(row, "width")?, number(row, "height")?);
    if width == 0 || height == 0 {
        return Err(corrupt("width", width));
    }
    Ok(Size::new(width, height))
}

fn characters(row: &Row) -> Result<Vec<CharacterId>, StoreError> {
    let text = row.text("characters")?;
    text.split_whitespace().map(|id| id.parse().map_err(|_| corrupt("characters", id))).collect()
}

fn kind(row: &Row) -> Result<GenerationKind, StoreError> {
    let word = row.text("kind")?;
    let video = row.opt_id("source_video")?.map(VideoId::from_bytes);
    let file = row.opt_id("source_file")?.map(FileId::from_bytes);
    let source = video.map(ClipSource::Video).or(file.map(ClipSource::File));
    Ok(match (word.as_str(), source) {
        ("create", None) => GenerationKind::Create {
            first_frame: row.opt_id("first_frame")?.map(FileId::from_bytes),
            characters: characters(row)?,
        },
        ("film", None) => GenerationKind::Film { storyboard: row.text("storyboard")?, characters: characters(row)? },
        ("remix", Some(ClipSource::Video(source))) => GenerationKind::Remix { source },
        ("edit", Some(source)) => GenerationKind::Edit { source },
        ("extension" | "beginning" | "loop", Some(source)) => {
            let direction = match word.as_str() {
                "beginning" => ExtensionDirection::Before,
                "loop" => ExtensionDirection::Loop,
                _ => ExtensionDirection::After,
            };
            GenerationKind::Extension { source, direction, depth: number(row, "depth")? }
        }
        ("trim", Some(ClipSource::Video(source))) => {
            let (start_ms, end_ms) = (number(row, "trim_start_ms")?, number(row, "trim_end_ms")?);
            let cut = Cut::between(start_ms, end_ms).ok_or_else(|| corrupt("trim_end_ms", end_ms))?;
            GenerationKind::Trim { source, cut }
        }
        ("image", None) => GenerationKind::Image,
        _ => return Err(corrupt("kind", word)),
    })
}
