//! Feeds over many posts, with likes and follows. The small run is a test; the large one is a measurement: run it with
//! `--release -- --ignored feeds_of_a_hundred_thousand --nocapture`.

use std::time::{Duration, Instant};

use platform::{Hashtag, PlaceId, PostId, Viewer, Visibility, read_feed_rules};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use store::{FeedSettings, Listing};

use super::{Person, Stage};
use crate::bed::Bed;
use crate::on_both;

on_both!(every_feed_of_a_small_world_is_full);

#[tokio::test]
#[ignore = "a measurement; prints its figures"]
async fn feeds_of_a_hundred_thousand_on_sqlite() {
    measure(Bed::memory().await, "sqlite", 100_000, 500).await;
}

#[tokio::test]
#[ignore = "a measurement; prints its figures"]
async fn feeds_of_a_hundred_thousand_on_postgres() {
    measure(Bed::postgres().await, "postgres", 100_000, 500).await;
}

async fn every_feed_of_a_small_world_is_full(bed: Bed) {
    measure(bed, "small", 300, 1).await;
}

/// A tenth of the posts are by people whom the viewer follows; every post has a hashtag of ten and three words of a hundred.
async fn measure(bed: Bed, name: &str, posts: usize, times: u32) {
    let mut stage = Stage::on(bed).await;
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let mut people: Vec<Person> = Vec::new();
    for at in 0..(posts / 100).max(20) {
        people.push(stage.person(&format!("person_{at}_x")).await);
    }
    let fan = people[0];
    for person in people.iter().skip(1).step_by(10) {
        stage.store().follow(fan.member, person.id, stage.now()).await.unwrap();
    }
    let (mut middle, mut best): (Option<PlaceId>, Option<PostId>) = (None, None);
    for at in 0..posts {
        stage.bed.now = stage.bed.now + Duration::from_secs(20);
        let by = people[1 + at % (people.len() - 1)];
        let visibility =
            if rng.random_bool(0.1) && at != posts / 2 { Visibility::Followers } else { Visibility::Public };
        let mut word = || rng.random_range(0..100);
        let caption = format!("#tag{} word{} word{} word{}", at % 10, word(), word(), word());
        let post = stage.post(by, visibility, &caption).await;
        for _ in 0..rng.random_range(0..3) {
            let who = people[rng.random_range(0..people.len())];
            let _ = stage.store().set_like(who.member, post, true, stage.now()).await;
        }
        if at == posts / 2 {
            for person in people.iter().take(10) {
                let _ = stage.store().set_like(person.member, post, true, stage.now()).await;
            }
            best = Some(post);
            middle = stage.store().posts(by.viewer, Listing::Of(by.id), None, 1).await.unwrap()[0].place;
        }
    }
    let settings = FeedSettings { personalised: true, rules: read_feed_rules("more word7, no word13").rules };
    stage.store().set_feed_settings(fan.member, &settings).await.unwrap();
    let tag = Hashtag::parse("tag3").unwrap();
    let lists = [
        ("latest", Listing::Latest),
        ("following", Listing::Following),
        ("hashtag", Listing::Tagged(&tag)),
        ("profile", Listing::Of(people[1].id)),
    ];
    for (list, listing) in lists {
        for (page, before) in [("first", None), ("middle", middle)] {
            let start = Instant::now();
            for _ in 0..times {
                let found = stage.store().posts(fan.viewer, listing, before, 20).await.unwrap();
                assert!(!found.is_empty(), "{list} {page}");
            }
            println!("{name}: {list}, {page} page of 20: {:?}", start.elapsed() / times);
        }
    }
    for (words, text) in [("one word", "word7"), ("two words", "word7 word21"), ("no such", "word7 nothing")] {
        let start = Instant::now();
        for _ in 0..times {
            stage.store().search_posts(fan.viewer, text, None, 20).await.unwrap();
        }
        println!("{name}: search, {words}: {:?}", start.elapsed() / times);
    }
    // What many like is in the feed long after it was new.
    let feed = stage.store().for_you(Viewer::SIGNED_OUT, stage.now(), 0, 300).await.unwrap();
    assert!(posts > 1_000 || feed.iter().any(|suggested| Some(suggested.post.id) == best));
    for (who, viewer) in [("a member", fan.viewer), ("signed out", Viewer::SIGNED_OUT)] {
        let start = Instant::now();
        for _ in 0..times {
            assert_eq!(stage.store().for_you(viewer, stage.now(), 0, 20).await.unwrap().len(), 20);
        }
        println!("{name}: for you, {who}: {:?}", start.elapsed() / times);
    }
}
