//! An endpoint: method, path, who may, what it says of itself. One list of these makes the router, the OpenAPI document
//! and the table of the access test, so none of them can miss one.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::http::auth::{Access, enforce};
use crate::http::page::List;
use crate::http::upload_memory::count_body;

/// One endpoint.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// The handler's name.
    pub(crate) name: String,
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [(&'static str, &'static str)],
    pub(crate) body: Option<BodyDoc>,
    pub(crate) answer: AnswerDoc,
    /// Whether it honours `Idempotency-Key`.
    pub(crate) once: bool,
    /// Whether it answers a part of its bytes to whoever asks for a range, and nothing to whoever has them.
    pub(crate) ranges: bool,
    handler: MethodRouter<App>,
}

/// The largest body that holds no file.
const SMALL_BODY_BYTES: usize = 1_000_000;

/// How a body may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// JSON alone.
    Json,
    /// JSON, or a form with the same fields, files among them.
    JsonOrForm,
    /// A form alone.
    Form,
}

/// A body as the document describes it.
pub(crate) struct BodyDoc {
    pub(crate) kind: BodyKind,
    pub(crate) schema: NamedSchema,
}

/// A successful answer as the document describes it.
pub(crate) enum AnswerDoc {
    /// JSON.
    Json(Box<NamedSchema>),
    /// Bytes of these types.
    Bytes(&'static [&'static str]),
    /// Nothing.
    Empty,
}

/// A schema with its name and those that it names.
pub(crate) struct NamedSchema {
    pub(crate) name: String,
    pub(crate) schema: RefOr<Schema>,
    pub(crate) others: Vec<(String, RefOr<Schema>)>,
}

impl NamedSchema {
    fn of<T: ToSchema>() -> Self {
        let mut others = Vec::new();
        T::schemas(&mut others);
        Self { name: T::name().into_owned(), schema: <T as PartialSchema>::schema(), others }
    }
}

/// An endpoint that reads.
pub(crate) fn get<H: Handler<T, App>, T: 'static>(path: &'static str, access: Access, handler: H) -> Endpoint {
    Endpoint::new::<H>(Method::GET, path, access, on(MethodFilter::GET, handler))
}

/// An endpoint that makes or changes.
pub(crate) fn post<H: Handler<T, App>, T: 'static>(path: &'static str, access: Access, handler: H) -> Endpoint {
    Endpoint::new::<H>(Method::POST, path, access, on(MethodFilter::POST, handler))
}

/// An endpoint that takes away.
pub(crate) fn delete<H: Handler<T, App>, T: 'static>(path: &'static str, access: Access, handler: H) -> Endpoint {
    Endpoint::new::<H>(Method::DELETE, path, access, on(MethodFilter::DELETE, handler))
}

impl Endpoint {
    fn new<H>(method: Method, path: &'static str, access: Access, handler: MethodRouter<App>) -> Self {
        let name = std::any::type_name::<H>().rsplit("::").next().unwrap_or_default().to_owned();
        let (query, answer, once, ranges) = (&[], AnswerDoc::Empty, false, false);
        Self { method, path, access, name, summary: "", query, body: None, answer, once, ranges, handler }
    }

    /// What it does, one sentence.
    pub(crate) fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// The query's values, each with a sentence.
    pub(crate) fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// What it reads.
    pub(crate) fn reads<T: ToSchema>(mut self, kind: BodyKind) -> Self {
        self.body = Some(BodyDoc { kind, schema: NamedSchema::of::<T>() });
        self
    }

    /// It honours `Idempotency-Key`.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// What it answers.
    pub(crate) fn answers<T: ToSchema>(mut self) -> Self {
        self.answer = AnswerDoc::Json(Box::new(NamedSchema::of::<T>()));
        self
    }

    /// A page of what it answers.
    pub(crate) fn answers_list<T: ToSchema>(mut self) -> Self {
        let mut schema = NamedSchema::of::<List<T>>();
        T::schemas(&mut schema.others);
        schema.others.push((T::name().into_owned(), T::schema()));
        self.answer = AnswerDoc::Json(Box::new(schema));
        self
    }

    /// The types of the bytes that it answers.
    pub(crate) fn answers_bytes(mut self, types: &'static [&'static str]) -> Self {
        self.answer = AnswerDoc::Bytes(types);
        self
    }

    /// It answers ranges of those bytes too.
    pub(crate) fn in_ranges(mut self) -> Self {
        self.ranges = true;
        self
    }

    /// Adds it to a router, behind its access.
    pub(crate) fn mount(self, router: Router<App>, app: &App) -> Router<App> {
        // Only what takes files may be large.
        let most = match self.body.as_ref().map(|body| body.kind) {
            Some(BodyKind::Form | BodyKind::JsonOrForm) => {
                usize::try_from(app.settings.max_body_bytes).unwrap_or(usize::MAX)
            }
            Some(BodyKind::Json) | None => SMALL_BODY_BYTES,
        };
        let limited = self.handler.layer(DefaultBodyLimit::max(most));
        // Counted within the door: who may not come in holds nothing.
        let limited = match self.body {
            Some(_) => limited.layer(from_fn_with_state(app.clone(), count_body)),
            None => limited,
        };
        router.route(self.path, limited.layer(from_fn_with_state((app.clone(), self.access), enforce)))
    }
}
