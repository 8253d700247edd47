//! Accepting a request: quota, balance, generation, job, ledger and idempotency in one transaction, or nothing.

use std::time::Duration;

use platform::likeness::Permission;
use platform::{
    ActiveMembership, BatchId, CharacterId, ClipSource, Credits, Cut, DecidedItem, DecidedKind, Fingerprint,
    GenerationKind, IdempotencyKey, IdentityId, LedgerEntryId, LikenessId, ModelName, Parameters, ProjectId, Refusal,
    RefusalCode, Route, Seconds, Timestamp, Usage, UseId, VideoId, VirtualTime, place,
};

use crate::calls::{WorkerCall, call_workers};
use crate::database::{Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{COLUMNS, Generation, TABLES, number};
use crate::likeness::{UseOutcome, cast, insert_use};
use crate::store::Store;
use crate::tier::tier_from_row;

/// How long a repeated request is recognised.
const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What to accept.
#[derive(Clone, Debug)]
pub struct Accept<'a> {
    /// Who pays; a project of the member who asks.
    pub project: ProjectId,
    /// What is asked for. `parameters.n` says how many generations there must be.
    pub parameters: &'a Parameters,
    /// What kind of work.
    pub kind: &'a GenerationKind,
    /// The model that makes it, aliases resolved.
    pub model: &'a ModelName,
    /// Length of the finished clip: for an extension the total, for all else `parameters.seconds`.
    pub total_seconds: Seconds,
    /// The price of each.
    pub price: Credits,
    /// One id and seed a clip.
    pub generations: &'a [NewGeneration],
    /// Whose likenesses the request names. Those that its source contains are found by themselves.
    pub likenesses: &'a [LikenessId],
    /// To have the same request once.
    pub idempotency: Option<Idempotency<'a>>,
    /// The line of a batch that asks.
    pub batch_line: Option<BatchLine>,
}

/// One clip of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewGeneration {
    /// Its id, made from the moment of asking.
    pub id: VideoId,
    /// Its seed, at most 2⁶³−1.
    pub seed: u64,
}

/// A client's key for a request, and what the request said.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency<'a> {
    /// The key.
    pub key: &'a IdempotencyKey,
    /// The request.
    pub fingerprint: Fingerprint,
}

/// A line of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLine {
    /// The batch.
    pub batch: BatchId,
    /// The line, from 0.
    pub line: u32,
}

/// What was accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted {
    /// These wait in the queue now.
    New(Vec<Generation>),
    /// The same request was accepted before, and these came of it; those deleted since are missing.
    Repeated(Vec<Generation>),
}

