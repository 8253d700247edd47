//! Comments in threads, and what a post's author decides about them.

use platform::{
    Act, ActiveMembership, CommentId, CommentText, IdentityId, NoticeKind, PostAddress, PostId, Timestamp, Viewer,
    speaks_of,
};

use super::notice::{Happening, notify};
use super::post::{AuthorCard, card, permit, warm};
use super::{is_present, no_block, person};
use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::store::Store;

/// A comment as a viewer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: CommentId,
    /// Below which post.
    pub post: PostId,
    /// By whom; nothing if it is deleted and stays only for its answers.
    pub author: Option<AuthorCard>,
    /// Which comment it answers.
    pub parent: Option<CommentId>,
    /// The comment that begins the thread.
    pub thread: CommentId,
    /// What it says; nothing if it is deleted.
    pub text: Option<CommentText>,
    /// Whether it waits for the post's author: only they and its writer see it.
    pub held: bool,
    /// Whether a moderator keeps it back: only its writer sees it.
    pub withheld: bool,
    /// How many answers its thread has that the viewer may see.
    pub answers: u64,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A comment to be written.
#[derive(Clone, Debug)]
pub struct NewComment<'a> {
    /// Its id.
    pub id: CommentId,
    /// Below which post, as its writer names it.
    pub post: PostAddress,
    /// Which comment it answers.
    pub parent: Option<CommentId>,
    /// What it says.
    pub text: &'a CommentText,
}

/// How many phrases someone keeps out.
const MAX_HIDDEN_WORDS: usize = 200;

impl Store {
    /// Writes a comment; says whether it waits for the post's author, because it has one of their hidden words.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the person does not see the post or the comment that they answer; [`StoreError::State`] if comments
    /// are closed.
    pub async fn create_comment(
        &self,
        member: ActiveMembership,
        comment: &NewComment<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let me = person(member);
        let NewComment { id, post, parent, text } = comment;
        let mut tx = self.database.begin().await?;
        super::relation::there(&mut tx, me).await?;
        let (post, author) = permit(&mut tx, me, *post, Act::Comment).await?;
        let mut parent_author = None;
        let thread = match parent {
            None => *id,
            Some(parent) => {
                let sql = format!(
                    "SELECT c.thread, c.author FROM comments c WHERE c.id = $2 AND c.post = $3 AND c.state = 'shown'
                     AND (c.withheld_at IS NULL OR c.author = $1) AND {}",
                    no_block("c.author")
                );
                let row = tx.first(sql, args![me, *parent, post]).await?.ok_or(StoreError::NotFound("comment"))?;
                parent_author = Some(IdentityId::from_bytes(row.id("author")?));
                CommentId::from_bytes(row.id("thread")?)
            }
        };
        let mut held = false;
        if author != me {
            let rows = tx.all("SELECT words FROM hidden_words WHERE identity = $1", args![author]).await?;
            for row in rows {
                held = held || speaks_of(text.as_str(), &row.text("words")?);
            }
        }
        let state = if held { "held" } else { "shown" };
        let sql = "INSERT INTO comments (id, post, author, parent, thread, text, state, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        tx.execute(sql, args![*id, post, me, *parent, thread, text.as_str(), state, now]).await?;
        if !held {
            let sql = "UPDATE posts SET comment_count = comment_count + 1 WHERE id = $1";
            tx.execute(sql, args![post]).await?;
            warm(&mut tx, post).await?;
            let mut told = vec![Happening { to: author, kind: NoticeKind::Commented, subject: post.bytes(), by: me }];
            if let Some(to) = parent_author.filter(|parent| *parent != author) {
                told.push(Happening { to, kind: NoticeKind::Answered, subject: thread.bytes(), by: me });
            }
            // In one order, whoever is whose author: two that wait for each other would both be lost.
            told.sort_by_key(|happening| happening.to);
            for happening in told {
                notify(&mut tx, happening, now).await?;
            }
        }
        tx.commit().await?;
        Ok(held)
    }

