//! The Wan transformer: latents and a prompt in, the velocity of the flow out.
//!
//! Tokens are patches of 1 × 2 × 2 latent cells. A block is self-attention over all of them with rotary positions on
//! three axes, cross-attention to the prompt (and to a picture, in the 2.1 image-to-video model), and a feed-forward,
//! the first and the last behind a modulation by the timestep.
//!
//! Two things are done once that the reference does at every step, without a difference in the result: keys and values of
//! the prompt, and the padding of the prompt to 512 tokens, which is one key repeated: one key with 512 − L shares.
//!
//! Source: Wan team 2025 (arXiv:2503.20314); shapes and numbers as diffusers 0.42 has them.

use std::sync::OnceLock;

use burn::tensor::activation::{gelu, silu};
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::Deserialize;

use super::layers::{
    LayerNorm, Linear, Widths, attend, attend_narrowly, gelu_tanh, has_narrow_products, normalize, rms_norm,
    split_heads,
};
use super::packed::{
    Conditions, Evaluation, PackedBlock, PackedKeys, Precision, Workspace, halves_order, tensor_of, values_of,
};
use crate::checkpoint::{Checkpoint, damaged};
use crate::rope::{RopeTables, rotate};
use crate::{Error, Result, fused};

/// The shape of a [`WanTransformer`], as `transformer/config.json` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WanTransformerConfig {
    /// Latent frames, rows and columns of a token.
    pub patch_size: [usize; 3],
    /// Heads.
    pub num_attention_heads: usize,
    /// Channels of a head.
    pub attention_head_dim: usize,
    /// Latent channels that come in, with those of a condition.
    pub in_channels: usize,
    /// Latent channels that go out.
    pub out_channels: usize,
    /// Width of the text encoder's states.
    pub text_dim: usize,
    /// Features of a timestep.
    pub freq_dim: usize,
    /// Width of the feed-forward.
    pub ffn_dim: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Whether cross-attention is behind a norm with weights.
    #[serde(default = "yes")]
    pub cross_attn_norm: bool,
    /// Added to variances.
    #[serde(default = "epsilon")]
    pub eps: f64,
    /// Width of the image encoder's states, if it reads a picture through one.
    #[serde(default)]
    pub image_dim: Option<usize>,
    /// Width of the picture's keys and values, if it has some.
    #[serde(default)]
    pub added_kv_proj_dim: Option<usize>,
    /// Positions of a first and a last picture's states, if it reads both.
    #[serde(default)]
    pub pos_embed_seq_len: Option<usize>,
}

fn yes() -> bool {
    true
}

fn epsilon() -> f64 {
    1e-6
}

/// Added to mean squares of queries and keys.
pub(super) const QUERY_KEY_EPSILON: f64 = 1e-6;
/// Added to variances of the image encoder's states.
const IMAGE_EPSILON: f64 = 1e-5;
/// Tokens that prompts are filled up to.
pub(crate) const TEXT_TOKENS: usize = 512;
/// Tokens of a picture as it is read, filled up to whole blocks of keys.
pub(crate) const IMAGE_TOKENS: usize = 288;
/// Most of anything that a configuration may ask for.
const MOST: usize = 1 << 20;

