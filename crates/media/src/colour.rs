//! RGB to the Y′CbCr of video and back: ITU-R BT.709-6 and BT.601-7, 4:2:0.
//!
//! Chroma is the mean of four pixels and sits in their middle, which is how browsers read it back.

use rayon::prelude::*;

use crate::frame::{Frame, Size};

/// A picture as H.264 codes it: a luma plane and two chroma planes of half the sides. Sides are even.
#[derive(Clone, Debug)]
pub(crate) struct I420 {
    /// Sides of the luma plane: those of the frame, rounded up to even.
    pub(crate) size: Size,
    pub(crate) luma: Vec<u8>,
    pub(crate) blue: Vec<u8>,
    pub(crate) red: Vec<u8>,
}

/// Planes of a decoded picture, rows `stride` bytes apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes<'a> {
    pub(crate) luma: &'a [u8],
    pub(crate) blue: &'a [u8],
    pub(crate) red: &'a [u8],
    pub(crate) luma_stride: usize,
    pub(crate) chroma_stride: usize,
}

/// What the numbers in a decoded picture mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColourSpace {
    pub(crate) matrix: Matrix,
    pub(crate) full_range: bool,
}

/// How luma is mixed from red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matrix {
    Bt601,
    Bt709,
}

impl Matrix {
    const fn weights(self) -> Weights {
        match self {
            Self::Bt601 => Weights { red: 0.299, blue: 0.114 },
            Self::Bt709 => Weights { red: 0.2126, blue: 0.0722 },
        }
    }
}

#[derive(Clone, Copy)]
struct Weights {
    red: f64,
    blue: f64,
}

impl Weights {
    const fn green(self) -> f64 {
        1.0 - self.red - self.blue
    }
}

/// Numbers behind the point in the integer matrices.
const FRACTION_BITS: u32 = 16;

const fn fixed(value: f64) -> i32 {
    let scaled = value * (1_u32 << FRACTION_BITS) as f64;
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// Rows of the RGB → limited-range BT.709 matrix.
struct ToVideo {
    luma: [i32; 3],
    blue: [i32; 3],
    red: [i32; 3],
}

const TO_VIDEO: ToVideo = {
    let w = Matrix::Bt709.weights();
    let luma = 219.0 / 255.0;
    let blue = 224.0 / 255.0 / (2.0 * (1.0 - w.blue));
    let red = 224.0 / 255.0 / (2.0 * (1.0 - w.red));
    ToVideo {
        luma: [fixed(w.red * luma), fixed(w.green() * luma), fixed(w.blue * luma)],
        blue: [fixed(-w.red * blue), fixed(-w.green() * blue), fixed((1.0 - w.blue) * blue)],
        red: [fixed((1.0 - w.red) * red), fixed(-w.green() * red), fixed(-w.blue * red)],
    }
};

fn dot(row: [i32; 3], rgb: [i32; 3]) -> i32 {
    row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2]
}

fn luma_of(rgb: [i32; 3]) -> u8 {
    let bias = (16 << FRACTION_BITS) + (1 << (FRACTION_BITS - 1));
    ((dot(TO_VIDEO.luma, rgb) + bias) >> FRACTION_BITS) as u8
}

/// Chroma from the sum of four pixels.
fn chroma_of(row: [i32; 3], sum: [i32; 3]) -> u8 {
    let bias = (128 << (FRACTION_BITS + 2)) + (1 << (FRACTION_BITS + 1));
    ((dot(row, sum) + bias) >> (FRACTION_BITS + 2)) as u8
}

fn rgb_at(row: &[u8], at: usize) -> [i32; 3] {
    [i32::from(row[at]), i32::from(row[at + 1]), i32::from(row[at + 2])]
}

