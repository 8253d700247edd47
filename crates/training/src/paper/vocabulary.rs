//! The words that the paper world can show; in every list the canonical word or phrase comes first.

use super::scene::{
    ActorKind, ActorSize, Background, Camera, Colour, HairColour, HairStyle, Hat, Motion, Pace, Relation, Skin,
    TimeOfDay, Weather,
};

/// What kind of thing a word names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Concept {
    /// What an actor is.
    Actor,
    /// A colour of paper.
    Colour,
    /// How large.
    Size,
    /// What the main actor does.
    Motion,
    /// How quickly.
    Pace,
    /// Where.
    Background,
    /// The light.
    TimeOfDay,
    /// The weather.
    Weather,
    /// What the camera does.
    Camera,
    /// Where actors are to each other.
    Relation,
    /// A person's looks.
    Looks,
    /// More than one shot.
    Cut,
}

/// A word or short phrase that captions use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownWord {
    /// The word as captions have it, lower case.
    pub word: String,
    /// What it means: the name of the value, as in `ActorKind::name`.
    pub canonical: &'static str,
    /// What it is about.
    pub concept: Concept,
}

/// Every content word or phrase of the captions with what it means.
pub fn known_words() -> Vec<KnownWord> {
    let mut known: Vec<KnownWord> = Vec::new();
    let mut add = |concept, canonical: &'static str, words: &[&str]| {
        for word in std::iter::once(&canonical).chain(words) {
            // "on a plain {colour} background" is known by its words around the colour.
            let word = word.replace(" {colour}", "");
            if !known.iter().any(|old| old.word == word && old.concept == concept) {
                known.push(KnownWord { word, canonical, concept });
            }
        }
    };
    ActorKind::ALL.iter().for_each(|v| add(Concept::Actor, v.name(), actor_words(*v)));
    Colour::ALL.iter().for_each(|v| add(Concept::Colour, v.name(), colour_words(*v)));
    ActorSize::ALL.iter().for_each(|v| add(Concept::Size, v.name(), size_words(*v)));
    Motion::ALL.iter().for_each(|v| add(Concept::Motion, v.name(), motion_phrases(*v)));
    for &kind in ActorKind::ALL {
        own_verbs(kind).iter().for_each(|verb| add(Concept::Motion, "moves", &[verb]));
    }
    add(Concept::Motion, "moves", GENERIC_VERBS);
    Pace::ALL.iter().for_each(|v| add(Concept::Pace, v.name(), pace_words(*v)));
    Background::ALL.iter().for_each(|v| add(Concept::Background, v.name(), background_phrases(*v)));
    TimeOfDay::ALL.iter().for_each(|v| add(Concept::TimeOfDay, v.name(), time_phrases(*v)));
    Weather::ALL.iter().for_each(|v| add(Concept::Weather, v.name(), weather_phrases(*v)));
    Camera::ALL.iter().for_each(|v| add(Concept::Camera, v.name(), camera_phrases(*v)));
    Relation::ALL.iter().for_each(|v| add(Concept::Relation, v.name(), relation_words(*v)));
    Skin::ALL.iter().for_each(|v| add(Concept::Looks, v.name(), &[]));
    HairStyle::ALL.iter().for_each(|v| add(Concept::Looks, v.name(), &[]));
    HairColour::ALL.iter().for_each(|v| add(Concept::Looks, v.name(), &[]));
    Hat::ALL.iter().for_each(|v| add(Concept::Looks, v.name(), &[]));
    add(Concept::Looks, "glasses", &[]);
    add(Concept::Cut, "cut to", &["then", "followed by"]);
    known
}

/// Verbs that go with any actor and a direction.
pub(super) const GENERIC_VERBS: &[&str] = &["moves", "goes", "heads", "travels", "glides", "slides"];

