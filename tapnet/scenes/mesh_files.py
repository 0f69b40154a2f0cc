"""Reads triangle meshes with their textures from OBJ (+ MTL) and GLB files.

Only what scenes need: positions, UV, base colour and base-colour texture. No animation, no skins.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

Fetch = Callable[[str], bytes | None]  # content of a file named in a mesh file, None = not there
_UNREADABLE = (  # what files that are not what they should be raise, within
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Material:
    """How faces look: a plain colour, or an encoded image (JPEG, PNG ...) when there is one."""

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    image: bytes | None = None


@dataclass(frozen=True)
class RawMesh:
    """A mesh as its file gives it: y up, any unit, v of the UV up."""

    positions: np.ndarray  # [V, 3] float64
    uv: np.ndarray  # [V, 2] float64
    faces: np.ndarray  # [F, 3] int64
    material: np.ndarray  # [F] int64, index into materials
    materials: tuple[Material, ...]


def read_mesh(path: str | Path) -> RawMesh:
    """The mesh in an .obj or .glb file. Raises FileNotFoundError, ValueError naming the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an .obj or .glb file, no such file; check it")
    data = path.read_bytes()

    def fetch(name: str) -> bytes | None:
        found = path.parent / name
        return found.read_bytes() if found.is_file() else None

    try:
        if path.suffix.lower() == ".obj":
            return parse_obj(data, fetch)
        if path.suffix.lower() == ".glb":
            return parse_glb(data)
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable mesh ({error!r}); export it again") from error
    raise ValueError(f"{path}: expected .obj or .glb, got {path.suffix}; convert it to GLB")


def parse_obj(data: bytes, fetch: Fetch) -> RawMesh:
    """An OBJ file; `fetch` gives its MTL files and images. Polygons become fans of triangles.

    Raises ValueError or IndexError when a line cannot be understood or an index leads nowhere.
    """
    points: list[list[float]] = []
    coordinates: list[list[float]] = []
    corners: dict[tuple[int, int], int] = {}
    faces: list[tuple[int, int, int]] = []
    material: list[int] = []
    names: dict[str, int] = {}
    known: dict[str, Material] = {}
    current = ""

    def corner(text: str) -> int:
        parts = text.split("/")
        at = _index(parts[0], len(points))
        uv = _index(parts[1], len(coordinates)) if len(parts) > 1 and parts[1] else -1
        return corners.setdefault((at, uv), len(corners))

    for line in data.decode("utf-8", "replace").replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "v":
            points.append([float(x) for x in rest.split()[:3]])
        elif word == "vt":
            coordinates.append([float(x) for x in [*rest.split(), "0"][:2]])
        elif word == "f":
            ring = [corner(text) for text in rest.split()]
            fan = list(pairwise(ring[1:]))
            faces += [(ring[0], b, c) for b, c in fan]
            material += [names.setdefault(current, len(names))] * len(fan)
        elif word == "usemtl":
            current = rest.strip()
        elif word == "mtllib":
            known |= _mtl(fetch(rest.strip()) or b"", fetch)
    if not faces:
        raise ValueError("no faces in it")
    at = np.array(list(corners), np.int64)
    uv = np.array([*coordinates, [0.0, 0.0]], np.float64)
    return RawMesh(
        positions=np.array(points, np.float64).reshape(-1, 3)[at[:, 0]],
        uv=uv[at[:, 1]],
        faces=np.array(faces, np.int64),
        material=np.array(material, np.int64),
        materials=tuple(known.get(name, Material()) for name in names),
    )


def _index(text: str, count: int) -> int:
    """OBJ counts from 1, negative numbers from the end."""
    number = int(text)
    found = number - 1 if number > 0 else count + number
    if number == 0 or not 0 <= found < count:
        raise IndexError(f"index {number}, but there are {count}")
    return found


def _mtl(data: bytes, fetch: Fetch) -> dict[str, Material]:
    found: dict[str, Material] = {}
    name = ""
    for line in data.decode("utf-8", "replace").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "newmtl":
            name = rest.strip()
            found[name] = Material()
        elif word == "Kd" and name:
            red, green, blue = (float(x) for x in rest.split()[:3])
            found[name] = Material((red, green, blue), found[name].image)
        elif word == "map_Kd" and name:
            found[name] = Material(found[name].color, _map(rest.strip(), fetch))
    return found


def _map(text: str, fetch: Fetch) -> bytes | None:
    """The image of a map_Kd line, whose options (-s 1 1 1 ...) stand before the file name."""
    name = text.replace("\\", "/")
    if name.startswith("-"):
        name = name.split()[-1]
    return fetch(name) or fetch(PurePosixPath(name).name)


