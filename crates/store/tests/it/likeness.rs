//! Who may use whose likeness: the rule in `platform` held against the rows and the lists, a challenge that counts once, and what a withdrawal
//! leaves.

use std::time::Duration;

use platform::likeness::{
    Audience, Bonds, CONSENT_VERSION, CaptureRefusal, Challenge, Checks, ConsentTerms, EnrolmentState, LikenessFacts,
    Limits, Purposes, StandingConsent, stand,
};
use platform::{
    CharacterId, ConsentId, DisplayName, EnrolmentId, Handle, IdentityId, LikenessId, MembershipEvent, PostId,
    ProjectId, Service, Viewer, Visibility, hex,
};
use store::{
    Approval, ArchiveValue, Capture, Character, FilmLook, LeftOut, Listing, NewConsent, NewEnrolment, NewProfile,
    Project, Restoring, RowToRestore, Store, StoreError, Subject, UseOutcome, Verdict,
};

use crate::bed::{Bed, entropy, raw};
use crate::on_both;
use crate::social::{Person, Stage, edit, new_clip, profile};

on_both!(
    rule_and_rows_agree,
    a_challenge_counts_once_and_a_recording_too,
    a_name_means_one_person_or_thing,
    two_who_ask_for_one_name_at_once_do_not_both_get_it,
    who_had_a_name_before_another_keeps_it,
    what_its_person_deleted_is_known_by_every_hash_that_it_had,
    a_clip_in_which_someone_appears_is_known_by_how_it_looks,
);

const DAY: Duration = Duration::from_secs(86_400);

/// Bytes of an id as a statement of the engine spells them.
fn spelt(bed: &Bed, id: [u8; 16]) -> String {
    let digits = hex(&id);
    if bed.url.starts_with("sqlite") { format!("X'{digits}'") } else { format!("'{digits}'::uuid") }
}

fn terms(bed: &Bed, audience: Audience) -> ConsentTerms {
    let (purposes, limits) = (Purposes::default(), Limits::default());
    ConsentTerms { purposes, audience, limits, expires_at: bed.now + DAY * 365 }
}

/// Begins an enrolment of someone.
async fn begin(bed: &Bed, identity: IdentityId, handle: &str) -> Result<(EnrolmentId, LikenessId), StoreError> {
    let (id, likeness) = (EnrolmentId::new(bed.now, entropy()), LikenessId::new(bed.now, entropy()));
    let terms = terms(bed, Audience::OnlyMe);
    let new = NewEnrolment {
        id,
        identity,
        likeness,
        handle: &Handle::parse(handle).unwrap(),
        language: "en",
        consent_version: CONSENT_VERSION,
        terms: &terms,
        challenge: &Challenge::draw(entropy(), "en"),
        expires_at: bed.now + Duration::from_secs(180),
    };
    bed.store.begin_enrolment(&new, bed.now).await?;
    Ok((id, likeness))
}

/// Finishes a capture of this content.
async fn capture(
    bed: &Bed,
    identity: IdentityId,
    id: EnrolmentId,
    likeness: LikenessId,
    content: u8,
) -> Result<(), CaptureRefusal> {
    let subject = Subject { identity, service: Service::Likeness, since: bed.now };
    let template = bed.objects.put_upload(subject, &likeness, "tan;long;black;blue;cap;none".into()).await.unwrap();
    let checks = Checks { seconds: 9, moved_percent: 60, level: 40 };
    let (media_type, sha256) = ("video/webm", [content; 32]);
    let capture = Capture { media_type, sha256, checks, template: &template, still: None };
    bed.store.finish_capture(identity, id, &capture, bed.now).await.unwrap()
}

async fn approve(bed: &Bed, id: EnrolmentId) -> Result<ConsentId, StoreError> {
    let consent = ConsentId::new(bed.now, entropy());
    let approval = Some(Approval { consent, statement: "signed" });
    let verdict = Verdict { by: None, reviewed: "words", approval, refusal: None };
    bed.store.decide_enrolment(id, &verdict, bed.now).await.map(|()| consent)
}

