//! Landscapes as layers of paper, from far to near; each repeats after two frame widths so that a pan never ends.

use super::actors::paper;
use super::draw::{CREAM, Canvas, Piece, Rgb, blob, disc, mix, polygon, ribbon, shade, star};
use super::motion::{Stage, pan, scatter, wave};
use super::scene::{Background, Camera, Shot, TimeOfDay};
use tiny_skia::Transform;

/// Paper at one distance.
pub(super) struct Layer {
    /// 0 far, 1 near: how much of the camera's pan it follows.
    depth: f32,
    /// Whether it stands before the actors.
    pub(super) front: bool,
    /// In shorts; x from 0 to the period.
    pieces: Vec<Piece>,
    /// The horizontal reach of each piece.
    reaches: Vec<(f32, f32)>,
}

impl Layer {
    fn new(depth: f32, pieces: Vec<Piece>) -> Self {
        let reaches = pieces.iter().map(|piece| (piece.bounds().0, piece.bounds().2)).collect();
        Self { depth, front: false, pieces, reaches }
    }

    fn in_front(mut self) -> Self {
        self.front = true;
        self
    }

    /// Draws what the camera sees of the layer, `time_s` after the shot began; `transform` is from shorts to pixels.
    pub(super) fn draw(&self, canvas: &mut Canvas, stage: Stage, camera: Camera, time_s: f32, transform: Transform) {
        let period = stage.width * PERIOD;
        let offset = (pan(camera, self.depth, time_s) * stage.width).rem_euclid(period);
        let shadow_px = transform.sy * 0.014;
        for (piece, &(left, right)) in self.pieces.iter().zip(&self.reaches) {
            // A strip is long enough to be drawn once, so that its edge has no joint; single things come round again.
            let copies: &[f32] = if right - left > period { &[-1.0] } else { &[-2.0, -1.0, 0.0] };
            for &copy in copies {
                let shift = offset + copy * period;
                if right + shift > -0.05 && left + shift < stage.width + 0.05 {
                    canvas.stack(std::slice::from_ref(piece), transform.pre_translate(shift, 0.0), shadow_px);
                }
            }
        }
    }
}

/// Frame widths after which a landscape repeats.
const PERIOD: f32 = 2.0;

/// Everything that decides how a landscape looks.
struct Site {
    stage: Stage,
    time_of_day: TimeOfDay,
    seed: u64,
}

/// The layers of a shot's background, far to near.
pub(super) fn layers(shot: &Shot, seed: u64, stage: Stage) -> Vec<Layer> {
    let site = Site { stage, time_of_day: shot.time_of_day, seed };
    match shot.background {
        Background::Sky => site.open_sky(),
        Background::Sea => site.sea(),
        Background::Meadow => site.meadow(),
        Background::Desert => site.desert(),
        Background::Mountains => site.mountains(),
        Background::City => site.city(),
        Background::SnowField => site.snow_field(),
        Background::NightSky => site.night_sky(),
        Background::Plain => site.plain(shot),
    }
}

impl Site {
    fn dice(&self, index: u64) -> f32 {
        scatter(self.seed, index)
    }

    /// Land and water in the light of the hour.
    fn tint(&self, colour: Rgb) -> Rgb {
        match self.time_of_day {
            TimeOfDay::Day => colour,
            TimeOfDay::Dusk => mix(colour, [176, 78, 104], 0.42),
            TimeOfDay::Night => mix(colour, [18, 24, 72], 0.66),
        }
    }

    /// Water keeps more of its blue at dusk than land keeps of its own colour.
    fn water(&self, colour: Rgb) -> Rgb {
        if self.time_of_day == TimeOfDay::Dusk { mix(colour, [150, 70, 130], 0.24) } else { self.tint(colour) }
    }

