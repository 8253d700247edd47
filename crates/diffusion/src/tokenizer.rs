//! Prompts as token ids, by a `tokenizer.json`.

use tokenizers::Tokenizer;

use crate::Result;
use crate::weights::{ModelFiles, TOKENIZER};

/// A byte-level BPE: what it has never seen falls to bytes.
#[derive(Clone, Debug)]
pub struct PromptTokenizer(Tokenizer);

impl PromptTokenizer {
    /// Reads the tokenizer of a model.
    ///
    /// # Errors
    /// [`Error::ModelFile`](crate::Error::ModelFile) if the file is missing or damaged.
    pub fn read(files: &ModelFiles) -> Result<Self> {
        Tokenizer::from_bytes(files.read(TOKENIZER)?).map(Self).map_err(|e| files.damaged(TOKENIZER, &e))
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
