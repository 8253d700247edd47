//! The diffusion transformer: latents with noise, their timesteps and a text in, velocity out.
//!
//! Every latent frame has its own timestep. A frame that is given (the first of an image-to-video clip,
//! the prefix of an extension, a reference picture) comes clean, at timestep 0; the others come with
//! noise. That is the only conditioning on pictures there is.
//!
//! Cells are large, so what is in one depends much on what is beside it. Attention learns that slowly; therefore the
//! MLPs see some channels of the neighbours, as those of the autoencoder do, and tokens are told where they are.
//!
//! Sources: Peebles & Xie 2023 (arXiv:2212.09748) for the transformer and adaLN; one shared modulation
//! with per-block offsets as in Chen et al. 2023 (arXiv:2310.00426); per-frame timesteps as in
//! Chen et al. 2024 (arXiv:2407.01392).

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::fused::{Preparation, cross_attention, gated_add, modulate, self_attention, shift};
use crate::layers::{Linear, Mlp, RmsNorm, linear};
use crate::rope::{PLACE_FEATURES, RopeAxes, RopeTables, place_features, rope_tables};

/// The shape of a [`Dit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DitConfig {
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Width of the token stream.
    pub width: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// Width inside the MLPs.
    pub mlp_width: usize,
    /// Width of the text states.
    pub text_width: usize,
}

impl DitConfig {
    /// The size that trains on two CPU cores.
    pub fn nano() -> Self {
        Self { latent_channels: 96, width: 256, heads: 4, blocks: 7, mlp_width: 768, text_width: 192 }
    }
}

/// What a text encoder has to say about a batch of prompts.
#[derive(Clone, Debug)]
pub struct TextStates {
    /// What the transformer attends to, `[B, L, text_width]`.
    pub tokens: Tensor<3>,
    /// `[B, 1, 1, L]`: 0 for what is there, a large negative number for padding.
    pub mask: Tensor<4>,
    /// `[B, text_width]`: the whole prompt in one vector.
    pub pooled: Tensor<2>,
}

/// Where the latent frames lie.
#[derive(Clone, Debug)]
pub struct LatentPositions {
    /// Seconds from the start of the clip, one a latent frame; reference pictures are negative.
    pub times_s: Vec<f32>,
    /// Rows of the latent grid.
    pub rows: usize,
    /// Columns of the latent grid.
    pub columns: usize,
}

/// The diffusion transformer.
#[derive(Module, Debug)]
pub struct Dit {
    /// Latent channels → width.
    pub latent_embedding: Linear,
    /// Row and column → width.
    pub place_embedding: Linear,
    /// Timestep features → width, two layers.
    pub timestep_embedding: Mlp,
    /// Pooled text → width.
    pub pooled_embedding: Linear,
    /// Text width → width.
    pub text_embedding: Linear,
    /// Condition → shift, scale and gate of both branches of every block.
    pub modulation: Linear,
    /// The transformer.
    pub blocks: Vec<Block>,
    /// Condition → shift and scale of the output.
    pub output_modulation: Linear,
    /// Width → latent channels.
    pub output: Linear,
    #[module(skip)]
    config: DitConfig,
}

/// One transformer block: self-attention, cross-attention to the text, MLP.
#[derive(Module, Debug)]
pub struct Block {
    /// What this block adds to the shared modulation, `[6·D]`.
    pub modulation_offset: Param<Tensor<1>>,
    /// Query, key and value of self-attention in one.
    pub self_qkv: Linear,
    /// Norm of the self-attention queries.
    pub self_query_norm: RmsNorm,
    /// Norm of the self-attention keys.
    pub self_key_norm: RmsNorm,
    /// Output of self-attention.
    pub self_output: Linear,
    /// Norm before cross-attention.
    pub cross_norm: RmsNorm,
    /// Queries of cross-attention.
    pub cross_query: Linear,
    /// Keys and values of cross-attention, from the text.
    pub cross_key_value: Linear,
    /// Norm of the cross-attention queries.
    pub cross_query_norm: RmsNorm,
    /// Norm of the cross-attention keys.
    pub cross_key_norm: RmsNorm,
    /// Output of cross-attention.
    pub cross_output: Linear,
    /// Feed-forward.
    pub mlp: Mlp,
}

