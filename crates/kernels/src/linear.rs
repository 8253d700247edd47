//! Linear layers with narrow factors: weights rounded once, activations at every call, sums of 32 bits.
//!
//! Sources: Goto & van de Geijn 2008 for the blocks (a panel of the right factor stays in the first cache, rows of the left
//! one in the second); Dettmers et al. 2022 (arXiv:2208.07339) for scales by row and by output.

use rayon::prelude::*;

use crate::exponential::{exp, normal};
use crate::keys::interleave;
use crate::matrix::{self, Matrix, Path, Right, multiply_by};
use crate::vectorized::vectorized;
use crate::words::{
    COLUMNS, Format, Product, ROWS, Start, Unit, bytes, halves, int8_scale, nearest, row_stride, to_bf16,
};

/// Words of depth, rows and columns of the block that one thread works on: 24 KiB of a panel in the first cache, 150 KiB of
/// rows and 380 KiB of sums in the second.
const BLOCK_DEPTH: usize = 192;
const BLOCK_ROWS: usize = 16 * ROWS;
const BLOCK_COLUMNS: usize = 16 * COLUMNS;
/// Products below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 21;
/// Largest depth of a [`Linear`] in bytes: its sums cannot overflow.
pub const MOST_INT8_DEPTH: usize = 1 << 16;

/// Activations, rounded for a [`Linear`]: several layers can read the same.
#[derive(Debug)]
pub struct Rows {
    format: Format,
    rows: usize,
    depth: usize,
    stride: usize,
    /// Rows filled up to whole blocks, so that blocks need no rims.
    words: Vec<u32>,
    /// Of each row, for bytes.
    scales: Vec<f32>,
}

impl Rows {
    /// No rows yet. The memory is kept from one filling to the next.
    pub fn new(format: Format) -> Self {
        Self { format, rows: 0, depth: 0, stride: 0, words: Vec::new(), scales: Vec::new() }
    }

    /// Takes `values`, `[rows, depth]`.
    ///
    /// Panics if they are not whole rows.
    pub fn set(&mut self, values: &[f32], depth: usize) {
        assert!(depth > 0 && values.len().is_multiple_of(depth), "whole rows of {depth}");
        self.each(values.len() / depth, depth, |row, packed| packed.round(&values[row * depth..][..depth]));
    }

    /// Takes `rows` rows of `depth` values, each written by `fill` into memory that holds whatever it held.
    pub fn fill(&mut self, rows: usize, depth: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
        thread_local! {
            static ROW: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        self.each(rows, depth, |row, packed| {
            matrix::with_room(&ROW, depth, |values| {
                fill(row, values);
                packed.round(values);
            });
        });
    }

    fn each(&mut self, rows: usize, depth: usize, round: impl Fn(usize, Packed<'_>) + Sync) {
        assert!(depth > 0, "rows of something");
        let stride = row_stride(self.format.words(depth));
        let len = rows.next_multiple_of(ROWS) * stride;
        if self.words.len() < len {
            self.words.resize(len, 0);
        }
        (self.rows, self.depth, self.stride) = (rows, depth, stride);
        self.scales.resize(rows, 0.0);
        let format = self.format;
        let rows = self.words.par_chunks_mut(stride).zip(self.scales.par_iter_mut()).with_min_len(16);
        rows.enumerate().for_each(|(row, (words, scale))| round(row, Packed { format, words, scale }));
    }
}

/// The place of one row.
struct Packed<'a> {
    format: Format,
    words: &'a mut [u32],
    scale: &'a mut f32,
}

impl Packed<'_> {
    fn round(self, values: &[f32]) {
        match self.format {
            Format::Bf16 => {
                let out = halves(self.words);
                round_bf16(values, out);
                out[values.len()..].fill(0);
            }
            Format::Int8 => {
                let out = bytes(self.words);
                round_int8(values, out, self.scale);
                out[values.len()..].fill(128);
            }
        }
    }
}

vectorized! {
    fn round_bf16(values: &[f32], out: &mut [u16]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = to_bf16(*value);
        }
    }
}

