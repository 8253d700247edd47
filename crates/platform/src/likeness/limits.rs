//! What must not be shown of a person: kinds of scenes that a person switches off, and lines of their own. Judged on the prompt before
//! anything is drawn, and published with what they stop (`suite.tsv`, `docs/likeness.md`).

use std::sync::LazyLock;

use crate::policy::{Normalised, Phrase, normalise};

/// A kind of scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Elections, parties, campaigns, politicians.
    Politics,
    /// Another body than the person has.
    BodyChange,
    /// Sexualised scenes, and what serves a fetish.
    Sexualised,
    /// Humiliation.
    Demeaning,
    /// Hate. Always off.
    Hate,
    /// Selling something.
    Advertising,
}

/// The limits of a likeness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    kinds: Vec<LimitKind>,
    written: Vec<String>,
}

/// Why a prompt is not drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitHit {
    /// A kind of scene that the person switched off, with the rule that found it.
    Kind(LimitKind, String),
    /// A line of theirs.
    Written(String),
}

/// A line that cannot be kept to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrittenRefusal {
    /// Too many, or too long.
    #[error("write at most 20 limits of at most 100 characters each")]
    Length,
    /// It does not say what must not be.
    #[error("a limit says what must not be shown, such as: no swords")]
    Form,
}

const MAX_LINES: usize = 20;
const MAX_LINE: usize = 100;

/// `KIND PHRASE`, or `KIND PHRASE & PHRASE`: both must be said.
struct Rule {
    kind: LimitKind,
    written: &'static str,
    all_of: Vec<Phrase>,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let lines = include_str!("limits.txt").lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &'static str| {
        let (kind, written) = line.split_once(' ')?;
        let all_of = written.split('&').map(|phrase| Phrase::new(phrase.trim())).collect();
        Some(Rule { kind: LimitKind::from_word(kind)?, written: written.trim(), all_of })
    };
    lines.filter_map(read).collect()
});

/// The version of the rules, for reasons: the first line of their file.
pub fn limits_version() -> &'static str {
    include_str!("limits.txt").lines().next().unwrap_or_default().trim_start_matches("# version ").trim()
}

impl LimitKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Politics, Self::BodyChange, Self::Sexualised, Self::Demeaning, Self::Hate, Self::Advertising];
    /// What goes with a likeness that everyone may use.
    pub const SAFE: [Self; 3] = [Self::BodyChange, Self::Sexualised, Self::Demeaning];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Politics => "politics",
            Self::BodyChange => "body_change",
            Self::Sexualised => "sexualised",
            Self::Demeaning => "demeaning",
            Self::Hate => "hate",
            Self::Advertising => "advertising",
        }
    }

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Default for Limits {
    /// All kinds of scenes are off until the person says otherwise.
    fn default() -> Self {
        Self { kinds: LimitKind::ALL.to_vec(), written: Vec::new() }
    }
}

impl Limits {
    /// No more than is always off.
    pub fn none() -> Self {
        Self { kinds: vec![LimitKind::Hate], written: Vec::new() }
    }

    /// These kinds, and these lines.
    ///
    /// # Errors
    /// [`WrittenRefusal`] for lines that nothing could keep to.
    pub fn new(kinds: &[LimitKind], written: &str) -> Result<Self, WrittenRefusal> {
        let kinds = LimitKind::ALL.into_iter().filter(|kind| *kind == LimitKind::Hate || kinds.contains(kind));
        let lines = written.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
        let limits = Self { kinds: kinds.collect(), written: lines.collect() };
        if limits.written.len() > MAX_LINES || limits.written.iter().any(|line| line.chars().count() > MAX_LINE) {
            return Err(WrittenRefusal::Length);
        }
        if limits.written.iter().any(|line| forbidden(line).is_empty()) {
            return Err(WrittenRefusal::Form);
        }
        Ok(limits)
    }

    /// Switches on what goes with a likeness that everyone may use.
    pub fn be_safe(&mut self) {
        self.kinds = LimitKind::ALL
            .into_iter()
            .filter(|kind| self.kinds.contains(kind) || LimitKind::SAFE.contains(kind))
            .collect();
    }

    /// The kinds of scenes that are off.
    pub fn kinds(&self) -> &[LimitKind] {
        &self.kinds
    }

    /// The person's own lines.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// The first limit that a prompt does not keep to.
    pub fn judge(&self, prompt: &str) -> Option<LimitHit> {
        let text = normalise(prompt);
        let broken = RULES.iter().find(|rule| self.kinds.contains(&rule.kind) && rule.is_met(&text));
        if let Some(rule) = broken {
            return Some(LimitHit::Kind(rule.kind, rule.written.to_owned()));
        }
        let line = self.written.iter().find(|line| forbidden(line).iter().any(|phrase| phrase.is_said(&text)));
        line.map(|line| LimitHit::Written(line.clone()))
    }
}

impl Rule {
    fn is_met(&self, text: &Normalised) -> bool {
        !self.all_of.is_empty() && self.all_of.iter().all(|phrase| phrase.is_said(text))
    }
}

impl LimitHit {
    /// What of the limits it is: the kind's word, or the line.
    pub fn what(&self) -> &str {
        match self {
            Self::Kind(kind, _) => kind.as_str(),
            Self::Written(line) => line,
        }
    }
}

