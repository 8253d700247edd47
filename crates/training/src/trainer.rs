//! The one training loop: every stage gives it a model and a loss, it does the rest.
//!
//! Gradients are computed by a few workers side by side, each on one core with its own part of the
//! batch, then summed: on two cores that is faster than one worker whose every operation is split in
//! two. What a worker sees is a function of (seed, step, worker) alone, so a run can be repeated.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::curves::Curves;
use crate::muon::Muon;

/// How a stage is trained. Part of the stage's configuration file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerConfig {
    /// What everything random is drawn from.
    pub seed: u64,
    /// Optimiser steps in all.
    pub steps: usize,
    /// Workers that compute gradients side by side.
    pub workers: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the rate rises from zero.
    pub warmup_steps: usize,
    /// Last part of the run over which the rate falls to a twentieth, 0…1.
    pub decay_share: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Gradients are scaled down to this norm.
    pub clip_norm: f32,
    /// Use Muon for the matrices inside blocks and AdamW for the rest.
    pub muon: bool,
    /// Decay of the averaged weights a step.
    pub ema_decay: f64,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Steps between lines of the log.
    pub log_every: usize,
}

/// What one worker got from its part of the batch.
pub(crate) struct StageLoss {
    /// The scalar to minimise.
    pub loss: Tensor<1>,
    /// Named figures for the curves; the loss is added by the loop.
    pub figures: Vec<(&'static str, f32)>,
}

/// Something that can be trained.
pub(crate) trait Stage: Sync {
    /// The network that learns.
    type Model: Module + Send + Sync;

    /// The loss of one worker's part of the batch at one step.
    ///
    /// # Errors
    /// Whatever keeps the batch from being made.
    fn loss(&self, model: &Self::Model, step: usize, worker: usize) -> Result<StageLoss>;

    /// Called on the averaged weights at each checkpoint, to write samples or figures into `folder`.
    ///
    /// # Errors
    /// Whatever keeps the samples from being written.
    fn inspect(&self, model: &Self::Model, step: usize, folder: &Path) -> Result<()>;
}

/// Runs a [`Stage`] in a folder of its own, with checkpoints, averaged weights and curves.
pub(crate) struct Trainer {
    config: TrainerConfig,
    folder: PathBuf,
    device: Device,
    pools: Vec<rayon::ThreadPool>,
}

#[derive(Serialize, Deserialize)]
struct Progress {
    step: usize,
    seconds: f64,
}

impl Trainer {
    /// A trainer on `device` that writes into `folder`.
    ///
    /// # Errors
    /// If the folder or the workers cannot be made.
    pub(crate) fn new(config: TrainerConfig, folder: impl Into<PathBuf>, device: &Device) -> Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let pools = (0..config.workers)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<Result<Vec<_>, _>>()?;
        let device = device.clone().autodiff();
        Ok(Self { config, folder, device, pools })
    }

    /// Trains to the end and returns the averaged weights. Goes on from the last checkpoint if there is one.
    ///
    /// # Errors
    /// Whatever the stage or the file system says.
    pub(crate) fn run<S: Stage>(&self, stage: &S, mut model: S::Model) -> Result<S::Model> {
        let mut average = model.valid();
        let mut curves = Curves::open(&self.folder)?;
        let (mut first_step, mut seconds_before) = (0, 0.0);
        let progress_path = self.folder.join("progress.json");
        if let Ok(text) = std::fs::read_to_string(&progress_path) {
            let progress: Progress = serde_json::from_str(&text).context("progress.json is damaged")?;
            model = model
                .try_load_file(self.folder.join("model.bpk"))
                .map_err(|e| anyhow::anyhow!("the checkpoint cannot be read: {e}"))?;
            average = average
                .try_load_file(self.folder.join("average.bpk"))
                .map_err(|e| anyhow::anyhow!("the checkpoint cannot be read: {e}"))?;
            (first_step, seconds_before) = (progress.step, progress.seconds);
            eprintln!("goes on from step {first_step}");
        }
        // Made from the parameters that were loaded: its groups and its state go by their identities.
        let mut optimizer = self.optimizer(&model);
        if first_step > 0 {
            optimizer = optimizer
                .load(self.folder.join("optimizer.bpk"))
                .map_err(|e| anyhow::anyhow!("the optimiser state cannot be read: {e}"))?;
        }

        let started = Instant::now();
        for step in first_step..self.config.steps {
            let step_started = Instant::now();
            let (gradients, loss, mut figures) = self.gradients(stage, &model, step)?;
            let (gradients, norm) = clip(&model, gradients, self.config.clip_norm, 1.0 / self.config.workers as f32);
            let rate = self.learning_rate(step);
            model = optimizer.step(rate, model, gradients);
            average = blend(average, &model, self.average_decay(step));

            figures.insert(0, ("loss", loss));
            figures.push(("gradient_norm", norm));
            figures.push(("learning_rate", rate as f32));
            figures.push(("step_seconds", step_started.elapsed().as_secs_f32()));
            curves.push(step, &figures)?;
            anyhow::ensure!(loss.is_finite(), "the loss is {loss} at step {step}: lower the learning rate");
            let done = step + 1;
            if done % self.config.log_every == 0 {
                let elapsed = started.elapsed();
                let left = elapsed.div_f64((done - first_step) as f64).mul_f64((self.config.steps - done) as f64);
                curves.tell(done, self.config.steps, left);
            }
            if done % self.config.checkpoint_every == 0 || done == self.config.steps {
                let seconds = seconds_before + started.elapsed().as_secs_f64();
                self.checkpoint(&model, &average, &optimizer, &Progress { step: done, seconds })?;
                curves.draw()?;
                stage.inspect(&average, done, &self.folder)?;
            }
        }
        let total = Duration::from_secs_f64(seconds_before + started.elapsed().as_secs_f64());
        eprintln!("{} steps in {:.1} min", self.config.steps, total.as_secs_f64() / 60.0);
        Ok(average)
    }

