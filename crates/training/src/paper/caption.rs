//! Scenes in words.

use super::scene::{
    Actor, ActorKind, ActorSize, Background, Camera, HairStyle, Hat, Motion, Puppet, Scene, Shot, TimeOfDay, Weather,
};
use super::vocabulary::{
    GENERIC_VERBS, actor_words, background_phrases, camera_phrases, colour_words, gerund, motion_phrases, own_verbs,
    pace_words, relation_words, size_words, time_phrases, weather_phrases,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// How a scene is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptionStyle {
    /// `red boat moves right, sea, dusk`
    Terse,
    /// `A red boat sails right on the sea at dusk.`
    Plain,
    /// Every attribute: sizes, pace, weather, camera, a puppet's looks.
    Detailed,
    /// Synonyms and free word order.
    Paraphrase,
}

impl CaptionStyle {
    /// Every style.
    pub const ALL: &'static [Self] = &[Self::Terse, Self::Plain, Self::Detailed, Self::Paraphrase];

    /// A word for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terse => "terse",
            Self::Plain => "plain",
            Self::Detailed => "detailed",
            Self::Paraphrase => "free",
        }
    }
}

impl Scene {
    /// The scene in words; the seed decides among the ways to say it.
    pub fn caption(&self, style: CaptionStyle, seed: u64) -> String {
        let mut teller = Teller { style, rng: Pcg64::seed_from_u64(seed) };
        let shots: Vec<String> = self.shots.iter().map(|shot| teller.shot(shot)).collect();
        let joint = match style {
            CaptionStyle::Paraphrase => teller.any(&[", then cut to ", ", then ", "; cut to ", ", followed by "]),
            _ => ", then cut to ",
        };
        let text = shots.join(joint);
        let sentence = match style {
            CaptionStyle::Terse => false,
            CaptionStyle::Plain => teller.chance(0.6),
            CaptionStyle::Detailed => teller.chance(0.8),
            CaptionStyle::Paraphrase => teller.chance(0.5),
        };
        if sentence { capitalised(&text) + "." } else { text }
    }
}

pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The indefinite article for what follows.
pub(super) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// Chooses words.
struct Teller {
    style: CaptionStyle,
    rng: Pcg64,
}

