//! Who may use whose likeness at a moment. Asked at submit, at render start, at publish and at playback, each time anew.

use super::consent::CONSENT_VERSION;
use crate::id::{ConsentId, IdentityId, LikenessId};
use crate::time::Timestamp;

/// Who may use a likeness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The person alone.
    #[default]
    OnlyMe,
    /// People whom they approve.
    Approved,
    /// These, and people who follow them and whom they follow.
    Mutuals,
    /// Everyone but whom they blocked.
    Everyone,
}

/// How someone stands to a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bonds {
    /// One of the two blocked the other.
    pub blocked: bool,
    /// The person approved them.
    pub approved: bool,
    /// Each follows the other.
    pub mutual: bool,
}

/// The consent that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingConsent {
    /// Its receipt.
    pub id: ConsentId,
    /// The version of its text.
    pub version: u32,
    /// Whether it is for clips.
    pub generate: bool,
    /// When it was given.
    pub given_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What is known of a likeness and of someone who would use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LikenessFacts {
    /// The likeness.
    pub likeness: LikenessId,
    /// Whose it is.
    pub owner: IdentityId,
    /// Whether the person is a member of the service, and may be used as one.
    pub present: bool,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
    /// The consent that stands; nothing if none does.
    pub consent: Option<StandingConsent>,
    /// Who may.
    pub audience: Audience,
    /// How the maker stands to the person.
    pub bonds: Bonds,
}

/// Proof that someone may use a likeness, by a consent, as of a moment. Only [`permit`] makes one; it is never stored or queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    likeness: LikenessId,
    owner: IdentityId,
    consent: ConsentId,
}

/// Why there is no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LikenessRefusal {
    /// It was withdrawn, or its consent has ended, or the person is not there.
    #[error("this person's likeness is not to be used any more")]
    Revoked,
    /// The text of the consent was worded anew since.
    #[error("this person has to agree to the new words of the consent first")]
    Outdated,
    /// Not for this maker.
    #[error("this person does not let you use their likeness")]
    NotForYou,
}

impl Audience {
    /// Every audience, the narrowest first.
    pub const ALL: [Self; 4] = [Self::OnlyMe, Self::Approved, Self::Mutuals, Self::Everyone];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnlyMe => "only_me",
            Self::Approved => "approved",
            Self::Mutuals => "mutuals",
            Self::Everyone => "everyone",
        }
    }

    /// The audience of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|audience| audience.as_str() == word)
    }

    /// Whether someone of these bonds is in it.
    pub fn includes(self, bonds: Bonds) -> bool {
        !bonds.blocked
            && match self {
                Self::OnlyMe => false,
                Self::Approved => bonds.approved,
                Self::Mutuals => bonds.approved || bonds.mutual,
                Self::Everyone => true,
            }
    }
}

impl Permission {
    /// Of which likeness.
    pub fn likeness(&self) -> LikenessId {
        self.likeness
    }

    /// Whose it is.
    pub fn owner(&self) -> IdentityId {
        self.owner
    }

    /// By which consent.
    pub fn consent(&self) -> ConsentId {
        self.consent
    }
}

impl LikenessRefusal {
    /// Every refusal.
    pub const ALL: [Self; 3] = [Self::Revoked, Self::Outdated, Self::NotForYou];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "likeness_revoked",
            Self::Outdated => "likeness_consent_outdated",
            Self::NotForYou => "likeness_not_permitted",
        }
    }
}

/// Whether `maker` may use a likeness for something new at a moment.
///
/// # Errors
/// [`LikenessRefusal`].
pub fn permit(facts: &LikenessFacts, maker: IdentityId, at: Timestamp) -> Result<Permission, LikenessRefusal> {
    let permission = stand(facts, maker, at)?;
    match facts.consent {
        Some(consent) if consent.version == CONSENT_VERSION => Ok(permission),
        _ => Err(LikenessRefusal::Outdated),
    }
}

/// Whether what `maker` made with a likeness may still be shown at a moment. A new wording asks for fresh consent before the next use, and
/// does not undo what was allowed.
///
/// # Errors
/// [`LikenessRefusal`].
pub fn stand(facts: &LikenessFacts, maker: IdentityId, at: Timestamp) -> Result<Permission, LikenessRefusal> {
    let consent = facts.consent.filter(|consent| consent.generate && consent.given_at <= at && at < consent.expires_at);
    let Some(consent) = consent.filter(|_| facts.present && facts.revoked_at.is_none()) else {
        return Err(LikenessRefusal::Revoked);
    };
    if facts.owner != maker && !facts.audience.includes(facts.bonds) {
        return Err(LikenessRefusal::NotForYou);
    }
    Ok(Permission { likeness: facts.likeness, owner: facts.owner, consent: consent.id })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn person(last: u8) -> IdentityId {
        IdentityId::from_bytes([last; 16])
    }

    fn facts() -> LikenessFacts {
        LikenessFacts {
            likeness: LikenessId::from_bytes([7; 16]),
            owner: person(1),
            present: true,
            revoked_at: None,
            consent: Some(StandingConsent {
                id: ConsentId::from_bytes([8; 16]),
                version: CONSENT_VERSION,
                generate: true,
                given_at: NOW,
                expires_at: Timestamp::from_seconds(1_800_000_000),
            }),
            audience: Audience::OnlyMe,
            bonds: Bonds::default(),
        }
    }

    #[test]
    fn who_may_is_who_the_person_says() {
        let check = |audience, bonds: Bonds, expected: bool| {
            let facts = LikenessFacts { audience, bonds, ..facts() };
            assert_eq!(permit(&facts, person(2), NOW).is_ok(), expected, "{audience:?} {bonds:?}");
            // Oneself always.
            assert!(permit(&facts, person(1), NOW).is_ok());
        };
        let nobody = Bonds::default();
        let (approved, mutual) = (Bonds { approved: true, ..nobody }, Bonds { mutual: true, ..nobody });
        for (audience, expected) in [
            (Audience::OnlyMe, [false, false, false]),
            (Audience::Approved, [false, true, false]),
            (Audience::Mutuals, [false, true, true]),
            (Audience::Everyone, [true, true, true]),
        ] {
            for (bonds, expected) in [nobody, approved, mutual].into_iter().zip(expected) {
                check(audience, bonds, expected);
                check(audience, Bonds { blocked: true, ..bonds }, false);
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_allowed() {
        let check = |facts: LikenessFacts, expected| {
            assert_eq!(permit(&facts, person(1), NOW).map(|_| ()), expected, "{facts:?}");
        };
        let consent = facts().consent.unwrap();
        check(facts(), Ok(()));
        check(LikenessFacts { consent: None, ..facts() }, Err(LikenessRefusal::Revoked));
        check(LikenessFacts { present: false, ..facts() }, Err(LikenessRefusal::Revoked));
        check(LikenessFacts { revoked_at: Some(NOW), ..facts() }, Err(LikenessRefusal::Revoked));
        let with = |consent| LikenessFacts { consent: Some(consent), ..facts() };
        check(with(StandingConsent { generate: false, ..consent }), Err(LikenessRefusal::Revoked));
        check(with(StandingConsent { expires_at: NOW, ..consent }), Err(LikenessRefusal::Revoked));
        check(with(StandingConsent { version: CONSENT_VERSION + 1, ..consent }), Err(LikenessRefusal::Outdated));
        // What was made by an older wording is shown on.
        assert!(stand(&with(StandingConsent { version: 0, ..consent }), person(1), NOW).is_ok());
    }
}
