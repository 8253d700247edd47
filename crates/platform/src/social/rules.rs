//! What someone wants of their feed, in their own words: «more birds, no rain, nothing from @x». It becomes rules that can be read,
//! changed and taken back; what was not understood is said, not guessed.

use unicode_normalization::UnicodeNormalization;

use super::handle::Handle;
use super::post::words;
use super::words::{Hashtag, is_deceptive, search_words};

/// One thing someone wants of their feed. Its text reads back as the same rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedRule {
    /// Which way.
    pub direction: Direction,
    /// Of what.
    pub subject: RuleSubject,
}

/// Which way a rule pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Further up.
    More,
    /// Further down.
    Less,
    /// Not at all.
    Never,
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RuleSubject {
    /// Words in caption or visible prompt, side by side.
    Words(RuleWords),
    /// A hashtag.
    Hashtag(Hashtag),
    /// Someone's posts.
    Person(Handle),
    /// How a clip is.
    Attribute(Attribute),
}

/// Words of a rule: small letters, at most 60. Only [`read_feed_rules`] makes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleWords(String);

/// How a clip can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// Made from another post.
    Remix,
    /// At most five seconds.
    Short,
    /// Twelve seconds and more.
    Long,
    /// Higher than wide.
    Portrait,
    /// Wider than high.
    Landscape,
    /// As high as wide.
    Square,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRules {
    /// The rules, one a subject; of two about the same, the later.
    pub rules: Vec<FeedRule>,
    /// What no rule was found in.
    pub not_understood: Vec<String>,
}

/// The most rules that someone has.
pub const MAX_FEED_RULES: usize = 50;
/// The most characters that are read.
const MAX_CHARACTERS: usize = 4_000;

/// How sentences begin. The first that fits counts, so longer ones stand before their beginnings.
const BEGINNINGS: &[(&str, Direction)] = &[
    ("i want to see more", Direction::More),
    ("i want more", Direction::More),
    ("show me more", Direction::More),
    ("show more", Direction::More),
    ("lots of", Direction::More),
    ("i love", Direction::More),
    ("i like", Direction::More),
    ("more", Direction::More),
    ("i want to see less", Direction::Less),
    ("i want less", Direction::Less),
    ("show me less", Direction::Less),
    ("show me fewer", Direction::Less),
    ("not so many", Direction::Less),
    ("not so much", Direction::Less),
    ("fewer", Direction::Less),
    ("less", Direction::Less),
    ("i do not want to see", Direction::Never),
    ("i dont want to see", Direction::Never),
    ("do not show", Direction::Never),
    ("dont show", Direction::Never),
    ("stop showing", Direction::Never),
    ("no more", Direction::Never),
    ("nothing", Direction::Never),
    ("without", Direction::Never),
    ("never", Direction::Never),
    ("hide", Direction::Never),
    ("no", Direction::Never),
];

/// How sentences end where the verb comes last.
const ENDS: &[(&str, Direction)] = &[
    ("をもっと見たい", Direction::More),
    ("をもっと見せて", Direction::More),
    ("をもっと", Direction::More),
    ("を多めに", Direction::More),
    ("多め", Direction::More),
    ("を少なめに", Direction::Less),
    ("を減らして", Direction::Less),
    ("は少なめ", Direction::Less),
    ("少なめ", Direction::Less),
    ("を見せないで", Direction::Never),
    ("は見たくない", Direction::Never),
    ("はいらない", Direction::Never),
    ("いらない", Direction::Never),
    ("はなし", Direction::Never),
    ("なし", Direction::Never),
];

/// Words between the direction and what it is about.
const FILLERS: &[&str] = &[
    "a", "about", "and", "any", "anything", "but", "by", "clips", "from", "me", "of", "please", "posts", "show",
    "tagged", "that", "the", "to", "videos", "with",
];

const ATTRIBUTES: &[(&str, Attribute)] = &[
    ("remix", Attribute::Remix),
    ("remixes", Attribute::Remix),
    ("short", Attribute::Short),
    ("short clips", Attribute::Short),
    ("short ones", Attribute::Short),
    ("short videos", Attribute::Short),
    ("long", Attribute::Long),
    ("long clips", Attribute::Long),
    ("long ones", Attribute::Long),
    ("long videos", Attribute::Long),
    ("portrait", Attribute::Portrait),
    ("portrait clips", Attribute::Portrait),
    ("vertical", Attribute::Portrait),
    ("vertical clips", Attribute::Portrait),
    ("vertical videos", Attribute::Portrait),
    ("landscape clips", Attribute::Landscape),
    ("horizontal", Attribute::Landscape),
    ("horizontal clips", Attribute::Landscape),
    ("horizontal videos", Attribute::Landscape),
    ("wide clips", Attribute::Landscape),
    ("square clips", Attribute::Square),
    ("square videos", Attribute::Square),
    ("リミックス", Attribute::Remix),
    ("短い動画", Attribute::Short),
    ("長い動画", Attribute::Long),
    ("縦長の動画", Attribute::Portrait),
    ("横長の動画", Attribute::Landscape),
    ("正方形の動画", Attribute::Square),
];

