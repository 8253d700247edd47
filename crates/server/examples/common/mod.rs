//! What the example processes share: configuration from the environment, a slow test card, a signal to stop.

use std::path::Path;
use std::time::Duration;

use platform::ModelName;
use provenance::SigningKey;
use render::SteppedTestCard;
use server::Config;
use server::worker::Models;

/// What examples fail with.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The name that the test card has here.
pub(crate) fn model_name() -> ModelName {
    ModelName::parse("test-card").expect("this is a name")
}

/// The models of one worker: a test card that takes its time, so that a process can be killed in the middle,
/// `MISORA_TEST_STEP_MS` after each step was begun.
pub(crate) fn models() -> Models {
    let step_ms = std::env::var("MISORA_TEST_STEP_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let slow = SteppedTestCard(move |_, _| {
        std::thread::sleep(Duration::from_millis(step_ms));
        Ok(())
    });
    Models::new(vec![(model_name(), Box::new(slow))])
}

/// The configuration of the environment; everything is kept in the folder that is the first argument.
pub(crate) fn config() -> Result<Config, Failure> {
    let folder = std::env::args().nth(1).ok_or("name a folder to keep everything in")?;
    // Whoever checks a server counts its clips.
    Ok(Config { first_clips: false, ..Config::read(None, std::env::vars(), Path::new(&folder))? })
}

/// The key that this folder's clips are signed with.
pub(crate) fn signing_key(config: &Config) -> Result<SigningKey, Failure> {
    std::fs::create_dir_all(&config.data)?;
    Ok(SigningKey::open_or_create(&config.data.join("keys"), "Misora tests")?)
}

/// Ends when the process is asked to, politely.
pub(crate) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
