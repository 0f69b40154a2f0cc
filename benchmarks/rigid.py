"""Two datasets that differ in one thing: in the first nothing moves but the camera.

    python benchmarks/rigid.py OUT
    tapnet evaluate --dataset OUT/rigid.pkl --model klt,sfm --out OUT/rigid
    tapnet evaluate --dataset OUT/deforming.pkl --model klt,sfm --out OUT/deforming

Writes 8 clips each of 24 frames, 256x256 pixels, in the layout of TAP-Vid: the same rooms, objects
and camera, standing still in rigid.pkl, moving and bending in deforming.pkl. Points are those on
objects, in deforming.pkl on what moves: the room stands still in both. Objects and textures are
those of the validation part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tapnet import scenes
from tapnet.data import tapvid
from tapnet.data.synthetic import Recipe
from tapnet.scenes import Scene, Settings
from tapnet.scenes.rigid import circled, frozen
from tapnet.scenes.truth import Extras
from tapnet.structs import Example

CLIPS = 8
SETTINGS = Settings(
    points=128, object_speed=2.0, deforming=1.0, plain=0.0, occluders=0.0, flaws=0.0
)
MOVES = 0.05  # units of the world: way of a point that moves
Judge = Callable[[Extras, np.ndarray], np.ndarray]


def on_objects(extras: Extras, query_points: np.ndarray) -> np.ndarray:
    """[N] which queries (t, y, x) show an object, not the room."""
    t, y, x = query_points.astype(int).T
    shown = {frame: extras.instances(frame) for frame in set(t.tolist())}
    return np.array([shown[f][row, column] > 0 for f, row, column in zip(t, y, x, strict=True)])


def moving(extras: Extras, query_points: np.ndarray) -> np.ndarray:
    """[N] which queries show what moves in the world."""
    world = extras.track(query_points)[2]
    return np.ptp(world, axis=1).max(-1) > MOVES


def examples(change: Callable[[Scene], Scene], judge: Judge) -> Iterator[Example]:
    """The clips of the validation part, of scenes that were changed, with the points judged so."""
    recipe = Recipe(seed=3, settings=SETTINGS, part="validation")
    assets = recipe.assets()
    for index in range(CLIPS):
        scene = change(circled(recipe.scene(index)))
        example = scenes.render(scene, assets)
        kept = judge(scenes.extras(scene, assets), example.query_points)
        yield replace(
            example,
            query_points=example.query_points[kept],
            target_points=example.target_points[kept],
            occluded=example.occluded[kept],
        )


def main(out: Path) -> None:
    """Write both files into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    tapvid.write(out / "rigid.pkl", examples(frozen, on_objects))
    tapvid.write(out / "deforming.pkl", examples(lambda scene: scene, moving))
    print(f"wrote rigid.pkl and deforming.pkl into {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
