"""Point tracks of a Kubric clip, as TAPIR's training set derives them (Doersch et al. 2023).

Points on objects move with the object's box, points of the background stand still; depth, segment
ids and normals say when they are hidden.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

STRIDE = 4  # of the lattice queries are drawn from, in t, y and x
MOST_SEGMENTS = 25
MOST_SHARE = 0.1  # of the candidates of a segment that may be drawn
Window = tuple[int, int, int, int]  # top, left, bottom, right in pixels


@dataclass(frozen=True)
class Scene:
    """One MOVi clip with all that tracks are derived from; quaternions are (w, x, y, z)."""

    name: str
    video: np.ndarray  # [T, H, W, 3] uint8
    segments: np.ndarray  # [T, H, W] 0 = background, i = instance i - 1
    depth: np.ndarray  # [T, H, W] float32, distance from the camera's centre
    normals: np.ndarray  # [T, H, W, 3] float32 in world axes, -1..1
    object_coordinates: np.ndarray  # [T, H, W, 3] float32, place in the object's box, 0..1
    boxes: np.ndarray  # [K, T, 8, 3] corners in the world
    quaternions: np.ndarray  # [K, T, 4]
    camera_positions: np.ndarray  # [T, 3]
    camera_quaternions: np.ndarray  # [T, 4]
    focal_length: float  # in the unit of sensor_width
    sensor_width: float


def random_window(size: tuple[int, int], random: np.random.Generator) -> Window:
    """A window of 30 to 100 % of the image, of aspect 1/2 to 2; the whole image if 20 tries fail.

    After TensorFlow's sample_distorted_bounding_box.
    """
    height, width = size
    for _ in range(20):
        aspect = random.uniform(0.5, 2.0)  # width / height
        lowest = round(np.sqrt(0.3 * height * width / aspect))
        highest = min(round(np.sqrt(height * width / aspect)), height, int(width / aspect))
        if highest < 1:
            continue
        tall = int(random.integers(min(lowest, highest), highest + 1))
        wide = min(round(tall * aspect), width)
        if tall * wide < 0.3 * height * width or wide < 1:
            continue
        top = int(random.integers(0, height - tall + 1))
        left = int(random.integers(0, width - wide + 1))
        return top, left, top + tall, left + wide
    return 0, 0, height, width


def choose(
    segments: np.ndarray, window: Window, points: int, random: np.random.Generator
) -> np.ndarray:
    """[points, 3] (t, y, x) pixels to track, balanced over the segments in `segments` [T, H, W].

    Drawn with replacement from a lattice with a random start. When segments are too few or too
    small the last rows repeat the one before the last drawn, as the reference does.
    """
    start = random.integers(0, STRIDE, 3)
    top, left, bottom, right = window
    axes = [
        np.arange(start[0], len(segments), STRIDE),
        np.arange(top + start[1], bottom, STRIDE),
        np.arange(left + start[2], right, STRIDE),
    ]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    ids = segments[tuple(lattice.T)].astype(np.int64)
    counts = np.bincount(ids)[:MOST_SEGMENTS] if len(ids) else np.zeros(0, np.int64)
    drawn = [
        lattice[random.choice(np.flatnonzero(ids == segment), count)]
        for segment, count in enumerate(quotas(counts, points))
        if count
    ]
    if not drawn:
        if points:
            raise ValueError(
                f"expected enough pixels to draw {points} queries from, the window {window} of "
                f"{len(segments)} frames has {len(lattice)} candidates; use larger clips"
            )
        return np.zeros((0, 3), np.int64)
    if drawn and counts.size and 0 in ids:
        drawn[0] = drawn[0][np.argsort(drawn[0][:, 0], kind="stable")]
    rows = np.concatenate(drawn)
    padding = rows[max(len(rows) - 2, 0)]
    return np.concatenate([rows, np.tile(padding, (points - len(rows), 1))])


def quotas(counts: np.ndarray, points: int) -> np.ndarray:
    """How many points each segment gives: an equal share, smallest segments first.

    No segment gives more than a tenth of its candidates; what is missing goes to larger ones.
    """
    given = np.zeros(len(counts), np.int64)
    remaining = points
    for position, segment in enumerate(np.argsort(counts, kind="stable")):
        share = np.round(remaining / (len(counts) - position))
        given[segment] = min(share, np.round(counts[segment] * MOST_SHARE))
        remaining -= given[segment]
    return given


# ---------------------------------------------------------------------------------- tracks


def track(scene: Scene, chosen: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """(tracks [N, T, 2] (x, y) raster pixels of the full frame, occluded [N, T]) of `chosen`.

    `chosen` [N, 3] are pixels (t, y, x); what is outside `window` counts as occluded.
    """
    at = tuple(chosen.T)
    segment = scene.segments[at].astype(np.int64)
    if len(segment) and segment.max() > len(scene.boxes):
        raise ValueError(
            f"{scene.name}: a pixel belongs to object {segment.max()}, there are "
            f"{len(scene.boxes)}; the clip is damaged"
        )
    world = _world(scene, chosen, segment)  # [N, T, 3]
    rotations = rotation_matrices(scene.camera_quaternions)  # [T, 3, 3] camera to world
    away = world - scene.camera_positions  # [N, T, 3]
    seen = np.einsum("tji,ntj->nti", rotations, away)  # in camera axes: x right, y up, -z ahead
    height, width = scene.segments.shape[1:]
    focal_x, focal_y = _focal(scene)
    ahead = -seen[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (focal_x * seen[..., 0] / ahead + 0.5) * width
        y = (-focal_y * seen[..., 1] / ahead + 0.5) * height
    xy = np.nan_to_num(np.stack([x, y], axis=-1), posinf=1e6, neginf=-1e6)
    occluded = (ahead < 0) | _hidden(scene, xy, np.linalg.norm(away, axis=-1), segment)
    top, left, bottom, right = window
    occluded |= (xy[..., 0] < left) | (xy[..., 0] > right)
    occluded |= (xy[..., 1] < top) | (xy[..., 1] > bottom)
    occluded |= _turned_away(scene, chosen, segment, away)
    return xy, occluded


def _focal(scene: Scene) -> tuple[float, float]:
    """Focal lengths in units of the frame's width and height.

    The reference takes the inverse ratio for the second; MOVi's frames are square.
    """
    height, width = scene.segments.shape[1:]
    focal = scene.focal_length / scene.sensor_width
    return focal, focal * width / height


def _world(scene: Scene, chosen: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """[N, T, 3]: where the points are in the world in each frame."""
    world = np.empty((len(chosen), len(scene.video), 3))
    background = segment == 0
    world[background] = _unproject(scene, chosen[background])[:, None]
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    corners = np.concatenate([corners, np.ones((8, 1))], axis=1)  # [8, 4]
    inverse = np.linalg.pinv(corners)
    for number in np.unique(segment[~background]):
        here = segment == number
        place = scene.object_coordinates[tuple(chosen[here].T)] - 0.5
        place = np.concatenate([place, np.ones((len(place), 1))], axis=1)
        maps = inverse @ scene.boxes[number - 1]  # [T, 4, 3]
        world[here] = np.einsum("ni,tij->ntj", place, maps)
    return world


def _unproject(scene: Scene, pixels: np.ndarray) -> np.ndarray:
    """[N, 3] world points that the pixels (t, y, x) show."""
    t, y, x = pixels.T
    height, width = scene.segments.shape[1:]
    focal_x, focal_y = _focal(scene)
    across = ((x + 0.5) / width - 0.5) / focal_x
    up = -((y + 0.5) / height - 0.5) / focal_y
    ray = np.stack([across, up, -np.ones(len(pixels))], axis=-1)
    ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True) * scene.depth[t, y, x][:, None]
    rotations = rotation_matrices(scene.camera_quaternions)[t]
    return np.einsum("nij,nj->ni", rotations, ray) + scene.camera_positions[t]


def _hidden(scene: Scene, xy: np.ndarray, distance: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """[N, T]: something nearer is there, or none of the four pixels around is of the segment."""
    frames, height, width = scene.segments.shape
    low = np.floor(xy.clip(-1e6, 1e6) - 0.5).astype(np.int64)
    t = np.arange(frames)
    deepest = np.full(distance.shape, -np.inf)
    own = np.zeros(distance.shape, bool)
    for dy, dx in itertools.product((0, 1), repeat=2):
        y = (low[..., 1] + dy).clip(0, height - 1)
        x = (low[..., 0] + dx).clip(0, width - 1)
        deepest = np.maximum(deepest, scene.depth[t, y, x])
        own |= scene.segments[t, y, x] == segment[:, None]
    return (deepest < 0.99 * distance) | ~own


def _turned_away(
    scene: Scene, chosen: np.ndarray, segment: np.ndarray, away: np.ndarray
) -> np.ndarray:
    """[N, T]: the surface faces away from the camera; never told of points whose normal is rough,
    of the background, and of points which face away on the query frame already."""
    turned = np.zeros(away.shape[:2], bool)
    objects = np.flatnonzero(segment > 0)
    if not len(objects):
        return turned
    at = chosen[objects]
    rotations = rotation_matrices(scene.quaternions)[segment[objects] - 1]  # [n, T, 3, 3]
    t = at[:, 0]
    normals = scene.normals[tuple(at.T)].astype(np.float64)
    own = np.einsum("nji,nj->ni", rotations[np.arange(len(at)), t], normals)
    turning = np.einsum("ntij,nj->nti", rotations, own)
    facing_away = (turning * away[objects]).sum(axis=-1) > 0
    at_query = facing_away[np.arange(len(at)), t]
    trusted = _smooth(scene.normals, at)
    turned[objects] = facing_away & (trusted & ~at_query)[:, None]
    return turned


def _smooth(normals: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """[N]: at most 2 of the 4 diagonal neighbours differ by more than 0.05; outside counts as 0."""
    _, height, width, _ = normals.shape
    t, y, x = pixels.T
    different = np.zeros(len(pixels), np.int64)
    for dy, dx in itertools.product((-1, 1), repeat=2):
        inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
        beside = normals[t, (y + dy).clip(0, height - 1), (x + dx).clip(0, width - 1)]
        beside = np.where(inside[:, None], beside, 0)
        different += ((beside - normals[t, y, x]) ** 2).sum(axis=-1) > 0.05**2
    return different <= 2


def rotation_matrices(quaternions: np.ndarray) -> np.ndarray:
    """[..., 3, 3] of unit quaternions (w, x, y, z) [..., 4]."""
    w, x, y, z = np.moveaxis(quaternions, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))
