//! The figures of a run: a CSV that grows by a line a step, and a picture of its curves.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// Figures by name, kept in memory and in `curves.csv`.
pub(crate) struct Curves {
    folder: PathBuf,
    file: File,
    series: Vec<(String, Vec<(usize, f32)>)>,
    /// Lines of the board that stands in the terminal.
    board_lines: usize,
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
        Ok(Self { folder: folder.to_owned(), file, series, board_lines: 0 })
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

    /// Tells on standard error where the run is: a board of curves that is drawn over itself in a terminal, one line
    /// each time anywhere else.
    pub(crate) fn tell(&mut self, step: usize, steps: usize, left: Duration) {
        let head = format!("{step}/{steps}  {:.0} min left", left.as_secs_f64() / 60.0);
        if !std::io::stderr().is_terminal() {
            let figures: String =
                self.series.iter().map(|(name, values)| format!("  {name} {:.4}", recent(values))).collect();
            eprintln!("{head}{figures}");
            return;
        }
        let mut board = String::new();
        if self.board_lines > 0 {
            // Up over the last board, and clear what it wrote.
            board += &format!("\x1b[{}A\x1b[J", self.board_lines);
        }
        board += &format!("{head}\n");
        for (name, values) in &self.series {
            board += &format!("{name:>16} {:10.4}  {}\n", recent(values), sparkline(values));
        }
        self.board_lines = self.series.len() + 1;
        eprint!("{board}");
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

/// The mean of the last values.
fn recent(values: &[(usize, f32)]) -> f32 {
    let last = &values[values.len().saturating_sub(SMOOTHING)..];
    last.iter().map(|(_, value)| value).sum::<f32>() / last.len().max(1) as f32
}

/// A curve of one line: the whole run in 60 columns of eight heights.
fn sparkline(values: &[(usize, f32)]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const COLUMNS: usize = 60;
    let smooth = smoothed(values);
    let (low, high) = smooth.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let columns = COLUMNS.min(smooth.len());
    (0..columns)
        .map(|column| {
            let value = smooth[column * smooth.len() / columns];
            HEIGHTS[((value - low) / (high - low).max(1e-9) * 7.0).round() as usize]
        })
        .collect()
}

fn smoothed(values: &[(usize, f32)]) -> Vec<f32> {
    values
        .windows(SMOOTHING.min(values.len()).max(1))
        .map(|window| window.iter().map(|(_, value)| value).sum::<f32>() / window.len() as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_figure_falls_in_the_sparkline() {
        let values: Vec<(usize, f32)> = (0..200).map(|step| (step, 200.0 - step as f32)).collect();
        let line = sparkline(&values);
        assert!(line.starts_with('█') && line.ends_with('▁') && line.chars().count() == 60, "{line}");
    }

    #[test]
    fn curves_go_on_where_an_earlier_run_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        for step in 0..3 {
            let mut curves = Curves::open(folder.path()).expect("curves");
            curves.push(step, &[("loss", 1.0 / (step + 1) as f32)]).expect("a line");
            assert_eq!(curves.series[0].1.len(), step + 1);
            curves.draw().expect("a picture");
        }
        assert!(folder.path().join("curves.png").exists());
    }
}
