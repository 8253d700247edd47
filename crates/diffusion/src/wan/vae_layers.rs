//! The layers of the Wan autoencoder: on the CPU by the kernels, channels of a pixel side by side; on other devices as
//! compositions of the tensor library's operations.

use burn::tensor::activation::silu;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use kernels::{Convolution, ConvolutionRoom, ConvolutionShape, OnlineAttention, Path};

use crate::checkpoint::Checkpoint;
use crate::{Result, fused};

/// Frames on their way through the layers.
#[derive(Clone, Debug)]
pub(super) enum Frames {
    Host(HostFrames),
    /// `[1, C, T, H, W]`.
    Device(Tensor<5>),
}

#[derive(Clone, Debug)]
pub(super) struct HostFrames {
    values: Vec<f32>,
    /// Frames, rows, columns, channels.
    shape: [usize; 4],
}

impl Frames {
    /// From `[1, C, T, H, W]`.
    pub(super) fn of(x: Tensor<5>) -> Self {
        if !fused::on_cpu(&x.device()) {
            return Self::Device(x);
        }
        let [_, channels, frames, rows, columns] = x.dims();
        let values = x.permute([0, 2, 3, 4, 1]).into_data().try_to_vec().expect("32-bit numbers");
        Self::Host(HostFrames { values, shape: [frames, rows, columns, channels] })
    }

    /// To `[1, C, T, H, W]`, in no more memory than that.
    pub(super) fn into_tensor(self, device: &Device) -> Tensor<5> {
        match self {
            Self::Device(x) => x,
            Self::Host(HostFrames { mut values, shape: [frames, rows, columns, channels] }) => {
                values.shrink_to_fit();
                let data = TensorData::new(values, [1, frames, rows, columns, channels]);
                Tensor::from_data(data, device).permute([0, 4, 1, 2, 3])
            }
        }
    }

    /// A part of each frame: the first row and column, and how many.
    pub(super) fn part(&self, from: [usize; 2], count: [usize; 2]) -> Self {
        match self {
            Self::Device(x) => Self::Device(x.clone().narrow(3, from[0], count[0]).narrow(4, from[1], count[1])),
            Self::Host(HostFrames { values, shape: [frames, rows, columns, channels] }) => {
                let mut part = Vec::with_capacity(frames * count[0] * count[1] * channels);
                for row in (0..*frames).flat_map(|frame| (0..count[0]).map(move |row| frame * rows + from[0] + row)) {
                    let at = (row * columns + from[1]) * channels;
                    part.extend_from_slice(&values[at..at + count[1] * channels]);
                }
                Self::Host(HostFrames { values: part, shape: [*frames, count[0], count[1], *channels] })
            }
        }
    }

    /// Adds other frames.
    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Host(mut x), Self::Host(other)) => {
                x.values.iter_mut().zip(&other.values).for_each(|(x, other)| *x += other);
                Self::Host(x)
            }
            (Self::Device(x), Self::Device(other)) => Self::Device(x + other),
            _ => unreachable!("frames of one network live in one place"),
        }
    }
}

/// What convolutions over time remember from piece to piece, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Memory {
    slots: Vec<Option<Frames>>,
    next: usize,
    begun: bool,
}

impl Memory {
    pub(super) fn begin_piece(&mut self) {
        self.begun = !self.slots.is_empty();
        self.next = 0;
    }

    fn slot(&mut self) -> &mut Option<Frames> {
        if self.next == self.slots.len() {
            self.slots.push(None);
        }
        self.next += 1;
        &mut self.slots[self.next - 1]
    }

    /// Whether this is the piece with the first frame, which comes alone.
    pub(super) fn is_first(&self) -> bool {
        !self.begun
    }
}

/// Memory of the layers on the CPU that the next one uses again.
#[derive(Debug, Default)]
pub(super) struct Room {
    convolutions: ConvolutionRoom,
    spare: Vec<Vec<f32>>,
}

