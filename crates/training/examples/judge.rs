//! Trains and tries the judge; the product's command line has the same functions.

use std::path::Path;

use burn::tensor::Device;
use training::{CaptionerStageConfig, train_captioner};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let models = Path::new("models/paper-1-nano");
    match args[1].as_str() {
        "train" => {
            let config: CaptionerStageConfig = serde_json::from_str(&std::fs::read_to_string(&args[2])?)?;
            let vae = diffusion::open_vae(models, &Device::flex())?;
            train_captioner(&config, &vae, Path::new(&args[3]))?.save(models)?;
        }
        // A random autoencoder: only how long a step takes can be learned from this.
        "time" => {
            let config: CaptionerStageConfig = serde_json::from_str(&std::fs::read_to_string(&args[2])?)?;
            let vae = diffusion::Vae::new(&diffusion::VaeConfig::nano(), &Device::flex());
            train_captioner(&config, &vae, Path::new(&args[3]))?;
        }
        other => anyhow::bail!("no such mode: {other}"),
    }
    Ok(())
}
