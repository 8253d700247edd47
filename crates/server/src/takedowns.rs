//! Takedown without an account: notices are read and filed here, followed by decisions, and their clocks are kept. What intimate images
//! look like is known by the hashes of their frames, so that copies are found and do not come back.

use media::{Frame, FrameHash, PictureLimits, Size, is_near_copy, read_picture};
use platform::{
    DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope, IdentityId,
    PostAddress, PostId, RESTORE_DAYS, Service, TakedownId, TakedownKind, TakedownState, Timestamp, Token, TokenKind,
    business_days_after,
};
use serde::{Deserialize, Serialize};
use store::{BlockedClip, Letter, NewTakedown, StoreError, Takedown, UnhashedPost};

use crate::app::App;
use crate::clock::start_of_day;
use crate::http::accounts::{count_attempt, read_email};
use crate::http::auth::{ClientAddress, Person};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::letters::letter;
use crate::web::{TakedownWord, takedown_words};

/// What a notice says, and what the law wants of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Details {
    /// Where its writer is reached.
    pub(crate) email: String,
    /// Who writes.
    pub(crate) name: String,
    /// Of a copyright notice.
    pub(crate) address: String,
    /// Of a copyright notice.
    pub(crate) phone: String,
    /// Of a copyright notice: which work.
    pub(crate) work: String,
    /// What is wrong, in the writer's words.
    pub(crate) statement: String,
    /// The name as a signature.
    pub(crate) signature: String,
}

/// The answer of whoever made what was taken down, and what the law wants of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Counter {
    /// Who answers.
    pub(crate) name: String,
    /// Where a court reaches them.
    pub(crate) address: String,
    /// Where they are called.
    pub(crate) phone: String,
    /// Why it was a mistake.
    pub(crate) statement: String,
    /// The name as a signature.
    pub(crate) signature: String,
}

/// A suit that keeps an item off after it was answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Suit {
    /// Which court.
    pub(crate) court: String,
    /// The number of the file there.
    pub(crate) number: String,
    /// The day on which it was filed, `YYYY-MM-DD`.
    pub(crate) day: String,
}

/// Notices, posts and letters of one round.
const AT_ONCE: u32 = 20;
/// Posts compared at a time.
const PAGE: u32 = 1_000;
/// Columns of a sprite sheet, see `worker::outputs`.
const COLUMNS: u32 = 4;

/// What a notice says, as it was kept.
pub(crate) fn details(notice: &Takedown) -> Details {
    serde_json::from_str(&notice.details).unwrap_or_default()
}

/// A counter-notice, as it was kept.
pub(crate) fn counter_of(notice: &Takedown) -> Option<Counter> {
    serde_json::from_str(notice.counter.as_ref()?).ok()
}

/// The suit that was shown, as it was kept.
pub(crate) fn suit_of(notice: &Takedown) -> Option<Suit> {
    serde_json::from_str(notice.suit.as_ref()?).ok()
}

/// A text of so many characters at most that must be there.
fn needed(form: &Form, name: &'static str, most: usize) -> Result<String, ApiError> {
    let text = form.text(name)?.unwrap_or_default().trim().to_owned();
    if text.is_empty() {
        return Err(ApiError::missing(name));
    }
    if text.chars().count() > most {
        return Err(ApiError::invalid(name, format!("'{name}' has {most} characters at most.")));
    }
    Ok(text)
}

/// Something that must be confirmed by a tick.
fn confirmed(form: &Form, name: &'static str) -> Result<(), ApiError> {
    if form.flag(name)? == Some(true) { Ok(()) } else { Err(ApiError::missing(name)) }
}

/// The post that a text names: its address, its path, or its id. By a secret link too, because whoever has that sees it.
async fn named_post(app: &App, text: &str) -> Result<PostId, ApiError> {
    let unknown = || ApiError::invalid("post", "There is no such post here: copy its address from the browser.");
    let path = text.trim().split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit("/p/").next().unwrap_or_default();
    let address: PostAddress = last.split('/').next().unwrap_or_default().parse().map_err(|_| unknown())?;
    match address {
        PostAddress::Id(id) => Ok(id),
        PostAddress::Link(_) => match app.store.post(platform::Viewer::SIGNED_OUT, address).await {
            Ok(post) => Ok(post.id),
            Err(StoreError::NotFound(_)) => Err(unknown()),
            Err(error) => Err(error.into()),
        },
    }
}

