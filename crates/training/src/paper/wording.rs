//! What people type, said again in the words of the paper world: by rules and nearest words, with everything told that was changed.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::caption::{capitalised, with_article};
use super::scene::{
    ActorKind, ActorSize, Background, Camera, Colour, HairColour, HairStyle, Hat, Motion, Pace, Relation, Skin,
    TimeOfDay, Weather,
};
use super::vocabulary::{
    Concept, KnownWord, background_phrases, camera_phrases, known_words, motion_phrases, own_verbs, pace_words,
    relation_words, size_words, time_phrases, weather_phrases,
};

/// A prompt in the words that captions have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reworded {
    /// The prompt; nothing if no word of it means anything in this world.
    pub prompt: Option<String>,
    /// What was said in other words, with what comes closest.
    pub changes: Vec<(String, String)>,
    /// Words that nothing came of.
    pub unknown: Vec<String>,
    /// What was not said and had to be chosen.
    pub chosen: Vec<String>,
}

/// What a prompt asks to be shown, as far as it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// One or two.
    pub(crate) shots: Vec<WantedShot>,
}

/// A shot as it is asked for; what is not said may be anything, except where saying nothing says enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedShot {
    /// Who, with their colours; the main one first.
    pub actors: Vec<(ActorKind, Option<Colour>)>,
    /// What the main actor does.
    pub motion: Option<Motion>,
    /// Main actor to the second one.
    pub relation: Option<Relation>,
    /// Where.
    pub background: Option<Background>,
    /// Day unless something else is said.
    pub time_of_day: TimeOfDay,
    /// Clear unless something else is said.
    pub weather: Weather,
    /// Still unless something else is said.
    pub camera: Camera,
}

/// Actors of a shot; the world has no more.
const MOST_ACTORS: usize = 3;
/// Shots of a clip.
const MOST_SHOTS: usize = 2;
/// Longest phrase of the dictionary in words, a character of Japanese counting as one.
const LONGEST_PHRASE: usize = 8;

/// Words that carry no picture of their own.
const FUNCTION_WORDS: &[&str] = &[
    "a",
    "an",
    "the",
    "and",
    "or",
    "of",
    "on",
    "in",
    "at",
    "to",
    "from",
    "by",
    "with",
    "while",
    "then",
    "over",
    "under",
    "is",
    "are",
    "it",
    "its",
    "it's",
    "there",
    "this",
    "that",
    "into",
    "across",
    "for",
    "as",
    "up",
    "very",
    "some",
    "through",
    "near",
    "next",
    "his",
    "her",
    "their",
    "my",
    "your",
    "our",
    "i",
    "one",
    "be",
    "has",
    "have",
    "who",
    "which",
    "off",
    "out",
    "he",
    "she",
    "they",
    "during",
    "towards",
    "toward",
    "along",
    "wearing",
    "dressed",
    "skin",
    "hair",
    "video",
    "clip",
    "scene",
    "shot",
    "film",
    "picture",
    "show",
    "me",
    "make",
    "please",
    "colored",
    "coloured",
    "camera",
    "all",
    "just",
    "like",
    "side",
    "back",
    "down",
    "against",
    "moving",
    "background",
];

/// What a word or phrase means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Actor(ActorKind),
    Colour(Colour),
    Size(ActorSize),
    Motion(Motion),
    /// A way to travel, in a direction that other words say.
    Travel,
    Side(Motion),
    Pace(Pace),
    Background(Background),
    Time(TimeOfDay),
    Weather(Weather),
    Camera(Camera),
    Relation(Relation),
    /// The other way round: the second is there as seen from the first.
    Reversed(Relation),
    Company,
    Count(usize),
    Skin(Skin),
    HairStyle(HairStyle),
    HairColour(HairColour),
    Hat(Hat),
    Glasses,
    /// The words before it are about the skin.
    SkinWord,
    /// The words before it are about the hair.
    HairWord,
    /// The colour before it is a shirt's.
    Shirt,
    /// The colour before it is the background's.
    Backdrop,
    Cut,
    Nothing,
}

struct Entry {
    meaning: Meaning,
    /// What it is called where it is told as a change; nothing for words that captions have themselves.
    told: Option<&'static str>,
}

static DICTIONARY: LazyLock<HashMap<Vec<String>, Entry>> = LazyLock::new(dictionary);

