"""Writes packs: converts images and meshes to a pack's form, one manifest line for each item.

Items are added source by source; a finished source is kept when a later one fails, so that a
build which was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tapnet.files import replacing
from tapnet.scenes.assets import PHOTO_SIZE, TEXTURE_SIZE, make_mesh
from tapnet.scenes.mesh_files import RawMesh

_PARTS = ".parts"


class PackWriter:
    """A pack being built in a folder: `with writer.source(name): writer.add_...`, then `finish`."""

    def __init__(self, folder: str | Path, *, quality: int = 85) -> None:
        self.folder = Path(folder)
        self.quality = quality
        self._sources: list[str] = []  # finished
        self._lines: list[dict[str, Any]] = []  # of the source being added
        self._arrays: dict[str, np.ndarray] = {}
        for name in (_PARTS, "textures", "photos", "mesh_tex"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def has(self, source: str) -> bool:
        """Whether an earlier build finished this source; then it is part of this pack too."""
        found = self._part(source).with_suffix(".json").is_file()
        if found:
            self._sources.append(source)
        return found

    @contextmanager
    def source(self, name: str) -> Iterator[None]:
        """What is added inside belongs to source `name`; kept only when the block ends well."""
        self._lines, self._arrays = [], {}
        yield
        part = self._part(name)
        with replacing(part.with_suffix(".npz")) as path:
            np.savez(path, **self._arrays)  # type: ignore[arg-type]
        with replacing(part.with_suffix(".json")) as path:
            path.write_text(json.dumps(self._lines))
        self._sources.append(name)

    def _part(self, name: str) -> Path:
        readable = re.sub(r"\W+", "-", name)[-40:]
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.folder / _PARTS / f"{readable}-{digest}"

    def add_texture(self, image: np.ndarray, **line: Any) -> None:
        """A surface texture from an RGB image [H,W,3]; `line`: source, path, license, author ..."""
        square = _middle(image, TEXTURE_SIZE)
        self._add({"kind": "texture", "file": self._write(square, "textures"), **line})

    def add_photo(self, image: np.ndarray, **line: Any) -> None:
        """A photograph [H,W,3]; a large one gives three views: the whole and two details."""
        views = [image]
        height, width = image.shape[:2]
        side = min(height, width)
        if side >= 1.5 * PHOTO_SIZE:
            crop = max(PHOTO_SIZE, side // 2)
            top = (height - crop) * 2 // 3
            for left in ((width - crop) // 5, (width - crop) * 4 // 5):
                views.append(image[top : top + crop, left : left + crop])
        for view in views:
            file = self._write(_middle(view, PHOTO_SIZE), "photos")
            self._add({"kind": "photo", "file": file, **line})

    def add_mesh(self, mesh: RawMesh, content: bytes, **line: Any) -> None:
        """A mesh with its textures; `content` tells it from others of its source and path.

        Raises ValueError when it is broken or has no area.
        """
        check_mesh(mesh)
        materials = []
        for material in mesh.materials:
            image = decode(material.image) if material.image else None
            name = None
            if image is not None:
                file = self._write(_stretched(image, TEXTURE_SIZE), "mesh_tex")
                name = file.partition("/")[2]
                self._add({"kind": "mesh_texture", "file": file, **line})
            materials.append({"kd": [round(x, 3) for x in material.color], "tex": name})
        known = f"{line['source']}/{line['path']}".encode()
        name = hashlib.sha256(known + content).hexdigest()[:12]
        self._arrays |= {f"{name}_{key}": array for key, array in pack_mesh(mesh).items()}
        self._add(
            {
                "kind": "mesh",
                "file": f"meshes.npz:{name}",
                "faces": len(mesh.faces),
                "materials": materials,
                **line,
            }
        )

    def _add(self, line: dict[str, Any]) -> None:
        if line["file"] not in {known["file"] for known in self._lines}:
            self._lines.append(line)

    def _write(self, image: np.ndarray, folder: str) -> str:
        """Encodes and saves; the name is a hash of the content, so equal images are one file."""
        done, data = cv2.imencode(
            ".jpg",
            cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, self.quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        )
        assert done
        file = f"{folder}/{hashlib.sha256(data.tobytes()).hexdigest()[:12]}.jpg"
        if not (self.folder / file).is_file():
            with replacing(self.folder / file) as path:
                path.write_bytes(data.tobytes())
        return file

    def finish(self) -> int:
        """Writes the manifest and the meshes of the sources of this build; the number of items.

        What other builds left in the folder goes. Raises ValueError when there is no texture and no
        photo.
        """
        lines: dict[str, dict[str, Any]] = {}
        arrays: dict[str, np.ndarray] = {}
        for part in map(self._part, self._sources):
            for line in json.loads(part.with_suffix(".json").read_text()):
                lines.setdefault(line["file"], line)
            with np.load(part.with_suffix(".npz")) as stored:
                arrays |= dict(stored)
        if not {"texture", "photo"} & {line["kind"] for line in lines.values()}:
            raise ValueError(
                f"{self.folder}: expected at least one texture or photo, none was found; "
                "give a folder of images too"
            )
        if arrays:
            with replacing(self.folder / "meshes.npz") as path:
                np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        with replacing(self.folder / "manifest.json") as path:
            path.write_text(_one_a_line(list(lines.values())))
        mine = {self._part(source).name for source in self._sources}
        for part in (self.folder / _PARTS).iterdir():
            if part.stem not in mine:
                part.unlink()
        for folder in ("textures", "photos", "mesh_tex"):
            for image in (self.folder / folder).iterdir():
                if f"{folder}/{image.name}" not in lines:
                    image.unlink()
        return len(lines)


def _one_a_line(lines: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n]\n"


def decode(data: bytes) -> np.ndarray | None:
    """[H,W,3] uint8 RGB of an encoded image in any usual format.

    None when it is not one, or when it claims more pixels than Pillow opens (180 million).
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            shown = image.convert("RGBA") if image.mode == "P" else image
            return np.array(shown.convert("RGB"))
    except (OSError, ValueError, SyntaxError, NotImplementedError, Image.DecompressionBombError):
        return None


