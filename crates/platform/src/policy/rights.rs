//! What rightsholders and estates allow and forbid: works, characters, artists and names, by name.

use super::normalise::Normalised;
use super::normalise::Word;
use super::phrase::{Phrase, Span};
use crate::id::RightsId;
use crate::social::wording;
use crate::time::Timestamp;

/// The shortest name that can be registered, in letters: shorter ones stand in every other sentence.
pub const MIN_NAME: usize = 3;
/// The longest name that can be registered, in characters.
const MAX_NAME: usize = 200;
/// The most names of one entry.
pub const MAX_NAMES: usize = 40;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RightsKind {
    /// A film, a book, a song, a game.
    Work,
    /// Someone invented.
    Character,
    /// Someone's manner.
    Artist,
    /// A person's name, living or dead.
    Name,
}

/// What the holder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stance {
    /// It is not to be made.
    OptOut,
    /// It may be made, whatever the built-in rules say of the name.
    OptIn,
}

/// What an entry reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RightsUse {
    /// What is asked for in words.
    Prompts,
    /// Pictures and clips that a request brings, by what is written of them.
    References,
    /// Remixes of what stands here already, by the texts they descend from.
    Remixes,
    /// Learning from it.
    Training,
}

/// Where stands what a holder asks to have entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RightsRequestState {
    /// It waits for someone to check who asks.
    Open,
    /// It was checked, and counts.
    Entered,
    /// It was not entered.
    Refused,
}

wording! {
    RightsRequestState { Open = "open", Entered = "entered", Refused = "refused" }
}

/// An entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsEntry {
    /// Its id, which refusals name.
    pub id: RightsId,
    /// What it is about.
    pub kind: RightsKind,
    /// What the holder says.
    pub stance: Stance,
    /// The name and its other spellings.
    pub names: Vec<String>,
    /// What it reaches.
    pub uses: Vec<RightsUse>,
    /// Who holds the right, as shown.
    pub holder: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; nothing if it does not end.
    pub until: Option<Timestamp>,
}

/// An entry that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// No name.
    #[error("an entry has 1 to {MAX_NAMES} names")]
    Names,
    /// A name that would meet every other sentence.
    #[error("a name has at least {MIN_NAME} letters")]
    ShortName,
    /// A name that is no name.
    #[error("a name has at most {MAX_NAME} characters")]
    LongName,
    /// Reaches nothing.
    #[error("an entry reaches at least one use")]
    Uses,
    /// Ends before it begins.
    #[error("an entry ends after it begins")]
    Ends,
    /// No one holds it.
    #[error("an entry names who holds the right")]
    Holder,
}

/// The registry as it is asked: all entries, their names ready to be looked for.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    entries: Vec<(RightsEntry, Vec<Phrase>)>,
}

impl RightsEntry {
    /// Whether it can stand in the registry.
    ///
    /// # Errors
    /// [`RightsError`].
    pub fn check(&self) -> Result<(), RightsError> {
        let letters = |name: &String| name.chars().filter(|character| character.is_alphanumeric()).count();
        // Two letters of a script of syllables or signs are a name already.
        let short = |name: &String| letters(name) < if name.is_ascii() { MIN_NAME } else { MIN_NAME - 1 };
        match () {
            () if self.names.is_empty() || self.names.len() > MAX_NAMES => Err(RightsError::Names),
            () if self.names.iter().any(short) => Err(RightsError::ShortName),
            () if self.names.iter().any(|name| name.chars().count() > MAX_NAME) => Err(RightsError::LongName),
            () if self.uses.is_empty() => Err(RightsError::Uses),
            () if self.until.is_some_and(|until| until <= self.from) => Err(RightsError::Ends),
            () if self.holder.trim().is_empty() => Err(RightsError::Holder),
            () => Ok(()),
        }
    }

    fn holds(&self, stance: Stance, reach: RightsUse, at: Timestamp) -> bool {
        self.stance == stance
            && self.uses.contains(&reach)
            && self.from <= at
            && self.until.is_none_or(|until| at < until)
    }
}

impl Rights {
    /// The registry of these entries.
    pub fn new(entries: Vec<RightsEntry>) -> Self {
        let with_names = |entry: RightsEntry| {
            let names = entry.names.iter().map(|name| Phrase::literal(name)).collect();
            (entry, names)
        };
        Self { entries: entries.into_iter().map(with_names).collect() }
    }

    /// The first entry that forbids what a text says.
    pub fn forbidding(&self, text: &Normalised, reach: RightsUse, at: Timestamp) -> Option<&RightsEntry> {
        let said = |names: &[Phrase]| names.iter().any(|name| name.is_said(text));
        self.entries
            .iter()
            .find(|(entry, names)| entry.holds(Stance::OptOut, reach, at) && said(names))
            .map(|(entry, _)| entry)
    }

    /// Where a reading says what a holder allows.
    pub(super) fn allowed(&self, words: &[Word], reach: RightsUse, at: Timestamp) -> Vec<Span> {
        self.entries
            .iter()
            .filter(|(entry, _)| entry.holds(Stance::OptIn, reach, at))
            .flat_map(|(_, names)| names.iter().flat_map(|name| name.spans(words)))
            .collect()
    }
}

impl RightsKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Work, Self::Character, Self::Artist, Self::Name];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Character => "character",
            Self::Artist => "artist",
            Self::Name => "name",
        }
    }
}

impl Stance {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OptOut, Self::OptIn];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::OptIn => "opt_in",
        }
    }
}

impl RightsUse {
    /// Every use.
    pub const ALL: [Self; 4] = [Self::Prompts, Self::References, Self::Remixes, Self::Training];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::References => "references",
            Self::Remixes => "remixes",
            Self::Training => "training",
        }
    }
}
