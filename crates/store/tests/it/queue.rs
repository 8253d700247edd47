use std::time::Duration;

use platform::{
    AttemptFailure, Credits, DecidedRule, DecisionEffect, GenerationError, GenerationErrorCode, GenerationState, LEASE,
    MAX_ATTEMPTS, ModelName, Progress, Quotas, Route, Size, Tier,
};
use store::{Cancellation, Ending, Heartbeat, MadeRefusal, Reaped};

use crate::bed::{Bed, PRICE, paper};
use crate::on_both;

on_both!(
    a_finished_job_is_published_and_charged_once,
    a_dead_worker_s_job_is_taken_up_again,
    a_failing_job_ends_and_costs_nothing,
    a_permanent_failure_is_not_tried_again,
    r16_what_the_policy_stops_while_it_is_made_has_its_reasons,
    cancelling_reaches_the_worker,
    a_job_that_is_given_back_counts_no_failure,
    a_worker_gets_only_what_it_can_make,
    projects_take_turns,
    a_higher_tier_goes_first,
    two_workers_never_have_one_job,
    media_expire,
);

fn error() -> GenerationError {
    GenerationError { code: GenerationErrorCode::ModelFailed, message: "no".into() }
}

async fn a_finished_job_is_published_and_charged_once(bed: Bed) {
    let id = bed.accept(bed.project).await.id;
    let (lease, taken) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    assert_eq!((taken.id, taken.state, lease.attempt()), (id, GenerationState::InProgress, 1));
    assert_eq!(bed.store.heartbeat(&lease, Progress::of(5, 10), bed.now).await.unwrap(), Heartbeat::Continue);
    assert_eq!(bed.store.generation(bed.project, id).await.unwrap().progress.percent(), 50);
    let outputs = bed.outputs(id, 1).await;
    assert_eq!(bed.store.finish(&lease, &outputs, bed.now).await.unwrap(), Ending::Published);
    assert_eq!(bed.store.finish(&lease, &outputs, bed.now).await.unwrap(), Ending::LeaseLost);
    let done = bed.store.generation(bed.project, id).await.unwrap();
    assert_eq!((done.state, done.progress.percent(), done.ended_at), (GenerationState::Completed, 100, Some(bed.now)));
    let video = done.video.unwrap();
    assert_eq!(bed.objects.get_all(&video.key).await.unwrap().len() as u64, video.size_bytes);
    let balance = bed.store.balance(bed.project).await.unwrap();
    assert_eq!((balance.balance.micros(), balance.held), (998_000_000, Credits::ZERO));
    let day = bed.store.usage_days(bed.project, bed.now.day(), bed.now.day()).await.unwrap()[0];
    assert_eq!((day.completed, day.seconds, day.charged), (1, 4, PRICE));
}

async fn a_dead_worker_s_job_is_taken_up_again(bed: Bed) {
    let id = bed.accept(bed.project).await.id;
    let (dead, _) = bed.store.claim("dead", &paper(), bed.now).await.unwrap().unwrap();
    let late = bed.outputs(id, 1).await;
    let then = bed.now + LEASE + Duration::from_secs(1);
    assert_eq!(bed.store.reap(Duration::from_secs(5), 10, then).await.unwrap(), Reaped::default());
    assert_eq!(bed.store.reap(Duration::ZERO, 10, then).await.unwrap(), Reaped { requeued: 1, ..Reaped::default() });
    assert!(bed.store.claim("w", &paper(), then).await.unwrap().is_none(), "there is a pause first");
    let then = then + Duration::from_secs(10);
    let (lease, _) = bed.store.claim("w", &paper(), then).await.unwrap().unwrap();
    assert_eq!(lease.attempt(), 2);
    // The dead one wakes up and changes nothing.
    assert_eq!(bed.store.heartbeat(&dead, Progress::NONE, then).await.unwrap(), Heartbeat::Lost);
    assert_eq!(bed.store.finish(&dead, &late, then).await.unwrap(), Ending::LeaseLost);
    assert_eq!(bed.store.fail(&dead, AttemptFailure::Permanent, &error(), then).await.unwrap(), Ending::LeaseLost);
    let outputs = bed.outputs(id, 2).await;
    assert_eq!(bed.store.finish(&lease, &outputs, then).await.unwrap(), Ending::Published);
    // What it left behind is on the list.
    let left = bed.store.object_deletions(10).await.unwrap();
    assert_eq!(left, [format!("renders/{id}/1")]);
}

