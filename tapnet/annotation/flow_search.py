"""The path of whole pixels between two clicks that disagrees least with the flow, found fast.

Seen from the pixel q that is left, a step costs the L1 distance from q + flow(q), and the least of
such distances over all q is a distance transform: what q costs so far is put on the four pixels
around q + flow(q), and two running minima along each axis carry it to all others, exactly. So no
pairs of pixels are tried, and steps have no largest length.

`near` searches a corridor around the path of a coarser image, which has pixels of its own.
`cheapest` takes its cost for a limit that the best path keeps, too. On the best path, some step
has no more than half the limit before it and less than half after it: pixels that cost more than
half, counted from the nearer click, are left out, and nothing cheaper is missed.

Positions count pixels: x = 3 is the middle of the fourth column.
Axes: n frames, flows [n - 1, H, W, 2] (x, y) pixels, M pixels of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COARSER = 4  # pixels for one of the coarser image
BESIDE = 16  # pixels: width of a corridor to each side
MOVES = 8  # of a corridor, after the path found in it
SLACK = 1e-6  # pixels: rounding of costs


@dataclass(frozen=True)
class Level:
    """Pixels of a frame, and what they cost from the click on that side."""

    pixels: np.ndarray  # [M, 2] int64 (x, y)
    costs: np.ndarray  # [M] float64


@dataclass(frozen=True)
class Box:
    """Pixels from `corner` to `opposite` (x, y), both within."""

    corner: np.ndarray
    opposite: np.ndarray

    @classmethod
    def around(cls, positions: np.ndarray, reach: int, border: np.ndarray) -> Box:
        """The pixels within `reach` of positions [M, 2], up to the `border` of the image."""
        corner = np.floor(positions.min(0)).astype(np.int64) - reach
        opposite = np.ceil(positions.max(0)).astype(np.int64) + reach
        return cls(corner.clip(0, border), opposite.clip(0, border))

    @property
    def shape(self) -> tuple[int, int]:
        width, height = self.opposite - self.corner + 1
        return int(height), int(width)

    def corners(self, positions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The four pixels around each of positions [M, 2]: index [M] in the box, distance [M].

        Of positions outside, the pixels of the box that ways into it go through.
        """
        inside = positions.clip(self.corner, self.opposite)
        outside = np.abs(positions - inside).sum(1)
        inside -= self.corner
        low = np.floor(inside).astype(np.int64)
        height, width = self.shape
        high = np.minimum(low + 1, [width - 1, height - 1])
        found = []
        for x in (low[:, 0], high[:, 0]):
            for y in (low[:, 1], high[:, 1]):
                away = np.abs(inside[:, 0] - x) + np.abs(inside[:, 1] - y)
                found.append((y * width + x, outside + away))
        return found


