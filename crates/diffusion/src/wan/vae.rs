//! The Wan autoencoder: video to latents and back, 4 frames × 8 × 8 pixels (2.1) or 4 × 16 × 16 (2.2) to a cell, the first
//! frame alone.
//!
//! Every convolution over time looks back, never ahead, so a clip can be worked through in pieces of any length: a
//! convolution remembers its last two frames. Changes of the frame rate are where the first frame is special:
//! it passes by their convolutions, and when frames are doubled those after it begin without a history.
//!
//! Source: Wan team 2025 (arXiv:2503.20314) §4.1; `AutoencoderKLWan` of diffusers 0.42.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use super::vae_layers::{
    Around, Average, ChannelNorm, Conv, Down, Frames, Memory, Middle, Reader, Repeat, Residual, Room, Up, channels,
};
use crate::checkpoint::{Checkpoint, damaged};
use crate::{Error, Result};

/// The shape of a [`WanVae`], as `vae/config.json` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WanVaeConfig {
    /// Channels at full resolution in the encoder.
    pub base_dim: usize,
    /// The same in the decoder, if it differs.
    #[serde(default)]
    pub decoder_base_dim: Option<usize>,
    /// Latent channels.
    pub z_dim: usize,
    /// Widths of the levels, as multiples.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of a level; the decoder has one more.
    pub num_res_blocks: usize,
    /// Levels of the encoder that halve the frame rate.
    pub temperal_downsample: Vec<bool>,
    /// Whether levels have shortcuts around them: Wan 2.2.
    #[serde(default)]
    pub is_residual: bool,
    /// Channels that come in: 3, or those of a patch.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Channels that go out.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Side of the patches of pixels that are made channels first.
    #[serde(default)]
    pub patch_size: Option<usize>,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f32>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f32>,
}

fn three() -> usize {
    3
}

/// Latent statistics of the published 2.1 autoencoder, for checkpoints without a configuration. Source: `vae/config.json`
/// of Wan 2.1.
const MEAN_2_1: [f32; 16] = [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
    -0.9497, 0.2503, -0.2921,
];
const STD_2_1: [f32; 16] = [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
    2.8251, 1.9160,
];

/// The same of 2.2. Source: `vae/config.json` of Wan 2.2 TI2V.
const MEAN_2_2: [f32; 48] = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570,
    -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322,
    0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520,
    0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
];
const STD_2_2: [f32; 48] = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165,
    0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917,
    0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600,
    0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
];

impl WanVaeConfig {
    /// A published autoencoder, of which single files and originals come without a configuration: that of Wan 2.1, or that
    /// of 2.2, told apart by their channels.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if the tensors are of neither kind.
    pub fn of(weights: &Checkpoint) -> Result<Self> {
        let shape = |name: &str| match weights.shape(name) {
            Some(&[output, input, _, _, _]) => Ok((output, input)),
            _ => Err(damaged(weights.place(), format!("this is no Wan autoencoder: it has no convolution {name}"))),
        };
        let (base_dim, in_channels) = shape("encoder.conv_in.weight")?;
        let (widest, z_dim) = shape("decoder.conv_in.weight")?;
        let dim_mult = vec![1, 2, 4, 4];
        let (latents_mean, latents_std): (&[f32], &[f32]) = match (in_channels, z_dim) {
            (3, 16) => (&MEAN_2_1, &STD_2_1),
            (12, 48) => (&MEAN_2_2, &STD_2_2),
            _ => {
                return Err(Error::ModelFile {
                    path: weights.place().to_owned(),
                    reason:
                        "the statistics of its latents are not in the file: put the config.json of the published vae \
                             folder beside it"
                            .into(),
                });
            }
        };
        let patched = in_channels > 3;
        Ok(Self {
            base_dim,
            decoder_base_dim: patched.then_some(widest / 4),
            z_dim,
            dim_mult,
            num_res_blocks: 2,
            temperal_downsample: vec![false, true, true],
            is_residual: patched,
            in_channels,
            out_channels: in_channels,
            patch_size: patched.then_some(2),
            latents_mean: latents_mean.into(),
            latents_std: latents_std.into(),
        })
    }

    /// Pixels a side of one latent cell.
    pub fn spatial_compression(&self) -> usize {
        self.patch_size.unwrap_or(1) << (self.dim_mult.len() - 1)
    }

    /// Frames of one latent frame, but the first.
    pub fn temporal_compression(&self) -> usize {
        1 << self.temperal_downsample.iter().filter(|halves| **halves).count()
    }

