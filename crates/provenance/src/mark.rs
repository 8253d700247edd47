//! The visible mark: the word «misora» under a small sun, wandering slowly over the picture.
//!
//! It moves so that no crop and no patch takes it away from the whole clip. The letters are our own strokes: no font file is needed.

use media::{Frame, Size};
use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

/// The visible mark, drawn once for a frame size and blended into every frame.
///
/// Invariant: the stamp is no larger than the frame.
#[derive(Clone, Debug)]
pub struct VisibleMark {
    frame: Size,
    stamp: Size,
    /// `[height][width]`, premultiplied.
    pixels: Vec<StampPixel>,
}

/// What one pixel of the stamp does to a frame: `new = old · keep / 255 + add`.
#[derive(Clone, Copy, Debug)]
struct StampPixel {
    add: u8,
    keep: u8,
}

/// The drawing's own units: the height of the letter «m» is 10.
const DRAWING_WIDTH: f32 = 97.0;
const DRAWING_HEIGHT: f32 = 25.0;
const STROKE_WIDTH: f32 = 2.6;
/// Share of the frame's width that the mark takes; portrait frames count as if they were a little wider.
const WIDTH_SHARE: f64 = 0.13;
/// Below this many pixels nobody reads the word.
const SMALLEST_WIDTH: f64 = 34.0;
const OPACITY: f32 = 0.75;
/// How long the mark stays in one place, and how much of that time it glides to the next.
const STAY_S: f64 = 2.0;
const GLIDE_S: f64 = 0.5;
/// Where it stays, in shares of the free room: never the middle, where the subject is, and never twice the same side in a row.
const PLACES: [(f64, f64); 8] =
    [(0.97, 0.95), (0.03, 0.06), (0.90, 0.30), (0.06, 0.90), (0.97, 0.05), (0.03, 0.62), (0.60, 0.95), (0.35, 0.05)];

impl VisibleMark {
    /// The mark for frames of this size.
    pub fn new(size: Size) -> Self {
        let width = (f64::from(size.width.max(size.height * 3 / 4)) * WIDTH_SHARE).max(SMALLEST_WIDTH);
        let scale = (width as f32 / DRAWING_WIDTH)
            .min(size.width as f32 / DRAWING_WIDTH)
            .min(size.height as f32 / DRAWING_HEIGHT)
            .max(f32::MIN_POSITIVE);
        let stamp = Size::new(
            ((DRAWING_WIDTH * scale) as u32).clamp(1, size.width.max(1)),
            ((DRAWING_HEIGHT * scale).ceil() as u32).clamp(1, size.height.max(1)),
        );
        Self { frame: size, stamp, pixels: rasterise(stamp, scale) }
    }

    /// Blends the mark into a frame at the place that belongs to this time.
    ///
    /// # Panics
    /// If the frame has another size than the mark was made for.
    pub fn draw(&self, frame: &mut Frame, time_s: f64) {
        assert_eq!(frame.size(), self.frame, "the mark was made for another frame size");
        if self.frame.pixels() == 0 {
            return;
        }
        let (left, top) = self.place(time_s);
        let stamp_width = self.stamp.width as usize;
        let frame_row_bytes = self.frame.width as usize * 3;
        let rows = frame.rgb_mut().chunks_exact_mut(frame_row_bytes).skip(top as usize);
        for (row, stamp_row) in rows.zip(self.pixels.chunks_exact(stamp_width)) {
            let row = &mut row[left as usize * 3..][..stamp_width * 3];
            for (pixel, stamp) in row.chunks_exact_mut(3).zip(stamp_row) {
                for channel in pixel {
                    *channel = divide_by_255(u16::from(*channel) * u16::from(stamp.keep)).saturating_add(stamp.add);
                }
            }
        }
    }

    /// The upper left corner at a time, in whole pixels. Times before zero and not-a-number count as zero.
    fn place(&self, time_s: f64) -> (u32, u32) {
        let time_s = if time_s.is_finite() { time_s.max(0.0) } else { 0.0 };
        let round = time_s % (STAY_S * PLACES.len() as f64);
        let index = (round / STAY_S) as usize % PLACES.len();
        let into_stay_s = round - index as f64 * STAY_S;
        let glide = ((into_stay_s - (STAY_S - GLIDE_S)) / GLIDE_S).clamp(0.0, 1.0);
        let eased = glide * glide * (3.0 - 2.0 * glide);
        let (from, to) = (PLACES[index], PLACES[(index + 1) % PLACES.len()]);
        let room = |frame: u32, stamp: u32| f64::from(frame - stamp);
        let at = |from: f64, to: f64, room: f64| ((from + (to - from) * eased) * room).round() as u32;
        (
            at(from.0, to.0, room(self.frame.width, self.stamp.width)),
            at(from.1, to.1, room(self.frame.height, self.stamp.height)),
        )
    }
}

