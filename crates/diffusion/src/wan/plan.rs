//! What a run will need before it begins: memory for each stage, and arithmetic in all.
//!
//! Numbers are counted from shapes, with a share for what the tensor library holds in passing. They are estimates; what
//! decoding holds on the CPU was measured beside them, and is what they say.

use super::layout::{Network, WanFiles};
use super::packed::{Precision, Workspace};
use super::pipeline::{WanRequest, WanSettings};
use super::transformer::{IMAGE_TOKENS, TEXT_TOKENS, WanTransformerConfig, block_tensors};
use super::vae::{WanTiling, WanVaeConfig};
use crate::Result;

/// Bytes of a 32-bit number.
const NUMBER: u64 = 4;
/// The program itself, its tables, and what the allocator keeps.
const BASE_BYTES: u64 = 150 << 20;

/// What convolutions use in passing: weights and values of tiles at their points.
const CONVOLUTION_BYTES: u64 = 200 << 20;

/// What a run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WanPlan {
    /// Bytes while prompts are read.
    pub text_bytes: u64,
    /// Bytes while latents are denoised.
    pub denoising_bytes: u64,
    /// Bytes while frames are decoded.
    pub decoding_bytes: u64,
    /// Multiplications and additions in all.
    pub operations: u64,
    /// What the blocks multiply in.
    pub precision: Precision,
    /// Whether blocks stay in their file.
    pub streamed: bool,
    /// How frames are cut.
    pub tiling: Option<WanTiling>,
}

/// Why a run cannot be made in the memory that there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{stage} needs {} even with the weights left in their files and frames in small tiles, and there is {}: ask for a \
     smaller size or fewer frames",
    gigabytes(*.needed),
    gigabytes(*.available)
)]
pub struct WanRefusal {
    /// The stage that does not fit.
    pub stage: &'static str,
    /// Bytes that it needs at least.
    pub needed: u64,
    /// Bytes that there are.
    pub available: u64,
}

/// `7.9 GB`.
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

impl WanPlan {
    /// What a run needs with given settings.
    ///
    /// # Errors
    /// [`Error::NotDivisible`](crate::Error::NotDivisible) or [`Error::FrameCount`](crate::Error::FrameCount) for sizes that no
    /// model makes.
    pub fn new(files: &WanFiles, request: &WanRequest, settings: &WanSettings) -> Result<Self> {
        let vae = &files.vae.config;
        let frames = vae.latent_frames(request.frames)?;
        let side = vae.spatial_compression();
        let (rows, columns) = (request.height / side, request.width / side);
        let config = &files.transformer.config;
        let tokens = frames * rows * columns / config.patch_size.iter().product::<usize>().max(1);
        let evaluations = request.steps * if request.guidance.iter().any(|scale| *scale > 1.0) { 2 } else { 1 };
        let text = &files.text_encoder.config;
        let layer = 4 * text.d_model * text.num_heads * text.d_kv + 3 * text.d_model * text.d_ff;
        // Weights as they are decoded, then as a tensor.
        let text_bytes = BASE_BYTES + 2 * layer as u64 * NUMBER;
        let transformers = [Some(&files.transformer), files.transformer_2.as_ref()];
        let weights = transformers.into_iter().flatten().map(|network| transformer_weights(network, settings)).max();
        let activations = if settings.precision == Precision::F32 {
            (tokens * (12 * config.width() + 2 * config.ffn_dim)) as u64 * NUMBER
        } else {
            // Keys and values of the prompts, and of the picture, are kept for all steps, of both sides of guidance.
            let keys = TEXT_TOKENS + if config.added_kv_proj_dim.is_some() { IMAGE_TOKENS } else { 0 };
            Workspace::bytes(config, tokens) + (2 * config.num_layers * 4 * config.width() * keys) as u64
        };
        Ok(Self {
            text_bytes,
            denoising_bytes: BASE_BYTES + weights.unwrap_or(0) + activations,
            decoding_bytes: BASE_BYTES
                + files.vae.weights.elements() * NUMBER / 2
                + decoding_activations(vae, [frames, rows, columns], settings.tiling)
                + frame_bytes(request, settings.tiling),
            operations: evaluations as u64 * forward_operations(config, tokens)
                + decoding_operations(vae, [frames, rows, columns], settings.tiling)
                + 2 * TEXT_TOKENS as u64 * (text.num_layers * layer) as u64,
            precision: settings.precision,
            streamed: settings.streamed,
            tiling: settings.tiling,
        })
    }

