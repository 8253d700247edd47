//! Blocks of the Wan transformer whose weights are rounded for the processor's narrow products: the same arithmetic as
//! `transformer`, over plain slices, in fewer passes over memory.
//!
//! Rounded are the factors of the blocks' linear layers and of attention; sums, norms, gates, rotations, shares and what runs
//! between the blocks have 32 bits. That is less rounding than the reference does in 16 bits.

use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use kernels::{Format, Keys, Linear, Modulation, OnlineAttention, Path, Rows, Then, Unit};
use rayon::prelude::*;

use super::transformer::{QUERY_KEY_EPSILON, WanTransformerConfig};
use crate::Result;
use crate::checkpoint::{Checkpoint, Storage};

/// What the products of a transformer's blocks are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, the reference's numbers.
    #[default]
    F32,
    /// Factors of 16 bits, sums of 32.
    Bf16,
    /// Weights and activations of 8 bits with scales, attention as in [`Precision::Bf16`].
    Int8,
}

impl Precision {
    /// What suits weights and processor: 16 bits if it multiplies them faster and most of the weights are stored in no more,
    /// else 32.
    pub fn suited(weights: &Checkpoint) -> Self {
        let (mut narrow, mut all) = (0, 0);
        for name in weights.names() {
            let numbers = weights.shape(name).map_or(0, |shape| shape.iter().product::<usize>());
            all += numbers;
            if !matches!(weights.storage(name), Some(Storage::F32 | Storage::F64) | None) {
                narrow += numbers;
            }
        }
        if Unit::fastest(Format::Bf16).gains() && 2 * narrow > all { Self::Bf16 } else { Self::F32 }
    }

    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    pub(super) fn format(self) -> Option<Format> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(Format::Bf16),
            Self::Int8 => Some(Format::Int8),
        }
    }

    /// Bytes of a layer's weights in memory.
    pub(super) fn bytes(self, input: usize, output: usize) -> u64 {
        let bytes = match self.format() {
            None => 4 * input * output,
            Some(format) => Linear::packed_bytes(format, input, output),
        };
        bytes as u64
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        [Self::F32, Self::Bf16, Self::Int8]
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| format!("{name:?} is none of f32, bf16 and int8"))
    }
}

/// Tokens that the feed-forward, five times as wide as all else, works on at a time.
pub(super) const FEED_FORWARD_TOKENS: usize = 1920;

/// One block.
#[derive(Debug)]
pub(super) struct PackedBlock {
    format: Format,
    /// `[6, D]`.
    scale_shift_table: Vec<f32>,
    self_attention: Attention,
    /// Scale and shift.
    cross_norm: Option<[Vec<f32>; 2]>,
    cross_attention: Attention,
    image_key: Option<(Linear, Vec<f32>)>,
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
    query_norm: Vec<f32>,
    key_norm: Vec<f32>,
}

/// Keys and values of a prompt for one block.
#[derive(Debug)]
pub(super) struct PackedKeys {
    text: Keys,
    image: Option<Keys>,
}

/// The prompt and the picture, as a transformer's embedders leave them.
pub(super) struct Conditions<'a> {
    /// `[L, D]`.
    pub text: &'a [f32],
    /// `[L]`, added to scores.
    pub bias: Option<&'a [f32]>,
    /// `[Li, D]`.
    pub image: Option<&'a [f32]>,
}

/// What is the same for all blocks of an evaluation.
pub(super) struct Evaluation<'a> {
    pub config: &'a WanTransformerConfig,
    /// `[groups, 6, D]`.
    pub modulation: &'a [f32],
    /// Cosines and sines, `[L, d / 2]` each.
    pub rotation: [&'a [f32]; 2],
}

/// Memory that one block leaves to the next.
#[derive(Debug)]
pub(super) struct Workspace {
    rows: Rows,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    wide: Vec<f32>,
}

impl Workspace {
    pub(super) fn new(precision: Format) -> Self {
        Self { rows: Rows::new(precision), query: vec![], key: vec![], value: vec![], wide: vec![] }
    }

    /// Bytes that it grows to, with the tokens themselves.
    pub(super) fn bytes(config: &WanTransformerConfig, tokens: usize) -> u64 {
        let (width, ffn) = (config.width(), config.ffn_dim);
        let at_a_time = tokens.min(FEED_FORWARD_TOKENS);
        // Tokens as they come and as they go, three of the attention, keys and values once more in 16 bits, rounded rows.
        (4 * tokens * 5 * width + 2 * tokens * 3 * width + at_a_time * (4 + 2) * ffn) as u64
    }
}

