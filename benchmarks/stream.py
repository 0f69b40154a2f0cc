"""Memory and speed of a stream that does not end: 2,000 frames of 640x360 with 100 points.

    python benchmarks/stream.py [--model klt] [--frames 2000] [--points 100] [--limit 300]

Frames are made as they are used: a random texture under a moving window. Memory is the resident
set of the process above what it was before the stream was made. The exit code is 1 when it grew
by more than the limit in MB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import tapnet

SIZE = 360, 640


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def moving_frames(count: int) -> Iterator[np.ndarray]:
    """[H, W, 3] uint8: a window that circles over a smooth texture."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (120, 190, 3), dtype=np.uint8)
    texture = coarse.repeat(4, axis=0).repeat(4, axis=1)
    for t in range(count):
        angle = 2 * np.pi * t / 200
        y, x = int(60 + 50 * np.sin(angle)), int(60 + 50 * np.cos(angle))
        yield np.ascontiguousarray(texture[y : y + SIZE[0], x : x + SIZE[1]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="klt")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--limit", type=float, default=300, help="MB")
    args = parser.parse_args()

    tracker = tapnet.load(args.model, device="cpu")
    before = peak = resident_mb()
    stream = tracker.stream(SIZE)
    stream.add(np.random.default_rng(1).uniform([0, 0], SIZE, (args.points, 2)))
    seconds = 0.0
    for t, frame in enumerate(moving_frames(args.frames)):
        begin = time.perf_counter()
        now = stream.step(frame)
        seconds += time.perf_counter() - begin
        peak = max(peak, resident_mb())
        if t + 1 in (10, 100, args.frames // 2, args.frames):
            print(
                f"frame {t + 1}: {resident_mb() - before:.0f} MB above start, "
                f"{now.visible.sum()} of {args.points} points visible"
            )
    print(
        f"{args.model}: {args.frames} frames of {SIZE[1]}x{SIZE[0]}, {args.points} points: "
        f"peak {peak - before:.0f} MB above start (limit {args.limit:.0f}), "
        f"{args.frames / seconds:.1f} frames/s"
    )
    return int(peak - before > args.limit)


if __name__ == "__main__":
    raise SystemExit(main())
