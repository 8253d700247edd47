//! One's own likeness: lent, seen in use, withdrawn; and the question whether one may use another's.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use platform::likeness::{
    Audience, CONSENT_VERSION, ConsentTerms, LimitKind, Limits, Purposes, REVIEW, TermsRefusal, WrittenRefusal,
    consent_text, limits_version,
};
use platform::{
    ConsentId, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope,
    Handle, IdentityId, LikenessId, RefusalCode, Scope, Service, Timestamp, UseId, hex,
};
use serde::Serialize;
use serde_json::{Value as Json_, json};
use store::{Enrolment, Likeness, NewConsent, RemovedUse, Revoked, Use, UseOutcome};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List, Values, path_texts};
use crate::http::video_object::Deleted;

const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Video));

/// What consents are, for whoever verifies one.
const KIND: &str = "misora-likeness-consent+json";
/// Uses on a page of the list.
const USES: u32 = 100;
/// A year of a consent, in seconds.
const YEAR: u64 = 365 * 86_400;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/likenesses/{handle}", READ, check_likeness)
            .says("Says whether one may use someone's likeness, without making anything.")
            .query(&[("prompt", "What would be shown; then the person's limits are judged too.")])
            .answers::<LikenessAnswer>(),
        get("/api/likeness", Access::Person, retrieve_likeness)
            .says("Reads one's own likeness: who may use it, within which limits, by which consent.")
            .answers::<OwnLikeness>(),
        post("/api/likeness", Access::Person, lend_likeness)
            .says("Lends one's likeness anew: another audience, other limits, another end. A new signed consent takes the place of the one before.")
            .reads::<LendLikeness>(BodyKind::Json)
            .answers::<OwnLikeness>(),
        post("/api/likeness/withdraw", Access::Person, withdraw_likeness)
            .says("Withdraws one's likeness: nobody makes anything with it any more, what waits is cancelled, what is shown is hidden.")
            .answers::<Withdrawn>(),
        get("/api/likeness/uses", Access::Person, list_likeness_uses)
            .says("Lists every use of one's likeness: others' drafts and attempts that were refused among them, the newest first.")
            .query(&[("after", "The last id of the page before.")])
            .answers_list::<ShownUse>(),
        delete("/api/likeness/uses/{id}", Access::Person, delete_likeness_use)
            .says("Deletes a clip in which one appears, whosever it is. Its maker gets the reasons.")
            .answers::<Deleted>(),
    ]
}

/// Whether one may use a likeness.
#[derive(Serialize, ToSchema)]
pub(crate) struct LikenessAnswer {
    /// Always `likeness.permission`.
    object: &'static str,
    /// The handle that was asked for.
    handle: String,
    /// Whether a request for it would be accepted now.
    permitted: bool,
    /// Why not, one word: `unknown`, `likeness_revoked`, `likeness_consent_outdated`, `likeness_not_permitted` or `likeness_limit`.
    reason: Option<&'static str>,
}

/// One's own likeness.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnLikeness {
    /// Always `likeness`.
    object: &'static str,
    /// Where it stands: `none`, `challenged`, `reviewing`, `refused`, `lapsed`, `standing` or `withdrawn`.
    state: &'static str,
    /// How prompts name it.
    handle: Option<String>,
    /// Who may use it: `only_me`, `approved`, `mutuals` or `everyone`.
    audience: Option<&'static str>,
    /// Kinds of scenes that are off.
    limits: Vec<&'static str>,
    /// Limits in one's own words.
    written_limits: Vec<String>,
    /// The consent that stands.
    consent: Option<String>,
    /// Unix seconds at which it ends by itself.
    expires_at: Option<i64>,
    /// Whether the words of the consent are new since, so that they must be agreed to before the next use.
    outdated: bool,
}