/// The words of the world first, then the file of synonyms; the first meaning of a phrase stays.
fn dictionary() -> HashMap<Vec<String>, Entry> {
    let mut words: HashMap<Vec<String>, Entry> = HashMap::new();
    let mut add = |phrase: &str, meaning: Meaning, told: Option<&'static str>| {
        let stems: Vec<String> = tokens(phrase).into_iter().map(|token| token.stem).collect();
        debug_assert!(!stems.is_empty() && stems.len() <= LONGEST_PHRASE, "{phrase}");
        words.entry(stems).or_insert(Entry { meaning, told });
    };
    for (side, motion) in [("left", Motion::Left), ("right", Motion::Right), ("up", Motion::Up), ("down", Motion::Down)]
    {
        for word in [side.to_owned(), format!("to the {side}"), format!("{side}ward"), format!("{side}wards")] {
            add(&word, Meaning::Side(motion), None);
        }
    }
    add("from right to left", Meaning::Side(Motion::Left), None);
    add("from left to right", Meaning::Side(Motion::Right), None);
    add("not moving", Meaning::Motion(Motion::Still), None);
    for known in known_words() {
        // "brown" and "red" are colours first; what they are of is seen by what follows. "Up in the sky" may be where it flies to.
        if known.concept != Concept::Looks
            && known.word != "up in the sky"
            && let Some(meaning) = meaning(known.concept, known.canonical)
        {
            add(&known.word, meaning, None);
        }
    }
    for skin in Skin::ALL {
        add(skin.name(), Meaning::Skin(*skin), None);
    }
    for style in HairStyle::ALL {
        add(style.name(), Meaning::HairStyle(*style), None);
    }
    add("blond", Meaning::HairColour(HairColour::Blond), None);
    for hat in Hat::ALL.iter().filter(|hat| **hat != Hat::Bare) {
        add(hat.name(), Meaning::Hat(*hat), None);
    }
    add("hat", Meaning::Hat(Hat::TopHat), Some("top hat"));
    add("帽子", Meaning::Hat(Hat::Cap), Some("cap"));
    for word in ["glasses", "眼鏡", "メガネ"] {
        add(word, Meaning::Glasses, None);
    }
    add("sunglasses", Meaning::Glasses, Some("glasses"));
    for (meaning, words) in
        [(Meaning::Shirt, ["shirt", "sweater", "top"]), (Meaning::Backdrop, ["background", "backdrop", "paper"])]
    {
        words.into_iter().for_each(|word| add(word, meaning, None));
    }
    add("skin", Meaning::SkinWord, None);
    add("hair", Meaning::HairWord, None);
    for (word, count) in [("two", 2), ("2", 2), ("pair of", 2), ("二匹", 2), ("二人", 2), ("three", 3), ("3", 3)] {
        add(word, Meaning::Count(count), None);
    }
    for line in include_str!("synonyms.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts = line.split_once(" = ").and_then(|(head, list)| Some((head.split_once(' ')?, list)));
        let Some(((group, name), list)) = parts else { continue };
        let Some(meaning) = synonym_meaning(group, name) else { continue };
        let name = if meaning == Meaning::Actor(ActorKind::Puppet) { "person" } else { name };
        list.split(", ").for_each(|phrase| add(phrase, meaning, Some(name)));
    }
    for word in FUNCTION_WORDS {
        add(word, Meaning::Nothing, None);
    }
    words
}

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, wanted: &str) -> Option<T> {
    all.iter().copied().find(|value| name(*value) == wanted)
}

/// What a word of the captions means.
fn meaning(concept: Concept, canonical: &str) -> Option<Meaning> {
    Some(match concept {
        Concept::Actor => Meaning::Actor(named(ActorKind::ALL, ActorKind::name, canonical)?),
        Concept::Colour => Meaning::Colour(named(Colour::ALL, Colour::name, canonical)?),
        Concept::Size => Meaning::Size(named(ActorSize::ALL, ActorSize::name, canonical)?),
        Concept::Motion if canonical == "moves" => Meaning::Travel,
        Concept::Motion => Meaning::Motion(named(Motion::ALL, Motion::name, canonical)?),
        Concept::Pace => Meaning::Pace(named(Pace::ALL, Pace::name, canonical)?),
        Concept::Background => Meaning::Background(named(Background::ALL, Background::name, canonical)?),
        Concept::TimeOfDay => Meaning::Time(named(TimeOfDay::ALL, TimeOfDay::name, canonical)?),
        Concept::Weather => Meaning::Weather(named(Weather::ALL, Weather::name, canonical)?),
        Concept::Camera => Meaning::Camera(named(Camera::ALL, Camera::name, canonical)?),
        Concept::Relation => Meaning::Relation(named(Relation::ALL, Relation::name, canonical)?),
        Concept::Looks => return None,
        Concept::Cut => Meaning::Cut,
    })
}

/// What the words of a line of the file of synonyms mean.
fn synonym_meaning(group: &str, name: &str) -> Option<Meaning> {
    let concept = match group {
        "actor" => Concept::Actor,
        "colour" => Concept::Colour,
        "size" => Concept::Size,
        "motion" | "travel" => Concept::Motion,
        "pace" => Concept::Pace,
        "background" => Concept::Background,
        "time" => Concept::TimeOfDay,
        "weather" => Concept::Weather,
        "camera" => Concept::Camera,
        "relation" => Concept::Relation,
        "cut" => Concept::Cut,
        "reversed" => return Some(Meaning::Reversed(named(Relation::ALL, Relation::name, name)?)),
        "company" => return Some(Meaning::Company),
        "shirt" => return Some(Meaning::Shirt),
        "backdrop" => return Some(Meaning::Backdrop),
        _ => return None,
    };
    meaning(concept, name)
}

