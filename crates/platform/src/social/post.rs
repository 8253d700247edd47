//! Posts: who sees them, and who may do what with them. One table for every page, feed, search, link and file.

use crate::hex;
use crate::id::{IdentityId, PostId};
use crate::membership::{ActiveMembership, ReadableMembership};

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer(Option<IdentityId>);

/// For whom a post is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visibility {
    /// Its author.
    #[default]
    OnlyMe,
    /// Whoever has its link.
    Link,
    /// Who follows its author.
    Followers,
    /// Everyone.
    Public,
}

/// Where a post stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostState {
    /// Not shown yet.
    #[default]
    Draft,
    /// Shown to whom it is for.
    Published,
    /// Kept back: by a decision, or because its author's membership is suspended or ending.
    Withheld,
    /// Deleted by its author; undo may still be possible.
    Deleted,
}

/// How a viewer stands to a post's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// It is theirs.
    Author,
    /// They follow the author, who lets them.
    Follower,
    /// Signed in, nothing else.
    Stranger,
    /// One of the two has blocked the other.
    Blocked,
    /// Signed out.
    SignedOut,
}

/// How a viewer comes to a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// It stands in a list: feeds, profiles, hashtags, search, Atom.
    Listed,
    /// They open it by its id: page, embed, API, its media.
    Opened,
    /// They open it by its secret link.
    ByLink,
}

/// What can be done with a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Liking it.
    Like,
    /// Writing below it.
    Comment,
    /// Making something new of it.
    Remix,
    /// Keeping its file.
    Download,
    /// Telling the moderators of it.
    Report,
}

/// Whether others read the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PromptVisibility {
    /// They do not.
    #[default]
    Hidden,
    /// They read it.
    Visible,
    /// They read it and have it put into their own box with one tap.
    Reusable,
}

/// What the author lets others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Whether they read the prompt.
    pub prompt: PromptVisibility,
    /// Whether they make something new of it.
    pub remix: bool,
    /// Whether they keep the file.
    pub download: bool,
    /// Whether they write below it.
    pub comments: bool,
}

/// What a decision about a post asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostFacts {
    /// Where it stands.
    pub state: PostState,
    /// For whom it is.
    pub visibility: Visibility,
    /// What its author lets others do.
    pub switches: Switches,
}

/// The secret of a post's link: 128 random bits, 32 digits. Whoever has it may see the post, so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkToken([u8; 16]);

/// A post as someone names it. The secret is the proof that they have the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostAddress {
    /// By its id.
    Id(PostId),
    /// By its secret link.
    Link(LinkToken),
}

/// A text that is no link token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no link to a post")]
pub struct ParseLinkTokenError;

/// Whether someone sees a post. Every page, list and file asks this or the SQL that is tested against it.
pub fn sees(relation: Relation, post: PostFacts, way: Way) -> bool {
    match (post.state, relation) {
        (PostState::Deleted, _) | (_, Relation::Blocked) => false,
        (_, Relation::Author) => true,
        (PostState::Draft | PostState::Withheld, _) => false,
        (PostState::Published, _) => match post.visibility {
            Visibility::OnlyMe => false,
            Visibility::Link => way == Way::ByLink,
            Visibility::Followers => relation == Relation::Follower,
            Visibility::Public => true,
        },
    }
}

/// Whether someone reads a post's prompt.
pub fn sees_prompt(relation: Relation, post: PostFacts, way: Way) -> bool {
    sees(relation, post, way) && (relation == Relation::Author || post.switches.prompt != PromptVisibility::Hidden)
}

/// Whether someone may do something with a post. That they are an active member is another question, which
/// [`crate::Membership::active`] answers.
pub fn may(relation: Relation, post: PostFacts, way: Way, act: Act) -> bool {
    if !sees(relation, post, way) {
        return false;
    }
    let (author, published) = (relation == Relation::Author, post.state == PostState::Published);
    match (act, relation) {
        (Act::Download, _) => author || post.switches.download,
        (_, Relation::SignedOut) => false,
        (Act::Like, _) => published,
        (Act::Comment, _) => published && (author || post.switches.comments),
        (Act::Remix, _) => author || post.switches.remix,
        (Act::Report, _) => !author,
    }
}

