//! Texts that people write for others, the hashtags in them, and the words by which they are found.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Why a text cannot stand where it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextRefusal {
    /// Nothing is in it that could be seen.
    #[error("this text is empty")]
    Empty,
    /// It is too long.
    #[error("this text is longer than {0} characters")]
    TooLong(usize),
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $min:literal to $max:literal, lines $lines:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most characters it has.
            pub const MAX_CHARACTERS: usize = $max;

            /// Reads the text. What is invisible or turns the direction of writing goes, and marks that pile up.
            ///
            /// # Errors
            /// [`TextRefusal`].
            pub fn parse(text: &str) -> Result<Self, TextRefusal> {
                let text = clean(text, $lines, $max)?;
                if $min > 0 && text.is_empty() { Err(TextRefusal::Empty) } else { Ok(Self(text)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}

texts! {
    /// The name that stands beside a handle.
    DisplayName: 1 to 50, lines false;
    /// What someone says of themself; may be empty.
    Bio: 0 to 500, lines true;
    /// What stands below a post; may be empty.
    Caption: 0 to 2000, lines true;
    /// A comment.
    CommentText: 1 to 1000, lines true;
    /// A message.
    MessageText: 1 to 4000, lines true;
    /// The name of a folder of one's library. Only its owner reads it, yet it is cleaned like the others.
    FolderName: 1 to 60, lines false;
}

/// A hashtag without `#`, in small letters: letters, digits and `_`, at most 50, not digits alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hashtag(String);

/// How many hashtags of a caption count.
const MAX_HASHTAGS: usize = 30;
/// How many different words of a text are found again.
const MAX_SEARCH_WORDS: usize = 400;
/// More marks than this above one letter are no writing.
const MAX_MARKS: usize = 4;

fn clean(text: &str, lines: bool, max: usize) -> Result<String, TextRefusal> {
    // Composing can only shorten; so much longer cannot become short enough.
    if text.len() > max.saturating_mul(64) {
        return Err(TextRefusal::TooLong(max));
    }
    let mut kept = String::with_capacity(text.len());
    let (mut marks, mut newlines, mut space) = (0, 0, false);
    for character in text.nfc() {
        if is_combining_mark(character) {
            marks += 1;
            if marks > MAX_MARKS {
                continue;
            }
        } else if !is_deceptive(character) {
            // What goes parts no marks.
            marks = 0;
        }
        if character == '\n' && lines {
            newlines += 1;
        } else if character.is_whitespace() {
            space = true;
        } else if !is_deceptive(character) {
            if !kept.is_empty() {
                match newlines {
                    0 if space => kept.push(' '),
                    0 => {}
                    1 => kept.push('\n'),
                    _ => kept.push_str("\n\n"),
                }
            }
            (newlines, space) = (0, false);
            kept.push(character);
        }
    }
    // Taking something out may have brought a letter and its mark together.
    let kept: String = kept.nfc().collect();
    if kept.chars().count() > max { Err(TextRefusal::TooLong(max)) } else { Ok(kept) }
}

/// Controls, and what cannot be seen or turns the direction of writing. The joiners that emoji and Indic scripts need stay.
pub(super) fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl Hashtag {
    /// Reads a hashtag, with or without `#`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['#', '＃']).unwrap_or(text);
        if text.len() > 400 {
            return None;
        }
        let tag: String = text.nfkc().flat_map(char::to_lowercase).nfkc().collect();
        let (count, digits) =
            (tag.chars().count(), tag.chars().all(|character| character.is_numeric() || character == '_'));
        let fits = (1..=50).contains(&count) && !digits && tag.chars().all(is_of_hashtag);
        fits.then_some(Self(tag))
    }

    /// The hashtag without `#`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Hashtag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

fn is_of_hashtag(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || is_combining_mark(character)
}

/// The hashtags of a text in their order, each once.
pub fn hashtags(text: &str) -> Vec<Hashtag> {
    let mut found: Vec<Hashtag> = Vec::new();
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        if matches!(character, '#' | '＃') && !before.is_alphanumeric() && !matches!(before, '&' | '/' | '#') {
            let behind = &text[at + character.len_utf8()..];
            let end = behind.find(|character| !is_of_hashtag(character)).unwrap_or(behind.len());
            if let Some(tag) = Hashtag::parse(&behind[..end]).filter(|tag| !found.contains(tag)) {
                found.push(tag);
            }
        }
        before = character;
        if found.len() == MAX_HASHTAGS {
            break;
        }
    }
    found
}

/// The words by which a text is found, each once, sorted: small letters without accents, English plurals as singulars. Japanese and
/// Chinese, which put no space between words, give every pair of neighbours.
pub fn search_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = sequence(text);
    words.sort();
    words.dedup();
    words.truncate(MAX_SEARCH_WORDS);
    words
}

