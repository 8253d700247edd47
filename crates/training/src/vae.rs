//! Stage 1: the autoencoder, on clips drawn on the fly.
//!
//! The outer layers start as the principal components of the world's blocks, so that training begins
//! with the best linear autoencoder and the residual blocks only learn what lines cannot.

use std::path::Path;

use anyhow::Result;
use burn::tensor::{Device, Distribution, Tensor};
use diffusion::{Linear, Vae, VaeConfig, linear_from};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::clips::{clips_to_tensor, draw_size, draw_start, generator, native_sizes, render, tensor_to_frames};
use crate::paper::{Mixture, Scene, Split};
use crate::sheet::contact_sheet;
use crate::trainer::{Stage, StageLoss, Trainer, TrainerConfig};

/// The file that `misora train vae --config` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaeStageConfig {
    /// The network.
    pub model: VaeConfig,
    /// The loop.
    pub trainer: TrainerConfig,
    /// Clips a worker and step.
    pub clips: usize,
    /// Latent frames of the longest clip; shorter ones are drawn too.
    pub latent_frames: usize,
    /// Weight of the Kullback–Leibler term, a latent value against a pixel value.
    pub kl_weight: f32,
    /// Weight of the difference between neighbouring pixels.
    pub gradient_weight: f32,
}

struct VaeStage {
    config: VaeStageConfig,
    device: Device,
    /// The same without automatic differentiation.
    plain: Device,
}

/// Trains the autoencoder on `device` in `folder` and measures the statistics of its latents.
///
/// # Errors
/// Whatever the file system says, or a loss that is no number.
pub fn train_vae(config: &VaeStageConfig, folder: &Path, device: &Device) -> Result<Vae> {
    let plain = device;
    let device = plain.clone().autodiff();
    device.seed(config.trainer.seed);
    let trainer = Trainer::new(config.trainer.clone(), folder, plain)?;
    let mut model = Vae::new(&config.model, &device);
    if !folder.join("progress.json").exists() {
        start_from_principal_components(&mut model, config.trainer.seed, &device)?;
    }
    let stage = VaeStage { config: config.clone(), device, plain: plain.clone() };
    let mut trained = trainer.run(&stage, model)?;
    let (mean, std) = latent_statistics(&trained, config.trainer.seed, plain)?;
    trained.set_latent_statistics(mean, std);
    Ok(trained)
}

impl Stage for VaeStage {
    type Model = Vae;

    fn loss(&self, model: &Vae, step: usize, worker: usize) -> Result<StageLoss> {
        let mut random = generator(self.config.trainer.seed, step, worker);
        let size = draw_size(&self.config.model, &mut random);
        let latent_frames = random.random_range(2..=self.config.latent_frames);
        let frames = 1 + (latent_frames - 1) * self.config.model.block_frames;
        let clips: Vec<_> = (0..self.config.clips)
            .map(|_| {
                let scene = Scene::sample(random.random(), Split::Train, &Mixture::default());
                render(&scene, size, draw_start(&scene, frames, &mut random), frames)
            })
            .collect();
        let video = clips_to_tensor(&clips, &self.device);

        let posterior = model.posterior(video.clone())?;
        let noise = Tensor::random(posterior.mean.dims(), Distribution::Normal(0.0, 1.0), &self.device);
        let sample = posterior.mean.clone() + (posterior.log_variance.clone() * 0.5).exp() * noise;
        let error = model.reconstruct(sample) - video;

        let pixels = error.clone().abs().mean();
        let squared = error.clone().inner().square().mean().into_scalar::<f32>();
        // Edges, on four neighbouring frames: enough to see them all in time.
        let first = random.random_range(0..frames.saturating_sub(4).max(1));
        let some = error.narrow(1, first, frames.min(4));
        let [_, _, height, width, _] = some.dims();
        let across = (some.clone().narrow(3, 1, width - 1) - some.clone().narrow(3, 0, width - 1)).abs().mean();
        let down = (some.clone().narrow(2, 1, height - 1) - some.narrow(2, 0, height - 1)).abs().mean();
        let edges = across + down;
        let kl = (posterior.mean.square() + posterior.log_variance.clone().exp() - posterior.log_variance - 1.0).mean()
            * 0.5;

        let figures = vec![
            ("pixels", pixels.clone().into_scalar::<f32>()),
            ("psnr_db", 10.0 * (4.0 / squared).log10()),
            ("kl", kl.clone().into_scalar::<f32>()),
        ];
        Ok(StageLoss { loss: pixels + edges * self.config.gradient_weight + kl * self.config.kl_weight, figures })
    }

