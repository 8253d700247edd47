//! The denoising loop, written out: noise in, latents of a clip out.

use std::convert::Infallible;
use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::dit::{Dit, LatentPositions, TextStates};
use crate::flow::{Solver, SolverKind, add_noise, seeded_noise, timesteps};
use crate::fused::on_cpu;
use crate::step_cache::StepCache;
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
    /// Share of the velocity that may change before it is computed anew; 0 computes it at every step.
    pub step_cache: f32,
    /// Timestep shift.
    pub shift: f32,
    /// The solver.
    pub solver: SolverKind,
    /// What the noise is drawn from.
    pub seed: u64,
}

/// How a model samples where nobody says otherwise: its `scheduler/scheduler_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingConfig {
    /// Denoising steps.
    pub num_inference_steps: usize,
    /// Guidance scale; 1 where guidance was distilled into the network.
    pub guidance_scale: f32,
    /// Guidance is applied at timesteps in this range alone.
    pub guidance_interval: (f32, f32),
    /// Timestep shift, as in training.
    pub shift: f32,
    /// Beginnings of a clip of which the best is finished, where there is a network that can tell.
    #[serde(default = "one")]
    pub candidates: usize,
}

fn one() -> usize {
    1
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { num_inference_steps: 14, guidance_scale: 3.5, guidance_interval: (0.1, 1.0), shift: 2.0, candidates: 1 }
    }
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
    progress: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Tensor<5>> {
    sample_best(dit, request, &Choice { candidates: 1, judge: &|_| 0.0 }, device, progress)
}

/// Of several clips that are begun, one is finished.
pub struct Choice<'a> {
    /// How many are begun; at 1 nothing is chosen.
    pub candidates: usize,
    /// How well latents `[1, T, H, W, C]` show what was asked for; the highest is finished.
    pub judge: &'a (dyn Fn(Tensor<5>) -> f32 + Sync),
}

impl Choice<'_> {
    /// Steps that every candidate goes before one is chosen: past the middle, where it can be seen what a clip will show.
    fn steps_before(steps: usize) -> usize {
        (steps / 2 + 1).min(steps)
    }

    /// Steps in all, of every candidate.
    pub fn total_steps(candidates: usize, steps: usize) -> usize {
        let before = Self::steps_before(steps);
        candidates.max(1) * before + steps - before
    }

    /// The first candidate is the clip that there would be without a choice.
    fn seed(seed: u64, candidate: usize) -> u64 {
        seed ^ (candidate as u64).wrapping_mul(0xd1b5_4a32_d192_ed03)
    }
}

/// As [`sample`], of the best of several beginnings: each from a noise of its own, judged past the middle of its way by the clip that its
/// last step pointed to. `progress` is told the steps of all of them, [`Choice::total_steps`] in the end.
///
/// Choosing among samples by another network is as old as Ramesh et al. 2021 (arXiv:2102.12092 §2.7); doing it on the way saves the rest of it.
///
/// # Errors
/// As [`sample`].
pub fn sample_best(
    dit: &Dit,
    request: &SampleRequest,
    choice: &Choice<'_>,
    device: &Device,
    mut progress: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<Tensor<5>> {
    let mut done = 0;
    let mut walk = |denoising: &mut Denoising<'_>, until: usize| -> Result<()> {
        while denoising.step < until {
            if progress(done).is_break() {
                return Err(Error::Stopped);
            }
            denoising.advance();
            done += 1;
        }
        Ok(())
    };
    let begin = |candidate| Denoising::new(dit, request, Choice::seed(request.seed, candidate), device);
    let mut best = begin(0)?;
    if choice.candidates > 1 {
        let before = Choice::steps_before(request.steps);
        walk(&mut best, before)?;
        let mut highest = (choice.judge)(best.estimate.clone());
        for candidate in 1..choice.candidates {
            let mut other = begin(candidate)?;
            walk(&mut other, before)?;
            let score = (choice.judge)(other.estimate.clone());
            if score > highest {
                (highest, best) = (score, other);
            }
        }
    }
    walk(&mut best, request.steps)?;
    Ok(best.latents)
}

/// A clip on its way from noise.
struct Denoising<'a> {
    dit: &'a Dit,
    request: &'a SampleRequest,
    device: &'a Device,
    /// `[1, T, H, W, C]`.
    latents: Tensor<5>,
    /// 1 for what is made, 0 for what is given, `[T]`.
    free: Tensor<1>,
    /// References stand before the clip on the time axis and stay clean, `[1, R, H, W, C]`.
    references: Option<Tensor<5>>,
    positions: LatentPositions,
    timesteps: Vec<f32>,
    solver: Solver,
    cache: StepCache,
    /// Steps that are done.
    step: usize,
    /// The clean clip that the last step pointed to; the noise itself before the first.
    estimate: Tensor<5>,
}

