"""Whether an exported file is whole."""

from __future__ import annotations

import zipfile
from pathlib import Path as File
from tempfile import TemporaryDirectory

import numpy as np

from tapnet.data import tapvid
from tapnet.data.clip import Clip
from tapnet.export import load

_NAMED = 5  # points of one problem


def check_export(file: str | File, size: tuple[int, int] | None = None) -> list[str]:
    """What is wrong with a `.pkl`, `.npz`, `.csv` or `.zip` of tracks, a sentence each; [] = whole.

    Looks for frames that are missing or damaged, lengths that differ, positions that are not finite
    or, where visible, outside the image, and points that are never visible. `size` (height, width)
    is that of the video of a `.csv`, which does not hold it: without it places are not checked.
    """
    file = File(file)
    try:
        if file.suffix == ".pkl":
            return [problem for clip in tapvid.read(file) for problem in _clip(clip)]
        if file.suffix == ".zip":
            return _zip(file)
        endless = (2**31, 2**31)
        tracks = load(file, (size or endless) if file.suffix == ".csv" else None)
    except ValueError as error:
        return [str(error)]
    return _points(tracks.xy, tracks.visible, tracks.size, file.name)


def _clip(clip: Clip) -> list[str]:
    name = f"clip {clip.name!r}"
    if not len(clip):
        return [f"{name} has no frames"]
    try:
        for image in clip.images():
            height, width = image.shape[:2]
    except ValueError as error:
        return [str(error)]
    xy = clip.points * np.array([width, height])
    return _points(xy, clip.visible, (height, width), name)


def _points(xy: np.ndarray, visible: np.ndarray, size: tuple[int, int], name: str) -> list[str]:
    if not len(xy):
        return [f"{name} has no points"]
    if not xy.shape[1]:
        return [f"{name} has no frames"]
    height, width = size
    with np.errstate(invalid="ignore"):
        outside = ((xy < 0) | (xy > [width, height])).any(axis=2) & visible
    wrong = {
        "not finite": ~np.isfinite(xy).all(axis=(1, 2)),
        "outside the image though visible": outside.any(axis=1),
        "never visible": ~visible.any(axis=1),
    }
    return [
        f"{name}: {_listed(np.flatnonzero(points))} {what}"
        for what, points in wrong.items()
        if points.any()
    ]


def _zip(file: File) -> list[str]:
    problems = []
    with TemporaryDirectory() as folder, zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            part = File(folder) / f"part{File(name).suffix}"
            part.write_bytes(archive.read(name))
            problems += [f"{name}: {problem}" for problem in check_export(part)]
    return problems


def _listed(points: np.ndarray) -> str:
    named = ", ".join(map(str, points[:_NAMED]))
    more = f" and {len(points) - _NAMED} more" if len(points) > _NAMED else ""
    return f"point{'s' if len(points) > 1 else ''} {named}{more}:"
