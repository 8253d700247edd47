//! What the networks of a model folder say to fixed inputs, for `gpu/check.py`: `twin MODEL_FOLDER OUT_FOLDER`.

use std::path::Path;

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use diffusion::{LatentPositions, ModelFiles, PaperModel};
use training::{Captioner, latent_times_s};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, out] = arguments.as_slice() else { anyhow::bail!("twin MODEL_FOLDER OUT_FOLDER") };
    let (files, device) = (ModelFiles::Folder(model.into()), Device::flex());
    let out = Path::new(out);
    let networks = PaperModel::open(&files, &device)?;
    let block = networks.vae.config().block_frames;
    let channels = networks.vae.config().latent_channels;

    let video = waves([1, 1 + 2 * block, 48, 80, 3], &device);
    let latents = networks.vae.encode(video)?;
    save(latents.clone(), &out.join("latents.bin"))?;
    let wavy = waves([1, 3, 3, 5, channels], &device);
    save(networks.vae.decode(wavy.clone()), &out.join("pixels.bin"))?;

    let text = networks.text_encoder.forward(&[vec![5, 9, 300, 17, 2], vec![]], &device);
    save(text.tokens.clone(), &out.join("text.bin"))?;
    let wavy = Tensor::cat(vec![wavy.clone(), wavy * 0.5], 0);
    let times = Tensor::<1>::from_floats([0.0, 0.3, 0.3, 0.8, 0.9, 1.0], &device).reshape([2, 3]);
    let positions = LatentPositions { times_s: latent_times_s(block, 0, 3), rows: 3, columns: 5 };
    save(networks.transformer.forward(wavy.clone(), times, &text, &positions), &out.join("velocity.bin"))?;

    let captioner = Captioner::open(&files, &device)?;
    std::fs::write(out.join("readings.json"), serde_json::to_vec(&captioner.read(wavy))?)?;
    Ok(())
}

/// Values between −1 and 1 that any program can make again.
fn waves<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|at| ((at % 9973) as f64 * 0.37).sin() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn save<const D: usize>(tensor: Tensor<D>, path: &Path) -> Result<()> {
    let values = tensor.into_data().try_to_vec::<f32>()?;
    std::fs::write(path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
