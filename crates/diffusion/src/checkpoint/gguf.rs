//! The GGUF format, versions 2 and 3: descriptions of the file, descriptions of tensors, numbers.
//!
//! Lengths and counts of the file are compared with what is left of it before anything is sized by them.
//!
//! Source: ggml's `docs/gguf.md`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use kernels::MappedFile;

use super::numbers::Storage;
use super::{Stored, damaged};
use crate::Result;

/// Most axes of a tensor.
const MOST_AXES: u32 = 4;
/// How deep arrays of arrays are followed.
const MOST_DEPTH: usize = 4;

/// The tensors of a file.
pub(super) fn tensors(file: &Arc<MappedFile>, path: &Arc<Path>) -> Result<BTreeMap<String, Stored>> {
    parse(file)
        .and_then(|entries| {
            let mut tensors = BTreeMap::new();
            for Entry { name, shape, storage, start, bytes } in entries {
                let stored = Stored { file: Arc::clone(file), path: Arc::clone(path), start, bytes, shape, storage };
                if tensors.insert(name.clone(), stored).is_some() {
                    return Err(format!("{name} is in it twice"));
                }
            }
            Ok(tensors)
        })
        .map_err(|reason| damaged(path, reason))
}

#[derive(Debug)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    storage: Storage,
    start: usize,
    bytes: usize,
}

fn parse(bytes: &[u8]) -> std::result::Result<Vec<Entry>, String> {
    let mut reader = Reader { bytes, at: 4 };
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("GGUF version {version} is not read, only 2 and 3"));
    }
    let (tensor_count, description_count) = (reader.u64()?, reader.u64()?);
    let mut alignment = 32;
    // Tensors of more than four axes are stored flatter, with their shape beside.
    let mut shapes: HashMap<String, Vec<usize>> = HashMap::new();
    for _ in 0..description_count {
        let key = reader.string()?;
        let kind = reader.u32()?;
        if key == "general.alignment" && kind == 4 {
            alignment = reader.u32()? as usize;
            if !alignment.is_power_of_two() || alignment > 1 << 16 {
                return Err(format!("tensors cannot be aligned to {alignment} bytes"));
            }
        } else if let Some(name) = key.strip_prefix("comfy.gguf.orig_shape.") {
            let shape = reader.shape(kind)?;
            shapes.insert(name.to_owned(), shape);
        } else {
            reader.skip(kind, 0)?;
        }
    }
    let mut described = Vec::new();
    for _ in 0..tensor_count {
        let name = reader.string()?;
        let axes = reader.u32()?;
        if axes > MOST_AXES {
            return Err(format!("{name} has {axes} axes"));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            shape.push(usize::try_from(reader.u64()?).map_err(|_| format!("{name} is too large"))?);
        }
        // Innermost axis first in the file.
        shape.reverse();
        let kind = reader.u32()?;
        let storage =
            storage(kind).ok_or_else(|| format!("{name} is stored in a way that is not read (kind {kind})"))?;
        described.push((name, shape, storage, reader.u64()?));
    }
    let data = reader.at.checked_next_multiple_of(alignment).ok_or("it is too long")?;
    let mut entries = Vec::with_capacity(described.len());
    for (name, shape, storage, offset) in described {
        let too_large = || format!("{name} is larger than the file");
        let elements =
            shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side)).ok_or_else(too_large)?;
        let (numbers, length) = storage.block();
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(numbers) {
            return Err(format!("rows of {name} are {row} long, not whole blocks of {numbers}"));
        }
        let size = (elements / numbers).checked_mul(length).ok_or_else(too_large)?;
        let start = usize::try_from(offset).ok().and_then(|offset| data.checked_add(offset)).ok_or_else(too_large)?;
        if !start.is_multiple_of(alignment) {
            return Err(format!("{name} does not begin on a multiple of {alignment}"));
        }
        if start.checked_add(size).is_none_or(|end| end > bytes.len()) {
            return Err(format!("{name} would end behind the file: it is cut short"));
        }
        let shape = match shapes.remove(&name) {
            Some(whole) => {
                let same = whole.iter().try_fold(1usize, |product, side| product.checked_mul(*side)) == Some(elements);
                if !same {
                    return Err(format!("{name} has {elements} numbers, which are not {whole:?}"));
                }
                whole
            }
            None => shape,
        };
        entries.push(Entry { name, shape, storage, start, bytes: size });
    }
    Ok(entries)
}

