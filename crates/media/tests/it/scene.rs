//! A drawn scene with what is hard for a codec: gradients that move, edges, saturated colours.

use media::{Clip, Frame, FrameRate, Size};

/// A sky that changes its colour, a sun that crosses it, and a box that goes the other way.
pub(crate) fn frame(size: Size, time: f32) -> Frame {
    let (width, height) = (size.width as f32, size.height as f32);
    let mut frame = Frame::filled(size, [0; 3]);
    let (sun_x, sun_y) = ((0.1 + 0.15 * time) * width, (0.3 + 0.05 * (time * 2.0).sin()) * height);
    let (radius, box_x) = (0.12 * width.min(height), (0.8 - 0.1 * time) * width);
    for (index, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
        let x = (index % size.width as usize) as f32;
        let y = (index / size.width as usize) as f32;
        let (u, v) = (x / width, y / height);
        let mut colour = [60.0 + 120.0 * v, 120.0 + 60.0 * (u + 0.2 * time).sin(), 220.0 - 120.0 * v];
        if v > 0.75 {
            colour = [50.0 + 40.0 * u, 140.0 - 60.0 * (v - 0.75) * 4.0, 60.0];
        }
        // Edges are a pixel soft, as a drawing library makes them.
        let sun = (radius - (x - sun_x).hypot(y - sun_y) + 0.5).clamp(0.0, 1.0);
        let inside = (0.1 * width - (x - box_x).abs() + 0.5).min(0.1 * height - (y - 0.8 * height).abs() + 0.5);
        mix(&mut colour, [250.0, 200.0, 40.0], sun);
        mix(&mut colour, [200.0, 40.0, 50.0], inside.clamp(0.0, 1.0));
        for (channel, value) in pixel.iter_mut().zip(colour) {
            *channel = value.round() as u8;
        }
    }
    frame
}

fn mix(colour: &mut [f32; 3], other: [f32; 3], share: f32) {
    for (channel, other) in colour.iter_mut().zip(other) {
        *channel += (other - *channel) * share;
    }
}

/// The first `count` frames of the scene.
pub(crate) fn clip(size: Size, frame_rate: FrameRate, count: usize) -> Clip {
    let frames = (0..count).map(|index| frame(size, (index as f64 / frame_rate.as_f64()) as f32)).collect();
    Clip::new(frames, frame_rate).unwrap()
}

/// Peak signal to noise ratio over all channels, in decibels.
pub(crate) fn psnr(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let squares: u64 = a.rgb().iter().zip(b.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.rgb().len() as f64 / squares.max(1) as f64).log10()
}
