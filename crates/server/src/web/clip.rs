//! One clip of one's own: how far it is, the clip, its recipe, and what can be done with it.

use askama::Template;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use platform::{
    GenerationKind, GenerationState, PostState, Service, Switches, TRASH_DAYS, TRASH_TIME, VideoId, Visibility,
};
use render::Recipe;
use store::Generation;

use crate::app::App;
use crate::http::auth::{KeyCaller, Person};
use crate::http::content::{Variant, send};
use crate::http::derived::{edit_video, extend_video, length_ms, trim_video};
use crate::http::error::ApiError;
use crate::http::events::Watch;
use crate::http::form::{Field, Form};
use crate::http::page::{Id, Values, path_id, path_texts};
use crate::http::videos::cancel_video;
use crate::web::guard::{Visitor, is_guards};
use crate::web::library::{Asked, FolderView, throw_away};
use crate::web::making::{Refused, count, idempotency, once};
use crate::web::post::{prompts, viewer, visibilities};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/clips/{id}", Viewer::Person, show_clip),
        get("/clips/{id}/events", Viewer::Person, stream_progress),
        get("/clips/{id}/media/{variant}", Viewer::Person, send_media),
        post("/clips/{id}/cancel", Viewer::Person, cancel_clip),
        post("/clips/{id}/delete", Viewer::Person, delete_clip),
        post("/clips/{id}/extend", Viewer::Person, extend_clip),
        post("/clips/{id}/edit", Viewer::Person, edit_clip),
        post("/clips/{id}/trim", Viewer::Person, trim_clip),
    ]
}

/// A clip as pages show it.
pub(super) struct ClipView {
    pub(super) id: String,
    pub(super) prompt: String,
    pub(super) state: &'static str,
    pub(super) state_words: &'static str,
    pub(super) size: String,
    pub(super) seconds: u32,
    pub(super) model: String,
    pub(super) created: Moment,
    pub(super) percent: u8,
    pub(super) progress_words: String,
    pub(super) ready: bool,
    pub(super) unfinished: bool,
    /// Why there is no clip.
    pub(super) error: Option<String>,
    /// The prompt's beginning, for what is said of the clip.
    pub(super) label: String,
    pub(super) favourite: bool,
    /// When it goes for good, if it lies in the trash.
    pub(super) goes: Option<Moment>,
    /// Whether its model has come to its end: it stays, and cannot be made again.
    pub(super) legacy: bool,
}

impl ClipView {
    pub(super) fn new(app: &App, words: &Words, generation: &Generation) -> Self {
        let ready = generation.video.is_some();
        let state = match generation.state {
            GenerationState::Completed if !ready => "expired",
            state => state.as_str(),
        };
        Self {
            id: generation.id.to_string(),
            prompt: generation.prompt.clone(),
            state,
            state_words: words.say(&format!("state.{state}")),
            size: generation.size.to_string(),
            seconds: generation.total_seconds.get(),
            model: generation.model.to_string(),
            created: Moment::of(generation.created_at),
            percent: generation.progress.percent(),
            progress_words: stage(words, generation),
            ready,
            unfinished: !generation.state.is_final(),
            error: generation.error.as_ref().map(|error| {
                let known = words.say(&format!("error.{}", error.code.as_str()));
                if known == "…" { error.message.clone() } else { known.to_owned() }
            }),
            label: generation.prompt.chars().take(60).collect(),
            favourite: generation.favourite,
            goes: generation.trashed_at.map(|at| Moment::of(at + TRASH_TIME)),
            legacy: app.is_retired(&generation.model),
        }
    }

    /// The same, with the place in the queue while it waits.
    pub(super) async fn with_queue(app: &App, words: &Words, generation: &Generation) -> Result<Self, ApiError> {
        let mut view = Self::new(app, words, generation);
        view.progress_words = progress(app, words, generation).await?;
        Ok(view)
    }
}

/// What is being done, from the percentage: reading, sampling, drawing and signing have their parts of it.
fn stage(words: &Words, generation: &Generation) -> String {
    let key = match (generation.state, generation.progress.percent()) {
        (GenerationState::Queued, _) => "stage.queued",
        (GenerationState::InProgress, ..98) if matches!(generation.kind, GenerationKind::Film { .. }) => "stage.film",
        (GenerationState::InProgress, ..2) => "stage.reading",
        (GenerationState::InProgress, ..50) => "stage.sampling",
        (GenerationState::InProgress, ..98) => "stage.drawing",
        (GenerationState::InProgress, _) => "stage.signing",
        _ => return String::new(),
    };
    words.say(key).to_owned()
}

/// Stage, and how long it will take if that can be told, or how many go before it.
async fn progress(app: &App, words: &Words, generation: &Generation) -> Result<String, ApiError> {
    let stage = stage(words, generation);
    let percent = u64::from(generation.progress.percent());
    match (generation.state, generation.started_at) {
        (GenerationState::Queued, _) => {
            let place = app.store.queue_place(generation.project, &generation.model).await?;
            Ok(match place.ahead.saturating_sub(1) {
                0 => stage,
                ahead => format!("{stage} · {}", words.fill("quote.ahead", &[&ahead])),
            })
        }
        (GenerationState::InProgress, Some(started)) if percent >= 4 => {
            let elapsed = app.now().since(started).as_secs();
            let left = (elapsed * (100 - percent)).div_ceil(percent);
            Ok(if left > 0 { format!("{stage} · {}", words.fill("stage.left", &[&left])) } else { stage })
        }
        _ => Ok(stage),
    }
}

