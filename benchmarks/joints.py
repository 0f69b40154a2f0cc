"""Drawn people in the layout of JHMDB: a stand-in where the real set is not at hand.

    python benchmarks/joints.py OUT/drawn-people
    tapnet evaluate --dataset OUT/drawn-people --model still,klt,flow --out OUT/runs

Writes 8 videos of 24 frames with 15 joints: figures of textured limbs, as the tests draw them. The
real set is evaluated by the same command with its own path.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import layouts
import people

VIDEOS, FRAMES = 8, 24


def main(out: Path) -> None:
    """Write the set into a new folder."""
    if out.exists():
        raise SystemExit(f"{out}: expected a new folder")
    layouts.jhmdb(out, {f"walk/person {i}": people.person(i, FRAMES) for i in range(VIDEOS)})
    print(f"wrote {VIDEOS} videos into {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
