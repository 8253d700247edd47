//! Characters: someone or something from a short clip, to appear in others.

use axum::Json;
use axum::extract::State;
use platform::{CharacterId, Scope, Service};
use serde::Serialize;
use store::Subject;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::creation::refuse_reference;
use crate::http::endpoint::{BodyKind, Endpoint, get, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::Id;
use crate::http::upload::clean_clip;

const WRITE: Access = Access::Key(Scope::FilesWrite, Needs::Active(Service::Video));
const READ: Access = Access::Key(Scope::FilesRead, Needs::Readable(Service::Video));

/// The longest name, in characters.
const MAX_NAME: usize = 80;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/videos/characters", WRITE, create_character)
            .says("Makes a character from a short clip.")
            .reads::<CreateCharacter>(BodyKind::Form)
            .answers::<Character>(),
        get("/v1/videos/characters/{id}", READ, retrieve_character).says("Reads a character.").answers::<Character>(),
    ]
}

/// A character to make.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateCharacter {
    /// What prompts call it, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    name: String,
    /// An MP4, best of 2 to 4 seconds.
    #[schema(format = Binary)]
    video: String,
}

/// A character.
#[derive(Serialize, ToSchema)]
pub(crate) struct Character {
    /// Its id.
    id: String,
    /// What prompts call it.
    name: String,
    /// Unix seconds.
    created_at: i64,
}

impl From<&store::Character> for Character {
    fn from(character: &store::Character) -> Self {
        let store::Character { id, name, created_at, .. } = character;
        Self { id: id.to_string(), name: name.clone(), created_at: created_at.seconds() }
    }
}

async fn create_character(State(app): State<App>, caller: KeyCaller, form: Form) -> Result<Json<Character>, ApiError> {
    caller.active()?;
    let name = form.needed_text("name")?.trim();
    if !(1..=MAX_NAME).contains(&name.chars().count()) {
        return Err(ApiError::invalid("name", format!("'name' must have 1 to {MAX_NAME} characters.")));
    }
    refuse_reference(&app, caller.project.id, name).await.map_err(|error| error.about("name"))?;
    let upload = match form.field("video") {
        None => return Err(ApiError::missing("video")),
        Some(Field::File(upload)) => upload.clone(),
        Some(_) => return Err(ApiError::wrong_type("video", "a file of a form")),
    };
    let (bytes, _) = clean_clip(upload.bytes, "video").await?;
    let now = app.now();
    let id = CharacterId::new(now, app.random());
    let subject = Subject { identity: caller.project.owner, service: Service::Video, since: now };
    let key = app.objects.put_upload(subject, &id, bytes).await?;
    let character = store::Character { id, project: caller.project.id, name: name.to_owned(), key, created_at: now };
    app.store.create_character(&character).await?;
    Ok(Json(Character::from(&character)))
}

async fn retrieve_character(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<CharacterId>,
) -> Result<Json<Character>, ApiError> {
    Ok(Json(Character::from(&app.store.character(caller.project.id, id).await?)))
}
