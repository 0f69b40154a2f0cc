"""Chained dense optical flow, and chains over several gaps of which the most consistent wins.

Flow is OpenCV's DIS (T. Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016),
G. Farnebäck's (SCIA 2003), or any function of two frames. `Flow` adds up the flow from frame to
frame. `MultiFlow` follows M. Neoral et al., "MFT: Long-term tracking of every pixel", WACV 2024:
each new position is reached from 1, 2, 4, ... frames ago, and the chain with the least
forward-backward error in all its links is kept, so that errors add up over fewer links and a point
hidden for a moment is reached from before it was. How points are lost and found again: `patches`.
Axes: M points, G frames remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from tapnet.baselines.online import OnlineTracker, check_same_size, gray_image
from tapnet.baselines.patches import (
    ALIKE,
    MISSED,
    Patches,
    begin,
    likeness,
    recognise,
    sample,
)

DenseFlow = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From two frames [H, W, 3] uint8 RGB to [H, W, 2] float32 (x, y) pixels: where the pixels of the
first have gone in the second."""

Frames = tuple[np.ndarray, ...]  # [H, W, 3] uint8, the last first

GAPS = 1, 2, 4, 8, 16  # frames
SMALLEST = 16  # pixels: OpenCV's flows need that many a side


def dis(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Dense inverse search, [H, W, 2], down to full resolution: OpenCV's presets stop at half.

    Tracks of real clips gain more by that than by anything else; fewer iterations on a wider
    stride halve its time (docs/log.md has the numbers).
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)
    method.setPatchStride(4)
    method.setGradientDescentIterations(12)
    method.setVariationalRefinementIterations(2)
    first, second = (_enlarged(gray_image(frame)) for frame in (before, after))
    height, width = before.shape[:2]
    # None: no first guess (a guess of zeros gives another flow); OpenCV's types forget it.
    flow = method.calc(first, second, None)  # type: ignore[call-overload]
    return flow[:height, :width]


def farneback(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Flow between the polynomial expansions of two frames, [H, W, 2]."""
    first, second = gray_image(before), gray_image(after)
    return cv2.calcOpticalFlowFarneback(
        first,
        second,
        np.zeros((*first.shape, 2), np.float32),
        pyr_scale=0.5,
        levels=5,
        winsize=21,
        iterations=3,
        poly_n=7,
        poly_sigma=1.5,
        flags=0,
    )


def _enlarged(gray: np.ndarray) -> np.ndarray:
    """The image with its edge continued to the right and below up to the smallest size."""
    down, right = (max(SMALLEST - side, 0) for side in gray.shape)
    return cv2.copyMakeBorder(gray, 0, down, 0, right, cv2.BORDER_REPLICATE)


class Flow(OnlineTracker[Frames, Patches]):
    """Adds up the flow from frame to frame."""

    def __init__(self, flow: DenseFlow = dis) -> None:
        self.flow = flow

    def remember(self, image: np.ndarray, memory: Frames | None) -> Frames:
        return _push(image, memory, 2)

    def begin(self, memory: Frames, xy: np.ndarray) -> Patches:
        return begin(gray_image(memory[0]), xy)

    def follow(self, memory: Frames, points: Patches) -> Patches:
        moved, missed = there_and_back(self.flow, memory[1], memory[0], points.xy)
        return recognise(gray_image(memory[0]), points, moved, missed)


@dataclass(frozen=True)
class Chains(Patches):
    """Points with where they were in the frames remembered, the last first."""

    past: np.ndarray  # [M, G, 2] float64
    cost: np.ndarray  # [M, G] pixels: forward-backward errors up to there; infinite if not seen


class MultiFlow(OnlineTracker[Frames, Chains]):
    """Adds up flow over gaps of several lengths; the most consistent chain is kept."""

    def __init__(self, flow: DenseFlow = dis, gaps: tuple[int, ...] = GAPS) -> None:
        if not gaps or min(gaps) != 1:
            raise ValueError(f"gaps: expected frame counts that begin with 1, got {gaps}; add 1")
        self.flow = flow
        self.gaps = gaps

    def remember(self, image: np.ndarray, memory: Frames | None) -> Frames:
        return _push(image, memory, max(self.gaps) + 1)

    def begin(self, memory: Frames, xy: np.ndarray) -> Chains:
        start = begin(gray_image(memory[0]), xy)
        past = np.repeat(xy[:, None], max(self.gaps), axis=1)
        cost = np.full(past.shape[:2], np.inf)
        cost[:, 0] = np.where(start.lost > 0, np.inf, 0)
        return Chains(**vars(start), past=past, cost=cost)

    def follow(self, memory: Frames, points: Chains) -> Chains:
        gray = gray_image(memory[0])
        moved, missed = there_and_back(self.flow, memory[1], memory[0], points.xy)
        cost = self._believed(gray, points, moved, missed, 1)
        for gap in self.gaps[1:]:
            rows = np.flatnonzero(np.isfinite(points.cost[:, gap - 1]))
            if len(memory) <= gap or not len(rows):
                continue
            there, miss = there_and_back(
                self.flow, memory[gap], memory[0], points.past[rows, gap - 1]
            )
            other = self._believed(gray, points.take(rows), there, miss, gap)
            better = other < cost[rows]
            chosen = rows[better]
            moved[chosen], missed[chosen], cost[chosen] = there[better], miss[better], other[better]
        return _extend(recognise(gray, points, moved, missed), points, cost)

    def _believed(
        self, gray: np.ndarray, points: Chains, moved: np.ndarray, missed: np.ndarray, gap: int
    ) -> np.ndarray:
        """[M]: the cost of the chains over `gap`; infinite where the last link is not believed."""
        good = (missed < MISSED) & (likeness(gray, moved, points) > ALIKE)
        return np.where(good, points.cost[:, gap - 1] + missed, np.inf)


def _extend(now: Chains, before: Chains, cost: np.ndarray) -> Chains:
    """The chains with this frame before the others; a point found by search begins a chain."""
    begun = np.isinf(cost) & (now.lost == 0)
    dearest = np.where(np.isfinite(before.cost), before.cost, 0).max(1) + MISSED
    cost = np.where(begun, dearest, np.where(now.lost > 0, np.inf, cost))
    return replace(
        now,
        past=np.concatenate([now.xy[:, None], before.past[:, :-1]], axis=1),
        cost=np.concatenate([cost[:, None], before.cost[:, :-1]], axis=1),
    )


def there_and_back(
    flow: DenseFlow, before: np.ndarray, after: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where points `xy` [M, 2] of `before` are in `after`, and [M] pixels the way back misses.

    Both ways err alike, so half of what is missed is taken off the way there.
    """
    moved = xy + sample(_checked(flow, before, after), xy)
    missed = moved + sample(_checked(flow, after, before), moved) - xy
    return moved - missed / 2, np.linalg.norm(missed, axis=-1)


def _checked(flow: DenseFlow, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    field = np.asarray(flow(before, after), np.float32)
    if field.shape != (*before.shape[:2], 2) or not np.isfinite(field).all():
        raise ValueError(
            f"flow: expected finite [H W 2] with H={before.shape[0]}, W={before.shape[1]}, got "
            f"{list(field.shape)} with {(~np.isfinite(field)).sum()} not finite; mend the function"
        )
    return field


def _push(image: np.ndarray, memory: Frames | None, length: int) -> Frames:
    """The last `length` frames."""
    if memory is None:
        return (image,) * min(length, 2)
    check_same_size(image, memory[0])
    return (image, *memory[: length - 1])