impl PostAddress {
    /// How whoever names it so comes to it.
    pub fn way(self) -> Way {
        match self {
            Self::Id(_) => Way::Opened,
            Self::Link(_) => Way::ByLink,
        }
    }

    /// The word for it in an address, a secret if it is a link's.
    pub fn reveal(self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Link(token) => token.reveal(),
        }
    }
}

impl std::str::FromStr for PostAddress {
    type Err = ParseLinkTokenError;

    fn from_str(text: &str) -> Result<Self, ParseLinkTokenError> {
        text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Link))
    }
}

impl From<PostId> for PostAddress {
    fn from(id: PostId) -> Self {
        Self::Id(id)
    }
}

impl From<LinkToken> for PostAddress {
    fn from(token: LinkToken) -> Self {
        Self::Link(token)
    }
}

impl Viewer {
    /// Someone who is not signed in, or no member of the service.
    pub const SIGNED_OUT: Self = Self(None);

    /// A member of the service.
    pub fn member(membership: ReadableMembership) -> Self {
        Self((membership.service() == crate::Service::Social).then_some(membership.identity()))
    }

    /// Who, if they are signed in.
    pub fn identity(self) -> Option<IdentityId> {
        self.0
    }
}

impl From<ActiveMembership> for Viewer {
    fn from(membership: ActiveMembership) -> Self {
        Self((membership.service() == crate::Service::Social).then_some(membership.identity()))
    }
}

impl Default for Switches {
    /// The prompt is hidden and the file stays here; remixes, which carry credit, and comments are welcome.
    fn default() -> Self {
        Self { prompt: PromptVisibility::Hidden, remix: true, download: false, comments: true }
    }
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in rows, forms and answers.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            /// The one of this word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }
    )*};
}
pub(crate) use words;

words! {
    Visibility { OnlyMe = "only_me", Link = "link", Followers = "followers", Public = "public" }
    PostState { Draft = "draft", Published = "published", Withheld = "withheld", Deleted = "deleted" }
    PromptVisibility { Hidden = "hidden", Visible = "visible", Reusable = "reusable" }
}

impl LinkToken {
    /// A token of 16 random bytes.
    pub const fn new(entropy: [u8; 16]) -> Self {
        Self(entropy)
    }

    /// The bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The digits, for the link.
    pub fn reveal(self) -> String {
        hex::encode(&self.0)
    }
}

impl std::str::FromStr for LinkToken {
    type Err = ParseLinkTokenError;

    fn from_str(text: &str) -> Result<Self, ParseLinkTokenError> {
        hex::decode(text).map(Self).ok_or(ParseLinkTokenError)
    }
}

