//! Files, as far as references and batches need them.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use platform::{FileId, MAX_INPUT_BYTES, Scope, Service, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::content::send_object;
use crate::http::creation::keep_file;
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::{Id, List, Values, one_more};
use crate::http::upload::{clean_clip, clean_picture, media_type};
use crate::http::video_object::Deleted;

const WRITE: Access = Access::Key(Scope::FilesWrite, Needs::Active(Service::Api));
const REMOVE: Access = Access::Key(Scope::FilesWrite, Needs::Readable(Service::Api));
const READ: Access = Access::Key(Scope::FilesRead, Needs::Readable(Service::Api));

/// What a file may be for.
const PURPOSES: [&str; 6] = ["vision", "user_data", "batch", "assistants", "fine-tune", "evals"];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/files", WRITE, create_file)
            .says("Uploads a file. Pictures are written anew and clips lose their user data: no place, no device.")
            .reads::<CreateFile>(BodyKind::Form)
            .answers::<File>(),
        get("/v1/files", READ, list_files)
            .says("Lists files.")
            .query(&[
                ("after", "Begin behind this id."),
                ("limit", "So many at most, 0 to 10000; 20 if it is not said."),
                ("order", "asc or desc by creation; newest first if it is not said."),
                ("purpose", "Of this purpose alone."),
            ])
            .answers_list::<File>(),
        get("/v1/files/{id}", READ, retrieve_file).says("Reads what is known of a file.").answers::<File>(),
        delete("/v1/files/{id}", REMOVE, delete_file).says("Deletes a file.").answers::<Deleted>(),
        get("/v1/files/{id}/content", READ, retrieve_file_content)
            .says("Downloads a file. Ranges work.")
            .answers_bytes(&["*/*"])
            .in_ranges(),
    ]
}

/// A file to upload.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateFile {
    /// The file.
    #[schema(format = Binary)]
    file: String,
    /// `vision`, `user_data`, `batch` and so on.
    purpose: String,
    /// When it goes.
    expires_after: Option<ExpiresAfter>,
}

/// When a file goes.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExpiresAfter {
    /// Always `created_at`.
    anchor: String,
    /// 3,600 to 2,592,000.
    seconds: u64,
}

/// A file.
#[derive(Serialize, ToSchema)]
pub(crate) struct File {
    /// Its id.
    id: String,
    /// Always `file`.
    object: &'static str,
    /// Its size.
    bytes: u64,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; null if it stays.
    expires_at: Option<i64>,
    /// Its name.
    filename: String,
    /// What it is for.
    purpose: String,
    /// Always `processed`.
    status: &'static str,
}

impl From<&store::File> for File {
    fn from(file: &store::File) -> Self {
        Self {
            id: file.id.to_string(),
            object: "file",
            bytes: file.size_bytes,
            created_at: file.created_at.seconds(),
            expires_at: file.expires_at.map(Timestamp::seconds),
            filename: file.filename.clone(),
            purpose: file.purpose.clone(),
            status: "processed",
        }
    }
}

async fn create_file(State(app): State<App>, caller: KeyCaller, form: Form) -> Result<Json<File>, ApiError> {
    caller.active()?;
    let purpose = form.needed_text("purpose")?;
    if !PURPOSES.contains(&purpose) {
        let message = format!("Invalid value for purpose: {purpose:?}. Allowed: {}.", PURPOSES.join(", "));
        return Err(ApiError::invalid("purpose", message));
    }
    let expires_at = read_expiry(&form, app.now())?;
    let upload = match form.field("file") {
        None => return Err(ApiError::missing("file")),
        Some(Field::File(upload)) => upload.clone(),
        Some(_) => return Err(ApiError::wrong_type("file", "a file of a form")),
    };
    if upload.bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(ApiError::too_large(MAX_INPUT_BYTES));
    }
    let (bytes, kind) = match media_type(&upload.bytes) {
        "image/png" | "image/jpeg" | "image/webp" => (clean_picture(upload.bytes, "file").await?.png, "image/png"),
        "video/mp4" => (clean_clip(upload.bytes, "file").await?.0, "video/mp4"),
        _ if purpose == "vision" => {
            return Err(ApiError::invalid("file", "A file for vision must be a JPEG, PNG or WebP picture, or an MP4."));
        }
        kind => (upload.bytes, kind),
    };
    let file = keep_file(&app, caller.project.id, upload.filename, purpose, kind, bytes, expires_at).await?;
    Ok(Json(File::from(&file)))
}

fn read_expiry(form: &Form, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let after = match form.field("expires_after").map(Field::unfolded) {
        None => return Ok(None),
        Some(Field::Object(after)) => after,
        Some(_) => return Err(ApiError::wrong_type("expires_after", "an object with anchor and seconds")),
    };
    if after.text("anchor")?.is_some_and(|anchor| anchor != "created_at") {
        return Err(ApiError::invalid("expires_after.anchor", "The only anchor is created_at."));
    }
    let seconds = after.whole("seconds", 3600, 2_592_000).map_err(|error| error.about("expires_after.seconds"))?;
    let seconds = seconds.ok_or_else(|| ApiError::missing("expires_after.seconds"))?;
    Ok(Some(now + std::time::Duration::from_secs(seconds)))
}

async fn list_files(State(app): State<App>, caller: KeyCaller, values: Values) -> Result<Json<List<File>>, ApiError> {
    let page = values.page_of_at_most(10_000)?;
    let files = app.store.files(caller.project.id, values.get("purpose"), one_more(&page)).await?;
    Ok(Json(List::cut(files, page.limit, |file| File::from(file), |file| file.id.to_string())))
}

async fn retrieve_file(State(app): State<App>, caller: KeyCaller, Id(id): Id<FileId>) -> Result<Json<File>, ApiError> {
    Ok(Json(File::from(&app.store.file(caller.project.id, id).await?)))
}

async fn delete_file(State(app): State<App>, caller: KeyCaller, Id(id): Id<FileId>) -> Result<Json<Deleted>, ApiError> {
    app.store.delete_file(caller.project.id, id, app.now()).await?;
    Ok(Json(Deleted::new(id, "file")))
}

async fn retrieve_file_content(
    State(app): State<App>,
    caller: KeyCaller,
    Id(id): Id<FileId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = app.store.file(caller.project.id, id).await?;
    send_object(&app, &file.key, &file.media_type, &file.filename, &headers).await
}
