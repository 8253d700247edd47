//! How long each part of a clip takes with the model that ships: `cargo bench -p misora`, or
//! `cargo bench -p misora -- 'dit step'` for one of them.
//!
//! All parts are those of a clip of four seconds in landscape, so they add up to about the whole; the DiT's
//! step counts as often as there are steps. The whole is the program itself, from its start to the signed file.

use std::convert::Infallible;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use diffusion::{ModelFiles, PaperModel, SampleRequest, SolverKind, sample, seeded_noise};
use media::{Filter, Frame, FrameRate, Mp4Writer, Quality, Resizer, Size};
use training::paper::{Mixture, Renderer, Scene, Split};
use training::{FRAME_RATE, clips_to_tensor, enlarge, latent_times_s, tensor_to_frames};

const PROMPT: &str = "a red boat sails right on the sea at dusk";
/// Frames of four seconds.
const FRAMES: usize = 48;
/// Frames that the autoencoder takes for them: 1 + 6 blocks of 8.
const ENCODED_FRAMES: usize = 49;
const LATENT_FRAMES: usize = 7;
const NATIVE: Size = Size::new(256, 144);
const OUTPUT: Size = Size::new(1280, 720);
/// Latent frames that the program decodes at once.
const PIECE: usize = 4;

fn model_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/paper-1")
}

fn open_model(device: &Device) -> PaperModel {
    PaperModel::open(&ModelFiles::Folder(model_folder()), device).expect("the shipped model opens")
}

/// Frames of a scene of the paper world, at the native size.
fn native_frames(count: usize) -> Vec<Frame> {
    let scene = Scene::sample(7, Split::Train, &Mixture::default());
    let renderer = Renderer::new(&scene, NATIVE);
    (0..count).map(|index| renderer.frame(index as f32 / FRAME_RATE as f32)).collect()
}

/// The latent grid of [`NATIVE`].
fn latent_shape(model: &PaperModel) -> [usize; 5] {
    let config = model.vae.config();
    let cells = |side: u32| side as usize / config.spatial_compression();
    [1, LATENT_FRAMES, cells(NATIVE.height), cells(NATIVE.width), config.latent_channels]
}

fn text_encoder(criterion: &mut Criterion) {
    let device = Device::flex();
    let model = open_model(&device);
    criterion.bench_function("text encoder", |bencher| {
        // Reading the values out is what waits for them.
        bencher.iter(|| model.read_prompt(black_box(PROMPT), &device).tokens.into_data());
    });
}

fn dit_step(criterion: &mut Criterion) {
    let device = Device::flex();
    let model = open_model(&device);
    let [_, frames, rows, columns, _] = latent_shape(&model);
    let request = SampleRequest {
        text: model.read_prompt(PROMPT, &device),
        negative: model.read_prompt("", &device),
        times_s: latent_times_s(8, 0, frames),
        rows,
        columns,
        given: Vec::new(),
        references: Vec::new(),
        edit: None,
        steps: 1,
        guidance_scale: 3.5,
        guidance_interval: (0.0, 1.0),
        step_cache: 0.0,
        shift: 2.0,
        solver: SolverKind::default(),
        seed: 7,
    };
    criterion.bench_function("dit step", |bencher| {
        bencher.iter(|| {
            let latents = sample(&model.transformer, &request, &device, |_| ControlFlow::Continue(()));
            latents.expect("the request fits the model").into_data()
        });
    });
}

fn vae(criterion: &mut Criterion) {
    let device = Device::flex();
    let model = open_model(&device);
    let video = clips_to_tensor(&[native_frames(ENCODED_FRAMES)], &device);
    let latents = seeded_noise(latent_shape(&model), 7, &device);

    let mut group = criterion.benchmark_group("vae");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(ENCODED_FRAMES as u64));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| model.vae.encode(video.clone()).expect("the clip fits the grid").into_data());
    });
    group.bench_function("decode", |bencher| bencher.iter(|| decode(&model, latents.clone())));
    group.finish();
}

/// As the program does it: in pieces, to frames of bytes.
fn decode(model: &PaperModel, latents: Tensor<5>) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(ENCODED_FRAMES);
    let decoded = model.vae.decode_in_pieces(latents, PIECE, |piece| {
        frames.extend(tensor_to_frames(piece));
        Ok::<_, Infallible>(())
    });
    match decoded {
        Ok(()) => frames,
        Err(never) => match never {},
    }
}

fn upscale(criterion: &mut Criterion) {
    let frames = native_frames(FRAMES);
    let mut resizer = Resizer::new();
    let mut enlarged = Frame::filled(OUTPUT, [0; 3]);
    let mut group = criterion.benchmark_group("upscale");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("144×80 to 1280×720", |bencher| {
        bencher.iter(|| {
            for frame in &frames {
                resizer.resize_into(black_box(frame), &mut enlarged, Filter::CatmullRom);
            }
            enlarged.pixel(0, 0)
        });
    });
    let model = open_model(&Device::flex());
    let sharpener = model.upscaler.expect("the shipped model has an upscaler").sharpener();
    group.bench_function("256×144 to 1280×720, learned", |bencher| {
        bencher.iter(|| {
            for frame in &frames {
                black_box(enlarge(&sharpener, black_box(frame)));
            }
        });
    });
    group.finish();
}

fn h264(criterion: &mut Criterion) {
    let mut resizer = Resizer::new();
    let frames: Vec<Frame> =
        native_frames(FRAMES).iter().map(|frame| resizer.resize(frame, OUTPUT, Filter::CatmullRom)).collect();
    let mut group = criterion.benchmark_group("h264");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("1280×720", |bencher| {
        bencher.iter(|| {
            let mut writer = Mp4Writer::new(OUTPUT, FrameRate::whole(FRAME_RATE), Quality::default())
                .expect("the size and rate are allowed");
            for frame in &frames {
                writer.push(frame).expect("the encoder takes every frame");
            }
            writer.finish().expect("the file closes")
        });
    });
    group.finish();
}

fn whole(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let generate = || {
        let finished = Command::new(env!("CARGO_BIN_EXE_misora"))
            .args(["generate", PROMPT, "--seed", "7", "--size", "1280x720", "--seconds", "4"])
            .arg("--home")
            .arg(folder.path())
            .arg("-o")
            .arg(folder.path().join("boat.mp4"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(finished.expect("the program starts").success(), "the program fails");
    };
    // The first run makes the signing key, which later ones find.
    generate();
    let mut group = criterion.benchmark_group("whole");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("4 s of 1280×720, signed", |bencher| bencher.iter(generate));
    group.finish();
}

/// Ten samples of each in a few seconds: the parts take milliseconds to seconds, and vary little.
fn few_samples() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
}

criterion_group! {
    name = paper;
    config = few_samples();
    targets = text_encoder, dit_step, vae, upscale, h264, whole
}
criterion_main!(paper);