impl WanTransformerConfig {
    /// Width of the tokens.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Reads the shape off the tensors, for checkpoints that come without a configuration. All published models have heads
    /// of 128 channels.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if it is not a transformer of this family.
    pub fn of(weights: &Checkpoint) -> Result<Self> {
        let shape = |name: &str| {
            weights
                .shape(name)
                .ok_or_else(|| damaged(weights.place(), format!("this is no Wan transformer: it has no {name}")))
        };
        let misshapen = |name: &str| damaged(weights.place(), format!("{name} has an unexpected number of axes"));
        let [width, in_channels, pt, ph, pw] = shape("patch_embedding.weight")?[..] else {
            return Err(misshapen("patch_embedding.weight"));
        };
        let matrix = |name: &str| match shape(name)?[..] {
            [output, input] => Ok((output, input)),
            _ => Err(misshapen(name)),
        };
        let (out_patch, _) = matrix("proj_out.weight")?;
        let (_, text_dim) = matrix("condition_embedder.text_embedder.linear_1.weight")?;
        let (_, freq_dim) = matrix("condition_embedder.time_embedder.linear_1.weight")?;
        let (ffn_dim, _) = matrix("blocks.0.ffn.net.0.proj.weight")?;
        let num_layers =
            (0..).find(|index| !weights.has(&format!("blocks.{index}.ffn.net.0.proj.weight"))).unwrap_or(0);
        let patch = pt.saturating_mul(ph).saturating_mul(pw).max(1);
        let head = if width.is_multiple_of(128) { 128 } else { width };
        let image = "condition_embedder.image_embedder.ff.net.0.proj.weight";
        let config = Self {
            patch_size: [pt, ph, pw],
            num_attention_heads: width / head.max(1),
            attention_head_dim: head,
            in_channels,
            out_channels: out_patch / patch,
            text_dim,
            freq_dim,
            ffn_dim,
            num_layers,
            cross_attn_norm: weights.has("blocks.0.norm2.weight"),
            eps: epsilon(),
            image_dim: if weights.has(image) { Some(matrix(image)?.1) } else { None },
            added_kv_proj_dim: weights.has("blocks.0.attn2.add_k_proj.weight").then_some(width),
            pos_embed_seq_len: None,
        };
        config.check().map_err(|reason| damaged(weights.place(), reason))?;
        Ok(config)
    }

    /// Whether a network can be made of it.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let sides = [
            self.patch_size[0],
            self.patch_size[1],
            self.patch_size[2],
            self.num_attention_heads,
            self.attention_head_dim,
            self.in_channels,
            self.out_channels,
            self.text_dim,
            self.freq_dim,
            self.ffn_dim,
            self.num_layers,
        ];
        if sides.iter().any(|side| *side == 0 || *side > MOST) || self.patch_size.iter().any(|side| *side > 64) {
            return Err("a size in its configuration is 0 or absurdly large".into());
        }
        if self.num_layers > 1000 {
            return Err(format!("{} blocks are no transformer", self.num_layers));
        }
        if self.attention_head_dim < 6 || !self.attention_head_dim.is_multiple_of(2) {
            return Err(format!("heads of {} channels have no rotary positions", self.attention_head_dim));
        }
        if !self.freq_dim.is_multiple_of(2) {
            return Err(format!("{} features of a timestep are not pairs", self.freq_dim));
        }
        Ok(())
    }
}

/// The denoiser.
#[derive(Debug)]
pub struct WanTransformer {
    config: WanTransformerConfig,
    precision: Precision,
    /// What blocks are packed in: on the CPU, where they are rounded.
    format: Option<kernels::Format>,
    patch_weight: Tensor<5>,
    patch_bias: Tensor<1>,
    time_in: Linear,
    time_out: Linear,
    time_projection: Linear,
    text_in: Linear,
    text_out: Linear,
    image: Option<ImageEmbedder>,
    blocks: Blocks,
    scale_shift_table: Tensor<3>,
    output: Linear,
}

/// Where the blocks are.
#[derive(Debug)]
enum Blocks {
    /// In memory.
    Resident(Vec<Block>),
    /// In memory, rounded.
    Packed(Vec<PackedBlock>),
    /// In their file; each is read when it is its turn.
    Streamed(Box<Checkpoint>, Device),
}

#[derive(Debug)]
struct ImageEmbedder {
    norm_in: LayerNorm,
    up: Linear,
    down: Linear,
    norm_out: LayerNorm,
    positions: Option<Tensor<3>>,
}

