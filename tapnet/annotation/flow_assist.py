"""Optical-flow track assist: the path through the clicks that disagrees least with the flow.

The annotators of TAP-Vid (Doersch et al. 2022) were helped by such a path; SPEC section 11 says
exactly which one, and `path` gives it: of all paths of whole pixels through the clicks, the one
with the least sum of |step - flow|, both coordinates added, flow of the pixel that is left. It
tries every pixel from every pixel of a window, which takes seconds a frame.

`fast_path` begins with a path that `flow_search` finds, of the same cost. Then it is refined to
fractions of a pixel: it follows the flow read between pixels, and what is missing at the next click
is spread over the steps.

Positions count pixels: x = 3 is the middle of the fourth column (raster coordinates minus 0.5).
Axes: n frames, flows [n - 1, H, W, 2] (x, y) pixels, clicks [K, 3] (frame, x, y).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tapnet.annotation.flow_search import cheapest

RADIUS = 20  # pixels: the longest step of `path` along each axis
FAR = np.float32(1e10)  # cost of what is outside, and before the first click
EVEN = 0.25  # pixels: steps that miss the flow by less count alike when a path is refined
ROUNDS = 8  # in which a path is refined
MOVES = 0.5, 0.25, 0.12, 0.5, 0.25, 0.12, 0.06  # pixels: of single places, one after the other
AROUND = np.array([(0, 0), *((x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y)])


def path(flows: np.ndarray, clicks: np.ndarray, radius: int = RADIUS) -> np.ndarray:
    """[n, 2] int64 (x, y): the path of SPEC 11; clicks are rounded half to even.

    After the last click the flow carries the point on, at most to the border; before the first one
    it is at (0, 0).
    Raises ValueError for shapes that do not fit and for clicks outside the image or in no order.
    """
    frames, places = _checked(flows, clicks)
    found = np.zeros((len(flows) + 1, 2), np.int64)
    last = np.array(flows.shape[2:0:-1]) - 1
    found[frames[-1] :] = np.rint(carried(flows[frames[-1] :], places[-1], np.rint)).clip(0, last)
    places = np.rint(places).astype(np.int64)
    for i, (begin, end) in enumerate(pairwise(frames)):
        part = _cheapest_of_all(flows[begin:end], places[i], places[i + 1], radius)
        found[begin : end + 1] = part
    return found


def fast_path(flows: np.ndarray, clicks: np.ndarray) -> np.ndarray:
    """[n, 2] float64 (x, y): a path as good, through the clicks as they are, between the pixels.

    Beyond the last click as in `path`, but with the flow read between pixels. Raises as `path`.
    """
    frames, places = _checked(flows, clicks)
    found = np.zeros((len(flows) + 1, 2))
    found[frames[-1] :] = carried(flows[frames[-1] :], places[-1])
    for i, (begin, end) in enumerate(pairwise(frames)):
        part = flows[begin:end]
        whole = cheapest(part, places[i], places[i + 1])
        found[begin : end + 1] = _refined(part, whole, places[i], places[i + 1])
    return found


def cost(flows: np.ndarray, positions: np.ndarray) -> float:
    """The sum of |step - flow| along `positions` [n, 2], the flow read between pixels."""
    steps = np.diff(np.asarray(positions, float), axis=0)
    return float(np.abs(steps - _along(flows, positions)).sum())


def carried(flows: np.ndarray, start: np.ndarray, reading: np.ufunc | None = None) -> np.ndarray:
    """[n, 2]: `start` [2] carried by the flow, read at `reading` of the position in the image."""
    size = np.array(flows.shape[2:0:-1]) - 1
    found = np.empty((len(flows) + 1, 2))
    found[0] = start
    for t, flow in enumerate(flows):
        place = np.clip(found[t] if reading is None else reading(found[t]), 0, size)
        found[t + 1] = found[t] + read(flow, place)
    return found


def read(flow: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """[..., 2]: the flow [H, W, 2] at positions [..., 2] (x, y), between pixels linearly.

    Outside the image the nearest value holds.
    """
    last = np.array([flow.shape[1], flow.shape[0]]) - 1
    inside = np.clip(positions, 0, last)
    low = np.floor(inside).astype(np.int64)
    part = inside - low
    x, y = low[..., 0], low[..., 1]
    right, below = np.minimum(x + 1, last[0]), np.minimum(y + 1, last[1])
    across, down = part[..., :1], part[..., 1:]
    upper = flow[y, x] * (1 - across) + flow[y, right] * across
    lower = flow[below, x] * (1 - across) + flow[below, right] * across
    return upper * (1 - down) + lower * down


def _refined(
    flows: np.ndarray, whole: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """The path of whole pixels, moved onto the flow read between pixels, from `first` to `last`.

    Its ends are fixed, so its steps must add up; a step far off the flow takes more of what is
    missing than one that follows it (weights 1 / distance, as for least absolute values). At last
    every place is moved where it costs less.
    """
    found = np.concatenate([[first], whole[1:-1], [last]])
    best, least = found, cost(flows, found)
    for _ in range(ROUNDS):
        steps = _along(flows, found)
        missed = np.linalg.norm(np.diff(found, axis=0) - steps, axis=1, keepdims=True)
        slack = np.maximum(missed, EVEN)
        steps = steps + (last - first - steps.sum(0)) * slack / slack.sum()
        found = np.concatenate([[first], first + np.cumsum(steps, axis=0)])
        if (now := cost(flows, found)) < least:
            best, least = found, now
    for size in MOVES:
        for t in range(1, len(best) - 1):
            tried = best[t] + size * AROUND
            missed = np.abs(tried - best[t - 1] - read(flows[t - 1], best[t - 1])).sum(1)
            missed += np.abs(best[t + 1] - tried - read(flows[t], tried)).sum(1)
            best[t] = tried[missed.argmin()]
    return best


def _along(flows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """[n - 1, 2]: the flow that each position but the last meets."""
    steps = [read(flow, place) for flow, place in zip(flows, positions[:-1], strict=True)]
    return np.array(steps).reshape(-1, 2)


def _cheapest_of_all(
    flows: np.ndarray, first: np.ndarray, last: np.ndarray, radius: int
) -> np.ndarray:
    """[n, 2] int64: the dynamic programme of SPEC 11, in its float32 and its order."""
    paid = np.full(flows.shape[1:3], FAR, np.float32)
    paid[first[1], first[0]] = 0
    came = []  # for each frame but the first: from which pixel of the window
    for flow in flows:
        paid, index = _programme_step(paid, flow, radius)
        came.append(index)
    found = [last]
    for index in reversed(came):
        x, y = found[-1]
        up, left = divmod(int(index[y, x]), 2 * radius + 1)
        found.append(found[-1] + [left - radius, up - radius])
    return np.stack(found[::-1])


def _programme_step(
    paid: np.ndarray, flow: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """[H, W] costs a frame on, and [H, W] which pixel of the window, row by row, was left."""
    height, width = paid.shape
    before, right, down = (
        np.pad(part.astype(np.float32), radius, constant_values=FAR)
        for part in (paid, flow[..., 0], flow[..., 1])
    )
    least = np.full((height, width), np.inf, np.float32)
    index = np.zeros((height, width), np.int32)
    total, other, less = np.empty_like(least), np.empty_like(least), np.empty(least.shape, bool)
    side = 2 * radius + 1
    for k in range(side * side):
        up, left = divmod(k, side)
        seen = slice(up, up + height), slice(left, left + width)
        np.abs(np.add(right[seen], np.float32(left - radius), out=total), out=total)
        np.abs(np.add(down[seen], np.float32(up - radius), out=other), out=other)
        total += before[seen]
        total += other
        np.less(total, least, out=less)
        np.copyto(least, total, where=less)
        np.copyto(index, np.int32(k), where=less)
    return least, index


def _checked(flows: np.ndarray, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames [K] int64 and places [K, 2] float64 of the clicks."""
    if flows.ndim != 4 or flows.shape[3] != 2 or not flows.size:
        raise ValueError(f"flows: expected [n - 1, H, W, 2], got {list(flows.shape)}")
    clicks = np.asarray(clicks, np.float64)
    if clicks.ndim != 2 or clicks.shape[1] != 3 or not len(clicks):
        raise ValueError(
            f"clicks: expected one or more rows (frame, x, y), got {list(clicks.shape)}"
        )
    frames = clicks[:, 0]
    if not (frames == np.rint(frames)).all() or (np.diff(frames) <= 0).any():
        raise ValueError(f"clicks: expected whole frames in their order, got {frames.tolist()}")
    size = [len(flows) + 1, *flows.shape[2:0:-1]]
    bad = ~((np.rint(clicks) >= 0) & (np.rint(clicks) < size)).all(1)
    if bad.any():
        raise ValueError(
            f"clicks: expected frames 0..{size[0] - 1} and pixels in {size[1]}x{size[2]} "
            f"(width x height), got (frame, x, y) = {clicks[bad][0].tolist()}"
        )
    return frames.astype(np.int64), clicks[:, 1:]
