//! The rules of the queue: how long a lease lasts, what happens after a failed attempt, who comes next.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::ModelName;
use crate::parameters::{Seconds, Size};
use crate::time::Timestamp;

/// How long a worker keeps a job without a heartbeat.
pub const LEASE: Duration = Duration::from_secs(30);

/// How often a worker sends one.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often a job is tried.
pub const MAX_ATTEMPTS: u32 = 4;

/// Which work a worker takes: a model, or one size of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The model's own name.
    pub model: ModelName,
    /// One size; nothing for all.
    pub size: Option<Size>,
}

/// How an attempt ended without a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFailure {
    /// It can work another time: a lost worker, a full disk, a remote engine that did not answer.
    Transient,
    /// It can never work: the model refused, the source is gone.
    Permanent,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again, not before this moment.
    At(Timestamp),
    /// End it as failed; nothing is charged.
    GiveUp,
}

/// Decides what follows a failed attempt. Pauses double from 2 seconds to 2 minutes, then up to a quarter is added
/// that depends on job and attempt alone, so that jobs which failed together do not come back together.
pub fn after_failure(job: [u8; 16], attempt: u32, failure: AttemptFailure, now: Timestamp) -> Retry {
    if failure == AttemptFailure::Permanent || attempt >= MAX_ATTEMPTS {
        return Retry::GiveUp;
    }
    let pause = Duration::from_secs(2 << attempt.saturating_sub(1).min(6)).min(Duration::from_secs(120));
    let digest = Sha256::new().chain_update(job).chain_update(attempt.to_be_bytes()).finalize();
    Retry::At(now + pause + pause.mul_f64(f64::from(digest[0]) / 1024.0))
}

/// A place in the order between projects, in thousandths of a weighted second of video.
///
/// Start-time fair queueing: each project has a clock that its work moves on by cost over weight, and the
/// queue has one that follows the work it takes. Whoever was idle starts at the queue's clock, so nobody saves up a
/// right and nobody is starved. Source: Goyal, Vin & Cheng 1996, "Start-time Fair Queuing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtualTime(i64);

/// Where a new job stands, and the project's clock after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The job's own virtual start: the smallest goes first within a priority.
    pub start: VirtualTime,
    /// What the project's clock is from now on.
    pub project_clock: VirtualTime,
}

/// The place of a project's next job. `weight` is the project's share, 1 to 1,000; `seconds` of video are the cost, at
/// least one.
pub fn place(project_clock: VirtualTime, queue_clock: VirtualTime, seconds: Seconds, weight: u32) -> Place {
    let start = project_clock.max(queue_clock);
    let cost = i64::from(seconds.get().max(1)) * 100_000 / i64::from(weight.clamp(1, 1000));
    Place { start, project_clock: VirtualTime(start.0.saturating_add(cost)) }
}

impl VirtualTime {
    /// From a row.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// As a row holds it.
    pub const fn units(self) -> i64 {
        self.0
    }
}

impl Route {
    /// How a job's row spells it: `model:WIDTHxHEIGHT`.
    pub fn of_job(model: &ModelName, size: Size) -> String {
        format!("{model}:{size}")
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.size {
            Some(size) => write!(f, "{}:{size}", self.model),
            None => self.model.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let now = Timestamp::from_seconds(1000);
        let pause = |attempt, failure| match after_failure([1; 16], attempt, failure, now) {
            Retry::At(then) => Some(then.since(now).as_secs()),
            Retry::GiveUp => None,
        };
        let pauses: Vec<_> = (1..=4).map(|attempt| pause(attempt, AttemptFailure::Transient)).collect();
        assert!(matches!(pauses[..], [Some(2), Some(4..=5), Some(8..=10), None]), "{pauses:?}");
        assert_eq!(pause(1, AttemptFailure::Permanent), None);
    }

    #[test]
    fn a_busy_project_does_not_starve_a_new_one() {
        let seconds = Seconds::new(4).unwrap();
        let zero = VirtualTime::default();
        let mut busy = zero;
        let starts: Vec<_> = (0..10)
            .map(|_| {
                let place = place(busy, zero, seconds, 100);
                busy = place.project_clock;
                place.start
            })
            .collect();
        // When the third job was taken, the newcomer stands before the fourth.
        let newcomer = place(zero, starts[2], seconds, 100);
        assert!(newcomer.start < starts[3]);
        // Twice the weight moves on half as fast.
        let heavy = place(zero, zero, seconds, 200).project_clock;
        assert_eq!(heavy.units() * 2, place(zero, zero, seconds, 100).project_clock.units());
    }
}
