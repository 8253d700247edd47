//! Patches side by side, added to a picture of bytes.

use crate::vectorized::vectorized;

/// Adds a row of patches to the lines of bytes that they cover, rounded and cut to a byte.
///
/// # Shapes
/// `patches`: `[columns, lines, values]`; `picture`: `[lines, columns · values]`.
///
/// Panics if lengths do not fit.
pub fn add_patches(patches: &[f32], [lines, values]: [usize; 2], picture: &mut [u8]) {
    assert!(lines * values > 0 && patches.len().is_multiple_of(lines * values), "whole patches");
    assert_eq!(patches.len(), picture.len(), "a byte for each value");
    if !patches.is_empty() {
        add(patches, lines, values, picture);
    }
}

vectorized! {
    fn add(patches: &[f32], lines: usize, values: usize, picture: &mut [u8]) {
        for (line, bytes) in picture.chunks_exact_mut(patches.len() / lines).enumerate() {
            for (patch, bytes) in patches.chunks_exact(lines * values).zip(bytes.chunks_exact_mut(values)) {
                for (byte, value) in bytes.iter_mut().zip(&patch[line * values..][..values]) {
                    *byte = (f32::from(*byte) + value + 0.5).clamp(0.0, 255.0) as i32 as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_their_patch_lies() {
        let patches = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let mut picture = [10; 12];
        add_patches(&patches, [2, 3], &mut picture);
        assert_eq!(picture, [11, 12, 13, 17, 18, 19, 14, 15, 16, 20, 21, 22]);
    }

    #[test]
    fn sums_are_rounded_and_cut() {
        let mut picture = [0, 255, 100, 100, 100, 100];
        add_patches(&[-3.0, 3.0, 0.4, 0.6, -0.4, -0.6], [1, 6], &mut picture);
        assert_eq!(picture, [0, 255, 100, 101, 100, 99]);
    }
}
