//! What must be done now and then: dead workers' jobs taken up again, media, files and what lies in the trash deleted when their time
//! is over.

use std::time::Duration;

use platform::{TRASH_TIME, Timestamp};
use store::{Discarded, StoreError};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::http::videos::purge_videos;

/// How often dead workers are looked for.
const EVERY: Duration = Duration::from_secs(5);
/// How long after its end a lease still counts, because clocks of machines differ.
const GRACE: Duration = Duration::from_secs(5);
/// Things of one kind done in one round, so that no transaction is long.
const AT_ONCE: u32 = 100;
/// How often idempotency keys are forgotten and aliases read again.
const SELDOM: Duration = Duration::from_secs(60);
/// How long whoever comes too late with a link is told so.
const LATE: Duration = Duration::from_secs(7 * 86_400);

/// How long pictures are kept for a repeated request: as long as its idempotency key counts, and a little longer.
const PICTURES: Duration = Duration::from_secs(25 * 3600);

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Jobs whose workers were gone: queued again or ended.
    pub jobs: u32,
    /// Generations whose media went.
    pub media: usize,
    /// Clips that went from the trash.
    pub trash: usize,
    /// Files that went.
    pub files: usize,
    /// Archives that could be fetched no longer, and what came of those that were brought.
    pub archives: usize,
    /// Restrictions and suspensions whose time was over.
    pub limits: usize,
    /// Folders of objects that were deleted.
    pub prefixes: usize,
}

/// Tidies until it is told to stop. Several nodes can do it at once.
pub async fn run(app: &App, stop: &CancellationToken) {
    let mut seldom_at = Timestamp::default();
    while !stop.is_cancelled() {
        if let Err(error) = tidy(app).await {
            tracing::error!(error = &error as &dyn std::error::Error, "tidying up failed");
        }
        let now = app.now();
        if now.since(seldom_at) >= SELDOM {
            seldom_at = now;
            if let Err(error) = refresh(app).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the catalogue was not read again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// One round. What it does not get to is done in the next.
///
/// # Errors
/// [`StoreError`]; what was done stays done.
pub async fn tidy(app: &App) -> Result<Tidied, StoreError> {
    let now = app.now();
    let reaped = app.store.reap(GRACE, AT_ONCE, now).await?;
    if reaped.requeued > 0 {
        tracing::warn!(jobs = reaped.requeued, "jobs of workers that are gone are queued again");
        app.worker_signal.job_accepted();
    }
    let media = app.store.expire_media(now, AT_ONCE).await?;
    let trash = purge_videos(app, Discarded::Until(now - TRASH_TIME)).await?;
    let files = app.store.expire_files(now).await?;
    let archives = app.store.expire_exports(now).await? + app.store.expire_imports(now).await?;
    let limits = app.store.end_limits(now, AT_ONCE).await?;
    if limits > 0 {
        app.keys.clear();
    }
    let mut prefixes = 0;
    for prefix in app.store.object_deletions(AT_ONCE).await? {
        app.objects.delete_under(&prefix).await?;
        app.store.object_deletion_done(&prefix).await?;
        prefixes += 1;
    }
    let jobs = reaped.requeued + reaped.failed + reaped.cancelled;
    Ok(Tidied { jobs, media, trash, files, archives, limits, prefixes })
}

/// What changes seldom: other nodes' aliases are read; old idempotency keys go, and the pictures that were kept for them, and old links.
async fn refresh(app: &App) -> Result<(), StoreError> {
    let now = app.now();
    app.store.forget_idempotency_keys(now).await?;
    app.store.delete_old_pictures(now - PICTURES, AT_ONCE, now).await?;
    app.store.forget_expired_tokens(now - LATE).await?;
    app.reload_catalogue().await
}
