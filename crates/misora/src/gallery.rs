//! `misora gallery`: clips of withheld prompts as they come, in a folder with a page.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use media::{Filter, Frame, ReadLimits, Size, encode_jpeg, read_mp4, resize};
use render::{OutputSize, VideoRequest, render};
use training::contact_sheet;
use training::paper::{CaptionStyle, Mixture, Scene, Split};

use crate::arguments::GalleryOptions;
use crate::generate::render_options;
use crate::model::{OpenModel, signing_key};
use crate::output::{usage, write_whole};
use crate::wan::WanChoices;

/// Columns of the contact sheet, and the size of a picture on it.
const COLUMNS: usize = 6;
const CELL: Size = Size::new(256, 144);

/// Makes one clip of each prompt, the first that comes, and writes the page.
pub(crate) fn run(options: &GalleryOptions) -> Result<ExitCode> {
    if options.output.exists() && options.output.read_dir().map_or(true, |mut entries| entries.next().is_some()) {
        return Err(usage(format!("{} is there already and not empty: name a new folder", options.output.display())));
    }
    std::fs::create_dir_all(&options.output)
        .with_context(|| format!("the folder {} cannot be made", options.output.display()))?;
    let key = signing_key(options.places.home.as_deref())?;
    let (model, home) = (options.places.model.as_deref(), options.places.home.as_deref());
    let model = OpenModel::open(model, home, WanChoices::default(), options.places.device.open()?)?;
    let bar = ProgressBar::new(options.count.into());
    let (mut entries, mut pictures) = (Vec::new(), Vec::new());
    for index in 0..u64::from(options.count) {
        let seed = options.seed.wrapping_add(index);
        let prompt = prompt(seed, index);
        let request = VideoRequest::new(prompt.parse()?, options.size, options.seconds, seed);
        let go_on = &mut |_| ControlFlow::Continue(());
        let made = render(model.as_model(), &request, None, &key, &render_options(true), go_on)?;
        let clip = read_mp4(made.video.bytes(), &ReadLimits::default())?;
        let middle = &clip.frames()[clip.frames().len() / 2];
        let name = format!("{:02}", index + 1);
        write_whole(&options.output.join(format!("{name}.mp4")), made.video.bytes())?;
        write_whole(&options.output.join(format!("{name}.jpg")), &encode_jpeg(middle, 85)?)?;
        pictures.push(resize(middle, CELL, Filter::Area));
        entries.push((name, prompt, seed));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let sheet = contact_sheet(&pictures, COLUMNS, 1);
    let sheet = Frame::new(Size::new(sheet.width(), sheet.height()), sheet.into_raw())?;
    write_whole(&options.output.join("sheet.jpg"), &encode_jpeg(&sheet, 85)?)?;
    write_whole(&options.output.join("index.html"), page(&entries, options.size).as_bytes())?;
    println!("{}: {} clips, index.html, sheet.jpg", options.output.display(), entries.len());
    Ok(ExitCode::SUCCESS)
}

/// A prompt of a composition that training never saw; the styles take turns.
fn prompt(seed: u64, index: u64) -> String {
    let style = CaptionStyle::ALL[(index % CaptionStyle::ALL.len() as u64) as usize];
    Scene::sample(seed, Split::HeldOut, &Mixture::default()).caption(style, seed)
}

/// The page: every clip with its prompt, in order, nothing left out. Its prompts are of letters and commas alone.
fn page(entries: &[(String, String, u64)], size: OutputSize) -> String {
    let Size { width, height } = size.size();
    let figures: String = entries
        .iter()
        .map(|(name, prompt, seed)| {
            format!(
                "<figure><video src=\"{name}.mp4\" poster=\"{name}.jpg\" width=\"{width}\" height=\"{height}\" controls muted loop \
                 playsinline preload=\"none\"></video><figcaption>{prompt} <small>seed {seed}</small></figcaption></figure>\n"
            )
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>paper-1: {count} withheld prompts</title>\n<style>\n\
         body {{ margin: 2rem; font: 1rem/1.5 system-ui, sans-serif; color: #22304a; background: #faf8f2 }}\n\
         main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1.5rem }}\n\
         figure {{ margin: 0 }} video {{ width: 100%; height: auto; border-radius: .5rem }} small {{ color: #65718a }}\n\
         </style></head>\n<body><h1>paper-1: {count} withheld prompts</h1>\n\
         <p>Compositions that training never saw, one clip each, the first that came. None was chosen or left out.</p>\n\
         <main>\n{figures}</main></body></html>\n",
        count = entries.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_need_no_escaping() {
        for index in 0..500 {
            let prompt = prompt(index, index);
            assert!(!prompt.contains(['<', '>', '&', '"']), "{prompt}");
        }
    }

    #[test]
    fn the_page_has_every_clip() {
        let entries: Vec<_> = (0..48).map(|index| (format!("{index:02}"), prompt(index, index), index)).collect();
        let page = page(&entries, OutputSize::ALL[0]);
        assert_eq!(page.matches("<figure>").count(), 48);
        assert!(page.contains("47.mp4") && page.contains(&entries[47].1));
    }
}
