//! Frames that are decoded in tiles and frames that are decoded whole, and what a run is said to need.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Distribution, Tensor};
use diffusion::Error;
use diffusion::wan::{Precision, WanModel, WanPlan, WanRequest, WanSettings, WanSolver, WanTiling, WanVaePart};

use crate::fixture::device;

fn model(name: &str) -> WanModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    WanModel::open(&folder, WanSettings::default(), device()).unwrap()
}

/// Ratio of the signal's power to the difference's, for values in −1…1.
fn psnr(a: &[f32], b: &[f32]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    10.0 * (4.0 * a.len() as f64 / squares.max(1e-30)).log10()
}

#[test]
fn tiles_are_the_whole() {
    for name in ["wan21-t2v", "wan22-ti2v"] {
        let model = model(name);
        let vae = model.vae(WanVaePart::Decoder).unwrap();
        let latents = Tensor::<5>::random([1, vae.config().z_dim, 2, 7, 30], Distribution::Normal(0.0, 1.0), &device());
        let decoded = |tiling: Option<WanTiling>| -> Vec<f32> {
            let mut pieces = Vec::new();
            vae.decode(
                latents.clone(),
                tiling,
                || ControlFlow::Continue(()),
                |piece| {
                    pieces.push(piece);
                    Ok::<_, Error>(())
                },
            )
            .unwrap();
            Tensor::cat(pieces, 2).into_data().try_to_vec().unwrap()
        };
        let whole = decoded(None);
        for side in [7, 15, 100] {
            let ratio = psnr(&whole, &decoded(Some(WanTiling { side })));
            println!("{} tiles of {side}: {ratio:.1} dB", name);
            assert!(ratio >= 45.0, "{} tiles of {side}: {ratio:.1} dB", name);
        }
    }
}

#[test]
fn latents_of_tiles_are_those_of_the_whole() {
    for name in ["wan21-t2v", "wan22-ti2v"] {
        let model = model(name);
        let vae = model.vae(WanVaePart::Encoder).unwrap();
        let grid = vae.config().spatial_compression();
        let frames = [1, 3, 1 + vae.config().temporal_compression(), 5 * grid, 23 * grid];
        let video = Tensor::<5>::random(frames, Distribution::Uniform(-1.0, 1.0), &device());
        let encoded = |tiling: Option<WanTiling>| -> Vec<f32> {
            vae.encode(video.clone(), tiling).unwrap().into_data().try_to_vec().unwrap()
        };
        let whole = encoded(None);
        let largest = whole.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for side in [4, 9, 100] {
            let tiles = encoded(Some(WanTiling { side }));
            let apart = whole.iter().zip(&tiles).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5 * largest, "{name} tiles of {side}: {apart} of {largest} apart");
        }
    }
}

/// In time there is no seam at all: pieces of any length remember what was before them.
#[test]
fn a_clip_that_goes_on_begins_as_the_shorter_one() {
    for name in ["wan21-t2v", "wan22-ti2v"] {
        let model = model(name);
        let vae = model.vae(WanVaePart::Decoder).unwrap();
        let latents = Tensor::<5>::random([1, vae.config().z_dim, 4, 3, 4], Distribution::Normal(0.0, 1.0), &device());
        let decoded = |frames: usize| -> Vec<Vec<f32>> {
            let mut pieces = Vec::new();
            vae.decode(
                latents.clone().narrow(2, 0, frames),
                None,
                || ControlFlow::Continue(()),
                |piece| {
                    pieces.push(piece.into_data().try_to_vec().unwrap());
                    Ok::<_, Error>(())
                },
            )
            .unwrap();
            pieces
        };
        assert_eq!(decoded(4)[..2], decoded(2)[..]);
    }
}

#[test]
fn an_emitter_that_has_enough_is_heard() {
    let model = model("wan21-t2v");
    let latents = Tensor::<5>::zeros([1, 16, 3, 2, 2], &device());
    let mut taken = 0;
    let go_on = || ControlFlow::Continue(());
    let outcome = model.decode(latents, go_on, |_| {
        taken += 1;
        Err(Error::Stopped)
    });
    assert!(matches!(outcome, Err(Error::Stopped)));
    assert_eq!(taken, 1);
}

