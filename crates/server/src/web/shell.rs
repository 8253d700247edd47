//! What every page has: language, navigation, who looks, and the addresses of style and script.

use std::fmt::Display;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};

use crate::app::App;
use crate::http::error::ApiError;
use crate::web::assets;
use crate::web::guard::{Visitor, administers};
use crate::web::moderation::moderates;
use crate::web::words::Words;

/// Which part of the navigation a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// The feed.
    Watch,
    /// Making.
    Make,
    /// One's own clips.
    Library,
    /// The account centre.
    Account,
    /// Administration.
    Admin,
    /// None of these.
    Nowhere,
}

/// What the frame around a page needs.
pub(super) struct Shell {
    words: &'static Words,
    /// The page's name.
    pub(super) title: String,
    here: Here,
    /// Whether someone is signed in.
    pub(super) signed_in: bool,
    /// Whether they administer.
    pub(super) administrator: bool,
    /// Whether they moderate anything.
    pub(super) moderator: bool,
    /// Whether strangers may join.
    pub(super) open: bool,
    /// The page's path.
    pub(super) path: String,
}

impl Shell {
    /// The frame of a page whose title is this message.
    pub(super) fn new(app: &App, visitor: &Visitor, title: &str, here: Here) -> Self {
        Self::titled(app, visitor, visitor.words.say(title).to_owned(), here)
    }

    /// The frame of a page with a title of its own.
    pub(super) fn titled(app: &App, visitor: &Visitor, title: String, here: Here) -> Self {
        Self {
            words: visitor.words,
            title,
            here,
            signed_in: visitor.person.is_some(),
            administrator: visitor.person.as_ref().is_some_and(administers),
            moderator: visitor.person.as_ref().is_some_and(moderates),
            open: app.settings.sign_up != platform::SignUpMode::Closed,
            path: visitor.path.to_string(),
        }
    }

    /// A message.
    pub(super) fn say(&self, key: &str) -> &'static str {
        self.words.say(key)
    }

    /// A message with one thing in it.
    pub(super) fn fill(&self, key: &str, thing: impl Display) -> String {
        self.words.fill(key, &[&thing])
    }

    /// A shape's name.
    pub(super) fn shape(&self, word: &str) -> &'static str {
        self.words.say(&format!("shape.{word}"))
    }

    /// A text as a value in an address.
    #[expect(clippy::unused_self, reason = "templates call it on the shell")]
    pub(super) fn encoded(&self, text: &str) -> String {
        form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }

    /// The languages that there are: tag and name.
    #[expect(clippy::unused_self, reason = "templates call it on the shell")]
    pub(super) fn languages(&self) -> Vec<(&'static str, &'static str)> {
        Words::all().collect()
    }

    /// The language's tag.
    pub(super) fn language(&self) -> &'static str {
        self.words.tag()
    }

    /// `page` if the page belongs to this part, for `aria-current`; nothing otherwise.
    pub(super) fn is(&self, part: &str) -> bool {
        let here = match self.here {
            Here::Watch => "watch",
            Here::Make => "make",
            Here::Library => "library",
            Here::Account => "account",
            Here::Admin => "admin",
            Here::Nowhere => "",
        };
        here == part
    }

    /// The address of an asset, which changes when it does.
    #[expect(clippy::unused_self, reason = "templates call it on the shell")]
    pub(super) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

/// Writes a page.
pub(super) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

/// Writes a page that shows why a form was refused.
pub(super) fn html_refused(page: &impl Template, error: &ApiError) -> Response {
    let mut response = html(page);
    error.mark(&mut response);
    response
}

/// A moment for `datetime` and, until the script shows it in local time, for people.
pub(super) struct Moment {
    /// RFC 3339.
    pub(super) machine: String,
    /// Date and time in UTC.
    pub(super) plain: String,
}

impl Moment {
    pub(super) fn of(at: platform::Timestamp) -> Self {
        let machine = crate::clock::rfc3339(at);
        let plain = machine.replace('T', " ").trim_end_matches('Z').chars().take(16).collect::<String>() + " UTC";
        Self { machine, plain }
    }
}
