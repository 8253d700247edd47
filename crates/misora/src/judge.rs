//! `misora caption` and `misora eval`: the captioner reads clips, and judges those of the model.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use burn::tensor::Device;
use diffusion::{ModelFiles, SamplingConfig, Vae, open_vae};
use indicatif::{ProgressBar, ProgressStyle};
use media::{ReadLimits, read_mp4};
use training::paper::{CaptionStyle, Split};
use training::{Captioner, EvaluationOptions, Judge, evaluate as measure};

use crate::arguments::{CaptionOptions, EvalOptions, EvalSplit};
use crate::model::{PaperVideoModel, model_files};
use crate::output::{read_limited, usage, write_whole};

/// Says in the four styles of the world what a clip shows.
pub(crate) fn caption(options: &CaptionOptions) -> Result<ExitCode> {
    let limits = ReadLimits::default();
    let bytes = read_limited(&options.file, limits.max_bytes as u64)?;
    let clip =
        read_mp4(&bytes, &limits).with_context(|| format!("{} cannot be read as a clip", options.file.display()))?;
    let model = PaperVideoModel::open(options.places.model.as_deref(), options.places.device.open()?)?;
    let captioner = open_captioner(&model_files(options.places.model.as_deref()), model.device())?;
    let reading = captioner.read(model.encode_whole(&clip)?).pop().context("the clip gave no reading")?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&reading)?);
    } else {
        for &style in CaptionStyle::ALL {
            println!("{}", reading.caption(style, 0));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes clips for captions of the world and counts how many show what was asked.
pub(crate) fn evaluate(options: &EvalOptions) -> Result<ExitCode> {
    if options.count == 0 {
        return Err(usage("-n must be at least 1"));
    }
    let model = PaperVideoModel::open(options.places.model.as_deref(), options.places.device.open()?)?;
    let captioner = open_captioner(&model_files(options.places.model.as_deref()), model.device())?;
    std::fs::create_dir_all(&options.output).with_context(|| format!("{} cannot be made", options.output.display()))?;
    let bar = ProgressBar::new(options.count as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:20} {wide_bar} {pos}/{len}  {eta} left") {
        bar.set_style(style);
    }
    let defaults = EvaluationOptions::of(model.networks());
    let sampling = &defaults.sampling;
    let measured = EvaluationOptions {
        split: match options.split {
            EvalSplit::HeldOut => Split::HeldOut,
            EvalSplit::Train => Split::Train,
        },
        count: options.count,
        seed: options.seed,
        references: options.details,
        first_frames: options.details,
        extensions: options.details,
        drifts: options.details.min(2),
        enlarged: options.details,
        step_cache: options.step_cache,
        latent_frames: options.latent_frames.unwrap_or(defaults.latent_frames),
        sampling: SamplingConfig {
            num_inference_steps: options.steps.unwrap_or(sampling.num_inference_steps),
            guidance_scale: options.guidance.unwrap_or(sampling.guidance_scale),
            guidance_interval: options.guidance_interval.unwrap_or(sampling.guidance_interval),
            candidates: options.candidates.unwrap_or(sampling.candidates),
            ..sampling.clone()
        },
        ..defaults
    };
    let other = options.judge.as_deref().map(|folder| open_judge(folder, model.device())).transpose()?;
    let judge = match &other {
        Some((vae, captioner)) => Judge { vae, captioner },
        None => Judge { vae: &model.networks().vae, captioner: &captioner },
    };
    if other.is_none() && measured.sampling.candidates > 1 {
        eprintln!(
            "each clip is chosen among {} by the captioner that judges it: its shares are too high; give another with --judge, or --candidates 1",
            measured.sampling.candidates
        );
    }
    let evaluation = measure(model.networks(), judge, &captioner, &measured, model.device(), |progress| {
        bar.set_message(progress.part);
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    })?;
    bar.finish_and_clear();
    println!("{evaluation}");
    write_whole(&options.output.join("evaluation.json"), &serde_json::to_vec_pretty(&evaluation)?)?;
    if let Some(sheet) = evaluation.failures_sheet() {
        let mut png = std::io::Cursor::new(Vec::new());
        sheet.write_to(&mut png, image::ImageFormat::Png)?;
        write_whole(&options.output.join("failures.png"), &png.into_inner())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Another model's captioner, with the autoencoder whose latents it reads.
fn open_judge(folder: &Path, device: &Device) -> Result<(Vae, Captioner)> {
    let vae = open_vae(folder, device).context("this judge cannot be used")?;
    Ok((vae, open_captioner(&ModelFiles::Folder(folder.to_owned()), device)?))
}

fn open_captioner(files: &ModelFiles, device: &Device) -> Result<Captioner> {
    Captioner::open(files, device).context(
        "this model has no captioner that can be used: train one with `misora train captioner` and give its folder with --model",
    )
}
