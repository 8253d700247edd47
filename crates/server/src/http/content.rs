//! The bytes of a video: whole or in ranges, with an `ETag`; for whoever has a key, or a signed link.

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use platform::{GenerationState, IdentityId, Service, VideoId};
use store::{ByteRange, Generation, LinkSignature, ObjectBytes, ObjectKey, StoreError};

use crate::app::App;
use crate::http::auth::{Access, KeyCaller};
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;
use crate::http::page::{Values, path_id, path_texts};
use crate::http::videos::{READ, video};

const TYPES: &[&str] = &["video/mp4", "image/webp", "image/jpeg"];
const VARIANTS: &[(&str, &str)] = &[("variant", "video, thumbnail or spritesheet; video if it is not said.")];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/videos/{id}/content", READ, retrieve_content)
            .says("Downloads the clip, its thumbnail or its sprite sheet. Ranges work.")
            .query(VARIANTS)
            .answers_bytes(TYPES)
            .in_ranges(),
        get("/media/{id}/{variant}", Access::Open, open_link)
            .says("Opens a signed link to a clip or its pictures.")
            .query(&[("expires", "Unix seconds at which the link ends."), ("signature", "The link's signature.")])
            .answers_bytes(TYPES)
            .in_ranges(),
    ]
}

/// Which of a video's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Video,
    Thumbnail,
    Spritesheet,
}

impl Variant {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "video" => Some(Self::Video),
            "thumbnail" => Some(Self::Thumbnail),
            "spritesheet" => Some(Self::Spritesheet),
            _ => None,
        }
    }
}

/// The id that a path begins with, and what may follow it.
struct Named(VideoId, Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut texts = path_texts(parts, state).await.into_iter();
        let id = path_id(&texts.next().unwrap_or_default())?;
        Ok(Self(id, texts.next()))
    }
}

async fn retrieve_content(
    State(app): State<App>,
    caller: KeyCaller,
    Named(id, _): Named,
    values: Values,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let generation = video(&app, &caller, id).await?;
    let word = values.get("variant").unwrap_or("video");
    let variant = Variant::from_word(word).ok_or_else(|| {
        let shown: String = word.chars().take(80).collect();
        ApiError::invalid(
            "variant",
            format!("Invalid value for variant: {shown:?}. Allowed: video, thumbnail, spritesheet."),
        )
    })?;
    send(&app, &generation, variant, &headers).await
}

async fn open_link(
    State(app): State<App>,
    Named(id, word): Named,
    values: Values,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let word = word.unwrap_or_default();
    let gone = || ApiError::not_found("link");
    let variant = Variant::from_word(&word).ok_or_else(gone)?;
    let link = LinkSignature {
        expires: values.get("expires").and_then(|text| text.parse().ok()).ok_or_else(gone)?,
        signature: values.get("signature").ok_or_else(gone)?.to_owned(),
    };
    app.link_key.verify(&format!("{id}/{word}"), &link, app.now()).map_err(|_| gone())?;
    let generation = app.store.any_generation(id).await?;
    if generation.trashed_at.is_some() {
        return Err(gone());
    }
    // A link is as good as the membership of whoever the video belongs to.
    app.store.membership(generation.identity, Service::Video).await?.at(app.now()).readable()?;
    send(&app, &generation, variant, &headers).await
}

/// Answers with one of a video's objects; whoever calls this has asked whether the viewer may see it.
pub(crate) async fn send(
    app: &App,
    generation: &Generation,
    variant: Variant,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let people = likenesses_stand(app, generation.id, generation.identity).await?;
    let published = match (&generation.video, generation.state) {
        (Some(published), _) => published,
        (None, GenerationState::Completed) => return Err(ApiError::state("This video has expired.")),
        (None, state @ (GenerationState::Failed | GenerationState::Cancelled)) => {
            return Err(ApiError::state(format!("This video is {}: there is no content.", state.as_str())));
        }
        (None, state) => {
            return Err(ApiError::state(format!("This video is {}: wait until it is completed.", state.as_str())));
        }
    };
    let (key, kind, ending) = match variant {
        Variant::Video => (Some(&published.key), "video/mp4", "mp4"),
        Variant::Thumbnail => (published.thumbnail.as_ref(), "image/webp", "webp"),
        Variant::Spritesheet => (published.spritesheet.as_ref(), "image/jpeg", "jpg"),
    };
    let key = key.ok_or_else(|| ApiError::not_found("content"))?;
    let name = format!("{}.{ending}", generation.id);
    let mut response = send_object(app, key, kind, &name, headers).await?;
    if people > 0 {
        not_kept(&mut response);
    }
    Ok(response)
}

