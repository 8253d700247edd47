//! Enrolling a likeness in the browser: the words of the consent, a challenge that is good once, the pieces of a recording as they come from the
//! camera. There is no other way in: nothing takes a file.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use platform::likeness::{
    CHALLENGE_TIME, CONSENT_VERSION, CaptureRefusal, Challenge, ChunkFacts, EnrolmentState, HairColour, HairStyle, Hat,
    MAX_CHUNK_BYTES, Puppet, Shirt, Skin, check_capture, consent_text, is_adult, movement,
};
use platform::{EnrolmentId, Handle, LikenessId, MembershipEvent, MembershipState, RefusalCode, Service};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{Capture, CaptureChunk, Enrolment, NewEnrolment, ObjectKey, Subject};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::creation::refuse_still;
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::likeness::{own_likeness, read_terms};
use crate::http::upload::clean_picture;
use crate::web::clip::IdAndWord;
use crate::web::guard::Visitor;
use crate::web::likeness::likeness_page;
use crate::web::review::after_capture;
use crate::web::shell::{Here, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        post("/account/likeness/begin", Viewer::Person, begin_enrolment),
        get("/account/likeness/capture", Viewer::Person, show_challenge),
        post("/account/likeness/capture/{id}/{step}", Viewer::Person, take_step).with_picture(),
        post("/account/likeness/cancel", Viewer::Person, cancel),
        post("/account/likeness/puppet", Viewer::Person, redraw),
    ]
}

/// The types that a browser records in.
const RECORDED: [&str; 2] = ["video/webm", "video/mp4"];
/// The largest capture, all pieces together.
pub(super) const MAX_CAPTURE_BYTES: u64 = 100_000_000;

/// Begins an enrolment, or shows why not.
async fn begin_enrolment(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let begun = begin(&app, &visitor, &person, &form).await;
    let page = likeness_page(&app, &visitor, &person);
    after_form(&visitor, begun, "/account/likeness/capture", page, |page, said| page.said = Some(said)).await
}

async fn begin(app: &App, visitor: &Visitor, person: &Person, form: &Form) -> Result<(), ApiError> {
    let (now, identity) = (app.now(), person.identity());
    let handle = Handle::parse(form.needed_text("handle")?);
    let handle = handle.map_err(|refusal| ApiError::invalid("handle", format!("{refusal}.")))?;
    let born = form.needed_text("born")?;
    let day = || ApiError::invalid("born", "Write the day as YYYY-MM-DD.");
    let parts: Vec<u32> = born.split('-').map(|part| part.parse().map_err(|_| day())).collect::<Result<_, _>>()?;
    let &[year, month, date] = parts.as_slice() else { return Err(day()) };
    // The day itself is kept nowhere.
    if !is_adult((i32::try_from(year).unwrap_or(0), month, date), now) {
        return Err(ApiError::forbidden("likeness_adults", "Only adults can lend their likeness here."));
    }
    for agreed in ["agree", "adult", "myself"] {
        if !form.flag(agreed)?.unwrap_or(false) {
            return Err(ApiError::missing(agreed));
        }
    }
    let terms = read_terms(form, now)?;
    // Whoever was never there joins with it. Who left comes back; who is limited stays limited.
    let membership = person.membership(Service::Likeness);
    if matches!(membership.state, MembershipState::None | MembershipState::Closed) {
        app.store.change_membership(identity, Service::Likeness, MembershipEvent::Join, now).await?;
    } else {
        membership.active()?;
    }
    let challenge = Challenge::draw(app.random(), visitor.words.tag());
    let new = NewEnrolment {
        id: EnrolmentId::new(now, app.random()),
        identity,
        likeness: LikenessId::new(now, app.random()),
        handle: &handle,
        language: visitor.words.tag(),
        consent_version: CONSENT_VERSION,
        terms: &terms,
        challenge: &challenge,
        expires_at: now + CHALLENGE_TIME,
    };
    Ok(app.store.begin_enrolment(&new, now).await?)
}

#[derive(Template)]
#[template(path = "capture.html")]
struct CapturePage {
    shell: Shell,
    id: String,
    sentence: &'static str,
    words: Vec<String>,
    turns: Vec<&'static str>,
    /// Seconds in which it can be begun.
    seconds: u64,
}

async fn show_challenge(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    let (_, enrolment) = own_likeness(&app, person.identity()).await?;
    let waiting = enrolment.filter(|one| one.state == EnrolmentState::Challenged && app.now() < one.expires_at);
    let Some(enrolment) = waiting else { return Ok(go("/account/likeness")) };
    let text = consent_text(enrolment.consent_version, &enrolment.language)
        .ok_or_else(|| ApiError::internal(&"a consent has no text"))?;
    let words = visitor.words;
    let page = CapturePage {
        shell: Shell::new(&app, &visitor, "capture.title", Here::Account),
        id: enrolment.id.to_string(),
        sentence: text.sentence(),
        turns: enrolment.turns.iter().map(|turn| words.say(&format!("turn.{}", turn.as_str()))).collect(),
        seconds: enrolment.expires_at.since(app.now()).as_secs(),
        words: enrolment.words,
    };
    let mut response = html(&page);
    // The only page that asks for camera and microphone.
    let policy = HeaderValue::from_static("camera=(self), microphone=(self), geolocation=()");
    response.headers_mut().insert(HeaderName::from_static("permissions-policy"), policy);
    Ok(response)
}