/// A word, or a character of a script that puts no spaces between words.
struct Token {
    text: String,
    stem: String,
    spaced: bool,
}

fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff66}'..='\u{ff9f}' | '々')
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut open = false;
    for letter in text.to_lowercase().chars() {
        if is_unspaced(letter) {
            tokens.push(Token { text: letter.to_string(), stem: letter.to_string(), spaced: false });
            open = false;
        } else if letter.is_alphanumeric() || letter == '\'' {
            match tokens.last_mut() {
                Some(last) if open => last.text.push(letter),
                _ => tokens.push(Token { text: letter.to_string(), stem: String::new(), spaced: true }),
            }
            open = true;
        } else {
            open = false;
        }
    }
    for token in tokens.iter_mut().filter(|token| token.spaced) {
        token.stem = stem(&token.text);
    }
    tokens
}

/// The word without its English ending, roughly: enough to match "boats" with "boat" and "running" with "runs".
fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word);
    let cut = |ending: &str, least: usize| word.strip_suffix(ending).filter(|stem| stem.len() >= least);
    let stem = match (cut("ies", 2), cut("ing", 2), cut("es", 3), cut("s", 3), cut("ed", 3)) {
        (Some(stem), ..) => return format!("{stem}y"),
        (_, Some(stem), ..) => stem,
        (_, _, Some(stem), ..) if !stem.ends_with('i') => stem,
        (_, _, _, Some(stem), _) if !stem.ends_with('s') => stem,
        (_, _, _, _, Some(stem)) if !stem.ends_with('e') => stem,
        _ => word,
    };
    let stem = stem.trim_end_matches('e');
    let mut ends = stem.chars().rev();
    match (ends.next(), ends.next()) {
        (Some(last), Some(before)) if last == before && stem.len() > 3 => {
            stem[..stem.len() - last.len_utf8()].to_owned()
        }
        _ => stem.to_owned(),
    }
}

/// Who is in a shot, as far as it was said.
#[derive(Clone, Debug)]
struct Someone {
    kind: ActorKind,
    colour: Option<Colour>,
    size: Option<ActorSize>,
    skin: Option<Skin>,
    hair_style: Option<HairStyle>,
    hair_colour: Option<HairColour>,
    hat: Option<Hat>,
    glasses: bool,
}

/// A shot, as far as it was said.
#[derive(Clone, Debug, Default)]
struct Said {
    actors: Vec<Someone>,
    motion: Option<Motion>,
    travels: bool,
    side: Option<Motion>,
    pace: Option<Pace>,
    relation: Option<Relation>,
    background: Option<Background>,
    plain_colour: Option<Colour>,
    time: Option<TimeOfDay>,
    weather: Option<Weather>,
    camera: Option<Camera>,
    /// Adjectives whose noun has not come yet.
    pending: Vec<Meaning>,
    /// "plain" was the last that was heard of the background: a colour that nobody else has is the paper's.
    plain: bool,
    /// Where the next actor is.
    coming: Option<(Relation, bool)>,
}

/// Says a prompt again in the words of the paper world.
pub fn reword(prompt: &str) -> Reworded {
    let (mut shots, mut told) = listen(prompt);
    if let Some(first) = shots.first().cloned()
        && let Some(second) = shots.get_mut(1)
    {
        second.follow(&first);
    }
    if !shots.is_empty() {
        let clauses: Vec<String> = shots.iter().map(|shot| shot.tell(&mut told.chosen)).collect();
        told.prompt = Some(capitalised(&clauses.join(", then cut to ")) + ".");
    }
    told
}

/// The shots of a prompt as far as they were said, and what of it was changed or not understood.
fn listen(prompt: &str) -> (Vec<Said>, Reworded) {
    let tokens = tokens(prompt);
    let mut told = Reworded { prompt: None, changes: Vec::new(), unknown: Vec::new(), chosen: Vec::new() };
    let mut shots = vec![Said::default()];
    let mut strange = String::new();
    let mut colour_before = false;
    let mut at = 0;
    while at < tokens.len() {
        let found = (1..=LONGEST_PHRASE.min(tokens.len() - at)).rev().find_map(|length| {
            let stems: Vec<String> = tokens[at..at + length].iter().map(|token| token.stem.clone()).collect();
            DICTIONARY.get(&stems).map(|entry| (length, entry.meaning, entry.told))
        });
        let found = found.or_else(|| {
            let (meaning, word) = slip(&tokens[at].text)?;
            Some((1, meaning, Some(word)))
        });
        let Some((length, meaning, name)) = found else {
            let Token { text, spaced, .. } = &tokens[at];
            at += 1;
            match (*spaced, text.chars().all(|letter| matches!(letter, '\u{3040}'..='\u{309f}' | 'ー'))) {
                (true, _) => note(&mut told.unknown, text),
                // Particles and endings.
                (false, true) => note(&mut told.unknown, &std::mem::take(&mut strange)),
                (false, false) => strange.push_str(text),
            }
            continue;
        };
        note(&mut told.unknown, &std::mem::take(&mut strange));
        let said: Vec<&str> = tokens[at..at + length].iter().map(|token| token.text.as_str()).collect();
        let said = said.join(if tokens[at].spaced { " " } else { "" });
        at += length;
        if let Some(name) = name
            && !told.changes.iter().any(|(asked, _)| *asked == said)
        {
            told.changes.push((said, name.to_owned()));
        }
        if meaning == Meaning::Cut {
            if shots.last().is_some_and(|shot| !shot.actors.is_empty()) && shots.len() < MOST_SHOTS {
                shots.push(Said::default());
            }
        } else if let Some(shot) = shots.last_mut() {
            // The blue of "blue sky" is nobody else's.
            let names_none = matches!(meaning, Meaning::Background(_) | Meaning::Weather(_) | Meaning::Time(_));
            if length == 1 && names_none && colour_before && !shot.plain {
                shot.pending.pop();
            }
            shot.hear(meaning);
        }
        colour_before = matches!(meaning, Meaning::Colour(_));
    }
    note(&mut told.unknown, &strange);
    for shot in &mut shots {
        shot.settle();
    }
    shots.retain(|shot| !shot.is_empty());
    (shots, told)
}

