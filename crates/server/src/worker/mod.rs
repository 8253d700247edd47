//! The worker: takes jobs that its models fit, makes them, publishes what came of it.
//!
//! A job may be worked on twice, after a lease was lost; only the attempt that holds the lease publishes. What is decided stands in
//! `platform` and `store`; here it is carried out.

mod engine;
mod failure;
mod making;
mod outputs;

pub(crate) use outputs::{QUALITY, THUMBNAIL_SIDE};
mod progress;
mod sources;
mod still;

use std::sync::Arc;
use std::time::Duration;

use platform::policy::{RightsUse, Stage};
use platform::{
    DecidedItem, DecidedKind, GenerationErrorCode, GenerationState, HEARTBEAT, LEASE, Progress, Route, Service,
    Timestamp,
};
use provenance::SigningKey;
use store::{Ending, Generation, Heartbeat, Lease, Objects, Store, StoreError, WorkerCall, WorkerCalls};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::clock::Clock;
use crate::policy::{Judge, ModerationPlace};
use crate::worker::engine::Engine;
pub use crate::worker::engine::Models;
use crate::worker::failure::Failure;
use crate::worker::making::{Making, Studio};

/// How often a worker looks whether there is something to tell: a percentage that changed is told at once, nothing new
/// every [`HEARTBEAT`].
const BEAT: Duration = Duration::from_secs(1);
/// How often an idle worker asks for a job that nobody told it about.
const IDLE: Duration = Duration::from_secs(1);

/// What the owner decided about this worker.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Its name in the queue, such as host and process.
    pub name: String,
    /// Whether clips carry the visible mark.
    pub visible_mark: bool,
    /// How long finished media are kept; for ever if nothing.
    pub keep_media: Option<Duration>,
    /// How long a running job may go on once the worker shall stop, before it is given back.
    pub finish_within: Duration,
    /// The moderation service that is asked beside the built-in rules.
    pub moderation: Option<ModerationPlace>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            name: format!("worker-{}", std::process::id()),
            visible_mark: true,
            keep_media: None,
            finish_within: Duration::from_secs(10),
            moderation: None,
        }
    }
}

/// Wakes workers of the same process: a call saves the second or so until they look by themselves.
#[derive(Debug, Default)]
pub struct WorkerSignal {
    /// How often jobs were accepted: whoever saw an older number looks again.
    jobs: watch::Sender<u64>,
    cancel: Notify,
}

impl WorkerSignal {
    /// A job was accepted.
    pub fn job_accepted(&self) {
        self.jobs.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Someone asked to cancel or delete a generation that may be running.
    pub fn cancel_asked(&self) {
        self.cancel.notify_waiters();
    }

    /// Passes on what other processes call to workers, until it is told to stop.
    pub async fn pass_on(&self, store: &Store, calls: WorkerCalls, clock: &dyn Clock, stop: &CancellationToken) {
        let mut calls = Some(calls);
        loop {
            let heard = async {
                match &mut calls {
                    Some(calls) => calls.next().await,
                    none => {
                        clock.sleep(HEARTBEAT).await;
                        *none = store.worker_calls().await?;
                        Ok(WorkerCall::Either)
                    }
                }
            };
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = heard => heard,
            };
            match heard {
                Ok(WorkerCall::Job) => self.job_accepted(),
                Ok(WorkerCall::Cancel) => self.cancel_asked(),
                Ok(WorkerCall::Either) => {
                    self.job_accepted();
                    self.cancel_asked();
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "calls to workers are not heard; they look by themselves"
                    );
                    calls = None;
                }
            }
        }
    }
}

/// A worker with its models, which live in a thread of their own. It does one job at a time.
pub struct Worker {
    options: WorkerOptions,
    store: Store,
    engine: Engine,
    routes: Vec<Route>,
    studio: Studio,
    clock: Arc<dyn Clock>,
    signal: Arc<WorkerSignal>,
}

/// Why the making of a clip was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    Cancelled,
    LeaseLost,
    ShuttingDown,
}

