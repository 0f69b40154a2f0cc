"""What evaluating takes beside the tracker: time for 30 videos, memory for 1,000.

    python benchmarks/evaluator.py time OUT [--model klt]
    python benchmarks/evaluator.py memory OUT [--videos 1000] [--model still] [--limit 1000]

`time` writes 30 videos of 100 frames of 256x256 with 30 points, evaluates them, and takes away what
was spent in the tracker. `memory` writes TAP-Vid-Kinetics in its size: ten shards of clips of 250
JPEG frames with 26 points, of which one shard is written and nine are links to it; it predicts,
scores and makes the report, each in a process of its own, and takes its peak from the system. The
exit code is 1 when a process held more than the limit in MB. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import tapnet
from tapnet.evaluate import evaluate
from tapnet.files import replacing

SIDE, SHARDS = 256, 10


def clip(number: int, frames: int, points: int, encoded: bool) -> dict[str, Any]:
    """A window that wanders over a texture, with points that stay on it and leave the frame."""
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, (64, 64, 3), np.uint8)
    texture = cv2.resize(coarse, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
    turn = 2 * np.pi * np.arange(frames) / 120 + random.uniform(0, 6)
    corner = np.stack([np.cos(turn), np.sin(turn)], -1) * SIDE / 4 + SIDE / 2  # [T, 2] (x, y)
    places = random.uniform(SIDE / 2, 3 * SIDE / 2, (points, 1, 2))
    xy = (places - np.rint(corner)) / SIDE
    windows = (
        np.ascontiguousarray(texture[y : y + SIDE, x : x + SIDE])
        for x, y in np.rint(corner).astype(int)
    )
    video = [cv2.imencode(".jpg", window)[1].tobytes() if encoded else window for window in windows]
    occluded = ((xy < 0) | (xy >= 1)).any(-1)
    return {"video": video if encoded else np.stack(video), "points": xy, "occluded": occluded}


def peak_mb(*words: str | Path) -> tuple[float, float]:
    """Peak memory in MB and seconds of `tapnet WORDS` in a process of its own.

    The system counts what this process holds when it starts the other as that one's: so this one
    never holds a shard.
    """
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "tapnet", *map(str, words)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"tapnet {' '.join(map(str, words))}: status {status}")
    return usage.ru_maxrss / 1e3 * 1.024, time.monotonic() - began


def write_shard(path: Path, clips: int) -> None:
    """A shard of TAP-Vid-Kinetics."""
    content = [clip(number, 250, 26, encoded=True) for number in range(clips)]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(content, file, protocol=4)


def shards(folder: Path, videos: int) -> Iterator[Path]:
    """The shards, the first written and the others links to it."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / f"0000_of_{SHARDS:04d}.pkl"
    if not first.exists():
        spawned = multiprocessing.get_context("spawn")
        writer = spawned.Process(target=write_shard, args=(first, -(-videos // SHARDS)))
        writer.start()
        writer.join()
    yield first
    for number in range(1, SHARDS):
        other = folder / f"{number:04d}_of_{SHARDS:04d}.pkl"
        if not other.exists():
            other.hardlink_to(first)
        yield other


def memory(out: Path, model: str, videos: int, limit: float) -> bool:
    """Tell the peak of each pass; whether all stay below the limit."""
    size = sum(shard.stat().st_size for shard in shards(out / "kinetics", videos))
    print(f"{videos} videos, {size / 1e9:.2f} GB", flush=True)
    passes: dict[str, tuple[str | Path, ...]] = {
        "predict and score": (
            *("evaluate", "--dataset", out / "kinetics"),
            *("--model", model, "--out", out / "runs"),
        ),
        "score alone": (
            *("evaluate", "--dataset", out / "kinetics"),
            *("--model", model, "--out", out / "runs"),
        ),
        "report": ("report", out / "runs", "--out", out / "report"),
    }
    worst = 0.0
    for name, words in passes.items():
        peak, seconds = peak_mb(*words)
        print(f"{name}: peak {peak:.0f} MB, {seconds:.0f} s", flush=True)
        worst = max(worst, peak)
    return worst < limit


def timing(out: Path, model: str) -> None:
    """Tell the seconds beside the tracker."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "thirty.pkl"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        clips = {f"clip {number}": clip(number, 100, 30, encoded=False) for number in range(30)}
        pickle.dump(clips, file, protocol=4)
    tracker = tapnet.load(model)
    began, worked = time.perf_counter(), time.process_time()
    result = evaluate(path, tracker)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    tracking = sum(cost.seconds for _, cost in result.costs)
    print(
        f"{model}: {seconds:.1f} s, of which {tracking:.1f} s in the tracker: "
        f"{seconds - tracking:.1f} s beside it; {worked:.1f} s of CPU time in all"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("time", "memory"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--limit", type=float, default=1000.0)
    args = parser.parse_args()
    if args.what == "time":
        timing(args.out, args.model or "klt")
        return 0
    return 0 if memory(args.out, args.model or "still", args.videos, args.limit) else 1


if __name__ == "__main__":
    sys.exit(main())
