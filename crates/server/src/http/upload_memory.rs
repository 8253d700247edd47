//! One budget for the bodies that lie in memory, of all requests together. Whoever comes when it is used up is told to come again.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::http::error::ApiError;

/// So much of each body is not counted: requests without files go on when uploads have used the budget up.
const FREE_BYTES: usize = 64 * 1024;

/// The budget, in bytes.
#[derive(Debug)]
pub(crate) struct UploadMemory(Arc<Semaphore>);

/// What one request holds of the budget, until it is answered.
#[derive(Default)]
struct Held {
    free: usize,
    permit: Option<OwnedSemaphorePermit>,
    refused: bool,
}

/// The body was cut because the budget is used up.
#[derive(Debug, thiserror::Error)]
#[error("there is no memory for more uploads")]
struct Full;

impl UploadMemory {
    pub(crate) fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(bytes)))
    }
}

impl Held {
    /// Takes room for so many bytes more; false if there is none.
    fn take(&mut self, memory: &Arc<Semaphore>, bytes: usize) -> bool {
        let counted = bytes.saturating_sub(self.free);
        self.free -= bytes - counted;
        // A piece of a body is never near 4 GB.
        match Arc::clone(memory).try_acquire_many_owned(u32::try_from(counted).unwrap_or(u32::MAX)) {
            Ok(more) => match &mut self.permit {
                Some(permit) => permit.merge(more),
                None => self.permit = Some(more),
            },
            Err(_) => self.refused = true,
        }
        !self.refused
    }
}

/// Counts a body's bytes as they come, and gives them back once its request is answered.
pub(crate) async fn count_body(State(app): State<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let held = Arc::new(Mutex::new(Held { free: FREE_BYTES, ..Held::default() }));
    let (counting, memory) = (Arc::clone(&held), Arc::clone(&app.uploads.0));
    let counted = body.into_data_stream().map_err(axum::BoxError::from).map(move |piece: Result<Bytes, _>| {
        let piece = piece?;
        let mut held = counting.lock().unwrap_or_else(PoisonError::into_inner);
        if held.take(&memory, piece.len()) { Ok(piece) } else { Err(axum::BoxError::from(Full)) }
    });
    let response = next.run(Request::from_parts(parts, Body::from_stream(counted))).await;
    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
    if held.refused { ApiError::uploads_full().into_response() } else { response }
}
