//! The same model in every layout that weights are published in, and files that are not what they should be.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use diffusion::wan::{Precision, WanFamily, WanFiles, WanModel, WanSettings, WanVae, WanVaeConfig, WanVaePart};
use diffusion::{Checkpoint, Error};
use kernels::{Format, Unit};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use crate::fixture::{Fixture, device, relative};

/// Tensors as they are written: kind, shape, bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixture(name: &str) -> Fixture {
    Fixture::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

fn write(path: &Path, tensors: &Tensors) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A copy of a fixture's model, to be changed.
fn copied(fixture: &Fixture) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_folder(&fixture.folder, copy.path());
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target)
        } else {
            std::fs::write(&target, std::fs::read(&path).unwrap()).unwrap()
        }
    }
}

const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT_ENCODER: &str = "text_encoder/model.safetensors";

/// A fixture's files under their original names.
fn original(fixture: &Fixture, prefix: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let names = std::fs::read(fixture.folder.join("original_names.json")).unwrap();
    let names: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&names).unwrap();
    for (component, file, target, prefix) in [
        ("transformer", TRANSFORMER, "wan.safetensors", prefix),
        ("vae", VAE, "Wan_VAE.safetensors", ""),
        ("text_encoder", TEXT_ENCODER, "models_t5_umt5-xxl-enc.safetensors", ""),
    ] {
        let mut tensors = read(&fixture.folder.join(file));
        let renamed: Tensors = names[component]
            .iter()
            .map(|(theirs, ours)| {
                (format!("{prefix}{theirs}"), tensors.remove(ours).unwrap_or_else(|| panic!("{ours}")))
            })
            .collect();
        assert!(tensors.is_empty(), "{component}: {:?}", tensors.keys());
        write(&folder.path().join(target), &renamed);
    }
    // Sizes that real ones have and these have not stand in configurations.
    std::fs::copy(fixture.folder.join("transformer/config.json"), folder.path().join("config.json")).unwrap();
    copy_folder(&fixture.folder.join("tokenizer"), &folder.path().join("tokenizer"));
    std::fs::create_dir(folder.path().join("vae")).unwrap();
    std::fs::copy(fixture.folder.join("vae/config.json"), folder.path().join("vae/config.json")).unwrap();
    folder
}

fn open(folder: &Path) -> Result<WanModel, Error> {
    WanModel::open(folder, WanSettings::default(), device())
}

fn velocity(model: &WanModel, fixture: &Fixture) -> Tensor<5> {
    let transformer = model.transformer(false).unwrap();
    let image = fixture.has("clip.image_embeds").then(|| fixture.tensor::<3>("clip.image_embeds"));
    let context = transformer.context(fixture.tensor("text.cond.embeds"), image).unwrap();
    let timestep = match fixture.shape("step.0.timestep")[..] {
        [_] => fixture.integers("step.0.timestep")[0] as f32,
        _ => fixture.values("step.0.timestep")[0],
    };
    transformer.forward(fixture.tensor("step.0.model_input"), &[timestep], &context).unwrap()
}

fn error_of_velocity(model: &WanModel, fixture: &Fixture) -> f64 {
    relative(velocity(model, fixture), &fixture.values("step.0.cond"))
}

fn error_of_decoding(model: &WanModel, fixture: &Fixture) -> f64 {
    let mut pieces = Vec::new();
    let vae = model.vae(WanVaePart::Both).unwrap();
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
    relative(Tensor::cat(pieces, 2), &fixture.values("vae.decode.output"))
}

#[test]
fn original_names_are_the_same_model() {
    for (name, family) in [("wan21-t2v", WanFamily::TextToVideo21), ("wan22-ti2v", WanFamily::TextToVideo21)] {
        for prefix in ["", "model.diffusion_model."] {
            let fixture = fixture(name);
            let folder = original(&fixture, prefix);
            let model = open(folder.path()).unwrap();
            // That timesteps are those of frames stands in no tensor: the real one is known by its 48 channels.
            assert_eq!(model.family(), family);
            assert!(error_of_velocity(&model, &fixture) < 1e-4);
            assert!(error_of_decoding(&model, &fixture) < 1e-4);
            let states = model.read_prompts(&[fixture.text("prompt")]).unwrap().remove(0);
            assert!(relative(states, &fixture.values("text.cond.embeds")) < 1e-4);
            // And the file itself may be named.
            let model = open(&folder.path().join("wan.safetensors")).unwrap();
            assert!(error_of_velocity(&model, &fixture) < 1e-4);
        }
    }
}

