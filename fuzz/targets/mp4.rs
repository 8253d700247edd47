//! A clip that someone uploads: an error is fine, frames within the limits are fine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{Mp4Reader, ReadLimits, probe_mp4, read_mp4};

const LIMITS: ReadLimits =
    ReadLimits { max_bytes: 1 << 20, max_frame_pixels: 1 << 18, max_frames: 100, max_clip_pixels: 1 << 22 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut reader) = Mp4Reader::open(bytes, &LIMITS) {
        assert!(reader.skip_to(5) <= 5);
        while let Ok(Some(_)) = reader.next_frame() {}
    }
    let info = probe_mp4(bytes, &LIMITS);
    if let Ok(clip) = read_mp4(bytes, &LIMITS) {
        assert!(info.is_ok(), "what can be read can be looked at");
        assert!(clip.frames().len() * clip.size().pixels() <= LIMITS.max_clip_pixels);
    }
});
