//! Reads a body, JSON or multipart, into one tree of fields, so that handlers see no difference.
//!
//! Names of parts may be `a`, `a[b]`, `a[]`, `a[][b]` or `a[0][b]`, in any order; a text part may hold JSON where an object or a
//! list is wanted. Types that parts declare are not believed.

use std::collections::BTreeMap;

use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use platform::Fingerprint;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::http::error::ApiError;

/// A body's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Form(BTreeMap<String, Field>);

/// One field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Field {
    /// Nothing, or JSON's `null`.
    #[default]
    Null,
    /// `true` or `false` in JSON.
    Flag(bool),
    /// A number in JSON, as its text.
    Number(String),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<Field>),
    /// Fields of its own.
    Object(Form),
    /// A file of a form.
    File(Upload),
}

/// A file of a form: a name to show, and bytes of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) filename: String,
    pub(crate) bytes: Bytes,
}

/// The most parts of a form, and the most entries of a list in it.
const MAX_PARTS: usize = 256;

impl FromRequest<App> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
            let refused = |_| ApiError::bad_request("The form could not be read: its boundary is missing.");
            return Self::from_multipart(Multipart::from_request(request, app).await.map_err(refused)?, app).await;
        }
        let body = Bytes::from_request(request, app).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return ApiError::too_large(app.settings.max_body_bytes);
            }
            ApiError::bad_request("The body could not be read to its end.")
        })?;
        Self::from_json(&body)
    }
}