    /// The comments that begin threads below a post, the newest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the viewer does not see the post.
    pub async fn comments(
        &self,
        viewer: Viewer,
        post: impl Into<PostAddress>,
        before: Option<CommentId>,
        limit: u32,
    ) -> Result<Vec<Comment>, StoreError> {
        let post = self.post(viewer, post).await?.id;
        let before = before.unwrap_or(CommentId::from_bytes([255; 16]));
        let sql = select("c.post = $2 AND c.parent IS NULL AND c.id < $3", "DESC");
        self.database.all(sql, args![viewer.identity(), post, before, limit]).await?.iter().map(from_row).collect()
    }

    /// The answers in a thread, the oldest first; which answers which, `parent` says.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the viewer does not see the post.
    pub async fn answers(
        &self,
        viewer: Viewer,
        post: impl Into<PostAddress>,
        thread: CommentId,
        after: Option<CommentId>,
        limit: u32,
    ) -> Result<Vec<Comment>, StoreError> {
        let post = self.post(viewer, post).await?.id;
        let after = after.unwrap_or(CommentId::from_bytes([0; 16]));
        let sql = select("c.post = $2 AND c.thread = $5 AND c.parent IS NOT NULL AND c.id > $3", "ASC");
        self.database
            .all(sql, args![viewer.identity(), post, after, limit, thread])
            .await?
            .iter()
            .map(from_row)
            .collect()
    }

    /// Deletes a comment: its writer and the post's author can.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for anyone else.
    pub async fn delete_comment(
        &self,
        member: ActiveMembership,
        id: CommentId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.move_comment(member, id, "deleted", "c.author = $2 OR p.author = $2", Some(now)).await
    }

    /// Shows a comment that was held: the post's author can.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for anyone else.
    pub async fn show_comment(&self, member: ActiveMembership, id: CommentId) -> Result<(), StoreError> {
        self.move_comment(member, id, "shown", "p.author = $2", None).await
    }

    /// Hides a comment from all but its writer and the post's author, who alone can.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for anyone else.
    pub async fn hold_comment(&self, member: ActiveMembership, id: CommentId) -> Result<(), StoreError> {
        self.move_comment(member, id, "held", "p.author = $2", None).await
    }

    async fn move_comment(
        &self,
        member: ActiveMembership,
        id: CommentId,
        state: &'static str,
        who: &str,
        deleted_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        // The post first, as everywhere.
        let lock =
            format!("SELECT id FROM posts WHERE id = (SELECT post FROM comments WHERE id = $1){}", tx.for_update());
        tx.first(lock, args![id]).await?.ok_or(StoreError::NotFound("comment"))?;
        let sql = format!(
            "SELECT c.post, c.state, c.withheld_at FROM comments c JOIN posts p ON p.id = c.post
             WHERE c.id = $1 AND c.state <> 'deleted' AND ({who})"
        );
        let row = tx.first(sql, args![id, person(member)]).await?.ok_or(StoreError::NotFound("comment"))?;
        let withheld = row.opt_int("withheld_at")?.is_some();
        let counted = |state: &str| i64::from(state == "shown" && !withheld);
        let change = counted(state) - counted(&row.text("state")?);
        // What was deleted is gone at once: only the place in its thread stays.
        let sql = "UPDATE comments SET state = $2, deleted_at = $3, text = CASE WHEN $2 = 'deleted' THEN '' ELSE text END WHERE id = $1";
        tx.execute(sql, args![id, state, deleted_at]).await?;
        let sql = "UPDATE posts SET comment_count = comment_count + $2 WHERE id = $1";
        let post = PostId::from_bytes(row.id("post")?);
        tx.execute(sql, args![post, change]).await?;
        warm(&mut tx, post).await?;
        tx.commit().await
    }

    /// Someone's hidden words, as they wrote them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn hidden_words(&self, member: ActiveMembership) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT words FROM hidden_words WHERE identity = $1 ORDER BY words";
        self.database.all(sql, args![person(member)]).await?.iter().map(|row| row.text("words")).collect()
    }

    /// Sets someone's hidden words anew. Comments that are there stay as they are.
    ///
    /// # Errors
    /// [`StoreError::State`] if they are too many; [`StoreError::NotFound`] without a profile.
    pub async fn set_hidden_words(&self, member: ActiveMembership, words: &[String]) -> Result<(), StoreError> {
        let me = person(member);
        if words.len() > MAX_HIDDEN_WORDS {
            return Err(StoreError::State { what: "list of hidden words", state: "too long".into() });
        }
        let mut tx = self.database.begin().await?;
        super::relation::there(&mut tx, me).await?;
        tx.execute("DELETE FROM hidden_words WHERE identity = $1", args![me]).await?;
        for words in words.iter().map(|words| words.trim()).filter(|words| !words.is_empty()) {
            let words: String = words.chars().take(100).collect();
            let sql = "INSERT INTO hidden_words (identity, words) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            tx.execute(sql, args![me, words]).await?;
        }
        tx.commit().await
    }
}

