"""How far a long piece of work is, told on stderr."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

QUIET_SECONDS = 2.0  # work that takes less shows no progress
PLAIN_SECONDS = 5.0  # between two lines of progress where there is no terminal


class Progress:
    """Called with units done and units in all: a bar in a terminal, else a line now and then.

    `then` names the work that cannot be counted and follows the last unit, until the `with` ends.
    """

    def __init__(self, label: str, unit: str = "frames", then: str | None = None) -> None:
        self._label, self._unit, self._then = label, unit, then
        self._began = self._last_line = time.monotonic()
        self._bar: Any = None  # or the spinner that comes after it
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._began >= QUIET_SECONDS:
            self._tell(done, total, now)
        if done == total and self._then is not None:
            quiet = max(0.0, self._began + QUIET_SECONDS - now)
            self._timer = threading.Timer(quiet, self._tell_then, [total])
            self._timer.start()

    def _tell(self, done: int, total: int, now: float) -> None:
        speed = f"{done / (now - self._began):.1f} {self._unit}/s"
        if sys.stderr.isatty():
            self._draw(done, total, speed)
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            sys.stderr.write(f"{self._label}: {done} of {total} {self._unit}, {speed}\n")

    def _tell_then(self, total: int) -> None:
        text = f"{self._then} ({total} {self._unit}) ..."
        if not sys.stderr.isatty():
            sys.stderr.write(f"{text}\n")
            return
        from rich.console import Console

        if self._bar is not None:
            self._bar.stop()
        self._bar = Console(stderr=True).status(text)
        self._bar.start()

    def _draw(self, done: int, total: int, speed: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        if self._bar is None:
            self._bar = Bar(
                "{task.description}",
                BarColumn(),
                "{task.completed}/{task.total} {task.fields[unit]}, {task.fields[speed]}",
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.add_task(self._label, total=total, speed=speed, unit=self._unit)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, speed=speed)
