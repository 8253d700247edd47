//! Wan behind the seam: which size and length it makes of a request, what the run will need, and the run.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use diffusion::Error;
use diffusion::wan::{
    Precision, WanFamily, WanFiles, WanModel, WanPicture, WanPlan, WanRequest, WanSettings, WanSolver,
};
use kernels::{Format, Linear, Rows, Then};
use media::{Frame, FrameRate, Size};
use render::{ModelError, OwnChoices, Progress, Recipe, Source, Stage, VideoModel, VideoRequest};
use sha2::{Digest as _, Sha256};

use crate::hub::{PULLED, Pulled};

/// Sizes that the models of 480 rows were trained at.
const SIZES_480: [Size; 3] = [Size::new(832, 480), Size::new(480, 832), Size::new(624, 624)];
/// Sizes that Wan 2.2 of 5B was trained at.
const SIZES_720: [Size; 3] = [Size::new(1280, 704), Size::new(704, 1280), Size::new(960, 960)];

/// What the owner may choose beside the request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WanChoices {
    /// Files of additions to the weights, with how much of each.
    pub loras: Vec<(PathBuf, f32)>,
    /// The solver, if not that of the model.
    pub solver: Option<WanSolver>,
    /// The shift, if not that of the model.
    pub shift: Option<f64>,
    /// What is multiplied in, if not what suits weights and processor.
    pub precision: Option<Precision>,
}

/// A model of the Wan family as a [`VideoModel`].
pub(crate) struct WanVideoModel {
    model: WanModel,
    name: String,
    place: PathBuf,
    weights_hash: OnceLock<String>,
    choices: WanChoices,
    precision: Precision,
    operations_per_second: f64,
}

impl WanVideoModel {
    /// Opens a folder or a file of weights.
    ///
    /// # Errors
    /// If a part is missing or damaged; the message names it.
    pub(crate) fn open(place: &Path, choices: WanChoices, device: Device) -> Result<Self> {
        const UNUSABLE: &str = "the model cannot be used";
        let files = WanFiles::open(place).context(UNUSABLE)?;
        let on_cpu = device == Device::flex();
        let suited = || if on_cpu { Precision::suited(&files.transformer.weights) } else { Precision::F32 };
        let precision = choices.precision.unwrap_or_else(suited);
        let settings = WanSettings { loras: choices.loras.clone(), precision, ..WanSettings::default() };
        let model = WanModel::of(files, settings, device.clone()).context(UNUSABLE)?;
        for (report, (path, _)) in model.loras().iter().zip(&choices.loras) {
            if let Some(layer) = report.unknown.first() {
                let count = report.unknown.len();
                eprintln!(
                    "{}: {count} layers are not of this model and were left out, such as {layer}",
                    path.display()
                );
            }
        }
        let name = if place.join(PULLED).is_file() {
            place.file_name().and_then(|name| name.to_str()).map(str::to_owned)
        } else {
            None
        };
        Ok(Self {
            name: name.unwrap_or_else(|| slug(model.family()).into()),
            model,
            place: place.to_owned(),
            weights_hash: OnceLock::new(),
            choices,
            precision,
            operations_per_second: measured_speed(precision, &device),
        })
    }

    /// What a request becomes.
    fn wan_request(&self, request: &VideoRequest) -> std::result::Result<WanRequest, ModelError> {
        let family = self.model.family();
        let picture = match &request.source {
            Source::Text => None,
            Source::FirstFrame(frame) => Some(frame),
            Source::Ends { .. }
            | Source::Extend(_)
            | Source::Precede(_)
            | Source::Bridge { .. }
            | Source::Loop { .. }
            | Source::Edit { .. } => {
                return Err(ModelError::Failed(format!(
                    "{} makes new clips from words or a first picture; it neither extends nor edits others",
                    family.name()
                )));
            }
        };
        if !request.references.is_empty() {
            return Err(ModelError::Failed(format!("{} reads no reference pictures", family.name())));
        }
        let size = self.size(request.size.size());
        let block = self.model.files().vae.config.temporal_compression();
        let wanted = (request.seconds.get() * family.frame_rate()) as usize;
        let guidance = request.guidance_scale.map_or(family.guidance(), |scale| [scale; 2]);
        Ok(WanRequest {
            prompt: request.prompt.as_str().to_owned(),
            negative_prompt: request.negative_prompt.clone(),
            picture: picture.map(|frame| {
                let frame = media::cover(frame, size);
                let (width, height) = (size.width as usize, size.height as usize);
                WanPicture { width, height, rgb: frame.rgb().to_vec() }
            }),
            frames: 1 + wanted.saturating_sub(1).next_multiple_of(block),
            height: size.height as usize,
            width: size.width as usize,
            steps: request.num_inference_steps.unwrap_or(family.steps()),
            guidance,
            guidance_interval: request.shortcuts.guidance_interval.unwrap_or((0.0, 1.0)),
            step_cache: request.shortcuts.step_cache.unwrap_or(0.0),
            solver: self.choices.solver.unwrap_or(self.model.files().solver),
            shift: self.choices.shift.unwrap_or(self.model.files().shift),
            seed: request.seed,
        })
    }

