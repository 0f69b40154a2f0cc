"""Pixel values and sizes: uint8 <-> [-1, 1], and resizing with and without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_BYTES = 64 << 20  # of float32 pixels resized at a time


def normalize(video: Tensor) -> Tensor:
    """uint8 0..255 as float32 in [-1, 1]; a float tensor is returned as it is."""
    return video if video.is_floating_point() else video.float() / 255 * 2 - 1


def to_uint8(video: Tensor) -> Tensor:
    """Floats in [-1, 1] as uint8 0..255, rounded; undoes `normalize` exactly."""
    return (
        ((video + 1) * 127.5).round().clamp(0, 255).byte() if video.is_floating_point() else video
    )


def resize(video: Tensor, size: tuple[int, int]) -> Tensor:
    """[..., H, W, 3] resized to `size` (height, width): antialiased bilinear, same dtype.

    Raster coordinates (align_corners=False). Frames go in chunks, so that memory beyond the result
    stays below a few times `CHUNK_BYTES`. uint8 on a CPU is resized in integers: within one level
    of the rounded floats, and about twenty times as fast.
    """
    import torch

    if tuple(video.shape[-3:-1]) == tuple(size):
        return video
    frames = video.reshape(-1, *video.shape[-3:])
    out = frames.new_empty((len(frames), *size, 3))
    chunk = max(1, CHUNK_BYTES // (12 * max(frames.shape[1] * frames.shape[2], size[0] * size[1])))
    by_floats = not out.is_floating_point() and out.device.type != "cpu"
    for i in range(0, len(frames), chunk):
        part = frames[i : i + chunk].movedim(-1, 1)
        part = part.float() if by_floats else part
        part = torch.nn.functional.interpolate(part, size, mode="bilinear", antialias=True)
        part = part.round_() if by_floats else part
        out[i : i + chunk] = part.movedim(1, -1)
    return out.reshape(*video.shape[:-3], *size, 3)


def resize_tapvid(video: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[T, H, W, 3] uint8 resized to `size` (height, width) as TAP-Vid does: PIL's Lanczos.

    The scores of the benchmark depend on it: its own reader resizes with mediapy, which does this.
    """
    from PIL import Image

    height, width = size
    out = np.empty((len(video), height, width, 3), np.uint8)
    for row, frame in zip(out, video, strict=True):
        resized = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        row[...] = np.asarray(resized)
    return out
