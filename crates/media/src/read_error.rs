//! Why somebody's file could not be read. Every sentence says what was expected, so that the reader can act.

use crate::frame::FrameError;
use crate::sps::SpsError;

/// Why a picture or a video could not be read. All of these are about the file, never about us.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More bytes than [`max_bytes`](crate::ReadLimits::max_bytes).
    #[error("the file has {actual} bytes, at most {limit} are read: make it smaller")]
    TooManyBytes {
        /// Bytes of the file.
        actual: usize,
        /// Bytes that are read.
        limit: usize,
    },
    /// More pixels than the limits allow in one picture.
    #[error("the picture is {width}×{height}, at most {limit} pixels are read: scale it down")]
    TooManyPixels {
        /// Pixels from left to right.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
        /// Pixels that are read.
        limit: usize,
    },
    /// More frames than [`max_frames`](crate::ReadLimits::max_frames).
    #[error("the video has {actual} frames, at most {limit} are read: cut it shorter")]
    TooManyFrames {
        /// Frames of the video.
        actual: usize,
        /// Frames that are read.
        limit: usize,
    },
    /// More pixels than [`max_clip_pixels`](crate::ReadLimits::max_clip_pixels) in all frames together.
    #[error(
        "the video has {frames} frames of {width}×{height}, too much to hold at once: cut it shorter or scale it down"
    )]
    ClipTooLarge {
        /// Frames of the video.
        frames: usize,
        /// Pixels from left to right.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
    },
    /// Neither PNG nor JPEG nor WebP.
    #[error("this is not a PNG, JPEG or WebP picture")]
    NotAPicture,
    /// A picture format we know, but its bytes make no sense.
    #[error("the {format} picture is damaged or uses a feature that cannot be read: save it again as PNG")]
    Picture {
        /// What it claims to be.
        format: &'static str,
        /// What the decoder said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No `ftyp` or `moov` box where an MP4 file has them.
    #[error("this is not an MP4 video")]
    NotMp4,
    /// The sample tables are in fragments.
    #[error("the MP4 is fragmented, only plain MP4 files can be read: remux it with its index at the front")]
    Fragmented,
    /// A box contradicts the standard, another box or the length of the file.
    #[error("the MP4 is damaged in its {part}")]
    Mp4 {
        /// Which part.
        part: &'static str,
    },
    /// No track with pictures.
    #[error("the MP4 has no video track")]
    NoVideo,
    /// A codec other than H.264.
    #[error("the video is coded as {codec}, only H.264 can be read")]
    Codec {
        /// Its four characters, as far as they are printable.
        codec: String,
    },
    /// The H.264 stream is of a kind that cannot be read, or says nonsense about itself.
    #[error("the video cannot be decoded")]
    Stream(#[from] SpsError),
    /// The size changes in the middle.
    #[error("the video changes its size at frame {frame}, which cannot be read")]
    SizeChanges {
        /// Index of the first frame of another size.
        frame: usize,
    },
    /// The pictures cannot be decoded.
    #[error("the video is damaged at frame {frame}")]
    Frame {
        /// Index of the frame, in decoding order.
        frame: usize,
    },
    /// There is no frame to show.
    #[error("the video has no frames")]
    Frames(#[from] FrameError),
}
