//! Videos that start from a clip: remix, edit, extension, a part of it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use platform::{
    ClipSource, Credits, Cut, ExtensionDirection, FileId, GenerationKind, GenerationState, LikenessId, ModelName,
    Offer, Parameters, Seconds, Size, VideoId, Words, extended,
};
use serde::Serialize;
use store::Generation;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::http::auth::KeyCaller;
use crate::http::creation::{
    Creation, REFERENCE_PURPOSE, keep_file, mentioned, read_words, refuse_prompt, refuse_remix, shown,
};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form, Upload};
use crate::http::page::Id;
use crate::http::upload::clean_clip;
use crate::http::videos::{MAKE, Made, idempotency, make, object_or_file, video};
use crate::recognise::{self, likenesses_in};

/// Every field that these may have. Size and length of a remix and an edit follow the source, whatever is said.
const FIELDS: [&str; 17] = [
    "prompt",
    "video",
    "seconds",
    "direction",
    "model",
    "seed",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "candidates",
    "size",
    "user",
    "metadata",
    "safety_identifier",
    // Named so that an extension can say why it refuses them.
    "input_reference",
    "characters",
    "character_ids",
];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/videos/{id}/remix", MAKE, remix_video)
            .says("Makes a video from another one's recipe, with a new prompt.")
            .reads::<Remix>(BodyKind::JsonOrForm)
            .once()
            .answers::<Made>(),
        post("/v1/videos/edits", MAKE, edit_video)
            .says("Makes a changed copy of a video, made here or uploaded.")
            .reads::<Edit>(BodyKind::JsonOrForm)
            .once()
            .answers::<Made>(),
        post("/v1/videos/extensions", MAKE, extend_video)
            .says("Goes on from the end of a video, leads up to it, or back to its beginning; the answer is one stitched clip.")
            .reads::<Extension>(BodyKind::JsonOrForm)
            .once()
            .answers::<Made>(),
        post("/v1/videos/{id}/trim", MAKE, trim_video)
            .says("Cuts a part out of a video, to the frame, as a video of its own. It costs nothing.")
            .reads::<Trim>(BodyKind::JsonOrForm)
            .once()
            .answers::<Made>(),
    ]
}

/// A remix.
#[derive(Serialize, ToSchema)]
pub(crate) struct Remix {
    /// What it shows now, 1 to 32,000 characters.
    #[schema(min_length = 1, max_length = 32_000)]
    prompt: String,
    #[serde(flatten)]
    recipe: Recipe,
}

/// What any new clip of a clip may say. What it does not say is as at a creation, not as it was in the source.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recipe {
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
    /// As at a creation; what starts from a clip has no choice.
    #[schema(minimum = 1, maximum = 8)]
    candidates: Option<u32>,
}

/// An edit.
#[derive(Serialize, ToSchema)]
pub(crate) struct Edit {
    /// What changes, 1 to 32,000 characters.
    #[schema(min_length = 1, max_length = 32_000)]
    prompt: String,
    /// The clip: an object with `id`, or an MP4 as a file of a form.
    #[schema(schema_with = video_or_file)]
    video: VideoRef,
    /// For an uploaded clip.
    model: Option<String>,
    #[serde(flatten)]
    recipe: Recipe,
}

/// An extension.
#[derive(Serialize, ToSchema)]
pub(crate) struct Extension {
    /// What happens next, 1 to 32,000 characters.
    #[schema(min_length = 1, max_length = 32_000)]
    prompt: String,
    /// The length of the new part.
    seconds: String,
    /// Where the new part is: `after` the clip, which is the default, `before` it, or from its end back to its beginning, `loop`.
    #[schema(schema_with = direction)]
    direction: Option<String>,
    /// The clip: an object with `id`, or an MP4 as a file of a form.
    #[schema(schema_with = video_or_file)]
    video: VideoRef,
    /// For an uploaded clip.
    model: Option<String>,
    #[serde(flatten)]
    recipe: Recipe,
}

