//! How a frame looks, in 256 bits: enough to find it again after it was scaled, encoded anew or mirrored, and no picture can be made of it.
//!
//! A difference hash (Krawetz 2013) with two bits a place, so that flat areas say nothing: the frame is made 17 × 8, and for each of 16 × 8
//! neighbours one bit says that the right one is clearly brighter and one that it is clearly darker.

use crate::frame::{Frame, Size};
use crate::limits::ReadLimits;
use crate::mp4_reader::{Mp4Info, Mp4Reader};
use crate::read_error::ReadError;
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

/// Whether a clip or picture whose frames look like `found` shows `known` again, whole or a part of it, straight or mirrored: more than half of
/// what can be known again of either is there in the other. Plain frames count on neither side, so nothing is known by them: a black clip is
/// no other black clip. `known` are straight hashes.
///
/// On the paper world, drawn 320 × 180 and looked at as [`hash_clip`] does (`cargo run --release -p training --example copies`): of 30 clips it
/// knows 28 and more that were encoded anew, made half as large, brightened or flattened, 26 that lost a second, 8 that lost a twentieth of each side; of
/// 870 pairs of different clips it takes none for one. What it does not stand: a picture that was cut by a twentieth and more, turned, or set into another.
pub fn is_seen_again(known: &[[u8; 32]], found: &[FrameHash]) -> bool {
    let known: Vec<_> = known.iter().filter(|hash| edges(hash) >= MIN_EDGES).collect();
    [|hash: &FrameHash| hash.straight, |hash: &FrameHash| hash.mirrored].into_iter().any(|way| {
        let found: Vec<_> = found.iter().filter(|hash| !hash.is_plain()).map(way).collect();
        let mut there = vec![false; found.len()];
        let mut again = 0;
        for hash in &known {
            let mut seen = false;
            for (other, there) in found.iter().zip(&mut there) {
                if look_alike(hash, other) {
                    (seen, *there) = (true, true);
                }
            }
            again += usize::from(seen);
        }
        again * 2 > known.len() || there.iter().filter(|there| **there).count() * 2 > found.len()
    })
}

/// The frames of a clip by which it is known again, from the first on: four a second, 16 of a short one, 480 at most.
pub fn frames_to_hash(info: &Mp4Info) -> Vec<usize> {
    let seconds = info.frame_count as f64 / info.frame_rate.as_f64();
    let wanted = ((seconds * 4.0).ceil() as usize).clamp(16, 480).min(info.frame_count);
    (0..wanted).map(|place| place * info.frame_count / wanted).collect()
}

/// How a clip looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipLook {
    /// The hashes of [`frames_to_hash`], as far as they could be read.
    pub frames: Vec<FrameHash>,
    /// Whether nothing is missing: every frame could be read, and no more than 16 thousand million pixels.
    pub whole: bool,
}

/// How a clip looks. One frame lies in memory at a time.
///
/// # Errors
/// As [`Mp4Reader::open`]; a frame that cannot be read ends the look and is none.
pub fn hash_clip(mp4: &[u8], limits: &ReadLimits) -> Result<ClipLook, ReadError> {
    /// Two minutes of 1920 × 1080 at 60 frames a second, and a thread for as long as decoding them takes.
    const MAX_PIXELS: usize = 16_000_000_000;
    let mut reader = Mp4Reader::open(mp4, limits)?;
    let (count, pixels) = (reader.info().frame_count, reader.info().size.pixels().max(1));
    let chosen = frames_to_hash(reader.info());
    let mut look = ClipLook { frames: Vec::with_capacity(chosen.len()), whole: true };
    let mut chosen = chosen.into_iter().peekable();
    for index in 0..count {
        let frame = if index < MAX_PIXELS / pixels { reader.next_frame() } else { Ok(None) };
        let Ok(Some(frame)) = frame else {
            look.whole = false;
            break;
        };
        if chosen.next_if_eq(&index).is_some() {
            look.frames.push(FrameHash::of(&frame));
        }
    }
    Ok(look)
}

/// Whether seven of ten edges of two hashes are the same.
///
/// On the sheet of 48 scenes in `docs/images/paper-world.jpg`: of 1,128 pairs the most alike, straight or mirrored, share 47 of 100 edges; the
/// same scene made three times smaller keeps 89 at least. Cut by a twentieth it keeps 67 in the middle, so crops are often missed.
fn look_alike(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let count =
        |join: fn(u64, u64) -> u64| -> u32 { words(a).zip(words(b)).map(|(a, b)| join(a, b).count_ones()).sum() };
    let (both, either) = (count(|a, b| a & b), count(|a, b| a | b));
    either >= MIN_EDGES && both * 10 >= either * 7
}

