"""Optical flow of a video, and what it says around paths: all that assists need of it.

Flow is found between neighbouring frames, both ways, in frames of at most about 384 x 384 pixels.
Whole fields are not kept: of each path, in each frame, a few values around it are.

Axes: N tracks, T frames; positions (x, y) in pixels of the flow's frames, counted from the middle
of the first one (raster coordinates minus 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import cv2
import numpy as np

from tapnet.annotation.flow_assist import read
from tapnet.annotation.kept import Anew, Arrays
from tapnet.annotation.smoothing import Said
from tapnet.baselines.flow import dis
from tapnet.geometry import Size, fitted
from tapnet.video import Video

SIDE = 384  # pixels: larger frames are resized to about SIDE x SIDE, in their shape
AROUND = 5  # values across that are kept around a path ...
SPACING = 2.0  # pixels: ... so far apart
CERTAIN = 0.4  # pixels: uncertainty of a step where flow and flow back agree ...
DOUBT = 0.5  # ... and how much it grows with each pixel that they do not
COASTING = 10.0  # factor: uncertainty of steps of points that are hidden


def flow_size(size: Size) -> Size:
    """(height, width) of the frames that flow is found in."""
    return size if size[0] * size[1] <= SIDE * SIDE else fitted(size, SIDE)


@dataclass(frozen=True)
class Between:
    """The flow between a frame and the next, both ways, at every `stride`-th row and column."""

    onward: np.ndarray  # [h, w, 2]: where the pixels of the first have gone
    back: np.ndarray  # [h, w, 2]: where those of the second came from
    stride: int = 1  # the first value is of pixel (stride // 2, stride // 2)

    def onward_at(self, xy: np.ndarray) -> np.ndarray:
        """[..., 2]: the flow at positions [..., 2] of the first frame."""
        return read(self.onward, self.inward(xy))

    def back_at(self, xy: np.ndarray) -> np.ndarray:
        """[..., 2]: the flow back at positions [..., 2] of the second frame."""
        return read(self.back, self.inward(xy))

    def inward(self, xy: np.ndarray) -> np.ndarray:
        """Positions as rows and columns of the flow."""
        return (xy - self.stride // 2) / self.stride

    def outward(self, xy: np.ndarray) -> np.ndarray:
        """Rows and columns of the flow as positions."""
        return xy * self.stride + self.stride // 2

    def thinned(self, stride: int) -> Between:
        """At every `stride`-th row and column only, in half precision."""
        part = slice(stride // 2, None, stride)
        onward, back = (field[part, part].astype(np.float16) for field in (self.onward, self.back))
        return Between(onward, back, stride)


def flows(video: Video, start: int, stop: int, kept: Anew) -> Iterator[Between]:
    """The flow from each of frames `start` to `stop` - 2 to the next, in half precision."""
    size = flow_size(video.size)
    frames = (_resized(frame, size) for frame in video.frames(start, stop))
    for before, after in pairwise(frames):
        make = partial(_both_ways, before, after)
        onward, back = kept.arrays(("dis", before, after), make)
        yield Between(onward, back)


def _both_ways(before: np.ndarray, after: np.ndarray) -> Arrays:
    pairs = (before, after), (after, before)
    return tuple(dis(*pair).astype(np.float16) for pair in pairs)


def _resized(frame: np.ndarray, size: Size) -> np.ndarray:
    if frame.shape[:2] == size:
        return frame
    return cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)


class Surroundings:
    """What the flow says around paths; 200 bytes for each track and frame."""

    def __init__(self, tracks: int, frames: int) -> None:
        shape = tracks, max(frames - 1, 0), AROUND, AROUND, 2
        self._onward = np.zeros(shape, np.float16)
        self._back = np.zeros(shape, np.float16)
        self._centre = np.zeros((tracks, frames, 2), np.float32)
        self._known = np.zeros(shape[:2], bool)
        self._hidden = np.zeros(shape[:2], bool)

    def keep(
        self, rows: np.ndarray, t: int, between: Between, here: np.ndarray, there: np.ndarray
    ) -> None:
        """What `between` frames t and t + 1 says around `here` and `there` [len(rows), 2]."""
        self._centre[rows, t], self._centre[rows, t + 1] = here, there
        self._onward[rows, t] = between.onward_at(here[:, None, None] + _OFFSETS)
        self._back[rows, t] = between.back_at(there[:, None, None] + _OFFSETS)
        self._known[rows, t] = True

    def hide(self, visible: np.ndarray) -> None:
        """Steps to and from frames that are not `visible` [N, T] say little."""
        self._hidden = ~(visible[:, 1:] & visible[:, :-1])

    def steps(self, xy: np.ndarray) -> list[Said]:
        """The steps that the flow onward, and that back, says along paths [N, T, 2] near those."""
        onward, beside = self._read(self._onward, xy[:, :-1], self._centre[:, :-1])
        returned, _ = self._read(self._back, xy[:, :-1] + onward, self._centre[:, 1:])
        came, beside_too = self._read(self._back, xy[:, 1:], self._centre[:, 1:])
        gone, _ = self._read(self._onward, xy[:, 1:] + came, self._centre[:, :-1])
        return [
            Said(onward, self._uncertainty(onward + returned, beside)),
            Said(-came, self._uncertainty(came + gone, beside_too)),
        ]

    def _uncertainty(self, missed: np.ndarray, beside: np.ndarray) -> np.ndarray:
        sigma = CERTAIN + DOUBT * np.linalg.norm(missed, axis=-1) + beside
        sigma = np.where(self._hidden, COASTING * sigma, sigma)
        return np.where(self._known, sigma, np.inf)

    def _read(
        self, values: np.ndarray, xy: np.ndarray, centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """[N, T - 1, 2] values at xy, linearly; [N, T - 1] pixels that xy is beside them."""
        place = (xy - centre) / SPACING + (AROUND - 1) / 2
        inside = place.clip(0, AROUND - 1)
        beside = np.linalg.norm(place - inside, axis=-1) * SPACING
        low = np.floor(inside).astype(np.int64).clip(0, AROUND - 2)
        part = (inside - low).astype(np.float32)
        track, frame = np.indices(xy.shape[:2])
        total = np.zeros(xy.shape, np.float32)
        for down in (0, 1):
            for right in (0, 1):
                weight = (part[..., 0] if right else 1 - part[..., 0]) * (
                    part[..., 1] if down else 1 - part[..., 1]
                )
                found = values[track, frame, low[..., 1] + down, low[..., 0] + right]
                total += weight[..., None] * found
        return total, beside


_PLACES = (np.arange(AROUND) - (AROUND - 1) / 2) * SPACING
_OFFSETS = np.stack(np.meshgrid(_PLACES, _PLACES), axis=-1)  # [AROUND, AROUND, 2] (x, y)
