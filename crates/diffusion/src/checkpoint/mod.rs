//! Weights of others: tensors by name in files that were not written here.
//!
//! A file is mapped, not read: a tensor costs memory when it is asked for, as 32-bit numbers, whatever it is stored as.
//! Nothing in a file is believed before it was compared with the length of the file.

mod gguf;
mod lora;
mod numbers;
mod safetensors;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kernels::MappedFile;
use serde::Deserialize;

pub use lora::{Lora, LoraReport};
pub use numbers::Storage;

use crate::{Error, Result};

/// Longest JSON file of a model that is read.
const MOST_JSON_BYTES: u64 = 64 << 20;

/// Tensors by name, in one file or several.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    tensors: BTreeMap<String, Stored>,
    /// What is added to weights when they are read.
    additions: BTreeMap<String, Vec<lora::Addition>>,
    place: PathBuf,
}

/// One tensor in its file.
#[derive(Clone, Debug)]
struct Stored {
    file: Arc<MappedFile>,
    path: Arc<Path>,
    start: usize,
    bytes: usize,
    shape: Vec<usize>,
    storage: Storage,
}

impl Stored {
    fn bytes(&self) -> &[u8] {
        &self.file[self.start..self.start + self.bytes]
    }

    fn elements(&self) -> usize {
        // Every reader has checked that the product fits.
        self.shape.iter().product()
    }
}

impl Checkpoint {
    /// Opens one file of weights: safetensors or GGUF, told apart by their first bytes.
    ///
    /// # Errors
    /// [`Error::ModelFile`] for a file that is missing, of another kind, damaged or cut short.
    pub fn open(path: &Path) -> Result<Self> {
        let file = map(path)?;
        let shared: Arc<Path> = path.into();
        let tensors = match file.get(..4) {
            Some(b"GGUF") => gguf::tensors(&file, &shared)?,
            Some(b"PK\x03\x04") => return Err(pickled(path)),
            // Protocol 2 and later of Python's pickle begin with this byte.
            Some([0x80, ..]) if file.get(1).is_some_and(|version| *version <= 5) && file.get(8) != Some(&b'{') => {
                return Err(pickled(path));
            }
            _ => safetensors::tensors(&file, &shared)?,
        };
        Ok(Self { tensors, additions: BTreeMap::new(), place: path.to_owned() })
    }

    /// Opens the weights of a folder: `stem.safetensors`, or the shards that `stem.safetensors.index.json` lists.
    ///
    /// # Errors
    /// [`Error::ModelFile`], naming the first file that is missing or damaged.
    pub fn open_sharded(folder: &Path, stem: &str) -> Result<Self> {
        let whole = folder.join(format!("{stem}.safetensors"));
        let index_path = folder.join(format!("{stem}.safetensors.index.json"));
        if whole.is_file() || !index_path.is_file() {
            if !whole.is_file() {
                let pickle = ["bin", "pth", "pt", "ckpt"].map(|end| folder.join(format!("{stem}.{end}")));
                if let Some(pickle) = pickle.iter().find(|path| path.is_file()) {
                    return Err(pickled(pickle));
                }
            }
            return Self::open(&whole);
        }
        let index: Index = read_json(&index_path)?;
        let mut checkpoint = Self { place: folder.to_owned(), ..Self::default() };
        let mut files: Vec<&String> = index.weight_map.values().collect();
        files.sort();
        files.dedup();
        for name in files {
            if Path::new(name).components().count() != 1 || !name.ends_with(".safetensors") || name.starts_with('.') {
                return Err(damaged(&index_path, format!("it names {name:?}, which is no safetensors file beside it")));
            }
            let shard = Self::open(&folder.join(name))?;
            for (tensor, stored) in shard.tensors {
                if index.weight_map.get(&tensor) == Some(name) {
                    checkpoint.tensors.insert(tensor, stored);
                }
            }
        }
        if let Some((tensor, file)) = index.weight_map.iter().find(|(name, _)| !checkpoint.has(name)) {
            return Err(damaged(&folder.join(file), format!("{tensor} is not in it, as the index says")));
        }
        Ok(checkpoint)
    }

