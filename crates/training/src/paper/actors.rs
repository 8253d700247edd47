//! The cut-outs: every kind as pieces of paper in a box around the origin, nominal height 1, looking right.

use super::draw::{CREAM, Piece, Rgb, blob, disc, mix, polygon, ribbon, shade, star};
use super::scene::{Actor, ActorKind, Colour, HairColour, HairStyle, Hat, Puppet, Skin, TimeOfDay};
use std::f32::consts::TAU;

/// Width and height of a kind relative to its nominal height.
pub(super) fn extent(kind: ActorKind) -> (f32, f32) {
    match kind {
        ActorKind::Ball | ActorKind::House => (0.96, 0.96),
        ActorKind::Star => (1.05, 1.0),
        ActorKind::Heart => (1.0, 0.94),
        ActorKind::Boat => (1.16, 1.06),
        ActorKind::Car => (1.36, 0.78),
        ActorKind::Bird => (1.24, 0.86),
        ActorKind::Fish => (1.24, 0.8),
        ActorKind::Balloon => (0.78, 1.2),
        ActorKind::Tree => (0.84, 1.16),
        ActorKind::Cloud => (1.34, 0.74),
        ActorKind::Cat => (1.16, 1.0),
        ActorKind::Rocket => (0.66, 1.2),
        ActorKind::Flower => (0.74, 1.16),
        ActorKind::Kite => (0.8, 1.24),
        ActorKind::Puppet => (0.72, 1.24),
    }
}

/// The paper of a colour.
pub(super) fn paper(colour: Colour) -> Rgb {
    match colour {
        Colour::Red => [212, 44, 42],
        Colour::Orange => [242, 132, 30],
        Colour::Yellow => [250, 206, 44],
        Colour::Green => [56, 148, 66],
        Colour::Blue => [40, 100, 200],
        Colour::Purple => [128, 62, 168],
        Colour::Pink => [246, 136, 178],
        Colour::Brown => [122, 74, 42],
        Colour::Black => [38, 36, 42],
        Colour::White => [250, 249, 246],
        Colour::Grey => [140, 145, 150],
    }
}

/// How the light falls on a cut-out: a touch of orange at dusk, a little dimmed at night.
pub(super) fn lit(colour: Rgb, time_of_day: TimeOfDay) -> Rgb {
    match time_of_day {
        TimeOfDay::Day => colour,
        TimeOfDay::Dusk => mix(colour, [240, 130, 90], 0.09),
        TimeOfDay::Night => mix(colour, [30, 40, 96], 0.15),
    }
}

/// The pieces of an actor, back to front; `stride_s` is how long it has been flapping, walking or rolling.
pub(super) fn pieces(actor: &Actor, stride_s: f32) -> Vec<Piece> {
    let main = paper(actor.colour);
    match actor.kind {
        ActorKind::Ball => ball(main),
        ActorKind::Star => star_face(main),
        ActorKind::Heart => heart(main),
        ActorKind::Boat => boat(main),
        ActorKind::Car => car(main, stride_s),
        ActorKind::Bird => bird(main, stride_s),
        ActorKind::Fish => fish(main, stride_s),
        ActorKind::Balloon => balloon(main),
        ActorKind::Tree => tree(main),
        ActorKind::House => house(main),
        ActorKind::Cloud => cloud(main),
        ActorKind::Cat => cat(main, stride_s),
        ActorKind::Rocket => rocket(main, stride_s),
        ActorKind::Flower => flower(main),
        ActorKind::Kite => kite(main, stride_s),
        ActorKind::Puppet => match &actor.puppet {
            Some(looks) => puppet(main, looks, stride_s),
            None => Vec::new(),
        },
    }
}

const INK: Rgb = [44, 38, 48];
const WOOD: Rgb = [134, 90, 56];
const LEAF: Rgb = [72, 142, 70];
const GLASS: Rgb = [190, 226, 240];

