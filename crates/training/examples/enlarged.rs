//! Draws frames enlarged by a filter, by the upscaler of a model, and as they are drawn large, side by side, and says how long 49
//! frames take and how near they come in so many scenes: `cargo run --release -p training --example enlarged -- MODEL DIR 100`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use diffusion::{UPSCALER, Upscaler, UpscalerConfig, open_network, open_vae};
use media::{Filter, Frame, Size, resize};
use training::paper::{Mixture, Renderer, Scene, Split};
use training::{
    FRAME_RATE, clips_to_tensor, contact_sheet, enlarge, enlarged_size, measure_sharpness, native_sizes,
    tensor_to_frames,
};

/// Scenes that are drawn, in the three shapes by turns.
const SCENES: u64 = 12;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (model, folder) = arguments.next().zip(arguments.next()).context("give a model folder and one for pictures")?;
    let count =
        arguments.next().map_or(Ok(20), |count| count.to_string_lossy().parse()).context("scenes are a number")?;
    let device = Device::flex();
    let vae = open_vae(&model, &device)?;
    let upscaler =
        open_network(&model.join(UPSCALER), |config: &UpscalerConfig| Upscaler::new(config, &device))?.sharpener();
    let mixture = Mixture { puppets: 0.5, ..Mixture::default() };
    for seed in 0..SCENES {
        let scene = Scene::sample(2_000_000 + seed, Split::HeldOut, &mixture);
        let small_size = native_sizes(vae.config())[seed as usize % 3];
        let size = enlarged_size(small_size, upscaler.factor());
        let renderer = Renderer::new(&scene, small_size);
        let frames = 1 + vae.config().block_frames;
        let clip: Vec<Frame> = (0..frames).map(|index| renderer.frame(index as f32 / FRAME_RATE as f32)).collect();
        let decoded = tensor_to_frames(vae.decode(vae.encode(clips_to_tensor(std::slice::from_ref(&clip), &device))?));
        let drawn = Renderer::new(&scene, size).frame((frames - 1) as f32 / FRAME_RATE as f32);
        let mut row = Vec::new();
        for small in [&clip[frames - 1], &decoded[frames - 1]] {
            row.extend([resize(small, size, Filter::Lanczos3), enlarge(&upscaler, small), drawn.clone()]);
        }
        contact_sheet(&row, 3, 1).save(folder.join(format!("enlarged_{seed:02}.png")))?;
    }

    let small = Scene::sample(0, Split::HeldOut, &mixture).frame(1.0, Size::new(256, 144));
    for _ in 0..3 {
        let started = Instant::now();
        for _ in 0..49 {
            std::hint::black_box(enlarge(&upscaler, &small));
        }
        println!("49 frames of {} enlarged in {:.3} s", small.size(), started.elapsed().as_secs_f64());
    }
    println!("{}", measure_sharpness(&vae, &upscaler, Split::HeldOut, [count, 0], &device)?);
    Ok(())
}
