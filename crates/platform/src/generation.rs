//! A generation: one accepted request for one clip, from its place in the queue to its end.

use crate::cut::Cut;
use crate::id::{CharacterId, FileId, VideoId};
use crate::parameters::Seconds;
use crate::refusal::{Refusal, RefusalCode};

/// What kind of work it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenerationKind {
    /// From a prompt, with a first frame and characters if given.
    Create {
        /// The picture of the first frame.
        first_frame: Option<FileId>,
        /// Who appears, at most two.
        characters: Vec<CharacterId>,
    },
    /// A film of several shots, one behind the other.
    Film {
        /// The document as JSON: whoever accepted it has read it.
        storyboard: String,
        /// Who appears in any of its shots, at most two.
        characters: Vec<CharacterId>,
    },
    /// The source's recipe with another prompt.
    Remix {
        /// What it starts from.
        source: VideoId,
    },
    /// The source, changed.
    Edit {
        /// What it starts from.
        source: ClipSource,
    },
    /// The source, and what comes after it, before it or round to its beginning, as one clip.
    Extension {
        /// What it goes on from.
        source: ClipSource,
        /// On which side of the source the new part is.
        direction: ExtensionDirection,
        /// How many extensions are in it, this one included: 1 to 6.
        depth: u32,
    },
    /// A part of the source, frame by frame: nothing is drawn.
    Trim {
        /// What it is cut from.
        source: VideoId,
        /// Which part.
        cut: Cut,
    },
    /// One picture.
    Image,
}

/// On which side of a clip its extension is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExtensionDirection {
    /// It goes on from the end.
    #[default]
    After,
    /// It leads up to the beginning.
    Before,
    /// It goes on from the end and arrives at the beginning, so that the whole can be played round and round.
    Loop,
}

/// A clip that work starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipSource {
    /// One made here.
    Video(VideoId),
    /// One uploaded.
    File(FileId),
}

/// Where a generation stands. The API shows a cancelled one as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GenerationState {
    /// Waits for a worker, at first or again.
    Queued,
    /// A worker is on it.
    InProgress,
    /// There is a signed clip.
    Completed,
    /// There will be none, and why is said.
    Failed,
    /// Whoever asked changed their mind.
    Cancelled,
}

/// What happens to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationEvent {
    /// A worker took it.
    Claim,
    /// The worker gave it back, or was lost; it will be tried again.
    Return,
    /// The clip is published.
    Complete,
    /// It cannot be made.
    Fail,
    /// It is no longer wanted.
    Cancel,
    /// The policy had stopped it by mistake: it is made after all.
    Reopen,
}

/// Why a generation failed: a stable word and a sentence for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationError {
    /// The stable word.
    pub code: GenerationErrorCode,
    /// The sentence.
    pub message: String,
}

/// The stable words of a failed generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GenerationErrorCode {
    /// The policy stopped it after it was accepted.
    ModerationBlocked,
    /// The model could not make it.
    ModelFailed,
    /// Workers were lost as often as may be.
    WorkerLost,
    /// Permission ended between asking and making.
    PermissionRevoked,
    /// What it starts from is gone or unreadable.
    SourceUnavailable,
    /// It was cancelled.
    Cancelled,
}

/// Whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress(u8);

impl GenerationState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::InProgress, Self::Completed, Self::Failed, Self::Cancelled];

    /// The state after an event; nothing if the event cannot happen here. What has ended stays as it is, unless an appeal finds that it was
    /// stopped by mistake.
    pub fn next(self, event: GenerationEvent) -> Option<Self> {
        use GenerationEvent as Event;
        match (self, event) {
            (Self::Queued, Event::Claim) => Some(Self::InProgress),
            (Self::InProgress, Event::Return) => Some(Self::Queued),
            (Self::InProgress, Event::Complete) => Some(Self::Completed),
            (Self::Queued | Self::InProgress, Event::Fail) => Some(Self::Failed),
            (Self::Queued | Self::InProgress, Event::Cancel) => Some(Self::Cancelled),
            (Self::Failed, Event::Reopen) => Some(Self::Queued),
            _ => None,
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Its word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Its word in the Videos API, which knows four.
    pub fn api_word(self) -> &'static str {
        match self {
            Self::Cancelled => "failed",
            state => state.as_str(),
        }
    }
}

impl GenerationKind {
    /// The most characters in one clip.
    pub const MAX_CHARACTERS: usize = 2;
    /// The most extensions in one clip.
    pub const MAX_EXTENSIONS: u32 = 6;

    /// The clip of this installation that it starts from.
    pub fn source_video(&self) -> Option<VideoId> {
        match self {
            Self::Remix { source }
            | Self::Edit { source: ClipSource::Video(source) }
            | Self::Extension { source: ClipSource::Video(source), .. }
            | Self::Trim { source, .. } => Some(*source),
            Self::Create { .. } | Self::Film { .. } | Self::Edit { .. } | Self::Extension { .. } | Self::Image => None,
        }
    }

