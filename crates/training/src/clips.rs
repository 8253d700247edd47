//! Clips of the paper world as tensors: which shapes, which window of time, which scene.

use burn::tensor::{Device, Tensor, TensorData};
use diffusion::VaeConfig;
use media::{Frame, Size};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use crate::paper::{Motion, Renderer, Scene};

/// Frames a second of everything the paper family sees and makes.
pub const FRAME_RATE: u32 = 12;

/// The native sizes of a model: landscape, portrait, square. Every side is a multiple of the latent grid.
pub fn native_sizes(vae: &VaeConfig) -> [Size; 3] {
    vae.native_sizes.map(|[width, height]| Size::new(width, height))
}

/// A generator for one purpose: the same for the same seed and the same place in the run.
pub(crate) fn generator(seed: u64, step: usize, worker: usize) -> Pcg64 {
    // Spread out, or neighbouring seeds would have the same streams at neighbouring steps.
    let mut state = seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ 0x9e37_79b9_7f4a_7c15;
    for part in [step as u64, worker as u64] {
        state = (state ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 32;
    }
    Pcg64::seed_from_u64(state)
}

/// One of the native sizes: landscape in half of the cases.
pub(crate) fn draw_size(vae: &VaeConfig, random: &mut Pcg64) -> Size {
    native_sizes(vae)[[0, 0, 1, 2][random.random_range(0..4)]]
}

/// Where in the scene a window of `frames` frames starts, in seconds. Scenes that fade in start at
/// their beginning, and so do half of the others.
pub(crate) fn draw_start(scene: &Scene, frames: usize, random: &mut Pcg64) -> f32 {
    let spare = scene.duration_s - frames as f32 / FRAME_RATE as f32;
    let from_start = scene.shots[0].main().motion == Motion::FadesIn || random.random_bool(0.5);
    if from_start || spare <= 0.0 { 0.0 } else { random.random_range(0.0..spare) }
}

/// The frames of a scene from `start_s` on.
pub(crate) fn render(scene: &Scene, size: Size, start_s: f32, frames: usize) -> Vec<Frame> {
    let renderer = Renderer::new(scene, size);
    (0..frames).map(|index| renderer.frame(start_s + index as f32 / FRAME_RATE as f32)).collect()
}

/// The seconds at which latent frames stand: the first frame at 0, then the middle of each block of `block_frames`.
pub fn latent_times_s(block_frames: usize, first: usize, count: usize) -> Vec<f32> {
    let block = block_frames as f32;
    let middle = |index: usize| (block * index as f32 - (block - 1.0) / 2.0).max(0.0);
    (first..first + count).map(|index| middle(index) / FRAME_RATE as f32).collect()
}

/// Latent frames of at least so many seconds.
pub fn latent_frames(block_frames: usize, seconds: u32) -> usize {
    1 + ((seconds * FRAME_RATE) as usize).div_ceil(block_frames)
}

/// Clips of one size and length as `[B, T, H, W, 3]` in −1…1.
///
/// Panics if the clips differ in size or length: they come from one batch.
pub fn clips_to_tensor(clips: &[Vec<Frame>], device: &Device) -> Tensor<5> {
    let size = clips[0][0].size();
    let frames = clips[0].len();
    let mut values = Vec::with_capacity(clips.len() * frames * size.pixels() * 3);
    for frame in clips.iter().flatten() {
        assert_eq!(frame.size(), size, "one size a batch");
        values.extend(frame.rgb().iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
    }
    let shape = [clips.len(), frames, size.height as usize, size.width as usize, 3];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The frames of the first clip of `[B, T, H, W, 3]`, values outside −1…1 clamped.
pub fn tensor_to_frames(video: Tensor<5>) -> Vec<Frame> {
    let [_, frames, height, width, _] = video.dims();
    let size = Size::new(width as u32, height as u32);
    let values = video.narrow(0, 0, 1).into_data().try_to_vec::<f32>().expect("pixels are f32");
    values
        .chunks_exact(size.pixels() * 3)
        .take(frames)
        .map(|chunk| {
            let rgb = chunk.iter().map(|&value| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect();
            Frame::new(size, rgb).expect("the buffer was cut to the size")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_seeds_steps_or_workers_draw_the_same() {
        let mut seen = HashSet::new();
        for seed in 0..8 {
            for (step, worker) in (0..200).flat_map(|step| (0..3).map(move |worker| (step, worker))) {
                assert!(seen.insert(generator(seed, step, worker).random::<u64>()), "{seed}, {step}, {worker}");
            }
        }
    }
}
