//! A part of a clip, cut out in time.

use std::ops::Range;

use crate::parameters::Seconds;
use crate::refusal::{Refusal, RefusalCode};

/// A part of a clip: the frames that begin at its start or later and before its end. At least half a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    start_ms: u32,
    end_ms: u32,
}

impl Cut {
    /// The shortest part, in milliseconds.
    pub const SHORTEST_MS: u32 = 500;

    /// The part between two moments, in milliseconds from the beginning; nothing if that is too short.
    pub fn between(start_ms: u32, end_ms: u32) -> Option<Self> {
        let long = end_ms.checked_sub(start_ms).is_some_and(|length_ms| length_ms >= Self::SHORTEST_MS);
        long.then_some(Self { start_ms, end_ms })
    }

    /// The part that a request asks for, in seconds with a fraction: from the beginning, or to the end, where it does not say.
    ///
    /// # Errors
    /// [`Refusal`] if it does not lie in the clip, is too short, or is the whole clip.
    pub fn parse(start: Option<&str>, end: Option<&str>, length_ms: u32) -> Result<Self, Refusal> {
        let start_ms = moment("start", start, length_ms)?.unwrap_or(0);
        let end_ms = moment("end", end, length_ms)?.unwrap_or(length_ms);
        let refuse = |message: String| Refusal::new(RefusalCode::InvalidValue, Some("end"), message);
        let cut = Self::between(start_ms, end_ms).ok_or_else(|| {
            let shortest = f64::from(Self::SHORTEST_MS) / 1000.0;
            refuse(format!("'end' must be at least {shortest} seconds behind 'start'."))
        })?;
        if start_ms == 0 && end_ms == length_ms {
            return Err(refuse("This part is the whole clip: nothing would be cut off.".into()));
        }
        Ok(cut)
    }

    /// Where it begins, in milliseconds.
    pub fn start_ms(self) -> u32 {
        self.start_ms
    }

    /// Where it ends, in milliseconds.
    pub fn end_ms(self) -> u32 {
        self.end_ms
    }

    /// How long it is, in milliseconds.
    pub fn length_ms(self) -> u32 {
        self.end_ms - self.start_ms
    }

    /// The same in whole seconds, rounded, at least one.
    pub fn seconds(self) -> Seconds {
        let rounded = self.length_ms().saturating_add(500) / 1000;
        Seconds::new(rounded.max(1)).unwrap_or(Seconds::LONGEST)
    }

    /// Its frames in a clip of so many frames, at a rate of `numerator / denominator` frames a second.
    pub fn frames(self, numerator: u32, denominator: u32, count: usize) -> Range<usize> {
        let first_from = |ms: u32| {
            let frame = (u64::from(ms) * u64::from(numerator)).div_ceil(1000 * u64::from(denominator.max(1)));
            usize::try_from(frame).unwrap_or(usize::MAX).min(count)
        };
        first_from(self.start_ms)..first_from(self.end_ms)
    }
}

/// A moment of a clip in milliseconds, from seconds.
fn moment(param: &'static str, text: Option<&str>, length_ms: u32) -> Result<Option<u32>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let length = f64::from(length_ms) / 1000.0;
    match text.trim().parse::<f64>() {
        Ok(seconds) if (0.0..=length).contains(&seconds) => Ok(Some((seconds * 1000.0).round() as u32)),
        _ => {
            let message = format!("'{param}' must be a moment of the clip in seconds, from 0 to {length}.");
            Err(Refusal::new(RefusalCode::InvalidValue, Some(param), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lies_in_its_clip_and_is_less_than_it() {
        let check = |start, end, expected: Option<(u32, u32)>| {
            let cut = Cut::parse(start, end, 4000).ok();
            assert_eq!(cut.map(|cut| (cut.start_ms(), cut.end_ms())), expected, "{start:?} {end:?}");
        };
        check(Some("1"), Some("2.5"), Some((1000, 2500)));
        check(Some("0.0833"), None, Some((83, 4000)));
        check(None, Some("0.5"), Some((0, 500)));
        check(None, None, None);
        check(Some("0"), Some("4.0"), None);
        check(Some("3.6"), None, None);
        check(Some("3"), Some("1"), None);
        check(Some("-1"), Some("2"), None);
        check(Some("1"), Some("4.001"), None);
        check(Some("NaN"), Some("2"), None);
        check(Some("half"), None, None);
    }

    #[test]
    fn a_frame_is_in_the_part_that_it_begins_in() {
        let check = |start, end, rate, expected: Range<usize>| {
            assert_eq!(Cut::between(start, end).unwrap().frames(rate, 1, 48), expected, "{start} {end} {rate}");
        };
        check(1000, 2500, 12, 12..30);
        // Frame 1 begins at 83.3 ms.
        check(83, 1000, 12, 1..12);
        check(84, 1000, 12, 2..12);
        check(0, 4000, 12, 0..48);
        check(3000, 9000, 12, 36..48);
        assert_eq!(Cut::between(0, 1001).unwrap().frames(30_000, 1001, 300), 0..30);
        let cut = Cut::between(1200, 3900).unwrap();
        // Neighbours share no frame and lose none.
        let (before, after) = (Cut::between(0, 1200).unwrap(), Cut::between(3900, 4800).unwrap());
        let ends = |cut: Cut| cut.frames(24, 1, 200);
        assert_eq!((ends(before).end, ends(cut).end), (ends(cut).start, ends(after).start));
    }

    #[test]
    fn a_part_counts_at_least_a_second() {
        let seconds = |ms| Cut::between(0, ms).unwrap().seconds().get();
        assert_eq!([500, 1499, 1500, 2400, 120_000].map(seconds), [1, 1, 2, 2, 120]);
    }
}
