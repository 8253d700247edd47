//! The first clips of a new installation: a dozen, once, whatever happens in between.

use std::time::Duration;

use platform::{
    Caption, GenerationState, Handle, IdentityId, LinkToken, MembershipEvent, PostId, ProjectId, PromptVisibility,
    Quotas, Role, Service, Size, Switches, Tier, VideoId, Viewer, Visibility,
};
use server::Settings;
use server::first_clips::{FirstClips, Stage, go_on};
use store::{Generation, Listing, NewPost, Page, Post, PostEdit, Shape, StoreError, Subject};

use super::pages::{join, page};
use super::site::{As, Sent, Site};
use crate::loops::bed::{Bed, create, name};

/// The installation makes first clips, small ones.
fn small(settings: &mut Settings) {
    let plan = FirstClips { model: name("test-card"), portrait: Size::new(80, 144), landscape: Size::new(144, 80) };
    settings.first_clips = Some(plan);
}

async fn new_site() -> Site {
    Site::of(Bed::with(small).await).await
}

/// Makes a test of each function, on each database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use crate::http::site::Site;
            use crate::loops::bed::Bed;

            #[tokio::test]
            async fn sqlite() {
                super::$name(super::new_site().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(Site::of(Bed::on_postgres(super::small).await).await).await;
            }
        }
    )*};
}
on_both!(a_crash_between_two_steps_makes_nothing_double, two_nodes_make_no_more_than_one);

/// Someone administers it from now on.
async fn set_up(site: &Site) {
    site.bed.app.store.set_role(site.owner(), Service::Video, Role::Administrator).await.unwrap();
}

async fn step(site: &Site) -> Stage {
    go_on(&site.bed.app).await.unwrap()
}

/// Makes what waits, until there is nothing to do.
async fn finish(site: &Site) {
    for _ in 0..40 {
        if step(site).await == Stage::Over {
            return;
        }
        if site.bed.app.store.queue_depth().await.unwrap().queued > 0 {
            site.work().await;
        }
        // Posts stand in the order of their moments.
        site.bed.clock.advance(Duration::from_secs(1));
    }
    panic!("it never ends");
}

async fn posts(site: &Site) -> Vec<Post> {
    site.bed.app.store.posts(Viewer::SIGNED_OUT, Listing::Latest, None, 100).await.unwrap()
}

async fn maker(site: &Site) -> IdentityId {
    site.bed.app.store.identity_by_email("misora").await.unwrap().unwrap().id
}

async fn project(site: &Site) -> ProjectId {
    site.bed.app.store.projects(maker(site).await).await.unwrap()[0].id
}

/// All clips of the installation's own project.
async fn clips(site: &Site) -> Vec<Generation> {
    let page = Page { limit: 100, ..Page::default() };
    site.bed.app.store.generations(project(site).await, page).await.unwrap().generations
}

/// Twelve clips, each posted once.
async fn is_whole(site: &Site) {
    let (clips, posts) = (clips(site).await, posts(site).await);
    assert_eq!((clips.len(), posts.len()), (12, 12));
    let mut videos: Vec<VideoId> = posts.iter().map(|post| post.video).collect();
    videos.sort();
    videos.dedup();
    assert_eq!(videos.len(), 12);
    assert!(clips.iter().all(|clip| clip.state == GenerationState::Completed && videos.contains(&clip.id)));
}

