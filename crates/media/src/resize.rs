//! Scaling frames. Values are taken as they are, gamma included, as video scalers do.

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::U8x3;

use crate::frame::{Frame, Size};

/// How new pixels are made from old ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// The sharpest; may ring at hard edges.
    #[default]
    Lanczos3,
    /// Nearly as sharp, rings less and is faster.
    CatmullRom,
    /// Soft and cheap.
    Bilinear,
    /// The mean of what a new pixel covers: right for making things much smaller.
    Area,
}

impl Filter {
    fn algorithm(self) -> fir::ResizeAlg {
        fir::ResizeAlg::Convolution(match self {
            Self::Lanczos3 => fir::FilterType::Lanczos3,
            Self::CatmullRom => fir::FilterType::CatmullRom,
            Self::Bilinear => fir::FilterType::Bilinear,
            Self::Area => fir::FilterType::Box,
        })
    }
}

/// Scales many frames with one set of buffers.
#[derive(Debug, Default)]
pub struct Resizer {
    inner: fir::Resizer,
}

impl Resizer {
    /// A resizer that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scales a frame to a size, whatever that does to its proportions.
    pub fn resize(&mut self, frame: &Frame, size: Size, filter: Filter) -> Frame {
        let mut scaled = Frame::filled(size, [0; 3]);
        self.resize_into(frame, &mut scaled, filter);
        scaled
    }

    /// Scales a frame to the size of another, and writes over that one.
    pub fn resize_into(&mut self, frame: &Frame, scaled: &mut Frame, filter: Filter) {
        self.run(frame, scaled, fir::ResizeOptions::new().resize_alg(filter.algorithm()));
    }

    /// Scales a frame until it covers a size, and cuts off what sticks out on two sides, equally.
    pub fn cover(&mut self, frame: &Frame, size: Size, filter: Filter) -> Frame {
        let mut scaled = Frame::filled(size, [0; 3]);
        self.cover_into(frame, &mut scaled, filter);
        scaled
    }

    /// [`cover`](Self::cover) the size of another frame, and write over that one.
    pub fn cover_into(&mut self, frame: &Frame, scaled: &mut Frame, filter: Filter) {
        let options = fir::ResizeOptions::new().resize_alg(filter.algorithm());
        self.run(frame, scaled, options.fit_into_destination(Some((0.5, 0.5))));
    }

    /// Leaves `scaled` alone when one of the frames has no pixels.
    fn run(&mut self, frame: &Frame, scaled: &mut Frame, options: fir::ResizeOptions) {
        let (from, to) = (frame.size(), scaled.size());
        if from.pixels() == 0 || to.pixels() == 0 {
            return;
        }
        // The typed call: the one that looks up the pixel type at run time compiles every pixel type there is.
        let source = TypedImageRef::<U8x3>::from_buffer(from.width, from.height, frame.rgb())
            .expect("a frame holds three bytes for each of its pixels");
        let mut target = TypedImage::<U8x3>::from_buffer(to.width, to.height, scaled.rgb_mut())
            .expect("a frame holds three bytes for each of its pixels");
        self.inner.resize_typed(&source, &mut target, &options).expect("the crop is inside");
    }
}

/// Scales one frame to a size, whatever that does to its proportions.
pub fn resize(frame: &Frame, size: Size, filter: Filter) -> Frame {
    Resizer::new().resize(frame, size, filter)
}

/// Scales one frame until it covers a size, and cuts off what sticks out on two sides, equally.
pub fn cover(frame: &Frame, size: Size) -> Frame {
    Resizer::new().cover(frame, size, Filter::Lanczos3)
}

/// The frame with its longer side at most `max_side`, proportions kept. A smaller frame stays as it is.
pub fn thumbnail(frame: &Frame, max_side: u32) -> Frame {
    let Size { width, height } = frame.size();
    let longer = width.max(height);
    if longer <= max_side {
        return frame.clone();
    }
    let scale = |side: u32| {
        let scaled = (u64::from(side) * u64::from(max_side) + u64::from(longer) / 2) / u64::from(longer);
        (scaled as u32).max(1)
    };
    resize(frame, Size::new(scale(width), scale(height)), Filter::Lanczos3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left half black, right half white.
    fn halves(size: Size) -> Frame {
        let mut frame = Frame::filled(size, [0; 3]);
        let width = size.width as usize;
        for (index, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
            if index % width >= width / 2 {
                pixel.fill(255);
            }
        }
        frame
    }

    #[test]
    fn every_filter_keeps_a_flat_colour() {
        for filter in [Filter::Lanczos3, Filter::CatmullRom, Filter::Bilinear, Filter::Area] {
            for size in [Size::new(1, 1), Size::new(7, 3), Size::new(64, 90)] {
                let scaled = resize(&Frame::filled(Size::new(20, 20), [10, 200, 90]), size, filter);
                assert_eq!(scaled, Frame::filled(size, [10, 200, 90]), "{filter:?} {size}");
            }
        }
    }

    #[test]
    fn cover_keeps_the_middle_and_the_proportions() {
        let wide = cover(&halves(Size::new(200, 50)), Size::new(40, 40));
        assert_eq!(wide.size(), Size::new(40, 40));
        assert_eq!([wide.pixel(1, 20), wide.pixel(38, 20)], [[0; 3], [255; 3]]);
        assert!((100..156).contains(&((i32::from(wide.pixel(19, 5)[0]) + i32::from(wide.pixel(20, 5)[0])) / 2)));
    }

    #[test]
    fn a_thumbnail_never_grows() {
        let check = |from: Size, max_side: u32, expected: Size| {
            assert_eq!(thumbnail(&halves(from), max_side).size(), expected);
        };
        check(Size::new(1280, 720), 320, Size::new(320, 180));
        check(Size::new(720, 1280), 320, Size::new(180, 320));
        check(Size::new(100, 100), 320, Size::new(100, 100));
        check(Size::new(2000, 1), 100, Size::new(100, 1));
    }

    #[test]
    fn frames_without_pixels_do_no_harm() {
        let nothing = Frame::filled(Size::new(0, 4), [0; 3]);
        assert_eq!(cover(&nothing, Size::new(2, 2)), Frame::filled(Size::new(2, 2), [0; 3]));
        assert_eq!(cover(&halves(Size::new(4, 4)), Size::new(0, 4)), nothing);
    }
}