async fn a_failing_job_ends_and_costs_nothing(mut bed: Bed) {
    let id = bed.accept(bed.project).await.id;
    for attempt in 1..=MAX_ATTEMPTS {
        bed.now = bed.now + Duration::from_secs(300);
        let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
        let ending = bed.store.fail(&lease, AttemptFailure::Transient, &error(), bed.now).await.unwrap();
        assert_eq!(matches!(ending, Ending::Requeued(_)), attempt < MAX_ATTEMPTS, "{ending:?}");
    }
    let failed = bed.store.generation(bed.project, id).await.unwrap();
    assert_eq!((failed.state, failed.error), (GenerationState::Failed, Some(error())));
    let balance = bed.store.balance(bed.project).await.unwrap();
    assert_eq!((balance.balance.micros(), balance.held), (1_000_000_000, Credits::ZERO));
    let day = bed.store.usage_days(bed.project, failed.created_at.day(), failed.created_at.day()).await.unwrap()[0];
    assert_eq!((day.accepted, day.seconds), (1, 0));
}

async fn a_permanent_failure_is_not_tried_again(bed: Bed) {
    bed.accept(bed.project).await;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    let ending = bed.store.fail(&lease, AttemptFailure::Permanent, &error(), bed.now).await.unwrap();
    assert!(matches!(ending, Ending::Unpublished { state: GenerationState::Failed, .. }));
    assert_eq!(bed.store.queue_depth().await.unwrap(), store::QueueDepth::default());
}

async fn r16_what_the_policy_stops_while_it_is_made_has_its_reasons(bed: Bed) {
    let generation = bed.accept(bed.project).await;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    let stopped =
        GenerationError { code: GenerationErrorCode::ModerationBlocked, message: "its frames show it".into() };
    let refusal = MadeRefusal {
        ground: "violence".into(),
        rule: DecidedRule { id: "violent.graphic".into(), version: "2".into() },
        facts: "its frames show it".into(),
        seen: "a wound".into(),
    };
    bed.store.refuse_made(&lease, &stopped, &refusal, bed.now).await.unwrap();
    let decisions = bed.store.decisions_about(generation.identity, None, 10).await.unwrap();
    let [decision] = decisions.as_slice() else { panic!("{decisions:?}") };
    let record = &decision.record;
    assert_eq!((record.effect, record.author, record.automated_detection), (DecisionEffect::Refuse, None, true));
    assert_eq!((record.item.id, record.facts.as_str()), (Some(generation.id.bytes()), "its frames show it"));
    assert_eq!((&record.rule, record.ground.as_str()), (&refusal.rule, "violence"));
    assert_eq!(record.evidence, "a red boat\n\na wound");
    // The hold is released, as with any other failure.
    assert_eq!(bed.store.balance(bed.project).await.unwrap().held, Credits::ZERO);
}

async fn cancelling_reaches_the_worker(bed: Bed) {
    let cancelled = async |id| {
        let generation = bed.store.generation(bed.project, id).await.unwrap();
        generation.state == GenerationState::Cancelled && generation.video.is_none()
    };
    // A worker that listens.
    let id = bed.accept(bed.project).await.id;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    assert_eq!(bed.store.cancel(bed.project, id, bed.now).await.unwrap(), Cancellation::Requested);
    assert_eq!(bed.store.heartbeat(&lease, Progress::NONE, bed.now).await.unwrap(), Heartbeat::Cancel);
    bed.store.end_cancelled(&lease, bed.now).await.unwrap();
    assert!(cancelled(id).await);
    assert_eq!(bed.store.cancel(bed.project, id, bed.now).await.unwrap(), Cancellation::AlreadyEnded);
    // One that finishes all the same.
    let id = bed.accept(bed.project).await.id;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    bed.store.cancel(bed.project, id, bed.now).await.unwrap();
    let outputs = bed.outputs(id, 1).await;
    assert!(matches!(bed.store.finish(&lease, &outputs, bed.now).await.unwrap(), Ending::Unpublished { .. }));
    assert!(cancelled(id).await);
    // One that dies.
    let id = bed.accept(bed.project).await.id;
    bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    bed.store.cancel(bed.project, id, bed.now).await.unwrap();
    let reaped = bed.store.reap(Duration::ZERO, 10, bed.now + LEASE).await.unwrap();
    assert_eq!(reaped, Reaped { cancelled: 1, ..Reaped::default() });
    assert!(cancelled(id).await);
    assert_eq!(bed.store.balance(bed.project).await.unwrap().balance.micros(), 1_000_000_000);
}

