"""The shapes bodies have at rest: meshes of the pack, sheets, boxes, balls, and jointed figures.

A shape's largest extent is 1. Vertices are split where the surface has a crease, so that each has
one normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tapnet.scenes.compiled import exact_kernel

if TYPE_CHECKING:
    from tapnet.scenes.meshes import Mesh

_CREASE = 0.7  # cosine: neighbours whose faces turn more than this are shaded apart
SPINE = 3  # bones of a mesh that bends


@dataclass(frozen=True)
class Shape:
    """A surface at rest. Bone 0 is the body itself; each other bone hangs on an earlier one."""

    vertices: np.ndarray  # [V, 3] float32
    normals: np.ndarray  # [V, 3] float32 unit
    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [F, 3, 2] float32
    texture: np.ndarray  # [F] int32 index into the pack's textures, -1 = plain colour
    color: np.ndarray  # [F, 3] float32, sRGB 0..1
    bones: np.ndarray  # [V, 2] int32: the two bones a vertex follows
    weight: np.ndarray  # [V] float32: the share of the first
    parents: tuple[int, ...] = (-1,)
    heads: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)  # where a bone turns


_SHAPES: dict[int, tuple[Mesh, Shape]] = {}  # by identity; the mesh is kept so that it stays unique


def of_mesh(mesh: Mesh) -> Shape:
    """The shape of a mesh of the pack; made once per mesh and process."""
    known = _SHAPES.get(id(mesh))
    if known is None or known[0] is not mesh:
        if len(_SHAPES) >= 4096:
            _SHAPES.clear()
        known = _SHAPES[id(mesh)] = (mesh, _shape(mesh.vertices, mesh.faces, mesh))
    return known[1]


def spined(shape: Shape) -> Shape:
    """The shape with a spine of `SPINE` bones along its longest axis, for meshes that bend."""
    axis = int(np.ptp(shape.vertices, axis=0).argmax())
    low, high = shape.vertices[:, axis].min(), shape.vertices[:, axis].max()
    along = (shape.vertices[:, axis] - low) / max(high - low, 1e-6) * SPINE - 0.5
    first = np.clip(np.floor(along), 0, SPINE - 2).astype(np.int32)
    weight = np.clip(1 - (along - first), 0, 1).astype(np.float32)
    heads = np.zeros((SPINE, 3))
    heads[:, axis] = low + (high - low) * np.arange(SPINE) / SPINE
    return Shape(
        **{name: getattr(shape, name) for name in _SURFACE},
        bones=np.stack([first, first + 1], 1),
        weight=weight,
        parents=tuple(range(-1, SPINE - 1)),
        heads=tuple((float(x), float(y), float(z)) for x, y, z in heads),
    )


_SURFACE = ("vertices", "normals", "faces", "uv", "texture", "color")


def _shape(
    vertices: np.ndarray,
    faces: np.ndarray,
    mesh: Mesh | None = None,
    uv: np.ndarray | None = None,
    crease: float = _CREASE,
) -> Shape:
    vertices = np.ascontiguousarray(vertices, np.float32)
    faces = np.ascontiguousarray(faces, np.int32)
    split, normals, faces = _split_creases(vertices, faces, crease)
    count = len(faces)
    return Shape(
        vertices=split,
        normals=normals,
        faces=faces,
        uv=np.ascontiguousarray(mesh.uv if mesh is not None else uv, np.float32),
        texture=mesh.texture if mesh is not None else np.full(count, -1, np.int32),
        color=mesh.color if mesh is not None else np.ones((count, 3), np.float32),
        bones=np.zeros((len(split), 2), np.int32),
        weight=np.ones(len(split), np.float32),
    )


@exact_kernel
def _split_creases(vertices, faces, crease):  # type: ignore[no-untyped-def]
    """(vertices, normals, faces): each vertex once for every smooth group around it."""
    count = len(faces)
    area, normal = _face_normals(vertices, faces)
    first = np.full(len(vertices), -1, np.int64)  # corners around a vertex, as a chain
    following = np.empty(3 * count, np.int64)
    for corner in range(3 * count):
        v = faces[corner // 3, corner % 3]
        following[corner] = first[v]
        first[v] = corner
    new_faces = np.empty_like(faces)
    source = np.empty(3 * count, np.int32)
    normals = np.empty((3 * count, 3), np.float32)
    made = 0
    for v in range(len(vertices)):
        start = made
        corner = first[v]
        while corner >= 0:
            f = corner // 3
            x, y, z = 0.0, 0.0, 0.0
            other = first[v]
            while other >= 0:
                g = other // 3
                turn = (
                    normal[f, 0] * normal[g, 0]
                    + normal[f, 1] * normal[g, 1]
                    + normal[f, 2] * normal[g, 2]
                )
                if turn > crease:
                    x += area[g] * normal[g, 0]
                    y += area[g] * normal[g, 1]
                    z += area[g] * normal[g, 2]
                other = following[other]
            length = np.sqrt(x * x + y * y + z * z) + 1e-20
            x, y, z = x / length, y / length, z / length
            at = -1
            for k in range(start, made):
                if normals[k, 0] * x + normals[k, 1] * y + normals[k, 2] * z > 0.999:
                    at = k
            if at < 0:
                at = made
                normals[at, 0], normals[at, 1], normals[at, 2] = x, y, z
                source[at] = v
                made += 1
            new_faces[f, corner % 3] = at
            corner = following[corner]
    return vertices[source[:made]], normals[:made].copy(), new_faces


@exact_kernel
def _face_normals(vertices, faces):  # type: ignore[no-untyped-def]
    """(twice the area [F], unit normal [F, 3]) of the faces."""
    area, normal = np.empty(len(faces)), np.empty((len(faces), 3))
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        x, y, z = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ex, ey, ez = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
        fx, fy, fz = vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z
        x, y, z = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
        area[f] = np.sqrt(x * x + y * y + z * z)
        length = area[f] + 1e-20
        normal[f, 0], normal[f, 1], normal[f, 2] = x / length, y / length, z / length
    return area, normal


def _grid(rows: int, columns: int) -> np.ndarray:
    """[F, 3] faces of a grid of rows x columns vertices."""
    at = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.ravel() for x in (at[:-1, :-1], at[1:, :-1], at[:-1, 1:], at[1:, 1:]))
    return np.concatenate([np.stack([a, b, c], 1), np.stack([d, c, b], 1)])


@lru_cache(maxsize=8)
def sheet(cells: int = 20) -> Shape:
    """A flat square in x and z: cloth, paper, a flag, a picture."""
    across, up = np.meshgrid(
        np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1), indexing="ij"
    )
    uv = np.stack([across, 1 - up], -1).reshape(-1, 2)
    vertices = np.stack([across - 0.5, np.zeros_like(up), up - 0.5], -1).reshape(-1, 3)
    faces = _grid(cells + 1, cells + 1)
    return _shape(vertices, faces, uv=uv[faces])


@lru_cache(maxsize=1)
def box(cells: int = 4) -> Shape:
    """A cube with each side from 0 to 1 in u and v, cut into cells so that it can bend."""
    flat = sheet(cells)
    square, corners = flat.vertices[:, [0, 2]], flat.faces
    sides: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for sign in (-0.5, 0.5):
            side = np.insert(square, axis, sign, axis=1)
            faces.append(corners + len(sides) * len(square))
            sides.append(side)
    return _shape(np.concatenate(sides), np.concatenate(faces), uv=np.tile(flat.uv, (6, 1, 1)))


@lru_cache(maxsize=1)
def ball(rows: int = 14, columns: int = 24) -> Shape:
    """A ball; the texture goes twice around it."""
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    uv = np.stack([2 * u, v], -1).reshape(-1, 2)
    polar, azimuth = v.ravel() * np.pi, u.ravel() * 2 * np.pi
    ring = np.sin(polar)
    vertices = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), np.cos(polar)], 1) / 2
    faces = _grid(rows, columns)
    shape = _shape(vertices, faces, uv=uv[faces])
    length = np.linalg.norm(shape.vertices, axis=1, keepdims=True)
    return Shape(**vars(shape) | {"normals": shape.vertices / length})


@dataclass(frozen=True)
class Bone:
    """A limb from head to tail, in the figure's coordinates."""

    parent: int
    head: tuple[float, float, float]
    tail: tuple[float, float, float]
    radius: tuple[float, float]


