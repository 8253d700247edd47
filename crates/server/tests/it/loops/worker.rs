//! Leases, cancelling, progress, permission, panics.

use std::ops::ControlFlow;
use std::time::Duration;

use media::{Frame, FrameRate};
use platform::{
    AppealId, AppealOutcome, GenerationErrorCode, GenerationKind, GenerationState, HEARTBEAT, IdentityId, LEASE,
    MembershipEvent, Role, Service,
};
use render::{ModelError, Progress, Recipe, SteppedTestCard, TestCard, VideoModel, VideoRequest};
use server::housekeeping;
use server::worker::Models;
use store::{Cancellation, Ending};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, create, entropy, gated, name, test_card};
use crate::postgres::postgres_database;

#[tokio::test]
async fn an_accepted_job_is_published_and_charged_once() {
    let bed = Bed::new().await;
    let accepted = bed.accept(create()).await;
    assert_eq!(bed.money().await, (1000, 2));
    let worker = bed.worker(test_card());
    let never = CancellationToken::new();
    assert_eq!(worker.work_once(&never).await.unwrap(), Some(Ending::Published));
    assert_eq!(worker.work_once(&never).await.unwrap(), None);
    let generation = bed.generation(accepted.id).await;
    assert_eq!((generation.state, generation.progress.percent()), (GenerationState::Completed, 100));
    assert_eq!(bed.money().await, (998, 0));
}

#[tokio::test]
async fn a_dead_workers_job_is_taken_up_again_and_the_dead_publish_nothing() {
    let bed = Bed::new().await;
    let accepted = bed.accept(create()).await;
    // A worker takes it and is never heard of again.
    let routes = test_card().routes();
    let (lease, _) = bed.app.store.claim("dead", &routes, bed.app.now()).await.unwrap().unwrap();
    let worker = bed.worker(test_card());
    let never = CancellationToken::new();
    assert_eq!(worker.work_once(&never).await.unwrap(), None);
    bed.clock.advance(LEASE + Duration::from_secs(5));
    assert_eq!(housekeeping::tidy(&bed.app).await.unwrap().jobs, 1);
    // Failed attempts are tried again after a pause.
    bed.clock.advance(Duration::from_secs(3));
    assert_eq!(worker.work_once(&never).await.unwrap(), Some(Ending::Published));
    let published = bed.generation(accepted.id).await.video.unwrap();
    assert!(published.key.as_str().contains("/2/"), "{:?}", published.key);
    // The dead worker was only slow.
    assert_eq!(bed.app.store.give_back(&lease, bed.app.now()).await.unwrap(), Ending::LeaseLost);
    assert_eq!(bed.generation(accepted.id).await.video.unwrap(), published);
    assert_eq!(bed.money().await, (998, 0));
}

#[tokio::test]
async fn cancelling_reaches_the_model_within_a_step() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let (models, mut gate) = gated();
    let worker = bed.worker(models);
    let never = CancellationToken::new();
    let test = async {
        assert_eq!(gate.reached.recv().await, Some(0));
        let cancelled = bed.app.store.cancel(bed.project, id, bed.app.now()).await.unwrap();
        assert_eq!(cancelled, Cancellation::Requested);
        let sleeps = bed.clock.sleeps();
        bed.app.worker_signal.cancel_asked();
        bed.clock.sleeps_reach(sleeps + 1).await;
        gate.go_on.send(()).unwrap();
        // The step that was begun is the last one.
        assert_eq!(gate.reached.recv().await, None);
    };
    let ended = async {
        let ending = worker.work_once(&never).await.unwrap();
        drop(worker);
        ending
    };
    let (ending, ()) = tokio::join!(ended, test);
    assert!(matches!(ending, Some(Ending::Unpublished { state: GenerationState::Cancelled, .. })), "{ending:?}");
    assert_eq!(bed.money().await, (1000, 0));
    let objects = bed.app.objects.list("renders").await.unwrap();
    assert!(objects.is_empty(), "{objects:?}");
}

