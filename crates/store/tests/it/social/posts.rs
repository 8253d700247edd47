use std::time::Duration;

use platform::{Cut, GenerationKind, PlaceId, PostState, PromptVisibility, Service, Switches, Viewer, Visibility};
use store::{Accept, Holdings, Listing, PostEdit, StoreError};

use super::{Stage, edit, new_clip};
use crate::bed::{Bed, entropy, parameters};
use crate::on_both;

on_both!(
    a_draft_is_published_once,
    a_deleted_post_comes_back_as_it_was,
    a_tree_of_remixes_keeps_its_shape,
    credit_passes_over_what_was_never_posted,
    likes_are_counted_once,
    a_prompt_is_read_when_its_author_lets_it,
    a_post_outlives_its_video,
    only_ones_own_finished_clips_are_posted,
    what_each_service_holds_is_counted_apart,
);

async fn a_draft_is_published_once(mut bed: Bed) {
    bed.now = bed.now + Duration::from_secs(1);
    let mut stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let (id, video) = stage.draft(mika, new_clip(), edit(Visibility::Public, "a #bird")).await;
    assert!(stage.store().post(Viewer::SIGNED_OUT, id).await.is_err());
    assert_eq!(stage.store().own_unpublished(mika.member, false, None, 10).await.unwrap().len(), 1);
    let place = stage.publish(mika, id).await;
    stage.tick();
    stage.publish(mika, id).await;
    let post = stage.store().post(Viewer::SIGNED_OUT, id).await.unwrap();
    assert_eq!((post.place, post.link_token, post.edited_at), (Some(place), None, None));
    assert_eq!(stage.store().post_of_video(mika.member, video).await.unwrap().id, id);
    stage.store().edit_post(mika.member, id, &edit(Visibility::Public, "a #boat"), stage.now()).await.unwrap();
    let post = stage.store().post(Viewer::SIGNED_OUT, id).await.unwrap();
    assert_eq!((post.caption.as_str(), post.edited_at), ("a #boat", Some(stage.now())));
    for (tag, count) in [("bird", 0), ("boat", 1)] {
        let tag = platform::Hashtag::parse(tag).unwrap();
        let tagged = stage.store().posts(Viewer::SIGNED_OUT, Listing::Tagged(&tag), None, 10).await.unwrap();
        assert_eq!(tagged.len(), count, "{tag}");
    }
    let other = stage.person("other").await;
    let change = stage.store().edit_post(other.member, id, &edit(Visibility::Public, ""), stage.now()).await;
    assert!(matches!(change, Err(StoreError::NotFound("post"))));
}

async fn a_deleted_post_comes_back_as_it_was(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let id = stage.post(mika, Visibility::Public, "a #bird").await;
    stage.store().set_like(mika.member, id, true, stage.now()).await.unwrap();
    let before = stage.store().post(mika.viewer, id).await.unwrap();
    stage.tick();
    stage.store().delete_post(mika.member, id, stage.now()).await.unwrap();
    assert!(stage.store().post(mika.viewer, id).await.is_err());
    assert_eq!(stage.store().own_unpublished(mika.member, true, None, 10).await.unwrap()[0].id, id);
    let day = |day: u64| stage.now() + Duration::from_secs(day * 86_400);
    stage.store().undelete_post(mika.member, id, day(29)).await.unwrap();
    assert_eq!(stage.store().post(mika.viewer, id).await.unwrap(), before);
    // A decision is not undone by deleting.
    stage.store().withhold_post(id, true, stage.now()).await.unwrap();
    assert!(stage.store().post(Viewer::SIGNED_OUT, id).await.is_err());
    stage.store().delete_post(mika.member, id, stage.now()).await.unwrap();
    stage.store().undelete_post(mika.member, id, stage.now()).await.unwrap();
    assert_eq!(stage.store().post(mika.viewer, id).await.unwrap().facts.state, PostState::Withheld);
    stage.store().withhold_post(id, false, stage.now()).await.unwrap();
    assert_eq!(stage.store().post(mika.viewer, id).await.unwrap(), before);
    // After 30 days it is gone, with its objects.
    stage.store().delete_post(mika.member, id, stage.now()).await.unwrap();
    assert_eq!(stage.store().purge_posts(stage.now() - Duration::from_secs(1), 10, day(29)).await.unwrap(), 0);
    assert_eq!(stage.store().purge_posts(stage.now(), 10, day(30)).await.unwrap(), 1);
    assert_eq!(stage.store().purge_posts(stage.now(), 10, day(30)).await.unwrap(), 0);
    assert!(stage.store().undelete_post(mika.member, id, stage.now()).await.is_err());
    assert!(!stage.store().object_deletions(10).await.unwrap().is_empty());
}

