//! Pictures: the first frame of a clip that nobody makes to its end. The request waits for a worker, for a while.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use media::{PictureLimits, encode_jpeg, encode_png, encode_webp, read_picture};
use platform::{
    GenerationKind, GenerationState, ModelName, Parameters, ProjectId, Prompt, Scope, Seconds, Service, Size, VideoId,
};
use provenance::{Action, Provenance, TrustedRoots, sign_picture, verify};
use serde::Serialize;
use store::Generation;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::content::likenesses_stand;
use crate::http::creation::{Creation, accept, mentioned, read_words, refuse_prompt};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::videos::idempotency;

const MAKE: Access = Access::Key(Scope::VideosWrite, Needs::Active(Service::Video));

/// How often the queue is asked whether the picture is there.
const LOOK: Duration = Duration::from_millis(100);
/// Sides of a picture, in pixels.
const SIDES: std::ops::RangeInclusive<u16> = 64..=2048;
const DEFAULT_SIZE: Size = Size::new(1024, 1024);

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/images/generations", MAKE, create_image)
            .says(
                "Makes pictures from a prompt and waits for them. They carry signed Content Credentials, as videos do.",
            )
            .reads::<CreateImage>(BodyKind::JsonOrForm)
            .once()
            .answers::<Images>(),
    ]
}

/// What the API's fields are, those that are taken and passed over among them.
const FIELDS: [&str; 21] = [
    "prompt",
    "model",
    "n",
    "size",
    "output_format",
    "output_compression",
    "response_format",
    "seed",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "candidates",
    "stream",
    "quality",
    "background",
    "moderation",
    "style",
    "user",
    "partial_images",
    "input_fidelity",
    "metadata",
];

/// What a picture shall show. Other fields of the API are taken and passed over.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateImage {
    /// What it shows, 1 to 32,000 characters.
    #[schema(min_length = 1, max_length = 32_000)]
    prompt: String,
    /// A model of videos, whose frames these are; the default one if the name is not known here.
    model: Option<String>,
    /// How many, 1 to 10.
    #[schema(minimum = 1, maximum = 10)]
    n: Option<u32>,
    /// `auto` or `WIDTHxHEIGHT`, sides of 64 to 2,048.
    size: Option<String>,
    /// `png`, `jpeg` or `webp`.
    output_format: Option<String>,
    /// 0 to 100, for jpeg and webp.
    output_compression: Option<u8>,
    /// Answers always carry `b64_json`.
    response_format: Option<String>,
    /// The seed of the first.
    seed: Option<u64>,
}

/// Pictures.
#[derive(Serialize, ToSchema)]
pub(crate) struct Images {
    /// Unix seconds.
    created: i64,
    /// The pictures.
    data: Vec<Image>,
    /// What they are.
    output_format: &'static str,
    /// Sides.
    size: String,
}

/// A picture.
#[derive(Serialize, ToSchema)]
pub(crate) struct Image {
    /// Its bytes.
    b64_json: String,
}

#[derive(Clone, Copy)]
enum Format {
    Png,
    Jpeg(u8),
    Webp(u8),
}

