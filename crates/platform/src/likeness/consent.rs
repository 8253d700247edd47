//! What a person is asked to allow, word for word. A text is never changed: a new wording is a new version, and whoever consented to an
//! older one is asked again before the next use.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::limits::Limits;
use super::permission::Audience;
use crate::time::Timestamp;

/// The version that is asked for today.
pub const CONSENT_VERSION: u32 = 1;

/// The longest that a consent lasts. Written grants of more than ten years are refused.
pub const LONGEST_CONSENT: Duration = Duration::from_secs(3652 * 86_400);

/// The languages that there is a text in.
pub const CONSENT_LANGUAGES: [&str; 2] = ["en", "ja"];

/// Every text that was ever shown: version, language, words. Its first line is the sentence that is spoken.
const TEXTS: &[(u32, &str, &str)] =
    &[(1, "en", include_str!("consent/1.en.txt")), (1, "ja", include_str!("consent/1.ja.txt"))];

/// A text of one version in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentText {
    /// The version.
    pub version: u32,
    /// The language's tag.
    pub language: &'static str,
    /// The text as it is shown, the sentence with it.
    pub text: &'static str,
}

/// What the data may be used for, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purposes {
    /// Clips in which the person appears.
    pub generate: bool,
    /// Looking for clips in which they appear unasked.
    pub detect: bool,
    /// Teaching a model.
    pub train: bool,
}

/// What a consent says beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentTerms {
    /// What for.
    pub purposes: Purposes,
    /// Who may.
    pub audience: Audience,
    /// What must not be.
    pub limits: Limits,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Terms that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsRefusal {
    /// Too long, or over before it begins.
    #[error("a consent ends in the future, ten years from now at the latest")]
    Length,
    /// Everyone may, and that was not confirmed.
    #[error("that everyone may use you must be confirmed a second time")]
    Unconfirmed,
}

impl Default for Purposes {
    fn default() -> Self {
        Self { generate: true, detect: false, train: false }
    }
}

impl ConsentText {
    /// What the person says aloud.
    pub fn sentence(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default()
    }

    /// SHA-256 of the text.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

impl ConsentTerms {
    /// Checks what a person chose. Whoever lets everyone use them confirms it, and gets the limits that go with it.
    ///
    /// # Errors
    /// [`TermsRefusal`].
    pub fn checked(mut self, confirmed: bool, now: Timestamp) -> Result<Self, TermsRefusal> {
        if self.expires_at <= now || self.expires_at > now + LONGEST_CONSENT {
            return Err(TermsRefusal::Length);
        }
        if self.audience == Audience::Everyone {
            if !confirmed {
                return Err(TermsRefusal::Unconfirmed);
            }
            self.limits.be_safe();
        }
        Ok(self)
    }
}

/// The text of a version in a language; in English if that has none.
pub fn consent_text(version: u32, language: &str) -> Option<ConsentText> {
    let find = |wanted: &str| {
        let found = TEXTS.iter().find(|(of, tag, _)| *of == version && *tag == wanted);
        found.map(|(version, language, text)| ConsentText { version: *version, language, text })
    };
    find(language).or_else(|| find("en"))
}

/// Whether someone who was born on this day (year, month, day) is 18 on the day of `now`.
pub fn is_adult(born: (i32, u32, u32), now: Timestamp) -> bool {
    let (year, month, day) = civil(now.day());
    let (of_year, of_month, of_day) = born;
    let real = (1900..=9999).contains(&of_year) && (1..=12).contains(&of_month) && (1..=31).contains(&of_day);
    let birthday_was = (month, day) >= (of_month, of_day);
    real && i64::from(year) - i64::from(of_year) - i64::from(!birthday_was) >= 18
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i32, u32, u32) {
    // Hinnant, chrono-Compatible Low-Level Date Algorithms, civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn a_text_that_was_shown_is_never_changed() {
        let hashes = TEXTS.iter().map(|(version, language, _)| {
            let text = consent_text(*version, language).unwrap();
            (*version, *language, hex(&text.hash()[..8]))
        });
        for (version, language, hash) in hashes {
            println!("{version} {language} {hash}");
            let known = KNOWN.iter().find(|known| known.0 == version && known.1 == language).unwrap();
            assert_eq!(known.2, hash, "version {version} in {language}: write a new version in place of changing it");
        }
        assert!(CONSENT_LANGUAGES.iter().all(|tag| consent_text(CONSENT_VERSION, tag).unwrap().language == *tag));
        assert_eq!(consent_text(CONSENT_VERSION, "fr").unwrap().language, "en");
        assert!(consent_text(1, "en").unwrap().sentence().starts_with("I allow Misora"));
    }

    const KNOWN: [(u32, &str, &str); 2] = [(1, "en", "49d7e78e1d4d3663"), (1, "ja", "b0c69376318464e2")];

    #[test]
    fn a_consent_ends_within_ten_years_and_everyone_is_confirmed() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let terms = |expires_at, audience| ConsentTerms {
            purposes: Purposes::default(),
            audience,
            limits: Limits::none(),
            expires_at,
        };
        let day = Duration::from_secs(86_400);
        let check = |length: Duration, audience, confirmed| {
            terms(now + length, audience).checked(confirmed, now).map(|terms| terms.limits)
        };
        assert_eq!(check(LONGEST_CONSENT, Audience::OnlyMe, false), Ok(Limits::none()));
        assert_eq!(check(LONGEST_CONSENT + day, Audience::OnlyMe, true), Err(TermsRefusal::Length));
        assert_eq!(check(Duration::ZERO, Audience::OnlyMe, true), Err(TermsRefusal::Length));
        assert_eq!(check(day, Audience::Everyone, false), Err(TermsRefusal::Unconfirmed));
        let mut safe = Limits::none();
        safe.be_safe();
        assert_eq!(check(day, Audience::Everyone, true), Ok(safe));
    }

    #[test]
    fn whoever_is_17_is_17_until_their_birthday() {
        // 2026-09-21.
        let now = Timestamp::from_seconds(1_790_000_000);
        assert_eq!(civil(now.day()), (2026, 9, 21));
        assert_eq!((civil(0), civil(-1)), ((1970, 1, 1), (1969, 12, 31)));
        for (born, adult) in
            [((2008, 9, 21), true), ((2008, 9, 22), false), ((1960, 1, 1), true), ((2026, 1, 1), false)]
        {
            assert_eq!(is_adult(born, now), adult, "{born:?}");
        }
        assert!(!is_adult((1, 1, 1), now) && !is_adult((2000, 13, 1), now));
    }
}
