//! Looking at captures: a verifier service if there is one, and people. Whoever looks says point by point what they saw and heard.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use platform::likeness::{EnrolmentState, REVIEW, consent_text, limits_version};
use platform::{
    ConsentId, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope,
    EnrolmentId, IdentityId, Role, Service,
};
use store::{Approval, AuditEntry, Enrolment, Verdict};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::content::send_object;
use crate::http::error::ApiError;
use crate::http::likeness::{ConsentFacts, sign_consent};
use crate::http::page::Id;
use crate::letters;
use crate::likeness_verifier::{Seen, VerifierOutcome, ask};
use crate::web::enrolment::{Looks, looks, puppet_of};
use crate::web::guard::{Visitor, administers};
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/moderation/likeness", Viewer::Person, show_queue),
        get("/moderation/likeness/{id}", Viewer::Person, show_enrolment),
        get("/moderation/likeness/{id}/capture", Viewer::Person, send_capture),
        get("/moderation/likeness/{id}/still", Viewer::Person, send_still),
        post("/moderation/likeness/{id}", Viewer::Person, decide),
    ]
}

/// Enrolments on a page of the queue.
const WAITING: u32 = 50;

/// Whoever does not review does not learn that there is anything to review.
fn reviewer(person: &Person) -> Result<(), ApiError> {
    let may = person.role(Service::Likeness) >= Role::Moderator || administers(person);
    if may { Ok(()) } else { Err(ApiError::not_found("page")) }
}

/// Hands a capture that has come to the verifier, if there is one. What it is not sure of, or does not answer, waits for a person.
pub(super) async fn after_capture(app: &App, id: EnrolmentId) -> Result<(), ApiError> {
    let Some(place) = &app.settings.likeness_verifier else { return Ok(()) };
    let enrolment = app.store.enrolment(id).await?;
    let text = consent_text(enrolment.consent_version, &enrolment.language);
    let sentence = text.map_or("", |text| text.sentence());
    let mut capture = Vec::new();
    for chunk in app.store.chunks(id).await? {
        capture.extend_from_slice(&app.objects.get_all(&chunk.key).await?);
    }
    let still = match &enrolment.still {
        Some(key) => Some(app.objects.get_all(key).await?),
        None => None,
    };
    let seen = Seen { capture: Bytes::from(capture), still };
    let said = match ask(app, place, &enrolment, sentence, seen).await {
        Ok(said) => said,
        Err(error) => {
            tracing::warn!(%error, "a capture waits for a person");
            return Ok(());
        }
    };
    let note = serde_json::json!({ "name": said.name, "seen": said.points(), "reason": said.reason });
    app.store.note_verifier(id, &note.to_string()).await?;
    let enrolment = app.store.enrolment(id).await?;
    let points = said.points().join(" ");
    match said.outcome {
        VerifierOutcome::Approved if said.approves() => approve(app, &enrolment, None, &points).await,
        VerifierOutcome::Refused => refuse(app, &enrolment, None, &points, &said.reason).await,
        _ => Ok(()),
    }
}

struct Waiting {
    id: String,
    handle: String,
    at: Moment,
}

#[derive(Template)]
#[template(path = "review_queue.html")]
struct QueuePage {
    shell: Shell,
    waiting: Vec<Waiting>,
}

async fn show_queue(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    reviewer(&person)?;
    let waiting = app.store.enrolments_to_review(WAITING).await?;
    let show = |one: &Enrolment| Waiting {
        id: one.id.to_string(),
        handle: one.handle.as_str().to_owned(),
        at: Moment::of(one.captured_at.unwrap_or(one.issued_at)),
    };
    let shell = Shell::new(&app, &visitor, "review.title", Here::Admin);
    Ok(html(&QueuePage { shell, waiting: waiting.iter().map(show).collect() }))
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    shell: Shell,
    id: String,
    handle: String,
    sentence: &'static str,
    words: Vec<String>,
    turns: Vec<&'static str>,
    /// What was found without knowing a face: seconds, percent with movement, loudness.
    checks: Option<(u32, u32, u32)>,
    verifier: Option<String>,
    points: Vec<(&'static str, &'static str)>,
    looks: Vec<Looks>,
    glasses: bool,
    own: bool,
    /// Whether there is a still beside the recording.
    still: bool,
    said: Option<String>,
}

