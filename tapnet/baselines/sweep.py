"""How deep a point of a frame lies in a rigid scene: the depth at which other frames look alike.

A plane sweep (R. T. Collins, "A space-sweep approach to true multi-image matching", CVPR 1996) for
single points: a patch is carried into other frames at many depths, and the depth at which most of
them correlate with it is the point's. The patch lies flat before the camera, or as the scene's
points around it.

Axes: M points of one frame, R frames with a camera, V of them that judge, S depths, P rows and
columns of a patch. Depth is told by its inverse, which is linear over the image of a plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tapnet.baselines.colmap import Model
from tapnet.baselines.online import inside
from tapnet.baselines.patches import ALIKE, normalised, sample

PATCH = 11  # pixels: side of the patches that are compared
OFFSETS = np.stack(np.meshgrid(*[np.arange(PATCH) - PATCH // 2] * 2), axis=-1)  # [P, P, 2] (x, y)
VIEWS = 8  # frames that judge a depth
COMMON = 0.3  # share of a frame's scene points that a frame must see to judge depths in it
STEP = 0.7  # pixels between two depths tried, where they are farthest apart
DEPTHS = 32, 192  # fewest and most depths tried
BEYOND = 1.5  # factor by which the depths tried exceed those of the scene's points
FINER = 9  # depths tried around the best
NEIGHBOURS = 12  # scene points that tell how the surface around a point lies
STEEPEST = 0.1  # tilt: beyond it a patch is seen from its side
AT_ONCE = 2_000_000  # patch pixels compared at a time


@dataclass(frozen=True)
class Surface:
    """Pieces of plane in the scene, through points of a frame; [...] may be [M] or [M, S]."""

    xy: np.ndarray  # [..., 2] raster pixels
    inverse: np.ndarray  # [...] inverse depth
    tilt: np.ndarray  # [..., 2] its share of change per pixel to the right and down

    def take(self, index: np.ndarray) -> Surface:
        """Of [M, S], those of `index` [M]: [M]."""
        rows = np.arange(len(index)), index
        return Surface(self.xy[rows], self.inverse[rows], self.tilt[rows])


@dataclass(frozen=True)
class Cameras:
    """The cameras of a model, as seen from that of one frame.

    What is at (x, y, 1) / w there is at (turn @ (x, y, 1) + w * shift) / w from another.
    """

    model: Model
    row: int  # of the frame, in the model's frames
    turn: np.ndarray  # [R, 3, 3]
    shift: np.ndarray  # [R, 3]
    known: np.ndarray  # [K, 3]: x, y and inverse depth of the scene's points seen in the frame

    @classmethod
    def of(cls, model: Model, t: int) -> Cameras:
        """`t` is one of the model's frames."""
        row = int(np.searchsorted(model.frames, t))
        turn = model.rotation @ model.rotation[row].T
        shift = model.translation - turn @ model.translation[row]
        points = model.points[model.seen[model.seen[:, 0] == row, 1]]
        there = points @ model.rotation[row].T + model.translation[row]
        there = there[there[:, 2] > 0]
        xy = there[:, :2] / there[:, 2:] * model.focal + model.centre
        return cls(model, row, turn, shift, np.column_stack([xy, 1 / there[:, 2]]))

    def project(
        self, xy: np.ndarray, inverse: np.ndarray, row: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where points xy [..., 2] of inverse depth [...] fall in the frame of another camera.

        [..., 2] raster pixels, and [...] whether the points lie before that camera.
        """
        across = (xy - self.model.centre) / self.model.focal
        rays = np.concatenate([across, np.ones_like(across[..., :1])], axis=-1)
        seen = rays @ self.turn[row].T + inverse[..., None] * self.shift[row]
        before = seen[..., 2] > 1e-6
        depth = np.where(before, seen[..., 2], 1e-6)
        return seen[..., :2] / depth[..., None] * self.model.focal + self.model.centre, before

    def patches(self, gray: np.ndarray, surface: Surface, row: int) -> np.ndarray:
        """[..., P, P] what the frame `gray` [H, W] of another camera shows of pieces [...]."""
        change = 1 + np.einsum("...c,pqc->...pq", surface.tilt, OFFSETS)
        around = surface.xy[..., None, None, :] + OFFSETS
        place, _ = self.project(around, surface.inverse[..., None, None] * change, row)
        return normalised(sample(gray.astype(np.float32), place))

    def judges(self) -> np.ndarray:
        """[V] rows of the frames that judge depths: spread over those that see the same points."""
        mine = self.model.seen[self.model.seen[:, 0] == self.row, 1]
        common = self.model.seen[np.isin(self.model.seen[:, 1], mine), 0]
        count = np.bincount(common, minlength=len(self.model.frames))
        count[self.row] = 0
        rows = np.flatnonzero(count > COMMON * len(mine))
        chosen = np.unique(np.linspace(0, len(rows) - 1, VIEWS).round().astype(int))
        return rows[chosen] if len(rows) else rows


def surfaces(cameras: Cameras, gray: np.ndarray, xy: np.ndarray) -> tuple[Surface, np.ndarray]:
    """The surface at points xy [M, 2] of the cameras' frame, and [M] how alike others see it.

    gray [T, H, W] uint8. Alike is the mean correlation in the better half of the judging frames;
    where it is low, no depth explains what is seen, and that of the scene's points around is told.
    """
    judges, nearby = cameras.judges(), _nearby(cameras.known, xy)
    if not len(judges):
        return nearby, np.full(len(xy), -1.0)
    tried = _depths(cameras, xy, judges)
    flat = np.zeros_like(nearby.tilt)
    coarse = Surface(
        xy[:, None].repeat(2 * len(tried), 1),
        np.tile(tried, (len(xy), 2)),
        np.stack([flat, nearby.tilt], 1).repeat(len(tried), 1),
    )
    found, _ = _best(cameras, gray, coarse, judges)
    finer = np.linspace(-1, 1, FINER) * (tried[1] - tried[0])
    fine = Surface(
        xy[:, None].repeat(FINER, 1),
        found.inverse[:, None] + finer,
        found.tilt[:, None].repeat(FINER, 1),
    )
    found, alike = _best(cameras, gray, fine, judges)
    unknown = alike < ALIKE
    found.inverse[unknown], found.tilt[unknown] = nearby.inverse[unknown], nearby.tilt[unknown]
    return found, alike


def _nearby(known: np.ndarray, xy: np.ndarray) -> Surface:
    """The plane through the scene's points nearest to each of xy [M, 2]."""
    inverse, tilt = np.zeros(len(xy)), np.zeros((len(xy), 2))
    for m, place in enumerate(xy):
        away = known[:, :2] - place
        near = np.argsort((away**2).sum(-1), kind="stable")[:NEIGHBOURS]
        sides = np.column_stack([np.ones(len(near)), away[near]])
        plane, _, rank, _ = np.linalg.lstsq(sides, known[near, 2], rcond=1e-3)
        inverse[m] = np.median(known[near[:3], 2])
        tilt[m] = plane[1:] / inverse[m] if rank == 3 else 0
    return Surface(xy, inverse, np.clip(tilt, -STEEPEST, STEEPEST))


def _depths(cameras: Cameras, xy: np.ndarray, judges: np.ndarray) -> np.ndarray:
    """[S] inverse depths, so dense that the points move by about `STEP` from one to the next."""
    low, high = np.quantile(cameras.known[:, 2], [0.02, 0.98]) * [1 / BEYOND, BEYOND]
    ends = np.full(len(xy), low), np.full(len(xy), high)
    across = max(cameras.model.centre * 2)
    longest = 0.0
    for row in judges:
        (start, _), (end, _) = (cameras.project(xy, inverse, row) for inverse in ends)
        longest = max(longest, float(np.linalg.norm(end - start, axis=-1).clip(max=across).max()))
    return np.linspace(low, high, int(np.clip(np.ceil(longest / STEP), *DEPTHS)))


def _best(
    cameras: Cameras, gray: np.ndarray, tried: Surface, judges: np.ndarray
) -> tuple[Surface, np.ndarray]:
    """Of surfaces tried [M, S] the one on which frames agree most, and [M] how alike they see it.

    A frame that does not see the point is one that sees something else: correlation 0.
    """
    frames = cameras.model.frames
    rows = max(AT_ONCE // (tried.inverse.shape[1] * PATCH**2), 1)
    chosen, alike = [], []
    for begin in range(0, len(tried.xy), rows):
        part = Surface(*(field[begin : begin + rows] for field in vars(tried).values()))
        here = Surface(*(field[:, 0] for field in vars(part).values()))
        mine = cameras.patches(gray[frames[cameras.row]], here, cameras.row)[:, None]
        seen = np.zeros((len(judges), *part.inverse.shape))
        for v, row in enumerate(judges):
            place, before = cameras.project(part.xy, part.inverse, row)
            there = inside(place, gray[0]) & before
            likeness = (cameras.patches(gray[frames[row]], part, row) * mine).sum((-1, -2))
            seen[v] = np.where(there, likeness, 0)
        better_half = np.sort(seen, axis=0)[len(judges) // 2 :].mean(0)
        best = better_half.argmax(1)
        chosen.append(best)
        alike.append(better_half.max(1))
    return tried.take(np.concatenate(chosen)), np.concatenate(alike)
