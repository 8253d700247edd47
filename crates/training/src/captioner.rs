//! Stage 4: the captioner, which reads a clip's latents and says what is to be seen.
//!
//! It sees the latents of the frozen VAE, never the prompt. Blocks look along space and along time in
//! turn; then each question of a fixed sheet has its own register that gathers what it needs from all
//! cells. While it learns, every cell must also say which actor covers it: that binds kinds and colours
//! to places, and thousands of answers a clip teach faster than thirty.
//!
//! The answers make a [`Scene`], and a scene tells itself: so captions are in the world's own language.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use anyhow::Result;
use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::{log_sigmoid, log_softmax, relu, sigmoid, softmax};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use diffusion::{
    Linear, Mlp, ModelFiles, Preparation, RmsNorm, Vae, cross_attention, linear, save_network, self_attention,
};
use media::Frame;
use rand::RngExt as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::clips::{FRAME_RATE, clips_to_tensor, generator, latent_times_s, native_sizes, render};
use crate::cover::{Cell, cells_loss, cover, one_hot};
use crate::paper::{
    Actor, ActorKind, ActorSize, Attributes, Background, Camera, CaptionStyle, Colour, HairColour, HairStyle, Hat,
    Mixture, Motion, Pace, Placement, Puppet, Relation, Scene, Shot, Skin, Split, TimeOfDay, Wanted, WantedShot,
    Weather,
};
use crate::trainer::{Stage, StageLoss, Trainer, TrainerConfig};

/// Folder of the captioner in a model folder.
pub const CAPTIONER: &str = "captioner";

/// The shape of a [`Captioner`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionerConfig {
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Frames in a block of the autoencoder.
    #[serde(default = "nano_block")]
    pub block_frames: usize,
    /// Latent frames that are read as one; the first stands alone, as in the VAE.
    pub time_patch: usize,
    /// Width of the cells' states; a multiple of `heads`.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Blocks: the even ones look along space, the odd ones along time.
    pub blocks: usize,
    /// Width inside the blocks' MLPs.
    pub mlp_width: usize,
}

impl CaptionerConfig {
    /// The size that trains on one CPU core.
    pub fn nano() -> Self {
        Self { latent_channels: 96, block_frames: 4, time_patch: 2, width: 128, heads: 4, blocks: 4, mlp_width: 256 }
    }

    /// The seconds in the middle of each patch of time.
    fn cell_times_s(&self, latent_frames: usize) -> Vec<f32> {
        let times_s = latent_times_s(self.block_frames, 0, latent_frames);
        let middle =
            |frames: Vec<usize>| frames.iter().map(|&frame| times_s[frame]).sum::<f32>() / self.time_patch as f32;
        patch_frames(latent_frames, self.time_patch).into_iter().map(middle).collect()
    }
}

fn nano_block() -> usize {
    4
}

/// The captioner.
#[derive(Module, Debug)]
pub struct Captioner {
    /// Latent channels of a cell and its six neighbours → width.
    pub latent_embedding: Linear,
    /// Sinusoids of time, row and column → width.
    pub position_embedding: Linear,
    /// The blocks.
    pub blocks: Vec<CaptionerBlock>,
    /// Last norm of the cells.
    pub norm: RmsNorm,
    /// One register a question, `[questions, D]`.
    pub registers: Param<Tensor<2>>,
    /// Keys and values of the cells for the registers.
    pub register_key_value: Linear,
    /// After reading.
    pub register_norm: RmsNorm,
    /// Thinks over what was read.
    pub register_mlp: Mlp,
    /// One answer a question.
    pub heads: Vec<Linear>,
    /// Which kind of actor covers a cell, or none: only asked in training.
    pub cell_kind: Linear,
    /// Which colour the actor that covers a cell has: only asked in training.
    pub cell_colour: Linear,
    #[module(skip)]
    config: CaptionerConfig,
}

/// One block: attention along one axis and an MLP side by side, behind one norm.
///
/// Source: the parallel block of Wang & Komatsuzaki 2021 (GPT-J); here it saves passes over memory, which
/// cost more than arithmetic at this width. For the same reason the MLP has a ReLU.
#[derive(Module, Debug)]
pub struct CaptionerBlock {
    /// Before both branches.
    pub norm: RmsNorm,
    /// Queries, keys and values.
    pub qkv: Linear,
    /// After attention.
    pub output: Linear,
    /// Into the MLP.
    pub up: Linear,
    /// Out of the MLP.
    pub down: Linear,
}

/// What the network says of a batch.
struct Logits {
    /// `[B, classes]` each, in the order of [`Question::ALL`].
    answers: Vec<Tensor<2>>,
    /// `[B·T·H·W, kinds + 1]`, the last class is none.
    cell_kinds: Tensor<2>,
    /// `[B·T·H·W, colours + 1]`, the last class is none.
    cell_colours: Tensor<2>,
}

impl Captioner {
    /// A captioner with random weights.
    pub fn new(config: &CaptionerConfig, device: &Device) -> Self {
        let width = config.width;
        Self {
            latent_embedding: linear(NEIGHBOURS * config.time_patch * config.latent_channels, width, 1.0, device),
            position_embedding: linear(3 * POSITION_FEATURES, width, 0.5, device),
            blocks: (0..config.blocks)
                .map(|_| CaptionerBlock {
                    norm: RmsNorm::new(width, device),
                    qkv: linear(width, 3 * width, 1.0, device),
                    output: linear(width, width, 0.0, device),
                    up: linear(width, config.mlp_width, 1.0, device),
                    down: linear(config.mlp_width, width, 0.0, device),
                })
                .collect(),
            norm: RmsNorm::new(width, device),
            registers: Initializer::Normal { mean: 0.0, std: 0.5 }.init([Question::ALL.len(), width], device),
            register_key_value: linear(width, 2 * width, 1.0, device),
            register_norm: RmsNorm::new(width, device),
            register_mlp: Mlp::new(width, 2 * width, device),
            heads: Question::ALL.iter().map(|question| linear(width, question.classes(), 0.2, device)).collect(),
            cell_kind: linear(width, ActorKind::ALL.len() + 1, 0.2, device),
            cell_colour: linear(width, Colour::ALL.len() + 1, 0.2, device),
            config: config.clone(),
        }
    }

    /// Reads the captioner of a model.
    ///
    /// # Errors
    /// [`diffusion::Error::ModelFile`] if a file is missing, damaged or does not fit its configuration.
    pub fn open(files: &ModelFiles, device: &Device) -> diffusion::Result<Self> {
        files.network(CAPTIONER, |config: &CaptionerConfig| Self::new(config, device))
    }

