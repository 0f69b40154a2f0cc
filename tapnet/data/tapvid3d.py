"""TAPVid-3D (Koppula et al. 2024): points tracked in space. A file is a video:

    VIDEO.npz   images_jpeg_bytes [T] encoded frames      tracks_XYZ [T, N, 3] metres, in the
                queries_xyt [N, 3] pixels and frames          camera's frame of each image
                visibility [T, N] bool                    fx_fy_cx_cy [4] pixels of the frames
                extrinsics_w2c [T, 4, 4], optional

Read from a file, or from a folder and the folders in it (adt, drivetrack, pstudio). A `SpaceClip`
has the tracks in space; as any clip, it has their projections, so that trackers in the image are
evaluated on it too, on the queries of the set. What a tracker in space says is judged by
`tapnet.metrics3d`, from files with tracks_XYZ and visibility (`read_prediction`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tapnet.data.clip import Clip, Dataset, decode
from tapnet.pickles import load_npz
from tapnet.structs import check_shapes

HAD_FROM = "https://tapvid3d.github.io"
_KEYS = ("images_jpeg_bytes", "queries_xyt", "tracks_XYZ", "visibility", "fx_fy_cx_cy")


@dataclass(frozen=True)
class SpaceClip(Clip):
    """A clip whose tracks are known in space."""

    size: tuple[int, int] = (0, 0)  # (height, width) of the frames
    tracks_xyz: np.ndarray = field(kw_only=True)  # [N, T, 3] metres, z away from the camera
    intrinsics: np.ndarray = field(kw_only=True)  # [4] (fx, fy, cx, cy) pixels of the frames
    extrinsics: np.ndarray | None = None  # [T, 4, 4] world to camera


@dataclass(frozen=True)
class TapVid3d(Dataset):
    """TAPVid-3D: a file, or a folder of them."""

    kind: ClassVar[str] = "tapvid3d"
    title: ClassVar[str] = "TAPVid-3D"
    had_from: ClassVar[str] = HAD_FROM
    asks_itself: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"tapvid3d-{self.path.stem}"

    @classmethod
    def fits(cls, path: Path) -> bool:
        first = path if path.is_file() else next(iter(sorted(path.rglob("*.npz"))), None)
        if first is None or first.suffix != ".npz" or not zipfile.is_zipfile(first):
            return False
        with zipfile.ZipFile(first) as archive:
            return {f"{key}.npy" for key in _KEYS} <= set(archive.namelist())

    def files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        found = sorted(self.path.rglob("*.npz"))
        if not found:
            raise FileNotFoundError(
                f"{self.path}: expected .npz files, got none in it; TAPVid-3D is at {HAD_FROM}"
            )
        return found

    def names(self) -> list[str]:
        """Of the clips, in their order: `adt/VIDEO`, or `VIDEO` where the path is that of adt."""
        folder = self.path if self.path.is_dir() else self.path.parent
        return [file.relative_to(folder).with_suffix("").as_posix() for file in self.files()]

    def __iter__(self) -> Iterator[SpaceClip]:
        for file, name in zip(self.files(), self.names(), strict=True):
            yield _clip(file, name)


def read_prediction(path: str | Path, clip: SpaceClip) -> tuple[np.ndarray, np.ndarray]:
    """What a tracker in space said of `clip`: [N, T, 3] positions and [N, T] bool occluded.

    Raises FileNotFoundError, or ValueError when the file is none or is of another clip.
    """
    content = load_npz(path)
    if not {"tracks_XYZ", "visibility"} <= content.keys():
        raise ValueError(f"{path}: expected tracks_XYZ and visibility, got {list(content)}")
    _check_numbers(content, ("tracks_XYZ", "visibility"), path)
    tracks = np.asarray(content["tracks_XYZ"]).swapaxes(0, 1)
    occluded = ~np.asarray(content["visibility"]).astype(bool).T
    try:
        check_shapes(
            of_the_clip=(clip.occluded, "N T"),
            tracks_XYZ=(tracks, "N T 3"),
            visibility=(occluded, "N T"),
        )
    except ValueError as error:
        raise ValueError(f"{path}, transposed: {error}") from error
    return tracks, occluded


def _clip(path: Path, name: str) -> SpaceClip:
    content = _content(path)
    tracks = content["tracks_XYZ"].swapaxes(0, 1).astype(np.float64)
    images = content["images_jpeg_bytes"]
    height, width = decode(bytes(images[0]), f"{path}, frame 0").shape[:2]
    fx, fy, cx, cy = content["fx_fy_cx_cy"].astype(np.float64)
    x, y, t = content["queries_xyt"].astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        projected = tracks[..., :2] / tracks[..., 2:] * [fx, fy] + [cx, cy]
    return SpaceClip(
        name,
        images,
        projected / [width, height],
        ~content["visibility"].astype(bool).T,
        source=str(path),
        query_points=np.stack([t, y / height, x / width], axis=-1),
        size=(height, width),
        tracks_xyz=tracks,
        intrinsics=np.array([fx, fy, cx, cy]),
        extrinsics=content.get("extrinsics_w2c"),
    )


def _check_numbers(content: Mapping[str, Any], keys: Sequence[str], path: str | Path) -> None:
    """Raises ValueError naming the array, of those that are there, that is not of numbers."""
    for key in keys:
        kind = np.asarray(content.get(key, 0)).dtype
        if kind.kind not in "biuf":
            raise ValueError(f"{path}: {key}: expected numbers, got {kind}")


def _content(path: Path) -> dict[str, Any]:
    try:
        content = load_npz(path)
        missing = [key for key in _KEYS if key not in content]
        if missing:
            raise ValueError(f"{path}: expected {', '.join(_KEYS)}, got no {missing[0]}")
        images = content["images_jpeg_bytes"]
        if images.ndim != 1 or not len(images) or not all(isinstance(i, bytes) for i in images):
            raise ValueError(
                f"{path}: images_jpeg_bytes: expected [T] encoded frames, got {images.dtype} "
                f"{list(images.shape)}"
            )
        check_shapes(
            images_jpeg_bytes=(images, "T"),
            tracks_XYZ=(content["tracks_XYZ"], "T N 3"),
            visibility=(content["visibility"], "T N"),
            queries_xyt=(content["queries_xyt"], "N 3"),
            fx_fy_cx_cy=(content["fx_fy_cx_cy"], "4"),
            extrinsics_w2c=(content.get("extrinsics_w2c"), "T 4 4"),
        )
        _check_numbers(content, (*_KEYS[1:], "extrinsics_w2c"), path)
    except ValueError as error:
        named = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise ValueError(f"{named}; make it again as told at {HAD_FROM}") from error
    return content
