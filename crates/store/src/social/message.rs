//! Messages between two people. The first words of a stranger wait until they are answered or accepted.

use platform::{
    ActiveMembership, ConversationFacts, ConversationId, IdentityId, MessageDelivery, MessageId, MessageText,
    NoticeTopic, PostId, Timestamp, message_delivery,
};

use super::post::{AuthorCard, card};
use super::relation::meet;
use super::{is_present, no_block, person};
use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::moment;
use crate::notice_settings::{tell_by_mail, wanted};
use crate::store::Store;

/// A conversation, as one of the two sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// The other.
    pub with: AuthorCard,
    /// Whether both write freely; before, it is a request.
    pub accepted: bool,
    /// Whether the viewer began it.
    pub began: bool,
    /// When something was last written.
    pub last_at: Timestamp,
    /// Whether the other wrote something that the viewer has not read.
    pub unread: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub sender: IdentityId,
    /// What it says; nothing once it is deleted, or kept back from the reader.
    pub text: Option<MessageText>,
    /// Whether a moderator keeps it back: only its sender sees it.
    pub withheld: bool,
    /// A post that it points to. Whether the reader sees the post is another question.
    pub post: Option<PostId>,
    /// When.
    pub sent_at: Timestamp,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// Its id.
    pub id: MessageId,
    /// The id of the conversation, if it is the first.
    pub conversation: ConversationId,
    /// To whom.
    pub to: IdentityId,
    /// What it says.
    pub text: &'a MessageText,
    /// A post that it points to.
    pub post: Option<PostId>,
}

impl Store {
    /// Sends a message; says into which conversation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the other is not there for the writer; [`StoreError::State`] if they want no more before they answer.
    pub async fn send_message(
        &self,
        member: ActiveMembership,
        message: &NewMessage<'_>,
        now: Timestamp,
    ) -> Result<ConversationId, StoreError> {
        let me = person(member);
        let NewMessage { id, conversation, to, text, post } = message;
        let mut tx = self.database.begin().await?;
        meet(&mut tx, me, *to).await?;
        let (low, high) = if me < *to { (me, *to) } else { (*to, me) };
        let sql =
            "INSERT INTO conversations (id, low, high, began_by, began_at, last_at) VALUES ($1, $2, $3, $4, $5, $5)
                   ON CONFLICT (low, high) DO NOTHING";
        tx.execute(sql, args![*conversation, low, high, me, now]).await?;
        let sql = format!("SELECT * FROM conversations WHERE low = $1 AND high = $2{}", tx.for_update());
        let row = tx.first(sql, args![low, high]).await?.ok_or(StoreError::NotFound("conversation"))?;
        let conversation = ConversationId::from_bytes(row.id("id")?);
        let follows = "SELECT 1 AS one FROM follows WHERE follower = $1 AND followed = $2 AND accepted_at IS NOT NULL";
        let sent = "SELECT COUNT(*) AS sent FROM messages WHERE conversation = $1 AND sender = $2";
        let facts = ConversationFacts {
            accepted: row.opt_int("accepted_at")?.is_some(),
            other_began: row.id("began_by")? == to.bytes(),
            declined: row.opt_int("declined_at")?.is_some(),
            other_follows: tx.first(follows, args![*to, me]).await?.is_some(),
            own_messages: match tx.first(sent, args![conversation, me]).await? {
                Some(row) => u64::try_from(row.int("sent")?).unwrap_or(0),
                None => 0,
            },
        };
        match message_delivery(facts) {
            MessageDelivery::Open => accept(&mut tx, conversation, now).await?,
            MessageDelivery::Request => {}
            MessageDelivery::Refused => {
                return Err(StoreError::State { what: "conversation", state: "waiting for the other's answer".into() });
            }
        }
        let sql =
            "INSERT INTO messages (id, conversation, sender, text, post, sent_at) VALUES ($1, $2, $3, $4, $5, $6)";
        tx.execute(sql, args![*id, conversation, me, text.as_str(), *post, now]).await?;
        let mine = if me == low { "low_read_at" } else { "high_read_at" };
        let sql = format!("UPDATE conversations SET last_at = $2, last_sender = $3, {mine} = $2 WHERE id = $1");
        tx.execute(sql, args![conversation, now, me]).await?;
        let muted = "SELECT 1 AS one FROM mutes WHERE muter = $1 AND muted = $2";
        if wanted(&mut tx, *to, NoticeTopic::Messages).await?.by_mail
            && tx.first(muted, args![*to, me]).await?.is_none()
        {
            tell_by_mail(&mut tx, *to, NoticeTopic::Messages, now).await?;
        }
        tx.commit().await?;
        Ok(conversation)
    }

