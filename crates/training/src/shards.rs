//! The world as files, for a trainer that does not draw: clips, their captions and their truth, in plain arrays.
//!
//! A GPU eats clips faster than one process draws them, so many write shards and one trainer reads them. What is in a
//! shard, and in which order, stands in `layout.json` beside them; each array has one row a clip.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Result;
use diffusion::{PromptTokenizer, VaeConfig};
use media::{Frame, Size};
use rand::RngExt as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::captioner::Question;
use crate::clips::{FRAME_RATE, generator, latent_times_s, native_sizes, render};
use crate::cover::{BEARINGS, Cell, cover};
use crate::paper::{ActorKind, CaptionStyle, Colour, Mixture, Motion, Scene, Split};
use crate::text::draw_caption;

/// What is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardConfig {
    /// The autoencoder whose latents the clips become: it says how large they are.
    pub vae: VaeConfig,
    /// What the writers draw from; each has its own stream.
    pub seed: u64,
    /// Latent frames of a whole clip.
    pub latent_frames: usize,
    /// Captions of a scene.
    pub captions: usize,
    /// Longest caption in tokens.
    pub max_tokens: usize,
    /// Whole clips a shard.
    pub clips: usize,
    /// Glimpses a shard.
    pub glimpses: usize,
    /// Share of scenes for the transformer from the simple world: one actor, one shot.
    pub simple_share: f64,
    /// How often its other scenes have what.
    pub mixture: Mixture,
    /// How often the judge's scenes have what.
    pub judge_mixture: Mixture,
    /// Share of the judge's scenes with a composition that the transformer never sees.
    pub withheld_share: f64,
}

/// What a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whole clips of compositions that the transformer may learn.
    Clips,
    /// Two latent frames from somewhere in a scene of one shot: cheap to draw, so there can be many.
    Glimpses,
    /// Whole clips for the judge alone, some of withheld compositions.
    JudgeClips,
    /// Glimpses for the judge alone.
    JudgeGlimpses,
    /// Whole clips of one puppet each, with captions that mostly leave open what it looks like: its portrait says so.
    People,
    /// Whole clips of withheld compositions in the usual mixture: what is asked in the end.
    HeldOut,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Clips, Self::Glimpses, Self::JudgeClips, Self::JudgeGlimpses, Self::People, Self::HeldOut];

    fn name(self) -> &'static str {
        match self {
            Self::Clips => "clips",
            Self::Glimpses => "glimpses",
            Self::JudgeClips => "judge_clips",
            Self::JudgeGlimpses => "judge_glimpses",
            Self::People => "people",
            Self::HeldOut => "held_out",
        }
    }

    fn is_glimpse(self) -> bool {
        matches!(self, Self::Glimpses | Self::JudgeGlimpses)
    }
}

/// The class of a cell of which nobody is asked.
const UNCLEAR: u8 = 255;
/// Bearings are stored as whole numbers of this part of a cell.
const BEARING_STEPS: f32 = 256.0;
/// Latent frames of a glimpse.
const GLIMPSE: usize = 2;

/// Writes shards into `folder` until `stop` says so, as writer number `writer`; each begins with held-out clips.
/// A shard appears whole or not at all.
///
/// # Errors
/// Whatever the file system says.
pub fn write_shards(
    config: &ShardConfig,
    tokenizer: &PromptTokenizer,
    folder: &Path,
    writer: usize,
    mut stop: impl FnMut() -> bool,
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    if writer == 0 {
        std::fs::write(folder.join("layout.json"), serde_json::to_vec_pretty(&layout(config))?)?;
    }
    let mut index = 0;
    while !stop() {
        let mut random = generator(config.seed, index, writer);
        let (kind, size) = if index == 0 {
            (Kind::HeldOut, [0, 0, 0, 1, 0, 0, 0, 2][writer % 8])
        } else {
            use Kind::{Clips, Glimpses, JudgeClips, JudgeGlimpses, People};
            let kinds = [Clips, Clips, Clips, Clips, Glimpses, Glimpses, Glimpses, JudgeClips, JudgeGlimpses, People];
            (kinds[random.random_range(0..kinds.len())], [0, 0, 1, 2][random.random_range(0..4)])
        };
        let count = if kind.is_glimpse() { config.glimpses } else { config.clips };
        let rows: Vec<Row> = (0..count).map(|_| config.draw(kind, size, tokenizer, &mut random)).collect();
        let name = format!("{}-{size}-{writer:02}-{index:05}", kind.name());
        write(&rows, config.max_tokens, &folder.join(format!("{name}.part")))?;
        std::fs::rename(folder.join(format!("{name}.part")), folder.join(format!("{name}.bin")))?;
        index += 1;
    }
    Ok(())
}

/// One clip and all that is known of it.
struct Row {
    frames: Vec<Frame>,
    portrait: Frame,
    captions: Vec<Vec<u16>>,
    cells: Vec<Cell>,
    answers: Vec<u32>,
    shots: u8,
}

