//! A post: shown, liked, talked about, remixed, changed and taken back. What may be seen and done is `platform`'s to say.

use askama::Template;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use platform::{
    Act, ActiveMembership, Caption, CommentId, CommentText, DecidedKind, LinkToken, PlaceId, PostAddress, PostId,
    PostState, Posting, PromptVisibility, Service, Switches, TextRefusal, VideoId, Visibility, hashtags, may,
};
use store::{Comment, NewComment, NewPost, Post, PostEdit, Shape, Subject};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::content::{Variant, likenesses_stand, not_kept, send_object};
use crate::http::creation::refuse_blocked;
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, Values, path_texts};
use crate::web::clip::{as_attachment, own};
use crate::web::credentials::{CredentialsPage, read_file};
use crate::web::decisions::{StatementView, contact};
use crate::web::guard::Visitor;
use crate::web::profile::Who;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post, wants_json};

pub(super) fn pages() -> Vec<Page> {
    vec![
        post("/clips/{id}/publish", Viewer::Person, publish),
        get("/p/{post}", Viewer::Anyone, show_post),
        get("/p/{post}/media/{variant}", Viewer::Anyone, send_media),
        get("/p/{post}/credentials", Viewer::Anyone, show_credentials),
        get("/p/{post}/embed", Viewer::Anyone, show_embed),
        post("/p/{post}/like", Viewer::Person, like),
        post("/p/{post}/comment", Viewer::Person, comment),
        post("/p/{post}/comments/{id}/delete", Viewer::Person, delete_comment),
        post("/p/{post}/comments/{id}/hold", Viewer::Person, hold_comment),
        post("/p/{post}/edit", Viewer::Person, edit),
        post("/p/{post}/delete", Viewer::Person, delete),
        get("/oembed", Viewer::Anyone, oembed),
    ]
}

/// Comments on a page, and answers below each.
const COMMENTS: u32 = 50;
const ANSWERS: u32 = 20;

/// The post in a path, and the words after it.
pub(super) struct PostInPath(pub(super) PostAddress, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PostInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut texts = path_texts(parts, state).await.into_iter();
        let address = texts.next().and_then(|text| text.parse().ok()).ok_or_else(|| ApiError::not_found("post"))?;
        Ok(Self(address, texts.next().unwrap_or_default()))
    }
}

/// Who looks, for `platform`: a member of `social`, or as good as signed out.
pub(super) fn viewer(visitor: &Visitor) -> platform::Viewer {
    let membership = visitor.person.as_ref().map(|person| person.membership(Service::Social).readable());
    membership.and_then(Result::ok).map_or(platform::Viewer::SIGNED_OUT, platform::Viewer::member)
}

/// The post behind an address, if the visitor sees it.
pub(super) async fn seen(app: &App, visitor: &Visitor, address: PostAddress) -> Result<Post, ApiError> {
    Ok(app.store.post(viewer(visitor), address).await?)
}

/// The path of a post, by the address that it was named by.
fn path_of(address: PostAddress) -> String {
    format!("/p/{}", address.reveal())
}

/// A post as pages show it.
pub(super) struct PostView {
    pub(super) id: String,
    /// Its path, by the address that it was opened by.
    pub(super) url: String,
    /// The whole address, to share.
    pub(super) link: String,
    pub(super) label: String,
    pub(super) shape: &'static str,
    pub(super) who: Who,
    pub(super) caption: Vec<CaptionPart>,
    pub(super) prompt: Option<String>,
    pub(super) model: String,
    pub(super) liked: bool,
    pub(super) likes: u64,
    pub(super) comments: u64,
    pub(super) remixes: u64,
    pub(super) remixable: bool,
    pub(super) downloadable: bool,
    pub(super) talkable: bool,
    pub(super) mine: bool,
    pub(super) visibility: &'static str,
    pub(super) created: Moment,
    /// Why it stands where it does, in *For you*.
    pub(super) why: Vec<String>,
}

/// A piece of a caption.
pub(super) struct CaptionPart {
    pub(super) text: String,
    /// The hashtag that it is, in the form that lists have it.
    pub(super) tag: Option<String>,
}

