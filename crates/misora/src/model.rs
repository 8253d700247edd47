//! The built-in model behind the seam, and where its weights and the signing key are.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use diffusion::{Choice, Error, ModelFiles, PaperModel, SampleRequest, Sharpener, SolverKind, Upscaler};
use media::{Clip, Filter, Frame, FrameRate, Resizer, Size};
use provenance::SigningKey;
use render::{Looks, ModelError, OwnChoices, Progress, Recipe, Source, Stage, VideoModel, VideoRequest};
use sha2::{Digest as _, Sha256};
use training::paper::{
    Actor, ActorKind, ActorSize, Background, Camera, CaptionStyle, Colour, HairColour, HairStyle, Hat, Motion, Pace,
    Placement, Puppet, Scene, Shot, Skin, TimeOfDay, Weather,
};
use training::{
    Captioner, Chooser, FRAME_RATE, clips_to_tensor, enlarge, enlarged_size, latent_frames, latent_times_s,
    native_sizes, sample_chosen, tensor_to_frames,
};

use crate::models::resolve;
use crate::output::usage;
use crate::wan::{WanChoices, WanVideoModel};

/// The weights that are part of this program.
const BUILT_IN: ModelFiles = ModelFiles::Embedded(&[
    ("tokenizer/tokenizer.json", include_bytes!("../../../models/paper-1/tokenizer/tokenizer.json")),
    ("text_encoder/config.json", include_bytes!("../../../models/paper-1/text_encoder/config.json")),
    ("text_encoder/model.safetensors", include_bytes!("../../../models/paper-1/text_encoder/model.safetensors")),
    ("transformer/config.json", include_bytes!("../../../models/paper-1/transformer/config.json")),
    ("transformer/model.safetensors", include_bytes!("../../../models/paper-1/transformer/model.safetensors")),
    ("captioner/config.json", include_bytes!("../../../models/paper-1/captioner/config.json")),
    (CAPTIONER_WEIGHTS, include_bytes!("../../../models/paper-1/captioner/model.safetensors")),
    ("vae/config.json", include_bytes!("../../../models/paper-1/vae/config.json")),
    ("upscaler/config.json", include_bytes!("../../../models/paper-1/upscaler/config.json")),
    (UPSCALER_WEIGHTS, include_bytes!("../../../models/paper-1/upscaler/model.safetensors")),
    ("scheduler/scheduler_config.json", include_bytes!("../../../models/paper-1/scheduler/scheduler_config.json")),
    ("vae/model.safetensors", include_bytes!("../../../models/paper-1/vae/model.safetensors")),
]);

/// The built-in model's name.
pub(crate) const NAME: &str = "paper-1";
/// Files whose bytes make the weights hash, in this order.
const HASHED: [&str; 4] = [
    "tokenizer/tokenizer.json",
    "text_encoder/model.safetensors",
    "transformer/model.safetensors",
    "vae/model.safetensors",
];

/// Are hashed too if the model has them: they decide about its frames.
const UPSCALER_WEIGHTS: &str = "upscaler/model.safetensors";
const CAPTIONER_WEIGHTS: &str = "captioner/model.safetensors";

/// How a clip is made that is longer than what the network makes at once.
#[derive(Clone, Copy, Debug)]
struct Windows {
    /// Latent frames that the network makes at once: four seconds.
    length: usize,
    /// Latent frames of what is known that a window is given on a side: a second.
    overlap: usize,
    /// Fewer of them, where something is known on both sides and all between is then made at once.
    least: usize,
}

impl Windows {
    /// Of a model whose latent frames are blocks of `block_frames`.
    fn of(block_frames: usize) -> Self {
        Self { length: latent_frames(block_frames, 4), overlap: latent_frames(block_frames, 1), least: 1 }
    }

