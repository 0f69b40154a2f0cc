"""From a scene to a training example: frames, queries, tracks."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from tapnet.scenes import render_numba as cpu
from tapnet.scenes import tracks
from tapnet.scenes.camera import project
from tapnet.scenes.moments import Pattern, Picture
from tapnet.scenes.post import Developer
from tapnet.scenes.stage import Skeleton, Stage, build
from tapnet.scenes.world import Scene
from tapnet.structs import Example

if TYPE_CHECKING:
    from tapnet.scenes.assets import Assets

Backend = Literal["numba", "triton", "reference"]
_PAINTERS = {"numba": "moments", "triton": "render_triton", "reference": "render_reference"}
_TOLERANCE = 1e-4  # units: a point this far behind a wall is still on it


def render(scene: Scene, assets: Assets, backend: Backend = "numba") -> Example:
    """The clip of a scene: [T, H, W, 3] uint8 video, `scene.points` queries with exact tracks.

    The same scene and assets give the same example, byte for byte, on the same backend.
    """
    stage = build(scene, assets)
    random = np.random.default_rng([scene.seed, 1])
    developer = Developer(scene.sensor, scene.frames, np.random.default_rng([scene.seed, 2]))
    ts, ys, xs = tracks.lattice(scene.size, scene.frames, random)
    video = np.empty((scene.frames, *scene.size, 3), np.uint8)
    ids = np.empty((len(ts), len(ys), len(xs)), np.int32)
    for number, picture in enumerate(pictures(stage, backend)):
        video[number] = developer.develop(picture.light, number)
        at = np.searchsorted(ts, number)
        if at < len(ts) and ts[at] == number:
            ids[at] = picture.ids[np.ix_(ys, xs)]
    query, faces = choose_queries(stage, ids, (ts, ys, xs), random)
    target, occluded, _ = track(stage, query, faces)
    return Example(
        name=f"scene-{scene.seed}",
        video=video,
        query_points=query.astype(np.float32),
        target_points=target.astype(np.float32),
        occluded=occluded,
    )


def pictures(stage: Stage, backend: Backend = "numba") -> Iterator[Picture]:
    """The pictures of a stage's frames, one after another, with constant memory."""
    if backend not in _PAINTERS:
        raise ValueError(f"backend: expected one of {sorted(_PAINTERS)}, got {backend!r}")
    paint = importlib.import_module(f"tapnet.scenes.{_PAINTERS[backend]}").paint
    return paint(stage, Pattern.of(stage.scene))


def choose_queries(
    stage: Stage, ids: np.ndarray, axes: tuple[np.ndarray, ...], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(query points [N, 3] (t, y, x), faces [N]) among the candidates `ids` [A, B, C]."""
    flat = ids.ravel()
    bodies = np.append(stage.surface.body, -1)[np.maximum(flat, -1)]
    chosen = tracks.choose(np.where(flat < 0, 0, bodies + 1), stage.scene.points, random)
    t, y, x = np.unravel_index(chosen, ids.shape)
    query = np.stack([axes[0][t], axes[1][y] + 0.5, axes[2][x] + 0.5], 1).astype(float)
    return query.reshape(-1, 3), flat[chosen]


def track(
    stage: Stage, query: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tracks [N, T, 2] raster pixels, occluded [N, T], world points [N, T, 3]) of query points.

    `query` [N, 3] (t, y, x), `faces` [N] the face, or plane of the room, that each one shows.
    """
    times = np.arange(stage.scene.frames)
    cameras, bones = stage.geometry(times.astype(float))
    world = positions(stage, query, faces, times).transpose(1, 0, 2)
    xy, depth = project(cameras, world)
    low, high = stage.surface.room.astype(float)
    beyond = ((world < low - _TOLERANCE) | (world > high + _TOLERANCE)).any(-1)
    occluded = ~tracks.inside(xy, depth, stage.scene.size) | (beyond & (faces >= 0))
    if len(stage.surface.faces) and len(query):
        _mark_hidden(stage, cameras, bones, xy, depth, faces, occluded)
    return xy.transpose(1, 0, 2), occluded.T, world.transpose(1, 0, 2)


def positions(stage: Stage, query: np.ndarray, faces: np.ndarray, times: np.ndarray) -> np.ndarray:
    """[N, S, 3] world points of the queries at the frames `times` [S], which hold their own."""
    cameras, bones = stage.geometry(times.astype(float))
    corners = _moved(stage, faces, bones, times)
    room = stage.surface.room.astype(float)
    weights, place = np.zeros((len(query), 3)), np.zeros((len(query), 3))
    for at in np.flatnonzero(np.isin(times, query[:, 0])):
        here = query[:, 0] == times[at]
        weights[here], place[here] = tracks.lift(
            query[here][:, [2, 1]], faces[here], cameras[at], corners[at, here], room
        )
    return tracks.follow(weights, place, faces >= 0, corners).transpose(1, 0, 2)


def _moved(stage: Stage, faces: np.ndarray, bones: np.ndarray, times: np.ndarray) -> np.ndarray:
    """[S, N, 3, 3] float32 corners of the faces [N] at the times; 0 for planes of the room."""
    moved = np.zeros((len(times), len(faces), 3, 3), np.float32)
    bodily = faces >= 0
    index, inverse = np.unique(stage.surface.faces[faces[bodily]], return_inverse=True)
    subset = _subset(stage.skeleton, index)
    vertices = np.empty((len(index), 3), np.float32)
    normals = np.empty_like(vertices)
    for s in range(len(times) if len(index) else 0):
        cpu.pose(subset, bones[s], np.float32(times[s]), 0, vertices, normals)
        moved[s, bodily] = vertices[inverse.reshape(-1, 3)]
    return moved


def _mark_hidden(stage: Stage, cameras, bones, xy, depth, faces, occluded) -> None:  # type: ignore[no-untyped-def]
    """Set occluded [T, N] where a face lies before the point."""
    vertices = np.empty_like(stage.skeleton.vertices)
    normals, seen = np.empty_like(vertices), np.empty_like(vertices)
    for t in range(stage.scene.frames):
        camera = cameras[t].astype(np.float32)
        cpu.pose(
            stage.skeleton,
            bones[t],
            np.float32(t),
            stage.still_vertices if t else 0,
            vertices,
            normals,
        )
        cpu.view(vertices, camera, seen)
        tracks.hidden(
            xy[t],
            depth[t],
            faces,
            vertices,
            seen,
            stage.surface.faces,
            camera,
            stage.scene.size,
            occluded[t],
        )


def _subset(skeleton: Skeleton, index: np.ndarray) -> Skeleton:
    """The skeleton of some of its vertices only."""
    return skeleton._replace(
        vertices=skeleton.vertices[index],
        normals=skeleton.normals[index],
        bones=skeleton.bones[index],
        weight=skeleton.weight[index],
        owner=skeleton.owner[index],
    )
