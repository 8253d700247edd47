//! Watching: the feed, clip by clip, in one order or another; hashtags; the same as Atom.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use platform::{Cause, Hashtag, Membership, PlaceId, Reason, SessionId, Signal, Timestamp};
use store::{Listing, Post, Store, Suggested};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::page::{Values, path_texts};
use crate::web::guard::Visitor;
use crate::web::post::{PostView, member, viewer};
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
    news: News,
}

/// What waits for whoever is signed in.
#[derive(Default)]
struct News {
    signed_in: bool,
    /// Whether they are a member of `social`.
    member: bool,
    notices: u64,
    messages: bool,
}

/// Which clips, in which order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    /// Ranked by published weights, with reasons.
    ForYou,
    /// Of followed people, the newest first.
    Following,
    /// Everyone's, the newest first.
    Latest,
}

impl Tab {
    const ALL: [Self; 3] = [Self::ForYou, Self::Following, Self::Latest];

    fn as_str(self) -> &'static str {
        match self {
            Self::ForYou => "for-you",
            Self::Following => "following",
            Self::Latest => "latest",
        }
    }
}

/// The first page as it was shown last: to visitors without an account by language, since most who come see the same, and to each session
/// of a member. It is kept until this process writes anything that pages show, and two seconds at most, because other nodes write too.
#[derive(Debug, Default)]
pub(crate) struct FrontPages {
    pages: Mutex<HashMap<Reader, FrontPage>>,
    /// Held by whoever makes the page of all visitors anew, while the others wait for it: a thousand at once would only hold each other up.
    making: tokio::sync::Mutex<()>,
}

/// Whose page it is: nobody reads another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Reader {
    language: &'static str,
    session: Option<SessionId>,
}

#[derive(Clone, Debug)]
struct FrontPage {
    writes: u64,
    at: Timestamp,
    /// What the reader was in each service.
    memberships: Option<Arc<[Membership]>>,
    html: Bytes,
}

/// How long a page is kept on a node.
const KEPT: Duration = Duration::from_secs(2);
/// Pages that are kept at most: 20 kB each.
const MOST_KEPT: usize = 500;

impl Reader {
    fn of(visitor: &Visitor) -> Self {
        Self { language: visitor.words.tag(), session: visitor.person.as_ref().map(|person| person.session.id) }
    }
}

impl FrontPage {
    fn is_fresh(&self, writes: u64, now: Timestamp) -> bool {
        self.writes == writes && self.at <= now && now.since(self.at) < KEPT
    }
}

impl FrontPages {
    fn find(
        &self,
        reader: Reader,
        memberships: Option<&Arc<[Membership]>>,
        writes: u64,
        now: Timestamp,
    ) -> Option<Bytes> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let page = pages.get(&reader).filter(|page| page.is_fresh(writes, now))?;
        (page.memberships.as_ref() == memberships).then(|| page.html.clone())
    }

    fn keep(&self, reader: Reader, page: FrontPage) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= MOST_KEPT {
            pages.retain(|_, kept| kept.is_fresh(page.writes, page.at));
        }
        if pages.len() < MOST_KEPT {
            pages.insert(reader, page);
        }
    }
}

async fn show_feed(State(app): State<App>, visitor: Visitor, values: Values) -> Result<Response, ApiError> {
    // Only the plain address: the page says where it is.
    if &*visitor.path != "/" {
        return feed_page(&app, &visitor, &values).await;
    }
    let (reader, memberships) = (Reader::of(&visitor), visitor.person.as_ref().map(|person| &person.memberships));
    if let Some(html) = app.front_pages.find(reader, memberships, Store::writes(), app.now()) {
        return Ok(Html(html).into_response());
    }
    let turn = match reader.session {
        None => Some(app.front_pages.making.lock().await),
        Some(_) => None,
    };
    // As it is now, after the wait: what others made meanwhile is as good.
    let (writes, now) = (Store::writes(), app.now());
    if turn.is_some()
        && let Some(html) = app.front_pages.find(reader, memberships, writes, now)
    {
        return Ok(Html(html).into_response());
    }
    let page = feed_page(&app, &visitor, &values).await?;
    let html = to_bytes(page.into_body(), usize::MAX).await.map_err(|error| ApiError::internal(&error))?;
    let kept = FrontPage { writes, at: now, memberships: memberships.cloned(), html: html.clone() };
    app.front_pages.keep(reader, kept);
    Ok(Html(html).into_response())
}