impl Wanted {
    /// What a prompt asks for; nothing if it names nobody that this world knows.
    pub fn of(prompt: &str) -> Option<Self> {
        let (shots, _) = listen(prompt);
        let shots: Vec<WantedShot> = shots.iter().map(Said::wanted).collect();
        shots.first().is_some_and(|first| !first.actors.is_empty()).then_some(Self { shots })
    }
}

fn note(words: &mut Vec<String>, word: &str) {
    if !word.is_empty() && !words.iter().any(|known| known == word) {
        words.push(word.to_owned());
    }
}

/// A slip of the finger: the word for somebody, a colour or a place that is one letter off.
fn slip(word: &str) -> Option<(Meaning, &'static str)> {
    static NAMES: LazyLock<Vec<KnownWord>> = LazyLock::new(|| {
        let is_name =
            |known: &KnownWord| matches!(known.concept, Concept::Actor | Concept::Colour | Concept::Background);
        known_words().into_iter().filter(is_name).collect()
    });
    let known = NAMES.iter().find(|known| one_letter_off(word, &known.word))?;
    Some((meaning(known.concept, known.canonical)?, known.canonical))
}

/// Whether one word becomes the other by adding or leaving out a letter, by exchanging two neighbours, or, in longer words, by changing one.
fn one_letter_off(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let longest = a.len().max(b.len());
    if a.len() < 3 || a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    if a.len() != b.len() {
        return same + same_end + 1 >= longest;
    }
    let exchanged = same + same_end + 2 == longest && (a[same], a[same + 1]) == (b[same + 1], b[same]);
    exchanged || (longest > 4 && same + same_end + 1 == longest)
}

impl Someone {
    fn new(kind: ActorKind) -> Self {
        Self {
            kind,
            colour: None,
            size: None,
            skin: None,
            hair_style: None,
            hair_colour: None,
            hat: None,
            glasses: false,
        }
    }

    /// `a large red boat`, `a person with tan skin and glasses in a red shirt`.
    fn noun(&self, colour: Colour) -> String {
        let size = self.size.filter(|size| *size != ActorSize::Medium);
        let size = size.map_or(String::new(), |size| format!("{} ", size_words(size)[0]));
        if self.kind != ActorKind::Puppet {
            return with_article(&format!("{size}{} {}", colour.name(), self.kind.name()));
        }
        let mut looks = Vec::new();
        if let Some(skin) = self.skin {
            looks.push(format!("{} skin", skin.name()));
        }
        let hair_colour = self.hair_colour.map(|colour| format!("{} ", colour.name())).unwrap_or_default();
        match self.hair_style {
            Some(HairStyle::Bun) => looks.push(format!("{hair_colour}hair in a bun")),
            Some(style) => looks.push(format!("{} {hair_colour}hair", style.name())),
            None if self.hair_colour.is_some() => looks.push(format!("{hair_colour}hair")),
            None => {}
        }
        if let Some(hat) = self.hat {
            looks.push(with_article(hat.name()));
        }
        if self.glasses {
            looks.push("glasses".to_owned());
        }
        let looks = match looks.split_last() {
            None => String::new(),
            Some((last, [])) => format!(" with {last}"),
            Some((last, rest)) => format!(" with {} and {last}", rest.join(", ")),
        };
        format!("{}{looks} in {} shirt", with_article(&format!("{size}person")), with_article(colour.name()))
    }
}

impl Said {
    fn is_empty(&self) -> bool {
        self.actors.is_empty()
            && self.background.is_none()
            && self.time.is_none()
            && self.weather.is_none()
            && self.motion.is_none()
    }

