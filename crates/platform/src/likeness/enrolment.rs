//! How someone enrols: a challenge that is good once and for minutes, a capture, a person who looks at it.

use std::time::Duration;

/// How long a challenge can be answered.
pub const CHALLENGE_TIME: Duration = Duration::from_secs(180);
/// How long a capture is kept after the decision, in seconds of the schedule's own rule.
pub const KEEP_CAPTURE: Duration = Duration::from_secs(24 * 3600);

/// Where an enrolment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnrolmentState {
    /// The challenge was given and waits for its capture.
    Challenged,
    /// The capture came, and waits for a decision.
    Reviewing,
    /// The person appeared as themself.
    Approved,
    /// It was refused.
    Refused,
    /// The challenge ran out, or its capture could not be one.
    Lapsed,
    /// The person took it back.
    Withdrawn,
}

/// What happens to an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentEvent {
    /// The capture is whole.
    Capture,
    /// It was found to be none, or it came too late.
    Lapse,
    /// A reviewer or a verifier says yes.
    Approve,
    /// One of them says no.
    Refuse,
    /// The person takes it back.
    Withdraw,
}

/// A turn of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To the person's left.
    Left,
    /// To the person's right.
    Right,
    /// Up.
    Up,
    /// Down.
    Down,
}

/// What is to be said and done in a capture, drawn by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Words to say after the sentence.
    pub words: Vec<&'static str>,
    /// Turns of the head, in this order.
    pub turns: Vec<Turn>,
}

/// What a reviewer must have seen or heard, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewPoint {
    /// The sentence and the words were said, in this order.
    Words,
    /// The head was turned as asked.
    Turns,
    /// A living person sits there: no picture, no screen, no mask.
    Live,
    /// The voice is that of the person who is seen.
    Voice,
    /// They are plainly an adult.
    Adult,
    /// Nobody else prompts or forces them.
    Free,
    /// The still, if one was taken, shows the same person and nothing that may not be shown.
    Still,
}

/// Every point of a review. An approval needs them all.
pub const REVIEW: [ReviewPoint; 7] = [
    ReviewPoint::Words,
    ReviewPoint::Turns,
    ReviewPoint::Live,
    ReviewPoint::Voice,
    ReviewPoint::Adult,
    ReviewPoint::Free,
    ReviewPoint::Still,
];

const WORDS_EN: [&str; 32] = [
    "river", "lantern", "seven", "copper", "window", "maple", "paper", "silver", "garden", "twelve", "bridge",
    "cotton", "harbour", "violet", "button", "summer", "pepper", "ladder", "ocean", "yellow", "mirror", "forest",
    "candle", "ginger", "thunder", "velvet", "anchor", "winter", "pocket", "saddle", "meadow", "almond",
];
const WORDS_JA: [&str; 32] = [
    "川", "提灯", "七", "銅", "窓", "楓", "紙", "銀", "庭", "十二", "橋", "綿", "港", "菫", "釦", "夏", "胡椒", "梯子",
    "海", "黄色", "鏡", "森", "蝋燭", "生姜", "雷", "絹", "錨", "冬", "袋", "鞍", "野原", "杏",
];

impl Challenge {
    /// Draws a challenge: four words, three turns. `entropy` is random.
    pub fn draw(entropy: [u8; 8], language: &str) -> Self {
        let list = if language == "ja" { &WORDS_JA } else { &WORDS_EN };
        let mut words: Vec<&'static str> = Vec::new();
        for byte in entropy.iter().take(4) {
            // The next free one, so that none is said twice.
            let mut at = usize::from(*byte) % list.len();
            while words.contains(&list[at]) {
                at = (at + 1) % list.len();
            }
            words.push(list[at]);
        }
        let mut turns: Vec<Turn> = Vec::new();
        for byte in entropy.iter().skip(4).take(3) {
            let others: Vec<Turn> = Turn::ALL.into_iter().filter(|turn| turns.last() != Some(turn)).collect();
            turns.push(others[usize::from(*byte) % others.len()]);
        }
        Self { words, turns }
    }
}

impl Turn {
    /// Every turn.
    pub const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Up, Self::Down];

    /// Its word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// The turn of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|turn| turn.as_str() == word)
    }
}

impl ReviewPoint {
    /// Its word in forms and receipts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Turns => "turns",
            Self::Live => "live",
            Self::Voice => "voice",
            Self::Adult => "adult",
            Self::Free => "free",
            Self::Still => "still",
        }
    }
}

impl EnrolmentState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Challenged, Self::Reviewing, Self::Approved, Self::Refused, Self::Lapsed, Self::Withdrawn];

    /// The state after an event; nothing if the event cannot happen here.
    pub fn next(self, event: EnrolmentEvent) -> Option<Self> {
        use EnrolmentEvent as Event;
        match (self, event) {
            (Self::Challenged, Event::Capture) => Some(Self::Reviewing),
            (Self::Challenged, Event::Lapse) => Some(Self::Lapsed),
            (Self::Reviewing, Event::Approve) => Some(Self::Approved),
            (Self::Reviewing, Event::Refuse) => Some(Self::Refused),
            (Self::Challenged | Self::Reviewing | Self::Approved, Event::Withdraw) => Some(Self::Withdrawn),
            _ => None,
        }
    }

    /// Whether nothing more is decided about it.
    pub fn is_decided(self) -> bool {
        !matches!(self, Self::Challenged | Self::Reviewing)
    }

    /// Its word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Challenged => "challenged",
            Self::Reviewing => "reviewing",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Lapsed => "lapsed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_challenge_is_said_once_and_repeats_nothing() {
        for seed in 0..=255 {
            let challenge = Challenge::draw([seed; 8], "en");
            assert_eq!(challenge.words.iter().collect::<BTreeSet<_>>().len(), 4, "{challenge:?}");
            assert!(challenge.turns.windows(2).all(|pair| pair[0] != pair[1]), "{challenge:?}");
        }
        assert_ne!(Challenge::draw([1, 2, 3, 4, 5, 6, 7, 8], "en"), Challenge::draw([8, 7, 6, 5, 4, 3, 2, 1], "en"));
        assert!(Challenge::draw([3; 8], "ja").words.iter().all(|word| !word.is_ascii()));
        for list in [WORDS_EN, WORDS_JA] {
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len());
        }
    }

    #[test]
    fn what_is_decided_is_not_decided_again() {
        use EnrolmentEvent::{Approve, Capture, Lapse, Refuse, Withdraw};
        let check = |state: EnrolmentState, allowed: &[EnrolmentEvent]| {
            for event in [Capture, Lapse, Approve, Refuse, Withdraw] {
                assert_eq!(state.next(event).is_some(), allowed.contains(&event), "{state:?} {event:?}");
            }
        };
        check(EnrolmentState::Challenged, &[Capture, Lapse, Withdraw]);
        check(EnrolmentState::Reviewing, &[Approve, Refuse, Withdraw]);
        check(EnrolmentState::Approved, &[Withdraw]);
        for state in [EnrolmentState::Refused, EnrolmentState::Lapsed, EnrolmentState::Withdrawn] {
            check(state, &[]);
        }
        assert!(EnrolmentState::ALL.iter().all(|state| EnrolmentState::from_word(state.as_str()) == Some(*state)));
    }
}