/// One block.
#[derive(Debug)]
struct Block {
    /// Whether self-attention has factors of 16 bits, as the layers have.
    narrow: bool,
    scale_shift_table: Tensor<3>,
    self_attention: Attention,
    cross_norm: Option<LayerNorm>,
    cross_attention: Attention,
    image_key: Option<(Linear, Tensor<1>)>,
    image_value: Option<Linear>,
    up: Linear,
    down: Linear,
}

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    query_norm: Tensor<1>,
    key_norm: Tensor<1>,
}

/// A prompt, as a transformer reads it: made once, used at every step.
#[derive(Debug)]
pub struct WanContext {
    /// `[1, L, D]`, the last one standing for the padding.
    text: Tensor<3>,
    /// `[1, 1, 1, L]`: the logarithm of how often a token is there.
    bias: Option<Tensor<4>>,
    image: Option<Tensor<3>>,
    /// Keys and values for each block: of the text, of the picture.
    blocks: Vec<OnceLock<ContextKeys>>,
    /// The same for blocks that are rounded.
    packed: Vec<OnceLock<PackedKeys>>,
}

#[derive(Debug)]
struct ContextKeys {
    text: [Tensor<4>; 2],
    image: Option<[Tensor<4>; 2]>,
}

impl WanTransformer {
    /// Reads a transformer, its names brought to those of diffusers. `streamed` leaves the blocks in their file and reads
    /// each when it is needed: slower, in the memory of one. Devices that are not the processor compute in 32 bits, or in 16
    /// if `precision` says so and they can.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if a tensor is missing or has another shape.
    pub fn read(
        config: &WanTransformerConfig,
        weights: &Checkpoint,
        precision: Precision,
        streamed: bool,
        device: &Device,
    ) -> Result<Self> {
        config.check().map_err(|reason| damaged(weights.place(), reason))?;
        let on_cpu = fused::on_cpu(device);
        let precision = match precision {
            _ if on_cpu => precision,
            Precision::Bf16 if has_narrow_products(device) => precision,
            _ => Precision::F32,
        };
        let format = if on_cpu { precision.format() } else { None };
        let width = config.width();
        if precision == Precision::Int8 && width.max(config.ffn_dim) > kernels::MOST_INT8_DEPTH {
            return Err(damaged(weights.place(), format!("layers this wide cannot be multiplied in 8 bits: {width}")));
        }
        let [pt, ph, pw] = config.patch_size;
        let linear = |name: &str, input: usize, output: usize| {
            Linear::read(weights, &format!("condition_embedder.{name}"), Widths { input, output }, device)
        };
        let image = match config.image_dim {
            Some(image_dim) => Some(ImageEmbedder {
                norm_in: LayerNorm::read(
                    weights,
                    "condition_embedder.image_embedder.norm1",
                    image_dim,
                    IMAGE_EPSILON,
                    device,
                )?,
                up: linear("image_embedder.ff.net.0.proj", image_dim, image_dim)?,
                down: linear("image_embedder.ff.net.2", image_dim, width)?,
                norm_out: LayerNorm::read(
                    weights,
                    "condition_embedder.image_embedder.norm2",
                    width,
                    IMAGE_EPSILON,
                    device,
                )?,
                positions: match config.pos_embed_seq_len {
                    Some(length) => Some(weights.tensor(
                        "condition_embedder.image_embedder.pos_embed",
                        [1, length, image_dim],
                        device,
                    )?),
                    None => None,
                },
            }),
            None => None,
        };
        let blocks = if streamed {
            // A missing tensor is told before the work begins, not in the middle of it.
            for index in 0..config.num_layers {
                Block::check(config, weights, index)?;
            }
            Blocks::Streamed(Box::new(weights.clone()), device.clone())
        } else if let Some(format) = format {
            let blocks = (0..config.num_layers).map(|index| PackedBlock::read(config, weights, index, format));
            Blocks::Packed(blocks.collect::<Result<_>>()?)
        } else {
            let blocks = (0..config.num_layers).map(|index| Block::read(config, weights, index, precision, device));
            Blocks::Resident(blocks.collect::<Result<_>>()?)
        };
        let patch = pt * ph * pw;
        Ok(Self {
            patch_weight: weights.tensor("patch_embedding.weight", [width, config.in_channels, pt, ph, pw], device)?,
            patch_bias: weights.tensor("patch_embedding.bias", [width], device)?,
            time_in: linear("time_embedder.linear_1", config.freq_dim, width)?,
            time_out: linear("time_embedder.linear_2", width, width)?,
            time_projection: linear("time_proj", width, 6 * width)?,
            text_in: linear("text_embedder.linear_1", config.text_dim, width)?,
            text_out: linear("text_embedder.linear_2", width, width)?,
            image,
            blocks,
            scale_shift_table: weights.tensor("scale_shift_table", [1, 2, width], device)?,
            output: Linear::read(
                weights,
                "proj_out",
                Widths { input: width, output: config.out_channels * patch },
                device,
            )?,
            config: config.clone(),
            precision,
            format,
        })
    }

