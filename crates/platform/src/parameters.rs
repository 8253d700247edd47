//! What a request asks for, from the API's words. Refused, never rounded: whoever asked learns what is allowed.

use crate::model::{Catalogue, ModelName, Offer};
use crate::refusal::{Refusal, RefusalCode};

/// A prompt: 1 to 32,000 characters, not all blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt(String);

/// Sides of a clip in pixels, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    width: u16,
    height: u16,
}

/// Length of a clip in whole seconds, 0 to 120. Only a picture has 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(u32);

/// How many clips one request makes, 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipCount(u32);

/// The fields of a request as they came, numbers as their text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a> {
    /// What it shall show.
    pub prompt: Option<&'a str>,
    /// A model or an alias.
    pub model: Option<&'a str>,
    /// Length.
    pub seconds: Option<&'a str>,
    /// `WIDTHxHEIGHT`.
    pub size: Option<&'a str>,
    /// 0 to 2⁶³−1.
    pub seed: Option<&'a str>,
    /// What it should not look like.
    pub negative_prompt: Option<&'a str>,
    /// 1 to 200.
    pub num_inference_steps: Option<&'a str>,
    /// 0 to 20.
    pub guidance_scale: Option<&'a str>,
    /// 1 to 8.
    pub candidates: Option<&'a str>,
    /// 1 to 10.
    pub n: Option<&'a str>,
}

/// A request that can be fulfilled.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// What it shall show.
    pub prompt: Prompt,
    /// The model as it was asked for: answers repeat it.
    pub model: ModelName,
    /// Sides.
    pub size: Size,
    /// Length; of an extension, the length of what is added.
    pub seconds: Seconds,
    /// The seed, at most 2⁶³−1; chosen by whoever accepts if nothing.
    pub seed: Option<u64>,
    /// What it should not look like; empty for nothing in particular.
    pub negative_prompt: String,
    /// Evaluations of the network, 1 to 200; the model's own number if nothing.
    pub num_inference_steps: Option<u32>,
    /// How strictly the prompt is followed, 0 to 20; the model's own number if nothing.
    pub guidance_scale: Option<f32>,
    /// Beginnings of which the model finishes the best, 1 to 8; its own number if nothing. `sora-2-pro` begins four.
    pub candidates: Option<u32>,
    /// How many clips.
    pub n: ClipCount,
}

impl Parameters {
    /// What a creation asks for. Absent fields take the API's defaults: `sora-2`, 4 seconds, 720x1280, one clip; where
    /// the model does not have them, its own first.
    ///
    /// # Errors
    /// [`Refusal`] with the field and what is allowed.
    pub fn of_video<'c>(words: &Words<'_>, catalogue: &'c Catalogue) -> Result<(Self, &'c Offer), Refusal> {
        let prompt = Prompt::parse(words.prompt)?;
        let (model, offer) = catalogue.resolve(words.model)?;
        let size = match words.size {
            Some(text) => offer.size(text)?,
            None => offer.default_size(),
        };
        let seconds = match words.seconds {
            Some(text) => offer.seconds(text)?,
            None => offer.default_seconds(),
        };
        Ok((Self::finish(words, prompt, model, size, seconds)?, offer))
    }

    /// What a remix, edit or extension asks for: model and size are the source's, seconds the caller's decision.
    ///
    /// # Errors
    /// [`Refusal`] with the field and what is allowed.
    pub fn of_source(words: &Words<'_>, model: ModelName, size: Size, seconds: Seconds) -> Result<Self, Refusal> {
        Self::finish(words, Prompt::parse(words.prompt)?, model, size, seconds)
    }

    fn finish(
        words: &Words<'_>,
        prompt: Prompt,
        model: ModelName,
        size: Size,
        seconds: Seconds,
    ) -> Result<Self, Refusal> {
        let negative_prompt = words.negative_prompt.unwrap_or_default();
        if negative_prompt.chars().count() > Prompt::MAX_CHARACTERS {
            let message = format!("negative_prompt may have at most {} characters", Prompt::MAX_CHARACTERS);
            return Err(Refusal::new(RefusalCode::StringAboveMaxLength, Some("negative_prompt"), message));
        }
        let careful = model.is_careful().then_some(CAREFUL_CANDIDATES);
        Ok(Self {
            prompt,
            model,
            size,
            seconds,
            seed: number("seed", words.seed, 0, i64::MAX as u64)?,
            negative_prompt: negative_prompt.to_owned(),
            num_inference_steps: number("num_inference_steps", words.num_inference_steps, 1, 200)?
                .map(|steps| steps as u32),
            guidance_scale: guidance_scale(words.guidance_scale)?,
            candidates: number("candidates", words.candidates, 1, 8)?.map(|count| count as u32).or(careful),
            n: ClipCount(number("n", words.n, 1, 10)?.map_or(1, |n| n as u32)),
        })
    }
}

/// Beginnings of a clip that is asked for from [a model that takes its time](ModelName::is_careful).
const CAREFUL_CANDIDATES: u32 = 4;

/// A whole number between two, inclusive.
fn number(param: &'static str, text: Option<&str>, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>().ok().filter(|_| plain) {
        Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(invalid(param, text, &format!("a whole number from {least} to {most}"))),
    }
}

fn guidance_scale(text: Option<&str>) -> Result<Option<f32>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<f32>() {
        Ok(scale) if (0.0..=20.0).contains(&scale) => Ok(Some(scale)),
        _ => Err(invalid("guidance_scale", text, "a number from 0 to 20")),
    }
}

/// A value that is not on offer, and what is.
pub(crate) fn invalid(param: &'static str, text: &str, allowed: &str) -> Refusal {
    let shown: String = text.chars().take(80).collect();
    Refusal::new(
        RefusalCode::InvalidValue,
        Some(param),
        format!("Invalid value for {param}: {shown:?}. Allowed: {allowed}."),
    )
}