impl PackedBlock {
    pub(super) fn read(
        config: &WanTransformerConfig,
        weights: &Checkpoint,
        index: usize,
        format: Format,
    ) -> Result<Self> {
        let width = config.width();
        let name = |part: &str| format!("blocks.{index}.{part}");
        let vector = |part: &str| weights.values(&name(part), &[width]);
        let halves = halves_order(config.num_attention_heads, config.attention_head_dim);
        let linear = |part: &str, input: usize, output: usize, order: Option<&[usize]>| -> Result<Linear> {
            let mut weight = weights.values(&name(&format!("{part}.weight")), &[output, input])?;
            let bias = name(&format!("{part}.bias"));
            let mut bias = if weights.has(&bias) { Some(weights.values(&bias, &[output])?) } else { None };
            if let Some(order) = order {
                weight = reordered(&weight, order, input);
                bias = bias.map(|bias| reordered(&bias, order, 1));
            }
            Ok(Linear::new(format, &weight, input, bias.as_deref()))
        };
        let attention = |part: &str, order: Option<&[usize]>| -> Result<Attention> {
            let inner = |end: &str, order| linear(&format!("{part}.{end}"), width, width, order);
            let norm = |end: &str| -> Result<Vec<f32>> {
                let norm = vector(&format!("{part}.{end}.weight"))?;
                Ok(order.map_or_else(|| norm.clone(), |order| reordered(&norm, order, 1)))
            };
            Ok(Attention {
                query: inner("to_q", order)?,
                key: inner("to_k", order)?,
                value: inner("to_v", None)?,
                output: inner("to_out.0", None)?,
                query_norm: norm("norm_q")?,
                key_norm: norm("norm_k")?,
            })
        };
        let (image_key, image_value) = if config.added_kv_proj_dim.is_some() {
            let key = linear("attn2.add_k_proj", width, width, None)?;
            (Some((key, vector("attn2.norm_added_k.weight")?)), Some(linear("attn2.add_v_proj", width, width, None)?))
        } else {
            (None, None)
        };
        Ok(Self {
            format,
            scale_shift_table: weights.values(&name("scale_shift_table"), &[1, 6, width])?,
            self_attention: attention("attn1", Some(&halves))?,
            cross_norm: if config.cross_attn_norm {
                Some([vector("norm2.weight")?, vector("norm2.bias")?])
            } else {
                None
            },
            cross_attention: attention("attn2", None)?,
            image_key,
            image_value,
            up: linear("ffn.net.0.proj", width, config.ffn_dim, None)?,
            down: linear("ffn.net.2", config.ffn_dim, width, None)?,
        })
    }

    /// Keys and values of a prompt, for all steps.
    pub(super) fn keys(&self, config: &WanTransformerConfig, conditions: &Conditions<'_>) -> PackedKeys {
        let width = config.width();
        let (heads, head_width) = (config.num_attention_heads, config.attention_head_dim);
        let keys = |states: &[f32], key: &Linear, norm: &[f32], value: &Linear, bias: Option<&[f32]>| {
            let mut rows = Rows::new(self.format);
            rows.set(states, width);
            let (mut keys, mut values) = (vec![0.0; states.len()], vec![0.0; states.len()]);
            key.forward(&rows, Then::Nothing, &mut keys);
            kernels::rms_norm_rotate(&mut keys, norm, head_width, None, QUERY_KEY_EPSILON as f32);
            value.forward(&rows, Then::Nothing, &mut values);
            Keys::new(heads, head_width, &keys, &values, bias)
        };
        let cross = &self.cross_attention;
        let text = keys(conditions.text, &cross.key, &cross.key_norm, &cross.value, conditions.bias);
        let image = match (conditions.image, &self.image_key, &self.image_value) {
            (Some(states), Some((key, norm)), Some(value)) => Some(keys(states, key, norm, value, None)),
            _ => None,
        };
        PackedKeys { text, image }
    }