/// A clip of the person's own that they keep. Others', and those in the trash, are as good as none.
pub(super) async fn own(app: &App, person: &Person, id: VideoId) -> Result<Generation, ApiError> {
    let generation = own_or_trashed(app, person, id).await?;
    if generation.trashed_at.is_none() { Ok(generation) } else { Err(ApiError::not_found("clip")) }
}

/// A clip of the person's own, in the trash too: it is looked at there.
async fn own_or_trashed(app: &App, person: &Person, id: VideoId) -> Result<Generation, ApiError> {
    person.membership(Service::Video).readable()?;
    let generation = app.store.any_generation(id).await?;
    if generation.identity == person.identity() && generation.kind != GenerationKind::Image {
        return Ok(generation);
    }
    Err(ApiError::not_found("clip"))
}

/// The person as whoever works in the clip's project.
pub(super) async fn caller_of(app: &App, person: &Person, generation: &Generation) -> Result<KeyCaller, ApiError> {
    let project = app.store.project(generation.project).await?;
    if project.owner == person.identity() {
        Ok(person.caller(project, Service::Video))
    } else {
        Err(ApiError::not_found("clip"))
    }
}

#[derive(Template)]
#[template(path = "clip.html")]
struct ClipPage {
    shell: Shell,
    clip: ClipView,
    recipe: Vec<(String, String)>,
    seed: u64,
    /// Whether it is a film, which has a storyboard.
    film: bool,
    source: Option<String>,
    /// The clip's length in seconds.
    length: f64,
    lengths: Vec<u32>,
    once: String,
    refused: Option<Refused>,
    /// Whether there is a profile to publish under.
    profile: bool,
    /// Where it is shown, if it is.
    posted: Option<String>,
    /// Where it would be, if it is withheld: its author reads there why.
    withheld: Option<String>,
    caption: String,
    visibilities: Vec<(&'static str, &'static str, bool)>,
    prompts: Vec<(&'static str, &'static str, bool)>,
    switches: Switches,
    folders: Vec<FolderView>,
    /// How long the trash keeps what is put there.
    days: u64,
}

async fn clip_page(
    app: &App,
    visitor: &Visitor,
    generation: &Generation,
    refused: Option<Refused>,
) -> Result<ClipPage, ApiError> {
    let catalogue = app.catalogue();
    let lengths = catalogue.resolve(Some(generation.model.as_str())).map(|(_, offer)| offer.lengths().to_vec());
    let title: String = generation.prompt.chars().take(60).collect();
    let looks = viewer(visitor);
    let profile = match looks.identity() {
        Some(me) => app.store.profile_of(looks, me).await.is_ok(),
        None => false,
    };
    let social = visitor.person.as_ref().map(|person| person.membership(Service::Social).active());
    let post = match social {
        Some(Ok(member)) => app.store.post_of_video(member, generation.id).await.ok(),
        _ => None,
    };
    let in_state = |state| post.as_ref().filter(|post| post.facts.state == state).map(|post| format!("/p/{}", post.id));
    let (posted, withheld) = (in_state(PostState::Published), in_state(PostState::Withheld));
    let visibility = post.as_ref().map_or(Visibility::Public, |post| post.facts.visibility);
    let folders = app.store.folders(generation.identity).await?;
    let switches = post.as_ref().map_or_else(Switches::default, |post| post.facts.switches);
    Ok(ClipPage {
        shell: Shell::titled(app, visitor, title, Here::Library),
        clip: ClipView::with_queue(app, visitor.words, generation).await?,
        recipe: recipe(generation),
        seed: generation.seed,
        film: matches!(generation.kind, GenerationKind::Film { .. }),
        source: generation.kind.source_video().map(|source| source.to_string()),
        length: f64::from(length_ms(generation)) / 1000.0,
        lengths: lengths.unwrap_or_default().iter().map(|length| length.get()).collect(),
        once: once(app),
        refused,
        profile,
        posted,
        withheld,
        caption: post.as_ref().map_or_else(String::new, |post| post.caption.as_str().to_owned()),
        visibilities: visibilities(visitor.words, visibility),
        prompts: prompts(visitor.words, switches.prompt),
        switches,
        folders: folders.iter().map(|folder| FolderView::new(folder, generation.folder)).collect(),
        days: TRASH_DAYS,
    })
}