    /// Latent frames of a clip of `frames` frames.
    ///
    /// # Errors
    /// [`Error::FrameCount`] unless `frames` is 1 + k·4.
    pub fn latent_frames(&self, frames: usize) -> Result<usize> {
        let block = self.temporal_compression();
        if frames == 0 || !(frames - 1).is_multiple_of(block) {
            return Err(Error::FrameCount { frames, block });
        }
        Ok(1 + (frames - 1) / block)
    }

    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let levels = self.dim_mult.len();
        if !(2..=6).contains(&levels) || self.temperal_downsample.len() + 1 != levels {
            return Err("the autoencoder's levels make no sense".into());
        }
        let sizes = [self.base_dim, self.decoder_dim(), self.z_dim, self.in_channels, self.out_channels];
        let small = |size: &usize| (1..=4096).contains(size);
        if !sizes.iter().all(small) || !self.dim_mult.iter().all(|times| (1..=64).contains(times)) {
            return Err("a width of the autoencoder is 0 or absurdly large".into());
        }
        if self.num_res_blocks == 0 || self.num_res_blocks > 16 {
            return Err(format!("{} residual blocks make no autoencoder", self.num_res_blocks));
        }
        if self.latents_mean.len() != self.z_dim || self.latents_std.len() != self.z_dim {
            return Err(format!("statistics of latents are not {} numbers", self.z_dim));
        }
        if self.latents_std.iter().any(|std| !std.is_finite() || *std <= 0.0) {
            return Err("a standard deviation of latents is not above 0".into());
        }
        let side = self.patch_size.unwrap_or(1);
        if !(1..=16).contains(&side) || [self.in_channels, self.out_channels] != [3 * side * side; 2] {
            return Err("the autoencoder does not read and write three colours".into());
        }
        Ok(())
    }

    fn decoder_dim(&self) -> usize {
        self.decoder_base_dim.unwrap_or(self.base_dim)
    }

    /// Widths on the way down: one before each level, one after.
    fn encoder_widths(&self) -> Vec<usize> {
        let first = [self.base_dim];
        first.into_iter().chain(self.dim_mult.iter().map(|times| self.base_dim * times)).collect()
    }

    /// Widths of what comes into each of the decoder's levels, and of the level; the coarsest first.
    pub(super) fn decoder_levels(&self) -> Vec<[usize; 2]> {
        let widths = self.dim_mult.iter().rev().map(|times| self.decoder_dim() * times);
        let mut before = None;
        let level = |width: usize| {
            let input = match before.replace(width) {
                // In Wan 2.1 a sampler halves the width for the level after it.
                Some(before) if !self.is_residual => before / 2,
                Some(before) => before,
                None => width,
            };
            [input, width]
        };
        widths.map(level).collect()
    }
}

/// The autoencoder.
#[derive(Debug)]
pub struct WanVae {
    config: WanVaeConfig,
    encoder: Option<Encoder>,
    decoder: Option<Decoder>,
}

/// Which halves of an autoencoder are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WanVaePart {
    /// Pixels to latents.
    Encoder,
    /// Latents to pixels.
    Decoder,
    /// Both.
    Both,
}

/// What an encoder says of a clip: a normal distribution for each latent value.
#[derive(Clone, Debug)]
pub struct WanPosterior {
    /// `[1, C, T, H, W]`, not yet normalised.
    pub mean: Tensor<5>,
    /// `[1, C, T, H, W]`, natural logarithm of the variance.
    pub log_variance: Tensor<5>,
}

/// How frames are cut when they do not fit into memory whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WanTiling {
    /// Latent cells a side of a tile; tiles are decoded with [`WanTiling::HALO`] more on each side, which are thrown away,
    /// and encoded with [`WanTiling::ENCODER_HALO`].
    pub side: usize,
}

impl WanTiling {
    /// Latent cells around a tile that still have a say in its pixels. Beyond them are none: attention, which alone looks
    /// further, comes before the tiles are cut.
    pub const HALO: usize = 13;
    /// The same around a tile that is encoded: attention comes after the tiles are joined.
    pub const ENCODER_HALO: usize = 9;
}

#[derive(Debug)]
struct Encoder {
    conv_in: Conv,
    levels: Vec<EncoderLevel>,
    middle: Middle,
    norm_out: ChannelNorm,
    conv_out: Conv,
    /// Statistics from the last convolution.
    quant: Conv,
}

