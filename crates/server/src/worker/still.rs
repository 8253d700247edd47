//! A picture is the first frame of a clip: a model that is left alone after one frame.

use std::ops::ControlFlow;

use media::{Frame, FrameRate, Size};
use render::{Looks, ModelError, Progress, Recipe, VideoModel, VideoRequest};

/// Makes the first frame of what the model would make.
pub(crate) struct Still<'a>(pub(crate) &'a dyn VideoModel);

impl VideoModel for Still<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn weights_hash(&self) -> &str {
        self.0.weights_hash()
    }

    fn frame_rate(&self) -> FrameRate {
        self.0.frame_rate()
    }

    fn recipe(&self, request: &VideoRequest) -> Recipe {
        self.0.recipe(request)
    }

    fn portrait(&self, looks: &Looks, size: Size) -> Option<Frame> {
        self.0.portrait(looks, size)
    }

    fn generate(
        &self,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let mut first = None;
        let outcome = self.0.generate(request, progress, &mut |frame| {
            first = Some(emit(frame));
            ControlFlow::Break(())
        });
        match (first, outcome) {
            (Some(ControlFlow::Continue(())), Ok(()) | Err(ModelError::Sink)) => Ok(()),
            (_, outcome) => outcome,
        }
    }

    fn enlarge(&self, frame: &Frame, size: Size) -> Option<Frame> {
        self.0.enlarge(frame, size)
    }

    fn caption(&self, frames: &[Frame]) -> Option<String> {
        self.0.caption(frames)
    }
}