    fn inspect(&self, model: &Vae, step: usize, folder: &Path) -> Result<()> {
        let mut rows = Vec::new();
        let mut squared = 0.0;
        for seed in 0..8 {
            let scene = Scene::sample(1_000_000 + seed, Split::HeldOut, &Mixture::default());
            let frames = render(&scene, native_sizes(&self.config.model)[0], 0.5, 17);
            let video = clips_to_tensor(std::slice::from_ref(&frames), &self.plain);
            let again = model.decode(model.encode(video.clone())?);
            squared += (again.clone() - video).square().mean().into_scalar::<f32>() / 8.0;
            let again = tensor_to_frames(again);
            for clip in [&frames, &again] {
                rows.extend([0, 4, 12, 16].map(|index| clip[index].clone()));
            }
        }
        eprintln!("held-out reconstruction at step {step}: {:.2} dB", 10.0 * (4.0 / squared).log10());
        contact_sheet(&rows, 8, 2).save(folder.join("reconstruction.png"))?;
        Ok(())
    }
}

/// Mean of each latent channel over 200 training clips, and the scale that normalisation divides it by.
///
/// A channel that moves many pixels keeps a larger part in the flow than one that moves few: each is brought
/// to the square root of its share, so that the transformer spends itself on what is seen. The mean square
/// over the channels is one.
fn latent_statistics(model: &Vae, seed: u64, device: &Device) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut all = Vec::new();
    let mut some = None;
    for index in 0..200 {
        let mut random = generator(seed, index, usize::MAX);
        let scene = Scene::sample(random.random(), Split::Train, &Mixture::default());
        let frames = render(&scene, draw_size(model.config(), &mut random), draw_start(&scene, 17, &mut random), 17);
        let latents = model.posterior(clips_to_tensor(&[frames], device))?.mean;
        let channels = latents.dims()[4];
        let cells = latents.shape().num_elements() / channels;
        all.push(latents.clone().reshape([cells, channels]));
        some.get_or_insert(latents);
    }
    let all = Tensor::cat(all, 0);
    let (variance, mean) = all.var_mean(0);
    let values = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().expect("statistics are f32");
    let (std, mean) = (values(variance.sqrt()), values(mean));
    let Some(clip) = some else { anyhow::bail!("no clip was drawn") };

    let picture = model.reconstruct(clip.clone());
    let moved: Vec<f32> = (0..std.len())
        .map(|channel| {
            let mut step = vec![0.0; std.len()];
            step[channel] = std[channel];
            let step = Tensor::<1>::from_floats(step.as_slice(), device).reshape([1, 1, 1, 1, std.len()]);
            let error = model.reconstruct(clip.clone() + step) - picture.clone();
            error.square().mean().into_scalar::<f32>().sqrt()
        })
        .collect();
    let mean_moved = moved.iter().sum::<f32>() / moved.len() as f32;
    let scale = std.iter().zip(&moved).map(|(std, moved)| std / (moved / mean_moved).sqrt().max(0.1)).collect();
    Ok((mean, scale))
}

/// Makes the linear path of `model` the best linear autoencoder of the world.
fn start_from_principal_components(model: &mut Vae, seed: u64, device: &Device) -> Result<()> {
    let config = model.config().clone();
    let mut blocks = Vec::new();
    for index in 0..240 {
        let mut random = generator(seed, index, usize::MAX - 1);
        let scene = Scene::sample(random.random(), Split::Train, &Mixture::default());
        let frames = render(&scene, native_sizes(&config)[0], draw_start(&scene, 17, &mut random), 17);
        blocks.push(model.patchify(clips_to_tensor(&[frames], device))?.inner());
    }
    let blocks = Tensor::cat(blocks, 0);
    let [batch, frames, rows, columns, values] = blocks.dims();
    let count = batch * frames * rows * columns;

    // Every component is brought to variance one, so that the residual blocks see the fine ones too.
    let fine = Components::of(blocks.reshape([count, values]), config.fine_width);
    model.encoder.patch_embedding = fine.analysis(None, device);
    model.decoder.patch_output = fine.synthesis(None, device);

    let merged = fine
        .coefficients()
        .reshape([batch * frames * (rows / 2), 2, columns / 2, 2 * config.fine_width])
        .swap_dims(1, 2)
        .reshape([count / 4, 4 * config.fine_width]);
    let coarse = Components::of(merged, config.coarse_width);
    let cell_std = fine.std.clone().repeat_dim(1, 4);
    model.encoder.merge = coarse.analysis(Some(cell_std.clone()), device);
    model.decoder.split = coarse.synthesis(Some(cell_std), device);

    // The first components are the latents.
    let (width, channels) = (config.coarse_width, config.latent_channels);
    let mut to_latents = vec![0.0; width * channels];
    let mut from_latents = vec![0.0; channels * width];
    for channel in 0..channels {
        to_latents[channel * channels + channel] = 1.0;
        from_latents[channel * width + channel] = 1.0;
    }
    model.encoder.mean = linear_from(to_latents, vec![0.0; channels], device);
    model.encoder.log_variance = linear_from(vec![0.0; width * channels], vec![-5.0; channels], device);
    model.decoder.latent_embedding = linear_from(from_latents, vec![0.0; width], device);
    let kept = coarse.std.clone().square().narrow(1, 0, channels).sum().into_scalar::<f32>();
    eprintln!("{channels} principal components keep {:.1} % of the variance", 100.0 * kept / coarse.total);
    Ok(())
}

