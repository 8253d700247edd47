//! Stage 3: the diffusion transformer, on latents of clips drawn on the fly.
//!
//! Each worker keeps a pool of scenes with their latents. Every step a few new scenes replace the oldest
//! and a batch is drawn, with fresh captions, fresh noise and fresh masks: drawing and encoding cost
//! little, and no scene is seen often.
//!
//! Masks are how one network learns all its jobs: nothing given, the first frame, a prefix, a suffix, both
//! ends, single frames; and, before the clip, a reference picture.
//!
//! While it learns, the tokens in the middle of the network must also say who will be seen in their cell, in which
//! colour, and where the whole of it lies and goes: the velocity alone teaches that slowly. This is representation
//! alignment (Yu et al. 2024, arXiv:2410.06940) with the truth of the scene in place of another network's features.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use diffusion::{
    Dit, DitConfig, LatentPositions, Linear, PromptTokenizer, RmsNorm, SampleRequest, SolverKind, TRANSFORMER,
    TextEncoder, Vae, add_noise, linear, reference_time_s, sample, save_network, shifted,
};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::captioner::Captioner;
use crate::clips::{clips_to_tensor, generator, latent_times_s, native_sizes, render, tensor_to_frames};
use crate::cover::{BEARINGS, Cell, bearings_loss, cells_loss, cover};
use crate::paper::{ActorKind, CaptionStyle, Colour, Mixture, Scene, Split};
use crate::sheet::contact_sheet;
use crate::text::draw_caption;
use crate::trainer::{Stage, StageLoss, Trainer, TrainerConfig};

/// The file that `misora train dit --config` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DitStageConfig {
    /// The network.
    pub model: DitConfig,
    /// The loop.
    pub trainer: TrainerConfig,
    /// Latent frames a worker and step: a batch of shorter clips has more of them.
    pub batch_frames: usize,
    /// Latent frames of the scenes in the pool: the whole scene.
    pub latent_frames: usize,
    /// Lengths of a batch in latent frames; each is as likely as it is often here.
    pub batch_lengths: Vec<usize>,
    /// Scenes a worker and size keeps.
    pub pool: usize,
    /// New scenes a worker and step.
    pub fresh: usize,
    /// Share of scenes from the simple world: one actor, one shot.
    pub simple_share: f64,
    /// Share of scenes with two shots; they are seen whole or not at all.
    pub two_shots: f64,
    /// Share of captions that are dropped, for guidance.
    pub drop_text: f64,
    /// Share of batches with a reference picture.
    pub references: f64,
    /// Share of clips in which nothing is given.
    pub nothing_given: f64,
    /// Timestep shift of training and sampling.
    pub shift: f32,
    /// Weight of a cell that an actor is in, against one of the landscape: actors are few cells and most of what is
    /// asked for.
    #[serde(default = "one")]
    pub actor_weight: f32,
    /// What the tokens must tell about the scene.
    #[serde(default)]
    pub telling: Telling,
    /// What the transformer reads about the scenes.
    #[serde(default)]
    pub captions: Captions,
}

/// What the transformer reads about the scenes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Captions {
    /// All that the world knows of them, in all its styles.
    #[default]
    World,
    /// The world's shortest captions, like those that people leave beside clips.
    Terse,
    /// What the captioner sees in their latents, in all styles: clips without captions teach too.
    Recaptioned,
}

/// What the tokens in the middle of the network must tell about the scene while it learns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Telling {
    /// Blocks they have gone through when they are asked.
    pub after: usize,
    /// Weight in the loss; at 0 nothing is asked.
    pub weight: f32,
}

fn one() -> f32 {
    1.0
}

/// The frozen networks around the one that learns, on the same device.
#[derive(Debug)]
pub struct Surroundings {
    /// Prompts to ids.
    pub tokenizer: PromptTokenizer,
    /// Ids to states.
    pub text_encoder: TextEncoder,
    /// Pixels and latents.
    pub vae: Vae,
    /// Latents to captions; needed for [`Captions::Recaptioned`] alone.
    pub captioner: Option<Captioner>,
}

struct DitStage {
    config: DitStageConfig,
    around: Surroundings,
    device: Device,
    pools: Vec<Mutex<Pools>>,
}

/// A worker's scenes, by native size.
type Pools = [VecDeque<Entry>; 3];

