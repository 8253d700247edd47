//! Tiny models with random weights, and what the reference computes with them.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use serde_json::Value;

/// Where the tests compute: on the CPU, or with `MISORA_TEST_DEVICE=vulkan` and the feature of that name on a GPU.
pub(crate) fn device() -> Device {
    match std::env::var("MISORA_TEST_DEVICE").ok().as_deref() {
        None | Some("cpu") => Device::flex(),
        #[cfg(feature = "vulkan")]
        Some("vulkan") => Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        Some(other) => panic!("these tests were built without a device called {other}"),
    }
}

/// A model folder with `expected.safetensors` and `expected.json` beside it.
pub(crate) struct Fixture {
    pub folder: PathBuf,
    pub settings: Value,
    expected: Vec<u8>,
}

impl Fixture {
    pub(crate) fn open(folder: &Path) -> Self {
        let settings = std::fs::read(folder.join("expected.json")).unwrap();
        Self {
            folder: folder.to_owned(),
            settings: serde_json::from_slice(&settings).unwrap(),
            expected: std::fs::read(folder.join("expected.safetensors")).unwrap(),
        }
    }

    /// Those of this repository, and those beside it or in `MISORA_TEST_WAN_FIXTURES`.
    pub(crate) fn all() -> Vec<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let beside = std::env::var_os("MISORA_TEST_WAN_FIXTURES").map(PathBuf::from);
        let beside = beside.unwrap_or_else(|| here.join("../../../shared/parity"));
        let mut folders = Vec::new();
        for place in [here.join("tests/fixtures"), beside] {
            let Ok(entries) = std::fs::read_dir(place) else { continue };
            folders
                .extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("expected.json").is_file()));
        }
        folders.sort();
        folders.iter().map(|folder| Self::open(folder)).collect()
    }

    pub(crate) fn name(&self) -> String {
        let place = if self.folder.components().any(|part| part.as_os_str() == "fixtures") { "ours" } else { "shared" };
        format!("{place}/{}", self.folder.file_name().unwrap().to_string_lossy())
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.settings[key].as_str().unwrap()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.settings[key].as_f64().unwrap()
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.expected).unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors().tensor(name).is_ok()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        let tensors = self.tensors();
        let bytes = tensors.tensor(name).unwrap().data();
        bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.tensors().tensor(name).unwrap().data().to_vec()
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        self.tensors().tensor(name).unwrap().shape().to_vec()
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        let tensors = self.tensors();
        let bytes = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}")).data();
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    pub(crate) fn tensor<const R: usize>(&self, name: &str) -> Tensor<R> {
        let shape: [usize; R] = self.shape(name).try_into().unwrap();
        Tensor::from_data(TensorData::new(self.values(name), shape), &device())
    }
}

/// The length of the difference over that of what is expected.
pub(crate) fn relative<const R: usize>(ours: Tensor<R>, theirs: &[f32]) -> f64 {
    let ours: Vec<f32> = ours.into_data().try_to_vec().unwrap();
    relative_values(&ours, theirs)
}

pub(crate) fn relative_values(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let apart = length(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    apart / length(&mut theirs.iter().map(|value| f64::from(*value)))
}