_COMPONENT = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def parse_glb(data: bytes) -> RawMesh:
    """A binary glTF 2.0 file: all triangle primitives of its scene, with the nodes' transforms.

    Raises ValueError for other files, compressed geometry and files without triangles.
    """
    document, binary = _chunks(data)
    if "KHR_draco_mesh_compression" in document.get("extensionsRequired", []):
        raise ValueError("its geometry is compressed (Draco); export it uncompressed")
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, int]] = []
    for mesh, transform in _instances(document):
        for primitive in document["meshes"][mesh]["primitives"]:
            if primitive.get("mode", 4) == 4:
                parts.append(_primitive(document, binary, primitive, transform))
    if not parts:
        raise ValueError("no triangles in it")
    starts = np.cumsum([0] + [len(positions) for positions, *_ in parts])
    described = document.get("materials", [])
    materials = [_glb_material(document, binary, entry) for entry in described]
    return RawMesh(
        positions=np.concatenate([part[0] for part in parts]),
        uv=np.concatenate([part[1] for part in parts]),
        faces=np.concatenate([p[2] + start for p, start in zip(parts, starts, strict=False)]),
        material=np.concatenate(
            [np.full(len(p[2]), p[3] if p[3] >= 0 else len(materials)) for p in parts]
        ),
        materials=(*materials, Material()),
    )


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError("it does not begin with glTF")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2 or length > len(data):
        raise ValueError(f"version {version}, {len(data)} of {length} bytes")
    chunks, at = {}, 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        chunks[kind] = data[at + 8 : at + 8 + size]
        at += 8 + size
    return json.loads(chunks[b"JSON"]), chunks.get(b"BIN\0", b"")


def _instances(document: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
    """(mesh, its 4x4 transform) for each node of the scene with a mesh."""
    nodes = document.get("nodes", [])
    scenes = document.get("scenes", [{"nodes": range(len(nodes))}])
    stack = [(node, np.eye(4)) for node in scenes[document.get("scene", 0)].get("nodes", [])]
    found, steps = [], 0
    while stack:
        number, above = stack.pop()
        node = nodes[number]
        transform = above @ _transform(node)
        if "mesh" in node:
            found.append((node["mesh"], transform))
        stack += [(child, transform) for child in node.get("children", [])]
        steps += 1
        if steps > len(nodes):  # in a tree each node is met once
            raise ValueError("its nodes form a loop")
    return found


def _transform(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.array(node.get("scale", (1, 1, 1)))
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _primitive(
    document: dict[str, Any], binary: bytes, primitive: dict[str, Any], transform: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    attributes = primitive["attributes"]
    positions = _accessor(document, binary, attributes["POSITION"]).astype(np.float64)
    positions = positions @ transform[:3, :3].T + transform[:3, 3]
    if "TEXCOORD_0" in attributes:
        uv = _accessor(document, binary, attributes["TEXCOORD_0"]).astype(np.float64)
        uv = uv * [1, -1] + [0, 1]
    else:
        uv = np.zeros((len(positions), 2))
    if "indices" in primitive:
        faces = _accessor(document, binary, primitive["indices"]).astype(np.int64)
    else:
        faces = np.arange(len(positions))
    return positions, uv, faces.reshape(-1, 3), primitive.get("material", -1)


def _accessor(document: dict[str, Any], binary: bytes, number: int) -> np.ndarray:
    """[count, width] values."""
    accessor = document["accessors"][number]
    width, kind = _WIDTH[accessor["type"]], np.dtype(_COMPONENT[accessor["componentType"]])
    view = document["bufferViews"][accessor["bufferView"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", width * kind.itemsize)
    count = accessor["count"]
    if stride < width * kind.itemsize:
        raise ValueError(f"accessor {number} has values {stride} bytes apart")
    if start + (count - 1) * stride + width * kind.itemsize > len(binary):
        raise ValueError(f"accessor {number} reaches past the end of the file")
    values = np.ndarray((count, width), kind, binary, start, (stride, kind.itemsize))
    if accessor.get("normalized"):
        return values / float(np.iinfo(kind).max)
    return values


def _glb_material(document: dict[str, Any], binary: bytes, entry: dict[str, Any]) -> Material:
    surface = entry.get("pbrMetallicRoughness", {})
    red, green, blue = (float(x) for x in surface.get("baseColorFactor", (1, 1, 1, 1))[:3])
    if "baseColorTexture" not in surface:
        return Material((red, green, blue))
    texture = document["textures"][surface["baseColorTexture"]["index"]]
    image = document["images"][texture["source"]]
    if "bufferView" not in image:
        return Material((red, green, blue))
    view = document["bufferViews"][image["bufferView"]]
    start = view.get("byteOffset", 0)
    return Material((red, green, blue), binary[start : start + view["byteLength"]])