impl std::fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELATIONS: [Relation; 5] =
        [Relation::Author, Relation::Follower, Relation::Stranger, Relation::Blocked, Relation::SignedOut];
    const ALLOWED: Switches =
        Switches { prompt: PromptVisibility::Reusable, remix: true, download: true, comments: true };

    /// Columns: author, follower, stranger, blocked, signed out; in each, listed, opened, by link.
    const SEES: [(PostState, Visibility, &str); 16] = [
        (PostState::Draft, Visibility::OnlyMe, "yyy ... ... ... ..."),
        (PostState::Draft, Visibility::Link, "yyy ... ... ... ..."),
        (PostState::Draft, Visibility::Followers, "yyy ... ... ... ..."),
        (PostState::Draft, Visibility::Public, "yyy ... ... ... ..."),
        (PostState::Published, Visibility::OnlyMe, "yyy ... ... ... ..."),
        (PostState::Published, Visibility::Link, "yyy ..y ..y ... ..y"),
        (PostState::Published, Visibility::Followers, "yyy yyy ... ... ..."),
        (PostState::Published, Visibility::Public, "yyy yyy yyy ... yyy"),
        (PostState::Withheld, Visibility::OnlyMe, "yyy ... ... ... ..."),
        (PostState::Withheld, Visibility::Link, "yyy ... ... ... ..."),
        (PostState::Withheld, Visibility::Followers, "yyy ... ... ... ..."),
        (PostState::Withheld, Visibility::Public, "yyy ... ... ... ..."),
        (PostState::Deleted, Visibility::OnlyMe, "... ... ... ... ..."),
        (PostState::Deleted, Visibility::Link, "... ... ... ... ..."),
        (PostState::Deleted, Visibility::Followers, "... ... ... ... ..."),
        (PostState::Deleted, Visibility::Public, "... ... ... ... ..."),
    ];

    #[test]
    fn who_sees_what() {
        for (state, visibility, row) in SEES {
            let post = PostFacts { state, visibility, switches: ALLOWED };
            for (relation, expected) in RELATIONS.into_iter().zip(row.split(' ')) {
                for (way, expected) in [Way::Listed, Way::Opened, Way::ByLink].into_iter().zip(expected.chars()) {
                    assert_eq!(sees(relation, post, way), expected == 'y', "{relation:?} {post:?} {way:?}");
                    assert_eq!(sees_prompt(relation, post, way), expected == 'y');
                    let hidden = PostFacts { switches: Switches::default(), ..post };
                    let author = relation == Relation::Author;
                    assert_eq!(sees_prompt(relation, hidden, way), author && expected == 'y');
                }
            }
        }
    }

    /// Columns: author, follower, stranger, blocked, signed out; in each, like, comment, remix, download, report. First everything
    /// allowed, then nothing.
    const MAY: [(PostState, &str, &str); 4] = [
        (PostState::Draft, "..yy. ..... ..... ..... .....", "..yy. ..... ..... ..... ....."),
        (PostState::Published, "yyyy. yyyyy yyyyy ..... ...y.", "yyyy. y...y y...y ..... ....."),
        (PostState::Withheld, "..yy. ..... ..... ..... .....", "..yy. ..... ..... ..... ....."),
        (PostState::Deleted, "..... ..... ..... ..... .....", "..... ..... ..... ..... ....."),
    ];

    #[test]
    fn who_may_do_what() {
        let nothing = Switches { prompt: PromptVisibility::Hidden, remix: false, download: false, comments: false };
        let acts = [Act::Like, Act::Comment, Act::Remix, Act::Download, Act::Report];
        for (state, all, none) in MAY {
            for (switches, row) in [(ALLOWED, all), (nothing, none)] {
                let post = PostFacts { state, visibility: Visibility::Public, switches };
                for (relation, expected) in RELATIONS.into_iter().zip(row.split(' ')) {
                    for (act, expected) in acts.into_iter().zip(expected.chars()) {
                        let context = format!("{relation:?} {state:?} {act:?} {switches:?}");
                        assert_eq!(may(relation, post, Way::Opened, act), expected == 'y', "{context}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_seen_cannot_be_acted_on() {
        for (state, visibility, _) in SEES {
            let post = PostFacts { state, visibility, switches: ALLOWED };
            for relation in RELATIONS {
                for way in [Way::Listed, Way::Opened, Way::ByLink] {
                    let any = [Act::Like, Act::Comment, Act::Remix, Act::Download, Act::Report]
                        .into_iter()
                        .any(|act| may(relation, post, way, act));
                    assert!(!any || sees(relation, post, way));
                }
            }
        }
    }

    #[test]
    fn a_link_token_is_read_back_and_not_printed() {
        let token = LinkToken::new([0xab; 16]);
        assert_eq!(token.reveal().parse(), Ok(token));
        assert_eq!(format!("{token:?}"), "LinkToken");
        assert!("abab".parse::<LinkToken>().is_err());
    }
}
