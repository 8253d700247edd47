//! The ends of services and accounts: looked at before, asked for, taken back, hurried; receipts; and the retention schedule.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use platform::{MembershipEvent, Owner, ReceiptId, Service, Timestamp};
use serde::Serialize;
use store::Undone;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::Done;
use crate::http::auth::{Access, Person, not_ended};
use crate::http::endpoint::{BodyKind, Endpoint, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::memberships::{ServiceInPath, ShownMembership};
use crate::http::page::{Id, List};
use crate::letters;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/memberships/{service}/join", Access::Person, join_service)
            .says("Joins a service.")
            .answers::<ShownMembership>(),
        get("/api/memberships/{service}/closing", Access::Person, preview_service)
            .says("What the end of a service would take, what it would not, and until when it can be taken back.")
            .answers::<Preview>(),
        post("/api/memberships/{service}/close", Access::Person, close_service)
            .says("Ends a membership and nothing else. Can be taken back for a while; needs a fresh sign-in.")
            .reads::<Close>(BodyKind::Json)
            .answers::<ShownMembership>(),
        post("/api/memberships/{service}/undo", Access::Person, undo_service)
            .says("Takes back the end of a membership.")
            .answers::<ShownMembership>(),
        post("/api/memberships/{service}/erase", Access::Person, erase_service)
            .says("Does not wait any longer before an end that was asked for. Needs a fresh sign-in.")
            .reads::<Close>(BodyKind::Json)
            .answers::<Done>(),
        get("/api/account/closing", Access::Person, preview_account)
            .says("What the end of the account would take.")
            .answers::<Preview>(),
        post("/api/account/close", Access::Person, close_account)
            .says("Ends the account with all of its services. Can be taken back for a while; needs a fresh sign-in.")
            .reads::<Close>(BodyKind::Json)
            .answers::<Preview>(),
        post("/api/account/undo", Access::Person, undo_account)
            .says("Takes back the end of the account.")
            .answers::<Done>(),
        post("/api/account/erase", Access::Person, erase_account)
            .says("Does not wait any longer before the end of the account. Needs a fresh sign-in.")
            .reads::<Close>(BodyKind::Json)
            .answers::<Done>(),
        get("/api/receipts", Access::Person, list_receipts)
            .says("Receipts of what was erased, the newest first.")
            .answers_list::<ShownReceipt>(),
        get("/api/receipts/{id}", Access::Person, retrieve_receipt)
            .says("A receipt as a signed file; `misora verify` reads it anywhere.")
            .answers_bytes(&["application/jose+json"]),
        get("/.well-known/retention.json", Access::Open, show_retention)
            .says("How long this installation keeps what: the file that its purger runs.")
            .answers_bytes(&["application/json"]),
    ]
}

/// An end.
#[derive(Serialize, ToSchema)]
pub(crate) struct Close {
    /// Typed again: the service's name, or for the account its address.
    confirm: String,
}

/// What an end takes and what it leaves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Preview {
    /// Always `closing`.
    object: &'static str,
    /// What ends: a service, or `account`.
    owner: &'static str,
    /// `open`, or `closing` if it was asked for already.
    state: &'static str,
    /// Unix seconds until which it can be taken back: if it was asked for, or if it were now.
    pub(crate) erase_at: i64,
    /// What goes, class by class.
    pub(crate) goes: Vec<Goes>,
    /// Keys that stop at once.
    pub(crate) keys: Vec<StoppedKey>,
    /// Services of this person that are not affected.
    pub(crate) not_affected: Vec<&'static str>,
    /// The same as a sentence.
    sentence: String,
}

impl Preview {
    /// Whether the end was asked for already.
    pub(crate) fn is_closing(&self) -> bool {
        self.state == "closing"
    }
}

/// How much of a class goes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Goes {
    /// The class's name in the retention schedule.
    pub(crate) class: String,
    /// What it is.
    pub(crate) what: String,
    /// How many.
    pub(crate) count: u64,
    /// Bytes of media.
    pub(crate) bytes: u64,
}

/// A key that stops.
#[derive(Serialize, ToSchema)]
pub(crate) struct StoppedKey {
    /// Its id.
    id: String,
    /// What its owner calls it.
    pub(crate) name: String,
    /// Its project's name.
    pub(crate) project: String,
}

