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
    /// Mean 0 and variance 1 for every row of `x`, `[rows, width]`, then scale and shift of `modulation`.
    ///
    /// Panics if lengths do not fit.
    pub fn layer_norm(x: &[f32], modulation: Modulation<'_>, epsilon: f32, out: &mut [f32]) {
        check(x.len(), out.len(), modulation);
        let Modulation { width, group, scale, base, shift } = modulation;
        for (row, (x, out)) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            let mean = sum(x) / width as f32;
            for (out, &x) in out.iter_mut().zip(x) {
                *out = x - mean;
            }
            let inverse = 1.0 / (dot(out, out) / width as f32 + epsilon).sqrt();
            let scale = line(scale, row / group, width);
            match shift {
                Some(shift) => {
                    let shift = line(shift, row / group, width);
                    for ((out, &scale), &shift) in out.iter_mut().zip(scale).zip(shift) {
                        *out = *out * inverse * (base + scale) + shift;
                    }
                }
                None => {
                    for (out, &scale) in out.iter_mut().zip(scale) {
                        *out = *out * inverse * (base + scale);
                    }
                }
            }
        }
    }
}

vectorized! {
    /// Divides every row of `x`, `[rows, gamma]`, by its root mean square, scales it by `gamma`, and turns the two halves of
    /// each head by the angles of the row: cosines and sines, `[rows, head_width / 2]` each.
    ///
    /// Panics if lengths do not fit.
    pub fn rms_norm_rotate(
        x: &mut [f32],
        gamma: &[f32],
        head_width: usize,
        rotation: Option<[&[f32]; 2]>,
        epsilon: f32,
    ) {
        let width = gamma.len();
        assert!(width > 0 && x.len().is_multiple_of(width), "whole rows");
        assert!(head_width > 0 && width.is_multiple_of(head_width), "whole heads");
        let half = head_width / 2;
        let angles = x.len() / width * half;
        assert!(rotation.is_none_or(|tables| tables.iter().all(|table| table.len() == angles)), "one angle a pair");
        assert!(rotation.is_none() || head_width.is_multiple_of(2), "whole pairs");
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            let inverse = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
            for (x, &gamma) in x.iter_mut().zip(gamma) {
                *x = *x * inverse * gamma;
            }
            let Some([cos, sin]) = rotation.map(|tables| tables.map(|table| line(table, row, half))) else { continue };
            for head in x.chunks_exact_mut(head_width) {
                let (a, b) = head.split_at_mut(half);
                for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
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

/// Σ x in sixteen sums side by side.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (blocks, rest) = x.as_chunks::<16>();
    for block in blocks {
        for lane in 0..16 {
            sums[lane] += block[lane];
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
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
    fn a_row_has_mean_0_and_variance_1_before_its_scale() {
        let x: Vec<f32> = random(ROWS * WIDTH, 1).iter().map(|x| 3.0 * x + 5.0).collect();
        let (scale, shift) = (random(2 * WIDTH, 2), random(2 * WIDTH, 3));
        for shift in [None, Some(&shift[..])] {
            let mut out = vec![f32::NAN; x.len()];
            layer_norm(&x, Modulation { width: WIDTH, group: GROUP, scale: &scale, base: 1.0, shift }, 1e-6, &mut out);
            for (row, (x, out)) in x.chunks(WIDTH).zip(out.chunks(WIDTH)).enumerate() {
                let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let mean = exact.iter().sum::<f64>() / WIDTH as f64;
                let variance = exact.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / WIDTH as f64;
                for channel in 0..WIDTH {
                    let at = row / GROUP * WIDTH + channel;
                    let normal = (exact[channel] - mean) / (variance + 1e-6).sqrt();
                    let expected =
                        normal * (1.0 + f64::from(scale[at])) + shift.map_or(0.0, |shift| f64::from(shift[at]));
                    assert!((f64::from(out[channel]) - expected).abs() < 1e-5, "{} for {expected}", out[channel]);
                }
            }
        }
    }

    #[test]
    fn a_norm_over_all_heads_turns_the_halves_of_each() {
        const HEAD: usize = 10;
        let (x, gamma) = (random(ROWS * WIDTH, 1), random(WIDTH, 2));
        let (cos, sin) = (random(ROWS * HEAD / 2, 3), random(ROWS * HEAD / 2, 4));
        for turned in [false, true] {
            let mut out = x.clone();
            rms_norm_rotate(&mut out, &gamma, HEAD, turned.then_some([&cos, &sin]), 1e-6);
            for (row, (x, out)) in x.chunks(WIDTH).zip(out.chunks(WIDTH)).enumerate() {
                let square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / WIDTH as f64;
                let normal = |at: usize| f64::from(x[at]) / (square + 1e-6).sqrt() * f64::from(gamma[at]);
                for (at, out) in out.iter().enumerate() {
                    let (first, pair) = (at / HEAD * HEAD, at % HEAD % (HEAD / 2));
                    let (a, b) = (normal(first + pair), normal(first + pair + HEAD / 2));
                    let table = |values: &[f32]| f64::from(values[row * HEAD / 2 + pair]);
                    let (c, s) = if turned { (table(&cos), table(&sin)) } else { (1.0, 0.0) };
                    let expected = if at % HEAD < HEAD / 2 { a * c - b * s } else { a * s + b * c };
                    assert!((f64::from(*out) - expected).abs() < 1e-5, "{out} for {expected}");
                }
            }
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
