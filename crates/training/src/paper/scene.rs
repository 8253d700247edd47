//! What a scene is made of: the words of the paper world as types.

use serde::{Deserialize, Serialize};

/// Declares an enum of the world with its list of values and their names.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* #[doc = concat!("“", $word, "”.")] $variant,)+ }

        impl $name {
            /// Every value, in declaration order; the position of a value is its class index.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The canonical word, as captions use it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The position in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

words! {
    /// What an actor is.
    ActorKind {
        Ball = "ball", Star = "star", Heart = "heart", Boat = "boat", Car = "car", Bird = "bird", Fish = "fish",
        Balloon = "balloon", Tree = "tree", House = "house", Cloud = "cloud", Cat = "cat", Rocket = "rocket",
        Flower = "flower", Kite = "kite", Puppet = "puppet",
    }
}

words! {
    /// The colour of an actor (of a puppet: of its shirt) or of the plain background.
    Colour {
        Red = "red", Orange = "orange", Yellow = "yellow", Green = "green", Blue = "blue", Purple = "purple",
        Pink = "pink", Brown = "brown", Black = "black", White = "white", Grey = "grey",
    }
}

words! {
    /// How large an actor is: 0.28, 0.40 or 0.55 of the frame's shorter side.
    ActorSize { Small = "small", Medium = "medium", Large = "large", }
}

words! {
    /// What the main actor does.
    Motion {
        Left = "moves left", Right = "moves right", Up = "moves up", Down = "moves down", Bounces = "bounces",
        Spins = "spins", Grows = "grows", Shrinks = "shrinks", Circles = "circles", Sways = "sways",
        FadesIn = "fades in", Still = "stays still",
    }
}

words! {
    /// How quickly it does so.
    Pace { Slow = "slow", Fast = "fast", }
}

words! {
    /// Where the shot takes place.
    Background {
        Sky = "sky", Sea = "sea", Meadow = "meadow", Desert = "desert", Mountains = "mountains", City = "city",
        SnowField = "snow field", NightSky = "night sky", Plain = "plain",
    }
}

words! {
    /// The light.
    TimeOfDay { Day = "day", Dusk = "dusk", Night = "night", }
}

words! {
    /// What falls or blows through the picture.
    Weather { Clear = "clear", Rain = "rain", Snow = "snow", Wind = "wind", }
}

words! {
    /// What the camera does.
    Camera {
        Still = "still", PanLeft = "pans left", PanRight = "pans right", ZoomIn = "zooms in", ZoomOut = "zooms out",
    }
}

words! {
    /// Where actor 0 is as seen from actor 1.
    Relation { LeftOf = "left of", Above = "above", Behind = "behind", }
}

words! {
    /// The skin of a puppet.
    Skin { Pale = "pale", Light = "light", Tan = "tan", Brown = "brown", Dark = "dark", }
}

words! {
    /// How a puppet wears its hair.
    HairStyle { Short = "short", Long = "long", Curly = "curly", Bun = "bun", }
}

words! {
    /// The colour of a puppet's hair.
    HairColour { Black = "black", Brown = "brown", Blond = "blond", Red = "red", Grey = "grey", }
}

words! {
    /// What a puppet wears on its head.
    Hat { Bare = "no hat", Cap = "cap", TopHat = "top hat", Beanie = "beanie", }
}

/// A person's looks; the shirt has the actor's colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Puppet {
    /// Skin tone.
    pub skin: Skin,
    /// How the hair is worn.
    pub hair_style: HairStyle,
    /// Hair colour.
    pub hair_colour: HairColour,
    /// What is on the head.
    pub hat: Hat,
    /// Whether there are glasses.
    pub glasses: bool,
}

/// A small displacement from the place that the composition gives an actor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// To the right, in frame widths; −0.08..0.08.
    pub dx: f32,
    /// Downwards, in frame heights; −0.05..0.05.
    pub dy: f32,
}

/// One paper cut-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// What it is.
    pub kind: ActorKind,
    /// Its paper; a puppet's shirt.
    pub colour: Colour,
    /// How large.
    pub size: ActorSize,
    /// What it does; [`Motion::Still`] for every actor but the first.
    pub motion: Motion,
    /// How quickly; [`Pace::Slow`] where nothing moves.
    pub pace: Pace,
    /// Looks; present exactly for [`ActorKind::Puppet`].
    pub puppet: Option<Puppet>,
    /// Displacement from its place.
    pub placement: Placement,
}

/// What the camera sees between two cuts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shot {
    /// One to three; the first is the main one and the only one that moves.
    pub actors: Vec<Actor>,
    /// Actor 0 to actor 1.
    pub relation: Option<Relation>,
    /// Where.
    pub background: Background,
    /// The paper of [`Background::Plain`]; ignored elsewhere.
    pub plain_colour: Colour,
    /// The light; always night in [`Background::NightSky`].
    pub time_of_day: TimeOfDay,
    /// Rain, snow, wind or nothing.
    pub weather: Weather,
    /// What the camera does.
    pub camera: Camera,
}

/// A little film: one shot, or two with a hard cut at half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Decides every detail that the other fields leave open (clouds, hills, confetti).
    pub seed: u64,
    /// One or two.
    pub shots: Vec<Shot>,
    /// Length in seconds.
    pub duration_s: f32,
}

impl Shot {
    /// The first actor: the one that moves.
    pub fn main(&self) -> &Actor {
        &self.actors[0]
    }
}

impl Scene {
    /// The index of the shot at `time_s` and the seconds since it began.
    pub fn shot_at(&self, time_s: f32) -> (usize, f32) {
        let length_s = self.shot_duration_s();
        let index = ((time_s / length_s).max(0.0) as usize).min(self.shots.len() - 1);
        (index, time_s - index as f32 * length_s)
    }

    /// The length of each shot in seconds.
    pub fn shot_duration_s(&self) -> f32 {
        self.duration_s / self.shots.len() as f32
    }
}

impl ActorSize {
    /// The actor's nominal height as a share of the frame's shorter side.
    pub const fn share(self) -> f32 {
        match self {
            Self::Small => 0.28,
            Self::Medium => 0.40,
            Self::Large => 0.55,
        }
    }
}
