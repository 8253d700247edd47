//! A model folder: the layout of diffusers, one sub-folder a network, each with `config.json` and
//! `model.safetensors`; parameters have the paths of the fields in the code.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore};
use burn::tensor::{DType, Device};
use serde::{Serialize, de::DeserializeOwned};

use crate::dit::{Dit, DitConfig, TextStates};
use crate::sampling::SamplingConfig;
use crate::text::{TextConfig, TextEncoder};
use crate::tokenizer::PromptTokenizer;
use crate::upscaler::{Upscaler, UpscalerConfig};
use crate::vae::{Vae, VaeConfig};
use crate::{Error, Result};

/// Folder of the text encoder in a model folder.
pub const TEXT_ENCODER: &str = "text_encoder";
/// Folder of the diffusion transformer in a model folder.
pub const TRANSFORMER: &str = "transformer";
/// Folder of the autoencoder in a model folder.
pub const VAE: &str = "vae";
/// Folder of the upscaler in a model folder; a model may do without.
pub const UPSCALER: &str = "upscaler";
/// The tokenizer in a model folder.
pub const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// How a model samples, in a model folder.
pub const SCHEDULER: &str = "scheduler/scheduler_config.json";

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
    /// Frames to larger ones, if the model brings what does that.
    pub upscaler: Option<Upscaler>,
    /// How it samples where nobody says otherwise.
    pub sampling: SamplingConfig,
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
            upscaler: files.upscaler(device)?,
            sampling: serde_json::from_slice(&files.read(SCHEDULER)?).map_err(|e| files.damaged(SCHEDULER, &e))?,
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
            Self::Embedded(files) => {
                files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| Cow::Borrowed(*bytes)).ok_or_else(|| {
                    Error::ModelFile { path: path.into(), reason: "it is not part of this program".into() }
                })
            }
        }
    }

    /// Whether there is such a file, by its path in the model.
    pub fn has(&self, path: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.join(path).is_file(),
            Self::Embedded(files) => files.iter().any(|(name, _)| *name == path),
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
        let loaded = network.load_from(&mut store).map_err(|e| self.damaged(&weights_path, &e))?;
        if let Some(tensor) = loaded.unused.first() {
            return Err(self.damaged(&weights_path, &format!("the network has no {tensor}")));
        }
        Ok(network)
    }

    /// The upscaler, if there is one.
    fn upscaler(&self, device: &Device) -> Result<Option<Upscaler>> {
        let is_there = self.has(&format!("{UPSCALER}/config.json"));
        is_there.then(|| self.network(UPSCALER, |config: &UpscalerConfig| Upscaler::new(config, device))).transpose()
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
    let mut store =
        SafetensorsStore::from_file(&weights_path).overwrite(true).with_to_adapter(FloatCastAdapter::to(DType::F16));
    network.save_into(&mut store).map_err(|e| failed(&weights_path, e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::Tensor;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::testing::{values, with_random_weights};

    /// A new folder that goes away with the test.
    struct TestFolder(PathBuf);

    impl TestFolder {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("misora-weights-{}-{count}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for TestFolder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn tiny_dit() -> DitConfig {
        DitConfig { latent_channels: 4, width: 32, heads: 2, blocks: 2, mlp_width: 48, text_width: 12 }
    }

    fn tiny_text() -> TextConfig {
        TextConfig { vocabulary: 40, max_tokens: 12, width: 12, heads: 2, blocks: 2, registers: 3 }
    }

    fn tiny_vae() -> VaeConfig {
        VaeConfig {
            fine_width: 16,
            coarse_width: 24,
            latent_channels: 4,
            latent_mean: vec![0.1, 0.2, -0.3, 0.4],
            latent_std: vec![1.0, 2.0, 0.5, 0.25],
            ..VaeConfig::nano()
        }
    }

    fn new_dit(config: &DitConfig) -> Dit {
        with_random_weights(Dit::new(config, &Device::flex()), 1)
    }

    fn new_text(config: &TextConfig) -> TextEncoder {
        with_random_weights(TextEncoder::new(config, &Device::flex()), 2)
    }

    fn new_vae(config: &VaeConfig) -> Vae {
        with_random_weights(Vae::new(config, &Device::flex()), 3)
    }

    /// All weights of a network, in the order of its fields.
    fn weights<M: Module>(network: &M) -> Vec<f32> {
        struct Weights(Vec<f32>);
        impl ModuleVisitor for Weights {
            fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
                self.0.extend(values(param.val()));
            }
        }
        let mut weights = Weights(Vec::new());
        network.visit(&mut weights);
        assert_eq!(weights.0.len(), network.num_params());
        weights.0
    }

    /// Eleven bits of mantissa, and a smallest number of 2⁻²⁴.
    fn assert_equal_in_16_bits<M: Module>(saved: &M, opened: &M) {
        for (saved, opened) in weights(saved).into_iter().zip(weights(opened)) {
            assert!((saved - opened).abs() <= saved.abs() / 2048.0 + 6e-8, "{saved} came back as {opened}");
        }
    }

    #[test]
    fn a_saved_network_opens_as_it_was() {
        let folder = TestFolder::new();
        let device = Device::flex();
        let (dit, text, vae) = (new_dit(&tiny_dit()), new_text(&tiny_text()), new_vae(&tiny_vae()));
        save_network(&folder.0.join(TRANSFORMER), dit.config(), &dit).unwrap();
        save_network(&folder.0.join(TEXT_ENCODER), text.config(), &text).unwrap();
        save_network(&folder.0.join(VAE), vae.config(), &vae).unwrap();

        let opened = open_network(&folder.0.join(TRANSFORMER), |config: &DitConfig| Dit::new(config, &device)).unwrap();
        assert_eq!(opened.config(), &tiny_dit());
        assert_equal_in_16_bits(&dit, &opened);

        let opened = open_text_encoder(&folder.0, &device).unwrap();
        assert_eq!(opened.config(), &tiny_text());
        assert_equal_in_16_bits(&text, &opened);

        let opened = open_vae(&folder.0, &device).unwrap();
        assert_eq!(opened.config(), &tiny_vae());
        assert_equal_in_16_bits(&vae, &opened);
    }

    #[test]
    fn a_network_saved_twice_is_the_second() {
        let folder = TestFolder::new();
        let config = tiny_dit();
        save_network(&folder.0, &config, &new_dit(&config)).unwrap();
        let second = with_random_weights(Dit::new(&config, &Device::flex()), 9);
        save_network(&folder.0, &config, &second).unwrap();
        let opened = open_network(&folder.0, |config: &DitConfig| Dit::new(config, &Device::flex())).unwrap();
        assert_equal_in_16_bits(&second, &opened);
    }

    /// Half the bytes of 32 bits, and a little header.
    #[test]
    fn weights_are_stored_in_16_bits() {
        let folder = TestFolder::new();
        let dit = new_dit(&tiny_dit());
        save_network(&folder.0, dit.config(), &dit).unwrap();
        let bytes = std::fs::metadata(folder.0.join("model.safetensors")).unwrap().len() as usize;
        let expected = 2 * dit.num_params();
        assert!((expected..expected + 16_384).contains(&bytes), "{bytes} bytes for {} weights", dit.num_params());
    }

    /// Opens a transformer and expects to be told of `file`, by its whole path.
    fn assert_told(folder: &TestFolder, file: &str, what: &str) {
        match open_network(&folder.0, |config: &DitConfig| Dit::new(config, &Device::flex())) {
            Err(Error::ModelFile { path, reason }) => {
                assert_eq!(path, folder.0.join(file), "{what}");
                assert!(!reason.is_empty(), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }

    fn saved_dit() -> TestFolder {
        let folder = TestFolder::new();
        save_network(&folder.0, &tiny_dit(), &new_dit(&tiny_dit())).unwrap();
        folder
    }

    #[test]
    fn a_missing_file_is_named() {
        assert_told(&TestFolder::new(), "config.json", "an empty folder");
        for file in ["config.json", "model.safetensors"] {
            let folder = saved_dit();
            std::fs::remove_file(folder.0.join(file)).unwrap();
            assert_told(&folder, file, "missing");
            std::fs::create_dir(folder.0.join(file)).unwrap();
            assert_told(&folder, file, "a folder in its place");
        }
    }

    #[test]
    fn a_damaged_configuration_is_named() {
        let folder = saved_dit();
        for text in ["", "{", "[]", "null", "{}", "{\"width\": \"wide\"}", "\u{0}\u{1}", "{\"width\": -1}"] {
            std::fs::write(folder.0.join("config.json"), text).unwrap();
            assert_told(&folder, "config.json", text);
        }
    }

    #[test]
    fn truncated_weights_are_named() {
        let folder = saved_dit();
        let path = folder.0.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let lengths = [0, 1, 7, 8, 9, header / 2, header - 1, header, header + 1, bytes.len() / 2, bytes.len() - 1];
        for length in lengths {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_told(&folder, "model.safetensors", &format!("cut after {length} bytes"));
        }
    }

    #[test]
    fn random_bytes_for_weights_are_named() {
        let folder = saved_dit();
        let path = folder.0.join("model.safetensors");
        let whole = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut random = Pcg64::seed_from_u64(1);
        for case in 0..40 {
            // Nothing but noise; a length that is true before a header that is noise; a header of absurd length.
            let bytes: Vec<u8> = match case % 3 {
                0 => (0..1 + case * 50).map(|_| random.random()).collect(),
                1 => {
                    let mut bytes = whole.clone();
                    bytes[8..header].iter_mut().for_each(|byte| *byte = random.random());
                    bytes
                }
                _ => {
                    let mut bytes = whole.clone();
                    let length: u64 = random.random_range(header as u64 + 1..=u64::MAX);
                    bytes[..8].copy_from_slice(&length.to_le_bytes());
                    bytes
                }
            };
            std::fs::write(&path, bytes).unwrap();
            assert_told(&folder, "model.safetensors", &format!("case {case}"));
        }
    }

    /// One byte of the header changed: told, or it did not matter; never a panic.
    #[test]
    fn a_flipped_byte_of_the_header_is_no_panic() {
        let folder = saved_dit();
        let path = folder.0.join("model.safetensors");
        let whole = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut random = Pcg64::seed_from_u64(2);
        let mut told = 0;
        for case in 0..60 {
            let mut bytes = whole.clone();
            let place = random.random_range(0..header);
            bytes[place] ^= 1 << random.random_range(0..8);
            std::fs::write(&path, bytes).unwrap();
            match open_network(&folder.0, |config: &DitConfig| Dit::new(config, &Device::flex())) {
                Ok(_) => {}
                Err(Error::ModelFile { path: named, .. }) => {
                    assert_eq!(named, path, "case {case}");
                    told += 1;
                }
                Err(other) => panic!("case {case}, byte {place}: {other}"),
            }
        }
        assert!(told > 30, "only {told} were told");
    }

    #[test]
    fn weights_that_do_not_fit_the_configuration_are_named() {
        let folder = saved_dit();
        for (what, config) in [
            ("more blocks than weights", DitConfig { blocks: 3, ..tiny_dit() }),
            ("fewer blocks than weights", DitConfig { blocks: 1, ..tiny_dit() }),
            ("another width", DitConfig { width: 64, ..tiny_dit() }),
            ("other latents", DitConfig { latent_channels: 5, ..tiny_dit() }),
        ] {
            std::fs::write(folder.0.join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
            assert_told(&folder, "model.safetensors", what);
        }
    }

    #[test]
    fn a_model_names_the_first_file_that_it_lacks() {
        let told = |files: &ModelFiles| match PaperModel::open(files, &Device::flex()) {
            Err(Error::ModelFile { path, .. }) => path,
            other => panic!("{other:?}"),
        };
        let folder = TestFolder::new();
        let files = ModelFiles::Folder(folder.0.clone());
        assert_eq!(told(&files), folder.0.join(TOKENIZER));
        std::fs::create_dir(folder.0.join("tokenizer")).unwrap();
        for text in ["", "{}", "not a tokenizer"] {
            std::fs::write(folder.0.join(TOKENIZER), text).unwrap();
            assert_eq!(told(&files), folder.0.join(TOKENIZER), "{text:?}");
        }
        assert_eq!(told(&ModelFiles::Embedded(&[])), Path::new(TOKENIZER));
        assert_eq!(told(&ModelFiles::Embedded(&[(TOKENIZER, b"?")])), Path::new(TOKENIZER));
    }

    #[test]
    fn a_model_may_bring_an_upscaler() {
        let folder = TestFolder::new();
        let files = ModelFiles::Folder(folder.0.clone());
        let device = Device::flex();
        let open = || files.upscaler(&device);
        assert!(open().unwrap().is_none());
        let config = UpscalerConfig { width: 16, hidden: 8, ..UpscalerConfig::small() };
        let upscaler = with_random_weights(Upscaler::new(&config, &device), 5);
        save_network(&folder.0.join(UPSCALER), &config, &upscaler).unwrap();
        assert_equal_in_16_bits(&upscaler, &open().unwrap().unwrap());
        // One that is there and damaged is no reason to do without.
        std::fs::write(folder.0.join(UPSCALER).join("model.safetensors"), b"?").unwrap();
        match open() {
            Err(Error::ModelFile { path, .. }) => assert_eq!(path, folder.0.join(UPSCALER).join("model.safetensors")),
            other => panic!("{other:?}"),
        }
    }
}
