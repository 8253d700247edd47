//! The box in which clips are asked for, its price, and what becomes of a request.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use media::{PictureLimits, cover, encode_png, read_picture};
use platform::policy::{Finding, Sentence};
use platform::{Act, GenerationKind, Offer, PostAddress, ProjectId, Refusal, RefusalCode, Service, Size, hex, may};
use render::Reworded;
use store::{LibraryFilter, LibraryState, Post, Project, Shape};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::derived::remix_shown;
use crate::http::error::ApiError;
use crate::http::form::{Field, Form, Upload};
use crate::http::page::Values;
use crate::http::prompts::help;
use crate::http::videos::{create_video, quote_video};
use crate::prompt_help::{Helped, Helper};
use crate::web::clip::{ClipView, own};
use crate::web::guard::{Visitor, is_guards};
use crate::web::post::seen;
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post, wants_json};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/make", Viewer::Person, show_making),
        post("/make", Viewer::Person, make_clip).with_picture(),
        get("/make/quote", Viewer::Person, quote),
        post("/make/reword", Viewer::Person, reword).with_picture(),
    ]
}

/// Most clips of one request here.
const MOST_CLIPS: u32 = 4;
/// How many jobs that are under way are shown beside the box.
const SHOWN_JOBS: u32 = 8;

/// The box: what is chosen in it, and what can be.
pub(super) struct PromptBox {
    pub(super) prompt: String,
    pub(super) negative_prompt: String,
    pub(super) shape: String,
    pub(super) seconds: String,
    pub(super) model: String,
    pub(super) n: String,
    pub(super) seed: String,
    pub(super) candidates: String,
    pub(super) size: String,
    /// The post that it is a remix of, as addresses name it.
    pub(super) remix: String,
    pub(super) models: Vec<String>,
    pub(super) lengths: Vec<u32>,
    pub(super) shapes: Vec<&'static str>,
    pub(super) counts: Vec<u32>,
    /// Beginnings to choose from, and the word for it.
    pub(super) choices: [(&'static str, &'static str); 3],
    /// Makes a form count once, however often it is sent.
    pub(super) once: String,
    /// How to say it differently, from the model that knows.
    pub(super) starters: Vec<&'static str>,
    /// Whether somebody here says prompts again in the model's words.
    pub(super) helps: bool,
    /// What became of the prompt that was said again.
    pub(super) helped: Vec<String>,
}

/// Prompts that the built-in model understands well.
const STARTERS: [&str; 6] = [
    "a red boat sails right on the sea at dusk",
    "a yellow rocket moves up in the night sky, snow",
    "a black cat moves left in the meadow",
    "a white cloud moves right over the city at night",
    "a green fish swims right in the sea",
    "a purple balloon moves up in the desert",
];

impl PromptBox {
    /// The box as it is first seen.
    pub(super) fn empty(app: &App) -> Self {
        Self::of(app, |_| None)
    }

    /// The box with what was chosen before.
    fn of(app: &App, said: impl Fn(&str) -> Option<String>) -> Self {
        let catalogue = app.catalogue();
        // A model that has come to its end is not offered.
        let offers: Vec<_> = catalogue.offers().iter().filter(|offer| !app.is_retired(&offer.name)).collect();
        let lengths = offers.first().map(|offer| offer.lengths().iter().map(|length| length.get()).collect());
        let or = |name: &str, otherwise: &str| said(name).unwrap_or_else(|| otherwise.to_owned());
        Self {
            prompt: or("prompt", ""),
            negative_prompt: or("negative_prompt", ""),
            shape: or("shape", Shape::Portrait.as_str()),
            seconds: or("seconds", "4"),
            model: or("model", offers.first().map_or("", |offer| offer.name.as_str())),
            n: or("n", "1"),
            seed: or("seed", ""),
            candidates: or("candidates", ""),
            size: or("size", ""),
            remix: or("remix", ""),
            models: offers.iter().map(|offer| offer.name.to_string()).collect(),
            lengths: lengths.unwrap_or_default(),
            shapes: [Shape::Portrait, Shape::Landscape, Shape::Square].map(Shape::as_str).into(),
            counts: (1..=MOST_CLIPS).collect(),
            choices: [("", "ask.candidates_usual"), ("1", "ask.candidates_one"), ("4", "ask.candidates_four")],
            once: once(app),
            starters: STARTERS.into(),
            helps: app.prompt_help.is_there(),
            helped: Vec::new(),
        }
    }