/// How to lend one's likeness.
#[derive(Serialize, ToSchema)]
pub(crate) struct LendLikeness {
    /// `only_me`, `approved`, `mutuals` or `everyone`.
    audience: String,
    /// Kinds of scenes to switch off: `politics`, `body_change`, `sexualised`, `demeaning`, `hate`, `advertising`.
    limits: Option<Vec<String>>,
    /// Limits in one's own words, one a line, each of which says what must not be shown.
    written_limits: Option<String>,
    /// How many years the consent lasts, 1 to 10.
    #[schema(minimum = 1, maximum = 10)]
    years: Option<u32>,
    /// Said again for `everyone`.
    confirm_everyone: Option<bool>,
    /// Whether this installation may look for clips in which one appears unasked.
    detect: Option<bool>,
    /// Whether a model may learn from it. Nothing here does.
    train: Option<bool>,
    /// The version of the text that is agreed to: today's.
    agree: u32,
}

/// What a withdrawal did.
#[derive(Serialize, ToSchema)]
pub(crate) struct Withdrawn {
    /// Always `likeness`.
    object: &'static str,
    /// Always `withdrawn`.
    state: &'static str,
    /// Clips that waited and were cancelled.
    cancelled: u64,
    /// Clips that are being made and stop now.
    stopping: u64,
}

/// A use.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownUse {
    /// Its id.
    id: String,
    /// Always `likeness.use`.
    object: &'static str,
    /// Unix seconds.
    created_at: i64,
    /// The maker's handle, if they have a profile.
    maker: Option<String>,
    /// The prompt, as far as it is there.
    prompt: String,
    /// `draft`, `shown`, `under_way`, `failed`, `refused`, `deleted` or `gone`.
    status: &'static str,
    /// Why it was refused, one word.
    refusal: Option<&'static str>,
    /// The clip.
    video: Option<String>,
    /// The post that shows it.
    post: Option<String>,
}

/// The handle in a path.
pub(crate) struct HandleInPath(String);

impl<S: Send + Sync> FromRequestParts<S> for HandleInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(path_texts(parts, state).await.pop().unwrap_or_default()))
    }
}

async fn check_likeness(
    State(app): State<App>,
    caller: KeyCaller,
    HandleInPath(handle): HandleInPath,
    values: Values,
) -> Result<Json<LikenessAnswer>, ApiError> {
    let shown: String = handle.chars().take(80).collect();
    let answer = |reason: Option<&'static str>| LikenessAnswer {
        object: "likeness.permission",
        handle: shown,
        permitted: reason.is_none(),
        reason,
    };
    let likeness = match Handle::read(&handle) {
        Ok(handle) => app.store.likeness_named(&handle).await?,
        Err(_) => None,
    };
    let Some(likeness) = likeness else { return Ok(Json(answer(Some("unknown")))) };
    let maker = caller.project.owner;
    let reason = match app.store.likeness_permission(maker, likeness.id, app.now()).await? {
        Err(refusal) => Some(refusal.as_str()),
        Ok(permission) if permission.owner() == maker => None,
        Ok(_) => {
            let hit = values.get("prompt").and_then(|prompt| likeness.limits.judge(prompt));
            hit.map(|_| RefusalCode::LikenessLimit.as_str())
        }
    };
    Ok(Json(answer(reason)))
}

/// One's likeness and the last enrolment, as they stand.
pub(crate) async fn own_likeness(
    app: &App,
    identity: IdentityId,
) -> Result<(Option<Likeness>, Option<Enrolment>), ApiError> {
    Ok((app.store.likeness_of(identity).await?, app.store.last_enrolment(identity).await?))
}

async fn retrieve_likeness(State(app): State<App>, person: Person) -> Result<Json<OwnLikeness>, ApiError> {
    let (likeness, enrolment) = own_likeness(&app, person.identity()).await?;
    let standing = likeness.as_ref().filter(|likeness| likeness.revoked_at.is_none());
    let state = match (standing, &enrolment) {
        (Some(_), _) => "standing",
        (None, Some(enrolment)) => enrolment.state.as_str(),
        (None, None) => "none",
    };
    Ok(Json(OwnLikeness {
        object: "likeness",
        state,
        handle: standing.map(|likeness| likeness.handle.as_str().to_owned()),
        audience: standing.map(|likeness| likeness.audience.as_str()),
        limits: standing.map_or(Vec::new(), |own| own.limits.kinds().iter().map(|kind| kind.as_str()).collect()),
        written_limits: standing.map_or(Vec::new(), |own| own.limits.written().to_vec()),
        consent: standing.map(|likeness| likeness.consent.to_string()),
        expires_at: standing.map(|likeness| likeness.consent_until.seconds()),
        outdated: standing.is_some_and(|likeness| likeness.consent_version != CONSENT_VERSION),
    }))
}