fn eye(x: f32, y: f32, radius: f32) -> [Piece; 2] {
    [
        Piece::new(disc(x, y, radius, radius), [255, 255, 255]).glued(),
        Piece::new(disc(x + radius * 0.2, y, radius * 0.55, radius * 0.6), INK).glued(),
    ]
}

fn ball(main: Rgb) -> Vec<Piece> {
    let r = 0.48;
    let band = |from: f32, to: f32| -> Vec<(f32, f32)> {
        // The part of the disc between two vertical lines.
        let arc = |x: f32, sign: f32| (x, sign * (r * r - x * x).max(0.0).sqrt());
        let xs: Vec<f32> = (0..=10).map(|step| from + (to - from) * step as f32 / 10.0).collect();
        xs.iter().map(|&x| arc(x, -1.0)).chain(xs.iter().rev().map(|&x| arc(x, 1.0))).collect()
    };
    let light = shade(main, 0.62);
    vec![
        Piece::new(disc(0.0, 0.0, r, r), main),
        Piece::new(band(-0.16, 0.16), light).glued(),
        Piece::new(band(0.30, 0.46), shade(main, -0.28)).glued(),
        Piece::new(disc(0.0, -0.02, 0.10, 0.10), main).glued(),
    ]
}

fn star_face(main: Rgb) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::new(star(0.0, 0.03, 0.54, 0.25, 5), main),
        Piece::new(star(0.0, 0.03, 0.30, 0.15, 5), shade(main, 0.35)).glued(),
    ];
    for x in [-0.07, 0.07] {
        pieces.push(Piece::new(disc(x, 0.0, 0.032, 0.045), if main[0] < 60 { CREAM } else { INK }).glued());
    }
    pieces
}

fn heart(main: Rgb) -> Vec<Piece> {
    let curve = |scale: f32, dx: f32, dy: f32| -> Vec<(f32, f32)> {
        (0..48)
            .map(|step| {
                let t = step as f32 / 48.0 * TAU;
                let x = 16.0 * t.sin().powi(3);
                let y = -(13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos());
                (x / 32.0 * scale + dx, (y - 2.5) / 31.0 * scale + dy)
            })
            .collect()
    };
    vec![
        Piece::new(curve(0.98, 0.0, 0.0), main),
        Piece::new(
            blob(&[(-0.34, -0.22), (-0.22, -0.34), (-0.10, -0.32), (-0.22, -0.22), (-0.30, -0.06)]),
            shade(main, 0.5),
        )
        .glued(),
    ]
}

fn boat(main: Rgb) -> Vec<Piece> {
    let sail = if main[0] > 240 && main[1] > 240 { [214, 226, 238] } else { [252, 250, 244] };
    vec![
        Piece::new(ribbon(&[(0.0, -0.50), (0.0, 0.22)], 0.05), WOOD),
        Piece::new(polygon(&[(0.04, -0.47), (0.46, 0.12), (0.04, 0.12)]), sail),
        Piece::new(polygon(&[(-0.05, -0.36), (-0.05, 0.12), (-0.40, 0.12)]), shade(sail, -0.10)),
        Piece::new(polygon(&[(0.04, -0.53), (-0.20, -0.46), (0.02, -0.40)]), main),
        Piece::new(
            polygon(&[(-0.58, 0.19), (0.58, 0.19), (0.50, 0.36), (0.34, 0.52), (-0.36, 0.52), (-0.50, 0.38)]),
            main,
        ),
        Piece::new(polygon(&[(-0.56, 0.26), (0.555, 0.26), (0.53, 0.33), (-0.53, 0.33)]), shade(main, 0.55)).glued(),
    ]
}