#[tokio::test]
async fn a_worker_in_another_process_learns_at_once_of_a_job_and_of_a_wish_to_cancel_it() {
    let url = postgres_database().await;
    let (bed, (models, mut gate)) = (Bed::on(&url).await, gated());
    let elsewhere = bed.elsewhere(&url).await;
    let calls = elsewhere.store.worker_calls().await.unwrap().unwrap();
    let (worker, stop) = (bed.worker_of(&elsewhere, models), CancellationToken::new());
    let test = async {
        // It has found nothing, and the clock that it looks by stands still.
        bed.clock.sleeps_reach(1).await;
        let id = bed.accept(create()).await.id;
        assert_eq!(gate.reached.recv().await, Some(0));
        let sleeps = bed.clock.sleeps();
        bed.app.store.cancel(bed.project, id, bed.app.now()).await.unwrap();
        bed.clock.sleeps_reach(sleeps + 1).await;
        stop.cancel();
        gate.go_on.send(()).unwrap();
        id
    };
    let heard = elsewhere.worker_signal.pass_on(&elsewhere.store, calls, &*bed.clock, &stop);
    let ((), (), id) = tokio::join!(worker.run(&stop), heard, test);
    assert_eq!(bed.generation(id).await.state, GenerationState::Cancelled);
}

#[tokio::test]
async fn two_jobs_wake_two_workers() {
    let bed = Bed::new().await;
    let ((one, mut first), (other, mut second)) = (gated(), gated());
    let (one, other, stop) = (bed.worker(one), bed.worker(other), CancellationToken::new());
    let test = async {
        bed.clock.sleeps_reach(2).await;
        bed.accept(create()).await;
        bed.accept(create()).await;
        // As one request for two clips does.
        bed.app.worker_signal.job_accepted();
        assert_eq!((first.reached.recv().await, second.reached.recv().await), (Some(0), Some(0)));
        stop.cancel();
        drop((first, second));
    };
    tokio::join!(one.run(&stop), other.run(&stop), test);
}

#[tokio::test]
async fn a_worker_without_its_lease_stops_and_changes_nothing() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let (models, mut gate) = gated();
    let (slow, quick) = (bed.worker(models), bed.worker(test_card()));
    let never = CancellationToken::new();
    let test = async {
        assert_eq!(gate.reached.recv().await, Some(0));
        // This process was asleep for a minute: the job was taken up elsewhere.
        bed.app.store.reap(Duration::ZERO, 10, bed.app.now() + LEASE).await.unwrap();
        let sleeps = bed.clock.sleeps();
        bed.clock.advance(LEASE + Duration::from_secs(30));
        bed.clock.sleeps_reach(sleeps + 1).await;
        assert_eq!(quick.work_once(&never).await.unwrap(), Some(Ending::Published));
        gate.go_on.send(()).unwrap();
    };
    let (ending, ()) = tokio::join!(slow.work_once(&never), test);
    assert_eq!(ending.unwrap(), Some(Ending::LeaseLost));
    assert!(bed.generation(id).await.video.unwrap().key.as_str().contains("/2/"));
    assert_eq!(bed.money().await, (998, 0));
}

#[tokio::test]
async fn progress_is_what_is_done() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let (models, mut gate) = gated();
    let worker = bed.worker(models);
    let never = CancellationToken::new();
    let test = async {
        let mut last = 0;
        for step in 0..48 {
            assert_eq!(gate.reached.recv().await, Some(step));
            if step % 12 == 6 {
                let sleeps = bed.clock.sleeps();
                bed.clock.advance(Duration::from_secs(1));
                bed.clock.sleeps_reach(sleeps + 1).await;
                let percent = bed.generation(id).await.progress.percent();
                assert!(percent > last && percent < 100, "{percent} after {last}");
                last = percent;
            }
            gate.go_on.send(()).unwrap();
        }
    };
    let (ending, ()) = tokio::join!(worker.work_once(&never), test);
    assert_eq!(ending.unwrap(), Some(Ending::Published));
}

