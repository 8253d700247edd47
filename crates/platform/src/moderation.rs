//! What may not be asked for. A first, honest version: words, their neighbours and their spellings, no
//! model. It stops the plain cases and nothing subtle; each hit names its rule, so that it can be contested.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The thirteen categories of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Attacks on a person.
    Harassment,
    /// The same, with a threat.
    HarassmentThreatening,
    /// Attacks on a group.
    Hate,
    /// The same, with a threat.
    HateThreatening,
    /// Instructions for crimes.
    Illicit,
    /// The same, with weapons.
    IllicitViolent,
    /// Self-harm shown or praised.
    SelfHarm,
    /// Someone means to harm themself.
    SelfHarmIntent,
    /// How to.
    SelfHarmInstructions,
    /// Sexual content.
    Sexual,
    /// The same, with someone under 18.
    SexualMinors,
    /// Violence.
    Violence,
    /// Violence shown in detail.
    ViolenceGraphic,
}

/// What was found in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moderation {
    hits: Vec<Hit>,
}

/// One rule that a text meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The category.
    pub category: Category,
    /// The rule's name, for reasons and appeals.
    pub rule: &'static str,
}

/// Words that count together: each list must be met, within `window` words of each other.
struct Rule {
    name: &'static str,
    category: Category,
    all_of: &'static [&'static [&'static str]],
    window: usize,
}

// A word ending in `*` matches every word that begins so. Two words joined by `_` match two neighbours.
const SEXUAL: &[&str] = &[
    "porn*",
    "hentai",
    "hardcore_sex",
    "blowjob*",
    "handjob*",
    "cumshot*",
    "creampie",
    "gangbang*",
    "orgy",
    "orgies",
    "orgasm*",
    "masturbat*",
    "fellatio",
    "cunnilingus",
    "genital*",
    "penis*",
    "vagina*",
    "vulva*",
    "dildo*",
    "deepthroat*",
    "bukkake",
    "fucking_each",
    "having_sex",
    "have_sex",
    "sex_scene",
    "sex_act",
    "sex_tape",
    "sexual_intercourse",
    "explicit_sex",
    "anal_sex",
    "oral_sex",
    "sexually_explicit",
    "nsfw",
    "xxx_video*",
    "xxx_rated",
    "nudes",
    "topless",
    "striptease",
    "naked_woman",
    "naked_women",
    "naked_man",
    "naked_men",
    "naked_body",
    "nude_woman",
    "nude_women",
    "nude_man",
    "nude_body",
    "fully_nude",
    "fully_naked",
    "completely_naked",
    "undressing",
    "erotic*",
    "fetish*",
    "bondage",
];
const SEXUALISED: &[&str] = &[
    "porn*",
    "hentai",
    "sex",
    "sexual*",
    "sexy",
    "sexi*",
    "nude*",
    "naked",
    "erotic*",
    "seductive*",
    "lingerie",
    "topless",
    "undress*",
    "genital*",
    "masturbat*",
    "orgasm*",
    "nsfw",
    "xxx",
    "fetish*",
    "striptease",
    "molest*",
    "rape",
    "rapes",
    "raped",
    "raping",
    "penis*",
    "vagina*",
    "blowjob*",
];
const MINORS: &[&str] = &[
    "child",
    "children",
    "kid",
    "kids",
    "minor",
    "minors",
    "toddler*",
    "infant*",
    "baby",
    "babies",
    "preteen*",
    "teen",
    "teens",
    "teenage*",
    "underage*",
    "schoolgirl*",
    "schoolboy*",
    "loli",
    "lolicon",
    "shota*",
    "little_girl*",
    "little_boy*",
    "young_girl*",
    "young_boy*",
    "kindergart*",
    "pupil",
    "pupils",
    "boy",
    "boys",
    "girl",
    "girls",
    "year_old",
    "years_old",
];
const GROUPS: &[&str] = &[
    "jew",
    "jews",
    "jewish",
    "muslim*",
    "christians",
    "hindus",
    "blacks",
    "black_people",
    "white_people",
    "asians",
    "immigrants",
    "refugees",
    "gypsies",
    "roma",
    "gays",
    "gay_people",
    "lesbians",
    "trans_people",
    "transgender",
    "disabled_people",
    "women",
    "mexicans",
    "arabs",
    "africans",
    "foreigners",
];
const DEGRADING: &[&str] = &[
    "subhuman*",
    "are_vermin",
    "are_inferior",
    "are_parasites",
    "are_cockroaches",
    "are_filth",
    "are_filthy",
    "are_scum",
    "are_animals",
    "should_die",
    "deserve_death",
    "deserve_to_die",
];
const KILLING: &[&str] = &[
    "kill",
    "killing",
    "murder*",
    "exterminat*",
    "gas_the",
    "gassing",
    "lynch*",
    "slaughter*",
    "genocide",
    "executing",
];
const SELF: &[&str] = &["myself", "himself", "herself", "themselves", "themself", "yourself"];
const HARMING: &[&str] = &["kill", "kills", "killing", "hang", "hangs", "hanging", "hurt", "hurts", "hurting", "harm"];
const INSTRUCTIONS: &[&str] = &["how_to", "instructions", "tutorial", "guide", "step_by", "recipe"];
const DRUGS: &[&str] =
    &["meth", "methamphetamine", "heroin", "fentanyl", "cocaine", "crack_cocaine", "counterfeit", "ransomware"];
const WEAPONS: &[&str] = &[
    "pipe_bomb*",
    "nail_bomb*",
    "a_bomb",
    "make_bombs",
    "explosives",
    "nerve_agent*",
    "sarin",
    "ricin",
    "molotov*",
    "bioweapon*",
    "ghost_gun*",
];
const GORE: &[&str] = &[
    "gory",
    "blood_and_gore",
    "gore_scene",
    "beheading*",
    "behead*",
    "decapitat*",
    "dismember*",
    "disembowel*",
    "mutilat*",
    "entrails",
    "eviscerat*",
    "snuff_film",
    "severed_head",
    "severed_limb*",
    "torture_scene",
    "blood_gushing",
    "skinned_alive",
    "flayed",
];
const PEOPLE: &[&str] = &[
    "man",
    "woman",
    "person",
    "people",
    "child",
    "children",
    "girl",
    "boy",
    "him",
    "her",
    "them",
    "someone",
    "crowd",
    "students",
    "worshippers",
];
const ATTACKING: &[&str] = &[
    "stab",
    "stabs",
    "stabbing",
    "stabbed",
    "shooting_at",
    "shoots_at",
    "mass_shooting",
    "shooting_into",
    "murder*",
    "strangl*",
    "tortur*",
    "lynch*",
    "executing",
    "executes",
    "massacr*",
    "beating_up",
    "beats_up",
];
const THREATS: &[&str] = &["i_will", "im_going", "we_will", "you_will", "going_to"];
const YOU: &[&str] = &["you", "your", "him", "her", "them"];
const INSULTS: &[&str] =
    &["worthless", "pathetic", "loser", "ugly_pig", "stupid_bitch", "whore", "slut", "kill_yourself", "kys"];

const RULES: &[Rule] = &[
    rule("sexual/explicit-words", Category::Sexual, &[SEXUAL], 1),
    rule("sexual/minors-near-sexual-words", Category::SexualMinors, &[SEXUALISED, MINORS], 12),
    rule(
        "sexual/minors-words",
        Category::SexualMinors,
        &[&["lolicon", "shotacon", "child_porn*", "jailbait", "csam"]],
        1,
    ),
    rule("sexual/assault", Category::Sexual, &[&["rape", "raped", "rapes", "raping", "molest*"]], 1),
    rule("hate/degrading-a-group", Category::Hate, &[GROUPS, DEGRADING], 6),
    rule("hate/symbols-praised", Category::Hate, &[&["heil_hitler", "white_power", "sieg_heil", "white_supremac*"]], 1),
    rule("hate/killing-a-group", Category::HateThreatening, &[GROUPS, KILLING], 2),
    rule("harassment/insults", Category::Harassment, &[&["you", "your", "youre"], INSULTS], 5),
    rule("harassment/threats", Category::HarassmentThreatening, &[THREATS, KILLING, YOU], 5),
    rule("illicit/how-to-drugs-or-fraud", Category::Illicit, &[INSTRUCTIONS, DRUGS], 8),
    rule("illicit/how-to-weapons", Category::IllicitViolent, &[INSTRUCTIONS, WEAPONS], 8),
    rule(
        "self-harm/words",
        Category::SelfHarm,
        &[&[
            "suicide",
            "self_harm",
            "selfharm",
            "slitting_wrists",
            "slit_wrists",
            "cutting_myself",
            "cutting_herself",
            "cutting_himself",
        ]],
        1,
    ),
    rule("self-harm/harming-oneself", Category::SelfHarm, &[HARMING, SELF], 2),
    rule("self-harm/intent", Category::SelfHarmIntent, &[&["want_to", "going_to", "i_will"], HARMING, &["myself"]], 4),
    rule(
        "self-harm/how-to",
        Category::SelfHarmInstructions,
        &[INSTRUCTIONS, &["suicide", "self_harm", "kill_myself", "kill_yourself"]],
        6,
    ),
    rule("violence/attacking-people", Category::Violence, &[ATTACKING, PEOPLE], 6),
    rule("violence/gore", Category::ViolenceGraphic, &[GORE], 1),
];

const fn rule(
    name: &'static str,
    category: Category,
    all_of: &'static [&'static [&'static str]],
    window: usize,
) -> Rule {
    Rule { name, category, all_of, window }
}

/// Looks for what may not be asked for.
pub fn moderate(text: &str) -> Moderation {
    let readings = readings(text);
    let met = |rule: &Rule| readings.iter().any(|words| rule.is_met(words));
    let hits =
        RULES.iter().filter(|rule| met(rule)).map(|rule| Hit { category: rule.category, rule: rule.name }).collect();
    Moderation { hits }
}

/// The text's words in small plain letters, once as they stand, and once with digits read as letters (`p0rn`) and
/// single spaced letters joined (`p o r n`).
fn readings(text: &str) -> [Vec<String>; 2] {
    let plain: String = text
        .nfkd()
        .filter(|character| !is_combining_mark(*character) && !is_invisible(*character))
        .flat_map(char::to_lowercase)
        .filter(|character| !matches!(character, '\'' | '’'))
        .collect();
    let words: Vec<String> = split(&plain);
    let swapped: String = plain.chars().map(letter_for).collect();
    let mut joined: Vec<String> = Vec::new();
    let mut in_run = false;
    for word in split(&swapped) {
        let single = word.chars().count() == 1;
        match joined.last_mut() {
            Some(last) if single && in_run => last.push_str(&word),
            _ => joined.push(word),
        }
        in_run = single;
    }
    [words, joined]
}

fn split(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// The Latin letter that a digit, sign or Cyrillic look-alike stands for.
fn letter_for(character: char) -> char {
    match character {
        '0' | 'о' => 'o',
        '1' | '!' | 'і' => 'i',
        '3' | 'е' => 'e',
        '4' | '@' | 'а' => 'a',
        '5' | '$' | 'ѕ' => 's',
        '7' => 't',
        'р' => 'p',
        'с' => 'c',
        'х' => 'x',
        'у' => 'y',
        other => other,
    }
}

impl Rule {
    fn is_met(&self, words: &[String]) -> bool {
        let [first, rest @ ..] = self.all_of else { return false };
        (0..words.len()).filter(|at| matches_any(first, words, *at)).any(|at| {
            let near = at.saturating_sub(self.window)..words.len().min(at + self.window + 1);
            rest.iter().all(|list| near.clone().any(|other| matches_any(list, words, other)))
        })
    }
}

fn matches_any(patterns: &[&str], words: &[String], at: usize) -> bool {
    patterns.iter().any(|pattern| {
        pattern.split('_').enumerate().all(|(offset, part)| {
            words.get(at + offset).is_some_and(|word| match part.strip_suffix('*') {
                Some(start) => word.starts_with(start),
                None => word == part,
            })
        })
    })
}

impl Moderation {
    /// Whether the text is stopped.
    pub fn is_flagged(&self) -> bool {
        !self.hits.is_empty()
    }

    /// What was found, in the order of the rules.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// 1 for a category that was found, 0 for the others: words know no doubt.
    pub fn score(&self, category: Category) -> f64 {
        f64::from(u8::from(self.hits.iter().any(|hit| hit.category == category)))
    }
}

impl Category {
    /// Every category, in the API's order.
    pub const ALL: [Self; 13] = [
        Self::Harassment,
        Self::HarassmentThreatening,
        Self::Hate,
        Self::HateThreatening,
        Self::Illicit,
        Self::IllicitViolent,
        Self::SelfHarm,
        Self::SelfHarmIntent,
        Self::SelfHarmInstructions,
        Self::Sexual,
        Self::SexualMinors,
        Self::Violence,
        Self::ViolenceGraphic,
    ];

    /// Its word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Harassment => "harassment",
            Self::HarassmentThreatening => "harassment/threatening",
            Self::Hate => "hate",
            Self::HateThreatening => "hate/threatening",
            Self::Illicit => "illicit",
            Self::IllicitViolent => "illicit/violent",
            Self::SelfHarm => "self-harm",
            Self::SelfHarmIntent => "self-harm/intent",
            Self::SelfHarmInstructions => "self-harm/instructions",
            Self::Sexual => "sexual",
            Self::SexualMinors => "sexual/minors",
            Self::Violence => "violence",
            Self::ViolenceGraphic => "violence/graphic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_cases_are_stopped() {
        let check = |text, category: Category| {
            let found = moderate(text);
            assert!(found.hits().iter().any(|hit| hit.category == category), "{text:?} gave {found:?}");
        };
        check("a couple having sex on a beach", Category::Sexual);
        check("P0RN with a nurse", Category::Sexual);
        check("p o r n", Category::Sexual);
        check("a pоrn film", Category::Sexual); // the о is Cyrillic
        check("po\u{200b}rnographic scene", Category::Sexual);
        check("ｐｏｒｎ", Category::Sexual);
        check("a sexy 12 year old girl", Category::SexualMinors);
        check("naked children", Category::SexualMinors);
        check("a schoolgirl in lingerie", Category::SexualMinors);
        check("jews are vermin", Category::Hate);
        check("a crowd, a man shooting at people", Category::Violence);
        check("kill all muslims", Category::HateThreatening);
        check("you are a worthless loser", Category::Harassment);
        check("i will kill you", Category::HarassmentThreatening);
        check("tutorial on how to cook meth", Category::Illicit);
        check("instructions for building a pipe bomb", Category::IllicitViolent);
        check("a man hanging himself", Category::SelfHarm);
        check("i want to kill myself", Category::SelfHarmIntent);
        check("how to commit suicide", Category::SelfHarmInstructions);
        check("a man stabbing a woman", Category::Violence);
        check("a graphic beheading", Category::ViolenceGraphic);
    }

    #[test]
    fn harmless_prompts_pass() {
        for text in [
            "a red boat sails right at dusk",
            "children build a sandcastle on the beach",
            "a baby elephant splashes in the mud",
            "a chef cuts herself a slice of cake",
            "a cock crows at dawn over Essex",
            "a girl flies a kite, a boy runs after her",
            "a hunter shoots a photograph of a crowd of geese",
            "a woman in a black dress kills time at the station",
            "the naked eye sees Jupiter over a quiet lake",
            "a teenager solves a Rubik's cube in 30 seconds, 4K",
            "grandmother shares her recipe for cocoa",
            "a breast-feeding cat and her kittens",
            "knights shoot arrows at a straw target",
            "a man leads horses from a stable, two people watch",
            "women at a gas station fill the tank of a red car",
            "women executives shake hands in a glass tower",
            "women wash a filthy van",
            "children run through a field of rapeseed",
            "how to make a bath bomb, a tutorial",
            "hikers in Gore-Tex jackets cross a ridge",
            "she beats him at chess, he laughs",
            "a pathetic little fire warms her hands",
            "a tutorial on how to fold a paper crane",
            "women dance at a wedding in Mexico",
            "a gas station at night, neon, refugees of the rain",
            "a dragon made of paper breathes fire",
            "a statue by Michelangelo in a museum",
            "an analyst assesses a class on Scunthorpe",
        ] {
            let found = moderate(text);
            assert!(!found.is_flagged(), "{text:?} gave {found:?}");
        }
    }

    #[test]
    fn scores_follow_the_categories() {
        let found = moderate("a graphic beheading");
        let flagged: Vec<_> = Category::ALL.into_iter().filter(|category| found.score(*category) > 0.5).collect();
        assert_eq!(flagged, [Category::ViolenceGraphic]);
    }
}