fn car(main: Rgb, stride_s: f32) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::new(
            blob(&[
                (-0.42, -0.04),
                (-0.32, -0.30),
                (-0.14, -0.38),
                (0.12, -0.37),
                (0.26, -0.24),
                (0.40, -0.02),
                (0.0, 0.06),
            ]),
            main,
        ),
        Piece::new(
            blob(&[
                (-0.66, -0.02),
                (-0.40, -0.07),
                (0.0, -0.08),
                (0.38, -0.07),
                (0.62, 0.0),
                (0.67, 0.12),
                (0.64, 0.24),
                (0.2, 0.26),
                (-0.4, 0.26),
                (-0.66, 0.22),
            ]),
            main,
        ),
        Piece::new(polygon(&[(-0.30, -0.07), (-0.24, -0.26), (-0.05, -0.29), (-0.05, -0.07)]), GLASS).glued(),
        Piece::new(polygon(&[(0.02, -0.07), (0.02, -0.29), (0.13, -0.28), (0.27, -0.07)]), GLASS).glued(),
        Piece::new(polygon(&[(-0.64, 0.08), (0.655, 0.08), (0.65, 0.14), (-0.65, 0.14)]), shade(main, -0.28)).glued(),
        Piece::new(disc(0.60, 0.05, 0.05, 0.05), [255, 240, 170]).glued(),
    ];
    for x in [-0.36, 0.36] {
        pieces.push(Piece::new(disc(x, 0.23, 0.16, 0.16), INK));
        pieces.push(Piece::new(disc(x, 0.23, 0.085, 0.085), [214, 214, 214]).glued());
        let spoke = ribbon(&[(x - 0.08, 0.23), (x + 0.08, 0.23)], 0.035);
        pieces.push(Piece::new(spoke, INK).glued().turned(stride_s * 5.0, (x, 0.23)));
    }
    pieces
}

fn bird(main: Rgb, stride_s: f32) -> Vec<Piece> {
    let flap = (stride_s * TAU * 1.1).sin() * 0.55 - 0.1;
    let mut pieces = vec![
        Piece::new(
            polygon(&[(-0.30, -0.04), (-0.62, -0.16), (-0.56, 0.0), (-0.62, 0.14), (-0.28, 0.16)]),
            shade(main, -0.2),
        ),
        Piece::new(polygon(&[(0.44, -0.16), (0.63, -0.07), (0.44, 0.01)]), [246, 160, 40]),
        Piece::new(
            blob(&[
                (-0.40, 0.04),
                (-0.14, -0.14),
                (0.12, -0.22),
                (0.28, -0.32),
                (0.46, -0.24),
                (0.49, -0.06),
                (0.36, 0.10),
                (0.12, 0.24),
                (-0.18, 0.20),
            ]),
            main,
        ),
        Piece::new(blob(&[(-0.10, 0.16), (0.16, 0.06), (0.36, 0.04), (0.12, 0.21)]), shade(main, 0.5)).glued(),
        Piece::new(
            blob(&[(-0.20, -0.02), (-0.34, -0.36), (-0.22, -0.46), (0.0, -0.34), (0.16, -0.06), (0.0, 0.06)]),
            shade(main, -0.22),
        )
        .turned(flap, (0.02, -0.02)),
    ];
    pieces.extend(eye(0.33, -0.16, 0.06));
    pieces
}

fn fish(main: Rgb, stride_s: f32) -> Vec<Piece> {
    let wag = (stride_s * TAU * 1.3).sin() * 0.3;
    let fin = shade(main, -0.24);
    let mut pieces = vec![
        Piece::new(polygon(&[(-0.28, 0.0), (-0.62, -0.28), (-0.54, 0.0), (-0.62, 0.28)]), fin)
            .turned(wag, (-0.28, 0.0)),
        Piece::new(blob(&[(-0.16, -0.20), (-0.12, -0.40), (0.10, -0.38), (0.20, -0.20)]), fin),
        Piece::new(blob(&[(-0.08, 0.18), (-0.16, 0.38), (0.04, 0.36), (0.10, 0.2)]), fin),
        Piece::new(
            blob(&[
                (-0.38, 0.0),
                (-0.14, -0.22),
                (0.16, -0.30),
                (0.46, -0.18),
                (0.61, 0.0),
                (0.46, 0.18),
                (0.16, 0.28),
                (-0.14, 0.20),
            ]),
            main,
        ),
    ];
    for x in [-0.14, 0.08] {
        let stripe = ribbon(&[(x, -0.19), (x + 0.06, 0.0), (x, 0.19)], 0.085);
        pieces.push(Piece::new(stripe, shade(main, 0.6)).glued());
    }
    pieces.extend(eye(0.38, -0.06, 0.075));
    pieces
}