impl I420 {
    /// Converts to limited-range BT.709; an odd last column or row is repeated to make the sides even.
    pub(crate) fn from_frame(frame: &Frame) -> Self {
        let size = Size::new(frame.size().width.next_multiple_of(2), frame.size().height.next_multiple_of(2));
        let (width, chroma) = (size.width as usize, size.pixels() / 4);
        let mut picture = Self { size, luma: vec![0; size.pixels()], blue: vec![0; chroma], red: vec![0; chroma] };
        if size.pixels() == 0 {
            return picture;
        }
        let stride = frame.size().width as usize * 3;
        (frame.rgb().par_chunks(2 * stride))
            .zip(picture.luma.par_chunks_mut(2 * width))
            .zip(picture.blue.par_chunks_mut(width / 2).zip(picture.red.par_chunks_mut(width / 2)))
            .with_min_len(64)
            .for_each(|((rgb, luma), (blue, red))| {
                let upper = &rgb[..stride];
                let lower = if rgb.len() > stride { &rgb[stride..] } else { upper };
                let (upper_luma, lower_luma) = luma.split_at_mut(width);
                convert_row_pair([upper, lower], [upper_luma, lower_luma], blue, red);
            });
        picture
    }
}

fn convert_row_pair(rgb: [&[u8]; 2], luma: [&mut [u8]; 2], blue: &mut [u8], red: &mut [u8]) {
    let [upper_luma, lower_luma] = luma;
    let lumas = upper_luma.chunks_exact_mut(2).zip(lower_luma.chunks_exact_mut(2));
    let chromas = blue.iter_mut().zip(red.iter_mut());
    let pixels = rgb[0].chunks(6).zip(rgb[1].chunks(6));
    for (((upper, lower), (upper_luma, lower_luma)), (blue, red)) in pixels.zip(lumas).zip(chromas) {
        // The last chunk of an odd row holds one pixel, which counts twice.
        let right = upper.len() - 3;
        let quad = [rgb_at(upper, 0), rgb_at(upper, right), rgb_at(lower, 0), rgb_at(lower, right)];
        upper_luma[0] = luma_of(quad[0]);
        upper_luma[1] = luma_of(quad[1]);
        lower_luma[0] = luma_of(quad[2]);
        lower_luma[1] = luma_of(quad[3]);
        let sum = std::array::from_fn(|c| quad[0][c] + quad[1][c] + quad[2][c] + quad[3][c]);
        *blue = chroma_of(TO_VIDEO.blue, sum);
        *red = chroma_of(TO_VIDEO.red, sum);
    }
}

/// The Y′CbCr → RGB matrix of a colour space; chroma comes times 16.
#[derive(Clone, Copy)]
struct ToRgb {
    black: i32,
    luma: i32,
    red_from_red: i32,
    green_from_blue: i32,
    green_from_red: i32,
    blue_from_blue: i32,
}

impl ToRgb {
    fn new(space: ColourSpace) -> Self {
        let w = space.matrix.weights();
        let (black, luma, chroma) =
            if space.full_range { (0, 1.0, 1.0 / 16.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0 / 16.0) };
        let red = 2.0 * (1.0 - w.red) * chroma;
        let blue = 2.0 * (1.0 - w.blue) * chroma;
        Self {
            black,
            luma: fixed(luma),
            red_from_red: fixed(red),
            green_from_blue: fixed(-blue * w.blue / w.green()),
            green_from_red: fixed(-red * w.red / w.green()),
            blue_from_blue: fixed(blue),
        }
    }

    fn apply(self, luma: u8, blue: i32, red: i32) -> [u8; 3] {
        let y = (i32::from(luma) - self.black) * self.luma + (1 << (FRACTION_BITS - 1));
        let (blue, red) = (blue - 128 * 16, red - 128 * 16);
        let clamp = |value: i32| (value >> FRACTION_BITS).clamp(0, 255) as u8;
        [
            clamp(y + self.red_from_red * red),
            clamp(y + self.green_from_blue * blue + self.green_from_red * red),
            clamp(y + self.blue_from_blue * blue),
        ]
    }
}

