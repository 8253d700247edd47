#!/usr/bin/env python3
"""Times the autoencoder of Wan 2.1 in Misora beside diffusers', on the same tensors, taking turns.

    cargo build --release --locked --workspace --example vs_reference_vae
    target/vs_reference/bin/python benches/vs_reference/vae.py --ours target/release/examples/vs_reference_vae [decode | encode]

Turns, ratios and errors are those of `reference.py` beside this file; README.md says how to read them. `--latent` is
what is decoded or, as frames, encoded.
"""

import sys

import reference


def latent_shape(options):
    return tuple(int(side) for side in options.latent.split("x"))


def make(folder, options, decoding):
    torch = reference.torch_with_threads()
    from diffusers import AutoencoderKLWan
    from safetensors.torch import save_file

    torch.manual_seed(options.seed)
    frames, rows, columns = latent_shape(options)
    AutoencoderKLWan().save_pretrained(folder / "vae")
    pixels = 4 * frames - 3, 8 * rows, 8 * columns
    if decoding:
        inputs = {"latents": torch.randn(1, 16, frames, rows, columns)}
    else:
        inputs = {"video": torch.rand(1, 3, *pixels) * 2 - 1}
    save_file(inputs, folder / "vae.safetensors")
    return f"{'decoding' if decoding else 'encoding'} {pixels[0]} frames of {pixels[2]} × {pixels[1]}, the published widths"


def serve(folder, precision, decoding):
    torch = reference.torch_with_threads()
    from diffusers import AutoencoderKLWan
    from safetensors.torch import load_file

    dtype = reference.dtype_of(torch, precision)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=dtype).eval()
    # Only the half that is measured stays in memory.
    if decoding:
        del vae.encoder
    else:
        del vae.decoder
    inputs = {name: tensor.to(dtype) for name, tensor in load_file(folder / "vae.safetensors").items()}
    if decoding:
        reference.serve(lambda: vae.decode(inputs["latents"], return_dict=False)[0])
    else:
        reference.serve(lambda: vae.encode(inputs["video"]).latent_dist.mean)


reference.PARTS = {
    name: (
        lambda folder, options, decoding=name == "decode": make(folder, options, decoding),
        lambda folder, precision, decoding=name == "decode": serve(folder, precision, decoding),
        ("f32", "bf16"),
        ("f32",),
    )
    for name in ("decode", "encode")
}
# Its workers are this file's.
reference.__file__ = __file__

if __name__ == "__main__":
    if not any(option.startswith("--latent") for option in sys.argv):
        sys.argv += ["--latent", "2x30x52"]
    reference.main()
