//! The figures of a run: a CSV that grows by a line a step, and a picture of its curves.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// Figures by name, kept in memory and in `curves.csv`.
pub(crate) struct Curves {
    folder: PathBuf,
    file: File,
    series: Vec<(String, Vec<(usize, f32)>)>,
}

/// Figures are shown as the mean of this many last steps.
const SMOOTHING: usize = 25;

impl Curves {
    /// Opens the curves of a run, with what an earlier part of it wrote.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("curves.csv");
        let mut series = Vec::new();
        for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
            let mut fields = line.split(',');
            let (Some(step), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next()) else { continue };
            if let (Ok(step), Ok(value)) = (step.parse(), value.parse()) {
                push(&mut series, name, step, value);
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { folder: folder.to_owned(), file, series })
    }

    /// Adds the figures of one step; the file has a line `step,name,value` for each.
    pub(crate) fn push(&mut self, step: usize, figures: &[(&'static str, f32)]) -> Result<()> {
        let mut lines = String::new();
        for &(name, value) in figures {
            lines += &format!("{step},{name},{value}\n");
            push(&mut self.series, name, step, value);
        }
        self.file.write_all(lines.as_bytes()).context("curves.csv cannot be written")
    }

    /// One line: where the run is, how long it will take, every figure smoothed.
    pub(crate) fn status(&self, step: usize, steps: usize, left: Duration) -> String {
        let mut line = format!("{step}/{steps}  {:.0} min left", left.as_secs_f64() / 60.0);
        for (name, values) in &self.series {
            let last = &values[values.len().saturating_sub(SMOOTHING)..];
            let mean = last.iter().map(|(_, value)| value).sum::<f32>() / last.len() as f32;
            line += &format!("  {name} {mean:.4}");
        }
        line
    }
}

fn push(series: &mut Vec<(String, Vec<(usize, f32)>)>, name: &str, step: usize, value: f32) {
    match series.iter_mut().find(|(known, _)| known == name) {
        Some((_, values)) => values.push((step, value)),
        None => series.push((name.to_owned(), vec![(step, value)])),
    }
}

impl Curves {
    /// Draws every figure into `curves.png`, one panel each, smoothed.
    pub(crate) fn draw(&self) -> Result<()> {
        const PANEL: (u32, u32) = (480, 200);
        let rows = self.series.len().div_ceil(2) as u32;
        let mut picture = image::RgbImage::from_pixel(PANEL.0 * 2, PANEL.1 * rows.max(1), image::Rgb([250, 248, 242]));
        for (index, (_, values)) in self.series.iter().enumerate() {
            let origin = (index as u32 % 2 * PANEL.0, index as u32 / 2 * PANEL.1);
            let smooth = smoothed(values);
            let (low, high) = smooth.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let span = (high - low).max(1e-9);
            let mut last = None;
            for (at, value) in smooth.iter().enumerate() {
                let x = 10 + at as u32 * (PANEL.0 - 20) / smooth.len() as u32;
                let y = 10 + ((high - value) / span * (PANEL.1 - 20) as f32) as u32;
                let from = last.unwrap_or(y);
                for y in from.min(y)..=from.max(y) {
                    picture.put_pixel(origin.0 + x, origin.1 + y, image::Rgb([196, 64, 48]));
                }
                last = Some(y);
            }
        }
        picture.save(self.folder.join("curves.png")).context("curves.png cannot be written")
    }
}

fn smoothed(values: &[(usize, f32)]) -> Vec<f32> {
    values
        .windows(SMOOTHING.min(values.len()).max(1))
        .map(|window| window.iter().map(|(_, value)| value).sum::<f32>() / window.len() as f32)
        .collect()
}
