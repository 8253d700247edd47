//! A decision limits someone. It always has a scope, a ground, a rule, an author (or says that a program decided) and an end (or says
//! that it has none); with its statement of reasons it is one record.

use sha2::{Digest as _, Sha256};

use crate::appeal::APPEAL_WINDOW;
use crate::id::{DecisionId, IdentityId};
use crate::membership::{Role, Service};
use crate::social::wording;
use crate::time::Timestamp;

/// How far a decision reaches, the narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionScope {
    /// One thing.
    Item,
    /// One thing that a member can do.
    Capability,
    /// One membership: the widest that a service can impose.
    Service,
    /// The login. Needs a second authorised person and a ground from the published list.
    Identity,
}

/// What a decision does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionEffect {
    /// What was asked for is not done.
    Refuse,
    /// A thing is kept back: only its owner sees it.
    Withhold,
    /// A thing is taken away, or a permission is.
    Remove,
    /// In a service nothing new may be made.
    Restrict,
    /// A service is closed to someone.
    Suspend,
    /// A limit is lifted.
    Restore,
}

/// What kind of thing a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecidedKind {
    /// What was to be made: its id follows from the words, see [`DecidedItem::of_words`].
    Prompt,
    /// A clip.
    Video,
    /// A post.
    Post,
    /// A comment.
    Comment,
    /// A profile.
    Profile,
    /// A message.
    Message,
    /// Someone's likeness, or a use of it.
    Likeness,
    /// An attempt to enrol a likeness. A still that was refused has an id that follows from the picture, see [`DecidedItem::of_bytes`].
    Enrolment,
    /// A membership.
    Membership,
    /// The whole account.
    Account,
}

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecidedItem {
    /// Its kind.
    pub kind: DecidedKind,
    /// The bytes of its id, if it has one.
    pub id: Option<[u8; 16]>,
}

/// The rule that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedRule {
    /// Its id, as it is published.
    pub id: String,
    /// The version of the rules that counted then.
    pub version: String,
}

/// A decision with its statement of reasons, as it is recorded: what is limited, how far and how long, on which facts and by which
/// rule, and whether a person or a program found and decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Its id.
    pub id: DecisionId,
    /// Whom it limits.
    pub subject: IdentityId,
    /// How far.
    pub scope: DecisionScope,
    /// In which service; nothing if it is about the whole account.
    pub service: Option<Service>,
    /// What it does.
    pub effect: DecisionEffect,
    /// What it is about.
    pub item: DecidedItem,
    /// What it is against, one word such as `spam`.
    pub ground: String,
    /// The rule.
    pub rule: DecidedRule,
    /// What happened, in the words of whoever decided. Nothing secret, and nobody else's name.
    pub facts: String,
    /// The words that it is about, for whoever reviews it: a refused prompt. They go with the account.
    pub evidence: String,
    /// Whether the thing is held to be against the law. Then it stays away while an appeal is late.
    pub unlawful: bool,
    /// Whether a program found it.
    pub automated_detection: bool,
    /// Who decided; nobody if a program did.
    pub author: Option<IdentityId>,
    /// The second person, of a decision about a whole account.
    pub second: Option<IdentityId>,
    /// Strikes that come with it, in its service.
    pub strikes: u32,
    /// When.
    pub decided_at: Timestamp,
    /// When it ends; nothing if it is permanent.
    pub ends_at: Option<Timestamp>,
}

/// Where a decision stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionState {
    /// It waits for a second person.
    Proposed,
    /// It counts.
    Standing,
    /// It does not count while an appeal against it is late.
    Paused,
    /// It was lifted, and no appeal was needed.
    Lifted,
    /// An appeal was right.
    Overturned,
}

wording! {
    DecisionEffect {
        Refuse = "refuse", Withhold = "withhold", Remove = "remove", Restrict = "restrict", Suspend = "suspend", Restore = "restore",
    }
    DecidedKind {
        Prompt = "prompt", Video = "video", Post = "post", Comment = "comment", Profile = "profile", Message = "message",
        Likeness = "likeness", Enrolment = "enrolment", Membership = "membership", Account = "account",
    }
    DecisionState {
        Proposed = "proposed", Standing = "standing", Paused = "paused", Lifted = "lifted", Overturned = "overturned",
    }
}