#[test]
fn a_transformer_that_reads_pictures_has_original_names_too() {
    let fixture = fixture("wan21-i2v");
    let folder = original(&fixture, "");
    copy_folder(&fixture.folder.join("image_encoder"), &folder.path().join("image_encoder"));
    let model = open(folder.path()).unwrap();
    assert_eq!(model.family(), WanFamily::ImageToVideo21);
    assert!(error_of_velocity(&model, &fixture) < 1e-4);
}

/// The folder that the script of the reference wrote, without any configuration of ours for the autoencoder.
/// The fixture's autoencoder of 2.2 with as many latent channels as the published one has; those it lacks count for nothing.
#[test]
fn the_published_autoencoders_need_no_configuration() {
    const LATENTS: usize = 48;
    let fixture = fixture("wan22-ti2v");
    let mut tensors = read(&fixture.folder.join(VAE));
    for (name, grown) in [
        ("post_quant_conv.weight", [true; 2]),
        ("post_quant_conv.bias", [true, false]),
        ("decoder.conv_in.weight", [false, true]),
    ] {
        let (_, shape, values) = tensors.get_mut(name).unwrap();
        let (old, mut new) = (shape.clone(), shape.clone());
        for axis in 0..2 {
            if grown[axis] {
                new[axis] = LATENTS;
            }
        }
        let (input, taps) = (old.get(1).copied().unwrap_or(1), old.iter().skip(2).product::<usize>());
        let wide = new.get(1).copied().unwrap_or(1);
        let mut padded = vec![0.0; new.iter().product()];
        for (index, values) in floats(values).chunks(input * taps).enumerate() {
            padded[index * wide * taps..][..input * taps].copy_from_slice(values);
        }
        (*shape, *values) = (new, bytes(&padded));
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vae.safetensors");
    write(&file, &tensors);
    let weights = Checkpoint::open(&file).unwrap();
    let config = WanVaeConfig::of(&weights).unwrap();
    assert_eq!((config.spatial_compression(), config.latents_mean.len()), (16, LATENTS));
    // The fixture's levels are narrower than those of the published one.
    let config = WanVaeConfig { decoder_base_dim: Some(2), dim_mult: vec![1, 2, 2, 2], ..config };
    let vae = WanVae::read(&config, &weights, WanVaePart::Decoder, &device()).unwrap();
    let latents = fixture.tensor::<5>("vae.decode.input");
    let [batch, channels, frames, rows, columns] = latents.dims();
    let more = Tensor::ones([batch, LATENTS - channels, frames, rows, columns], &device());
    let mut pieces = Vec::new();
    vae.reconstruct(
        Tensor::cat(vec![latents, more], 1),
        None,
        || ControlFlow::Continue(()),
        |piece| {
            pieces.push(piece);
            Ok::<_, Error>(())
        },
    )
    .unwrap();
    let error = relative(Tensor::cat(pieces, 2), &fixture.values("vae.decode.output"));
    assert!(error < 1e-4, "{error:.2e}");
}

#[test]
fn the_originals_beside_this_repository_are_read() {
    for fixture in Fixture::all() {
        let originals = fixture.folder.join("original");
        if !originals.is_dir() {
            continue;
        }
        let folder = TempDir::new().unwrap();
        copy_folder(&originals, folder.path());
        copy_folder(&fixture.folder.join("tokenizer"), &folder.path().join("tokenizer"));
        std::fs::copy(fixture.folder.join("transformer/config.json"), folder.path().join("config.json")).unwrap();
        let model = open(folder.path()).unwrap();
        assert!(error_of_velocity(&model, &fixture) < 1e-4);
        assert!(error_of_decoding(&model, &fixture) < 1e-4);
    }
}

#[test]
fn two_experts_are_told_apart_by_their_names() {
    let fixture = fixture("wan22-a14b");
    let folder = original(&self::fixture("wan21-t2v"), "");
    let path = folder.path();
    std::fs::rename(path.join("wan.safetensors"), path.join("unused")).unwrap();
    for (component, name) in [("transformer", "wan_high_noise"), ("transformer_2", "wan_low_noise")] {
        let from = fixture.folder.join(component).join("diffusion_pytorch_model.safetensors");
        std::fs::copy(from, path.join(format!("{name}.safetensors"))).unwrap();
    }
    let model = open(path).unwrap();
    assert_eq!(model.family(), WanFamily::TextToVideo22);
    assert!(error_of_velocity(&model, &fixture) < 1e-4);
    assert_eq!(model.files().boundary_ratio, Some(0.875));
}

#[test]
fn shards_are_one_network() {
    let fixture = fixture("wan21-t2v");
    let folder = copied(&fixture);
    let place = folder.path().join("transformer");
    let whole = read(&folder.path().join(TRANSFORMER));
    std::fs::remove_file(folder.path().join(TRANSFORMER)).unwrap();
    let mut shards = [Tensors::new(), Tensors::new(), Tensors::new()];
    let mut index = serde_json::Map::new();
    for (number, (name, tensor)) in whole.into_iter().enumerate() {
        let file = format!("diffusion_pytorch_model-{:05}-of-00003.safetensors", number % 3 + 1);
        index.insert(name.clone(), file.into());
        shards[number % 3].insert(name, tensor);
    }
    for (number, shard) in shards.iter().enumerate() {
        write(&place.join(format!("diffusion_pytorch_model-{:05}-of-00003.safetensors", number + 1)), shard);
    }
    let path = place.join("diffusion_pytorch_model.safetensors.index.json");
    let mut text = serde_json::json!({ "metadata": {}, "weight_map": index });
    std::fs::write(&path, text.to_string()).unwrap();
    assert!(error_of_velocity(&open(folder.path()).unwrap(), &fixture) < 1e-4);

    // The file that is missing is named.
    let second = place.join("diffusion_pytorch_model-00002-of-00003.safetensors");
    let moved = place.join("away");
    std::fs::rename(&second, &moved).unwrap();
    assert_told(folder.path(), &second, "a missing shard");
    std::fs::rename(&moved, &second).unwrap();

    // An index leads nowhere else.
    for elsewhere in ["../vae/diffusion_pytorch_model.safetensors", "/etc/passwd", "..", "away", ".safetensors", ""] {
        text["weight_map"]["patch_embedding.bias"] = elsewhere.into();
        std::fs::write(&path, text.to_string()).unwrap();
        assert_told(folder.path(), &path, elsewhere);
    }
}

/// Weights of fewer bits: no further from the reference than its own 16-bit run, where it has one.
#[test]
fn weights_may_be_stored_in_fewer_bits() {
    for name in ["wan21-t2v", "wan21-i2v", "wan22-ti2v"] {
        let fixture = fixture(name);
        let theirs = relative(fixture.tensor::<5>("bf16.step.0.cond"), &fixture.values("step.0.cond"));
        for (dtype, most) in
            [(Dtype::BF16, theirs), (Dtype::F16, theirs / 4.0), (Dtype::F8_E4M3, 0.2), (Dtype::F64, 1e-5)]
        {
            let folder = copied(&fixture);
            let mut tensors = read(&folder.path().join(TRANSFORMER));
            for (kind, _, data) in tensors.values_mut() {
                *data = stored_as(dtype, &floats(data));
                *kind = dtype;
            }
            write(&folder.path().join(TRANSFORMER), &tensors);
            // They are multiplied in 16 bits where they have no more and it is faster.
            let quick = Unit::fastest(Format::Bf16).gains() && dtype != Dtype::F64;
            let suited = Precision::suited(&open(folder.path()).unwrap().files().transformer.weights);
            assert_eq!(suited, if quick { Precision::Bf16 } else { Precision::F32 }, "{dtype:?}");
            let error = error_of_velocity(&open(folder.path()).unwrap(), &fixture);
            println!("{name} {dtype:?}: {error:.2e}, the reference in 16 bits {theirs:.2e}");
            assert!(error < most, "{name} {dtype:?}: {error:.2e}, at most {most:.2e}");
        }
    }
}

fn stored_as(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| match dtype {
            Dtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
            Dtype::BF16 => {
                let bits = value.to_bits();
                ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).to_le_bytes()[..2].to_vec()
            }
            Dtype::F16 => nearest(*value, 65536, f16_of).to_le_bytes()[..2].to_vec(),
            _ => vec![nearest(*value, 256, f8_of) as u8],
        })
        .collect()
}

