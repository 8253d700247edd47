//! Characters: a pet, a toy or a drawing from a short clip or a picture, to appear in clips. Its owner may name it and lend it.

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use media::FrameHash;
use platform::likeness::Audience;
use platform::{CharacterId, Handle, Scope, Service};
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
use crate::http::upload::{clean_clip, clean_picture};
use crate::recognise::{Upload, likenesses_in};

const WRITE: Access = Access::Key(Scope::FilesWrite, Needs::Active(Service::Video));
const READ: Access = Access::Key(Scope::FilesRead, Needs::Readable(Service::Video));

/// The longest name, in characters.
const MAX_NAME: usize = 80;
/// How long a clip of a character lasts, in seconds.
const SECONDS: std::ops::RangeInclusive<f64> = 1.9..=10.1;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/videos/characters", WRITE, create_character)
            .says("Makes a character from a short clip or a picture. People are no characters: they enrol.")
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
    /// An MP4 of 2 to 10 seconds.
    #[schema(format = Binary)]
    video: Option<String>,
    /// A JPEG, PNG or WebP picture, in place of a clip.
    #[schema(format = Binary)]
    picture: Option<String>,
    /// How prompts name it: `@handle`.
    handle: Option<String>,
    /// Who may use it beside its project: `only_me`, `mutuals` or `everyone`; `only_me` if it is not said.
    audience: Option<String>,
}

/// A character.
#[derive(Serialize, ToSchema)]
pub(crate) struct Character {
    /// Its id.
    id: String,
    /// What prompts call it.
    name: String,
    /// How prompts name it.
    handle: Option<String>,
    /// Who may use it beside its project.
    audience: &'static str,
    /// Unix seconds.
    created_at: i64,
}

impl From<&store::Character> for Character {
    fn from(character: &store::Character) -> Self {
        let store::Character { id, name, handle, audience, created_at, .. } = character;
        Self {
            id: id.to_string(),
            name: name.clone(),
            handle: handle.as_ref().map(|handle| handle.as_str().to_owned()),
            audience: audience.as_str(),
            created_at: created_at.seconds(),
        }
    }
}

async fn create_character(State(app): State<App>, caller: KeyCaller, form: Form) -> Result<Json<Character>, ApiError> {
    caller.active()?;
    let name = form.needed_text("name")?.trim();
    if !(1..=MAX_NAME).contains(&name.chars().count()) {
        return Err(ApiError::invalid("name", format!("'name' must have 1 to {MAX_NAME} characters.")));
    }
    refuse_reference(&app, caller.project.id, name).await.map_err(|error| error.about("name"))?;
    let handle = match form.text("handle")? {
        None => None,
        Some(text) => Some(Handle::parse(text).map_err(|refusal| ApiError::invalid("handle", format!("{refusal}.")))?),
    };
    let audience = match form.text("audience")?.unwrap_or(Audience::OnlyMe.as_str()) {
        "only_me" => Audience::OnlyMe,
        "mutuals" => Audience::Mutuals,
        "everyone" => Audience::Everyone,
        _ => return Err(ApiError::invalid("audience", "An audience is only_me, mutuals or everyone.")),
    };
    if audience != Audience::OnlyMe && handle.is_none() {
        return Err(ApiError::missing("handle"));
    }
    let Looks { came, kept: bytes, picture } = looks(&form).await?;
    let field = if picture.is_some() { "picture" } else { "video" };
    // Whoever appears in it does not appear as a character of another's.
    let upload = Upload { bytes: [&came, &bytes], picture, field, prompt: name };
    likenesses_in(&app, caller.project.owner, &upload).await?;
    let now = app.now();
    let id = CharacterId::new(now, app.random());
    let subject = Subject { identity: caller.project.owner, service: Service::Video, since: now };
    let key = app.objects.put_upload(subject, &id, bytes).await?;
    let (project, name) = (caller.project.id, name.to_owned());
    let character = store::Character { id, project, name, handle, audience, key, created_at: now };
    app.store.create_character(&character).await?;
    Ok(Json(Character::from(&character)))
}

/// What a character looks like: its clip, or its picture.
struct Looks {
    /// As it came.
    came: Bytes,
    /// Clean.
    kept: Bytes,
    /// How it looks, if it is a picture.
    picture: Option<FrameHash>,
}

async fn looks(form: &Form) -> Result<Looks, ApiError> {
    match (form.field("video"), form.field("picture")) {
        (Some(Field::File(upload)), None) => {
            let (bytes, info) = clean_clip(upload.bytes.clone(), "video").await?;
            let length_s = info.frame_count as f64 / info.frame_rate.as_f64();
            if !SECONDS.contains(&length_s) {
                let message = format!("The clip lasts {length_s:.1} seconds; 2 to 10 are allowed.");
                return Err(ApiError::invalid("video", message));
            }
            Ok(Looks { came: upload.bytes.clone(), kept: bytes, picture: None })
        }
        (None, Some(Field::File(upload))) => {
            let picture = clean_picture(upload.bytes.clone(), "picture").await?;
            Ok(Looks { came: upload.bytes.clone(), kept: picture.png, picture: Some(picture.look) })
        }
        (None, None) => Err(ApiError::missing("video")),
        (Some(_), Some(_)) => {
            Err(ApiError::invalid("picture", "A character comes from a clip or a picture, not both."))
        }
        (Some(_), None) => Err(ApiError::wrong_type("video", "a file of a form")),
        (None, Some(_)) => Err(ApiError::wrong_type("picture", "a file of a form")),
    }
}

async fn retrieve_character(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<CharacterId>,
) -> Result<Json<Character>, ApiError> {
    Ok(Json(Character::from(&app.store.character(caller.project.id, id).await?)))
}