pub(super) const fn actor_words(kind: ActorKind) -> &'static [&'static str] {
    match kind {
        ActorKind::Ball => &["ball", "rubber ball", "beach ball"],
        ActorKind::Star => &["star"],
        ActorKind::Heart => &["heart"],
        ActorKind::Boat => &["boat", "sailboat", "ship", "sailing boat"],
        ActorKind::Car => &["car", "automobile", "motor car"],
        ActorKind::Bird => &["bird", "songbird"],
        ActorKind::Fish => &["fish"],
        ActorKind::Balloon => &["balloon", "party balloon"],
        ActorKind::Tree => &["tree"],
        ActorKind::House => &["house", "cottage", "home"],
        ActorKind::Cloud => &["cloud"],
        ActorKind::Cat => &["cat", "kitten", "kitty"],
        ActorKind::Rocket => &["rocket", "spaceship", "rocket ship"],
        ActorKind::Flower => &["flower", "blossom"],
        ActorKind::Kite => &["kite"],
        ActorKind::Puppet => &["puppet", "person", "figure"],
    }
}

pub(super) const fn colour_words(colour: Colour) -> &'static [&'static str] {
    match colour {
        Colour::Red => &["red", "crimson", "scarlet"],
        Colour::Orange => &["orange", "tangerine"],
        Colour::Yellow => &["yellow", "golden", "lemon"],
        Colour::Green => &["green", "emerald"],
        Colour::Blue => &["blue", "azure"],
        Colour::Purple => &["purple", "violet"],
        Colour::Pink => &["pink", "rosy"],
        Colour::Brown => &["brown", "chestnut", "chocolate"],
        Colour::Black => &["black", "jet black"],
        Colour::White => &["white", "ivory"],
        Colour::Grey => &["grey", "gray", "silver"],
    }
}

pub(super) const fn size_words(size: ActorSize) -> &'static [&'static str] {
    match size {
        ActorSize::Small => &["small", "little", "tiny"],
        ActorSize::Medium => &["medium"],
        ActorSize::Large => &["large", "big", "huge"],
    }
}

/// How this kind of actor travels; empty for what has no way of its own.
pub(super) const fn own_verbs(kind: ActorKind) -> &'static [&'static str] {
    match kind {
        ActorKind::Boat => &["sails", "cruises"],
        ActorKind::Car => &["drives", "rolls"],
        ActorKind::Bird => &["flies", "flaps"],
        ActorKind::Fish => &["swims"],
        ActorKind::Balloon => &["floats", "drifts"],
        ActorKind::Cloud => &["drifts", "floats"],
        ActorKind::Cat => &["walks", "runs", "strolls"],
        ActorKind::Rocket => &["flies", "shoots"],
        ActorKind::Kite => &["flies", "glides"],
        ActorKind::Puppet => &["walks", "strolls", "runs"],
        ActorKind::Ball => &["rolls"],
        ActorKind::Star | ActorKind::Heart | ActorKind::Tree | ActorKind::House | ActorKind::Flower => &[],
    }
}

pub(super) const fn motion_phrases(motion: Motion) -> &'static [&'static str] {
    match motion {
        Motion::Left => &["moves left"],
        Motion::Right => &["moves right"],
        Motion::Up => &["moves up", "rises", "climbs", "goes up"],
        Motion::Down => &["moves down", "sinks", "descends", "comes down"],
        Motion::Bounces => &["bounces", "bounces up and down", "hops", "jumps up and down"],
        Motion::Spins => &["spins", "spins around", "rotates", "turns around"],
        Motion::Grows => &["grows", "gets bigger", "becomes larger"],
        Motion::Shrinks => &["shrinks", "gets smaller", "becomes smaller"],
        Motion::Circles => &["circles", "moves in a circle", "goes round in circles", "loops around"],
        Motion::Sways => &["sways", "swings from side to side", "rocks back and forth"],
        Motion::FadesIn => &["fades in", "appears", "becomes visible", "emerges"],
        Motion::Still => &["stays still", "stands still", "rests", "does not move"],
    }
}

pub(super) const fn pace_words(pace: Pace) -> &'static [&'static str] {
    match pace {
        Pace::Slow => &["slowly", "gently", "calmly", "unhurriedly"],
        Pace::Fast => &["fast", "quickly", "swiftly", "rapidly"],
    }
}

