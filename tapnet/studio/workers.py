"""The worker processes of a server: started, woken, started again when they die, stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tapnet.annotation.project import Project
from tapnet.studio.options import Options

LOOK_SECONDS = 0.5  # between looks whether they live
LOST_SECONDS = 6.0  # without a sign of life from a worker: its job is taken away
LONGEST_PAUSE = 30.0  # before one that keeps dying is started again
STOP_SECONDS = 3.0  # to give its job back
WAIT_SECONDS = 1.5  # that tracks may wait for a worker; then one more is started
MOST_HELPERS = 2  # workers for that
HELPER_SECONDS = 60  # without work, then such a worker ends

_log = logging.getLogger(__name__)


@dataclass
class _Place:
    """One worker, and the ones that take its place."""

    command: list[str]
    helps: bool = False  # only there while all others are busy
    process: subprocess.Popen | None = None
    started: float = 0.0
    pause: float = 0.0


class Workers:
    """`options.workers` processes for paths, one more for files.

    While all of them are busy and work waits, for example because one video is long, helpers are
    started: nobody waits for the video of another.
    """

    def __init__(self, options: Options, project: Project) -> None:
        self._project = project
        self._environment = _environment(options.workers)
        base = [sys.executable, "-m", "tapnet.studio.worker", str(options.folder)]
        base += ["--database", options.database] if options.database else []
        kinds = ["paths"] * options.workers + ["files"] * (options.workers > 0)
        self._places = [_Place([*base, "--takes", kind]) for kind in kinds]
        help_ = [*base, "--takes", "paths", "--leave-after", str(HELPER_SECONDS)]
        self._places += [_Place(help_, True) for _ in range(MOST_HELPERS * (options.workers > 0))]
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be work."""
        self._say(b"work\n")

    def warm(self) -> None:
        """There will be work: a person opened a video."""
        self._say(b"warm\n")

    def stop(self) -> None:
        """Ends all of them; their jobs go back into the queue."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        processes = [place.process for place in self._places if place.process]
        for process in processes:
            self._close(process)
        end = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _say(self, line: bytes) -> None:
        with self._lock:
            for place in self._places:
                pipe = place.process and place.process.stdin
                if pipe and not pipe.closed:
                    with contextlib.suppress(OSError):  # it just died, or does not read
                        os.write(pipe.fileno(), line)

    def _close(self, process: subprocess.Popen) -> None:
        """Ends its stdin, which ends the process."""
        if process.stdin:
            with self._lock, contextlib.suppress(OSError):
                process.stdin.close()

    def _watch(self) -> None:
        asked = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            for place in self._places:
                self._revive(place, now)
            if self._places and now - asked > WAIT_SECONDS:
                asked = now
                try:
                    self._look_after_jobs(now)
                except Exception:  # the database is away: workers must be looked after all the same
                    _log.exception("jobs cannot be looked after")
            self._stopping.wait(LOOK_SECONDS)

    def _look_after_jobs(self, now: float) -> None:
        if self._project.requeue_lost(LOST_SECONDS):
            self.wake()
        idle = [place for place in self._places if place.helps and not place.process]
        if idle and self._somebody_waits():
            self._start(idle[0], now)

    def _somebody_waits(self) -> bool:
        """Whether tracks of a video wait that no worker is busy with."""
        long_ago = datetime.now(UTC) - timedelta(seconds=WAIT_SECONDS)
        jobs = [job for job in self._project.jobs() if job.kind == "assist"]
        served = {job.video_id for job in jobs if job.state == "running"}
        return any(
            job.state == "queued" and job.created < long_ago and job.video_id not in served
            for job in jobs
        )

    def _revive(self, place: _Place, now: float) -> None:
        if place.process is not None:
            code = place.process.poll()
            if code is None:
                place.pause = 0.0 if now - place.started > LONGEST_PAUSE else place.pause
                return
            self._close(place.process)
            place.process, place.started = None, now
            place.pause = min(LONGEST_PAUSE, 2 * place.pause or 0.5)
            if not (place.helps and code == 0):
                _log.warning("a worker ended with code %s; it is started again", code)
        if not place.helps and now - place.started >= place.pause:
            self._start(place, now)

    def _start(self, place: _Place, now: float) -> None:
        process = subprocess.Popen(
            place.command,
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the server, which ends them
        )
        assert process.stdin
        os.set_blocking(process.stdin.fileno(), False)
        place.process, place.started = process, now


def _environment(workers: int) -> dict[str, str]:
    """Threads of a worker: its share of the CPUs."""
    share = str(max(1, (os.cpu_count() or 1) // max(1, workers)))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return os.environ | {name: os.environ.get(name, share) for name in names}