async fn feed_page(app: &App, visitor: &Visitor, values: &Values) -> Result<Response, ApiError> {
    let (words, looks) = (visitor.words, viewer(visitor));
    let chosen = Tab::ALL.into_iter().find(|tab| values.get("feed") == Some(tab.as_str())).unwrap_or(Tab::ForYou);
    // Whoever is no member follows nobody.
    let chosen = if looks.identity().is_none() && chosen == Tab::Following { Tab::ForYou } else { chosen };
    let (posts, more) = match chosen {
        Tab::ForYou => for_you(app, visitor, values).await?,
        Tab::Following | Tab::Latest => {
            let listing = if chosen == Tab::Following { Listing::Following } else { Listing::Latest };
            let posts = app.store.posts(looks, listing, before(values), PAGE).await?;
            let more = full_page(&posts, PAGE).map(|place| format!("/?feed={}&before={place}", chosen.as_str()));
            (views(app, words, &posts), more)
        }
    };
    let later = values.get("before").or(values.get("skip")).is_some();
    if posts.is_empty() && !later && app.store.posts(looks, Listing::Latest, None, 1).await?.is_empty() {
        // Nobody has shown anything yet.
        return Ok(show_start(app, visitor));
    }
    let tabs = Tab::ALL.into_iter().filter(|tab| *tab != Tab::Following || looks.identity().is_some());
    let tabs = tabs.map(|tab| (tab.as_str(), words.say(&format!("feed.{}", tab.as_str())), tab == chosen)).collect();
    let mut news = News::default();
    if let Some(person) = &visitor.person {
        news.signed_in = true;
        let member = member(person).ok();
        let waiting = app.store.news(person.identity(), member).await?;
        news.member = member.is_some();
        news.notices = waiting.clips + waiting.decisions + waiting.notices;
        news.messages = waiting.messages;
    }
    let shell = Shell::new(app, visitor, "feed.title", Here::Watch);
    Ok(html(&FeedPage { shell, posts, tabs, more, news }))
}

/// A page of *For you*, and where the next begins: with the moment of the first, so that nothing moves in between.
async fn for_you(app: &App, visitor: &Visitor, values: &Values) -> Result<(Vec<PostView>, Option<String>), ApiError> {
    let as_of = values.get("as_of").and_then(|text| text.parse().ok()).map_or(app.now(), Timestamp::from_micros);
    let as_of = as_of.min(app.now());
    let skip = values.get("skip").and_then(|text| text.parse::<u16>().ok()).unwrap_or(0);
    let suggested = app.store.for_you(viewer(visitor), as_of, skip.into(), PAGE).await?;
    let next = u32::from(skip) + PAGE;
    let full = suggested.len() == PAGE as usize;
    let more = full.then(|| format!("/?feed=for-you&as_of={}&skip={next}", as_of.micros()));
    let words = visitor.words;
    let show = |one: &Suggested| PostView {
        why: one.reasons.iter().map(|reason| why(words, reason)).collect(),
        ..PostView::listed(app, words, &one.post)
    };
    Ok((suggested.iter().map(show).collect(), more))
}

/// A reason in words, with what it adds.
fn why(words: &Words, reason: &Reason) -> String {
    let what = match &reason.cause {
        Cause::Signal(signal) => words.say(signal_key(*signal)).to_owned(),
        Cause::Rule(rule) => words.fill("why.rule", &[rule]),
        Cause::Variety => words.say("why.variety").to_owned(),
    };
    format!("{what} ({:+.2})", reason.amount)
}

