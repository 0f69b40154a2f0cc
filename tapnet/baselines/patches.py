"""How a followed point is recognised, lost, and found again: the patches around it.

Every point keeps two patches of brightness: from its query frame, and from the last frame where it
was seen. In a new frame it is seen where the way back of its motion returns to its start and the
patch there correlates with one it keeps (recent: looks change slowly; query: they come back). A
point that is not seen drifts on with its motion and is looked for, around where it was last seen
and where it drifted, farther with every frame; it is found where a patch fits well.
Axes: M points, P rows and columns of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np

from tapnet.baselines.online import SURE, Points, inside

PATCH = 21  # pixels: side of a patch, and of the window of Lucas-Kanade
MISSED = 1.0  # pixels: a motion whose way back misses its start by more is not believed
ALIKE = 0.5  # correlation below which a patch is another patch
FOUND = 0.85  # correlation above which a place that was searched for is the point's
FLAT = 1e-3  # length of a normalised patch below which it has no contrast to be found by
REACH = 8, 2, 32  # pixels: how far a lost point is looked for at first, more per frame, at most


@dataclass(frozen=True)
class Patches(Points):
    """Points with the patches they are recognised by."""

    query: np.ndarray  # [M, P, P] float32, normalised
    recent: np.ndarray  # [M, P, P] float32, normalised
    place: np.ndarray  # [M, 2] float64: where each point was last seen
    lost: np.ndarray  # [M] int64: frames since then


Rows = TypeVar("Rows", bound=Patches)


def begin(gray: np.ndarray, xy: np.ndarray) -> Patches:
    """Points at `xy` [M, 2] (raster) of `gray` [H, W]; those outside are occluded."""
    patches = normalised(patches_at(gray, xy))
    hidden = ~inside(xy, gray)
    logit = np.where(hidden, SURE, -SURE).astype(np.float32)
    return Patches(xy, logit, logit, patches, patches, xy, hidden.astype(np.int64))


def recognise(gray: np.ndarray, points: Rows, moved: np.ndarray, missed: np.ndarray) -> Rows:
    """The points in the frame `gray`, where their motion says `moved` [M, 2].

    `missed` [M] pixels is how far the way back of each motion misses its start.
    """
    alike = likeness(gray, moved, points)
    seen = (missed < MISSED) & (alike > ALIKE) & inside(moved, gray)
    xy, doubt = moved.copy(), missed / MISSED
    for i in np.flatnonzero(~seen):
        place, fit = _search(gray, points.take(np.array([i])), moved[i])
        if fit > FOUND:
            xy[i], alike[i], seen[i], doubt[i] = place, fit, True, (1 - fit) / (1 - FOUND)
    recent = points.recent.copy()
    recent[seen] = normalised(patches_at(gray, xy[seen]))
    occlusion, expected_dist = logits(gray, xy, alike, np.where(seen, doubt, np.inf))
    return replace(
        points,
        xy=xy,
        occlusion=occlusion,
        expected_dist=expected_dist,
        recent=recent,
        place=np.where(seen[:, None], xy, points.place),
        lost=np.where(seen, 0, points.lost + 1),
    )


def logits(
    gray: np.ndarray, xy: np.ndarray, alike: np.ndarray, doubt: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Occlusion from likeness and expected_dist from doubt (0..1 for a seen point, infinite else).

    The logits run straight through these facts, and a seen point is just visible at the worst of
    both: (1 - σ(-1))² is 0.53. Outside the frame is occluded.
    """
    within = inside(xy, gray)
    occlusion = np.where(within, 12 * (ALIKE - alike) - 1, SURE)
    expected_dist = np.where(within, np.minimum(4 * doubt - 5, 3), SURE)
    return occlusion.astype(np.float32), expected_dist.astype(np.float32)


def likeness(gray: np.ndarray, xy: np.ndarray, points: Patches) -> np.ndarray:
    """[M] in -1..1: correlation of the patches at `xy` with the more alike of those kept."""
    now = normalised(patches_at(gray, xy))
    return np.maximum((now * points.query).sum((1, 2)), (now * points.recent).sum((1, 2)))


def patches_at(gray: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[M, P, P] float32: the patches of `gray` centred at `xy` [M, 2] (raster)."""
    steps = np.arange(PATCH) - PATCH // 2
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1)  # [P, P, 2] (x, y)
    return sample(gray.astype(np.float32), xy[:, None, None] + offsets)


def normalised(patches: np.ndarray) -> np.ndarray:
    """Patches [..., P, P] of mean 0 and length 1, so that a product sums to a correlation."""
    centred = patches - patches.mean((-2, -1), keepdims=True)
    length = np.sqrt((centred**2).sum((-2, -1), keepdims=True))
    return centred / np.maximum(length, patches.shape[-1])  # no contrast below one grey level


def sample(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[..., C]: values of `image` [H, W, C] (or [H, W]) at `xy` [..., 2] (raster), bilinear.

    Its edge continues outside. Samples go to OpenCV as images below 32767 pixels high and wide.
    """
    columns, rows = 512, 16384
    flat = (xy.reshape(-1, 2) - 0.5).astype(np.float32)  # OpenCV counts from pixel centres
    parts = []
    for i in range(0, len(flat), rows * columns):
        part = flat[i : i + rows * columns]
        grid = np.zeros((-(-len(part) // columns), columns, 2), np.float32)
        grid.reshape(-1, 2)[: len(part)] = part
        x, y = np.ascontiguousarray(grid[..., 0]), np.ascontiguousarray(grid[..., 1])
        found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        parts.append(found.reshape(-1, *image.shape[2:])[: len(part)])
    values = np.concatenate(parts) if parts else np.zeros((0, *image.shape[2:]), image.dtype)
    return values.reshape(*xy.shape[:-1], *image.shape[2:])


def _search(gray: np.ndarray, point: Patches, moved: np.ndarray) -> tuple[np.ndarray, float]:
    """Where the patches of one point fit best, around its last place and `moved`, and how well."""
    first, more, most = REACH
    reach = min(first + more * int(point.lost[0]), most)
    best, place = -1.0, moved
    for around in (point.place[0], moved):
        if not inside(around, gray):
            continue
        for patch in (point.query[0], point.recent[0]):
            if np.linalg.norm(patch) < FLAT:  # OpenCV would find it everywhere
                continue
            where, fit = _best_fit(gray, patch, np.floor(around), reach)
            if fit > best:
                best, place = fit, where
    return place, best


def _best_fit(
    gray: np.ndarray, patch: np.ndarray, pixel: np.ndarray, reach: int
) -> tuple[np.ndarray, float]:
    """The place (raster) within `reach` of `pixel` (column, row) where `patch` correlates best."""
    side = PATCH + 2 * reach
    area = cv2.getRectSubPix(gray, (side, side), (float(pixel[0]), float(pixel[1])))
    fits = cv2.matchTemplate(area.astype(np.float32), patch, cv2.TM_CCOEFF_NORMED)
    _, fit, _, (x, y) = cv2.minMaxLoc(fits)
    across = _peak(fits[y, max(x - 1, 0) : x + 2])
    down = _peak(fits[max(y - 1, 0) : y + 2, x])
    return pixel + 0.5 + np.array([x + across - reach, y + down - reach]), float(fit)


def _peak(fits: np.ndarray) -> float:
    """Where, in -0.5..0.5 from the middle of three fits, a parabola through them is highest."""
    if len(fits) < 3:
        return 0.0
    left, middle, right = (float(fit) for fit in fits)
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
