//! Layers that are the same by definition in every model of the family.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::fused;

/// `x · weight + bias` over the last axis.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_input, d_output]`.
    pub weight: Param<Tensor<2>>,
    /// `[d_output]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// `[…, d_input] → […, d_output]`.
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        fused::linear(x, self.weight.val(), self.bias.val())
    }

    /// The same with products in 16 bits, where the processor is faster that way and nothing is learned.
    pub(crate) fn forward_rounded<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        fused::rounded_linear(x, self.weight.val(), self.bias.val())
    }
}

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
        fused::rms_norm(x, self.gamma.val())
    }
}

/// A linear layer with normal weights of standard deviation `gain / √d_input` and zero bias.
pub fn linear(d_input: usize, d_output: usize, gain: f64, device: &Device) -> Linear {
    let std = gain / (d_input as f64).sqrt();
    let initializer = if gain == 0.0 { Initializer::Zeros } else { Initializer::Normal { mean: 0.0, std } };
    Linear { weight: initializer.init([d_input, d_output], device), bias: Initializer::Zeros.init([d_output], device) }
}

/// A linear layer whose weight and bias are given: `weight` is `[d_input, d_output]`, row by row.
pub fn linear_from(weight: Vec<f32>, bias: Vec<f32>, device: &Device) -> Linear {
    let d_output = bias.len();
    let d_input = weight.len() / d_output;
    Linear {
        weight: Param::from_tensor(Tensor::from_data(TensorData::new(weight, [d_input, d_output]), device)),
        bias: Param::from_tensor(Tensor::from_floats(bias.as_slice(), device)),
    }
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
        self.down.forward(fused::gelu(self.up.forward(x)))
    }

    /// The same by [`Linear::forward_rounded`].
    pub(crate) fn forward_rounded<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        self.down.forward_rounded(fused::gelu(self.up.forward_rounded(x)))
    }
}
