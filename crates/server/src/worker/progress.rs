//! How far a job is: steps that are done, over all stages, as a percentage that others read while it grows.

use std::ops::Range;
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
        self.done_of(progress, 0..1, 1);
    }

    /// So many steps are done of a part of the work, which lies there in the whole.
    pub(crate) fn done_of(&self, progress: render::Progress, part: Range<u32>, whole: u32) {
        let hundredths = part.start * 100 + (part.end - part.start) * u32::from(percent(progress));
        let percent = u8::try_from(hundredths / whole.max(1)).unwrap_or(99).min(99);
        self.percent.fetch_max(percent, Ordering::Relaxed);
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

    #[test]
    fn the_parts_of_a_film_have_their_shares_of_it() {
        let control = Control::default();
        let half = render::Progress { stage: Stage::Drawing, done: 0, total: 48 };
        let signing = render::Progress { stage: Stage::Signing, done: 1, total: 1 };
        for (step, part, expected) in
            [(half, 0..4, 12), (signing, 0..4, 24), (half, 4..16, 62), (half, 0..4, 62), (signing, 4..16, 99)]
        {
            control.done_of(step, part, 16);
            assert_eq!(control.progress().percent(), expected);
        }
    }
}
