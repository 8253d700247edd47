//! Rectified flow: the straight path between a clip and noise, and the solvers that walk it back.
//!
//! x_t = (1 − t)·x₀ + t·ε, so the velocity dx/dt is ε − x₀: what the network predicts.
//!
//! Sources: Liu et al. 2022 (arXiv:2209.03003); Lipman et al. 2022 (arXiv:2210.02747); the timestep
//! shift, Esser et al. 2024 (arXiv:2403.03206) §5.3.2.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Timesteps from `start` down to 0, `steps + 1` of them, moved towards noise by `shift` ≥ 1.
///
/// `start` is 1 for a clip from pure noise and the strength for an edit.
pub fn timesteps(steps: usize, start: f32, shift: f32) -> Vec<f32> {
    // The unshifted place of `start`, so that the schedule of an edit is the tail of the whole one.
    let first = unshifted(start, shift);
    (0..=steps).map(|index| shifted(first * (1.0 - index as f32 / steps as f32), shift)).collect()
}

/// t ↦ s·t / (1 + (s − 1)·t).
pub fn shifted(t: f32, shift: f32) -> f32 {
    shift * t / (1.0 + (shift - 1.0) * t)
}

fn unshifted(t: f32, shift: f32) -> f32 {
    t / (shift - (shift - 1.0) * t)
}

/// (1 − t)·clean + t·noise, `t` broadcast over the latents.
pub fn add_noise(clean: Tensor<5>, noise: Tensor<5>, t: Tensor<5>) -> Tensor<5> {
    clean * (t.clone().neg() + 1.0) + noise * t
}

/// Normal noise that depends on the seed alone, not on the device or the number of threads.
pub fn seeded_noise(shape: [usize; 5], seed: u64, device: &Device) -> Tensor<5> {
    let mut random = Pcg64::seed_from_u64(seed);
    let count: usize = shape.iter().product();
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // Box–Muller, two at a time; 1 − u keeps the logarithm finite.
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * random.random::<f64>();
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(count);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// How the ordinary differential equation is stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolverKind {
    /// First order.
    Euler,
    /// Second order with one evaluation a step: two-step Adams–Bashforth for uneven steps.
    #[default]
    AdamsBashforth2,
}

/// A solver on its way: it remembers the velocity before.
#[derive(Debug)]
pub struct Solver {
    kind: SolverKind,
    previous: Option<(f32, Tensor<5>)>,
}

impl Solver {
    /// A solver at the start of its way.
    pub fn new(kind: SolverKind) -> Self {
        Self { kind, previous: None }
    }

    /// Moves `x` from timestep `from` to `to` along `velocity`, the velocity at `from`.
    pub fn step(&mut self, x: Tensor<5>, velocity: Tensor<5>, from: f32, to: f32) -> Tensor<5> {
        let step = to - from;
        let direction = match (self.kind, self.previous.take()) {
            // An edit of strength 0 has steps of no length: they have no slope to speak of.
            (SolverKind::AdamsBashforth2, Some((step_before, before))) if step_before != 0.0 => {
                let ratio = step / (2.0 * step_before);
                velocity.clone() * (1.0 + ratio) - before * ratio
            }
            _ => velocity.clone(),
        };
        self.previous = Some((step, velocity));
        x + direction * step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data N(2, 0.5²): the flow from noise is known, x₀ = 2 + 0.5·x₁.
    fn error_after(kind: SolverKind, steps: usize) -> f32 {
        let device = Device::flex();
        let start = Tensor::<1>::from_floats([-1.5, -0.3, 0.4, 1.7], &device).reshape([1, 4, 1, 1, 1]);
        let exact = start.clone() * 0.5 + 2.0;
        let mut x = start;
        let mut solver = Solver::new(kind);
        for pair in timesteps(steps, 1.0, 1.0).windows(2) {
            let t = pair[0];
            let variance = (1.0 - t).powi(2) * 0.25 + t * t;
            let slope = (t - (1.0 - t) * 0.25) / variance;
            let velocity = (x.clone() - (1.0 - t) * 2.0) * slope - 2.0;
            x = solver.step(x, velocity, t, pair[1]);
        }
        (x - exact).abs().max().into_scalar::<f32>()
    }

    #[test]
    fn solvers_converge_at_their_order() {
        for (kind, order) in [(SolverKind::Euler, 1.0), (SolverKind::AdamsBashforth2, 2.0)] {
            let measured = (error_after(kind, 40) / error_after(kind, 80)).log2();
            assert!((measured - order).abs() < 0.25, "{kind:?}: order {measured}");
        }
    }

    #[test]
    fn timesteps_start_where_told_and_end_clean() {
        let steps = timesteps(8, 0.6, 3.0);
        assert!((steps[0] - 0.6).abs() < 1e-6 && steps[8] == 0.0);
        assert!(steps.windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn noise_is_normal_and_repeatable() {
        let device = Device::flex();
        let noise = seeded_noise([1, 8, 16, 16, 8], 7, &device);
        let (variance, mean) = noise.clone().reshape([16384, 1]).var_mean(0);
        assert!(mean.into_scalar::<f32>().abs() < 0.03 && (variance.into_scalar::<f32>() - 1.0).abs() < 0.05);
        assert_eq!(noise.into_data(), seeded_noise([1, 8, 16, 16, 8], 7, &device).into_data());
    }
}
