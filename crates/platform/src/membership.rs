//! Identities hold memberships, one a service. Each has its own state, strikes and quotas, and every path
//! asks the membership: nothing is global, so nothing spreads.

use crate::id::IdentityId;
use crate::time::Timestamp;

/// What an identity can be a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Making clips and the library of them.
    Video,
    /// Profile, feed, messages.
    Social,
    /// Face and voice.
    Likeness,
    /// Projects, keys, webhooks.
    Api,
    /// Connections to chat assistants.
    Assistant,
}

/// Where a membership stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MembershipState {
    /// Never joined.
    #[default]
    None,
    /// Everything works.
    Active,
    /// Nothing new may be made; what is there stays usable.
    Restricted,
    /// Nothing works but the account centre.
    Suspended,
    /// The person asked to end it; undo is still possible.
    Closing,
    /// Ended.
    Closed,
}

/// What happens to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipEvent {
    /// The person joins, or joins again after the end.
    Join,
    /// A decision limits it.
    Restrict,
    /// A decision stops it.
    Suspend,
    /// The decision is lifted or has run out.
    Restore,
    /// The person asks to end it.
    Close,
    /// The person changes their mind within the undo window.
    Undo,
    /// The undo window is over and the data is gone.
    Finish,
}

/// One identity in one service. `strikes` counts only what happened in this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Whose.
    pub identity: IdentityId,
    /// In what.
    pub service: Service,
    /// Where it stands.
    pub state: MembershipState,
    /// What the person may decide about others.
    pub role: Role,
    /// Strikes in this service alone.
    pub strikes: u32,
    /// When a restriction or suspension ends by itself; nothing if it does not, or if there is none.
    pub limited_until: Option<Timestamp>,
    /// Whether the service itself has come to its end: nothing new can be made in it by anyone.
    pub retired: bool,
}

/// Proof that a membership was active when it was checked. Only [`Membership::active`] makes one; it is a fact
/// about that moment, so it is never stored or queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveMembership {
    identity: IdentityId,
    service: Service,
}

/// Proof that a membership may read and delete what is its own. Only [`Membership::readable`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadableMembership {
    identity: IdentityId,
    service: Service,
}

/// Why a membership gives no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipRefusal {
    /// Never joined.
    #[error("you are not a member of the {0} service")]
    NotMember(Service),
    /// Limited by a decision.
    #[error("your membership of the {0} service is restricted: nothing new can be made, what is there stays usable")]
    Restricted(Service),
    /// Stopped by a decision.
    #[error("your membership of the {0} service is suspended; your other services are not affected")]
    Suspended(Service),
    /// The service itself has come to its end.
    #[error("the {0} service has come to its end: nothing new can be made in it, what is there stays usable")]
    Retired(Service),
    /// Ending or ended.
    #[error("your membership of the {0} service is closed; your other services are not affected")]
    Closed(Service),
}

/// What someone may decide about others in a service. A higher role includes the lower ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// About their own things only.
    #[default]
    Member,
    /// About items and members of the service.
    Moderator,
    /// About the installation.
    Administrator,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [Self::Video, Self::Social, Self::Likeness, Self::Api, Self::Assistant];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Social => "social",
            Self::Likeness => "likeness",
            Self::Api => "api",
            Self::Assistant => "assistant",
        }
    }

    /// The service of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.as_str() == word)
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl MembershipState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Active, Self::Restricted, Self::Suspended, Self::Closing, Self::Closed];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Active => "active",
            Self::Restricted => "restricted",
            Self::Suspended => "suspended",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The state after an event; nothing if the event cannot happen here. A suspended member can close, and
    /// an undone closing comes back active: the caller restricts or suspends again if a decision still stands.
    pub fn next(self, event: MembershipEvent) -> Option<Self> {
        use MembershipEvent as Event;
        match (self, event) {
            (Self::None | Self::Closed, Event::Join) => Some(Self::Active),
            (Self::Active | Self::Suspended, Event::Restrict) => Some(Self::Restricted),
            (Self::Active | Self::Restricted, Event::Suspend) => Some(Self::Suspended),
            (Self::Restricted | Self::Suspended, Event::Restore) => Some(Self::Active),
            (Self::Active | Self::Restricted | Self::Suspended, Event::Close) => Some(Self::Closing),
            (Self::Closing, Event::Undo) => Some(Self::Active),
            (Self::Closing, Event::Finish) => Some(Self::Closed),
            _ => None,
        }
    }
}

impl Membership {
    /// The membership of someone who never joined.
    pub fn none(identity: IdentityId, service: Service) -> Self {
        let (state, role) = (MembershipState::None, Role::Member);
        Self { identity, service, state, role, strikes: 0, limited_until: None, retired: false }
    }

    /// The membership as it is at a moment: a restriction or suspension whose time is over counts no more, whether or not
    /// that was written down.
    pub fn at(self, now: Timestamp) -> Self {
        let is_over = self.limited_until.is_some_and(|end| end <= now);
        match self.state.next(MembershipEvent::Restore) {
            Some(state) if is_over => Self { state, limited_until: None, ..self },
            _ => self,
        }
    }

