"""Clips and runs small enough to train on in a test."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from tapnet.config import Checkpoints, Data, Evaluation, Optim, Run
from tapnet.data import shards
from tapnet.models import TapNetSettings
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


def tiny(out: Path, clips: Path, **changes: Any) -> Run:
    """A few steps of TAP-Net on clips of `write_shards`."""
    settings: dict[str, Any] = {
        "model": TapNetSettings(),
        "data": Data(shards=(clips,), workers=0),
        "optim": Optim(batch=2, warmup=1, lr=1e-3),
        "evaluation": Evaluation(clips=0),
        "checkpoint": Checkpoints(every=1),
        "steps": 4,
        "log_every": 1,
        "device": "cpu",
    }
    return Run(out=out, **(settings | changes))
