//! The models on offer, under their own names and the aliases that clients know.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::extract::State;
use axum::http::request::Parts;
use platform::{Catalogue, ModelName, Scope, Service, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;
use crate::http::page::path_texts;

const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Api));

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/models", READ, list_models).says("Lists the models on offer.").answers::<Models>(),
        get("/v1/models/{*model}", READ, retrieve_model).says("Reads one of them.").answers::<Model>(),
    ]
}

/// All models.
#[derive(Serialize, ToSchema)]
pub(crate) struct Models {
    /// Always `list`.
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

/// A model or an alias of one.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    /// What requests call it.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Unix seconds at which the model was made.
    created: i64,
    /// Who runs it.
    owned_by: &'static str,
    /// The model's own name; the same as `id` if it is no alias.
    model: String,
    /// Sizes on offer, the default first.
    sizes: Vec<String>,
    /// Unix seconds at which its end was announced; null if it has none.
    deprecated_at: Option<i64>,
    /// Unix seconds at which it makes nothing new any more; null if it has no end.
    sunset_at: Option<i64>,
    /// Where to go on instead.
    successor: Option<String>,
}

struct NameInPath(String);

impl<S: Send + Sync> FromRequestParts<S> for NameInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(path_texts(parts, state).await.into_iter().next().unwrap_or_default()))
    }
}

async fn list_models(State(app): State<App>, caller: KeyCaller) -> Json<Models> {
    let catalogue = app.catalogue();
    let sunsets = catalogue.offers().iter().filter_map(|offer| app.model_sunset(&offer.name));
    caller.tell_of(sunsets.min_by_key(|sunset| sunset.ends_at));
    let models = catalogue.names().filter_map(|name| show(&app, &catalogue, name.as_str()));
    Json(Models { object: "list", data: models.collect() })
}

async fn retrieve_model(
    State(app): State<App>,
    caller: KeyCaller,
    NameInPath(name): NameInPath,
) -> Result<Json<Model>, ApiError> {
    let shown: String = name.chars().take(80).collect();
    let missing = || ApiError::no_model(&shown);
    let catalogue = app.catalogue();
    if let Ok((_, offer)) = catalogue.resolve(Some(&name)) {
        caller.tell_of(app.model_sunset(&offer.name));
    }
    show(&app, &catalogue, &name).map(Json).ok_or_else(missing)
}

fn show(app: &App, catalogue: &Catalogue, name: &str) -> Option<Model> {
    let (name, offer): (ModelName, _) = catalogue.resolve(Some(name)).ok()?;
    let sunset = app.model_sunset(&offer.name);
    Some(Model {
        id: name.to_string(),
        object: "model",
        created: offer.made_at.seconds(),
        owned_by: "misora",
        model: offer.name.to_string(),
        sizes: offer.sizes().iter().map(ToString::to_string).collect(),
        deprecated_at: sunset.as_ref().and_then(|sunset| sunset.announced_at).map(Timestamp::seconds),
        sunset_at: sunset.as_ref().map(|sunset| sunset.ends_at.seconds()),
        successor: sunset.map(|sunset| sunset.successor).filter(|successor| !successor.is_empty()),
    })
}
