#!/usr/bin/env python3
"""Times parts of Misora beside PyTorch, on the same tensors, taking turns. `run` beside this file installs and builds what
it needs; README.md says how to read the result.

Every side is a process of its own that speaks the same lines: it says `ready` when everything is in memory, computes
once for `run`, and writes its last result for `write FILE`. Wall and processor seconds and the peak of memory are taken
from outside, from what the system says of the process.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2


# ---- the reference's side: workers ------------------------------------------------------------------------------------

def serve(run):
    """Answers lines until there are no more. `run` computes once and returns a tensor; it is done when that is in memory."""
    print("ready", flush=True)
    last = None
    for line in sys.stdin:
        word, _, path = line.strip().partition(" ")
        if word == "run":
            last = run().float().cpu()
        elif word == "write":
            last.contiguous().numpy().tofile(path)
        else:
            sys.exit(f"{line!r} means nothing")
        print("done", flush=True)


def torch_with_threads():
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    # Products of 32 bits are that, as they are on our side.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return torch


def dtype_of(torch, precision):
    return {"f32": torch.float32, "bf16": torch.bfloat16}[precision]


def serve_dit(folder, precision, device):
    torch = torch_with_threads()
    from diffusers import WanTransformer3DModel
    from safetensors.torch import load_file

    # Loaded in 16 bits it keeps those parts in 32 bits that it wants so.
    model = WanTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=dtype_of(torch, precision)).eval()
    model.to(device)
    inputs = load_file(folder / "dit.safetensors", device)
    dtype = dtype_of(torch, precision)
    latents, text = inputs["latents"].to(dtype), inputs["text"].to(dtype)
    # The reference reads 512 tokens, those beyond the prompt's being zero.
    text = torch.nn.functional.pad(text, (0, 0, 0, 512 - text.shape[1]))
    timestep = inputs["timestep"].long()
    serve(lambda: model(latents, timestep, text, return_dict=False)[0])


def serve_paper(folder, precision, device):
    torch = torch_with_threads()
    from safetensors.torch import load_file

    sys.path.insert(0, str(Path(__file__).parents[2] / "gpu"))
    import paper

    inputs = load_file(folder / "paper.safetensors", device)
    config = paper.read_config(folder, "transformer")
    model = paper.network(folder, "transformer", paper.Dit(config), config).to(device).eval()
    batch, frames, rows, columns, channels = inputs["latents"].shape
    latents = inputs["latents"].reshape(batch, frames, rows * columns, channels)
    times_s, grid = inputs["times_s"].tolist(), paper.Grid(rows, columns, device)

    def run():
        # As it is trained: products in 16 bits, the rest in 32.
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision != "f32"):
            return model(latents, inputs["timesteps"], inputs["text"], times_s, grid)[0]

    serve(run)


def serve_attention(folder, precision, device):
    torch = torch_with_threads()
    from safetensors.torch import load_file

    inputs = load_file(folder / "attention.safetensors", device)
    # Heads apart from each other in memory, as it likes them best.
    query, key, value = (
        inputs[name].to(dtype_of(torch, precision)).transpose(0, 1)[None].contiguous() for name in ("query", "key", "value")
    )
    attend = torch.nn.functional.scaled_dot_product_attention
    serve(lambda: attend(query, key, value)[0].transpose(0, 1))


# ---- inputs -----------------------------------------------------------------------------------------------------------

def make_dit(folder, options):
    """Random weights of the real widths, as they are published: numbers of 16 bits. Latents, a prompt's states, a time."""
    torch = torch_with_threads()
    from diffusers import WanTransformer3DModel
    from safetensors.torch import save_file

    torch.manual_seed(options.seed)
    frames, rows, columns = (int(side) for side in options.latent.split("x"))
    model = WanTransformer3DModel(
        num_attention_heads=12, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096, ffn_dim=8960,
        num_layers=options.layers,
    ).to(options.device)
    # At random, gates would be nearly closed, and errors in the blocks would hardly be seen.
    for block in model.blocks:
        block.scale_shift_table.data = torch.randn_like(block.scale_shift_table) / 2
    model.to(torch.bfloat16).save_pretrained(folder / "transformer")
    save_file(
        {
            "latents": torch.randn(1, 16, frames, rows, columns).bfloat16().float(),
            "text": torch.randn(1, options.prompt_tokens, 4096).bfloat16().float(),
            "timestep": torch.tensor([900.0]),
        },
        folder / "dit.safetensors",
    )
    tokens = frames * rows // 2 * columns // 2
    return (f"one evaluation of the transformer: width 1536, 12 heads, feed-forward 8960, {options.layers} layers, "
            f"{tokens} tokens, a prompt of {options.prompt_tokens}")