#[tokio::test]
async fn a_new_installation_makes_a_dozen_and_welcomes_people_with_them() {
    let site = new_site().await;
    // Before anyone administers it, nothing happens.
    assert_eq!(step(&site).await, Stage::Waiting);
    assert!(site.bed.app.store.identity_by_email("misora").await.unwrap().is_none());
    set_up(&site).await;
    assert_eq!(step(&site).await, Stage::Making(0));
    assert_eq!(site.bed.app.store.queue_depth().await.unwrap().queued, 12);

    // Whoever asks for something comes first, and pays for nothing of this.
    let before = site.bed.money().await;
    let wanted = site.bed.accept(create()).await.id;
    site.work().await;
    assert_eq!(site.bed.generation(wanted).await.state, GenerationState::Completed);
    assert_eq!(site.bed.money().await, (before.0 - 2, before.1));
    assert_eq!(site.bed.app.store.queue_depth().await.unwrap().queued, 12);

    site.work().await;
    assert_eq!(step(&site).await, Stage::Making(1));
    assert_eq!(posts(&site).await.len(), 1);
    finish(&site).await;
    is_whole(&site).await;
    let posts = posts(&site).await;
    for post in &posts {
        assert_eq!((post.author.handle.as_str(), post.caption.as_str()), ("misora", "made here, remix me"));
        assert_eq!((post.facts.visibility, post.seconds.get()), (Visibility::Public, 4));
        assert_eq!(post.facts.switches.prompt, PromptVisibility::Reusable);
        assert!(post.facts.switches.remix && post.facts.switches.download);
        assert!(post.prompt.is_some() && post.recipe.is_some());
    }
    assert!(posts.iter().any(|post| Shape::of(post.size) == Shape::Portrait));
    assert!(posts.iter().any(|post| Shape::of(post.size) == Shape::Landscape));
    // The last of the file is the first that people see.
    assert_eq!(posts[0].prompt.as_deref(), server::first_clips::prompts().last());

    // Whoever comes finds them, and what they are.
    for path in ["/", "/@misora"] {
        let shown = site.send("GET", path, As::Nobody, Sent::Nothing).await.page();
        assert!(posts.iter().any(|post| shown.contains(&format!("/p/{}", post.id))), "{path}: {shown}");
    }
    let download = format!("/p/{}/media/video?download=1", posts[0].id);
    assert_eq!(site.send("GET", &download, As::Nobody, Sent::Nothing).await.status, 200);
}

#[tokio::test]
async fn it_happens_once() {
    let site = new_site().await;
    set_up(&site).await;
    finish(&site).await;
    // A restart knows.
    assert_eq!(step(&site).await, Stage::Over);
    is_whole(&site).await;
    // What is deleted stays deleted.
    let (store, now) = (&site.bed.app.store, site.bed.app.now());
    let social = store.membership(maker(&site).await, Service::Social).await.unwrap().active().unwrap();
    store.delete_post(social, posts(&site).await[0].id, now).await.unwrap();
    store.delete_generation(project(&site).await, clips(&site).await[3].id, now).await.unwrap();
    assert_eq!(step(&site).await, Stage::Over);
    assert_eq!((clips(&site).await.len(), posts(&site).await.len()), (11, 11));
}

/// All that a crash can leave in the rows, one after the other.
async fn a_crash_between_two_steps_makes_nothing_double(site: Site) {
    let (app, store, now) = (&site.bed.app, &site.bed.app.store, site.bed.app.now());
    set_up(&site).await;
    // After the decision; after the identity; after one of its memberships.
    store.set_setting("first_clips", "begun", now).await.unwrap();
    let id = IdentityId::new(now, app.random());
    store.create_identity(id, "misora", now).await.unwrap();
    store.change_membership(id, Service::Video, MembershipEvent::Join, now).await.unwrap();
    let tier = async |concurrent_jobs| {
        let quotas = Quotas { priority: -100, concurrent_jobs, ..Quotas::DEFAULT };
        store.set_tier(&Tier { name: "first_clips".into(), quotas, metered: false }).await.unwrap();
    };
    tier(5).await;
    assert!(matches!(go_on(app).await, Err(StoreError::Refused(_))));
    assert_eq!(maker(&site).await, id);

    // After some of the jobs.
    assert_eq!(clips(&site).await.len(), 5);
    tier(12).await;
    assert_eq!(step(&site).await, Stage::Making(0));
    assert_eq!(step(&site).await, Stage::Making(0));
    assert_eq!((clips(&site).await.len(), store.queue_depth().await.unwrap().queued), (12, 12));

    // After the copies of the media, and after the draft of a post.
    site.work().await;
    site.work().await;
    let done: Vec<_> = clips(&site).await.into_iter().filter(|clip| clip.state == GenerationState::Completed).collect();
    let [copied, drafted] = done.as_slice() else { panic!("{done:?}") };
    let post = |clip: &Generation| PostId::derived(clip.id.bytes(), "first post");
    let subject = Subject { identity: maker(&site).await, service: Service::Social, since: now };
    app.objects.copy_for_post(subject, post(copied), copied.video.as_ref().unwrap()).await.unwrap();
    let media = app.objects.copy_for_post(subject, post(drafted), drafted.video.as_ref().unwrap()).await.unwrap();
    let edit = PostEdit {
        caption: Caption::parse("made here, remix me").unwrap(),
        visibility: Visibility::Public,
        switches: Switches { prompt: PromptVisibility::Reusable, remix: true, download: true, comments: false },
    };
    let (id, link_token) = (post(drafted), LinkToken::new(app.random()));
    let draft = NewPost { id, link_token, generation: drafted, media: &media, edit };
    let social = store.membership(maker(&site).await, Service::Social).await.unwrap().active().unwrap();
    store.create_post(social, &draft, now).await.unwrap();
    assert_eq!(step(&site).await, Stage::Making(2));
    let shown: Vec<_> = posts(&site).await.iter().map(|post| post.id).collect();
    assert!(shown.len() == 2 && shown.contains(&post(copied)) && shown.contains(&post(drafted)), "{shown:?}");

    // Before it was written down that all is done.
    finish(&site).await;
    store.set_setting("first_clips", "begun", now).await.unwrap();
    assert_eq!(step(&site).await, Stage::Over);
    is_whole(&site).await;
}

