//! Scaled dot-product attention in blocks, as in [`crate::online`], with products of bfloat16: keys and values are rounded and
//! ordered once for all queries, shares are rounded as soon as they are known, and sums have 32 bits. Forward alone.
//!
//! Sources: Milakov & Gimelshein 2018 (arXiv:1805.02867); Dao et al. 2022 (arXiv:2205.14135).

use std::cell::RefCell;

use rayon::prelude::*;

use crate::exponential::coarse_exp2;
use crate::linear::{fetch, pack_bf16};
use crate::matrix::with_room;
use crate::vectorized::vectorized;
use crate::words::{COLUMNS, Format, Product, ROWS, Start, Unit, halves, row_stride, to_bf16};

/// Queries that are worked on at one time: 8 blocks of rows. Keys: few enough for their scores to stay in the second cache.
const QUERIES: usize = 8 * ROWS;
const KEYS: usize = 512;

/// Keys and values of all heads, ready to be asked.
///
/// Scores and shares are of bfloat16 factors: outputs differ from those in 32 bits by less than 0.4 % of the weighted sizes of the values
/// where scores are moderate; a score is off by up to 2⁻⁷ of Σ |q · k|.
pub struct Keys {
    product: Product,
    heads: usize,
    head_width: usize,
    count: usize,
    /// Of each head: panels of 32 keys, each as deep as a head is wide.
    keys: Vec<u32>,
    /// Of each head and each block of keys: panels of 32 channels, each as deep as there are keys.
    values: Vec<u32>,
    /// What the scores of a key start from, in units of 2: filled up with numbers that leave a key without a share.
    start: Vec<u32>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} of {} heads of {})", self.count, self.heads, self.head_width)
    }
}

/// A score that leaves a key without a share.
const NEVER: f32 = -1e30;

impl Keys {
    /// For the fastest unit of this processor that reads words.
    ///
    /// # Shapes
    /// `key` and `value`: `[Lk, heads · head_width]`, heads side by side; `bias`, added to the scores of a key: `[Lk]`.
    ///
    /// Panics if shapes do not fit or there are no keys.
    pub fn new(heads: usize, head_width: usize, key: &[f32], value: &[f32], bias: Option<&[f32]>) -> Self {
        let unit = Unit::available(Format::Bf16).into_iter().find(|unit| *unit != Unit::Tiles);
        Self::on(unit.unwrap_or(Unit::Portable), heads, head_width, key, value, bias)
    }

    /// For a unit of the caller's choice, which must not be [`Unit::Tiles`].
    ///
    /// Panics as [`Keys::new`], and if this processor lacks the unit.
    pub fn on(unit: Unit, heads: usize, head_width: usize, key: &[f32], value: &[f32], bias: Option<&[f32]>) -> Self {
        let width = heads * head_width;
        assert!(
            width > 0 && key.len().is_multiple_of(width) && value.len() == key.len(),
            "whole lines, as many of each"
        );
        let count = key.len() / width;
        assert!(count > 0 && bias.is_none_or(|bias| bias.len() == count), "one value a key");
        let padded = count.next_multiple_of(COLUMNS);
        let depth = Format::Bf16.words(head_width);
        let mut keys = vec![0; heads * padded * depth];
        let panel_of = |head: usize, index: usize, panel: &mut [u32]| {
            pack_bf16(panel, |column| {
                let token = index * COLUMNS + column;
                (token < count).then(|| &key[token * width + head * head_width..][..head_width])
            });
        };
        let panels = padded / COLUMNS;
        keys.par_chunks_mut(COLUMNS * depth).enumerate().with_min_len(4).for_each(|(index, panel)| {
            panel_of(index / panels, index % panels, panel);
        });
        let channels = head_width.next_multiple_of(COLUMNS);
        let mut values = vec![0; heads * padded / 2 * channels];
        // Blocks of keys are whole panels deep, so the last one is smaller and all before it are full.
        let block_words = KEYS / 2 * channels;
        values.par_chunks_mut(padded / 2 * channels).enumerate().for_each(|(head, values)| {
            for (block, values) in values.chunks_mut(block_words).enumerate() {
                let words = values.len() / channels;
                for (index, panel) in values.chunks_exact_mut(words * COLUMNS).enumerate() {
                    for (pair, out) in panel.chunks_exact_mut(COLUMNS).enumerate() {
                        let line = |odd: usize| -> &[f32] {
                            let token = block * KEYS + 2 * pair + odd;
                            let from = index * COLUMNS;
                            if token >= count {
                                return &[];
                            }
                            &value[token * width + head * head_width + from..][..COLUMNS.min(head_width - from)]
                        };
                        interleave(line(0), line(1), out);
                    }
                }
            }
        });
        let mut start = vec![NEVER.to_bits(); padded];
        for (index, start) in start[..count].iter_mut().enumerate() {
            *start = (bias.map_or(0.0, |bias| bias[index]) * std::f32::consts::LOG2_E).max(NEVER).to_bits();
        }
        Self { product: Product::of(unit, Format::Bf16), heads, head_width, count, keys, values, start }
    }

