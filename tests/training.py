"""Clips and runs small enough to train on in a test."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from torch import Tensor, nn

from tapnet.config import Checkpoints, Data, Evaluation, Optim, Run
from tapnet.data import shards
from tapnet.models import MODELS, TapNet, TapNetSettings
from tapnet.models.layers import BatchNorm2d, CostVolumeHead, SameConv2d
from tapnet.structs import Example

FRAMES, SIDE, POINTS = 4, 32, 5


def moving(number: int, frames: int = FRAMES, side: int = SIDE, points: int = POINTS) -> Example:
    """Noise that moves down by a pixel a frame, and points that move with it."""
    random = np.random.default_rng(number)
    noise = random.integers(0, 256, (side + frames, side, 3), dtype=np.uint8)
    start = random.uniform(4, side - 4 - frames, (points, 2))
    queries = np.concatenate([np.zeros((points, 1)), start[:, ::-1]], axis=1)
    steps = np.arange(frames)[None, :, None] * np.array([0.0, 1.0])
    return Example(
        f"clip-{number}",
        np.stack([noise[frames - t : frames - t + side] for t in range(frames)]),
        queries.astype(np.float32),
        (start[:, None] + steps).astype(np.float32),
        np.zeros((points, frames), bool),
    )


def write_shards(folder: Path, counts: tuple[int, ...] = (3, 2)) -> Path:
    """Shards of so many clips each, numbered on."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for index, count in enumerate(counts):
        with tarfile.open(folder / f"clips-{index:05d}.tar", "w") as tar:
            for _ in range(count):
                shards.add(tar, shards.encode(f"clip-{number:06d}", moving(number), {}))
                number += 1
    return folder


class ToySettings(TapNetSettings):
    """Those of a TAP-Net."""


class Toy(TapNet):
    """A TAP-Net whose backbone is one convolution and a batch norm."""

    def __init__(self, settings: TapNetSettings) -> None:
        nn.Module.__init__(self)
        self.settings = settings
        self.backbone = _Backbone()
        self.head = CostVolumeHead(settings.softmax_temperature, outputs=1, occlusion_relu=False)
        self.pixel_offset = 0.0


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = SameConv2d(3, 32, 7, stride=4), BatchNorm2d(32)

    def forward(self, video: Tensor) -> Tensor:
        found = self.norm(self.conv(rearrange(video, "b t c h w -> (b t) c h w")))
        return rearrange(found, "(b t) c h w -> b t c h w", b=len(video))


TOY = {"toy": (Toy, ToySettings)}


def register() -> None:
    """Makes the toy a model like the others, in a process of its own."""
    MODELS.update(TOY)


def tiny(out: Path, clips: Path, **changes: Any) -> Run:
    """A few steps of the toy on clips of `write_shards`; MODELS must have it."""
    settings: dict[str, Any] = {
        "model": ToySettings(),
        "data": Data(shards=(clips,), size=(SIDE, SIDE), workers=0),
        "optim": Optim(batch=2, warmup=1, lr=1e-3),
        "evaluation": Evaluation(clips=0),
        "checkpoint": Checkpoints(every=1),
        "steps": 4,
        "log_every": 1,
        "device": "cpu",
    }
    return Run(out=out, **(settings | changes))
