//! Steps that are not computed: where the velocity hardly changes, the last one is taken again.
//!
//! How much it will change is told from how far the latents have moved: the rate between the two stays much the same along the way.
//!
//! Source: Zhou et al. 2025, “Less is Enough: Training-Free Video Diffusion Acceleration via Runtime-Adaptive Caching”
//! (arXiv:2507.02860); there the difference of output and input is kept, here the velocity, which is constant on a straight path.

use burn::tensor::Tensor;

/// The last velocity that was computed, and how quickly it changed.
#[derive(Debug)]
pub(crate) struct StepCache {
    tolerance: f32,
    last: Option<Computed>,
    /// Change of the velocity over change of the latents, both as mean absolute differences.
    rate: Option<f32>,
}

#[derive(Debug)]
struct Computed {
    latents: Tensor<5>,
    velocity: Tensor<5>,
    /// Mean absolute value of the velocity.
    size: f32,
}

impl StepCache {
    /// A cache that computes anew where more than this share of the velocity would change; at 0 always.
    pub(crate) fn new(tolerance: f32) -> Self {
        Self { tolerance, last: None, rate: None }
    }

    /// The velocity at `latents`: the last one where that is near enough, else what `compute` says.
    ///
    /// # Errors
    /// Those of `compute`.
    pub(crate) fn velocity<E>(
        &mut self,
        latents: &Tensor<5>,
        compute: impl FnOnce() -> Result<Tensor<5>, E>,
    ) -> Result<Tensor<5>, E> {
        if self.tolerance <= 0.0 {
            return compute();
        }
        let moved = self.last.as_ref().map(|last| distance(latents, &last.latents));
        if let (Some(last), Some(rate), Some(moved)) = (&self.last, self.rate, moved)
            && rate * moved < self.tolerance * last.size
        {
            return Ok(last.velocity.clone());
        }
        let velocity = compute()?;
        if let (Some(last), Some(moved)) = (&self.last, moved) {
            self.rate = (moved > 0.0).then(|| distance(&velocity, &last.velocity) / moved);
        }
        let size = velocity.clone().abs().mean().into_scalar::<f32>();
        self.last = Some(Computed { latents: latents.clone(), velocity: velocity.clone(), size });
        Ok(velocity)
    }
}

fn distance(a: &Tensor<5>, b: &Tensor<5>) -> f32 {
    (a.clone() - b.clone()).abs().mean().into_scalar::<f32>()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use burn::tensor::Device;

    use super::*;
    use crate::testing::values;

    /// Computed steps of a way whose velocity is `bend` times the place, and how far its end is from the true one.
    fn walk(tolerance: f32, bend: f32, steps: usize) -> (usize, f32) {
        let mut cache = StepCache::new(tolerance);
        let mut x = Tensor::<5>::ones([1, 1, 1, 1, 4], &Device::flex());
        let mut computed = 0;
        for _ in 0..steps {
            let velocity = cache.velocity(&x, || {
                computed += 1;
                Ok::<_, Infallible>(x.clone() * bend + 1.0)
            });
            let Ok(velocity) = velocity;
            x = x + velocity / steps as f32;
        }
        // dx/dt = bend·x + 1.
        let end = if bend == 0.0 { 2.0 } else { (1.0 + 1.0 / bend) * bend.exp() - 1.0 / bend };
        (computed, (values(x)[0] - end).abs())
    }

    #[test]
    fn without_tolerance_every_step_is_computed() {
        assert_eq!(walk(0.0, 0.5, 20).0, 20);
    }

    #[test]
    fn a_straight_way_needs_two_steps() {
        let (computed, error) = walk(0.05, 0.0, 20);
        assert_eq!(computed, 2);
        assert!(error < 1e-5, "{error}");
    }

    #[test]
    fn more_tolerance_computes_less_and_is_less_exact() {
        let (every, exact) = walk(0.0, 0.5, 50);
        let (some, near) = walk(0.03, 0.5, 50);
        let (few, far) = walk(0.2, 0.5, 50);
        assert!(few < some && some < every, "{few}, {some}, {every}");
        assert!(exact < near && near < far && far < 0.2, "{exact}, {near}, {far}");
    }

    #[test]
    fn what_cannot_be_computed_is_told() {
        let x = Tensor::<5>::ones([1, 1, 1, 1, 4], &Device::flex());
        assert_eq!(StepCache::new(0.1).velocity(&x, || Err("no")).err(), Some("no"));
    }
}