impl Room {
    /// Values that may be anything.
    fn take(&mut self, shape: [usize; 4]) -> HostFrames {
        let count = shape.iter().product();
        let fits = self.spare.iter().enumerate().filter(|(_, spare)| spare.capacity() >= count);
        let smallest = fits.min_by_key(|(_, spare)| spare.capacity()).map(|(index, _)| index);
        let values = match smallest {
            Some(index) => {
                let mut values = self.spare.swap_remove(index);
                values.resize(count, 0.0);
                values
            }
            None => vec![0.0; count],
        };
        HostFrames { values, shape }
    }

    /// Keeps what is no longer needed: the two largest.
    pub(super) fn give(&mut self, frames: Frames) {
        if let Frames::Host(HostFrames { values, .. }) = frames {
            self.spare.push(values);
            self.spare.sort_by_key(|spare| std::cmp::Reverse(spare.capacity()));
            self.spare.truncate(2);
        }
    }
}

/// Reads layers.
pub(super) struct Reader<'a> {
    pub(super) weights: &'a Checkpoint,
    pub(super) device: &'a Device,
}

impl Reader<'_> {
    pub(super) fn conv(&self, name: &str, input: usize, output: usize, kernel: [usize; 3]) -> Result<Conv> {
        self.conv_with_steps(name, input, output, kernel, [1, 1])
    }

    /// A convolution with steps over time and over rows and columns.
    pub(super) fn conv_with_steps(
        &self,
        name: &str,
        input: usize,
        output: usize,
        kernel: [usize; 3],
        steps: [usize; 2],
    ) -> Result<Conv> {
        let [t, h, w] = kernel;
        let weight = self.weights.values(&format!("{name}.weight"), &[output, input, t, h, w])?;
        self.placed(name, &weight, input, output, kernel, steps)
    }

    /// A convolution of single frames.
    pub(super) fn conv_2d(&self, name: &str, input: usize, output: usize, side: usize, step: usize) -> Result<Conv> {
        let weight = self.weights.values(&format!("{name}.weight"), &[output, input, side, side])?;
        self.placed(name, &weight, input, output, [1, side, side], [1, step])
    }

    fn placed(
        &self,
        name: &str,
        weight: &[f32],
        input: usize,
        output: usize,
        kernel: [usize; 3],
        steps: [usize; 2],
    ) -> Result<Conv> {
        let bias = self.weights.values(&format!("{name}.bias"), &[output])?;
        Ok(Conv::new(weight, &bias, [input, output], kernel, steps, self.device))
    }

    pub(super) fn norm(&self, name: &str, width: usize) -> Result<ChannelNorm> {
        let gamma = self.weights.values(&format!("{name}.gamma"), &[width, 1, 1, 1])?;
        let root = (width as f32).sqrt();
        Ok(ChannelNorm { gamma: gamma.into_iter().map(|value| value * root).collect() })
    }

    pub(super) fn residual(&self, name: &str, input: usize, output: usize) -> Result<Residual> {
        let shortcut = format!("{name}.conv_shortcut");
        Ok(Residual {
            norm1: self.norm(&format!("{name}.norm1"), input)?,
            conv1: self.conv(&format!("{name}.conv1"), input, output, [3; 3])?,
            norm2: self.norm(&format!("{name}.norm2"), output)?,
            conv2: self.conv(&format!("{name}.conv2"), output, output, [3; 3])?,
            shortcut: if input == output { None } else { Some(self.conv(&shortcut, input, output, [1; 3])?) },
        })
    }

    pub(super) fn middle(&self, name: &str, width: usize) -> Result<Middle> {
        let attention = format!("{name}.attentions.0");
        let joined = format!("{attention}.to_qkv");
        let weight = self.weights.values(&format!("{joined}.weight"), &[3 * width, width, 1, 1])?;
        let bias = self.weights.values(&format!("{joined}.bias"), &[3 * width])?;
        let part = |index: usize| {
            let (weight, bias) = (&weight[index * width * width..], &bias[index * width..]);
            Conv::new(&weight[..width * width], &bias[..width], [width; 2], [1; 3], [1, 1], self.device)
        };
        Ok(Middle {
            before: self.residual(&format!("{name}.resnets.0"), width, width)?,
            norm: self.norm(&format!("{attention}.norm"), width)?,
            query_key_value: [part(0), part(1), part(2)],
            output: self.conv_2d(&format!("{attention}.proj"), width, width, 1, 1)?,
            after: self.residual(&format!("{name}.resnets.1"), width, width)?,
        })
    }
}

