//! Convolutions of frames over time and space, as video autoencoders have them: over time they look back, never ahead.
//!
//! Channels of a pixel lie side by side. Windows of 3 × 3 pixels of many channels are products at 36 points of a tile (see
//! `winograd`); other windows are products of the pixels themselves. Nothing is unfolded: what is held in passing is a band
//! of tiles, or a few rows.

use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;

use rayon::prelude::*;

use crate::exponential::exp;
use crate::norm::dot;
use crate::panel::{self, Left, Vectors, WIDTH};
use crate::vectorized::vectorized;
use crate::winograd::{LANES, POINTS, SIDE, STEP, Target, tiles_at_points, tiles_from_points, weights_panel};

/// A convolution with its weights in the order in which they are read.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Panels of 32 output channels: `[panels, kt, kh, kw, input, 32]`.
    panels: Vec<f32>,
    /// One a column of the panels.
    bias: Vec<f32>,
    shape: ConvolutionShape,
    vectors: Vectors,
}

/// Sizes of a [`Convolution`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Channels that come in.
    pub input: usize,
    /// Channels that go out.
    pub output: usize,
    /// Frames that a result looks at: itself and those before.
    pub frames: usize,
    /// Sides of the window: 1 or 3.
    pub side: usize,
    /// Frames from result to result.
    pub frame_step: usize,
    /// Pixels from result to result: 1, or 2 with a window of 3, where the first window begins at the first pixel and zeros
    /// lie right and below.
    pub step: usize,
}

/// What a [`Convolution`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    /// `[T, rows, columns, input]`.
    pub values: &'a [f32],
    /// Frames before them. Before these are zeros, as many as the first result still looks at.
    pub before: &'a [f32],
    /// Rows and columns.
    pub size: [usize; 2],
    /// Channels of a pixel are first brought to length 1, multiplied by these numbers and by their own sigmoid. With a
    /// window of 3.
    pub norm: Option<&'a [f32]>,
    /// Each pixel is first made four. With a window of 3.
    pub doubled: bool,
}

/// Memory that convolutions use in passing, kept for the next one.
#[derive(Debug, Default)]
pub struct ConvolutionRoom {
    weights: Vec<f32>,
    points: Vec<f32>,
}

/// Channels from which on tiles are worth their transformation. Below, rounding weighs more too: a pixel of few channels
/// may be small beside its tile, and what follows may divide by its length.
const CHANNELS: usize = 64;
/// Values at the points of tiles that are held at one time, if it can be: 24 MB, which caches hold.
const POINT_VALUES: usize = 6 << 20;
/// The same where weights do not fit at once, and each band of tiles costs their transformation.
const MANY_POINT_VALUES: usize = 24 << 20;
/// Weights at the points that are held at one time: 96 MB.
const WEIGHT_VALUES: usize = 24 << 20;
/// Rows of products between two transformations; their products are some 400 kB.
const ROWS: usize = 96;
/// Values of the patch that a run of tiles is made from: some 300 kB.
const PATCH_VALUES: usize = 75_000;

