//! The text encoder: UMT5, the encoder half of a multilingual T5 whose every layer has its own table of relative
//! positions.
//!
//! Only the tokens that are there are computed: the padding is hidden from them in the reference, so it changes nothing.
//! Layers are read one after the other and dropped, so the encoder (11 GB in 16 bits) costs the memory of one of them.
//!
//! Sources: Raffel et al. 2019 (arXiv:1910.10683); Chung et al. 2023 (arXiv:2304.09151).

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use super::layers::{Linear, Widths, attend, gelu_tanh, rms_norm, split_heads};
use crate::Result;
use crate::checkpoint::{Checkpoint, damaged};

/// The shape of a [`Umt5`], as `text_encoder/config.json` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Umt5Config {
    /// Rows of the table of tokens.
    pub vocab_size: usize,
    /// Width of the states.
    pub d_model: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Width of the feed-forward.
    pub d_ff: usize,
    /// Layers.
    pub num_layers: usize,
    /// Heads.
    pub num_heads: usize,
    /// Kinds of distances.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distance from which all are of one kind.
    #[serde(default = "distance")]
    pub relative_attention_max_distance: usize,
    /// Added to mean squares.
    #[serde(default = "epsilon")]
    pub layer_norm_epsilon: f64,
}

fn buckets() -> usize {
    32
}

fn distance() -> usize {
    128
}

fn epsilon() -> f64 {
    1e-6
}

impl Umt5Config {
    /// Reads the shape off the tensors. The published encoder has heads of 64 channels.
    ///
    /// # Errors
    /// [`Error::ModelFile`](crate::Error::ModelFile) if it is not such an encoder.
    pub fn of(weights: &Checkpoint) -> Result<Self> {
        let matrix = |name: &str| match weights.shape(name) {
            Some(&[rows, columns]) => Ok((rows, columns)),
            _ => Err(damaged(weights.place(), format!("this is no UMT5 encoder: it has no matrix {name}"))),
        };
        let (vocab_size, d_model) = matrix("shared.weight")?;
        let (inner, _) = matrix("encoder.block.0.layer.0.SelfAttention.q.weight")?;
        let (d_ff, _) = matrix("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")?;
        let (buckets, num_heads) = matrix("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")?;
        let has = |index: &usize| weights.has(&format!("encoder.block.{index}.layer.0.layer_norm.weight"));
        let config = Self {
            vocab_size,
            d_model,
            d_kv: inner / num_heads.max(1),
            d_ff,
            num_layers: (0..).find(|index| !has(index)).unwrap_or(0),
            num_heads,
            relative_attention_num_buckets: buckets,
            relative_attention_max_distance: distance(),
            layer_norm_epsilon: epsilon(),
        };
        config.check().map_err(|reason| damaged(weights.place(), reason))?;
        Ok(config)
    }

    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let sizes = [self.vocab_size, self.d_model, self.d_kv, self.d_ff, self.num_layers, self.num_heads];
        if sizes.iter().any(|size| *size == 0 || *size > 1 << 24) {
            return Err("a size in the encoder's configuration is 0 or absurdly large".into());
        }
        if self.num_layers > 1000 {
            return Err(format!("{} layers are no encoder", self.num_layers));
        }
        let buckets = self.relative_attention_num_buckets;
        if !(4..=1 << 16).contains(&buckets) || self.relative_attention_max_distance <= buckets / 4 {
            return Err("the encoder's kinds of distances make no sense".into());
        }
        Ok(())
    }

    /// All tensors of the encoder.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (width, inner) = (self.d_model, self.num_heads * self.d_kv);
        let mut tensors = vec![
            ("shared.weight".to_owned(), vec![self.vocab_size, width]),
            ("encoder.final_layer_norm.weight".to_owned(), vec![width]),
        ];
        for index in 0..self.num_layers {
            let mut add = |end: &str, shape: Vec<usize>| {
                tensors.push((format!("encoder.block.{index}.layer.{end}.weight"), shape));
            };
            for part in ["q", "k", "v"] {
                add(&format!("0.SelfAttention.{part}"), vec![inner, width]);
            }
            add("0.SelfAttention.o", vec![width, inner]);
            let buckets = self.relative_attention_num_buckets;
            add("0.SelfAttention.relative_attention_bias", vec![buckets, self.num_heads]);
            add("0.layer_norm", vec![width]);
            add("1.DenseReluDense.wi_0", vec![self.d_ff, width]);
            add("1.DenseReluDense.wi_1", vec![self.d_ff, width]);
            add("1.DenseReluDense.wo", vec![width, self.d_ff]);
            add("1.layer_norm", vec![width]);
        }
        tensors
    }
}

/// The encoder, in its file.
#[derive(Debug)]
pub struct Umt5 {
    config: Umt5Config,
    weights: Checkpoint,
}

impl Umt5 {
    /// An encoder whose names are brought to those of transformers; nothing is read yet.
    ///
    /// # Errors
    /// [`Error::ModelFile`](crate::Error::ModelFile) if a tensor is missing or has another shape.
    pub fn new(config: &Umt5Config, weights: Checkpoint) -> Result<Self> {
        config.check().map_err(|reason| damaged(weights.place(), reason))?;
        for (name, shape) in config.tensors() {
            if weights.shape(&name) != Some(&shape) {
                let found = weights.shape(&name);
                return Err(damaged(weights.place(), format!("{name} is {found:?}, where the model needs {shape:?}")));
            }
        }
        Ok(Self { config: config.clone(), weights })
    }

