"""Tracks to files and back. The suffix chooses the format.

`.npz`  Everything, bit for bit. Arrays `query_points` [N,3] float32 (t, y, x), `xy` [N,T,2]
        float32, `visible` [N,T] bool, `confidence` [N,T] float32, `size` (height, width), `fps`
        (NaN = not known) and `start`; read by numpy alone, with allow_pickle=False.
`.csv`  One line per frame and point: frame, point, x, y, visible (0 or 1), confidence. The numbers
        come back bit for bit; frame size, frame rate and query points are not in the file.
`.pkl`  The layout of TAP-Vid-DAVIS, a dict of one video: `video` [T,H,W,3] uint8, `points`
        [N,T,2] (x, y) as shares of (width, height), `occluded` [N,T] bool. Confidence, frame
        rate and first frame are not in the file; frames count from 0 again.

Where query points are missing, each point's first visible place stands in for them (its place in
the first frame if it is never visible).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tapnet.data import tapvid
from tapnet.files import replacing
from tapnet.geometry import xy_to_yx
from tapnet.pickles import open_npz
from tapnet.structs import Example, check_shapes
from tapnet.tracks import Tracks
from tapnet.video import Video

Source = str | Path | np.ndarray | Video

_COLUMNS = ["frame", "point", "x", "y", "visible", "confidence"]
_REAL = "fiu"
_KINDS = {  # of the numbers in `.npz`, as `dtype.kind` has them
    "query_points": _REAL,
    "xy": _REAL,
    "visible": "b",
    "confidence": "f",
    "size": _REAL,
    "fps": _REAL,
    "start": _REAL,
}


def save(tracks: Tracks, path: str | Path, video: Source | None = None) -> None:
    """Write `tracks` to `path`, whole or not at all; see the head of this module for the formats.

    `video` is what was tracked, needed by `.pkl` alone.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == ".pkl":
        tapvid.write(path, [_example(tracks, path, video)])
        return
    write = _write_npz if kind == ".npz" else _write_csv
    with replacing(path) as temporary:
        write(tracks, temporary)