struct Entry {
    scene: Scene,
    /// What captions are drawn from: the scene, or what the captioner took it for.
    described: Scene,
    /// `[1, T, H, W, C]`.
    latents: Tensor<5>,
    /// The main actor on a card, `[1, 1, H, W, C]`.
    portrait: Tensor<5>,
    /// Who covers each cell.
    cells: Vec<Cell>,
    /// What each cell weighs in the loss, `[1, T, H, W, 1]`.
    weights: Tensor<5>,
}

/// The transformer and what asks its tokens about the scene; only the first is kept.
#[derive(Module, Debug)]
struct Learner {
    dit: Dit,
    norm: RmsNorm,
    kind: Linear,
    colour: Linear,
    bearing: Linear,
}

impl Learner {
    fn new(dit: Dit, device: &Device) -> Self {
        let width = dit.config().width;
        Self {
            dit,
            norm: RmsNorm::new(width, device),
            kind: linear(width, ActorKind::ALL.len() + 1, 0.2, device),
            colour: linear(width, Colour::ALL.len() + 1, 0.2, device),
            bearing: linear(width, BEARINGS, 0.2, device),
        }
    }

    /// The loss of what tokens tell about their cells, `[B, T, H·W, D]`.
    fn telling_loss(&self, states: Tensor<4>, cells: &[Cell]) -> Tensor<1> {
        let [.., width] = states.dims();
        let states = self.norm.forward(states).reshape([cells.len(), width]);
        cells_loss(self.kind.forward(states.clone()), self.colour.forward(states.clone()), cells)
            + bearings_loss(self.bearing.forward(states), cells)
    }
}

/// Trains the transformer on `device` in `folder`.
///
/// # Errors
/// Whatever the file system says, or a loss that is no number.
pub fn train_dit(
    config: &DitStageConfig,
    around: Surroundings,
    start: Option<Dit>,
    folder: &Path,
    device: &Device,
) -> Result<Dit> {
    anyhow::ensure!(
        config.captions != Captions::Recaptioned || around.captioner.is_some(),
        "captions can be recaptioned only by a captioner: train one first"
    );
    device.seed(config.trainer.seed);
    let learning = device.clone().autodiff();
    let model = Learner::new(start.unwrap_or_else(|| Dit::new(&config.model, &learning)), &learning);
    let pools = (0..config.trainer.workers).map(|_| Mutex::new(Pools::default())).collect();
    let stage = DitStage { config: config.clone(), around, device: device.clone(), pools };
    Ok(Trainer::new(config.trainer.clone(), folder, device)?.run(&stage, model)?.dit)
}

impl DitStage {
    /// Draws and encodes one new scene.
    fn draw_entry(&self, size: usize, random: &mut Pcg64) -> Result<Entry> {
        let plain = &self.device;
        let mixture = if random.random_bool(self.config.simple_share) {
            Mixture::simple()
        } else {
            Mixture { two_shots: self.config.two_shots, ..Mixture::default() }
        };
        let scene = Scene::sample(random.random(), Split::Train, &mixture);
        let frames = 1 + (self.config.latent_frames - 1) * self.around.vae.config().block_frames;
        let size = native_sizes(self.around.vae.config())[size];
        let clip = render(&scene, size, 0.0, frames);
        let portrait = scene.portrait(0, size);
        let latents = self.around.vae.encode(clips_to_tensor(&[clip], plain))?;
        let [_, time, rows, columns, _] = latents.dims();
        let cells = cover(&scene, size, &self.latent_times_s(0, time), rows, columns);
        let weight = |cell: &Cell| if *cell == Cell::Empty { 1.0 } else { self.config.actor_weight };
        let weights: Vec<f32> = cells.iter().map(weight).collect();
        let described = match (self.config.captions, &self.around.captioner) {
            (Captions::Recaptioned, Some(captioner)) => captioner.read(latents.clone()).remove(0).scene(scene.seed),
            _ => scene.clone(),
        };
        Ok(Entry {
            described,
            latents,
            cells,
            weights: Tensor::from_data(TensorData::new(weights, [1, time, rows, columns, 1]), plain),
            portrait: self.around.vae.encode(clips_to_tensor(&[vec![portrait]], plain))?,
            scene,
        })
    }

    fn latent_times_s(&self, first: usize, count: usize) -> Vec<f32> {
        latent_times_s(self.around.vae.config().block_frames, first, count)
    }

    /// Adds new scenes to the pool and lets the oldest go.
    fn refresh(&self, pool: &mut VecDeque<Entry>, size: usize, random: &mut Pcg64) -> Result<()> {
        const FEWEST: usize = 16;
        for _ in 0..FEWEST.saturating_sub(pool.len()).max(self.config.fresh) {
            pool.push_back(self.draw_entry(size, random)?);
            if pool.len() > self.config.pool {
                pool.pop_front();
            }
        }
        Ok(())
    }