    /// The summed gradients of all workers, their mean loss and mean figures.
    #[expect(clippy::type_complexity, reason = "three values of one step, taken apart at once")]
    fn gradients<S: Stage>(
        &self,
        stage: &S,
        model: &S::Model,
        step: usize,
    ) -> Result<(GradientsParams, f32, Vec<(&'static str, f32)>)> {
        let results: Vec<Result<(GradientsParams, f32, Vec<(&'static str, f32)>)>> = std::thread::scope(|scope| {
            let handles: Vec<_> = self
                .pools
                .iter()
                .enumerate()
                .map(|(worker, pool)| {
                    // A fork has leaves of its own: workers that share leaves share one tape and consume each other's.
                    let model = model.clone().fork(&self.device);
                    scope.spawn(move || {
                        pool.install(|| {
                            let StageLoss { loss, figures } = stage.loss(&model, step, worker)?;
                            let value = loss.clone().into_scalar::<f32>();
                            Ok((GradientsParams::from_grads(loss.backward(), &model), value, figures))
                        })
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("a worker does not panic")).collect()
        });
        let mut accumulator = GradientsAccumulator::new();
        let (mut loss, mut figures) = (0.0, Vec::<(&'static str, f32)>::new());
        let count = results.len() as f32;
        for result in results {
            let (gradients, value, named) = result?;
            accumulator.accumulate(model, gradients);
            loss += value / count;
            for (name, figure) in named {
                match figures.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += figure / count,
                    None => figures.push((name, figure / count)),
                }
            }
        }
        Ok((accumulator.grads(), loss, figures))
    }

    fn optimizer<M: Module>(&self, model: &M) -> ModuleOptimizer {
        let adam =
            AdamWConfig::new().with_beta_2(0.99).with_epsilon(1e-8).with_weight_decay(self.config.weight_decay).init();
        if !self.config.muon {
            return adam;
        }
        let muon = Muon::new(self.config.weight_decay);
        let mut matrices = BlockMatrices::default();
        model.visit(&mut matrices);
        adam.with_group(ParamGroup::from_ids(matrices.ids), muon, None)
    }

    /// Rises, stays, falls.
    fn learning_rate(&self, step: usize) -> f64 {
        let TrainerConfig { steps, warmup_steps, decay_share, learning_rate, .. } = self.config;
        let warmup = ((step + 1) as f64 / warmup_steps.max(1) as f64).min(1.0);
        let left = (steps - step) as f64 / (steps as f64 * decay_share).max(1.0);
        learning_rate * warmup * left.clamp(0.05, 1.0)
    }

    /// A short memory at first, so that the average forgets the random start.
    fn average_decay(&self, step: usize) -> f64 {
        self.config.ema_decay.min((1.0 + step as f64) / (10.0 + step as f64))
    }

    fn checkpoint<M: Module>(
        &self,
        model: &M,
        average: &M,
        optimizer: &ModuleOptimizer,
        progress: &Progress,
    ) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| anyhow::anyhow!("the checkpoint cannot be written: {e}");
        model.clone().save_file(self.folder.join("model.bpk")).map_err(|e| failed(&e))?;
        average.clone().save_file(self.folder.join("average.bpk")).map_err(|e| failed(&e))?;
        optimizer.save(self.folder.join("optimizer.bpk")).map_err(|e| failed(&e))?;
        std::fs::write(self.folder.join("progress.json"), serde_json::to_string(progress)?)?;
        Ok(())
    }
}

#[derive(Default)]
struct BlockMatrices {
    path: Vec<String>,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for BlockMatrices {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 2 && self.path.iter().any(|name| name.contains("blocks")) {
            self.ids.push(param.id);
        }
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
}

struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += f64::from(gradient.square().sum().into_scalar::<f32>());
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f32,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}

/// Scales all gradients by `share`, then down to `max_norm` together; says the norm before clipping.
fn clip<M: Module>(model: &M, mut gradients: GradientsParams, max_norm: f32, share: f32) -> (GradientsParams, f32) {
    let mut norm = SquaredNorm { gradients: &gradients, sum: 0.0 };
    model.visit(&mut norm);
    let norm = norm.sum.sqrt() as f32 * share;
    let factor = share * (max_norm / norm.max(1e-12)).min(1.0);
    model.visit(&mut Scale { gradients: &mut gradients, factor });
    (gradients, norm)
}

/// The weights of a model by parameter, in burn's container for gradients: it is keyed the same way.
#[derive(Default)]
struct Weights(GradientsParams);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val().inner());
    }
}

struct Blend {
    weights: Weights,
    decay: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(new) = self.weights.0.remove::<D>(param.id) else { return param };
        let decay = self.decay as f32;
        param.map(|old| old.mul_scalar(decay) + new.mul_scalar(1.0 - decay))
    }
}

