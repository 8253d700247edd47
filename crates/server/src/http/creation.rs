//! From the fields of a request to accepted generations: read, decide, keep what was uploaded, accept.

use bytes::Bytes;
use platform::likeness::mentions;
use platform::policy::{RightsUse, Stage, Verdict};
use platform::{
    ActiveMembership, CharacterId, Credits, DecidedItem, DecidedKind, DecisionEffect, DecisionId, DecisionRecord,
    DecisionScope, FileId, Fingerprint, GenerationKind, Handle, IdempotencyKey, IdentityId, LikenessId, ModelName,
    Offer, Parameters, ProjectId, RefusalCode, Seconds, Service, Size, UseId, VideoId, Words,
};
use store::{Accept, Accepted, BatchLine, File, Generation, Idempotency, NewGeneration, Subject};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::storyboards::Film;
use crate::http::upload::{CleanPicture, MAX_PICTURE_BYTES, clean_picture, data_url, fits};
use crate::policy::decided_by;
use crate::recognise::{Upload, likenesses_in};

/// What the file of a first frame is called in the list of files. It goes with its video.
pub(crate) const REFERENCE_PURPOSE: &str = "input_reference";

/// Every field that a creation may have: what is read here, and what engines with the same path take and clients send to all of
/// them, which is passed over.
pub(crate) const CREATION_FIELDS: [&str; 44] = [
    "prompt",
    "storyboard",
    "model",
    "seconds",
    "size",
    "input_reference",
    "characters",
    "seed",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "candidates",
    "n",
    "duration",
    "width",
    "height",
    "resolution",
    "aspect_ratio",
    "image_url",
    "image_reference",
    "reference_url",
    "character_ids",
    "user",
    "metadata",
    "quality",
    "fps",
    "num_frames",
    "guidance_scale_2",
    "boundary_ratio",
    "flow_shift",
    "true_cfg_scale",
    "generate_sound",
    "generate_audio",
    "sound_duration",
    "max_sequence_length",
    "num_outputs_per_prompt",
    "generator_device",
    "output_quality",
    "enable_frame_interpolation",
    "enable_upscaling",
    "enable_teacache",
    "safety_identifier",
    "extra_params",
    "extra_body",
];

/// A request that can be fulfilled.
pub(crate) struct Creation {
    pub(crate) parameters: Parameters,
    pub(crate) kind: GenerationKind,
    pub(crate) model: ModelName,
    pub(crate) total_seconds: Seconds,
    /// Of each clip.
    pub(crate) price: Credits,
    /// Kept for this request alone; deleted again if it is not accepted.
    pub(crate) kept: Option<FileId>,
    /// Whose likenesses are named, in the prompt or beside it.
    pub(crate) likenesses: Vec<LikenessId>,
}

/// Takes a line of a batch, as `POST /v1/videos` takes a body. The error is the object under `error`, as JSON.
///
/// # Errors
/// The status that the request would have had, and the error.
pub async fn batch_creation(
    app: &App,
    member: ActiveMembership,
    project: ProjectId,
    body: &str,
    line: BatchLine,
) -> Result<Generation, (u16, serde_json::Value)> {
    let accepted = async {
        let form = Form::from_json(body.as_bytes())?;
        form.knows(&CREATION_FIELDS)?;
        let creation = read_creation(app, project, &form).await?;
        if creation.parameters.n.get() > 1 {
            return Err(ApiError::invalid("n", "A line of a batch makes one video."));
        }
        let accepted = accept(app, member, project, creation, None, Some(line)).await?;
        accepted.into_iter().next().ok_or_else(|| ApiError::internal(&"nothing was accepted"))
    };
    accepted.await.map_err(|error| (error.status().as_u16(), error.object()))
}

