//! What someone made: a grid to look through, search and filter, and what can be done with many clips at once.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{FolderId, MAX_PICKED, Service, TRASH_DAYS, Timestamp, VideoId};
use store::{Discarded, Folder, LibraryFilter, LibraryPlace, LibraryState, Shape, StoreError};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::Values;
use crate::http::videos::{PURGED_AT_ONCE, purge_videos};
use crate::web::clip::ClipView;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/library", Viewer::Person, show_library),
        post("/library/clips", Viewer::Person, change_clips),
        post("/library/undo", Viewer::Person, undo_trash),
        post("/library/trash/empty", Viewer::Person, empty_trash),
    ]
}

/// Clips on a page.
const PAGE: u32 = 24;

/// What is said after a form, and whether it was done.
const NOTICES: [(&str, bool); 15] = [
    ("favourite", true),
    ("unfavourite", true),
    ("moved", true),
    ("restored", true),
    ("purged", true),
    ("unposted", true),
    ("folder_made", true),
    ("folder_renamed", true),
    ("folder_deleted", true),
    ("folder_exists", false),
    ("folder_name", false),
    ("folders_full", false),
    ("none_picked", false),
    ("too_many", false),
    ("unfinished", false),
];

/// What is looked at: the page's query, read and written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    words: Option<String>,
    state: Option<LibraryState>,
    shape: Option<Shape>,
    favourites: bool,
    folder: Option<FolderId>,
    place: LibraryPlace,
    after: Option<VideoId>,
}

impl Asked {
    fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Self {
        let words = value("q").map(str::trim).filter(|words| !words.is_empty());
        Self {
            words: words.map(str::to_owned),
            state: LibraryState::ALL.into_iter().find(|state| Some(state.as_str()) == value("state")),
            shape: Shape::ALL.into_iter().find(|shape| Some(shape.as_str()) == value("shape")),
            favourites: value("only") == Some("favourites"),
            folder: value("folder").and_then(|text| text.parse().ok()),
            place: if value("in") == Some("trash") { LibraryPlace::Trash } else { LibraryPlace::Library },
            after: value("after").and_then(|text| text.parse().ok()),
        }
    }

    /// A folder.
    pub(super) fn folder(id: FolderId) -> Self {
        Self { folder: Some(id), ..Self::default() }
    }

    /// Where a form came from, as it says; nothing if it says nothing. Whatever else it says leads to the library.
    pub(super) fn back(form: &Form) -> Result<Option<Self>, ApiError> {
        let Some(back) = form.text("back")? else { return Ok(None) };
        let query = back.split_once('?').map_or("", |(_, query)| query);
        let values: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Some(Self::read(|name| values.get(name).map(String::as_str))))
    }

    /// The address of this, and something more in its query.
    pub(super) fn path(&self, more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let folder = self.folder.map(|id| id.to_string());
        let after = self.after.map(|id| id.to_string());
        let pairs = [
            ("q", self.words.as_deref()),
            ("state", self.state.map(LibraryState::as_str)),
            ("shape", self.shape.map(Shape::as_str)),
            ("only", self.favourites.then_some("favourites")),
            ("folder", folder.as_deref()),
            ("in", (self.place == LibraryPlace::Trash).then_some("trash")),
            ("after", after.as_deref()),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let query = query.extend_pairs(more).finish();
        if query.is_empty() { "/library".into() } else { format!("/library?{query}") }
    }

    /// Back to this, from its first page, with something said.
    pub(super) fn saying(&self, notice: &str) -> Response {
        go(&Self { after: None, ..self.clone() }.path(&[("notice", notice)]))
    }

    fn filter(&self) -> LibraryFilter<'_> {
        LibraryFilter {
            words: self.words.as_deref(),
            state: self.state,
            shape: self.shape,
            favourites: self.favourites,
            folder: self.folder,
            place: self.place,
        }
    }

    /// Whether this is one of the page's places as it stands: everything, favourites, a folder or the trash.
    fn is_plain(&self) -> bool {
        self.words.is_none() && self.state.is_none() && self.shape.is_none() && self.after.is_none()
    }
}

