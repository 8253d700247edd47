//! Decisions: every limit, refusal and removal with its statement of reasons, in one row, written in the transaction of what it does.
//!
//! [`Store::decide`] carries a decision out and records it. What has more to do in its transaction does that and calls [`record`] last,
//! because it adds to the record of what was done to others. Whom it is about is told by that row: it is unseen until they have seen it, and
//! untold until the letter is written, see [`Store::untold_decisions`].

use std::time::Duration;

use platform::{
    CommentId, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope,
    DecisionState, IdentityId, MembershipEvent, MembershipState, MessageId, PostId, PostState, Service, Timestamp,
};

use crate::appeal::Appeal;
use crate::audit::{AuditEntry, append};
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::generation::{moment, number, word};
use crate::letter::{Letter, insert_letter};
use crate::membership::{lock_membership, move_membership, settle_membership};
use crate::objects::ObjectKey;
use crate::social;
use crate::store::Store;

/// A decision and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was decided, and why.
    pub record: DecisionRecord,
    /// Where it stands.
    pub state: DecisionState,
    /// When it stopped to count, before its end.
    pub lifted_at: Option<Timestamp>,
    /// When its subject saw it in the app.
    pub seen_at: Option<Timestamp>,
    /// The appeal against it.
    pub appeal: Option<Appeal>,
}

impl Decision {
    /// The word of where it stands at a moment: what ended by itself is `ended`, whether or not anyone wrote that down.
    pub fn state_at(&self, now: Timestamp) -> &'static str {
        let ended = self.state == DecisionState::Standing && self.record.ends_at.is_some_and(|end| end <= now);
        if ended { "ended" } else { self.state.as_str() }
    }
}

/// Decisions that no letter has told someone of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Whom they are about.
    pub subject: IdentityId,
    /// Their address.
    pub email: String,
    /// The decisions that one letter can tell, the oldest first.
    pub decisions: Vec<Decision>,
    /// How many more there are: one letter tells of all of them, and these are read in the app.
    pub more: u64,
    /// Until when decisions are told.
    until: Timestamp,
}

/// How much of the words of a decision is kept.
const FACTS_LENGTH: usize = 2_000;
const EVIDENCE_LENGTH: usize = 8_000;
/// Decisions that one letter tells in full.
const TOLD_AT_ONCE: u32 = 20;
/// Letters about refused words that someone gets within [`REFUSALS_COUNTED`].
const REFUSAL_LETTERS: u32 = 3;
const REFUSALS_COUNTED: Duration = Duration::from_secs(3_600);

/// The columns of a decision `d` with its evidence and its appeal.
pub(crate) const COLUMNS: &str =
    "d.*, e.text AS evidence, a.id AS appeal, a.text AS appeal_text, a.filed_at, a.due_at, a.overdue_at, a.reviewer,
     a.outcome, a.answer, a.decided_at AS appeal_decided_at";
pub(crate) const TABLES: &str =
    "decisions d LEFT JOIN decision_evidence e ON e.decision = d.id LEFT JOIN appeals a ON a.decision = d.id";

