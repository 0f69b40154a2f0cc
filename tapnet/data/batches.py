"""Training batches: step s shows clips s * size to (s + 1) * size - 1 of a source, always the same.

for batch in batches(ShardClips(["clips"]), 8, start=1200, workers=4): ...

However many processes train and however many prepare clips, a step shows the same clips; a resumed
training goes on with the clip after the last.
"""

from __future__ import annotations

import errno
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from tapnet.data.augment import Augment, augment
from tapnet.data.sources import Source
from tapnet.structs import Example, check_shapes

_AUGMENTING = 2  # tells random numbers for augmenting from those for other purposes
_ATTEMPTS = 8  # clips tried in a row for the place of one that no augmentation fits
# How processes come about: a fork has the scenes' assets at once, and no server in between that
# Ctrl-C or SIGTERM, sent to the whole group, would end. Other systems know only their own way.
_FORK = "fork" if sys.platform == "linux" else None
_SHARED = Path("/dev/shm")  # where Linux keeps what processes share
_FAR = 10**9  # from a clip to those tried in its place: no training comes so far


@dataclass(frozen=True)
class Batch:
    """Clips of equal shapes with points to track, and the truth; raster pixels."""

    video: Tensor  # [B, T, H, W, 3] uint8
    query_points: Tensor  # [B, N, 3] (t, y, x) float32
    target_points: Tensor  # [B, N, T, 2] (x, y) float32
    occluded: Tensor  # [B, N, T] bool

    def __post_init__(self) -> None:
        check_shapes(
            video=(self.video, "B T H W 3"),
            query_points=(self.query_points, "B N 3"),
            target_points=(self.target_points, "B N T 2"),
            occluded=(self.occluded, "B N T"),
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the videos."""
        return self.video.shape[2], self.video.shape[3]

    def to(self, device: torch.device) -> Batch:
        """The same on a device; the copy from pinned memory goes on while the caller does."""
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def pin_memory(self) -> Batch:
        return Batch(*(getattr(self, f.name).pin_memory() for f in fields(self)))


def stack(examples: Sequence[Example]) -> Batch:
    """The examples side by side. Raises ValueError when their shapes differ."""
    shapes = {(e.video.shape, e.target_points.shape) for e in examples}
    if len(shapes) > 1:
        described = "; ".join(f"video {list(v)}, points {list(p)}" for v, p in sorted(shapes))
        raise ValueError(
            f"expected clips of one shape in a batch, got {described}; set an augmentation with "
            "the size, frames and points wanted, or a batch of 1"
        )
    return Batch(
        torch.from_numpy(np.stack([e.video for e in examples])),
        torch.from_numpy(np.stack([e.query_points for e in examples]).astype(np.float32)),
        torch.from_numpy(np.stack([e.target_points for e in examples]).astype(np.float32)),
        torch.from_numpy(np.stack([e.occluded for e in examples]).astype(bool)),
    )


def batches(
    source: Source,
    size: int,
    *,
    augmentation: Augment | None = None,
    seed: int = 0,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    parts: int = 1,
    workers: int = 0,
    prefetch: int = 2,
    pin: bool = False,
) -> Iterator[Batch]:
    """The batches of one process, from step `start` on, without end.

    A step's `size` clips are shared by `world` processes, and each one's share comes in `parts`
    batches. `augmentation` changes clip i by random numbers that
    depend on the seed and on i alone. `workers` processes prepare clips (0 = this one) and each
    keeps `prefetch` batches ready; `pin` puts them where a GPU copies from quickly.
    Raises ValueError and OSError as the source does, also from within a worker, and torch's
    RuntimeError of a "DataLoader worker" when one was killed.
    """
    if size < 1 or size % (world * parts):
        raise ValueError(
            f"batch: expected a multiple of {world} processes x {parts} parts, got {size} clips"
        )
    if workers:
        # One thread each: they share the cores. It has to be said before they are forked: the
        # threads that OpenCV has running here do not exist there, and would be waited for.
        cv2.setNumThreads(1)
    loader: DataLoader[Any] = DataLoader(
        _Augmented(source, augmentation, seed),
        batch_sampler=_Order(size, start, rank, world, parts),
        collate_fn=_stack_or_error,
        num_workers=workers,
        multiprocessing_context=_FORK if workers else None,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=_ignore_signals,
        pin_memory=pin,
    )
    for batch in _handed_over(loader) if workers else loader:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _handed_over(loader: DataLoader[Any]) -> Iterator[Any]:
    """What workers prepare. One killed while it hands a batch over is told as torch tells others.

    Errors of a worker's own, whose text names the worker, pass as they are.
    """
    try:
        yield from loader
    except (ConnectionError, EOFError) as error:
        if "DataLoader worker" in str(error):
            raise
        raise RuntimeError("DataLoader worker was killed while it handed a batch over") from error


class _Augmented(Dataset[Any]):
    """Clips by index; one that cannot be had is its error, which then crosses processes whole."""

    def __init__(self, source: Source, settings: Augment | None, seed: int) -> None:
        self._source, self._settings, self._seed = source, settings, seed

    def __getitem__(self, index: int) -> Example | ValueError | OSError:
        try:
            example = self._source.example(index)
            return example if self._settings is None else self._changed(example, index)
        except (ValueError, OSError) as error:
            return error

    def _changed(self, example: Example, index: int) -> Example:
        """The clip augmented; one that cannot be is replaced by one that follows much later."""
        assert self._settings is not None
        for attempt in range(_ATTEMPTS):
            random = np.random.default_rng([self._seed, _AUGMENTING, index, attempt])
            try:
                return augment(example, self._settings, random)
            except ValueError:
                if attempt == _ATTEMPTS - 1:
                    raise
                example = self._source.example(index + (attempt + 1) * _FAR)
        raise AssertionError


@dataclass(frozen=True)
class _Order:
    """Which clips each batch of this process has."""

    size: int
    start: int
    rank: int
    world: int
    parts: int

    def __iter__(self) -> Iterator[list[int]]:
        share = self.size // (self.world * self.parts)
        step = self.start
        while True:
            for part in range(self.parts):
                first = step * self.size + (part * self.world + self.rank) * share
                yield list(range(first, first + share))
            step += 1


def _stack_or_error(examples: Sequence[Example | Exception]) -> Batch | Exception:
    for example in examples:
        if isinstance(example, Exception):
            return example
    try:
        batch = stack([example for example in examples if isinstance(example, Example)])
        _check_room(batch)
    except (ValueError, OSError) as error:
        return error
    return batch


def _check_room(batch: Batch) -> None:
    """Raises OSError where a worker cannot hand the batch over: torch would wait for ever."""
    worker = get_worker_info()
    if worker is None or not _SHARED.is_dir():
        return
    need = worker.num_workers * sum(getattr(batch, f.name).nbytes for f in fields(batch))
    if (free := shutil.disk_usage(_SHARED).free) < need:
        raise OSError(
            errno.ENOSPC,
            f"workers hand clips over in shared memory, of which {free / 1e6:.0f} MB are free and "
            f"{need / 1e6:.0f} needed; make it larger (docker run --shm-size=2g), or set "
            "data.workers 0",
            str(_SHARED),
        )


def _ignore_signals(worker: int) -> None:
    """Ctrl-C and SIGTERM, which whole groups of processes get, are for the one they work for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
