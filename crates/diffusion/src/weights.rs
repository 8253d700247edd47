//! A model folder: the layout of diffusers, one sub-folder a network, each with `config.json` and
//! `model.safetensors`; parameters have the paths of the fields in the code.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::{DType, Device};
use serde::{Serialize, de::DeserializeOwned};

use crate::dit::{Dit, DitConfig, TextStates};
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

/// Where the files of a model are.
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// In a folder.
    Folder(PathBuf),
    /// In the program itself: paths as in a folder, with their bytes.
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl PaperModel {
    /// Reads a whole model.
    ///
    /// # Errors
    /// [`Error::ModelFile`] with the first file that is missing, damaged or does not fit its configuration.
    pub fn open(files: &ModelFiles, device: &Device) -> Result<Self> {
        Ok(Self {
            tokenizer: PromptTokenizer::read(files)?,
            text_encoder: files.network(TEXT_ENCODER, |config: &TextConfig| TextEncoder::new(config, device))?,
            transformer: files.network(TRANSFORMER, |config: &DitConfig| Dit::new(config, device))?,
            vae: files.network(VAE, |config: &VaeConfig| Vae::new(config, device))?,
        })
    }

    /// The states of one prompt.
    pub fn read_prompt(&self, prompt: &str, device: &Device) -> TextStates {
        self.text_encoder.forward(&[self.tokenizer.encode(prompt)], device)
    }
}

impl ModelFiles {
    /// The bytes of one file, by its path in the model.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if it is not there or cannot be read.
    pub fn read(&self, path: &str) -> Result<Cow<'static, [u8]>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(path);
                std::fs::read(&path).map(Cow::Owned).map_err(|e| Error::ModelFile { path, reason: e.to_string() })
            }
            Self::Embedded(files) => files
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, bytes)| Cow::Borrowed(*bytes))
                .ok_or_else(|| Error::ModelFile { path: path.into(), reason: "it is not part of this program".into() }),
        }
    }

    /// Reads one network: its `config.json`, then its `model.safetensors`.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if a file is missing, damaged, or holds other tensors than the network needs.
    pub fn network<C: DeserializeOwned, M: Module>(&self, name: &str, make: impl FnOnce(&C) -> M) -> Result<M> {
        let file = |file: &str| if name.is_empty() { file.to_owned() } else { format!("{name}/{file}") };
        let (config_path, weights_path) = (file("config.json"), file("model.safetensors"));
        let config: C =
            serde_json::from_slice(&self.read(&config_path)?).map_err(|e| self.damaged(&config_path, &e))?;
        let bytes = self.read(&weights_path)?;
        let mut network = make(&config);
        // Stored in 16 bits, computed in 32: the CPU has no faster 16-bit arithmetic.
        let mut store =
            SafetensorsStore::from_bytes(Some(bytes.into_owned())).with_from_adapter(FloatCastAdapter::to(DType::F32));
        network.load_from(&mut store).map_err(|e| self.damaged(&weights_path, &e))?;
        Ok(network)
    }

    /// The error for a file that does not hold what it should.
    pub(crate) fn damaged(&self, path: &str, reason: &dyn std::fmt::Display) -> Error {
        let path = match self {
            Self::Folder(folder) => folder.join(path),
            Self::Embedded(_) => path.into(),
        };
        Error::ModelFile { path, reason: format!("the file is damaged or does not fit ({reason})") }
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

/// Reads one network from its own folder.
///
/// # Errors
/// As [`ModelFiles::network`].
pub fn open_network<C: DeserializeOwned, M: Module>(folder: &Path, make: impl FnOnce(&C) -> M) -> Result<M> {
    ModelFiles::Folder(folder.to_owned()).network("", make)
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
