//! From a request to a signed video: generate, enlarge, mark, encode, sign. Frames flow through one by
//! one, so a long clip needs no more memory than a short one.

use std::ops::ControlFlow;

use media::{Clip, Filter, Frame, FrameRate, Mp4Writer, Quality, Resizer, Size, WriteError};
use provenance::{
    Action, Model, Provenance, SignError, SignedVideo, SigningKey, SoftwareAgent, TrainingChoice, VisibleMark, sign,
};

use crate::model::{ModelError, Progress, Stage, VideoModel};
use crate::recipe::Recipe;
use crate::request::{Source, VideoRequest};

impl<'a> From<&'a [u8]> for Parent<'a> {
    /// A clip that lies in memory whole.
    fn from(file: &'a [u8]) -> Self {
        Self { file, lead: Box::new(std::iter::empty()), trail: Box::new(std::iter::empty()), placed: Vec::new() }
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

/// A finished clip, and how it was made: a [`Recipe`], or that of a film or a part of one.
#[derive(Debug)]
pub struct Rendered<R = Recipe> {
    /// The file.
    pub video: SignedVideo,
    /// How it was made.
    pub recipe: R,
    /// Frames in it.
    pub frames: usize,
    /// Its first frame, for a thumbnail.
    pub first_frame: Frame,
}

/// The files whose clips are in [`Source`].
pub struct Parent<'a> {
    /// The file that it goes on from, leads up to or changes; it becomes the parent in the manifest.
    pub file: &'a [u8],
    /// The frames of an extended clip that come before those in [`Source::Extend`], one by one, so that a long clip need not lie in
    /// memory. They are at the model's rate. The error is in words for whoever asked.
    pub lead: Box<dyn Iterator<Item = Result<Frame, String>> + 'a>,
    /// The frames that come behind those in [`Source::Precede`], likewise.
    pub trail: Box<dyn Iterator<Item = Result<Frame, String>> + 'a>,
    /// The files of the clips that stand behind the new frames, if the parent stands before them.
    pub placed: Vec<&'a [u8]>,
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

/// Makes the clip of a request. `parent` is what the new frames were made from, unless they were made from words and pictures alone.
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
    let mut film = Film::new(request.size.size(), model.frame_rate(), options.visible_mark)?;
    let (file, lead, trail, placed) = match parent {
        Some(Parent { file, lead, trail, placed }) => (Some(file), Some(lead), Some(trail), placed),
        None => (None, None, None, Vec::new()),
    };
    film.pass(lead.into_iter().flatten(), Stage::Reading, progress)?;
    for frame in request.source.before().into_iter().flat_map(Clip::frames) {
        film.add(frame)?;
    }
    film.make(model, request, progress, &mut |_| {})?;
    for frame in request.source.after().into_iter().flat_map(Clip::frames) {
        film.add(frame)?;
    }
    film.pass(trail.into_iter().flatten(), Stage::Drawing, progress)?;
    let action = match request.source {
        Source::Text | Source::FirstFrame(_) | Source::Ends { .. } => Action::Created,
        Source::Extend(_) | Source::Precede(_) | Source::Bridge { .. } | Source::Loop { .. } => Action::Extended,
        Source::Edit { .. } => Action::Edited,
    };
    let facts = Provenance {
        title: title(request.prompt.as_str()),
        action,
        software_agent: options.software_agent(),
        model: Model { name: recipe.model.clone(), weights_hash: recipe.weights_hash.clone() },
        recipe: serde_json::to_value(&recipe).unwrap_or_default(),
        training: options.training,
        when: options.when,
        visible_mark: options.visible_mark,
        parent: file,
        placed,
    };
    let (video, frames, first_frame) = film.sign(&facts, key, progress)?;
    Ok(Rendered { video, recipe, frames, first_frame })
}

impl RenderOptions {
    /// This program, as manifests have it.
    pub(crate) fn software_agent(&self) -> SoftwareAgent {
        SoftwareAgent { name: "Misora".into(), version: self.version.clone() }
    }
}

/// A film in the making: every frame is brought to size, marked if it is new, and encoded as it comes.
pub(crate) struct Film {
    size: Size,
    frame_rate: FrameRate,
    mark: Option<VisibleMark>,
    resizer: Resizer,
    writer: Mp4Writer,
    frames: usize,
    first_frame: Option<Frame>,
}

impl Film {
    pub(crate) fn new(size: Size, frame_rate: FrameRate, visible_mark: bool) -> Result<Self, RenderError> {
        Ok(Self {
            size,
            frame_rate,
            mark: visible_mark.then(|| VisibleMark::new(size)),
            resizer: Resizer::new(),
            writer: Mp4Writer::new(size, frame_rate, Quality::default())?,
            frames: 0,
            first_frame: None,
        })
    }