/// The magnitudes of a small format rise with their bits: the nearest by halving.
fn nearest(value: f32, count: u32, of: fn(u32) -> f32) -> u32 {
    let half = count / 2;
    let (mut low, mut high) = (0, half - 1);
    while !of(high).is_finite() {
        high -= 1;
    }
    while low + 1 < high {
        let middle = (low + high) / 2;
        if of(middle) <= value.abs() { low = middle } else { high = middle }
    }
    let bits = if value.abs() - of(low) <= of(high) - value.abs() { low } else { high };
    bits + if value.is_sign_negative() { half } else { 0 }
}

fn f16_of(bits: u32) -> f32 {
    match (bits >> 10 & 31, bits & 1023) {
        (0, mantissa) => mantissa as f32 * 2f32.powi(-24),
        (31, _) => f32::INFINITY,
        (exponent, mantissa) => (1.0 + mantissa as f32 / 1024.0) * 2f32.powi(exponent as i32 - 15),
    }
}

fn f8_of(bits: u32) -> f32 {
    match (bits >> 3 & 15, bits & 7) {
        (0, mantissa) => mantissa as f32 * 2f32.powi(-9),
        (15, 7) => f32::INFINITY,
        (exponent, mantissa) => (1.0 + mantissa as f32 / 8.0) * 2f32.powi(exponent as i32 - 7),
    }
}

