//! A film of several shots: the document that comes in place of a prompt, checked shot by shot, and given back as it was.

use axum::Json;
use axum::extract::State;
use platform::{GenerationKind, IdentityId, Offer, Parameters, ProjectId, Prompt, Seconds, VideoId, Words};
use render::{Storyboard, StoryboardError};
use serde::Serialize;
use store::Generation;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::app::App;
use crate::http::auth::KeyCaller;
use crate::http::creation::{Creation, Named, allowed, would_refuse};
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::Id;
use crate::http::videos::{READ, video};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/videos/{id}/storyboard", READ, show_storyboard)
            .says("Reads the document that a film was made from: sent again, it makes the same film.")
            .answers::<StoryboardDocument>(),
    ]
}

const FIELD: &str = "storyboard";
/// The largest document.
pub(crate) const MOST_BYTES: usize = 64 * 1024;
/// What the document says itself, or what a film cannot have.
const NOT_BESIDE: [&str; 20] = [
    "prompt",
    "seconds",
    "duration",
    "size",
    "width",
    "height",
    "resolution",
    "aspect_ratio",
    "seed",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "candidates",
    "n",
    "input_reference",
    "image_reference",
    "image_url",
    "reference_url",
    "characters",
    "character_ids",
];

/// A storyboard: the shots of a film. What it leaves open has a fixed value, so that it gives the same film again.
#[derive(Serialize, ToSchema)]
pub(crate) struct StoryboardDocument {
    /// The version of the format, 1.
    #[schema(minimum = 1, maximum = 1)]
    storyboard: u32,
    /// The film's name, for people.
    #[schema(required = false)]
    title: String,
    /// Sides of the film, `WIDTHxHEIGHT`; `1280x720` if it is not said.
    #[schema(required = false)]
    size: String,
    /// What the seeds of shots are made from that have none of their own: the first has this one, the second the next one. 0 if it is
    /// not said.
    #[schema(required = false, minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    seed: u64,
    /// What no shot should look like.
    #[schema(required = false)]
    negative_prompt: String,
    /// The shots in order, 120 seconds together at most.
    #[schema(min_items = 1, max_items = 100)]
    shots: Vec<StoryboardShot>,
}

/// A shot of a storyboard.
#[derive(Serialize, ToSchema)]
pub(crate) struct StoryboardShot {
    /// What it shows; the prompts of all shots have 32,000 characters together at most.
    #[schema(min_length = 1, max_length = 32_000)]
    prompt: String,
    /// Its length in seconds; 4 if it is not said.
    #[schema(required = false, minimum = 1, maximum = 120)]
    seconds: u32,
    /// How it follows the shot before it: at once, `cut`, which is the default, or going on from its last picture, `continue`.
    #[schema(required = false, schema_with = join)]
    join: String,
    /// Its own seed.
    #[schema(required = false, minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    seed: u64,
}

fn join() -> Schema {
    let about = "How it follows the shot before it: at once, which is the default, or going on from its last picture.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["cut", "continue"]))
        .description(Some(about))
        .build()
        .into()
}

/// A film that can be made, but for what the policy says.
pub(crate) struct Film {
    board: Storyboard,
    parameters: Parameters,
    offer: Offer,
}

impl Film {
    /// The film that a request asks for, if it asks for one.
    pub(crate) fn read(app: &App, form: &Form) -> Result<Option<Self>, ApiError> {
        let Some(field) = form.field(FIELD) else { return Ok(None) };
        if let Some((name, _)) = form.first(&NOT_BESIDE) {
            let message = format!("Beside a storyboard there is no '{name}': the document says what is made.");
            return Err(ApiError::invalid(name, message));
        }
        let document = match field.unfolded() {
            Field::Object(object) => Field::Object(object).json().to_string(),
            Field::Text(text) => text,
            Field::File(upload) => String::from_utf8(upload.bytes.into())
                .map_err(|_| ApiError::invalid(FIELD, "The storyboard is no text."))?,
            _ => return Err(ApiError::wrong_type(FIELD, "an object or a file")),
        };
        let board = read_document(&document)?;
        let catalogue = app.catalogue();
        let (model, offer) = catalogue.resolve(form.text("model")?)?;
        let parameters = parameters(&board, model, offer)?;
        Ok(Some(Self { board, parameters, offer: offer.clone() }))
    }

