//! Videos: make, list, read, cancel, delete, and ask for the price before.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use platform::{ActiveMembership, ClipSource, GenerationKind, IdempotencyKey, Scope, Service, VideoId};
use serde::Serialize;
use store::{Cancellation, Discarded, Generation, StoreError};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::creation::{
    CREATION_FIELDS, Creation, REFERENCE_PURPOSE, accept, read_creation, read_parameters, would_refuse,
};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List, Values};
use crate::http::storyboards::{Film, StoryboardDocument};
use crate::http::video_object::{Deleted, Video};

/// Making videos.
pub(crate) const MAKE: Access = Access::Key(Scope::VideosWrite, Needs::Active(Service::Video));
/// Deleting and cancelling them.
pub(crate) const CHANGE: Access = Access::Key(Scope::VideosWrite, Needs::Readable(Service::Video));
/// Reading them.
pub(crate) const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Video));

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/videos", MAKE, create_video)
            .says(
                "Makes a video from a prompt, with a first frame and characters if given, or a film from a storyboard.",
            )
            .reads::<CreateVideo>(BodyKind::JsonOrForm)
            .once()
            .answers::<Made>(),
        get("/v1/videos", READ, list_videos).says("Lists videos.").query(PAGE).answers_list::<Video>(),
        post("/v1/videos/quote", READ, quote_video)
            .says("Says what a creation would cost and where it would stand in the queue; makes nothing.")
            .reads::<CreateVideo>(BodyKind::JsonOrForm)
            .answers::<Quote>(),
        get("/v1/videos/{id}", READ, retrieve_video).says("Reads a video.").answers::<Video>(),
        delete("/v1/videos/{id}", CHANGE, delete_video)
            .says("Deletes a video; one that is being made is cancelled.")
            .answers::<Deleted>(),
        post("/v1/videos/{id}/cancel", CHANGE, cancel_video)
            .says("Asks that a video not be made any more. What has ended stays as it is.")
            .answers::<Video>(),
    ]
}

/// The query of every list.
pub(crate) const PAGE: &[(&str, &str)] = &[
    ("after", "Begin behind this id."),
    ("limit", "So many at most, 0 to 100; 20 if it is not said."),
    ("order", "asc or desc by creation; newest first if it is not said."),
];

/// What a creation asks for. Fields of other servers are passed over; one that nobody knows is refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateVideo {
    /// What the clip shows, 1 to 32,000 characters; needed unless there is a storyboard.
    #[schema(min_length = 1, max_length = 32_000)]
    prompt: Option<String>,
    /// A film of several shots, in place of the prompt, the length, the size and the rest: the document says them.
    #[schema(schema_with = storyboard_or_file)]
    storyboard: Option<StoryboardDocument>,
    /// A model or an alias; `sora-2` if it is not said.
    model: Option<String>,
    /// The length, `4`, `8` and so on; `duration` is taken too.
    seconds: Option<String>,
    /// `WIDTHxHEIGHT`; `width` and `height`, or `resolution` and `aspect_ratio`, are taken too.
    size: Option<String>,
    /// The first frame, as a file of a form or as an object; `image_url` and `reference_url` are taken too.
    #[schema(schema_with = picture_or_file)]
    input_reference: Option<InputReference>,
    /// At most two; `character_ids` is taken too.
    #[schema(max_items = 2)]
    characters: Option<Vec<CharacterRef>>,
    /// 0 to 2⁶³−1.
    #[schema(minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    seed: Option<u64>,
    /// What it should not look like.
    negative_prompt: Option<String>,
    /// 1 to 200.
    #[schema(minimum = 1, maximum = 200)]
    num_inference_steps: Option<u32>,
    /// 0 to 20.
    #[schema(minimum = 0, maximum = 20)]
    guidance_scale: Option<f32>,
    /// Beginnings of which the model finishes the one that shows most of what was asked, 1 to 8. More take longer; `sora-2-pro` begins 4.
    #[schema(minimum = 1, maximum = 8)]
    candidates: Option<u32>,
    /// How many, 1 to 10. The first is the answer, all are in its `videos`.
    #[schema(minimum = 1, maximum = 10)]
    n: Option<u32>,
}

fn picture_or_file() -> Schema {
    let words = "The first frame, as a file of a form or as an object; image_url and reference_url are taken too.";
    object_or_file(InputReference::schema(), words)
}

