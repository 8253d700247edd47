//! The job queue. A claim gives a lease whose attempt is a fencing token: whoever lost the lease can change nothing
//! any more, however late they come. A job may be worked on twice, and ends once.

use std::time::Duration;

use platform::{
    AttemptFailure, DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope,
    Event, EventType, GenerationError, GenerationErrorCode, GenerationEvent, GenerationState, IdentityId, LEASE,
    LedgerEntryId, NoticeTopic, Progress, ProjectId, Retry, Route, Service, Timestamp, VideoId, after_failure,
};

use crate::calls::{WorkerCall, call_workers};
use crate::database::{Tx, Value, args};
use crate::decision::record;
use crate::error::{StoreError, corrupt};
use crate::generation::{COLUMNS, Generation, TABLES, number, word};
use crate::likeness::{keep_look, trace};
use crate::notice_settings::{tell_by_mail, wanted};
use crate::objects::{ObjectKey, StoredVideo};
use crate::outbox::tell;
use crate::store::{Store, delete_objects};

/// Attempts of what is made after all are counted from here: objects of earlier ones may be about to be deleted.
const REOPENED_AFTER: u32 = 16;

/// The right to work on a job until it is lost. It cannot be copied; a lost one changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    id: VideoId,
    attempt: u32,
}

/// What a worker hears at a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// Go on; the lease lasts longer now.
    Continue,
    /// Stop and call [`Store::end_cancelled`].
    Cancel,
    /// Someone else has the job, or it has ended. Stop and forget it.
    Lost,
}

/// What a finished attempt made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// The signed video.
    pub video: StoredVideo,
    /// WebP.
    pub thumbnail: Option<ObjectKey>,
    /// JPEG.
    pub spritesheet: Option<ObjectKey>,
    /// How the video's frames look, see `media::FrameHash`: it is kept if someone appears in them.
    pub frames: Vec<[u8; 32]>,
    /// The recipe as JSON.
    pub recipe: String,
    /// When the media go; nothing to keep them.
    pub expires_at: Option<Timestamp>,
}

/// How a fenced call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The video is published and charged.
    Published,
    /// There is no video; nothing was charged.
    Unpublished {
        /// Failed or cancelled.
        state: GenerationState,
        /// Why.
        error: GenerationError,
    },
    /// It is tried again from this moment on.
    Requeued(Timestamp),
    /// The lease was lost before; nothing was changed.
    LeaseLost,
}

/// Why the policy stopped what was being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeRefusal {
    /// What it is against, one word.
    pub ground: String,
    /// The rule.
    pub rule: DecidedRule,
    /// What the rule says.
    pub facts: String,
    /// What was seen in the finished clip, for whoever reviews it; empty if its words alone were judged.
    pub seen: String,
}

/// What a reaper found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Will be tried again.
    pub requeued: u32,
    /// Ended as failed.
    pub failed: u32,
    /// Ended as cancelled.
    pub cancelled: u32,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Waiting.
    pub queued: u64,
    /// Being worked on.
    pub leased: u64,
}

/// Where a new job of a project would stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePlace {
    /// Jobs of its model that would go first.
    pub ahead: u64,
}

