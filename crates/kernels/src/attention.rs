//! Scaled dot-product attention of several heads, with what models put around it: norms of queries and keys, rotary
//! positions, hidden keys. One head of one clip at a time, so that its scores stay near the processor; the backward
//! pass computes them again rather than remember them.
//!
//! Sources: Vaswani et al. 2017 (arXiv:1706.03762); Su et al. 2021 (arXiv:2104.09864) for the rotation, which turns the
//! two halves of a head; Henry et al. 2020 (arXiv:2010.04245) for the norms.

use std::cell::RefCell;

use crate::exponential::exp;
use crate::matrix::{Matrix, Start, multiply, with_room};
use crate::norm::{dot, inverse_root_mean_square};
use crate::vectorized::vectorized;

/// One call of [`attention`]: shapes and inputs. D is `heads · head_width`.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Clips.
    pub batch: usize,
    /// Queries a clip.
    pub queries: usize,
    /// Keys a clip.
    pub keys: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head; even if there is a rotation.
    pub head_width: usize,
    /// Queries, keys and values.
    pub source: Source<'a>,
    /// Scales of the norms of queries and of keys, `[head_width]` each.
    pub norms: Option<[&'a [f32]; 2]>,
    /// Cosines and sines, `[queries, head_width / 2]` each, for queries and keys alike.
    pub rotation: Option<[&'a [f32]; 2]>,
    /// Added to the scores of a key, `[B, keys]`: 0, or a large negative number that hides it.
    pub mask: Option<&'a [f32]>,
}

/// Where queries, keys and values lie.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// One line a token, query, key and value side by side: `[B, L, 3·D]`.
    Joined(&'a [f32]),
    /// Queries `[B, Lq, D]`; keys and values side by side, `[B, Lk, 2·D]`.
    Apart {
        /// `[B, Lq, D]`.
        query: &'a [f32],
        /// `[B, Lk, 2·D]`.
        key_value: &'a [f32],
    },
}

/// Gradients of [`attention`]; those of the source are overwritten, those of the norms added to what is there.
#[derive(Debug)]
pub struct AttentionGradients<'a> {
    /// As the source.
    pub source: SourceGradients<'a>,
    /// As the norms; empty slices without them.
    pub norms: [&'a mut [f32]; 2],
}

/// The counterpart of [`Source`].
#[derive(Debug)]
pub enum SourceGradients<'a> {
    /// `[B, L, 3·D]`.
    Joined(&'a mut [f32]),
    /// Of queries, and of keys and values.
    Apart {
        /// `[B, Lq, D]`.
        query: &'a mut [f32],
        /// `[B, Lk, 2·D]`.
        key_value: &'a mut [f32],
    },
}

/// Which lines of a source hold something: the first value, and from line to line.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    stride: usize,
}

impl<'a> Attention<'a> {
    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    fn check(&self) {
        let (width, tokens) = (self.width(), self.batch * self.queries);
        match self.source {
            Source::Joined(values) => {
                assert_eq!(self.queries, self.keys, "joined tokens are queries and keys");
                assert_eq!(values.len(), tokens * 3 * width);
            }
            Source::Apart { query, key_value } => {
                assert_eq!(query.len(), tokens * width);
                assert_eq!(key_value.len(), self.batch * self.keys * 2 * width);
            }
        }
        assert!(self.norms.is_none_or(|norms| norms.iter().all(|gamma| gamma.len() == self.head_width)));
        let angles = self.queries * self.head_width / 2;
        assert!(self.rotation.is_none_or(|tables| tables.iter().all(|table| table.len() == angles)));
        assert!(self.rotation.is_none() || (self.queries == self.keys && self.head_width.is_multiple_of(2)));
        assert!(self.mask.is_none_or(|mask| mask.len() == self.batch * self.keys));
    }

