//! A storyboard: shots with their prompts and lengths, one behind the other, in a document that people keep, exchange and compare.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use media::{Clip, Frame};
use provenance::{Action, Model, Provenance, SigningKey};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::model::{Progress, VideoModel};
use crate::recipe::FilmRecipe;
use crate::render::{Film, RenderError, RenderOptions, Rendered, title};
use crate::request::{ClipSeconds, OutputSize, Prompt, RequestError, Source, VideoRequest};

/// The document, as JSON. Every choice that it leaves open has a fixed value, so that it gives the same film again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storyboard {
    /// Version of the format: [`Storyboard::VERSION`].
    pub storyboard: u32,
    /// The film's name, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Sides of the film, `WIDTHxHEIGHT`.
    #[serde(default = "first_size")]
    pub size: String,
    /// What the seeds of shots are made from that have none of their own: the first has this one, the second the next one.
    #[serde(default)]
    pub seed: u64,
    /// What no shot should look like.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub negative_prompt: String,
    /// The shots in order.
    #[serde(deserialize_with = "numbered")]
    pub shots: Vec<StoryboardShot>,
}

/// One shot of a storyboard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoryboardShot {
    /// What it shows.
    pub prompt: String,
    /// Its length in seconds, one of [`ClipSeconds::ALL`].
    #[serde(default = "first_seconds")]
    pub seconds: u32,
    /// How it follows the shot before it. The first follows none.
    #[serde(default)]
    pub join: Join,
    /// Its own seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The name of a picture that is its first frame; not together with [`Join::Continue`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// How a shot follows the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// At once.
    #[default]
    Cut,
    /// The picture moves on from where the other shot ended.
    Continue,
}