async fn visible(store: &Store, post: PostId, author: Person) -> bool {
    let opened = store.post(Viewer::SIGNED_OUT, post).await.is_ok();
    for listing in [Listing::Latest, Listing::Of(author.id)] {
        let listed = store.posts(Viewer::SIGNED_OUT, listing, None, 1000).await.unwrap();
        assert_eq!(listed.iter().any(|one| one.id == post), opened);
    }
    opened
}

async fn rule_and_rows_agree(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (bed, store, now) = (&stage.bed, stage.store(), stage.now());
    let (mika, yuki) = (stage.person("mika").await, stage.person("yuki").await);
    store.change_membership(mika.id, Service::Likeness, MembershipEvent::Join, now).await.unwrap();
    let (enrolment, likeness) = begin(bed, mika.id, "mika").await.unwrap();
    capture(bed, mika.id, enrolment, likeness, 1).await.unwrap();
    let consent = approve(bed, enrolment).await.unwrap();
    let (post, video) = stage.draft(yuki, new_clip(), edit(Visibility::Public, "look")).await;
    stage.publish(yuki, post).await;
    let [video_sql, likeness_sql, consent_sql] =
        [video.bytes(), likeness.bytes(), consent.bytes()].map(|id| spelt(bed, id));
    let sql = format!(
        "INSERT INTO likeness_outputs (generation, likeness, consent, made_at) VALUES ({video_sql}, {likeness_sql}, {consent_sql}, {})",
        now.micros()
    );
    raw::execute(&bed.url, &sql).await;

    let (mut shown, mut tried) = (0, 0);
    for audience in Audience::ALL {
        let terms = terms(bed, audience);
        let new =
            NewConsent { id: ConsentId::new(now, entropy()), version: CONSENT_VERSION, terms: &terms, statement: "s" };
        store.lend(mika.id, &new, now).await.unwrap();
        for bits in 0..16_u8 {
            let bonds = Bonds { mutual: bits & 1 > 0, approved: bits & 2 > 0, blocked: bits & 4 > 0 };
            let present = bits & 8 == 0;
            for (from, to) in [(mika, yuki), (yuki, mika)] {
                match bonds.mutual {
                    true => store.follow(from.member, to.id, now).await.map(|_| ()).unwrap(),
                    false => store.unfollow(from.member, to.id).await.unwrap(),
                }
            }
            // Blocking takes an approval away, so it comes first.
            store.block_maker(mika.id, yuki.id, bonds.blocked, now).await.unwrap();
            store.approve_maker(mika.id, yuki.id, bonds.approved, now).await.unwrap();
            let event = if present { MembershipEvent::Restore } else { MembershipEvent::Suspend };
            // It may be so already.
            let _ = store.change_membership(mika.id, Service::Likeness, event, now).await;
            let facts = LikenessFacts {
                likeness,
                owner: mika.id,
                present,
                revoked_at: None,
                consent: Some(StandingConsent {
                    id: new.id,
                    version: CONSENT_VERSION,
                    generate: true,
                    given_at: now,
                    expires_at: terms.expires_at,
                }),
                audience,
                bonds,
            };
            let expected = stand(&facts, yuki.id, now).map(|_| ());
            let asked = store.likenesses_stand(video, yuki.id, now).await.unwrap();
            assert_eq!(asked.map(|_| ()), expected, "{facts:?}");
            assert_eq!(store.likeness_permission(yuki.id, likeness, now).await.unwrap().map(|_| ()), expected);
            assert_eq!(visible(store, post, yuki).await, expected.is_ok(), "{facts:?}");
            (shown, tried) = (shown + u32::from(expected.is_ok()), tried + 1);
        }
    }
    assert_eq!((tried, shown), (64, 2 + 3 + 4), "the rule shows something and hides something");

    // Withdrawn, and what it was made with is gone; a new enrolment brings nothing back.
    let _ = store.change_membership(mika.id, Service::Likeness, MembershipEvent::Restore, now).await;
    store.block_maker(mika.id, yuki.id, false, now).await.unwrap();
    assert!(visible(store, post, yuki).await);
    let revoked = store.withdraw_likeness(mika.id, now).await.unwrap();
    assert_eq!((revoked.cancelled, revoked.hidden), (0, vec![(post, yuki.id)]));
    let reasons = store.post_decision(yuki.id, post).await.unwrap().unwrap();
    assert_eq!(reasons.record.rule.id, "likeness.withdrawn");
    assert!(!visible(store, post, yuki).await);
    assert!(store.object_deletions(10).await.unwrap().contains(&format!("uploads/{likeness}")));
    assert!(matches!(store.withdraw_likeness(mika.id, now).await, Err(StoreError::State { .. })));
    let (enrolment, again) = begin(bed, mika.id, "mika").await.unwrap();
    capture(bed, mika.id, enrolment, again, 2).await.unwrap();
    approve(bed, enrolment).await.unwrap();
    assert!(again != likeness && !visible(store, post, yuki).await);
    assert_eq!(store.likeness_orphans().await.unwrap(), 0);
}