    fn wanted(&self) -> WantedShot {
        let light = if self.background == Some(Background::NightSky) { TimeOfDay::Night } else { TimeOfDay::Day };
        WantedShot {
            actors: self.actors.iter().map(|someone| (someone.kind, someone.colour)).collect(),
            motion: self.motion.or(self.side),
            relation: self.relation,
            background: self.background,
            time_of_day: self.time.unwrap_or(light),
            weather: self.weather.unwrap_or(Weather::Clear),
            camera: self.camera.unwrap_or(Camera::Still),
        }
    }

    fn hear(&mut self, meaning: Meaning) {
        match meaning {
            // "Hair in a bun": unlike other styles it is said behind.
            Meaning::HairStyle(HairStyle::Bun) => self.person().hair_style = Some(HairStyle::Bun),
            Meaning::Colour(_)
            | Meaning::Size(_)
            | Meaning::Skin(_)
            | Meaning::HairStyle(_)
            | Meaning::HairColour(_)
            | Meaning::Count(_) => self.pending.push(meaning),
            Meaning::Actor(kind) => self.enter(kind),
            Meaning::SkinWord => self.dress(|someone, meaning| match meaning {
                Meaning::Skin(skin) => someone.skin = Some(skin),
                Meaning::Colour(colour) => someone.skin = named(Skin::ALL, Skin::name, colour.name()),
                _ => {}
            }),
            Meaning::HairWord => self.dress(|someone, meaning| match meaning {
                Meaning::HairStyle(style) => someone.hair_style = Some(style),
                Meaning::HairColour(colour) => someone.hair_colour = Some(colour),
                Meaning::Colour(Colour::Yellow) => someone.hair_colour = Some(HairColour::Blond),
                Meaning::Colour(colour) => {
                    someone.hair_colour = named(HairColour::ALL, HairColour::name, colour.name())
                }
                _ => {}
            }),
            Meaning::Shirt => self.dress(|someone, meaning| {
                if let Meaning::Colour(colour) = meaning {
                    someone.colour = Some(colour);
                }
            }),
            Meaning::Backdrop => {
                let mut colours = self.pending.iter().filter_map(|meaning| match meaning {
                    Meaning::Colour(colour) => Some(*colour),
                    _ => None,
                });
                self.plain_colour = colours.next_back().or(self.plain_colour);
                self.pending.clear();
                self.plain = false;
                if self.background.is_none() || self.background == Some(Background::Plain) {
                    self.background = Some(Background::Plain);
                }
            }
            Meaning::Background(background) => {
                self.coming = None;
                if background == Background::Plain {
                    self.plain = self.background.is_none();
                } else {
                    self.settle();
                }
                self.background.get_or_insert(background);
            }
            Meaning::Hat(hat) => {
                // Its own colour is not one that this world has.
                self.pending.clear();
                self.person().hat = Some(hat);
            }
            Meaning::Glasses => self.person().glasses = true,
            Meaning::Motion(motion) => {
                self.settle();
                self.motion.get_or_insert(motion);
            }
            Meaning::Travel => {
                self.settle();
                self.travels = true;
            }
            Meaning::Side(side) => {
                // "Up in the sky, a cat walks left."
                if !self.actors.is_empty() {
                    self.side.get_or_insert(side);
                }
            }
            Meaning::Pace(pace) => {
                self.pace.get_or_insert(pace);
            }
            Meaning::Time(time) => {
                self.settle();
                self.time.get_or_insert(time);
            }
            Meaning::Weather(weather) => {
                self.settle();
                self.weather.get_or_insert(weather);
            }
            Meaning::Camera(camera) => {
                self.camera.get_or_insert(camera);
            }
            Meaning::Relation(relation) => self.await_relation(relation, false),
            Meaning::Reversed(relation) => self.await_relation(relation, true),
            Meaning::Company => {
                self.settle();
                self.travels |= self.motion.is_none() && self.actors.len() == 1;
            }
            Meaning::Cut | Meaning::Nothing => {}
        }
    }

    fn await_relation(&mut self, relation: Relation, reversed: bool) {
        self.settle();
        if !self.actors.is_empty() {
            self.coming = Some((relation, reversed));
        }
    }

    /// Somebody comes in with what was said of them.
    fn enter(&mut self, kind: ActorKind) {
        let colours = self.pending.iter().filter(|meaning| matches!(meaning, Meaning::Colour(_))).count();
        if colours > 1 {
            self.colour_paper();
        }
        let mut someone = Someone::new(kind);
        let mut count = 1;
        for meaning in std::mem::take(&mut self.pending) {
            match meaning {
                Meaning::Colour(colour) => someone.colour = Some(colour),
                Meaning::Size(size) => someone.size = Some(size),
                Meaning::Count(number) => count = number,
                Meaning::HairStyle(style) if kind == ActorKind::Puppet => someone.hair_style = Some(style),
                Meaning::HairColour(colour) if kind == ActorKind::Puppet => someone.hair_colour = Some(colour),
                _ => {}
            }
        }
        for _ in 0..count.min(MOST_ACTORS.saturating_sub(self.actors.len())) {
            self.actors.push(someone.clone());
        }
        if self.actors.len() == 2
            && let Some((relation, reversed)) = self.coming.take()
        {
            self.relation = Some(relation);
            if reversed {
                self.actors.swap(0, 1);
            }
        }
    }