    /// The size that is asked for, on the model's grid, or the trained one of the nearest shape if that is smaller.
    fn size(&self, asked: Size) -> Size {
        let trained = if self.model.family() == WanFamily::TextImageToVideo22 { SIZES_720 } else { SIZES_480 };
        let shape = |size: Size| (f64::from(size.width) / f64::from(size.height)).ln();
        let distance = |size: &Size| (shape(*size) - shape(asked)).abs();
        let nearest = trained.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(trained[0]);
        let size = if asked.pixels() < nearest.pixels() { asked } else { nearest };
        let [rows, columns] = self.model.grid();
        let on_grid = |side: u32, grid: usize| {
            let grid = u32::try_from(grid).unwrap_or(u32::MAX);
            (side / grid).max(1) * grid
        };
        Size::new(on_grid(size.width, columns), on_grid(size.height, rows))
    }

    /// What a run will need, in a sentence, with the run's settings; a refusal if it does not fit.
    fn plan(&self, request: &WanRequest) -> std::result::Result<WanPlan, ModelError> {
        let settings =
            WanSettings { loras: self.choices.loras.clone(), precision: self.precision, ..WanSettings::default() };
        WanPlan::fitting(self.model.files(), request, &settings, available_memory())
            .map_err(failed)?
            .map_err(|refusal| ModelError::Failed(refusal.to_string()))
    }

    /// `832×480, 65 frames: needs 7.9 GB, about 11 min on this machine`.
    ///
    /// # Errors
    /// [`ModelError::Failed`] if the model does not make such clips, or not on this machine.
    pub(crate) fn forecast(&self, request: &VideoRequest) -> std::result::Result<String, ModelError> {
        let request = self.wan_request(request)?;
        let plan = self.plan(&request)?;
        let size = format!("{}×{}, {} frames", request.width, request.height, request.frames);
        Ok(format!("{}, {size}: {}", self.name, plan.sentence(self.operations_per_second)))
    }

