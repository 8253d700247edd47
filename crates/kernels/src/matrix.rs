//! The product of two matrices, each of which may lie on its side.

use std::cell::RefCell;
use std::thread::LocalKey;

use rayon::prelude::*;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::{amx, pack};

/// A matrix in a slice of memory. One of its strides is 1.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` lines of `columns` values that start `stride` values apart.
    ///
    /// Panics if the slice is too short or lines overlap.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns, "lines of {columns} values cannot start {stride} apart");
        assert!(rows == 0 || values.len() >= (rows - 1) * stride + columns, "too short for {rows} × {columns}");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The same memory with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// What the sums of a product start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing: what was there is forgotten.
    Zero,
    /// The same row for every row of the result: a bias, one value a column.
    Row(&'a [f32]),
    /// What is there already.
    Sums,
}

/// How [`multiply`] computes on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Tiles of bfloat16 (AMX), sums in 32 bits.
    Tiles,
    /// 32-bit products by the `gemm` library, with whatever vectors the processor has.
    Vectors,
}

impl Path {
    /// The fastest path of this processor.
    pub fn fastest() -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx::available() {
            return Self::Tiles;
        }
        Self::Vectors
    }
}

/// The right factor of products, in the order in which the path reads it: made once, used by many.
pub struct Right<'a> {
    matrix: Matrix<'a>,
    /// Panels of 32 columns; empty on the path that needs none.
    panels: Vec<u16>,
}

impl<'a> Right<'a> {
    /// For the fastest path of this processor.
    pub fn new(matrix: Matrix<'a>) -> Self {
        Self::on(Path::fastest(), matrix)
    }

    /// For a path of the caller's choice.
    ///
    /// Panics if the processor lacks the path.
    pub fn on(path: Path, matrix: Matrix<'a>) -> Self {
        match path {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Path::Tiles if matrix.rows > 0 => {
                let panel = pack::panel_len(matrix.rows);
                let len = matrix.columns.div_ceil(pack::SIDE) * panel;
                let mut panels = PANELS.take();
                panels.resize(len, 0);
                for (index, panel) in panels.chunks_exact_mut(panel).enumerate() {
                    pack::pack_right(matrix, index * pack::SIDE, panel);
                }
                Self { matrix, panels }
            }
            _ => Self { matrix, panels: Vec::new() },
        }
    }

    /// The same without what it was made from.
    ///
    /// Panics on the path that reads that itself.
    pub(crate) fn owned(mut self) -> Right<'static> {
        assert!(!self.panels.is_empty(), "nothing but the matrix itself");
        Right { matrix: Matrix { values: &[], ..self.matrix }, panels: std::mem::take(&mut self.panels) }
    }
}

impl Drop for Right<'_> {
    fn drop(&mut self) {
        // The largest buffer is kept for the next product of this thread.
        let spare = PANELS.take();
        PANELS.set(if spare.capacity() > self.panels.capacity() { spare } else { std::mem::take(&mut self.panels) });
    }
}

thread_local! {
    static PANELS: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
    static LEFT: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
}

/// `out[i, j] = start + Σ a[i, k] · b[k, j]`, on the fastest path of this processor; on several threads when called in
/// a pool that has them and the product is large.
///
/// # Shapes
/// `a`: `[M, K]`; `b`: `[K, N]`; `out`: M lines of N values that start `stride` values apart.
///
/// Panics if shapes do not fit.
pub fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], stride: usize, start: Start<'_>) {
    multiply_by(a, &Right::new(b), out, stride, start);
}

