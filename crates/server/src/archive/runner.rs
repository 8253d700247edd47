//! The loop: archives that were asked for are made, archives that came are brought back, and those that go somewhere are sent.

use std::time::Duration;

use futures_util::future::BoxFuture;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::archive::Archivist;
use crate::archive::export::LEASE;
use crate::archive::import::ImportError;
use crate::archive::standing::send_due;

/// How often it is looked whether there is something to do.
const EVERY: Duration = Duration::from_secs(2);
/// How long what failed waits for its next try.
const LATER: Duration = Duration::from_secs(60);

/// Works on archives until it is told to stop. Several nodes can do it at once. Sending goes on beside: a destination that is slow holds up
/// nobody's archive.
pub async fn run(app: &App, stop: &CancellationToken) {
    tokio::join!(looped(app, stop, make_or_bring), looped(app, stop, send));
}

/// One round of something; says whether there was anything to do.
type Round = for<'a> fn(&'a Archivist) -> BoxFuture<'a, Result<bool, StoreError>>;

fn make_or_bring(archivist: &Archivist) -> BoxFuture<'_, Result<bool, StoreError>> {
    Box::pin(async move { Ok(make_one(archivist).await? | bring_one(archivist).await?) })
}

fn send(archivist: &Archivist) -> BoxFuture<'_, Result<bool, StoreError>> {
    Box::pin(send_due(archivist))
}

async fn looped(app: &App, stop: &CancellationToken, round: Round) {
    let archivist = app.archivist();
    while !stop.is_cancelled() {
        // What is cut off here goes on with the next start: every step is written down.
        let worked = tokio::select! {
            () = stop.cancelled() => return,
            worked = round(&archivist) => worked,
        };
        match worked {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "archives do not go on"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// Makes one archive, brings one back, and sends what is due; says whether there was anything.
///
/// # Errors
/// [`StoreError`] if nothing could be claimed. What fails with one archive is logged, and tried again later.
pub async fn work(archivist: &Archivist) -> Result<bool, StoreError> {
    Ok(send_due(archivist).await? | make_or_bring(archivist).await?)
}

async fn make_one(archivist: &Archivist) -> Result<bool, StoreError> {
    let Some(export) = archivist.store.claim_export(LEASE, archivist.now()).await? else { return Ok(false) };
    if let Err(error) = archivist.make_export(&export).await {
        tracing::error!(export = %export.id, error = &error as &dyn std::error::Error, "an archive does not get on");
        let later = archivist.now() + LATER;
        return not_ours(archivist.store.return_export(&export, "It failed, and is tried again.", later).await);
    }
    Ok(true)
}

async fn bring_one(archivist: &Archivist) -> Result<bool, StoreError> {
    let Some(import) = archivist.store.claim_import(LEASE, archivist.now()).await? else { return Ok(false) };
    let outcome = archivist.bring_back(&import).await;
    let now = archivist.now();
    let ended = match outcome {
        Ok(report) => {
            let report = serde_json::to_string(&report).unwrap_or_default();
            archivist.store.end_import(&import, Ok(&report), now).await
        }
        Err(ImportError::Refused(words)) => archivist.store.end_import(&import, Err(&words), now).await,
        Err(error) => {
            tracing::error!(import = %import.id, error = &error as &dyn std::error::Error, "an archive does not come back");
            archivist.store.hold_import(&import, now + LATER).await
        }
    };
    not_ours(ended)
}

/// Another took it over: then it is theirs.
fn not_ours(result: Result<(), StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(()) | Err(StoreError::State { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
