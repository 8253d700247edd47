//! The few CPU kernels no library has fast enough: matrix products in bfloat16 and in bytes where the processor has
//! instructions for them, the steps between the products of a transformer, forward and backward, one pass over memory each,
//! and the convolutions of video autoencoders.
//!
//! Plain slices in and out: nothing here knows tensors or models. `unsafe` stands where a processor's instructions or a
//! library's pointers are used, and nowhere else.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod activation;
mod amx;
mod attention;
mod convolution;
mod exponential;
mod keys;
mod linear;
mod mapped;
mod matrix;
mod norm;
mod online;
mod pack;
mod panel;
mod patches;
mod shift;
mod vectorized;
mod winograd;
mod words;

#[cfg(test)]
mod testing;

pub use activation::{gelu, gelu_backward};
pub use attention::{Attention, AttentionGradients, Source, SourceGradients, attention, attention_backward};
pub use convolution::{Convolution, ConvolutionRoom, ConvolutionShape, Frames, normalize};
pub use keys::Keys;
pub use linear::{Linear, MOST_INT8_DEPTH, Rows, Then};
pub use mapped::MappedFile;
pub use matrix::{Matrix, Path, Right, Start, multiply, multiply_by};
pub use norm::{
    EPSILON, Modulation, ModulationGradients, gated_add, gated_add_backward, layer_norm, modulate, modulate_backward,
    rms_norm_rotate,
};
pub use online::{OnlineAttention, attend};
pub use patches::add_patches;
pub use shift::{shift, shift_backward};
pub use words::{Format, Unit};
