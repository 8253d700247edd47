use platform::{
    AppealId, AppealOutcome, Bio, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord,
    DecisionScope, DisplayName, FileId, Handle, MembershipEvent, Role, Service, Timestamp, Viewer, Visibility,
};
use store::{FollowState, Listing, NewProfile, StoreError, Subject};

use super::{Person, Stage, profile};
use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(
    a_handle_has_one_owner_for_good,
    a_closed_profile_is_asked_first,
    a_block_works_both_ways,
    who_is_suspended_is_not_there,
    a_withheld_profile_is_found_by_its_name_again,
    what_a_withheld_profile_says_anew_is_withheld_too,
);

async fn a_handle_has_one_owner_for_good(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, other) = (stage.person("mika").await, stage.person("other").await);
    let set = async |person: super::Person, handle| {
        stage.store().set_profile(person.member, &profile(handle, false), stage.now()).await
    };
    for taken in ["mika", "m1ka", "mi_ka"] {
        assert!(matches!(set(other, taken).await, Err(StoreError::Exists("handle"))), "{taken}");
    }
    // A refused handle leaves the profile as it was.
    assert_eq!(stage.store().profile_of(Viewer::SIGNED_OUT, other.id).await.unwrap().handle.as_str(), "other");
    set(mika, "mikako").await.unwrap();
    assert!(matches!(set(other, "mika").await, Err(StoreError::Exists("handle"))));
    // The old one leads to the new one, and can be taken back.
    let found = stage.store().profile(Viewer::SIGNED_OUT, &Handle::parse("mika").unwrap()).await.unwrap();
    assert_eq!((found.identity, found.handle.as_str()), (mika.id, "mikako"));
    set(mika, "mi_ka").await.unwrap();
    for handle in ["mikaa", "mikab", "mikac"] {
        set(mika, handle).await.unwrap();
    }
    assert!(matches!(set(mika, "mikad").await, Err(StoreError::State { what: "handle", .. })));
    assert_eq!(stage.store().profile_of(Viewer::SIGNED_OUT, mika.id).await.unwrap().handle.as_str(), "mikac");
    set(mika, "mikaa").await.unwrap();
}

async fn a_closed_profile_is_asked_first(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let (store, now) = (stage.store(), stage.now());
    store.set_profile(mika.member, &profile("mika", true), now).await.unwrap();
    let post = stage.post(mika, Visibility::Followers, "").await;
    assert_eq!(store.follow(fan.member, mika.id, now).await.unwrap(), FollowState::Asked);
    assert!(matches!(store.post(fan.viewer, post).await, Err(StoreError::NotFound("post"))));
    assert_eq!(store.profile_of(fan.viewer, mika.id).await.unwrap().follow, FollowState::Asked);
    let asked = store.follow_requests(mika.member, 10).await.unwrap();
    assert_eq!(asked.iter().map(|card| card.identity).collect::<Vec<_>>(), [fan.id]);
    store.accept_follower(mika.member, fan.id, now).await.unwrap();
    assert!(store.follow_requests(mika.member, 10).await.unwrap().is_empty());
    // Asking again does not close it.
    assert_eq!(store.follow(fan.member, mika.id, now).await.unwrap(), FollowState::Following);
    store.post(fan.viewer, post).await.unwrap();
    let seen = store.profile_of(fan.viewer, mika.id).await.unwrap();
    assert_eq!((seen.followers, seen.following, seen.follow), (1, 0, FollowState::Following));
    store.remove_follower(mika.member, fan.id).await.unwrap();
    assert!(store.post(fan.viewer, post).await.is_err());
    // Opening the profile lets in whoever still waits.
    assert_eq!(store.follow(fan.member, mika.id, now).await.unwrap(), FollowState::Asked);
    store.set_profile(mika.member, &profile("mika", false), now).await.unwrap();
    store.post(fan.viewer, post).await.unwrap();
    assert!(matches!(store.follow(fan.member, fan.id, now).await, Err(StoreError::State { .. })));
}