def load(path: str | Path, size: tuple[int, int] | None = None) -> Tracks:
    """The tracks in a file that `save` wrote; `size` (height, width) only for `.csv`."""
    path = Path(path)
    kind = _kind(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if kind == ".csv":
        if size is None:
            raise ValueError(
                f"{path}: a CSV does not hold the frame size; give size=(height, width)"
            )
        return _read_csv(path, size)
    read: Callable[[Path], Tracks] = _read_npz if kind == ".npz" else _read_pickle
    return read(path)


def _kind(path: Path) -> str:
    if path.suffix not in (".npz", ".csv", ".pkl"):
        raise ValueError(
            f"{path}: expected a name ending in .npz, .csv or .pkl, "
            f"got {path.suffix or 'none of them'}"
        )
    return path.suffix


def _write_npz(tracks: Tracks, path: Path) -> None:
    np.savez_compressed(
        path,
        query_points=tracks.query_points,
        xy=tracks.xy,
        visible=tracks.visible,
        confidence=tracks.confidence,
        size=np.asarray(tracks.size),
        fps=np.float64(np.nan if tracks.fps is None else tracks.fps),
        start=np.asarray(tracks.start),
    )


def _read_npz(path: Path) -> Tracks:
    try:
        with open_npz(path) as stored:
            missing = [key for key in _KINDS if key not in stored]
            if missing:
                raise ValueError(f"it lacks {', '.join(missing)}; it has {', '.join(stored)}")
            return _tracks({key: np.asarray(stored[key]) for key in _KINDS})
    except (ValueError, OverflowError) as error:
        told = "numpy cannot read it" if "allow_pickle" in str(error) else error
        raise ValueError(f"{path}: not a tapnet tracks file: {told}") from error


def _tracks(read: dict[str, np.ndarray]) -> Tracks:
    for key, kinds in _KINDS.items():
        if read[key].dtype.kind not in kinds:
            expected = {"b": "bool", "f": "floating point"}.get(kinds, "real numbers")
            raise ValueError(f"{key}: expected {expected}, got {read[key].dtype}")
    check_shapes(size=(read["size"], "2"), fps=(read["fps"], ""), start=(read["start"], ""))
    height, width = (int(n) for n in read["size"])
    fps = float(read["fps"])
    return Tracks(
        _floating(read["query_points"]),
        _floating(read["xy"]),
        read["visible"],
        read["confidence"],
        size=(height, width),
        fps=None if np.isnan(fps) else fps,
        start=int(read["start"]),
    )


def _floating(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.result_type(numbers, np.float32), copy=False)


def _write_csv(tracks: Tracks, path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for t in range(tracks.xy.shape[1]):
            # astype(str) writes the shortest text that reads back as the same float32
            x, y = tracks.xy[:, t].astype(str).T.tolist()
            visible = tracks.visible[:, t].astype(int).tolist()
            confidence = tracks.confidence[:, t].astype(str).tolist()
            frame = [tracks.start + t] * len(x)
            writer.writerows(zip(frame, range(len(x)), x, y, visible, confidence, strict=True))


def _read_csv(path: Path, size: tuple[int, int]) -> Tracks:
    with open(path, newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it, too
        header = file.readline().strip().split(",")
        if header != _COLUMNS:
            raise ValueError(
                f"{path}: expected the columns {','.join(_COLUMNS)}, got {','.join(header)}"
            )
        try:
            lines = file.readlines()
            table = np.loadtxt(lines, delimiter=",", ndmin=2) if lines else np.zeros((0, 6))
        except ValueError as error:
            raise ValueError(f"{path}: not a table of numbers: {error}") from error
    if table.shape[1] != len(_COLUMNS):
        raise ValueError(f"{path}: expected {len(_COLUMNS)} columns, got {table.shape[1]}")
    frames, points = np.unique(table[:, 0]), np.unique(table[:, 1])
    table = table[np.lexsort((table[:, 0], table[:, 1]))]  # by point, then by frame
    shape = (len(points), len(frames))
    expected = np.stack(np.meshgrid(points, frames, indexing="ij"), -1).reshape(-1, 2)
    if not np.array_equal(table[:, [1, 0]], expected) or not np.all(np.diff(frames) == 1):
        raise ValueError(
            f"{path}: expected one line for every point and every frame, in whole; "
            f"got {len(table)} lines for {shape[0]} points and {shape[1]} frames"
        )
    grid = table.reshape(*shape, 6)
    start = int(frames[0]) if len(frames) else 0
    xy, visible = grid[..., 2:4].astype(np.float32), grid[..., 4] != 0
    confidence = grid[..., 5].astype(np.float32)
    return Tracks(_first_visible(xy, visible, start), xy, visible, confidence, size, start=start)


def check_frames(path: Path, size: tuple[int, int], count: int) -> None:
    """Raises ValueError for `count` frames of `size` (height, width) that no `.pkl` can hold."""
    nbytes = 3 * math.prod(size) * count
    if nbytes >= tapvid.LARGEST:
        raise ValueError(
            f"{path}: expected tracks of less than {tapvid.LARGEST >> 30} GiB of frames, these "
            f"have {nbytes / (1 << 30):.1f} GiB; save as .npz or .csv, or track fewer frames"
        )


def _example(tracks: Tracks, path: Path, video: Source | None) -> Example:
    """The tracks as if they were labels of the frames they are of."""
    if video is None:
        raise ValueError(
            "a TAP-Vid pickle holds the frames too: give the video that was tracked, "
            "as in tracks.save('out.pkl', video)"
        )
    clip = tracks.clip(video)
    check_frames(path, clip.size, tracks.stop - tracks.start)
    frames = clip.read(tracks.start, tracks.stop)
    asked = tracks.query_points - np.array([tracks.start, 0, 0], np.float32)
    return Example(path.stem, frames, asked, tracks.xy, ~tracks.visible)


def _read_pickle(path: Path) -> Tracks:
    clips = list(tapvid.read(path))
    if len(clips) != 1:
        raise ValueError(
            f"{path}: expected one video, as Tracks.save writes, got {len(clips)}; "
            "read a whole benchmark with tapnet.data.tapvid"
        )
    height, width = clips[0].video().shape[1:3]
    xy = (clips[0].points * np.array([width, height])).astype(np.float32)
    visible = ~clips[0].occluded
    confidence = visible.astype(np.float32)
    return Tracks(_first_visible(xy, visible, 0), xy, visible, confidence, (height, width))


def _first_visible(xy: np.ndarray, visible: np.ndarray, start: int) -> np.ndarray:
    """[N, 3] float32 (t, y, x): where each point is first seen."""
    if xy.shape[1] == 0:
        return np.zeros((len(xy), 3), np.float32)
    first = visible.argmax(axis=1)
    yx = xy_to_yx(xy[np.arange(len(xy)), first])
    return np.concatenate([start + first[:, None], yx], axis=1).astype(np.float32)
