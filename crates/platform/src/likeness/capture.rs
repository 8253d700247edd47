//! What can be told of a capture without knowing a face: that it came while it was recorded, that something moved in it, that
//! something was heard. It proves no person: everything else is for whoever reviews it.

use std::time::Duration;

use crate::time::Timestamp;

/// The largest piece of a capture.
pub const MAX_CHUNK_BYTES: usize = 3_000_000;
/// The most pieces of a capture.
pub const MAX_CHUNKS: u32 = 60;
/// A frame that the browser looks at: 32 by 24 cells of grey.
pub const FRAME_CELLS: usize = 32 * 24;

/// The shortest and the longest capture.
const SHORTEST: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(60);
/// A piece is recorded for about a second; one that comes much faster was not recorded while it was sent.
const LEAST_APART: Duration = Duration::from_millis(500);
/// A longer pause could hide a cut.
const MOST_APART: Duration = Duration::from_secs(8);
/// A cell moved if it changed by more than noise does.
const CHANGE: u8 = 12;
/// So many thousandths of the cells must change between two frames.
const CHANGED_PERMILLE: usize = 15;
/// In so many percent of the pieces something must move, and so often in all. A busy machine gives the same frame several times, so pairs of
/// frames alone say little; in a picture nothing moves at all.
const MOVED_PERCENT: u32 = 40;
const MOVED_TIMES: u32 = 4;

/// What is known of a piece of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkFacts {
    /// When it came.
    pub received_at: Timestamp,
    /// Pairs of frames that were compared in it.
    pub pairs: u32,
    /// Those in which something moved.
    pub moved: u32,
    /// How loud it was at the loudest, 0 to 100, as the browser heard it.
    pub level: u32,
}

/// What was found, for the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// How long it took to come.
    pub seconds: u32,
    /// Percent of pieces in which something moves.
    pub moved_percent: u32,
    /// The loudest moment, 0 to 100.
    pub level: u32,
}

/// Why a capture is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CaptureRefusal {
    /// The challenge's time is over.
    #[error("the time for this challenge is over: begin again")]
    Late,
    /// The challenge was answered before.
    #[error("this challenge was used before: begin again")]
    Used,
    /// A piece is missing or came twice.
    #[error("a piece of the recording is missing or came twice: begin again")]
    OutOfOrder,
    /// Too short or too long.
    #[error("the recording must last 4 to 60 seconds")]
    Length,
    /// The pieces did not come as a camera records them.
    #[error("the recording did not come while it was recorded: it must come straight from the camera")]
    NotStreamed,
    /// Nothing moved.
    #[error("nothing moved in the recording: a picture is not a person")]
    Still,
    /// Nothing was heard.
    #[error("nothing was heard in the recording: switch the microphone on and say the sentence")]
    Silent,
    /// The same recording came before.
    #[error("this recording came before: every recording counts once")]
    Replayed,
    /// The still shows what may not be shown.
    #[error("the picture that was taken shows what may not be shown here")]
    Picture,
}

impl CaptureRefusal {
    /// Every refusal.
    pub const ALL: [Self; 9] = [
        Self::Late,
        Self::Used,
        Self::OutOfOrder,
        Self::Length,
        Self::NotStreamed,
        Self::Still,
        Self::Silent,
        Self::Replayed,
        Self::Picture,
    ];

    /// Its word in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Used => "used",
            Self::OutOfOrder => "out_of_order",
            Self::Length => "length",
            Self::NotStreamed => "not_streamed",
            Self::Still => "still",
            Self::Silent => "silent",
            Self::Replayed => "replayed",
            Self::Picture => "picture",
        }
    }
}

/// In how many pairs of successive frames something moves: pairs, and those with movement. What is no whole frame is passed over.
pub fn movement(frames: &[u8]) -> (u32, u32) {
    let frames: Vec<&[u8]> = frames.chunks_exact(FRAME_CELLS).take(16).collect();
    let moves = |pair: &&[&[u8]]| {
        let changed = pair[0].iter().zip(pair[1]).filter(|(before, after)| before.abs_diff(**after) > CHANGE).count();
        changed * 1000 >= FRAME_CELLS * CHANGED_PERMILLE
    };
    let pairs = frames.len().saturating_sub(1) as u32;
    (pairs, frames.windows(2).filter(moves).count() as u32)
}