/// Reads what `POST /v1/videos` asks for. A first frame is kept as a file by then.
pub(crate) async fn read_creation(app: &App, project: ProjectId, form: &Form) -> Result<Creation, ApiError> {
    if let Some(film) = Film::read(app, form)? {
        return film.creation(app, project).await;
    }
    let (parameters, offer) = read_parameters(app, form)?;
    let owner = app.store.project(project).await?.owner;
    let mut named = allowed(app, owner, parameters.prompt.as_str()).await?;
    read_characters(app, owner, form, &mut named).await?;
    let Named { characters, mut likenesses } = named.few("characters")?;
    let (first_frame, kept) = match read_reference(app, project, form, parameters.size).await? {
        None => (None, None),
        Some((reference, picture)) => {
            let upload = Upload {
                bytes: [&picture.png, &picture.png],
                picture: Some(picture.look),
                field: REFERENCE,
                prompt: parameters.prompt.as_str(),
            };
            likenesses.extend(likenesses_in(app, owner, &upload).await?);
            match reference {
                Some(id) => (Some(id), None),
                None => {
                    let id = keep_reference(app, project, picture.png).await?;
                    (Some(id), Some(id))
                }
            }
        }
    };
    let price = offer.rate.quote(parameters.size, parameters.seconds);
    let total_seconds = parameters.seconds;
    let kind = GenerationKind::Create { first_frame, characters };
    Ok(Creation { parameters, kind, model: offer.name, total_seconds, price, kept, likenesses })
}

/// Those whom a prompt names, if the policy lets it pass; where it does not, they are told.
pub(crate) async fn allowed(app: &App, maker: IdentityId, prompt: &str) -> Result<Named, ApiError> {
    let named = mentioned(app, maker, prompt).await?;
    match refuse_blocked(app, maker, DecidedKind::Prompt, prompt).await {
        Ok(()) => Ok(named),
        Err(error) => {
            if error.code() == Some(RefusalCode::ModerationBlocked.as_str()) {
                note_blocked(app, maker, &named.likenesses, prompt, &error).await?;
            }
            Err(error)
        }
    }
}

/// The parameters of a creation, aliases of other servers understood.
pub(crate) fn read_parameters(app: &App, form: &Form) -> Result<(Parameters, Offer), ApiError> {
    let catalogue = app.catalogue();
    let mut words = read_words(form)?;
    // An offer is looked for before the prompt only to understand sizes; errors come in the API's order below.
    let size = catalogue.resolve(words.model).ok().map(|(_, offer)| read_size(form, offer)).transpose()?.flatten();
    let seconds = match form.number("seconds")? {
        Some(seconds) => Some(seconds.to_owned()),
        None => match form.number("duration")? {
            Some(seconds) => Some(seconds.trim_end_matches('s').to_owned()),
            None => default_seconds(&catalogue, words.model),
        },
    };
    words.size = size.as_deref();
    words.seconds = seconds.as_deref();
    let (parameters, offer) = Parameters::of_video(&words, &catalogue)?;
    Ok((parameters, offer.clone()))
}

/// The fields that all kinds of work have.
pub(crate) fn read_words(form: &Form) -> Result<Words<'_>, ApiError> {
    Ok(Words {
        prompt: form.text("prompt")?,
        model: form.text("model")?,
        seconds: None,
        size: None,
        seed: form.number("seed")?,
        negative_prompt: form.text("negative_prompt")?,
        num_inference_steps: form.number("num_inference_steps")?,
        guidance_scale: form.number("guidance_scale")?,
        candidates: form.number("candidates")?,
        n: form.number("n")?,
    })
}

/// Four seconds are the API's default, where the model has them.
fn default_seconds(catalogue: &platform::Catalogue, model: Option<&str>) -> Option<String> {
    let (_, offer) = catalogue.resolve(model).ok()?;
    offer.seconds("4").ok().map(|seconds| seconds.to_string())
}