vectorized! {
    fn round_int8(values: &[f32], out: &mut [u8], scale: &mut f32) {
        let (forward, inverse) = int8_scale(values);
        *scale = forward;
        for (out, value) in out.iter_mut().zip(values) {
            *out = (nearest(*value * inverse) + 128) as u8;
        }
    }
}

/// What is done with the result of a layer before it is written.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// `x · Φ(x)`.
    Gelu,
    /// The same by its approximation with a hyperbolic tangent.
    GeluTanh,
    /// It is added to what is there.
    Add,
    /// It is multiplied by a gate and added to what is there: one line of gates, `[outputs]`, for each `group` rows.
    GatedAdd {
        /// `[rows / group, outputs]`.
        gate: &'a [f32],
        /// Rows that share a line.
        group: usize,
    },
}

/// `x · weightᵀ + bias`, with weights in the order in which the processor reads them.
///
/// With [`Format::Bf16`] the error is that of the rounding of both factors, at most 2⁻⁷ of Σ |x · w|, and of sums in 32
/// bits; with [`Format::Int8`] half a step of either factor, ½ · (scale of the row · Σ |w| + scale of the output · Σ |x|) and a
/// product of halves for each number in depth.
pub struct Linear {
    format: Format,
    depth: usize,
    outputs: usize,
    weights: Weights,
    bias: Option<Vec<f32>>,
}

enum Weights {
    /// Panels of words.
    Words {
        product: Product,
        panels: Vec<u32>,
        /// What the sums start from: the bias for bfloat16; for bytes, what the offset of the left factor adds.
        start: Vec<u32>,
        /// Of each output, for bytes.
        scales: Vec<f32>,
    },
    /// Panels of tiles.
    Tiles(Right<'static>),
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linear({} → {}, {:?})", self.depth, self.outputs, self.format)
    }
}

impl Linear {
    /// For the fastest unit of this processor.
    ///
    /// # Shapes
    /// `weight`: `[outputs, depth]`; `bias`: `[outputs]`.
    ///
    /// Panics if shapes do not fit, or a depth of more than 65,536 is to be multiplied in bytes.
    pub fn new(format: Format, weight: &[f32], depth: usize, bias: Option<&[f32]>) -> Self {
        Self::on(Unit::fastest(format), format, weight, depth, bias)
    }