/// Takes a piece of a recording, or its end.
async fn take_step(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    IdAndWord(id, step): IdAndWord<EnrolmentId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let taken = match step.as_str() {
        "finish" => finish(&app, &person, id, &form).await?,
        number => {
            let number = number.parse().map_err(|_| ApiError::not_found("enrolment"))?;
            take_piece(&app, &person, id, number, &form).await?
        }
    };
    Ok(match taken {
        Ok(()) => Json(json!({ "ok": true, "next": "/account/likeness" })).into_response(),
        Err(refusal) => {
            let said = visitor.words.say(&format!("capture.refused_{}", refusal.as_str()));
            let body = json!({ "ok": false, "code": refusal.as_str(), "said": said });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    })
}

fn file(form: &Form, name: &str) -> Result<Option<Bytes>, ApiError> {
    match form.field(name) {
        None => Ok(None),
        Some(Field::File(upload)) => Ok(Some(upload.bytes.clone())),
        Some(_) => Err(ApiError::wrong_type(name, "a file of a form")),
    }
}

/// A piece as it was recorded: its bytes, small grey frames by which movement is seen, and how loud it was.
async fn take_piece(
    app: &App,
    person: &Person,
    id: EnrolmentId,
    number: u32,
    form: &Form,
) -> Result<Result<(), CaptureRefusal>, ApiError> {
    let (now, identity) = (app.now(), person.identity());
    if let Err(refusal) = app.store.expects_chunk(identity, id, number, now).await? {
        return Ok(Err(refusal));
    }
    let piece = file(form, "piece")?.ok_or_else(|| ApiError::missing("piece"))?;
    if piece.is_empty() || piece.len() > MAX_CHUNK_BYTES {
        return Err(ApiError::too_large(MAX_CHUNK_BYTES as u64));
    }
    let (pairs, moved) = movement(&file(form, "frames")?.unwrap_or_default());
    let level = form.whole("level", 0, 100)?.unwrap_or(0) as u32;
    let facts = ChunkFacts { received_at: now, pairs, moved, level };
    let size_bytes = piece.len() as u64;
    let subject = Subject { identity, service: Service::Likeness, since: now };
    let key = app.objects.put_upload(subject, &id, piece).await?;
    let chunk = CaptureChunk { key, size_bytes, facts };
    Ok(app.store.add_chunk(identity, id, (number, &chunk)).await?)
}

/// The recording is whole: what can be told without knowing a face is told, and the rest waits for a reviewer.
async fn finish(
    app: &App,
    person: &Person,
    id: EnrolmentId,
    form: &Form,
) -> Result<Result<(), CaptureRefusal>, ApiError> {
    let (now, identity) = (app.now(), person.identity());
    let enrolment = app.store.enrolment(id).await?;
    if enrolment.identity != identity {
        return Err(ApiError::not_found("enrolment"));
    }
    if enrolment.state != EnrolmentState::Challenged {
        return Ok(Err(CaptureRefusal::Used));
    }
    let chunks = app.store.chunks(id).await?;
    let facts: Vec<_> = chunks.iter().map(|chunk| chunk.facts).collect();
    let total: u64 = chunks.iter().map(|chunk| chunk.size_bytes).sum();
    let checked = check_capture(&facts);
    let refused = match checked {
        Err(refusal) => Some(refusal),
        Ok(_) if total > MAX_CAPTURE_BYTES => Some(CaptureRefusal::Length),
        Ok(_) => None,
    };
    let (checks, None) = (checked, refused) else {
        let refusal = refused.unwrap_or(CaptureRefusal::Length);
        app.store.refuse_capture(id, refusal, now).await?;
        return Ok(Err(refusal));
    };
    let checks = checks.map_err(|refusal| ApiError::internal(&refusal))?;
    let mut digest = Sha256::new();
    for chunk in &chunks {
        digest.update(&app.objects.get_all(&chunk.key).await?);
    }
    let kind = form.text("media_type")?.unwrap_or_default();
    let media_type = RECORDED.into_iter().find(|known| kind.starts_with(known));
    let media_type =
        media_type.ok_or_else(|| ApiError::invalid("media_type", "A browser records video/webm or video/mp4."))?;
    let puppet = read_puppet(form)?;
    let subject = Subject { identity, service: Service::Likeness, since: now };
    let still = match file(form, "still")? {
        Some(bytes) => {
            let picture = clean_picture(bytes, "still").await?;
            match refuse_still(app, identity, &picture.png).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(RefusalCode::ModerationBlocked.as_str()) => {
                    app.store.refuse_capture(id, CaptureRefusal::Picture, now).await?;
                    return Ok(Err(CaptureRefusal::Picture));
                }
                Err(error) => return Err(error),
            }
            Some(app.objects.put_upload(subject, &enrolment.likeness, picture.png).await?)
        }
        None => None,
    };
    let template = keep_puppet(app, person, enrolment.likeness, puppet).await?;
    let capture =
        Capture { media_type, sha256: digest.finalize().into(), checks, template: &template, still: still.as_ref() };
    if let Err(refusal) = app.store.finish_capture(identity, id, &capture, now).await? {
        app.store.refuse_capture(id, refusal, now).await?;
        return Ok(Err(refusal));
    }
    after_capture(app, id).await?;
    Ok(Ok(()))
}

