//! The thread that the models live in. It computes; the async side sends it work and waits for the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use platform::{ModelName, Route};
use render::VideoModel;
use tokio::sync::oneshot;

/// A worker's models, each under the name that jobs ask for.
#[derive(Default)]
pub struct Models(Vec<(ModelName, Box<dyn VideoModel + Send>)>);

impl Models {
    /// The models by name. A name that stands there twice means the first.
    pub fn new(models: Vec<(ModelName, Box<dyn VideoModel + Send>)>) -> Self {
        Self(models)
    }

    /// The model of this name.
    pub(crate) fn find(&self, name: &ModelName) -> Option<&dyn VideoModel> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, model)| &**model as &dyn VideoModel)
    }

    /// The work that these models fit: all sizes of each.
    pub fn routes(&self) -> Vec<Route> {
        self.0.iter().map(|(model, _)| Route { model: model.clone(), size: None }).collect()
    }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

type Task = Box<dyn FnOnce(&Models) + Send>;

/// The thread. It ends when this is dropped and its last task is done.
pub(crate) struct Engine {
    tasks: mpsc::Sender<Task>,
}

/// The work panicked: a defect of ours or of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked")]
pub(crate) struct Panicked;

impl Engine {
    pub(crate) fn start(models: Models) -> Self {
        let (tasks, queue) = mpsc::channel::<Task>();
        let body = move || {
            for task in queue {
                task(&models);
            }
        };
        // A model's recursion is none of ours; the standard 2 MiB are what the tests run in.
        thread::Builder::new().name("render".into()).spawn(body).expect("the system has room for one more thread");
        Self { tasks }
    }

    /// Runs a function in the thread, after what was asked for before.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Models) -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |models| {
            // A model that panicked is not looked at again before its next job, which brings a state of its own.
            let done = catch_unwind(AssertUnwindSafe(|| work(models)));
            // Nobody waits any more if the worker was dropped.
            let _ = answer.send(done.map_err(|_| Panicked));
        });
        self.tasks.send(task).map_err(|_| Panicked)?;
        answered.await.unwrap_or(Err(Panicked))
    }
}