async fn create_image(
    State(app): State<App>,
    caller: KeyCaller,
    uri: Uri,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Images>, ApiError> {
    let member = caller.active()?;
    form.knows(&FIELDS)?;
    let idempotency = idempotency(&headers, uri.path(), &form)?;
    refuse_prompt(&app, caller.project.id, Prompt::parse(form.text("prompt")?)?.as_str()).await?;
    let (mut creation, format) = read_image(&app, &form)?;
    let named = mentioned(&app, caller.project.owner, creation.parameters.prompt.as_str()).await?;
    creation.likenesses = named.likenesses;
    let size = creation.parameters.size;
    // A task of its own: it tidies up even if whoever asked hangs up.
    let work = {
        let app = app.clone();
        async move {
            let project = caller.project.id;
            // Pictures are kept only for whoever may ask for the same again: housekeeping takes them away with the key.
            let again = idempotency.is_some();
            caller.tell_of(app.model_sunset(&creation.model));
            let generations = accept(&app, member, project, creation, idempotency, None).await?;
            let ids: Vec<_> = generations.iter().map(|generation| generation.id).collect();
            if ids.is_empty() {
                // The same request was accepted before, and its pictures are gone.
                return Err(ApiError::not_found("picture"));
            }
            let made = wait(&app, project, &ids, again).await;
            if !again {
                for id in &ids {
                    app.store.delete_generation(project, *id, app.now()).await?;
                }
            }
            made
        }
    };
    let made = tokio::spawn(work).await.map_err(|error| ApiError::internal(&error))?;
    let (mut created, mut data) = (None, Vec::new());
    for still in made? {
        created.get_or_insert(still.generation.created_at);
        let bytes = signed(&app, still, format).await?;
        data.push(Image { b64_json: STANDARD.encode(bytes) });
    }
    let output_format = match format {
        Format::Png => "png",
        Format::Jpeg(_) => "jpeg",
        Format::Webp(_) => "webp",
    };
    let created = created.unwrap_or_else(|| app.now()).seconds();
    Ok(Json(Images { created, data, output_format, size: size.to_string() }))
}

fn read_image(app: &App, form: &Form) -> Result<(Creation, Format), ApiError> {
    let catalogue = app.catalogue();
    let words = read_words(form)?;
    // Clients send the names of picture models, which nobody has here.
    let known = words.model.filter(|name| catalogue.resolve(Some(name)).is_ok());
    let (model, offer) = match catalogue.resolve(known) {
        Ok(found) => found,
        Err(refusal) => match catalogue.names().next().cloned() {
            Some(first) => catalogue.resolve(Some(first.as_str()))?,
            None => return Err(refusal.into()),
        },
    };
    let size = match form.text("size")? {
        None | Some("auto") => DEFAULT_SIZE,
        Some(text) => Size::parse(text)
            .filter(|size| SIDES.contains(&size.width()) && SIDES.contains(&size.height()))
            .ok_or_else(|| {
                ApiError::invalid("size", "'size' must be auto or WIDTHxHEIGHT with sides of 64 to 2048.")
            })?,
    };
    let quality = form.whole("output_compression", 0, 100)?.map_or(90, |quality| quality.max(1) as u8);
    let format = match form.text("output_format")? {
        None | Some("png") => Format::Png,
        Some("jpeg") => Format::Jpeg(quality),
        Some("webp") => Format::Webp(quality),
        Some(_) => return Err(ApiError::invalid("output_format", "'output_format' must be png, jpeg or webp.")),
    };
    if form.flag("stream")?.unwrap_or(false) {
        return Err(ApiError::invalid("stream", "Pictures are not streamed here."));
    }
    let model: ModelName = model;
    let parameters = Parameters::of_source(&words, model, size, Seconds::STILL)?;
    let price = offer.rate.quote(size, Seconds::STILL);
    let (kind, model) = (GenerationKind::Image, offer.name.clone());
    Ok((
        Creation { parameters, kind, model, total_seconds: Seconds::STILL, price, kept: None, likenesses: Vec::new() },
        format,
    ))
}

/// A picture as the worker made it.
struct Still {
    generation: Generation,
    /// The signed clip of one frame, whose manifest says what is known of it.
    clip: Bytes,
    png: Bytes,
}

/// Waits until all are made.
async fn wait(app: &App, project: ProjectId, ids: &[VideoId], again: bool) -> Result<Vec<Still>, ApiError> {
    let began = app.now();
    loop {
        let mut generations = Vec::new();
        for id in ids {
            generations.push(app.store.generation(project, *id).await?);
        }
        if let Some(failed) = generations.iter().find(|generation| ended_without(generation)) {
            let words = failed.error.as_ref().map_or("it was cancelled", |error| error.message.as_str());
            return Err(ApiError::bad_request(format!("The picture could not be made: {words}")));
        }
        if generations.iter().all(|generation| generation.state == GenerationState::Completed) {
            let mut stills = Vec::new();
            for generation in generations {
                // They were asked when it was made; a repeated request shows it anew.
                likenesses_stand(app, generation.id, generation.identity).await?;
                let video = generation.video.as_ref();
                let keys = video.and_then(|video| Some((&video.key, video.thumbnail.as_ref()?)));
                let (clip, png) =
                    keys.ok_or_else(|| ApiError::internal(&"a picture was published without its picture"))?;
                let (clip, png) = (app.objects.get_all(clip).await?, app.objects.get_all(png).await?);
                stills.push(Still { generation, clip, png });
            }
            return Ok(stills);
        }
        if app.now().since(began) >= app.settings.picture_wait {
            return Err(ApiError::unavailable(match again {
                true => "No worker made the picture in time. Ask again with the same Idempotency-Key.",
                false => "No worker made the picture in time. Nothing was charged.",
            }));
        }
        app.clock.sleep(LOOK).await;
    }
}

fn ended_without(generation: &Generation) -> bool {
    matches!(generation.state, GenerationState::Failed | GenerationState::Cancelled)
}

/// The picture in the format that was asked for, signed. What its manifest says is what the worker's says.
async fn signed(app: &App, still: Still, format: Format) -> Result<Vec<u8>, ApiError> {
    let key = app.signing_key.clone();
    let work = move || {
        let frame = read_picture(&still.png, &PictureLimits::default()).map_err(|error| ApiError::internal(&error))?;
        let bytes = match format {
            Format::Png => encode_png(&frame),
            Format::Jpeg(quality) => encode_jpeg(&frame, quality),
            Format::Webp(quality) => encode_webp(&frame, quality),
        };
        let bytes = bytes.map_err(|error| ApiError::internal(&error))?;
        let report = verify(&still.clip, &TrustedRoots::installation(&key));
        let unsigned = || ApiError::internal(&"a picture's clip does not say how it was made");
        let made_at = still.generation.ended_at.unwrap_or(still.generation.created_at).seconds();
        let facts = Provenance {
            title: report.title.unwrap_or_default(),
            action: Action::Created,
            software_agent: report.software_agent.ok_or_else(unsigned)?,
            model: report.model.ok_or_else(unsigned)?,
            recipe: report.recipe.unwrap_or_default(),
            training: report.training.unwrap_or_default(),
            when: OffsetDateTime::from_unix_timestamp(made_at).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            visible_mark: report.visible_mark.unwrap_or_default(),
            parent: None,
            placed: Vec::new(),
        };
        let signed = sign_picture(&bytes, &facts, &key).map_err(|error| ApiError::internal(&error))?;
        Ok(signed.into_bytes())
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}
