//! The text encoder: a prompt in, one state a token out, and a few states for the whole.
//!
//! In front of the tokens stand *registers*, learned vectors that gather what the prompt says: about the
//! scene, and about each actor. The first register's state is the prompt in one vector.
//!
//! Source: Vaswani et al. 2017 (arXiv:1706.03762), pre-norm and bidirectional; registers after
//! Darcet et al. 2023 (arXiv:2309.16588).

use burn::module::{Initializer, Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::dit::TextStates;
use crate::layers::{Mlp, RmsNorm, attention, linear, merge_heads, split_heads};

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
    /// `prompts`: token ids, one list a prompt, of any lengths. The states are
    /// `[B, registers + longest, D]`, registers first.
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
        let x = self.norm.forward(x);
        TextStates { pooled: x.clone().narrow(1, 0, 1).reshape([batch, width]), tokens: x, mask }
    }
}

impl TextBlock {
    fn forward(&self, x: Tensor<3>, mask: &Tensor<4>, heads: usize) -> Tensor<3> {
        let width = x.dims()[2];
        let qkv = self.qkv.forward(self.attention_norm.forward(x.clone()));
        let part = |index: usize| split_heads(qkv.clone().narrow(2, index * width, width), heads);
        let h = merge_heads(attention(part(0), part(1), part(2), Some(mask.clone())));
        let x = x + self.output.forward(h);
        x.clone() + self.mlp.forward(self.mlp_norm.forward(x))
    }
}