    fn prompt(&self, scene: &Scene, random: &mut Pcg64) -> Vec<u32> {
        if random.random_bool(self.config.drop_text) {
            Vec::new()
        } else if self.config.captions == Captions::Terse {
            self.around.tokenizer.encode(&scene.caption(CaptionStyle::Terse, random.random()))
        } else {
            self.around.tokenizer.encode(&draw_caption(scene, random))
        }
    }

    /// Which latent frames of a clip are given.
    fn mask(&self, length: usize, random: &mut Pcg64) -> Vec<bool> {
        let mut given = vec![false; length];
        if length == 1 || random.random_bool(self.config.nothing_given) {
            return given;
        }
        let part = random.random_range(1..length);
        match random.random_range(0..5) {
            0 => given[0] = true,
            1 => given[..part].fill(true),
            2 => given[part..].fill(true),
            3 if length > 2 => {
                given[0] = true;
                given[length - 1] = true;
            }
            _ => given[random.random_range(0..length)] = true,
        }
        given
    }
}

impl Stage for DitStage {
    type Model = Learner;

    fn loss(&self, model: &Learner, step: usize, worker: usize) -> Result<StageLoss> {
        let mut random = generator(self.config.trainer.seed, step, worker);
        let size = [0, 0, 1, 2][random.random_range(0..4)];
        let mut pools = self.pools[worker].lock().expect("no worker panicked with the pool");
        self.refresh(&mut pools[size], size, &mut random)?;

        // One length, one place in time and one decision about references for the whole batch.
        let length = self.config.batch_lengths[random.random_range(0..self.config.batch_lengths.len())];
        let spare = self.config.latent_frames - length;
        let first = if spare == 0 || random.random_bool(0.4) { 0 } else { random.random_range(1..=spare) };
        let with_reference = random.random_bool(self.config.references);

        let whole = spare == 0;
        let fitting: Vec<&Entry> = pools[size].iter().filter(|entry| whole || entry.scene.shots.len() == 1).collect();
        anyhow::ensure!(!fitting.is_empty(), "no scene of the pool has one shot: lower two_shots");
        let clips = (self.config.batch_frames / length).max(1);
        let chosen: Vec<&Entry> = (0..clips).map(|_| fitting[random.random_range(0..fitting.len())]).collect();
        let prompts: Vec<_> = chosen.iter().map(|entry| self.prompt(&entry.described, &mut random)).collect();
        let text = self.around.text_encoder.forward(&prompts, &self.device);
        let clean = Tensor::cat(chosen.iter().map(|e| e.latents.clone().narrow(1, first, length)).collect(), 0);
        let weights = Tensor::cat(chosen.iter().map(|e| e.weights.clone().narrow(1, first, length)).collect(), 0);
        let [batch, _, rows, columns, channels] = clean.dims();
        let frame = rows * columns;
        let seen = |entry: &&Entry| entry.cells[first * frame..(first + length) * frame].to_vec();
        let cells: Vec<Cell> = chosen.iter().flat_map(seen).collect();

        // Noise, except where a frame is given.
        let (mut times, mut free) = (Vec::new(), Vec::new());
        for _ in 0..batch {
            let t = shifted(logistic(normal(&mut random)), self.config.shift);
            for given in self.mask(length, &mut random) {
                times.push(if given { 0.0 } else { t });
                free.push(f32::from(u8::from(!given)));
            }
        }
        let plain = &self.device;
        let times = Tensor::<2>::from_data(TensorData::new(times, [batch, length]), plain);
        let free = Tensor::<5>::from_data(TensorData::new(free, [batch, length, 1, 1, 1]), plain);
        let noise = Tensor::random(clean.dims(), Distribution::Normal(0.0, 1.0), plain);
        let mut input = add_noise(clean.clone(), noise.clone(), times.clone().reshape([batch, length, 1, 1, 1]));
        let mut input_times = times;
        let mut times_s = self.latent_times_s(first, length);
        if with_reference {
            input = Tensor::cat(vec![Tensor::cat(chosen.iter().map(|e| e.portrait.clone()).collect(), 0), input], 1);
            input_times = Tensor::cat(vec![Tensor::zeros([batch, 1], plain), input_times], 1);
            times_s.insert(0, reference_time_s(0));
        }
        drop(fitting);
        drop(chosen);
        drop(pools);

        let text = diffusion::TextStates {
            tokens: Tensor::from_inner(text.tokens),
            mask: Tensor::from_inner(text.mask),
            pooled: Tensor::from_inner(text.pooled),
        };
        let positions = LatentPositions { times_s, rows, columns };
        let (velocity, states) = model.dit.forward_with_states(
            Tensor::from_inner(input),
            Tensor::from_inner(input_times),
            &text,
            &positions,
            self.config.telling.after,
        );
        let velocity = velocity.narrow(1, usize::from(with_reference), length);
        // A frame that is given has nothing to predict.
        let weights = weights * free;
        let values = weights.clone().sum().into_scalar::<f32>() * channels as f32;
        let error = (velocity - Tensor::from_inner(noise - clean)).square() * Tensor::from_inner(weights);
        let loss = error.sum() / values;
        let mut figures = vec![("velocity", loss.clone().into_scalar::<f32>())];
        let Telling { weight, .. } = self.config.telling;
        if weight == 0.0 {
            return Ok(StageLoss { loss, figures });
        }
        let told = model.telling_loss(states.narrow(1, usize::from(with_reference), length), &cells);
        figures.push(("told", told.clone().into_scalar::<f32>()));
        Ok(StageLoss { loss: loss + told * weight, figures })
    }

