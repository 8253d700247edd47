//! What of a prompt the paper world can show, told honestly, and the prompt in its words: nothing is refused for it.

use render::Reworded;
use server::WordsOfModel;
use training::paper::{ActorKind, Background, Camera, Colour, Motion, TimeOfDay, Weather, reword};

/// The prompt in the words of the paper world.
pub(crate) fn in_words_of_the_world(prompt: &str) -> Reworded {
    let training::paper::Reworded { prompt, changes, unknown, chosen } = reword(prompt);
    Reworded { prompt, changes, unknown, chosen }
}

/// The paper world for whoever helps with prompts: its rules, and what a language model is told of it.
pub(crate) fn words_of_the_world() -> WordsOfModel {
    fn list<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
        all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ")
    }
    let told = format!(
        "The model knows nothing but a world of paper cut-outs, so use these words alone and choose the closest ones. Who: {} (a puppet is \
         called a person, with skin, hair, hat and glasses, in a shirt of a colour); one to three of them, each with one colour of: {}. \
         What the first of them does, and nobody else: {}; slowly or fast. Where they are to each other: left of, above, behind. Where: {}. \
         Time: {}. Weather: {}. Camera: {}. At most two shots, joined by \", then cut to \". An example: \"A red boat sails right on the \
         sea at dusk in the rain while the camera zooms in.\"",
        list(ActorKind::ALL, ActorKind::name),
        list(Colour::ALL, Colour::name),
        list(Motion::ALL, Motion::name),
        list(Background::ALL, Background::name),
        list(TimeOfDay::ALL, TimeOfDay::name),
        list(Weather::ALL, Weather::name),
        list(Camera::ALL, Camera::name),
    );
    WordsOfModel { reword: in_words_of_the_world, told }
}

/// The words of a prompt that the paper world does not know, and a sentence about them if there are any.
pub(crate) fn unknown_words(prompt: &str) -> (Vec<String>, Option<String>) {
    let reworded = reword(prompt);
    let asked = reworded.changes.iter().map(|(asked, _)| asked.clone());
    let unknown: Vec<String> = asked.chain(reworded.unknown).collect();
    if unknown.is_empty() {
        return (unknown, None);
    }
    let closest: Vec<String> =
        reworded.changes.iter().map(|(asked, closest)| format!("{asked} → {closest}")).take(8).collect();
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
    if let Some(prompt) = reworded.prompt {
        sentence += &format!(" In its words, as --reword would ask: \"{prompt}\"");
    }
    (unknown, Some(sentence))
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
        let (unknown, advice) = unknown_words("my dog chasing a frisbee at the beach, cinematic");
        assert_eq!(unknown, ["dog", "chasing", "frisbee", "beach", "cinematic"]);
        let advice = advice.unwrap();
        assert!(advice.contains("dog → cat") && advice.contains("frisbee → ball"), "{advice}");
        assert!(advice.contains("\"An orange cat walks right with a red ball on the sea.\""), "{advice}");
        assert!(unknown_words("a red bot").1.unwrap().contains("bot → boat"));
    }
}
