//! Names of tensors: those of diffusers, to which every other layout is brought.
//!
//! The original checkpoints call the same layers otherwise, and exchange `norm2` and `norm3`; single-file repacks add a
//! prefix to the original names; GGUF files of the text encoder have the names of llama.cpp.

/// Prefixes that repacks and trainers put before names.
const PREFIXES: [&str; 5] =
    ["base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer_2.", "transformer."];

/// Original pieces of transformer names, and ours.
const TRANSFORMER: [(&str, &str); 22] = [
    ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
    ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
    ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
    ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
    ("time_projection.1.", "condition_embedder.time_proj."),
    ("img_emb.proj.0.", "condition_embedder.image_embedder.norm1."),
    ("img_emb.proj.1.", "condition_embedder.image_embedder.ff.net.0.proj."),
    ("img_emb.proj.3.", "condition_embedder.image_embedder.ff.net.2."),
    ("img_emb.proj.4.", "condition_embedder.image_embedder.norm2."),
    ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
    (".self_attn.", ".attn1."),
    (".cross_attn.", ".attn2."),
    (".q.", ".to_q."),
    (".k.", ".to_k."),
    (".v.", ".to_v."),
    (".o.", ".to_out.0."),
    (".k_img.", ".add_k_proj."),
    (".v_img.", ".add_v_proj."),
    (".norm_k_img.", ".norm_added_k."),
    (".ffn.0.", ".ffn.net.0.proj."),
    (".ffn.2.", ".ffn.net.2."),
    ("head.head.", "proj_out."),
];

/// The name of a tensor of the transformer, whatever layout it comes from.
pub(crate) fn transformer(name: &str) -> String {
    let name = without_prefixes(name);
    if name == "head.modulation" {
        return "scale_shift_table".into();
    }
    if !is_original_transformer(name) {
        return name.to_owned();
    }
    let mut ours = name.to_owned();
    for (theirs, replacement) in TRANSFORMER {
        // Heads of names have no dot before them.
        if let Some(rest) = ours.strip_prefix(theirs) {
            ours = format!("{replacement}{rest}");
        } else if theirs.starts_with('.') {
            ours = ours.replace(theirs, replacement);
        }
    }
    if let Some(block) = ours.strip_suffix(".modulation") {
        ours = format!("{block}.scale_shift_table");
    }
    if ours.starts_with("blocks.") {
        // The order there is self, cross, feed-forward; here norm2 is the one of cross-attention, which alone has weights.
        if ours.contains(".norm3.") {
            ours = ours.replace(".norm3.", ".norm2.");
        } else {
            ours = ours.replace(".norm2.", ".norm3.");
        }
    }
    ours
}

