"""A clip of TAP-Vid-Kinetics from its rows in the CSV file and its video, as officially made.

    LABELS.csv    a row per track: youtube id, start s, end s, then 250 times x, y, occluded
    ANYWHERE/ID_START_END.mp4    the clips, seconds with six digits: abcdefghijk_000010_000020.mp4

Frames are those that FFmpeg's `fps=25` picks, at most 250, as JPEG; tracks of a shorter clip are
cut. Points are (x W - 0.5) / W: half an original pixel less than in the CSV file. The official tool
does that and no reader undoes it, so published scores are of points that are 0.5 * 256 / W pixels
of the 256x256 image off (0.1 px at W = 1280, 0.4 px at 320); scores compare only if this does the
same. Frames differ from official ones in their JPEG compression alone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapnet import video
from tapnet.data.track_rows import columns, find_videos, rows_by_video, tracks

RATE, FRAMES = 25, 250
QUALITY = 95  # of the JPEGs
HAD_FROM = (
    "https://storage.googleapis.com/dm-tapnet/tapvid_kinetics.zip (the CSV file); the clips are "
    "those of the validation set of Kinetics-700-2020"
)
_CELLS = 3  # of a row, that name the clip


@dataclass(frozen=True)
class Source:
    """A clip to be made: where its labels and its video are."""

    name: str
    places: tuple[int, ...]  # of its rows in the CSV file
    file: Path | None  # None = missing

    def state(self) -> list[int] | None:
        """What changes when the video does; None = missing."""
        if self.file is None:
            return None
        stat = self.file.stat()
        return [stat.st_size, stat.st_mtime_ns]


def sources(csv: Path, videos: Path) -> list[Source]:
    """The clips of the CSV file in its order, with their videos in a folder or in folders in it.

    Raises FileNotFoundError, or ValueError when the CSV file is another one.
    """
    if not videos.is_dir():
        raise FileNotFoundError(f"{videos}: no such folder; expected one with clips of Kinetics")
    rows = rows_by_video(csv, _CELLS)
    expected = _CELLS + 3 * FRAMES
    if not rows or columns(csv) != expected:
        raise ValueError(
            f"{csv}: expected rows of {expected} cells (id, start, end, then x, y, occluded for "
            f"{FRAMES} frames), got {columns(csv)}; it is in {HAD_FROM}"
        )
    files = find_videos(videos)
    found = []
    for (identity, start, end), places in rows.items():
        if not (start.isdecimal() and end.isdecimal()):
            raise ValueError(
                f"{csv}, {identity}: expected start and end in whole seconds, got {start}, {end}"
            )
        name = f"{identity}_{int(start):06}_{int(end):06}"
        found.append(Source(name, tuple(places), files.get(name)))
    return found


def make(csv: Path, source: Source) -> dict[str, Any] | str:
    """The clip as a shard holds it: video [T] JPEG bytes, points [N, T, 2], occluded [N, T].

    A string instead says what is wrong with the video. Raises ValueError when the labels are wrong.
    """
    assert source.file is not None
    points, occluded = tracks(csv, source.places, _CELLS)
    if points.shape[1] != FRAMES:
        raise ValueError(
            f"{csv}, {source.name}: expected tracks of {FRAMES} frames, got {points.shape[1]}"
        )
    try:
        clip = video.open(source.file)
        cut = [warning for warning in clip.warnings if "cut short" in warning]
        if cut:
            return cut[0]
        images = _jpegs(clip)
    except ValueError as error:
        return str(error)
    length = len(images)
    width_height = np.array([clip.size[1], clip.size[0]])
    return {
        "video": np.array(images),
        "points": (points[:, :length] * width_height - 0.5) / width_height,
        "occluded": occluded[:, :length],
    }


def _jpegs(clip: video.Video) -> list[bytes]:
    chosen = at_rate(clip.times, 1 / clip.fps)[:FRAMES]
    repeats = np.bincount(chosen)
    images = []
    for frame, times in zip(clip.frames(0, len(repeats)), repeats, strict=True):
        if times:
            images.extend([_jpeg(frame)] * times)
    return images


def _jpeg(frame: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def at_rate(times: np.ndarray, lasts: float, rate: float = RATE) -> np.ndarray:
    """Indices of the frames that FFmpeg's `fps` filter gives, one after the other.

    times [T] seconds, not decreasing; `lasts` is how long the last frame is shown. On each tick
    from the first frame's on, it gives the last frame whose time rounds to that tick or before.
    """

    def tick(seconds: np.ndarray | float) -> np.ndarray:
        return np.floor(np.asarray(seconds) * rate + 0.5 + 1e-6).astype(int)  # halves go up

    ticks = tick(times - times[0])
    end = max(int(tick(times[-1] - times[0] + lasts)), 1)
    return np.searchsorted(ticks, np.arange(end), side="right") - 1
