//! One attempt at one clip: read what it starts from, render, keep what came of it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Frame, FrameRate, Mp4Info, encode_png};
use platform::policy::{RightsUse, Stage, Verdict};
use platform::{Cut, DecidedItem, DecidedKind, GenerationErrorCode, GenerationKind, Progress};
use provenance::{SigningKey, TrainingChoice};
use render::{
    AnyRecipe, ClipSeconds, OutputSize, RenderOptions, Rendered, Shortcuts, Storyboard, VideoModel, VideoRequest,
    render, trim,
};
use store::{Generation, Lease, Objects, Outputs, Store, StoreError};
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::policy::Judge;
use crate::worker::engine::{Engine, Models};
use crate::worker::failure::Failure;
use crate::worker::outputs::{Made, WHOLE};
use crate::worker::progress::Control;
use crate::worker::sources::{Original, Sources};
use crate::worker::still::Still;

/// What every attempt of a worker needs.
pub(crate) struct Studio {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) visible_mark: bool,
    pub(crate) judge: Judge,
}

impl Studio {
    /// Whether an appeal found that this clip was stopped by mistake.
    pub(crate) async fn is_allowed_after_all(&self, generation: &Generation) -> Result<bool, StoreError> {
        let item = DecidedItem::new(DecidedKind::Video, generation.id.bytes());
        self.store.refusal_was_wrong(generation.identity, item).await
    }
}

/// One attempt.
pub(crate) struct Making<'a> {
    studio: &'a Studio,
    attempt: u32,
    generation: &'a Generation,
    control: Arc<Control>,
}

impl<'a> Making<'a> {
    pub(crate) fn new(studio: &'a Studio, lease: &Lease, generation: &'a Generation) -> Self {
        Self { studio, attempt: lease.attempt(), generation, control: Arc::default() }
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.control.progress()
    }

    /// Asks it to stop before its next step; [`Self::make`] then ends with [`Failure::Stopped`].
    pub(crate) fn stop(&self) {
        self.control.stop();
    }

    /// Makes the clip and keeps it among the objects, where nothing refers to it yet.
    pub(crate) async fn make(&self, engine: &Engine, keep_media: Option<Duration>) -> Result<Outputs, Failure> {
        let sources =
            Sources::fetch(&self.studio.store, &self.studio.objects, self.generation, self.studio.clock.now()).await?;
        let job = Job {
            generation: self.generation.clone(),
            sources,
            key: self.studio.key.clone(),
            options: RenderOptions {
                visible_mark: self.studio.visible_mark,
                training: TrainingChoice::default(),
                when: OffsetDateTime::from_unix_timestamp(self.studio.clock.now().seconds())
                    .unwrap_or(OffsetDateTime::UNIX_EPOCH),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            control: Arc::clone(&self.control),
        };
        let looks = self.studio.judge.sees_pictures();
        let work = move |models: &Models| {
            let made = job.run(models)?;
            let seen = job.seen(models, &made, looks)?;
            Ok::<_, Failure>((made, seen))
        };
        let (made, seen) = engine.run(work).await.map_err(|panic| Failure::transient(&panic))??;
        self.check(seen).await?;
        let expires_at = keep_media.map(|time| self.studio.clock.now() + time);
        made.keep(&self.studio.objects, self.generation, self.attempt, expires_at).await
    }
}

impl Making<'_> {
    /// Asks whether what was made may be kept: the words that its model finds for it, and its frames where a service looks at them.
    async fn check(&self, seen: Seen) -> Result<(), Failure> {
        let (judge, now) = (&self.studio.judge, self.studio.clock.now());
        let mut verdict = Verdict::default();
        if let Some(caption) = &seen.caption {
            verdict = judge.text(Stage::Output, RightsUse::Prompts, caption, now).await?;
        }
        for frame in seen.frames {
            if verdict.is_allowed() {
                verdict = judge.picture(frame).await?;
            }
        }
        if verdict.is_allowed() || self.studio.is_allowed_after_all(self.generation).await? {
            return Ok(());
        }
        Err(Failure::refused(verdict, &seen.caption.unwrap_or_default()))
    }
}

/// What a finished clip is judged by.
struct Seen {
    /// What its model sees in each shot of it.
    caption: Option<String>,
    /// The beginning, middle and end of each shot as PNG, if someone looks at pictures.
    frames: Vec<Bytes>,
}

/// All that the engine's thread needs for one clip.
struct Job {
    generation: Generation,
    sources: Sources,
    key: SigningKey,
    options: RenderOptions,
    control: Arc<Control>,
}

impl Job {
    fn run(&self, models: &Models) -> Result<Made, Failure> {
        if let (GenerationKind::Trim { cut, .. }, Some(original)) = (&self.generation.kind, self.sources.original()) {
            return Made::video(self.trim(*cut, original)?, &WHOLE);
        }
        let name = &self.generation.model;
        let model = models.find(name).ok_or_else(|| {
            Failure::permanent(GenerationErrorCode::ModelFailed, format!("The model {name} is not installed any more."))
        })?;
        if self.generation.kind == GenerationKind::Image {
            let rendered = self.render(&Still(model))?;
            return Made::picture(rendered, self.generation.size);
        }
        if let GenerationKind::Film { storyboard, .. } = &self.generation.kind {
            return self.film(model, storyboard);
        }
        Made::video(self.render(model)?, &WHOLE)
    }

