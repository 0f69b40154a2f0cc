"""The pickles of TAP-Vid (Doersch et al. 2022): DAVIS, RGB-Stacking, Kinetics, RoboTAP and kin.

One file holds a dict {clip name: clip} or a list of clips; a folder holds such files as shards. A
clip is a dict of

    video      [T, H, W, 3] uint8, or T encoded images (JPEG or PNG byte strings)
    points     [N, T, 2] (x, y) as shares of (width, height)
    occluded   [N, T] bool
    annotated  [N, T] bool, optional: the entries a person labelled; nothing is known of the others
    has_occlusion_labels  bool, optional: False where only positions were labelled
    object_area  [T], optional: pixels the object covers in the frames as stored (BADJA)

and of other keys, which are ignored. Files are read by `pickles.load_pickle`, which runs nothing.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from tapnet.data.clip import Clip, Dataset, check_shares
from tapnet.files import replacing
from tapnet.metrics import QueryMode
from tapnet.pickles import load_pickle
from tapnet.stored import Stored, StoredArray
from tapnet.structs import Example

__all__ = ["Clip", "TapVid", "examples", "files", "read", "write"]

_NAMES = {
    "tapvid_davis": "tapvid-davis",
    "tapvid_rgb_stacking": "tapvid-rgb-stacking",
    "tapvid_kinetics": "tapvid-kinetics",
}
SHARD = re.compile(r"(\d{4})_of_(\d{4})\.pkl")  # of TAP-Vid-Kinetics
HAD_FROM = "https://github.com/google-deepmind/tapnet/tree/main/tapnet/tapvid"
_log = logging.getLogger(__name__)
_PROTOCOL = 3  # the last one without frames, which cannot be joined
LARGEST = 1 << 32  # bytes that it can tell the length of
LAYOUT = "a dict {name: clip} or a list of clips, each with video, points and occluded"


@dataclass(frozen=True)
class TapVid(Dataset):
    """The pickles of TAP-Vid: a file, or a folder of them."""

    kind: ClassVar[str] = "tapvid"
    title: ClassVar[str] = "TAP-Vid (DAVIS, RGB-Stacking, Kinetics), RoboTAP"
    had_from: ClassVar[str] = HAD_FROM

    @property
    def name(self) -> str:
        names = [file.name for file in files(self.path)] if self.path.is_dir() else []
        if names and all(name.startswith("robotap") for name in names):
            return "robotap"  # in splits
        if names and all(SHARD.fullmatch(name) for name in names):
            return "tapvid-kinetics"
        return _NAMES.get(self.path.stem, self.path.stem)

    @classmethod
    def fits(cls, path: Path) -> bool:
        return path.suffix == ".pkl" or (path.is_dir() and any(path.glob("*.pkl")))

    def files(self) -> list[Path]:
        return files(self.path)

    def __iter__(self) -> Iterator[Clip]:
        missing, count = missing_shards(self.path)
        if missing:
            _log.warning("%s: %d of %d shards are missing", self.path, len(missing), count)
        return read(self.path)


def missing_shards(path: Path) -> tuple[list[int], int]:
    """Numbers of the shards NNNN_of_MMMM.pkl that a folder lacks, and MMMM; 0 where it has none."""
    names = [file.name for file in path.glob("*.pkl")] if path.is_dir() else []
    found = [match for name in names if (match := SHARD.fullmatch(name))]
    count = max((int(match[2]) for match in found), default=0)
    return sorted(set(range(count)) - {int(match[1]) for match in found}), count


def files(path: str | Path) -> list[Path]:
    """The pickles of a dataset: the file itself, or the `.pkl` files of a folder, by name."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; expected a TAP-Vid pickle")
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob("*.pkl") if not file.name.startswith("."))
    if not found:
        raise FileNotFoundError(
            f"{path}: expected a folder of .pkl files, got none in it; the sets are at {HAD_FROM}"
        )
    return found


def _content(file: Path) -> Any:
    try:
        return load_pickle(file, lazy=True)
    except ValueError as error:
        raise ValueError(f"{error}; if it is cut short, get it again from {HAD_FROM}") from error


def read(path: str | Path) -> Iterator[Clip]:
    """The clips of a pickle, or of a folder of them; frames stay in the file until they are asked
    for, so that a set of any size takes the memory of one clip.

    Clips of a list are named by file and place: `0003_of_0010-0017`. Raises FileNotFoundError, or
    ValueError naming the file, the clip, what was expected and what came.
    """
    seen: set[str] = set()
    for file in files(path):
        for name, content in _named(file, _content(file)):
            if name in seen:
                raise ValueError(f"{file}: expected clips of different names, got {name!r} twice")
            seen.add(name)
            yield _clip(name, content, f"{file}, clip {name!r}")


def examples(
    path: str | Path, query_mode: QueryMode = "first", stride: int = 5
) -> Iterator[Example]:
    """`read`, decoded and with queries: one video in memory at a time, in its own pixels."""
    for clip in read(path):
        yield clip.example(query_mode, stride)


