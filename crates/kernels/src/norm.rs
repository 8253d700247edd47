//! Division by the root mean square, scaled and shifted; and the gated sum that closes a residual branch.
//!
//! Rows come in groups that share one line of scale, shift or gate: the cells of a latent frame, or all rows.
//!
//! Sources: Zhang & Sennrich 2019 (arXiv:1910.07467) for the norm; Peebles & Xie 2023 (arXiv:2212.09748) for
//! modulation and gates.

use crate::vectorized::vectorized;

/// Added to the mean square.
pub const EPSILON: f32 = 1e-6;

/// `out = x / rms(x) · (1 + scale) + shift`, or without the one.
#[derive(Clone, Copy, Debug)]
pub struct Modulation<'a> {
    /// Width of a row.
    pub width: usize,
    /// Rows that share a line of `scale` and `shift`.
    pub group: usize,
    /// One line a group.
    pub scale: &'a [f32],
    /// What is added to the scale: 1 for a modulation that starts at zero, 0 for a plain scale.
    pub base: f32,
    /// One line a group, if there is a shift.
    pub shift: Option<&'a [f32]>,
}

/// Gradients of a [`Modulation`], added to what is there.
#[derive(Debug)]
pub struct ModulationGradients<'a> {
    /// As the scale.
    pub scale: &'a mut [f32],
    /// As the shift; empty without one.
    pub shift: &'a mut [f32],
}

vectorized! {
    /// The norm of every row of `x`, `[rows, width]`.
    ///
    /// Panics if lengths do not fit.
    pub fn modulate(x: &[f32], modulation: Modulation<'_>, out: &mut [f32]) {
        check(x.len(), out.len(), modulation);
        let Modulation { width, group, scale, base, shift } = modulation;
        for (row, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            let scale = line(scale, row / group, width);
            let inverse = inverse_root_mean_square(x);
            match shift {
                Some(shift) => {
                    let shift = line(shift, row / group, width);
                    for (((out, &x), &scale), &shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                        *out = x * inverse * (base + scale) + shift;
                    }
                }
                None => {
                    for ((out, &x), &scale) in out.iter_mut().zip(x).zip(scale) {
                        *out = x * inverse * (base + scale);
                    }
                }
            }
        }
    }
}

vectorized! {
    /// `gradient`, that of the output, becomes that of `x`; those of scale and shift are added to `gradients`.
    ///
    /// Panics if lengths do not fit.
    pub fn modulate_backward(
        x: &[f32],
        modulation: Modulation<'_>,
        gradient: &mut [f32],
        gradients: ModulationGradients<'_>,
    ) {
        check(x.len(), gradient.len(), modulation);
        let Modulation { width, group, scale, base, shift } = modulation;
        assert_eq!(gradients.scale.len(), scale.len());
        assert_eq!(gradients.shift.len(), shift.map_or(0, <[f32]>::len));
        for (row, (x, gradient)) in x.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).enumerate() {
            let at = row / group * width;
            let inverse = inverse_root_mean_square(x);
            if shift.is_some() {
                for (sum, &gradient) in gradients.shift[at..at + width].iter_mut().zip(&*gradient) {
                    *sum += gradient;
                }
            }
            for ((sum, &gradient), &x) in
                gradients.scale[at..at + width].iter_mut().zip(&*gradient).zip(x)
            {
                *sum += gradient * x * inverse;
            }
            for (gradient, &scale) in gradient.iter_mut().zip(line(scale, row / group, width)) {
                *gradient *= base + scale;
            }
            let along = dot(gradient, x) * inverse * inverse / width as f32;
            for (gradient, &x) in gradient.iter_mut().zip(x) {
                *gradient = inverse * (*gradient - x * along);
            }
        }
    }
}

vectorized! {
    /// `out = x + branch · (1 + gate)`, one line of `gate` a group of rows.
    ///
    /// Panics if lengths do not fit.
    pub fn gated_add(x: &[f32], branch: &[f32], gate: &[f32], width: usize, group: usize, out: &mut [f32]) {
        assert!(x.len() == branch.len() && x.len() == out.len(), "one shape");
        assert_eq!(gate.len() * group, x.len(), "one line of gates a group");
        let rows = x.chunks_exact(width).zip(branch.chunks_exact(width)).zip(out.chunks_exact_mut(width));
        for (row, ((x, branch), out)) in rows.enumerate() {
            let gate = line(gate, row / group, width);
            for (((out, &x), &branch), &gate) in out.iter_mut().zip(x).zip(branch).zip(gate) {
                *out = x + branch * (1.0 + gate);
            }
        }
    }
}

