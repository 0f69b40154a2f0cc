"""Annotators that know the truth: how good an assist is can be measured with them."""

from __future__ import annotations

import numpy as np

from tapnet.annotation.content import Click, Content, ranges


def clicked_frames(visible: np.ndarray, every: int) -> list[int]:
    """Frames that are clicked of a track, `visible` [T]: the first and the last where it is seen,
    and on the way one as soon as `every` frames have passed since the one before.
    """
    seen = np.flatnonzero(visible).tolist()
    found = seen[:1]
    for frame in seen:
        if frame - found[-1] >= every:
            found.append(frame)
    return found if found[-1:] == seen[-1:] else [*found, seen[-1]]


def annotate(
    points: np.ndarray,
    occluded: np.ndarray,
    every: int,
    offsets: np.ndarray,
    size: tuple[int, int],
    assist: str,
) -> Content:
    """What someone makes of a track at `points` [T, 2] who clicks `offsets` [T, 2] pixels beside.

    Hidden ranges are where it is `occluded` [T]; clicks stay in the frame, of `size` (height,
    width). The same offsets give the same clicks whatever the assist.
    """
    frames = clicked_frames(~occluded, every)
    places = np.clip(points + offsets, 0, size[::-1])
    return Content(
        clicks=tuple(Click(t, float(places[t, 0]), float(places[t, 1])) for t in frames),
        hidden=ranges(occluded),
        assist=assist,
    )