    /// Its word in rows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Film { .. } => "film",
            Self::Remix { .. } => "remix",
            Self::Edit { .. } => "edit",
            Self::Extension { direction: ExtensionDirection::After, .. } => "extension",
            Self::Extension { direction: ExtensionDirection::Before, .. } => "beginning",
            Self::Extension { direction: ExtensionDirection::Loop, .. } => "loop",
            Self::Trim { .. } => "trim",
            Self::Image => "image",
        }
    }
}

impl ExtensionDirection {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::After, Self::Before, Self::Loop];

    /// Its word in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Before => "before",
            Self::Loop => "loop",
        }
    }

    /// What a request says; after the clip if it says nothing.
    ///
    /// # Errors
    /// [`Refusal`] for another word.
    pub fn parse(word: Option<&str>) -> Result<Self, Refusal> {
        let Some(word) = word else { return Ok(Self::default()) };
        Self::ALL.into_iter().find(|direction| direction.as_str() == word).ok_or_else(|| {
            let message = format!("An extension has no direction {word:?}: it is one of after, before, loop.");
            Refusal::new(RefusalCode::InvalidValue, Some("direction"), message)
        })
    }
}

/// The length of a clip that is extended, and how many extensions are then in it.
///
/// # Errors
/// [`Refusal`] past six extensions or 120 seconds.
pub fn extended(source: Seconds, source_depth: u32, added: Seconds) -> Result<(Seconds, u32), Refusal> {
    let depth = source_depth.saturating_add(1);
    if depth > GenerationKind::MAX_EXTENSIONS {
        let message = format!("This clip was extended {source_depth} times, which is the limit.");
        return Err(Refusal::new(RefusalCode::InvalidValue, Some("video"), message));
    }
    let total = source.get().saturating_add(added.get());
    Seconds::new(total).map(|total| (total, depth)).ok_or_else(|| {
        let message =
            format!("The extended clip would be {total} seconds long, at most {} are allowed.", Seconds::LONGEST);
        Refusal::new(RefusalCode::InvalidValue, Some("seconds"), message)
    })
}

impl GenerationErrorCode {
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::ModerationBlocked,
        Self::ModelFailed,
        Self::WorkerLost,
        Self::PermissionRevoked,
        Self::SourceUnavailable,
        Self::Cancelled,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModerationBlocked => "moderation_blocked",
            Self::ModelFailed => "video_generation_failed",
            Self::WorkerLost => "worker_lost",
            Self::PermissionRevoked => "permission_revoked",
            Self::SourceUnavailable => "source_unavailable",
            Self::Cancelled => "cancelled",
        }
    }

    /// The code of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl Progress {
    /// Nothing done.
    pub const NONE: Self = Self(0);
    /// All done.
    pub const DONE: Self = Self(100);

    /// Steps done of steps in all, rounded down; 99 at most, because only a published clip is done.
    pub fn of(done: usize, total: usize) -> Self {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
        Self(u8::try_from(percent).unwrap_or(99).min(99))
    }

    /// From a row.
    pub fn from_percent(percent: u8) -> Self {
        Self(percent.min(100))
    }

    /// The percentage.
    pub fn percent(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_as_it_is() {
        use GenerationEvent::{Cancel, Claim, Complete, Fail, Return};
        for state in GenerationState::ALL {
            let moves = [Claim, Return, Complete, Fail, Cancel].iter().filter(|event| state.next(**event).is_some());
            assert_eq!(moves.count() == 0, state.is_final(), "{state:?}");
            assert_eq!(GenerationState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(GenerationState::Queued.next(Complete), None);
        for state in GenerationState::ALL {
            let reopened = (state == GenerationState::Failed).then_some(GenerationState::Queued);
            assert_eq!(state.next(GenerationEvent::Reopen), reopened, "{state:?}");
        }
        assert_eq!(GenerationState::Cancelled.api_word(), "failed");
    }

    #[test]
    fn extensions_end_at_six_and_at_120_seconds() {
        let check = |source, depth, added, expected: Option<(u32, u32)>| {
            let seconds = |number| Seconds::new(number).unwrap();
            let result = extended(seconds(source), depth, seconds(added));
            assert_eq!(result.ok().map(|(total, depth)| (total.get(), depth)), expected);
        };
        check(8, 0, 4, Some((12, 1)));
        check(100, 5, 20, Some((120, 6)));
        check(104, 2, 20, None);
        check(28, 6, 4, None);
    }

    #[test]
    fn only_a_published_clip_is_at_100_percent() {
        assert_eq!(Progress::of(30, 30).percent(), 99);
        assert_eq!(Progress::of(1, 30).percent(), 3);
        assert_eq!(Progress::of(1, 0).percent(), 0);
    }
}