    fn of_form(app: &App, form: &Form) -> Self {
        Self::of(app, |name| form.number(name).ok().flatten().map(str::to_owned))
    }
}

/// Why nothing was made: which rules, what to do, and that nothing was charged.
pub(super) struct Refused {
    pub(super) said: String,
    /// The shot of a storyboard that it is about.
    pub(super) shot: Option<String>,
    pub(super) rules: Vec<BrokenRule>,
    /// What to do about it.
    pub(super) advice: &'static str,
    /// Where the reasons stand, and can be contested.
    pub(super) contest: Option<String>,
}

/// A rule in words.
pub(super) struct BrokenRule {
    pub(super) category: &'static str,
    /// Its name and version.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) advice: String,
}

impl BrokenRule {
    fn new(words: &Words, finding: &Finding) -> Self {
        let category = finding.category.map_or(finding.subject.as_str(), platform::policy::Category::as_str);
        let say = |sentence: &Sentence| if words.tag() == "ja" { sentence.ja.clone() } else { sentence.en.clone() };
        Self {
            category: words.say(&format!("rule.{category}")),
            name: format!("{} · {}", finding.rule, finding.version),
            text: say(&finding.text),
            advice: say(&finding.advice),
        }
    }
}

impl Refused {
    /// In someone's language.
    pub(super) fn new(words: &Words, error: &ApiError) -> Self {
        let blocked = error.code() == Some(RefusalCode::ModerationBlocked.as_str());
        let findings = error.verdict().map_or(&[][..], |verdict| verdict.findings());
        let rules = findings.iter().map(|finding| BrokenRule::new(words, finding)).collect();
        let advice = match error.code() {
            _ if blocked => words.say("refused.advice_rules"),
            Some("rate_limit_exceeded") => words.say("refused.advice_wait"),
            Some("insufficient_quota") => words.say("refused.advice_quota"),
            _ => words.say("refused.advice_change"),
        };
        let shot = error.shot().map(|number| words.fill("storyboard.shot", &[&number]));
        Self { said: words.error(error), shot, rules, advice, contest: error.contest().map(str::to_owned) }
    }
}

#[derive(Template)]
#[template(path = "make.html")]
struct MakePage {
    shell: Shell,
    ask: PromptBox,
    refused: Option<Refused>,
    under_way: Vec<ClipView>,
}

async fn under_way(app: &App, visitor: &Visitor, person: &Person) -> Result<Vec<ClipView>, ApiError> {
    let filter = LibraryFilter { state: Some(LibraryState::Unfinished), ..LibraryFilter::default() };
    let page = app.store.library(person.identity(), filter, None, SHOWN_JOBS).await?;
    let mut shown = Vec::new();
    for generation in &page.generations {
        shown.push(ClipView::with_queue(app, visitor.words, generation).await?);
    }
    Ok(shown)
}

async fn show_making(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    // The recipe of a clip of one's own fills the box.
    let from = match values.get("from") {
        Some(id) => Some(own(&app, &person, crate::http::page::path_id(id)?).await?),
        None => None,
    };
    if let (Some(from), Some(id)) = (&from, values.get("from"))
        && matches!(from.kind, GenerationKind::Film { .. })
    {
        return Ok(go(&format!("/storyboard?from={id}")));
    }
    // A remix starts with the words of what it is made from, if its maker shows them.
    let shown = match values.get("remix").and_then(|text| text.parse().ok()) {
        Some(address) => remixable(&app, &visitor, address).await?.prompt,
        None => None,
    };
    let ask = PromptBox::of(&app, |name| match (&from, name) {
        (None, "prompt") if shown.is_some() => shown.clone(),
        (Some(from), "prompt") => Some(from.prompt.clone()),
        (Some(from), "negative_prompt") => Some(from.negative_prompt.clone()),
        (Some(from), "shape") => Some(Shape::of(from.size).as_str().to_owned()),
        // A part of a clip was not asked for by its length.
        (Some(from), "seconds") => Some(from.seconds.to_string()).filter(|_| from.seconds.get() > 0),
        (Some(from), "model") => Some(from.model.to_string()),
        (Some(from), "seed") => Some(from.seed.to_string()),
        (Some(from), "candidates") => from.candidates.map(|count| count.to_string()),
        _ => values.get(name).map(str::to_owned),
    });
    let under_way = under_way(&app, &visitor, &person).await?;
    let shell = Shell::new(&app, &visitor, "make.title", Here::Make);
    Ok(html(&MakePage { shell, ask, refused: None, under_way }))
}

