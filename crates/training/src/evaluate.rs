//! Honest evaluation: withheld compositions are asked for in words, and the captioner says what it sees.
//!
//! The judge reads pixels that were decoded, rounded to 8 bits and encoded again; it never sees the prompt.
//! Beside every share stands the judge's own accuracy on true renders of the same scenes: where that is
//! under 97 %, the judge is not trusted. Four more measures need no words: looks kept from a reference, the
//! first frame kept, the seam of an extension, and the drift of colours over a minute.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use diffusion::{PaperModel, SampleRequest, SamplingConfig, SolverKind, Vae};
use media::{Filter, Frame, Resizer, Size};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::captioner::{Captioner, Reading};
use crate::choosing::{Chooser, sample_chosen};
use crate::clips::{clips_to_tensor, generator, latent_frames, latent_times_s, native_sizes, render, tensor_to_frames};
use crate::paper::{
    ActorKind, ActorSize, Attributes, Camera, CaptionStyle, Concept, Mixture, Motion, Pace, Puppet, Scene, Split,
    known_words,
};
use crate::sharpness::{Sharpness, measure_sharpness};
use crate::sheet::contact_sheet;
use crate::text::draw_style;

/// A judge that is right less often than this is not trusted.
const TRUSTED: f64 = 0.97;
/// Clips on the contact sheet of failures.
const WORST: usize = 24;

/// What is measured, how often, and how the clips are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationOptions {
    /// Which side of the wall the scenes are from.
    pub split: Split,
    /// Clips that are asked for in words.
    pub count: usize,
    /// What everything random is drawn from.
    pub seed: u64,
    /// Latent frames of a clip.
    pub latent_frames: usize,
    /// How each is sampled.
    pub sampling: SamplingConfig,
    /// As [`SampleRequest::step_cache`].
    #[serde(default)]
    pub step_cache: f32,
    /// The solver.
    pub solver: SolverKind,
    /// Clips with a portrait as reference.
    pub references: usize,
    /// Clips with a given first frame.
    pub first_frames: usize,
    /// Extensions of true clips.
    pub extensions: usize,
    /// Latent frames that an extension is given.
    pub prefix: usize,
    /// Long clips.
    pub drifts: usize,
    /// Length of a long clip in seconds.
    pub drift_s: f32,
    /// Latent frames that the next window of a long clip is given.
    pub overlap: usize,
    /// Frames that are enlarged, if the model has an upscaler.
    #[serde(default)]
    pub enlarged: usize,
}

impl EvaluationOptions {
    /// A look that takes minutes, at clips of four seconds, sampled as the product samples with this model.
    pub fn of(model: &PaperModel) -> Self {
        let block = model.vae.config().block_frames;
        let whole = latent_frames(block, 4);
        Self {
            split: Split::HeldOut,
            count: 60,
            seed: 0,
            latent_frames: whole,
            sampling: model.sampling.clone(),
            step_cache: 0.0,
            solver: SolverKind::AdamsBashforth2,
            references: 12,
            first_frames: 12,
            extensions: 12,
            prefix: whole.div_ceil(2),
            drifts: 2,
            drift_s: 60.0,
            overlap: latent_frames(block, 1),
            enlarged: 12,
        }
    }
}

/// Who says what is to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// Pixels to latents; of whatever native size.
    pub vae: &'a Vae,
    /// Reads them.
    pub captioner: &'a Captioner,
}

/// Something a caption asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the paper world")]
pub enum Attribute {
    Actor,
    Colour,
    Motion,
    Direction,
    Pace,
    Size,
    Count,
    Relation,
    Background,
    Weather,
    TimeOfDay,
    Camera,
    Cut,
    Skin,
    HairStyle,
    HairColour,
    Hat,
    Glasses,
}

impl Attribute {
    /// What clips are asked for in words.
    pub const IN_WORDS: [Self; 13] = [
        Self::Actor,
        Self::Colour,
        Self::Motion,
        Self::Direction,
        Self::Pace,
        Self::Size,
        Self::Count,
        Self::Relation,
        Self::Background,
        Self::Weather,
        Self::TimeOfDay,
        Self::Camera,
        Self::Cut,
    ];
    /// What a portrait shows.
    pub const LOOKS: [Self; 5] = [Self::Skin, Self::HairStyle, Self::HairColour, Self::Hat, Self::Glasses];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Colour => "colour",
            Self::Motion => "motion",
            Self::Direction => "direction",
            Self::Pace => "pace",
            Self::Size => "size",
            Self::Count => "count",
            Self::Relation => "relation",
            Self::Background => "background",
            Self::Weather => "weather",
            Self::TimeOfDay => "time of day",
            Self::Camera => "camera",
            Self::Cut => "cut",
            Self::Skin => "skin",
            Self::HairStyle => "hair style",
            Self::HairColour => "hair colour",
            Self::Hat => "hat",
            Self::Glasses => "glasses",
        }
    }
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Those that are right.
    pub right: usize,
    /// All.
    pub of: usize,
}

