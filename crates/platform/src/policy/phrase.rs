//! What is looked for in a text: a word, or words in a row.

use super::lookalikes::is_unspaced;
use super::normalise::{ANY, Normalised, Word, plain, squeezed, words};

/// Words in a row, compared with the words of a reading.
///
/// Written as words with spaces between them. `/` parts alternatives of one place. A word may end in `*` (and whatever follows), `~` (its plural
/// too) or `+` (as a verb: -s, -ed, -ing, -er too), and begin with `*` (and whatever goes before). Words of scripts without spaces, and of Korean,
/// are looked for within words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    text: String,
    parts: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    text: String,
    squeezed: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Exact,
    Beginning,
    Within,
    Noun,
    Verb,
}

/// Where a phrase stands in a reading: the words from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first word.
    pub start: usize,
    /// The word after the last.
    pub end: usize,
}

impl Phrase {
    /// Reads a phrase.
    pub fn new(text: &str) -> Self {
        let parts = text.split_whitespace().map(|place| place.split('/').map(Part::new).collect()).collect();
        Self { text: text.to_owned(), parts }
    }

    /// A name as someone wrote it: whole words, no sign of it means anything.
    pub fn literal(text: &str) -> Self {
        let words = words(&plain(text));
        let parts = words.iter().map(|word| vec![Part::exact(word)]).collect();
        Self { text: text.to_owned(), parts }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a text says it, in any of its readings.
    pub fn is_said(&self, text: &Normalised) -> bool {
        text.readings().any(|words| !self.spans(words).is_empty())
    }

    /// Where a reading says it.
    pub fn spans(&self, words: &[Word]) -> Vec<Span> {
        (0..words.len()).filter_map(|start| self.span_at(words, start)).collect()
    }

    /// The first letters that a word must have to begin it; nothing where it may begin within one.
    pub(super) fn beginnings(&self) -> Option<Vec<char>> {
        let first = self.parts.first()?;
        first.iter().map(|part| if part.form == Form::Within { None } else { part.text.chars().next() }).collect()
    }

    /// A word without what this says within it.
    pub(super) fn taken_out_of(&self, word: Word) -> Word {
        match self.parts.as_slice() {
            [place] => place.iter().fold(word, |word, part| word.without(&part.text)),
            _ => word,
        }
    }

    /// Where it ends, if it begins at this word: as many words as it has, or all of them written as one.
    pub(super) fn span_at(&self, words: &[Word], start: usize) -> Option<Span> {
        let row = words.get(start..start + self.parts.len());
        let in_row = row.is_some_and(|row| {
            !row.is_empty() && self.parts.iter().zip(row).all(|(place, word)| place.iter().any(|part| part.is(word)))
        });
        if in_row {
            return Some(Span { start, end: start + self.parts.len() });
        }
        let word = words.get(start).filter(|_| self.parts.len() > 1)?;
        spells(&self.parts, word.as_str()).then_some(Span { start, end: start + 1 })
    }
}

/// Whether a word is these words written together.
fn spells(parts: &[Vec<Part>], word: &str) -> bool {
    match parts {
        [] => false,
        [last] => last.iter().any(|part| part.is_text(word, &part.text)),
        [first, rest @ ..] => first.iter().any(|part| {
            // `cum in` is no cumin.
            part.text.chars().count() > 2
                && word.chars().count() > part.text.chars().count() + 2
                && part.form != Form::Within
                && word.strip_prefix(part.text.as_str()).is_some_and(|remains| spells(rest, remains))
        }),
    }
}

impl Span {
    /// Whether the two share a word.
    pub(super) fn meets(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl Part {
    fn exact(word: &str) -> Self {
        let form = if word.chars().any(is_unspaced) { Form::Within } else { Form::Exact };
        Self { text: word.to_owned(), squeezed: squeezed(word), form }
    }

    fn new(written: &str) -> Self {
        let (stem, form) = if let Some(stem) = written.strip_prefix('*') {
            (stem.trim_end_matches('*'), Form::Within)
        } else if let Some(stem) = written.strip_suffix('*') {
            (stem, Form::Beginning)
        } else if let Some(stem) = written.strip_suffix('~') {
            (stem, Form::Noun)
        } else if let Some(stem) = written.strip_suffix('+') {
            (stem, Form::Verb)
        } else {
            (written, Form::Exact)
        };
        let text = plain(stem);
        let form = if text.chars().any(is_unspaced) { Form::Within } else { form };
        Self { squeezed: squeezed(&text), text, form }
    }

    fn is(&self, word: &Word) -> bool {
        if word.is_masked() {
            return self.is_masked_text(word.as_str());
        }
        self.is_text(word.as_str(), if word.is_stretched() { &self.squeezed } else { &self.text })
    }

    fn is_text(&self, word: &str, text: &str) -> bool {
        match self.form {
            Form::Exact => word == text,
            Form::Beginning => word.starts_with(text),
            Form::Within => word.contains(text),
            Form::Noun => word.strip_prefix(text).is_some_and(|ending| matches!(ending, "" | "s" | "es")),
            Form::Verb => is_verb_form(word, text),
        }
    }

    /// Letter by letter, where a mask stands for any.
    fn is_masked_text(&self, word: &str) -> bool {
        let mut left = word.chars();
        let same = self.text.chars().all(|letter| left.next().is_some_and(|other| other == letter || other == ANY));
        // Whoever masks a letter leaves enough of them to be understood.
        same && match self.form {
            Form::Exact | Form::Within => left.next().is_none(),
            Form::Beginning => true,
            Form::Noun | Form::Verb => matches!(left.as_str(), "" | "s" | "ed" | "ing"),
        }
    }
}

/// `stab`, `stabs`, `stabbed`, `stabbing`; `strangle`, `strangles`, `strangled`, `strangling`.
fn is_verb_form(word: &str, verb: &str) -> bool {
    let endings = |ending: &str| matches!(ending, "" | "s" | "es" | "ed" | "d" | "ing" | "er" | "ers" | "r" | "rs");
    if word.strip_prefix(verb).is_some_and(endings) {
        return true;
    }
    let grown = |ending: &str| matches!(ending, "ing" | "ed" | "er" | "ers");
    if let Some(stem) = verb.strip_suffix('e') {
        return word.strip_prefix(stem).is_some_and(|ending| ending == "ing");
    }
    let Some(last) = verb.chars().last() else { return false };
    let doubled = word.strip_prefix(verb).and_then(|rest| rest.strip_prefix(last));
    doubled.is_some_and(grown)
        || verb
            .strip_suffix('y')
            .and_then(|stem| word.strip_prefix(stem))
            .is_some_and(|ending| matches!(ending, "ies" | "ied"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::normalise;

    fn says(text: &str, phrase: &str) -> bool {
        Phrase::new(phrase).is_said(&normalise(text))
    }

    #[test]
    fn disguises_are_read() {
        let check = |text| assert!(says(text, "porn*"), "{text:?} gave {:?}", normalise(text));
        check("porn");
        check("P0RN with a nurse");
        check("p o r n");
        check("p.o.r.n");
        check("p-o-r-n");
        check("p_o_r_n");
        check("p*rn");
        check("po rn");
        check("por nography");
        check("a pоrn film"); // the о is Cyrillic
        check("ᴘᴏʀɴ");
        check("po\u{200b}rnographic scene");
        check("ｐｏｒｎ");
        check("𝓹𝓸𝓻𝓷 and 𝖕𝖔𝖗𝖓");
        check("ⓟⓞⓡⓝ");
        check("🅿🅾🆁🅽");
        check("🇵🇴🇷🇳");
        check("p̷o̷r̷n̷");
        check("pörn");
        check("poooorn");
        check("ppoorrnn");
        check("p🍆o🍆r🍆n");
        check("卩口尺几");
        check("ροrη");
        check("p 0 r n");
        check("a boat\u{e0070}\u{e006f}\u{e0072}\u{e006e}");
        check("a film\np\no\nr\nn");
    }

    #[test]
    fn a_one_is_an_i_or_an_l() {
        assert!(says("k1ds", "kids"));
        assert!(says("ki11 them", "kill them"));
        assert!(says("k!ll", "kill"));
        assert!(!says("kids!", "kidsi"));
    }

    #[test]
    fn words_within_words_are_not_said() {
        let check = |text, phrase| assert!(!says(text, phrase), "{text:?} says {phrase:?}: {:?}", normalise(text));
        check("an analyst assesses a class on Scunthorpe", "ass");
        check("an analyst assesses a class on Scunthorpe", "anal");
        check("grapes and drapery", "rape");
        check("Essex and Sussex in the mist", "sex");
        check("a cocktail beside a peacock", "cock");
        check("a therapist listens", "rapist");
        check("popcorn jumps in a pan", "porn*");
        check("as soon as the bus stops", "ass");
        check("an altitude of 4000 m", "anal");
        check("a pen is on the table", "penis");
        check("12 kites at 5 pm", "kids");
    }

    #[test]
    fn forms_of_words_are_told() {
        let check = |word: &str, phrase: &str, expected: bool| {
            assert_eq!(says(word, phrase), expected, "{word} {phrase}");
        };
        check("stabbing", "stab+", true);
        check("stabs", "stab+", true);
        check("stable", "stab+", false);
        check("strangling", "strangle+", true);
        check("killer", "kill+", true);
        check("kilt", "kill+", false);
        check("kids", "kid~", true);
        check("kidney", "kid~", false);
        check("nakedwoman", "naked woman/man", true);
        check("a NakedMan", "naked woman/man", true);
        check("killing the lights", "kill+ the/all light~", true);
        check("carried", "carry+", true);
    }

    #[test]
    fn scripts_without_spaces_are_searched() {
        assert!(says("裸の女性が踊る", "裸"));
        assert!(says("ポ・ル・ノ映画", "ポルノ"));
        assert!(says("ぽるの", "ポルノ"));
        assert!(says("ﾎﾟﾙﾉ", "ポルノ"));
        assert!(says("포르노를 찍다", "포르노"));
        assert!(says("ㅍㅗㄹㅡㄴㅗ", "포르노"));
        assert!(says("色 情 影片", "色情"));
        assert!(says("п.о.р.н.о", "порно*"));
        assert!(!says("が", "か"));
    }
}
