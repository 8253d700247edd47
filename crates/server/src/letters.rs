//! Letters on their way: written into a row by whatever has something to say, sent here, tried again until they are taken.

use std::time::Duration;

use platform::LetterId;
use store::{Letter, StoreError, WaitingLetter};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::statements;

/// Letters under way at one time. A mail server has less patience with many connections than a web server.
const AT_ONCE: u32 = 4;
/// How often the loop looks for what is due.
const EVERY: Duration = Duration::from_secs(1);

/// Sends what is due until it is told to stop. Several nodes can do it at once. Says at start if letters would not be taken.
pub async fn run(app: &App, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        checked = app.mail.check() => if let Err(error) = checked {
            let words = "letters would not be taken now: mail_url, mail_user and mail_password say where they go. They wait for 72 hours";
            tracing::error!(error = &error as &dyn std::error::Error, "{words}");
        },
    }
    while !stop.is_cancelled() {
        if let Err(error) = statements::post_due(app).await {
            tracing::error!(error = &error as &dyn std::error::Error, "letters about decisions were not written");
        }
        match deliver_due(app).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "letters could not be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// Puts a letter on its way.
///
/// # Errors
/// [`StoreError`]. The mail server is nobody's concern here.
pub async fn post(app: &App, to: &str, subject: &str, body: String) -> Result<(), StoreError> {
    app.store.create_letter(&letter(app, to, subject, body)).await
}

/// A letter of this moment, for whoever keeps it in the transaction of what it tells.
pub(crate) fn letter(app: &App, to: impl Into<String>, subject: impl Into<String>, body: String) -> Letter {
    let at = app.now();
    Letter { id: LetterId::new(at, app.random()), to: to.into(), subject: subject.into(), body, at }
}

/// Sends what is due now, each once; says how many that were.
///
/// # Errors
/// [`StoreError`]. What was sent and could not be noted is sent again, under the same id.
pub async fn deliver_due(app: &App) -> Result<usize, StoreError> {
    let due = app.store.claim_letters(AT_ONCE, app.now()).await?;
    let count = due.len();
    let mut sending: JoinSet<_> = due
        .into_iter()
        .map(|waiting| {
            let app = app.clone();
            async move { deliver(&app, &waiting).await }
        })
        .collect();
    while let Some(sent) = sending.join_next().await {
        // A panic is this letter's alone; its claim runs out and it is sent again.
        if let Ok(noted) = sent {
            noted?;
        }
    }
    Ok(count)
}

async fn deliver(app: &App, waiting: &WaitingLetter) -> Result<(), StoreError> {
    let id = waiting.letter.id;
    let Err(error) = app.mail.send(&waiting.letter).await else { return app.store.letter_done(id).await };
    let again = match error.is_final() {
        true => app.store.letter_done(id).await.map(|()| None)?,
        false => app.store.letter_failed(waiting, app.now()).await?,
    };
    // Whom it is to is not told: logs are read by many.
    let error = &error as &dyn std::error::Error;
    match again {
        Some(_) => {
            tracing::warn!(%id, error, attempts = waiting.failed_attempts + 1, "a letter waits for another attempt")
        }
        None => tracing::error!(%id, error, "a letter was given up"),
    }
    Ok(())
}
