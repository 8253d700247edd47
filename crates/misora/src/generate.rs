//! `misora generate`: a prompt becomes a signed clip.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use diffusion::wan::{Precision, WanSolver};
use indicatif::{ProgressBar, ProgressStyle};
use media::{Clip, Frame, PictureLimits, ReadLimits, read_mp4, read_picture};
use provenance::TrainingChoice;
use render::{
    OutputSize, Parent, Progress, Prompt, RenderError, RenderOptions, Rendered, Shortcuts, Source, Stage, Storyboard,
    VideoRequest, render,
};
use serde::Serialize;

use crate::arguments::{self, GenerateOptions, Solver, StoryboardOptions};
use crate::model::{NAME, OpenModel, signing_key};
use crate::output::{check_writable, numbered, read_limited, usage, write_whole};
use crate::vocabulary::{in_words_of_the_world, unknown_words};
use crate::wan::WanChoices;

/// What `--json` tells of each clip.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a Path,
    bytes: usize,
    frames: usize,
    seconds: f64,
    wall_seconds: f64,
    recipe: &'a render::Recipe,
    unknown_words: &'a [String],
}

/// Makes the clips one after the other.
pub(crate) fn run(options: &GenerateOptions) -> Result<ExitCode> {
    // Everything that can be wrong is found before the work begins.
    let mut prompt: Prompt = options.prompt.parse()?;
    if !(0.0..=1.0).contains(&options.strength) {
        return Err(usage(format!("--strength {} is not between 0 and 1", options.strength)));
    }
    if options.guidance.is_some_and(|scale| !(0.0..=30.0).contains(&scale)) {
        return Err(usage("--guidance is a number between 0 and 30; 1 is not at all strict"));
    }
    if options.reference.len() > 3 {
        return Err(usage("at most three reference pictures are read"));
    }
    let outputs: Vec<PathBuf> =
        (0..options.count.into()).map(|index| numbered(&options.output, index, options.count.into())).collect();
    for output in &outputs {
        check_writable(output)?;
    }
    let (source, files) = read_source(options)?;
    let references = options.reference.iter().map(|path| read_frame(path)).collect::<Result<Vec<_>>>()?;
    let size = chosen_size(options, &source);

    let stop = stop_on_ctrl_c()?;

    let key = signing_key(options.places.home.as_deref())?;
    let (model, home) = (options.places.model.as_deref(), options.places.home.as_deref());
    let model = OpenModel::open(model, home, choices(options)?, options.places.device.open()?)?;
    let frame_rate = model.as_model().frame_rate().as_f64();
    // Only the built-in model knows so few words that they can be told.
    let (unknown, advice) = match &model {
        OpenModel::Paper(_) => unknown_words(prompt.as_str()),
        OpenModel::Wan(_) => Default::default(),
    };
    match (&model, options.reword) {
        (OpenModel::Paper(_), true) => {
            let reworded = in_words_of_the_world(prompt.as_str()).prompt;
            let reworded = reworded.ok_or_else(|| usage(format!("no word of the prompt means anything to {NAME}")))?;
            eprintln!("asking for: {reworded}");
            prompt = reworded.parse()?;
        }
        (OpenModel::Wan(_), _) if options.candidates.is_some() => {
            return Err(usage(
                "--candidates is for the built-in model: open weights come with nothing that could choose",
            ));
        }
        (OpenModel::Wan(_), true) => {
            return Err(usage("--reword is for the built-in model: open weights know more words"));
        }
        (_, false) => {
            if let Some(advice) = advice {
                eprintln!("{advice}");
            }
        }
    }

    let first_seed = options.seed.unwrap_or_else(random_seed);
    let mut told = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let request = VideoRequest {
            prompt: prompt.clone(),
            negative_prompt: options.negative.clone(),
            size,
            seconds: options.seconds,
            seed: first_seed.wrapping_add(index as u64),
            num_inference_steps: options.steps.map(usize::from),
            guidance_scale: options.guidance,
            candidates: options.candidates.map(usize::from),
            shortcuts: Shortcuts { guidance_interval: options.guidance_interval, step_cache: options.step_cache },
            source: source.clone(),
            references: references.clone(),
        };
        if let OpenModel::Wan(model) = &model {
            eprintln!("{}", model.forecast(&request)?);
        }
        let started = Instant::now();
        let bar = Bar::new(output);
        let made = render(
            model.as_model(),
            &request,
            parent(&files),
            &key,
            &render_options(!options.no_visible_mark),
            &mut |progress| {
                bar.show(progress);
                if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        bar.finish();
        let made = match made {
            Ok(made) => made,
            Err(RenderError::Stopped) => return Ok(stopped(output)),
            Err(error) => return Err(error.into()),
        };
        write_whole(output, made.video.bytes())?;
        let wall = started.elapsed();
        if options.json {
            told.push(serde_json::to_value(tell(output, &made, frame_rate, wall, &unknown))?);
        } else {
            print(output, &made, frame_rate, wall)?;
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Set by the first Ctrl-C, which stops at the next step; nothing has been written by then. The second does not wait.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if stopped.swap(true, Ordering::SeqCst) {
            std::process::exit(1);
        }
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(stop)
}

pub(crate) fn render_options(visible_mark: bool) -> RenderOptions {
    RenderOptions {
        visible_mark,
        training: TrainingChoice::default(),
        when: time::OffsetDateTime::now_utc(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// The first file as the parent, the others as what stands behind the new frames.
fn parent(files: &[Vec<u8>]) -> Option<Parent<'_>> {
    let (first, others) = files.split_first()?;
    Some(Parent { placed: others.iter().map(Vec::as_slice).collect(), ..Parent::from(&first[..]) })
}

/// What is chosen for open weights beside the request.
fn choices(options: &GenerateOptions) -> Result<WanChoices> {
    let lora = |text: &String| -> Result<(PathBuf, f32)> {
        match text.rsplit_once(':').map(|(path, weight)| (path, weight.parse::<f32>())) {
            Some((path, Ok(weight))) if weight.is_finite() => Ok((path.into(), weight)),
            _ => Ok((text.into(), 1.0)),
        }
    };
    if options.shift.is_some_and(|shift| !(0.01..=100.0).contains(&shift)) {
        return Err(usage("--shift is a number between 0.01 and 100"));
    }
    Ok(WanChoices {
        loras: options.lora.iter().map(lora).collect::<Result<_>>()?,
        solver: options.solver.map(|solver| match solver {
            Solver::Unipc => WanSolver::UniPc,
            Solver::Euler => WanSolver::Euler,
        }),
        shift: options.shift,
        precision: options.precision.map(|precision| match precision {
            arguments::Precision::F32 => Precision::F32,
            arguments::Precision::Bf16 => Precision::Bf16,
            arguments::Precision::Int8 => Precision::Int8,
        }),
    })
}

/// What the new clip starts from, with the bytes of the files that stay in it or that it is made from.
fn read_source(options: &GenerateOptions) -> Result<(Source, Vec<Vec<u8>>)> {
    let read_clip = |path: &Path| -> Result<(Clip, Vec<u8>)> {
        let limits = ReadLimits::default();
        let bytes = read_limited(path, limits.max_bytes as u64)?;
        let clip = read_mp4(&bytes, &limits).with_context(|| format!("{} cannot be read as a clip", path.display()))?;
        Ok((clip, bytes))
    };
    let one = |path: &Path, source: &dyn Fn(Clip) -> Source| {
        let (clip, bytes) = read_clip(path)?;
        Ok((source(clip), vec![bytes]))
    };
    if let Some(path) = &options.extend {
        return one(path, &Source::Extend);
    }
    if let Some(path) = &options.precede {
        return one(path, &Source::Precede);
    }
    if let Some(path) = &options.round {
        return one(path, &|end| Source::Loop { start: head(&end), end });
    }
    if let Some(path) = &options.edit {
        return one(path, &|clip| Source::Edit { clip, strength: options.strength });
    }
    if let [from, to] = options.bridge.as_slice() {
        let ((from, before), (to, after)) = (read_clip(from)?, read_clip(to)?);
        return Ok((Source::Bridge { from, to }, vec![before, after]));
    }
    let first = options.image.as_deref().map(read_frame).transpose()?;
    let source = match (first, &options.last_image) {
        (first, Some(last)) => Source::Ends { first, last: read_frame(last)? },
        (Some(first), None) => Source::FirstFrame(first),
        (None, None) => Source::Text,
    };
    Ok((source, Vec::new()))
}

/// The first seconds of a clip: as much of it as a model looks at.
fn head(clip: &Clip) -> Clip {
    const HEAD_S: f64 = 4.0;
    let count = (HEAD_S * clip.frame_rate().as_f64()).ceil() as usize;
    let frames = clip.frames()[..count.min(clip.frames().len())].to_vec();
    Clip::new(frames, clip.frame_rate()).unwrap_or_else(|_| clip.clone())
}

fn read_frame(path: &Path) -> Result<Frame> {
    let limits = PictureLimits::default();
    let bytes = read_limited(path, limits.max_bytes as u64)?;
    read_picture(&bytes, &limits).with_context(|| format!("{} cannot be read as a picture", path.display()))
}

/// The size asked for; without one that of the picture or clip it starts from.
fn chosen_size(options: &GenerateOptions, source: &Source) -> OutputSize {
    let asked = options.size.unwrap_or_else(|| match source {
        Source::Text => OutputSize::ALL[0],
        Source::FirstFrame(frame) | Source::Ends { last: frame, .. } => OutputSize::closest_to(frame.size()),
        Source::Extend(clip)
        | Source::Precede(clip)
        | Source::Loop { end: clip, .. }
        | Source::Bridge { from: clip, .. }
        | Source::Edit { clip, .. } => OutputSize::closest_to(clip.size()),
    });
    if options.no_upscale { asked.native() } else { asked }
}

/// What `--json` tells of a film.
#[derive(Serialize)]
struct ToldFilm<'a> {
    file: &'a Path,
    bytes: usize,
    frames: usize,
    seconds: f64,
    wall_seconds: f64,
    recipes: &'a [render::Recipe],
}

/// `misora storyboard`: a document becomes a film.
pub(crate) fn storyboard(options: &StoryboardOptions) -> Result<ExitCode> {
    const LARGEST_DOCUMENT: u64 = 1 << 20;
    let text = String::from_utf8(read_limited(&options.document, LARGEST_DOCUMENT)?)
        .with_context(|| format!("{} is no text", options.document.display()))?;
    let mut board = Storyboard::read(&text).map_err(|error| usage(error.to_string()))?;
    if options.no_upscale {
        board.size = board.output_size()?.native().to_string();
    }
    check_writable(&options.output)?;
    let folder = options.document.parent().unwrap_or(Path::new("."));
    let picture = |name: &str| read_frame(&folder.join(name)).map(Some).map_err(|error| format!("{error:#}"));
    let requests = board.requests(picture).map_err(|error| usage(error.to_string()))?;

    let stop = stop_on_ctrl_c()?;
    let key = signing_key(options.places.home.as_deref())?;
    let (model, home) = (options.places.model.as_deref(), options.places.home.as_deref());
    let model = OpenModel::open(model, home, WanChoices::default(), options.places.device.open()?)?;
    if let OpenModel::Paper(_) = &model {
        let prompts: Vec<&str> = board.shots.iter().map(|shot| shot.prompt.as_str()).collect();
        if let (_, Some(advice)) = unknown_words(&prompts.join(", ")) {
            eprintln!("{advice}");
        }
    }
    let (started, bar) = (Instant::now(), Bar::new(&options.output));
    let made = board.render(
        model.as_model(),
        requests,
        &key,
        &render_options(!options.no_visible_mark),
        &mut |shot, progress| {
            bar.0.set_prefix(format!("{} shot {}/{}", options.output.display(), shot + 1, board.shots.len()));
            bar.show(progress);
            if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    bar.finish();
    let made = match made {
        Ok(made) => made,
        Err(RenderError::Stopped) => return Ok(stopped(&options.output)),
        Err(error) => return Err(error.into()),
    };
    write_whole(&options.output, made.video.bytes())?;
    let told = ToldFilm {
        file: &options.output,
        bytes: made.video.bytes().len(),
        frames: made.frames,
        seconds: made.frames as f64 / model.as_model().frame_rate().as_f64(),
        wall_seconds: started.elapsed().as_secs_f64(),
        recipes: &made.recipe.shots,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        println!(
            "{}: {} shots, {:.0} s, {}, {} kB, signed, made in {:.1} s",
            options.output.display(),
            board.shots.len(),
            told.seconds,
            board.size,
            told.bytes.div_ceil(1000),
            told.wall_seconds
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn stopped(output: &Path) -> ExitCode {
    eprintln!("misora: stopped; {} was not written", output.display());
    ExitCode::FAILURE
}

fn tell<'a>(
    output: &'a Path,
    made: &'a Rendered,
    frame_rate: f64,
    wall: Duration,
    unknown_words: &'a [String],
) -> Told<'a> {
    Told {
        file: output,
        bytes: made.video.bytes().len(),
        frames: made.frames,
        seconds: made.frames as f64 / frame_rate,
        wall_seconds: wall.as_secs_f64(),
        recipe: &made.recipe,
        unknown_words,
    }
}

fn print(output: &Path, made: &Rendered, frame_rate: f64, wall: Duration) -> Result<()> {
    println!(
        "{}: {:.0} s, {}, {} kB, signed, made in {:.1} s",
        output.display(),
        made.frames as f64 / frame_rate,
        made.recipe.size,
        made.video.bytes().len().div_ceil(1000),
        wall.as_secs_f64()
    );
    println!("recipe: {}", serde_json::to_string(&made.recipe)?);
    Ok(())
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Short enough to be typed again.
    u64::from(std::hash::RandomState::new().build_hasher().finish() as u32)
}

/// The progress line on standard error: stage, step, time left.
struct Bar(ProgressBar);

impl Bar {
    fn new(output: &Path) -> Self {
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("{prefix}  {msg:9} {wide_bar} {pos}/{len}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(output.display().to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn show(&self, progress: Progress) {
        self.0.set_message(progress.stage.name());
        self.0.set_length(progress.total as u64);
        self.0.set_position(progress.done as u64);
        if progress.done == 0 && progress.stage != Stage::Reading {
            self.0.reset_eta();
        }
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