#[derive(Debug)]
struct EncoderLevel {
    blocks: Vec<Residual>,
    down: Option<Down>,
    shortcut: Option<Average>,
}

#[derive(Debug)]
struct Decoder {
    /// Before the first convolution.
    post_quant: Conv,
    conv_in: Conv,
    middle: Middle,
    levels: Vec<DecoderLevel>,
    norm_out: ChannelNorm,
    conv_out: Conv,
}

#[derive(Debug)]
struct DecoderLevel {
    blocks: Vec<Residual>,
    up: Option<Up>,
    shortcut: Option<Repeat>,
}

impl WanVae {
    /// Reads an autoencoder, its names brought to those of diffusers.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if a tensor is missing or has another shape.
    pub fn read(config: &WanVaeConfig, weights: &Checkpoint, part: WanVaePart, device: &Device) -> Result<Self> {
        config.check().map_err(|reason| damaged(weights.place(), reason))?;
        let reader = Reader { weights, device };
        let encoder = if part == WanVaePart::Decoder { None } else { Some(Encoder::read(config, &reader)?) };
        let decoder = if part == WanVaePart::Encoder { None } else { Some(Decoder::read(config, &reader)?) };
        Ok(Self { config: config.clone(), encoder, decoder })
    }

    /// The shape it was made with.
    pub fn config(&self) -> &WanVaeConfig {
        &self.config
    }

    /// The distribution of a clip's latents, worked out in pieces of one latent frame.
    ///
    /// # Shapes
    /// `video`: `[1, 3, T, H, W]` in −1…1, T = 1 + k·4, sides multiples of 8 (2.1) or 16 (2.2). Returns `[1, C, 1 + k, …]`.
    /// # Errors
    /// [`Error::FrameCount`] or [`Error::NotDivisible`].
    pub fn posterior(&self, video: Tensor<5>, tiling: Option<WanTiling>) -> Result<WanPosterior> {
        let [_, _, frames, height, width] = video.dims();
        let latent_frames = self.config.latent_frames(frames)?;
        let grid = self.config.spatial_compression();
        if height == 0 || width == 0 || !height.is_multiple_of(grid) || !width.is_multiple_of(grid) {
            return Err(Error::NotDivisible { height, width, grid });
        }
        let encoder = self.encoder.as_ref().ok_or_else(|| Error::Given("the encoder was not read".into()))?;
        let patch = self.config.patch_size.unwrap_or(1);
        let (device, block, scale) = (video.device(), self.config.temporal_compression(), grid / patch);
        let tiles = Tile::of(tiling, [height / grid, width / grid], WanTiling::ENCODER_HALO);
        let mut room = Room::default();
        // Tile by tile, so that only one has something to remember.
        let mut seen: Vec<Vec<Tensor<5>>> = vec![Vec::new(); latent_frames];
        for tile in &tiles {
            let mut memory = Memory::default();
            for (index, seen) in seen.iter_mut().enumerate() {
                let (start, count) = if index == 0 { (0, 1) } else { (1 + (index - 1) * block, block) };
                let pixels = Frames::of(patchify(video.clone().narrow(2, start, count), patch));
                let x = encoder.begin(tile.taken_from(&pixels, scale), &mut memory, &mut room);
                seen.push(tile.kept(x, 1, &mut room).into_tensor(&device));
            }
        }
        let mut middle = Memory::default();
        let pieces = seen.into_iter().map(|parts| {
            let x = Frames::of(Tile::joined(&tiles, parts));
            encoder.finish(x, &mut middle, &mut room).into_tensor(&device)
        });
        let moments = Tensor::cat(pieces.collect(), 2);
        let channels = self.config.z_dim;
        Ok(WanPosterior {
            mean: moments.clone().narrow(1, 0, channels),
            log_variance: moments.narrow(1, channels, channels).clamp(-30.0, 20.0),
        })
    }

    /// The most likely latents of a clip, normalised to mean 0 and variance 1 a channel.
    ///
    /// # Errors
    /// As [`WanVae::posterior`].
    pub fn encode(&self, video: Tensor<5>, tiling: Option<WanTiling>) -> Result<Tensor<5>> {
        Ok(self.normalize(self.posterior(video, tiling)?.mean))
    }