/// A convolution.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has some fifty, all of one kind")]
pub(super) enum Conv {
    Host(Convolution),
    Device {
        /// `[output, input, kt, kh, kw]`.
        weight: Tensor<5>,
        bias: Tensor<1>,
        /// Over time, and over rows and columns.
        steps: [usize; 2],
    },
}

/// What is done around a convolution.
#[derive(Default)]
pub(super) struct Around<'a> {
    /// A norm before it, and an activation after the norm.
    pub(super) norm: Option<&'a ChannelNorm>,
    /// Each pixel is made four before it.
    pub(super) doubled: bool,
    /// What its results are added to.
    pub(super) onto: Option<Frames>,
}

impl Conv {
    fn new(
        weight: &[f32],
        bias: &[f32],
        [input, output]: [usize; 2],
        [frames, side, _]: [usize; 3],
        steps @ [frame_step, step]: [usize; 2],
        device: &Device,
    ) -> Self {
        if fused::on_cpu(device) {
            let shape = ConvolutionShape { input, output, frames, side, frame_step, step };
            return Self::Host(Convolution::new(weight, bias, shape));
        }
        let shape = [output, input, frames, side, side];
        Self::Device {
            weight: Tensor::from_data(TensorData::new(weight.to_vec(), shape), device),
            bias: Tensor::from_data(TensorData::new(bias.to_vec(), [output]), device),
            steps,
        }
    }

    /// Over time it looks back, at zeros before the first frame; rows and columns remain, or are halved by steps of two.
    pub(super) fn causal(&self, x: &Frames, around: Around<'_>, memory: &mut Memory, room: &mut Room) -> Frames {
        match (self, x) {
            (Self::Host(convolution), Frames::Host(x)) => {
                let back = convolution.shape().frames - 1;
                if back == 0 {
                    return Frames::Host(on_host(convolution, x, &[], x.shape[0], around, room));
                }
                let slot = memory.slot();
                let before = match slot.take() {
                    Some(Frames::Host(before)) => before,
                    _ => HostFrames { values: Vec::new(), shape: [0, x.shape[1], x.shape[2], x.shape[3]] },
                };
                let out = on_host(convolution, x, &before.values, x.shape[0], around, room);
                *slot = Some(Frames::Host(last_frames(before, x, back)));
                Frames::Host(out)
            }
            (Self::Device { weight, .. }, Frames::Device(x)) => {
                let back = weight.dims()[2] - 1;
                let mut x = prepared(x.clone(), &around);
                if back > 0 {
                    let slot = memory.slot();
                    let history = match slot.take() {
                        Some(Frames::Device(history)) => history,
                        _ => zero_frames(&x, back),
                    };
                    x = Tensor::cat(vec![history, x], 2);
                    *slot = Some(Frames::Device(x.clone().narrow(2, x.dims()[2] - back, back)));
                }
                self.on_device(x, around.onto)
            }
            _ => unreachable!("frames of one network live in one place"),
        }
    }

    /// Frames one by one.
    pub(super) fn plain(&self, x: &Frames, room: &mut Room) -> Frames {
        self.causal(x, Around::default(), &mut Memory::default(), room)
    }

    /// Frames become fewer: the result for each looks at the frame `before` and those up to it.
    fn thinned(&self, x: &Frames, before: &Frames, room: &mut Room) -> Frames {
        match (self, x, before) {
            (Self::Host(convolution), Frames::Host(x), Frames::Host(before)) => {
                let count = x.shape[0] / convolution.shape().frame_step;
                Frames::Host(on_host(convolution, x, &before.values, count, Around::default(), room))
            }
            (Self::Device { .. }, Frames::Device(x), Frames::Device(before)) => {
                self.on_device(Tensor::cat(vec![before.clone(), x.clone()], 2), None)
            }
            _ => unreachable!("frames of one network live in one place"),
        }
    }

