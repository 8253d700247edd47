//! The denoising loop, written out: noise in, latents of a clip out.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};

use crate::dit::{Dit, LatentPositions, TextStates};
use crate::flow::{Solver, SolverKind, add_noise, seeded_noise, timesteps};
use crate::{Error, Result};

/// What one run of the loop makes.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    /// The prompt, a batch of one.
    pub text: TextStates,
    /// What guidance points away from: the negative prompt, or the empty one.
    pub negative: TextStates,
    /// Seconds of each latent frame to make or given, references not counted.
    pub times_s: Vec<f32>,
    /// Rows of the latent grid.
    pub rows: usize,
    /// Columns of the latent grid.
    pub columns: usize,
    /// Latent frames that are given, `[1, 1, H, W, C]` each, with their index in `times_s`.
    pub given: Vec<(usize, Tensor<5>)>,
    /// Latents of reference pictures, `[1, 1, H, W, C]` each.
    pub references: Vec<Tensor<5>>,
    /// An edit: the clip's latents `[1, T, H, W, C]` and how far to go back towards noise, 0…1.
    pub edit: Option<(Tensor<5>, f32)>,
    /// Evaluations of the network.
    pub steps: usize,
    /// Guidance scale; 1 is none.
    pub guidance_scale: f32,
    /// Guidance is applied at timesteps in this range alone.
    pub guidance_interval: (f32, f32),
    /// Timestep shift.
    pub shift: f32,
    /// The solver.
    pub solver: SolverKind,
    /// What the noise is drawn from.
    pub seed: u64,
}

/// Seconds before the clip at which the first reference stands; further ones a second earlier each.
const REFERENCE_TIME_S: f32 = -1.0;

/// The position of a reference picture on the time axis.
pub fn reference_time_s(index: usize) -> f32 {
    REFERENCE_TIME_S - index as f32
}

/// Latents `[1, T, H, W, C]` for the request. `progress` is told the steps done before each step and may stop.
///
/// # Errors
/// [`Error::Given`] if a given frame is outside the clip or of another shape; [`Error::Stopped`].
pub fn sample(
    dit: &Dit,
    request: &SampleRequest,
    device: &Device,
    mut progress: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Tensor<5>> {
    let frames = request.times_s.len();
    let channels = dit.config().latent_channels;
    let shape = [1, frames, request.rows, request.columns, channels];
    check_given(request, shape)?;

    // 1. Start: noise, or the noised clip of an edit; given frames are clean from the start.
    let noise = seeded_noise(shape, request.seed, device);
    let start = request.edit.as_ref().map_or(1.0, |(_, strength)| *strength);
    let mut latents = match &request.edit {
        Some((clip, strength)) => add_noise(clip.clone(), noise, Tensor::full([1, 1, 1, 1, 1], *strength, device)),
        None => noise,
    };
    let mut free = vec![1.0; frames];
    for (index, clean) in &request.given {
        let range = [0..1, *index..index + 1, 0..shape[2], 0..shape[3], 0..channels];
        latents = latents.slice_assign(range, clean.clone());
        free[*index] = 0.0;
    }
    let free = Tensor::<1>::from_floats(free.as_slice(), device);

    // 2. References stand before the clip on the time axis and stay clean.
    let references = request.references.len();
    let mut times_s: Vec<f32> = (0..references).map(reference_time_s).collect();
    times_s.extend(&request.times_s);
    let positions = LatentPositions { times_s, rows: request.rows, columns: request.columns };
    let clean_references =
        (references > 0).then(|| Tensor::cat(request.references.clone(), 1));

    // 3. Walk from `start` to 0.
    let mut solver = Solver::new(request.solver);
    for (index, pair) in timesteps(request.steps, start, request.shift).windows(2).enumerate() {
        if progress(index).is_break() {
            return Err(Error::Stopped);
        }
        let (from, to) = (pair[0], pair[1]);
        let mut frame_times = free.clone() * from;
        let mut input = latents.clone();
        if let Some(clean) = &clean_references {
            frame_times = Tensor::cat(vec![Tensor::zeros([references], device), frame_times], 0);
            input = Tensor::cat(vec![clean.clone(), input], 1);
        }
        let frame_times = frame_times.unsqueeze::<2>();
        let (low, high) = request.guidance_interval;
        let guided = request.guidance_scale != 1.0 && (low..=high).contains(&from);
        let velocity = |text: &TextStates| {
            dit.forward(input.clone(), frame_times.clone(), text, &positions).narrow(1, references, frames)
        };
        let mut direction = velocity(&request.text);
        if guided {
            let away = velocity(&request.negative);
            direction = away.clone() + (direction - away) * request.guidance_scale;
        }
        let direction = direction * free.clone().reshape([1, frames, 1, 1, 1]);
        latents = solver.step(latents, direction, from, to);
    }
    Ok(latents)
}

fn check_given(request: &SampleRequest, shape: [usize; 5]) -> Result<()> {
    let frame_shape = [1, 1, shape[2], shape[3], shape[4]];
    for (index, clean) in &request.given {
        if *index >= shape[1] {
            return Err(Error::Given(format!("latent frame {index} of {}", shape[1])));
        }
        if clean.dims() != frame_shape {
            return Err(Error::Given(format!("{:?} instead of {frame_shape:?}", clean.dims())));
        }
    }
    for reference in &request.references {
        if reference.dims() != frame_shape {
            return Err(Error::Given(format!("a reference of {:?} instead of {frame_shape:?}", reference.dims())));
        }
    }
    if let Some((clip, strength)) = &request.edit {
        if clip.dims() != shape {
            return Err(Error::Given(format!("a clip of {:?} instead of {shape:?}", clip.dims())));
        }
        if !(0.0..=1.0).contains(strength) {
            return Err(Error::Given(format!("strength {strength} is not within 0…1")));
        }
    }
    Ok(())
}
