"""A labelled video as it lies in a file, and a set of them: what every reader gives."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from tapnet import queries
from tapnet.metrics import QueryMode
from tapnet.stored import StoredArray
from tapnet.structs import Example, check_shapes, labelled_entries
from tapnet.video import Video


class Frames(Protocol):
    """Frames, each [H, W, 3] uint8 or an encoded image.

    Arrays [T, H, W, 3], lists of images, and every `tapnet.video.Video` are such.
    """

    def __len__(self) -> int:
        """Number of frames."""

    def __iter__(self) -> Iterator[Any]:
        """One after the other, read when it is taken."""


@dataclass(frozen=True)
class Part:
    """Frames start to stop - 1 of a video."""

    video: Video
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.video.frames(self.start, self.stop)

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the video; may grow while it is read."""
        return self.video.warnings


@dataclass(frozen=True)
class Clip:
    """One labelled video, its frames still as they are stored."""

    name: str
    frames: Frames
    points: np.ndarray  # [N, T, 2] (x, y) as shares of (width, height)
    occluded: np.ndarray  # [N, T] bool
    annotated: np.ndarray | None = None  # [N, T] bool; None = all
    has_occlusion_labels: bool = True
    object_area: np.ndarray | None = None  # [T] pixels of the stored frames
    source: str = ""  # the file and the place in it, for messages
    person_scale: np.ndarray | None = None  # [T] pixels of the stored frames: unit of PCK's errors
    query_points: np.ndarray | None = None  # [N, 3] (t, y, x), y x as shares: what the set asks

    def __post_init__(self) -> None:
        try:
            sizes = check_shapes(
                points=(self.points, "N T 2"),
                occluded=(self.occluded, "N T"),
                annotated=(self.annotated, "N T"),
                object_area=(self.object_area, "T"),
                person_scale=(self.person_scale, "T"),
                query_points=(self.query_points, "N 3"),
            )
        except ValueError as error:
            raise ValueError(f"{self.source}: {error}") from error
        if sizes["T"] != len(self.frames):
            raise ValueError(
                f"{self.source}: expected a frame for each of the {sizes['T']} entries of a track, "
                f"got {len(self.frames)} frames"
            )
        if not len(self.frames):
            raise ValueError(f"{self.source}: expected one frame or more, got none")
        if self.query_points is not None:
            fits = np.isfinite(self.query_points).all(-1)
            fits &= (self.query_points[:, 0] >= 0) & (self.query_points[:, 0] <= sizes["T"] - 1)
            if not fits.all():
                first = int(np.flatnonzero(~fits)[0])
                raise ValueError(
                    f"{self.source}: query_points: expected numbers, t in 0..{sizes['T'] - 1}, got "
                    f"{self.query_points[first].tolist()} for track {first}"
                )

    @classmethod
    def of(cls, example: Example, source: str) -> Clip:
        """The clip of an example that says itself what it asks."""
        height, width = example.size
        return cls(
            example.name,
            example.video,
            example.target_points / np.array([width, height], np.float64),
            example.occluded,
            example.annotated,
            source=source,
            query_points=example.query_points / np.array([1, height, width], np.float64),
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def visible(self) -> np.ndarray:
        """[N, T] bool: labelled, and not as occluded."""
        return ~self.occluded & labelled_entries(self.occluded, self.annotated)

    def images(self) -> Iterator[np.ndarray]:
        """The frames, [H, W, 3] uint8, each decoded when it is taken. Errors as of `video`."""
        shape: tuple[int, ...] = ()
        for t, frame in enumerate(self.frames):
            where = f"{self.source}, frame {t}"
            image = frame if isinstance(frame, np.ndarray) else decode(bytes(frame), where)
            shape = shape or image.shape
            if image.shape != shape:
                raise ValueError(
                    f"{where}: expected frames of one size, got {image.shape[0]}x{image.shape[1]} "
                    f"after {shape[0]}x{shape[1]} (height x width)"
                )
            yield image

    def video(self) -> np.ndarray:
        """[T, H, W, 3] uint8, decoded now. ValueError names the file and the damaged frame."""
        if isinstance(self.frames, np.ndarray | StoredArray) and self.frames.dtype == np.uint8:
            return np.asarray(self.frames)
        images = self.images()
        first = next(images)
        out = np.empty((len(self), *first.shape), np.uint8)
        out[0] = first
        for t, image in enumerate(images, start=1):
            out[t] = image
        return out

    def queries(
        self, size: tuple[int, int], query_mode: QueryMode = "first", stride: int = 5
    ) -> queries.Queries:
        """What to ask of this clip, in pixels of the video at `size` (height, width).

        A set that says itself what to ask of each track (`query_points`) is asked that in both
        modes.
        """
        height, width = size
        points = self.points * np.array([width, height], np.float64)
        if self.query_points is not None and query_mode in ("first", "strided"):
            query_points = self.query_points * np.array([1, height, width], np.float64)
            tracks = np.arange(len(points))
            return queries.Queries(query_points, points, self.occluded, tracks, self.annotated)
        if query_mode == "first":
            return queries.first(points, self.occluded, self.annotated)
        if query_mode == "strided":
            return queries.strided(points, self.occluded, self.annotated, stride=stride)
        raise ValueError(f"query_mode: expected 'first' or 'strided', got {query_mode!r}")

    def example(self, query_mode: QueryMode = "first", stride: int = 5) -> Example:
        """The decoded video, its queries and their tracks, in its own pixels."""
        video = self.video()
        asked = self.queries((video.shape[1], video.shape[2]), query_mode, stride)
        return Example(
            self.name,
            video,
            asked.query_points,
            asked.target_points,
            asked.occluded,
            asked.trackgroup if query_mode == "strided" else None,
            asked.annotated,
        )


def check_shares(points: np.ndarray, visible: np.ndarray, source: str) -> None:
    """Raises ValueError unless points [N, T, 2] are shares of (width, height) where visible [N, T].

    A point may be a little outside the image, but pixels are told from shares.
    """
    seen = points[visible]
    if points.dtype.kind != "f" or (seen.size and not np.abs(seen).max() < 2):
        raise ValueError(
            f"{source}: points: expected floats, shares of (width, height) in 0..1, got "
            f"{points.dtype} up to {np.abs(seen).max(initial=0):g}; divide pixels by the size"
        )


def files_in(folder: Path) -> list[Path]:
    """The files in a folder by name, without those that systems hide there."""
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def decode(image: bytes, source: str) -> np.ndarray:
    """[H, W, 3] uint8, by pillow as the reference does."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image)) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{source}: expected a JPEG or PNG image, but {error}") from error


@dataclass(frozen=True)
class Dataset(ABC):
    """Labelled videos at a path, read one at a time: `for clip in dataset`."""

    path: Path

    kind: ClassVar[str]  # its name in `tapnet.data.DATASETS`
    title: ClassVar[str]  # the sets that come in this layout
    had_from: ClassVar[str]  # where a user gets them
    asks_itself: ClassVar[bool] = False  # whether clips say what to ask, on whatever frame

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.path.stem

    @classmethod
    @abstractmethod
    def fits(cls, path: Path) -> bool:
        """Whether what is at `path` looks like this layout, by names and first bytes alone."""

    @abstractmethod
    def files(self) -> list[Path]:
        """Every file that decides what is read, in a fixed order. FileNotFoundError if none is."""

    @abstractmethod
    def __iter__(self) -> Iterator[Clip]:
        """The clips, in a fixed order, in constant memory.

        Raises FileNotFoundError, or ValueError naming the file, what was expected and what came.
        """