impl Form {
    /// Reads a JSON object; nothing at all counts as an empty one.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let value: serde_json::Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("The body is no valid JSON: {error}.")))?;
        match Field::from(value) {
            Field::Object(form) => Ok(form),
            _ => Err(ApiError::bad_request("The body must be a JSON object.")),
        }
    }

    /// Reads what a plain form of a page sends. A name that comes several times is a list.
    pub(crate) fn from_url_encoded(body: &[u8]) -> Result<Self, ApiError> {
        let mut form = Self::default();
        for (count, (name, text)) in form_urlencoded::parse(body).enumerate() {
            if count >= MAX_PARTS {
                return Err(ApiError::bad_request(format!("The form has more than {MAX_PARTS} parts.")));
            }
            let text = Field::Text(text.into_owned());
            let field = match form.0.remove(&*name) {
                None => text,
                Some(Field::List(mut fields)) => {
                    fields.push(text);
                    Field::List(fields)
                }
                Some(first) => Field::List(vec![first, text]),
            };
            form.0.insert(name.into_owned(), field);
        }
        Ok(form)
    }

    /// The form without what a browser sends for fields that were left empty.
    pub(crate) fn without_blanks(mut self) -> Self {
        self.0.retain(|_, field| match field {
            Field::Text(text) => !text.trim().is_empty(),
            Field::File(upload) => !upload.bytes.is_empty(),
            _ => true,
        });
        self
    }

    /// Puts a field in place of what was said.
    pub(crate) fn set(&mut self, name: &str, field: Field) {
        self.0.insert(name.to_owned(), field);
    }

    /// Takes a field out; nothing if it is not there or null.
    pub(crate) fn take(&mut self, name: &str) -> Option<Field> {
        self.0.remove(name).filter(|field| *field != Field::Null)
    }

    async fn from_multipart(mut parts: Multipart, app: &App) -> Result<Self, ApiError> {
        let failed = |error: MultipartError| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(app.settings.max_body_bytes),
            _ => ApiError::bad_request(format!("The form could not be read: {}.", error.body_text())),
        };
        let mut root = Field::default();
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(failed)? {
            count += 1;
            if count > MAX_PARTS {
                return Err(ApiError::bad_request(format!("The form has more than {MAX_PARTS} parts.")));
            }
            let name = part.name().unwrap_or_default().to_owned();
            let filename = part.file_name().map(str::to_owned);
            let bytes = part.bytes().await.map_err(failed)?;
            let leaf = match filename {
                Some(filename) => Field::File(Upload { filename: base_name(&filename), bytes }),
                // The Rust client sends files without a name; what is no text is one.
                None => match String::from_utf8(bytes.into()) {
                    Ok(text) => Field::Text(text),
                    Err(error) => Field::File(Upload { filename: "upload".into(), bytes: error.into_bytes().into() }),
                },
            };
            insert(&mut root, &steps(&name)?, leaf).ok_or_else(|| {
                ApiError::bad_request(format!("The part {name:?} does not fit the parts before it.")).about(&name)
            })?;
        }
        match root {
            Field::Object(form) => Ok(form),
            _ => Ok(Self::default()),
        }
    }

    /// Refuses a field that is not among the known ones.
    pub(crate) fn knows(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(ApiError::unknown_parameter(name, nearest(name, known))),
        }
    }

    /// A field; nothing if it is not there or null.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.0.get(name).filter(|field| **field != Field::Null)
    }

    /// The first of several names that is there.
    pub(crate) fn first<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &Field)> {
        names.iter().find_map(|name| Some((*name, self.field(name)?)))
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.field(name) {
            None => Ok(None),
            Some(Field::Text(text)) => without_nul(name, text).map(Some),
            Some(_) => Err(ApiError::wrong_type(name, "a string")),
        }
    }

    /// A text that must be there.
    pub(crate) fn needed_text(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::missing(name))
    }

    /// A number, as its text: digits may come as a string or as a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.field(name) {
            None => Ok(None),
            Some(Field::Text(text) | Field::Number(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::wrong_type(name, "a number")),
        }
    }

    /// A whole number between two, inclusive.
    pub(crate) fn whole(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.number(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(ApiError::invalid(name, format!("'{name}' must be a whole number from {least} to {most}."))),
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.field(name) {
            None => Ok(None),
            Some(Field::Flag(flag)) => Ok(Some(*flag)),
            Some(Field::Text(text)) if text == "true" || text == "false" => Ok(Some(text == "true")),
            Some(_) => Err(ApiError::wrong_type(name, "true or false")),
        }
    }

    /// Several texts; one alone counts as a list of one.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let Some(field) = self.field(name) else { return Ok(None) };
        let text = |field: Field| match field {
            Field::Text(text) => without_nul(name, &text).map(str::to_owned),
            _ => Err(ApiError::wrong_type(name, "a list of strings")),
        };
        match field.unfolded() {
            Field::List(fields) => fields.into_iter().map(text).collect::<Result<_, _>>().map(Some),
            field => text(field).map(|text| Some(vec![text])),
        }
    }

    /// What tells this request from another under the same idempotency key, however its form was cut.
    pub(crate) fn fingerprint(&self, method: &str, path: &str) -> Fingerprint {
        let mut canonical = Vec::new();
        Field::Object(self.clone()).write(&mut canonical);
        Fingerprint::of(method, path, &canonical)
    }
}

impl Field {
    /// The field, with the JSON that a text part may hold for an object or a list.
    pub(crate) fn unfolded(&self) -> Self {
        if let Self::Text(text) = self
            && text.trim_start().starts_with(['{', '['])
            && let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
        {
            return value.into();
        }
        self.clone()
    }

