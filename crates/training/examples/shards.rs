//! Draws the world for a trainer elsewhere: `shards CONFIG MODEL_FOLDER FOLDER WRITER [MOST_WAITING]`.
//!
//! Writes until a file `stop` lies in the folder, and waits while MOST_WAITING shards lie there unread. Start one for
//! each processor, with numbers from 0.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use diffusion::{ModelFiles, PromptTokenizer};
use training::{ShardConfig, write_shards};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, model, folder, writer, rest @ ..] = arguments.as_slice() else {
        anyhow::bail!("shards CONFIG MODEL_FOLDER FOLDER WRITER [MOST_WAITING]");
    };
    let config: ShardConfig = serde_json::from_slice(&std::fs::read(config).context("the configuration")?)?;
    let tokenizer = PromptTokenizer::read(&ModelFiles::Folder(model.into()))?;
    let most_waiting: usize = rest.first().map_or(Ok(500), |most| most.parse())?;
    let folder = Path::new(folder);
    write_shards(&config, &tokenizer, folder, writer.parse()?, || {
        loop {
            let waiting = std::fs::read_dir(folder).map_or(0, Iterator::count);
            if folder.join("stop").exists() || waiting < most_waiting {
                return folder.join("stop").exists();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    })
}
