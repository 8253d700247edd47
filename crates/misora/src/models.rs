//! `misora models`: which there are, what a folder is, and how one is brought here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use burn::tensor::Device;
use diffusion::wan::{Precision, Umt5, WanFiles, WanModel, WanSettings, WanTransformer, WanVaePart};
use diffusion::{Checkpoint, PaperModel, Storage};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::{InspectOptions, ListOptions, ModelsCommand, ModelsOptions, PullOptions};
use crate::hub::{self, HUB, HubFile, Repository};
use crate::model::{NAME, default_home, is_paper, model_files};
use crate::output::usage;

/// A model that is known by name.
struct Known {
    name: &'static str,
    repository: &'static str,
    what: &'static str,
}

/// Published models in the layout of diffusers.
const KNOWN: [Known; 7] = [
    Known {
        name: "wan2.1-t2v-1.3b",
        repository: "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        what: "Wan 2.1, text to video, 1.3B, 480p",
    },
    Known {
        name: "wan2.1-t2v-14b",
        repository: "Wan-AI/Wan2.1-T2V-14B-Diffusers",
        what: "Wan 2.1, text to video, 14B",
    },
    Known {
        name: "wan2.1-i2v-14b-480p",
        repository: "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        what: "Wan 2.1, a first picture to video, 14B, 480p",
    },
    Known {
        name: "wan2.1-i2v-14b-720p",
        repository: "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
        what: "Wan 2.1, a first picture to video, 14B, 720p",
    },
    Known {
        name: "wan2.2-ti2v-5b",
        repository: "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        what: "Wan 2.2, text or a first picture to video, 5B, 720p",
    },
    Known {
        name: "wan2.2-t2v-a14b",
        repository: "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
        what: "Wan 2.2, text to video, two experts of 14B",
    },
    Known {
        name: "wan2.2-i2v-a14b",
        repository: "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
        what: "Wan 2.2, a first picture to video, two experts of 14B",
    },
];

/// Lists, inspects or pulls.
pub(crate) fn run(options: &ModelsOptions) -> Result<ExitCode> {
    match &options.command {
        ModelsCommand::List(options) => list(options),
        ModelsCommand::Inspect(options) => inspect(options),
        ModelsCommand::Pull(options) => pull(options),
    }
}

/// Where pulled models lie.
fn models_folder(home: Option<&Path>) -> Result<PathBuf> {
    let home = home.map(Path::to_owned).or_else(default_home);
    Ok(home.context("no home folder is known: give one with --home")?.join("models"))
}

/// The folder or file that `--model` means: nothing for the built-in model, else a path, or the name of a pulled model.
///
/// # Errors
/// If there is no such thing; the message says how to get it.
pub(crate) fn resolve(model: Option<&Path>, home: Option<&Path>) -> Result<Option<PathBuf>> {
    let Some(model) = model else { return Ok(None) };
    if model.exists() {
        return Ok(Some(model.to_owned()));
    }
    let name = model.to_string_lossy();
    if name == NAME {
        return Ok(None);
    }
    if !name.contains(['/', '\\']) && name != ".." {
        let pulled = models_folder(home)?.join(&*name);
        if pulled.join(hub::PULLED).is_file() {
            return Ok(Some(pulled));
        }
        if KNOWN.iter().any(|known| known.name == name) {
            return Err(usage(format!("{name} is not here yet: `misora models pull {name}` brings it")));
        }
    }
    Err(usage(format!(
        "{name} is neither a model folder nor the name of a model: `misora models list` shows the names"
    )))
}

