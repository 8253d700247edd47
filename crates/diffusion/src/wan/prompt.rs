//! Prompts as the models were trained on them: mended, unescaped, spaces collapsed, then cut into the pieces of a Unigram
//! tokenizer.

use std::path::Path;

use tokenizers::Tokenizer;
use unicode_normalization::UnicodeNormalization as _;

use super::transformer::TEXT_TOKENS;
use crate::Result;
use crate::checkpoint::{damaged, read_small};

/// The tokenizer of the family.
#[derive(Clone, Debug)]
pub struct WanTokenizer(Box<Tokenizer>);

/// The end of every prompt.
const END: u32 = 1;

impl WanTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::ModelFile`](crate::Error::ModelFile) if it is missing or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let mut tokenizer = Tokenizer::from_bytes(read_small(path)?).map_err(|e| damaged(path, e))?;
        // Cutting and filling up are done here.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| damaged(path, e))?;
        Ok(Self(Box::new(tokenizer)))
    }

    /// The ids of a prompt, its end last, at most 512.
    ///
    /// # Errors
    /// [`Error::ModelFile`](crate::Error::ModelFile) if the tokenizer has no token for some piece.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let encoding = self.0.encode(cleaned(prompt), true).map_err(|e| damaged(Path::new("tokenizer.json"), e))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > TEXT_TOKENS {
            ids.truncate(TEXT_TOKENS);
            ids[TEXT_TOKENS - 1] = END;
        }
        Ok(ids)
    }
}

/// A prompt as the tokenizer is given it: text mended as ftfy does for what people type (quotes straight, ligatures and wide
/// letters plain, control characters gone, composed), HTML unescaped twice, spaces collapsed. What ftfy does beyond that,
/// text that was decoded wrongly on its way, is not undone.
pub fn cleaned(prompt: &str) -> String {
    let text = unescaped(&unescaped(&mended(prompt)));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn mended(text: &str) -> String {
    // Entities are resolved before the rest, unless a tag says that the text is HTML.
    let text = if text.contains('<') { text.to_owned() } else { unescaped(text) };
    let mut mended = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{2018}'..='\u{201b}' | '\u{02bc}' => mended.push('\''),
            '\u{201c}'..='\u{201f}' => mended.push('"'),
            'ﬀ' => mended.push_str("ff"),
            'ﬁ' => mended.push_str("fi"),
            'ﬂ' => mended.push_str("fl"),
            'ﬃ' => mended.push_str("ffi"),
            'ﬄ' => mended.push_str("ffl"),
            'ﬅ' => mended.push_str("ſt"),
            'ﬆ' => mended.push_str("st"),
            'Ĳ' => mended.push_str("IJ"),
            'ĳ' => mended.push_str("ij"),
            'ŉ' => mended.push_str("'n"),
            'Ǆ' => mended.push_str("DŽ"),
            'ǅ' => mended.push_str("Dž"),
            'ǆ' => mended.push_str("dž"),
            'Ǉ' => mended.push_str("LJ"),
            'ǈ' => mended.push_str("Lj"),
            'ǉ' => mended.push_str("lj"),
            'Ǌ' => mended.push_str("NJ"),
            'ǋ' => mended.push_str("Nj"),
            'ǌ' => mended.push_str("nj"),
            // Wide forms of Latin letters and narrow ones of others.
            '\u{ff01}'..='\u{ffee}' | '\u{3000}' => mended.extend(std::iter::once(letter).nfkc()),
            '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => mended.push('\n'),
            '\t' | '\n' => mended.push(letter),
            '\u{fff9}'..='\u{fffc}' | '\u{206a}'..='\u{206f}' => {}
            letter if letter.is_control() => {}
            letter => mended.push(letter),
        }
    }
    mended.nfc().collect()
}

/// HTML's numbers and the names of letters that people meet.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.char_indices().skip(1).find(|(_, letter)| !letter.is_ascii_alphanumeric() && *letter != '#');
        let whole = match end {
            Some((end, ';')) => Some((&rest[1..end], &rest[end + 1..])),
            _ => None,
        };
        match whole.and_then(|(name, after)| Some((entity(name)?, after))) {
            Some((letters, after)) => {
                out.push(letters);
                rest = after;
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter)
}

/// HTML 4's names of punctuation, signs and letters of Western Europe.
const ENTITIES: [(&str, char); 121] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("iexcl", '¡'),
    ("cent", '¢'),
    ("pound", '£'),
    ("curren", '¤'),
    ("yen", '¥'),
    ("brvbar", '¦'),
    ("sect", '§'),
    ("uml", '¨'),
    ("copy", '©'),
    ("ordf", 'ª'),
    ("laquo", '«'),
    ("not", '¬'),
    ("shy", '\u{ad}'),
    ("reg", '®'),
    ("macr", '¯'),
    ("deg", '°'),
    ("plusmn", '±'),
    ("sup2", '²'),
    ("sup3", '³'),
    ("acute", '´'),
    ("micro", 'µ'),
    ("para", '¶'),
    ("middot", '·'),
    ("cedil", '¸'),
    ("sup1", '¹'),
    ("ordm", 'º'),
    ("raquo", '»'),
    ("frac14", '¼'),
    ("frac12", '½'),
    ("frac34", '¾'),
    ("iquest", '¿'),
    ("Agrave", 'À'),
    ("Aacute", 'Á'),
    ("Acirc", 'Â'),
    ("Atilde", 'Ã'),
    ("Auml", 'Ä'),
    ("Aring", 'Å'),
    ("AElig", 'Æ'),
    ("Ccedil", 'Ç'),
    ("Egrave", 'È'),
    ("Eacute", 'É'),
    ("Ecirc", 'Ê'),
    ("Euml", 'Ë'),
    ("Igrave", 'Ì'),
    ("Iacute", 'Í'),
    ("Icirc", 'Î'),
    ("Iuml", 'Ï'),
    ("ETH", 'Ð'),
    ("Ntilde", 'Ñ'),
    ("Ograve", 'Ò'),
    ("Oacute", 'Ó'),
    ("Ocirc", 'Ô'),
    ("Otilde", 'Õ'),
    ("Ouml", 'Ö'),
    ("times", '×'),
    ("Oslash", 'Ø'),
    ("Ugrave", 'Ù'),
    ("Uacute", 'Ú'),
    ("Ucirc", 'Û'),
    ("Uuml", 'Ü'),
    ("Yacute", 'Ý'),
    ("THORN", 'Þ'),
    ("szlig", 'ß'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("atilde", 'ã'),
    ("auml", 'ä'),
    ("aring", 'å'),
    ("aelig", 'æ'),
    ("ccedil", 'ç'),
    ("egrave", 'è'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("igrave", 'ì'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("eth", 'ð'),
    ("ntilde", 'ñ'),
    ("ograve", 'ò'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("otilde", 'õ'),
    ("ouml", 'ö'),
    ("divide", '÷'),
    ("oslash", 'ø'),
    ("ugrave", 'ù'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("uuml", 'ü'),
    ("yacute", 'ý'),
    ("thorn", 'þ'),
    ("yuml", 'ÿ'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("dagger", '†'),
    ("Dagger", '‡'),
    ("bull", '•'),
    ("hellip", '…'),
    ("permil", '‰'),
    ("euro", '€'),
    ("trade", '™'),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What `prompt_clean` of diffusers 0.42 with ftfy 6.3 makes of the same.
    #[test]
    fn prompts_are_cleaned_as_the_reference_does() {
        for (typed, clean) in [
            ("  a   b\n\tc ", "a b c"),
            ("rock &amp; roll", "rock & roll"),
            ("&amp;amp;amp; twice", "& twice"),
            ("“curly” ‘quotes’ don’t", "\"curly\" 'quotes' don't"),
            ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
            ("ﬁne ﬂow", "fine flow"),
            ("cafe\u{301} \u{1}x ŉ ǆ", "café x 'n dž"),
            ("AT&T &#233;&#xe9; &unknown; &", "AT&T éé &unknown; &"),
            ("<b> &lt;i&gt;", "<b> <i>"),
            ("美空、夕暮れ", "美空、夕暮れ"),
        ] {
            assert_eq!(cleaned(typed), clean, "{typed:?}");
        }
    }
}