impl Store {
    /// Carries a decision out and records it, with a line in the record of what was done to others: all of it or nothing. Of what has
    /// its own rules (a likeness, an enrolment) only the record is written here.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if what it is about is not there or another's; [`StoreError::State`] if it is limited so already;
    /// [`StoreError::Database`] if the record is not whole.
    pub async fn decide(&self, decision: &DecisionRecord) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        carry_out(&mut tx, decision, decision.decided_at).await?;
        record(&mut tx, decision).await?;
        tx.commit().await
    }

    /// Keeps a proposal to limit a whole account. It limits nothing, and nobody is told, until a second person confirms it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn propose_decision(&self, proposed: &DecisionRecord) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        insert(&mut tx, proposed, DecisionState::Proposed).await?;
        let entry = AuditEntry {
            at: proposed.decided_at,
            actor: proposed.author,
            action: "account.propose".to_owned(),
            subject: proposed.subject.to_string(),
            detail: format!("{}: {}", proposed.id, proposed.ground),
        };
        append(&mut tx, &entry).await?;
        tx.commit().await
    }

    /// A proposal that nobody has confirmed yet.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn proposed_decision(&self, id: DecisionId) -> Result<DecisionRecord, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1 AND d.state = 'proposed'");
        let row = self.database.first(sql, args![id]).await?.ok_or(StoreError::NotFound("proposal"))?;
        Ok(from_row(&row)?.record)
    }

    /// All proposals that wait for a second person, the oldest first, so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn proposed_decisions(&self, limit: u32) -> Result<Vec<DecisionRecord>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.state = 'proposed' ORDER BY d.decided_at, d.id LIMIT $1");
        let rows = self.database.all(sql, args![limit]).await?;
        rows.iter().map(|row| Ok(from_row(row)?.record)).collect()
    }

    /// Carries a proposal out: every service of the person that is open is suspended, by one decision. Whether the second person may is
    /// the caller's to know; the database refuses the one who proposed it. Says which services were suspended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it was carried out before.
    pub async fn carry_out_proposal(
        &self,
        id: DecisionId,
        second: IdentityId,
        now: Timestamp,
    ) -> Result<Vec<Service>, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT subject FROM decisions WHERE id = $1 AND state = 'proposed'{}", tx.for_update());
        tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("proposal"))?;
        let sql = "UPDATE decisions SET state = 'standing', second = $2, decided_at = $3 WHERE id = $1";
        tx.execute(sql, args![id, second, now]).await?;
        let decision = one(&mut tx, id).await?.record;
        let suspended = suspend_all(&mut tx, &decision, now).await?;
        let services: Vec<_> = suspended.iter().map(|service| service.as_str()).collect();
        let author = decision.author.map_or_else(String::new, |author| author.to_string());
        let entry = AuditEntry {
            at: now,
            actor: Some(second),
            action: "account.suspend".to_owned(),
            subject: decision.subject.to_string(),
            detail: format!("{id}: {}, proposed by {author}: {}", decision.ground, services.join(", ")),
        };
        append(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(suspended)
    }

    /// A decision.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none, or it is only proposed.
    pub async fn decision(&self, id: DecisionId) -> Result<Decision, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1 AND d.state <> 'proposed'");
        from_row(&self.database.first(sql, args![id]).await?.ok_or(StoreError::NotFound("decision"))?)
    }

    /// The decisions about someone, the newest first, so many at most. `before` are moment and id of the last of the page before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn decisions_about(
        &self,
        subject: IdentityId,
        before: Option<(Timestamp, DecisionId)>,
        limit: u32,
    ) -> Result<Vec<Decision>, StoreError> {
        let (at, id) = before.unwrap_or((Timestamp::from_micros(i64::MAX), DecisionId::from_bytes([255; 16])));
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE d.subject = $1 AND d.state <> 'proposed' AND (d.decided_at, d.id) < ($2, $3)
             ORDER BY d.decided_at DESC, d.id DESC LIMIT $4"
        );
        self.database.all(sql, args![subject, at, id, limit]).await?.iter().map(from_row).collect()
    }

    /// The decisions of one service about someone, the newest first: what whoever moderates it may know of them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn decisions_of_service(
        &self,
        subject: IdentityId,
        service: Service,
        limit: u32,
    ) -> Result<Vec<Decision>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE d.subject = $1 AND d.service = $2 AND d.state <> 'proposed'
             ORDER BY d.decided_at DESC, d.id DESC LIMIT $3"
        );
        self.database.all(sql, args![subject, service.as_str(), limit]).await?.iter().map(from_row).collect()
    }

    /// The decision by which someone's own post is withheld, the last if there are several; nothing if there is none that counts.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_decision(&self, author: IdentityId, post: PostId) -> Result<Option<Decision>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE d.item = $1 AND d.item_kind = 'post' AND d.subject = $2 AND d.state = 'standing'
             AND d.effect IN ('withhold', 'remove') ORDER BY d.decided_at DESC, d.id DESC LIMIT 1"
        );
        self.database.first(sql, args![post, author]).await?.as_ref().map(from_row).transpose()
    }

    /// Whether an appeal of someone found that these words were refused by mistake: then they are not refused to them again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn refusal_was_wrong(&self, subject: IdentityId, item: DecidedItem) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM decisions WHERE item = $1 AND item_kind = $2 AND subject = $3 AND state = 'overturned' LIMIT 1";
        let item_id = item.id.map(uuid::Uuid::from_bytes);
        Ok(self.database.first(sql, args![item_id, item.kind.as_str(), subject]).await?.is_some())
    }

    /// How many decisions someone has not seen, up to a hundred.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unseen_decisions(&self, subject: IdentityId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM (SELECT 1 AS one FROM decisions WHERE subject = $1 AND seen_at IS NULL
                   AND state <> 'proposed' LIMIT 100) AS found";
        let row = self.database.first(sql, args![subject]).await?;
        row.map_or(Ok(0), |row| number(&row, "count"))
    }

    /// Someone has seen the decisions about them that were taken until a moment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn saw_decisions(&self, subject: IdentityId, until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE decisions SET seen_at = $3 WHERE subject = $1 AND seen_at IS NULL AND decided_at <= $2 AND state <> 'proposed'";
        self.database.execute(sql, args![subject, until, now]).await.map(|_| ())
    }

    /// Someone has seen one decision about them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn saw_decision(&self, subject: IdentityId, id: DecisionId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE decisions SET seen_at = $3 WHERE id = $1 AND subject = $2 AND seen_at IS NULL AND state <> 'proposed'";
        self.database.execute(sql, args![id, subject, now]).await.map(|_| ())
    }

    /// People whom a letter has yet to tell of decisions, so many at most: one letter tells all of them, in full as many as it can. Refused
    /// words are gathered until `gathered`, so that whoever tries ten times gets one letter; and whoever goes on gets no more than three an
    /// hour about them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn untold_decisions(&self, gathered: Timestamp, limit: u32) -> Result<Vec<Untold>, StoreError> {
        let sql = "SELECT d.subject, i.email, MAX(d.decided_at) AS until FROM decisions d JOIN identities i ON i.id = d.subject
                   WHERE d.told_at IS NULL AND d.state <> 'proposed' AND (d.effect <> 'refuse' OR d.decided_at <= $1)
                   GROUP BY d.subject, i.email HAVING SUM(CASE WHEN d.effect <> 'refuse' THEN 1 ELSE 0 END) > 0
                       OR (SELECT COUNT(DISTINCT t.told_at) FROM decisions t
                           WHERE t.subject = d.subject AND t.effect = 'refuse' AND t.told_at > $3) < $4
                   ORDER BY MIN(d.decided_at), d.subject LIMIT $2";
        let (mut untold, since) = (Vec::new(), gathered - REFUSALS_COUNTED);
        for row in self.database.all(sql, args![gathered, limit, since, REFUSAL_LETTERS]).await? {
            let subject = IdentityId::from_bytes(row.id("subject")?);
            let until = Timestamp::from_micros(row.int("until")?);
            let which = "d.subject = $1 AND d.told_at IS NULL AND d.state <> 'proposed' AND d.decided_at <= $2";
            let sql = format!("SELECT COUNT(*) AS count FROM decisions d WHERE {which}");
            let count: u64 = match self.database.first(sql, args![subject, until]).await? {
                Some(row) => number(&row, "count")?,
                None => 0,
            };
            let sql =
                format!("SELECT {COLUMNS} FROM {TABLES} WHERE {which} ORDER BY d.decided_at DESC, d.id DESC LIMIT $3");
            let rows = self.database.all(sql, args![subject, until, TOLD_AT_ONCE]).await?;
            // The last of them in full, in the order in which they were decided.
            let decisions: Vec<_> = rows.iter().rev().map(from_row).collect::<Result<_, StoreError>>()?;
            let more = count.saturating_sub(decisions.len() as u64);
            untold.push(Untold { subject, email: row.text("email")?, decisions, more, until });
        }
        Ok(untold)
    }

    /// Puts the letter about decisions on its way, once: says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_statement(&self, untold: &Untold, letter: &Letter, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE decisions SET told_at = $3 WHERE subject = $1 AND decided_at <= $2 AND told_at IS NULL AND state <> 'proposed'";
        let told = tx.execute(sql, args![untold.subject, untold.until, now]).await?;
        // Another node told some of them, or one came between: the next round sees what is left.
        if told != untold.decisions.len() as u64 + untold.more {
            return Ok(false);
        }
        insert_letter(&mut tx, self.sealer()?, letter).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A post that a report, a decision or a notice is about, whoever may see it otherwise.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for any other.
    pub async fn post_evidence(&self, post: PostId) -> Result<PostEvidence, StoreError> {
        let sql =
            "SELECT author, caption, prompt, state, video_key, thumbnail_key, spritesheet_key FROM posts WHERE id = $1
                   AND (EXISTS (SELECT 1 FROM reports r WHERE r.subject = $1 AND r.kind = 'post')
                        OR EXISTS (SELECT 1 FROM decisions d WHERE d.item = $1 AND d.item_kind = 'post')
                        OR EXISTS (SELECT 1 FROM takedowns t WHERE t.post = $1))";
        let row = self.database.first(sql, args![post]).await?.ok_or(StoreError::NotFound("post"))?;
        let key = |column: &str| {
            Ok::<_, StoreError>(row.opt_text(column)?.filter(|key| !key.is_empty()).map(ObjectKey::from_row))
        };
        Ok(PostEvidence {
            author: IdentityId::from_bytes(row.id("author")?),
            caption: row.text("caption")?,
            prompt: row.text("prompt")?,
            state: word(&row, "state", PostState::from_word)?,
            video: key("video_key")?,
            thumbnail: key("thumbnail_key")?,
            spritesheet: key("spritesheet_key")?,
        })
    }

    /// Whose post it is, for whoever decides about it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn author_of(&self, post: PostId) -> Result<IdentityId, StoreError> {
        let row = self.database.first("SELECT author FROM posts WHERE id = $1", args![post]).await?;
        Ok(IdentityId::from_bytes(row.ok_or(StoreError::NotFound("post"))?.id("author")?))
    }
}

