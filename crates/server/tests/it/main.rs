//! The server as its clients see it, and the loops behind it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod guarantees;
mod http;
mod loops;

#[path = "../../../store/tests/it/postgres.rs"]
mod postgres;
