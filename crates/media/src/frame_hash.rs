//! How a frame looks, in 256 bits: enough to find it again after it was scaled, encoded anew or mirrored, and no picture can be made of it.
//!
//! A difference hash (Krawetz 2013) with two bits a place, so that flat areas say nothing: the frame is made 17 × 8, and for each of 16 × 8
//! neighbours one bit says that the right one is clearly brighter and one that it is clearly darker.

use crate::frame::{Frame, Size};
use crate::resize::{Filter, resize};

/// How a frame looks, and how it would look in a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHash {
    /// As it is.
    pub straight: [u8; 32],
    /// Mirrored, left to right.
    pub mirrored: [u8; 32],
}

const COLUMNS: usize = 16;
const ROWS: usize = 8;
/// Levels of 255 by which a neighbour must differ. Encoders change flat areas by less.
const MARGIN: i32 = 6;
/// Edges without which a frame could be anything: a flat colour, a fade.
const MIN_EDGES: u32 = 12;

impl FrameHash {
    /// The hash of a frame.
    pub fn of(frame: &Frame) -> Self {
        let small = resize(frame, Size::new(COLUMNS as u32 + 1, ROWS as u32), Filter::Area);
        let luma: Vec<i32> = small
            .rgb()
            .chunks_exact(3)
            .map(|pixel| (i32::from(pixel[0]) * 299 + i32::from(pixel[1]) * 587 + i32::from(pixel[2]) * 114) / 1000)
            .collect();
        let mut hash = Self { straight: [0; 32], mirrored: [0; 32] };
        for (row, line) in luma.chunks_exact(COLUMNS + 1).enumerate() {
            for column in 0..COLUMNS {
                let step = line[column + 1] - line[column];
                if step.abs() <= MARGIN {
                    continue;
                }
                let place = row * COLUMNS + column;
                set(&mut hash.straight, place, step > 0);
                set(&mut hash.mirrored, row * COLUMNS + (COLUMNS - 1 - column), step < 0);
            }
        }
        hash
    }

    /// Whether there is too little in it to know it again.
    pub fn is_plain(&self) -> bool {
        edges(&self.straight) < MIN_EDGES
    }
}

/// Whether frames whose straight hashes are `found` show what `known` shows, straight or mirrored: more than half of what can be known again
/// is there. Nothing is a copy of plain frames.
pub fn is_near_copy(known: &[FrameHash], found: &[[u8; 32]]) -> bool {
    let telling: Vec<_> = known.iter().filter(|hash| !hash.is_plain()).collect();
    let there = |way: fn(&FrameHash) -> &[u8; 32]| {
        telling.iter().filter(|hash| found.iter().any(|other| look_alike(way(hash), other))).count()
    };
    let straight = there(|hash| &hash.straight);
    !telling.is_empty() && (straight * 2 > telling.len() || there(|hash| &hash.mirrored) * 2 > telling.len())
}

/// Whether seven of ten edges of two hashes are the same.
///
/// On the sheet of 48 scenes in `docs/images/paper-world.jpg`: of 1,128 pairs the most alike, straight or mirrored, share 47 of 100 edges; the
/// same scene made three times smaller keeps 89 at least. Cut by a twentieth it keeps 67 in the middle, so crops are often missed.
fn look_alike(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let count = |join: fn(u8, u8) -> u8| -> u32 { a.iter().zip(b).map(|(a, b)| join(*a, *b).count_ones()).sum() };
    let (both, either) = (count(|a, b| a & b), count(|a, b| a | b));
    either >= MIN_EDGES && both * 10 >= either * 7
}

fn edges(hash: &[u8; 32]) -> u32 {
    hash.iter().map(|byte| byte.count_ones()).sum()
}

/// The first 128 bits are steps up, the last 128 steps down.
fn set(hash: &mut [u8; 32], place: usize, up: bool) {
    let bit = place + if up { 0 } else { COLUMNS * ROWS };
    hash[bit / 8] |= 1 << (bit % 8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PictureLimits;
    use crate::picture::{encode_jpeg, read_picture};
    use crate::resize::cover;

    /// A scene of discs and ground, other for each seed, a little other at each moment.
    fn scene(seed: u32, moment: u32) -> Frame {
        let size = Size::new(320, 180);
        let mut frame = Frame::filled(size, [0; 3]);
        let at = |index: u32, most: u32| (seed.wrapping_mul(2_654_435_761).rotate_left(index * 7) >> 8) % most;
        for (place, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
            let (x, y) = ((place as u32 % size.width) as i32, (place as u32 / size.width) as i32);
            let ground = 100 + at(9, 60) as i32;
            pixel.fill(if y > ground { 90 } else { 200 });
            for disc in 0..4 {
                let (cx, cy) = (at(disc, 320) as i32 + moment as i32, at(disc + 4, 180) as i32);
                let radius = 20 + at(disc + 11, 30) as i32;
                if (x - cx).pow(2) + (y - cy).pow(2) < radius.pow(2) {
                    pixel.fill((disc * 60 + 10) as u8);
                }
            }
        }
        frame
    }

    fn mirrored(frame: &Frame) -> Frame {
        let width = frame.size().width as usize * 3;
        let mut other = frame.clone();
        for (line, from) in other.rgb_mut().chunks_exact_mut(width).zip(frame.rgb().chunks_exact(width)) {
            for (pixel, from) in line.chunks_exact_mut(3).zip(from.chunks_exact(3).rev()) {
                pixel.copy_from_slice(from);
            }
        }
        other
    }

    fn clip(seed: u32) -> Vec<Frame> {
        (0..8).map(|moment| scene(seed, moment * 3)).collect()
    }

    fn hashes(frames: &[Frame]) -> Vec<FrameHash> {
        frames.iter().map(FrameHash::of).collect()
    }

    fn straight(frames: &[Frame]) -> Vec<[u8; 32]> {
        frames.iter().map(|frame| FrameHash::of(frame).straight).collect()
    }

    #[test]
    fn copies_are_found_and_other_clips_are_not() {
        let limits = PictureLimits::default();
        for seed in 1..20 {
            let frames = clip(seed);
            let known = hashes(&frames);
            assert!(is_near_copy(&known, &straight(&frames)), "{seed}");
            let turned: Vec<_> = frames.iter().map(mirrored).collect();
            assert!(is_near_copy(&known, &straight(&turned)), "{seed} mirrored");
            let small: Vec<_> = frames
                .iter()
                .map(|frame| {
                    let small = resize(frame, Size::new(160, 90), Filter::Lanczos3);
                    read_picture(&encode_jpeg(&small, 40).unwrap(), &limits).unwrap()
                })
                .collect();
            assert!(is_near_copy(&known, &straight(&small)), "{seed} smaller and encoded anew");
            assert!(!is_near_copy(&known, &straight(&clip(seed + 100))), "{seed} and another");
        }
    }

    #[test]
    fn the_hash_of_a_mirrored_frame_is_the_mirrored_hash() {
        let frame = scene(3, 0);
        let (hash, turned) = (FrameHash::of(&frame), FrameHash::of(&mirrored(&frame)));
        assert!(look_alike(&hash.straight, &turned.mirrored) && look_alike(&hash.mirrored, &turned.straight));
        assert!(!look_alike(&hash.straight, &turned.straight));
    }

    #[test]
    fn nothing_is_a_copy_of_a_flat_colour() {
        let flat = vec![cover(&Frame::filled(Size::new(64, 64), [90; 3]), Size::new(32, 32)); 4];
        assert!(hashes(&flat).iter().all(FrameHash::is_plain));
        assert!(!is_near_copy(&hashes(&flat), &straight(&flat)));
    }
}