FIGURES = ("biped", "quadruped", "worm", "star")


@lru_cache(maxsize=64)
def skeleton(pick: float) -> tuple[Bone, ...]:
    """The bones of the figure `pick` (0..1): its kind, and its proportions, are read off it."""
    kind = FIGURES[min(int(pick * len(FIGURES)), len(FIGURES) - 1)]
    random = np.random.default_rng(int(pick * 1e6))
    build = {"biped": _biped, "quadruped": _quadruped, "worm": _worm, "star": _star}[kind]
    return tuple(build(random))


def _limb(parent: int, chain: list[tuple], radii: list[float], first: int) -> list[Bone]:
    """Bones along the points of `chain`, the first hanging on `parent`, numbered from `first`."""
    return [
        Bone(parent if i == 0 else first + i - 1, chain[i], chain[i + 1], (radii[i], radii[i + 1]))
        for i in range(len(chain) - 1)
    ]


def _biped(random: np.random.Generator) -> list[Bone]:
    thick, leg, arm = random.uniform(0.7, 1.4), random.uniform(0.4, 0.52), random.uniform(0.3, 0.42)
    hip, neck = leg - 0.5, 0.32
    bones = _limb(-1, [(0, 0, hip), (0, 0, (hip + neck) / 2), (0, 0, neck)], [0.09, 0.1, 0.11], 0)
    bones += _limb(1, [(0, 0, neck + 0.02), (0, 0, 0.45)], [0.075, 0.085], 2)
    for side in (-1.0, 1.0):
        x = 0.08 * side
        knee, foot = (x, 0, hip - leg / 2), (x, 0.02, -0.48)
        bones += _limb(0, [(x, 0, hip), knee, foot], [0.06, 0.05, 0.035], len(bones))
        x = 0.15 * side
        chain = [(x, 0, neck - 0.03), (x * 1.5, 0, neck - arm / 2), (x * 1.6, 0.05, neck - arm)]
        bones += _limb(1, chain, [0.045, 0.038, 0.03], len(bones))
    return [
        Bone(b.parent, b.head, b.tail, (b.radius[0] * thick, b.radius[1] * thick)) for b in bones
    ]


