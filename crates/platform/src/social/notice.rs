//! What people are told, and who may write to whom.

use super::post::words;

/// What someone is told of. Notices of one kind about one thing are one until they are read: «mika and 3 others like this».
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// Someone follows them.
    Followed,
    /// Someone asks to.
    FollowAsked,
    /// Someone lets them follow.
    FollowAccepted,
    /// Someone likes their post.
    Liked,
    /// Someone wrote below their post.
    Commented,
    /// Someone answered their comment.
    Answered,
    /// Someone made something from their post.
    Remixed,
}

words! {
    NoticeKind {
        Followed = "followed", FollowAsked = "follow_asked", FollowAccepted = "follow_accepted", Liked = "liked",
        Commented = "commented", Answered = "answered", Remixed = "remixed",
    }
}

/// What someone can want to be told of, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeTopic {
    /// Their posts are liked.
    Likes,
    /// Someone writes below their posts, or answers them.
    Comments,
    /// Someone follows them, asks to, or lets them follow.
    Follows,
    /// Something was made from their posts.
    Remixes,
    /// Someone writes to them.
    Messages,
    /// A clip of theirs is finished, or cannot be made.
    Clips,
}

words! {
    NoticeTopic {
        Likes = "likes", Comments = "comments", Follows = "follows", Remixes = "remixes", Messages = "messages", Clips = "clips",
    }
}

/// In which ways someone is told of something. At the start: in the app, and not by mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeWays {
    /// In the app.
    pub in_app: bool,
    /// By mail, to an address that is confirmed.
    pub by_mail: bool,
}

impl Default for NoticeWays {
    fn default() -> Self {
        Self { in_app: true, by_mail: false }
    }
}

impl NoticeKind {
    /// What it is one of.
    pub fn topic(self) -> NoticeTopic {
        match self {
            Self::Liked => NoticeTopic::Likes,
            Self::Commented | Self::Answered => NoticeTopic::Comments,
            Self::Followed | Self::FollowAsked | Self::FollowAccepted => NoticeTopic::Follows,
            Self::Remixed => NoticeTopic::Remixes,
        }
    }
}

/// What is known of a conversation when someone wants to write into it. Neither has blocked the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationFacts {
    /// Whether both write freely.
    pub accepted: bool,
    /// Whether it was the other who began it.
    pub other_began: bool,
    /// Whether the one who did not begin it wants none of it.
    pub declined: bool,
    /// Whether the other follows the writer.
    pub other_follows: bool,
    /// How many messages the writer has in it.
    pub own_messages: u64,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageDelivery {
    /// It is delivered, and both write freely from now on.
    Open,
    /// It waits among the other's requests.
    Request,
    /// It is not taken.
    Refused,
}

/// How many messages a request has at most: enough to say who one is, too few to pester.
pub const MAX_REQUEST_MESSAGES: u64 = 3;

/// Decides a message. To answer a request is to accept it, also after it was declined.
pub fn message_delivery(facts: ConversationFacts) -> MessageDelivery {
    if facts.accepted || facts.other_began {
        MessageDelivery::Open
    } else if facts.declined {
        MessageDelivery::Refused
    } else if facts.other_follows {
        MessageDelivery::Open
    } else if facts.own_messages < MAX_REQUEST_MESSAGES {
        MessageDelivery::Request
    } else {
        MessageDelivery::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_asks_first() {
        let check = |facts, expected| assert_eq!(message_delivery(facts), expected, "{facts:?}");
        let new = ConversationFacts::default();
        check(new, MessageDelivery::Request);
        check(ConversationFacts { own_messages: 3, ..new }, MessageDelivery::Refused);
        check(ConversationFacts { own_messages: 3, other_follows: true, ..new }, MessageDelivery::Open);
        check(ConversationFacts { declined: true, other_follows: true, ..new }, MessageDelivery::Refused);
        check(ConversationFacts { other_began: true, ..new }, MessageDelivery::Open);
        check(ConversationFacts { other_began: true, declined: true, ..new }, MessageDelivery::Open);
        check(ConversationFacts { accepted: true, own_messages: 99, ..new }, MessageDelivery::Open);
    }
}
