//! How far a job is: steps that are done, over all stages, as a percentage that others read while it grows.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use platform::Progress;
use render::Stage;

/// What the thread that renders and the one that waits tell each other.
#[derive(Debug, Default)]
pub(crate) struct Control {
    percent: AtomicU8,
    stop: AtomicBool,
}

impl Control {
    /// The percentage so far.
    pub(crate) fn progress(&self) -> Progress {
        Progress::from_percent(self.percent.load(Ordering::Relaxed))
    }

    /// Asks the work to stop before its next step.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it shall stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// So many steps are done. It never goes back.
    pub(crate) fn done(&self, progress: render::Progress) {
        self.percent.fetch_max(percent(progress), Ordering::Relaxed);
    }
}

/// Steps done as a percentage. Sampling and drawing have half each, because models differ in which of them is longer: the figure says
/// what is done and promises no time.
fn percent(progress: render::Progress) -> u8 {
    let (from, to) = match progress.stage {
        Stage::Reading => (0, 2),
        Stage::Sampling => (2, 50),
        Stage::Drawing => (50, 98),
        Stage::Signing => (98, 99),
    };
    let (done, total) = (progress.done.min(progress.total), progress.total.max(1));
    from + ((to - from) as usize * done / total) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_through_the_stages_and_ends_before_100() {
        let control = Control::default();
        let mut last = 0;
        for stage in [Stage::Reading, Stage::Sampling, Stage::Drawing, Stage::Signing] {
            for done in 0..=14 {
                control.done(render::Progress { stage, done, total: 14 });
                assert!(control.progress().percent() >= last);
                last = control.progress().percent();
            }
        }
        assert_eq!(last, 99);
        control.done(render::Progress { stage: Stage::Reading, done: 0, total: 0 });
        assert_eq!(control.progress().percent(), 99);
    }
}
