"""Queues the paths of tracks that changed, so that who clicks does not wait for it.

The first change is queued at once; those that follow within `PAUSE_SECONDS` go together, as one
job a video: many annotators make few jobs. What a kill loses here, the next start finds: it queues
all paths that are missing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from tapnet.annotation.project import Project
from tapnet.annotation.records import User

PAUSE_SECONDS = 0.2
AGAIN_SECONDS = 2.0  # until the next try, when the database is away

_log = logging.getLogger(__name__)


class Filling:
    """Tracks whose paths are wanted, by their video."""

    def __init__(self, project: Project, queued: Callable[[], None]) -> None:
        self._project, self._queued = project, queued
        self._wanted: dict[int, tuple[set[int], User]] = {}
        self._lock, self._news = threading.Lock(), threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="filling", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, video_id: int, tracks: Iterable[int], user: User) -> None:
        with self._lock:
            numbers, _ = self._wanted.get(video_id, (set(), user))
            self._wanted[video_id] = numbers | set(tracks), user
        self._news.set()

    def close(self) -> None:
        """Queues what is left."""
        self._over.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._over.is_set():
            self._news.wait()
            self._news.clear()
            with self._lock:
                wanted, self._wanted = self._wanted, {}
            for video_id, (tracks, user) in wanted.items():
                self._queue(video_id, tracks, user)
            self._queued()
            self._over.wait(PAUSE_SECONDS)

    def _queue(self, video_id: int, tracks: set[int], user: User) -> None:
        try:
            self._project.enqueue("assist", video_id, {"tracks": sorted(tracks)}, user)
        except KeyError:  # the video was removed meanwhile
            return
        except OSError:
            _log.exception("paths cannot be queued; the next try is in %g s", AGAIN_SECONDS)
            self._over.wait(AGAIN_SECONDS)
            if not self._over.is_set():
                self.add(video_id, tracks, user)
