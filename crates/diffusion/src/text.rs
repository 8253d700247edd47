//! The text encoder: a prompt in, a few states out.
//!
//! In front of the tokens stand *registers*, learned vectors that gather what the prompt says: about the
//! scene, and about each actor. Only their states go on: they say all that the prompt does, always in the same
//! place, and the transformer reads a handful of them instead of a hundred tokens. The first register's state is the
//! prompt in one vector.
//!
//! Source: Vaswani et al. 2017 (arXiv:1706.03762), pre-norm and bidirectional; registers after
//! Darcet et al. 2023 (arXiv:2309.16588).

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::dit::TextStates;
use crate::fused::{Preparation, self_attention};
use crate::layers::{Linear, Mlp, RmsNorm, linear};

/// The shape of a [`TextEncoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Entries of the vocabulary; 0 is padding.
    pub vocabulary: usize,
    /// Longest prompt in tokens; what is beyond is not read.
    pub max_tokens: usize,
    /// Width of the states.
    pub width: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// Registers in front of the tokens.
    pub registers: usize,
}

impl TextConfig {
    /// The size that trains on two CPU cores in minutes.
    pub fn nano() -> Self {
        Self { vocabulary: 2048, max_tokens: 112, width: 192, heads: 4, blocks: 4, registers: 8 }
    }
}

/// The text encoder.
#[derive(Module, Debug)]
pub struct TextEncoder {
    /// `[vocabulary, D]`.
    pub token_embedding: Param<Tensor<2>>,
    /// `[max_tokens, D]`.
    pub position_embedding: Param<Tensor<2>>,
    /// `[registers, D]`.
    pub registers: Param<Tensor<2>>,
    /// The transformer.
    pub blocks: Vec<TextBlock>,
    /// Last norm.
    pub norm: RmsNorm,
    #[module(skip)]
    config: TextConfig,
}

/// One block: attention over the whole prompt, MLP.
#[derive(Module, Debug)]
pub struct TextBlock {
    /// Before attention.
    pub attention_norm: RmsNorm,
    /// Query, key and value in one.
    pub qkv: Linear,
    /// After attention.
    pub output: Linear,
    /// Before the MLP.
    pub mlp_norm: RmsNorm,
    /// Feed-forward.
    pub mlp: Mlp,
}

/// Added to the score of a key that is padding.
const HIDDEN: f32 = -1e9;

impl TextEncoder {
    /// An encoder with random weights.
    pub fn new(config: &TextConfig, device: &Device) -> Self {
        let table = |rows: usize| Initializer::Normal { mean: 0.0, std: 0.5 }.init([rows, config.width], device);
        Self {
            token_embedding: table(config.vocabulary),
            position_embedding: table(config.max_tokens),
            registers: table(config.registers),
            blocks: (0..config.blocks)
                .map(|_| TextBlock {
                    attention_norm: RmsNorm::new(config.width, device),
                    qkv: linear(config.width, 3 * config.width, 1.0, device),
                    output: linear(config.width, config.width, 0.0, device),
                    mlp_norm: RmsNorm::new(config.width, device),
                    mlp: Mlp::new(config.width, 4 * config.width, device),
                })
                .collect(),
            norm: RmsNorm::new(config.width, device),
            config: config.clone(),
        }
    }

    /// The shape it was made with.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The states of a batch of prompts.
    ///
    /// # Shapes
    /// `prompts`: token ids, one list a prompt, of any lengths. The states are `[B, registers, D]`.
    pub fn forward(&self, prompts: &[Vec<u32>], device: &Device) -> TextStates {
        let TextConfig { max_tokens, width, heads, registers, .. } = self.config;
        let batch = prompts.len();
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0).min(max_tokens).max(1);
        let mut ids = vec![0i64; batch * longest];
        let mut mask = vec![HIDDEN; batch * (registers + longest)];
        for (row, prompt) in prompts.iter().enumerate() {
            mask[row * (registers + longest)..][..registers + prompt.len().min(longest)].fill(0.0);
            for (column, &id) in prompt.iter().take(longest).enumerate() {
                ids[row * longest + column] = i64::from(id);
            }
        }
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch, longest]), device);
        let mask = Tensor::<4>::from_data(TensorData::new(mask, [batch, 1, 1, registers + longest]), device);

        let tokens = burn::tensor::module::embedding(self.token_embedding.val(), ids)
            + self.position_embedding.val().narrow(0, 0, longest).unsqueeze::<3>();
        let first = self.registers.val().unsqueeze::<3>().repeat_dim(0, batch);
        let mut x = Tensor::cat(vec![first, tokens], 1);
        for block in &self.blocks {
            x = block.forward(x, &mask, heads);
        }
        let x = self.norm.forward(x.narrow(1, 0, registers));
        TextStates {
            pooled: x.clone().narrow(1, 0, 1).reshape([batch, width]),
            tokens: x,
            mask: mask.narrow(3, 0, registers),
        }
    }
}

