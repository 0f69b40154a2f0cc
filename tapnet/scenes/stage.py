"""A scene with its assets, as the arrays that renderers read: the same for every backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tapnet.scenes import camera as views
from tapnet.scenes import motion, shapes
from tapnet.scenes.compiled import exact_kernel
from tapnet.scenes.world import Body, Room, Scene, Skin

if TYPE_CHECKING:
    from tapnet.scenes.assets import Assets


class Skeleton(NamedTuple):
    """What moves the vertices."""

    vertices: np.ndarray  # [V, 3] float32 at rest, in the units of the world
    normals: np.ndarray  # [V, 3] float32
    bones: np.ndarray  # [V, 2] int32
    weight: np.ndarray  # [V] float32, the share of the first bone
    owner: np.ndarray  # [V] int32 body
    wave_start: np.ndarray  # [O + 1] int32: body o has the waves wave_start[o] .. [o + 1]
    waves: np.ndarray  # [K, 8] float32: amplitude 3, number 3, rate, phase


class Surface(NamedTuple):
    """What the faces and the six planes of the room look like."""

    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [F, 3, 2] float32
    tint: np.ndarray  # [F, 3] float32 linear
    texture: np.ndarray  # [F] int32 index into `offset`
    density: np.ndarray  # [F] float32 texels per unit of length
    body: np.ndarray  # [F] int32
    shine: np.ndarray  # [O] float32
    room: np.ndarray  # [2, 3] float32 low and high corner
    plane: np.ndarray  # [6, 8] float32: u origin, u per unit, v origin, v per unit, tint 3, density
    plane_texture: np.ndarray  # [6] int32
    texels: np.ndarray  # [P] int32: red + 256 green + 65536 blue, pyramids one after another
    offset: np.ndarray  # [M] int32 where a texture's pyramid starts
    side: np.ndarray  # [M] int32 its finest level's side, a power of two


@dataclass(frozen=True)
class Stage:
    """Geometry and looks of one clip."""

    scene: Scene
    skeleton: Skeleton
    surface: Surface
    still_faces: int  # the first so many faces never move
    still_vertices: int
    parents: tuple[tuple[int, int], ...]  # of bones: (body, parent bone or -1)
    heads: np.ndarray  # [bones, 3] where each bone turns, units of the world
    lift: np.ndarray  # [O] how far settled bodies are raised

    def geometry(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(cameras [S, 15] float64, bones [S, bones, 12] float32 rows of 3 x 4) at times [S]."""
        cameras = views.cameras(self.scene, times)
        rotation, position = motion.poses(self.scene, times, cameras)
        position[..., 2] += self.lift
        bones = np.zeros((len(times), len(self.parents), 3, 4))
        joint = 0
        for bone, (body, parent) in enumerate(self.parents):
            if parent < 0:
                bones[:, bone, :, :3] = rotation[:, body]
                bones[:, bone, :, 3] = position[:, body]
                joint = 0  # of the body's joints, the next bone's
                continue
            bones[:, bone] = bones[:, parent]
            joints = self.scene.bodies[body].joints
            if joint < len(joints):
                _turn_bone(bones[:, bone], self.heads[bone], joints[joint], times)
            joint += 1
        return cameras, bones.reshape(len(times), -1, 12).astype(np.float32)