    /// For a unit of the caller's choice.
    ///
    /// Panics as [`Linear::new`], and if this processor lacks the unit.
    pub fn on(unit: Unit, format: Format, weight: &[f32], depth: usize, bias: Option<&[f32]>) -> Self {
        assert!(depth > 0 && weight.len().is_multiple_of(depth), "whole rows of {depth}");
        assert!(format == Format::Bf16 || depth <= MOST_INT8_DEPTH, "sums of {depth} products of bytes may overflow");
        let outputs = weight.len() / depth;
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "one bias an output");
        let weights = if unit == Unit::Tiles {
            let matrix = Matrix::new(weight, outputs, depth, depth).transposed();
            Weights::Tiles(Right::on(Path::Tiles, matrix).owned())
        } else {
            words(Product::of(unit, format), format, weight, depth, bias)
        };
        Self { format, depth, outputs, weights, bias: bias.map(<[f32]>::to_vec) }
    }

    /// Of weights whose inputs lie one after the other, in bfloat16, for the fastest unit of this processor that reads words:
    /// quick to make, for weights that are used once.
    ///
    /// # Shapes
    /// `weight`: `[depth, outputs]`; `bias`: `[outputs]`.
    ///
    /// Panics if shapes do not fit.
    pub fn sideways(weight: &[f32], outputs: usize, bias: &[f32]) -> Self {
        assert!(outputs > 0 && weight.len().is_multiple_of(outputs), "whole lines of {outputs}");
        assert_eq!(bias.len(), outputs, "one bias an output");
        let format = Format::Bf16;
        let depth = weight.len() / outputs;
        let words = format.words(depth);
        let mut panels = vec![0u32; outputs.next_multiple_of(COLUMNS) * words];
        for (index, panel) in panels.chunks_exact_mut(words * COLUMNS).enumerate() {
            let from = index * COLUMNS;
            let line = |depth_at: usize| -> &[f32] {
                if depth_at < depth { &weight[depth_at * outputs + from..][..COLUMNS.min(outputs - from)] } else { &[] }
            };
            for (word, out) in panel.chunks_exact_mut(COLUMNS).enumerate() {
                interleave(line(2 * word), line(2 * word + 1), out);
            }
        }
        let mut start = vec![0u32; outputs.next_multiple_of(COLUMNS)];
        for (start, bias) in start.iter_mut().zip(bias) {
            *start = bias.to_bits();
        }
        let unit = Unit::available(format).into_iter().find(|unit| *unit != Unit::Tiles).unwrap_or(Unit::Portable);
        let weights = Weights::Words { product: Product::of(unit, format), panels, start, scales: Vec::new() };
        Self { format, depth, outputs, weights, bias: None }
    }

    /// Values in, and values out.
    pub fn widths(&self) -> (usize, usize) {
        (self.depth, self.outputs)
    }

    /// Bytes that the packed weights of a layer take, without its bias.
    pub fn packed_bytes(format: Format, depth: usize, outputs: usize) -> usize {
        let panels = outputs.next_multiple_of(COLUMNS) * format.words(depth) * 4;
        panels + if format == Format::Int8 { 8 * outputs } else { 0 }
    }

    /// The layer for all rows, on several threads when called in a pool that has them and there is enough to do.
    ///
    /// # Shapes
    /// `out`: `[rows, outputs]`.
    ///
    /// Panics if shapes or formats do not fit.
    pub fn forward(&self, rows: &Rows, then: Then<'_>, out: &mut [f32]) {
        assert_eq!((rows.depth, rows.format), (self.depth, self.format), "rows for this layer");
        assert_eq!(out.len(), rows.rows * self.outputs, "room for the result");
        if let Then::GatedAdd { gate, group } = then {
            assert!(group > 0 && gate.len() * group == out.len(), "one line of gates a group");
        }
        if rows.rows == 0 || self.outputs == 0 {
            return;
        }
        match &self.weights {
            Weights::Words { product, panels, start, scales } => {
                self.by_words(rows, *product, (panels, start, scales), then, out);
            }
            Weights::Tiles(right) => self.by_tiles(rows, right, then, out),
        }
    }

    fn by_words(
        &self,
        rows: &Rows,
        product: Product,
        (panels, start, scales): (&[u32], &[u32], &[f32]),
        then: Then<'_>,
        out: &mut [f32],
    ) {
        let depth = self.format.words(self.depth);
        let (row_blocks, column_blocks) = (rows.rows.div_ceil(BLOCK_ROWS), self.outputs.div_ceil(BLOCK_COLUMNS));
        let target = Target { values: out.as_mut_ptr(), len: out.len() };
        // Threads work on the same columns, so that weights come from memory once.
        let task = |index: usize| {
            let (column, row) = (index / row_blocks * BLOCK_COLUMNS, index % row_blocks * BLOCK_ROWS);
            let width = BLOCK_COLUMNS.min(self.outputs - column);
            let height = BLOCK_ROWS.min(rows.rows - row);
            let tiles = height.div_ceil(ROWS);
            let first_panel = column / COLUMNS;
            let stride = width.next_multiple_of(COLUMNS);
            matrix::with_room(&SUMS, tiles * ROWS * stride, |sums| {
                for from in (0..depth).step_by(BLOCK_DEPTH) {
                    let count = BLOCK_DEPTH.min(depth - from);
                    for side in (0..stride).step_by(COLUMNS) {
                        let panel = first_panel + side / COLUMNS;
                        let right = &panels[(panel * depth + from) * COLUMNS..][..count * COLUMNS];
                        let next = &panels[((panel + 1) * depth + from).min(panels.len() / COLUMNS) * COLUMNS..];
                        let begin: &[u32; COLUMNS] =
                            start[panel * COLUMNS..].first_chunk().expect("starts fill whole panels");
                        for tile in 0..tiles {
                            fetch(next, tile, tiles, count * COLUMNS);
                            let left = &rows.words[(row + tile * ROWS) * rows.stride + from..];
                            let begin = if from == 0 { Start::Row(begin) } else { Start::Sums };
                            let sums = &mut sums[tile * ROWS * stride + side..];
                            product.block((left, rows.stride), right, count, begin, (sums, stride));
                        }
                    }
                }
                for line in 0..height {
                    let out = target.line((row + line) * self.outputs + column, width);
                    let sums = &mut sums[line * stride..][..width];
                    if self.format == Format::Int8 {
                        let bias = self.bias.as_deref().map_or(&[][..], |bias| &bias[column..][..width]);
                        scaled(sums, rows.scales[row + line], &scales[column..][..width], bias);
                    }
                    finish(sums, line_of(then, row + line, column, width, self.outputs), out);
                }
            });
        };
        let tasks = row_blocks * column_blocks;
        if tasks == 1 || rows.rows * self.outputs * self.depth < WORTH_A_THREAD {
            (0..tasks).for_each(task);
        } else {
            (0..tasks).into_par_iter().with_max_len(1).for_each(task);
        }
    }

    /// Rows as 32-bit numbers again, which the tiles round as they were rounded.
    fn by_tiles(&self, rows: &Rows, right: &Right<'_>, then: Then<'_>, out: &mut [f32]) {
        let mut left = vec![0.0; rows.rows * self.depth];
        for (line, words) in left.chunks_exact_mut(self.depth).zip(rows.words.chunks_exact(rows.stride)) {
            for (index, value) in line.iter_mut().enumerate() {
                *value = f32::from_bits(words[index / 2] >> (16 * (index % 2)) << 16);
            }
        }
        let mut sums = vec![0.0; out.len()];
        let start = self.bias.as_deref().map_or(matrix::Start::Zero, matrix::Start::Row);
        multiply_by(Matrix::new(&left, rows.rows, self.depth, self.depth), right, &mut sums, self.outputs, start);
        for (row, (sums, out)) in sums.chunks_exact(self.outputs).zip(out.chunks_exact_mut(self.outputs)).enumerate() {
            let bits: Vec<u32> = sums.iter().map(|sum| sum.to_bits()).collect();
            finish(&bits, line_of(then, row, 0, self.outputs, self.outputs), out);
        }
    }
}