/// A post as those see it who decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostEvidence {
    /// Whose.
    pub author: IdentityId,
    /// What stands below it.
    pub caption: String,
    /// What it was made of.
    pub prompt: String,
    /// Where it stands.
    pub state: PostState,
    /// Its film, unless that is gone.
    pub video: Option<ObjectKey>,
    /// Its first frame.
    pub thumbnail: Option<ObjectKey>,
    /// Pictures all through it.
    pub spritesheet: Option<ObjectKey>,
}

/// Writes a decision's record in the transaction of what it does, and the line in the record of what was done to others; for a refusal
/// by a program there is none. It comes after all other locks.
pub(crate) async fn record(tx: &mut Tx, decision: &DecisionRecord) -> Result<(), StoreError> {
    insert(tx, decision, DecisionState::Standing).await?;
    if decision.author.is_none() && decision.effect == DecisionEffect::Refuse {
        return Ok(());
    }
    let subject = match decision.item {
        DecidedItem { kind: DecidedKind::Post, id: Some(id) } => PostId::from_bytes(id).to_string(),
        _ => decision.subject.to_string(),
    };
    let service = decision.service.map_or("account", Service::as_str);
    let entry = AuditEntry {
        at: decision.decided_at,
        actor: decision.author,
        action: format!("{}.{}", decision.item.kind.as_str(), decision.effect.as_str()),
        subject,
        detail: format!("{service}: {}, {}", decision.ground, decision.id),
    };
    append(tx, &entry).await
}

