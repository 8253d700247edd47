//! From a request to a signed video: generate, enlarge, mark, encode, sign. Frames flow through one by
//! one, so a long clip needs no more memory than a short one.

use std::ops::ControlFlow;

use media::{Filter, Frame, Mp4Writer, Quality, Resizer, WriteError};
use provenance::{
    Action, Model, Provenance, SignError, SignedVideo, SigningKey, SoftwareAgent, TrainingChoice, VisibleMark, sign,
};

use crate::model::{ModelError, Progress, Stage, VideoModel};
use crate::recipe::Recipe;
use crate::request::{Source, VideoRequest};

impl<'a> From<&'a [u8]> for Parent<'a> {
    /// A clip that lies in memory whole.
    fn from(file: &'a [u8]) -> Self {
        Self { file, lead: Box::new(std::iter::empty()) }
    }
}

/// What the owner decides about every clip.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Draw the moving mark. Off only by an explicit setting of the owner, never for published copies.
    pub visible_mark: bool,
    /// May others train on the clip.
    pub training: TrainingChoice,
    /// The moment of making, for the manifest.
    pub when: time::OffsetDateTime,
    /// Version of this program.
    pub version: String,
}

/// A finished clip.
#[derive(Debug)]
pub struct Rendered {
    /// The file.
    pub video: SignedVideo,
    /// How it was made.
    pub recipe: Recipe,
    /// Frames in it.
    pub frames: usize,
    /// Its first frame, for a thumbnail.
    pub first_frame: Frame,
}

/// What an extension or an edit starts from.
pub struct Parent<'a> {
    /// The file; it becomes the ingredient of the manifest.
    pub file: &'a [u8],
    /// The frames of an extended clip that come before those in [`Source::Extend`], one by one, so that a long clip need not lie in
    /// memory. They are at the model's rate. The error is in words for whoever asked.
    pub lead: Box<dyn Iterator<Item = Result<Frame, String>> + 'a>,
}

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// The model could not.
    #[error("the model could not make the clip: {0}")]
    Model(String),
    /// The clip that it goes on from could not be read to its end.
    #[error("the clip to go on from cannot be read: {0}")]
    Source(String),
    /// The frames could not be encoded.
    #[error("the frames could not be encoded")]
    Encode(#[from] WriteError),
    /// The file could not be signed, so it is not given out.
    #[error("the clip could not be signed")]
    Sign(#[from] SignError),
}

/// Makes the clip of a request. `parent` is what an extension or an edit starts from.
///
/// # Errors
/// [`RenderError`]; nothing unsigned ever leaves.
pub fn render(
    model: &dyn VideoModel,
    request: &VideoRequest,
    parent: Option<Parent<'_>>,
    key: &SigningKey,
    options: &RenderOptions,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Rendered, RenderError> {
    let recipe = model.recipe(request);
    let size = request.size.size();
    let frame_rate = model.frame_rate();
    let mark = options.visible_mark.then(|| VisibleMark::new(size));
    let mut resizer = Resizer::new();
    let mut writer = Mp4Writer::new(size, frame_rate, Quality::default())?;
    let (mut frames, mut first_frame, mut write_error) = (0, None, None);

    // An extension begins with the clip it extends, which carries its mark already.
    let mut push = |frame: &Frame, fresh: bool| -> ControlFlow<()> {
        let mut frame =
            if frame.size() == size { frame.clone() } else { resizer.resize(frame, size, Filter::CatmullRom) };
        if let (Some(mark), true) = (&mark, fresh) {
            mark.draw(&mut frame, f64::from(frames as u32) / frame_rate.as_f64());
        }
        frames += 1;
        if let Err(error) = writer.push(&frame) {
            write_error = Some(error);
            return ControlFlow::Break(());
        }
        first_frame.get_or_insert(frame);
        ControlFlow::Continue(())
    };
    let (parent, lead) = parent.map_or((None, None), |parent| (Some(parent.file), Some(parent.lead)));
    let mut outcome = Ok(());
    if let Source::Extend(clip) = &request.source {
        for frame in lead.into_iter().flatten() {
            let pushed = push(&frame.map_err(RenderError::Source)?, false);
            if pushed.is_break() {
                outcome = Err(ModelError::Sink);
                break;
            }
            if progress(Progress { stage: Stage::Reading, done: 0, total: 1 }).is_break() {
                return Err(RenderError::Stopped);
            }
        }
        let rest = if outcome.is_ok() { clip.frames() } else { &[] };
        for frame in rest {
            if push(frame, false).is_break() {
                outcome = Err(ModelError::Sink);
                break;
            }
        }
    }
    let outcome = outcome.and_then(|()| model.generate(request, progress, &mut |frame| push(&frame, true)));
    if let Some(error) = write_error {
        return Err(error.into());
    }
    match outcome {
        Ok(()) => {}
        Err(ModelError::Stopped) => return Err(RenderError::Stopped),
        Err(error) => return Err(RenderError::Model(error.to_string())),
    }
    let Some(first_frame) = first_frame else { return Err(RenderError::Model("it made no frame".into())) };

    if progress(Progress { stage: Stage::Signing, done: 0, total: 1 }).is_break() {
        return Err(RenderError::Stopped);
    }
    let mp4 = writer.finish()?;
    let facts = Provenance {
        title: title(request.prompt.as_str()),
        action: match request.source {
            Source::Text | Source::FirstFrame(_) => Action::Created,
            Source::Extend(_) => Action::Extended,
            Source::Edit { .. } => Action::Edited,
        },
        software_agent: SoftwareAgent { name: "Misora".into(), version: options.version.clone() },
        model: Model { name: recipe.model.clone(), weights_hash: recipe.weights_hash.clone() },
        recipe: serde_json::to_value(&recipe).unwrap_or_default(),
        training: options.training,
        when: options.when,
        visible_mark: options.visible_mark,
        parent,
    };
    let video = sign(&mp4, &facts, key)?;
    Ok(Rendered { video, recipe, frames, first_frame })
}

/// The prompt's first line, cut at 80 characters.
pub(crate) fn title(prompt: &str) -> String {
    let line = prompt.trim().lines().next().unwrap_or_default();
    let mut title: String = line.chars().take(80).collect();
    if title.len() < line.len() {
        title.push('…');
    }
    title
}