    /// A strip across a period and a frame: from a wavy edge at `top` (a share of the height) to the bottom.
    fn strip(&self, top: f32, swing: f32, index: u64, colour: Rgb, edge: impl Fn(f32) -> f32) -> Piece {
        let period = self.stage.width * PERIOD;
        let (phase, other) = (self.dice(index * 2 + 100), self.dice(index * 2 + 101));
        let length = period + self.stage.width + 0.3;
        let steps = 144;
        let mut outline: Vec<(f32, f32)> = (0..=steps)
            .map(|step| {
                let at = (step as f32 / steps as f32 * length - 0.1) / period;
                let bend = wave(at, 3.0, phase) * 0.6 + wave(at, 5.0, other) * 0.3 + wave(at, 11.0, phase) * 0.1;
                (at * period, top * self.stage.height + swing * bend + edge(at))
            })
            .collect();
        let bottom = self.stage.height + 0.1;
        outline.extend([(length - 0.1, bottom), (-0.1, bottom)]);
        Piece::new(outline, colour)
    }

    /// Hills, dunes, banks of cloud: a strip without a rhythm of its own.
    fn hill(&self, top: f32, swing: f32, index: u64, colour: Rgb) -> Piece {
        self.strip(top, swing, index, colour, |_| 0.0)
    }

    /// The sky down to `horizon` (a share of the height), with sun or moon and stars.
    fn sky(&self, horizon: f32) -> Vec<Layer> {
        let (top, middle, low): (Rgb, Rgb, Rgb) = match self.time_of_day {
            TimeOfDay::Day => ([118, 188, 236], [166, 214, 242], [218, 238, 246]),
            TimeOfDay::Dusk => ([108, 70, 142], [214, 100, 116], [252, 176, 96]),
            TimeOfDay::Night => ([16, 20, 60], [28, 36, 90], [52, 62, 122]),
        };
        let count = 5;
        let strips = (0..count)
            .map(|at| {
                let share = at as f32 / (count - 1) as f32;
                let colour =
                    if share < 0.5 { mix(top, middle, share * 2.0) } else { mix(middle, low, share * 2.0 - 1.0) };
                let (from, swing) = if at == 0 { (-0.1, 0.0) } else { (horizon * (0.06 + 0.84 * share), 0.02) };
                self.hill(from, swing, at as u64 + 40, colour)
            })
            .collect();
        vec![Layer::new(0.0, strips), Layer::new(0.0, self.lights(horizon))]
    }

    /// Sun by day, a low sun at dusk, the moon and stars at night.
    fn lights(&self, horizon: f32) -> Vec<Piece> {
        let Stage { width, height } = self.stage;
        let side = if self.dice(1) < 0.5 { 0.16 } else { 0.84 };
        let x = side * width;
        match self.time_of_day {
            TimeOfDay::Day => vec![
                Piece::new(star(x, 0.17 * height, 0.17, 0.125, 12), [255, 226, 130]),
                Piece::new(disc(x, 0.17 * height, 0.105, 0.105), [255, 206, 84]),
            ],
            TimeOfDay::Dusk => {
                let y = (horizon - 0.06) * height;
                vec![
                    Piece::new(disc(x, y, 0.25, 0.25), [255, 190, 104]).faint(0.6),
                    Piece::new(disc(x, y, 0.18, 0.18), [255, 222, 128]),
                ]
            }
            TimeOfDay::Night => {
                let mut pieces = self.stars(14, horizon);
                let y = 0.19 * height;
                pieces.push(crescent(x, y, 0.12, [255, 240, 190]));
                pieces
            }
        }
    }

    /// Stars over the whole period; they keep off each other by having a column each.
    fn stars(&self, per_width: usize, horizon: f32) -> Vec<Piece> {
        let count = (per_width as f32 * PERIOD * self.stage.width / 1.8).round().max(8.0) as usize;
        let column = self.stage.width * PERIOD / count as f32;
        (0..count)
            .map(|at| {
                let x = column * (at as f32 + 0.2 + 0.6 * self.dice(at as u64 + 300));
                let y = self.stage.height * horizon * (0.05 + 0.85 * self.dice(at as u64 + 400));
                let radius = 0.018 + 0.014 * self.dice(at as u64 + 500);
                Piece::new(star(x, y, radius, radius * 0.5, 4), [255, 242, 200]).glued()
            })
            .collect()
    }

