//! What weights are stored as, and how it becomes 32-bit numbers.
//!
//! Blocks of quantised numbers are those of ggml (`block_q8_0`, `block_q4_K`, …): a scale or two, then small integers.

use rayon::prelude::*;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 64 bits.
    F64,
    /// 32 bits.
    F32,
    /// 16 bits, 5 of them exponent.
    F16,
    /// 16 bits, 8 of them exponent.
    Bf16,
    /// 8 bits, 4 of them exponent, no infinities.
    F8E4M3,
    /// 8 bits, 5 of them exponent.
    F8E5M2,
    /// Blocks of 32, 4 bits each and a scale.
    Q4_0,
    /// Blocks of 32, 4 bits each, a scale and a minimum.
    Q4_1,
    /// Blocks of 32, 5 bits each and a scale.
    Q5_0,
    /// Blocks of 32, 5 bits each, a scale and a minimum.
    Q5_1,
    /// Blocks of 32, 8 bits each and a scale.
    Q8_0,
    /// Blocks of 256, 4 bits each, scales of scales.
    Q4K,
    /// Blocks of 256, 5 bits each, scales of scales.
    Q5K,
    /// Blocks of 256, 6 bits each, scales of scales.
    Q6K,
}

impl Storage {
    /// Numbers in a block, and its bytes.
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::F64 => (1, 8),
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::F8E4M3 | Self::F8E5M2 => (1, 1),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// All numbers of whole blocks.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let (numbers, length) = self.block();
        let blocks = bytes.len() / length;
        let mut values = vec![0.0; blocks * numbers];
        // Pieces large enough to be worth a thread.
        let piece = (1 << 16) / numbers;
        values
            .par_chunks_mut(piece * numbers)
            .zip(bytes.par_chunks(piece * length))
            .for_each(|(values, bytes)| self.decode_piece(bytes, values));
        values
    }

    fn decode_piece(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F64 => each(bytes, out, |b: &[u8; 8]| f64::from_le_bytes(*b) as f32),
            Self::F32 => each(bytes, out, |b: &[u8; 4]| f32::from_le_bytes(*b)),
            Self::F16 => each(bytes, out, |b: &[u8; 2]| f16(u16::from_le_bytes(*b))),
            Self::Bf16 => each(bytes, out, |b: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)),
            Self::F8E4M3 => each(bytes, out, |b: &[u8; 1]| f8_e4m3(b[0])),
            // The upper half of a 16-bit number with the same exponent.
            Self::F8E5M2 => each(bytes, out, |b: &[u8; 1]| f16(u16::from(b[0]) << 8)),
            Self::Q4_0 => blocks(bytes, out, self.block(), |b, out| {
                let d = half(b, 0);
                for i in 0..16 {
                    out[i] = d * (i32::from(b[2 + i] & 15) - 8) as f32;
                    out[i + 16] = d * (i32::from(b[2 + i] >> 4) - 8) as f32;
                }
            }),
            Self::Q4_1 => blocks(bytes, out, self.block(), |b, out| {
                let (d, m) = (half(b, 0), half(b, 2));
                for i in 0..16 {
                    out[i] = d * f32::from(b[4 + i] & 15) + m;
                    out[i + 16] = d * f32::from(b[4 + i] >> 4) + m;
                }
            }),
            Self::Q5_0 => blocks(bytes, out, self.block(), |b, out| {
                let d = half(b, 0);
                let high = u32::from_le_bytes([b[2], b[3], b[4], b[5]]);
                for i in 0..16 {
                    let (low, up) = fifth_bits(high, i);
                    out[i] = d * (i32::from(b[6 + i] & 15 | low) - 16) as f32;
                    out[i + 16] = d * (i32::from(b[6 + i] >> 4 | up) - 16) as f32;
                }
            }),
            Self::Q5_1 => blocks(bytes, out, self.block(), |b, out| {
                let (d, m) = (half(b, 0), half(b, 2));
                let high = u32::from_le_bytes([b[4], b[5], b[6], b[7]]);
                for i in 0..16 {
                    let (low, up) = fifth_bits(high, i);
                    out[i] = d * f32::from(b[8 + i] & 15 | low) + m;
                    out[i + 16] = d * f32::from(b[8 + i] >> 4 | up) + m;
                }
            }),
            Self::Q8_0 => blocks(bytes, out, self.block(), |b, out| {
                let d = half(b, 0);
                for i in 0..32 {
                    out[i] = d * f32::from(b[2 + i] as i8);
                }
            }),
            Self::Q4K => blocks(bytes, out, self.block(), |b, out| {
                let (d, least) = (half(b, 0), half(b, 2));
                for pair in 0..4 {
                    let numbers = &b[16 + 32 * pair..][..32];
                    for upper in 0..2 {
                        let (scale, minimum) = k_scale(&b[4..16], 2 * pair + upper);
                        let (scale, minimum) = (d * f32::from(scale), least * f32::from(minimum));
                        for i in 0..32 {
                            let number = if upper == 0 { numbers[i] & 15 } else { numbers[i] >> 4 };
                            out[64 * pair + 32 * upper + i] = scale * f32::from(number) - minimum;
                        }
                    }
                }
            }),
            Self::Q5K => blocks(bytes, out, self.block(), |b, out| {
                let (d, least) = (half(b, 0), half(b, 2));
                let high = &b[16..48];
                for pair in 0..4 {
                    let numbers = &b[48 + 32 * pair..][..32];
                    for upper in 0..2 {
                        let (scale, minimum) = k_scale(&b[4..16], 2 * pair + upper);
                        let (scale, minimum) = (d * f32::from(scale), least * f32::from(minimum));
                        for i in 0..32 {
                            let four = if upper == 0 { numbers[i] & 15 } else { numbers[i] >> 4 };
                            let fifth = high[i] >> (2 * pair + upper) & 1;
                            out[64 * pair + 32 * upper + i] = scale * f32::from(four | fifth << 4) - minimum;
                        }
                    }
                }
            }),
            Self::Q6K => blocks(bytes, out, self.block(), |b, out| {
                let d = half(b, 208);
                for side in 0..2 {
                    let (low, high) = (&b[64 * side..][..64], &b[128 + 32 * side..][..32]);
                    let scales = &b[192 + 8 * side..][..8];
                    for i in 0..32 {
                        for quarter in 0..4 {
                            let four = low[i + 32 * (quarter % 2)] >> (4 * (quarter / 2)) & 15;
                            let two = high[i] >> (2 * quarter) & 3;
                            let scale = f32::from(scales[i / 16 + 2 * quarter] as i8);
                            let number = i32::from(four | two << 4) - 32;
                            out[128 * side + 32 * quarter + i] = d * scale * number as f32;
                        }
                    }
                }
            }),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn(&[u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = decode(bytes);
    }
}