/// Rounds and orders weights.
fn words(product: Product, format: Format, weight: &[f32], depth: usize, bias: Option<&[f32]>) -> Weights {
    let outputs = weight.len() / depth;
    let padded = outputs.next_multiple_of(COLUMNS);
    let words = format.words(depth);
    let mut panels = vec![0u32; padded * words];
    let mut start = vec![0u32; padded];
    let mut scales = vec![0f32; if format == Format::Int8 { padded } else { 0 }];
    let row = |output: usize| (output < outputs).then(|| &weight[output * depth..][..depth]);
    match format {
        Format::Bf16 => {
            for (start, bias) in start.iter_mut().zip(bias.unwrap_or(&[])) {
                *start = bias.to_bits();
            }
            panels.par_chunks_mut(words * COLUMNS).enumerate().for_each(|(index, panel)| {
                pack_bf16(panel, |column| row(index * COLUMNS + column));
            });
        }
        Format::Int8 => {
            let ends = start.par_chunks_mut(COLUMNS).zip(scales.par_chunks_mut(COLUMNS));
            panels.par_chunks_mut(words * COLUMNS).zip(ends).enumerate().for_each(
                |(index, (panel, (start, scales)))| {
                    for column in 0..COLUMNS {
                        let Some(row) = row(index * COLUMNS + column) else { continue };
                        let (scale, inverse) = int8_scale(row);
                        let mut sum = 0;
                        for (word, values) in row.chunks(4).enumerate() {
                            let mut bytes = [0u8; 4];
                            for (byte, value) in bytes.iter_mut().zip(values) {
                                let whole = nearest(value * inverse) as i8;
                                sum += i32::from(whole);
                                *byte = whole as u8;
                            }
                            panel[word * COLUMNS + column] = u32::from_le_bytes(bytes);
                        }
                        // What is no number stays none.
                        scales[column] = if row.iter().any(|value| value.is_nan()) { f32::NAN } else { scale };
                        if product.unsigned {
                            start[column] = (-128 * sum) as u32;
                        }
                    }
                },
            );
        }
    }
    Weights::Words { product, panels, start, scales }
}

