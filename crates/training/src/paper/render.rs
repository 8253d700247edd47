//! From a scene to frames.

use super::actors::{lit, pieces};
use super::backgrounds::{Layer, layers};
use super::draw::{CREAM, Canvas, Piece};
use super::motion::{Pose, Stage, pose, scatter, zoom};
use super::scene::{Camera, Motion, Relation, Scene, Shot, TimeOfDay};
use super::weather;
use media::{Frame, Size};
use tiny_skia::{FilterQuality, Pixmap, PixmapPaint, Transform};

/// Draws the frames of one scene at one size, in any order; keeps what does not change.
pub struct Renderer<'a> {
    scene: &'a Scene,
    size: Size,
    stage: Stage,
    shots: Vec<Set>,
    grain: Vec<i8>,
}

/// The unchanging parts of a shot.
struct Set {
    layers: Vec<Layer>,
    /// Everything behind the first thing that moves; only if the camera stays.
    backdrop: Option<Pixmap>,
    seed: u64,
}

impl Scene {
    /// The picture at `time_s`. For more than one frame a [`Renderer`] is faster.
    pub fn frame(&self, time_s: f32, size: Size) -> Frame {
        Renderer::new(self, size).frame(time_s)
    }

    /// An actor of the first shot alone, centred and still on a cream card: the reference picture for likeness.
    pub fn portrait(&self, actor: usize, size: Size) -> Frame {
        let mut actor = self.shots[0].actors[actor].clone();
        actor.motion = Motion::Still;
        let stage = Stage::new(size);
        let pieces = pieces(&actor, 0.0);
        let (left, top, right, bottom) = pieces.iter().fold((0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32), |all, piece| {
            let (left, top, right, bottom) = piece.bounds();
            (all.0.min(left), all.1.min(top), all.2.max(right), all.3.max(bottom))
        });
        let scale = (0.86 * stage.width / (right - left)).min(0.86 * stage.height / (bottom - top));
        let mut canvas = Canvas::new(size.width, size.height);
        canvas.pixmap.fill(tiny_skia::Color::from_rgba8(CREAM[0] - 12, CREAM[1] - 16, CREAM[2] - 22, 255));
        let pose = Pose {
            x: stage.width / 2.0 - (left + right) / 2.0 * scale,
            y: stage.height / 2.0 - (top + bottom) / 2.0 * scale,
            scale,
            angle_rad: 0.0,
            opacity: 1.0,
            mirrored: false,
            stride_s: 0.0,
        };
        let shorts = size.width.min(size.height).max(1) as f32;
        draw_pose(&mut canvas, pieces, pose, TimeOfDay::Day, Transform::from_scale(shorts, shorts));
        to_frame(&canvas.pixmap, size, &grain(size))
    }
}

impl<'a> Renderer<'a> {
    /// Prepares the layers of every shot.
    pub fn new(scene: &'a Scene, size: Size) -> Self {
        let stage = Stage::new(size);
        let shots = scene.shots.iter().enumerate().map(|(at, shot)| {
            let seed = scene.seed.wrapping_mul(2).wrapping_add(at as u64).wrapping_mul(0x2545_f491_4f6c_dd1d);
            Set { layers: layers(shot, seed, stage), backdrop: None, seed }
        });
        let mut renderer = Self { scene, size, stage, shots: shots.collect(), grain: grain(size) };
        for at in 0..scene.shots.len() {
            if scene.shots[at].camera == Camera::Still {
                let mut canvas = Canvas::new(size.width, size.height);
                renderer.draw_backdrop(&mut canvas, at, 0.0);
                renderer.shots[at].backdrop = Some(canvas.pixmap);
            }
        }
        renderer
    }