impl Worker {
    /// A worker that stands ready. Its thread begins now and ends when it is dropped.
    pub fn new(
        options: WorkerOptions,
        models: Models,
        store: Store,
        objects: Objects,
        key: SigningKey,
        clock: Arc<dyn Clock>,
        signal: Arc<WorkerSignal>,
    ) -> Self {
        let routes = models.routes();
        let studio = Studio {
            store: store.clone(),
            objects,
            key,
            clock: Arc::clone(&clock),
            visible_mark: options.visible_mark,
            judge: Judge::new(store.clone(), options.moderation.clone()),
        };
        Self { options, store, engine: Engine::start(models), routes, studio, clock, signal }
    }

    /// The work that it takes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Works until it is told to stop; then the running job is finished within [`WorkerOptions::finish_within`] or given back.
    pub async fn run(&self, stop: &CancellationToken) {
        tracing::info!(worker = %self.options.name, routes = self.routes.len(), "the worker begins");
        let mut jobs = self.signal.jobs.subscribe();
        while !stop.is_cancelled() {
            // What is accepted from here on wakes it, should it find nothing.
            jobs.borrow_and_update();
            let pause = match self.work_once(stop).await {
                Ok(Some(_)) => continue,
                Ok(None) => IDLE,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the queue does not answer");
                    HEARTBEAT
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = jobs.changed() => {}
                () = self.clock.sleep(pause) => {}
            }
        }
        tracing::info!(worker = %self.options.name, "the worker has stopped");
    }

    /// Takes one job, if there is one, and sees it to the end of its attempt. Says how that ended.
    ///
    /// # Errors
    /// [`StoreError`] if no job could be asked for. What fails later is the job's own end, or left to the reaper.
    pub async fn work_once(&self, stop: &CancellationToken) -> Result<Option<Ending>, StoreError> {
        let Some((lease, generation)) = self.store.claim(&self.options.name, &self.routes, self.clock.now()).await?
        else {
            return Ok(None);
        };
        let span = tracing::info_span!(
            "job",
            otel.kind = "consumer",
            otel.status_code = Empty,
            video = %lease.id(),
            attempt = lease.attempt(),
            model = %generation.model,
            ended = Empty,
        );
        let ending = self.see_through(&lease, &generation, stop).instrument(span.clone()).await;
        span.record("ended", word(&ending));
        if matches!(ending, Ending::Unpublished { state: GenerationState::Failed, .. }) {
            span.record("otel.status_code", "ERROR");
        }
        Ok(Some(ending))
    }

    async fn see_through(&self, lease: &Lease, generation: &Generation, stop: &CancellationToken) -> Ending {
        let making = Making::new(&self.studio, lease, generation);
        let (made, halt) = match self.permitted(generation).await {
            Ok(()) => self.make_while_leased(&making, lease, stop).await,
            Err(failure) => (Err(failure), None),
        };
        let said = self.persist(|now| self.say(lease, &made, halt, now)).await;
        match &said {
            Ok(ending) => tracing::info!(?ending, "the attempt has ended"),
            // Nobody says anything about this lease any more, so the reaper takes the job up again.
            Err(error) => tracing::error!(error = error as &dyn std::error::Error, "the end could not be written"),
        }
        said.unwrap_or(Ending::LeaseLost)
    }

    /// Whoever was allowed to ask may have lost that since, and what may be asked for may have changed.
    async fn permitted(&self, generation: &Generation) -> Result<(), Failure> {
        let now = self.clock.now();
        let membership = self.store.membership(generation.identity, Service::Video).await?;
        membership.at(now).active().map_err(|refusal| {
            let message = format!("The video was not made: {refusal}.");
            Failure::permanent(GenerationErrorCode::PermissionRevoked, message)
        })?;
        let prompt = generation.prompt.as_str();
        let verdict = self.studio.judge.text(Stage::During, RightsUse::Prompts, prompt, now).await?;
        // An appeal that was right lets the same words pass, or this clip.
        let item = DecidedItem::of_words(DecidedKind::Prompt, prompt);
        if verdict.is_allowed()
            || self.store.refusal_was_wrong(generation.identity, item).await?
            || self.studio.is_allowed_after_all(generation).await?
        {
            return Ok(());
        }
        Err(Failure::refused(verdict, ""))
    }

