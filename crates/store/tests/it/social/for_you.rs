use std::time::Duration;

use platform::{Cause, PostId, Signal, Viewer, Visibility, read_feed_rules};
use store::FeedSettings;

use super::{Person, Stage};
use crate::bed::Bed;
use crate::on_both;

on_both!(the_feed_follows_taste_and_rules, what_is_not_for_the_viewer_is_not_in_the_feed);

async fn feed(stage: &Stage, viewer: Viewer) -> Vec<PostId> {
    let feed = stage.store().for_you(viewer, stage.now(), 0, 50).await.unwrap();
    feed.iter().map(|suggested| suggested.post.id).collect()
}

async fn the_feed_follows_taste_and_rules(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let (anna, bert, fan) = (stage.person("anna").await, stage.person("bert").await, stage.person("fan").await);
    let bird = stage.post(anna, Visibility::Public, "a #bird").await;
    let boat = stage.post(bert, Visibility::Public, "a #boat").await;
    stage.tick();
    // The newer of two equals comes first; then what is liked.
    assert_eq!(feed(&stage, fan.viewer).await, [boat, bird]);
    stage.store().set_like(bert.member, bird, true, stage.now()).await.unwrap();
    assert_eq!(feed(&stage, Viewer::SIGNED_OUT).await, [bird, boat]);
    // Whom one follows weighs more than one like.
    stage.store().follow(fan.member, bert.id, stage.now()).await.unwrap();
    assert_eq!(feed(&stage, fan.viewer).await, [boat, bird]);
    let why = stage.store().for_you(fan.viewer, stage.now(), 0, 1).await.unwrap().remove(0).reasons;
    assert!(why.iter().any(|reason| reason.cause == Cause::Signal(Signal::Followed)), "{why:?}");
    // Personalisation off, it is as for everyone.
    let set = async |personalised, rules: &str| {
        let settings = FeedSettings { personalised, rules: read_feed_rules(rules).rules };
        stage.store().set_feed_settings(fan.member, &settings).await.unwrap();
        assert_eq!(stage.store().feed_settings(fan.member).await.unwrap(), settings);
    };
    set(false, "").await;
    assert_eq!(feed(&stage, fan.viewer).await, [bird, boat]);
    set(true, "more birds").await;
    assert_eq!(feed(&stage, fan.viewer).await, [bird, boat]);
    set(true, "nothing from @bert, more boats, less #bird").await;
    assert_eq!(feed(&stage, fan.viewer).await, [bird]);
    // A moment holds its pages still.
    set(true, "").await;
    let first = stage.store().for_you(fan.viewer, stage.now(), 0, 1).await.unwrap();
    let now = stage.now();
    stage.bed.now = now + Duration::from_secs(60);
    let new = stage.post(anna, Visibility::Public, "").await;
    let second = stage.store().for_you(fan.viewer, now, 1, 1).await.unwrap();
    assert_eq!((first[0].post.id, second[0].post.id), (boat, bird));
    assert!(stage.store().for_you(fan.viewer, now, 2, 1).await.unwrap().is_empty());
    assert!(feed(&stage, fan.viewer).await.contains(&new));
}

async fn what_is_not_for_the_viewer_is_not_in_the_feed(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let people = [stage.person("anna").await, stage.person("bert").await, stage.person("cleo").await];
    let [anna, bert, fan]: [Person; 3] = people;
    let mut made = Vec::new();
    for visibility in Visibility::ALL.iter().copied() {
        made.push(stage.post(anna, visibility, "").await);
    }
    let other = stage.post(bert, Visibility::Public, "").await;
    stage.post(fan, Visibility::Public, "").await;
    stage.tick();
    let sorted = |mut posts: Vec<PostId>| {
        posts.sort();
        posts
    };
    let (followers, public) = (made[2], made[3]);
    assert_eq!(sorted(feed(&stage, fan.viewer).await), sorted(vec![public, other]));
    stage.store().follow(fan.member, anna.id, stage.now()).await.unwrap();
    assert_eq!(sorted(feed(&stage, fan.viewer).await), sorted(vec![followers, public, other]));
    stage.store().set_mute(fan.member, anna.id, true, stage.now()).await.unwrap();
    assert_eq!(feed(&stage, fan.viewer).await, [other]);
    stage.store().block(bert.member, fan.id, stage.now()).await.unwrap();
    assert!(feed(&stage, fan.viewer).await.is_empty());
}
