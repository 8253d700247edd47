//! The layouts that weights are published in: diffusers folders, and folders of files with the original names, whole or
//! repacked, told apart by what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::clip::ClipConfig;
use super::names;
use super::scheduler::{WanSchedulerConfig, WanSolver};
use super::transformer::WanTransformerConfig;
use super::umt5::Umt5Config;
use super::vae::WanVaeConfig;
use crate::checkpoint::{Checkpoint, read_json};
use crate::{Error, Result};

/// A member of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WanFamily {
    /// Wan 2.1, text to video: 1.3B and 14B.
    TextToVideo21,
    /// Wan 2.1, a first picture to video.
    ImageToVideo21,
    /// Wan 2.2, 5B: text, or a first picture, to video.
    TextImageToVideo22,
    /// Wan 2.2, two experts of 14B: text to video.
    TextToVideo22,
    /// Wan 2.2, two experts of 14B: a first picture to video.
    ImageToVideo22,
}

impl WanFamily {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextToVideo21 => "Wan 2.1 text to video",
            Self::ImageToVideo21 => "Wan 2.1 image to video",
            Self::TextImageToVideo22 => "Wan 2.2 text and image to video (5B)",
            Self::TextToVideo22 => "Wan 2.2 text to video (two experts)",
            Self::ImageToVideo22 => "Wan 2.2 image to video (two experts)",
        }
    }

    /// Frames a second of what it was trained on.
    pub fn frame_rate(self) -> u32 {
        match self {
            Self::TextImageToVideo22 => 24,
            _ => 16,
        }
    }

    /// Whether it cannot do without a first picture.
    pub fn needs_picture(self) -> bool {
        matches!(self, Self::ImageToVideo21 | Self::ImageToVideo22)
    }

    /// Whether it takes a first picture.
    pub fn reads_picture(self) -> bool {
        self.needs_picture() || self == Self::TextImageToVideo22
    }

    /// Guidance scales of the first and the second expert that its authors recommend, the same twice if there is one.
    pub fn guidance(self) -> [f32; 2] {
        match self {
            Self::TextToVideo22 => [4.0, 3.0],
            Self::ImageToVideo22 => [3.5, 3.5],
            _ => [5.0, 5.0],
        }
    }

    /// Steps that its authors recommend.
    pub fn steps(self) -> usize {
        match self {
            Self::TextToVideo22 | Self::ImageToVideo22 => 40,
            _ => 50,
        }
    }
}

/// A network's configuration and its tensors, their names brought to those of diffusers.
#[derive(Clone, Debug)]
pub struct Network<C> {
    /// The shape.
    pub config: C,
    /// The tensors.
    pub weights: Checkpoint,
}

/// A model's parts, found but not read.
#[derive(Clone, Debug)]
pub struct WanFiles {
    /// Which member of the family it is.
    pub family: WanFamily,
    /// The tokenizer.
    pub tokenizer: PathBuf,
    /// Prompts to states.
    pub text_encoder: Network<Umt5Config>,
    /// The denoiser, or the expert for much noise.
    pub transformer: Network<WanTransformerConfig>,
    /// The expert for little noise.
    pub transformer_2: Option<Network<WanTransformerConfig>>,
    /// The share of noise from which the first expert is asked.
    pub boundary_ratio: Option<f64>,
    /// Pixels and latents.
    pub vae: Network<WanVaeConfig>,
    /// Pictures to states.
    pub image_encoder: Option<Network<ClipConfig>>,
    /// Whether each latent frame has its own timestep.
    pub expand_timesteps: bool,
    /// How latents are moved, and how far timesteps are shifted towards noise.
    pub solver: WanSolver,
    /// How far timesteps are shifted towards noise.
    pub shift: f64,
}

/// `model_index.json`. What stands at a component's name is its class, or nothing.
#[derive(Deserialize)]
struct ModelIndex {
    #[serde(rename = "_class_name")]
    class_name: String,
    #[serde(default)]
    boundary_ratio: Option<f64>,
    #[serde(default)]
    expand_timesteps: Option<bool>,
    #[serde(default)]
    transformer: Option<[Option<String>; 2]>,
    #[serde(default)]
    transformer_2: Option<[Option<String>; 2]>,
    #[serde(default)]
    image_encoder: Option<[Option<String>; 2]>,
}

fn is_there(component: Option<&[Option<String>; 2]>) -> bool {
    matches!(component, Some([_, Some(_)]))
}

/// The timestep from which the first expert is asked, where no configuration says so. Source: the configurations of
/// Wan 2.2 T2V-A14B and I2V-A14B.
const BOUNDARY_TEXT: f64 = 0.875;
const BOUNDARY_IMAGE: f64 = 0.9;

