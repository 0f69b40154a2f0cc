"""Endless lists of training clips: clip i depends on the seed and on i alone.

A `Recipe` renders clip i now. Clips that lie in files are shown once an epoch, each epoch in an
order of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from tapnet.data import kubric, shards, tfrecord
from tapnet.structs import Example


class Source(Protocol):
    """Any number of clips."""

    def example(self, index: int) -> Example:
        """Clip `index`, of any index from 0. ValueError and OSError name the file at fault."""


class _Shuffled:
    """`count` things without end: each once an epoch, in an order that the seed and it decide."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed

    def __getitem__(self, index: int) -> int:
        return int(_order(self._count, self._seed, index // self._count)[index % self._count])


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


class ShardClips:
    """The clips of folders of shards (or of single shards), read from anywhere in them."""

    def __init__(self, paths: Sequence[str | Path], seed: int = 0) -> None:
        """Reads where each clip lies. FileNotFoundError without shards, ValueError if damaged."""
        files = [shard for path in paths for shard in shards.files(path)]
        self._clips = [(shard, place) for shard in files for place in shards.places(shard)]
        if not self._clips:
            raise ValueError(f"{paths}: expected clips in the shards, found none; render some")
        self._order = _Shuffled(len(self._clips), seed)

    def __len__(self) -> int:
        """Clips of one epoch."""
        return len(self._clips)

    def example(self, index: int) -> Example:
        return shards.read_at(*self._clips[self._order[index]])


class KubricClips:
    """The clips of MOVi-E or MOVi-F with tracks, each time in another window of the frame."""

    def __init__(
        self,
        path: str | Path,
        seed: int = 0,
        *,
        points: int = 256,
        size: tuple[int, int] = (256, 256),
        split: kubric.Split = "train",
    ) -> None:
        """Reads where each record lies. FileNotFoundError without files, ValueError if damaged."""
        self._records = [
            (file, place) for file in kubric.files(path, split) for place in tfrecord.places(file)
        ]
        if not self._records:
            raise ValueError(f"{path}: expected clips in its TFRecords, found none")
        self._order, self._seed = _Shuffled(len(self._records), seed), seed
        self._points, self._size = points, size

    def __len__(self) -> int:
        """Clips of one epoch."""
        return len(self._records)

    def example(self, index: int) -> Example:
        file, place = self._records[self._order[index]]
        scene = kubric.parse(tfrecord.read_at(file, place), f"{file}, byte {place}")
        random = np.random.default_rng([self._seed, 1, index])
        return kubric.example(scene, random, points=self._points, size=self._size)
