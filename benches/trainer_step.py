#!/usr/bin/env python3
"""Times one training step of the diffusion transformer in PyTorch beside the trainer's own in Rust.

    cargo build --release -p training --example trainer_step
    python3 benches/trainer_step.py --rust target/release/examples/trainer_step

The network below is crates/diffusion/src/dit.rs again: the same layers, widths and number of parameters, on
latents and text states of the same shapes. A step is forward, backward, clipping, AdamW and averaged weights, on
the same number of clips and threads. Rust and PyTorch take turns, so that whatever else the machine does falls
on both; wall seconds count that, CPU seconds do not.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ModuleNotFoundError:
    sys.exit("PyTorch is not installed: pip install torch")

CONFIG = Path(__file__).resolve().parent.parent / "configs/nano/dit.json"
# As in trainer_step.rs: latents of 80 × 144 pixels, 8 registers and about forty tokens.
ROWS, COLUMNS = 5, 9
TEXT_LENGTH = 48
TIMESTEP_FEATURES = 128
PLACE_FEATURES = 32
EPSILON = 1e-6


def linear(d_input, d_output, gain):
    """Normal weights of standard deviation gain / √d_input and no bias to begin with."""
    layer = nn.Linear(d_input, d_output)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(d_input))
    nn.init.zeros_(layer.bias)
    return layer


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width, hidden, d_output, gain):
        super().__init__()
        self.up = linear(width, hidden, 1.0)
        self.down = linear(hidden, d_output, gain)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class RmsNorm(nn.Module):
    """Divides by the root mean square, then scales."""

    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        # Under autocast the scale takes the precision of what it scales, or the kernel is not the fused one.
        return F.rms_norm(x, self.gamma.shape, self.gamma.to(x.dtype), EPSILON)


def rope_tables(head_width, times_s, rows, columns):
    """Cosines and sines, [T·H·W, head/2]: rope.rs."""
    time_width = head_width // 4 // 2 * 2
    space_width = (head_width - time_width) // 2

    def angles(positions, count, shortest, longest):
        fraction = torch.arange(count) / max(count - 1, 1)
        wavelengths = shortest * (longest / shortest) ** fraction
        return positions[:, None] * math.tau / wavelengths

    def centred(count):
        return torch.arange(count) - (count - 1) / 2

    time_angles = angles(times_s, time_width // 2, 1.5, 200.0)
    row_angles = angles(centred(rows), space_width // 2, 2.5, 120.0)
    column_angles = angles(centred(columns), space_width // 2, 2.5, 120.0)
    shape = (len(times_s), rows, columns, -1)
    table = torch.cat(
        [
            time_angles[:, None, None, :].expand(shape),
            row_angles[None, :, None, :].expand(shape),
            column_angles[None, None, :, :].expand(shape),
        ],
        dim=-1,
    ).flatten(0, 2)
    return table.cos(), table.sin()


def place_features(rows, columns):
    """Cosines and sines of where each cell is, [H·W, 32]: rope.rs."""
    def waves(count):
        centred = torch.arange(count) - (count - 1) / 2
        cells = 2.5 * (120.0 / 2.5) ** (torch.arange(5) / 4)
        shares = 0.5 * (2.0 / 0.5) ** (torch.arange(3) / 2)
        return torch.cat([centred[:, None] / cells, centred[:, None] / count / shares], dim=-1) * math.tau

    row_angles, column_angles = waves(rows), waves(columns)
    shape = (rows, columns, -1)
    angles = torch.cat([row_angles[:, None].expand(shape), column_angles[None].expand(shape)], dim=-1).flatten(0, 1)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def shift(x):
    """An eighth of the channels each from the left, right, above, below and one step earlier: shift.rs."""
    group = x.shape[-1] // 8
    parts = [
        F.pad(x[:, :, :, :-1, :group], (0, 0, 1, 0)),
        F.pad(x[:, :, :, 1:, group : 2 * group], (0, 0, 0, 1)),
        F.pad(x[:, :, :-1, :, 2 * group : 3 * group], (0, 0, 0, 0, 1, 0)),
        F.pad(x[:, :, 1:, :, 3 * group : 4 * group], (0, 0, 0, 0, 0, 1)),
        F.pad(x[:, :-1, :, :, 4 * group : 5 * group], (0, 0, 0, 0, 0, 0, 1, 0)),
        x[..., 5 * group :],
    ]
    return torch.cat(parts, dim=-1)


def rotate(x, tables):
    """[B, N, L, head]: the two halves of each head, turned."""
    cos, sin = tables
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def modulate(x, shift, scale):
    """Norm, then scale and shift; modulation is [B, T, 1, D]."""
    return F.rms_norm(x, x.shape[-1:], None, EPSILON) * (1 + scale) + shift


class Block(nn.Module):
    """Self-attention, cross-attention to the text, MLP."""

    def __init__(self, config):
        super().__init__()
        width, self.heads = config["width"], config["heads"]
        head_width = width // self.heads
        self.modulation_offset = nn.Parameter(torch.zeros(6 * width))
        self.self_qkv = linear(width, 3 * width, 1.0)
        self.self_query_norm = RmsNorm(head_width)
        self.self_key_norm = RmsNorm(head_width)
        self.self_output = linear(width, width, 0.5)
        self.cross_norm = RmsNorm(width)
        self.cross_query = linear(width, width, 1.0)
        self.cross_key_value = linear(width, 2 * width, 1.0)
        self.cross_query_norm = RmsNorm(head_width)
        self.cross_key_norm = RmsNorm(head_width)
        self.cross_output = linear(width, width, 0.5)
        self.mlp = Mlp(width, config["mlp_width"], width, 0.5)

    def split_heads(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, grid, modulation, text, text_mask, tables):
        batch, frames, cells, width = x.shape
        parts = (modulation + self.modulation_offset)[:, :, None, :].chunk(6, dim=-1)
        self_shift, self_scale, gate, mlp_shift, mlp_scale, mlp_gate = parts

        h = modulate(x, self_shift, self_scale).reshape(batch, frames * cells, width)
        query, key, value = (self.split_heads(part) for part in self.self_qkv(h).chunk(3, dim=-1))
        query = rotate(self.self_query_norm(query), tables).to(value.dtype)
        key = rotate(self.self_key_norm(key), tables).to(value.dtype)
        h = F.scaled_dot_product_attention(query, key, value)
        h = self.self_output(h.transpose(1, 2).reshape(batch, frames * cells, width))
        x = x + h.reshape(x.shape) * (1 + gate)

        h = self.cross_norm(x).reshape(batch, frames * cells, width)
        key, value = (self.split_heads(part) for part in self.cross_key_value(text).chunk(2, dim=-1))
        query = self.cross_query_norm(self.split_heads(self.cross_query(h))).to(value.dtype)
        key = self.cross_key_norm(key).to(value.dtype)
        h = F.scaled_dot_product_attention(query, key, value, attn_mask=text_mask.to(value.dtype))
        h = self.cross_output(h.transpose(1, 2).reshape(batch, frames * cells, width))
        x = x + h.reshape(x.shape)

        h = modulate(x, mlp_shift, mlp_scale)
        h = self.mlp(shift(h.reshape(batch, frames, *grid, width)))
        return x + h.reshape(x.shape) * (1 + mlp_gate)


class Dit(nn.Module):
    """dit.rs."""

    def __init__(self, config):
        super().__init__()
        width, text_width, channels = config["width"], config["text_width"], config["latent_channels"]
        self.head_width = width // config["heads"]
        self.latent_embedding = linear(channels, width, 1.0)
        self.place_embedding = linear(PLACE_FEATURES, width, 0.5)
        self.timestep_embedding = Mlp(TIMESTEP_FEATURES, width, width, 1.0)
        self.pooled_embedding = linear(text_width, width, 1.0)
        self.text_embedding = linear(text_width, width, 1.0)
        self.modulation = linear(width, 6 * width, 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config["blocks"]))
        self.output_modulation = linear(width, 2 * width, 0.02)
        self.output = linear(width, channels, 0.0)

    def forward(self, latents, timesteps, text, times_s):
        batch, frames, rows, columns, channels = latents.shape
        half = TIMESTEP_FEATURES // 2
        frequencies = 1000.0 ** (torch.arange(half) / (half - 1))
        angles = timesteps[:, :, None] * frequencies
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        condition = self.timestep_embedding(features) + self.pooled_embedding(text["pooled"])[:, None, :]
        condition = F.silu(condition)
        modulation = self.modulation(condition)

        tables = rope_tables(self.head_width, times_s, rows, columns)
        tokens = self.text_embedding(text["tokens"])
        x = self.latent_embedding(latents.reshape(batch, frames, rows * columns, channels))
        x = x + self.place_embedding(place_features(rows, columns))
        for block in self.blocks:
            x = block(x, (rows, columns), modulation, tokens, text["mask"], tables)
        shift, scale = self.output_modulation(condition)[:, :, None, :].chunk(2, dim=-1)
        return self.output(modulate(x, shift, scale)).reshape(latents.shape)


class Trainer:
    """trainer.rs: one step on random latents."""

    def __init__(self, config, clips, latent_frames, autocast):
        self.config, self.clips, self.latent_frames, self.autocast = config, clips, latent_frames, autocast
        self.model = Dit(config)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-4, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01, fused=True
        )

    def step(self):
        """Wall and CPU seconds."""
        wall, cpu = time.perf_counter(), time.process_time()
        clean = torch.randn(self.clips, self.latent_frames, ROWS, COLUMNS, self.config["latent_channels"])
        noise = torch.randn_like(clean)
        times = torch.rand(self.clips, self.latent_frames)
        t = times[:, :, None, None, None]
        text = {
            "tokens": torch.randn(self.clips, TEXT_LENGTH, self.config["text_width"]),
            "mask": torch.zeros(self.clips, 1, 1, TEXT_LENGTH),
            "pooled": torch.randn(self.clips, self.config["text_width"]),
        }
        # clips.rs: the first frame, then the middle of each block of four at 12 frames a second.
        times_s = torch.tensor([max(4 * index - 1.5, 0.0) / 12 for index in range(self.latent_frames)])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            velocity = self.model((1 - t) * clean + t * noise, times, text, times_s)
        loss = (velocity.float() - (noise - clean)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.model.parameters()), 1 - 0.995)
        assert math.isfinite(loss.item())
        return time.perf_counter() - wall, time.process_time() - cpu


def rust_steps(options, steps):
    """One run of the example: what it printed."""
    command = [options.rust, "--clips", options.clips // options.threads, "--workers", options.threads]
    command += ["--latent-frames", options.latent_frames, "--steps", steps, "--warm-up", options.warm_up]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{options.rust} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rust", required=True, help="the built example trainer_step")
    parser.add_argument("--clips", type=int, default=24, help="clips a step, of all threads together")
    parser.add_argument("--latent-frames", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="how often the three take turns")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each in a round")
    parser.add_argument("--warm-up", type=int, default=1, help="steps of each in a round that are not timed")
    options = parser.parse_args()
    if options.clips % options.threads:
        parser.error("the clips must divide among the threads")

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    config = json.loads(CONFIG.read_text())["model"]
    shape = (config, options.clips, options.latent_frames)
    trainers = {"PyTorch f32": Trainer(*shape, autocast=False), "PyTorch bf16": Trainer(*shape, autocast=True)}
    parameters = sum(p.numel() for p in trainers["PyTorch f32"].model.parameters())

    wall = {name: [] for name in ["Rust", *trainers]}
    cpu = {name: [] for name in wall}
    load_before = os.getloadavg()[0]
    for round_index in range(options.rounds):
        print(f"round {round_index + 1} of {options.rounds}", file=sys.stderr)
        told = rust_steps(options, options.steps)
        if told["parameters"] != parameters or told["clips"] != options.clips:
            sys.exit(f"not the same work: Rust has {told}, PyTorch {parameters} parameters, {options.clips} clips")
        wall["Rust"] += told["step_s"]
        cpu["Rust"] += told["cpu_s"] or []
        for name, trainer in trainers.items():
            for _ in range(options.warm_up):
                trainer.step()
            for _ in range(options.steps):
                step_wall, step_cpu = trainer.step()
                wall[name].append(step_wall)
                cpu[name].append(step_cpu)

    print(f"PyTorch {torch.__version__}, {platform.machine()}, {options.threads} threads of {os.cpu_count()} cores,")
    print(f"load {load_before:.1f} before and {os.getloadavg()[0]:.1f} after,")
    print(f"{parameters:,} parameters on both sides, {options.clips} clips of {options.latent_frames} latent frames,")
    print(f"medians of {options.rounds} × {options.steps} steps:")
    print(f"{'':14}{'wall s':>9}{'ratio':>7}{'CPU s':>9}{'ratio':>7}")
    for name in wall:
        line = f"{name:14}"
        for seconds in (wall, cpu):
            if seconds[name] and seconds["Rust"]:
                median = statistics.median(seconds[name])
                line += f"{median:9.3f}{median / statistics.median(seconds['Rust']):7.2f}"
        print(line)


if __name__ == "__main__":
    main()