fn balloon(main: Rgb) -> Vec<Piece> {
    vec![
        Piece::new(ribbon(&[(0.0, 0.30), (0.05, 0.40), (-0.04, 0.50), (0.02, 0.60)], 0.035), shade(main, -0.4)),
        Piece::new(polygon(&[(0.0, 0.24), (0.09, 0.34), (-0.09, 0.34)]), shade(main, -0.25)),
        Piece::new(
            blob(&[
                (0.0, -0.60),
                (0.27, -0.51),
                (0.39, -0.25),
                (0.30, 0.04),
                (0.0, 0.29),
                (-0.30, 0.04),
                (-0.39, -0.25),
                (-0.27, -0.51),
            ]),
            main,
        ),
        Piece::new(blob(&[(-0.24, -0.22), (-0.18, -0.42), (-0.06, -0.48), (-0.12, -0.30)]), shade(main, 0.6)).glued(),
    ]
}

fn tree(main: Rgb) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::new(polygon(&[(-0.08, 0.05), (0.08, 0.05), (0.12, 0.58), (-0.12, 0.58)]), WOOD),
        Piece::new(
            blob(&[
                (0.0, -0.58),
                (0.20, -0.52),
                (0.32, -0.36),
                (0.41, -0.14),
                (0.36, 0.08),
                (0.16, 0.20),
                (-0.16, 0.20),
                (-0.36, 0.08),
                (-0.41, -0.14),
                (-0.32, -0.36),
                (-0.20, -0.52),
            ]),
            main,
        ),
    ];
    for (x, y) in [(-0.16, -0.30), (0.16, -0.16), (-0.12, 0.02), (0.10, -0.42)] {
        let leaf = blob(&[(x - 0.10, y), (x, y - 0.06), (x + 0.10, y), (x, y + 0.07)]);
        pieces.push(Piece::new(leaf, shade(main, if x < 0.0 { 0.32 } else { -0.24 })).glued());
    }
    pieces
}

fn house(main: Rgb) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::new(polygon(&[(0.20, -0.46), (0.33, -0.46), (0.33, -0.14), (0.20, -0.14)]), [150, 110, 96]),
        Piece::new(polygon(&[(-0.36, -0.10), (0.36, -0.10), (0.36, 0.48), (-0.36, 0.48)]), main),
        Piece::new(polygon(&[(-0.48, -0.06), (0.0, -0.48), (0.48, -0.06)]), shade(main, -0.42)),
        Piece::new(polygon(&[(-0.09, 0.14), (0.11, 0.14), (0.11, 0.48), (-0.09, 0.48)]), shade(WOOD, -0.2)).glued(),
    ];
    for x in [-0.23, 0.24] {
        let window = polygon(&[(x - 0.075, 0.08), (x + 0.075, 0.08), (x + 0.075, 0.24), (x - 0.075, 0.24)]);
        pieces.push(Piece::new(window, [255, 236, 160]).glued());
    }
    pieces
}

fn cloud(main: Rgb) -> Vec<Piece> {
    vec![
        Piece::new(disc(-0.40, 0.10, 0.26, 0.24), main),
        Piece::new(disc(0.40, 0.10, 0.26, 0.24), main),
        Piece::new(disc(-0.10, -0.08, 0.32, 0.29), main),
        Piece::new(disc(0.22, -0.02, 0.26, 0.24), main),
        Piece::new(polygon(&[(-0.42, 0.02), (0.42, 0.02), (0.44, 0.33), (-0.44, 0.33)]), main),
        Piece::new(
            blob(&[(-0.56, 0.22), (-0.2, 0.16), (0.2, 0.20), (0.58, 0.18), (0.46, 0.32), (-0.46, 0.32)]),
            shade(main, -0.14),
        )
        .glued(),
    ]
}

