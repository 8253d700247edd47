//! Whole files, out and back in.

mod hostile;
mod mp4;
mod pictures;
mod scene;