impl Teller {
    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn any<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.rng.random_range(0..words.len())]
    }

    /// The canonical word, or any of them when paraphrasing.
    fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        if self.style == CaptionStyle::Paraphrase { self.any(words) } else { words[0] }
    }

    /// One shot as one clause, lower case, without a full stop.
    fn shot(&mut self, shot: &Shot) -> String {
        match self.style {
            CaptionStyle::Terse => self.terse(shot),
            CaptionStyle::Plain | CaptionStyle::Detailed => self.sentence(shot),
            CaptionStyle::Paraphrase => self.paraphrase(shot),
        }
    }

    fn terse(&mut self, shot: &Shot) -> String {
        let main = shot.main();
        let mut first = format!("{} {}", main.colour.name(), self.terse_noun(main));
        if main.motion != Motion::Still || self.chance(0.5) {
            let verb = if self.chance(0.6) { main.motion.name().to_owned() } else { self.verb(main) };
            first += &format!(" {verb}");
        }
        if main.motion != Motion::Still && self.chance(0.25) {
            first += &format!(" {}", pace_words(main.pace)[0]);
        }
        if let Some(relation) = shot.relation {
            let other = &shot.actors[1];
            first += &format!(" {} {} {}", relation.name(), other.colour.name(), self.terse_noun(other));
        }
        let mut parts = vec![first];
        for extra in shot.actors.iter().skip(if shot.relation.is_some() { 2 } else { 1 }) {
            parts.push(format!("{} {}", extra.colour.name(), self.terse_noun(extra)));
        }
        parts.push(match shot.background {
            Background::Plain => format!("plain {}", shot.plain_colour.name()),
            background => background.name().to_owned(),
        });
        if shot.time_of_day != TimeOfDay::Day && shot.background != Background::NightSky {
            parts.push(shot.time_of_day.name().to_owned());
        }
        if shot.weather != Weather::Clear {
            parts.push(shot.weather.name().to_owned());
        }
        if shot.camera != Camera::Still {
            parts.push(format!("camera {}", shot.camera.name()));
        }
        parts.join(", ")
    }

    fn terse_noun(&mut self, actor: &Actor) -> &'static str {
        match actor.kind {
            ActorKind::Puppet => self.any(&["puppet", "person"]),
            kind => kind.name(),
        }
    }

    /// `a red boat sails right above a blue car on the sea at dusk in the rain while the camera pans left`.
    fn sentence(&mut self, shot: &Shot) -> String {
        let detailed = self.style == CaptionStyle::Detailed;
        let subject = self.noun(shot.main());
        let action = self.action(shot.main());
        let mut text = format!("{subject} {action}{}", self.company(shot));
        text += &format!(" {}", self.place(shot));
        if let Some(time) = self.time(shot) {
            text += &format!(" {time}");
        }
        if let Some(weather) = self.weather(shot) {
            text += &format!(" {weather}");
        }
        if shot.camera != Camera::Still || detailed {
            let camera = camera_phrases(shot.camera)[0];
            text += &if self.chance(0.5) { format!(" while {camera}") } else { format!(", {camera}") };
        }
        text
    }

    fn paraphrase(&mut self, shot: &Shot) -> String {
        let subject = self.noun(shot.main());
        let action = self.action(shot.main());
        let company = self.company(shot);
        let place = self.place(shot);
        let time = self.time(shot);
        let weather = self.weather(shot);
        let mut setting: Vec<String> = time.into_iter().chain(weather).map(str::to_owned).collect();
        if self.chance(0.5) {
            setting.reverse();
        }
        let around = setting.iter().map(|part| format!(" {part}")).collect::<String>();
        let mut text = match self.rng.random_range(0..6) {
            0 => {
                setting.insert(0, place);
                format!("{}, {subject} {action}{company}", setting.join(" "))
            }
            1 => {
                setting.push(place);
                format!("{}: {subject} {action}{company}", setting.join(", "))
            }
            2 => format!("there is {subject} that {action}{company} {place}{around}"),
            3 => format!("{subject} {}{company} {place}{around}", gerund(&action)),
            4 if !around.is_empty() => format!("{}, {subject} {action}{company} {place}", around.trim()),
            _ => format!("{subject} {action}{company} {place}{around}"),
        };
        if shot.camera != Camera::Still {
            let camera = self.any(camera_phrases(shot.camera));
            text = match self.rng.random_range(0..3) {
                0 => format!("{camera}: {text}"),
                1 => format!("{text} while {camera}"),
                _ => format!("{text}, {camera}"),
            };
        }
        text
    }

    /// `a large red boat`, `a person with tan skin and glasses in a red shirt`.
    fn noun(&mut self, actor: &Actor) -> String {
        let size = match (self.style, actor.size) {
            (CaptionStyle::Plain, _) | (CaptionStyle::Detailed, ActorSize::Medium) => None,
            (CaptionStyle::Detailed, size) => Some(size_words(size)[0]),
            (_, ActorSize::Medium) => None,
            (_, size) => self.chance(0.5).then(|| self.word(size_words(size))),
        };
        let colour = self.word(colour_words(actor.colour));
        let size = size.map(|size| format!("{size} ")).unwrap_or_default();
        let Some(looks) = &actor.puppet else {
            return with_article(&format!("{size}{colour} {}", self.word(actor_words(actor.kind))));
        };
        let person = match self.style {
            CaptionStyle::Paraphrase => self.any(actor_words(ActorKind::Puppet)),
            _ => self.any(&["person", "puppet"]),
        };
        let looks = self.looks(looks);
        let person = with_article(&format!("{size}{person}"));
        if self.style == CaptionStyle::Paraphrase && self.chance(0.4) {
            let verb = self.any(&["wearing", "dressed in"]);
            return format!(
                "{person}{looks} {verb} {} {}",
                with_article(colour),
                self.any(&["shirt", "sweater", "top"])
            );
        }
        format!("{person}{looks} in {} shirt", with_article(colour))
    }

    /// ` with dark skin, long black hair, a top hat and glasses`; less of it in shorter styles.
    fn looks(&mut self, looks: &Puppet) -> String {
        let share = match self.style {
            CaptionStyle::Detailed => 1.0,
            CaptionStyle::Paraphrase => 0.5,
            _ => 0.2,
        };
        let mut parts = Vec::new();
        if self.chance(share) {
            parts.push(format!("{} skin", looks.skin.name()));
        }
        if self.chance(share) {
            let colour = looks.hair_colour.name();
            parts.push(match looks.hair_style {
                HairStyle::Bun => format!("{colour} hair in a bun"),
                style => format!("{} {colour} hair", style.name()),
            });
        }
        if looks.hat != Hat::Bare && self.chance(share) {
            parts.push(with_article(looks.hat.name()));
        }
        if looks.glasses && self.chance(share) {
            parts.push("glasses".to_owned());
        }
        match parts.split_last() {
            None => String::new(),
            Some((last, [])) => format!(" with {last}"),
            Some((last, rest)) => format!(" with {} and {last}", rest.join(", ")),
        }
    }

    /// `sails right slowly`.
    fn action(&mut self, actor: &Actor) -> String {
        let verb = self.verb(actor);
        let share = match self.style {
            CaptionStyle::Detailed => 1.0,
            CaptionStyle::Paraphrase => 0.5,
            _ => 0.4,
        };
        if actor.motion == Motion::Still || !self.chance(share) {
            return verb;
        }
        format!("{verb} {}", self.word(pace_words(actor.pace)))
    }

    fn verb(&mut self, actor: &Actor) -> String {
        let paraphrase = self.style == CaptionStyle::Paraphrase;
        let side = match actor.motion {
            Motion::Left => "left",
            Motion::Right => "right",
            Motion::Up if self.chance(0.4) => "up",
            Motion::Down if self.chance(0.4) => "down",
            motion => return self.word(motion_phrases(motion)).to_owned(),
        };
        let own = own_verbs(actor.kind);
        let verb = match (paraphrase, own.is_empty()) {
            (true, true) => self.any(GENERIC_VERBS),
            (true, false) if self.chance(0.3) => self.any(GENERIC_VERBS),
            (true, false) => self.any(own),
            (false, false) if self.chance(0.6) => own[0],
            _ => "moves",
        };
        let vertical = matches!(side, "up" | "down");
        match self.rng.random_range(0..4) {
            0 if paraphrase && !vertical => format!("{verb} to the {side}"),
            1 if paraphrase => format!("{verb} {side}wards"),
            2 if paraphrase && side == "right" => format!("{verb} from left to right"),
            2 if paraphrase && side == "left" => format!("{verb} from right to left"),
            0 if !vertical && self.chance(0.5) => format!("{verb} to the {side}"),
            _ => format!("{verb} {side}"),
        }
    }

    /// ` above a blue car, with a green tree`; empty for who is alone.
    fn company(&mut self, shot: &Shot) -> String {
        let mut text = String::new();
        let mut extras = shot.actors.iter().skip(1);
        if let (Some(relation), Some(other)) = (shot.relation, extras.clone().next()) {
            extras.next();
            text = format!(" {} {}", self.word(relation_words(relation)), self.noun(other));
        }
        let others: Vec<String> = extras.map(|extra| self.noun(extra)).collect();
        if !others.is_empty() {
            let with = self.word(&["with", "next to", "near", "together with"]);
            let comma = if text.is_empty() { "" } else { "," };
            text += &format!("{comma} {with} {}", others.join(" and "));
        }
        text
    }

    fn place(&mut self, shot: &Shot) -> String {
        let phrase = self.word(background_phrases(shot.background));
        let colour = self.word(colour_words(shot.plain_colour));
        phrase.replace("{colour}", colour)
    }

    fn time(&mut self, shot: &Shot) -> Option<&'static str> {
        let said = match (self.style, shot.time_of_day) {
            (_, TimeOfDay::Night) if shot.background == Background::NightSky => false,
            (CaptionStyle::Plain, TimeOfDay::Day) => self.chance(0.1),
            (CaptionStyle::Paraphrase, TimeOfDay::Day) => self.chance(0.4),
            _ => true,
        };
        said.then(|| self.word(time_phrases(shot.time_of_day)))
    }

    fn weather(&mut self, shot: &Shot) -> Option<&'static str> {
        let said = shot.weather != Weather::Clear || self.style == CaptionStyle::Detailed;
        said.then(|| self.word(weather_phrases(shot.weather)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Colour, Mixture, Pace, Relation, Split};

    fn scene(seed: u64) -> Scene {
        Scene::sample(seed, Split::Train, &Mixture::default())
    }

    fn mentions(caption: &str, words: &[&str]) -> bool {
        words.iter().any(|word| caption.to_lowercase().contains(word))
    }

    #[test]
    fn every_actor_is_named_with_its_colour_in_every_style() {
        for seed in 0..1500 {
            let scene = scene(seed);
            for &style in CaptionStyle::ALL {
                let caption = scene.caption(style, seed);
                for actor in scene.shots.iter().flat_map(|shot| &shot.actors) {
                    assert!(mentions(&caption, actor_words(actor.kind)), "{caption} lacks {:?}", actor.kind);
                    assert!(mentions(&caption, colour_words(actor.colour)), "{caption} lacks {:?}", actor.colour);
                }
                assert_eq!(
                    scene.shots.len() > 1,
                    mentions(&caption, &[", then", "cut to", "followed by"]),
                    "{caption}"
                );
            }
        }
    }

    #[test]
    fn details_say_everything() {
        for seed in 0..1500 {
            let scene = scene(seed);
            let caption = scene.caption(CaptionStyle::Detailed, seed);
            for shot in &scene.shots {
                let main = shot.main();
                assert!(mentions(&caption, weather_phrases(shot.weather)), "{caption}");
                assert!(mentions(&caption, camera_phrases(shot.camera)), "{caption}");
                if main.motion != Motion::Still {
                    assert!(mentions(&caption, pace_words(main.pace)), "{caption}");
                }
                if let Some(relation) = shot.relation {
                    assert!(mentions(&caption, relation_words(relation)), "{caption}");
                }
                if let Some(looks) = main.puppet {
                    assert!(mentions(&caption, &[looks.hair_colour.name()]), "{caption}");
                    assert_eq!(looks.glasses, mentions(&caption, &["glasses"]) && looks.glasses, "{caption}");
                }
            }
        }
    }

    #[test]
    fn the_readme_prompt_is_in_the_language() {
        let mut scene = scene(1);
        scene.shots.truncate(1);
        let shot = &mut scene.shots[0];
        shot.actors.truncate(1);
        shot.relation = None;
        let actor = &mut shot.actors[0];
        (actor.kind, actor.colour, actor.motion, actor.puppet) = (ActorKind::Boat, Colour::Red, Motion::Right, None);
        (shot.background, shot.time_of_day) = (Background::Sea, TimeOfDay::Dusk);
        (shot.weather, shot.camera) = (Weather::Clear, Camera::Still);
        let captions: Vec<String> = (0..200).map(|seed| scene.caption(CaptionStyle::Plain, seed)).collect();
        let asked = "a red boat sails right on the sea at dusk";
        assert!(captions.iter().any(|caption| caption == asked), "{captions:?}");
        assert_eq!(scene.caption(CaptionStyle::Terse, 3), scene.caption(CaptionStyle::Terse, 3));
    }

    #[test]
    fn there_is_more_than_one_way_to_say_it() {
        let scene = scene(4);
        let mut ways: Vec<String> = (0..100).map(|seed| scene.caption(CaptionStyle::Paraphrase, seed)).collect();
        ways.sort();
        ways.dedup();
        assert!(ways.len() > 60, "{}", ways.len());
    }

    #[test]
    fn articles_fit() {
        assert_eq!(with_article("orange boat"), "an orange boat");
        assert_eq!(with_article("red boat"), "a red boat");
        assert_eq!(relation_words(Relation::Above)[0], "above");
        assert_eq!(pace_words(Pace::Slow)[0], "slowly");
    }
}