async fn a_challenge_counts_once_and_a_recording_too(bed: Bed) {
    let store = &bed.store;
    let me = bed.member.identity();
    let other = crate::bed::member(store, "yuki@example.org", bed.now).await.identity();
    let (first, likeness) = begin(&bed, me, "mika").await.unwrap();
    // Another challenge takes the place of the first.
    let (second, likeness_2) = begin(&bed, me, "mika").await.unwrap();
    assert_eq!(store.enrolment(first).await.unwrap().state, EnrolmentState::Lapsed);
    assert_eq!(capture(&bed, me, first, likeness, 1).await, Err(CaptureRefusal::Used));
    assert!(matches!(store.expects_chunk(other, second, 0, bed.now).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.expects_chunk(me, second, 1, bed.now).await.unwrap(), Err(CaptureRefusal::OutOfOrder));
    let late = bed.now + Duration::from_secs(180);
    assert_eq!(store.expects_chunk(me, second, 0, late).await.unwrap(), Err(CaptureRefusal::Late));
    assert_eq!(capture(&bed, me, second, likeness_2, 1).await, Ok(()));
    assert_eq!(capture(&bed, me, second, likeness_2, 3).await, Err(CaptureRefusal::Used));
    // One at a time, and nobody takes a handle that looks like another's.
    assert!(matches!(begin(&bed, me, "mika").await, Err(StoreError::State { .. })));
    approve(&bed, second).await.unwrap();
    assert!(matches!(approve(&bed, second).await, Err(StoreError::State { .. })));
    assert!(matches!(begin(&bed, other, "m1ka").await, Err(StoreError::Exists("handle"))));
    // The same recording of someone else.
    let (theirs, likeness_3) = begin(&bed, other, "yuki").await.unwrap();
    assert_eq!(capture(&bed, other, theirs, likeness_3, 1).await, Err(CaptureRefusal::Replayed));
    assert_eq!(capture(&bed, other, theirs, likeness_3, 4).await, Ok(()));
    // A capture is kept for a day after the decision; one that was taken back goes at once.
    assert_eq!(store.delete_captures(bed.now - DAY, 10, bed.now).await.unwrap(), 0);
    assert_eq!(store.delete_captures(bed.now, 10, bed.now).await.unwrap(), 1);
    assert!(store.enrolment(second).await.unwrap().capture_deleted_at.is_some());
    assert!(store.likeness_of(me).await.unwrap().unwrap().template.is_some());
    store.withdraw_enrolment(other, bed.now).await.unwrap();
    let withdrawn = store.enrolment(theirs).await.unwrap();
    assert!(withdrawn.state == EnrolmentState::Withdrawn && withdrawn.capture_deleted_at.is_some());
    assert!(store.object_deletions(10).await.unwrap().contains(&format!("uploads/{likeness_3}")));
}

/// A character of someone's project, or why there is none.
async fn character(bed: &Bed, owner: IdentityId, handle: &str) -> Result<(), StoreError> {
    let id = ProjectId::new(bed.now, entropy());
    let (name, tier) = ("theirs".into(), "default".into());
    let project = Project { id, owner, name, tier, created_at: bed.now, archived_at: None };
    bed.store.create_project(&project).await.unwrap();
    let subject = Subject { identity: owner, service: Service::Video, since: bed.now };
    let character = CharacterId::new(bed.now, entropy());
    let key = bed.objects.put_upload(subject, &character, "picture".into()).await.unwrap();
    let character = Character {
        id: character,
        project: id,
        name: "Mossy".into(),
        handle: Some(Handle::parse(handle).unwrap()),
        audience: Audience::Everyone,
        key,
        created_at: bed.now,
    };
    bed.store.create_character(&character).await
}

async fn a_name_means_one_person_or_thing(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (bed, store, now) = (&stage.bed, stage.store(), stage.now());
    let (mika, yuki) = (stage.person("mika").await, stage.person("yuki").await);
    for who in [mika, yuki] {
        store.change_membership(who.id, Service::Likeness, MembershipEvent::Join, now).await.unwrap();
    }
    let named = async |who: Person, handle| store.set_profile(who.member, &profile(handle, false), now).await;
    let taken = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Exists("handle")));
    // A likeness that is called otherwise than its person.
    let (enrolment, likeness) = begin(bed, mika.id, "face_of_mika").await.unwrap();
    capture(bed, mika.id, enrolment, likeness, 1).await.unwrap();
    approve(bed, enrolment).await.unwrap();
    character(bed, mika.id, "mossy").await.unwrap();
    for handle in ["face_of_mika", "faceofm1ka", "mossy", "m0ssy", "mika", "m1ka"] {
        assert!(taken(named(yuki, handle).await), "a profile called {handle}");
        assert!(taken(character(bed, yuki.id, handle).await), "a character called {handle}");
        assert!(taken(begin(bed, yuki.id, handle).await.map(|_| ())), "a likeness called {handle}");
    }
    // One's own are one's own, but for two things of one name.
    named(mika, "face_of_mika").await.unwrap();
    assert!(taken(character(bed, mika.id, "face_of_mika").await));
    assert!(taken(character(bed, mika.id, "mossy").await));
    // Nobody poses as who withdrew.
    store.withdraw_likeness(mika.id, now).await.unwrap();
    assert!(taken(named(yuki, "face_of_mika").await));

    // An archive brings no such name either.
    let tables = store::ARCHIVE_CLASSES.iter().find(|class| class.name == "profile").unwrap();
    let fan = crate::bed::member(store, "fan@example.org", now).await.identity();
    store.change_membership(fan, Service::Social, MembershipEvent::Join, now).await.unwrap();
    let mut restoring = Restoring::new(fan, mika.id, None, "default", now);
    restoring.allow_only([store.membership(fan, Service::Social).await.unwrap().active().unwrap()]);
    for handle in ["m0ssy", "faceofmika"] {
        let mut rows = store.archive_rows(mika.id, &tables.tables[0], None, 1).await.unwrap();
        rows[0].set("handle", ArchiveValue::Text(handle.into()));
        let row = RowToRestore {
            row: rows.remove(0),
            video: None,
            link_token: None,
            came_as: String::new(),
            look: FilmLook::default(),
        };
        let restored = store.restore_rows(&mut restoring, tables, &[row], now).await.unwrap();
        assert_eq!(restored.left_out.get(&LeftOut::Taken), Some(&1), "{handle}: {restored:?}");
    }
}

