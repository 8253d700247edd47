//! The recipe: everything that decides the frames.

use serde::{Deserialize, Serialize};

/// All that is needed to make the same frames again on the same machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Name of the model.
    pub model: String,
    /// SHA-256 of its weights, hexadecimal.
    pub weights_hash: String,
    /// The prompt as written.
    pub prompt: String,
    /// The negative prompt; empty for none.
    pub negative_prompt: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Evaluations of the network.
    pub num_inference_steps: usize,
    /// Guidance scale; 1 is none.
    pub guidance_scale: f32,
    /// The solver's name.
    pub solver: String,
    /// Sides of the finished clip, `WIDTHxHEIGHT`.
    pub size: String,
    /// Seconds of the clip, or of what was added.
    pub seconds: u32,
    /// [`crate::Source::name`]; `trim` for a part of a clip that was made so.
    pub source: String,
    /// How far an edit may change its clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f32>,
    /// Number of reference pictures.
    pub references: usize,
    /// Of a part of a clip: the first of the clip's frames in it, and the one that it stops before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<(usize, usize)>,
}
