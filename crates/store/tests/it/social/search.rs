use platform::{MembershipEvent, PromptVisibility, Service, Switches, Viewer, Visibility};
use store::PostEdit;

use super::{Stage, edit, profile};
use crate::bed::Bed;
use crate::on_both;

on_both!(posts_are_found_by_what_the_viewer_may_read, people_are_found_by_how_their_words_begin);

async fn posts_are_found_by_what_the_viewer_may_read(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let birds = stage.post(mika, Visibility::Public, "Two red birds over 美しい空").await;
    stage.tick();
    let boats = stage.post(mika, Visibility::Followers, "A red bird on boats").await;
    stage.tick();
    let own = stage.post(mika, Visibility::OnlyMe, "my red bird").await;
    let find = async |viewer, text| {
        let found = stage.store().search_posts(viewer, text, None, 10).await.unwrap();
        found.iter().map(|post| post.id).collect::<Vec<_>>()
    };
    assert_eq!(find(Viewer::SIGNED_OUT, "BIRD red").await, [birds]);
    assert_eq!(find(fan.viewer, "red bird").await, [birds]);
    assert_eq!(find(mika.viewer, "red birds").await, [own, boats, birds]);
    assert_eq!(find(fan.viewer, "美しい").await, [birds]);
    // Each word is somewhere, both nowhere.
    assert!(find(mika.viewer, "two my").await.is_empty());
    assert!(find(fan.viewer, "red elephant").await.is_empty());
    assert!(find(fan.viewer, "").await.is_empty() && find(fan.viewer, "'; DROP TABLE posts; --").await.is_empty());
    stage.store().follow(fan.member, mika.id, stage.now()).await.unwrap();
    assert_eq!(find(fan.viewer, "red bird").await, [boats, birds]);
    let first = stage.store().search_posts(fan.viewer, "red", None, 1).await.unwrap();
    let next = stage.store().search_posts(fan.viewer, "red", first[0].place, 1).await.unwrap();
    assert_eq!((first[0].id, next[0].id), (boats, birds));
    // A hidden prompt, «a red boat», finds nothing; a visible one does, until it is hidden again.
    assert!(find(Viewer::SIGNED_OUT, "boat").await.is_empty());
    for (prompt, found) in [(PromptVisibility::Visible, vec![birds]), (PromptVisibility::Hidden, vec![])] {
        let change =
            PostEdit { switches: Switches { prompt, ..Switches::default() }, ..edit(Visibility::Public, "birds") };
        stage.store().edit_post(mika.member, birds, &change, stage.now()).await.unwrap();
        assert_eq!(find(Viewer::SIGNED_OUT, "boat").await, found);
    }
    stage.store().delete_post(mika.member, birds, stage.now()).await.unwrap();
    assert!(find(Viewer::SIGNED_OUT, "birds").await.is_empty());
}

async fn people_are_found_by_how_their_words_begin(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, other) = (stage.person("mika").await, stage.person("mikado_boats").await);
    let find = async |viewer, text| {
        let found = stage.store().search_people(viewer, text, 10).await.unwrap();
        found.iter().map(|card| card.identity).collect::<Vec<_>>()
    };
    assert_eq!(find(Viewer::SIGNED_OUT, "@mika").await, [mika.id, other.id]);
    assert_eq!(find(Viewer::SIGNED_OUT, "bo mik").await, [other.id]);
    assert!(find(Viewer::SIGNED_OUT, "ado").await.is_empty());
    let mut changed = profile("mika", false);
    changed.display_name = platform::DisplayName::parse("空 Ōkami").unwrap();
    stage.store().set_profile(mika.member, &changed, stage.now()).await.unwrap();
    assert_eq!(find(Viewer::SIGNED_OUT, "okam").await, [mika.id]);
    stage.store().block(mika.member, other.id, stage.now()).await.unwrap();
    assert_eq!(find(other.viewer, "mika").await, [other.id]);
    stage.store().change_membership(other.id, Service::Social, MembershipEvent::Close, stage.now()).await.unwrap();
    assert_eq!(find(Viewer::SIGNED_OUT, "mika").await, [mika.id]);
}