impl Tally {
    /// 0…1; 0 of nothing.
    pub fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.right as f64 / self.of as f64 }
    }

    /// The 95 % interval of the share.
    ///
    /// Source: Wilson 1927, “Probable inference, the law of succession, and statistical inference”.
    pub fn interval(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        const Z: f64 = 1.959_964;
        let (share, count) = (self.share(), self.of as f64);
        let scale = 1.0 + Z * Z / count;
        let middle = (share + Z * Z / (2.0 * count)) / scale;
        let half = Z / scale * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }

    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }
}

/// How often one attribute is shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeScore {
    /// Which.
    pub attribute: Attribute,
    /// Clips that show it, of those that were asked for it.
    pub shown: Tally,
    /// The share of clips that show it.
    pub share: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// True renders about which the judge is right.
    pub judge: Tally,
    /// The judge's own accuracy.
    pub judge_share: f64,
    /// Whether that is enough.
    pub trusted: bool,
}

impl AttributeScore {
    fn new(attribute: Attribute, shown: Tally, judge: Tally) -> Self {
        Self {
            attribute,
            shown,
            share: shown.share(),
            interval: shown.interval(),
            judge,
            judge_share: judge.share(),
            trusted: judge.share() >= TRUSTED,
        }
    }
}

/// A figure of several clips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Over the clips.
    pub mean: f64,
    /// The worst clip's.
    pub worst: f64,
    /// Clips.
    pub of: usize,
}

impl Figure {
    /// Nothing of no clips.
    fn new(values: &[f64], worst: fn(f64, f64) -> f64) -> Option<Self> {
        let worst = values.iter().copied().reduce(worst)?;
        Some(Self { mean: values.iter().sum::<f64>() / values.len() as f64, worst, of: values.len() })
    }
}

/// A clip that does not show all that was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The prompt.
    pub prompt: String,
    /// Which clip of the evaluation; with the seed it says which scene.
    pub index: usize,
    /// What is wrong, as `colour: asked red, saw blue`.
    pub wrong: Vec<String>,
    /// First, middle and last.
    #[serde(skip)]
    frames: Vec<Frame>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How it was measured.
    pub options: EvaluationOptions,
    /// What was asked in words.
    pub attributes: Vec<AttributeScore>,
    /// Looks that were kept from a portrait; empty if not measured.
    pub reference: Vec<AttributeScore>,
    /// PSNR of the first frame against the given picture, in decibels.
    pub first_frame_psnr_db: Option<Figure>,
    /// PSNR of the same pictures through the autoencoder alone: the most that the model can reach.
    pub autoencoder_psnr_db: Option<Figure>,
    /// Everything that was asked in words, by how it was said.
    #[serde(default)]
    pub by_style: Vec<(CaptionStyle, Tally)>,
    /// The same by how many actors there are.
    #[serde(default)]
    pub by_count: Vec<(usize, Tally)>,
    /// Difference across the seam of an extension against that of neighbouring frames; up to 1.5 is good.
    pub seam_ratio: Option<Figure>,
    /// The same where new frames lead up to a clip.
    #[serde(default)]
    pub arrival_ratio: Option<Figure>,
    /// The same for the worse of both seams where new frames lead from the end of a clip back to its beginning.
    #[serde(default)]
    pub loop_ratio: Option<Figure>,
    /// Difference ΔE (CIE 1976) between the mean colours of the first and the last second of a long clip.
    pub drift_delta_e: Option<Figure>,
    /// How near enlarged frames come to those that are drawn large; nothing if the model has no upscaler.
    #[serde(default)]
    pub sharpness: Option<Sharpness>,
    /// The clips with most wrong, worst first.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub seconds: f64,
}

/// How far an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationProgress {
    /// What is measured now.
    pub part: &'static str,
    /// Clips of this part that are done.
    pub done: usize,
    /// Clips of this part.
    pub total: usize,
}