/// A receipt.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownReceipt {
    /// Its id.
    id: String,
    /// Always `receipt`.
    object: &'static str,
    /// Of which service, or `account`.
    owner: &'static str,
    /// Whether every place confirmed.
    complete: bool,
    /// Unix seconds.
    created_at: i64,
}

/// What the end of an owner would take from someone.
pub(crate) async fn preview(app: &App, person: &Person, owner: Owner) -> Result<Preview, ApiError> {
    let (identity, now) = (person.identity(), app.now());
    let closure = app.store.closure(identity, owner).await?;
    let classes = app.settings.schedule.classes();
    let owners: Vec<Owner> = match owner {
        Owner::Account => Service::ALL.map(Owner::Service).into_iter().chain([Owner::Account]).collect(),
        one => vec![one],
    };
    let mut goes = Vec::new();
    for owner in owners {
        for held in app.store.held(identity, owner).await? {
            let what = classes.iter().find(|class| class.name == held.class).map(|class| class.what.clone());
            goes.push(Goes { what: what.unwrap_or_default(), class: held.class, count: held.count, bytes: held.bytes });
        }
    }
    let mut keys = Vec::new();
    if matches!(owner, Owner::Account | Owner::Service(Service::Api | Service::Video)) {
        for project in app.store.projects(identity).await? {
            for key in app.store.api_keys(project.id).await? {
                if key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now) {
                    keys.push(StoppedKey { id: key.id.to_string(), name: key.name, project: project.name.clone() });
                }
            }
        }
    }
    let open = |service: &Service| {
        owner != Owner::Account
            && owner != Owner::Service(*service)
            && (person.membership(*service).readable().is_ok() || person.membership(*service).limit().is_some())
    };
    let not_affected: Vec<_> = Service::ALL.into_iter().filter(open).map(Service::as_str).collect();
    let sentence = match (owner, not_affected.as_slice()) {
        (Owner::Account, _) => "Everything here ends, and nothing anywhere else.".to_owned(),
        (_, []) => "Your account is not affected.".to_owned(),
        (_, services) => format!("These services are not affected: {}. Your account stays.", services.join(", ")),
    };
    Ok(Preview {
        object: "closing",
        owner: owner.as_str(),
        state: if closure.is_some() { "closing" } else { "open" },
        erase_at: closure
            .map_or_else(|| now + app.settings.schedule.undo_window(owner), |closure| closure.erase_at)
            .seconds(),
        goes,
        keys,
        not_affected,
        sentence,
    })
}

async fn preview_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Json<Preview>, ApiError> {
    Ok(Json(preview(&app, &person, Owner::Service(service)).await?))
}

async fn preview_account(State(app): State<App>, person: Person) -> Result<Json<Preview>, ApiError> {
    Ok(Json(preview(&app, &person, Owner::Account).await?))
}

/// Refuses unless the word was typed.
fn typed(form: &Form, word: &str) -> Result<(), ApiError> {
    if form.needed_text("confirm")?.trim().eq_ignore_ascii_case(word) {
        return Ok(());
    }
    Err(ApiError::invalid("confirm", format!("Type '{word}' to confirm.")))
}

async fn shown(app: &App, person: &Person, service: Service) -> Result<Json<ShownMembership>, ApiError> {
    app.keys.clear();
    Ok(Json(ShownMembership::from(&app.store.membership(person.identity(), service).await?)))
}

/// Tells someone by letter that something of theirs ends, as long as it can be taken back.
async fn tell(app: &App, person: &Person, what: &str, erase_at: Timestamp) -> Result<(), ApiError> {
    let identity = app.store.identity(person.identity()).await?;
    let date = time::OffsetDateTime::from_unix_timestamp(erase_at.seconds()).map(|moment| moment.date().to_string());
    let body = format!(
        "You asked to end {what} at {base}. Until {date} you can take it back, and everything is as it was: sign in and open\n\n\
         {base}/account\n\nAfter that it is erased, and you get a signed receipt. If it was not you, take it back and change your password.",
        base = app.settings.base_url,
        date = date.unwrap_or_default(),
    );
    Ok(letters::post(app, &identity.email, &format!("You asked to end {what}"), body).await?)
}

