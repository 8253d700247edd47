//! What may not be asked for and not be shown, and why.

mod lookalikes;
mod normalise;
mod phrase;

pub use normalise::{Normalised, Word, normalise};
pub use phrase::{Phrase, Span};
