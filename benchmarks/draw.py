"""How fast tracks are painted: 256 points, 1280x720, one core.

    python benchmarks/draw.py

Prints milliseconds a frame (median and fastest of all frames) and, as a yardstick for the machine,
the time of a 2048x2048 float32 matrix product in the same process on one thread.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from tapnet.draw import draw

N, T, H, W = 256, 120, 720, 1280


def yardstick() -> float:
    """Fastest of five products, in milliseconds."""
    a = np.random.default_rng(0).random((2048, 2048), np.float32)
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        durations.append(time.perf_counter() - start)
    return 1e3 * min(durations)


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (H, W, 3), np.uint8)
    steps = rng.normal(0, 4, (N, T, 2))
    steps[:, 0] = rng.random((N, 2)) * [W, H]
    xy, visible = np.cumsum(steps, 1), rng.random((N, T)) < 0.8
    durations, start = [], time.perf_counter()
    for _ in draw((frame for _ in range(T)), xy, visible):
        now = time.perf_counter()
        durations.append(1e3 * (now - start))
        start = now
    middle, fastest = np.median(durations), min(durations[1:])
    print(f"{N} points, {W}x{H}, one thread: median {middle:.1f} ms a frame", end=" ")
    print(f"({1e3 / middle:.0f} frames/s), fastest {fastest:.1f} ms")
    print(f"yardstick: 2048x2048 float32 product {yardstick():.0f} ms")


if __name__ == "__main__":
    main()