async fn a_job_that_is_given_back_counts_no_failure(bed: Bed) {
    bed.accept(bed.project).await;
    for attempt in 1..10 {
        let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
        assert_eq!(lease.attempt(), attempt);
        assert_eq!(bed.store.give_back(&lease, bed.now).await.unwrap(), Ending::Requeued(bed.now));
    }
}

async fn a_worker_gets_only_what_it_can_make(bed: Bed) {
    bed.accept(bed.project).await;
    let route = |model: &str, size| vec![Route { model: ModelName::parse(model).unwrap(), size }];
    let claim = async |routes: Vec<Route>| bed.store.claim("w", &routes, bed.now).await.unwrap().is_some();
    assert!(!claim(Vec::new()).await);
    assert!(!claim(route("wan", None)).await);
    assert!(!claim(route("paper-1", Some(Size::new(1280, 720)))).await);
    let both = [route("wan", None), route("paper-1", Some(Size::new(720, 1280)))].concat();
    assert!(claim(both).await);
}

async fn projects_take_turns(bed: Bed) {
    let other = bed.another_project("other").await;
    for _ in 0..6 {
        bed.accept(bed.project).await;
    }
    let claim = async || bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap().1.project;
    assert_eq!((claim().await, claim().await), (bed.project, bed.project));
    assert!(bed.store.queue_place(other, &ModelName::parse("paper-1").unwrap()).await.unwrap().ahead < 4);
    for _ in 0..2 {
        bed.accept(other).await;
    }
    let turns = [claim().await, claim().await, claim().await, claim().await];
    assert_eq!(turns.iter().filter(|project| **project == other).count(), 2, "{turns:?}");
}

async fn a_higher_tier_goes_first(bed: Bed) {
    let first = bed.another_project("first").await;
    let quotas = Quotas { priority: 10, ..Quotas::DEFAULT };
    bed.store.set_tier(&Tier { name: "early".into(), quotas, metered: false }).await.unwrap();
    bed.store.change_project(first, "first", "early").await.unwrap();
    bed.accept(bed.project).await;
    let id = bed.accept(first).await.id;
    assert_eq!(bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap().1.id, id);
}

async fn two_workers_never_have_one_job(bed: Bed) {
    for _ in 0..12 {
        bed.accept(bed.project).await;
    }
    let worker = async || {
        let mut ids = Vec::new();
        while let Some((lease, _)) = bed.store.claim("w", &paper(), bed.now).await.unwrap() {
            ids.push(lease.id());
        }
        ids
    };
    let (a, b, c) = tokio::join!(worker(), worker(), worker());
    let mut all = [a, b, c].concat();
    all.sort();
    all.dedup();
    // A worker may find every job locked and stop early; none may be had twice.
    while let Some((lease, _)) = bed.store.claim("w", &paper(), bed.now).await.unwrap() {
        assert!(!all.contains(&lease.id()));
        all.push(lease.id());
    }
    assert_eq!(all.len(), 12);
}

async fn media_expire(bed: Bed) {
    let id = bed.accept(bed.project).await.id;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    let mut outputs = bed.outputs(id, 1).await;
    outputs.expires_at = Some(bed.now + Duration::from_secs(3600));
    bed.store.finish(&lease, &outputs, bed.now).await.unwrap();
    assert_eq!(bed.store.expire_media(bed.now, 10, bed.now).await.unwrap(), 0);
    assert_eq!(bed.store.expire_media(bed.now + Duration::from_secs(3600), 10, bed.now).await.unwrap(), 1);
    let generation = bed.store.generation(bed.project, id).await.unwrap();
    assert_eq!((generation.state, generation.video), (GenerationState::Completed, None));
    assert_eq!(bed.store.object_deletions(10).await.unwrap(), [format!("renders/{id}")]);
}
