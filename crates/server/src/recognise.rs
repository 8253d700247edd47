//! What is brought is looked at: clips in which someone appeared are known again by how they look, though their files were changed.

use std::sync::Arc;

use bytes::Bytes;
use media::{FrameHash, ReadError, ReadLimits, hash_clip, is_seen_again};
use platform::{DecidedItem, DecidedKind, DecisionId, IdentityId, LikenessId, UseId, VideoId, hex};
use sha2::{Digest, Sha256};
use store::{BroughtFile, FilmLook, Objects, Store, StoreError};

use crate::app::App;
use crate::http::error::ApiError;

/// Looks that are compared at a time.
const PAGE: u32 = 1_000;
/// Clips that are looked at in one round: each is decoded whole.
const AT_ONCE: u32 = 4;

/// A file that someone starts from, clean.
pub(crate) struct Upload<'a> {
    /// Its bytes as they came, and as they are kept.
    pub(crate) bytes: [&'a Bytes; 2],
    /// How it looks, if it is a picture; a clip is looked at here.
    pub(crate) picture: Option<FrameHash>,
    /// The field of the request.
    pub(crate) field: &'static str,
    /// What is to be made of it.
    pub(crate) prompt: &'a str,
}

/// Who appears in a file that someone starts from, as far as it is known again, so that the new clip is asked for by them like any other.
///
/// # Errors
/// The refusal, with the address of its reasons, if one of them does not let `maker`; a clip that cannot be decoded to its end is refused too,
/// where there is anything to know again.
pub(crate) async fn likenesses_in(
    app: &App,
    maker: IdentityId,
    upload: &Upload<'_>,
) -> Result<Vec<LikenessId>, ApiError> {
    let item = DecidedItem::of_bytes(DecidedKind::Prompt, upload.bytes[1]);
    if !is_anyone_known(&app.store).await? || app.store.refusal_was_wrong(maker, item).await? {
        return Ok(Vec::new());
    }
    let found = match upload.picture {
        Some(hash) => vec![hash],
        None => {
            let (bytes, field) = (upload.bytes[1].clone(), upload.field);
            let look = tokio::task::spawn_blocking(move || hash_clip(&bytes, &ReadLimits::default()));
            let unreadable = || ApiError::invalid(field, format!("'{field}' cannot be decoded to its end."));
            let look = look.await.map_err(|error| ApiError::internal(&error))?.map_err(|_: ReadError| unreadable())?;
            if !look.whole {
                return Err(unreadable());
            }
            look.frames
        }
    };
    let alike = alike(&app.store, found).await?;
    let [came, kept] = upload.bytes.map(|bytes| hex(&Sha256::digest(bytes)));
    let (field, prompt) = (upload.field, upload.prompt);
    let file = BroughtFile { sha256: [&came, &kept], alike: &alike, item, field, prompt };
    let (now, id) = (app.now(), UseId::new(app.now(), app.random()));
    match app.store.may_make_of(id, maker, &file, now).await {
        Err(StoreError::Refused(refusal)) => {
            let decision = DecisionId::derived(id.bytes(), "reasons");
            let place = format!("{}/account/decisions/{decision}", app.settings.base_url);
            Err(ApiError::from(refusal).contested_at(place))
        }
        likenesses => Ok(likenesses?),
    }
}

/// How the film of an archive looks. Of what cannot be decoded the frames before that are looked at.
pub(crate) async fn look_at_film(store: &Store, mp4: Bytes) -> Result<FilmLook, StoreError> {
    if !is_anyone_known(store).await? {
        return Ok(FilmLook::default());
    }
    let found = what_can_be_seen(mp4).await;
    let frames = found.iter().map(|hash| hash.straight).collect();
    Ok(FilmLook { frames, alike: alike(store, found).await? })
}

/// Looks at clips in which someone appears and that nobody has looked at: they were made before this was done. Says at how many.
///
/// # Errors
/// [`StoreError`]; what was looked at stays so.
pub(crate) async fn look_at_older(store: &Store, objects: &Objects) -> Result<usize, StoreError> {
    let unseen = store.unseen_likeness_clips(AT_ONCE).await?;
    for (video, film) in &unseen {
        let frames = match objects.get_all(film).await {
            Ok(mp4) => what_can_be_seen(mp4).await,
            // It went meanwhile.
            Err(StoreError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let frames: Vec<_> = frames.iter().map(|hash| hash.straight).collect();
        store.keep_likeness_look(*video, &frames).await?;
    }
    Ok(unseen.len())
}

/// The frames of a film as far as it can be decoded.
async fn what_can_be_seen(mp4: Bytes) -> Vec<FrameHash> {
    let look = tokio::task::spawn_blocking(move || hash_clip(&mp4, &ReadLimits::default())).await;
    look.ok().and_then(Result::ok).map(|look| look.frames).unwrap_or_default()
}

/// Whether there is anything to know again.
async fn is_anyone_known(store: &Store) -> Result<bool, StoreError> {
    Ok(!store.likeness_looks(None, 1).await?.is_empty())
}

/// The clips that frames look like.
async fn alike(store: &Store, found: Vec<FrameHash>) -> Result<Vec<VideoId>, StoreError> {
    let (mut alike, mut after, found) = (Vec::new(), None, Arc::new(found));
    loop {
        let page = store.likeness_looks(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(alike) };
        after = Some(last.video);
        let (all, found): (Vec<_>, _) = (page.iter().map(|look| look.video).collect(), Arc::clone(&found));
        let compare = move || -> Vec<_> {
            page.iter().filter(|look| is_seen_again(&look.frames, &found)).map(|look| look.video).collect()
        };
        // A comparison that panicked has not said that it is another clip.
        alike.extend(tokio::task::spawn_blocking(compare).await.unwrap_or(all));
    }
}
