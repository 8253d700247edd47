use std::path::PathBuf;

/// What can go wrong between a prompt and its latents.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number of frames that the VAE cannot cut into blocks.
    #[error("{frames} frames cannot be encoded: the count must be 1 plus a multiple of {block}")]
    FrameCount {
        /// Frames that came.
        frames: usize,
        /// Frames in a block.
        block: usize,
    },
    /// Sides that are not multiples of the latent grid.
    #[error("{width}×{height} is not on the grid: both sides must be multiples of {grid}")]
    NotDivisible {
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
        /// Pixels a side of one latent cell.
        grid: usize,
    },
    /// Given frames that do not lie in the clip or do not fit it.
    #[error("given frames do not fit the clip: {0}")]
    Given(String),
    /// A file of the model folder that cannot be read.
    #[error("{path}: {reason}")]
    ModelFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
