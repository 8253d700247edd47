//! Batches at work: their files are read, their lines accepted as the project's quota has room, their output written.
//!
//! A round looks at every open batch and does what can be done now. Rounds may run on several nodes at once: a line is accepted once,
//! and the files of a batch have ids that follow from its own.

mod input;
mod report;

use std::time::Duration;

use platform::{ActiveMembership, BatchEvent, BatchState, FileId, RefusalCode, Service, Timestamp};
use store::{Batch, BatchItem, BatchLine, File, StoreError, Subject};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::batch_runner::input::read_lines;
use crate::batch_runner::report::{Ended, Report};
use crate::http::batch_creation;

/// How often batches are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Batches looked at in one round.
const BATCHES: u32 = 50;
/// Lines of one batch accepted in one round.
const LINES: u32 = 25;
/// Lines read at once.
const PAGE: u32 = 500;

/// Works on batches until it is told to stop.
pub async fn run(app: &App, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = work(app).await {
            tracing::error!(error = &error as &dyn std::error::Error, "batches could not be read");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// One round over all open batches.
///
/// # Errors
/// [`StoreError`] if they cannot be listed. What fails with one of them is logged, and tried again in the next round.
pub async fn work(app: &App) -> Result<(), StoreError> {
    for batch in app.store.open_batches(BATCHES).await? {
        match advance(app, &batch).await {
            Ok(()) => {}
            // Another node, or its owner, was faster.
            Err(StoreError::State { .. }) => {}
            Err(error) => {
                tracing::error!(batch = %batch.id, error = &error as &dyn std::error::Error, "a batch did not go on");
            }
        }
    }
    Ok(())
}

async fn advance(app: &App, batch: &Batch) -> Result<(), StoreError> {
    let now = app.now();
    if now >= batch.expires_at && batch.state != BatchState::Cancelling {
        stop_lines(app, batch, "batch_expired", "The batch ran out of time before this line was done.", now).await?;
        write_files(app, batch, now).await?;
        app.store.change_batch(batch.id, BatchEvent::Expire, now).await?;
        return Ok(());
    }
    match batch.state {
        BatchState::Validating => validate(app, batch, now).await,
        BatchState::InProgress => {
            accept_lines(app, batch, now).await?;
            if app.store.batch_counts(batch.id).await?.open() == 0 {
                app.store.change_batch(batch.id, BatchEvent::AllEnded, now).await?;
            }
            Ok(())
        }
        BatchState::Finalizing => {
            write_files(app, batch, now).await?;
            app.store.change_batch(batch.id, BatchEvent::Written, now).await.map(|_| ())
        }
        BatchState::Cancelling => {
            stop_lines(app, batch, "batch_cancelled", "The batch was cancelled before this line was done.", now)
                .await?;
            if now >= batch.expires_at || app.store.batch_counts(batch.id).await?.open() == 0 {
                write_files(app, batch, now).await?;
                app.store.change_batch(batch.id, BatchEvent::AllEnded, now).await?;
            }
            Ok(())
        }
        BatchState::Failed | BatchState::Completed | BatchState::Expired | BatchState::Cancelled => Ok(()),
    }
}

/// Reads the input file. A batch whose file has mistakes fails as a whole, and says where they are.
async fn validate(app: &App, batch: &Batch, now: Timestamp) -> Result<(), StoreError> {
    let bytes = match app.store.file(batch.project, batch.input_file).await {
        Ok(file) => app.objects.get_all(&file.key).await,
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        Err(StoreError::NotFound(_)) => {
            let errors = input::error("input_file_not_found", None, "The input file is not there any more.");
            return app.store.fail_batch(batch.id, &errors, now).await;
        }
        bytes => bytes?,
    };
    // 200 MB of JSON take a second or two.
    let read = tokio::task::spawn_blocking(move || read_lines(&bytes)).await;
    match read.unwrap_or_else(|_| Err(input::error("invalid_file", None, "The input file could not be read."))) {
        Ok(items) => app.store.start_batch(batch.id, &items, now).await,
        Err(errors) => app.store.fail_batch(batch.id, &errors, now).await,
    }
}

/// Accepts as many lines as there is room for: half of what the project may have unfinished, so that a batch leaves room for the
/// project's other requests.
async fn accept_lines(app: &App, batch: &Batch, now: Timestamp) -> Result<(), StoreError> {
    let pending = app.store.pending_batch_items(batch.id, LINES).await?;
    if pending.is_empty() {
        return Ok(());
    }
    let member = match app.store.membership(batch.identity, Service::Video).await?.at(now).active() {
        Ok(member) => member,
        Err(refusal) => {
            let message = format!("{refusal}");
            return stop_lines(app, batch, "permission_revoked", &message, now).await;
        }
    };
    let tier = app.store.project(batch.project).await?.tier;
    let most = (app.store.tier(&tier).await?.quotas.concurrent_jobs / 2).max(1);
    let unfinished = app.store.project_usage(batch.project, now).await?.unfinished_jobs;
    for item in pending.iter().take(most.saturating_sub(unfinished) as usize) {
        if !accept_line(app, batch, member, item).await? {
            break;
        }
    }
    Ok(())
}

/// Whether the next line makes sense: not if the quota is full or something of ours does not work.
async fn accept_line(app: &App, batch: &Batch, member: ActiveMembership, item: &BatchItem) -> Result<bool, StoreError> {
    let line = BatchLine { batch: batch.id, line: item.line };
    match batch_creation(app, member, batch.project, &item.body, line).await {
        Ok(_) => {
            app.worker_signal.job_accepted();
            Ok(true)
        }
        Err((500.., _)) => Ok(false),
        Err((_, error)) if error["code"] == RefusalCode::RateLimitExceeded.as_str() => Ok(false),
        Err((status, error)) => {
            let refused = report::refusal(status, &error);
            app.store.refuse_batch_item(batch.id, item.line, &refused).await?;
            Ok(true)
        }
    }
}

/// Ends what has not ended: lines that wait are refused, clips that are being made are cancelled.
async fn stop_lines(app: &App, batch: &Batch, code: &str, message: &str, now: Timestamp) -> Result<(), StoreError> {
    let refused = report::stopped(code, message);
    loop {
        let pending = app.store.pending_batch_items(batch.id, PAGE).await?;
        if pending.is_empty() {
            break;
        }
        for item in pending {
            app.store.refuse_batch_item(batch.id, item.line, &refused).await?;
        }
    }
    let mut from = 0;
    loop {
        let items = app.store.batch_items(batch.id, from, PAGE).await?;
        let Some(last) = items.last() else { break };
        from = last.line + 1;
        for id in items.iter().filter_map(|item| item.generation) {
            match app.store.cancel(batch.project, id, now).await {
                Ok(_) | Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    app.worker_signal.cancel_asked();
    Ok(())
}

/// Writes the output file and the error file, those that have a line, and names them. Doing it again writes the same files.
async fn write_files(app: &App, batch: &Batch, now: Timestamp) -> Result<(), StoreError> {
    let mut report = Report::default();
    let mut from = 0;
    loop {
        let items = app.store.batch_items(batch.id, from, PAGE).await?;
        let Some(last) = items.last() else { break };
        from = last.line + 1;
        for item in &items {
            let ended = match item.generation {
                None => Ended::Refused(item.error.as_deref().unwrap_or_default()),
                Some(id) => match app.store.generation(batch.project, id).await {
                    Ok(generation) => Ended::Video(Box::new(generation)),
                    Err(StoreError::NotFound(_)) => Ended::Deleted,
                    Err(error) => return Err(error),
                },
            };
            report.line(batch.id, item, ended);
        }
    }
    let output = write_file(app, batch, "output", report.output, now).await?;
    let errors = write_file(app, batch, "error", report.errors, now).await?;
    app.store.set_batch_files(batch.id, output, errors).await
}

async fn write_file(
    app: &App,
    batch: &Batch,
    name: &str,
    content: Vec<u8>,
    now: Timestamp,
) -> Result<Option<FileId>, StoreError> {
    if content.is_empty() {
        return Ok(None);
    }
    let id = FileId::derived(batch.id.bytes(), name);
    match app.store.file(batch.project, id).await {
        Ok(_) => return Ok(Some(id)),
        Err(StoreError::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let identity = app.store.project(batch.project).await?.owner;
    let subject = Subject { identity, service: Service::Api, since: batch.created_at };
    let file = File {
        id,
        project: batch.project,
        filename: format!("{}_{name}.jsonl", batch.id),
        purpose: "batch_output".into(),
        media_type: "application/jsonl".into(),
        size_bytes: content.len() as u64,
        key: app.objects.put_upload(subject, &id, content.into()).await?,
        created_at: now,
        expires_at: None,
    };
    app.store.create_file(&file).await?;
    Ok(Some(id))
}