    /// Makes the clip in the engine's thread, and keeps the lease meanwhile.
    async fn make_while_leased(
        &self,
        making: &Making<'_>,
        lease: &Lease,
        stop: &CancellationToken,
    ) -> (Result<store::Outputs, Failure>, Option<Halt>) {
        let made = making.make(&self.engine, self.options.keep_media);
        tokio::pin!(made);
        let (mut halt, mut told, mut told_at) = (None, Progress::NONE, self.clock.now());
        let mut last_moment: Option<Timestamp> = None;
        loop {
            let asked_to_cancel = tokio::select! {
                biased;
                made = &mut made => return (made, halt),
                () = stop.cancelled(), if last_moment.is_none() => {
                    last_moment = Some(self.clock.now() + self.options.finish_within);
                    continue;
                }
                () = self.signal.cancel.notified() => true,
                () = self.clock.sleep(BEAT) => false,
            };
            // At a shutdown the lease is kept until it is given back.
            if matches!(halt, Some(Halt::Cancelled | Halt::LeaseLost)) {
                continue;
            }
            let now = self.clock.now();
            let progress = making.progress();
            if asked_to_cancel || progress != told || now.since(told_at) >= HEARTBEAT {
                match self.store.heartbeat(lease, progress, now).await {
                    Ok(Heartbeat::Continue) => (told, told_at) = (progress, now),
                    Ok(Heartbeat::Cancel) => halt = Some(Halt::Cancelled),
                    Ok(Heartbeat::Lost) => halt = Some(Halt::LeaseLost),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a heartbeat was not heard");
                        // Someone else may have the job by now.
                        if now.since(told_at) >= LEASE {
                            halt = Some(Halt::LeaseLost);
                        }
                    }
                }
            }
            if halt.is_none() && last_moment.is_some_and(|moment| moment <= now) {
                halt = Some(Halt::ShuttingDown);
            }
            if halt.is_some() {
                making.stop();
            }
        }
    }

    /// Writes how an attempt ended.
    async fn say(
        &self,
        lease: &Lease,
        made: &Result<store::Outputs, Failure>,
        halt: Option<Halt>,
        now: Timestamp,
    ) -> Result<Ending, StoreError> {
        match (made, halt) {
            // A clip that was done before the word to stop arrived is published.
            (Ok(outputs), _) => self.store.finish(lease, outputs, now).await,
            (Err(Failure::Stopped), Some(Halt::Cancelled)) => self.store.end_cancelled(lease, now).await,
            (Err(Failure::Stopped), Some(Halt::LeaseLost)) => Ok(Ending::LeaseLost),
            (Err(Failure::Stopped), _) => self.store.give_back(lease, now).await,
            (Err(Failure::Failed { error, refusal: Some(refusal), .. }), _) => {
                self.store.refuse_made(lease, error, refusal, now).await
            }
            (Err(Failure::Failed { failure, error, .. }), _) => self.store.fail(lease, *failure, error, now).await,
        }
    }

    /// Tries to write until it works or the lease must be over.
    async fn persist<F>(&self, mut write: impl FnMut(Timestamp) -> F) -> Result<Ending, StoreError>
    where
        F: Future<Output = Result<Ending, StoreError>>,
    {
        let started = self.clock.now();
        loop {
            let now = self.clock.now();
            match write(now).await {
                Err(StoreError::Database(error)) if now.since(started) < LEASE => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the end is written again");
                    self.clock.sleep(BEAT).await;
                }
                said => return said,
            }
        }
    }
}

/// How an attempt ended, in a word.
fn word(ending: &Ending) -> &'static str {
    match ending {
        Ending::Published => "published",
        Ending::Unpublished { state, .. } => state.as_str(),
        Ending::Requeued(_) => "requeued",
        Ending::LeaseLost => "lease_lost",
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({} for {:?})", self.options.name, self.routes)
    }
}
