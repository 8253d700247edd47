//! A model folder: the layout of diffusers, one sub-folder a network, each with `config.json` and
//! `model.safetensors`; parameters have the paths of the fields in the code.

use std::path::Path;

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::{DType, Device};
use serde::{Serialize, de::DeserializeOwned};

use crate::dit::{Dit, DitConfig};
use crate::text::{TextConfig, TextEncoder};
use crate::tokenizer::PromptTokenizer;
use crate::vae::{Vae, VaeConfig};
use crate::{Error, Result};

/// Folder of the text encoder in a model folder.
pub const TEXT_ENCODER: &str = "text_encoder";
/// Folder of the diffusion transformer in a model folder.
pub const TRANSFORMER: &str = "transformer";
/// Folder of the autoencoder in a model folder.
pub const VAE: &str = "vae";
/// The tokenizer in a model folder.
pub const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// All networks of the paper family, ready to run.
#[derive(Debug)]
pub struct PaperModel {
    /// Prompts to ids.
    pub tokenizer: PromptTokenizer,
    /// Ids to states.
    pub text_encoder: TextEncoder,
    /// The denoiser.
    pub transformer: Dit,
    /// Pixels and latents.
    pub vae: Vae,
}

impl PaperModel {
    /// Reads a model folder.
    ///
    /// # Errors
    /// [`Error::ModelFile`] with the first file that is missing, damaged or does not fit its configuration.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        Ok(Self {
            tokenizer: PromptTokenizer::open(&folder.join(TOKENIZER))?,
            text_encoder: open_text_encoder(folder, device)?,
            transformer: open_network(&folder.join(TRANSFORMER), |config: &DitConfig| Dit::new(config, device))?,
            vae: open_vae(folder, device)?,
        })
    }
}

/// Reads the text encoder of a model folder.
///
/// # Errors
/// [`Error::ModelFile`].
pub fn open_text_encoder(folder: &Path, device: &Device) -> Result<TextEncoder> {
    open_network(&folder.join(TEXT_ENCODER), |config: &TextConfig| TextEncoder::new(config, device))
}

/// Reads the autoencoder of a model folder.
///
/// # Errors
/// [`Error::ModelFile`].
pub fn open_vae(folder: &Path, device: &Device) -> Result<Vae> {
    open_network(&folder.join(VAE), |config: &VaeConfig| Vae::new(config, device))
}

/// Reads one network: its `config.json`, then its `model.safetensors`.
///
/// # Errors
/// [`Error::ModelFile`] if a file is missing, damaged, or holds other tensors than the network needs.
pub fn open_network<C: DeserializeOwned, M: Module>(folder: &Path, make: impl FnOnce(&C) -> M) -> Result<M> {
    let config_path = folder.join("config.json");
    let failed = |path: &Path, reason: String| Error::ModelFile { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(&config_path).map_err(|e| failed(&config_path, e.to_string()))?;
    let config: C = serde_json::from_str(&text).map_err(|e| failed(&config_path, e.to_string()))?;
    let weights_path = folder.join("model.safetensors");
    if !weights_path.exists() {
        return Err(failed(&weights_path, "the file is missing".into()));
    }
    let mut network = make(&config);
    // Stored in 16 bits, computed in 32: the CPU has no faster 16-bit arithmetic.
    let mut store = SafetensorsStore::from_file(&weights_path).with_from_adapter(FloatCastAdapter::to(DType::F32));
    network.load_from(&mut store).map_err(|e| failed(&weights_path, e.to_string()))?;
    Ok(network)
}

/// Writes one network beside its configuration, weights in 16 bits.
///
/// # Errors
/// [`Error::ModelFile`] if a file cannot be written.
pub fn save_network<C: Serialize, M: Module>(folder: &Path, config: &C, network: &M) -> Result<()> {
    let failed = |path: &Path, reason: String| Error::ModelFile { path: path.to_owned(), reason };
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e.to_string()))?;
    let config_path = folder.join("config.json");
    let text = serde_json::to_string_pretty(config).map_err(|e| failed(&config_path, e.to_string()))?;
    std::fs::write(&config_path, text + "\n").map_err(|e| failed(&config_path, e.to_string()))?;
    let weights_path = folder.join("model.safetensors");
    let mut store = SafetensorsStore::from_file(&weights_path)
        .overwrite(true)
        .with_to_adapter(FloatCastAdapter::to(DType::F16));
    network.save_into(&mut store).map_err(|e| failed(&weights_path, e.to_string()))
}
