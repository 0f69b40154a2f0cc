"""Exact point tracks: which surface point a pixel shows, where it goes, and what hides it.

A query pixel is lifted to (face, weights of its corners), or to a fixed point of the room, and
followed through the geometry of every frame. A point is occluded when it is outside the frame,
behind the camera, outside the room, or when some triangle lies between it and the camera: that
is decided for the point's own position, not for the pixels around it.
"""

from __future__ import annotations

import numpy as np

from tapnet.scenes.camera import NEAR, rays
from tapnet.scenes.compiled import exact_kernel
from tapnet.scenes.render_numba import cut

STRIDE = 4  # of the lattice of candidate pixels, in t, y and x (SPEC of Kubric's tracks)
SEGMENTS = 25  # at most so many objects, the background among them, share the queries
SHARE = 0.1  # of its candidate pixels, at most, that a segment gives
CLEARANCE = 1e-3  # relative depth by which a hiding surface is nearer than the point
_CELL = 8  # pixels: side of the cells in which points are looked up


def lattice(scene_size: tuple[int, int], frames: int, random: np.random.Generator) -> tuple:
    """(frames [A], rows [B], columns [C]) of the candidate pixels, from a random start."""
    starts = random.integers(0, STRIDE, 3)
    return tuple(
        np.arange(min(start, size - 1), size, STRIDE)
        for start, size in zip(starts, (frames, *scene_size), strict=True)
    )


