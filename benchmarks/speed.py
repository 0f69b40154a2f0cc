"""Frames per second of trackers in a stream, decoding included, side by side in one process.

    python benchmarks/speed.py [--models taplite taplite@256 klt tapir] [--points 64 256]

The clip that is shipped is decoded and shrunk to 256x256, each model follows a grid through it,
rounds of the models alternate, and the fastest round of each counts. taplite sees these frames
enlarged to the size it asks for, `taplite@256` as they are. `tapir` is a causal TAPIR with random
weights; it runs a few frames only. The yardstick is what one matrix product of this machine gives.
On a GPU add --device cuda.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import tapnet
from tapnet import video
from tapnet.models import build
from tapnet.tracker import Tracker

CLIP = Path(tapnet.__file__).parent / "demo_clip" / "bigbuckbunny.mp4"
SIZE = (256, 256)


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def yardstick() -> float:
    """GFLOP/s of a single-precision matrix product of 1024 with 1024."""
    a = torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(8):
        begin = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best / 1e9


def load(name: str, device: str) -> Tracker:
    if name == "tapir":
        model = build("tapir", causal=True, pyramid_level=1).eval().requires_grad_(False)
        return Tracker(model.to(device), "causal tapir", SIZE, torch.device(device))
    known, _, side = name.partition("@")
    return tapnet.load(known, device, int(side) if side else None)


def frames_per_second(tracker: Tracker, points: int, frames: int) -> float:
    """Of one pass over the clip, from the file to the last answer; the first frame aside."""
    clip = video.open(CLIP)
    height, width = SIZE
    side = int(np.ceil(points**0.5))
    y, x = np.meshgrid(
        np.linspace(8, height - 8, side), np.linspace(8, width - 8, side), indexing="ij"
    )
    stream = tracker.stream(SIZE)
    begin, done = 0.0, 0
    for t, frame in enumerate(clip.frames(0, min(frames + 1, len(clip)))):
        stream.step(cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA))
        if t == 0:
            stream.add(np.stack([y.ravel(), x.ravel()], 1)[:points])
            begin = time.perf_counter()
        done = t
    return done / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["taplite", "taplite@256", "klt", "tapir"])
    parser.add_argument("--points", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    print(f"{torch.get_num_threads()} threads, yardstick {yardstick():.0f} GFLOP/s")
    for points in args.points:
        best: dict[str, float] = {}
        for _ in range(args.rounds):
            for name in args.models:
                slow = name == "tapir" and args.device == "cpu"
                speed = frames_per_second(
                    load(name, args.device), points, 3 if slow else args.frames
                )
                if speed > best.get(name, 0):
                    best[name] = speed
        first = args.models[0]
        for name, speed in best.items():
            print(
                f"{points} points, {name}: {speed:.1f} frames/s; "
                f"{first} is {best[first] / speed:.2f} times as fast"
            )
    print(f"memory of the process at the end {resident_mb():.0f} MB")


if __name__ == "__main__":
    main()