    /// What its blocks multiply in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The shape it was made with.
    pub fn config(&self) -> &WanTransformerConfig {
        &self.config
    }

    /// Prepares a prompt, and the picture that goes with it in models that read one.
    ///
    /// # Shapes
    /// `text`: `[1, L, text_dim]` with L ≤ 512, no padding; `image`: `[1, Li, image_dim]`.
    /// # Errors
    /// [`Error::Given`] for a longer prompt, or a picture where there should be none or none where there should be one.
    pub fn context(&self, text: Tensor<3>, image: Option<Tensor<3>>) -> Result<WanContext> {
        let [_, length, _] = text.dims();
        if length > TEXT_TOKENS {
            return Err(Error::Given(format!("a prompt of {length} tokens, at most {TEXT_TOKENS} are read")));
        }
        let device = text.device();
        let padding = TEXT_TOKENS - length;
        let (text, bias) = if padding == 0 {
            (text, None)
        } else {
            let empty = Tensor::zeros([1, 1, self.config.text_dim], &device);
            let mut shares = vec![0.0; length + 1];
            shares[length] = (padding as f32).ln();
            let bias = Tensor::from_data(TensorData::new(shares, [1, 1, 1, length + 1]), &device);
            (Tensor::cat(vec![text, empty], 1), Some(bias))
        };
        let text = self.text_out.forward(gelu_tanh(self.text_in.forward(text)));
        let image = match (&self.image, image) {
            (Some(embedder), Some(states)) => Some(embedder.forward(states)?),
            (None, None) => None,
            (Some(_), None) => return Err(Error::Given("this model needs a picture".into())),
            (None, Some(_)) => return Err(Error::Given("this model reads no picture through an encoder".into())),
        };
        let blocks = (0..self.config.num_layers).map(|_| OnceLock::new()).collect();
        let packed = (0..self.config.num_layers).map(|_| OnceLock::new()).collect();
        Ok(WanContext { text, bias, image, blocks, packed })
    }

