//! The upscaler: what a larger picture needs beside a smooth enlargement.
//!
//! Cells of 2 × 2 pixels run through a few residual blocks, each of which sees some channels of the eight cells around. The
//! last layer says for each of the 100 pixels that a cell becomes what is to be added to an enlargement by a common filter.
//! So nothing runs at the larger size but that sum, a network that says nothing leaves the filter's picture, and a frame
//! depends on no other: a still scene cannot flicker.
//!
//! Sources: Shi et al. 2016 (arXiv:1609.05158) for layers at the smaller size and the shuffle at the end; Dong et al. 2016
//! (arXiv:1608.00367) for how little is enough.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kernels::{Format, Rows, Then};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::fused;
use crate::layers::{Linear, linear};

/// The shape of an [`Upscaler`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpscalerConfig {
    /// Times that both sides grow.
    pub factor: usize,
    /// Channels of a cell.
    pub width: usize,
    /// Those of them that the cells around see.
    pub shared: usize,
    /// Channels inside a block.
    pub hidden: usize,
    /// Residual blocks.
    pub blocks: usize,
}

/// Side of a cell in pixels of the small picture.
const CELL: usize = 2;
/// Values of a cell of the small picture.
const CELL_VALUES: usize = CELL * CELL * 3;
/// Rows and columns to the cells around.
const AROUND: [[usize; 2]; 8] = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1], [2, 2]];

impl UpscalerConfig {
    /// Five times, for native frames to 720p.
    pub fn small() -> Self {
        Self { factor: 5, width: 64, shared: 16, hidden: 64, blocks: 4 }
    }

    /// Values that a cell becomes.
    fn patch_values(&self) -> usize {
        CELL_VALUES * self.factor * self.factor
    }
}

/// The network, as it learns. [`Upscaler::sharpener`] makes of it what enlarges frames.
#[derive(Module, Debug)]
pub struct Upscaler {
    /// Nine cells → width.
    pub embedding: Linear,
    /// In order.
    pub blocks: Vec<NeighbourBlock>,
    /// Width → what is added to the pixels of the cell.
    pub output: Linear,
    #[module(skip)]
    config: UpscalerConfig,
}

/// A residual block: a cell and some channels of those around, then two layers.
#[derive(Module, Debug)]
pub struct NeighbourBlock {
    /// Width + 8 · shared → hidden.
    pub up: Linear,
    /// Hidden → width.
    pub down: Linear,
}

impl Upscaler {
    /// A network that adds nothing yet.
    pub fn new(config: &UpscalerConfig, device: &Device) -> Self {
        let UpscalerConfig { width, shared, hidden, blocks, .. } = *config;
        let block = |_| NeighbourBlock {
            up: linear(width + AROUND.len() * shared, hidden, 1.0, device),
            down: linear(hidden, width, 0.0, device),
        };
        Self {
            embedding: linear(CELL_VALUES * (1 + AROUND.len()), width, 1.0, device),
            blocks: (0..blocks).map(block).collect(),
            output: linear(width, config.patch_values(), 0.0, device),
            config: config.clone(),
        }
    }

    /// The shape it was made with.
    pub fn config(&self) -> &UpscalerConfig {
        &self.config
    }

    /// What is added to an enlargement: the path of training.
    ///
    /// # Shapes
    /// `small`: `[B, H, W, 3]` in −1…1, sides even. Returns `[B, factor·H, factor·W, 3]` on the same scale.
    ///
    /// Panics if a side is odd.
    pub fn forward(&self, small: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, _] = small.dims();
        assert!(height.is_multiple_of(CELL) && width.is_multiple_of(CELL), "whole cells");
        let (rows, columns) = (height / CELL, width / CELL);
        let cells = small.reshape([batch * rows, CELL, columns, CELL * 3]).swap_dims(1, 2);
        let cells = cells.reshape([batch, rows, columns, CELL_VALUES]);
        let mut x = self.embedding.forward(with_neighbours(cells, CELL_VALUES));
        for block in &self.blocks {
            let seen = with_neighbours(x.clone(), self.config.shared);
            x = x + block.down.forward(fused::gelu(block.up.forward(seen)));
        }
        let side = CELL * self.config.factor;
        let patches = self.output.forward(x).reshape([batch * rows, columns, side, side * 3]).swap_dims(1, 2);
        patches.reshape([batch, rows * side, columns * side, 3])
    }

    /// The network with its weights in the order in which the processor reads them.
    pub fn sharpener(&self) -> Sharpener {
        Sharpener {
            embedding: packed(&self.embedding, 1.0),
            blocks: self.blocks.iter().map(|block| [packed(&block.up, 1.0), packed(&block.down, 1.0)]).collect(),
            // From −1…1 to bytes.
            output: packed(&self.output, 127.5),
            config: self.config.clone(),
        }
    }
}

