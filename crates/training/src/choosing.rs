//! The best of several beginnings of a clip, by what its prompt asks for.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use diffusion::{Choice, Dit, SampleRequest, sample, sample_best};

use crate::captioner::Captioner;
use crate::paper::Wanted;

/// Chooses among beginnings of a clip.
#[derive(Debug)]
pub struct Chooser<'a> {
    captioner: &'a Captioner,
    wanted: Wanted,
    candidates: usize,
}

impl<'a> Chooser<'a> {
    /// Who chooses for a prompt; nobody if there are not several beginnings, or if the prompt names nobody of the paper world.
    pub fn of(captioner: &'a Captioner, prompt: &str, candidates: usize) -> Option<Self> {
        let wanted = (candidates > 1).then(|| Wanted::of(prompt))??;
        Some(Self { captioner, wanted, candidates })
    }

    /// Beginnings.
    pub fn candidates(&self) -> usize {
        self.candidates
    }
}

/// Latents `[1, T, H, W, C]` for the request: of the beginning that `chooser` likes best, or of the only one.
///
/// # Errors
/// As [`sample`].
pub fn sample_chosen(
    dit: &Dit,
    request: &SampleRequest,
    chooser: Option<&Chooser<'_>>,
    device: &Device,
    progress: impl FnMut(usize) -> ControlFlow<()>,
) -> diffusion::Result<Tensor<5>> {
    let Some(Chooser { captioner, wanted, candidates }) = chooser else {
        return sample(dit, request, device, progress);
    };
    let judge = |latents| captioner.agreement(latents, wanted)[0];
    sample_best(dit, request, &Choice { candidates: *candidates, judge: &judge }, device, progress)
}
