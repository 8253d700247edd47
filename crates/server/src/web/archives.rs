//! Leaving and arriving, on one page: archives to fetch, archives to bring.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use platform::{DestinationId, ExportId, ImportId};
use store::ExportState;

use crate::app::App;
use crate::archive::{FOLDER, read_day};
use crate::http::auth::Person;
use crate::http::destinations::{create_destination, delete_destination};
use crate::http::error::ApiError;
use crate::http::exports::{create_export, delete_export, retrieve_export_content};
use crate::http::form::Field;
use crate::http::imports::{create_import, delete_import, report_of};
use crate::http::page::{Id, Values};
use crate::web::account::megabytes;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::{Fields, Page, Viewer, after_form, get, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/export", Viewer::Person, show_archives),
        post("/account/export", Viewer::Person, ask),
        get("/account/export/{id}/content", Viewer::Person, fetch),
        post("/account/export/{id}/delete", Viewer::Person, delete_one),
        post("/account/import", Viewer::Person, bring).with_archive(),
        post("/account/import/{id}/delete", Viewer::Person, forget),
        post("/account/destination", Viewer::Person, send_to),
        post("/account/destination/{id}/delete", Viewer::Person, stop_sending),
    ]
}

struct ExportView {
    id: String,
    services: String,
    asked: Moment,
    until: Moment,
    state_words: &'static str,
    /// Whether it is there to fetch.
    ready: bool,
    /// Whether it is still being made.
    open: bool,
    done: u64,
    total: u64,
    megabytes: String,
    sha256: String,
}

struct ImportView {
    id: String,
    filename: String,
    asked: Moment,
    state_words: &'static str,
    said: String,
}

struct DestinationView {
    id: String,
    place: String,
    last: Option<Moment>,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "archives.html")]
struct ArchivesPage {
    shell: Shell,
    exports: Vec<ExportView>,
    imports: Vec<ImportView>,
    destinations: Vec<DestinationView>,
    notice: Option<&'static str>,
    said: Option<String>,
}

async fn archives_page(app: &App, visitor: &Visitor, person: &Person) -> Result<ArchivesPage, ApiError> {
    let words = visitor.words;
    let exports = app.store.exports(person.identity()).await?;
    let imports = app.store.imports(person.identity()).await?;
    let destinations = app.store.destinations(person.identity()).await?;
    let show_destination = |one: &store::Destination| DestinationView {
        id: one.id.to_string(),
        // Where things lie on the server is the operator's alone.
        place: if one.kind == FOLDER { words.say("archive.folder").to_owned() } else { one.place.clone() },
        last: one.last_at.map(Moment::of),
        error: one.error.clone(),
    };
    let show_export = |export: &store::Export| {
        let names = export.services.iter().map(|owner| match owner.as_str() {
            "account" => words.say("archive.account"),
            owner => words.say(&format!("service.{owner}")),
        });
        ExportView {
            id: export.id.to_string(),
            services: names.collect::<Vec<_>>().join(", "),
            asked: Moment::of(export.asked_at),
            until: Moment::of(export.expires_at),
            state_words: words.say(&format!("archive.is_{}", export.state.as_str())),
            ready: export.state == ExportState::Ready,
            open: !matches!(export.state, ExportState::Ready | ExportState::Failed),
            done: export.done,
            total: export.total.max(1),
            megabytes: megabytes(export.size_bytes.unwrap_or(0)),
            sha256: export.sha256.clone().unwrap_or_default(),
        }
    };
    let show_import = |import: &store::Import| {
        let said = match (report_of(import), &import.error) {
            (Some(report), _) => {
                let there: u64 = report.classes.iter().map(|class| class.there).sum();
                let left = report.classes.iter().flat_map(|class| &class.left_out).map(|left| left.count);
                words.fill("archive.came_back", &[&report.added(), &there, &left.sum::<u64>()])
            }
            (None, Some(error)) => error.clone(),
            (None, None) => String::new(),
        };
        ImportView {
            id: import.id.to_string(),
            filename: import.filename.clone(),
            asked: Moment::of(import.asked_at),
            state_words: words.say(&format!("archive.is_{}", import.state.as_str())),
            said,
        }
    };
    Ok(ArchivesPage {
        shell: Shell::new(app, visitor, "archive.title", Here::Account),
        exports: exports.iter().map(show_export).collect(),
        imports: imports.iter().map(show_import).collect(),
        destinations: destinations.iter().map(show_destination).collect(),
        notice: None,
        said: None,
    })
}

async fn show_archives(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let notice = match values.get("notice") {
        Some("asked") => Some(visitor.words.say("archive.asked")),
        Some("brought") => Some(visitor.words.say("archive.brought")),
        Some("sent") => Some(visitor.words.say("archive.sent")),
        Some("deleted") => Some(visitor.words.say("archive.deleted")),
        _ => None,
    };
    Ok(html(&ArchivesPage { notice, ..archives_page(&app, &visitor, &person).await? }))
}

/// Goes back to the page, or shows it with what went wrong.
async fn done<T>(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    result: Result<T, ApiError>,
    notice: &str,
) -> Result<Response, ApiError> {
    match result {
        // Whose it is not learns nothing of it.
        Err(error) if error.code() == Some("not_found") => Err(error),
        result => {
            let page = archives_page(app, visitor, person);
            let to = format!("/account/export?notice={notice}");
            after_form(visitor, result, &to, page, |page, said| page.said = Some(said)).await
        }
    }
}

async fn ask(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    if form.text("services")? == Some("all") {
        form.take("services");
    }
    if let Some(day) = form.text("since")? {
        let seconds = read_day(day).map_or(String::from("-"), |at| at.seconds().to_string());
        form.set("since", Field::Number(seconds));
    }
    let asked = create_export(State(app.clone()), person.clone(), form).await;
    done(&app, &visitor, &person, asked, "asked").await
}

async fn fetch(
    State(app): State<App>,
    person: Person,
    id: Id<ExportId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    retrieve_export_content(State(app), person, id, headers).await
}

async fn delete_one(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<ExportId>,
) -> Result<Response, ApiError> {
    let deleted = delete_export(State(app.clone()), person.clone(), id).await;
    done(&app, &visitor, &person, deleted, "deleted").await
}

async fn bring(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    request: Request,
) -> Result<Response, ApiError> {
    let brought = create_import(State(app.clone()), person.clone(), request).await;
    done(&app, &visitor, &person, brought, "brought").await
}

async fn forget(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<ImportId>,
) -> Result<Response, ApiError> {
    let forgotten = delete_import(State(app.clone()), person.clone(), id).await;
    done(&app, &visitor, &person, forgotten, "deleted").await
}

async fn send_to(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let set = create_destination(State(app.clone()), person.clone(), form).await;
    done(&app, &visitor, &person, set, "sent").await
}

async fn stop_sending(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<DestinationId>,
) -> Result<Response, ApiError> {
    let stopped = delete_destination(State(app.clone()), person.clone(), id).await;
    done(&app, &visitor, &person, stopped, "deleted").await
}