    /// Whoever is dressed by words like these: the last person, or one who is meant by them.
    fn person(&mut self) -> &mut Someone {
        let at = match self.actors.iter().rposition(|someone| someone.kind == ActorKind::Puppet) {
            Some(at) => at,
            None => {
                self.actors.push(Someone::new(ActorKind::Puppet));
                self.actors.len() - 1
            }
        };
        &mut self.actors[at]
    }

    fn dress(&mut self, put: impl Fn(&mut Someone, Meaning)) {
        let pending = std::mem::take(&mut self.pending);
        let person = self.person();
        pending.into_iter().for_each(|meaning| put(person, meaning));
    }

    /// A colour or size that no noun followed is of the plain paper or of whoever was named last, if they have none.
    fn settle(&mut self) {
        self.colour_paper();
        let Some(last) = self.actors.last_mut() else { return };
        for meaning in std::mem::take(&mut self.pending) {
            match meaning {
                Meaning::Colour(colour) => last.colour = last.colour.or(Some(colour)),
                Meaning::Size(size) => last.size = last.size.or(Some(size)),
                _ => {}
            }
        }
    }

    /// The first colour after "plain" is the paper's.
    fn colour_paper(&mut self) {
        if std::mem::take(&mut self.plain)
            && let Some(at) = self.pending.iter().position(|meaning| matches!(meaning, Meaning::Colour(_)))
            && let Meaning::Colour(colour) = self.pending.remove(at)
        {
            self.plain_colour = Some(colour);
        }
    }

    /// A second shot is of whoever was in the first one, if it names nobody; and in the same place, if it names none.
    fn follow(&mut self, first: &Self) {
        if self.actors.is_empty() {
            self.actors = first.actors.clone();
            self.relation = first.relation;
        }
        if self.background.is_none() {
            self.background = Some(first.background.unwrap_or_else(|| first.usual_background()));
            self.plain_colour = first.plain_colour;
        }
    }

    /// Where whoever moves would be.
    fn usual_background(&self) -> Background {
        match self.actors.first().map_or(ActorKind::Ball, |someone| someone.kind) {
            ActorKind::Boat | ActorKind::Fish => Background::Sea,
            ActorKind::Car | ActorKind::House => Background::City,
            ActorKind::Bird | ActorKind::Kite | ActorKind::Balloon | ActorKind::Cloud => Background::Sky,
            ActorKind::Rocket | ActorKind::Star => Background::NightSky,
            _ => Background::Meadow,
        }
    }

    /// The shot as one clause of a caption.
    fn tell(&self, chosen: &mut Vec<String>) -> String {
        let mut choose = |what: String| note(chosen, &what);
        let mut actors = self.actors.clone();
        if actors.is_empty() {
            choose("a ball, because nobody is named".to_owned());
            actors.push(Someone::new(ActorKind::Ball));
        }
        let mut used: Vec<Colour> = actors.iter().filter_map(|someone| someone.colour).collect();
        let nouns: Vec<String> = actors
            .iter()
            .map(|someone| {
                let colour = someone.colour.unwrap_or_else(|| {
                    let colour = usual_colours(someone.kind).into_iter().find(|colour| !used.contains(colour));
                    let colour = colour.unwrap_or(Colour::Red);
                    choose(match someone.kind {
                        ActorKind::Puppet => format!("a {} shirt", colour.name()),
                        kind => format!("{} for the {}", colour.name(), kind.name()),
                    });
                    used.push(colour);
                    colour
                });
                someone.noun(colour)
            })
            .collect();
        let main = &actors[0];
        let motion = match (self.motion, self.side) {
            (Some(motion), _) => motion,
            (None, Some(side)) => side,
            (None, None) => {
                let motion = usual_motion(main.kind, self.travels);
                if !self.travels {
                    choose(format!("it {}", motion.name()));
                }
                motion
            }
        };
        let mut text = format!("{} {}", nouns[0], action(main.kind, motion));
        if let (Some(pace), true) = (self.pace, motion != Motion::Still) {
            text += &format!(" {}", pace_words(pace)[0]);
        }
        let related = self.relation.filter(|_| nouns.len() > 1);
        if let Some(relation) = related {
            text += &format!(" {} {}", relation_words(relation)[0], nouns[1]);
        }
        let others = &nouns[if related.is_some() { 2 } else { 1 }..];
        if !others.is_empty() {
            let comma = if related.is_some() { "," } else { "" };
            text += &format!("{comma} with {}", others.join(" and "));
        }
        let background = self.background.unwrap_or_else(|| {
            let background = self.usual_background();
            choose(format!("the {} as the place", background.name()));
            background
        });
        let plain =
            self.plain_colour.unwrap_or(if used.contains(&Colour::White) { Colour::Blue } else { Colour::White });
        text += &format!(" {}", background_phrases(background)[0].replace("{colour}", plain.name()));
        if let (Some(time), true) = (self.time, background != Background::NightSky) {
            text += &format!(" {}", time_phrases(time)[0]);
        }
        if let Some(weather) = self.weather {
            text += &format!(" {}", weather_phrases(weather)[0]);
        }
        if let Some(camera) = self.camera.filter(|camera| *camera != Camera::Still) {
            text += &format!(" while {}", camera_phrases(camera)[0]);
        }
        text
    }
}