    fn on_device(&self, x: Tensor<5>, onto: Option<Frames>) -> Frames {
        let Self::Device { weight, bias, steps: [frame_step, step] } = self else {
            unreachable!("frames of one network live in one place")
        };
        let padding = if *step == 1 { weight.dims()[3] / 2 } else { 0 };
        let options = ConvOptions::new([*frame_step, *step, *step], [0, padding, padding], [1; 3], 1);
        let x = if *step == 1 { x } else { with_zeros_at_the_end(x) };
        let out = Frames::Device(conv3d(x, weight.clone(), Some(bias.clone()), options));
        match onto {
            Some(onto) => onto.plus(out),
            None => out,
        }
    }
}

fn on_host(
    convolution: &Convolution,
    x: &HostFrames,
    before: &[f32],
    count: usize,
    around: Around<'_>,
    room: &mut Room,
) -> HostFrames {
    let [_, rows, columns, _] = x.shape;
    let frames = kernels::Frames {
        values: &x.values,
        before,
        size: [rows, columns],
        norm: around.norm.map(|norm| norm.gamma.as_slice()),
        doubled: around.doubled,
    };
    let [rows, columns] = convolution.size(&frames);
    let added = around.onto.is_some();
    let mut out = match around.onto {
        Some(Frames::Host(onto)) => onto,
        _ => room.take([count, rows, columns, convolution.shape().output]),
    };
    convolution.apply(&frames, &mut out.values, added, &mut room.convolutions);
    out
}

/// The last `count` of frames and those before them, or all if they are fewer.
fn last_frames(mut before: HostFrames, x: &HostFrames, count: usize) -> HostFrames {
    let [frames, rows, columns, channels] = x.shape;
    let frame = rows * columns * channels;
    let new = count.min(frames);
    let kept = (count - new).min(before.shape[0]);
    before.values.drain(..(before.shape[0] - kept) * frame);
    before.values.reserve_exact(new * frame);
    before.values.extend_from_slice(&x.values[(frames - new) * frame..]);
    before.shape[0] = kept + new;
    before
}

fn prepared(x: Tensor<5>, around: &Around<'_>) -> Tensor<5> {
    let x = match around.norm {
        Some(norm) => silu(norm.on_device(x)),
        None => x,
    };
    if !around.doubled {
        return x;
    }
    let [_, width, frames, rows, columns] = x.dims();
    let x = x.reshape([width * frames, rows, 1, columns, 1]).expand([width * frames, rows, 2, columns, 2]);
    x.reshape([1, width, frames, 2 * rows, 2 * columns])
}

/// One row and one column of zeros at the end.
fn with_zeros_at_the_end(x: Tensor<5>) -> Tensor<5> {
    let [_, width, frames, rows, columns] = x.dims();
    let device = x.device();
    let x = Tensor::cat(vec![x, Tensor::zeros([1, width, frames, 1, columns], &device)], 3);
    Tensor::cat(vec![x, Tensor::zeros([1, width, frames, rows + 1, 1], &device)], 4)
}

/// Channels of each pixel to length √C, then a scale.
#[derive(Debug)]
pub(super) struct ChannelNorm {
    /// Times √C.
    gamma: Vec<f32>,
}

impl ChannelNorm {
    fn forward(&self, x: &Frames, room: &mut Room) -> Frames {
        match x {
            Frames::Host(x) => {
                let mut out = room.take(x.shape);
                kernels::normalize(&x.values, &self.gamma, &mut out.values);
                Frames::Host(out)
            }
            Frames::Device(x) => Frames::Device(self.on_device(x.clone())),
        }
    }

    fn on_device(&self, x: Tensor<5>) -> Tensor<5> {
        let gamma = channels(&self.gamma, &x.device());
        let length = x.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
        x / length * gamma
    }
}