fn cat(main: Rgb, stride_s: f32) -> Vec<Piece> {
    let wag = (stride_s * TAU * 0.9).sin() * 0.25;
    let step = (stride_s * TAU * 1.2).sin() * 0.3;
    let dark = shade(main, -0.26);
    let mut pieces = vec![
        Piece::new(ribbon(&[(-0.36, 0.12), (-0.50, 0.02), (-0.54, -0.16), (-0.46, -0.30)], 0.12), dark)
            .turned(wag, (-0.36, 0.1)),
    ];
    for (x, sign) in [(-0.28, 1.0), (0.18, -1.0), (-0.16, -1.0), (0.28, 1.0)] {
        let leg = polygon(&[(x - 0.065, 0.18), (x + 0.065, 0.18), (x + 0.06, 0.50), (x - 0.06, 0.50)]);
        pieces.push(Piece::new(leg, if sign > 0.0 { main } else { dark }).turned(step * sign, (x, 0.2)));
    }
    pieces.extend([
        Piece::new(
            blob(&[
                (-0.42, 0.10),
                (-0.26, -0.06),
                (0.08, -0.06),
                (0.32, 0.0),
                (0.36, 0.22),
                (0.16, 0.33),
                (-0.26, 0.33),
            ]),
            main,
        ),
        Piece::new(polygon(&[(0.04, -0.24), (0.06, -0.52), (0.24, -0.34)]), main),
        Piece::new(polygon(&[(0.56, -0.24), (0.54, -0.52), (0.36, -0.34)]), main),
        Piece::new(disc(0.30, -0.17, 0.275, 0.24), main),
        Piece::new(polygon(&[(0.095, -0.30), (0.10, -0.44), (0.19, -0.34)]), [246, 170, 176]).glued(),
        Piece::new(polygon(&[(0.505, -0.30), (0.50, -0.44), (0.41, -0.34)]), [246, 170, 176]).glued(),
        Piece::new(blob(&[(0.19, -0.08), (0.30, -0.14), (0.41, -0.08), (0.30, 0.03)]), shade(main, 0.55)).glued(),
        Piece::new(polygon(&[(0.255, -0.12), (0.345, -0.12), (0.30, -0.06)]), [236, 110, 124]).glued(),
    ]);
    let whisker = if main[0] < 70 { [214, 210, 214] } else { INK };
    for (x, sign) in [(0.20, -1.0), (0.40, 1.0)] {
        for tilt in [-0.05, 0.04] {
            let line = ribbon(&[(x, -0.06), (x + sign * 0.22, -0.06 + tilt)], 0.02);
            pieces.push(Piece::new(line, whisker).glued());
        }
        pieces.extend(eye(x, -0.22, 0.055));
    }
    pieces
}

