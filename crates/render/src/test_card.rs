//! A model for tests of the platform: squares that slide and whose colours come from the seed. Never offered to users.

use std::ops::ControlFlow;

use media::{Frame, FrameRate, Size};

use crate::model::{ModelError, Progress, Stage, VideoModel};
use crate::recipe::{OwnChoices, Recipe};
use crate::request::VideoRequest;

/// Draws sliding squares; the same seed gives the same frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestCard;

/// A test card that does something after each step of a request that was begun, such as waiting, failing, or writing it down: for tests of what is around a model.
#[derive(Clone, Copy)]
pub struct SteppedTestCard<F: Fn(&VideoRequest, Progress) -> Result<(), ModelError>>(pub F);

impl<F: Fn(&VideoRequest, Progress) -> Result<(), ModelError>> VideoModel for SteppedTestCard<F> {
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
        let mut failed = None;
        let mut stepped = |step| match progress(step).is_break() {
            true => ControlFlow::Break(()),
            false => match (self.0)(request, step) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
        };
        let made = TestCard.generate(request, &mut stepped, emit);
        failed.map_or(made, Err)
    }
}

impl VideoModel for TestCard {
    fn name(&self) -> &str {
        "test-card"
    }

    fn weights_hash(&self) -> &str {
        ""
    }

    fn frame_rate(&self) -> FrameRate {
        FrameRate::whole(12)
    }

    fn recipe(&self, request: &VideoRequest) -> Recipe {
        let own = OwnChoices {
            num_inference_steps: 1,
            guidance_scale: 1.0,
            solver: "none",
            precision: None,
            candidates: None,
        };
        Recipe::new(request, self.name(), self.weights_hash(), &own)
    }

    fn generate(
        &self,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        const SIDE: Size = Size::new(64, 64);
        let total = (request.seconds.get() * 12) as usize;
        for index in 0..total {
            if progress(Progress { stage: Stage::Drawing, done: index, total }).is_break() {
                return Err(ModelError::Stopped);
            }
            let mut frame = Frame::filled(SIDE, [0; 3]);
            for (at, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
                // Each row its own, so that no two seeds look alike.
                let square = (at / 64 / 8 * 256 + (at % 64 + index) / 8) as u64;
                let mixed = (request.seed ^ square).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                pixel.copy_from_slice(&mixed[..3]);
            }
            if emit(frame).is_break() {
                return Err(ModelError::Sink);
            }
        }
        Ok(())
    }
}
