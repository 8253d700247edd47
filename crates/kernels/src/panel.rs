//! Rows times a panel of 32 columns, in 32 bits: the sums of a block stay in registers for the whole depth.
#![allow(clippy::needless_range_loop, reason = "rows, columns and lanes are counted, as in the formulas")]

/// Columns of a panel.
pub(crate) const WIDTH: usize = 32;

/// Vectors that a processor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Wide,
    /// AVX2 with fused multiplication and addition.
    #[cfg(target_arch = "x86_64")]
    Middle,
    /// Whatever the compiler makes of loops.
    Plain,
}

impl Vectors {
    /// All that this processor has, the widest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if crate::vectorized::has_avx512() {
                all.push(Self::Wide);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Middle);
            }
        }
        all.push(Self::Plain);
        all
    }
}

/// The left factor: a row is one line of `depth` values in each segment.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    /// Where the first row begins in each segment.
    pub(crate) segments: &'a [&'a [f32]],
    /// Values from row to row.
    pub(crate) stride: usize,
    /// Values of a row in a segment.
    pub(crate) depth: usize,
    pub(crate) rows: usize,
}

/// `out[r, c] = Σ_s Σ_k segments[s][r · stride + k] · panel[s][k][c]` for the first `columns` columns, 16 or 32; the
/// others are left alone or written with anything.
///
/// # Shapes
/// `panel`: `[segments, depth, 32]`; `out`: lines of 32 that start `out_stride` apart.
///
/// Panics if something is too short.
pub(crate) fn multiply(
    vectors: Vectors,
    left: Left<'_>,
    panel: &[f32],
    columns: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let Left { segments, stride, depth, rows } = left;
    if rows == 0 {
        return;
    }
    assert!(
        columns <= WIDTH && out_stride >= WIDTH && out.len() >= (rows - 1) * out_stride + WIDTH,
        "room for the sums"
    );
    assert_eq!(panel.len(), segments.len() * depth * WIDTH, "a line of the panel for every value of a row");
    let needed = (rows - 1) * stride + depth;
    assert!(segments.iter().all(|segment| segment.len() >= needed), "segments hold every row");
    let narrow = columns <= WIDTH / 2;
    match vectors {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "calls what this processor can run")]
        // SAFETY: the processor was asked, and the lengths are checked above.
        Vectors::Wide => unsafe { wide(left, panel, narrow, out, out_stride) },
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "calls what this processor can run")]
        // SAFETY: the processor was asked, and the lengths are checked above.
        Vectors::Middle => unsafe { middle(left, panel, narrow, out, out_stride) },
        Vectors::Plain => plain(left, panel, out, out_stride),
    }
}

