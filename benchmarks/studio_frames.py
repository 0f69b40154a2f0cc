"""How fast the studio gives single frames of a 1280x720 video, over HTTP on this machine.

    python benchmarks/studio_frames.py [--frames 300] [--gop 250]

A server is started, a video made. The first frame is asked for as a page does: the list of videos,
the video, frame 0. Then frames follow one another forward, backward, and at random; each is asked
for when the one before has come. The exit code is 1 when the first frame takes more than 300 ms, or
half of the next frames (forward or backward) more than 50 ms each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import httpx
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from studio_server import Server

HEIGHT, WIDTH = 720, 1280


def make(path: Path, frames: int, gop: int) -> None:
    """H.264 with B-frames, a keyframe every `gop` frames: a texture that moves."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (68, 120, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (WIDTH + 200, HEIGHT + 200), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": str(gop), "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(frames):
            y, x = int(100 + 90 * np.sin(t / 20)), int(100 + 90 * np.cos(t / 31))
            image = np.ascontiguousarray(texture[y : y + HEIGHT, x : x + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def asked(client: httpx.Client, video: dict, order: list[int]) -> list[float]:
    """Milliseconds that each frame takes."""
    taken = []
    for n in order:
        began = time.perf_counter()
        address = f"/api/videos/{video['id']}/frames/{n}"
        answer = client.get(address, params={"height": HEIGHT, "v": video["stamp"]})
        taken.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, answer.text
        assert len(answer.content) > 10_000
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--gop", type=int, default=250, help="frames from keyframe to keyframe")
    args = parser.parse_args()

    late = False
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "made.mp4", args.frames, args.gop)
        with Server(Path(folder), "--workers", "0") as server, server.client() as client:
            time.sleep(2)  # the time that a browser needs to start
            began = time.perf_counter()
            video = client.get("/api/videos").json()[0]
            video = client.get(f"/api/videos/{video['id']}").json()
            asked(client, video, [0])
            first = 1000 * (time.perf_counter() - began)
            print(f"first frame, from the list of videos on: {first:.0f} ms")
            late |= first > 300
            half = args.frames // 2
            orders = {
                "next": list(range(1, half)),
                "seek": np.random.default_rng(1)
                .permutation(range(half, args.frames))
                .tolist()[:40],
                "back": list(range(args.frames - 1, half, -1)),
                "again": list(range(1, half)),
            }
            for name, order in orders.items():
                taken = asked(client, video, order)
                p50, p95 = np.percentile(taken, [50, 95])
                print(
                    f"{name:<6} {len(order):>4} frames: median {p50:5.1f} ms, "
                    f"95 % {p95:5.1f} ms, longest {max(taken):5.1f} ms"
                )
                late |= name in ("next", "back") and p50 > 50
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