    /// A frame of another clip, which carries its mark already.
    fn add(&mut self, frame: &Frame) -> Result<(), WriteError> {
        self.push(frame, false)
    }

    /// Frames of another clip that do not lie in memory together.
    fn pass(
        &mut self,
        frames: impl Iterator<Item = Result<Frame, String>>,
        stage: Stage,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), RenderError> {
        for frame in frames {
            self.add(&frame.map_err(RenderError::Source)?)?;
            // The beginning of the first stage, the end of the other.
            let done = usize::from(stage != Stage::Reading);
            if progress(Progress { stage, done, total: 1 }).is_break() {
                return Err(RenderError::Stopped);
            }
        }
        Ok(())
    }

    fn push(&mut self, frame: &Frame, fresh: bool) -> Result<(), WriteError> {
        let mut frame = if frame.size() == self.size {
            frame.clone()
        } else {
            self.resizer.resize(frame, self.size, Filter::CatmullRom)
        };
        if let (Some(mark), true) = (&self.mark, fresh) {
            mark.draw(&mut frame, f64::from(self.frames as u32) / self.frame_rate.as_f64());
        }
        self.frames += 1;
        self.writer.push(&frame)?;
        self.first_frame.get_or_insert(frame);
        Ok(())
    }

    /// The new frames of a request, each shown to `seen` at the model's own size.
    pub(crate) fn make(
        &mut self,
        model: &dyn VideoModel,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        seen: &mut dyn FnMut(&Frame),
    ) -> Result<(), RenderError> {
        let mut write_error = None;
        let outcome = model.generate(request, progress, &mut |frame| {
            seen(&frame);
            match self.push(&model.enlarge(&frame, self.size).unwrap_or(frame), true) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    write_error = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        match (write_error, outcome) {
            (Some(error), _) => Err(error.into()),
            (None, Ok(())) => Ok(()),
            (None, Err(ModelError::Stopped)) => Err(RenderError::Stopped),
            (None, Err(error)) => Err(RenderError::Model(error.to_string())),
        }
    }

    /// The finished file, the number of its frames and the first of them.
    pub(crate) fn sign(
        self,
        facts: &Provenance<'_>,
        key: &SigningKey,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(SignedVideo, usize, Frame), RenderError> {
        let Some(first_frame) = self.first_frame else { return Err(RenderError::Model("it made no frame".into())) };
        if progress(Progress { stage: Stage::Signing, done: 0, total: 1 }).is_break() {
            return Err(RenderError::Stopped);
        }
        let mp4 = self.writer.finish()?;
        Ok((sign(&mp4, facts, key)?, self.frames, first_frame))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{ClipSeconds, OutputSize};
    use crate::test_card::TestCard;

    const RED: [u8; 3] = [200, 40, 40];

    /// A test card that enlarges frames to landscape in its own way: everything turns red.
    struct Painter;

    impl VideoModel for Painter {
        fn name(&self) -> &str {
            TestCard.name()
        }

        fn weights_hash(&self) -> &str {
            TestCard.weights_hash()
        }

        fn frame_rate(&self) -> FrameRate {
            TestCard.frame_rate()
        }

        fn recipe(&self, request: &VideoRequest) -> Recipe {
            TestCard.recipe(request)
        }

        fn generate(
            &self,
            request: &VideoRequest,
            progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
            emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
        ) -> Result<(), ModelError> {
            TestCard.generate(request, progress, emit)
        }

        fn enlarge(&self, _frame: &Frame, size: Size) -> Option<Frame> {
            (size.width > size.height).then(|| Frame::filled(size, RED))
        }
    }

    #[test]
    fn the_model_enlarges_its_frames_where_it_can_and_they_are_shown_small() {
        let first_frame = |size: &str| {
            let size: OutputSize = size.parse().unwrap();
            let seconds = "4".parse::<ClipSeconds>().unwrap();
            let request = VideoRequest::new("bars".parse().unwrap(), size, seconds, 1);
            let mut film = Film::new(size.size(), TestCard.frame_rate(), false).unwrap();
            let mut seen = Vec::new();
            film.make(&Painter, &request, &mut |_| ControlFlow::Continue(()), &mut |frame| seen.push(frame.size()))
                .unwrap();
            assert_eq!(seen, [Size::new(64, 64); 48]);
            film.first_frame.unwrap()
        };
        let landscape = Size::new(256, 144);
        assert_eq!(first_frame("256x144"), Frame::filled(landscape, RED));
        let portrait = first_frame("144x256");
        assert_eq!(portrait.size(), Size::new(144, 256));
        assert!(portrait != Frame::filled(portrait.size(), RED));
    }
}