/// What a form says of a consent. Kinds of scenes come as a list, or as a field each.
pub(crate) fn read_terms(form: &Form, now: Timestamp) -> Result<ConsentTerms, ApiError> {
    let audience = form.text("audience")?.unwrap_or(Audience::OnlyMe.as_str());
    let audience = Audience::from_word(audience)
        .ok_or_else(|| ApiError::invalid("audience", "An audience is only_me, approved, mutuals or everyone."))?;
    let mut kinds = Vec::new();
    if let Some(words) = form.texts("limits")? {
        for word in words {
            let kind = LimitKind::from_word(&word);
            kinds.push(kind.ok_or_else(|| ApiError::invalid("limits", "There is no such kind of limit."))?);
        }
    }
    for kind in LimitKind::ALL {
        if form.flag(&format!("limit_{}", kind.as_str()))?.unwrap_or(false) {
            kinds.push(kind);
        }
    }
    let limits = Limits::new(&kinds, form.text("written_limits")?.unwrap_or_default());
    let limits =
        limits.map_err(|refusal: WrittenRefusal| ApiError::invalid("written_limits", format!("{refusal}.")))?;
    let years = form.whole("years", 1, 10)?.unwrap_or(1);
    let purposes = Purposes {
        generate: true,
        detect: form.flag("detect")?.unwrap_or(false),
        train: form.flag("train")?.unwrap_or(false),
    };
    let expires_at = now + std::time::Duration::from_secs(years * YEAR);
    let confirmed = form.flag("confirm_everyone")?.unwrap_or(false);
    let terms = ConsentTerms { purposes, audience, limits, expires_at };
    terms.checked(confirmed, now).map_err(|refusal| match refusal {
        TermsRefusal::Length => ApiError::invalid("years", format!("{refusal}.")),
        TermsRefusal::Unconfirmed => ApiError::invalid("confirm_everyone", format!("{refusal}.")),
    })
}

/// Lends one's likeness anew.
pub(crate) async fn lend(app: &App, person: &Person, form: &Form) -> Result<(), ApiError> {
    let now = app.now();
    let terms = read_terms(form, now)?;
    if form.whole("agree", 1, u64::from(u32::MAX))? != Some(u64::from(CONSENT_VERSION)) {
        return Err(ApiError::invalid("agree", format!("Agree to version {CONSENT_VERSION} of the consent's text.")));
    }
    person.membership(Service::Likeness).active()?;
    person.fresh(now)?;
    let (likeness, enrolment) = own_likeness(app, person.identity()).await?;
    let likeness = likeness.ok_or_else(|| ApiError::not_found("likeness"))?;
    let enrolment = enrolment.ok_or_else(|| ApiError::not_found("enrolment"))?;
    let id = ConsentId::new(now, app.random());
    let facts = ConsentFacts {
        id,
        identity: person.identity(),
        likeness: likeness.id,
        enrolment: &enrolment,
        terms: &terms,
        version: CONSENT_VERSION,
        reviewed: enrolment.reviewed.as_deref().unwrap_or_default(),
    };
    let statement = sign_consent(app, &facts, now)?;
    let consent = NewConsent { id, version: CONSENT_VERSION, terms: &terms, statement: &statement };
    app.store.lend(person.identity(), &consent, now).await?;
    Ok(())
}

async fn lend_likeness(State(app): State<App>, person: Person, form: Form) -> Result<Json<OwnLikeness>, ApiError> {
    lend(&app, &person, &form).await?;
    retrieve_likeness(State(app), person).await
}