/// Each cell with the first `shared` channels of the eight around it, `[B, H, W, C]` → `[B, H, W, C + 8·shared]`. The
/// outermost cells stand for those beyond the edge.
fn with_neighbours(x: Tensor<4>, shared: usize) -> Tensor<4> {
    let [_, rows, columns, _] = x.dims();
    let some = x.clone().narrow(3, 0, shared);
    let some = Tensor::cat(vec![some.clone().narrow(1, 0, 1), some.clone(), some.narrow(1, rows - 1, 1)], 1);
    let some = Tensor::cat(vec![some.clone().narrow(2, 0, 1), some.clone(), some.narrow(2, columns - 1, 1)], 2);
    let around = AROUND.map(|[down, right]| some.clone().narrow(1, down, rows).narrow(2, right, columns));
    Tensor::cat(std::iter::once(x).chain(around).collect(), 3)
}

fn packed(layer: &Linear, scale: f32) -> kernels::Linear {
    let values = |data: burn::tensor::TensorData| -> Vec<f32> {
        data.try_to_vec::<f32>().expect("weights are f32").into_iter().map(|value| value * scale).collect()
    };
    let bias = values(layer.bias.val().into_data());
    kernels::Linear::sideways(&values(layer.weight.val().into_data()), bias.len(), &bias)
}

/// An [`Upscaler`] at work: products in bfloat16 with sums in 32 bits, on the CPU wherever the network lies.
#[derive(Debug)]
pub struct Sharpener {
    embedding: kernels::Linear,
    blocks: Vec<[kernels::Linear; 2]>,
    output: kernels::Linear,
    config: UpscalerConfig,
}

impl Sharpener {
    /// Times that both sides grow.
    pub fn factor(&self) -> usize {
        self.config.factor
    }

    /// Adds to an enlargement what a filter cannot know; on several threads when called in a pool that has them.
    ///
    /// # Shapes
    /// `small`: `[height, width, 3]`, sides even; `enlarged`: `[factor·height, factor·width, 3]`, the same picture by
    /// the filter that the network learned with.
    ///
    /// Panics if a side is odd or lengths do not fit.
    pub fn sharpen(&self, small: &[u8], [height, width]: [usize; 2], enlarged: &mut [u8]) {
        let UpscalerConfig { factor, width: channels, shared, hidden, .. } = self.config;
        assert!(height.is_multiple_of(CELL) && width.is_multiple_of(CELL), "whole cells");
        assert_eq!(small.len(), height * width * 3, "three bytes a pixel");
        assert_eq!(enlarged.len(), small.len() * factor * factor, "both sides grow {factor} times");
        if small.is_empty() {
            return;
        }
        let grid @ [rows, columns] = [height / CELL, width / CELL];
        let count = rows * columns;
        let line = CELL * 3;
        let cells: Vec<f32> = (0..count * CELL_VALUES)
            .map(|index| {
                let (cell, value) = (index / CELL_VALUES, index % CELL_VALUES);
                let (row, column) = (cell / columns * CELL + value / line, cell % columns * line + value % line);
                f32::from(small[row * width * 3 + column]) / 127.5 - 1.0
            })
            .collect();

        let (mut seen, mut inside) = (Rows::new(Format::Bf16), Rows::new(Format::Bf16));
        let mut x = vec![0.0; count * channels];
        let mut middle = vec![0.0; count * hidden];
        look_around(&mut seen, &cells, grid, CELL_VALUES, CELL_VALUES);
        self.embedding.forward(&seen, Then::Nothing, &mut x);
        for [up, down] in &self.blocks {
            look_around(&mut seen, &x, grid, channels, shared);
            up.forward(&seen, Then::Gelu, &mut middle);
            inside.set(&middle, hidden);
            down.forward(&inside, Then::Add, &mut x);
        }

        // A row of cells at a time: all patches together would be four times the picture.
        let side = CELL * factor;
        let patch = self.config.patch_values();
        let rows = x.par_chunks_exact(columns * channels).zip(enlarged.par_chunks_exact_mut(side * side * columns * 3));
        rows.for_each_init(
            || (Rows::new(Format::Bf16), vec![0.0; columns * patch]),
            |(row, patches), (x, enlarged)| {
                row.set(x, channels);
                self.output.forward(row, Then::Nothing, patches);
                kernels::add_patches(patches, [side, side * 3], enlarged);
            },
        );
    }
}

