//! How weights are learned: the paper world, captions, losses, optimisers, checkpoints and evaluation.

pub mod paper;