    /// The same tensors by other names; those for which there is none are left out.
    #[must_use]
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let tensors = self.tensors.into_iter().filter_map(|(name, stored)| Some((rename(&name)?, stored))).collect();
        Self { tensors, ..self }
    }

    /// These tensors and those of another file, of which none may have the same name.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if one has.
    pub fn joined(mut self, other: Self) -> Result<Self> {
        for (name, stored) in other.tensors {
            if self.tensors.contains_key(&name) {
                return Err(damaged(&other.place, format!("{name} is in {} too", self.place.display())));
            }
            self.tensors.insert(name, stored);
        }
        Ok(self)
    }

    /// Where it was read from.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor, outermost axis first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| stored.shape.as_slice())
    }

    /// What a tensor is stored as.
    pub fn storage(&self, name: &str) -> Option<Storage> {
        self.tensors.get(name).map(|stored| stored.storage)
    }

    /// All tensors in order of their names, as they lie in their files.
    pub fn each_stored(&self, take: &mut dyn FnMut(&str, &[u8])) {
        for (name, stored) in &self.tensors {
            take(name, stored.bytes());
        }
    }

    /// Bytes of all tensors in their files.
    pub fn stored_bytes(&self) -> u64 {
        self.tensors.values().map(|stored| stored.bytes as u64).sum()
    }

    /// Numbers in all tensors.
    pub fn elements(&self) -> u64 {
        self.tensors.values().map(|stored| stored.elements() as u64).sum()
    }

    /// One tensor as 32-bit numbers on a device.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if there is none of that name, or it has another shape.
    pub fn tensor<const R: usize>(&self, name: &str, shape: [usize; R], device: &Device) -> Result<Tensor<R>> {
        let values = self.values(name, &shape)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// One tensor as 32-bit numbers, with what is to be added to it.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if there is none of that name, or it has another shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let stored = self.stored(name)?;
        if stored.shape != shape && !same_but_for_ones(&stored.shape, shape) {
            return Err(damaged(
                &stored.path,
                format!("{name} is {:?}, where the model needs {shape:?}", stored.shape),
            ));
        }
        let mut values = stored.storage.decode(stored.bytes());
        if let Some(scale) = self.scale_of(name)? {
            values.iter_mut().for_each(|value| *value *= scale);
        }
        for addition in self.additions.get(name).into_iter().flatten() {
            addition.add_to(&mut values);
        }
        Ok(values)
    }

    /// Some rows of a matrix, without reading the others: `[rows, width]`.
    ///
    /// # Errors
    /// As [`Checkpoint::values`], and for a row that is not there.
    pub fn rows(&self, name: &str, rows: &[u32], width: usize) -> Result<Vec<f32>> {
        let stored = self.stored(name)?;
        let [count, columns] = stored.shape[..] else {
            return Err(damaged(&stored.path, format!("{name} is {:?}, where a matrix is needed", stored.shape)));
        };
        if columns != width {
            return Err(damaged(&stored.path, format!("rows of {name} are {columns} wide, the model needs {width}")));
        }
        let row_bytes = stored.bytes / count.max(1);
        let scale = self.scale_of(name)?.unwrap_or(1.0);
        let mut values = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            if row as usize >= count {
                return Err(damaged(&stored.path, format!("{name} has no row {row}, only {count}")));
            }
            let bytes = &stored.bytes()[row as usize * row_bytes..][..row_bytes];
            values.extend(stored.storage.decode(bytes).into_iter().map(|value| value * scale));
        }
        Ok(values)
    }

    /// What 8-bit weights are multiplied by, in repacks that have such a number beside each.
    fn scale_of(&self, name: &str) -> Result<Option<f32>> {
        let Some(layer) = name.strip_suffix(".weight") else { return Ok(None) };
        for end in ["scale_weight", "weight_scale"] {
            let Some(stored) = self.tensors.get(&format!("{layer}.{end}")) else { continue };
            if stored.elements() != 1 {
                return Err(damaged(&stored.path, format!("{layer}.{end} is not one number")));
            }
            return Ok(Some(stored.storage.decode(stored.bytes())[0]));
        }
        Ok(None)
    }

    fn stored(&self, name: &str) -> Result<&Stored> {
        self.tensors.get(name).ok_or_else(|| damaged(&self.place, format!("it has no {name}")))
    }
}

/// `[1, 6, D]` is stored as `[6, D]` here and there, `[C, 1, 1, 1]` as `[C]`.
fn same_but_for_ones(a: &[usize], b: &[usize]) -> bool {
    a.iter().filter(|side| **side != 1).eq(b.iter().filter(|side| **side != 1))
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads a small JSON file.
///
/// # Errors
/// [`Error::ModelFile`].
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_small(path)?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(path, e))
}

/// Reads a file that must not be large.
///
/// # Errors
/// [`Error::ModelFile`].
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>> {
    let unread = |reason: String| Error::ModelFile { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|e| unread(e.to_string()))?.len();
    if length > MOST_JSON_BYTES {
        return Err(unread(format!("{length} bytes are too many for a description")));
    }
    std::fs::read(path).map_err(|e| unread(e.to_string()))
}

/// The error for a file that does not hold what it should.
pub(crate) fn damaged(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::ModelFile { path: path.to_owned(), reason: format!("the file is damaged or does not fit ({reason})") }
}

fn pickled(path: &Path) -> Error {
    Error::ModelFile {
        path: path.to_owned(),
        reason: "this is a pickle, which could run any program when it is read; take the same weights as .safetensors \
                 or .gguf (the folders whose names end in -Diffusers have them, and so have single-file repacks)"
            .into(),
    }
}

fn map(path: &Path) -> Result<Arc<MappedFile>> {
    let unread = |reason: String| Error::ModelFile { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|e| unread(e.to_string()))?;
    let metadata = file.metadata().map_err(|e| unread(e.to_string()))?;
    if !metadata.is_file() {
        return Err(unread("it is a folder, where a file of weights is needed".into()));
    }
    if metadata.len() == 0 {
        return Err(damaged(path, "it is empty"));
    }
    MappedFile::open(&file).map(Arc::new).map_err(|e| unread(e.to_string()))
}
