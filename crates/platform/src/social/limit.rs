//! How often someone may do what others see or hear of: generous to people, too little for machines that pester.

use std::time::Duration;

use super::post::words;
use crate::time::Timestamp;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Posting {
    /// Publishing a clip.
    Post,
    /// Writing below a clip.
    Comment,
    /// Writing to someone.
    Message,
    /// Following someone, or asking to.
    Follow,
    /// Liking a clip.
    Like,
    /// Reporting something.
    Report,
}

words! {
    Posting { Post = "post", Comment = "comment", Message = "message", Follow = "follow", Like = "like", Report = "report" }
}

/// How often in an hour of the clock, and in 24 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostingLimit {
    /// In an hour.
    pub per_hour: u32,
    /// In 24 hours.
    pub per_day: u32,
}

impl Posting {
    /// The limit of an installation whose owner has not said another.
    pub fn default_limit(self) -> PostingLimit {
        let (per_hour, per_day) = match self {
            Self::Post => (40, 200),
            Self::Comment => (120, 600),
            Self::Message => (200, 1_000),
            Self::Follow => (100, 400),
            Self::Like => (600, 3_000),
            Self::Report => (20, 80),
        };
        PostingLimit { per_hour, per_day }
    }
}

/// The hours since 1970, which name an hour of counting.
pub fn posting_hour(now: Timestamp) -> i64 {
    now.micros().div_euclid(HOUR_MICROS)
}

const HOUR_MICROS: i64 = 3_600_000_000;
/// Hours that count.
pub const POSTING_HOURS: i64 = 24;

/// How long to wait, if this one is too much. `counts` are the acts of each hour, this one among them, the oldest hour first; hours that
/// are over for a day count no more.
pub fn posting_wait(counts: &[(i64, u64)], limit: PostingLimit, now: Timestamp) -> Option<Duration> {
    let hour = posting_hour(now);
    let until = |hour: i64| Timestamp::from_micros(hour.saturating_mul(HOUR_MICROS)).since(now);
    let this_hour = counts.iter().filter(|(at, _)| *at == hour).map(|(_, count)| count).sum::<u64>();
    let mut wait = (this_hour > u64::from(limit.per_hour)).then(|| until(hour + 1));
    let counted: Vec<_> = counts.iter().filter(|(at, _)| *at > hour - POSTING_HOURS).collect();
    let mut sum = counted.iter().map(|(_, count)| count).sum::<u64>();
    for (at, count) in counted {
        if sum <= u64::from(limit.per_day) {
            break;
        }
        sum -= count;
        wait = wait.max(Some(until(at + POSTING_HOURS)));
    }
    wait
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_waits_for_the_next_hour_or_until_a_day_has_room() {
        let limit = PostingLimit { per_hour: 3, per_day: 5 };
        // Twenty minutes into hour 100.
        let now = Timestamp::from_seconds(100 * 3600 + 1200);
        let check = |counts: &[(i64, u64)], expected: Option<u64>| {
            assert_eq!(posting_wait(counts, limit, now).map(|wait| wait.as_secs()), expected, "{counts:?}");
        };
        check(&[(100, 3)], None);
        check(&[(100, 4)], Some(2400));
        check(&[(76, 9), (100, 3)], None);
        check(&[(77, 2), (100, 3)], None);
        check(&[(77, 3), (100, 3)], Some(2400));
        check(&[(80, 1), (90, 2), (100, 3)], Some(2400 + 3 * 3600));
        check(&[(80, 1), (90, 4), (100, 3)], Some(2400 + 13 * 3600));
        check(&[(99, 3), (100, 4)], Some(2400 + 22 * 3600));
    }
}