/// Converts the upper left `size` of decoded planes; chroma is interpolated between its four neighbours.
///
/// The planes must cover `size` rounded up to even; [`Planes::covers`] tells.
pub(crate) fn frame_from_planes(planes: Planes<'_>, size: Size, space: ColourSpace) -> Frame {
    let mut frame = Frame::filled(size, [0; 3]);
    let width = size.width as usize;
    if size.pixels() == 0 {
        return frame;
    }
    let to_rgb = ToRgb::new(space);
    let chroma_width = width.div_ceil(2);
    let last_row = (size.height as usize).div_ceil(2) - 1;
    frame.rgb_mut().par_chunks_mut(width * 3).with_min_len(64).enumerate().for_each_init(
        || (vec![0; chroma_width], vec![0; chroma_width]),
        |(blue, red), (y, rgb)| {
            let near = y / 2;
            let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(last_row) };
            mix_rows(planes.blue, planes.chroma_stride, [near, far], blue);
            mix_rows(planes.red, planes.chroma_stride, [near, far], red);
            let luma = &planes.luma[y * planes.luma_stride..][..width];
            let pairs = luma.chunks(2).zip(rgb.chunks_mut(6));
            for (column, (luma, rgb)) in pairs.enumerate() {
                let (left, right) = (column.saturating_sub(1), (column + 1).min(chroma_width - 1));
                let mixed = |row: &[i32], far: usize| 3 * row[column] + row[far];
                rgb[..3].copy_from_slice(&to_rgb.apply(luma[0], mixed(blue, left), mixed(red, left)));
                if let (Some(&luma), Some(rgb)) = (luma.get(1), rgb.get_mut(3..)) {
                    rgb.copy_from_slice(&to_rgb.apply(luma, mixed(blue, right), mixed(red, right)));
                }
            }
        },
    );
    frame
}

/// Three parts of the nearer chroma row and one of the farther.
fn mix_rows(plane: &[u8], stride: usize, [near, far]: [usize; 2], mixed: &mut [i32]) {
    let near = &plane[near * stride..][..mixed.len()];
    let far = &plane[far * stride..][..mixed.len()];
    for ((mixed, &near), &far) in mixed.iter_mut().zip(near).zip(far) {
        *mixed = 3 * i32::from(near) + i32::from(far);
    }
}

impl Planes<'_> {
    /// Whether a frame of this size can be cut out.
    pub(crate) fn covers(&self, size: Size) -> bool {
        let covers = |plane: &[u8], stride: usize, width: usize, height: usize| {
            width <= stride && (height == 0 || plane.len() >= (height - 1) * stride + width)
        };
        let (width, height) = (size.width as usize, size.height as usize);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        covers(self.luma, self.luma_stride, width, height)
            && covers(self.blue, self.chroma_stride, half_width, half_height)
            && covers(self.red, self.chroma_stride, half_width, half_height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BT709: ColourSpace = ColourSpace { matrix: Matrix::Bt709, full_range: false };

    fn there_and_back(frame: &Frame) -> Frame {
        let picture = I420::from_frame(frame);
        let width = picture.size.width as usize;
        let planes = Planes {
            luma: &picture.luma,
            blue: &picture.blue,
            red: &picture.red,
            luma_stride: width,
            chroma_stride: width / 2,
        };
        assert!(planes.covers(frame.size()));
        frame_from_planes(planes, frame.size(), BT709)
    }

    /// The 8-bit codes of 100 % bars in BT.709, as in ITU-R BT.709-6 §3 rounded.
    #[test]
    fn primaries_have_the_codes_of_the_standard() {
        let check = |rgb: [u8; 3], expected: [u8; 3]| {
            let picture = I420::from_frame(&Frame::filled(Size::new(2, 2), rgb));
            assert_eq!([picture.luma[0], picture.blue[0], picture.red[0]], expected, "{rgb:?}");
        };
        check([0, 0, 0], [16, 128, 128]);
        check([255, 255, 255], [235, 128, 128]);
        check([255, 0, 0], [63, 102, 240]);
        check([0, 255, 0], [173, 42, 26]);
        check([0, 0, 255], [32, 240, 118]);
    }

    #[test]
    fn flat_colours_come_back() {
        for colour in
            [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [12, 200, 99]]
        {
            for size in [Size::new(1, 1), Size::new(5, 3), Size::new(16, 16), Size::new(2, 7)] {
                let back = there_and_back(&Frame::filled(size, colour));
                for pixel in back.rgb().chunks_exact(3) {
                    for (a, b) in pixel.iter().zip(colour) {
                        assert!(a.abs_diff(b) <= 2, "{colour:?} came back as {pixel:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_grey_ramp_keeps_its_steps() {
        let ramp: Vec<u8> = (0..=255).flat_map(|v| [v; 3]).collect();
        let back = there_and_back(&Frame::new(Size::new(256, 1), ramp.clone()).unwrap());
        for (a, b) in back.rgb().iter().zip(&ramp) {
            assert!(a.abs_diff(*b) <= 1);
        }
    }
}
