//! Batches: many creations from one file.

use axum::Json;
use axum::extract::State;
use platform::{BatchEvent, BatchId, BatchState, FileId, Scope, Service, Timestamp};
use serde::{Deserialize, Serialize};
use store::{BatchCounts, NewBatch, StoreError};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{BodyKind, Endpoint, get, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::{Id, List, Values, one_more};
use crate::http::videos::PAGE;

const MAKE: Access = Access::Key(Scope::BatchesWrite, Needs::Active(Service::Video));
const STOP: Access = Access::Key(Scope::BatchesWrite, Needs::Readable(Service::Video));
const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Video));

/// The longest metadata, as JSON.
const MAX_METADATA: usize = 16 * 1024;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/batches", MAKE, create_batch)
            .says("Makes a video of every line of an uploaded JSONL file.")
            .reads::<CreateBatch>(BodyKind::Json)
            .answers::<Batch>(),
        get("/v1/batches", READ, list_batches).says("Lists batches.").query(PAGE).answers_list::<Batch>(),
        get("/v1/batches/{id}", READ, retrieve_batch).says("Reads a batch.").answers::<Batch>(),
        post("/v1/batches/{id}/cancel", STOP, cancel_batch)
            .says("Stops a batch; what was made stays.")
            .answers::<Batch>(),
    ]
}

/// A batch to begin.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateBatch {
    /// A file of purpose `batch`.
    input_file_id: String,
    /// Always `/v1/videos`.
    endpoint: String,
    /// Always `24h`.
    completion_window: String,
    /// The caller's own words.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
}

/// A batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct Batch {
    /// Its id.
    id: String,
    /// Always `batch`.
    object: &'static str,
    /// Always `/v1/videos`.
    endpoint: &'static str,
    /// Why its file could not be read.
    errors: Option<BatchErrors>,
    /// What to make.
    input_file_id: String,
    /// Always `24h`.
    completion_window: &'static str,
    /// `validating`, `failed`, `in_progress`, `finalizing`, `completed`, `expired`, `cancelling` or `cancelled`.
    status: &'static str,
    /// What came of it.
    output_file_id: Option<String>,
    /// Lines that were refused.
    error_file_id: Option<String>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    in_progress_at: Option<i64>,
    /// Unix seconds.
    expires_at: i64,
    /// Unix seconds.
    finalizing_at: Option<i64>,
    /// Unix seconds.
    completed_at: Option<i64>,
    /// Unix seconds.
    failed_at: Option<i64>,
    /// Unix seconds.
    expired_at: Option<i64>,
    /// Unix seconds.
    cancelling_at: Option<i64>,
    /// Unix seconds.
    cancelled_at: Option<i64>,
    /// How far it is.
    request_counts: RequestCounts,
    /// The caller's own words.
    #[schema(value_type = Option<Object>)]
    metadata: serde_json::Value,
}

/// Why a file could not be read.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchErrors {
    /// Always `list`.
    object: &'static str,
    /// The errors.
    data: Vec<BatchError>,
}

/// A mistake in a file.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct BatchError {
    /// A stable word, such as `invalid_json_line` or `duplicate_custom_id`.
    code: String,
    /// A sentence.
    message: String,
    /// Null.
    param: Option<String>,
    /// The line, from 1; null if it is the whole file.
    line: Option<u32>,
}

/// Lines of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct RequestCounts {
    /// All.
    total: u64,
    /// Whose video is there.
    completed: u64,
    /// Refused, failed or cancelled.
    failed: u64,
}