/// [`multiply`] by a factor that is used more than once.
///
/// Panics if shapes do not fit.
pub fn multiply_by(a: Matrix<'_>, b: &Right<'_>, out: &mut [f32], stride: usize, start: Start<'_>) {
    let (rows, columns) = (a.rows, b.matrix.columns);
    assert_eq!(a.columns, b.matrix.rows, "the inner sides of a product are one");
    assert!(stride >= columns, "lines of the result overlap");
    assert!(rows == 0 || out.len() >= (rows - 1) * stride + columns, "the result has no room");
    if let Start::Row(row) = start {
        assert_eq!(row.len(), columns, "one value a column");
    }
    if rows == 0 || columns == 0 {
        return;
    }
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if !b.panels.is_empty() {
        return tiles(a, b, out, stride, start);
    }
    vectors(a, b.matrix, out, stride, start);
}

fn vectors(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], stride: usize, start: Start<'_>) {
    if let Start::Row(row) = start {
        for line in out.chunks_mut(stride).take(a.rows) {
            line[..row.len()].copy_from_slice(row);
        }
    }
    let parallelism = if split_over(a, b) > 1 { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    #[expect(unsafe_code, reason = "the library takes pointers")]
    // SAFETY: the constructors and the caller's assertions keep every index within its slice.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            stride as isize,
            !matches!(start, Start::Zero),
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Threads that a product is worth: below some million products, waking another costs more than it saves.
fn split_over(a: Matrix<'_>, b: Matrix<'_>) -> usize {
    const WORTH_A_THREAD: usize = 1 << 23;
    (a.rows * a.columns * b.columns / WORTH_A_THREAD).clamp(1, rayon::current_num_threads())
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles(a: Matrix<'_>, b: &Right<'_>, out: &mut [f32], stride: usize, start: Start<'_>) {
    use pack::SIDE;

    let panel = pack::panel_len(a.columns);
    let threads = split_over(a, b.matrix);
    // A block of whole panels of the left factor a task.
    let rows_a_task = a.rows.div_ceil(threads).next_multiple_of(SIDE);
    let task = |(index, out): (usize, &mut [f32])| {
        with_room(&LEFT, panel, |left| {
            let tiles = amx::Tiles::take();
            let first = index * rows_a_task;
            let last = (first + rows_a_task).min(a.rows);
            for row in (first..last).step_by(SIDE) {
                pack::pack_left(a, row, left);
                let height = (last - row).min(SIDE);
                for (index, right) in b.panels.chunks_exact(panel).enumerate() {
                    let column = index * SIDE;
                    let width = (b.matrix.columns - column).min(SIDE);
                    let from = (row - first) * stride + column;
                    block(&tiles, left, right, &mut out[from..], stride, [height, width], column, start);
                }
            }
        });
    };
    if threads == 1 {
        task((0, out));
    } else {
        out.par_chunks_mut(rows_a_task * stride).take(a.rows.div_ceil(rows_a_task)).enumerate().for_each(task);
    }
}

/// One block of at most 32 × 32 sums, through a block of its own where the result is smaller.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(clippy::too_many_arguments, reason = "one step of one loop, named to be read")]
fn block(
    tiles: &amx::Tiles,
    left: &[u16],
    right: &[u16],
    out: &mut [f32],
    stride: usize,
    [height, width]: [usize; 2],
    column: usize,
    start: Start<'_>,
) {
    use amx::BLOCK;

    if [height, width] == [BLOCK, BLOCK] {
        let start = match start {
            Start::Zero => amx::Start::Zero,
            Start::Row(row) => amx::Start::Row(&row[column..column + BLOCK]),
            Start::Sums => amx::Start::Sums,
        };
        tiles.multiply_block(left, right, out, stride, start);
        return;
    }
    let mut sums = [0f32; BLOCK * BLOCK];
    for r in 0..height {
        match start {
            Start::Zero => {}
            Start::Row(row) => sums[r * BLOCK..][..width].copy_from_slice(&row[column..column + width]),
            Start::Sums => sums[r * BLOCK..][..width].copy_from_slice(&out[r * stride..][..width]),
        }
    }
    tiles.multiply_block(left, right, &mut sums, BLOCK, amx::Start::Sums);
    for r in 0..height {
        out[r * stride..][..width].copy_from_slice(&sums[r * BLOCK..][..width]);
    }
}

/// Lends `len` values of this thread's buffer, which only grows and holds whatever it held.
///
/// The buffer is taken out meanwhile: a thread that waits for others may be given a piece of another product.
pub(crate) fn with_room<T: Copy + Default>(
    buffer: &'static LocalKey<RefCell<Vec<T>>>,
    len: usize,
    work: impl FnOnce(&mut [T]),
) {
    let mut values = buffer.take();
    if values.len() < len {
        values.resize(len, T::default());
    }
    work(&mut values[..len]);
    buffer.set(values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{random, relative_error};

    /// Sums in 64 bits, the definition.
    fn plain(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: Matrix<'_>, r: usize, c: usize| f64::from(m.values[r * m.row_stride + c * m.column_stride]);
        let mut out = Vec::new();
        for i in 0..a.rows {
            for j in 0..b.columns {
                out.push((0..a.columns).map(|k| at(a, i, k) * at(b, k, j)).sum::<f64>() as f32);
            }
        }
        out
    }

    fn check(path: Path, tolerance: f32) {
        for (case, [m, k, n]) in
            [[1, 1, 1], [32, 32, 32], [33, 31, 65], [7, 200, 3], [64, 96, 32], [100, 64, 100], [300, 256, 160]]
                .into_iter()
                .enumerate()
        {
            let seed = case as u64;
            let (a, b) = (random(m * (k + 3), seed), random(k * (n + 5), seed + 50));
            let (a_side, b_side) = (random(k * (m + 3), seed + 100), random(n * (k + 5), seed + 150));
            let lefts = [Matrix::new(&a, m, k, k + 3), Matrix::new(&a_side, k, m, m + 3).transposed()];
            let rights = [Matrix::new(&b, k, n, n + 5), Matrix::new(&b_side, n, k, k + 5).transposed()];
            for left in lefts {
                for right in rights {
                    let expected = plain(left, right);
                    let bias = random(n, seed + 200);
                    let before = random(m * (n + 2), seed + 250);
                    for start in [Start::Zero, Start::Row(&bias), Start::Sums] {
                        let mut out = before.clone();
                        multiply_by(left, &Right::on(path, right), &mut out, n + 2, start);
                        let expected: Vec<f32> = (0..m * n)
                            .map(|at| {
                                let (i, j) = (at / n, at % n);
                                expected[at]
                                    + match start {
                                        Start::Zero => 0.0,
                                        Start::Row(row) => row[j],
                                        Start::Sums => before[i * (n + 2) + j],
                                    }
                            })
                            .collect();
                        let lines: Vec<f32> = out.chunks(n + 2).flat_map(|line| line[..n].iter().copied()).collect();
                        let error = relative_error(&lines, &expected);
                        assert!(error < tolerance, "{m}×{k}×{n}, {start:?}: {error}");
                        let gaps = |values: &[f32]| -> Vec<f32> {
                            values.chunks(n + 2).flat_map(|line| line[n..].iter().copied()).collect()
                        };
                        assert_eq!(gaps(&out), gaps(&before), "between the lines nothing is written");
                    }
                }
            }
        }
    }

    #[test]
    fn vectors_multiply() {
        check(Path::Vectors, 1e-5);
    }

    /// Products of bfloat16 have eight bits of mantissa: 2⁻⁹ a factor, which averages out in the sum.
    #[test]
    fn tiles_multiply_where_there_are_any() {
        if Path::fastest() == Path::Tiles {
            check(Path::Tiles, 6e-3);
        }
    }

    #[test]
    fn several_threads_give_what_one_gives() {
        let (m, k, n) = (1000, 300, 200);
        let (a, b) = (random(m * k, 1), random(k * n, 2));
        let (left, right) = (Matrix::new(&a, m, k, k), Matrix::new(&b, k, n, n));
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; m * n];
            pool.install(|| multiply(left, right, &mut out, n, Start::Zero));
            out
        };
        assert_eq!(of(1), of(3));
    }
}