/// `value / 255`, rounded, for `value ≤ 255 · 255`.
fn divide_by_255(value: u16) -> u8 {
    let biased = u32::from(value) + 128;
    ((biased + (biased >> 8)) >> 8) as u8
}

fn rasterise(stamp: Size, scale: f32) -> Vec<StampPixel> {
    let mut pixmap = Pixmap::new(stamp.width, stamp.height).expect("a stamp has at least one pixel and fits its frame");
    let transform = Transform::from_scale(scale, scale);
    let (strokes, sun) = (word(), sun_over_paper());
    let pen = |width: f32| Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };

    // Three widening strokes, each faint, add up to a soft dark edge that holds the white on snow as well as on night. The
    // smaller the stamp, the wider its edge in the drawing's units, so that it never falls under half a pixel.
    let edge = 1.0_f32.max(0.55 / scale);
    for (widening, alpha) in [(3.0 * edge, 0.16), (2.0 * edge, 0.25), (1.1 * edge, 0.45)] {
        let mut dark = Paint { anti_alias: true, ..Paint::default() };
        dark.set_color(Color::from_rgba(0.05, 0.06, 0.10, alpha).expect("within 0..=1"));
        pixmap.stroke_path(&strokes, &dark, &pen(STROKE_WIDTH + widening), transform, None);
        pixmap.stroke_path(&sun.rays, &dark, &pen(STROKE_WIDTH * 0.7 + widening), transform, None);
        pixmap.stroke_path(&sun.disc, &dark, &pen(widening), transform, None);
    }
    let mut white = Paint { anti_alias: true, ..Paint::default() };
    white.set_color(Color::WHITE);
    pixmap.stroke_path(&strokes, &white, &pen(STROKE_WIDTH.max(1.0 / scale)), transform, None);
    pixmap.stroke_path(&sun.rays, &white, &pen(STROKE_WIDTH * 0.7), transform, None);
    pixmap.fill_path(&sun.disc, &white, FillRule::Winding, transform, None);

    // The colours are greys but for a breath of blue in the edge; one channel is enough.
    pixmap
        .pixels()
        .iter()
        .map(|pixel| StampPixel {
            add: (f32::from(pixel.green()) * OPACITY).round() as u8,
            keep: 255 - (f32::from(pixel.alpha()) * OPACITY).round() as u8,
        })
        .collect()
}

/// Where the letters stand: the line they rest on, the line round letters reach.
const BASE: f32 = 20.0;
const TOP: f32 = 10.0;
/// How far a quarter circle's control points lie from its ends, in radii.
const ROUND: f32 = 0.5523;

/// The six letters as one path of strokes.
fn word() -> Path {
    let mut path = PathBuilder::new();
    // m: a stem and two arches.
    arch_stem(&mut path, 27.0);
    arch(&mut path, 27.0, 33.5);
    arch(&mut path, 33.5, 40.0);
    // i: a stem; its dot is small and round.
    path.move_to(45.6, TOP);
    path.line_to(45.6, BASE);
    path.move_to(45.6, 5.6);
    path.line_to(45.6, 5.61);
    // s: two opposed curves.
    path.move_to(57.0, 11.6);
    path.cubic_to(55.6, 9.4, 50.6, 9.4, 50.6, 12.4);
    path.cubic_to(50.6, 15.6, 57.4, 14.2, 57.4, 17.4);
    path.cubic_to(57.4, 20.8, 51.8, 20.6, 50.4, 18.2);
    // o: a circle.
    circle(&mut path, 66.8, 15.0, 5.0);
    // r: a stem and half an arch.
    arch_stem(&mut path, 76.4);
    path.move_to(76.4, 14.4);
    path.cubic_to(76.6, 11.4, 78.6, 9.8, 81.4, 10.2);
    // a: a circle with a stem at its right.
    circle(&mut path, 88.6, 15.0, 5.0);
    path.move_to(93.6, TOP);
    path.line_to(93.6, BASE);
    path.finish().expect("a path with finite points")
}

fn arch_stem(path: &mut PathBuilder, x: f32) {
    path.move_to(x, TOP);
    path.line_to(x, BASE);
}

/// A half circle from one stem to the next, and the next stem down to the base.
fn arch(path: &mut PathBuilder, from_x: f32, to_x: f32) {
    let radius = (to_x - from_x) / 2.0;
    let (middle, spring) = (from_x + radius, TOP + radius);
    path.move_to(from_x, spring);
    path.cubic_to(from_x, spring - radius * ROUND, middle - radius * ROUND, TOP, middle, TOP);
    path.cubic_to(middle + radius * ROUND, TOP, to_x, spring - radius * ROUND, to_x, spring);
    path.line_to(to_x, BASE);
}