    /// Memory and places of query, key and value of one head of one clip.
    fn places(&self, clip: usize, head: usize) -> ([&'a [f32]; 3], [Place; 3]) {
        let (width, at) = (self.width(), head * self.head_width);
        match self.source {
            Source::Joined(values) => {
                let (stride, start) = (3 * width, clip * self.queries * 3 * width);
                let place = |part: usize| Place { first: start + part * width + at, stride };
                ([values; 3], [place(0), place(1), place(2)])
            }
            Source::Apart { query, key_value } => {
                let stride = 2 * width;
                let start = clip * self.keys * stride + at;
                let query_place = Place { first: clip * self.queries * width + at, stride: width };
                let place = |part: usize| Place { first: start + part * width, stride };
                ([query, key_value, key_value], [query_place, place(0), place(1)])
            }
        }
    }

    fn tables(&self, token: usize) -> Option<[&'a [f32]; 2]> {
        let half = self.head_width / 2;
        self.rotation.map(|tables| tables.map(|table| &table[token * half..(token + 1) * half]))
    }

    /// Shares of the keys for every query, `[queries, keys]`.
    fn shares(&self, clip: usize, query: &[f32], key: &[f32], shares: &mut [f32]) {
        let (query, key) = (
            Matrix::new(query, self.queries, self.head_width, self.head_width),
            Matrix::new(key, self.keys, self.head_width, self.head_width),
        );
        let mask = self.mask.map(|mask| &mask[clip * self.keys..(clip + 1) * self.keys]);
        let start = mask.map_or(Start::Zero, Start::Row);
        multiply(query, key.transposed(), shares, self.keys, start);
        softmax(shares, self.keys);
    }

    fn factor(&self) -> f32 {
        (self.head_width as f32).powf(-0.5)
    }
}

vectorized! {
    /// Norm, rotation and scale of one head's queries (`part` 0) or keys (1): `[tokens, head_width]`.
    fn prepare(call: &Attention<'_>, part: usize, values: &[f32], place: Place, factor: f32, out: &mut [f32]) {
        let gamma = call.norms.map(|norms| norms[part]);
        let width = call.head_width;
        for (token, out) in out.chunks_exact_mut(width).enumerate() {
            let x = &values[place.first + token * place.stride..][..width];
            match gamma {
                Some(gamma) => {
                    let inverse = inverse_root_mean_square(x) * factor;
                    for ((out, &x), &gamma) in out.iter_mut().zip(x).zip(gamma) {
                        *out = x * inverse * gamma;
                    }
                }
                None => {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = x * factor;
                    }
                }
            }
            if let Some([cos, sin]) = call.tables(token) {
                let (a, b) = out.split_at_mut(width / 2);
                for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}

vectorized! {
    /// The inverse way: `gradient` is that of what [`prepare`] gave; it becomes that of `values`.
    fn prepare_backward(
        call: &Attention<'_>,
        part: usize,
        values: &[f32],
        place: Place,
        factor: f32,
        gradient: &mut [f32],
        gamma_gradient: &mut [f32],
    ) {
        let gamma = call.norms.map(|norms| norms[part]);
        let width = call.head_width;
        for (token, gradient) in gradient.chunks_exact_mut(width).enumerate() {
            let x = &values[place.first + token * place.stride..][..width];
            if let Some([cos, sin]) = call.tables(token) {
                let (a, b) = gradient.split_at_mut(width / 2);
                for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    (*a, *b) = (*a * cos + *b * sin, *b * cos - *a * sin);
                }
            }
            match gamma {
                Some(gamma) => {
                    let inverse = inverse_root_mean_square(x);
                    let both = inverse * factor;
                    for ((sum, gradient), &x) in gamma_gradient.iter_mut().zip(&*gradient).zip(x) {
                        *sum += gradient * x * both;
                    }
                    for (gradient, &gamma) in gradient.iter_mut().zip(gamma) {
                        *gradient *= gamma;
                    }
                    let along = dot(gradient, x) * inverse * inverse / width as f32;
                    for (gradient, &x) in gradient.iter_mut().zip(x) {
                        *gradient = both * (*gradient - x * along);
                    }
                }
                None => {
                    for gradient in gradient.iter_mut() {
                        *gradient *= factor;
                    }
                }
            }
        }
    }
}

thread_local! {
    static WORKSPACE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `softmax(q · kᵀ / √d) · v` of every head: `out` is `[B, Lq, D]`.
///
/// Panics if shapes do not fit.
pub fn attention(call: &Attention<'_>, out: &mut [f32]) {
    call.check();
    let (queries, keys, head_width, width) = (call.queries, call.keys, call.head_width, call.width());
    assert_eq!(out.len(), call.batch * queries * width);
    if out.is_empty() {
        return;
    }
    with_room(&WORKSPACE, (queries + keys) * head_width + queries * keys, |workspace| {
        let (query, rest) = workspace.split_at_mut(queries * head_width);
        let (key, shares) = rest.split_at_mut(keys * head_width);
        for clip in 0..call.batch {
            for head in 0..call.heads {
                let ([query_values, key_values, value_values], [query_place, key_place, value_place]) =
                    call.places(clip, head);
                prepare(call, 0, query_values, query_place, call.factor(), query);
                prepare(call, 1, key_values, key_place, 1.0, key);
                call.shares(clip, query, key, shares);
                let value = Matrix::new(&value_values[value_place.first..], keys, head_width, value_place.stride);
                let out = &mut out[clip * queries * width + head * head_width..];
                multiply(Matrix::new(shares, queries, keys, keys), value, out, width, Start::Zero);
            }
        }
    });
}

/// Gradients of everything that goes into [`attention`], from that of its output, `[B, Lq, D]`.
///
/// Panics if shapes do not fit.
pub fn attention_backward(call: &Attention<'_>, out_gradient: &[f32], mut gradients: AttentionGradients<'_>) {
    call.check();
    let (queries, keys, head_width, width) = (call.queries, call.keys, call.head_width, call.width());
    assert_eq!(out_gradient.len(), call.batch * queries * width);
    if out_gradient.is_empty() {
        return;
    }
    let sizes = [queries * head_width, keys * head_width, queries * keys];
    with_room(&WORKSPACE, 2 * sizes.iter().sum::<usize>() + sizes[1], |workspace| {
        let (query, rest) = workspace.split_at_mut(sizes[0]);
        let (key, rest) = rest.split_at_mut(sizes[1]);
        let (shares, rest) = rest.split_at_mut(sizes[2]);
        let (query_gradient, rest) = rest.split_at_mut(sizes[0]);
        let (key_gradient, rest) = rest.split_at_mut(sizes[1]);
        let (value_gradient, scores_gradient) = rest.split_at_mut(sizes[1]);
        let scores_gradient = &mut scores_gradient[..sizes[2]];
        for clip in 0..call.batch {
            for head in 0..call.heads {
                let ([query_values, key_values, value_values], places) = call.places(clip, head);
                let [query_place, key_place, value_place] = places;
                prepare(call, 0, query_values, query_place, call.factor(), query);
                prepare(call, 1, key_values, key_place, 1.0, key);
                call.shares(clip, query, key, shares);

                let out_gradient = &out_gradient[clip * queries * width + head * head_width..];
                let out_gradient = Matrix::new(out_gradient, queries, head_width, width);
                let value = Matrix::new(&value_values[value_place.first..], keys, head_width, value_place.stride);
                let all_shares = Matrix::new(shares, queries, keys, keys);
                multiply(all_shares.transposed(), out_gradient, value_gradient, head_width, Start::Zero);
                multiply(out_gradient, value.transposed(), scores_gradient, keys, Start::Zero);
                softmax_backward(shares, scores_gradient, keys);
                let by_scores = Matrix::new(scores_gradient, queries, keys, keys);
                let (queries_of_head, keys_of_head) = (
                    Matrix::new(query, queries, head_width, head_width),
                    Matrix::new(key, keys, head_width, head_width),
                );
                multiply(by_scores, keys_of_head, query_gradient, head_width, Start::Zero);
                multiply(by_scores.transposed(), queries_of_head, key_gradient, head_width, Start::Zero);

                let [query_gamma, key_gamma] = &mut gradients.norms;
                prepare_backward(call, 0, query_values, query_place, call.factor(), query_gradient, query_gamma);
                prepare_backward(call, 1, key_values, key_place, 1.0, key_gradient, key_gamma);
                let parts = [&*query_gradient, &*key_gradient, &*value_gradient];
                for (part, (values, place)) in parts.into_iter().zip(places).enumerate() {
                    let target = match &mut gradients.source {
                        SourceGradients::Joined(target) => target,
                        SourceGradients::Apart { query, .. } if part == 0 => query,
                        SourceGradients::Apart { key_value, .. } => key_value,
                    };
                    for (token, values) in values.chunks_exact(head_width).enumerate() {
                        target[place.first + token * place.stride..][..head_width].copy_from_slice(values);
                    }
                }
            }
        }
    });
}

vectorized! {
    /// Makes shares of every row of `width` scores.
    fn softmax(scores: &mut [f32], width: usize) {
        for scores in scores.chunks_exact_mut(width) {
            let mut most = [f32::NEG_INFINITY; 16];
            let (blocks, rest) = scores.as_chunks::<16>();
            for block in blocks {
                for lane in 0..16 {
                    most[lane] = if block[lane] > most[lane] { block[lane] } else { most[lane] };
                }
            }
            let most = most.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let mut sums = [0f32; 16];
            let (blocks, rest) = scores.as_chunks_mut::<16>();
            for block in blocks {
                for lane in 0..16 {
                    block[lane] = exp(block[lane] - most);
                    sums[lane] += block[lane];
                }
            }
            let mut sum = sums.iter().sum::<f32>();
            for score in rest {
                *score = exp(*score - most);
                sum += *score;
            }
            let inverse = 1.0 / sum;
            for score in scores {
                *score *= inverse;
            }
        }
    }
}

vectorized! {
    /// `gradient`, that of the shares, becomes that of the scores.
    fn softmax_backward(shares: &[f32], gradient: &mut [f32], width: usize) {
        for (gradient, shares) in gradient.chunks_exact_mut(width).zip(shares.chunks_exact(width)) {
            let along = dot(gradient, shares);
            for (gradient, &share) in gradient.iter_mut().zip(shares) {
                *gradient = share * (*gradient - along);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Path;
    use crate::testing::{numeric_gradient, random, relative_error};

    /// What bfloat16 allows, where products are made of it.
    fn tolerance() -> f32 {
        if Path::fastest() == Path::Tiles { 2e-2 } else { 2e-3 }
    }

    struct Case {
        batch: usize,
        queries: usize,
        keys: usize,
        joined: bool,
        gammas: [Vec<f32>; 2],
        tables: [Vec<f32>; 2],
        mask: Vec<f32>,
        query: Vec<f32>,
        key_value: Vec<f32>,
    }

    const HEADS: usize = 2;
    const HEAD_WIDTH: usize = 8;

    impl Case {
        fn new(joined: bool) -> Self {
            let (batch, queries, keys) = if joined { (2, 5, 5) } else { (2, 4, 7) };
            let width = HEADS * HEAD_WIDTH;
            let angles = random(queries * HEAD_WIDTH / 2, 5);
            let mut mask = vec![0.0; batch * keys];
            mask[keys - 2..keys].fill(-1e9);
            Self {
                batch,
                queries,
                keys,
                joined,
                gammas: [random(HEAD_WIDTH, 3), random(HEAD_WIDTH, 4)],
                tables: [angles.iter().map(|a| a.cos()).collect(), angles.iter().map(|a| a.sin()).collect()],
                mask,
                query: random(batch * queries * if joined { 3 * width } else { width }, 1),
                key_value: random(batch * keys * 2 * width, 2),
            }
        }

        fn call(&self) -> Attention<'_> {
            Attention {
                batch: self.batch,
                queries: self.queries,
                keys: self.keys,
                heads: HEADS,
                head_width: HEAD_WIDTH,
                source: if self.joined {
                    Source::Joined(&self.query)
                } else {
                    Source::Apart { query: &self.query, key_value: &self.key_value }
                },
                norms: Some([&self.gammas[0], &self.gammas[1]]),
                rotation: self.joined.then_some([&self.tables[0], &self.tables[1]]),
                mask: Some(&self.mask),
            }
        }

        fn out_len(&self) -> usize {
            self.batch * self.queries * HEADS * HEAD_WIDTH
        }
    }

    /// The definition, in 64 bits.
    fn plain(call: &Attention<'_>) -> Vec<f32> {
        let (hw, width) = (call.head_width, call.width());
        let mut out = vec![0.0; call.batch * call.queries * width];
        for clip in 0..call.batch {
            for head in 0..call.heads {
                let (values, places) = call.places(clip, head);
                let row = |part: usize, token: usize| -> Vec<f64> {
                    let place = places[part];
                    let x: Vec<f64> = values[part][place.first + token * place.stride..][..hw]
                        .iter()
                        .map(|&v| f64::from(v))
                        .collect();
                    let Some(norms) = call.norms.filter(|_| part < 2) else { return x };
                    let rms = (x.iter().map(|v| v * v).sum::<f64>() / hw as f64 + 1e-6).sqrt();
                    let x: Vec<f64> = x.iter().zip(norms[part]).map(|(v, &g)| v / rms * f64::from(g)).collect();
                    let Some([cos, sin]) = call.tables(token) else { return x };
                    let turned = |i: usize| {
                        let (a, b) = (x[i % (hw / 2)], x[i % (hw / 2) + hw / 2]);
                        let (c, s) = (f64::from(cos[i % (hw / 2)]), f64::from(sin[i % (hw / 2)]));
                        if i < hw / 2 { a * c - b * s } else { a * s + b * c }
                    };
                    (0..hw).map(turned).collect()
                };
                for q in 0..call.queries {
                    let query = row(0, q);
                    let weights: Vec<f64> = (0..call.keys)
                        .map(|k| {
                            let score = query.iter().zip(row(1, k)).map(|(a, b)| a * b).sum::<f64>();
                            let hidden = call.mask.map_or(0.0, |mask| f64::from(mask[clip * call.keys + k]));
                            (score / (hw as f64).sqrt() + hidden).exp()
                        })
                        .collect();
                    let sum: f64 = weights.iter().sum();
                    for c in 0..hw {
                        let value = (0..call.keys).map(|k| weights[k] / sum * row(2, k)[c]).sum::<f64>();
                        out[(clip * call.queries + q) * width + head * hw + c] = value as f32;
                    }
                }
            }
        }
        out
    }

    #[test]
    fn attention_is_its_definition() {
        for joined in [true, false] {
            let case = Case::new(joined);
            let mut out = vec![0.0; case.out_len()];
            attention(&case.call(), &mut out);
            let error = relative_error(&out, &plain(&case.call()));
            assert!(error < tolerance(), "joined {joined}: {error}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_definition() {
        for joined in [true, false] {
            let case = Case::new(joined);
            let weights = random(case.out_len(), 9);
            let (mut query, mut key_value) = (vec![0.0; case.query.len()], vec![0.0; case.key_value.len()]);
            let (mut query_gamma, mut key_gamma) = (vec![0.0; HEAD_WIDTH], vec![0.0; HEAD_WIDTH]);
            let source = if joined {
                SourceGradients::Joined(&mut query)
            } else {
                SourceGradients::Apart { query: &mut query, key_value: &mut key_value }
            };
            let gradients = AttentionGradients { source, norms: [&mut query_gamma, &mut key_gamma] };
            attention_backward(&case.call(), &weights, gradients);

            let close = |what: &str, gradient: &[f32], expected: Vec<f32>| {
                let error = relative_error(gradient, &expected);
                assert!(error < 2.0 * tolerance(), "joined {joined}, {what}: {error}");
            };
            let with = |change: &dyn Fn(&mut Case)| {
                let mut other = Case::new(joined);
                change(&mut other);
                plain(&other.call())
            };
            close("query", &query, numeric_gradient(&case.query, &weights, |x| with(&|c| c.query = x.to_vec())));
            if !joined {
                let expected = numeric_gradient(&case.key_value, &weights, |x| with(&|c| c.key_value = x.to_vec()));
                close("key and value", &key_value, expected);
            }
            for (part, gradient) in [query_gamma, key_gamma].iter().enumerate() {
                let expected =
                    numeric_gradient(&case.gammas[part], &weights, |x| with(&|c| c.gammas[part] = x.to_vec()));
                close("gamma", gradient, expected);
            }
        }
    }
}
