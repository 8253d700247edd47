//! The paper VAE: a causal video autoencoder that is almost all matrix products.
//!
//! Pixels are cut into blocks of 8 frames × 8 × 8 before anything is computed, so no layer runs at full
//! resolution. Two stages follow, at 1/8 and 1/16 of the sides. A residual block looks at its
//! neighbours by *shifting* groups of channels by one cell (left, right, up, down, and one step into the
//! past, never the future), which costs no arithmetic, and mixes channels by an MLP.
//!
//! The first frame stands alone: it is repeated to fill the first block. So a picture is a video of one
//! frame, and a video has 1 + 8·k of them.
//!
//! Sources: Kingma & Welling 2013 (arXiv:1312.6114); causal first frame as in Yu et al. 2023
//! (arXiv:2310.05737); channel shifts as in Lin et al. 2018 (arXiv:1811.08383), with space added.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::fused::shift;
use crate::layers::{Linear, Mlp, RmsNorm, linear};
use crate::{Error, Result};

/// The shape of a [`Vae`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaeConfig {
    /// Frames in a block: the temporal compression.
    pub block_frames: usize,
    /// Side of a block in pixels; the spatial compression is twice that.
    pub block_side: usize,
    /// Width of the stage at 1/`block_side`.
    pub fine_width: usize,
    /// Width of the stage at 1/(2·`block_side`).
    pub coarse_width: usize,
    /// Residual blocks in each stage of the encoder.
    pub encoder_blocks: usize,
    /// Residual blocks in each stage of the decoder.
    pub decoder_blocks: usize,
    /// Latent channels.
    pub latent_channels: usize,
    /// Width and height in pixels of the clips it learns from: landscape, portrait, square. All networks that read its
    /// latents learn at these sizes.
    #[serde(default = "nano_sizes")]
    pub native_sizes: [[u32; 2]; 3],
    /// Mean of each latent channel over the training set, subtracted by [`Vae::encode`]; empty before it is measured.
    #[serde(default)]
    pub latent_mean: Vec<f32>,
    /// Standard deviation of each latent channel over the training set, divided out by [`Vae::encode`];
    /// empty before it is measured.
    #[serde(default)]
    pub latent_std: Vec<f32>,
}

impl VaeConfig {
    /// The size that trains on two CPU cores: 8 × 16 × 16 pixels into 96 numbers.
    pub fn nano() -> Self {
        Self {
            block_frames: 4,
            block_side: 8,
            fine_width: 256,
            coarse_width: 384,
            encoder_blocks: 2,
            decoder_blocks: 3,
            latent_channels: 96,
            native_sizes: nano_sizes(),
            latent_mean: Vec::new(),
            latent_std: Vec::new(),
        }
    }

    /// Pixels a side of one latent cell.
    pub fn spatial_compression(&self) -> usize {
        2 * self.block_side
    }

    /// Latent frames of a clip of `frames` frames.
    ///
    /// # Errors
    /// [`Error::FrameCount`] unless `frames` is 1 + k·`block_frames`.
    pub fn latent_frames(&self, frames: usize) -> Result<usize> {
        if frames == 0 || !(frames - 1).is_multiple_of(self.block_frames) {
            return Err(Error::FrameCount { frames, block: self.block_frames });
        }
        Ok(1 + (frames - 1) / self.block_frames)
    }

    fn block_values(&self) -> usize {
        self.block_frames * self.block_side * self.block_side * 3
    }
}

fn nano_sizes() -> [[u32; 2]; 3] {
    [[144, 80], [80, 144], [112, 112]]
}

/// The autoencoder.
#[derive(Module, Debug)]
pub struct Vae {
    /// Pixels to latents.
    pub encoder: Encoder,
    /// Latents to pixels.
    pub decoder: Decoder,
    #[module(skip)]
    config: VaeConfig,
}

/// What the encoder says of a clip: a normal distribution for each latent value.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// `[B, T, H, W, C]`, not yet normalised.
    pub mean: Tensor<5>,
    /// `[B, T, H, W, C]`, natural logarithm of the variance.
    pub log_variance: Tensor<5>,
}