/// Asks `model` for withheld compositions and lets `judge` say what it sees; both lie on `device`. Where a clip is chosen among several
/// beginnings, `chooser` chooses: its own judgement of its choices is worth little.
///
/// # Errors
/// If the networks do not fit each other.
pub fn evaluate(
    model: &PaperModel,
    judge: Judge<'_>,
    chooser: &Captioner,
    options: &EvaluationOptions,
    device: &Device,
    mut progress: impl FnMut(EvaluationProgress),
) -> Result<Evaluation> {
    let extends = options.extensions + options.drifts > 0;
    let longest = options.overlap.max(options.prefix);
    anyhow::ensure!(!extends || longest < options.latent_frames, "what is extended must be shorter than the clip");
    let started = Instant::now();
    let bench = Bench { model, judge, chooser, options, device: device.clone() };
    let mut part = |part, total, run: &mut dyn FnMut(usize) -> Result<()>| -> Result<()> {
        for done in 0..total {
            progress(EvaluationProgress { part, done, total });
            run(done)?;
        }
        Ok(())
    };

    let mut asked = [(Tally::default(), Tally::default()); Attribute::IN_WORDS.len()];
    let mut failures = Vec::new();
    let mut by_style: Vec<(CaptionStyle, Tally)> =
        CaptionStyle::ALL.iter().map(|style| (*style, Tally::default())).collect();
    let mut by_count: Vec<(usize, Tally)> = (1..=3).map(|count| (count, Tally::default())).collect();
    part("prompts", options.count, &mut |index| {
        let (style, count, shown) = bench.judge_prompt(index, &mut asked, &mut failures)?;
        let of_style = by_style.iter_mut().filter(|(group, _)| *group == style).map(|(_, tally)| tally);
        let of_count = by_count.iter_mut().filter(|(group, _)| *group == count).map(|(_, tally)| tally);
        for tally in of_style.chain(of_count) {
            shown.iter().for_each(|right| tally.add(*right));
        }
        Ok(())
    })?;
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.wrong.len()));
    failures.truncate(WORST);

    let mut looks = [(Tally::default(), Tally::default()); Attribute::LOOKS.len()];
    part("references", options.references, &mut |index| bench.judge_reference(index, &mut looks))?;

    let (mut first_frames, mut ceilings) = (Vec::new(), Vec::new());
    part("first frames", options.first_frames, &mut |index| {
        let (psnr_db, ceiling_db) = bench.first_frame(index)?;
        first_frames.push(psnr_db);
        ceilings.push(ceiling_db);
        Ok(())
    })?;
    let mut seams = Vec::new();
    part("extensions", options.extensions, &mut |index| {
        seams.push(bench.seam(index)?);
        Ok(())
    })?;
    let (mut arrivals, mut loops) = (Vec::new(), Vec::new());
    part("beginnings", options.extensions, &mut |index| {
        arrivals.push(bench.arrival(index)?);
        Ok(())
    })?;
    part("loops", options.extensions, &mut |index| {
        loops.push(bench.round(index)?);
        Ok(())
    })?;
    let mut drifts = Vec::new();
    part("long clips", options.drifts, &mut |index| {
        drifts.push(bench.drift(index)?);
        Ok(())
    })?;

    let mut sharpness = None;
    if let (Some(upscaler), 1..) = (&model.upscaler, options.enlarged) {
        progress(EvaluationProgress { part: "enlarged frames", done: 0, total: 1 });
        let [count, seed] = [options.enlarged as u64, options.seed];
        sharpness = Some(measure_sharpness(&model.vae, &upscaler.sharpener(), options.split, [count, seed], device)?);
    }

    let scores = |attributes: &[Attribute], tallies: &[(Tally, Tally)]| -> Vec<AttributeScore> {
        let both = attributes.iter().zip(tallies).filter(|(_, (shown, _))| shown.of > 0);
        both.map(|(&attribute, &(shown, judge))| AttributeScore::new(attribute, shown, judge)).collect()
    };
    Ok(Evaluation {
        options: options.clone(),
        attributes: scores(&Attribute::IN_WORDS, &asked),
        reference: scores(&Attribute::LOOKS, &looks),
        first_frame_psnr_db: Figure::new(&first_frames, f64::min),
        autoencoder_psnr_db: Figure::new(&ceilings, f64::min),
        by_style,
        by_count,
        seam_ratio: Figure::new(&seams, f64::max),
        arrival_ratio: Figure::new(&arrivals, f64::max),
        loop_ratio: Figure::new(&loops, f64::max),
        drift_delta_e: Figure::new(&drifts, f64::max),
        sharpness,
        failures,
        seconds: started.elapsed().as_secs_f64(),
    })
}

impl Evaluation {
    /// First, middle and last frame of the worst clips, two clips a row in the order of `failures`; nothing if
    /// every clip shows all that was asked, or if the evaluation was read from a file.
    pub fn failures_sheet(&self) -> Option<image::RgbImage> {
        let frames: Vec<Frame> = self.failures.iter().flat_map(|failure| failure.frames.iter().cloned()).collect();
        (!frames.is_empty()).then(|| contact_sheet(&frames, 6, 2))
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut rows = |title: &str, scores: &[AttributeScore]| -> fmt::Result {
            if scores.is_empty() {
                return Ok(());
            }
            writeln!(f, "{title:<14}{:>8}{:>17}{:>8}   judge on true renders", "shown", "95 %", "asked")?;
            for score in scores {
                let interval = format!("{:.1} … {:.1}", 100.0 * score.interval.0, 100.0 * score.interval.1);
                let trust = if score.trusted { "" } else { "  not trusted" };
                let judge = percent(score.judge_share);
                let (name, share, asked) = (score.attribute.name(), percent(score.share), score.shown.of);
                writeln!(f, "{name:<14}{share:>8}{interval:>17}{asked:>8}   {judge:>7}{trust}")?;
            }
            writeln!(f)
        };
        rows("in words", &self.attributes)?;
        rows("reference", &self.reference)?;
        let mut group = |name: String, tally: &Tally| -> fmt::Result {
            if tally.of == 0 {
                return Ok(());
            }
            writeln!(f, "{name:<38}{:>8}   of {}", percent(tally.share()), tally.of)
        };
        for (style, tally) in &self.by_style {
            group(format!("all that was asked, {} captions", style.name()), tally)?;
        }
        for (count, tally) in &self.by_count {
            let actors = if *count == 1 { "one actor".to_owned() } else { format!("{count} actors") };
            group(format!("all that was asked, {actors}"), tally)?;
        }
        let mut figure = |name: &str, unit: &str, figure: &Option<Figure>| -> fmt::Result {
            let Some(Figure { mean, worst, of }) = figure else { return Ok(()) };
            writeln!(f, "{name:<38}{mean:>7.2}{unit}   worst {worst:.2}, of {of}")
        };
        figure("first frame, PSNR", " dB", &self.first_frame_psnr_db)?;
        figure("  through the autoencoder alone", " dB", &self.autoencoder_psnr_db)?;
        figure("seam of an extension, ≤ 1.5 is good", "", &self.seam_ratio)?;
        figure("seam where it leads up to a clip", "", &self.arrival_ratio)?;
        figure("worse seam of a loop", "", &self.loop_ratio)?;
        figure(&format!("drift over {:.0} s, ΔE", self.options.drift_s), "", &self.drift_delta_e)?;
        match &self.sharpness {
            Some(sharpness) => write!(f, "\n{sharpness}"),
            None => Ok(()),
        }
    }
}

