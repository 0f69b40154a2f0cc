"""Synthetic clips as a stream: sample i depends on the seed and on i alone.

    videos = Synthetic(seed=0, settings=Settings(frames=24))
    for example in loader(videos, workers=4): ...

However many processes render, the samples are the same and come in the same order. Processes of a
distributed run take every world-th sample each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tapnet import scenes
from tapnet.scenes import PRESETS, Settings
from tapnet.scenes.assets import Assets, Part
from tapnet.scenes.assets import load as load_assets
from tapnet.structs import Example

if TYPE_CHECKING:
    from tapnet.scenes.clip import Backend

Item = TypeVar("Item")


@dataclass(frozen=True)
class Recipe:
    """Names every clip of an endless list: `recipe.example(i)`."""

    seed: int = 0
    settings: Settings = PRESETS["default"]
    pack: str | Path | None = None  # a folder made by `tapnet scenes assets`; None = the shipped
    part: Part = "train"  # the other part has other objects, textures and seeds
    backend: Backend = "numba"

    def assets(self) -> Assets:
        """The part of the pack the clips are made of; read once per process."""
        return load_assets(self.pack, self.part)

    def scene(self, index: int) -> scenes.Scene:
        """The scene of clip `index`."""
        text = f"{self.part} {self.seed} {index}".encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
        return scenes.sample(number, self.settings)

    def example(self, index: int) -> Example:
        """Clip `index`, rendered now; its name is `PART-SEED-INDEX`."""
        example = scenes.render(self.scene(index), self.assets(), self.backend)
        return replace(example, name=f"{self.part}-{self.seed}-{index:06d}")


class Synthetic(IterableDataset[Example]):
    """The clips start + rank, start + rank + world, ... of a recipe: `count` of them, or endless.

    `start` is where a resumed training goes on. Read it through `loader` when several processes
    are to render.
    """

    def __init__(
        self,
        recipe: Recipe,
        count: int | None = None,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if count is not None and count < 0:
            raise ValueError(f"count: expected 0 or more, or None for no end, got {count}")
        if start < 0 or not 0 <= rank < world:
            raise ValueError(
                f"expected start >= 0 and 0 <= rank < world, got start {start}, rank {rank}, "
                f"world {world}"
            )
        recipe.assets()  # fails now rather than in a worker, and is there for all when it forks
        self.recipe = recipe
        self.count = count
        self.first, self.step = start + rank, world

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        position, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        while self.count is None or position < self.count:
            yield self.recipe.example(self.first + position * self.step)
            position += stride


def loader(dataset: IterableDataset[Item], workers: int = 0, prefetch: int = 2) -> Iterator[Item]:
    """What `dataset` yields, rendered by `workers` processes (0 = this one), in its own order.

    Each process keeps `prefetch` items ready. Items are not batched: a batch is then the same
    whatever the number of processes.
    """
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=prefetch if workers else None,
            collate_fn=as_it_is,
        )
    )


def as_it_is(item: Any) -> Any:
    """`item`: tells a DataLoader to leave examples alone."""
    return item
