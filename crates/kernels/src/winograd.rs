//! Convolutions by 3 × 3 as products at 36 points: a tile of 6 × 6 values gives 4 × 4 results with 36 multiplications in
//! place of 144.
//!
//! The points are 0, ±2/3, ±3/2 and infinity: their products are 1, which makes the sums short, and of the sets tried
//! they lose least to rounding (1.5e-6 of the result's length at a depth of 288, where a plain sum loses 4e-7).
//!
//! Sources: Winograd 1980 (Arithmetic Complexity of Computations), Lavin & Gray 2015 (arXiv:1509.09308); the construction from
//! points is Toom's and Cook's.
#![allow(clippy::needless_range_loop, reason = "rows, columns and lanes are counted, as in the formulas")]

use crate::panel::WIDTH;
use crate::vectorized::vectorized;

/// Points of a tile.
pub(crate) const POINTS: usize = SIDE * SIDE;
/// Sides of what a tile reads.
pub(crate) const SIDE: usize = 6;
/// Sides of what a tile gives.
pub(crate) const STEP: usize = 4;
/// Channels are transformed this many at a time.
pub(crate) const LANES: usize = 16;

const A: f32 = 2.0 / 3.0;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

type Lanes = [f32; LANES];

#[inline(always)]
fn lanes(function: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(function)
}

/// One line of six values at the six points.
#[inline(always)]
fn into_points(d: [Lanes; SIDE]) -> [Lanes; SIDE] {
    let even_a = lanes(|i| d[4][i] - B2 * d[2][i]);
    let odd_a = lanes(|i| A * d[3][i] - B * d[1][i]);
    let even_b = lanes(|i| d[4][i] - A2 * d[2][i]);
    let odd_b = lanes(|i| B * d[3][i] - A * d[1][i]);
    [
        lanes(|i| d[0][i] + d[4][i] - (A2 + B2) * d[2][i]),
        lanes(|i| even_a[i] + odd_a[i]),
        lanes(|i| even_a[i] - odd_a[i]),
        lanes(|i| even_b[i] + odd_b[i]),
        lanes(|i| even_b[i] - odd_b[i]),
        lanes(|i| d[1][i] + d[5][i] - (A2 + B2) * d[3][i]),
    ]
}

/// Four results from the products at the six points.
#[inline(always)]
fn from_points(m: [Lanes; SIDE]) -> [Lanes; STEP] {
    let sum_a = lanes(|i| m[1][i] + m[2][i]);
    let apart_a = lanes(|i| m[1][i] - m[2][i]);
    let sum_b = lanes(|i| m[3][i] + m[4][i]);
    let apart_b = lanes(|i| m[3][i] - m[4][i]);
    [
        lanes(|i| m[0][i] + sum_a[i] + sum_b[i]),
        lanes(|i| A * apart_a[i] + B * apart_b[i]),
        lanes(|i| A2 * sum_a[i] + B2 * sum_b[i]),
        lanes(|i| A2 * A * apart_a[i] + B2 * B * apart_b[i] + m[5][i]),
    ]
}

/// Three weights at the six points.
#[inline(always)]
fn weights_at_points(g: [Lanes; 3]) -> [Lanes; SIDE] {
    const AT_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
    const AT_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));
    let even_a = lanes(|i| AT_A * (g[0][i] + A2 * g[2][i]));
    let odd_a = lanes(|i| AT_A * A * g[1][i]);
    let even_b = lanes(|i| AT_B * (g[0][i] + B2 * g[2][i]));
    let odd_b = lanes(|i| AT_B * B * g[1][i]);
    [
        g[0],
        lanes(|i| even_a[i] + odd_a[i]),
        lanes(|i| even_a[i] - odd_a[i]),
        lanes(|i| even_b[i] + odd_b[i]),
        lanes(|i| even_b[i] - odd_b[i]),
        g[2],
    ]
}

#[inline(always)]
fn load(values: &[f32], at: usize) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&values[at..at + LANES]);
    lanes
}