    /// The limit that stands now, with its end: what comes back when an end that was asked for is taken back.
    pub fn limit(&self) -> Option<(MembershipEvent, Option<Timestamp>)> {
        match self.state {
            MembershipState::Restricted => Some((MembershipEvent::Restrict, self.limited_until)),
            MembershipState::Suspended => Some((MembershipEvent::Suspend, self.limited_until)),
            _ => None,
        }
    }

    /// Permission to make something new.
    ///
    /// # Errors
    /// The state's [`MembershipRefusal`].
    pub fn active(&self) -> Result<ActiveMembership, MembershipRefusal> {
        match self.state {
            MembershipState::Restricted => Err(MembershipRefusal::Restricted(self.service)),
            _ => match self.readable()? {
                _ if self.retired => Err(MembershipRefusal::Retired(self.service)),
                ReadableMembership { identity, service } => Ok(ActiveMembership { identity, service }),
            },
        }
    }

    /// Permission to read and delete what is there.
    ///
    /// # Errors
    /// The state's [`MembershipRefusal`].
    pub fn readable(&self) -> Result<ReadableMembership, MembershipRefusal> {
        match self.state {
            MembershipState::Active | MembershipState::Restricted => {
                Ok(ReadableMembership { identity: self.identity, service: self.service })
            }
            MembershipState::None => Err(MembershipRefusal::NotMember(self.service)),
            MembershipState::Suspended => Err(MembershipRefusal::Suspended(self.service)),
            MembershipState::Closing | MembershipState::Closed => Err(MembershipRefusal::Closed(self.service)),
        }
    }
}

impl ActiveMembership {
    /// Whose.
    pub fn identity(&self) -> IdentityId {
        self.identity
    }

    /// In what.
    pub fn service(&self) -> Service {
        self.service
    }
}

impl ReadableMembership {
    /// Whose.
    pub fn identity(&self) -> IdentityId {
        self.identity
    }

    /// In what.
    pub fn service(&self) -> Service {
        self.service
    }
}

impl MembershipRefusal {
    /// The stable word that answers carry.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotMember(_) => "not_a_member",
            Self::Restricted(_) => "membership_restricted",
            Self::Suspended(_) => "membership_suspended",
            Self::Retired(_) => "service_retired",
            Self::Closed(_) => "service_closed",
        }
    }
}

impl Role {
    /// Every role, the lowest first.
    pub const ALL: [Self; 3] = [Self::Member, Self::Moderator, Self::Administrator];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Administrator => "administrator",
        }
    }

    /// The role of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_gives_its_own_answer() {
        let check = |state, active, readable| {
            let identity = IdentityId::new(Timestamp::default(), [0; 8]);
            let membership = Membership { state, ..Membership::none(identity, Service::Api) };
            let code = |result: Option<MembershipRefusal>| result.map_or("ok", MembershipRefusal::code);
            assert_eq!((code(membership.active().err()), code(membership.readable().err())), (active, readable));
        };
        check(MembershipState::None, "not_a_member", "not_a_member");
        check(MembershipState::Active, "ok", "ok");
        check(MembershipState::Restricted, "membership_restricted", "ok");
        check(MembershipState::Suspended, "membership_suspended", "membership_suspended");
        check(MembershipState::Closing, "service_closed", "service_closed");
        check(MembershipState::Closed, "service_closed", "service_closed");
    }

    #[test]
    fn in_a_service_that_has_ended_everything_can_be_read_and_nothing_made() {
        let none = Membership::none(IdentityId::new(Timestamp::default(), [0; 8]), Service::Social);
        let membership = Membership { state: MembershipState::Active, retired: true, ..none };
        assert_eq!(membership.active(), Err(MembershipRefusal::Retired(Service::Social)));
        assert!(membership.readable().is_ok());
    }

    #[test]
    fn a_limit_ends_at_its_time_and_not_before() {
        let check = |state, end: Option<i64>, now, expected| {
            let none = Membership::none(IdentityId::new(Timestamp::default(), [0; 8]), Service::Api);
            let membership = Membership { state, limited_until: end.map(Timestamp::from_seconds), ..none };
            assert_eq!(membership.at(Timestamp::from_seconds(now)).state, expected, "{state:?} {end:?} {now}");
        };
        check(MembershipState::Suspended, Some(10), 9, MembershipState::Suspended);
        check(MembershipState::Suspended, Some(10), 10, MembershipState::Active);
        check(MembershipState::Restricted, Some(10), 11, MembershipState::Active);
        check(MembershipState::Restricted, None, i64::from(i32::MAX), MembershipState::Restricted);
        // The end of a limit does not undo what the person asked for.
        check(MembershipState::Closing, Some(10), 11, MembershipState::Closing);
        check(MembershipState::Closed, Some(10), 11, MembershipState::Closed);
    }

    #[test]
    fn a_suspended_member_can_leave_and_come_back() {
        use MembershipEvent::{Close, Finish, Join, Suspend, Undo};
        let mut state = MembershipState::None;
        for event in [Join, Suspend, Close, Finish, Join] {
            state = state.next(event).unwrap();
        }
        assert_eq!(state, MembershipState::Active);
        assert_eq!(state.next(Undo), None);
        assert!(MembershipState::ALL.iter().all(|state| MembershipState::from_word(state.as_str()) == Some(*state)));
    }
}