/// `size`, or `width` and `height`, or `resolution` and `aspect_ratio`; else the API's default, where the model has it.
fn read_size(form: &Form, offer: &Offer) -> Result<Option<String>, ApiError> {
    if let Some(size) = form.text("size")? {
        return Ok(Some(size.to_owned()));
    }
    if let (Some(width), Some(height)) = (form.number("width")?, form.number("height")?) {
        return Ok(Some(format!("{width}x{height}")));
    }
    let (resolution, ratio) = (form.text("resolution")?, form.text("aspect_ratio")?);
    if resolution.is_none() && ratio.is_none() {
        return Ok(offer.size("720x1280").ok().map(|size| size.to_string()));
    }
    let lines = match resolution.map(|text| (text, text.trim_end_matches(['p', 'P']).parse::<u16>())) {
        None => None,
        Some((_, Ok(lines))) => Some(lines),
        Some((text, Err(_))) => return Ok(Some(text.to_owned())),
    };
    let ratio = ratio.unwrap_or("9:16");
    let Some((across, down)): Option<(u64, u64)> =
        ratio.split_once(':').and_then(|(a, b)| Some((a.parse::<u16>().ok()?.into(), b.parse::<u16>().ok()?.into())))
    else {
        return Err(ApiError::invalid("aspect_ratio", "'aspect_ratio' must be like 16:9, 9:16 or 1:1."));
    };
    let fits = |size: &&Size| {
        let shape = u64::from(size.width()) * down == u64::from(size.height()) * across;
        shape && lines.is_none_or(|lines| size.width().min(size.height()) == lines)
    };
    match offer.sizes().iter().find(fits) {
        Some(size) => Ok(Some(size.to_string())),
        None => {
            let sizes: Vec<_> = offer.sizes().iter().map(ToString::to_string).collect();
            let message =
                format!("No size on offer has this resolution and aspect ratio. Allowed: {}.", sizes.join(", "));
            Err(ApiError::invalid(if resolution.is_some() { "resolution" } else { "aspect_ratio" }, message))
        }
    }
}

/// What the policy has against what someone wants to say or see, if anything. An appeal that was right lets the same words pass.
async fn stopped(app: &App, subject: IdentityId, kind: DecidedKind, text: &str) -> Result<Option<Verdict>, ApiError> {
    let verdict = app.judge.text(Stage::Prompt, RightsUse::Prompts, text, app.now()).await?;
    let stops =
        !verdict.is_allowed() && !app.store.refusal_was_wrong(subject, DecidedItem::of_words(kind, text)).await?;
    Ok(stops.then_some(verdict))
}

/// Refuses what the policy stops, says by which rules, and records that with its reasons.
pub(crate) async fn refuse_blocked(
    app: &App,
    subject: IdentityId,
    kind: DecidedKind,
    text: &str,
) -> Result<(), ApiError> {
    match stopped(app, subject, kind, text).await? {
        Some(verdict) => refuse(app, subject, DecidedItem::of_words(kind, text), text, verdict).await,
        None => Ok(()),
    }
}

/// Records a refusal with its reasons, and says them. `evidence` is what its person sent.
async fn refuse(
    app: &App,
    subject: IdentityId,
    item: DecidedItem,
    evidence: &str,
    verdict: Verdict,
) -> Result<(), ApiError> {
    let now = app.now();
    let Some(finding) = verdict.first() else { return Ok(()) };
    let (ground, rule) = decided_by(finding);
    let service = match item.kind {
        DecidedKind::Prompt => Service::Video,
        DecidedKind::Enrolment => Service::Likeness,
        _ => Service::Social,
    };
    let decision = DecisionRecord {
        id: DecisionId::new(now, app.random()),
        subject,
        scope: DecisionScope::Item,
        service: Some(service),
        effect: DecisionEffect::Refuse,
        item,
        ground,
        rule,
        facts: finding.text.en.clone(),
        evidence: evidence.to_owned(),
        unlawful: false,
        automated_detection: true,
        author: None,
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: None,
    };
    app.store.decide(&decision).await?;
    Err(blocked(verdict).contested_at(format!("{}/account/decisions/{}", app.settings.base_url, decision.id)))
}