    /// The next window of a clip of which these latent frames are known: it has unknown ones, and known ones beside them unless there are
    /// none at all. Nothing if all are known.
    ///
    /// What is known grows towards the end, or towards the beginning if only the end is known.
    fn next(self, known: &[bool]) -> Option<Range<usize>> {
        let first = known.iter().position(|known| !known)?;
        let gap = known[first..].iter().position(|known| *known);
        match gap {
            // Nothing before: back from what comes after.
            Some(gap) if first == 0 => {
                let end = (gap + self.overlap).min(known.len());
                Some(end.saturating_sub(self.length)..end)
            }
            // Between: at once if that can be, with as much of both sides as fits. It may be a little longer than a window.
            Some(gap) if gap + 2 * self.least <= self.length + self.least => {
                let side = ((self.length.saturating_sub(gap)) / 2).clamp(self.least, self.overlap);
                Some(first.saturating_sub(side)..(first + gap + side).min(known.len()))
            }
            _ => {
                let start = first.saturating_sub(self.overlap);
                Some(start..(start + self.length).min(known.len()))
            }
        }
    }

    /// Windows that a clip needs of which these latent frames are known.
    fn count(self, mut known: Vec<bool>) -> usize {
        let mut count = 0;
        while let Some(window) = self.next(&known) {
            known[window].fill(true);
            count += 1;
        }
        count
    }
}

/// A clip in the making: its latent frames `[1, 1, H, W, C]` as far as they are known.
struct Timeline {
    latents: Vec<Option<Tensor<5>>>,
    /// Frames at the beginning that are not new.
    skip: usize,
    /// New frames.
    frames: usize,
    /// The clip that is changed, `[1, T, H, W, C]`, and how far.
    edit: Option<(Tensor<5>, f32)>,
}

/// The files of a model folder, or of the built-in model.
pub(crate) fn model_files(folder: Option<&Path>) -> ModelFiles {
    folder.map_or(BUILT_IN, |folder| ModelFiles::Folder(folder.to_owned()))
}

/// A model that was opened.
pub(crate) enum OpenModel {
    /// One of the paper family.
    Paper(Box<PaperVideoModel>),
    /// Open weights.
    Wan(Box<WanVideoModel>),
}

impl OpenModel {
    /// Opens what `--model` means: the built-in model if it says nothing.
    ///
    /// # Errors
    /// If there is no such model, or a part of it is missing or damaged.
    pub(crate) fn open(model: Option<&Path>, home: Option<&Path>, choices: WanChoices, device: Device) -> Result<Self> {
        let place = resolve(model, home)?;
        match place {
            Some(place) if !is_paper(&place) => Ok(Self::Wan(Box::new(WanVideoModel::open(&place, choices, device)?))),
            _ if choices != WanChoices::default() => {
                Err(usage("--lora, --solver, --shift and --precision are for open weights: name a model with --model"))
            }
            place => Ok(Self::Paper(Box::new(PaperVideoModel::open(place.as_deref(), device)?))),
        }
    }

    /// Behind the seam.
    pub(crate) fn as_model(&self) -> &(dyn VideoModel + Send) {
        match self {
            Self::Paper(model) => &**model,
            Self::Wan(model) => &**model,
        }
    }

    /// The same, given away.
    pub(crate) fn into_model(self) -> Box<dyn VideoModel + Send> {
        match self {
            Self::Paper(model) => model,
            Self::Wan(model) => model,
        }
    }
}

/// Whether a folder is one of the paper family: its networks are in folders, and there is no index of them.
pub(crate) fn is_paper(folder: &Path) -> bool {
    folder.join("transformer/config.json").is_file() && !folder.join("model_index.json").is_file()
}

/// This installation's signing key, made on first use.
///
/// # Errors
/// If the key cannot be made or read, or others could read it.
pub(crate) fn signing_key(home: Option<&Path>) -> Result<SigningKey> {
    let home = match home {
        Some(home) => home.to_owned(),
        None => default_home().context("no home folder is known: give one with --home")?,
    };
    std::fs::create_dir_all(&home).with_context(|| format!("{} cannot be made", home.display()))?;
    Ok(SigningKey::open_or_create(&home.join("keys"), "Misora installation")?)
}

/// Where everything of this installation lies unless somebody says otherwise.
pub(crate) fn default_home() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share"))).map(|data| data.join("misora"))
}