/// What is said after a form.
struct Notice {
    said: String,
    good: bool,
    /// The moment of the act that can be taken back.
    undo: Option<i64>,
}

/// A folder as pages show it.
pub(super) struct FolderView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) clips: u64,
    pub(super) chosen: bool,
}

impl FolderView {
    pub(super) fn new(folder: &Folder, chosen: Option<FolderId>) -> Self {
        Self {
            id: folder.id.to_string(),
            name: folder.name.as_str().to_owned(),
            clips: folder.clips,
            chosen: chosen == Some(folder.id),
        }
    }
}

#[derive(Template)]
#[template(path = "library.html")]
struct LibraryPage {
    shell: Shell,
    clips: Vec<ClipView>,
    words: String,
    /// Value, message, whether it is chosen.
    states: Vec<(&'static str, &'static str, bool)>,
    shapes: Vec<(&'static str, &'static str, bool)>,
    folders: Vec<FolderView>,
    favourites: bool,
    trash: bool,
    plain: bool,
    older: Option<String>,
    back: String,
    days: u64,
    notice: Option<Notice>,
}

impl LibraryPage {
    /// The folder that is looked at.
    fn folder(&self) -> Option<&FolderView> {
        self.folders.iter().find(|folder| folder.chosen)
    }
}

async fn show_library(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let me = person.identity();
    let asked = Asked::read(|name| values.get(name));
    let folders = app.store.folders(me).await?;
    if asked.folder.is_some_and(|id| folders.iter().all(|folder| folder.id != id)) {
        return Err(ApiError::not_found("folder"));
    }
    let page = app.store.library(me, asked.filter(), asked.after, PAGE).await?;
    let older = page.generations.last().filter(|_| page.has_more);
    let words = visitor.words;
    let states = LibraryState::ALL
        .map(|one| (one.as_str(), words.say(&format!("state.{}", one.as_str())), asked.state == Some(one)));
    let shapes =
        Shape::ALL.map(|one| (one.as_str(), words.say(&format!("shape.{}", one.as_str())), asked.shape == Some(one)));
    let trash = asked.place == LibraryPlace::Trash;
    Ok(html(&LibraryPage {
        shell: if trash {
            Shell::new(&app, &visitor, "trash.title", Here::Library)
        } else {
            Shell::new(&app, &visitor, "library.title", Here::Library)
        },
        clips: page.generations.iter().map(|generation| ClipView::new(&app, words, generation)).collect(),
        words: asked.words.clone().unwrap_or_default(),
        states: states.into(),
        shapes: shapes.into(),
        folders: folders.iter().map(|folder| FolderView::new(folder, asked.folder)).collect(),
        favourites: asked.favourites,
        trash,
        plain: asked.is_plain(),
        older: older.map(|last| Asked { after: Some(last.id), ..asked.clone() }.path(&[])),
        back: asked.path(&[]),
        days: TRASH_DAYS,
        notice: notice(&app, words, &person, &values).await?,
    }))
}

async fn notice(app: &App, words: &Words, person: &Person, values: &Values) -> Result<Option<Notice>, ApiError> {
    let asked = values.get("notice");
    if asked == Some("trashed") {
        let Some(at) = values.get("at").and_then(|text| text.parse().ok()) else { return Ok(None) };
        // After it was taken back there is nothing to say.
        let count = app.store.trashed_at_once(person.identity(), Timestamp::from_micros(at)).await?;
        let said = words.fill("library.trashed", &[&count, &TRASH_DAYS]);
        return Ok((count > 0).then_some(Notice { said, good: true, undo: Some(at) }));
    }
    let known = NOTICES.into_iter().find(|(word, _)| Some(*word) == asked);
    Ok(known.map(|(word, good)| {
        let said = words.fill(&format!("notice.{word}"), &[&MAX_PICKED]);
        Notice { said, good, undo: None }
    }))
}