async fn review_page(app: &App, visitor: &Visitor, person: &Person, id: EnrolmentId) -> Result<ReviewPage, ApiError> {
    let enrolment = waiting(app, id).await?;
    let words = visitor.words;
    let text = consent_text(enrolment.consent_version, &enrolment.language);
    let puppet = puppet_of(app, enrolment.template.as_ref()).await?;
    Ok(ReviewPage {
        shell: Shell::new(app, visitor, "review.title", Here::Admin),
        id: id.to_string(),
        handle: enrolment.handle.as_str().to_owned(),
        sentence: text.map_or("", |text| text.sentence()),
        turns: enrolment.turns.iter().map(|turn| words.say(&format!("turn.{}", turn.as_str()))).collect(),
        checks: enrolment.checks.map(|checks| (checks.seconds, checks.moved_percent, checks.level)),
        verifier: enrolment.verifier.clone(),
        points: REVIEW.map(|point| (point.as_str(), words.say(&format!("review.point_{}", point.as_str())))).into(),
        looks: puppet.map_or(Vec::new(), |puppet| looks(words, puppet)),
        glasses: puppet.is_some_and(|puppet| puppet.glasses),
        own: enrolment.identity == person.identity(),
        still: enrolment.still.is_some(),
        words: enrolment.words,
        said: None,
    })
}

/// An enrolment that waits for a decision.
async fn waiting(app: &App, id: EnrolmentId) -> Result<Enrolment, ApiError> {
    let enrolment = app.store.enrolment(id).await?;
    if enrolment.state == EnrolmentState::Reviewing { Ok(enrolment) } else { Err(ApiError::not_found("enrolment")) }
}

async fn show_enrolment(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<EnrolmentId>,
) -> Result<Response, ApiError> {
    reviewer(&person)?;
    let page = review_page(&app, &visitor, &person, id).await?;
    let enrolment = app.store.enrolment(id).await?;
    looked(&app, &person, &enrolment, "enrolment.look").await?;
    Ok(html(&page))
}

/// That someone looked at a face stands in the record, whichever address showed it.
async fn looked(app: &App, person: &Person, enrolment: &Enrolment, action: &str) -> Result<(), ApiError> {
    let entry = AuditEntry {
        at: app.now(),
        actor: Some(person.identity()),
        action: action.into(),
        subject: enrolment.identity.to_string(),
        detail: enrolment.id.to_string(),
    };
    Ok(app.store.record_audit(&entry).await?)
}

