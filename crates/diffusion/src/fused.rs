//! Operations that are one kernel each on the CPU, forward and backward, and a composition of the tensor library's own
//! operations on every other device.
//!
//! The tensor library computes a transformer block as some hundred passes over memory, each with its own tensor and,
//! in training, its own entry on the tape. Here it is nine. `kernels` has the arithmetic; this file is the bridge:
//! tensors to slices, and back, and onto the tape.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, BackendTypes, Flex};
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};
use kernels::{
    Attention, AttentionGradients, Format, Linear, Matrix, Modulation, ModulationGradients, OnlineAttention, Path,
    Right, Rows, Source, SourceGradients, Start, Then, Unit,
};

use crate::rope::{RopeTables, rotate};

/// `x · weight + bias` over the last axis.
///
/// # Shapes
/// `x`: `[…, K]`; `weight`: `[K, N]`; `bias`: `[N]`. Returns `[…, N]`.
pub(crate) fn linear<const R: usize>(x: Tensor<R>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<R> {
    match (Input::of(&x), Input::of(&weight), Input::of(&bias)) {
        (Some(x), Some(weight), Some(bias)) => run(LinearKernel, [x, weight, bias]),
        _ => burn::tensor::module::linear(x, weight, Some(bias)),
    }
}

/// [`linear`] in bfloat16 with sums in 32 bits, where the processor is faster that way and nothing is learned; elsewhere the
/// same as that.
pub(crate) fn rounded_linear<const R: usize>(x: Tensor<R>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<R> {
    // Tiles round in `linear` itself.
    if Unit::fastest(Format::Bf16) != Unit::Avx512 {
        return linear(x, weight, bias);
    }
    match (Input::of(&x), Input::of(&weight), Input::of(&bias)) {
        (Some(Input::Plain(x)), Some(Input::Plain(weight)), Some(Input::Plain(bias))) => {
            let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
            let (x, weight, bias) = (View::of(&x), View::of(&weight), View::of(&bias));
            let width = weight.width();
            let mut rows = Rows::new(Format::Bf16);
            rows.set(x.values, x.width());
            let mut out = vec![0.0; x.rows() * width];
            Linear::sideways(weight.values, width, bias.values).forward(&rows, Then::Nothing, &mut out);
            Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(out, x.shape_with(width))))
        }
        _ => linear(x, weight, bias),
    }
}

