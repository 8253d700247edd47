//! A worker that shall stop: what is short is finished, what is long is given back.

use std::time::Duration;

use platform::GenerationState;
use store::Ending;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, create, gated, test_card};

#[tokio::test]
async fn a_long_job_is_given_back_at_a_shutdown_and_made_by_the_next_worker() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let (models, mut gate) = gated();
    let worker = bed.worker(models);
    let stop = CancellationToken::new();
    let test = async {
        gate.reached.recv().await.unwrap();
        stop.cancel();
        // It sleeps again once it has seen that it shall stop.
        let sleeps = bed.clock.sleeps();
        bed.clock.sleeps_reach(sleeps + 1).await;
        let sleeps = bed.clock.sleeps();
        bed.clock.advance(Duration::from_secs(10));
        bed.clock.sleeps_reach(sleeps + 1).await;
        gate.go_on.send(()).unwrap();
    };
    tokio::join!(worker.run(&stop), test);
    let generation = bed.generation(id).await;
    assert_eq!((generation.state, generation.progress.percent()), (GenerationState::Queued, 0));

    let next = bed.worker(test_card());
    assert_eq!(next.work_once(&CancellationToken::new()).await.unwrap(), Some(Ending::Published));
    assert_eq!(bed.money().await, (998, 0));
}

#[tokio::test]
async fn a_short_job_is_finished_at_a_shutdown() {
    let bed = Bed::new().await;
    let id = bed.accept(create()).await.id;
    let (models, mut gate) = gated();
    let worker = bed.worker(models);
    let stop = CancellationToken::new();
    let test = async {
        gate.reached.recv().await.unwrap();
        stop.cancel();
        drop(gate);
    };
    tokio::join!(worker.run(&stop), test);
    assert_eq!(bed.generation(id).await.state, GenerationState::Completed);
}
