//! Layers that are the same by definition in every model of the family.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

/// Divides by the root mean square over the last axis, then scales by `gamma`.
///
/// Source: Zhang & Sennrich 2019 (arXiv:1910.07467).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[D]`.
    pub gamma: Param<Tensor<1>>,
}

impl RmsNorm {
    /// A norm over `width` channels whose scale starts at one.
    pub fn new(width: usize, device: &Device) -> Self {
        Self { gamma: Initializer::Ones.init([width], device) }
    }

    /// `[…, D] → […, D]`.
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        rms_normalize(x) * self.gamma.val().unsqueeze::<R>()
    }
}

/// [`RmsNorm`] without a learned scale: what a modulated layer starts from.
pub(crate) fn rms_normalize<const R: usize>(x: Tensor<R>) -> Tensor<R> {
    const EPSILON: f32 = 1e-6;
    let inverse = (x.clone().square().mean_dim(R - 1) + EPSILON).sqrt().recip();
    x * inverse
}

/// A linear layer with normal weights of standard deviation `gain / √d_input` and zero bias.
pub fn linear(d_input: usize, d_output: usize, gain: f64, device: &Device) -> Linear {
    let std = gain / (d_input as f64).sqrt();
    let mut layer = LinearConfig::new(d_input, d_output).init(device);
    layer.weight = if gain == 0.0 {
        Initializer::Zeros.init([d_input, d_output], device)
    } else {
        Initializer::Normal { mean: 0.0, std }.init([d_input, d_output], device)
    };
    layer.bias = Some(Initializer::Zeros.init([d_output], device));
    layer
}

/// Two linear layers with a GELU between them. The second starts at zero, so that a residual block
/// begins as the identity.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `D → hidden`.
    pub up: Linear,
    /// `hidden → D`.
    pub down: Linear,
}

impl Mlp {
    /// `width` in and out, `hidden` between.
    pub fn new(width: usize, hidden: usize, device: &Device) -> Self {
        Self { up: linear(width, hidden, 1.0, device), down: linear(hidden, width, 0.0, device) }
    }

    /// `[…, D] → […, D]`.
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        self.down.forward(burn::tensor::activation::gelu(self.up.forward(x)))
    }
}

/// Scaled dot-product attention over `[B, N, L, D/N]` heads.
///
/// `mask`, `[B, 1, 1, Lk]`, is added to the scores: 0 keeps a key, a large negative number hides it.
pub(crate) fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: Option<Tensor<4>>) -> Tensor<4> {
    // The library's fused attention has no backward pass of its own and wants a mask of full size.
    if mask.is_none() && !query.is_autodiff() {
        return burn::tensor::module::attention(query, key, value, None, None, Default::default());
    }
    let head_width = query.dims()[3];
    let scores = query.mul_scalar((head_width as f32).powf(-0.5)).matmul(key.swap_dims(2, 3));
    let scores = match mask {
        Some(mask) => scores + mask,
        None => scores,
    };
    burn::tensor::activation::softmax(scores, 3).matmul(value)
}

/// `[B, L, D] → [B, N, L, D/N]`.
pub(crate) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = x.dims();
    x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}

/// `[B, N, L, D/N] → [B, L, D]`.
pub(crate) fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, length, head_width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, length, heads * head_width])
}