/// Reads rules from what someone writes, in English or Japanese. A part without its own direction takes that of the part before:
/// «more birds, boats».
pub fn read_feed_rules(text: &str) -> ReadRules {
    let text: String = text.chars().take(MAX_CHARACTERS).collect();
    let plain: String = text
        .nfkc()
        .filter(|character| character.is_whitespace() || !is_deceptive(*character) && !matches!(character, '\'' | '’'))
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect();
    let mut read = ReadRules::default();
    let mut before = None;
    for part in plain.split([',', ';', '.', '!', '\n', '\r', '、', '。']) {
        let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        for mut part in part.split(" and ").flat_map(|part| part.split(" but ")) {
            while let Some(rest) = after_word(part, "and").or_else(|| after_word(part, "but")) {
                part = rest;
            }
            if part.is_empty() {
                continue;
            }
            let (direction, rest) = direction_of(part);
            let rule = direction.or(before).zip(subject(rest));
            match rule {
                Some((direction, subject)) => read.add(FeedRule { direction, subject }),
                None => read.not_understood.push(part.to_owned()),
            }
            before = direction.or(before);
        }
    }
    read
}

impl ReadRules {
    fn add(&mut self, rule: FeedRule) {
        self.rules.retain(|other| other.subject != rule.subject);
        if self.rules.len() < MAX_FEED_RULES {
            self.rules.push(rule);
        } else {
            self.not_understood.push(rule.to_string());
        }
    }
}

fn direction_of(part: &str) -> (Option<Direction>, &str) {
    let part = after_word(part, "please").unwrap_or(part);
    for (beginning, direction) in BEGINNINGS {
        if let Some(rest) = after_word(part, beginning) {
            return (Some(*direction), rest);
        }
    }
    if let Some(rest) = part.strip_prefix("もっと").filter(|rest| !rest.is_empty()) {
        return (Some(Direction::More), rest.trim_start());
    }
    for (end, direction) in ENDS {
        if let Some(rest) = part.strip_suffix(end).filter(|rest| !rest.is_empty()) {
            return (Some(*direction), rest.trim_end());
        }
    }
    (None, part)
}

/// What stands behind a whole word or words.
fn after_word<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(words)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

fn subject(text: &str) -> Option<RuleSubject> {
    let mut text = text.trim();
    loop {
        if let Some((_, attribute)) = ATTRIBUTES.iter().find(|(words, _)| *words == text) {
            return Some(RuleSubject::Attribute(*attribute));
        }
        match FILLERS.iter().find_map(|filler| after_word(text, filler)) {
            Some(rest) => text = rest,
            None => break,
        }
    }
    if text.starts_with('@') {
        return Handle::read(text).ok().map(RuleSubject::Person);
    }
    if text.starts_with('#') {
        return Hashtag::parse(text).map(RuleSubject::Hashtag);
    }
    let fits = text.chars().count() <= 60 && !search_words(text).is_empty();
    fits.then(|| RuleSubject::Words(RuleWords(text.to_owned())))
}

words! {
    Direction { More = "more", Less = "less", Never = "never" }
    Attribute {
        Remix = "remixes", Short = "short clips", Long = "long clips", Portrait = "portrait clips",
        Landscape = "landscape clips", Square = "square clips",
    }
}

impl RuleWords {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for FeedRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.direction.as_str())?;
        match &self.subject {
            RuleSubject::Words(words) => f.write_str(words.as_str()),
            RuleSubject::Hashtag(tag) => write!(f, "{tag}"),
            RuleSubject::Person(handle) => write!(f, "@{handle}"),
            RuleSubject::Attribute(attribute) => f.write_str(attribute.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str], not_understood: &[&str]) {
        let read = read_feed_rules(text);
        let rules: Vec<String> = read.rules.iter().map(FeedRule::to_string).collect();
        assert_eq!((rules, read.not_understood), (owned(expected), owned(not_understood)), "{text}");
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn rules_are_read_from_plain_words() {
        check("more birds, no rain, nothing from @x_y", &["more birds", "never rain", "never @x_y"], &[]);
        check("More birds and boats; less #Rain.", &["more birds", "more boats", "less #rain"], &[]);
        check("Please don't show me remixes", &["never remixes"], &[]);
        check("fewer long videos\nI love paper boats!", &["less long clips", "more paper boats"], &[]);
        check("show me more clips about the sea", &["more sea"], &[]);
        check("more birds, no birds", &["never birds"], &[]);
        check("northern lights", &[], &["northern lights"]);
        check("more, more @!, no #1", &[], &["more", "more @", "no #1"]);
        check("鳥をもっと、雨はなし。もっと海", &["more 鳥", "never 雨", "more 海"], &[]);
        check("リミックスはいらない、＠mikaを少なめに", &["never remixes", "less @mika"], &[]);
        check("もっとand more", &["more more"], &[]);
        check("", &[], &[]);
        assert_eq!(read_feed_rules(&"no a b,".repeat(10_000)).rules.len(), 1);
    }

    #[test]
    fn rules_have_an_end() {
        let many: Vec<String> = (0..60).map(|at| format!("more word{at}")).collect();
        let read = read_feed_rules(&many.join(", "));
        assert_eq!((read.rules.len(), read.not_understood.len()), (50, 10));
    }

    proptest! {
        #[test]
        fn what_was_read_reads_back(text in "\\PC{0,80}|((more|less|no|never|show me|hide|please|and|もっと|なし|は) ?|[@#]?[a-z雨鳥's]{1,6}[ ,.]?){0,12}") {
            let read = read_feed_rules(&text);
            let shown = read.rules.iter().map(FeedRule::to_string).collect::<Vec<_>>().join(", ");
            let again = read_feed_rules(&shown);
            prop_assert_eq!(&again.rules, &read.rules, "{}", shown);
            prop_assert!(again.not_understood.is_empty());
        }
    }
}