/// The same for a prompt that a project sends.
pub(crate) async fn refuse_prompt(app: &App, project: ProjectId, prompt: &str) -> Result<(), ApiError> {
    let owner = app.store.project(project).await?.owner;
    refuse_blocked(app, owner, DecidedKind::Prompt, prompt).await
}

/// Refuses what is written of a picture or clip that someone brings.
pub(crate) async fn refuse_reference(app: &App, project: ProjectId, text: &str) -> Result<(), ApiError> {
    let verdict = app.judge.text(Stage::Image, RightsUse::References, text, app.now()).await?;
    refuse_of(app, project, DecidedItem::of_words(DecidedKind::Prompt, text), text, verdict).await
}

/// Refuses a remix of what a holder of rights lets nobody remix, by the words that it was made from.
pub(crate) async fn refuse_remix(app: &App, project: ProjectId, text: &str) -> Result<(), ApiError> {
    let verdict = app.judge.text(Stage::Prompt, RightsUse::Remixes, text, app.now()).await?;
    // What the rules say of it was said when it was made. The words may be someone else's, so they are no evidence.
    let item = DecidedItem::of_words(DecidedKind::Prompt, text);
    refuse_of(app, project, item, "", verdict.of_rights()).await
}

/// Refuses a picture that the owner's moderation service speaks against.
async fn refuse_picture(app: &App, project: ProjectId, png: &Bytes) -> Result<(), ApiError> {
    let verdict = app.judge.picture(png.clone()).await?;
    let refused = refuse_of(app, project, DecidedItem::unnamed(DecidedKind::Prompt), "", verdict).await;
    refused.map_err(|error| error.about(REFERENCE))
}

/// Refuses the still of an enrolment that the owner's moderation service speaks against. An appeal that was right lets the same picture
/// pass: an enrolment that was refused is over, so the picture is what can come again.
pub(crate) async fn refuse_still(app: &App, person: IdentityId, png: &Bytes) -> Result<(), ApiError> {
    let verdict = app.judge.picture(png.clone()).await?;
    let item = DecidedItem::of_bytes(DecidedKind::Enrolment, png);
    if verdict.is_allowed() || app.store.refusal_was_wrong(person, item).await? {
        return Ok(());
    }
    refuse(app, person, item, "", verdict).await.map_err(|error| error.about("still"))
}

async fn refuse_of(
    app: &App,
    project: ProjectId,
    item: DecidedItem,
    evidence: &str,
    verdict: Verdict,
) -> Result<(), ApiError> {
    if verdict.is_allowed() {
        return Ok(());
    }
    let owner = app.store.project(project).await?.owner;
    if item.id.is_some() && app.store.refusal_was_wrong(owner, item).await? {
        return Ok(());
    }
    refuse(app, owner, item, evidence, verdict).await
}

/// Says of a prompt that nothing is made of yet whether it would be refused. Nothing is recorded.
pub(crate) async fn would_refuse(app: &App, owner: IdentityId, prompt: &str) -> Result<(), ApiError> {
    stopped(app, owner, DecidedKind::Prompt, prompt).await?.map_or(Ok(()), |verdict| Err(blocked(verdict)))
}

/// What a request is answered that the policy stops: each rule with what it says, and what to change.
pub(crate) fn blocked(verdict: Verdict) -> ApiError {
    let rules: Vec<_> = verdict
        .findings()
        .iter()
        .map(|finding| format!("{} ({}, version {})", finding.subject.as_str(), finding.rule, finding.version))
        .collect();
    let said = verdict.first().map_or(String::new(), |finding| format!("{} {} ", finding.text.en, finding.advice.en));
    let rules = rules.join(", ");
    let message = format!("Your request was blocked by our moderation system: {rules}. {said}Nothing was charged.");
    let refusal = platform::Refusal::new(RefusalCode::ModerationBlocked, Some("prompt"), message);
    ApiError::from(refusal).by(verdict)
}

