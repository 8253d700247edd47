//! How near enlarged frames come to the same frames drawn large.
//!
//! Measured on true small frames, which is the enlargement alone, and on frames that went through the autoencoder, which is
//! what a perfect transformer would give. Flicker is what changes from frame to frame where nothing moves.

use std::fmt;

use anyhow::Result;
use burn::tensor::Device;
use diffusion::{Sharpener, Vae};
use media::{Filter, Frame, Size, resize};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::clips::{FRAME_RATE, clips_to_tensor, generator, native_sizes, tensor_to_frames};
use crate::evaluate::psnr_db;
use crate::paper::{Camera, Mixture, Motion, Renderer, Scene, Split, Weather};
use crate::upscaler::enlarge;

/// What was found. Everything is in landscape, enlarged as often as the upscaler does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// The sides of the large frames.
    pub size: [u32; 2],
    /// Scenes, each with one frame; as many still ones.
    pub of: usize,
    /// By Lanczos.
    pub lanczos: Nearness,
    /// By Catmull–Rom, which the upscaler adds to.
    pub catmull_rom: Nearness,
    /// By the upscaler.
    pub upscaler: Nearness,
    /// What changes from frame to frame in the still scenes as they are drawn, of 255.
    pub drawn_flicker: f64,
}

/// One way of enlarging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nearness {
    /// From true small frames.
    pub of_true: Distance,
    /// From frames that went through the autoencoder.
    pub of_decoded: Distance,
    /// What changes from frame to frame in still scenes that went through the autoencoder, of 255.
    pub flicker: f64,
}

/// From the frame that was drawn large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Mean PSNR of the frames in decibels.
    pub psnr_db: f64,
    /// Mean difference of the steps between neighbouring pixels, across and down, of 255. The tooth of the paper alone is most of it:
    /// what no enlargement can know.
    pub gradient_error: f64,
    /// The same with every step of at most 6, the tooth of the paper, taken for none, which leaves the edges.
    pub edge_error: f64,
}

/// Larger than any step of the paper's tooth, ±2 of 255.
const TOOTH: i64 = 6;

/// Enlarges a frame of each of `count` scenes in three ways.
///
/// # Errors
/// If the autoencoder cannot read native frames.
pub fn measure_sharpness(
    vae: &Vae,
    sharpener: &Sharpener,
    split: Split,
    [count, seed]: [u64; 2],
    device: &Device,
) -> Result<Sharpness> {
    let small_size = native_sizes(vae.config())[0];
    let factor = sharpener.factor() as u32;
    let size = Size::new(factor * small_size.width, factor * small_size.height);
    let ways: [&dyn Fn(&Frame) -> Frame; 3] =
        [&|small| resize(small, size, Filter::Lanczos3), &|small| resize(small, size, Filter::CatmullRom), &|small| {
            enlarge(sharpener, small)
        }];
    let mut found = [Nearness::default(); 3];
    let mut drawn_flicker = 0.0;
    let share = 1.0 / count.max(1) as f64;
    let frames = 1 + vae.config().block_frames;
    let clip = |scene: &Scene, size: Size, frames: usize| -> Vec<Frame> {
        let renderer = Renderer::new(scene, size);
        (0..frames).map(|index| renderer.frame(index as f32 / FRAME_RATE as f32)).collect()
    };
    let through = |frames: &[Frame]| -> Result<Vec<Frame>> {
        Ok(tensor_to_frames(vae.decode(vae.encode(clips_to_tensor(&[frames.to_vec()], device))?)))
    };
    for index in 0..count {
        let mut random = generator(seed, index as usize, 0x5ba7);
        let scene = Scene::sample(random.random(), split, &Mixture::default());
        let small = clip(&scene, small_size, frames);
        let decoded = through(&small)?;
        let at = random.random_range(0..frames);
        let drawn = Renderer::new(&scene, size).frame(at as f32 / FRAME_RATE as f32);
        for (way, found) in ways.iter().zip(&mut found) {
            found.of_true.add(&way(&small[at]), &drawn, share);
            found.of_decoded.add(&way(&decoded[at]), &drawn, share);
        }

        let scene = still(Scene::sample(random.random(), split, &Mixture::default()));
        let frames = clip(&scene, small_size, frames);
        let decoded = through(&frames)?;
        for (way, found) in ways.iter().zip(&mut found) {
            let large: Vec<Frame> = decoded.iter().map(way).collect();
            found.flicker += share * flicker(&large);
        }
        drawn_flicker += share * flicker(&frames);
    }
    let [lanczos, catmull_rom, upscaler] = found;
    Ok(Sharpness { size: [size.width, size.height], of: count as usize, lanczos, catmull_rom, upscaler, drawn_flicker })
}

impl Distance {
    fn add(&mut self, frame: &Frame, drawn: &Frame, share: f64) {
        self.psnr_db += share * psnr_db(frame, drawn);
        let [all, edges] = gradient_errors(frame, drawn);
        self.gradient_error += share * all;
        self.edge_error += share * edges;
    }
}

/// A line for each way: PSNR, gradient error and that of edges, from true and from decoded frames, and flicker.
impl fmt::Display for Sharpness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [width, height] = self.size;
        let title = format!("enlarged to {width}x{height}, {} frames", self.of);
        writeln!(f, "{title:<38}{:>24}{:>26}   flicker", "of true frames", "of decoded frames")?;
        for (name, way) in [("Lanczos", self.lanczos), ("Catmull-Rom", self.catmull_rom), ("upscaler", self.upscaler)] {
            let distance =
                |of: Distance| format!("{:.2} dB, {:.3}, {:.3}", of.psnr_db, of.gradient_error, of.edge_error);
            let (of_true, of_decoded) = (distance(way.of_true), distance(way.of_decoded));
            writeln!(f, "  {name:<36}{of_true:>24}{of_decoded:>26}   {:.3}", way.flicker)?;
        }
        writeln!(f, "  {:<86}   {:.3}", "still scenes as they are drawn, small", self.drawn_flicker)
    }
}