impl WanFiles {
    /// Finds the parts of a model in a folder, or around one file of weights.
    ///
    /// # Errors
    /// [`Error::ModelFile`], naming what is missing, damaged or of no known kind.
    pub fn open(place: &Path) -> Result<Self> {
        if place.join("model_index.json").is_file() {
            return Self::open_diffusers(place);
        }
        Self::open_loose(place)
    }

    fn open_diffusers(folder: &Path) -> Result<Self> {
        let index_path = folder.join("model_index.json");
        let index: ModelIndex = read_json(&index_path)?;
        let refused = |reason: String| Error::ModelFile { path: index_path.clone(), reason };
        if !["WanPipeline", "WanImageToVideoPipeline"].contains(&index.class_name.as_str()) {
            return Err(refused(format!("pipelines of the class {} are not known here", index.class_name)));
        }
        if index.transformer.is_some() && !is_there(index.transformer.as_ref()) {
            return Err(refused("it has no transformer for much noise; both are needed here".into()));
        }
        let boundary_ratio = index.boundary_ratio;
        if boundary_ratio.is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)) {
            return Err(refused("its boundary_ratio is not between 0 and 1".into()));
        }
        let transformer = |name: &str| {
            let weights = Checkpoint::open_sharded(&folder.join(name), "diffusion_pytorch_model")?;
            Ok(Network { config: read_json(&folder.join(name).join("config.json"))?, weights })
        };
        let image_encoder = if is_there(index.image_encoder.as_ref()) {
            let folder = folder.join("image_encoder");
            Some(Network {
                config: read_json(&folder.join("config.json"))?,
                weights: Checkpoint::open_sharded(&folder, "model")?.renamed(names::image_encoder),
            })
        } else {
            None
        };
        let scheduler_path = folder.join("scheduler/scheduler_config.json");
        let scheduler: WanSchedulerConfig = read_json(&scheduler_path)?;
        let (solver, shift) = scheduler.solver().map_err(|reason| Error::ModelFile { path: scheduler_path, reason })?;
        let text_encoder = folder.join("text_encoder");
        let parts = Self {
            // Until the transformer is known.
            family: WanFamily::TextToVideo21,
            tokenizer: folder.join("tokenizer/tokenizer.json"),
            text_encoder: Network {
                config: read_json(&text_encoder.join("config.json"))?,
                weights: Checkpoint::open_sharded(&text_encoder, "model")?.renamed(names::text_encoder),
            },
            transformer: transformer("transformer")?,
            transformer_2: if is_there(index.transformer_2.as_ref()) {
                Some(transformer("transformer_2")?)
            } else {
                None
            },
            boundary_ratio,
            vae: Network {
                config: read_json(&folder.join("vae/config.json"))?,
                weights: Checkpoint::open_sharded(&folder.join("vae"), "diffusion_pytorch_model")?,
            },
            image_encoder,
            expand_timesteps: index.expand_timesteps.unwrap_or(false),
            solver,
            shift,
        };
        parts.with_family(folder)
    }

    /// Files of any names, in a folder or one below: each is what its tensors say.
    fn open_loose(place: &Path) -> Result<Self> {
        let folder = if place.is_file() { place.parent().unwrap_or(Path::new(".")) } else { place };
        let missing =
            |what: &str| Error::ModelFile { path: folder.to_owned(), reason: format!("there is no {what} in it") };
        let mut found: Vec<Loose> = Vec::new();
        let mut pickles: Vec<PathBuf> = Vec::new();
        for path in files_below(folder)? {
            match path.extension().and_then(|end| end.to_str()) {
                Some("safetensors" | "gguf") => found.extend(Loose::open(&path)?),
                Some("pth" | "pt" | "ckpt" | "bin") => pickles.push(path),
                _ => {}
            }
        }
        merge_shards(&mut found)?;
        // A file that was named is the transformer, whatever lies beside it.
        if place.is_file() {
            let named = found.iter().position(|loose| loose.path == place && loose.kind == Kind::Transformer);
            let Some(named) = named else {
                return Err(Error::ModelFile { path: place.to_owned(), reason: "it is no Wan transformer".into() });
            };
            let named = found.swap_remove(named);
            found.retain(|loose| loose.kind != Kind::Transformer);
            found.push(named);
        }
        let pickled = |what: &str, hint: &str| {
            let near = pickles.iter().find(|path| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.to_lowercase().contains(hint))
            });
            match near {
                Some(path) => Error::ModelFile {
                    path: path.clone(),
                    reason: format!(
                        "the {what} is a pickle, which could run any program when it is read; take it as .safetensors \
                         (from the repository whose name ends in -Diffusers, or a single-file repack)"
                    ),
                },
                None => missing(what),
            }
        };
        let mut take = |kind: Kind| {
            let at = found.iter().position(|loose| loose.kind == kind)?;
            Some(found.remove(at))
        };
        let (mut first, mut second) = (take(Kind::Transformer), take(Kind::Transformer));
        if let (Some(a), Some(b)) = (&first, &second) {
            let low = |loose: &Loose| loose.path.to_string_lossy().to_lowercase().contains("low");
            match (low(a), low(b)) {
                (true, false) => std::mem::swap(&mut first, &mut second),
                (false, true) => {}
                _ => {
                    return Err(Error::ModelFile {
                        path: folder.to_owned(),
                        reason: "there are several transformers in it: name the file that is wanted".into(),
                    });
                }
            }
        }
        let transformer = first.ok_or_else(|| missing("transformer"))?.transformer()?;
        let transformer_2 = second.map(Loose::transformer).transpose()?;
        let vae = take(Kind::Vae).ok_or_else(|| pickled("autoencoder", "vae"))?;
        let text_encoder = take(Kind::TextEncoder).ok_or_else(|| pickled("text encoder", "t5"))?;
        let image_encoder = match take(Kind::ImageEncoder) {
            Some(loose) if transformer.config.image_dim.is_some() => {
                let beside = loose.path.with_file_name("config.json");
                Some(Network { config: read_json(&beside)?, weights: loose.weights })
            }
            _ => None,
        };
        let tokenizer = ["tokenizer/tokenizer.json", "tokenizer.json", "google/umt5-xxl/tokenizer.json"]
            .iter()
            .map(|path| folder.join(path))
            .find(|path| path.is_file())
            .ok_or_else(|| missing("tokenizer.json"))?;
        let vae_config = folder.join("vae/config.json");
        let expand_timesteps = transformer.config.in_channels == 48;
        let parts = Self {
            family: WanFamily::TextToVideo21,
            tokenizer,
            text_encoder: Network { config: Umt5Config::of(&text_encoder.weights)?, weights: text_encoder.weights },
            boundary_ratio: transformer_2.as_ref().map(|_| {
                if transformer.config.in_channels == transformer.config.out_channels {
                    BOUNDARY_TEXT
                } else {
                    BOUNDARY_IMAGE
                }
            }),
            transformer,
            transformer_2,
            vae: Network {
                config: if vae_config.is_file() { read_json(&vae_config)? } else { WanVaeConfig::of(&vae.weights)? },
                weights: vae.weights,
            },
            image_encoder,
            expand_timesteps,
            solver: WanSolver::UniPc,
            shift: if expand_timesteps { 5.0 } else { 3.0 },
        };
        parts.with_family(folder)
    }

    /// Says which member of the family the parts are, if they are one.
    fn with_family(self, folder: &Path) -> Result<Self> {
        let refused = |reason: String| Err(Error::ModelFile { path: folder.to_owned(), reason });
        // What a run will need is counted from it before it is read.
        if let Err(reason) = self.vae.config.check() {
            return refused(reason);
        }
        let config = &self.transformer.config;
        let latents = self.vae.config.z_dim;
        if config.out_channels != latents {
            return refused(format!("the transformer has {} latent channels, the vae {latents}", config.out_channels));
        }
        if config.text_dim != self.text_encoder.config.d_model {
            return refused(format!(
                "the transformer reads text states of width {}, the text encoder's are {}",
                config.text_dim, self.text_encoder.config.d_model
            ));
        }
        if self.transformer_2.is_some() != self.boundary_ratio.is_some() {
            return refused("two transformers need a boundary_ratio, and one has no use for it".into());
        }
        if let Some(second) = &self.transformer_2
            && (second.config.in_channels, second.config.out_channels) != (config.in_channels, config.out_channels)
        {
            return refused("its two transformers do not read the same latents".into());
        }
        match (&self.image_encoder, config.image_dim) {
            (None, Some(_)) => return refused("the transformer reads pictures, and there is no image encoder".into()),
            (Some(encoder), Some(width)) if encoder.config.hidden_size != width => {
                return refused("the image encoder does not fit the transformer".into());
            }
            _ => {}
        }
        // A condition is the latents of the picture and four channels that say where it is.
        let conditioned = config.in_channels == 2 * latents + self.vae.config.temporal_compression();
        let family = match (config.in_channels == latents, conditioned, self.transformer_2.is_some()) {
            (true, _, false) if self.expand_timesteps => WanFamily::TextImageToVideo22,
            (true, _, false) => WanFamily::TextToVideo21,
            (true, _, true) => WanFamily::TextToVideo22,
            (false, true, false) if config.image_dim.is_some() => WanFamily::ImageToVideo21,
            (false, true, true) => WanFamily::ImageToVideo22,
            _ => {
                return refused(format!(
                    "a transformer of {} channels in and {} out is none that is known here",
                    config.in_channels, config.out_channels
                ));
            }
        };
        Ok(Self { family, ..self })
    }

    /// Every tensor of every part, in order, as it lies in its file.
    pub fn each_stored(&self, take: &mut dyn FnMut(&str, &[u8])) {
        for network in [Some(&self.transformer), self.transformer_2.as_ref()].into_iter().flatten() {
            network.weights.each_stored(take);
        }
        self.text_encoder.weights.each_stored(take);
        self.vae.weights.each_stored(take);
        if let Some(encoder) = &self.image_encoder {
            encoder.weights.each_stored(take);
        }
    }

    /// The device-independent size of everything: bytes of the weights in their files.
    pub fn stored_bytes(&self) -> u64 {
        let networks = [Some(&self.transformer), self.transformer_2.as_ref()];
        let transformers: u64 = networks.into_iter().flatten().map(|network| network.weights.stored_bytes()).sum();
        let image = self.image_encoder.as_ref().map_or(0, |network| network.weights.stored_bytes());
        transformers + self.vae.weights.stored_bytes() + self.text_encoder.weights.stored_bytes() + image
    }
}