def _middle(image: np.ndarray, size: int) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _stretched(image[top : top + side, left : left + side], size)


def _stretched(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image
    mode = cv2.INTER_AREA if min(image.shape[:2]) > size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=mode)


def check_mesh(mesh: RawMesh) -> None:
    """Raises ValueError when scenes could not use the mesh."""
    used, count = mesh.material, len(mesh.materials)
    if len(used) and not 0 <= used.min() <= used.max() < count:
        raise ValueError(f"materials {used.min()} to {used.max()}, but there are {count}")
    if not np.isfinite([material.color for material in mesh.materials]).all():
        raise ValueError("a colour that is no number")
    make_mesh(
        "", "", mesh.positions, mesh.faces, mesh.uv[mesh.faces],
        np.full(len(mesh.faces), -1), np.ones((len(mesh.faces), 3)),
    )  # fmt: skip


def pack_mesh(mesh: RawMesh) -> dict[str, np.ndarray]:
    """The arrays of meshes.npz: positions to 16 bits over the mesh's box, UV to 16 bits.

    UV are shifted by whole numbers per face, near 0, where 16 bits resolve a quarter texel.
    """
    corners = np.nan_to_num(mesh.uv, posinf=0, neginf=0)[mesh.faces]  # [F, 3, 2]
    corners = corners - np.floor(corners.min(axis=1, keepdims=True))
    corners = corners.clip(0, 1000).astype(np.float16)
    used, at = np.unique(mesh.faces, return_inverse=True)
    positions = _unit(mesh.positions[used])
    stored = np.round((positions + 1) * 32767.5).astype(np.uint16)
    rows = np.concatenate(
        [stored[at.reshape(-1)], corners.view(np.uint16).reshape(-1, 2)], axis=1
    )  # [3F, 5]
    rows, faces = np.unique(rows, axis=0, return_inverse=True)
    return {
        "v": np.ascontiguousarray(rows[:, :3]),
        "f": faces.reshape(-1, 3).astype(np.uint16 if len(rows) < 65536 else np.uint32),
        "t": np.ascontiguousarray(rows[:, 3:]).view(np.float16),
        "m": mesh.material.astype(np.uint8 if len(mesh.materials) < 256 else np.uint16),
    }


def _unit(positions: np.ndarray) -> np.ndarray:
    """Centred on the box, -1..1 along the longest side."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    return ((positions - (low + high) / 2) / ((high - low).max() / 2)).clip(-1, 1)


def simplify(mesh: RawMesh, most: int) -> RawMesh:
    """The mesh with at most `most` faces: vertices in one cell of a grid are made one.

    The finest grid that is coarse enough is taken; UV stay with the corners of the faces.
    """
    unit = _unit(mesh.positions)
    cells = 512.0
    while len(mesh.faces) > most and cells >= 4:
        key = np.round((unit + 1) * cells).astype(np.int64) @ [1, 1 << 20, 1 << 40]
        _, cell = np.unique(key, return_inverse=True)
        corner = cell[mesh.faces]
        keep = (corner != np.roll(corner, 1, axis=1)).all(axis=1)
        if keep.sum() <= most:
            count = np.bincount(cell)
            means = [np.bincount(cell, mesh.positions[:, axis]) / count for axis in range(3)]
            return replace(
                mesh,
                positions=np.stack(means, axis=1)[cell],
                faces=mesh.faces[keep],
                material=mesh.material[keep],
            )
        cells /= 1.25
    return mesh