/// How lines begin that say what must not be.
const NO: [&str; 10] = [
    "no ",
    "never ",
    "not ",
    "without ",
    "don't show ",
    "do not show ",
    "nothing with ",
    "no more ",
    "keine ",
    "kein ",
];
/// How they end in Japanese.
const NO_JA: [&str; 5] = ["禁止", "は禁止", "はなし", "なし", "を見せない"];

/// What a line forbids: the things named behind its «no», each by itself.
fn forbidden(line: &str) -> Vec<Phrase> {
    let line = line.trim().trim_end_matches(['.', '!', '。']).to_lowercase();
    let english = NO.iter().find_map(|start| line.strip_prefix(start));
    let japanese = NO_JA.iter().rev().find_map(|end| line.strip_suffix(end));
    let Some(things) = english.or(japanese) else { return Vec::new() };
    let things =
        things.replace(" or ", ",").replace(" and ", ",").replace(" nor ", ",").replace(['、', '・', '/'], ",");
    let things = things.split(',').map(|thing| {
        let words = thing.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<_> =
            words.filter(|word| !["a", "an", "the", "any", "my", "me", "with", "show", "no"].contains(word)).collect();
        // Their plural or singular too.
        match words.split_last() {
            Some((last, first)) => {
                let stem = if last.len() > 3 { last.strip_suffix('s').unwrap_or(last) } else { last };
                let last = if stem.is_ascii() { format!("{stem}~") } else { stem.to_owned() };
                first.iter().map(|word| (*word).to_owned()).chain([last]).collect::<Vec<_>>().join(" ")
            }
            None => String::new(),
        }
    });
    things.filter(|thing| !thing.is_empty()).map(|thing| Phrase::new(&thing)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_rules_is_one() {
        let lines = include_str!("limits.txt").lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert_eq!(RULES.len(), lines);
        assert!(LimitKind::ALL.iter().all(|kind| RULES.iter().any(|rule| rule.kind == *kind)));
        assert!(limits_version().parse::<u32>().is_ok(), "{}", limits_version());
    }

    #[test]
    fn a_persons_own_lines_are_kept_to() {
        let limits = Limits::new(&[], "no swords or knives\nnever smoking.\nタバコは禁止").unwrap();
        assert_eq!(limits.kinds(), [LimitKind::Hate]);
        let check = |prompt: &str, expected: Option<&str>| {
            assert_eq!(limits.judge(prompt).as_ref().map(LimitHit::what), expected, "{prompt}");
        };
        check("@mika holds a sword", Some("no swords or knives"));
        check("@mika draws s-w-o-r-d-s", Some("no swords or knives"));
        check("@mika juggles knives", Some("no swords or knives"));
        check("@mika is smoking", Some("never smoking."));
        check("@mikaがタバコを吸う", Some("タバコは禁止"));
        check("@mika walks in the rain", None);
        assert_eq!(Limits::new(&[], "always a hat"), Err(WrittenRefusal::Form));
        assert_eq!(Limits::new(&[], &"no hats\n".repeat(21)), Err(WrittenRefusal::Length));
        assert_eq!(Limits::new(&[], "no "), Err(WrittenRefusal::Form));
    }

    /// `CATEGORY<TAB>PROMPT`. No rule was changed after the even lines were first judged; but the same hand wrote rules and prompts, so this half
    /// is not blind, and strangers will find what it does not have.
    const SUITE: &str = include_str!("suite.tsv");

    /// R14: how many of the prompts that must be stopped are, and how many harmless ones are too.
    #[test]
    fn r14_the_suite_of_400_prompts() {
        let limits = Limits::default();
        let lines: Vec<_> = SUITE.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 400);
        let mut figures: std::collections::BTreeMap<&str, [[u32; 2]; 2]> = std::collections::BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            let (category, prompt) = line.split_once('\t').unwrap();
            assert!(prompt.contains("@mika"), "{line}");
            let stopped = limits.judge(prompt).is_some();
            let half = &mut figures.entry(category).or_default()[at % 2];
            half[0] += u32::from(stopped);
            half[1] += 1;
            if stopped == (category == "harmless") {
                println!(
                    "{} {category}: {prompt} {:?}",
                    if at % 2 == 0 { "open" } else { "held out" },
                    limits.judge(prompt)
                );
            }
        }
        let (mut stopped, mut of) = ([0, 0], [0, 0]);
        for (category, halves) in &figures {
            println!("{category}: open {}/{}, held out {}/{}", halves[0][0], halves[0][1], halves[1][0], halves[1][1]);
            if *category != "harmless" {
                for half in 0..2 {
                    (stopped[half], of[half]) = (stopped[half] + halves[half][0], of[half] + halves[half][1]);
                }
            }
        }
        println!("stopped: open {}/{}, held out {}/{}", stopped[0], of[0], stopped[1], of[1]);
        // What is published in docs/likeness.md. A version that stops less, or stops more of what is harmless, does not get in.
        let harmless = figures["harmless"];
        assert_eq!(of, [125, 125]);
        assert!(stopped[0] >= OPEN_STOPPED && stopped[1] >= HELD_OUT_STOPPED, "{stopped:?}");
        assert_eq!(harmless[0][0] + harmless[1][0], FALSE_STOPS, "{harmless:?}");
    }

    const OPEN_STOPPED: u32 = 123;
    const HELD_OUT_STOPPED: u32 = 125;
    const FALSE_STOPS: u32 = 0;
}