/// The message of a signal.
pub(super) fn signal_key(signal: Signal) -> &'static str {
    match signal {
        Signal::Fresh => "why.fresh",
        Signal::Liked => "why.liked",
        Signal::Followed => "why.followed",
        Signal::AuthorYouLike => "why.author",
        Signal::TagsYouLike => "why.tags",
    }
}

fn views(app: &App, words: &Words, posts: &[Post]) -> Vec<PostView> {
    posts.iter().map(|post| PostView::listed(app, words, post)).collect()
}

/// Behind which place a page begins.
pub(super) fn before(values: &Values) -> Option<PlaceId> {
    values.get("before").and_then(|text| text.parse().ok())
}

/// Where the next page begins, if this one was full.
pub(super) fn full_page(posts: &[Post], page: u32) -> Option<PlaceId> {
    posts.last().filter(|_| posts.len() == page as usize).and_then(|post| post.place)
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
    let more = full_page(&posts, PAGE).map(|place| format!("/tags/{encoded}?before={place}"));
    let words = visitor.words;
    let tabs = vec![("latest", words.say("feed.latest"), false)];
    let shell = Shell::titled(&app, &visitor, format!("#{}", tag.as_str()), Here::Watch);
    let news = News::default();
    Ok(html(&FeedPage { shell, posts: views(&app, words, &posts), tabs, more, news }))
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
            name = escaped(&view.who.name),
            handle = escaped(&view.who.handle),
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

#[cfg(test)]
mod tests {
    use platform::{IdentityId, Service};

    use super::*;

    #[test]
    fn a_front_page_is_kept_until_something_is_written_and_two_seconds_at_most() {
        let (pages, at) = (FrontPages::default(), Timestamp::from_seconds(100));
        let html = Bytes::from_static(b"page");
        let english = Reader { language: "en", session: None };
        let page = FrontPage { writes: 5, at, memberships: None, html: html.clone() };
        pages.keep(english, page.clone());
        assert_eq!(pages.find(english, None, 5, at), Some(html.clone()));
        assert_eq!(pages.find(english, None, 5, Timestamp::from_micros(101_999_999)), Some(html.clone()));
        assert_eq!(pages.find(english, None, 5, Timestamp::from_seconds(102)), None);
        assert_eq!(pages.find(english, None, 6, at), None);
        assert_eq!(pages.find(Reader { language: "ja", ..english }, None, 5, at), None);

        // A member's is their session's alone, and only while they are what they were.
        let mine = Reader { session: Some(SessionId::new(at, [1; 8])), ..english };
        let other = Reader { session: Some(SessionId::new(at, [2; 8])), ..english };
        let member = |service| Membership::none(IdentityId::new(at, [1; 8]), service);
        let (then, since): (Arc<[_]>, Arc<[_]>) = ([member(Service::Social)].into(), [member(Service::Video)].into());
        pages.keep(mine, FrontPage { memberships: Some(Arc::clone(&then)), ..page.clone() });
        assert_eq!(pages.find(mine, Some(&then), 5, at), Some(html));
        assert_eq!(pages.find(mine, Some(&since), 5, at), None);
        assert_eq!(pages.find(other, Some(&then), 5, at), None);

        // There is an end to what is kept, and what is old makes room.
        for number in 0..2 * MOST_KEPT as u64 {
            let session = Some(SessionId::new(at, number.to_be_bytes()));
            pages.keep(Reader { session, ..english }, page.clone());
        }
        assert_eq!(pages.pages.lock().unwrap().len(), MOST_KEPT);
        pages.keep(mine, FrontPage { at: Timestamp::from_seconds(103), ..page });
        assert_eq!(pages.pages.lock().unwrap().len(), 1);
    }
}