vectorized! {
    /// `gradient`, that of the output and of `x`, becomes that of the branch; that of the gate is added to `gate_gradient`.
    ///
    /// Panics if lengths do not fit.
    pub fn gated_add_backward(
        branch: &[f32],
        gate: &[f32],
        width: usize,
        group: usize,
        gradient: &mut [f32],
        gate_gradient: &mut [f32],
    ) {
        assert_eq!(branch.len(), gradient.len(), "one shape");
        assert!(gate.len() * group == branch.len() && gate.len() == gate_gradient.len(), "one line of gates a group");
        let rows = branch.chunks_exact(width).zip(gradient.chunks_exact_mut(width));
        for (row, (branch, gradient)) in rows.enumerate() {
            let at = row / group * width;
            let sums = &mut gate_gradient[at..at + width];
            let gate = &gate[at..at + width];
            for (((sum, gradient), &branch), &gate) in sums.iter_mut().zip(gradient).zip(branch).zip(gate) {
                *sum += *gradient * branch;
                *gradient *= 1.0 + gate;
            }
        }
    }
}

fn check(x: usize, out: usize, modulation: Modulation<'_>) {
    let Modulation { width, group, scale, shift, .. } = modulation;
    assert_eq!(x, out, "one shape");
    assert!(width > 0 && group > 0 && x.is_multiple_of(width), "whole rows");
    assert!(scale.len() * group >= x && scale.len().is_multiple_of(width), "one line of scales a group");
    assert!(shift.is_none_or(|shift| shift.len() == scale.len()), "as many shifts as scales");
}

#[inline(always)]
fn line(values: &[f32], index: usize, width: usize) -> &[f32] {
    &values[index * width..(index + 1) * width]
}

#[inline(always)]
pub(crate) fn inverse_root_mean_square(x: &[f32]) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + EPSILON).sqrt()
}

/// Σ a · b in sixteen sums side by side, so that it can be vectors.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{numeric_gradient, random, relative_error};

    const WIDTH: usize = 20;
    const GROUP: usize = 3;
    const ROWS: usize = 6;

    fn modulated(x: &[f32], scale: &[f32], shift: &[f32]) -> Vec<f32> {
        let modulation = Modulation { width: WIDTH, group: GROUP, scale, base: 1.0, shift: Some(shift) };
        let mut out = vec![0.0; x.len()];
        modulate(x, modulation, &mut out);
        out
    }

    #[test]
    fn a_row_has_mean_square_one_before_its_scale() {
        let x = random(ROWS * WIDTH, 1);
        let mut out = vec![0.0; x.len()];
        let modulation = Modulation { width: WIDTH, group: ROWS, scale: &[1.0; WIDTH], base: 0.0, shift: None };
        modulate(&x, modulation, &mut out);
        for row in out.chunks(WIDTH) {
            assert!((dot(row, row) / WIDTH as f32 - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn gradients_of_a_modulation_are_those_of_the_function() {
        let (x, weights) = (random(ROWS * WIDTH, 1), random(ROWS * WIDTH, 2));
        let (scale, shift) = (random(2 * WIDTH, 3), random(2 * WIDTH, 4));
        let mut gradient = weights.clone();
        let (mut by_scale, mut by_shift) = (vec![0.0; scale.len()], vec![0.0; shift.len()]);
        let modulation = Modulation { width: WIDTH, group: GROUP, scale: &scale, base: 1.0, shift: Some(&shift) };
        let gradients = ModulationGradients { scale: &mut by_scale, shift: &mut by_shift };
        modulate_backward(&x, modulation, &mut gradient, gradients);
        let close = |gradient: &[f32], expected: Vec<f32>| assert!(relative_error(gradient, &expected) < 2e-3);
        close(&gradient, numeric_gradient(&x, &weights, |x| modulated(x, &scale, &shift)));
        close(&by_scale, numeric_gradient(&scale, &weights, |scale| modulated(&x, scale, &shift)));
        close(&by_shift, numeric_gradient(&shift, &weights, |shift| modulated(&x, &scale, shift)));
    }

    #[test]
    fn gradients_of_a_gated_sum_are_those_of_the_function() {
        let (x, branch) = (random(ROWS * WIDTH, 1), random(ROWS * WIDTH, 2));
        let (gate, weights) = (random(2 * WIDTH, 3), random(ROWS * WIDTH, 4));
        let gated = |branch: &[f32], gate: &[f32]| {
            let mut out = vec![0.0; x.len()];
            gated_add(&x, branch, gate, WIDTH, GROUP, &mut out);
            out
        };
        let (mut gradient, mut by_gate) = (weights.clone(), vec![0.0; gate.len()]);
        gated_add_backward(&branch, &gate, WIDTH, GROUP, &mut gradient, &mut by_gate);
        let expected = numeric_gradient(&branch, &weights, |branch| gated(branch, &gate));
        assert!(relative_error(&gradient, &expected) < 1e-3);
        let expected = numeric_gradient(&gate, &weights, |gate| gated(&branch, gate));
        assert!(relative_error(&by_gate, &expected) < 1e-3);
    }
}