    /// A film, shot by shot.
    fn film(&self, model: &dyn VideoModel, document: &str) -> Result<Made, Failure> {
        let refused = |problem: &dyn std::fmt::Display| {
            let message = format!("The storyboard cannot be followed: {problem}.");
            Failure::permanent(GenerationErrorCode::ModelFailed, message)
        };
        let board = Storyboard::read(document).map_err(|error| refused(&error))?;
        let mut requests = board.requests(|_| Ok(None)).map_err(|error| refused(&error))?;
        for request in &mut requests {
            let (prompt, size) = (request.prompt.as_str(), request.size.size());
            request.references = self.sources.named_in(prompt, model, size)?;
            request.candidates = self.candidates();
            request.prompt = self.sources.told(model, size, prompt).parse().map_err(|error| refused(&error))?;
        }
        let lengths: Vec<u32> = board.shots.iter().map(|shot| shot.seconds).collect();
        let before = |shot: usize| lengths[..shot].iter().sum::<u32>();
        let whole = before(lengths.len());
        let film = board.render(model, requests, &self.key, &self.options, &mut |shot, step| {
            self.control.done_of(step, before(shot)..before(shot + 1), whole);
            self.go_on()
        })?;
        Made::video(film, &lengths)
    }

    /// Beginnings that are asked for.
    fn candidates(&self) -> Option<usize> {
        self.generation.candidates.map(|count| count as usize)
    }

    /// What can be said and shown of what was made. A part of a clip says nothing new.
    fn seen(&self, models: &Models, made: &Made, looks: bool) -> Result<Seen, Failure> {
        if matches!(self.generation.kind, GenerationKind::Trim { .. }) {
            return Ok(Seen { caption: None, frames: Vec::new() });
        }
        let model = models.find(&self.generation.model);
        let captions: Vec<_> = made.shots().iter().filter_map(|frames| model?.caption(frames)).collect();
        let caption = Some(captions.join("\n")).filter(|caption| !caption.is_empty());
        let png = |frame: &Frame| encode_png(frame).map(Bytes::from).map_err(|error| Failure::transient(&error));
        let shown = made.shots().iter().filter(|_| looks).flat_map(|frames| {
            let mut shown: Vec<_> = [0, frames.len() / 2, frames.len().saturating_sub(1)].into();
            shown.dedup();
            shown.into_iter().filter_map(|at| frames.get(at))
        });
        let frames = shown.map(png).collect::<Result<_, _>>()?;
        Ok(Seen { caption, frames })
    }

    /// A part of a clip, which takes no model.
    fn trim(&self, cut: Cut, original: &Original) -> Result<Rendered<AnyRecipe>, Failure> {
        let recipe: AnyRecipe = serde_json::from_str(&original.recipe)
            .map_err(|error| Failure::source(format!("The recipe of the clip cannot be read: {error}.")))?;
        let part = |info: &Mp4Info| {
            let FrameRate { numerator, denominator } = info.frame_rate;
            cut.frames(numerator, denominator, info.frame_count)
        };
        Ok(trim(&original.file, part, recipe, &self.key, &self.options, &mut |step| self.step(step))?)
    }

    /// Tells how far it is, and whether to go on.
    fn step(&self, progress: render::Progress) -> ControlFlow<()> {
        self.control.done(progress);
        self.go_on()
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.control.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn render(&self, model: &dyn VideoModel) -> Result<Rendered, Failure> {
        let request = self.request(model)?;
        let parent = self.sources.parent(model.frame_rate(), request.size.size())?;
        Ok(render(model, &request, parent, &self.key, &self.options, &mut |step| self.step(step))?)
    }

    /// The accepted request in the model's terms.
    fn request(&self, model: &dyn VideoModel) -> Result<VideoRequest, Failure> {
        let generation = &self.generation;
        let refused = |what: String| {
            let message = format!("The model {} cannot make {what}.", generation.model);
            Failure::permanent(GenerationErrorCode::ModelFailed, message)
        };
        let size = match &generation.kind {
            // The picture is cut to its own size afterwards.
            GenerationKind::Image => OutputSize::closest_to(media_size(generation.size)),
            _ => {
                let size = generation.size.to_string();
                size.parse().map_err(|_| refused(format!("clips of {size}")))?
            }
        };
        let seconds = match &generation.kind {
            // An edit is as long as its clip, whatever is said here.
            GenerationKind::Image | GenerationKind::Edit { .. } | GenerationKind::Remix { .. } => {
                let fits = |length: &ClipSeconds| length.get() >= generation.seconds.get();
                ClipSeconds::ALL.into_iter().find(fits).unwrap_or(ClipSeconds::ALL[4])
            }
            GenerationKind::Create { .. }
            | GenerationKind::Film { .. }
            | GenerationKind::Extension { .. }
            | GenerationKind::Trim { .. } => {
                let seconds = generation.seconds.to_string();
                seconds.parse().map_err(|_| refused(format!("clips of {seconds} seconds")))?
            }
        };
        let (source, references) = self.sources.decode(model, size.size())?;
        let prompt = self.sources.told(model, size.size(), &generation.prompt);
        Ok(VideoRequest {
            prompt: prompt.parse().map_err(|error| refused(format!("this: {error}")))?,
            negative_prompt: generation.negative_prompt.clone(),
            size,
            seconds,
            seed: generation.seed,
            num_inference_steps: generation.num_inference_steps.map(|steps| steps as usize),
            guidance_scale: generation.guidance_scale,
            candidates: self.candidates(),
            shortcuts: Shortcuts::default(),
            source,
            references,
        })
    }
}

/// A size in pixels as frames have it.
pub(crate) fn media_size(size: platform::Size) -> media::Size {
    media::Size::new(size.width().into(), size.height().into())
}
