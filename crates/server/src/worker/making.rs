//! One attempt at one clip: read what it starts from, render, keep what came of it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use media::{FrameRate, Mp4Info};
use platform::{Cut, GenerationErrorCode, GenerationKind, Progress};
use provenance::{SigningKey, TrainingChoice};
use render::{ClipSeconds, OutputSize, Recipe, RenderOptions, Rendered, VideoModel, VideoRequest, render, trim};
use store::{Generation, Lease, Objects, Outputs, Store};
use time::OffsetDateTime;

use crate::clock::Clock;
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
        let made = engine.run(move |models| job.run(models)).await.map_err(|panic| Failure::transient(&panic))??;
        let expires_at = keep_media.map(|time| self.studio.clock.now() + time);
        made.keep(&self.studio.objects, self.generation, self.attempt, expires_at).await
    }
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
