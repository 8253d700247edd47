//! A model for tests of the platform: bars whose colours and speed come from the seed. Never offered to users.

use std::ops::ControlFlow;

use media::{Frame, FrameRate, Size};

use crate::model::{ModelError, Progress, Stage, VideoModel};
use crate::recipe::Recipe;
use crate::request::VideoRequest;

/// Draws sliding bars; the same seed gives the same frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestCard;

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
        Recipe {
            model: self.name().into(),
            weights_hash: String::new(),
            prompt: request.prompt.as_str().into(),
            negative_prompt: request.negative_prompt.clone(),
            seed: request.seed,
            num_inference_steps: request.num_inference_steps.unwrap_or(1),
            guidance_scale: request.guidance_scale.unwrap_or(1.0),
            solver: "none".into(),
            size: request.size.to_string(),
            seconds: request.seconds.get(),
            source: request.source.name().into(),
            strength: request.source.strength(),
            references: request.references.len(),
        }
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
                let bar = ((at % 64 + index) / 8) as u64;
                let mixed = (request.seed ^ bar).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                pixel.copy_from_slice(&mixed[..3]);
            }
            if emit(frame).is_break() {
                return Err(ModelError::Sink);
            }
        }
        Ok(())
    }
}