fn edges(hash: &[u8; 32]) -> u32 {
    words(hash).map(u64::count_ones).sum()
}

fn words(hash: &[u8; 32]) -> impl Iterator<Item = u64> {
    hash.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight))
}

/// The first 128 bits are steps up, the last 128 steps down.
fn set(hash: &mut [u8; 32], place: usize, up: bool) {
    let bit = place + if up { 0 } else { COLUMNS * ROWS };
    hash[bit / 8] |= 1 << (bit % 8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Clip, FrameRate};
    use crate::limits::PictureLimits;
    use crate::mp4_writer::{Quality, write_mp4};
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
    fn a_copy_is_known_by_a_part_and_by_a_still_and_another_clip_is_not() {
        for seed in 1..20 {
            let frames = clip(seed);
            let known = straight(&frames);
            let again = |frames: &[Frame]| is_seen_again(&known, &hashes(frames));
            let others = clip(seed + 100);
            let among_others: Vec<_> = others.iter().chain(&frames).chain(&others).cloned().collect();
            let turned: Vec<_> = frames.iter().map(mirrored).collect();
            for part in [&frames[..], &frames[2..], &frames[3..5], &frames[4..5], &among_others, &turned, &turned[6..]]
            {
                assert!(again(part), "{seed}: {}", part.len());
            }
            assert!(!again(&others) && !again(&others[..1]) && !again(&[]), "{seed}");
        }
    }

    #[test]
    fn nothing_is_known_by_plain_frames() {
        let black = Frame::filled(Size::new(320, 180), [0; 3]);
        let (dark, scene) = (vec![black.clone(); 8], clip(3));
        assert!(!is_seen_again(&straight(&dark), &hashes(&dark)));
        assert!(!is_seen_again(&[], &hashes(&scene)) && !is_seen_again(&straight(&scene), &hashes(&dark)));
        // One that comes out of the dark is known by what can be seen of it.
        let fades_in = [&dark[..], &scene[..]].concat();
        let (known, copy) = (straight(&fades_in), [&dark[..4], &scene[..]].concat());
        assert!(is_seen_again(&known, &hashes(&copy)) && !is_seen_again(&known, &hashes(&dark)));
        let other = [&dark[..], &clip(103)[..]].concat();
        assert!(!is_seen_again(&known, &hashes(&other)));
    }

    #[test]
    fn a_clip_is_looked_at_four_times_a_second() {
        let info = |frame_count, rate| Mp4Info {
            size: Size::new(96, 64),
            frame_rate: FrameRate::whole(rate),
            frame_count,
            codec: String::new(),
        };
        let chosen = |frame_count, rate| frames_to_hash(&info(frame_count, rate));
        assert_eq!(chosen(1, 24), [0]);
        assert_eq!(chosen(48, 12), (0..48).step_by(3).collect::<Vec<_>>());
        assert_eq!((chosen(20 * 24, 24).len(), chosen(7_200, 1).len(), chosen(12, 24).len()), (80, 480, 12));
    }

    #[test]
    fn a_clip_that_ends_too_early_is_not_looked_at_whole() {
        let film = write_mp4(&Clip::new(clip(5), FrameRate::whole(4)).unwrap(), Quality::default()).unwrap();
        let whole = hash_clip(&film, &ReadLimits::default()).unwrap();
        assert!(whole.whole && whole.frames.len() == 8);
        assert!(is_seen_again(&straight(&clip(5)), &whole.frames));
        let limits = ReadLimits { max_frames: 4, ..ReadLimits::default() };
        assert!(hash_clip(&film, &limits).is_err());
        // The last picture's slice is no slice.
        let mut broken = film;
        let at = broken.len() - 4;
        broken[at - 60..].fill(0xff);
        let broken = hash_clip(&broken, &ReadLimits::default());
        assert!(broken.is_err() || broken.is_ok_and(|look| !look.whole));
    }

    #[test]
    fn nothing_is_a_copy_of_a_flat_colour() {
        let flat = vec![cover(&Frame::filled(Size::new(64, 64), [90; 3]), Size::new(32, 32)); 4];
        assert!(hashes(&flat).iter().all(FrameHash::is_plain));
        assert!(!is_near_copy(&hashes(&flat), &straight(&flat)));
    }
}