def _quadruped(random: np.random.Generator) -> list[Bone]:
    thick, leg = random.uniform(0.7, 1.3), random.uniform(0.25, 0.5)
    bones = _limb(-1, [(-0.3, 0, 0), (0, 0, 0.02), (0.28, 0, 0.02)], [0.11, 0.12, 0.13], 0)
    reach, rise = random.uniform(0.05, 0.18), random.uniform(0.05, 0.3)
    chain = [(0.3, 0, 0.05), (0.3 + reach, 0, rise), (0.42 + reach, 0, rise - 0.05)]
    bones += _limb(1, chain, [0.07, 0.075, 0.04], len(bones))
    chain = [(-0.33, 0, 0.05), (-0.45, 0, 0.02), (-0.5, 0, -0.1)]
    bones += _limb(0, chain, [0.03, 0.025, 0.015], len(bones))
    for x, parent in ((-0.27, 0), (0.27, 1)):
        for y in (-0.08, 0.08):
            leg_chain = [(x, y, -0.03), (x - 0.03, y, -leg / 2), (x, y, -leg)]
            bones += _limb(parent, leg_chain, [0.06, 0.04, 0.03], len(bones))
    return [
        Bone(b.parent, b.head, b.tail, (b.radius[0] * thick, b.radius[1] * thick)) for b in bones
    ]