/// One panel of 32 columns, each of which is a row of numbers in depth; zeros for those that are not there.
pub(crate) fn pack_bf16<'a>(panel: &mut [u32], row: impl Fn(usize) -> Option<&'a [f32]>) {
    // As many words of each row as make a cache line, so that lines are read once and written once.
    const AT_A_TIME: usize = 16;
    let rows: [Option<&[f32]>; COLUMNS] = std::array::from_fn(row);
    for (block, panel) in panel.chunks_mut(AT_A_TIME * COLUMNS).enumerate() {
        for (column, row) in rows.iter().enumerate() {
            let words = panel.iter_mut().skip(column).step_by(COLUMNS);
            let Some(row) = row else {
                words.for_each(|word| *word = 0);
                continue;
            };
            let from = block * AT_A_TIME * 2;
            let row = &row[from..row.len().min(from + AT_A_TIME * 2)];
            for (word, pair) in words.zip(row.chunks(2)) {
                let high = pair.get(1).map_or(0, |high| to_bf16(*high));
                *word = u32::from(to_bf16(pair[0])) | u32::from(high) << 16;
            }
        }
    }
}

thread_local! {
    static SUMS: std::cell::RefCell<Vec<u32>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Asks for a share of the panel that comes next, one of `shares`.
#[inline(always)]
pub(crate) fn fetch(next: &[u32], share: usize, shares: usize, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        const LINE: usize = 16;
        let len = len.min(next.len());
        let lines = len.div_ceil(LINE).div_ceil(shares);
        for line in share * lines..((share + 1) * lines).min(len / LINE) {
            #[expect(unsafe_code, reason = "a hint takes an address")]
            // SAFETY: the address is within the slice, and nothing is read.
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(next.as_ptr().add(line * LINE).cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (next, share, shares, len);
}

/// The result, which tasks write in lines that do not meet.
struct Target {
    values: *mut f32,
    len: usize,
}

#[expect(unsafe_code, reason = "blocks of one matrix are not slices that do not meet")]
// SAFETY: an address; what is done with it is `line`'s affair.
unsafe impl Sync for Target {}

impl Target {
    #[expect(clippy::mut_from_ref, reason = "lines of different tasks do not meet")]
    fn line(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from + len <= self.len, "a line of the result");
        #[expect(unsafe_code, reason = "blocks of one matrix are not slices that do not meet")]
        // SAFETY: within the slice, as asserted, which is borrowed for as long as tasks run; tasks have blocks of their own.
        unsafe {
            std::slice::from_raw_parts_mut(self.values.add(from), len)
        }
    }
}

/// [`Then`] for a part of one line.
#[derive(Clone, Copy)]
enum ThenLine<'a> {
    Nothing,
    Gelu,
    GeluTanh,
    Add,
    GatedAdd(&'a [f32]),
}

fn line_of(then: Then<'_>, row: usize, column: usize, width: usize, outputs: usize) -> ThenLine<'_> {
    match then {
        Then::Nothing => ThenLine::Nothing,
        Then::Gelu => ThenLine::Gelu,
        Then::GeluTanh => ThenLine::GeluTanh,
        Then::Add => ThenLine::Add,
        Then::GatedAdd { gate, group } => ThenLine::GatedAdd(&gate[row / group * outputs + column..][..width]),
    }
}

vectorized! {
    /// Whole sums become 32-bit floating ones, in place.
    fn scaled(sums: &mut [u32], scale: f32, scales: &[f32], bias: &[f32]) {
        if bias.is_empty() {
            for (sum, by_output) in sums.iter_mut().zip(scales) {
                *sum = (*sum as i32 as f32 * (scale * by_output)).to_bits();
            }
        } else {
            for ((sum, by_output), bias) in sums.iter_mut().zip(scales).zip(bias) {
                *sum = (*sum as i32 as f32 * (scale * by_output) + bias).to_bits();
            }
        }
    }
}

vectorized! {
    fn finish(sums: &[u32], then: ThenLine<'_>, out: &mut [f32]) {
        let values = out.iter_mut().zip(sums);
        match then {
            ThenLine::Nothing => {
                for (out, sum) in values {
                    *out = f32::from_bits(*sum);
                }
            }
            ThenLine::Gelu => {
                for (out, sum) in values {
                    let x = f32::from_bits(*sum);
                    *out = x * normal(x).0;
                }
            }
            ThenLine::GeluTanh => {
                for (out, sum) in values {
                    *out = gelu_tanh(f32::from_bits(*sum));
                }
            }
            ThenLine::Add => {
                for (out, sum) in values {
                    *out += f32::from_bits(*sum);
                }
            }
            ThenLine::GatedAdd(gate) => {
                for ((out, sum), gate) in values.zip(gate) {
                    *out += f32::from_bits(*sum) * gate;
                }
            }
        }
    }
}

/// `x / (1 + e^(−2u))`, which is `x · (1 + tanh u) / 2`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const FACTOR: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    x / (1.0 + exp(-2.0 * FACTOR * x * (1.0 + 0.044_715 * x * x)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::random;

    /// Sums in 64 bits, and how far a layer with narrow factors may be from each.
    fn plain(format: Format, x: &[f32], weight: &[f32], depth: usize, bias: Option<&[f32]>) -> Vec<(f64, f64)> {
        let size = |values: &[f32]| values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
        let step = |values: &[f32]| f64::from(values.iter().fold(0f32, |a, b| a.max(b.abs()))) / 127.0;
        let mut out = Vec::new();
        for x in x.chunks(depth) {
            for (output, weight) in weight.chunks(depth).enumerate() {
                let products = || x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let sum = products().sum::<f64>() + bias.map_or(0.0, |bias| f64::from(bias[output]));
                let sizes = products().map(f64::abs).sum::<f64>();
                let rounding = match format {
                    Format::Bf16 => sizes * (1.0 / 128.0 + 1.0 / 65536.0),
                    Format::Int8 => {
                        let (row, column) = (step(x), step(weight));
                        0.5 * (row * size(weight) + column * size(x)) + 0.25 * row * column * depth as f64
                    }
                };
                // The rounding of factors, then that of sums in 32 bits.
                out.push((sum, rounding + 1e-6 * (sizes + sum.abs()) + 1e-6));
            }
        }
        out
    }

    fn check(format: Format, [rows, depth, outputs]: [usize; 3], biased: bool, seed: u64) {
        // One row and one output are zeros, one row is large.
        let (mut x, mut weight) = (random(rows * depth, seed), random(outputs * depth, seed + 1));
        x[..depth].fill(0.0);
        x[(rows - 1) * depth..].iter_mut().for_each(|value| *value *= 1000.0);
        weight[..depth].fill(0.0);
        let bias = biased.then(|| random(outputs, seed + 2));
        let expected = plain(format, &x, &weight, depth, bias.as_deref());
        let mut packed = Rows::new(format);
        // Memory that was used for something else.
        packed.set(&random(3 * (depth + 70), seed + 3), depth + 70);
        packed.set(&x, depth);
        let mut first: Option<Vec<f32>> = None;
        for unit in Unit::available(format) {
            let linear = Linear::on(unit, format, &weight, depth, bias.as_deref());
            let mut out = vec![f32::NAN; rows * outputs];
            linear.forward(&packed, Then::Nothing, &mut out);
            for (index, (value, (exact, most))) in out.iter().zip(&expected).enumerate() {
                let apart = (f64::from(*value) - exact).abs();
                assert!(apart <= *most, "{unit:?}, {rows} × {depth} × {outputs} at {index}: {value} for {exact}");
            }
            // Whole numbers are added without rounding, by whatever unit.
            if format == Format::Int8 {
                let first = first.get_or_insert_with(|| out.clone());
                let apart = first.iter().zip(&out).filter(|(a, b)| (**a - **b).abs() > 1e-6 * a.abs()).count();
                assert_eq!(apart, 0, "{unit:?} beside another unit");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_shape_is_within_its_bound(
            rows in 1usize..60,
            depth in 1usize..450,
            outputs in 1usize..110,
            biased: bool,
            int8: bool,
            seed in 0u64..1 << 40,
        ) {
            check(if int8 { Format::Int8 } else { Format::Bf16 }, [rows, depth, outputs], biased, seed);
        }
    }

    #[test]
    fn shapes_of_several_blocks_are_within_their_bound() {
        for format in [Format::Bf16, Format::Int8] {
            check(format, [BLOCK_ROWS + 13, 2 * BLOCK_DEPTH * format.in_word() + 5, 70], true, 1);
            check(format, [30, 2000, BLOCK_COLUMNS + 37], true, 2);
        }
    }

    #[test]
    fn weights_on_their_side_are_the_same_layer() {
        for [rows, depth, outputs] in [[1, 1, 1], [20, 33, 70], [13, 64, 32], [40, 401, 95]] {
            let (x, weight, bias) = (random(rows * depth, 1), random(outputs * depth, 2), random(outputs, 3));
            let side: Vec<f32> = (0..depth * outputs).map(|at| weight[at % outputs * depth + at / outputs]).collect();
            let mut packed = Rows::new(Format::Bf16);
            packed.set(&x, depth);
            let run = |linear: Linear| {
                let mut out = vec![f32::NAN; rows * outputs];
                linear.forward(&packed, Then::Nothing, &mut out);
                out
            };
            let unit = Unit::available(Format::Bf16).into_iter().find(|unit| *unit != Unit::Tiles).unwrap();
            let straight = run(Linear::on(unit, Format::Bf16, &weight, depth, Some(&bias)));
            assert_eq!(run(Linear::sideways(&side, outputs, &bias)), straight, "{rows} × {depth} × {outputs}");
        }
    }

    #[test]
    fn what_follows_is_done_to_the_result() {
        let (rows, depth, outputs) = (26, 40, 70);
        let (x, weight, bias) = (random(rows * depth, 1), random(outputs * depth, 2), random(outputs, 3));
        let (before, gate) = (random(rows * outputs, 4), random(2 * outputs, 5));
        for (format, unit) in [Format::Bf16, Format::Int8]
            .into_iter()
            .flat_map(|format| Unit::available(format).into_iter().map(move |unit| (format, unit)))
        {
            let linear = Linear::on(unit, format, &weight, depth, Some(&bias));
            assert_eq!(linear.widths(), (depth, outputs));
            let mut packed = Rows::new(format);
            packed.fill(rows, depth, |row, line| line.copy_from_slice(&x[row * depth..][..depth]));
            let run = |then: Then<'_>| {
                let mut out = before.clone();
                linear.forward(&packed, then, &mut out);
                out
            };
            let plain = run(Then::Nothing);
            let check = |then: Then<'_>, expected: &dyn Fn(usize, f64) -> f64| {
                for (index, value) in run(then).into_iter().enumerate() {
                    let expected = expected(index, f64::from(plain[index]));
                    assert!((f64::from(value) - expected).abs() < 1e-5, "{unit:?}, {then:?}: {value} for {expected}");
                }
            };
            let tanh = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x.powi(3))).tanh());
            check(Then::Gelu, &|_, x| {
                let mut out = [0.0];
                crate::gelu(&[x as f32], &mut out);
                f64::from(out[0])
            });
            check(Then::GeluTanh, &|_, x| tanh(x));
            check(Then::Add, &|index, x| f64::from(before[index]) + x);
            let group = rows / 2;
            check(Then::GatedAdd { gate: &gate, group }, &|index, x| {
                let (row, output) = (index / outputs, index % outputs);
                f64::from(before[index]) + x * f64::from(gate[row / group * outputs + output])
            });
        }
    }

    #[test]
    fn the_other_gelu_is_finite_everywhere() {
        for (x, expected) in [(-1e30f32, 0.0), (-50.0, 0.0), (0.0, 0.0), (50.0, 50.0), (1e30, 1e30)] {
            assert!((gelu_tanh(x) - expected).abs() <= 1e-6 * f32::max(expected, 1.0), "{x}: {}", gelu_tanh(x));
        }
    }

    #[test]
    fn several_threads_give_what_one_gives() {
        let (rows, depth, outputs) = (500, 300, 600);
        let (x, weight) = (random(rows * depth, 1), random(outputs * depth, 2));
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; rows * outputs];
            pool.install(|| {
                let mut packed = Rows::new(Format::Bf16);
                packed.set(&x, depth);
                Linear::new(Format::Bf16, &weight, depth, None).forward(&packed, Then::Nothing, &mut out);
            });
            out
        };
        assert_eq!(of(1), of(3));
    }
}