def make_paper(folder, options):
    """paper-1's transformer with random weights of 16 bits; latents of a clip of its longest side across, a prompt's states."""
    torch = torch_with_threads()
    from safetensors.torch import save_file

    sys.path.insert(0, str(Path(__file__).parents[2] / "gpu"))
    import paper

    torch.manual_seed(options.seed)
    frames, rows, columns = (int(side) for side in options.paper_latent.split("x"))
    model = paper.Dit(PAPER)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    paper.save_network(folder, "transformer", model, PAPER)
    save_file(
        {
            "latents": torch.randn(options.batch, frames, rows, columns, PAPER["latent_channels"]),
            "text": torch.randn(options.batch, 8, PAPER["text_width"]),
            "timesteps": torch.full((options.batch, frames), 0.9),
            "times_s": torch.tensor(paper.latent_times_s(8, 0, frames)),
        },
        folder / "paper.safetensors",
    )
    return (f"one evaluation of paper-1's transformer: width {PAPER['width']}, {PAPER['blocks']} blocks, {options.batch} clips of "
            f"{frames} latent frames of {rows * columns} cells")


def make_attention(folder, options):
    torch = torch_with_threads()
    from safetensors.torch import save_file

    torch.manual_seed(options.seed)
    names = ("query", "key", "value")
    save_file(
        {name: torch.randn(options.tokens, 12, 128).bfloat16().float() for name in names},
        folder / "attention.safetensors",
    )
    return f"attention of {options.tokens} tokens to all: 12 heads of 128 channels"


# The shape of paper-1's transformer.
PAPER = {"latent_channels": 128, "width": 384, "heads": 6, "blocks": 8, "mlp_width": 1152, "text_width": 192}

# Part, how its inputs are made, the reference's worker, precisions of theirs and of ours.
PARTS = {
    "dit": (make_dit, serve_dit, ("f32", "bf16"), ("f32", "bf16", "int8")),
    "attention": (make_attention, serve_attention, ("f32", "bf16"), ("f32", "bf16")),
    "paper": (make_paper, serve_paper, ("f32", "bf16"), ("f32",)),
}


# ---- taking turns -----------------------------------------------------------------------------------------------------

class EndedEarly(Exception):
    """A side is gone."""


