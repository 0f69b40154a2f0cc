"""Rendered clips as datasets to evaluate on: MOVi of Kubric by path, our own scenes by seed.

The clips say themselves what they ask: queries on any frame, as in TAP-Vid-Kubric.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from tapnet.data.clip import Clip, Dataset

_SEED = 0  # of the points drawn from each scene


@dataclass(frozen=True)
class Movi(Dataset):
    """MOVi-E or MOVi-F: the validation files in a folder, or one file."""

    kind: ClassVar[str] = "movi"
    title: ClassVar[str] = "TAP-Vid-Kubric (MOVi-E, MOVi-F)"
    had_from: ClassVar[str] = "gs://kubric-public/tfds/movi_e/256x256 (Kubric)"
    asks_itself: ClassVar[bool] = True

    @classmethod
    def fits(cls, path: Path) -> bool:
        return any(
            ".tfrecord" in file.name for file in ([path] if path.is_file() else path.rglob("*"))
        )

    def files(self) -> list[Path]:
        from tapnet.data import kubric

        return kubric.files(self.path, "validation")

    def __iter__(self) -> Iterator[Clip]:
        from tapnet.data import kubric

        for number, scene in enumerate(kubric.read(self.path, "validation", check=True)):
            drawn = np.random.default_rng([_SEED, number])
            example = kubric.example(scene, drawn, crop=False)
            named = replace(example, name=f"{number:04d}-{Path(scene.name).name}")
            yield Clip.of(named, f"{self.path}, scene {number}")


@dataclass(frozen=True)
class Scenes(Dataset):
    """Clips made by `tapnet scenes render`, which are told by their seed."""

    kind: ClassVar[str] = "scenes"
    title: ClassVar[str] = "our scenes (`tapnet scenes render`)"
    had_from: ClassVar[str] = "`tapnet scenes render`"
    asks_itself: ClassVar[bool] = True

    @classmethod
    def fits(cls, path: Path) -> bool:
        return path.suffix == ".tar" or (path.is_dir() and any(path.glob("[!.]*.tar")))

    def files(self) -> list[Path]:
        from tapnet.data import shards

        return shards.files(self.path)

    def __iter__(self) -> Iterator[Clip]:
        from tapnet.data import shards

        for example in shards.read(self.path):
            yield Clip.of(example, f"{self.path}, clip {example.name!r}")
