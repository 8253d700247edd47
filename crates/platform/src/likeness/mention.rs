//! Who is named in a prompt: `@mika`.

use crate::social::Handle;

/// The handles in a text, each once, in the order in which they are first named.
pub fn mentions(text: &str) -> Vec<Handle> {
    let mut found: Vec<Handle> = Vec::new();
    for (_, _, handle) in spans(text) {
        if !found.contains(&handle) {
            found.push(handle);
        }
    }
    found
}

/// A text with words in place of those handles that `words` knows.
pub fn with_mentions_as(text: &str, words: impl Fn(&Handle) -> Option<String>) -> String {
    let (mut told, mut at) = (String::new(), 0);
    for (start, end, handle) in spans(text) {
        if let Some(words) = words(&handle) {
            told.push_str(&text[at..start]);
            told.push_str(&words);
            at = end;
        }
    }
    told.push_str(&text[at..]);
    told
}

/// Where handles stand: from the `@` to before what follows. One within a word, as in an address of mail, is none.
fn spans(text: &str) -> Vec<(usize, usize, Handle)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for (start, _) in text.match_indices(['@', '＠']) {
        let within = text[..start].chars().next_back().is_some_and(|before| is_part(before) || before == '@');
        let name_at = start + text[start..].chars().next().map_or(1, char::len_utf8);
        let name: String = text[name_at..].chars().take_while(|letter| is_part(*letter)).collect();
        if let (false, Ok(handle)) = (within, Handle::read(&name)) {
            found.push((start, name_at + name.len(), handle));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_with_an_at_and_addresses_name_nobody() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<_> = mentions(text).iter().map(|handle| handle.as_str().to_owned()).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("@mika waves at @Yuki, then @mika sits", &["mika", "yuki"]);
        check("write to mika@example.org", &[]);
        check("＠mika と @yukiが歩く", &["mika", "yuki"]);
        check("@ nobody, @@mika, @a", &[]);
    }

    #[test]
    fn names_become_words() {
        let words = |handle: &Handle| (handle.as_str() == "mika").then(|| "a person".to_owned());
        assert_eq!(with_mentions_as("@mika waves at @yuki. @Mika!", words), "a person waves at @yuki. a person!");
        assert_eq!(with_mentions_as("nobody", words), "nobody");
    }
}
