//! Memberships, decisions about them, and the record of what operators did.

use platform::{Decision, IdentityId, Membership, MembershipEvent, MembershipState, Role, Service, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::{number, word};
use crate::store::Store;

/// A line of the record of what was done to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// By whom; nothing for the installation itself.
    pub actor: Option<IdentityId>,
    /// What, one word such as `key.revoke`.
    pub action: String,
    /// To what, an id.
    pub subject: String,
    /// More, for people. No secrets.
    pub detail: String,
}

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
        let sql = "INSERT INTO memberships (identity, service, state, role, joined_at, changed_at)
                   VALUES ($1, $2, 'none', 'member', $3, $3) ON CONFLICT (identity, service) DO NOTHING";
        tx.execute(sql, args![identity, service.as_str(), now]).await?;
        let sql = format!("SELECT * FROM memberships WHERE identity = $1 AND service = $2{}", tx.for_update());
        let row = tx.first(sql, args![identity, service.as_str()]).await?.ok_or(StoreError::NotFound("membership"))?;
        let state = from_row(&row)?.at(now).state;
        let next =
            state.next(event).ok_or_else(|| StoreError::State { what: "membership", state: state.as_str().into() })?;
        let limits = matches!(event, MembershipEvent::Restrict | MembershipEvent::Suspend);
        let sql = "UPDATE memberships SET state = $3, limited_until = $4, changed_at = $5
                   WHERE identity = $1 AND service = $2";
        let until = until.filter(|_| limits);
        tx.execute(sql, args![identity, service.as_str(), next.as_str(), until, now]).await?;
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
            let sql = "UPDATE memberships SET state = $3, limited_until = NULL, changed_at = $4
                       WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![identity, service, membership.state.as_str(), now]).await?;
            let sql = "INSERT INTO audit (at, actor, action, subject, detail) VALUES ($1, NULL, $2, $3, $4)";
            let detail = format!("{service}: the time of the limit is over");
            tx.execute(sql, args![now, "membership.restore", identity.to_string(), detail]).await?;
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

    /// Records a decision. The database refuses one without scope, ground, author or end.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_decision(&self, decision: &Decision) -> Result<(), StoreError> {
        let sql = "INSERT INTO decisions (id, subject, service, scope, ground, author, decided_at, ends_at, permanent)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let args = args![
            decision.id,
            decision.subject,
            decision.service.as_str(),
            decision.scope.as_str(),
            decision.ground.as_str(),
            decision.author,
            decision.decided_at,
            decision.ends_at,
            decision.ends_at.is_none(),
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// Adds a line to the record.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)";
        let (action, subject, detail) = (entry.action.as_str(), entry.subject.as_str(), entry.detail.as_str());
        self.database.execute(sql, args![entry.at, entry.actor, action, subject, detail]).await.map(|_| ())
    }

    /// The newest lines of the record.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.database.all("SELECT * FROM audit ORDER BY id DESC LIMIT $1", args![limit]).await?;
        let entry = |row: &Row| {
            Ok(AuditEntry {
                at: Timestamp::from_micros(row.int("at")?),
                actor: row.opt_id("actor")?.map(IdentityId::from_bytes),
                action: row.text("action")?,
                subject: row.text("subject")?,
                detail: row.text("detail")?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

fn from_row(row: &Row) -> Result<Membership, StoreError> {
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