async fn two_who_ask_for_one_name_at_once_do_not_both_get_it(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (bed, store, now) = (&stage.bed, stage.store(), stage.now());
    for round in 0..8 {
        let handle = format!("twin_{round}");
        let (mika, yuki) = (stage.person(&format!("mika{round}")).await, stage.person(&format!("yuki{round}")).await);
        let new = profile(&handle, false);
        let (one, other) = tokio::join!(store.set_profile(mika.member, &new, now), character(bed, yuki.id, &handle));
        assert!(one.is_ok() != other.is_ok(), "{round}: {one:?} {other:?}");
    }
}

async fn who_had_a_name_before_another_keeps_it(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (bed, store, now) = (&stage.bed, stage.store(), stage.now());
    let (mika, yuki) = (stage.person("mika").await, stage.person("yuki").await);
    character(bed, yuki.id, "mossy").await.unwrap();
    // As it could be before they shared their names.
    let sql = "UPDATE characters SET handle = 'mika', skeleton = NULL WHERE handle = 'mossy'";
    raw::execute(&bed.url, sql).await;
    let changed = NewProfile { display_name: DisplayName::parse("Mika").unwrap(), ..profile("mika", true) };
    store.set_profile(mika.member, &changed, now).await.unwrap();
    let shown = store.profile_of(yuki.viewer, mika.id).await.unwrap();
    assert_eq!((shown.display_name.as_str(), shown.handle.as_str(), shown.closed), ("Mika", "mika", true));
    // Nobody gets it anew.
    let taken = store.set_profile(yuki.member, &profile("mika", false), now).await;
    assert!(matches!(taken, Err(StoreError::Exists("handle"))), "{taken:?}");
}

