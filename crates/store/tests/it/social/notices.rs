use std::time::Duration;

use platform::{
    CommentId, CommentText, ConversationId, GenerationKind, LetterId, MessageId, MessageText, NoticeKind, NoticeTopic,
    NoticeWays, Posting, PostingLimit, ReportId, ReportKind, ReportReason, Role, Visibility,
};
use store::{Letter, NewComment, NewMessage, NewReport, ReportSubject, StoreError};

use super::{Person, Stage, edit, new_clip, profile};
use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(
    notices_are_one_until_they_are_read,
    each_thing_that_happens_is_told,
    only_what_is_wanted_is_told,
    reports_wait_for_moderators,
    so_much_in_an_hour_and_no_more,
);

async fn told(stage: &Stage, whom: Person) -> Vec<(NoticeKind, String, u64)> {
    let notices = stage.store().notices(whom.member, None, 20).await.unwrap();
    notices.iter().map(|notice| (notice.kind, notice.actor.handle.to_string(), notice.actors)).collect()
}

async fn notices_are_one_until_they_are_read(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let mika = stage.person("mika").await;
    let fans = [stage.person("anna").await, stage.person("bert").await, stage.person("cleo").await];
    let post = stage.post(mika, Visibility::Public, "").await;
    for fan in fans {
        stage.tick();
        stage.store().set_like(fan.member, post, true, stage.now()).await.unwrap();
    }
    stage.store().set_like(mika.member, post, true, stage.now()).await.unwrap();
    assert_eq!(told(&stage, mika).await, [(NoticeKind::Liked, "cleo".into(), 3)]);
    assert_eq!(stage.store().unread_notices(mika.member).await.unwrap(), 1);
    stage.store().set_like(fans[2].member, post, false, stage.now()).await.unwrap();
    assert_eq!(told(&stage, mika).await, [(NoticeKind::Liked, "bert".into(), 2)]);
    stage.store().read_notices(mika.member, stage.now(), stage.now()).await.unwrap();
    assert_eq!(stage.store().unread_notices(mika.member).await.unwrap(), 0);
    stage.tick();
    stage.store().set_like(fans[2].member, post, true, stage.now()).await.unwrap();
    let expected = [(NoticeKind::Liked, "cleo".into(), 1), (NoticeKind::Liked, "bert".into(), 2)];
    assert_eq!(told(&stage, mika).await, expected);
    let first = stage.store().notices(mika.member, None, 1).await.unwrap();
    let next = stage.store().notices(mika.member, Some((first[0].at, first[0].id)), 10).await.unwrap();
    assert_eq!((next.len(), next[0].actors), (1, 2));
    // Who is muted says nothing new, who is blocked nothing at all.
    stage.store().set_mute(mika.member, fans[0].id, true, stage.now()).await.unwrap();
    stage.store().follow(fans[0].member, mika.id, stage.now()).await.unwrap();
    stage.store().block(mika.member, fans[2].id, stage.now()).await.unwrap();
    assert_eq!(told(&stage, mika).await, expected[1..]);
}

