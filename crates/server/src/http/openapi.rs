//! The OpenAPI 3.1 document of every endpoint, and a page that people can read. Both are made from the one list.

use std::fmt::Write;

use axum::Json;
use axum::response::Html;
use platform::EventType;
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
    let mut add = |name: &str, schema: Value| {
        schemas.entry(name.to_owned()).or_insert(schema);
    };
    let mut others = Vec::new();
    ErrorBody::schemas(&mut others);
    add("ErrorBody", whole(erased::Schema::json(&ErrorBody::schema())));
    for endpoint in &endpoints {
        let body = endpoint.body.as_ref().map(|body| (&body.schema, false));
        let answer = match &endpoint.answer {
            AnswerDoc::Json(schema) => Some((&**schema, true)),
            AnswerDoc::Bytes(_) | AnswerDoc::Empty => None,
        };
        for (schema, answered) in body.into_iter().chain(answer) {
            let json = |schema: &dyn erased::Schema| if answered { whole(schema.json()) } else { schema.json() };
            if !is_generic(&schema.name) {
                add(&schema.name, json(&schema.schema));
            }
            for (name, schema) in &schema.others {
                add(name, json(schema));
            }
        }
    }
    for (name, schema) in &others {
        add(name, whole(erased::Schema::json(schema)));
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
        "webhooks": webhooks(),
        "components": {
            "headers": headers(),
            "responses": shared_responses(),
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key: Authorization: Bearer KEY." },
                "api_key": { "type": "apiKey", "in": "header", "name": "api-key" },
                "session": { "type": "apiKey", "in": "cookie", "name": super::auth::COOKIE },
            },
        },
    })
}

/// The schema of an answer: what may be null is there all the same.
fn whole(mut schema: Value) -> Value {
    let may_be_null = |field: &Value| {
        let types = field["type"].as_array().into_iter().flatten();
        let choices = field["oneOf"].as_array().into_iter().flatten().map(|choice| &choice["type"]);
        types.chain(choices).any(|kind| kind == "null")
    };
    let fields = schema["properties"].as_object().into_iter().flatten();
    let there: Vec<_> = fields.filter(|(_, field)| may_be_null(field)).map(|(name, _)| json!(name)).collect();
    if !there.is_empty() {
        match schema["required"].as_array_mut() {
            Some(required) => required.extend(there),
            None => schema["required"] = there.into(),
        }
    }
    // What is flattened into another stands in a list of parts.
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        *part = whole(part.take());
    }
    schema
}

/// Headers of answers.
fn headers() -> Value {
    let header = |words: &str, kind: &str| json!({ "description": words, "schema": { "type": kind } });
    json!({
        "x-request-id": header("The request's id, in the log too.", "string"),
        "openai-poll-after-ms": header("When to look again, in milliseconds; until the video has ended.", "integer"),
        "retry-after": header("When to try again, in seconds.", "integer"),
        "retry-after-ms": header("The same in milliseconds.", "integer"),
        "x-ratelimit-limit-requests": header("Requests in a minute.", "integer"),
        "x-ratelimit-remaining-requests": header("How many are left.", "integer"),
        "x-ratelimit-reset-requests": header("When all are there again, such as 1s or 6m0s.", "string"),
    })
}

/// What is sent to webhook endpoints.
fn webhooks() -> Value {
    let event = |word: &str| {
        let named = |words: &str| json!({ "type": "string", "description": words });
        let header = |name: &str, words: &str| json!({ "name": name, "in": "header", "required": true, "description": words, "schema": { "type": "string" } });
        let body = json!({
            "type": "object",
            "required": ["id", "object", "created_at", "type", "data"],
            "properties": {
                "id": named("The event's id; the same at every attempt."),
                "object": { "const": "event" },
                "created_at": { "type": "integer", "description": "Unix seconds." },
                "type": { "const": word },
                "data": {
                    "type": "object",
                    "required": ["id"],
                    "properties": { "id": named("What it happened to: read it to learn more.") },
                },
            },
        });
        json!({ "post": {
            "summary": format!("Tells of {word}."),
            "parameters": [
                header("webhook-id", "The event's id."),
                header("webhook-timestamp", "Unix seconds of this attempt."),
                header("webhook-signature", "v1, and base64 of HMAC-SHA256 over ID.TIMESTAMP.BODY; several with spaces between."),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
            "responses": {
                "2XX": { "description": "It was heard." },
                "default": { "description": "It is sent again, with growing pauses, for up to 72 hours." },
            },
        } })
    };
    EventType::ALL.iter().map(|kind| (kind.as_str().to_owned(), event(kind.as_str()))).collect::<Map<_, _>>().into()
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
        return whole(erased::Schema::json(&schema.schema));
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
        json!({ "name": name, "in": "query", "required": false, "description": words, "schema": value_of(name, endpoint.path) })
    });
    let words = "The same key with the same request, within 24 hours, is one request: its answer is the same again.";
    let once = endpoint.once.then(|| {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        json!({ "name": "Idempotency-Key", "in": "header", "required": false, "description": words, "schema": schema })
    });
    let parameters: Vec<_> = in_path.chain(in_query).chain(once).collect();
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
        let needed = parts(&body.schema).iter().any(|part| part["required"].is_array());
        operation["requestBody"] = json!({ "required": needed, "content": content });
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