async fn create_batch(State(app): State<App>, caller: KeyCaller, form: Form) -> Result<Json<Batch>, ApiError> {
    caller.active()?;
    let endpoint = form.needed_text("endpoint")?;
    if endpoint != "/v1/videos" {
        return Err(ApiError::invalid("endpoint", "The only endpoint of batches is /v1/videos."));
    }
    if form.needed_text("completion_window")? != "24h" {
        return Err(ApiError::invalid("completion_window", "The only completion window is 24h."));
    }
    let text = form.needed_text("input_file_id")?;
    let unknown = || ApiError::invalid("input_file_id", "There is no such file.");
    let input: FileId = text.parse().map_err(|_| unknown())?;
    let file = match app.store.file(caller.project.id, input).await {
        Err(StoreError::NotFound(_)) => return Err(unknown()),
        file => file?,
    };
    if file.purpose != "batch" {
        return Err(ApiError::invalid("input_file_id", "The file of a batch has the purpose batch."));
    }
    let metadata = match form.field("metadata").map(Field::unfolded) {
        None => "{}".to_owned(),
        Some(object @ Field::Object(_)) => object.json().to_string(),
        Some(_) => return Err(ApiError::wrong_type("metadata", "an object")),
    };
    if metadata.len() > MAX_METADATA {
        return Err(ApiError::invalid("metadata", format!("'metadata' may have {MAX_METADATA} bytes of JSON.")));
    }
    let now = app.now();
    let (id, project, identity) = (BatchId::new(now, app.random()), caller.project.id, caller.identity());
    app.store.create_batch(&NewBatch { id, project, identity, input_file: input, metadata }, now).await?;
    show(&app, app.store.batch(project, id).await?).await.map(Json)
}

async fn list_batches(
    State(app): State<App>,
    caller: KeyCaller,
    values: Values,
) -> Result<Json<List<Batch>>, ApiError> {
    let page = values.page()?;
    let mut batches = app.store.batches(caller.project.id, one_more(&page)).await?;
    let has_more = batches.len() > page.limit as usize;
    batches.truncate(page.limit as usize);
    let mut shown = Vec::new();
    for batch in batches {
        shown.push(show(&app, batch).await?);
    }
    Ok(Json(List::new(shown, |batch| batch.id.clone(), has_more)))
}

async fn retrieve_batch(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<BatchId>,
) -> Result<Json<Batch>, ApiError> {
    show(&app, app.store.batch(caller.project.id, id).await?).await.map(Json)
}

async fn cancel_batch(State(app): State<App>, caller: KeyCaller, Id(id): Id<BatchId>) -> Result<Json<Batch>, ApiError> {
    let batch = app.store.batch(caller.project.id, id).await?;
    if !batch.state.is_final() && batch.state != BatchState::Cancelling {
        app.store.change_batch(id, BatchEvent::Cancel, app.now()).await?;
    }
    show(&app, app.store.batch(caller.project.id, id).await?).await.map(Json)
}

async fn show(app: &App, batch: store::Batch) -> Result<Batch, ApiError> {
    let BatchCounts { total, completed, failed } = app.store.batch_counts(batch.id).await?;
    let ended = |state| batch.ended_at.filter(|_| batch.state == state).map(Timestamp::seconds);
    // The batch loop writes them in this form.
    let read = |errors: &String| serde_json::from_str(errors).unwrap_or_default();
    Ok(Batch {
        id: batch.id.to_string(),
        object: "batch",
        endpoint: "/v1/videos",
        errors: batch.error.as_ref().map(|errors| BatchErrors { object: "list", data: read(errors) }),
        input_file_id: batch.input_file.to_string(),
        completion_window: "24h",
        status: batch.state.as_str(),
        output_file_id: batch.output_file.map(|file| file.to_string()),
        error_file_id: batch.error_file.map(|file| file.to_string()),
        created_at: batch.created_at.seconds(),
        in_progress_at: batch.in_progress_at.map(Timestamp::seconds),
        expires_at: batch.expires_at.seconds(),
        finalizing_at: batch.finalizing_at.map(Timestamp::seconds),
        completed_at: ended(BatchState::Completed),
        failed_at: ended(BatchState::Failed),
        expired_at: ended(BatchState::Expired),
        cancelling_at: batch.cancelling_at.map(Timestamp::seconds),
        cancelled_at: ended(BatchState::Cancelled),
        request_counts: RequestCounts { total, completed, failed },
        metadata: serde_json::from_str(&batch.metadata).unwrap_or_default(),
    })
}
