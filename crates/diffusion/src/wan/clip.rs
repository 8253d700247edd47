//! The image encoder of Wan 2.1 image to video: the vision half of CLIP, without its last layer.
//!
//! Source: Radford et al. 2021 (arXiv:2103.00020); `CLIPVisionModel` of transformers 5.

use burn::tensor::activation::gelu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use super::layers::{LayerNorm, Linear, Widths, attend, split_heads};
use crate::checkpoint::{Checkpoint, damaged};
use crate::{Error, Result};

/// The shape of a [`Clip`], as `image_encoder/config.json` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ClipConfig {
    /// Width of the states.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Side of the pictures.
    pub image_size: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// The activation; only `gelu` is known.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f64,
}

/// The encoder.
#[derive(Debug)]
pub struct Clip {
    config: ClipConfig,
    class: Tensor<3>,
    patch: Tensor<4>,
    positions: Tensor<3>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    feed_norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl ClipConfig {
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let sizes = [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads];
        if sizes.iter().any(|size| *size == 0 || *size > 1 << 20) || self.num_hidden_layers < 2 {
            return Err("a size of the image encoder makes no sense".into());
        }
        let whole = self.patch_size > 0 && self.image_size.is_multiple_of(self.patch_size.max(1));
        if !whole || self.image_size == 0 || self.image_size > 4096 {
            return Err(format!("pictures of {} are not whole patches of {}", self.image_size, self.patch_size));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("the image encoder's heads do not divide its width".into());
        }
        if self.hidden_act != "gelu" {
            return Err(format!("the activation {} is not known here", self.hidden_act));
        }
        Ok(())
    }
}

impl Clip {
    /// Reads an encoder.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if a tensor is missing or has another shape.
    pub fn read(config: &ClipConfig, weights: &Checkpoint, device: &Device) -> Result<Self> {
        config.check().map_err(|reason| damaged(weights.place(), reason))?;
        let (width, side) = (config.hidden_size, config.patch_size);
        let tokens = 1 + (config.image_size / side).pow(2);
        let norm = |name: &str| LayerNorm::read(weights, name, width, config.layer_norm_eps, device);
        let mut layers = Vec::new();
        // The states wanted are those before the last layer.
        for index in 0..config.num_hidden_layers - 1 {
            let name = |end: &str| format!("encoder.layers.{index}.{end}");
            let linear = |end: &str, input, output| Linear::read(weights, &name(end), Widths { input, output }, device);
            layers.push(Layer {
                norm: norm(&name("layer_norm1"))?,
                query: linear("self_attn.q_proj", width, width)?,
                key: linear("self_attn.k_proj", width, width)?,
                value: linear("self_attn.v_proj", width, width)?,
                output: linear("self_attn.out_proj", width, width)?,
                feed_norm: norm(&name("layer_norm2"))?,
                up: linear("mlp.fc1", width, config.intermediate_size)?,
                down: linear("mlp.fc2", config.intermediate_size, width)?,
            });
        }
        Ok(Self {
            class: weights.tensor::<1>("embeddings.class_embedding", [width], device)?.reshape([1, 1, width]),
            patch: weights.tensor("embeddings.patch_embedding.weight", [width, 3, side, side], device)?,
            positions: weights
                .tensor::<2>("embeddings.position_embedding.weight", [tokens, width], device)?
                .unsqueeze_dim(0),
            norm: norm("pre_layrnorm")?,
            layers,
            config: config.clone(),
        })
    }

    /// The shape it was made with.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// The states of a picture before the last layer.
    ///
    /// # Shapes
    /// `pixels`: `[1, 3, S, S]`, normalised, see [`prepared`]. Returns `[1, 1 + (S/patch)², hidden_size]`.
    /// # Errors
    /// [`Error::Given`] for a picture of another size.
    pub fn encode(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        let (side, width) = (self.config.image_size, self.config.hidden_size);
        if pixels.dims() != [1, 3, side, side] {
            return Err(Error::Given(format!("a picture of {:?}, the encoder reads {side} × {side}", pixels.dims())));
        }
        let patch = self.config.patch_size;
        let options = ConvOptions::new([patch, patch], [0, 0], [1, 1], 1);
        let x = conv2d(pixels, self.patch.clone(), None, options);
        let x: Tensor<3> = x.reshape([1, width, (side / patch).pow(2)]).swap_dims(1, 2);
        let mut x = self.norm.forward(Tensor::cat(vec![self.class.clone(), x], 1) + self.positions.clone());
        for layer in &self.layers {
            x = layer.forward(x, self.config.num_attention_heads);
        }
        Ok(x)
    }
}

