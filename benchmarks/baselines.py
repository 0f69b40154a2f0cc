"""Seconds a frame and peak memory of the baselines, beside a yardstick of the machine.

    python benchmarks/baselines.py                                   # speed at 640x360
    python benchmarks/baselines.py --frames 2000 --points 100        # does memory stay? (long)

Each tracker runs in a process of its own, online, on a textured video made as it goes. The
yardstick is a product of two 2048x2048 float32 matrices in the same process: seconds change with
the machine, the ratio to the yardstick changes less. Memory is the largest resident set of the
process after a step, less that before the first frame (Linux only: read from /proc).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from tapnet.baselines import BASELINES

HEIGHT, WIDTH = 360, 640


def frames(count: int) -> Iterator[torch.Tensor]:
    """Frames of a texture that sways by a pixel or two a frame, with a bar crossing it."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT + 80, WIDTH + 80, 3)).astype(np.float32)
    texture = 128 + 400 * cv2.GaussianBlur(noise, (0, 0), 3)
    texture = texture.clip(0, 255).astype(np.uint8)
    for t in range(count):
        dx, dy = 30 * np.sin(t / 15), 30 * np.cos(t / 20)
        matrix = np.array([[1, 0, dx - 40], [0, 1, dy - 40]])
        image = cv2.warpAffine(texture, matrix, (WIDTH, HEIGHT))
        left = (7 * t) % WIDTH
        image[:, left : left + 40] = texture[:HEIGHT, -40:][:, : WIDTH - left]
        yield torch.from_numpy(image)


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def yardstick() -> float:
    """Seconds of the matrix product: the median of five."""
    a, b = torch.rand(2, 2048, 2048, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        _ = a @ b
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def measure(job: tuple[str, int, int]) -> str:
    """One line of the table for (name, points, frames)."""
    name, points, count = job
    yard = yardstick()
    model = BASELINES[name]()
    state = model.init_state()
    generator = torch.Generator().manual_seed(1)
    yx = torch.rand(points, 2, generator=generator) * torch.tensor([HEIGHT - 80.0, WIDTH - 80.0])
    before = most = resident_megabytes()
    seconds = []
    for t, frame in enumerate(frames(count)):
        start = time.perf_counter()
        _, state = model.step(frame, state)
        seconds.append(time.perf_counter() - start)
        most = max(most, resident_megabytes())
        if t == 0:
            state = model.add(state, yx + 40)
    median = float(np.median(seconds[1:]))
    return (
        f"{name:15s} {points:6d} {count:6d} {median * 1e3:9.1f} {1 / median:7.1f} "
        f"{median / yard:9.2f} {most - before:9.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", nargs="+", default=["klt", "flow", "flow-multi"])
    parser.add_argument("--points", nargs="+", type=int, default=[100, 256])
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    print(f"{WIDTH}x{HEIGHT}, {torch.get_num_threads()} threads; median step, online")
    print("name            points frames  ms/frame     fps  yardsticks      MB above start")
    jobs = [(name, n, options.frames) for name in options.names for n in options.points]
    for job in jobs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(measure, (job,)), flush=True)


if __name__ == "__main__":
    main()
