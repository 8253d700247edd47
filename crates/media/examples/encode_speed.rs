//! Frames a second of the H.264 encoder at 1280×720, on one thread and more, and what the steps around it cost.
//!
//! `cargo run --release -p media --example encode_speed [OUT.mp4]`

use std::num::NonZeroUsize;
use std::time::Instant;

use media::{Filter, Frame, FrameRate, Mp4Writer, Quality, ReadLimits, Resizer, Size, read_mp4};

const SIZE: Size = Size::new(1280, 720);
const FRAMES: usize = 48;

/// A gradient with grain under two moving discs.
fn frame(index: usize) -> Frame {
    let mut frame = Frame::filled(SIZE, [0; 3]);
    let time = index as f32 / 12.0;
    let mut noise = 1_u32;
    for (at, pixel) in frame.rgb_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = ((at % 1280) as f32, (at / 1280) as f32);
        // The same grain in every frame, as paper has it.
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 30) as f32;
        let mut colour = [90.0 + y / 8.0, 140.0 + x / 20.0, 230.0 - y / 6.0];
        for (centre, speed, paint) in [(200.0, 120.0, [240.0, 190.0, 50.0]), (1100.0, -90.0, [200.0, 50.0, 60.0])] {
            if (x - centre - speed * time).hypot(y - 360.0 - 80.0 * (time * 2.0).sin()) < 130.0 {
                colour = paint;
            }
        }
        for (channel, value) in pixel.iter_mut().zip(colour) {
            *channel = (value + grain) as u8;
        }
    }
    frame
}

fn main() {
    let frames: Vec<Frame> = (0..FRAMES).map(frame).collect();
    let mut file = Vec::new();
    for threads in [1, 2, 4] {
        for _ in 0..2 {
            let start = Instant::now();
            let threads = NonZeroUsize::new(threads).expect("not zero");
            let mut writer = Mp4Writer::with_threads(SIZE, FrameRate::whole(12), Quality::default(), threads)
                .expect("the settings are good");
            for frame in &frames {
                writer.push(frame).expect("the encoder works");
            }
            file = writer.finish().expect("the encoder works");
            let seconds = start.elapsed().as_secs_f64();
            println!("{threads} threads: {FRAMES} frames in {seconds:.3} s, {:.0} frames/s", FRAMES as f64 / seconds);
        }
    }
    println!("file: {} bytes, {:.0} kbit/s", file.len(), file.len() as f64 * 8.0 / 4000.0);

    let start = Instant::now();
    let clip = read_mp4(&file, &ReadLimits::default()).expect("our own file");
    let seconds = start.elapsed().as_secs_f64();
    println!("decode: {:.0} frames/s", clip.frames().len() as f64 / seconds);

    let small = Resizer::new().resize(&frames[0], Size::new(144, 80), Filter::Area);
    let mut resizer = Resizer::new();
    let mut large = Frame::filled(SIZE, [0; 3]);
    for filter in [Filter::Lanczos3, Filter::CatmullRom, Filter::Bilinear] {
        let start = Instant::now();
        for _ in 0..50 {
            resizer.cover_into(&small, &mut large, filter);
        }
        println!("cover 144x80 to {SIZE}, {filter:?}: {:.2} ms", start.elapsed().as_secs_f64() * 1000.0 / 50.0);
    }
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, file).expect("the path can be written");
    }
}
