"""Patches of a grid, and patch against patch: how taplite compares the surroundings of two points.

Grids are [F, h, w, C]; a place (x, y) is in cells, whose centres are at +0.5; `frame` [M] says
which frame of the grid each of M places is in.
"""

from __future__ import annotations

import torch
from torch import Tensor

RADIUS = 3  # neighbourhoods of 7 x 7 cells
PATCH = 9  # places of a point's patch, 3 x 3


def unit(x: Tensor) -> Tensor:
    """x [..., C] with vectors of length 1."""
    return x * x.square().sum(-1, keepdim=True).clamp_min(1e-12).rsqrt()


def cells_around(
    grid: Tensor, frame: Tensor, place: Tensor, low: int, high: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The cells from `low` to `high` around the one left above `place` [M, 2] (x, y) in cells:
    features [M, k * k, C] (those beyond the edge are the edge's), which are inside [M, k * k], and
    the part [M, 2] of a cell that the place lies beyond."""
    height, width, channels = grid.shape[1:]
    limit = place.new_tensor([width, height])
    place = torch.minimum(place.clamp_min(-8), limit + 8)  # far away is as good
    index = place - 0.5
    corner = index.floor()
    span = torch.arange(low, high + 1, device=grid.device)
    x = corner[:, :1].long() + span
    y = corner[:, 1:].long() + span
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    row = frame[:, None] * height + y.clamp(0, height - 1)
    flat = row[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
    found = grid.reshape(-1, channels).index_select(0, flat.flatten())
    cells = (high - low + 1) ** 2
    return found.view(len(place), cells, channels), inside.flatten(1), index - corner


def _between(x: Tensor, part: Tensor, size: int) -> Tensor:
    """x [M, size * size, P] interpolated between neighbours: [M, (size - 1)², P]."""
    x = x.unflatten(1, (size, size))
    x = torch.lerp(x[:, :-1], x[:, 1:], part[:, 1, None, None, None])
    x = torch.lerp(x[:, :, :-1], x[:, :, 1:], part[:, 0, None, None, None])
    return x.flatten(1, 2)


def read_patch(grid: Tensor, frame: Tensor, place: Tensor, spread: bool = True) -> Tensor:
    """Unit features [M, 9, C] at the 3 x 3 places around `place`, or [M, 1, C] at it alone."""
    reach = 1 if spread else 0
    cells, _, part = cells_around(grid, frame, place, -reach, reach + 1)
    return unit(_between(cells, part, 2 * reach + 2))


def against(grid: Tensor, frame: Tensor, place: Tensor, patch: Tensor) -> Tensor:
    """[M, 49 * P]: features at the 7 x 7 places around `place` times those of a patch [M, P, C]."""
    cells, inside, part = cells_around(grid, frame, place, -RADIUS, RADIUS + 1)
    scores = torch.bmm(cells, patch.transpose(1, 2)).to(part.dtype) * inside[:, :, None]
    return _between(scores, part, 2 * RADIUS + 2).flatten(1)
