//! The recipe: everything that decides the frames.

use serde::{Deserialize, Serialize};

use crate::request::VideoRequest;
use crate::storyboard::Storyboard;

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
    /// Where guidance was applied, if not where the model does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_interval: Option<(f32, f32)>,
    /// What might change before a step was computed, if not every one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_cache: Option<f32>,
    /// The solver's name.
    pub solver: String,
    /// Beginnings of which the best was finished, where there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// What the network multiplied in, where that is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
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

/// How a film was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilmRecipe {
    /// The document.
    pub storyboard: Storyboard,
    /// What each of its shots became.
    pub shots: Vec<Recipe>,
    /// As [`Recipe::frames`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<(usize, usize)>,
}

/// How whatever was made here was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyRecipe {
    /// One clip.
    Clip(Recipe),
    /// A film of several shots.
    Film(FilmRecipe),
}

/// What a model decides where a request leaves it open.
#[derive(Clone, Debug)]
pub struct OwnChoices {
    /// As [`Recipe::num_inference_steps`].
    pub num_inference_steps: usize,
    /// As [`Recipe::guidance_scale`].
    pub guidance_scale: f32,
    /// As [`Recipe::solver`].
    pub solver: &'static str,
    /// As [`Recipe::precision`].
    pub precision: Option<&'static str>,
    /// As [`Recipe::candidates`]; whatever the request says, if it has no choice.
    pub candidates: Option<usize>,
}

impl Recipe {
    /// What a request becomes in a model's hands.
    pub fn new(request: &VideoRequest, model: &str, weights_hash: &str, own: &OwnChoices) -> Self {
        Self {
            model: model.into(),
            weights_hash: weights_hash.into(),
            prompt: request.prompt.as_str().into(),
            negative_prompt: request.negative_prompt.clone(),
            seed: request.seed,
            num_inference_steps: request.num_inference_steps.unwrap_or(own.num_inference_steps),
            guidance_scale: request.guidance_scale.unwrap_or(own.guidance_scale),
            guidance_interval: request.shortcuts.guidance_interval,
            step_cache: request.shortcuts.step_cache,
            solver: own.solver.into(),
            candidates: own.candidates,
            precision: own.precision.map(str::to_owned),
            size: request.size.to_string(),
            seconds: request.seconds.get(),
            source: request.source.name().into(),
            strength: request.source.strength(),
            references: request.references.len(),
            frames: None,
        }
    }
}