/// Reads a notice and files it, with a letter that confirms it; of a copyright notice the post's maker is told that it
/// came, and nothing of what it says: nobody has looked at it. The secret of its page.
pub(crate) async fn file(
    app: &App,
    address: ClientAddress,
    kind: TakedownKind,
    form: &Form,
) -> Result<String, ApiError> {
    count_attempt(app, address, "")?;
    let post = named_post(app, &needed(form, "post", 500)?).await?;
    let mut details = Details {
        email: read_email(&needed(form, "email", 254)?)?,
        name: needed(form, "name", 200)?,
        statement: needed(form, "statement", 4_000)?,
        signature: needed(form, "signature", 200)?,
        ..Details::default()
    };
    confirmed(form, "good_faith")?;
    match kind {
        TakedownKind::Intimate => confirmed(form, "depicted")?,
        TakedownKind::Copyright => {
            details.address = needed(form, "address", 500)?;
            details.phone = needed(form, "phone", 50)?;
            details.work = needed(form, "work", 2_000)?;
            confirmed(form, "accurate")?;
        }
    }
    let author = match app.store.author_of(post).await {
        Err(StoreError::NotFound(_)) => {
            return Err(ApiError::invalid("post", "There is no such post here: copy its address from the browser."));
        }
        author => author?,
    };
    let now = app.now();
    let token = Token::new(TokenKind::Takedown, app.random());
    let secret = token.reveal();
    let id = TakedownId::new(now, app.random());
    let mut letters = vec![notifier_letter(app, &details.email, kind, TakedownWord::Received, &secret)];
    if kind == TakedownKind::Copyright {
        letters.extend(maker_letter(app, author, post, TakedownWord::ToldMaker, "").await?);
    }
    let kept = serde_json::to_string(&details).map_err(|error| ApiError::internal(&error))?;
    let notice = NewTakedown {
        id,
        kind,
        link: token.hash(),
        notifier: app.link_key.keyed_hash(&details.email),
        details: &kept,
        post,
    };
    match app.store.file_takedown(&notice, &letters, now).await {
        Err(StoreError::State { .. }) => {
            let message = "Too many notices of this address are open, or were refused: wait until they are answered.";
            Err(ApiError::forbidden("notices_refused", message))
        }
        Err(StoreError::NotFound(_)) => {
            Err(ApiError::invalid("post", "There is no such post here: copy its address from the browser."))
        }
        filed => Ok(filed.map(|()| secret)?),
    }
}

fn notifier_letter(app: &App, to: &str, kind: TakedownKind, word: TakedownWord, secret: &str) -> Letter {
    let (subject, text) = takedown_words(app, word, kind);
    let place = if secret.is_empty() {
        String::new()
    } else {
        format!("\n\n{}/takedown/status/{secret}", app.settings.base_url)
    };
    letter(app, to, subject, format!("{text}{place}\n"))
}

/// A letter to whoever made a post, if they are still there.
async fn maker_letter(
    app: &App,
    maker: IdentityId,
    post: PostId,
    word: TakedownWord,
    more: &str,
) -> Result<Option<Letter>, StoreError> {
    let to = match app.store.identity(maker).await {
        Err(StoreError::NotFound(_)) => return Ok(None),
        identity => identity?.email,
    };
    let (subject, text) = takedown_words(app, word, TakedownKind::Copyright);
    let more = if more.is_empty() { String::new() } else { format!("\n{more}\n") };
    let body = format!("{text}\n\n{}/p/{post}\n{more}", app.settings.base_url);
    Ok(Some(letter(app, to, subject, body)))
}