    /// Long flat streaks of cloud (round clouds are actors).
    fn streaks(&self, count: usize, from: f32, to: f32, colour: Rgb, index: u64) -> Vec<Piece> {
        let column = self.stage.width * PERIOD / count as f32;
        (0..count)
            .map(|at| {
                let dice = |kind: u64| self.dice(index + kind * 64 + at as u64);
                let x = column * (at as f32 + 0.3 + 0.4 * dice(0));
                let row = ((at * 2) % count) as f32 / count as f32;
                let y = self.stage.height * (from + (to - from) * (row + 0.5 * dice(1) / count as f32));
                let half = 0.22 + 0.16 * dice(2);
                Piece::new(
                    blob(&[
                        (x - half, y),
                        (x - half * 0.4, y - 0.045),
                        (x + half * 0.3, y - 0.03),
                        (x + half, y + 0.005),
                        (x + half * 0.4, y + 0.04),
                        (x - half * 0.5, y + 0.03),
                    ]),
                    colour,
                )
            })
            .collect()
    }

    fn open_sky(&self) -> Vec<Layer> {
        let mut layers = self.sky(1.0);
        let cloud = match self.time_of_day {
            TimeOfDay::Day => [246, 250, 252],
            TimeOfDay::Dusk => [250, 178, 150],
            TimeOfDay::Night => [58, 70, 128],
        };
        layers.push(Layer::new(0.35, self.streaks(5, 0.22, 0.72, mix(cloud, [150, 190, 220], 0.2), 700)));
        layers.push(Layer::new(0.8, self.streaks(4, 0.80, 1.0, cloud, 900)));
        layers
    }

    fn sea(&self) -> Vec<Layer> {
        let mut layers = self.sky(0.5);
        let colours: [Rgb; 5] = [[96, 176, 206], [66, 150, 194], [44, 124, 178], [30, 100, 158], [20, 78, 136]];
        for (at, &colour) in colours.iter().enumerate() {
            let share = at as f32 / 4.0;
            let top = 0.50 + [0.0, 0.09, 0.19, 0.30, 0.40][at];
            let crests = [14.0, 12.0, 10.0, 8.0, 8.0][at];
            let height = 0.022 + 0.026 * share;
            let phase = self.dice(at as u64 + 20);
            let wave_strip = self.strip(top, 0.006, at as u64, self.water(colour), |x| {
                // Scallops: round troughs and pointed crests, as scissors make waves.
                height * (1.0 - (((x * crests * PERIOD + phase).rem_euclid(1.0) - 0.5) * 2.0).powi(2))
            });
            let layer = Layer::new(0.15 + 0.85 * share, vec![wave_strip]);
            layers.push(if at == 4 { layer.in_front() } else { layer });
        }
        layers
    }

    fn meadow(&self) -> Vec<Layer> {
        let mut layers = self.sky(0.6);
        layers.push(Layer::new(0.2, vec![self.hill(0.55, 0.05, 1, self.tint([158, 204, 120]))]));
        layers.push(Layer::new(0.5, vec![self.hill(0.66, 0.04, 2, self.tint([122, 186, 92]))]));
        let mut near = vec![self.hill(0.78, 0.022, 3, self.tint([88, 160, 76]))];
        let count = 14;
        for at in 0..count {
            let x = self.stage.width * PERIOD * (at as f32 + 0.5 * self.dice(at + 60)) / count as f32;
            let y = self.stage.height * (0.89 + 0.09 * self.dice(at + 80));
            if at % 3 == 0 {
                let petal = [[255, 236, 150], [255, 196, 206], CREAM][(at / 3 % 3) as usize];
                near.push(Piece::new(disc(x, y, 0.024, 0.024), self.tint(petal)).glued());
            } else {
                let blade = polygon(&[
                    (x - 0.05, y),
                    (x - 0.04, y - 0.07),
                    (x - 0.01, y - 0.01),
                    (x + 0.01, y - 0.09),
                    (x + 0.03, y - 0.01),
                    (x + 0.06, y - 0.05),
                    (x + 0.05, y),
                ]);
                near.push(Piece::new(blade, self.tint([66, 132, 62])).glued());
            }
        }
        layers.push(Layer::new(1.0, near));
        layers
    }