    /// Keys.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        4 * (self.keys.len() + self.values.len() + self.start.len())
    }

    /// For every query and head the values, weighted by the shares of their keys; scores are multiplied by `scale`. On
    /// several threads when called in a pool that has them.
    ///
    /// # Shapes
    /// `query` and `out`: `[Lq, heads · head_width]`.
    ///
    /// Panics if shapes do not fit.
    pub fn attend(&self, query: &[f32], scale: f32, out: &mut [f32]) {
        let width = self.heads * self.head_width;
        assert!(query.len().is_multiple_of(width) && query.len() == out.len(), "whole lines, as many out as in");
        let lines = out.par_chunks_mut(QUERIES * width).zip(query.par_chunks(QUERIES * width));
        lines.with_max_len(1).for_each(|(out, query)| {
            for head in 0..self.heads {
                self.head(head, query, scale, out);
            }
        });
    }

    /// One head for at most [`QUERIES`] queries.
    fn head(&self, head: usize, query: &[f32], scale: f32, out: &mut [f32]) {
        let width = self.heads * self.head_width;
        let rows = query.len() / width;
        let tiles = rows.div_ceil(ROWS);
        let padded = self.count.next_multiple_of(COLUMNS);
        let depth = Format::Bf16.words(self.head_width);
        let channels = self.head_width.next_multiple_of(COLUMNS);
        let (query_stride, share_stride) = (row_stride(depth), row_stride(KEYS / 2));
        let lines = tiles * ROWS;
        let keys = &self.keys[head * padded * depth..][..padded * depth];
        let values = &self.values[head * padded / 2 * channels..][..padded / 2 * channels];
        let room = lines * (query_stride + KEYS + share_stride + channels);
        with_room(&WORK, room, |work| {
            let (asked, work) = work.split_at_mut(lines * query_stride);
            let (scores, work) = work.split_at_mut(lines * KEYS);
            let (shares, sums) = work.split_at_mut(lines * share_stride);
            asked.fill(0);
            for (line, asked) in query.chunks_exact(width).zip(asked.chunks_exact_mut(query_stride)) {
                let line = &line[head * self.head_width..][..self.head_width];
                // Scores in units of 2, so that shares are powers of it.
                scaled(line, scale * std::f32::consts::LOG2_E, halves(asked));
            }
            sums.fill(0);
            let mut most = [f32::NEG_INFINITY; QUERIES];
            let mut total = [0f32; QUERIES];
            for from in (0..padded).step_by(KEYS) {
                let count = KEYS.min(padded - from);
                for panel in (0..count).step_by(COLUMNS) {
                    let right = &keys[(from + panel) * depth..][..COLUMNS * depth];
                    let next = &keys[(from + panel + COLUMNS) * depth..];
                    let start = self.start[from + panel..].first_chunk().expect("starts fill whole panels");
                    for tile in 0..tiles {
                        fetch(next, tile, tiles, COLUMNS * depth);
                        let left = &asked[tile * ROWS * query_stride..];
                        let scores = &mut scores[tile * ROWS * KEYS + panel..];
                        self.product.block((left, query_stride), right, depth, Start::Row(start), (scores, KEYS));
                    }
                }
                for row in 0..lines {
                    let scores = &scores[row * KEYS..][..count];
                    let shares = &mut halves(&mut shares[row * share_stride..][..share_stride])[..count];
                    let sums = &mut sums[row * channels..][..channels];
                    shared(scores, shares, &mut most[row], &mut total[row], sums);
                }
                let values = &values[from / 2 * channels..][..count / 2 * channels];
                for (panel, right) in values.chunks_exact(count / 2 * COLUMNS).enumerate() {
                    let next = &values[((panel + 1) * count / 2 * COLUMNS).min(values.len())..];
                    for tile in 0..tiles {
                        fetch(next, tile, tiles, right.len());
                        let left = &shares[tile * ROWS * share_stride..];
                        let sums = &mut sums[tile * ROWS * channels + panel * COLUMNS..];
                        self.product.block((left, share_stride), right, count / 2, Start::Sums, (sums, channels));
                    }
                }
            }
            for ((out, sums), total) in out.chunks_exact_mut(width).zip(sums.chunks_exact(channels)).zip(total) {
                divided(sums, total, &mut out[head * self.head_width..][..self.head_width]);
            }
        });
    }
}

thread_local! {
    static WORK: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

vectorized! {
    /// Words of two lines, the first in the low halves; zeros for what is not there.
    pub(crate) fn interleave(first: &[f32], second: &[f32], out: &mut [u32]) {
        if first.len() == out.len() && second.len() == out.len() {
            for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
                *out = u32::from(to_bf16(*first)) | u32::from(to_bf16(*second)) << 16;
            }
        } else {
            let at = |line: &[f32], index: usize| u32::from(line.get(index).map_or(0, |value| to_bf16(*value)));
            for (index, out) in out.iter_mut().enumerate() {
                *out = at(first, index) | at(second, index) << 16;
            }
        }
    }
}

