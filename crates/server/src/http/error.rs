//! The only table from what went wrong to what a client sees: status, type, code, message.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use platform::policy::Verdict;
use platform::{KeyRefusal, MembershipRefusal, Refusal, RefusalCode, SignUpRefusal};
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

use crate::policy::JudgeError;

/// What went wrong, as an answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    retry_after_ms: Option<u64>,
    aside: Option<Box<Aside>>,
}

/// What few errors have, apart so that all are small.
#[derive(Clone, Debug, Default)]
struct Aside {
    /// What it is about where `param` says nothing, for the words of pages.
    topic: Option<String>,
    /// Where to go on instead.
    pointer: Option<String>,
    /// What the policy found.
    verdict: Option<Verdict>,
    /// Where the reasons stand, and can be contested.
    contest: Option<String>,
    /// The shot of a storyboard that it is about, counted from 1.
    shot: Option<usize>,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The error.
    error: ErrorObject,
}

/// An error: all four keys are always there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorObject {
    /// A sentence for people.
    message: String,
    /// The kind of error.
    r#type: &'static str,
    /// The field it is about.
    param: Option<String>,
    /// The stable word.
    code: Option<&'static str>,
}

const INVALID: &str = "invalid_request_error";

impl ApiError {
    fn new(status: StatusCode, code: Option<&'static str>, message: impl Into<String>) -> Self {
        let kind = if status.is_server_error() { "server_error" } else { INVALID };
        let message = message.into();
        Self { status, kind, code, param: None, message, retry_after_ms: None, aside: None }
    }