/// Looks at how a capture came, in the order of its pieces.
///
/// # Errors
/// [`CaptureRefusal`].
pub fn check_capture(chunks: &[ChunkFacts]) -> Result<Checks, CaptureRefusal> {
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Err(CaptureRefusal::Length) };
    let took = last.received_at.since(first.received_at);
    if took > LONGEST {
        return Err(CaptureRefusal::Length);
    }
    for (at, chunk) in chunks.iter().enumerate() {
        let count = u32::try_from(at).unwrap_or(u32::MAX);
        // Networks bring two at once now and then; over the whole they come as fast as they are recorded.
        let expected = LEAST_APART.saturating_mul(count).saturating_sub(Duration::from_secs(1));
        if chunk.received_at < first.received_at + expected {
            return Err(CaptureRefusal::NotStreamed);
        }
        if at > 0 && chunk.received_at.since(chunks[at - 1].received_at) > MOST_APART {
            return Err(CaptureRefusal::NotStreamed);
        }
    }
    if took < SHORTEST {
        return Err(CaptureRefusal::Length);
    }
    let moved: u32 = chunks.iter().map(|chunk| chunk.moved).sum();
    let seen = || chunks.iter().filter(|chunk| chunk.pairs > 0);
    let moving = seen().filter(|chunk| chunk.moved > 0).count();
    let moved_percent = (moving * 100).checked_div(seen().count()).unwrap_or(0);
    let moved_percent = u32::try_from(moved_percent).unwrap_or(0);
    if moved < MOVED_TIMES || moved_percent < MOVED_PERCENT {
        return Err(CaptureRefusal::Still);
    }
    let level = chunks.iter().map(|chunk| chunk.level).max().unwrap_or(0);
    if level == 0 {
        return Err(CaptureRefusal::Silent);
    }
    Ok(Checks { seconds: u32::try_from(took.as_secs()).unwrap_or(u32::MAX), moved_percent, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(count: u32, apart_ms: u64, moved: u32, level: u32) -> Vec<ChunkFacts> {
        let start = Timestamp::from_seconds(1_790_000_000);
        let at = |index: u32| start + Duration::from_millis(apart_ms * u64::from(index));
        (0..count).map(|index| ChunkFacts { received_at: at(index), pairs: 3, moved, level }).collect()
    }

    #[test]
    fn a_recording_comes_while_it_is_recorded_and_shows_something_that_moves() {
        let check = |count, apart_ms, moved, level| check_capture(&chunks(count, apart_ms, moved, level));
        assert_eq!(check(8, 1000, 2, 30), Ok(Checks { seconds: 7, moved_percent: 100, level: 30 }));
        assert_eq!(check(8, 1000, 0, 30), Err(CaptureRefusal::Still));
        assert_eq!(check(8, 1000, 2, 0), Err(CaptureRefusal::Silent));
        // One that moves once in a while, seen by a machine that gives each frame several times.
        let mut busy = chunks(8, 1000, 0, 30);
        for at in [1, 3, 5, 7] {
            busy[at].moved = 1;
        }
        assert_eq!(check_capture(&busy).map(|checks| checks.moved_percent), Ok(50));
        busy[7].moved = 0;
        assert_eq!(check_capture(&busy), Err(CaptureRefusal::Still));
        assert_eq!(check(8, 20, 2, 30), Err(CaptureRefusal::NotStreamed));
        assert_eq!(check(8, 9000, 2, 30), Err(CaptureRefusal::Length));
        assert_eq!(check(3, 9000, 2, 30), Err(CaptureRefusal::NotStreamed));
        assert_eq!(check(3, 1000, 2, 30), Err(CaptureRefusal::Length));
        assert_eq!(check(0, 1000, 2, 30), Err(CaptureRefusal::Length));
    }

    #[test]
    fn noise_does_not_move_and_a_head_does() {
        let still: Vec<u8> = (0..FRAME_CELLS).map(|cell| (cell % 200) as u8).collect();
        let noisy: Vec<u8> = still.iter().enumerate().map(|(cell, grey)| grey + (cell % 7) as u8).collect();
        let turned: Vec<u8> = still
            .iter()
            .enumerate()
            .map(|(cell, grey)| if cell % 20 == 0 { grey.saturating_add(60) } else { *grey })
            .collect();
        assert_eq!(movement(&[still.clone(), noisy, still.clone()].concat()), (2, 0));
        assert_eq!(movement(&[still.clone(), turned, still.clone()].concat()), (2, 2));
        assert_eq!((movement(&still), movement(&[]), movement(&still[1..])), ((0, 0), (0, 0), (0, 0)));
    }
}
