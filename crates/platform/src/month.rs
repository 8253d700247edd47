//! A month of the calendar, in UTC: what reports are made of.

use crate::time::Timestamp;

/// A month such as 2026-11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i64,
    /// 1 to 12.
    month: i64,
}

impl Month {
    /// The month of a moment.
    pub fn of(at: Timestamp) -> Self {
        // Days from the first of March of year 0, in eras of 400 years (Hinnant, `civil_from_days`).
        let days = at.day() + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month }
    }

    /// The month of a text such as `2026-11`; nothing if it is none from 1970 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits = |text: &str, count: usize| {
            (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i64>().ok())
        };
        let (year, month) = (digits(year, 4)??, digits(month, 2)??);
        ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        Timestamp::from_seconds((era * 146_097 + of_era - 719_468) * 86_400)
    }

    /// The month after it.
    pub fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { month: month + 1, ..self },
        }
    }

    /// The month before it.
    pub fn previous(self) -> Self {
        match self.month {
            1 => Self { year: self.year - 1, month: 12 },
            month => Self { month: month - 1, ..self },
        }
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_month_begins_where_the_one_before_ends() {
        let mut month = Month::parse("1970-01").unwrap();
        assert_eq!(month.start(), Timestamp::from_seconds(0));
        while month < Month::parse("2101-03").unwrap() {
            let next = month.next();
            let last = Timestamp::from_micros(next.start().micros() - 1);
            assert_eq!((Month::of(month.start()), Month::of(last)), (month, month));
            assert_eq!(next.previous(), month);
            month = next;
        }
        assert_eq!(Month::of(Timestamp::from_seconds(1_709_251_199)).to_string(), "2024-02");
        assert_eq!(Month::of(Timestamp::from_seconds(1_709_251_200)).to_string(), "2024-03");
    }

    #[test]
    fn a_month_has_seven_characters() {
        for text in ["", "2026", "2026-1", "2026-13", "2026-00", "26-01", "+026-01", "2026-11-01", "1969-12"] {
            assert_eq!(Month::parse(text), None, "{text}");
        }
        assert_eq!(Month::parse("2026-11").unwrap().to_string(), "2026-11");
    }
}
