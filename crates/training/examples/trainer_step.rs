//! Times the trainer's step on the transformer, for `benches/trainer_step.py` to hold against PyTorch.
//!
//! The loop is the trainer's own: this program takes its source file in and gives it a stage whose latents
//! and text states are random numbers of the real shapes. So nothing needs to be there, and what is timed is
//! what trains: workers side by side, gradients summed and clipped, optimiser, averaged weights.
//!
//! `trainer_step [--clips 12] [--latent-frames 4] [--workers 2] [--steps 5] [--warm-up 2] [--muon]` prints one line
//! of JSON: parameters, wall and CPU seconds of every step, their medians. Clips are those of one worker.

#![expect(unreachable_pub, reason = "the trainer's source is public in its own crate")]

#[path = "../src/curves.rs"]
mod curves;
#[path = "../src/muon.rs"]
mod muon;
#[path = "../src/trainer.rs"]
mod trainer;

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module as _;
use burn::tensor::{Device, Distribution, Tensor};
use diffusion::{Dit, DitConfig, LatentPositions, TextStates, add_noise};

use crate::trainer::{Stage, StageLoss, Trainer, TrainerConfig};

/// Rows and columns of latents of the landscape clips: 80 × 144 pixels.
const GRID: [usize; 2] = [5, 9];
/// Text states of a caption: 8 registers and about forty tokens.
const TEXT_LENGTH: usize = 48;

struct Options {
    clips: usize,
    latent_frames: usize,
    workers: usize,
    steps: usize,
    warm_up: usize,
    muon: bool,
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let config = DitConfig::nano();
    let device = Device::flex().autodiff();
    device.seed(1);
    let model = Dit::new(&config, &device);
    let parameters = model.num_params();

    let folder = std::env::temp_dir().join(format!("misora-trainer-step-{}", std::process::id()));
    let stage = RandomStage { config, options, starts: Mutex::default() };
    let run =
        Trainer::new(stage.trainer_config(), &folder, &Device::flex()).and_then(|trainer| trainer.run(&stage, model));
    // The last checkpoint goes with the folder.
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    run?;

    let starts = stage.starts.into_inner().expect("no worker panicked");
    let steps = &starts[stage.options.warm_up..];
    let wall: Vec<f64> = steps.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
    let cpu: Option<Vec<f64>> = steps.windows(2).map(|pair| Some(pair[1].cpu_s? - pair[0].cpu_s?)).collect();
    let told = serde_json::json!({
        "parameters": parameters,
        "clips": stage.options.clips * stage.options.workers,
        "step_s": wall,
        "median_s": median(&wall),
        "cpu_s": cpu,
        "median_cpu_s": cpu.as_deref().map(median),
    });
    println!("{told}");
    Ok(())
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { clips: 12, latent_frames: 4, workers: 2, steps: 5, warm_up: 2, muon: false };
        while let Some(name) = arguments.next() {
            let number = match name.as_str() {
                "--clips" => &mut options.clips,
                "--latent-frames" => &mut options.latent_frames,
                "--workers" => &mut options.workers,
                "--steps" => &mut options.steps,
                "--warm-up" => &mut options.warm_up,
                "--muon" => {
                    options.muon = true;
                    continue;
                }
                _ => bail!("{name} is not known: see the first lines of this example's source"),
            };
            let value = arguments.next().with_context(|| format!("{name} needs a number"))?;
            *number = value.parse().with_context(|| format!("{name} needs a number, not {value}"))?;
        }
        anyhow::ensure!(
            options.clips > 0 && options.latent_frames > 0 && options.workers > 0 && options.steps > 0,
            "zero of what?"
        );
        Ok(options)
    }
}

/// Random numbers where the real stage has scenes.
struct RandomStage {
    config: DitConfig,
    options: Options,
    /// When each step began.
    starts: Mutex<Vec<Start>>,
}

struct Start {
    at: Instant,
    cpu_s: Option<f64>,
}

impl RandomStage {
    fn trainer_config(&self) -> TrainerConfig {
        // One more step than is timed: it marks the end of the last one.
        let steps = self.options.warm_up + self.options.steps + 1;
        TrainerConfig {
            seed: 1,
            steps,
            workers: self.options.workers,
            learning_rate: 1e-4,
            warmup_steps: 1,
            decay_share: 0.3,
            weight_decay: 0.01,
            clip_norm: 1.0,
            muon: self.options.muon,
            ema_decay: 0.995,
            checkpoint_every: steps,
            log_every: steps + 1,
        }
    }
}

impl Stage for RandomStage {
    type Model = Dit;

    /// As the real stage has it, with nothing given and no reference.
    fn loss(&self, model: &Dit, _step: usize, worker: usize) -> Result<StageLoss> {
        if worker == 0 {
            self.starts.lock().expect("no worker panicked").push(Start { at: Instant::now(), cpu_s: cpu_seconds() });
        }
        let (batch, frames) = (self.options.clips, self.options.latent_frames);
        let plain = Device::flex();
        let normal = Distribution::Normal(0.0, 1.0);
        let clean = Tensor::<5>::random([batch, frames, GRID[0], GRID[1], self.config.latent_channels], normal, &plain);
        let noise = Tensor::random(clean.dims(), normal, &plain);
        let times = Tensor::<2>::random([batch, frames], Distribution::Uniform(0.0, 1.0), &plain);
        let input = add_noise(clean.clone(), noise.clone(), times.clone().reshape([batch, frames, 1, 1, 1]));
        let width = self.config.text_width;
        let text = TextStates {
            tokens: Tensor::from_inner(Tensor::random([batch, TEXT_LENGTH, width], normal, &plain)),
            mask: Tensor::from_inner(Tensor::zeros([batch, 1, 1, TEXT_LENGTH], &plain)),
            pooled: Tensor::from_inner(Tensor::random([batch, width], normal, &plain)),
        };
        let positions =
            LatentPositions { times_s: training::latent_times_s(4, 0, frames), rows: GRID[0], columns: GRID[1] };
        let velocity = model.forward(Tensor::from_inner(input), Tensor::from_inner(times), &text, &positions);
        let error = velocity - Tensor::from_inner(noise - clean);
        Ok(StageLoss { loss: error.square().mean(), figures: Vec::new() })
    }

    fn inspect(&self, _model: &Dit, _step: usize, _folder: &Path) -> Result<()> {
        Ok(())
    }
}

/// CPU seconds of all threads of this process so far; nothing where there is no `/proc`.
fn cpu_seconds() -> Option<f64> {
    /// `proc(5)` counts in ticks; Linux has had this many a second on every machine for twenty years.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses and may hold anything; `utime` is field 14, `stime` 15.
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}