/// How someone is drawn, from the fields of a form.
fn read_puppet(form: &Form) -> Result<Puppet, ApiError> {
    fn one<T>(form: &Form, name: &'static str, read: fn(&str) -> Option<T>) -> Result<T, ApiError> {
        read(form.needed_text(name)?).ok_or_else(|| ApiError::invalid(name, "There is no such look."))
    }
    Ok(Puppet {
        skin: one(form, "skin", Skin::from_word)?,
        hair_style: one(form, "hair_style", HairStyle::from_word)?,
        hair_colour: one(form, "hair_colour", HairColour::from_word)?,
        shirt: one(form, "shirt", Shirt::from_word)?,
        hat: one(form, "hat", Hat::from_word)?,
        glasses: form.flag("glasses")?.unwrap_or(false),
    })
}

/// Keeps how someone is drawn, sealed with their own key.
async fn keep_puppet(app: &App, person: &Person, likeness: LikenessId, puppet: Puppet) -> Result<ObjectKey, ApiError> {
    let subject = Subject { identity: person.identity(), service: Service::Likeness, since: app.now() };
    Ok(app.objects.put_upload(subject, &likeness, puppet.to_string().into()).await?)
}

/// How someone is drawn, as their own page and a reviewer see it.
pub(super) async fn puppet_of(app: &App, template: Option<&ObjectKey>) -> Result<Option<Puppet>, ApiError> {
    let Some(key) = template else { return Ok(None) };
    let line = app.objects.get_all(key).await?;
    Ok(std::str::from_utf8(&line).ok().and_then(Puppet::read))
}

async fn cancel(State(app): State<App>, person: Person) -> Result<Response, ApiError> {
    app.store.withdraw_enrolment(person.identity(), app.now()).await?;
    Ok(go("/account/likeness"))
}

/// Corrects how one is drawn, while the enrolment waits and after.
async fn redraw(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let drawn = async {
        let (likeness, enrolment) = own_likeness(&app, person.identity()).await?;
        let puppet = read_puppet(&form)?;
        if let Some(likeness) = likeness.filter(|likeness| likeness.revoked_at.is_none()) {
            let key = keep_puppet(&app, &person, likeness.id, puppet).await?;
            app.store.redraw_likeness(person.identity(), &key).await?;
        } else {
            let enrolment: Enrolment = enrolment.ok_or_else(|| ApiError::not_found("enrolment"))?;
            let key = keep_puppet(&app, &person, enrolment.likeness, puppet).await?;
            app.store.redraw_enrolment(person.identity(), &key).await?;
        }
        Ok::<_, ApiError>(())
    };
    let page = likeness_page(&app, &visitor, &person);
    after_form(&visitor, drawn.await, "/account/likeness?notice=drawn", page, |page, said| page.said = Some(said)).await
}

/// Each look with its words, and which is chosen.
pub(super) struct Looks {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) choices: Vec<(&'static str, &'static str, bool)>,
}

/// The looks that there are, in someone's language.
pub(super) fn looks(words: &Words, puppet: Puppet) -> Vec<Looks> {
    fn list<T: Copy + PartialEq>(
        words: &Words,
        name: &'static str,
        all: &'static [T],
        word: fn(T) -> &'static str,
        chosen: T,
    ) -> Looks {
        let say = |one: &T| {
            let key = word(*one).replace(' ', "_");
            let set = if matches!(name, "shirt" | "hair_colour") { "colour" } else { name };
            (word(*one), words.say(&format!("puppet.{set}_{key}")), *one == chosen)
        };
        Looks { name, label: words.say(&format!("puppet.{name}")), choices: all.iter().map(say).collect() }
    }
    vec![
        list(words, "skin", Skin::ALL, Skin::as_str, puppet.skin),
        list(words, "hair_style", HairStyle::ALL, HairStyle::as_str, puppet.hair_style),
        list(words, "hair_colour", HairColour::ALL, HairColour::as_str, puppet.hair_colour),
        list(words, "shirt", Shirt::ALL, Shirt::as_str, puppet.shirt),
        list(words, "hat", Hat::ALL, Hat::as_str, puppet.hat),
    ]
}