def write(path: str | Path, examples: Iterable[Example]) -> None:
    """Write examples as a pickle {name: clip} in the layout of TAP-Vid-DAVIS, whole or not at all.

    Each is written when it is taken, so that one video is in memory at a time. Tracks asked several
    times (`trackgroup`) are written once. Raises ValueError on equal names, and on a video of 4 GiB
    and more.
    """
    seen: set[str] = set()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_DICT)
        for example in examples:
            if example.name in seen:
                raise ValueError(
                    f"{path}: expected examples of different names, got {example.name!r} twice"
                )
            if example.video.nbytes >= LARGEST:
                raise ValueError(
                    f"{path}: expected videos below {LARGEST >> 30} GiB of frames, {example.name} "
                    f"has {example.video.nbytes / (1 << 30):.1f} GiB; make it smaller or shorter"
                )
            seen.add(example.name)
            _append(file, example.name)
            _append(file, _stored(example))
            file.write(pickle.SETITEM)
            del example  # before the next one is made
        file.write(pickle.STOP)


def _append(file: IO[bytes], value: Any) -> None:
    """A value as part of a longer pickle."""
    pickler = pickle.Pickler(file, _PROTOCOL)
    pickler.fast = True  # no references to earlier values, which would keep those in memory
    pickler.dump(value)
    file.seek(-len(pickle.STOP), os.SEEK_CUR)


def _stored(example: Example) -> dict[str, np.ndarray]:
    rows: Any = slice(None)
    if example.trackgroup is not None:
        rows = np.unique(example.trackgroup, return_index=True)[1]
    height, width = example.size
    clip = {
        "video": example.video,
        "points": example.target_points[rows] / np.array([width, height], np.float64),
        "occluded": example.occluded[rows],
    }
    return clip if example.annotated is None else clip | {"annotated": example.annotated[rows]}


# --------------------------------------------------------------------------- checks


def _named(file: Path, content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        yield from ((_spelt(str(name)), clip) for name, clip in content.items())
    elif isinstance(content, list | tuple):
        yield from ((f"{file.stem}-{i:04d}", clip) for i, clip in enumerate(content))
    else:
        raise ValueError(f"{file}: expected {LAYOUT}, got {type(content).__name__}")


def _spelt(name: str) -> str:
    """With half characters, which no file can hold, written out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _clip(name: str, content: Any, source: str) -> Clip:
    if not isinstance(content, Mapping) or not {"video", "points", "occluded"} <= content.keys():
        came = list(content) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{source}: expected {LAYOUT}, got {came}")
    frames = content["video"]
    _check_frames(frames, source)
    points = _array(content, "points", (None, len(frames), 2), source)
    labels = (points.shape[0], len(frames))
    occluded = _array(content, "occluded", labels, source).astype(bool)
    annotated, area = content.get("annotated"), content.get("object_area")
    known = None if annotated is None else _array(content, "annotated", labels, source).astype(bool)
    check_shares(points, ~occluded if known is None else ~occluded & known, source)
    return Clip(
        name,
        frames,
        points,
        occluded,
        known,
        bool(content.get("has_occlusion_labels", True)),
        None if area is None else _array(content, "object_area", labels[1:], source),
        source,
    )


def _check_frames(frames: Any, source: str) -> None:
    if isinstance(frames, np.ndarray | StoredArray) and frames.dtype == np.uint8:
        if len(frames.shape) == 4 and frames.shape[-1] == 3 and all(frames.shape[1:3]):
            return
        came = f"uint8 {list(frames.shape)}"
    elif isinstance(frames, StoredArray):  # byte strings of one length, as numpy stores them
        if frames.dtype.kind == "S" and len(frames.shape) == 1:
            return
        came = f"{frames.dtype} {list(frames.shape)}"
    elif isinstance(frames, np.ndarray | list | tuple) and len(frames):
        if all(isinstance(frame, bytes | Stored) for frame in frames):
            return
        came = f"{type(frames).__name__} of {type(frames[0]).__name__}"
    else:
        came = type(frames).__name__
    raise ValueError(
        f"{source}: video: expected uint8 [T, H, W, 3] or a list of JPEG bytes, got {came}"
    )


def _array(
    content: Mapping[str, Any], key: str, shape: tuple[int | None, ...], source: str
) -> np.ndarray:
    value = np.asarray(content[key])
    fits = value.ndim == len(shape) and all(
        expected in (None, size) for expected, size in zip(shape, value.shape, strict=True)
    )
    if not fits:
        expected = " ".join("N" if size is None else str(size) for size in shape)
        raise ValueError(f"{source}: {key}: expected [{expected}], got {list(value.shape)}")
    if value.dtype == object:
        try:
            return value.astype(np.float64)
        except (TypeError, ValueError):
            pass
    if value.dtype.kind not in "biuf":
        raise ValueError(f"{source}: {key}: expected numbers, got {value.dtype}")
    return value