    /// Writes the captioner into a model folder.
    ///
    /// # Errors
    /// [`diffusion::Error::ModelFile`] if a file cannot be written.
    pub fn save(&self, model_folder: &Path) -> diffusion::Result<()> {
        save_network(&model_folder.join(CAPTIONER), &self.config, self)
    }

    /// The shape it was made with.
    pub fn config(&self) -> &CaptionerConfig {
        &self.config
    }

    /// What is to be seen in each clip.
    ///
    /// # Shapes
    /// `latents`: `[B, T, H, W, C]`, normalised as [`Vae::encode`] gives them, from the beginning of the
    /// clip on. Four seconds are what it was trained on; others work less well.
    pub fn read(&self, latents: Tensor<5>) -> Vec<Reading> {
        let batch = latents.dims()[0];
        let answers: Vec<Vec<f32>> = self
            .forward(latents)
            .answers
            .into_iter()
            .zip(Question::ALL)
            .map(|(logits, question)| {
                let shares = if question.many() { sigmoid(logits) } else { softmax(logits, 1) };
                shares.into_data().try_to_vec::<f32>().expect("logits are f32")
            })
            .collect();
        (0..batch)
            .map(|row| {
                Reading::new(|question| {
                    let classes = question.classes();
                    &answers[question as usize][row * classes..(row + 1) * classes]
                })
            })
            .collect()
    }

    /// How well each clip shows what is wanted: the mean log-probability, at least −3, of the answers that would be right, over the questions
    /// that a prompt answers and the captioner answers well.
    ///
    /// # Shapes
    /// As [`Captioner::read`].
    pub fn agreement(&self, latents: Tensor<5>, wanted: &Wanted) -> Vec<f32> {
        let batch = latents.dims()[0];
        let mut sums = vec![0.0; batch];
        let mut asked = 0;
        for (logits, question) in self.forward(latents).answers.into_iter().zip(Question::ALL) {
            let right = question.wanted(wanted);
            if right.is_empty() {
                continue;
            }
            let shares = if question.many() { log_sigmoid(logits) } else { log_softmax(logits, 1) };
            let shares = shares.into_data().try_to_vec::<f32>().expect("logits are f32");
            for (sum, shares) in sums.iter_mut().zip(shares.chunks(question.classes())) {
                *sum += right.iter().map(|&class| shares[class]).sum::<f32>().max(LEAST_LOG_SHARE);
            }
            asked += 1;
        }
        sums.into_iter().map(|sum| sum / asked.max(1) as f32).collect()
    }

    fn forward(&self, latents: Tensor<5>) -> Logits {
        let times_s = self.config.cell_times_s(latents.dims()[1]);
        let latents = time_patches(latents, self.config.time_patch);
        let [batch, time, rows, columns, channels] = latents.dims();
        let device = latents.device();
        let width = self.config.width;
        let cells = time * rows * columns;

        let positions = positions(&times_s, rows, columns, &device);
        let x = self.latent_embedding.forward(with_neighbours(latents).reshape([batch, cells, NEIGHBOURS * channels]))
            + self.position_embedding.forward(positions).unsqueeze::<3>();
        let mut x = x.reshape([batch, time, rows * columns, width]);
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, index % 2 == 1, self.config.heads);
        }
        let x = self.norm.forward(x).reshape([batch, cells, width]);

        let queries = self.registers.val().unsqueeze::<3>().repeat_dim(0, batch);
        let key_value = self.register_key_value.forward(x.clone());
        let read = cross_attention(queries, key_value, self.config.heads, Preparation::default());
        let read = read.clone() + self.register_mlp.forward(self.register_norm.forward(read));
        let answers = self
            .heads
            .iter()
            .enumerate()
            .map(|(index, head)| head.forward(read.clone().narrow(1, index, 1).reshape([batch, width])))
            .collect();
        let x = x.reshape([batch * cells, width]);
        Logits { answers, cell_kinds: self.cell_kind.forward(x.clone()), cell_colours: self.cell_colour.forward(x) }
    }
}

impl CaptionerBlock {
    /// `[B, T, P, D]`, P places in a frame, same shape out; attention among the places of a frame, or along
    /// the time of one place.
    fn forward(&self, x: Tensor<4>, along_time: bool, heads: usize) -> Tensor<4> {
        let [batch, time, places, width] = x.dims();
        let h = self.norm.forward(x.clone());
        let mlp = self.down.forward(relu(self.up.forward(h.clone())));
        let h = if along_time {
            h.swap_dims(1, 2).reshape([batch * places, time, width])
        } else {
            h.reshape([batch * time, places, width])
        };
        let h = self.output.forward(self_attention(self.qkv.forward(h), heads, Preparation::default()));
        let h = if along_time {
            h.reshape([batch, places, time, width]).swap_dims(1, 2)
        } else {
            h.reshape([batch, time, places, width])
        };
        x + h + mlp
    }
}

/// The latent frames of each patch of time: the first frame alone, then `patch` at a time; a frame that is
/// missing at the end is the last one again.
fn patch_frames(latent_frames: usize, patch: usize) -> Vec<Vec<usize>> {
    let rest = (1..latent_frames).step_by(patch);
    let rest = rest.map(|first| (first..first + patch).map(|frame| frame.min(latent_frames - 1)).collect());
    std::iter::once(vec![0; patch]).chain(rest).collect()
}

/// `[B, T, H, W, C] → [B, 1 + ⌈(T − 1)/patch⌉, H, W, patch·C]`.
fn time_patches(latents: Tensor<5>, patch: usize) -> Tensor<5> {
    let frames = patch_frames(latents.dims()[1], patch);
    let device = latents.device();
    let slot = |at: usize| {
        let indices: Vec<i64> = frames.iter().map(|frames| frames[at] as i64).collect();
        let count = indices.len();
        latents.clone().select(1, Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &device))
    };
    Tensor::cat((0..patch).map(slot).collect(), 4)
}

/// Beside each cell its neighbours: before and after it, above and below it, left and right of it.
///
/// `[B, T, H, W, C] → [B, T, H, W, 7·C]`.
fn with_neighbours(latents: Tensor<5>) -> Tensor<5> {
    let mut parts = vec![latents.clone()];
    for axis in 1..=3 {
        parts.push(moved(latents.clone(), axis, true));
        parts.push(moved(latents.clone(), axis, false));
    }
    Tensor::cat(parts, 4)
}