async fn a_block_works_both_ways(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, other) = (stage.person("mika").await, stage.person("other").await);
    let (store, now) = (stage.store(), stage.now());
    store.follow(mika.member, other.id, now).await.unwrap();
    store.follow(other.member, mika.id, now).await.unwrap();
    let posts = [stage.post(mika, Visibility::Public, "").await, stage.post(other, Visibility::Public, "").await];
    store.block(mika.member, other.id, now).await.unwrap();
    for (viewer, whom, post) in [(mika, other, posts[1]), (other, mika, posts[0])] {
        assert!(matches!(store.profile_of(viewer.viewer, whom.id).await, Err(StoreError::NotFound("profile"))));
        assert!(matches!(store.post(viewer.viewer, post).await, Err(StoreError::NotFound("post"))));
        assert!(matches!(store.follow(viewer.member, whom.id, now).await, Err(StoreError::NotFound("profile"))));
        assert!(matches!(store.set_like(viewer.member, post, true, now).await, Err(StoreError::NotFound("post"))));
        let latest = store.posts(viewer.viewer, Listing::Latest, None, 10).await.unwrap();
        assert_eq!(latest.iter().map(|post| post.author.identity).collect::<Vec<_>>(), [viewer.id]);
    }
    assert_eq!(store.blocked(mika.member, 10).await.unwrap().len(), 1);
    assert!(store.blocked(other.member, 10).await.unwrap().is_empty());
    // Only who blocked can take it back, and the follows are gone.
    store.unblock(other.member, mika.id).await.unwrap();
    assert!(store.post(other.viewer, posts[0]).await.is_err());
    store.unblock(mika.member, other.id).await.unwrap();
    assert_eq!(store.profile_of(other.viewer, mika.id).await.unwrap().follow, FollowState::None);
}

async fn who_is_suspended_is_not_there(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let (store, now) = (stage.store(), stage.now());
    let post = stage.post(mika, Visibility::Public, "").await;
    store.follow(fan.member, mika.id, now).await.unwrap();
    let visible = async || {
        let lists = [Listing::Latest, Listing::Following, Listing::Of(mika.id)];
        let mut visible =
            vec![store.post(fan.viewer, post).await.is_ok(), store.profile_of(fan.viewer, mika.id).await.is_ok()];
        for list in lists {
            visible.push(!store.posts(fan.viewer, list, None, 10).await.unwrap().is_empty());
        }
        visible
    };
    assert_eq!(visible().await, [true; 5]);
    // Another service of theirs is another matter.
    store.change_membership(mika.id, Service::Video, MembershipEvent::Join, now).await.unwrap();
    store.change_membership(mika.id, Service::Video, MembershipEvent::Suspend, now).await.unwrap();
    assert_eq!(visible().await, [true; 5]);
    store.change_membership(mika.id, Service::Social, MembershipEvent::Suspend, now).await.unwrap();
    assert_eq!(visible().await, [false; 5]);
    store.change_membership(mika.id, Service::Social, MembershipEvent::Restore, now).await.unwrap();
    assert_eq!(visible().await, [true; 5]);
}

/// A decision that withholds what someone's profile says.
fn withheld(whose: Person, judge: Person, now: Timestamp) -> DecisionRecord {
    DecisionRecord {
        id: DecisionId::new(now, entropy()),
        subject: whose.id,
        scope: DecisionScope::Item,
        service: Some(Service::Social),
        effect: DecisionEffect::Withhold,
        item: DecidedItem::new(DecidedKind::Profile, whose.id.bytes()),
        ground: "spam".into(),
        rule: DecidedRule::of_house("spam"),
        facts: String::new(),
        evidence: String::new(),
        unlawful: false,
        automated_detection: false,
        author: Some(judge.id),
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: None,
    }
}

