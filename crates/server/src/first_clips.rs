//! The first clips: an installation that is new makes a dozen by itself and posts them, so that whoever comes finds something to watch
//! and to remix.
//!
//! How far it is, the rows themselves say. The ids of clips and posts follow from the identity that they belong to, so a step that is
//! done again, after a crash or by another node, finds what it made. The one setting says that it has begun, and that it is over.

use std::time::Duration;

use platform::{
    ActiveMembership, Bio, Caption, Credits, DisplayName, GenerationKind, GenerationState, Handle, IdentityId,
    LinkToken, MembershipEvent, MembershipState, ModelName, Offer, Parameters, PlaceId, PostId, PostState, ProjectId,
    PromptVisibility, Quotas, Seconds, Service, Size, Switches, Tier, VideoId, Viewer, Visibility, Words,
};
use store::{Accept, Generation, NewGeneration, NewPost, NewProfile, PostEdit, Project, Shape, StoreError, Subject};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::web::{OwnWords, own_words};

/// What makes the first clips, and in which sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstClips {
    /// The model; the prompts are of the paper world.
    pub model: ModelName,
    /// The size of those that are higher than wide.
    pub portrait: Size,
    /// The size of those that are wider than high.
    pub landscape: Size,
}

/// How far the first clips are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is no administrator yet, or one who does not want the installation to make anything.
    Waiting,
    /// So many have ended: they are posted, or could not be made.
    Making(usize),
    /// Nothing is left to do, or nothing ever was.
    Over,
}

/// A clip of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FirstClip {
    shape: Shape,
    seed: u64,
    prompt: &'static str,
}

/// What the installation needs to make and to post.
#[derive(Clone, Copy)]
struct Maker {
    video: ActiveMembership,
    social: ActiveMembership,
    project: ProjectId,
}

/// How often it is looked whether there is something to do.
const EVERY: Duration = Duration::from_secs(5);
/// The length of each.
const LENGTH: Seconds = Seconds::new(4).expect("four seconds are a length");
/// The setting that says `begun` or `over`.
const SETTING: &str = "first_clips";
/// The address of the installation's own identity. It is none that a letter could go to or that anyone could join with, and no
/// credential belongs to it, so nobody signs in as it.
const ADDRESS: &str = "misora";
/// The reserved handle of its profile.
const HANDLE: &str = "misora";
/// Its tier: behind everyone's work, and nobody's quota.
const TIER: &str = "first_clips";

impl FirstClips {
    /// Made by a model, in the first size of either shape that it offers; nothing if it lacks one.
    pub fn with(offer: &Offer) -> Option<Self> {
        let of = |shape| offer.sizes().iter().copied().find(|size| Shape::of(*size) == shape);
        Some(Self { model: offer.name.clone(), portrait: of(Shape::Portrait)?, landscape: of(Shape::Landscape)? })
    }
}

/// The prompts of the first clips, in the order in which they are made.
pub fn prompts() -> impl Iterator<Item = &'static str> {
    clips().map(|clip| clip.prompt)
}

fn clips() -> impl Iterator<Item = FirstClip> {
    let lines = include_str!("first_clips.txt").lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(|line| {
        let (shape, rest) = line.split_once(' ')?;
        let (seed, prompt) = rest.split_once(' ')?;
        let shape = Shape::ALL.into_iter().find(|known| known.as_str() == shape)?;
        Some(FirstClip { shape, seed: seed.parse().ok()?, prompt })
    })
}

