//! Scaled dot-product attention without its matrix of scores: keys come in blocks, and what was summed so far is scaled
//! when a larger score comes. Forward alone.
//!
//! Sources: Milakov & Gimelshein 2018 (arXiv:1805.02867); Dao et al. 2022 (arXiv:2205.14135).

use rayon::prelude::*;

use crate::exponential::exp;
use crate::matrix::{Matrix, Path, Right, Start, multiply_by};
use crate::vectorized::vectorized;

/// One call of [`attend`]. D is `heads · head_width`; heads lie side by side in a line.
#[derive(Clone, Copy, Debug)]
pub struct OnlineAttention<'a> {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub head_width: usize,
    /// `[Lq, D]`.
    pub query: &'a [f32],
    /// `[Lk, D]`.
    pub key: &'a [f32],
    /// `[Lk, D]`.
    pub value: &'a [f32],
    /// Added to the scores of a key, `[Lk]`.
    pub bias: Option<&'a [f32]>,
    /// What scores are multiplied by.
    pub scale: f32,
    /// How products are made.
    pub path: Path,
}

/// Queries that are worked on at one time, and keys.
const QUERIES: usize = 128;
const KEYS: usize = 512;

/// For every query and head the values, weighted by the shares of their keys: `out` is `[Lq, D]`.
///
/// Panics if shapes do not fit or there are no keys.
pub fn attend(call: &OnlineAttention<'_>, out: &mut [f32]) {
    let &OnlineAttention { heads, head_width, query, key, value, bias, path, .. } = call;
    let width = heads * head_width;
    assert!(width > 0 && query.len().is_multiple_of(width) && key.len().is_multiple_of(width), "whole lines");
    let keys = key.len() / width;
    assert!(keys > 0 && value.len() == key.len() && out.len() == query.len(), "as many lines as belong together");
    assert!(bias.is_none_or(|bias| bias.len() == keys), "one value a key");
    // Both factors that are the same for all queries, in the order in which products read them.
    let block = |index: usize| {
        let (head, start) = (index / keys.div_ceil(KEYS), index % keys.div_ceil(KEYS) * KEYS);
        let count = KEYS.min(keys - start);
        let from = start * width + head * head_width;
        let matrix = |values| Matrix::new(values, count, head_width, width);
        (Right::on(path, matrix(&key[from..]).transposed()), Right::on(path, matrix(&value[from..])))
    };
    let blocks = keys.div_ceil(KEYS);
    let packed: Vec<_> = (0..heads * blocks).into_par_iter().map(block).collect();
    out.par_chunks_mut(QUERIES * width).zip(query.par_chunks(QUERIES * width)).for_each(|(out, query)| {
        let rows = query.len() / width;
        let mut work = Work::new(rows, head_width);
        for head in 0..heads {
            work.begin(query, width, head * head_width, call.scale);
            for (index, (key, value)) in packed[head * blocks..(head + 1) * blocks].iter().enumerate() {
                let start = index * KEYS;
                let count = KEYS.min(keys - start);
                let bias = bias.map_or(Start::Zero, |bias| Start::Row(&bias[start..start + count]));
                work.add(key, value, count, bias);
            }
            work.finish(out, width, head * head_width);
        }
    });
}

/// What is kept of one head for a block of queries.
struct Work {
    head_width: usize,
    query: Vec<f32>,
    scores: Vec<f32>,
    /// The largest score so far, and the sum of shares before they are divided by it.
    most: Vec<f32>,
    sum: Vec<f32>,
    weighted: Vec<f32>,
}

impl Work {
    fn new(rows: usize, head_width: usize) -> Self {
        Self {
            head_width,
            query: vec![0.0; rows * head_width],
            scores: vec![0.0; rows * KEYS],
            most: vec![0.0; rows],
            sum: vec![0.0; rows],
            weighted: vec![0.0; rows * head_width],
        }
    }

    fn begin(&mut self, query: &[f32], width: usize, from: usize, scale: f32) {
        for (row, line) in self.query.chunks_exact_mut(self.head_width).zip(query.chunks_exact(width)) {
            for (value, x) in row.iter_mut().zip(&line[from..]) {
                *value = x * scale;
            }
        }
        self.most.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.weighted.fill(0.0);
    }

    fn add(&mut self, key: &Right<'_>, value: &Right<'_>, count: usize, bias: Start<'_>) {
        let rows = self.most.len();
        let scores = &mut self.scores[..rows * count];
        multiply_by(Matrix::new(&self.query, rows, self.head_width, self.head_width), key, scores, count, bias);
        shares(scores, count, &mut self.most, &mut self.sum, &mut self.weighted, self.head_width);
        multiply_by(Matrix::new(scores, rows, count, count), value, &mut self.weighted, self.head_width, Start::Sums);
    }