    /// `x`: `[L, D]`, tokens of a group one after the other.
    pub(super) fn forward(&self, x: &mut [f32], keys: &PackedKeys, call: &Evaluation<'_>, work: &mut Workspace) {
        let config = call.config;
        let width = config.width();
        let head_width = config.attention_head_dim;
        let tokens = x.len() / width;
        let groups = call.modulation.len() / (6 * width);
        let group = tokens / groups;
        let scale = (head_width as f32).powf(-0.5);
        // One line a group: shift, scale and gate of attention, then of the feed-forward.
        let parts: [Vec<f32>; 6] = std::array::from_fn(|part| {
            let own = &self.scale_shift_table[part * width..][..width];
            let given = call.modulation.chunks_exact(6 * width).flat_map(|lines| &lines[part * width..][..width]);
            given.zip(own.iter().cycle()).map(|(given, own)| given + own).collect()
        });
        let [shift, scale_of, gate, forward_shift, forward_scale, forward_gate] = &parts;
        let epsilon = config.eps as f32;
        let modulated = |x: &[f32], token: usize, shift: &[f32], scale: &[f32], out: &mut [f32]| {
            let line = token / group * width;
            let (shift, scale) = (&shift[line..][..width], &scale[line..][..width]);
            let modulation = Modulation { width, group: 1, scale, base: 1.0, shift: Some(shift) };
            kernels::layer_norm(&x[token * width..][..width], modulation, epsilon, out);
        };
        let Workspace { rows, query, key, value, wide } = work;
        for buffer in [&mut *query, key, value] {
            buffer.resize(x.len(), 0.0);
        }

        // Self-attention over all tokens.
        rows.fill(tokens, width, |token, out| modulated(x, token, shift, scale_of, out));
        let attention = &self.self_attention;
        attention.query.forward(rows, Then::Nothing, query);
        normed(query, &attention.query_norm, head_width, Some(call.rotation));
        attention.key.forward(rows, Then::Nothing, key);
        normed(key, &attention.key_norm, head_width, Some(call.rotation));
        attention.value.forward(rows, Then::Nothing, value);
        let heads = config.num_attention_heads;
        if Unit::fastest(Format::Bf16) == Unit::Tiles {
            let call = OnlineAttention { heads, head_width, query, key, value, bias: None, scale, path: Path::Tiles };
            let mut out = vec![0.0; x.len()];
            kernels::attend(&call, &mut out);
            rows.set(&out, width);
        } else {
            // The keys are in their own order by then: what comes out takes their place.
            let known = Keys::new(heads, head_width, key, value, None);
            known.attend(query, scale, key);
            rows.set(key, width);
        }
        attention.output.forward(rows, Then::GatedAdd { gate, group }, x);

        // Cross-attention to the prompt, and to the picture, whose answers are added.
        match &self.cross_norm {
            Some([scale, shift]) => rows.fill(tokens, width, |token, out| {
                let modulation = Modulation { width, group: 1, scale, base: 0.0, shift: Some(shift) };
                kernels::layer_norm(&x[token * width..][..width], modulation, epsilon, out);
            }),
            None => rows.set(x, width),
        }
        let attention = &self.cross_attention;
        attention.query.forward(rows, Then::Nothing, query);
        normed(query, &attention.query_norm, head_width, None);
        keys.text.attend(query, scale, key);
        if let Some(image) = &keys.image {
            image.attend(query, scale, value);
            key.par_iter_mut().zip(&*value).with_min_len(1 << 14).for_each(|(sum, value)| *sum += value);
        }
        rows.set(key, width);
        attention.output.forward(rows, Then::Add, x);

        // Feed-forward, some tokens at a time.
        for from in (0..tokens).step_by(FEED_FORWARD_TOKENS) {
            let count = FEED_FORWARD_TOKENS.min(tokens - from);
            wide.resize(count * config.ffn_dim, 0.0);
            rows.fill(count, width, |token, out| modulated(x, from + token, forward_shift, forward_scale, out));
            self.up.forward(rows, Then::GeluTanh, wide);
            rows.set(wide, config.ffn_dim);
            // Gates of the tokens that are here: a line each, as groups may be cut.
            let gates: Vec<f32>;
            let then = if groups == 1 {
                Then::GatedAdd { gate: forward_gate, group: count }
            } else {
                let line = |token: usize| &forward_gate[(from + token) / group * width..][..width];
                gates = (0..count).flat_map(|token| line(token).iter().copied()).collect();
                Then::GatedAdd { gate: &gates, group: 1 }
            };
            self.down.forward(rows, then, &mut x[from * width..][..count * width]);
        }
    }
}

/// Norm over all heads of queries or keys, and their rotation.
fn normed(x: &mut [f32], norm: &[f32], head_width: usize, rotation: Option<[&[f32]; 2]>) {
    const TOKENS: usize = 32;
    let half = head_width / 2;
    x.par_chunks_mut(TOKENS * norm.len()).enumerate().for_each(|(index, x)| {
        let tokens = x.len() / norm.len();
        let rotation = rotation.map(|tables| tables.map(|table| &table[index * TOKENS * half..][..tokens * half]));
        kernels::rms_norm_rotate(x, norm, head_width, rotation, QUERY_KEY_EPSILON as f32);
    });
}

/// The order of channels that brings the pairs (2i, 2i + 1) of each head to (i, i + half), where rotations have them. A score
/// is a sum over channels, so queries and keys may be in any order, as long as it is the same.
pub(super) fn halves_order(heads: usize, head: usize) -> Vec<usize> {
    (0..heads)
        .flat_map(|number| {
            let first = number * head;
            (0..head / 2).map(move |i| first + 2 * i).chain((0..head / 2).map(move |i| first + 2 * i + 1))
        })
        .collect()
}

/// Rows of `width` values in another order.
fn reordered(values: &[f32], order: &[usize], width: usize) -> Vec<f32> {
    order.iter().flat_map(|row| &values[row * width..][..width]).copied().collect()
}

/// The values of a tensor, row by row.
pub(super) fn values_of<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("a tensor of 32-bit numbers")
}

/// A tensor of values.
pub(super) fn tensor_of<const R: usize>(
    values: Vec<f32>,
    shape: [usize; R],
    device: &burn::tensor::Device,
) -> Tensor<R> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
