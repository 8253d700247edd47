//! Requests in a minute: spread evenly, with a burst of the whole minute. One moment is all that is remembered.

use std::time::Duration;

use crate::time::Timestamp;

/// When the bucket will be full again (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateState(Timestamp);

/// Whether a request may pass, with what the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateDecision {
    /// Whether it passes.
    pub allowed: bool,
    /// `x-ratelimit-limit-requests`.
    pub limit: u32,
    /// `x-ratelimit-remaining-requests`.
    pub remaining: u32,
    /// `x-ratelimit-reset-requests`: until all of the limit is there again.
    pub reset_after: Duration,
    /// `retry-after`: until the next one passes; nothing if this one does.
    pub retry_after: Duration,
    /// What to remember. A refused request changes nothing.
    pub state: RateState,
}

/// Decides one request under a limit of so many in a minute. A limit of 0 lets nothing through.
pub fn rate_decision(state: RateState, per_minute: u32, now: Timestamp) -> RateDecision {
    const MINUTE: Duration = Duration::from_secs(60);
    if per_minute == 0 {
        let (limit, remaining, reset_after) = (0, 0, MINUTE);
        return RateDecision { allowed: false, limit, remaining, reset_after, retry_after: MINUTE, state };
    }
    let interval = MINUTE / per_minute;
    let burst = interval * per_minute;
    let waiting = state.0.since(now);
    let after = waiting + interval;
    let (allowed, debt) = if after <= burst { (true, after) } else { (false, waiting) };
    RateDecision {
        allowed,
        limit: per_minute,
        remaining: u32::try_from(burst.saturating_sub(debt).as_nanos() / interval.as_nanos().max(1))
            .unwrap_or(u32::MAX),
        reset_after: debt,
        retry_after: if allowed { Duration::ZERO } else { after.saturating_sub(burst) },
        state: if allowed { RateState(now + debt) } else { state },
    }
}

impl RateState {
    /// From a row.
    pub const fn from_timestamp(full_at: Timestamp) -> Self {
        Self(full_at)
    }

    /// As a row holds it.
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }
}

/// A duration as the reset headers write it: `250ms`, `1s`, `6m0s`.
pub fn header_duration(duration: Duration) -> String {
    let millis = duration.as_micros().div_ceil(1000);
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 => format!("{}s", millis.div_ceil(1000)),
        _ => {
            let seconds = millis.div_ceil(1000);
            format!("{}m{}s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_its_limit_and_no_more() {
        let mut state = RateState::default();
        let now = Timestamp::from_seconds(1_000);
        for remaining in (0..60).rev() {
            let decision = rate_decision(state, 60, now);
            assert!(decision.allowed);
            assert_eq!(decision.remaining, remaining);
            state = decision.state;
        }
        let refused = rate_decision(state, 60, now);
        assert!(!refused.allowed);
        assert_eq!(refused.state, state);
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        assert!(rate_decision(state, 60, now + Duration::from_secs(1)).allowed);
        assert!(!rate_decision(state, 0, now).allowed);
    }

    #[test]
    fn durations_read_as_clients_know_them() {
        let check = |millis, expected: &str| assert_eq!(header_duration(Duration::from_millis(millis)), expected);
        check(250, "250ms");
        check(1000, "1s");
        check(360_000, "6m0s");
        check(60_500, "1m1s");
    }
}