impl Prompt {
    /// The longest prompt, in characters.
    pub const MAX_CHARACTERS: usize = 32_000;

    /// The prompt of a request.
    ///
    /// # Errors
    /// [`Refusal`]: missing, empty or too long.
    pub fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let refuse = |code, message: String| Err(Refusal::new(code, Some("prompt"), message));
        let Some(text) = text else {
            return refuse(RefusalCode::MissingRequiredParameter, "Missing required parameter: 'prompt'.".into());
        };
        if text.trim().is_empty() {
            return refuse(RefusalCode::EmptyString, "The prompt is empty: say what the clip should show.".into());
        }
        if text.contains('\0') {
            return refuse(RefusalCode::InvalidValue, "The prompt contains the character U+0000.".into());
        }
        let characters = text.chars().count();
        if characters > Self::MAX_CHARACTERS {
            let message =
                format!("The prompt has {characters} characters, at most {} are allowed.", Self::MAX_CHARACTERS);
            return refuse(RefusalCode::StringAboveMaxLength, message);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Size {
    /// These sides.
    ///
    /// # Panics
    /// If a side is 0.
    pub const fn new(width: u16, height: u16) -> Self {
        assert!(width > 0 && height > 0, "a clip has no side of 0 pixels");
        Self { width, height }
    }

    /// Reads `WIDTHxHEIGHT`; nothing for any other text, or a side of 0 or past 16,384 pixels.
    pub fn parse(text: &str) -> Option<Self> {
        let side = |digits: &str| {
            let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|side| plain && (1..=16_384).contains(side))
        };
        let (width, height) = text.split_once('x')?;
        Some(Self { width: side(width)?, height: side(height)? })
    }

    /// Pixels from left to right.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Pixels from top to bottom.
    pub const fn height(self) -> u16 {
        self.height
    }

    /// Pixels in all.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl Seconds {
    /// A picture.
    pub const STILL: Self = Self(0);
    /// The longest clip, with all its extensions.
    pub const LONGEST: Self = Self(120);

    /// This length; nothing past the longest.
    pub const fn new(seconds: u32) -> Option<Self> {
        if seconds <= Self::LONGEST.0 { Some(Self(seconds)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ClipCount {
    /// One clip.
    pub const ONE: Self = Self(1);

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::catalogue;

    #[test]
    fn a_bare_prompt_takes_the_defaults() {
        let catalogue = catalogue();
        let words = Words { prompt: Some("a red boat"), ..Words::default() };
        let (parameters, offer) = Parameters::of_video(&words, &catalogue).unwrap();
        assert_eq!(parameters.model.as_str(), "sora-2");
        assert_eq!(offer.name.as_str(), "paper-1");
        assert_eq!((parameters.size.to_string(), parameters.seconds.get()), ("720x1280".into(), 4));
    }

    #[test]
    fn wrong_words_are_refused_with_their_field_and_code() {
        let catalogue = catalogue();
        let long = "é".repeat(32_001);
        let check = |change: &dyn Fn(&mut Words<'_>), param, code: &str| {
            let mut words = Words { prompt: Some("a red boat"), ..Words::default() };
            change(&mut words);
            let refusal = Parameters::of_video(&words, &catalogue).unwrap_err();
            assert_eq!((refusal.param, refusal.code.as_str()), (Some(param), code), "{refusal}");
        };
        check(&|words| words.prompt = None, "prompt", "missing_required_parameter");
        check(&|words| words.prompt = Some(" \n"), "prompt", "empty_string");
        let refusal = Prompt::parse(Some(&long)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::StringAboveMaxLength);
        check(&|words| words.seconds = Some("5"), "seconds", "invalid_value");
        check(&|words| words.seconds = Some("+4"), "seconds", "invalid_value");
        check(&|words| words.size = Some("640x480"), "size", "invalid_value");
        check(&|words| words.size = Some("720X1280"), "size", "invalid_value");
        check(&|words| words.model = Some("veo"), "model", "model_not_found");
        check(&|words| words.seed = Some("-1"), "seed", "invalid_value");
        check(&|words| words.seed = Some("9223372036854775808"), "seed", "invalid_value");
        check(&|words| words.num_inference_steps = Some("0"), "num_inference_steps", "invalid_value");
        check(&|words| words.guidance_scale = Some("NaN"), "guidance_scale", "invalid_value");
        check(&|words| words.candidates = Some("9"), "candidates", "invalid_value");
        check(&|words| words.n = Some("11"), "n", "invalid_value");
    }

    #[test]
    fn whoever_asks_for_pro_asks_for_care() {
        let asked = |model: &str, candidates| {
            let model = ModelName::parse(model).unwrap();
            let words = Words { prompt: Some("a"), candidates, ..Words::default() };
            Parameters::of_source(&words, model, Offer::API_SIZES[0], Seconds::STILL).unwrap().candidates
        };
        assert_eq!((asked("sora-2-pro", None), asked("sora-2-pro-2025-10-06", None)), (Some(4), Some(4)));
        assert_eq!((asked("sora-2", None), asked("sora-2-pro-max", None), asked("paper-1", None)), (None, None, None));
        assert_eq!((asked("sora-2-pro", Some("1")), asked("sora-2", Some("3"))), (Some(1), Some(3)));
    }

    #[test]
    fn a_refused_value_lists_what_is_allowed() {
        let words = Words { prompt: Some("a"), seconds: Some("5"), ..Words::default() };
        let refusal = Parameters::of_video(&words, &catalogue()).unwrap_err();
        assert_eq!(refusal.message, "Invalid value for seconds: \"5\". Allowed: 4, 8, 12, 16, 20.");
    }
}
