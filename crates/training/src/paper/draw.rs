//! Cutting paper: outlines, their soft shadows and their cream rims.

use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

/// 8-bit sRGB.
pub(super) type Rgb = [u8; 3];

/// The border that every cut-out keeps, so that any colour reads on any background.
pub(super) const CREAM: Rgb = [255, 249, 234];

/// One piece of paper; coordinates in the units of whoever draws it, y downwards.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The closed outline, clockwise on screen.
    pub(super) outline: Vec<(f32, f32)>,
    pub(super) colour: Rgb,
    /// 0..1.
    pub(super) opacity: f32,
    /// Whether the piece belongs to the silhouette: it has a rim and throws a shadow. Otherwise it is glued on.
    pub(super) silhouette: bool,
}

impl Piece {
    pub(super) fn new(mut outline: Vec<(f32, f32)>, colour: Rgb) -> Self {
        // One orientation for all, so that overlapping outlines unite under the winding rule.
        if signed_area(&outline) < 0.0 {
            outline.reverse();
        }
        Self { outline, colour, opacity: 1.0, silhouette: true }
    }

    /// The piece as a detail that has neither rim nor shadow.
    pub(super) fn glued(mut self) -> Self {
        self.silhouette = false;
        self
    }

    /// The piece, see-through.
    pub(super) fn faint(mut self, opacity: f32) -> Self {
        self.opacity = opacity;
        self
    }

    /// Turned by `angle_rad` (clockwise) around a point.
    pub(super) fn turned(mut self, angle_rad: f32, (cx, cy): (f32, f32)) -> Self {
        let (sin, cos) = angle_rad.sin_cos();
        for (x, y) in &mut self.outline {
            let (dx, dy) = (*x - cx, *y - cy);
            (*x, *y) = (cx + dx * cos - dy * sin, cy + dx * sin + dy * cos);
        }
        self
    }

    /// Left, top, right, bottom.
    pub(super) fn bounds(&self) -> (f32, f32, f32, f32) {
        self.outline.iter().fold((f32::MAX, f32::MAX, f32::MIN, f32::MIN), |(l, t, r, b), &(x, y)| {
            (l.min(x), t.min(y), r.max(x), b.max(y))
        })
    }
}

fn signed_area(outline: &[(f32, f32)]) -> f32 {
    let next = outline.iter().cycle().skip(1);
    outline.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum()
}

/// A disc that scissors cut: round, but not perfectly.
pub(super) fn disc(cx: f32, cy: f32, rx: f32, ry: f32) -> Vec<(f32, f32)> {
    let (steps, phase) = (44, cx * 9.0 + cy * 5.0);
    (0..steps)
        .map(|step| {
            let angle = step as f32 / steps as f32 * std::f32::consts::TAU;
            let r = 1.0 + 0.012 * (3.0 * angle + phase).sin() + 0.008 * (5.0 * angle - phase).cos();
            (cx + rx * r * angle.cos(), cy + ry * r * angle.sin())
        })
        .collect()
}

/// A polygon whose edges are slightly off straight.
pub(super) fn polygon(corners: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut outline = Vec::with_capacity(corners.len() * 3);
    for (at, &(x0, y0)) in corners.iter().enumerate() {
        let (x1, y1) = corners[(at + 1) % corners.len()];
        outline.push((x0, y0));
        for (share, bow) in [(0.35, 0.010), (0.7, -0.007)] {
            let bow = bow * ((at as f32 * 2.4 + x0 * 7.0).sin());
            outline.push((x0 + (x1 - x0) * share + (y1 - y0) * bow, y0 + (y1 - y0) * share - (x1 - x0) * bow));
        }
    }
    outline
}

/// A closed smooth curve through the points (Catmull–Rom).
pub(super) fn blob(points: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let count = points.len();
    let mut outline = Vec::with_capacity(count * 6);
    for at in 0..count {
        let [p0, p1, p2, p3] = [count - 1, 0, 1, 2].map(|offset| points[(at + offset) % count]);
        for step in 0..6 {
            let t = step as f32 / 6.0;
            let spline = |a: f32, b: f32, c: f32, d: f32| {
                0.5 * (2.0 * b
                    + (c - a) * t
                    + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
                    + (3.0 * b - a - 3.0 * c + d) * t * t * t)
            };
            outline.push((spline(p0.0, p1.0, p2.0, p3.0), spline(p0.1, p1.1, p2.1, p3.1)));
        }
    }
    outline
}

