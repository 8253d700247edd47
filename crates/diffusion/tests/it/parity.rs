//! Every stage of every fixture against the reference, in 32 bits.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use diffusion::Error;
use diffusion::wan::{
    Clip, Precision, WanModel, WanPicture, WanRequest, WanSchedule, WanSettings, WanSolver, WanStepper, WanTransformer,
    WanVaePart, prepared,
};

use crate::fixture::{Fixture, device, relative, relative_values};

/// What the errors of all stages must stay below: relative to the length of what is expected.
const TOLERANCE: f64 = 1e-4;

struct Errors {
    fixture: String,
    worst: f64,
}

impl Errors {
    fn new(fixture: &Fixture) -> Self {
        Self { fixture: fixture.name(), worst: 0.0 }
    }

    fn check(&mut self, stage: &str, error: f64) {
        println!("{:24} {stage:32} {error:.2e}", self.fixture);
        assert!(error < TOLERANCE, "{} {stage}: {error:.2e}", self.fixture);
        self.worst = self.worst.max(error);
    }
}

fn open(fixture: &Fixture) -> WanModel {
    WanModel::open(&fixture.folder, WanSettings::default(), device()).unwrap()
}

fn request(fixture: &Fixture) -> WanRequest {
    let guidance = fixture.number("guidance_scale") as f32;
    let second = fixture.settings["guidance_scale_2"].as_f64().map_or(guidance, |scale| scale as f32);
    WanRequest {
        prompt: fixture.text("prompt").into(),
        negative_prompt: fixture.text("negative_prompt").into(),
        picture: None,
        frames: fixture.number("num_frames") as usize,
        height: fixture.number("height") as usize,
        width: fixture.number("width") as usize,
        steps: fixture.number("num_inference_steps") as usize,
        guidance: [guidance, second],
        guidance_interval: (0.0, 1.0),
        step_cache: 0.0,
        solver: WanSolver::UniPc,
        shift: fixture.number("flow_shift"),
        seed: 0,
    }
}

fn picture(fixture: &Fixture) -> WanPicture {
    let shape = fixture.shape("image");
    WanPicture { width: shape[1], height: shape[0], rgb: fixture.bytes("image") }
}

#[test]
fn there_are_fixtures() {
    assert!(!Fixture::all().is_empty());
}

#[test]
fn token_ids_are_equal() {
    for fixture in Fixture::all() {
        let model = open(&fixture);
        for (label, prompt) in [("cond", "prompt"), ("uncond", "negative_prompt")] {
            let theirs = fixture.integers(&format!("text.{label}.input_ids"));
            let length = fixture.settings["token_lengths"][label].as_u64().unwrap() as usize;
            let ours = model.tokens(fixture.text(prompt)).unwrap();
            let ours: Vec<i64> = ours.into_iter().map(i64::from).collect();
            assert_eq!(ours, theirs[..length], "{} {label}", fixture.name());
            assert!(theirs[length..].iter().all(|id| *id == 0));
        }
    }
}

#[test]
fn text_states_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        let mut errors = Errors::new(&fixture);
        let states = open(&fixture).read_prompts(&[fixture.text("prompt"), fixture.text("negative_prompt")]).unwrap();
        for (label, states) in ["cond", "uncond"].into_iter().zip(states) {
            let theirs = fixture.values(&format!("text.{label}.embeds"));
            errors.check(&format!("text encoder, {label}"), relative(states, &theirs));
        }
    }
}

#[test]
fn picture_states_are_those_of_the_reference() {
    for fixture in Fixture::all().iter().filter(|fixture| fixture.has("clip.image_embeds")) {
        let mut errors = Errors::new(fixture);
        let (model, picture) = (open(fixture), picture(fixture));
        let network = model.files().image_encoder.as_ref().unwrap();
        let side = network.config.image_size;
        let pixels = prepared(&picture.rgb, picture.width, picture.height, side, &device());
        errors.check("picture, prepared", relative(pixels, &fixture.values("clip.pixel_values")));
        let clip = Clip::read(&network.config, &network.weights, &device()).unwrap();
        let states = clip.encode(fixture.tensor("clip.pixel_values")).unwrap();
        errors.check("image encoder", relative(states, &fixture.values("clip.image_embeds")));
    }
}

/// One call of each transformer with the reference's own inputs, with blocks in memory and in their file.
#[test]
fn velocities_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        for streamed in [false, true] {
            let settings = WanSettings { streamed, ..WanSettings::default() };
            let model = WanModel::open(&fixture.folder, settings, device()).unwrap();
            for prefix in ["", "i2v."] {
                if fixture.has(&format!("{prefix}step.0.cond")) {
                    check_velocities(&fixture, &model, prefix, streamed);
                }
            }
        }
    }
}