#[derive(Debug)]
pub(super) struct Residual {
    norm1: ChannelNorm,
    conv1: Conv,
    norm2: ChannelNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

impl Residual {
    pub(super) fn forward(&self, x: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        let around = Around { norm: Some(&self.norm1), ..Around::default() };
        let h = self.conv1.causal(&x, around, memory, room);
        let onto = match &self.shortcut {
            Some(shortcut) => {
                let onto = shortcut.plain(&x, room);
                room.give(x);
                onto
            }
            None => x,
        };
        let around = Around { norm: Some(&self.norm2), onto: Some(onto), ..Around::default() };
        let out = self.conv2.causal(&h, around, memory, room);
        room.give(h);
        out
    }
}

/// Between the levels: two residual blocks, and attention within each frame.
#[derive(Debug)]
pub(super) struct Middle {
    before: Residual,
    norm: ChannelNorm,
    query_key_value: [Conv; 3],
    output: Conv,
    after: Residual,
}

impl Middle {
    pub(super) fn forward(&self, x: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        let x = self.before.forward(x, memory, room);
        let h = self.norm.forward(&x, room);
        let qkv = self.query_key_value.each_ref().map(|part| part.plain(&h, room));
        let h = within_frames(qkv, room);
        let around = Around { onto: Some(x), ..Around::default() };
        let x = self.output.causal(&h, around, &mut Memory::default(), room);
        room.give(h);
        self.after.forward(x, memory, room)
    }
}

/// Attention of the pixels of a frame to each other, one head.
fn within_frames(qkv: [Frames; 3], room: &mut Room) -> Frames {
    match qkv {
        [Frames::Host(query), Frames::Host(key), Frames::Host(value)] => {
            let [_, rows, columns, width] = query.shape;
            let mut out = room.take(query.shape);
            let frame = rows * columns * width;
            let parts = query.values.chunks_exact(frame).zip(key.values.chunks_exact(frame));
            let parts = parts.zip(value.values.chunks_exact(frame)).zip(out.values.chunks_exact_mut(frame));
            for (((query, key), value), out) in parts {
                let call = OnlineAttention {
                    heads: 1,
                    head_width: width,
                    query,
                    key,
                    value,
                    bias: None,
                    scale: (width as f32).powf(-0.5),
                    path: Path::Vectors,
                };
                kernels::attend(&call, out);
            }
            Frames::Host(out)
        }
        [Frames::Device(query), Frames::Device(key), Frames::Device(value)] => {
            let [_, width, frames, rows, columns] = query.dims();
            // Frames as a batch.
            let [query, key, value] = [query, key, value].map(|part| -> Tensor<4> {
                part.reshape([width, frames, rows * columns]).permute([1, 2, 0]).unsqueeze_dim(1)
            });
            let h = fused::attend_composed([query, key, value], None, (width as f32).powf(-0.5));
            let h: Tensor<3> = h.reshape([frames, rows * columns, width]).permute([2, 0, 1]);
            Frames::Device(h.reshape([1, width, frames, rows, columns]))
        }
        _ => unreachable!("frames of one network live in one place"),
    }
}

/// Halves the sides, and the frame rate if it has a convolution for it.
#[derive(Debug)]
pub(super) struct Down {
    pub(super) space: Conv,
    pub(super) time: Option<Conv>,
}

impl Down {
    pub(super) fn forward(&self, x: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        let halved = self.space.plain(&x, room);
        room.give(x);
        let Some(time) = &self.time else { return halved };
        let last = match &halved {
            Frames::Host(x) => {
                let none = HostFrames { values: Vec::new(), shape: [0, x.shape[1], x.shape[2], x.shape[3]] };
                Frames::Host(last_frames(none, x, 1))
            }
            Frames::Device(x) => Frames::Device(x.clone().narrow(2, x.dims()[2] - 1, 1)),
        };
        match memory.slot().replace(last) {
            Some(before) => {
                let thinned = time.thinned(&halved, &before, room);
                room.give(halved);
                thinned
            }
            // The first frame passes by.
            None => halved,
        }
    }
}

/// Doubles the frame rate if it has a convolution for it, then the sides.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) time: Option<Conv>,
    pub(super) space: Conv,
}

