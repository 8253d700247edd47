//! `misora train`: one command a stage; each reads what the earlier ones wrote into the model folder.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum as _;
use diffusion::{
    Dit, DitConfig, ModelFiles, PromptTokenizer, SCHEDULER, SamplingConfig, TEXT_ENCODER, TOKENIZER, TRANSFORMER,
    UPSCALER, Upscaler, UpscalerConfig, VAE, open_network, open_text_encoder, open_vae, save_network,
};
use serde::de::DeserializeOwned;
use training::{
    Captioner, Captions, DitStageConfig, Surroundings, TextStageConfig, UpscalerStageConfig, VaeStageConfig,
    train_captioner, train_dit, train_text, train_tokenizer, train_upscaler, train_vae,
};

use crate::arguments::{TrainOptions, TrainStage};

/// Trains one stage to its end and writes its weights.
pub(crate) fn run(options: &TrainOptions) -> Result<ExitCode> {
    let model = options.model.as_path();
    let run = options.run.clone().unwrap_or_else(|| {
        let stage = options.stage.to_possible_value().map(|value| value.get_name().to_owned());
        Path::new("runs/nano").join(stage.unwrap_or_default())
    });
    let run = run.as_path();
    let device = options.device.open()?;
    match options.stage {
        TrainStage::Vae => {
            let config: VaeStageConfig = read_config(&options.config)?;
            let vae = train_vae(&config, run, &device)?;
            save_network(&model.join(VAE), vae.config(), &vae)?;
        }
        TrainStage::Text => {
            let config: TextStageConfig = read_config(&options.config)?;
            let tokenizer = train_tokenizer(&config, &model.join(TOKENIZER))?;
            let encoder = train_text(&config, tokenizer, run, &device)?;
            save_network(&model.join(TEXT_ENCODER), encoder.config(), &encoder)?;
        }
        TrainStage::Dit => {
            let config: DitStageConfig = read_config(&options.config)?;
            let around = Surroundings {
                tokenizer: PromptTokenizer::read(&ModelFiles::Folder(model.to_owned()))?,
                text_encoder: open_text_encoder(model, &device)?,
                vae: open_vae(model, &device)?,
                captioner: (config.captions == Captions::Recaptioned)
                    .then(|| Captioner::open(&ModelFiles::Folder(model.to_owned()), &device))
                    .transpose()?,
            };
            let start = options
                .continue_weights
                .then(|| {
                    open_network(&model.join(TRANSFORMER), |config: &DitConfig| {
                        Dit::new(config, &device.clone().autodiff())
                    })
                })
                .transpose()?;
            let dit = train_dit(&config, around, start, run, &device)?;
            save_network(&model.join(TRANSFORMER), dit.config(), &dit)?;
            write_sampling(&model.join(SCHEDULER), config.shift)?;
        }
        TrainStage::Captioner => {
            let config = read_config(&options.config)?;
            train_captioner(&config, open_vae(model, &device)?, run, &device)?.save(model)?;
        }
        TrainStage::Upscaler => {
            let config: UpscalerStageConfig = read_config(&options.config)?;
            let start = options
                .continue_weights
                .then(|| {
                    open_network(&model.join(UPSCALER), |config: &UpscalerConfig| {
                        Upscaler::new(config, &device.clone().autodiff())
                    })
                })
                .transpose()?;
            let upscaler = train_upscaler(&config, open_vae(model, &device)?, start, run, &device)?;
            save_network(&model.join(UPSCALER), upscaler.config(), &upscaler)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how the model samples, unless somebody has said so already.
fn write_sampling(path: &Path, shift: f32) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let sampling = SamplingConfig { shift, ..SamplingConfig::default() };
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(path, serde_json::to_string_pretty(&sampling)? + "\n")?;
    Ok(())
}

fn read_config<C: DeserializeOwned>(path: &Path) -> Result<C> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not the configuration of this stage", path.display()))
}