impl Store {
    /// Accepts a request: it is queued and its price is held, or nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a quota, the balance, someone who does not want to appear in it, or another request under the same
    /// idempotency key;
    /// [`StoreError::NotFound`] if the project is not the member's, or archived.
    ///
    /// # Panics
    /// If there are not as many generations as `parameters.n` says.
    pub async fn accept(
        &self,
        member: ActiveMembership,
        request: &Accept<'_>,
        now: Timestamp,
    ) -> Result<Accepted, StoreError> {
        assert_eq!(request.generations.len(), request.parameters.n.get() as usize, "one id and seed a clip");
        let mut tx = self.database.begin().await?;

        // 1. Whoever sent the same before gets the same again.
        if let Some(idempotency) = request.idempotency
            && let Some(ids) = remember(&mut tx, request, idempotency, now).await?
        {
            let mut generations = Vec::new();
            for id in ids {
                let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE g.id = $1 AND g.trashed_at IS NULL");
                if let Some(row) = tx.first(sql, args![id]).await? {
                    generations.push(Generation::from_row(&row)?);
                }
            }
            return Ok(Accepted::Repeated(generations));
        }

        // 2. The project's row is taken first: acceptances of one project go one after the other.
        let sql = format!("SELECT * FROM projects WHERE id = $1 AND archived_at IS NULL{}", tx.for_update());
        let project = tx.first(sql, args![request.project]).await?.ok_or(StoreError::NotFound("project"))?;
        if project.id("owner")? != member.identity().bytes() {
            return Err(StoreError::NotFound("project"));
        }
        let tier = tx.first("SELECT * FROM tiers WHERE name = $1", args![project.text("tier")?]).await?;
        let tier = tier_from_row(&tier.ok_or_else(|| corrupt("tier", "nothing"))?)?;

        // 3. Who appears in it. Whoever lets nobody use them is asked before anything is kept.
        let (maker, prompt) = (member.identity(), request.parameters.prompt.as_str());
        let source = request.kind.source_video();
        let permissions = match cast(&mut tx, maker, request.likenesses, source, prompt, now).await? {
            Ok(permissions) => permissions,
            Err(refused) => {
                drop(tx);
                let base = request.generations.first().map_or([0; 16], |generation| generation.id.bytes());
                let id = UseId::derived(base, &refused.likeness.to_string());
                let item = DecidedItem::of_words(DecidedKind::Prompt, prompt);
                self.note_refused_use(id, maker, &refused, (item, prompt), now).await?;
                return Err(refused.refusal.into());
            }
        };

        // 4. Quotas and balance.
        let usage = usage(&mut tx, request.project, now).await?;
        tier.quotas.check(usage, request.parameters)?;
        let clips = request.parameters.n.get();
        let price = Credits::from_micros(request.price.micros().saturating_mul(i64::from(clips)));
        let free = project.int("balance")?.saturating_sub(project.int("held")?);
        if tier.metered && free < price.micros() {
            let free = Credits::from_micros(free);
            let message = format!("This costs {price} credits and {free} are free.");
            return Err(Refusal::new(RefusalCode::InsufficientQuota, None, message).into());
        }

        // 5. The clips, each with its place in the queue and its hold.
        let clock = tx.first("SELECT virtual_time FROM queue_clock WHERE one = 1", args![]).await?;
        let queue_clock =
            VirtualTime::from_units(clock.ok_or_else(|| corrupt("virtual_time", "nothing"))?.int("virtual_time")?);
        let mut project_clock = VirtualTime::from_units(project.int("virtual_time")?);
        for generation in request.generations {
            let place = place(project_clock, queue_clock, request.parameters.seconds, tier.quotas.weight);
            project_clock = place.project_clock;
            insert_generation(&mut tx, member, request, *generation, now).await?;
            insert_cast(&mut tx, maker, generation.id, &permissions, now).await?;
            let route = Route::of_job(request.model, request.parameters.size);
            let sql = "INSERT INTO jobs (id, project, model, route, state, priority, virtual_start, run_at)
                       VALUES ($1, $2, $3, $4, 'queued', $5, $6, $7)";
            let priority = tier.quotas.priority;
            tx.execute(
                sql,
                args![generation.id, request.project, request.model.as_str(), route, priority, place.start, now],
            )
            .await?;
            let sql = "INSERT INTO ledger (id, project, generation, kind, amount, note, at)
                       VALUES ($1, $2, $3, 'hold', $4, '', $5)";
            let entry = LedgerEntryId::derived(generation.id.bytes(), "hold");
            tx.execute(sql, args![entry, request.project, generation.id, request.price, now]).await?;
        }

        // 6. The project's counters.
        let sql = "UPDATE projects SET virtual_time = $2, held = held + $3 WHERE id = $1";
        tx.execute(sql, args![request.project, project_clock, price]).await?;
        let sql =
            "INSERT INTO usage_days (project, day, accepted, completed, seconds, charged) VALUES ($1, $2, $3, 0, $4, 0)
                   ON CONFLICT (project, day) DO UPDATE SET accepted = usage_days.accepted + excluded.accepted,
                   seconds = usage_days.seconds + excluded.seconds";
        let seconds = i64::from(request.parameters.seconds.get()) * i64::from(clips);
        tx.execute(sql, args![request.project, now.day(), clips, seconds]).await?;
        if let Some(line) = request.batch_line {
            let sql = "UPDATE batch_items SET generation = $3 WHERE batch = $1 AND line = $2 AND generation IS NULL";
            let first = request.generations.first().map(|generation| generation.id);
            if tx.execute(sql, args![line.batch, line.line, first]).await? == 0 {
                return Err(StoreError::Exists("batch line"));
            }
        }

        let mut accepted = Vec::with_capacity(request.generations.len());
        for generation in request.generations {
            let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE g.id = $1");
            let row = tx.first(sql, args![generation.id]).await?.ok_or(StoreError::NotFound("video"))?;
            accepted.push(Generation::from_row(&row)?);
        }
        call_workers(&mut tx, WorkerCall::Job).await?;
        tx.commit().await?;
        Ok(Accepted::New(accepted))
    }

    /// What a project uses now, as its quotas count it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn project_usage(&self, project: ProjectId, now: Timestamp) -> Result<Usage, StoreError> {
        let mut tx = self.database.begin().await?;
        usage(&mut tx, project, now).await
    }
}