impl Store {
    /// Takes the next job that this worker's routes fit, for [`LEASE`]. Higher priority first, then the project whose turn it is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn claim(
        &self,
        worker: &str,
        routes: &[Route],
        now: Timestamp,
    ) -> Result<Option<(Lease, Generation)>, StoreError> {
        if routes.is_empty() {
            return Ok(None);
        }
        let (mut models, mut sized, mut args): (Vec<_>, Vec<_>, Vec<Value>) =
            (Vec::new(), Vec::new(), vec![now.into()]);
        for route in routes {
            args.push(route.to_string().into());
            let list = if route.size.is_some() { &mut sized } else { &mut models };
            list.push(format!("${}", args.len()));
        }
        let either = [("model", models), ("route", sized)].into_iter().filter(|(_, list)| !list.is_empty());
        let fits: Vec<_> = either.map(|(column, list)| format!("{column} IN ({})", list.join(", "))).collect();

        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id, attempt, virtual_start FROM jobs WHERE state = 'queued' AND run_at <= $1 AND ({})
             ORDER BY priority DESC, virtual_start, id LIMIT 1{}",
            fits.join(" OR "),
            tx.for_update_skip_locked()
        );
        let Some(job) = tx.first(sql, &args).await? else { return Ok(None) };
        let id = VideoId::from_bytes(job.id("id")?);
        let attempt = number::<u32>(&job, "attempt")? + 1;
        let sql =
            "UPDATE jobs SET state = 'leased', attempt = $2, worker = $3, lease_until = $4, progress = 0 WHERE id = $1";
        tx.execute(sql, args![id, attempt, worker, now + LEASE]).await?;
        advance(&mut tx, id, GenerationEvent::Claim).await?;
        tx.execute("UPDATE generations SET started_at = COALESCE(started_at, $2) WHERE id = $1", args![id, now])
            .await?;
        let sql = "UPDATE queue_clock SET virtual_time = $1 WHERE one = 1 AND virtual_time < $1";
        tx.execute(sql, args![job.int("virtual_start")?]).await?;
        let row = tx.first(format!("SELECT {COLUMNS} FROM {TABLES} WHERE g.id = $1"), args![id]).await?;
        let generation = Generation::from_row(&row.ok_or(StoreError::NotFound("video"))?)?;
        tx.commit().await?;
        Ok(Some((Lease { id, attempt }, generation)))
    }

    /// Keeps a lease for another [`LEASE`], tells how far the work is, and hears whether to go on.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn heartbeat(&self, lease: &Lease, progress: Progress, now: Timestamp) -> Result<Heartbeat, StoreError> {
        // A clock that is behind must not shorten the lease.
        let sql = "UPDATE jobs SET progress = $3, lease_until = CASE WHEN lease_until > $4 THEN lease_until ELSE $4 END
                   WHERE id = $1 AND attempt = $2 AND state = 'leased' RETURNING cancel_requested";
        let mut tx = self.database.begin().await?;
        let row = tx.first(sql, args![lease.id, lease.attempt, i64::from(progress.percent()), now + LEASE]).await?;
        tx.commit().await?;
        Ok(match row.map(|row| row.int("cancel_requested")).transpose()? {
            None => Heartbeat::Lost,
            Some(0) => Heartbeat::Continue,
            Some(_) => Heartbeat::Cancel,
        })
    }

    /// Publishes what a lease's work made: the job ends, the price is charged, webhooks are written, in one transaction. If the
    /// generation was cancelled meanwhile, it ends as cancelled instead.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn finish(&self, lease: &Lease, outputs: &Outputs, now: Timestamp) -> Result<Ending, StoreError> {
        let mut tx = self.database.begin().await?;
        let Some(job) = fenced(&mut tx, lease).await? else { return Ok(Ending::LeaseLost) };
        if job.cancel_requested {
            let ending = Ending::cancelled();
            end_unpublished(&mut tx, lease.id, &ending, now).await?;
            delete_objects(&mut tx, &ObjectKey::renders_prefix(lease.id), now).await?;
            tx.commit().await?;
            return Ok(ending);
        }
        advance(&mut tx, lease.id, GenerationEvent::Complete).await?;
        let sql =
            "UPDATE generations SET ended_at = $2, expires_at = $3, video_key = $4, video_size = $5, video_etag = $6,
                   thumbnail_key = $7, spritesheet_key = $8, recipe = $9 WHERE id = $1
                   RETURNING project, price, created_at, identity, kind";
        let args = args![
            lease.id,
            now,
            outputs.expires_at,
            outputs.video.key().as_str(),
            i64::try_from(outputs.video.size_bytes()).unwrap_or(i64::MAX),
            outputs.video.sha256(),
            outputs.thumbnail.as_ref().map(ObjectKey::as_str),
            outputs.spritesheet.as_ref().map(ObjectKey::as_str),
            outputs.recipe.as_str(),
        ];
        let row = tx.first(sql, args).await?.ok_or(StoreError::NotFound("video"))?;
        trace(&mut tx, lease.id, outputs.video.sha256()).await?;
        if !outputs.frames.is_empty() {
            keep_look(&mut tx, lease.id, &outputs.frames).await?;
        }
        let (project, price) = (ProjectId::from_bytes(row.id("project")?), row.int("price")?);
        let sql = "UPDATE projects SET balance = balance - $2, held = held - $2 WHERE id = $1";
        tx.execute(sql, args![project, price]).await?;
        settle(&mut tx, project, lease.id, "charge", price, now).await?;
        let sql =
            "UPDATE usage_days SET completed = completed + 1, charged = charged + $3 WHERE project = $1 AND day = $2";
        let day = Timestamp::from_micros(row.int("created_at")?).day();
        tx.execute(sql, args![project, day, price]).await?;
        tx.execute("DELETE FROM jobs WHERE id = $1", args![lease.id]).await?;
        // What earlier attempts left behind goes.
        for attempt in 1..lease.attempt {
            delete_objects(&mut tx, &ObjectKey::render_prefix(lease.id, attempt), now).await?;
        }
        tell(&mut tx, project, Event::of_video(lease.id, EventType::VideoCompleted, now)).await?;
        tell_of_clip(&mut tx, lease.id, &row, now).await?;
        tx.commit().await?;
        Ok(Ending::Published)
    }

    /// Ends an attempt without a video. It is tried again after a pause, or ends as failed with this error.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn fail(
        &self,
        lease: &Lease,
        failure: AttemptFailure,
        error: &GenerationError,
        now: Timestamp,
    ) -> Result<Ending, StoreError> {
        let mut tx = self.database.begin().await?;
        let Some(job) = fenced(&mut tx, lease).await? else { return Ok(Ending::LeaseLost) };
        let ending = after_attempt(&mut tx, lease.id, &job, failure, error, now).await?;
        tx.commit().await?;
        Ok(ending)
    }

    /// Ends an attempt that the policy stops, for good: nothing is charged, and whoever asked gets the reasons as a decision in the same
    /// transaction. An appeal that is right has it made after all, see [`Store::decide_appeal`].
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn refuse_made(
        &self,
        lease: &Lease,
        error: &GenerationError,
        refusal: &MadeRefusal,
        now: Timestamp,
    ) -> Result<Ending, StoreError> {
        let mut tx = self.database.begin().await?;
        let Some(job) = fenced(&mut tx, lease).await? else { return Ok(Ending::LeaseLost) };
        let ending = after_attempt(&mut tx, lease.id, &job, AttemptFailure::Permanent, error, now).await?;
        if matches!(ending, Ending::Unpublished { state: GenerationState::Failed, .. }) {
            refused_by_policy(&mut tx, lease.id, refusal, now).await?;
        }
        tx.commit().await?;
        Ok(ending)
    }

    /// Ends a generation whose worker was told to cancel and has stopped.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn end_cancelled(&self, lease: &Lease, now: Timestamp) -> Result<Ending, StoreError> {
        let mut tx = self.database.begin().await?;
        if fenced(&mut tx, lease).await?.is_none() {
            return Ok(Ending::LeaseLost);
        }
        let ending = Ending::cancelled();
        end_unpublished(&mut tx, lease.id, &ending, now).await?;
        delete_objects(&mut tx, &ObjectKey::renders_prefix(lease.id), now).await?;
        tx.commit().await?;
        Ok(ending)
    }

    /// Gives a job back unfinished, at a shutdown. It counts as no failure and is free at once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn give_back(&self, lease: &Lease, now: Timestamp) -> Result<Ending, StoreError> {
        let mut tx = self.database.begin().await?;
        let Some(job) = fenced(&mut tx, lease).await? else { return Ok(Ending::LeaseLost) };
        let ending = if job.cancel_requested {
            let ending = Ending::cancelled();
            end_unpublished(&mut tx, lease.id, &ending, now).await?;
            ending
        } else {
            requeue(&mut tx, lease.id, job.failures, now).await?;
            call_workers(&mut tx, WorkerCall::Job).await?;
            Ending::Requeued(now)
        };
        tx.commit().await?;
        Ok(ending)
    }

    /// Takes up jobs whose workers are gone: leases that ended `grace` ago or more. Run it every few seconds, anywhere.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn reap(&self, grace: Duration, limit: u32, now: Timestamp) -> Result<Reaped, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id, attempt, failures, cancel_requested FROM jobs WHERE state = 'leased' AND lease_until <= $1
             ORDER BY lease_until LIMIT $2{}",
            tx.for_update_skip_locked()
        );
        let rows = tx.all(sql, args![now - grace, limit]).await?;
        let mut reaped = Reaped::default();
        let lost = GenerationError {
            code: GenerationErrorCode::WorkerLost,
            message: "The machine that made this video was lost several times. Nothing was charged; try again.".into(),
        };
        for row in rows {
            let id = VideoId::from_bytes(row.id("id")?);
            let job = HeldJob::from_row(&row)?;
            match after_attempt(&mut tx, id, &job, AttemptFailure::Transient, &lost, now).await? {
                Ending::Requeued(_) => reaped.requeued += 1,
                Ending::Unpublished { state: GenerationState::Cancelled, .. } => reaped.cancelled += 1,
                _ => reaped.failed += 1,
            }
        }
        tx.commit().await?;
        Ok(reaped)
    }

    /// How full the queue is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn queue_depth(&self) -> Result<QueueDepth, StoreError> {
        let mut depth = QueueDepth::default();
        for row in self.database.all("SELECT state, COUNT(*) AS jobs FROM jobs GROUP BY state", args![]).await? {
            let jobs = number(&row, "jobs")?;
            if row.text("state")? == "queued" { depth.queued = jobs } else { depth.leased = jobs }
        }
        Ok(depth)
    }

    /// Where a new job of this project and model would stand in the queue.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such project.
    pub async fn queue_place(&self, project: ProjectId, model: &platform::ModelName) -> Result<QueuePlace, StoreError> {
        let sql =
            "SELECT p.virtual_time, t.priority, c.virtual_time AS clock FROM projects p JOIN tiers t ON t.name = p.tier
                   JOIN queue_clock c ON c.one = 1 WHERE p.id = $1";
        let row = self.database.first(sql, args![project]).await?.ok_or(StoreError::NotFound("project"))?;
        let start = row.int("virtual_time")?.max(row.int("clock")?);
        let sql = "SELECT COUNT(*) AS jobs FROM jobs WHERE state = 'queued' AND model = $1
                   AND (priority > $2 OR (priority = $2 AND virtual_start <= $3))";
        let row = self.database.first(sql, args![model.as_str(), row.int("priority")?, start]).await?;
        Ok(QueuePlace { ahead: row.map_or(Ok(0), |row| number(&row, "jobs"))? })
    }
}

