//! Memberships, and decisions about them.

use platform::{
    Decision, DecisionId, DecisionScope, IdentityId, Membership, MembershipEvent, MembershipState, ProposedDecision,
    Role, Service, Timestamp,
};

use crate::audit::{AuditEntry, append};
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::generation::{moment, number, word};
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

    /// Records a decision. The database refuses one without scope, ground, author or end.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_decision(&self, decision: &Decision) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        write_decision(&mut tx, decision).await?;
        tx.commit().await
    }

    /// Keeps a proposal to limit all of someone's services.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn propose_decision(&self, proposed: &ProposedDecision) -> Result<(), StoreError> {
        let sql = "INSERT INTO proposed_decisions (id, subject, ground, proposed_by, proposed_at, ends_at)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let ProposedDecision { id, subject, ground, proposed_by, proposed_at, ends_at } = proposed;
        let args = args![*id, *subject, ground.as_str(), *proposed_by, *proposed_at, *ends_at];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// A proposal that nobody has confirmed yet.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn proposed_decision(&self, id: DecisionId) -> Result<ProposedDecision, StoreError> {
        let row = self.database.first("SELECT * FROM proposed_decisions WHERE id = $1", args![id]).await?;
        proposed_from_row(&row.ok_or(StoreError::NotFound("proposal"))?)
    }

    /// Carries a proposal out: every service of the person that is open is suspended, with a decision for each. Whether the second person
    /// may is the caller's to know. Says which services were suspended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it was carried out before.
    pub async fn carry_out_proposal(&self, id: DecisionId, now: Timestamp) -> Result<Vec<Service>, StoreError> {
        let mut tx = self.database.begin().await?;
        let row = tx.first("DELETE FROM proposed_decisions WHERE id = $1 RETURNING *", args![id]).await?;
        let proposed = proposed_from_row(&row.ok_or(StoreError::NotFound("proposal"))?)?;
        let mut suspended = Vec::new();
        for service in Service::ALL {
            let sql = "SELECT * FROM memberships WHERE identity = $1 AND service = $2";
            let Some(row) = tx.first(sql, args![proposed.subject, service.as_str()]).await? else { continue };
            if from_row(&row)?.state == MembershipState::None {
                continue;
            }
            let event = MembershipEvent::Suspend;
            match move_membership(&mut tx, proposed.subject, service, event, proposed.ends_at, now).await {
                // It is suspended for longer already.
                Err(StoreError::State { .. }) => continue,
                moved => moved?,
            };
            let decision = Decision {
                id: DecisionId::derived(id.bytes(), service.as_str()),
                subject: proposed.subject,
                service,
                scope: DecisionScope::Identity,
                ground: proposed.ground.clone(),
                author: proposed.proposed_by,
                decided_at: now,
                ends_at: proposed.ends_at,
            };
            write_decision(&mut tx, &decision).await?;
            suspended.push(service);
        }
        tx.commit().await?;
        Ok(suspended)
    }

    /// The decisions about someone, the newest first, so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn decisions_about(&self, subject: IdentityId, limit: u32) -> Result<Vec<Decision>, StoreError> {
        let sql = "SELECT * FROM decisions WHERE subject = $1 ORDER BY decided_at DESC, id DESC LIMIT $2";
        self.database.all(sql, args![subject, limit]).await?.iter().map(decision_from_row).collect()
    }
}

fn decision_from_row(row: &Row) -> Result<Decision, StoreError> {
    Ok(Decision {
        id: DecisionId::from_bytes(row.id("id")?),
        subject: IdentityId::from_bytes(row.id("subject")?),
        service: word(row, "service", Service::from_word)?,
        scope: word(row, "scope", |text| DecisionScope::ALL.into_iter().find(|scope| scope.as_str() == text))?,
        ground: row.text("ground")?,
        author: IdentityId::from_bytes(row.id("author")?),
        decided_at: Timestamp::from_micros(row.int("decided_at")?),
        ends_at: moment(row, "ends_at")?,
    })
}

async fn write_decision(tx: &mut Tx, decision: &Decision) -> Result<(), StoreError> {
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
    tx.execute(sql, args).await.map(|_| ())
}

fn proposed_from_row(row: &Row) -> Result<ProposedDecision, StoreError> {
    Ok(ProposedDecision {
        id: DecisionId::from_bytes(row.id("id")?),
        subject: IdentityId::from_bytes(row.id("subject")?),
        ground: row.text("ground")?,
        proposed_by: IdentityId::from_bytes(row.id("proposed_by")?),
        proposed_at: Timestamp::from_micros(row.int("proposed_at")?),
        ends_at: row.opt_int("ends_at")?.map(Timestamp::from_micros),
    })
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
    Ok(next)
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