vectorized! {
    fn scaled(values: &[f32], scale: f32, out: &mut [u16]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = to_bf16(*value * scale);
        }
    }
}

vectorized! {
    /// Turns scores into shares of the largest one so far, and scales what was summed before.
    fn shared(scores: &[u32], shares: &mut [u16], most: &mut f32, total: &mut f32, sums: &mut [u32]) {
        let (scores, _) = scores.as_chunks::<COLUMNS>();
        let (shares, _) = shares.as_chunks_mut::<COLUMNS>();
        let mut lanes = [f32::NEG_INFINITY; COLUMNS];
        for block in scores {
            for lane in 0..COLUMNS {
                let score = f32::from_bits(block[lane]);
                lanes[lane] = if lanes[lane] > score { lanes[lane] } else { score };
            }
        }
        let largest = folded(lanes, |a, b| if a > b { a } else { b });
        let largest = if largest > *most { largest } else { *most };
        let mut added = [0f32; COLUMNS];
        for (block, shares) in scores.iter().zip(shares) {
            for lane in 0..COLUMNS {
                let share = coarse_exp2(f32::from_bits(block[lane]) - largest);
                let rounded = share.to_bits().wrapping_add(0x8000);
                shares[lane] = (rounded >> 16) as u16;
                // What is divided by is what was multiplied with.
                added[lane] += f32::from_bits(rounded & 0xffff_0000);
            }
        }
        let factor = if largest > *most { coarse_exp2(*most - largest) } else { 1.0 };
        *total = *total * factor + folded(added, |a, b| a + b);
        if factor != 1.0 {
            for sum in sums {
                *sum = (f32::from_bits(*sum) * factor).to_bits();
            }
        }
        *most = largest;
    }
}

/// All lanes brought together, halves at a time.
#[inline(always)]
fn folded(mut lanes: [f32; COLUMNS], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = COLUMNS / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = join(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

vectorized! {
    fn divided(sums: &[u32], total: f32, out: &mut [f32]) {
        let inverse = 1.0 / total;
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = f32::from_bits(*sum) * inverse;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::Path;
    use crate::online::{OnlineAttention, attend};
    use crate::testing::{random, relative_error};

    fn check([heads, head_width, queries, keys]: [usize; 4], biased: bool, scale: f32, seed: u64, most: f32) {
        let width = heads * head_width;
        let values = |count: usize, part: u64| random(count * width, seed + part);
        let (query, key, value) = (values(queries, 1), values(keys, 2), values(keys, 3));
        let bias: Vec<f32> = random(keys, seed + 4).iter().map(|value| 3.0 * value).collect();
        let bias = biased.then_some(&bias[..]);
        let exact = |value: &[f32]| {
            let mut out = vec![0.0; query.len()];
            let (query, key, path) = (&query[..], &key[..], Path::Vectors);
            attend(&OnlineAttention { heads, head_width, query, key, value, bias, scale, path }, &mut out);
            out
        };
        let expected = exact(&value);
        // Means of many values nearly vanish: the error is one of what was added up.
        let sizes = exact(&value.iter().map(|value| value.abs()).collect::<Vec<_>>());
        for unit in Unit::available(Format::Bf16).into_iter().filter(|unit| *unit != Unit::Tiles) {
            let known = Keys::on(unit, heads, head_width, &key, &value, bias);
            assert_eq!(known.count(), keys);
            let mut out = vec![f32::NAN; query.len()];
            known.attend(&query, scale, &mut out);
            let out: Vec<f32> = out.iter().zip(&expected).zip(&sizes).map(|((out, x), size)| out - x + size).collect();
            let error = relative_error(&out, &sizes);
            assert!(error < most, "{unit:?}: {queries} × {keys}, {heads} heads of {head_width}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_shape_is_what_32_bits_give(
            heads in 1usize..4,
            head_width in 1usize..70,
            queries in 1usize..230,
            keys in 1usize..1300,
            biased: bool,
            seed in 0u64..1 << 40,
        ) {
            let scale = (head_width as f32).powf(-0.5);
            check([heads, head_width, queries, keys], biased, scale, seed, 0.004);
        }
    }

    /// Sums before the largest score count for nothing, and scores are off by whole units of their last place.
    #[test]
    fn large_scores_are_as_exact_as_their_factors() {
        check([2, 64, 70, 900], true, 10.0, 1, 0.2);
        check([1, 128, 13, 512], false, 1.0, 2, 0.03);
    }

    #[test]
    fn a_key_that_is_hidden_has_no_share() {
        let (key, value) = (random(2 * 8, 1), random(2 * 8, 2));
        let mut out = vec![0.0; 8];
        Keys::new(1, 8, &key, &value, Some(&[0.0, f32::NEG_INFINITY])).attend(&random(8, 3), 1.0, &mut out);
        assert!(relative_error(&out, &value[..8]) < 0.003);
    }
}
