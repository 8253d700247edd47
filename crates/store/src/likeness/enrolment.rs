//! Enrolments: a challenge that is good once, the pieces of its capture, and what was decided. The capture goes a day after that.

use std::time::Duration;

use platform::likeness::{
    CaptureRefusal, Challenge, Checks, ChunkFacts, ConsentTerms, EnrolmentEvent, EnrolmentState, MAX_CHUNKS, Turn,
};
use platform::{ConsentId, DecisionRecord, EnrolmentId, Handle, IdentityId, LikenessId, Timestamp};

use super::{read_limits, read_purposes, write_kinds, write_purposes};
use crate::database::{Row, Tx, args};
use crate::decision::record;
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, number, word};
use crate::objects::ObjectKey;
use crate::social::is_anothers;
use crate::store::{Store, delete_objects};

/// How long after the challenge's time the last piece may come.
const LAST_PIECE: Duration = Duration::from_secs(70);

/// An enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Its id.
    pub id: EnrolmentId,
    /// Whose.
    pub identity: IdentityId,
    /// The likeness that it may become.
    pub likeness: LikenessId,
    /// Where it stands.
    pub state: EnrolmentState,
    /// How the likeness is to be named.
    pub handle: Handle,
    /// The language of the text that was shown.
    pub language: String,
    /// The version of that text.
    pub consent_version: u32,
    /// What the person chose.
    pub terms: ConsentTerms,
    /// The words to say.
    pub words: Vec<String>,
    /// The turns to make.
    pub turns: Vec<Turn>,
    /// When the challenge was given.
    pub issued_at: Timestamp,
    /// Until when it can be begun.
    pub expires_at: Timestamp,
    /// How the person is drawn, once the capture is whole.
    pub template: Option<ObjectKey>,
    /// The still.
    pub still: Option<ObjectKey>,
    /// What the capture is, such as `video/webm`.
    pub media_type: Option<String>,
    /// SHA-256 of the capture.
    pub capture_sha256: Option<Vec<u8>>,
    /// When it was whole.
    pub captured_at: Option<Timestamp>,
    /// What was found without knowing a face.
    pub checks: Option<Checks>,
    /// What a verifier service said, as JSON.
    pub verifier: Option<String>,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// By whom; nobody if a program did.
    pub decided_by: Option<IdentityId>,
    /// What the reviewer saw and heard, as words.
    pub reviewed: Option<String>,
    /// Why it was refused or lapsed, as a word.
    pub ground: Option<String>,
    /// When the capture was deleted.
    pub capture_deleted_at: Option<Timestamp>,
}

/// An enrolment to begin.
#[derive(Clone, Debug)]
pub struct NewEnrolment<'a> {
    /// Its id.
    pub id: EnrolmentId,
    /// Whose.
    pub identity: IdentityId,
    /// The likeness that it may become.
    pub likeness: LikenessId,
    /// How the likeness is to be named.
    pub handle: &'a Handle,
    /// The language of the text that was shown.
    pub language: &'a str,
    /// The version of that text.
    pub consent_version: u32,
    /// What the person chose.
    pub terms: &'a ConsentTerms,
    /// What is to be said and done.
    pub challenge: &'a Challenge,
    /// Until when it can be begun.
    pub expires_at: Timestamp,
}

/// A piece of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureChunk {
    /// Its bytes.
    pub key: ObjectKey,
    /// How many.
    pub size_bytes: u64,
    /// What was seen of it.
    pub facts: ChunkFacts,
}

/// A whole capture.
#[derive(Clone, Debug)]
pub struct Capture<'a> {
    /// What it is.
    pub media_type: &'a str,
    /// SHA-256 of all its pieces.
    pub sha256: [u8; 32],
    /// What was found.
    pub checks: Checks,
    /// How the person is drawn.
    pub template: &'a ObjectKey,
    /// A still of the person.
    pub still: Option<&'a ObjectKey>,
}

/// What is decided of an enrolment.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// Who decides; nobody if a verifier did.
    pub by: Option<IdentityId>,
    /// What was seen and heard, as words with spaces between.
    pub reviewed: &'a str,
    /// The likeness that comes of it; nothing if it is refused.
    pub approval: Option<Approval<'a>>,
    /// The decision with its reasons; of a refusal.
    pub refusal: Option<&'a DecisionRecord>,
}

/// An approval: the consent and its signed receipt.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// The consent's id.
    pub consent: ConsentId,
    /// The signed statement.
    pub statement: &'a str,
}

