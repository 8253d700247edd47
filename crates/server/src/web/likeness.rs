//! One's own likeness: what was agreed to, who may, every use, and the way out.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use platform::likeness::{
    Audience, CONSENT_VERSION, EnrolmentState, HairColour, HairStyle, Hat, LimitKind, Limits, Puppet, Purposes, Shirt,
    Skin, consent_text,
};
use platform::{ConsentId, Handle, IdentityId, UseId};
use store::{Enrolment, LentTo, Likeness, Use};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::content::{Variant, not_kept, send_object};
use crate::http::error::ApiError;
use crate::http::likeness::{lend, own_likeness, remove, use_refusal, use_status, withdraw};
use crate::http::page::{Id, Values};
use crate::web::clip::IdAndWord;
use crate::web::enrolment::{Looks, looks, puppet_of};
use crate::web::guard::Visitor;
use crate::web::profile::whom;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/likeness", Viewer::Person, show_likeness),
        post("/account/likeness/lend", Viewer::Person, lend_anew),
        post("/account/likeness/people", Viewer::Person, mark_person),
        post("/account/likeness/withdraw", Viewer::Person, withdraw_now),
        get("/account/likeness/consents/{id}", Viewer::Person, send_consent),
        get("/account/likeness/uses", Viewer::Person, show_uses),
        get("/account/likeness/uses/{id}/media/{variant}", Viewer::Person, send_use),
        post("/account/likeness/uses/{id}/delete", Viewer::Person, delete_use),
        post("/account/likeness/uses/{id}/block", Viewer::Person, block_maker),
    ]
}

/// Uses on a page.
const USES: u32 = 30;

/// What someone looks like until they say.
const ANYONE: Puppet = Puppet {
    skin: Skin::Light,
    hair_style: HairStyle::Short,
    hair_colour: HairColour::Brown,
    shirt: Shirt::Blue,
    hat: Hat::Bare,
    glasses: false,
};

/// The form of a consent: what is chosen in it.
pub(super) struct Terms {
    pub(super) audiences: Vec<(&'static str, &'static str, bool)>,
    pub(super) kinds: Vec<(&'static str, &'static str, bool)>,
    pub(super) written: String,
    pub(super) detect: bool,
    pub(super) train: bool,
}

impl Terms {
    fn new(words: &Words, audience: Audience, limits: &Limits, purposes: Purposes) -> Self {
        let audiences = Audience::ALL
            .iter()
            .map(|one| (one.as_str(), words.say(&format!("audience.{}", one.as_str())), *one == audience));
        let kinds = LimitKind::ALL
            .iter()
            .filter(|kind| **kind != LimitKind::Hate)
            .map(|one| (one.as_str(), words.say(&format!("limit.{}", one.as_str())), limits.kinds().contains(one)));
        Self {
            audiences: audiences.collect(),
            kinds: kinds.collect(),
            written: limits.written().join("\n"),
            detect: purposes.detect,
            train: purposes.train,
        }
    }
}

pub(super) struct PersonLine {
    pub(super) id: String,
    pub(super) handle: String,
}

impl PersonLine {
    fn of(words: &Words, one: &LentTo) -> Self {
        let handle = one.handle.clone().unwrap_or_else(|| words.say("post.nobody").to_owned());
        Self { id: one.identity.to_string(), handle }
    }
}

#[derive(Template)]
#[template(path = "likeness.html")]
pub(super) struct LikenessPage {
    shell: Shell,
    /// `none`, `waiting`, `review` or `standing`.
    step: &'static str,
    /// Why the last enrolment came to nothing.
    failed: Option<&'static str>,
    handle: String,
    consent: Vec<&'static str>,
    version: u32,
    outdated: bool,
    terms: Terms,
    looks: Vec<Looks>,
    glasses: bool,
    approved: Vec<PersonLine>,
    blocked: Vec<PersonLine>,
    consents: Vec<(String, Moment, bool)>,
    until: Option<Moment>,
    notice: Option<&'static str>,
    pub(super) said: Option<String>,
}