/// Takes down what a notice names; for intimate images also what was made from it and near copies, and keeps these from coming back.
/// `by` is the moderator, or nobody if the time was over.
pub(crate) async fn follow(
    app: &App,
    notice: &Takedown,
    by: Option<IdentityId>,
    facts: &str,
) -> Result<(), StoreError> {
    let now = app.now();
    let own = match facts.trim() {
        "" => takedown_words(app, TakedownWord::FactNamed, notice.kind).1,
        facts => facts.to_owned(),
    };
    let decide =
        |post, subject, facts: &str, found: bool| decision(app, notice.kind, post, subject, facts, (by, found));
    let mut decisions = vec![decide(notice.post, notice.subject, &own, false)];
    let mut frames = Vec::new();
    if notice.kind == TakedownKind::Intimate {
        let made_from = takedown_words(app, TakedownWord::FactRemix, notice.kind).1;
        for (post, author) in app.store.post_and_remixes(notice.post).await? {
            if post != notice.post {
                decisions.push(decide(post, author, &made_from, true));
            }
        }
        // The item itself goes off even if its frames cannot be read.
        let known = match known_frames(app, notice.post).await {
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, notice = %notice.id, "copies were not looked for");
                Vec::new()
            }
            known => known?,
        };
        frames = known.iter().map(|hash| (hash.straight, hash.mirrored)).collect();
        let copy = takedown_words(app, TakedownWord::FactCopy, notice.kind).1;
        let mut after = None;
        loop {
            let page = app.store.frames_of_posts(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.post);
            let frames = known.clone();
            let compare =
                move || page.into_iter().filter(|post| is_near_copy(&frames, &post.hashes)).collect::<Vec<_>>();
            // A comparison that panicked found nothing.
            for found in tokio::task::spawn_blocking(compare).await.unwrap_or_default() {
                if decisions.iter().all(|one| one.item.id != Some(found.post.bytes())) {
                    decisions.push(decide(found.post, found.author, &copy, true));
                }
            }
        }
    }
    let Details { email, name, work, statement, .. } = details(notice);
    let mut letters = vec![notifier_letter(app, &email, notice.kind, TakedownWord::Followed, "")];
    if notice.kind == TakedownKind::Copyright {
        // A person has read it. They learn what is said, and by whom: they may have to answer it in court.
        let about = format!("{name}\n{work}\n{statement}");
        letters.extend(maker_letter(app, notice.subject, notice.post, TakedownWord::FollowedMaker, &about).await?);
    }
    app.store.follow_takedown(notice.id, &decisions, &frames, &letters, by, now).await
}

