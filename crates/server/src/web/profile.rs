//! Profiles: whoever shows something has one. Following and blocking stand here too.

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use platform::{
    ActiveMembership, Bio, DisplayName, FileId, Handle, MembershipEvent, MembershipState, Posting, Service,
};
use store::{AuthorCard, FollowState, Listing, NewProfile, ObjectKey, Profile, Subject};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::content::send_object;
use crate::http::error::ApiError;
use crate::http::form::Field;
use crate::http::page::{Values, path_texts};
use crate::web::feed::{atom, before, full_page};
use crate::web::guard::{Visitor, is_guards};
use crate::web::making::fitted;
use crate::web::post::{PostView, count_posting, member, viewer};
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/@{handle}", Viewer::Anyone, show_profile),
        get("/@{handle}/feed.atom", Viewer::Anyone, send_atom),
        post("/@{handle}/follow", Viewer::Person, follow),
        post("/@{handle}/unfollow", Viewer::Person, unfollow),
        post("/@{handle}/block", Viewer::Person, block),
        post("/@{handle}/mute", Viewer::Person, mute),
        post("/@{handle}/accept", Viewer::Person, accept_follower),
        post("/@{handle}/remove", Viewer::Person, remove_follower),
        get("/@{handle}/avatar", Viewer::Anyone, send_avatar),
        get("/account/profile", Viewer::Person, show_own),
        post("/account/profile", Viewer::Person, keep_own),
        post("/account/profile/picture", Viewer::Person, keep_picture).with_picture(),
        post("/account/profile/words", Viewer::Person, keep_words),
        post("/account/unblock/{handle}", Viewer::Person, unblock),
    ]
}

/// Posts on a page of a profile.
const PAGE: u32 = 24;
/// The side of a profile's picture in pixels.
const AVATAR: u32 = 192;

/// The handle in a path.
pub(super) struct HandleInPath(pub(super) Handle);

impl<S: Send + Sync> FromRequestParts<S> for HandleInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_texts(parts, state).await.into_iter().next().unwrap_or_default();
        Handle::read(&text).map(Self).map_err(|_| ApiError::not_found("profile"))
    }
}

/// Someone as lists and posts show them.
pub(super) struct Who {
    pub(super) handle: String,
    pub(super) name: String,
    pub(super) initial: String,
    /// One of five colours for whoever has no picture.
    pub(super) tint: u8,
    /// The address of their picture, which changes when it does.
    pub(super) picture: Option<String>,
}

impl Who {
    pub(super) fn of(card: &AuthorCard) -> Self {
        Self::new(&card.handle, &card.display_name, card.avatar.as_ref())
    }

    pub(super) fn of_profile(profile: &Profile) -> Self {
        Self::new(&profile.handle, &profile.display_name, profile.avatar.as_ref())
    }

    fn new(handle: &Handle, name: &DisplayName, avatar: Option<&ObjectKey>) -> Self {
        let (handle, name) = (handle.as_str(), name.as_str());
        let version =
            |key: &ObjectKey| key.as_str().rsplit('/').next().unwrap_or_default().chars().take(12).collect::<String>();
        Self {
            handle: handle.to_owned(),
            name: name.to_owned(),
            initial: name.chars().take(1).collect(),
            tint: (handle.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 5) as u8,
            picture: avatar.map(|key| format!("/@{handle}/avatar?v={}", version(key))),
        }
    }
}

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    shell: Shell,
    who: Who,
    muted: bool,
    member: bool,
    bio: String,
    followers: u64,
    following: u64,
    /// `none`, `asked` or `following`.
    follow: &'static str,
    mine: bool,
    closed: bool,
    posts: Vec<PostView>,
    older: Option<String>,
}

async fn show_profile(
    State(app): State<App>,
    visitor: Visitor,
    HandleInPath(handle): HandleInPath,
    values: Values,
) -> Result<Response, ApiError> {
    let looks = viewer(&visitor);
    let profile = app.store.profile(looks, &handle).await?;
    if profile.handle != handle {
        // A handle that was given up leads on.
        return Ok(go(&format!("/@{}", profile.handle.as_str())));
    }
    let posts = app.store.posts(looks, Listing::Of(profile.identity), before(&values), PAGE).await?;
    let older = full_page(&posts, PAGE);
    let who = Who::of_profile(&profile);
    Ok(html(&ProfilePage {
        shell: Shell::titled(&app, &visitor, who.name.clone(), Here::Watch),
        muted: profile.muted,
        member: looks.identity().is_some(),
        bio: profile.bio.as_str().to_owned(),
        followers: profile.followers,
        following: profile.following,
        follow: match profile.follow {
            FollowState::None => "none",
            FollowState::Asked => "asked",
            FollowState::Following => "following",
        },
        mine: looks.identity() == Some(profile.identity),
        closed: profile.closed,
        posts: posts.iter().map(|post| PostView::listed(&app, visitor.words, post)).collect(),
        older: older.map(|place| format!("/@{}?before={place}", who.handle)),
        who,
    }))
}