/// A strip of constant width along a line.
pub(super) fn ribbon(line: &[(f32, f32)], width: f32) -> Vec<(f32, f32)> {
    let side = |sign: f32| {
        (0..line.len()).map(move |at| {
            let (x0, y0) = line[at.saturating_sub(1)];
            let (x1, y1) = line[(at + 1).min(line.len() - 1)];
            let length = (x1 - x0).hypot(y1 - y0).max(1e-6);
            let half = sign * width / 2.0 / length;
            (line[at].0 - (y1 - y0) * half, line[at].1 + (x1 - x0) * half)
        })
    };
    side(1.0).chain(side(-1.0).collect::<Vec<_>>().into_iter().rev()).collect()
}

/// A star with `tips` tips, one of them on top.
pub(super) fn star(cx: f32, cy: f32, outer: f32, inner: f32, tips: usize) -> Vec<(f32, f32)> {
    (0..tips * 2)
        .map(|at| {
            let angle = at as f32 / (tips * 2) as f32 * std::f32::consts::TAU - std::f32::consts::FRAC_PI_2;
            let radius = if at % 2 == 0 { outer } else { inner };
            (cx + radius * angle.cos(), cy + radius * angle.sin())
        })
        .collect()
}

/// `share` of the way from one colour to another.
pub(super) fn mix(from: Rgb, to: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|c| (f32::from(from[c]) + (f32::from(to[c]) - f32::from(from[c])) * share).round() as u8)
}

/// A darker (negative) or lighter (positive) shade, −1..1; very dark paper only gets lighter, very light only darker.
pub(super) fn shade(colour: Rgb, amount: f32) -> Rgb {
    let luma = colour.iter().map(|&c| u32::from(c)).sum::<u32>() / 3;
    let amount = if luma < 60 {
        amount.abs()
    } else if luma > 235 {
        -amount.abs()
    } else {
        amount
    };
    if amount < 0.0 { mix(colour, [24, 20, 36], -amount) } else { mix(colour, [255, 252, 240], amount) }
}

/// Draws flat, anti-aliased, at any scale.
pub(super) struct Canvas {
    pub(super) pixmap: Pixmap,
}

impl Canvas {
    /// An empty (see-through) canvas; sides in pixels, at least 1.
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { pixmap: Pixmap::new(width.max(1), height.max(1)).expect("sides of at least one pixel fit in memory") }
    }

    /// Fills one outline, without shadow or rim.
    pub(super) fn fill(&mut self, piece: &Piece, transform: Transform) {
        if let Some(path) = path([&piece.outline]) {
            self.pixmap.fill_path(&path, &paint(piece.colour, piece.opacity), FillRule::Winding, transform, None);
        }
    }

    /// Glues pieces on one after the other, each with its own shadow.
    pub(super) fn stack(&mut self, pieces: &[Piece], transform: Transform, shadow_px: f32) {
        for piece in pieces {
            if piece.silhouette {
                self.shadow(path([&piece.outline]).as_ref(), transform, shadow_px, -0.55);
            }
            self.fill(piece, transform);
        }
    }

    /// One cut-out of several pieces: a common shadow, a common cream rim, then the pieces.
    pub(super) fn cut_out(&mut self, pieces: &[Piece], transform: Transform, rim: f32, shadow_px: f32) {
        let whole = path(pieces.iter().filter(|piece| piece.silhouette).map(|piece| &piece.outline));
        self.shadow(whole.as_ref(), transform, shadow_px, 1.0);
        if let Some(whole) = &whole {
            let stroke = Stroke { width: rim * 2.0, line_join: LineJoin::Round, ..Stroke::default() };
            self.pixmap.stroke_path(whole, &paint(CREAM, 1.0), &stroke, transform, None);
        }
        for piece in pieces {
            self.fill(piece, transform);
        }
    }

    /// The shadow of an outline: the outline twice, moved a little, nearly see-through. `fall` is 1 for a shadow that
    /// falls to the lower right and negative for one that falls upwards (layers of a landscape stand in front of what
    /// is above them).
    fn shadow(&mut self, path: Option<&Path>, transform: Transform, shadow_px: f32, fall: f32) {
        let Some(path) = path else { return };
        for (reach, opacity) in [(1.0, 0.13), (1.9, 0.09)] {
            let moved = transform.post_translate(shadow_px * reach * 0.6, shadow_px * reach * fall);
            self.pixmap.fill_path(path, &paint([30, 20, 40], opacity), FillRule::Winding, moved, None);
        }
    }
}

fn paint(colour: Rgb, opacity: f32) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(colour[0], colour[1], colour[2], (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint.anti_alias = true;
    paint
}

fn path<'a>(outlines: impl IntoIterator<Item = &'a Vec<(f32, f32)>>) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for outline in outlines {
        for (at, &(x, y)) in outline.iter().enumerate() {
            if at == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        builder.close();
    }
    builder.finish()
}
