"""Flow assist for the tracks of a video: where to start between, before and after their clicks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from tapnet.annotation.asked import Asked
from tapnet.annotation.flow_window import FlowWindow, frames_kept, path_back, path_between
from tapnet.annotation.kept import Anew
from tapnet.annotation.motion import Surroundings, flow_size, flows
from tapnet.video import Video


def follow(
    video: Video, asked: Asked, places: np.ndarray, around: Surroundings, kept: Anew
) -> Iterator[int]:
    """Fills `places` and what the flow says `around` them; yields each frame when done.

    `places` [N, T, 2] are pixels of the flow's frames, right at the clicks. They are filled up to
    the last click before the frame that is done, and beyond the last click of all.
    """
    size = flow_size(video.size)
    gaps = _gaps(asked)
    longest, most = max((end - begin for _, begin, end in gaps), default=0), frames_kept(size)
    windows = [FlowWindow(min(longest, most), size)]
    if longest > most:
        windows.append(FlowWindow(longest, size))
    for t, between in enumerate(flows(video, 0, len(video), kept)):
        for window in windows:
            window.push(between)
        for row, begin, end in gaps:
            if end == t + 1:
                part = windows[end - begin > most].part(begin, end)
                if asked.clicked[row, begin]:
                    path = path_between(part, places[row, begin], places[row, end])
                else:
                    path = path_back(part, places[row, end])
                places[row, begin:end] = path[:-1]
                for i, known in enumerate(part):
                    around.keep(np.array([row]), begin + i, known, path[[i]], path[[i + 1]])
        beyond = np.flatnonzero(asked.last <= t)
        here = places[beyond, t]
        there = places[beyond, t + 1] = here + between.onward_at(here)
        around.keep(beyond, t, between, here, there)
        yield t + 1


def _gaps(asked: Asked) -> list[tuple[int, int, int]]:
    """Track, frame of a click or 0, frame of the next click."""
    found = []
    for row, clicked in enumerate(asked.clicked):
        at = [0, *np.flatnonzero(clicked).tolist()]
        found += [(row, a, b) for a, b in pairwise(at) if b > a]
    return found