/// What a fenced call needs to know of its job.
struct HeldJob {
    attempt: u32,
    failures: u32,
    cancel_requested: bool,
}

impl HeldJob {
    fn from_row(row: &crate::database::Row) -> Result<Self, StoreError> {
        Ok(Self {
            attempt: number(row, "attempt")?,
            failures: number(row, "failures")?,
            cancel_requested: row.int("cancel_requested")? != 0,
        })
    }
}

/// The job of a lease, locked; nothing if the lease was lost.
async fn fenced(tx: &mut Tx, lease: &Lease) -> Result<Option<HeldJob>, StoreError> {
    let sql = format!(
        "SELECT attempt, failures, cancel_requested FROM jobs WHERE id = $1 AND attempt = $2 AND state = 'leased'{}",
        tx.for_update()
    );
    tx.first(sql, args![lease.id, lease.attempt]).await?.map(|row| HeldJob::from_row(&row)).transpose()
}

/// What follows an attempt that made nothing.
async fn after_attempt(
    tx: &mut Tx,
    id: VideoId,
    job: &HeldJob,
    failure: AttemptFailure,
    error: &GenerationError,
    now: Timestamp,
) -> Result<Ending, StoreError> {
    delete_objects(tx, &ObjectKey::render_prefix(id, job.attempt), now).await?;
    let failures = job.failures + 1;
    if job.cancel_requested {
        let ending = Ending::cancelled();
        end_unpublished(tx, id, &ending, now).await?;
        return Ok(ending);
    }
    match after_failure(id.bytes(), failures, failure, now) {
        Retry::At(then) => {
            requeue(tx, id, failures, then).await?;
            Ok(Ending::Requeued(then))
        }
        Retry::GiveUp => {
            let ending = Ending::Unpublished { state: GenerationState::Failed, error: error.clone() };
            end_unpublished(tx, id, &ending, now).await?;
            Ok(ending)
        }
    }
}

