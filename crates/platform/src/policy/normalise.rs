//! A text as it can be read: spellings that mean the same become the same words.
//!
//! Nobody can tell from a spelling alone whether `ki11` is «kill» or «kiii», or whether `p.o.r.n` is one word or four. So a text has several
//! readings, each a list of words, and a phrase is said if one of them says it. Phrases are compared with whole words, so that a
//! harmless word that contains a bad one stays harmless.

use unicode_normalization::UnicodeNormalization;

use super::lookalikes::{
    is_dropped, is_marked_script, is_picture, is_unspaced, latin, spelt_out, tag, unboxed, written_for,
};

/// A text in all its readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised {
    readings: Vec<Vec<Word>>,
}

/// A word of a reading: lower case, without marks, kana as hiragana.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    text: String,
    /// It was written with repeated letters, each of which stands here once.
    stretched: bool,
    /// It has [`ANY`] where a letter was masked.
    masked: bool,
}

/// Stands for one letter that was masked, as in `p*rn`.
pub(super) const ANY: char = '*';

/// Reads a text.
///
/// Undone are: compatibility forms (full-width, mathematical, circled, boxed letters), marks, what is not seen, look-alikes of other scripts,
/// digits and signs written for letters, repeated letters, spaces and signs between letters, words cut in short pieces, masked letters,
/// words written together with capitals.
pub fn normalise(text: &str) -> Normalised {
    let seen = seen(text);
    let mut readings = Vec::new();
    let mut add = |words: Vec<String>| {
        let words: Vec<Word> = words.into_iter().filter(|word| !word.is_empty()).map(Word::new).collect();
        if !words.is_empty() && !readings.contains(&words) {
            readings.push(words);
        }
    };
    let mut spellings =
        vec![lowered(&seen), spelling(&seen, 'i', false), spelling(&seen, 'l', false), spelling(&seen, 'i', true)];
    spellings.dedup();
    for spelling in &spellings {
        add(words(spelling));
        let joined = joined(spelling);
        add(singles_joined(&joined));
        add(pieces_joined(&joined));
        add(glued(&joined, Side::Next));
        add(glued(&joined, Side::Previous));
    }
    if seen.contains(is_mask) {
        add(masked(&lowered(&seen)));
    }
    let apart = capitals_apart(&seen);
    if apart != seen {
        add(words(&lowered(&apart)));
    }
    Normalised { readings }
}

impl Normalised {
    /// The readings, the plainest first.
    pub fn readings(&self) -> impl Iterator<Item = &[Word]> {
        self.readings.iter().map(Vec::as_slice)
    }
}

impl Word {
    fn new(text: String) -> Self {
        let masked = text.contains(ANY);
        match squeezed_if_stretched(&text) {
            Some(text) => Self { text, stretched: true, masked },
            None => Self { text, stretched: false, masked },
        }
    }

    /// Its letters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without some letters, in whose place nothing can be found.
    pub(super) fn without(mut self, letters: &str) -> Self {
        if self.text.contains(letters) {
            self.text = self.text.replace(letters, "\u{fffd}");
        }
        self
    }

    pub(super) fn is_stretched(&self) -> bool {
        self.stretched
    }

    pub(super) fn is_masked(&self) -> bool {
        self.masked
    }
}

/// The letters as they are seen, case and signs kept: one form for each, no marks, nothing invisible. What was hidden in invisible tags
/// stands at the end.
fn seen(text: &str) -> String {
    let mut tags = String::from(" ");
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match tag(character) {
            Some(hidden) => tags.push(hidden),
            None => plain.push(unboxed(character).unwrap_or(character)),
        }
    }
    if tags.len() > 1 {
        plain.push_str(&tags);
    }
    let mut seen = String::with_capacity(plain.len());
    for character in plain.nfkc() {
        if let Some(letters) = spelt_out(character) {
            seen.push_str(letters);
        } else if is_marked_script(character) {
            seen.extend(std::iter::once(character).nfd().filter(|part| !is_dropped(*part)));
        } else if !is_dropped(character) && !matches!(character, '\'' | '’' | '‘' | '`' | 'ʼ' | '´') {
            seen.push(character);
        }
    }
    seen
}