/// A part of a video.
#[derive(Serialize, ToSchema)]
pub(crate) struct Trim {
    /// Where the part begins, in seconds; with the video if it is not said.
    #[schema(minimum = 0)]
    start: Option<f64>,
    /// Where the part ends, in seconds; with the video if it is not said.
    #[schema(minimum = 0)]
    end: Option<f64>,
}

fn direction() -> Schema {
    let words = ExtensionDirection::ALL.map(ExtensionDirection::as_str);
    let about = "Where the new part is: after the clip, which is the default, before it, or from its end back to its beginning.";
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).description(Some(about)).build().into()
}

fn video_or_file() -> Schema {
    object_or_file(VideoRef::schema(), "The clip: an object with id, or an MP4 as a file of a form.")
}

/// A video made here.
#[derive(Serialize, ToSchema)]
pub(crate) struct VideoRef {
    /// Its id.
    id: String,
}

/// What a clip that work starts from says about the work.
struct Source {
    clip: ClipSource,
    model_requested: ModelName,
    offer: Offer,
    size: Size,
    seconds: Seconds,
    depth: u32,
    kept: Option<FileId>,
    /// Who appears in it, as far as it is known again; of a video made here the store finds them.
    likenesses: Vec<LikenessId>,
}

pub(crate) async fn remix_video(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<VideoId>,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Made>, ApiError> {
    let member = caller.active()?;
    form.knows(&FIELDS)?;
    let idempotency = idempotency(&headers, uri.path(), &form)?;
    let generation = finished(video(&app, &caller, id).await?)?;
    refuse_remix(&app, caller.project.id, &generation.prompt).await?;
    let source = source_of(&app, generation)?;
    let creation = creation(&app, &caller, &form, source, GenerationKind::Remix { source: id }).await?;
    make(&app, member, &caller, creation, idempotency).await
}

/// Makes a remix of a clip that someone shows and lets others remix, whosever project it is of; whoever calls this has asked.
pub(crate) async fn remix_shown(
    app: &App,
    caller: &KeyCaller,
    generation: Generation,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Json<Made>, ApiError> {
    let member = caller.active()?;
    let idempotency = idempotency(headers, "/make", form)?;
    let id = generation.id;
    refuse_remix(app, caller.project.id, &generation.prompt).await?;
    let source = source_of(app, finished(generation)?)?;
    let creation = creation(app, caller, form, source, GenerationKind::Remix { source: id }).await?;
    make(app, member, caller, creation, idempotency).await
}

pub(crate) async fn edit_video(
    State(app): State<App>,
    caller: KeyCaller,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Made>, ApiError> {
    let member = caller.active()?;
    form.knows(&FIELDS)?;
    let idempotency = idempotency(&headers, uri.path(), &form)?;
    check_prompt(&app, &caller, &form).await?;
    let source = read_source(&app, &caller, &form).await?;
    let kind = GenerationKind::Edit { source: source.clip };
    let creation = creation(&app, &caller, &form, source, kind).await?;
    make(&app, member, &caller, creation, idempotency).await
}

pub(crate) async fn extend_video(
    State(app): State<App>,
    caller: KeyCaller,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Made>, ApiError> {
    let member = caller.active()?;
    form.knows(&FIELDS)?;
    let idempotency = idempotency(&headers, uri.path(), &form)?;
    check_prompt(&app, &caller, &form).await?;
    if let Some((name, _)) = form.first(&["input_reference", "characters", "character_ids"]) {
        return Err(ApiError::invalid(name, "An extension takes neither characters nor references."));
    }
    let added = form.number("seconds")?.ok_or_else(|| ApiError::missing("seconds"))?;
    let source = read_source(&app, &caller, &form).await?;
    let decided = source.offer.seconds(added).map_err(ApiError::from).and_then(|added| {
        let (total, depth) = extended(source.seconds, source.depth, added)?;
        Ok((added, total, depth, ExtensionDirection::parse(form.text("direction")?)?))
    });
    let (added, total, depth, direction) = match decided {
        Ok(decided) => decided,
        Err(error) => return Err(forget(&app, &caller, source.kept, error).await),
    };
    let kind = GenerationKind::Extension { source: source.clip, direction, depth };
    let mut creation = creation(&app, &caller, &form, Source { seconds: added, ..source }, kind).await?;
    creation.total_seconds = total;
    make(&app, member, &caller, creation, idempotency).await
}

pub(crate) async fn trim_video(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<VideoId>,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Made>, ApiError> {
    let member = caller.active()?;
    form.knows(&["start", "end", "user", "metadata"])?;
    let idempotency = idempotency(&headers, uri.path(), &form)?;
    let source = finished(video(&app, &caller, id).await?)?;
    let cut = Cut::parse(form.number("start")?, form.number("end")?, length_ms(&source))?;
    let words = Words { prompt: Some(&source.prompt), ..Words::default() };
    // Its recipe is that of the whole; nothing is drawn, so no second of video is counted.
    let parameters = Parameters {
        seed: Some(source.seed),
        negative_prompt: source.negative_prompt,
        num_inference_steps: source.num_inference_steps,
        guidance_scale: source.guidance_scale,
        candidates: source.candidates,
        ..Parameters::of_source(&words, source.model_requested, source.size, Seconds::STILL)?
    };
    let creation = Creation {
        parameters,
        kind: GenerationKind::Trim { source: id, cut },
        model: source.model,
        total_seconds: cut.seconds(),
        price: Credits::ZERO,
        kept: None,
        // Whoever appears in the source is found by the store.
        likenesses: Vec::new(),
    };
    make(&app, member, &caller, creation, idempotency).await
}

/// How long a clip is, in milliseconds: of a part as it was cut, of an edited upload as much as it may be.
pub(crate) fn length_ms(generation: &Generation) -> u32 {
    let seconds = generation.total_seconds.get() * 1000;
    match generation.kind {
        GenerationKind::Trim { cut, .. } => cut.length_ms(),
        GenerationKind::Edit { source: ClipSource::File(_) } => seconds + 500,
        _ => seconds,
    }
}

/// Refuses a prompt before a clip is uploaded and kept for it.
async fn check_prompt(app: &App, caller: &KeyCaller, form: &Form) -> Result<(), ApiError> {
    let prompt = platform::Prompt::parse(form.text("prompt")?)?;
    refuse_prompt(app, caller.project.id, prompt.as_str()).await
}

/// What a form asks of a source; what was kept for it is forgotten if that cannot be.
async fn creation(
    app: &App,
    caller: &KeyCaller,
    form: &Form,
    source: Source,
    kind: GenerationKind,
) -> Result<Creation, ApiError> {
    let read = async {
        let parameters = parameters(app, caller, form, &source).await?;
        let named = mentioned(app, caller.project.owner, parameters.prompt.as_str()).await?;
        Ok::<_, ApiError>((parameters, named.likenesses))
    };
    match read.await {
        Ok((parameters, named)) => Ok(Creation {
            parameters,
            likenesses: named.into_iter().chain(source.likenesses).collect(),
            kind,
            price: source.offer.rate.quote(source.size, source.seconds),
            model: source.offer.name,
            total_seconds: source.seconds,
            kept: source.kept,
        }),
        Err(error) => Err(forget(app, caller, source.kept, error).await),
    }
}

async fn parameters(app: &App, caller: &KeyCaller, form: &Form, source: &Source) -> Result<Parameters, ApiError> {
    let words = Words { n: None, ..read_words(form)? };
    let parameters = Parameters::of_source(&words, source.model_requested.clone(), source.size, source.seconds)?;
    refuse_prompt(app, caller.project.id, parameters.prompt.as_str()).await?;
    Ok(parameters)
}

/// The clip in `video`: `{"id"}`, an id, or a file.
async fn read_source(app: &App, caller: &KeyCaller, form: &Form) -> Result<Source, ApiError> {
    let field = form.field("video").ok_or_else(|| ApiError::missing("video"))?;
    let id = match field.unfolded() {
        Field::File(upload) => return uploaded(app, caller, form, upload).await,
        Field::Text(id) => id,
        Field::Object(object) => object.needed_text("id").map_err(|error| error.about("video"))?.to_owned(),
        _ => return Err(ApiError::wrong_type("video", "a file or an object with id")),
    };
    let id: VideoId = id.parse().map_err(|_| ApiError::not_found(&format!("video {:?}", shown(&id))).about("video"))?;
    let generation = video(app, caller, id).await.map_err(|error| error.about("video"))?;
    source_of(app, finished(generation)?)
}

/// Refuses a source whose clip is not there.
fn finished(generation: Generation) -> Result<Generation, ApiError> {
    match generation.state {
        GenerationState::Completed if generation.video.is_some() => Ok(generation),
        GenerationState::Completed => Err(ApiError::state("This video has expired.").about("video")),
        state => {
            let message = format!("This video is {}: wait until it is completed.", state.api_word());
            Err(ApiError::state(message).about("video"))
        }
    }
}

fn source_of(app: &App, generation: Generation) -> Result<Source, ApiError> {
    // The model that made it, even if the alias means another by now.
    let catalogue = app.catalogue();
    let (_, offer) = catalogue.resolve(Some(generation.model.as_str()))?;
    let depth = match generation.kind {
        GenerationKind::Extension { depth, .. } => depth,
        _ => 0,
    };
    Ok(Source {
        clip: ClipSource::Video(generation.id),
        model_requested: generation.model_requested,
        offer: offer.clone(),
        size: generation.size,
        seconds: generation.total_seconds,
        depth,
        kept: None,
        likenesses: Vec::new(),
    })
}

/// An uploaded clip, which says size and length itself.
async fn uploaded(app: &App, caller: &KeyCaller, form: &Form, upload: Upload) -> Result<Source, ApiError> {
    let catalogue = app.catalogue();
    let (model_requested, offer) = catalogue.resolve(form.text("model")?)?;
    let (bytes, info) = clean_clip(upload.bytes.clone(), "video").await?;
    let size = format!("{}x{}", info.size.width, info.size.height);
    let size = offer.size(&size).map_err(|refusal| ApiError::from(refusal).about("video"))?;
    let length_s = info.frame_count as f64 / info.frame_rate.as_f64();
    let seconds = Some(length_s.round()).filter(|seconds| (1.0..=120.0).contains(seconds));
    let seconds = seconds.and_then(|seconds| Seconds::new(seconds as u32)).ok_or_else(|| {
        ApiError::invalid("video", format!("The clip lasts {length_s:.1} seconds; 1 to 120 are allowed."))
    })?;
    let prompt = form.text("prompt")?.unwrap_or_default();
    let brought = recognise::Upload { bytes: [&upload.bytes, &bytes], picture: None, field: "video", prompt };
    let likenesses = likenesses_in(app, caller.project.owner, &brought).await?;
    let file = keep_file(app, caller.project.id, upload.filename, REFERENCE_PURPOSE, "video/mp4", bytes, None).await?;
    Ok(Source {
        clip: ClipSource::File(file.id),
        model_requested,
        offer: offer.clone(),
        size,
        seconds,
        depth: 0,
        kept: Some(file.id),
        likenesses,
    })
}

/// Deletes what was kept for a request that is refused.
async fn forget(app: &App, caller: &KeyCaller, kept: Option<FileId>, error: ApiError) -> ApiError {
    let Some(file) = kept else { return error };
    match app.store.delete_file(caller.project.id, file, app.now()).await {
        Ok(()) => error,
        Err(failure) => failure.into(),
    }
}