    /// The settings that fit a run into memory and take least time, with what they need.
    ///
    /// # Errors
    /// [`WanRefusal`] inside if nothing fits; outside as [`WanPlan::new`].
    pub fn fitting(
        files: &WanFiles,
        request: &WanRequest,
        settings: &WanSettings,
        available: u64,
    ) -> Result<std::result::Result<Self, WanRefusal>> {
        let refused = |stage, needed| Ok(Err(WanRefusal { stage, needed, available }));
        let mut settings = settings.clone();
        let mut plan = Self::new(files, request, &settings)?;
        if plan.text_bytes > available {
            return refused("reading the prompt", plan.text_bytes);
        }
        if plan.denoising_bytes > available && !settings.streamed {
            settings.streamed = true;
            plan = Self::new(files, request, &settings)?;
        }
        if plan.denoising_bytes > available {
            return refused("denoising", plan.denoising_bytes);
        }
        // Large tiles lose less to their rims.
        for side in [96, 64, 48, 32, 24, 16, 8] {
            if plan.decoding_bytes <= available {
                break;
            }
            settings.tiling = Some(WanTiling { side });
            plan = Self::new(files, request, &settings)?;
        }
        if plan.decoding_bytes > available {
            return refused("decoding the frames", plan.decoding_bytes);
        }
        Ok(Ok(plan))
    }

    /// The most bytes at one time.
    pub fn peak_bytes(&self) -> u64 {
        self.text_bytes.max(self.denoising_bytes).max(self.decoding_bytes)
    }

    /// A sentence for whoever waits: `needs 7.9 GB, about 11 min on this machine`, by what the machine can compute in a
    /// second.
    pub fn sentence(&self, operations_per_second: f64) -> String {
        let seconds = self.operations as f64 / operations_per_second.max(1.0);
        let time = if seconds < 90.0 {
            format!("{:.0} s", seconds.max(1.0))
        } else if seconds < 5400.0 {
            format!("{:.0} min", seconds / 60.0)
        } else {
            format!("{:.1} h", seconds / 3600.0)
        };
        let mut how = String::new();
        if self.precision != Precision::F32 {
            how.push_str(" in ");
            how.push_str(self.precision.name());
        }
        if self.streamed {
            how.push_str("; the weights stay in their files, which is slower");
        }
        if self.tiling.is_some() {
            how.push_str("; frames are decoded in tiles");
        }
        format!("needs {}, about {time} on this machine{how}", gigabytes(self.peak_bytes()))
    }
}

/// Bytes of a transformer's weights: all of them, or one block, as the precision has them, with what is around in 32 bits and
/// what is decoded at one time.
fn transformer_weights(network: &Network<WanTransformerConfig>, settings: &WanSettings) -> u64 {
    let tensors = block_tensors(&network.config);
    let numbers = |shape: &[usize]| shape.iter().product::<usize>() as u64 * NUMBER;
    let all = network.weights.elements() * NUMBER;
    let block: u64 = tensors.iter().map(|(_, shape)| numbers(shape)).sum();
    let around = all.saturating_sub(block * network.config.num_layers as u64);
    // Layers are decoded one by one, and put in another order where they rotate, before they are packed.
    let (packed, passing) = if settings.precision == Precision::F32 {
        (block, block)
    } else {
        let bytes = |shape: &[usize]| match shape {
            [output, input] => settings.precision.bytes(*input, *output),
            _ => numbers(shape),
        };
        let largest = tensors.iter().map(|(_, shape)| numbers(shape)).max().unwrap_or(0);
        (tensors.iter().map(|(_, shape)| bytes(shape)).sum(), largest)
    };
    let kept = if settings.streamed { 1 } else { network.config.num_layers as u64 };
    around + kept * packed + passing
}

/// Operations of one evaluation.
fn forward_operations(config: &WanTransformerConfig, tokens: usize) -> u64 {
    let (width, tokens) = (config.width() as u64, tokens as u64);
    let products = 2 * tokens * (6 * width * width + 2 * width * config.ffn_dim as u64);
    let attention = 4 * tokens * width * (tokens + TEXT_TOKENS as u64);
    config.num_layers as u64 * (products + attention)
}