fn check_velocities(fixture: &Fixture, model: &WanModel, prefix: &str, streamed: bool) {
    let mut errors = Errors::new(fixture);
    let used = fixture.settings["model_used_per_step"].as_array().unwrap();
    for second in [false, true] {
        let name = if second { "transformer_2" } else { "transformer" };
        let Some(step) = used.iter().position(|used| used == name) else { continue };
        let transformer = model.transformer(second).unwrap();
        let input = fixture.tensor::<5>(&format!("{prefix}step.{step}.model_input"));
        let timesteps = timesteps(fixture, &format!("{prefix}step.{step}.timestep"), input.dims()[2]);
        let image = fixture.has("clip.image_embeds").then(|| fixture.tensor::<3>("clip.image_embeds"));
        for label in ["cond", "uncond"] {
            let text = fixture.tensor::<3>(&format!("text.{label}.embeds"));
            let context = transformer.context(text, image.clone()).unwrap();
            let theirs = fixture.values(&format!("{prefix}step.{step}.{label}"));
            let stage = format!("{prefix}{name}, {label}{}", if streamed { ", streamed" } else { "" });
            let velocity = transformer.forward(input.clone(), &timesteps, &context).unwrap();
            errors.check(&stage, relative(velocity, &theirs));
            // What is remembered of the prompt is not used up.
            let again = transformer.forward(input.clone(), &timesteps, &context).unwrap();
            errors.check(&format!("{stage}, again"), relative(again, &theirs));
        }
    }
}

/// Rounded factors: 16 bits stay within what the reference's own 16 bits differ from its 32, and 8 bits within what is measured
/// for these small networks. Blocks in memory and in their file are the same numbers. GPUs have 16 bits.
#[test]
fn rounded_products_stay_near_the_reference() {
    let on_cpu = device() == Device::flex();
    for fixture in Fixture::all() {
        let theirs = relative(fixture.tensor::<5>("bf16.step.0.cond"), &fixture.values("step.0.cond"));
        for (precision, most) in [(Precision::Bf16, theirs), (Precision::Int8, 0.02)] {
            if precision == Precision::Int8 && !on_cpu {
                continue;
            }
            let transformer = |streamed| {
                let settings = WanSettings { precision, streamed, ..WanSettings::default() };
                let model = WanModel::open(&fixture.folder, settings, device()).unwrap();
                model.transformer(false).unwrap()
            };
            let (resident, streamed) = (transformer(false), transformer(true));
            assert_eq!(resident.precision(), precision);
            // Of one time for all frames, and of one for each.
            for prefix in ["", "i2v."] {
                if !fixture.has(&format!("{prefix}step.0.cond")) {
                    continue;
                }
                let input = fixture.tensor::<5>(&format!("{prefix}step.0.model_input"));
                let timesteps = timesteps(&fixture, &format!("{prefix}step.0.timestep"), input.dims()[2]);
                let image = fixture.has("clip.image_embeds").then(|| fixture.tensor::<3>("clip.image_embeds"));
                let velocity = |transformer: &WanTransformer| {
                    let text = fixture.tensor::<3>("text.cond.embeds");
                    let context = transformer.context(text, image.clone()).unwrap();
                    transformer.forward(input.clone(), &timesteps, &context).unwrap()
                };
                let (velocity, same) = (velocity(&resident), velocity(&streamed));
                let same = same.into_data().try_to_vec::<f32>().unwrap();
                // A GPU may have timed its kernels anew and taken others.
                let apart = relative(velocity.clone(), &same);
                assert!(apart <= if on_cpu { 0.0 } else { most }, "{}: {apart:.2e}", fixture.name());
                let error = relative(velocity, &fixture.values(&format!("{prefix}step.0.cond")));
                let label = format!("{} {prefix} {}", fixture.name(), precision.name());
                println!("{label}: {error:.2e}, the reference in 16 bits {theirs:.2e}");
                assert!(error < most, "{label}: {error:.2e}, at most {most:.2e}");
            }
        }
    }
}

/// One for all latent frames, or one for each: the reference has one for each token.
fn timesteps(fixture: &Fixture, name: &str, frames: usize) -> Vec<f32> {
    match fixture.shape(name)[..] {
        [_] => vec![fixture.integers(name)[0] as f32],
        [_, tokens] => fixture.values(name).into_iter().step_by(tokens / frames).collect(),
        _ => panic!("{name}"),
    }
}

