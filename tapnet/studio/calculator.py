"""Paths are computed here, in a process that gives way to all others.

A worker reads and writes the project, and must not be paused while it holds a lock that somebody
waits for; so it is not nice. What needs the CPU is in a process of its own, which is.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path as File
from typing import Any

from tapnet.annotation.content import Content, Path
from tapnet.annotation.kept import Kept
from tapnet.cores import Watch
from tapnet.faults import is_told_to_users

NICE = 10  # how much it gives way
LISTEN_SECONDS = 0.1  # at most between two looks whether the work is wanted
STOP_SECONDS = 5.0  # to end what nobody wants any more; then the process is killed
WATCH_SECONDS = 1.0  # between two looks at what the cores do, while there is no work

Progress = Callable[[int, int], None]  # units done, units in all; what it raises ends the work
OnPartial = Callable[[Callable[[], dict[int, Path]]], None]


class Calculator:
    """A process that computes paths, one job after the other; started when there is one."""

    def __init__(self, kept: File) -> None:
        """What depends on frames alone is kept in the folder `kept`."""
        self._kept = kept
        self._pipe: Connection | None = None
        self._process: Any = None
        self._stopping = 0.0  # since when what is being done is to end

    def warm(self) -> None:
        """Loads what the first path needs, before it is asked for."""
        self._started()
        self._say("warm")

    def fill(
        self,
        video: File,
        contents: Sequence[Content],
        progress: Progress,
        on_partial: OnPartial | None = None,
    ) -> list[Path]:
        """As `annotation.assist.fill`, of the video in a file.

        Raises ValueError for what users got wrong, RuntimeError with the traceback for a fault of
        ours, MemoryError when the process had too little or was killed.
        """
        self._settle(progress)
        pipe, frames = self._started(), (0, 1)
        self._say((video, list(contents)))
        while True:
            try:
                while not pipe.poll(LISTEN_SECONDS):
                    progress(*frames)
                kind, value = self._hear()
                if kind != "frames":
                    break
                frames = value
                progress(*frames)
                if on_partial:
                    on_partial(self._so_far)
            except BaseException:
                self._stop()
                raise
            self._say("on")
        return _result(kind, value)

    def close(self) -> None:
        """Ends the process; the next job starts another."""
        if self._pipe:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._pipe, self._stopping = None, 0.0

    def _started(self) -> Connection:
        if self._pipe is None or not self._process.is_alive():
            self.close()
            spawn = multiprocessing.get_context("spawn")
            self._pipe, theirs = spawn.Pipe()
            self._process = spawn.Process(target=_serve, args=(theirs, self._kept), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _so_far(self) -> dict[int, Path]:
        """After each frame the process waits for a word, so this is of the frame just told."""
        self._say("so far")
        return self._hear()

    def _stop(self) -> None:
        """Ends what is being done, sooner or later."""
        if self._pipe:
            self._stopping = time.monotonic()
            with contextlib.suppress(MemoryError):  # it is gone already
                self._say("stop")

    def _settle(self, progress: Progress) -> None:
        """Waits until what was to end has ended, or ends the process."""
        while self._pipe and self._stopping:
            if self._pipe.poll(LISTEN_SECONDS):
                with contextlib.suppress(MemoryError):  # so it ended, too
                    if self._hear()[0] == "stopped":
                        self._stopping = 0.0
            elif time.monotonic() - self._stopping > STOP_SECONDS:
                self.close()
            progress(0, 1)

    def _say(self, word: Any) -> None:
        assert self._pipe
        try:
            self._pipe.send(word)
        except OSError as error:
            raise self._gone() from error

    def _hear(self) -> Any:
        assert self._pipe
        try:
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error

    def _gone(self) -> MemoryError:
        self.close()
        return MemoryError("the process that computes paths was killed")


def _result(kind: str, value: Any) -> list[Path]:
    match kind:
        case "refused":
            raise ValueError(value)
        case "greedy":
            raise MemoryError(value)
        case "fault":
            raise RuntimeError(value)
    return value


class _Stopped(Exception):
    """The worker does not want it any more."""


def _serve(pipe: Connection, kept_in: File) -> None:
    """Answers until the worker is gone."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    from tapnet.annotation import assist  # takes its time

    kept, cores = Kept(kept_in), Watch()
    with contextlib.suppress(EOFError, OSError):  # of the pipe
        while True:
            cores.begin()
            while not pipe.poll(WATCH_SECONDS):
                cores.look()
            asked = pipe.recv()
            cores.look()
            if asked == "warm":
                assist.tracker("taplite")
            elif asked == "stop":  # what was done was done already
                pipe.send(("stopped", None))
            else:
                video, contents = asked
                cores.leave_busy_cores()
                pipe.send(_answer(pipe, video, contents, kept))


def _answer(pipe: Connection, video: File, contents: list[Content], kept: Kept) -> tuple[str, Any]:
    from tapnet.annotation import assist
    from tapnet.video import open as open_video

    def progress(done: int, total: int) -> None:
        pipe.send(("frames", (done, total)))

    def on_partial(make: Callable[[], dict[int, Path]]) -> None:
        while (word := pipe.recv()) != "on":
            if word == "stop":
                raise _Stopped
            pipe.send(make())

    try:
        return "paths", assist.fill(open_video(video), contents, progress, on_partial, kept)
    except _Stopped:
        return "stopped", None
    except MemoryError as error:
        return "greedy", str(error)
    except (ValueError, OSError) as error:
        if is_told_to_users(error):
            return "refused", " ".join(str(error).split())
        return "fault", traceback.format_exc()
    except Exception:
        return "fault", traceback.format_exc()