/// `x · weightᵀ + bias` over the last axis, in 32 bits whatever the processor has: the layers of models whose numbers must
/// be those of others. Not for training.
///
/// # Shapes
/// `x`: `[…, K]`; `weight`: `[N, K]`; `bias`: `[N]`. Returns `[…, N]`.
pub(crate) fn project<const R: usize>(x: Tensor<R>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<R> {
    let plain_bias = bias.as_ref().map(Input::of);
    match (Input::of(&x), Input::of(&weight), plain_bias) {
        (Some(Input::Plain(x)), Some(Input::Plain(weight)), None | Some(Some(Input::Plain(_)))) => {
            let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
            let bias = bias.map(|bias| bias.into_data().try_to_vec::<f32>().expect("a bias of 32-bit numbers"));
            let (x, weight) = (View::of(&x), View::of(&weight));
            let width = weight.rows();
            let mut out = vec![0.0; x.rows() * width];
            let right = Right::on(Path::Vectors, weight.matrix().transposed());
            let start = bias.as_deref().map_or(Start::Zero, Start::Row);
            kernels::multiply_by(x.matrix(), &right, &mut out, width, start);
            let data = TensorData::new(out, x.shape_with(width));
            Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
        }
        _ => burn::tensor::module::linear(x, weight.swap_dims(0, 1), bias),
    }
}

/// Scaled dot-product attention in 32 bits that never holds all scores; nothing on other devices. Not for
/// training.
///
/// # Shapes
/// `query`: `[1, N, Lq, d]`; `key`, `value`: `[1, N, Lk, d]`; `bias`: `[1, 1, 1, Lk]`, added to the scores of a key. Returns
/// `[1, N, Lq, d]`.
pub(crate) fn attend(qkv: [&Tensor<4>; 3], bias: Option<&Tensor<4>>, scale: f32) -> Option<Tensor<4>> {
    let [batch, heads, queries, head_width] = qkv[0].dims();
    let keys = qkv[1].dims()[2];
    let plain = |tensor: &Tensor<4>| match Input::of(tensor) {
        Some(Input::Plain(tensor)) => Some(tensor.to_contiguous()),
        _ => None,
    };
    let [query, key, value] = [plain(qkv[0])?, plain(qkv[1])?, plain(qkv[2])?];
    let bias = match bias {
        Some(bias) => Some(plain(bias)?),
        None => None,
    };
    let [query, key, value] = [&query, &key, &value].map(|tensor| View::of(tensor).values);
    let bias = bias.as_ref().map(|bias| View::of(bias).values);
    let mut out = vec![0.0; query.len()];
    let lines = |head: usize, length: usize| head * length * head_width..(head + 1) * length * head_width;
    for head in 0..batch * heads {
        let (asked, known) = (lines(head, queries), lines(head, keys));
        let call = OnlineAttention {
            heads: 1,
            head_width,
            query: &query[asked.clone()],
            key: &key[known.clone()],
            value: &value[known],
            bias,
            scale,
            path: Path::Vectors,
        };
        kernels::attend(&call, &mut out[asked]);
    }
    let data = TensorData::new(out, [batch, heads, queries, head_width]);
    Some(Tensor::from_primitive::<Flex>(FlexTensor::from_data(data)))
}

/// The Gaussian error linear unit.
pub(crate) fn gelu<const R: usize>(x: Tensor<R>) -> Tensor<R> {
    match Input::of(&x) {
        Some(x) => run(GeluKernel, [x]),
        None => burn::tensor::activation::gelu(x),
    }
}

/// Divides rows by their root mean square, then scales them: `[…, D]` by `[D]`.
pub(crate) fn rms_norm<const R: usize>(x: Tensor<R>, gamma: Tensor<1>) -> Tensor<R> {
    match (Input::of(&x), Input::of(&gamma)) {
        (Some(x), Some(gamma)) => run(NormKernel, [x, gamma]),
        _ => rms_normalize(x) * gamma.unsqueeze::<R>(),
    }
}

/// Divides rows by their root mean square, then `· (1 + scale) + shift`.
///
/// # Shapes
/// `x`: `[B, T, P, D]`; `shift` and `scale`: `[B, T, D]`.
pub(crate) fn modulate(x: Tensor<4>, shift: Tensor<3>, scale: Tensor<3>) -> Tensor<4> {
    match (Input::of(&x), Input::of(&shift), Input::of(&scale)) {
        (Some(x), Some(shift), Some(scale)) => run(ModulateKernel, [x, shift, scale]),
        _ => rms_normalize(x) * (scale.unsqueeze_dim(2) + 1.0) + shift.unsqueeze_dim(2),
    }
}

/// `x + branch · (1 + gate)`.
///
/// # Shapes
/// `x` and `branch`: `[B, T, P, D]`; `gate`: `[B, T, D]`.
pub(crate) fn gated_add(x: Tensor<4>, branch: Tensor<4>, gate: Tensor<3>) -> Tensor<4> {
    match (Input::of(&x), Input::of(&branch), Input::of(&gate)) {
        (Some(x), Some(branch), Some(gate)) => run(GatedAddKernel, [x, branch, gate]),
        _ => x + branch * (gate.unsqueeze_dim(2) + 1.0),
    }
}

/// Moves groups of channels by one cell, see `kernels::shift`: `[B, T, H, W, C]`, same shape out.
pub(crate) fn shift(x: Tensor<5>) -> Tensor<5> {
    match Input::of(&x) {
        Some(x) => run(ShiftKernel, [x]),
        None => shift_plain(x),
    }
}

/// What attention does with queries and keys before it compares them.
#[derive(Clone, Debug, Default)]
pub struct Preparation<'a> {
    /// Scales of the norms of queries and of keys, `[head]` each.
    pub norms: Option<[Tensor<1>; 2]>,
    /// Rotary positions of queries and keys.
    pub(crate) rotation: Option<&'a RopeTables>,
    /// `[B, 1, 1, Lk]`, added to the scores: 0 keeps a key, a large negative number hides it.
    pub mask: Option<Tensor<4>>,
}

/// Scaled dot-product attention of tokens to each other.
///
/// # Shapes
/// `qkv`: `[B, L, 3·D]`, query, key and value side by side. Returns `[B, L, D]`.
pub fn self_attention(qkv: Tensor<3>, heads: usize, preparation: Preparation<'_>) -> Tensor<3> {
    let width = qkv.dims()[2] / 3;
    let kernel = AttentionKernel::new(width, heads, &preparation);
    if let (Some(kernel), Some(input)) = (kernel, Input::of(&qkv)) {
        let [query_gamma, key_gamma] = norm_inputs(&preparation);
        return run(JoinedAttention(kernel), [input, query_gamma, key_gamma]);
    }
    let part = |index: usize| qkv.clone().narrow(2, index * width, width);
    attention_plain([part(0), part(1), part(2)], heads, preparation)
}

