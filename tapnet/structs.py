"""The structures that travel through the system: what data gives and what models say.

Axes, always in this order: B videos, N points, T frames, H W rows and columns, C channels.
Positions are raster pixels of the video they belong to: (0, 0) is the outer corner of the first
pixel, (width, height) the outer corner of the last. Query points are (t, y, x), tracks (x, y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def check_shapes(**fields: tuple[Any, str]) -> dict[str, int]:
    """Sizes of the axes in patterns such as "B N T 2"; None is skipped, digits are fixed sizes.

    Raises ValueError when a field has another number of axes than its pattern, or when a letter
    would stand for two sizes: `occlusion: expected [B N T] with B=1, N=3, T=2, got [1, 2, 3]`.
    """
    sizes: dict[str, int] = {}
    for name, (value, pattern) in fields.items():
        if value is None:
            continue
        letters, shape = pattern.split(), tuple(value.shape)
        fits = len(letters) == len(shape) and all(
            size == (int(letter) if letter.isdigit() else sizes.get(letter, size))
            for letter, size in zip(letters, shape, strict=True)
        )
        if not fits:
            known = ", ".join(f"{letter}={sizes[letter]}" for letter in letters if letter in sizes)
            expected = f"[{pattern}]" + (f" with {known}" if known else "")
            raise ValueError(f"{name}: expected {expected}, got {list(shape)}")
        sizes |= {a: b for a, b in zip(letters, shape, strict=True) if not a.isdigit()}
    return sizes


def labelled_entries(occluded: np.ndarray, annotated: np.ndarray | None) -> np.ndarray:
    """Bool like `occluded`: entries that somebody labelled, which are all where none are marked."""
    return np.ones_like(occluded, dtype=bool) if annotated is None else annotated


@dataclass(frozen=True)
class Prediction:
    """What a model says of N points in T frames of B videos."""

    tracks: Tensor  # [B, N, T, 2] (x, y) raster pixels of the video given
    occlusion: Tensor  # [B, N, T] logit, high = occluded
    expected_dist: Tensor | None = None  # [B, N, T] logit, high = far from the truth
    refinements: tuple[Prediction, ...] = ()  # earlier guesses, first to last
    visible_above: float = 0.5  # the confidence from which a point is said to be visible

    def __post_init__(self) -> None:
        check_shapes(
            tracks=(self.tracks, "B N T 2"),
            occlusion=(self.occlusion, "B N T"),
            expected_dist=(self.expected_dist, "B N T"),
        )

    @property
    def confidence(self) -> Tensor:
        """[B, N, T] in 0..1: the probability that the point is visible and its position right."""
        sure = (-self.occlusion).sigmoid()
        if self.expected_dist is not None:
            sure = sure * (-self.expected_dist).sigmoid()
        return sure

    @property
    def visible(self) -> Tensor:
        """[B, N, T] bool."""
        return self.confidence > self.visible_above


@dataclass(frozen=True)
class Example:
    """One video with points to track and the truth about them, in raster pixels of that video."""

    name: str
    video: np.ndarray  # [T, H, W, 3] uint8
    query_points: np.ndarray  # [N, 3] (t, y, x)
    target_points: np.ndarray  # [N, T, 2] (x, y)
    occluded: np.ndarray  # [N, T] bool
    trackgroup: np.ndarray | None = None  # [N] int: the track a strided query came from
    annotated: np.ndarray | None = None  # [N, T] bool: entries with a label; None = all

    def __post_init__(self) -> None:
        check_shapes(
            video=(self.video, "T H W 3"),
            query_points=(self.query_points, "N 3"),
            target_points=(self.target_points, "N T 2"),
            occluded=(self.occluded, "N T"),
            trackgroup=(self.trackgroup, "N"),
            annotated=(self.annotated, "N T"),
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the video."""
        return self.video.shape[1], self.video.shape[2]