impl Up {
    pub(super) fn forward(&self, x: Frames, memory: &mut Memory, room: &mut Room) -> Frames {
        let mut x = x;
        if let Some(time) = &self.time {
            if memory.is_first() {
                // The first frame passes by, and leaves nothing to remember.
                memory.slot();
            } else {
                let wide = time.causal(&x, Around::default(), memory, room);
                room.give(x);
                x = doubled_frames(wide, room);
            }
        }
        let around = Around { doubled: true, ..Around::default() };
        let out = self.space.causal(&x, around, memory, room);
        room.give(x);
        out
    }
}

/// Twice the frames of half the channels: the first half of the channels are frames 0, 2, ….
fn doubled_frames(x: Frames, room: &mut Room) -> Frames {
    match x {
        Frames::Host(x) => {
            let [frames, rows, columns, channels] = x.shape;
            let half = channels / 2;
            let mut out = room.take([2 * frames, rows, columns, half]);
            let pixels = rows * columns;
            for (frame, values) in x.values.chunks_exact(pixels * channels).enumerate() {
                let (even, odd) =
                    out.values[2 * frame * pixels * half..][..2 * pixels * half].split_at_mut(pixels * half);
                let parts = even.chunks_exact_mut(half).zip(odd.chunks_exact_mut(half));
                for (pixel, (even, odd)) in values.chunks_exact(channels).zip(parts) {
                    even.copy_from_slice(&pixel[..half]);
                    odd.copy_from_slice(&pixel[half..]);
                }
            }
            room.give(Frames::Host(x));
            Frames::Host(out)
        }
        Frames::Device(x) => {
            let [_, width, frames, rows, columns] = x.dims();
            let x = x.reshape([2, width / 2, frames, rows * columns]).permute([1, 2, 0, 3]);
            Frames::Device(x.reshape([1, width / 2, 2 * frames, rows, columns]))
        }
    }
}

/// The shortcut around a level of the 2.2 encoder: cells that become one are averaged, channels too.
#[derive(Debug)]
pub(super) struct Average {
    pub(super) channels: usize,
    pub(super) time: usize,
    pub(super) space: usize,
}

impl Average {
    pub(super) fn forward(&self, x: Frames) -> Frames {
        match x {
            Frames::Host(x) => Frames::Host(self.on_host(&x)),
            Frames::Device(x) => Frames::Device(self.on_device(x)),
        }
    }

    fn on_host(&self, x: &HostFrames) -> HostFrames {
        let &Self { channels, time, space } = self;
        let [frames, rows, columns, width] = x.shape;
        // Zeros come before the first frame.
        let missing = frames.next_multiple_of(time) - frames;
        let cells = time * space * space;
        let group = width * cells / channels;
        let shape = [(frames + missing) / time, rows / space, columns / space, channels];
        let mut values = vec![0.0; shape.iter().product()];
        for (index, out) in values.chunks_exact_mut(channels).enumerate() {
            let (frame, row, column) = (index / shape[2] / shape[1], index / shape[2] % shape[1], index % shape[2]);
            for cell in 0..cells {
                let Some(frame) = (frame * time + cell / (space * space)).checked_sub(missing) else { continue };
                let (row, column) = (row * space + cell / space % space, column * space + cell % space);
                let pixel = &x.values[((frame * rows + row) * columns + column) * width..][..width];
                for (channel, value) in pixel.iter().enumerate() {
                    out[(channel * cells + cell) / group] += value / group as f32;
                }
            }
        }
        HostFrames { values, shape }
    }