/// The cells moved by one along an axis, zeros where nothing comes from.
fn moved(x: Tensor<5>, axis: usize, forward: bool) -> Tensor<5> {
    let count = x.dims()[axis];
    let empty = x.clone().narrow(axis, 0, 1).mul_scalar(0.0);
    if count == 1 {
        return empty;
    }
    if forward {
        Tensor::cat(vec![empty, x.narrow(axis, 0, count - 1)], axis)
    } else {
        Tensor::cat(vec![x.narrow(axis, 1, count - 1), empty], axis)
    }
}

/// A wrong answer counts no more than this, however sure it is.
const LEAST_LOG_SHARE: f32 = -3.0;
/// A cell and the six beside it.
const NEIGHBOURS: usize = 7;
/// Sinusoids on each axis.
const POSITION_FEATURES: usize = 12;
/// Shortest and longest wavelength on the time axis, in seconds.
const TIME_WAVELENGTHS: (f32, f32) = (1.5, 60.0);
/// Shortest and longest wavelength on the spatial axes, in latent cells.
const SPACE_WAVELENGTHS: (f32, f32) = (2.5, 60.0);

/// `[T·H·W, 3·POSITION_FEATURES]`: seconds, and rows and columns from the middle of the frame.
fn positions(times_s: &[f32], rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    let centred = |index: usize, count: usize| index as f32 - (count as f32 - 1.0) / 2.0;
    let mut features = Vec::with_capacity(times_s.len() * rows * columns * 3 * POSITION_FEATURES);
    for &time_s in times_s {
        for row in 0..rows {
            for column in 0..columns {
                push_sinusoids(&mut features, time_s, TIME_WAVELENGTHS);
                push_sinusoids(&mut features, centred(row, rows), SPACE_WAVELENGTHS);
                push_sinusoids(&mut features, centred(column, columns), SPACE_WAVELENGTHS);
            }
        }
    }
    let cells = times_s.len() * rows * columns;
    Tensor::from_data(TensorData::new(features, [cells, 3 * POSITION_FEATURES]), device)
}

fn push_sinusoids(features: &mut Vec<f32>, position: f32, (shortest, longest): (f32, f32)) {
    let count = POSITION_FEATURES / 2;
    for index in 0..count {
        let wavelength = shortest * (longest / shortest).powf(index as f32 / (count - 1) as f32);
        let (sine, cosine) = (position * std::f32::consts::TAU / wavelength).sin_cos();
        features.extend([sine, cosine]);
    }
}

/// What the captioner is asked about a clip. The extras are the actors behind the main one in the shot's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    KindsPresent,
    ColoursPresent,
    Kind,
    Colour,
    Size,
    Motion,
    Pace,
    Count,
    Relation,
    Background,
    PlainColour,
    Weather,
    TimeOfDay,
    Camera,
    Cut,
    Skin,
    HairStyle,
    HairColour,
    Hat,
    Glasses,
    SecondKind,
    SecondColour,
    ThirdKind,
    ThirdColour,
    NextKind,
    NextColour,
    NextMotion,
    NextBackground,
    NextWeather,
    NextTimeOfDay,
}

impl Question {
    pub(crate) const ALL: [Self; 30] = [
        Self::KindsPresent,
        Self::ColoursPresent,
        Self::Kind,
        Self::Colour,
        Self::Size,
        Self::Motion,
        Self::Pace,
        Self::Count,
        Self::Relation,
        Self::Background,
        Self::PlainColour,
        Self::Weather,
        Self::TimeOfDay,
        Self::Camera,
        Self::Cut,
        Self::Skin,
        Self::HairStyle,
        Self::HairColour,
        Self::Hat,
        Self::Glasses,
        Self::SecondKind,
        Self::SecondColour,
        Self::ThirdKind,
        Self::ThirdColour,
        Self::NextKind,
        Self::NextColour,
        Self::NextMotion,
        Self::NextBackground,
        Self::NextWeather,
        Self::NextTimeOfDay,
    ];

    /// Whether several classes may be right at once.
    pub(crate) fn many(self) -> bool {
        matches!(self, Self::KindsPresent | Self::ColoursPresent)
    }

    pub(crate) fn classes(self) -> usize {
        match self {
            Self::KindsPresent | Self::Kind | Self::SecondKind | Self::ThirdKind | Self::NextKind => {
                ActorKind::ALL.len()
            }
            Self::ColoursPresent
            | Self::Colour
            | Self::PlainColour
            | Self::SecondColour
            | Self::ThirdColour
            | Self::NextColour => Colour::ALL.len(),
            Self::Size => ActorSize::ALL.len(),
            Self::Motion | Self::NextMotion => Motion::ALL.len(),
            Self::Pace => Pace::ALL.len(),
            Self::Count => MOST_ACTORS,
            Self::Relation => Relation::ALL.len() + 1,
            Self::Background | Self::NextBackground => Background::ALL.len(),
            Self::Weather | Self::NextWeather => Weather::ALL.len(),
            Self::TimeOfDay | Self::NextTimeOfDay => TimeOfDay::ALL.len(),
            Self::Camera => Camera::ALL.len(),
            Self::Cut | Self::Glasses => 2,
            Self::Skin => Skin::ALL.len(),
            Self::HairStyle => HairStyle::ALL.len(),
            Self::HairColour => HairColour::ALL.len(),
            Self::Hat => Hat::ALL.len(),
        }
    }

    /// Whether two latent frames of the first shot are enough to answer it.
    pub(crate) fn at_a_glimpse(self) -> bool {
        !matches!(
            self,
            Self::Motion
                | Self::Pace
                | Self::Camera
                | Self::Cut
                | Self::NextKind
                | Self::NextColour
                | Self::NextMotion
                | Self::NextBackground
                | Self::NextWeather
                | Self::NextTimeOfDay
        )
    }

