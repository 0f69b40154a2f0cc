"""What else is known of a clip: depth, instances, flow, cameras, 3-D tracks. Nothing is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tapnet.scenes.camera import project
from tapnet.scenes.clip import positions, track
from tapnet.scenes.moments import Painter, Pattern, Picture
from tapnet.scenes.stage import Stage, build
from tapnet.scenes.world import Scene

if TYPE_CHECKING:
    from tapnet.scenes.assets import Assets


@dataclass(frozen=True)
class Extras:
    """The truth about a clip beyond its tracks, worked out frame by frame when asked for."""

    scene: Scene
    assets: Assets

    @cached_property
    def stage(self) -> Stage:
        """The geometry and looks of the clip."""
        return build(replace(self.scene, samples=1), self.assets)

    @cached_property
    def cameras(self) -> np.ndarray:
        """[T, 15] float64 focal length px, centre x y px, rotation 9 (right, down, forward rows),
        position 3."""
        return self.stage.geometry(np.arange(self.scene.frames, dtype=float))[0]

    def depth(self, frame: int) -> np.ndarray:
        """[H, W] float32 distance along the view axis, at pixel centres."""
        return self._picture(frame).depth

    def instances(self, frame: int) -> np.ndarray:
        """[H, W] int32 body number + 1, 0 = the room."""
        return np.append(self.stage.surface.body + 1, 0)[np.maximum(self._picture(frame).ids, -1)]

    def flow(self, frame: int) -> np.ndarray:
        """[H, W, 2] float32 (x, y) pixels from each pixel centre to the same point a frame later.

        Also where that point is then hidden or outside. 0 in the last frame.
        """
        height, width = self.scene.size
        if frame >= self.scene.frames - 1:
            return np.zeros((height, width, 2), np.float32)
        y, x = np.mgrid[:height, :width] + 0.5
        query = np.stack([np.full(x.size, float(frame)), y.ravel(), x.ravel()], 1)
        ids = self._picture(frame).ids.ravel()
        world = positions(self.stage, query, ids, np.array([frame, frame + 1]))[:, 1]
        xy, _ = project(self.cameras[frame + 1][None], world[None])
        return (xy[0] - query[:, [2, 1]]).reshape(height, width, 2).astype(np.float32)

    def track(self, query_points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tracks [N, T, 2] px, occluded [N, T], world points [N, T, 3]) of any query points.

        A query (t, y, x) means the surface that its pixel shows. ValueError when one lies outside.
        """
        query = np.asarray(query_points, float).reshape(-1, 3)
        limits = np.array([self.scene.frames, *self.scene.size])
        if not ((query >= 0) & (query < limits)).all():
            raise ValueError(
                f"query_points: expected (t, y, x) from 0 to below {limits.tolist()}, "
                f"got {query.min(0).tolist()} to {query.max(0).tolist()}; choose points inside"
            )
        whole = query.astype(int)
        ids = np.empty(len(query), np.int32)
        for frame in np.unique(whole[:, 0]):
            here = whole[:, 0] == frame
            ids[here] = self._picture(int(frame)).ids[whole[here, 1], whole[here, 2]]
        query[:, 0] = whole[:, 0]
        return track(self.stage, query, ids)

    def _picture(self, frame: int) -> Picture:
        if not 0 <= frame < self.scene.frames:
            raise ValueError(f"frame: expected 0 to {self.scene.frames - 1}, got {frame}")
        times = np.array([float(frame)])
        cameras, bones = self.stage.geometry(times)
        painter = Painter(self.stage, Pattern.of(self.stage.scene))
        return painter.frame(times, cameras.astype(np.float32), bones)
