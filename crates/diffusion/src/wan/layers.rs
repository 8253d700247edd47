//! Layers that several networks of the family have, read from checkpoints and run forward alone.

use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Device, FloatDType, Tensor};

use crate::checkpoint::Checkpoint;
use crate::{Result, fused};

/// The 16 bits that GPUs multiply: by Vulkan they have this everywhere, and bfloat16 in few places.
const NARROW: FloatDType = FloatDType::F16;

/// Whether a device that is not the processor has layers with factors of 16 bits.
pub(super) fn has_narrow_products(device: &Device) -> bool {
    device.supports_dtype(NARROW)
}

/// `x · weightᵀ + bias` over the last axis.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[d_output, d_input]`, as checkpoints have it.
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

/// The width in and the width out of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub input: usize,
    pub output: usize,
}

impl Linear {
    /// Reads `name.weight`, and `name.bias` if there is one.
    pub(super) fn read(weights: &Checkpoint, name: &str, widths: Widths, device: &Device) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), [widths.output, widths.input], device)?;
        let bias = format!("{name}.bias");
        let bias = if weights.has(&bias) { Some(weights.tensor(&bias, [widths.output], device)?) } else { None };
        Ok(Self { weight, bias })
    }

    /// The same layer with its outputs in another order.
    pub(super) fn with_outputs(self, order: &Tensor<1, burn::tensor::Int>) -> Self {
        Self { weight: self.weight.select(0, order.clone()), bias: self.bias.map(|bias| bias.select(0, order.clone())) }
    }

    /// The same layer with factors of 16 bits.
    pub(super) fn narrowed(self) -> Self {
        Self { weight: self.weight.cast(NARROW), ..self }
    }

    /// `[…, d_input] → […, d_output]`, 32-bit numbers in and out.
    pub(super) fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        if self.weight.dtype() == DType::F32 {
            return fused::project(x, self.weight.clone(), self.bias.clone());
        }
        let x = fused::project(x.cast(NARROW), self.weight.clone(), None).cast(FloatDType::F32);
        match &self.bias {
            Some(bias) => x + bias.clone().unsqueeze::<R>(),
            None => x,
        }
    }
}

/// A norm to mean 0 and variance 1 over the last axis, with scale and shift.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
}

impl LayerNorm {
    pub(super) fn read(weights: &Checkpoint, name: &str, width: usize, epsilon: f64, device: &Device) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), [width], device)?;
        let bias = weights.tensor(&format!("{name}.bias"), [width], device)?;
        Ok(Self { weight, bias, epsilon })
    }

    pub(super) fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        normalize(x, self.epsilon) * self.weight.clone().unsqueeze::<R>() + self.bias.clone().unsqueeze::<R>()
    }
}

/// Mean 0 and variance 1 over the last axis.
pub(super) fn normalize<const R: usize>(x: Tensor<R>, epsilon: f64) -> Tensor<R> {
    let centred = x.clone() - x.mean_dim(R - 1);
    let inverse = (centred.clone().square().mean_dim(R - 1) + epsilon).sqrt().recip();
    centred * inverse
}

/// Root mean square 1 over the last axis, then a scale.
pub(super) fn rms_norm<const R: usize>(x: Tensor<R>, weight: &Tensor<1>, epsilon: f64) -> Tensor<R> {
    let inverse = (x.clone().square().mean_dim(R - 1) + epsilon).sqrt().recip();
    x * inverse * weight.clone().unsqueeze::<R>()
}

/// The Gaussian error linear unit, in the form with a hyperbolic tangent.
pub(super) fn gelu_tanh<const R: usize>(x: Tensor<R>) -> Tensor<R> {
    const FACTOR: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    let inner = (x.clone() * x.clone() * 0.044_715 + 1.0) * x.clone() * FACTOR;
    x * (inner.tanh() + 1.0) * 0.5
}

/// Scaled dot-product attention; `scale` instead of 1/√d.
///
/// # Shapes
/// `query`: `[B, N, Lq, d]`; `key`, `value`: `[B, N, Lk, d]`; `bias`: `[1, 1 or N, 1 or Lq, Lk]`, added to the scores.
/// Returns `[B, Lq, N·d]`.
pub(super) fn attend([query, key, value]: [Tensor<4>; 3], bias: Option<Tensor<4>>, scale: Option<f64>) -> Tensor<3> {
    let [batch, heads, length, width] = query.dims();
    let scale = scale.map_or((width as f32).powf(-0.5), |scale| scale as f32);
    // One value a key, or a whole table of them.
    let of_keys = bias.as_ref().is_none_or(|bias| bias.dims() == [1, 1, 1, key.dims()[2]]);
    let x = if of_keys { fused::attend([&query, &key, &value], bias.as_ref(), scale) } else { None };
    let x = x.unwrap_or_else(|| fused::attend_composed([query, key, value], bias, scale));
    x.swap_dims(1, 2).reshape([batch, length, heads * width])
}

/// [`attend`] with factors of 16 bits, by the kernel that GPUs have for it.
pub(super) fn attend_narrowly(qkv: [Tensor<4>; 3]) -> Tensor<3> {
    let [batch, heads, length, width] = qkv[0].dims();
    let [query, key, value] = qkv.map(|x| x.cast(NARROW));
    let options = AttentionModuleOptions { scale: None, softcap: None, is_causal: false };
    let x = attention(query, key, value, None, None, options).cast(FloatDType::F32);
    x.swap_dims(1, 2).reshape([batch, length, heads * width])
}

/// `[B, L, N·d] → [B, N, L, d]`.
pub(super) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = x.dims();
    x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}