async fn only_what_is_wanted_is_told(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let post = stage.post(mika, Visibility::Public, "").await;
    let store = stage.bed.store.clone();
    let start = store.notice_settings(mika.id).await.unwrap();
    assert!(start.len() == NoticeTopic::ALL.len() && start.iter().all(|(_, ways)| *ways == NoticeWays::default()));
    let ways = |in_app, by_mail| NoticeWays { in_app, by_mail };
    let wanted = [(NoticeTopic::Likes, ways(false, true)), (NoticeTopic::Messages, ways(false, true))];
    store.set_notice_settings(mika.id, &wanted).await.unwrap();
    assert!(store.notice_settings(mika.id).await.unwrap().contains(&wanted[0]));

    store.set_like(fan.member, post, true, stage.now()).await.unwrap();
    store.follow(fan.member, mika.id, stage.now()).await.unwrap();
    assert_eq!(told(&stage, mika).await, [(NoticeKind::Followed, "fan".into(), 1)]);
    let text = MessageText::parse("hello").unwrap();
    for _ in 0..2 {
        let (id, conversation) = (MessageId::new(stage.now(), entropy()), ConversationId::new(stage.now(), entropy()));
        let message = NewMessage { id, conversation, to: mika.id, text: &text, post: None };
        store.send_message(fan.member, &message, stage.now()).await.unwrap();
    }
    assert!(!store.has_unread_messages(mika.member).await.unwrap());

    // Letters go to a confirmed address, each once.
    assert_eq!(store.notice_letters(stage.now(), 10).await.unwrap(), []);
    store.confirm_email(mika.id, stage.now()).await.unwrap();
    let before = stage.now();
    stage.tick();
    store.set_like(fan.member, post, false, stage.now()).await.unwrap();
    store.set_like(fan.member, post, true, stage.now()).await.unwrap();
    let letters = store.notice_letters(before, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].identity, letters[0].email.as_str()), (mika.id, "mika@social.example"));
    assert_eq!(letters[0].happened, [(NoticeTopic::Likes, 2), (NoticeTopic::Messages, 2)]);
    let letter = Letter {
        id: LetterId::new(stage.now(), entropy()),
        to: letters[0].email.clone(),
        subject: "news".into(),
        body: "likes".into(),
        at: stage.now(),
    };
    assert!(store.post_notice_letter(mika.id, &letter).await.unwrap());
    assert!(!store.post_notice_letter(mika.id, &letter).await.unwrap());
    assert_eq!(store.claim_letters(10, stage.now()).await.unwrap().len(), 1);
    assert_eq!(store.notice_letters(stage.now(), 10).await.unwrap(), []);
    // What is not wanted any more is not written.
    store.set_like(fan.member, post, false, stage.now()).await.unwrap();
    store.set_like(fan.member, post, true, stage.now()).await.unwrap();
    store.set_notice_settings(mika.id, &[(NoticeTopic::Likes, ways(true, false))]).await.unwrap();
    assert_eq!(store.notice_letters(stage.now(), 10).await.unwrap(), []);
}

async fn so_much_in_an_hour_and_no_more(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let store = stage.bed.store.clone();
    assert_eq!(store.posting_limit(Posting::Like).await.unwrap(), Posting::Like.default_limit());
    let limit = PostingLimit { per_hour: 2, per_day: 3 };
    store.set_posting_limit(Posting::Like, limit, stage.now()).await.unwrap();
    assert_eq!(store.posting_limit(Posting::Like).await.unwrap(), limit);
    // The bed's moment is 13 minutes and 20 seconds into an hour.
    let count = async |who: Person, what, now| store.count_posting(who.member, what, now).await.unwrap();
    for _ in 0..2 {
        assert_eq!(count(fan, Posting::Like, stage.now()).await, None);
    }
    for _ in 0..2 {
        assert_eq!(count(fan, Posting::Like, stage.now()).await, Some(Duration::from_secs(2800)));
    }
    // Others, and other acts, are counted apart.
    assert_eq!(count(mika, Posting::Like, stage.now()).await, None);
    assert_eq!(count(fan, Posting::Comment, stage.now()).await, None);
    stage.bed.now = stage.bed.now + Duration::from_secs(3600);
    assert_eq!(count(fan, Posting::Like, stage.now()).await, None);
    assert_eq!(count(fan, Posting::Like, stage.now()).await, Some(Duration::from_secs(2800 + 22 * 3600)));
    stage.bed.now = stage.bed.now + Duration::from_secs(24 * 3600);
    assert_eq!(count(fan, Posting::Like, stage.now()).await, None);
    assert_eq!(count(fan, Posting::Like, stage.now()).await, None);
}

