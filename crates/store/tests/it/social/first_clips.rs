//! What the first clips of an installation rest on: a reserved handle can be held by whoever the server gives it to, and what is made
//! under one id is made once.

use platform::{
    Bio, Credits, DisplayName, GenerationState, Handle, LinkToken, MembershipEvent, PlaceId, PostId, Quotas, Service,
    Tier, VideoId, Viewer, Visibility,
};
use store::{Accepted, Listing, NewGeneration, NewPost, NewProfile, Project, StoreError};

use super::edit;
use crate::bed::{Bed, entropy, member, paper, parameters};
use crate::on_both;

on_both!(what_is_asked_for_and_posted_again_is_there_once);

async fn what_is_asked_for_and_posted_again_is_there_once(bed: Bed) {
    let (store, now) = (&bed.store, bed.now);
    // An address without @ belongs to nobody who could join, and a reserved handle to nobody who could ask for it.
    let video = member(store, "misora", now).await;
    let id = video.identity();
    store.change_membership(id, Service::Social, MembershipEvent::Join, now).await.unwrap();
    let social = store.membership(id, Service::Social).await.unwrap().active().unwrap();
    let profile = NewProfile {
        handle: Handle::read("misora").unwrap(),
        display_name: DisplayName::parse("Misora").unwrap(),
        bio: Bio::default(),
        closed: false,
    };
    assert!(matches!(store.profile_of(Viewer::from(social), id).await, Err(StoreError::NotFound(_))));
    store.set_profile(social, &profile, now).await.unwrap();
    let found = store.profile(Viewer::SIGNED_OUT, &Handle::read("misora").unwrap()).await.unwrap();
    assert_eq!(found.identity, id);

    // A tier behind all others, whose clips cost nothing.
    let quotas = Quotas { priority: -100, ..Quotas::DEFAULT };
    store.set_tier(&Tier { name: "first_clips".into(), quotas, metered: false }).await.unwrap();
    let project = platform::ProjectId::derived(id.bytes(), "first clips");
    let row = Project {
        id: project,
        owner: id,
        name: "First clips".into(),
        tier: "first_clips".into(),
        created_at: now,
        archived_at: None,
    };
    store.create_project(&row).await.unwrap();
    assert!(store.create_project(&row).await.is_err());

    let clip = VideoId::derived(id.bytes(), "first clip 1");
    let (parameters, generations) = (parameters("a red boat"), [NewGeneration { id: clip, seed: 7 }]);
    let mut request = bed.request(project, &parameters, &generations);
    request.price = Credits::from_micros(0);
    assert!(matches!(store.accept(video, &request, now).await.unwrap(), Accepted::New(_)));
    let usage = store.project_usage(project, now).await.unwrap();
    assert!(store.accept(video, &request, now).await.is_err());
    assert_eq!(store.project_usage(project, now).await.unwrap(), usage, "what failed left nothing");

    // Everyone's work goes first.
    let theirs = bed.accept(bed.project).await;
    for expected in [theirs.id, clip] {
        let (lease, generation) = store.claim("w", &paper(), now).await.unwrap().unwrap();
        assert_eq!(generation.id, expected);
        store.finish(&lease, &bed.outputs(expected, 1).await, now).await.unwrap();
    }
    let generation = store.any_generation(clip).await.unwrap();
    assert_eq!(generation.state, GenerationState::Completed);
    let balance = store.balance(project).await.unwrap();
    assert_eq!((balance.balance.micros(), balance.held.micros()), (0, 0));

    assert!(!store.ever_posted().await.unwrap());
    let id = PostId::derived(clip.bytes(), "first post");
    let media = bed.objects.copy_for_post(bed.subject(), id, generation.video.as_ref().unwrap()).await.unwrap();
    let again = bed.objects.copy_for_post(bed.subject(), id, generation.video.as_ref().unwrap()).await.unwrap();
    assert_eq!(media, again);
    for (token, there) in [(1, false), (2, true)] {
        let (link_token, edit) = (LinkToken::new([token; 16]), edit(Visibility::Public, "made here, remix me"));
        let post = NewPost { id, link_token, generation: &generation, media: &media, edit };
        let made = store.create_post(social, &post, now).await;
        assert_eq!(matches!(made, Err(StoreError::Exists(_))), there, "{made:?}");
    }
    assert!(!store.ever_posted().await.unwrap(), "a draft is no post");
    assert_eq!(store.post_of_video(social, clip).await.unwrap().id, id);
    for _ in 0..2 {
        store.publish_post(social, id, PlaceId::new(now, entropy()), now).await.unwrap();
        let posts = store.posts(Viewer::SIGNED_OUT, Listing::Latest, None, 10).await.unwrap();
        assert_eq!(posts.iter().map(|post| post.id).collect::<Vec<_>>(), [id]);
    }
    assert!(store.ever_posted().await.unwrap());
    // Deleted, it is neither made nor published again; that it ever was stays true.
    store.delete_post(social, id, now).await.unwrap();
    assert!(matches!(store.post_of_video(social, clip).await, Err(StoreError::NotFound(_))));
    let place = PlaceId::new(now, entropy());
    assert!(matches!(store.publish_post(social, id, place, now).await, Err(StoreError::State { .. })));
    assert!(store.ever_posted().await.unwrap());
}
