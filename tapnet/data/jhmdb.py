"""JHMDB (Jhuang et al. 2013): people in short clips, with 15 joints on every frame.

The test videos of split 1, as keypoints are tracked on them without being learned (SPEC 9.3):

    splits/ACTION_test_split1.txt                lines "VIDEO.avi 2"; 2 marks the test videos
    joint_positions/ACTION/VIDEO/joint_positions.mat    pos_img [2, 15, T] (x, y) in pixels
    Rename_Images/ACTION/VIDEO/*.png             the frames

A joint is asked for on frame 0 if it is in the image there; otherwise it does not count in this
video, and its track is occluded throughout. Where labels end before the video does, so do the
frames. Positions are taken as they are written, as the reference does; queries are in the pixels of
whatever size the clip is asked at (the reference asks in the original pixels of a resized video).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tapnet import metrics, video
from tapnet.data.clip import Clip, Dataset, Part, files_in

JOINTS = 15
HAD_FROM = "http://jhmdb.is.tue.mpg.de (splits, joint_positions and Rename_Images)"
_SPLIT = "_test_split1.txt"


@dataclass(frozen=True)
class Jhmdb(Dataset):
    """JHMDB, the test videos of split 1."""

    kind: ClassVar[str] = "jhmdb"
    title: ClassVar[str] = "JHMDB"
    had_from: ClassVar[str] = HAD_FROM

    @property
    def name(self) -> str:
        """Another set in its layout has the name of its folder."""
        return "jhmdb" if "jhmdb" in self.path.resolve().name.lower() else super().name

    @classmethod
    def fits(cls, path: Path) -> bool:
        return (path / "joint_positions").is_dir()

    def files(self) -> list[Path]:
        found = _splits(self.path)
        for name in videos(self.path):
            found.append(_labels(self.path, name))
            found.extend(files_in(_frames(self.path, name)))
        return found

    def __iter__(self) -> Iterator[Clip]:
        for name in videos(self.path):
            yield _clip(self.path, name)


def videos(path: str | Path) -> list[str]:
    """The test videos of split 1, `ACTION/VIDEO`.

    Raises FileNotFoundError, or ValueError naming the line that is not of a split.
    """
    names = []
    for split in _splits(Path(path)):
        action = split.name.removesuffix(_SPLIT)
        for number, line in enumerate(split.read_text().splitlines(), start=1):
            file, _, part = line.strip().rpartition(" ")
            if line.strip() and part not in ("0", "1", "2"):
                raise ValueError(
                    f"{split}, line {number}: expected 'VIDEO.avi 1' or 'VIDEO.avi 2', got {line!r}"
                )
            if part == "2":
                names.append(f"{action}/{file.strip().removesuffix('.avi')}")
    if not names:
        raise ValueError(f"{path}: expected test videos (marked 2) in splits, got none")
    return names


def _splits(path: Path) -> list[Path]:
    found = sorted((path / "splits").glob(f"*{_SPLIT}"))
    if not found:
        raise _missing(path / "splits", f"files ACTION{_SPLIT}")
    return found


def _labels(path: Path, name: str) -> Path:
    file = path / "joint_positions" / name / "joint_positions.mat"
    if not file.is_file():
        raise _missing(file, f"the joints of the test video {name}")
    return file


def _frames(path: Path, name: str) -> Path:
    folder = path / "Rename_Images" / name
    if not folder.is_dir():
        raise _missing(folder, f"the frames of the test video {name}")
    return folder


def _missing(place: Path, what: str) -> FileNotFoundError:
    return FileNotFoundError(f"{place}: expected {what}, got none; JHMDB is at {HAD_FROM}")


def _clip(path: Path, name: str) -> Clip:
    labels = _labels(path, name)
    joints = read_joints(labels)
    frames = video.open(_frames(path, name))
    length = joints.shape[1]
    if len(frames) < length:
        raise ValueError(
            f"{_frames(path, name)}: expected {length} frames or more, as many as {labels} has "
            f"labels for, got {len(frames)}; get them again from {HAD_FROM}"
        )
    height, width = frames.size
    counts = metrics.starts_inside(joints, frames.size)
    return Clip(
        name,
        Part(frames, 0, length),
        joints / [width, height],
        np.repeat(~counts[:, None], length, axis=1),
        has_occlusion_labels=False,
        source=str(labels.parent),
        person_scale=metrics.person_scale(joints, frames.size),
    )


def read_joints(path: str | Path) -> np.ndarray:
    """[15, T, 2] (x, y) pixels from a joint_positions.mat; nothing in the file is run.

    Raises FileNotFoundError, or ValueError naming the file.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(
            "JHMDB: expected scipy, which reads its .mat files; pip install 'tapnet[jhmdb]'"
        ) from error
    try:
        content = loadmat(str(path), variable_names=["pos_img"])
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file can fail in any way; it only ever fails
        raise ValueError(
            f"{path}: expected a MATLAB file, but {error}; get it again from {HAD_FROM}"
        ) from error
    found = content.get("pos_img")
    if found is None or found.shape[:-1] != (2, JOINTS) or found.dtype.kind not in "fiu":
        came = "no such array" if found is None else f"{found.dtype} {list(found.shape)}"
        raise ValueError(f"{path}: pos_img: expected numbers [2 {JOINTS} T], got {came}")
    return np.ascontiguousarray(found.transpose(1, 2, 0), np.float64)
