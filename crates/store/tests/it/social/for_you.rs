use std::collections::BTreeSet;
use std::time::Duration;

use platform::{
    Attribute, Candidate, Cause, Engagement, FeedRule, PostId, Reason, Relation, Signal, Viewer, Visibility, hashtags,
    rank_feed, read_feed_rules,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use store::{FeedSettings, Listing};

use super::{Person, Stage};
use crate::bed::Bed;
use crate::on_both;

on_both!(
    the_feed_follows_taste_and_rules,
    what_is_not_for_the_viewer_is_not_in_the_feed,
    what_is_kept_for_all_is_ranked_for_each,
);

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

/// A post of the world below: its id, the place of its author among the people, what stands below it.
type Made = (PostId, usize, &'static str);

/// The feed as it follows from the lists, whose filter is another: every post that someone sees, ranked.
async fn reference(
    stage: &Stage,
    people: &[Person],
    viewer: usize,
    liked: &BTreeSet<(usize, usize)>,
    made: &[Made],
    rules: &[FeedRule],
) -> Vec<(PostId, Vec<Reason>)> {
    let look = people[viewer].viewer;
    let mut posts = stage.store().posts(look, Listing::Latest, None, 200).await.unwrap();
    posts.extend(stage.store().posts(look, Listing::Following, None, 20).await.unwrap());
    let likes = || liked.iter().filter(|(who, _)| *who == viewer).map(|(_, post)| made[*post]);
    let mut candidates: Vec<Candidate> = Vec::new();
    for post in posts {
        let author = post.author.identity;
        if author == people[viewer].id || candidates.iter().any(|candidate| candidate.post == post.id) {
            continue;
        }
        let tags = hashtags(post.caption.as_str());
        let of_author = likes().filter(|(_, by, _)| people[*by].id == author).count();
        let of_tags = likes().flat_map(|(_, _, caption)| hashtags(caption)).filter(|tag| tags.contains(tag)).count();
        let (width, height) = (u32::from(post.size.width()), u32::from(post.size.height()));
        candidates.push(Candidate {
            post: post.id,
            place: post.place.unwrap(),
            author,
            handle: post.author.handle.clone(),
            published_at: post.published_at.unwrap(),
            engagement: Engagement { likes: post.likes, comments: post.comments, remixes: post.remixes },
            followed: post.relation == Relation::Follower,
            author_likes: u32::try_from(of_author).unwrap(),
            tag_likes: u32::try_from(of_tags).unwrap(),
            words: format!("{}\n{}", post.caption.as_str(), post.prompt.as_deref().unwrap_or_default()),
            tags,
            attributes: Attribute::of(post.seconds.get(), width, height, post.parent.is_some()),
        });
    }
    rank_feed(&candidates, rules, true, stage.now()).into_iter().map(|ranked| (ranked.post, ranked.reasons)).collect()
}

/// In a world in which everything happens, each viewer's feed is what reading everything anew for them gives, also when it is read twice.
async fn what_is_kept_for_all_is_ranked_for_each(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let mut people = Vec::new();
    for at in 0..7 {
        people.push(stage.person(&format!("person_{at}_x")).await);
    }
    let rules = read_feed_rules("more #bird, no boats").rules;
    let settings = FeedSettings { personalised: true, rules: rules.clone() };
    stage.store().set_feed_settings(people[0].member, &settings).await.unwrap();
    let (mut made, mut liked): (Vec<Made>, BTreeSet<(usize, usize)>) = (Vec::new(), BTreeSet::new());
    let captions = ["a #bird", "a #boat at dusk", "#bird and #boat", "plain"];
    let visibilities = [Visibility::Public, Visibility::Public, Visibility::Followers, Visibility::OnlyMe];
    let mut shown = 0;
    for round in 0..160 {
        stage.tick();
        let (store, now) = (stage.bed.store.clone(), stage.now());
        let (who, whom) = (rng.random_range(0..people.len()), rng.random_range(0..people.len()));
        let (me, other) = (people[who].member, people[whom].id);
        match rng.random_range(0..10) {
            0..4 => {
                let caption = captions[rng.random_range(0..captions.len())];
                let visibility = visibilities[rng.random_range(0..visibilities.len())];
                made.push((stage.post(people[who], visibility, caption).await, who, caption));
            }
            4..7 if !made.is_empty() => {
                let (post, on) = (rng.random_range(0..made.len()), rng.random_range(0..4) > 0);
                if store.set_like(me, made[post].0, on, now).await.is_ok() {
                    if on {
                        liked.insert((who, post))
                    } else {
                        liked.remove(&(who, post))
                    };
                }
            }
            7 => drop(store.follow(me, other, now).await),
            8 => match rng.random_range(0..6) {
                0 => drop(store.block(me, other, now).await),
                1 | 2 => drop(store.unblock(me, other).await),
                _ => drop(store.set_mute(me, other, rng.random_range(0..2) == 0, now).await),
            },
            _ if !made.is_empty() => {
                let (post, back) = (made[rng.random_range(0..made.len())].0, rng.random_range(0..3) == 0);
                store.withhold_post(post, back, now).await.unwrap();
            }
            _ => {}
        }
        if round % 4 > 0 {
            continue;
        }
        for viewer in 0..people.len() {
            let rules: &[FeedRule] = if viewer == 0 { &rules } else { &[] };
            let expected = reference(&stage, &people, viewer, &liked, &made, rules).await;
            let feed = store.for_you(people[viewer].viewer, now, 0, 100).await.unwrap();
            for suggested in &feed {
                let post = store.post(people[viewer].viewer, suggested.post.id).await.unwrap();
                assert_eq!(suggested.post, post, "round {round}");
                shown += 1;
            }
            let feed: Vec<_> = feed.into_iter().map(|suggested| (suggested.post.id, suggested.reasons)).collect();
            assert_eq!(feed, expected, "round {round}, viewer {viewer}");
        }
    }
    assert!(shown > 500, "{shown}");
}