/// What the policy stopped after it was accepted is a decision, with its reasons.
async fn refused_by_policy(tx: &mut Tx, id: VideoId, refusal: &MadeRefusal, now: Timestamp) -> Result<(), StoreError> {
    let row = tx.first("SELECT identity, prompt FROM generations WHERE id = $1", args![id]).await?;
    let row = row.ok_or(StoreError::NotFound("video"))?;
    let mut evidence = row.text("prompt")?;
    if !refusal.seen.is_empty() {
        evidence = format!("{evidence}\n\n{}", refusal.seen);
    }
    let decision = DecisionRecord {
        // What was made again after an appeal can be refused again, by another rule.
        id: DecisionId::derived(id.bytes(), &format!("policy {}", now.micros())),
        subject: IdentityId::from_bytes(row.id("identity")?),
        scope: DecisionScope::Item,
        service: Some(Service::Video),
        effect: DecisionEffect::Refuse,
        item: DecidedItem::new(DecidedKind::Video, id.bytes()),
        ground: refusal.ground.clone(),
        rule: refusal.rule.clone(),
        facts: refusal.facts.clone(),
        evidence,
        unlawful: false,
        automated_detection: true,
        author: None,
        second: None,
        strikes: 0,
        decided_at: now,
        ends_at: None,
    };
    record(tx, &decision).await
}

