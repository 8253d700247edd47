//! Handles: the names by which people are called, `@mika`. No two may look alike.

use unicode_normalization::UnicodeNormalization;

/// A handle: 3 to 30 of `a`–`z`, `0`–`9` and `_`, with a letter in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(String);

/// Why a text is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleRefusal {
    /// Too short or too long.
    #[error("a handle has 3 to 30 characters")]
    Length,
    /// Other characters.
    #[error("a handle has only the letters a to z, digits and underscores, and at least one letter")]
    Characters,
    /// A word that would deceive.
    #[error("this handle is reserved")]
    Reserved,
}

/// Words that would look like the installation itself, or that stand in addresses.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "anonymous",
    "api",
    "assets",
    "avatar",
    "blog",
    "comment",
    "comments",
    "contact",
    "deleted",
    "developer",
    "developers",
    "docs",
    "download",
    "draft",
    "drafts",
    "edit",
    "embed",
    "everyone",
    "explore",
    "export",
    "feed",
    "feeds",
    "follow",
    "followers",
    "following",
    "for_you",
    "generate",
    "health",
    "help",
    "home",
    "import",
    "info",
    "invite",
    "latest",
    "legal",
    "library",
    "likeness",
    "login",
    "logout",
    "mail",
    "media",
    "message",
    "messages",
    "metrics",
    "misora",
    "moderation",
    "moderator",
    "moderators",
    "new",
    "nobody",
    "notices",
    "null",
    "oembed",
    "official",
    "openai",
    "owner",
    "passkey",
    "password",
    "post",
    "posts",
    "press",
    "privacy",
    "profile",
    "public",
    "ready",
    "register",
    "remix",
    "report",
    "root",
    "safety",
    "search",
    "security",
    "service",
    "session",
    "sessions",
    "settings",
    "setup",
    "share",
    "sign_in",
    "sign_up",
    "sora",
    "staff",
    "static",
    "status",
    "support",
    "system",
    "tag",
    "tags",
    "team",
    "terms",
    "test",
    "trash",
    "undefined",
    "user",
    "users",
    "verified",
    "video",
    "videos",
    "webhook",
    "webhooks",
    "well_known",
    "www",
];

impl Handle {
    /// Reads a handle as someone types it: a leading `@`, capitals and full-width letters do not matter.
    ///
    /// # Errors
    /// [`HandleRefusal`], also for letters of other scripts: half of them pass for Latin ones.
    pub fn parse(text: &str) -> Result<Self, HandleRefusal> {
        let handle = Self::read(text)?;
        let skeleton = handle.skeleton();
        let deceives = |word: &&str| *word == handle.0 || skeleton_of(word) == skeleton;
        if RESERVED.iter().any(deceives) { Err(HandleRefusal::Reserved) } else { Ok(handle) }
    }

    /// Reads a handle that may be held already: reserved words are taken too, because only the owner can have given them.
    ///
    /// # Errors
    /// [`HandleRefusal`].
    pub fn read(text: &str) -> Result<Self, HandleRefusal> {
        let text = text.trim();
        if text.len() > 400 {
            return Err(HandleRefusal::Length);
        }
        let plain: String =
            text.strip_prefix(['@', '＠']).unwrap_or(text).nfkc().flat_map(char::to_lowercase).collect();
        if !(3..=30).contains(&plain.chars().count()) {
            return Err(HandleRefusal::Length);
        }
        let allowed =
            |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
        if !plain.chars().all(allowed) || !plain.chars().any(|character| character.is_ascii_lowercase()) {
            return Err(HandleRefusal::Characters);
        }
        Ok(Self(plain))
    }

    /// The handle without `@`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the handle looks like at a glance. Two handles of one skeleton are the same to an eye, so only one of them can be
    /// held: underscores are gone, `0` is `o`, `1` and `i` are `l`, `5` is `s`, `8` is `b`, `rn` is `m`, `vv` is `w`.
    pub fn skeleton(&self) -> String {
        skeleton_of(&self.0)
    }
}

fn skeleton_of(text: &str) -> String {
    let letters: String = text
        .chars()
        .filter(|character| *character != '_')
        .map(|character| match character {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            '8' => 'b',
            other => other,
        })
        .collect();
    letters.replace("rn", "m").replace("vv", "w")
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "@{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_as_people_type_them() {
        let check = |text: &str, expected: Result<&str, HandleRefusal>| {
            assert_eq!(Handle::parse(text).map(|handle| handle.to_string()), expected.map(str::to_owned), "{text}");
        };
        check("mika", Ok("mika"));
        check(" @Mika_22 ", Ok("mika_22"));
        check("ＭＩＫＡ", Ok("mika"));
        check("mi", Err(HandleRefusal::Length));
        check(&"m".repeat(31), Err(HandleRefusal::Length));
        check(&"m".repeat(10_000), Err(HandleRefusal::Length));
        check("мика", Err(HandleRefusal::Characters));
        check("mіka", Err(HandleRefusal::Characters)); // a Ukrainian і
        check("mi ka", Err(HandleRefusal::Characters));
        check("12345", Err(HandleRefusal::Characters));
        check("admin", Err(HandleRefusal::Reserved));
        check("adm1n_", Err(HandleRefusal::Reserved));
        check("rnisora", Err(HandleRefusal::Reserved));
        check("0fficial", Err(HandleRefusal::Reserved));
        assert!(Handle::read("misora").is_ok());
    }

    #[test]
    fn look_alikes_have_one_skeleton() {
        let skeleton = |text| Handle::parse(text).unwrap().skeleton();
        for (a, b) in [("paul", "pau1"), ("mika", "m1ka"), ("bob", "b0b"), ("corner", "comer"), ("mika", "mi_ka")] {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
        }
        assert_ne!(skeleton("mika"), skeleton("miko"));
    }
}