/// Why a storyboard cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum StoryboardError {
    /// No document of this kind.
    #[error("this is no storyboard: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// From a later version of this program.
    #[error("this is a storyboard of version {0}, and this program reads version {version}", version = Storyboard::VERSION)]
    Version(u32),
    /// Too few or too many shots.
    #[error("a storyboard has 1 to {most} shots, not {0}", most = Storyboard::MOST_SHOTS)]
    Shots(usize),
    /// The size, which all shots share.
    #[error(transparent)]
    Size(RequestError),
    /// A shot that cannot be made as it is.
    #[error("shot {number}: {problem}")]
    Shot {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Seconds of a shot that its continuation is shown.
const TAIL_S: f64 = 2.0;

fn first_size() -> String {
    OutputSize::ALL[0].to_string()
}

fn first_seconds() -> u32 {
    ClipSeconds::ALL[0].get()
}

/// Shots, of which one that cannot be read is named.
fn numbered<'d, D: Deserializer<'d>>(document: D) -> Result<Vec<StoryboardShot>, D::Error> {
    let shots = Vec::<serde_json::Value>::deserialize(document)?.into_iter().enumerate();
    let read = |(index, shot)| {
        serde_json::from_value(shot).map_err(|error| D::Error::custom(format!("shot {}: {error}", index + 1)))
    };
    shots.map(read).collect()
}

impl Storyboard {
    /// The version of the format that is read and written.
    pub const VERSION: u32 = 1;
    /// More shots than this are no storyboard.
    pub const MOST_SHOTS: usize = 100;

    /// Reads a document and checks it whole.
    ///
    /// # Errors
    /// [`StoryboardError`], which names the shot that is wrong.
    pub fn read(json: &str) -> Result<Self, StoryboardError> {
        /// The version alone: a later one may have fields that are not known here.
        #[derive(Deserialize)]
        struct Versioned {
            storyboard: u32,
        }
        let Versioned { storyboard } = serde_json::from_str(json)?;
        if storyboard != Self::VERSION {
            return Err(StoryboardError::Version(storyboard));
        }
        let board: Self = serde_json::from_str(json)?;
        board.requests(|_| Ok(None))?;
        Ok(board)
    }

    /// The sides of the film.
    ///
    /// # Errors
    /// [`StoryboardError::Size`], never of a document that was read.
    pub fn output_size(&self) -> Result<OutputSize, StoryboardError> {
        self.size.parse().map_err(StoryboardError::Size)
    }

    /// What it is called: its title, or the beginning of what its first shot shows.
    pub(crate) fn name(&self) -> String {
        let first = self.shots.first().map_or("", |shot| &shot.prompt);
        title(if self.title.trim().is_empty() { first } else { &self.title })
    }

    /// What to make, shot by shot; `picture` finds those that shots begin with. A shot that continues another starts from text here, because
    /// there is nothing yet that it could continue.
    ///
    /// # Errors
    /// [`StoryboardError`], with what `picture` says if there is no such picture.
    pub fn requests(
        &self,
        mut picture: impl FnMut(&str) -> Result<Option<Frame>, String>,
    ) -> Result<Vec<VideoRequest>, StoryboardError> {
        if !(1..=Self::MOST_SHOTS).contains(&self.shots.len()) {
            return Err(StoryboardError::Shots(self.shots.len()));
        }
        let size = self.output_size()?;
        let request = |index: usize, shot: &StoryboardShot| -> Result<VideoRequest, String> {
            let prompt: Prompt = shot.prompt.parse().map_err(|error: RequestError| error.to_string())?;
            let seconds = shot.seconds.to_string();
            let seconds: ClipSeconds = seconds.parse().map_err(|error: RequestError| error.to_string())?;
            match (index, shot.join, &shot.image) {
                (0, Join::Continue, _) => return Err("there is none before it that it could continue".to_owned()),
                (_, Join::Continue, Some(_)) => {
                    return Err("it either continues the one before or begins with a picture".to_owned());
                }
                _ => {}
            }
            let first = shot.image.as_deref().map(&mut picture).transpose()?.flatten();
            let seed = shot.seed.unwrap_or(self.seed.wrapping_add(index as u64));
            Ok(VideoRequest {
                negative_prompt: self.negative_prompt.clone(),
                source: first.map_or(Source::Text, Source::FirstFrame),
                ..VideoRequest::new(prompt, size, seconds, seed)
            })
        };
        let mut request = request;
        let numbered = self.shots.iter().enumerate();
        numbered
            .map(|(index, shot)| {
                request(index, shot).map_err(|problem| StoryboardError::Shot { number: index + 1, problem })
            })
            .collect()
    }

    /// Makes the film of its `requests`: one file, whose manifest has the document and the recipe of every shot. `progress` is told the shot,
    /// counted from 0, beside the work on it.
    ///
    /// # Errors
    /// [`RenderError`]; nothing unsigned ever leaves.
    pub fn render(
        &self,
        model: &dyn VideoModel,
        requests: Vec<VideoRequest>,
        key: &SigningKey,
        options: &RenderOptions,
        progress: &mut dyn FnMut(usize, Progress) -> ControlFlow<()>,
    ) -> Result<Rendered<FilmRecipe>, RenderError> {
        let first = requests.first().ok_or_else(|| RenderError::Model("it has no shots".into()))?;
        let mut film = Film::new(first.size.size(), model.frame_rate(), options.visible_mark)?;
        let longest_tail = (TAIL_S * model.frame_rate().as_f64()) as usize;
        let mut tail: VecDeque<Frame> = VecDeque::new();
        let mut shots = Vec::new();
        for (index, (mut request, shot)) in requests.into_iter().zip(&self.shots).enumerate() {
            let frames: Vec<Frame> = std::mem::take(&mut tail).into();
            if shot.join == Join::Continue
                && let Ok(clip) = Clip::new(frames, model.frame_rate())
            {
                request.source = Source::Extend(clip);
            }
            shots.push(model.recipe(&request));
            film.make(model, &request, &mut |step| progress(index, step), &mut |frame| {
                if tail.len() == longest_tail {
                    tail.pop_front();
                }
                tail.push_back(frame.clone());
            })?;
        }
        let last = self.shots.len().saturating_sub(1);
        let recipe = FilmRecipe { storyboard: self.clone(), shots, frames: None };
        let facts = Provenance {
            title: self.name(),
            action: Action::Created,
            software_agent: options.software_agent(),
            model: Model { name: model.name().into(), weights_hash: model.weights_hash().into() },
            recipe: serde_json::to_value(&recipe).unwrap_or_default(),
            training: options.training,
            when: options.when,
            visible_mark: options.visible_mark,
            parent: None,
            placed: Vec::new(),
        };
        let (video, frames, first_frame) = film.sign(&facts, key, &mut |step| progress(last, step))?;
        Ok(Rendered { video, recipe, frames, first_frame })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use media::{ReadLimits, Size, read_mp4};
    use provenance::{State, TrainingChoice, TrustedRoots, verify};

    use super::*;
    use crate::test_card::{SteppedTestCard, TestCard};

    const BOARD: &str = r#"{
        "storyboard": 1, "title": "A boat goes home", "size": "256x144", "seed": 7,
        "shots": [
            { "prompt": "a red boat sails right" },
            { "prompt": "it starts to rain", "join": "continue", "seconds": 8 },
            { "prompt": "a white house at night", "image": "house.png", "seed": 3 }
        ]
    }"#;

    fn refused(change: impl Fn(&mut Storyboard)) -> String {
        let mut board = Storyboard::read(BOARD).unwrap();
        change(&mut board);
        Storyboard::read(&serde_json::to_string(&board).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_document_is_written_as_it_was_read() {
        let board = Storyboard::read(BOARD).unwrap();
        assert_eq!(Storyboard::read(&serde_json::to_string(&board).unwrap()).unwrap(), board);
    }

    #[test]
    fn what_cannot_be_made_is_named_with_its_shot() {
        assert!(refused(|board| board.shots[1].prompt = " ".into()).starts_with("shot 2: the prompt is empty"));
        assert!(refused(|board| board.shots[2].seconds = 5).starts_with("shot 3: \"5\" is not a length on offer"));
        assert!(refused(|board| board.shots[0].join = Join::Continue).starts_with("shot 1: there is none before it"));
        assert!(refused(|board| board.shots[2].join = Join::Continue).starts_with("shot 3: it either continues"));
        assert!(refused(|board| board.size = "5x5".into()).contains("1280x720"));
        assert!(refused(|board| board.shots.clear()).contains("1 to 100 shots, not 0"));
        assert!(refused(|board| board.shots = vec![board.shots[0].clone(); 101]).contains("not 101"));
        assert!(refused(|board| board.storyboard = 2).contains("of version 2"));
        for no_board in ["", "[]", "{}", r#"{"storyboard": 1}"#, r#"{"storyboard": 1, "shots": [], "colour": 1}"#] {
            let error = Storyboard::read(no_board).unwrap_err();
            assert!(matches!(error, StoryboardError::Unreadable(_)), "{no_board}: {error}");
        }
        let nameless = r#"{"storyboard": 1, "shots": [{"prompt": "a boat"}, {"promt": "rain"}]}"#;
        assert!(Storyboard::read(nameless).unwrap_err().to_string().contains("shot 2: unknown field `promt`"));
        let later = r#"{"storyboard": 2, "acts": []}"#;
        assert!(matches!(Storyboard::read(later), Err(StoryboardError::Version(2))));
        let board = Storyboard::read(BOARD).unwrap();
        let missing = board.requests(|name| Err(format!("{name} is missing"))).unwrap_err().to_string();
        assert_eq!(missing, "shot 3: house.png is missing");
    }

    #[test]
    fn a_film_has_its_shots_in_order_and_says_how_each_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::open_or_create(&dir.path().join("keys"), "Paper Studio").unwrap();
        let options = RenderOptions {
            visible_mark: true,
            training: TrainingChoice::NotAllowed,
            when: time::macros::datetime!(2026-11-26 12:00 UTC),
            version: "1".into(),
        };
        let board = Storyboard::read(BOARD).unwrap();
        let picture = Frame::filled(Size::new(256, 144), [1, 2, 3]);
        let requests = board.requests(|_| Ok(Some(picture.clone()))).unwrap();
        let sources = Mutex::new(Vec::new());
        let model = SteppedTestCard(|request: &VideoRequest, step: Progress| {
            if step.done == 0 {
                sources.lock().unwrap().push(request.source.clone());
            }
            Ok(())
        });
        let mut shots = Vec::new();
        let film = board
            .render(&model, requests, &key, &options, &mut |shot, _| {
                shots.push(shot);
                ControlFlow::Continue(())
            })
            .unwrap();

        shots.dedup();
        assert_eq!(shots, [0, 1, 2]);
        assert_eq!(film.frames, (4 + 8 + 4) * 12);
        assert_eq!(film.recipe.shots.iter().map(|recipe| recipe.seed).collect::<Vec<_>>(), [7, 8, 3]);
        let report = verify(film.video.bytes(), &TrustedRoots::installation(&key));
        assert_eq!(
            (report.state, report.title.as_deref()),
            (State::Untouched, Some("A boat goes home")),
            "{report:#?}"
        );
        let recipe = report.recipe.unwrap();
        assert_eq!(recipe["storyboard"], serde_json::to_value(&board).unwrap());
        assert_eq!(recipe["shots"][1]["source"], "extend");
        let clip = read_mp4(film.video.bytes(), &ReadLimits::default()).unwrap();
        assert_eq!((clip.frames().len(), clip.size()), (film.frames, Size::new(256, 144)));

        let sources = sources.lock().unwrap();
        let [Source::Text, Source::Extend(tail), Source::FirstFrame(first)] = sources.as_slice() else {
            panic!("{sources:?}")
        };
        assert_eq!(*first, picture);
        assert_eq!(tail.frames().len(), 24, "two seconds of the shot before");
    }

    #[test]
    fn a_film_stops_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::open_or_create(&dir.path().join("keys"), "Paper Studio").unwrap();
        let options = RenderOptions {
            visible_mark: false,
            training: TrainingChoice::NotAllowed,
            when: time::macros::datetime!(2026-11-26 12:00 UTC),
            version: "1".into(),
        };
        let mut board = Storyboard::read(BOARD).unwrap();
        board.shots.truncate(2);
        let requests = board.requests(|_| Ok(None)).unwrap();
        let stopped = board.render(&TestCard, requests, &key, &options, &mut |shot, _| {
            if shot == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(RenderError::Stopped)), "{stopped:?}");
    }
}