/// Sinusoidal features of a timestep.
const TIMESTEP_FEATURES: usize = 128;

impl Dit {
    /// A transformer with random weights whose output starts at zero.
    pub fn new(config: &DitConfig, device: &Device) -> Self {
        let width = config.width;
        Self {
            latent_embedding: linear(config.latent_channels, width, 1.0, device),
            place_embedding: linear(PLACE_FEATURES, width, 0.5, device),
            timestep_embedding: Mlp {
                up: linear(TIMESTEP_FEATURES, width, 1.0, device),
                down: linear(width, width, 1.0, device),
            },
            pooled_embedding: linear(config.text_width, width, 1.0, device),
            text_embedding: linear(config.text_width, width, 1.0, device),
            modulation: linear(width, 6 * width, 0.02, device),
            blocks: (0..config.blocks).map(|_| Block::new(config, device)).collect(),
            output_modulation: linear(width, 2 * width, 0.02, device),
            output: linear(width, config.latent_channels, 0.0, device),
            config: config.clone(),
        }
    }

    /// The shape it was made with.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// Predicts the velocity `noise − clean` of each latent.
    ///
    /// # Shapes
    /// `latents`: `[B, T, H, W, C]`; `timesteps`: `[B, T]` in 0 (clean) … 1 (noise). Returns `[B, T, H, W, C]`.
    pub fn forward(
        &self,
        latents: Tensor<5>,
        timesteps: Tensor<2>,
        text: &TextStates,
        positions: &LatentPositions,
    ) -> Tensor<5> {
        self.forward_with_states(latents, timesteps, text, positions, 0).0
    }

    /// Predicts the velocity, and says what the tokens hold after `after` blocks, `[B, T, H·W, width]`: training asks
    /// them what they are about to draw.
    pub fn forward_with_states(
        &self,
        latents: Tensor<5>,
        timesteps: Tensor<2>,
        text: &TextStates,
        positions: &LatentPositions,
        after: usize,
    ) -> (Tensor<5>, Tensor<4>) {
        let [batch, frames, rows, columns, channels] = latents.dims();
        let (width, heads, cells) = (self.config.width, self.config.heads, rows * columns);
        let device = latents.device();

        // The condition of each latent frame: its timestep and the whole text.
        let condition = self.timestep_embedding.forward(timestep_features(timesteps))
            + self.pooled_embedding.forward(text.pooled.clone()).unsqueeze_dim(1);
        let condition = burn::tensor::activation::silu(condition);
        let modulation = self.modulation.forward(condition.clone());

        let axes = RopeAxes::for_head(width / heads);
        let tables = rope_tables(axes, &positions.times_s, rows, columns, &device);
        let text_tokens = self.text_embedding.forward(text.tokens.clone());

        let places = self.place_embedding.forward(place_features(rows, columns, &device));
        let mut x =
            self.latent_embedding.forward(latents.reshape([batch, frames, cells, channels])) + places.unsqueeze::<4>();
        let mut states = x.clone();
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, [rows, columns], &modulation, &text_tokens, &text.mask, &tables, heads);
            if index + 1 == after {
                states = x.clone();
            }
        }

        let modulation = self.output_modulation.forward(condition);
        let x = modulate(x, part(&modulation, 0, width), part(&modulation, 1, width));
        (self.output.forward(x).reshape([batch, frames, rows, columns, channels]), states)
    }
}