/// The still that was taken with the recording.
async fn send_still(
    State(app): State<App>,
    person: Person,
    Id(id): Id<EnrolmentId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    reviewer(&person)?;
    let enrolment = waiting(&app, id).await?;
    let key = enrolment.still.as_ref().ok_or_else(|| ApiError::not_found("picture"))?;
    looked(&app, &person, &enrolment, "enrolment.look_still").await?;
    let mut response = send_object(&app, key, "image/png", &format!("{id}.png"), &headers).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// The capture, its pieces one behind another, as the browser recorded them.
async fn send_capture(State(app): State<App>, person: Person, Id(id): Id<EnrolmentId>) -> Result<Response, ApiError> {
    reviewer(&person)?;
    let enrolment = waiting(&app, id).await?;
    looked(&app, &person, &enrolment, "enrolment.look_capture").await?;
    let chunks = app.store.chunks(id).await?;
    let kind = enrolment.media_type.unwrap_or_else(|| "application/octet-stream".into());
    let objects = app.objects.clone();
    let pieces = stream::iter(chunks).then(move |chunk| {
        let objects = objects.clone();
        async move { Ok::<_, store::StoreError>(objects.get(&chunk.key, None).await?.stream) }
    });
    let mut response = Body::from_stream(pieces.try_flatten()).into_response();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Id(id): Id<EnrolmentId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    reviewer(&person)?;
    let enrolment = waiting(&app, id).await?;
    let decided = async {
        if enrolment.identity == person.identity() {
            return Err(ApiError::forbidden("review_own", "Nobody reviews themself."));
        }
        let mut seen = Vec::new();
        for point in REVIEW {
            if form.flag(point.as_str())?.unwrap_or(false) {
                seen.push(point.as_str());
            }
        }
        let by = Some(person.identity());
        match form.text("decision")? {
            Some("approve") if seen.len() == REVIEW.len() => approve(&app, &enrolment, by, &seen.join(" ")).await,
            Some("approve") => Err(ApiError::missing("points")),
            Some("refuse") => refuse(&app, &enrolment, by, &seen.join(" "), form.text("reason")?.unwrap_or("")).await,
            _ => Err(ApiError::missing("decision")),
        }
    };
    let page = review_page(&app, &visitor, &person, id);
    after_form(&visitor, decided.await, "/moderation/likeness", page, |page, said| page.said = Some(said)).await
}

/// Makes a likeness of an enrolment: the consent is signed, with what was verified by whom.
async fn approve(app: &App, enrolment: &Enrolment, by: Option<IdentityId>, reviewed: &str) -> Result<(), ApiError> {
    let now = app.now();
    let consent = ConsentId::new(now, app.random());
    let facts = ConsentFacts {
        id: consent,
        identity: enrolment.identity,
        likeness: enrolment.likeness,
        enrolment,
        terms: &enrolment.terms,
        version: enrolment.consent_version,
        reviewed,
    };
    let statement = sign_consent(app, &facts, now)?;
    let approval = Some(Approval { consent, statement: &statement });
    app.store.decide_enrolment(enrolment.id, &Verdict { by, reviewed, approval, refusal: None }, now).await?;
    let entry = AuditEntry {
        at: now,
        actor: by,
        action: "enrolment.approve".into(),
        subject: enrolment.identity.to_string(),
        detail: enrolment.id.to_string(),
    };
    app.store.record_audit(&entry).await?;
    tell(app, enrolment.identity, "letter.enrolled", enrolment.handle.as_str()).await
}

/// Refuses an enrolment, with the reasons.
async fn refuse(
    app: &App,
    enrolment: &Enrolment,
    by: Option<IdentityId>,
    reviewed: &str,
    reason: &str,
) -> Result<(), ApiError> {
    let now = app.now();
    let missing: Vec<_> = REVIEW
        .iter()
        .map(|point| point.as_str())
        .filter(|point| !reviewed.split_whitespace().any(|seen| seen == *point))
        .collect();
    let reason: String = reason.chars().take(1000).collect();
    let refusal = DecisionRecord {
        id: DecisionId::new(now, app.random()),
        subject: enrolment.identity,
        scope: DecisionScope::Item,
        service: Some(Service::Likeness),
        effect: DecisionEffect::Refuse,
        item: DecidedItem::new(DecidedKind::Enrolment, enrolment.id.bytes()),
        ground: "enrolment".into(),
        rule: DecidedRule { id: "likeness.enrolment".into(), version: limits_version().into() },
        facts: format!("Not seen or heard: {}. {reason}", missing.join(", ")),
        evidence: String::new(),
        unlawful: false,
        automated_detection: by.is_none(),
        author: by,
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: None,
    };
    let verdict = Verdict { by, reviewed, approval: None, refusal: Some(&refusal) };
    app.store.decide_enrolment(enrolment.id, &verdict, now).await?;
    Ok(())
}

/// Writes someone a letter of one sentence.
async fn tell(app: &App, identity: IdentityId, key: &str, thing: &str) -> Result<(), ApiError> {
    let words = Words::of(&app.settings.language).unwrap_or_else(Words::first);
    let subject = words.say("likeness.title");
    let body = format!("{}\n\n{}/account/likeness\n", words.fill(key, &[&thing]), app.settings.base_url);
    let to = app.store.identity(identity).await?.email;
    Ok(letters::post(app, &to, subject, body).await?)
}
