//! A likeness as its person has it: who may, within which limits, by which consent; lent, narrowed and withdrawn.

use platform::likeness::{Audience, ConsentTerms, EnrolmentState, Limits, Purposes, limits_version};
use platform::{
    ConsentId, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope,
    Handle, IdentityId, LikenessId, PostId, Service, Timestamp, VideoId,
};

use super::enrolment::{Enrolment, drop_capture};
use super::uses::Revoked;
use super::{read_limits, read_purposes, write_kinds, write_purposes};
use crate::database::{Row, Tx, args};
use crate::decision::record;
use crate::error::{StoreError, corrupt};
use crate::export::renew_exports_of;
use crate::generation::{moment, number, word};
use crate::objects::ObjectKey;
use crate::queue::end_not_permitted;
use crate::store::{Store, delete_objects};

/// A likeness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likeness {
    /// Its id.
    pub id: LikenessId,
    /// Whose.
    pub identity: IdentityId,
    /// How prompts name it.
    pub handle: Handle,
    /// Who may.
    pub audience: Audience,
    /// What for.
    pub purposes: Purposes,
    /// What must not be.
    pub limits: Limits,
    /// By which consent.
    pub consent: ConsentId,
    /// The version of that consent's text.
    pub consent_version: u32,
    /// When that consent ends.
    pub consent_until: Timestamp,
    /// How the person is drawn.
    pub template: Option<ObjectKey>,
    /// A still of the person.
    pub still: Option<ObjectKey>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

/// A consent that takes the place of the one before.
#[derive(Clone, Debug)]
pub struct NewConsent<'a> {
    /// Its id.
    pub id: ConsentId,
    /// The version of its text.
    pub version: u32,
    /// What it says.
    pub terms: &'a ConsentTerms,
    /// The signed statement.
    pub statement: &'a str,
}

/// A consent as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConsent {
    /// Its id.
    pub id: ConsentId,
    /// The version of its text.
    pub version: u32,
    /// When it was given.
    pub given_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it ended before that.
    pub ended_at: Option<Timestamp>,
    /// The signed statement.
    pub statement: String,
}

/// Someone who was approved or blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LentTo {
    /// Who.
    pub identity: IdentityId,
    /// How they are called, if they have a profile.
    pub handle: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

const COLUMNS: &str = "l.*, c.version AS consent_version, c.expires_at AS consent_until";
const TABLES: &str = "likenesses l JOIN likeness_consents c ON c.id = l.consent";

