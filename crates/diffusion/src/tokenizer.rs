//! Prompts as token ids, by a `tokenizer.json`.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::{Error, Result};

/// A byte-level BPE: what it has never seen falls to bytes.
#[derive(Clone, Debug)]
pub struct PromptTokenizer(Tokenizer);

impl PromptTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if the file is missing or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let reason = |reason: String| Error::ModelFile { path: path.to_owned(), reason };
        if !path.exists() {
            return Err(reason("the file is missing".into()));
        }
        Tokenizer::from_file(path).map(Self).map_err(|e| reason(e.to_string()))
    }

    /// Takes a tokenizer that was just trained.
    pub fn from_trained(tokenizer: Tokenizer) -> Self {
        Self(tokenizer)
    }

    /// The ids of a prompt, no special tokens around them; empty for an empty prompt.
    pub fn encode(&self, prompt: &str) -> Vec<u32> {
        // Every byte has a token, so there is no text that cannot be encoded.
        self.0.encode(prompt.trim(), false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }
}