/// What a consent's receipt tells.
pub(crate) struct ConsentFacts<'a> {
    pub(crate) id: ConsentId,
    pub(crate) identity: IdentityId,
    pub(crate) likeness: LikenessId,
    pub(crate) enrolment: &'a Enrolment,
    pub(crate) terms: &'a ConsentTerms,
    pub(crate) version: u32,
    /// The points that a reviewer or a verifier saw, with spaces between.
    pub(crate) reviewed: &'a str,
}

/// Signs a consent: the words that were shown, what was chosen, and what was verified by whom. What nobody looked at says so.
pub(crate) fn sign_consent(app: &App, facts: &ConsentFacts<'_>, now: Timestamp) -> Result<String, ApiError> {
    let ConsentFacts { id, identity, likeness, enrolment, terms, version, reviewed } = facts;
    let text =
        consent_text(*version, &enrolment.language).ok_or_else(|| ApiError::internal(&"a consent has no text"))?;
    let by_program = |what: &str, result: Json_| json!({ "what": what, "by": "this program", "result": result });
    let mut verified = vec![
        by_program("the challenge was drawn by chance and answered once, in time", json!(true)),
        by_program("the same recording never came before", json!(true)),
    ];
    if let Some(checks) = enrolment.checks {
        verified.push(by_program("the recording came in pieces while it was recorded, seconds", json!(checks.seconds)));
        let by = "the person's browser, which this program cannot check";
        verified.push(
            json!({ "what": "pieces in which something moves, percent", "by": by, "result": checks.moved_percent }),
        );
        verified.push(json!({ "what": "loudest moment, 0 to 100", "by": by, "result": checks.level }));
    }
    let reviewer = if enrolment.verifier.is_some() {
        "a verifier service, or a person who reviewed it"
    } else {
        "a person who reviewed it"
    };
    for point in REVIEW {
        let seen = reviewed.split_whitespace().any(|word| word == point.as_str());
        let by = if seen { reviewer } else { "nobody" };
        verified.push(json!({ "what": point.as_str(), "by": by, "result": seen }));
    }
    verified.push(json!({ "what": "identity documents", "by": "nobody", "result": "not checked" }));
    verified.push(
        json!({ "what": "age", "by": "the person's own declaration, and the reviewer's eye", "result": "18 or older" }),
    );
    let turns: Vec<_> = enrolment.turns.iter().map(|turn| turn.as_str()).collect();
    let kinds: Vec<_> = terms.limits.kinds().iter().map(|kind| kind.as_str()).collect();
    let payload = json!({
        "id": id.to_string(),
        "installation": app.settings.base_url,
        "person": identity.to_string(),
        "likeness": likeness.to_string(),
        "handle": enrolment.handle.as_str(),
        "given_at": now.seconds(),
        "expires_at": terms.expires_at.seconds(),
        "text": { "version": version, "language": text.language, "sha256": hex(&text.hash()), "words": text.text },
        "spoken": { "sentence": text.sentence(), "words": enrolment.words, "turns": turns },
        "purposes": { "generate": terms.purposes.generate, "detect": terms.purposes.detect, "train": terms.purposes.train },
        "audience": terms.audience.as_str(),
        "limits": { "version": limits_version(), "kinds": kinds, "written": terms.limits.written() },
        "enrolment": {
            "id": enrolment.id.to_string(),
            "captured_at": enrolment.captured_at.map(Timestamp::seconds),
            "capture_sha256": enrolment.capture_sha256.as_deref().map(hex),
        },
        "verified": verified,
    });
    provenance::sign_statement(&app.signing_key, KIND, payload.to_string().as_bytes())
        .map_err(|error| ApiError::internal(&error))
}

/// Withdraws one's likeness; whoever shows something with it gets the reasons.
pub(crate) async fn withdraw(app: &App, identity: IdentityId) -> Result<Revoked, ApiError> {
    let revoked = app.store.withdraw_likeness(identity, app.now()).await?;
    after_withdrawal(app, &revoked).await?;
    Ok(revoked)
}

/// Stops what runs, and destroys the key of what was kept.
pub(crate) async fn after_withdrawal(app: &App, revoked: &Revoked) -> Result<(), ApiError> {
    app.worker_signal.cancel_asked();
    // What was not deleted yet, and what lies in backups, cannot be read from now on.
    app.objects.destroy_key(revoked.identity, Service::Likeness, app.now()).await?;
    Ok(())
}