/// Repacks in 8 bits have a factor beside each weight.
#[test]
fn scaled_weights_are_multiplied() {
    let fixture = fixture("wan21-t2v");
    let folder = original(&fixture, "model.diffusion_model.");
    let path = folder.path().join("wan.safetensors");
    let mut tensors = read(&path);
    let mut factors = Tensors::new();
    for (name, (_, _, data)) in &mut tensors {
        if let Some(layer) =
            name.strip_suffix(".weight").filter(|layer| layer.contains("attn") && !layer.contains("norm"))
        {
            *data = bytes(&floats(data).iter().map(|value| value / 0.125).collect::<Vec<_>>());
            factors.insert(format!("{layer}.scale_weight"), (Dtype::F32, vec![], bytes(&[0.125])));
        }
    }
    assert!(factors.len() > 10);
    tensors.extend(factors);
    write(&path, &tensors);
    assert!(error_of_velocity(&open(folder.path()).unwrap(), &fixture) < 1e-4);
}

/// A file in the GGUF format, every tensor in 32 bits, axes above four stored flat.
fn write_gguf(path: &Path, tensors: &Tensors) {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let deep = tensors.iter().filter(|(_, (_, shape, _))| shape.len() > 4);
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((1 + deep.clone().count() as u64).to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8u32.to_le_bytes());
    text(&mut out, "wan");
    for (name, (_, shape, _)) in deep {
        text(&mut out, &format!("comfy.gguf.orig_shape.{name}"));
        out.extend([9u32, 5].map(u32::to_le_bytes).concat());
        out.extend((shape.len() as u64).to_le_bytes());
        shape.iter().for_each(|side| out.extend((*side as u32).to_le_bytes()));
    }
    let mut offset = 0u64;
    for (name, (_, shape, data)) in tensors {
        text(&mut out, name);
        let flat = [shape.iter().skip(1).product::<usize>(), shape[0]];
        let stored: Vec<usize> = if shape.len() > 4 { flat.to_vec() } else { shape.iter().rev().copied().collect() };
        out.extend((stored.len() as u32).to_le_bytes());
        stored.iter().for_each(|side| out.extend((*side as u64).to_le_bytes()));
        out.extend(0u32.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset = (offset + data.len() as u64).next_multiple_of(32);
    }
    for (_, _, data) in tensors.values() {
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
    }
    std::fs::write(path, out).unwrap();
}

#[test]
fn gguf_is_the_same_model() {
    let fixture = fixture("wan21-t2v");
    let folder = original(&fixture, "");
    let path = folder.path().join("wan.safetensors");
    let tensors = read(&path);
    std::fs::remove_file(path).unwrap();
    write_gguf(&folder.path().join("wan.gguf"), &tensors);
    assert!(error_of_velocity(&open(folder.path()).unwrap(), &fixture) < 1e-4);
}

/// The file of additions, and the tensors with them merged by hand.
struct Additions {
    lora: Tensors,
    merged: Tensors,
}

fn additions(
    base: &Tensors,
    layers: &[(&str, &str)],
    weight: f32,
    alpha: Option<f32>,
    ends: [&str; 2],
    seed: u64,
) -> Additions {
    const RANK: usize = 3;
    let mut random = Pcg64::seed_from_u64(seed);
    let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-0.3..0.3)).collect() };
    let (mut lora, mut merged) = (Tensors::new(), base.clone());
    for (ours, theirs) in layers {
        let (_, shape, data) = merged.get_mut(&format!("{ours}.weight")).unwrap();
        let (rows, columns) = (shape[0], shape[1]);
        let (up, down) = (values(rows * RANK), values(RANK * columns));
        let factor = weight * alpha.map_or(1.0, |alpha| alpha / RANK as f32);
        let mut weights = floats(data);
        for row in 0..rows {
            for column in 0..columns {
                let sum: f32 = (0..RANK).map(|rank| up[row * RANK + rank] * down[rank * columns + column]).sum();
                weights[row * columns + column] += factor * sum;
            }
        }
        *data = bytes(&weights);
        lora.insert(format!("{theirs}.{}", ends[0]), (Dtype::F32, vec![RANK, columns], bytes(&down)));
        lora.insert(format!("{theirs}.{}", ends[1]), (Dtype::F32, vec![rows, RANK], bytes(&up)));
        if let Some(alpha) = alpha {
            lora.insert(format!("{theirs}.alpha"), (Dtype::F32, vec![], bytes(&[alpha])));
        }
    }
    Additions { lora, merged }
}

