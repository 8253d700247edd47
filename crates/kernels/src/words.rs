//! Products of narrow numbers: rows of words times panels of words, with sums of 32 bits.
//!
//! A word is what one 32-bit lane multiplies at a time: two bfloat16 numbers or four bytes that follow each other in depth,
//! the first in the low bits. The left factor has its rows one after the other. The right factor has panels of 32 columns:
//! for each word of depth 32 words, one a column. All processors read the same order.

use std::sync::OnceLock;

/// Rows of the block of sums that is computed at a time, and its columns.
pub(crate) const ROWS: usize = 12;
pub(crate) const COLUMNS: usize = 32;
/// Words of a cache line.
const LINE: usize = 16;

const _: () = assert!(cfg!(target_endian = "little"), "the first number of a word is in its low bits");

/// What factors are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 16 bits, 8 of them exponent: 2⁻⁸ of a number at most is lost.
    Bf16,
    /// Whole numbers in −127…127, with a scale for each row of activations and for each output.
    Int8,
}

impl Format {
    /// Numbers of a word.
    pub(crate) fn in_word(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }

    /// Words of so many numbers.
    pub(crate) fn words(self, depth: usize) -> usize {
        depth.div_ceil(self.in_word())
    }
}

/// What a processor multiplies narrow numbers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tiles of bfloat16 (AMX).
    Tiles,
    /// AVX-512 with its products of bfloat16 (BF16) or of bytes (VNNI).
    Avx512,
    /// AVX2 with products of bytes (AVX-VNNI).
    AvxVnni,
    /// AVX2 and FMA.
    Avx2,
    /// What every processor has.
    Portable,
}

impl Unit {
    /// The units of this processor for a format, the fastest first.
    pub fn available(format: Format) -> Vec<Self> {
        [Self::Tiles, Self::Avx512, Self::AvxVnni, Self::Avx2, Self::Portable]
            .into_iter()
            .filter(|unit| unit.has(format))
            .collect()
    }

    /// The fastest unit of this processor for a format.
    pub fn fastest(format: Format) -> Self {
        static FASTEST: [OnceLock<Unit>; 2] = [OnceLock::new(), OnceLock::new()];
        let known = &FASTEST[usize::from(format == Format::Int8)];
        *known.get_or_init(|| Self::available(format).first().copied().unwrap_or(Self::Portable))
    }

    /// Whether this unit is faster with narrow numbers than it is with 32-bit ones.
    pub fn gains(self) -> bool {
        matches!(self, Self::Tiles | Self::Avx512 | Self::AvxVnni)
    }

    #[cfg(target_arch = "x86_64")]
    fn has(self, format: Format) -> bool {
        let int8 = format == Format::Int8;
        match self {
            #[cfg(target_os = "linux")]
            Self::Tiles => !int8 && crate::amx::available(),
            #[cfg(not(target_os = "linux"))]
            Self::Tiles => false,
            Self::Avx512 if int8 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"),
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16"),
            Self::AvxVnni => int8 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn has(self, _: Format) -> bool {
        self == Self::Portable
    }
}

/// What the sums of a block start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// The same values for every row.
    Row(&'a [u32; COLUMNS]),
    /// What is there already.
    Sums,
}

/// One block, as addresses: the shapes that [`Product::block`] has checked.
#[derive(Clone, Copy)]
struct Operands {
    left: *const u32,
    left_stride: usize,
    right: *const u32,
    depth: usize,
    /// 32 values, or null for what is there.
    start: *const u32,
    sums: *mut u32,
    stride: usize,
}

/// The product of blocks on one unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    compute: unsafe fn(Operands),
    /// Whether bytes of the left factor count from 0, not from −128: sums are then too large by 128 · Σ right.
    pub unsigned: bool,
}

impl Product {
    /// Panics if the processor lacks the unit for the format, or for [`Unit::Tiles`], which has an order of its own.
    pub(crate) fn of(unit: Unit, format: Format) -> Self {
        assert!(unit.has(format), "this processor has no {unit:?} for {format:?}");
        match (unit, format) {
            (Unit::Tiles, _) => unreachable!("tiles read panels of their own"),
            #[cfg(target_arch = "x86_64")]
            (Unit::Avx512, Format::Bf16) => Self { compute: x86::bf16_avx512, unsigned: false },
            #[cfg(target_arch = "x86_64")]
            (Unit::Avx512, Format::Int8) => Self { compute: x86::int8_avx512, unsigned: true },
            #[cfg(target_arch = "x86_64")]
            (Unit::AvxVnni, _) => Self { compute: x86::int8_avx_vnni, unsigned: true },
            #[cfg(target_arch = "x86_64")]
            (Unit::Avx2, Format::Bf16) => Self { compute: x86::bf16_avx2, unsigned: false },
            #[cfg(target_arch = "x86_64")]
            (Unit::Avx2, Format::Int8) => Self { compute: x86::int8_avx2, unsigned: false },
            (_, Format::Bf16) => Self { compute: bf16_portable, unsigned: false },
            (_, Format::Int8) => Self { compute: int8_portable, unsigned: false },
        }
    }