    /// Predicts the velocity `noise − clean` of the latents.
    ///
    /// # Shapes
    /// `latents`: `[1, C, T, H, W]`, sides multiples of the patch; `timesteps`: one for all latent frames, or one for each,
    /// in 0 … 1000. Returns `[1, C, T, H, W]`.
    /// # Errors
    /// [`Error::Given`] if shapes do not fit; [`Error::ModelFile`] if a block cannot be read.
    pub fn forward(&self, latents: Tensor<5>, timesteps: &[f32], context: &WanContext) -> Result<Tensor<5>> {
        let [_, channels, frames, rows, columns] = latents.dims();
        let [pt, ph, pw] = self.config.patch_size;
        let fits = frames.is_multiple_of(pt) && rows.is_multiple_of(ph) && columns.is_multiple_of(pw);
        if channels != self.config.in_channels || !fits {
            return Err(Error::Given(format!(
                "latents of {channels} × {frames} × {rows} × {columns}, the model reads {} channels in patches of \
                 {pt} × {ph} × {pw}",
                self.config.in_channels
            )));
        }
        let [frames, rows, columns] = [frames / pt, rows / ph, columns / pw];
        if timesteps.len() != 1 && timesteps.len() != frames {
            return Err(Error::Given(format!("{} timesteps for {frames} latent frames", timesteps.len())));
        }
        let (width, device) = (self.config.width(), latents.device());

        let options = ConvOptions::new([pt, ph, pw], [0; 3], [1; 3], 1);
        let x = conv3d(latents, self.patch_weight.clone(), Some(self.patch_bias.clone()), options);
        let x: Tensor<2> = x.reshape([width, frames * rows * columns]).swap_dims(0, 1);
        // Tokens of all frames that share a timestep lie together.
        let groups = timesteps.len();
        let mut x: Tensor<3> = x.reshape([groups, frames * rows * columns / groups, width]);

        let features = timestep_features(timesteps, self.config.freq_dim, &device);
        let time = self.time_out.forward(silu(self.time_in.forward(features)));
        let modulation: Tensor<3> = self.time_projection.forward(silu(time.clone())).reshape([groups, 6, width]);

        let grid = [frames, rows, columns];
        x = match self.format {
            Some(format) => self.packed_blocks(x, modulation, grid, context, format)?,
            None => self.blocks(x, &modulation, grid, context)?,
        };

        let modulation = self.scale_shift_table.clone() + time.unsqueeze_dim::<3>(1);
        let (shift, scale) = (modulation.clone().narrow(1, 0, 1), modulation.narrow(1, 1, 1));
        let x = self.output.forward(normalize(x, self.config.eps) * (scale + 1.0) + shift);
        // Channels are the innermost axis here, unlike in the patch embedding.
        let channels = self.config.out_channels;
        let x = x.reshape([frames, rows, columns, pt, ph, pw, channels]).permute([6, 0, 3, 1, 4, 2, 5]);
        Ok(x.reshape([1, channels, frames * pt, rows * ph, columns * pw]))
    }

    fn blocks(
        &self,
        mut x: Tensor<3>,
        modulation: &Tensor<3>,
        grid: [usize; 3],
        context: &WanContext,
    ) -> Result<Tensor<3>> {
        let device = x.device();
        let [cos, sin] = rope_tables(self.config.attention_head_dim, grid);
        let shape = [1, 1, grid.iter().product(), self.config.attention_head_dim / 2];
        let tables = RopeTables { cos: tensor_of(cos, shape, &device), sin: tensor_of(sin, shape, &device) };
        let run = |block: &Block, index: usize, x| {
            block.forward(x, modulation, context, &context.blocks[index], &tables, &self.config)
        };
        match &self.blocks {
            Blocks::Resident(blocks) => {
                for (index, block) in blocks.iter().enumerate() {
                    x = run(block, index, x);
                }
            }
            Blocks::Streamed(weights, device) => {
                for index in 0..self.config.num_layers {
                    let block = Block::read(&self.config, weights, index, self.precision, device)?;
                    x = run(&block, index, x);
                }
            }
            Blocks::Packed(_) => unreachable!("blocks are packed where the precision has a format"),
        }
        Ok(x)
    }