    fn on_device(&self, x: Tensor<5>) -> Tensor<5> {
        let &Self { channels, time, space } = self;
        let frames = x.dims()[2];
        let missing = frames.next_multiple_of(time) - frames;
        let x = if missing > 0 { Tensor::cat(vec![zero_frames(&x, missing), x], 2) } else { x };
        let [_, width, frames, rows, columns] = x.dims();
        let (frames, rows, columns) = (frames / time, rows / space, columns / space);
        let x: Tensor<7> = x.reshape([width, frames, time, rows, space, columns, space]);
        let x = x.permute([0, 2, 4, 6, 1, 3, 5]);
        let group = width * time * space * space / channels;
        let x: Tensor<5> = x.reshape([channels, group, frames, rows, columns]).mean_dim(1);
        x.reshape([1, channels, frames, rows, columns])
    }
}

/// The shortcut around a level of the 2.2 decoder: cells are repeated.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) channels: usize,
    pub(super) time: usize,
}

impl Repeat {
    /// `onto` with the repeated cells of `x` added. The first frame is not doubled.
    pub(super) fn added(&self, onto: Frames, x: Frames, first: bool) -> Frames {
        match (onto, x) {
            (Frames::Host(mut onto), Frames::Host(x)) => {
                self.add_on_host(&mut onto, &x, first);
                Frames::Host(onto)
            }
            (Frames::Device(onto), Frames::Device(x)) => Frames::Device(onto + self.on_device(x, first)),
            _ => unreachable!("frames of one network live in one place"),
        }
    }

    fn add_on_host(&self, onto: &mut HostFrames, x: &HostFrames, first: bool) {
        let &Self { channels, time } = self;
        let [_, rows, columns, width] = x.shape;
        let repeats = channels * time * 4 / width;
        let skipped = if first { time - 1 } else { 0 };
        let [_, height, length, _] = onto.shape;
        for (index, out) in onto.values.chunks_exact_mut(channels).enumerate() {
            let (frame, row, column) = (index / length / height, index / length % height, index % length);
            let frame = frame + skipped;
            let pixel = &x.values[((frame / time * rows + row / 2) * columns + column / 2) * width..][..width];
            let cell = (frame % time * 2 + row % 2) * 2 + column % 2;
            for (channel, out) in out.iter_mut().enumerate() {
                *out += pixel[(channel * time * 4 + cell) / repeats];
            }
        }
    }

    fn on_device(&self, x: Tensor<5>, first: bool) -> Tensor<5> {
        let &Self { channels, time } = self;
        let [_, width, frames, rows, columns] = x.dims();
        let repeats = channels * time * 4 / width;
        let x: Tensor<4> =
            x.reshape([width, 1, frames, rows * columns]).expand([width, repeats, frames, rows * columns]);
        let x: Tensor<7> = x.reshape([channels, time, 2, 2, frames, rows, columns]);
        let x = x.permute([0, 4, 1, 5, 2, 6, 3]);
        let x = x.reshape([1, channels, frames * time, 2 * rows, 2 * columns]);
        let skipped = if first { time - 1 } else { 0 };
        x.narrow(2, skipped, frames * time - skipped)
    }
}

fn zero_frames(x: &Tensor<5>, count: usize) -> Tensor<5> {
    let [batch, width, _, rows, columns] = x.dims();
    Tensor::zeros([batch, width, count, rows, columns], &x.device())
}

/// One number a channel, to be spread over frames and pixels.
pub(super) fn channels(values: &[f32], device: &Device) -> Tensor<5> {
    Tensor::<1>::from_floats(values, device).reshape([1, values.len(), 1, 1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few values lie in memory that was left over from many.
    #[test]
    fn what_is_handed_on_holds_no_more_than_it_says() {
        let mut room = Room::default();
        let many = Frames::Host(room.take([4, 64, 64, 8]));
        room.give(many);
        let few = room.take([1, 4, 4, 2]);
        assert!(few.values.capacity() >= 4 * 64 * 64 * 8, "the memory is used again");
        let handed_on = Frames::Host(few).into_tensor(&Device::flex()).permute([0, 2, 3, 4, 1]);
        let bytes = handed_on.into_data().into_bytes();
        assert_eq!(bytes.len(), 4 * 4 * 2 * size_of::<f32>());
        assert!(bytes.capacity() < 2 * bytes.len(), "{} bytes for {}", bytes.capacity(), bytes.len());
    }
}