fn storyboard_or_file() -> Schema {
    let words =
        "A film of several shots, in place of the prompt, the length, the size and the rest: the document says them.";
    object_or_file(StoryboardDocument::schema(), words)
}

/// What comes as an object in JSON, and as an object or a file in a form.
pub(crate) fn object_or_file(object: RefOr<Schema>, words: &str) -> Schema {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    let file =
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).description(Some("A file of a form."));
    OneOfBuilder::new().item(object).item(file).description(Some(words)).build().into()
}

/// Exactly one of the two.
#[derive(Serialize, ToSchema)]
pub(crate) struct InputReference {
    /// A `data:` address of a picture; other addresses only where the owner lets the server fetch them.
    image_url: Option<String>,
    /// The id of an uploaded picture.
    file_id: Option<String>,
}

/// A character.
#[derive(Serialize, ToSchema)]
pub(crate) struct CharacterRef {
    /// Its id.
    id: String,
}

/// A new video, and with `n` its siblings.
#[derive(Serialize, ToSchema)]
pub(crate) struct Made {
    #[serde(flatten)]
    pub(crate) video: Video,
    /// All videos of the request, this one first; only if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) videos: Vec<Video>,
}

/// What a creation would cost.
#[derive(Serialize, ToSchema)]
pub(crate) struct Quote {
    /// Always `video.quote`.
    pub(crate) object: &'static str,
    /// The model as asked for.
    pub(crate) model: String,
    /// Sides.
    pub(crate) size: String,
    /// Length.
    pub(crate) seconds: String,
    /// How many clips.
    pub(crate) n: u32,
    /// In credits, of all clips: six decimals.
    pub(crate) price: String,
    /// Credits that are free now.
    pub(crate) available: String,
    /// Whether the membership, the quotas and the balance would let it through now.
    pub(crate) acceptable: bool,
    /// Jobs that would go before it.
    pub(crate) queue_ahead: u64,
}

pub(crate) async fn create_video(
    State(app): State<App>,
    caller: KeyCaller,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Made>, ApiError> {
    let member = caller.active()?;
    form.knows(&CREATION_FIELDS)?;
    let idempotency = idempotency(&headers, uri.path(), &form)?;
    let creation = read_creation(&app, caller.project.id, &form).await?;
    make(&app, member, &caller, creation, idempotency).await
}

/// Accepts a request and shows what came of it.
pub(crate) async fn make(
    app: &App,
    member: ActiveMembership,
    caller: &KeyCaller,
    creation: Creation,
    idempotency: Option<(IdempotencyKey, platform::Fingerprint)>,
) -> Result<Json<Made>, ApiError> {
    caller.tell_of(app.model_sunset(&creation.model));
    let generations = accept(app, member, caller.project.id, creation, idempotency, None).await?;
    let videos: Vec<_> = generations.iter().map(Video::from).collect();
    let Some(video) = videos.first().cloned() else {
        // The same request was accepted before, and its videos were deleted since.
        return Err(ApiError::not_found(VideoId::PREFIX.trim_end_matches('_')));
    };
    Ok(Json(Made { video, videos: if videos.len() > 1 { videos } else { Vec::new() } }))
}

/// The request's `Idempotency-Key`, with what the request said.
pub(crate) fn idempotency(
    headers: &HeaderMap,
    path: &str,
    form: &Form,
) -> Result<Option<(IdempotencyKey, platform::Fingerprint)>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = IdempotencyKey::parse(value.to_str().unwrap_or_default())?;
    Ok(Some((key, form.fingerprint("POST", path))))
}

async fn list_videos(State(app): State<App>, caller: KeyCaller, values: Values) -> Result<Json<List<Video>>, ApiError> {
    let page = app.store.generations(caller.project.id, values.page()?).await?;
    let ids: Vec<_> = page.generations.iter().map(Video::from).collect();
    Ok(Json(List::new(ids, Video::id, page.has_more)))
}

async fn retrieve_video(State(app): State<App>, caller: KeyCaller, Id(id): Id<VideoId>) -> Result<Response, ApiError> {
    let generation = video(&app, &caller, id).await?;
    let mut response = Json(Video::from(&generation)).into_response();
    if !generation.state.is_final() {
        let millis = u64::try_from(app.settings.poll_after.as_millis()).unwrap_or(1000);
        response.headers_mut().insert(HeaderName::from_static("openai-poll-after-ms"), HeaderValue::from(millis));
    }
    Ok(response)
}

