"""How a training goes on: its speed, the time it has left, and who wants it to stop."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tapnet.train.trainer import Step

_log = logging.getLogger(__name__)
Item = TypeVar("Item")

_STARTING = 2  # steps after a start that may be longer: they compile, and wait for the first clips
_RECENT = 20  # steps by which the next ones are judged


@dataclass(frozen=True)
class Status:
    """How far a training is; means are over the steps since the last line of the log."""

    step: int
    steps: int
    terms: dict[str, float]  # of the loss; skipped steps do not count
    clips_per_second: float
    waiting: float  # share of the time spent waiting for clips
    seconds_left: float
    skipped: int  # steps whose loss was no number, since the beginning

    @property
    def loss(self) -> float:
        return sum(self.terms.values())


@dataclass
class Meter:
    """Means over some steps."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    counted: int = 0  # steps that were not skipped
    terms: dict[str, float] = field(default_factory=dict)

    def add(self, step: Step, seconds: float, waited: float) -> None:
        self.steps += 1
        self.seconds += seconds
        self.waited += waited
        if step.done:
            self.counted += 1
            for name, value in step.terms.items():
                self.terms[name] = self.terms.get(name, 0.0) + value

    def status(self, step: int, steps: int, batch: int, skipped: int) -> Status:
        pace = self.seconds / self.steps
        return Status(
            step,
            steps,
            {name: value / self.counted for name, value in self.terms.items()},
            batch / pace,
            self.waited / self.seconds,
            (steps - step) * pace,
            skipped,
        )


class Waited(Generic[Item]):
    """An iterator that knows how long one waited for its items."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self.seconds = 0.0  # in all

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        began = time.monotonic()
        try:
            return next(self._items)
        finally:
            self.seconds += time.monotonic() - began


@dataclass
class Clock:
    """The time a leg of a training has, and what its parts take of it."""

    budget: float = math.inf  # seconds
    began: float = field(default_factory=time.monotonic)
    save: float = 0.0  # the longest so far, in seconds
    judgement: float = 0.0
    _first: list[float] = field(default_factory=list)
    _later: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def left(self) -> float:
        return self.began + self.budget - time.monotonic()

    @property
    def two_steps(self) -> float:
        """Seconds for two more; after a single one, which may have compiled, for it once more."""
        if self._later:
            return 2 * max(self._later)
        return len(self._first) * min(self._first, default=0.0)

    def stepped(self, seconds: float) -> None:
        (self._first if len(self._first) < _STARTING else self._later).append(seconds)

    def has_time(self, seconds: float = 0.0) -> bool:
        """For that, for two more steps and a checkpoint."""
        return self.left > 1.2 * (seconds + self.two_steps + self.save) + 1


class Stop:
    """Whether the system or the user asked to stop; a second Ctrl-C interrupts at once.

    torchrun hands a Ctrl-C on that its processes have heard already: it counts once.
    """

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        now = time.monotonic()
        if not self.asked:
            _log.info("stopping after this step, with a checkpoint")
            self.asked, self._asked_at = True, now
        elif number == signal.SIGINT and now - self._asked_at > 1:
            raise KeyboardInterrupt