/// The leading principal components of a set of vectors.
struct Components {
    data: Tensor<2>,
    mean: Tensor<2>,
    /// `[values, count]`, orthonormal columns, largest variance first.
    basis: Tensor<2>,
    /// `[1, count]`: the standard deviation of each component, at least a hundredth of the largest.
    std: Tensor<2>,
    /// The variance of the whole set.
    total: f32,
}

impl Components {
    /// By orthogonal iteration on the covariance; `data` is `[N, values]`.
    fn of(data: Tensor<2>, count: usize) -> Self {
        let device = data.device();
        let [rows, values] = data.dims();
        let mean = data.clone().mean_dim(0);
        let centred = data.clone() - mean.clone();
        let covariance = centred.clone().transpose().matmul(centred) / rows as f32;
        let mut basis = orthonormal(Tensor::random([values, count], Distribution::Normal(0.0, 1.0), &device));
        for _ in 0..12 {
            basis = orthonormal(covariance.clone().matmul(basis));
        }
        let image = covariance.clone().matmul(basis.clone());
        let std = (image * basis.clone()).sum_dim(0).clamp_min(0.0).sqrt();
        let floor = std.clone().max().into_scalar::<f32>() * 0.01;
        let total = (covariance * Tensor::<2>::eye(values, &device)).sum().into_scalar::<f32>();
        Self { data, mean, basis, std: std.clamp_min(floor), total }
    }

    /// The components of the data, each with its own variance: `[N, count]`.
    fn coefficients(&self) -> Tensor<2> {
        (self.data.clone() - self.mean.clone()).matmul(self.basis.clone())
    }

    /// `values → count`, each output of variance one; `input_std` undoes the scale of the inputs.
    fn analysis(&self, input_std: Option<Tensor<2>>, device: &Device) -> Linear {
        let basis = self.basis.clone() / self.std.clone();
        let bias = -self.mean.clone().matmul(basis.clone());
        let weight = match input_std {
            Some(std) => basis * std.transpose(),
            None => basis,
        };
        linear_of(weight, bias, device)
    }

    /// The inverse of [`Components::analysis`]: `count → values`.
    fn synthesis(&self, output_std: Option<Tensor<2>>, device: &Device) -> Linear {
        let weight = self.basis.clone().transpose() * self.std.clone().transpose();
        match output_std {
            Some(std) => linear_of(weight / std.clone(), self.mean.clone() / std, device),
            None => linear_of(weight, self.mean.clone(), device),
        }
    }
}

fn linear_of(weight: Tensor<2>, bias: Tensor<2>, device: &Device) -> Linear {
    let values = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().expect("weights are f32");
    linear_from(values(weight), values(bias), device)
}

/// Gram–Schmidt on the columns.
fn orthonormal(matrix: Tensor<2>) -> Tensor<2> {
    let device = matrix.device();
    let [values, count] = matrix.dims();
    let mut columns: Vec<Vec<f32>> = matrix
        .transpose()
        .into_data()
        .try_to_vec::<f32>()
        .expect("f32")
        .chunks_exact(values)
        .map(<[f32]>::to_vec)
        .collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    for index in 0..count {
        let (before, rest) = columns.split_at_mut(index);
        let column = &mut rest[0];
        for _ in 0..2 {
            for earlier in before.iter() {
                let share = dot(column, earlier);
                column.iter_mut().zip(earlier).for_each(|(x, y)| *x -= share * y);
            }
        }
        let norm = dot(column, column).sqrt().max(1e-12);
        column.iter_mut().for_each(|x| *x /= norm);
    }
    Tensor::<1>::from_floats(columns.concat().as_slice(), &device).reshape([count, values]).transpose()
}
