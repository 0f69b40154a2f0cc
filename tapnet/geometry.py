"""How positions change with their image, and how a grid is read at a position.

Raster coordinates: (0, 0) is the outer corner of the first pixel and (width, height) the outer
corner of the last, so a pixel's value sits at +0.5 and resizing is a plain product. Time counts
frames from 0, without an offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Points = TypeVar("Points", np.ndarray, "Tensor")
Size = tuple[int, int]  # (height, width)
Resolution = Size | int | None  # see `fitted`
STEP = 16  # sides that `fitted` chooses are multiples of it


def checked_resolution(resolution: Any) -> Resolution:
    """One whole number or (height, width), as numbers of Python; ValueError for anything else."""
    if resolution is None:
        return None
    sides = np.asarray(resolution)
    if sides.dtype.kind not in "iu" or sides.shape not in {(), (2,)} or sides.min() < 1:
        raise ValueError(
            f"resolution: expected one or two positive numbers of pixels, whole ones, got "
            f"{resolution}"
        )
    return int(sides) if sides.ndim == 0 else (int(sides[0]), int(sides[1]))


def fitted(size: Size, resolution: Resolution) -> Size:
    """(height, width) that frames of `size` are resized to for a model of that resolution.

    None leaves them as they are, (height, width) is taken as it is; a number n keeps the shape of
    the frames, in about n * n pixels: fitted((720, 1280), 256) is (192, 336).
    """
    if resolution is None:
        return size
    if isinstance(resolution, tuple):
        return resolution
    scale = resolution / (size[0] * size[1]) ** 0.5
    height, width = (max(STEP, round(side * scale / STEP) * STEP) for side in size)
    return height, width


def rescale(points: Points, old: tuple[int, int], new: tuple[int, int]) -> Points:
    """Points of an image of size `old` (height, width), as points of that image resized to `new`.

    Takes [..., 2] (x, y) and [..., 3] (t, y, x) alike, numpy or torch; t is left as it is.
    """
    if points.shape[-1] not in (2, 3):
        raise ValueError(f"points: expected [... 2] or [... 3], got {list(points.shape)}")
    if tuple(old) == tuple(new):
        return points  # exactly: x * 48 / 48 need not be x
    # product, then quotient: a ratio would be rounded before it is used
    times, over = [*new][::-1], [*old][::-1]
    if points.shape[-1] == 3:
        times, over = [1, *new], [1, *old]
    if isinstance(points, np.ndarray):
        return points * np.asarray(times, points.dtype) / np.asarray(over, points.dtype)
    return points * points.new_tensor(times) / points.new_tensor(over)


def xy_to_yx(points: Points) -> Points:
    """(x, y) as (y, x), or the reverse: the one place where the two orders meet."""
    return points[..., [1, 0]]


def sample_grid(grid: Tensor, points: Tensor) -> Tensor:
    """[B, N, C]: the grid [B, T, h, w, C] read at points [B, N, 3] (t, y, x) in its own cells.

    Linear in time and space; beyond the border the nearest value holds. SPEC 2.4.
    """
    import torch  # here, so that numpy users of this module do not wait for it

    sizes = torch.tensor(grid.shape[1:4], device=grid.device, dtype=points.dtype)
    offset = points.new_tensor([0.0, 0.5, 0.5])  # time has no half offset
    index = torch.minimum((points - offset).clamp_min(0.0), sizes - 1)
    low = index.floor()
    part = (index - low).to(grid.dtype)
    first = low.long()
    last = torch.minimum(first + 1, sizes.long() - 1)
    batch = torch.arange(grid.shape[0], device=grid.device)[:, None]
    total = grid.new_zeros(())
    for corner in range(8):
        high = [bool(corner >> axis & 1) for axis in range(3)]
        t, y, x = ((last if h else first)[..., axis] for axis, h in enumerate(high))
        weights = [part[..., a] if h else 1 - part[..., a] for a, h in enumerate(high)]
        weight = weights[0] * weights[1] * weights[2]
        total = total + weight[..., None] * grid[batch, t, y, x]
    return total