/// How the frames of what a notice names look; none if it is gone.
async fn known_frames(app: &App, post: PostId) -> Result<Vec<FrameHash>, StoreError> {
    match app.store.frames_to_hash(post).await {
        Ok(post) => hashes(app, &post).await,
        Err(StoreError::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A decision to withhold a post because of a notice: by whom, and whether a program found it.
fn decision(
    app: &App,
    kind: TakedownKind,
    post: PostId,
    subject: IdentityId,
    facts: &str,
    (by, found): (Option<IdentityId>, bool),
) -> DecisionRecord {
    let now = app.now();
    DecisionRecord {
        id: DecisionId::new(now, app.random()),
        subject,
        scope: DecisionScope::Item,
        service: Some(Service::Social),
        effect: DecisionEffect::Withhold,
        item: DecidedItem::new(DecidedKind::Post, post.bytes()),
        ground: kind.as_str().to_owned(),
        rule: DecidedRule::of_house(kind.as_str()),
        facts: facts.to_owned(),
        evidence: String::new(),
        unlawful: true,
        automated_detection: found,
        author: by,
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: None,
    }
}

/// Does not follow a notice, and says so to its writer.
pub(crate) async fn refuse(app: &App, notice: &Takedown, by: IdentityId) -> Result<(), StoreError> {
    let letter = notifier_letter(app, &details(notice).email, notice.kind, TakedownWord::Refused, "");
    app.store.refuse_takedown(notice.id, &[letter], by, app.now()).await
}

/// Keeps the answer of whoever made what a copyright notice took down, and sends it to the notice's writer.
pub(crate) async fn counter(app: &App, person: &Person, id: DecisionId, form: &Form) -> Result<(), ApiError> {
    let notice = app.store.takedown_of_decision(id).await?.ok_or_else(|| ApiError::not_found("notice"))?;
    let counter = Counter {
        name: needed(form, "name", 200)?,
        address: needed(form, "address", 500)?,
        phone: needed(form, "phone", 50)?,
        statement: needed(form, "statement", 4_000)?,
        signature: needed(form, "signature", 200)?,
    };
    confirmed(form, "mistake")?;
    confirmed(form, "court")?;
    let now = app.now();
    let back = business_days_after(now, RESTORE_DAYS);
    let (subject, text) = takedown_words(app, TakedownWord::Countered, notice.kind);
    let told = format!(
        "{text}\n\n{}\n{}\n{}\n\n{}\n\n{}: {}\n",
        counter.name,
        counter.address,
        counter.phone,
        counter.statement,
        takedown_words(app, TakedownWord::ComesBack, notice.kind).1,
        crate::clock::rfc3339(back),
    );
    let letters = [letter(app, details(&notice).email, subject, told)];
    let kept = serde_json::to_string(&counter).map_err(|error| ApiError::internal(&error))?;
    Ok(app.store.counter_takedown(notice.id, person.identity(), &kept, back, &letters, now).await?)
}

/// One round of the clocks: alarms an hour before a time is over, what was not looked at in time goes off, items come back whose
/// counter-notice no suit followed, and posts that nobody has looked at are. Says how much was done.
///
/// # Errors
/// [`StoreError`]; what was done stays done.
pub(crate) async fn watch(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let [alarms, over, back] = app.store.takedowns_due(AT_ONCE, now).await?;
    let mut done = 0;
    for notice in &alarms {
        let (subject, text) = takedown_words(app, TakedownWord::Alarm, notice.kind);
        let mut letters = Vec::new();
        for email in app.store.administrators().await? {
            let body = format!("{text}\n\n{}/moderation/takedowns/{}\n", app.settings.base_url, notice.id);
            letters.push(letter(app, email, subject.clone(), body));
        }
        done += usize::from(app.store.alarm_takedown(notice.id, &letters, now).await?);
    }
    for notice in &over {
        match follow(app, notice, None, "").await {
            Ok(()) => done += 1,
            // A moderator or another node was there first.
            Err(StoreError::State { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    for notice in &back {
        let mut letters = vec![notifier_letter(app, &details(notice).email, notice.kind, TakedownWord::Restored, "")];
        letters.extend(maker_letter(app, notice.subject, notice.post, TakedownWord::Restored, "").await?);
        done += usize::from(app.store.restore_takedown(notice.id, &letters, now).await?);
    }
    for post in app.store.unhashed_posts(AT_ONCE).await? {
        // A place of objects that does not answer keeps nothing else waiting.
        if let Err(error) = look_at(app, &post).await {
            tracing::warn!(error = &error as &dyn std::error::Error, post = %post.post, "a post was not looked at yet");
            break;
        }
    }
    Ok(done)
}

/// Takes a post down if it may not come back, says by which decision, and keeps how its frames look. That comes last, so that what
/// failed is looked at again.
async fn look_at(app: &App, post: &UnhashedPost) -> Result<Option<DecisionId>, StoreError> {
    let found: Vec<_> = hashes(app, post).await?.iter().map(|hash| hash.straight).collect();
    let decision = take_down_copy(app, post, &found).await?;
    app.store.keep_frame_hashes(post.post, &found).await?;
    Ok(decision)
}

async fn take_down_copy(app: &App, post: &UnhashedPost, found: &[[u8; 32]]) -> Result<Option<DecisionId>, StoreError> {
    let blocked = app.store.blocked_clips().await?;
    let Some(clip) = blocked.iter().find(|clip| is_copy_of(clip, found)) else { return Ok(None) };
    if app.store.is_no_copy(post.post).await? {
        return Ok(None);
    }
    let facts = takedown_words(app, TakedownWord::FactCopy, TakedownKind::Intimate).1;
    let decision = decision(app, TakedownKind::Intimate, post.post, post.author, &facts, (None, true));
    match app.store.follow_for_copy(clip.takedown, &decision).await {
        Err(StoreError::NotFound(_)) => Ok(None),
        followed => followed.map(|()| Some(decision.id)),
    }
}

fn is_copy_of(clip: &BlockedClip, found: &[[u8; 32]]) -> bool {
    let known: Vec<_> =
        clip.frames.iter().map(|(straight, mirrored)| FrameHash { straight: *straight, mirrored: *mirrored }).collect();
    is_near_copy(&known, found)
}

/// Looks at a draft before others see it.
///
/// # Errors
/// `blocked_copy` if it was taken down before, with the address of the reasons.
pub(crate) async fn before_publishing(app: &App, post: PostId) -> Result<(), ApiError> {
    let post = app.store.frames_to_hash(post).await?;
    match look_at(app, &post).await? {
        Some(decision) => {
            let message = "This clip was taken down before, and may not be shown again.";
            let place = format!("{}/account/decisions/{decision}", app.settings.base_url);
            Err(ApiError::forbidden("blocked_copy", message).contested_at(place))
        }
        None => Ok(()),
    }
}

/// How the frames of a post look: those of its sprite sheet, else its thumbnail. None of what cannot be read.
async fn hashes(app: &App, post: &UnhashedPost) -> Result<Vec<FrameHash>, StoreError> {
    for (key, columns) in [(&post.spritesheet, COLUMNS), (&post.thumbnail, 1)] {
        let Some(key) = key else { continue };
        let bytes = match app.objects.get_all(key).await {
            Err(StoreError::NotFound(_)) => continue,
            bytes => bytes?,
        };
        let size = post.size;
        let read = move || {
            let sheet = read_picture(&bytes, &PictureLimits::default()).ok()?;
            Some(tiles(&sheet, columns, size).iter().map(FrameHash::of).collect::<Vec<_>>())
        };
        if let Ok(Some(hashes)) = tokio::task::spawn_blocking(read).await {
            return Ok(hashes);
        }
    }
    Ok(Vec::new())
}

/// The pictures of a sheet: so many columns of pictures with these proportions.
fn tiles(sheet: &Frame, columns: u32, (width, height): (u32, u32)) -> Vec<Frame> {
    let Size { width: across, height: down } = sheet.size();
    if columns <= 1 || width == 0 || across < columns {
        return vec![sheet.clone()];
    }
    let tile_width = across / columns;
    // As `media::sprite_sheet` rounds it.
    let tile_height = (u64::from(tile_width) * u64::from(height) + u64::from(width) / 2) / u64::from(width);
    let tile_height = u32::try_from(tile_height).unwrap_or(down).clamp(1, down.max(1));
    let tile = Size::new(tile_width, tile_height);
    let row_bytes = across as usize * 3;
    let mut tiles = Vec::new();
    for row in 0..down / tile_height {
        for column in 0..columns {
            let mut rgb = Vec::with_capacity(tile.pixels() * 3);
            for line in 0..tile_height {
                let start = (row * tile_height + line) as usize * row_bytes + (column * tile_width) as usize * 3;
                rgb.extend_from_slice(&sheet.rgb()[start..start + tile_width as usize * 3]);
            }
            tiles.extend(Frame::new(tile, rgb));
        }
    }
    tiles
}

/// A suit is shown by whoever wrote the notice, or by a moderator: which court, under which number, filed when. Whoever made the item is told.
/// Without all of it the item comes back.
pub(crate) async fn show_suit(
    app: &App,
    notice: &Takedown,
    form: &Form,
    by: Option<IdentityId>,
) -> Result<(), ApiError> {
    let suit = Suit {
        court: needed(form, "court", 200)?,
        number: needed(form, "number", 100)?,
        day: needed(form, "day", 10)?,
    };
    let day = || ApiError::invalid("day", "Write the day on which it was filed as YYYY-MM-DD; it is not to come.");
    if start_of_day(&suit.day).ok_or_else(day)? > app.now() {
        return Err(day());
    }
    let about = format!("{}\n{}\n{}", suit.court, suit.number, suit.day);
    let letter = maker_letter(app, notice.subject, notice.post, TakedownWord::Suit, &about).await?;
    let kept = serde_json::to_string(&suit).map_err(|error| ApiError::internal(&error))?;
    let letters: Vec<_> = letter.into_iter().collect();
    Ok(app.store.show_suit(notice.id, &kept, &letters, by, app.now()).await?)
}

/// Whether a notice waits for a moderator, and how near its end is.
pub(crate) fn is_late(notice: &Takedown, now: Timestamp) -> bool {
    notice.state == TakedownState::Open && (notice.alarmed_at.is_some() || notice.due_at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_falls_apart_into_its_tiles() {
        let frames: Vec<_> = (1..=16).map(|shade| Frame::filled(Size::new(144, 80), [shade * 15, 0, 0])).collect();
        let sheet = media::sprite_sheet(&frames, COLUMNS, 240).unwrap();
        let found = tiles(&sheet, COLUMNS, (144, 80));
        assert_eq!(found.len(), 16);
        for (tile, frame) in found.iter().zip(&frames) {
            let Size { width, height } = tile.size();
            assert_eq!((tile.pixel(0, 0), tile.pixel(width - 1, height - 1)), (frame.pixel(0, 0), frame.pixel(0, 0)));
        }
    }
}
