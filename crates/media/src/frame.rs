//! Frames in memory: what the model writes and what the encoder reads.

/// One picture: 8-bit sRGB, rows from the top, three bytes a pixel, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    size: Size,
    rgb: Vec<u8>,
}

/// The sides of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// Frames a second, as a fraction so that 30000/1001 is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames …
    pub numerator: u32,
    /// … in this many seconds.
    pub denominator: u32,
}

/// Frames of one size, in order, at a constant rate.
///
/// Invariant: at least one frame, and all of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    frames: Vec<Frame>,
    frame_rate: FrameRate,
}

/// Why frames could not be put together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// The buffer does not hold `width · height · 3` bytes.
    #[error("a frame of {width}×{height} needs {expected} bytes of RGB, got {actual}", width = size.width, height = size.height)]
    Length {
        /// The sides that were asked for.
        size: Size,
        /// Bytes those sides need.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// A clip without frames.
    #[error("a clip needs at least one frame")]
    Empty,
    /// A frame whose size differs from the first one's.
    #[error("frame {index} is {}×{}, the first is {}×{}", actual.width, actual.height, expected.width, expected.height)]
    Mixed {
        /// Which frame.
        index: usize,
        /// The first frame's size.
        expected: Size,
        /// This frame's size.
        actual: Size,
    },
}

impl Size {
    /// Sides in pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Pixels in a picture of this size.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// Tells the size; millions of bytes would tell nobody anything.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({})", self.size)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FrameRate {
    /// A whole number of frames a second.
    pub const fn whole(frames_per_second: u32) -> Self {
        Self { numerator: frames_per_second, denominator: 1 }
    }

    /// Frames a second, rounded to the nearest `f64`.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl Frame {
    /// A frame over its bytes.
    ///
    /// # Errors
    /// [`FrameError::Length`] unless `rgb` holds `width · height · 3` bytes.
    pub fn new(size: Size, rgb: Vec<u8>) -> Result<Self, FrameError> {
        let expected = size.pixels() * 3;
        if rgb.len() != expected {
            return Err(FrameError::Length { size, expected, actual: rgb.len() });
        }
        Ok(Self { size, rgb })
    }

    /// A frame of one colour.
    pub fn filled(size: Size, colour: [u8; 3]) -> Self {
        Self { size, rgb: colour.repeat(size.pixels()) }
    }

    /// The sides in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The bytes, `[height][width][3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes, to draw on.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// The colour of one pixel; panics outside the frame.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y as usize * self.size.width as usize + x as usize) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

impl Clip {
    /// A clip over its frames.
    ///
    /// # Errors
    /// [`FrameError::Empty`] or [`FrameError::Mixed`].
    pub fn new(frames: Vec<Frame>, frame_rate: FrameRate) -> Result<Self, FrameError> {
        let expected = frames.first().ok_or(FrameError::Empty)?.size();
        for (index, frame) in frames.iter().enumerate() {
            if frame.size() != expected {
                return Err(FrameError::Mixed { index, expected, actual: frame.size() });
            }
        }
        Ok(Self { frames, frame_rate })
    }

    /// The size that every frame has.
    pub fn size(&self) -> Size {
        self.frames[0].size()
    }

    /// The frames in order.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frames, to draw on; their sizes cannot change.
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames
    }

    /// The frames, taken out.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    /// Frames a second.
    pub fn frame_rate(&self) -> FrameRate {
        self.frame_rate
    }

    /// How long the clip plays.
    pub fn duration_s(&self) -> f64 {
        self.frames.len() as f64 / self.frame_rate.as_f64()
    }
}
