//! Notices: what others did with what is someone's, grouped until it is read.

use platform::{ActiveMembership, IdentityId, NoticeId, NoticeKind, PostId, Timestamp};

use super::post::{AuthorCard, card};
use super::{is_present, no_block, person};
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::generation::{moment, word};
use crate::notice_settings::{tell_by_mail, wanted};
use crate::store::Store;

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// What happened.
    pub kind: NoticeKind,
    /// The bytes of the id of the post, comment or person that it is about.
    pub subject: [u8; 16],
    /// The post that it happened to or below, if it is about one.
    pub post: Option<PostId>,
    /// Who did it last.
    pub actor: AuthorCard,
    /// How many did it, the last among them.
    pub actors: u64,
    /// When it last happened.
    pub at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

impl Store {
    /// Someone's notices, the newest first. `before` are moment and id of the last of the page before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn notices(
        &self,
        member: ActiveMembership,
        before: Option<(Timestamp, NoticeId)>,
        limit: u32,
    ) -> Result<Vec<Notice>, StoreError> {
        let (at, id) = before.unwrap_or((Timestamp::from_micros(i64::MAX), NoticeId::from_bytes([255; 16])));
        let sql = format!(
            "SELECT n.*, n.actor AS author, a.handle, a.display_name, a.avatar_key,
             (SELECT COUNT(*) FROM notice_actors c WHERE c.notice = n.id) AS actors,
             (SELECT k.post FROM comments k WHERE k.id = n.subject) AS comment_post
             FROM notices n JOIN profiles a ON a.identity = n.actor
             WHERE n.identity = $1 AND (n.at, n.id) < ($2, $3) AND {} AND {} ORDER BY n.at DESC, n.id DESC LIMIT $4",
            no_block("n.actor"),
            is_present("n.actor")
        );
        self.database.all(sql, args![person(member), at, id, limit]).await?.iter().map(from_row).collect()
    }

    /// How many notices are not read, up to a hundred.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unread_notices(&self, member: ActiveMembership) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) AS count FROM ({}) AS found", unread_notices());
        let row = self.database.first(sql, args![person(member)]).await?;
        row.map_or(Ok(0), |row| Ok(u64::try_from(row.int("count")?).unwrap_or(0)))
    }

    /// Someone has read what happened until a moment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn read_notices(
        &self,
        member: ActiveMembership,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE notices SET read_at = $3 WHERE identity = $1 AND read_at IS NULL AND at <= $2";
        self.database.execute(sql, args![person(member), until, now]).await.map(|_| ())
    }
}

/// What happened, and to whose.
#[derive(Clone, Copy)]
pub(super) struct Happening {
    pub(super) to: IdentityId,
    pub(super) kind: NoticeKind,
    pub(super) subject: [u8; 16],
    pub(super) by: IdentityId,
}

/// Tells someone, in the ways that they want; not of what they did themselves, nor of what someone does whom they muted.
pub(super) async fn notify(tx: &mut Tx, what: Happening, now: Timestamp) -> Result<(), StoreError> {
    let Happening { to, kind, subject, by } = what;
    let muted = tx.first("SELECT 1 AS one FROM mutes WHERE muter = $1 AND muted = $2", args![to, by]).await?;
    if to == by || muted.is_some() {
        return Ok(());
    }
    let wanted = wanted(tx, to, kind.topic()).await?;
    if wanted.by_mail {
        tell_by_mail(tx, to, kind.topic(), now).await?;
    }
    if !wanted.in_app {
        return Ok(());
    }
    let subject = uuid::Uuid::from_bytes(subject);
    let id = NoticeId::derived(to.bytes(), &format!("{} {subject} {}", kind.as_str(), now.micros()));
    let sql = "INSERT INTO notices (id, identity, kind, subject, actor, at) VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (identity, kind, subject) WHERE read_at IS NULL
               DO UPDATE SET actor = excluded.actor, at = excluded.at RETURNING id";
    let row = tx.first(sql, args![id, to, kind.as_str(), subject, by, now]).await?;
    let id = NoticeId::from_bytes(row.ok_or(StoreError::NotFound("notice"))?.id("id")?);
    let sql = "INSERT INTO notice_actors (notice, actor, at) VALUES ($1, $2, $3)
               ON CONFLICT (notice, actor) DO UPDATE SET at = excluded.at";
    tx.execute(sql, args![id, by, now]).await.map(|_| ())
}

/// Takes back what was told, if it was not read yet.
pub(super) async fn unnotify(tx: &mut Tx, what: Happening) -> Result<(), StoreError> {
    let Happening { to, kind, subject, by } = what;
    let subject = uuid::Uuid::from_bytes(subject);
    let sql = "SELECT id FROM notices WHERE identity = $1 AND kind = $2 AND subject = $3 AND read_at IS NULL";
    let Some(row) = tx.first(sql, args![to, kind.as_str(), subject]).await? else { return Ok(()) };
    let id = NoticeId::from_bytes(row.id("id")?);
    tx.execute("DELETE FROM notice_actors WHERE notice = $1 AND actor = $2", args![id, by]).await?;
    let sql = "SELECT actor, at FROM notice_actors WHERE notice = $1 ORDER BY at DESC, actor LIMIT 1";
    match tx.first(sql, args![id]).await? {
        Some(row) => {
            let (actor, at) = (IdentityId::from_bytes(row.id("actor")?), row.int("at")?);
            tx.execute("UPDATE notices SET actor = $2, at = $3 WHERE id = $1", args![id, actor, at]).await.map(|_| ())
        }
        None => tx.execute("DELETE FROM notices WHERE id = $1", args![id]).await.map(|_| ()),
    }
}

fn from_row(row: &Row) -> Result<Notice, StoreError> {
    let kind = word(row, "kind", NoticeKind::from_word)?;
    let subject = row.id("subject")?;
    let post = match kind {
        NoticeKind::Liked | NoticeKind::Commented | NoticeKind::Remixed => Some(subject),
        NoticeKind::Answered => row.opt_id("comment_post")?,
        NoticeKind::Followed | NoticeKind::FollowAsked | NoticeKind::FollowAccepted => None,
    };
    Ok(Notice {
        id: NoticeId::from_bytes(row.id("id")?),
        kind,
        subject,
        post: post.map(PostId::from_bytes),
        actor: card(row)?,
        actors: u64::try_from(row.int("actors")?).unwrap_or(0),
        at: Timestamp::from_micros(row.int("at")?),
        read_at: moment(row, "read_at")?,
    })
}

/// The notices that `$1` has not read, a hundred at most.
pub(super) fn unread_notices() -> String {
    format!(
        "SELECT 1 AS one FROM notices n WHERE n.identity = $1 AND n.read_at IS NULL AND {} AND {} LIMIT 100",
        no_block("n.actor"),
        is_present("n.actor")
    )
}
