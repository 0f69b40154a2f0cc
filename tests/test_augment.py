"""Augmentation: what is done to the pictures is done to the tracks."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import cv2
import numpy as np

from tapnet.data.augment import Augment, _published_color, augment
from tapnet.structs import Example

FRAMES, SIZE = 6, 128
DOTS = np.array([[30.0, 40.0], [64.0, 64.0], [90.5, 33.25], [48.0, 97.5]], np.float32)


def dotted() -> Example:
    """Bright dots that drift by a pixel a frame, on black."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    tracks = DOTS[:, None] + np.arange(FRAMES, dtype=np.float32)[None, :, None]
    away = (x - tracks[..., 0, None, None]) ** 2 + (y - tracks[..., 1, None, None]) ** 2
    light = np.exp(-away / (2 * 2.5**2)).sum(0)  # [T, H, W]
    video = np.repeat((200 * light).astype(np.uint8)[..., None], 3, axis=-1)
    return Example(
        video=video,
        query_points=np.zeros((len(DOTS), 3), np.float32),
        target_points=tracks,
        occluded=np.zeros((len(DOTS), FRAMES), bool),
        name="dots",
    )


def centre(frame: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Where the light within 8 pixels of `near` is, (x, y)."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] + 0.5
    light = frame[..., 1] * ((x - near[0]) ** 2 + (y - near[1]) ** 2 < 64.0)
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


STILL = Augment(
    size=(SIZE, SIZE), frames=FRAMES, points=4, max_stride=1, reverse=0, late_query=0, view=0,
    color=0, gray=0, blur=0, noise=0, jpeg=0, erase=0,
)  # fmt: skip


def test_a_faint_clip_keeps_points_and_loses_texture() -> None:
    """Flatter and grainier, the grain new in every frame, the dots still where the points are."""
    for seed in range(10):
        after = augment(dotted(), replace(STILL, faint=1.0), np.random.default_rng(seed))
        known = {track.tobytes() for track in dotted().target_points}
        assert {track.tobytes() for track in after.target_points} <= known
        frames = after.video.mean(-1)
        flat = frames[:, :12, 100:]  # no dot comes there
        light = np.array(
            [frames[0, int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean() for x, y in DOTS]
        )
        assert (flat.mean() < light).all()  # dots are still the brighter places
        assert light.mean() - flat.mean() < 0.85 * 200
        grain = flat - flat.mean((1, 2), keepdims=True)
        if grain.std() > 1.5:  # more than rounding
            alike = np.corrcoef(grain.reshape(FRAMES, -1))
            assert np.abs(alike[np.triu_indices(FRAMES, 1)]).max() < 0.6


def test_published_colours_are_those_of_the_standard_library() -> None:
    """Brightness, saturation, contrast about the frame's mean, hue: one change for all frames."""
    video = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), np.uint8)
    after = _published_color(video, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    brightness = rng.uniform(-32, 32) / 255
    saturation, contrast = rng.uniform(0.6, 1.4, 2)
    hue = rng.uniform(-0.2, 0.2)

    def changed(pixel: np.ndarray, turn: float, factor: float) -> tuple[float, float, float]:
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((h + turn) % 1, min(max(s * factor, 0), 1), v)

    for before, now in zip(video / 255 + brightness, after, strict=True):
        wanted = np.apply_along_axis(changed, -1, before, 0.0, saturation)
        mean = wanted.mean((0, 1))
        wanted = np.apply_along_axis(changed, -1, (wanted - mean) * contrast + mean, hue, 1.0)
        np.testing.assert_allclose(now, wanted.clip(0, 1) * 255, atol=0.51)
    recolored = augment(dotted(), replace(STILL, published_color=1.0), np.random.default_rng(1))
    assert (recolored.video != dotted().video).any()


def test_a_clip_made_smaller_is_averaged_and_keeps_points() -> None:
    small = replace(STILL, size=(48, 56))
    after = augment(dotted(), small, np.random.default_rng(0))
    for t in range(FRAMES):
        for point in after.target_points[:, t]:
            assert np.linalg.norm(centre(after.video[t], point) - point) < 0.5
    noise = np.random.default_rng(1).integers(0, 256, dotted().video.shape, dtype=np.uint8)
    grainy = augment(replace(dotted(), video=noise), small, np.random.default_rng(0))
    wanted = cv2.resize(noise[0], (56, 48), interpolation=cv2.INTER_AREA)
    assert grainy.video[0].std() < 1.1 * wanted.std()  # looking at a few pixels gives twice that


def test_a_bent_clip_keeps_points_on_what_they_mark() -> None:
    bent = replace(STILL, elastic=1.0)
    farthest = 0.0
    for seed in range(10):
        before = augment(dotted(), STILL, np.random.default_rng(seed))
        after = augment(dotted(), bent, np.random.default_rng(seed))
        assert not np.array_equal(before.video, after.video)
        for t in range(FRAMES):
            for point in after.target_points[:, t]:
                assert np.linalg.norm(centre(after.video[t], point) - point) < 0.5
        change = np.linalg.norm(after.target_points[:, 0] - after.target_points[:, -1], axis=-1)
        farthest = max(farthest, float(np.abs(change - 5 * 2**0.5).max()))
    assert farthest > 4  # pixels that the bending alone moved a point between first and last frame
