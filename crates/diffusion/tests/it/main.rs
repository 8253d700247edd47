//! The public interface of the crate against what others compute.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;
mod layouts;
mod parity;
mod tiling;