    fn desert(&self) -> Vec<Layer> {
        let mut layers = self.sky(0.6);
        layers.push(Layer::new(0.2, vec![self.hill(0.56, 0.06, 1, self.tint([240, 208, 146]))]));
        layers.push(Layer::new(0.5, vec![self.hill(0.68, 0.05, 2, self.tint([230, 184, 112]))]));
        let mut near = Vec::new();
        for at in 0..4 {
            let x = self.stage.width * PERIOD * (at as f32 + 0.2 + 0.5 * self.dice(at + 60)) / 4.0;
            let y = self.stage.height * 0.80;
            let green = self.tint([106, 146, 92]);
            near.push(Piece::new(ribbon(&[(x - 0.07, y - 0.17), (x - 0.07, y - 0.10), (x, y - 0.09)], 0.035), green));
            near.push(Piece::new(ribbon(&[(x + 0.07, y - 0.20), (x + 0.07, y - 0.12), (x, y - 0.11)], 0.035), green));
            near.push(Piece::new(ribbon(&[(x, y - 0.24), (x, y + 0.04)], 0.05), green));
        }
        near.push(self.hill(0.80, 0.025, 3, self.tint([216, 158, 84])));
        layers.push(Layer::new(1.0, near));
        layers
    }

    /// Peaks with snow on them, `count` to the period.
    fn peaks(&self, count: usize, base: f32, height: f32, rock: Rgb, index: u64) -> Vec<Piece> {
        let column = self.stage.width * PERIOD / count as f32;
        let bottom = self.stage.height + 0.1;
        let mut pieces = Vec::new();
        for at in 0..count {
            let dice = |kind: u64| self.dice(index + kind * 32 + at as u64);
            let x = column * (at as f32 + 0.35 + 0.3 * dice(0));
            let tall = height * (0.75 + 0.35 * dice(1)) * self.stage.height.min(1.3);
            let (top, half) = (base * self.stage.height - tall, column * (0.85 + 0.25 * dice(2)));
            let slope = |share: f32, side: f32| (x + side * half * share, top + (bottom - top) * share);
            pieces.push(Piece::new(polygon(&[(x, top), slope(1.0, 1.0), slope(1.0, -1.0)]), self.tint(rock)));
            let snow = [
                (x, top),
                slope(0.2, 1.0),
                (x + half * 0.06, top + tall * 0.24),
                (x, top + tall * 0.40),
                (x - half * 0.07, top + tall * 0.25),
                slope(0.18, -1.0),
            ];
            pieces.push(Piece::new(polygon(&snow), self.tint([248, 250, 252])).glued());
        }
        pieces
    }

    fn mountains(&self) -> Vec<Layer> {
        let mut layers = self.sky(0.6);
        let count = |per_short: f32| ((per_short * self.stage.width * PERIOD).round() as usize).max(3);
        layers.push(Layer::new(0.15, self.peaks(count(1.67), 0.62, 0.46, [140, 158, 190], 600)));
        layers.push(Layer::new(0.45, self.peaks(count(1.95), 0.76, 0.34, [96, 116, 150], 800)));
        layers.push(Layer::new(1.0, vec![self.hill(0.80, 0.02, 3, self.tint([92, 128, 104]))]));
        layers
    }

