use platform::{GenerationState, Timestamp};
use store::{Cancellation, Order, Page, StoreError};

use crate::bed::{Bed, paper};
use crate::on_both;

on_both!(pages_neither_miss_nor_repeat, what_is_deleted_is_gone, another_project_sees_nothing);

async fn pages_neither_miss_nor_repeat(mut bed: Bed) {
    let other = bed.another_project("other").await;
    let mut made = Vec::new();
    for at in 0..25 {
        // Five in each moment.
        bed.now = Timestamp::from_seconds(1_790_000_000 + at / 5);
        made.push(bed.accept(bed.project).await.id);
        bed.accept(other).await;
    }
    for order in [Order::Ascending, Order::Descending] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = bed.store.generations(bed.project, Page { after, limit: 4, order }).await.unwrap();
            seen.extend(page.generations.iter().map(|generation| generation.id));
            after = page.generations.last().map(|generation| generation.id);
            if !page.has_more {
                break;
            }
        }
        if order == Order::Descending {
            seen.reverse();
        }
        assert_eq!(seen, made);
    }
    let none = bed.store.generations(bed.project, Page { limit: 0, ..Page::default() }).await.unwrap();
    assert!(none.generations.is_empty() && none.has_more);
}

async fn what_is_deleted_is_gone(bed: Bed) {
    let (queued, running, done) =
        (bed.accept(bed.project).await, bed.accept(bed.project).await, bed.accept(bed.project).await);
    bed.store.cancel(bed.project, queued.id, bed.now).await.unwrap();
    let mut leases = Vec::new();
    while let Some((lease, _)) = bed.store.claim("w", &paper(), bed.now).await.unwrap() {
        leases.push(lease);
    }
    let lease = leases.iter().find(|lease| lease.id() == done.id).unwrap();
    let outputs = bed.outputs(done.id, 1).await;
    bed.store.finish(lease, &outputs, bed.now).await.unwrap();
    assert_eq!(bed.store.generation(bed.project, done.id).await.unwrap().state, GenerationState::Completed);
    for id in [queued.id, running.id, done.id] {
        bed.store.delete_generation(bed.project, id, bed.now).await.unwrap();
        assert!(matches!(bed.store.generation(bed.project, id).await, Err(StoreError::NotFound(_))));
        assert!(matches!(bed.store.delete_generation(bed.project, id, bed.now).await, Err(StoreError::NotFound(_))));
    }
    // The objects follow.
    for prefix in bed.store.object_deletions(100).await.unwrap() {
        bed.objects.delete_under(&prefix).await.unwrap();
        bed.store.object_deletion_done(&prefix).await.unwrap();
    }
    assert!(bed.objects.list("renders").await.unwrap().is_empty());
    assert!(bed.store.object_deletions(100).await.unwrap().is_empty());
    // The one that ran costs nothing and its worker is told.
    let balance = bed.store.balance(bed.project).await.unwrap();
    assert_eq!((balance.balance.micros(), balance.held.micros()), (998_000_000, 0));
    let lease = leases.iter().find(|lease| lease.id() == running.id).unwrap();
    assert_eq!(bed.store.heartbeat(lease, platform::Progress::NONE, bed.now).await.unwrap(), store::Heartbeat::Lost);
}

async fn another_project_sees_nothing(bed: Bed) {
    let other = bed.another_project("other").await;
    let generation = bed.accept(bed.project).await;
    assert!(matches!(bed.store.generation(other, generation.id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(bed.store.cancel(other, generation.id, bed.now).await, Err(StoreError::NotFound(_))));
    assert!(matches!(bed.store.delete_generation(other, generation.id, bed.now).await, Err(StoreError::NotFound(_))));
    let page = Page { after: Some(generation.id), ..Page::default() };
    assert!(matches!(bed.store.generations(other, page).await, Err(StoreError::NotFound(_))));
    assert_eq!(bed.store.cancel(bed.project, generation.id, bed.now).await.unwrap(), Cancellation::Cancelled);
}