async fn insert(tx: &mut Tx, decision: &DecisionRecord, state: DecisionState) -> Result<(), StoreError> {
    let facts: String = decision.facts.chars().take(FACTS_LENGTH).collect();
    let sql = "INSERT INTO decisions (id, subject, scope, service, effect, item_kind, item, ground, rule, rule_version, facts, unlawful,
               automated_detection, automated_decision, author, second, strikes, decided_at, ends_at, permanent, state)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    let args = args![
        decision.id,
        decision.subject,
        decision.scope.as_str(),
        decision.service.map(|service| service.as_str().to_owned()),
        decision.effect.as_str(),
        decision.item.kind.as_str(),
        decision.item.id.map(uuid::Uuid::from_bytes),
        decision.ground.as_str(),
        decision.rule.id.as_str(),
        decision.rule.version.as_str(),
        facts,
        decision.unlawful,
        decision.automated_detection,
        decision.author.is_none(),
        decision.author,
        decision.second,
        decision.strikes,
        decision.decided_at,
        decision.ends_at,
        decision.ends_at.is_none(),
        state.as_str(),
    ];
    tx.execute(sql, args).await?;
    if !decision.evidence.is_empty() {
        let evidence: String = decision.evidence.chars().take(EVIDENCE_LENGTH).collect();
        let sql = "INSERT INTO decision_evidence (decision, subject, text) VALUES ($1, $2, $3)";
        tx.execute(sql, args![decision.id, decision.subject, evidence]).await?;
    }
    if let (DecidedKind::Membership, DecisionEffect::Restrict | DecisionEffect::Suspend, Some(service)) =
        (decision.item.kind, decision.effect, decision.service)
    {
        limits(tx, decision.id, service).await?;
    }
    match decision.service {
        Some(service) if decision.strikes > 0 => {
            let sql = "UPDATE memberships SET strikes = strikes + $3 WHERE identity = $1 AND service = $2";
            tx.execute(sql, args![decision.subject, service.as_str(), decision.strikes]).await.map(|_| ())
        }
        _ => Ok(()),
    }
}