/// paper-1 as a [`VideoModel`].
pub(crate) struct PaperVideoModel {
    model: PaperModel,
    /// Reads clips, if the model brings one that does.
    captioner: Option<Captioner>,
    /// Enlarges frames, if the model brings one that does.
    sharpener: Option<Sharpener>,
    weights_hash: String,
    device: Device,
}

impl PaperVideoModel {
    /// Reads the weights onto a device.
    ///
    /// # Errors
    /// If a file is missing or damaged; the message names it.
    pub(crate) fn open(folder: Option<&Path>, device: Device) -> Result<Self> {
        let files = model_files(folder);
        let model = PaperModel::open(&files, &device).context("the model cannot be used: give another with --model")?;
        let mut hash = Sha256::new();
        let others = [UPSCALER_WEIGHTS, CAPTIONER_WEIGHTS].into_iter().filter(|path| files.has(path));
        for path in HASHED.into_iter().chain(others) {
            hash.update(&files.read(path)?);
        }
        let weights_hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let captioner = files.has(CAPTIONER_WEIGHTS).then(|| Captioner::open(&files, &device)).transpose()?;
        let sharpener = model.upscaler.as_ref().map(Upscaler::sharpener);
        Ok(Self { model, captioner, sharpener, weights_hash, device })
    }

    /// What they lie on.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The networks themselves.
    pub(crate) fn networks(&self) -> &PaperModel {
        &self.model
    }