/// Lower case, and one kind of kana.
fn lowered(text: &str) -> String {
    let hiragana = |character: char| match character {
        '\u{30a1}'..='\u{30f6}' => char::from_u32(u32::from(character) - 0x60).unwrap_or(character),
        other => other,
    };
    text.chars().flat_map(char::to_lowercase).map(hiragana).collect()
}

/// The text with Latin letters for look-alikes, and letters for the digits and signs that stand in words. A `1` is read as `one`. Numbers
/// are words only if they are asked to be, in a text that writes digits among letters.
fn spelling(seen: &str, one: char, numbers: bool) -> String {
    let numbers = numbers && seen.split_whitespace().any(has_digit_among_letters);
    let mut spelt = String::with_capacity(seen.len());
    for piece in seen.split_inclusive(char::is_whitespace) {
        let characters: Vec<char> = piece.chars().map(|character| latin(character).unwrap_or(character)).collect();
        let letters = characters.iter().filter(|character| character.is_alphanumeric()).count();
        let is_word = letters == 1 || numbers || characters.iter().any(|character| character.is_alphabetic());
        for (at, character) in characters.iter().enumerate() {
            // A sign at the end is a sign; before a letter or a digit it may be a letter.
            let goes_on = characters[at + 1..].iter().any(|next| next.is_alphanumeric());
            let stands_for =
                written_for(*character, one).filter(|_| is_word && (character.is_ascii_digit() || goes_on));
            spelt.push(stands_for.unwrap_or(*character));
        }
    }
    lowered(&spelt)
}

fn has_digit_among_letters(word: &str) -> bool {
    let is_digit = |character: char| character.is_ascii_digit();
    word.starts_with(char::is_alphabetic)
        && word
            .char_indices()
            .any(|(at, character)| is_digit(character) && word[at + 1..].chars().any(char::is_alphabetic))
}