fn plain(left: Left<'_>, panel: &[f32], out: &mut [f32], out_stride: usize) {
    let Left { segments, stride, depth, rows } = left;
    for row in 0..rows {
        let mut sums = [0f32; WIDTH];
        for (segment, lines) in segments.iter().zip(panel.chunks_exact((depth * WIDTH).max(1))) {
            let values = &segment[row * stride..row * stride + depth];
            for (value, line) in values.iter().zip(lines.as_chunks::<WIDTH>().0) {
                for (sum, factor) in sums.iter_mut().zip(line) {
                    *sum += value * factor;
                }
            }
        }
        out[row * out_stride..][..WIDTH].copy_from_slice(&sums);
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! blocks {
    ($name:ident, $block:ident, $features:literal, $vector:ty, $lanes:literal, $zero:ident, $splat:ident, $load:ident,
        $fused:ident, $store:ident, [$($heights:literal),*], $at_once:literal) => {
        /// `R` rows by `V` vectors of columns.
        #[target_feature(enable = $features)]
        #[expect(unsafe_code, reason = "reads by pointer what the caller measured")]
        unsafe fn $block<const R: usize, const V: usize>(
            left: Left<'_>,
            row: usize,
            panel: *const f32,
            out: *mut f32,
            out_stride: usize,
        ) {
            use std::arch::x86_64::*;
            let mut sums: [[$vector; V]; R] = [[$zero(); V]; R];
            let mut lines = panel;
            for segment in left.segments {
                // SAFETY: `multiply` checked that every row of every segment, every line of the panel and of the result is
                // within its slice.
                unsafe {
                    let values = segment.as_ptr().add(row * left.stride);
                    for k in 0..left.depth {
                        let mut factors: [$vector; V] = [$zero(); V];
                        for v in 0..V {
                            factors[v] = $load(lines.add(v * $lanes));
                        }
                        for r in 0..R {
                            let value = $splat(*values.add(r * left.stride + k));
                            for v in 0..V {
                                sums[r][v] = $fused(value, factors[v], sums[r][v]);
                            }
                        }
                        // Behind the last line of the right half it may lie outside the panel.
                        lines = lines.wrapping_add(WIDTH);
                    }
                }
            }
            for r in 0..R {
                for v in 0..V {
                    // SAFETY: as above.
                    unsafe { $store(out.add(r * out_stride + v * $lanes), sums[r][v]) };
                }
            }
        }

        /// All rows, in blocks as high as still fit.
        #[target_feature(enable = $features)]
        #[expect(unsafe_code, reason = "hands pointers on")]
        unsafe fn $name(left: Left<'_>, panel: &[f32], narrow: bool, out: &mut [f32], out_stride: usize) {
            let mut row = 0;
            $(
                while left.rows - row >= $heights {
                    // SAFETY: the rows from `row` on are within what `multiply` measured, and so are the columns.
                    unsafe {
                        let to = out.as_mut_ptr().add(row * out_stride);
                        let columns = if narrow { WIDTH / 2 } else { WIDTH };
                        if columns < $lanes * $at_once {
                            $block::<$heights, { $at_once / 2 }>(left, row, panel.as_ptr(), to, out_stride);
                        } else {
                            for from in (0..columns).step_by($lanes * $at_once) {
                                $block::<$heights, $at_once>(left, row, panel.as_ptr().add(from), to.add(from), out_stride);
                            }
                        }
                    }
                    row += $heights;
                }
            )*
        }
    };
}

#[cfg(target_arch = "x86_64")]
blocks!(
    wide,
    wide_block,
    "avx512f",
    __m512,
    16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps,
    [12, 8, 4, 2, 1],
    2
);

#[cfg(target_arch = "x86_64")]
blocks!(
    middle,
    middle_block,
    "avx2,fma",
    __m256,
    8,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_fmadd_ps,
    _mm256_storeu_ps,
    [6, 4, 2, 1],
    2
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, relative_error};

    #[test]
    fn every_processor_path_is_the_plain_sum() {
        for (rows, depth, columns) in [(1, 1, 32), (13, 7, 32), (29, 40, 16), (12, 33, 32), (5, 0, 32)] {
            let (stride, out_stride) = (depth + 3, 40);
            let values = [random(rows * stride + 1, 1), random(rows * stride + 1, 2)];
            let segments = values.each_ref().map(|values| &values[1..]);
            let panel = random(2 * depth * WIDTH, 3);
            let left = Left { segments: &segments, stride, depth, rows };
            for vectors in Vectors::all() {
                let mut out = vec![f32::NAN; rows * out_stride];
                multiply(vectors, left, &panel, columns, &mut out, out_stride);
                for row in 0..rows {
                    let expected: Vec<f32> = (0..columns)
                        .map(|column| {
                            let sum = (0..2 * depth).map(|k| {
                                let value = segments[k / depth][row * stride + k % depth];
                                f64::from(value) * f64::from(panel[k * WIDTH + column])
                            });
                            sum.sum::<f64>() as f32
                        })
                        .collect();
                    let error = relative_error(&out[row * out_stride..][..columns], &expected);
                    assert!(error < 1e-5, "{vectors:?}, {rows} × {depth} × {columns}, row {row}: {error}");
                }
            }
        }
    }
}