    /// The field as JSON; files are left out.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Null | Self::File(_) => serde_json::Value::Null,
            Self::Flag(flag) => (*flag).into(),
            Self::Number(text) => serde_json::from_str(text).unwrap_or_default(),
            Self::Text(text) => text.as_str().into(),
            Self::List(fields) => fields.iter().map(Self::json).collect(),
            Self::Object(form) => form
                .0
                .iter()
                .map(|(name, field)| (name.clone(), field.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// One spelling for one meaning: a number and its text are the same.
    fn write(&self, out: &mut Vec<u8>) {
        let mut tagged = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend((bytes.len() as u64).to_be_bytes());
            out.extend(bytes);
        };
        match self {
            Self::Null => tagged(b'0', b""),
            Self::Flag(flag) => tagged(b't', if *flag { b"true" } else { b"false" }),
            Self::Number(text) | Self::Text(text) => tagged(b't', text.as_bytes()),
            Self::File(upload) => tagged(b'f', &Sha256::digest(&upload.bytes)),
            Self::List(fields) => {
                tagged(b'l', &fields.len().to_be_bytes());
                fields.iter().for_each(|field| field.write(out));
            }
            Self::Object(form) => {
                tagged(b'o', &form.0.len().to_be_bytes());
                for (name, field) in &form.0 {
                    Self::Text(name.clone()).write(out);
                    field.write(out);
                }
            }
        }
    }
}

impl From<serde_json::Value> for Field {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Flag(flag),
            serde_json::Value::Number(number) => Self::Number(number.to_string()),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => {
                Self::Object(Form(fields.into_iter().map(|(name, value)| (name, value.into())).collect()))
            }
        }
    }
}

/// One step of a part's name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Append,
}

/// The steps of `a[b][0][]`.
fn steps(name: &str) -> Result<Vec<Step>, ApiError> {
    let refused = || ApiError::bad_request(format!("{name:?} is no name of a field: write a, a[b], a[] or a[0][b]."));
    let (first, mut rest) = name.split_at(name.find('[').unwrap_or(name.len()));
    if first.is_empty() || name.len() > 200 {
        return Err(refused());
    }
    let mut steps = vec![Step::Key(first.to_owned())];
    while !rest.is_empty() {
        let (inside, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(refused)?;
        steps.push(match inside.parse::<usize>() {
            _ if inside.is_empty() => Step::Append,
            Ok(index) if index < MAX_PARTS => Step::Index(index),
            Ok(_) => return Err(refused()),
            Err(_) => Step::Key(inside.to_owned()),
        });
        rest = after;
    }
    if steps.len() > 6 { Err(refused()) } else { Ok(steps) }
}

/// Puts a leaf where its steps lead; nothing if something of another shape is there.
fn insert(slot: &mut Field, steps: &[Step], leaf: Field) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        match slot {
            Field::Null => *slot = leaf,
            Field::List(fields) => fields.push(leaf),
            Field::Object(_) => return None,
            _ => *slot = Field::List(vec![std::mem::take(slot), leaf]),
        }
        return Some(());
    };
    if let (Field::Null, Step::Key(_)) = (&*slot, step) {
        *slot = Field::Object(Form::default());
    } else if let Field::Null = slot {
        *slot = Field::List(Vec::new());
    }
    match (slot, step) {
        (Field::Object(form), Step::Key(key)) => insert(form.0.entry(key.clone()).or_default(), rest, leaf),
        (Field::List(fields), Step::Index(index)) => {
            if fields.len() <= *index {
                fields.resize(index + 1, Field::Null);
            }
            insert(&mut fields[*index], rest, leaf)
        }
        (Field::List(fields), Step::Append) => {
            // `a[][b]` goes on with the last entry until it has a `b`.
            let goes_on = match (fields.last(), rest.first()) {
                (Some(Field::Object(form)), Some(Step::Key(key))) => !form.0.contains_key(key),
                _ => false,
            };
            if !goes_on {
                fields.push(Field::Null);
            }
            insert(fields.last_mut()?, rest, leaf)
        }
        _ => None,
    }
}

/// The text, unless it holds what no row of PostgreSQL can.
fn without_nul<'a>(name: &str, text: &'a str) -> Result<&'a str, ApiError> {
    match text.contains('\0') {
        true => Err(ApiError::invalid(name, format!("'{name}' must not contain the character NUL."))),
        false => Ok(text),
    }
}

/// The known name that a misspelt one most likely means: at most a third of it is different.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name: Vec<char> = name.chars().take(64).collect();
    let distances = known.iter().map(|known| (distance(&name, known), *known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= name.len().max(3)).then_some(known)
}