    fn packed_blocks(
        &self,
        x: Tensor<3>,
        modulation: Tensor<3>,
        grid: [usize; 3],
        context: &WanContext,
        format: kernels::Format,
    ) -> Result<Tensor<3>> {
        let (device, shape) = (x.device(), x.dims());
        let mut values = values_of(x);
        let modulation = values_of(modulation);
        let [cos, sin] = rope_tables(self.config.attention_head_dim, grid);
        let call = Evaluation { config: &self.config, modulation: &modulation, rotation: [&cos, &sin] };
        let mut work = Workspace::new(format);
        let mut run = |block: &PackedBlock, index: usize| {
            let keys = context.packed[index].get_or_init(|| {
                let text = values_of(context.text.clone());
                let bias = context.bias.clone().map(values_of);
                let image = context.image.clone().map(values_of);
                let conditions = Conditions { text: &text, bias: bias.as_deref(), image: image.as_deref() };
                block.keys(&self.config, &conditions)
            });
            block.forward(&mut values, keys, &call, &mut work);
        };
        match &self.blocks {
            Blocks::Packed(blocks) => blocks.iter().enumerate().for_each(|(index, block)| run(block, index)),
            Blocks::Streamed(weights, _) => {
                for index in 0..self.config.num_layers {
                    run(&PackedBlock::read(&self.config, weights, index, format)?, index);
                }
            }
            Blocks::Resident(_) => unreachable!("blocks are packed where the precision has a format"),
        }
        Ok(tensor_of(values, shape, &device))
    }
}

impl ImageEmbedder {
    fn forward(&self, states: Tensor<3>) -> Result<Tensor<3>> {
        let mut x = states;
        if let Some(positions) = &self.positions {
            // A first and a last picture, one after the other.
            let [pictures, tokens, width] = x.dims();
            let [_, length, _] = positions.dims();
            if pictures * tokens != length {
                return Err(Error::Given(format!(
                    "{} states of pictures, the model reads {length}",
                    pictures * tokens
                )));
            }
            x = x.reshape([1, length, width]) + positions.clone();
        }
        let x = self.up.forward(self.norm_in.forward(x));
        Ok(self.norm_out.forward(self.down.forward(gelu(x))))
    }
}

impl Block {
    /// Layers have factors of 16 bits unless `precision` is 32.
    fn read(
        config: &WanTransformerConfig,
        weights: &Checkpoint,
        index: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let width = config.width();
        let narrow = precision != Precision::F32;
        let name = |part: &str| format!("blocks.{index}.{part}");
        let linear = |part: &str, input: usize, output: usize| {
            let linear = Linear::read(weights, &name(part), Widths { input, output }, device)?;
            Ok::<_, Error>(if narrow { linear.narrowed() } else { linear })
        };
        let attention = |part: &str, rotated: bool| {
            let order = rotated.then(|| {
                let order = halves_order(config.num_attention_heads, config.attention_head_dim);
                let order: Vec<i32> = order.into_iter().map(|channel| channel as i32).collect();
                Tensor::<1, Int>::from_ints(order.as_slice(), device)
            });
            let inner = |end: &str| linear(&format!("{part}.{end}"), width, width);
            let norm = |end: &str| weights.tensor::<1>(&name(&format!("{part}.{end}.weight")), [width], device);
            let attention = Attention {
                query: inner("to_q")?,
                key: inner("to_k")?,
                value: inner("to_v")?,
                output: inner("to_out.0")?,
                query_norm: norm("norm_q")?,
                key_norm: norm("norm_k")?,
            };
            Ok::<_, Error>(match &order {
                Some(order) => attention.with_queries_and_keys(order),
                None => attention,
            })
        };
        let (image_key, image_value) = if config.added_kv_proj_dim.is_some() {
            let norm = weights.tensor::<1>(&name("attn2.norm_added_k.weight"), [width], device)?;
            let key = linear("attn2.add_k_proj", width, width)?;
            (Some((key, norm)), Some(linear("attn2.add_v_proj", width, width)?))
        } else {
            (None, None)
        };
        Ok(Self {
            narrow,
            scale_shift_table: weights.tensor(&name("scale_shift_table"), [1, 6, width], device)?,
            self_attention: attention("attn1", true)?,
            cross_norm: if config.cross_attn_norm {
                Some(LayerNorm::read(weights, &name("norm2"), width, config.eps, device)?)
            } else {
                None
            },
            cross_attention: attention("attn2", false)?,
            image_key,
            image_value,
            up: linear("ffn.net.0.proj", width, config.ffn_dim)?,
            down: linear("ffn.net.2", config.ffn_dim, width)?,
        })
    }

