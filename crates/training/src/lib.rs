//! How weights are learned: the paper world, captions, losses, optimisers, checkpoints and evaluation.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod paper;

mod captioner;
mod choosing;
mod clips;
mod cover;
mod curves;
mod dataset;
mod dit;
mod evaluate;
mod muon;
mod shards;
mod sharpness;
mod sheet;
mod text;
mod trainer;
mod upscaler;
mod vae;

pub use captioner::{
    Answer, CAPTIONER, Captioner, CaptionerConfig, CaptionerStageConfig, NextShot, Reading, train_captioner,
};
pub use choosing::{Chooser, sample_chosen};
pub use clips::{FRAME_RATE, clips_to_tensor, latent_frames, latent_times_s, native_sizes, tensor_to_frames};
pub use dataset::{Gathered, NotPermitted, gather_clips};
pub use dit::{Captions, DitStageConfig, Surroundings, Telling, train_dit};
pub use evaluate::{
    Attribute, AttributeScore, Evaluation, EvaluationOptions, EvaluationProgress, Failure, Figure, Judge, Tally,
    evaluate,
};
pub use shards::{ShardConfig, write_shards};
pub use sharpness::{Distance, Nearness, Sharpness, measure_sharpness};
pub use sheet::contact_sheet;
pub use text::{TextStageConfig, train_text, train_tokenizer};
pub use trainer::TrainerConfig;
pub use upscaler::{UpscalerStageConfig, enlarge, enlarged_size, train_upscaler};
pub use vae::{VaeStageConfig, train_vae};
