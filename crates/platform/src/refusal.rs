//! Why a request was refused: the caller's side of an error, in the API's words.

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The stable word.
    pub code: RefusalCode,
    /// The field it is about.
    pub param: Option<&'static str>,
    /// A sentence for whoever asked: what is wrong and what is allowed.
    pub message: String,
}

/// The stable words of the API for what a caller can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// A value that is not on offer.
    InvalidValue,
    /// A value of the wrong type.
    InvalidType,
    /// A field is missing.
    MissingRequiredParameter,
    /// A text is empty.
    EmptyString,
    /// A text is too long.
    StringAboveMaxLength,
    /// A field that nobody knows.
    UnknownParameter,
    /// A model that is not installed.
    ModelNotFound,
    /// The policy stopped it.
    ModerationBlocked,
    /// Too many requests or jobs.
    RateLimitExceeded,
    /// No credit or daily seconds left.
    InsufficientQuota,
    /// The same idempotency key with another request.
    IdempotencyMismatch,
    /// The source is not finished, or is not of a kind that can be used.
    InvalidState,
    /// A likeness that was withdrawn, or whose consent has ended.
    LikenessRevoked,
    /// A likeness whose consent was worded anew.
    LikenessConsentOutdated,
    /// A likeness that is not for this caller.
    LikenessNotPermitted,
    /// What its person does not want shown.
    LikenessLimit,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: RefusalCode, param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { code, param, message: message.into() }
    }
}

impl RefusalCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::InvalidValue,
        Self::InvalidType,
        Self::MissingRequiredParameter,
        Self::EmptyString,
        Self::StringAboveMaxLength,
        Self::UnknownParameter,
        Self::ModelNotFound,
        Self::ModerationBlocked,
        Self::RateLimitExceeded,
        Self::InsufficientQuota,
        Self::IdempotencyMismatch,
        Self::InvalidState,
        Self::LikenessRevoked,
        Self::LikenessConsentOutdated,
        Self::LikenessNotPermitted,
        Self::LikenessLimit,
    ];

    /// The word as answers carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidValue => "invalid_value",
            Self::InvalidType => "invalid_type",
            Self::MissingRequiredParameter => "missing_required_parameter",
            Self::EmptyString => "empty_string",
            Self::StringAboveMaxLength => "string_above_max_length",
            Self::UnknownParameter => "unknown_parameter",
            Self::ModelNotFound => "model_not_found",
            Self::ModerationBlocked => "moderation_blocked",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::InsufficientQuota => "insufficient_quota",
            Self::IdempotencyMismatch => "idempotency_key_reused",
            Self::InvalidState => "invalid_state",
            Self::LikenessRevoked => "likeness_revoked",
            Self::LikenessConsentOutdated => "likeness_consent_outdated",
            Self::LikenessNotPermitted => "likeness_not_permitted",
            Self::LikenessLimit => "likeness_limit",
        }
    }
}