    /// Pixels of normalised latents, in pieces of one latent frame: `emit` is given each, `[1, 3, frames, H, W]` in −1…1,
    /// as soon as it is there, or in tiles when all are. `progress` is asked before each piece, of each tile too, and may
    /// stop.
    ///
    /// # Errors
    /// Those of `emit`; [`Error::Stopped`]; [`Error::Given`] if the decoder was not read.
    pub fn decode<E: From<Error>>(
        &self,
        latents: Tensor<5>,
        tiling: Option<WanTiling>,
        progress: impl FnMut() -> ControlFlow<()>,
        emit: impl FnMut(Tensor<5>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.reconstruct(self.denormalize(latents), tiling, progress, emit)
    }

    /// [`WanVae::decode`] of latents as the posterior has them, not normalised.
    ///
    /// # Errors
    /// As [`WanVae::decode`].
    pub fn reconstruct<E: From<Error>>(
        &self,
        latents: Tensor<5>,
        tiling: Option<WanTiling>,
        mut progress: impl FnMut() -> ControlFlow<()>,
        mut emit: impl FnMut(Tensor<5>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let decoder = self.decoder.as_ref().ok_or_else(|| Error::Given("the decoder was not read".into()))?;
        let patch = self.config.patch_size.unwrap_or(1);
        let [_, _, frames, rows, columns] = latents.dims();
        let (tiles, device) = (Tile::of(tiling, [rows, columns], WanTiling::HALO), latents.device());
        let scale = self.config.spatial_compression() / patch;
        let (mut middle, mut room) = (Memory::default(), Room::default());
        let frame = |index: usize| Frames::of(latents.clone().narrow(2, index, 1));
        let mut shown = |x: Tensor<5>| emit(unpatchify(x, patch).clamp(-1.0, 1.0));
        let mut go_on = || if progress().is_break() { Err(Error::Stopped) } else { Ok(()) };
        if let [whole] = &tiles[..] {
            let mut memory = Memory::default();
            return (0..frames).try_for_each(|index| {
                go_on()?;
                let x = decoder.begin(&frame(index), &mut middle, &mut room);
                let x = decoder.finish(x, &mut memory, &mut room);
                shown(whole.kept(x, scale, &mut room).into_tensor(&device))
            });
        }
        // Tile by tile, so that only one has something to remember.
        let mut begun = Vec::with_capacity(frames);
        for index in 0..frames {
            go_on()?;
            begun.push(decoder.begin(&frame(index), &mut middle, &mut room));
        }
        let mut drawn: Vec<Vec<Tensor<5>>> = vec![Vec::new(); frames];
        for tile in &tiles {
            let mut memory = Memory::default();
            for (x, drawn) in begun.iter().zip(&mut drawn) {
                go_on()?;
                let x = decoder.finish(tile.taken_from(x, 1), &mut memory, &mut room);
                drawn.push(tile.kept(x, scale, &mut room).into_tensor(&device));
            }
        }
        drawn.into_iter().try_for_each(|parts| shown(Tile::joined(&tiles, parts)))
    }

    /// Latents as the posterior has them, to mean 0 and variance 1.
    pub fn normalize(&self, latents: Tensor<5>) -> Tensor<5> {
        let device = latents.device();
        (latents - channels(&self.config.latents_mean, &device)) / channels(&self.config.latents_std, &device)
    }

    /// The inverse of [`WanVae::normalize`].
    pub fn denormalize(&self, latents: Tensor<5>) -> Tensor<5> {
        let device = latents.device();
        latents * channels(&self.config.latents_std, &device) + channels(&self.config.latents_mean, &device)
    }
}

/// A part of the frame in latent cells: what is decoded, and what of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tile {
    from: [usize; 2],
    count: [usize; 2],
    /// From the start of what is decoded.
    keep_from: [usize; 2],
    keep: [usize; 2],
    first_of_row: bool,
}

impl Tile {
    fn of(tiling: Option<WanTiling>, [rows, columns]: [usize; 2], halo: usize) -> Vec<Self> {
        match tiling {
            Some(WanTiling { side }) if side < rows.max(columns) => Self::grid(rows, columns, side.max(1), halo),
            _ => vec![Self::whole(rows, columns)],
        }
    }

    /// What the tile is made from, in frames of `scale` pixels a cell.
    fn taken_from(&self, frames: &Frames, scale: usize) -> Frames {
        frames.part(self.from.map(|cells| cells * scale), self.count.map(|cells| cells * scale))
    }

    /// What remains of the tile, of `scale` pixels a cell, in memory of its own: `x` may be a small part of its memory,
    /// which the next tile uses again.
    fn kept(&self, x: Frames, scale: usize, room: &mut Room) -> Frames {
        let kept = x.part(self.keep_from.map(|cells| cells * scale), self.keep.map(|cells| cells * scale));
        room.give(x);
        kept
    }