/// What every measure needs.
struct Bench<'a> {
    model: &'a PaperModel,
    judge: Judge<'a>,
    chooser: &'a Captioner,
    options: &'a EvaluationOptions,
    device: Device,
}

/// The measures draw from streams of their own.
#[derive(Clone, Copy)]
enum Stream {
    Prompts,
    References,
    FirstFrames,
    Extensions,
    Drifts,
}

/// What a clip starts from besides its prompt.
#[derive(Default)]
struct Start {
    given: Vec<(usize, Tensor<5>)>,
    references: Vec<Tensor<5>>,
    /// Whether it is the best of several beginnings.
    chosen: bool,
    /// Whether earlier latent frames came before these.
    later: bool,
}

impl Bench<'_> {
    /// A scene that passes, the style of its caption, in the usual mixture, the caption, and a seed for noise.
    fn draw(
        &self,
        stream: Stream,
        index: usize,
        mixture: &Mixture,
        passes: impl Fn(&Scene) -> bool,
    ) -> (Scene, CaptionStyle, String, u64) {
        let mut random = generator(self.options.seed, index, stream as usize);
        let scene = loop {
            let scene = Scene::sample(random.random(), self.options.split, mixture);
            if passes(&scene) {
                break scene;
            }
        };
        let style = draw_style(&mut random);
        let caption = scene.caption(style, random.random());
        (scene, style, caption, random.random())
    }

    fn true_frames(&self, scene: &Scene) -> Vec<Frame> {
        render(scene, self.size(), 0.0, self.frames(self.options.latent_frames))
    }

    /// Everything is measured in landscape.
    fn size(&self) -> Size {
        native_sizes(self.model.vae.config())[0]
    }

    fn frames(&self, latent_frames: usize) -> usize {
        1 + (latent_frames - 1) * self.model.vae.config().block_frames
    }

    fn encode(&self, frames: &[Frame]) -> Result<Tensor<5>> {
        Ok(self.model.vae.encode(clips_to_tensor(&[frames.to_vec()], &self.device))?)
    }

    fn decode(&self, latents: Tensor<5>) -> Vec<Frame> {
        tensor_to_frames(self.model.vae.decode(latents))
    }

    fn read(&self, frames: &[Frame]) -> Result<Reading> {
        let Judge { vae, captioner } = self.judge;
        let (size, mut resizer) = (native_sizes(vae.config())[0], Resizer::new());
        let frames: Vec<Frame> = frames.iter().map(|frame| resizer.resize(frame, size, Filter::Area)).collect();
        Ok(captioner.read(vae.encode(clips_to_tensor(&[frames], &self.device))?).remove(0))
    }

    fn generate(&self, prompt: &str, start: Start, count: usize, seed: u64) -> Result<Tensor<5>> {
        let grid = self.model.vae.config().spatial_compression();
        let (options, size) = (self.options, self.size());
        let request = SampleRequest {
            text: self.model.read_prompt(prompt, &self.device),
            negative: self.model.read_prompt("", &self.device),
            times_s: latent_times_s(self.model.vae.config().block_frames, usize::from(start.later), count),
            rows: size.height as usize / grid,
            columns: size.width as usize / grid,
            given: start.given,
            references: start.references,
            edit: None,
            steps: options.sampling.num_inference_steps,
            guidance_scale: options.sampling.guidance_scale,
            guidance_interval: options.sampling.guidance_interval,
            step_cache: options.step_cache,
            shift: options.sampling.shift,
            solver: options.solver,
            seed,
        };
        let candidates = if start.chosen { options.sampling.candidates } else { 1 };
        let chooser = Chooser::of(self.chooser, prompt, candidates);
        let go_on = |_| ControlFlow::Continue(());
        Ok(sample_chosen(&self.model.transformer, &request, chooser.as_ref(), &self.device, go_on)?)
    }

    /// One clip asked for in words, and the true render of its scene. How it was said, how many actors there are, and what of it is shown.
    fn judge_prompt(
        &self,
        index: usize,
        tallies: &mut [(Tally, Tally)],
        failures: &mut Vec<Failure>,
    ) -> Result<(CaptionStyle, usize, Vec<bool>)> {
        let (scene, style, prompt, seed) = self.draw(Stream::Prompts, index, &Mixture::default(), |_| true);
        let start = Start { chosen: true, ..Start::default() };
        let latents = self.generate(&prompt, start, self.options.latent_frames, seed)?;
        let frames = self.decode(latents);
        let asked = asked(&scene, &prompt);
        let shown = checks(&scene, &asked, &self.read(&frames)?);
        let judged = checks(&scene, &asked, &self.read(&self.true_frames(&scene))?);
        for (at, attribute) in Attribute::IN_WORDS.iter().enumerate() {
            let find = |checks: &[Check]| checks.iter().find(|check| check.attribute == *attribute).map(|c| c.right);
            if let (Some(shown), Some(judged)) = (find(&shown), find(&judged)) {
                tallies[at].0.add(shown);
                tallies[at].1.add(judged);
            }
        }
        let rights = shown.iter().map(|check| check.right).collect();
        // A wrong direction is a wrong motion: it is told once.
        let wrong: Vec<String> = shown
            .into_iter()
            .filter(|check| !check.right && check.attribute != Attribute::Direction)
            .map(|check| format!("{}: asked {}, saw {}", check.attribute.name(), check.asked, check.seen))
            .collect();
        if !wrong.is_empty() {
            let last = frames.len() - 1;
            let frames = [0, last / 2, last].map(|at| frames[at].clone()).to_vec();
            failures.push(Failure { prompt, index, wrong, frames });
        }
        Ok((style, scene.shots[0].actors.len(), rights))
    }

    /// A person who is only shown in a portrait: the prompt does not say how they look.
    fn judge_reference(&self, index: usize, tallies: &mut [(Tally, Tally)]) -> Result<()> {
        let mixture =
            Mixture { puppets: 0.5, two_shots: 0.0, two_actors: 0.0, three_actors: 0.0, ..Mixture::default() };
        let is_puppet = |scene: &Scene| scene.shots[0].main().kind == ActorKind::Puppet;
        let (scene, .., seed) = self.draw(Stream::References, index, &mixture, is_puppet);
        let prompt = scene.caption(CaptionStyle::Terse, seed);
        let portrait = self.encode(&[scene.portrait(0, self.size())])?;
        let start = Start { references: vec![portrait], ..Start::default() };
        let frames = self.decode(self.generate(&prompt, start, self.options.latent_frames, seed)?);
        let truth = scene.shots[0].main().puppet.expect("a puppet has looks");
        let shown = kept(truth, self.read(&frames)?.puppet.value);
        let judged = kept(truth, self.read(&self.true_frames(&scene))?.puppet.value);
        for (tally, (shown, judged)) in tallies.iter_mut().zip(shown.into_iter().zip(judged)) {
            tally.0.add(shown);
            tally.1.add(judged);
        }
        Ok(())
    }

    /// PSNR of frame 0 of a clip whose first frame was given, and of the autoencoder alone.
    fn first_frame(&self, index: usize) -> Result<(f64, f64)> {
        let (scene, _, prompt, seed) = self.draw(Stream::FirstFrames, index, &Mixture::default(), |_| true);
        let picture = scene.frame(0.0, self.size());
        let latent = self.encode(std::slice::from_ref(&picture))?;
        let again = self.decode(latent.clone());
        let start = Start { given: vec![(0, latent)], ..Start::default() };
        let frames = self.decode(self.generate(&prompt, start, self.options.latent_frames, seed)?);
        Ok((psnr_db(&frames[0], &picture), psnr_db(&again[0], &picture)))
    }

    /// The step across the seam of an extension, in mean steps of the same clip.
    fn seam(&self, index: usize) -> Result<f64> {
        let mixture = Mixture { two_shots: 0.0, ..Mixture::default() };
        let (scene, _, prompt, seed) = self.draw(Stream::Extensions, index, &mixture, |_| true);
        let prefix = self.options.prefix;
        let known = self.encode(&self.true_frames(&scene)[..self.frames(prefix)])?;
        let given = (0..prefix).map(|at| (at, known.clone().narrow(1, at, 1))).collect();
        let start = Start { given, ..Start::default() };
        let frames = self.decode(self.generate(&prompt, start, self.options.latent_frames, seed)?);
        Ok(seam_ratio(&frames, self.frames(prefix)))
    }

    /// The step into a clip that new frames lead up to, in mean steps of the whole.
    fn arrival(&self, index: usize) -> Result<f64> {
        let mixture = Mixture { two_shots: 0.0, ..Mixture::default() };
        let (scene, _, prompt, seed) = self.draw(Stream::Extensions, index, &mixture, |_| true);
        let count = self.options.latent_frames;
        let free = count - self.options.prefix;
        let known = self.encode(&self.true_frames(&scene))?;
        let given = (free..count).map(|at| (at, known.clone().narrow(1, at, 1))).collect();
        let start = Start { given, ..Start::default() };
        let frames = self.decode(self.generate(&prompt, start, count, seed)?);
        Ok(seam_ratio(&frames, self.frames(free)))
    }

    /// The larger step at the two ends of new frames that lead from the end of a clip back to its beginning.
    fn round(&self, index: usize) -> Result<f64> {
        let mixture = Mixture { two_shots: 0.0, ..Mixture::default() };
        let (scene, _, prompt, seed) = self.draw(Stream::Extensions, index, &mixture, |_| true);
        let (count, block) = (self.options.latent_frames, self.model.vae.config().block_frames);
        let (frames, new) = (self.true_frames(&scene), count - 1);
        let known = self.encode(&frames)?;
        // The beginning as a block in the middle of a clip.
        let beginning: Vec<Frame> = frames[..1].iter().chain(&frames[..block]).cloned().collect();
        let beginning = self.encode(&beginning)?.narrow(1, 1, 1);
        let given = vec![(0, known.clone().narrow(1, count - 1, 1)), (1 + new, beginning)];
        let start = Start { given, later: true, ..Start::default() };
        let way = self.generate(&prompt, start, new + 2, seed)?.narrow(1, 1, new + 1);
        let frames = self.decode(Tensor::cat(vec![known, way], 1));
        let end = self.frames(count);
        let round = &frames[end - block..];
        Ok(seam_ratio(round, block).max(seam_ratio(round, block + new * block)))
    }

    /// ΔE between the first and the last second of a long clip, made window by window.
    fn drift(&self, index: usize) -> Result<f64> {
        let mixture = Mixture { two_shots: 0.0, ..Mixture::default() };
        let quiet = |scene: &Scene| {
            let shot = &scene.shots[0];
            let motion = shot.main().motion;
            shot.camera == Camera::Still && !matches!(motion, Motion::Grows | Motion::Shrinks | Motion::FadesIn)
        };
        let (_, _, prompt, seed) = self.draw(Stream::Drifts, index, &mixture, quiet);
        let block = self.model.vae.config().block_frames;
        let second = crate::clips::FRAME_RATE as usize;
        let total = 1 + ((self.options.drift_s * second as f32) as usize).div_ceil(block);
        let mut latents = self.generate(&prompt, Start::default(), self.options.latent_frames.min(total), seed)?;
        let mut window = 1;
        while latents.dims()[1] < total {
            let made = latents.dims()[1];
            let count = self.options.latent_frames.min(total - made + self.options.overlap);
            let from = made - self.options.overlap;
            let given = (0..self.options.overlap).map(|at| (at, latents.clone().narrow(1, from + at, 1))).collect();
            let start = Start { given, later: true, ..Start::default() };
            let next = self.generate(&prompt, start, count, seed.wrapping_add(window))?;
            let new = next.narrow(1, self.options.overlap, count - self.options.overlap);
            latents = Tensor::cat(vec![latents, new], 1);
            window += 1;
        }
        let mut frames = Vec::new();
        self.model.vae.decode_in_pieces(latents, 4, |piece| {
            frames.extend(tensor_to_frames(piece));
            anyhow::Ok(())
        })?;
        let (first, last) = (&frames[..second.min(frames.len())], &frames[frames.len().saturating_sub(second)..]);
        Ok(delta_e(mean_lab(first), mean_lab(last)))
    }
}

