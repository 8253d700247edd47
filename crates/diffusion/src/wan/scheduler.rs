//! The ways from noise to latents: UniPC of second order, and Euler, both on a flow whose timesteps are shifted towards
//! noise.
//!
//! Sources: Zhao et al. 2023 (arXiv:2302.04867), in the form with B(h) = eʰ − 1 that predicts the clean latents; numbers as
//! `UniPCMultistepScheduler` and `FlowMatchEulerDiscreteScheduler` of diffusers 0.42 have them.

use std::collections::VecDeque;

use burn::tensor::Tensor;
use serde::Deserialize;

/// Timesteps that models were trained with.
const TRAINED: f64 = 1000.0;

/// How latents are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WanSolver {
    /// UniPC of second order with its corrector.
    UniPc,
    /// First order; what few-step models were distilled for.
    Euler,
}

impl WanSolver {
    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniPc => "unipc",
            Self::Euler => "euler",
        }
    }
}

/// What `scheduler/scheduler_config.json` says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WanSchedulerConfig {
    /// The class in diffusers.
    #[serde(rename = "_class_name")]
    pub class_name: String,
    /// How far timesteps are moved towards noise.
    #[serde(default)]
    pub flow_shift: Option<f64>,
    /// The same, by the name that the Euler scheduler has for it.
    #[serde(default)]
    pub shift: Option<f64>,
}

impl WanSchedulerConfig {
    /// The solver and its shift.
    ///
    /// # Errors
    /// A sentence, for a scheduler that is not known or a shift that is none.
    pub fn solver(&self) -> std::result::Result<(WanSolver, f64), String> {
        let solver = match self.class_name.as_str() {
            // The multistep DPM solver of the originals has the same schedule; UniPC is what its authors recommend too.
            "UniPCMultistepScheduler" => WanSolver::UniPc,
            "FlowMatchEulerDiscreteScheduler" => WanSolver::Euler,
            other => return Err(format!("the scheduler {other} is not known here")),
        };
        let shift = self.flow_shift.or(self.shift).unwrap_or(1.0);
        if !(0.01..=100.0).contains(&shift) {
            return Err(format!("a shift of {shift} makes no schedule"));
        }
        Ok((solver, shift))
    }
}

/// The noise levels of a run and the timesteps that the model is told.
#[derive(Clone, Debug, PartialEq)]
pub struct WanSchedule {
    /// From almost 1 down to 0: one more than there are steps.
    pub sigmas: Vec<f32>,
    /// In 0 … 1000, one for each step.
    pub timesteps: Vec<f32>,
}

impl WanSchedule {
    /// The schedule of a solver; `steps` ≥ 1.
    pub fn new(solver: WanSolver, steps: usize, shift: f64) -> Self {
        let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
        match solver {
            WanSolver::UniPc => {
                let last = 1.0 / TRAINED;
                let mut sigmas: Vec<f64> =
                    (0..steps).map(|index| shifted(1.0 + (last - 1.0) * index as f64 / steps as f64)).collect();
                // A noise level of exactly 1 has no logarithm of its signal.
                if (sigmas[0] - 1.0).abs() < 1e-6 {
                    sigmas[0] -= 1e-6;
                }
                let timesteps = sigmas.iter().map(|sigma| (sigma * TRAINED).trunc() as f32).collect();
                let sigmas = sigmas.into_iter().map(|sigma| sigma as f32).chain([0.0]).collect();
                Self { sigmas, timesteps }
            }
            WanSolver::Euler => {
                // The last trained noise level is shifted once when the scheduler is made and all of them once more.
                let least = shifted(1.0 / TRAINED);
                let level = |index: usize| {
                    let fraction = if steps == 1 { 0.0 } else { index as f64 / (steps - 1) as f64 };
                    shifted(1.0 + (least - 1.0) * fraction)
                };
                let sigmas: Vec<f32> = (0..steps).map(|index| level(index) as f32).collect();
                let timesteps = sigmas.iter().map(|sigma| sigma * TRAINED as f32).collect();
                Self { sigmas: sigmas.into_iter().chain([0.0]).collect(), timesteps }
            }
        }
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }
}