#[test]
fn loras_are_merged_by_any_of_their_names() {
    let fixture = fixture("wan21-t2v");
    let base = read(&fixture.folder.join(TRANSFORMER));
    let (first, second) = ("blocks.0.attn1.to_q", "blocks.1.ffn.net.2");
    let peft = ["lora_A.weight", "lora_B.weight"];
    let kohya = ["lora_down.weight", "lora_up.weight"];
    for (names, ends) in [
        (["transformer.blocks.0.attn1.to_q", "transformer.blocks.1.ffn.net.2"], peft),
        (["diffusion_model.blocks.0.self_attn.q", "diffusion_model.blocks.1.ffn.2"], peft),
        (["lora_unet_blocks_0_self_attn_q", "lora_unet_blocks_1_ffn_2"], kohya),
    ] {
        // Two files, one after the other, with weights of their own.
        let one = additions(&base, &[(first, names[0])], 0.8, Some(6.0), ends, 1);
        let mut two = additions(&one.merged, &[(first, names[0]), (second, names[1])], -0.5, None, ends, 2);
        // A whole difference of a bias beside them.
        let bias: Vec<f32> = (0..28).map(|index| index as f32 * 0.01).collect();
        two.lora.insert(format!("{}.diff_b", names[0]), (Dtype::F32, vec![28], bytes(&bias)));
        let (_, _, merged_bias) = two.merged.get_mut("blocks.0.attn1.to_q.bias").unwrap();
        let sum: Vec<f32> = floats(merged_bias).iter().zip(&bias).map(|(value, added)| value - 0.5 * added).collect();
        *merged_bias = bytes(&sum);
        // A layer that this model lacks is told, not fatal.
        two.lora.insert(
            format!("diffusion_model.blocks.77.self_attn.q.{}", ends[0]),
            (Dtype::F32, vec![3, 28], vec![0; 336]),
        );
        two.lora.insert(
            format!("diffusion_model.blocks.77.self_attn.q.{}", ends[1]),
            (Dtype::F32, vec![28, 3], vec![0; 336]),
        );

        let by_hand = copied(&fixture);
        write(&by_hand.path().join(TRANSFORMER), &two.merged);
        let folder = TempDir::new().unwrap();
        let paths = ["one.safetensors", "two.safetensors"].map(|name| folder.path().join(name));
        write(&paths[0], &one.lora);
        write(&paths[1], &two.lora);
        for streamed in [false, true] {
            let loras = vec![(paths[0].clone(), 0.8), (paths[1].clone(), -0.5)];
            let settings = WanSettings { loras, streamed, ..WanSettings::default() };
            let model = WanModel::open(&fixture.folder, settings, device()).unwrap();
            assert_eq!((model.loras()[0].merged, model.loras()[1].merged), (1, 2));
            assert_eq!(model.loras()[1].unknown, ["diffusion_model.blocks.77.self_attn.q"]);
            let theirs: Vec<f32> = velocity(&open(by_hand.path()).unwrap(), &fixture).into_data().try_to_vec().unwrap();
            let error = relative(velocity(&model, &fixture), &theirs);
            assert!(error < 1e-5, "{names:?}: {error:.2e}");
            assert!(error_of_velocity(&model, &fixture) > 1e-2, "merging changed nothing");
        }
    }
}