fn list(options: &ListOptions) -> Result<ExitCode> {
    let folder = models_folder(options.home.as_deref())?;
    println!("{NAME:22} built in");
    let here = |name: &str| folder.join(name).join(hub::PULLED).is_file();
    for known in &KNOWN {
        let state = if here(known.name) { "here" } else { "not here" };
        println!("{:22} {state:9} {}", known.name, known.what);
    }
    if let Ok(entries) = std::fs::read_dir(&folder) {
        let mut others: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| here(name) && KNOWN.iter().all(|known| known.name != name))
            .collect();
        others.sort();
        for name in others {
            println!("{name:22} here");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(options: &InspectOptions) -> Result<ExitCode> {
    let Some(place) = resolve(Some(&options.model), options.home.as_deref())? else {
        println!("{NAME}: the built-in model");
        return Ok(ExitCode::SUCCESS);
    };
    let place = place.as_path();
    // As `OpenModel` tells them apart.
    if is_paper(place) {
        PaperModel::open(&model_files(Some(place)), &Device::flex())?;
        println!("{}: a model of the paper family, whole", place.display());
        return Ok(ExitCode::SUCCESS);
    }
    let files = WanFiles::open(place)?;
    println!("{}: {}", place.display(), files.family.name());
    let transformers =
        [("transformer", Some(&files.transformer)), ("second transformer", files.transformer_2.as_ref())];
    for (name, network) in transformers {
        if let Some(network) = network {
            tell(name, &network.weights);
            println!(
                "    {} blocks of width {}, {} heads, {} channels in, {} out",
                network.config.num_layers,
                network.config.width(),
                network.config.num_attention_heads,
                network.config.in_channels,
                network.config.out_channels
            );
        }
    }
    tell("text encoder", &files.text_encoder.weights);
    tell("vae", &files.vae.weights);
    if let Some(encoder) = &files.image_encoder {
        tell("image encoder", &encoder.weights);
    }
    println!("  solver {}, shift {}, {} frames a second", files.solver.name(), files.shift, files.family.frame_rate());

    // Every tensor is asked for by its shape; large ones are not read.
    let device = Device::flex();
    Umt5::new(&files.text_encoder.config, files.text_encoder.weights.clone())?;
    for (_, network) in transformers {
        if let Some(network) = network {
            WanTransformer::read(&network.config, &network.weights, Precision::F32, true, &device)?;
        }
    }
    WanModel::of(files, WanSettings::default(), device)?.vae(WanVaePart::Both)?;
    println!("  nothing is missing");
    Ok(ExitCode::SUCCESS)
}

/// A network's size, and what its numbers are stored as.
fn tell(name: &str, weights: &Checkpoint) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in weights.names() {
        let kind = match weights.storage(tensor) {
            Some(Storage::F8E4M3) => "8-bit floats (e4m3)".to_owned(),
            Some(Storage::F8E5M2) => "8-bit floats (e5m2)".to_owned(),
            Some(kind) => format!("{kind:?}"),
            None => continue,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} as {kind}")).collect();
    println!(
        "  {name}: {:.3} billion numbers, {:.2} GB; tensors: {}",
        weights.elements() as f64 / 1e9,
        weights.stored_bytes() as f64 / 1e9,
        kinds.join(", ")
    );
}

fn pull(options: &PullOptions) -> Result<ExitCode> {
    let known = KNOWN.iter().find(|known| known.name == options.name);
    let repository = match known {
        Some(known) => known.repository,
        None if options.name.contains('/') => &options.name,
        None => {
            return Err(usage(format!(
                "{} is no name of a model: `misora models list` shows them; OWNER/NAME names a repository",
                options.name
            )));
        }
    };
    let repository = Repository::new(options.hub.as_deref().unwrap_or(HUB), repository, &options.revision)?;
    // A repository without a name of ours lies under its own.
    let name = known.map_or_else(|| repository.name.replace('/', "--"), |known| known.name.to_owned());
    let folder = models_folder(options.home.as_deref())?.join(&name);
    let client = hub::client()?;
    crate::serve::runtime()?.block_on(async {
        let files = repository.files(&client).await?;
        let total: u64 = files.iter().map(|file| file.size).sum();
        eprintln!(
            "{}: {} files, {:.2} GB, into {}",
            repository.name,
            files.len(),
            total as f64 / 1e9,
            folder.display()
        );
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let mut progress = |file: &HubFile, bytes: u64| {
            bar.set_message(file.path.clone());
            bar.inc(bytes);
        };
        let pulled = repository.pull(&client, &files, &folder, &mut progress).await;
        bar.finish_and_clear();
        pulled
    })?;
    println!("{name} is here: misora generate --model {name} \"…\"");
    Ok(ExitCode::SUCCESS)
}