/// Scaled dot-product attention of tokens to others.
///
/// # Shapes
/// `query`: `[B, Lq, D]`; `key_value`: `[B, Lk, 2·D]`, key and value side by side. Returns `[B, Lq, D]`.
pub fn cross_attention(
    query: Tensor<3>,
    key_value: Tensor<3>,
    heads: usize,
    preparation: Preparation<'_>,
) -> Tensor<3> {
    let width = query.dims()[2];
    let kernel = AttentionKernel::new(width, heads, &preparation);
    if let (Some(kernel), Some(query), Some(key_value)) = (kernel, Input::of(&query), Input::of(&key_value)) {
        let [query_gamma, key_gamma] = norm_inputs(&preparation);
        return run(ApartAttention(kernel), [query, key_value, query_gamma, key_gamma]);
    }
    let part = |index: usize| key_value.clone().narrow(2, index * width, width);
    attention_plain([query, part(0), part(1)], heads, preparation)
}

/// [`rms_norm`] without a scale, as a composition.
fn rms_normalize<const R: usize>(x: Tensor<R>) -> Tensor<R> {
    let inverse = (x.clone().square().mean_dim(R - 1) + kernels::EPSILON).sqrt().recip();
    x * inverse
}

fn attention_plain(qkv: [Tensor<3>; 3], heads: usize, preparation: Preparation<'_>) -> Tensor<3> {
    let [mut query, mut key, value] = qkv.map(|x| split_heads(x, heads));
    if let Some([query_gamma, key_gamma]) = preparation.norms {
        query = rms_normalize(query) * query_gamma.unsqueeze::<4>();
        key = rms_normalize(key) * key_gamma.unsqueeze::<4>();
    }
    if let Some(tables) = preparation.rotation {
        query = rotate(query, tables);
        key = rotate(key, tables);
    }
    let scale = (query.dims()[3] as f32).powf(-0.5);
    let x = attend_composed([query, key, value], preparation.mask, scale).swap_dims(1, 2);
    let [batch, length, heads, head_width] = x.dims();
    x.reshape([batch, length, heads * head_width])
}

/// Most scores that [`attend_composed`] holds at a time: 256 MiB of them.
const MOST_SCORES: usize = 1 << 26;

/// Scaled dot-product attention as a composition, some queries at a time. The tensor library's own on GPUs multiplies in
/// 16 bits, whatever it is given.
///
/// # Shapes
/// `query`: `[B, N, Lq, d]`; `key`, `value`: `[B, N, Lk, d]`; `bias`: `[B or 1, N or 1, Lq or 1, Lk]`, added to the scores.
/// Returns `[B, N, Lq, d]`.
pub(crate) fn attend_composed(qkv: [Tensor<4>; 3], bias: Option<Tensor<4>>, scale: f32) -> Tensor<4> {
    attend_in_parts(qkv, bias, scale, MOST_SCORES)
}

fn attend_in_parts(
    [query, key, value]: [Tensor<4>; 3],
    bias: Option<Tensor<4>>,
    scale: f32,
    most_scores: usize,
) -> Tensor<4> {
    let [batch, heads, queries, _] = query.dims();
    let at_a_time = (most_scores / (batch * heads * key.dims()[2])).clamp(1, queries);
    let (query, key) = (query.mul_scalar(scale), key.swap_dims(2, 3));
    let part = |from: usize| {
        let count = at_a_time.min(queries - from);
        let scores = query.clone().narrow(2, from, count).matmul(key.clone());
        let scores = match &bias {
            Some(bias) if bias.dims()[2] == 1 => scores + bias.clone(),
            Some(bias) => scores + bias.clone().narrow(2, from, count),
            None => scores,
        };
        softmax(scores, 3).matmul(value.clone())
    };
    if at_a_time == queries {
        return part(0);
    }
    Tensor::cat((0..queries).step_by(at_a_time).map(part).collect(), 2)
}

/// `[B, L, D] → [B, N, L, D/N]`.
fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, width] = x.dims();
    x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
}

fn shift_plain(x: Tensor<5>) -> Tensor<5> {
    let group = x.dims()[4] / 8;
    let rest = x.dims()[4] - 5 * group;
    let from = |index: usize| x.clone().narrow(4, index * group, group);
    Tensor::cat(
        vec![
            shifted(from(0), 3, true),
            shifted(from(1), 3, false),
            shifted(from(2), 2, true),
            shifted(from(3), 2, false),
            shifted(from(4), 1, true),
            x.clone().narrow(4, 5 * group, rest),
        ],
        4,
    )
}

fn shifted(x: Tensor<5>, dim: usize, forward: bool) -> Tensor<5> {
    let length = x.dims()[dim];
    let mut edge = x.dims();
    edge[dim] = 1;
    let edge = Tensor::zeros(edge, &x.device());
    if length == 1 {
        return edge;
    }
    if forward {
        Tensor::cat(vec![edge, x.narrow(dim, 0, length - 1)], dim)
    } else {
        Tensor::cat(vec![x.narrow(dim, 1, length - 1), edge], dim)
    }
}

