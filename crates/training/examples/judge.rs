//! Trains and tries the judge; the product's command line has the same functions.

use std::path::Path;

use anyhow::Context as _;
use burn::tensor::Device;
use training::{Captioner, CaptionerStageConfig, EvaluationOptions, evaluate, train_captioner};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let models = Path::new("models/paper-1-nano");
    match args[1].as_str() {
        "train" => {
            let config: CaptionerStageConfig = serde_json::from_str(&std::fs::read_to_string(&args[2])?)?;
            let vae = diffusion::open_vae(models, &Device::flex())?;
            // Where the weights go is said on the command line, so that a trial never replaces the shipped ones.
            let destination = Path::new(args.get(4).context("say which model folder gets the weights")?);
            train_captioner(&config, vae, Path::new(&args[3]))?.save(destination)?;
        }
        // A random autoencoder: only how long a step takes can be learned from this.
        "time" => {
            let config: CaptionerStageConfig = serde_json::from_str(&std::fs::read_to_string(&args[2])?)?;
            let vae = diffusion::Vae::new(&diffusion::VaeConfig::nano(), &Device::flex());
            train_captioner(&config, vae, Path::new(&args[3]))?;
        }
        "eval" => {
            let device = Device::flex();
            let files = diffusion::ModelFiles::Folder(models.to_owned());
            let model = diffusion::PaperModel::open(&files, &device)?;
            let captioner = Captioner::open(&files, &device)?;
            let small = args.get(3).map(|n| n.parse()).transpose()?.unwrap_or(12);
            let options = EvaluationOptions {
                count: args[2].parse()?,
                references: small,
                first_frames: small,
                extensions: small,
                drifts: small.min(2),
                ..EvaluationOptions::default()
            };
            let found = evaluate(&model, &captioner, &options, |progress| {
                if progress.done % 10 == 0 {
                    eprintln!("{} {}/{}", progress.part, progress.done, progress.total);
                }
            })?;
            println!("{found}");
            let folder = Path::new("runs/nano/eval");
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join("evaluation.json"), serde_json::to_string_pretty(&found)?)?;
            if let Some(sheet) = found.failures_sheet() {
                sheet.save(folder.join("failures.png"))?;
            }
        }
        other => anyhow::bail!("no such mode: {other}"),
    }
    Ok(())
}
