"""What people clicked and hid, of many tracks at once, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tapnet.annotation.content import Content


@dataclass(frozen=True)
class Asked:
    """Clicks and hidden ranges of N tracks in T frames; every track has a click."""

    clicked: np.ndarray  # [N, T] bool
    places: np.ndarray  # [N, T, 2] (x, y) raster pixels: straight from click to click, held beyond
    seen: np.ndarray  # [N, T] bool: False where a person said that the point is hidden

    @classmethod
    def of(cls, contents: Sequence[Content], frames: int) -> Asked:
        clicked = np.zeros((len(contents), frames), bool)
        places = np.zeros((len(contents), frames, 2))
        seen = np.ones((len(contents), frames), bool)
        for row, content in enumerate(contents):
            at = [click.frame for click in content.clicks]
            clicked[row, at] = True
            for axis, values in enumerate(zip(*((c.x, c.y) for c in content.clicks), strict=True)):
                places[row, :, axis] = np.interp(np.arange(frames), at, values)
            seen[row] = content.visible(0, frames)
        return cls(clicked, places, seen)

    @property
    def first(self) -> np.ndarray:
        """[N]: the first frame with a click."""
        return self.clicked.argmax(1)

    @property
    def last(self) -> np.ndarray:
        """[N]: the last frame with a click."""
        return self.clicked.shape[1] - 1 - self.clicked[:, ::-1].argmax(1)

    @property
    def between(self) -> np.ndarray:
        """[N, T] bool: from the first click to the last."""
        t = np.arange(self.clicked.shape[1])
        return (t >= self.first[:, None]) & (t <= self.last[:, None])