/// The version of the rules of the house that moderators decide by: the grounds of reports and [`IDENTITY_GROUNDS`].
pub const HOUSE_RULES: &str = "2026-11";

impl DecidedItem {
    /// A thing with an id.
    pub fn new(kind: DecidedKind, id: [u8; 16]) -> Self {
        Self { kind, id: Some(id) }
    }

    /// A thing that is not there yet, or has no id.
    pub fn unnamed(kind: DecidedKind) -> Self {
        Self { kind, id: None }
    }

    /// Words that were refused: the same words are the same item.
    pub fn of_words(kind: DecidedKind, words: &str) -> Self {
        Self::of_bytes(kind, words.as_bytes())
    }

    /// A file that was refused: the same bytes are the same item.
    pub fn of_bytes(kind: DecidedKind, bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self::new(kind, id)
    }
}

impl DecidedRule {
    /// A rule of the house: its id is the ground.
    pub fn of_house(ground: &str) -> Self {
        Self { id: ground.to_owned(), version: HOUSE_RULES.to_owned() }
    }
}

/// The decider may not decide this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// Not a moderator of that service.
    #[error("only a moderator of the service decides about its members")]
    NotModerator,
    /// A service reached past itself.
    #[error("a service can limit its own membership and nothing wider")]
    TooWide,
    /// Not an administrator.
    #[error("only administrators decide about a whole account, two of them together")]
    NotAdministrator,
    /// A ground that is not on the list.
    #[error("a whole account is limited on one of these grounds alone: {}", IDENTITY_GROUNDS.join(", "))]
    NotListed,
    /// It is about whoever decides.
    #[error("nobody decides about themselves: another person does")]
    OwnCase,
    /// The same person twice.
    #[error("another administrator than the one who proposed it confirms it")]
    SamePerson,
    /// No ground was given.
    #[error("a decision names the rule it rests on")]
    NoGround,
}

/// The grounds on which all of someone's services can be limited at once. Published, and short on purpose.
pub const IDENTITY_GROUNDS: [&str; 4] =
    ["child_safety", "court_order", "account_takeover", "attack_on_the_installation"];

impl DecisionScope {
    /// Every scope, the narrowest first.
    pub const ALL: [Self; 4] = [Self::Item, Self::Capability, Self::Service, Self::Identity];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Capability => "capability",
            Self::Service => "service",
            Self::Identity => "identity",
        }
    }
}

impl DecisionRecord {
    /// Whether someone with this role in the decision's service may decide it.
    ///
    /// # Errors
    /// [`DecisionError`]. Identity scope is always refused here: it takes two people, see [`Self::check_proposal`].
    pub fn check(&self, role: Role) -> Result<(), DecisionError> {
        if role < Role::Moderator {
            return Err(DecisionError::NotModerator);
        }
        if self.scope == DecisionScope::Identity || self.service.is_none() {
            return Err(DecisionError::TooWide);
        }
        if self.author == Some(self.subject) {
            return Err(DecisionError::OwnCase);
        }
        if self.ground.trim().is_empty() || self.rule.id.trim().is_empty() {
            return Err(DecisionError::NoGround);
        }
        Ok(())
    }

    /// Whether someone with this role may propose to limit a whole account.
    ///
    /// # Errors
    /// [`DecisionError`].
    pub fn check_proposal(&self, role: Role) -> Result<(), DecisionError> {
        if role < Role::Administrator {
            return Err(DecisionError::NotAdministrator);
        }
        if IDENTITY_GROUNDS.contains(&self.ground.as_str()) { Ok(()) } else { Err(DecisionError::NotListed) }
    }

    /// Whether someone with this role may confirm the proposal.
    ///
    /// # Errors
    /// [`DecisionError`].
    pub fn check_second(&self, who: IdentityId, role: Role) -> Result<(), DecisionError> {
        self.check_proposal(role)?;
        if self.author == Some(who) { Err(DecisionError::SamePerson) } else { Ok(()) }
    }

    /// Until when it can be contested: half a year after it was decided.
    pub fn contestable_until(&self) -> Timestamp {
        self.decided_at + APPEAL_WINDOW
    }

    /// Whether it limits anything that an appeal could give back.
    pub fn is_limit(&self) -> bool {
        self.effect != DecisionEffect::Restore
    }
}
