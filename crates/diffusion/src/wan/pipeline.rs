//! From a prompt to frames, written out: text, noise, the loop, pixels. Each network is in memory while it is needed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::clip::{Clip, prepared};
use super::layout::{Network, WanFamily, WanFiles};
use super::names;
use super::packed::Precision;
use super::prompt::WanTokenizer;
use super::scheduler::{WanSchedule, WanSolver, WanStepper};
use super::transformer::{WanContext, WanTransformer, WanTransformerConfig};
use super::umt5::Umt5;
use super::vae::{WanTiling, WanVae, WanVaePart};
use crate::checkpoint::{Lora, LoraReport};
use crate::flow::seeded_noise;
use crate::step_cache::StepCache;
use crate::{Error, Result};

/// How a model is run on this machine.
#[derive(Clone, Debug, Default)]
pub struct WanSettings {
    /// Additions to the transformer's weights, each with its weight.
    pub loras: Vec<(PathBuf, f32)>,
    /// What the transformer's blocks multiply in.
    pub precision: Precision,
    /// Leave the transformer's blocks in their file and read each when it is needed.
    pub streamed: bool,
    /// How frames are cut when they are decoded.
    pub tiling: Option<WanTiling>,
}

/// A model, ready to run.
#[derive(Clone, Debug)]
pub struct WanModel {
    files: WanFiles,
    tokenizer: Arc<WanTokenizer>,
    settings: WanSettings,
    device: Device,
    merged: Vec<LoraReport>,
}

