//! Bytes from strangers: an error is fine, a frame is fine, a panic or a minute is not.

use std::sync::LazyLock;

use media::{
    FrameRate, Mp4Reader, PictureLimits, Quality, ReadError, ReadLimits, Size, encode_jpeg, encode_png, encode_webp,
    hash_clip, probe_mp4, read_mp4, read_picture, write_mp4,
};
use proptest::prelude::*;

use crate::scene;

static MP4: LazyLock<Vec<u8>> =
    LazyLock::new(|| write_mp4(&scene::clip(Size::new(96, 64), FrameRate::whole(2), 9), Quality::default()).unwrap());
static PICTURES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let frame = scene::frame(Size::new(48, 32), 0.0);
    [encode_png(&frame).unwrap(), encode_jpeg(&frame, 80).unwrap(), encode_webp(&frame, 80).unwrap()]
});

const LIMITS: ReadLimits =
    ReadLimits { max_bytes: 1 << 20, max_frame_pixels: 1 << 18, max_frames: 100, max_clip_pixels: 1 << 22 };
const PICTURE_LIMITS: PictureLimits = PictureLimits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

/// Reads, and checks that what comes back is within the limits.
fn survive(bytes: &[u8]) {
    let _ = probe_mp4(bytes, &LIMITS);
    if let Ok(clip) = read_mp4(bytes, &LIMITS) {
        assert!(clip.frames().len() * clip.size().pixels() <= LIMITS.max_clip_pixels);
    }
    if let Ok(mut reader) = Mp4Reader::open(bytes, &LIMITS) {
        let next = reader.skip_to(5);
        assert!(next <= 5, "{next}");
        while let Ok(Some(_)) = reader.next_frame() {}
    }
    if let Ok(look) = hash_clip(bytes, &LIMITS) {
        assert!(look.frames.len() <= LIMITS.max_frames);
    }
    if let Ok(frame) = read_picture(bytes, &PICTURE_LIMITS) {
        assert!(frame.size().pixels() <= PICTURE_LIMITS.max_pixels);
    }
}

/// Some bytes of a good file, written over.
fn damage(mut bytes: Vec<u8>, strokes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, value) in strokes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

fn strokes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(255)]), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        survive(&bytes);
    }

    #[test]
    fn a_damaged_video(strokes in strokes()) {
        survive(&damage(MP4.clone(), &strokes));
    }

    #[test]
    fn a_damaged_index(strokes in strokes()) {
        let moov = MP4.windows(4).position(|window| window == b"mdat").unwrap();
        let mut bytes = damage(MP4[..moov].to_vec(), &strokes);
        bytes.extend(&MP4[moov..]);
        survive(&bytes);
    }

    #[test]
    fn a_cut_video(at in any::<prop::sample::Index>()) {
        let at = at.index(MP4.len());
        prop_assert!(read_mp4(&MP4[..at], &LIMITS).is_err());
        survive(&MP4[..at]);
    }

    #[test]
    fn a_damaged_picture(which in 0..3_usize, strokes in strokes(), keep in any::<prop::sample::Index>()) {
        let bytes = damage(PICTURES[which].clone(), &strokes);
        survive(&bytes);
        survive(&bytes[..keep.index(bytes.len())]);
    }
}

/// `stsz` of our file, told to hold four thousand million samples of one size.
#[test]
fn a_lie_about_the_number_of_samples_takes_no_memory() {
    let mut bytes = MP4.clone();
    let stsz = bytes.windows(4).position(|window| window == b"stsz").unwrap();
    bytes[stsz + 8..stsz + 16].copy_from_slice(&[0, 0, 0, 1, 255, 255, 255, 255]);
    assert!(matches!(read_mp4(&bytes, &LIMITS), Err(ReadError::Mp4 { part: "sample table" })));
    let stts = bytes.windows(4).position(|window| window == b"stts").unwrap();
    bytes[stts + 12..stts + 16].copy_from_slice(&[255; 4]);
    let stsc = bytes.windows(4).position(|window| window == b"stsc").unwrap();
    bytes[stsc + 16..stsc + 20].copy_from_slice(&[255; 4]);
    assert!(read_mp4(&bytes, &LIMITS).is_err());
}

#[test]
fn other_files_are_named() {
    let check = |bytes: &[u8], expected: &str| assert_eq!(read_mp4(bytes, &LIMITS).unwrap_err().to_string(), expected);
    check(b"", "this is not an MP4 video");
    check(b"hello, this is only text", "this is not an MP4 video");
    check(&PICTURES[0], "this is not an MP4 video");
    check(b"\0\0\0\x10ftypisom\0\0\0\0", "the MP4 is damaged in its index, which is missing");
    // The last `avc1` is the sample entry; an earlier one is a brand.
    let mut other = MP4.clone();
    let avc1 = other.windows(4).rposition(|window| window == b"avc1").unwrap();
    other[avc1..avc1 + 4].copy_from_slice(b"mp4v");
    check(&other, "the video is coded as mp4v, only H.264 can be read");
}