impl Layer {
    fn forward(&self, x: Tensor<3>, heads: usize) -> Tensor<3> {
        let h = self.norm.forward(x.clone());
        let qkv = [&self.query, &self.key, &self.value].map(|linear| split_heads(linear.forward(h.clone()), heads));
        let x = x + self.output.forward(attend(qkv, None, None));
        let h = self.feed_norm.forward(x.clone());
        x + self.down.forward(gelu(self.up.forward(h)))
    }
}

/// Means and standard deviations of the three colours that the encoder was trained with.
const COLOUR_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const COLOUR_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// A picture as the encoder reads it: the shorter side to `side` pixels by a bicubic filter, the middle cut out, colours
/// normalised.
///
/// `picture`: rows of pixels, three bytes each. Returns `[1, 3, side, side]`.
pub fn prepared(picture: &[u8], width: usize, height: usize, side: usize, device: &Device) -> Tensor<4> {
    // As the reference: the longer side is rounded down.
    let (new_width, new_height) =
        if width <= height { (side, side * height / width) } else { (side * width / height, side) };
    let resized = resized(picture, [width, height], [new_width, new_height]);
    let (left, top) = ((new_width - side) / 2, (new_height - side) / 2);
    let mut values = Vec::with_capacity(3 * side * side);
    for colour in 0..3 {
        for row in 0..side {
            for column in 0..side {
                let byte = resized[((top + row) * new_width + left + column) * 3 + colour];
                values.push((f32::from(byte) / 255.0 - COLOUR_MEAN[colour]) / COLOUR_STD[colour]);
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [1, 3, side, side]), device)
}

/// A picture at another size by the bicubic filter of Pillow: its support grows as the picture shrinks, and between the
/// two passes values are rounded to bytes.
fn resized(picture: &[u8], [width, height]: [usize; 2], [new_width, new_height]: [usize; 2]) -> Vec<u8> {
    let across = if new_width == width {
        picture.to_vec()
    } else {
        let taps = taps(width, new_width);
        let mut out = Vec::with_capacity(new_width * height * 3);
        for row in picture.chunks_exact(width * 3) {
            for (start, weights) in &taps {
                out.extend((0..3).map(|colour| {
                    let sum: f64 =
                        weights.iter().enumerate().map(|(i, w)| w * f64::from(row[(start + i) * 3 + colour])).sum();
                    rounded(sum)
                }));
            }
        }
        out
    };
    if new_height == height {
        return across;
    }
    let line = new_width * 3;
    let mut out = Vec::with_capacity(line * new_height);
    for (start, weights) in &taps(height, new_height) {
        out.extend((0..line).map(|place| {
            let sum: f64 =
                weights.iter().enumerate().map(|(i, w)| w * f64::from(across[(start + i) * line + place])).sum();
            rounded(sum)
        }));
    }
    out
}

fn rounded(value: f64) -> u8 {
    (value + 0.5).floor().clamp(0.0, 255.0) as u8
}

/// For every new place: the first old one that it looks at, and weights.
fn taps(old: usize, new: usize) -> Vec<(usize, Vec<f64>)> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    (0..new)
        .map(|place| {
            let centre = (place as f64 + 0.5) * scale;
            let first = ((centre - support + 0.5).floor().max(0.0)) as usize;
            let end = ((centre + support + 0.5).floor() as usize).min(old);
            let mut weights: Vec<f64> =
                (first..end).map(|index| cubic((index as f64 - centre + 0.5) / stretch)).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            (first, weights)
        })
        .collect()
}

/// Keys' cubic with a = −½.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * A - 4.0 * A
    } else {
        0.0
    }
}