async fn what_its_person_deleted_is_known_by_every_hash_that_it_had(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (bed, store, now) = (&stage.bed, stage.store(), stage.now());
    let me = bed.member.identity();
    store.change_membership(me, Service::Likeness, MembershipEvent::Join, now).await.unwrap();
    let (enrolment, likeness) = begin(bed, me, "mika").await.unwrap();
    capture(bed, me, enrolment, likeness, 1).await.unwrap();
    let consent = approve(bed, enrolment).await.unwrap();
    let clip = stage.clip.id;
    let [clip_sql, likeness_sql, consent_sql] =
        [clip.bytes(), likeness.bytes(), consent.bytes()].map(|id| spelt(bed, id));
    let values = format!("{clip_sql}, {likeness_sql}, {consent_sql}, {}", now.micros());
    let sql = format!(
        "INSERT INTO likeness_outputs (generation, likeness, consent, made_at) VALUES ({values});
         INSERT INTO likeness_traces (generation, likeness, consent, made_at, sha256) VALUES ({values}, 'first')"
    );
    raw::execute(&bed.url, &sql).await;

    // Gone, and brought again: its file came as one, and is kept as another.
    let class = store::ARCHIVE_CLASSES.iter().find(|class| class.name == "clips").unwrap();
    let rows = store.archive_rows(me, &class.tables[0], None, 1).await.unwrap();
    store.delete_generation(bed.project, clip, now).await.unwrap();
    let mut restoring = Restoring::new(me, me, Some(bed.project), "default", now);
    restoring.allow_only([bed.member]);
    let video = bed.outputs(clip, 2).await.video;
    let kept = video.sha256().to_owned();
    let row = RowToRestore {
        row: rows[0].clone(),
        video: Some(video),
        link_token: None,
        came_as: "came".into(),
        look: FilmLook::default(),
    };
    let restored = store.restore_rows(&mut restoring, class, std::slice::from_ref(&row), now).await.unwrap();
    assert_eq!(restored.added, 1, "{restored:?}");
    let seen = store.likeness_uses(me, None, 10).await.unwrap();
    assert_eq!((seen.len(), seen[0].video, &seen[0].outcome), (1, Some(clip), &UseOutcome::Made));
    assert_eq!((seen[0].maker, seen[0].removed_at), (me, None));

    // Whatever hash it is known by, under an id that nothing has.
    let mut other = rows[0].clone();
    other.set("id", ArchiveValue::Id(platform::VideoId::new(now, entropy()).bytes()));
    let comes_back =
        async |sha256: &str| store.may_come_back(&restoring, &other, [sha256, ""], &[], now).await.unwrap();
    let hashes = ["first", "came", kept.as_str()];
    for sha256 in hashes {
        assert!(comes_back(sha256).await, "{sha256}");
    }
    let removed = store.remove_use(me, seen[0].id, |_| None, now).await.unwrap();
    assert_eq!((removed.maker, removed.video), (me, clip));
    for sha256 in hashes {
        assert!(!comes_back(sha256).await, "{sha256}");
    }
    assert!(comes_back("unknown").await);
    let restored = store.restore_rows(&mut restoring, class, &[row], now).await.unwrap();
    assert_eq!(restored.left_out.get(&LeftOut::Likeness), Some(&1), "{restored:?}");
    assert!(store.likeness_uses(me, None, 10).await.unwrap()[0].removed_at.is_some());
}