/// Takes the idempotency key for this request, or finds what came of it before.
async fn remember(
    tx: &mut Tx,
    request: &Accept<'_>,
    idempotency: Idempotency<'_>,
    now: Timestamp,
) -> Result<Option<Vec<VideoId>>, StoreError> {
    let name = idempotency.key.as_str();
    let ids: Vec<_> = request.generations.iter().map(|generation| generation.id.to_string()).collect();
    let sql = "DELETE FROM idempotency_keys WHERE project = $1 AND name = $2 AND created_at <= $3";
    tx.execute(sql, args![request.project, name, now - IDEMPOTENCY_WINDOW]).await?;
    // On PostgreSQL this waits for a twin of this request and then finds its row.
    let sql = "INSERT INTO idempotency_keys (project, name, fingerprint, generations, created_at)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (project, name) DO NOTHING";
    let fingerprint = idempotency.fingerprint.bytes();
    if tx.execute(sql, args![request.project, name, fingerprint, ids.join(" "), now]).await? > 0 {
        return Ok(None);
    }
    let sql = "SELECT fingerprint, generations FROM idempotency_keys WHERE project = $1 AND name = $2";
    let row = tx.first(sql, args![request.project, name]).await?.ok_or(StoreError::NotFound("idempotency key"))?;
    if row.blob("fingerprint")? != fingerprint {
        let message = "This Idempotency-Key was used for another request.";
        return Err(Refusal::new(RefusalCode::IdempotencyMismatch, None, message).into());
    }
    let ids = row.text("generations")?;
    let ids = ids.split_whitespace().map(|id| id.parse().map_err(|_| corrupt("generations", id)));
    ids.collect::<Result<_, _>>().map(Some)
}

/// Joins a clip to the consents by which people appear in it, and writes the uses down that they see.
async fn insert_cast(
    tx: &mut Tx,
    maker: IdentityId,
    video: VideoId,
    permissions: &[Permission],
    now: Timestamp,
) -> Result<(), StoreError> {
    for permission in permissions {
        let likeness = permission.likeness();
        let sql = "INSERT INTO likeness_outputs (generation, likeness, consent, made_at) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, args![video, likeness, permission.consent(), now]).await?;
        let id = UseId::derived(video.bytes(), &likeness.to_string());
        insert_use(tx, id, (likeness, maker, Some(video)), ("", &UseOutcome::Made), now).await?;
    }
    Ok(())
}

async fn usage(tx: &mut Tx, project: ProjectId, now: Timestamp) -> Result<Usage, StoreError> {
    let jobs = tx.first("SELECT COUNT(*) AS jobs FROM jobs WHERE project = $1", args![project]).await?;
    let day =
        tx.first("SELECT seconds FROM usage_days WHERE project = $1 AND day = $2", args![project, now.day()]).await?;
    Ok(Usage {
        unfinished_jobs: jobs.map_or(Ok(0), |row| number(&row, "jobs"))?,
        seconds_today: day.map_or(Ok(0), |row| number(&row, "seconds"))?,
    })
}

async fn insert_generation(
    tx: &mut Tx,
    member: ActiveMembership,
    request: &Accept<'_>,
    generation: NewGeneration,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (mut source, mut first_frame, mut depth) = (None, None, 0);
    let (mut characters, mut storyboard): (&[CharacterId], Option<&str>) = (&[], None);
    let mut cut: Option<Cut> = None;
    match request.kind {
        GenerationKind::Create { first_frame: frame, characters: people } => {
            (first_frame, characters) = (*frame, people);
        }
        GenerationKind::Film { storyboard: document, characters: people } => {
            (storyboard, characters) = (Some(document.as_str()), people);
        }
        GenerationKind::Remix { source: video } => source = Some(ClipSource::Video(*video)),
        GenerationKind::Edit { source: clip } => source = Some(*clip),
        GenerationKind::Extension { source: clip, depth: count, .. } => (source, depth) = (Some(*clip), *count),
        GenerationKind::Trim { source: video, cut: part } => {
            source = Some(ClipSource::Video(*video));
            cut = Some(*part);
        }
        GenerationKind::Image => {}
    }
    let (source_video, source_file) = match source {
        Some(ClipSource::Video(id)) => (Some(id), None),
        Some(ClipSource::File(id)) => (None, Some(id)),
        None => (None, None),
    };
    let characters: Vec<_> = characters.iter().map(ToString::to_string).collect();
    let parameters = request.parameters;
    let seed = i64::try_from(generation.seed).map_err(|_| corrupt("seed", generation.seed))?;
    let sql = "INSERT INTO generations (id, project, identity, kind, source_video, source_file, first_frame, characters, depth,
               prompt, negative_prompt, model_requested, model, width, height, seconds, total_seconds, seed, num_inference_steps,
               guidance_scale, price, state, created_at, trim_start_ms, trim_end_ms, storyboard, candidates) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
               $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, 'queued', $22, $23, $24, $25, $26)";
    let args = args![
        generation.id,
        request.project,
        member.identity(),
        request.kind.as_str(),
        source_video,
        source_file,
        first_frame,
        characters.join(" "),
        depth,
        parameters.prompt.as_str(),
        parameters.negative_prompt.as_str(),
        parameters.model.as_str(),
        request.model.as_str(),
        parameters.size.width(),
        parameters.size.height(),
        parameters.seconds.get(),
        request.total_seconds.get(),
        seed,
        parameters.num_inference_steps,
        parameters.guidance_scale,
        request.price,
        now,
        cut.map(Cut::start_ms),
        cut.map(Cut::end_ms),
        storyboard,
        parameters.candidates,
    ];
    tx.execute(sql, args).await.map(|_| ())
}
