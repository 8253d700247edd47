//! Folders of a library, and what one clip is to its maker: a favourite, in a folder.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use platform::{FolderId, FolderName, Service, VideoId};
use store::StoreError;

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::page::Id;
use crate::web::clip::own;
use crate::web::library::{Asked, folder_of};
use crate::web::{Fields, Page, Viewer, go, post, wants_json};

pub(super) fn pages() -> Vec<Page> {
    vec![
        post("/library/folders", Viewer::Person, create_folder),
        post("/library/folders/{id}/rename", Viewer::Person, rename_folder),
        post("/library/folders/{id}/delete", Viewer::Person, delete_folder),
        post("/clips/{id}/favourite", Viewer::Person, set_favourite),
        post("/clips/{id}/move", Viewer::Person, move_clip),
    ]
}

/// Says in the library what came of a folder's name.
fn said(back: &Asked, done: &str, result: Result<(), StoreError>) -> Result<Response, ApiError> {
    match result {
        Ok(()) => Ok(back.saying(done)),
        Err(StoreError::Exists(_)) => Ok(back.saying("folder_exists")),
        Err(StoreError::State { .. }) => Ok(back.saying("folders_full")),
        Err(error) => Err(error.into()),
    }
}

async fn create_folder(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let back = Asked::back(&form)?.unwrap_or_default();
    let Ok(name) = FolderName::parse(form.text("name")?.unwrap_or_default()) else {
        return Ok(back.saying("folder_name"));
    };
    let now = app.now();
    let id = FolderId::new(now, app.random());
    let made = app.store.create_folder(person.identity(), id, &name, now).await;
    let there = if made.is_ok() { Asked::folder(id) } else { back };
    said(&there, "folder_made", made)
}

async fn rename_folder(
    State(app): State<App>,
    person: Person,
    Id(id): Id<FolderId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    // Whose it is not learns nothing of it, whatever name they sent.
    if !app.store.folders(person.identity()).await?.iter().any(|folder| folder.id == id) {
        return Err(ApiError::not_found("folder"));
    }
    let back = Asked::folder(id);
    match FolderName::parse(form.text("name")?.unwrap_or_default()) {
        Ok(name) => said(&back, "folder_renamed", app.store.rename_folder(person.identity(), id, &name).await),
        Err(_) => Ok(back.saying("folder_name")),
    }
}

async fn delete_folder(State(app): State<App>, person: Person, Id(id): Id<FolderId>) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    app.store.delete_folder(person.identity(), id).await?;
    Ok(Asked::default().saying("folder_deleted"))
}

async fn set_favourite(
    State(app): State<App>,
    person: Person,
    Id(id): Id<VideoId>,
    headers: HeaderMap,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    own(&app, &person, id).await?;
    let favourite = form.flag("on")?.unwrap_or(true);
    app.store.set_favourites(person.identity(), &[id], favourite).await?;
    if wants_json(&headers) {
        return Ok(Json(serde_json::json!({ "favourite": favourite })).into_response());
    }
    Ok(go(&match Asked::back(&form)? {
        Some(back) => format!("{}#{id}", back.path(&[])),
        None => format!("/clips/{id}"),
    }))
}

async fn move_clip(
    State(app): State<App>,
    person: Person,
    Id(id): Id<VideoId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    own(&app, &person, id).await?;
    app.store.move_to_folder(person.identity(), &[id], folder_of(&form)?).await?;
    Ok(go(&format!("/clips/{id}")))
}
