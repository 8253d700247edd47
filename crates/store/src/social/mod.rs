//! The rows of the `social` service. Whoever writes shows an `ActiveMembership` of it, whoever reads is a `Viewer`. Lists are
//! filtered by [`LISTED`], single posts by `platform::sees`; a test holds the two together.

mod comment;
mod feed;
mod for_you;
mod leaving;
mod limit;
mod message;
mod news;
mod notice;
mod post;
mod profile;
mod relation;
mod report;
mod search;

pub(crate) use comment::set_comment_withheld;
pub use comment::{Comment, NewComment};
pub use feed::Listing;
pub(crate) use for_you::PublicPostsCache;
pub use for_you::{FeedSettings, Suggested};
pub(crate) use leaving::{LEAVING, leave};
pub(crate) use message::set_message_withheld;
pub use message::{Conversation, Message, NewMessage};
pub use news::News;
pub use notice::Notice;
pub use post::{AuthorCard, NewPost, Post, PostEdit, PostMedia, RemixNode};
pub(crate) use post::{erase_post, set_withheld, shown, warm};
pub use profile::{NewProfile, Profile};
pub(crate) use profile::{is_anothers, set_profile_withheld};
pub use relation::FollowState;
pub use report::{NewReport, Report, ReportSubject};

use platform::{ActiveMembership, IdentityId, Service};

use crate::likeness::stands;

/// Whether someone's membership lets others see them; `$who` stands for a column.
pub(crate) fn is_present(who: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM memberships m WHERE m.identity = {who} AND m.service = 'social'
                 AND m.state IN ('active', 'restricted'))"
    )
}

/// Whether neither of viewer `$1` and someone has blocked the other.
pub(crate) fn no_block(who: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = $1 AND b.blocked = {who})
         AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = {who} AND b.blocked = $1)"
    )
}

/// Whether viewer `$1` sees post `p` in a list: `platform::sees` of published posts, in SQL.
pub(crate) fn listed() -> String {
    format!(
        "p.state = 'published'
         AND (p.author = $1 OR p.visibility = 'public' OR (p.visibility = 'followers' AND EXISTS (
              SELECT 1 FROM follows f WHERE f.follower = $1 AND f.followed = p.author AND f.accepted_at IS NOT NULL)))
         AND {} AND {} AND {}",
        no_block("p.author"),
        is_present("p.author"),
        stands("p.video", "p.author")
    )
}

/// Whose membership of this service it is. Permission for another service is the caller's bug.
pub(crate) fn person(member: ActiveMembership) -> IdentityId {
    assert_eq!(member.service(), Service::Social, "permission for another service was shown to `social`");
    member.identity()
}