    /// 12 × 32 sums: `sums[i, j] = start[j or i, j] + Σ left[i, k] · right[k, j]`, the bits of 32-bit numbers (`f32` for
    /// bfloat16, `i32` for bytes).
    ///
    /// # Shapes
    /// `left`: 12 rows of `depth` words that start `left_stride` apart; `right`: `depth` × 32 words; `sums`: 12 rows that start
    /// `stride` apart.
    ///
    /// Panics if a slice is too short.
    #[inline]
    pub(crate) fn block(
        self,
        (left, left_stride): (&[u32], usize),
        right: &[u32],
        depth: usize,
        start: Start<'_>,
        (sums, stride): (&mut [u32], usize),
    ) {
        assert!(left.len() >= (ROWS - 1) * left_stride + depth, "twelve rows of the left factor");
        assert!(right.len() >= depth * COLUMNS, "a panel of the right factor");
        assert!(sums.len() >= (ROWS - 1) * stride + COLUMNS, "room for the block");
        let start = match start {
            Start::Row(row) => row.as_ptr(),
            Start::Sums => std::ptr::null(),
        };
        let operands = Operands {
            left: left.as_ptr(),
            left_stride,
            right: right.as_ptr(),
            depth,
            start,
            sums: sums.as_mut_ptr(),
            stride,
        };
        #[expect(unsafe_code, reason = "registers are loaded through addresses")]
        // SAFETY: the constructor has asked for the unit; the slices hold all that is read and written, as asserted.
        unsafe {
            (self.compute)(operands);
        }
    }
}

/// Words from row to row of a left factor: whole cache lines, but not so many that all rows meet in the same places of
/// the cache.
pub(crate) fn row_stride(words: usize) -> usize {
    let lines = words.div_ceil(LINE).max(1);
    LINE * if lines.is_multiple_of(32) { lines + 4 } else { lines }
}

/// The same memory as 16-bit numbers, two a word.
pub(crate) fn halves(words: &mut [u32]) -> &mut [u16] {
    #[expect(unsafe_code, reason = "two names for the same bytes")]
    // SAFETY: any bits are numbers of either kind, and words are aligned better than halves.
    unsafe {
        std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len())
    }
}

/// The same memory as bytes, four a word.
pub(crate) fn bytes(words: &mut [u32]) -> &mut [u8] {
    #[expect(unsafe_code, reason = "two names for the same bytes")]
    // SAFETY: any bits are numbers of either kind, and bytes need no alignment.
    unsafe {
        std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len())
    }
}

/// Rounded to bfloat16, nearest, ties to even.
#[inline(always)]
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    // A number that is none stays none: rounding could carry it over to zero.
    if value.is_nan() { 0x7fc0 } else { rounded }
}

/// The scale that brings the largest of `values` to 127, and its inverse; 0 for zeros alone.
#[inline(always)]
pub(crate) fn int8_scale(values: &[f32]) -> (f32, f32) {
    let mut lanes = [0f32; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for lane in 0..16 {
            let size = block[lane].abs();
            lanes[lane] = if size > lanes[lane] { size } else { lanes[lane] };
        }
    }
    let most =
        lanes.iter().copied().chain(rest.iter().map(|value| value.abs())).fold(0f32, |a, b| if b > a { b } else { a });
    if most < 1e-30 { (0.0, 0.0) } else { (most / 127.0, 127.0 / most) }
}

/// The nearest whole number, ties to even, for sizes up to 2²².
#[inline(always)]
pub(crate) fn nearest(value: f32) -> i32 {
    // Adding 1.5 · 2²³ leaves the whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    (value + ROUND).to_bits() as i32 - ROUND.to_bits() as i32
}