pub(crate) async fn close_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
    form: Form,
) -> Result<Json<ShownMembership>, ApiError> {
    let now = app.now();
    person.fresh(now)?;
    typed(&form, service.as_str())?;
    let erase_at = now + app.settings.schedule.undo_window(Owner::Service(service));
    app.store.close_service(person.identity(), service, erase_at, now).await?;
    tell(&app, &person, &format!("the service '{service}'"), erase_at).await?;
    shown(&app, &person, service).await
}

pub(crate) async fn undo_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Json<ShownMembership>, ApiError> {
    undo(&app, &person, Owner::Service(service)).await?;
    shown(&app, &person, service).await
}

pub(crate) async fn erase_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    person.fresh(app.now())?;
    typed(&form, service.as_str())?;
    app.store.erase_now(person.identity(), Owner::Service(service), app.now()).await?;
    Ok(Json(Done::new()))
}

pub(crate) async fn close_account(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<Preview>, ApiError> {
    let now = app.now();
    person.fresh(now)?;
    typed(&form, &app.store.identity(person.identity()).await?.email)?;
    let erase_at = now + app.settings.schedule.undo_window(Owner::Account);
    app.store.close_account(person.identity(), erase_at, now).await?;
    app.keys.clear();
    tell(&app, &person, "your account with everything in it", erase_at).await?;
    Ok(Json(preview(&app, &person, Owner::Account).await?))
}

pub(crate) async fn undo_account(State(app): State<App>, person: Person) -> Result<Json<Done>, ApiError> {
    undo(&app, &person, Owner::Account).await?;
    app.keys.clear();
    Ok(Json(Done::new()))
}

pub(crate) async fn erase_account(State(app): State<App>, person: Person, form: Form) -> Result<Json<Done>, ApiError> {
    person.fresh(app.now())?;
    typed(&form, &app.store.identity(person.identity()).await?.email)?;
    app.store.erase_now(person.identity(), Owner::Account, app.now()).await?;
    Ok(Json(Done::new()))
}

async fn undo(app: &App, person: &Person, owner: Owner) -> Result<(), ApiError> {
    match app.store.undo_closure(person.identity(), owner, app.now()).await? {
        Undone::Back => Ok(()),
        Undone::TooLate => Err(ApiError::state("There is no end to take back, or it has begun to be carried out.")),
    }
}

/// Joins a service; not while the account ends.
pub(crate) async fn join_service(
    State(app): State<App>,
    person: Person,
    ServiceInPath(service): ServiceInPath,
) -> Result<Json<ShownMembership>, ApiError> {
    not_ended(&app, service)?;
    if app.store.closure(person.identity(), Owner::Account).await?.is_some() {
        return Err(ApiError::state("Your account is closing. Take that back first."));
    }
    app.store.change_membership(person.identity(), service, MembershipEvent::Join, app.now()).await?;
    shown(&app, &person, service).await
}

async fn list_receipts(State(app): State<App>, person: Person) -> Result<Json<List<ShownReceipt>>, ApiError> {
    let receipts = app.store.receipts(person.identity()).await?;
    let shown = |receipt: &store::Receipt| ShownReceipt {
        id: receipt.id.to_string(),
        object: "receipt",
        owner: receipt.owner.as_str(),
        complete: receipt.complete,
        created_at: receipt.written_at.seconds(),
    };
    Ok(Json(List::new(receipts.iter().map(shown).collect(), |receipt: &ShownReceipt| receipt.id.clone(), false)))
}

pub(crate) async fn retrieve_receipt(
    State(app): State<App>,
    person: Person,
    Id(id): Id<ReceiptId>,
) -> Result<Response, ApiError> {
    let receipt = app.store.receipt(id).await?;
    if receipt.identity != person.identity() {
        return Err(ApiError::not_found("receipt"));
    }
    let name = format!("attachment; filename=\"{id}.json\"");
    let headers = [(header::CONTENT_TYPE, "application/jose+json".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, receipt.body).into_response())
}

async fn show_retention(State(app): State<App>) -> Response {
    let body = format!("{:#}\n", store::write_schedule(&app.settings.schedule));
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=3600")], body)
        .into_response()
}
