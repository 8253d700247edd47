//! The OpenAPI 3.1 document of every endpoint, and a page that people can read. Both are made from the one list.

use std::fmt::Write;

use axum::Json;
use axum::response::Html;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::http::auth::{Access, Needs};
use crate::http::endpoint::{AnswerDoc, BodyKind, Endpoint, get};
use crate::http::error::ErrorBody;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/openapi.json", Access::Open, show_document).says("This document.").answers_bytes(&["application/json"]),
        get("/docs", Access::Open, show_page).says("The same for people.").answers_bytes(&["text/html"]),
    ]
}

async fn show_document() -> Json<Value> {
    Json(openapi())
}

async fn show_page() -> Html<String> {
    Html(page(&super::all_endpoints()))
}

/// The OpenAPI document.
pub fn openapi() -> Value {
    let endpoints = super::all_endpoints();
    let mut schemas = Map::new();
    let mut add = |name: &str, schema: &dyn erased::Schema| {
        schemas.entry(name.to_owned()).or_insert_with(|| schema.json());
    };
    let mut others = Vec::new();
    ErrorBody::schemas(&mut others);
    add("ErrorBody", &ErrorBody::schema());
    for endpoint in &endpoints {
        let body = endpoint.body.as_ref().map(|body| &body.schema);
        let answer = match &endpoint.answer {
            AnswerDoc::Json(schema) => Some(&**schema),
            AnswerDoc::Bytes(_) | AnswerDoc::Empty => None,
        };
        for schema in body.into_iter().chain(answer) {
            if !is_generic(&schema.name) {
                add(&schema.name, &schema.schema);
            }
            for (name, schema) in &schema.others {
                add(name, schema);
            }
        }
    }
    for (name, schema) in &others {
        add(name, schema);
    }
    let mut paths = Map::new();
    for endpoint in &endpoints {
        let path = endpoint.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[endpoint.method.as_str().to_ascii_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Misora",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Videos from text, and the account around them. Programs written for the Videos API of OpenAI work here.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key: Authorization: Bearer KEY." },
                "api_key": { "type": "apiKey", "in": "header", "name": "api-key" },
                "session": { "type": "apiKey", "in": "cookie", "name": super::auth::COOKIE },
            },
        },
    })
}

/// Schemas of utoipa as JSON.
mod erased {
    pub(super) trait Schema {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Schema for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap_or_default()
        }
    }
}

/// A list's name does not say of what, so its schema stands where it is used.
fn is_generic(name: &str) -> bool {
    name == "List"
}

fn reference(schema: &super::endpoint::NamedSchema) -> Value {
    if is_generic(&schema.name) {
        return erased::Schema::json(&schema.schema);
    }
    json!({ "$ref": format!("#/components/schemas/{}", schema.name) })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [tag(endpoint.path)],
        "description": who(endpoint.access),
        "responses": responses(endpoint),
    });
    let in_path = names_in(endpoint.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = endpoint.query.iter().map(|(name, words)| {
        json!({ "name": name, "in": "query", "required": false, "description": words, "schema": { "type": "string" } })
    });
    let parameters: Vec<_> = in_path.chain(in_query).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = &endpoint.body {
        let types: &[&str] = match body.kind {
            BodyKind::Json => &["application/json"],
            BodyKind::JsonOrForm => &["application/json", "multipart/form-data"],
            BodyKind::Form => &["multipart/form-data"],
        };
        let content: Map<_, _> =
            types.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": reference(&body.schema) }))).collect();
        operation["requestBody"] = json!({ "required": false, "content": content });
    }
    match endpoint.access {
        Access::Open | Access::Visitor => {}
        Access::Key(..) => operation["security"] = json!([{ "bearer": [] }, { "api_key": [] }]),
        Access::Person | Access::Moderator | Access::Administrator => {
            operation["security"] = json!([{ "session": [] }])
        }
    }
    operation
}

