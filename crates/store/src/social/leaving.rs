//! What is left when someone leaves: nothing of theirs. Where others answered, made something from it or wrote back, an empty place stays
//! that belongs to nobody, so that what is theirs keeps its shape.

use platform::{IdentityId, PostId, Timestamp, hex};

use super::post::{hidden, warm};
use crate::database::{Tx, args};
use crate::error::StoreError;
use crate::holdings::{Holding, RowObjects};
use crate::objects::ObjectKey;

/// Which rows are someone's, for counting; [`leave`] says what becomes of each.
pub(crate) const LEAVING: &[Holding] = &[
    Holding {
        bytes: "video_size",
        objects: RowObjects::FolderOf("video_key"),
        ..Holding::rows("posts", "posts", "author = $1")
    },
    Holding::rows("comments", "comments", "author = $1"),
    Holding::rows("likes", "likes", "identity = $1"),
    Holding::rows("follows", "follows", "follower = $1 OR followed = $1"),
    Holding::rows("blocks", "blocks", "blocker = $1 OR blocked = $1"),
    Holding::rows("mutes", "mutes", "muter = $1 OR muted = $1"),
    Holding::rows("notices", "notices", "identity = $1"),
    Holding::rows("messages", "messages", "sender = $1"),
    Holding::rows("act_counts", "act_counts", "identity = $1"),
    Holding::rows("profile", "feed_rules", "identity = $1"),
    Holding::rows("profile", "hidden_words", "identity = $1"),
    Holding::rows("profile", "profile_words", "identity = $1"),
    Holding::rows("profile", "handles", "identity = $1"),
    Holding {
        objects: RowObjects::FolderOf("avatar_key"),
        ..Holding::rows("profile", "withheld_profiles", "identity = $1")
    },
    Holding { objects: RowObjects::FolderOf("avatar_key"), ..Holding::rows("profile", "profiles", "identity = $1") },
];

/// Takes someone out of the service; says which objects their rows named. `ghost` is an id that nobody has: empty places become its.
pub(crate) async fn leave(
    tx: &mut Tx,
    me: IdentityId,
    ghost: IdentityId,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT avatar_key FROM profiles WHERE identity = $1";
    let Some(profile) = tx.first(sql, args![me]).await? else { return Ok(Vec::new()) };
    let folder = |key: String| ObjectKey::from_row(key).parent().to_owned();
    let mut prefixes: Vec<String> = profile.opt_text("avatar_key")?.map(folder).into_iter().collect();
    let withheld = tx.first("SELECT avatar_key FROM withheld_profiles WHERE identity = $1", args![me]).await?;
    prefixes.extend(withheld.map(|row| row.opt_text("avatar_key")).transpose()?.flatten().map(folder));

    // Without a membership nobody sees this profile.
    let sql = "INSERT INTO profiles (identity, handle, display_name, bio, closed, created_at, updated_at)
               VALUES ($1, $2, 'gone', '', 1, $3, $3)";
    let digits = hex(&ghost.bytes()[4..]);
    tx.execute(sql, args![ghost, format!("gone_{digits}"), now]).await?;

    let sql = "INSERT INTO reserved_handles (skeleton, identity, left_at)
               SELECT skeleton, identity, $2 FROM handles WHERE identity = $1
               ON CONFLICT (skeleton) DO UPDATE SET identity = excluded.identity, left_at = excluded.left_at";
    tx.execute(sql, args![me, now]).await?;

    prefixes.extend(leave_posts(tx, me, ghost, now).await?);
    leave_comments(tx, me, ghost, now).await?;
    leave_conversations(tx, me, ghost, now).await?;
    leave_notices(tx, me).await?;

    // What was reported is evidence for a while, and nothing is left to decide.
    let sql = "UPDATE reports SET about = $2, closed_at = COALESCE(closed_at, $3) WHERE about = $1";
    tx.execute(sql, args![me, ghost, now]).await?;
    tx.execute("UPDATE reports SET reporter = $2 WHERE reporter = $1", args![me, ghost]).await?;

    for sql in [
        "DELETE FROM follows WHERE follower = $1 OR followed = $1",
        "DELETE FROM blocks WHERE blocker = $1 OR blocked = $1",
        "DELETE FROM mutes WHERE muter = $1 OR muted = $1",
        "DELETE FROM feed_rules WHERE identity = $1",
        "DELETE FROM hidden_words WHERE identity = $1",
        "DELETE FROM profile_words WHERE identity = $1",
        "DELETE FROM handles WHERE identity = $1",
        "DELETE FROM withheld_profiles WHERE identity = $1",
        "DELETE FROM profiles WHERE identity = $1",
    ] {
        tx.execute(sql, args![me]).await?;
    }
    Ok(prefixes)
}

