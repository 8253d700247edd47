//! A thousand schedules of a queue whose workers die, whose clocks disagree, and in which ends come twice, late and in another order.
//! However it goes: every accepted job ends once, is charged once if there is a video, and never otherwise.

use std::collections::HashMap;
use std::time::Duration;

use platform::{
    AttemptFailure, EventType, GenerationError, GenerationErrorCode, GenerationState, LedgerKind, Progress, ProjectId,
    Timestamp, VideoId, WebhookEndpointId, WebhookSecret,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use store::{Ending, Heartbeat, Lease, Order, Page, WebhookEndpoint};

use crate::bed::{Bed, PRICE, entropy, paper};

/// Prints the seed if the schedule fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the schedule of seed {} failed", self.0);
        }
    }
}

#[tokio::test]
async fn a_thousand_schedules_on_sqlite() {
    let bed = Bed::memory().await;
    for seed in 0..1000 {
        schedule(&bed, seed).await;
    }
}

#[tokio::test]
async fn some_schedules_on_postgres() {
    let bed = Bed::postgres().await;
    for seed in 0..25 {
        schedule(&bed, seed).await;
    }
}

/// One schedule, on a project of its own.
async fn schedule(bed: &Bed, seed: u64) {
    let shown = Seed(seed);
    let mut random = Pcg64::seed_from_u64(seed);
    let project = bed.another_project("simulated").await;
    listen(bed, project).await;
    let skews: Vec<i64> = (0..3).map(|_| random.random_range(-20..20)).collect();
    let (mut now, mut jobs, mut leases): (Timestamp, Vec<VideoId>, Vec<Lease>) = (bed.now, Vec::new(), Vec::new());
    let mut published: HashMap<VideoId, u32> = HashMap::new();
    let mut latest: HashMap<VideoId, u32> = HashMap::new();
    let error = GenerationError { code: GenerationErrorCode::ModelFailed, message: "no".into() };

    for _ in 0..random.random_range(10..40) {
        let skew = skews[random.random_range(0..skews.len())];
        let clock = Timestamp::from_micros(now.micros() + skew * 1_000_000);
        let lease = if leases.is_empty() { None } else { Some(&leases[random.random_range(0..leases.len())]) };
        match (random.random_range(0..12), lease) {
            (0 | 1, _) if jobs.len() < 5 => jobs.push(bed.accept(project).await.id),
            (2..=4, _) => {
                if let Some((lease, _)) = bed.store.claim("w", &paper(), clock).await.unwrap() {
                    assert_eq!(lease.attempt(), latest.get(&lease.id()).copied().unwrap_or(0) + 1);
                    latest.insert(lease.id(), lease.attempt());
                    leases.push(lease);
                }
            }
            (5, Some(lease)) => {
                let heartbeat = bed.store.heartbeat(lease, Progress::of(1, 2), clock).await.unwrap();
                assert!(heartbeat == Heartbeat::Lost || latest[&lease.id()] == lease.attempt(), "a stale lease lives");
                // A deaf worker goes on.
                if heartbeat == Heartbeat::Cancel && random.random_bool(0.7) {
                    bed.store.end_cancelled(lease, clock).await.unwrap();
                }
            }
            // Any lease, old ones too: ends are repeated and late.
            (6 | 7, Some(lease)) => finish(bed, lease, clock, &latest, &mut published).await,
            (8, Some(lease)) => {
                let failure =
                    if random.random_bool(0.2) { AttemptFailure::Permanent } else { AttemptFailure::Transient };
                let ending = bed.store.fail(lease, failure, &error, clock).await.unwrap();
                assert!(ending == Ending::LeaseLost || latest[&lease.id()] == lease.attempt(), "a stale lease failed");
            }
            (9, Some(lease)) => {
                let ending = bed.store.give_back(lease, clock).await.unwrap();
                assert!(
                    ending == Ending::LeaseLost || latest[&lease.id()] == lease.attempt(),
                    "a stale lease was given"
                );
            }
            (10, _) if !jobs.is_empty() && random.random_bool(0.4) => {
                let id = jobs[random.random_range(0..jobs.len())];
                bed.store.cancel(project, id, clock).await.unwrap();
            }
            _ => {
                now = now + Duration::from_secs(random.random_range(0..40));
                bed.store.reap(Duration::ZERO, 10, clock).await.unwrap();
            }
        }
    }

    // Then all is well again, and the queue empties.
    for round in 0.. {
        assert!(round < 50, "the queue does not empty");
        now = now + Duration::from_secs(200);
        bed.store.reap(Duration::ZERO, 100, now).await.unwrap();
        while let Some((lease, _)) = bed.store.claim("w", &paper(), now).await.unwrap() {
            latest.insert(lease.id(), lease.attempt());
            finish(bed, &lease, now, &latest, &mut published).await;
        }
        let depth = bed.store.queue_depth().await.unwrap();
        if depth.queued + depth.leased == 0 {
            break;
        }
    }
    // The dead come back once more.
    for lease in &leases {
        finish(bed, lease, now, &latest, &mut published).await;
        bed.store.fail(lease, AttemptFailure::Permanent, &error, now).await.unwrap();
    }
    check(bed, project, &jobs, &published).await;
    drop(shown);
}

