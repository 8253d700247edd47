//! The upscaler's stage: frames as the model makes them, beside the same frames drawn at the larger size.
//!
//! Each worker keeps a pool of such pairs. Most small frames went through the autoencoder, some of them with a little noise
//! on their latents as a transformer leaves it; some are true. Every step draws crops from the pool, of two places the one
//! where the filter's enlargement is further off.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use diffusion::{Sharpener, Upscaler, UpscalerConfig, Vae};
use media::{Filter, Frame, Size, resize};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::clips::{FRAME_RATE, clips_to_tensor, draw_size, draw_start, generator, native_sizes, tensor_to_frames};
use crate::paper::{Mixture, Renderer, Scene, Split};
use crate::sheet::contact_sheet;
use crate::trainer::{Stage, StageLoss, Trainer, TrainerConfig};

/// The file that `misora train upscaler --config` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpscalerStageConfig {
    /// The network.
    pub model: UpscalerConfig,
    /// The loop.
    pub trainer: TrainerConfig,
    /// Crops a worker and step.
    pub crops: usize,
    /// Side of a crop in pixels of the small frame; even.
    pub crop_side: u32,
    /// Pairs that a worker keeps.
    pub pool: usize,
    /// Clips that a worker draws a step, two pairs each.
    pub fresh: usize,
    /// Latent frames of the longest clip; shorter ones are drawn too.
    pub latent_frames: usize,
    /// Share of clips that are not seen through the autoencoder.
    pub true_share: f64,
    /// Largest standard deviation of the noise on latents, which half of the other clips get.
    pub noise: f32,
    /// Weight of the difference between neighbouring pixels.
    pub gradient_weight: f32,
    /// What scenes are drawn.
    pub mixture: Mixture,
}

/// Enlarges a frame as the product does, by a filter and then the network, both sides [`Sharpener::factor`] times.
pub fn enlarge(sharpener: &Sharpener, small: &Frame) -> Frame {
    let mut enlarged = resize(small, enlarged_size(small.size(), sharpener.factor()), BASE);
    let size = [small.size().height as usize, small.size().width as usize];
    sharpener.sharpen(small.rgb(), size, enlarged.rgb_mut());
    enlarged
}

/// What [`enlarge`] makes of a frame of this size.
pub fn enlarged_size(size: Size, factor: usize) -> Size {
    Size::new(size.width * factor as u32, size.height * factor as u32)
}

/// The filter whose enlargement the network adds to.
const BASE: Filter = Filter::CatmullRom;

/// Cells of two pixels at the side of a crop whose surroundings are missing, and which are not judged.
const BLIND: u32 = 4;

/// A frame at both sizes.
struct Pair {
    small: Frame,
    /// The small one by [`BASE`].
    enlarged: Frame,
    drawn: Frame,
}

struct UpscalerStage {
    config: UpscalerStageConfig,
    vae: Vae,
    device: Device,
    /// The same without automatic differentiation.
    plain: Device,
    pools: Vec<Mutex<VecDeque<Pair>>>,
}

/// Trains the upscaler on what `vae` makes of the world; goes on from `start` if it is given.
///
/// # Errors
/// Whatever the file system says, or a loss that is no number.
pub fn train_upscaler(
    config: &UpscalerStageConfig,
    vae: Vae,
    start: Option<Upscaler>,
    folder: &Path,
    device: &Device,
) -> Result<Upscaler> {
    anyhow::ensure!(
        config.crop_side.is_multiple_of(2) && config.crop_side > 2 * BLIND,
        "crop_side must be even, and more than {}",
        2 * BLIND
    );
    let plain = device;
    let device = plain.clone().autodiff();
    device.seed(config.trainer.seed);
    let trainer = Trainer::new(config.trainer.clone(), folder, plain)?;
    let model = start.unwrap_or_else(|| Upscaler::new(&config.model, &device));
    let pools = (0..config.trainer.workers).map(|_| Mutex::default()).collect();
    let stage = UpscalerStage { config: config.clone(), vae, device, plain: plain.clone(), pools };
    trainer.run(&stage, model)
}