impl Store {
    /// Begins an enrolment. One that was begun before and not answered ends.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the handle is another's; [`StoreError::State`] while one is being reviewed or a likeness stands.
    pub async fn begin_enrolment(&self, new: &NewEnrolment<'_>, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let identity = new.identity;
        let sql = "SELECT id FROM likeness_enrolments WHERE identity = $1 AND state = 'challenged'";
        if let Some(row) = tx.first(sql, args![identity]).await? {
            lapse(&mut tx, EnrolmentId::from_bytes(row.id("id")?), "replaced", now).await?;
        }
        let sql = "SELECT 1 AS one FROM likeness_enrolments WHERE identity = $1 AND state = 'reviewing'
                   UNION ALL SELECT 1 AS one FROM likenesses WHERE identity = $1 AND revoked_at IS NULL";
        if tx.first(sql, args![identity]).await?.is_some() {
            return Err(StoreError::State { what: "likeness", state: "there already".into() });
        }
        free(&mut tx, identity, new.handle).await?;
        let words = new.challenge.words.join(" ");
        let turns: Vec<_> = new.challenge.turns.iter().map(|turn| turn.as_str()).collect();
        let terms = new.terms;
        let sql = "INSERT INTO likeness_enrolments (id, identity, likeness, state, handle, language, consent_version, purposes,
                   audience, kinds, written, consent_until, words, turns, issued_at, expires_at)
                   VALUES ($1, $2, $3, 'challenged', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        let args = args![
            new.id,
            identity,
            new.likeness,
            new.handle.as_str(),
            new.language,
            new.consent_version,
            write_purposes(terms.purposes),
            terms.audience.as_str(),
            write_kinds(&terms.limits),
            terms.limits.written().join("\n"),
            terms.expires_at,
            words,
            turns.join(" "),
            now,
            new.expires_at,
        ];
        tx.execute(sql, args).await?;
        tx.commit().await
    }

