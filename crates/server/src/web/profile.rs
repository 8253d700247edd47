//! Profiles: whoever shows something has one. Following and blocking stand here too.

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use platform::{Bio, DisplayName, Handle, MembershipEvent, MembershipState, Service};
use store::{FollowState, Listing, NewProfile, Profile};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::{Values, path_texts};
use crate::web::feed::{atom, before};
use crate::web::guard::Visitor;
use crate::web::post::{PostView, member, tint, viewer};
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/@{handle}", Viewer::Anyone, show_profile),
        get("/@{handle}/feed.atom", Viewer::Anyone, send_atom),
        post("/@{handle}/follow", Viewer::Person, follow),
        post("/@{handle}/unfollow", Viewer::Person, unfollow),
        post("/@{handle}/block", Viewer::Person, block),
        get("/account/profile", Viewer::Person, show_own),
        post("/account/profile", Viewer::Person, keep_own),
        post("/account/unblock/{handle}", Viewer::Person, unblock),
    ]
}

/// Posts on a page of a profile.
const PAGE: u32 = 24;

/// The handle in a path.
struct HandleInPath(Handle);

impl<S: Send + Sync> FromRequestParts<S> for HandleInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_texts(parts, state).await.into_iter().next().unwrap_or_default();
        Handle::read(&text).map(Self).map_err(|_| ApiError::not_found("profile"))
    }
}

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    shell: Shell,
    handle: String,
    name: String,
    initial: String,
    tint: u8,
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
    let older = posts.last().filter(|_| posts.len() == PAGE as usize).and_then(|post| post.place);
    let name = if profile.display_name.as_str().is_empty() { handle.as_str() } else { profile.display_name.as_str() };
    Ok(html(&ProfilePage {
        shell: Shell::titled(&app, &visitor, name.to_owned(), Here::Watch),
        name: name.to_owned(),
        initial: name.chars().take(1).collect(),
        tint: tint(handle.as_str()),
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
        older: older.map(|place| format!("/@{}?before={place}", handle.as_str())),
        handle: handle.as_str().to_owned(),
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

async fn whom(app: &App, visitor: &Visitor, handle: &Handle) -> Result<Profile, ApiError> {
    Ok(app.store.profile(viewer(visitor), handle).await?)
}

async fn follow(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    HandleInPath(handle): HandleInPath,
) -> Result<Response, ApiError> {
    let profile = whom(&app, &visitor, &handle).await?;
    app.store.follow(member(&person)?, profile.identity, app.now()).await?;
    Ok(go(&format!("/@{}", profile.handle.as_str())))
}

async fn unfollow(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    HandleInPath(handle): HandleInPath,
) -> Result<Response, ApiError> {
    let profile = whom(&app, &visitor, &handle).await?;
    app.store.unfollow(member(&person)?, profile.identity).await?;
    Ok(go(&format!("/@{}", profile.handle.as_str())))
}

async fn block(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    HandleInPath(handle): HandleInPath,
) -> Result<Response, ApiError> {
    let profile = whom(&app, &visitor, &handle).await?;
    app.store.block(member(&person)?, profile.identity, app.now()).await?;
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
    blocked: Vec<String>,
    said: Option<String>,
}

async fn own_page(app: &App, visitor: &Visitor, person: &Person, next: &str) -> Result<OwnProfilePage, ApiError> {
    let looks = viewer(visitor);
    let known = match looks.identity() {
        Some(me) => app.store.profile_of(looks, me).await.ok(),
        None => None,
    };
    let blocked = match member(person) {
        Ok(member) => app.store.blocked(member, 500).await?,
        Err(_) => Vec::new(),
    };
    let text = |read: fn(&Profile) -> &str| known.as_ref().map_or(String::new(), |profile| read(profile).to_owned());
    Ok(OwnProfilePage {
        shell: Shell::new(app, visitor, "profile.own", Here::Account),
        handle: text(|profile| profile.handle.as_str()),
        name: text(|profile| profile.display_name.as_str()),
        bio: text(|profile| profile.bio.as_str()),
        closed: known.as_ref().is_some_and(|profile| profile.closed),
        next: next.to_owned(),
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
        Ok::<_, ApiError>(app.store.set_profile(membership.active()?, &profile, now).await?)
    };
    match kept.await {
        Ok(()) if next.starts_with("/clips/") => Ok(go(&next)),
        Ok(()) => Ok(go(&format!("/@{handle}"))),
        Err(error) if error.status().is_server_error() => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            let page = own_page(&app, &visitor, &person, &next).await?;
            Ok(html_refused(&OwnProfilePage { handle, name, bio, closed, said, ..page }, &error))
        }
    }
}