def _worm(random: np.random.Generator) -> list[Bone]:
    count, radius = int(random.integers(4, 8)), random.uniform(0.04, 0.1)
    chain = [(x, 0.0, 0.0) for x in np.linspace(-0.5, 0.5, count + 1).tolist()]
    return _limb(-1, chain, (radius * random.uniform(0.6, 1.2, count + 1)).tolist(), 0)


def _star(random: np.random.Generator) -> list[Bone]:
    bones = [Bone(-1, (0, 0, -0.05), (0, 0, 0.05), (0.13, 0.13))]
    arms = int(random.integers(3, 7))
    for angle in np.arange(arms) * 2 * np.pi / arms:
        x, y = float(np.cos(angle)), float(np.sin(angle))
        chain = [(0.1 * x, 0.1 * y, 0), (0.3 * x, 0.3 * y, 0), (0.5 * x, 0.5 * y, 0)]
        bones += _limb(0, chain, [0.07, 0.05, 0.03], len(bones))
    return bones


@lru_cache(maxsize=64)
def figure(pick: float) -> Shape:
    """The skin of a skeleton: one rounded, tapering limb per bone, overlapping at the joints."""
    bones = skeleton(pick)
    limbs = [_limb_surface(number, bone, len(bones)) for number, bone in enumerate(bones)]
    counts = np.cumsum([0, *(len(vertices) for vertices, _, _, _ in limbs)])
    shape = _shape(
        np.concatenate([limb[0] for limb in limbs]),
        np.concatenate([limb[1] + start for limb, start in zip(limbs, counts[:-1], strict=True)]),
        uv=np.concatenate([limb[2] for limb in limbs]),
        crease=-2.0,  # smooth: no vertex is split, so weights keep their place
    )
    parents = [bone.parent for bone in bones]
    own = np.repeat(np.arange(len(bones)), np.diff(counts)).astype(np.int32)
    parent = np.maximum(np.array(parents, np.int32)[own], 0)
    surface = {name: getattr(shape, name) for name in _SURFACE}
    return Shape(
        **surface,
        bones=np.stack([own, parent], 1),
        weight=np.concatenate([limb[3] for limb in limbs]),
        parents=tuple(parents),
        heads=tuple(bone.head for bone in bones),
    )


def _limb_surface(number: int, bone: Bone, count: int, rings: int = 9, sides: int = 10) -> tuple:
    """(vertices, faces, uv, share of the own bone) of a capsule around a bone."""
    head, tail = np.array(bone.head, float), np.array(bone.tail, float)
    along = tail - head
    length = max(float(np.linalg.norm(along)), 1e-9)
    along = along / length
    aside = np.cross(along, [1.0, 0.3, 0.2] if abs(along[0]) < 0.9 else [0.0, 1.0, 0.3])
    aside /= np.linalg.norm(aside)
    above = np.cross(along, aside)
    s = (1 - np.cos(np.linspace(0, np.pi, rings))) / 2  # dense where the ends close
    start, end = -bone.radius[0] * 0.8, length + bone.radius[1] * 0.8
    reach = start + (end - start) * s
    taper = bone.radius[0] + (bone.radius[1] - bone.radius[0]) * np.clip(reach / length, 0, 1)
    radius = taper * np.sqrt(np.maximum(1 - (2 * s - 1) ** 6, 0)) + 1e-4
    angle = np.arange(sides) * 2 * np.pi / sides
    circle = np.cos(angle)[:, None] * aside + np.sin(angle)[:, None] * above
    vertices = head + reach[:, None, None] * along + radius[:, None, None] * circle[None]
    around = np.linspace(0, 1, sides + 1)
    uv = np.stack(np.meshgrid((number + s) / count, around, indexing="ij"), -1).reshape(-1, 2)
    corners = _grid(rings, sides + 1)  # the last column is the first one, but for its uv
    faces = corners // (sides + 1) * sides + corners % (sides + 1) % sides
    own = np.clip(0.5 + reach / (0.5 * length), 0.0, 1.0)
    own = np.repeat(own if bone.parent >= 0 else np.ones_like(own), sides)
    return vertices.reshape(-1, 3), faces, uv[corners], own.astype(np.float32)