/// What a value of the query may be.
fn value_of(name: &str, path: &str) -> Value {
    match name {
        "limit" if path == "/v1/files" => json!({ "type": "integer", "minimum": 0, "maximum": 10_000 }),
        "limit" => json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
        "order" => json!({ "type": "string", "enum": ["asc", "desc"] }),
        "variant" => json!({ "type": "string", "enum": ["video", "thumbnail", "spritesheet"] }),
        _ => json!({ "type": "string" }),
    }
}

/// The header of every answer.
const ALWAYS: &str = "x-request-id";

/// References to these headers.
fn with_headers(names: &[&str]) -> Value {
    let names =
        names.iter().map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })));
    names.collect::<Map<_, _>>().into()
}

/// The answers that say what went wrong: status, name, sentence.
const ERRORS: [(&str, &str, &str); 9] = [
    ("400", "NotSo", "The request cannot be fulfilled as it is."),
    ("401", "Unknown", "Who asks is not known."),
    ("403", "MayNot", "Who asks may not."),
    ("404", "Nothing", "There is no such thing."),
    ("410", "Closed", "The membership of the service is closed."),
    ("413", "TooLarge", "The request is too large."),
    ("416", "NoRange", "The range is not in the bytes."),
    ("429", "TooMany", "Too many requests or jobs, or no credit."),
    ("503", "NoRoom", "There is no room for it now; retry-after says when to come again."),
];
/// The name of any other.
const BROKEN: &str = "Broken";

/// The answers that many endpoints have.
fn shared_responses() -> Value {
    let error = |words: &str, headers: &[&str]| {
        json!({
            "description": words,
            "headers": with_headers(headers),
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } },
        })
    };
    let later = [ALWAYS, "retry-after", "retry-after-ms"];
    let known = ERRORS.map(|(status, name, words)| {
        let headers = if matches!(status, "429" | "503") { &later[..] } else { &later[..1] };
        (name.to_owned(), error(words, headers))
    });
    let broken = (BROKEN.to_owned(), error("Something else went wrong.", &[ALWAYS]));
    known.into_iter().chain([broken]).collect::<Map<_, _>>().into()
}

fn responses(endpoint: &Endpoint) -> Value {
    let shared = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    let mut responses = Map::new();
    let mut done = match &endpoint.answer {
        AnswerDoc::Json(schema) => {
            json!({ "description": "Done.", "content": { "application/json": { "schema": reference(schema) } } })
        }
        AnswerDoc::Bytes(types) => {
            let content: Map<_, _> = types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            json!({ "description": "The bytes.", "content": content })
        }
        AnswerDoc::Empty => json!({ "description": "Done." }),
    };
    let mut told = vec![ALWAYS];
    let with_key = matches!(endpoint.access, Access::Key(..));
    if with_key {
        told.extend(["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]);
    }
    if endpoint.name == "retrieve_video" {
        told.push("openai-poll-after-ms");
    }
    done["headers"] = with_headers(&told);
    responses.insert("200".into(), done);
    if endpoint.ranges {
        responses.insert(
            "206".into(),
            json!({ "description": "A part of the bytes.", "headers": {
            "content-range": { "schema": { "type": "string" } } } }),
        );
        responses.insert("304".into(), json!({ "description": "The bytes are those that you have." }));
    }
    for (status, name, _) in ERRORS {
        let may_be = match status {
            "401" | "403" | "429" => !matches!(endpoint.access, Access::Open),
            "410" => with_key || endpoint.path.starts_with("/media"),
            "404" => endpoint.path.contains('{') || endpoint.body.is_some(),
            "413" | "503" => endpoint.body.is_some(),
            "416" => endpoint.ranges,
            _ => true,
        };
        if may_be {
            responses.insert(status.into(), shared(name));
        }
    }
    responses.insert("default".into(), shared(BROKEN));
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
    let words = |field: &Value| {
        // What may be null has its sentence in one of two schemas.
        let inner = field["oneOf"].as_array().into_iter().flatten().map(|choice| &choice["description"]);
        let found = std::iter::once(&field["description"]).chain(inner).find_map(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let parts = parts(schema);
    let fields = parts.iter().filter_map(|part| part["properties"].as_object()).flatten();
    fields.map(|(name, field)| (name.clone(), words(field))).collect()
}

/// The schema, or those that are flattened into one: its own fields first.
fn parts(schema: &super::endpoint::NamedSchema) -> Vec<Value> {
    let json = erased::Schema::json(&schema.schema);
    let Some(parts) = json["allOf"].as_array() else { return vec![json] };
    let named = |part: &Value| {
        let name = part["$ref"].as_str().and_then(|target| target.rsplit('/').next());
        let found = schema.others.iter().find(|(other, _)| name == Some(other));
        found.map_or_else(|| part.clone(), |(_, schema)| erased::Schema::json(schema))
    };
    parts.iter().rev().map(named).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