vectorized! {
    /// Tiles of a patch, side by side, at the points.
    ///
    /// # Shapes
    /// `patch`: `[6, columns, channels]`, channels a multiple of 16, `columns` at least 2 more than four a tile. A line of
    /// `out` is a tile, `[36, channels]`; lines start `stride` apart.
    pub(crate) fn tiles_at_points(patch: &[f32], columns: usize, channels: usize, tiles: usize, out: &mut [f32], stride: usize) {
        for tile in 0..tiles {
            let out = &mut out[tile * stride..][..POINTS * channels];
            for channel in (0..channels).step_by(LANES) {
                let mut half = [[[0f32; LANES]; SIDE]; SIDE];
                for column in 0..SIDE {
                    let at = (tile * STEP + column) * channels + channel;
                    let line = into_points(std::array::from_fn(|row| load(patch, at + row * columns * channels)));
                    for row in 0..SIDE {
                        half[row][column] = line[row];
                    }
                }
                for row in 0..SIDE {
                    let line = into_points(half[row]);
                    for column in 0..SIDE {
                        let at = (row * SIDE + column) * channels + channel;
                        out[at..at + LANES].copy_from_slice(&line[column]);
                    }
                }
            }
        }
    }
}

vectorized! {
    /// A panel of weights at the points.
    ///
    /// # Shapes
    /// `weights`: `[taps, 3, 3, depth, 32]`; `out`: `[36, taps, depth, 32]`.
    pub(crate) fn weights_panel(weights: &[f32], taps: usize, depth: usize, out: &mut [f32]) {
        let (from, to) = (depth * WIDTH, taps * depth * WIDTH);
        for tap in 0..taps {
            for at in (0..depth * WIDTH).step_by(LANES) {
                let mut half = [[[0f32; LANES]; 3]; SIDE];
                for column in 0..3 {
                    let first = (tap * 9 + column) * from + at;
                    let line = weights_at_points(std::array::from_fn(|row| load(weights, first + 3 * row * from)));
                    for row in 0..SIDE {
                        half[row][column] = line[row];
                    }
                }
                for row in 0..SIDE {
                    let line = weights_at_points(half[row]);
                    for column in 0..SIDE {
                        let at = (row * SIDE + column) * to + tap * from + at;
                        out[at..at + LANES].copy_from_slice(&line[column]);
                    }
                }
            }
        }
    }
}

/// Where the results of tiles go.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Rows and columns of pixels from the first tile on.
    pub(crate) size: [usize; 2],
    /// Tiles side by side.
    pub(crate) across: usize,
    /// The first tile.
    pub(crate) first: usize,
    /// Channels of a pixel.
    pub(crate) channels: usize,
    /// The first channel of the panel, and how many it has.
    pub(crate) panel: [usize; 2],
    /// Whether results are added to what is there.
    pub(crate) added: bool,
}

vectorized! {
    /// Results of tiles from their products at the points.
    ///
    /// # Shapes
    /// `products`: `[tiles, 36, 32]`; `bias`: `[32]`; `out`: `[rows, columns, channels]`.
    pub(crate) fn tiles_from_points(products: &[f32], bias: &[f32], target: Target, out: &mut [f32]) {
        let Target { size: [rows, columns], across, first, channels, panel: [channel, count], added } = target;
        for (tile, products) in products.as_chunks::<{ POINTS * WIDTH }>().0.iter().enumerate() {
            let tile = first + tile;
            let (top, left) = (tile / across * STEP, tile % across * STEP);
            let (height, width) = (STEP.min(rows - top), STEP.min(columns - left));
            for at in (0..count).step_by(LANES) {
                let bias = load(bias, at);
                let mut half = [[[0f32; LANES]; SIDE]; STEP];
                for column in 0..SIDE {
                    let line = from_points(std::array::from_fn(|row| load(products, (row * SIDE + column) * WIDTH + at)));
                    for row in 0..STEP {
                        half[row][column] = line[row];
                    }
                }
                for row in 0..height {
                    let line = from_points(half[row]);
                    for column in 0..width {
                        let to = ((top + row) * columns + left + column) * channels + channel + at;
                        let sums = lanes(|i| line[column][i] + bias[i]);
                        if count - at >= LANES {
                            let out = &mut out[to..to + LANES];
                            if added {
                                for i in 0..LANES {
                                    out[i] += sums[i];
                                }
                            } else {
                                out.copy_from_slice(&sums);
                            }
                        } else {
                            for (out, sum) in out[to..to + count - at].iter_mut().zip(&sums) {
                                *out = if added { *out + sum } else { *sum };
                            }
                        }
                    }
                }
            }
        }
    }
}