impl TextBlock {
    fn forward(&self, x: Tensor<3>, mask: &Tensor<4>, heads: usize) -> Tensor<3> {
        let qkv = self.qkv.forward(self.attention_norm.forward(x.clone()));
        let h = self_attention(qkv, heads, Preparation { mask: Some(mask.clone()), ..Preparation::default() });
        let x = x + self.output.forward(h);
        x.clone() + self.mlp.forward(self.mlp_norm.forward(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{difference, seeded, values, with_random_weights};

    fn tiny() -> TextConfig {
        TextConfig { vocabulary: 40, max_tokens: 12, width: 16, heads: 2, blocks: 2, registers: 3 }
    }

    fn random_encoder() -> TextEncoder {
        let mut encoder = with_random_weights(TextEncoder::new(&tiny(), &Device::flex()), 1);
        // As loud as in a new encoder, so that every token and every place is heard.
        encoder.token_embedding = Param::from_tensor(seeded([40, 16], 50) * 0.5);
        encoder.position_embedding = Param::from_tensor(seeded([12, 16], 51) * 0.5);
        encoder
    }

    fn read(encoder: &TextEncoder, prompts: &[&[u32]]) -> TextStates {
        let prompts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
        encoder.forward(&prompts, &Device::flex())
    }

    /// Between the states of one prompt of a batch and those of it alone.
    fn difference_of(together: &TextStates, row: usize, alone: &TextStates) -> f32 {
        let tokens = together.tokens.clone().narrow(0, row, 1);
        let pooled = together.pooled.clone().narrow(0, row, 1);
        difference(tokens, alone.tokens.clone()).max(difference(pooled, alone.pooled.clone()))
    }

    #[test]
    fn padding_does_not_change_the_states() {
        let encoder = random_encoder();
        let prompts: [&[u32]; 4] = [&[5, 9, 3], &[7; 12], &[1], &[2, 30, 31, 32, 39, 2, 0]];
        let together = read(&encoder, &prompts);
        assert_eq!(together.tokens.dims(), [4, 3, 16]);
        assert_eq!(together.mask.dims(), [4, 1, 1, 3]);
        assert!(values(together.mask.clone()).iter().all(|value| *value == 0.0));
        assert_eq!(together.pooled.dims(), [4, 16]);
        for (row, prompt) in prompts.iter().enumerate() {
            let alone = read(&encoder, &[prompt]);
            let apart = difference_of(&together, row, &alone);
            assert!(apart < 1e-5, "{prompt:?}: {apart} apart");
        }
    }

    #[test]
    fn an_empty_prompt_is_its_registers() {
        let encoder = random_encoder();
        let empty = read(&encoder, &[&[]]);
        assert!(values(empty.tokens.clone()).iter().all(|value| value.is_finite()));
        let together = read(&encoder, &[&[4, 5, 6, 7], &[]]);
        assert!(difference_of(&together, 1, &empty) < 1e-5);
        assert!(difference(together.pooled.narrow(0, 0, 1), empty.pooled) > 1e-3);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_cut() {
        let encoder = random_encoder();
        let long: Vec<u32> = (0..30).collect();
        let (whole, cut) = (read(&encoder, &[&long]), read(&encoder, &[&long[..12]]));
        assert_eq!(difference_of(&whole, 0, &cut), 0.0);
        // Not earlier than it must be, also beside others.
        assert!(difference(whole.pooled, read(&encoder, &[&long[..11]]).pooled) > 1e-4);
        let together = read(&encoder, &[&long, &[3]]);
        assert!(difference_of(&together, 0, &cut) < 1e-5);
    }

    #[test]
    fn words_and_their_order_are_heard() {
        let encoder = random_encoder();
        let pooled = |prompt: &[u32]| read(&encoder, &[prompt]).pooled;
        assert_eq!(difference(pooled(&[1, 2, 3]), pooled(&[1, 2, 3])), 0.0);
        assert!(difference(pooled(&[1, 2, 3]), pooled(&[1, 2, 4])) > 1e-3);
        assert!(difference(pooled(&[1, 2, 3]), pooled(&[3, 2, 1])) > 1e-3);
    }
}