    /// Who chooses among beginnings of a clip; nobody if there is nothing to choose by. What starts from a clip, or ends at a picture, is what that is.
    fn chooser(&self, request: &VideoRequest) -> Option<Chooser<'_>> {
        let from_noise = matches!(request.source, Source::Text | Source::FirstFrame(_));
        let candidates = request.candidates.unwrap_or(self.model.sampling.candidates);
        Chooser::of(self.captioner.as_ref().filter(|_| from_noise)?, request.prompt.as_str(), candidates)
    }

    /// The native size of the same shape.
    fn native_size(&self, size: Size) -> Size {
        of_same_shape(native_sizes(self.model.vae.config()), size)
    }

    /// The latents of a whole clip of any size, `[1, T, H, W, C]`.
    ///
    /// # Errors
    /// Never for a clip that was read; the type says it because encoding can.
    pub(crate) fn encode_whole(&self, clip: &Clip) -> Result<Tensor<5>> {
        Ok(self.encode_clip(clip, self.native_size(clip.size()), None)?)
    }

    /// The latent of one picture, `[1, 1, H, W, C]`, brought to the native size.
    fn encode_picture(&self, picture: &Frame, size: Size) -> diffusion::Result<Tensor<5>> {
        let frame = media::cover(picture, size);
        self.model.vae.encode(clips_to_tensor(&[vec![frame]], &self.device))
    }

    /// The latent frames of what is asked for, those filled in that are known before anything is made.
    fn timeline(&self, request: &VideoRequest, size: Size) -> diffusion::Result<Timeline> {
        let block = self.model.vae.config().block_frames;
        let side = Windows::of(block).overlap;
        let wanted = (request.seconds.get() * FRAME_RATE) as usize;
        let new = wanted.div_ceil(block);
        let unknown = |count: usize| std::iter::repeat_n(None, count);
        let known = |latents: Tensor<5>| single_frames(&latents).into_iter().map(Some);
        let before = |clip: &Clip| self.encode_clip(clip, size, Some(1 + (side - 1) * block));
        let after = |clip: &Clip| self.encode_head(&at_frame_rate(clip), size, side - 1);
        let from_nothing = || Timeline { latents: vec![None; 1 + new], skip: 0, frames: wanted, edit: None };
        Ok(match &request.source {
            Source::Text => from_nothing(),
            Source::FirstFrame(picture) => {
                let mut timeline = from_nothing();
                timeline.latents[0] = Some(self.encode_picture(picture, size)?);
                timeline
            }
            Source::Ends { first, last } => {
                let mut timeline = from_nothing();
                timeline.latents[0] = first.as_ref().map(|picture| self.encode_picture(picture, size)).transpose()?;
                let last = self.encode_head(&[&media::cover(last, size)], size, 1)?;
                timeline.latents[new] = Some(last);
                timeline
            }
            Source::Extend(clip) | Source::Loop { end: clip, .. } | Source::Bridge { from: clip, .. } => {
                let mut latents: Vec<_> = known(before(clip)?).collect();
                let skip = 1 + (latents.len() - 1) * block;
                latents.extend(unknown(new));
                match &request.source {
                    Source::Loop { start: next, .. } | Source::Bridge { to: next, .. } => {
                        latents.extend(known(after(next)?))
                    }
                    _ => {}
                }
                Timeline { latents, skip, frames: wanted, edit: None }
            }
            // The first latent frame of a clip stands for one frame alone. It is made and left out.
            Source::Precede(clip) => {
                let latents = unknown(1 + new).chain(known(after(clip)?)).collect();
                Timeline { latents, skip: 1 + new * block - wanted, frames: wanted, edit: None }
            }
            Source::Edit { clip, strength } => {
                let latents = self.encode_clip(clip, size, None)?;
                let frames = at_frame_rate(clip).len();
                Timeline { latents: vec![None; latents.dims()[1]], skip: 0, frames, edit: Some((latents, *strength)) }
            }
        })
    }

    /// The latents of the first `blocks` blocks of a clip as they are in the middle of a longer one; its last frame is repeated if it is
    /// shorter. `[1, blocks, H, W, C]`.
    fn encode_head(&self, frames: &[&Frame], size: Size, blocks: usize) -> diffusion::Result<Tensor<5>> {
        let count = blocks * self.model.vae.config().block_frames;
        let mut resizer = Resizer::new();
        let mut at_size = |index: usize| resizer.resize(frames[index.min(frames.len() - 1)], size, Filter::Area);
        // A clip's first frame is no part of a block, so the first one is there twice.
        let frames: Vec<Frame> = std::iter::once(0).chain(0..count).map(&mut at_size).collect();
        let latents = self.model.vae.encode(clips_to_tensor(&[frames], &self.device))?;
        Ok(latents.narrow(1, 1, blocks))
    }

    /// The latents of the last frames of a clip, or of all of them; a count that does not fit the blocks is
    /// filled by repeating the last frame.
    fn encode_clip(&self, clip: &Clip, size: Size, last: Option<usize>) -> diffusion::Result<Tensor<5>> {
        let mut frames = at_frame_rate(clip);
        if let Some(last) = last {
            frames.drain(..frames.len().saturating_sub(last));
        }
        let block = self.model.vae.config().block_frames;
        while !(frames.len() - 1).is_multiple_of(block) {
            frames.push(frames[frames.len() - 1]);
        }
        let mut resizer = Resizer::new();
        let frames: Vec<Frame> = frames.into_iter().map(|frame| resizer.resize(frame, size, Filter::Area)).collect();
        self.model.vae.encode(clips_to_tensor(&[frames], &self.device))
    }
}

/// A scene of one puppet with these looks; nothing if a word is none of the paper world's.
fn puppet_of(looks: &Looks) -> Option<Scene> {
    let puppet = Puppet {
        skin: *Skin::ALL.iter().find(|one| one.name() == looks.skin)?,
        hair_style: *HairStyle::ALL.iter().find(|one| one.name() == looks.hair_style)?,
        hair_colour: *HairColour::ALL.iter().find(|one| one.name() == looks.hair_colour)?,
        hat: *Hat::ALL.iter().find(|one| one.name() == looks.hat)?,
        glasses: looks.glasses,
    };
    let actor = Actor {
        kind: ActorKind::Puppet,
        colour: *Colour::ALL.iter().find(|one| one.name() == looks.shirt)?,
        size: ActorSize::Medium,
        motion: Motion::Still,
        pace: Pace::Slow,
        puppet: Some(puppet),
        placement: Placement { dx: 0.0, dy: 0.0 },
    };
    let shot = Shot {
        actors: vec![actor],
        relation: None,
        background: Background::Plain,
        plain_colour: Colour::White,
        time_of_day: TimeOfDay::Day,
        weather: Weather::Clear,
        camera: Camera::Still,
    };
    Some(Scene { seed: 0, shots: vec![shot], duration_s: 1.0 })
}