thread_local! {
    static PATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SUMS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Convolution {
    /// Puts weights in order.
    ///
    /// # Shapes
    /// `weight`: `[output, input, frames, side, side]`; `bias`: `[output]`.
    ///
    /// Panics if lengths do not fit or sides are none of those that [`ConvolutionShape`] names.
    pub fn new(weight: &[f32], bias: &[f32], shape: ConvolutionShape) -> Self {
        Self::on(Vectors::all()[0], weight, bias, shape)
    }

    fn on(vectors: Vectors, weight: &[f32], bias: &[f32], shape: ConvolutionShape) -> Self {
        let ConvolutionShape { input, output, frames, side, frame_step, step } = shape;
        let taps = frames * side * side;
        assert!(matches!((side, step), (1 | 3, 1) | (3, 2)) && frames > 0 && frame_step > 0, "{shape:?} is not known");
        assert!(side == 1 || step == 2 || frame_step == 1, "{shape:?} is not known");
        assert!(input > 0 && output > 0 && weight.len() == output * input * taps && bias.len() == output, "{shape:?}");
        let mut panels = vec![0.0; output.div_ceil(WIDTH) * taps * input * WIDTH];
        panels.par_chunks_mut(taps * input * WIDTH).enumerate().for_each(|(index, panel)| {
            for column in 0..WIDTH.min(output - index * WIDTH) {
                let from = (index * WIDTH + column) * input * taps;
                for (channel, weights) in weight[from..from + input * taps].chunks_exact(taps).enumerate() {
                    for (tap, weight) in weights.iter().enumerate() {
                        panel[(tap * input + channel) * WIDTH + column] = *weight;
                    }
                }
            }
        });
        let mut bias = bias.to_vec();
        bias.resize(output.next_multiple_of(WIDTH), 0.0);
        Self { panels, bias, shape, vectors }
    }

    /// The sizes that it was made with.
    pub fn shape(&self) -> ConvolutionShape {
        self.shape
    }

    /// Rows and columns of the results.
    pub fn size(&self, frames: &Frames<'_>) -> [usize; 2] {
        frames.size.map(|side| (if frames.doubled { 2 * side } else { side }) / self.shape.step)
    }

    /// The results, as many frames as `out` has room for, written or `added` to what is there; on several threads when
    /// called in a pool that has them.
    ///
    /// # Shapes
    /// `out`: `[T, rows, columns, output]`.
    ///
    /// Panics if lengths do not fit, or there are more frames than the results look at.
    pub fn apply(&self, frames: &Frames<'_>, out: &mut [f32], added: bool, room: &mut ConvolutionRoom) {
        let ConvolutionShape { input, output, frames: back, side, frame_step, step } = self.shape;
        let size = self.size(frames);
        let (source, target) = (frames.size[0] * frames.size[1] * input, size[0] * size[1] * output);
        assert!(source > 0 && frames.values.len().is_multiple_of(source), "whole frames come in");
        assert!(frames.before.len().is_multiple_of(source), "whole frames come before");
        assert!(target > 0 && !out.is_empty() && out.len().is_multiple_of(target), "whole frames go out");
        assert!(frames.norm.is_none_or(|gamma| gamma.len() == input), "a factor for each channel");
        let known: Vec<&[f32]> = frames.before.chunks_exact(source).chain(frames.values.chunks_exact(source)).collect();
        let needed = (out.len() / target - 1) * frame_step + back;
        assert!(known.len() <= needed, "{} frames where results look at {needed}", known.len());
        let missing = needed - known.len();
        assert!(missing < back, "a result has a frame to look at");
        if side == 1 {
            assert!(frames.norm.is_none() && !frames.doubled, "plain frames");
            self.pixel_by_pixel(&known, missing, size, out, added);
        } else if step == 1 && input >= CHANNELS {
            self.by_points(frames, &known, missing, out, added, room);
        } else {
            self.row_by_row(frames, &known, missing, out, added);
        }
    }

    /// Windows of 3 × 3.
    fn by_points(
        &self,
        frames: &Frames<'_>,
        known: &[&[f32]],
        missing: usize,
        out: &mut [f32],
        added: bool,
        room: &mut ConvolutionRoom,
    ) {
        let ConvolutionShape { input, output, frames: back, .. } = self.shape;
        let size @ [rows, columns] = self.size(frames);
        let frame = rows * columns * output;
        let [down, across] = size.map(|side| side.div_ceil(STEP));
        let wide = input.next_multiple_of(LANES);
        // Lines that are no power of two apart spread over the cache.
        let line = POINTS * wide + LANES;
        // Taps that look at zeros whatever the frame are left out.
        let unused = missing.saturating_sub(out.len() / frame - 1);
        let taps = back - unused;
        let panel = POINTS * taps * input * WIDTH;
        let panels = output.div_ceil(WIDTH);
        let at_once = (WEIGHT_VALUES / panel).clamp(1, panels);
        let values = if at_once < panels { MANY_POINT_VALUES } else { POINT_VALUES };
        let bands = down.div_ceil((values / (known.len() * across * line)).clamp(1, down));
        let band = down.div_ceil(bands);
        let task =
            band.min(ROWS.div_ceil(across)).min((band * (out.len() / frame)).div_ceil(rayon::current_num_threads()));
        for first in (0..down).step_by(band) {
            let band = first..(first + band).min(down);
            let tiles = band.len() * across;
            grow(&mut room.points, known.len() * tiles * line);
            let points = &mut room.points[..known.len() * tiles * line];
            points.par_chunks_mut(across * line).enumerate().for_each(|(index, points)| {
                let row = band.start + index % band.len();
                row_at_points(frames, known[index / band.len()], row, [columns, input, wide], points, line);
            });
            let points = &*points;
            for group in (0..panels).step_by(at_once) {
                let group = group..(group + at_once).min(panels);
                if first == 0 || at_once < panels {
                    grow(&mut room.weights, group.len() * panel);
                    let weights = room.weights[..group.len() * panel].par_chunks_mut(panel);
                    weights.zip(group.clone()).for_each(|(weights, index)| {
                        let stored = 9 * back * input * WIDTH;
                        let from = index * stored + 9 * unused * input * WIDTH;
                        weights_panel(&self.panels[from..(index + 1) * stored], taps, input, weights);
                    });
                }
                let weights = &room.weights[..group.len() * panel];
                let mut tasks = Vec::new();
                for (time, out) in out.chunks_exact_mut(frame).enumerate() {
                    let pixels = STEP * band.start * columns..rows.min(STEP * band.end) * columns;
                    let out = &mut out[pixels.start * output..pixels.end * output];
                    let parts = out.chunks_mut(STEP * task * columns * output).enumerate();
                    tasks.extend(parts.map(|(index, out)| (time, index * task * across, out)));
                }
                tasks.into_par_iter().for_each(|(time, tile, out)| {
                    let skipped = missing.saturating_sub(time);
                    let segments: Vec<&[f32]> =
                        (skipped..back).map(|tap| &points[((time + tap - missing) * tiles + tile) * line..]).collect();
                    let left = Left { segments: &segments, stride: line, depth: input, rows: 0 };
                    let target = Target {
                        size: [out.len() / (columns * output), columns],
                        across,
                        channels: output,
                        panel: [0; 2],
                        added,
                        first: 0,
                    };
                    let weights =
                        PanelsAtPoints { values: weights, group: group.clone(), taps, skipped: skipped - unused };
                    self.task_by_points(left, wide, &weights, target, out);
                });
            }
        }
    }

    /// A band of one frame: `left` has its first tile at the first point in each segment.
    fn task_by_points(
        &self,
        left: Left<'_>,
        wide: usize,
        weights: &PanelsAtPoints<'_>,
        target: Target,
        out: &mut [f32],
    ) {
        let ConvolutionShape { input, output, .. } = self.shape;
        let tiles = target.size[0].div_ceil(STEP) * target.across;
        let lines = input * WIDTH;
        let panel = POINTS * weights.taps * lines;
        with(&SUMS, ROWS * POINTS * WIDTH, |sums| {
            for (index, stored) in weights.group.clone().zip(weights.values.chunks_exact(panel)) {
                let columns = WIDTH.min(output - index * WIDTH);
                for first in (0..tiles).step_by(ROWS) {
                    let rows = ROWS.min(tiles - first);
                    let mut segments = left.segments.to_vec();
                    for (point, stored) in stored.chunks_exact(weights.taps * lines).enumerate() {
                        for (segment, all) in segments.iter_mut().zip(left.segments) {
                            *segment = &all[first * left.stride + point * wide..];
                        }
                        panel::multiply(
                            self.vectors,
                            Left { segments: &segments, rows, ..left },
                            &stored[weights.skipped * lines..],
                            columns,
                            &mut sums[point * WIDTH..],
                            POINTS * WIDTH,
                        );
                    }
                    let target = Target { panel: [index * WIDTH, columns], first, ..target };
                    tiles_from_points(
                        &sums[..rows * POINTS * WIDTH],
                        &self.bias[index * WIDTH..(index + 1) * WIDTH],
                        target,
                        out,
                    );
                }
            }
        });
    }

    /// Windows of one pixel.
    fn pixel_by_pixel(
        &self,
        known: &[&[f32]],
        missing: usize,
        [rows, columns]: [usize; 2],
        out: &mut [f32],
        added: bool,
    ) {
        let ConvolutionShape { input, output, frames: back, frame_step, .. } = self.shape;
        let mut tasks = Vec::new();
        for (time, out) in out.chunks_exact_mut(rows * columns * output).enumerate() {
            tasks.extend(out.chunks_mut(ROWS * output).enumerate().map(|(index, out)| (time, index, out)));
        }
        tasks.into_par_iter().for_each(|(time, index, out)| {
            let skipped = missing.saturating_sub(time * frame_step);
            let segments: Vec<&[f32]> =
                (skipped..back).map(|tap| &known[time * frame_step + tap - missing][index * ROWS * input..]).collect();
            let left = Left { segments: &segments, stride: input, depth: input, rows: out.len() / output };
            self.task_directly(left, skipped, out, added);
        });
    }

    /// Windows of 3 × 3 of few channels, or with steps of two.
    fn row_by_row(&self, frames: &Frames<'_>, known: &[&[f32]], missing: usize, out: &mut [f32], added: bool) {
        let ConvolutionShape { input, output, frames: back, side, frame_step, step } = self.shape;
        let [rows, columns] = self.size(frames);
        let across = (columns - 1) * step + side;
        let row = across * input;
        let corner = if step == 1 { -1 } else { 0 };
        let mut tasks = Vec::new();
        for (time, out) in out.chunks_exact_mut(rows * columns * output).enumerate() {
            tasks.extend(out.chunks_exact_mut(columns * output).enumerate().map(|(index, out)| (time, index, out)));
        }
        tasks.into_par_iter().for_each(|(time, index, out)| {
            let skipped = missing.saturating_sub(time * frame_step);
            with(&PATCH, (back - skipped) * side * row, |patch| {
                for (patch, tap) in patch.chunks_exact_mut(side * row).zip(skipped..back) {
                    let frame = known[time * frame_step + tap - missing];
                    let source = Source { frame, size: frames.size, doubled: frames.doubled, norm: frames.norm };
                    load_patch(source, [(index * step) as isize + corner, corner], across, input, input, patch);
                }
                let segments: Vec<&[f32]> = (0..(back - skipped) * side * side)
                    .map(|tap| &patch[tap / side * row + tap % side * input..])
                    .collect();
                let left = Left { segments: &segments, stride: step * input, depth: input, rows: columns };
                self.task_directly(left, skipped, out, added);
            });
        });
    }

    fn task_directly(&self, left: Left<'_>, skipped: usize, out: &mut [f32], added: bool) {
        let ConvolutionShape { input, output, frames, side, .. } = self.shape;
        let taps = side * side;
        let stored = self.panels.chunks_exact(frames * taps * input * WIDTH);
        with(&SUMS, left.rows * WIDTH, |sums| {
            for (index, panel) in stored.enumerate() {
                let columns = WIDTH.min(output - index * WIDTH);
                panel::multiply(self.vectors, left, &panel[skipped * taps * input * WIDTH..], columns, sums, WIDTH);
                let bias = &self.bias[index * WIDTH..][..columns];
                for (sums, out) in sums.as_chunks::<WIDTH>().0.iter().zip(out.chunks_exact_mut(output)) {
                    for ((out, sum), bias) in out[index * WIDTH..].iter_mut().zip(sums).zip(bias) {
                        *out = if added { *out + sum + bias } else { sum + bias };
                    }
                }
            }
        });
    }
}

/// Weights at the points: `[panels, 36, taps, input, 32]`.
struct PanelsAtPoints<'a> {
    values: &'a [f32],
    group: Range<usize>,
    taps: usize,
    /// Taps from the first that are left out.
    skipped: usize,
}