async fn limits(tx: &mut Tx, id: DecisionId, service: Service) -> Result<(), StoreError> {
    let sql = "INSERT INTO decision_memberships (decision, service) VALUES ($1, $2)";
    tx.execute(sql, args![id, service.as_str()]).await.map(|_| ())
}

/// Does what a decision says.
pub(crate) async fn carry_out(tx: &mut Tx, decision: &DecisionRecord, now: Timestamp) -> Result<(), StoreError> {
    match (decision.item, decision.effect, decision.service) {
        (
            DecidedItem { kind: DecidedKind::Post, id: Some(id) },
            DecisionEffect::Withhold | DecisionEffect::Remove,
            _,
        ) => {
            let post = PostId::from_bytes(id);
            let row = tx.first("SELECT author FROM posts WHERE id = $1", args![post]).await?;
            let author = row.ok_or(StoreError::NotFound("post"))?.id("author")?;
            if author != decision.subject.bytes() {
                return Err(StoreError::NotFound("post"));
            }
            social::set_withheld(tx, post, true, now).await
        }
        (DecidedItem { kind, id: Some(id) }, DecisionEffect::Withhold | DecisionEffect::Remove, _) => {
            set_withheld(tx, kind, id, decision.subject, true, now).await
        }
        (DecidedItem { kind: DecidedKind::Membership, .. }, effect, Some(service)) => {
            let event = match effect {
                DecisionEffect::Restrict => MembershipEvent::Restrict,
                DecisionEffect::Suspend => MembershipEvent::Suspend,
                DecisionEffect::Restore => MembershipEvent::Restore,
                _ => return Ok(()),
            };
            if event != MembershipEvent::Suspend && limited_by_two(tx, decision.subject, service, now).await? {
                return Err(StoreError::State { what: "membership", state: "limited by two people".into() });
            }
            move_membership(tx, decision.subject, service, event, decision.ends_at, now).await?;
            // A restriction in place of a suspension lifts that.
            if event == MembershipEvent::Restrict {
                lift_limits(tx, decision.subject, service, now).await?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Keeps a comment, a message or what a profile says back, or lets it go again. Of anything else its own code does that.
async fn set_withheld(
    tx: &mut Tx,
    kind: DecidedKind,
    id: [u8; 16],
    whose: IdentityId,
    withhold: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    match kind {
        DecidedKind::Comment => social::set_comment_withheld(tx, CommentId::from_bytes(id), whose, withhold, now).await,
        DecidedKind::Message => social::set_message_withheld(tx, MessageId::from_bytes(id), whose, withhold, now).await,
        DecidedKind::Profile if id == whose.bytes() => social::set_profile_withheld(tx, whose, withhold, now).await,
        DecidedKind::Profile => Err(StoreError::NotFound("profile")),
        _ => Ok(()),
    }
}

/// Whether a decision about the whole account limits a service: one person alone neither lifts that nor makes it less.
async fn limited_by_two(
    tx: &mut Tx,
    subject: IdentityId,
    service: Service,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS one FROM decisions d JOIN decision_memberships m ON m.decision = d.id
               WHERE d.subject = $1 AND m.service = $2 AND d.scope = 'identity' AND d.state = 'standing'
               AND (d.ends_at IS NULL OR d.ends_at > $3) LIMIT 1";
    Ok(tx.first(sql, args![subject, service.as_str(), now]).await?.is_some())
}

/// Suspends every service of someone that is open.
async fn suspend_all(tx: &mut Tx, decision: &DecisionRecord, now: Timestamp) -> Result<Vec<Service>, StoreError> {
    let mut suspended = Vec::new();
    for service in Service::ALL {
        match lock_membership(tx, decision.subject, service).await? {
            Some(membership) if membership.state != MembershipState::None => {}
            _ => continue,
        }
        let event = MembershipEvent::Suspend;
        match move_membership(tx, decision.subject, service, event, decision.ends_at, now).await {
            // It is suspended for longer already. When that is lifted, this still stands.
            Err(StoreError::State { .. }) => limits(tx, decision.id, service).await?,
            moved => {
                moved?;
                limits(tx, decision.id, service).await?;
                suspended.push(service);
            }
        }
    }
    Ok(suspended)
}

/// The decisions that limit a membership count no more: it was restored, or limited anew.
pub(crate) async fn lift_limits(
    tx: &mut Tx,
    subject: IdentityId,
    service: Service,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE decisions SET state = 'lifted', lifted_at = $3 WHERE subject = $1 AND state IN ('standing', 'paused')
               AND scope <> 'identity' AND id IN (SELECT m.decision FROM decision_memberships m WHERE m.service = $2)";
    tx.execute(sql, args![subject, service.as_str(), now]).await.map(|_| ())
}

/// The decisions that withhold a post count no more: it was let go without an appeal.
pub(crate) async fn lift_from_post(tx: &mut Tx, post: PostId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE decisions SET state = 'lifted', lifted_at = $2 WHERE item = $1 AND item_kind = 'post'
               AND effect IN ('withhold', 'remove') AND state IN ('standing', 'paused')";
    tx.execute(sql, args![post, now]).await.map(|_| ())
}

/// Gives back what a decision took: the post, comment, message or profile as it was, memberships as all other decisions leave them. Then writes down where the
/// decision stands now. Strikes come back when it was wrong, not while an appeal is late.
pub(crate) async fn give_back(
    tx: &mut Tx,
    decision: &DecisionRecord,
    state: DecisionState,
    now: Timestamp,
) -> Result<(), StoreError> {
    if let (Some(id), DecisionEffect::Withhold | DecisionEffect::Remove) = (decision.item.id, decision.effect) {
        let kind = decision.item.kind;
        let sql =
            "SELECT 1 AS one FROM decisions WHERE item = $1 AND item_kind = $2 AND effect IN ('withhold', 'remove')
                   AND state = 'standing' AND id <> $3 LIMIT 1";
        let item = uuid::Uuid::from_bytes(id);
        let others = tx.first(sql, args![Some(item), kind.as_str(), decision.id]).await?.is_some();
        let given = match kind {
            _ if others => Ok(()),
            DecidedKind::Post => social::set_withheld(tx, PostId::from_bytes(id), false, now).await,
            kind => set_withheld(tx, kind, id, decision.subject, false, now).await,
        };
        match given {
            // It is gone by now.
            Ok(()) | Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let sql = "SELECT service FROM decision_memberships WHERE decision = $1 ORDER BY service";
    for row in tx.all(sql, args![decision.id]).await? {
        let service = word(&row, "service", Service::from_word)?;
        let sql = "SELECT d.effect, d.ends_at FROM decisions d JOIN decision_memberships m ON m.decision = d.id
                   WHERE d.subject = $1 AND m.service = $2 AND d.id <> $3 AND d.state = 'standing'
                   AND (d.ends_at IS NULL OR d.ends_at > $4)";
        let rows = tx.all(sql, args![decision.subject, service.as_str(), decision.id, now]).await?;
        let mut left: Option<(MembershipState, Option<Timestamp>)> = None;
        for row in &rows {
            let effect = word(row, "effect", DecisionEffect::from_word)?;
            let suspends = effect == DecisionEffect::Suspend;
            let limited = if suspends { MembershipState::Suspended } else { MembershipState::Restricted };
            let limit = (limited, moment(row, "ends_at")?);
            left = Some(left.map_or(limit, |known| stronger(known, limit)));
        }
        settle_membership(tx, decision.subject, service, left, now).await?;
    }
    if state == DecisionState::Overturned
        && let Some(service) = decision.service
        && decision.strikes > 0
    {
        let sql = "UPDATE memberships SET strikes = CASE WHEN strikes > $3 THEN strikes - $3 ELSE 0 END
                   WHERE identity = $1 AND service = $2";
        tx.execute(sql, args![decision.subject, service.as_str(), decision.strikes]).await?;
    }
    let sql = "UPDATE decisions SET state = $2, lifted_at = $3 WHERE id = $1";
    tx.execute(sql, args![decision.id, state.as_str(), now]).await.map(|_| ())
}

/// Of two limits the one that limits more: closed before limited, longer before shorter.
fn stronger(
    a: (MembershipState, Option<Timestamp>),
    b: (MembershipState, Option<Timestamp>),
) -> (MembershipState, Option<Timestamp>) {
    let weight = |limit: (MembershipState, Option<Timestamp>)| {
        (limit.0 == MembershipState::Suspended, limit.1.map_or(i64::MAX, Timestamp::micros))
    };
    if weight(b) > weight(a) { b } else { a }
}

/// A paused decision counts again.
pub(crate) async fn stand_again(tx: &mut Tx, decision: &DecisionRecord, now: Timestamp) -> Result<(), StoreError> {
    // What it was about may be gone, or be limited otherwise by now.
    match carry_out(tx, decision, now).await {
        Ok(()) | Err(StoreError::NotFound(_) | StoreError::State { .. }) => {}
        Err(error) => return Err(error),
    }
    let sql = "UPDATE decisions SET state = 'standing', lifted_at = NULL WHERE id = $1";
    tx.execute(sql, args![decision.id]).await.map(|_| ())
}

/// A decision, within a transaction.
pub(crate) async fn one(tx: &mut Tx, id: DecisionId) -> Result<Decision, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1");
    from_row(&tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("decision"))?)
}

pub(crate) fn from_row(row: &Row) -> Result<Decision, StoreError> {
    let service = row.opt_text("service")?;
    let scope = |text: &str| DecisionScope::ALL.into_iter().find(|scope| scope.as_str() == text);
    let record = DecisionRecord {
        id: DecisionId::from_bytes(row.id("id")?),
        subject: IdentityId::from_bytes(row.id("subject")?),
        scope: word(row, "scope", scope)?,
        service: service.as_deref().and_then(Service::from_word),
        effect: word(row, "effect", DecisionEffect::from_word)?,
        item: DecidedItem { kind: word(row, "item_kind", DecidedKind::from_word)?, id: row.opt_id("item")? },
        ground: row.text("ground")?,
        rule: DecidedRule { id: row.text("rule")?, version: row.text("rule_version")? },
        facts: row.text("facts")?,
        evidence: row.opt_text("evidence")?.unwrap_or_default(),
        unlawful: row.int("unlawful")? == 1,
        automated_detection: row.int("automated_detection")? == 1,
        author: row.opt_id("author")?.map(IdentityId::from_bytes),
        second: row.opt_id("second")?.map(IdentityId::from_bytes),
        strikes: number(row, "strikes")?,
        decided_at: Timestamp::from_micros(row.int("decided_at")?),
        ends_at: moment(row, "ends_at")?,
    };
    Ok(Decision {
        state: word(row, "state", DecisionState::from_word)?,
        lifted_at: moment(row, "lifted_at")?,
        seen_at: moment(row, "seen_at")?,
        appeal: Appeal::from_row(row, &record)?,
        record,
    })
}
