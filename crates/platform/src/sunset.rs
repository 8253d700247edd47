//! The slow end of a model or a service: announced long before, with letters on the way, and never the end of what was made.

use std::time::Duration;

use crate::id::{IdentityId, SunsetId};
use crate::membership::Service;
use crate::model::ModelName;
use crate::refusal::{Refusal, RefusalCode};
use crate::time::Timestamp;

/// What comes to an end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SunsetSubject {
    /// A model: it makes nothing new. What it made stays.
    Model(ModelName),
    /// A service: nothing new can be made in it. What is in it stays, for reading and export.
    Service(Service),
}

/// An end that is announced, or waits for being confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sunset {
    /// Its id.
    pub id: SunsetId,
    /// Of what.
    pub subject: SunsetSubject,
    /// Where people can go on instead, an address or words; may be empty.
    pub successor: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it comes.
    pub ends_at: Timestamp,
    /// When it was announced; nothing if it waits for people to confirm it.
    pub announced_at: Option<Timestamp>,
    /// Which administrators confirmed an end that is nearer than [`NOTICE`].
    pub confirmed_by: Vec<IdentityId>,
}

/// The shortest time between announcement and end: 180 days.
pub const NOTICE: Duration = Duration::from_secs(180 * DAY);
/// How long export is open after the end at least: 90 days.
pub const EXPORT_OPEN: Duration = Duration::from_secs(90 * DAY);
/// So many different administrators confirm an end that is nearer.
const CONFIRMATIONS: usize = 2;
/// How many days before the end a letter is written.
const LETTERS: [u32; 5] = [1, 7, 30, 90, 180];
const DAY: u64 = 86_400;

/// What becomes of a wish for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SunsetStep {
    /// It is announced.
    Announce,
    /// It waits for another administrator.
    Wait,
}

/// Decides a wish for an end that so many administrators confirmed. `nearer` says that a shorter time than [`NOTICE`] is meant.
///
/// # Errors
/// [`Refusal`] for an end in the past, or one that is nearer without being meant so.
pub fn sunset_step(
    ends_at: Timestamp,
    nearer: bool,
    confirmations: usize,
    now: Timestamp,
) -> Result<SunsetStep, Refusal> {
    let refuse = |message: &str| Err(Refusal::new(RefusalCode::InvalidValue, Some("ends_at"), message));
    if ends_at <= now {
        return refuse("The end must lie in the future.");
    }
    if ends_at.since(now) >= NOTICE {
        return Ok(SunsetStep::Announce);
    }
    match (nearer, confirmations) {
        (false, _) => refuse("The end must be at least 180 days away. A nearer one takes two administrators."),
        (true, CONFIRMATIONS..) => Ok(SunsetStep::Announce),
        (true, _) => Ok(SunsetStep::Wait),
    }
}

impl Sunset {
    /// Whether it has come.
    pub fn has_come(&self, now: Timestamp) -> bool {
        self.announced_at.is_some() && self.ends_at <= now
    }

    /// Until when export is open at least.
    pub fn export_until(&self) -> Timestamp {
        self.ends_at + EXPORT_OPEN
    }

    /// How many days before the end the letter is that is due now: the nearest, so that a late announcement sends one and not five.
    pub fn letter(&self, now: Timestamp) -> Option<u32> {
        let left = self.ends_at.since(now);
        let due = |days: &u32| left <= Duration::from_secs(u64::from(*days) * DAY);
        LETTERS.into_iter().find(due).filter(|_| self.announced_at.is_some() && now < self.ends_at)
    }
}

impl SunsetSubject {
    /// Its kind's word in rows and answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Model(_) => "model",
            Self::Service(_) => "service",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Model(name) => name.as_str(),
            Self::Service(service) => service.as_str(),
        }
    }

    /// The subject of these words.
    pub fn from_words(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "model" => ModelName::parse(name).map(Self::Model),
            "service" => Service::from_word(name).map(Self::Service),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn in_days(days: u64) -> Timestamp {
        START + Duration::from_secs(days * DAY)
    }

    #[test]
    fn an_end_is_far_away_or_two_people_mean_it() {
        let check = |days, nearer, confirmations, expected: Option<SunsetStep>| {
            assert_eq!(sunset_step(in_days(days), nearer, confirmations, START).ok(), expected, "{days} {nearer}");
        };
        check(0, true, 2, None);
        check(179, false, 5, None);
        check(180, false, 0, Some(SunsetStep::Announce));
        check(30, true, 1, Some(SunsetStep::Wait));
        check(30, true, 2, Some(SunsetStep::Announce));
    }

    #[test]
    fn letters_go_out_on_five_days_and_a_late_announcement_sends_the_nearest() {
        let subject = SunsetSubject::Service(Service::Social);
        let sunset = Sunset {
            id: SunsetId::new(START, [0; 8]),
            subject,
            successor: String::new(),
            asked_at: START,
            ends_at: in_days(200),
            announced_at: Some(START),
            confirmed_by: Vec::new(),
        };
        let check = |day, expected| assert_eq!(sunset.letter(in_days(day)), expected, "day {day}");
        check(19, None);
        check(20, Some(180));
        check(109, Some(180));
        check(110, Some(90));
        check(170, Some(30));
        check(193, Some(7));
        check(199, Some(1));
        check(200, None);
        assert!(!sunset.has_come(in_days(199)) && sunset.has_come(in_days(200)));
        assert_eq!(sunset.export_until(), in_days(290));
        let waiting = Sunset { announced_at: None, ..sunset };
        assert!(waiting.letter(in_days(199)).is_none() && !waiting.has_come(in_days(300)));
    }
}