fn blocks(bytes: &[u8], out: &mut [f32], (numbers, length): (usize, usize), decode: impl Fn(&[u8], &mut [f32])) {
    for (out, bytes) in out.chunks_exact_mut(numbers).zip(bytes.chunks_exact(length)) {
        decode(bytes, out);
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The fifth bits of the numbers `i` and `i + 16`.
fn fifth_bits(high: u32, i: usize) -> (u8, u8) {
    ((high >> i & 1) as u8 * 16, (high >> (i + 16) & 1) as u8 * 16)
}

/// Scale and minimum number `index` of eight, 6 bits each in 12 bytes.
fn k_scale(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let scale = packed[index + 4] & 15 | (packed[index - 4] >> 6) << 4;
        let minimum = packed[index + 4] >> 4 | (packed[index] >> 6) << 4;
        (scale, minimum)
    }
}

/// A 16-bit number with 5 bits of exponent.
fn f16(bits: u16) -> f32 {
    let (sign, exponent, mantissa) = (u32::from(bits >> 15) << 31, bits >> 10 & 31, u32::from(bits & 1023));
    let magnitude = match exponent {
        0 => return f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-24)).to_bits()),
        31 => 0x7f80_0000 | mantissa << 13,
        _ => (u32::from(exponent) + 112) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// An 8-bit number with 4 bits of exponent: all ones is none, and nothing is infinite.
fn f8_e4m3(bits: u8) -> f32 {
    let (sign, exponent, mantissa) = (u32::from(bits >> 7) << 31, bits >> 3 & 15, u32::from(bits & 7));
    if exponent == 0 {
        return f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-9)).to_bits());
    }
    if exponent == 15 && mantissa == 7 {
        return f32::NAN;
    }
    f32::from_bits(sign | (u32::from(exponent) + 120) << 23 | mantissa << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_floats_are_what_their_bits_say() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (1, 2f32.powi(-24)), (0x8000, -0.0)] {
            assert_eq!(f16(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(f16(0x7c00).is_infinite() && f16(0x7c01).is_nan());
        for (bits, value) in [(0x38, 1.0), (0xb8, -1.0), (0x7e, 448.0), (1, 2f32.powi(-9)), (0x80, -0.0)] {
            assert_eq!(f8_e4m3(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(f8_e4m3(0x7f).is_nan());
        assert_eq!(Storage::F8E5M2.decode(&[0x3c, 0xc0, 0x7b]), [1.0, -2.0, 57344.0]);
        assert_eq!(Storage::Bf16.decode(&[0x80, 0x3f, 0x00, 0xc0]), [1.0, -2.0]);
    }

    /// Random blocks of every kind, and what the packages of others read from them.
    #[test]
    fn blocks_are_what_others_read_from_them() {
        let bytes = include_bytes!("../../tests/fixtures/storage.safetensors");
        let expected = safetensors::SafeTensors::deserialize(bytes).unwrap();
        for (name, storage) in [
            ("Q4_0", Storage::Q4_0),
            ("Q4_1", Storage::Q4_1),
            ("Q5_0", Storage::Q5_0),
            ("Q5_1", Storage::Q5_1),
            ("Q8_0", Storage::Q8_0),
            ("Q4_K", Storage::Q4K),
            ("Q5_K", Storage::Q5K),
            ("Q6_K", Storage::Q6K),
            ("F8_E4M3", Storage::F8E4M3),
            ("F8_E5M2", Storage::F8E5M2),
            ("F16", Storage::F16),
        ] {
            let blocks = expected.tensor(&format!("{name}.blocks")).unwrap();
            let theirs = expected.tensor(&format!("{name}.values")).unwrap();
            let ours = storage.decode(blocks.data());
            assert_eq!(ours.len() * 4, theirs.data().len(), "{name}");
            for (ours, theirs) in ours.iter().zip(Storage::F32.decode(theirs.data())) {
                let same = ours.is_nan() && theirs.is_nan() || *ours == theirs;
                assert!(same || (ours - theirs).abs() <= theirs.abs() * 1e-6 + 1e-6, "{name}: {ours} for {theirs}");
            }
        }
    }
}
