//! What can go wrong with a job, sorted: what may work another time, and what never will.

use platform::policy::Verdict;
use platform::{AttemptFailure, GenerationError, GenerationErrorCode};
use render::RenderError;
use store::{MadeRefusal, StoreError};

use crate::http::blocked;
use crate::policy::{JudgeError, decided_by};

/// Why an attempt made no clip.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was asked to stop.
    Stopped,
    /// It could not.
    Failed {
        /// Whether trying again makes sense.
        failure: AttemptFailure,
        /// What whoever asked is told, if this is the end.
        error: GenerationError,
        /// Why the policy stopped it, if it did.
        refusal: Option<Box<MadeRefusal>>,
    },
}

impl Failure {
    /// It can never work.
    pub(crate) fn permanent(code: GenerationErrorCode, message: impl Into<String>) -> Self {
        let error = GenerationError { code, message: message.into() };
        Self::Failed { failure: AttemptFailure::Permanent, error, refusal: None }
    }

    /// The policy stopped it. `seen` is what its model saw in the finished clip, if that was judged.
    pub(crate) fn refused(verdict: Verdict, seen: &str) -> Self {
        let reasons = verdict.first().map(|finding| {
            let (ground, rule) = decided_by(finding);
            Box::new(MadeRefusal { ground, rule, facts: finding.text.en.clone(), seen: seen.to_owned() })
        });
        let message = blocked(verdict).message().to_owned();
        let error = GenerationError { code: GenerationErrorCode::ModerationBlocked, message };
        Self::Failed { failure: AttemptFailure::Permanent, error, refusal: reasons }
    }

    /// It may work another time. The cause is for the log; whoever asked learns that it is not their fault.
    pub(crate) fn transient(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "the attempt failed");
        Self::ours()
    }

    /// The words for what is our own fault.
    pub(crate) fn ours() -> Self {
        let message = "The video could not be made because of a fault on this server. Nothing was charged; try again.";
        let error = GenerationError { code: GenerationErrorCode::ModelFailed, message: message.into() };
        Self::Failed { failure: AttemptFailure::Transient, error, refusal: None }
    }

    /// What it starts from cannot be used.
    pub(crate) fn source(message: impl Into<String>) -> Self {
        Self::permanent(GenerationErrorCode::SourceUnavailable, message)
    }
}

impl From<JudgeError> for Failure {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::NoAnswer(error) => Self::transient(&error),
            JudgeError::Store(error) => error.into(),
        }
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Stopped => Self::Stopped,
            RenderError::Model(message) => {
                Self::permanent(GenerationErrorCode::ModelFailed, format!("The model could not make this: {message}."))
            }
            RenderError::Source(message) => {
                Self::source(format!("The video that this starts from cannot be read: {message}."))
            }
            RenderError::Encode(_) | RenderError::Sign(_) => Self::transient(&error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => {
                Self::source(format!("The {what} that this starts from is not there any more."))
            }
            StoreError::Erased => Self::source("What this was to be made for has been erased."),
            error => Self::transient(&error),
        }
    }
}
