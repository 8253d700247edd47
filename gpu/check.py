#!/usr/bin/env python3
"""Compares the networks of paper.py with those of the Rust side, on random weights.

    cargo build --release -p misora -p training --example twin
    python3 gpu/check.py target/release/examples/twin models/paper-1
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch

import paper

CLASSES = [16, 11, 16, 11, 3, 12, 2, 3, 4, 9, 11, 4, 3, 5, 2, 5, 4, 5, 4, 2, 16, 11, 16, 11, 16, 11, 12, 9, 4, 3]
VAE = {"block_frames": 8, "block_side": 8, "fine_width": 48, "coarse_width": 64, "encoder_blocks": 2, "decoder_blocks": 3,
       "latent_channels": 24, "native_sizes": [[256, 144], [144, 256], [192, 192]]}
TEXT = {"vocabulary": 2048, "max_tokens": 112, "width": 48, "heads": 4, "blocks": 2, "registers": 8}
DIT = {"latent_channels": 24, "width": 96, "heads": 3, "blocks": 3, "mlp_width": 160, "text_width": 48}
CAPTIONER = {"latent_channels": 24, "block_frames": 8, "time_patch": 1, "width": 48, "heads": 3, "blocks": 3, "mlp_width": 64}


def waves(*shape):
    count = int(numpy.prod(shape))
    return torch.from_numpy(numpy.sin((numpy.arange(count) % 9973) * 0.37).astype(numpy.float32)).reshape(shape)


def main():
    example, start = sys.argv[1:3]
    torch.manual_seed(1)
    vae_config = VAE | {"latent_mean": torch.randn(24).tolist(), "latent_std": (torch.rand(24) + 0.5).tolist()}
    networks = {
        "vae": (paper.Vae(vae_config), vae_config),
        "text_encoder": (paper.TextEncoder(TEXT), TEXT),
        "transformer": (paper.Dit(DIT), DIT),
        "captioner": (paper.Captioner(CAPTIONER, CLASSES, 16, 11), CAPTIONER),
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        paper.complete(folder, start, 3.0, 3.0)
        for name, (network, config) in networks.items():
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter += torch.randn_like(parameter) * 0.05
                    parameter.copy_(parameter.half().float())
            paper.save_network(folder, name, network, config)
        subprocess.run([example, folder, folder], check=True)
        vae, text, dit, captioner = (networks[name][0] for name in ["vae", "text_encoder", "transformer", "captioner"])
        grid = paper.Grid(3, 5, "cpu")
        worst = 0.0

        def compare(name, ours):
            nonlocal worst
            theirs = torch.from_numpy(numpy.fromfile(folder / f"{name}.bin", dtype=numpy.float32)).reshape(ours.shape)
            error = ((ours - theirs).norm() / theirs.norm()).item()
            worst = max(worst, error)
            print(f"{name:10} {tuple(ours.shape)} relative error {error:.2e}")

        with torch.no_grad():
            compare("latents", vae.encode(waves(1, 17, 48, 80, 3), grid))
            wavy = waves(1, 3, 15, 24)
            compare("pixels", vae.decode(wavy, grid))
            ids = torch.zeros(2, 5, dtype=torch.long)
            ids[0] = torch.tensor([5, 9, 300, 17, 2])
            states = text(ids, torch.tensor([5, 0]))
            compare("text", states)
            wavy = torch.cat([wavy, wavy * 0.5])
            times = torch.tensor([0.0, 0.3, 0.3, 0.8, 0.9, 1.0]).reshape(2, 3)
            compare("velocity", dit(wavy, times, states, paper.latent_times_s(8, 0, 3), grid)[0])
            answers, _, _ = captioner(wavy, grid)
        readings = json.loads((folder / "readings.json").read_text())
        for row, reading in enumerate(readings):
            for question, name in [(2, "main_actor"), (3, "main_colour"), (5, "motion"), (9, "background"), (13, "camera")]:
                share = answers[question][row].softmax(-1).max().item()
                error = abs(share - reading[name]["probability"])
                worst = max(worst, error)
                print(f"reading {row} {name:12} probability apart by {error:.2e}")
    # The Rust side computes products in bfloat16 where the processor has a unit for it.
    if worst > 0.03:
        sys.exit(f"the networks differ: {worst:.2e}")


if __name__ == "__main__":
    main()