/// The same scene with nothing in it that moves.
fn still(mut scene: Scene) -> Scene {
    scene.shots.truncate(1);
    for shot in &mut scene.shots {
        shot.camera = Camera::Still;
        shot.weather = Weather::Clear;
        for actor in &mut shot.actors {
            actor.motion = Motion::Still;
        }
    }
    scene
}

/// The mean difference of neighbouring frames.
fn flicker(frames: &[Frame]) -> f64 {
    let pairs = frames.iter().zip(frames.iter().skip(1));
    let steps: Vec<f64> = pairs.map(|(a, b)| mean_difference(a.rgb().iter().zip(b.rgb()))).collect();
    steps.iter().sum::<f64>() / steps.len().max(1) as f64
}

fn mean_difference<'a>(both: impl ExactSizeIterator<Item = (&'a u8, &'a u8)>) -> f64 {
    let count = both.len().max(1);
    both.map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>() as f64 / count as f64
}

/// Of all steps, and of those that are more than tooth.
fn gradient_errors(a: &Frame, b: &Frame) -> [f64; 2] {
    let row = a.size().width as usize * 3;
    // Steps to the right within each row, and steps down within all rows together.
    let across = a.rgb().chunks_exact(row).zip(b.rgb().chunks_exact(row)).map(|(a, b)| Steps::compare(a, b, 3));
    let across = across.fold(Steps::default(), Steps::add);
    let down = Steps::compare(a.rgb(), b.rgb(), row);
    let mean = |error: fn(&Steps) -> u64| {
        [&across, &down].map(|steps| error(steps) as f64 / steps.count.max(1) as f64).iter().sum::<f64>() / 2.0
    };
    [mean(|steps| steps.error), mean(|steps| steps.edge_error)]
}

/// Differences of steps, summed.
#[derive(Clone, Copy, Default)]
struct Steps {
    count: u64,
    error: u64,
    edge_error: u64,
}

impl Steps {
    /// Of two runs of values, from each to the one that lies `far` behind.
    fn compare(a: &[u8], b: &[u8], far: usize) -> Self {
        let mut steps = Self { count: a.len().saturating_sub(far) as u64, ..Self::default() };
        let from = a.iter().zip(b);
        for ((a0, b0), (a1, b1)) in from.clone().zip(from.skip(far)) {
            let [a, b] = [i64::from(*a1) - i64::from(*a0), i64::from(*b1) - i64::from(*b0)];
            let edge = |step: i64| if step.abs() <= TOOTH { 0 } else { step };
            steps.error += a.abs_diff(b);
            steps.edge_error += edge(a).abs_diff(edge(b));
        }
        steps
    }

    fn add(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            error: self.error + other.error,
            edge_error: self.edge_error + other.edge_error,
        }
    }
}

#[cfg(test)]
mod tests {
    use diffusion::{Upscaler, UpscalerConfig, VaeConfig};

    use super::*;

    /// Left part black, right part white.
    fn edge(at: u32) -> Frame {
        let mut frame = Frame::filled(Size::new(8, 4), [0; 3]);
        for (index, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
            pixel.fill(if index as u32 % 8 >= at { 255 } else { 0 });
        }
        frame
    }

    #[test]
    fn an_edge_elsewhere_is_a_step_missed_and_a_step_too_many() {
        assert_eq!(gradient_errors(&edge(4), &edge(4)), [0.0; 2]);
        // Two of seven steps across, none down.
        for error in gradient_errors(&edge(4), &edge(5)) {
            assert!((error - 255.0 * 2.0 / 7.0 / 2.0).abs() < 1e-9);
        }
        assert!((psnr_db(&edge(4), &edge(5)) - 10.0 * 8.0_f64.log10()).abs() < 1e-9);
    }

    #[test]
    fn tooth_is_no_edge() {
        let mut tooth = Frame::filled(Size::new(8, 4), [100; 3]);
        tooth.rgb_mut().iter_mut().step_by(2).for_each(|value| *value += 4);
        let [all, edges] = gradient_errors(&tooth, &Frame::filled(Size::new(8, 4), [100; 3]));
        assert!(all > 1.0 && edges == 0.0, "{all}, {edges}");
    }

    #[test]
    fn what_does_not_change_does_not_flicker() {
        assert_eq!(flicker(&[edge(3), edge(3), edge(3)]), 0.0);
        assert!((flicker(&[edge(3), edge(4), edge(4)]) - 255.0 / 8.0 / 2.0).abs() < 1e-9);
    }

    /// A new upscaler is its filter.
    #[test]
    fn a_network_that_adds_nothing_measures_as_its_filter() {
        let device = Device::flex();
        let config = VaeConfig { fine_width: 16, coarse_width: 24, latent_channels: 8, ..VaeConfig::nano() };
        let sharpener = Upscaler::new(&UpscalerConfig::small(), &device).sharpener();
        let found =
            measure_sharpness(&Vae::new(&config, &device), &sharpener, Split::HeldOut, [2, 3], &device).unwrap();
        assert_eq!(found.upscaler, found.catmull_rom);
        assert!(found.lanczos.of_true.psnr_db > found.lanczos.of_decoded.psnr_db, "{found:?}");
        assert_eq!((found.size, found.of), ([720, 400], 2));
        let table = found.to_string();
        assert!(table.contains("enlarged to 720x400, 2 frames"), "{table}");
    }
}