/// What a file of weights is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Transformer,
    Vae,
    TextEncoder,
    ImageEncoder,
}

/// A file, its tensors with our names.
struct Loose {
    path: PathBuf,
    kind: Kind,
    weights: Checkpoint,
}

impl Loose {
    /// Nothing for a file that is no part of such a model, a LoRA among others.
    fn open(path: &Path) -> Result<Option<Self>> {
        let weights = Checkpoint::open(path)?;
        let has = |end: &str| weights.names().any(|name| name.ends_with(end));
        let starts = |begin: &str| weights.names().any(|name| name.starts_with(begin));
        let (kind, weights) = if has("lora_A.weight") || has("lora_down.weight") {
            return Ok(None);
        } else if has("vace_patch_embedding.weight") {
            return Err(Error::ModelFile {
                path: path.to_owned(),
                reason: "VACE transformers are not read yet".into(),
            });
        } else if has("attn1.to_q.weight") || has("self_attn.q.weight") || has("ffn.net.0.proj.weight") {
            (Kind::Transformer, weights.renamed(|name| Some(names::transformer(name))))
        } else if starts("decoder.") && starts("encoder.") && (has("conv1.weight") || has("conv_in.weight")) {
            let residual =
                has("downsamples.0.downsamples.0.residual.2.weight") || starts("decoder.up_blocks.0.upsampler.");
            (Kind::Vae, weights.renamed(|name| names::vae(name, residual)))
        } else if has("SelfAttention.q.weight") || starts("enc.blk.") || starts("token_embedding.") {
            (Kind::TextEncoder, weights.renamed(names::text_encoder))
        } else if has("pre_layrnorm.weight") {
            (Kind::ImageEncoder, weights.renamed(names::image_encoder))
        } else {
            return Ok(None);
        };
        Ok(Some(Self { path: path.to_owned(), kind, weights }))
    }