/// Pixels to latents.
#[derive(Module, Debug)]
pub struct Encoder {
    /// Block of pixels → fine width.
    pub patch_embedding: Linear,
    /// At 1/8.
    pub fine_blocks: Vec<ShiftBlock>,
    /// Four fine cells → one coarse cell.
    pub merge: Linear,
    /// At 1/16.
    pub coarse_blocks: Vec<ShiftBlock>,
    /// Coarse width → latent mean.
    pub mean: Linear,
    /// Coarse width → logarithm of the latent variance.
    pub log_variance: Linear,
}

/// Latents to pixels.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Latents → coarse width.
    pub latent_embedding: Linear,
    /// At 1/16.
    pub coarse_blocks: Vec<ShiftBlock>,
    /// One coarse cell → four fine cells.
    pub split: Linear,
    /// At 1/8.
    pub fine_blocks: Vec<ShiftBlock>,
    /// Fine width → block of pixels.
    pub patch_output: Linear,
}

/// A residual block: norm, shift, MLP.
#[derive(Module, Debug)]
pub struct ShiftBlock {
    /// Before the shift.
    pub norm: RmsNorm,
    /// After the shift.
    pub mlp: Mlp,
}

impl Vae {
    /// An autoencoder with random weights.
    pub fn new(config: &VaeConfig, device: &Device) -> Self {
        let VaeConfig { fine_width, coarse_width, latent_channels, .. } = *config;
        let blocks =
            |count: usize, width: usize| (0..count).map(|_| ShiftBlock::new(width, device)).collect::<Vec<_>>();
        Self {
            encoder: Encoder {
                patch_embedding: linear(config.block_values(), fine_width, 1.0, device),
                fine_blocks: blocks(config.encoder_blocks, fine_width),
                merge: linear(4 * fine_width, coarse_width, 1.0, device),
                coarse_blocks: blocks(config.encoder_blocks, coarse_width),
                mean: linear(coarse_width, latent_channels, 1.0, device),
                log_variance: linear(coarse_width, latent_channels, 0.0, device),
            },
            decoder: Decoder {
                latent_embedding: linear(latent_channels, coarse_width, 1.0, device),
                coarse_blocks: blocks(config.decoder_blocks, coarse_width),
                split: linear(coarse_width, 4 * fine_width, 1.0, device),
                fine_blocks: blocks(config.decoder_blocks, fine_width),
                patch_output: linear(fine_width, config.block_values(), 1.0, device),
            },
            config: VaeConfig {
                latent_mean: if config.latent_mean.is_empty() {
                    vec![0.0; latent_channels]
                } else {
                    config.latent_mean.clone()
                },
                latent_std: if config.latent_std.is_empty() {
                    vec![1.0; latent_channels]
                } else {
                    config.latent_std.clone()
                },
                ..config.clone()
            },
        }
    }

    /// The shape it was made with.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Puts measured statistics of the latents in place of those of the configuration.
    pub fn set_latent_statistics(&mut self, mean: Vec<f32>, std: Vec<f32>) {
        self.config.latent_mean = mean;
        self.config.latent_std = std;
    }

    /// The distribution of a clip's latents.
    ///
    /// # Shapes
    /// `video`: `[B, T, H, W, 3]` in −1…1, T = 1 + k·8, sides multiples of 16. Returns means and variances
    /// `[B, 1 + k, H/16, W/16, C]`.
    /// # Errors
    /// [`Error::FrameCount`] or [`Error::NotDivisible`].
    pub fn posterior(&self, video: Tensor<5>) -> Result<Posterior> {
        let blocks = self.patchify(video)?;
        Ok(self.encoder.forward(blocks))
    }

    /// The most likely latents of a clip, normalised to mean 0 and variance 1 a channel.
    ///
    /// # Shapes
    /// `video`: `[B, T, H, W, 3]` in −1…1. Returns `[B, T', H/16, W/16, C]`.
    /// # Errors
    /// [`Error::FrameCount`] or [`Error::NotDivisible`].
    pub fn encode(&self, video: Tensor<5>) -> Result<Tensor<5>> {
        Ok(self.normalize(self.posterior(video)?.mean))
    }

    /// Pixels from normalised latents.
    ///
    /// # Shapes
    /// `latents`: `[B, T', H', W', C]`. Returns `[B, 1 + (T' − 1)·8, 16·H', 16·W', 3]`, about −1…1.
    pub fn decode(&self, latents: Tensor<5>) -> Tensor<5> {
        let latents = self.denormalize(latents);
        self.unpatchify(self.decoder.forward(latents))
    }