/// A solver on its way along a schedule.
#[derive(Debug)]
pub struct WanStepper {
    solver: WanSolver,
    sigmas: Vec<f32>,
    index: usize,
    /// Clean latents as predicted at the last steps, the newest last.
    clean: VecDeque<Tensor<5>>,
    /// Latents before the last step.
    before: Option<Tensor<5>>,
    order: usize,
}

impl WanStepper {
    /// A solver at the start of a schedule.
    pub fn new(solver: WanSolver, schedule: &WanSchedule) -> Self {
        let sigmas = schedule.sigmas.clone();
        Self { solver, sigmas, index: 0, clean: VecDeque::new(), before: None, order: 0 }
    }

    /// Moves latents one step along the predicted velocity.
    pub fn step(&mut self, velocity: Tensor<5>, latents: Tensor<5>) -> Tensor<5> {
        let (sigma, next) = (self.sigmas[self.index], self.sigmas[self.index + 1]);
        if self.solver == WanSolver::Euler {
            self.index += 1;
            return latents + velocity * (next - sigma);
        }
        let mut latents = latents;
        let clean = latents.clone() - velocity * sigma;
        // The corrector: the step before is done again, knowing where it led.
        if let Some(before) = self.before.take() {
            latents = self.moved(before, [self.index - 1, self.index], self.order, Some(&clean));
        }
        self.clean.push_back(clean);
        if self.clean.len() > 2 {
            self.clean.pop_front();
        }
        let steps = self.sigmas.len() - 1;
        self.order = 2.min(steps - self.index).min(self.clean.len());
        self.before = Some(latents.clone());
        let moved = self.moved(latents, [self.index, self.index + 1], self.order, None);
        self.index += 1;
        moved
    }

    /// Half the logarithm of the ratio of signal to noise.
    fn lambda(&self, index: usize) -> f32 {
        (1.0 - self.sigmas[index]).ln() - self.sigmas[index].ln()
    }

    /// `x` moved from one noise level to another. `new` is the clean prediction at the second one, for the corrector. Scalars
    /// are in 32 bits like those of the reference: at the first step 1 − σ has few of them.
    fn moved(&self, x: Tensor<5>, [from, to]: [usize; 2], order: usize, new: Option<&Tensor<5>>) -> Tensor<5> {
        let (sigma, next) = (self.sigmas[from], self.sigmas[to]);
        let newest = self.clean[self.clean.len() - 1].clone();
        let step = self.lambda(to) - self.lambda(from);
        // Towards σ = 0 the step is infinite: what is left is the clean prediction.
        let negative = -step;
        let b = negative.exp_m1();
        let phi = b / negative - 1.0;
        let (b1, b2) = (phi / b, (phi / negative - 0.5) * 2.0 / b);
        let earlier = (order == 2).then(|| {
            let ratio = (self.lambda(from - 1) - self.lambda(from)) / step;
            ((self.clean[self.clean.len() - 2].clone() - newest.clone()) / ratio, ratio)
        });
        let alpha = 1.0 - next;
        let base = x * (next / sigma) - newest.clone() * (alpha * b);
        let correction = match (earlier, new) {
            (None, None) => return base,
            (Some((slope, _)), None) => slope * 0.5,
            (None, Some(new)) => (new.clone() - newest) * 0.5,
            (Some((slope, ratio)), Some(new)) => {
                // [[1, 1], [ratio, 1]] · weights = [b1, b2].
                let first = (b1 - b2) / (1.0 - ratio);
                slope * first + (new.clone() - newest) * (b1 - first)
            }
        };
        base - correction * (alpha * b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `FlowMatchEulerDiscreteScheduler` of diffusers 0.42 has them.
    #[test]
    fn euler_has_the_levels_of_the_reference() {
        for (shift, theirs) in [
            (5.0, &[1.0, 0.909_707_1, 0.717_317_46, 0.024_414_066, 0.0][..]),
            (8.0, &[1.0, 0.941_834, 0.803_771_4, 0.060_206_97, 0.0]),
            (3.0, &[1.0, 0.0]),
        ] {
            let schedule = WanSchedule::new(WanSolver::Euler, theirs.len() - 1, shift);
            for (ours, theirs) in schedule.sigmas.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 1e-6, "{ours} instead of {theirs}");
            }
        }
    }
}