impl PostView {
    pub(super) fn new(app: &App, words: &Words, post: &Post, address: PostAddress) -> Self {
        let way = address.way();
        let can = |act| may(post.relation, post.facts, way, act);
        let url = path_of(address);
        // What only a link opens is shared by its link.
        let shared = match (post.facts.visibility, post.link_token) {
            (Visibility::Link, Some(token)) => path_of(token.into()),
            _ => url.clone(),
        };
        let who = Who::of(&post.author);
        let shown =
            if post.caption.as_str().is_empty() { post.prompt.as_deref().unwrap_or("") } else { post.caption.as_str() };
        let label =
            if shown.is_empty() { words.fill("post.by", &[&who.name]) } else { shown.chars().take(120).collect() };
        Self {
            id: post.id.to_string(),
            link: format!("{}{shared}", app.settings.base_url),
            url,
            label,
            shape: Shape::of(post.size).as_str(),
            who,
            caption: caption_parts(post.caption.as_str()),
            prompt: post.prompt.clone(),
            model: post.model.to_string(),
            liked: post.liked,
            likes: post.likes,
            comments: post.comments,
            remixes: post.remixes,
            remixable: can(Act::Remix) || post.relation == platform::Relation::SignedOut && post.facts.switches.remix,
            downloadable: can(Act::Download),
            talkable: can(Act::Comment),
            mine: post.relation == platform::Relation::Author,
            visibility: words.say(&format!("vis.{}", post.facts.visibility.as_str())),
            created: Moment::of(post.published_at.unwrap_or(post.created_at)),
            why: Vec::new(),
        }
    }

    /// A post of a list.
    pub(super) fn listed(app: &App, words: &Words, post: &Post) -> Self {
        Self::new(app, words, post, post.id.into())
    }
}

/// A caption cut where hashtags begin and end.
fn caption_parts(caption: &str) -> Vec<CaptionPart> {
    let mut parts: Vec<CaptionPart> = Vec::new();
    for word in caption.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let tag = bare.starts_with('#').then(|| hashtags(bare).into_iter().next()).flatten();
        match (tag, parts.last_mut()) {
            (Some(tag), _) => {
                parts.push(CaptionPart { text: bare.to_owned(), tag: Some(tag.as_str().to_owned()) });
                parts.push(CaptionPart { text: word[bare.len()..].to_owned(), tag: None });
            }
            (None, Some(last)) if last.tag.is_none() => last.text.push_str(word),
            (None, _) => parts.push(CaptionPart { text: word.to_owned(), tag: None }),
        }
    }
    parts
}

struct CommentView {
    id: String,
    /// Nobody once it is deleted.
    who: Option<Who>,
    text: String,
    at: Moment,
    reply: bool,
    /// Whether the visitor may delete it.
    deletable: bool,
    /// Whether the visitor, as the post's author, may hold it back.
    holdable: bool,
    /// Whether the visitor may report it.
    reportable: bool,
    /// Whether it waits for the post's author.
    held: bool,
    /// Whether a moderator keeps it back: then its writer alone sees it.
    withheld: bool,
}

#[derive(Template)]
#[template(path = "post.html")]
struct PostPage {
    shell: Shell,
    post: PostView,
    comments: Vec<CommentView>,
    /// Path and handle of what it was made from, the nearest first; without a path it cannot be opened.
    lineage: Vec<(Option<String>, String)>,
    remixes: Vec<PostView>,
    caption: String,
    visibilities: Vec<(&'static str, &'static str, bool)>,
    prompts: Vec<(&'static str, &'static str, bool)>,
    switches: Switches,
    base: String,
    member: bool,
    /// Whether it is withheld, which its author alone learns.
    withheld: bool,
    /// Why, if that was decided about this post.
    decision: Option<StatementView>,
    /// Where to contest that.
    contact: Option<(String, String)>,
}