async fn two_nodes_make_no_more_than_one(site: Site) {
    set_up(&site).await;
    let app = &site.bed.app;
    for _ in 0..40 {
        // What one of them is told of the other's work is no failure of the whole: the next round goes on.
        let (one, other) = tokio::join!(go_on(app), go_on(app));
        if matches!((one, other), (Ok(Stage::Over), Ok(Stage::Over))) {
            is_whole(&site).await;
            return;
        }
        if app.store.queue_depth().await.unwrap().queued > 0 {
            site.work().await;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn what_cannot_be_made_is_left_out() {
    let site = new_site().await;
    set_up(&site).await;
    step(&site).await;
    let failed = clips(&site).await[0].id;
    site.bed.app.store.cancel(project(&site).await, failed, site.bed.app.now()).await.unwrap();
    assert_eq!(step(&site).await, Stage::Making(1));
    finish(&site).await;
    assert_eq!((clips(&site).await.len(), posts(&site).await.len()), (12, 11));
}

#[tokio::test]
async fn there_are_none_where_they_are_switched_off_or_come_too_late() {
    let off = Site::new().await;
    set_up(&off).await;
    assert_eq!(step(&off).await, Stage::Over);
    assert!(off.bed.app.store.identity_by_email("misora").await.unwrap().is_none());

    // Where someone has posted already, nobody needs them.
    let site = new_site().await;
    let cookie = site.sign_in(site.owner()).await;
    let profile = [("handle", "mika"), ("display_name", "Mika")];
    site.send("POST", "/account/profile", As::Cookie(&cookie), Sent::Fields(&profile)).await.goes_to();
    let clip = site.video().await;
    let public = [("visibility", "public"), ("caption", "mine")];
    let path = format!("/clips/{clip}/publish");
    site.send("POST", &path, As::Cookie(&cookie), Sent::Fields(&public)).await.goes_to();
    set_up(&site).await;
    assert_eq!(step(&site).await, Stage::Over);
    // Not later either, when there is no post any more.
    let post = posts(&site).await[0].id;
    site.send("POST", &format!("/p/{post}/delete"), As::Cookie(&cookie), Sent::Fields(&[])).await.goes_to();
    assert_eq!(step(&site).await, Stage::Over);
    assert!(site.bed.app.store.identity_by_email("misora").await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_signs_in_as_the_installation_or_takes_its_name() {
    let bed = Bed::with(|settings| {
        small(settings);
        settings.sign_up = platform::SignUpMode::Open;
    });
    let site = Site::of(bed.await).await;
    set_up(&site).await;
    step(&site).await;
    maker(&site).await;
    for password in ["misora", "", "a long enough password"] {
        let fields = [("email", "misora"), ("password", password)];
        let refused = site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&fields)).await;
        assert!(matches!(refused.status, 400 | 401) && refused.header("set-cookie").is_empty(), "{}", refused.status);
        let joined = site.send("POST", "/sign-up", As::Nobody, Sent::Fields(&fields)).await;
        assert_eq!(joined.status, 400);
        site.bed.clock.advance(Duration::from_secs(60));
    }
    let asked = site.send("POST", "/forgotten-password", As::Nobody, Sent::Fields(&[("email", "misora")])).await;
    assert_eq!(asked.status, 400);
    // Its handle is reserved, and looks like nothing that can be had.
    let cookie = join(&site, "new@example.org").await;
    for handle in ["misora", "m1sora", "rnisora"] {
        assert!(Handle::parse(handle).is_err());
        let fields = [("handle", handle), ("display_name", "")];
        let kept = site.send("POST", "/account/profile", As::Cookie(&cookie), Sent::Fields(&fields)).await;
        assert_eq!(kept.status, 400, "{handle}");
    }
    assert!(page(&site, &cookie, "/@misora").await.contains("made by itself"));
    assert!(!site.letters().await.iter().any(|letter| letter.contains("A new password")));
}