/// Whether a text has these words, side by side and in this order. `birds` is in «two red birds» and so is `bird`.
pub fn speaks_of(text: &str, words: &str) -> bool {
    let (text, words) = (sequence(text), sequence(words));
    !words.is_empty() && text.windows(words.len()).any(|window| window == words)
}

fn sequence(text: &str) -> Vec<String> {
    let plain: String = text
        // A line's end parts words; as a sign that is not seen it would be taken out below, and join them.
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character })
        .nfkd()
        // A mark belongs to Latin, Greek and Cyrillic letters as an accent; to kana it is another letter.
        .filter(|character| !is_combining_mark(*character) || matches!(character, '\u{3099}' | '\u{309a}'))
        .filter(|character| !is_deceptive(*character) && !matches!(character, '\'' | '’'))
        .flat_map(char::to_lowercase)
        .nfc()
        .collect();
    let mut words = Vec::new();
    for run in plain.split(|character: char| !character.is_alphanumeric()).filter(|run| !run.is_empty()) {
        let letters: Vec<char> = run.chars().collect();
        for part in letters.chunk_by(|a, b| is_unspaced(*a) == is_unspaced(*b)) {
            if is_unspaced(part[0]) {
                if part.len() == 1 {
                    words.push(part.iter().collect());
                }
                words.extend(part.windows(2).map(|pair| pair.iter().collect()));
            } else {
                words.push(singular(part));
            }
        }
    }
    words
}

/// Han, kana and the scripts of South-East Asia that are written without spaces.
fn is_unspaced(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3134f}')
}

/// At most 40 letters of a word, without the `s` of a plural.
fn singular(word: &[char]) -> String {
    let word = &word[..word.len().min(40)];
    match word {
        [stem @ .., 's'] if stem.len() >= 3 && !matches!(stem, [.., 's' | 'u' | 'i']) => stem.iter().collect(),
        word => word.iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_part_words() {
        assert_eq!(search_words("mika\nCheap Boats\tnow"), ["boat", "cheap", "mika", "now"]);
        assert!(speaks_of("red\nbirds", "red bird"));
    }

    #[test]
    fn what_deceives_is_taken_out() {
        let check = |text: &str, expected: &str| assert_eq!(Caption::parse(text).unwrap().as_str(), expected);
        check("  two\t birds  ", "two birds");
        check("one\n\n\n\n two\r\n", "one\n\ntwo");
        check("a\u{202e}b\u{200b}c", "abc");
        check("👩\u{200d}🚀", "👩\u{200d}🚀");
        check(&format!("a{}", "\u{316}".repeat(100)), &format!("a{}", "\u{316}".repeat(4)));
        assert_eq!(DisplayName::parse("Mi\nka").map(|name| name.as_str().to_owned()), Ok("Mi ka".into()));
        assert_eq!(DisplayName::parse("\u{200b} "), Err(TextRefusal::Empty));
        assert_eq!(CommentText::parse(&"a".repeat(1001)), Err(TextRefusal::TooLong(1000)));
    }

    #[test]
    fn hashtags_are_read_from_captions() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(hashtags(text).iter().map(Hashtag::as_str).collect::<Vec<_>>(), expected, "{text}");
        };
        check("a #Bird and a #bird, #空 ＃ＴＷＯ", &["bird", "空", "two"]);
        check("#1 #2026 #a1 ##x a#b &#39; http://x/#y", &["a1"]);
        check("#été! #", &["été"]);
    }

    #[test]
    fn words_are_found_as_people_look_for_them() {
        let check = |text: &str, expected: &[&str]| assert_eq!(search_words(text), expected, "{text}");
        check("Two red BIRDS, the bird's café", &["bird", "cafe", "red", "the", "two"]);
        check("glass bus this", &["bus", "glass", "this"]);
        check("美しい空", &["い空", "しい", "美し"]);
        assert!(speaks_of("over Red Boats at dusk", "red boat"));
        assert!(!speaks_of("a boat, red", "red boat"));
        assert!(!speaks_of("anything", ""));
    }

    proptest! {
        #[test]
        fn cleaning_again_changes_nothing(text in "\\PC{0,60}|[a#＃_ \n\u{300}\u{200b}\u{202e}0-9]{0,60}") {
            if let Ok(caption) = Caption::parse(&text) {
                prop_assert_eq!(Caption::parse(caption.as_str()), Ok(caption.clone()));
                for tag in hashtags(caption.as_str()) {
                    prop_assert_eq!(Hashtag::parse(&tag.to_string()), Some(tag));
                }
            }
            let _ = search_words(&text);
        }
    }
}