    /// The averaged weights as a network, and clips for a few prompts, some of withheld compositions, at a fixed seed.
    fn inspect(&self, model: &Learner, _step: usize, folder: &Path) -> Result<()> {
        let model = &model.dit;
        save_network(&folder.join(TRANSFORMER), model.config(), model)?;
        const PROMPTS: [&str; 8] = [
            "a red boat sails right on the sea at dusk",
            "a yellow star spins, night sky",
            "a green car drives left in the city",
            "a white cat stays still in the meadow, it rains",
            "a blue bird flies up, mountains",
            "a purple balloon moves up over the desert",
            "a pink fish swims left in the sea",
            "an orange house on a snow field, it snows",
        ];
        // Long enough to see what moves where.
        let length = self.config.latent_frames.min(6);
        let mut frames = Vec::new();
        for prompt in PROMPTS {
            let clip = self.sample(model, prompt, length)?;
            let last = clip.len() - 1;
            frames.extend([0, last / 3, 2 * last / 3, last].map(|index| clip[index].clone()));
        }
        contact_sheet(&frames, 8, 2).save(folder.join("samples.png"))?;
        Ok(())
    }
}

impl DitStage {
    fn sample(&self, model: &Dit, prompt: &str, length: usize) -> Result<Vec<media::Frame>> {
        let text =
            |prompt: &str| self.around.text_encoder.forward(&[self.around.tokenizer.encode(prompt)], &self.device);
        let grid = self.around.vae.config().spatial_compression();
        let size = native_sizes(self.around.vae.config())[0];
        let request = SampleRequest {
            text: text(prompt),
            negative: text(""),
            times_s: self.latent_times_s(0, length),
            rows: size.height as usize / grid,
            columns: size.width as usize / grid,
            given: Vec::new(),
            references: Vec::new(),
            edit: None,
            steps: 12,
            guidance_scale: 4.0,
            guidance_interval: (0.0, 1.0),
            step_cache: 0.0,
            shift: self.config.shift,
            solver: SolverKind::default(),
            seed: 7,
        };
        let latents = sample(model, &request, &self.device, |_| ControlFlow::Continue(()))?;
        Ok(tensor_to_frames(self.around.vae.decode(latents)))
    }
}

