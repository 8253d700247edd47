//! What must be done now and then: dead workers' jobs taken up again, media, files and what lies in the trash deleted when their time
//! is over.

use std::time::Duration;

use platform::{TRASH_TIME, Timestamp, Trigger};
use store::{Discarded, StoreError};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::closures;
use crate::http::likeness::after_withdrawal;
use crate::http::videos::purge_videos;
use crate::key_letters;
use crate::sunsets;
use crate::web::write_notice_letters;
use crate::{recognise, statements, takedowns};

/// How often dead workers are looked for.
const EVERY: Duration = Duration::from_secs(5);
/// How long after its end a lease still counts, because clocks of machines differ.
const GRACE: Duration = Duration::from_secs(5);
/// Things of one kind done in one round, so that no transaction is long.
const AT_ONCE: u32 = 100;
/// How often aliases are read again.
const SELDOM: Duration = Duration::from_secs(60);
/// How often it is looked whose keys end soon and whose week is over.
const LETTERS: Duration = Duration::from_secs(15 * 60);

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Jobs whose workers were gone: queued again or ended.
    pub jobs: u32,
    /// Clips that went from the trash.
    pub trash: usize,
    /// Things of any other kind whose time was over.
    pub purged: u64,
    /// Challenges of likenesses that nobody answered.
    pub challenges: usize,
    /// Services and accounts that were ended.
    pub closures: usize,
    /// Archives that could be fetched no longer, and what came of those that were brought.
    pub archives: usize,
    /// Restrictions and suspensions whose time was over.
    pub limits: usize,
    /// Appeals that are late, and what was done for notices.
    pub alarms: usize,
    /// Folders of objects that were deleted.
    pub prefixes: usize,
}

/// Tidies until it is told to stop. Several nodes can do it at once.
pub async fn run(app: &App, stop: &CancellationToken) {
    let (mut seldom_at, mut letters_at) = (Timestamp::default(), Timestamp::default());
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
        if now.since(letters_at) >= LETTERS {
            letters_at = now;
            if let Err(error) = key_letters::post_due(app).await {
                tracing::error!(error = &error as &dyn std::error::Error, "letters about keys were not written");
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
    let schedule = &app.settings.schedule;
    let kept = schedule.keep("clips", Trigger::Deleted).unwrap_or(TRASH_TIME);
    let trash = purge_videos(app, Discarded::Until(now - kept)).await?;
    let purged = app.store.run_schedule(schedule, AT_ONCE, now).await?;
    for (class, count) in &purged {
        tracing::info!(class, count, "kept no longer");
    }
    let likeness = app.store.lapse_challenges(now, AT_ONCE).await?;
    for lapsed in app.store.lapse_likenesses(now, AT_ONCE).await? {
        if let Err(error) = after_withdrawal(app, &lapsed).await {
            tracing::error!(error = error.message(), "a likeness whose consent has ended was not tidied up");
        }
    }
    let closures = closures::finish_due(app).await?;
    let archives = app.store.expire_exports(now).await? + app.store.expire_imports(now).await?;
    let limits = app.store.end_limits(now, AT_ONCE).await?;
    if limits > 0 {
        app.keys.clear();
    }
    let alarms = statements::watch(app).await? + takedowns::watch(app).await?;
    // A place of objects that does not answer keeps nothing else waiting.
    if let Err(error) = recognise::look_at_older(&app.store, &app.objects).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "clips in which someone appears were not looked at yet"
        );
    }
    let mut prefixes = 0;
    for prefix in app.store.object_deletions(AT_ONCE).await? {
        if let Err(error) = app.objects.delete_under(&prefix).await {
            // It stays asked for; the others are not to wait for it.
            tracing::warn!(error = &error as &dyn std::error::Error, %prefix, "objects were not deleted yet");
            continue;
        }
        app.store.object_deletion_done(&prefix).await?;
        prefixes += 1;
    }
    let jobs = reaped.requeued + reaped.failed + reaped.cancelled;
    let purged = purged.iter().map(|(_, count)| count).sum();
    Ok(Tidied { jobs, trash, purged, challenges: likeness, closures, archives, limits, alarms, prefixes })
}

/// What changes seldom: other nodes' aliases are read, letters of news are written.
///
/// # Errors
/// [`StoreError`]; what was done stays done.
pub async fn refresh(app: &App) -> Result<(), StoreError> {
    write_notice_letters(app).await?;
    sunsets::write_letters(app).await?;
    app.reload_sunsets().await?;
    app.reload_catalogue().await
}