    /// 400, about a field.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalid_value"), message).about(param)
    }

    /// 400, about a field of the wrong type.
    pub(crate) fn wrong_type(param: impl Into<String>, expected: &str) -> Self {
        let param = param.into();
        let message = format!("Invalid type for '{param}': expected {expected}.");
        Self::new(StatusCode::BAD_REQUEST, Some("invalid_type"), message).about(param)
    }

    /// 400, about a field that is not there.
    pub(crate) fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        Self::new(StatusCode::BAD_REQUEST, Some("missing_required_parameter"), message).about(param)
    }

    /// 400, about a field that nobody knows; `meant` is the known one most like it.
    pub(crate) fn unknown_parameter(name: &str, meant: Option<&str>) -> Self {
        let name: String = name.chars().take(80).collect();
        let meant = meant.map_or(String::new(), |meant| format!(" Did you mean '{meant}'?"));
        let message = format!("Unknown parameter: '{name}'.{meant}");
        Self::new(StatusCode::BAD_REQUEST, Some("unknown_parameter"), message).about(name)
    }

    /// 401, for counters that are behind a token.
    pub(crate) fn no_metrics_token() -> Self {
        let message = "Send the token of the configuration as 'Authorization: Bearer TOKEN'.";
        Self::new(StatusCode::UNAUTHORIZED, Some("invalid_token"), message)
    }

    /// 400, about the whole request.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, None, message)
    }

    /// 400, because of the state that something is in. Never 409: clients would try again.
    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalid_state"), message)
    }

    /// 401, for a path that takes keys.
    pub(crate) fn no_key() -> Self {
        let message = "No API key was given. Send it as 'Authorization: Bearer KEY'.";
        Self::new(StatusCode::UNAUTHORIZED, Some("invalid_api_key"), message)
    }

    /// 401, for a path that takes a browser's session.
    pub(crate) fn no_session() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Some("sign_in_required"), "Sign in first.")
    }

    /// 401, for an act that needs a fresh sign-in.
    pub(crate) fn reauthenticate() -> Self {
        let message = "Enter your password again: this needs a sign-in within the last 10 minutes.";
        Self::new(StatusCode::UNAUTHORIZED, Some("reauth_required"), message)
    }

    /// 401, for a way in that asks for a second factor. It is told to those alone who have the first.
    pub(crate) fn second_factor_required() -> Self {
        let message = "Enter the code that your authenticator app shows too, or a recovery code.";
        Self::new(StatusCode::UNAUTHORIZED, Some("second_factor_required"), message).about("code")
    }

    /// 401, for a wrong code.
    pub(crate) fn wrong_code() -> Self {
        let message = "This code is wrong or was used before. Wait for the next one.";
        Self::new(StatusCode::UNAUTHORIZED, Some("wrong_code"), message).about("code")
    }

    /// 401, for a passkey that is nobody's or did not prove itself.
    pub(crate) fn passkey_refused() -> Self {
        let message = "This passkey is not known here, or it did not prove itself.";
        Self::new(StatusCode::UNAUTHORIZED, Some("passkey_refused"), message)
    }

    /// 400, for a link or code that works no more.
    pub(crate) fn token(code: &'static str, param: &str, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some(code), message).about(param)
    }

    /// 401, for a wrong address or password; never says which.
    pub(crate) fn wrong_credentials() -> Self {
        let message = "This address and password do not belong together.";
        Self::new(StatusCode::UNAUTHORIZED, Some("wrong_credentials"), message)
    }

    /// 403.
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Some(code), message)
    }

    /// 403, of a clip in which someone appears who lets nobody, or not this maker, any more.
    pub(crate) fn likeness(code: &'static str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some(first) = message.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(StatusCode::FORBIDDEN, Some(code), message)
    }

    /// 404.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, Some("not_found"), format!("There is no such {what}."))
    }

    /// 404, for a model.
    pub(crate) fn no_model(name: &str) -> Self {
        let message = format!("The model {name:?} does not exist here.");
        Self::new(StatusCode::NOT_FOUND, Some("model_not_found"), message).about("model")
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Some("method_not_allowed"), "This path does not take this method.")
    }

    /// 410, for what was begun before the service was erased that it belonged to.
    pub(crate) fn erased() -> Self {
        Self::new(StatusCode::GONE, Some("erased"), "What this was for has been erased.")
    }

    /// 413.
    pub(crate) fn too_large(limit_bytes: u64) -> Self {
        let message = format!("The request is larger than the {limit_bytes} bytes that are allowed.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Some("too_large"), message)
    }

    /// 416.
    pub(crate) fn range(size_bytes: u64) -> Self {
        let message = format!("The range is not within the {size_bytes} bytes.");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, Some("invalid_range"), message)
    }

    /// 429, too many requests.
    pub(crate) fn too_many_requests(retry_after: std::time::Duration) -> Self {
        let message = "Too many requests: wait and try again.";
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, Some("rate_limit_exceeded"), message);
        error.kind = "requests";
        error.retry_after_ms = Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1));
        error
    }

    /// 429, so much of what others see in so short a time.
    pub(crate) fn posting_limit(what: platform::Posting, retry_after: std::time::Duration) -> Self {
        let minutes = retry_after.as_secs().div_ceil(60);
        let message = format!("You did this very often lately. Try again in {minutes} minutes.");
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, Some("posting_limit"), message).on(what.as_str());
        error.kind = "requests";
        error.retry_after_ms = Some(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1));
        error
    }

    /// 410, what makes something anew of a model or a service that has come to its end.
    pub(crate) fn retired(code: &'static str, message: impl Into<String>, pointer: &str) -> Self {
        Self::new(StatusCode::GONE, Some(code), message).toward(pointer)
    }

    /// 500; the cause is logged here and told to nobody.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        let message = "The server had an error while processing your request.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Some("internal_error"), message)
    }

    /// 503, so much is being uploaded at once that there is no memory for more.
    pub(crate) fn uploads_full() -> Self {
        let mut error = Self::unavailable("Too much is being uploaded at once: wait and try again.");
        error.retry_after_ms = Some(5000);
        error
    }

    /// 503, nothing was changed and trying again makes sense.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, Some("unavailable"), message);
        error.retry_after_ms = Some(2000);
        error
    }

    /// The same, about a field.
    pub(crate) fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same, with where to go on instead.
    pub(crate) fn toward(mut self, pointer: &str) -> Self {
        self.aside.get_or_insert_default().pointer = Some(pointer.to_owned()).filter(|pointer| !pointer.is_empty());
        self
    }

    /// The same, with the address at which its reasons stand and can be contested.
    pub(crate) fn contested_at(mut self, address: String) -> Self {
        self.aside.get_or_insert_default().contest = Some(address);
        self
    }

    /// The same, about a shot of a storyboard, counted from 1.
    pub(crate) fn in_shot(self, number: usize) -> Self {
        let mut error = self.about("storyboard");
        error.aside.get_or_insert_default().shot = Some(number);
        error
    }

    /// The shot of a storyboard that it is about, counted from 1.
    pub(crate) fn shot(&self) -> Option<usize> {
        self.aside.as_ref()?.shot
    }

    /// Where its reasons stand, and can be contested.
    pub(crate) fn contest(&self) -> Option<&str> {
        self.aside.as_ref()?.contest.as_deref()
    }

    /// The same, for pages that have words for this topic.
    pub(crate) fn on(mut self, topic: impl Into<String>) -> Self {
        self.aside.get_or_insert_default().topic = Some(topic.into());
        self
    }

    /// The same, with what the policy found.
    pub(crate) fn by(mut self, verdict: Verdict) -> Self {
        self.aside.get_or_insert_default().verdict = Some(verdict);
        self
    }

    /// What the policy found, where it refused.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.aside.as_ref()?.verdict.as_ref()
    }

    /// The field it is about.
    pub(crate) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// What it is about where no field says it.
    pub(crate) fn topic(&self) -> Option<&str> {
        self.aside.as_ref()?.topic.as_deref()
    }

    /// Where to go on instead.
    pub(crate) fn pointer(&self) -> Option<&str> {
        self.aside.as_ref()?.pointer.as_deref()
    }

    /// How long to wait before trying again.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        self.retry_after_ms.map(std::time::Duration::from_millis)
    }

    /// The object under `error`, as lines of a batch keep it.
    pub(crate) fn object(&self) -> serde_json::Value {
        serde_json::json!({ "message": self.told(), "type": self.kind, "param": self.param, "code": self.code })
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable word.
    pub(crate) fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// What a page that shows this error says of it beside its words: the status, and how long to wait.
    pub(crate) fn mark(&self, response: &mut Response) {
        *response.status_mut() = self.status;
        retry_headers(self.retry_after_ms, response.headers_mut());
    }

    /// The sentence for people, without the shot.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The sentence for people.
    fn told(&self) -> String {
        match self.shot() {
            Some(number) => format!("Shot {number}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

impl IntoResponse for ApiError {
    /// JSON; pages take the error from the answer and show it in their own way.
    fn into_response(self) -> Response {
        let kept = self.clone();
        let error = ErrorObject { message: self.told(), r#type: self.kind, param: self.param, code: self.code };
        let mut response = (self.status, Json(ErrorBody { error })).into_response();
        if let Some(link) =
            kept.contest().and_then(|url| HeaderValue::from_str(&format!("<{url}>; rel=\"describedby\"")).ok())
        {
            response.headers_mut().insert(header::LINK, link);
        }
        response.extensions_mut().insert(kept);
        retry_headers(self.retry_after_ms, response.headers_mut());
        response
    }
}

/// Says in headers how long to wait.
fn retry_headers(millis: Option<u64>, headers: &mut HeaderMap) {
    if let Some(millis) = millis {
        headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(millis));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            RefusalCode::RateLimitExceeded | RefusalCode::InsufficientQuota => StatusCode::TOO_MANY_REQUESTS,
            RefusalCode::InvalidValue
            | RefusalCode::InvalidType
            | RefusalCode::MissingRequiredParameter
            | RefusalCode::EmptyString
            | RefusalCode::StringAboveMaxLength
            | RefusalCode::UnknownParameter
            | RefusalCode::ModelNotFound
            | RefusalCode::ModerationBlocked
            | RefusalCode::IdempotencyMismatch
            | RefusalCode::InvalidState
            | RefusalCode::LikenessLimit => StatusCode::BAD_REQUEST,
            RefusalCode::LikenessRevoked | RefusalCode::LikenessConsentOutdated | RefusalCode::LikenessNotPermitted => {
                StatusCode::FORBIDDEN
            }
        };
        let mut error = Self::new(status, Some(refusal.code.as_str()), refusal.message);
        error.param = refusal.param.map(str::to_owned);
        match refusal.code {
            // An unfinished clip frees a place soon; a day's quota or credits do not come back within a retry.
            RefusalCode::RateLimitExceeded => (error.kind, error.retry_after_ms) = ("requests", Some(5000)),
            RefusalCode::InsufficientQuota => {
                (error.kind, error.retry_after_ms) = ("insufficient_quota", Some(600_000))
            }
            _ => {}
        }
        error
    }
}

impl From<JudgeError> for ApiError {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::NoAnswer(_) => Self::unavailable(
                "The moderation service of this place does not answer, so this is refused for now. Nothing was charged; try again.",
            ),
            JudgeError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::Refused(refusal) => refusal.into(),
            StoreError::Exists(what) => Self::state(sentence(&error.to_string())).on(format!("exists {what}")),
            StoreError::State { what, .. } => Self::state(sentence(&error.to_string())).on(what),
            StoreError::Range { size_bytes } => Self::range(size_bytes),
            StoreError::Erased => Self::erased(),
            StoreError::Database(_)
            | StoreError::Migrate(_)
            | StoreError::DatabaseUrl(_)
            | StoreError::NoSealer
            | StoreError::Unsealable
            | StoreError::Corrupt { .. }
            | StoreError::Objects(_)
            | StoreError::ObjectsPlace(_)
            | StoreError::Statement(_)
            | StoreError::Backup { .. }
            | StoreError::Keys(_)
            | StoreError::Restore(_) => Self::internal(&chain(&error)),
        }
    }
}

impl From<MembershipRefusal> for ApiError {
    fn from(refusal: MembershipRefusal) -> Self {
        let status = match refusal {
            MembershipRefusal::Closed(_) | MembershipRefusal::Retired(_) => StatusCode::GONE,
            MembershipRefusal::NotMember(_) | MembershipRefusal::Restricted(_) | MembershipRefusal::Suspended(_) => {
                StatusCode::FORBIDDEN
            }
        };
        Self::new(status, Some(refusal.code()), sentence(&refusal.to_string()))
    }
}

impl From<KeyRefusal> for ApiError {
    fn from(refusal: KeyRefusal) -> Self {
        let status = match refusal {
            KeyRefusal::Unknown | KeyRefusal::Revoked | KeyRefusal::Expired => StatusCode::UNAUTHORIZED,
            KeyRefusal::Address | KeyRefusal::Scope(_) => StatusCode::FORBIDDEN,
        };
        Self::new(status, Some(refusal.code()), sentence(&refusal.to_string()))
    }
}

impl From<SignUpRefusal> for ApiError {
    fn from(refusal: SignUpRefusal) -> Self {
        let code = match refusal {
            SignUpRefusal::Closed => "sign_up_closed",
            SignUpRefusal::InviteNeeded => "invite_needed",
            SignUpRefusal::InviteUnknown => "invite_unknown",
            SignUpRefusal::InviteExpired => "invite_expired",
            SignUpRefusal::InviteUsedUp => "invite_used_up",
        };
        Self::forbidden(code, sentence(&refusal.to_string()))
    }
}

/// A library's words as a sentence.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let text: String = first.chain(letters).collect();
    if text.ends_with('.') { text } else { text + "." }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
