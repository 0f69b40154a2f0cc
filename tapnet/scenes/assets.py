"""The objects, textures and photographs scenes are made of: a pack on disk, resident in memory.

A pack is a folder:

    manifest.json   a list with one line for each item: file, kind, source, path, license, author
    meshes.npz      of each mesh: _v [V,3] uint16, _f [F,3], _t [V,2] float16, _m [F] material
    mesh_tex/  textures/  photos/    JPEG or PNG images

Positions in the file are y up and 0..65535 over -1..1. The package ships a small pack;
`tapnet.scenes.sources` builds large ones.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from tapnet.pickles import UNREADABLE
from tapnet.scenes.meshes import Mesh, fixed, make_mesh

SHIPPED = Path(__file__).parent / "pack"
TEXTURE_SIZE = 256
PHOTO_SIZE = 512
VALIDATION_SHARE = 0.15

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Assets:
    """All meshes and textures of a pack (or of a part of it). Arrays are read-only."""

    meshes: tuple[Mesh, ...]
    textures: tuple[np.ndarray, ...]  # uint8 RGB [256,256,3], photographs [512,512,3]
    surfaces: np.ndarray  # [n] int indices of the textures meant for floors, walls, cloth
    photos: np.ndarray  # [n] int indices of the photographs
    names: tuple[str, ...]  # of textures
    groups: tuple[str, ...]  # of textures; views of one photograph share it
    fingerprint: str  # of the pack: scenes made from the same fingerprint and seed are equal

    def subset(self, part: Part) -> Assets:
        """The part for training or for validation (about 15 %); the two have nothing in common.

        Decided by a hash of names, so an item stays in its part whatever else the pack holds, but
        for one that changes sides where all of a kind would be in one part.
        Indices of textures do not change. A mesh which shares a texture with a validation mesh is
        in neither part. A kind with one item only gives it to both parts.
        """
        if part not in ("train", "validation"):
            raise ValueError(f"part: expected 'train' or 'validation', got {part!r}")
        chosen = validation_groups({mesh.group for mesh in self.meshes})
        meshes = _keep(self.meshes, [mesh.group in chosen for mesh in self.meshes], part)
        if part == "train":
            held = _textures_of(mesh for mesh in self.meshes if mesh.group in chosen)
            meshes = [m for m in meshes if not held & _textures_of([m])] or meshes
        return replace(
            self,
            meshes=tuple(meshes),
            surfaces=self._keep_textures(self.surfaces, part),
            photos=self._keep_textures(self.photos, part),
            fingerprint=f"{self.fingerprint}:{part}",
        )

    def _keep_textures(self, indices: np.ndarray, part: Part) -> np.ndarray:
        groups = [self.groups[i] for i in indices]
        chosen = validation_groups(set(groups))
        return fixed(_keep(list(indices), [group in chosen for group in groups], part), np.int64)


def _keep(items: Sequence[Any], held: list[bool], part: Part) -> list[Any]:
    """The items of `part`; a part that would be empty (one item only) gets all."""
    kept = [item for item, h in zip(items, held, strict=True) if h == (part == "validation")]
    return kept or list(items)


def _textures_of(meshes: Iterable[Mesh]) -> set[int]:
    return {int(index) for mesh in meshes for index in np.unique(mesh.texture)} - {-1}


def validation_groups(groups: set[str]) -> set[str]:
    """Those groups that belong to validation: a fixed share by hash, at least one, never all."""
    ranked = sorted(groups, key=_share)
    if len(ranked) < 2:
        return set()
    chosen = sum(_share(group) < VALIDATION_SHARE for group in ranked)
    return set(ranked[: min(max(chosen, 1), len(ranked) - 1)])


def _share(group: str) -> float:
    """A number in 0..1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:6], "big") / 2**48


def group_of(item: dict[str, Any]) -> str:
    """What an item of the manifest is a variant of: chair2.obj and chair11.obj are one group.

    Numbers at the end of users' own file names are counters, not variants: they are kept.
    """
    source, path = str(item["source"]), str(item.get("path", item["file"]))
    if item["kind"] == "mesh" and not source.startswith("user:"):
        path = re.sub(r"[_-]?\d+(\.\w+)$", r"\1", path)
    return f"{source.split('/')[0]}/{path}".lower()


