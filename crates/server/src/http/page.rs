//! Ids in paths and pages of lists.

use std::collections::HashMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use platform::{
    ApiKeyId, AppealId, BatchId, CharacterId, ConsentId, DecisionId, DestinationId, EnrolmentId, ExportId, FileId,
    FolderId, IdError, IdentityId, ImportId, LedgerEntryId, MessageId, PasskeyId, ProjectId, ReceiptId, ReportId,
    RightsAgentId, RightsId, RightsRequestId, SessionId, SunsetId, TakedownId, UseId, VideoId, WebhookEndpointId,
};
use serde::Serialize;
use store::{Order, Page};
use utoipa::ToSchema;

use crate::http::error::ApiError;

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// Always `list`.
    object: &'static str,
    /// The entries.
    data: Vec<T>,
    /// The first entry's id.
    first_id: Option<String>,
    /// The last entry's id: ask for what is `after` it.
    last_id: Option<String>,
    /// Whether there are more.
    has_more: bool,
}

/// The only id of a path.
pub(crate) struct Id<T>(pub(crate) T);

/// The two ids of a path, in order.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

/// An id that a path may hold.
pub(crate) trait PathId: FromStr<Err = IdError> + std::fmt::Display {
    /// What it is of, for the sentence that there is none.
    const WHAT: &'static str;
}

macro_rules! path_ids {
    ($($id:ty = $what:literal),* $(,)?) => {$(
        impl PathId for $id {
            const WHAT: &'static str = $what;
        }
    )*};
}

path_ids! {
    ApiKeyId = "API key", AppealId = "appeal", TakedownId = "notice", BatchId = "batch", CharacterId = "character", DecisionId = "decision", DestinationId = "destination",
    ExportId = "export", FileId = "file", FolderId = "folder", IdentityId = "identity", ImportId = "import",
    LedgerEntryId = "ledger entry", MessageId = "message", PasskeyId = "passkey", ProjectId = "project",
    ReceiptId = "receipt", ReportId = "report", RightsAgentId = "agent", RightsId = "entry", SessionId = "session", SunsetId = "sunset", VideoId = "video",
    WebhookEndpointId = "webhook endpoint",
    EnrolmentId = "enrolment", UseId = "use", ConsentId = "consent", RightsRequestId = "request",
}

/// Reads an id that stands in a path; what is none names nothing.
pub(crate) fn path_id<T: PathId>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(T::WHAT))
}

/// The values in a path, in order.
pub(crate) async fn path_texts<S: Send + Sync>(parts: &mut Parts, state: &S) -> Vec<String> {
    match RawPathParams::from_request_parts(parts, state).await {
        Ok(params) => params.iter().map(|(_, value)| value.to_owned()).collect(),
        // Not UTF-8: it names nothing.
        Err(_) => Vec::new(),
    }
}

impl<S: Send + Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        path_id(texts.last().map_or("", String::as_str)).map(Self)
    }
}

impl<S: Send + Sync, A: PathId, B: PathId> FromRequestParts<S> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = path_texts(parts, state).await;
        let text = |at: usize| texts.get(at).map_or("", String::as_str);
        Ok(Self(path_id(text(0))?, path_id(text(1))?))
    }
}

/// A query's values; unknown ones are nobody's business.
pub(crate) struct Values(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Values {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        match query {
            // No row of PostgreSQL can hold the character NUL, so none is looked for by it.
            Ok(Query(values)) if values.values().all(|value| !value.contains('\0')) => Ok(Self(values)),
            _ => Err(ApiError::bad_request("The query could not be read.")),
        }
    }
}

impl Values {
    /// A value; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Which page is wanted: `limit` 0 to 100, 20 if it is not said; `order`; `after`.
    pub(crate) fn page<T: PathId>(&self) -> Result<Page<T>, ApiError> {
        self.page_of_at_most(100)
    }

    /// Which page is wanted, of so many at most.
    pub(crate) fn page_of_at_most<T: PathId>(&self, most: u32) -> Result<Page<T>, ApiError> {
        let limit = match self.get("limit").map(str::parse::<u32>) {
            None => 20,
            Some(Ok(limit)) if limit <= most => limit,
            Some(_) => {
                return Err(ApiError::invalid("limit", format!("'limit' must be a whole number from 0 to {most}.")));
            }
        };
        let order = match self.get("order") {
            None | Some("desc") => Order::Descending,
            Some("asc") => Order::Ascending,
            Some(_) => return Err(ApiError::invalid("order", "'order' must be asc or desc.")),
        };
        let refused = |error: IdError| ApiError::invalid("after", format!("'after' must be an id: {error}."));
        let after = self.get("after").map(str::parse).transpose().map_err(refused)?;
        Ok(Page { after, limit, order })
    }
}

impl<T> List<T> {
    /// A page of these entries.
    pub(crate) fn new(data: Vec<T>, id: impl Fn(&T) -> String, has_more: bool) -> Self {
        let (first_id, last_id) = (data.first().map(&id), data.last().map(&id));
        Self { object: "list", data, first_id, last_id, has_more }
    }

    /// A page of rows, one more of which was asked for than `limit`, to know whether there are more.
    pub(crate) fn cut<Row>(
        mut rows: Vec<Row>,
        limit: u32,
        show: impl Fn(&Row) -> T,
        id: impl Fn(&Row) -> String,
    ) -> Self {
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let (first_id, last_id) = (rows.first().map(&id), rows.last().map(&id));
        Self { object: "list", data: rows.iter().map(show).collect(), first_id, last_id, has_more }
    }
}

/// The same page with one more entry.
pub(crate) fn one_more<T: Copy>(page: &Page<T>) -> Page<T> {
    Page { limit: page.limit.saturating_add(1), ..*page }
}
