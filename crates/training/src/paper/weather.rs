//! Rain, snow and wind: few, large strips of paper whose places are functions of the time.

use super::draw::{CREAM, Canvas, Piece, Rgb, blob, disc, ribbon};
use super::motion::{Stage, scatter};
use super::scene::{TimeOfDay, Weather};
use std::f32::consts::TAU;
use tiny_skia::Transform;

/// Draws what falls or blows at `time_s`; `transform` is from shorts to pixels.
pub(super) fn draw(
    canvas: &mut Canvas,
    weather: Weather,
    light: TimeOfDay,
    seed: u64,
    time_s: f32,
    stage: Stage,
    transform: Transform,
) {
    let pieces = match weather {
        Weather::Clear => return,
        Weather::Rain => rain(seed, time_s, stage, light),
        Weather::Snow => snow(seed, time_s, stage),
        Weather::Wind => wind(seed, time_s, stage),
    };
    for piece in &pieces {
        canvas.fill(piece, transform);
    }
}

/// Elements for this stage, given how many a 16:9 one has; a multiple of two.
fn count(stage: Stage, landscape: f32) -> u64 {
    ((landscape * stage.width * stage.height / 1.8) as u64).clamp(10, 40)
}

fn rain(seed: u64, time_s: f32, stage: Stage, light: TimeOfDay) -> Vec<Piece> {
    let strip: Rgb = if light == TimeOfDay::Night { [120, 170, 240] } else { [74, 124, 206] };
    let count = count(stage, 18.0);
    let (length, slant) = (0.17, -0.26);
    let reach = stage.height + length * 2.0;
    let mut pieces = Vec::with_capacity(count as usize * 2);
    for at in 0..count {
        let lane = (at as f32 + 0.3 + 0.4 * scatter(seed, at + 1000)) / count as f32;
        let start = ((at * 7) % count) as f32 / count as f32 + 0.3 * scatter(seed, at + 1100);
        let fallen = (start * reach + 1.15 * time_s).rem_euclid(reach);
        let y = fallen - length;
        let width = stage.width - slant * stage.height;
        let x = lane * width + slant * fallen;
        let line = [(x, y), (x + slant * length, y + length)];
        pieces.push(Piece::new(ribbon(&line, 0.046), [240, 247, 255]).faint(0.75));
        pieces.push(Piece::new(ribbon(&line, 0.026), strip));
    }
    pieces
}

fn snow(seed: u64, time_s: f32, stage: Stage) -> Vec<Piece> {
    let count = count(stage, 20.0);
    let reach = stage.height + 0.16;
    let mut pieces = Vec::with_capacity(count as usize * 2);
    for at in 0..count {
        let dice = |kind: u64| scatter(seed, at + 1000 + kind * 100);
        let lane = (at as f32 + 0.2 + 0.6 * dice(0)) / count as f32;
        let start = ((at * 7) % count) as f32 / count as f32 + 0.2 * dice(1);
        let y = (start * reach + (0.20 + 0.08 * dice(2)) * time_s).rem_euclid(reach) - 0.08;
        let x = lane * stage.width + 0.035 * (TAU * (0.35 * time_s + dice(3))).sin();
        let radius = 0.026 + 0.014 * dice(4);
        pieces.push(Piece::new(disc(x + 0.004, y + 0.008, radius + 0.008, radius + 0.008), [96, 120, 160]).faint(0.45));
        pieces.push(Piece::new(disc(x, y, radius, radius), [255, 255, 255]));
    }
    pieces
}

fn wind(seed: u64, time_s: f32, stage: Stage) -> Vec<Piece> {
    let count = count(stage, 11.0);
    let mut pieces = Vec::with_capacity(count as usize * 2);
    for at in 0..count {
        let dice = |kind: u64| scatter(seed, at + 1000 + kind * 100);
        let row = ((at * 5 % count) as f32 + 0.2 + 0.6 * dice(0)) / count as f32 * stage.height;
        let reach = stage.width + 1.2;
        let start = (at as f32 / count as f32 + 0.2 * dice(1)) * reach;
        let x = (start + (0.95 + 0.3 * dice(2)) * time_s).rem_euclid(reach) - 0.6;
        if at % 2 == 0 {
            // A gust: a long stroke that ends in a curl.
            let mut line: Vec<(f32, f32)> =
                (0..8).map(|step| (x - 0.42 + step as f32 * 0.06, row + 0.02 * (step as f32 * 0.9).sin())).collect();
            let (cx, cy) = (x, row - 0.055);
            line.extend((0..7).map(|step| {
                let angle = 1.4 - step as f32 * 0.68;
                (cx + 0.06 * angle.cos(), cy + 0.06 * angle.sin())
            }));
            pieces.push(Piece::new(ribbon(&line, 0.044), [110, 130, 160]).faint(0.35));
            pieces.push(Piece::new(ribbon(&line, 0.028), [250, 252, 250]));
        } else {
            let leaf = [[196, 92, 40], [226, 160, 50], [110, 140, 60]][(at / 2 % 3) as usize];
            let y = row + 0.05 * (TAU * (0.8 * time_s + dice(3))).sin();
            let shape =
                |r: f32| blob(&[(x - r, y), (x - r * 0.2, y - r * 0.55), (x + r, y), (x - r * 0.2, y + r * 0.55)]);
            let turn = TAU * (0.7 * time_s + dice(4));
            pieces.push(Piece::new(shape(0.074), CREAM).turned(turn, (x, y)));
            pieces.push(Piece::new(shape(0.056), leaf).turned(turn, (x, y)));
        }
    }
    pieces
}