async fn leave_posts(
    tx: &mut Tx,
    me: IdentityId,
    ghost: IdentityId,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let mut prefixes = Vec::new();
    let sql = "SELECT id, state, video_key FROM posts WHERE author = $1 ORDER BY id";
    for row in tx.all(sql, args![me]).await? {
        let id = PostId::from_bytes(row.id("id")?);
        let key = row.text("video_key")?;
        if !key.is_empty() {
            prefixes.push(ObjectKey::from_row(key).parent().to_owned());
        }
        if row.text("state")? == "published" {
            hidden(tx, id).await?;
        }
        tx.execute("DELETE FROM likes WHERE post = $1", args![id]).await?;
        tx.execute("UPDATE comments SET parent = NULL WHERE post = $1", args![id]).await?;
        tx.execute("DELETE FROM comments WHERE post = $1", args![id]).await?;
    }
    let sql = "UPDATE posts SET author = $2, state = 'deleted', deleted_at = $3, caption = '', prompt = '', recipe = '', model = '',
               video_key = '', video_size = 0, video_sha256 = '', thumbnail_key = NULL, spritesheet_key = NULL, frame_hashes = NULL,
               like_count = 0, comment_count = 0 WHERE author = $1";
    tx.execute(sql, args![me, ghost, now]).await?;
    // The leaves first, then what they hung from.
    let sql = "DELETE FROM posts WHERE author = $1
               AND NOT EXISTS (SELECT 1 FROM posts c WHERE (c.parent = posts.id OR c.root = posts.id) AND c.id <> posts.id)";
    while tx.execute(sql, args![ghost]).await? > 0 {}
    Ok(prefixes)
}

async fn leave_comments(tx: &mut Tx, me: IdentityId, ghost: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT post, COUNT(*) AS count FROM likes WHERE identity = $1 GROUP BY post ORDER BY post";
    let liked = tx.all(sql, args![me]).await?;
    let sql = "SELECT post, COUNT(*) AS count FROM comments WHERE author = $1 AND state = 'shown' AND withheld_at IS NULL GROUP BY post ORDER BY post";
    let commented = tx.all(sql, args![me]).await?;
    for (rows, sql) in [
        (liked, "UPDATE posts SET like_count = like_count - $2 WHERE id = $1"),
        (commented, "UPDATE posts SET comment_count = comment_count - $2 WHERE id = $1"),
    ] {
        for row in rows {
            let post = PostId::from_bytes(row.id("post")?);
            tx.execute(sql, args![post, row.int("count")?]).await?;
            warm(tx, post).await?;
        }
    }
    tx.execute("DELETE FROM likes WHERE identity = $1", args![me]).await?;
    let sql = "UPDATE comments SET author = $2, text = '', state = 'deleted', deleted_at = $3, withheld_at = NULL WHERE author = $1";
    tx.execute(sql, args![me, ghost, now]).await?;
    let sql = "DELETE FROM comments WHERE author = $1
               AND NOT EXISTS (SELECT 1 FROM comments c WHERE (c.parent = comments.id OR c.thread = comments.id) AND c.id <> comments.id)";
    while tx.execute(sql, args![ghost]).await? > 0 {}
    Ok(())
}

async fn leave_conversations(tx: &mut Tx, me: IdentityId, ghost: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE messages SET sender = $2, text = '', post = NULL, deleted_at = COALESCE(deleted_at, $3), withheld_at = NULL WHERE sender = $1";
    tx.execute(sql, args![me, ghost, now]).await?;
    let mine = "SELECT id FROM conversations WHERE (low = $1 OR high = $1)
                AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.conversation = conversations.id AND m.sender <> $2)";
    tx.execute(format!("DELETE FROM messages WHERE conversation IN ({mine})"), args![me, ghost]).await?;
    tx.execute(format!("DELETE FROM conversations WHERE id IN ({mine})"), args![me, ghost]).await?;
    let sql = "SELECT id, low, high, low_read_at, high_read_at FROM conversations WHERE low = $1 OR high = $1";
    for row in tx.all(sql, args![me]).await? {
        let (low, high) = (IdentityId::from_bytes(row.id("low")?), IdentityId::from_bytes(row.id("high")?));
        let (low_read, high_read) = (row.opt_int("low_read_at")?, row.opt_int("high_read_at")?);
        let (other, read) = if low == me { (high, high_read) } else { (low, low_read) };
        let (low, high) = if ghost < other { (ghost, other) } else { (other, ghost) };
        let (low_read, high_read) = if low == ghost { (None, read) } else { (read, None) };
        let sql = "UPDATE conversations SET low = $2, high = $3, low_read_at = $4, high_read_at = $5,
                   began_by = CASE WHEN began_by = $6 THEN $7 ELSE began_by END,
                   last_sender = CASE WHEN last_sender = $6 THEN $7 ELSE last_sender END WHERE id = $1";
        let id = platform::ConversationId::from_bytes(row.id("id")?);
        tx.execute(sql, args![id, low, high, low_read, high_read, me, ghost]).await?;
    }
    Ok(())
}

/// Their own notices go; in those of others, someone else who acted stands for all, or the notice goes too.
async fn leave_notices(tx: &mut Tx, me: IdentityId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM notice_actors WHERE actor = $1 OR notice IN (SELECT id FROM notices WHERE identity = $1)",
        "DELETE FROM notices WHERE identity = $1",
        "DELETE FROM notices WHERE actor = $1 AND NOT EXISTS (SELECT 1 FROM notice_actors a WHERE a.notice = notices.id)",
        "UPDATE notices SET actor = (SELECT a.actor FROM notice_actors a WHERE a.notice = notices.id ORDER BY a.at DESC, a.actor LIMIT 1) WHERE actor = $1",
    ] {
        tx.execute(sql, args![me]).await?;
    }
    Ok(())
}