impl Block {
    fn new(config: &DitConfig, device: &Device) -> Self {
        let width = config.width;
        let head_width = width / config.heads;
        Self {
            modulation_offset: Initializer::Zeros.init([6 * width], device),
            self_qkv: linear(width, 3 * width, 1.0, device),
            self_query_norm: RmsNorm::new(head_width, device),
            self_key_norm: RmsNorm::new(head_width, device),
            self_output: linear(width, width, 0.5, device),
            cross_norm: RmsNorm::new(width, device),
            cross_query: linear(width, width, 1.0, device),
            cross_key_value: linear(width, 2 * width, 1.0, device),
            cross_query_norm: RmsNorm::new(head_width, device),
            cross_key_norm: RmsNorm::new(head_width, device),
            cross_output: linear(width, width, 0.5, device),
            mlp: {
                let mut mlp = Mlp::new(width, config.mlp_width, device);
                mlp.down = linear(config.mlp_width, width, 0.5, device);
                mlp
            },
        }
    }

    /// `x`: `[B, T, H·W, D]`; `grid`: H and W; `modulation`: `[B, T, 6·D]`; `text`: `[B, L, D]`.
    #[expect(clippy::too_many_arguments, reason = "what a block sees is what it is")]
    fn forward(
        &self,
        x: Tensor<4>,
        [rows, columns]: [usize; 2],
        modulation: &Tensor<3>,
        text: &Tensor<3>,
        text_mask: &Tensor<4>,
        tables: &RopeTables,
        heads: usize,
    ) -> Tensor<4> {
        let [batch, frames, cells, width] = x.dims();
        let length = frames * cells;
        let modulation = modulation.clone() + self.modulation_offset.val().unsqueeze::<3>();

        let modulation = |index: usize| part(&modulation, index, width);

        // Self-attention over all latent cells of all frames.
        let h = modulate(x.clone(), modulation(0), modulation(1)).reshape([batch, length, width]);
        let preparation = Preparation {
            norms: Some([self.self_query_norm.gamma.val(), self.self_key_norm.gamma.val()]),
            rotation: Some(tables),
            mask: None,
        };
        let h = self.self_output.forward_rounded(self_attention(self.self_qkv.forward_rounded(h), heads, preparation));
        let x = gated_add(x, h.reshape([batch, frames, cells, width]), modulation(2));

        // Cross-attention to the text.
        let h = self.cross_norm.forward(x.clone()).reshape([batch, length, width]);
        let preparation = Preparation {
            norms: Some([self.cross_query_norm.gamma.val(), self.cross_key_norm.gamma.val()]),
            rotation: None,
            mask: Some(text_mask.clone()),
        };
        let (query, key_value) = (self.cross_query.forward_rounded(h), self.cross_key_value.forward(text.clone()));
        let h = self.cross_output.forward_rounded(cross_attention(query, key_value, heads, preparation));
        let x = x + h.reshape([batch, frames, cells, width]);

        // Feed-forward, with some channels from the neighbours.
        let h = modulate(x.clone(), modulation(3), modulation(4));
        let h = self.mlp.forward_rounded(shift(h.reshape([batch, frames, rows, columns, width])));
        gated_add(x, h.reshape([batch, frames, cells, width]), modulation(5))
    }
}

/// One of the shifts, scales and gates side by side in `modulation`, `[B, T, D]`. Blocks learn from the first step: a
/// gate of g lets 1 + g through.
fn part(modulation: &Tensor<3>, index: usize, width: usize) -> Tensor<3> {
    modulation.clone().narrow(2, index * width, width)
}

