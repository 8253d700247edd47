//! Takedown: the clocks and counts of notices that need no account.

use std::time::Duration;

use crate::social::wording;
use crate::time::Timestamp;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakedownKind {
    /// An intimate image that someone did not want shown, real or made.
    Intimate,
    /// A work that is used without permission.
    Copyright,
}

/// Where a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TakedownState {
    /// It waits for a moderator.
    Open,
    /// The item is off.
    Acted,
    /// It was not followed.
    Refused,
    /// Whoever made the item has answered it: the item comes back unless a suit is shown.
    Countered,
    /// A suit is shown: the item stays off.
    Suit,
    /// The item is back.
    Restored,
}

wording! {
    TakedownKind { Intimate = "intimate", Copyright = "copyright" }
    TakedownState {
        Open = "open", Acted = "acted", Refused = "refused", Countered = "countered", Suit = "suit", Restored = "restored",
    }
}

/// Within which the item of a valid request about an intimate image is off.
const INTIMATE_TIME: Duration = Duration::from_secs(48 * 3_600);
/// After which everyone who administers is called.
const INTIMATE_ALARM: Duration = Duration::from_secs(47 * 3_600);
/// Within which a copyright notice is looked at.
const COPYRIGHT_TIME: Duration = Duration::from_secs(7 * 86_400);
/// Working days after a counter-notice after which the item comes back: later than 10 and no later than 14.
pub const RESTORE_DAYS: u32 = 11;
/// Open notices that one address may have at a time.
pub const MAX_OPEN_NOTICES: u64 = 20;
/// Refused notices within [`REFUSALS_COUNTED`] after which an address is not heard.
pub const MAX_REFUSED_NOTICES: u64 = 5;
/// How far back refused notices count.
pub const REFUSALS_COUNTED: Duration = Duration::from_secs(90 * 86_400);

impl TakedownKind {
    /// When it must be done.
    pub fn due_at(self, received_at: Timestamp) -> Timestamp {
        match self {
            Self::Intimate => received_at + INTIMATE_TIME,
            Self::Copyright => received_at + COPYRIGHT_TIME,
        }
    }

    /// When everyone who administers is called.
    pub fn alarm_at(self, received_at: Timestamp) -> Timestamp {
        match self {
            Self::Intimate => received_at + INTIMATE_ALARM,
            Self::Copyright => received_at + COPYRIGHT_TIME,
        }
    }
}

/// The same time of day so many working days later. Saturdays and Sundays are none; holidays, which differ from place to place, count
/// as working days here.
pub fn business_days_after(at: Timestamp, days: u32) -> Timestamp {
    const DAY: Duration = Duration::from_secs(86_400);
    let (mut at, mut left) = (at, days);
    while left > 0 {
        at = at + DAY;
        // The first of January 1970 was a Thursday.
        let weekday = (at.day() + 3).rem_euclid(7);
        if weekday < 5 {
            left -= 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_days_pass_over_weekends() {
        // Thursday the 1st of January 1970.
        let thursday = Timestamp::from_seconds(3_600);
        let days = |count| business_days_after(thursday, count).day();
        assert_eq!((days(0), days(1), days(2), days(5)), (0, 1, 4, 7));
        // Ten working days are two weeks, eleven a day more, and fourteen are the last.
        assert_eq!((days(10), days(RESTORE_DAYS), days(14)), (14, 15, 20));
        let saturday = Timestamp::from_seconds(2 * 86_400);
        assert_eq!(business_days_after(saturday, 1).day(), 4);
    }

    #[test]
    fn the_alarm_is_an_hour_before_the_end() {
        let at = Timestamp::from_seconds(0);
        assert_eq!(
            TakedownKind::Intimate.due_at(at).since(TakedownKind::Intimate.alarm_at(at)),
            Duration::from_secs(3_600)
        );
    }
}