/// `decay · average + (1 − decay) · model`.
fn blend<M: Module>(average: M, model: &M, decay: f64) -> M {
    let mut weights = Weights::default();
    model.visit(&mut weights);
    average.map(&mut Blend { weights, decay })
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use diffusion::{Linear, linear};

    use super::*;

    /// Learns a fixed linear map; one matrix inside `blocks`, so that Muon has something to do.
    struct Toy;

    #[derive(Module, Debug)]
    struct ToyModel {
        blocks: Vec<Linear>,
    }

    impl Stage for Toy {
        type Model = ToyModel;

        fn loss(&self, model: &ToyModel, step: usize, worker: usize) -> Result<StageLoss> {
            let device = Device::flex().autodiff();
            let values: Vec<f32> = (0..32).map(|i| ((i * 7 + step * 3 + worker) % 11) as f32 / 11.0 - 0.5).collect();
            let input = Tensor::<2>::from_data(TensorData::new(values, [8, 4]), &device);
            let wanted = input.clone().flip([1]);
            let loss = (model.blocks[0].forward(input) - wanted).square().mean();
            Ok(StageLoss { loss, figures: vec![("worker", worker as f32)] })
        }

        fn inspect(&self, _model: &ToyModel, _step: usize, _folder: &Path) -> Result<()> {
            Ok(())
        }
    }

    fn model() -> ToyModel {
        ToyModel { blocks: vec![linear(4, 4, 0.0, &Device::flex().autodiff())] }
    }

    fn config(steps: usize) -> TrainerConfig {
        TrainerConfig {
            seed: 1,
            steps,
            workers: 2,
            learning_rate: 0.05,
            warmup_steps: 1,
            decay_share: 0.0,
            weight_decay: 0.0,
            clip_norm: 10.0,
            muon: true,
            ema_decay: 0.9,
            checkpoint_every: 10,
            log_every: 1000,
        }
    }

    fn losses(folder: &Path) -> Vec<f32> {
        let text = std::fs::read_to_string(folder.join("curves.csv")).expect("curves");
        let of_loss = text.lines().filter_map(|line| line.split_once(",loss,"));
        of_loss.map(|(_, value)| value.parse().expect("a number")).collect()
    }

    #[test]
    fn the_loss_falls_and_a_resumed_run_goes_the_same_way() {
        let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        Trainer::new(config(20), whole.path(), &Device::flex()).expect("a trainer").run(&Toy, model()).expect("a run");
        let losses_whole = losses(whole.path());
        assert!(losses_whole[19] < 0.5 * losses_whole[0], "{losses_whole:?}");

        for steps in [10, 20] {
            Trainer::new(config(steps), parts.path(), &Device::flex())
                .expect("a trainer")
                .run(&Toy, model())
                .expect("a run");
        }
        let losses_parts = losses(parts.path());
        assert_eq!(losses_parts.len(), 20);
        for (a, b) in losses_whole.iter().zip(&losses_parts) {
            assert!((a - b).abs() < 1e-5, "{losses_whole:?}\n{losses_parts:?}");
        }
    }

    #[test]
    fn figures_are_the_mean_over_the_workers() {
        let folder = tempfile::tempdir().expect("a folder");
        Trainer::new(config(1), folder.path(), &Device::flex()).expect("a trainer").run(&Toy, model()).expect("a run");
        let text = std::fs::read_to_string(folder.path().join("curves.csv")).expect("curves");
        assert!(text.contains("0,worker,0.5"), "{text}");
    }

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = TrainerConfig { warmup_steps: 10, decay_share: 0.5, ..config(100) };
        let trainer = Trainer::new(config, folder.path(), &Device::flex()).expect("a trainer");
        let rates: Vec<f64> = [0, 9, 49, 75, 99].map(|step| trainer.learning_rate(step) / 0.05).to_vec();
        for (rate, expected) in rates.iter().zip([0.1, 1.0, 1.0, 0.5, 0.05]) {
            assert!((rate - expected).abs() < 1e-9, "{rates:?}");
        }
    }
}
