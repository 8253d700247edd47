use platform::{BatchEvent, BatchId, BatchState, FileId, WebhookEndpointId, WebhookSecret};
use store::{BatchLine, NewBatch, NewBatchItem, Page, StoreError, WebhookEndpoint};

use crate::bed::{Bed, entropy, paper, parameters};
use crate::on_both;

on_both!(a_batch_runs_to_its_end);

async fn a_batch_runs_to_its_end(bed: Bed) {
    let id = BatchId::new(bed.now, entropy());
    let endpoint = WebhookEndpoint {
        id: WebhookEndpointId::new(bed.now, entropy()),
        project: bed.project,
        name: "batches".into(),
        url: "http://127.0.0.1/".into(),
        event_types: vec![platform::EventType::BatchCompleted],
        secret: WebhookSecret::new([1; 32]),
        old_secret: None,
        created_at: bed.now,
        updated_at: bed.now,
    };
    bed.store.create_webhook_endpoint(&endpoint).await.unwrap();
    let input_file = FileId::new(bed.now, entropy());
    let batch =
        NewBatch { id, project: bed.project, identity: bed.member.identity(), input_file, metadata: "{}".into() };
    bed.store.create_batch(&batch, bed.now).await.unwrap();
    let items: Vec<_> = ["a", "b"].map(|id| NewBatchItem { custom_id: id.into(), body: "{}".into() }).into();
    bed.store.start_batch(id, &items, bed.now).await.unwrap();
    assert!(matches!(bed.store.start_batch(id, &items, bed.now).await, Err(StoreError::State { .. })));

    let accept = async |line| {
        let (parameters, generations) = (parameters("a"), [bed.new_generation()]);
        let mut request = bed.request(bed.project, &parameters, &generations);
        request.batch_line = Some(BatchLine { batch: id, line });
        bed.store.accept(bed.member, &request, bed.now).await
    };
    accept(0).await.unwrap();
    // Whoever reads the same line again after a crash makes no second video.
    assert!(matches!(accept(0).await, Err(StoreError::Exists("batch line"))));
    assert_eq!(bed.store.pending_batch_items(id, 10).await.unwrap().len(), 1);
    bed.store.refuse_batch_item(id, 1, "{}").await.unwrap();
    assert_eq!(bed.store.batch_counts(id).await.unwrap().open(), 1);
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    let outputs = bed.outputs(lease.id(), 1).await;
    bed.store.finish(&lease, &outputs, bed.now).await.unwrap();
    let counts = bed.store.batch_counts(id).await.unwrap();
    assert_eq!((counts.total, counts.completed, counts.failed), (2, 1, 1));

    bed.store.change_batch(id, BatchEvent::AllEnded, bed.now).await.unwrap();
    bed.store.set_batch_files(id, Some(input_file), None).await.unwrap();
    assert_eq!(bed.store.open_batches(10).await.unwrap().len(), 1);
    assert_eq!(bed.store.change_batch(id, BatchEvent::Written, bed.now).await.unwrap(), BatchState::Completed);
    assert!(bed.store.open_batches(10).await.unwrap().is_empty());
    assert_eq!(bed.store.batches(bed.project, Page::default()).await.unwrap()[0].output_file, Some(input_file));
    let told = bed.store.claim_deliveries(10, bed.now).await.unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].body.contains("batch.completed"));
}
