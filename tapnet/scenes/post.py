"""From light to a frame: exposure, colour, soft focus, noise and JPEG blocks."""

from __future__ import annotations

import cv2
import numpy as np

from tapnet.scenes.compiled import kernel
from tapnet.scenes.world import Sensor

_CURVE = 4096  # entries of the tone curve
_GRAINS = 1 << 18  # of the noise table
_BRIGHT = 4.0  # linear light at the end of the tone curve
_MIDDLE = 0.17  # mean linear light that the automatic exposure aims at
_ADAPTS = 0.04  # share of the way to it that is gone in a frame


class Developer:
    """Turns the linear frames of one clip, in order, into uint8 frames."""

    def __init__(self, sensor: Sensor, frames: int, random: np.random.Generator) -> None:
        self.sensor, self.random = sensor, random
        self.gains = np.exp2(sensor.exposure.at(np.arange(frames, dtype=float)))[:, 0]
        self.curve = _tone_curve(sensor.contrast)
        self.grains = random.standard_normal(_GRAINS, np.float32) if sensor.noise else None
        self.automatic: float | None = None

    def develop(self, light: np.ndarray, number: int) -> np.ndarray:
        """[H, W, 3] uint8 frame `number` from linear light [H, W, 3] float32."""
        sensor = self.sensor
        if sensor.blur > 0:
            light = cv2.GaussianBlur(light, (0, 0), sensor.blur)
        gain = self._expose(float(light[::4, ::4].mean())) * self.gains[number]
        frame = np.empty(light.shape, np.uint8)
        grains = np.zeros(1, np.float32) if self.grains is None else self.grains
        _finish(
            light,
            (gain * np.asarray(sensor.balance)).astype(np.float32),
            self.curve,
            np.float32(sensor.saturation),
            np.float32(sensor.vignette),
            np.float32(sensor.noise * 255),
            grains,
            self.random.integers(0, len(grains), len(light)),
            frame,
        )
        return _through_jpeg(frame, sensor.jpeg) if sensor.jpeg else frame

    def _expose(self, mean: float) -> float:
        """The gain of an automatic exposure that follows the scene slowly."""
        wanted = np.log(_MIDDLE / max(mean, 0.02))
        before = wanted if self.automatic is None else self.automatic
        self.automatic = before + _ADAPTS * (wanted - before)
        return float(np.exp(0.8 * self.automatic))


def _tone_curve(contrast: float) -> np.ndarray:
    """[_CURVE] 0..255 over the root of linear light: a shoulder for highlights, sRGB, contrast."""
    light = np.linspace(0, np.sqrt(_BRIGHT), _CURVE) ** 2
    shown = light * (1 + light / _BRIGHT**2) / (1 + 0.55 * light)
    shown = np.clip(shown * 1.25, 0, 1)
    coded = np.where(shown < 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return (255 * np.clip(0.45 + contrast * (coded - 0.45), 0, 1)).astype(np.float32)


@kernel
def _finish(light, gain, curve, saturation, vignette, noise, grains, starts, out):  # type: ignore[no-untyped-def]
    height, width, _ = light.shape
    last = len(curve) - 1
    scale = np.float32(last / np.sqrt(_BRIGHT))
    wrap = len(grains) - 1
    one, half = np.float32(1), np.float32(0.5)
    values = np.empty(3, np.float32)
    for y in range(height):
        dy = (np.float32(y) + half) / np.float32(height) - half
        grain = starts[y]
        for x in range(width):
            dx = (np.float32(x) + half) / np.float32(width) - half
            shade = one - vignette * (dx * dx + dy * dy)
            for c in range(3):
                at = int(np.sqrt(max(light[y, x, c] * gain[c] * shade, np.float32(0))) * scale)
                values[c] = curve[min(at, last)]
            grey = (
                np.float32(0.299) * values[0]
                + np.float32(0.587) * values[1]
                + np.float32(0.114) * values[2]
            )
            for c in range(3):
                value = grey + (values[c] - grey) * saturation
                if noise > 0:
                    value += noise * grains[(grain + 3 * x + c) & wrap]
                out[y, x, c] = np.uint8(min(max(value + half, np.float32(0)), np.float32(255)))


def _through_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    swapped = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
