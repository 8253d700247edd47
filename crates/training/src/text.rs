//! Stage 2: vocabulary and text encoder, from captions alone.
//!
//! The encoder learns to say what a caption says: its registers must answer which actors there are, in
//! which colours, doing what, where. That binds words to things in minutes, before a single picture is
//! drawn; the diffusion transformer then reads states that already mean something.

use std::path::Path;

use anyhow::Result;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use diffusion::{Linear, PromptTokenizer, TextConfig, TextEncoder, TextStates, linear};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::Lowercase;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder};

use crate::clips::generator;
use crate::paper::{
    Actor, ActorKind, ActorSize, Background, Camera, CaptionStyle, Colour, HairColour, HairStyle, Hat, Mixture, Motion,
    Pace, Relation, Scene, Shot, Skin, Split, TimeOfDay, Weather,
};
use crate::trainer::{Stage, StageLoss, Trainer, TrainerConfig};

/// The file that `misora train text --config` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextStageConfig {
    /// The network; `vocabulary` is the size asked of the BPE trainer.
    pub model: TextConfig,
    /// The loop.
    pub trainer: TrainerConfig,
    /// Captions that the vocabulary is learned from.
    pub vocabulary_captions: usize,
    /// Captions a worker and step.
    pub captions: usize,
}

/// Learns a byte-level BPE from captions of the training split and writes `tokenizer.json`.
///
/// # Errors
/// If the file cannot be written.
pub fn train_tokenizer(config: &TextStageConfig, path: &Path) -> Result<PromptTokenizer> {
    let failed = |e: tokenizers::Error| anyhow::anyhow!("the tokenizer cannot be made: {e}");
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(config.model.vocabulary)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from("<pad>", true)])
        .build();
    let mut tokenizer =
        TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, DecoderWrapper>::new()
            .with_model(BPE::default())
            .with_normalizer(Some(NormalizerWrapper::Lowercase(Lowercase)))
            .with_pre_tokenizer(Some(ByteLevel::new(true, true, true)))
            .build()
            .map_err(failed)?;
    let seed = config.trainer.seed;
    let captions = (0..config.vocabulary_captions).map(|index| {
        let mut random = generator(seed, index, usize::MAX - 2);
        let scene = Scene::sample(random.random(), Split::Train, &Mixture::default());
        draw_caption(&scene, &mut random)
    });
    tokenizer.train(&mut trainer, captions).map_err(failed)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    tokenizer.save(path, true).map_err(failed)?;
    Ok(PromptTokenizer::from_trained(tokenizer.clone().into()))
}

/// A caption of the scene in a style drawn at random, the plain ones most often.
pub(crate) fn draw_caption(scene: &Scene, random: &mut Pcg64) -> String {
    let style = draw_style(random);
    scene.caption(style, random.random())
}

/// A style of captions, the plain ones most often.
pub(crate) fn draw_style(random: &mut Pcg64) -> CaptionStyle {
    use CaptionStyle::{Detailed, Paraphrase, Plain, Terse};
    [Terse, Terse, Plain, Plain, Plain, Detailed, Detailed, Detailed, Paraphrase, Paraphrase]
        [random.random_range(0..10)]
}

/// The encoder with the heads that its training asks; only the encoder is kept.
#[derive(Module, Debug)]
pub(crate) struct TextReader {
    /// What is kept.
    pub encoder: TextEncoder,
    /// One answer sheet for a shot, read from its scene register.
    pub scene_heads: Vec<Linear>,
    /// One answer sheet for an actor, read from its register.
    pub actor_heads: Vec<Linear>,
}

/// Classes of each question about a shot: background, colour of a plain one, weather, time of day,
/// camera, number of actors, relation, cut.
const SCENE_CLASSES: [usize; 8] = [9, 11, 4, 3, 5, 4, 4, 2];
/// Classes of each question about an actor: kind or none, colour, size, motion, pace, and the looks of a
/// puppet: skin, hair style, hair colour, hat, glasses (one more class each: not a puppet).
const ACTOR_CLASSES: [usize; 10] = [17, 11, 3, 12, 2, 6, 5, 6, 5, 3];
/// Registers: the scene and three actors of the first shot, the scene and three actors of the second.
const REGISTERS: usize = 8;

