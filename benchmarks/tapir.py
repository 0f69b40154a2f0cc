"""TAPIR on this machine: seconds and memory, offline and frame by frame.

    python benchmarks/tapir.py [--threads 2] [--repeats 3]

Random weights, 256x256. The yardstick is a 2048x2048 float32 product in the same process, so that
ratios to it survive a change of machine. Each row is the best of the repeats; CPU seconds are those
of the process in that run.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import torch

from tapnet.models import build


def best_of(repeats: int, work: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of the fastest run after one to warm up."""
    work()
    runs = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    square = torch.randn(2048, 2048)
    yard, _ = best_of(5, lambda: square @ square)
    print(f"torch {torch.__version__}, {args.threads} threads; yardstick {yard * 1e3:.0f} ms")

    def row(name: str, work: Callable[[], object]) -> None:
        wall, cpu = best_of(args.repeats, work)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{name:<44}{wall:7.2f} s {cpu:7.2f} CPU s {wall / yard:8.1f} yards {peak:6.2f} GB")

    video = torch.randint(0, 256, (1, 24, 256, 256, 3), dtype=torch.uint8)
    with torch.inference_mode():
        tapir = build("tapir").eval()
        row("TAPIR, features of 24 frames", lambda: tapir.feature_grids(video))
        for count in (32, 256):
            asked = torch.rand(1, count, 3) * torch.tensor([24, 256, 256])
            row(f"TAPIR, 24 frames, {count} points", lambda asked=asked: tapir(video, asked))
        causal = build("tapir", causal=True, pyramid_level=1, extra_convs=True).eval()
        for count in (32, 256):
            _, state = causal.step(video[0, 0], causal.init_state())
            state = causal.add(state, torch.rand(count, 2) * 256)
            _, state = causal.step(video[0, 1], state)
            row(
                f"causal BootsTAPIR, one frame, {count} points",
                lambda state=state: causal.step(video[0, 2], state),
            )


if __name__ == "__main__":
    main()
