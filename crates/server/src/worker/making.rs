//! One attempt at one clip: read what it starts from, render, keep what came of it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Frame, FrameRate, Mp4Info, encode_png};
use platform::policy::{RightsUse, Stage, Verdict};
use platform::{Cut, DecidedItem, DecidedKind, GenerationErrorCode, GenerationKind, Progress};
use provenance::{SigningKey, TrainingChoice};
use render::{ClipSeconds, OutputSize, Recipe, RenderOptions, Rendered, VideoModel, VideoRequest, render, trim};
use store::{Generation, Lease, Objects, Outputs, Store, StoreError};
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::policy::Judge;
use crate::worker::engine::{Engine, Models};
use crate::worker::failure::Failure;
use crate::worker::outputs::Made;
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
    /// What its model sees in it.
    caption: Option<String>,
    /// Its beginning, middle and end as PNG, if someone looks at pictures.
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
            return Made::video(self.trim(*cut, original)?);
        }
        let name = &self.generation.model;
        let model = models.find(name).ok_or_else(|| {
            Failure::permanent(GenerationErrorCode::ModelFailed, format!("The model {name} is not installed any more."))
        })?;
        if self.generation.kind == GenerationKind::Image {
            let rendered = self.render(&Still(model))?;
            return Made::picture(rendered, self.generation.size);
        }
        Made::video(self.render(model)?)
    }

    /// What can be said and shown of what was made. A part of a clip says nothing new.
    fn seen(&self, models: &Models, made: &Made, looks: bool) -> Result<Seen, Failure> {
        if matches!(self.generation.kind, GenerationKind::Trim { .. }) {
            return Ok(Seen { caption: None, frames: Vec::new() });
        }
        let frames = made.frames();
        let caption = models.find(&self.generation.model).and_then(|model| model.caption(frames));
        let png = |frame: &Frame| encode_png(frame).map(Bytes::from).map_err(|error| Failure::transient(&error));
        let mut shown: Vec<_> = [0, frames.len() / 2, frames.len().saturating_sub(1)].into();
        shown.dedup();
        let shown = shown.into_iter().filter_map(|at| frames.get(at)).filter(|_| looks).map(png);
        Ok(Seen { caption, frames: shown.collect::<Result<_, _>>()? })
    }

    /// A part of a clip, which takes no model.
    fn trim(&self, cut: Cut, original: &Original) -> Result<Rendered, Failure> {
        let recipe: Recipe = serde_json::from_str(&original.recipe)
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
            GenerationKind::Create { .. } | GenerationKind::Extension { .. } | GenerationKind::Trim { .. } => {
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
            source,
            references,
        })
    }
}

/// A size in pixels as frames have it.
pub(crate) fn media_size(size: platform::Size) -> media::Size {
    media::Size::new(size.width().into(), size.height().into())
}
