"""Pyramidal Lucas-Kanade with a forward-backward check and patches to find lost points again.

B. D. Lucas and T. Kanade, "An iterative image registration technique with an application to stereo
vision", IJCAI 1981; J.-Y. Bouguet's pyramidal form as in OpenCV; Z. Kalal et al.,
"Forward-backward error", ICPR 2010.
- A point moves by the flow of a small window, coarse to fine, and back; it is lost where the way
  back misses its start, where the patch around it no longer looks like it, or outside the frame.
- A point keeps two patches: from its query frame, and from the last frame where it was seen.
- A lost point stays where it was last seen and is looked for around that place, farther with
  every frame, by the normalised correlation of its patches.
Axes: M points, P rows and columns of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tapnet.baselines.online import SURE, OnlineTracker, Points, check_same_size, inside

WINDOW = 21  # pixels: side of the window of Lucas-Kanade, and of a patch
LEVELS = 5  # of the pyramid
MISSED = 1.5  # pixels: a way back that misses its start by more is a lost point
ALIKE = 0.6  # correlation below which a patch is another patch
FOUND = 0.8  # correlation above which a lost point is found again
REACH = 8, 2, 32  # pixels: where a lost point is looked for at first, more per frame, at most


@dataclass(frozen=True)
class Frames:
    """The last two frames, [H, W] uint8."""

    last: np.ndarray
    before: np.ndarray | None


@dataclass(frozen=True)
class Patches(Points):
    """Points with the patches they are recognised by."""

    query: np.ndarray  # [M, P, P] float32, normalised
    recent: np.ndarray  # [M, P, P] float32, normalised
    lost: np.ndarray  # [M] int64: frames since the point was last seen


class KLT(OnlineTracker[Frames, Patches]):
    """Follows each point's window from frame to frame."""

    def remember(self, gray: np.ndarray, memory: Frames | None) -> Frames:
        if memory is not None:
            check_same_size(gray, memory.last)
        return Frames(gray, memory.last if memory is not None else None)

    def begin(self, memory: Frames, xy: np.ndarray) -> Patches:
        patches = normalised(patches_at(memory.last, xy))
        hidden = ~inside(xy, memory.last)
        occlusion = np.where(hidden, SURE, -SURE).astype(np.float32)
        return Patches(xy, occlusion, occlusion, patches, patches, hidden.astype(np.int64))

    def follow(self, memory: Frames, points: Patches) -> Patches:
        assert memory.before is not None  # points begin on a frame
        moved, missed = lucas_kanade(memory.before, memory.last, points.xy)
        alike = _alike(memory.last, moved, points)
        seen = (missed < MISSED) & (alike > ALIKE) & inside(moved, memory.last)
        seen &= points.lost == 0
        xy = np.where((points.lost == 0)[:, None], moved, points.xy)
        for i in np.flatnonzero(~seen):
            xy[i], alike[i] = _search(memory.last, points, int(i))
            seen[i] = alike[i] > FOUND
            if not seen[i]:
                xy[i] = moved[i] if points.lost[i] == 0 else points.xy[i]
        missed[points.lost > 0] = 0
        recent = points.recent.copy()
        recent[seen] = normalised(patches_at(memory.last, xy[seen]))
        lost = np.where(seen, 0, points.lost + 1)
        doubt = np.where(seen, np.maximum(missed / MISSED * 2, (1 - alike) / (1 - ALIKE) * 2), 8)
        occlusion = np.where(inside(xy, memory.last), doubt - 4, SURE).astype(np.float32)
        return Patches(xy, occlusion, occlusion, points.query, recent, lost)


def lucas_kanade(
    before: np.ndarray, after: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where points `xy` [M, 2] of `before` are in `after`, and how far the way back misses, [M]."""
    there, found = _flow_of_windows(before, after, xy)
    back, found_back = _flow_of_windows(after, before, there)
    missed = np.linalg.norm(back - xy, axis=-1)
    return there, np.where(found & found_back, missed, np.inf)


def _flow_of_windows(
    before: np.ndarray, after: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    centres = (xy - 0.5).astype(np.float32)[:, None]  # OpenCV counts from pixel centres
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, centres, centres.copy(), winSize=(WINDOW, WINDOW), maxLevel=LEVELS - 1
    )
    return there[:, 0].astype(np.float64) + 0.5, found[:, 0] > 0


def patches_at(gray: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[M, P, P] float32: the patches of `gray` centred at `xy` (raster), its edge continued."""
    steps = np.arange(WINDOW, dtype=np.float32) - WINDOW // 2
    image = gray.astype(np.float32)
    out = np.empty((len(xy), WINDOW, WINDOW), np.float32)
    for i in range(0, len(xy), 1024):  # OpenCV's images are below 32768 pixels high
        centres = (xy[i : i + 1024] - 0.5).astype(np.float32)
        x = np.broadcast_to(centres[:, None, None, 0] + steps, (len(centres), WINDOW, WINDOW))
        y = np.broadcast_to(centres[:, None, None, 1] + steps[:, None], x.shape)
        flat_x, flat_y = (np.ascontiguousarray(c).reshape(-1, WINDOW) for c in (x, y))
        found = cv2.remap(image, flat_x, flat_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out[i : i + 1024] = found.reshape(-1, WINDOW, WINDOW)
    return out


def normalised(patches: np.ndarray) -> np.ndarray:
    """Patches [M, P, P] of mean 0 and length 1, so that a product sums to a correlation."""
    centred = patches - patches.mean((1, 2), keepdims=True)
    length = np.sqrt((centred**2).sum((1, 2), keepdims=True))
    return centred / np.maximum(length, WINDOW)  # less than a grey level of contrast is none


def _alike(gray: np.ndarray, xy: np.ndarray, points: Patches) -> np.ndarray:
    now = normalised(patches_at(gray, xy))
    scores = [(now * kept).sum((1, 2)) for kept in (points.query, points.recent)]
    return np.maximum(*scores)


def _search(gray: np.ndarray, points: Patches, i: int) -> tuple[np.ndarray, float]:
    """Where point i's patches fit best around its last place, and their correlation there."""
    first, more, most = REACH
    reach = min(first + more * int(points.lost[i]), most)
    side = WINDOW + 2 * reach
    if not inside(points.xy[i], gray):
        return points.xy[i], -1.0
    corner = np.floor(points.xy[i])
    centre = corner + 0.5
    area = cv2.getRectSubPix(gray, (side, side), tuple(float(c) for c in corner))
    best, place = -1.0, points.xy[i]
    for kept in (points.query[i], points.recent[i]):
        if not kept.any():
            continue
        fit = cv2.matchTemplate(area.astype(np.float32), kept, cv2.TM_CCOEFF_NORMED)
        _, score, _, (column, row) = cv2.minMaxLoc(fit)
        if score > best:
            best, place = score, centre + np.array([column - reach, row - reach])
    return place, best
