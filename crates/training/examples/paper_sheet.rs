//! Draws contact sheets of the paper world: `cargo run --release -p training --example paper_sheet -- DIR`.

use media::Size;
use std::time::Instant;
use training::paper::{CaptionStyle, Mixture, Renderer, Scene, Split};

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "/tmp".to_owned());
    let mixture = Mixture::default();
    let scene = |seed| Scene::sample(seed, Split::Train, &mixture);

    let large: Vec<_> = (0..48).map(|seed| scene(seed).frame(1.5, Size::new(288, 160))).collect();
    save(&large, 6, &format!("{folder}/paper_sheet.png"));
    let native: Vec<_> = (100..180).map(|seed| scene(seed).frame(1.5, Size::new(144, 80))).collect();
    save(&native, 8, &format!("{folder}/paper_native.png"));
    let mut strips = Vec::new();
    for seed in 200..216 {
        let scene = scene(seed);
        let renderer = Renderer::new(&scene, Size::new(144, 80));
        strips.extend((0..8).map(|at| renderer.frame(at as f32 * 0.5)));
    }
    save(&strips, 8, &format!("{folder}/paper_strips.png"));
    let tall: Vec<_> = (300..324).map(|seed| scene(seed).frame(1.5, Size::new(160, 288))).collect();
    save(&tall, 8, &format!("{folder}/paper_portrait.png"));
    let square: Vec<_> = (400..424).map(|seed| scene(seed).frame(1.5, Size::new(112, 112))).collect();
    save(&square, 8, &format!("{folder}/paper_square.png"));
    let puppets = (0..).map(scene).filter(|scene| scene.shots[0].main().puppet.is_some()).take(24);
    let puppets: Vec<_> = puppets.map(|scene| scene.portrait(0, Size::new(112, 112))).collect();
    save(&puppets, 8, &format!("{folder}/paper_puppets.png"));
    save(&[scene(7).frame(1.5, Size::new(1280, 720))], 1, &format!("{folder}/paper_720.png"));

    for seed in 200..216 {
        for &style in CaptionStyle::ALL {
            println!("{seed} {style:?}: {}", scene(seed).caption(style, seed));
        }
    }
    for (size, scenes) in [(Size::new(144, 80), 100), (Size::new(1280, 720), 10)] {
        let start = Instant::now();
        for seed in 0..scenes {
            let scene = scene(seed);
            let renderer = Renderer::new(&scene, size);
            (0..48).for_each(|at| drop(renderer.frame(at as f32 / 12.0)));
        }
        println!("{size}: {:.0} frames/s", (scenes * 48) as f64 / start.elapsed().as_secs_f64());
    }
}

/// Writes frames of one size as a grid.
fn save(frames: &[media::Frame], columns: u32, path: &str) {
    let (size, gap) = (frames[0].size(), 4);
    let rows = (frames.len() as u32).div_ceil(columns);
    let mut sheet = image::RgbImage::new(columns * (size.width + gap), rows * (size.height + gap));
    for (at, frame) in frames.iter().enumerate() {
        let (left, top) = (at as u32 % columns * (size.width + gap), at as u32 / columns * (size.height + gap));
        for y in 0..size.height {
            for x in 0..size.width {
                sheet.put_pixel(left + x, top + y, image::Rgb(frame.pixel(x, y)));
            }
        }
    }
    sheet.save(path).expect("the sheet can be written");
}