async fn show_post(
    State(app): State<App>,
    visitor: Visitor,
    PostInPath(address, _): PostInPath,
) -> Result<Response, ApiError> {
    let post = seen(&app, &visitor, address).await?;
    let (words, looks) = (visitor.words, viewer(&visitor));
    let mine = post.relation == platform::Relation::Author;
    let me = looks.identity();
    let mut comments = Vec::new();
    let show = |one: &Comment, reply: bool| {
        let own = one.author.as_ref().is_some_and(|author| Some(author.identity) == me);
        let there = one.text.is_some();
        CommentView {
            id: one.id.to_string(),
            who: one.author.as_ref().map(Who::of),
            text: one.text.as_ref().map_or(words.say("post.comment_gone").to_owned(), |text| text.as_str().to_owned()),
            at: Moment::of(one.created_at),
            reply,
            deletable: there && (mine || own),
            holdable: there && mine && !own,
            reportable: there && me.is_some() && !own,
            held: one.held,
            withheld: one.withheld,
        }
    };
    for one in app.store.comments(looks, address, None, COMMENTS).await? {
        comments.push(show(&one, false));
        if one.answers > 0 {
            let answers = app.store.answers(looks, address, one.thread, None, ANSWERS).await?;
            comments.extend(answers.iter().map(|answer| show(answer, true)));
        }
    }
    let lineage = app.store.remix_ancestors(looks, address).await?;
    let lineage = lineage.iter().map(|node| {
        let handle = node
            .author
            .as_ref()
            .map_or_else(|| words.say("post.nobody").to_owned(), |author| author.handle.as_str().to_owned());
        (node.open.then(|| format!("/p/{}", node.id)), handle)
    });
    let remixes = app.store.remixes(looks, post.id, None, 12).await?;
    let withheld = mine && post.facts.state == PostState::Withheld;
    let author = visitor.person.as_ref().map(|person| person.identity()).filter(|_| withheld);
    let decision = match author {
        Some(author) => app.store.post_decision(author, post.id).await?,
        None => None,
    };
    let view = PostView::new(&app, words, &post, address);
    let page = PostPage {
        shell: Shell::titled(&app, &visitor, view.label.clone(), Here::Watch),
        comments,
        lineage: lineage.collect(),
        remixes: remixes.iter().map(|remix| PostView::listed(&app, words, remix)).collect(),
        caption: post.caption.as_str().to_owned(),
        visibilities: visibilities(words, post.facts.visibility),
        prompts: prompts(words, post.facts.switches.prompt),
        switches: post.facts.switches,
        base: app.settings.base_url.clone(),
        member: me.is_some(),
        withheld,
        decision: decision.map(|decision| StatementView::new(&app, words, &decision)),
        contact: contact(&app).filter(|_| withheld),
        post: view,
    };
    Ok(html(&page))
}

/// Each visibility with its words, and which is chosen.
pub(super) fn visibilities(words: &Words, chosen: Visibility) -> Vec<(&'static str, &'static str, bool)> {
    let show = |one: &Visibility| (one.as_str(), words.say(&format!("vis.{}", one.as_str())), *one == chosen);
    [Visibility::Public, Visibility::Followers, Visibility::Link, Visibility::OnlyMe].iter().map(show).collect()
}

/// The same for who reads the prompt.
pub(super) fn prompts(words: &Words, chosen: PromptVisibility) -> Vec<(&'static str, &'static str, bool)> {
    let show =
        |one: &PromptVisibility| (one.as_str(), words.say(&format!("vis.prompt_{}", one.as_str())), *one == chosen);
    PromptVisibility::ALL.iter().map(show).collect()
}

async fn send_media(
    State(app): State<App>,
    visitor: Visitor,
    PostInPath(address, word): PostInPath,
    values: Values,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let post = seen(&app, &visitor, address).await?;
    let (key, kind, ending) = match Variant::from_word(&word) {
        Some(Variant::Video) => (Some(&post.media.video), "video/mp4", "mp4"),
        Some(Variant::Thumbnail) => (post.media.thumbnail.as_ref(), "image/webp", "webp"),
        Some(Variant::Spritesheet) => (post.media.spritesheet.as_ref(), "image/jpeg", "jpg"),
        None => (None, "", ""),
    };
    let key = key.ok_or_else(|| ApiError::not_found("post"))?;
    let download = values.get("download").is_some();
    if download && !may(post.relation, post.facts, address.way(), Act::Download) {
        return Err(ApiError::forbidden("download_off", "Its maker does not offer this clip for download."));
    }
    let people = likenesses_stand(&app, post.video, post.author.identity).await?;
    let mut response = send_object(&app, key, kind, &format!("{}.{ending}", post.id), &headers).await?;
    if people > 0 {
        not_kept(&mut response);
    }
    if download {
        as_attachment(&mut response, post.caption.as_str());
    }
    Ok(response)
}

async fn show_credentials(
    State(app): State<App>,
    visitor: Visitor,
    PostInPath(address, _): PostInPath,
) -> Result<Response, ApiError> {
    let post = seen(&app, &visitor, address).await?;
    let view = PostView::new(&app, visitor.words, &post, address);
    let page = CredentialsPage {
        shell: Shell::new(&app, &visitor, "credentials.title", Here::Watch),
        // The recipe in the manifest is for whoever downloads; the page shows no prompt that the author hides.
        credentials: read_file(&app, visitor.words, &post.media.video).await?,
        back: view.url,
        prompt: view.label,
    };
    Ok(html(&page))
}

#[derive(Template)]
#[template(path = "embed.html")]
struct EmbedPage {
    shell: Shell,
    post: PostView,
    base: String,
}