/// A first picture: three bytes a pixel, row by row, as large as the clip.
#[derive(Clone, Debug)]
pub struct WanPicture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 · width · height` bytes.
    pub rgb: Vec<u8>,
}

/// What one run makes.
#[derive(Clone, Debug)]
pub struct WanRequest {
    /// What is to be seen.
    pub prompt: String,
    /// What guidance points away from.
    pub negative_prompt: String,
    /// The first frame, for models that take one.
    pub picture: Option<WanPicture>,
    /// Frames: 1 plus a multiple of 4.
    pub frames: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Evaluations of the network, or pairs of them with guidance.
    pub steps: usize,
    /// Guidance scales of the first and the second expert; 1 is none, and half the work.
    pub guidance: [f32; 2],
    /// Guidance is applied in this part of the way alone: from its end, 0, to pure noise, 1.
    pub guidance_interval: (f32, f32),
    /// Share of the velocity that may change before it is computed anew; 0 computes it at every step.
    pub step_cache: f32,
    /// How latents are moved.
    pub solver: WanSolver,
    /// How far timesteps are shifted towards noise.
    pub shift: f64,
    /// What the noise is drawn from.
    pub seed: u64,
}

/// What goes into the networks at every step.
#[derive(Clone, Debug)]
pub struct WanInputs {
    /// States of the prompt, `[1, L, D]`.
    pub text: Tensor<3>,
    /// States of the negative prompt.
    pub negative: Tensor<3>,
    /// States of the picture, in models with an image encoder.
    pub image: Option<Tensor<3>>,
    /// Channels beside the latents: where a picture is given, and its latents. `[1, 4 + C, T, H, W]`.
    pub condition: Option<Tensor<5>>,
    /// Latents of the first frame, which stay as they are: `[1, C, 1, H, W]`.
    pub pinned: Option<Tensor<5>>,
}

impl WanModel {
    /// Opens a model: a folder in the layout of diffusers or with original names, or one file of weights among others.
    ///
    /// # Errors
    /// [`Error::ModelFile`], naming what is missing, damaged or does not fit.
    pub fn open(place: &Path, settings: WanSettings, device: Device) -> Result<Self> {
        Self::of(WanFiles::open(place)?, settings, device)
    }

    /// A model of parts that were found.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if the tokenizer is damaged or a LoRA does not fit.
    pub fn of(mut files: WanFiles, settings: WanSettings, device: Device) -> Result<Self> {
        let tokenizer = Arc::new(WanTokenizer::read(&files.tokenizer)?);
        let mut merged = Vec::new();
        for (path, weight) in &settings.loras {
            let lora = Lora::open(path)?;
            merged.push(files.transformer.weights.merge(&lora, *weight, |layer| Some(names::lora_layer(layer)))?);
            if let Some(second) = &mut files.transformer_2 {
                second.weights.merge(&lora, *weight, |layer| Some(names::lora_layer(layer)))?;
            }
        }
        Ok(Self { files, tokenizer, settings, device, merged })
    }

    /// The same model, arranged otherwise in memory.
    #[must_use]
    pub fn arranged(&self, streamed: bool, tiling: Option<WanTiling>) -> Self {
        let settings = WanSettings { streamed, tiling, ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// Which member of the family it is.
    pub fn family(&self) -> WanFamily {
        self.files.family
    }

    /// Its parts.
    pub fn files(&self) -> &WanFiles {
        &self.files
    }

    /// What became of the LoRAs, in their order.
    pub fn loras(&self) -> &[LoraReport] {
        &self.merged
    }

    /// Pixels a side that sizes must be multiples of: whole patches of latents.
    pub fn grid(&self) -> [usize; 2] {
        let [_, rows, columns] = self.files.transformer.config.patch_size;
        let side = self.files.vae.config.spatial_compression();
        [side * rows, side * columns]
    }

    /// States of prompts, `[1, L, D]` each. The encoder is gone from memory when they are there.
    ///
    /// # Errors
    /// [`Error::ModelFile`].
    pub fn read_prompts(&self, prompts: &[&str]) -> Result<Vec<Tensor<3>>> {
        let ids = prompts.iter().map(|prompt| self.tokenizer.encode(prompt)).collect::<Result<Vec<_>>>()?;
        let Network { config, weights } = &self.files.text_encoder;
        Umt5::new(config, weights.clone())?.encode(&ids, &self.device)
    }

    /// The ids of a prompt.
    ///
    /// # Errors
    /// [`Error::ModelFile`].
    pub fn tokens(&self, prompt: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(prompt)
    }

    /// The autoencoder, or a half of it.
    ///
    /// # Errors
    /// [`Error::ModelFile`].
    pub fn vae(&self, part: WanVaePart) -> Result<WanVae> {
        WanVae::read(&self.files.vae.config, &self.files.vae.weights, part, &self.device)
    }

    /// The denoiser: the first expert, or the second.
    ///
    /// # Errors
    /// [`Error::ModelFile`]; [`Error::Given`] if there is no second.
    pub fn transformer(&self, second: bool) -> Result<WanTransformer> {
        let network: &Network<WanTransformerConfig> = if second {
            let second = self.files.transformer_2.as_ref();
            second.ok_or_else(|| Error::Given("this model has one transformer".into()))?
        } else {
            &self.files.transformer
        };
        let WanSettings { precision, streamed, .. } = self.settings;
        WanTransformer::read(&network.config, &network.weights, precision, streamed, &self.device)
    }

    /// Everything that is computed before the loop: states of prompts and picture, latents of the picture.
    ///
    /// # Errors
    /// [`Error::Given`] for a picture that is missing, unwanted or of another size; [`Error::NotDivisible`];
    /// [`Error::FrameCount`]; [`Error::ModelFile`].
    pub fn prepare(&self, request: &WanRequest) -> Result<WanInputs> {
        let family = self.files.family;
        self.latent_shape(request)?;
        match &request.picture {
            None if family.needs_picture() => {
                return Err(Error::Given("this model needs a first picture".into()));
            }
            Some(_) if !family.reads_picture() => {
                return Err(Error::Given("this model makes clips of text alone: it takes no first picture".into()));
            }
            Some(picture) => {
                let fits = (picture.width, picture.height) == (request.width, request.height)
                    && picture.rgb.len() == 3 * picture.width * picture.height;
                if !fits {
                    return Err(Error::Given("the first picture is not as large as the clip".into()));
                }
            }
            None => {}
        }
        let [text, negative]: [Tensor<3>; 2] =
            self.read_prompts(&[&request.prompt, &request.negative_prompt])?.try_into().expect("one for each prompt");
        let mut inputs = WanInputs { text, negative, image: None, condition: None, pinned: None };
        if let Some(picture) = &request.picture {
            if family == WanFamily::TextImageToVideo22 {
                let vae = self.vae(WanVaePart::Encoder)?;
                inputs.pinned = Some(vae.encode(self.picture_video(picture, 1), self.settings.tiling)?);
            } else {
                inputs.condition = Some(self.condition(picture, request.frames)?);
            }
            if let Some(Network { config, weights }) = &self.files.image_encoder {
                let clip = Clip::read(config, weights, &self.device)?;
                let pixels = prepared(&picture.rgb, picture.width, picture.height, config.image_size, &self.device);
                inputs.image = Some(clip.encode(pixels)?);
            }
        }
        Ok(inputs)
    }

    /// Channels that tell a transformer of the first frame: four that say where it is, and its latents.
    fn condition(&self, picture: &WanPicture, frames: usize) -> Result<Tensor<5>> {
        let vae = self.vae(WanVaePart::Encoder)?;
        let latents = vae.encode(self.picture_video(picture, frames), self.settings.tiling)?;
        let [_, _, latent_frames, rows, columns] = latents.dims();
        let channels = vae.config().temporal_compression();
        let mut given = Tensor::ones([1, channels, 1, rows, columns], &self.device);
        if latent_frames > 1 {
            let open = Tensor::zeros([1, channels, latent_frames - 1, rows, columns], &self.device);
            given = Tensor::cat(vec![given, open], 2);
        }
        Ok(Tensor::cat(vec![given, latents], 1))
    }

    /// A picture in −1…1, with grey frames after it: `[1, 3, frames, H, W]`.
    fn picture_video(&self, picture: &WanPicture, frames: usize) -> Tensor<5> {
        let (height, width) = (picture.height, picture.width);
        let values: Vec<f32> = (0..3)
            .flat_map(|colour| picture.rgb[colour..].iter().step_by(3).map(|byte| f32::from(*byte) / 255.0 * 2.0 - 1.0))
            .collect();
        let data = burn::tensor::TensorData::new(values, [1, 3, 1, height, width]);
        let first = Tensor::from_data(data, &self.device);
        if frames == 1 {
            return first;
        }
        Tensor::cat(vec![first, Tensor::zeros([1, 3, frames - 1, height, width], &self.device)], 2)
    }

    /// `[1, C, T, H, W]` of the latents for a request.
    ///
    /// # Errors
    /// [`Error::NotDivisible`] or [`Error::FrameCount`].
    pub fn latent_shape(&self, request: &WanRequest) -> Result<[usize; 5]> {
        let vae = &self.files.vae.config;
        let frames = vae.latent_frames(request.frames)?;
        let [grid_rows, grid_columns] = self.grid();
        let (height, width) = (request.height, request.width);
        if height == 0 || width == 0 || !height.is_multiple_of(grid_rows) || !width.is_multiple_of(grid_columns) {
            return Err(Error::NotDivisible { height, width, grid: grid_rows.max(grid_columns) });
        }
        let side = vae.spatial_compression();
        Ok([1, vae.z_dim, frames, height / side, width / side])
    }

    /// Noise for a request, which depends on its seed alone.
    ///
    /// # Errors
    /// As [`WanModel::latent_shape`].
    pub fn noise(&self, request: &WanRequest) -> Result<Tensor<5>> {
        Ok(seeded_noise(self.latent_shape(request)?, request.seed, &self.device))
    }

    /// The denoising loop. `progress` is told the steps done before each step, with the latents as they are, and may stop.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::Given`] if inputs do not fit; [`Error::ModelFile`].
    pub fn denoise(
        &self,
        request: &WanRequest,
        inputs: &WanInputs,
        noise: Tensor<5>,
        mut progress: impl FnMut(usize, &Tensor<5>) -> ControlFlow<()>,
    ) -> Result<Tensor<5>> {
        // 1. The schedule.
        let schedule = WanSchedule::new(request.solver, request.steps.max(1), request.shift);
        let mut stepper = WanStepper::new(request.solver, &schedule);
        let boundary = self.files.boundary_ratio.map(|ratio| (ratio * 1000.0) as f32);

        // 2. The loop. An expert is in memory while it is asked.
        let mut latents = noise;
        let mut expert: Option<Expert> = None;
        let mut cache = StepCache::new(request.step_cache);
        let (low, high) = request.guidance_interval;
        for (index, &timestep) in schedule.timesteps.iter().enumerate() {
            if progress(index, &latents).is_break() {
                return Err(Error::Stopped);
            }
            let second = boundary.is_some_and(|boundary| timestep < boundary);
            let guidance = request.guidance[usize::from(second)];
            let asked = match expert.take() {
                Some(expert) if expert.second == second => expert,
                // The other one is dropped before this one is read.
                other => {
                    drop(other);
                    cache = StepCache::new(request.step_cache);
                    Expert::new(self, second, inputs)?
                }
            };

            // 3. What the network sees: a pinned first frame without noise, a condition in channels of its own.
            let (mut input, mut timesteps) = (latents.clone(), vec![timestep]);
            if let Some(pinned) = &inputs.pinned {
                let frames = latents.dims()[2];
                input = with_first_frame(input, pinned);
                timesteps = (0..frames).map(|frame| if frame == 0 { 0.0 } else { timestep }).collect();
            }
            if let Some(condition) = &inputs.condition {
                input = Tensor::cat(vec![input, condition.clone()], 1);
            }
            let guided = guidance > 1.0 && (low..=high).contains(&(timestep / 1000.0));
            let velocity = cache.velocity(&latents, || -> Result<Tensor<5>> {
                let towards = asked.transformer.forward(input.clone(), &timesteps, &asked.context)?;
                match &asked.negative {
                    Some(negative) if guided => {
                        let away = asked.transformer.forward(input, &timesteps, negative)?;
                        Ok(away.clone() + (towards - away) * guidance)
                    }
                    _ => Ok(towards),
                }
            })?;
            latents = stepper.step(velocity, latents);
            expert = Some(asked);
        }
        if let Some(pinned) = &inputs.pinned {
            latents = with_first_frame(latents, pinned);
        }
        Ok(latents)
    }

    /// Pixels of latents, in pieces of one latent frame: `emit` is given each, `[1, 3, frames, H, W]` in −1…1, when it
    /// is there, or in tiles when all are. `progress` is asked before each piece, of each tile too, and may stop.
    ///
    /// # Errors
    /// Those of `emit`; [`Error::Stopped`]; [`Error::ModelFile`].
    pub fn decode<E: From<Error>>(
        &self,
        latents: Tensor<5>,
        progress: impl FnMut() -> ControlFlow<()>,
        emit: impl FnMut(Tensor<5>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.vae(WanVaePart::Decoder)?.decode(latents, self.settings.tiling, progress, emit)
    }
}

/// A transformer with its prompts.
struct Expert {
    second: bool,
    transformer: WanTransformer,
    context: WanContext,
    negative: Option<WanContext>,
}

impl Expert {
    fn new(model: &WanModel, second: bool, inputs: &WanInputs) -> Result<Self> {
        let transformer = model.transformer(second)?;
        let context = transformer.context(inputs.text.clone(), inputs.image.clone())?;
        let negative = Some(transformer.context(inputs.negative.clone(), inputs.image.clone())?);
        Ok(Self { second, transformer, context, negative })
    }
}

/// Latents whose first frame is another one.
fn with_first_frame(latents: Tensor<5>, first: &Tensor<5>) -> Tensor<5> {
    let frames = latents.dims()[2];
    if frames == 1 {
        return first.clone();
    }
    Tensor::cat(vec![first.clone(), latents.narrow(2, 1, frames - 1)], 2)
}