/// `sails right`: how this kind of actor moves so.
fn action(kind: ActorKind, motion: Motion) -> String {
    let side = match motion {
        Motion::Left => "left",
        Motion::Right => "right",
        Motion::Up => "up",
        Motion::Down => "down",
        other => return motion_phrases(other)[0].to_owned(),
    };
    format!("{} {side}", own_verbs(kind).first().unwrap_or(&"moves"))
}

/// What it does where nothing is said, or only that it travels.
fn usual_motion(kind: ActorKind, travels: bool) -> Motion {
    match kind {
        ActorKind::Rocket | ActorKind::Balloon | ActorKind::Kite => Motion::Up,
        _ if travels => Motion::Right,
        ActorKind::Ball | ActorKind::Heart => Motion::Bounces,
        ActorKind::Star => Motion::Spins,
        ActorKind::Flower | ActorKind::Tree => Motion::Sways,
        ActorKind::House => Motion::Still,
        _ => Motion::Right,
    }
}

fn usual_colours(kind: ActorKind) -> [Colour; 3] {
    match kind {
        ActorKind::Star | ActorKind::Kite => [Colour::Yellow, Colour::Red, Colour::Blue],
        ActorKind::Tree => [Colour::Green, Colour::Orange, Colour::Pink],
        ActorKind::Cloud => [Colour::White, Colour::Grey, Colour::Pink],
        ActorKind::Cat => [Colour::Orange, Colour::Grey, Colour::Black],
        ActorKind::Bird | ActorKind::Puppet => [Colour::Blue, Colour::Red, Colour::Yellow],
        ActorKind::Fish => [Colour::Orange, Colour::Blue, Colour::Purple],
        ActorKind::Flower => [Colour::Pink, Colour::Red, Colour::Yellow],
        _ => [Colour::Red, Colour::Blue, Colour::Yellow],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{CaptionStyle, Mixture, Scene, Split};

    fn said(prompt: &str) -> String {
        reword(prompt).prompt.unwrap_or_default()
    }

    #[test]
    fn what_people_type_becomes_what_the_world_knows() {
        let check = |prompt: &str, expected: &str| assert_eq!(said(prompt), expected, "{prompt}: {:?}", reword(prompt));
        check("my dog chasing a frisbee at the beach", "An orange cat walks right with a red ball on the sea.");
        check("a red boat sails right on the sea at dusk", "A red boat sails right on the sea at dusk.");
        check(
            "Two goldfish swimming to the left, underwater",
            "An orange fish swims left with a blue fish on the sea.",
        );
        check("a rocket lifts off at night from mars", "A red rocket flies up in the desert at night.");
        check(
            "A woman with long black hair and glasses in a red dress dances in the rain",
            "A person with long black hair and glasses in a red shirt sways in a meadow in the rain.",
        );
        check("a balloon in the blue sky", "A red balloon floats up in the sky.");
        check("a bald man stands in white snow", "A person in a blue shirt stays still in a meadow in the snow.");
        check("a boat that is blue", "A blue boat sails right on the sea.");
        check(
            "a tiny yellow bird above a huge tree, zoom in",
            "A small yellow bird flies right above a large green tree in the sky while the camera zooms in.",
        );
        check(
            "a car in front of a castle, snowing",
            "A red house stays still behind a blue car in the city in the snow.",
        );
        check("a green ball on a plain white background", "A green ball bounces on a plain white background.");
        check(
            "a red baot, then cut to a cat sleeping",
            "A red boat sails right on the sea, then cut to an orange cat stays still on the sea.",
        );
    }

    #[test]
    fn japanese_is_read_too() {
        assert_eq!(said("赤い船が海の上を右へ進む、夕方"), "A red boat sails right on the sea at dusk.");
        assert_eq!(said("雨の中で踊る青い鳥"), "A blue bird sways in the sky in the rain.");
        assert_eq!(said("白い犬がゆっくり歩く。夜。"), "A white cat walks right slowly in a meadow at night.");
        assert_eq!(reword("黒猫の哲学").unknown, ["哲学"]);
    }

    #[test]
    fn everything_that_was_changed_or_chosen_is_told() {
        let told = reword("my cute dog chasing a frisbee at the beach");
        let changes: Vec<(&str, &str)> = told.changes.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(changes, [("dog", "cat"), ("chasing", "with"), ("frisbee", "ball"), ("beach", "sea")]);
        assert_eq!(told.unknown, ["cute"]);
        assert_eq!(told.chosen, ["orange for the cat", "red for the ball"]);
        let nothing = reword("quantum chromodynamics!");
        assert_eq!((nothing.prompt, nothing.unknown.len()), (None, 2));
        assert_eq!(reword(" \n").prompt, None);
        assert!(said("rain").starts_with("A red ball"));
    }

    /// What a caption says is still said when it was said again.
    #[test]
    fn captions_keep_their_meaning() {
        for seed in 0..3000 {
            let scene = Scene::sample(seed, Split::Train, &Mixture::default());
            for &style in CaptionStyle::ALL {
                let caption = scene.caption(style, seed);
                let again = said(&caption).to_lowercase();
                let told = format!("{caption}\n{again}");
                assert_eq!(reword(&caption).unknown, Vec::<String>::new(), "{told}");
                let clauses: Vec<&str> = again.split(", then cut to ").collect();
                assert_eq!(clauses.len(), scene.shots.len(), "{told}");
                for (shot, clause) in scene.shots.iter().zip(clauses) {
                    for someone in &shot.actors {
                        let noun = if someone.kind == ActorKind::Puppet { "person" } else { someone.kind.name() };
                        assert!(clause.contains(noun), "{noun}: {told}");
                        assert!(clause.contains(someone.colour.name()), "{:?}: {told}", someone.colour);
                    }
                    let main = shot.main();
                    if main.motion != Motion::Still {
                        assert!(clause.contains(&action(main.kind, main.motion)), "{:?}: {told}", main.motion);
                    }
                    let place = background_phrases(shot.background)[0].replace("{colour}", shot.plain_colour.name());
                    assert!(clause.contains(&place), "{place}: {told}");
                    if shot.weather != Weather::Clear {
                        assert!(clause.contains(weather_phrases(shot.weather)[0]), "{told}");
                    }
                    if shot.time_of_day != TimeOfDay::Day && shot.background != Background::NightSky {
                        assert!(clause.contains(time_phrases(shot.time_of_day)[0]), "{told}");
                    }
                    if shot.camera != Camera::Still {
                        assert!(clause.contains(camera_phrases(shot.camera)[0]), "{told}");
                    }
                    if let Some(relation) = shot.relation {
                        assert!(clause.contains(relation_words(relation)[0]), "{told}");
                    }
                }
                assert_eq!(said(&again).to_lowercase(), again, "not the same the second time: {told}");
            }
        }
    }

    #[test]
    fn a_caption_asks_for_what_its_scene_shows() {
        for seed in 0..1000 {
            let scene = Scene::sample(seed, Split::Train, &Mixture::default());
            for &style in CaptionStyle::ALL {
                let caption = scene.caption(style, seed);
                let wanted = Wanted::of(&caption).unwrap();
                assert_eq!(wanted.shots.len(), scene.shots.len(), "{caption}");
                for (shot, wanted) in scene.shots.iter().zip(&wanted.shots) {
                    let actors: Vec<_> =
                        shot.actors.iter().map(|someone| (someone.kind, Some(someone.colour))).collect();
                    assert_eq!(wanted.actors, actors, "{caption}");
                    let moves = wanted.motion.unwrap_or(Motion::Still);
                    assert_eq!(moves, shot.main().motion, "{caption}");
                    assert_eq!(wanted.relation, shot.relation, "{caption}");
                    assert_eq!(wanted.background, Some(shot.background), "{caption}");
                    let seen = (wanted.time_of_day, wanted.weather, wanted.camera);
                    assert_eq!(seen, (shot.time_of_day, shot.weather, shot.camera), "{caption}");
                }
            }
        }
    }

    #[test]
    fn only_what_is_said_is_wanted() {
        let shot = |prompt: &str| Wanted::of(prompt).unwrap().shots.remove(0);
        let boat = shot("a boat");
        assert_eq!((boat.actors, boat.motion, boat.background), (vec![(ActorKind::Boat, None)], None, None));
        let fish = shot("赤い魚が左へ泳ぐ");
        assert_eq!((fish.actors, fish.motion), (vec![(ActorKind::Fish, Some(Colour::Red))], Some(Motion::Left)));
        assert_eq!(shot("a star, night sky").time_of_day, TimeOfDay::Night);
        assert_eq!((Wanted::of("rain"), Wanted::of("quantum chromodynamics")), (None, None));
    }

    #[test]
    fn every_line_of_the_synonyms_is_understood() {
        for line in include_str!("synonyms.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (head, list) = line.split_once(" = ").unwrap();
            let (group, name) = head.split_once(' ').unwrap();
            assert!(synonym_meaning(group, name).is_some(), "{head}");
            for phrase in list.split(", ") {
                let stems: Vec<String> = tokens(phrase).into_iter().map(|token| token.stem).collect();
                assert!(!stems.is_empty() && stems.len() <= LONGEST_PHRASE, "{phrase}");
                assert!(DICTIONARY.contains_key(&stems), "{phrase}");
            }
        }
    }
}