    /// A row of buildings with lit or blue windows.
    fn skyline(&self, count: usize, top: f32, colour: Rgb, windows: bool, index: u64) -> Vec<Piece> {
        let column = self.stage.width * PERIOD / count as f32;
        let ground = self.stage.height * 0.95;
        let mut pieces = Vec::new();
        for at in 0..count {
            let dice = |kind: u64| self.dice(index + kind * 64 + at as u64);
            let (left, right) = (column * at as f32 + 0.006, column * (at as f32 + 0.9 + 0.09 * dice(0)));
            let roof = self.stage.height * (top + 0.24 * dice(1));
            let wall = shade(self.tint(colour), (dice(2) - 0.5) * 0.22);
            if dice(3) > 0.66 {
                let middle = (left + right) / 2.0;
                pieces.push(Piece::new(
                    polygon(&[(left, roof), (middle, roof - 0.09), (right, roof)]),
                    shade(wall, -0.2),
                ));
            }
            pieces.push(Piece::new(polygon(&[(left, roof), (right, roof), (right, ground), (left, ground)]), wall));
            if !windows {
                continue;
            }
            let pane = match self.time_of_day {
                TimeOfDay::Day => [206, 228, 240],
                _ => [255, 220, 120],
            };
            let (columns, step) = (2, (right - left) / 2.0);
            for row in 0..3u64 {
                for at in 0..columns {
                    let (x, y) = (left + step * (at as f32 + 0.5), roof + 0.07 + row as f32 * 0.11);
                    if y < self.stage.height * 0.80 && dice(8 + row * 2 + at) > 0.25 {
                        let window = [
                            (x - 0.024, y - 0.026),
                            (x + 0.024, y - 0.026),
                            (x + 0.024, y + 0.026),
                            (x - 0.024, y + 0.026),
                        ];
                        pieces.push(Piece::new(window.to_vec(), pane).glued());
                    }
                }
            }
        }
        pieces
    }

    fn city(&self) -> Vec<Layer> {
        let mut layers = self.sky(0.7);
        let count = |per_width: f32| ((per_width * self.stage.width * PERIOD).round() as usize).max(5);
        layers.push(Layer::new(0.2, self.skyline(count(4.4), 0.28, [176, 184, 204], false, 600)));
        layers.push(Layer::new(0.5, self.skyline(count(3.2), 0.42, [150, 120, 128], true, 1200)));
        let mut street = vec![
            self.hill(0.80, 0.0, 3, self.tint([196, 190, 184])),
            self.hill(0.845, 0.0, 4, self.tint([92, 94, 104])),
        ];
        let dashes = 7;
        for at in 0..dashes {
            let x = self.stage.width * PERIOD * (at as f32 + 0.5) / dashes as f32;
            let y = self.stage.height * 0.93;
            street.push(
                Piece::new(
                    polygon(&[(x - 0.1, y - 0.012), (x + 0.1, y - 0.012), (x + 0.1, y + 0.016), (x - 0.1, y + 0.016)]),
                    self.tint([244, 232, 200]),
                )
                .glued(),
            );
        }
        layers.push(Layer::new(1.0, street));
        layers
    }

    fn snow_field(&self) -> Vec<Layer> {
        let mut layers = self.sky(0.6);
        layers.push(Layer::new(0.2, vec![self.hill(0.56, 0.05, 1, self.tint([206, 220, 236]))]));
        let mut firs = Vec::new();
        let count = ((3.0 * self.stage.width * PERIOD).round() as usize).max(5);
        for at in 0..count {
            let x = self.stage.width * PERIOD * (at as f32 + 0.2 + 0.6 * self.dice(at as u64 + 60)) / count as f32;
            let (y, tall) = (self.stage.height * 0.73, 0.16 + 0.08 * self.dice(at as u64 + 80));
            let fir = polygon(&[(x, y - tall), (x + tall * 0.34, y), (x - tall * 0.34, y)]);
            firs.push(Piece::new(fir, self.tint([88, 128, 122])));
            let cap = polygon(&[
                (x, y - tall),
                (x + tall * 0.15, y - tall * 0.56),
                (x, y - tall * 0.64),
                (x - tall * 0.15, y - tall * 0.56),
            ]);
            firs.push(Piece::new(cap, self.tint([250, 252, 254])).glued());
        }
        firs.push(self.hill(0.68, 0.035, 2, self.tint([226, 235, 244])));
        layers.push(Layer::new(0.5, firs));
        layers.push(Layer::new(1.0, vec![self.hill(0.79, 0.025, 3, self.tint([246, 249, 252]))]));
        layers
    }