/// How many people appear in a clip by their likeness, if all of them let its maker show it at this moment. What cannot be asked is a refusal.
pub(crate) async fn likenesses_stand(app: &App, video: VideoId, maker: IdentityId) -> Result<usize, ApiError> {
    let stands = app.store.likenesses_stand(video, maker, app.now()).await?;
    stands.map_err(|refusal| ApiError::likeness(refusal.as_str(), format!("{refusal}.")))
}

/// Nobody keeps bytes in which someone appears who may withdraw: each time it is asked anew.
pub(crate) fn not_kept(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
}

/// Answers with an object's bytes. Objects never change, and their names hold the hash that is their `ETag`.
pub(crate) async fn send_object(
    app: &App,
    key: &ObjectKey,
    media_type: &str,
    filename: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let name = key.as_str().rsplit('/').next().unwrap_or_default();
    let hash = name.split('.').next().unwrap_or_default();
    send_bytes(hash, media_type, filename, headers, |range| app.objects.get(key, range)).await
}

/// Answers with bytes of this hash, or a range of them, that `open` gives.
pub(crate) async fn send_bytes<F: Future<Output = Result<ObjectBytes, StoreError>>>(
    hash: &str,
    media_type: &str,
    filename: &str,
    headers: &HeaderMap,
    open: impl FnOnce(Option<ByteRange>) -> F,
) -> Result<Response, ApiError> {
    let etag = format!("\"{hash}\"");
    let mut answer = HeaderMap::new();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    };
    set(header::ETAG, &etag);
    set(header::ACCEPT_RANGES, "bytes");
    set(header::CACHE_CONTROL, "private, max-age=3600");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if listed(headers, header::IF_NONE_MATCH, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    // A range of another version than the client has is no use to it.
    let same = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| same).and_then(|value| read_range(value.to_str().ok()?));
    let partial = range.is_some();
    let object = match open(range).await {
        Err(StoreError::Range { size_bytes }) => {
            let mut response = ApiError::range(size_bytes).into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size_bytes}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            return Ok(response);
        }
        object => object?,
    };
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    };
    let plain: String = filename.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_ ".contains(*c)).collect();
    set(header::CONTENT_TYPE, media_type);
    set(header::CONTENT_DISPOSITION, &format!("inline; filename=\"{plain}\""));
    set(header::CONTENT_LENGTH, &(object.range.end - object.range.start).to_string());
    if partial {
        let (first, last) = (object.range.start, object.range.end - 1);
        set(header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", object.size_bytes));
    }
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Ok((status, answer, Body::from_stream(object.stream)).into_response())
}

/// Whether a list of tags in a header has this one.
fn listed(headers: &HeaderMap, name: header::HeaderName, etag: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag)
}

/// One range of bytes. What is no such thing counts as nothing, and the whole is sent (RFC 9110 §14.2).
fn read_range(text: &str) -> Option<ByteRange> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (first, last) {
        ("", last) => Some(ByteRange::Last(number(last)?)),
        (first, "") => Some(ByteRange::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| ByteRange::Bounded(first..last.saturating_add(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        assert_eq!(read_range("bytes=0-1"), Some(ByteRange::Bounded(0..2)));
        assert_eq!(read_range("bytes=5-"), Some(ByteRange::From(5)));
        assert_eq!(read_range("bytes=-5"), Some(ByteRange::Last(5)));
        for text in ["bytes=", "bytes=-", "bytes=2-1", "bytes=0-1,3-4", "items=0-1", "bytes=+1-2"] {
            assert_eq!(read_range(text), None, "{text}");
        }
    }
}