    /// The picture at `time_s` from the beginning of the scene.
    pub fn frame(&self, time_s: f32) -> Frame {
        let (at, time_s) = self.scene.shot_at(time_s);
        let (shot, set) = (&self.scene.shots[at], &self.shots[at]);
        let mut canvas = match &set.backdrop {
            Some(backdrop) => Canvas { pixmap: backdrop.clone() },
            None => {
                let mut canvas = Canvas::new(self.size.width, self.size.height);
                self.draw_backdrop(&mut canvas, at, time_s);
                canvas
            }
        };
        self.draw_actor(&mut canvas, at, 0, time_s);
        if is_behind(shot) {
            (1..shot.actors.len()).for_each(|extra| self.draw_actor(&mut canvas, at, extra, time_s));
        }
        for layer in set.layers.iter().filter(|layer| layer.front) {
            layer.draw(&mut canvas, self.stage, shot.camera, time_s, self.view(shot, time_s));
        }
        weather::draw(&mut canvas, shot.weather, shot.time_of_day, set.seed, time_s, self.stage, self.view_at(1.0));
        to_frame(&canvas.pixmap, self.size, &self.grain)
    }

    /// The landscape, and the actors that stand behind the main one.
    fn draw_backdrop(&self, canvas: &mut Canvas, at: usize, time_s: f32) {
        let shot = &self.scene.shots[at];
        let view = self.view(shot, time_s);
        for layer in self.shots[at].layers.iter().filter(|layer| !layer.front) {
            layer.draw(canvas, self.stage, shot.camera, time_s, view);
        }
        if !is_behind(shot) {
            (1..shot.actors.len()).for_each(|extra| self.draw_actor(canvas, at, extra, time_s));
        }
    }

    fn draw_actor(&self, canvas: &mut Canvas, at: usize, index: usize, time_s: f32) {
        let shot = &self.scene.shots[at];
        let pose = pose(shot, index, time_s, self.scene.shot_duration_s(), self.stage);
        let pieces = pieces(&shot.actors[index], pose.stride_s);
        draw_pose(canvas, pieces, pose, shot.time_of_day, self.view(shot, time_s));
    }

    /// From shorts to pixels, as the camera sees it.
    fn view(&self, shot: &Shot, time_s: f32) -> Transform {
        self.view_at(zoom(shot.camera, time_s, self.scene.shot_duration_s()))
    }

    fn view_at(&self, zoom: f32) -> Transform {
        view(self.size, zoom)
    }
}

/// From shorts to pixels, enlarged around the centre of the frame.
pub(super) fn view(size: Size, zoom: f32) -> Transform {
    let scale = size.width.min(size.height).max(1) as f32 * zoom;
    let centre = |side: u32| side as f32 / 2.0 * (1.0 - zoom);
    Transform::from_row(scale, 0.0, 0.0, scale, centre(size.width), centre(size.height))
}

/// From an actor's own units to those of the stage.
pub(super) fn stand(pose: &Pose) -> Transform {
    let (sin, cos) = pose.angle_rad.sin_cos();
    let flip = if pose.mirrored { -1.0 } else { 1.0 };
    let (s, f) = (pose.scale, pose.scale * flip);
    Transform::from_row(cos * f, sin * f, -sin * s, cos * s, pose.x, pose.y)
}

fn is_behind(shot: &Shot) -> bool {
    shot.relation == Some(Relation::Behind)
}

fn draw_pose(canvas: &mut Canvas, mut pieces: Vec<Piece>, pose: Pose, light: TimeOfDay, view: Transform) {
    if pose.opacity <= 0.0 {
        return;
    }
    for piece in &mut pieces {
        piece.colour = lit(piece.colour, light);
    }
    let transform = view.pre_concat(stand(&pose));
    let shadow_px = (view.sy * 0.016).max(0.8);
    let rim = 0.034;
    if pose.opacity >= 1.0 {
        canvas.cut_out(&pieces, transform, rim, shadow_px);
        return;
    }
    let mut sheet = Canvas::new(canvas.pixmap.width(), canvas.pixmap.height());
    sheet.cut_out(&pieces, transform, rim, shadow_px);
    let paint = PixmapPaint { opacity: pose.opacity, quality: FilterQuality::Nearest, ..PixmapPaint::default() };
    canvas.pixmap.draw_pixmap(0, 0, sheet.pixmap.as_ref(), &paint, Transform::identity(), None);
}

/// The tooth of the paper: the same for every scene of a size, at most ±2 of 255, so that a small codec learns it once.
fn grain(size: Size) -> Vec<i8> {
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let fibre = |x: u64, y: u64| scatter(11, x + y * 8191);
    let at = |x: u64, y: u64| {
        let soft = fibre(x / 3, 70_000 + y / 2) * 0.6 + fibre(x, y) * 0.4;
        ((soft - 0.5) * 5.0).round().clamp(-2.0, 2.0) as i8
    };
    (0..height).flat_map(|y| (0..width).map(move |x| at(x, y))).collect()
}