/// A row of tiles at the points.
fn row_at_points(
    frames: &Frames<'_>,
    frame: &[f32],
    row: usize,
    [columns, input, wide]: [usize; 3],
    points: &mut [f32],
    line: usize,
) {
    let run = (PATCH_VALUES / (SIDE * STEP * wide)).max(1);
    let source = Source { frame, size: frames.size, doubled: frames.doubled, norm: frames.norm };
    let tiles = columns.div_ceil(STEP);
    for first in (0..tiles).step_by(run) {
        let run = run.min(tiles - first);
        let across = STEP * run + 2;
        with(&PATCH, SIDE * across * wide, |patch| {
            let corner = [(STEP * row) as isize - 1, (STEP * first) as isize - 1];
            load_patch(source, corner, across, input, wide, patch);
            tiles_at_points(patch, across, wide, run, &mut points[first * line..], line);
        });
    }
}

/// Where a patch comes from.
#[derive(Clone, Copy)]
struct Source<'a> {
    frame: &'a [f32],
    size: [usize; 2],
    doubled: bool,
    norm: Option<&'a [f32]>,
}

vectorized! {
    /// A part of a frame, zeros around it, `columns` pixels wide: pixels of `input` channels with room for `padded`.
    fn load_patch(source: Source<'_>, corner: [isize; 2], columns: usize, input: usize, padded: usize, patch: &mut [f32]) {
        let shift = u32::from(source.doubled);
        let [rows, across] = source.size.map(|side| (side << shift) as isize);
        for (index, pixel) in patch.chunks_exact_mut(padded).enumerate() {
            let (y, x) = (corner[0] + (index / columns) as isize, corner[1] + (index % columns) as isize);
            if y < 0 || x < 0 || y >= rows || x >= across {
                pixel.fill(0.0);
                continue;
            }
            let at = ((y as usize >> shift) * source.size[1] + (x as usize >> shift)) * input;
            let from = &source.frame[at..at + input];
            let (pixel, rest) = pixel.split_at_mut(input);
            rest.fill(0.0);
            let Some(gamma) = source.norm else {
                pixel.copy_from_slice(from);
                continue;
            };
            let inverse = inverse_length(from);
            for ((value, from), gamma) in pixel.iter_mut().zip(from).zip(gamma) {
                let x = from * inverse * gamma;
                *value = x / (1.0 + exp(-x));
            }
        }
    }
}