async fn make_clip(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let ask = PromptBox::of_form(&app, &form);
    match make(&app, &visitor, &person, form).await {
        Ok(ids) if ids.len() == 1 => Ok(go(&format!("/clips/{}", ids[0]))),
        Ok(_) => Ok(go("/library")),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let refused = Some(Refused::new(visitor.words, &error));
            let under_way = under_way(&app, &visitor, &person).await?;
            let shell = Shell::new(&app, &visitor, "make.title", Here::Make);
            Ok(html_refused(&MakePage { shell, ask, refused, under_way }, &error))
        }
    }
}

/// Says the prompt of the box again in the model's words: for the script as JSON, else as the box with the new words in it.
async fn reword(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    headers: HeaderMap,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let project = home(&app, &person).await?;
    count(&app, &project).await?;
    let helped = help(&app, &form).await?;
    let told = told(visitor.words, &helped);
    if wants_json(&headers) {
        let body = serde_json::json!({ "prompt": helped.reworded.prompt, "told": told });
        return Ok(Json(body).into_response());
    }
    if let Some(prompt) = helped.reworded.prompt {
        form.set("prompt", Field::Text(prompt));
    }
    let ask = PromptBox { helped: told, ..PromptBox::of_form(&app, &form) };
    let under_way = under_way(&app, &visitor, &person).await?;
    let shell = Shell::new(&app, &visitor, "make.title", Here::Make);
    Ok(html(&MakePage { shell, ask, refused: None, under_way }))
}

/// What was changed in a prompt, in sentences.
fn told(words: &Words, helped: &Helped) -> Vec<String> {
    let Reworded { prompt, changes, unknown, chosen } = &helped.reworded;
    let mut told = Vec::new();
    told.push(match (prompt, helped.by) {
        (None, _) => words.say("reword.nothing").to_owned(),
        (Some(_), Helper::LanguageModel) => words.say("reword.by_model").to_owned(),
        (Some(_), Helper::Rules) => words.say("reword.done").to_owned(),
    });
    if !changes.is_empty() {
        let changes: Vec<String> = changes.iter().map(|(asked, closest)| format!("{asked} → {closest}")).collect();
        told.push(words.fill("reword.changes", &[&changes.join(", ")]));
    }
    if !unknown.is_empty() {
        told.push(words.fill("reword.unknown", &[&unknown.join(", ")]));
    }
    if !chosen.is_empty() {
        told.push(words.fill("reword.chosen", &[&chosen.join(", ")]));
    }
    told
}

/// Makes what a form asks for, in the person's own project; the ids of the clips.
async fn make(app: &App, visitor: &Visitor, person: &Person, mut form: Form) -> Result<Vec<String>, ApiError> {
    person.membership(Service::Video).active()?;
    let project = home(app, person).await?;
    count(app, &project).await?;
    let headers = idempotency(&mut form);
    let caller = person.caller(project, Service::Video);
    if let Some(address) = form.text("remix")?.and_then(|text| text.parse().ok()) {
        let post = remixable(app, visitor, address).await?;
        let generation = app.store.any_generation(post.video).await?;
        return Ok(vec![remix_shown(app, &caller, generation, &headers, &form).await?.0.video.id()]);
    }
    prepare(app, &mut form).await?;
    let made = create_video(State(app.clone()), caller, Uri::from_static("/make"), headers, form).await?.0;
    let several: Vec<_> = made.videos.iter().map(crate::http::Video::id).collect();
    Ok(if several.is_empty() { vec![made.video.id()] } else { several })
}

/// A post that the visitor may remix.
async fn remixable(app: &App, visitor: &Visitor, address: PostAddress) -> Result<Post, ApiError> {
    let post = seen(app, visitor, address).await?;
    if may(post.relation, post.facts, address.way(), Act::Remix) {
        return Ok(post);
    }
    Err(ApiError::forbidden("remix_off", "Its maker does not let others remix this clip."))
}

/// The project that a person's own clips go to. One is made if all were put away: making needs no membership of `api`.
pub(super) async fn home(app: &App, person: &Person) -> Result<Project, ApiError> {
    if let Some(id) = app.store.home_project(person.identity()).await? {
        return Ok(app.store.project(id).await?);
    }
    let now = app.now();
    let known = app.store.projects(person.identity()).await?;
    let tier = known.first().map_or(&app.settings.default_tier, |project| &project.tier).clone();
    let (id, owner, name) = (ProjectId::new(now, app.random()), person.identity(), "My clips".to_owned());
    let project = Project { id, owner, name, tier, created_at: now, archived_at: None };
    app.store.create_project(&project).await?;
    Ok(project)
}

