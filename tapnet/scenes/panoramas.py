"""Photograph-like views out of panoramas of measured light (equirectangular OpenEXR files)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

SIDE = 512
_HALF_ANGLE = np.radians(40)
_HEADINGS = np.radians([0, 90, 180, 270])
_RISE = 0.12  # the horizon is a little below the middle


def views(data: bytes) -> list[np.ndarray]:
    """Four images [512, 512, 3] uint8 to all sides, each exposed for itself.

    Raises FileNotFoundError when OpenEXR is not installed, ValueError when `data` is no panorama.
    """
    light = _read(data)
    return [_develop(_look(light, heading)) for heading in _HEADINGS]


def _read(data: bytes) -> np.ndarray:
    """[H, 2H, 3] float32 linear light."""
    try:
        import OpenEXR
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            "panoramas: expected the Python package OpenEXR, it is not installed; "
            "pip install OpenEXR, or leave the source deb:blender-data out"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panorama.exr"
        path.write_bytes(data)
        try:
            with OpenEXR.File(str(path)) as file:
                channels = file.channels()
                light = np.asarray(channels["RGB"].pixels, np.float32)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"expected an OpenEXR panorama with RGB, but {error!r}") from error
    if light.ndim != 3 or light.shape[1] != 2 * light.shape[0]:
        raise ValueError(f"expected a panorama twice as wide as high, got {light.shape[:2]}")
    return light


def _look(light: np.ndarray, heading: float) -> np.ndarray:
    """[512, 512, 3]: what a camera turned by `heading` sees."""
    height, width = light.shape[:2]
    across = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1) * np.tan(_HALF_ANGLE)
    x, y = np.meshgrid(across, _RISE - across)
    longitude = np.arctan2(x, 1) + heading
    latitude = np.arctan2(y, np.hypot(x, 1))
    column = ((longitude / (2 * np.pi) + 0.5) * width - 0.5) % width + 1  # one is put before
    row = (0.5 - latitude / np.pi) * height - 0.5
    closed = np.concatenate([light[:, -1:], light, light[:, :1]], axis=1)
    return cv2.remap(closed, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)


def _develop(light: np.ndarray) -> np.ndarray:
    """8-bit sRGB: the brighter parts at middle grey, highlights rolled off."""
    exposed = light / max(float(np.percentile(light.mean(axis=-1), 60)), 1e-6) * 0.35
    soft = exposed * (1 + exposed / 9) / (1 + exposed)
    encoded = np.where(
        soft < 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-6) ** (1 / 2.4) - 0.055
    )
    return (encoded.clip(0, 1) * 255).round().astype(np.uint8)
