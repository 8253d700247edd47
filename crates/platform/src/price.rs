//! What work costs. Accepting it holds the amount, a published clip charges it, anything else releases it.

use crate::parameters::{Seconds, Size};

/// An amount, in millionths of a credit. Negative is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// What a model costs, in millionths of a credit for a second of video of a million pixels. A picture counts as
/// a quarter of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

/// A line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerKind {
    /// The owner gave credits, or took them.
    Grant,
    /// A generation was accepted: the amount is set aside.
    Hold,
    /// It was published: the amount is spent.
    Charge,
    /// It was not: the amount is free again.
    Release,
}

impl Credits {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// In millionths.
    pub const fn micros(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for Credits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:06}", self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000)
    }
}

impl Rate {
    /// Costs nothing.
    pub const FREE: Self = Self(0);

    /// From millionths of a credit for a second of a million pixels.
    pub const fn from_micros(micros: u32) -> Self {
        Self(micros)
    }

    /// In millionths of a credit for a second of a million pixels.
    pub const fn micros(self) -> u32 {
        self.0
    }

    /// The price of one clip, rounded up to a millionth.
    pub fn quote(self, size: Size, seconds: Seconds) -> Credits {
        let quarters = (u64::from(seconds.get()) * 4).max(1);
        // At most 2³² · 2²⁸ pixels · 480 quarters: needs 128 bits.
        let exact = u128::from(self.0) * u128::from(size.pixels()) * u128::from(quarters);
        Credits(i64::try_from(exact.div_ceil(4_000_000)).unwrap_or(i64::MAX))
    }
}

impl LedgerKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Grant, Self::Hold, Self::Charge, Self::Release];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Hold => "hold",
            Self::Charge => "charge",
            Self::Release => "release",
        }
    }

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_grow_with_pixels_and_seconds_and_round_up() {
        let check = |rate, size, seconds, expected: &str| {
            let price = Rate(rate).quote(Size::parse(size).unwrap(), Seconds::new(seconds).unwrap());
            assert_eq!(price.to_string(), expected);
        };
        check(1_000_000, "1000x1000", 4, "4.000000");
        check(1_000_000, "1280x720", 8, "7.372800");
        check(1_000_000, "1000x1000", 0, "0.250000");
        check(1, "1x1", 1, "0.000001");
        check(0, "1280x720", 8, "0.000000");
    }
}