fn rocket(main: Rgb, stride_s: f32) -> Vec<Piece> {
    let flicker = 1.0 + 0.22 * (stride_s * TAU * 2.3).sin();
    let fin = shade(main, -0.3);
    vec![
        Piece::new(
            blob(&[(-0.13, 0.32), (0.13, 0.32), (0.10, 0.46), (0.0, 0.36 + 0.22 * flicker), (-0.10, 0.46)]),
            [248, 150, 40],
        ),
        Piece::new(blob(&[(-0.06, 0.34), (0.06, 0.34), (0.0, 0.36 + 0.12 * flicker)]), [255, 226, 100]).glued(),
        Piece::new(polygon(&[(-0.16, 0.02), (-0.33, 0.36), (-0.12, 0.34)]), fin),
        Piece::new(polygon(&[(0.16, 0.02), (0.33, 0.36), (0.12, 0.34)]), fin),
        Piece::new(
            blob(&[
                (0.0, -0.60),
                (0.12, -0.44),
                (0.20, -0.18),
                (0.19, 0.14),
                (0.13, 0.35),
                (-0.13, 0.35),
                (-0.19, 0.14),
                (-0.20, -0.18),
                (-0.12, -0.44),
            ]),
            main,
        ),
        Piece::new(
            blob(&[(0.0, -0.59), (0.10, -0.46), (0.155, -0.33), (0.0, -0.30), (-0.155, -0.33), (-0.10, -0.46)]),
            fin,
        )
        .glued(),
        Piece::new(disc(0.0, -0.11, 0.115, 0.115), shade(main, 0.75)).glued(),
        Piece::new(disc(0.0, -0.11, 0.08, 0.08), [120, 196, 226]).glued(),
    ]
}

fn flower(main: Rgb) -> Vec<Piece> {
    let mut pieces = vec![
        Piece::new(ribbon(&[(0.0, -0.2), (0.02, 0.2), (0.0, 0.58)], 0.075), LEAF),
        Piece::new(blob(&[(0.02, 0.42), (0.14, 0.24), (0.33, 0.20), (0.24, 0.38)]), LEAF),
        Piece::new(blob(&[(-0.01, 0.48), (-0.13, 0.32), (-0.31, 0.28), (-0.22, 0.46)]), shade(LEAF, -0.15)),
    ];
    for at in 0..6 {
        let angle = at as f32 / 6.0 * TAU;
        let petal = disc(0.23 * angle.cos(), -0.22 + 0.23 * angle.sin(), 0.15, 0.15);
        pieces.push(Piece::new(petal, if at % 2 == 0 { main } else { shade(main, 0.16) }));
    }
    let heart = if main[0] > 225 && main[2] < 120 { [150, 88, 40] } else { [252, 208, 60] };
    pieces.push(Piece::new(disc(0.0, -0.22, 0.135, 0.135), heart));
    pieces
}

fn kite(main: Rgb, stride_s: f32) -> Vec<Piece> {
    let swing = if stride_s > 0.0 { (stride_s * TAU * 0.8).sin() * 0.06 } else { 0.03 };
    let tail = [(0.0, 0.20), (swing, 0.34), (-swing, 0.46), (swing, 0.60)];
    let mut pieces = vec![Piece::new(ribbon(&tail, 0.035), shade(main, -0.35))];
    for (x, y) in [(swing, 0.35), (-swing * 0.6, 0.50)] {
        let bow = [
            (x - 0.13, y - 0.06),
            (x, y),
            (x + 0.13, y - 0.06),
            (x + 0.13, y + 0.06),
            (x, y + 0.01),
            (x - 0.13, y + 0.06),
        ];
        pieces.push(Piece::new(bow.to_vec(), shade(main, 0.4)));
    }
    pieces.extend([
        Piece::new(polygon(&[(0.0, -0.62), (0.39, -0.22), (0.0, 0.26), (-0.39, -0.22)]), main),
        Piece::new(polygon(&[(0.0, -0.60), (0.37, -0.22), (0.0, -0.22)]), shade(main, 0.5)).glued(),
        Piece::new(polygon(&[(0.0, -0.22), (0.0, 0.24), (-0.37, -0.22)]), shade(main, -0.26)).glued(),
    ]);
    pieces
}

fn skin_paper(skin: Skin) -> Rgb {
    match skin {
        Skin::Pale => [255, 226, 206],
        Skin::Light => [244, 198, 160],
        Skin::Tan => [212, 152, 104],
        Skin::Brown => [152, 96, 60],
        Skin::Dark => [92, 58, 42],
    }
}

