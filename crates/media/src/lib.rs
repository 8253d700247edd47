//! Frames to bytes and back: pictures, colour, H.264, MP4, thumbnails and sprite sheets.

mod frame;

pub use frame::{Clip, Frame, FrameError, FrameRate, Size};