/// How many letters must be put in, taken away or changed to come from one word to the other (Levenshtein).
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (at, letter) in to.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (index, other) in from.iter().enumerate() {
            let changed = diagonal + usize::from(*other != letter);
            diagonal = row[index + 1];
            row[index + 1] = changed.min(row[index] + 1).min(diagonal + 1);
        }
    }
    row[from.len()]
}

/// The last part of a path, in case a client sends one, with nothing that a header or a terminal would act on.
fn base_name(filename: &str) -> String {
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(200).collect();
    if name.is_empty() { "upload".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[(&str, &str)], expected: &str) {
        let mut root = Field::default();
        for (name, text) in parts {
            insert(&mut root, &steps(name).unwrap(), Field::Text((*text).into())).unwrap();
        }
        assert_eq!(root.json(), serde_json::from_str::<serde_json::Value>(expected).unwrap());
    }

    #[test]
    fn names_of_parts_say_where_they_belong() {
        check(&[("a", "1")], r#"{"a":"1"}"#);
        check(&[("video[id]", "v"), ("prompt", "p")], r#"{"video":{"id":"v"},"prompt":"p"}"#);
        check(&[("c[][id]", "a"), ("c[][id]", "b")], r#"{"c":[{"id":"a"},{"id":"b"}]}"#);
        check(&[("c[][id]", "a"), ("c[][name]", "n"), ("c[][id]", "b")], r#"{"c":[{"id":"a","name":"n"},{"id":"b"}]}"#);
        check(&[("c[1][id]", "b"), ("c[0][id]", "a")], r#"{"c":[{"id":"a"},{"id":"b"}]}"#);
        check(&[("c[]", "a"), ("c[]", "b")], r#"{"c":["a","b"]}"#);
        check(&[("c", "a"), ("c", "b")], r#"{"c":["a","b"]}"#);
    }

    #[test]
    fn names_that_lead_nowhere_are_refused() {
        for name in ["", "[a]", "a[", "a]b[c]x", "a[999]", "a[b][c][d][e][f][g]"] {
            assert!(steps(name).is_err(), "{name}");
        }
        let mut root = Field::default();
        insert(&mut root, &steps("a").unwrap(), Field::Text("1".into())).unwrap();
        assert!(insert(&mut root, &steps("a[b]").unwrap(), Field::Null).is_none());
    }

    #[test]
    fn a_text_part_may_hold_json() {
        let field = Field::Text(r#" {"id":"video_1"}"#.into());
        assert_eq!(field.unfolded().json(), serde_json::json!({ "id": "video_1" }));
        assert_eq!(Field::Text("{no json".into()).unfolded(), Field::Text("{no json".into()));
    }

    #[test]
    fn a_misspelt_field_is_told_the_nearest_known_one() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(nearest(name, &["prompt", "seconds", "size", "seed"]), expected, "{name}");
        };
        check("promt", Some("prompt"));
        check("second", Some("seconds"));
        check("sede", None);
        check("sizes", Some("size"));
        check("temperature", None);
        check("", None);
    }

    #[test]
    fn no_text_holds_what_a_row_cannot() {
        let form = Form::from_json(br#"{"name":"a\u0000b","names":["a","\u0000"]}"#).unwrap();
        assert!(form.text("name").is_err() && form.needed_text("name").is_err() && form.texts("names").is_err());
    }

    #[test]
    fn one_meaning_has_one_fingerprint() {
        let of = |json: &str| Form::from_json(json.as_bytes()).unwrap().fingerprint("POST", "/v1/videos");
        assert_eq!(of(r#"{"a":"1","b":4}"#), of(r#"{"b":"4","a":"1"}"#));
        assert_ne!(of(r#"{"a":"1"}"#), of(r#"{"a":"2"}"#));
        assert_ne!(of(r#"{"a":["b","c"]}"#), of(r#"{"a":["bc"]}"#));
    }
}
