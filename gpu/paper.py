"""The paper family in PyTorch: the networks of `crates/diffusion` and the captioner of `crates/training`, layer by layer.

Weights have the names, shapes and files of the Rust side, so a folder written here is opened there. Latents are
`[B, T, P, C]`: P cells of a frame, row by row. What depends on rows and columns comes as tables (`Grid`), so that
landscape, portrait and square run through the same compiled code.
"""

import json
import math
import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

EPSILON = 1e-6
TIMESTEP_FEATURES = 128
PLACE_FEATURES = 32
POSITION_FEATURES = 12
NEIGHBOURS = 7
REFERENCE_TIME_S = -1.0


class Linear(nn.Module):
    """`x · weight + bias`; the weight is [d_input, d_output]."""

    def __init__(self, d_input, d_output, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d_input, d_output) * (gain / math.sqrt(d_input)))
        self.bias = nn.Parameter(torch.zeros(d_output))

    def forward(self, x):
        return F.linear(x, self.weight.t(), self.bias)


class Mlp(nn.Module):
    def __init__(self, width, hidden, d_output=None, gain=0.0):
        super().__init__()
        self.up = Linear(width, hidden)
        self.down = Linear(hidden, d_output or width, gain)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


def rms(x):
    """Divided by the root mean square over the last axis, in float32."""
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + EPSILON)).to(x.dtype)


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return rms(x) * self.gamma.to(x.dtype)