    fn hashed(&self) -> String {
        let mut hash = Sha256::new();
        // What was pulled was hashed file by file already.
        let pulled = std::fs::read(self.place.join(PULLED)).ok();
        if let Some(pulled) = pulled.and_then(|bytes| serde_json::from_slice::<Pulled>(&bytes).ok()) {
            for file in &pulled.files {
                let known = file.sha256.as_ref().or(file.git_oid.as_ref());
                hash.update(format!("{} {}\n", file.path, known.map_or("", String::as_str)));
            }
        } else {
            self.model.files().each_stored(&mut |name, bytes| {
                hash.update(name);
                hash.update(bytes);
            });
        }
        for (path, weight) in &self.choices.loras {
            hash.update(weight.to_le_bytes());
            // It could be read when the model was opened.
            hash.update(std::fs::read(path).unwrap_or_default());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl VideoModel for WanVideoModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn weights_hash(&self) -> &str {
        self.weights_hash.get_or_init(|| self.hashed())
    }

    fn frame_rate(&self) -> FrameRate {
        FrameRate::whole(self.model.family().frame_rate())
    }

    fn recipe(&self, request: &VideoRequest) -> Recipe {
        let family = self.model.family();
        let own = OwnChoices {
            num_inference_steps: family.steps(),
            guidance_scale: family.guidance()[0],
            solver: self.choices.solver.unwrap_or(self.model.files().solver).name(),
            precision: Some(self.precision.name()),
            candidates: None,
        };
        Recipe::new(request, &self.name, self.weights_hash(), &own)
    }

    fn generate(
        &self,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> std::result::Result<(), ModelError> {
        if progress(Progress { stage: Stage::Reading, done: 0, total: 1 }).is_break() {
            return Err(ModelError::Stopped);
        }
        let wanted = (request.seconds.get() * self.model.family().frame_rate()) as usize;
        let request = self.wan_request(request)?;
        let plan = self.plan(&request)?;
        let model = self.model.arranged(plan.streamed, plan.tiling);
        let inputs = model.prepare(&request).map_err(failed)?;
        let noise = model.noise(&request).map_err(failed)?;
        let steps = request.steps;
        let latents = model
            .denoise(&request, &inputs, noise, |done, _| {
                progress(Progress { stage: Stage::Sampling, done, total: steps })
            })
            .map_err(failed)?;
        drop(inputs);
        let emitted = Cell::new(0);
        let progress = RefCell::new(progress);
        let go_on = || progress.borrow_mut()(Progress { stage: Stage::Drawing, done: emitted.get(), total: wanted });
        let decoded = model.decode::<Ended>(latents, go_on, |piece| {
            for frame in frames_of(piece) {
                if emitted.get() == wanted {
                    break;
                }
                if go_on().is_break() {
                    return Err(Ended(ModelError::Stopped));
                }
                emitted.set(emitted.get() + 1);
                if emit(frame).is_break() {
                    return Err(Ended(ModelError::Sink));
                }
            }
            Ok(())
        });
        decoded.map_err(|Ended(error)| error)
    }
}

/// Why decoding ended early.
struct Ended(ModelError);

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self(failed(error))
    }
}

fn failed(error: Error) -> ModelError {
    match error {
        Error::Stopped => ModelError::Stopped,
        other => ModelError::Failed(other.to_string()),
    }
}

/// A name for a folder that has none.
fn slug(family: WanFamily) -> &'static str {
    match family {
        WanFamily::TextToVideo21 => "wan2.1-t2v",
        WanFamily::ImageToVideo21 => "wan2.1-i2v",
        WanFamily::TextImageToVideo22 => "wan2.2-ti2v",
        WanFamily::TextToVideo22 => "wan2.2-t2v",
        WanFamily::ImageToVideo22 => "wan2.2-i2v",
    }
}

/// Frames of `[1, 3, T, H, W]` in −1…1.
fn frames_of(piece: Tensor<5>) -> Vec<Frame> {
    let [_, _, frames, height, width] = piece.dims();
    let values: Vec<f32> =
        piece.permute([0, 2, 3, 4, 1]).into_data().try_to_vec().expect("decoded frames are 32-bit numbers");
    let size = Size::new(width as u32, height as u32);
    values
        .chunks_exact(3 * width * height)
        .take(frames)
        .map(|frame| {
            let bytes =
                frame.iter().map(|value| ((value / 2.0 + 0.5) * 255.0).round().clamp(0.0, 255.0) as u8).collect();
            Frame::new(size, bytes).expect("as many bytes as its size says")
        })
        .collect()
}

/// Multiplications and additions in a second, by a product like those of the model; a share of it is lost around products.
fn measured_speed(precision: Precision, device: &Device) -> f64 {
    const SIDE: usize = 768;
    const SHARE: f64 = 0.6;
    let format = match precision {
        _ if *device != Device::flex() => None,
        Precision::F32 => None,
        Precision::Bf16 => Some(Format::Bf16),
        Precision::Int8 => Some(Format::Int8),
    };
    let product: Box<dyn Fn()> = if let Some(format) = format {
        let ones = vec![1.0; SIDE * SIDE];
        let linear = Linear::new(format, &ones, SIDE, None);
        Box::new(move || {
            let mut rows = Rows::new(format);
            rows.set(&ones, SIDE);
            linear.forward(&rows, Then::Nothing, &mut vec![0.0; SIDE * SIDE]);
        })
    } else {
        let matrix = Tensor::<2>::ones([SIDE, SIDE], device);
        Box::new(move || {
            matrix.clone().matmul(matrix.clone()).sum().into_scalar::<f32>();
        })
    };
    product();
    let started = Instant::now();
    product();
    SHARE * 2.0 * (SIDE as f64).powi(3) / started.elapsed().as_secs_f64().max(1e-6)
}

/// Bytes that programs may still have, as the system says; all there could be where it does not.
fn available_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map_or(u64::MAX, |kilobytes| kilobytes * 1024)
}
