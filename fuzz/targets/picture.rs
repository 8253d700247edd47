//! A picture that someone uploads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{PictureLimits, encode_png, read_picture};

const LIMITS: PictureLimits = PictureLimits { max_bytes: 1 << 20, max_pixels: 1 << 20 };

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = read_picture(bytes, &LIMITS) {
        assert!(frame.size().pixels() <= LIMITS.max_pixels);
        assert_eq!(read_picture(&encode_png(&frame).unwrap(), &LIMITS).unwrap(), frame, "written and read again");
    }
});