/// The recipe's values, as the model kept them.
fn recipe(generation: &Generation) -> Vec<(String, String)> {
    let kept = generation.video.as_ref().and_then(|video| serde_json::from_str(&video.recipe).ok());
    let Some(serde_json::Value::Object(mut fields)) = kept else { return Vec::new() };
    // The shots of a film each have one of their own.
    if let Some(serde_json::Value::Array(shots)) = fields.remove("shots") {
        fields.remove("storyboard");
        let shots = shots.into_iter().filter_map(|shot| serde_json::from_value::<Recipe>(shot).ok());
        fields.extend(shots.enumerate().map(|(index, shot)| {
            let Recipe { seconds, source, seed, num_inference_steps, prompt, .. } = shot;
            let told = format!("{seconds} s, {source}, seed {seed}, {num_inference_steps} steps: {prompt}");
            (format!("shot {}", index + 1), told.into())
        }));
    }
    let show = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        value => value.to_string(),
    };
    let filled = fields.into_iter().filter(|(_, value)| !value.is_null() && *value != "");
    filled.map(|(name, value)| (name.replace('_', " "), show(value))).collect()
}

async fn show_clip(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<VideoId>,
) -> Result<Response, ApiError> {
    let generation = own(&app, &person, id).await?;
    Ok(html(&clip_page(&app, &visitor, &generation, None).await?))
}

/// How far the clip is, at every change: percentage, words, and whether it has ended.
async fn stream_progress(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<VideoId>,
) -> Result<Response, ApiError> {
    let generation = own(&app, &person, id).await?;
    let caller = caller_of(&app, &person, &generation).await?;
    let words = visitor.words;
    let show = move |app: App, now: Generation| async move {
        let body = serde_json::json!({
            "percent": now.progress.percent(),
            "words": progress(&app, words, &now).await.ok()?,
            "state": now.state.as_str(),
            "ended": now.state.is_final(),
        });
        Event::default().event("progress").json_data(body).ok()
    };
    Ok(Watch::begin(app, caller, id).await?.stream(show).into_response())
}

/// An id and a word.
pub(super) struct IdAndWord<T>(pub(super) T, pub(super) String);

impl<S: Send + Sync, T: crate::http::page::PathId> FromRequestParts<S> for IdAndWord<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut texts = path_texts(parts, state).await.into_iter();
        let id = path_id(&texts.next().unwrap_or_default())?;
        Ok(Self(id, texts.next().unwrap_or_default()))
    }
}

async fn send_media(
    State(app): State<App>,
    person: Person,
    IdAndWord(id, word): IdAndWord<VideoId>,
    values: Values,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let generation = own_or_trashed(&app, &person, id).await?;
    let variant = Variant::from_word(&word).ok_or_else(|| ApiError::not_found("clip"))?;
    let mut response = send(&app, &generation, variant, &headers).await?;
    if values.get("download").is_some() {
        as_attachment(&mut response, &generation.prompt);
    }
    Ok(response)
}

/// Makes a browser keep a clip under a name that says what it shows.
pub(super) fn as_attachment(response: &mut Response, text: &str) {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: Vec<_> = words.take(8).map(str::to_lowercase).collect();
    let name = if name.is_empty() { "clip".to_owned() } else { name.join("-") };
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.mp4\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
}

async fn cancel_clip(State(app): State<App>, person: Person, Id(id): Id<VideoId>) -> Result<Response, ApiError> {
    let generation = own(&app, &person, id).await?;
    let caller = caller_of(&app, &person, &generation).await?;
    let Json(_) = cancel_video(State(app), caller, Id(id)).await?;
    Ok(go(&format!("/clips/{id}")))
}

/// Puts the clip into the trash; from there it can be taken back for a while.
async fn delete_clip(State(app): State<App>, person: Person, Id(id): Id<VideoId>) -> Result<Response, ApiError> {
    own(&app, &person, id).await?;
    throw_away(&app, &person, &[id], &Asked::default()).await
}

async fn extend_clip(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<VideoId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    derive(&app, &visitor, &person, id, form, Derived::Extension).await
}

async fn edit_clip(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<VideoId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    derive(&app, &visitor, &person, id, form, Derived::Edit).await
}

async fn trim_clip(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<VideoId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    derive(&app, &visitor, &person, id, form, Derived::Part).await
}

/// What is made of a clip.
enum Derived {
    Extension,
    Edit,
    Part,
}

/// Makes a clip from a clip, or shows why not.
async fn derive(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    id: VideoId,
    mut form: Form,
    derived: Derived,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).active()?;
    let generation = own(app, person, id).await?;
    let caller = caller_of(app, person, &generation).await?;
    count(app, &caller.project).await?;
    let headers = idempotency(&mut form);
    if !matches!(derived, Derived::Part) {
        form.set("video", Field::Text(id.to_string()));
    }
    let made = match derived {
        Derived::Extension => {
            extend_video(State(app.clone()), caller, Uri::from_static("/extend"), headers, form).await
        }
        Derived::Edit => edit_video(State(app.clone()), caller, Uri::from_static("/edit"), headers, form).await,
        Derived::Part => trim_video(State(app.clone()), caller, Id(id), Uri::from_static("/trim"), headers, form).await,
    };
    match made {
        Ok(made) => Ok(go(&format!("/clips/{}", made.0.video.id()))),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let refused = Some(Refused::new(visitor.words, &error));
            Ok(html_refused(&clip_page(app, visitor, &generation, refused).await?, &error))
        }
    }
}
