//! The rule in `platform`, held against the queries over worlds that chance makes.

use platform::{
    LinkToken, MembershipEvent, PostAddress, PostFacts, PostId, PostState, Relation, Service, Switches, Viewer,
    Visibility, Way, sees,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use store::Listing;

use super::{Person, Stage, edit, new_clip};
use crate::bed::Bed;
use crate::on_both;

on_both!(rule_and_rows_agree);

struct Made {
    id: PostId,
    author: usize,
    state: PostState,
    visibility: Visibility,
    token: LinkToken,
}

async fn rule_and_rows_agree(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let mut shown = 0;
    for seed in 0..4 {
        shown += world(&mut stage, seed).await;
    }
    assert!(shown > 100, "these worlds show nothing: {shown}");
}

async fn world(stage: &mut Stage, seed: u64) -> usize {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut people: Vec<Person> = Vec::new();
    for at in 0..5 {
        people.push(stage.person(&format!("w{seed}p_{}", ["anna", "bert", "cleo", "dora", "emil"][at])).await);
    }
    let mut posts = Vec::new();
    for (author, person) in people.iter().enumerate() {
        for visibility in Visibility::ALL.iter().copied() {
            for state in PostState::ALL.iter().copied() {
                if rng.random_bool(0.3) {
                    continue;
                }
                stage.tick();
                let (id, _) = stage.draft(*person, new_clip(), edit(visibility, "#world")).await;
                let token = stage.store().post(person.viewer, id).await.unwrap().link_token.unwrap();
                let (store, now) = (stage.store(), stage.now());
                if state != PostState::Draft {
                    stage.publish(*person, id).await;
                }
                match state {
                    PostState::Withheld => store.withhold_post(id, true, now).await.unwrap(),
                    PostState::Deleted => store.delete_post(person.member, id, now).await.unwrap(),
                    PostState::Draft | PostState::Published => {}
                }
                posts.push(Made { id, author, state, visibility, token });
            }
        }
    }
    let (mut follows, mut blocks) = (Vec::new(), Vec::new());
    let (store, now) = (stage.store(), stage.now());
    for a in 0..people.len() {
        for b in (0..people.len()).filter(|b| *b != a) {
            match rng.random_range(0..6) {
                0..3 if store.follow(people[a].member, people[b].id, now).await.is_ok() => follows.push((a, b)),
                3 => {
                    store.block(people[a].member, people[b].id, now).await.unwrap();
                    blocks.push((a, b));
                }
                _ => {}
            }
        }
    }
    follows.retain(|(a, b)| !blocks.contains(&(*a, *b)) && !blocks.contains(&(*b, *a)));
    let gone = 4;
    store.change_membership(people[gone].id, Service::Social, MembershipEvent::Suspend, now).await.unwrap();

    let mut shown = 0;
    for viewer in (0..gone).map(Some).chain([None]) {
        let relation = |author: usize| match viewer {
            None => Relation::SignedOut,
            Some(viewer) if viewer == author => Relation::Author,
            Some(viewer) if blocks.contains(&(viewer, author)) || blocks.contains(&(author, viewer)) => {
                Relation::Blocked
            }
            Some(viewer) if follows.contains(&(viewer, author)) => Relation::Follower,
            Some(_) => Relation::Stranger,
        };
        let who = viewer.map_or(Viewer::SIGNED_OUT, |viewer| people[viewer].viewer);
        let mut lists = Vec::new();
        for person in &people {
            lists.push(store.posts(who, Listing::Of(person.id), None, 1000).await.unwrap());
        }
        let latest = store.posts(who, Listing::Latest, None, 1000).await.unwrap();
        let following = store.posts(who, Listing::Following, None, 1000).await.unwrap();
        let tag = platform::Hashtag::parse("world").unwrap();
        let tagged = store.posts(who, Listing::Tagged(&tag), None, 1000).await.unwrap();
        for post in &posts {
            let relation = relation(post.author);
            let state = match post.state {
                PostState::Published if post.author == gone => PostState::Withheld,
                state => state,
            };
            let facts = PostFacts { state, visibility: post.visibility, switches: Switches::default() };
            let context = format!("seed {seed}, viewer {viewer:?}, author {}, {relation:?}, {facts:?}", post.author);
            for address in [PostAddress::Id(post.id), PostAddress::Link(post.token)] {
                let found = store.post(who, address).await;
                assert_eq!(found.is_ok(), sees(relation, facts, address.way()), "{context} {address:?}");
                if let Ok(found) = found {
                    assert_eq!((found.id, found.relation, found.facts), (post.id, relation, facts), "{context}");
                    shown += 1;
                }
            }
            let listed = state == PostState::Published && sees(relation, facts, Way::Listed);
            let stands = |list: &[store::Post]| list.iter().any(|found| found.id == post.id);
            assert_eq!(stands(&lists[post.author]), listed, "profile: {context}");
            assert_eq!(stands(&tagged), listed, "hashtag: {context}");
            assert_eq!(stands(&latest), listed && post.visibility == Visibility::Public, "latest: {context}");
            let near = matches!(relation, Relation::Author | Relation::Follower);
            let for_followers = matches!(post.visibility, Visibility::Public | Visibility::Followers);
            assert_eq!(stands(&following), listed && near && for_followers, "following: {context}");
        }
    }
    shown
}