    /// The frames of which all tiles are parts.
    fn joined(tiles: &[Self], parts: Vec<Tensor<5>>) -> Tensor<5> {
        let mut rows: Vec<Vec<Tensor<5>>> = Vec::new();
        for (tile, part) in tiles.iter().zip(parts) {
            match rows.last_mut() {
                Some(row) if !tile.first_of_row => row.push(part),
                _ => rows.push(vec![part]),
            }
        }
        Tensor::cat(rows.into_iter().map(|row| Tensor::cat(row, 4)).collect(), 3)
    }

    fn whole(rows: usize, columns: usize) -> Self {
        let size = [rows, columns];
        Self { from: [0; 2], count: size, keep_from: [0; 2], keep: size, first_of_row: true }
    }

    fn grid(rows: usize, columns: usize, side: usize, halo: usize) -> Vec<Self> {
        let mut tiles = Vec::new();
        for row in (0..rows).step_by(side) {
            for column in (0..columns).step_by(side) {
                let span = |start: usize, length: usize| {
                    let keep = side.min(length - start);
                    let from = start.saturating_sub(halo);
                    let end = (start + keep + halo).min(length);
                    (from, end - from, start - from, keep)
                };
                let (vertical, horizontal) = (span(row, rows), span(column, columns));
                tiles.push(Self {
                    from: [vertical.0, horizontal.0],
                    count: [vertical.1, horizontal.1],
                    keep_from: [vertical.2, horizontal.2],
                    keep: [vertical.3, horizontal.3],
                    first_of_row: column == 0,
                });
            }
        }
        tiles
    }
}

impl Encoder {
    fn read(config: &WanVaeConfig, reader: &Reader<'_>) -> Result<Self> {
        let widths = config.encoder_widths();
        let (count, last) = (config.dim_mult.len(), widths[config.dim_mult.len()]);
        let mut levels = Vec::with_capacity(count);
        // In Wan 2.1 blocks and samplers are numbered through.
        let mut flat = 0;
        let mut next = |level: usize, nested: &str| {
            flat += 1;
            if config.is_residual {
                format!("encoder.down_blocks.{level}.{nested}")
            } else {
                format!("encoder.down_blocks.{}", flat - 1)
            }
        };
        for level in 0..count {
            let (input, output) = (widths[level], widths[level + 1]);
            let mut blocks = Vec::new();
            for index in 0..config.num_res_blocks {
                let from = if index == 0 { input } else { output };
                blocks.push(reader.residual(&next(level, &format!("resnets.{index}")), from, output)?);
            }
            let halves_time = level + 1 < count && config.temperal_downsample[level];
            let down = if level + 1 < count {
                let name = next(level, "downsampler");
                Some(Down {
                    space: reader.conv_2d(&format!("{name}.resample.1"), output, output, 3, 2)?,
                    time: if halves_time {
                        Some(reader.conv_with_steps(&format!("{name}.time_conv"), output, output, [3, 1, 1], [2, 1])?)
                    } else {
                        None
                    },
                })
            } else {
                None
            };
            let shortcut = config.is_residual.then(|| Average {
                channels: output,
                time: if halves_time { 2 } else { 1 },
                space: if down.is_some() { 2 } else { 1 },
            });
            levels.push(EncoderLevel { blocks, down, shortcut });
        }
        Ok(Self {
            conv_in: reader.conv("encoder.conv_in", config.in_channels, widths[0], [3; 3])?,
            levels,
            middle: reader.middle("encoder.mid_block", last)?,
            norm_out: reader.norm("encoder.norm_out", last)?,
            conv_out: reader.conv("encoder.conv_out", last, 2 * config.z_dim, [3; 3])?,
            quant: reader.conv("quant_conv", 2 * config.z_dim, 2 * config.z_dim, [1; 3])?,
        })
    }

    /// What looks at [`WanTiling::ENCODER_HALO`] cells around.
    fn begin(&self, pixels: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        memory.begin_piece();
        let mut x = self.conv_in.causal(&pixels, Around::default(), memory, room);
        for level in &self.levels {
            let before = level.shortcut.as_ref().map(|shortcut| (shortcut, x.clone()));
            for block in &level.blocks {
                x = block.forward(x, memory, room);
            }
            if let Some(down) = &level.down {
                x = down.forward(x, memory, room);
            }
            if let Some((shortcut, before)) = before {
                x = x.plus(shortcut.forward(before));
            }
        }
        x
    }