async fn a_tree_of_remixes_keeps_its_shape(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let people = [stage.person("anna").await, stage.person("bert").await, stage.person("cleo").await];
    let (first, video) = stage.draft(people[0], new_clip(), edit(Visibility::Public, "")).await;
    stage.publish(people[0], first).await;
    stage.tick();
    let remix = GenerationKind::Remix { source: video };
    let (second, video) = stage.draft(people[1], remix, edit(Visibility::Public, "")).await;
    stage.publish(people[1], second).await;
    stage.tick();
    let remix = GenerationKind::Remix { source: video };
    let (third, _) = stage.draft(people[2], remix, edit(Visibility::Public, "")).await;
    stage.publish(people[2], third).await;
    let post = stage.store().post(Viewer::SIGNED_OUT, third).await.unwrap();
    assert_eq!((post.parent, post.root), (Some(second), Some(first)));
    assert_eq!(stage.store().post(Viewer::SIGNED_OUT, first).await.unwrap().remixes, 1);
    let below = stage.store().remixes(Viewer::SIGNED_OUT, first, None, 10).await.unwrap();
    assert_eq!(below.iter().map(|post| post.id).collect::<Vec<_>>(), [second]);
    let credit = async |viewer| {
        let nodes = stage.store().remix_ancestors(viewer, third).await.unwrap();
        let name = |node: &store::RemixNode| {
            let author = node.author.as_ref().map_or("-".to_owned(), |author| author.handle.to_string());
            (node.id, author, node.open)
        };
        nodes.iter().map(name).collect::<Vec<_>>()
    };
    let expected = [(second, "bert".to_owned(), true), (first, "anna".to_owned(), true)];
    assert_eq!(credit(Viewer::SIGNED_OUT).await, expected);
    // Deleted and purged, the middle still credits its maker.
    stage.store().delete_post(people[1].member, second, stage.now()).await.unwrap();
    let gap = [(second, "bert".to_owned(), false), (first, "anna".to_owned(), true)];
    assert_eq!(credit(Viewer::SIGNED_OUT).await, gap);
    assert_eq!(stage.store().post(Viewer::SIGNED_OUT, first).await.unwrap().remixes, 0);
    stage.store().purge_posts(stage.now(), 10, stage.now() + Duration::from_secs(31 * 86_400)).await.unwrap();
    assert_eq!(credit(Viewer::SIGNED_OUT).await, gap);
    // Who blocked the viewer is not named.
    stage.store().block(people[0].member, people[2].id, stage.now()).await.unwrap();
    assert_eq!(credit(people[2].viewer).await[1], (first, "-".to_owned(), false));
}

/// A part of a remix that lies in a library alone still names the clip that the remix was made from.
async fn credit_passes_over_what_was_never_posted(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, yuki) = (stage.person("mika").await, stage.person("yuki").await);
    let (first, video) = stage.draft(mika, new_clip(), edit(Visibility::Public, "")).await;
    stage.publish(mika, first).await;
    let (parameters, generations) = (parameters("at dusk"), [stage.bed.new_generation()]);
    let kind = GenerationKind::Remix { source: video };
    let request = Accept { kind: &kind, ..stage.bed.request(stage.bed.project, &parameters, &generations) };
    stage.store().accept(stage.bed.member, &request, stage.now()).await.unwrap();
    let kind = GenerationKind::Trim { source: generations[0].id, cut: Cut::between(0, 1000).unwrap() };
    let (part, _) = stage.draft(yuki, kind, edit(Visibility::Public, "")).await;
    assert_eq!(stage.store().post(yuki.viewer, part).await.unwrap().parent, Some(first));
}

async fn likes_are_counted_once(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let id = stage.post(mika, Visibility::Public, "").await;
    let like = async |person: super::Person, liked| {
        stage.store().set_like(person.member, id, liked, stage.now()).await.unwrap()
    };
    assert_eq!((like(fan, true).await, like(fan, true).await, like(mika, true).await), (1, 1, 2));
    let seen = stage.store().post(fan.viewer, id).await.unwrap();
    assert!(seen.liked && seen.likes == 2 && !stage.store().post(Viewer::SIGNED_OUT, id).await.unwrap().liked);
    assert_eq!((like(fan, false).await, like(fan, false).await), (1, 1));
    let (draft, _) = stage.draft(mika, new_clip(), edit(Visibility::Public, "")).await;
    let own = stage.store().set_like(mika.member, draft, true, stage.now()).await;
    assert!(matches!(own, Err(StoreError::State { what: "post", .. })));
}