def _turn_bone(matrices: np.ndarray, head: np.ndarray, joint, times: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Turn the [S, 3, 4] `matrices` about `head` by the joint's angle, in place."""
    angle = joint.rest + joint.swing * np.sin(joint.rate * times + joint.phase)
    turn = views.rotations(angle[:, None] * np.asarray(joint.axis))
    shift = head - turn @ head
    matrices[:, :, 3] += (matrices[:, :, :3] @ shift[:, :, None])[..., 0]
    matrices[:, :, :3] = matrices[:, :, :3] @ turn


def build(scene: Scene, assets: Assets) -> Stage:
    """The stage of a scene: shapes placed in common arrays, textures with their pyramids."""
    order = sorted(range(len(scene.bodies)), key=lambda i: _moves(scene.bodies[i]))
    textures = _Textures(assets)
    parts = [_Part(scene.bodies[i], i, assets, textures) for i in order]
    vertices = np.cumsum([0, *(len(p.shape.vertices) for p in parts)])
    bones = np.cumsum([0, *(len(p.shape.parents) for p in parts)])
    still = [p for p in parts if not _moves(p.body)]
    waves = [wave for body in scene.bodies for wave in _waves(body)]
    lift = np.zeros(len(scene.bodies))
    for part in parts:
        if part.body.settle:
            lift[part.index] = part.lift(scene.room.low[2])
    skeleton = Skeleton(
        vertices=_joined([p.vertices for p in parts], (0, 3), np.float32),
        normals=_joined([p.normals for p in parts], (0, 3), np.float32),
        bones=_joined(
            [p.shape.bones + b for p, b in zip(parts, bones, strict=False)], (0, 2), np.int32
        ),
        weight=_joined([p.shape.weight for p in parts], (0,), np.float32),
        owner=_joined([np.full(len(p.shape.vertices), p.index) for p in parts], (0,), np.int32),
        wave_start=np.cumsum([0, *(len(body.waves) for body in scene.bodies)]).astype(np.int32),
        waves=np.array(waves, np.float32).reshape(-1, 8),
    )
    plane, plane_texture = _planes(scene.room, textures)
    surface = Surface(
        faces=_joined(
            [p.shape.faces + v for p, v in zip(parts, vertices, strict=False)], (0, 3), np.int32
        ),
        uv=_joined([p.uv for p in parts], (0, 3, 2), np.float32),
        tint=_joined([p.tint for p in parts], (0, 3), np.float32),
        texture=_joined([p.texture for p in parts], (0,), np.int32),
        density=_joined([p.density for p in parts], (0,), np.float32),
        body=_joined([np.full(len(p.shape.faces), p.index) for p in parts], (0,), np.int32),
        shine=np.array([body.skin.shine for body in scene.bodies], np.float32),
        room=np.array([scene.room.low, scene.room.high], np.float32),
        plane=plane,
        plane_texture=plane_texture,
        texels=np.concatenate(textures.pyramids),
        offset=np.cumsum([0, *(len(p) for p in textures.pyramids)])[:-1].astype(np.int32),
        side=np.array(textures.sides, np.int32),
    )
    return Stage(
        scene=scene,
        skeleton=skeleton,
        surface=surface,
        still_faces=sum(len(p.shape.faces) for p in still),
        still_vertices=sum(len(p.shape.vertices) for p in still),
        parents=tuple(
            (p.index, parent + b if parent >= 0 else -1)
            for p, b in zip(parts, bones.tolist(), strict=False)
            for parent in p.shape.parents
        ),
        heads=_joined([np.array(p.shape.heads) * p.body.size for p in parts], (0, 3), np.float64),
        lift=lift,
    )


def _joined(parts: list[np.ndarray], empty: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(empty, dtype), *parts]).astype(dtype, copy=False)


def _moves(body: Body) -> bool:
    return bool(body.motion != "static" or body.waves or body.joints or body.sway)


def _waves(body: Body) -> list[tuple[float, ...]]:
    """The body's waves in units of the world."""
    size = np.asarray(body.size)
    return [
        (*(w.amplitude * size), *(np.asarray(w.number) / np.maximum(size, 1e-6)), w.rate, w.phase)
        for w in body.waves
    ]


class _Part:
    """One body's share of the arrays."""

    def __init__(self, body: Body, index: int, assets: Assets, textures: _Textures) -> None:
        self.body, self.index = body, index
        self.shape = shape = shape_of(body, assets)
        size = np.asarray(body.size, np.float32)
        self.vertices = shape.vertices * size
        stretched = shape.normals / np.maximum(size, 1e-6)
        self.normals = stretched / (np.linalg.norm(stretched, axis=1, keepdims=True) + 1e-12)
        own = body.skin.cover == "own"
        self.uv = shape.uv if own else shape.uv * np.float32(body.skin.repeat)
        tint = np.asarray(body.skin.tint, np.float32)
        self.tint = shape.color**2 * tint if own else np.broadcast_to(tint, shape.color.shape)
        if own:
            table = np.zeros(shape.texture.max(initial=-1) + 2, np.int32)
            for used in np.flatnonzero(np.bincount(shape.texture + 1)):
                table[used] = textures.add(int(used) - 1)
            self.texture = table[shape.texture + 1]
        else:
            self.texture = np.full(len(shape.faces), textures.of(body.skin), np.int32)
        sides = np.array(textures.sides, np.float32)[self.texture]
        self.density = _density(self.vertices, shape.faces, self.uv) * sides

    def lift(self, floor: float) -> float:
        """How far the body must rise so that its lowest vertex touches the floor."""
        turned = self.vertices @ views.rotations(np.asarray(self.body.rotation, float))[2]
        return float(floor - self.body.position[2] - turned.min())