impl UpscalerStage {
    /// Two frames of a new clip.
    fn draw_pairs(&self, split: Split, random: &mut Pcg64) -> Result<[Pair; 2]> {
        let config = &self.config;
        let scene = Scene::sample(random.random(), split, &config.mixture);
        let size = draw_size(self.vae.config(), random);
        let latent_frames = random.random_range(1..=config.latent_frames);
        let frames = 1 + (latent_frames - 1) * self.vae.config().block_frames;
        let start_s = draw_start(&scene, frames, random);
        let time_s = |index: usize| start_s + index as f32 / FRAME_RATE as f32;
        let renderer = Renderer::new(&scene, size);
        let mut clip: Vec<Frame> = (0..frames).map(|index| renderer.frame(time_s(index))).collect();
        if !random.random_bool(config.true_share) {
            let mut latents = self.vae.encode(clips_to_tensor(&[clip], &self.plain))?;
            if random.random_bool(0.5) {
                let deviation = random.random_range(0.0..=config.noise.max(f32::MIN_POSITIVE));
                let noise = Tensor::random(latents.dims(), Distribution::Normal(0.0, deviation.into()), &self.plain);
                latents = latents + noise;
            }
            clip = tensor_to_frames(self.vae.decode(latents));
        }
        let large_size = enlarged_size(size, config.model.factor);
        let large = Renderer::new(&scene, large_size);
        Ok(std::array::from_fn(|_| {
            let index = random.random_range(0..frames);
            let small = clip[index].clone();
            Pair { enlarged: resize(&small, large_size, BASE), drawn: large.frame(time_s(index)), small }
        }))
    }

    /// Adds new pairs to a pool and lets the oldest go.
    fn refresh(&self, pool: &mut VecDeque<Pair>, random: &mut Pcg64) -> Result<()> {
        let fewest = self.config.crops.min(self.config.pool);
        for _ in 0..fewest.saturating_sub(pool.len()).div_ceil(2).max(self.config.fresh) {
            pool.extend(self.draw_pairs(Split::Train, random)?);
        }
        pool.drain(..pool.len().saturating_sub(self.config.pool));
        Ok(())
    }
}

/// A place in a frame: the upper left corner of a crop, in pixels of the small frame.
#[derive(Clone, Copy)]
struct Place {
    x: u32,
    y: u32,
}

/// A place on the grid of cells; as often at an edge of the frame as crops overlap it.
fn draw_place(size: Size, side: u32, random: &mut Pcg64) -> Place {
    let mut along = |length: u32| {
        let last = length - side;
        (random.random_range(0..last + side).saturating_sub(side / 2).min(last)) / 2 * 2
    };
    Place { x: along(size.width), y: along(size.height) }
}

/// The bytes of a square, row by row.
fn crop(frame: &Frame, place: Place, side: u32) -> impl Iterator<Item = u8> + '_ {
    let [x, y, side, width] = [place.x, place.y, side, frame.size().width].map(|value| value as usize);
    (y..y + side).flat_map(move |row| frame.rgb()[(row * width + x) * 3..][..side * 3].iter().copied())
}

impl Stage for UpscalerStage {
    type Model = Upscaler;