#[inline(always)]
fn pair(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

#[expect(unsafe_code, reason = "as all units have it")]
unsafe fn bf16_portable(o: Operands) {
    for row in 0..ROWS {
        // SAFETY: the caller has checked the shapes.
        unsafe {
            let out = o.sums.add(row * o.stride);
            let start = if o.start.is_null() { out.cast_const() } else { o.start };
            let mut sums = [0f32; COLUMNS];
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = f32::from_bits(*start.add(column));
            }
            for k in 0..o.depth {
                let [low, high] = pair(*o.left.add(row * o.left_stride + k));
                let right = &*o.right.add(k * COLUMNS).cast::<[u32; COLUMNS]>();
                for (sum, word) in sums.iter_mut().zip(right) {
                    let [first, second] = pair(*word);
                    *sum += low * first + high * second;
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                *out.add(column) = sum.to_bits();
            }
        }
    }
}

#[expect(unsafe_code, reason = "as all units have it")]
unsafe fn int8_portable(o: Operands) {
    for row in 0..ROWS {
        // SAFETY: the caller has checked the shapes.
        unsafe {
            let out = o.sums.add(row * o.stride);
            let start = if o.start.is_null() { out.cast_const() } else { o.start };
            let mut sums = [0i32; COLUMNS];
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = *start.add(column) as i32;
            }
            for k in 0..o.depth {
                let left = (*o.left.add(row * o.left_stride + k)).to_le_bytes().map(|byte| i32::from(byte) - 128);
                let right = &*o.right.add(k * COLUMNS).cast::<[u32; COLUMNS]>();
                for (sum, word) in sums.iter_mut().zip(right) {
                    let right = word.to_le_bytes().map(|byte| i32::from(byte as i8));
                    *sum += left[0] * right[0] + left[1] * right[1] + left[2] * right[2] + left[3] * right[3];
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                *out.add(column) = *sum as u32;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "registers are loaded through addresses")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, Operands, ROWS};

    /// 24 registers of sums, two of the right factor, one of the left.
    macro_rules! wide {
        ($name:ident, $features:literal, $load:expr, $store:expr, $multiply:expr) => {
            /// The caller answers for the processor and for the shapes.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(o: Operands) {
                // SAFETY: the caller has checked the shapes.
                unsafe {
                    let (start, step) = if o.start.is_null() { (o.sums.cast_const(), o.stride) } else { (o.start, 0) };
                    let mut sums: [[_; 2]; ROWS] = std::array::from_fn(|row| {
                        let at = start.add(row * step);
                        [$load(at), $load(at.add(16))]
                    });
                    let (mut left, mut right) = (o.left, o.right);
                    for _ in 0..o.depth {
                        let first = _mm512_loadu_si512(right.cast());
                        let second = _mm512_loadu_si512(right.add(16).cast());
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let word = _mm512_set1_epi32(*left.add(row * o.left_stride) as i32);
                            sums[0] = $multiply(sums[0], word, first);
                            sums[1] = $multiply(sums[1], word, second);
                        }
                        left = left.add(1);
                        right = right.add(COLUMNS);
                    }
                    for (row, sums) in sums.into_iter().enumerate() {
                        let at = o.sums.add(row * o.stride);
                        $store(at, sums[0]);
                        $store(at.add(16), sums[1]);
                    }
                }
            }
        };
    }

    wide!(
        bf16_avx512,
        "avx512f,avx512bf16",
        |at: *const u32| _mm512_loadu_ps(at.cast()),
        |at: *mut u32, sums| _mm512_storeu_ps(at.cast(), sums),
        |sums, a: __m512i, b: __m512i| _mm512_dpbf16_ps(
            sums,
            std::mem::transmute::<__m512i, __m512bh>(a),
            std::mem::transmute::<__m512i, __m512bh>(b)
        )
    );

    wide!(
        int8_avx512,
        "avx512f,avx512vnni",
        |at: *const u32| _mm512_loadu_si512(at.cast()),
        |at: *mut u32, sums| _mm512_storeu_si512(at.cast(), sums),
        |sums, a, b| _mm512_dpbusd_epi32(sums, a, b)
    );

    /// Four rows and 16 columns at a time: eight registers of sums.
    macro_rules! narrow {
        ($name:ident, $features:literal, $load:expr, $store:expr, $prepare:expr, $multiply:expr) => {
            /// The caller answers for the processor and for the shapes.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(o: Operands) {
                const HIGH: usize = 4;
                const WIDE: usize = 16;
                for (top, side) in (0..ROWS).step_by(HIGH).flat_map(|top| [(top, 0), (top, WIDE)]) {
                    // SAFETY: the caller has checked the shapes.
                    unsafe {
                        let out = o.sums.add(top * o.stride + side);
                        let (start, step) =
                            if o.start.is_null() { (out.cast_const(), o.stride) } else { (o.start.add(side), 0) };
                        let mut sums: [[_; 2]; HIGH] = std::array::from_fn(|row| {
                            let at = start.add(row * step);
                            [$load(at), $load(at.add(8))]
                        });
                        let (mut left, mut right) = (o.left.add(top * o.left_stride), o.right.add(side));
                        for _ in 0..o.depth {
                            let first = $prepare(_mm256_loadu_si256(right.cast()));
                            let second = $prepare(_mm256_loadu_si256(right.add(8).cast()));
                            for (row, sums) in sums.iter_mut().enumerate() {
                                let word = _mm256_set1_epi32(*left.add(row * o.left_stride) as i32);
                                sums[0] = $multiply(sums[0], word, first);
                                sums[1] = $multiply(sums[1], word, second);
                            }
                            left = left.add(1);
                            // Behind the last row of the right half it may lie outside the panels.
                            right = right.wrapping_add(COLUMNS);
                        }
                        for (row, sums) in sums.into_iter().enumerate() {
                            let at = out.add(row * o.stride);
                            $store(at, sums[0]);
                            $store(at.add(8), sums[1]);
                        }
                    }
                }
            }
        };
    }

    /// Two bfloat16 numbers of each word as 32-bit ones: those of the low halves, those of the high ones.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn widened(words: __m256i) -> [__m256; 2] {
        let high = _mm256_and_si256(words, _mm256_set1_epi32(0xffff_0000_u32 as i32));
        [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)), _mm256_castsi256_ps(high)]
    }

    narrow!(
        bf16_avx2,
        "avx2,fma",
        |at: *const u32| _mm256_loadu_ps(at.cast()),
        |at: *mut u32, sums| _mm256_storeu_ps(at.cast(), sums),
        |words| widened(words),
        |sums, a, b: [__m256; 2]| {
            let [low, high] = widened(a);
            _mm256_fmadd_ps(high, b[1], _mm256_fmadd_ps(low, b[0], sums))
        }
    );

    narrow!(
        int8_avx_vnni,
        "avx2,avxvnni",
        |at: *const u32| _mm256_loadu_si256(at.cast()),
        |at: *mut u32, sums| _mm256_storeu_si256(at.cast(), sums),
        |words| words,
        |sums, a, b| _mm256_dpbusd_avx_epi32(sums, a, b)
    );

    // Sums of two products of 16 bits: 2 · 127 · 127 is less than 2¹⁵, as signs are taken from one factor to the other.
    narrow!(
        int8_avx2,
        "avx2,fma",
        |at: *const u32| _mm256_loadu_si256(at.cast()),
        |at: *mut u32, sums| _mm256_storeu_si256(at.cast(), sums),
        |words| words,
        |sums, a, b| {
            let a = _mm256_xor_si256(a, _mm256_set1_epi8(-128));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        for (value, bits) in [(1.0, 0x3f80), (-2.0, 0xc000), (1.0 + 1.0 / 256.0, 0x3f80), (1.0 + 3.0 / 256.0, 0x3f82)] {
            assert_eq!(to_bf16(value), bits, "{value}");
        }
        assert_eq!(to_bf16(f32::INFINITY), 0x7f80);
        assert!(f32::from_bits(u32::from(to_bf16(f32::from_bits(0xffff_ffff))) << 16).is_nan());
        for (value, whole) in [(0.0, 0), (0.5, 0), (1.5, 2), (-1.5, -2), (126.6, 127), (-127.0, -127)] {
            assert_eq!(nearest(value), whole, "{value}");
        }
    }

    #[test]
    fn the_scale_brings_the_largest_to_127() {
        let values: Vec<f32> = (0..37).map(|index| if index == 35 { -4.0 } else { 0.1 * index as f32 }).collect();
        let (scale, inverse) = int8_scale(&values);
        assert_eq!((scale, nearest(-4.0 * inverse)), (4.0 / 127.0, -127));
        assert_eq!(int8_scale(&[0.0; 3]), (0.0, 0.0));
    }
}