/// Who appears in a clip.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) characters: Vec<CharacterId>,
    pub(crate) likenesses: Vec<LikenessId>,
}

impl Named {
    /// The same with others; each once.
    pub(crate) fn and(mut self, others: Self) -> Self {
        for character in others.characters {
            if !self.characters.contains(&character) {
                self.characters.push(character);
            }
        }
        for likeness in others.likenesses {
            if !self.likenesses.contains(&likeness) {
                self.likenesses.push(likeness);
            }
        }
        self
    }

    /// All of them, if there are no more than may be in a clip; `field` says who they are.
    pub(crate) fn few(self, field: &str) -> Result<Self, ApiError> {
        if self.characters.len() + self.likenesses.len() <= GenerationKind::MAX_CHARACTERS {
            return Ok(self);
        }
        let message = format!("At most {} characters can be in a clip.", GenerationKind::MAX_CHARACTERS);
        Err(ApiError::invalid(field, message))
    }
}

/// Those whom a prompt names: people who enrolled, and characters that `maker` may use. Any other `@word` is a word.
pub(crate) async fn mentioned(app: &App, maker: IdentityId, prompt: &str) -> Result<Named, ApiError> {
    let mut named = Named::default();
    for handle in mentions(prompt) {
        name(app, maker, &handle, &mut named).await?;
    }
    Ok(named)
}

