"""Tracker assist: an online tracker, conditioned on every click.

The video is walked forward once and backward once, with all tracks together. At each click a track
is asked for anew, so between two clicks it is known from both: how the point looks at either, and
how sure the tracker is on the way. Points are dropped and added in one stream, whose memory does
not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tapnet.annotation.asked import Asked
from tapnet.annotation.kept import Anew, Arrays, key_of
from tapnet.annotation.smoothing import Said
from tapnet.geometry import fitted
from tapnet.models.taplite import Grids, Taplite
from tapnet.tracker import Tracker
from tapnet.video import Video

# Pixels of the model's frames that taplite is off by, from 0.5 when it is sure to 14 when not at
# all, as measured on clips of the synthetic validation set.
SURE, UNSURE, POWER = 0.5, 13.0, 1.1


@dataclass(frozen=True)
class Walk:
    """What a tracker said of N tracks in T frames on one way through a video."""

    xy: np.ndarray  # [N, T, 2] float32 (x, y) raster pixels; at a click, how it arrived there
    confidence: np.ndarray  # [N, T] float32
    known: np.ndarray  # [N, T] bool: what was said at all

    @classmethod
    def none(cls, asked: Asked) -> Walk:
        shape = asked.clicked.shape
        return cls(
            np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32), np.zeros(shape, bool)
        )

    def said(self, asked: Asked, unit: float) -> Said:
        """Positions and their uncertainty, where the point is not hidden; `unit` pixels a pixel."""
        sigma = unit * (SURE + UNSURE * (1 - self.confidence) ** POWER)
        return Said(self.xy, np.where(self.known & asked.seen & ~asked.clicked, sigma, np.inf))


class _Remembering(Taplite):
    """taplite, which looks for the features of frames in `kept` first."""

    def __init__(self, model: Taplite, kept: Anew) -> None:
        super().__init__(model.settings)
        self.load_state_dict(model.state_dict(), assign=True)
        self.eval().requires_grad_(False)
        self._kept = kept
        self._made_by = key_of(part.numpy() for part in self.encoder.state_dict().values())

    def grids(self, frames: Tensor) -> Grids:
        def make() -> Arrays:
            new = super(_Remembering, self).grids(frames)
            return tuple(grid.half().numpy() for grid in (new.fine, new.coarse))

        fine, coarse = self._kept.arrays(("taplite", self._made_by, frames.numpy()), make)
        return Grids(torch.from_numpy(fine).float(), torch.from_numpy(coarse).float())


def remembering(tracker: Tracker, kept: Anew) -> Tracker:
    """The tracker; taplite on a CPU as one that does no frame again, in half precision."""
    if isinstance(tracker.model, Taplite) and tracker.device.type == "cpu":
        model: Any = _Remembering(tracker.model, kept)
        return replace(tracker, model=model)
    return tracker


def forward(tracker: Tracker, video: Video, asked: Asked, into: Walk) -> Iterator[int]:
    """Fills `into` from the first click to the end of the video; yields each frame when done."""
    order = range(asked.first.min(), len(video))
    return _walk(tracker, zip(order, video.frames(order.start), strict=True), asked, into)


def backward(tracker: Tracker, video: Video, asked: Asked, into: Walk) -> Iterator[int]:
    """Fills `into` from the last click to the beginning; yields each frame when done."""
    order = range(asked.last.max(), -1, -1)
    frames = video.frames_backward(0, len(order))
    return _walk(tracker, zip(order, frames, strict=True), asked, into)


def joined(ahead: Walk, behind: Walk, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """[N, T, 2] positions and [N, T] confidence: both walks, each the more the nearer its click."""
    t = np.arange(asked.clicked.shape[1])
    since = t - np.maximum.accumulate(np.where(asked.clicked, t, -len(t)), axis=1)
    until = np.minimum.accumulate(np.where(asked.clicked, t, 2 * len(t))[:, ::-1], axis=1)
    until = until[:, ::-1] - t
    near = np.stack([ahead.known / (1 + since), behind.known / (1 + until)])
    weights = near * (0.02 + np.stack([ahead.confidence, behind.confidence]))
    weights = weights / np.maximum(weights.sum(0), 1e-9)
    xy = weights[0, ..., None] * ahead.xy + weights[1, ..., None] * behind.xy
    return xy, weights[0] * ahead.confidence + weights[1] * behind.confidence


def unit(tracker: Tracker, video: Video) -> float:
    """Pixels of the video for one of the frames that the model sees."""
    height, width = fitted(video.size, tracker.resolution)
    return float(np.sqrt(video.size[0] * video.size[1] / (height * width)))


def _walk(
    tracker: Tracker, frames: Iterable[tuple[int, np.ndarray]], asked: Asked, into: Walk
) -> Iterator[int]:
    stream = None
    track_of = np.zeros(0, np.int64)  # of each id that the stream gave
    followed = np.full(len(asked.clicked), -1)  # the id of each track
    for t, frame in frames:
        if stream is None:
            stream = tracker.stream(frame.shape[:2])
        now = stream.step(frame)
        rows = track_of[now.ids]
        into.xy[rows, t], into.confidence[rows, t], into.known[rows, t] = (
            now.xy,
            now.confidence,
            True,
        )
        starting = np.flatnonzero(asked.clicked[:, t])
        if len(starting):
            old = followed[starting]
            stream.drop(old[old >= 0])
            followed[starting] = stream.add(asked.places[starting, t, ::-1])
            track_of = np.concatenate([track_of, starting])
        yield t
