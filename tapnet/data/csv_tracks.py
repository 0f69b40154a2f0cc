"""Tracks in a CSV file beside videos: Perception Test and RoboTAP as they are annotated.

    LABELS.csv           rows VIDEO, then x, y, occluded for each frame; a row is a track;
                         x and y are shares of (width, height), occluded > 0 means hidden
    ANYWHERE/VIDEO.mp4   the videos, in the folder of the CSV file or in folders in it

As in the reference, tracks longer than their video are cut, and a video of more than 1000 frames is
split into equal parts, which are clips of their own: `VIDEO-0`, `VIDEO-1`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tapnet import video
from tapnet.data.clip import Clip, Dataset, Part, check_shares
from tapnet.data.track_rows import SUFFIXES, columns, find_videos, rows_by_video, tracks

LONGEST = 1000  # frames of a clip
HAD_FROM = (
    "https://github.com/google-deepmind/perception_test (Perception Test) and "
    "https://github.com/google-deepmind/tapnet/tree/main/tapnet/tapvid (RoboTAP)"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CsvTracks(Dataset):
    """A CSV file of tracks, with the videos it names in its folder or in folders in that."""

    kind: ClassVar[str] = "csv"
    title: ClassVar[str] = "Perception Test, RoboTAP (CSV and mp4)"
    had_from: ClassVar[str] = HAD_FROM

    @classmethod
    def fits(cls, path: Path) -> bool:
        return path.suffix == ".csv" and path.is_file() and columns(path) % 3 == 1

    def files(self) -> list[Path]:
        videos = find_videos(self.path.parent)
        names = [name for (name,) in rows_by_video(self.path)]
        return [self.path, *(_video(self.path, videos, name) for name in names)]

    def __iter__(self) -> Iterator[Clip]:
        videos = find_videos(self.path.parent)
        for (name,), places in rows_by_video(self.path).items():
            yield from _clips(self.path, name, places, _video(self.path, videos, name))


def _video(labels: Path, videos: dict[str, Path], name: str) -> Path:
    stem = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
    if stem not in videos:
        raise FileNotFoundError(
            f"{labels}: expected the video {stem}.mp4 in {labels.parent} or in a folder in it, got "
            f"none; videos are at {HAD_FROM}"
        )
    return videos[stem]


def _clips(labels: Path, name: str, places: list[int], file: Path) -> Iterator[Clip]:
    points, occluded = tracks(labels, places)
    check_shares(points, ~occluded, f"{labels}, {name}")
    frames = video.open(file)
    cut = [warning for warning in frames.warnings if "cut short" in warning]
    if cut:
        raise ValueError(f"{file}: {cut[0]}; get it again from {HAD_FROM}")
    length = min(len(frames), points.shape[1])
    if len(frames) != points.shape[1]:
        _log.warning(
            "%s: %d frames, but tracks of %d: both are cut to %d",
            *(file, len(frames), points.shape[1], length),
        )
    parts = -(-length // LONGEST)
    for i in range(parts):
        start, stop = i * length // parts, (i + 1) * length // parts
        yield Clip(
            name if parts == 1 else f"{name}-{i}",
            Part(frames, start, stop),
            points[:, start:stop],
            occluded[:, start:stop],
            source=f"{labels}, {name}",
        )
