"""Paint tracks on a video: a filled disc where a point is visible, a ring where it is hidden.

Behind each point a trail fades. Its colour is its own for the whole video and follows from where
the point begins: hue from left to right, lightness from top to bottom, so neighbours look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tapnet.structs import check_shapes

_SHIFT = 4  # cv2 takes positions in 1/16 pixel
_FAINTEST = 0.03  # of a trail at its end
_HIDDEN = 0.35  # strength of the trail of a hidden point
_DARK = (16, 16, 16)


def draw(
    frames: Iterable[np.ndarray],
    xy: np.ndarray,
    visible: np.ndarray,
    trail: int = 16,
    colors: np.ndarray | None = None,
    scale: float = 1.0,
) -> Iterator[np.ndarray]:
    """Copies of the frames with the tracks painted on, one by one.

    frames: [H, W, 3] uint8; the first goes with column 0 of the tracks.
    xy: [N, T, 2] raster pixels of the frames; NaN is not drawn. visible: [N, T] bool.
    trail: frames until a trail is gone; 0 = no trails. colors: [N, 3] uint8, one a point, instead
    of `color_by_position`. scale: of discs and lines, which grow with the frame by themselves.
    Raises ValueError for wrong shapes, and when there are more frames than columns.
    """
    xy, visible = np.asarray(xy, np.float32), np.asarray(visible, bool)
    colors = None if colors is None else np.asarray(colors)
    check_shapes(xy=(xy, "N T 2"), visible=(visible, "N T"), colors=(colors, "N 3"))
    if colors is None:
        colors = color_by_position(beginnings(xy, visible))
    return _painted(frames, xy, visible, trail, colors.tolist(), scale)


def beginnings(xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """[N, 2]: where each track is first visible; where it is first known if it never is; else 0."""
    known = np.isfinite(xy).all(-1)
    seen = known & visible
    judged = np.where(seen.any(1, keepdims=True), seen, known)
    if not xy.shape[1]:
        return np.zeros((len(xy), 2), np.float32)
    first = xy[np.arange(len(xy)), judged.argmax(1)]
    return np.where(np.isfinite(first), first, 0)


def color_by_position(points: np.ndarray) -> np.ndarray:
    """[N, 3] uint8 RGB for points [N, 2] (x, y): by the order of x the hue, of y the lightness.

    Orders, not distances, so that points crowded in a corner still use every colour.
    """
    right, down = (_order(points[:, i]) for i in (0, 1))
    hue = 2 * np.pi * (0.05 + 0.85 * right)  # not all the way round: left and right stay apart
    return _oklch(0.84 - 0.2 * down, np.full(len(points), 0.17), hue)


def _order(values: np.ndarray) -> np.ndarray:
    """Ranks of the distinct values, from 0 to 1."""
    distinct, rank = np.unique(values, return_inverse=True)
    return rank / max(1, len(distinct) - 1)


def _oklch(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """OKLCH as [N, 3] uint8 sRGB (B. Ottosson, "A perceptual color space", 2020)."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], -1)
    to_lms = [
        [1, 0.39633778, 0.21580376],
        [1, -0.10556135, -0.06385417],
        [1, -0.08948418, -1.2914855],
    ]
    to_rgb = [
        [4.0767417, -3.3077116, 0.2309699],
        [-1.268438, 2.6097574, -0.3413194],
        [-0.0041961, -0.7034186, 1.7076147],
    ]
    linear = np.clip((lab @ np.transpose(to_lms)) ** 3 @ np.transpose(to_rgb), 0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)


def _painted(
    frames: Iterable[np.ndarray],
    xy: np.ndarray,
    visible: np.ndarray,
    trail: int,
    colors: list[list[int]],
    scale: float,
) -> Iterator[np.ndarray]:
    trails: _Trails | None = None
    for t, frame in enumerate(frames):
        if t == xy.shape[1]:
            raise ValueError(
                f"frames: expected as many as the tracks have ({xy.shape[1]}), got more; "
                "give the frames that were tracked"
            )
        radius = scale * max(1.5, float(np.sqrt(frame.shape[0] * frame.shape[1])) / 180)
        drawable = _near(xy[:, t], frame.shape)
        if trail > 0 and t:
            trails = trails or _Trails(frame.shape, trail, max(1, round(0.6 * radius)))
            both = drawable & _near(xy[:, t - 1], frame.shape)
            shown = visible[:, t - 1] & visible[:, t]
            trails.extend(xy[:, t - 1 : t + 1], both, shown, colors)
        out = trails.over(frame) if trails else frame.copy()
        _points(out, xy[:, t], drawable, visible[:, t], colors, radius)
        yield out