/// What a caption says beyond what every caption says.
struct Asked {
    pace: Option<Pace>,
    size: Option<ActorSize>,
}

/// The pace and the size, if the caption has a word for them that can mean nobody else.
fn asked(scene: &Scene, caption: &str) -> Asked {
    let first_shot = if scene.shots.len() > 1 {
        let joints = [", then cut to ", "; cut to ", ", then ", ", followed by "];
        let end = joints.iter().filter_map(|joint| caption.find(joint)).min();
        &caption[..end.unwrap_or(caption.len())]
    } else {
        caption
    };
    let text: String =
        first_shot.to_lowercase().chars().map(|letter| if letter.is_alphabetic() { letter } else { ' ' }).collect();
    let text = format!(" {text} ");
    let known = known_words();
    let says = |concept: Concept, canonical: &str| {
        let mut words = known.iter().filter(|known| known.concept == concept && known.canonical == canonical);
        words.any(|known| text.contains(&format!(" {} ", known.word)))
    };
    let (main, extras) = (scene.shots[0].main(), &scene.shots[0].actors[1..]);
    let alone_in_size = extras.iter().all(|extra| extra.size != main.size);
    Asked {
        pace: (main.motion != Motion::Still && says(Concept::Pace, main.pace.name())).then_some(main.pace),
        size: (alone_in_size && says(Concept::Size, main.size.name())).then_some(main.size),
    }
}