    fn finish(&self, out: &mut [f32], width: usize, from: usize) {
        for ((line, row), sum) in
            out.chunks_exact_mut(width).zip(self.weighted.chunks_exact(self.head_width)).zip(&self.sum)
        {
            let inverse = 1.0 / sum;
            for (value, x) in line[from..].iter_mut().zip(row) {
                *value = x * inverse;
            }
        }
    }
}

vectorized! {
    /// Turns `width` scores of every row into shares of the largest one so far, and scales what was summed before.
    fn shares(scores: &mut [f32], width: usize, most: &mut [f32], sum: &mut [f32], weighted: &mut [f32], head_width: usize) {
        let rows = most.iter_mut().zip(sum).zip(weighted.chunks_exact_mut(head_width));
        for (scores, ((most, sum), weighted)) in scores.chunks_exact_mut(width).zip(rows) {
            let mut lanes = [f32::NEG_INFINITY; 16];
            let (blocks, rest) = scores.as_chunks::<16>();
            for block in blocks {
                for lane in 0..16 {
                    lanes[lane] = if block[lane] > lanes[lane] { block[lane] } else { lanes[lane] };
                }
            }
            let largest = lanes.iter().chain(rest).fold(*most, |a, &b| if b > a { b } else { a });
            let mut sums = [0f32; 16];
            let (blocks, rest) = scores.as_chunks_mut::<16>();
            for block in blocks {
                for lane in 0..16 {
                    block[lane] = exp(block[lane] - largest);
                    sums[lane] += block[lane];
                }
            }
            let mut new = sums.iter().sum::<f32>();
            for score in rest {
                *score = exp(*score - largest);
                new += *score;
            }
            // At the first block nothing was summed: any finite factor will do.
            let factor = if *sum == 0.0 { 0.0 } else { exp(*most - largest) };
            *sum = *sum * factor + new;
            *most = largest;
            for value in weighted {
                *value *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::testing::{random, relative_error};

    /// By the definition, in 64 bits.
    fn plain(call: &OnlineAttention<'_>) -> Vec<f32> {
        let width = call.heads * call.head_width;
        let (queries, keys) = (call.query.len() / width, call.key.len() / width);
        let mut out = vec![0.0; call.query.len()];
        for head in 0..call.heads {
            let at = |token: usize| token * width + head * call.head_width;
            for query in 0..queries {
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let pairs = call.query[at(query)..].iter().zip(&call.key[at(key)..]).take(call.head_width);
                        let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        sum * f64::from(call.scale) + call.bias.map_or(0.0, |bias| f64::from(bias[key]))
                    })
                    .collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                let sum: f64 = shares.iter().sum();
                for channel in 0..call.head_width {
                    let weighted: f64 = shares
                        .iter()
                        .enumerate()
                        .map(|(key, share)| share * f64::from(call.value[at(key) + channel]))
                        .sum();
                    out[at(query) + channel] = (weighted / sum) as f32;
                }
            }
        }
        out
    }

    #[test]
    fn any_shape_is_what_the_definition_says() {
        let mut seeds = rand_pcg::Pcg64::seed_from_u64(11);
        for case in 0..60 {
            let (heads, head_width) = (seeds.random_range(1..4), seeds.random_range(1..70));
            let (queries, keys) = (seeds.random_range(1..300), seeds.random_range(1..1300));
            let width = heads * head_width;
            let values = |count: usize, seed: u64| random(count * width, case * 10 + seed);
            let (query, key, value) = (values(queries, 1), values(keys, 2), values(keys, 3));
            let bias: Vec<f32> = random(keys, case * 10 + 4).iter().map(|value| 3.0 * value).collect();
            // Also scores that are large, where sums before the largest one count for nothing.
            let scale = [0.2, 1.0, 30.0][case as usize % 3];
            for path in [Path::Vectors, Path::fastest()] {
                let call = OnlineAttention {
                    heads,
                    head_width,
                    query: &query,
                    key: &key,
                    value: &value,
                    bias: (case % 2 == 0).then_some(&bias[..]),
                    scale,
                    path,
                };
                let mut out = vec![f32::NAN; query.len()];
                attend(&call, &mut out);
                let error = relative_error(&out, &plain(&call));
                // Products of 16 bits move large scores by whole units.
                let most = if path == Path::Vectors { 2e-4 } else { 0.02 * scale.max(1.0) };
                assert!(error < most, "{queries} × {keys}, {heads} heads of {head_width}, {path:?}: {error}");
            }
        }
    }
}