    /// The right classes; empty where the question has no answer for the scene.
    pub(crate) fn truth(self, scene: &Scene) -> Vec<usize> {
        let shot = &scene.shots[0];
        let main = shot.main();
        let next = scene.shots.get(1);
        let answer = match self {
            Self::KindsPresent => return shot.actors.iter().map(|actor| actor.kind.index()).collect(),
            Self::ColoursPresent => return shot.actors.iter().map(|actor| actor.colour.index()).collect(),
            Self::Kind => Some(main.kind.index()),
            Self::Colour => Some(main.colour.index()),
            Self::Size => Some(main.size.index()),
            Self::Motion => Some(main.motion.index()),
            Self::Pace => (main.motion != Motion::Still).then(|| main.pace.index()),
            Self::Count => Some(shot.actors.len() - 1),
            Self::Relation => Some(shot.relation.map_or(Relation::ALL.len(), Relation::index)),
            Self::Background => Some(shot.background.index()),
            Self::PlainColour => (shot.background == Background::Plain).then(|| shot.plain_colour.index()),
            Self::Weather => Some(shot.weather.index()),
            Self::TimeOfDay => Some(shot.time_of_day.index()),
            Self::Camera => Some(shot.camera.index()),
            Self::Cut => Some(scene.shots.len() - 1),
            Self::Skin => main.puppet.map(|looks| looks.skin.index()),
            Self::HairStyle => main.puppet.map(|looks| looks.hair_style.index()),
            Self::HairColour => main.puppet.map(|looks| looks.hair_colour.index()),
            Self::Hat => main.puppet.map(|looks| looks.hat.index()),
            Self::Glasses => main.puppet.map(|looks| usize::from(looks.glasses)),
            Self::SecondKind => shot.actors.get(1).map(|actor| actor.kind.index()),
            Self::SecondColour => shot.actors.get(1).map(|actor| actor.colour.index()),
            Self::ThirdKind => shot.actors.get(2).map(|actor| actor.kind.index()),
            Self::ThirdColour => shot.actors.get(2).map(|actor| actor.colour.index()),
            Self::NextKind => next.map(|shot| shot.main().kind.index()),
            Self::NextColour => next.map(|shot| shot.main().colour.index()),
            Self::NextMotion => next.map(|shot| shot.main().motion.index()),
            Self::NextBackground => next.map(|shot| shot.background.index()),
            Self::NextWeather => next.map(|shot| shot.weather.index()),
            Self::NextTimeOfDay => next.map(|shot| shot.time_of_day.index()),
        };
        answer.into_iter().collect()
    }

    /// The right classes for a prompt; empty where it says nothing, or where the captioner's answer is not worth much: size, pace and looks.
    fn wanted(self, wanted: &Wanted) -> Vec<usize> {
        let Some(WantedShot { actors, motion, relation, background, time_of_day, weather, camera }) =
            wanted.shots.first()
        else {
            return Vec::new();
        };
        let next = wanted.shots.get(1);
        let kind = |at: usize| actors.get(at).map(|(kind, _)| kind.index());
        let colour = |at: usize| actors.get(at)?.1.map(Colour::index);
        let answer = match self {
            Self::KindsPresent => return actors.iter().map(|(kind, _)| kind.index()).collect(),
            Self::ColoursPresent => return actors.iter().filter_map(|(_, colour)| Some((*colour)?.index())).collect(),
            Self::Kind => kind(0),
            Self::Colour => colour(0),
            Self::Motion => motion.map(Motion::index),
            Self::Count => actors.len().checked_sub(1),
            Self::Relation => relation.map(Relation::index),
            Self::Background => background.map(Background::index),
            Self::Weather => Some(weather.index()),
            Self::TimeOfDay => Some(time_of_day.index()),
            Self::Camera => Some(camera.index()),
            Self::Cut => Some(wanted.shots.len() - 1),
            Self::SecondKind => kind(1),
            Self::SecondColour => colour(1),
            Self::ThirdKind => kind(2),
            Self::ThirdColour => colour(2),
            Self::NextKind => next.and_then(|shot| Some(shot.actors.first()?.0.index())),
            Self::NextBackground => next.and_then(|shot| Some(shot.background?.index())),
            Self::Size
            | Self::Pace
            | Self::PlainColour
            | Self::Skin
            | Self::HairStyle
            | Self::HairColour
            | Self::Hat
            | Self::Glasses
            | Self::NextColour
            | Self::NextMotion
            | Self::NextWeather
            | Self::NextTimeOfDay => None,
        };
        answer.into_iter().collect()
    }
}

/// Actors in a shot, at most.
const MOST_ACTORS: usize = 3;

/// An answer and how sure the captioner is of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The most likely value.
    pub value: T,
    /// Its probability, 0…1.
    pub probability: f32,
}

/// What the captioner saw in one clip; about the first shot where nothing else is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Kinds that are more likely there than not, in declaration order; at least the main actor's.
    pub actors: Vec<Answer<ActorKind>>,
    /// Colours of actors that are more likely there than not, in declaration order; at least the main actor's.
    pub colours: Vec<Answer<Colour>>,
    /// What the main actor is.
    pub main_actor: Answer<ActorKind>,
    /// The main actor's colour.
    pub main_colour: Answer<Colour>,
    /// The main actor's size.
    pub size: Answer<ActorSize>,
    /// What the main actor does.
    pub motion: Answer<Motion>,
    /// How quickly; without meaning if it stays still.
    pub pace: Answer<Pace>,
    /// Actors, 1..=3.
    pub count: Answer<usize>,
    /// Main actor to the second one.
    pub relation: Answer<Option<Relation>>,
    /// Where.
    pub background: Answer<Background>,
    /// The paper of a plain background; without meaning elsewhere.
    pub plain_colour: Answer<Colour>,
    /// The weather.
    pub weather: Answer<Weather>,
    /// The light.
    pub time_of_day: Answer<TimeOfDay>,
    /// What the camera does.
    pub camera: Answer<Camera>,
    /// Whether there are two shots.
    pub cut: Answer<bool>,
    /// The main actor's looks; without meaning unless it is a puppet.
    pub puppet: Answer<Puppet>,
    /// Kind and colour of the second and the third actor; without meaning beyond `count`.
    pub extras: [(Answer<ActorKind>, Answer<Colour>); MOST_ACTORS - 1],
    /// The shot after the cut; without meaning if there is none.
    pub next_shot: NextShot,
}

/// What the captioner saw after a cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextShot {
    /// What its main actor is.
    pub main_actor: Answer<ActorKind>,
    /// Its main actor's colour.
    pub main_colour: Answer<Colour>,
    /// What its main actor does.
    pub motion: Answer<Motion>,
    /// Where.
    pub background: Answer<Background>,
    /// Its weather.
    pub weather: Answer<Weather>,
    /// Its light.
    pub time_of_day: Answer<TimeOfDay>,
}