impl<'a> Denoising<'a> {
    /// Noise, or the noised clip of an edit; given frames are clean from the start.
    fn new(dit: &'a Dit, request: &'a SampleRequest, seed: u64, device: &'a Device) -> Result<Self> {
        let frames = request.times_s.len();
        let channels = dit.config().latent_channels;
        let shape = [1, frames, request.rows, request.columns, channels];
        check_given(request, shape)?;

        let noise = seeded_noise(shape, seed, device);
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

        let references = request.references.len();
        let mut times_s: Vec<f32> = (0..references).map(reference_time_s).collect();
        times_s.extend(&request.times_s);
        Ok(Self {
            dit,
            request,
            device,
            estimate: latents.clone(),
            latents,
            free: Tensor::from_floats(free.as_slice(), device),
            references: (references > 0).then(|| Tensor::cat(request.references.clone(), 1)),
            positions: LatentPositions { times_s, rows: request.rows, columns: request.columns },
            timesteps: timesteps(request.steps, start, request.shift),
            solver: Solver::new(request.solver),
            cache: StepCache::new(request.step_cache),
            step: 0,
        })
    }

    /// One step towards the clip.
    fn advance(&mut self) {
        let (from, to) = (self.timesteps[self.step], self.timesteps[self.step + 1]);
        let (request, frames, references) = (self.request, self.request.times_s.len(), self.request.references.len());
        let mut frame_times = self.free.clone() * from;
        let mut input = self.latents.clone();
        if let Some(clean) = &self.references {
            frame_times = Tensor::cat(vec![Tensor::zeros([references], self.device), frame_times], 0);
            input = Tensor::cat(vec![clean.clone(), input], 1);
        }
        let frame_times = frame_times.unsqueeze::<2>();
        let (low, high) = request.guidance_interval;
        let guided = request.guidance_scale != 1.0 && (low..=high).contains(&from);
        let velocity = |text: &TextStates| {
            let velocity = self.dit.forward(input.clone(), frame_times.clone(), text, &self.positions);
            velocity.narrow(1, references, frames)
        };
        let guided_velocity = || {
            if !guided {
                return velocity(&request.text);
            }
            let (towards, away) = if on_cpu(self.device) {
                // Side by side: two evaluations on two cores lose less than one evaluation split in two.
                rayon::join(|| velocity(&request.text), || velocity(&request.negative))
            } else {
                (velocity(&request.text), velocity(&request.negative))
            };
            away.clone() + (towards - away) * request.guidance_scale
        };
        let Ok(direction) = self.cache.velocity(&self.latents, || Ok::<_, Infallible>(guided_velocity()));
        let direction = direction * self.free.clone().reshape([1, frames, 1, 1, 1]);
        self.estimate = self.latents.clone() - direction.clone() * from;
        self.latents = self.solver.step(self.latents.clone(), direction, from, to);
        self.step += 1;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dit::DitConfig;
    use crate::testing::{difference, rounding, seeded, values, with_random_weights};

    const FRAMES: usize = 4;
    const ROWS: usize = 2;
    const COLUMNS: usize = 3;
    const CHANNELS: usize = 4;

    fn random_dit() -> Dit {
        let config =
            DitConfig { latent_channels: CHANNELS, width: 32, heads: 2, blocks: 2, mlp_width: 48, text_width: 12 };
        with_random_weights(Dit::new(&config, &Device::flex()), 1)
    }

    fn text(length: usize, seed: u64) -> TextStates {
        TextStates {
            tokens: seeded([1, length, 12], seed),
            mask: Tensor::zeros([1, 1, 1, length], &Device::flex()),
            pooled: seeded([1, 12], seed + 100),
        }
    }

    /// Four latent frames from text alone, guided, in five steps.
    fn request() -> SampleRequest {
        SampleRequest {
            text: text(5, 2),
            negative: text(3, 3),
            times_s: (0..FRAMES).map(|frame| frame as f32 / 3.0).collect(),
            rows: ROWS,
            columns: COLUMNS,
            given: Vec::new(),
            references: Vec::new(),
            edit: None,
            steps: 5,
            guidance_scale: 3.0,
            guidance_interval: (0.0, 1.0),
            step_cache: 0.0,
            shift: 2.0,
            solver: SolverKind::AdamsBashforth2,
            seed: 7,
        }
    }

    fn run(request: &SampleRequest) -> Result<Tensor<5>> {
        sample(&random_dit(), request, &Device::flex(), |_| ControlFlow::Continue(()))
    }

    fn frame(seed: u64) -> Tensor<5> {
        seeded([1, 1, ROWS, COLUMNS, CHANNELS], seed)
    }

    #[test]
    fn given_frames_come_back_to_the_bit() {
        for solver in [SolverKind::Euler, SolverKind::AdamsBashforth2] {
            for indices in [&[0][..], &[3], &[0, 3], &[1, 2], &[0, 1, 2, 3]] {
                let given: Vec<_> = indices.iter().map(|&index| (index, frame(20 + index as u64))).collect();
                let references = vec![frame(30), frame(31)];
                let made = run(&SampleRequest { given: given.clone(), references, solver, ..request() }).unwrap();
                assert_eq!(made.dims(), [1, FRAMES, ROWS, COLUMNS, CHANNELS]);
                for (index, clean) in given {
                    assert_eq!(values(made.clone().narrow(1, index, 1)), values(clean), "{solver:?}, {indices:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_given_is_heard() {
        let free = |request: &SampleRequest| run(request).unwrap().narrow(1, 1, 3);
        let with_first = |seed: u64| free(&SampleRequest { given: vec![(0, frame(seed))], ..request() });
        let with_reference = |seed: u64| free(&SampleRequest { references: vec![frame(seed)], ..request() });
        assert!(difference(with_first(20), with_first(21)) > 1e-3);
        assert!(difference(with_reference(20), with_reference(21)) > 1e-3);
        assert!(difference(with_reference(20), free(&request())) > 1e-3);
    }

    #[test]
    fn a_guidance_scale_of_one_is_no_guidance() {
        let with = |guidance_scale: f32, negative: u64, guidance_interval: (f32, f32)| {
            run(&SampleRequest { guidance_scale, negative: text(3, negative), guidance_interval, ..request() }).unwrap()
        };
        let whole = (0.0, 1.0);
        let plain = with(1.0, 3, whole);
        assert_eq!(values(with(1.0, 4, whole)), values(plain.clone()), "the negative prompt is heard");
        assert_eq!(values(with(3.0, 3, (2.0, 3.0))), values(plain.clone()), "guided outside the interval");
        let apart = difference(with(1.0001, 3, whole), plain.clone());
        assert!(apart < rounding(1e-2, 0.2), "{apart} apart");
        assert!(difference(with(3.0, 3, whole), plain.clone()) > 1e-2);
        assert!(difference(with(3.0, 3, (0.5, 1.0)), with(3.0, 3, whole)) > 1e-3);
        assert!(difference(with(3.0, 4, whole), with(3.0, 3, whole)) > 1e-3);
        // Guided by itself a prompt goes nowhere else.
        let itself = run(&SampleRequest { negative: text(5, 2), ..request() }).unwrap();
        assert!(difference(itself, plain) < 1e-4);
    }

    #[test]
    fn a_run_stops_when_told() {
        let dit = random_dit();
        for stop_at in 0..5 {
            let mut told = Vec::new();
            let stopped = sample(&dit, &request(), &Device::flex(), |done| {
                told.push(done);
                if done == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
            assert_eq!(told, (0..=stop_at).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_does_not_fit_the_clip_is_refused() {
        let check = |what: &str, request: SampleRequest| {
            let refused = run(&request);
            assert!(matches!(refused, Err(Error::Given(_))), "{what}: {refused:?}");
        };
        let given =
            |index: usize, shape: [usize; 5]| SampleRequest { given: vec![(index, seeded(shape, 1))], ..request() };
        check("after the end", given(FRAMES, [1, 1, ROWS, COLUMNS, CHANNELS]));
        check("two frames in one", given(0, [1, 2, ROWS, COLUMNS, CHANNELS]));
        check("another shape", given(0, [1, 1, COLUMNS, ROWS, CHANNELS]));
        check("other channels", given(0, [1, 1, ROWS, COLUMNS, CHANNELS + 1]));
        check("two clips", given(0, [2, 1, ROWS, COLUMNS, CHANNELS]));
        check(
            "the second is wrong",
            SampleRequest { given: vec![(0, frame(1)), (1, seeded([1, 1, ROWS, 1, CHANNELS], 1))], ..request() },
        );
        check(
            "a wide reference",
            SampleRequest { references: vec![frame(1), seeded([1, 1, ROWS, COLUMNS + 1, CHANNELS], 1)], ..request() },
        );
        let edit =
            |shape: [usize; 5], strength: f32| SampleRequest { edit: Some((seeded(shape, 1), strength)), ..request() };
        check("an edit that is too long", edit([1, FRAMES + 1, ROWS, COLUMNS, CHANNELS], 0.5));
        check("an edit of another shape", edit([1, FRAMES, COLUMNS, ROWS, CHANNELS], 0.5));
        for strength in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            check("strength", edit([1, FRAMES, ROWS, COLUMNS, CHANNELS], strength));
        }
    }

    #[test]
    fn an_edit_goes_as_far_as_its_strength() {
        let clip = seeded::<5>([1, FRAMES, ROWS, COLUMNS, CHANNELS], 40);
        let edited = |strength: f32, solver: SolverKind| {
            run(&SampleRequest { edit: Some((clip.clone(), strength)), solver, ..request() }).unwrap()
        };
        for solver in [SolverKind::Euler, SolverKind::AdamsBashforth2] {
            assert_eq!(values(edited(0.0, solver)), values(clip.clone()), "{solver:?}");
            let from_noise = run(&SampleRequest { solver, ..request() }).unwrap();
            assert!(difference(edited(1.0, solver), from_noise) < 1e-5, "{solver:?}");
            let gentle = difference(edited(0.05, solver), clip.clone());
            let strong = difference(edited(0.6, solver), clip.clone());
            assert!(0.0 < gentle && gentle < strong, "{solver:?}: {gentle}, {strong}");
        }
    }

    #[test]
    fn a_seed_is_one_clip() {
        let with = |seed: u64| run(&SampleRequest { seed, ..request() }).unwrap();
        assert_eq!(values(with(7)), values(with(7)));
        assert!(difference(with(7), with(8)) > 1e-2);
    }

    #[test]
    fn a_cache_leaves_steps_out_and_ends_nearby() {
        let with = |step_cache: f32| run(&SampleRequest { step_cache, steps: 20, ..request() }).unwrap();
        let exact = with(0.0);
        let apart = [0.3, 2.0].map(|step_cache| difference(with(step_cache), exact.clone()));
        assert!(0.0 < apart[0] && apart[0] < apart[1], "{apart:?}");
        assert_eq!(values(with(1e-9)), values(exact), "nothing may change and something was left out");
    }

    #[test]
    fn of_several_beginnings_the_best_is_finished() {
        let (dit, device) = (random_dit(), Device::flex());
        let request = SampleRequest { given: vec![(0, frame(20))], references: vec![frame(30)], ..request() };
        let alone = |candidate: usize| {
            let seed = Choice::seed(request.seed, candidate);
            run(&SampleRequest { seed, ..request.clone() }).unwrap()
        };
        assert_eq!(Choice::seed(request.seed, 0), request.seed);
        for best in 0..3 {
            // The judge likes one of those that it is shown in turn.
            let (seen, told) = (std::sync::atomic::AtomicUsize::new(0), std::cell::RefCell::new(Vec::new()));
            let judge = |latents: Tensor<5>| {
                assert_eq!(latents.dims(), [1, FRAMES, ROWS, COLUMNS, CHANNELS]);
                assert_eq!(values(latents.narrow(1, 0, 1)), values(frame(20)), "what is given is seen as it is");
                f32::from(u8::from(seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == best))
            };
            let choice = Choice { candidates: 3, judge: &judge };
            let made = sample_best(&dit, &request, &choice, &device, |done| {
                told.borrow_mut().push(done);
                ControlFlow::Continue(())
            });
            assert_eq!(values(made.unwrap()), values(alone(best)), "candidate {best}");
            // Three of five steps thrice, then the other two.
            assert_eq!(Choice::total_steps(3, request.steps), 11);
            assert_eq!(told.into_inner(), (0..11).collect::<Vec<_>>());
        }
        let nobody = |_: Tensor<5>| -> f32 { panic!("one needs no judge") };
        let one = Choice { candidates: 1, judge: &nobody };
        let made = sample_best(&dit, &request, &one, &device, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((values(made), Choice::total_steps(1, 5)), (values(alone(0)), 5));
    }

    /// What a judge is shown is nearer to the finished clip than the noise was.
    #[test]
    fn a_judge_is_shown_where_the_clip_is_heading() {
        let request = SampleRequest { steps: 1, ..request() };
        let shown = std::sync::Mutex::new(Vec::new());
        let judge = |latents: Tensor<5>| {
            shown.lock().unwrap().push(values(latents));
            0.0
        };
        let choice = Choice { candidates: 2, judge: &judge };
        let made = sample_best(&random_dit(), &request, &choice, &Device::flex(), |_| ControlFlow::Continue(()));
        // One step goes all the way.
        assert_eq!(shown.into_inner().unwrap()[0], values(made.unwrap()));
    }

    /// A longer way in more steps ends nearer to the true end.
    #[test]
    fn more_steps_come_closer() {
        let with = |steps: usize| run(&SampleRequest { steps, guidance_scale: 1.0, ..request() }).unwrap();
        let end = with(256);
        assert!(difference(with(64), end.clone()) < difference(with(8), end));
    }

    #[test]
    fn references_stand_before_the_clip_one_behind_another() {
        assert!(
            (0..8).all(|index| reference_time_s(index + 1) < reference_time_s(index) && reference_time_s(index) < 0.0)
        );
    }
}