fn responses(endpoint: &Endpoint) -> Value {
    let error = |words: &str| {
        json!({
            "description": words,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } },
        })
    };
    let mut responses = Map::new();
    let done = match &endpoint.answer {
        AnswerDoc::Json(schema) => {
            json!({ "description": "Done.", "content": { "application/json": { "schema": reference(schema) } } })
        }
        AnswerDoc::Bytes(types) => {
            let content: Map<_, _> = types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            json!({ "description": "The bytes.", "content": content })
        }
        AnswerDoc::Empty => json!({ "description": "Done." }),
    };
    if let AnswerDoc::Bytes(_) = endpoint.answer {
        responses.insert(
            "206".into(),
            json!({ "description": "A part of the bytes.", "headers": {
            "content-range": { "schema": { "type": "string" } } } }),
        );
        responses.insert("304".into(), json!({ "description": "The bytes are those that you have." }));
        responses.insert("416".into(), error("The range is not in the bytes."));
    }
    responses.insert("200".into(), done);
    responses.insert("400".into(), error("The request cannot be fulfilled as it is."));
    if !matches!(endpoint.access, Access::Open) {
        responses.insert("401".into(), error("Who asks is not known."));
        responses.insert("403".into(), error("Who asks may not."));
        responses.insert("429".into(), error("Too many requests or jobs, or no credit."));
    }
    if matches!(endpoint.access, Access::Key(..)) || endpoint.path.starts_with("/media") {
        responses.insert("410".into(), error("The membership of the service is closed."));
    }
    if endpoint.path.contains('{') || endpoint.body.is_some() {
        responses.insert("404".into(), error("There is no such thing."));
    }
    if endpoint.body.is_some() {
        responses.insert("413".into(), error("The request is too large."));
    }
    responses.insert("default".into(), error("Something else went wrong."));
    responses.into()
}

/// The first word of a path that says something.
fn tag(path: &str) -> &str {
    let mut words = path.trim_start_matches('/').split('/');
    match words.next() {
        Some("v1" | "api") => words.next().unwrap_or("other"),
        _ => "installation",
    }
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*')))
}

/// Who may, in words.
fn who(access: Access) -> String {
    match access {
        Access::Open | Access::Visitor => "For anyone.".into(),
        Access::Key(scope, Needs::Readable(service)) => {
            format!("For keys with the scope {scope}, whose owner can read in the {service} service.")
        }
        Access::Key(scope, Needs::Active(service)) => {
            format!("For keys with the scope {scope}, whose owner is an active member of the {service} service.")
        }
        Access::Person => "For whoever is signed in.".into(),
        Access::Moderator => "For moderators.".into(),
        Access::Administrator => "For administrators.".into(),
    }
}

/// A page with no script and nothing from outside.
fn page(endpoints: &[Endpoint]) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Misora API</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem}\
         code{font-size:.95em}h2{margin:2.2rem 0 .4rem}section{border-top:1px solid #8884;padding:.6rem 0}\
         h3{margin:0;font-size:1rem}p{margin:.2rem 0}dt{font-family:ui-monospace,monospace}dd{margin:0 0 .2rem 1.5rem}\
         @media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#9cf}}\
         </style></head><body><h1>Misora API</h1>\
         <p>Programs written for OpenAI's Videos API work here: change the base address and the key. \
         The same as a document for programs: <a href=\"/openapi.json\">openapi.json</a>.</p>",
    );
    let mut last = "";
    for endpoint in endpoints {
        let tag = tag(endpoint.path);
        if tag != last {
            // Writing into a text cannot fail.
            let _ = write!(html, "<h2>{}</h2>", escaped(tag));
            last = tag;
        }
        let _ = write!(
            html,
            "<section id=\"{}\"><h3><code>{} {}</code></h3><p>{} {}</p>",
            escaped(&endpoint.name),
            endpoint.method,
            escaped(endpoint.path),
            escaped(endpoint.summary),
            escaped(&who(endpoint.access)),
        );
        let fields = endpoint.body.as_ref().map(|body| fields(&body.schema)).unwrap_or_default();
        let query = endpoint.query.iter().map(|(name, words)| ((*name).to_owned(), (*words).to_owned()));
        let entries: Vec<_> = query.chain(fields).collect();
        if !entries.is_empty() {
            html.push_str("<dl>");
            for (name, words) in entries {
                let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escaped(&name), escaped(&words));
            }
            html.push_str("</dl>");
        }
        html.push_str("</section>");
    }
    html.push_str("</body></html>");
    html
}

/// The fields of a body with their sentences.
fn fields(schema: &super::endpoint::NamedSchema) -> Vec<(String, String)> {
    let json = erased::Schema::json(&schema.schema);
    let Some(properties) = json["properties"].as_object() else { return Vec::new() };
    let words = |field: &Value| field["description"].as_str().unwrap_or_default().to_owned();
    properties.iter().map(|(name, field)| (name.clone(), words(field))).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
