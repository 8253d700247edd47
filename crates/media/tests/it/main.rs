//! Whole files, out and back in.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod mp4;
mod pictures;
mod scene;
