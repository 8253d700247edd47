//! Memberships, and what happens to them.

use platform::{IdentityId, Membership, MembershipEvent, MembershipState, Role, Service, Timestamp};

use crate::audit::{AuditEntry, append};
use crate::database::{Row, Tx, args};
use crate::decision::lift_limits;
use crate::error::StoreError;
use crate::generation::{number, word};
use crate::store::Store;

impl Store {
    /// Someone's membership of a service. Whoever never joined has one in state `none`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn membership(&self, identity: IdentityId, service: Service) -> Result<Membership, StoreError> {
        let sql = "SELECT * FROM memberships WHERE identity = $1 AND service = $2";
        match self.database.first(sql, args![identity, service.as_str()]).await? {
            Some(row) => from_row(&row),
            None => Ok(Membership::none(identity, service)),
        }
    }

    /// All of someone's memberships, those that were ever joined.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn memberships(&self, identity: IdentityId) -> Result<Vec<Membership>, StoreError> {
        let sql = "SELECT * FROM memberships WHERE identity = $1 ORDER BY service";
        self.database.all(sql, args![identity]).await?.iter().map(from_row).collect()
    }

    /// Something happens to a membership. Strikes and role stay, and so do all other memberships. A limit has no end.
    ///
    /// # Errors
    /// [`StoreError::State`] if it cannot happen in its state.
    pub async fn change_membership(
        &self,
        identity: IdentityId,
        service: Service,
        event: MembershipEvent,
        now: Timestamp,
    ) -> Result<MembershipState, StoreError> {
        self.change_membership_until(identity, service, event, None, now).await
    }

    /// The same, for a restriction or suspension that ends by itself.
    ///
    /// # Errors
    /// [`StoreError::State`] if it cannot happen in its state.
    pub async fn change_membership_until(
        &self,
        identity: IdentityId,
        service: Service,
        event: MembershipEvent,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<MembershipState, StoreError> {
        let mut tx = self.database.begin().await?;
        let next = move_membership(&mut tx, identity, service, event, until, now).await?;
        tx.commit().await?;
        Ok(next)
    }

    /// Writes down that limits whose time is over have ended, each with a line in the record; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn end_limits(&self, now: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT * FROM memberships WHERE limited_until <= $1 ORDER BY limited_until LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let rows = tx.all(sql, args![now, limit]).await?;
        for row in &rows {
            let membership = from_row(row)?.at(now);
            let (identity, service) = (membership.identity, membership.service.as_str());
            let sql = "UPDATE memberships SET state = $3, standing = NULL, limited_until = NULL, changed_at = $4
                       WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![identity, service, membership.state.as_str(), now]).await?;
            let entry = AuditEntry {
                at: now,
                actor: None,
                action: "membership.restore".to_owned(),
                subject: identity.to_string(),
                detail: format!("{service}: the time of the limit is over"),
            };
            append(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Gives someone a role in a service that they joined.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_role(&self, identity: IdentityId, service: Service, role: Role) -> Result<(), StoreError> {
        let sql = "UPDATE memberships SET role = $3 WHERE identity = $1 AND service = $2";
        match self.database.execute(sql, args![identity, service.as_str(), role.as_str()]).await? {
            0 => Err(StoreError::NotFound("membership")),
            _ => Ok(()),
        }
    }

    /// Adds a strike in one service; no other service hears of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn add_strike(&self, identity: IdentityId, service: Service) -> Result<(), StoreError> {
        let sql = "UPDATE memberships SET strikes = strikes + 1 WHERE identity = $1 AND service = $2";
        match self.database.execute(sql, args![identity, service.as_str()]).await? {
            0 => Err(StoreError::NotFound("membership")),
            _ => Ok(()),
        }
    }

    /// Whether anyone is an administrator: before, the set-up link is good.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn has_administrator(&self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM memberships WHERE role = 'administrator' LIMIT 1";
        Ok(self.database.first(sql, args![]).await?.is_some())
    }
}

