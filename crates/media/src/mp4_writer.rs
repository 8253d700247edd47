//! Frames to MP4: colour conversion here, H.264 on a few threads, boxes at the end.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::colour::I420;
use crate::frame::{Clip, Frame, FrameRate, Size};
use crate::mp4_boxes::{BoxError, VideoTrack};
use crate::openh264::{AccessUnit, Encoder, EncoderError};

/// How much a video is squeezed: the quantiser of H.264, the same for every picture.
///
/// Invariant: 1 to 51. Six more halve the size, roughly; 18 looks like the original, 23 is good, 30 shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    qp: u8,
}

impl Quality {
    /// A quality from the quantiser of H.264.
    ///
    /// # Errors
    /// [`WriteError::Quality`] unless it is 1 to 51.
    pub fn from_qp(qp: u8) -> Result<Self, WriteError> {
        if (1..=51).contains(&qp) { Ok(Self { qp }) } else { Err(WriteError::Quality { qp }) }
    }

    /// The quantiser.
    pub fn qp(self) -> u8 {
        self.qp
    }
}

impl Default for Quality {
    fn default() -> Self {
        Self { qp: 23 }
    }
}

/// Why a video could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A size that the encoder does not take.
    #[error("a video cannot be {size}: sides are 16 to 4096 pixels, and at most 9,437,184 pixels together")]
    Size {
        /// What was asked for.
        size: Size,
    },
    /// A frame rate that makes no sense.
    #[error("a video cannot have {}/{} frames a second: at least one a minute, at most 240", .frame_rate.numerator, .frame_rate.denominator)]
    FrameRate {
        /// What was asked for.
        frame_rate: FrameRate,
    },
    /// A quantiser out of range.
    #[error("a quantiser is 1 to 51, not {qp}")]
    Quality {
        /// What was asked for.
        qp: u8,
    },
    /// A frame of another size than the video's.
    #[error("frame {index} is {actual}, the video is {expected}")]
    FrameSize {
        /// Which frame.
        index: usize,
        /// The video's size.
        expected: Size,
        /// The frame's size.
        actual: Size,
    },
    /// No frame was pushed.
    #[error("a video needs at least one frame")]
    Empty,
    /// H.264 failed.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The boxes failed.
    #[error(transparent)]
    Boxes(#[from] BoxError),
    /// No thread to encode on.
    #[error("no thread could be started to encode on")]
    Thread(#[source] std::io::Error),
}

/// Writes frames, one after another, as an MP4 file with H.264 (High profile, CABAC, BT.709 limited range), whose index
/// comes first so that it plays while it loads.
///
/// Every two seconds a group of pictures starts that needs no other, so groups are encoded on several threads while
/// frames still come in. The bytes do not depend on the number of threads. At most two seconds a thread wait
/// uncompressed.
///
/// A writer that is dropped before [`finish`](Self::finish) stops its threads at the next frame.
#[derive(Debug)]
pub struct Mp4Writer {
    size: Size,
    frame_rate: FrameRate,
    group: usize,
    pushed: usize,
    cancelled: Arc<AtomicBool>,
    workers: Vec<Worker>,
}

/// Sides that OpenH264 takes, and that MP4 boxes can say.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4096;
/// Level 5.2: 36,864 macroblocks.
const MAX_PIXELS: usize = 36_864 * 256;
/// Uncompressed pictures that may wait for all threads together.
const MAX_WAITING_BYTES: usize = 256 << 20;

impl Mp4Writer {
    /// Starts a file, with a thread for each core, four at most.
    ///
    /// # Errors
    /// [`WriteError::Size`], [`WriteError::FrameRate`] or [`WriteError::Thread`].
    pub fn new(size: Size, frame_rate: FrameRate, quality: Quality) -> Result<Self, WriteError> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let four = NonZeroUsize::MIN.saturating_add(3);
        Self::with_threads(size, frame_rate, quality, cores.min(four))
    }

    /// Starts a file that is encoded on this many threads.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_threads(
        size: Size,
        frame_rate: FrameRate,
        quality: Quality,
        threads: NonZeroUsize,
    ) -> Result<Self, WriteError> {
        let coded = Self::coded(size);
        if !SIDES.contains(&size.width) || !SIDES.contains(&size.height) || coded.pixels() > MAX_PIXELS {
            return Err(WriteError::Size { size });
        }
        let rate = frame_rate.as_f64();
        if frame_rate.numerator == 0 || frame_rate.denominator == 0 || !(1.0 / 60.0..=240.0).contains(&rate) {
            return Err(WriteError::FrameRate { frame_rate });
        }
        // One frame a group would put two IDR pictures side by side with the same idr_pic_id, which H.264 forbids.
        let group = ((2.0 * rate).round() as usize).max(2);
        let picture_bytes = coded.pixels() * 3 / 2;
        let waiting = (MAX_WAITING_BYTES / threads / picture_bytes).clamp(2, group);
        let cancelled = Arc::new(AtomicBool::new(false));
        let settings = Settings { coded, rate: rate.clamp(1.0, 60.0) as f32, qp: quality.qp };
        let workers = (0..threads.get())
            .map(|_| Worker::start(settings, waiting, &cancelled))
            .collect::<Result<_, _>>()
            .map_err(WriteError::Thread)?;
        Ok(Self { size, frame_rate, group, pushed: 0, cancelled, workers })
    }

    /// H.264 in 4:2:0 has even sides only.
    fn coded(size: Size) -> Size {
        Size::new(size.width.next_multiple_of(2), size.height.next_multiple_of(2))
    }

    /// Adds a frame. Waits when the encoder is behind.
    ///
    /// # Errors
    /// [`WriteError::FrameSize`], or [`WriteError::Encoder`] when an earlier frame failed.
    pub fn push(&mut self, frame: &Frame) -> Result<(), WriteError> {
        if frame.size() != self.size {
            return Err(WriteError::FrameSize { index: self.pushed, expected: self.size, actual: frame.size() });
        }
        let worker = self.pushed / self.group % self.workers.len();
        let job = Job { picture: I420::from_frame(frame), starts_group: self.pushed.is_multiple_of(self.group) };
        let sent = self.workers[worker].jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            // The thread has ended, which it does before its time only with an error; the second push meets no thread.
            self.workers[worker].join()?;
            return Err(WriteError::Empty);
        }
        self.pushed += 1;
        Ok(())
    }

    /// Frames so far.
    pub fn frame_count(&self) -> usize {
        self.pushed
    }

    /// Waits for the encoder and returns the file.
    ///
    /// # Errors
    /// [`WriteError::Empty`], [`WriteError::Encoder`] or [`WriteError::Boxes`].
    pub fn finish(mut self) -> Result<Vec<u8>, WriteError> {
        if self.pushed == 0 {
            return Err(WriteError::Empty);
        }
        // First all queues are closed, so that the threads end together.
        for worker in &mut self.workers {
            worker.jobs = None;
        }
        let coded: Vec<_> = self.workers.iter_mut().map(Worker::join).collect::<Result<_, _>>()?;
        let mut coded: Vec<_> = coded.into_iter().map(Vec::into_iter).collect();
        let threads = coded.len();
        let samples: Vec<AccessUnit> = (0..self.pushed)
            .map(|index| coded[index / self.group % threads].next().expect("each picture gives one access unit"))
            .collect();
        for unit in samples.iter().step_by(self.group) {
            let same = (&unit.sps, &unit.pps) == (&samples[0].sps, &samples[0].pps);
            assert!(same, "encoders with the same settings write the same parameter sets");
        }
        let (timescale, sample_delta) = timescale(self.frame_rate);
        let track = VideoTrack {
            size: self.size,
            coded: Self::coded(self.size),
            timescale,
            sample_delta,
            samples: &samples,
            group: self.group,
        };
        Ok(track.to_mp4()?)
    }
}