    /// Whether all tensors of a block are there, without reading them.
    fn check(config: &WanTransformerConfig, weights: &Checkpoint, index: usize) -> Result<()> {
        for (part, shape) in block_tensors(config) {
            let name = format!("blocks.{index}.{part}");
            let found = weights.shape(&name);
            let elements = found.map(|found| found.iter().product::<usize>());
            if elements != Some(shape.iter().product()) {
                return Err(damaged(weights.place(), format!("{name} is {found:?}, where the model needs {shape:?}")));
            }
        }
        Ok(())
    }

    fn forward(
        &self,
        x: Tensor<3>,
        modulation: &Tensor<3>,
        context: &WanContext,
        keys: &OnceLock<ContextKeys>,
        tables: &RopeTables,
        config: &WanTransformerConfig,
    ) -> Tensor<3> {
        let [groups, tokens, width] = x.dims();
        let heads = config.num_attention_heads;
        let modulation = self.scale_shift_table.clone() + modulation.clone();
        let part = |index: usize| modulation.clone().narrow(1, index, 1);

        // Self-attention over all tokens.
        let h = normalize(x.clone(), config.eps) * (part(1) + 1.0) + part(0);
        let h = h.reshape([1, groups * tokens, width]);
        let [query, key, value] = self.self_attention.prepare(h.clone(), h, heads);
        let qkv = [rotate(query, tables), rotate(key, tables), value];
        let h = if self.narrow { attend_narrowly(qkv) } else { attend(qkv, None, None) };
        let h = self.self_attention.output.forward(h).reshape([groups, tokens, width]);
        let x = x + h * part(2);

        // Cross-attention to the prompt, and to the picture, whose answers are added.
        let h = match &self.cross_norm {
            Some(norm) => norm.forward(x.clone()),
            None => x.clone(),
        };
        let h = h.reshape([1, groups * tokens, width]);
        let keys = keys.get_or_init(|| self.context_keys(context, heads));
        let query = self.cross_attention.query(h, heads);
        let [key, value] = keys.text.clone();
        let mut h = attend([query.clone(), key, value], context.bias.clone(), None);
        if let Some([key, value]) = keys.image.clone() {
            h = h + attend([query, key, value], None, None);
        }
        let x = x + self.cross_attention.output.forward(h).reshape([groups, tokens, width]);

        // Feed-forward.
        let h = normalize(x.clone(), config.eps) * (part(4) + 1.0) + part(3);
        let h = self.down.forward(gelu_tanh(self.up.forward(h)));
        x + h * part(5)
    }

    fn context_keys(&self, context: &WanContext, heads: usize) -> ContextKeys {
        let text = self.cross_attention.key_value(context.text.clone(), heads);
        let image = match (&context.image, &self.image_key, &self.image_value) {
            (Some(states), Some((key, norm)), Some(value)) => {
                let key = rms_norm(key.forward(states.clone()), norm, QUERY_KEY_EPSILON);
                Some([split_heads(key, heads), split_heads(value.forward(states.clone()), heads)])
            }
            _ => None,
        };
        ContextKeys { text, image }
    }
}

impl Attention {
    /// Norms reach over the full width, before heads are split.
    fn query(&self, x: Tensor<3>, heads: usize) -> Tensor<4> {
        split_heads(rms_norm(self.query.forward(x), &self.query_norm, QUERY_KEY_EPSILON), heads)
    }

    fn key_value(&self, x: Tensor<3>, heads: usize) -> [Tensor<4>; 2] {
        let key = rms_norm(self.key.forward(x.clone()), &self.key_norm, QUERY_KEY_EPSILON);
        [split_heads(key, heads), split_heads(self.value.forward(x), heads)]
    }

    fn prepare(&self, x: Tensor<3>, context: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
        let [key, value] = self.key_value(context, heads);
        [self.query(x, heads), key, value]
    }