#[test]
fn loras_that_do_not_fit_are_told() {
    let fixture = fixture("wan21-t2v");
    let base = read(&fixture.folder.join(TRANSFORMER));
    let ends = ["lora_A.weight", "lora_B.weight"];
    let fitting = additions(&base, &[("blocks.0.attn1.to_q", "blocks.0.attn1.to_q")], 1.0, None, ends, 1).lora;
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut lora = fitting.clone();
        change(&mut lora);
        lora
    };
    let (down, up) = ("blocks.0.attn1.to_q.lora_A.weight", "blocks.0.attn1.to_q.lora_B.weight");
    for (what, lora) in [
        ("half of it", changed(&|lora| drop(lora.remove(up)))),
        ("another width", changed(&|lora| drop(lora.insert(down.into(), (Dtype::F32, vec![3, 20], vec![0; 240]))))),
        ("another rank", changed(&|lora| drop(lora.insert(up.into(), (Dtype::F32, vec![28, 2], vec![0; 224]))))),
        (
            "no rank",
            changed(&|lora| {
                lora.insert(down.into(), (Dtype::F32, vec![0, 28], vec![]));
                lora.insert(up.into(), (Dtype::F32, vec![28, 0], vec![]));
            }),
        ),
        (
            "of another model",
            changed(&|lora| {
                let layers: Tensors = std::mem::take(lora)
                    .into_iter()
                    .map(|(name, tensor)| (name.replace("attn1", "attn9"), tensor))
                    .collect();
                *lora = layers;
            }),
        ),
        ("no LoRA", base.clone()),
        (
            "a difference of another length",
            changed(&|lora| {
                lora.insert("blocks.0.attn1.to_q.diff_b".into(), (Dtype::F32, vec![2], vec![0; 8]));
            }),
        ),
        (
            "two alphas",
            changed(&|lora| drop(lora.insert("blocks.0.attn1.to_q.alpha".into(), (Dtype::F32, vec![2], vec![0; 8])))),
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("lora.safetensors");
        write(&path, &lora);
        let settings = WanSettings { loras: vec![(path.clone(), 1.0)], ..WanSettings::default() };
        match WanModel::open(&fixture.folder, settings, device()) {
            Err(Error::ModelFile { path: named, .. }) => assert_eq!(named, path, "{what}"),
            other => panic!("{what}: {:?}", other.map(|model| model.family())),
        }
    }
}

