"""Changes to labelled clips that make few clips worth many: time, place, colour, things in the way.

What is done to the pictures is done to the tracks, so they stay exact. The kinds are those of
CoTracker's training (Karaev et al. 2024): a view that drifts, zooms and rolls, patches erased or
replaced, colour and compression. SCENES.md section 3 says what each was worth to others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from tapnet.structs import Example


@dataclass(frozen=True)
class Augment:
    """What may be changed, and how much. Chances are per clip."""

    size: tuple[int, int] = (256, 256)  # (height, width) of the result
    frames: int = 24
    points: int = 64
    max_stride: int = 3  # frames may be taken this far apart, if the clip is long enough
    reverse: float = 0.5  # chance to run backward
    late_query: float = 0.3  # share of queries at any frame where the point is seen, not the first
    view: float = 0.8  # chance of another view; the rest are resized only
    zoom: tuple[float, float] = (0.8, 1.6)
    stretch: float = 0.25  # of one side against the other, as a logarithm, either way
    roll: float = 15.0  # degrees either way
    drift: float = 0.15  # of zoom, roll and place from the first to the last frame
    elastic: float = 0.0  # chance that the picture bends, differently in each frame
    flip: float = 0.5
    upside_down: float = 0.1
    color: float = 0.8
    published_color: float = 0.0  # chance of the change that TAP-Net was published with, SPEC 8
    gray: float = 0.05
    blur: float = 0.15
    noise: float = 0.15
    faint: float = 0.0  # chance that everything is soft, flat and grainy
    jpeg: float = 0.2
    erase: float = 0.3


def augment(example: Example, settings: Augment, rng: np.random.Generator) -> Example:
    """The example changed, with the size, frames and points asked for.

    The same generator state gives the same result. Each point keeps one query. Raises ValueError
    when the clip has fewer frames than asked for, or no visible point.
    """
    chosen = _frames(len(example.video), settings, rng)
    example = replace(
        example,
        video=example.video[chosen],
        target_points=example.target_points[:, chosen],
        occluded=example.occluded[:, chosen],
        trackgroup=None,
        annotated=None,
    )
    for attempt in range(4):  # a view may leave no point in sight: then another, at last none
        viewed = _view(example, settings, rng, change=attempt < 3 and rng.random() < settings.view)
        if rng.random() < settings.elastic:
            viewed = _bend(viewed, rng)
        if rng.random() < settings.erase:
            viewed = _erase(viewed, rng)
        if (~viewed.occluded[:, :-1]).any():
            return _query(
                replace(viewed, video=_recolor(viewed.video, settings, rng)), settings, rng
            )
    raise ValueError(f"{example.name}: expected a visible point, found none")


def _frames(count: int, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """Indices of the frames taken, at equal distances, perhaps in reverse."""
    if count < settings.frames:
        raise ValueError(f"expected clips of {settings.frames} frames or more, got one of {count}")
    longest = min(settings.max_stride, (count - 1) // max(settings.frames - 1, 1))
    stride = int(rng.integers(1, max(longest, 1) + 1))
    first = int(rng.integers(0, count - (settings.frames - 1) * stride))
    chosen = first + stride * np.arange(settings.frames)
    return chosen[::-1].copy() if rng.random() < settings.reverse else chosen


def _view(example: Example, settings: Augment, rng: np.random.Generator, change: bool) -> Example:
    """Every frame through an affine map of its own; what leaves the picture is occluded."""
    out_height, out_width = settings.size
    if not change and example.size == settings.size:
        return example
    maps = _maps(example.size, settings, len(example.video), rng, change)
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    fill = [float(x) for x in rng.integers(0, 256, 3)]
    frames = np.stack(
        [
            cv2.warpAffine(
                *_shrunk(frame, matrix),
                (out_width, out_height),
                flags=cv2.INTER_LINEAR,
                borderMode=border,
                borderValue=fill,
            )
            for frame, matrix in zip(example.video, maps, strict=True)
        ]
    )
    points = np.einsum("tij,ntj->nti", maps[:, :, :2], example.target_points) + maps[None, :, :, 2]
    points = points.astype(np.float32)
    inside = ((points >= 0) & (points < [out_width, out_height])).all(-1)
    return replace(example, video=frames, target_points=points, occluded=example.occluded | ~inside)


def _shrunk(frame: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its map, for pixel centres. One that the map makes much smaller is made so first,
    by areas: the map alone would look at a few of its pixels."""
    height, width = frame.shape[:2]
    scale = abs(np.linalg.det(matrix[:, :2])) ** 0.5
    if scale < 0.75:
        small = max(round(width * scale), 1), max(round(height * scale), 1)
        frame = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
        matrix = matrix * [width / small[0], height / small[1], 1]
    return frame, _in_pixel_centers(matrix)