impl ShardConfig {
    fn draw(&self, kind: Kind, size: usize, tokenizer: &PromptTokenizer, random: &mut Pcg64) -> Row {
        let mut mixture = match kind {
            Kind::Clips | Kind::Glimpses if random.random_bool(self.simple_share) => Mixture::simple(),
            Kind::Clips | Kind::Glimpses => self.mixture.clone(),
            Kind::JudgeClips | Kind::JudgeGlimpses => self.judge_mixture.clone(),
            Kind::People => {
                Mixture { puppets: 0.5, two_actors: 0.0, three_actors: 0.0, two_shots: 0.0, ..self.mixture.clone() }
            }
            Kind::HeldOut => Mixture::default(),
        };
        let split = match kind {
            Kind::Clips | Kind::Glimpses | Kind::People => Split::Train,
            Kind::JudgeClips | Kind::JudgeGlimpses if !random.random_bool(self.withheld_share) => Split::Train,
            _ => Split::HeldOut,
        };
        if kind.is_glimpse() {
            mixture.two_shots = 0.0;
        }
        let scene = loop {
            let scene = Scene::sample(random.random(), split, &mixture);
            if kind != Kind::People || scene.shots[0].main().kind == ActorKind::Puppet {
                break scene;
            }
        };
        let size = native_sizes(&self.vae)[size];
        let block = self.vae.block_frames;
        let latent_frames = if kind.is_glimpse() { GLIMPSE } else { self.latent_frames };
        let frames = 1 + (latent_frames - 1) * block;
        let start_s = if kind.is_glimpse() { start_of_glimpse(&scene, frames, random) } else { 0.0 };
        let captions = (0..self.captions).map(|_| {
            let caption = match kind {
                Kind::People => scene.caption(CaptionStyle::Terse, random.random()),
                _ => draw_caption(&scene, random),
            };
            let ids = tokenizer.encode(&caption);
            ids.into_iter().take(self.max_tokens).map(|id| u16::try_from(id).expect("a small vocabulary")).collect()
        });
        let captions = captions.collect();
        let times_s: Vec<f32> =
            latent_times_s(block, 0, latent_frames).into_iter().map(|time_s| time_s + start_s).collect();
        let [rows, columns] = self.grid(size);
        Row {
            captions,
            cells: cover(&scene, size, &times_s, rows, columns),
            answers: Question::ALL
                .iter()
                .map(|question| question.truth(&scene).iter().fold(0, |mask, class| mask | 1 << class))
                .collect(),
            shots: scene.shots.len() as u8,
            portrait: scene.portrait(0, size),
            frames: render(&scene, size, start_s, frames),
        }
    }

    fn grid(&self, size: Size) -> [usize; 2] {
        let grid = self.vae.spatial_compression();
        [size.height as usize / grid, size.width as usize / grid]
    }
}

/// Any moment at which somebody is to be seen.
fn start_of_glimpse(scene: &Scene, frames: usize, random: &mut Pcg64) -> f32 {
    let earliest = if scene.shots[0].main().motion == Motion::FadesIn { 0.5 } else { 0.0 } * scene.duration_s;
    let latest = (scene.duration_s - frames as f32 / FRAME_RATE as f32).max(earliest + 1e-3);
    random.random_range(earliest..latest)
}

/// The arrays of each kind and size, in the order of the file, with their shapes and types.
fn layout(config: &ShardConfig) -> serde_json::Value {
    let questions: Vec<_> = Question::ALL
        .iter()
        .map(|question| {
            json!({
                "name": format!("{question:?}"), "classes": question.classes(), "many": question.many(),
                "at_a_glimpse": question.at_a_glimpse(),
            })
        })
        .collect();
    let mut shards = serde_json::Map::new();
    for kind in Kind::ALL {
        for (index, size) in native_sizes(&config.vae).into_iter().enumerate() {
            let (time, count) =
                if kind.is_glimpse() { (GLIMPSE, config.glimpses) } else { (config.latent_frames, config.clips) };
            let [rows, columns] = config.grid(size);
            let frames = 1 + (time - 1) * config.vae.block_frames;
            let arrays = json!([
                ["frames", "uint8", [count, frames, size.height, size.width, 3]],
                ["portrait", "uint8", [count, size.height, size.width, 3]],
                ["tokens", "uint16", [count, config.captions, config.max_tokens]],
                ["lengths", "uint8", [count, config.captions]],
                ["kinds", "uint8", [count, time, rows, columns]],
                ["colours", "uint8", [count, time, rows, columns]],
                ["bearings", "int16", [count, time, rows, columns, BEARINGS]],
                ["answers", "uint32", [count, Question::ALL.len()]],
                ["shots", "uint8", [count]],
            ]);
            shards.insert(format!("{}-{index}", kind.name()), arrays);
        }
    }
    json!({
        "shards": shards, "questions": questions, "kinds": ActorKind::ALL.len(), "colours": Colour::ALL.len(),
        "unclear": UNCLEAR, "bearing_steps": BEARING_STEPS, "frame_rate": FRAME_RATE, "config": config,
    })
}

