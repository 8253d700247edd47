//! Our side of `benches/vs_reference`: does what it is told, line by line.
//!
//!     vs_reference dit FOLDER PRECISION [gpu]
//!     vs_reference paper FOLDER f32 [gpu]
//!     vs_reference attention FOLDER PRECISION
//!
//! Says `ready` when everything is in memory. Then `run` computes once and `write FILE` writes the last result as 32-bit
//! numbers; each is answered with `done`. Whoever asks measures.

use std::io::{BufRead as _, Write as _};
use std::path::Path;

use burn::tensor::{Device, Tensor};
use diffusion::wan::{Precision, WanTransformer, WanTransformerConfig};
use diffusion::{Checkpoint, Dit, DitConfig, LatentPositions, TextStates, open_network};
use kernels::{Keys, OnlineAttention};

type Failure = Box<dyn std::error::Error>;
/// Computes once.
type Run = Box<dyn FnMut() -> Result<Vec<f32>, Failure>>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, folder, precision, device) = match &arguments[..] {
        [what, folder, precision] => (what, folder, precision, Device::flex()),
        [what, folder, precision, place] if place == "gpu" => (what, folder, precision, gpu()?),
        _ => return Err("vs_reference (dit | paper | attention) FOLDER PRECISION [gpu]".into()),
    };
    let (folder, precision) = (Path::new(folder), precision.parse::<Precision>()?);
    let mut run = match what.as_str() {
        "dit" => dit(folder, precision, device)?,
        "paper" => paper(folder, device)?,
        "attention" if device == Device::flex() => attention(folder, precision)?,
        other => return Err(format!("there is no {other} to measure").into()),
    };
    let answer = |word: &str| {
        println!("{word}");
        std::io::stdout().flush()
    };
    answer("ready")?;
    let mut last = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            None if line == "run" => last = run()?,
            Some(("write", path)) => {
                let bytes: Vec<u8> = last.iter().flat_map(|value| value.to_le_bytes()).collect();
                std::fs::write(path, bytes)?;
            }
            _ => return Err(format!("{line:?} means nothing").into()),
        }
        answer("done")?;
    }
    Ok(())
}

#[cfg(feature = "vulkan")]
fn gpu() -> Result<Device, Failure> {
    Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "vulkan"))]
fn gpu() -> Result<Device, Failure> {
    Err("this was built without the feature vulkan".into())
}

/// One evaluation of the transformer, after its prompt was read.
fn dit(folder: &Path, precision: Precision, device: Device) -> Result<Run, Failure> {
    let config = std::fs::read(folder.join("transformer/config.json"))?;
    let config: WanTransformerConfig = serde_json::from_slice(&config)?;
    let weights = Checkpoint::open_sharded(&folder.join("transformer"), "diffusion_pytorch_model")?;
    let transformer = WanTransformer::read(&config, &weights, precision, false, &device)?;
    let inputs = Checkpoint::open(&folder.join("dit.safetensors"))?;
    let shape = |name: &str| inputs.shape(name).map(<[usize]>::to_vec).ok_or(format!("there are no {name}"));
    let latents_shape: [usize; 5] = shape("latents")?.try_into().map_err(|_| "latents of five axes")?;
    let text_shape: [usize; 3] = shape("text")?.try_into().map_err(|_| "a text of three axes")?;
    let latents = inputs.tensor::<5>("latents", latents_shape, &device)?;
    let text = inputs.tensor::<3>("text", text_shape, &device)?;
    let timesteps = inputs.values("timestep", &[1])?;
    let context = transformer.context(text, None)?;
    Ok(Box::new(move || {
        let velocity = transformer.forward(latents.clone(), &timesteps, &context)?;
        Ok(velocity.into_data().try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?)
    }))
}

/// One evaluation of paper-1's transformer.
fn paper(folder: &Path, device: Device) -> Result<Run, Failure> {
    let dit = open_network(&folder.join("transformer"), |config: &DitConfig| Dit::new(config, &device))?;
    let inputs = Checkpoint::open(&folder.join("paper.safetensors"))?;
    let shape: [usize; 5] = inputs.shape("latents").ok_or("there are no latents")?.try_into()?;
    let [batch, frames, rows, columns, _] = shape;
    let latents = inputs.tensor::<5>("latents", shape, &device)?;
    let timesteps = inputs.tensor::<2>("timesteps", [batch, frames], &device)?;
    let shape: [usize; 3] = inputs.shape("text").ok_or("there is no text")?.try_into()?;
    let [_, length, width] = shape;
    let tokens = inputs.tensor::<3>("text", shape, &device)?;
    let text = TextStates {
        mask: Tensor::zeros([batch, 1, 1, length], &device),
        pooled: tokens.clone().narrow(1, 0, 1).reshape([batch, width]),
        tokens,
    };
    let positions = LatentPositions { times_s: inputs.values("times_s", &[frames])?, rows, columns };
    Ok(Box::new(move || {
        let velocity = dit.forward(latents.clone(), timesteps.clone(), &text, &positions);
        Ok(velocity.into_data().try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?)
    }))
}

/// Attention of all tokens to all, with its ordering of keys and values.
fn attention(folder: &Path, precision: Precision) -> Result<Run, Failure> {
    let inputs = Checkpoint::open(&folder.join("attention.safetensors"))?;
    let &[tokens, heads, head_width] = inputs.shape("query").ok_or("there is no query")? else {
        return Err("a query of three axes".into());
    };
    let shape = [tokens, heads, head_width];
    let [query, key, value] = ["query", "key", "value"].map(|name| inputs.values(name, &shape));
    let (query, key, value) = (query?, key?, value?);
    let scale = (head_width as f32).powf(-0.5);
    Ok(Box::new(move || {
        let mut out = vec![0.0; query.len()];
        if precision == Precision::F32 {
            let (query, key, value, path) = (&query[..], &key[..], &value[..], kernels::Path::Vectors);
            let call = OnlineAttention { heads, head_width, query, key, value, bias: None, scale, path };
            kernels::attend(&call, &mut out);
        } else {
            Keys::new(heads, head_width, &key, &value, None).attend(&query, scale, &mut out);
        }
        Ok(out)
    }))
}
