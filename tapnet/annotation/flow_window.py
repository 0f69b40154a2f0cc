"""The flow of the last frames of a video, as much as a bounded memory holds."""

from __future__ import annotations

from collections import deque

import numpy as np

from tapnet.annotation.flow_search import near
from tapnet.annotation.motion import Between
from tapnet.geometry import Size

BYTES = 96 << 20  # of flow kept; a few times that while a path is looked for
CLOSE = 2.0  # pixels: the flow that comes by the other click so closely is simply followed


def frames_kept(size: Size) -> int:
    """How many frames of flow of that size are kept whole."""
    return max(BYTES // (8 * size[0] * size[1]), 2)


class FlowWindow:
    """Flow between the last frames; of so many that memory asks for it, only every few pixels."""

    def __init__(self, frames: int, size: Size) -> None:
        """For `frames` frames with flow of that size."""
        self._kept: deque[Between] = deque(maxlen=max(frames, 1))
        self._stride = max(int(np.ceil(np.sqrt(frames / frames_kept(size)))), 1)
        self._end = 0  # the frame that the last flow leads to

    def push(self, between: Between) -> None:
        """The flow to the next frame."""
        self._kept.append(between.thinned(self._stride))
        self._end += 1

    def part(self, begin: int, end: int) -> list[Between]:
        """The flow from frame `begin` to frame `end`."""
        first = len(self._kept) - (self._end - begin)
        return [self._kept[first + i] for i in range(end - begin)]


def path_between(flows: list[Between], first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[n, 2]: along the flow from `first` to `last`, as a start for a closer look.

    Where the flow from either click comes by the other, it is followed from both, each the more the
    nearer its click. Where it does not, the path that disagrees least is taken (`flow_search`).
    """
    share = np.linspace(0, 1, len(flows) + 1)[:, None]
    ahead, behind = path_onward(flows, first), path_back(flows, last)
    missed = last - ahead[-1], first - behind[0]
    if max(np.linalg.norm(miss) for miss in missed) < CLOSE:
        ahead, behind = ahead + share * missed[0], behind + (1 - share) * missed[1]
        return (1 - share) * ahead + share * behind
    onward = np.stack([between.onward for between in flows]).astype(np.float32) / flows[0].stride
    border = np.array(onward.shape[2:0:-1]) - 1
    ends = flows[0].inward(np.stack([first, last])).clip(0, border)
    whole = flows[0].outward(near(onward, *ends).astype(np.float64))
    return whole + (1 - share) * (first - whole[0]) + share * (last - whole[-1])


def path_onward(flows: list[Between], first: np.ndarray) -> np.ndarray:
    """[n, 2]: where the flow leads from `first`."""
    found = [first]
    for between in flows:
        found.append(found[-1] + between.onward_at(found[-1]))
    return np.stack(found)


def path_back(flows: list[Between], last: np.ndarray) -> np.ndarray:
    """[n, 2]: where the flow back leads from `last`, in time from the first frame on."""
    found = [last]
    for between in reversed(flows):
        found.append(found[-1] + between.back_at(found[-1]))
    return np.stack(found[::-1])
