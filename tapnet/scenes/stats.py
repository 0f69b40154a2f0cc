"""What clips are like, in numbers to compare with real footage; and a check of their truth.

Steps are pixels per frame between frames where the point is visible, scaled to 256 x 256.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from tapnet.geometry import rescale
from tapnet.scenes.assets import Assets
from tapnet.scenes.clip import choose_queries, pictures, track
from tapnet.scenes.stage import build
from tapnet.scenes.tracks import lattice
from tapnet.scenes.world import Body, Light, Scene
from tapnet.structs import Example, labelled_entries

_YARDSTICK = (256, 256)


def describe(examples: Iterable[Example]) -> dict[str, float]:
    """Means over clips, and quantiles over all steps, of the clips given.

    Shares are of the labelled entries; `reappear` is the share of tracks that are visible again
    after having been occluded; `visible frames` is the mean number per track.
    """
    rows, steps = [], []
    for example in examples:
        row, step = _of_clip(example)
        rows.append(row)
        steps.append(step)
    if not rows:
        raise ValueError("examples: expected at least one clip, got none; ask for one or more")
    pooled = np.concatenate(steps)
    result = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    result["step median of clips"] = float(np.mean([np.median(s) for s in steps if len(s)] or [0]))
    for percent in (50, 75, 90, 95, 99):
        result[f"step p{percent}"] = float(np.percentile(pooled, percent)) if len(pooled) else 0.0
    result["steps over 20 px"] = float((pooled > 20).mean()) if len(pooled) else 0.0
    result["clips"] = float(len(rows))
    return result


def _of_clip(example: Example) -> tuple[dict[str, float], np.ndarray]:
    height, width = example.size
    known = labelled_entries(example.occluded, example.annotated)
    visible = ~example.occluded & known
    xy = example.target_points
    inside = ((xy >= 0) & (xy < [width, height])).all(-1)
    pairs = visible[:, 1:] & visible[:, :-1]
    scaled = rescale(xy.astype(float), example.size, _YARDSTICK)
    steps = np.linalg.norm(np.diff(scaled, axis=1), axis=-1)[pairs]
    gone = np.cumsum(example.occluded & known & (np.cumsum(visible, 1) > 0), axis=1) > 0
    counted = max(int(known.sum()), 1)
    shares = {
        "visible": visible.sum() / counted,
        "occluded": (known & inside & ~visible).sum() / counted,
        "outside": (known & ~inside & ~visible).sum() / counted,
        "reappear": (visible & gone).any(1).mean() if len(visible) else np.nan,
        "visible frames": visible.sum(1).mean() if len(visible) else np.nan,
    }
    return {name: float(value) for name, value in shares.items()}, steps


def albedo_errors(scene: Scene, assets: Assets) -> tuple[np.ndarray, np.ndarray]:
    """Colour differences 0..255 between tracks and their queries: (visible, occluded in frame).

    The scene is rendered without light, fog or samples, so that a surface point has one colour.
    """
    flat = [replace(body, skin=replace(body.skin, shine=0.0)) for body in scene.bodies]
    scene = _unlit(scene, flat)
    stage = build(scene, assets)
    random = np.random.default_rng([scene.seed, 1])
    axes = lattice(scene.size, scene.frames, random)
    shown = list(pictures(stage))
    ids = np.stack([shown[t].ids[np.ix_(axes[1], axes[2])] for t in axes[0]])
    query, faces = choose_queries(stage, ids, axes, random)
    xy, occluded, _ = track(stage, query, faces)
    colors = [np.sqrt(np.maximum(picture.light, 0)) * 255 for picture in shown]
    own = np.zeros((len(query), 3))
    for t in range(scene.frames):
        here = query[:, 0] == t
        own[here] = _read(colors[t], query[here][:, [2, 1]])
    errors = np.stack([np.abs(_read(c, xy[:, t]) - own).mean(1) for t, c in enumerate(colors)], 1)
    height, width = scene.size
    inside = ((xy >= 0) & (xy < [width, height])).all(-1)
    others = np.arange(scene.frames) != query[:, :1]
    return errors[~occluded & others], errors[occluded & inside]


def _unlit(scene: Scene, bodies: list[Body]) -> Scene:
    none, full = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return replace(
        scene,
        samples=1,
        bodies=tuple(bodies),
        room=replace(scene.room, fog=0.0),
        light=Light(sun=none, sky=full, ground=full),
    )


def _read(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """[N, 3] colours at raster pixels xy [N, 2], bilinear."""
    centre = np.clip(xy - 0.5, -1e4, 1e4).astype(np.float32)
    if not len(centre):
        return np.zeros((0, 3))
    border = cv2.BORDER_REPLICATE
    read = cv2.remap(image, centre[:, :1], centre[:, 1:], cv2.INTER_LINEAR, borderMode=border)
    return read[:, 0].astype(float)
