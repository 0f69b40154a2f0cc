"""How far a long piece of work is, told on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

QUIET_SECONDS = 2.0  # work that takes less shows no progress
PLAIN_SECONDS = 5.0  # between two lines of progress where there is no terminal


class Progress:
    """Called with units done and units in all: a bar in a terminal, else a line now and then."""

    def __init__(self, label: str, unit: str = "frames") -> None:
        self._label, self._unit, self._began = label, unit, time.monotonic()
        self._bar: Any = None
        self._last_line = self._began

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._began < QUIET_SECONDS:
            return
        speed = f"{done / (now - self._began):.1f} {self._unit}/s"
        if sys.stderr.isatty():
            self._draw(done, total, speed)
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            sys.stderr.write(f"{self._label}: {done} of {total} {self._unit}, {speed}\n")

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