/// The words of a text; signs part them.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        if character.is_alphanumeric() || is_vowel_sign(character) {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if is_picture(character) {
            words.push(character.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Vowels of Indian and Southeast Asian scripts, which are marks but belong to the word.
fn is_vowel_sign(character: char) -> bool {
    matches!(character, '\u{900}'..='\u{dff}' | '\u{e30}'..='\u{e4e}')
}

/// Words with the signs inside them left out: `p.o.r.n` and `por-n` are one. A comma, a slash and an ampersand part words. Where a space is
/// wider than one, an empty word stands: who spaces letters out parts words so.
fn joined(text: &str) -> Vec<String> {
    let mut joined = Vec::new();
    let mut wide = false;
    let parts =
        |character: char| character.is_whitespace() || matches!(character, ',' | '/' | '&' | '、' | '，' | '。');
    for piece in text.split(parts) {
        let word: String =
            piece.chars().filter(|character| character.is_alphanumeric() || is_vowel_sign(*character)).collect();
        match (word.is_empty(), wide) {
            (true, false) => joined.push(String::new()),
            (true, true) => {}
            (false, _) => joined.push(word.clone()),
        }
        wide = word.is_empty();
    }
    joined
}

/// Runs of single letters as one word.
fn singles_joined(words: &[String]) -> Vec<String> {
    runs_joined(words, |word| word.chars().count() == 1)
}

/// Runs of pieces as one word: `po rn`, `na k ed`.
fn pieces_joined(words: &[String]) -> Vec<String> {
    runs_joined(words, is_piece)
}

fn runs_joined(words: &[String], belongs: impl Fn(&str) -> bool) -> Vec<String> {
    let mut joined: Vec<String> = Vec::with_capacity(words.len());
    let mut in_run = false;
    for word in words {
        let piece = belongs(word);
        match joined.last_mut() {
            Some(last) if piece && in_run => last.push_str(word),
            _ => joined.push(word.clone()),
        }
        in_run = piece;
    }
    joined
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Next,
    Previous,
}

/// Each piece together with the word beside it: `por nography`, `nake d`.
fn glued(words: &[String], side: Side) -> Vec<String> {
    let mut glued: Vec<String> = Vec::with_capacity(words.len());
    let mut pending: Option<&String> = None;
    for word in words {
        let piece = is_piece(word);
        match (side, pending.take(), piece) {
            (Side::Next, Some(piece), _) => glued.push(format!("{piece}{word}")),
            (Side::Next, None, true) => pending = Some(word),
            (Side::Previous, _, true) => match glued.last_mut() {
                Some(last) => last.push_str(word),
                None => glued.push(word.clone()),
            },
            _ => glued.push(word.clone()),
        }
    }
    glued.extend(pending.cloned());
    glued
}

/// A word of one to three Latin or Cyrillic letters that is no common word by itself.
fn is_piece(word: &str) -> bool {
    let count = word.chars().count();
    let letters = word.chars().all(|character| character.is_alphabetic() && !is_unspaced(character));
    letters && (1..=3).contains(&count) && !SHORT_WORDS.contains(&word)
}

/// The short words of everyday prompts, which stand for themselves.
const SHORT_WORDS: &[&str] = &[
    "a", "i", "o", "y", "am", "an", "as", "at", "be", "by", "do", "go", "ha", "he", "hi", "if", "in", "is", "it", "me",
    "my", "no", "of", "oh", "ok", "on", "or", "ox", "pi", "so", "tv", "uk", "up", "us", "vs", "we", "ex", "dr", "mr",
    "ms", "st", "ai", "pm", "la", "le", "el", "un", "de", "du", "en", "et", "il", "ein", "und", "der", "die", "das",
    "den", "dem", "des", "von", "vor", "mit", "auf", "aus", "bei", "ist", "sie", "wir", "les", "des", "une", "est",
    "par", "sur", "qui", "que", "los", "las", "del", "una", "con", "sin", "uma", "dos", "das", "com", "ace", "act",
    "add", "age", "ago", "aid", "aim", "air", "ale", "all", "and", "ant", "any", "ape", "apt", "arc", "are", "ark",
    "arm", "art", "ash", "ask", "ate", "awe", "axe", "bad", "bag", "ban", "bar", "bat", "bay", "bed", "bee", "beg",
    "bet", "big", "bin", "bit", "bow", "box", "boy", "bug", "bus", "but", "buy", "bye", "cab", "can", "cap", "car",
    "cat", "cow", "cry", "cub", "cup", "cut", "dad", "dam", "day", "den", "did", "die", "dig", "dim", "dip", "doe",
    "dog", "dot", "dry", "due", "duo", "dye", "ear", "eat", "eel", "egg", "elf", "elk", "elm", "emu", "end", "era",
    "eve", "eye", "fan", "far", "fat", "few", "fig", "fin", "fir", "fit", "fix", "fly", "foe", "fog", "for", "fox",
    "fun", "fur", "gap", "gas", "gem", "get", "gin", "got", "gum", "gun", "guy", "gym", "had", "ham", "has", "hat",
    "hay", "hen", "her", "hey", "hid", "him", "hip", "his", "hit", "hog", "hop", "hot", "how", "hub", "hug", "hum",
    "hut", "ice", "icy", "ill", "ink", "inn", "ivy", "jam", "jar", "jaw", "jet", "job", "jog", "joy", "jug", "key",
    "kid", "kit", "koi", "lab", "lad", "lap", "law", "lay", "led", "leg", "let", "lid", "lie", "lip", "lit", "log",
    "lot", "low", "mad", "man", "map", "mat", "may", "men", "met", "mid", "mix", "mob", "mom", "mop", "mud", "mug",
    "mum", "nap", "net", "new", "nod", "nor", "not", "now", "nun", "nut", "oak", "oar", "oat", "odd", "off", "oil",
    "old", "one", "our", "out", "owl", "own", "pad", "pan", "paw", "pay", "pea", "pen", "pet", "pie", "pig", "pin",
    "pit", "pod", "pop", "pot", "pug", "put", "ram", "ran", "rat", "raw", "ray", "red", "rib", "rig", "rim", "rip",
    "rod", "row", "rub", "rug", "rum", "run", "rye", "sad", "sat", "saw", "say", "sea", "see", "set", "sew", "she",
    "shy", "sip", "sit", "six", "ski", "sky", "sly", "son", "sow", "soy", "spa", "spy", "sub", "sum", "sun", "tag",
    "tan", "tap", "tar", "tax", "tea", "ten", "the", "tie", "tin", "tip", "toe", "ton", "top", "tow", "toy", "try",
    "tub", "tug", "two", "use", "van", "vet", "via", "war", "was", "wax", "way", "web", "wet", "who", "why", "wig",
    "win", "wit", "wok", "won", "yak", "yes", "yet", "you", "zen", "zip", "zoo", "в", "и", "на", "с", "не", "по", "за",
    "из", "у", "к", "о", "от", "до", "под", "над", "как", "что", "она", "он", "они", "мы", "вы", "я", "его", "их",
    "для", "или",
];

fn is_mask(character: char) -> bool {
    matches!(character, '*' | '#' | '_' | '•' | '●' | '■' | '█' | '✱' | '∗')
}

/// Words whose masked letters stand as [`ANY`]. A word has no more masks than letters, begins with a letter, and a mask stands inside.
fn masked(text: &str) -> Vec<String> {
    let parts = text.split(|character: char| !character.is_alphanumeric() && !is_mask(character));
    parts
        .map(|part| {
            let part = part.trim_matches(is_mask);
            let masks = part.chars().filter(|character| is_mask(*character)).count();
            let letters = part.chars().count() - masks;
            let keep = masks <= letters;
            part.chars()
                .filter(|character| keep || !is_mask(*character))
                .map(|character| if is_mask(character) { ANY } else { character })
                .collect()
        })
        .filter(|word: &String| !word.is_empty())
        .collect()
}

/// Words written together with capitals, apart: `NakedEye`.
fn capitals_apart(seen: &str) -> String {
    let mut apart = String::with_capacity(seen.len());
    let mut previous = ' ';
    let mut characters = seen.chars().peekable();
    while let Some(character) = characters.next() {
        let word_begins = previous.is_uppercase() && characters.peek().is_some_and(|next| next.is_lowercase());
        if character.is_uppercase() && (previous.is_lowercase() || word_begins) {
            apart.push(' ');
        }
        apart.push(character);
        previous = character;
    }
    apart
}

/// The word with each run of a letter as one, if it was written with letters three or more times, or all of them twice.
fn squeezed_if_stretched(word: &str) -> Option<String> {
    let runs = runs(word);
    let is_letter = |character: char| character.is_alphabetic() && !is_unspaced(character);
    let long = runs.iter().any(|(character, length)| is_letter(*character) && *length >= 3);
    let doubled = runs.len() >= 3 && runs.iter().all(|(character, length)| is_letter(*character) && *length >= 2);
    (long || doubled).then(|| runs.into_iter().map(|(character, _)| character).collect())
}

/// Each run of a letter as one.
pub(super) fn squeezed(word: &str) -> String {
    runs(word).into_iter().map(|(character, _)| character).collect()
}

fn runs(word: &str) -> Vec<(char, usize)> {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for character in word.chars() {
        match runs.last_mut() {
            Some((last, length)) if *last == character => *length += 1,
            _ => runs.push((character, 1)),
        }
    }
    runs
}

/// A part of a phrase in the one form that words have.
pub(super) fn plain(text: &str) -> String {
    lowered(&seen(text))
}
