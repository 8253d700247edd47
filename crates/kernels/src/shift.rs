//! Groups of channels moved by one cell: how the autoencoder looks at its neighbours without arithmetic.
//!
//! An eighth of the channels each comes from the left, from the right, from above, from below, and from one step
//! earlier in time, never later; three eighths stay. Cells without a neighbour get zeros.
//!
//! Source: Lin et al. 2018 (arXiv:1811.08383), with space added.

/// Moves the channels of `x`, `[B, T, H, W, C]`; `shape` is that of `x`.
///
/// Panics if lengths do not fit.
pub fn shift(x: &[f32], shape: [usize; 5], out: &mut [f32]) {
    moved(x, shape, false, out);
}

/// The gradient of `x` from that of the output: everything moves back.
///
/// Panics if lengths do not fit.
pub fn shift_backward(gradient: &[f32], shape: [usize; 5], out: &mut [f32]) {
    moved(gradient, shape, true, out);
}

/// Groups that move, each an eighth of the channels.
const GROUPS: usize = 5;

fn moved(x: &[f32], shape: [usize; 5], back: bool, out: &mut [f32]) {
    let [batch, frames, rows, columns, channels] = shape;
    assert_eq!(x.len(), batch * frames * rows * columns * channels);
    assert_eq!(x.len(), out.len());
    let group = channels / 8;
    // Where each group comes from: frames, rows and columns away.
    let from: [[isize; 3]; GROUPS] = [[0, 0, -1], [0, 0, 1], [0, -1, 0], [0, 1, 0], [-1, 0, 0]];
    let sign = if back { -1 } else { 1 };
    let other = |at: usize, by: isize, count: usize| at.checked_add_signed(sign * by).filter(|&at| at < count);
    let mut cells = out.chunks_exact_mut(channels);
    for clip in 0..batch {
        for frame in 0..frames {
            for row in 0..rows {
                for column in 0..columns {
                    let out = cells.next().expect("as many cells as the shape has");
                    let cell = |frame: usize, row: usize, column: usize| {
                        (((clip * frames + frame) * rows + row) * columns + column) * channels
                    };
                    for (index, [by_frame, by_row, by_column]) in from.into_iter().enumerate() {
                        let places = index * group..(index + 1) * group;
                        let neighbour = other(frame, by_frame, frames)
                            .zip(other(row, by_row, rows))
                            .zip(other(column, by_column, columns));
                        match neighbour {
                            Some(((frame, row), column)) => {
                                let at = cell(frame, row, column);
                                out[places.clone()].copy_from_slice(&x[at + places.start..at + places.end]);
                            }
                            None => out[places].fill(0.0),
                        }
                    }
                    let at = cell(frame, row, column);
                    out[GROUPS * group..].copy_from_slice(&x[at + GROUPS * group..at + channels]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn moving_back_is_the_adjoint() {
        let shape = [2, 3, 2, 4, 19];
        let count = shape.iter().product();
        let (x, y) = (random(count, 1), random(count, 2));
        let (mut there, mut back) = (vec![0.0; count], vec![0.0; count]);
        shift(&x, shape, &mut there);
        shift_backward(&y, shape, &mut back);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        assert!((dot(&there, &y) - dot(&x, &back)).abs() < 1e-3);
    }

    #[test]
    fn nothing_comes_from_the_future() {
        let shape = [1, 3, 2, 2, 16];
        let mut x = random(3 * 2 * 2 * 16, 1);
        let mut before = vec![0.0; x.len()];
        shift(&x, shape, &mut before);
        let later = 2 * 2 * 2 * 16;
        x[later..].fill(9.0);
        let mut after = vec![0.0; x.len()];
        shift(&x, shape, &mut after);
        assert_eq!(before[..later], after[..later]);
        assert_ne!(before[later..], after[later..]);
    }
}
