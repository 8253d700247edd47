//! What a group of projects may use. Tiers are data of the owner, not code.

use crate::parameters::Parameters;
use crate::refusal::{Refusal, RefusalCode};

/// A named set of limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name, unique.
    pub name: String,
    /// The limits of each project in it.
    pub quotas: Quotas,
    /// Whether work must be covered by the project's balance. If not, the ledger only takes notes.
    pub metered: bool,
}

/// The limits of one project. All are inclusive; where nothing is said, there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Requests in a minute.
    pub requests_per_minute: u32,
    /// Generations accepted and not finished at one time.
    pub concurrent_jobs: u32,
    /// Seconds of video in a day (UTC).
    pub seconds_per_day: Option<u32>,
    /// The longest clip, in seconds.
    pub longest_seconds: u32,
    /// The most clips in one request.
    pub most_at_once: u32,
    /// Who comes first: higher before lower, always.
    pub priority: i32,
    /// The share among projects of one priority; 1 to 1,000.
    pub weight: u32,
}

/// What a project uses at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Generations accepted and not finished.
    pub unfinished_jobs: u32,
    /// Seconds of video accepted or made today.
    pub seconds_today: u32,
}

impl Quotas {
    /// What an installation starts with.
    pub const DEFAULT: Self = Self {
        requests_per_minute: 600,
        concurrent_jobs: 100,
        seconds_per_day: None,
        longest_seconds: 120,
        most_at_once: 4,
        priority: 0,
        weight: 100,
    };

    /// Whether one more request fits.
    ///
    /// # Errors
    /// A [`Refusal`] that says which limit it meets.
    pub fn check(&self, usage: Usage, request: &Parameters) -> Result<(), Refusal> {
        let clips = request.n.get();
        let seconds = request.seconds.get();
        let total = seconds.saturating_mul(clips);
        if clips > self.most_at_once {
            let message = format!("at most {} clips can be asked for at once here", self.most_at_once);
            return Err(Refusal::new(RefusalCode::InvalidValue, Some("n"), message));
        }
        if seconds > self.longest_seconds {
            let message = format!("clips of at most {} seconds can be made here", self.longest_seconds);
            return Err(Refusal::new(RefusalCode::InvalidValue, Some("seconds"), message));
        }
        if usage.unfinished_jobs.saturating_add(clips) > self.concurrent_jobs {
            let message = format!(
                "{} of {} clips are unfinished: wait until one is done",
                usage.unfinished_jobs, self.concurrent_jobs
            );
            return Err(Refusal::new(RefusalCode::RateLimitExceeded, None, message));
        }
        if let Some(allowed) = self.seconds_per_day
            && usage.seconds_today.saturating_add(total) > allowed
        {
            let message = format!("{} of today's {allowed} seconds are used", usage.seconds_today);
            return Err(Refusal::new(RefusalCode::InsufficientQuota, None, message));
        }
        Ok(())
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self::DEFAULT
    }
}