/// Puts clips into the trash and says so where the person came from, with the way back.
pub(super) async fn throw_away(
    app: &App,
    person: &Person,
    clips: &[VideoId],
    back: &Asked,
) -> Result<Response, ApiError> {
    let now = app.now();
    match app.store.trash(person.identity(), clips, now).await {
        Ok(_) => {
            let back = Asked { after: None, ..back.clone() };
            Ok(go(&back.path(&[("notice", "trashed"), ("at", &now.micros().to_string())])))
        }
        Err(StoreError::State { .. }) => Ok(back.saying("unfinished")),
        Err(error) => Err(error.into()),
    }
}

/// Does one thing with all clips that were picked. Those that are not the person's are passed over, and nobody learns whether they are.
async fn change_clips(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let me = person.identity();
    let back = Asked::back(&form)?.unwrap_or_default();
    let picked = form.texts("clip")?.unwrap_or_default();
    if picked.len() > MAX_PICKED {
        return Ok(back.saying("too_many"));
    }
    let clips: Vec<VideoId> = picked.iter().filter_map(|text| text.parse().ok()).collect();
    if clips.is_empty() {
        return Ok(back.saying("none_picked"));
    }
    match form.needed_text("do")? {
        act @ ("favourite" | "unfavourite") => {
            app.store.set_favourites(me, &clips, act == "favourite").await?;
            Ok(back.saying(act))
        }
        "move" => {
            app.store.move_to_folder(me, &clips, folder_of(&form)?).await?;
            Ok(back.saying("moved"))
        }
        "trash" => throw_away(&app, &person, &clips, &back).await,
        "restore" => {
            app.store.restore(me, &clips).await?;
            Ok(back.saying("restored"))
        }
        "purge" => {
            purge_videos(&app, Discarded::These(me, &clips)).await?;
            Ok(back.saying("purged"))
        }
        _ => Err(ApiError::invalid("do", "'do' must be favourite, unfavourite, move, trash, restore or purge.")),
    }
}

/// The folder that a form names; none means out of any.
pub(super) fn folder_of(form: &Form) -> Result<Option<FolderId>, ApiError> {
    match form.text("folder")? {
        None | Some("none") => Ok(None),
        Some(id) => crate::http::page::path_id(id).map(Some),
    }
}

async fn undo_trash(State(app): State<App>, person: Person, Fields(form): Fields) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let back = Asked::back(&form)?.unwrap_or_default();
    let at = form.needed_text("at")?.parse().map_err(|_| ApiError::invalid("at", "'at' must be a moment."))?;
    let restored = app.store.undo_trash(person.identity(), Timestamp::from_micros(at)).await?;
    Ok(if restored > 0 { back.saying("restored") } else { go(&back.path(&[])) })
}

async fn empty_trash(State(app): State<App>, person: Person) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    while purge_videos(&app, Discarded::AllOf(person.identity())).await? >= PURGED_AT_ONCE as usize {}
    Ok(Asked { place: LibraryPlace::Trash, ..Asked::default() }.saying("purged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_the_library_and_nothing_else() {
        let back = |text: &str| {
            let form = form_urlencoded::Serializer::new(String::new()).append_pair("back", text).finish();
            Asked::back(&Form::from_url_encoded(form.as_bytes()).unwrap()).unwrap().unwrap().path(&[])
        };
        assert_eq!(back("/library?in=trash&q=a+%26+b&state=completed"), "/library?q=a+%26+b&state=completed&in=trash");
        assert_eq!(back("/library?only=favourites&shape=square"), "/library?shape=square&only=favourites");
        let folder = format!("/library?folder={}", FolderId::from_bytes([7; 16]));
        assert_eq!(back(&folder), folder);
        for strange in ["https://evil.example/?x=y", "//evil.example", "/library?folder=x&q=&after=\r\nSet-Cookie:a=b"]
        {
            assert_eq!(back(strange), "/library", "{strange}");
        }
    }
}
