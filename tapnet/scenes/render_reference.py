"""The renderer once more, in plain float64 numpy: slow, and the oracle of the other two.

It shares no code with them but the arrays of the stage. Triangles are met by rays (Möller and
Trumbore 1997), not projected, so it needs no clipping.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tapnet.scenes.camera import NEAR
from tapnet.scenes.moments import Pattern, Picture, lighting
from tapnet.scenes.shade_numba import GRAZING, SHADOW_BIAS, SHADOW_LIFT, Lighting
from tapnet.scenes.stage import Skeleton, Stage, Surface


def paint(stage: Stage, pattern: Pattern) -> Iterator[Picture]:
    """The pictures of all frames."""
    light = lighting(stage.scene)
    for frame in range(stage.scene.frames):
        times = frame + np.append(pattern.times, 0.0)
        cameras, bones = stage.geometry(times)
        first, _ = pose(stage.skeleton, bones[0], times[0])
        light = light._replace(shadow=shadow_map(first, stage.surface.faces, light))
        colors = []
        for s, shift in enumerate(pattern.shifts):
            camera = cameras[s] + np.array([0, *shift] + [0] * 12)
            vertices, normals = pose(stage.skeleton, bones[s], times[s])
            depth, ids = cover(stage.surface, camera, vertices, stage.scene.size)
            colors.append(shade(stage.surface, light, camera, vertices, normals, depth, ids))
        vertices, _ = pose(stage.skeleton, bones[-1], times[-1])
        depth, ids = cover(stage.surface, cameras[-1], vertices, stage.scene.size)
        yield Picture(np.mean(colors, 0).astype(np.float32), depth.astype(np.float32), ids)


def pose(skeleton: Skeleton, bones: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """(vertices [V, 3], unit normals [V, 3]) in the world."""
    points = skeleton.vertices.astype(float)
    moved, jacobian = points.copy(), np.tile(np.eye(3), (len(points), 1, 1))
    for body in range(len(skeleton.wave_start) - 1):
        own = skeleton.owner == body
        for wave in skeleton.waves[skeleton.wave_start[body] : skeleton.wave_start[body + 1]]:
            amplitude, number = wave[:3].astype(float), wave[3:6].astype(float)
            angle = points[own] @ number + wave[6] * time + wave[7]
            moved[own] += np.sin(angle)[:, None] * amplitude
            jacobian[own] += np.cos(angle)[:, None, None] * np.outer(amplitude, number)
    matrices = bones.reshape(-1, 3, 4).astype(float)
    share = skeleton.weight[:, None, None]
    matrix = matrices[skeleton.bones[:, 0]] * share + matrices[skeleton.bones[:, 1]] * (1 - share)
    vertices = np.einsum("vij,vj->vi", matrix[:, :, :3], moved) + matrix[:, :, 3]
    cofactor = np.linalg.inv(jacobian).transpose(0, 2, 1) * np.linalg.det(jacobian)[:, None, None]
    normals = np.einsum("vij,vj->vi", matrix[:, :, :3] @ cofactor, skeleton.normals.astype(float))
    return vertices, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def directions(camera: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] world directions of depth 1 through the pixel centres."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    seen = np.stack([(x - camera[1]) / camera[0], (y - camera[2]) / camera[0], np.ones_like(x)], -1)
    return seen @ camera[3:12].reshape(3, 3)


def cover(
    surface: Surface, camera: np.ndarray, vertices: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """(depth [H, W], ids [H, W]) of what the pixels' rays meet first."""
    ray, eye = directions(camera, size), camera[12:15]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(ray > 0, surface.room[1] - eye, surface.room[0] - eye) / ray
    plane = np.where(np.isnan(reach), np.inf, reach).argmin(-1)
    depth = np.take_along_axis(reach, plane[..., None], -1)[..., 0]
    positive = np.take_along_axis(ray, plane[..., None], -1)[..., 0] > 0
    ids = (-1 - (2 * plane + positive)).astype(np.int32)
    for face, (a, b, c) in enumerate(surface.faces):
        b1, b2, far = meet(vertices[a], vertices[b], vertices[c], eye, ray)
        nearer = (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1) & (far >= NEAR) & (far < depth)
        depth[nearer], ids[nearer] = far[nearer], face
    return depth, ids


def meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, eye: np.ndarray, ray: np.ndarray) -> tuple:
    """(weight of b, weight of c, depth), each [...], where rays [..., 3] meet the plane a b c."""
    first, second, start = b - a, c - a, eye - a
    across = np.cross(ray, second)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (across * first).sum(-1)
        b1 = (across * start).sum(-1) * scale
        turned = np.cross(start, first)
        b2 = (ray * turned).sum(-1) * scale
        far = (second * turned).sum(-1) * scale
    return b1, b2, far


def shadow_map(vertices: np.ndarray, faces: np.ndarray, light: Lighting) -> np.ndarray:
    """[side, side] height towards the sun, plus a constant, of the nearest surface; 0 = nothing."""
    matrix = light.to_shadow.astype(float)
    seen = vertices @ matrix[:, :3].T + matrix[:, 3]
    side = len(light.shadow)
    heights = np.zeros((side, side))
    y, x = np.mgrid[:side, :side] + 0.5
    for a, b, c in seen[faces]:
        left, top = np.clip(np.floor(np.min([a, b, c], 0)[:2]).astype(int), 0, side)
        right, bottom = np.clip(np.ceil(np.max([a, b, c], 0)[:2]).astype(int), 0, side)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if right <= left or bottom <= top or abs(area) < 1e-9:
            continue
        at = slice(top, bottom), slice(left, right)
        px, py = x[at] - a[0], y[at] - a[1]
        b1 = (px * (c[1] - a[1]) - py * (c[0] - a[0])) / area
        b2 = (py * (b[0] - a[0]) - px * (b[1] - a[1])) / area
        height = a[2] + b1 * (b[2] - a[2]) + b2 * (c[2] - a[2])
        covers = (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1)
        heights[at] = np.where(covers, np.maximum(heights[at], height), heights[at])
    return heights.astype(np.float32)