/// Whether tensors of a device are the CPU's, of 32-bit numbers and without a tape.
pub(crate) fn on_cpu(device: &Device) -> bool {
    matches!(Input::of(&Tensor::<1>::zeros([1], device)), Some(Input::Plain(_)))
}

// From here on: the bridge.

/// A tensor of the tape.
type Taped = <Autodiff<Flex> as BackendTypes>::FloatTensorPrimitive;

/// A tensor of the CPU.
enum Input {
    Plain(FlexTensor),
    Taped(Taped),
}

impl Input {
    /// Nothing if the tensor lives on another device or has other elements than 32-bit numbers.
    fn of<const R: usize>(tensor: &Tensor<R>) -> Option<Self> {
        if tensor.dtype() != DType::F32 {
            return None;
        }
        match tensor.clone().try_into_primitive::<Flex>() {
            Ok(plain) => Some(Self::Plain(plain)),
            Err(_) => tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok().map(Self::Taped),
        }
    }

    /// What stands where a kernel has no use for an input.
    fn none() -> Self {
        Self::Plain(FlexTensor::from_data(TensorData::new(Vec::<f32>::new(), [0])))
    }
}

/// An operation on `N` tensors of 32-bit numbers, as slices in row-major order.
trait Kernel<const N: usize>: Clone + Debug + Send + 'static {
    /// The result, and its shape.
    fn forward(&self, inputs: [View<'_>; N]) -> (Vec<f32>, Vec<usize>);

    /// The gradients of the inputs that are `wanted`, each as long as its input, from that of the result.
    fn backward(&self, inputs: [View<'_>; N], gradient: Vec<f32>, wanted: [bool; N]) -> [Vec<f32>; N];
}

/// A tensor in memory, row by row.
#[derive(Clone, Copy)]
struct View<'a> {
    values: &'a [f32],
    shape: &'a [usize],
}

impl<'a> View<'a> {
    /// `tensor` is contiguous.
    fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let values = &tensor.storage::<f32>()[layout.start_offset()..][..layout.num_elements()];
        Self { values, shape: layout.shape() }
    }

    /// Length of the last axis.
    fn width(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    fn rows(&self) -> usize {
        self.values.len() / self.width()
    }

    /// Rows one after the other.
    fn matrix(&self) -> Matrix<'a> {
        Matrix::new(self.values, self.rows(), self.width(), self.width())
    }

    fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.values.len()]
    }

    /// The shape with another last axis.
    fn shape_with(&self, width: usize) -> Vec<usize> {
        let mut shape = self.shape.to_vec();
        shape[self.shape.len() - 1] = width;
        shape
    }
}

/// Runs a kernel, on the tape if one of its inputs is.
fn run<K: Kernel<N>, const N: usize, const R: usize>(kernel: K, inputs: [Input; N]) -> Tensor<R> {
    let on_tape = inputs.iter().any(|input| matches!(input, Input::Taped(_)));
    if !on_tape {
        let inputs = inputs.map(|input| match input {
            Input::Plain(tensor) => tensor.to_contiguous(),
            Input::Taped(tensor) => tensor.into_primitive().to_contiguous(),
        });
        return Tensor::from_primitive::<Flex>(forward(&kernel, &inputs));
    }
    let inputs = inputs.map(|input| match input {
        Input::Plain(tensor) => Taped::new(tensor),
        Input::Taped(tensor) => tensor,
    });
    let nodes = inputs.each_ref().map(Taped::node);
    let inputs = inputs.map(|tensor| tensor.into_primitive().to_contiguous());
    let output = forward(&kernel, &inputs);
    let step = TapeStep(PhantomData::<K>).prepare::<NoCheckpointing>(nodes).compute_bound();
    Tensor::from_primitive::<Autodiff<Flex>>(match step.stateful() {
        OpsKind::Tracked(step) => step.finish((kernel, inputs), output),
        OpsKind::UnTracked(step) => step.finish(output),
    })
}

fn forward<K: Kernel<N>, const N: usize>(kernel: &K, inputs: &[FlexTensor; N]) -> FlexTensor {
    let (values, shape) = kernel.forward(inputs.each_ref().map(View::of));
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// A kernel's entry on the tape; it remembers the inputs.
#[derive(Debug)]
struct TapeStep<K>(PhantomData<K>);

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for TapeStep<K> {
    type State = (K, [FlexTensor; N]);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (kernel, inputs) = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).into_data().try_to_vec::<f32>().expect("gradients are f32");
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let of_inputs = kernel.backward(inputs.each_ref().map(View::of), gradient, wanted);
        for ((parent, values), input) in ops.parents.into_iter().zip(of_inputs).zip(&inputs) {
            if let Some(parent) = parent {
                let data = TensorData::new(values, input.layout().shape().clone());
                gradients.register::<Flex>(parent.id, FlexTensor::from_data(data));
            }
        }
    }
}