/// The solver alone, with the reference's velocities.
#[test]
fn steps_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        let mut errors = Errors::new(&fixture);
        let request = request(&fixture);
        let schedule = WanSchedule::new(WanSolver::UniPc, request.steps, request.shift);
        let theirs: Vec<f32> = fixture.integers("sched.timesteps").into_iter().map(|t| t as f32).collect();
        assert_eq!(schedule.timesteps, theirs);
        let mut stepper = WanStepper::new(WanSolver::UniPc, &schedule);
        let mut latents = fixture.tensor::<5>("noise");
        let used = fixture.settings["model_used_per_step"].as_array().unwrap();
        for (step, expert) in used.iter().enumerate() {
            let guidance = request.guidance[usize::from(expert == "transformer_2")];
            let away = fixture.tensor::<5>(&format!("step.{step}.uncond"));
            let towards = fixture.tensor::<5>(&format!("step.{step}.cond"));
            latents = stepper.step(away.clone() + (towards - away) * guidance, latents);
            let theirs = fixture.values(&format!("step.{step}.latents"));
            errors.check(&format!("solver, step {step}"), relative(latents.clone(), &theirs));
        }
    }
}

#[test]
fn schedules_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        for table in fixture.settings["schedules"].as_array().unwrap() {
            let (steps, shift) = (table["steps"].as_u64().unwrap() as usize, table["flow_shift"].as_f64().unwrap());
            let schedule = WanSchedule::new(WanSolver::UniPc, steps, shift);
            let numbers = |key: &str| -> Vec<f32> {
                table[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
            };
            assert_eq!(schedule.timesteps, numbers("timesteps"), "{steps} steps, shift {shift}");
            assert_eq!(schedule.sigmas, numbers("sigmas"), "{steps} steps, shift {shift}");
        }
    }
}

/// The whole way from the prompt to the latents, with the reference's noise.
#[test]
fn latents_of_every_step_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        let mut errors = Errors::new(&fixture);
        let model = open(&fixture);
        for prefix in ["", "i2v."] {
            if !fixture.has(&format!("{prefix}step.0.cond")) {
                continue;
            }
            let mut request = request(&fixture);
            if fixture.has("i2v.condition") || prefix == "i2v." {
                request.picture = Some(picture(&fixture));
            }
            let inputs = model.prepare(&request).unwrap();
            if let Some(condition) = &inputs.condition {
                errors.check("condition of the picture", relative(condition.clone(), &fixture.values("i2v.condition")));
            }
            let noise = fixture.tensor::<5>("noise");
            assert_eq!(model.latent_shape(&request).unwrap(), noise.dims());
            let mut check = |step: usize, latents: &Tensor<5>| {
                let theirs = fixture.values(&format!("{prefix}step.{step}.latents"));
                errors.check(&format!("{prefix}loop, step {step}"), relative(latents.clone(), &theirs));
            };
            let latents = model
                .denoise(&request, &inputs, noise, |done, latents| {
                    if done > 0 {
                        check(done - 1, latents);
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            if fixture.has(&format!("{prefix}final_latents")) {
                let theirs = fixture.values(&format!("{prefix}final_latents"));
                errors.check(&format!("{prefix}loop, result"), relative(latents, &theirs));
            } else {
                check(request.steps - 1, &latents);
            }
        }
    }
}

#[test]
fn decoded_frames_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        let mut errors = Errors::new(&fixture);
        let vae = open(&fixture).vae(WanVaePart::Decoder).unwrap();
        let mut pieces = Vec::new();
        vae.reconstruct(
            fixture.tensor("vae.decode.input"),
            None,
            || ControlFlow::Continue(()),
            |piece| {
                pieces.push(piece);
                Ok::<_, Error>(())
            },
        )
        .unwrap();
        let frames = Tensor::cat(pieces, 2);
        errors.check("vae, decode", relative(frames, &fixture.values("vae.decode.output")));
    }
}

#[test]
fn encoded_frames_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        let mut errors = Errors::new(&fixture);
        let vae = open(&fixture).vae(WanVaePart::Encoder).unwrap();
        let shape: [usize; 4] = fixture.shape("vae.encode.input_u8").try_into().unwrap();
        let values: Vec<f32> =
            fixture.bytes("vae.encode.input_u8").into_iter().map(|byte| f32::from(byte) / 255.0 * 2.0 - 1.0).collect();
        let video = Tensor::<4>::from_data(TensorData::new(values, shape), &device());
        let video = video.permute([3, 0, 1, 2]).unsqueeze_dim::<5>(0);
        let posterior = vae.posterior(video.clone(), None).unwrap();
        errors.check("vae, encode, mean", relative(posterior.mean, &fixture.values("vae.encode.mean")));
        errors
            .check("vae, encode, log variance", relative(posterior.log_variance, &fixture.values("vae.encode.logvar")));
        let normal = vae.encode(video, None).unwrap();
        errors.check("vae, encode, normalised", relative(normal, &fixture.values("vae.encode.normalized")));
    }
}

#[test]
fn the_distance_is_one() {
    assert_eq!(relative_values(&[3.0, 4.0], &[0.0, 5.0]), (10f64).sqrt() / 5.0);
}