pub(super) async fn likeness_page(app: &App, visitor: &Visitor, person: &Person) -> Result<LikenessPage, ApiError> {
    let (words, identity) = (visitor.words, person.identity());
    let (likeness, enrolment) = own_likeness(app, identity).await?;
    let likeness: Option<Likeness> = likeness.filter(|likeness| likeness.revoked_at.is_none());
    let step = match (&likeness, &enrolment) {
        (Some(_), _) => "standing",
        (None, Some(one)) if one.state == EnrolmentState::Challenged && app.now() < one.expires_at => "waiting",
        (None, Some(one)) if one.state == EnrolmentState::Reviewing => "review",
        _ => "none",
    };
    let template = match (&likeness, &enrolment) {
        (Some(likeness), _) => likeness.template.clone(),
        (None, Some(one)) if matches!(step, "waiting" | "review") => one.template.clone(),
        // What came to nothing was deleted, or is about to be.
        (None, _) => None,
    };
    let puppet = puppet_of(app, template.as_ref()).await?.unwrap_or(ANYONE);
    let text =
        consent_text(CONSENT_VERSION, words.tag()).ok_or_else(|| ApiError::internal(&"a consent has no text"))?;
    let terms = match &likeness {
        Some(own) => Terms::new(words, own.audience, &own.limits, own.purposes),
        None => Terms::new(words, Audience::OnlyMe, &Limits::default(), Purposes::default()),
    };
    let (mut approved, mut blocked) = (Vec::new(), Vec::new());
    if let Some(own) = &likeness {
        approved = app.store.approved_makers(own.id).await?;
        blocked = app.store.blocked_makers(own.id).await?;
    }
    let consents = app.store.consents(identity).await?;
    let handle = match (&likeness, &enrolment) {
        (Some(own), _) => own.handle.as_str().to_owned(),
        (None, Some(one)) => one.handle.as_str().to_owned(),
        (None, None) => {
            let profile = app.store.profile_of(crate::web::post::viewer(visitor), identity).await.ok();
            profile.map_or(String::new(), |profile| profile.handle.as_str().to_owned())
        }
    };
    Ok(LikenessPage {
        shell: Shell::new(app, visitor, "likeness.title", Here::Account),
        step,
        failed: enrolment.as_ref().filter(|_| step == "none").and_then(|one| why(words, one)),
        handle,
        consent: text.text.lines().filter(|line| !line.is_empty()).collect(),
        version: text.version,
        outdated: likeness.as_ref().is_some_and(|own| own.consent_version != CONSENT_VERSION),
        terms,
        looks: looks(words, puppet),
        glasses: puppet.glasses,
        approved: approved.iter().map(|one| PersonLine::of(words, one)).collect(),
        blocked: blocked.iter().map(|one| PersonLine::of(words, one)).collect(),
        consents: consents
            .iter()
            .map(|one| (one.id.to_string(), Moment::of(one.given_at), one.ended_at.is_none()))
            .collect(),
        until: likeness.as_ref().map(|own| Moment::of(own.consent_until)),
        notice: None,
        said: None,
    })
}

/// Why an enrolment came to nothing.
fn why(words: &Words, enrolment: &Enrolment) -> Option<&'static str> {
    match (enrolment.state, enrolment.ground.as_deref()) {
        (EnrolmentState::Refused, _) => Some(words.say("likeness.was_refused")),
        (EnrolmentState::Lapsed, Some("replaced")) => None,
        (EnrolmentState::Lapsed, Some(ground)) => Some(words.say(&format!("capture.refused_{ground}"))),
        _ => None,
    }
}

async fn show_likeness(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let notice = match values.get("notice") {
        Some("drawn") => Some(visitor.words.say("likeness.drawn")),
        Some("lent") => Some(visitor.words.say("likeness.lent")),
        Some("withdrawn") => Some(visitor.words.say("likeness.withdrawn")),
        _ => None,
    };
    Ok(html(&LikenessPage { notice, ..likeness_page(&app, &visitor, &person).await? }))
}

async fn lend_anew(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let lent = lend(&app, &person, &form).await;
    let page = likeness_page(&app, &visitor, &person);
    after_form(&visitor, lent, "/account/likeness?notice=lent", page, |page, said| page.said = Some(said)).await
}

/// Approves or blocks someone, or no longer: by their handle, or as they stand in the list.
async fn mark_person(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let marked = async {
        let who: IdentityId = match (form.text("person")?, form.text("handle")?) {
            (Some(id), _) => id.parse().map_err(|_| ApiError::not_found("person"))?,
            (None, Some(handle)) => {
                let handle = Handle::read(handle).map_err(|_| ApiError::not_found("person"))?;
                whom(&app, &visitor, &handle).await?.identity
            }
            (None, None) => return Err(ApiError::missing("handle")),
        };
        let (on, me, now) = (form.flag("on")?.unwrap_or(true), person.identity(), app.now());
        match form.text("mark")? {
            Some("block") => app.store.block_maker(me, who, on, now).await?,
            _ => app.store.approve_maker(me, who, on, now).await?,
        }
        Ok::<_, ApiError>(())
    };
    let page = likeness_page(&app, &visitor, &person);
    after_form(&visitor, marked.await, "/account/likeness", page, |page, said| page.said = Some(said)).await
}

