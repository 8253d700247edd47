//! What the tests of several modules need: weights that are not zero anywhere, and a distance.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};

use crate::flow::seeded_noise;

/// Normal values of any shape that depend on the seed alone.
pub(crate) fn seeded<const R: usize>(shape: [usize; R], seed: u64) -> Tensor<R> {
    let count = shape.iter().product();
    seeded_noise([1, 1, 1, 1, count], seed, &Device::flex()).reshape(shape)
}

/// The same network with weights that depend on the seed alone, none of them zero: a layer that starts at
/// zero would hide whatever happens inside its block.
pub(crate) fn with_random_weights<M: Module>(network: M, seed: u64) -> M {
    network.map(&mut RandomWeights { seed })
}

struct RandomWeights {
    seed: u64,
}

impl ModuleMapper for RandomWeights {
    fn map_float<const R: usize>(&mut self, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        self.seed += 1;
        param.map(|old| {
            let shape = old.dims();
            let random = seeded(shape, self.seed);
            // Matrices keep the variance of what goes through them; scales and biases stay near where they start.
            if R == 2 { random * (shape[0] as f32).powf(-0.5) } else { old + random * 0.1 }
        })
    }
}

/// The values of a tensor, row by row.
pub(crate) fn values<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The largest difference between two tensors of one shape; not a number if either holds something that is none.
pub(crate) fn difference<const R: usize>(a: Tensor<R>, b: Tensor<R>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let pairs = values(a).into_iter().zip(values(b));
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, |most, one| if one > most || one.is_nan() { one } else { most })
}

/// What a bound for 32-bit products becomes on this machine: where they are made of bfloat16, whose steps are 2¹⁶ times
/// as coarse, networks with random weights land further apart.
pub(crate) fn rounding(exact: f32, rounded: f32) -> f32 {
    if kernels::Unit::fastest(kernels::Format::Bf16).gains() { rounded } else { exact }
}
