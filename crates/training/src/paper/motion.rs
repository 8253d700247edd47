//! Where every actor is at a time: composition, then motion.
//!
//! All lengths here are in *shorts*: the frame's shorter side is 1.

use super::actors::extent;
use super::scene::{ActorKind, Background, Motion, Pace, Relation, Shot};
use std::f32::consts::{PI, TAU};

/// The sides of the frame in shorts; one of them is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) width: f32,
    pub(super) height: f32,
}

impl Stage {
    pub(super) fn new(size: media::Size) -> Self {
        let short = size.width.min(size.height).max(1) as f32;
        Self { width: size.width as f32 / short, height: size.height as f32 / short }
    }
}

/// How an actor is drawn at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose {
    /// The centre, in shorts from the top left.
    pub(super) x: f32,
    pub(super) y: f32,
    /// The nominal height in shorts.
    pub(super) scale: f32,
    /// Clockwise.
    pub(super) angle_rad: f32,
    /// 0..1.
    pub(super) opacity: f32,
    /// Looks to the left.
    pub(super) mirrored: bool,
    /// Seconds of flapping, walking or rolling so far; 0 for who stays still.
    pub(super) stride_s: f32,
}

/// Bounces a second.
pub(super) fn bounce_rate_hz(pace: Pace) -> f32 {
    match pace {
        Pace::Slow => 0.9,
        Pace::Fast => 1.7,
    }
}

/// Frame sides crossed in a second.
fn crossing_per_s(pace: Pace) -> f32 {
    match pace {
        Pace::Slow => 0.09,
        Pace::Fast => 0.18,
    }
}

/// The shares of the stage's height at which feet stand and things fly.
fn levels(background: Background) -> (f32, f32) {
    match background {
        Background::Sky | Background::NightSky | Background::Plain => (0.86, 0.5),
        Background::Sea => (0.86, 0.36),
        _ => (0.87, 0.38),
    }
}

/// Whether things of this kind stand on the ground where there is one.
fn stands(kind: ActorKind, background: Background) -> bool {
    use ActorKind::{Ball, Boat, Car, Cat, Flower, House, Puppet, Tree};
    !matches!(background, Background::Sky | Background::NightSky | Background::Plain)
        && matches!(kind, Ball | Boat | Car | Cat | Flower | House | Puppet | Tree)
}

/// The pose of `shot.actors[index]`, `time_s` after the shot began; the shot is `duration_s` long.
pub(super) fn pose(shot: &Shot, index: usize, time_s: f32, duration_s: f32, stage: Stage) -> Pose {
    let actor = &shot.actors[index];
    let (x, y, scale) = place(shot, index, stage);
    let mut pose = Pose { x, y, scale, angle_rad: 0.0, opacity: 1.0, mirrored: false, stride_s: 0.0 };
    if actor.motion == Motion::Still {
        return pose;
    }
    let fast = actor.pace == Pace::Fast;
    pose.stride_s = time_s * if fast { 1.6 } else { 1.0 };
    let (wide, tall) = extent(actor.kind);
    let half_height = tall * scale / 2.0;
    // Clips of up to four seconds show the middle of a crossing; longer ones go on and come in again on the other side.
    let crossed = crossing_per_s(actor.pace) * (time_s - duration_s.min(4.0) / 2.0);
    let across = |side: f32, half: f32, at: f32, step: f32| {
        let reach = side + 2.0 * half;
        (at + step * side + half).rem_euclid(reach) - half
    };
    match actor.motion {
        Motion::Left | Motion::Right => {
            let sign = if actor.motion == Motion::Right { 1.0 } else { -1.0 };
            pose.x = across(stage.width, wide * scale * 0.62, stage.width / 2.0 + actor.placement.dx, sign * crossed);
            pose.mirrored = sign < 0.0;
            if actor.kind == ActorKind::Rocket {
                pose.angle_rad = sign * 0.9;
            }
        }
        Motion::Up | Motion::Down => {
            let sign = if actor.motion == Motion::Down { 1.0 } else { -1.0 };
            pose.y = across(stage.height, half_height * 1.1, stage.height / 2.0, sign * crossed);
        }
        Motion::Bounces => {
            let ground = levels(shot.background).0 * stage.height;
            let phase = (time_s * bounce_rate_hz(actor.pace)).fract();
            let room = (ground - half_height * 2.0).clamp(0.18, 0.42);
            pose.y = ground - half_height - room * 4.0 * phase * (1.0 - phase);
        }
        Motion::Spins => pose.angle_rad = TAU * time_s / if fast { 1.6 } else { 3.6 },
        Motion::Grows | Motion::Shrinks => {
            let (from, to): (f32, f32) = if fast { (0.44, 1.4) } else { (0.62, 1.36) };
            // The largest moment still fits the frame, and leaves room for company.
            let fitting = (1.0 / (tall * scale * to)).min(0.96 * stage.width / (wide * scale * to)).min(1.0);
            let fitting = if shot.actors.len() > 1 { fitting.min(0.85) } else { fitting };
            let (from, to) = (from * fitting, to * fitting);
            let share = (time_s / duration_s).clamp(0.0, 1.0);
            let share = if actor.motion == Motion::Grows { share } else { 1.0 - share };
            let factor = from * (to / from).powf(share);
            pose.scale *= factor;
            if stands(actor.kind, shot.background) {
                pose.y += half_height * (1.0 - factor);
            }
        }
        Motion::Circles => {
            let angle = TAU * time_s / if fast { 1.8 } else { 3.6 };
            let radius = 0.2;
            let room = half_height.min(0.3);
            pose.x += radius * angle.sin();
            pose.y = pose.y.clamp(radius + room, stage.height - radius - room) - radius * angle.cos();
        }
        Motion::Sways => {
            let swing = (TAU * time_s / if fast { 1.1 } else { 2.4 }).sin();
            pose.angle_rad = swing * 0.36;
            pose.x += swing * if shot.relation == Some(Relation::Behind) { 0.06 } else { 0.12 };
        }
        Motion::FadesIn => {
            pose.opacity = (time_s / if fast { 1.4 } else { 2.6 }).clamp(0.0, 1.0);
            pose.stride_s = 0.0;
        }
        Motion::Still => {}
    }
    if matches!(actor.motion, Motion::Spins | Motion::Grows | Motion::Shrinks) {
        pose.stride_s = 0.0;
    }
    pose
}