    /// The states of prompts, `[1, L, d_model]` each, L their number of tokens.
    ///
    /// # Errors
    /// [`Error::ModelFile`](crate::Error::ModelFile) for an id that is not in the table.
    pub fn encode(&self, prompts: &[Vec<u32>], device: &Device) -> Result<Vec<Tensor<3>>> {
        let (config, weights) = (&self.config, &self.weights);
        let mut states = Vec::with_capacity(prompts.len());
        for ids in prompts {
            let rows = weights.rows("shared.weight", ids, config.d_model)?;
            states.push(Tensor::<3>::from_data(TensorData::new(rows, [1, ids.len(), config.d_model]), device));
        }
        for index in 0..config.num_layers {
            // Each layer is read once for all prompts.
            let layer = Layer::read(config, weights, index, device)?;
            states = states.into_iter().map(|x| layer.forward(x, config)).collect();
        }
        let norm = weights.tensor("encoder.final_layer_norm.weight", [config.d_model], device)?;
        Ok(states.into_iter().map(|x| rms_norm(x, &norm, config.layer_norm_epsilon)).collect())
    }
}

/// One layer, while it is needed.
struct Layer {
    norm: Tensor<1>,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// `[buckets, N]`.
    distances: Vec<f32>,
    feed_norm: Tensor<1>,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn read(config: &Umt5Config, weights: &Checkpoint, index: usize, device: &Device) -> Result<Self> {
        let name = |end: &str| format!("encoder.block.{index}.layer.{end}");
        let (width, inner) = (config.d_model, config.num_heads * config.d_kv);
        let linear = |end: &str, input, output| Linear::read(weights, &name(end), Widths { input, output }, device);
        let norm = |end: &str| weights.tensor(&name(&format!("{end}.weight")), [width], device);
        Ok(Self {
            norm: norm("0.layer_norm")?,
            query: linear("0.SelfAttention.q", width, inner)?,
            key: linear("0.SelfAttention.k", width, inner)?,
            value: linear("0.SelfAttention.v", width, inner)?,
            output: linear("0.SelfAttention.o", inner, width)?,
            distances: weights.values(
                &name("0.SelfAttention.relative_attention_bias.weight"),
                &[config.relative_attention_num_buckets, config.num_heads],
            )?,
            feed_norm: norm("1.layer_norm")?,
            gate: linear("1.DenseReluDense.wi_0", width, config.d_ff)?,
            up: linear("1.DenseReluDense.wi_1", width, config.d_ff)?,
            down: linear("1.DenseReluDense.wo", config.d_ff, width)?,
        })
    }

    fn forward(&self, x: Tensor<3>, config: &Umt5Config) -> Tensor<3> {
        let (heads, epsilon) = (config.num_heads, config.layer_norm_epsilon);
        let h = rms_norm(x.clone(), &self.norm, epsilon);
        let qkv = [&self.query, &self.key, &self.value].map(|linear| split_heads(linear.forward(h.clone()), heads));
        // Scores are not divided by √d: the weights were trained without.
        let h = attend(qkv, Some(self.bias(x.dims()[1], config, &x.device())), Some(1.0));
        let x = x + self.output.forward(h);
        let h = rms_norm(x.clone(), &self.feed_norm, epsilon);
        x + self.down.forward(gelu_tanh(self.gate.forward(h.clone())) * self.up.forward(h))
    }

    /// What is added to the scores for the distance from a query to a key: `[1, N, L, L]`.
    fn bias(&self, length: usize, config: &Umt5Config, device: &Device) -> Tensor<4> {
        let heads = config.num_heads;
        let mut values = Vec::with_capacity(heads * length * length);
        for head in 0..heads {
            for query in 0..length {
                for key in 0..length {
                    values.push(self.distances[bucket(key as i64 - query as i64, config) * heads + head]);
                }
            }
        }
        Tensor::from_data(TensorData::new(values, [1, heads, length, length]), device)
    }
}

/// The kind of a distance: exact when near, logarithmic when far, in both directions.
fn bucket(distance: i64, config: &Umt5Config) -> usize {
    let half = config.relative_attention_num_buckets / 2;
    let exact = half / 2;
    let direction = if distance > 0 { half } else { 0 };
    let length = distance.unsigned_abs() as usize;
    if length < exact {
        return direction + length;
    }
    let furthest = config.relative_attention_max_distance as f32 / exact as f32;
    let far = (length as f32 / exact as f32).ln() / (furthest.ln()) * (half - exact) as f32;
    direction + (exact + far as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds that the reference gives for the same numbers, made with transformers 5.23.
    #[test]
    fn distances_have_the_kinds_of_the_reference() {
        let config = Umt5Config {
            vocab_size: 1,
            d_model: 1,
            d_kv: 1,
            d_ff: 1,
            num_layers: 1,
            num_heads: 1,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
        };
        for (distance, kind) in [(0, 0), (-1, 1), (1, 17), (-7, 7), (-8, 8), (8, 24), (-16, 10), (127, 31), (-500, 15)]
        {
            assert_eq!(bucket(distance, &config), kind, "{distance}");
        }
    }
}