/// One question about one clip.
struct Check {
    attribute: Attribute,
    right: bool,
    asked: String,
    seen: String,
}

/// What the caption asks for, or leaves to the world's defaults, against what was seen.
fn checks(scene: &Scene, asked: &Asked, reading: &Reading) -> Vec<Check> {
    let (truth, seen) = (scene.attributes(), reading.attributes());
    let mut checks = Vec::new();
    let mut check = |attribute, right, asked: String, seen: String| {
        checks.push(Check { attribute, right, asked, seen });
    };
    let Attributes { actors, colours, motion, count, background, weather, time_of_day, camera, cut, .. } = &truth;
    let names = |kinds: &[ActorKind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ");
    check(Attribute::Actor, actors.iter().all(|k| seen.actors.contains(k)), names(actors), names(&seen.actors));
    let names = |colours: &[crate::paper::Colour]| colours.iter().map(|c| c.name()).collect::<Vec<_>>().join(" and ");
    check(Attribute::Colour, colours.iter().all(|c| seen.colours.contains(c)), names(colours), names(&seen.colours));
    check(Attribute::Motion, *motion == seen.motion, motion.name().into(), seen.motion.name().into());
    if matches!(motion, Motion::Left | Motion::Right | Motion::Up | Motion::Down) {
        check(Attribute::Direction, *motion == seen.motion, motion.name().into(), seen.motion.name().into());
    }
    if let Some(pace) = asked.pace {
        let read = reading.pace.value;
        check(Attribute::Pace, pace == read, pace.name().into(), read.name().into());
    }
    if let Some(size) = asked.size {
        let read = reading.size.value;
        check(Attribute::Size, size == read, size.name().into(), read.name().into());
    }
    check(Attribute::Count, *count == seen.count, count.to_string(), seen.count.to_string());
    if let Some(relation) = truth.relation {
        let read = reading.relation.value;
        let name = read.map_or("none", |relation| relation.name());
        check(Attribute::Relation, read == Some(relation), relation.name().into(), name.into());
    }
    check(
        Attribute::Background,
        *background == seen.background,
        background.name().into(),
        seen.background.name().into(),
    );
    check(Attribute::Weather, *weather == seen.weather, weather.name().into(), seen.weather.name().into());
    check(
        Attribute::TimeOfDay,
        *time_of_day == seen.time_of_day,
        time_of_day.name().into(),
        seen.time_of_day.name().into(),
    );
    check(Attribute::Camera, *camera == seen.camera, camera.name().into(), seen.camera.name().into());
    let shots = |cut: bool| if cut { "two shots" } else { "one shot" }.to_owned();
    check(Attribute::Cut, *cut == seen.cut, shots(*cut), shots(seen.cut));
    checks
}

/// Which looks are the same, in the order of [`Attribute::LOOKS`].
fn kept(truth: Puppet, seen: Puppet) -> [bool; Attribute::LOOKS.len()] {
    [
        truth.skin == seen.skin,
        truth.hair_style == seen.hair_style,
        truth.hair_colour == seen.hair_colour,
        truth.hat == seen.hat,
        truth.glasses == seen.glasses,
    ]
}

/// PSNR of one frame against another of its size, in decibels.
pub(crate) fn psnr_db(a: &Frame, b: &Frame) -> f64 {
    let squares = a.rgb().iter().zip(b.rgb()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    let mean = squares.sum::<f64>() / a.rgb().len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-3)).log10()
}

