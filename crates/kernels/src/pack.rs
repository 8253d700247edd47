//! Panels of bfloat16 in the order in which the tile unit reads them: 32 lines of a factor, block after block of 32 in
//! depth.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![expect(unsafe_code, reason = "conversions and exchanges of whole registers")]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_permutexvar_epi16,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use crate::amx;
use crate::matrix::Matrix;

/// Side of a block, in rows, columns or depth.
pub(crate) const SIDE: usize = 32;

/// Values of a panel of depth `depth`: 32 × depth, the depth filled up to whole blocks.
pub(crate) fn panel_len(depth: usize) -> usize {
    SIDE * depth.next_multiple_of(SIDE)
}

/// Writes the rows `row..row + 32` of the left factor: for each block of 32 in depth, 32 rows of 32 values. What is
/// beyond the matrix is zero.
///
/// Panics where [`amx::available`] is false, or if the panel is shorter than [`panel_len`].
pub(crate) fn pack_left(a: Matrix<'_>, row: usize, panel: &mut [u16]) {
    assert!(amx::available() && panel.len() >= panel_len(a.columns));
    // SAFETY: the processor has the features, they were asked for.
    unsafe {
        if a.column_stride == 1 {
            straight_rows(
                Lines { values: a.values, count: a.rows, stride: a.row_stride, width: a.columns },
                row,
                panel,
            );
        } else {
            let lines = Lines { values: a.values, count: a.columns, stride: a.column_stride, width: a.rows };
            sideways_rows(lines, row, panel);
        }
    }
}

/// Writes the columns `column..column + 32` of the right factor: for each block of 32 in depth two tiles, each 16 pairs
/// in depth of 16 columns. What is beyond the matrix is zero.
///
/// Panics where [`amx::available`] is false, or if the panel is shorter than [`panel_len`].
pub(crate) fn pack_right(b: Matrix<'_>, column: usize, panel: &mut [u16]) {
    assert!(amx::available() && panel.len() >= panel_len(b.rows));
    // SAFETY: the processor has the features, they were asked for.
    unsafe {
        if b.column_stride == 1 {
            let lines = Lines { values: b.values, count: b.rows, stride: b.row_stride, width: b.columns };
            straight_columns(lines, column, panel);
        } else {
            let lines = Lines { values: b.values, count: b.columns, stride: b.column_stride, width: b.rows };
            sideways_columns(lines, column, panel);
        }
    }
}

/// Lines of a matrix that lie one after the other in memory.
#[derive(Clone, Copy)]
struct Lines<'a> {
    values: &'a [f32],
    count: usize,
    stride: usize,
    width: usize,
}

impl Lines<'_> {
    /// 32 values of line `index` from `from` on, zeros beyond the matrix.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn read(&self, index: usize, from: usize) -> [__m512; 2] {
        let mut filled = [0f32; SIDE];
        let values: &[f32; SIDE] = if index >= self.count || from >= self.width {
            &filled
        } else {
            let line = &self.values[index * self.stride + from..index * self.stride + self.width];
            match line.first_chunk::<SIDE>() {
                Some(whole) => whole,
                None => {
                    filled[..line.len()].copy_from_slice(line);
                    &filled
                }
            }
        };
        // SAFETY: 32 values, 16 in each half.
        unsafe { [_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(16))] }
    }
}

/// Both halves rounded to bfloat16, nearest, ties to even: the first in the low half.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded([first, second]: [__m512; 2]) -> __m512i {
    let both: __m512bh = _mm512_cvtne2ps_pbh(second, first);
    // SAFETY: two names for 64 bytes.
    unsafe { std::mem::transmute(both) }
}