impl VideoModel for PaperVideoModel {
    fn name(&self) -> &str {
        NAME
    }

    fn weights_hash(&self) -> &str {
        &self.weights_hash
    }

    fn frame_rate(&self) -> FrameRate {
        FrameRate::whole(FRAME_RATE)
    }

    fn recipe(&self, request: &VideoRequest) -> Recipe {
        let own = OwnChoices {
            num_inference_steps: self.model.sampling.num_inference_steps,
            guidance_scale: self.model.sampling.guidance_scale,
            solver: "adams_bashforth_2",
            precision: None,
            candidates: self.chooser(request).map(|chooser| chooser.candidates()),
        };
        Recipe::new(request, NAME, &self.weights_hash, &own)
    }

    fn portrait(&self, looks: &Looks, size: Size) -> Option<Frame> {
        Some(puppet_of(looks)?.portrait(0, size))
    }

    fn generate(
        &self,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let failed = |error: Error| match error {
            Error::Stopped => ModelError::Stopped,
            other => ModelError::Failed(other.to_string()),
        };
        if progress(Progress { stage: Stage::Reading, done: 0, total: 1 }).is_break() {
            return Err(ModelError::Stopped);
        }
        let size = self.native_size(request.size.size());
        let vae = &self.model.vae;
        let (block, grid) = (vae.config().block_frames, vae.config().spatial_compression());
        let plan = Windows::of(block);
        let text = self.model.read_prompt(request.prompt.as_str(), &self.device);
        let negative = self.model.read_prompt(&request.negative_prompt, &self.device);
        let references = request
            .references
            .iter()
            .map(|picture| self.encode_picture(picture, size))
            .collect::<diffusion::Result<Vec<_>>>()
            .map_err(failed)?;

        let Timeline { mut latents, skip, frames, edit } = self.timeline(request, size).map_err(failed)?;

        // Windows: each is given latent frames that are known beside it.
        let steps = request.num_inference_steps.unwrap_or(self.model.sampling.num_inference_steps);
        let known = |latents: &[Option<Tensor<5>>]| latents.iter().map(Option::is_some).collect::<Vec<_>>();
        let windows = plan.count(known(&latents));
        let chooser = self.chooser(request);
        let candidates = chooser.as_ref().map_or(1, Chooser::candidates);
        // The first window decides who is seen; the others follow it.
        let total = windows.saturating_sub(1) * steps + Choice::total_steps(candidates, steps);
        let done = AtomicUsize::new(0);
        let mut window = 0_u64;
        while let Some(Range { start, end }) = plan.next(&known(&latents)) {
            let count = end - start;
            let given = latents[start..end].iter().cloned().enumerate();
            let window_request = SampleRequest {
                text: text.clone(),
                negative: negative.clone(),
                // Later windows begin in the middle of the clip: time is relative, so the first block stands at index 1.
                times_s: latent_times_s(block, usize::from(start > 0), count),
                rows: size.height as usize / grid,
                columns: size.width as usize / grid,
                given: given.filter_map(|(index, latent)| Some((index, latent?))).collect(),
                references: references.clone(),
                edit: edit.clone().map(|(clip, strength)| (clip.narrow(1, start, count), strength)),
                steps,
                guidance_scale: request.guidance_scale.unwrap_or(self.model.sampling.guidance_scale),
                guidance_interval: request.shortcuts.guidance_interval.unwrap_or(self.model.sampling.guidance_interval),
                step_cache: request.shortcuts.step_cache.unwrap_or(0.0),
                shift: self.model.sampling.shift,
                solver: SolverKind::AdamsBashforth2,
                seed: request.seed.wrapping_add(window.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            };
            let chooser = chooser.as_ref().filter(|_| window == 0);
            let made = sample_chosen(&self.model.transformer, &window_request, chooser, &self.device, |_| {
                progress(Progress { stage: Stage::Sampling, done: done.fetch_add(1, Ordering::Relaxed), total })
            })
            .map_err(failed)?;
            for (latent, made) in latents[start..end].iter_mut().zip(single_frames(&made)) {
                latent.get_or_insert(made);
            }
            window += 1;
        }
        // What comes after the new frames was needed for them alone.
        latents.truncate(1 + (skip + frames - 1).div_ceil(block));
        let latents: Vec<Tensor<5>> = latents.into_iter().flatten().collect();

        // Frames, a second or so at a time.
        let (mut position, mut emitted) = (0, 0);
        vae.decode_in_pieces(Tensor::cat(latents, 1), 4, |piece| {
            for frame in tensor_to_frames(piece) {
                position += 1;
                if position <= skip || emitted == frames {
                    continue;
                }
                if progress(Progress { stage: Stage::Drawing, done: emitted, total: frames }).is_break() {
                    return Err(ModelError::Stopped);
                }
                emitted += 1;
                if emit(frame).is_break() {
                    return Err(ModelError::Sink);
                }
            }
            Ok(())
        })
    }

    fn enlarge(&self, frame: &Frame, size: Size) -> Option<Frame> {
        let sharpener = self.sharpener.as_ref()?;
        (enlarged_size(frame.size(), sharpener.factor()) == size).then(|| enlarge(sharpener, frame))
    }

    /// The frames are read as if they followed each other at once: who and what is there is seen, how it moves is not.
    fn caption(&self, frames: &[Frame]) -> Option<String> {
        let captioner = self.captioner.as_ref()?;
        let size = self.native_size(frames.first()?.size());
        let mut resizer = Resizer::new();
        let mut frames: Vec<Frame> = frames.iter().map(|frame| resizer.resize(frame, size, Filter::Area)).collect();
        let block = self.model.vae.config().block_frames;
        while frames.len() == 1 || !(frames.len() - 1).is_multiple_of(block) {
            frames.push(frames[frames.len() - 1].clone());
        }
        let latents = self.model.vae.encode(clips_to_tensor(&[frames], &self.device)).ok()?;
        let reading = captioner.read(latents).pop()?;
        Some(reading.caption(CaptionStyle::Detailed, 0))
    }
}

/// Of these sizes the one of nearly the same shape.
fn of_same_shape(natives: [Size; 3], size: Size) -> Size {
    let shape = |size: Size| (f64::from(size.width) / f64::from(size.height)).ln();
    let distance = |native: &Size| (shape(*native) - shape(size)).abs();
    natives.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(natives[0])
}

/// The frames of a clip at the family's rate: the nearest in time.
fn at_frame_rate(clip: &Clip) -> Vec<&Frame> {
    let source = clip.frames();
    let ratio = clip.frame_rate().as_f64() / f64::from(FRAME_RATE);
    let count = ((source.len() as f64 / ratio).round() as usize).max(1);
    (0..count).map(|index| &source[((index as f64 * ratio) as usize).min(source.len() - 1)]).collect()
}

/// `[1, T, H, W, C]` as T single latent frames.
fn single_frames(latents: &Tensor<5>) -> Vec<Tensor<5>> {
    (0..latents.dims()[1]).map(|index| latents.clone().narrow(1, index, 1)).collect()
}

#[cfg(test)]
mod tests {
    use diffusion::{UpscalerConfig, VaeConfig};

