//! The rules of the `social` service: names, posts and who sees them, hashtags, feeds and why something is in them.

mod handle;
mod limit;
mod notice;
mod post;
mod rank;
mod report;
mod rules;
mod words;

pub use handle::{Handle, HandleRefusal};
pub use limit::{POSTING_HOURS, Posting, PostingLimit, posting_hour, posting_wait};
pub use notice::{
    ConversationFacts, MAX_REQUEST_MESSAGES, MessageDelivery, NoticeKind, NoticeTopic, NoticeWays, message_delivery,
};
pub(crate) use post::words as wording;
pub use post::{
    Act, LinkToken, ParseLinkTokenError, PostAddress, PostFacts, PostState, PromptVisibility, Relation, Switches,
    Viewer, Visibility, Way, may, sees, sees_prompt,
};
pub use rank::{
    Candidate, Cause, Engagement, FEED_WEIGHTS, RULE_WEIGHT, Ranked, Reason, Signal, VARIETY_WEIGHT, rank_feed,
};
pub use report::{ReportKind, ReportReason};
pub use rules::{Attribute, Direction, FeedRule, MAX_FEED_RULES, ReadRules, RuleSubject, RuleWords, read_feed_rules};
pub use words::{
    Bio, Caption, CommentText, DisplayName, FolderName, Hashtag, MessageText, TextRefusal, hashtags, search_words,
    speaks_of,
};