impl Reading {
    /// Takes the most likely answers from the probabilities of each question.
    fn new<'a>(shares: impl Fn(Question) -> &'a [f32]) -> Self {
        let best = |question: Question| {
            let (class, probability) = shares(question)
                .iter()
                .copied()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .expect("every question has classes");
            Answer { value: class, probability }
        };
        fn named<T: Copy>(answer: Answer<usize>, values: &[T]) -> Answer<T> {
            Answer { value: values[answer.value], probability: answer.probability }
        }
        fn present<T: Copy>(shares: &[f32], main: usize, values: &[T]) -> Vec<Answer<T>> {
            let seen = shares.iter().zip(values).enumerate().filter(|&(at, (&share, _))| share > 0.5 || at == main);
            seen.map(|(_, (&probability, &value))| Answer { value, probability }).collect()
        }
        let kind = |question| named(best(question), ActorKind::ALL);
        let colour = |question| named(best(question), Colour::ALL);
        let flag = |question| named(best(question), &[false, true]);
        let looks = (
            named(best(Question::Skin), Skin::ALL),
            named(best(Question::HairStyle), HairStyle::ALL),
            named(best(Question::HairColour), HairColour::ALL),
            named(best(Question::Hat), Hat::ALL),
            flag(Question::Glasses),
        );
        let relation = best(Question::Relation);
        Self {
            actors: present(shares(Question::KindsPresent), best(Question::Kind).value, ActorKind::ALL),
            colours: present(shares(Question::ColoursPresent), best(Question::Colour).value, Colour::ALL),
            main_actor: kind(Question::Kind),
            main_colour: colour(Question::Colour),
            size: named(best(Question::Size), ActorSize::ALL),
            motion: named(best(Question::Motion), Motion::ALL),
            pace: named(best(Question::Pace), Pace::ALL),
            count: named(best(Question::Count), &[1, 2, 3]),
            relation: Answer { value: Relation::ALL.get(relation.value).copied(), probability: relation.probability },
            background: named(best(Question::Background), Background::ALL),
            plain_colour: colour(Question::PlainColour),
            weather: named(best(Question::Weather), Weather::ALL),
            time_of_day: named(best(Question::TimeOfDay), TimeOfDay::ALL),
            camera: named(best(Question::Camera), Camera::ALL),
            cut: flag(Question::Cut),
            puppet: Answer {
                value: Puppet {
                    skin: looks.0.value,
                    hair_style: looks.1.value,
                    hair_colour: looks.2.value,
                    hat: looks.3.value,
                    glasses: looks.4.value,
                },
                probability: looks.0.probability
                    * looks.1.probability
                    * looks.2.probability
                    * looks.3.probability
                    * looks.4.probability,
            },
            extras: [
                (kind(Question::SecondKind), colour(Question::SecondColour)),
                (kind(Question::ThirdKind), colour(Question::ThirdColour)),
            ],
            next_shot: NextShot {
                main_actor: kind(Question::NextKind),
                main_colour: colour(Question::NextColour),
                motion: named(best(Question::NextMotion), Motion::ALL),
                background: named(best(Question::NextBackground), Background::ALL),
                weather: named(best(Question::NextWeather), Weather::ALL),
                time_of_day: named(best(Question::NextTimeOfDay), TimeOfDay::ALL),
            },
        }
    }

    /// What a judge answers about the clip.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            actors: self.actors.iter().map(|answer| answer.value).collect(),
            colours: self.colours.iter().map(|answer| answer.value).collect(),
            main_actor: self.main_actor.value,
            main_colour: self.main_colour.value,
            motion: self.motion.value,
            pace: (self.motion.value != Motion::Still).then_some(self.pace.value),
            count: self.count.value,
            relation: self.relation.value.filter(|_| self.count.value > 1),
            background: self.background.value,
            weather: self.weather.value,
            time_of_day: self.time_of_day.value,
            camera: self.camera.value,
            cut: self.cut.value,
            puppet: (self.main_actor.value == ActorKind::Puppet).then_some(self.puppet.value),
        }
    }

    /// A scene of four seconds that looks like what was seen; the seed decides what was not asked.
    pub fn scene(&self, seed: u64) -> Scene {
        let main = Actor {
            kind: self.main_actor.value,
            colour: self.main_colour.value,
            size: self.size.value,
            motion: self.motion.value,
            pace: if self.motion.value == Motion::Still { Pace::Slow } else { self.pace.value },
            puppet: self.looks_of(self.main_actor.value),
            placement: Placement { dx: 0.0, dy: 0.0 },
        };
        let mut actors = vec![main];
        for (kind, colour) in self.extras.iter().take(self.count.value - 1) {
            actors.push(self.bystander(kind.value, colour.value));
        }
        let mut shots = vec![Shot {
            relation: self.relation.value.filter(|_| actors.len() > 1),
            actors,
            background: self.background.value,
            plain_colour: self.plain_colour.value,
            time_of_day: light(self.background.value, self.time_of_day.value),
            weather: self.weather.value,
            camera: self.camera.value,
        }];
        if self.cut.value {
            let next = &self.next_shot;
            let mut main = self.bystander(next.main_actor.value, next.main_colour.value);
            main.motion = next.motion.value;
            shots.push(Shot {
                actors: vec![main],
                relation: None,
                background: next.background.value,
                plain_colour: self.plain_colour.value,
                time_of_day: light(next.background.value, next.time_of_day.value),
                weather: next.weather.value,
                camera: Camera::Still,
            });
        }
        Scene { seed, shots, duration_s: 4.0 }
    }

    /// What was seen in words, in one of the world's styles.
    pub fn caption(&self, style: CaptionStyle, seed: u64) -> String {
        self.scene(seed).caption(style, seed)
    }

    /// Somebody who stands by and of whom only kind and colour are known.
    fn bystander(&self, kind: ActorKind, colour: Colour) -> Actor {
        Actor {
            kind,
            colour,
            size: ActorSize::Medium,
            motion: Motion::Still,
            pace: Pace::Slow,
            puppet: self.looks_of(kind),
            placement: Placement { dx: 0.0, dy: 0.0 },
        }
    }

    fn looks_of(&self, kind: ActorKind) -> Option<Puppet> {
        (kind == ActorKind::Puppet).then_some(self.puppet.value)
    }
}

/// The light there can be: a night sky is always at night.
fn light(background: Background, time_of_day: TimeOfDay) -> TimeOfDay {
    if background == Background::NightSky { TimeOfDay::Night } else { time_of_day }
}