    use super::*;

    #[test]
    fn windows_cover_the_clip_and_lean_on_what_is_known() {
        for (block, gap) in (1..120).flat_map(|gap| [(4, gap), (8, gap)]) {
            let plan = Windows::of(block);
            for (before, after) in
                [(0, 0), (1, 0), (plan.overlap, 0), (0, plan.overlap - 1), (plan.overlap, plan.overlap - 1)]
            {
                let mut known = [vec![true; before], vec![false; gap], vec![true; after]].concat();
                let mut count = 0;
                while let Some(window) = plan.next(&known) {
                    let (given, of) = (known[window.clone()].iter().filter(|known| **known).count(), window.len());
                    let what = format!("{before} + {gap} + {after}: {window:?}");
                    assert!(given < of, "{what} makes nothing");
                    assert!(of <= plan.length + plan.least, "{what} is too long");
                    assert_eq!(given == 0, before + after == 0 && count == 0, "{what} leans on nothing");
                    known[window].fill(true);
                    count += 1;
                }
                assert!(known.iter().all(|known| *known));
            }
        }
    }

    #[test]
    fn four_seconds_between_two_clips_are_made_at_once() {
        for block in [4, 8] {
            let plan = Windows::of(block);
            let gap = plan.length - 1;
            let known = [vec![true; plan.overlap], vec![false; gap], vec![true; plan.overlap - 1]].concat();
            assert_eq!(plan.next(&known), Some(plan.overlap - 1..plan.overlap + gap + 1));
            assert_eq!(plan.count(known), 1);
        }
    }

