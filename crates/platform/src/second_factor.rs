//! The second factor: how often its codes may be guessed.

use std::time::Duration;

use crate::time::Timestamp;

/// Wrong codes in a row that cost nothing but the typing.
const FREE: u32 = 5;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// When the next code may be tried after so many wrong ones in a row, the last of them at `failed_at`. Each further one doubles the
/// pause up to an hour, so that whoever has the password guesses about 24 codes a day out of a million, three of which are good.
pub fn next_code_at(failures: u32, failed_at: Timestamp) -> Timestamp {
    match failures.checked_sub(FREE) {
        None => failed_at,
        Some(more) => failed_at + LONGEST.min(Duration::from_secs(60) * 2_u32.saturating_pow(more.min(10))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_grows_slow_and_never_stops() {
        let at = Timestamp::from_seconds(1000);
        let pause = |failures| next_code_at(failures, at).since(at).as_secs();
        assert_eq!([0, 4, 5, 6, 10, 11, 1000].map(pause), [0, 0, 60, 120, 1920, 3600, 3600]);
        let mut now = at;
        let day = (0..).take_while(|failures| {
            now = next_code_at(*failures, now);
            now.since(at) < Duration::from_secs(86_400)
        });
        assert!(day.count() < 40);
    }
}