/// The file that `misora train captioner --config` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionerStageConfig {
    /// The network.
    pub model: CaptionerConfig,
    /// The loop.
    pub trainer: TrainerConfig,
    /// Clips a worker and step.
    pub clips: usize,
    /// Latent frames of a clip; it starts at the beginning of its scene.
    pub latent_frames: usize,
    /// Scenes a worker and size keeps.
    pub pool: usize,
    /// New scenes a worker and step.
    pub fresh: usize,
    /// Glimpses a worker and step: two latent frames of a scene that is never seen again, asked only what needs no
    /// more. They are cheap to draw, and kinds of actors want to be seen in many scenes.
    #[serde(default)]
    pub glimpses: usize,
    /// Noise up to this deviation is added to the latents, so that those of the model are read well too.
    pub noise: f32,
    /// Weight of the questions about every cell.
    pub cell_weight: f32,
    /// How often scenes have what; rare things are better learned where they are more frequent.
    pub mixture: Mixture,
    /// Share of scenes with a composition that the transformer never sees. A judge that has never seen one takes it for
    /// another; what it learns of them does not reach the transformer, whose captions are of other scenes.
    #[serde(default)]
    pub withheld_share: f64,
    /// Held-out true renders that accuracy is measured on at each checkpoint.
    pub inspected: usize,
}

struct CaptionerStage {
    config: CaptionerStageConfig,
    vae: Vae,
    device: Device,
    pools: Vec<Mutex<Pools>>,
    held_out: OnceLock<Vec<Entry>>,
}

/// A worker's scenes, by native size.
type Pools = [VecDeque<Entry>; 3];

struct Entry {
    scene: Scene,
    /// `[1, T, H, W, C]`.
    latents: Tensor<5>,
    /// Who covers each cell: index of the actor's kind and colour.
    cells: Vec<Cell>,
}

/// Trains the captioner on `device` in `folder`, on latents of `vae`, which lies there too.
///
/// # Errors
/// Whatever the file system says, or a loss that is no number.
pub fn train_captioner(config: &CaptionerStageConfig, vae: Vae, folder: &Path, device: &Device) -> Result<Captioner> {
    device.seed(config.trainer.seed);
    let model = Captioner::new(&config.model, &device.clone().autodiff());
    let pools = (0..config.trainer.workers).map(|_| Mutex::new(Pools::default())).collect();
    let stage =
        CaptionerStage { config: config.clone(), vae, device: device.clone(), pools, held_out: OnceLock::new() };
    Trainer::new(config.trainer.clone(), folder, device)?.run(&stage, model)
}

impl CaptionerStage {
    fn draw_entry(&self, split: Split, mixture: &Mixture, size: usize, random: &mut Pcg64) -> Result<Entry> {
        let scene = Scene::sample(random.random(), split, mixture);
        let block = self.vae.config().block_frames;
        let size = native_sizes(self.vae.config())[size];
        let clip = render(&scene, size, 0.0, 1 + (self.config.latent_frames - 1) * block);
        let latents = self.vae.encode(clips_to_tensor(&[clip], &self.device))?;
        let [_, _, rows, columns, _] = latents.dims();
        let times_s = self.config.model.cell_times_s(self.config.latent_frames);
        let cells = cover(&scene, size, &times_s, rows, columns);
        Ok(Entry { scene, latents, cells })
    }

    /// Mostly the compositions that the transformer learns from.
    fn draw_split(&self, random: &mut Pcg64) -> Split {
        if random.random_bool(self.config.withheld_share) { Split::HeldOut } else { Split::Train }
    }

    /// Two latent frames from somewhere in a scene of one shot; its latents are encoded with those of others later.
    fn draw_glimpse(&self, size: usize, random: &mut Pcg64) -> (Scene, Vec<Frame>, f32) {
        let mixture = Mixture { two_shots: 0.0, ..self.config.mixture.clone() };
        let scene = Scene::sample(random.random(), self.draw_split(random), &mixture);
        // An actor that fades in is not there from the beginning.
        let earliest = if scene.shots[0].main().motion == Motion::FadesIn { 0.5 } else { 0.0 } * scene.duration_s;
        let frames = 1 + self.vae.config().block_frames;
        let latest = (scene.duration_s - frames as f32 / FRAME_RATE as f32).max(earliest + 1e-3);
        let start_s = random.random_range(earliest..latest);
        let frames = render(&scene, native_sizes(self.vae.config())[size], start_s, frames);
        (scene, frames, start_s)
    }

    /// What glimpses teach, none of them seen before or again.
    fn glimpse_loss(&self, model: &Captioner, size: usize, random: &mut Pcg64) -> Result<Tensor<1>> {
        const GLIMPSE: usize = 2;
        let glimpses: Vec<_> = (0..self.config.glimpses).map(|_| self.draw_glimpse(size, random)).collect();
        let clips: Vec<_> = glimpses.iter().map(|(_, frames, _)| frames.clone()).collect();
        let latents = self.vae.encode(clips_to_tensor(&clips, &self.device))?;
        let [_, _, rows, columns, _] = latents.dims();
        let times_s = self.config.model.cell_times_s(GLIMPSE);
        let size = native_sizes(self.vae.config())[size];
        let cells: Vec<Cell> = glimpses
            .iter()
            .flat_map(|(scene, _, start_s)| {
                let times_s: Vec<f32> = times_s.iter().map(|time_s| time_s + start_s).collect();
                cover(scene, size, &times_s, rows, columns)
            })
            .collect();
        let logits = model.forward(Tensor::from_inner(self.with_noise(latents, random)));
        let scenes: Vec<&Scene> = glimpses.iter().map(|(scene, ..)| scene).collect();
        let cells = cells_loss(logits.cell_kinds, logits.cell_colours, &cells);
        Ok(answers_loss(logits.answers, &scenes, Question::at_a_glimpse) + cells * self.config.cell_weight)
    }

    /// Latents with noise of a different strength in each clip.
    fn with_noise(&self, latents: Tensor<5>, random: &mut Pcg64) -> Tensor<5> {
        let clips = latents.dims()[0];
        let amounts: Vec<f32> = (0..clips).map(|_| random.random_range(0.0..self.config.noise.max(1e-6))).collect();
        let amounts = Tensor::from_data(TensorData::new(amounts, [clips, 1, 1, 1, 1]), &self.device);
        latents.clone() + Tensor::random(latents.dims(), Distribution::Normal(0.0, 1.0), &self.device) * amounts
    }

