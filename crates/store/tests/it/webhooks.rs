use std::time::Duration;

use platform::{EventType, WebhookEndpointId, WebhookSecret};
use store::{Page, StoreError, WebhookEndpoint};

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(
    a_delivery_is_tried_until_it_is_answered,
    a_rotated_secret_signs_beside_the_old,
    endpoints_are_listed_and_deleted
);

async fn endpoint(bed: &Bed, event_types: Vec<EventType>) -> WebhookEndpoint {
    let endpoint = WebhookEndpoint {
        id: WebhookEndpointId::new(bed.now, entropy()),
        project: bed.project,
        name: "mine".into(),
        url: "http://127.0.0.1:9/hook".into(),
        event_types,
        secret: WebhookSecret::new([1; 32]),
        old_secret: None,
        created_at: bed.now,
        updated_at: bed.now,
    };
    bed.store.create_webhook_endpoint(&endpoint).await.unwrap();
    endpoint
}

async fn a_delivery_is_tried_until_it_is_answered(bed: Bed) {
    endpoint(&bed, vec![EventType::VideoFailed]).await;
    endpoint(&bed, vec![EventType::VideoCompleted]).await;
    let id = bed.accept(bed.project).await.id;
    bed.store.cancel(bed.project, id, bed.now).await.unwrap();

    let first = bed.store.claim_deliveries(10, bed.now).await.unwrap().remove(0);
    assert!(first.body.contains(&id.to_string()), "{}", first.body);
    assert!(bed.store.claim_deliveries(10, bed.now).await.unwrap().is_empty(), "it is claimed");
    let next = bed.store.delivery_failed(&first, Some(500), bed.now).await.unwrap().unwrap();
    let again = bed.store.claim_deliveries(10, next).await.unwrap().remove(0);
    assert_eq!((again.event, &again.body, again.failed_attempts), (first.event, &first.body, 1));
    // Whoever claimed it is lost: it is claimed again.
    let later = next + Duration::from_secs(60);
    let again = bed.store.claim_deliveries(10, later).await.unwrap().remove(0);
    bed.store.delivery_done(&again, 204, later).await.unwrap();
    // A late word of failure undoes nothing.
    bed.store.delivery_failed(&again, None, later).await.unwrap();
    let end = bed.now + Duration::from_secs(80 * 3600);
    assert!(bed.store.claim_deliveries(10, end).await.unwrap().is_empty());
    // After 72 hours nobody tries any more.
    assert_eq!(bed.store.delivery_failed(&first, None, end).await.unwrap(), None);
}

async fn a_rotated_secret_signs_beside_the_old(bed: Bed) {
    let made = endpoint(&bed, vec![EventType::VideoFailed]).await;
    let until = bed.now + Duration::from_secs(24 * 3600);
    let secret = WebhookSecret::new([2; 32]);
    bed.store.rotate_webhook_secret(bed.project, made.id, &secret, Some(until), bed.now).await.unwrap();
    let id = bed.accept(bed.project).await.id;
    bed.store.cancel(bed.project, id, bed.now).await.unwrap();
    let delivery = bed.store.claim_deliveries(10, bed.now).await.unwrap().remove(0);
    let sign = |secret: &WebhookSecret, at| secret.signature(&delivery.event.to_string(), at, delivery.body.as_bytes());
    assert_eq!(delivery.signatures(bed.now), format!("{} {}", sign(&secret, bed.now), sign(&made.secret, bed.now)));
    assert_eq!(delivery.signatures(until), sign(&secret, until));
}

async fn endpoints_are_listed_and_deleted(bed: Bed) {
    let (a, b) = (endpoint(&bed, vec![EventType::VideoFailed]).await, endpoint(&bed, Vec::new()).await);
    let listed = bed.store.webhook_endpoints(bed.project, Page::default()).await.unwrap();
    assert_eq!(listed, [b.clone(), a.clone()]);
    let page = Page { after: Some(b.id), ..Page::default() };
    assert_eq!(bed.store.webhook_endpoints(bed.project, page).await.unwrap(), std::slice::from_ref(&a));
    let changed = WebhookEndpoint { name: "other".into(), ..a.clone() };
    bed.store.change_webhook_endpoint(&changed, bed.now).await.unwrap();
    assert_eq!(bed.store.webhook_endpoint(bed.project, a.id).await.unwrap().name, "other");
    // One that has something to be sent goes too.
    let id = bed.accept(bed.project).await.id;
    bed.store.cancel(bed.project, id, bed.now).await.unwrap();
    bed.store.delete_webhook_endpoint(bed.project, a.id).await.unwrap();
    assert!(bed.store.claim_deliveries(10, bed.now).await.unwrap().is_empty());
    let gone = bed.store.delete_webhook_endpoint(bed.project, a.id).await;
    assert!(matches!(gone, Err(StoreError::NotFound(_))));
}
