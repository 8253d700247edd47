//! What the tests of several modules need.

use rand::{RngExt as _, SeedableRng as _};

/// Values in −1…1 that depend on the seed alone.
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut generator = rand_pcg::Pcg64::seed_from_u64(seed);
    (0..count).map(|_| generator.random_range(-1.0..1.0)).collect()
}

/// The norm of the difference over the norm of what is expected.
pub(crate) fn relative_error(values: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(values.len(), expected.len());
    let squared = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let apart = squared(&mut values.iter().zip(expected).map(|(a, b)| a - b));
    (apart / squared(&mut expected.iter().copied()).max(1e-12)).sqrt() as f32
}

/// The gradient of `Σ weights · function(input)` by central differences, one input value at a time.
pub(crate) fn numeric_gradient(input: &[f32], weights: &[f32], function: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
    const STEP: f32 = 1e-2;
    let value = |input: &[f32]| -> f64 {
        function(input).iter().zip(weights).map(|(&y, &w)| f64::from(y) * f64::from(w)).sum()
    };
    (0..input.len())
        .map(|at| {
            let mut moved = input.to_vec();
            moved[at] += STEP;
            let above = value(&moved);
            moved[at] = input[at] - STEP;
            ((above - value(&moved)) / (2.0 * f64::from(STEP))) as f32
        })
        .collect()
}
