"""MOVi-E/F of Kubric (Greff et al. 2022) with point tracks, from its TFRecord shards.

The tracks are those of TAPIR's training set (`kubric_tracks`), with one deviation: the crop is
resized with pixel centres aligned, so that video and tracks agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from tapnet.data import tfrecord
from tapnet.data.kubric_tracks import Scene, choose, random_window, track
from tapnet.structs import Example

Split = Literal["train", "validation", "test"]

_IMAGES = ("video", "segmentations", "depth", "normal", "object_coordinates")
_COLORED = {"video", "normal", "object_coordinates"}  # of three channels
_NUMBERS = {
    "metadata/depth_range": "2",
    "instances/bboxes_3d": "K T 8 3",
    "instances/quaternions": "K T 4",
    "camera/positions": "T 3",
    "camera/quaternions": "T 4",
    "camera/focal_length": "",
    "camera/sensor_width": "",
}
_NAME = "metadata/video_name"


def read(path: str | Path, split: Split = "train", *, check: bool = False) -> Iterator[Scene]:
    """The clips of a TFRecord file, or of the files of `split` in a folder.

    `check` verifies checksums. Raises FileNotFoundError, ValueError naming the file and the clip.
    """
    for file in files(path, split):
        for number, record in enumerate(tfrecord.records(file, check=check)):
            yield parse(record, f"{file}, record {number}")


def files(path: str | Path, split: Split = "train") -> list[Path]:
    """The shards of a split in a folder, or in a folder in it; or the one file given."""
    path = Path(path)
    if path.is_file():
        return [path]
    found = sorted(path.rglob(f"*-{split}.tfrecord*"))
    if not found:
        raise FileNotFoundError(
            f"{path}: expected files named like movi_e-{split}.tfrecord-00000-of-01024, "
            f"{'found none' if path.is_dir() else 'no such folder'}; check the path and the split"
        )
    return found


def parse(record: bytes, where: str) -> Scene:
    """The clip in a record; ValueError says `where` it is and what is wrong with it."""
    try:
        content = tfrecord.parse(record, {*_IMAGES, *_NUMBERS, _NAME})
        missing = {*_IMAGES, *_NUMBERS} - set(content)
        if missing:
            raise ValueError(f"it has no {sorted(missing)[0]}")
        images = {name: _frames(content[name], name) for name in _IMAGES}
        frames = len(images["video"])
        for name, image in images.items():
            expected = (*images["video"].shape[:3], 3)[: 3 + (name in _COLORED)]
            if image.shape != expected:
                raise ValueError(f"{name}: expected {list(expected)}, got {list(image.shape)}")
        numbers = {name: _shaped(content[name], name, frames) for name in _NUMBERS}
        for name in ("camera/focal_length", "camera/sensor_width"):
            if not 0 < numbers[name] < np.inf:
                raise ValueError(f"{name}: expected more than 0, got {numbers[name]}")
    except ValueError as error:
        raise ValueError(
            f"{where}: expected a clip of MOVi-E or MOVi-F, but {error}; "
            "other MOVi sets lack what tracks need"
        ) from error
    names = content.get(_NAME)
    near, far = numbers["metadata/depth_range"]
    return Scene(
        name=names[0].decode("utf-8", "replace") if isinstance(names, list) and names else where,
        video=images["video"],
        segments=images["segmentations"],
        depth=images["depth"].astype(np.float32) / 65535 * (far - near) + near,
        normals=images["normal"].astype(np.float32) / 65535 * 2 - 1,
        object_coordinates=images["object_coordinates"].astype(np.float32) / 65535,
        boxes=numbers["instances/bboxes_3d"],
        quaternions=numbers["instances/quaternions"],
        camera_positions=numbers["camera/positions"],
        camera_quaternions=numbers["camera/quaternions"],
        focal_length=float(numbers["camera/focal_length"]),
        sensor_width=float(numbers["camera/sensor_width"]),
    )


def _frames(content: tfrecord.Feature, name: str) -> np.ndarray:
    """Decoded frames [T, H, W] or [T, H, W, 3], in the type they are stored in."""
    if not isinstance(content, list) or not content:
        raise ValueError(f"{name}: expected encoded images")
    frames = [
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        for data in content
    ]
    whole = [frame for frame in frames if frame is not None]
    if len(whole) < len(frames) or len({frame.shape for frame in whole}) > 1:
        raise ValueError(f"{name}: a frame does not decode, or sizes differ")
    stacked = np.stack(whole)
    return stacked[..., 2::-1] if stacked.ndim == 4 else stacked  # cv2 gives blue first


def _shaped(content: tfrecord.Feature, name: str, frames: int) -> np.ndarray:
    """Numbers in the shape `_NUMBERS` gives, K inferred."""
    axes = _NUMBERS[name].split()
    shape = [{"K": -1, "T": frames}.get(axis) or int(axis) for axis in axes]
    try:
        return np.asarray(content, np.float64).reshape(shape)
    except (ValueError, TypeError) as error:
        size = len(content)
        raise ValueError(f"{name}: expected [{' '.join(axes)}], got {size} numbers") from error


# -------------------------------------------------------------------------------- examples


def example(
    scene: Scene,
    random: np.random.Generator,
    *,
    crop: bool = True,
    points: int = 256,
    size: tuple[int, int] = (256, 256),
) -> Example:
    """A clip with queries and tracks in pixels of `size`.

    `crop` takes a random window (training); without it the whole frame (evaluation).
    """
    height, width = scene.segments.shape[1:]
    window = random_window((height, width), random) if crop else (0, 0, height, width)
    chosen = choose(scene.segments, window, points, random)
    tracks, occluded = track(scene, chosen, window)
    top, left, bottom, right = window
    scale = np.array([size[1] / (right - left), size[0] / (bottom - top)])  # x, y
    queries = chosen.astype(np.float64)
    queries[:, 1:] = (queries[:, 1:] + 0.5 - [top, left]) * scale[::-1]
    cropped = scene.video[:, top:bottom, left:right]
    return Example(
        name=scene.name,
        video=np.stack([cv2.resize(frame, size[::-1]) for frame in cropped]),
        query_points=queries.astype(np.float32),
        target_points=((tracks - [left, top]) * scale).astype(np.float32),
        occluded=occluded,
    )


class Kubric(IterableDataset[Example]):
    """Examples of a split, over and over (train) or once; the same ones for the same seed.

    With several worker processes each takes its share of the clips.
    """

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        *,
        seed: int = 0,
        repeat: bool = True,
        **settings: Any,
    ) -> None:
        self.path, self.split, self.seed, self.repeat = path, split, seed, repeat
        self.settings = {"crop": split == "train", **settings}
        files(path, split)  # fails now rather than in a worker

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for epoch in itertools.count():
            for number, (file, record) in enumerate(self._records()):
                if number % workers == mine:
                    random = np.random.default_rng([self.seed, epoch, number])
                    yield example(parse(record, str(file)), random, **self.settings)
            if not self.repeat:
                return

    def _records(self) -> Iterator[tuple[Path, bytes]]:
        for file in files(self.path, self.split):
            for record in tfrecord.records(file):
                yield file, record
