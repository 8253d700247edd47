use burn::tensor::Device;
use diffusion::*;
use std::path::Path;
use training::*;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&args[2])?;
    let folder = Path::new(&args[3]);
    let models = Path::new("models/paper-1-nano");
    match args[1].as_str() {
        "vae" => {
            let config: VaeStageConfig = serde_json::from_str(&text)?;
            let vae = train_vae(&config, folder)?;
            save_network(&models.join(VAE), vae.config(), &vae)?;
        }
        "text" => {
            let config: TextStageConfig = serde_json::from_str(&text)?;
            let tokenizer = train_tokenizer(&config, &models.join(TOKENIZER))?;
            let encoder = train_text(&config, tokenizer, folder)?;
            save_network(&models.join(TEXT_ENCODER), encoder.config(), &encoder)?;
        }
        "dit" => {
            let config: DitStageConfig = serde_json::from_str(&text)?;
            let device = Device::flex();
            let start = match args.get(4) {
                Some(path) => {
                    Some(open_network(Path::new(path), |c: &DitConfig| Dit::new(c, &Device::flex().autodiff()))?)
                }
                None => None,
            };
            let around = Surroundings {
                tokenizer: PromptTokenizer::read(&ModelFiles::Folder(models.into()))?,
                text_encoder: open_text_encoder(models, &device)?,
                vae: open_vae(models, &device)?,
            };
            let dit = train_dit(&config, around, start, folder)?;
            save_network(&models.join(TRANSFORMER), dit.config(), &dit)?;
        }
        "init" => {
            let device = Device::flex();
            let config: DitStageConfig = serde_json::from_str(&text)?;
            let dit = Dit::new(&config.model, &device);
            save_network(&models.join(TRANSFORMER), dit.config(), &dit)?;
            let config: CaptionerStageConfig =
                serde_json::from_str(&std::fs::read_to_string("configs/nano/captioner.json")?)?;
            Captioner::new(&config.model, &device).save(models)?;
        }
        _ => panic!(),
    }
    Ok(())
}
