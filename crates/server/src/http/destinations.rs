//! Where one's archives go by themselves: a bucket or a WebDAV folder of one's own, elsewhere.

use axum::Json;
use axum::extract::State;
use platform::{DestinationId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::archive::{BucketSecret, OWNERS, S3, WEBDAV, WebDavLogin, WebDavSecret, webdav_folder};
use crate::http::auth::{Access, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List};
use crate::http::video_object::Deleted;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/destinations", Access::Person, create_destination)
            .says("Sends one's archives into a bucket or a WebDAV folder, again and again, each with what is new. Needs a fresh sign-in.")
            .reads::<CreateDestination>(BodyKind::Json)
            .answers::<Destination>(),
        get("/api/destinations", Access::Person, list_destinations)
            .says("Lists where one's archives go.")
            .answers_list::<Destination>(),
        delete("/api/destinations/{id}", Access::Person, delete_destination)
            .says("Sends no more archives there. What is there stays.")
            .answers::<Deleted>(),
    ]
}

/// Where archives are to go.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateDestination {
    /// `s3`, which it is if nothing is said, or `webdav`.
    kind: Option<String>,
    /// The bucket's name; needed for `s3`.
    bucket: Option<String>,
    /// Where in it.
    prefix: Option<String>,
    /// Its region; `us-east-1` if it is not said.
    region: Option<String>,
    /// The https address of the store; Amazon's own if it is not said.
    endpoint: Option<String>,
    /// Access key; needed for `s3`.
    access_key_id: Option<String>,
    /// Secret key; needed for `s3`. It is kept sealed and never shown.
    secret_access_key: Option<String>,
    /// The https address of the folder; needed for `webdav`. It is made if it is missing.
    url: Option<String>,
    /// Who writes there. Needed for `webdav`, unless there is a token.
    user: Option<String>,
    /// Their password, best one for this alone. It is kept sealed and never shown.
    password: Option<String>,
    /// What is sent as a bearer in the place of user and password. It is kept sealed and never shown.
    token: Option<String>,
    /// Days from one archive to the next, 1 to 90; 1 if it is not said.
    every_days: Option<u32>,
}

/// Where archives go.
#[derive(Serialize, ToSchema)]
pub(crate) struct Destination {
    /// Its id.
    id: String,
    /// Always `destination`.
    object: &'static str,
    /// `s3`, `webdav`; or `folder`, which an operator set.
    kind: String,
    /// The bucket, and behind a slash where in it; the address of a WebDAV folder; null for a folder.
    place: Option<String>,
    /// Days from one archive to the next.
    every_days: u32,
    /// Unix seconds at which the last archive arrived.
    last_at: Option<i64>,
    /// Unix seconds at which it is looked after next.
    next_at: i64,
    /// Why the last archive did not arrive.
    error: Option<String>,
    /// Unix seconds.
    created_at: i64,
}

impl From<&store::Destination> for Destination {
    fn from(destination: &store::Destination) -> Self {
        Self {
            id: destination.id.to_string(),
            object: "destination",
            kind: destination.kind.clone(),
            // Where things lie on the server is the operator's alone.
            place: Some(destination.place.clone()).filter(|_| destination.kind == S3 || destination.kind == WEBDAV),
            every_days: destination.every_days,
            last_at: destination.last_at.map(Timestamp::seconds),
            next_at: destination.next_at.seconds(),
            error: destination.error.clone(),
            created_at: destination.created_at.seconds(),
        }
    }
}

/// The most destinations of one person.
const MAX_DESTINATIONS: usize = 3;

pub(crate) async fn create_destination(
    State(app): State<App>,
    person: Person,
    form: Form,
) -> Result<Json<Destination>, ApiError> {
    let (identity, now) = (person.identity(), app.now());
    person.fresh(now)?;
    let (kind, place, secret) = match form.text("kind")? {
        None | Some(S3) => {
            let (place, secret) = bucket(&app, &form)?;
            (S3, place, secret)
        }
        Some(WEBDAV) => {
            let (place, secret) = webdav(&app, &form)?;
            (WEBDAV, place, secret)
        }
        Some(_) => return Err(ApiError::invalid("kind", "'kind' may be s3 or webdav.")),
    };
    let every_days = form.whole("every_days", 1, 90)?.unwrap_or(1);
    if app.store.destinations(identity).await?.len() >= MAX_DESTINATIONS {
        return Err(ApiError::state(format!("There are {MAX_DESTINATIONS} destinations: remove one first.")));
    }
    let destination = store::Destination {
        id: DestinationId::new(now, app.random()),
        identity,
        kind: kind.into(),
        place,
        secret: Some(secret),
        services: OWNERS.map(str::to_owned).into(),
        every_days: u32::try_from(every_days).unwrap_or(1),
        next_at: now,
        last_at: None,
        error: None,
        created_at: now,
    };
    app.store.create_destination(&destination).await?;
    Ok(Json(Destination::from(&destination)))
}

