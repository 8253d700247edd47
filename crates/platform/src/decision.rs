//! A decision limits someone. It always has a scope, a ground, an author and an end (or says that it has none).

use crate::id::{DecisionId, IdentityId};
use crate::membership::{Role, Service};
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

/// A decision as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its id.
    pub id: DecisionId,
    /// Whom it limits.
    pub subject: IdentityId,
    /// In which service.
    pub service: Service,
    /// How far.
    pub scope: DecisionScope,
    /// The rule it rests on.
    pub ground: String,
    /// Who decided.
    pub author: IdentityId,
    /// When.
    pub decided_at: Timestamp,
    /// When it ends; nothing if it is permanent.
    pub ends_at: Option<Timestamp>,
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

/// A limit of all of someone's services, which waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedDecision {
    /// Its id.
    pub id: DecisionId,
    /// Whom it limits.
    pub subject: IdentityId,
    /// One of [`IDENTITY_GROUNDS`].
    pub ground: String,
    /// Who proposed it.
    pub proposed_by: IdentityId,
    /// When.
    pub proposed_at: Timestamp,
    /// When it ends; nothing if it is permanent.
    pub ends_at: Option<Timestamp>,
}

impl ProposedDecision {
    /// Whether someone with this role may propose it.
    ///
    /// # Errors
    /// [`DecisionError`].
    pub fn check(&self, role: Role) -> Result<(), DecisionError> {
        if role < Role::Administrator {
            return Err(DecisionError::NotAdministrator);
        }
        if IDENTITY_GROUNDS.contains(&self.ground.as_str()) { Ok(()) } else { Err(DecisionError::NotListed) }
    }

    /// Whether someone with this role may confirm it.
    ///
    /// # Errors
    /// [`DecisionError`].
    pub fn check_second(&self, who: IdentityId, role: Role) -> Result<(), DecisionError> {
        self.check(role)?;
        if who == self.proposed_by { Err(DecisionError::SamePerson) } else { Ok(()) }
    }
}

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

impl Decision {
    /// Whether someone with this role in the decision's service may decide it.
    ///
    /// # Errors
    /// [`DecisionError`]. Identity scope is always refused here: it takes two people and has its own path.
    pub fn check(&self, role: Role) -> Result<(), DecisionError> {
        if role < Role::Moderator {
            return Err(DecisionError::NotModerator);
        }
        if self.scope == DecisionScope::Identity {
            return Err(DecisionError::TooWide);
        }
        if self.ground.trim().is_empty() {
            return Err(DecisionError::NoGround);
        }
        Ok(())
    }
}
