"""How fast scenes are made, how true their tracks are, and what they are like.

    python benchmarks/scenes.py speed [--assets DIR]     frames per second of one core, all included
    python benchmarks/scenes.py truth [--assets DIR]     colour at track points against their query
    python benchmarks/scenes.py stats [--assets DIR]     motion, occlusion; --real FILE compares
    python benchmarks/scenes.py sheet OUT.png            the middle frames of 48 scenes

Set OMP_NUM_THREADS=1: cv2 and numpy would otherwise use more than one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tapnet import scenes
from tapnet.scenes import assets as packs
from tapnet.scenes import stats
from tapnet.scenes.stage import build
from tapnet.scenes.world import PRESETS, Settings
from tapnet.structs import Example


def ten_bodies(samples: int) -> Settings:
    """The yardstick: 256 x 256, ten bodies, 24 frames, 256 points."""
    return replace(PRESETS["default"], objects=(10, 10), samples=samples)


def clips(settings: Settings, seeds: range, pack: str | None) -> Iterator[Example]:
    """The clips of some seeds."""
    assets = packs.load(pack)
    for seed in seeds:
        yield scenes.render(scenes.sample(seed, settings), assets)


def frames_per_second(settings: Settings, seeds: range, pack: str | None) -> tuple[float, float]:
    """(by CPU time, by the clock), after one clip that compiles and loads everything."""
    list(clips(settings, range(1), pack))
    clock, processor = time.perf_counter(), time.process_time()
    count = sum(len(example.video) for example in clips(settings, seeds, pack))
    return count / (time.process_time() - processor), count / (time.perf_counter() - clock)


def _work(arguments: tuple[Settings, range, str | None]) -> int:
    return sum(len(example.video) for example in clips(*arguments))


def speed(pack: str | None, count: int) -> None:
    """Print frames per second with one process for several sample counts, then with two."""
    assets = packs.load(pack)
    for samples in (1, 2, 4):
        settings = ten_bodies(samples)
        stages = [build(scenes.sample(seed, settings), assets) for seed in range(1, 6)]
        triangles = np.mean([len(stage.surface.faces) for stage in stages])
        processor, clock = frames_per_second(settings, range(1, count + 1), pack)
        print(
            f"{samples} samples: {processor:6.1f} frames/s of CPU time, {clock:6.1f} by the clock "
            f"({triangles:.0f} triangles on average)"
        )
    settings = ten_bodies(1)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_work, [(settings, range(1), pack)] * 2))
        for workers in (1, 2):
            shares = [(settings, range(k, count, workers), pack) for k in range(workers)]
            clock = time.perf_counter()
            made = sum(pool.map(_work, shares))
            print(f"{workers} workers: {made / (time.perf_counter() - clock):.1f} frames/s")


def truth(pack: str | None, count: int) -> None:
    """Print the photometric check of `count` clips."""
    assets, settings = packs.load(pack), PRESETS["default"]
    visible, occluded, own = [], [], []
    for seed in range(count):
        scene = scenes.sample(seed, settings)
        seen, hidden = stats.albedo_errors(scene, assets)
        visible.append(seen)
        occluded.append(hidden)
        example = scenes.render(replace(scene, samples=1), assets)
        rows = np.arange(len(example.query_points)), example.query_points[:, 0].astype(int)
        own.append(np.abs(example.target_points[rows] - example.query_points[:, [2, 1]]).max())
    seen, hidden = np.concatenate(visible), np.concatenate(occluded)
    print(
        f"{count} clips: median colour difference {np.median(seen):.2f}/255 at {len(seen)} visible "
        f"points ({(seen > 20).mean():.3f} above 20), {np.median(hidden):.1f}/255 at {len(hidden)} "
        f"occluded ones; worst query off by {max(own):.1e} px"
    )


def statistics(pack: str | None, count: int, preset: str, real: str | None) -> None:
    """Print what clips are like, and annotated real ones beside them."""
    settings = replace(PRESETS[preset], samples=1)  # changes no position
    columns = {preset: stats.describe(clips(settings, range(count), pack))}
    if real:
        columns["real"] = stats.describe(_real(real))
    for name in columns[preset]:
        values = "  ".join(f"{title} {column[name]:8.3f}" for title, column in columns.items())
        print(f"{name:24s} {values}")


def _real(path: str) -> Iterator[Example]:
    """Clips in the layout of TAP-Vid's Kinetics shards, which may have an `annotated` mask."""
    from tapnet.files import load_pickle

    for name, clip in load_pickle(path).items():
        first = cv2.imdecode(np.frombuffer(clip["video"][0], np.uint8), cv2.IMREAD_COLOR)
        height, width = first.shape[:2]
        points = clip["points"] * np.array([width, height], np.float32)
        video = np.zeros((points.shape[1], 1, 1, 3), np.uint8)
        video = np.broadcast_to(video, (points.shape[1], height, width, 3))
        known = clip.get("annotated")
        yield Example(
            name, video, np.zeros((len(points), 3)), points, clip["occluded"], None, known
        )


def sheet(path: Path, pack: str | None, first: int) -> None:
    """Write the middle frames of 48 scenes, 8 in a row."""
    middle = [e.video[12] for e in clips(PRESETS["default"], range(first, first + 48), pack)]
    rows = [np.hstack(middle[k : k + 8]) for k in range(0, 48, 8)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "truth", "stats", "sheet"])
    parser.add_argument("out", nargs="?", default="sheet.png", type=Path)
    parser.add_argument("--assets", help="folder of a pack; default: the shipped one")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--preset", default="default", choices=sorted(PRESETS))
    parser.add_argument("--real", help="a TAP-Vid pickle to compare with")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.what == "speed":
        speed(arguments.assets, min(arguments.count, 20))
    elif arguments.what == "truth":
        truth(arguments.assets, arguments.count)
    elif arguments.what == "stats":
        statistics(arguments.assets, arguments.count, arguments.preset, arguments.real)
    else:
        sheet(arguments.out, arguments.assets, arguments.first)


if __name__ == "__main__":
    main()
