//! What rules are about, and what the API calls it.

/// What a rule protects from. Ours; the thirteen of the API are [`Category`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Someone under 18, sexualised.
    Minors,
    /// Sexual acts and nudity.
    Sexual,
    /// Wounds and attacks.
    Violent,
    /// Contempt for groups of people.
    Hateful,
    /// Attacks on a person.
    Harassment,
    /// Self-harm.
    SelfHarm,
    /// Instructions for crimes.
    Illicit,
    /// People who exist.
    RealPeople,
    /// Characters, worlds and brands that belong to someone.
    Characters,
    /// The manner of artists.
    Artists,
    /// Songs, voices, the sound of musicians.
    Music,
    /// An entry of the registry of rights.
    Rights,
    /// What a moderation service found that has no word here.
    Other,
}

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

/// Where in the making of a clip something is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// What was asked for, in words.
    Prompt,
    /// A picture or clip that the request brings, by what is written of it.
    Image,
    /// While a clip is made.
    During,
    /// What was made, by its captions.
    Output,
}

impl Subject {
    /// Every subject.
    pub const ALL: [Self; 13] = [
        Self::Minors,
        Self::Sexual,
        Self::Violent,
        Self::Hateful,
        Self::Harassment,
        Self::SelfHarm,
        Self::Illicit,
        Self::RealPeople,
        Self::Characters,
        Self::Artists,
        Self::Music,
        Self::Rights,
        Self::Other,
    ];

    /// Its word in rules, rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minors => "minors",
            Self::Sexual => "sexual",
            Self::Violent => "violent",
            Self::Hateful => "hateful",
            Self::Harassment => "harassment",
            Self::SelfHarm => "self-harm",
            Self::Illicit => "illicit",
            Self::RealPeople => "real-people",
            Self::Characters => "characters",
            Self::Artists => "artists",
            Self::Music => "music",
            Self::Rights => "rights",
            Self::Other => "other",
        }
    }

    /// Whether whoever holds the rights can allow it.
    pub fn is_anyones_right(self) -> bool {
        matches!(self, Self::RealPeople | Self::Characters | Self::Artists | Self::Music | Self::Rights)
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

    /// The subject of ours that it belongs to.
    pub fn subject(self) -> Subject {
        match self {
            Self::Harassment | Self::HarassmentThreatening => Subject::Harassment,
            Self::Hate | Self::HateThreatening => Subject::Hateful,
            Self::Illicit | Self::IllicitViolent => Subject::Illicit,
            Self::SelfHarm | Self::SelfHarmIntent | Self::SelfHarmInstructions => Subject::SelfHarm,
            Self::Sexual => Subject::Sexual,
            Self::SexualMinors => Subject::Minors,
            Self::Violence | Self::ViolenceGraphic => Subject::Violent,
        }
    }
}

impl Stage {
    /// Every stage, in the order of the making.
    pub const ALL: [Self; 4] = [Self::Prompt, Self::Image, Self::During, Self::Output];

    /// Its word in rules, rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Image => "image",
            Self::During => "during",
            Self::Output => "output",
        }
    }
}