/// The centre and scale of an actor before it moves.
fn place(shot: &Shot, index: usize, stage: Stage) -> (f32, f32, f32) {
    let Stage { width, height } = stage;
    let (ground, air) = levels(shot.background);
    let kind = |at: usize| shot.actors[at].kind;
    let share = |at: usize| shot.actors[at].size.share();
    let level = |at: usize, scale: f32| {
        if stands(kind(at), shot.background) {
            ground * height - extent(kind(at)).1 * scale / 2.0
        } else if kind(at) == ActorKind::Fish && shot.background == Background::Sea {
            0.76 * height
        } else {
            air * height
        }
    };
    let jitter = shot.actors[index].placement;
    let (dx, dy) = (jitter.dx * width, jitter.dy * height);
    if shot.actors.len() == 1 {
        let scale = share(0) * (0.92 * width.min(height) / (extent(kind(0)).0 * share(0))).min(1.0);
        return (width / 2.0 + dx, level(0, scale) + dy, scale);
    }

    let size = |at: usize| (extent(kind(at)).0 * share(at), extent(kind(at)).1 * share(at));
    let ((w0, h0), (w1, h1)) = (size(0), size(1));
    let three = shot.actors.len() == 3;
    let wide = width > 1.3;
    let (dx, dy) = (dx * 0.4, dy * 0.6);
    // The share of the width that the pair has for itself, from the left.
    let room = if three && (wide || matches!(shot.relation, Some(Relation::Above))) { 0.66 } else { 1.0 } * width;
    let third = if room < width {
        (0.83 * width, level(2.min(index), share(2.min(index))))
    } else {
        (0.5 * width, 0.2 * height)
    };
    let (x, y, fit) = match (shot.relation, index) {
        (Some(Relation::Above), _) => {
            let low = if stands(kind(1), shot.background) { ground } else { 0.94 } * height;
            let fit = (0.90 * low / (h0 + h1)).min(0.92 * room / w0.max(w1)).min(1.0);
            let lower = low - h1 * fit / 2.0;
            let upper = (lower - (h0 + h1) * fit / 2.0 - 0.03).min((0.30 * height).max(h0 * fit / 2.0 + 0.02));
            match index {
                0 => (0.5 * room + dx, upper, fit),
                1 => (0.5 * room + dx, lower, fit),
                _ => (third.0, third.1, 1.0),
            }
        }
        (Some(Relation::Behind), 0 | 1) => {
            let fit = (0.9 * room / (w0.max(w1) * 1.5)).min(1.0);
            let front = level(1, share(1) * fit).max(0.56 * height);
            let back = (front + (h1 - h0) * fit / 4.0 - 0.12).max(h0 * fit / 2.0 + 0.03);
            // A little more than half of the width of actor 0 is hidden where actor 1 is the larger one.
            let offset = (w1 / 2.0 - 0.05 * w0) * fit / 2.0;
            if index == 0 { (0.5 * room + offset, back, fit) } else { (0.5 * room - offset, front, fit) }
        }
        (relation, 0 | 1) => {
            let fit = (0.9 * room / (w0 + w1)).min(1.0);
            let left = (index == 0) == (relation == Some(Relation::LeftOf));
            let row = if three && !wide {
                level(index, share(index) * fit).max(0.6 * height)
            } else {
                level(index, share(index) * fit)
            };
            (if left { 0.26 } else { 0.74 } * room + dx, row + dy, fit)
        }
        _ => (third.0 + dx, third.1, 1.0),
    };
    (x, y, share(index) * fit)
}

/// The share of the pan that a layer of this depth (0 far, 1 near) has moved, in frame widths, rightwards on screen.
pub(super) fn pan(camera: super::scene::Camera, depth: f32, time_s: f32) -> f32 {
    use super::scene::Camera;
    let sign = match camera {
        Camera::PanLeft => 1.0,
        Camera::PanRight => -1.0,
        _ => 0.0,
    };
    sign * time_s * (0.035 + 0.115 * depth)
}

/// How much larger the camera shows everything, around the centre of the frame.
pub(super) fn zoom(camera: super::scene::Camera, time_s: f32, duration_s: f32) -> f32 {
    use super::scene::Camera;
    let share = (time_s / duration_s).clamp(0.0, 1.0);
    match camera {
        Camera::ZoomIn => 1.5_f32.powf(share),
        Camera::ZoomOut => 1.5_f32.powf(1.0 - share),
        _ => 1.0,
    }
}

/// A number in 0..1 that looks random, from two integers.
pub(super) fn scatter(seed: u64, index: u64) -> f32 {
    let mut bits = seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

/// A smooth swing in −1..1 with the given number of periods per unit.
pub(super) fn wave(at: f32, periods: f32, phase: f32) -> f32 {
    (TAU * at * periods + phase * 2.0 * PI).sin()
}
