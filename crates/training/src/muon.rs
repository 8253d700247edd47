//! Muon: momentum whose direction is made orthogonal, for the matrices of a transformer's blocks.
//!
//! The tensor library has the same optimiser, but on the CPU its five iterations take as long as the gradients of a
//! small batch. This one makes its products in `kernels`.
//!
//! Sources: Jordan et al. 2024 (Muon: an optimizer for hidden layers in neural networks) for the iteration and its
//! coefficients; Liu et al. 2025 (arXiv:2502.16982) for the scale that lets it share AdamW's learning rate.

use burn::optim::momentum::{Momentum, MomentumConfig, MomentumState};
use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use kernels::{Matrix, Start, multiply};

/// The optimiser.
#[derive(Clone)]
pub(crate) struct Muon {
    momentum: Momentum,
    weight_decay: f64,
}

impl Muon {
    /// `weight_decay`: share of a weight that is lost in a step, at a learning rate of one.
    pub(crate) fn new(weight_decay: f32) -> Self {
        let momentum = MomentumConfig { momentum: 0.95, dampening: 0.0, nesterov: true };
        Self { momentum: Momentum::new(&momentum), weight_decay: f64::from(weight_decay) }
    }
}

impl Optimizer for Muon {
    type State<const D: usize> = MomentumState<D>;

    /// Panics unless the tensor is a matrix.
    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let shape = tensor.dims();
        let [rows, columns] = *shape.as_slice() else { panic!("only a matrix can be made orthogonal") };
        let (direction, state) = self.momentum.transform(gradient, state);
        let values = direction.into_data().try_to_vec::<f32>().expect("gradients are f32");
        let direction = TensorData::new(orthogonal(values, rows, columns), shape);
        let direction = Tensor::<D>::from_data(direction, &tensor.device());
        // The root mean square of AdamW's steps is about 0.2.
        let step = rate * 0.2 * (rows.max(columns) as f64).sqrt();
        (tensor.mul_scalar(1.0 - rate * self.weight_decay) - direction.mul_scalar(step), Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.to_device(device)
    }
}

/// The nearest matrix whose rows or columns, whichever are fewer, are orthonormal; roughly: singular values end up
/// between 0.7 and 1.2.
fn orthogonal(mut matrix: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    const COEFFICIENTS: [f32; 3] = [3.4445, -4.775, 2.0315];
    const ITERATIONS: usize = 5;
    let norm = matrix.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt().max(1e-7) as f32;
    matrix.iter_mut().for_each(|value| *value /= norm);

    // X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ, or the same from the other side where that A is smaller.
    let tall = rows > columns;
    let side = rows.min(columns);
    let [a, b, c] = COEFFICIENTS;
    let (mut gram, mut sum, mut next) = (vec![0.0; side * side], vec![0.0; side * side], vec![0.0; matrix.len()]);
    for _ in 0..ITERATIONS {
        let x = Matrix::new(&matrix, rows, columns, columns);
        let (left, right) = if tall { (x.transposed(), x) } else { (x, x.transposed()) };
        multiply(left, right, &mut gram, side, Start::Zero);
        let square = Matrix::new(&gram, side, side, side);
        multiply(square, square, &mut sum, side, Start::Zero);
        for (sum, gram) in sum.iter_mut().zip(&gram) {
            *sum = b * gram + c * *sum;
        }
        let sum = Matrix::new(&sum, side, side, side);
        let (left, right) = if tall { (x, sum) } else { (sum, x) };
        multiply(left, right, &mut next, columns, Start::Zero);
        for (value, next) in matrix.iter_mut().zip(&next) {
            *value = a * *value + next;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clips::generator;
    use rand::RngExt as _;

    #[test]
    fn singular_values_come_close_to_one() {
        for (rows, columns) in [(24, 60), (60, 24), (32, 32)] {
            let mut random = generator(1, rows, columns);
            let matrix: Vec<f32> = (0..rows * columns).map(|_| random.random_range(-1.0..1.0)).collect();
            let matrix = orthogonal(matrix, rows, columns);
            // The trace of the smaller Gram matrix is the sum of the squared singular values.
            let mean = matrix.iter().map(|value| value * value).sum::<f32>() / rows.min(columns) as f32;
            assert!((0.6..1.3).contains(&mean), "{rows} × {columns}: {mean}");
        }
    }
}