async fn a_withheld_profile_is_found_by_its_name_again(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, judge, other) = (stage.person("mika").await, stage.person("judge").await, stage.person("other").await);
    let (store, now) = (stage.store(), stage.now());
    let said = NewProfile {
        display_name: DisplayName::parse("Cheap Boats").unwrap(),
        bio: Bio::parse("call 555").unwrap(),
        ..profile("mika", false)
    };
    store.set_profile(mika.member, &said, now).await.unwrap();
    let found = async |words| {
        let people = store.search_people(other.viewer, words, 10).await.unwrap();
        people.iter().any(|card| card.identity == mika.id)
    };
    assert_eq!((found("cheap").await, found("mika").await), (true, true));
    let decision = withheld(mika, judge, now);
    store.decide(&decision).await.unwrap();
    assert_eq!((found("cheap").await, found("mika").await), (false, true));
    let appeal = AppealId::new(now, entropy());
    store.appeal(appeal, mika.id, decision.id, "no", now).await.unwrap();
    store.decide_appeal(appeal, other.id, Role::Moderator, AppealOutcome::Overturned, "yes", now).await.unwrap();
    let shown = store.profile_of(other.viewer, mika.id).await.unwrap();
    assert_eq!((shown.display_name.as_str(), shown.bio.as_str()), ("Cheap Boats", "call 555"));
    assert_eq!((found("cheap").await, found("mika").await), (true, true));
}

async fn what_a_withheld_profile_says_anew_is_withheld_too(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, judge, other) = (stage.person("mika").await, stage.person("judge").await, stage.person("other").await);
    let (store, now) = (stage.store(), stage.now());
    let picture = async |content: &'static str| {
        let subject = Subject { identity: mika.id, service: Service::Social, since: now };
        let owner = FileId::new(now, entropy());
        let key = stage.bed.objects.put_upload(subject, &owner, content.into()).await.unwrap();
        store.set_avatar(mika.member, Some(&key), now).await.unwrap();
        (key, format!("uploads/{owner}"))
    };
    let says = async |handle: &str, name: &str, bio: &str| {
        let (display_name, bio) = (DisplayName::parse(name).unwrap(), Bio::parse(bio).unwrap());
        store.set_profile(mika.member, &NewProfile { display_name, bio, ..profile(handle, false) }, now).await.unwrap();
    };
    let shown = async || {
        let shown = store.profile_of(other.viewer, mika.id).await.unwrap();
        (shown.display_name.as_str().to_owned(), shown.bio.as_str().to_owned(), shown.avatar)
    };
    let nothing = ("mika".to_owned(), String::new(), None);
    let (first_picture, first_folder) = picture("first").await;
    says("mika", "Cheap Boats", "call 555").await;
    let first = withheld(mika, judge, now);
    store.decide(&first).await.unwrap();
    assert_eq!(shown().await, nothing);
    // What they say instead goes no other way, and is kept nowhere.
    let (_, second_folder) = picture("second").await;
    says("mika", "Cheaper Boats", "call 556").await;
    assert_eq!(shown().await.0, "Cheaper Boats");
    let second = withheld(mika, judge, now);
    store.decide(&second).await.unwrap();
    assert_eq!(shown().await, nothing);
    let deleted = store.object_deletions(10).await.unwrap();
    assert!(deleted.contains(&second_folder) && !deleted.contains(&first_folder), "{deleted:?}");
    // Their own archive tells what they said.
    let tables = store::ARCHIVE_CLASSES.iter().flat_map(|class| class.tables);
    let table = tables.into_iter().find(|table| table.object == "withheld_profile").unwrap();
    let rows = store.archive_rows(mika.id, table, None, 10).await.unwrap();
    assert_eq!((rows[0].text("display_name"), rows[0].text("bio")), ("Cheap Boats", "call 555"));
    assert_eq!(rows[0].objects().next().as_ref(), Some(&first_picture));
    assert!(!table.is_restored());
    // Another handle meanwhile is no other name: whoever changes it sends the one that stands there.
    says("mikako", "mika", "").await;
    for decision in [&first, &second] {
        assert_eq!(shown().await, nothing);
        let appeal = AppealId::new(now, entropy());
        store.appeal(appeal, mika.id, decision.id, "no", now).await.unwrap();
        store.decide_appeal(appeal, other.id, Role::Moderator, AppealOutcome::Overturned, "yes", now).await.unwrap();
    }
    assert_eq!(shown().await, ("Cheap Boats".to_owned(), "call 555".to_owned(), Some(first_picture)));
    assert_eq!(store.profile_of(other.viewer, mika.id).await.unwrap().handle.as_str(), "mikako");
}
