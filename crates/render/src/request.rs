//! What may be asked for. Each type refuses what no model could make, and says what is allowed.

use std::str::FromStr;

use media::{Clip, Frame, Size};

/// A prompt that a model can read: 1 to 32,000 characters, not all blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt(String);

/// The size of a finished clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutputSize(Size);

/// The length of a clip, or of what an extension adds, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClipSeconds(u32);

/// Why a request was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// Nothing to draw.
    #[error("the prompt is empty: say what the clip should show")]
    EmptyPrompt,
    /// More text than anyone reads.
    #[error("the prompt has {0} characters, at most {max} are allowed: shorten it", max = Prompt::MAX_CHARACTERS)]
    LongPrompt(usize),
    /// A size that is not offered.
    #[error("size {0:?} is not offered: use one of {list}", list = OutputSize::list())]
    UnknownSize(String),
    /// A length that is not offered.
    #[error("{0:?} is not a length on offer: use one of {list} seconds", list = ClipSeconds::list())]
    UnknownSeconds(String),
}

/// What a clip starts from besides its prompt.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Source {
    /// Nothing.
    #[default]
    Text,
    /// This picture is the first frame.
    FirstFrame(Frame),
    /// It ends at this picture, and begins with another one if there is one.
    Ends {
        /// The first frame.
        first: Option<Frame>,
        /// Where it arrives.
        last: Frame,
    },
    /// The clip goes on from the end of this one. Of a long clip these are the last frames; [`crate::Parent::lead`] has those before.
    Extend(Clip),
    /// What leads up to this clip. Of a long one these are the first frames; [`crate::Parent::trail`] has those behind.
    Precede(Clip),
    /// The way from the end of one clip to the beginning of another.
    Bridge {
        /// The clip that comes before.
        from: Clip,
        /// The clip that comes after.
        to: Clip,
    },
    /// The way from the end of a clip back to its beginning, so that it can be played round and round.
    Loop {
        /// The clip. Of a long one these are the last frames; [`crate::Parent::lead`] has those before.
        end: Clip,
        /// Its first frames.
        start: Clip,
    },
    /// This clip is changed; 0 leaves it alone, 1 replaces it.
    Edit {
        /// The clip.
        clip: Clip,
        /// How far it may change, 0…1.
        strength: f32,
    },
}

/// One clip to make.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoRequest {
    /// What it shows.
    pub prompt: Prompt,
    /// What it should not look like; empty for nothing in particular.
    pub negative_prompt: String,
    /// Sides of the finished clip.
    pub size: OutputSize,
    /// Length, or the length of what is new beside the clips it starts from. An edit keeps the length of its clip.
    pub seconds: ClipSeconds,
    /// Everything random is drawn from it.
    pub seed: u64,
    /// Evaluations of the network; the model's own number if it is not given.
    pub num_inference_steps: Option<usize>,
    /// How strictly the prompt is followed; the model's own number if it is not given.
    pub guidance_scale: Option<f32>,
    /// Beginnings of which the best is finished, where the model can tell; its own number if it is not given.
    pub candidates: Option<usize>,
    /// What is left out to save time.
    pub shortcuts: Shortcuts,
    /// What it starts from.
    pub source: Source,
    /// Pictures of what should appear in it.
    pub references: Vec<Frame>,
}

/// What may be left out of the sampling to save time, at a price in quality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shortcuts {
    /// The prompt is weighed against the negative one in this part of the way alone: from its end, 0, to pure noise, 1. The model's own range if
    /// it is not given.
    pub guidance_interval: Option<(f32, f32)>,
    /// Share of the velocity that may change from step to step before it is computed anew, 0…1; every step is computed if it is not given.
    pub step_cache: Option<f32>,
}

impl VideoRequest {
    /// A clip from words alone, with everything else as the model does it.
    pub fn new(prompt: Prompt, size: OutputSize, seconds: ClipSeconds, seed: u64) -> Self {
        Self {
            prompt,
            negative_prompt: String::new(),
            size,
            seconds,
            seed,
            num_inference_steps: None,
            guidance_scale: None,
            candidates: None,
            shortcuts: Shortcuts::default(),
            source: Source::Text,
            references: Vec::new(),
        }
    }
}