    /// Tops the pool up and lets the oldest go.
    fn refresh(&self, pool: &mut VecDeque<Entry>, size: usize, random: &mut Pcg64) -> Result<()> {
        let missing = (self.config.clips * 2).min(self.config.pool).saturating_sub(pool.len());
        for _ in 0..missing.max(self.config.fresh) {
            let split = self.draw_split(random);
            pool.push_back(self.draw_entry(split, &self.config.mixture, size, random)?);
            if pool.len() > self.config.pool {
                pool.pop_front();
            }
        }
        Ok(())
    }

    fn held_out(&self) -> Result<&[Entry]> {
        if self.held_out.get().is_none() {
            let mut random = generator(self.config.trainer.seed ^ 1, 0, 0);
            let entries = (0..self.config.inspected)
                .map(|_| self.draw_entry(Split::HeldOut, &Mixture::default(), 0, &mut random))
                .collect::<Result<Vec<_>>>()?;
            return Ok(self.held_out.get_or_init(|| entries));
        }
        Ok(self.held_out.get().expect("it was just looked at"))
    }
}

impl Stage for CaptionerStage {
    type Model = Captioner;

    fn loss(&self, model: &Captioner, step: usize, worker: usize) -> Result<StageLoss> {
        let mut random = generator(self.config.trainer.seed, step, worker);
        let size = [0, 0, 0, 1, 2][random.random_range(0..5)];
        let mut pools = self.pools[worker].lock().expect("no worker panicked with the pool");
        self.refresh(&mut pools[size], size, &mut random)?;
        let pool = &pools[size];
        let chosen: Vec<&Entry> = (0..self.config.clips).map(|_| &pool[random.random_range(0..pool.len())]).collect();

        let latents = Tensor::cat(chosen.iter().map(|entry| entry.latents.clone()).collect(), 0);
        let logits = model.forward(Tensor::from_inner(self.with_noise(latents, &mut random)));
        let scenes: Vec<&Scene> = chosen.iter().map(|entry| &entry.scene).collect();
        let cells: Vec<Cell> = chosen.iter().flat_map(|entry| entry.cells.iter().copied()).collect();
        let cells = cells_loss(logits.cell_kinds, logits.cell_colours, &cells);
        let mut figures = vec![("cells", cells.clone().into_scalar::<f32>())];
        let mut loss = answers_loss(logits.answers, &scenes, |_| true) + cells * self.config.cell_weight;
        if self.config.glimpses > 0 {
            let glimpses = self.glimpse_loss(model, size, &mut random)?;
            figures.push(("glimpses", glimpses.clone().into_scalar::<f32>()));
            loss = loss + glimpses;
        }
        Ok(StageLoss { loss, figures })
    }

    /// How often the captioner is right about true renders of withheld compositions.
    fn inspect(&self, model: &Captioner, step: usize, _folder: &Path) -> Result<()> {
        let entries = self.held_out()?;
        let mut right = vec![(0, 0); Question::ALL.len()];
        for batch in entries.chunks(20) {
            let latents = Tensor::cat(batch.iter().map(|entry| entry.latents.clone()).collect(), 0);
            let answers = model.forward(latents).answers;
            for (at, (logits, question)) in answers.into_iter().zip(Question::ALL).enumerate() {
                let values = logits.into_data().try_to_vec::<f32>().expect("logits are f32");
                for (entry, row) in batch.iter().zip(values.chunks_exact(question.classes())) {
                    let truth = question.truth(&entry.scene);
                    let said = |class: &usize| {
                        if question.many() { row[*class] > 0.0 } else { row.iter().all(|other| *other <= row[*class]) }
                    };
                    if !truth.is_empty() {
                        right[at].0 += usize::from(truth.iter().all(said));
                        right[at].1 += 1;
                    }
                }
            }
        }
        let table: Vec<String> = Question::ALL
            .iter()
            .zip(right)
            .filter(|(_, (_, asked))| *asked > 0)
            .map(|(question, (right, asked))| format!("{question:?} {:.0}", 100.0 * right as f32 / asked as f32))
            .collect();
        eprintln!("right about {} held-out renders at step {step}, in %: {}", entries.len(), table.join(", "));
        Ok(())
    }
}

/// The losses of all questions that are asked.
fn answers_loss(answers: Vec<Tensor<2>>, scenes: &[&Scene], asked: impl Fn(Question) -> bool) -> Tensor<1> {
    let mut loss = Tensor::<1>::zeros([1], &answers[0].device());
    for (logits, question) in answers.into_iter().zip(Question::ALL).filter(|(_, question)| asked(*question)) {
        let truths: Vec<Vec<usize>> = scenes.iter().map(|scene| question.truth(scene)).collect();
        loss = loss + question_loss(logits, &truths, question.many());
    }
    loss
}

/// Cross-entropy, or binary cross-entropy where many may be right, as a mean over all clips: a question that
/// only one of them answers weighs little, or its noise would drown the others.
fn question_loss(logits: Tensor<2>, truths: &[Vec<usize>], many: bool) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    let targets = one_hot(truths, classes, |_| 1.0 / rows as f32, &logits.device());
    if many {
        let absent = targets.clone().neg() + 1.0 / rows as f32;
        // The sum over the classes: each is a question of its own.
        return -(targets * log_sigmoid(logits.clone()) + absent * log_sigmoid(logits.neg())).sum();
    }
    -(targets * log_softmax(logits, 1)).sum()
}