class Side:
    """One process, and what it took each time."""

    def __init__(self, name, command):
        self.name = name
        environment = dict(os.environ, RAYON_NUM_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS))
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.wall, self.cpu = [], []

    def await_line(self, expected):
        # Libraries may have something of their own to say first.
        while (line := self.process.stdout.readline()) and line.strip() != expected:
            pass
        if not line:
            raise EndedEarly

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EndedEarly from None
        self.await_line("done")

    def cpu_seconds(self):
        """Of all its threads so far."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def run(self, counted=True):
        wall, cpu = time.perf_counter(), self.cpu_seconds()
        self.tell("run")
        if counted:
            self.wall.append(time.perf_counter() - wall)
            self.cpu.append(self.cpu_seconds() - cpu)

    def result(self, folder):
        import numpy

        path = folder / "result"
        self.tell(f"write {path}")
        return numpy.fromfile(path, dtype=numpy.float32)

    def peak_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def spread(values):
    """Median, least and most, to three digits of the median."""
    digits = max(2, 2 - math.floor(math.log10(statistics.median(values))))
    return " ".join(f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))


def measure(part, folder, options):
    import numpy

    make, _, theirs, ours = PARTS[part]
    print(make(folder, options), flush=True)
    on_gpu = options.device != "cpu"
    here = [sys.executable, __file__, "--serve", part, "--folder", str(folder), "--device", options.device, "--precision"]
    sides = [Side(f"pytorch {precision}", [*here, precision]) for precision in theirs]
    count = len(sides)
    # Eight bits are the processor's.
    ours = [precision for precision in ours if not (on_gpu and precision == "int8")]
    place = ["gpu"] if on_gpu else []
    sides += [Side(f"misora {precision}", [options.ours, part, str(folder), precision, *place]) for precision in ours]
    ready = []
    for side in sides:
        try:
            side.await_line("ready")
            for _ in range(options.warm_up):
                side.run(counted=False)
            ready.append(side)
        except EndedEarly:
            print(f"  {side.name} ended early", flush=True)
    if ready[:count] != sides[:count]:
        sys.exit("there is nothing to compare with")
    failed, sides = len(sides) - len(ready), ready
    exact = sides[0].result(folder).astype(numpy.float64)
    errors = []
    for side in sides:
        result = side.result(folder)
        assert result.shape == exact.shape, f"{side.name} gives another shape"
        errors.append(float(numpy.linalg.norm(result - exact) / numpy.linalg.norm(exact)))
    for _ in range(options.rounds):
        for side in sides:
            side.run()
    best = min(sides[:count], key=lambda side: statistics.median(side.wall if on_gpu else side.cpu))
    print(f"  {options.rounds} rounds in turns, {THREADS} threads each; ratios: how often longer the reference in its "
          f"fastest precision ({best.name}) takes; error: relative to PyTorch's f32")
    print(f"  {'':16} {'CPU s':>21} {'wall s':>21} {'ratio CPU':>21} {'ratio wall':>21} {'error':>8} {'peak':>8}")
    told = []
    for side, error in zip(sides, errors):
        by_cpu = [a / b for a, b in zip(best.cpu, side.cpu)]
        by_wall = [a / b for a, b in zip(best.wall, side.wall)]
        print(f"  {side.name:16} {spread(side.cpu):>21} {spread(side.wall):>21} {spread(by_cpu):>21} "
              f"{spread(by_wall):>21} {error:8.1e} {side.peak_bytes() / 1e6:5.0f} MB", flush=True)
        told.append(dict(side=side.name, cpu=side.cpu, wall=side.wall, error=error, peak_bytes=side.peak_bytes()))
    for side in sides:
        side.end()
    limits = {"f32": 1e-4, "bf16": 2 * errors[1], "int8": 0.1}
    for side, error in zip(sides[count:], errors[count:]):
        # paper-1 rounds on processors that are faster that way.
        precision = "bf16" if part == "paper" and not on_gpu else side.name.split()[1]
        limit = limits[precision]
        if error > limit:
            sys.exit(f"{side.name} is off by {error:.1e}, more than {limit:.1e}: what it took means nothing")
    if failed:
        sys.exit(f"{failed} sides ended early")
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all", []], help="what is measured")
    parser.add_argument("--ours", help="the built example vs_reference")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where both sides compute; ours by Vulkan")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=1, help="runs of each side before those that count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=4, help="dit: blocks, of 30 in the whole model")
    parser.add_argument("--latent", default="5x30x52", help="dit: latent frames x rows x columns")
    parser.add_argument("--prompt-tokens", type=int, default=80, help="dit: tokens of the prompt")
    parser.add_argument("--paper-latent", default="9x9x16", help="paper: latent frames x rows x columns")
    parser.add_argument("--batch", type=int, default=1, help="paper: clips")
    parser.add_argument("--tokens", type=int, default=1950, help="attention: tokens")
    parser.add_argument("--json", type=Path, help="where the single times are written")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return PARTS[options.serve][1](options.folder, options.precision, options.device)
    if not options.ours:
        parser.error("--ours is needed; `run` beside this file builds it")
    parts = list(PARTS) if not options.parts or "all" in options.parts else options.parts
    if options.device != "cpu":
        # The kernel for it is the processor's.
        parts = [part for part in parts if part != "attention"]
    told = {}
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            told[part] = measure(part, Path(folder), options)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
