//! The model: text encoder, video VAE, diffusion transformer, schedulers, guidance and weights.
//!
//! Tensors and prompts in, tensors out: nothing here sees a user, a file format of video or a socket.
#![forbid(unsafe_code)]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod checkpoint;
mod dit;
mod error;
mod flow;
mod fused;
mod layers;
mod rope;
mod sampling;
mod step_cache;
mod text;
mod tokenizer;
mod upscaler;
mod vae;
pub mod wan;
mod weights;

#[cfg(test)]
mod testing;

pub use checkpoint::{Checkpoint, Lora, LoraReport, Storage};
pub use dit::{Dit, DitConfig, LatentPositions, TextStates};
pub use error::{Error, Result};
pub use flow::{Solver, SolverKind, add_noise, seeded_noise, shifted, timesteps};
pub use fused::{Preparation, cross_attention, self_attention};
pub use layers::{Linear, Mlp, RmsNorm, linear, linear_from};
pub use sampling::{Choice, SampleRequest, SamplingConfig, reference_time_s, sample, sample_best};
pub use text::{TextConfig, TextEncoder};
pub use tokenizer::PromptTokenizer;
pub use upscaler::{Sharpener, Upscaler, UpscalerConfig};
pub use vae::{Posterior, Vae, VaeConfig};
pub use weights::{
    ModelFiles, PaperModel, SCHEDULER, TEXT_ENCODER, TOKENIZER, TRANSFORMER, UPSCALER, VAE, open_network,
    open_text_encoder, open_vae, save_network,
};
