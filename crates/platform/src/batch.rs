//! Batches: many creations from one file.

use std::time::Duration;

/// How long a batch may take.
pub const COMPLETION_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// The most lines in a batch.
pub const MAX_LINES: usize = 50_000;

/// The largest input, in bytes.
pub const MAX_INPUT_BYTES: u64 = 200 * 1024 * 1024;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchState {
    /// Its file is read.
    Validating,
    /// Its file could not be read.
    Failed,
    /// Its lines are worked on.
    InProgress,
    /// Every line has ended; the output file is written.
    Finalizing,
    /// The output file is there.
    Completed,
    /// Time ran out; what was done is in the output file.
    Expired,
    /// Running lines are stopped.
    Cancelling,
    /// Stopped.
    Cancelled,
}

/// What happens to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEvent {
    /// The file is fine.
    Validated,
    /// The file is not.
    Invalid,
    /// No line is open any more.
    AllEnded,
    /// The output is written.
    Written,
    /// The window is over.
    Expire,
    /// It is no longer wanted.
    Cancel,
}

impl BatchState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Validating,
        Self::Failed,
        Self::InProgress,
        Self::Finalizing,
        Self::Completed,
        Self::Expired,
        Self::Cancelling,
        Self::Cancelled,
    ];

    /// The state after an event; nothing if the event cannot happen here.
    pub fn next(self, event: BatchEvent) -> Option<Self> {
        use BatchEvent as Event;
        match (self, event) {
            (Self::Validating, Event::Validated) => Some(Self::InProgress),
            (Self::Validating, Event::Invalid) => Some(Self::Failed),
            (Self::InProgress, Event::AllEnded) => Some(Self::Finalizing),
            (Self::Finalizing, Event::Written) => Some(Self::Completed),
            (Self::Validating | Self::InProgress | Self::Finalizing, Event::Expire) => Some(Self::Expired),
            (Self::Validating | Self::InProgress, Event::Cancel) => Some(Self::Cancelling),
            (Self::Cancelling, Event::AllEnded | Event::Expire) => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_that_has_not_ended_can_end() {
        use BatchEvent::{AllEnded, Cancel, Expire, Invalid, Validated, Written};
        for state in BatchState::ALL {
            let open = [Validated, Invalid, AllEnded, Written, Expire, Cancel]
                .iter()
                .any(|event| state.next(*event).is_some());
            assert_eq!(open, !state.is_final(), "{state:?}");
            assert_eq!(BatchState::from_word(state.as_str()), Some(state));
        }
    }
}