    /// Someone's conversations, or the requests that others made, the last written first. `before` are moment and id of the last of
    /// the page before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn conversations(
        &self,
        member: ActiveMembership,
        requests: bool,
        before: Option<(Timestamp, ConversationId)>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let me = person(member);
        let (at, id) = before.unwrap_or((Timestamp::from_micros(i64::MAX), ConversationId::from_bytes([255; 16])));
        let which = if requests {
            "c.accepted_at IS NULL AND c.declined_at IS NULL AND c.began_by <> $1"
        } else {
            "(c.accepted_at IS NOT NULL OR c.began_by = $1)"
        };
        // Two halves, so that each is one walk along an index.
        let half = |mine: &str, other: &str| {
            format!(
                "SELECT * FROM (SELECT c.*, c.{other} AS author, c.{mine}_read_at AS my_read_at FROM conversations c
                 WHERE c.{mine} = $1 AND c.last_sender IS NOT NULL AND (c.last_at, c.id) < ($2, $3) AND {which} AND {} AND {}
                 ORDER BY c.last_at DESC, c.id DESC LIMIT $4) AS {mine}_half",
                no_block(&format!("c.{other}")),
                is_present(&format!("c.{other}"))
            )
        };
        let sql = format!(
            "SELECT c.*, a.handle, a.display_name, a.avatar_key FROM ({} UNION ALL {}) AS c JOIN profiles a ON a.identity = c.author
             ORDER BY c.last_at DESC, c.id DESC LIMIT $4",
            half("low", "high"),
            half("high", "low")
        );
        let rows = self.database.all(sql, args![me, at, id, limit]).await?;
        rows.iter().map(|row| conversation_from(row, me)).collect()
    }

    /// Someone's conversation with another, if one of the two has begun it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn conversation_with(
        &self,
        member: ActiveMembership,
        other: IdentityId,
    ) -> Result<Option<Conversation>, StoreError> {
        let me = person(member);
        let mine = if me < other { "low" } else { "high" };
        let sql = format!(
            "SELECT c.*, a.identity AS author, c.{mine}_read_at AS my_read_at, a.handle, a.display_name, a.avatar_key
             FROM conversations c JOIN profiles a ON a.identity = $2
             WHERE c.low = $3 AND c.high = $4 AND {} AND {}",
            no_block("a.identity"),
            is_present("a.identity")
        );
        let (low, high) = if me < other { (me, other) } else { (other, me) };
        let row = self.database.first(sql, args![me, other, low, high]).await?;
        row.map(|row| conversation_from(&row, me)).transpose()
    }

    /// Whether someone has messages or requests that they have not read, and wants to know.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn has_unread_messages(&self, member: ActiveMembership) -> Result<bool, StoreError> {
        Ok(self.database.first(unread_messages(), args![person(member)]).await?.is_some())
    }

    /// The messages of a conversation, the newest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not the person's, or one of the two has blocked the other.
    pub async fn messages(
        &self,
        member: ActiveMembership,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let me = person(member);
        let before = before.unwrap_or(MessageId::from_bytes([255; 16]));
        let sql = format!(
            "SELECT c.id FROM conversations c WHERE c.id = $2 AND ((c.low = $1 AND {}) OR (c.high = $1 AND {}))",
            no_block("c.high"),
            no_block("c.low")
        );
        self.database.first(sql, args![me, conversation]).await?.ok_or(StoreError::NotFound("conversation"))?;
        let sql = "SELECT * FROM messages WHERE conversation = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let rows = self.database.all(sql, args![conversation, before, limit]).await?;
        rows.iter().map(|row| from_row(row, me)).collect()
    }

    /// Someone has read a conversation until a moment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not theirs.
    pub async fn read_conversation(
        &self,
        member: ActiveMembership,
        conversation: ConversationId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE conversations SET low_read_at = CASE WHEN low = $2 THEN $3 ELSE low_read_at END,
                   high_read_at = CASE WHEN high = $2 THEN $3 ELSE high_read_at END WHERE id = $1 AND (low = $2 OR high = $2)";
        match self.database.execute(sql, args![conversation, person(member), until]).await? {
            0 => Err(StoreError::NotFound("conversation")),
            _ => Ok(()),
        }
    }

    /// Accepts a request, or declines it: then the other writes no more, and is not told.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is no request to this person.
    pub async fn answer_request(
        &self,
        member: ActiveMembership,
        conversation: ConversationId,
        accepted: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        let sql =
            "UPDATE conversations SET declined_at = $3 WHERE id = $1 AND began_by <> $2 AND (low = $2 OR high = $2)
                   AND accepted_at IS NULL";
        if tx.execute(sql, args![conversation, me, (!accepted).then_some(now)]).await? == 0 {
            return Err(StoreError::NotFound("conversation"));
        }
        if accepted {
            accept(&mut tx, conversation, now).await?;
        }
        tx.commit().await
    }

    /// Deletes a message of one's own, for both.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is another's.
    pub async fn delete_message(
        &self,
        member: ActiveMembership,
        id: MessageId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE messages SET text = '', post = NULL, deleted_at = $3 WHERE id = $1 AND sender = $2 AND deleted_at IS NULL";
        match self.database.execute(sql, args![id, person(member), now]).await? {
            0 => Err(StoreError::NotFound("message")),
            _ => Ok(()),
        }
    }
}

