//! The store, each test over SQLite in a folder and over PostgreSQL. No test sleeps or asks a clock.

#![allow(clippy::unwrap_used)]

mod bed;
mod postgres;

mod migrations;

mod accepting;
mod archives;
mod decisions;
mod folders;
mod library;
mod likeness;
mod listing;
mod queue;
mod simulation;
mod trash;

mod audit;
mod keys;
mod people;
mod projects;
mod rights;
mod secrets;

mod social;

mod batches;
mod webhooks;

mod backups;
mod guarantees;
mod objects;
mod speed;
mod transactions;

/// Makes a test of each function, on each database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name(crate::bed::Bed::sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(crate::bed::Bed::postgres().await).await;
            }
        }
    )*};
}
pub(crate) use on_both;
