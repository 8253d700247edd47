//! The safetensors format: the length of a JSON header, the header, the numbers. The library checks that tensors lie one
//! after the other, have the length that their shapes say, and fill the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kernels::MappedFile;
use safetensors::{Dtype, SafeTensors};

use super::numbers::Storage;
use super::{Stored, damaged};
use crate::Result;

/// The tensors of a file. Those of kinds that no weights have (integers, masks) are left out.
pub(super) fn tensors(file: &Arc<MappedFile>, path: &Arc<Path>) -> Result<BTreeMap<String, Stored>> {
    let (header, metadata) = SafeTensors::read_metadata(file).map_err(|e| damaged(path, told(&e)))?;
    let data = 8 + header;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let Some(storage) = storage(info.dtype) else { continue };
        let (start, end) = info.data_offsets;
        let stored = Stored {
            file: Arc::clone(file),
            path: Arc::clone(path),
            start: data + start,
            bytes: end - start,
            shape: info.shape.clone(),
            storage,
        };
        tensors.insert(name, stored);
    }
    Ok(tensors)
}

fn storage(dtype: Dtype) -> Option<Storage> {
    Some(match dtype {
        Dtype::F64 => Storage::F64,
        Dtype::F32 => Storage::F32,
        Dtype::F16 => Storage::F16,
        Dtype::BF16 => Storage::Bf16,
        Dtype::F8_E4M3 => Storage::F8E4M3,
        Dtype::F8_E5M2 => Storage::F8E5M2,
        _ => return None,
    })
}

fn told(error: &safetensors::SafeTensorError) -> String {
    use safetensors::SafeTensorError as E;
    match error {
        E::HeaderTooSmall => "it is shorter than the length of its header".into(),
        E::HeaderTooLarge => "its header would be longer than 100 MB: this is no safetensors file".into(),
        E::InvalidHeaderLength => "it ends within its header".into(),
        E::InvalidHeader(_) | E::InvalidHeaderDeserialization(_) => format!("its header is no description: {error}"),
        E::InvalidOffset(name) => format!("{name} does not begin where the tensor before it ends"),
        E::MetadataIncompleteBuffer => "it is cut short, or longer than its tensors".into(),
        E::TensorInvalidInfo | E::ValidationOverflow => "a tensor's shape does not fit its length".into(),
        other => other.to_string(),
    }
}
