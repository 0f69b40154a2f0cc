"""The flow of the last frames of a video, as much as a bounded memory holds."""

from __future__ import annotations

from collections import deque

import numpy as np

from tapnet.annotation.flow_assist import carried
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
    ends = flows[0].inward(np.stack([first, last]))
    onward = np.stack([between.onward for between in flows]).astype(np.float32) / flows[0].stride
    ahead, behind = carried(onward, ends[0]), path_back(flows, last, inward=True)
    missed = ends[1] - ahead[-1], ends[0] - behind[0]
    if max(np.linalg.norm(miss) for miss in missed) * flows[0].stride < CLOSE:
        ahead, behind = ahead + share * missed[0], behind + (1 - share) * missed[1]
        return flows[0].outward((1 - share) * ahead + share * behind)
    inside = ends.clip(0, np.array(onward.shape[2:0:-1]) - 1)
    whole = near(onward, *inside).astype(np.float64)
    return flows[0].outward(
        whole + (1 - share) * (ends[0] - whole[0]) + share * (ends[1] - whole[-1])
    )


def path_back(flows: list[Between], last: np.ndarray, inward: bool = False) -> np.ndarray:
    """[n, 2]: where the flow back leads from `last`, in time from the first frame on."""
    stride = flows[0].stride
    back = np.stack([between.back for between in flows[::-1]]).astype(np.float32) / stride
    found = carried(back, flows[0].inward(last))[::-1]
    return found if inward else flows[0].outward(found)