    fn loss(&self, model: &Upscaler, step: usize, worker: usize) -> Result<StageLoss> {
        let mut random = generator(self.config.trainer.seed, step, worker);
        let mut pool = self.pools[worker].lock().expect("no worker panicked with the pool");
        self.refresh(&mut pool, &mut random)?;

        let (factor, side) = (self.config.model.factor as u32, self.config.crop_side);
        let large_side = factor * side;
        let (mut inputs, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.config.crops {
            let pair = &pool[random.random_range(0..pool.len())];
            let size = pair.small.size();
            let off = |place: &Place| -> u64 {
                let at = Place { x: factor * place.x, y: factor * place.y };
                let both = crop(&pair.enlarged, at, large_side).zip(crop(&pair.drawn, at, large_side));
                both.step_by(7).map(|(a, b)| u64::from(a.abs_diff(b))).sum()
            };
            let places = [draw_place(size, side, &mut random), draw_place(size, side, &mut random)];
            let [a, b] = places.map(|place| off(&place));
            let place = places[usize::from(b > a)];
            let at = Place { x: factor * place.x, y: factor * place.y };
            inputs.extend(crop(&pair.small, place, side).map(|byte| f32::from(byte) / 127.5 - 1.0));
            let both = crop(&pair.enlarged, at, large_side).zip(crop(&pair.drawn, at, large_side));
            targets.extend(both.map(|(enlarged, drawn)| (f32::from(drawn) - f32::from(enlarged)) / 127.5));
            // Inside the frame the network would see what a crop does not show.
            let seen = |at: u32, start: u32, length: u32| {
                let (first, last) = (start == 0, start + side == length);
                (first || at >= factor * BLIND) && (last || at < large_side - factor * BLIND)
            };
            for y in 0..large_side {
                let row = seen(y, place.y, size.height);
                weights.extend((0..large_side).map(|x| f32::from(row && seen(x, place.x, size.width))));
            }
        }
        drop(pool);
        let (count, side, large_side) = (self.config.crops, side as usize, large_side as usize);
        let tensor = |values: Vec<f32>, side: usize, channels: usize| {
            Tensor::<4>::from_data(TensorData::new(values, [count, side, side, channels]), &self.device)
        };
        let target = tensor(targets, large_side, 3);
        let weight = tensor(weights, large_side, 1);
        let judged = weight.clone().mean().into_scalar::<f32>();
        let error = (model.forward(tensor(inputs, side, 3)) - target.clone()) * weight.clone();

        let pixels = error.clone().abs().mean();
        let across = (error.clone().narrow(2, 1, large_side - 1) - error.clone().narrow(2, 0, large_side - 1)).abs();
        let down = (error.clone().narrow(1, 1, large_side - 1) - error.clone().narrow(1, 0, large_side - 1)).abs();
        let edges = across.mean() + down.mean();
        let squared = |error: Tensor<4>| error.inner().square().mean().into_scalar::<f32>() / judged;
        let psnr_db = |error: Tensor<4>| 10.0 * (4.0 / squared(error).max(1e-9)).log10();
        let figures = vec![
            ("pixels", pixels.clone().into_scalar::<f32>() / judged),
            ("edges", edges.clone().into_scalar::<f32>() / judged),
            ("psnr_db", psnr_db(error)),
            ("filter_psnr_db", psnr_db(target * weight)),
        ];
        Ok(StageLoss { loss: pixels + edges * self.config.gradient_weight, figures })
    }

    fn inspect(&self, model: &Upscaler, step: usize, folder: &Path) -> Result<()> {
        let sharpener = model.sharpener();
        let mut random = generator(self.config.trainer.seed, usize::MAX, 0);
        let mut rows = Vec::new();
        let (mut sharpened_error, mut enlarged_error) = (0.0, 0.0);
        const CLIPS: usize = 6;
        for _ in 0..CLIPS {
            let [pair, _] = self.draw_pairs(Split::HeldOut, &mut random)?;
            let sharpened = enlarge(&sharpener, &pair.small);
            let squared = |frame: &Frame| {
                let both = frame.rgb().iter().zip(pair.drawn.rgb());
                both.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>() / frame.rgb().len() as f64
            };
            sharpened_error += squared(&sharpened) / CLIPS as f64;
            enlarged_error += squared(&pair.enlarged) / CLIPS as f64;
            // The middle, where somebody is.
            let Size { width, height } = pair.drawn.size();
            let window = Size::new(width.min(height) / 2, width.min(height) / 2);
            let at = Place { x: (width - window.width) / 2, y: (height - window.height) / 2 };
            for frame in [&pair.enlarged, &sharpened, &pair.drawn] {
                rows.push(Frame::new(window, crop(frame, at, window.width).collect()).expect("a square of that side"));
            }
        }
        let psnr_db = |squared: f64| 10.0 * (255.0 * 255.0 / squared).log10();
        eprintln!(
            "held-out frames at step {step}: {:.2} dB, {:.2} dB by the filter alone",
            psnr_db(sharpened_error),
            psnr_db(enlarged_error)
        );
        // All squares at one size.
        let side =
            native_sizes(self.vae.config()).map(|size| size.width.min(size.height)).into_iter().min().unwrap_or(1);
        let cell = enlarged_size(Size::new(side / 2, side / 2), self.config.model.factor);
        let rows: Vec<Frame> = rows.iter().map(|frame| resize(frame, cell, Filter::Area)).collect();
        contact_sheet(&rows, 6, 2).save(folder.join("enlarged.png"))?;
        Ok(())
    }
}