/// What the decoder holds at one time: what convolutions remember at all levels, frames at the last level, which is the
/// widest in memory, and the level before, and the room that convolutions use in passing. In tiles, what they are cut from
/// too.
fn decoding_activations(vae: &WanVaeConfig, [frames, rows, columns]: [usize; 3], tiling: Option<WanTiling>) -> u64 {
    let cut = (rows, columns);
    let (rows, columns) = tile(rows, columns, tiling);
    let side = vae.spatial_compression() / vae.patch_size.unwrap_or(1);
    let pixels = (rows * columns * side * side) as u64;
    let levels: Vec<[u64; 2]> = vae.decoder_levels().iter().map(|level| level.map(|width| width as u64)).collect();
    let convolutions = 2 * (vae.num_res_blocks as u64 + 1);
    let mut values = 0;
    for (index, [input, width]) in levels.iter().rev().enumerate() {
        // Each convolution remembers two frames; the one after the last level too, and those that double the frame rate.
        let more = index == 0 || vae.temperal_downsample[index - 1];
        values += (pixels >> (2 * index)) * 2 * (input + width * (convolutions - 1 + u64::from(more)));
    }
    let ([input, width], [input_before, width_before]) = (levels[levels.len() - 1], levels[levels.len() - 2]);
    // Within the last level two lots of frames; with shortcuts what came in, too, which is wider.
    let (alive, alive_before) =
        if vae.is_residual { (input + 2 * width, input_before) } else { (2 * width, width_before) };
    values += vae.temporal_compression() as u64 * (pixels * alive + pixels / 4 * alive_before);
    // Five convolutions at the size of the latents, between them attention.
    values += (cut.0 * cut.1) as u64 * levels[0][1] * (2 * 5 + 6);
    if (rows, columns) != cut {
        values += (frames * cut.0 * cut.1) as u64 * levels[0][1];
    }
    values * NUMBER + CONVOLUTION_BYTES
}

fn decoding_operations(vae: &WanVaeConfig, [frames, rows, columns]: [usize; 3], tiling: Option<WanTiling>) -> u64 {
    let (tile_rows, tile_columns) = tile(rows, columns, tiling);
    let kept = tiling.map_or((rows, columns), |tiling| (tiling.side.min(rows), tiling.side.min(columns)));
    let rims = (tile_rows * tile_columns) as f64 / (kept.0 * kept.1).max(1) as f64;
    let side = vae.spatial_compression() / vae.patch_size.unwrap_or(1);
    let widths = vae.decoder_levels();
    let mut operations = 0.0;
    for (index, [_, width]) in widths.iter().enumerate() {
        let below = (widths.len() - 1 - index) as u32;
        let cells = (rows * side * columns * side) as f64 / f64::from(1u32 << (2 * below));
        let frames = (frames * vae.temporal_compression()) as f64 / f64::from(1u32 << below.saturating_sub(1));
        let convolutions = 2.0 * (vae.num_res_blocks as f64 + 1.0);
        operations += 2.0 * 27.0 * (*width as f64).powi(2) * convolutions * cells * frames * rims;
    }
    operations as u64
}

fn tile(rows: usize, columns: usize, tiling: Option<WanTiling>) -> (usize, usize) {
    match tiling {
        Some(WanTiling { side }) => {
            let with_rims = side + 2 * WanTiling::HALO;
            (rows.min(with_rims), columns.min(with_rims))
        }
        None => (rows, columns),
    }
}

/// Frames as they are handed on: a piece in 32 bits, or all of them in tiles, and their bytes.
fn frame_bytes(request: &WanRequest, tiling: Option<WanTiling>) -> u64 {
    let (frame, frames) = ((request.height * request.width * 3) as u64, request.frames as u64);
    let held = if tiling.is_some() { frames } else { 4 };
    frame * (held * NUMBER + frames) + frame * 4 * NUMBER
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published autoencoder of 2.2, whose last level takes in twice the channels that it has, at 1280 × 704.
    #[test]
    fn decoding_with_shortcuts_counts_what_comes_into_the_last_level() {
        let vae = WanVaeConfig {
            base_dim: 160,
            decoder_base_dim: Some(256),
            z_dim: 48,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            temperal_downsample: vec![false, true, true],
            is_residual: true,
            in_channels: 12,
            out_channels: 12,
            patch_size: Some(2),
            latents_mean: vec![0.0; 48],
            latents_std: vec![1.0; 48],
        };
        assert_eq!(vae.decoder_levels(), [[1024, 1024], [1024, 1024], [1024, 512], [512, 256]]);
        let planned = decoding_activations(&vae, [31, 44, 80], None) as f64;
        // A walk through the layers that adds up every buffer, memory that is used again too, finds 11.05 GB, beside what
        // convolutions use in passing.
        let counted = 11.05e9 + CONVOLUTION_BYTES as f64;
        assert!((1.0..1.03).contains(&(planned / counted)), "{:.2} GB, {:.2} GB", planned / 1e9, counted / 1e9);
    }
}