impl Store {
    /// Someone's likeness, withdrawn or not.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn likeness_of(&self, identity: IdentityId) -> Result<Option<Likeness>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.identity = $1");
        self.database.first(sql, args![identity]).await?.as_ref().map(Likeness::from_row).transpose()
    }

    /// A likeness by its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn likeness(&self, id: LikenessId) -> Result<Likeness, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.id = $1");
        Likeness::from_row(&self.database.first(sql, args![id]).await?.ok_or(StoreError::NotFound("likeness"))?)
    }

    /// The likeness of a handle; nothing if nobody enrolled under it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn likeness_named(&self, handle: &Handle) -> Result<Option<Likeness>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.handle = $1");
        self.database.first(sql, args![handle.as_str()]).await?.as_ref().map(Likeness::from_row).transpose()
    }

    /// Lends a likeness anew: another audience, other limits, or new words of the consent. The consent before ends, and its receipt stays.
    ///
    /// # Errors
    /// [`StoreError::State`] if it was withdrawn.
    pub async fn lend(&self, identity: IdentityId, consent: &NewConsent<'_>, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let likeness = standing(&mut tx, identity).await?;
        let NewConsent { id, version, terms, statement } = consent;
        end_consents(&mut tx, likeness.id, now).await?;
        let sql = "INSERT INTO likeness_consents (id, likeness, version, generate, given_at, expires_at, statement)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let generate = terms.purposes.generate;
        tx.execute(sql, args![*id, likeness.id, *version, generate, now, terms.expires_at, *statement]).await?;
        let sql =
            "UPDATE likenesses SET audience = $2, purposes = $3, kinds = $4, written = $5, consent = $6 WHERE id = $1";
        let args = args![
            likeness.id,
            terms.audience.as_str(),
            write_purposes(terms.purposes),
            write_kinds(&terms.limits),
            terms.limits.written().join("\n"),
            *id,
        ];
        tx.execute(sql, args).await?;
        tx.commit().await
    }

    /// Changes how someone is drawn.
    ///
    /// # Errors
    /// [`StoreError::State`] if it was withdrawn.
    pub async fn redraw_likeness(&self, identity: IdentityId, template: &ObjectKey) -> Result<(), StoreError> {
        let sql = "UPDATE likenesses SET template_key = $2 WHERE identity = $1 AND revoked_at IS NULL";
        match self.database.execute(sql, args![identity, template.as_str()]).await? {
            0 => Err(StoreError::State { what: "likeness", state: "withdrawn".into() }),
            _ => Ok(()),
        }
    }

    /// Approves someone, or no longer.
    ///
    /// # Errors
    /// [`StoreError::State`] if the likeness was withdrawn.
    pub async fn approve_maker(
        &self,
        identity: IdentityId,
        maker: IdentityId,
        approved: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.mark(identity, maker, ("likeness_grants", "grantee"), approved, now).await
    }

    /// Blocks someone from a likeness, or no longer. They are approved no more.
    ///
    /// # Errors
    /// [`StoreError::State`] if the likeness was withdrawn.
    pub async fn block_maker(
        &self,
        identity: IdentityId,
        maker: IdentityId,
        blocked: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.mark(identity, maker, ("likeness_blocks", "blocked"), blocked, now).await
    }

    async fn mark(
        &self,
        identity: IdentityId,
        maker: IdentityId,
        (table, column): (&'static str, &'static str),
        on: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let likeness = standing(&mut tx, identity).await?.id;
        if on {
            let sql =
                format!("INSERT INTO {table} (likeness, {column}, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
            tx.execute(sql, args![likeness, maker, now]).await?;
        } else {
            let sql = format!("DELETE FROM {table} WHERE likeness = $1 AND {column} = $2");
            tx.execute(sql, args![likeness, maker]).await?;
        }
        if on && table == "likeness_blocks" {
            let sql = "DELETE FROM likeness_grants WHERE likeness = $1 AND grantee = $2";
            tx.execute(sql, args![likeness, maker]).await?;
        }
        tx.commit().await
    }

    /// Whom someone approved.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn approved_makers(&self, likeness: LikenessId) -> Result<Vec<LentTo>, StoreError> {
        self.marked(likeness, ("likeness_grants", "grantee")).await
    }

    /// Whom someone blocked.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn blocked_makers(&self, likeness: LikenessId) -> Result<Vec<LentTo>, StoreError> {
        self.marked(likeness, ("likeness_blocks", "blocked")).await
    }

    async fn marked(
        &self,
        likeness: LikenessId,
        (table, column): (&'static str, &'static str),
    ) -> Result<Vec<LentTo>, StoreError> {
        let sql = format!(
            "SELECT m.{column} AS who, m.at, a.handle FROM {table} m LEFT JOIN profiles a ON a.identity = m.{column}
             WHERE m.likeness = $1 ORDER BY m.at DESC, m.{column} LIMIT 500"
        );
        let read = |row: &Row| {
            Ok(LentTo {
                identity: IdentityId::from_bytes(row.id("who")?),
                handle: row.opt_text("handle")?,
                at: Timestamp::from_micros(row.int("at")?),
            })
        };
        self.database.all(sql, args![likeness]).await?.iter().map(read).collect()
    }

    /// A consent's receipt, for its person.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another's.
    pub async fn consent(&self, identity: IdentityId, id: ConsentId) -> Result<StoredConsent, StoreError> {
        let consents = self.consents(identity).await?;
        consents.into_iter().find(|consent| consent.id == id).ok_or(StoreError::NotFound("consent"))
    }

    /// The receipts of someone's consents, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn consents(&self, identity: IdentityId) -> Result<Vec<StoredConsent>, StoreError> {
        let sql = "SELECT c.* FROM likeness_consents c WHERE c.likeness IN (
                       SELECT e.likeness FROM likeness_enrolments e WHERE e.identity = $1)
                   ORDER BY c.given_at DESC, c.id DESC LIMIT 200";
        let read = |row: &Row| {
            Ok(StoredConsent {
                id: ConsentId::from_bytes(row.id("id")?),
                version: number(row, "version")?,
                given_at: Timestamp::from_micros(row.int("given_at")?),
                expires_at: Timestamp::from_micros(row.int("expires_at")?),
                ended_at: moment(row, "ended_at")?,
                statement: row.text("statement")?,
            })
        };
        self.database.all(sql, args![identity]).await?.iter().map(read).collect()
    }

    /// Withdraws a likeness: from this moment nobody makes anything with it, what waits is cancelled and not charged, what is shown is
    /// hidden and its makers get the reasons, the template and the still go. Says what was cancelled and what is hidden now.
    ///
    /// # Errors
    /// [`StoreError::State`] if there is none, or it was withdrawn before.
    pub async fn withdraw_likeness(&self, identity: IdentityId, now: Timestamp) -> Result<Revoked, StoreError> {
        let mut tx = self.database.begin().await?;
        let likeness = standing(&mut tx, identity).await?;
        let sql = "SELECT * FROM likeness_enrolments WHERE identity = $1 AND state IN ('challenged', 'reviewing', 'approved')";
        let enrolments = tx.all(sql, args![identity]).await?;
        let revoked = withdraw(&mut tx, &likeness, now).await?;
        for row in &enrolments {
            let enrolment = Enrolment::from_row(row)?;
            let sql = "UPDATE likeness_enrolments SET state = 'withdrawn', decided_at = COALESCE(decided_at, $2) WHERE id = $1";
            tx.execute(sql, args![enrolment.id, now]).await?;
            // What was drawn of it goes too: it became a likeness, and is one no more.
            let withdrawn = Enrolment { state: EnrolmentState::Withdrawn, ..enrolment };
            drop_capture(&mut tx, &withdrawn, now).await?;
        }
        tell_reasons(&mut tx, &revoked, now).await?;
        tx.commit().await?;
        Ok(revoked)
    }

    /// Takes back an enrolment that was not decided yet; its capture goes at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if none waits.
    pub async fn withdraw_enrolment(&self, identity: IdentityId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT * FROM likeness_enrolments WHERE identity = $1 AND state IN ('challenged', 'reviewing'){}",
            tx.for_update()
        );
        let row = tx.first(sql, args![identity]).await?.ok_or(StoreError::NotFound("enrolment"))?;
        let enrolment = Enrolment::from_row(&row)?;
        let sql = "UPDATE likeness_enrolments SET state = 'withdrawn', decided_at = $2 WHERE id = $1";
        tx.execute(sql, args![enrolment.id, now]).await?;
        drop_capture(&mut tx, &enrolment, now).await?;
        tx.commit().await
    }

    /// Withdraws likenesses whose consent has ended by itself; says what came of each.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn lapse_likenesses(&self, now: Timestamp, limit: u32) -> Result<Vec<Revoked>, StoreError> {
        let sql = "SELECT l.identity FROM likenesses l JOIN likeness_consents c ON c.id = l.consent
                   WHERE l.revoked_at IS NULL AND c.expires_at <= $1 ORDER BY c.expires_at LIMIT $2";
        let mut lapsed = Vec::new();
        for row in self.database.all(sql, args![now, limit]).await? {
            match self.withdraw_likeness(IdentityId::from_bytes(row.id("identity")?), now).await {
                Ok(revoked) => lapsed.push(revoked),
                // Another node was there before, or the person.
                Err(StoreError::State { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lapsed)
    }
}

/// What becomes of a likeness whose service ends: nobody uses it from now on. Its rows go with the service.
pub(crate) async fn leave_likeness(tx: &mut Tx, identity: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.identity = $1");
    let Some(row) = tx.first(sql, args![identity]).await? else { return Ok(()) };
    let likeness = Likeness::from_row(&row)?;
    if likeness.revoked_at.is_none() {
        let revoked = withdraw(tx, &likeness, now).await?;
        tell_reasons(tx, &revoked, now).await?;
    }
    Ok(())
}

async fn withdraw(tx: &mut Tx, likeness: &Likeness, now: Timestamp) -> Result<Revoked, StoreError> {
    // Jobs before the likeness, as everywhere.
    let sql = format!(
        "SELECT j.id, j.state FROM jobs j WHERE j.id IN (SELECT o.generation FROM likeness_outputs o WHERE o.likeness = $1) ORDER BY j.id{}",
        tx.for_update()
    );
    let jobs = tx.all(sql, args![likeness.id]).await?;
    let (mut cancelled, mut stopped) = (0, Vec::new());
    for job in &jobs {
        let id = VideoId::from_bytes(job.id("id")?);
        let maker = tx.first("SELECT identity FROM generations WHERE id = $1", args![id]).await?;
        let maker = maker.map(|row| row.id("identity")).transpose()?.map(IdentityId::from_bytes);
        stopped.extend(maker.filter(|maker| *maker != likeness.identity).map(|maker| (id, maker)));
        if job.text("state")? == "queued" {
            end_not_permitted(tx, id, now).await?;
            cancelled += 1;
        } else {
            tx.execute("UPDATE jobs SET cancel_requested = 1 WHERE id = $1", args![id]).await?;
        }
    }
    end_consents(tx, likeness.id, now).await?;
    if let Some(template) = &likeness.template {
        delete_objects(tx, template.parent(), now).await?;
    }
    let sql = "UPDATE likenesses SET revoked_at = $2, template_key = NULL, still_key = NULL WHERE id = $1";
    tx.execute(sql, args![likeness.id, now]).await?;
    for table in ["likeness_grants", "likeness_blocks"] {
        tx.execute(format!("DELETE FROM {table} WHERE likeness = $1"), args![likeness.id]).await?;
    }
    let sql = "SELECT p.id, p.author FROM posts p JOIN likeness_outputs o ON o.generation = p.video
               WHERE o.likeness = $1 AND p.state = 'published' AND p.author <> $2 ORDER BY p.id";
    let rows = tx.all(sql, args![likeness.id, likeness.identity]).await?;
    renew_exports(tx, likeness.id, now).await?;
    let posts =
        rows.iter().map(|row| Ok((PostId::from_bytes(row.id("id")?), IdentityId::from_bytes(row.id("author")?))));
    Ok(Revoked {
        likeness: likeness.id,
        identity: likeness.identity,
        cancelled,
        running: jobs.len() - cancelled,
        stopped,
        hidden: posts.collect::<Result<_, StoreError>>()?,
    })
}

/// Makes archives anew that hold clips with a likeness, of whoever has such clips or had them: what lies ready would outlive the withdrawal,
/// as it outlives the clip.
async fn renew_exports(tx: &mut Tx, likeness: LikenessId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT DISTINCT g.identity AS maker FROM generations g JOIN likeness_outputs o ON o.generation = g.id WHERE o.likeness = $1
               UNION SELECT DISTINCT p.author FROM posts p JOIN likeness_outputs o ON o.generation = p.video WHERE o.likeness = $1
               UNION SELECT DISTINCT u.maker FROM likeness_uses u WHERE u.likeness = $1 AND u.generation IS NOT NULL
               ORDER BY maker";
    for row in tx.all(sql, args![likeness]).await? {
        renew_exports_of(tx, IdentityId::from_bytes(row.id("maker")?), now).await?;
    }
    Ok(())
}

/// Gives everyone whose post is hidden or whose clip is stopped by a withdrawal the reasons. It comes after all other locks.
async fn tell_reasons(tx: &mut Tx, revoked: &Revoked, now: Timestamp) -> Result<(), StoreError> {
    let hidden = revoked.hidden.iter().map(|(post, author)| {
        let facts =
            "A person who appears in this clip has withdrawn their likeness. It is hidden since then; this is no strike.";
        (*author, Service::Social, DecisionEffect::Withhold, DecidedKind::Post, post.bytes(), facts)
    });
    let stopped = revoked.stopped.iter().map(|(video, maker)| {
        let facts = "A person who was to appear in this clip has withdrawn their likeness. It is not made, and nothing was charged.";
        (*maker, Service::Video, DecisionEffect::Refuse, DecidedKind::Video, video.bytes(), facts)
    });
    for (subject, service, effect, kind, item, facts) in hidden.chain(stopped) {
        let decision = DecisionRecord {
            id: DecisionId::derived(item, &revoked.likeness.to_string()),
            subject,
            scope: DecisionScope::Item,
            service: Some(service),
            effect,
            item: DecidedItem::new(kind, item),
            ground: "likeness".into(),
            rule: DecidedRule { id: "likeness.withdrawn".into(), version: limits_version().into() },
            facts: facts.into(),
            evidence: String::new(),
            unlawful: false,
            automated_detection: true,
            author: None,
            second: None,
            strikes: 0,
            decided_at: now,
            ends_at: None,
        };
        record(tx, &decision).await?;
    }
    Ok(())
}

async fn end_consents(tx: &mut Tx, likeness: LikenessId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE likeness_consents SET ended_at = $2 WHERE likeness = $1 AND ended_at IS NULL";
    tx.execute(sql, args![likeness, now]).await.map(|_| ())
}

/// Someone's likeness that stands, locked.
async fn standing(tx: &mut Tx, identity: IdentityId) -> Result<Likeness, StoreError> {
    let sql = format!("SELECT id FROM likenesses WHERE identity = $1 AND revoked_at IS NULL{}", tx.for_update());
    let none = || StoreError::State { what: "likeness", state: "not there".into() };
    tx.first(sql, args![identity]).await?.ok_or_else(none)?;
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.identity = $1");
    Likeness::from_row(&tx.first(sql, args![identity]).await?.ok_or_else(none)?)
}

impl Likeness {
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let handle = row.text("handle")?;
        let key = |column| Ok::<_, StoreError>(row.opt_text(column)?.map(ObjectKey::from_row));
        Ok(Self {
            id: LikenessId::from_bytes(row.id("id")?),
            identity: IdentityId::from_bytes(row.id("identity")?),
            handle: Handle::read(&handle).map_err(|_| corrupt("handle", handle))?,
            audience: word(row, "audience", Audience::from_word)?,
            purposes: read_purposes(row)?,
            limits: read_limits(row)?,
            consent: ConsentId::from_bytes(row.id("consent")?),
            consent_version: number(row, "consent_version")?,
            consent_until: Timestamp::from_micros(row.int("consent_until")?),
            template: key("template_key")?,
            still: key("still_key")?,
            created_at: Timestamp::from_micros(row.int("created_at")?),
            revoked_at: moment(row, "revoked_at")?,
        })
    }
}