pub(super) const fn background_phrases(background: Background) -> &'static [&'static str] {
    match background {
        Background::Sky => &["in the sky", "in the open sky", "in the air", "up in the sky"],
        Background::Sea => &["on the sea", "on the ocean", "at sea", "on the water", "over the waves"],
        Background::Meadow => &["in a meadow", "in a green field", "on the grass", "in a green meadow"],
        Background::Desert => &["in the desert", "among the dunes", "on the sand"],
        Background::Mountains => &["in the mountains", "among the peaks", "in front of the mountains"],
        Background::City => &["in the city", "in town", "on a city street", "downtown"],
        Background::SnowField => &["on a snow field", "on a snowy field", "on a field of snow"],
        Background::NightSky => &["in the night sky", "among the stars", "in the starry sky"],
        Background::Plain => &[
            "on a plain {colour} background",
            "against a plain {colour} background",
            "in front of plain {colour} paper",
            "before a {colour} backdrop",
        ],
    }
}

pub(super) const fn time_phrases(time: TimeOfDay) -> &'static [&'static str] {
    match time {
        TimeOfDay::Day => &["by day", "in daylight", "in the daytime"],
        TimeOfDay::Dusk => &["at dusk", "at sunset", "in the evening", "at twilight"],
        TimeOfDay::Night => &["at night", "by night", "under the moon", "after dark"],
    }
}

pub(super) const fn weather_phrases(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &["in clear weather", "under a clear sky"],
        Weather::Rain => &["in the rain", "while it rains", "on a rainy day", "in pouring rain"],
        Weather::Snow => &["in the snow", "while it snows", "in falling snow"],
        Weather::Wind => &["in the wind", "in strong wind", "while the wind blows"],
    }
}

pub(super) const fn camera_phrases(camera: Camera) -> &'static [&'static str] {
    match camera {
        Camera::Still => &["the camera is still"],
        Camera::PanLeft => &["the camera pans left", "the camera moves to the left", "panning left"],
        Camera::PanRight => &["the camera pans right", "the camera moves to the right", "panning right"],
        Camera::ZoomIn => &["the camera zooms in", "the camera comes closer", "zooming in"],
        Camera::ZoomOut => &["the camera zooms out", "the camera pulls back", "zooming out"],
    }
}

pub(super) const fn relation_words(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::LeftOf => &["left of", "to the left of", "on the left of"],
        Relation::Above => &["above", "over", "higher than"],
        Relation::Behind => &["behind", "partly hidden by", "at the back of"],
    }
}

/// The clause with its first verb as a participle: `sails right` → `sailing right`.
pub(super) fn gerund(clause: &str) -> String {
    let (verb, rest) = clause.split_once(' ').unwrap_or((clause, ""));
    let stem = verb.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let stem = stem.or_else(|| verb.strip_suffix("es").map(str::to_owned));
    let stem = stem.unwrap_or_else(|| verb.trim_end_matches('s').to_owned());
    let participle = match verb {
        "does" => return format!("not moving{}", rest.trim_start_matches("not move")),
        "swims" | "spins" | "gets" | "hops" | "flaps" | "runs" => {
            format!("{stem}{}ing", &stem[stem.len() - 1..])
        }
        _ => format!("{stem}ing"),
    };
    if rest.is_empty() { participle } else { format!("{participle} {rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn participles_are_english() {
        let check = |clause: &str, expected: &str| assert_eq!(gerund(clause), expected);
        check("sails right", "sailing right");
        check("moves left slowly", "moving left slowly");
        check("flies up", "flying up");
        check("swims left", "swimming left");
        check("gets bigger", "getting bigger");
        check("goes up", "going up");
        check("circles", "circling");
        check("does not move", "not moving");
    }

    #[test]
    fn a_word_means_one_thing_in_its_concept() {
        let known = known_words();
        assert!(known.len() > 150, "{}", known.len());
        for word in &known {
            let same = known.iter().filter(|other| other.word == word.word && other.concept == word.concept);
            assert_eq!(same.count(), 1, "{word:?}");
        }
    }
}
