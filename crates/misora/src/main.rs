//! The one binary: arguments, configuration, wiring.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod archive;
mod arguments;
mod device;
mod gallery;
mod generate;
mod hub;
mod judge;
mod model;
mod models;
mod output;
mod paper;
mod serve;
mod train;
mod verify;
mod vocabulary;
mod wan;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

/// Tensors come and go by the megabyte; the system's allocator gives each back to the kernel and asks for it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Serve(options) => serve::serve(&options),
        Command::Worker(options) => serve::worker(&options),
        Command::Migrate(options) => serve::migrate(&options),
        Command::Backup(options) => serve::backup(&options),
        Command::Restore(options) => serve::restore(&options),
        Command::Export(options) => archive::export(&options),
        Command::Import(options) => archive::import(&options),
        Command::Admin(options) => admin::run(&options),
        Command::Generate(options) => generate::run(&options),
        Command::Storyboard(options) => generate::storyboard(&options),
        Command::Models(options) => models::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Paper(options) => paper::run(&options),
        Command::Train(options) => train::run(&options),
        Command::Caption(options) => judge::caption(&options),
        Command::Eval(options) => judge::evaluate(&options),
        Command::Gallery(options) => gallery::run(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("misora: {error:#}");
            // A request that no retry can mend is told apart from work that failed.
            let usage = error.chain().any(|cause| {
                cause.is::<output::Usage>() || cause.is::<render::RequestError>() || cause.is::<server::ConfigError>()
            });
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}
