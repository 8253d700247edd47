//! What may not be asked for and not be shown, and why.
//!
//! A text is normalised into readings ([`normalise`]), rules look for phrases in them ([`Policy::judge`]), and the [`Verdict`] names each rule
//! with its version, in words. Rules are data (`rules/`), judged by two sets of prompts in the repository (`sets/`).

mod category;
mod judge;
mod lookalikes;
mod normalise;
mod phrase;
mod rights;
mod rules;
#[cfg(test)]
mod tests;

pub use category::{Category, Stage, Subject};
pub use judge::{Context, Finding, Policy, Sentence, Verdict};
pub use normalise::{Normalised, Word, normalise};
pub use phrase::{Phrase, Span};
pub use rights::{
    MAX_NAMES, MIN_NAME, Rights, RightsEntry, RightsError, RightsKind, RightsRequestState, RightsUse, Stance,
};
pub use rules::{Rule, RuleError, Wording};
