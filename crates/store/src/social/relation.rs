//! Who follows, blocks and mutes whom.

use platform::{ActiveMembership, IdentityId, NoticeKind, Timestamp};

use super::notice::{Happening, notify, unnotify};
use super::post::{AuthorCard, card};
use super::{is_present, no_block, person};
use crate::database::{Tx, args};
use crate::error::StoreError;
use crate::store::Store;

/// How someone follows someone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowState {
    /// Not.
    #[default]
    None,
    /// They have asked.
    Asked,
    /// They do.
    Following,
}

impl FollowState {
    pub(super) fn of(asked: Option<Timestamp>, accepted: Option<Timestamp>) -> Self {
        match (asked, accepted) {
            (None, _) => Self::None,
            (Some(_), None) => Self::Asked,
            (Some(_), Some(_)) => Self::Following,
        }
    }
}

impl Store {
    /// Follows someone, or asks to if their profile is closed. Again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if they are not there for this person; [`StoreError::State`] for oneself.
    pub async fn follow(
        &self,
        member: ActiveMembership,
        whom: IdentityId,
        now: Timestamp,
    ) -> Result<FollowState, StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        meet(&mut tx, me, whom).await?;
        let row = tx.first("SELECT closed FROM profiles WHERE identity = $1", args![whom]).await?;
        let closed = row.ok_or(StoreError::NotFound("profile"))?.int("closed")? == 1;
        let accepted = (!closed).then_some(now);
        let sql = "SELECT 1 AS one FROM follows WHERE follower = $1 AND followed = $2";
        let before = tx.first(sql, args![me, whom]).await?;
        let sql = "INSERT INTO follows (follower, followed, asked_at, accepted_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (follower, followed) DO UPDATE SET
                   accepted_at = COALESCE(follows.accepted_at, excluded.accepted_at) RETURNING asked_at, accepted_at";
        let row = tx.first(sql, args![me, whom, now, accepted]).await?.ok_or(StoreError::NotFound("follow"))?;
        let state = FollowState::of(Some(now), row.opt_int("accepted_at")?.map(Timestamp::from_micros));
        if before.is_none() {
            let kind = if closed { NoticeKind::FollowAsked } else { NoticeKind::Followed };
            notify(&mut tx, Happening { to: whom, kind, subject: whom.bytes(), by: me }, now).await?;
        }
        tx.commit().await?;
        Ok(state)
    }

    /// Follows someone no more, or takes the wish back.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unfollow(&self, member: ActiveMembership, whom: IdentityId) -> Result<(), StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        tx.execute("DELETE FROM follows WHERE follower = $1 AND followed = $2", args![me, whom]).await?;
        for kind in [NoticeKind::Followed, NoticeKind::FollowAsked] {
            unnotify(&mut tx, Happening { to: whom, kind, subject: whom.bytes(), by: me }).await?;
        }
        tx.commit().await
    }

    /// Lets someone follow who has asked to.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if they have not.
    pub async fn accept_follower(
        &self,
        member: ActiveMembership,
        who: IdentityId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE follows SET accepted_at = $3 WHERE follower = $2 AND followed = $1 AND accepted_at IS NULL";
        if tx.execute(sql, args![me, who, now]).await? == 0 {
            return Err(StoreError::NotFound("follow"));
        }
        let accepted = Happening { to: who, kind: NoticeKind::FollowAccepted, subject: me.bytes(), by: me };
        notify(&mut tx, accepted, now).await?;
        tx.commit().await
    }

    /// Lets someone follow no more, or refuses the wish. They are not told.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn remove_follower(&self, member: ActiveMembership, who: IdentityId) -> Result<(), StoreError> {
        let sql = "DELETE FROM follows WHERE follower = $2 AND followed = $1";
        self.database.execute(sql, args![person(member), who]).await.map(|_| ())
    }

    /// Who has asked to follow, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn follow_requests(&self, member: ActiveMembership, limit: u32) -> Result<Vec<AuthorCard>, StoreError> {
        let sql = format!(
            "SELECT a.identity AS author, a.handle, a.display_name, a.avatar_key
             FROM follows f JOIN profiles a ON a.identity = f.follower
             WHERE f.followed = $1 AND f.accepted_at IS NULL AND {} ORDER BY f.asked_at DESC, f.follower LIMIT $2",
            is_present("f.follower")
        );
        self.database.all(sql, args![person(member), limit]).await?.iter().map(card).collect()
    }

    /// Blocks someone: each vanishes for the other, and neither follows the other any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] for oneself.
    pub async fn block(&self, member: ActiveMembership, whom: IdentityId, now: Timestamp) -> Result<(), StoreError> {
        let me = person(member);
        not_oneself(me, whom)?;
        let mut tx = self.database.begin().await?;
        there(&mut tx, me).await?;
        there(&mut tx, whom).await?;
        let sql = "INSERT INTO blocks (blocker, blocked, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        tx.execute(sql, args![me, whom, now]).await?;
        let sql = "DELETE FROM follows WHERE (follower = $1 AND followed = $2) OR (follower = $2 AND followed = $1)";
        tx.execute(sql, args![me, whom]).await?;
        tx.commit().await
    }

    /// Takes a block back. Nobody follows again by that.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unblock(&self, member: ActiveMembership, whom: IdentityId) -> Result<(), StoreError> {
        let sql = "DELETE FROM blocks WHERE blocker = $1 AND blocked = $2";
        self.database.execute(sql, args![person(member), whom]).await.map(|_| ())
    }

    /// Whom someone has blocked, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn blocked(&self, member: ActiveMembership, limit: u32) -> Result<Vec<AuthorCard>, StoreError> {
        let sql = "SELECT a.identity AS author, a.handle, a.display_name, a.avatar_key
                   FROM blocks b JOIN profiles a ON a.identity = b.blocked
                   WHERE b.blocker = $1 ORDER BY b.at DESC, b.blocked LIMIT $2";
        self.database.all(sql, args![person(member), limit]).await?.iter().map(card).collect()
    }

    /// Keeps someone out of one's feeds, or lets them in again. They are not told, and their pages still open.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] for oneself.
    pub async fn set_mute(
        &self,
        member: ActiveMembership,
        whom: IdentityId,
        muted: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let me = person(member);
        if !muted {
            let sql = "DELETE FROM mutes WHERE muter = $1 AND muted = $2";
            return self.database.execute(sql, args![me, whom]).await.map(|_| ());
        }
        let mut tx = self.database.begin().await?;
        meet(&mut tx, me, whom).await?;
        let sql = "INSERT INTO mutes (muter, muted, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        tx.execute(sql, args![me, whom, now]).await?;
        tx.commit().await
    }
}

fn not_oneself(me: IdentityId, whom: IdentityId) -> Result<(), StoreError> {
    if me == whom { Err(StoreError::State { what: "profile", state: "your own".into() }) } else { Ok(()) }
}

/// They have a profile.
pub(super) async fn there(tx: &mut Tx, who: IdentityId) -> Result<(), StoreError> {
    let row = tx.first("SELECT handle FROM profiles WHERE identity = $1", args![who]).await?;
    row.map(|_| ()).ok_or(StoreError::NotFound("profile"))
}

/// Both have a profile, the other is present, and neither has blocked the other.
pub(super) async fn meet(tx: &mut Tx, me: IdentityId, whom: IdentityId) -> Result<(), StoreError> {
    not_oneself(me, whom)?;
    there(tx, me).await?;
    let sql = format!(
        "SELECT a.handle FROM profiles a WHERE a.identity = $2 AND {} AND {}",
        no_block("a.identity"),
        is_present("a.identity")
    );
    let row = tx.first(sql, args![me, whom]).await?;
    row.map(|_| ()).ok_or(StoreError::NotFound("profile"))
}