def cheapest(flows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[n, 2] int64: a path of the least cost from `first` to `last` [2], rounded half to even."""
    known = near(flows, first, last)
    half = _cost(flows, known) / 2 + SLACK
    before = _before(flows, known[0], half)
    after = [Level(known[-1][None], np.zeros(1))]  # of frames n - 1, n - 2, ...
    least, joint, begin = np.inf, 0, known[0]
    for t in range(len(flows) - 1, -1, -1):
        box = Box.around(after[-1].pixels, 0, _border(flows))
        grid = np.full(box.shape, np.inf)
        x, y = (after[-1].pixels - box.corner).T
        grid[y, x] = after[-1].costs
        rest = _spread(grid).ravel()
        if len(before[t].pixels):
            total = before[t].costs + _read(rest, box, _led(flows[t], before[t].pixels))
            if total.min() < least:
                least, joint = total.min(), t
                begin = before[t].pixels[total.argmin()]
        after.append(_leading_to(rest, box, flows[t], half))
        if not len(after[-1].pixels):
            break
    found = [begin]
    for t in range(joint - 1, -1, -1):
        level = before[t]
        paid = level.costs + np.abs(_led(flows[t], level.pixels) - found[0]).sum(1)
        found.insert(0, level.pixels[paid.argmin()])
    for t in range(joint, len(flows)):
        level = after[len(flows) - 1 - t]
        paid = level.costs + np.abs(level.pixels - _led(flows[t], found[-1][None])).sum(1)
        found.append(level.pixels[paid.argmin()])
    return np.stack(found)


def near(flows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[n, 2] int64: the cheapest path around that of a coarser image; mostly the cheapest."""
    ends = np.rint([first, last]).astype(np.int64)
    size = np.array(flows.shape[2:0:-1])
    guide = ends[0] + np.linspace(0, 1, len(flows) + 1)[:, None] * (ends[1] - ends[0])
    guide = np.rint(guide).astype(np.int64)
    if size.min() >= 2 * BESIDE:
        start = COARSER // 2  # the pixel that stands for the first ones
        coarse = flows[:, start::COARSER, start::COARSER] / COARSER
        between = (ends - start) / COARSER
        there = between.clip(0, np.array(coarse.shape[2:0:-1]) - 1)
        guide = near(coarse, *there) * COARSER + start
    for _ in range(MOVES):
        found = _in_corridor(flows, ends, guide)
        if (np.abs(found - guide)[1:-1] < BESIDE).all():
            break
        guide = found
    return found


def _in_corridor(flows: np.ndarray, ends: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """[n, 2]: the cheapest path between `ends` [2, 2] that keeps within `BESIDE` of `guide`."""
    border = _border(flows)
    levels = [Level(ends[:1], np.zeros(1))]
    for flow, centre in zip(flows[:-1], guide[1:-1], strict=True):
        box = Box.around(centre[None], BESIDE, border)
        levels.append(_led_to(levels[-1], flow, box, np.inf))
    found = [ends[1]]
    for flow, level in zip(flows[::-1], levels[::-1], strict=True):
        paid = level.costs + np.abs(_led(flow, level.pixels) - found[-1]).sum(1)
        found.append(level.pixels[paid.argmin()])
    return np.stack(found[::-1])


def _before(flows: np.ndarray, first: np.ndarray, limit: float) -> list[Level]:
    """Of every frame but the last, the pixels that cost no more than `limit` from `first`."""
    levels = [Level(first[None], np.zeros(1))]
    for flow in flows[:-1]:
        level = levels[-1]
        led = _led(flow, level.pixels)
        inside = led.clip(0, _border(flows))
        paid = level.costs + np.abs(led - inside).sum(1)
        kept = paid <= limit
        if kept.any():
            box = Box.around(inside[kept], int(limit - paid.min()) + 1, _border(flows))
            levels.append(_led_to(level, flow, box, limit))
        else:
            levels.append(Level(level.pixels[:0], level.costs[:0]))
    return levels


def _led_to(level: Level, flow: np.ndarray, box: Box, limit: float) -> Level:
    """The pixels of a box in the next frame that cost no more than `limit`."""
    grid = np.full(box.shape, np.inf)
    for index, away in box.corners(_led(flow, level.pixels)):
        _put_least(grid.ravel(), index, level.costs + away)
    grid = _spread(grid)
    rows, columns = np.nonzero(grid <= limit)
    return Level(np.stack([columns, rows], 1) + box.corner, grid[rows, columns])


def _leading_to(grid: np.ndarray, box: Box, flow: np.ndarray, limit: float) -> Level:
    """The pixels from where the rest of the way, in `grid` over a box, is no more than `limit`."""
    reach = limit - grid.min()
    across = flow[..., 0] + np.arange(flow.shape[1], dtype=np.float32)
    down = flow[..., 1] + np.arange(flow.shape[0], dtype=np.float32)[:, None]
    (left, above), (right, below) = box.corner - reach, box.opposite + reach
    leads = (across >= left) & (across <= right) & (down >= above) & (down <= below)
    rows, columns = np.nonzero(leads)
    pixels = np.stack([columns, rows], 1)
    costs = _read(grid, box, _led(flow, pixels))
    kept = costs <= limit
    return Level(pixels[kept], costs[kept])


def _read(grid: np.ndarray, box: Box, positions: np.ndarray) -> np.ndarray:
    """[M]: the least of `grid` [box] + distance, from positions [M, 2]; `grid` is spread."""
    return np.min([grid[index] + away for index, away in box.corners(positions)], axis=0)


def _led(flow: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """[M, 2] float64: where the flow [H, W, 2] leads pixels [M, 2]."""
    return pixels + flow[pixels[:, 1], pixels[:, 0]].astype(np.float64)


def _put_least(grid: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """grid[index] = the least of it and of all its values; an index may come many times."""
    while len(index):
        less = values < grid[index]
        index, values = index[less], values[less]
        grid[index] = values


def _spread(grid: np.ndarray) -> np.ndarray:
    """[h, w]: the least of grid + L1 distance."""
    for axis, size in enumerate(grid.shape):
        place = np.arange(size, dtype=grid.dtype)
        place = place[:, None] if axis == 0 else place
        onward = np.minimum.accumulate(grid - place, axis) + place
        back = np.flip(np.minimum.accumulate(np.flip(grid + place, axis), axis), axis) - place
        grid = np.minimum(onward, back)
    return grid


def _cost(flows: np.ndarray, pixels: np.ndarray) -> float:
    """What a path of pixels [n, 2] costs."""
    x, y = pixels[:-1].T
    led = pixels[:-1] + flows[np.arange(len(flows)), y, x].astype(np.float64)
    return float(np.abs(pixels[1:] - led).sum())


def _border(flows: np.ndarray) -> np.ndarray:
    """[2]: the last pixel (x, y)."""
    return np.array(flows.shape[2:0:-1]) - 1