def shade(
    surface: Surface,
    light: Lighting,
    camera: np.ndarray,
    vertices: np.ndarray,
    normals: np.ndarray,
    depth: np.ndarray,
    ids: np.ndarray,
) -> np.ndarray:
    """[H, W, 3] linear colour."""
    ray = directions(camera, depth.shape)
    place = camera[12:15] + ray * depth[..., None]
    uv, normal, tint, number, density, shine = _looks(
        surface, camera[12:15], ray, place, vertices, normals, ids
    )
    away = np.linalg.norm(ray, axis=-1)
    slant = np.maximum(-(normal * ray).sum(-1) / away, GRAZING)
    albedo = texels(surface, number, uv, (density * depth / camera[0]) ** 2 / slant) * tint
    sun, sky = light.sun.astype(float), light.sky.astype(float)
    facing = np.maximum(normal @ sun[:3], 0)
    lift = SHADOW_LIFT / np.linalg.norm(light.to_shadow[0, :3]) * (1 - facing)
    facing *= lit(light, place + normal * lift[..., None])
    half = sun[:3] - ray / away[..., None]
    glint = np.maximum((normal * half).sum(-1), 0) / np.maximum(np.linalg.norm(half, axis=-1), 1e-6)
    up = (0.5 + 0.5 * normal[..., 2])[..., None]
    color = albedo * (sky[3:] * (1 - up) + sky[:3] * up + sun[3:] * facing[..., None])
    color += sun[3:] * (shine * glint**32 * facing)[..., None]
    keep = (1 / (1 + (light.fog[0] * depth * away) ** 2))[..., None]
    return light.fog[1:] + (color - light.fog[1:]) * keep


def _looks(surface, eye, ray, place, vertices, normals, ids) -> tuple:  # type: ignore[no-untyped-def]
    """(uv, normal towards the eye, tint, texture, density, shine) of every pixel."""
    k = np.maximum(-1 - ids, 0)
    rows = surface.plane[k].astype(float)
    across = np.where(k < 2, place[..., 1], place[..., 0])
    up = np.where(k < 4, place[..., 2], place[..., 1])
    uv = np.stack([(across - rows[..., 0]) * rows[..., 1], (up - rows[..., 2]) * rows[..., 3]], -1)
    normal = np.eye(3)[k // 2] * np.where(k % 2 == 0, 1.0, -1.0)[..., None]
    tint, number, density = rows[..., 4:7], surface.plane_texture[k], rows[..., 7]
    shine = np.zeros(ids.shape)
    for face in np.unique(ids[ids >= 0]):
        here = ids == face
        corners = surface.faces[face]
        a, b, c = vertices[corners]
        b1, b2, _ = meet(a, b, c, eye, ray[here])
        b1, b2 = np.clip(b1, 0, 1), np.clip(b2, 0, 1)
        weights = np.stack([1 - b1 - b2, b1, b2], -1)
        uv[here] = weights @ surface.uv[face].astype(float)
        smooth = weights @ normals[corners]
        smooth /= np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-12)
        behind = (smooth * ray[here]).sum(-1, keepdims=True) > 0
        normal[here] = np.where(behind, -smooth, smooth)
        tint[here], number[here] = surface.tint[face], surface.texture[face]
        density[here], shine[here] = surface.density[face], surface.shine[surface.body[face]]
    return uv, normal, tint, number, density, shine


def texels(surface: Surface, number: np.ndarray, uv: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """[..., 3] linear colour of repeating textures at uv; `spread` texels fall on a pixel."""
    side = surface.side[number].astype(np.int64)
    level = np.floor(np.log2(np.maximum(2 * spread, 1)) / 2).astype(np.int64)
    size = np.maximum(side >> np.minimum(level, 30), 1)
    start = surface.offset[number] + (4 * side**2 - 4 * size**2) // 3
    x, y = np.moveaxis((uv % 1) * size[..., None] - 0.5, -1, 0)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    total = np.zeros((*number.shape, 3))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dx - (x - x0)) * np.abs(1 - dy - (y - y0))
            packed = surface.texels[start + (y0 + dy) % size * size + (x0 + dx) % size]
            colors = np.stack([packed & 255, packed >> 8 & 255, packed >> 16 & 255], -1)
            total += weight[..., None] * colors
    return (total / 255) ** 2


def lit(light: Lighting, place: np.ndarray) -> np.ndarray:
    """[...] share of the sun that reaches the places [..., 3]."""
    matrix = light.to_shadow.astype(float)
    seen = place @ matrix[:, :3].T + matrix[:, 3]
    side = len(light.shadow)
    s, t = seen[..., 0] - 0.5, seen[..., 1] - 0.5
    inside = (s >= 0) & (t >= 0) & (s < side - 1) & (t < side - 1)
    i, j = (np.where(inside, v, 0).astype(int) for v in (s, t))
    dark = np.zeros(s.shape)
    for dj in (0, 1):
        for di in (0, 1):
            weight = np.abs(1 - di - (s - i)) * np.abs(1 - dj - (t - j))
            dark += weight * (light.shadow[j + dj, i + di] > seen[..., 2] + SHADOW_BIAS)
    return np.where(inside, 1 - dark, 1.0)