async fn finish(
    bed: &Bed,
    lease: &Lease,
    clock: Timestamp,
    latest: &HashMap<VideoId, u32>,
    published: &mut HashMap<VideoId, u32>,
) {
    let outputs = bed.outputs(lease.id(), lease.attempt()).await;
    if bed.store.finish(lease, &outputs, clock).await.unwrap() == Ending::Published {
        *published.entry(lease.id()).or_default() += 1;
        assert_eq!(latest[&lease.id()], lease.attempt(), "a stale lease published");
    }
}

async fn check(bed: &Bed, project: ProjectId, jobs: &[VideoId], published: &HashMap<VideoId, u32>) {
    let page = Page { after: None, limit: 100, order: Order::Ascending };
    let ledger = bed.store.ledger(project, page).await.unwrap();
    let mut completed = 0;
    for id in jobs {
        let generation = bed.store.generation(project, *id).await.unwrap();
        assert!(generation.state.is_final(), "{generation:?}");
        let count = |kind| ledger.iter().filter(|line| line.generation == Some(*id) && line.kind == kind).count();
        let done = generation.state == GenerationState::Completed;
        completed += i64::from(done);
        assert_eq!(published.get(id).copied().unwrap_or(0), u32::from(done), "published once or never");
        assert_eq!(generation.video.is_some(), done);
        assert_eq!(generation.error.is_none(), done);
        let charges = (count(LedgerKind::Hold), count(LedgerKind::Charge), count(LedgerKind::Release));
        assert_eq!(charges, (1, usize::from(done), usize::from(!done)));
    }
    let balance = bed.store.balance(project).await.unwrap();
    assert_eq!((balance.balance.micros(), balance.held.micros()), (1_000_000_000 - completed * PRICE.micros(), 0));
    let day = bed.store.usage_days(project, bed.now.day(), bed.now.day()).await.unwrap();
    if let [day] = day[..] {
        assert_eq!(
            (day.accepted, day.completed, day.seconds),
            (jobs.len() as u64, completed as u64, completed as u64 * 4)
        );
    }
    // One event a job, none half-told.
    let deliveries = bed.store.claim_deliveries(1000, bed.now + Duration::from_secs(1_000_000)).await.unwrap();
    assert_eq!(deliveries.len(), jobs.len());
    for delivery in &deliveries {
        bed.store.delivery_done(delivery, 200, bed.now).await.unwrap();
    }
}

async fn listen(bed: &Bed, project: ProjectId) {
    let endpoint = WebhookEndpoint {
        id: WebhookEndpointId::new(bed.now, entropy()),
        project,
        name: "all".into(),
        url: "http://127.0.0.1/".into(),
        event_types: vec![EventType::VideoCompleted, EventType::VideoFailed],
        secret: WebhookSecret::new([1; 32]),
        old_secret: None,
        created_at: bed.now,
        updated_at: bed.now,
    };
    bed.store.create_webhook_endpoint(&endpoint).await.unwrap();
}