fn hair_paper(colour: HairColour) -> Rgb {
    match colour {
        HairColour::Black => [40, 34, 38],
        HairColour::Brown => [112, 66, 36],
        HairColour::Blond => [240, 200, 96],
        HairColour::Red => [198, 80, 32],
        HairColour::Grey => [168, 168, 172],
    }
}

fn puppet(shirt: Rgb, looks: &Puppet, stride_s: f32) -> Vec<Piece> {
    let (skin, hair) = (skin_paper(looks.skin), hair_paper(looks.hair_colour));
    let step = (stride_s * TAU * 0.9).sin() * 0.42;
    let trousers = if shirt[2] > shirt[0] && shirt[2] > 140 { [92, 82, 74] } else { [62, 84, 132] };
    let mut pieces = Vec::with_capacity(30);
    // Behind the body: long hair.
    if looks.hair_style == HairStyle::Long {
        pieces.push(Piece::new(
            blob(&[
                (-0.24, -0.46),
                (0.0, -0.60),
                (0.24, -0.46),
                (0.29, -0.16),
                (0.30, 0.10),
                (0.16, 0.14),
                (-0.16, 0.14),
                (-0.30, 0.10),
                (-0.29, -0.16),
            ]),
            hair,
        ));
    }
    for (x, sign) in [(-0.10, 1.0), (0.10, -1.0)] {
        let leg = polygon(&[(x - 0.075, 0.30), (x + 0.075, 0.30), (x + 0.07, 0.56), (x - 0.07, 0.56)]);
        let shoe = blob(&[(x - 0.08, 0.54), (x + 0.06, 0.54), (x + 0.13, 0.61), (x - 0.08, 0.62)]);
        pieces.push(Piece::new(leg, trousers).turned(step * sign, (x, 0.32)));
        pieces.push(Piece::new(shoe, INK).turned(step * sign, (x, 0.32)));
    }
    for (x, sign) in [(-0.20, -1.0), (0.20, 1.0)] {
        let arm = polygon(&[
            (x - 0.06, 0.02),
            (x + 0.06, 0.02),
            (x + sign * 0.12 + 0.055, 0.30),
            (x + sign * 0.12 - 0.055, 0.30),
        ]);
        let hand = disc(x + sign * 0.12, 0.32, 0.065, 0.065);
        pieces.push(Piece::new(hand, skin).turned(step * sign * 0.8, (x, 0.06)));
        pieces.push(Piece::new(arm, shade(shirt, -0.2)).turned(step * sign * 0.8, (x, 0.06)));
    }
    pieces.push(Piece::new(
        blob(&[
            (-0.20, 0.02),
            (0.0, -0.02),
            (0.20, 0.02),
            (0.23, 0.20),
            (0.21, 0.38),
            (0.0, 0.40),
            (-0.21, 0.38),
            (-0.23, 0.20),
        ]),
        shirt,
    ));
    pieces.push(Piece::new(polygon(&[(-0.075, -0.01), (0.075, -0.01), (0.0, 0.09)]), shade(skin, -0.12)).glued());
    match looks.hair_style {
        HairStyle::Curly => {
            for at in 0..9 {
                let angle = std::f32::consts::PI * (0.92 + 1.16 * at as f32 / 8.0);
                pieces.push(Piece::new(disc(0.25 * angle.cos(), -0.30 + 0.25 * angle.sin(), 0.115, 0.115), hair));
            }
        }
        HairStyle::Bun if looks.hat == Hat::Bare => {
            pieces.push(Piece::new(disc(0.0, -0.575, 0.12, 0.10), hair));
        }
        HairStyle::Bun => pieces.push(Piece::new(disc(-0.25, -0.16, 0.12, 0.11), hair)),
        _ => {}
    }
    pieces.push(Piece::new(disc(0.0, -0.26, 0.25, 0.26), skin));
    let fringe: Vec<(f32, f32)> = match looks.hair_style {
        HairStyle::Short | HairStyle::Bun => blob(&[
            (-0.26, -0.22),
            (-0.25, -0.42),
            (-0.10, -0.54),
            (0.10, -0.54),
            (0.25, -0.42),
            (0.26, -0.22),
            (0.20, -0.34),
            (0.0, -0.40),
            (-0.20, -0.34),
        ]),
        HairStyle::Long => blob(&[
            (-0.27, -0.05),
            (-0.26, -0.40),
            (-0.10, -0.54),
            (0.10, -0.54),
            (0.26, -0.40),
            (0.27, -0.05),
            (0.21, -0.24),
            (0.10, -0.40),
            (-0.12, -0.36),
            (-0.21, -0.20),
        ]),
        HairStyle::Curly => blob(&[
            (-0.26, -0.26),
            (-0.24, -0.44),
            (0.0, -0.54),
            (0.24, -0.44),
            (0.26, -0.26),
            (0.14, -0.38),
            (0.05, -0.34),
            (-0.06, -0.39),
            (-0.16, -0.34),
        ]),
    };
    pieces.push(Piece::new(fringe, hair).glued());
    match looks.hat {
        Hat::Bare => {}
        Hat::Cap => {
            let cap = [206, 60, 60];
            pieces.push(Piece::new(
                blob(&[(-0.27, -0.36), (-0.22, -0.54), (0.0, -0.62), (0.22, -0.54), (0.27, -0.36), (0.0, -0.34)]),
                cap,
            ));
            pieces.push(Piece::new(
                blob(&[(0.05, -0.40), (0.30, -0.41), (0.40, -0.35), (0.30, -0.31), (0.05, -0.33)]),
                shade(cap, -0.3),
            ));
        }
        Hat::TopHat => {
            pieces.push(Piece::new(polygon(&[(-0.18, -0.74), (0.18, -0.74), (0.17, -0.40), (-0.17, -0.40)]), INK));
            pieces.push(Piece::new(polygon(&[(-0.31, -0.43), (0.31, -0.43), (0.31, -0.36), (-0.31, -0.36)]), INK));
            pieces.push(
                Piece::new(polygon(&[(-0.172, -0.52), (0.172, -0.52), (0.17, -0.44), (-0.17, -0.44)]), [206, 60, 60])
                    .glued(),
            );
        }
        Hat::Beanie => {
            let wool = [70, 170, 170];
            pieces.push(Piece::new(disc(0.0, -0.65, 0.085, 0.085), CREAM));
            pieces.push(Piece::new(
                blob(&[(-0.27, -0.36), (-0.21, -0.56), (0.0, -0.64), (0.21, -0.56), (0.27, -0.36), (0.0, -0.34)]),
                wool,
            ));
            pieces.push(
                Piece::new(polygon(&[(-0.28, -0.43), (0.28, -0.43), (0.28, -0.33), (-0.28, -0.33)]), shade(wool, 0.45))
                    .glued(),
            );
        }
    }
    for x in [-0.09, 0.11] {
        pieces.push(Piece::new(disc(x, -0.24, 0.034, 0.044), INK).glued());
    }
    pieces.push(Piece::new(ribbon(&[(-0.07, -0.125), (0.01, -0.095), (0.09, -0.125)], 0.03), [176, 60, 60]).glued());
    if looks.glasses {
        for x in [-0.10, 0.12] {
            let ring: Vec<(f32, f32)> = (0..=20)
                .map(|step| step as f32 / 20.0 * TAU)
                .map(|angle| (x + 0.088 * angle.cos(), -0.24 + 0.088 * angle.sin()))
                .collect();
            pieces.push(Piece::new(disc(x, -0.24, 0.08, 0.08), [226, 244, 250]).glued().faint(0.45));
            pieces.push(Piece::new(ribbon(&ring, 0.036), [30, 30, 34]).glued());
        }
        pieces.push(Piece::new(ribbon(&[(-0.02, -0.245), (0.04, -0.245)], 0.03), [30, 30, 34]).glued());
    }
    pieces
}