/// A bucket, and behind a slash where in it; and what it asks for, to be sealed.
fn bucket(app: &App, form: &Form) -> Result<(String, String), ApiError> {
    let bucket = word(form, "bucket", "a-z, 0-9, dots and dashes", ".-")?.ok_or_else(|| ApiError::missing("bucket"))?;
    let prefix = word(form, "prefix", "a-z, 0-9, dots, dashes and slashes", "._-/")?;
    // The name becomes part of the store's address.
    let region = word(form, "region", "a-z, 0-9 and dashes", "-")?.unwrap_or_else(|| "us-east-1".into());
    let endpoint = form.text("endpoint")?.map(|address| address.trim_end_matches('/').to_owned());
    if let Err(error) = app.outbound.bucket_client(endpoint.as_deref()) {
        return Err(ApiError::invalid("endpoint", format!("This address is not spoken to: {error}.")));
    }
    let secret = BucketSecret {
        region,
        endpoint,
        access_key_id: form.needed_text("access_key_id")?.to_owned(),
        secret_access_key: form.needed_text("secret_access_key")?.to_owned(),
        by_operator: false,
    };
    let prefix = prefix.as_deref().unwrap_or("").trim_matches('/').to_owned();
    let place = if prefix.is_empty() { bucket } else { format!("{bucket}/{prefix}") };
    Ok((place, serde_json::to_string(&secret).map_err(|error| ApiError::internal(&error))?))
}

/// A WebDAV folder, and who writes there, to be sealed.
fn webdav(app: &App, form: &Form) -> Result<(String, String), ApiError> {
    let folder = webdav_folder(form.needed_text("url")?).ok_or_else(|| {
        ApiError::invalid("url", "'url' must be the address of a folder, without a password or anything behind it.")
    })?;
    if let Err(error) = app.outbound.bucket_client(Some(folder.as_str())) {
        return Err(ApiError::invalid("url", format!("This address is not spoken to: {error}.")));
    }
    let login = match (form.text("token")?, form.text("user")?) {
        (Some(token), None) => WebDavLogin::Bearer { token: token.to_owned() },
        (None, Some(user)) if !user.contains(':') => {
            WebDavLogin::Basic { user: user.to_owned(), password: form.needed_text("password")?.to_owned() }
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("token", "Say a user with a password or a token, not both."));
        }
        (None, Some(_)) => return Err(ApiError::invalid("user", "'user' has no colon in it.")),
        (None, None) => return Err(ApiError::missing("user")),
    };
    let secret = WebDavSecret { login, by_operator: false };
    Ok((folder.into(), serde_json::to_string(&secret).map_err(|error| ApiError::internal(&error))?))
}

/// A word of small letters, digits and a few marks.
fn word(form: &Form, name: &'static str, allowed: &str, marks: &str) -> Result<Option<String>, ApiError> {
    let Some(text) = form.text(name)? else { return Ok(None) };
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || marks.contains(letter);
    let is_plain = (1..=200).contains(&text.len()) && text.chars().all(fits) && !text.contains("..");
    if is_plain {
        Ok(Some(text.to_owned()))
    } else {
        Err(ApiError::invalid(name, format!("'{name}' may hold {allowed}.")))
    }
}

async fn list_destinations(State(app): State<App>, person: Person) -> Result<Json<List<Destination>>, ApiError> {
    let destinations = app.store.destinations(person.identity()).await?;
    Ok(Json(List::new(destinations.iter().map(Destination::from).collect(), |one| one.id.clone(), false)))
}

pub(crate) async fn delete_destination(
    State(app): State<App>,
    person: Person,
    Id(id): Id<DestinationId>,
) -> Result<Json<Deleted>, ApiError> {
    app.store.delete_destination(person.identity(), id).await?;
    Ok(Json(Deleted::new(id, "destination.deleted")))
}
