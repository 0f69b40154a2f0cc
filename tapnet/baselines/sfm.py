"""Structure from motion: every point is a place of one rigid scene, seen by a moving camera.

COLMAP tells the scene and the cameras (`colmap`); how deep in it a query lies is told by the
scene's points around it and by the frames that look alike at one depth (`sweep`). From there the
query is projected into every frame with a camera. It is occluded where its patch looks otherwise,
in frames without a camera, and everywhere when no depth explains what is seen: then the point
moves by itself, and structure from motion cannot follow it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tapnet.baselines.colmap import Model, check_installed, reconstruct
from tapnet.baselines.offline import ClipTracker
from tapnet.baselines.online import SURE, gray_image, inside, rgb_image
from tapnet.baselines.patches import ALIKE, logits
from tapnet.baselines.sweep import Cameras, surfaces


class SfM(ClipTracker):
    """Follows points as places of a rigid scene; fails on what moves by itself."""

    def track(self, video: Tensor, queries: np.ndarray) -> np.ndarray:
        """As every `ClipTracker`. Raises ImportError where pycolmap is missing."""
        check_installed()
        times, xy = np.rint(queries[:, 0]).astype(np.int64), queries[:, [2, 1]]
        said = np.full((len(queries), len(video), 4), SURE, np.float32)
        said[..., :2] = xy[:, None]
        if not len(queries):
            return said
        gray = np.stack([gray_image(rgb_image(frame)) for frame in video])
        models = reconstruct(gray)
        for t in np.unique(times):
            rows = np.flatnonzero(times == t)
            model = next((model for model in models if t in model.frames), None)
            if model is not None:
                said[rows] = _follow(model, int(t), gray, xy[rows])
            said[rows, t, :2] = xy[rows]
            said[rows, t, 2:] = np.where(inside(xy[rows], gray[t]), -SURE, SURE)[:, None]
        return said


def _follow(model: Model, t: int, gray: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[M, T, 4]: x, y and the two logits of points at xy [M, 2] of frame t."""
    cameras = Cameras.of(model, t)
    surface, fit = surfaces(cameras, gray, xy)
    patches = cameras.patches(gray[t], surface, cameras.row)
    said = np.full((len(xy), len(model.frames), 4), SURE)
    for row, frame in enumerate(model.frames):
        place, before = cameras.project(surface.xy, surface.inverse, row)
        alike = (cameras.patches(gray[frame], surface, row) * patches).sum((1, 2))
        sure = logits(gray[frame], place, alike, (1 - fit) / (1 - ALIKE))
        said[:, row, :2] = place
        said[:, row, 2:] = np.where(before[:, None], np.stack(sure, axis=-1), SURE)
    return _between(said, model.frames, len(gray))


def _between(said: np.ndarray, frames: np.ndarray, count: int) -> np.ndarray:
    """[M, T, 4] from [M, R, 4] of some frames: others are occluded, half-way between neighbours."""
    out = np.full((len(said), count, 4), SURE, np.float32)
    every = np.arange(count)
    for m, axis in np.ndindex(len(said), 2):
        out[m, :, axis] = np.interp(every, frames, said[m, :, axis])
    out[:, frames, 2:] = said[..., 2:]
    return out
