//! The clock, as a value: loops and handlers ask it for the time and wait by it, so tests decide both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use platform::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The moment.
    fn now(&self) -> Timestamp;

    /// Waits so long.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// A moment as RFC 3339 writes it, in UTC, to the second.
pub fn rfc3339(at: Timestamp) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// When a day `YYYY-MM-DD` begins, in UTC.
pub(crate) fn start_of_day(day: &str) -> Option<Timestamp> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let start = time::Date::parse(day, format).ok()?.midnight().assume_utc();
    Some(Timestamp::from_seconds(start.unix_timestamp()))
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug)]
pub struct ManualClock {
    time: watch::Sender<Timestamp>,
    sleeps: watch::Sender<usize>,
}

impl ManualClock {
    /// A clock that stands at this moment.
    pub fn new(now: Timestamp) -> Self {
        Self { time: watch::Sender::new(now), sleeps: watch::Sender::new(0) }
    }

    /// Moves it on, and wakes whoever has waited long enough.
    pub fn advance(&self, duration: Duration) {
        self.time.send_modify(|time| *time = *time + duration);
    }

    /// How often someone has begun to wait so far.
    pub fn sleeps(&self) -> usize {
        *self.sleeps.borrow()
    }

    /// Waits until someone has begun to wait so many times in all.
    pub async fn sleeps_reach(&self, count: usize) {
        // The sender lives as long as the clock.
        let _ = self.sleeps.subscribe().wait_for(|sleeps| *sleeps >= count).await;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.time.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        let end = self.now() + duration;
        let mut time = self.time.subscribe();
        Box::pin(async move {
            self.sleeps.send_modify(|sleeps| *sleeps += 1);
            // As above.
            let _ = time.wait_for(|now| *now >= end).await;
        })
    }
}