    fn night_sky(&self) -> Vec<Layer> {
        let colours: [Rgb; 5] = [[12, 14, 46], [18, 20, 62], [26, 26, 78], [38, 32, 94], [54, 38, 108]];
        let strips = colours.iter().enumerate();
        let strips =
            strips.map(|(at, &colour)| self.hill(at as f32 * 0.22 - 0.1, 0.03, at as u64 + 40, colour)).collect();
        let side = if self.dice(1) < 0.5 { 0.18 } else { 0.82 };
        let (x, y) = (side * self.stage.width, 0.22 * self.stage.height);
        let moon = vec![
            Piece::new(disc(x, y, 0.155, 0.155), [255, 240, 190]),
            Piece::new(disc(x - 0.05, y - 0.03, 0.034, 0.03), [238, 218, 160]).glued(),
            Piece::new(disc(x + 0.05, y + 0.05, 0.028, 0.026), [238, 218, 160]).glued(),
        ];
        vec![Layer::new(0.0, strips), Layer::new(0.5, self.stars(26, 1.0)), Layer::new(0.1, moon)]
    }

    /// One sheet of coloured paper with tone-on-tone confetti that shows a pan; dusk and night lie on it as bands of
    /// light from below or as darkness with a moon.
    fn plain(&self, shot: &Shot) -> Vec<Layer> {
        let sheet = mix(paper(shot.plain_colour), CREAM, 0.30);
        let (top, bottom) = match self.time_of_day {
            TimeOfDay::Day => (sheet, sheet),
            TimeOfDay::Dusk => (mix(sheet, [120, 60, 130], 0.36), mix(sheet, [255, 150, 80], 0.40)),
            TimeOfDay::Night => (mix(sheet, [14, 18, 60], 0.50), mix(sheet, [14, 18, 60], 0.42)),
        };
        let mut layers = vec![Layer::new(0.0, vec![self.hill(-0.1, 0.0, 40, top)])];
        if self.time_of_day != TimeOfDay::Day {
            let strips = [0.33, 0.55, 0.77].iter().enumerate();
            let strips =
                strips.map(|(at, &y)| self.hill(y, 0.02, at as u64 + 41, mix(top, bottom, (at as f32 + 1.0) / 3.0)));
            layers.push(Layer::new(0.0, strips.collect()));
            layers.push(Layer::new(0.0, self.lights(0.75)));
        }
        let count = ((5.0 * self.stage.width * PERIOD * self.stage.height.sqrt()).round() as usize).max(8);
        let confetti = (0..count).map(|at| {
            let dice = |kind: u64| self.dice(600 + kind * 64 + at as u64);
            let x = self.stage.width * PERIOD * (at as f32 + 0.2 + 0.6 * dice(0)) / count as f32;
            let y = self.stage.height * (0.06 + 0.88 * ((at * 5 % 8) as f32 + dice(1)) / 8.0);
            let r = 0.028 + 0.02 * dice(2);
            let outline = match at % 3 {
                0 => disc(x, y, r, r),
                1 => polygon(&[(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)]),
                _ => ribbon(&[(x - r, y - r * 0.7), (x + r, y + r * 0.7)], r * 0.9),
            };
            Piece::new(outline, shade(mix(top, bottom, 0.5), if at % 2 == 0 { 0.34 } else { -0.18 })).glued()
        });
        layers.push(Layer::new(0.7, confetti.collect()));
        layers
    }
}

/// A moon with a bite on its left.
fn crescent(x: f32, y: f32, radius: f32, colour: Rgb) -> Piece {
    let arc = |from: f32, to: f32, cx: f32, r: f32| {
        (0..=16).map(move |step| {
            let angle = from + (to - from) * step as f32 / 16.0;
            (cx + r * angle.cos(), y + r * angle.sin())
        })
    };
    // The inner edge is the right side of a smaller circle through the same two tips, 2.1 rad from the right.
    let tip = (radius * 2.1_f32.cos(), radius * 2.1_f32.sin());
    let inner = tip.1 * 1.06;
    let centre = tip.0 - (inner * inner - tip.1 * tip.1).sqrt();
    let end = (tip.1 / inner).asin();
    Piece::new(arc(-2.1, 2.1, x, radius).chain(arc(end, -end, x + centre, inner)).collect(), colour)
}