def load(path: str | Path | None = None, part: Part | None = None) -> Assets:
    """The pack in folder `path`, or one part of it; None = the one shipped with the package.

    A pack already loaded and unchanged on disk is not read again. Raises FileNotFoundError when
    there is no pack, ValueError naming the item which is broken.
    """
    folder = SHIPPED if path is None else Path(path)
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{folder}: expected a folder with a manifest.json, "
            f"found {'none in it' if folder.is_dir() else 'no such folder'}; "
            f"make a pack with `tapnet scenes assets {folder}`"
        )
    place = str(folder.resolve()), manifest.stat().st_mtime_ns
    return _load(*place) if part is None else _load_part(*place, part)


@lru_cache(maxsize=4)
def _load_part(folder: str, changed: int, part: Part) -> Assets:
    return _load(folder, changed).subset(part)


@lru_cache(maxsize=3)
def _load(folder: str, _changed: int) -> Assets:
    root = Path(folder)
    text = (root / "manifest.json").read_bytes()
    items = _manifest(root, text)
    kinds = {kind: [i for i in items if i["kind"] == kind] for kind in ("texture", "photo", "mesh")}
    if not kinds["texture"] and not kinds["photo"]:
        raise ValueError(
            f"{root}: expected at least one texture or photo, the manifest lists none; "
            "floors and walls need one, add an image folder and build the pack again"
        )
    groups = {i["file"]: group_of(i) for i in kinds["texture"] + kinds["photo"]}
    used = {m["tex"] for i in kinds["mesh"] for m in i["materials"] if m.get("tex")}
    groups |= {f"mesh_tex/{name}": f"mesh_tex/{name}" for name in sorted(used)}
    index = {name: number for number, name in enumerate(groups)}
    sizes = {i["file"]: PHOTO_SIZE for i in kinds["photo"]}
    textures = tuple(_image(root / name, sizes.get(name, TEXTURE_SIZE)) for name in groups)
    return Assets(
        meshes=_meshes(root, kinds["mesh"], index),
        textures=textures,
        surfaces=fixed([index[i["file"]] for i in kinds["texture"]], np.int64),
        photos=fixed([index[i["file"]] for i in kinds["photo"]], np.int64),
        names=tuple(groups),
        groups=tuple(groups.values()),
        fingerprint=hashlib.sha256(text).hexdigest()[:16],
    )


def _manifest(root: Path, text: bytes) -> list[dict[str, Any]]:
    try:
        items = json.loads(text)
        for item in items:
            _ = item["file"], item["kind"], item["source"]
            _ = [m["kd"] for m in item["materials"]] if item["kind"] == "mesh" else None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{root / 'manifest.json'}: expected a list of items with file, kind and source "
            f"(meshes with materials), got {error!r}; build the pack again"
        ) from error
    return items


def _image(path: Path, size: int) -> np.ndarray:
    """[size, size, 3] uint8 RGB: the middle square of the image, resized."""
    image = read_image(path)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if side != size:
        mode = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=mode)
    return fixed(image, np.uint8)


def read_image(path: Path) -> np.ndarray:
    """[H, W, 3] uint8 RGB. Raises FileNotFoundError, or ValueError when it does not decode."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected an image, no such file; restore it or build again"
        )
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(
            f"{path}: expected an image, {data.size} bytes that do not decode as one; "
            "replace or delete it"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _meshes(root: Path, items: list[dict[str, Any]], index: dict[str, int]) -> tuple[Mesh, ...]:
    if not items:
        return ()
    archive = root / "meshes.npz"
    if not archive.is_file():
        raise FileNotFoundError(
            f"{archive}: the manifest lists {len(items)} meshes but the file is missing; "
            "restore it or build the pack again"
        )
    try:
        stored = np.load(archive)
    except (*UNREADABLE, ValueError) as error:
        raise ValueError(f"{archive}: not a readable .npz ({error}); build it again") from error
    with stored:
        return tuple(_mesh(item, stored, index) for item in items)


def _mesh(item: dict[str, Any], arrays: Any, index: dict[str, int]) -> Mesh:
    name = item["file"].partition(":")[2]
    try:
        stored, faces, uv, material = (arrays[f"{name}_{key}"] for key in "vftm")
        return make_mesh(
            item.get("path", name),
            group_of(item),
            np.asarray(stored, np.float32) / 32767.5 - 1,
            np.asarray(faces, np.int64),
            np.asarray(uv, np.float32)[faces],
            np.array([_texture(m, index) for m in item["materials"]], np.int32)[material],
            np.array([m["kd"] for m in item["materials"]], np.float32)[material],
        )
    except (*UNREADABLE, KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"{item['file']} ({item.get('path')}): broken mesh: {error}; "
            "delete its line from manifest.json or build the pack again"
        ) from error


def _texture(material: dict[str, Any], index: dict[str, int]) -> int:
    return index[f"mesh_tex/{material['tex']}"] if material.get("tex") else -1