def _near(points: np.ndarray, shape: tuple[int, ...]) -> Any:
    """[N] bool: known, and close enough to the frame for a part of it to show."""
    extent = np.array([shape[1], shape[0]], np.float32)
    with np.errstate(invalid="ignore"):
        return np.all((points > -extent) & (points < 2 * extent), -1)


def _fixed(points: np.ndarray) -> np.ndarray:
    """int32 in cv2's terms: 1/16 pixels, from the centre of the first pixel."""
    return np.round((points - 0.5) * (1 << _SHIFT)).astype(np.int32)


class _Trails:
    """A canvas of premultiplied colour over which the trails grow and fade."""

    def __init__(self, shape: tuple[int, ...], trail: int, width: int) -> None:
        self._canvas = np.zeros((*shape[:2], 4), np.uint8)
        self._alpha, self._rgb = np.empty(shape[:2], np.uint8), np.empty(shape, np.uint8)
        fade = _FAINTEST ** (1 / trail)
        self._faded = np.floor(np.arange(256) * fade).astype(np.uint8)  # down, so that it ends
        self._width = width

    def extend(
        self, ends: np.ndarray, drawable: np.ndarray, visible: np.ndarray, colors: list[list[int]]
    ) -> None:
        """Fade by a frame and add the way from ends[:, 0] to ends[:, 1]; ends is [N, 2, 2]."""
        import cv2

        cv2.LUT(self._canvas, self._faded, self._canvas)
        index = np.flatnonzero(drawable)
        for n, (a, b) in zip(index.tolist(), _fixed(ends[index]).tolist(), strict=True):
            color = [(1.0 if visible[n] else _HIDDEN) * c for c in (*colors[n], 255)]
            cv2.line(self._canvas, a, b, color, self._width, cv2.LINE_AA, _SHIFT)

    def over(self, frame: np.ndarray) -> np.ndarray:
        import cv2

        alpha = cv2.extractChannel(self._canvas, 3, self._alpha)
        rest = cv2.cvtColor(cv2.bitwise_not(alpha, alpha), cv2.COLOR_GRAY2RGB, self._rgb)
        out = cv2.multiply(frame, rest, scale=1 / 255)
        return cv2.add(out, cv2.cvtColor(self._canvas, cv2.COLOR_RGBA2RGB, self._rgb), out)


def _points(
    out: np.ndarray,
    points: np.ndarray,
    drawable: np.ndarray,
    visible: np.ndarray,
    colors: list[list[int]],
    radius: float,
) -> None:
    """Hidden points first, so that no ring covers a disc; a dark rim sets both off the picture."""
    import cv2

    thin = max(1, round(radius / 4))
    index = np.flatnonzero(drawable & ~visible)
    rims, rings = _circles(points[index], radius + 0.75 * thin), _circles(points[index], radius)
    for n, rim, ring in zip(index.tolist(), rims, rings, strict=True):
        cv2.polylines(out, [rim], True, _DARK, thin, cv2.LINE_AA, _SHIFT)
        cv2.polylines(out, [ring], True, colors[n], thin, cv2.LINE_AA, _SHIFT)
    index = np.flatnonzero(drawable & visible)
    rims, discs = _circles(points[index], radius + 0.8), _circles(points[index], radius)
    for n, rim, disc in zip(index.tolist(), rims, discs, strict=True):
        cv2.fillConvexPoly(out, rim, _DARK, cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(out, disc, colors[n], cv2.LINE_AA, _SHIFT)


def _circles(centers: np.ndarray, radius: float) -> np.ndarray:
    """[N, 16, 2] int32 polygons in cv2's terms; its own small circles are diamonds."""
    angles = np.arange(16) * (np.pi / 8)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], -1)
    return _fixed(centers[:, None] + circle)