/// Adds who has this handle; says whether anybody has.
async fn name(app: &App, maker: IdentityId, handle: &Handle, named: &mut Named) -> Result<bool, ApiError> {
    if let Some(likeness) = app.store.likeness_named(handle).await? {
        if !named.likenesses.contains(&likeness.id) {
            named.likenesses.push(likeness.id);
        }
        return Ok(true);
    }
    match app.store.character_named(maker, handle).await {
        Ok(character) => {
            if !named.characters.contains(&character.id) {
                named.characters.push(character.id);
            }
            Ok(true)
        }
        Err(store::StoreError::NotFound(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Tells people who are named in a prompt that the policy stopped it, if whoever wrote it may use them at all.
pub(crate) async fn note_blocked(
    app: &App,
    maker: IdentityId,
    likenesses: &[LikenessId],
    prompt: &str,
    error: &ApiError,
) -> Result<(), ApiError> {
    let now = app.now();
    for likeness in likenesses {
        if app.store.likeness_permission(maker, *likeness, now).await?.is_ok() {
            let id = UseId::new(now, app.random());
            app.store.note_blocked_use(id, (*likeness, maker), prompt, error.message(), now).await?;
        }
    }
    Ok(())
}

/// `characters` as `[{"id"}]` or ids, or `character_ids`. An id may be the handle of a person or a character: `@mika`.
async fn read_characters(app: &App, maker: IdentityId, form: &Form, named: &mut Named) -> Result<(), ApiError> {
    let Some((field_name, field)) = form.first(&["characters", "character_ids"]) else { return Ok(()) };
    let entries = match field.unfolded() {
        Field::List(entries) => entries,
        one => vec![one],
    };
    if entries.len() > GenerationKind::MAX_CHARACTERS {
        let message = format!("At most {} characters can be in a clip.", GenerationKind::MAX_CHARACTERS);
        return Err(ApiError::invalid("characters", message));
    }
    for entry in &entries {
        let text = match entry.unfolded() {
            Field::Text(id) => id,
            Field::Object(object) => object.needed_text("id").map_err(|error| error.about("characters"))?.to_owned(),
            _ => return Err(ApiError::wrong_type(field_name, "a list of {\"id\"} objects")),
        };
        let unknown = || ApiError::invalid("characters", format!("There is no character {:?}.", shown(&text)));
        if text.starts_with('@') {
            let handle = Handle::read(&text).map_err(|_| unknown())?;
            if !name(app, maker, &handle, named).await? {
                return Err(unknown());
            }
            continue;
        }
        let id: CharacterId = text.parse().map_err(|_| unknown())?;
        app.store.usable_character(maker, id).await.map_err(|error| match error {
            store::StoreError::NotFound(_) => unknown(),
            error => error.into(),
        })?;
        named.characters.push(id);
    }
    Ok(())
}

/// A caller's text, short enough for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

const REFERENCE: &str = "input_reference";

/// The first frame: a file, an address, or the id of a file; of the clip's size. Beside it the id, if it was uploaded before.
async fn read_reference(
    app: &App,
    project: ProjectId,
    form: &Form,
    size: Size,
) -> Result<Option<(Option<FileId>, CleanPicture)>, ApiError> {
    let names = [REFERENCE, "image_reference", "image_url", "reference_url"];
    let Some((_, field)) = form.first(&names) else { return Ok(None) };
    let bytes = match field.unfolded() {
        Field::File(upload) => upload.bytes,
        Field::Text(url) => picture_at(app, &url).await?,
        Field::Object(object) => {
            let url = match object.field("image_url").or(object.field("url")).map(Field::unfolded) {
                None => None,
                Some(Field::Text(url)) => Some(url),
                Some(Field::Object(inner)) => {
                    Some(inner.needed_text("url").map_err(|error| error.about(REFERENCE))?.to_owned())
                }
                Some(_) => return Err(ApiError::wrong_type("input_reference.image_url", "a string")),
            };
            match (url, object.text("file_id").map_err(|error| error.about(REFERENCE))?) {
                (Some(url), None) => picture_at(app, &url).await?,
                (None, Some(id)) => return uploaded_reference(app, project, id, size).await.map(Some),
                _ => {
                    let message = "'input_reference' must have exactly one of image_url and file_id.";
                    return Err(ApiError::invalid(REFERENCE, message));
                }
            }
        }
        _ => return Err(ApiError::wrong_type(REFERENCE, "a file or an object with image_url or file_id")),
    };
    let picture = clean_picture(bytes, REFERENCE).await?;
    fits(picture.size, size)?;
    refuse_picture(app, project, &picture.png).await?;
    Ok(Some((None, picture)))
}

async fn uploaded_reference(
    app: &App,
    project: ProjectId,
    id: &str,
    size: Size,
) -> Result<(Option<FileId>, CleanPicture), ApiError> {
    let unknown = || ApiError::invalid(REFERENCE, format!("There is no file {:?}.", shown(id)));
    let file = match app.store.file(project, id.parse().map_err(|_| unknown())?).await {
        Err(store::StoreError::NotFound(_)) => return Err(unknown()),
        file => file?,
    };
    let bytes = app.objects.get_all(&file.key).await?;
    let picture = clean_picture(bytes, REFERENCE).await?;
    fits(picture.size, size)?;
    refuse_picture(app, project, &picture.png).await?;
    Ok((Some(file.id), picture))
}

/// The picture at an address. Only `data:` needs no outside; the rest is the owner's decision.
async fn picture_at(app: &App, url: &str) -> Result<Bytes, ApiError> {
    if url.starts_with("data:") {
        return data_url(url, REFERENCE);
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(ApiError::invalid(REFERENCE, "An image_url begins with data:, https:// or http://."));
    }
    if !app.settings.fetch_image_urls {
        let message = "This server fetches nothing from other sites: send the picture as a file, as a data: address or by file_id.";
        return Err(ApiError::invalid(REFERENCE, message));
    }
    let fetched = app.outbound.get(url, MAX_PICTURE_BYTES).await;
    fetched.map_err(|error| ApiError::invalid(REFERENCE, format!("The image_url could not be fetched: {error}.")))
}

async fn keep_reference(app: &App, project: ProjectId, png: Bytes) -> Result<FileId, ApiError> {
    let file = keep_file(app, project, "reference.png".into(), REFERENCE_PURPOSE, "image/png", png, None).await?;
    Ok(file.id)
}

/// Keeps bytes as a file of a project.
pub(crate) async fn keep_file(
    app: &App,
    project: ProjectId,
    filename: String,
    purpose: &str,
    media_type: &str,
    bytes: Bytes,
    expires_at: Option<platform::Timestamp>,
) -> Result<File, ApiError> {
    let now = app.now();
    let id = FileId::new(now, app.random());
    let size_bytes = bytes.len() as u64;
    // What a clip starts from is the video service's; what else is uploaded is the API's.
    let service = if purpose == REFERENCE_PURPOSE { Service::Video } else { Service::Api };
    let subject = Subject { identity: app.store.project(project).await?.owner, service, since: now };
    let key = app.objects.put_upload(subject, &id, bytes).await?;
    let (purpose, media_type) = (purpose.to_owned(), media_type.to_owned());
    let file = File { id, project, filename, purpose, media_type, size_bytes, key, created_at: now, expires_at };
    app.store.create_file(&file).await?;
    Ok(file)
}

/// Accepts a request, or forgets what was kept for it.
pub(crate) async fn accept(
    app: &App,
    member: ActiveMembership,
    project: ProjectId,
    creation: Creation,
    idempotency: Option<(IdempotencyKey, Fingerprint)>,
    batch_line: Option<BatchLine>,
) -> Result<Vec<Generation>, ApiError> {
    let now = app.now();
    if let Err(error) = still_makes(app, &creation) {
        if let Some(file) = creation.kept {
            app.store.delete_file(project, file, now).await?;
        }
        return Err(error);
    }
    let generations = new_generations(app, &creation.parameters);
    let request = Accept {
        project,
        parameters: &creation.parameters,
        kind: &creation.kind,
        model: &creation.model,
        total_seconds: creation.total_seconds,
        price: creation.price,
        generations: &generations,
        idempotency: idempotency.as_ref().map(|(key, fingerprint)| Idempotency { key, fingerprint: *fingerprint }),
        batch_line,
        likenesses: &creation.likenesses,
    };
    let accepted = app.store.accept(member, &request, now).await;
    if let (Ok(Accepted::Repeated(_)) | Err(_), Some(file)) = (&accepted, creation.kept) {
        app.store.delete_file(project, file, now).await?;
    }
    let accepted = accepted?;
    app.worker_signal.job_accepted();
    let (Accepted::New(generations) | Accepted::Repeated(generations)) = accepted;
    // So that a trace leads from the request to its jobs.
    let ids: Vec<_> = generations.iter().map(|generation| generation.id.to_string()).collect();
    tracing::Span::current().record("video", ids.join(" "));
    Ok(generations)
}

/// Refuses what a model would draw that has come to its end. A part of a clip is drawn by none.
fn still_makes(app: &App, creation: &Creation) -> Result<(), ApiError> {
    if matches!(creation.kind, GenerationKind::Trim { .. }) {
        return Ok(());
    }
    let model = &creation.model;
    match app.model_sunset(model).filter(|sunset| sunset.has_come(app.now())) {
        Some(sunset) => {
            let instead = match sunset.successor.as_str() {
                "" => String::new(),
                successor => format!(" Instead: {successor}."),
            };
            let message = format!("The model {model} has come to its end and makes nothing new.{instead}");
            Err(ApiError::retired("model_retired", message, &sunset.successor).about("model"))
        }
        None => Ok(()),
    }
}

/// An id and a seed for each clip. Chosen seeds fit a double, so that no client rounds them.
fn new_generations(app: &App, parameters: &Parameters) -> Vec<NewGeneration> {
    let chosen = u64::from_be_bytes(app.random()) >> 11;
    let seed = parameters.seed.unwrap_or(chosen);
    let clips = 0..u64::from(parameters.n.get());
    let clip = |index| NewGeneration {
        id: VideoId::new(app.now(), app.random()),
        seed: seed.wrapping_add(index) & (i64::MAX as u64),
    };
    clips.map(clip).collect()
}