fn write(rows: &[Row], max_tokens: usize, path: &Path) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for frame in rows.iter().flat_map(|row| &row.frames) {
        file.write_all(frame.rgb())?;
    }
    for row in rows {
        file.write_all(row.portrait.rgb())?;
    }
    for caption in rows.iter().flat_map(|row| &row.captions) {
        for place in 0..max_tokens {
            file.write_all(&caption.get(place).copied().unwrap_or(0).to_le_bytes())?;
        }
    }
    for caption in rows.iter().flat_map(|row| &row.captions) {
        file.write_all(&[caption.len() as u8])?;
    }
    let cells = || rows.iter().flat_map(|row| &row.cells);
    let (no_kind, no_colour) = (ActorKind::ALL.len() as u8, Colour::ALL.len() as u8);
    for (none, class) in [
        (no_kind, (|kind: ActorKind, _: Colour| kind.index() as u8) as fn(ActorKind, Colour) -> u8),
        (no_colour, |_, colour| colour.index() as u8),
    ] {
        let byte = |cell: &Cell| match *cell {
            Cell::Empty => none,
            Cell::Unclear => UNCLEAR,
            Cell::Covered(kind, colour, _) => class(kind, colour),
        };
        file.write_all(&cells().map(byte).collect::<Vec<u8>>())?;
    }
    for cell in cells() {
        let bearing = if let Cell::Covered(_, _, bearing) = cell { *bearing } else { [0.0; BEARINGS] };
        for value in bearing {
            file.write_all(&((value * BEARING_STEPS).round() as i16).to_le_bytes())?;
        }
    }
    for answer in rows.iter().flat_map(|row| &row.answers) {
        file.write_all(&answer.to_le_bytes())?;
    }
    for row in rows {
        file.write_all(&[row.shots])?;
    }
    file.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use diffusion::TextConfig;

    use super::*;
    use crate::text::{TextStageConfig, train_tokenizer};
    use crate::trainer::TrainerConfig;

    fn config() -> ShardConfig {
        ShardConfig {
            vae: VaeConfig { native_sizes: [[64, 48], [48, 64], [48, 48]], block_frames: 4, ..VaeConfig::nano() },
            seed: 3,
            latent_frames: 3,
            captions: 2,
            max_tokens: 12,
            clips: 2,
            glimpses: 3,
            simple_share: 0.5,
            mixture: Mixture::default(),
            judge_mixture: Mixture::default(),
            withheld_share: 0.5,
        }
    }

    fn tokenizer(folder: &Path) -> PromptTokenizer {
        let config = TextStageConfig {
            model: TextConfig { vocabulary: 400, ..TextConfig::nano() },
            trainer: TrainerConfig {
                seed: 1,
                steps: 1,
                workers: 1,
                learning_rate: 0.0,
                warmup_steps: 1,
                decay_share: 0.0,
                weight_decay: 0.0,
                clip_norm: 1.0,
                muon: false,
                ema_decay: 0.0,
                checkpoint_every: 1,
                log_every: 1,
            },
            vocabulary_captions: 100,
            captions: 1,
        };
        train_tokenizer(&config, &folder.join("tokenizer.json")).unwrap()
    }

    /// Writes so many shards and says what lies there.
    fn written(count: usize) -> std::collections::BTreeMap<String, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(folder.path());
        let shards = folder.path().join("shards");
        let mut left = count;
        write_shards(&config(), &tokenizer, &shards, 0, || {
            let done = left == 0;
            left = left.saturating_sub(1);
            done
        })
        .unwrap();
        let files = std::fs::read_dir(shards).unwrap().map(|file| file.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
    }

    #[test]
    fn shards_are_as_long_as_their_layout_says_and_the_same_again() {
        let files = written(12);
        assert_eq!(files.len(), 13);
        let layout: serde_json::Value = serde_json::from_slice(&files["layout.json"]).unwrap();
        for (name, bytes) in files.iter().filter(|(name, _)| name.as_str() != "layout.json") {
            assert!(name.ends_with(".bin"), "{name} is only a part");
            let kind = name.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
            let length: u64 = layout["shards"][&kind]
                .as_array()
                .unwrap()
                .iter()
                .map(|array| {
                    let bytes = match array[1].as_str().unwrap() {
                        "uint8" => 1,
                        "uint16" | "int16" => 2,
                        "uint32" => 4,
                        other => panic!("{other}"),
                    };
                    array[2].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).product::<u64>() * bytes
                })
                .sum();
            assert_eq!(bytes.len() as u64, length, "{name}");
        }
        assert!(files.contains_key("held_out-0-00-00000.bin"));
        assert!(written(12) == files, "the same seed draws other shards");
    }
}
