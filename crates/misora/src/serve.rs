//! `misora serve`, `worker`, `migrate`, `backup` and `restore`: the whole product, or one part of it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use platform::{ModelName, Rate, Timestamp};
use server::worker::Models;
use server::{Config, Server, Traces};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::arguments::{BackupOptions, RestoreOptions, ServeOptions};
use crate::model::{NAME, OpenModel, default_home, signing_key};
use crate::vocabulary::words_of_the_world;
use crate::wan::WanChoices;

/// Credits that a second of the built-in model costs at 1280×720: one.
const RATE: Rate = Rate::from_micros(1_000_000);

/// When the built-in model's training ended.
const MADE_AT: Timestamp = Timestamp::from_seconds(1_795_723_860);

/// Starts the server and serves until it is asked to stop.
pub(crate) fn serve(options: &ServeOptions) -> Result<ExitCode> {
    let config = config(options)?;
    let (runtime, traces) = watched(&config, "serve")?;
    // Opened once to know its name, even if all work is done elsewhere.
    let first = open_model(options)?;
    let name = model_name(first.as_model().name())?;
    let mut offer = server::full_offer(name.clone(), RATE);
    if name.as_str() == NAME {
        offer.made_at = MADE_AT;
    }
    let words = matches!(first, OpenModel::Paper(_)).then(words_of_the_world);
    let mut models = Vec::new();
    if config.workers > 0 {
        models.push(Models::new(vec![(name, first.into_model())]));
    }
    for _ in 1..config.workers {
        models.push(self::models(options)?);
    }
    let key = signing_key(Some(&config.data))?;
    let served = runtime.block_on(async {
        let server = Server::start(&config, vec![offer], models, words, key).await?;
        println!("Misora is at http://{}", server.address);
        if let Some(link) = &server.set_up_link {
            println!("Nobody administers it yet. Whoever opens this link first does:\n  {link}");
        }
        server.run(asked_to_stop()).await;
        Ok(ExitCode::SUCCESS)
    });
    if let Some(traces) = traces {
        traces.end();
    }
    served
}

/// Works for a server that runs elsewhere, until it is asked to stop.
pub(crate) fn worker(options: &ServeOptions) -> Result<ExitCode> {
    let config = config(options)?;
    let (runtime, traces) = watched(&config, "worker")?;
    let (models, key) = (models(options)?, signing_key(Some(&config.data))?);
    let worked = runtime.block_on(async {
        server::run_worker(&config, models, key, asked_to_stop()).await?;
        Ok(ExitCode::SUCCESS)
    });
    if let Some(traces) = traces {
        traces.end();
    }
    worked
}

/// Brings the tables up to date.
pub(crate) fn migrate(options: &ServeOptions) -> Result<ExitCode> {
    let config = config(options)?;
    runtime()?.block_on(server::migrate(&config))?;
    eprintln!("the tables are up to date");
    Ok(ExitCode::SUCCESS)
}

/// Writes rows and media into a folder, and the keyring into another.
pub(crate) fn backup(options: &BackupOptions) -> Result<ExitCode> {
    let config = config(&options.serve)?;
    let (folder, keys) = (options.folder.as_deref(), options.keys.as_deref());
    runtime()?.block_on(server::back_up(&config, folder, keys))?;
    let own = config.data.join("keys");
    if let Some(folder) = folder {
        eprintln!("written to {}; keep a copy of {} too", folder.display(), own.display());
    }
    match keys {
        Some(keys) => eprintln!(
            "{} has the keyring as it is now; keep no older state of it, so that what is erased stays erased",
            keys.display()
        ),
        None => eprintln!(
            "the media in it are sealed, and the keyring is not in it: without `misora backup --keys FOLDER` they are lost with the \
             installation"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup where the configuration says.
pub(crate) fn restore(options: &RestoreOptions) -> Result<ExitCode> {
    let config = config(&options.serve)?;
    runtime()?.block_on(server::restore(&config, &options.folder, options.keys.as_deref()))?;
    eprintln!("restored from {}", options.folder.display());
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a file and the environment; what is kept lies in the home folder unless they say otherwise.
pub(crate) fn config(options: &ServeOptions) -> Result<Config> {
    let home = options.home.clone().or_else(default_home).context("no home folder is known: give one with --home")?;
    Ok(Config::read(options.config.as_deref(), std::env::vars(), &home)?)
}

/// The runtime that everything which waits runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime can be started")
}

fn models(options: &ServeOptions) -> Result<Models> {
    let model = open_model(options)?;
    Ok(Models::new(vec![(model_name(model.as_model().name())?, model.into_model())]))
}

fn open_model(options: &ServeOptions) -> Result<OpenModel> {
    let (model, home) = (options.model.as_deref(), options.home.as_deref());
    OpenModel::open(model, home, WanChoices::default(), options.device.open()?)
}

fn model_name(name: &str) -> Result<ModelName> {
    ModelName::parse(name).context("the model's name is none")
}

/// A runtime, and what it tells of itself: lines of text for people, JSON if `MISORA_LOG_FORMAT` is `json`, of which `RUST_LOG` chooses;
/// and traces, if the owner named a collector.
fn watched(config: &Config, role: &'static str) -> Result<(tokio::runtime::Runtime, Option<Traces>)> {
    let runtime = runtime()?;
    let traces = match &config.collector {
        Some(place) => Some(Traces::open(place, role, runtime.handle().clone())?),
        None => None,
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match std::env::var("MISORA_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().boxed(),
        _ => lines.boxed(),
    };
    let spans = traces.as_ref().map(Traces::layer);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
    Ok((runtime, traces))
}

/// Ends when the process is asked to, politely.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
