//! Positions: rotary ones on three axes, seconds, rows and columns; and where a cell is in its frame.
//!
//! Source: Su et al. 2021 (arXiv:2104.09864), the axes split over the head as in video transformers.
//! Time is in seconds and space is measured from the middle of the frame, so that other frame rates,
//! lengths and shapes fall on positions the model has seen.

use burn::tensor::{Device, Tensor};

/// How one head's channels are divided among the axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RopeAxes {
    /// Channels for time; even.
    pub time: usize,
    /// Channels for each of rows and columns; even.
    pub space: usize,
}

/// Shortest and longest wavelength on the time axis, in seconds.
const TIME_WAVELENGTHS: (f32, f32) = (1.5, 200.0);
/// Shortest and longest wavelength on the spatial axes, in latent cells.
const SPACE_WAVELENGTHS: (f32, f32) = (2.5, 120.0);

impl RopeAxes {
    /// A quarter of an even head for time, or a little more where the rest does not divide evenly; the rest
    /// shared by rows and columns.
    pub(crate) fn for_head(head_width: usize) -> Self {
        let space = head_width * 3 / 8 / 2 * 2;
        Self { time: head_width - 2 * space, space }
    }
}

/// Cosines and sines of the angles that heads are turned by, `[1, 1, L, head/2]` each.
#[derive(Clone, Debug)]
pub(crate) struct RopeTables {
    pub cos: Tensor<4>,
    pub sin: Tensor<4>,
}

/// The tables for latent frames at `times_s` on a grid of `rows × columns`; L = T·H·W.
pub(crate) fn rope_tables(axes: RopeAxes, times_s: &[f32], rows: usize, columns: usize, device: &Device) -> RopeTables {
    let half = axes.time / 2 + axes.space;
    let mut angles = Vec::with_capacity(times_s.len() * rows * columns * half);
    let centred = |index: usize, count: usize| index as f32 - (count as f32 - 1.0) / 2.0;
    for &time_s in times_s {
        for row in 0..rows {
            for column in 0..columns {
                push_angles(&mut angles, time_s, axes.time / 2, TIME_WAVELENGTHS);
                push_angles(&mut angles, centred(row, rows), axes.space / 2, SPACE_WAVELENGTHS);
                push_angles(&mut angles, centred(column, columns), axes.space / 2, SPACE_WAVELENGTHS);
            }
        }
    }
    let length = times_s.len() * rows * columns;
    let angles = Tensor::<1>::from_floats(angles.as_slice(), device).reshape([1, 1, length, half]);
    RopeTables { cos: angles.clone().cos(), sin: angles.sin() }
}

fn push_angles(angles: &mut Vec<f32>, position: f32, count: usize, (shortest, longest): (f32, f32)) {
    for index in 0..count {
        let fraction = index as f32 / (count as f32 - 1.0).max(1.0);
        let wavelength = shortest * (longest / shortest).powf(fraction);
        angles.push(position * std::f32::consts::TAU / wavelength);
    }
}

/// Waves on each axis of [`place_features`], in cells and in shares of the frame.
const PLACE_WAVES: (usize, usize) = (5, 3);
/// Features of a place: cosines and sines of every wave on two axes.
pub(crate) const PLACE_FEATURES: usize = 4 * (PLACE_WAVES.0 + PLACE_WAVES.1);

/// Where each cell is, from the middle of the frame in cells (things have a size) and in shares of the frame (a horizon
/// has a height): `[rows·columns, PLACE_FEATURES]`.
pub(crate) fn place_features(rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    let mut angles = Vec::with_capacity(rows * columns * PLACE_FEATURES / 2);
    for row in 0..rows {
        for column in 0..columns {
            for (index, count) in [(row, rows), (column, columns)] {
                let centred = index as f32 - (count as f32 - 1.0) / 2.0;
                push_angles(&mut angles, centred, PLACE_WAVES.0, SPACE_WAVELENGTHS);
                // Half a turn over the frame, one, two.
                push_angles(&mut angles, centred / count as f32, PLACE_WAVES.1, (0.5, 2.0));
            }
        }
    }
    let angles = Tensor::<1>::from_floats(angles.as_slice(), device).reshape([rows * columns, PLACE_FEATURES / 2]);
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1)
}

/// Rotates the two halves of each head by the tables: `[B, N, L, head]`, same shape out.
pub(crate) fn rotate(x: Tensor<4>, RopeTables { cos, sin }: &RopeTables) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let (a, b) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    Tensor::cat(vec![a.clone() * cos.clone() - b.clone() * sin.clone(), a * sin.clone() + b * cos.clone()], 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores depend on the difference of positions alone, so a clip may start anywhere in time.
    #[test]
    fn scores_are_relative_in_time() {
        let device = Device::flex();
        let axes = RopeAxes::for_head(64);
        let query = Tensor::<4>::random([1, 1, 1, 64], burn::tensor::Distribution::Default, &device);
        let key = Tensor::<4>::random([1, 1, 1, 64], burn::tensor::Distribution::Default, &device);
        let score = |from_s: f32, to_s: f32| {
            let q = rotate(query.clone(), &rope_tables(axes, &[from_s], 1, 1, &device));
            let k = rotate(key.clone(), &rope_tables(axes, &[to_s], 1, 1, &device));
            (q * k).sum().into_scalar::<f32>()
        };
        assert!((score(0.0, 2.0) - score(7.0, 9.0)).abs() < 1e-4);
        assert!((score(0.0, 2.0) - score(0.0, 3.0)).abs() > 1e-4);
    }
}