class Grid:
    """Tables of a frame of `rows × columns` cells."""

    def __init__(self, rows, columns, device):
        self.rows, self.columns = rows, columns
        cells = torch.arange(rows * columns, device=device)
        row, column = cells // columns, cells % columns
        # Where the cell's left, right, upper and lower neighbour is, and whether there is one.
        index, there = [], []
        for down, right in [(0, -1), (0, 1), (-1, 0), (1, 0)]:
            r, c = row + down, column + right
            inside = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
            index.append(torch.where(inside, r * columns + c, 0))
            there.append(inside.float())
        self.index = torch.stack(index)
        self.there = torch.stack(there)[:, :, None].contiguous()
        self.device = device

    def finer(self):
        return Grid(2 * self.rows, 2 * self.columns, self.device)

    def merged(self, x):
        """`x` [B, T, P, D] → [B, T, P/4, 4·D]: four cells beside each other become one of half the rows and columns."""
        batch, frames, _, width = x.shape
        x = x.reshape(batch, frames, self.rows // 2, 2, self.columns // 2, 2, width).transpose(3, 4)
        return x.reshape(batch, frames, -1, 4 * width)

    def split(self, x):
        """The inverse of `merged`."""
        batch, frames, _, width = x.shape
        x = x.reshape(batch, frames, self.rows // 2, self.columns // 2, 2, 2, width // 4).transpose(3, 4)
        return x.reshape(batch, frames, -1, width // 4)


class Shift(torch.autograd.Function):
    """An eighth of the channels each from the left, right, above, below and one step earlier: shift.rs.

    Its gradient reads from the opposite neighbours. Left to automatic differentiation, reading by index becomes adding by
    index, which sorts, and takes most of a training step.
    """

    @staticmethod
    def forward(x, index, there):
        group = x.shape[-1] // 8
        parts = [beside(x[..., at * group : (at + 1) * group], index, there, at) for at in range(4)]
        parts.append(F.pad(x[:, :-1, :, 4 * group : 5 * group], (0, 0, 0, 0, 1, 0)))
        parts.append(x[..., 5 * group :])
        return torch.cat(parts, dim=-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx, gradient):
        index, there = ctx.saved_tensors
        group = gradient.shape[-1] // 8
        parts = [beside(gradient[..., at * group : (at + 1) * group], index, there, at ^ 1) for at in range(4)]
        parts.append(F.pad(gradient[:, 1:, :, 4 * group : 5 * group], (0, 0, 0, 0, 0, 1)))
        parts.append(gradient[..., 5 * group :])
        return torch.cat(parts, dim=-1), None, None


def beside(x, index, there, at):
    """What lies left (0), right, above or below (3) of each cell; zero where nothing does."""
    return x[:, :, index[at]] * there[at].to(x.dtype)


def shift(x, index, there):
    return Shift.apply(x, index, there)


def network(folder, name, module, config):
    """Loads `folder/name/model.safetensors` into a module."""
    module.load_state_dict({key: value.float() for key, value in load_file(Path(folder) / name / "model.safetensors").items()})
    module.config = config
    return module


def read_config(folder, name):
    return json.loads((Path(folder) / name / "config.json").read_text())


def save_network(folder, name, module, config, state=None):
    """Writes weights in 16 bits beside their configuration."""
    folder = Path(folder) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = state or module.state_dict()
    save_file({key: value.detach().half().cpu().contiguous() for key, value in state.items()}, folder / "model.safetensors")


def complete(folder, start, shift, guidance_scale):
    """What a model folder holds beside its networks: the tokenizer of another, and how it is sampled."""
    folder = Path(folder)
    for name in ["tokenizer", "scheduler"]:
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(start) / "tokenizer/tokenizer.json", folder / "tokenizer")
    sampling = {"num_inference_steps": 8, "guidance_scale": guidance_scale, "guidance_interval": [0.1, 1.0], "shift": shift}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(sampling, indent=2) + "\n")


# The autoencoder: vae.rs


class ShiftBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = RmsNorm(width)
        self.mlp = Mlp(width, 2 * width)

    def forward(self, x, index, there):
        return x + self.mlp(shift(self.norm(x), index, there))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        fine, coarse, channels = config["fine_width"], config["coarse_width"], config["latent_channels"]
        self.patch_embedding = Linear(block_values(config), fine)
        self.fine_blocks = nn.ModuleList(ShiftBlock(fine) for _ in range(config["encoder_blocks"]))
        self.merge = Linear(4 * fine, coarse)
        self.coarse_blocks = nn.ModuleList(ShiftBlock(coarse) for _ in range(config["encoder_blocks"]))
        self.mean = Linear(coarse, channels)
        self.log_variance = Linear(coarse, channels, 0.0)

    def forward(self, blocks, fine, coarse):
        x = self.patch_embedding(blocks)
        for block in self.fine_blocks:
            x = block(x, fine.index, fine.there)
        x = self.merge(fine.merged(x))
        for block in self.coarse_blocks:
            x = block(x, coarse.index, coarse.there)
        return self.mean(x), self.log_variance(x).clamp(-12.0, 4.0)


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        fine, coarse, channels = config["fine_width"], config["coarse_width"], config["latent_channels"]
        self.latent_embedding = Linear(channels, coarse)
        self.coarse_blocks = nn.ModuleList(ShiftBlock(coarse) for _ in range(config["decoder_blocks"]))
        self.split = Linear(coarse, 4 * fine)
        self.fine_blocks = nn.ModuleList(ShiftBlock(fine) for _ in range(config["decoder_blocks"]))
        self.patch_output = Linear(fine, block_values(config))

    def forward(self, latents, fine, coarse):
        x = self.latent_embedding(latents)
        for block in self.coarse_blocks:
            x = block(x, coarse.index, coarse.there)
        x = fine.split(self.split(x))
        for block in self.fine_blocks:
            x = block(x, fine.index, fine.there)
        return self.patch_output(x)


def block_values(config):
    return config["block_frames"] * config["block_side"] ** 2 * 3


class Vae(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.config = config

    def patchify(self, video):
        """[B, T, H, W, 3] → [B, T', H/8 · W/8, values], the first frame repeated."""
        frames, side = self.config["block_frames"], self.config["block_side"]
        batch, _, height, width, _ = video.shape
        video = torch.cat([video[:, :1].expand(-1, frames - 1, -1, -1, -1), video], dim=1)
        x = video.reshape(batch, -1, frames, height // side, side, width // side, side, 3)
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, x.shape[1], -1, block_values(self.config))

    def unpatchify(self, blocks, fine):
        frames, side = self.config["block_frames"], self.config["block_side"]
        batch, time = blocks.shape[:2]
        x = blocks.reshape(batch, time, fine.rows, fine.columns, frames, side, side, 3)
        x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(batch, time * frames, fine.rows * side, fine.columns * side, 3)
        return x[:, frames - 1 :]

    def posterior(self, video, coarse):
        return self.encoder(self.patchify(video), coarse.finer(), coarse)

    def reconstruct(self, sample, coarse):
        fine = coarse.finer()
        return self.unpatchify(self.decoder(sample, fine, coarse), fine)

    def statistics(self, device):
        mean = torch.tensor(self.config["latent_mean"], device=device)
        return mean, torch.tensor(self.config["latent_std"], device=device)

    def encode(self, video, coarse):
        mean, std = self.statistics(video.device)
        return (self.posterior(video, coarse)[0].float() - mean) / std

    def decode(self, latents, coarse):
        mean, std = self.statistics(latents.device)
        return self.reconstruct(latents * std + mean, coarse)


# The text encoder: text.rs


def attend(query, key, value, heads, mask=None):
    split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)
    out = F.scaled_dot_product_attention(split(query), split(key), split(value), attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


class TextBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attention_norm = RmsNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.output = Linear(width, width, 0.0)
        self.mlp_norm = RmsNorm(width)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x, mask, heads):
        query, key, value = self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        x = x + self.output(attend(query, key, value, heads, mask.to(query.dtype)))
        return x + self.mlp(self.mlp_norm(x))


class TextEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["width"]
        self.token_embedding = nn.Parameter(torch.randn(config["vocabulary"], width) * 0.5)
        self.position_embedding = nn.Parameter(torch.randn(config["max_tokens"], width) * 0.5)
        self.registers = nn.Parameter(torch.randn(config["registers"], width) * 0.5)
        self.blocks = nn.ModuleList(TextBlock(width) for _ in range(config["blocks"]))
        self.norm = RmsNorm(width)
        self.config = config

    def forward(self, ids, lengths):
        """`ids` [B, L], 0 beyond `lengths` [B] → states of the registers, [B, registers, D]."""
        registers, longest = self.config["registers"], ids.shape[1]
        places = torch.arange(registers + longest, device=ids.device)
        mask = torch.where(places[None] < registers + lengths[:, None], 0.0, -1e9)[:, None, None]
        tokens = self.token_embedding[ids] + self.position_embedding[:longest]
        x = torch.cat([self.registers.expand(len(ids), -1, -1), tokens], dim=1)
        for block in self.blocks:
            x = block(x, mask, self.config["heads"])
        return self.norm(x[:, :registers])


# The transformer: dit.rs, rope.rs


def wave_angles(positions, count, shortest, longest):
    fraction = torch.arange(count, device=positions.device) / max(count - 1, 1)
    return positions[:, None] * math.tau / (shortest * (longest / shortest) ** fraction)


def centred(count, device):
    return torch.arange(count, device=device) - (count - 1) / 2


def rope_tables(head_width, times_s, grid):
    """Cosines and sines, [T·P, head/2]."""
    space_width = head_width * 3 // 8 // 2 * 2
    time_width = head_width - 2 * space_width
    times = wave_angles(torch.tensor(times_s, device=grid.device), time_width // 2, 1.5, 200.0)
    rows = wave_angles(centred(grid.rows, grid.device), space_width // 2, 2.5, 120.0)
    columns = wave_angles(centred(grid.columns, grid.device), space_width // 2, 2.5, 120.0)
    shape = (len(times_s), grid.rows, grid.columns, -1)
    parts = [times[:, None, None].expand(shape), rows[None, :, None].expand(shape), columns[None, None].expand(shape)]
    table = torch.cat(parts, dim=-1).flatten(0, 2)
    return table.cos(), table.sin()


def place_features(grid):
    """[P, 32]."""

    def waves(count):
        middle = centred(count, grid.device)
        return torch.cat([wave_angles(middle, 5, 2.5, 120.0), wave_angles(middle / count, 3, 0.5, 2.0)], dim=-1)

    shape = (grid.rows, grid.columns, -1)
    rows, columns = waves(grid.rows)[:, None].expand(shape), waves(grid.columns)[None].expand(shape)
    angles = torch.cat([rows, columns], dim=-1).flatten(0, 1)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def latent_times_s(block, first, count, frame_rate=12):
    return [max(block * index - (block - 1) / 2, 0.0) / frame_rate for index in range(first, first + count)]


def rotate(x, cos, sin):
    """[B, N, L, head], the two halves of each head turned; in float32."""
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, self.heads = config["width"], config["heads"]
        head_width = width // self.heads
        self.modulation_offset = nn.Parameter(torch.zeros(6 * width))
        self.self_qkv = Linear(width, 3 * width)
        self.self_query_norm = RmsNorm(head_width)
        self.self_key_norm = RmsNorm(head_width)
        self.self_output = Linear(width, width, 0.5)
        self.cross_norm = RmsNorm(width)
        self.cross_query = Linear(width, width)
        self.cross_key_value = Linear(width, 2 * width)
        self.cross_query_norm = RmsNorm(head_width)
        self.cross_key_norm = RmsNorm(head_width)
        self.cross_output = Linear(width, width, 0.5)
        self.mlp = Mlp(width, config["mlp_width"], width, 0.5)

    def forward(self, x, modulation, text, cos, sin, index, there):
        """`x` [B, T, P, D], `modulation` [B, T, 6·D], `text` [B, L, D]."""
        batch, frames, cells, width = x.shape
        parts = (modulation + self.modulation_offset.to(modulation.dtype))[:, :, None].chunk(6, dim=-1)
        split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        h = (rms(x) * (1 + parts[1]) + parts[0]).reshape(batch, frames * cells, width)
        query, key, value = (split(part) for part in self.self_qkv(h).chunk(3, dim=-1))
        query = rotate(self.self_query_norm(query), cos, sin).to(value.dtype)
        key = rotate(self.self_key_norm(key), cos, sin).to(value.dtype)
        h = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, frames * cells, width)
        x = x + self.self_output(h).reshape(x.shape) * (1 + parts[2])

        h = self.cross_norm(x).reshape(batch, frames * cells, width)
        key, value = (split(part) for part in self.cross_key_value(text).chunk(2, dim=-1))
        query = self.cross_query_norm(split(self.cross_query(h))).to(value.dtype)
        h = F.scaled_dot_product_attention(query, self.cross_key_norm(key).to(value.dtype), value)
        x = x + self.cross_output(h.transpose(1, 2).reshape(batch, frames * cells, width)).reshape(x.shape)

        h = rms(x) * (1 + parts[4]) + parts[3]
        return x + self.mlp(shift(h, index, there)) * (1 + parts[5])


class Dit(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, text_width, channels = config["width"], config["text_width"], config["latent_channels"]
        self.latent_embedding = Linear(channels, width)
        self.place_embedding = Linear(PLACE_FEATURES, width, 0.5)
        self.timestep_embedding = Mlp(TIMESTEP_FEATURES, width, width, 1.0)
        self.pooled_embedding = Linear(text_width, width)
        self.text_embedding = Linear(text_width, width)
        self.modulation = Linear(width, 6 * width, 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config["blocks"]))
        self.output_modulation = Linear(width, 2 * width, 0.02)
        self.output = Linear(width, channels, 0.0)
        self.config = config

    def forward(self, latents, timesteps, text, times_s, grid, after=0):
        """`latents` [B, T, P, C], `timesteps` [B, T], `text` [B, registers, text width] → velocity, states after a block."""
        half = TIMESTEP_FEATURES // 2
        frequencies = 1000.0 ** (torch.arange(half, device=latents.device) / (half - 1))
        angles = timesteps[:, :, None] * frequencies
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        condition = F.silu(self.timestep_embedding(features) + self.pooled_embedding(text[:, 0])[:, None])
        modulation = self.modulation(condition)
        cos, sin = rope_tables(self.config["width"] // self.config["heads"], times_s, grid)
        tokens = self.text_embedding(text)
        x = self.latent_embedding(latents) + self.place_embedding(place_features(grid))
        states = x
        for at, block in enumerate(self.blocks):
            x = block(x, modulation, tokens, cos, sin, grid.index, grid.there)
            if at + 1 == after:
                states = x
        move, scale = self.output_modulation(condition)[:, :, None].chunk(2, dim=-1)
        return self.output(rms(x) * (1 + scale) + move), states


# The captioner: captioner.rs


class CaptionerBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["width"]
        self.norm = RmsNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.output = Linear(width, width, 0.0)
        self.up = Linear(width, config["mlp_width"])
        self.down = Linear(config["mlp_width"], width, 0.0)

    def forward(self, x, along_time, heads):
        batch, time, cells, width = x.shape
        h = self.norm(x)
        mlp = self.down(F.relu(self.up(h)))
        h = h.transpose(1, 2).reshape(batch * cells, time, width) if along_time else h.reshape(batch * time, cells, width)
        query, key, value = self.qkv(h).chunk(3, dim=-1)
        h = self.output(attend(query, key, value, heads))
        h = h.reshape(batch, cells, time, width).transpose(1, 2) if along_time else h.reshape(x.shape)
        return x + h + mlp


class Captioner(nn.Module):
    """Reads latents; one latent frame is one step of its time."""

    def __init__(self, config, classes, kinds, colours):
        super().__init__()
        assert config["time_patch"] == 1, "larger patches of time are read on the Rust side alone"
        width = config["width"]
        self.latent_embedding = Linear(NEIGHBOURS * config["latent_channels"], width)
        self.position_embedding = Linear(3 * POSITION_FEATURES, width, 0.5)
        self.blocks = nn.ModuleList(CaptionerBlock(config) for _ in range(config["blocks"]))
        self.norm = RmsNorm(width)
        self.registers = nn.Parameter(torch.randn(len(classes), width) * 0.5)
        self.register_key_value = Linear(width, 2 * width)
        self.register_norm = RmsNorm(width)
        self.register_mlp = Mlp(width, 2 * width)
        self.heads = nn.ModuleList(Linear(width, count, 0.2) for count in classes)
        self.cell_kind = Linear(width, kinds + 1, 0.2)
        self.cell_colour = Linear(width, colours + 1, 0.2)
        self.config = config

    def positions(self, time, grid):
        def sinusoids(positions, shortest, longest):
            angles = wave_angles(positions, POSITION_FEATURES // 2, shortest, longest)
            return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

        times = torch.tensor(latent_times_s(self.config["block_frames"], 0, time), device=grid.device)
        shape = (time, grid.rows, grid.columns, -1)
        parts = [
            sinusoids(times, 1.5, 60.0)[:, None, None].expand(shape),
            sinusoids(centred(grid.rows, grid.device), 2.5, 60.0)[None, :, None].expand(shape),
            sinusoids(centred(grid.columns, grid.device), 2.5, 60.0)[None, None].expand(shape),
        ]
        return torch.cat(parts, dim=-1).reshape(time, grid.rows * grid.columns, -1)

    def forward(self, latents, grid):
        """[B, T, P, C] → a list of [B, classes], and what each cell says, [B, T, P, classes + 1] twice."""
        near_by = lambda at: beside(latents, grid.index, grid.there, at)
        before = F.pad(latents[:, :-1], (0, 0, 0, 0, 1, 0))
        after = F.pad(latents[:, 1:], (0, 0, 0, 0, 0, 1))
        # In the order of with_neighbours: before, after, above, below, left, right.
        near = torch.cat([latents, before, after, near_by(2), near_by(3), near_by(0), near_by(1)], dim=-1)
        x = self.latent_embedding(near) + self.position_embedding(self.positions(latents.shape[1], grid))
        for at, block in enumerate(self.blocks):
            x = block(x, at % 2 == 1, self.config["heads"])
        x = self.norm(x)
        cells = x.flatten(1, 2)
        key, value = self.register_key_value(cells).chunk(2, dim=-1)
        queries = self.registers.to(key.dtype).expand(len(latents), -1, -1)
        read = attend(queries, key, value, self.config["heads"])
        read = read + self.register_mlp(self.register_norm(read))
        answers = [head(read[:, at]).float() for at, head in enumerate(self.heads)]
        return answers, self.cell_kind(x).float(), self.cell_colour(x).float()
