//! Appeals against decisions: filed by whom they limit, decided by another person, never late without an alarm.

use platform::{
    APPEAL_LENGTH, APPEAL_TIME, AppealId, AppealOutcome, AppealRefusal, DecidedKind, DecisionEffect, DecisionId,
    DecisionRecord, DecisionState, IdentityId, Role, Service, Timestamp, VideoId,
};

use crate::audit::{AuditEntry, append};
use crate::database::{Row, Tx, args};
use crate::decision::{COLUMNS, Decision, TABLES, from_row, give_back, one, stand_again};
use crate::error::StoreError;
use crate::generation::moment;
use crate::letter::{Letter, insert_letter};
use crate::queue::make_after_all;
use crate::store::Store;
use crate::takedown;

/// An appeal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appeal {
    /// Its id.
    pub id: AppealId,
    /// Against which decision.
    pub decision: DecisionId,
    /// Whose.
    pub subject: IdentityId,
    /// Why the decision is wrong.
    pub text: String,
    /// When it was filed.
    pub filed_at: Timestamp,
    /// When the answer is due.
    pub due_at: Timestamp,
    /// When it was late, and everyone who administers was called.
    pub overdue_at: Option<Timestamp>,
    /// Who decided it, once it is.
    pub reviewer: Option<IdentityId>,
    /// What it came to.
    pub outcome: Option<AppealOutcome>,
    /// Why, in the reviewer's words.
    pub answer: String,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

