"""What lies at a path: which dataset, how much of it, and whether it is whole.

A set is whole when all its files can be read, every frame decodes, there are as many videos as were
published, and files have the hash that was written down when they were made (by `tapnet data
prepare` and `tapnet scenes validation`; of published files none is known).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tapnet.data import open_dataset
from tapnet.data.clip import Clip, Dataset
from tapnet.data.kinetics_shards import read_state
from tapnet.data.tapvid import missing_shards
from tapnet.structs import labelled_entries

PUBLISHED = {"tapvid-davis": 30, "tapvid-rgb-stacking": 50, "robotap": 265}  # videos
_TOLD = 20  # problems that are told
Progress = Callable[[int, int], None]  # videos done, videos in all


@dataclass(frozen=True)
class Content:
    """What was found; whole if there is no problem."""

    dataset: Dataset
    files: int
    bytes: int
    clips: int
    tracks: int
    frames: int
    labelled: int  # entries of tracks that have a label
    visible: int  # of those
    sizes: tuple[tuple[int, int], ...]  # (height, width) of the frames that were decoded
    verified: tuple[str, ...]  # what was looked at
    problems: tuple[str, ...]


def check(
    path: str | Path,
    kind: str | None = None,
    *,
    decode: bool = True,
    progress: Progress | None = None,
) -> Content:
    """Read all labels at `path`, and with `decode` all frames.

    Raises FileNotFoundError or ValueError when it is no dataset; what is wrong inside is told in
    the result.
    """
    dataset = open_dataset(path, kind)
    problems: list[str] = []
    counts = np.zeros(5, int)  # clips, tracks, frames, labelled, visible
    files: list[Path] = []
    try:
        files = dataset.files()
        for clip in dataset:
            counts += _counts(clip)
    except (ValueError, OSError) as error:
        problems.append(f"{error} (what follows was not read)")
    verified = ["labels are well formed"] if counts[0] and not problems else []
    sizes: list[tuple[int, int]] = []
    if decode:
        sizes, broken = _decoded(dataset, int(counts[0]), progress)
        problems += [problem for problem in broken if problem not in problems]
        verified += [] if broken or not sizes else ["every frame decodes"]
    for look in (_published, _shards, _hashes):
        found, wrong = look(dataset, files, int(counts[0]))
        verified += found
        problems += wrong
    if not counts[0] and not problems:
        problems.append(f"{path}: expected one video or more, got none")
    told = problems[:_TOLD]
    if len(problems) > _TOLD:
        told.append(f"and {len(problems) - _TOLD} more problems")
    size = sum(file.stat().st_size for file in files if file.is_file())
    clips, tracks, frames, labelled, visible = (int(count) for count in counts)
    return Content(
        *(dataset, len(files), size, clips, tracks, frames, labelled, visible),
        sizes=tuple(sizes),
        verified=tuple(verified),
        problems=tuple(told),
    )


def _counts(clip: Clip) -> np.ndarray:
    labels = labelled_entries(clip.occluded, clip.annotated).sum()
    return np.array([1, len(clip.points), len(clip), labels, clip.visible.sum()])


def _decoded(
    dataset: Dataset, clips: int, progress: Progress | None
) -> tuple[list[tuple[int, int]], list[str]]:
    """Sizes of the frames of the first `clips` clips, and what is wrong with frames."""
    sizes: set[tuple[int, int]] = set()
    problems = []
    for number, clip in zip(range(1, clips + 1), dataset, strict=False):
        try:
            for image in clip.images():
                sizes.add((image.shape[0], image.shape[1]))
            problems += [f"{clip.source}: {text}" for text in getattr(clip.frames, "warnings", ())]
        except (ValueError, OSError) as error:
            problems.append(str(error))
        if progress is not None:
            progress(number, clips)
    return sorted(sizes), problems


Look = tuple[list[str], list[str]]  # what was verified, what is wrong


def _published(dataset: Dataset, files: list[Path], clips: int) -> Look:
    expected = PUBLISHED.get(dataset.name)
    if expected is None:
        return [], []
    if clips == expected:
        return [f"{clips} videos, as published"], []
    return [], [f"{dataset.path}: expected {expected} videos as published, got {clips}"]


def _shards(dataset: Dataset, files: list[Path], clips: int) -> Look:
    """Whether all of NNNN_of_MMMM.pkl are there."""
    missing, count = missing_shards(dataset.path)
    if not missing:
        return [f"all {count} shards"] if count else [], []
    names = ", ".join(f"{number:04d}" for number in missing)
    return [], [f"{dataset.path}: expected {count} shards, got none numbered {names}"]


def _hashes(dataset: Dataset, files: list[Path], clips: int) -> Look:
    """Whether files have the hashes that were written down beside them."""
    folder = dataset.path if dataset.path.is_dir() else dataset.path.parent
    try:
        known = _known_hashes(folder)
    except ValueError as error:
        return [], [str(error)]
    verified, wrong = 0, []
    for file in files:
        if file.name in known and file.parent == folder:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            if digest == known[file.name]:
                verified += 1
            else:
                wrong.append(
                    f"{file}: expected SHA-256 {known[file.name][:16]} as when it was made, got "
                    f"{digest[:16]}; make it again"
                )
    return [f"SHA-256 of {verified} files"] if verified else [], wrong


def _known_hashes(folder: Path) -> dict[str, str]:
    known = {name: shard.sha256 for name, shard in read_state(folder).items()}
    about = folder / "validation.json"  # of `tapnet scenes validation`
    if about.is_file():
        try:
            known |= json.loads(about.read_text())["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{about}: expected hashes of files, but {error!r}") from error
    return known
