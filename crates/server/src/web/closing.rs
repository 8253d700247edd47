//! The end of a service or of the account: what goes and what stays, before; the way back, after; and how long everything is kept.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{Owner, ReceiptId, Service, Timestamp};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::closures::{
    close_account, close_service, erase_account, erase_service, preview, retrieve_receipt, undo_account, undo_service,
};
use crate::http::error::ApiError;
use crate::http::memberships::ServiceInPath;
use crate::web::account::megabytes;
use crate::web::guard::Visitor;
use crate::web::shell::{Here, Moment, Shell, html};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, after_form, get, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/services/{service}/close", Viewer::Person, show_service),
        post("/account/services/{service}/close", Viewer::Person, close),
        post("/account/services/{service}/undo", Viewer::Person, undo),
        post("/account/services/{service}/erase", Viewer::Person, erase),
        get("/account/close", Viewer::Person, show_account),
        post("/account/close", Viewer::Person, close_all),
        post("/account/undo", Viewer::Person, undo_all),
        post("/account/erase", Viewer::Person, erase_all),
        get("/account/receipts/{id}", Viewer::Person, retrieve_receipt),
        get("/retention", Viewer::Anyone, show_retention),
    ]
}

/// A class of data with how much of it there is.
struct ClassView {
    name: &'static str,
    count: u64,
    /// Megabytes, if it has media.
    size: Option<String>,
}

#[derive(Template)]
#[template(path = "closing.html")]
struct ClosingPage {
    shell: Shell,
    /// Where the forms go, without a slash at the end.
    place: String,
    /// What must be typed.
    word: String,
    /// The name of what ends.
    name: String,
    closing: bool,
    until: Moment,
    goes: Vec<ClassView>,
    keys: Vec<String>,
    /// Services that stay, by their names.
    stays: Vec<&'static str>,
    whole_account: bool,
    said: Option<String>,
}

/// The name of a class.
fn class_name(words: &Words, class: &str) -> &'static str {
    words.say(&format!("class.{class}"))
}

async fn page(app: &App, visitor: &Visitor, person: &Person, owner: Owner) -> Result<ClosingPage, ApiError> {
    let words = visitor.words;
    let preview = preview(app, person, owner).await?;
    let service_name = |service: &str| words.say(&format!("service.{service}"));
    let (place, word, name) = match owner {
        Owner::Service(service) => {
            let name = service_name(service.as_str()).to_owned();
            (format!("/account/services/{service}"), service.as_str().to_owned(), name)
        }
        Owner::Account | Owner::Installation => {
            let email = app.store.identity(person.identity()).await?.email;
            ("/account".to_owned(), email, words.say("closing.account").to_owned())
        }
    };
    let view = |goes: &crate::http::closures::Goes| ClassView {
        name: class_name(words, &goes.class),
        count: goes.count,
        size: (goes.bytes > 0).then(|| megabytes(goes.bytes)),
    };
    Ok(ClosingPage {
        shell: Shell::new(app, visitor, "closing.title", Here::Account),
        place,
        word,
        name,
        closing: preview.is_closing(),
        until: Moment::of(Timestamp::from_seconds(preview.erase_at)),
        goes: preview.goes.iter().map(view).collect(),
        keys: preview.keys.iter().map(|key| format!("{} ({})", key.name, key.project)).collect(),
        stays: preview.not_affected.iter().map(|service| service_name(service)).collect(),
        whole_account: owner == Owner::Account,
        said: None,
    })
}

async fn show_service(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Response, ApiError> {
    Ok(html(&page(&app, &visitor, &person, Owner::Service(service)).await?))
}

async fn show_account(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    Ok(html(&page(&app, &visitor, &person, Owner::Account).await?))
}

/// Shows what is so now, or what went wrong.
async fn done<T>(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    owner: Owner,
    result: Result<T, ApiError>,
) -> Result<Response, ApiError> {
    let page = page(app, visitor, person, owner);
    after_form(visitor, result, "/account?notice=service", page, |page, said| page.said = Some(said)).await
}

async fn close(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    ServiceInPath(service): ServiceInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let closed = close_service(State(app.clone()), person.clone(), ServiceInPath(service), form).await;
    done(&app, &visitor, &person, Owner::Service(service), closed).await
}

async fn undo(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Response, ApiError> {
    let undone = undo_service(State(app.clone()), person.clone(), ServiceInPath(service)).await;
    done(&app, &visitor, &person, Owner::Service(service), undone).await
}

async fn erase(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    ServiceInPath(service): ServiceInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let erased = erase_service(State(app.clone()), person.clone(), ServiceInPath(service), form).await;
    done(&app, &visitor, &person, Owner::Service(service), erased).await
}

async fn close_all(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let closed = close_account(State(app.clone()), person.clone(), form).await;
    done(&app, &visitor, &person, Owner::Account, closed).await
}

async fn undo_all(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    let undone = undo_account(State(app.clone()), person.clone()).await;
    done(&app, &visitor, &person, Owner::Account, undone).await
}

async fn erase_all(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let erased = erase_account(State(app.clone()), person.clone(), form).await;
    done(&app, &visitor, &person, Owner::Account, erased).await
}

/// A receipt on the account page.
pub(super) struct ReceiptView {
    pub(super) id: ReceiptId,
    pub(super) of: &'static str,
    pub(super) complete: bool,
    pub(super) at: Moment,
}

/// Someone's receipts, for the account page.
pub(super) async fn receipts(app: &App, words: &Words, person: &Person) -> Result<Vec<ReceiptView>, ApiError> {
    let receipts = app.store.receipts(person.identity()).await?;
    let view = |receipt: &store::Receipt| ReceiptView {
        id: receipt.id,
        of: match receipt.owner {
            Owner::Service(service) => words.say(&format!("service.{service}")),
            Owner::Account | Owner::Installation => words.say("closing.account"),
        },
        complete: receipt.complete,
        at: Moment::of(receipt.written_at),
    };
    Ok(receipts.iter().map(view).collect())
}

struct KeptView {
    name: &'static str,
    what: String,
    rules: Vec<RuleView>,
    in_backups: bool,
}

struct RuleView {
    after: &'static str,
    days: String,
    ground: String,
}

struct OwnerView {
    name: &'static str,
    classes: Vec<KeptView>,
}

#[derive(Template)]
#[template(path = "retention.html")]
struct RetentionPage {
    shell: Shell,
    owners: Vec<OwnerView>,
}

async fn show_retention(State(app): State<App>, visitor: Visitor) -> Result<Response, ApiError> {
    let words = visitor.words;
    let rule = |rule: &platform::Rule| RuleView {
        after: words.say(&format!("keeps.{}", rule.trigger.as_str())),
        days: format!("{}", (rule.keep.as_secs_f64() / 864.0).round() / 100.0),
        ground: rule.ground.clone(),
    };
    let schedule = &app.settings.schedule;
    let owners = [Owner::Account].into_iter().chain(Service::ALL.map(Owner::Service)).chain([Owner::Installation]);
    let view = |owner: Owner| OwnerView {
        name: words.say(&format!("service.{}", owner.as_str())),
        classes: schedule
            .classes()
            .iter()
            .filter(|class| class.owner == owner)
            .map(|class| KeptView {
                name: class_name(words, &class.name),
                what: class.what.clone(),
                rules: class.rules.iter().map(rule).collect(),
                in_backups: class.in_backups,
            })
            .collect(),
    };
    let owners = owners.map(view).filter(|owner| !owner.classes.is_empty()).collect();
    Ok(html(&RetentionPage { shell: Shell::new(&app, &visitor, "retention.title", Here::Nowhere), owners }))
}