/// A video of the caller's project. Pictures are none.
pub(crate) async fn video(app: &App, caller: &KeyCaller, id: VideoId) -> Result<Generation, ApiError> {
    let generation = app.store.generation(caller.project.id, id).await?;
    if generation.kind == GenerationKind::Image { Err(ApiError::not_found("video")) } else { Ok(generation) }
}

pub(crate) async fn delete_video(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<VideoId>,
) -> Result<Json<Deleted>, ApiError> {
    let generation = video(&app, &caller, id).await?;
    app.store.delete_generation(caller.project.id, id, app.now()).await?;
    app.worker_signal.cancel_asked();
    forget_reference(&app, &generation).await?;
    Ok(Json(Deleted::new(id, "video.deleted")))
}

/// The most clips of the trash that one call of [`purge_videos`] deletes.
pub(crate) const PURGED_AT_ONCE: u32 = 100;

/// Deletes for good what is to go of the trash, as [`delete_video`] does; says how many that were.
pub(crate) async fn purge_videos(app: &App, discarded: Discarded<'_>) -> Result<usize, StoreError> {
    let gone = app.store.purge(discarded, PURGED_AT_ONCE, app.now()).await?;
    for generation in &gone {
        forget_reference(app, generation).await?;
    }
    Ok(gone.len())
}

/// Deletes the first frame or clip that came with a deleted video, unless a sibling was made from it too; a file that was uploaded
/// by itself stays.
async fn forget_reference(app: &App, generation: &Generation) -> Result<(), StoreError> {
    let (store, project) = (&app.store, generation.project);
    let id = match generation.kind {
        GenerationKind::Create { first_frame: Some(file), .. }
        | GenerationKind::Edit { source: ClipSource::File(file) }
        | GenerationKind::Extension { source: ClipSource::File(file), .. } => file,
        _ => return Ok(()),
    };
    let forgotten = match store.file(project, id).await {
        Ok(file) if file.purpose == REFERENCE_PURPOSE && !store.file_is_used(project, id).await? => {
            store.delete_file(project, id, app.now()).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    // Somebody else may have been faster.
    if matches!(forgotten, Err(StoreError::NotFound(_))) { Ok(()) } else { forgotten }
}

pub(crate) async fn cancel_video(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<VideoId>,
) -> Result<Json<Video>, ApiError> {
    video(&app, &caller, id).await?;
    match app.store.cancel(caller.project.id, id, app.now()).await? {
        Cancellation::Requested => app.worker_signal.cancel_asked(),
        Cancellation::Cancelled | Cancellation::AlreadyEnded => {}
    }
    Ok(Json(Video::from(&video(&app, &caller, id).await?)))
}

pub(crate) async fn quote_video(
    State(app): State<App>,
    caller: KeyCaller,
    form: Form,
) -> Result<Json<Quote>, ApiError> {
    form.knows(&CREATION_FIELDS)?;
    let (parameters, offer) = match Film::read(&app, &form)? {
        Some(film) => film.would_be(&app, caller.project.owner).await?,
        None => {
            let (parameters, offer) = read_parameters(&app, &form)?;
            would_refuse(&app, caller.project.owner, parameters.prompt.as_str()).await?;
            (parameters, offer)
        }
    };
    caller.tell_of(app.model_sunset(&offer.name));
    let project = caller.project.id;
    let clips = parameters.n.get();
    let each = offer.rate.quote(parameters.size, parameters.seconds);
    let price = platform::Credits::from_micros(each.micros().saturating_mul(i64::from(clips)));
    let balance = app.store.balance(project).await?;
    let available = platform::Credits::from_micros(balance.balance.micros() - balance.held.micros());
    let tier = app.store.tier(&caller.project.tier).await?;
    let usage = app.store.project_usage(project, app.now()).await?;
    let within = tier.quotas.check(usage, &parameters).is_ok();
    Ok(Json(Quote {
        object: "video.quote",
        model: parameters.model.to_string(),
        size: parameters.size.to_string(),
        seconds: parameters.seconds.to_string(),
        n: clips,
        price: price.to_string(),
        available: available.to_string(),
        acceptable: caller.active().is_ok() && within && (!tier.metered || available >= price),
        queue_ahead: app.store.queue_place(project, &offer.name).await?.ahead,
    }))
}