async fn withdraw_now(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    let withdrawn = withdraw(&app, person.identity()).await;
    let page = likeness_page(&app, &visitor, &person);
    let to = "/account/likeness?notice=withdrawn";
    after_form(&visitor, withdrawn, to, page, |page, said| page.said = Some(said)).await
}

/// A consent's signed receipt, to keep.
async fn send_consent(State(app): State<App>, person: Person, Id(id): Id<ConsentId>) -> Result<Response, ApiError> {
    use axum::http::header;
    use axum::response::IntoResponse;
    let consent = app.store.consent(person.identity(), id).await?;
    let name = format!("attachment; filename=\"{id}.json\"");
    let headers = [(header::CONTENT_TYPE, "application/jose+json".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, consent.statement).into_response())
}

struct UseView {
    id: String,
    maker: Option<String>,
    prompt: String,
    status: &'static str,
    status_words: &'static str,
    refusal: Option<&'static str>,
    at: Moment,
    post: Option<String>,
    /// Whether there is something to watch and to delete.
    there: bool,
    watchable: bool,
}

impl UseView {
    fn new(words: &Words, one: &Use) -> Self {
        let status = use_status(one);
        Self {
            id: one.id.to_string(),
            maker: one.maker_handle.clone(),
            prompt: one.prompt.clone(),
            status,
            status_words: words.say(&format!("use.{status}")),
            refusal: use_refusal(one).map(|code| words.say(&format!("use.because_{code}"))),
            at: Moment::of(one.at),
            post: one.post.filter(|_| status == "shown").map(|(id, _)| id.to_string()),
            there: matches!(status, "shown" | "draft" | "under_way" | "failed"),
            watchable: matches!(status, "shown" | "draft"),
        }
    }
}

#[derive(Template)]
#[template(path = "uses.html")]
struct UsesPage {
    shell: Shell,
    uses: Vec<UseView>,
    older: Option<String>,
}

async fn show_uses(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let after = values.get("after").and_then(|text| text.parse().ok());
    let uses = app.store.likeness_uses(person.identity(), after, USES).await?;
    let full = uses.len() == USES as usize;
    let older = uses.last().filter(|_| full).map(|last| format!("/account/likeness/uses?after={}", last.id));
    let page = UsesPage {
        shell: Shell::new(&app, &visitor, "use.title", Here::Account),
        uses: uses.iter().map(|one| UseView::new(visitor.words, one)).collect(),
        older,
    };
    Ok(html(&page))
}

/// A clip in which one appears, whosever it is.
async fn send_use(
    State(app): State<App>,
    person: Person,
    IdAndWord(id, word): IdAndWord<UseId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let one = app.store.likeness_use(person.identity(), id).await?;
    let gone = || ApiError::not_found("clip");
    let video = one.video.filter(|_| one.removed_at.is_none()).ok_or_else(gone)?;
    let variant = Variant::from_word(&word).ok_or_else(gone)?;
    let published = match app.store.any_generation(video).await {
        Ok(generation) => generation.video,
        Err(store::StoreError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let published = published.ok_or_else(gone)?;
    let (key, kind) = match variant {
        Variant::Video => (Some(published.key), "video/mp4"),
        Variant::Thumbnail => (published.thumbnail, "image/webp"),
        Variant::Spritesheet => (published.spritesheet, "image/jpeg"),
    };
    let mut response = send_object(&app, &key.ok_or_else(gone)?, kind, "use", &headers).await?;
    not_kept(&mut response);
    Ok(response)
}

async fn delete_use(State(app): State<App>, person: Person, Id(id): Id<UseId>) -> Result<Response, ApiError> {
    remove(&app, person.identity(), id).await?;
    Ok(go("/account/likeness/uses"))
}

async fn block_maker(State(app): State<App>, person: Person, Id(id): Id<UseId>) -> Result<Response, ApiError> {
    let one = app.store.likeness_use(person.identity(), id).await?;
    app.store.block_maker(person.identity(), one.maker, true, app.now()).await?;
    Ok(go("/account/likeness/uses"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_asked_with_everything_off_and_only_oneself_allowed() {
        let terms = Terms::new(Words::first(), Audience::OnlyMe, &Limits::default(), Purposes::default());
        assert!(terms.audiences.iter().all(|(word, _, chosen)| *chosen == (*word == "only_me")));
        assert!(terms.kinds.iter().all(|(_, _, off)| *off) && !terms.detect && !terms.train);
    }
}