fn normal(random: &mut Pcg64) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * random.random::<f32>()).cos()
}

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use diffusion::{TextConfig, VaeConfig};

    use super::*;
    use crate::captioner::CaptionerConfig;
    use crate::text::{TextStageConfig, train_tokenizer};

    fn trainer(steps: usize) -> TrainerConfig {
        TrainerConfig {
            seed: 5,
            steps,
            workers: 2,
            learning_rate: 0.01,
            warmup_steps: 4,
            decay_share: 0.2,
            weight_decay: 0.0,
            clip_norm: 1.0,
            muon: true,
            ema_decay: 0.9,
            checkpoint_every: 1000,
            log_every: 1000,
        }
    }

    fn surroundings(folder: &Path) -> Surroundings {
        let device = Device::flex();
        device.seed(5);
        let model = TextConfig { vocabulary: 400, max_tokens: 64, width: 16, heads: 2, blocks: 1, registers: 8 };
        let stage =
            TextStageConfig { model: model.clone(), trainer: trainer(1), vocabulary_captions: 200, captions: 4 };
        Surroundings {
            tokenizer: train_tokenizer(&stage, &folder.join("tokenizer.json")).expect("a tokenizer"),
            text_encoder: TextEncoder::new(&model, &device),
            vae: Vae::new(
                &VaeConfig {
                    fine_width: 16,
                    coarse_width: 24,
                    encoder_blocks: 1,
                    decoder_blocks: 1,
                    latent_channels: 8,
                    ..VaeConfig::nano()
                },
                &device,
            ),
            captioner: None,
        }
    }

    fn config() -> DitStageConfig {
        DitStageConfig {
            model: DitConfig { latent_channels: 8, width: 32, heads: 2, blocks: 2, mlp_width: 64, text_width: 16 },
            trainer: trainer(40),
            batch_frames: 12,
            latent_frames: 3,
            batch_lengths: vec![1, 3],
            pool: 32,
            fresh: 1,
            simple_share: 0.5,
            two_shots: 0.1,
            drop_text: 0.1,
            references: 0.2,
            nothing_given: 0.5,
            shift: 2.0,
            actor_weight: 2.0,
            telling: Telling { after: 1, weight: 0.1 },
            captions: Captions::World,
        }
    }

    #[test]
    fn a_short_run_learns_and_leaves_weights_and_samples() {
        let folder = tempfile::tempdir().expect("a folder");
        train_dit(&config(), surroundings(folder.path()), None, folder.path(), &Device::flex()).expect("a run");
        let curves = std::fs::read_to_string(folder.path().join("curves.csv")).expect("curves");
        let losses: Vec<f32> = curves
            .lines()
            .filter_map(|line| line.split_once(",loss,"))
            .map(|(_, value)| value.parse().expect("a number"))
            .collect();
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean(&losses[30..]) < 0.9 * mean(&losses[..5]), "{losses:?}");
        assert!(folder.path().join("samples.png").exists());
        assert!(folder.path().join(TRANSFORMER).join("model.safetensors").exists());
    }

    #[test]
    fn captions_are_the_worlds_the_shortest_or_the_captioners() {
        let folder = tempfile::tempdir().expect("a folder");
        let drawn = |captions, captioner| {
            let around = Surroundings { captioner, ..surroundings(folder.path()) };
            let config = DitStageConfig { captions, ..config() };
            let stage = DitStage { config, around, device: Device::flex(), pools: Vec::new() };
            stage.draw_entry(0, &mut generator(2, 0, 0)).expect("an entry")
        };
        let world = drawn(Captions::World, None);
        assert_eq!(world.described, world.scene);
        assert_eq!(drawn(Captions::Terse, None).described, world.scene);
        // A captioner that has learned nothing sees something else.
        let model = CaptionerConfig {
            latent_channels: 8,
            block_frames: 4,
            width: 16,
            heads: 2,
            blocks: 2,
            mlp_width: 16,
            time_patch: 2,
        };
        let captioner = Captioner::new(&model, &Device::flex());
        let again = drawn(Captions::Recaptioned, Some(captioner));
        assert_eq!(again.scene, world.scene);
        assert_ne!(again.described, world.scene);
        let refused = train_dit(
            &DitStageConfig { captions: Captions::Recaptioned, ..config() },
            surroundings(folder.path()),
            None,
            folder.path(),
            &Device::flex(),
        );
        assert!(refused.unwrap_err().to_string().contains("captioner"));
    }

    #[test]
    fn masks_leave_something_to_make_and_cover_every_job() {
        let folder = tempfile::tempdir().expect("a folder");
        let stage = DitStage {
            config: config(),
            around: surroundings(folder.path()),
            device: Device::flex(),
            pools: Vec::new(),
        };
        let mut random = generator(1, 0, 0);
        let masks: Vec<Vec<bool>> = (0..400).map(|_| stage.mask(5, &mut random)).collect();
        assert!(masks.iter().all(|mask| mask.iter().any(|given| !given)));
        for job in [
            [true, false, false, false, false],
            [true, true, true, false, false],
            [false, false, true, true, true],
            [true, false, false, false, true],
            [false, false, false, false, false],
        ] {
            assert!(masks.iter().any(|mask| mask[..] == job), "{job:?}");
        }
        assert_eq!(stage.mask(1, &mut random), [false]);
    }
}