def choose(segments: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """[count] indices into `segments` [M] (0 = background), shared out as Kubric does.

    Segments in ascending order of their number of candidates: each gets an even share of what
    remains, but at most a tenth of its candidates; at most `SEGMENTS` take part. What is then
    missing is drawn from all candidates. No candidate twice, unless there are too few.
    """
    ids, sizes = np.unique(segments, return_counts=True)
    if len(ids) > SEGMENTS:
        kept = random.permutation(len(ids))[:SEGMENTS]
        ids, sizes = ids[kept], sizes[kept]
    order = np.argsort(sizes, kind="stable")
    chosen: list[np.ndarray] = []
    remaining = count
    for place, k in enumerate(order):
        quota = min(round(remaining / (len(order) - place)), round(SHARE * sizes[k]))
        members = np.flatnonzero(segments == ids[k])
        chosen.append(random.choice(members, quota, replace=False))
        remaining -= quota
    taken = np.concatenate([*chosen, np.zeros(0, int)])
    if remaining:
        free = np.setdiff1d(np.arange(len(segments)), taken)
        pool = free if len(free) >= remaining else np.arange(len(segments))
        extra = random.choice(pool, remaining, replace=len(pool) < remaining)
        taken = np.concatenate([taken, extra])
    return random.permutation(taken).astype(int)


def lift(
    xy: np.ndarray, ids: np.ndarray, camera: np.ndarray, corners: np.ndarray, room: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(weights [N, 3], place [N, 3]): of the corners [N, 3, 3] of the face `ids` [N] seen at xy.

    `place` is the world point; for the room's planes (ids -1 .. -6) the weights are 0.
    """
    eye, ray, corners = camera[12:15], rays(camera, xy), corners.astype(float)
    first = corners[:, 1] - corners[:, 0]
    second = corners[:, 2] - corners[:, 0]
    across = np.cross(ray, second)
    scale = (first * across).sum(1)
    scale = np.where(np.abs(scale) < 1e-300, 1.0, scale)
    start = eye - corners[:, 0]
    b1 = (start * across).sum(1) / scale
    b2 = (ray * np.cross(start, first)).sum(1) / scale
    weights = np.stack([1 - b1 - b2, b1, b2], 1)
    place = np.einsum("nk,nkc->nc", weights, corners)
    plane = np.maximum(-1 - ids, 0)
    axis, side = plane // 2, plane % 2
    rows = np.arange(len(xy))
    step = (room[side, axis] - eye[axis]) / np.where(ids < 0, ray[rows, axis], 1.0)
    wall = ids < 0
    weights[wall] = 0
    place[wall] = eye + step[wall, None] * ray[wall]
    return weights, place


def follow(
    weights: np.ndarray, place: np.ndarray, moves: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """[S, N, 3] world points: weights of corners [S, N, 3, 3] where `moves` [N], else `place`."""
    moving = np.einsum("nk,snkc->snc", weights, corners.astype(float))
    return np.where(moves[:, None], moving, place)


def inside(xy: np.ndarray, depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[...] bool: the positions [..., 2] lie in the frame and before the camera."""
    height, width = size
    x, y = xy[..., 0], xy[..., 1]
    return (depth >= NEAR) & (x >= 0) & (y >= 0) & (x < width) & (y < height)


@exact_kernel
def hidden(xy, depth, own, vertices, seen, faces, camera, size, out):  # type: ignore[no-untyped-def]
    """Set out [N] where a face covers the point, nearer than its depth; its own face never does.

    `seen` [V, 3] are the vertices as (x px, y px, 1 / depth). Points are sorted into cells of the
    frame, so that a face meets only the points around it. Points outside the frame are skipped.
    """
    height, width = size
    rows, columns = (height + _CELL - 1) // _CELL, (width + _CELL - 1) // _CELL
    first = np.full((rows, columns), -1, np.int64)
    following = np.empty(len(xy), np.int64)
    for n in range(len(xy)):
        x, y = xy[n, 0], xy[n, 1]
        if x >= 0 and y >= 0 and x < width and y < height and depth[n] > 0:
            row, column = int(y) // _CELL, int(x) // _CELL
            following[n] = first[row, column]
            first[row, column] = n
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        w0, w1, w2 = seen[a, 2], seen[b, 2], seen[c, 2]
        if w0 > 0 and w1 > 0 and w2 > 0:
            x0, x1, x2 = seen[a, 0], seen[b, 0], seen[c, 0]
            y0, y1, y2 = seen[a, 1], seen[b, 1], seen[c, 1]
            if (
                min(x0, x1, x2) < width
                and min(y0, y1, y2) < height
                and max(x0, x1, x2) >= 0
                and max(y0, y1, y2) >= 0
            ):
                _hide(
                    x0, y0, w0, x1, y1, w1, x2, y2, w2, face, xy, depth, own, first, following, out
                )
        elif w0 > 0 or w1 > 0 or w2 > 0:
            corners, count = cut(vertices[a], vertices[b], vertices[c], camera)
            for k in range(2, count):
                _hide(
                    *(corners[0, 0], corners[0, 1], corners[0, 2]),
                    *(corners[k - 1, 0], corners[k - 1, 1], corners[k - 1, 2]),
                    *(corners[k, 0], corners[k, 1], corners[k, 2]),
                    *(face, xy, depth, own, first, following, out),
                )


@exact_kernel
def _hide(  # type: ignore[no-untyped-def]
    x0, y0, w0, x1, y1, w1, x2, y2, w2, face, xy, depth, own, first, following, out
):
    """Set out [N] for the points behind one triangle of (x px, y px, 1 / depth)."""
    rows, columns = first.shape
    column0 = int(max(min(x0, x1, x2), 0)) // _CELL
    column1 = int(min(max(x0, x1, x2) / _CELL, columns - 1))
    row0 = int(max(min(y0, y1, y2), 0)) // _CELL
    row1 = int(min(max(y0, y1, y2) / _CELL, rows - 1))
    for row in range(row0, row1 + 1):
        for column in range(column0, column1 + 1):
            n = first[row, column]
            while n >= 0:
                if not out[n] and own[n] != face:
                    x, y = np.float64(x0), np.float64(y0)
                    ax, ay, bx, by = x1 - x, y1 - y, x2 - x, y2 - y
                    area = ax * by - bx * ay
                    px, py = xy[n, 0] - x, xy[n, 1] - y
                    b1 = px * by - py * bx
                    b2 = py * ax - px * ay
                    if area < 0:
                        area, b1, b2 = -area, -b1, -b2
                    if area > 0 and b1 >= 0 and b2 >= 0 and b1 + b2 <= area:
                        w = w0 + (b1 * (w1 - w0) + b2 * (w2 - w0)) / area
                        if w * depth[n] > 1 + CLEARANCE:
                            out[n] = True
                n = following[n]
