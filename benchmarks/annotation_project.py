"""How long an edit of an annotation project takes until it is on disk: p50, p95 and the longest.

    python benchmarks/annotation_project.py [--database URL] [--edits 2000] [--threads 8]

Edits one by one, then from several threads at once on tracks of their own; without a URL on a new
SQLite file in the temporary folder, else on that (empty) database.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as File

import numpy as np

from tapnet.annotation.content import Click, Content
from tapnet.annotation.project import Project
from tapnet.video import write

CLICKS = 10  # of a track: what is written grows with it


def edit_one_track(project: Project, video_id: int, count: int) -> list[float]:
    """Milliseconds of each of `count` edits of one new track."""
    user = project.local_user()
    (track,) = project.create_tracks(video_id, user, [Content()], uuid.uuid4().hex)
    taken = []
    for n in range(count):
        clicks = tuple(Click(frame, n % 50 + 0.5, 20.25) for frame in range(CLICKS))
        begin = time.perf_counter()
        track = project.change_track(
            track.id, track.version, Content(clicks=clicks), user, uuid.uuid4().hex
        )
        taken.append(1000 * (time.perf_counter() - begin))
    return taken


def report(label: str, taken: list[float], seconds: float) -> None:
    p50, p95 = np.percentile(taken, [50, 95])
    print(
        f"{label}: {len(taken)} edits, {len(taken) / seconds:.0f} a second, "
        f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, longest {max(taken):.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database")
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(File(folder) / "clip.mp4", np.zeros((20, 48, 64, 3), np.uint8), 25)
        project = Project.open(folder, options.database)
        video = project.add_video("clip.mp4")
        begin = time.perf_counter()
        taken = edit_one_track(project, video.id, options.edits)
        report("one by one", taken, time.perf_counter() - begin)
        each = options.edits // options.threads
        begin = time.perf_counter()
        with ThreadPoolExecutor(options.threads) as pool:
            parts = pool.map(
                lambda _: edit_one_track(project, video.id, each), range(options.threads)
            )
            taken = [value for part in parts for value in part]
        report(f"{options.threads} threads", taken, time.perf_counter() - begin)
        project.close()


if __name__ == "__main__":
    main()