/// Has a clip made after all that the policy stopped by mistake, as it was asked for and at no price: the mistake was not theirs. What is
/// gone by then, or was stopped for another reason, stays as it is.
pub(crate) async fn make_after_all(tx: &mut Tx, id: VideoId, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!("SELECT * FROM generations WHERE id = $1{}", tx.for_update());
    let Some(row) = tx.first(sql, args![id]).await? else { return Ok(()) };
    let state = word(&row, "state", GenerationState::from_word)?;
    let blocked = row.opt_text("error_code")?.as_deref() == Some(GenerationErrorCode::ModerationBlocked.as_str());
    let (Some(next), true) = (state.next(GenerationEvent::Reopen), blocked) else { return Ok(()) };
    let project = ProjectId::from_bytes(row.id("project")?);
    let sql =
        "SELECT p.virtual_time, t.priority, c.virtual_time AS clock FROM projects p JOIN tiers t ON t.name = p.tier
               JOIN queue_clock c ON c.one = 1 WHERE p.id = $1";
    let place = tx.first(sql, args![project]).await?.ok_or(StoreError::NotFound("project"))?;
    let sql = "UPDATE generations SET state = $2, price = 0, started_at = NULL, ended_at = NULL, error_code = NULL,
               error_message = NULL, trashed_at = NULL WHERE id = $1";
    tx.execute(sql, args![id, next.as_str()]).await?;
    let side = |column| number::<u16>(&row, column);
    let model = row.text("model")?;
    let name = platform::ModelName::parse(&model).ok_or_else(|| corrupt("model", &model))?;
    let route = Route::of_job(&name, platform::Size::new(side("width")?, side("height")?));
    let sql = "INSERT INTO jobs (id, project, model, route, state, priority, virtual_start, run_at, attempt)
               VALUES ($1, $2, $3, $4, 'queued', $5, $6, $7, $8)";
    let start = place.int("virtual_time")?.max(place.int("clock")?);
    tx.execute(sql, args![id, project, model, route, place.int("priority")?, start, now, REOPENED_AFTER]).await?;
    let day = Timestamp::from_micros(row.int("created_at")?).day();
    let sql = "UPDATE usage_days SET seconds = seconds + $3 WHERE project = $1 AND day = $2";
    tx.execute(sql, args![project, day, row.int("seconds")?]).await.map(|_| ())
}

async fn requeue(tx: &mut Tx, id: VideoId, failures: u32, run_at: Timestamp) -> Result<(), StoreError> {
    advance(tx, id, GenerationEvent::Return).await?;
    let sql =
        "UPDATE jobs SET state = 'queued', failures = $2, run_at = $3, worker = NULL, lease_until = NULL, progress = 0
               WHERE id = $1";
    tx.execute(sql, args![id, failures, run_at]).await.map(|_| ())
}

/// Moves a generation by the platform's rule, inside the transaction that holds its job.
async fn advance(tx: &mut Tx, id: VideoId, event: GenerationEvent) -> Result<(), StoreError> {
    let row = tx.first("SELECT state FROM generations WHERE id = $1", args![id]).await?;
    let state = word(&row.ok_or(StoreError::NotFound("video"))?, "state", GenerationState::from_word)?;
    let next = state.next(event).ok_or_else(|| corrupt("state", format!("{} before {event:?}", state.as_str())))?;
    tx.execute("UPDATE generations SET state = $2 WHERE id = $1", args![id, next.as_str()]).await.map(|_| ())
}