/// Counts a change against the project's limit, as the API does.
pub(super) async fn count(app: &App, project: &Project) -> Result<(), ApiError> {
    let tier = app.store.tier(&project.tier).await?;
    let decision = app.store.count_request(project.id, tier.quotas.requests_per_minute, app.now()).await?;
    if decision.allowed { Ok(()) } else { Err(ApiError::too_many_requests(decision.retry_after)) }
}

/// A key for a form that is about to be shown.
pub(super) fn once(app: &App) -> String {
    hex(&app.random::<12>())
}

/// The form's own key, taken out of it: sent twice, it counts once.
pub(super) fn idempotency(form: &mut Form) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(Field::Text(once)) = form.take("once")
        && let Ok(once) = HeaderValue::from_str(&once)
    {
        headers.insert("idempotency-key", once);
    }
    headers
}

/// Turns the words of the box into those of the API: a shape into a size, any picture into a first frame of that size.
async fn prepare(app: &App, form: &mut Form) -> Result<(), ApiError> {
    let catalogue = app.catalogue();
    let (_, offer) = catalogue.resolve(form.text("model")?)?;
    let size = match (form.text("size")?, form.text("shape")?) {
        (Some(size), _) => offer.size(size)?,
        (None, Some(shape)) => size_of(offer, shape)?,
        (None, None) => offer.default_size(),
    };
    form.set("size", Field::Text(size.to_string()));
    form.take("shape");
    if let Some(Field::File(upload)) = form.take("picture") {
        let size = media::Size::new(size.width().into(), size.height().into());
        form.set("input_reference", Field::File(fitted(upload, size).await?));
    }
    Ok(())
}

/// The largest size on offer of a shape.
pub(super) fn size_of(offer: &Offer, shape: &str) -> Result<Size, Refusal> {
    let fits = |size: &&Size| Shape::of(**size).as_str() == shape;
    offer.sizes().iter().filter(fits).max_by_key(|size| size.pixels()).copied().ok_or_else(|| {
        let message = "There is no such shape here: landscape, portrait or square.";
        Refusal::new(RefusalCode::InvalidValue, Some("shape"), message)
    })
}

/// A picture, scaled and cut to a size.
pub(super) async fn fitted(upload: Upload, size: media::Size) -> Result<Upload, ApiError> {
    let work = move || {
        let limits = PictureLimits { max_bytes: crate::http::upload::MAX_PICTURE_BYTES, ..PictureLimits::default() };
        let frame = read_picture(&upload.bytes, &limits).map_err(|error| {
            ApiError::invalid("picture", format!("The picture must be a JPEG, PNG or WebP: {error}."))
        })?;
        let frame = cover(&frame, size);
        let png = encode_png(&frame).map_err(|error| ApiError::internal(&error))?;
        Ok(Upload { filename: "picture.png".into(), bytes: png.into() })
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))?
}

/// What a request would cost and how many would go before it, in words.
async fn quote(State(app): State<App>, visitor: Visitor, person: Person, values: Values) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let mut form = Form::default();
    form.set("prompt", Field::Text("a price".into()));
    for name in ["model", "seconds", "shape", "n"] {
        if let Some(value) = values.get(name) {
            form.set(name, Field::Text(value.to_owned()));
        }
    }
    prepare(&app, &mut form).await?;
    let project = home(&app, &person).await?;
    let metered = app.store.tier(&project.tier).await?.metered;
    let quote = quote_video(State(app), person.caller(project, Service::Video), form).await?.0;
    let words = visitor.words;
    let price = quote.price.trim_end_matches('0').trim_end_matches('.').to_owned();
    let mut said = Vec::new();
    if metered {
        let available = quote.available.trim_end_matches('0').trim_end_matches('.').to_owned();
        said.push(words.fill("quote.price", &[&price, &available]));
    }
    said.push(match quote.queue_ahead {
        0 => words.say("quote.next").to_owned(),
        ahead => words.fill("quote.ahead", &[&ahead]),
    });
    if !quote.acceptable {
        said.push(words.say("quote.too_much").to_owned());
    }
    let body = serde_json::json!({ "text": said.join(" · "), "acceptable": quote.acceptable });
    Ok(Json(body).into_response())
}
