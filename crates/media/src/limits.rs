//! How much of somebody else's file we are ready to hold in memory.

/// What [`read_mp4`](crate::read_mp4) accepts; anything beyond is an error before memory is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Pixels of one coded picture, invisible borders included.
    pub max_frame_pixels: usize,
    /// Frames in the clip.
    pub max_frames: usize,
    /// Pixels of all frames together, which bounds the memory of a decoded [`Clip`](crate::Clip) at three bytes each.
    pub max_clip_pixels: usize,
}

/// What [`read_picture`](crate::read_picture) accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLimits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Pixels of the picture.
    pub max_pixels: usize,
}

impl Default for ReadLimits {
    /// 200 MB, 4K pictures, 7,200 frames, and 1.5 GB of decoded frames (20 s of 1280×720 at 24 frames a second).
    fn default() -> Self {
        Self { max_bytes: 200_000_000, max_frame_pixels: 4096 * 2304, max_frames: 7200, max_clip_pixels: 500_000_000 }
    }
}

impl Default for PictureLimits {
    /// 50 MB and 50 megapixels.
    fn default() -> Self {
        Self { max_bytes: 50_000_000, max_pixels: 50_000_000 }
    }
}
