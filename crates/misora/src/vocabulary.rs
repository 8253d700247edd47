//! What of a prompt the paper world can show, told honestly: nothing is refused for it.

use std::collections::BTreeSet;

use training::paper::{ActorKind, known_words};

/// Words that carry no picture of their own.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "the", "and", "or", "of", "on", "in", "at", "to", "from", "by", "with", "while", "then", "over",
    "under", "is", "are", "it", "its", "it's", "there", "this", "that", "into", "across", "for", "as", "up", "very",
    "some", "through", "near", "next", "his", "her", "their", "my", "i", "one", "two", "three", "be", "has", "have",
];

/// What people ask for, and what in the paper world comes closest.
const CLOSEST: &[(&str, &str)] = &[
    ("dog", "cat"),
    ("puppy", "cat"),
    ("lion", "cat"),
    ("tiger", "cat"),
    ("horse", "cat"),
    ("rabbit", "cat"),
    ("animal", "cat"),
    ("whale", "fish"),
    ("shark", "fish"),
    ("dolphin", "fish"),
    ("eagle", "bird"),
    ("duck", "bird"),
    ("owl", "bird"),
    ("butterfly", "bird"),
    ("dragon", "bird"),
    ("plane", "rocket"),
    ("airplane", "rocket"),
    ("spaceship", "rocket"),
    ("ship", "boat"),
    ("truck", "car"),
    ("bus", "car"),
    ("train", "car"),
    ("bike", "car"),
    ("castle", "house"),
    ("tower", "house"),
    ("bridge", "house"),
    ("forest", "tree"),
    ("rose", "flower"),
    ("man", "person"),
    ("woman", "person"),
    ("boy", "person"),
    ("girl", "person"),
    ("child", "person"),
    ("astronaut", "person"),
    ("robot", "person"),
    ("beach", "sea"),
    ("lake", "sea"),
    ("river", "sea"),
    ("forest", "meadow"),
    ("garden", "meadow"),
    ("field", "meadow"),
    ("street", "city"),
    ("town", "city"),
    ("space", "night sky"),
    ("moon", "night sky"),
    ("ice", "snow field"),
    ("storm", "rain"),
    ("fog", "rain"),
    ("sunset", "dusk"),
    ("sunrise", "dusk"),
    ("evening", "dusk"),
    ("morning", "day"),
    ("midnight", "night"),
    ("runs", "moves"),
    ("jumps", "bounces"),
    ("dances", "sways"),
    ("rotates", "spins"),
    ("flies", "moves up"),
    ("chasing", "moves"),
    ("gold", "yellow"),
    ("silver", "grey"),
    ("turquoise", "blue"),
    ("frisbee", "ball"),
    ("football", "ball"),
    ("sun", "star"),
];

/// The words of a prompt that the paper world does not know, and a sentence about them if there are any.
pub(crate) fn unknown_words(prompt: &str) -> (Vec<String>, Option<String>) {
    let known: BTreeSet<String> =
        known_words().iter().flat_map(|known| known.word.split_whitespace().map(stem).collect::<Vec<_>>()).collect();
    let mut unknown = Vec::new();
    for word in prompt.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        let is_known = known.contains(&stem(&word)) || FUNCTION_WORDS.contains(&word.as_str());
        if !is_known && !unknown.contains(&word) {
            unknown.push(word);
        }
    }
    if unknown.is_empty() {
        return (unknown, None);
    }
    let closest: Vec<String> = unknown
        .iter()
        .filter_map(|word| closest(word, &known).map(|close| format!("{word} → {close}")))
        .take(8)
        .collect();
    let actors = ActorKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    let shown: Vec<&str> = unknown.iter().take(8).map(String::as_str).collect();
    let mut sentence = format!(
        "paper-1 has never seen: {}. It knows a world of paper cut-outs: {actors}, in eleven colours, moving under a sky, on the \
         sea, in a meadow, desert, city, mountains or snow.",
        shown.join(", ")
    );
    if !closest.is_empty() {
        sentence += &format!(" Closest: {}.", closest.join("; "));
    }
    (unknown, Some(sentence))
}

/// The word without its English ending, roughly: enough to match "boats" with "boat".
fn stem(word: &str) -> String {
    let word = word.to_lowercase();
    for ending in ["ing", "es", "s", "ed"] {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.len() >= 3
        {
            return stem.trim_end_matches('e').to_owned();
        }
    }
    word.trim_end_matches('e').to_owned()
}

fn closest(word: &str, known: &BTreeSet<String>) -> Option<String> {
    let meant = CLOSEST.iter().find(|(asked, _)| stem(asked) == stem(word)).map(|(_, close)| (*close).to_owned());
    meant
        .or_else(|| {
            // A slip of the finger: one letter off.
            known_words().iter().map(|known| known.word.clone()).find(|known| one_letter_off(word, known))
        })
        .filter(|_| !known.is_empty())
}

/// Whether one word becomes the other by adding, leaving out or changing one letter.
fn one_letter_off(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() < 3 || a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    same + same_end + 1 >= a.len().max(b.len())
}

#[cfg(test)]
mod tests {
    use training::paper::{withheld_colours, withheld_motions, withheld_weathers};

    use super::*;

    #[test]
    fn what_the_world_knows_is_not_remarked_on() {
        for prompt in ["a red boat sails right on the sea at dusk", "two birds, snow, the camera pans left"] {
            assert_eq!(unknown_words(prompt).1, None, "{prompt}: {:?}", unknown_words(prompt).0);
        }
    }

    #[test]
    fn the_first_clips_are_of_the_world_that_training_shows() {
        for prompt in server::first_clips::prompts() {
            assert!(unknown_words(prompt).0.is_empty(), "{prompt}: {:?}", unknown_words(prompt).0);
            let together = |one: &str, other: &str| prompt.contains(one) && prompt.contains(other);
            for (kind, colour) in withheld_colours() {
                assert!(!prompt.contains(&format!("{} {}", colour.name(), kind.name())), "{prompt}");
            }
            for (kind, motion) in withheld_motions() {
                let motion = motion.name().strip_prefix("moves").unwrap_or(motion.name());
                assert!(!together(kind.name(), motion), "{prompt}");
            }
            for (background, weather) in withheld_weathers() {
                assert!(!together(background.name(), weather.name()), "{prompt}");
            }
        }
    }

    #[test]
    fn what_it_does_not_know_is_named_with_what_comes_closest() {
        let (unknown, advice) = unknown_words("my dog chasing a frisbee at the beach");
        assert_eq!(unknown, ["dog", "chasing", "frisbee"], "a beach is a word for the sea");
        let advice = advice.unwrap();
        assert!(advice.contains("dog → cat") && advice.contains("frisbee → ball"), "{advice}");
        assert!(unknown_words("a red baot").1.is_some());
        assert!(unknown_words("a red bot").1.unwrap().contains("bot → boat"));
    }
}