/// Sixteen pairs: the value of the first line and, behind it, that of the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pairs(first: __m512, second: __m512) -> __m512i {
    static ALTERNATE: [u16; SIDE] = {
        let mut order = [0; SIDE];
        let mut at = 0;
        while at < SIDE {
            order[at] = (at / 2 + at % 2 * 16) as u16;
            at += 1;
        }
        order
    };
    // SAFETY: 64 bytes.
    let order = unsafe { _mm512_loadu_si512(ALTERNATE.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, rounded([first, second]))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(value: __m512i, out: &mut [u16]) {
    assert!(out.len() >= SIDE);
    // SAFETY: 64 bytes, as asserted.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), value) };
}

/// Exchanges rows and columns of 16 × 16 values of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn exchange(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut twos = rows;
    for i in 0..8 {
        twos[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        twos[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Now quarter q of `fours[4i + j]` holds rows 4i…4i+3 of column 4q + j.
    let mut fours = rows;
    for i in 0..4 {
        fours[4 * i] = _mm512_unpacklo_epi64(twos[4 * i], twos[4 * i + 2]);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(twos[4 * i], twos[4 * i + 2]);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(twos[4 * i + 1], twos[4 * i + 3]);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(twos[4 * i + 1], twos[4 * i + 3]);
    }
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    let mut columns = rows;
    for j in 0..4 {
        let even = [
            _mm512_shuffle_i32x4::<EVEN>(fours[j], fours[4 + j]),
            _mm512_shuffle_i32x4::<EVEN>(fours[8 + j], fours[12 + j]),
        ];
        let odd = [
            _mm512_shuffle_i32x4::<ODD>(fours[j], fours[4 + j]),
            _mm512_shuffle_i32x4::<ODD>(fours[8 + j], fours[12 + j]),
        ];
        columns[j] = _mm512_shuffle_i32x4::<EVEN>(even[0], even[1]);
        columns[4 + j] = _mm512_shuffle_i32x4::<EVEN>(odd[0], odd[1]);
        columns[8 + j] = _mm512_shuffle_i32x4::<ODD>(even[0], even[1]);
        columns[12 + j] = _mm512_shuffle_i32x4::<ODD>(odd[0], odd[1]);
    }
    columns
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn straight_rows(lines: Lines<'_>, row: usize, panel: &mut [u16]) {
    for (block, out) in panel.chunks_exact_mut(SIDE * SIDE).enumerate() {
        for (r, out) in out.chunks_exact_mut(SIDE).enumerate() {
            store(rounded(lines.read(row + r, block * SIDE)), out);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn sideways_rows(lines: Lines<'_>, row: usize, panel: &mut [u16]) {
    for (block, out) in panel.chunks_exact_mut(SIDE * SIDE).enumerate() {
        let [mut left, mut right] = [[_mm512_setzero_si512(); 16]; 2];
        for (depth, (left, right)) in left.iter_mut().zip(&mut right).enumerate() {
            let first = lines.read(block * SIDE + 2 * depth, row);
            let second = lines.read(block * SIDE + 2 * depth + 1, row);
            *left = pairs(first[0], second[0]);
            *right = pairs(first[1], second[1]);
        }
        for (half, out) in [left, right].into_iter().zip(out.chunks_exact_mut(16 * SIDE)) {
            for (value, out) in exchange(half).into_iter().zip(out.chunks_exact_mut(SIDE)) {
                store(value, out);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn straight_columns(lines: Lines<'_>, column: usize, panel: &mut [u16]) {
    for (block, out) in panel.chunks_exact_mut(SIDE * SIDE).enumerate() {
        let (left, right) = out.split_at_mut(16 * SIDE);
        for depth in 0..16 {
            let first = lines.read(block * SIDE + 2 * depth, column);
            let second = lines.read(block * SIDE + 2 * depth + 1, column);
            store(pairs(first[0], second[0]), &mut left[depth * SIDE..]);
            store(pairs(first[1], second[1]), &mut right[depth * SIDE..]);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn sideways_columns(lines: Lines<'_>, column: usize, panel: &mut [u16]) {
    for (block, out) in panel.chunks_exact_mut(SIDE * SIDE).enumerate() {
        for (half, out) in out.chunks_exact_mut(16 * SIDE).enumerate() {
            let mut columns = [_mm512_setzero_si512(); 16];
            for (c, value) in columns.iter_mut().enumerate() {
                *value = rounded(lines.read(column + half * 16 + c, block * SIDE));
            }
            for (value, out) in exchange(columns).into_iter().zip(out.chunks_exact_mut(SIDE)) {
                store(value, out);
            }
        }
    }
}
