//! The seam: what a model must be able to do to make clips here.

use std::ops::ControlFlow;

use media::{Frame, FrameRate, Size};

use crate::recipe::Recipe;
use crate::request::VideoRequest;

/// A thing that makes frames.
pub trait VideoModel {
    /// Its name, as recipes and manifests have it.
    fn name(&self) -> &str;

    /// SHA-256 of its weights in hexadecimal; empty if it has none.
    fn weights_hash(&self) -> &str;

    /// Frames a second of everything it makes.
    fn frame_rate(&self) -> FrameRate;

    /// What exactly would be made: every choice that the request leaves open, decided.
    fn recipe(&self, request: &VideoRequest) -> Recipe;

    /// How a person who is known by these looks is drawn in this model's world, as a reference picture. A model that knows no such world
    /// says nothing, and takes the person's own picture.
    fn portrait(&self, _looks: &Looks, _size: Size) -> Option<Frame> {
        None
    }

    /// Makes the frames in order and gives each to `emit`, at the model's own size; an extension emits only
    /// what is new. `progress` is told before each step and may stop the work.
    ///
    /// # Errors
    /// [`ModelError::Stopped`] if `progress` said so, [`ModelError::Sink`] if `emit` did,
    /// [`ModelError::Failed`] with a sentence for whoever asked.
    fn generate(
        &self,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), ModelError>;

    /// A frame that it made at the size of a clip, finer than a filter could draw it; nothing if it has no such means for this size.
    fn enlarge(&self, _frame: &Frame, _size: Size) -> Option<Frame> {
        None
    }

    /// What it sees in frames of a finished clip, in order, in words; nothing if it reads no pictures. The words are judged like prompts.
    fn caption(&self, frames: &[Frame]) -> Option<String> {
        let _ = frames;
        None
    }
}

/// What a person looks like, in the words that a model of a drawn world learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Of the skin.
    pub skin: String,
    /// How the hair is worn.
    pub hair_style: String,
    /// The colour of the hair.
    pub hair_colour: String,
    /// The colour of the shirt.
    pub shirt: String,
    /// What is on the head.
    pub hat: String,
    /// Whether there are glasses.
    pub glasses: bool,
}

/// A prompt said again in the words that a model learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reworded {
    /// The prompt; nothing if no word of it means anything to the model.
    pub prompt: Option<String>,
    /// What was said in other words, with what comes closest.
    pub changes: Vec<(String, String)>,
    /// Words that nothing came of.
    pub unknown: Vec<String>,
    /// What was not said and had to be chosen.
    pub chosen: Vec<String>,
}

/// Where the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Steps of that stage that are done.
    pub done: usize,
    /// Steps of that stage in all.
    pub total: usize,
}

/// The parts of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the prompt and the pictures.
    Reading,
    /// Denoising latents.
    Sampling,
    /// Latents to frames, enlarged, marked and encoded.
    Drawing,
    /// The manifest.
    Signing,
}

impl Stage {
    /// A word for the progress line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Sampling => "sampling",
            Self::Drawing => "drawing",
            Self::Signing => "signing",
        }
    }
}

/// Why a model made no clip.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// The receiver of the frames had enough.
    #[error("the frames were not taken")]
    Sink,
    /// Anything else, in words for whoever asked.
    #[error("{0}")]
    Failed(String),
}
