"""The moments a frame is the mean of, and how the CPU paints them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tapnet.scenes import render_numba as cpu
from tapnet.scenes.shade_numba import Lighting, light_view, shade
from tapnet.scenes.stage import Stage
from tapnet.scenes.world import Scene

_CHUNK = 64  # frames whose poses are worked out together
_REACH = 7.0  # units around the middle of the room that the shadow map covers
_FAR = 40.0  # added to heights towards the sun, so that they are positive


@dataclass(frozen=True)
class Picture:
    """What the renderer says of one frame, before the sensor."""

    light: np.ndarray  # [H, W, 3] float32 linear, mean of the samples
    depth: np.ndarray  # [H, W] float32 along the view axis, at the frame's own time
    ids: np.ndarray  # [H, W] int32 face at the pixel's centre and the frame's time; -1-k a plane


@dataclass(frozen=True)
class Pattern:
    """When, and where in the pixel, the samples of a frame are taken; their means are 0.

    With one sample, or more than two, the first is the frame's own moment and pixel centre, so
    that the truth needs no further pass; `exact` says so.
    """

    times: np.ndarray  # [n] frames
    shifts: np.ndarray  # [n, 2] pixels
    exact: bool

    @staticmethod
    def of(scene: Scene) -> Pattern:
        """The pattern of a scene's sample count and shutter."""
        count = scene.samples
        around = count - 1 if count > 2 else count
        exact = count != 2
        if count == 1:
            return Pattern(np.zeros(1), np.zeros((1, 2)), True)
        offsets = (np.arange(around) + 0.5) / around - 0.5
        angles = np.arange(around) * 2 * np.pi * _turns(around) / around + 0.4
        shifts = 0.38 * np.stack([np.cos(angles), np.sin(angles)], 1)
        if exact:
            offsets, shifts = np.append(0, offsets), np.concatenate([np.zeros((1, 2)), shifts])
        return Pattern(offsets * scene.sensor.shutter, shifts, exact)


def _turns(count: int) -> int:
    """A step around the circle of `count` places that visits all and is not the next one."""
    return next((k for k in range(2, count) if np.gcd(k, count) == 1), 1)


def paint(stage: Stage, pattern: Pattern) -> Iterator[Picture]:
    """The pictures of all frames, on the CPU."""
    painter = Painter(stage, pattern)
    moments = pattern.times if pattern.exact else np.append(pattern.times, 0.0)
    for first in range(0, stage.scene.frames, _CHUNK):
        frames = np.arange(first, min(first + _CHUNK, stage.scene.frames))
        times = frames[:, None] + moments
        cameras, bones = stage.geometry(times.ravel())
        cameras = cameras.astype(np.float32).reshape(*times.shape, -1)
        bones = bones.reshape(*times.shape, -1, 12)
        for i in range(len(frames)):
            yield painter.frame(times[i], cameras[i], bones[i])


class Painter:
    """The buffers of one clip, used again for every frame."""

    def __init__(self, stage: Stage, pattern: Pattern) -> None:
        self.stage, self.pattern = stage, pattern
        self.vertices = np.empty_like(stage.skeleton.vertices)
        self.normals = np.empty_like(self.vertices)
        self.seen = np.empty_like(self.vertices)
        self.posed = False
        self.lighting = lighting(stage.scene)
        self.still_shadow = np.zeros_like(self.lighting.shadow)
        self.light_seen = np.empty_like(self.vertices)

    def frame(self, times: np.ndarray, cameras: np.ndarray, bones: np.ndarray) -> Picture:
        height, width = self.stage.scene.size
        light = np.zeros((height, width, 3), np.float32)
        truth = None
        for k, shift in enumerate(self.pattern.shifts):
            camera = cameras[k].copy()
            camera[1:3] += shift.astype(np.float32)
            buffers = self._cover(times[k], camera, bones[k])
            if k == 0:
                self._cast_shadows()
            shade(
                *(self.stage.surface, self.lighting, camera),
                *(self.vertices, self.normals, *buffers, light),
            )
            truth = buffers if k == 0 and self.pattern.exact else truth
        if truth is None:
            truth = self._cover(times[-1], cameras[-1], bones[-1])
        if len(self.pattern.times) > 1:
            light *= np.float32(1 / len(self.pattern.times))
        return Picture(light, 1 / truth[0], truth[1])

    def _cover(self, time: float, camera: np.ndarray, bones: np.ndarray) -> tuple:
        """(inverse depth, ids) of one moment; leaves its vertices and normals in the buffers."""
        surface, start = self.stage.surface, self.stage.still_vertices if self.posed else 0
        depth = np.empty(self.stage.scene.size, np.float32)
        ids = np.empty(self.stage.scene.size, np.int32)
        cpu.pose(self.stage.skeleton, bones, np.float32(time), start, self.vertices, self.normals)
        cpu.view(self.vertices, camera, self.seen)
        cpu.background(surface.room, camera, depth, ids)
        count = len(surface.faces)
        cpu.raster(self.vertices, self.seen, surface.faces, camera, 0, count, depth, ids)
        return depth, ids

    def _cast_shadows(self) -> None:
        """The shadow map of the buffers' vertices; what never moves is drawn once per clip."""
        still, faces = self.stage.still_faces, self.stage.surface.faces
        matrix, shadow = self.lighting.to_shadow, self.lighting.shadow
        start = self.stage.still_vertices if self.posed else 0
        light_view(self.vertices, matrix, start, self.light_seen)
        camera, ids = np.zeros(15, np.float32), np.empty(shadow.shape, np.int32)
        draw = (self.vertices, self.light_seen, faces, camera)
        if not self.posed:
            cpu.raster(*draw, 0, still, self.still_shadow, ids)
        shadow[:] = self.still_shadow
        cpu.raster(*draw, still, len(faces), shadow, ids)
        self.posed = True


def lighting(scene: Scene) -> Lighting:
    """The light of a scene, with an empty shadow map over the middle of its room."""
    light, room = scene.light, scene.room
    toward = np.asarray(light.direction, float)
    toward = toward / np.linalg.norm(toward)
    right = np.cross(toward, [0, 1, 0] if abs(toward[1]) < 0.9 else [1, 0, 0])
    right /= np.linalg.norm(right)
    scale = light.shadow / (2 * _REACH)
    matrix = np.zeros((3, 4))
    matrix[:2, :3] = np.stack([right, np.cross(toward, right)]) * scale
    matrix[2, :3] = toward
    middle = (np.array(room.low) + room.high) / 2
    middle[2] = room.low[2]
    matrix[:2, 3] = light.shadow / 2 - matrix[:2, :3] @ middle
    matrix[2, 3] = _FAR
    return Lighting(
        sun=np.array([*toward, *light.sun], np.float32),
        sky=np.array([*light.sky, *light.ground], np.float32),
        fog=np.array([room.fog, *room.fog_color], np.float32),
        shadow=np.zeros((light.shadow, light.shadow), np.float32),
        to_shadow=matrix.astype(np.float32),
    )
