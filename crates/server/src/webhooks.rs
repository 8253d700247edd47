//! Webhooks on their way: what is due is signed anew and sent; what was not taken is sent again later, with the same id.

use std::time::Duration;

use platform::{BatchId, Event, EventType, VideoId};
use store::{Delivery, StoreError, WebhookEndpoint};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, FetchError, Outgoing};

/// Deliveries under way at one time. All of them end within the minute that a claim lasts.
const AT_ONCE: u32 = 32;
/// How often the loop looks for what is due.
const EVERY: Duration = Duration::from_secs(1);

/// Delivers what is due until it is told to stop. Several nodes can do it at once.
pub async fn run(app: &App, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match deliver_due(app).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "webhooks could not be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// Sends what is due now, each once; says how many that were.
///
/// # Errors
/// [`StoreError`]. What was sent and could not be noted is sent again, with the same id.
pub async fn deliver_due(app: &App) -> Result<usize, StoreError> {
    let due = app.store.claim_deliveries(AT_ONCE, app.now()).await?;
    let count = due.len();
    let mut sending: JoinSet<_> = due
        .into_iter()
        .map(|delivery| {
            let app = app.clone();
            async move { deliver(&app, &delivery).await }
        })
        .collect();
    while let Some(sent) = sending.join_next().await {
        // A panic is this delivery's alone; its claim runs out and it is sent again.
        if let Ok(noted) = sent {
            noted?;
        }
    }
    Ok(count)
}

async fn deliver(app: &App, delivery: &Delivery) -> Result<(), StoreError> {
    let now = app.now();
    let request = Outgoing {
        url: delivery.endpoint.url.clone(),
        id: delivery.event.to_string(),
        timestamp: now.seconds(),
        signature: delivery.signatures(now),
        body: delivery.body.clone(),
    };
    let answer = app.outbound.post(&request).await;
    let now = app.now();
    match answer {
        Ok(status @ 200..=299) => app.store.delivery_done(delivery, status, now).await,
        answer => {
            let status = answer.as_ref().ok().copied();
            let again = app.store.delivery_failed(delivery, status, now).await?;
            tracing::info!(event = %request.id, ?answer, will_try_again = again.is_some(), "a webhook was not taken");
            Ok(())
        }
    }
}

/// Sends an endpoint a sample of an event, about a thing that does not exist. Once; says the status of the answer.
///
/// # Errors
/// [`FetchError`] if nobody answered.
pub async fn deliver_test(app: &App, endpoint: &WebhookEndpoint, event_type: EventType) -> Result<u16, FetchError> {
    let now = app.now();
    let event = match event_type {
        EventType::VideoCompleted | EventType::VideoFailed => {
            Event::of_video(VideoId::new(now, app.random()), event_type, now)
        }
        _ => Event::of_batch(BatchId::new(now, app.random()), event_type, now),
    };
    let delivery = Delivery {
        event: event.id,
        event_type,
        body: event.body(),
        event_at: now,
        failed_attempts: 0,
        endpoint: endpoint.clone(),
    };
    let request = Outgoing {
        url: endpoint.url.clone(),
        id: event.id.to_string(),
        timestamp: now.seconds(),
        signature: delivery.signatures(now),
        body: delivery.body,
    };
    app.outbound.post(&request).await
}