/// Rows of `x`, `[H, W, channels]`, each with the first `shared` channels of the cells around it: [`with_neighbours`].
fn look_around(seen: &mut Rows, x: &[f32], [rows, columns]: [usize; 2], channels: usize, shared: usize) {
    seen.fill(rows * columns, channels + AROUND.len() * shared, |index, out| {
        let (row, column) = (index / columns, index % columns);
        out[..channels].copy_from_slice(&x[index * channels..][..channels]);
        for ([down, right], out) in AROUND.into_iter().zip(out[channels..].chunks_exact_mut(shared)) {
            let row = (row + down).saturating_sub(1).min(rows - 1);
            let column = (column + right).saturating_sub(1).min(columns - 1);
            out.copy_from_slice(&x[(row * columns + column) * channels..][..shared]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{seeded, values, with_random_weights};

    fn tiny() -> UpscalerConfig {
        UpscalerConfig { factor: 3, width: 24, shared: 5, hidden: 16, blocks: 2 }
    }

    fn random_upscaler(config: &UpscalerConfig) -> Upscaler {
        with_random_weights(Upscaler::new(config, &Device::flex()), 1)
    }

    /// Bytes without a pattern.
    fn picture(height: usize, width: usize) -> Vec<u8> {
        (0..height * width * 3).map(|index| ((index * index + 7 * index) % 251) as u8).collect()
    }

    fn tensor(picture: &[u8], height: usize, width: usize) -> Tensor<4> {
        let values: Vec<f32> = picture.iter().map(|byte| f32::from(*byte) / 127.5 - 1.0).collect();
        Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape([1, height, width, 3])
    }

    #[test]
    fn a_new_network_leaves_the_enlargement_alone() {
        let upscaler = Upscaler::new(&UpscalerConfig::small(), &Device::flex());
        let before = picture(40, 60);
        let mut enlarged = before.clone();
        upscaler.sharpener().sharpen(&picture(8, 12), [8, 12], &mut enlarged);
        assert_eq!(enlarged, before);
        assert!(values(upscaler.forward(seeded([2, 8, 12, 3], 2))).iter().all(|value| *value == 0.0));
    }

    /// The quick path says what the path of training says, to the rounding of 16-bit products.
    #[test]
    fn frames_get_what_was_learned() {
        let config = tiny();
        let upscaler = random_upscaler(&config);
        for [height, width] in [[2, 2], [6, 10], [16, 8]] {
            let small = picture(height, width);
            let added: Vec<f32> = values(upscaler.forward(tensor(&small, height, width)));
            let largest = added.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            // Small enough that no byte is cut.
            let scale = 0.9 / largest;
            let mut quiet = upscaler.clone();
            quiet.output.weight = quiet.output.weight.map(|weight| weight * scale);
            quiet.output.bias = quiet.output.bias.map(|bias| bias * scale);
            let mut enlarged = vec![127; small.len() * 9];
            quiet.sharpener().sharpen(&small, [height, width], &mut enlarged);
            for (byte, added) in enlarged.iter().zip(&added) {
                let expected = 127.0 + added * scale * 127.5;
                assert!((f32::from(*byte) - expected).abs() < 3.0, "{byte} where {expected} was learned");
            }
        }
    }

    #[test]
    fn a_flat_picture_gets_the_same_everywhere() {
        let upscaler = random_upscaler(&tiny());
        let added = values(upscaler.forward(Tensor::zeros([1, 8, 12, 3], &Device::flex())));
        let patch = |row: usize, column: usize| -> Vec<f32> {
            let line = |y: usize| added[((row * 6 + y) * 36 + column * 6) * 3..][..18].to_vec();
            (0..6).flat_map(line).collect()
        };
        for (row, column) in [(0, 0), (0, 5), (3, 0), (3, 5), (2, 2)] {
            assert_eq!(patch(row, column), patch(1, 1), "row {row}, column {column}");
        }
    }

    #[test]
    fn a_pixel_changes_its_surroundings_and_no_more() {
        let upscaler = random_upscaler(&tiny());
        let small = seeded::<4>([1, 24, 24, 3], 3);
        let other =
            small.clone().slice_assign([0..1, 12..13, 12..13, 0..3], Tensor::ones([1, 1, 1, 3], &Device::flex()));
        let moved = values((upscaler.forward(other) - upscaler.forward(small)).abs().sum_dim(3));
        let rows = moved.iter().enumerate().filter(|(_, moved)| **moved > 1e-6).map(|(index, _)| index / 72);
        let (first, last) = rows.fold((usize::MAX, 0), |(first, last), row| (first.min(row), last.max(row)));
        // The embedding and two blocks see a cell further each: cell 6 reaches those from 3 to 9.
        assert_eq!((first, last), (3 * 6, 10 * 6 - 1));
    }
}
