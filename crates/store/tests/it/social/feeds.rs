use platform::{Hashtag, PlaceId, PostId, Viewer, Visibility};
use store::Listing;

use super::{Person, Stage};
use crate::bed::Bed;
use crate::on_both;

on_both!(pages_of_a_feed_stand_still, following_is_chronological_over_many_people, a_mute_is_for_feeds_alone);

async fn pages(stage: &Stage, viewer: Viewer, listing: Listing<'_>, limit: u32) -> Vec<PostId> {
    let (mut seen, mut before): (Vec<PostId>, Option<PlaceId>) = (Vec::new(), None);
    loop {
        let page = stage.store().posts(viewer, listing, before, limit).await.unwrap();
        let Some(last) = page.last() else { return seen };
        before = last.place;
        seen.extend(page.iter().map(|post| post.id));
    }
}

async fn pages_of_a_feed_stand_still(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let mut made = Vec::new();
    for at in 0..12 {
        // Three in each moment.
        if at % 3 == 0 {
            stage.tick();
        }
        made.push(stage.post(mika, Visibility::Public, "#bird").await);
    }
    made.reverse();
    let tag = Hashtag::parse("bird").unwrap();
    for listing in [Listing::Latest, Listing::Of(mika.id), Listing::Tagged(&tag)] {
        assert_eq!(pages(&stage, Viewer::SIGNED_OUT, listing, 5).await, made, "{listing:?}");
    }
    // What is new does not move what is below.
    let first = stage.store().posts(Viewer::SIGNED_OUT, Listing::Latest, None, 5).await.unwrap();
    stage.tick();
    stage.post(mika, Visibility::Public, "").await;
    let next = stage.store().posts(Viewer::SIGNED_OUT, Listing::Latest, first[4].place, 5).await.unwrap();
    assert_eq!(next.iter().map(|post| post.id).collect::<Vec<_>>(), made[5..10]);
}

async fn following_is_chronological_over_many_people(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let fan = stage.person("fan").await;
    let mut people: Vec<Person> = Vec::new();
    for name in ["anna", "bert", "cleo", "dora", "emil", "fred", "gina"] {
        let person = stage.person(name).await;
        stage.store().follow(fan.member, person.id, stage.now()).await.unwrap();
        people.push(person);
    }
    let stranger = stage.person("stranger").await;
    let mut made = Vec::new();
    for round in 0..40_usize {
        if round % 4 == 0 {
            stage.tick();
        }
        let visibility = if round % 3 == 0 { Visibility::Followers } else { Visibility::Public };
        made.push(stage.post(people[round * round % 7], visibility, "").await);
        stage.post(stranger, Visibility::Public, "").await;
    }
    made.push(stage.post(fan, Visibility::Public, "").await);
    made.reverse();
    for limit in [1, 2, 3, 10, 100] {
        assert_eq!(pages(&stage, fan.viewer, Listing::Following, limit).await, made, "{limit}");
    }
    assert!(pages(&stage, Viewer::SIGNED_OUT, Listing::Following, 10).await.is_empty());
}

async fn a_mute_is_for_feeds_alone(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    stage.store().follow(fan.member, mika.id, stage.now()).await.unwrap();
    let post = stage.post(mika, Visibility::Public, "").await;
    let lists = [Listing::Latest, Listing::Following, Listing::Of(mika.id)];
    let counts = async || {
        let mut counts = Vec::new();
        for listing in lists {
            counts.push(pages(&stage, fan.viewer, listing, 10).await.len());
        }
        counts
    };
    assert_eq!(counts().await, [1, 1, 1]);
    stage.store().set_mute(fan.member, mika.id, true, stage.now()).await.unwrap();
    assert_eq!(counts().await, [0, 0, 1]);
    stage.store().post(fan.viewer, post).await.unwrap();
    assert!(stage.store().profile_of(fan.viewer, mika.id).await.unwrap().muted);
    stage.store().set_mute(fan.member, mika.id, false, stage.now()).await.unwrap();
    assert_eq!(counts().await, [1, 1, 1]);
}