/// `enum ggml_type`.
fn storage(kind: u32) -> Option<Storage> {
    Some(match kind {
        0 => Storage::F32,
        1 => Storage::F16,
        2 => Storage::Q4_0,
        3 => Storage::Q4_1,
        6 => Storage::Q5_0,
        7 => Storage::Q5_1,
        8 => Storage::Q8_0,
        12 => Storage::Q4K,
        13 => Storage::Q5K,
        14 => Storage::Q6K,
        28 => Storage::F64,
        30 => Storage::Bf16,
        _ => return None,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> std::result::Result<&'a [u8], String> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or("it ends within its description")?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> std::result::Result<[u8; N], String> {
        let taken = self.take(N as u64)?;
        Ok(taken.try_into().expect("as many as were asked for"))
    }

    fn u32(&mut self) -> std::result::Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> std::result::Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> std::result::Result<String, String> {
        let length = self.u64()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a name in it is no text".into())
    }

    /// An array of 32-bit integers as a shape, outermost axis first as it stands.
    fn shape(&mut self, kind: u32) -> std::result::Result<Vec<usize>, String> {
        if kind != 9 {
            return Err("a shape in it is no list".into());
        }
        let (of, count) = (self.u32()?, self.u64()?);
        if !matches!(of, 4 | 5) || count > 8 {
            return Err("a shape in it is no short list of numbers".into());
        }
        (0..count).map(|_| self.u32().map(|side| side as usize)).collect()
    }

    /// Passes over a value of a kind.
    fn skip(&mut self, kind: u32, depth: usize) -> std::result::Result<(), String> {
        if let Some(size) = size_of_kind(kind) {
            self.take(size)?;
            return Ok(());
        }
        match kind {
            8 => {
                let length = self.u64()?;
                self.take(length)?;
            }
            9 if depth < MOST_DEPTH => {
                let (of, count) = (self.u32()?, self.u64()?);
                if let Some(size) = size_of_kind(of) {
                    self.take(count.checked_mul(size).ok_or("a list in it is longer than the file")?)?;
                } else {
                    // Every value takes at least eight bytes, so a lie ends with the file.
                    for _ in 0..count {
                        self.skip(of, depth + 1)?;
                    }
                }
            }
            _ => return Err(format!("a description in it is of kind {kind}, which is none")),
        }
        Ok(())
    }
}

fn size_of_kind(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64;

    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn tensor(out: &mut Vec<u8>, name: &str, shape: &[u64], kind: u32, offset: u64) {
        text(out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|side| out.extend(side.to_le_bytes()));
        out.extend(kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }

    /// Two tensors, one of them flatter than it is.
    fn file() -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend(2u64.to_le_bytes());
        out.extend(4u64.to_le_bytes());
        text(&mut out, "general.architecture");
        out.extend(8u32.to_le_bytes());
        text(&mut out, "wan");
        text(&mut out, "list");
        out.extend([9u32, 8].map(u32::to_le_bytes).concat());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "a");
        text(&mut out, "b");
        text(&mut out, "comfy.gguf.orig_shape.patch");
        out.extend([9u32, 5].map(u32::to_le_bytes).concat());
        out.extend(5u64.to_le_bytes());
        out.extend([2u32, 1, 1, 2, 4].map(u32::to_le_bytes).concat());
        text(&mut out, "general.alignment");
        out.extend([4u32, 64].map(u32::to_le_bytes).concat());
        tensor(&mut out, "patch", &[8, 2], 0, 0);
        tensor(&mut out, "matrix", &[64, 3], 8, 64);
        out.resize(out.len().next_multiple_of(64), 0);
        (0..16).for_each(|number| out.extend((number as f32).to_le_bytes()));
        for row in 0..6u8 {
            out.extend(0x3c00u16.to_le_bytes());
            out.extend([row; 32]);
        }
        out
    }

    #[test]
    fn tensors_have_their_names_shapes_and_numbers() {
        let bytes = file();
        let entries = parse(&bytes).unwrap();
        let [patch, matrix] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((patch.name.as_str(), &patch.shape[..]), ("patch", &[2, 1, 1, 2, 4][..]));
        assert_eq!(matrix.shape, [3, 64]);
        let values = matrix.storage.decode(&bytes[matrix.start..][..matrix.bytes]);
        assert_eq!((values.len(), values[0], values[32], values[191]), (192, 0.0, 1.0, 5.0));
    }

    #[test]
    fn every_cut_is_told() {
        let bytes = file();
        for length in 4..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "cut after {length}");
        }
    }

    /// Never a panic, and never memory for what a byte claims.
    #[test]
    fn changed_bytes_are_no_panic() {
        let whole = file();
        let mut random = Pcg64::seed_from_u64(7);
        for _ in 0..4000 {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(4..bytes.len());
                bytes[place] = random.random();
            }
            if let Ok(entries) = parse(&bytes) {
                for entry in entries {
                    assert!(entry.start + entry.bytes <= bytes.len());
                }
            }
        }
    }

    #[test]
    fn absurd_counts_are_told() {
        let bytes = file();
        for (at, what) in [(8, "tensors"), (16, "descriptions"), (24, "a name's length")] {
            let mut bytes = bytes.clone();
            bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert!(parse(&bytes).is_err(), "{what}");
        }
        let mut nested = b"GGUF\x03\0\0\0".to_vec();
        nested.extend([0u64, 1].map(u64::to_le_bytes).concat());
        text(&mut nested, "deep");
        nested.extend(9u32.to_le_bytes());
        for _ in 0..10_000 {
            nested.extend(9u32.to_le_bytes());
            nested.extend(1u64.to_le_bytes());
        }
        assert!(parse(&nested).unwrap_err().contains("kind 9"));
    }
}
