//! The trash of a library.

use std::time::Duration;

use platform::{TRASH_TIME, VideoId};
use store::{Accepted, Discarded, Idempotency, LibraryFilter, LibraryPlace, Page, StoreError};

use crate::bed::{Bed, entropy, member, parameters};
use crate::library::{finished, listed, make};
use crate::on_both;

on_both!(
    what_is_in_the_trash_is_nowhere_else_and_comes_back,
    all_go_into_the_trash_or_none,
    what_was_in_the_trash_for_too_long_is_gone,
    what_is_thrown_out_is_ones_own_and_in_the_trash,
    a_repeated_request_does_not_bring_back_what_is_in_the_trash,
);

const TRASH: LibraryFilter<'_> = LibraryFilter {
    words: None,
    state: None,
    shape: None,
    favourites: false,
    folder: None,
    place: LibraryPlace::Trash,
};

async fn what_is_in_the_trash_is_nowhere_else_and_comes_back(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let other = member(store, "other@example.org", bed.now).await.identity();
    let all = LibraryFilter::default();
    let (boat, cat) = (finished(&bed, "a red boat", 1).await, finished(&bed, "a black cat", 2).await);
    let (first, second) = (bed.now + Duration::from_secs(10), bed.now + Duration::from_secs(11));
    assert_eq!(store.trash(other, &[boat, cat], first).await.unwrap(), 0);
    assert_eq!(store.trash(me, &[], first).await.unwrap(), 0);
    assert_eq!(listed(&bed, all).await, [cat, boat]);

    assert_eq!(store.trash(me, &[cat, VideoId::new(bed.now, entropy())], first).await.unwrap(), 1);
    // What lies there already keeps its moment.
    assert_eq!(store.trash(me, &[boat, cat], second).await.unwrap(), 1);
    assert_eq!(store.any_generation(cat).await.unwrap().trashed_at, Some(first));
    assert_eq!(listed(&bed, all).await, []);
    // The last that was put there comes first.
    assert_eq!(listed(&bed, TRASH).await, [boat, cat]);
    let page = store.library(me, TRASH, Some(boat), 1).await.unwrap();
    assert_eq!((page.generations[0].id, page.has_more), (cat, false));
    assert_eq!(listed(&bed, LibraryFilter { words: Some("cat"), ..TRASH }).await, [cat]);
    assert!(store.library(other, TRASH, None, 9).await.unwrap().generations.is_empty());

    // To programs it is deleted.
    assert!(matches!(store.generation(bed.project, boat).await, Err(StoreError::NotFound("video"))));
    assert!(store.generations(bed.project, Page::default()).await.unwrap().generations.is_empty());
    let behind = Page { after: Some(boat), ..Page::default() };
    assert!(matches!(store.generations(bed.project, behind).await, Err(StoreError::NotFound("video"))));

    // Nobody else takes it back.
    assert_eq!(store.restore(other, &[boat, cat]).await.unwrap(), 0);
    assert_eq!(store.undo_trash(other, second).await.unwrap(), 0);
    assert_eq!(store.trashed_at_once(other, second).await.unwrap(), 0);
    assert_eq!(store.trashed_at_once(me, second).await.unwrap(), 1);
    assert_eq!(store.undo_trash(me, second).await.unwrap(), 1);
    assert_eq!(store.undo_trash(me, second).await.unwrap(), 0);
    assert_eq!((listed(&bed, all).await, listed(&bed, TRASH).await), (vec![boat], vec![cat]));
    assert!(matches!(store.library(me, TRASH, Some(boat), 1).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.restore(me, &[boat, cat]).await.unwrap(), 1);
    assert_eq!(listed(&bed, all).await, [cat, boat]);
    let back = store.generation(bed.project, boat).await.unwrap();
    assert!(back.video.is_some() && back.trashed_at.is_none());
}

async fn all_go_into_the_trash_or_none(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let boat = finished(&bed, "a red boat", 1).await;
    let waiting = make(&bed, bed.project, "a black cat", 2).await;
    let refused = store.trash(me, &[boat, waiting], bed.now).await;
    assert!(matches!(refused, Err(StoreError::State { what: "clip", .. })));
    assert_eq!(listed(&bed, LibraryFilter::default()).await, [waiting, boat]);
    // Others' clips that are being made are nobody's business.
    let other = member(store, "other@example.org", bed.now).await.identity();
    assert_eq!(store.trash(other, &[waiting], bed.now).await.unwrap(), 0);
    store.cancel(bed.project, waiting, bed.now).await.unwrap();
    assert_eq!(store.trash(me, &[boat, waiting], bed.now).await.unwrap(), 2);
    assert_eq!(listed(&bed, LibraryFilter::default()).await, []);
}

async fn what_was_in_the_trash_for_too_long_is_gone(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let (boat, cat) = (finished(&bed, "a red boat", 1).await, finished(&bed, "a black cat", 2).await);
    let kept = finished(&bed, "a fox", 3).await;
    let day = Duration::from_secs(86_400);
    store.trash(me, &[boat], bed.now).await.unwrap();
    store.trash(me, &[cat], bed.now + day).await.unwrap();
    let purge = async |now| {
        let gone = store.purge(Discarded::Until(now - TRASH_TIME), 10, now).await.unwrap();
        gone.iter().map(|generation| generation.id).collect::<Vec<_>>()
    };
    assert!(store.object_deletions(10).await.unwrap().is_empty());
    assert_eq!(purge(bed.now + TRASH_TIME - Duration::from_micros(1)).await, []);
    assert_eq!(purge(bed.now + TRASH_TIME).await, [boat]);
    assert_eq!(store.object_deletions(10).await.unwrap(), [format!("renders/{boat}")]);
    assert!(matches!(store.any_generation(boat).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.restore(me, &[boat]).await.unwrap(), 0);
    assert_eq!(listed(&bed, TRASH).await, [cat]);
    assert_eq!(purge(bed.now + TRASH_TIME + day).await, [cat]);
    assert_eq!(purge(bed.now + TRASH_TIME * 9).await, []);
    assert_eq!(listed(&bed, LibraryFilter::default()).await, [kept]);
}

async fn what_is_thrown_out_is_ones_own_and_in_the_trash(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let other = member(store, "other@example.org", bed.now).await.identity();
    let mut clips = Vec::new();
    for second in 1..=4 {
        clips.push(finished(&bed, "a red boat", second).await);
    }
    store.trash(me, &clips[..3], bed.now).await.unwrap();
    let count = async |discarded, limit| store.purge(discarded, limit, bed.now).await.unwrap().len();
    assert_eq!(count(Discarded::These(other, &clips), 10).await, 0);
    assert_eq!(count(Discarded::AllOf(other), 10).await, 0);
    assert_eq!(count(Discarded::These(me, &[]), 10).await, 0);
    // The last does not lie in the trash.
    let picked = [clips[0], clips[3]];
    assert_eq!(count(Discarded::These(me, &picked), 10).await, 1);
    assert_eq!(count(Discarded::AllOf(me), 1).await, 1);
    assert_eq!(count(Discarded::AllOf(me), 10).await, 1);
    assert_eq!(count(Discarded::AllOf(me), 10).await, 0);
    assert_eq!(listed(&bed, LibraryFilter::default()).await, [clips[3]]);
    assert_eq!(store.object_deletions(10).await.unwrap().len(), 3);
}

async fn a_repeated_request_does_not_bring_back_what_is_in_the_trash(bed: Bed) {
    let parameters = parameters("a red boat");
    let generations = [bed.new_generation()];
    let key = platform::IdempotencyKey::parse("once").unwrap();
    let fingerprint = platform::Fingerprint::of("POST", "/v1/videos", b"");
    let mut request = bed.request(bed.project, &parameters, &generations);
    request.idempotency = Some(Idempotency { key: &key, fingerprint });
    let ask = async || match bed.store.accept(bed.member, &request, bed.now).await.unwrap() {
        Accepted::New(made) | Accepted::Repeated(made) => made.len(),
    };
    assert_eq!((ask().await, ask().await), (1, 1));
    bed.store.cancel(bed.project, generations[0].id, bed.now).await.unwrap();
    bed.store.trash(bed.member.identity(), &[generations[0].id], bed.now).await.unwrap();
    assert_eq!(ask().await, 0);
    bed.store.restore(bed.member.identity(), &[generations[0].id]).await.unwrap();
    assert_eq!(ask().await, 1);
}