async fn accept(tx: &mut Tx, conversation: ConversationId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE conversations SET accepted_at = COALESCE(accepted_at, $2), declined_at = NULL WHERE id = $1";
    tx.execute(sql, args![conversation, now]).await.map(|_| ())
}

fn conversation_from(row: &Row, me: IdentityId) -> Result<Conversation, StoreError> {
    let last_at = Timestamp::from_micros(row.int("last_at")?);
    let read = moment(row, "my_read_at")?.is_some_and(|read| read >= last_at);
    Ok(Conversation {
        id: ConversationId::from_bytes(row.id("id")?),
        with: card(row)?,
        accepted: row.opt_int("accepted_at")?.is_some(),
        began: row.id("began_by")? == me.bytes(),
        last_at,
        unread: !read && row.opt_id("last_sender")? != Some(me.bytes()),
    })
}

/// Keeps a message back from whoever it was sent to, or lets it go again.
///
/// # Errors
/// [`StoreError::NotFound`] if it is deleted, or another's.
pub(crate) async fn set_message_withheld(
    tx: &mut Tx,
    id: MessageId,
    sender: IdentityId,
    withhold: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE messages SET withheld_at = $3 WHERE id = $1 AND sender = $2 AND deleted_at IS NULL";
    match tx.execute(sql, args![id, sender, withhold.then_some(now)]).await? {
        0 => Err(StoreError::NotFound("message")),
        _ => Ok(()),
    }
}

/// A message as one of the two sees it: what is kept back is there for its sender alone.
fn from_row(row: &Row, me: IdentityId) -> Result<Message, StoreError> {
    let sender = IdentityId::from_bytes(row.id("sender")?);
    let withheld = row.opt_int("withheld_at")?.is_some();
    let gone = row.opt_int("deleted_at")?.is_some() || (withheld && sender != me);
    let text = match (gone, row.text("text")?) {
        (true, _) => None,
        (false, text) => Some(MessageText::parse(&text).map_err(|_| corrupt("text", text))?),
    };
    Ok(Message {
        id: MessageId::from_bytes(row.id("id")?),
        sender,
        text,
        withheld: withheld && !gone,
        post: row.opt_id("post")?.filter(|_| !gone).map(PostId::from_bytes),
        sent_at: Timestamp::from_micros(row.int("sent_at")?),
    })
}

/// A row if there are messages that `$1` has not read.
pub(super) fn unread_messages() -> String {
    let half = |mine: &str, other: &str| {
        format!(
            "EXISTS (SELECT 1 FROM conversations c WHERE c.{mine} = $1 AND c.last_sender = c.{other} AND c.declined_at IS NULL
             AND (c.{mine}_read_at IS NULL OR c.{mine}_read_at < c.last_at) AND {} AND {})",
            no_block(&format!("c.{other}")),
            is_present(&format!("c.{other}"))
        )
    };
    format!(
        "SELECT 1 AS one WHERE ({} OR {}) AND NOT EXISTS (
             SELECT 1 FROM notice_settings n WHERE n.identity = $1 AND n.topic = 'messages' AND n.in_app = 0)",
        half("low", "high"),
        half("high", "low")
    )
}