async fn each_thing_that_happens_is_told(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let (store, now) = (&stage.bed.store, stage.bed.now);
    store.set_profile(mika.member, &profile("mika", true), now).await.unwrap();
    store.follow(fan.member, mika.id, now).await.unwrap();
    store.accept_follower(mika.member, fan.id, now).await.unwrap();
    store.follow(mika.member, fan.id, now).await.unwrap();
    let (post, video) = stage.draft(mika, new_clip(), edit(Visibility::Public, "")).await;
    stage.publish(mika, post).await;
    let mut thread = None;
    for (by, text) in [(fan, "lovely"), (mika, "thanks")] {
        stage.tick();
        let (id, text) = (CommentId::new(stage.now(), entropy()), CommentText::parse(text).unwrap());
        let comment = NewComment { id, post: post.into(), parent: thread, text: &text };
        stage.store().create_comment(by.member, &comment, stage.now()).await.unwrap();
        thread = thread.or(Some(id));
    }
    let remix = GenerationKind::Remix { source: video };
    let (made, _) = stage.draft(fan, remix, edit(Visibility::Public, "")).await;
    stage.tick();
    stage.publish(fan, made).await;
    let kinds = |told: Vec<(NoticeKind, String, u64)>| told.into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
    let of_mika = kinds(told(&stage, mika).await);
    assert_eq!(of_mika, [NoticeKind::Remixed, NoticeKind::Commented, NoticeKind::FollowAsked]);
    let of_fan = kinds(told(&stage, fan).await);
    assert_eq!(of_fan[0], NoticeKind::Answered);
    assert!(of_fan.contains(&NoticeKind::FollowAccepted) && of_fan.contains(&NoticeKind::Followed));
    assert_eq!(of_fan.len(), 3);
}

async fn reports_wait_for_moderators(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let post = stage.post(mika, Visibility::Public, "bad words").await;
    let report = async |by: Person, subject| {
        let id = ReportId::new(stage.now(), entropy());
        let report = NewReport { id, subject, reason: ReportReason::Spam, note: "see" };
        stage.store().report(by.member, &report, stage.now()).await.map(|()| id)
    };
    let id = report(fan, ReportSubject::Post(post.into())).await.unwrap();
    assert!(matches!(report(fan, ReportSubject::Post(post.into())).await, Err(StoreError::Exists("report"))));
    assert!(matches!(report(mika, ReportSubject::Post(post.into())).await, Err(StoreError::State { .. })));
    report(fan, ReportSubject::Profile(mika.id)).await.unwrap();
    let hidden = stage.post(mika, Visibility::OnlyMe, "").await;
    assert!(matches!(report(fan, ReportSubject::Post(hidden.into())).await, Err(StoreError::NotFound("post"))));
    // The words stay as they were reported.
    stage.store().edit_post(mika.member, post, &edit(Visibility::Public, "good words"), stage.now()).await.unwrap();
    let (plain, moderator) = (Role::Member, Role::Moderator);
    assert!(matches!(stage.store().open_reports(plain, fan.id, None, 10).await, Err(StoreError::NotFound("report"))));
    assert!(stage.store().close_report(plain, id, None, stage.now()).await.is_err());
    let open = stage.store().open_reports(moderator, fan.id, None, 10).await.unwrap();
    assert_eq!((open.len(), open[0].id, open[0].copy.as_str()), (2, id, "bad words"));
    assert_eq!((open[0].kind, open[0].subject, open[0].about), (ReportKind::Post, post.bytes(), mika.id));
    // What is about a moderator waits for another.
    assert!(stage.store().open_reports(moderator, mika.id, None, 10).await.unwrap().is_empty());
    assert!(stage.store().open_report(moderator, mika.id, id).await.is_err());
    assert_eq!(stage.store().open_report(moderator, fan.id, id).await.unwrap().id, id);
    stage.store().close_report(moderator, id, None, stage.now()).await.unwrap();
    assert!(stage.store().close_report(moderator, id, None, stage.now()).await.is_err());
    assert_eq!(stage.store().open_reports(moderator, fan.id, None, 10).await.unwrap().len(), 1);
}