/// What may stand in a frame: nothing that acts, so that nobody is made to press what they do not see.
const EMBED_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *";

/// A post in a frame of another site: the clip, its maker and where it comes from, as anyone sees them.
async fn show_embed(
    State(app): State<App>,
    visitor: Visitor,
    PostInPath(address, _): PostInPath,
) -> Result<Response, ApiError> {
    let post = app.store.post(platform::Viewer::SIGNED_OUT, address).await?;
    let view = PostView::new(&app, visitor.words, &post, address);
    let shell = Shell::titled(&app, &visitor, view.label.clone(), Here::Nowhere);
    let mut response = html(&EmbedPage { shell, post: view, base: app.settings.base_url.clone() });
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(EMBED_POLICY));
    Ok(response)
}

/// The person's membership of `social`, active.
pub(super) fn member(person: &Person) -> Result<ActiveMembership, ApiError> {
    Ok(person.membership(Service::Social).active()?)
}

/// Counts what others see or hear of; refuses too much of it.
pub(super) async fn count_posting(app: &App, member: ActiveMembership, what: Posting) -> Result<(), ApiError> {
    match app.store.count_posting(member, what, app.now()).await? {
        None => Ok(()),
        Some(wait) => Err(ApiError::posting_limit(what, wait)),
    }
}

pub(super) fn said(param: &'static str) -> impl Fn(TextRefusal) -> ApiError {
    move |refusal| ApiError::invalid(param, format!("{refusal}."))
}

/// What an author says of a post, from the fields of a form.
fn read_edit(form: &Form) -> Result<PostEdit, ApiError> {
    let visibility = form.text("visibility")?.and_then(Visibility::from_word);
    let on = |name: &str| Ok::<_, ApiError>(form.flag(name)?.unwrap_or(false));
    Ok(PostEdit {
        caption: Caption::parse(form.text("caption")?.unwrap_or_default()).map_err(said("caption"))?,
        visibility: visibility.ok_or_else(|| ApiError::missing("visibility"))?,
        switches: Switches {
            prompt: form
                .text("prompt_visibility")?
                .and_then(PromptVisibility::from_word)
                .unwrap_or(PromptVisibility::Hidden),
            remix: on("remix")?,
            download: on("download")?,
            comments: on("comments")?,
        },
    })
}

/// Publishes a clip: makes a post of it, if there is none, and shows it to those whom it is for.
async fn publish(
    State(app): State<App>,
    person: Person,
    Id(id): Id<VideoId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let generation = own(&app, &person, id).await?;
    let member = member(&person)?;
    let edit = read_edit(&form)?;
    // What strangers read is asked of the same rules as prompts are.
    refuse_blocked(&app, member.identity(), DecidedKind::Post, edit.caption.as_str()).await?;
    count_posting(&app, member, Posting::Post).await?;
    let now = app.now();
    let post = match app.store.post_of_video(member, id).await {
        Ok(post) => {
            app.store.edit_post(member, post.id, &edit, now).await?;
            post.id
        }
        Err(store::StoreError::NotFound(_)) => {
            let post = PostId::new(now, app.random());
            let video = generation
                .video
                .as_ref()
                .ok_or_else(|| ApiError::state("There is no clip to publish yet.").on("video"))?;
            let subject = Subject { identity: member.identity(), service: Service::Social, since: now };
            let media = app.objects.copy_for_post(subject, post, video).await?;
            let link_token = LinkToken::new(app.random());
            let new = NewPost { id: post, link_token, generation: &generation, media: &media, edit };
            app.store.create_post(member, &new, now).await?;
            post
        }
        Err(error) => return Err(error.into()),
    };
    crate::takedowns::before_publishing(&app, post).await?;
    app.store.publish_post(member, post, PlaceId::new(now, app.random()), now).await?;
    Ok(go(&format!("/p/{post}")))
}

async fn like(
    State(app): State<App>,
    person: Person,
    PostInPath(address, _): PostInPath,
    headers: HeaderMap,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let (member, liked) = (member(&person)?, form.flag("on")?.unwrap_or(true));
    if liked {
        count_posting(&app, member, Posting::Like).await?;
    }
    let likes = app.store.set_like(member, address, liked, app.now()).await?;
    if wants_json(&headers) {
        return Ok(Json(serde_json::json!({ "liked": liked, "likes": likes })).into_response());
    }
    Ok(go(&path_of(address)))
}

