//! Weights of others: safetensors and GGUF. Whatever the bytes are, they are told or read, and what is read is inside them.
#![no_main]

use diffusion::{Checkpoint, Lora};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("room for it");
    if let Ok(checkpoint) = Checkpoint::open(file.path()) {
        for name in checkpoint.names() {
            let shape = checkpoint.shape(name).expect("a tensor has a shape").to_vec();
            let values = checkpoint.values(name, &shape);
            assert!(values.is_err() || values.is_ok_and(|values| values.len() == shape.iter().product::<usize>()));
        }
    }
    let _ = Lora::open(file.path());
});