fn circle(path: &mut PathBuilder, x: f32, y: f32, radius: f32) {
    path.push_circle(x, y, radius);
}

/// The sign before the word: half a sun rising from a folded sheet.
struct Sign {
    disc: Path,
    rays: Path,
}

fn sun_over_paper() -> Sign {
    let (x, y, radius) = (12.0, 15.6, 5.0);
    let mut disc = PathBuilder::new();
    disc.move_to(x - radius, y);
    disc.cubic_to(x - radius, y - radius * ROUND, x - radius * ROUND, y - radius, x, y - radius);
    disc.cubic_to(x + radius * ROUND, y - radius, x + radius, y - radius * ROUND, x + radius, y);
    disc.close();

    let mut rays = PathBuilder::new();
    for degrees in [-90.0_f32, -138.0, -42.0] {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        rays.move_to(x + cosine * (radius + 2.6), y + sine * (radius + 2.6));
        rays.line_to(x + cosine * (radius + 5.0), y + sine * (radius + 5.0));
    }
    // The sheet: one fold, like an open book seen from the front.
    rays.move_to(3.6, 18.6);
    rays.line_to(x, 21.4);
    rays.line_to(20.4, 18.6);
    Sign {
        disc: disc.finish().expect("a path with finite points"),
        rays: rays.finish().expect("a path with finite points"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_pixels(size: Size, colour: [u8; 3], time_s: f64) -> Vec<(u32, u32)> {
        let mut frame = Frame::filled(size, colour);
        VisibleMark::new(size).draw(&mut frame, time_s);
        (0..size.height)
            .flat_map(|y| (0..size.width).map(move |x| (x, y)))
            .filter(|&(x, y)| frame.pixel(x, y) != colour)
            .collect()
    }

    fn check(width: u32, height: u32) {
        let size = Size::new(width, height);
        for colour in [[0, 0, 0], [255, 255, 255], [90, 140, 200]] {
            let changed = changed_pixels(size, colour, 0.0);
            assert!(changed.len() >= 100, "{size}: only {} pixels of mark on {colour:?}", changed.len());
            assert!(changed.len() * 10 <= size.pixels(), "{size}: {} pixels are too many", changed.len());
        }
    }

    #[test]
    fn it_shows_on_anything_and_leaves_most_pixels_alone() {
        check(128, 72);
        check(1280, 720);
        check(1080, 1920);
        check(960, 960);
    }

    #[test]
    fn it_changes_place_and_comes_back() {
        let size = Size::new(320, 180);
        let places: Vec<_> = (0..8).map(|stay| changed_pixels(size, [60; 3], f64::from(stay) * STAY_S)).collect();
        for (index, place) in places.iter().enumerate() {
            assert!(places[index + 1..].iter().all(|other| other != place), "place {index} is taken twice");
        }
        assert_eq!(places[0], changed_pixels(size, [60; 3], 8.0 * STAY_S));
        assert_eq!(places[0], changed_pixels(size, [60; 3], STAY_S - GLIDE_S - 0.01), "it rests between glides");
    }

    #[test]
    fn it_glides_without_a_jump() {
        let mark = VisibleMark::new(Size::new(1280, 720));
        let mut before = mark.place(0.0);
        for frame in 1..(16 * 240) {
            let now = mark.place(f64::from(frame) / 240.0);
            let step = before.0.abs_diff(now.0).max(before.1.abs_diff(now.1));
            assert!(step < 20, "a step of {step} pixels at frame {frame}");
            before = now;
        }
    }

    #[test]
    fn odd_sizes_and_times_do_no_harm() {
        for (width, height) in [(1, 1), (3, 200), (200, 3), (33, 17), (0, 0)] {
            let size = Size::new(width, height);
            for time_s in [-1.0, f64::NAN, f64::INFINITY, 1e18] {
                VisibleMark::new(size).draw(&mut Frame::filled(size, [9; 3]), time_s);
            }
        }
    }

    #[test]
    fn white_and_edge_differ_enough_to_read() {
        for ground in [0_u8, 128, 255] {
            let size = Size::new(1280, 720);
            let mut frame = Frame::filled(size, [ground; 3]);
            VisibleMark::new(size).draw(&mut frame, 0.0);
            let (darkest, brightest) =
                frame.rgb().iter().fold((255, 0), |(low, high), &value| (value.min(low), value.max(high)));
            assert!(brightest - darkest > 60, "ground {ground}: from {darkest} to {brightest}");
        }
    }
}