    /// What the captioner says of the world it knows is never refused by the rules that judge it.
    #[test]
    fn captions_of_the_world_pass_the_policy() {
        let rights = platform::policy::Rights::default();
        let context = platform::policy::Context {
            rights: &rights,
            reach: platform::policy::RightsUse::Prompts,
            at: platform::Timestamp::from_seconds(0),
        };
        for seed in 0..500 {
            let scene = training::paper::Scene::sample(
                seed,
                training::paper::Split::Train,
                &training::paper::Mixture::default(),
            );
            for &style in CaptionStyle::ALL {
                let caption = scene.caption(style, seed);
                let judge = |stage| platform::policy::Policy::built_in().judge(stage, &caption, &context);
                for stage in platform::policy::Stage::ALL {
                    assert!(judge(stage).is_allowed(), "{caption}: {:?}", judge(stage));
                }
            }
        }
    }

    #[test]
    fn every_output_size_has_a_native_one_of_its_shape() {
        for size in render::OutputSize::ALL {
            let size = size.size();
            let native = of_same_shape(native_sizes(&VaeConfig::nano()), size);
            assert_eq!(native.width.cmp(&native.height), size.width.cmp(&size.height));
        }
    }

    #[test]
    fn full_sizes_are_what_the_upscaler_makes_of_native_ones() {
        let vae: VaeConfig = serde_json::from_slice(&BUILT_IN.read("vae/config.json").unwrap()).unwrap();
        let upscaler: UpscalerConfig = serde_json::from_slice(&BUILT_IN.read("upscaler/config.json").unwrap()).unwrap();
        for size in &render::OutputSize::ALL[..3] {
            let native = of_same_shape(native_sizes(&vae), size.size());
            assert_eq!(enlarged_size(native, upscaler.factor), size.size());
        }
    }

    /// The words of a likeness are those of the paper world: each is drawn, and none is drawn like another.
    #[test]
    fn every_puppet_that_can_be_enrolled_is_drawn() {
        use platform::likeness as own;
        fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|one| word(*one)).collect()
        }
        let check = |own: Vec<&str>, world: Vec<&str>| assert_eq!(own, world);
        check(words(own::Skin::ALL, own::Skin::as_str), words(Skin::ALL, Skin::name));
        check(words(own::HairStyle::ALL, own::HairStyle::as_str), words(HairStyle::ALL, HairStyle::name));
        check(words(own::HairColour::ALL, own::HairColour::as_str), words(HairColour::ALL, HairColour::name));
        check(words(own::Hat::ALL, own::Hat::as_str), words(Hat::ALL, Hat::name));
        check(words(own::Shirt::ALL, own::Shirt::as_str), words(Colour::ALL, Colour::name));
        let looks = |skin: &str, hat: &str, glasses| Looks {
            skin: skin.into(),
            hair_style: "long".into(),
            hair_colour: "black".into(),
            shirt: "blue".into(),
            hat: hat.into(),
            glasses,
        };
        let size = Size::new(80, 144);
        let draw = |looks: &Looks| puppet_of(looks).map(|scene| scene.portrait(0, size));
        let plain = draw(&looks("tan", "no hat", false)).unwrap();
        assert_eq!(plain.size(), size);
        for other in [looks("dark", "no hat", false), looks("tan", "top hat", false), looks("tan", "no hat", true)] {
            assert!(draw(&other).unwrap() != plain, "{other:?}");
        }
        assert!(draw(&looks("blue", "no hat", false)).is_none());
    }
}
