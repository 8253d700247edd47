//! What the policy says of a text, in the API's words.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use platform::{Category, Scope, Service, hex, moderate};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::upload::data_url;

const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Api));

/// The most texts in one request.
const MAX_INPUTS: usize = 256;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/moderations", READ, create_moderation)
            .says("Says what the policy finds in texts. Pictures are accepted and not judged.")
            .reads::<CreateModeration>(BodyKind::JsonOrForm)
            .answers::<Moderations>(),
    ]
}

/// What to look at.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateModeration {
    /// A text, a list of texts, or a list of `{type: text}` and `{type: image_url}` objects.
    #[schema(schema_with = texts)]
    input: serde_json::Value,
    /// Any name; there is one policy.
    model: Option<String>,
}

fn texts() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let list = |items: RefOr<Schema>| ArrayBuilder::new().items(items).min_items(Some(1)).max_items(Some(MAX_INPUTS));
    let part = ObjectBuilder::new().property("type", text()).required("type");
    let part = part.property("text", text()).property("image_url", ObjectBuilder::new().property("url", text()));
    let words = "A text, a list of texts, or a list of {type: text} and {type: image_url} objects.";
    let lists = OneOfBuilder::new().item(text()).item(list(text().into())).item(list(part.into()));
    lists.description(Some(words)).build().into()
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct Moderations {
    /// The answer's id.
    id: String,
    /// Who looked.
    model: &'static str,
    /// One for each text; one for all of a list of objects.
    results: Vec<ModerationResult>,
}

/// What was found in one input.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModerationResult {
    /// Whether anything was.
    flagged: bool,
    /// Which of the thirteen categories.
    categories: BTreeMap<&'static str, bool>,
    /// 1 or 0: words know no doubt.
    category_scores: BTreeMap<&'static str, f64>,
    /// What was looked at for each.
    category_applied_input_types: BTreeMap<&'static str, Vec<&'static str>>,
}

async fn create_moderation(State(app): State<App>, _: KeyCaller, form: Form) -> Result<Json<Moderations>, ApiError> {
    let input = form.field("input").ok_or_else(|| ApiError::missing("input"))?;
    let entries = match input.unfolded() {
        Field::Text(text) => vec![Field::Text(text)],
        Field::List(entries) if (1..=MAX_INPUTS).contains(&entries.len()) => entries,
        Field::List(_) => {
            return Err(ApiError::invalid("input", format!("'input' must have 1 to {MAX_INPUTS} entries.")));
        }
        _ => return Err(ApiError::wrong_type("input", "a string or a list")),
    };
    let results = if entries.iter().any(|entry| matches!(entry, Field::Object(_))) {
        vec![result(&parts(&entries)?)]
    } else {
        entries
            .iter()
            .map(|entry| match entry {
                Field::Text(text) => Ok(result(std::slice::from_ref(text))),
                _ => Err(ApiError::wrong_type("input", "a list of strings")),
            })
            .collect::<Result<_, _>>()?
    };
    let id = hex(&app.random::<12>());
    Ok(Json(Moderations { id: format!("modr-{id}"), model: "misora-words-1", results }))
}

/// The texts of a list of typed objects.
fn parts(entries: &[Field]) -> Result<Vec<String>, ApiError> {
    let mut texts = Vec::new();
    for entry in entries {
        let Field::Object(object) = entry else { return Err(ApiError::wrong_type("input", "a list of objects")) };
        match object.needed_text("type")? {
            "text" => texts.push(object.needed_text("text")?.to_owned()),
            "image_url" => {
                let Some(Field::Object(image)) = object.field("image_url") else {
                    return Err(ApiError::missing("image_url"));
                };
                let url = image.needed_text("url")?;
                if url.starts_with("data:") {
                    data_url(url, "input")?;
                }
            }
            _ => return Err(ApiError::invalid("input", "An entry's type is text or image_url.")),
        }
    }
    Ok(texts)
}

fn result(texts: &[String]) -> ModerationResult {
    let found: Vec<_> = texts.iter().map(|text| moderate(text)).collect();
    let score = |category| found.iter().map(|moderation| moderation.score(category)).fold(0.0, f64::max);
    ModerationResult {
        flagged: found.iter().any(platform::Moderation::is_flagged),
        categories: Category::ALL.map(|category| (category.as_str(), score(category) > 0.0)).into(),
        category_scores: Category::ALL.map(|category| (category.as_str(), score(category))).into(),
        category_applied_input_types: Category::ALL.map(|category| (category.as_str(), vec!["text"])).into(),
    }
}
