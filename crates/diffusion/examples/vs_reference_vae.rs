//! Our side of `benches/vs_reference/vae.py`: does what it is told, line by line.
//!
//!     vs_reference_vae (decode | encode) FOLDER f32
//!
//! Says `ready` when the autoencoder is in memory. Then `run` computes once and `write FILE` writes the last result as
//! 32-bit numbers; each is answered with `done`. Whoever asks measures.

use std::io::{BufRead as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use diffusion::wan::{WanVae, WanVaeConfig, WanVaePart};
use diffusion::{Checkpoint, Error};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, folder, precision] = &arguments[..] else {
        return Err("vs_reference_vae (decode | encode) FOLDER f32".into());
    };
    if precision != "f32" {
        return Err(format!("the autoencoder does not compute in {precision}").into());
    }
    let (decoding, folder) = (what == "decode", Path::new(folder));
    let device = Device::flex();
    let config: WanVaeConfig = serde_json::from_slice(&std::fs::read(folder.join("vae/config.json"))?)?;
    let weights = Checkpoint::open_sharded(&folder.join("vae"), "diffusion_pytorch_model")?;
    let part = if decoding { WanVaePart::Decoder } else { WanVaePart::Encoder };
    let vae = WanVae::read(&config, &weights, part, &device)?;
    drop(weights);
    let inputs = Checkpoint::open(&folder.join("vae.safetensors"))?;
    let name = if decoding { "latents" } else { "video" };
    let shape: [usize; 5] = inputs.shape(name).ok_or("nothing to work on")?.try_into()?;
    let input = Tensor::<5>::from_data(TensorData::new(inputs.values(name, &shape)?, shape), &device);

    let answer = |word: &str| {
        println!("{word}");
        std::io::stdout().flush()
    };
    answer("ready")?;
    let mut last = Tensor::zeros([1; 5], &device);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            None if line == "run" && decoding => {
                let mut pieces = Vec::new();
                vae.reconstruct(
                    input.clone(),
                    None,
                    || ControlFlow::Continue(()),
                    |piece| {
                        pieces.push(piece);
                        Ok::<_, Error>(())
                    },
                )?;
                last = Tensor::cat(pieces, 2);
            }
            None if line == "run" => last = vae.posterior(input.clone(), None)?.mean,
            Some(("write", path)) => {
                let values: Vec<f32> = last.clone().into_data().try_to_vec().map_err(|error| format!("{error:?}"))?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                std::fs::write(path, bytes)?;
            }
            _ => return Err(format!("{line:?} means nothing").into()),
        }
        answer("done")?;
    }
    Ok(())
}
