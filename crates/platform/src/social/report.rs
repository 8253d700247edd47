//! What is told to the moderators.

use super::post::words;

/// What kind of thing a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportKind {
    /// A post.
    Post,
    /// A person's profile.
    Profile,
    /// A comment.
    Comment,
    /// A message.
    Message,
}

/// Why something is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportReason {
    /// Unwanted advertising, or the same again and again.
    Spam,
    /// Attacks on a person.
    Harassment,
    /// Attacks on a group.
    Hate,
    /// Sexual content.
    Sexual,
    /// Someone under 18 is in danger or shown in a sexual way.
    Minors,
    /// Violence.
    Violence,
    /// Self-harm.
    SelfHarm,
    /// Someone's face or voice without their consent.
    Likeness,
    /// Someone pretends to be another.
    Impersonation,
    /// Someone's work without their permission.
    Copyright,
    /// Something else.
    Other,
}

words! {
    ReportKind { Post = "post", Profile = "profile", Comment = "comment", Message = "message" }
    ReportReason {
        Spam = "spam", Harassment = "harassment", Hate = "hate", Sexual = "sexual", Minors = "minors", Violence = "violence",
        SelfHarm = "self_harm", Likeness = "likeness", Impersonation = "impersonation", Copyright = "copyright", Other = "other",
    }
}