#[tokio::test]
async fn a_lease_is_kept_while_the_model_thinks() {
    let bed = Bed::new().await;
    bed.accept(create()).await;
    let (models, mut gate) = gated();
    let worker = bed.worker(models);
    let never = CancellationToken::new();
    let test = async {
        gate.reached.recv().await.unwrap();
        for _ in 0..20 {
            let sleeps = bed.clock.sleeps();
            bed.clock.advance(HEARTBEAT);
            bed.clock.sleeps_reach(sleeps + 1).await;
            assert_eq!(housekeeping::tidy(&bed.app).await.unwrap().jobs, 0);
        }
        // The rest without stops.
        drop(gate);
    };
    let (ending, ()) = tokio::join!(worker.work_once(&never), test);
    assert_eq!(ending.unwrap(), Some(Ending::Published));
}

#[tokio::test]
async fn permission_is_asked_for_again_before_the_work() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let (person, now) = (bed.member.identity(), bed.app.now());
    bed.app.store.change_membership(person, Service::Video, MembershipEvent::Suspend, now).await.unwrap();
    bed.worker(test_card()).work_once(&CancellationToken::new()).await.unwrap();
    let generation = bed.generation(id).await;
    assert_eq!(generation.error.unwrap().code, GenerationErrorCode::PermissionRevoked);
    assert_eq!(bed.money().await, (1000, 0));
}

#[tokio::test]
async fn a_worker_takes_only_work_for_its_models() {
    let bed = Bed::new().await;
    bed.accept_for("another", create(), super::bed::SIZE, 4, 4).await;
    let never = CancellationToken::new();
    assert_eq!(bed.worker(test_card()).work_once(&never).await.unwrap(), None);
    let both = Models::new(vec![(name("test-card"), Box::new(TestCard)), (name("another"), Box::new(TestCard))]);
    assert_eq!(bed.worker(both).work_once(&never).await.unwrap(), Some(Ending::Published));
}

#[tokio::test]
async fn a_panic_is_tried_again_until_it_is_enough() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let worker =
        bed.worker(Models::new(vec![(name("test-card"), Box::new(SteppedTestCard(|_, _| panic!("a defect"))))]));
    let never = CancellationToken::new();
    for _ in 0..3 {
        assert!(matches!(worker.work_once(&never).await.unwrap(), Some(Ending::Requeued(_))));
        bed.clock.advance(Duration::from_secs(60));
    }
    let ending = worker.work_once(&never).await.unwrap();
    assert!(matches!(ending, Some(Ending::Unpublished { state: GenerationState::Failed, .. })), "{ending:?}");
    let error = bed.generation(id).await.error.unwrap();
    assert_eq!(error.code, GenerationErrorCode::ModelFailed);
    assert!(!error.message.contains("defect"), "{}", error.message);
    assert_eq!(bed.money().await, (1000, 0));
}

#[tokio::test]
async fn what_a_model_refuses_is_not_tried_again() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let refuse = |_: &VideoRequest, _: Progress| Err(ModelError::Failed("it knows no boats".into()));
    let worker = bed.worker(Models::new(vec![(name("test-card"), Box::new(SteppedTestCard(refuse)))]));
    worker.work_once(&CancellationToken::new()).await.unwrap();
    let generation = bed.generation(id).await;
    assert_eq!(generation.state, GenerationState::Failed);
    assert!(generation.error.unwrap().message.contains("it knows no boats"));
}

#[tokio::test]
async fn a_model_is_asked_for_as_many_beginnings_as_the_request() {
    let bed = Bed::new().await;
    let film = r#"{"storyboard":1,"seed":7,"shots":[{"prompt":"a red boat"}]}"#;
    for kind in [create(), GenerationKind::Film { storyboard: film.into(), characters: Vec::new() }] {
        let id = bed.accept(kind).await.id;
        let tell = |request: &VideoRequest, _: Progress| Err(ModelError::Failed(format!("{:?}", request.candidates)));
        let worker = bed.worker(Models::new(vec![(name("test-card"), Box::new(SteppedTestCard(tell)))]));
        worker.work_once(&CancellationToken::new()).await.unwrap();
        let error = bed.generation(id).await.error.unwrap();
        assert!(error.message.contains("Some(3)"), "{}", error.message);
    }
}

