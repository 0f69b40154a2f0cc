"""A worker process: takes jobs of a project, one after the other, until its stdin ends.

    python -m tapnet.studio.worker FOLDER [--database URL] [--takes paths|files]

A line on stdin says that there may be work ("warm": that there will be). When stdin ends, the
server stops or is gone: what is being done goes back into the queue.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
import uuid
from pathlib import Path

from tapnet.annotation.project import Project
from tapnet.annotation.records import Job
from tapnet.faults import is_told_to_users
from tapnet.studio import work
from tapnet.studio.options import limit_memory

POLL_SECONDS = 1.0  # other servers may queue work in the same database
TELL_SECONDS = 0.3  # between two signs of life
GRACE_SECONDS = 0.4  # for work to end that nobody wants any more; then the process ends
TAKES: dict[str, str | tuple[str, ...]] = {
    "paths": "assist",
    "files": ("overlay", "export", "proxy"),
}
MOST_AT_ONCE = 64  # jobs of one kind and video

_log = logging.getLogger("tapnet.studio.worker")


class Held:
    """Jobs while they are done here: tells the project that we live, and the work when to stop."""

    def __init__(self, project: Project, worker: str, jobs: list[Job]) -> None:
        self.jobs = jobs  # those that are still ours
        self._project, self._worker = project, worker
        self._done, self._total = 0, 0
        self._unwanted = self._leaving = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Held:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def progress(self, done: int, total: int) -> None:
        """Called by the work now and then. Raises `work.Stopped` when nobody wants it any more."""
        self._done, self._total = done, total
        if self._unwanted or self._leaving:
            raise work.Stopped

    def leave(self) -> None:
        """The process shall end: stop, and give the jobs back."""
        self._leaving = True

    def end(self, state: str, message: str = "", result: str | None = None) -> None:
        for job in self.jobs:
            if self._leaving and state == "cancelled":
                self._project.release(job.id, self._worker)
            else:
                self._project.finish(job.id, self._worker, state, message, result)

    def _tell(self) -> None:
        while not self._over.wait(TELL_SECONDS) and not self._leaving:
            try:
                self.jobs = [job for job in self.jobs if self._is_ours(job)]
            except OSError:  # the database is away: go on, it may come back
                _log.exception("no sign of life could be given")
                continue
            if not self.jobs:
                self._unwanted = True
                break
        if not self._over.wait(GRACE_SECONDS):
            if self._leaving:
                self.end("cancelled")
            os._exit(0)  # the work does not listen; a new worker takes this one's place

    def _is_ours(self, job: Job) -> bool:
        return self._project.progress(job.id, self._worker, self._done, self._total)


class Worker:
    """Takes jobs of the kinds in `TAKES[takes]`; ends after `patience` seconds without any."""

    def __init__(self, project: Project, takes: str, patience: float = math.inf) -> None:
        self._project, self._kinds, self._patience = project, TAKES[takes], patience
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._held: Held | None = None
        self._leaving = False

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        busy = time.monotonic()
        while not self._leaving and time.monotonic() - busy < self._patience:
            try:
                job = self._project.claim(self._name, kind=self._kinds)
            except OSError:
                _log.exception("the database does not answer")
                time.sleep(POLL_SECONDS)
                continue
            if job is not None:
                self._do(job)
                busy = time.monotonic()
            else:
                self._wait()

    def _wait(self) -> None:
        said = []
        with contextlib.suppress(queue.Empty):
            said.append(self._said.get(timeout=POLL_SECONDS))
            while True:
                said.append(self._said.get_nowait())
        if "warm" in said and "work" not in said and self._kinds == "assist":
            work.warm(self._project)

    def _do(self, first: Job) -> None:
        jobs = [first]
        while first.kind == "assist" and len(jobs) < MOST_AT_ONCE:
            more = self._project.claim(self._name, first.video_id, "assist")
            if more is None:
                break
            jobs.append(more)
        with Held(self._project, self._name, jobs) as held:
            self._held = held
            if self._leaving:
                held.leave()
            try:
                message, result = work.KINDS[first.kind](self._project, jobs, held.progress)
            except work.Stopped:
                held.end("cancelled")
            except Exception as error:
                held.end("failed", _sentence(error))
            else:
                held.end("done", message, result)
            finally:
                self._held = None

    def _listen(self) -> None:
        for line in sys.stdin:
            self._said.put(line.strip())
        self._leaving = True
        if (held := self._held) is not None:
            held.leave()
        self._said.put("")


def _sentence(error: Exception) -> str:
    """For the person who asked; a fault of ours goes to the log too."""
    if isinstance(error, MemoryError):
        return "the work needs more memory than there is; choose fewer tracks or a smaller video"
    if isinstance(error, ValueError | OSError | KeyError) and is_told_to_users(error):
        return " ".join(str(error.args[-1] if error.args else error).split())
    _log.error("a job failed", exc_info=error)
    return f"the studio has a fault ({type(error).__name__}); its log has the details"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--database")
    parser.add_argument("--takes", choices=sorted(TAKES), default="paths")
    parser.add_argument("--leave-after", type=float, default=math.inf, help="seconds without work")
    asked = parser.parse_args()
    logging.basicConfig(format="tapnet worker: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    if hasattr(os, "sysconf"):
        limit_memory(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4)
    project = Project.open(asked.folder, asked.database)
    try:
        Worker(project, asked.takes, asked.leave_after).run()
    finally:
        project.close()


if __name__ == "__main__":
    main()
