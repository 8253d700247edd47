//! Frames to bytes and back: pictures, colour, H.264, MP4, thumbnails and sprite sheets.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod frame;

mod frame_hash;
mod picture;
mod resize;
mod sprite_sheet;

mod mp4_reader;
mod mp4_writer;

mod colour;
mod limits;
mod mp4_boxes;
mod openh264;
mod read_error;
mod sps;

pub use frame::{Clip, Frame, FrameError, FrameRate, Size};
pub use frame_hash::{ClipLook, FrameHash, frames_to_hash, hash_clip, is_near_copy, is_seen_again};
pub use limits::{PictureLimits, ReadLimits};
pub use mp4_boxes::BoxError;
pub use mp4_reader::{Mp4Info, Mp4Reader, probe_mp4, read_mp4};
pub use mp4_writer::{Mp4Writer, Quality, WriteError, write_mp4};
pub use openh264::EncoderError;
pub use picture::{EncodeError, encode_jpeg, encode_png, encode_webp, read_picture};
pub use read_error::ReadError;
pub use resize::{Filter, Resizer, cover, resize, thumbnail};
pub use sprite_sheet::sprite_sheet;
pub use sps::SpsError;