    /// The same attention with channels of queries and keys in another order.
    fn with_queries_and_keys(self, order: &Tensor<1, Int>) -> Self {
        Self {
            query: self.query.with_outputs(order),
            key: self.key.with_outputs(order),
            query_norm: self.query_norm.select(0, order.clone()),
            key_norm: self.key_norm.select(0, order.clone()),
            ..self
        }
    }
}

/// All tensors of a block, without their `blocks.N.`.
pub(super) fn block_tensors(config: &WanTransformerConfig) -> Vec<(String, Vec<usize>)> {
    let (width, ffn) = (config.width(), config.ffn_dim);
    let mut tensors = vec![("scale_shift_table".to_owned(), vec![1, 6, width])];
    let mut linear = |name: &str, input: usize, output: usize| {
        tensors.push((format!("{name}.weight"), vec![output, input]));
        tensors.push((format!("{name}.bias"), vec![output]));
    };
    linear("ffn.net.0.proj", width, ffn);
    linear("ffn.net.2", ffn, width);
    for attention in ["attn1", "attn2"] {
        for part in ["to_q", "to_k", "to_v", "to_out.0"] {
            linear(&format!("{attention}.{part}"), width, width);
        }
    }
    if config.added_kv_proj_dim.is_some() {
        linear("attn2.add_k_proj", width, width);
        linear("attn2.add_v_proj", width, width);
        tensors.push(("attn2.norm_added_k.weight".into(), vec![width]));
    }
    for attention in ["attn1", "attn2"] {
        for norm in ["norm_q", "norm_k"] {
            tensors.push((format!("{attention}.{norm}.weight"), vec![width]));
        }
    }
    if config.cross_attn_norm {
        tensors.push(("norm2.weight".into(), vec![width]));
        tensors.push(("norm2.bias".into(), vec![width]));
    }
    tensors
}

/// Rotary tables on three axes, cosines and sines `[tokens, head / 2]`; angles in 64 bits. Rows and columns have a third of
/// the head each, time the rest.
fn rope_tables(head: usize, [frames, rows, columns]: [usize; 3]) -> [Vec<f32>; 2] {
    let space = 2 * (head / 6);
    let time = head - 2 * space;
    let axis = |length: usize, width: usize| -> Vec<Vec<(f32, f32)>> {
        let angle = |position: usize, pair: usize| position as f64 / 10_000f64.powf(2.0 * pair as f64 / width as f64);
        let row = |position| {
            (0..width / 2).map(|pair| angle(position, pair)).map(|a: f64| (a.cos() as f32, a.sin() as f32)).collect()
        };
        (0..length).map(row).collect()
    };
    let (times, heights, widths) = (axis(frames, time), axis(rows, space), axis(columns, space));
    let length = frames * rows * columns;
    let (mut cos, mut sin) = (Vec::with_capacity(length * head / 2), Vec::with_capacity(length * head / 2));
    for time in &times {
        for height in &heights {
            for width in &widths {
                for (c, s) in time.iter().chain(height).chain(width) {
                    cos.push(*c);
                    sin.push(*s);
                }
            }
        }
    }
    [cos, sin]
}

/// `[timesteps, features]`: cosines, then sines, at frequencies from 1 down to 1/10,000.
fn timestep_features(timesteps: &[f32], features: usize, device: &Device) -> Tensor<2> {
    let half = features / 2;
    let mut values = Vec::with_capacity(timesteps.len() * features);
    for timestep in timesteps {
        // In 32 bits and in this order, as the reference has it: angles reach 1,000.
        let angle = |index: usize| timestep * (-(10_000f64.ln() as f32) * index as f32 / half as f32).exp();
        values.extend((0..half).map(|index| angle(index).cos()));
        values.extend((0..half).map(|index| angle(index).sin()));
    }
    Tensor::from_data(TensorData::new(values, [timesteps.len(), features]), device)
}