    /// As [`Vae::decode`], a few latent frames at a time, so that a minute of video needs the memory of
    /// a second. `emit` is given each piece, `[1, frames, H, W, 3]`, in order.
    ///
    /// The result equals the whole: each piece is decoded behind as many earlier latent frames as the
    /// decoder looks back.
    pub fn decode_in_pieces<E>(
        &self,
        latents: Tensor<5>,
        piece: usize,
        mut emit: impl FnMut(Tensor<5>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let total = latents.dims()[1];
        let look_back = 2 * self.config.decoder_blocks;
        let mut start = 0;
        while start < total {
            let end = (start + piece).min(total);
            let from = start.saturating_sub(look_back);
            let context = latents.clone().narrow(1, from, end - from);
            let blocks = self.decoder.forward(self.denormalize(context));
            let blocks = blocks.narrow(1, start - from, end - start);
            emit(self.frames_of_blocks(blocks, start == 0))?;
            start = end;
        }
        Ok(())
    }

    /// Pixels from latents as the encoder's posterior has them, not normalised: the training path.
    pub fn reconstruct(&self, sample: Tensor<5>) -> Tensor<5> {
        self.unpatchify(self.decoder.forward(sample))
    }

    fn normalize(&self, latents: Tensor<5>) -> Tensor<5> {
        let device = latents.device();
        (latents - channel_vector(&self.config.latent_mean, &device)) / channel_vector(&self.config.latent_std, &device)
    }

    fn denormalize(&self, latents: Tensor<5>) -> Tensor<5> {
        let device = latents.device();
        latents * channel_vector(&self.config.latent_std, &device) + channel_vector(&self.config.latent_mean, &device)
    }

    /// Cuts a clip into blocks: `[B, T, H, W, 3]` → `[B, T', H/8, W/8, 8·8·8·3]`, the first frame repeated.
    ///
    /// # Errors
    /// [`Error::FrameCount`] or [`Error::NotDivisible`].
    pub fn patchify(&self, video: Tensor<5>) -> Result<Tensor<5>> {
        let [batch, frames, height, width, _] = video.dims();
        let latent_frames = self.config.latent_frames(frames)?;
        let grid = self.config.spatial_compression();
        if !height.is_multiple_of(grid) || !width.is_multiple_of(grid) {
            return Err(Error::NotDivisible { height, width, grid });
        }
        let (block_frames, side) = (self.config.block_frames, self.config.block_side);
        let first = video.clone().narrow(1, 0, 1).repeat_dim(1, block_frames - 1);
        let padded = Tensor::cat(vec![first, video], 1);
        let (rows, columns) = (height / side, width / side);
        let blocks: Tensor<5> = padded
            .reshape([batch * latent_frames, block_frames, rows, side, columns * side * 3])
            .swap_dims(1, 2)
            .reshape([batch * latent_frames * rows, block_frames * side, columns, side * 3])
            .swap_dims(1, 2)
            .reshape([batch, latent_frames, rows, columns, block_frames * side * side * 3]);
        Ok(blocks)
    }

    fn unpatchify(&self, blocks: Tensor<5>) -> Tensor<5> {
        self.frames_of_blocks(blocks, true)
    }

    /// The inverse of [`Vae::patchify`]; `with_first` says that the first block is the lone first frame.
    fn frames_of_blocks(&self, blocks: Tensor<5>, with_first: bool) -> Tensor<5> {
        let [batch, latent_frames, rows, columns, _] = blocks.dims();
        let (block_frames, side) = (self.config.block_frames, self.config.block_side);
        let frames = blocks
            .reshape([batch * latent_frames * rows, columns, block_frames * side, side * 3])
            .swap_dims(1, 2)
            .reshape([batch * latent_frames, rows, block_frames, side, columns * side * 3])
            .swap_dims(1, 2)
            .reshape([batch, latent_frames * block_frames, rows * side, columns * side, 3]);
        if with_first {
            let repeats = block_frames - 1;
            frames.narrow(1, repeats, latent_frames * block_frames - repeats)
        } else {
            frames
        }
    }
}

impl Encoder {
    fn forward(&self, blocks: Tensor<5>) -> Posterior {
        let mut x = self.patch_embedding.forward(blocks);
        for block in &self.fine_blocks {
            x = block.forward(x);
        }
        let [batch, frames, rows, columns, width] = x.dims();
        let merged = x.reshape([batch * frames * (rows / 2), 2, columns / 2, 2 * width]).swap_dims(1, 2).reshape([
            batch,
            frames,
            rows / 2,
            columns / 2,
            4 * width,
        ]);
        let mut x = self.merge.forward(merged);
        for block in &self.coarse_blocks {
            x = block.forward(x);
        }
        Posterior { mean: self.mean.forward(x.clone()), log_variance: self.log_variance.forward(x).clamp(-12.0, 4.0) }
    }
}

impl Decoder {
    fn forward(&self, latents: Tensor<5>) -> Tensor<5> {
        let mut x = self.latent_embedding.forward(latents);
        for block in &self.coarse_blocks {
            x = block.forward(x);
        }
        let [batch, frames, rows, columns, _] = x.dims();
        let x = self.split.forward(x);
        let width = x.dims()[4] / 4;
        let mut x: Tensor<5> = x.reshape([batch * frames * rows, columns, 2, 2 * width]).swap_dims(1, 2).reshape([
            batch,
            frames,
            2 * rows,
            2 * columns,
            width,
        ]);
        for block in &self.fine_blocks {
            x = block.forward(x);
        }
        self.patch_output.forward(x)
    }
}

impl ShiftBlock {
    fn new(width: usize, device: &Device) -> Self {
        Self { norm: RmsNorm::new(width, device), mlp: Mlp::new(width, 2 * width, device) }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        x.clone() + self.mlp.forward(shift(self.norm.forward(x)))
    }
}

fn channel_vector(values: &[f32], device: &Device) -> Tensor<5> {
    Tensor::<1>::from_floats(values, device).reshape([1, 1, 1, 1, values.len()])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::testing::{difference, seeded, values, with_random_weights};

    /// The grid of the real one, with layers that are narrow, and statistics that are not those of nothing.
    fn narrow() -> VaeConfig {
        VaeConfig {
            fine_width: 16,
            coarse_width: 24,
            encoder_blocks: 2,
            decoder_blocks: 2,
            latent_channels: 6,
            latent_mean: vec![0.3, -0.2, 0.0, 1.0, 0.5, -1.5],
            latent_std: vec![1.0, 0.5, 2.0, 0.8, 1.2, 3.0],
            ..VaeConfig::nano()
        }
    }

    /// As [`narrow`], with blocks of few pixels: for long clips.
    fn tiny() -> VaeConfig {
        VaeConfig { block_side: 2, ..narrow() }
    }

    fn random_vae(config: &VaeConfig) -> Vae {
        with_random_weights(Vae::new(config, &Device::flex()), 1)
    }

    #[test]
    fn every_native_shape_and_length_comes_back_in_its_shape() {
        let vae = random_vae(&narrow());
        let check = |[height, width]: [usize; 2], frames: usize, expected: [usize; 3]| {
            let latents = vae.encode(seeded([2, frames, height, width, 3], 2)).unwrap();
            let [latent_frames, rows, columns] = expected;
            assert_eq!(latents.dims(), [2, latent_frames, rows, columns, 6], "{frames} of {width}×{height}");
            assert_eq!(vae.decode(latents).dims(), [2, frames, height, width, 3], "{frames} of {width}×{height}");
        };
        check([80, 144], 1, [1, 5, 9]);
        check([80, 144], 13, [4, 5, 9]);
        check([144, 80], 1, [1, 9, 5]);
        check([144, 80], 5, [2, 9, 5]);
        check([112, 112], 1, [1, 7, 7]);
        check([112, 112], 9, [3, 7, 7]);
        check([16, 16], 5, [2, 1, 1]);
    }

    #[test]
    fn frames_that_do_not_fill_blocks_are_refused() {
        let vae = random_vae(&narrow());
        for count in [2, 3, 4, 6, 8, 12, 48] {
            let refused = vae.encode(Tensor::zeros([1, count, 16, 16, 3], &Device::flex()));
            assert!(
                matches!(refused, Err(Error::FrameCount { frames, block: 4 }) if frames == count),
                "{count}: {refused:?}"
            );
        }
        assert!(matches!(narrow().latent_frames(0), Err(Error::FrameCount { frames: 0, block: 4 })));
    }

    #[test]
    fn sides_off_the_grid_are_refused() {
        let vae = random_vae(&narrow());
        for [height, width] in [[8, 16], [16, 24], [17, 16], [90, 160], [79, 143]] {
            let refused = vae.posterior(Tensor::zeros([1, 1, height, width, 3], &Device::flex()));
            let Err(Error::NotDivisible { height: told_height, width: told_width, grid: 16 }) = refused else {
                panic!("{width}×{height}: {refused:?}");
            };
            assert_eq!([told_height, told_width], [height, width]);
        }
    }

    #[test]
    fn what_comes_later_does_not_change_the_latents_before() {
        let vae = random_vae(&tiny());
        let video = seeded::<5>([1, 17, 8, 12, 3], 3);
        let latents = vae.posterior(video.clone()).unwrap();
        // Latent frame n ends with frame 4·n.
        for known in 1..5 {
            let frames = 1 + 4 * (known - 1);
            let later = seeded([1, 17 - frames, 8, 12, 3], 4);
            let changed = vae.posterior(Tensor::cat(vec![video.clone().narrow(1, 0, frames), later], 1)).unwrap();
            for (before, after) in [(&latents.mean, &changed.mean), (&latents.log_variance, &changed.log_variance)] {
                let part = |x: &Tensor<5>, first: usize, count: usize| x.clone().narrow(1, first, count);
                assert!(difference(part(before, 0, known), part(after, 0, known)) < 1e-5, "{known} known");
                assert!(difference(part(before, known, 1), part(after, known, 1)) > 1e-3, "{known} known");
            }
        }
    }

    #[test]
    fn what_comes_later_does_not_change_the_frames_before() {
        let vae = random_vae(&tiny());
        let latents = seeded::<5>([1, 5, 2, 3, 6], 5);
        let video = vae.decode(latents.clone());
        for known in 1..5 {
            let frames = 1 + 4 * (known - 1);
            let later = seeded([1, 5 - known, 2, 3, 6], 6);
            let changed = vae.decode(Tensor::cat(vec![latents.clone().narrow(1, 0, known), later], 1));
            let part = |x: &Tensor<5>, first: usize, count: usize| x.clone().narrow(1, first, count);
            assert!(difference(part(&video, 0, frames), part(&changed, 0, frames)) < 1e-5, "{known} known");
            assert!(difference(part(&video, frames, 4), part(&changed, frames, 4)) > 1e-3, "{known} known");
        }
    }

    /// Otherwise causality would be no merit, and decoding in pieces no difficulty.
    #[test]
    fn what_came_before_is_looked_at_as_far_as_there_are_blocks() {
        let vae = random_vae(&tiny());
        let latents = seeded::<5>([1, 8, 2, 3, 6], 7);
        let other = Tensor::cat(vec![seeded([1, 1, 2, 3, 6], 8), latents.clone().narrow(1, 1, 7)], 1);
        let (video, changed) = (vae.decode(latents), vae.decode(other));
        // Two stages of two blocks look back four latent frames.
        for latent_frame in 1..8 {
            let part = |x: &Tensor<5>| x.clone().narrow(1, 1 + 4 * (latent_frame - 1), 4);
            assert_eq!(
                difference(part(&video), part(&changed)) > 1e-5,
                latent_frame <= 4,
                "latent frame {latent_frame}"
            );
        }
    }

    #[test]
    fn decoding_in_pieces_equals_decoding_the_whole() {
        let vae = random_vae(&tiny());
        let check = |latent_frames: usize, piece: usize| {
            let latents = seeded::<5>([1, latent_frames, 2, 3, 6], 9);
            let whole = vae.decode(latents.clone());
            let mut pieces = Vec::new();
            vae.decode_in_pieces(latents, piece, |frames| {
                pieces.push(frames);
                Ok::<_, Infallible>(())
            })
            .unwrap();
            assert_eq!(pieces.len(), latent_frames.div_ceil(piece));
            let apart = difference(Tensor::cat(pieces, 1), whole);
            assert!(apart < 1e-4, "{latent_frames} latent frames, {piece} at a time: {apart} apart");
        };
        for piece in [1, 2, 3, 4, 5, 7, 12, 13, 20] {
            check(13, piece);
        }
        check(1, 1);
        check(1, 4);
        check(2, 1);
    }

    #[test]
    fn decoding_in_pieces_stops_when_told() {
        let vae = random_vae(&tiny());
        let mut emitted = 0;
        let stopped = vae.decode_in_pieces(seeded([1, 9, 2, 3, 6], 10), 2, |_| {
            emitted += 1;
            if emitted == 2 { Err("enough") } else { Ok(()) }
        });
        assert_eq!((stopped, emitted), (Err("enough"), 2));
    }

    #[test]
    fn cutting_into_blocks_and_back_keeps_every_pixel() {
        let vae = random_vae(&narrow());
        for [frames, height, width] in [[1, 16, 16], [5, 32, 48], [13, 48, 16], [9, 80, 144]] {
            let video = seeded::<5>([2, frames, height, width, 3], 11);
            let blocks = vae.patchify(video.clone()).unwrap();
            assert_eq!(values(vae.frames_of_blocks(blocks.clone(), true)), values(video.clone()));
            if frames > 1 {
                let later = blocks.clone().narrow(1, 1, blocks.dims()[1] - 1);
                assert_eq!(values(vae.frames_of_blocks(later, false)), values(video.narrow(1, 1, frames - 1)));
            }
        }
    }

    /// A clip that is black but for one pixel has one block that is not.
    #[test]
    fn a_pixel_lies_in_the_block_of_its_place() {
        let vae = random_vae(&narrow());
        for (frame, row, column, expected) in [
            (0, 0, 0, [0, 0, 0]),
            (1, 7, 8, [1, 0, 1]),
            (4, 8, 7, [1, 1, 0]),
            (5, 31, 47, [2, 3, 5]),
            (8, 16, 24, [2, 2, 3]),
        ] {
            let range = [0..1, frame..frame + 1, row..row + 1, column..column + 1, 0..3];
            let video = Tensor::<5>::zeros([1, 9, 32, 48, 3], &Device::flex())
                .slice_assign(range, Tensor::ones([1, 1, 1, 1, 3], &Device::flex()));
            let lit: Vec<_> = values(vae.patchify(video).unwrap().sum_dim(4))
                .into_iter()
                .enumerate()
                .filter(|(_, sum)| *sum > 0.0)
                .map(|(index, _)| [index / 24, index / 6 % 4, index % 6])
                .collect();
            assert_eq!(lit, [expected], "frame {frame}, row {row}, column {column}");
        }
    }

    /// Before training every latent cell sees its own pixels alone, so a wrong order of cells would show.
    #[test]
    fn an_untrained_latent_cell_is_its_own_square_of_pixels() {
        let vae = Vae::new(&narrow(), &Device::flex());
        let latents = Tensor::<5>::zeros([1, 3, 2, 3, 6], &Device::flex());
        let black = vae.decode(latents.clone());
        let one = latents.slice_assign([0..1, 2..3, 1..2, 0..1, 0..6], Tensor::ones([1, 1, 1, 1, 6], &Device::flex()));
        let moved = values((vae.decode(one.clone()) - black).abs().sum_dim(4));
        let (mut first, mut last, mut count) = ([usize::MAX; 3], [0; 3], 0);
        for (index, _) in moved.iter().enumerate().filter(|(_, moved)| **moved > 0.0) {
            let place = [index / (32 * 48), index / 48 % 32, index % 48];
            first = std::array::from_fn(|axis| first[axis].min(place[axis]));
            last = std::array::from_fn(|axis| last[axis].max(place[axis]));
            count += 1;
        }
        assert_eq!((first, last, count), ([5, 16, 0], [8, 31, 15], 4 * 16 * 16));
    }

    #[test]
    fn latents_are_normalised_by_the_statistics() {
        let config = narrow();
        let vae = random_vae(&config);
        let video = seeded::<5>([1, 5, 16, 16, 3], 12);
        let mean = values(vae.posterior(video.clone()).unwrap().mean);
        let latents = vae.encode(video).unwrap();
        let expected: Vec<f32> = mean
            .iter()
            .enumerate()
            .map(|(index, value)| (value - config.latent_mean[index % 6]) / config.latent_std[index % 6])
            .collect();
        let apart = values(latents.clone()).iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
        let raw = Tensor::<1>::from_floats(mean.as_slice(), &Device::flex()).reshape([1, 2, 1, 1, 6]);
        assert!(difference(vae.decode(latents), vae.reconstruct(raw)) < 1e-4);
    }
}