#[cfg(test)]
impl Reading {
    /// What a captioner reads that is right about everything.
    pub(crate) fn of(scene: &Scene) -> Self {
        let shares: Vec<Vec<f32>> = Question::ALL
            .iter()
            .map(|question| {
                let mut shares = vec![0.0; question.classes()];
                question.truth(scene).into_iter().for_each(|class| shares[class] = 1.0);
                shares
            })
            .collect();
        Self::new(|question| &shares[question as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion::VaeConfig;

    fn tiny() -> CaptionerConfig {
        CaptionerConfig {
            latent_channels: 4,
            block_frames: 4,
            time_patch: 2,
            width: 16,
            heads: 2,
            blocks: 2,
            mlp_width: 16,
        }
    }

    fn tiny_vae(device: &Device) -> Vae {
        let config = VaeConfig {
            fine_width: 16,
            coarse_width: 16,
            latent_channels: 4,
            encoder_blocks: 0,
            decoder_blocks: 0,
            ..VaeConfig::nano()
        };
        Vae::new(&config, device)
    }

    #[test]
    fn questions_stand_at_their_place() {
        for (index, question) in Question::ALL.into_iter().enumerate() {
            assert_eq!(question as usize, index);
        }
    }

    #[test]
    fn every_size_and_length_is_read() {
        let device = Device::flex();
        let captioner = Captioner::new(&tiny(), &device);
        let check = |shape: [usize; 5]| {
            let latents = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device);
            let readings = captioner.read(latents);
            assert_eq!(readings.len(), shape[0], "{shape:?}");
            for reading in readings {
                assert!((1..=MOST_ACTORS).contains(&reading.count.value) && !reading.actors.is_empty());
                assert!((0.0..=1.0).contains(&reading.motion.probability));
            }
        };
        check([2, 13, 5, 9, 4]);
        check([1, 13, 9, 5, 4]);
        check([1, 13, 7, 7, 4]);
        check([1, 1, 5, 9, 4]);
        check([3, 4, 5, 9, 4]);
        check([1, 30, 5, 9, 4]);
    }

    #[test]
    fn the_first_frame_is_a_patch_of_its_own() {
        assert_eq!(patch_frames(5, 2), [[0, 0], [1, 2], [3, 4]]);
        assert_eq!(patch_frames(4, 2), [[0, 0], [1, 2], [3, 3]]);
        assert_eq!(patch_frames(1, 2), [[0, 0]]);
        let unpatched = CaptionerConfig { time_patch: 1, ..tiny() };
        assert_eq!(unpatched.cell_times_s(3), latent_times_s(4, 0, 3));
    }

    #[test]
    fn a_right_reading_has_the_attributes_and_the_words_of_its_scene() {
        for seed in 0..300 {
            let scene = Scene::sample(seed, Split::Train, &Mixture::default());
            let reading = Reading::of(&scene);
            assert_eq!(reading.attributes(), scene.attributes(), "seed {seed}");
            let again = reading.scene(seed);
            assert_eq!(again.attributes(), scene.attributes(), "seed {seed}");
            for &style in CaptionStyle::ALL {
                let caption = reading.caption(style, seed).to_lowercase();
                let said = |words: &[&str]| words.iter().any(|word| caption.contains(word));
                if style != CaptionStyle::Paraphrase {
                    assert!(said(&[scene.shots[0].main().colour.name()]), "{caption}");
                    assert!(said(&[scene.shots[0].main().kind.name(), "person"]), "{caption}");
                }
                assert_eq!(scene.shots.len() > 1, said(&[", then", "cut to", "followed by"]), "{caption}");
            }
        }
    }

    /// Every question that a prompt answers is asked what the scene that it describes would answer.
    #[test]
    fn a_caption_wants_what_is_true_of_its_scene() {
        let mut asked = 0;
        for seed in 0..300 {
            let scene = Scene::sample(seed, Split::Train, &Mixture::default());
            for &style in CaptionStyle::ALL {
                let caption = scene.caption(style, seed);
                let wanted = Wanted::of(&caption).unwrap();
                for question in Question::ALL {
                    let classes = question.wanted(&wanted);
                    if !classes.is_empty() {
                        assert_eq!(classes, question.truth(&scene), "{question:?}: {caption}");
                        asked += 1;
                    }
                }
            }
        }
        assert!(asked > 300 * CaptionStyle::ALL.len() * 10, "{asked}");
    }

    #[test]
    fn agreement_is_of_each_clip_alone_and_of_nobody_who_is_not_asked_for() {
        let device = Device::flex();
        let captioner = Captioner::new(&tiny(), &device);
        let latents = Tensor::random([2, 5, 5, 9, 4], Distribution::Normal(0.0, 1.0), &device);
        let wanted = Wanted::of("a red boat sails right on the sea, then cut to a star").unwrap();
        let together = captioner.agreement(latents.clone(), &wanted);
        for (row, together) in together.iter().enumerate() {
            let alone = captioner.agreement(latents.clone().narrow(0, row, 1), &wanted)[0];
            assert!((alone - together).abs() < 1e-4, "{alone} {together}");
            assert!((LEAST_LOG_SHARE..0.0).contains(together));
        }
        let other = captioner.agreement(latents, &Wanted::of("a cat").unwrap());
        assert_ne!(together, other);
    }

    #[test]
    fn a_short_run_learns() {
        let folder = std::env::temp_dir().join(format!("misora-captioner-run-{}", std::process::id()));
        let config = CaptionerStageConfig {
            model: tiny(),
            trainer: TrainerConfig {
                seed: 1,
                steps: 30,
                workers: 1,
                learning_rate: 0.01,
                warmup_steps: 3,
                decay_share: 0.2,
                weight_decay: 0.0,
                clip_norm: 10.0,
                muon: false,
                ema_decay: 0.9,
                checkpoint_every: 30,
                log_every: 30,
            },
            clips: 4,
            latent_frames: 2,
            pool: 6,
            fresh: 0,
            glimpses: 2,
            noise: 0.1,
            cell_weight: 1.0,
            mixture: Mixture::simple(),
            withheld_share: 0.5,
            inspected: 2,
        };
        train_captioner(&config, tiny_vae(&Device::flex()), &folder, &Device::flex()).unwrap();
        let curves = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        let curves = curves.into_iter().find(|path| path.extension().is_some_and(|e| e == "csv")).unwrap();
        let text = std::fs::read_to_string(curves).unwrap();
        let losses: Vec<f32> =
            text.lines().filter_map(|line| line.split_once(",loss,")).map(|(_, loss)| loss.parse().unwrap()).collect();
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        assert!(mean(&losses[25..]) < 0.8 * mean(&losses[..5]), "{losses:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_saved_is_opened_again() {
        let folder = std::env::temp_dir().join(format!("misora-captioner-{}", std::process::id()));
        let device = Device::flex();
        let latents = Tensor::random([2, 5, 5, 9, 4], Distribution::Normal(0.0, 1.0), &device);
        let logits = |captioner: &Captioner| {
            let answers = captioner.forward(latents.clone()).answers;
            Tensor::cat(answers, 1).into_data().try_to_vec::<f32>().unwrap()
        };
        let files = ModelFiles::Folder(folder.clone());
        let captioner = Captioner::new(&tiny(), &device);
        captioner.save(&folder).unwrap();
        let once = Captioner::open(&files, &device).unwrap();
        once.save(&folder).unwrap();
        let twice = Captioner::open(&files, &device).unwrap();
        // The first time the weights are rounded to 16 bits, after that nothing changes.
        assert_eq!(logits(&once), logits(&twice));
        for (a, b) in logits(&captioner).into_iter().zip(logits(&once)) {
            assert!((a - b).abs() < 0.02, "{a} {b}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