async fn send_atom(
    State(app): State<App>,
    visitor: Visitor,
    HandleInPath(handle): HandleInPath,
) -> Result<Response, ApiError> {
    let profile = app.store.profile(platform::Viewer::SIGNED_OUT, &handle).await?;
    let posts = app.store.posts(platform::Viewer::SIGNED_OUT, Listing::Of(profile.identity), None, 30).await?;
    let handle = profile.handle.as_str();
    Ok(atom(&app, visitor.words, &format!("@{handle}"), &format!("/@{handle}/feed.atom"), &posts))
}

pub(super) async fn whom(app: &App, visitor: &Visitor, handle: &Handle) -> Result<Profile, ApiError> {
    Ok(app.store.profile(viewer(visitor), handle).await?)
}

/// The person in a path, as the visitor sees them, and the visitor's own membership of `social`.
struct Other {
    profile: Profile,
    member: ActiveMembership,
}

impl FromRequestParts<App> for Other {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let HandleInPath(handle) = HandleInPath::from_request_parts(parts, app).await?;
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let profile = whom(app, &visitor, &handle).await?;
        let person = Person::from_request_parts(parts, app).await?;
        Ok(Self { profile, member: member(&person)? })
    }
}

impl Other {
    /// To their profile.
    fn shown(&self) -> Response {
        go(&format!("/@{}", self.profile.handle.as_str()))
    }
}

async fn follow(State(app): State<App>, other: Other) -> Result<Response, ApiError> {
    count_posting(&app, other.member, Posting::Follow).await?;
    app.store.follow(other.member, other.profile.identity, app.now()).await?;
    Ok(other.shown())
}

async fn unfollow(State(app): State<App>, other: Other) -> Result<Response, ApiError> {
    app.store.unfollow(other.member, other.profile.identity).await?;
    Ok(other.shown())
}

async fn block(State(app): State<App>, other: Other) -> Result<Response, ApiError> {
    app.store.block(other.member, other.profile.identity, app.now()).await?;
    Ok(go("/account/profile"))
}

/// Mutes someone, or hears them again.
async fn mute(State(app): State<App>, other: Other, Fields(form): Fields) -> Result<Response, ApiError> {
    let muted = form.flag("on")?.unwrap_or(true);
    app.store.set_mute(other.member, other.profile.identity, muted, app.now()).await?;
    Ok(other.shown())
}

async fn accept_follower(State(app): State<App>, other: Other) -> Result<Response, ApiError> {
    app.store.accept_follower(other.member, other.profile.identity, app.now()).await?;
    Ok(go("/notices"))
}

/// Declines a request to follow, or ends a follow.
async fn remove_follower(State(app): State<App>, other: Other) -> Result<Response, ApiError> {
    app.store.remove_follower(other.member, other.profile.identity).await?;
    Ok(go("/notices"))
}

async fn send_avatar(
    State(app): State<App>,
    visitor: Visitor,
    HandleInPath(handle): HandleInPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let profile = whom(&app, &visitor, &handle).await?;
    let key = profile.avatar.ok_or_else(|| ApiError::not_found("picture"))?;
    send_object(&app, &key, "image/png", &format!("{}.png", profile.handle.as_str()), &headers).await
}

/// Sets one's picture, or takes it away if none was chosen.
async fn keep_picture(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let avatar = match form.field("picture") {
        Some(Field::File(upload)) => {
            let small = fitted(upload.clone(), media::Size::new(AVATAR, AVATAR)).await?;
            let now = app.now();
            let subject = Subject { identity: member.identity(), service: Service::Social, since: now };
            Some(app.objects.put_upload(subject, &FileId::new(now, app.random()), small.bytes).await?)
        }
        _ => None,
    };
    app.store.set_avatar(member, avatar.as_ref(), app.now()).await?;
    Ok(go("/account/profile"))
}

