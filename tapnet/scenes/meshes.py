"""Triangle meshes of scenes: one form for all sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_WELD = 2e-4  # vertices closer than this, in units of the mesh, are one
_BOX_REPEAT = 0.8  # how often a texture repeats over an object which has no UV of its own


@dataclass(frozen=True)
class Mesh:
    """A textured triangle mesh; z up, centred, largest extent 1. Arrays are read-only."""

    name: str
    vertices: np.ndarray  # [V, 3] float32, welded: neighbours share their vertices
    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [F, 3, 2] float32 (u, v), v down as rows of the image; repeats outside 0..1
    texture: np.ndarray  # [F] int32 index into Assets.textures, -1 = plain colour
    color: np.ndarray  # [F, 3] float32 0..1; 1 where there is a texture
    group: str = ""  # variants of one object share it; decides between train and validation


def make_mesh(
    name: str,
    group: str,
    positions: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    texture: np.ndarray,
    color: np.ndarray,
) -> Mesh:
    """A Mesh from y-up `positions` [V,3]; `uv` [F,3,2] has v up, as OBJ files do.

    Welds and drops unused vertices, drops faces without area, centres, scales. Faces without a
    texture get the UV of a box around the object. Raises ValueError when nothing is left, when an
    index is out of range or a position is not finite.
    """
    if not np.isfinite(positions).all():
        raise ValueError("a vertex is not a finite number")
    if faces.size and (faces.min() < 0 or faces.max() >= len(positions)):
        raise ValueError(f"a face asks for vertex {faces.max()}, there are {len(positions)}")
    vertices = np.stack([positions[:, 0], -positions[:, 2], positions[:, 1]], axis=1)
    vertices, faces = _weld(vertices, faces)
    keep = _area(vertices, faces) > 1e-10
    if not keep.any():
        raise ValueError("no face with an area")
    faces, uv, texture, color = faces[keep], uv[keep], texture[keep], color[keep]
    used, inverse = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], inverse.reshape(-1, 3)
    textured = texture >= 0
    flipped = np.nan_to_num(uv * [1, -1] + [0, 1], posinf=0, neginf=0)
    flipped = flipped - np.floor(flipped.min(axis=1, keepdims=True))
    box = _box_uv(vertices, faces)
    return Mesh(
        name=name,
        group=group,
        vertices=fixed(vertices, np.float32),
        faces=fixed(faces, np.int32),
        uv=fixed(np.where(textured[:, None, None], flipped, box), np.float32),
        texture=fixed(texture, np.int32),
        color=fixed(np.where(textured[:, None], 1.0, color.clip(0, 1)), np.float32),
    )


def _weld(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred on the box and scaled to a largest extent of 1; vertices at one place made one."""
    index, corners = np.unique(faces, return_inverse=True)
    if not len(index):
        raise ValueError("no faces")
    used = vertices[index]
    low, high = used.min(axis=0), used.max(axis=0)
    extent = float((high - low).max())
    if extent <= 0:
        raise ValueError("all vertices are at one place")
    vertices = (used - (low + high) / 2) / extent
    cell = np.round((vertices - vertices.min(axis=0)) / _WELD).astype(np.int64)
    key = cell @ (int(cell.max()) + 1) ** np.arange(3)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return vertices[first], inverse[corners].reshape(-1, 3)


def _area(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _box_uv(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[F, 3, 2]: each face seen along the axis which its normal is nearest to."""
    corners = vertices[faces]  # [F, 3 corners, 3]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    others = np.array([[1, 2], [0, 2], [0, 1]])[np.abs(normal).argmax(axis=1)]  # [F, 2]
    return np.take_along_axis(corners, others[:, None], axis=2) * _BOX_REPEAT + 0.5


def fixed(values: Any, dtype: Any) -> np.ndarray:
    """A contiguous read-only array of `dtype`."""
    array = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array
