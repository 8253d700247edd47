//! What the policy says of a text, in the API's words.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use platform::policy::{Category, RightsUse, Stage, Verdict};
use platform::{Scope, Service, hex};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{BodyKind, Endpoint, post};
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::upload::{clean_picture, data_url};

const READ: Access = Access::Key(Scope::VideosRead, Needs::Readable(Service::Api));

/// The most texts in one request.
const MAX_INPUTS: usize = 256;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/v1/moderations", READ, create_moderation)
            .says(
                "Says what the policy finds in texts. Pictures are judged if the owner named a service that sees them.",
            )
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
    /// The rules that were met, rights among them, which belong to none of the thirteen. Ours alone.
    rules: Vec<MetRule>,
}

/// A rule that was met.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetRule {
    /// Its name.
    id: String,
    /// Which wording of it.
    version: u32,
    /// What it protects from.
    category: &'static str,
    /// What it says.
    text: String,
    /// What to change.
    advice: String,
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
        vec![result(&app, parts(&entries)?).await?]
    } else {
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            let Field::Text(text) = entry else { return Err(ApiError::wrong_type("input", "a list of strings")) };
            results.push(result(&app, Parts { texts: vec![text], pictures: Vec::new() }).await?);
        }
        results
    };
    let id = hex(&app.random::<12>());
    Ok(Json(Moderations { id: format!("modr-{id}"), model: "misora-policy-1", results }))
}

/// What stands in a list of typed objects.
struct Parts {
    texts: Vec<String>,
    /// Pictures that came with the request; what stands at other addresses is not fetched.
    pictures: Vec<Bytes>,
}

fn parts(entries: &[Field]) -> Result<Parts, ApiError> {
    let mut parts = Parts { texts: Vec::new(), pictures: Vec::new() };
    for entry in entries {
        let Field::Object(object) = entry else { return Err(ApiError::wrong_type("input", "a list of objects")) };
        match object.needed_text("type")? {
            "text" => parts.texts.push(object.needed_text("text")?.to_owned()),
            "image_url" => {
                let Some(Field::Object(image)) = object.field("image_url") else {
                    return Err(ApiError::missing("image_url"));
                };
                let url = image.needed_text("url")?;
                if url.starts_with("data:") {
                    parts.pictures.push(data_url(url, "input")?);
                }
            }
            _ => return Err(ApiError::invalid("input", "An entry's type is text or image_url.")),
        }
    }
    Ok(parts)
}

async fn result(app: &App, parts: Parts) -> Result<ModerationResult, ApiError> {
    let mut found: Vec<Verdict> = Vec::new();
    for text in &parts.texts {
        found.push(app.judge.text(Stage::Prompt, RightsUse::Prompts, text, app.now()).await?);
    }
    let mut looked = vec!["text"];
    if app.judge.sees_pictures() && !parts.pictures.is_empty() {
        for picture in parts.pictures {
            let picture = clean_picture(picture, "input").await?;
            found.push(app.judge.picture(picture.png).await?);
        }
        looked.push("image");
    }
    let score = |category| found.iter().map(|verdict| verdict.score(category)).fold(0.0, f64::max);
    let rules = found.iter().flat_map(Verdict::findings).map(|finding| MetRule {
        id: finding.rule.clone(),
        version: finding.version,
        category: finding.subject.as_str(),
        text: finding.text.en.clone(),
        advice: finding.advice.en.clone(),
    });
    Ok(ModerationResult {
        flagged: !found.iter().all(Verdict::is_allowed),
        categories: Category::ALL.map(|category| (category.as_str(), score(category) > 0.0)).into(),
        category_scores: Category::ALL.map(|category| (category.as_str(), score(category))).into(),
        category_applied_input_types: Category::ALL.map(|category| (category.as_str(), looked.clone())).into(),
        rules: rules.collect(),
    })
}
