//! `misora paper`: the world that the built-in model learned from.

use std::process::ExitCode;

use anyhow::Result;
use media::{FrameRate, Mp4Writer, Quality, Size};
use training::paper::{CaptionStyle, Mixture, Renderer, Scene, Split};
use training::{FRAME_RATE, contact_sheet};

use crate::arguments::PaperOptions;
use crate::output::{check_writable, write_whole};

/// Writes one scene as a clip, or 48 as a contact sheet, and prints the captions.
pub(crate) fn run(options: &PaperOptions) -> Result<ExitCode> {
    check_writable(&options.output)?;
    let split = if options.held_out { Split::HeldOut } else { Split::Train };
    let bytes = if options.sheet { sheet(options.seed, split)? } else { clip(options, split)? };
    write_whole(&options.output, &bytes)?;
    Ok(ExitCode::SUCCESS)
}

fn clip(options: &PaperOptions, split: Split) -> Result<Vec<u8>> {
    let scene = Scene::sample(options.seed, split, &Mixture::default());
    let renderer = Renderer::new(&scene, options.size.size());
    let mut writer = Mp4Writer::new(options.size.size(), FrameRate::whole(FRAME_RATE), Quality::default())?;
    for index in 0..(scene.duration_s * FRAME_RATE as f32) as usize {
        writer.push(&renderer.frame(index as f32 / FRAME_RATE as f32))?;
    }
    for &style in CaptionStyle::ALL {
        println!("{}", scene.caption(style, options.seed));
    }
    Ok(writer.finish()?)
}

fn sheet(first: u64, split: Split) -> Result<Vec<u8>> {
    let frames: Vec<_> = (first..first + 48)
        .map(|seed| {
            let scene = Scene::sample(seed, split, &Mixture::default());
            println!("{seed}: {}", scene.caption(CaptionStyle::Terse, seed));
            scene.frame(scene.duration_s / 2.5, Size::new(288, 160))
        })
        .collect();
    let mut png = std::io::Cursor::new(Vec::new());
    contact_sheet(&frames, 6, 1).write_to(&mut png, image::ImageFormat::Png)?;
    Ok(png.into_inner())
}