    /// Checks every shot as a prompt of its own, and with them the title, which stands in the film's manifest.
    pub(crate) async fn creation(self, app: &App, project: ProjectId) -> Result<Creation, ApiError> {
        let Self { board, parameters, offer } = self;
        let owner = app.store.project(project).await?.owner;
        let mut named = Named::default();
        if !board.title.trim().is_empty() {
            allowed(app, owner, &board.title).await.map_err(|error| error.about(FIELD))?;
        }
        for (index, shot) in board.shots.iter().enumerate() {
            let of_shot = allowed(app, owner, &shot.prompt).await.map_err(|error| error.in_shot(index + 1))?;
            named = named.and(of_shot);
        }
        let Named { characters, likenesses } = named.few(FIELD)?;
        let storyboard = serde_json::to_string(&board).map_err(|error| ApiError::internal(&error))?;
        Ok(Creation {
            price: offer.rate.quote(parameters.size, parameters.seconds),
            total_seconds: parameters.seconds,
            parameters,
            kind: GenerationKind::Film { storyboard, characters },
            model: offer.name,
            kept: None,
            likenesses,
        })
    }

    /// What it would be, if the policy let it pass. Nothing is recorded.
    pub(crate) async fn would_be(self, app: &App, owner: IdentityId) -> Result<(Parameters, Offer), ApiError> {
        if !self.board.title.trim().is_empty() {
            would_refuse(app, owner, &self.board.title).await.map_err(|error| error.about(FIELD))?;
        }
        for (index, shot) in self.board.shots.iter().enumerate() {
            would_refuse(app, owner, &shot.prompt).await.map_err(|error| error.in_shot(index + 1))?;
        }
        Ok((self.parameters, self.offer))
    }
}

/// A document, read and checked whole.
pub(crate) fn read_document(text: &str) -> Result<Storyboard, ApiError> {
    if text.len() > MOST_BYTES {
        let message = format!("The storyboard has {} bytes, at most {MOST_BYTES} are allowed.", text.len());
        return Err(ApiError::invalid(FIELD, message));
    }
    let board = Storyboard::read(text).map_err(|error| match error {
        StoryboardError::Shot { number, problem } => ApiError::invalid(FIELD, capital(&problem)).in_shot(number),
        other => ApiError::invalid(FIELD, capital(&other.to_string())),
    })?;
    if [&board.title, &board.negative_prompt].iter().any(|text| text.contains('\0')) {
        return Err(ApiError::invalid(FIELD, "The storyboard contains the character U+0000."));
    }
    let seeds = board.shots.iter().filter_map(|shot| shot.seed).chain([board.seed]);
    if seeds.into_iter().any(|seed| i64::try_from(seed).is_err()) {
        return Err(ApiError::invalid(FIELD, format!("A seed is a whole number from 0 to {}.", i64::MAX)));
    }
    if let Some(index) = board.shots.iter().position(|shot| shot.image.is_some()) {
        let message = "Pictures in shots are not taken here yet: leave out 'image'.";
        return Err(ApiError::invalid(FIELD, message).in_shot(index + 1));
    }
    Ok(board)
}

/// What the film is as a job: its prompts behind each other, its seconds together.
fn parameters(board: &Storyboard, model: platform::ModelName, offer: &Offer) -> Result<Parameters, ApiError> {
    let size = offer.size(&board.size).map_err(|refusal| ApiError::from(refusal).about(FIELD))?;
    let mut total = 0_u32;
    for (index, shot) in board.shots.iter().enumerate() {
        let seconds = offer.seconds(&shot.seconds.to_string());
        total += seconds.map_err(|refusal| ApiError::from(refusal).in_shot(index + 1))?.get();
    }
    let seconds = Seconds::new(total).ok_or_else(|| {
        let longest = Seconds::LONGEST;
        ApiError::invalid(FIELD, format!("The film would be {total} seconds long, at most {longest} are allowed."))
    })?;
    let prompts: Vec<_> = board.shots.iter().map(|shot| shot.prompt.as_str()).collect();
    let prompt = prompts.join("\n");
    let characters = prompt.chars().count();
    if characters > Prompt::MAX_CHARACTERS {
        let most = Prompt::MAX_CHARACTERS;
        let message = format!("The prompts of all shots have {characters} characters, at most {most} are allowed.");
        return Err(ApiError::invalid(FIELD, message));
    }
    let seed = board.seed.to_string();
    let words = Words {
        prompt: Some(&prompt),
        seed: Some(&seed),
        negative_prompt: Some(&board.negative_prompt),
        ..Words::default()
    };
    Parameters::of_source(&words, model, size, seconds).map_err(|refusal| ApiError::from(refusal).about(FIELD))
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

async fn show_storyboard(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<VideoId>,
) -> Result<Json<Storyboard>, ApiError> {
    document_of(&video(&app, &caller, id).await?).map(Json)
}

/// The document that a film was made from.
pub(crate) fn document_of(generation: &Generation) -> Result<Storyboard, ApiError> {
    let GenerationKind::Film { storyboard, .. } = &generation.kind else {
        return Err(ApiError::state("This video was not made from a storyboard.").about("video"));
    };
    // One that came with an archive may be anything.
    Storyboard::read(storyboard)
        .map_err(|error| ApiError::state(format!("The storyboard of this film cannot be read: {error}.")))
}