vectorized! {
    /// Every line of `x` brought to length 1, then multiplied by `gamma`: `[rows, width]`.
    ///
    /// Panics if lengths do not fit.
    pub fn normalize(x: &[f32], gamma: &[f32], out: &mut [f32]) {
        assert!(x.len() == out.len() && x.len().is_multiple_of(gamma.len()), "whole lines");
        for (x, out) in x.chunks_exact(gamma.len()).zip(out.chunks_exact_mut(gamma.len())) {
            let inverse = inverse_length(x);
            for ((out, x), gamma) in out.iter_mut().zip(x).zip(gamma) {
                *out = x * inverse * gamma;
            }
        }
    }
}

#[inline(always)]
fn inverse_length(x: &[f32]) -> f32 {
    1.0 / dot(x, x).sqrt().max(1e-12)
}

fn grow(values: &mut Vec<f32>, count: usize) {
    if values.len() < count {
        values.resize(count, 0.0);
    }
}

/// Hands out room for `count` values that is kept for the next task of this thread.
fn with<R>(room: &'static LocalKey<RefCell<Vec<f32>>>, count: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut values = room.take();
    grow(&mut values, count);
    let result = task(&mut values[..count]);
    room.set(values);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{random, relative_error};

    /// The sums as they are written.
    fn plainly(shape: ConvolutionShape, weight: &[f32], bias: &[f32], frames: &Frames<'_>, count: usize) -> Vec<f32> {
        let ConvolutionShape { input, output, frames: back, side, frame_step, step } = shape;
        let source = frames.size[0] * frames.size[1] * input;
        let known: Vec<Vec<f32>> = frames
            .before
            .chunks(source)
            .chain(frames.values.chunks(source))
            .map(|frame| {
                frame
                    .chunks(input)
                    .flat_map(|pixel| match frames.norm {
                        Some(gamma) => {
                            let length = pixel.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                            let scaled = pixel.iter().zip(gamma).map(|(x, gamma)| x / length * gamma);
                            scaled.map(|x| x / (1.0 + (-x).exp())).collect()
                        }
                        None => pixel.to_vec(),
                    })
                    .collect()
            })
            .collect();
        let factor = if frames.doubled { 2 } else { 1 };
        let [rows, columns] = frames.size.map(|side| side * factor);
        let missing = (count - 1) * frame_step + back - known.len();
        let pad = if step == 1 { side / 2 } else { 0 };
        let mut out = Vec::new();
        for (time, y, x) in (0..count * (rows / step) * (columns / step))
            .map(|i| (i / (rows / step) / (columns / step), i / (columns / step) % (rows / step), i % (columns / step)))
        {
            for to in 0..output {
                let mut sum = f64::from(bias[to]);
                for (kt, ky, kx) in (0..back * side * side).map(|i| (i / (side * side), i / side % side, i % side)) {
                    let (Some(frame), Some(y), Some(x)) = (
                        (time * frame_step + kt).checked_sub(missing),
                        (y * step + ky).checked_sub(pad).filter(|y| *y < rows),
                        (x * step + kx).checked_sub(pad).filter(|x| *x < columns),
                    ) else {
                        continue;
                    };
                    for from in 0..input {
                        let at = ((y / factor) * frames.size[1] + x / factor) * input + from;
                        let weight = weight[(((to * input + from) * back + kt) * side + ky) * side + kx];
                        sum += f64::from(known[frame][at]) * f64::from(weight);
                    }
                }
                out.push(sum as f32);
            }
        }
        out
    }

    fn shapes() -> impl Strategy<Value = ConvolutionShape> {
        let channels = || prop_oneof![1..5usize, 15..18usize, 30..40usize, CHANNELS..CHANNELS + 20];
        let kind = prop_oneof![
            3 => (Just(3usize), Just(1usize), 1..4usize, Just(1usize)),
            1 => (Just(3usize), Just(2usize), Just(1usize), Just(1usize)),
            2 => (Just(1usize), Just(1usize), 1..4usize, 1..3usize),
        ];
        (channels(), channels(), kind).prop_map(|(input, output, (side, step, frames, frame_step))| ConvolutionShape {
            input,
            output,
            frames,
            side,
            frame_step,
            step,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn every_shape_on_every_processor_path_is_the_plain_sum(
            shape in shapes(),
            size in [1..11usize, 1..20usize],
            count in 1..4usize,
            missing in 0..3usize,
            before in 0..3usize,
            extras in [any::<bool>(), any::<bool>(), any::<bool>()],
        ) {
            let ConvolutionShape { input, output, frames: back, side, frame_step, step } = shape;
            let [normed, doubled, added] = extras;
            let plain = side == 1;
            let size = size.map(|side| side * step);
            let known = (count - 1) * frame_step + back - missing.min(back - 1);
            let before = before.min(known - 1);
            let source = size[0] * size[1] * input;
            let (values, gamma) = (random(known * source, 1), random(input, 2));
            let (weight, bias) = (random(input * output * back * side * side, 3), random(output, 4));
            let frames = Frames {
                before: &values[..before * source],
                values: &values[before * source..],
                size,
                norm: (normed && !plain).then_some(&gamma),
                doubled: doubled && !plain,
            };
            let mut expected = plainly(shape, &weight, &bias, &frames, count);
            let there = random(expected.len(), 5);
            if added {
                expected.iter_mut().zip(&there).for_each(|(sum, there)| *sum += there);
            }
            let mut room = ConvolutionRoom::default();
            for vectors in Vectors::all() {
                let mut out = there.clone();
                Convolution::on(vectors, &weight, &bias, shape).apply(&frames, &mut out, added, &mut room);
                let error = relative_error(&out, &expected);
                prop_assert!(error < 5e-6, "{vectors:?}: {error}");
            }
        }
    }

    /// Weights that are transformed in several parts, and bands that are many.
    #[test]
    fn wide_and_large_frames_are_the_plain_sum() {
        for (input, output, size) in [(1024, 1056, [2, 3]), (64, 8, [190, 90])] {
            let shape = ConvolutionShape { input, output, frames: 3, side: 3, frame_step: 1, step: 1 };
            let (weight, bias) = (random(input * output * 27, 1), random(output, 2));
            let values = random(3 * size[0] * size[1] * input, 3);
            let frames = Frames { values: &values, before: &[], size, norm: None, doubled: false };
            let mut out = vec![0.0; size[0] * size[1] * output];
            Convolution::new(&weight, &bias, shape).apply(&frames, &mut out, false, &mut ConvolutionRoom::default());
            let error = relative_error(&out, &plainly(shape, &weight, &bias, &frames, 1));
            assert!(error < 1e-5, "{input} × {output}: {error}");
        }
    }
}