/// Keeps a comment back, or lets it go again.
///
/// # Errors
/// [`StoreError::NotFound`] if it is deleted, or another's.
pub(crate) async fn set_comment_withheld(
    tx: &mut Tx,
    id: CommentId,
    author: IdentityId,
    withhold: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    // The post first, as everywhere.
    let lock = format!("SELECT id FROM posts WHERE id = (SELECT post FROM comments WHERE id = $1){}", tx.for_update());
    let row = tx.first(lock, args![id]).await?.ok_or(StoreError::NotFound("comment"))?;
    let post = PostId::from_bytes(row.id("id")?);
    let sql = "SELECT state, withheld_at FROM comments WHERE id = $1 AND author = $2 AND state <> 'deleted'";
    let row = tx.first(sql, args![id, author]).await?.ok_or(StoreError::NotFound("comment"))?;
    if row.opt_int("withheld_at")?.is_some() == withhold {
        return Ok(());
    }
    tx.execute("UPDATE comments SET withheld_at = $2 WHERE id = $1", args![id, withhold.then_some(now)]).await?;
    if row.text("state")? == "shown" {
        let change = if withhold { -1_i64 } else { 1 };
        tx.execute("UPDATE posts SET comment_count = comment_count + $2 WHERE id = $1", args![post, change]).await?;
        warm(tx, post).await?;
    }
    Ok(())
}

/// Comments `c` that viewer `$1` sees, with their authors; `$3` is where the page begins, `$4` its length.
fn select(which: &str, direction: &str) -> String {
    let seen = |c: &str| {
        format!(
            "(({c}.state = 'shown' AND ({c}.author = $1 OR {})) OR ({c}.state = 'held' AND ($1 IN ({c}.author, p.author))))
             AND ({c}.withheld_at IS NULL OR {c}.author = $1) AND {}",
            is_present(&format!("{c}.author")),
            no_block(&format!("{c}.author"))
        )
    };
    format!(
        "SELECT c.*, a.handle, a.display_name, a.avatar_key,
         CAST(CASE WHEN c.state <> 'deleted' AND (c.withheld_at IS NULL OR c.author = $1) THEN 0 ELSE 1 END AS BIGINT) AS gone,
         (SELECT COUNT(*) FROM comments n WHERE n.thread = c.id AND n.parent IS NOT NULL AND {}) AS answers
         FROM comments c JOIN posts p ON p.id = c.post JOIN profiles a ON a.identity = c.author
         WHERE {which} AND (({}) OR ((c.state = 'deleted' OR c.withheld_at IS NOT NULL) AND EXISTS (
             SELECT 1 FROM comments n WHERE n.thread = c.thread AND n.parent = c.id AND {})))
         ORDER BY c.id {direction} LIMIT $4",
        seen("n"),
        seen("c"),
        seen("n")
    )
}

fn from_row(row: &Row) -> Result<Comment, StoreError> {
    let (state, text) = (row.text("state")?, row.text("text")?);
    let deleted = row.int("gone")? == 1;
    let id = |column| row.id(column).map(CommentId::from_bytes);
    let text = if deleted { None } else { Some(CommentText::parse(&text).map_err(|_| corrupt("text", text))?) };
    Ok(Comment {
        id: id("id")?,
        post: PostId::from_bytes(row.id("post")?),
        author: if deleted { None } else { Some(card(row)?) },
        parent: row.opt_id("parent")?.map(CommentId::from_bytes),
        thread: id("thread")?,
        text,
        held: state == "held",
        withheld: !deleted && row.opt_int("withheld_at")?.is_some(),
        answers: u64::try_from(row.int("answers")?).unwrap_or(0),
        created_at: Timestamp::from_micros(row.int("created_at")?),
    })
}
