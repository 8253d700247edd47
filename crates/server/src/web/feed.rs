//! Watching: the feed, clip by clip, in one order or another; hashtags; the same as Atom.

use std::fmt::Write;

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use platform::{Hashtag, PlaceId};
use store::{Listing, Post};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::page::{Values, path_texts};
use crate::web::guard::Visitor;
use crate::web::post::{PostView, viewer};
use crate::web::shell::{Here, Shell, html};
use crate::web::start::show_start;
use crate::web::words::Words;
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/", Viewer::Anyone, show_feed),
        get("/tags/{tag}", Viewer::Anyone, show_tag),
        get("/latest.atom", Viewer::Anyone, send_atom),
    ]
}

/// Clips that a page of the feed brings.
const PAGE: u32 = 8;

#[derive(Template)]
#[template(path = "feed.html")]
struct FeedPage {
    shell: Shell,
    posts: Vec<PostView>,
    /// Word, name, whether it is chosen.
    tabs: Vec<(&'static str, &'static str, bool)>,
    more: Option<String>,
}

async fn show_feed(State(app): State<App>, visitor: Visitor, values: Values) -> Result<Response, ApiError> {
    let following = values.get("feed") == Some("following") && viewer(&visitor).identity().is_some();
    let before = before(&values);
    let listing = if following { Listing::Following } else { Listing::Latest };
    let posts = app.store.posts(viewer(&visitor), listing, before, PAGE).await?;
    if posts.is_empty() && before.is_none() && !following {
        // Nobody has shown anything yet.
        return Ok(show_start(&app, &visitor));
    }
    let word = if following { "following" } else { "latest" };
    let words = visitor.words;
    let mut tabs = vec![("latest", words.say("feed.latest"), !following)];
    if viewer(&visitor).identity().is_some() {
        tabs.push(("following", words.say("feed.following"), following));
    }
    let more = more(&posts).map(|place| format!("/?feed={word}&before={place}"));
    let shell = Shell::new(&app, &visitor, "feed.title", Here::Watch);
    Ok(html(&FeedPage { shell, posts: views(&app, words, &posts), tabs, more }))
}

fn views(app: &App, words: &Words, posts: &[Post]) -> Vec<PostView> {
    posts.iter().map(|post| PostView::listed(app, words, post)).collect()
}

/// Behind which place a page begins.
pub(super) fn before(values: &Values) -> Option<PlaceId> {
    values.get("before").and_then(|text| text.parse().ok())
}

/// Where the next page begins, if this one was full.
fn more(posts: &[Post]) -> Option<PlaceId> {
    posts.last().filter(|_| posts.len() == PAGE as usize).and_then(|post| post.place)
}

/// The hashtag in a path.
struct Tag(Hashtag);

impl<S: Send + Sync> FromRequestParts<S> for Tag {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_texts(parts, state).await.pop().unwrap_or_default();
        Hashtag::parse(&text).map(Self).ok_or_else(|| ApiError::not_found("hashtag"))
    }
}

async fn show_tag(
    State(app): State<App>,
    visitor: Visitor,
    Tag(tag): Tag,
    values: Values,
) -> Result<Response, ApiError> {
    let posts = app.store.posts(viewer(&visitor), Listing::Tagged(&tag), before(&values), PAGE).await?;
    let encoded: String = form_urlencoded::byte_serialize(tag.as_str().as_bytes()).collect();
    let more = more(&posts).map(|place| format!("/tags/{encoded}?before={place}"));
    let words = visitor.words;
    let tabs = vec![("latest", words.say("feed.latest"), false)];
    let shell = Shell::titled(&app, &visitor, format!("#{}", tag.as_str()), Here::Watch);
    Ok(html(&FeedPage { shell, posts: views(&app, words, &posts), tabs, more }))
}

async fn send_atom(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    let posts = app.store.posts(platform::Viewer::SIGNED_OUT, Listing::Latest, None, 30).await?;
    Ok(atom(&app, visitor.words, "Misora", "/latest.atom", &posts))
}

/// A list of public posts as Atom (RFC 4287).
pub(super) fn atom(app: &App, words: &Words, title: &str, path: &str, posts: &[Post]) -> Response {
    let base = &app.settings.base_url;
    let newest = posts.first().and_then(|post| post.published_at).unwrap_or_default();
    let time = |at| crate::web::shell::Moment::of(at).machine;
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\"><title>{}</title>\
         <id>{base}{path}</id><link rel=\"self\" href=\"{base}{path}\"/><updated>{}</updated>",
        escaped(title),
        time(newest),
    );
    for post in posts {
        let view = PostView::listed(app, words, post);
        let at = time(post.published_at.unwrap_or(post.created_at));
        // Writing into a text cannot fail.
        let _ = write!(
            xml,
            "<entry><id>{base}{url}</id><title>{title}</title><link href=\"{base}{url}\"/><link rel=\"enclosure\" type=\"video/mp4\" \
             href=\"{base}{url}/media/video\"/><author><name>{name}</name><uri>{base}/@{handle}</uri></author>\
             <published>{at}</published><updated>{at}</updated></entry>",
            url = view.url,
            title = escaped(&view.label),
            name = escaped(&view.name),
            handle = escaped(&view.handle),
        );
    }
    xml.push_str("</feed>");
    ([(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")], xml).into_response()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no place for these at all.
            letter if letter.is_control() && !matches!(letter, '\n' | '\t') => {}
            letter => out.push(letter),
        }
    }
    out
}