/// `[B, T] → [B, T, 128]`: cosines and sines of the timestep at frequencies from 1 to 1,000.
fn timestep_features(timesteps: Tensor<2>) -> Tensor<3> {
    let half = TIMESTEP_FEATURES / 2;
    let frequencies: Vec<f32> = (0..half).map(|i| 1000f32.powf(i as f32 / (half - 1) as f32)).collect();
    let frequencies = Tensor::<1>::from_floats(frequencies.as_slice(), &timesteps.device()).unsqueeze::<3>();
    let angles = timesteps.unsqueeze_dim::<3>(2) * frequencies;
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{difference, rounding, seeded, values, with_random_weights};

    fn tiny() -> DitConfig {
        DitConfig { latent_channels: 4, width: 32, heads: 2, blocks: 2, mlp_width: 48, text_width: 12 }
    }

    fn random_dit(config: &DitConfig) -> Dit {
        with_random_weights(Dit::new(config, &Device::flex()), 1)
    }

    fn text(batch: usize, length: usize, seed: u64) -> TextStates {
        TextStates {
            tokens: seeded([batch, length, 12], seed),
            mask: Tensor::zeros([batch, 1, 1, length], &Device::flex()),
            pooled: seeded([batch, 12], seed + 100),
        }
    }

    fn positions(frames: usize, rows: usize, columns: usize) -> LatentPositions {
        LatentPositions { times_s: (0..frames).map(|frame| frame as f32 / 3.0).collect(), rows, columns }
    }

    #[test]
    fn every_grid_and_length_comes_back_in_its_shape() {
        let dit = random_dit(&tiny());
        for [rows, columns] in [[5, 9], [9, 5], [7, 7], [1, 1]] {
            for frames in [1, 2, 4, 13] {
                let latents = seeded([2, frames, rows, columns, 4], 2);
                let times = Tensor::full([2, frames], 0.7, &Device::flex());
                let velocity = dit.forward(latents, times, &text(2, 5, 3), &positions(frames, rows, columns));
                assert_eq!(velocity.dims(), [2, frames, rows, columns, 4]);
                assert!(values(velocity).iter().all(|value| value.is_finite()));
            }
        }
    }

    /// Also heads whose channels do not divide evenly among three axes.
    #[test]
    fn every_even_head_width_works() {
        for head_width in (8..=64).step_by(2) {
            let dit = random_dit(&DitConfig { width: 2 * head_width, blocks: 1, ..tiny() });
            let times = Tensor::full([1, 2], 0.5, &Device::flex());
            let velocity = dit.forward(seeded([1, 2, 2, 3, 4], 2), times, &text(1, 3, 3), &positions(2, 2, 3));
            assert_eq!(velocity.dims(), [1, 2, 2, 3, 4], "heads of {head_width}");
        }
    }

    #[test]
    fn an_untrained_transformer_says_nothing() {
        let dit = Dit::new(&tiny(), &Device::flex());
        let times = Tensor::full([1, 3], 0.4, &Device::flex());
        let velocity = dit.forward(seeded([1, 3, 5, 9, 4], 2), times, &text(1, 5, 3), &positions(3, 5, 9));
        assert!(values(velocity).iter().all(|value| *value == 0.0));
    }

    /// Without self-attention a frame hears only of those before it, one a block: what a timestep changes, it changes
    /// through the modulation of its own frame.
    #[test]
    fn a_timestep_modulates_its_own_frame() {
        let mut dit = random_dit(&tiny());
        for block in &mut dit.blocks {
            block.self_output = linear(32, 32, 0.0, &Device::flex());
        }
        let latents = seeded::<5>([1, 4, 2, 3, 4], 2);
        let velocity = |times: [f32; 4]| {
            let times = Tensor::<1>::from_floats(times, &Device::flex()).reshape([1, 4]);
            dit.forward(latents.clone(), times, &text(1, 5, 3), &positions(4, 2, 3))
        };
        let before = velocity([0.0, 0.3, 0.3, 0.9]);
        let after = velocity([0.0, 0.3, 0.8, 0.9]);
        for frame in 0..4 {
            let apart = difference(before.clone().narrow(1, frame, 1), after.clone().narrow(1, frame, 1));
            assert!(if frame < 2 { apart == 0.0 } else { apart > 1e-3 }, "frame {frame}: {apart} apart");
        }
    }

    #[test]
    fn every_input_is_heard() {
        let dit = random_dit(&tiny());
        let velocity = |latents: u64, time: f32, tokens: u64, pooled: u64, later_s: f32| {
            let times = Tensor::full([1, 3], time, &Device::flex());
            let text = TextStates { pooled: seeded([1, 12], pooled), ..text(1, 5, tokens) };
            let mut positions = positions(3, 2, 3);
            positions.times_s[2] += later_s;
            dit.forward(seeded([1, 3, 2, 3, 4], latents), times, &text, &positions)
        };
        let plain = || velocity(2, 0.5, 3, 4, 0.0);
        assert_eq!(difference(plain(), plain()), 0.0);
        for (what, other) in [
            ("latents", velocity(20, 0.5, 3, 4, 0.0)),
            ("timestep", velocity(2, 0.6, 3, 4, 0.0)),
            ("tokens", velocity(2, 0.5, 30, 4, 0.0)),
            ("pooled", velocity(2, 0.5, 3, 40, 0.0)),
            ("time", velocity(2, 0.5, 3, 4, 2.0)),
        ] {
            assert!(difference(plain(), other) > 1e-3, "{what} makes no difference");
        }
    }

    /// A window of a long clip may be told to start anywhere.
    #[test]
    fn only_differences_of_time_matter() {
        let dit = random_dit(&tiny());
        let velocity = |from_s: f32| {
            let mut positions = positions(4, 2, 3);
            positions.times_s.iter_mut().for_each(|time_s| *time_s += from_s);
            let times = Tensor::full([1, 4], 0.5, &Device::flex());
            dit.forward(seeded([1, 4, 2, 3, 4], 2), times, &text(1, 5, 3), &positions)
        };
        let apart = difference(velocity(0.0), velocity(8.0));
        assert!(apart < rounding(1e-3, 0.1), "{apart} apart");
    }

    #[test]
    fn padding_of_the_text_does_not_change_the_velocity() {
        const HIDDEN: f32 = -1e9;
        let dit = random_dit(&tiny());
        let latents = seeded::<5>([2, 3, 2, 3, 4], 2);
        let times = Tensor::<1>::from_floats([0.0, 0.6, 0.6, 0.9, 0.9, 0.9], &Device::flex()).reshape([2, 3]);
        let (short, long) = (text(1, 3, 3), text(1, 7, 4));
        // The short prompt is filled up with states that would be heard if they were not hidden.
        let filled = Tensor::cat(vec![short.tokens.clone(), seeded([1, 4, 12], 5) * 10.0], 1);
        let hidden = Tensor::full([1, 1, 1, 4], HIDDEN, &Device::flex());
        let both = TextStates {
            tokens: Tensor::cat(vec![filled, long.tokens.clone()], 0),
            mask: Tensor::cat(vec![Tensor::cat(vec![short.mask.clone(), hidden], 3), long.mask.clone()], 0),
            pooled: Tensor::cat(vec![short.pooled.clone(), long.pooled.clone()], 0),
        };
        let together = dit.forward(latents.clone(), times.clone(), &both, &positions(3, 2, 3));
        for (row, text) in [short, long].iter().enumerate() {
            let alone = dit.forward(
                latents.clone().narrow(0, row, 1),
                times.clone().narrow(0, row, 1),
                text,
                &positions(3, 2, 3),
            );
            let apart = difference(alone, together.clone().narrow(0, row, 1));
            assert!(apart < 1e-5, "prompt {row}: {apart} apart");
        }
        // And the states are heard when they are not hidden.
        let shown = TextStates { mask: Tensor::zeros([2, 1, 1, 7], &Device::flex()), ..both };
        let shown = dit.forward(latents, times, &shown, &positions(3, 2, 3));
        assert!(difference(shown.narrow(0, 0, 1), together.narrow(0, 0, 1)) > 1e-3);
    }
}