def _maps(
    size: tuple[int, int],
    settings: Augment,
    frames: int,
    rng: np.random.Generator,
    change: bool,
) -> np.ndarray:
    """[T, 2, 3] affine maps from raster pixels of the clip to those of the result."""
    (height, width), (out_height, out_width) = size, settings.size
    stretch = np.array([out_width / width, out_height / height])
    time = np.linspace(-0.5, 0.5, frames)
    zoom, aspect, roll, place = np.ones(frames), 1.0, np.zeros(frames), np.zeros((frames, 2))
    flips = np.ones(2)
    if change:
        low, high = np.log(settings.zoom)
        drift = settings.drift * _wander(time, rng, 4)
        zoom = np.exp(rng.uniform(low, high) + drift[0])
        aspect = float(np.exp(rng.uniform(-1, 1) * settings.stretch))
        roll = np.radians(settings.roll) * (rng.uniform(-1, 1) + drift[1])
        room = np.maximum(zoom - 1, 0.05)[:, None] / 2
        place = np.array([out_width, out_height]) * (room * rng.uniform(-1, 1, 2) + drift[2:].T / 2)
        flips = np.where(rng.random(2) < [settings.flip, settings.upside_down], -1.0, 1.0)
    scale = stretch * flips * [aspect, 1 / aspect] * zoom[:, None]  # [T, 2]
    turn = np.stack([np.cos(roll), -np.sin(roll), np.sin(roll), np.cos(roll)], -1).reshape(-1, 2, 2)
    linear = turn * scale[:, None, :]
    middle = np.array([out_width, out_height]) / 2 + place
    offset = middle - linear @ (np.array([width, height]) / 2)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _wander(time: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """[count, T]: each a slope plus a slow wave, about one in size."""
    slope = rng.uniform(-1, 1, (count, 1)) * time
    wave = np.sin(rng.uniform(1, 8, (count, 1)) * time + rng.uniform(0, 6.3, (count, 1)))
    return slope + 0.3 * rng.uniform(0, 1, (count, 1)) * wave


def _bend(example: Example, rng: np.random.Generator) -> Example:
    """Every frame through a smooth map of its own, as cloth, skin and tissue move.

    A grid of 5 x 5 places wanders; between them the map is cubic. It says where in the clip each
    pixel comes from, so the points need its inverse, which is found by going back and forth.
    """
    frames, (height, width) = len(example.video), example.size
    size = np.array([width, height], np.float32)
    spread = (rng.uniform(0.05, 0.3) * size / 4).astype(np.float32)  # at most 0.3 of a grid step
    wander = _wander(np.linspace(-0.5, 0.5, frames), rng, 50).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    video, points = np.empty_like(example.video), example.target_points.copy()
    for t in range(frames):
        grid = wander[:, t].reshape(5, 5, 2) * spread
        moved = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        video[t] = cv2.remap(
            example.video[t],
            x + moved[..., 0],
            y + moved[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for _ in range(12):  # leaves at most 0.04 pixels, see docs/log.md
            there = points[None, :, t] - 0.5
            by = cv2.remap(
                moved,
                there[..., 0],
                there[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            points[:, t] = example.target_points[:, t] - by[0]
    inside = ((points >= 0) & (points < size)).all(-1)
    return replace(example, video=video, target_points=points, occluded=example.occluded | ~inside)


def _in_pixel_centers(matrix: np.ndarray) -> np.ndarray:
    """The map for images whose first pixel has its centre at 0, as OpenCV counts."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return moved


def _erase(example: Example, rng: np.random.Generator) -> Example:
    """Rectangles over some frames: one colour, or a piece from elsewhere in the clip."""
    frames, (height, width) = len(example.video), example.size
    video, occluded = example.video.copy(), example.occluded.copy()
    for _ in range(int(rng.integers(1, 4))):
        tall, wide = (int(side * rng.uniform(0.1, 0.4)) for side in (height, width))
        begin = int(rng.integers(0, frames))
        end = min(frames, begin + int(rng.integers(1, max(frames // 2, 2))))
        y, x = rng.uniform(0, height - tall), rng.uniform(0, width - wide)
        speed = rng.normal(0, 3, 2) * (rng.random() < 0.5)
        piece = rng.integers(0, 256, 3).astype(np.uint8)
        if rng.random() < 0.6:
            top = int(rng.integers(0, height - tall + 1))
            left = int(rng.integers(0, width - wide + 1))
            source = example.video[int(rng.integers(0, frames))]
            piece = source[top : top + tall, left : left + wide].copy()
        for t in range(begin, end):
            top = int(np.clip(y + speed[0] * (t - begin), 0, height - tall))
            left = int(np.clip(x + speed[1] * (t - begin), 0, width - wide))
            video[t, top : top + tall, left : left + wide] = piece
            at = example.target_points[:, t]
            under = ((at >= [left, top]) & (at < [left + wide, top + tall])).all(-1)
            occluded[:, t] |= under
    return replace(example, video=video, occluded=occluded)


def _recolor(video: np.ndarray, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """Colour, light, blur, noise and compression."""
    frames = len(video)
    if rng.random() < settings.color:
        gain = rng.uniform(0.6, 1.5) * np.exp(rng.uniform(-0.15, 0.15, 3))
        gamma = np.exp(rng.uniform(-0.4, 0.4))
        shift = rng.uniform(-30, 30)
        light = 0.1 * _wander(np.linspace(-0.5, 0.5, frames), rng, 1)[0]
        mix = _color_mix(rng)
        levels = (np.arange(256) / 255) ** gamma * 255
        changed = np.empty_like(video)
        for t, frame in enumerate(video):
            matrix = (mix * gain[:, None] * (1 + light[t])).astype(np.float64)
            bent = cv2.LUT(frame, levels.astype(np.uint8))
            shown = np.concatenate([matrix, np.full((3, 1), shift)], axis=1)
            changed[t] = cv2.transform(bent, shown)
        video = changed
    if settings.published_color and rng.random() < settings.published_color:
        video = _published_color(video, rng)
    if rng.random() < settings.gray:
        video = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in video])[..., None]
        video = np.repeat(video, 3, axis=-1)
    if rng.random() < settings.blur:
        sigma = rng.uniform(0.4, 1.6)
        video = np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in video])
    if rng.random() < settings.noise:
        noise = rng.normal(0, rng.uniform(2, 12), video.shape).astype(np.float32)
        video = np.clip(video + noise, 0, 255).astype(np.uint8)
    if settings.faint and rng.random() < settings.faint:
        video = _fade(video, rng)
    if rng.random() < settings.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))]
        video = np.stack([_compressed(frame, quality) for frame in video])
    return video


def _published_color(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, saturation, contrast and hue, in that order, the same for all frames."""
    brightness = rng.uniform(-32, 32) / 255
    saturation, contrast = rng.uniform(0.6, 1.4, 2)
    turn = 360 * rng.uniform(-0.2, 0.2)  # degrees
    changed = np.empty_like(video)
    for t, frame in enumerate(video):
        hsv = cv2.cvtColor(frame.astype(np.float32) / 255 + brightness, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        mean = rgb.mean((0, 1))
        hsv = cv2.cvtColor((rgb - mean) * np.float32(contrast) + mean, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + turn) % 360
        hsv[..., 1] = np.clip(hsv[..., 1], 0, 1)
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        changed[t] = np.clip(rgb * 255 + 0.5, 0, 255)
    return changed


def _fade(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Little texture and much grain, as ultrasound, endoscopes and dim rooms give."""
    height, width = video.shape[1:3]
    sigma = np.exp(rng.uniform(np.log(0.8), np.log(4.0))) * min(height, width) / 256
    contrast, level = rng.uniform(0.15, 0.8), rng.uniform(40, 190)
    grain, size = rng.uniform(0, 9), rng.uniform(0.3, 2.0)
    speckle = rng.random() < 0.5  # grain as strong as it is bright
    mean = video.mean()
    changed = np.empty_like(video)
    for t, frame in enumerate(video):
        soft = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), sigma)
        soft = level + contrast * (soft - mean)
        noise = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), size)
        noise = noise * (grain / max(float(noise.std()), 1e-6))
        changed[t] = np.clip(soft + (soft / 128 if speckle else 1.0) * noise[..., None], 0, 255)
    return changed


def _compressed(frame: np.ndarray, quality: list[int]) -> np.ndarray:
    image = cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)
    assert image is not None
    return image


def _color_mix(rng: np.random.Generator) -> np.ndarray:
    """[3, 3]: a turn about the gray axis (hue) with more or less saturation."""
    saturation, angle = rng.uniform(0.4, 1.5), rng.uniform(-0.6, 0.6)
    gray = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = np.cos(angle) * (np.eye(3) - gray) + np.sin(angle) * across
    return gray + saturation * turned


def _query(example: Example, settings: Augment, rng: np.random.Generator) -> Example:
    """As many points as asked for, each with its query where it is seen, not in the last frame."""
    seen = ~example.occluded
    seen[:, -1] = False
    usable = np.flatnonzero(seen.any(1))
    rows = rng.choice(usable, settings.points, replace=len(usable) < settings.points)
    seen = seen[rows]
    late = rng.random(len(rows)) < settings.late_query
    wish = np.where(late, rng.random(len(rows)), 0.0)
    rank = np.floor(wish * seen.sum(1)).astype(int)  # which of its visible frames
    times = (np.cumsum(seen, axis=1) == rank[:, None] + 1).argmax(1)
    xy = example.target_points[rows, times]
    return replace(
        example,
        query_points=np.concatenate([times[:, None], xy[:, ::-1]], 1).astype(np.float32),
        target_points=example.target_points[rows],
        occluded=example.occluded[rows],
    )