impl Source {
    /// Its word in a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::FirstFrame(_) => "first_frame",
            Self::Ends { .. } => "ends",
            Self::Extend(_) => "extend",
            Self::Precede(_) => "precede",
            Self::Bridge { .. } => "bridge",
            Self::Loop { .. } => "loop",
            Self::Edit { .. } => "edit",
        }
    }

    /// The clip whose frames stand before the new ones in the finished file.
    pub fn before(&self) -> Option<&Clip> {
        match self {
            Self::Extend(clip) | Self::Loop { end: clip, .. } | Self::Bridge { from: clip, .. } => Some(clip),
            _ => None,
        }
    }

    /// The clip whose frames stand behind them. A loop is played again, so its beginning is not repeated.
    pub fn after(&self) -> Option<&Clip> {
        match self {
            Self::Precede(clip) | Self::Bridge { to: clip, .. } => Some(clip),
            _ => None,
        }
    }

    /// How far an edit may go; nothing for the others.
    pub fn strength(&self) -> Option<f32> {
        match self {
            Self::Edit { strength, .. } => Some(*strength),
            _ => None,
        }
    }
}

impl Prompt {
    /// The longest prompt, in characters.
    pub const MAX_CHARACTERS: usize = 32_000;

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prompt {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        if text.trim().is_empty() {
            return Err(RequestError::EmptyPrompt);
        }
        let characters = text.chars().count();
        if characters > Self::MAX_CHARACTERS {
            return Err(RequestError::LongPrompt(characters));
        }
        Ok(Self(text.to_owned()))
    }
}

impl OutputSize {
    /// Every size on offer: full sizes first, then the native ones of paper-1, then those of its smaller sister.
    pub const ALL: [Self; 9] = [
        Self(Size::new(1280, 720)),
        Self(Size::new(720, 1280)),
        Self(Size::new(960, 960)),
        Self(Size::new(256, 144)),
        Self(Size::new(144, 256)),
        Self(Size::new(192, 192)),
        Self(Size::new(144, 80)),
        Self(Size::new(80, 144)),
        Self(Size::new(112, 112)),
    ];

    /// The sides in pixels.
    pub fn size(self) -> Size {
        self.0
    }

    /// The size on offer whose shape is closest to a picture's, full size.
    pub fn closest_to(size: Size) -> Self {
        let shape = |size: Size| (f64::from(size.width) / f64::from(size.height)).ln();
        let distance = |option: &Self| (shape(option.0) - shape(size)).abs();
        let [first, second, third, ..] = Self::ALL;
        [first, second, third].into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(first)
    }

    /// What paper-1 draws before it enlarges.
    pub fn native(self) -> Self {
        let [landscape, portrait, square, native_landscape, native_portrait, native_square, ..] = Self::ALL;
        match self {
            size if size == landscape => native_landscape,
            size if size == portrait => native_portrait,
            size if size == square => native_square,
            native => native,
        }
    }

    fn list() -> String {
        Self::ALL.map(|size| size.to_string()).join(", ")
    }
}

impl std::fmt::Display for OutputSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OutputSize {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        Self::ALL
            .into_iter()
            .find(|size| size.to_string() == text)
            .ok_or_else(|| RequestError::UnknownSize(text.to_owned()))
    }
}

impl ClipSeconds {
    /// Every length on offer.
    pub const ALL: [Self; 5] = [Self(4), Self(8), Self(12), Self(16), Self(20)];

    /// The number of seconds.
    pub fn get(self) -> u32 {
        self.0
    }

    fn list() -> String {
        Self::ALL.map(|seconds| seconds.0.to_string()).join(", ")
    }
}

impl FromStr for ClipSeconds {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        Self::ALL
            .into_iter()
            .find(|seconds| seconds.0.to_string() == text)
            .ok_or_else(|| RequestError::UnknownSeconds(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_neither_empty_nor_endless() {
        assert_eq!(" \n".parse::<Prompt>(), Err(RequestError::EmptyPrompt));
        assert_eq!("é".repeat(32_001).parse::<Prompt>(), Err(RequestError::LongPrompt(32_001)));
        assert_eq!("é".repeat(32_000).parse::<Prompt>().unwrap().as_str().chars().count(), 32_000);
    }

    #[test]
    fn a_refused_size_lists_the_allowed_ones() {
        let error = "640x480".parse::<OutputSize>().unwrap_err().to_string();
        assert!(error.contains("1280x720, 720x1280, 960x960"), "{error}");
        let error = "5".parse::<ClipSeconds>().unwrap_err().to_string();
        assert!(error.contains("4, 8, 12, 16, 20 seconds"), "{error}");
    }

    #[test]
    fn a_picture_finds_the_size_of_its_shape() {
        let closest = |width, height| OutputSize::closest_to(Size::new(width, height)).to_string();
        assert_eq!(closest(1920, 1080), "1280x720");
        assert_eq!(closest(300, 500), "720x1280");
        assert_eq!(closest(90, 100), "960x960");
    }
}