    /// What looks at the whole frame.
    fn finish(&self, x: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        memory.begin_piece();
        let x = self.middle.forward(x, memory, room);
        let around = Around { norm: Some(&self.norm_out), ..Around::default() };
        let x = self.conv_out.causal(&x, around, memory, room);
        self.quant.plain(&x, room)
    }
}

impl Decoder {
    fn read(config: &WanVaeConfig, reader: &Reader<'_>) -> Result<Self> {
        let widths = config.decoder_levels();
        let count = widths.len();
        let ([widest, _], [_, narrowest]) = (widths[0], widths[count - 1]);
        let mut levels = Vec::with_capacity(count);
        for (level, [input, output]) in widths.into_iter().enumerate() {
            let name = format!("decoder.up_blocks.{level}");
            let mut blocks = Vec::new();
            for index in 0..=config.num_res_blocks {
                let from = if index == 0 { input } else { output };
                blocks.push(reader.residual(&format!("{name}.resnets.{index}"), from, output)?);
            }
            let up = if level + 1 < count {
                let doubles_time = config.temperal_downsample[count - 2 - level];
                let sampler = if config.is_residual { "upsampler" } else { "upsamplers.0" };
                let to = if config.is_residual { output } else { output / 2 };
                Some(Up {
                    time: if doubles_time {
                        Some(reader.conv(&format!("{name}.{sampler}.time_conv"), output, 2 * output, [3, 1, 1])?)
                    } else {
                        None
                    },
                    space: reader.conv_2d(&format!("{name}.{sampler}.resample.1"), output, to, 3, 1)?,
                })
            } else {
                None
            };
            let shortcut = match &up {
                Some(up) if config.is_residual => {
                    Some(Repeat { channels: output, time: if up.time.is_some() { 2 } else { 1 } })
                }
                _ => None,
            };
            levels.push(DecoderLevel { blocks, up, shortcut });
        }
        Ok(Self {
            post_quant: reader.conv("post_quant_conv", config.z_dim, config.z_dim, [1; 3])?,
            conv_in: reader.conv("decoder.conv_in", config.z_dim, widest, [3; 3])?,
            middle: reader.middle("decoder.mid_block", widest)?,
            levels,
            norm_out: reader.norm("decoder.norm_out", narrowest)?,
            conv_out: reader.conv("decoder.conv_out", narrowest, config.out_channels, [3; 3])?,
        })
    }

    /// What looks at the whole frame.
    fn begin(&self, latents: &Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        memory.begin_piece();
        let x = self.post_quant.plain(latents, room);
        let x = self.conv_in.causal(&x, Around::default(), memory, room);
        self.middle.forward(x, memory, room)
    }

    /// What looks at [`WanTiling::HALO`] cells around.
    fn finish(&self, x: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        memory.begin_piece();
        let mut x = x;
        for level in &self.levels {
            let before = level.shortcut.as_ref().map(|shortcut| (shortcut, x.clone()));
            for block in &level.blocks {
                x = block.forward(x, memory, room);
            }
            if let Some(up) = &level.up {
                x = up.forward(x, memory, room);
            }
            if let Some((shortcut, before)) = before {
                x = shortcut.added(x, before, memory.is_first());
            }
        }
        let around = Around { norm: Some(&self.norm_out), ..Around::default() };
        let out = self.conv_out.causal(&x, around, memory, room);
        room.give(x);
        out
    }
}

/// Patches of pixels to channels, columns before rows.
fn patchify(x: Tensor<5>, side: usize) -> Tensor<5> {
    if side == 1 {
        return x;
    }
    let [_, colours, frames, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([colours, frames, height / side, side, width / side, side]);
    let x = x.permute([0, 5, 3, 1, 2, 4]);
    x.reshape([1, colours * side * side, frames, height / side, width / side])
}

/// The inverse of [`patchify`].
fn unpatchify(x: Tensor<5>, side: usize) -> Tensor<5> {
    if side == 1 {
        return x;
    }
    let [_, channels, frames, rows, columns] = x.dims();
    let colours = channels / (side * side);
    let x: Tensor<6> = x.reshape([colours, side, side, frames, rows, columns]);
    let x = x.permute([0, 3, 4, 2, 5, 1]);
    x.reshape([1, colours, frames, rows * side, columns * side])
}
