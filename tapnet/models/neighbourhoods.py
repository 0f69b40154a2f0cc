"""Patches of a grid, and patch against patch: how taplite compares the surroundings of two points.

Grids are [F, h, w, C]; a place (x, y) is in cells, whose centres are at +0.5; `frame` [M] says
which frame of the grid each of M places is in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 3  # neighbourhoods of 7 x 7 cells
PATCH = 9  # places of a point's patch, 3 x 3


def unit(x: Tensor) -> Tensor:
    """x [..., C] with vectors of length 1."""
    return x * x.square().sum(-1, keepdim=True).clamp_min(1e-12).rsqrt()


def ringed(grid: Tensor) -> Tensor:
    """The grid with one ring more of cells, all zero: [F, h + 2, w + 2, C]."""
    return F.pad(grid, (0, 0, 1, 1, 1, 1))


def cells_around(
    grid: Tensor, frame: Tensor, place: Tensor, low: int, high: int, ring: int = 0
) -> tuple[Tensor, Tensor]:
    """The cells from `low` to `high` around the one left above `place` [M, 2] (x, y) in cells, of a
    grid with `ring` cells more than it has places on each side: features [M, k * k, C] (those
    beyond the edge are the edge's), and the part [M, 2] of a cell that the place lies beyond."""
    frames, height, width, channels = grid.shape
    index = place.clamp(-8, max(height, width) + 8) - 0.5  # far away is as good
    corner = index.floor()
    span = torch.arange(low + ring, high + ring + 1, device=grid.device)
    x, y = (corner.long()[:, :, None] + span).unbind(1)
    y = width * y.clamp(0, height - 1)
    if frames > 1:
        y = y + height * width * frame[:, None]
    numbers = y[:, :, None] + x.clamp(0, width - 1)[:, None, :]
    found = grid.reshape(-1, channels).index_select(0, numbers.flatten())
    return found.view(place.shape[0], span.shape[0] ** 2, channels), index - corner


def _between(x: Tensor, part: Tensor, size: int) -> Tensor:
    """x [M, size * size, P] interpolated between neighbours: [M, (size - 1)², P]."""
    x = x.unflatten(1, (size, size))
    right, down = part[:, :, None, None, None].unbind(1)
    x = torch.lerp(x.narrow(1, 0, size - 1), x.narrow(1, 1, size - 1), down)
    x = torch.lerp(x.narrow(2, 0, size - 1), x.narrow(2, 1, size - 1), right)
    return x.flatten(1, 2)


def read_patch(grid: Tensor, frame: Tensor, place: Tensor, spread: bool = True) -> Tensor:
    """Unit features [M, 9, C] at the 3 x 3 places around `place`, or [M, 1, C] at it alone."""
    reach = 1 if spread else 0
    cells, part = cells_around(grid, frame, place, -reach, reach + 1)
    return unit(_between(cells, part, 2 * reach + 2))


def against(grid: Tensor, frame: Tensor, place: Tensor, patch: Tensor) -> Tensor:
    """[M, 49, P]: features at the 7 x 7 places around `place` times those of a patch [M, P, C].

    The grid is a `ringed` one, so that beyond its edge products are zero.
    """
    cells, part = cells_around(grid, frame, place, -RADIUS, RADIUS + 1, ring=1)
    products = torch.bmm(cells, patch.transpose(1, 2)).to(part.dtype)
    return _between(products, part, 2 * RADIUS + 2)
