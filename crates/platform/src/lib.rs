//! The product's rules: who may do what, what may be asked for, what it costs, what happens next.
//!
//! Plain functions of values. Time comes in as a [`Timestamp`], randomness as bytes; nothing here waits, asks a
//! clock, opens a file or knows how JSON or SQL spell things.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod id;
mod month;
mod time;

mod appeal;
mod decision;
mod membership;
mod retention;
mod second_factor;
mod sign_up;
mod sunset;
mod takedown;
mod tier;

mod api_key;
mod network;
mod secrets;
mod token;

mod cut;
mod generation;
mod idempotency;
mod model;
mod parameters;
pub mod policy;
mod refusal;

mod library;
pub mod likeness;

mod job;
mod price;
mod rate_limit;

mod batch;
mod webhook;

mod social;

mod hex;

pub use api_key::{ApiKey, ApiKeySecret, KeyRefusal, MalformedKey, OverlapTooLong, Scope, Scopes, VerifiedKey};
pub use appeal::{APPEAL_LENGTH, APPEAL_TIME, APPEAL_WINDOW, AppealOutcome, AppealRefusal};
pub use batch::{BatchEvent, BatchState, COMPLETION_WINDOW, MAX_INPUT_BYTES, MAX_LINES};
pub use cut::Cut;
pub use decision::{
    DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionError, DecisionRecord, DecisionScope, DecisionState,
    HOUSE_RULES, IDENTITY_GROUNDS,
};
pub use generation::{
    ClipSource, ExtensionDirection, GenerationError, GenerationErrorCode, GenerationEvent, GenerationKind,
    GenerationState, Progress, extended,
};
pub use hex::encode as hex;
pub use id::{
    ApiKeyId, AppealId, BatchId, CharacterId, CommentId, ConsentId, ConversationId, DecisionId, DestinationId,
    EnrolmentId, EventId, ExportId, FileId, FolderId, IdError, IdentityId, ImportId, LedgerEntryId, LetterId,
    LikenessId, MessageId, NoticeId, PasskeyId, PlaceId, PostId, ProjectId, ReceiptId, ReportId, RightsAgentId,
    RightsId, RightsRequestId, SessionId, SunsetId, TakedownId, UseId, VideoId, WebhookEndpointId,
};
pub use idempotency::{Fingerprint, IdempotencyKey};
pub use job::{AttemptFailure, HEARTBEAT, LEASE, MAX_ATTEMPTS, Place, Retry, Route, VirtualTime, after_failure, place};
pub use library::{MAX_FOLDERS, MAX_PICKED, TRASH_DAYS, TRASH_TIME};
pub use membership::{
    ActiveMembership, Membership, MembershipEvent, MembershipRefusal, MembershipState, ReadableMembership, Role,
    Service,
};
pub use model::{Catalogue, CatalogueError, ModelName, Offer};
pub use month::Month;
pub use network::{IpRange, IpRangeError};
pub use parameters::{ClipCount, Parameters, Prompt, Seconds, Size, Words};
pub use price::{Credits, LedgerKind, Rate};
pub use rate_limit::{RateDecision, RateState, header_duration, rate_decision};
pub use refusal::{Refusal, RefusalCode};
pub use retention::{DataClass, Owner, Rule, Schedule, ScheduleError, Trigger};
pub use second_factor::next_code_at;
pub use secrets::{SecretKind, find_secrets, placeholder, without_secrets};
pub use sign_up::{Invite, SignUpMode, SignUpRefusal, sign_up_tier};
pub use social::{
    Act, Attribute, Bio, Candidate, Caption, Cause, CommentText, ConversationFacts, Direction, DisplayName, Engagement,
    FEED_WEIGHTS, FeedRule, FolderName, Handle, HandleRefusal, Hashtag, LinkToken, MAX_FEED_RULES,
    MAX_REQUEST_MESSAGES, MessageDelivery, MessageText, NoticeKind, NoticeTopic, NoticeWays, POSTING_HOURS,
    ParseLinkTokenError, PostAddress, PostFacts, PostState, Posting, PostingLimit, PromptVisibility, RULE_WEIGHT,
    Ranked, ReadRules, Reason, Relation, ReportKind, ReportReason, RuleSubject, RuleWords, Signal, Switches,
    TextRefusal, VARIETY_WEIGHT, Viewer, Visibility, Way, hashtags, may, message_delivery, posting_hour, posting_wait,
    rank_feed, read_feed_rules, search_words, sees, sees_prompt, speaks_of,
};
pub use sunset::{EXPORT_OPEN, NOTICE, Sunset, SunsetStep, SunsetSubject, sunset_step};
pub use takedown::{
    MAX_OPEN_NOTICES, MAX_REFUSED_NOTICES, REFUSALS_COUNTED, RESTORE_DAYS, TakedownKind, TakedownState,
    business_days_after,
};
pub use tier::{Quotas, Tier, Usage};
pub use time::Timestamp;
pub use token::{Token, TokenError, TokenHash, TokenKind};
pub use webhook::{DELIVERY_WINDOW, Event, EventSubject, EventType, WebhookSecret, next_delivery};