def shape_of(body: Body, assets: Assets) -> shapes.Shape:
    """The body's shape at rest; a mesh where the pack has none is a box."""
    if body.shape == "sheet":
        return shapes.sheet()
    if body.shape == "ball":
        return shapes.ball()
    if body.shape == "figure":
        return shapes.figure(body.pick)
    if body.shape == "box" or not assets.meshes:
        return shapes.box()
    shape = shapes.of_mesh(assets.meshes[int(body.pick * len(assets.meshes))])
    return shapes.spined(shape) if body.joints else shape


class _Textures:
    """The textures a scene uses, each once; number 0 is white."""

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
        self.known: dict[int, int] = {-1: 0}
        self.pyramids = [np.array([0xFFFFFF], np.int32)]
        self.sides = [1]

    def add(self, index: int) -> int:
        """The number here of the pack's texture `index`."""
        if index not in self.known:
            image = self.assets.textures[index]
            self.known[index] = len(self.sides)
            self.pyramids.append(pyramid(image))
            self.sides.append(len(image))
        return self.known[index]

    def of(self, skin: Skin) -> int:
        if skin.cover in ("plain", "own"):
            return self.add(-1)
        lists = (self.assets.surfaces, self.assets.photos)
        wanted, other = lists if skin.cover == "surface" else lists[::-1]
        choices = wanted if len(wanted) else other
        return self.add(int(choices[int(skin.pick * len(choices))]) if len(choices) else -1)


@exact_kernel
def pyramid(image):  # type: ignore[no-untyped-def]
    """[P] int32 texels of a uint8 image [S, S, 3], S a power of two, and all its halvings."""
    side = len(image)
    out = np.empty((4 * side * side - 1) // 3, np.int32)
    for y in range(side):
        for x in range(side):
            r, g, b = np.int32(image[y, x, 0]), np.int32(image[y, x, 1]), np.int32(image[y, x, 2])
            out[y * side + x] = r | g << 8 | b << 16
    above, at, side = 0, side * side, side // 2
    while side > 0:
        for y in range(side):
            for x in range(side):
                first = above + 4 * side * y + 2 * x
                texel = out[first]
                low, green = texel & 0xFF00FF, texel >> 8 & 255
                for corner in (first + 1, first + 2 * side, first + 2 * side + 1):
                    texel = out[corner]
                    low += texel & 0xFF00FF  # red and blue at once
                    green += texel >> 8 & 255
                mean = (low + 0x20002) >> 2 & 0xFF00FF | ((green + 2) >> 2) << 8
                out[at + y * side + x] = mean
        above, at, side = at, at + side * side, side // 2
    return out


@exact_kernel
def _density(vertices, faces, uv):  # type: ignore[no-untyped-def]
    """[F] texture repeats per unit of length: the root of the ratio of the areas."""
    out = np.empty(len(faces), np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        x, y, z = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ex, ey, ez = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
        fx, fy, fz = vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z
        x, y, z = ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx
        area = max(np.sqrt(x * x + y * y + z * z), 1e-12)
        eu, ev = uv[f, 1, 0] - uv[f, 0, 0], uv[f, 1, 1] - uv[f, 0, 1]
        fu, fv = uv[f, 2, 0] - uv[f, 0, 0], uv[f, 2, 1] - uv[f, 0, 1]
        out[f] = np.sqrt(abs(eu * fv - ev * fu) / area)
    return out


def _planes(room: Room, textures: _Textures) -> tuple[np.ndarray, np.ndarray]:
    """(plane [6, 8], plane_texture [6]); with repeat 0 a photo fills its plane, upright."""
    low, high = np.array(room.low), np.array(room.high)
    plane = np.zeros((6, 8), np.float32)
    numbers = np.array([textures.of(skin) for skin in room.skins], np.int32)
    for k, skin in enumerate(room.skins):
        across, up = ((1, 2), (0, 2), (0, 1))[k // 2]
        extent = high - low
        period = (extent[across], extent[up]) if skin.repeat <= 0 else (skin.repeat,) * 2
        per_u, per_v = 1 / max(period[0], 1e-6), 1 / max(period[1], 1e-6)
        density = max(per_u, per_v) * textures.sides[numbers[k]]
        wall = k < 4
        plane[k] = (
            low[across],
            per_u,
            high[up] if wall else low[up],
            -per_v if wall else per_v,
            *skin.tint,
            density,
        )
    return plane, numbers