impl Drop for Mp4Writer {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        for worker in &mut self.workers {
            // An encoder's error has no one to go to any more.
            let _ = worker.join();
        }
    }
}

/// Units of time in a second, at least ten thousand, and units in a frame.
fn timescale(frame_rate: FrameRate) -> (NonZeroU32, u32) {
    let times = 10_000_u32.div_ceil(frame_rate.numerator);
    let timescale = NonZeroU32::new(frame_rate.numerator * times).expect("a checked frame rate is not zero");
    (timescale, frame_rate.denominator * times)
}

#[derive(Clone, Copy)]
struct Settings {
    coded: Size,
    rate: f32,
    qp: u8,
}

struct Job {
    picture: I420,
    starts_group: bool,
}

/// A thread with an encoder, and the queue to it.
#[derive(Debug)]
struct Worker {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<Result<Vec<AccessUnit>, EncoderError>>>,
}

impl Worker {
    fn start(settings: Settings, waiting: usize, cancelled: &Arc<AtomicBool>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(waiting);
        let cancelled = Arc::clone(cancelled);
        let thread =
            std::thread::Builder::new().name("h264".into()).spawn(move || encode_all(settings, &queue, &cancelled))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Closes the queue and waits for what the thread has made; nothing the second time.
    fn join(&mut self) -> Result<Vec<AccessUnit>, EncoderError> {
        self.jobs = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Vec::new()),
        }
    }
}

fn encode_all(
    settings: Settings,
    queue: &Receiver<Job>,
    cancelled: &AtomicBool,
) -> Result<Vec<AccessUnit>, EncoderError> {
    let mut coded = Vec::new();
    let mut encoder = None;
    for job in queue {
        if cancelled.load(Ordering::Relaxed) {
            break;
        }
        if job.starts_group {
            encoder = None;
        }
        let encoder = match &mut encoder {
            Some(encoder) => encoder,
            None => encoder.insert(Encoder::new(settings.coded, settings.rate, settings.qp)?),
        };
        coded.push(encoder.encode(&job.picture)?);
    }
    Ok(coded)
}

/// Writes a clip that is in memory already.
///
/// # Errors
/// As [`Mp4Writer`].
pub fn write_mp4(clip: &Clip, quality: Quality) -> Result<Vec<u8>, WriteError> {
    let mut writer = Mp4Writer::new(clip.size(), clip.frame_rate(), quality)?;
    for frame in clip.frames() {
        writer.push(frame)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        let check = |frame_rate: FrameRate| {
            let (timescale, delta) = timescale(frame_rate);
            assert!(timescale.get() >= 10_000);
            let (a, b) = (u64::from(timescale.get()), u64::from(frame_rate.denominator));
            assert_eq!(a * b, u64::from(delta) * u64::from(frame_rate.numerator));
        };
        for whole in [1, 8, 12, 24, 25, 30, 60, 240] {
            check(FrameRate::whole(whole));
        }
        check(FrameRate { numerator: 30_000, denominator: 1001 });
        check(FrameRate { numerator: 1, denominator: 60 });
    }
}