fn to_frame(pixmap: &Pixmap, size: Size, grain: &[i8]) -> Frame {
    let mut frame = Frame::filled(size, [0; 3]);
    for ((rgb, rgba), &tooth) in frame.rgb_mut().chunks_exact_mut(3).zip(pixmap.data().chunks_exact(4)).zip(grain) {
        for channel in 0..3 {
            rgb[channel] = rgba[channel].saturating_add_signed(tooth);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Background, Mixture, Split, Weather};

    const NATIVE: Size = Size::new(144, 80);

    fn sample(seed: u64) -> Scene {
        Scene::sample(seed, Split::Train, &Mixture::default())
    }

    #[test]
    fn one_seed_one_film() {
        for seed in 0..12 {
            for time_s in [0.0, 1.3, 3.9] {
                assert_eq!(sample(seed).frame(time_s, NATIVE), sample(seed).frame(time_s, NATIVE));
            }
        }
        assert_ne!(sample(0).frame(0.0, NATIVE), sample(1).frame(0.0, NATIVE));
    }

    #[test]
    fn a_renderer_draws_what_frame_draws_in_any_order() {
        let scene = sample(5);
        let renderer = Renderer::new(&scene, NATIVE);
        for time_s in [2.5, 0.0, 1.0] {
            assert_eq!(renderer.frame(time_s), scene.frame(time_s, NATIVE));
        }
    }

    #[test]
    fn everything_draws_at_odd_sizes() {
        let sizes = [Size::new(32, 32), Size::new(33, 97), Size::new(211, 37), Size::new(144, 80), Size::new(1, 1)];
        let mut scene = sample(3);
        for (at, &motion) in Motion::ALL.iter().cycle().take(16 * 12).enumerate() {
            let shot = &mut scene.shots[0];
            shot.actors[0] = sample(at as u64).shots[0].actors[0].clone();
            shot.actors[0].motion = motion;
            shot.background = Background::ALL[at % 9];
            shot.weather = Weather::ALL[at % 4];
            shot.camera = Camera::ALL[at % 5];
            shot.time_of_day = TimeOfDay::ALL[at / 3 % 3];
            let size = sizes[at % sizes.len()];
            for time_s in [0.0, 1.7, 21.0] {
                assert_eq!(scene.frame(time_s, size).size(), size);
            }
        }
        for seed in 0..60 {
            sample(seed).portrait(0, sizes[seed as usize % sizes.len()]);
        }
    }

    #[test]
    fn no_pixel_stays_unpainted() {
        for seed in 0..60 {
            let scene = sample(seed);
            let renderer = Renderer::new(&scene, NATIVE);
            for time_s in [0.0, 1.9, 3.9, 13.0] {
                let frame = renderer.frame(time_s);
                assert!(frame.rgb().chunks_exact(3).all(|rgb| rgb.iter().any(|&c| c > 6)), "seed {seed} at {time_s} s");
            }
        }
    }

    #[test]
    fn the_cut_is_at_half() {
        let scene = (0..).map(sample).find(|scene| scene.shots.len() == 2).expect("one in seven has two shots");
        let difference = |from_s: f32, to_s: f32| {
            let (a, b) = (scene.frame(from_s, NATIVE), scene.frame(to_s, NATIVE));
            a.rgb().iter().zip(b.rgb()).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.rgb().len() as f64
        };
        let half = scene.duration_s / 2.0;
        assert!(difference(half - 0.01, half + 0.01) > 4.0 * difference(half - 0.10, half - 0.01));
    }

    #[test]
    fn the_grain_is_faint_and_the_same_for_every_scene() {
        assert!(grain(NATIVE).iter().all(|tooth| tooth.abs() <= 2));
        let mean = grain(NATIVE).iter().map(|&tooth| f64::from(tooth)).sum::<f64>() / NATIVE.pixels() as f64;
        assert!(mean.abs() < 0.2, "{mean}");
    }
}
