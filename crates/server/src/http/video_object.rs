//! The video as the API shows it.

use platform::{ClipSource, GenerationKind, GenerationState, Timestamp};
use serde::Serialize;
use store::Generation;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// A video: the job, and the clip that it becomes. Every key is in every answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Video {
    /// `video_` and 48 hexadecimal digits.
    id: String,
    /// Always `video`.
    object: &'static str,
    /// The model as it was asked for.
    model: String,
    /// `queued`, `in_progress`, `completed` or `failed`.
    #[schema(schema_with = status)]
    status: &'static str,
    /// Percent, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    progress: u8,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; null until the clip is there.
    completed_at: Option<i64>,
    /// Unix seconds at which the media go; null if they are kept.
    expires_at: Option<i64>,
    /// The prompt as written.
    prompt: Option<String>,
    /// `WIDTHxHEIGHT`.
    size: String,
    /// The length of the clip, a whole number as a string.
    seconds: String,
    /// What it was remixed, edited or cut from.
    remixed_from_video_id: Option<String>,
    /// Why there is no clip.
    error: Option<VideoError>,
    /// The seed: with the same request it makes the same clip.
    seed: u64,
}

fn status() -> Object {
    let words = ["queued", "in_progress", "completed", "failed"];
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).description(Some("How far it is.")).build()
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VideoError {
    /// A stable word, such as `moderation_blocked`, `video_generation_failed` or `cancelled`.
    code: &'static str,
    /// A sentence.
    message: String,
}

/// A video that was deleted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// Its id.
    id: String,
    /// What it was, and that it is no more.
    object: &'static str,
    /// Always true.
    deleted: bool,
}

impl Deleted {
    pub(crate) fn new(id: impl ToString, object: &'static str) -> Self {
        Self { id: id.to_string(), object, deleted: true }
    }
}

impl From<&Generation> for Video {
    fn from(generation: &Generation) -> Self {
        let remixed_from = match &generation.kind {
            GenerationKind::Remix { source }
            | GenerationKind::Edit { source: ClipSource::Video(source) }
            | GenerationKind::Trim { source, .. } => Some(source),
            _ => None,
        };
        let completed = generation.state == GenerationState::Completed;
        Self {
            id: generation.id.to_string(),
            object: "video",
            model: generation.model_requested.to_string(),
            status: generation.state.api_word(),
            progress: generation.progress.percent(),
            created_at: generation.created_at.seconds(),
            completed_at: generation.ended_at.filter(|_| completed).map(Timestamp::seconds),
            expires_at: generation.expires_at.map(Timestamp::seconds),
            prompt: Some(generation.prompt.clone()),
            size: generation.size.to_string(),
            seconds: generation.total_seconds.to_string(),
            remixed_from_video_id: remixed_from.map(ToString::to_string),
            error: generation
                .error
                .as_ref()
                .map(|error| VideoError { code: error.code.as_str(), message: error.message.clone() }),
            seed: generation.seed,
        }
    }
}

impl Video {
    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }
}
