"""The camera: where it is, what it sees, and how points fall on its pixels."""

from __future__ import annotations

import numpy as np

from tapnet.scenes.world import Camera, Scene

NEAR = 0.05  # units: what is closer to the camera's plane is cut away
_MARGIN = 0.15  # units: the camera keeps this far from the walls of its room


def cameras(scene: Scene, times: np.ndarray) -> np.ndarray:
    """[S, 15] float64 per time: focal px, centre x, y px, rotation 9, position 3.

    The rows of the rotation are right, down and forward.
    A world point X falls on focal · (R (X - position))[:2] / depth + centre, in raster pixels.
    """
    camera: Camera = scene.camera
    height, width = scene.size
    low, high = np.array(scene.room.low), np.array(scene.room.high)
    position = camera.position.at(times)
    position = np.clip(position, low + _MARGIN, np.maximum(high - _MARGIN, low + _MARGIN))
    rotation = _shaken(_looking(camera.target.at(times) - position), camera.shake.at(times))
    focal = max(height, width) * np.exp(camera.log_focal.at(times))
    centre = np.broadcast_to([width / 2, height / 2], (len(times), 2))
    return np.concatenate([focal, centre, rotation.reshape(-1, 9), position], axis=1)


def _looking(forward: np.ndarray) -> np.ndarray:
    """[S, 3, 3] rows right, down, forward of cameras that look along `forward`, upright."""
    length = np.linalg.norm(forward, axis=1, keepdims=True)
    forward = np.where(length > 1e-6, forward / np.maximum(length, 1e-6), [0.0, 1.0, 0.0])
    right = np.cross(forward, [0.0, 0.0, 1.0])
    length = np.linalg.norm(right, axis=1, keepdims=True)
    right = np.where(length > 1e-3, right / np.maximum(length, 1e-3), [1.0, 0.0, 0.0])
    down = np.cross(forward, right)
    return np.stack([right, down / np.linalg.norm(down, axis=1, keepdims=True), forward], axis=1)


def _shaken(rotation: np.ndarray, angles: np.ndarray) -> np.ndarray:
    return rotations(angles) @ rotation


def rotations(vectors: np.ndarray) -> np.ndarray:
    """[..., 3, 3] rotation matrices of rotation vectors [..., 3] (axis times angle in radians)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0, np.sin(safe) / safe)
    second = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + first * cross + second * (cross @ cross)


def project(cameras: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(xy [S, N, 2] raster pixels, depth [S, N]) of world points [S, N, 3] in S cameras.

    Behind the camera, where no pixel exists, xy is the point's projection at depth `NEAR`: a
    place outside the frame in the right direction, never infinite.
    """
    rotation = cameras[:, 3:12].reshape(-1, 3, 3)
    seen = np.einsum("sij,snj->sni", rotation, points - cameras[:, None, 12:15])
    depth = seen[..., 2]
    scale = cameras[:, None, :1] / np.maximum(depth, NEAR)[..., None]
    return seen[..., :2] * scale + cameras[:, None, 1:3], depth


def rays(camera: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[N, 3] world directions, of depth 1, through raster pixels xy [N, 2] of a camera [15]."""
    across = (xy - camera[1:3]) / camera[0]
    return np.concatenate([across, np.ones((len(xy), 1))], 1) @ camera[3:12].reshape(3, 3)