async fn comment(
    State(app): State<App>,
    person: Person,
    PostInPath(address, _): PostInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let text = CommentText::parse(form.text("text")?.unwrap_or_default()).map_err(said("text"))?;
    refuse_blocked(&app, member.identity(), DecidedKind::Comment, text.as_str()).await?;
    count_posting(&app, member, Posting::Comment).await?;
    let parent: Option<CommentId> = form.text("parent")?.and_then(|text| text.parse().ok());
    let now = app.now();
    let new = NewComment { id: CommentId::new(now, app.random()), post: address, parent, text: &text };
    app.store.create_comment(member, &new, now).await?;
    Ok(go(&format!("{}#comments", path_of(address))))
}

async fn delete_comment(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    PostInPath(address, id): PostInPath,
) -> Result<Response, ApiError> {
    seen(&app, &visitor, address).await?;
    let id: CommentId = id.parse().map_err(|_| ApiError::not_found("comment"))?;
    app.store.delete_comment(member(&person)?, id, app.now()).await?;
    Ok(go(&format!("{}#comments", path_of(address))))
}

/// As the post's author: keeps a comment back, or shows it.
async fn hold_comment(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    PostInPath(address, id): PostInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    seen(&app, &visitor, address).await?;
    let (member, id) = (member(&person)?, id.parse().map_err(|_| ApiError::not_found("comment"))?);
    if form.flag("held")?.unwrap_or(true) {
        app.store.hold_comment(member, id).await?;
    } else {
        app.store.show_comment(member, id).await?;
    }
    Ok(go(&format!("{}#comments", path_of(address))))
}

async fn edit(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    PostInPath(address, _): PostInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let post = seen(&app, &visitor, address).await?;
    let edit = read_edit(&form)?;
    let member = member(&person)?;
    refuse_blocked(&app, member.identity(), DecidedKind::Post, edit.caption.as_str()).await?;
    app.store.edit_post(member, post.id, &edit, app.now()).await?;
    Ok(go(&format!("/p/{}", post.id)))
}

async fn delete(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    PostInPath(address, _): PostInPath,
) -> Result<Response, ApiError> {
    let post = seen(&app, &visitor, address).await?;
    app.store.delete_post(member(&person)?, post.id, app.now()).await?;
    Ok(go("/library?notice=unposted"))
}

/// What another site needs to show a post: only what anyone may see.
async fn oembed(State(app): State<App>, values: Values) -> Result<Response, ApiError> {
    let base = format!("{}/p/", app.settings.base_url);
    let address = values.get("url").and_then(|url| url.strip_prefix(&base)).and_then(|text| text.parse().ok());
    let address: PostAddress = address.ok_or_else(|| ApiError::not_found("post"))?;
    let post = app.store.post(platform::Viewer::SIGNED_OUT, address).await?;
    let words = Words::of("en").ok_or_else(|| ApiError::internal(&"English is missing"))?;
    let view = PostView::new(&app, words, &post, address);
    let thumbnail = format!("{}{}/media/thumbnail", app.settings.base_url, view.url);
    // As large as whoever asks has room for, in the clip's own shape.
    let room = |name, most: u64| values.get(name).and_then(|text| text.parse().ok()).unwrap_or(most).clamp(1, most);
    let (full_width, full_height) = (u64::from(post.size.width()), u64::from(post.size.height()));
    let (most_width, most_height) = (room("maxwidth", 640), room("maxheight", 640));
    let width = most_width.min(most_height * full_width / full_height).max(1);
    let height = (width * full_height / full_width).max(1);
    let frame = format!(
        "<iframe src=\"{}{}/embed\" width=\"{width}\" height=\"{height}\" title=\"Misora\" allowfullscreen \
         style=\"border:0\"></iframe>",
        app.settings.base_url, view.url,
    );
    let body = serde_json::json!({
        "version": "1.0",
        "type": "video",
        "html": frame,
        "width": width,
        "height": height,
        "title": view.label,
        "author_name": view.who.name,
        "author_url": format!("{}/@{}", app.settings.base_url, view.who.handle),
        "provider_name": "Misora",
        "provider_url": app.settings.base_url,
        "thumbnail_url": thumbnail,
        "thumbnail_width": post.size.width(),
        "thumbnail_height": post.size.height(),
    });
    Ok(Json(body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_in_a_caption_are_links_and_nothing_is_lost() {
        let parts = caption_parts("my #Boat and #cat\nsee #");
        let text: String = parts.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(text, "my #Boat and #cat\nsee #");
        let tags: Vec<_> = parts.iter().filter_map(|part| part.tag.as_deref()).collect();
        assert_eq!(tags, ["boat", "cat"]);
    }
}