/// Keeps the words whose comments wait for the post's author, one a line.
async fn keep_words(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    let text = form.text("words")?.unwrap_or_default();
    let words: Vec<String> = text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    app.store.set_hidden_words(member(&person)?, &words).await?;
    Ok(go("/account/profile"))
}

async fn unblock(
    State(app): State<App>,
    person: Person,
    HandleInPath(handle): HandleInPath,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let blocked = app.store.blocked(member, 500).await?;
    let card = blocked.iter().find(|card| card.handle == handle).ok_or_else(|| ApiError::not_found("profile"))?;
    app.store.unblock(member, card.identity).await?;
    Ok(go("/account/profile"))
}

#[derive(Template)]
#[template(path = "own_profile.html")]
struct OwnProfilePage {
    shell: Shell,
    handle: String,
    name: String,
    bio: String,
    closed: bool,
    next: String,
    /// Whether there is a profile yet.
    known: bool,
    picture: Option<String>,
    blocked: Vec<String>,
    /// Words whose comments wait, one a line.
    hidden: String,
    said: Option<String>,
}

async fn own_page(app: &App, visitor: &Visitor, person: &Person, next: &str) -> Result<OwnProfilePage, ApiError> {
    let looks = viewer(visitor);
    let known = match looks.identity() {
        Some(me) => app.store.profile_of(looks, me).await.ok(),
        None => None,
    };
    let (blocked, hidden) = match member(person) {
        Ok(member) => (app.store.blocked(member, 500).await?, app.store.hidden_words(member).await?),
        Err(_) => (Vec::new(), Vec::new()),
    };
    let text = |read: fn(&Profile) -> &str| known.as_ref().map_or(String::new(), |profile| read(profile).to_owned());
    Ok(OwnProfilePage {
        shell: Shell::new(app, visitor, "profile.own", Here::Account),
        handle: text(|profile| profile.handle.as_str()),
        name: text(|profile| profile.display_name.as_str()),
        bio: text(|profile| profile.bio.as_str()),
        closed: known.as_ref().is_some_and(|profile| profile.closed),
        next: next.to_owned(),
        known: known.is_some(),
        picture: known.as_ref().and_then(|profile| Who::of_profile(profile).picture),
        hidden: hidden.join("\n"),
        blocked: blocked.iter().map(|card| card.handle.as_str().to_owned()).collect(),
        said: None,
    })
}

async fn show_own(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    Ok(html(&own_page(&app, &visitor, &person, values.get("next").unwrap_or("")).await?))
}

/// Keeps the profile. Whoever has never joined `social` joins by this: showing something is what it is for.
async fn keep_own(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let text = |name: &str| Ok::<_, ApiError>(form.text(name)?.unwrap_or_default().to_owned());
    let (handle, name, bio, next) = (text("handle")?, text("display_name")?, text("bio")?, text("next")?);
    // Whoever gives no name is called by their handle.
    let name = if name.is_empty() { handle.clone() } else { name };
    let closed = form.flag("closed")?.unwrap_or(false);
    let kept = async {
        let refused = |param: &'static str, words: String| ApiError::invalid(param, format!("{words}."));
        let profile = NewProfile {
            handle: Handle::parse(&handle).map_err(|error| refused("handle", error.to_string()))?,
            display_name: DisplayName::parse(&name).map_err(|error| refused("display_name", error.to_string()))?,
            bio: Bio::parse(&bio).map_err(|error| refused("bio", error.to_string()))?,
            closed,
        };
        let (me, now) = (person.identity(), app.now());
        let mut membership = app.store.membership(me, Service::Social).await?;
        if membership.state == MembershipState::None {
            app.store.change_membership(me, Service::Social, MembershipEvent::Join, now).await?;
            membership = app.store.membership(me, Service::Social).await?;
        }
        Ok::<_, ApiError>(app.store.set_profile(membership.at(now).active()?, &profile, now).await?)
    };
    match kept.await {
        Ok(()) if next.starts_with("/clips/") => Ok(go(&next)),
        Ok(()) => Ok(go(&format!("/@{handle}"))),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            let page = own_page(&app, &visitor, &person, &next).await?;
            Ok(html_refused(&OwnProfilePage { handle, name, bio, closed, said, ..page }, &error))
        }
    }
}