async fn withdraw_likeness(State(app): State<App>, person: Person) -> Result<Json<Withdrawn>, ApiError> {
    let revoked = withdraw(&app, person.identity()).await?;
    Ok(Json(Withdrawn {
        object: "likeness",
        state: "withdrawn",
        cancelled: revoked.cancelled as u64,
        stopping: revoked.running as u64,
    }))
}

/// Where a use stands, as a word.
pub(crate) fn use_status(one: &Use) -> &'static str {
    use platform::{GenerationState, PostState};
    match (&one.outcome, one.removed_at, &one.post, one.state) {
        (UseOutcome::Made, Some(_), ..) => "deleted",
        (UseOutcome::Made, None, Some((_, PostState::Published)), _) => "shown",
        (UseOutcome::Made, None, _, Some(GenerationState::Completed)) => "draft",
        (UseOutcome::Made, None, _, Some(GenerationState::Queued | GenerationState::InProgress)) => "under_way",
        (UseOutcome::Made, None, _, Some(GenerationState::Failed | GenerationState::Cancelled)) => "failed",
        (UseOutcome::Made, None, ..) => "gone",
        _ => "refused",
    }
}

/// Why a use was refused, as a word.
pub(crate) fn use_refusal(one: &Use) -> Option<&'static str> {
    match &one.outcome {
        UseOutcome::Made => None,
        UseOutcome::NotPermitted(refusal) => Some(refusal.as_str()),
        UseOutcome::Limited(_) => Some(RefusalCode::LikenessLimit.as_str()),
        UseOutcome::Blocked(_) => Some(RefusalCode::ModerationBlocked.as_str()),
    }
}

async fn list_likeness_uses(
    State(app): State<App>,
    person: Person,
    values: Values,
) -> Result<Json<List<ShownUse>>, ApiError> {
    let after = values.page::<UseId>()?.after;
    let uses = app.store.likeness_uses(person.identity(), after, USES + 1).await?;
    let show = |one: &Use| ShownUse {
        id: one.id.to_string(),
        object: "likeness.use",
        created_at: one.at.seconds(),
        maker: one.maker_handle.clone(),
        prompt: one.prompt.clone(),
        status: use_status(one),
        refusal: use_refusal(one),
        video: one.video.map(|id| id.to_string()),
        post: one.post.map(|(id, _)| id.to_string()),
    };
    Ok(Json(List::cut(uses, USES, show, |one| one.id.to_string())))
}

/// Deletes a clip in which one appears. The reasons for its maker are written with it.
pub(crate) async fn remove(app: &App, identity: IdentityId, id: UseId) -> Result<RemovedUse, ApiError> {
    let now = app.now();
    let decision_id = DecisionId::new(now, app.random());
    let reasons = |removed: &RemovedUse| {
        Some(DecisionRecord {
            id: decision_id,
            subject: removed.maker,
            scope: DecisionScope::Item,
            service: Some(Service::Video),
            effect: DecisionEffect::Remove,
            item: DecidedItem::new(DecidedKind::Likeness, id.bytes()),
            ground: "likeness".into(),
            rule: DecidedRule { id: "likeness.removed_by_person".into(), version: limits_version().into() },
            facts: format!(
                "The person who appears in {} deleted it, as everyone may with clips in which they appear.",
                removed.video
            ),
            evidence: String::new(),
            unlawful: false,
            automated_detection: false,
            // The person decides about their own likeness; nobody here did.
            author: Some(identity),
            second: None,
            strikes: 0,
            decided_at: now,
            ends_at: None,
        })
    };
    let removed = app.store.remove_use(identity, id, reasons, now).await?;
    app.worker_signal.cancel_asked();
    Ok(removed)
}

async fn delete_likeness_use(
    State(app): State<App>,
    person: Person,
    Id(id): Id<UseId>,
) -> Result<Json<Deleted>, ApiError> {
    remove(&app, person.identity(), id).await?;
    Ok(Json(Deleted::new(id, "likeness.use.deleted")))
}
