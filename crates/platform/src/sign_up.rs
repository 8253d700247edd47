//! Who may join: everyone, those with an invite, nobody.

use crate::time::Timestamp;

/// What the owner decided about new people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUpMode {
    /// Anyone.
    Open,
    /// Whoever has a code.
    Invite,
    /// Nobody.
    Closed,
}

/// What is known of an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Name of the tier that it leads to.
    pub tier: String,
    /// How often it can be used.
    pub uses_allowed: u32,
    /// How often it was.
    pub uses: u32,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

/// Why someone cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignUpRefusal {
    /// Nobody can.
    #[error("this installation takes no new people")]
    Closed,
    /// It takes a code.
    #[error("this installation takes new people by invite: enter the code you were given")]
    InviteNeeded,
    /// The code is unknown or withdrawn.
    #[error("this invite does not exist")]
    InviteUnknown,
    /// The code's time is over.
    #[error("this invite has expired")]
    InviteExpired,
    /// The code was used as often as it can be.
    #[error("this invite has been used up")]
    InviteUsedUp,
}

/// Decides a sign-up, and to which tier it leads. With open sign-up an invite is not needed, but a valid one
/// still gives its tier.
///
/// # Errors
/// [`SignUpRefusal`].
pub fn sign_up_tier<'a>(
    mode: SignUpMode,
    invite: Option<&'a Invite>,
    default_tier: &'a str,
    now: Timestamp,
) -> Result<&'a str, SignUpRefusal> {
    match (mode, invite) {
        (SignUpMode::Closed, _) => Err(SignUpRefusal::Closed),
        (SignUpMode::Invite, None) => Err(SignUpRefusal::InviteNeeded),
        (SignUpMode::Open, None) => Ok(default_tier),
        (SignUpMode::Open | SignUpMode::Invite, Some(invite)) => invite.check(now).map(|()| invite.tier.as_str()),
    }
}

impl Invite {
    /// Whether it can be used now.
    ///
    /// # Errors
    /// [`SignUpRefusal`].
    pub fn check(&self, now: Timestamp) -> Result<(), SignUpRefusal> {
        if self.revoked_at.is_some() {
            Err(SignUpRefusal::InviteUnknown)
        } else if self.expires_at.is_some_and(|end| end <= now) {
            Err(SignUpRefusal::InviteExpired)
        } else if self.uses >= self.uses_allowed {
            Err(SignUpRefusal::InviteUsedUp)
        } else {
            Ok(())
        }
    }
}

impl SignUpMode {
    /// Its word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }

    /// The mode of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Invite, Self::Closed].into_iter().find(|mode| mode.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_works_until_it_is_used_up_or_over() {
        let at = Timestamp::from_seconds;
        let invite =
            Invite { tier: "early".into(), uses_allowed: 1, uses: 0, expires_at: Some(at(10)), revoked_at: None };
        let ask =
            |mode, invite: Option<&Invite>, now| sign_up_tier(mode, invite, "default", at(now)).map(str::to_owned);
        assert_eq!(ask(SignUpMode::Open, None, 0), Ok("default".into()));
        assert_eq!(ask(SignUpMode::Invite, None, 0), Err(SignUpRefusal::InviteNeeded));
        assert_eq!(ask(SignUpMode::Invite, Some(&invite), 9), Ok("early".into()));
        assert_eq!(ask(SignUpMode::Invite, Some(&invite), 10), Err(SignUpRefusal::InviteExpired));
        let used = Invite { uses: 1, ..invite.clone() };
        assert_eq!(ask(SignUpMode::Invite, Some(&used), 0), Err(SignUpRefusal::InviteUsedUp));
        assert_eq!(ask(SignUpMode::Closed, Some(&invite), 0), Err(SignUpRefusal::Closed));
    }
}