#[test]
fn whoever_stops_is_heard_before_the_next_piece_of_a_tile() {
    let latents = Tensor::<5>::zeros([1, 16, 3, 2, 30], &device());
    // Whole, three pieces; in tiles, three of what they are cut from and three of each of two.
    for (tiling, all) in [(None, 3), (Some(WanTiling { side: 15 }), 3 + 2 * 3)] {
        let model = model("wan21-t2v").arranged(false, tiling);
        for until in 1..=all + 1 {
            let (mut asked, mut emitted) = (0, 0);
            let progress = || {
                asked += 1;
                if asked == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let outcome = model.decode(latents.clone(), progress, |_| {
                emitted += 1;
                Ok(())
            });
            let stopped = matches!(outcome, Err(Error::Stopped));
            assert_eq!((stopped, asked), (until <= all, until.min(all)), "{tiling:?}, until {until}");
            assert_eq!(
                emitted,
                if tiling.is_none() {
                    until - 1
                } else if stopped {
                    0
                } else {
                    3
                }
            );
        }
    }
}

fn request(height: usize, width: usize, frames: usize) -> WanRequest {
    WanRequest {
        prompt: "a".into(),
        negative_prompt: String::new(),
        picture: None,
        frames,
        height,
        width,
        steps: 30,
        guidance: [5.0; 2],
        guidance_interval: (0.0, 1.0),
        step_cache: 0.0,
        solver: WanSolver::UniPc,
        shift: 3.0,
        seed: 0,
    }
}

#[test]
fn what_does_not_fit_is_streamed_then_tiled_then_refused() {
    let model = model("wan21-t2v");
    let settings = WanSettings::default();
    let request = request(4096, 4096, 5);
    let whole = WanPlan::new(model.files(), &request, &settings).unwrap();
    let fitting = |available| WanPlan::fitting(model.files(), &request, &settings, available).unwrap();
    assert_eq!(fitting(whole.peak_bytes()), Ok(whole.clone()));
    let tiled = fitting(whole.decoding_bytes - 1).unwrap();
    assert!(tiled.tiling.is_some() && tiled.peak_bytes() < whole.decoding_bytes);
    assert!(tiled.operations > whole.operations);
    let refused = fitting(1 << 20).unwrap_err();
    assert!(refused.to_string().contains("there is 0.0 GB"), "{refused}");
    assert!(whole.sentence(1e12).starts_with("needs "), "{}", whole.sentence(1e12));
    let more = WanPlan::new(model.files(), &self::request(4096, 4096, 9), &settings).unwrap();
    assert!(more.operations > whole.operations && more.denoising_bytes > whole.denoising_bytes);
}

#[test]
fn fewer_bits_need_less_memory() {
    let model = model("wan21-t2v");
    // Long enough that what is kept of the prompts, which fewer bits add, is little.
    let request = request(480, 832, 81);
    let bytes = |precision, streamed| {
        let settings = WanSettings { precision, streamed, ..WanSettings::default() };
        let plan = WanPlan::new(model.files(), &request, &settings).unwrap();
        let told = format!(" on this machine in {}", precision.name());
        assert_eq!(plan.sentence(1e12).contains(&told), precision != Precision::F32, "{}", plan.sentence(1e12));
        plan.denoising_bytes
    };
    for streamed in [false, true] {
        let all = [Precision::F32, Precision::Bf16, Precision::Int8].map(|precision| bytes(precision, streamed));
        assert!(all[0] > all[1] && all[1] > all[2], "{all:?}");
    }
}

#[test]
fn sizes_that_no_model_makes_are_told() {
    let model = model("wan21-t2v");
    for (height, width, frames) in [(0, 16, 5), (16, 24, 5), (16, 16, 0), (16, 16, 6)] {
        assert!(model.latent_shape(&request(height, width, frames)).is_err(), "{height} × {width} × {frames}");
    }
}

/// A picture that is missing, unwanted or of another size.
#[test]
fn pictures_that_do_not_fit_are_told() {
    use diffusion::wan::WanPicture;
    let picture = |width: usize, height: usize, bytes: usize| Some(WanPicture { width, height, rgb: vec![0; bytes] });
    let told = |name: &str, picture: Option<WanPicture>| {
        let model = model(name);
        let request = WanRequest { picture, ..request(32, 48, 5) };
        matches!(model.prepare(&request), Err(Error::Given(_)))
    };
    assert!(told("wan21-i2v", None));
    assert!(told("wan21-t2v", picture(48, 32, 48 * 32 * 3)));
    assert!(told("wan21-i2v", picture(32, 48, 48 * 32 * 3)));
    assert!(told("wan21-i2v", picture(48, 32, 48 * 32)));
}
