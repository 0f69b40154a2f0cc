"""How positions change with their image, and how a grid is read at a position.

Raster coordinates: (0, 0) is the outer corner of the first pixel and (width, height) the outer
corner of the last, so a pixel's value sits at +0.5 and resizing is a plain product. Time counts
frames from 0, without an offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Points = TypeVar("Points", np.ndarray, "Tensor")


def rescale(points: Points, old: tuple[int, int], new: tuple[int, int]) -> Points:
    """Points of an image of size `old` (height, width), as points of that image resized to `new`.

    Takes [..., 2] (x, y) and [..., 3] (t, y, x) alike, numpy or torch; t is left as it is.
    """
    ratio_y, ratio_x = (b / a for a, b in zip(old, new, strict=True))
    if points.shape[-1] not in (2, 3):
        raise ValueError(f"points: expected [... 2] or [... 3], got {list(points.shape)}")
    factors = [ratio_x, ratio_y] if points.shape[-1] == 2 else [1.0, ratio_y, ratio_x]
    if isinstance(points, np.ndarray):
        return points * np.asarray(factors, points.dtype)
    return points * points.new_tensor(factors)


def xy_to_yx(points: Points) -> Points:
    """(x, y) as (y, x), or the reverse: the one place where the two orders meet."""
    return points[..., [1, 0]]