/// Ends a generation that has a job and gets no video: the hold is released, the day's seconds are given back, webhooks are written.
pub(crate) async fn end_unpublished(
    tx: &mut Tx,
    id: VideoId,
    ending: &Ending,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Ending::Unpublished { state, error } = ending else { return Ok(()) };
    let event = if *state == GenerationState::Cancelled { GenerationEvent::Cancel } else { GenerationEvent::Fail };
    advance(tx, id, event).await?;
    let sql = "UPDATE generations SET ended_at = $2, error_code = $3, error_message = $4 WHERE id = $1
               RETURNING project, price, seconds, created_at, identity, kind";
    let row = tx.first(sql, args![id, now, error.code.as_str(), error.message.as_str()]).await?;
    let row = row.ok_or(StoreError::NotFound("video"))?;
    let (project, price) = (ProjectId::from_bytes(row.id("project")?), row.int("price")?);
    tx.execute("UPDATE projects SET held = held - $2 WHERE id = $1", args![project, price]).await?;
    settle(tx, project, id, "release", price, now).await?;
    let day = Timestamp::from_micros(row.int("created_at")?).day();
    let sql = "UPDATE usage_days SET seconds = seconds - $3 WHERE project = $1 AND day = $2";
    tx.execute(sql, args![project, day, row.int("seconds")?]).await?;
    tx.execute("DELETE FROM jobs WHERE id = $1", args![id]).await?;
    tell(tx, project, Event::of_video(id, EventType::VideoFailed, now)).await?;
    if *state == GenerationState::Failed { tell_of_clip(tx, id, &row, now).await } else { Ok(()) }
}

/// Ends a generation that has a job, because someone who appears in it lets nobody any more: cancelled, and not charged.
pub(crate) async fn end_not_permitted(tx: &mut Tx, id: VideoId, now: Timestamp) -> Result<(), StoreError> {
    let message =
        "Someone who appears in this video does not let you use their likeness any more. Nothing was charged.";
    let error = GenerationError { code: GenerationErrorCode::PermissionRevoked, message: message.into() };
    end_unpublished(tx, id, &Ending::Unpublished { state: GenerationState::Cancelled, error }, now).await
}

/// Tells whoever asked for a clip by mail that it has ended, if they want that. Pictures wait for nobody, and lines of batches are told of
/// by webhooks.
async fn tell_of_clip(tx: &mut Tx, id: VideoId, row: &crate::database::Row, now: Timestamp) -> Result<(), StoreError> {
    let identity = IdentityId::from_bytes(row.id("identity")?);
    if row.text("kind")? == "image" || !wanted(tx, identity, NoticeTopic::Clips).await?.by_mail {
        return Ok(());
    }
    match tx.first("SELECT 1 AS one FROM batch_items WHERE generation = $1", args![id]).await? {
        Some(_) => Ok(()),
        None => tell_by_mail(tx, identity, NoticeTopic::Clips, now).await,
    }
}

/// The one line of the ledger that ends a hold. A second one breaks a unique index, and with it the transaction. What is made after all
/// had its hold released before, and costs nothing.
async fn settle(
    tx: &mut Tx,
    project: ProjectId,
    id: VideoId,
    kind: &'static str,
    price: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    if price == 0 {
        let sql = "SELECT 1 AS one FROM ledger WHERE generation = $1 AND kind = 'release'";
        if tx.first(sql, args![id]).await?.is_some() {
            return Ok(());
        }
    }
    let sql =
        "INSERT INTO ledger (id, project, generation, kind, amount, note, at) VALUES ($1, $2, $3, $4, $5, '', $6)";
    let entry = LedgerEntryId::derived(id.bytes(), kind);
    tx.execute(sql, args![entry, project, id, kind, price, now]).await.map(|_| ())
}

impl Lease {
    /// The generation.
    pub fn id(&self) -> VideoId {
        self.id
    }

    /// The attempt, from 1: the fencing token.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl Ending {
    pub(crate) fn cancelled() -> Self {
        let error =
            GenerationError { code: GenerationErrorCode::Cancelled, message: "This video was cancelled.".into() };
        Self::Unpublished { state: GenerationState::Cancelled, error }
    }
}