/// The step into frame `seam` against the mean of the other steps.
fn seam_ratio(frames: &[Frame], seam: usize) -> f64 {
    let step = |at: usize| {
        let pair = frames[at - 1].rgb().iter().zip(frames[at].rgb());
        pair.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / frames[at].rgb().len() as f64
    };
    let others: Vec<f64> = (1..frames.len()).filter(|&at| at != seam).map(step).collect();
    let mean = others.iter().sum::<f64>() / others.len().max(1) as f64;
    step(seam) / mean.max(1e-6)
}

/// The mean colour of frames in CIE L*a*b* under D65.
fn mean_lab(frames: &[Frame]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    let mut count = 0.0;
    for pixel in frames.iter().flat_map(|frame| frame.rgb().as_chunks::<3>().0) {
        let lab = lab(*pixel);
        (0..3).for_each(|at| sum[at] += lab[at]);
        count += 1.0;
    }
    sum.map(|sum| sum / f64::max(count, 1.0))
}

/// sRGB to CIE L*a*b* (IEC 61966-2-1; CIE 15).
fn lab(rgb: [u8; 3]) -> [f64; 3] {
    let [red, green, blue] = rgb.map(|byte| {
        let value = f64::from(byte) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let x = (0.412_456_4 * red + 0.357_576_1 * green + 0.180_437_5 * blue) / 0.950_47;
    let y = 0.212_672_9 * red + 0.715_152_2 * green + 0.072_175 * blue;
    let z = (0.019_333_9 * red + 0.119_192 * green + 0.950_304_1 * blue) / 1.088_83;
    let f = |t: f64| if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
    let (x, y, z) = (f(x), f(y), f(z));
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The distance of two colours after CIE 1976.
fn delta_e(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captioner::CaptionerConfig;
    use diffusion::{Dit, DitConfig, TextConfig, TextEncoder, Upscaler, UpscalerConfig, Vae, VaeConfig};

    #[test]
    fn intervals_are_wilsons() {
        let check = |right, of, low: f64, high: f64| {
            let (from, to) = Tally { right, of }.interval();
            assert!((from - low).abs() < 5e-4 && (to - high).abs() < 5e-4, "{right}/{of}: {from} … {to}");
        };
        check(0, 10, 0.0, 0.2775);
        check(5, 10, 0.2366, 0.7634);
        check(10, 10, 0.7225, 1.0);
        check(80, 100, 0.7112, 0.8666);
        check(0, 0, 0.0, 1.0);
    }

    #[test]
    fn only_what_is_said_is_asked() {
        let mut scene = Scene::sample(3, Split::Train, &Mixture::simple());
        let main = &mut scene.shots[0].actors[0];
        (main.motion, main.pace, main.size) = (Motion::Left, Pace::Fast, ActorSize::Large);
        let check = |caption: &str, pace, size| {
            let asked = asked(&scene, caption);
            assert_eq!((asked.pace, asked.size), (pace, size), "{caption}");
        };
        check("a red boat sails left on the sea", None, None);
        check("A large red boat sails left quickly on the sea.", Some(Pace::Fast), Some(ActorSize::Large));
        check("a small red boat sails left on the sea", None, None);
    }

    #[test]
    fn what_is_read_right_is_right() {
        for seed in 0..50 {
            let scene = Scene::sample(seed, Split::HeldOut, &Mixture::default());
            let reading = Reading::of(&scene);
            let asked = asked(&scene, &scene.caption(CaptionStyle::Detailed, seed));
            for check in checks(&scene, &asked, &reading) {
                assert!(check.right, "{}: {} is not {}", check.attribute.name(), check.asked, check.seen);
            }
        }
    }

    #[test]
    fn colours_have_the_known_distance() {
        assert!(delta_e(lab([255, 255, 255]), [100.0, 0.0, 0.0]) < 0.02);
        assert!(delta_e(lab([255, 0, 0]), [53.24, 80.09, 67.20]) < 0.05);
        assert!(delta_e(lab([0, 0, 0]), [0.0; 3]) < 1e-9);
    }

    #[test]
    fn a_jump_at_the_seam_is_seen() {
        let size = Size::new(4, 4);
        let clip = |levels: &[u8]| levels.iter().map(|&l| Frame::filled(size, [l; 3])).collect::<Vec<_>>();
        assert!((seam_ratio(&clip(&[10, 20, 30, 40]), 2) - 1.0).abs() < 1e-9);
        assert!((seam_ratio(&clip(&[10, 20, 60, 70]), 2) - 4.0).abs() < 1e-9);
        assert!((psnr_db(&clip(&[10])[0], &clip(&[20])[0]) - 28.13).abs() < 0.01);
    }

    /// Random networks know nothing; every measure must still come out, twice the same.
    #[test]
    fn everything_is_measured_and_repeatable() {
        let device = Device::flex();
        device.seed(5);
        let vae = VaeConfig {
            fine_width: 8,
            coarse_width: 8,
            latent_channels: 4,
            encoder_blocks: 1,
            decoder_blocks: 1,
            block_frames: 4,
            ..VaeConfig::nano()
        };
        let text = TextConfig { width: 16, blocks: 1, ..TextConfig::nano() };
        let dit = DitConfig { latent_channels: 4, width: 32, heads: 2, blocks: 1, mlp_width: 32, text_width: 16 };
        let judge = CaptionerConfig {
            latent_channels: 4,
            block_frames: 4,
            time_patch: 2,
            width: 16,
            heads: 2,
            blocks: 1,
            mlp_width: 16,
        };
        let tokenizer = tokenizers::Tokenizer::new(tokenizers::models::bpe::BPE::default());
        let model = PaperModel {
            tokenizer: diffusion::PromptTokenizer::from_trained(tokenizer),
            text_encoder: TextEncoder::new(&text, &device),
            transformer: Dit::new(&dit, &device),
            vae: Vae::new(&vae, &device),
            upscaler: Some(Upscaler::new(&UpscalerConfig::small(), &device)),
            sampling: SamplingConfig::default(),
        };
        let captioner = Captioner::new(&judge, &device);
        let judge = Judge { vae: &model.vae, captioner: &captioner };
        let options = EvaluationOptions {
            count: 2,
            latent_frames: 4,
            sampling: SamplingConfig { num_inference_steps: 1, candidates: 2, ..SamplingConfig::default() },
            references: 1,
            first_frames: 1,
            extensions: 1,
            prefix: 2,
            drifts: 1,
            drift_s: 2.0,
            overlap: 2,
            enlarged: 1,
            ..EvaluationOptions::of(&model)
        };
        let mut parts = Vec::new();
        let found =
            evaluate(&model, judge, &captioner, &options, &device, |progress| parts.push(progress.part)).unwrap();
        assert_eq!(
            parts,
            [
                "prompts",
                "prompts",
                "references",
                "first frames",
                "extensions",
                "beginnings",
                "loops",
                "long clips",
                "enlarged frames"
            ]
        );
        assert!(found.attributes.len() >= 8 && found.reference.len() == Attribute::LOOKS.len());
        assert!(found.first_frame_psnr_db.is_some() && found.seam_ratio.is_some() && found.drift_delta_e.is_some());
        assert!(found.arrival_ratio.is_some() && found.loop_ratio.is_some());
        assert!(found.sharpness.as_ref().is_some_and(|sharpness| sharpness.of == 1));
        let asked: usize = found.attributes.iter().map(|score| score.shown.of).sum();
        assert_eq!(found.by_style.iter().map(|(_, tally)| tally.of).sum::<usize>(), asked);
        assert_eq!(found.by_count.iter().map(|(_, tally)| tally.of).sum::<usize>(), asked);
        assert!(found.to_string().contains("not trusted") && found.failures_sheet().is_some());
        let again = evaluate(&model, judge, &captioner, &options, &device, |_| ()).unwrap();
        assert_eq!(Evaluation { seconds: 0.0, ..found.clone() }, Evaluation { seconds: 0.0, ..again });
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap().attributes, found.attributes);
    }
}
