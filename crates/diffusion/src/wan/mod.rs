//! The Wan family: open weights of others, with their numbers.
//!
//! `pipeline` is the walk from a prompt to frames; `transformer`, `umt5`, `clip` and `vae` are one network each, `scheduler`
//! the way from noise to latents. `names` brings every layout of the weights to one.

mod clip;
mod layers;
mod layout;
mod names;
mod packed;
mod pipeline;
mod plan;
mod prompt;
mod scheduler;
mod transformer;
mod umt5;
mod vae;
mod vae_layers;

pub use clip::{Clip, ClipConfig, prepared};
pub use layout::{Network, WanFamily, WanFiles};
pub use packed::Precision;
pub use pipeline::{WanInputs, WanModel, WanPicture, WanRequest, WanSettings};
pub use plan::{WanPlan, WanRefusal};
pub use prompt::{WanTokenizer, cleaned};
pub use scheduler::{WanSchedule, WanSchedulerConfig, WanSolver, WanStepper};
pub use transformer::{WanContext, WanTransformer, WanTransformerConfig};
pub use umt5::{Umt5, Umt5Config};
pub use vae::{WanPosterior, WanTiling, WanVae, WanVaeConfig, WanVaePart};