struct TextStage {
    config: TextStageConfig,
    tokenizer: PromptTokenizer,
    device: Device,
    /// The same without automatic differentiation.
    plain: Device,
}

/// Trains the text encoder on `device` in `folder`, on the captions of the training split.
///
/// # Errors
/// Whatever the file system says.
pub fn train_text(
    config: &TextStageConfig,
    tokenizer: PromptTokenizer,
    folder: &Path,
    device: &Device,
) -> Result<TextEncoder> {
    anyhow::ensure!(config.model.registers == REGISTERS, "the text stage teaches {REGISTERS} registers");
    let plain = device;
    let device = plain.clone().autodiff();
    device.seed(config.trainer.seed);
    let model = TextReader {
        encoder: TextEncoder::new(&config.model, &device),
        scene_heads: SCENE_CLASSES.map(|classes| linear(config.model.width, classes, 1.0, &device)).into(),
        actor_heads: ACTOR_CLASSES.map(|classes| linear(config.model.width, classes, 1.0, &device)).into(),
    };
    let stage = TextStage { config: config.clone(), tokenizer, device, plain: plain.clone() };
    Ok(Trainer::new(config.trainer.clone(), folder, plain)?.run(&stage, model)?.encoder)
}

impl TextStage {
    fn batch(&self, split: Split, count: usize, random: &mut Pcg64) -> (Vec<Vec<u32>>, Vec<Scene>) {
        (0..count)
            .map(|_| {
                let scene = Scene::sample(random.random(), split, &Mixture::default());
                (self.tokenizer.encode(&draw_caption(&scene, random)), scene)
            })
            .unzip()
    }
}

impl Stage for TextStage {
    type Model = TextReader;

    fn loss(&self, model: &TextReader, step: usize, worker: usize) -> Result<StageLoss> {
        let mut random = generator(self.config.trainer.seed, step, worker);
        let (prompts, scenes) = self.batch(Split::Train, self.config.captions, &mut random);
        let states = model.encoder.forward(&prompts, &self.device);
        let answers = answers(model, &states);
        let truths = truths(&scenes);
        let mut loss = Tensor::<1>::zeros([1], &self.device);
        for (logits, classes) in answers.into_iter().zip(&truths) {
            loss = loss + cross_entropy(logits, classes, &self.device);
        }
        Ok(StageLoss { loss, figures: Vec::new() })
    }

    /// How often the registers of held-out captions say the right thing about the main actor and the place.
    fn inspect(&self, model: &TextReader, step: usize, _folder: &Path) -> Result<()> {
        let mut random = generator(self.config.trainer.seed ^ 1, step, 0);
        let (prompts, scenes) = self.batch(Split::HeldOut, 400, &mut random);
        let answers = answers(model, &model.encoder.forward(&prompts, &self.plain));
        let truths = truths(&scenes);
        let right = |question: usize| {
            let said = answers[question].clone().argmax(1).into_data().iter::<i64>().collect::<Vec<_>>();
            let asked = truths[question].iter().filter(|class| class.is_some()).count();
            let right =
                said.iter().zip(&truths[question]).filter(|(said, truth)| Some(**said as usize) == **truth).count();
            100.0 * right as f32 / asked as f32
        };
        let actor = SCENE_CLASSES.len();
        eprintln!(
            "held-out captions at step {step}: background {:.1} %, weather {:.1} %, count {:.1} %, actor {:.1} %, colour {:.1} %, motion {:.1} %, second actor {:.1} %",
            right(0),
            right(2),
            right(5),
            right(actor),
            right(actor + 1),
            right(actor + 3),
            right(actor + ACTOR_CLASSES.len()),
        );
        Ok(())
    }
}

/// The logits of every question, `[B, classes]`, in the order of [`truths`].
fn answers(model: &TextReader, states: &TextStates) -> Vec<Tensor<2>> {
    let [batch, _, width] = states.tokens.dims();
    let register = |index: usize| states.tokens.clone().narrow(1, index, 1).reshape([batch, width]);
    let mut answers = Vec::new();
    for shot in 0..2 {
        answers.extend(model.scene_heads.iter().map(|head| head.forward(register(4 * shot))));
        for actor in 1..4 {
            answers.extend(model.actor_heads.iter().map(|head| head.forward(register(4 * shot + actor))));
        }
    }
    answers
}