#[derive(Clone, Debug)]
struct LinearKernel;

impl Kernel<3> for LinearKernel {
    fn forward(&self, [x, weight, bias]: [View<'_>; 3]) -> (Vec<f32>, Vec<usize>) {
        let width = weight.width();
        let mut out = vec![0.0; x.rows() * width];
        kernels::multiply(x.matrix(), weight.matrix(), &mut out, width, Start::Row(bias.values));
        (out, x.shape_with(width))
    }

    fn backward(
        &self,
        [x, weight, bias]: [View<'_>; 3],
        gradient: Vec<f32>,
        [wants_x, wants_weight, wants_bias]: [bool; 3],
    ) -> [Vec<f32>; 3] {
        let width = weight.width();
        let by_out = Matrix::new(&gradient, x.rows(), width, width);
        let (mut by_x, mut by_weight, mut by_bias) = (Vec::new(), Vec::new(), Vec::new());
        if wants_x {
            by_x = x.zeros();
            kernels::multiply(by_out, weight.matrix().transposed(), &mut by_x, x.width(), Start::Zero);
        }
        if wants_weight {
            by_weight = weight.zeros();
            kernels::multiply(x.matrix().transposed(), by_out, &mut by_weight, width, Start::Zero);
        }
        if wants_bias {
            by_bias = bias.zeros();
            for row in gradient.chunks_exact(width) {
                for (sum, value) in by_bias.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
        [by_x, by_weight, by_bias]
    }
}

#[derive(Clone, Debug)]
struct GeluKernel;

impl Kernel<1> for GeluKernel {
    fn forward(&self, [x]: [View<'_>; 1]) -> (Vec<f32>, Vec<usize>) {
        let mut out = x.zeros();
        kernels::gelu(x.values, &mut out);
        (out, x.shape.to_vec())
    }

    fn backward(&self, [x]: [View<'_>; 1], mut gradient: Vec<f32>, _: [bool; 1]) -> [Vec<f32>; 1] {
        kernels::gelu_backward(x.values, &mut gradient);
        [gradient]
    }
}

#[derive(Clone, Debug)]
struct NormKernel;

impl NormKernel {
    fn modulation<'a>(x: View<'_>, gamma: View<'a>) -> Modulation<'a> {
        Modulation { width: x.width(), group: x.rows().max(1), scale: gamma.values, base: 0.0, shift: None }
    }
}

impl Kernel<2> for NormKernel {
    fn forward(&self, [x, gamma]: [View<'_>; 2]) -> (Vec<f32>, Vec<usize>) {
        let mut out = x.zeros();
        kernels::modulate(x.values, Self::modulation(x, gamma), &mut out);
        (out, x.shape.to_vec())
    }

    fn backward(&self, [x, gamma]: [View<'_>; 2], mut gradient: Vec<f32>, _: [bool; 2]) -> [Vec<f32>; 2] {
        let mut by_gamma = gamma.zeros();
        let gradients = ModulationGradients { scale: &mut by_gamma, shift: &mut [] };
        kernels::modulate_backward(x.values, Self::modulation(x, gamma), &mut gradient, gradients);
        [gradient, by_gamma]
    }
}

#[derive(Clone, Debug)]
struct ModulateKernel;

impl ModulateKernel {
    fn modulation<'a>(x: View<'_>, shift: View<'a>, scale: View<'a>) -> Modulation<'a> {
        let group = x.shape[2];
        Modulation { width: x.width(), group, scale: scale.values, base: 1.0, shift: Some(shift.values) }
    }
}

impl Kernel<3> for ModulateKernel {
    fn forward(&self, [x, shift, scale]: [View<'_>; 3]) -> (Vec<f32>, Vec<usize>) {
        let mut out = x.zeros();
        kernels::modulate(x.values, Self::modulation(x, shift, scale), &mut out);
        (out, x.shape.to_vec())
    }

    fn backward(&self, [x, shift, scale]: [View<'_>; 3], mut gradient: Vec<f32>, _: [bool; 3]) -> [Vec<f32>; 3] {
        let (mut by_shift, mut by_scale) = (shift.zeros(), scale.zeros());
        let gradients = ModulationGradients { scale: &mut by_scale, shift: &mut by_shift };
        kernels::modulate_backward(x.values, Self::modulation(x, shift, scale), &mut gradient, gradients);
        [gradient, by_shift, by_scale]
    }
}

#[derive(Clone, Debug)]
struct GatedAddKernel;

impl Kernel<3> for GatedAddKernel {
    fn forward(&self, [x, branch, gate]: [View<'_>; 3]) -> (Vec<f32>, Vec<usize>) {
        let mut out = x.zeros();
        kernels::gated_add(x.values, branch.values, gate.values, x.width(), x.shape[2], &mut out);
        (out, x.shape.to_vec())
    }

    fn backward(&self, [x, branch, gate]: [View<'_>; 3], gradient: Vec<f32>, _: [bool; 3]) -> [Vec<f32>; 3] {
        let (mut by_branch, mut by_gate) = (gradient.clone(), gate.zeros());
        let (width, group) = (x.width(), x.shape[2]);
        kernels::gated_add_backward(branch.values, gate.values, width, group, &mut by_branch, &mut by_gate);
        [gradient, by_branch, by_gate]
    }
}

#[derive(Clone, Debug)]
struct ShiftKernel;

impl ShiftKernel {
    fn shape(x: View<'_>) -> [usize; 5] {
        x.shape.try_into().expect("a tensor of rank five")
    }
}

impl Kernel<1> for ShiftKernel {
    fn forward(&self, [x]: [View<'_>; 1]) -> (Vec<f32>, Vec<usize>) {
        let mut out = x.zeros();
        kernels::shift(x.values, Self::shape(x), &mut out);
        (out, x.shape.to_vec())
    }

    fn backward(&self, [x]: [View<'_>; 1], gradient: Vec<f32>, _: [bool; 1]) -> [Vec<f32>; 1] {
        let mut out = x.zeros();
        kernels::shift_backward(&gradient, Self::shape(x), &mut out);
        [out]
    }
}

/// What both kinds of attention share; constants are kept as plain tensors.
#[derive(Clone, Debug)]
struct AttentionKernel {
    heads: usize,
    head_width: usize,
    normed: bool,
    rotation: Option<[FlexTensor; 2]>,
    mask: Option<FlexTensor>,
}

impl AttentionKernel {
    /// Nothing if the constants do not live on the CPU.
    fn new(width: usize, heads: usize, preparation: &Preparation<'_>) -> Option<Self> {
        let constant = |input: Option<Input>| match input? {
            Input::Plain(tensor) => Some(tensor.to_contiguous()),
            Input::Taped(tensor) => Some(tensor.into_primitive().to_contiguous()),
        };
        let rotation = match preparation.rotation {
            Some(tables) => Some([constant(Input::of(&tables.cos))?, constant(Input::of(&tables.sin))?]),
            None => None,
        };
        let mask = match &preparation.mask {
            Some(mask) => Some(constant(Input::of(mask))?),
            None => None,
        };
        Some(Self { heads, head_width: width / heads, normed: preparation.norms.is_some(), rotation, mask })
    }

    fn call<'a>(
        &'a self,
        [batch, queries, keys]: [usize; 3],
        source: Source<'a>,
        gammas: [View<'a>; 2],
    ) -> Attention<'a> {
        Attention {
            batch,
            queries,
            keys,
            heads: self.heads,
            head_width: self.head_width,
            source,
            norms: self.normed.then_some(gammas.map(|gamma| gamma.values)),
            rotation: self.rotation.as_ref().map(|tables| tables.each_ref().map(|table| View::of(table).values)),
            mask: self.mask.as_ref().map(|mask| View::of(mask).values),
        }
    }

    fn forward(&self, call: &Attention<'_>) -> (Vec<f32>, Vec<usize>) {
        let width = self.heads * self.head_width;
        let mut out = vec![0.0; call.batch * call.queries * width];
        kernels::attention(call, &mut out);
        (out, vec![call.batch, call.queries, width])
    }
}

/// The scales of the norms, or nothing in their place.
fn norm_inputs(preparation: &Preparation<'_>) -> [Input; 2] {
    match &preparation.norms {
        Some(gammas) => gammas.each_ref().map(|gamma| Input::of(gamma).expect("the scales live where the tokens live")),
        None => [Input::none(), Input::none()],
    }
}

#[derive(Clone, Debug)]
struct JoinedAttention(AttentionKernel);

impl JoinedAttention {
    fn call<'a>(&'a self, qkv: View<'a>, gammas: [View<'a>; 2]) -> Attention<'a> {
        let [batch, length] = [qkv.shape[0], qkv.shape[1]];
        self.0.call([batch, length, length], Source::Joined(qkv.values), gammas)
    }
}

impl Kernel<3> for JoinedAttention {
    fn forward(&self, [qkv, query_gamma, key_gamma]: [View<'_>; 3]) -> (Vec<f32>, Vec<usize>) {
        self.0.forward(&self.call(qkv, [query_gamma, key_gamma]))
    }

    fn backward(
        &self,
        [qkv, query_gamma, key_gamma]: [View<'_>; 3],
        gradient: Vec<f32>,
        _: [bool; 3],
    ) -> [Vec<f32>; 3] {
        let (mut by_qkv, mut by_query_gamma, mut by_key_gamma) = (qkv.zeros(), query_gamma.zeros(), key_gamma.zeros());
        let gradients = AttentionGradients {
            source: SourceGradients::Joined(&mut by_qkv),
            norms: [&mut by_query_gamma, &mut by_key_gamma],
        };
        kernels::attention_backward(&self.call(qkv, [query_gamma, key_gamma]), &gradient, gradients);
        [by_qkv, by_query_gamma, by_key_gamma]
    }
}

#[derive(Clone, Debug)]
struct ApartAttention(AttentionKernel);

impl ApartAttention {
    fn call<'a>(&'a self, query: View<'a>, key_value: View<'a>, gammas: [View<'a>; 2]) -> Attention<'a> {
        let source = Source::Apart { query: query.values, key_value: key_value.values };
        self.0.call([query.shape[0], query.shape[1], key_value.shape[1]], source, gammas)
    }
}

impl Kernel<4> for ApartAttention {
    fn forward(&self, [query, key_value, query_gamma, key_gamma]: [View<'_>; 4]) -> (Vec<f32>, Vec<usize>) {
        self.0.forward(&self.call(query, key_value, [query_gamma, key_gamma]))
    }

    fn backward(
        &self,
        [query, key_value, query_gamma, key_gamma]: [View<'_>; 4],
        gradient: Vec<f32>,
        _: [bool; 4],
    ) -> [Vec<f32>; 4] {
        let (mut by_query, mut by_key_value) = (query.zeros(), key_value.zeros());
        let (mut by_query_gamma, mut by_key_gamma) = (query_gamma.zeros(), key_gamma.zeros());
        let gradients = AttentionGradients {
            source: SourceGradients::Apart { query: &mut by_query, key_value: &mut by_key_value },
            norms: [&mut by_query_gamma, &mut by_key_gamma],
        };
        let call = self.call(query, key_value, [query_gamma, key_gamma]);
        kernels::attention_backward(&call, &gradient, gradients);
        [by_query, by_key_value, by_query_gamma, by_key_gamma]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::rope::{RopeAxes, rope_tables};
    use crate::testing::{seeded, values};

    /// Result and gradients of both ways of computing something from the same inputs, of which one is the kernel.
    fn check<const R: usize, const N: usize>(
        what: &str,
        shapes: [&[usize]; N],
        kernel: impl Fn(&[Tensor<1>; N]) -> Tensor<R>,
        plain: impl Fn(&[Tensor<1>; N]) -> Tensor<R>,
    ) {
        let device = Device::flex().autodiff();
        let run = |function: &dyn Fn(&[Tensor<1>; N]) -> Tensor<R>| {
            let inputs: [Tensor<1>; N] = std::array::from_fn(|index| {
                let count = shapes[index].iter().product();
                let data = seeded::<1>([count], index as u64).into_data();
                Tensor::<1>::from_data(data, &device).require_grad()
            });
            let result = function(&inputs);
            let weights = Tensor::<R>::from_data(seeded::<R>(result.dims(), 99).into_data(), &device);
            let gradients = (result.clone() * weights).sum().backward();
            let mut all = vec![values(result.inner())];
            all.extend(inputs.iter().map(|input| values(input.grad(&gradients).expect("every input has a gradient"))));
            all
        };
        for (index, (fused, composed)) in run(&kernel).iter().zip(run(&plain)).enumerate() {
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
            let apart = norm(&mut fused.iter().zip(&composed).map(|(a, b)| a - b));
            let share = apart / norm(&mut composed.iter().copied()).max(1e-6);
            // What is on the tape is rounded by tiles alone.
            let most = if Path::fastest() == Path::Tiles { 2e-2 } else { 1e-4 };
            assert!(share < most, "{what}, {index} (0 is the result): {share} apart");
        }
    }

    #[test]
    fn layers_without_a_tape_are_within_their_rounding() {
        for rows in [1, 13, 100] {
            let (x, weight, bias) = (seeded::<2>([rows, 40], 1), seeded::<2>([40, 50], 2), seeded::<1>([50], 3));
            let plain = burn::tensor::module::linear(x.clone(), weight.clone(), Some(bias.clone()));
            let norm = |x: Tensor<2>| values(x).into_iter().map(|x| x * x).sum::<f32>().sqrt();
            let share = norm(rounded_linear(x, weight, bias) - plain.clone()) / norm(plain);
            assert!(share < 6e-3, "{rows} rows: {share} apart");
        }
    }

    #[test]
    fn kernels_compute_what_their_compositions_compute() {
        check(
            "linear",
            [&[2, 5, 12], &[12, 7], &[7]],
            |[x, w, b]| linear(x.clone().reshape([2, 5, 12]), w.clone().reshape([12, 7]), b.clone()),
            |[x, w, b]| {
                burn::tensor::module::linear(x.clone().reshape([2, 5, 12]), w.clone().reshape([12, 7]), Some(b.clone()))
            },
        );
        check(
            "gelu",
            [&[3, 8]],
            |[x]| gelu(x.clone().reshape([3, 8])),
            |[x]| burn::tensor::activation::gelu(x.clone().reshape([3, 8])),
        );
        check(
            "rms_norm",
            [&[4, 10], &[10]],
            |[x, g]| rms_norm(x.clone().reshape([4, 10]), g.clone()),
            |[x, g]| rms_normalize(x.clone().reshape([4, 10])) * g.clone().unsqueeze::<2>(),
        );
        let (four, three) = ([2, 3, 4, 6], [2, 3, 6]);
        check(
            "modulate",
            [&four, &three, &three],
            |[x, a, b]| modulate(x.clone().reshape(four), a.clone().reshape(three), b.clone().reshape(three)),
            |[x, a, b]| {
                let [shift, scale] = [a, b].map(|part| part.clone().reshape(three).unsqueeze_dim::<4>(2));
                rms_normalize(x.clone().reshape(four)) * (scale + 1.0) + shift
            },
        );
        check(
            "gated_add",
            [&four, &four, &three],
            |[x, h, g]| gated_add(x.clone().reshape(four), h.clone().reshape(four), g.clone().reshape(three)),
            |[x, h, g]| {
                let gate = g.clone().reshape(three).unsqueeze_dim::<4>(2);
                x.clone().reshape(four) + h.clone().reshape(four) * (gate + 1.0)
            },
        );
        let five = [2, 3, 2, 4, 19];
        check("shift", [&five], |[x]| shift(x.clone().reshape(five)), |[x]| shift_plain(x.clone().reshape(five)));
    }

    #[test]
    fn attention_is_its_composition_with_norms_rotation_and_mask() {
        let device = Device::flex().autodiff();
        let (heads, head_width) = (2, 8);
        let width = heads * head_width;
        let tables = rope_tables(RopeAxes::for_head(head_width), &[0.0, 0.5], 1, 3, &device);
        let norms = |g: &Tensor<1>, h: &Tensor<1>| Some([g.clone(), h.clone()]);
        check(
            "self",
            [&[2, 6, 3 * width], &[head_width], &[head_width]],
            |[qkv, g, h]| {
                let preparation = Preparation { norms: norms(g, h), rotation: Some(&tables), mask: None };
                self_attention(qkv.clone().reshape([2, 6, 3 * width]), heads, preparation)
            },
            |[qkv, g, h]| {
                let qkv = qkv.clone().reshape([2, 6, 3 * width]);
                let part = |index: usize| qkv.clone().narrow(2, index * width, width);
                let preparation = Preparation { norms: norms(g, h), rotation: Some(&tables), mask: None };
                attention_plain([part(0), part(1), part(2)], heads, preparation)
            },
        );
        let mask = Tensor::<1>::from_floats([0.0, 0.0, 0.0, -1e9, 0.0, 0.0, -1e9, -1e9], &device);
        let mask = mask.reshape([2, 1, 1, 4]);
        check(
            "cross",
            [&[2, 6, width], &[2, 4, 2 * width], &[head_width], &[head_width]],
            |[q, kv, g, h]| {
                let preparation = Preparation { norms: norms(g, h), rotation: None, mask: Some(mask.clone()) };
                cross_attention(
                    q.clone().reshape([2, 6, width]),
                    kv.clone().reshape([2, 4, 2 * width]),
                    heads,
                    preparation,
                )
            },
            |[q, kv, g, h]| {
                let kv = kv.clone().reshape([2, 4, 2 * width]);
                let part = |index: usize| kv.clone().narrow(2, index * width, width);
                let preparation = Preparation { norms: norms(g, h), rotation: None, mask: Some(mask.clone()) };
                attention_plain([q.clone().reshape([2, 6, width]), part(0), part(1)], heads, preparation)
            },
        );
    }

    /// With a value for each key, for each query and key, and none.
    #[test]
    fn attention_in_parts_is_the_whole() {
        let shape = [2, 3, 7, 4];
        let qkv = [seeded::<4>(shape, 1), seeded([2, 3, 5, 4], 2), seeded([2, 3, 5, 4], 3)];
        for bias in [None, Some(seeded([2, 1, 1, 5], 4)), Some(seeded([1, 3, 7, 5], 5))] {
            let run = |most| values(attend_in_parts(qkv.clone(), bias.clone(), 0.5, most));
            let whole = run(usize::MAX);
            // One query at a time, two, three.
            for most in [1, 2 * 2 * 3 * 5, 3 * 2 * 3 * 5] {
                for (a, b) in whole.iter().zip(run(most)) {
                    assert!((a - b).abs() < 1e-6, "{a} {b}, {most} at a time");
                }
            }
        }
    }
}