    fn transformer(self) -> Result<Network<WanTransformerConfig>> {
        // Beside it, in the words of diffusers or of the original: only the former is of use, the latter says what the tensors
        // say too.
        let beside = self.path.with_file_name("config.json");
        let config = match read_json::<WanTransformerConfig>(&beside) {
            Ok(config) => config,
            Err(_) => WanTransformerConfig::of(&self.weights)?,
        };
        Ok(Network { config, weights: self.weights })
    }
}

/// Shards are files of one folder whose names differ in a number alone.
fn merge_shards(found: &mut Vec<Loose>) -> Result<()> {
    let mut wholes: BTreeMap<(PathBuf, String), Loose> = BTreeMap::new();
    let mut rest = Vec::new();
    for loose in found.drain(..) {
        let name = loose.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((stem, _)) = name.split_once("-0").filter(|(_, end)| end.contains("-of-")) else {
            rest.push(loose);
            continue;
        };
        let folder = loose.path.parent().unwrap_or(Path::new("")).to_owned();
        let key = (folder, stem.to_owned());
        match wholes.remove(&key) {
            Some(whole) => {
                let weights = whole.weights.joined(loose.weights)?;
                wholes.insert(key, Loose { weights, ..whole });
            }
            None => {
                wholes.insert(key, loose);
            }
        }
    }
    found.extend(rest);
    found.extend(wholes.into_values());
    Ok(())
}

/// Files of a folder and of the folders in it, in order; no deeper, and no more than a model has.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    const MOST_FILES: usize = 1000;
    let unread = |path: &Path, e: std::io::Error| Error::ModelFile { path: path.to_owned(), reason: e.to_string() };
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder).map_err(|e| unread(folder, e))?;
        let paths = entries.take(MOST_FILES).map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(|e| unread(folder, e))?;
        paths.sort();
        Ok(paths)
    };
    let mut files = Vec::new();
    for path in list(folder)? {
        if path.is_dir() {
            files.extend(list(&path)?.into_iter().filter(|path| path.is_file()));
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