async fn a_clip_in_which_someone_appears_is_known_by_how_it_looks(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (bed, store, now) = (&stage.bed, stage.store(), stage.now());
    let me = bed.member.identity();
    store.change_membership(me, Service::Likeness, MembershipEvent::Join, now).await.unwrap();
    let (enrolment, likeness) = begin(bed, me, "mika").await.unwrap();
    capture(bed, me, enrolment, likeness, 1).await.unwrap();
    let consent = approve(bed, enrolment).await.unwrap();
    let clip = stage.clip.id;
    // Nothing is kept of a clip in which nobody appears.
    store.keep_likeness_look(clip, &[[7; 32]]).await.unwrap();
    assert_eq!(store.likeness_looks(None, 10).await.unwrap(), []);
    let [clip_sql, likeness_sql, consent_sql] =
        [clip.bytes(), likeness.bytes(), consent.bytes()].map(|id| spelt(bed, id));
    let values = format!("{clip_sql}, {likeness_sql}, {consent_sql}, {}", now.micros());
    let sql = format!(
        "INSERT INTO likeness_outputs (generation, likeness, consent, made_at) VALUES ({values});
         INSERT INTO likeness_traces (generation, likeness, consent, made_at, sha256) VALUES ({values}, 'first'), ({values}, 'second')"
    );
    raw::execute(&bed.url, &sql).await;
    // One that was made before is to be looked at, once, whatever came of it.
    let unseen = store.unseen_likeness_clips(10).await.unwrap();
    assert_eq!(unseen.iter().map(|(video, _)| *video).collect::<Vec<_>>(), [clip]);
    store.keep_likeness_look(clip, &[[7; 32], [9; 32]]).await.unwrap();
    store.keep_likeness_look(clip, &[]).await.unwrap();
    let kept = store::LikenessLook { video: clip, frames: vec![[7; 32], [9; 32]] };
    assert_eq!(store.likeness_looks(None, 10).await.unwrap(), std::slice::from_ref(&kept));
    assert_eq!(store.likeness_looks(Some(clip), 10).await.unwrap(), []);
    assert_eq!(store.unseen_likeness_clips(10).await.unwrap(), []);

    // Whoever appears in what it looks like is asked; what is known by its bytes is that clip, whatever else it looks like.
    let other = platform::VideoId::new(now, entropy());
    let item = platform::DecidedItem::of_bytes(platform::DecidedKind::Prompt, b"film");
    let makes_of = async |sha256: &'static str, alike: &[platform::VideoId]| {
        let file = store::BroughtFile { sha256: [sha256, ""], alike, item, field: "video", prompt: "at night" };
        store.may_make_of(platform::UseId::new(now, entropy()), me, &file, now).await
    };
    assert_eq!(makes_of("", &[other]).await.unwrap(), []);
    for (sha256, alike) in [("", &[clip][..]), ("second", &[]), ("first", &[clip])] {
        assert_eq!(makes_of(sha256, alike).await.unwrap(), [likeness], "{sha256} {alike:?}");
    }
    store.withdraw_likeness(me, now).await.unwrap();
    store.delete_generation(bed.project, clip, now).await.unwrap();
    for (sha256, alike) in [("", &[other, clip][..]), ("second", &[])] {
        let refused = makes_of(sha256, alike).await;
        let Err(StoreError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!((refusal.code, refusal.param), (platform::RefusalCode::LikenessRevoked, Some("video")));
    }
    // The reasons are a decision about the file, and the attempts are there to be seen.
    let told = store.decisions_about(me, None, 10).await.unwrap();
    assert_eq!((told.len(), told[0].record.item), (2, item));
    assert_eq!(store.likeness_looks(None, 10).await.unwrap(), [kept], "it outlives the clip");
}