/// The right class of every question for every scene; nothing where the question has no answer.
fn truths(scenes: &[Scene]) -> Vec<Vec<Option<usize>>> {
    let mut columns = Vec::new();
    for shot in 0..2 {
        for question in 0..SCENE_CLASSES.len() {
            columns.push(
                scenes
                    .iter()
                    .map(|scene| scene.shots.get(shot).map(|s| scene_truth(scene, s)[question]))
                    .map(|answer| answer.flatten())
                    .collect(),
            );
        }
        for actor in 0..3 {
            for question in 0..ACTOR_CLASSES.len() {
                columns.push(
                    scenes
                        .iter()
                        .map(|scene| scene.shots.get(shot).and_then(|s| actor_truth(s.actors.get(actor))[question]))
                        .collect(),
                );
            }
        }
    }
    columns
}

fn scene_truth(scene: &Scene, shot: &Shot) -> [Option<usize>; SCENE_CLASSES.len()] {
    [
        Some(shot.background.index()),
        (shot.background == Background::Plain).then(|| shot.plain_colour.index()),
        Some(shot.weather.index()),
        Some(shot.time_of_day.index()),
        Some(shot.camera.index()),
        Some(shot.actors.len()),
        Some(shot.relation.map_or(Relation::ALL.len(), Relation::index)),
        Some(scene.shots.len() - 1),
    ]
}

fn actor_truth(actor: Option<&Actor>) -> [Option<usize>; ACTOR_CLASSES.len()] {
    let Some(actor) = actor else {
        let mut none = [None; ACTOR_CLASSES.len()];
        none[0] = Some(ActorKind::ALL.len());
        return none;
    };
    let looks = actor.puppet;
    [
        Some(actor.kind.index()),
        Some(actor.colour.index()),
        Some(actor.size.index()),
        Some(actor.motion.index()),
        Some(actor.pace.index()),
        Some(looks.map_or(Skin::ALL.len(), |p| p.skin.index())),
        Some(looks.map_or(HairStyle::ALL.len(), |p| p.hair_style.index())),
        Some(looks.map_or(HairColour::ALL.len(), |p| p.hair_colour.index())),
        Some(looks.map_or(Hat::ALL.len(), |p| p.hat.index())),
        Some(looks.map_or(2, |p| usize::from(p.glasses))),
    ]
}

/// Mean cross-entropy over the rows that have an answer, zero if none has.
pub(crate) fn cross_entropy(logits: Tensor<2>, classes: &[Option<usize>], device: &Device) -> Tensor<1> {
    let rows: Vec<i64> = classes.iter().enumerate().filter_map(|(row, class)| class.map(|_| row as i64)).collect();
    if rows.is_empty() {
        return Tensor::zeros([1], device);
    }
    let targets: Vec<i64> = classes.iter().flatten().map(|&class| class as i64).collect();
    let count = rows.len();
    let logits = logits.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), device));
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [count]), device);
    CrossEntropyLossConfig::new().init(device).forward(logits, targets)
}

// The numbers of classes above are those of the world.
const _: () = {
    assert!(SCENE_CLASSES[0] == Background::ALL.len() && SCENE_CLASSES[1] == Colour::ALL.len());
    assert!(SCENE_CLASSES[2] == Weather::ALL.len() && SCENE_CLASSES[3] == TimeOfDay::ALL.len());
    assert!(SCENE_CLASSES[4] == Camera::ALL.len() && SCENE_CLASSES[6] == Relation::ALL.len() + 1);
    assert!(ACTOR_CLASSES[0] == ActorKind::ALL.len() + 1 && ACTOR_CLASSES[1] == Colour::ALL.len());
    assert!(ACTOR_CLASSES[2] == ActorSize::ALL.len() && ACTOR_CLASSES[3] == Motion::ALL.len());
    assert!(ACTOR_CLASSES[4] == Pace::ALL.len() && ACTOR_CLASSES[5] == Skin::ALL.len() + 1);
    assert!(ACTOR_CLASSES[6] == HairStyle::ALL.len() + 1 && ACTOR_CLASSES[7] == HairColour::ALL.len() + 1);
    assert!(ACTOR_CLASSES[8] == Hat::ALL.len() + 1);
};
