//! The evidence kit, for whoever is signed in: those too whose services are suspended or closing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc;

use crate::app::App;
use crate::clock::rfc3339;
use crate::evidence::{KitError, write_kit};
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;

/// Pieces of a kit that wait for whoever downloads it.
const PIECES: usize = 4;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/account/evidence", Access::Person, retrieve_evidence)
            .says("Downloads the evidence kit: what the installation knows about one, as a ZIP whose index is signed.")
            .answers_bytes(&["application/zip"]),
    ]
}

async fn retrieve_evidence(State(app): State<App>, person: Person) -> Result<Response, ApiError> {
    let busy = |_| ApiError::unavailable("Other evidence kits are being written: try again in a moment.");
    let permit = Arc::clone(&app.evidence).try_acquire_owned().map_err(busy)?;
    let (sink, pieces) = mpsc::channel(PIECES);
    let name = format!("misora-evidence-{}.zip", &rfc3339(app.now())[..10]);
    tokio::spawn(async move {
        let outcome = write_kit(&app, person.identity(), &sink).await;
        drop(permit);
        if let Err(error) = outcome
            && !matches!(error, KitError::Gone)
        {
            tracing::error!(error = &error as &dyn std::error::Error, "an evidence kit was not finished");
            // The answer began long ago: all that can be said is that it breaks off.
            let _ = sink.send(Err(std::io::Error::other("the kit was not finished"))).await;
        }
    });
    let pieces = stream::unfold(pieces, async |mut pieces| pieces.recv().await.map(|piece| (piece, pieces)));
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
