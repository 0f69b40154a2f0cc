"""Cycle consistency: every point is found by its features, and believed if they lead back to it.

The VFS-like baseline of TAP-Vid (C. Doersch et al., NeurIPS 2022), after J. Xu and X. Wang,
"Rethinking self-supervised correspondence learning", ICCV 2021: no motion, no memory, nothing
learned but the features. In every frame the place most alike the query is taken, and from there the
place most alike it in the query's frame; where that is far from the query, the point is occluded.

Queries are (t, y, x) here as everywhere; the reference implementation mixes their order up and
cannot run (SPEC 12.13). Axes: features [T, h, w, C]; M points asked for in one frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tapnet.baselines.offline import ClipTracker
from tapnet.baselines.online import SURE
from tapnet.geometry import rescale, sample_grid

Features = Callable[[Tensor], Tensor]
"""From frames [T, H, W, 3], uint8 or float in [-1, 1], to features [T, h, w, C] of any length. A
module becomes a part of the tracker: its weights and device are the tracker's."""

MISSED = 1 / 32  # of the frame's longer side: a cycle that ends farther from its start is broken


class Cycle(ClipTracker, nn.Module):
    """Finds each point by its features alone; occluded where they do not lead back to it."""

    def __init__(self, features: Features) -> None:
        nn.Module.__init__(self)
        self.features = features
        self.resolution = getattr(features, "resolution", None)

    @torch.no_grad()
    def track(self, video: Tensor, queries: np.ndarray) -> np.ndarray:
        """As every `ClipTracker`. Raises ValueError for features of another shape."""
        said = np.zeros((len(queries), len(video), 4), np.float32)
        if not len(queries):
            return said
        grids = _unit(_checked(self.features(video), len(video)))
        times, size = np.rint(queries[:, 0]).astype(np.int64), (video.shape[1], video.shape[2])
        for t in np.unique(times):
            rows = np.flatnonzero(times == t)
            said[rows] = _follow(grids, int(t), queries[rows, 1:], size)
        return said


def _follow(grids: Tensor, t: int, yx: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[M, T, 4]: x, y and the two logits of points at yx [M, 2], pixels of frame t."""
    xy = np.ascontiguousarray(yx[:, ::-1])
    cells = (grids.shape[1], grids.shape[2])
    start = rescale(torch.from_numpy(xy).to(grids), size, cells)
    features = _read(grids[t], start)
    said = np.full((len(xy), len(grids), 4), -SURE, np.float32)
    for frame, grid in enumerate(grids):
        place = _most_alike(grid, features)
        back = _most_alike(grids[t], _read(grid, place))
        missed = rescale(back - start, cells, size).norm(dim=-1) / (MISSED * max(size))
        said[:, frame, :2] = rescale(place, cells, size).cpu()
        said[:, frame, 2] = (4 * (missed - 1)).clamp(max=SURE).cpu()
    outside = ((yx < 0) | (yx >= size)).any(-1)
    said[outside, :, 2] = SURE
    said[:, t, :2] = xy
    said[~outside, t, 2] = -SURE
    return said


def _read(grid: Tensor, xy: Tensor) -> Tensor:
    """[M, C] the features [h, w, C] at xy [M, 2] in cells, of length 1."""
    tyx = torch.cat([torch.zeros_like(xy[:, :1]), xy.flip(-1)], dim=-1)
    return _unit(sample_grid(grid[None, None], tyx[None])[0])


def _most_alike(grid: Tensor, features: Tensor) -> Tensor:
    """[M, 2] (x, y) in cells: where the grid [h, w, C] correlates best with features [M, C].

    Between cells it is where parabolas through the best and its neighbours are highest.
    """
    height, width, _ = grid.shape
    likeness = (features @ grid.flatten(0, 1).T).view(-1, height, width)
    best = likeness.flatten(1).argmax(1)
    y, x = best // width, best % width
    rows = torch.arange(len(features), device=grid.device)
    across = _peak(likeness[rows, y], x)
    down = _peak(likeness[rows, :, x], y)
    return torch.stack([x + across, y + down], dim=-1) + 0.5


def _peak(values: Tensor, at: Tensor) -> Tensor:
    """[M] in -0.5..0.5: how far from `at` [M], where values [M, K] are highest, their peak is."""
    before, here, after = (
        values.gather(1, (at + step).clamp(0, values.shape[1] - 1)[:, None])[:, 0]
        for step in (-1, 0, 1)
    )
    bend = before + after - 2 * here
    inner = (at > 0) & (at < values.shape[1] - 1) & (bend < 0)
    return torch.where(inner, 0.5 * (before - after) / torch.where(inner, bend, -1), 0)


def _unit(x: Tensor) -> Tensor:
    return nn.functional.normalize(x.float(), dim=-1, eps=1e-6)


def _checked(grids: Tensor, frames: int) -> Tensor:
    if grids.ndim != 4 or len(grids) != frames or not grids.isfinite().all():
        raise ValueError(
            f"features: expected finite [T h w C] with T={frames}, got {list(grids.shape)} with "
            f"{int((~grids.isfinite()).sum())} not finite; mend the function"
        )
    return grids