fn without_prefixes(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

/// Whether a name is one that only the original layout has. `norm2` alone says nothing: it is in both.
fn is_original_transformer(name: &str) -> bool {
    let heads = ["time_embedding.", "text_embedding.", "time_projection.", "img_emb.", "head."];
    let inner = [".self_attn.", ".cross_attn.", ".ffn.0.", ".ffn.2.", ".norm3.", ".modulation"];
    heads.iter().any(|head| name.starts_with(head)) || inner.iter().any(|part| name.contains(part))
}

/// The name of a layer of the transformer in a LoRA: without `.weight`, and perhaps with underscores for dots.
pub(crate) fn lora_layer(name: &str) -> String {
    if let Some(flat) = name.strip_prefix("lora_unet_").or_else(|| name.strip_prefix("lora_transformer_")) {
        return flat_layer(flat);
    }
    layer(name)
}

/// The name of a layer: that of its tensors without what follows the last dot.
fn layer(name: &str) -> String {
    if name.ends_with("modulation") {
        return transformer(name);
    }
    let named = transformer(&format!("{name}."));
    named.strip_suffix('.').unwrap_or(&named).to_owned()
}

/// `blocks_3_self_attn_k_img` as `blocks.3.attn1.add_k_proj`.
fn flat_layer(flat: &str) -> String {
    let dotted = match flat.strip_prefix("blocks_").and_then(|rest| rest.split_once('_')) {
        Some((number, rest)) => {
            let rest = ["self_attn", "cross_attn", "attn1", "attn2", "ffn_net", "ffn"]
                .iter()
                .find_map(|part| Some((part, rest.strip_prefix(part)?.strip_prefix('_')?)))
                .map_or_else(|| rest.to_owned(), |(part, last)| format!("{part}.{}", last_part(last)));
            format!("blocks.{number}.{}", rest.replace("ffn_net.", "ffn.net."))
        }
        None => match flat.rsplit_once('_') {
            Some((layer, part)) => format!("{layer}.{part}"),
            None => flat.to_owned(),
        },
    };
    layer(&dotted)
}

fn last_part(last: &str) -> String {
    match last {
        "to_out_0" => "to_out.0".into(),
        "0_proj" => "0.proj".into(),
        other => other.into(),
    }
}

/// The name of a tensor of the autoencoder. `residual` says that it is the one of Wan 2.2, whose original names are
/// nested.
pub(crate) fn vae(name: &str, residual: bool) -> Option<String> {
    let name = name.strip_prefix("first_stage_model.").or_else(|| name.strip_prefix("vae.")).unwrap_or(name);
    let (head, rest) = name.split_once('.')?;
    match head {
        "conv1" => return Some(format!("quant_conv.{rest}")),
        "conv2" => return Some(format!("post_quant_conv.{rest}")),
        "encoder" | "decoder" => {}
        _ => return Some(name.to_owned()),
    }
    let (part, rest) = rest.split_once('.')?;
    Some(match part {
        "conv1" => format!("{head}.conv_in.{rest}"),
        "head" => match rest.split_once('.')? {
            ("0", end) => format!("{head}.norm_out.{end}"),
            ("2", end) => format!("{head}.conv_out.{end}"),
            _ => return Some(name.to_owned()),
        },
        "middle" => match rest.split_once('.')? {
            ("0", end) => format!("{head}.mid_block.resnets.0.{}", residual_part(end)),
            ("1", end) => format!("{head}.mid_block.attentions.0.{end}"),
            ("2", end) => format!("{head}.mid_block.resnets.1.{}", residual_part(end)),
            _ => return Some(name.to_owned()),
        },
        "downsamples" if !residual => {
            let (index, end) = rest.split_once('.')?;
            format!("encoder.down_blocks.{index}.{}", residual_part(end))
        }
        "downsamples" => {
            let (level, rest) = rest.split_once('.')?;
            let (index, end) = rest.strip_prefix("downsamples.")?.split_once('.')?;
            if end.starts_with("resample.") || end.starts_with("time_conv.") {
                format!("encoder.down_blocks.{level}.downsampler.{end}")
            } else {
                format!("encoder.down_blocks.{level}.resnets.{index}.{}", residual_part(end))
            }
        }
        "upsamples" if !residual => {
            let (index, end) = rest.split_once('.')?;
            let index: usize = index.parse().ok()?;
            if end.starts_with("resample.") || end.starts_with("time_conv.") {
                format!("decoder.up_blocks.{}.upsamplers.0.{end}", index / 4)
            } else {
                format!("decoder.up_blocks.{}.resnets.{}.{}", index / 4, index % 4, residual_part(end))
            }
        }
        "upsamples" => {
            let (level, rest) = rest.split_once('.')?;
            let (index, end) = rest.strip_prefix("upsamples.")?.split_once('.')?;
            if end.starts_with("resample.") || end.starts_with("time_conv.") {
                format!("decoder.up_blocks.{level}.upsampler.{end}")
            } else {
                format!("decoder.up_blocks.{level}.resnets.{index}.{}", residual_part(end))
            }
        }
        _ => name.to_owned(),
    })
}

fn residual_part(end: &str) -> String {
    const PARTS: [(&str, &str); 5] = [
        ("residual.0.", "norm1."),
        ("residual.2.", "conv1."),
        ("residual.3.", "norm2."),
        ("residual.6.", "conv2."),
        ("shortcut.", "conv_shortcut."),
    ];
    PARTS
        .iter()
        .find_map(|(theirs, ours)| Some(format!("{ours}{}", end.strip_prefix(theirs)?)))
        .unwrap_or_else(|| end.to_owned())
}

/// The name of a tensor of the text encoder.
pub(crate) fn text_encoder(name: &str) -> Option<String> {
    const ORIGINAL: [(&str, &str); 12] = [
        ("attn.", "layer.0.SelfAttention."),
        ("pos_embedding.embedding.", "layer.0.SelfAttention.relative_attention_bias."),
        ("norm1.", "layer.0.layer_norm."),
        ("ffn.gate.0.", "layer.1.DenseReluDense.wi_0."),
        ("ffn.fc1.", "layer.1.DenseReluDense.wi_1."),
        ("ffn.fc2.", "layer.1.DenseReluDense.wo."),
        ("norm2.", "layer.1.layer_norm."),
        ("attn_rel_b.", "layer.0.SelfAttention.relative_attention_bias."),
        ("attn_norm.", "layer.0.layer_norm."),
        ("ffn_gate.", "layer.1.DenseReluDense.wi_0."),
        ("ffn_up.", "layer.1.DenseReluDense.wi_1."),
        ("ffn_down.", "layer.1.DenseReluDense.wo."),
    ];
    match name {
        "token_embedding.weight" | "token_embd.weight" | "encoder.embed_tokens.weight" => {
            return Some("shared.weight".into());
        }
        "norm.weight" | "enc.output_norm.weight" => return Some("encoder.final_layer_norm.weight".into()),
        _ => {}
    }
    let Some(rest) = name.strip_prefix("blocks.").or_else(|| name.strip_prefix("enc.blk.")) else {
        return Some(name.to_owned());
    };
    let (index, end) = rest.split_once('.')?;
    if let Some(part) = ["attn_q.", "attn_k.", "attn_v.", "attn_o."].iter().find(|part| end.starts_with(*part)) {
        let letter = &part[5..6];
        let end = &end[part.len()..];
        return Some(format!("encoder.block.{index}.layer.0.SelfAttention.{letter}.{end}"));
    }
    // The norm of llama.cpp before the feed-forward.
    if let Some(end) = end.strip_prefix("ffn_norm.") {
        return Some(format!("encoder.block.{index}.layer.1.layer_norm.{end}"));
    }
    let named = ORIGINAL.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", end.strip_prefix(theirs)?)))?;
    Some(format!("encoder.block.{index}.{named}"))
}

/// The name of a tensor of the image encoder.
pub(crate) fn image_encoder(name: &str) -> Option<String> {
    Some(name.strip_prefix("vision_model.").unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_loras_are_found_by_every_name() {
        for (theirs, ours) in [
            ("transformer.blocks.3.attn1.to_q", "blocks.3.attn1.to_q"),
            ("diffusion_model.blocks.3.self_attn.q", "blocks.3.attn1.to_q"),
            ("blocks.3.cross_attn.k_img", "blocks.3.attn2.add_k_proj"),
            ("base_model.model.blocks.0.ffn.2", "blocks.0.ffn.net.2"),
            ("lora_unet_blocks_12_cross_attn_o", "blocks.12.attn2.to_out.0"),
            ("lora_unet_blocks_12_ffn_0", "blocks.12.ffn.net.0.proj"),
            ("lora_unet_time_projection_1", "condition_embedder.time_proj"),
            ("diffusion_model.text_embedding.2", "condition_embedder.text_embedder.linear_2"),
            ("diffusion_model.blocks.1.norm3", "blocks.1.norm2"),
            ("diffusion_model.head.head", "proj_out"),
            ("diffusion_model.head.modulation", "scale_shift_table"),
            ("diffusion_model.blocks.1.modulation", "blocks.1.scale_shift_table"),
            ("transformer.blocks.1.attn2.to_out.0", "blocks.1.attn2.to_out.0"),
        ] {
            assert_eq!(lora_layer(theirs), ours, "{theirs}");
        }
    }

    #[test]
    fn names_of_llama_cpp_are_those_of_the_encoder() {
        for (theirs, ours) in [
            ("enc.blk.7.attn_q.weight", "encoder.block.7.layer.0.SelfAttention.q.weight"),
            ("enc.blk.7.attn_o.weight", "encoder.block.7.layer.0.SelfAttention.o.weight"),
            ("enc.blk.7.attn_rel_b.weight", "encoder.block.7.layer.0.SelfAttention.relative_attention_bias.weight"),
            ("enc.blk.7.attn_norm.weight", "encoder.block.7.layer.0.layer_norm.weight"),
            ("enc.blk.7.ffn_norm.weight", "encoder.block.7.layer.1.layer_norm.weight"),
            ("enc.blk.7.ffn_gate.weight", "encoder.block.7.layer.1.DenseReluDense.wi_0.weight"),
            ("enc.blk.7.ffn_down.weight", "encoder.block.7.layer.1.DenseReluDense.wo.weight"),
            ("token_embd.weight", "shared.weight"),
            ("enc.output_norm.weight", "encoder.final_layer_norm.weight"),
        ] {
            assert_eq!(text_encoder(theirs).as_deref(), Some(ours));
        }
    }
}
