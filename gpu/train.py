#!/usr/bin/env python3
"""Trains a paper model on one GPU, from shards that `crates/training/examples/shards.rs` draws beside it.

    python3 gpu/train.py --config configs/paper-1/gpu.json --start models/paper-1 --shards /dev/shm/shards --out run

Stages follow the clock: autoencoder, captioner, transformer (with the text encoder), guidance distilled into the
transformer. Each has its share of `--seconds`; its rate falls to nothing at its end. Finished networks lie in `--out`
as a model folder that the Rust side opens.
"""

import argparse
import copy
import json
import math
import queue
import threading
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

import paper
from paper import Grid


def say(text):
    print(f"[{time.time() - STARTED:6.1f}] {text}", flush=True)


STARTED = time.time()


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is made orthogonal, matrices of one shape together: muon.rs."""

    def __init__(self, parameters, lr, weight_decay):
        super().__init__(list(parameters), {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(tuple(parameter.shape), []).append(parameter)
            for (rows, columns), parameters in shapes.items():
                gradients = torch.stack([parameter.grad for parameter in parameters])
                momenta = [self.state[parameter].setdefault("momentum", torch.zeros_like(parameter)) for parameter in parameters]
                momentum = torch.stack(momenta).mul_(0.95).add_(gradients)
                for kept, new in zip(momenta, momentum):
                    kept.copy_(new)
                direction = orthogonal(gradients + 0.95 * momentum)
                scale = group["lr"] * 0.2 * math.sqrt(max(rows, columns))
                for parameter, step in zip(parameters, direction):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=scale)


def orthogonal(matrices):
    """Newton–Schulz on [N, rows, columns]."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Optimizers:
    """Muon for the matrices of blocks, AdamW for the rest; clipping, averaged weights, rates by the clock."""

    def __init__(self, network, config, average):
        matrices, others = [], []
        for name, parameter in network.named_parameters():
            # The text encoder is learned already: it moves slowly.
            slow = name.startswith("text.")
            if parameter.ndim == 2 and "blocks" in name and not slow and config["muon"]:
                matrices.append(parameter)
            else:
                others.append((parameter, slow))
        rate, decay = config["learning_rate"], config["weight_decay"]
        self.rate = rate
        self.adam = torch.optim.AdamW(
            [{"params": [p for p, slow in others if not slow], "share": config.get("adam_share", 1.0)},
             {"params": [p for p, slow in others if slow], "share": config.get("text_share", 0.1)}],
            lr=rate, betas=(0.9, 0.99), eps=1e-8, weight_decay=decay, fused=DEVICE.type == "cuda")
        self.muon = Muon(matrices, rate, decay) if matrices else None
        self.parameters = list(network.parameters())
        self.clip, self.average, self.decay = config["clip_norm"], average, config["ema_decay"]
        self.warmup, self.decay_share = config["warmup_steps"], config["decay_share"]
        self.steps = 0

    def step(self, share_done):
        """`share_done`: of the stage's time, 0…1. Returns the norm before clipping, on the device."""
        factor = min(1.0, (self.steps + 1) / self.warmup) * min(1.0, max(0.02, (1 - share_done) / self.decay_share))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for group in self.adam.param_groups:
            group["lr"] = self.rate * factor * group["share"]
        self.adam.step()
        if self.muon:
            self.muon.param_groups[0]["lr"] = self.rate * factor
            self.muon.step()
        for parameter in self.parameters:
            parameter.grad = None
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), self.parameters, 1 - decay)
        return norm


def averaged(network):
    average = copy.deepcopy(network)
    for parameter in average.parameters():
        parameter.requires_grad_(False)
    return average


# Shards: raw clips until there is an autoencoder, latents from then on.


class Shards:
    """Reads files as they appear, in a thread of its own, and removes them."""

    def __init__(self, folder, read=True, most_waiting=6):
        self.folder = Path(folder)
        while not (self.folder / "layout.json").exists():
            time.sleep(0.2)
        time.sleep(0.5)
        self.layout = json.loads((self.folder / "layout.json").read_text())
        self.waiting = queue.Queue(most_waiting)
        self.seen = set()
        if read:
            threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            fresh = sorted((p for p in self.folder.glob("*.bin") if p.name not in self.seen),
                           key=lambda p: (not p.name.startswith("held_out"), p.name.rsplit("-", 1)[1]))
            if not fresh:
                time.sleep(0.1)
            for path in fresh[:64]:
                kind, size = path.name.split("-")[:2]
                data = numpy.fromfile(path, dtype=numpy.uint8)
                path.unlink()
                self.seen.add(path.name)
                arrays, at = {}, 0
                for name, dtype, shape in self.layout["shards"][f"{kind}-{size}"]:
                    length = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
                    values = numpy.frombuffer(data[at : at + length].tobytes() if at % 4 else data[at : at + length], dtype)
                    if dtype in ("uint16", "uint32"):
                        values = values.astype({"uint16": numpy.int16, "uint32": numpy.int32}[dtype])
                    array = torch.from_numpy(values.reshape(shape))
                    arrays[name] = array.pin_memory() if DEVICE.type == "cuda" else array.clone()
                    at += length
                self.waiting.put((kind, int(size), arrays))

    def take(self):
        """One shard on the device, or nothing."""
        try:
            kind, size, arrays = self.waiting.get_nowait()
        except queue.Empty:
            return None
        return kind, size, {name: array.to(DEVICE, non_blocking=True) for name, array in arrays.items()}


