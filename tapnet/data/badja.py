"""BADJA (Biggs et al. 2018): joints of animals on every fifth frame or so, with their masks.

    joint_annotations/ANIMAL.json    a list of {image_path, segmentation_path, joints, visibility};
                                     joints [37, 2] (row, column) of pixels, visibility [37]
    DAVIS/...  extra_videos/...      the frames and masks that those paths name

A clip is the whole folder of frames that the labels name some of. Of the 37 joints 20 are labelled
(`JOINTS`), on the frames listed; an invisible one is occluded there, and of other frames nothing is
known. A position is that of a pixel's centre. Scores of BADJA are PCK-T: relative to the area of
the mask.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tapnet.data.clip import Clip, Dataset, files_in
from tapnet.video.reading import ImagesVideo

JOINTS = (8, 9, 10, 12, 13, 14, 15, 18, 19, 20, 22, 23, 24, 25, 28, 31, 32, 33, 35, 36)
UNPUBLISHED = {"cat_jump", "tiger"}  # their frames are not given away, for their licence
HAD_FROM = (
    "https://github.com/benjiebob/BADJA, whose README links the DAVIS 2017 TrainVal frames in full "
    "resolution (to unpack as DAVIS) and the extra videos"
)
_KEYS = ("image_path", "segmentation_path", "joints", "visibility")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Badja(Dataset):
    """BADJA, with the frames of DAVIS and the extra videos."""

    kind: ClassVar[str] = "badja"
    title: ClassVar[str] = "BADJA"
    had_from: ClassVar[str] = HAD_FROM

    @property
    def name(self) -> str:
        return "badja"

    @classmethod
    def fits(cls, path: Path) -> bool:
        return (path / "joint_annotations").is_dir()

    def files(self) -> list[Path]:
        found = []
        for labels in _labels(self.path):
            rows = _rows(labels)
            folder = (self.path / rows[0]["image_path"]).parent
            masks = [self.path / row["segmentation_path"] for row in rows]
            found.extend([labels, *files_in(folder), *masks])
        return found

    def __iter__(self) -> Iterator[Clip]:
        for labels in _labels(self.path):
            yield _clip(self.path, labels)


def _labels(path: Path) -> list[Path]:
    """The label files of animals whose frames are there, or ought to be."""
    found = sorted((path / "joint_annotations").glob("*.json"))
    if not found:
        raise FileNotFoundError(
            f"{path / 'joint_annotations'}: expected ANIMAL.json files, got none; BADJA is at "
            f"{HAD_FROM}"
        )
    with_frames = []
    for file in found:
        if file.stem in UNPUBLISHED and not (path / _rows(file)[0]["image_path"]).is_file():
            _log.info("%s: left out: its frames are not published", file)
        else:
            with_frames.append(file)
    return with_frames


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON, but {error}; it is at {HAD_FROM}") from error
    if not (
        isinstance(rows, list)
        and rows
        and all(isinstance(row, dict) and set(_KEYS) <= row.keys() for row in rows)
    ):
        raise ValueError(f"{file}: expected a list of objects with {', '.join(_KEYS)}")
    return rows


def _clip(path: Path, labels: Path) -> Clip:
    rows = _rows(labels)
    folder = (path / rows[0]["image_path"]).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: expected the frames that {labels.name} labels, got no such folder; they "
            f"are at {HAD_FROM}"
        )
    frames = ImagesVideo(folder)
    places = {file.name: t for t, file in enumerate(frames.paths)}
    points = np.zeros((len(JOINTS), len(frames), 2))
    occluded = np.ones(points.shape[:2], bool)
    annotated = np.zeros(points.shape[:2], bool)
    area = np.full(len(frames), np.nan, np.float32)
    height, width = frames.size
    for row in rows:
        image = path / row["image_path"]
        if image.parent != folder or image.name not in places:
            raise FileNotFoundError(
                f"{image}: expected a frame that {labels.name} labels, got none; frames are at "
                f"{HAD_FROM}"
            )
        t = places[image.name]
        joints, visible = _joints(row, labels, image.name)
        points[:, t] = (joints[:, ::-1] + 0.5) / [width, height]
        occluded[:, t], annotated[:, t] = ~visible, True
        area[t] = _area(path / row["segmentation_path"], frames.size)
    return Clip(
        labels.stem,
        frames,
        points,
        occluded,
        annotated,
        object_area=area,
        source=str(labels),
    )


def _joints(row: dict[str, Any], labels: Path, image: str) -> tuple[np.ndarray, np.ndarray]:
    """[20, 2] (row, column) and [20] bool."""
    try:
        joints = np.asarray(row["joints"], np.float64)[list(JOINTS)]
        visible = np.asarray(row["visibility"], bool)[list(JOINTS)]
        if joints.shape == (len(JOINTS), 2) and visible.shape == (len(JOINTS),):
            return joints, visible
    except (ValueError, TypeError, IndexError):
        pass
    raise ValueError(f"{labels}, {image}: expected joints [37 2] and visibility [37]")


def _area(path: Path, size: tuple[int, int]) -> float:
    """Pixels of the animal in a frame of `size`, from a mask of any size: what is not black."""
    from PIL import Image

    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected the animal's mask, got none; masks are at {HAD_FROM}"
        )
    try:
        with Image.open(path) as opened:
            mask = np.asarray(opened)  # of a palette the index, 0 = background
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path}: expected a mask, but {error}; get it again") from error
    animal = mask > 0 if mask.ndim == 2 else (mask[..., :3] > 0).any(axis=-1)
    return float(animal.mean() * size[0] * size[1])