/// A test card in which its captioner sees something.
struct Seen(&'static str);

impl VideoModel for Seen {
    fn name(&self) -> &str {
        TestCard.name()
    }

    fn weights_hash(&self) -> &str {
        TestCard.weights_hash()
    }

    fn frame_rate(&self) -> FrameRate {
        TestCard.frame_rate()
    }

    fn recipe(&self, request: &VideoRequest) -> Recipe {
        TestCard.recipe(request)
    }

    fn generate(
        &self,
        request: &VideoRequest,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        emit: &mut dyn FnMut(Frame) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        TestCard.generate(request, progress, emit)
    }

    fn caption(&self, frames: &[Frame]) -> Option<String> {
        assert!(frames.len() > 1, "frames all through the clip are shown");
        Some(self.0.to_owned())
    }
}

#[tokio::test]
async fn what_is_seen_in_a_finished_clip_is_judged_and_a_refusal_costs_nothing() {
    let bed = Bed::new().await;
    let never = CancellationToken::new();
    let made = async |seen: &'static str| {
        let id = bed.accept(create()).await.id;
        let worker = bed.worker(Models::new(vec![(name("test-card"), Box::new(Seen(seen)))]));
        worker.work_once(&never).await.unwrap();
        bed.generation(id).await
    };
    let refused = made("a gory beheading").await;
    assert_eq!(refused.state, GenerationState::Failed);
    let error = refused.error.unwrap();
    assert_eq!(error.code, GenerationErrorCode::ModerationBlocked);
    assert!(error.message.contains("violent.graphic"), "{}", error.message);
    assert!(bed.app.objects.list("renders").await.unwrap().is_empty());
    assert_eq!(bed.money().await, (1000, 0));
    assert_eq!(made("a red boat on the sea").await.state, GenerationState::Completed);
    assert_eq!(bed.money().await, (998, 0));
}

#[tokio::test]
async fn r17_a_clip_that_was_stopped_by_mistake_is_made_after_all_and_costs_nothing() {
    for bed in [Bed::new().await, Bed::on_postgres(|_| {}).await] {
        let (store, never) = (&bed.app.store, CancellationToken::new());
        let generation = bed.accept(create()).await;
        let work = async || {
            let worker = bed.worker(Models::new(vec![(name("test-card"), Box::new(Seen("a gory beheading")))]));
            worker.work_once(&never).await.unwrap()
        };
        work().await;
        // The reasons name the rule, as those of a refused prompt do; whoever reviews it reads what was seen.
        let told = store.decisions_about(generation.identity, None, 10).await.unwrap().remove(0);
        let record = &told.record;
        assert_eq!((record.rule.id.as_str(), record.ground.as_str()), ("violent.graphic", "violence/graphic"));
        assert!(!record.rule.version.is_empty() && record.facts.len() > 10, "{record:?}");
        assert!(record.evidence.contains(generation.prompt.as_str()) && record.evidence.contains("a gory beheading"));
        let error = bed.generation(generation.id).await.error.unwrap();
        assert!(error.message.contains("violent.graphic"), "{}", error.message);

        let now = bed.app.now();
        let judge = IdentityId::new(now, entropy());
        let decide = async |outcome| {
            let appeal = AppealId::new(now, entropy());
            store.appeal(appeal, generation.identity, record.id, "It is a painting.", now).await.unwrap();
            store.decide_appeal(appeal, judge, Role::Moderator, outcome, "Yes.", now).await.unwrap();
        };
        decide(AppealOutcome::Overturned).await;
        assert_eq!(bed.generation(generation.id).await.state, GenerationState::Queued);
        // The same clip, though the captioner sees the same; and no other.
        assert_eq!(work().await, Some(Ending::Published));
        let made = bed.generation(generation.id).await;
        assert_eq!((made.state, made.error.is_none(), made.seed), (GenerationState::Completed, true, generation.seed));
        assert!(bed.app.objects.get_all(&made.video.unwrap().key).await.is_ok());
        server::housekeeping::tidy(&bed.app).await.unwrap();
        let kept = bed.generation(generation.id).await.video.unwrap();
        assert!(bed.app.objects.get_all(&kept.key).await.is_ok());
        assert_eq!(bed.money().await, (1000, 0));
        let other = bed.accept(create()).await.id;
        work().await;
        assert_eq!(bed.generation(other).await.state, GenerationState::Failed);
        assert_eq!(bed.money().await, (1000, 0));
    }
}