class Store:
    """Latents and truth of one kind and size in a ring."""

    def __init__(self, capacity):
        self.capacity, self.count, self.at, self.arrays = capacity, 0, 0, None

    def add(self, rows):
        if self.arrays is None:
            self.arrays = {name: torch.empty((self.capacity, *x.shape[1:]), dtype=x.dtype, device=x.device) for name, x in rows.items()}
        count = len(next(iter(rows.values())))
        places = (torch.arange(count, device=DEVICE) + self.at) % self.capacity
        for name, array in self.arrays.items():
            array[places] = rows[name]
        self.at = (self.at + count) % self.capacity
        self.count = min(self.capacity, self.count + count)

    def draw(self, batch, only=None):
        rows = torch.randint(self.count, (batch,), device=DEVICE)
        return {name: array[rows] for name, array in self.arrays.items() if only is None or name in only}


class Data:
    def __init__(self, shards, vae_config, capacities):
        self.shards, self.layout = shards, shards.layout
        side = 2 * vae_config["block_side"]
        self.grids = [Grid(height // side, width // side, DEVICE) for width, height in vae_config["native_sizes"]]
        self.capacities = capacities
        self.raw, self.stores = {}, {}
        self.vae = None

    def gather(self, limit_s=0.0, raw_bytes=0):
        """Takes what waits, for at most so long; before there is an autoencoder only up to so many bytes."""
        until, taken = time.time() + limit_s, 0
        while True:
            if self.vae is None and self.raw_size() > raw_bytes:
                return
            shard = self.shards.take()
            if shard is None:
                if time.time() >= until:
                    return
                time.sleep(0.01)
                continue
            taken += 1
            kind, size, arrays = shard
            if self.vae is None:
                self.raw.setdefault((kind, size), []).append(arrays)
            else:
                self.encode(kind, size, arrays)
            if taken >= 2 and time.time() >= until:
                return

    def raw_size(self):
        return sum(x["frames"].numel() for shards in self.raw.values() for x in shards)

    @torch.no_grad()
    def encode(self, kind, size, arrays):
        grid = self.grids[size]
        with autocast():
            latents = torch.cat([self.vae.encode(to_video(part), grid) for part in arrays["frames"].split(64)])
            portrait = torch.cat([self.vae.encode(to_video(part[:, None]), grid) for part in arrays["portrait"].split(64)])
        rows = {
            "latents": latents.half(), "portrait": portrait.half(), "tokens": arrays["tokens"], "lengths": arrays["lengths"],
            "kinds": arrays["kinds"].flatten(2), "colours": arrays["colours"].flatten(2),
            "bearings": arrays["bearings"].flatten(2, 3), "answers": arrays["answers"], "shots": arrays["shots"],
        }
        store = self.stores.get((kind, size))
        if store is None:
            store = self.stores[kind, size] = Store(self.capacities[kind] // (1 if size == 0 else 2))
        store.add(rows)

    def use(self, vae):
        """From now on clips are latents."""
        self.vae = vae
        for (kind, size), shards in self.raw.items():
            while shards:
                self.encode(kind, size, shards.pop())
        self.raw = {}

    def counts(self):
        return {f"{kind}-{size}": store.count for (kind, size), store in sorted(self.stores.items())}


def to_video(frames):
    return frames.float() / 127.5 - 1.0


def autocast():
    return torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=DEVICE.type == "cuda" or FORCE_BF16)


class Clock:
    """The share of a stage that is over."""

    def __init__(self, name, seconds):
        self.name, self.start, self.seconds, self.step, self.told = name, time.time(), seconds, 0, 0.0

    def done(self):
        return (time.time() - self.start) / self.seconds

    def tell(self, every_s, figures):
        """Prints tensors, which waits for the device: seldom."""
        self.step += 1
        now = time.time()
        if now - self.told < every_s:
            return
        self.told = now
        text = "  ".join(f"{name} {float(torch.as_tensor(value).detach()):.4f}" for name, value in figures.items())
        say(f"{self.name} step {self.step} ({100 * self.done():.0f} %)  {text}")


# Stage 1: the autoencoder, as in vae.rs.


def components(data, count):
    """Leading principal components: mean, basis [values, count], standard deviations (at least a hundredth of the first)."""
    data = data.double()
    mean = data.mean(0)
    covariance = (data - mean).T @ (data - mean) / len(data)
    variance, basis = torch.linalg.eigh(covariance)
    variance, basis = variance.flip(0)[:count].clamp_min(0), basis.flip(1)[:, :count]
    std = variance.sqrt()
    return mean, basis, std.clamp_min(std[0] * 0.01), covariance.trace()


@torch.no_grad()
def start_from_principal_components(vae, data):
    config = vae.config
    parts, grid = [], data.grids[0]
    for arrays in (data.raw.get(("clips", 0)) or data.raw[("glimpses", 0)])[:6]:
        parts.append(vae.patchify(to_video(arrays["frames"])))
    blocks = torch.cat(parts)
    mean, basis, std, _ = components(blocks.flatten(0, 2)[:: max(1, blocks[..., 0].numel() // 200_000)], config["fine_width"])
    set_linear = lambda layer, weight, bias: (layer.weight.copy_(weight.float()), layer.bias.copy_(bias.float()))
    set_linear(vae.encoder.patch_embedding, basis / std, -mean @ (basis / std))
    set_linear(vae.decoder.patch_output, (basis * std).T, mean)
    cells = grid.finer().merged((blocks.double() - mean) @ basis).flatten(0, 2)
    mean, basis, std, total = components(cells[:: max(1, len(cells) // 200_000)], config["coarse_width"])
    fine_std = components(blocks.flatten(0, 2)[:: max(1, blocks[..., 0].numel() // 200_000)], config["fine_width"])[2].repeat(4)
    set_linear(vae.encoder.merge, basis / std * fine_std[:, None], -mean @ (basis / std))
    set_linear(vae.decoder.split, (basis * std).T / fine_std, mean / fine_std)
    channels = config["latent_channels"]
    identity = torch.eye(config["coarse_width"], channels, device=DEVICE)
    set_linear(vae.encoder.mean, identity, torch.zeros(channels, device=DEVICE))
    set_linear(vae.encoder.log_variance, torch.zeros_like(identity), torch.full((channels,), -5.0, device=DEVICE))
    set_linear(vae.decoder.latent_embedding, identity.T, torch.zeros(config["coarse_width"], device=DEVICE))
    say(f"{channels} principal components keep {100 * (std[:channels] ** 2).sum() / total:.1f} % of the variance")


def vae_loss(vae, frames, grid, config):
    video = to_video(frames)
    with autocast():
        mean, log_variance = vae.posterior(video, grid)
        sample = mean + (log_variance.float() * 0.5).exp() * torch.randn_like(mean.float())
        again = vae.reconstruct(sample, grid)
    error = again.float() - video
    pixels = error.abs().mean()
    across = (error[:, :, :, 1:] - error[:, :, :, :-1]).abs().mean()
    down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
    mean, log_variance = mean.float(), log_variance.float()
    kl = (mean.square() + log_variance.exp() - log_variance - 1).mean() * 0.5
    loss = pixels + (across + down) * config["gradient_weight"] + kl * config["kl_weight"]
    return loss, {"pixels": pixels.detach(), "psnr_db": 10 * (4 / error.detach().square().mean()).log10(), "kl": kl.detach()}


@torch.no_grad()
def report_reconstruction(vae, data):
    """How good it is on compositions that it never saw."""
    for (kind, size), shards in data.raw.items():
        if kind == "held_out":
            errors = []
            for part in shards[0]["frames"].split(8):
                with autocast():
                    mean, _ = vae.posterior(to_video(part), data.grids[size])
                    again = vae.reconstruct(mean, data.grids[size])
                errors.append((again.float().clamp(-1, 1) - to_video(part)).square().mean())
            say(f"held-out reconstruction, size {size}: {10 * (4 / torch.stack(errors).mean()).log10():.2f} dB")


def train_vae(config, data, seconds):
    stage = config["vae"]
    vae = paper.Vae(stage["model"]).to(DEVICE)
    while not any(kind in ("clips",) and size == 0 for kind, size in data.raw) or len(data.raw) < 4:
        data.gather(1.0, stage["raw_bytes"])
    clock = Clock("vae", seconds)
    start_from_principal_components(vae, data)
    average = averaged(vae)
    for part in [vae.encoder, vae.decoder]:
        compile_blocks([*part.fine_blocks, *part.coarse_blocks])
    optimizers = Optimizers(vae, stage, average)
    while clock.done() < 1:
        data.gather(0.0, stage["raw_bytes"])
        kind = "clips" if clock.step % 3 != 2 else "glimpses"
        pools = [(size, shards) for (name, size), shards in data.raw.items() if name == kind]
        if not pools:
            pools = [(size, shards) for (name, size), shards in data.raw.items() if name == "clips"]
        weights = torch.tensor([[2.0, 1.0, 1.0][size] for size, _ in pools])
        size, shards = pools[int(torch.multinomial(weights, 1))]
        chosen = torch.randint(len(shards), (stage["shards"],)).tolist()
        frames = torch.cat([shards[at]["frames"] for at in chosen])
        if stage.get("clips"):
            frames = frames[torch.randperm(len(frames))[: stage["clips"]]]
        loss, figures = vae_loss(vae, frames, data.grids[size], stage)
        loss.backward()
        norm = optimizers.step(clock.done())
        clock.tell(10, {"loss": loss, **figures, "norm": norm, "raw_gb": data.raw_size() / 1e9})
    report_reconstruction(average, data)
    mean, std = latent_statistics(average, data)
    average.config = stage["model"] | {"latent_mean": mean, "latent_std": std}
    return average


@torch.no_grad()
def latent_statistics(vae, data):
    """Mean of each channel, and the scale that makes what moves many pixels a large part of the flow: vae.rs."""
    latents, some = [], None
    for (kind, size), shards in data.raw.items():
        if kind not in ("clips", "glimpses"):
            continue
        for arrays in shards[:3]:
            with autocast():
                mean, _ = vae.posterior(to_video(arrays["frames"][:16]), data.grids[size])
            latents.append(mean.float().flatten(0, 2))
            if some is None and size == 0:
                some = mean.float()[:4]
    values = torch.cat(latents)
    std, mean = values.std(0), values.mean(0)
    grid = data.grids[0]
    with autocast():
        picture = vae.reconstruct(some, grid).float()
    moved = []
    for channel in range(len(std)):
        step = torch.zeros_like(std)
        step[channel] = std[channel]
        with autocast():
            moved.append((vae.reconstruct(some + step, grid).float() - picture).square().mean().sqrt())
    moved = torch.stack(moved)
    scale = std / (moved / moved.mean()).sqrt().clamp_min(0.1)
    return mean.tolist(), scale.tolist()


# Stage 2: the captioner, as in captioner.rs.


def cell_loss(logits, classes, unclear):
    """Half of it is about the cells that an actor covers, few as they are."""
    none = logits.shape[-1] - 1
    classes = classes.long()
    empty, covered = classes == none, (classes != none) & (classes != unclear)
    weights = 0.5 * empty / empty.sum().clamp_min(1) + 0.5 * covered / covered.sum().clamp_min(1)
    losses = F.cross_entropy(logits.flatten(0, -2).float(), classes.clamp_max(none).flatten(), reduction="none")
    return (losses * weights.flatten()).sum()


def answers_loss(answers, truths, questions, at_a_glimpse):
    loss = 0.0
    for at, (logits, question) in enumerate(zip(answers, questions)):
        if at_a_glimpse and not question["at_a_glimpse"]:
            continue
        target = (truths[:, at, None] >> torch.arange(question["classes"], device=DEVICE) & 1).float()
        if question["many"]:
            loss = loss + F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1).mean()
        else:
            loss = loss - (target * logits.log_softmax(-1)).sum(-1).mean()
    return loss


def train_captioner(config, data, seconds):
    stage, layout = config["captioner"], data.layout
    questions = layout["questions"]
    captioner = paper.Captioner(stage["model"], [q["classes"] for q in questions], layout["kinds"], layout["colours"]).to(DEVICE)
    clock = Clock("captioner", seconds)
    average = averaged(captioner)
    compile_blocks(captioner.blocks)
    optimizers = Optimizers(captioner, stage, average)
    while clock.done() < 1:
        data.gather()
        figures = {}
        for part, kinds, batch in [("clip", ["clips", "judge_clips", "people"], stage["clips"]), ("glimpse", ["glimpses", "judge_glimpses"], stage["glimpses"])]:
            dice = float(torch.rand(()))
            judging = dice < stage["judge_share"]
            kind = kinds[-1] if dice > 1 - stage.get("people_share", 0.0) else kinds[int(judging)]
            stores = [(size, data.stores[kind, size]) for size in [0, 0, 0, 1, 2] if (kind, size) in data.stores]
            if not stores:
                continue
            size, store = stores[int(torch.randint(len(stores), ()))]
            rows = store.draw(batch, ["latents", "kinds", "colours", "answers"])
            latents = rows["latents"].float()
            noise = torch.rand(batch, 1, 1, 1, device=DEVICE) * stage["noise"]
            with autocast():
                answers, kinds_said, colours_said = captioner(latents + torch.randn_like(latents) * noise, data.grids[size])
            cells = cell_loss(kinds_said, rows["kinds"], layout["unclear"]) + cell_loss(colours_said, rows["colours"], layout["unclear"])
            loss = answers_loss(answers, rows["answers"], questions, part == "glimpse") + cells * stage["cell_weight"]
            loss.backward()
            figures[part] = loss.detach()
        norm = optimizers.step(clock.done())
        clock.tell(10, {**figures, "norm": norm})
    accuracy(average, data, lambda rows, size: rows["latents"].float(), "true renders")
    return average


@torch.no_grad()
def accuracy(captioner, data, latents_of, name, size=0):
    """How often what is read is what the scene has, a question; of held-out scenes."""
    store = data.stores.get(("held_out", size))
    if store is None:
        return {}
    right, asked = {}, {}
    rows = {key: array[: store.count] for key, array in store.arrays.items()}
    with autocast():
        answers, _, _ = captioner(latents_of(rows, size), data.grids[size])
    for at, (logits, question) in enumerate(zip(answers, data.layout["questions"])):
        target = rows["answers"][:, at, None] >> torch.arange(question["classes"], device=DEVICE) & 1 == 1
        there = target.any(-1)
        if question["many"] or not there.any():
            continue
        said = target.gather(1, logits.argmax(-1, keepdim=True))[:, 0]
        right[question["name"]] = int((said & there).sum())
        asked[question["name"]] = int(there.sum())
    table = {key: 100 * right[key] / asked[key] for key in right}
    say(f"{name} ({store.count}): " + ", ".join(f"{key} {value:.0f}" for key, value in table.items()))
    main = ["Kind", "Colour", "Motion", "Count", "Relation", "Background", "Weather", "TimeOfDay", "Camera", "Cut"]
    table["mean"] = sum(table[key] for key in main if key in table) / len(main)
    return table


# Stage 3: the transformer, as in dit.rs.


class Learner(torch.nn.Module):
    """The transformer, the text encoder that moves with it, and what asks its tokens about the scene."""

    def __init__(self, dit, text, kinds, colours):
        super().__init__()
        width = dit.config["width"]
        self.dit, self.text = dit, text
        self.norm = paper.RmsNorm(width)
        self.kind = paper.Linear(width, kinds + 1, 0.2)
        self.colour = paper.Linear(width, colours + 1, 0.2)
        self.bearing = paper.Linear(width, 6, 0.2)


def shifted(t, shift):
    return shift * t / (1 + (shift - 1) * t)


def given_frames(batch, length, nothing_given):
    """Which latent frames are given, [B, T]: one of dit.rs's jobs each."""
    frames = torch.arange(length, device=DEVICE)[None]
    if length == 1:
        return torch.zeros(batch, 1, dtype=torch.bool, device=DEVICE)
    part = torch.randint(1, length, (batch, 1), device=DEVICE)
    one = torch.randint(0, length, (batch, 1), device=DEVICE)
    both = (frames == 0) | (frames == length - 1) if length > 2 else (frames == 0).expand(1, -1)
    jobs = torch.stack([(frames == 0).expand(batch, -1), frames < part, frames >= part, both.expand(batch, -1), frames == one])
    job = torch.randint(0, 5, (batch,), device=DEVICE)
    given = jobs[job, torch.arange(batch, device=DEVICE)]
    return given & (torch.rand(batch, 1, device=DEVICE) >= nothing_given)


def draw_prompts(rows, drop_text):
    """Token ids and lengths of one caption a clip; some are dropped."""
    batch, captions, _ = rows["tokens"].shape
    which = torch.randint(captions, (batch,), device=DEVICE)
    each = torch.arange(batch, device=DEVICE)
    lengths = rows["lengths"][each, which].long()
    lengths = torch.where(torch.rand(batch, device=DEVICE) < drop_text, 0, lengths)
    return rows["tokens"][each, which].long(), lengths


def draw_variant(stage):
    """What a batch of whole clips is for: whole clips, windows from the middle, or clips behind a reference picture."""
    dice = float(torch.rand(()))
    return "reference" if dice < stage["references"] else "later" if dice < stage["references"] + stage["later"] else "whole"


class Batch:
    """Noised latents of one size and length, and what is known of them."""

    def __init__(self, data, stage, kind, batch, variant):
        """`variant`: whole, later (a window from the middle), reference, glimpse."""
        if variant == "reference" and float(torch.rand(())) < stage.get("people_share", 0.0):
            kind = "people"
        sizes = [size for size in [0, 0, 1, 2] if (kind, size) in data.stores and data.stores[kind, size].count > 0]
        size = sizes[int(torch.randint(len(sizes), ()))]
        self.grid = data.grids[size]
        self.rows = data.stores[kind, size].draw(batch)
        block = stage["block_frames"]
        # Behind a reference picture stands the beginning of a clip or, half as often, what comes later.
        first = 1 if variant == "later" or variant == "reference" and float(torch.rand(())) < 0.33 else 0
        clean = self.rows["latents"][:, first:].float()
        self.length = clean.shape[1]
        self.first = first
        self.references = int(variant == "reference")
        t = torch.sigmoid(torch.randn(batch, 1, device=DEVICE))
        given = given_frames(batch, self.length, stage["nothing_given"])
        self.free = (~given).float()
        self.t = shifted(t, stage["shift"])
        times = self.t * self.free
        noise = torch.randn_like(clean)
        self.target = noise - clean
        mix = times[:, :, None, None]
        self.input = (1 - mix) * clean + mix * noise
        self.times = times
        self.times_s = paper.latent_times_s(block, first, self.length)
        if self.references:
            self.input = torch.cat([self.rows["portrait"].float(), self.input], dim=1)
            self.times = F.pad(self.times, (1, 0))
            self.times_s = [paper.REFERENCE_TIME_S, *self.times_s]

    def cells(self, name):
        return self.rows[name][:, self.first :]


def dit_loss(learner, batch, stage, layout):
    ids, lengths = draw_prompts(batch.rows, stage["drop_text"])
    with autocast():
        text = learner.text(ids, lengths)
        velocity, states = learner.dit(batch.input, batch.times, text, batch.times_s, batch.grid, stage["telling"]["after"])
        states = learner.norm(states[:, batch.references :])
        told = cell_loss(learner.kind(states), batch.cells("kinds"), layout["unclear"])
        told = told + cell_loss(learner.colour(states), batch.cells("colours"), layout["unclear"])
        bearings = learner.bearing(states)
    covered = (batch.cells("kinds") != layout["kinds"]) & (batch.cells("kinds") != layout["unclear"])
    apart = (bearings.float() - batch.cells("bearings").float() / layout["bearing_steps"]).abs().mean(-1)
    told = told + (apart * covered).sum() / covered.sum().clamp_min(1)
    weights = torch.where(batch.cells("kinds") == layout["kinds"], 1.0, stage["actor_weight"])[..., None] * batch.free[:, :, None, None]
    error = (velocity[:, batch.references :].float() - batch.target).square() * weights
    flow = error.sum() / (weights.sum() * error.shape[-1])
    return flow + stage["telling"]["weight"] * told, {"velocity": flow.detach(), "told": told.detach()}


def new_learner(config, data, text):
    learner = Learner(paper.Dit(config["dit"]["model"]).to(DEVICE), text, data.layout["kinds"], data.layout["colours"]).to(DEVICE)
    say(f"{sum(p.numel() for p in learner.dit.parameters()):,} parameters")
    return learner


def train_dit(config, data, learner, seconds):
    stage, layout = config["dit"], data.layout
    clock = Clock("dit", seconds)
    average = averaged(learner)
    compile_blocks([*learner.dit.blocks, *average.dit.blocks])
    optimizers = Optimizers(learner, stage, average)
    looked = 0.0
    while clock.done() < 1:
        data.gather()
        done, figures = clock.done(), {}
        # At first whole clips alone: what else there is can be compiled meanwhile, by a run with --smoke.
        early = done < stage.get("whole_until", 0.0)
        parts = [("clips", stage["clips"], "whole" if early else draw_variant(stage))]
        # Glimpses teach what things are; towards the end whole clips alone.
        if done < stage["glimpses_until"] and not early:
            parts.append(("glimpses", stage["glimpses"], "glimpse"))
        for kind, count, variant in parts:
            loss, told = dit_loss(learner, Batch(data, stage, kind, count, variant), stage, layout)
            (loss / len(parts)).backward()
            figures |= {f"{kind}_{name}": value for name, value in told.items()}
        norm = optimizers.step(done)
        clock.tell(10, {**figures, "norm": norm})
        if done - looked > 0.24:
            looked = done
            keep(config, average)
            if config.get("captioner_network") is not None:
                judge(config, data, average, 12, 3.0)
    keep(config, average)
    return average


def keep(config, learner):
    """What is learned so far; a machine can be taken away."""
    if config.get("out"):
        paper.save_network(config["out"], "base", learner.dit, config["dit"]["model"])
        paper.save_network(config["out"], "text_encoder", learner.text, learner.text.config)


# The loop of sampling.rs, and what the judge says of what it makes.


@torch.no_grad()
def sample(learner, rows, grid, steps, scale, config, interval=(0.1, 1.0)):
    stage = config["dit"]
    _, frames, cells, channels = rows["latents"].shape
    batch = len(rows["latents"])
    ids, lengths = rows["tokens"][:, 0].long(), rows["lengths"][:, 0].long()
    times_s = paper.latent_times_s(stage["block_frames"], 0, frames)
    with autocast():
        text = learner.text(ids, lengths)
        nothing = learner.text(ids, torch.zeros_like(lengths))
    x = torch.randn(batch, frames, cells, channels, device=DEVICE)
    schedule = [shifted(1 - at / steps, stage["shift"]) for at in range(steps + 1)]
    before = None
    for now, then in zip(schedule, schedule[1:]):
        times = torch.full((batch, frames), now, device=DEVICE)
        with autocast():
            velocity = learner.dit(x, times, text, times_s, grid)[0].float()
            if scale != 1.0 and interval[0] <= now <= interval[1]:
                away = learner.dit(x, times, nothing, times_s, grid)[0].float()
                velocity = away + (velocity - away) * scale
        step = then - now
        direction = velocity
        if before is not None:
            ratio = step / (2 * before[0])
            direction = velocity * (1 + ratio) - before[1] * ratio
        before = (step, velocity)
        x = x + direction * step
    return x


def judge(config, data, learner, steps, scale):
    """What the captioner reads in clips for held-out prompts."""
    captioner = config["captioner_network"]

    def latents_of(rows, size):
        return torch.cat([
            sample(learner, {key: value[at : at + 64] for key, value in rows.items()}, data.grids[size], steps, scale, config)
            for at in range(0, len(rows["latents"]), 64)
        ])

    return accuracy(captioner, data, latents_of, f"made in {steps} steps, guidance {scale}")


# Stage 4: guidance in one evaluation, after Meng et al. 2022 (arXiv:2210.03142), at one scale.


def distill(config, data, student, teacher, seconds, scale):
    """`student` is compiled already: it takes the weights of `teacher` and goes on from them."""
    stage, distillation = config["dit"], config["distillation"]
    student.load_state_dict(teacher.state_dict())
    clock = Clock("distillation", seconds)
    average = averaged(teacher)
    compile_blocks(average.dit.blocks)
    optimizers = Optimizers(student.dit, distillation, average.dit)
    low, high = distillation["interval"]
    while clock.done() < 1:
        data.gather()
        batch = Batch(data, stage, "clips", distillation["clips"], draw_variant(stage))
        ids, lengths = draw_prompts(batch.rows, distillation["drop_text"])
        inputs = (batch.input, batch.times)
        with torch.no_grad(), autocast():
            text, nothing = teacher.text(ids, lengths), teacher.text(ids, torch.zeros_like(lengths))
            towards = teacher.dit(*inputs, text, batch.times_s, batch.grid)[0].float()
            away = teacher.dit(*inputs, nothing, batch.times_s, batch.grid)[0].float()
            guided = ((batch.t >= low) & (batch.t <= high))[:, :, None, None]
            target = torch.where(guided, away + (towards - away) * scale, towards)
        with autocast():
            velocity = student.dit(*inputs, text, batch.times_s, batch.grid)[0]
        weights = batch.free[:, :, None, None]
        if batch.references:
            velocity, target = velocity[:, 1:], target[:, 1:]
        loss = ((velocity.float() - target).square() * weights).sum() / (weights.sum() * target.shape[2] * target.shape[3])
        loss.backward()
        norm = optimizers.step(clock.done())
        clock.tell(10, {"loss": loss, "norm": norm})
    return average


# Stage 5: few steps. The student jumps as far as the teacher goes in several, from a few fixed timesteps.
# After Salimans & Ho 2022 (arXiv:2202.00512), all jumps learned at once.


def shorten(config, data, student, teacher, seconds):
    """`student` as in `distill`."""
    stage, few = config["dit"], config["few_steps"]
    student.load_state_dict(teacher.state_dict())
    clock = Clock("few steps", seconds)
    average = averaged(teacher)
    compile_blocks(average.dit.blocks)
    optimizers = Optimizers(student.dit, few, average.dit)
    steps, parts = few["steps"], few["teacher_steps"]
    schedule = torch.tensor([shifted(1 - at / (steps * parts), stage["shift"]) for at in range(steps * parts + 1)], device=DEVICE)
    while clock.done() < 1:
        data.gather()
        batch = Batch(data, stage, "clips", few["clips"], draw_variant(stage))
        ids, lengths = draw_prompts(batch.rows, few["drop_text"])
        count = len(ids)
        jump = torch.randint(steps, (count,), device=DEVICE)
        clean = batch.rows["latents"][:, batch.first :].float()
        noise = torch.randn_like(clean)
        free, references = batch.free, batch.references

        def at(x, times):
            """Inputs of the network: given frames clean, references before them."""
            frame_times = times[:, None] * free
            mix = free[:, :, None, None]
            frames = x * mix + clean * (1 - mix)
            if references:
                frames = torch.cat([batch.rows["portrait"].float(), frames], dim=1)
                frame_times = F.pad(frame_times, (1, 0))
            return frames, frame_times

        start = schedule[jump * parts]
        x = (1 - start)[:, None, None, None] * clean + start[:, None, None, None] * noise
        begin = x
        with torch.no_grad(), autocast():
            text = teacher.text(ids, lengths)
            before = None
            for part in range(parts):
                now, then = schedule[jump * parts + part], schedule[jump * parts + part + 1]
                velocity = teacher.dit(*at(x, now), text, batch.times_s, batch.grid)[0][:, references:].float()
                step = (then - now)[:, None, None, None]
                direction = velocity
                if before is not None:
                    ratio = step / (2 * before[0])
                    direction = velocity * (1 + ratio) - before[1] * ratio
                before = (step, velocity)
                x = x + direction * step
            end = schedule[(jump + 1) * parts]
            target = (x - begin) / (end - start)[:, None, None, None]
        with autocast():
            velocity = student.dit(*at(begin, start), text, batch.times_s, batch.grid)[0][:, references:]
        weights = free[:, :, None, None]
        loss = ((velocity.float() - target).square() * weights).sum() / (weights.sum() * target.shape[2] * target.shape[3])
        loss.backward()
        norm = optimizers.step(clock.done())
        clock.tell(10, {"loss": loss, "norm": norm})
    return average


@torch.no_grad()
def sample_jumps(learner, rows, grid, config):
    """The few steps of `shorten`, plain Euler."""
    stage, few = config["dit"], config["few_steps"]
    _, frames, cells, channels = rows["latents"].shape
    batch = len(rows["latents"])
    with autocast():
        text = learner.text(rows["tokens"][:, 0].long(), rows["lengths"][:, 0].long())
    x = torch.randn(batch, frames, cells, channels, device=DEVICE)
    schedule = [shifted(1 - at / few["steps"], stage["shift"]) for at in range(few["steps"] + 1)]
    for now, then in zip(schedule, schedule[1:]):
        with autocast():
            times = torch.full((batch, frames), now, device=DEVICE)
            velocity = learner.dit(x, times, text, paper.latent_times_s(stage["block_frames"], 0, frames), grid)[0].float()
        x = x + velocity * (then - now)
    return x


def compile_blocks(blocks):
    if COMPILE:
        for block in blocks:
            block.compile(dynamic=False)


def save_sheet(path, frames):
    """Frames [N, H, W, 3] in −1…1 as a picture, eight in a row, without any library for pictures."""
    import zlib, struct

    frames = ((frames.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    rows = [numpy.concatenate(frames[at : at + 8], axis=1) for at in range(0, len(frames) // 8 * 8, 8)]
    picture = numpy.concatenate(rows, axis=0)
    height, width, _ = picture.shape
    raw = b"".join(b"\0" + line.tobytes() for line in picture)
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 6)) + chunk(b"IEND", b""))


@torch.no_grad()
def show(path, vae, data, latents, clips=16):
    """First, middle and last frames of clips, four of each in a row."""
    frames = []
    for part in latents[:clips].split(4):
        with autocast():
            video = vae.decode(part, data.grids[0]).float()
        last = video.shape[1] - 1
        frames.append(video[:, [0, last // 3, 2 * last // 3, last]].flatten(0, 1))
    save_sheet(path, torch.cat(frames))


def open_text_encoder(folder):
    text_config = paper.read_config(folder, "text_encoder")
    return paper.network(folder, "text_encoder", paper.TextEncoder(text_config), text_config).to(DEVICE)


def smoke(config, data, options):
    """Every stage after the autoencoder for a moment, on noise of the right shapes; a run beside it finds the compiled code."""
    model = config["vae"]["model"]
    channels = model["latent_channels"]
    data.vae = paper.Vae(model | {"latent_mean": [0.0] * channels, "latent_std": [1.0] * channels}).to(DEVICE)
    for key, arrays in data.layout["shards"].items():
        kind, size = key.split("-")
        rows = {}
        for name, dtype, shape in arrays:
            grid, time = data.grids[int(size)], 1 + (dict((a[0], a[2]) for a in arrays)["frames"][1] - 1) // model["block_frames"]
            cells = grid.rows * grid.columns
            if name == "frames":
                rows["latents"] = torch.randn(16, time, cells, channels, device=DEVICE).half()
            elif name == "portrait":
                rows["portrait"] = torch.randn(16, 1, cells, channels, device=DEVICE).half()
            elif name in ("kinds", "colours"):
                rows[name] = torch.randint(0, data.layout[name] + 1, (16, time, cells), device=DEVICE).to(torch.uint8)
            elif name == "bearings":
                rows[name] = torch.zeros(16, time, cells, 6, dtype=torch.int16, device=DEVICE)
            else:
                high = {"tokens": 2000, "lengths": 40, "answers": 2, "shots": 2}[name]
                rows[name] = torch.randint(1, high, (16, *shape[1:]), device=DEVICE).to({"tokens": torch.int16, "lengths": torch.uint8, "answers": torch.int32, "shots": torch.uint8}[name])
        store = data.stores[kind, int(size)] = Store(16)
        store.add(rows)
    config["captioner_network"] = train_captioner(config, data, 3) if config["seconds"]["captioner"] else None
    running = new_learner(config, data, open_text_encoder(options.start))
    compile_blocks(running.dit.blocks)
    for kind, variant in [("glimpses", "glimpse"), ("clips", "later"), *[("clips", "reference")] * 6, ("clips", "whole")]:
        count = config["dit"]["glimpses" if variant == "glimpse" else "clips"]
        loss, _ = dit_loss(running, Batch(data, config["dit"], kind, count, variant), config["dit"], data.layout)
        loss.backward()
        say(f"{variant}: tried")
    if not config["seconds"]["distillation"]:
        return
    learner = train_dit(config, data, running, options.seconds or 40)
    student = distill(config, data, running, learner, 4, 3.0)
    shorten(config, data, running, student, 4)
    rows = {key: array[:8] for key, array in data.stores["held_out", 0].arrays.items()}
    show(Path(options.out) / "smoke.png", data.vae, data, sample(student, rows, data.grids[0], 4, 1.0, config))
    sample_jumps(student, rows, data.grids[0], config)
    say("smoke done")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--start", required=True, help="model folder: its text encoder is where the new one starts")
    parser.add_argument("--shards", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--continue", dest="go_on", action="store_true", help="train the transformer of --start further, with its autoencoder")
    parser.add_argument("--seconds", type=float, help="of all stages together; otherwise what the configuration says")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="also on the CPU")
    parser.add_argument("--smoke", action="store_true", help="on noise, without an autoencoder: compiles and tries everything")
    options = parser.parse_args()
    global DEVICE, COMPILE, FORCE_BF16
    DEVICE, COMPILE, FORCE_BF16 = torch.device(options.device), not options.no_compile, options.bf16
    torch.manual_seed(7)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch._dynamo.config.cache_size_limit = 64
    config = json.loads(Path(options.config).read_text())
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    total = options.seconds or sum(config["seconds"].values())
    scale_time = total / sum(config["seconds"].values())
    seconds = {name: value * scale_time for name, value in config["seconds"].items()}
    say(f"{seconds}, torch {torch.__version__}")

    config["dit"]["block_frames"] = config["vae"]["model"]["block_frames"]
    data = Data(Shards(options.shards, not options.smoke), config["vae"]["model"], config["capacities"])
    if options.smoke:
        return smoke(config, data, options)
    known = Path(options.start) if options.go_on else out
    if (known / "vae" / "model.safetensors").exists():
        vae_config = paper.read_config(known, "vae")
        vae = paper.network(known, "vae", paper.Vae(vae_config), vae_config).to(DEVICE)
        vae.requires_grad_(False)
    else:
        vae = train_vae(config, data, seconds["vae"])
        paper.save_network(out, "vae", vae, vae.config)
    raw = data.raw.get(("held_out", 0))
    if raw and not options.go_on:
        frames = raw[0]["frames"][:4]
        with torch.no_grad(), autocast():
            again = vae.decode(vae.encode(to_video(frames), data.grids[0]), data.grids[0]).float()
        pairs = torch.stack([to_video(frames), again], dim=1)[:, :, [0, 16, 32, 48][: frames.shape[1]]]
        save_sheet(out / "reconstruction.png", pairs.flatten(0, 2))
    data.use(vae)
    say(f"latents: {data.counts()}")
    data.gather(seconds["gather"])
    say(f"latents: {data.counts()}")

    captioner = None
    if (known / "captioner" / "model.safetensors").exists():
        captioner_config = paper.read_config(known, "captioner")
        classes = [question["classes"] for question in data.layout["questions"]]
        captioner = paper.Captioner(captioner_config, classes, data.layout["kinds"], data.layout["colours"])
        captioner = paper.network(known, "captioner", captioner, captioner_config).to(DEVICE)
        captioner.requires_grad_(False)
        accuracy(captioner, data, lambda rows, size: rows["latents"].float(), "true renders")
    elif seconds["captioner"]:
        captioner = train_captioner(config, data, seconds["captioner"])
        paper.save_network(out, "captioner", captioner, config["captioner"]["model"])
    config["captioner_network"] = captioner
    say(f"latents: {data.counts()}")

    text = open_text_encoder(options.start)
    running = new_learner(config, data, text)
    if options.go_on:
        paper.network(options.start, "transformer", running.dit, config["dit"]["model"])
    config["out"] = out
    learner = train_dit(config, data, running, seconds["dit"])
    say(f"latents: {data.counts()}")
    if not seconds.get("distillation"):
        return finish(out)
    scores = {scale: judge(config, data, learner, 14, scale).get("mean", 0.0) for scale in config["scales"]}
    best = max(scores, key=scores.get)
    say(f"guidance {scores}: {best}")
    store = data.stores.get(("held_out", 0))
    rows = {key: array[: min(16, store.count)] for key, array in store.arrays.items()} if store else None
    if rows:
        show(out / "base.png", vae, data, sample(learner, rows, data.grids[0], 14, best, config))

    student = distill(config, data, running, learner, seconds["distillation"], best)
    paper.save_network(out, "transformer", student.dit, config["dit"]["model"])
    # The transformer is the one with guidance in it; `base` is the one that is guided at this scale.
    paper.complete(out, options.start, config["dit"]["shift"], 1.0)
    (out / "chosen.json").write_text(json.dumps({"guidance_scale": best, "scores": {str(k): v for k, v in scores.items()}}))
    for steps in config["distilled_steps"]:
        judge(config, data, student, steps, 1.0)
    if rows:
        show(out / "distilled.png", vae, data, sample(student, rows, data.grids[0], 10, 1.0, config))
    if seconds.get("few_steps"):
        short = shorten(config, data, running, student, seconds["few_steps"])
        paper.save_network(out, "few_steps", short.dit, config["dit"]["model"])
        accuracy(captioner, data, lambda rows, size: torch.cat([
            sample_jumps(short, {k: v[at : at + 64] for k, v in rows.items()}, data.grids[size], config)
            for at in range(0, len(rows["latents"]), 64)]), f"made in {config['few_steps']['steps']} jumps")
        if rows:
            show(out / "few_steps.png", vae, data, sample_jumps(short, rows, data.grids[0], config))
    finish(out)


def finish(out):
    (out / "done").write_text("done\n")
    say("done")


if __name__ == "__main__":
    main()
