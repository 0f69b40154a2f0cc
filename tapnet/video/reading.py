"""A video, wherever it comes from: a file, a folder of images, an array.

Frames are [H, W, 3] uint8 RGB as a viewer shows them: turned by the file's rotation, 10-bit brought
to 8, grey repeated. Alpha is left out and pixels stay as stored: interlaced lines are not mixed,
a sample aspect ratio is not applied.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

DEFAULT_FPS = 25.0  # of arrays and folders, which carry no rate; the rate of TAP-Vid-Kinetics
BLOCK_BYTES = 256 << 20  # of frames held while iterating backward
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


class Video(ABC):
    """Frames in order of presentation, read when asked for; `len(video)` of them."""

    size: tuple[int, int]  # (height, width) as shown
    fps: float  # frames a second, on average
    times: np.ndarray  # [T] float64 seconds, as stored in the file: the first need not be 0
    warnings: list[str]  # what is wrong with the source, and what was done; may grow while reading
    path: Path | None = None  # the file or folder; None = frames of an array

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.frames()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Frames start to stop - 1, each [H, W, 3] uint8, in constant memory."""
        start, stop = self._range(start, stop)
        return self._decode(start, stop) if start < stop else iter(())

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames start to stop - 1: [stop - start, H, W, 3] uint8."""
        start, stop = self._range(start, stop)
        out = np.empty((stop - start, *self.size, 3), np.uint8)
        for row, frame in zip(out, self.frames(start, stop), strict=True):
            row[...] = frame
        return out

    def frames_backward(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Frames stop - 1 down to start, decoded block by block: at most `BLOCK_BYTES` are held."""
        start, stop = self._range(start, stop)
        block = max(1, BLOCK_BYTES // (3 * self.size[0] * self.size[1]))
        for end in range(stop, start, -block):
            yield from self.read(max(start, end - block), end)[::-1]

    @abstractmethod
    def _decode(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Frames of a range that is known to be valid and not empty."""

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise ValueError(
                f"frames {start} to {stop}: the video has {len(self)} frames; "
                f"choose 0 <= start <= stop <= {len(self)}"
            )
        return start, stop


class ArrayVideo(Video):
    """Frames that are already in memory; they are not copied when they are RGB."""

    def __init__(self, array: np.ndarray, fps: float = DEFAULT_FPS) -> None:
        fits = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))
        if array.dtype != np.uint8 or not fits or 0 in array.shape:
            raise ValueError(
                "video array: expected uint8 [T H W 3], [T H W 4] or [T H W], got "
                f"{array.dtype} {list(array.shape)}; floats in [-1, 1] go through video.to_uint8"
            )
        if array.ndim == 3 and array.shape[-1] in (3, 4):
            raise ValueError(
                f"video array: expected frames, got {list(array.shape)}, which looks like one "
                "image in colour; give image[None], or grey frames of that width as [T H W 1]"
            )
        self._array = array[..., None] if array.ndim == 3 else array
        self.size = array.shape[1], array.shape[2]
        self.fps = fps
        self.times = np.arange(len(array)) / fps
        self.warnings = []

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        start, stop = self._range(start, stop)
        return _rgb(self._array[start:stop])

    def _decode(self, start: int, stop: int) -> Iterator[np.ndarray]:
        for t in range(start, stop):
            yield _rgb(self._array[t])


class ImagesVideo(Video):
    """A folder of images of one size, in the natural order of their names (2 before 10)."""

    def __init__(self, folder: Path, fps: float = DEFAULT_FPS) -> None:
        self.path = folder
        self.paths = sorted(  # of the frames, in their order
            (p for p in folder.iterdir() if _is_image(p)), key=lambda p: _natural(p.name)
        )
        if not self.paths:
            raise ValueError(
                f"{folder}: expected a folder of images "
                f"({', '.join(sorted(IMAGE_SUFFIXES))}), found none; to open a video, name its file"
            )
        self.size = _image_size(self.paths[0])
        for path in self.paths[1:]:
            if (size := _image_size(path)) != self.size:
                raise ValueError(
                    f"{folder}: expected images of one size, but {self.paths[0].name} is "
                    f"{width_by_height(self.size)} and {path.name} is {width_by_height(size)}; "
                    "resize or move the odd ones"
                )
        self.fps = fps
        self.times = np.arange(len(self.paths)) / fps
        self.warnings = []

    def _decode(self, start: int, stop: int) -> Iterator[np.ndarray]:
        for path in self.paths[start:stop]:
            yield _read_image(path)


def open(source: str | Path | np.ndarray | Video, fps: float | None = None) -> Video:
    """The video in a file or a folder of images, of an array, or `source` itself if it is one.

    A file may have any container and codec that FFmpeg reads. `fps` is the rate of a folder or an
    array (default `DEFAULT_FPS`); a file knows its own. Raises FileNotFoundError, or ValueError
    that says what is wrong with the source.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray):
        return ArrayVideo(source, fps or DEFAULT_FPS)
    if not isinstance(source, str | Path):
        raise ValueError(
            f"video: expected a path, a numpy array or a Video, got {type(source).__name__}"
        )
    if source == "":
        raise ValueError("video: expected a path, got an empty text")
    path = Path(source)
    if path.is_dir():
        return ImagesVideo(path, fps or DEFAULT_FPS)
    if not path.exists():
        if re.match(r"[A-Za-z]{2,}:/", str(source)):
            raise FileNotFoundError(
                f"{source}: addresses are not read; download the video, and give its path"
            )
        raise FileNotFoundError(f"{path}: no such file or folder; check the path")
    from tapnet.video.container import FileVideo

    return FileVideo(path)


def _rgb(frames: np.ndarray) -> np.ndarray:
    """[..., 1], [..., 3] or [..., 4] as [..., 3]: grey is repeated, alpha left out."""
    if frames.shape[-1] == 3:
        return frames
    if frames.shape[-1] == 1:
        return np.repeat(frames, 3, axis=-1)
    return np.ascontiguousarray(frames[..., :3])


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def width_by_height(size: tuple[int, int]) -> str:
    """`size` (height, width) as people say it: 640x480."""
    return f"{size[1]}x{size[0]}"


def _image_size(path: Path) -> tuple[int, int]:
    """(height, width) as shown, from the header alone."""
    from PIL import Image, UnidentifiedImageError
    from PIL.TiffImagePlugin import TiffImageFile

    try:
        with Image.open(path) as image:
            width, height = image.size
            if isinstance(image, TiffImageFile):  # its `size` is turned already in some versions
                width, height = image.tag_v2[256], image.tag_v2[257]
            # That of PNGs would decode the image to look for EXIF behind it.
            orientation = Image.Image.getexif(image).get(0x0112, 1)
            on_its_side = isinstance(orientation, int) and orientation >= 5
    except (UnidentifiedImageError, OSError) as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path}: not a readable image; remove or replace it") from error
    return (width, height) if on_its_side else (height, width)


def _read_image(path: Path) -> np.ndarray:
    import cv2

    content = np.fromfile(path, np.uint8)  # cv2.imread knows no Unicode paths on Windows
    image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError(f"{path}: the image is damaged; remove or replace it")
    return image