    /// Someone's last enrolment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn last_enrolment(&self, identity: IdentityId) -> Result<Option<Enrolment>, StoreError> {
        let sql = "SELECT * FROM likeness_enrolments WHERE identity = $1 ORDER BY id DESC LIMIT 1";
        self.database.first(sql, args![identity]).await?.as_ref().map(Enrolment::from_row).transpose()
    }

    /// An enrolment, whosever it is: for reviewers and for its person.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn enrolment(&self, id: EnrolmentId) -> Result<Enrolment, StoreError> {
        let row = self.database.first("SELECT * FROM likeness_enrolments WHERE id = $1", args![id]).await?;
        Enrolment::from_row(&row.ok_or(StoreError::NotFound("enrolment"))?)
    }

    /// Whether a piece of a capture may come now: the next one, in time, for a challenge that waits.
    ///
    /// # Errors
    /// [`CaptureRefusal`] inside; [`StoreError::NotFound`] if it is another's.
    pub async fn expects_chunk(
        &self,
        identity: IdentityId,
        id: EnrolmentId,
        number: u32,
        now: Timestamp,
    ) -> Result<Result<(), CaptureRefusal>, StoreError> {
        let mut tx = self.database.begin().await?;
        expected(&mut tx, identity, id, number, now).await
    }

    /// Keeps a piece of a capture, whose bytes lie there already.
    ///
    /// # Errors
    /// As [`Self::expects_chunk`], which is asked again.
    pub async fn add_chunk(
        &self,
        identity: IdentityId,
        id: EnrolmentId,
        chunk: (u32, &CaptureChunk),
    ) -> Result<Result<(), CaptureRefusal>, StoreError> {
        let (number, CaptureChunk { key, size_bytes, facts }) = chunk;
        let mut tx = self.database.begin().await?;
        if let Err(refusal) = expected(&mut tx, identity, id, number, facts.received_at).await? {
            return Ok(Err(refusal));
        }
        let sql = "INSERT INTO likeness_chunks (enrolment, number, object_key, size, received_at, pairs, moved, level)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let size = i64::try_from(*size_bytes).unwrap_or(i64::MAX);
        let ChunkFacts { received_at, pairs, moved, level } = *facts;
        tx.execute(sql, args![id, number, key.as_str(), size, received_at, pairs, moved, level]).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// The pieces of a capture, in their order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn chunks(&self, id: EnrolmentId) -> Result<Vec<CaptureChunk>, StoreError> {
        let sql = "SELECT * FROM likeness_chunks WHERE enrolment = $1 ORDER BY number";
        let read = |row: &Row| {
            Ok(CaptureChunk {
                key: ObjectKey::from_row(row.text("object_key")?),
                size_bytes: number(row, "size")?,
                facts: ChunkFacts {
                    received_at: Timestamp::from_micros(row.int("received_at")?),
                    pairs: number(row, "pairs")?,
                    moved: number(row, "moved")?,
                    level: number(row, "level")?,
                },
            })
        };
        self.database.all(sql, args![id]).await?.iter().map(read).collect()
    }

    /// A capture is whole, and waits for a decision. The challenge is used by it.
    ///
    /// # Errors
    /// [`CaptureRefusal`] inside if the challenge was used before, or the same capture came before.
    pub async fn finish_capture(
        &self,
        identity: IdentityId,
        id: EnrolmentId,
        capture: &Capture<'_>,
        now: Timestamp,
    ) -> Result<Result<(), CaptureRefusal>, StoreError> {
        let mut tx = self.database.begin().await?;
        let enrolment = lock(&mut tx, id).await?;
        if enrolment.identity != identity {
            return Err(StoreError::NotFound("enrolment"));
        }
        let Some(next) = enrolment.state.next(EnrolmentEvent::Capture) else { return Ok(Err(CaptureRefusal::Used)) };
        let sql = "SELECT 1 AS one FROM likeness_enrolments WHERE capture_sha256 = $1";
        if tx.first(sql, args![capture.sha256]).await?.is_some() {
            return Ok(Err(CaptureRefusal::Replayed));
        }
        let sql = "UPDATE likeness_enrolments SET state = $2, template_key = $3, still_key = $4, media_type = $5, capture_sha256 = $6,
                   captured_at = $7, seconds = $8, moved_percent = $9, level = $10 WHERE id = $1";
        let Checks { seconds, moved_percent, level } = capture.checks;
        let args = args![
            id,
            next.as_str(),
            capture.template.as_str(),
            capture.still.map(|key| key.as_str().to_owned()),
            capture.media_type,
            capture.sha256,
            now,
            seconds,
            moved_percent,
            level,
        ];
        match tx.execute(sql, args).await {
            Ok(_) => {}
            // The same capture for two challenges at one moment: the index lets one through.
            Err(StoreError::Database(sqlx::Error::Database(source))) if source.is_unique_violation() => {
                return Ok(Err(CaptureRefusal::Replayed));
            }
            Err(error) => return Err(error),
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Ends an enrolment whose capture is none: what came of it goes at once, and the challenge is used.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn refuse_capture(
        &self,
        id: EnrolmentId,
        refusal: CaptureRefusal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        if lock(&mut tx, id).await?.state == EnrolmentState::Challenged {
            lapse(&mut tx, id, refusal.as_str(), now).await?;
        }
        tx.commit().await
    }

    /// Keeps what a verifier service said of an enrolment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_verifier(&self, id: EnrolmentId, said: &str) -> Result<(), StoreError> {
        let sql = "UPDATE likeness_enrolments SET verifier = $2 WHERE id = $1 AND state = 'reviewing'";
        self.database.execute(sql, args![id, said]).await.map(|_| ())
    }

    /// Changes how someone is drawn, while their enrolment waits.
    ///
    /// # Errors
    /// [`StoreError::State`] if it does not wait.
    pub async fn redraw_enrolment(&self, identity: IdentityId, template: &ObjectKey) -> Result<(), StoreError> {
        let sql = "UPDATE likeness_enrolments SET template_key = $2 WHERE identity = $1 AND state = 'reviewing'";
        match self.database.execute(sql, args![identity, template.as_str()]).await? {
            0 => Err(StoreError::State { what: "enrolment", state: "not waiting".into() }),
            _ => Ok(()),
        }
    }

    /// Enrolments that wait for a decision, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn enrolments_to_review(&self, limit: u32) -> Result<Vec<Enrolment>, StoreError> {
        let sql = "SELECT * FROM likeness_enrolments WHERE state = 'reviewing' ORDER BY captured_at, id LIMIT $1";
        self.database.all(sql, args![limit]).await?.iter().map(Enrolment::from_row).collect()
    }

    /// Decides an enrolment, once: a likeness with its consent comes of it, or a refusal with its reasons.
    ///
    /// # Errors
    /// [`StoreError::State`] if it was decided before; [`StoreError::Exists`] if the handle was taken meanwhile.
    pub async fn decide_enrolment(
        &self,
        id: EnrolmentId,
        verdict: &Verdict<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let enrolment = lock(&mut tx, id).await?;
        let event = if verdict.approval.is_some() { EnrolmentEvent::Approve } else { EnrolmentEvent::Refuse };
        let next = enrolment
            .state
            .next(event)
            .ok_or_else(|| StoreError::State { what: "enrolment", state: enrolment.state.as_str().into() })?;
        let ground = verdict.refusal.map(|decision| decision.ground.clone());
        let sql = "UPDATE likeness_enrolments SET state = $2, decided_at = $3, decided_by = $4, reviewed = $5, ground = $6 WHERE id = $1";
        tx.execute(sql, args![id, next.as_str(), now, verdict.by, verdict.reviewed, ground]).await?;
        if let Some(approval) = verdict.approval {
            enrol(&mut tx, &enrolment, approval, now).await?;
        }
        if let Some(refusal) = verdict.refusal {
            record(&mut tx, refusal).await?;
        }
        tx.commit().await
    }

    /// Ends challenges whose time is over; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn lapse_challenges(&self, now: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id FROM likeness_enrolments WHERE state = 'challenged' AND expires_at <= $1 ORDER BY expires_at LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let rows = tx.all(sql, args![now - LAST_PIECE, limit]).await?;
        for row in &rows {
            lapse(&mut tx, EnrolmentId::from_bytes(row.id("id")?), CaptureRefusal::Late.as_str(), now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Deletes captures that were decided before a moment, and what was drawn of those that were refused; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delete_captures(&self, before: Timestamp, limit: u32, now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT * FROM likeness_enrolments WHERE decided_at <= $1 AND capture_deleted_at IS NULL ORDER BY decided_at LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let rows = tx.all(sql, args![before, limit]).await?;
        for row in &rows {
            let enrolment = Enrolment::from_row(row)?;
            drop_capture(&mut tx, &enrolment, now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}

/// Makes a likeness of an enrolment that was approved, in the place of one that was withdrawn.
async fn enrol(tx: &mut Tx, enrolment: &Enrolment, approval: Approval<'_>, now: Timestamp) -> Result<(), StoreError> {
    let Enrolment { identity, likeness, terms, handle, .. } = enrolment;
    let sql = "DELETE FROM likeness_uses WHERE likeness IN (SELECT id FROM likenesses WHERE identity = $1 AND revoked_at IS NOT NULL)";
    tx.execute(sql, args![*identity]).await?;
    tx.execute("DELETE FROM likenesses WHERE identity = $1 AND revoked_at IS NOT NULL", args![*identity]).await?;
    free(tx, *identity, handle).await?;
    let sql = "INSERT INTO likeness_consents (id, likeness, version, generate, given_at, expires_at, statement)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let Approval { consent, statement } = approval;
    let args =
        args![consent, *likeness, enrolment.consent_version, terms.purposes.generate, now, terms.expires_at, statement];
    tx.execute(sql, args).await?;
    let sql = "INSERT INTO likenesses (id, identity, handle, skeleton, audience, purposes, kinds, written, consent, template_key,
               still_key, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let args = args![
        *likeness,
        *identity,
        handle.as_str(),
        handle.skeleton(),
        terms.audience.as_str(),
        write_purposes(terms.purposes),
        write_kinds(&terms.limits),
        terms.limits.written().join("\n"),
        consent,
        enrolment.template.as_ref().map(|key| key.as_str().to_owned()),
        enrolment.still.as_ref().map(|key| key.as_str().to_owned()),
        now,
    ];
    match tx.execute(sql, args).await {
        Err(StoreError::Database(sqlx::Error::Database(source))) if source.is_unique_violation() => {
            Err(StoreError::Exists("handle"))
        }
        other => other.map(|_| ()),
    }
}

/// Refuses a handle that is, or looks like, another's: a likeness, a profile, a character, or of someone who left. One's own characters have
/// their names too: in a prompt a name means one thing.
async fn free(tx: &mut Tx, identity: IdentityId, handle: &Handle) -> Result<(), StoreError> {
    let taken = is_anothers(tx, handle, identity).await?;
    let sql = "SELECT 1 AS one FROM characters WHERE handle = $1 OR skeleton = $2";
    let character = tx.first(sql, args![handle.as_str(), handle.skeleton()]).await?.is_some();
    if taken || character { Err(StoreError::Exists("handle")) } else { Ok(()) }
}

async fn lock(tx: &mut Tx, id: EnrolmentId) -> Result<Enrolment, StoreError> {
    let sql = format!("SELECT * FROM likeness_enrolments WHERE id = $1{}", tx.for_update());
    Enrolment::from_row(&tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("enrolment"))?)
}

async fn expected(
    tx: &mut Tx,
    identity: IdentityId,
    id: EnrolmentId,
    number: u32,
    now: Timestamp,
) -> Result<Result<(), CaptureRefusal>, StoreError> {
    let enrolment = lock(tx, id).await?;
    if enrolment.identity != identity {
        return Err(StoreError::NotFound("enrolment"));
    }
    if enrolment.state != EnrolmentState::Challenged {
        return Ok(Err(CaptureRefusal::Used));
    }
    let end = if number == 0 { enrolment.expires_at } else { enrolment.expires_at + LAST_PIECE };
    if now >= end {
        return Ok(Err(CaptureRefusal::Late));
    }
    let row = tx.first("SELECT COUNT(*) AS count FROM likeness_chunks WHERE enrolment = $1", args![id]).await?;
    let there: u32 = row.map_or(Ok(0), |row| self::number(&row, "count"))?;
    Ok(if there == number && number < MAX_CHUNKS { Ok(()) } else { Err(CaptureRefusal::OutOfOrder) })
}

/// Ends a challenge, and asks for the deletion of what came of it.
async fn lapse(tx: &mut Tx, id: EnrolmentId, ground: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE likeness_enrolments SET state = 'lapsed', decided_at = $2, ground = $3 WHERE id = $1";
    tx.execute(sql, args![id, now, ground]).await?;
    let enrolment = lock(tx, id).await?;
    drop_capture(tx, &enrolment, now).await
}

/// Deletes the pieces of a capture; of one that became no likeness what was drawn of it too.
pub(super) async fn drop_capture(tx: &mut Tx, enrolment: &Enrolment, now: Timestamp) -> Result<(), StoreError> {
    // By its name, so that a piece goes too whose row was refused.
    delete_objects(tx, &ObjectKey::uploads_prefix(&enrolment.id), now).await?;
    tx.execute("DELETE FROM likeness_chunks WHERE enrolment = $1", args![enrolment.id]).await?;
    if enrolment.state != EnrolmentState::Approved {
        delete_objects(tx, &ObjectKey::uploads_prefix(&enrolment.likeness), now).await?;
        let sql = "UPDATE likeness_enrolments SET template_key = NULL, still_key = NULL WHERE id = $1";
        tx.execute(sql, args![enrolment.id]).await?;
    }
    let sql = "UPDATE likeness_enrolments SET capture_deleted_at = $2 WHERE id = $1";
    tx.execute(sql, args![enrolment.id, now]).await.map(|_| ())
}

impl Enrolment {
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let handle = row.text("handle")?;
        let key = |column| Ok::<_, StoreError>(row.opt_text(column)?.map(ObjectKey::from_row));
        let turns = row.text("turns")?;
        let turns = turns.split_whitespace().map(|turn| Turn::from_word(turn).ok_or_else(|| corrupt("turns", turn)));
        let checks = match row.opt_int("seconds")? {
            Some(_) => Some(Checks {
                seconds: number(row, "seconds")?,
                moved_percent: number(row, "moved_percent")?,
                level: number(row, "level")?,
            }),
            None => None,
        };
        Ok(Self {
            id: EnrolmentId::from_bytes(row.id("id")?),
            identity: IdentityId::from_bytes(row.id("identity")?),
            likeness: LikenessId::from_bytes(row.id("likeness")?),
            state: word(row, "state", EnrolmentState::from_word)?,
            handle: Handle::read(&handle).map_err(|_| corrupt("handle", handle))?,
            language: row.text("language")?,
            consent_version: number(row, "consent_version")?,
            terms: ConsentTerms {
                purposes: read_purposes(row)?,
                audience: word(row, "audience", platform::likeness::Audience::from_word)?,
                limits: read_limits(row)?,
                expires_at: Timestamp::from_micros(row.int("consent_until")?),
            },
            words: row.text("words")?.split_whitespace().map(str::to_owned).collect(),
            turns: turns.collect::<Result<_, _>>()?,
            issued_at: Timestamp::from_micros(row.int("issued_at")?),
            expires_at: Timestamp::from_micros(row.int("expires_at")?),
            template: key("template_key")?,
            still: key("still_key")?,
            media_type: row.opt_text("media_type")?,
            capture_sha256: row.opt_blob("capture_sha256")?,
            captured_at: moment(row, "captured_at")?,
            checks,
            verifier: row.opt_text("verifier")?,
            decided_at: moment(row, "decided_at")?,
            decided_by: row.opt_id("decided_by")?.map(IdentityId::from_bytes),
            reviewed: row.opt_text("reviewed")?,
            ground: row.opt_text("ground")?,
            capture_deleted_at: moment(row, "capture_deleted_at")?,
        })
    }
}