/// Something happens to a membership, within a transaction. A limit stands behind an end, and is there again when the person is.
pub(crate) async fn move_membership(
    tx: &mut Tx,
    identity: IdentityId,
    service: Service,
    event: MembershipEvent,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<MembershipState, StoreError> {
    let sql = "INSERT INTO memberships (identity, service, state, role, joined_at, changed_at)
               VALUES ($1, $2, 'none', 'member', $3, $3) ON CONFLICT (identity, service) DO NOTHING";
    tx.execute(sql, args![identity, service.as_str(), now]).await?;
    let sql = format!("SELECT * FROM memberships WHERE identity = $1 AND service = $2{}", tx.for_update());
    let row = tx.first(sql, args![identity, service.as_str()]).await?.ok_or(StoreError::NotFound("membership"))?;
    let membership = from_row(&row)?.at(now);
    let refused = || StoreError::State { what: "membership", state: membership.state.as_str().into() };
    if event == MembershipEvent::Join {
        let sql = "SELECT 1 AS one FROM closures WHERE identity = $1 AND service = 'account'";
        if tx.first(sql, args![identity]).await?.is_some() {
            return Err(StoreError::State { what: "account", state: MembershipState::Closing.as_str().into() });
        }
    }
    let limits = matches!(event, MembershipEvent::Restrict | MembershipEvent::Suspend);
    let next = match membership.state {
        // Who leaves is limited too: it counts when they come back.
        MembershipState::Closing | MembershipState::Closed if limits => {
            let limit = if event == MembershipEvent::Suspend { "suspended" } else { "restricted" };
            let sql = "UPDATE memberships SET standing = $3, limited_until = $4 WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![identity, service.as_str(), limit, until]).await?;
            return Ok(membership.state);
        }
        // A longer limit takes the place of a shorter one.
        MembershipState::Suspended if event == MembershipEvent::Suspend => {
            let longer = membership.limited_until.is_some_and(|end| until.is_none_or(|until| until > end));
            if longer { MembershipState::Suspended } else { return Err(refused()) }
        }
        state => state.next(event).ok_or_else(refused)?,
    };
    let standing = row.opt_text("standing")?.filter(|_| membership.limited_until.is_none_or(|end| end > now));
    let (next, standing, until) = match event {
        MembershipEvent::Restrict | MembershipEvent::Suspend => (next, None, until),
        MembershipEvent::Close => {
            let limit = membership.limit().map(|_| membership.state.as_str().to_owned());
            (next, limit, membership.limited_until)
        }
        MembershipEvent::Finish => (next, standing, membership.limited_until),
        MembershipEvent::Join | MembershipEvent::Undo => match standing.as_deref().and_then(MembershipState::from_word)
        {
            Some(limited) => (limited, None, membership.limited_until),
            None => (next, None, None),
        },
        MembershipEvent::Restore => (next, None, None),
    };
    let sql = "UPDATE memberships SET state = $3, standing = $4, limited_until = $5, changed_at = $6
               WHERE identity = $1 AND service = $2";
    tx.execute(sql, args![identity, service.as_str(), next.as_str(), standing, until, now]).await?;
    if event == MembershipEvent::Restore {
        lift_limits(tx, identity, service, now).await?;
    }
    Ok(next)
}

/// A membership, if the person ever joined, with its row locked.
pub(crate) async fn lock_membership(
    tx: &mut Tx,
    identity: IdentityId,
    service: Service,
) -> Result<Option<Membership>, StoreError> {
    let sql = format!("SELECT * FROM memberships WHERE identity = $1 AND service = $2{}", tx.for_update());
    tx.first(sql, args![identity, service.as_str()]).await?.as_ref().map(from_row).transpose()
}

/// Puts what is left in the place of a membership's limit, once a decision counts no more: another limit and its end, or none. A limit that
/// waits behind an end changes there.
pub(crate) async fn settle_membership(
    tx: &mut Tx,
    identity: IdentityId,
    service: Service,
    left: Option<(MembershipState, Option<Timestamp>)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(membership) = lock_membership(tx, identity, service).await? else { return Ok(()) };
    let until = left.and_then(|(_, until)| until);
    let limited = left.map(|(state, _)| state.as_str().to_owned());
    match membership.state {
        MembershipState::Restricted | MembershipState::Suspended => {
            let state = limited.unwrap_or_else(|| MembershipState::Active.as_str().to_owned());
            let sql = "UPDATE memberships SET state = $3, limited_until = $4, changed_at = $5 WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![identity, service.as_str(), state, until, now]).await.map(|_| ())
        }
        MembershipState::Closing | MembershipState::Closed => {
            let sql = "UPDATE memberships SET standing = $3, limited_until = $4 WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![identity, service.as_str(), limited, until]).await.map(|_| ())
        }
        MembershipState::None | MembershipState::Active => Ok(()),
    }
}

pub(crate) fn from_row(row: &Row) -> Result<Membership, StoreError> {
    Ok(Membership {
        identity: IdentityId::from_bytes(row.id("identity")?),
        service: word(row, "service", Service::from_word)?,
        state: word(row, "state", MembershipState::from_word)?,
        role: word(row, "role", Role::from_word)?,
        strikes: number(row, "strikes")?,
        limited_until: row.opt_int("limited_until")?.map(Timestamp::from_micros),
        retired: false,
    })
}