async fn a_prompt_is_read_when_its_author_lets_it(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let id = stage.post(mika, Visibility::Public, "").await;
    let seen = stage.store().post(fan.viewer, id).await.unwrap();
    assert_eq!((seen.prompt, seen.recipe, seen.link_token), (None, None, None));
    let own = stage.store().post(mika.viewer, id).await.unwrap();
    assert!(own.prompt.as_deref() == Some("a red boat") && own.link_token.is_some());
    let switches = Switches { prompt: PromptVisibility::Visible, ..Switches::default() };
    let change = PostEdit { switches, ..edit(Visibility::Link, "") };
    stage.store().edit_post(mika.member, id, &change, stage.now()).await.unwrap();
    assert!(stage.store().post(fan.viewer, id).await.is_err());
    let seen = stage.store().post(Viewer::SIGNED_OUT, own.link_token.unwrap()).await.unwrap();
    assert_eq!(seen.prompt.as_deref(), Some("a red boat"));
}

async fn a_post_outlives_its_video(bed: Bed) {
    let stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let id = stage.post(mika, Visibility::Public, "").await;
    let before = stage.store().post(Viewer::SIGNED_OUT, id).await.unwrap();
    stage.store().delete_generation(stage.bed.project, stage.clip.id, stage.now()).await.unwrap();
    for prefix in stage.store().object_deletions(100).await.unwrap() {
        stage.bed.objects.delete_under(&prefix).await.unwrap();
    }
    assert!(stage.bed.objects.list("renders").await.unwrap().is_empty());
    let after = stage.store().post(Viewer::SIGNED_OUT, id).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(stage.bed.objects.size_bytes(&after.media.video).await.unwrap(), after.media.size_bytes);
}

async fn only_ones_own_finished_clips_are_posted(bed: Bed) {
    let stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let make = async |generation: &store::Generation| {
        let id = platform::PostId::new(stage.now(), entropy());
        let link_token = platform::LinkToken::new([9; 16]);
        let edit = edit(Visibility::Public, "");
        let post = store::NewPost { id, link_token, generation, media: &stage.media, edit };
        stage.store().create_post(mika.member, &post, stage.now()).await
    };
    assert!(matches!(make(&stage.clip).await, Err(StoreError::NotFound("video"))));
    let failed = store::Generation { identity: mika.id, video: None, ..stage.clip.clone() };
    assert!(matches!(make(&failed).await, Err(StoreError::State { what: "video", .. })));
    let (id, _) = stage.draft(mika, new_clip(), edit(Visibility::Public, "")).await;
    stage.store().delete_post(mika.member, id, stage.now()).await.unwrap();
    let place = PlaceId::new(stage.now(), entropy());
    let publish = stage.store().publish_post(mika.member, id, place, stage.now()).await;
    assert!(matches!(publish, Err(StoreError::State { what: "post", .. })));
}

async fn what_each_service_holds_is_counted_apart(bed: Bed) {
    let stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let owner = stage.clip.identity;
    let clip = stage.clip.video.as_ref().unwrap().size_bytes;
    let before = stage.store().figures(stage.now()).await.unwrap();
    assert_eq!((before.posts, before.completed, before.failed, before.bytes), (0, 1, 0, clip));
    stage.post(mika, Visibility::Public, "").await;
    let gone = stage.post(mika, Visibility::Public, "").await;
    stage.store().delete_post(mika.member, gone, stage.now()).await.unwrap();
    let holds = async |who, service| stage.store().holdings(who, service).await.unwrap();
    assert_eq!(holds(owner, Service::Video).await, Holdings { count: 1, bytes: clip });
    let posts = holds(mika.id, Service::Social).await;
    // What can be brought back is held too.
    assert_eq!((posts.count, posts.bytes > 0), (2, true));
    assert_eq!(holds(mika.id, Service::Api).await, Holdings::default());
    let after = stage.store().figures(stage.now() + Duration::from_secs(1)).await.unwrap();
    assert_eq!((after.posts, after.completed), (1, 0));
}
