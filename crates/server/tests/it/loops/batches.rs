//! Batches from their file to their output.

use bytes::Bytes;
use platform::{BatchEvent, BatchId, BatchState, FileId, Quotas, Service, Tier};
use server::batch_runner;
use store::{Batch, File, NewBatch};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, entropy, test_card};

async fn begin(bed: &Bed, input: &str) -> BatchId {
    let (now, file) = (bed.app.now(), FileId::new(bed.app.now(), entropy()));
    let bytes = Bytes::from(input.to_owned());
    let row = File {
        id: file,
        project: bed.project,
        filename: "batch.jsonl".into(),
        purpose: "batch".into(),
        media_type: "application/jsonl".into(),
        size_bytes: bytes.len() as u64,
        key: bed.app.objects.put_upload(bed.subject(Service::Api), &file, bytes).await.unwrap(),
        created_at: now,
        expires_at: None,
    };
    bed.app.store.create_file(&row).await.unwrap();
    let id = BatchId::new(now, entropy());
    let (project, identity) = (bed.project, bed.member.identity());
    let batch = NewBatch { id, project, identity, input_file: file, metadata: "{}".into() };
    bed.app.store.create_batch(&batch, now).await.unwrap();
    id
}

fn line(custom_id: &str, body: &str) -> String {
    format!(r#"{{"custom_id":"{custom_id}","method":"POST","url":"/v1/videos","body":{body}}}"#) + "\n"
}

const GOOD: &str = r#"{"prompt":"a red boat","size":"144x80","seconds":"4"}"#;

async fn batch(bed: &Bed, id: BatchId) -> Batch {
    bed.app.store.batch(bed.project, id).await.unwrap()
}

/// A file's lines, by their custom ids.
async fn lines(bed: &Bed, file: Option<FileId>) -> Vec<serde_json::Value> {
    let Some(file) = file else { return Vec::new() };
    let key = bed.app.store.file(bed.project, file).await.unwrap().key;
    let bytes = bed.app.objects.get_all(&key).await.unwrap();
    std::str::from_utf8(&bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_batch_ends_with_all_its_lines_in_its_files() {
    let bed = Bed::new().await;
    let input = line("one", GOOD) + &line("bad", r#"{"prompt":""}"#) + &line("two", GOOD);
    let id = begin(&bed, &input).await;
    batch_runner::work(&bed.app).await.unwrap();
    assert_eq!(batch(&bed, id).await.state, BatchState::InProgress);
    batch_runner::work(&bed.app).await.unwrap();

    let (worker, never) = (bed.worker(test_card()), CancellationToken::new());
    while worker.work_once(&never).await.unwrap().is_some() {}
    batch_runner::work(&bed.app).await.unwrap();
    batch_runner::work(&bed.app).await.unwrap();
    let done = batch(&bed, id).await;
    assert_eq!(done.state, BatchState::Completed);

    let output = lines(&bed, done.output_file).await;
    let ids: Vec<_> = output.iter().map(|line| line["custom_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["one", "two"]);
    assert_eq!(output[0]["response"]["status_code"], 200);
    assert_eq!(output[0]["response"]["body"]["status"], "completed");
    let errors = lines(&bed, done.error_file).await;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["response"]["body"]["error"]["code"], "empty_string");
    assert_eq!(bed.app.store.batch_counts(id).await.unwrap().failed, 1);
}

#[tokio::test]
async fn a_file_with_mistakes_fails_as_a_whole() {
    let bed = Bed::new().await;
    let id = begin(&bed, &(line("one", GOOD) + "nonsense\n")).await;
    batch_runner::work(&bed.app).await.unwrap();
    let failed = batch(&bed, id).await;
    assert_eq!(failed.state, BatchState::Failed);
    let errors: serde_json::Value = serde_json::from_str(&failed.error.unwrap()).unwrap();
    assert_eq!(errors[0]["line"], 2);
    assert_eq!(bed.app.store.queue_depth().await.unwrap().queued, 0);
}

#[tokio::test]
async fn a_batch_leaves_half_of_the_quota_to_other_requests() {
    let bed = Bed::new().await;
    let quotas = Quotas { concurrent_jobs: 4, ..Quotas::DEFAULT };
    bed.app.store.set_tier(&Tier { name: "default".into(), quotas, metered: true }).await.unwrap();
    let input: String = (0..7).map(|index| line(&format!("line-{index}"), GOOD)).collect();
    let id = begin(&bed, &input).await;
    let (worker, never) = (bed.worker(test_card()), CancellationToken::new());
    let mut rounds = 0;
    while batch(&bed, id).await.state != BatchState::Completed {
        batch_runner::work(&bed.app).await.unwrap();
        assert!(bed.app.store.queue_depth().await.unwrap().queued <= 2);
        worker.work_once(&never).await.unwrap();
        rounds += 1;
        assert!(rounds < 30);
    }
    assert_eq!(lines(&bed, batch(&bed, id).await.output_file).await.len(), 7);
}

#[tokio::test]
async fn a_cancelled_batch_stops_its_lines_and_tells_what_was_done() {
    let bed = Bed::new().await;
    let quotas = Quotas { concurrent_jobs: 2, ..Quotas::DEFAULT };
    bed.app.store.set_tier(&Tier { name: "default".into(), quotas, metered: true }).await.unwrap();
    let input: String = (0..3).map(|index| line(&format!("line-{index}"), GOOD)).collect();
    let id = begin(&bed, &input).await;
    let (worker, never) = (bed.worker(test_card()), CancellationToken::new());
    for _ in 0..2 {
        batch_runner::work(&bed.app).await.unwrap();
    }
    worker.work_once(&never).await.unwrap();
    batch_runner::work(&bed.app).await.unwrap();
    // One is done, one waits in the queue, one was not accepted yet.
    bed.app.store.change_batch(id, BatchEvent::Cancel, bed.app.now()).await.unwrap();
    batch_runner::work(&bed.app).await.unwrap();
    let stopped = batch(&bed, id).await;
    assert_eq!(stopped.state, BatchState::Cancelled);
    let output = lines(&bed, stopped.output_file).await;
    let states: Vec<_> = output.iter().map(|line| line["response"]["body"]["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["completed", "failed"]);
    let errors = lines(&bed, stopped.error_file).await;
    assert_eq!(errors[0]["error"]["code"], "batch_cancelled");
    assert_eq!(bed.money().await.1, 0);
}

#[tokio::test]
async fn a_batch_whose_time_is_over_expires() {
    let bed = Bed::new().await;
    let id = begin(&bed, &line("one", GOOD)).await;
    for _ in 0..2 {
        batch_runner::work(&bed.app).await.unwrap();
    }
    bed.clock.advance(platform::COMPLETION_WINDOW);
    batch_runner::work(&bed.app).await.unwrap();
    assert_eq!(batch(&bed, id).await.state, BatchState::Expired);
    assert_eq!(bed.app.store.queue_depth().await.unwrap().queued, 0);
}