/// Opens a whole model, reads its networks, and expects to be told of `file`.
fn assert_told(folder: &Path, file: &Path, what: &str) {
    let all = || -> Result<(), Error> {
        let model = open(folder)?;
        model.read_prompts(&["a"])?;
        model.transformer(false)?;
        model.vae(WanVaePart::Both)?;
        Ok(())
    };
    match all() {
        Err(Error::ModelFile { path, reason }) => {
            assert_eq!(path, file, "{what}: {reason}");
            assert!(!reason.is_empty(), "{what}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn missing_files_are_named() {
    let fixture = fixture("wan21-t2v");
    for file in [
        "tokenizer/tokenizer.json",
        "text_encoder/config.json",
        TEXT_ENCODER,
        "transformer/config.json",
        TRANSFORMER,
        "vae/config.json",
        VAE,
        "scheduler/scheduler_config.json",
    ] {
        let folder = copied(&fixture);
        let path = folder.path().join(file);
        std::fs::remove_file(&path).unwrap();
        assert_told(folder.path(), &path, "missing");
        std::fs::create_dir(&path).unwrap();
        assert_told(folder.path(), &path, "a folder in its place");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_told(folder.path(), &path, "empty");
        std::fs::write(&path, [0u8; 40]).unwrap();
        assert_told(folder.path(), &path, "zeros");
    }
}

#[test]
fn pickles_are_refused_and_what_to_take_is_said() {
    let fixture = fixture("wan21-t2v");
    let reason = |folder: &Path| match open(folder) {
        Err(Error::ModelFile { path, reason }) => (path, reason),
        other => panic!("{:?}", other.map(|model| model.family())),
    };
    // Beside a configuration, where safetensors would be.
    let folder = copied(&fixture);
    std::fs::remove_file(folder.path().join(VAE)).unwrap();
    let pickle = folder.path().join("vae/diffusion_pytorch_model.bin");
    std::fs::write(&pickle, b"PK\x03\x04 and so on").unwrap();
    let (path, reason_given) = reason(folder.path());
    assert_eq!(path, pickle);
    assert!(reason_given.contains("safetensors"), "{reason_given}");
    // By another name.
    for bytes in [&b"PK\x03\x04zip archives of newer versions"[..], b"\x80\x02pickles of older ones, some bytes long"] {
        std::fs::write(folder.path().join(VAE), bytes).unwrap();
        let (path, reason_given) = reason(folder.path());
        assert_eq!(path, folder.path().join(VAE));
        assert!(reason_given.contains("pickle"), "{reason_given}");
    }
    // As the originals ship them.
    let folder = original(&fixture, "");
    let (whole, pickle) = (folder.path().join("Wan_VAE.safetensors"), folder.path().join("Wan2.1_VAE.pth"));
    std::fs::rename(whole, &pickle).unwrap();
    let (path, reason_given) = reason(folder.path());
    assert_eq!(path, pickle);
    assert!(reason_given.contains("-Diffusers"), "{reason_given}");
}

#[test]
fn truncated_weights_are_named() {
    let fixture = fixture("wan21-t2v");
    for file in [TRANSFORMER, VAE, TEXT_ENCODER] {
        let folder = copied(&fixture);
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        for length in [1, 7, 8, 9, header / 2, header - 1, header, header + 1, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_told(folder.path(), &path, &format!("cut after {length} bytes"));
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_told(folder.path(), &path, "one byte too many");
    }
}

/// Told, or it did not matter; never a panic.
#[test]
fn changed_bytes_of_a_header_are_no_panic() {
    let fixture = fixture("wan21-t2v");
    let whole = std::fs::read(fixture.folder.join(TRANSFORMER)).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("changed.safetensors");
    let mut random = Pcg64::seed_from_u64(3);
    let mut told = 0;
    for case in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..=case % 3 {
            let place = random.random_range(0..header);
            bytes[place] = if case % 2 == 0 { random.random() } else { bytes[place] ^ 1 << random.random_range(0..8) };
        }
        std::fs::write(&path, bytes).unwrap();
        match Checkpoint::open(&path) {
            Err(Error::ModelFile { path: named, .. }) => {
                assert_eq!(named, path);
                told += 1;
            }
            Err(other) => panic!("case {case}: {other}"),
            Ok(_) => {}
        }
    }
    assert!(told > 150, "only {told} were told");
}

#[test]
fn configurations_that_make_no_sense_are_told() {
    let fixture = fixture("wan21-t2v");
    let huge = serde_json::json!(u64::MAX);
    for (file, key, value) in [
        ("transformer/config.json", "num_layers", serde_json::json!(3)),
        ("transformer/config.json", "num_layers", huge.clone()),
        ("transformer/config.json", "num_layers", serde_json::json!(1_000_000)),
        ("transformer/config.json", "num_attention_heads", serde_json::json!(0)),
        ("transformer/config.json", "attention_head_dim", serde_json::json!(1u64 << 40)),
        ("transformer/config.json", "patch_size", serde_json::json!([1, 2])),
        ("transformer/config.json", "patch_size", serde_json::json!([0, 2, 2])),
        ("transformer/config.json", "freq_dim", serde_json::json!(15)),
        ("transformer/config.json", "ffn_dim", serde_json::json!(-1)),
        ("transformer/config.json", "text_dim", serde_json::json!("wide")),
        ("vae/config.json", "dim_mult", serde_json::json!([1])),
        ("vae/config.json", "dim_mult", serde_json::json!([1, 2, 2, 1 << 30])),
        ("vae/config.json", "base_dim", huge.clone()),
        ("vae/config.json", "num_res_blocks", huge.clone()),
        ("vae/config.json", "latents_std", serde_json::json!([0.0])),
        ("vae/config.json", "patch_size", serde_json::json!(2)),
        ("text_encoder/config.json", "num_layers", serde_json::json!(3)),
        ("text_encoder/config.json", "num_layers", huge.clone()),
        ("text_encoder/config.json", "num_heads", serde_json::json!(0)),
        ("text_encoder/config.json", "relative_attention_num_buckets", serde_json::json!(0)),
        ("text_encoder/config.json", "d_kv", huge),
        ("scheduler/scheduler_config.json", "_class_name", serde_json::json!("Other")),
        ("scheduler/scheduler_config.json", "flow_shift", serde_json::json!(-3.0)),
        ("model_index.json", "_class_name", serde_json::json!("StableDiffusionPipeline")),
        ("model_index.json", "boundary_ratio", serde_json::json!(0.9)),
    ] {
        let folder = copied(&fixture);
        let path = folder.path().join(file);
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[key] = value.clone();
        std::fs::write(&path, config.to_string()).unwrap();
        let all = || -> Result<(), Error> {
            let model = open(folder.path())?;
            model.read_prompts(&["a"])?;
            model.transformer(false)?;
            model.vae(WanVaePart::Both)?;
            Ok(())
        };
        match all() {
            Err(Error::ModelFile { path, reason }) => {
                let near: PathBuf = path.strip_prefix(folder.path()).unwrap().into();
                println!("{file} {key} {value}: {} {reason}", near.display());
            }
            other => panic!("{file} {key} {value}: {other:?}"),
        }
    }
}

#[test]
fn parts_of_different_models_are_told() {
    let fixture = fixture("wan21-t2v");
    let other = self::fixture("wan22-ti2v");
    for part in ["transformer", "vae"] {
        let folder = copied(&fixture);
        std::fs::remove_dir_all(folder.path().join(part)).unwrap();
        copy_folder(&other.folder.join(part), &folder.path().join(part));
        assert!(matches!(WanFiles::open(folder.path()), Err(Error::ModelFile { .. })), "{part} of another model");
    }
}
