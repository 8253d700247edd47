//! A worker in a process of its own with the test card as its model, against the database and objects that `MISORA_…` variables name.
//!
//! `cargo run --example test_worker -- FOLDER` keeps its signing key in the folder, and works until it is asked to stop.

mod common;

use std::io::Write;

use server::run_worker;

use crate::common::{Failure, asked_to_stop, config, models, signing_key};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = config()?;
    let key = signing_key(&config)?;
    writeln!(std::io::stdout(), "READY")?;
    run_worker(&config, models(), key, asked_to_stop()).await?;
    Ok(())
}
