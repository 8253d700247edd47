//! Messages between two people. A conversation is named by the handle of the other.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use platform::{ConversationId, DecidedKind, MessageId, MessageText, Posting, Timestamp};
use store::{Conversation, Message, NewMessage};

use crate::app::App;
use crate::http::auth::Person;
use crate::http::creation::refuse_blocked;
use crate::http::error::ApiError;
use crate::http::page::{Id, Values};
use crate::web::guard::{Visitor, is_guards};
use crate::web::post::{count_posting, member, said};
use crate::web::profile::{HandleInPath, Who, whom};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/messages", Viewer::Person, show_all),
        get("/messages/@{handle}", Viewer::Person, show_one),
        post("/messages/@{handle}", Viewer::Person, send),
        post("/messages/@{handle}/answer", Viewer::Person, answer),
        post("/messages/@{handle}/{message}/delete", Viewer::Person, delete),
    ]
}

/// Conversations, requests and messages on a page.
const CONVERSATIONS: u32 = 40;
const MESSAGES: u32 = 50;

struct ConversationView {
    who: Who,
    at: Moment,
    unread: bool,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    shell: Shell,
    requests: Vec<ConversationView>,
    conversations: Vec<ConversationView>,
    older: Option<String>,
}

async fn show_all(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let show = |one: &Conversation| ConversationView {
        who: Who::of(&one.with),
        at: Moment::of(one.last_at),
        unread: one.unread,
    };
    let before = before::<ConversationId>(&values);
    let conversations = app.store.conversations(member, false, before, CONVERSATIONS).await?;
    let requests = match before {
        None => app.store.conversations(member, true, None, CONVERSATIONS).await?,
        Some(_) => Vec::new(),
    };
    let full = conversations.len() == CONVERSATIONS as usize;
    let older =
        conversations.last().filter(|_| full).map(|last| format!("/messages?{}", behind(last.last_at, last.id)));
    Ok(html(&MessagesPage {
        shell: Shell::new(&app, &visitor, "messages.title", Here::Watch),
        requests: requests.iter().map(show).collect(),
        conversations: conversations.iter().map(show).collect(),
        older,
    }))
}

/// Behind which moment and id a page begins.
pub(super) fn before<T: std::str::FromStr>(values: &Values) -> Option<(Timestamp, T)> {
    let (at, id) = values.get("before")?.split_once('.')?;
    Some((Timestamp::from_micros(at.parse().ok()?), id.parse().ok()?))
}

/// The same for an address.
pub(super) fn behind(at: Timestamp, id: impl std::fmt::Display) -> String {
    format!("before={}.{id}", at.micros())
}

struct MessageView {
    id: String,
    text: Option<String>,
    mine: bool,
    /// Whether a moderator keeps it back: then its sender alone sees it.
    withheld: bool,
    at: Moment,
}

#[derive(Template)]
#[template(path = "conversation.html")]
struct ConversationPage {
    shell: Shell,
    who: Who,
    /// Whether it is a request that waits for the visitor's answer.
    asks: bool,
    /// Whether it is a request that waits for the other's.
    waits: bool,
    /// The oldest first.
    messages: Vec<MessageView>,
    older: Option<String>,
    text: String,
    said: Option<String>,
}

async fn page(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    handle: HandleInPath,
    before: Option<MessageId>,
) -> Result<ConversationPage, ApiError> {
    let member = member(person)?;
    let profile = whom(app, visitor, &handle.0).await?;
    let who = Who::of_profile(&profile);
    let conversation = app.store.conversation_with(member, profile.identity).await?;
    let messages = match &conversation {
        Some(conversation) => app.store.messages(member, conversation.id, before, MESSAGES).await?,
        None => Vec::new(),
    };
    if let (Some(conversation), Some(newest), None) = (&conversation, messages.first(), before) {
        app.store.read_conversation(member, conversation.id, newest.sent_at.max(conversation.last_at)).await?;
    }
    let show = |message: &Message| MessageView {
        id: message.id.to_string(),
        text: message.text.as_ref().map(|text| text.as_str().to_owned()),
        mine: message.sender == member.identity(),
        withheld: message.withheld,
        at: Moment::of(message.sent_at),
    };
    let full = messages.len() == MESSAGES as usize;
    let waiting = conversation.as_ref().filter(|conversation| !conversation.accepted);
    Ok(ConversationPage {
        shell: Shell::titled(app, visitor, who.name.clone(), Here::Watch),
        asks: waiting.is_some_and(|conversation| !conversation.began),
        waits: waiting.is_some_and(|conversation| conversation.began),
        older: messages.last().filter(|_| full).map(|last| format!("/messages/@{}?before={}", who.handle, last.id)),
        messages: messages.iter().rev().map(show).collect(),
        text: String::new(),
        said: None,
        who,
    })
}

async fn show_one(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    handle: HandleInPath,
    values: Values,
) -> Result<Response, ApiError> {
    let before = values.get("before").and_then(|text| text.parse().ok());
    Ok(html(&page(&app, &visitor, &person, handle, before).await?))
}

async fn send(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    handle: HandleInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let to = whom(&app, &visitor, &handle.0).await?;
    let written = form.text("text")?.unwrap_or_default().to_owned();
    let sent = async {
        let text = MessageText::parse(&written).map_err(said("text"))?;
        refuse_blocked(&app, member.identity(), DecidedKind::Message, text.as_str()).await?;
        count_posting(&app, member, Posting::Message).await?;
        let now = app.now();
        let id = MessageId::new(now, app.random());
        let conversation = ConversationId::new(now, app.random());
        let message = NewMessage { id, conversation, to: to.identity, text: &text, post: None };
        Ok::<_, ApiError>(app.store.send_message(member, &message, now).await?)
    };
    match sent.await {
        Ok(_) => Ok(go(&format!("/messages/@{}#end", to.handle.as_str()))),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let said = Some(visitor.words.error(&error));
            let page = page(&app, &visitor, &person, handle, None).await?;
            Ok(html_refused(&ConversationPage { text: written, said, ..page }, &error))
        }
    }
}

/// Accepts a request, or declines it.
async fn answer(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    handle: HandleInPath,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let member = member(&person)?;
    let from = whom(&app, &visitor, &handle.0).await?;
    let conversation = app.store.conversation_with(member, from.identity).await?;
    let conversation = conversation.ok_or_else(|| ApiError::not_found("conversation"))?;
    let accepted = form.flag("accept")?.unwrap_or(false);
    app.store.answer_request(member, conversation.id, accepted, app.now()).await?;
    Ok(if accepted { go(&format!("/messages/@{}", from.handle.as_str())) } else { go("/messages") })
}

async fn delete(
    State(app): State<App>,
    person: Person,
    HandleInPath(handle): HandleInPath,
    Id(id): Id<MessageId>,
) -> Result<Response, ApiError> {
    app.store.delete_message(member(&person)?, id, app.now()).await?;
    Ok(go(&format!("/messages/@{}", handle.as_str())))
}