/// Why an appeal was not taken or not decided.
#[derive(Debug, thiserror::Error)]
pub enum AppealError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] AppealRefusal),
    /// Or something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Takes an appeal of whom a decision limits.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the decision is about someone else; [`StoreError::Exists`] if it was contested before;
    /// [`AppealRefusal`].
    pub async fn appeal(
        &self,
        id: AppealId,
        subject: IdentityId,
        decision: DecisionId,
        text: &str,
        now: Timestamp,
    ) -> Result<Appeal, AppealError> {
        let text = text.trim();
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id FROM decisions WHERE id = $1 AND subject = $2 AND state <> 'proposed'{}",
            tx.for_update()
        );
        tx.first(sql, args![decision, subject]).await?.ok_or(StoreError::NotFound("decision"))?;
        let decided = one(&mut tx, decision).await?;
        if decided.appeal.is_some() {
            return Err(StoreError::Exists("appeal").into());
        }
        decided.record.may_be_contested(decided.state, now)?;
        if text.is_empty() || text.chars().count() > APPEAL_LENGTH {
            return Err(AppealRefusal::Empty.into());
        }
        let due_at = now + APPEAL_TIME;
        let sql = "INSERT INTO appeals (id, decision, subject, text, filed_at, due_at, answer) VALUES ($1, $2, $3, $4, $5, $6, '')";
        tx.execute(sql, args![id, decision, subject, text, now, due_at]).await?;
        tx.commit().await?;
        Ok(Appeal {
            id,
            decision,
            subject,
            text: text.to_owned(),
            filed_at: now,
            due_at,
            overdue_at: None,
            reviewer: None,
            outcome: None,
            answer: String::new(),
            decided_at: None,
        })
    }

    /// The decision that an appeal is against, with the appeal.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn appealed(&self, id: AppealId) -> Result<Decision, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE a.id = $1");
        from_row(&self.database.first(sql, args![id]).await?.ok_or(StoreError::NotFound("appeal"))?)
    }

    /// Appeals that wait for an answer, the one that is due first at the top, so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_appeals(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE a.outcome IS NULL AND a.id IS NOT NULL ORDER BY a.due_at, a.id LIMIT $1"
        );
        self.database.all(sql, args![limit]).await?.iter().map(from_row).collect()
    }

    /// Of these the ones that someone may review who moderates these services and, if `whole`, decides about whole accounts: none that
    /// is about them or that they decided.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn reviewable_appeals(
        &self,
        reviewer: IdentityId,
        services: &[Service],
        whole: bool,
        limit: u32,
    ) -> Result<Vec<Decision>, StoreError> {
        let services: Vec<_> = services.iter().map(|service| format!("'{}'", service.as_str())).collect();
        let services = if services.is_empty() { "''".to_owned() } else { services.join(", ") };
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE a.outcome IS NULL AND a.id IS NOT NULL
             AND CASE WHEN d.scope = 'identity' THEN $3 = 1 ELSE d.service IN ({services}) END
             AND d.subject <> $2 AND (d.author IS NULL OR d.author <> $2) AND (d.second IS NULL OR d.second <> $2)
             ORDER BY a.due_at, a.id LIMIT $1"
        );
        self.database.all(sql, args![limit, reviewer, whole]).await?.iter().map(from_row).collect()
    }

    /// Decides an appeal, once. If it was right, everything that the decision took is given back in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none; [`StoreError::State`] if it is decided; [`AppealRefusal`] if this person may not.
    pub async fn decide_appeal(
        &self,
        id: AppealId,
        reviewer: IdentityId,
        role: Role,
        outcome: AppealOutcome,
        answer: &str,
        now: Timestamp,
    ) -> Result<Decision, AppealError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT decision, outcome FROM appeals WHERE id = $1{}", tx.for_update());
        let row = tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("appeal"))?;
        let decision = one(&mut tx, DecisionId::from_bytes(row.id("decision")?)).await?;
        decision.record.may_be_reviewed_by(reviewer, role)?;
        if let Some(outcome) = row.opt_text("outcome")? {
            return Err(StoreError::State { what: "appeal", state: outcome }.into());
        }
        let answer: String = answer.trim().chars().take(APPEAL_LENGTH).collect();
        let sql = "UPDATE appeals SET reviewer = $2, outcome = $3, answer = $4, decided_at = $5 WHERE id = $1";
        tx.execute(sql, args![id, reviewer, outcome.as_str(), answer, now]).await?;
        let state = decision.state;
        match outcome {
            // What was lifted meanwhile for another reason is not given back twice; that it was wrong is said all the same.
            AppealOutcome::Overturned => {
                give_back(&mut tx, &decision.record, DecisionState::Overturned, now).await?;
                takedown::overturned(&mut tx, decision.record.id, now).await?;
                if let (DecidedKind::Video, DecisionEffect::Refuse, Some(id)) =
                    (decision.record.item.kind, decision.record.effect, decision.record.item.id)
                {
                    make_after_all(&mut tx, VideoId::from_bytes(id), now).await?;
                }
            }
            AppealOutcome::Upheld if state == DecisionState::Paused => {
                stand_again(&mut tx, &decision.record, now).await?;
            }
            AppealOutcome::Upheld => {}
        }
        audit(&mut tx, &decision.record, id, Some(reviewer), outcome.as_str(), now).await?;
        tx.commit().await?;
        Ok(self.appealed(id).await?)
    }

    /// Appeals that are late and for which nobody was called yet, so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn late_appeals(&self, limit: u32, now: Timestamp) -> Result<Vec<Decision>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE a.outcome IS NULL AND a.due_at <= $1 AND a.overdue_at IS NULL ORDER BY a.due_at, a.id LIMIT $2"
        );
        self.database.all(sql, args![now, limit]).await?.iter().map(from_row).collect()
    }

    /// Raises the alarm about a late appeal, once: a line in the record, letters, and the limit is lifted until it is decided unless the
    /// thing is held to be against the law. Says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn raise_alarm(&self, appeal: AppealId, letters: &[Letter], now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE appeals SET overdue_at = $2 WHERE id = $1 AND overdue_at IS NULL AND outcome IS NULL RETURNING decision";
        let Some(row) = tx.first(sql, args![appeal, now]).await? else { return Ok(false) };
        let decision = one(&mut tx, DecisionId::from_bytes(row.id("decision")?)).await?;
        if decision.state == DecisionState::Standing && decision.record.is_lifted_while_late() {
            give_back(&mut tx, &decision.record, DecisionState::Paused, now).await?;
        }
        for letter in letters {
            insert_letter(&mut tx, self.sealer()?, letter).await?;
        }
        audit(&mut tx, &decision.record, appeal, None, "overdue", now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Decided appeals whose outcome no letter has told, so many at most, each with the address.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn untold_outcomes(&self, limit: u32) -> Result<Vec<(String, Decision)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, i.email FROM {TABLES} JOIN identities i ON i.id = d.subject
             WHERE a.outcome IS NOT NULL AND a.told_at IS NULL ORDER BY a.decided_at, a.id LIMIT $1"
        );
        let rows = self.database.all(sql, args![limit]).await?;
        rows.iter().map(|row| Ok((row.text("email")?, from_row(row)?))).collect()
    }

    /// Puts the letter about an outcome on its way, once: says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_outcome(&self, appeal: AppealId, letter: &Letter, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE appeals SET told_at = $2 WHERE id = $1 AND told_at IS NULL";
        if tx.execute(sql, args![appeal, now]).await? == 0 {
            return Ok(false);
        }
        insert_letter(&mut tx, self.sealer()?, letter).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The addresses of everyone who administers.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn administrators(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT i.email FROM identities i JOIN memberships m ON m.identity = i.id
                   WHERE m.role = 'administrator' ORDER BY i.email";
        self.database.all(sql, args![]).await?.iter().map(|row| row.text("email")).collect()
    }
}

async fn audit(
    tx: &mut Tx,
    decision: &DecisionRecord,
    appeal: AppealId,
    actor: Option<IdentityId>,
    what: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let service = decision.service.map_or("account", platform::Service::as_str);
    let entry = AuditEntry {
        at: now,
        actor,
        action: format!("appeal.{what}"),
        subject: decision.subject.to_string(),
        detail: format!("{service}: {appeal} against {}", decision.id),
    };
    append(tx, &entry).await
}

impl Appeal {
    /// The appeal in a row of a decision, if there is one.
    pub(crate) fn from_row(row: &Row, decision: &DecisionRecord) -> Result<Option<Self>, StoreError> {
        let Some(id) = row.opt_id("appeal")? else { return Ok(None) };
        Ok(Some(Self {
            id: AppealId::from_bytes(id),
            decision: decision.id,
            subject: decision.subject,
            text: row.text("appeal_text")?,
            filed_at: Timestamp::from_micros(row.int("filed_at")?),
            due_at: Timestamp::from_micros(row.int("due_at")?),
            overdue_at: moment(row, "overdue_at")?,
            reviewer: row.opt_id("reviewer")?.map(IdentityId::from_bytes),
            outcome: row.opt_text("outcome")?.as_deref().and_then(AppealOutcome::from_word),
            answer: row.text("answer")?,
            decided_at: moment(row, "appeal_decided_at")?,
        }))
    }
}
