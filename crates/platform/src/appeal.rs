//! Appeals: one for each decision, free, for half a year, decided by another person within seven days.

use std::time::Duration;

use crate::decision::{DecisionRecord, DecisionScope, DecisionState};
use crate::id::IdentityId;
use crate::membership::Role;
use crate::social::wording;
use crate::time::Timestamp;

/// How long a decision can be contested.
pub const APPEAL_WINDOW: Duration = Duration::from_secs(180 * 86_400);
/// How long an answer may take.
pub const APPEAL_TIME: Duration = Duration::from_secs(7 * 86_400);
/// The longest appeal and the longest answer, in characters.
pub const APPEAL_LENGTH: usize = 4_000;

/// What an appeal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppealOutcome {
    /// The decision stays.
    Upheld,
    /// The decision was wrong: what it took is given back.
    Overturned,
}

wording! {
    AppealOutcome { Upheld = "upheld", Overturned = "overturned" }
}

/// Why an appeal is not taken, or not decided by this person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppealRefusal {
    /// The half year is over.
    #[error("a decision can be contested for 180 days")]
    TooLate,
    /// It limits nothing, or does not count any more.
    #[error("there is nothing to contest: this limit does not count any more")]
    NothingToContest,
    /// Nothing was written.
    #[error("an appeal says in a few words why the decision is wrong, in 4,000 characters at most")]
    Empty,
    /// Whoever decided, confirmed or is concerned does not review.
    #[error("another person than the one who decided reviews an appeal")]
    SamePerson,
    /// Without the role.
    #[error(
        "only a moderator of the service reviews its appeals, and only an administrator those about a whole account"
    )]
    NotModerator,
}

impl DecisionRecord {
    /// Whether its subject may contest it now.
    ///
    /// # Errors
    /// [`AppealRefusal`].
    pub fn may_be_contested(&self, state: DecisionState, now: Timestamp) -> Result<(), AppealRefusal> {
        if !self.is_limit() || !matches!(state, DecisionState::Standing) {
            return Err(AppealRefusal::NothingToContest);
        }
        if now > self.contestable_until() { Err(AppealRefusal::TooLate) } else { Ok(()) }
    }

    /// Whether someone may review an appeal against it. There is no way to ask this for a program: a person is named.
    ///
    /// # Errors
    /// [`AppealRefusal`].
    pub fn may_be_reviewed_by(&self, reviewer: IdentityId, role: Role) -> Result<(), AppealRefusal> {
        let needed = if self.scope == DecisionScope::Identity { Role::Administrator } else { Role::Moderator };
        if role < needed {
            return Err(AppealRefusal::NotModerator);
        }
        let concerned = [self.author, self.second, Some(self.subject)];
        if concerned.contains(&Some(reviewer)) { Err(AppealRefusal::SamePerson) } else { Ok(()) }
    }

    /// Whether an appeal that is late lifts the limit until it is decided: not what is held to be against the law, and nothing that
    /// took two people.
    pub fn is_lifted_while_late(&self) -> bool {
        !self.unlawful && self.scope != DecisionScope::Identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{DecidedItem, DecidedKind, DecidedRule, DecisionEffect};
    use crate::id::DecisionId;
    use crate::membership::Service;

    const DAY: Duration = Duration::from_secs(86_400);

    fn person(last: u8) -> IdentityId {
        IdentityId::from_bytes([last; 16])
    }

    fn decision(scope: DecisionScope) -> DecisionRecord {
        DecisionRecord {
            id: DecisionId::from_bytes([1; 16]),
            subject: person(1),
            scope,
            service: Some(Service::Social),
            effect: DecisionEffect::Withhold,
            item: DecidedItem::new(DecidedKind::Post, [2; 16]),
            ground: "spam".into(),
            rule: DecidedRule::of_house("spam"),
            facts: String::new(),
            evidence: String::new(),
            unlawful: false,
            automated_detection: false,
            author: Some(person(2)),
            second: None,
            strikes: 0,
            decided_at: Timestamp::from_seconds(1_790_000_000),
            ends_at: None,
        }
    }

    #[test]
    fn day_180_is_in_time_and_day_181_is_not() {
        let decision = decision(DecisionScope::Item);
        let on = |day: u32| decision.may_be_contested(DecisionState::Standing, decision.decided_at + DAY * day);
        assert_eq!(on(0), Ok(()));
        assert_eq!(on(180), Ok(()));
        assert_eq!(on(181), Err(AppealRefusal::TooLate));
        let lifted = decision.may_be_contested(DecisionState::Lifted, decision.decided_at);
        assert_eq!(lifted, Err(AppealRefusal::NothingToContest));
    }

    #[test]
    fn another_person_with_the_role_reviews() {
        let item = decision(DecisionScope::Item);
        let check = |who: u8, role, expected| assert_eq!(item.may_be_reviewed_by(person(who), role), expected);
        check(3, Role::Moderator, Ok(()));
        check(3, Role::Member, Err(AppealRefusal::NotModerator));
        check(2, Role::Administrator, Err(AppealRefusal::SamePerson));
        check(1, Role::Administrator, Err(AppealRefusal::SamePerson));
        let account = DecisionRecord { second: Some(person(4)), ..decision(DecisionScope::Identity) };
        assert_eq!(account.may_be_reviewed_by(person(3), Role::Moderator), Err(AppealRefusal::NotModerator));
        assert_eq!(account.may_be_reviewed_by(person(4), Role::Administrator), Err(AppealRefusal::SamePerson));
        assert_eq!(account.may_be_reviewed_by(person(3), Role::Administrator), Ok(()));
        assert!(item.is_lifted_while_late() && !account.is_lifted_while_late());
        assert!(!DecisionRecord { unlawful: true, ..item }.is_lifted_while_late());
    }
}