/// Makes and posts the first clips, if it is for them, and then waits until it is told to stop. Several nodes can do it at once.
pub async fn run(app: &App, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match go_on(app).await {
            Ok(Stage::Over) => return stop.cancelled().await,
            Ok(Stage::Waiting | Stage::Making(_)) => {}
            // The owner made the tier narrower, and may make it wider again.
            Err(StoreError::Refused(refusal)) => tracing::debug!(%refusal, "a first clip was refused"),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the first clips do not go on"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// Does what can be done now; what is done stays done.
///
/// # Errors
/// [`StoreError`]; the next call goes on where this one stopped.
pub async fn go_on(app: &App) -> Result<Stage, StoreError> {
    let Some(plan) = &app.settings.first_clips else { return Ok(Stage::Over) };
    if !is_decided(app).await? {
        return Ok(Stage::Waiting);
    }
    if app.store.setting(SETTING).await?.as_deref() != Some("begun") {
        return Ok(Stage::Over);
    }
    let Some(maker) = maker(app).await? else { return Ok(Stage::Waiting) };
    let (mut all, mut ended) = (0, 0);
    for clip in clips() {
        all += 1;
        if tend(app, plan, maker, &clip).await? {
            ended += 1;
        }
    }
    if ended < all {
        return Ok(Stage::Making(ended));
    }
    app.store.set_setting(SETTING, "over", app.now()).await?;
    tracing::info!("the first clips are there");
    Ok(Stage::Over)
}

/// Whether it was decided, once and for ever, if there shall be first clips. That needs an administrator; where someone has posted
/// already there shall be none.
async fn is_decided(app: &App) -> Result<bool, StoreError> {
    if app.store.setting(SETTING).await?.is_some() {
        return Ok(true);
    }
    if !app.store.has_administrator().await? {
        return Ok(false);
    }
    let word = if app.store.ever_posted().await? { "over" } else { "begun" };
    // If another node has decided meanwhile, that counts.
    app.store.setting_or(SETTING, word, app.now()).await?;
    Ok(true)
}

/// The installation's own identity with all that it needs, made where it is missing; nothing if someone has limited it.
async fn maker(app: &App) -> Result<Option<Maker>, StoreError> {
    let (store, now) = (&app.store, app.now());
    let identity = match store.identity_by_email(ADDRESS).await? {
        Some(identity) => identity.id,
        None => {
            let id = IdentityId::new(now, app.random());
            match store.create_identity(id, ADDRESS, now).await {
                Ok(()) => id,
                // Another node was quicker.
                Err(StoreError::Exists(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    };
    let video = member(app, identity, Service::Video).await?;
    let social = member(app, identity, Service::Social).await?;
    let (Some(video), Some(social)) = (video, social) else { return Ok(None) };

    if let Err(StoreError::NotFound(_)) = store.tier(TIER).await {
        let quotas = Quotas { priority: -100, ..Quotas::DEFAULT };
        store.set_tier(&Tier { name: TIER.into(), quotas, metered: false }).await?;
    }
    let project = ProjectId::derived(identity.bytes(), "first clips");
    if let Err(StoreError::NotFound(_)) = store.project(project).await {
        let (name, tier) = ("First clips".to_owned(), TIER.to_owned());
        store
            .create_project(&Project { id: project, owner: identity, name, tier, created_at: now, archived_at: None })
            .await?;
    }
    if let Err(StoreError::NotFound(_)) = store.profile_of(Viewer::from(social), identity).await {
        match store.set_profile(social, &profile(own_words(&app.settings.language)), now).await {
            Ok(()) => {}
            Err(StoreError::Exists(_)) => {
                tracing::warn!("@{HANDLE} is someone's, so there are no first clips");
                store.set_setting(SETTING, "over", now).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Maker { video, social, project }))
}

/// The identity as a member of a service, which it joins by this if it never has.
async fn member(app: &App, identity: IdentityId, service: Service) -> Result<Option<ActiveMembership>, StoreError> {
    let mut membership = app.store.membership(identity, service).await?;
    if membership.state == MembershipState::None {
        match app.store.change_membership(identity, service, MembershipEvent::Join, app.now()).await {
            // Another node may have been quicker.
            Ok(_) | Err(StoreError::State { .. }) => {}
            Err(error) => return Err(error),
        }
        membership = app.store.membership(identity, service).await?;
    }
    Ok(membership.active().ok())
}

fn profile(words: OwnWords) -> NewProfile {
    NewProfile {
        handle: Handle::read(HANDLE).expect("a reserved word of letters is a handle"),
        display_name: DisplayName::parse("Misora").expect("six letters are a name"),
        bio: Bio::parse(words.bio).expect("a short line is a bio, as a test of all languages shows"),
        closed: false,
    }
}

/// What is said of each post. Nobody reads comments below them, so there are none.
fn edit(words: OwnWords) -> PostEdit {
    PostEdit {
        caption: Caption::parse(words.caption).expect("a short line is a caption, as a test of all languages shows"),
        visibility: Visibility::Public,
        switches: Switches { prompt: PromptVisibility::Reusable, remix: true, download: true, comments: false },
    }
}

/// The next step of one clip; whether nothing is left to do for it.
async fn tend(app: &App, plan: &FirstClips, maker: Maker, clip: &FirstClip) -> Result<bool, StoreError> {
    let id = VideoId::derived(maker.video.identity().bytes(), &format!("first clip {}", clip.seed));
    let generation = match app.store.any_generation(id).await {
        Ok(generation) => generation,
        Err(StoreError::NotFound(_)) => return ask(app, plan, maker, clip, id).await.map(|()| false),
        Err(error) => return Err(error),
    };
    if generation.state == GenerationState::Completed {
        show(app, maker, &generation).await?;
    }
    Ok(generation.state.is_final())
}

/// Puts a clip into the queue.
async fn ask(app: &App, plan: &FirstClips, maker: Maker, clip: &FirstClip, id: VideoId) -> Result<(), StoreError> {
    let size = if clip.shape == Shape::Portrait { plan.portrait } else { plan.landscape };
    let words = Words { prompt: Some(clip.prompt), ..Words::default() };
    let parameters = Parameters::of_source(&words, plan.model.clone(), size, LENGTH)?;
    let request = Accept {
        project: maker.project,
        parameters: &parameters,
        kind: &GenerationKind::Create { first_frame: None, characters: Vec::new() },
        model: &plan.model,
        total_seconds: LENGTH,
        price: Credits::from_micros(0),
        generations: &[NewGeneration { id, seed: clip.seed }],
        likenesses: &[],
        idempotency: None,
        batch_line: None,
    };
    if let Err(error) = app.store.accept(maker.video, &request, app.now()).await {
        // If it is there now, another node was quicker.
        app.store.any_generation(id).await.map_err(|_| error)?;
    }
    app.worker_signal.job_accepted();
    Ok(())
}

/// Posts a clip that is made.
async fn show(app: &App, maker: Maker, generation: &Generation) -> Result<(), StoreError> {
    let now = app.now();
    let post = match app.store.post_of_video(maker.social, generation.id).await {
        Ok(post) if post.facts.state != PostState::Draft => return Ok(()),
        Ok(post) => post.id,
        Err(StoreError::NotFound(_)) => {
            // The owner may keep media for a short time only.
            let Some(video) = &generation.video else { return Ok(()) };
            let id = PostId::derived(generation.id.bytes(), "first post");
            let subject = Subject { identity: maker.social.identity(), service: Service::Social, since: now };
            let media = app.objects.copy_for_post(subject, id, video).await?;
            let (link_token, edit) = (LinkToken::new(app.random()), edit(own_words(&app.settings.language)));
            match app
                .store
                .create_post(maker.social, &NewPost { id, link_token, generation, media: &media, edit }, now)
                .await
            {
                // If it is there, another node was quicker, or it was deleted since.
                Ok(()) | Err(StoreError::Exists(_)) => id,
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    match app.store.publish_post(maker.social, post, PlaceId::new(now, app.random()), now).await {
        // What was deleted or withheld stays so.
        Ok(()) | Err(StoreError::State { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::languages;

    #[test]
    fn a_dozen_clips_differ_and_break_no_rule() {
        let clips: Vec<_> = clips().collect();
        let lines = include_str!("first_clips.txt").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!((clips.len(), lines), (12, 12));
        assert_eq!(clips.iter().map(|clip| clip.seed).collect::<BTreeSet<_>>().len(), 12);
        assert_eq!(prompts().collect::<BTreeSet<_>>().len(), 12);
        for shape in [Shape::Portrait, Shape::Landscape] {
            assert!(clips.iter().filter(|clip| clip.shape == shape).count() >= 4);
        }
        assert!(clips.iter().all(|clip| clip.shape != Shape::Square && clip.seed <= i64::MAX as u64));
        let rights = platform::policy::Rights::default();
        let reach = platform::policy::RightsUse::Prompts;
        let context = platform::policy::Context { rights: &rights, reach, at: platform::Timestamp::from_seconds(0) };
        let judge =
            |prompt| platform::policy::Policy::built_in().judge(platform::policy::Stage::Prompt, prompt, &context);
        assert!(prompts().all(|prompt| judge(prompt).is_allowed()));
    }

    #[test]
    fn every_language_has_a_caption_and_a_bio() {
        let captions: BTreeSet<_> = languages().map(|tag| edit(own_words(tag)).caption.as_str().to_owned()).collect();
        assert_eq!(captions.len(), languages().count());
        assert!(captions.contains("made here, remix me"));
        for tag in languages() {
            assert!(!profile(own_words(tag)).bio.as_str().is_empty(), "{tag}");
        }
        // A language that is not there speaks the first.
        assert_eq!(own_words("xx").caption, "made here, remix me");
    }

    #[test]
    fn the_first_size_of_either_shape_is_taken() {
        let name = ModelName::parse("paper").unwrap();
        let (seconds, rate) = (vec![LENGTH], platform::Rate::FREE);
        let offer = |sizes: Vec<Size>| Offer::new(name.clone(), rate, sizes, seconds.clone()).unwrap();
        let (wide, high, square) = (Size::new(1280, 720), Size::new(720, 1280), Size::new(960, 960));
        let all = offer(vec![square, wide, high, Size::new(80, 144)]);
        assert_eq!(FirstClips::with(&all), Some(FirstClips { model: name.clone(), portrait: high, landscape: wide }));
        assert_eq!(FirstClips::with(&offer(vec![wide])), None);
    }
}
