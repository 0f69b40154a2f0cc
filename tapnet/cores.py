"""Which cores to compute on where other programs compute too.

The threads of a network wait for each other after each of its hundreds of small steps. Where one of
them shares its core with another program, all wait until it has its turn again: a busy program
beside two threads on two cores made taplite eighteen times slower than one thread (docs/log.md).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")  # Linux tells there what each core did
WATCHED = 0.2  # seconds, at least


def leave_busy_cores() -> int | None:
    """Watches the cores for a moment, then `Watch.leave_busy_cores`."""
    watch = Watch()
    if not watch.told:
        return None
    time.sleep(WATCHED)
    watch.look()
    return watch.leave_busy_cores()


class Watch:
    """Watches what the cores do while this process computes nothing."""

    def __init__(self) -> None:
        import torch

        self._most = torch.get_num_threads()
        self._idle: float | None = None  # cores, in the time between the last two looks
        self._then = _now()

    @property
    def told(self) -> bool:
        """Whether the system tells what its cores do, and OMP_NUM_THREADS does not settle it."""
        return self._then is not None

    def begin(self) -> None:
        """Forgets the time before now, in which this process may have computed."""
        self._then = _now()

    def look(self) -> None:
        """Takes in what happened since `begin` or the last look, if that is long enough ago."""
        now = _now()
        if now is None or self._then is None or now[0] - self._then[0] < WATCHED:
            return
        self._idle = (now[1] - self._then[1]) / (now[0] - self._then[0])
        self._then = now

    def leave_busy_cores(self) -> int | None:
        """Lets torch compute with as many threads as there were idle cores, one at least.

        Never with more than when the watch began. How many, if they are fewer; else None. Nothing
        is changed where OMP_NUM_THREADS is set, and where the system does not tell what its cores
        do.
        """
        if self._idle is None:
            return None
        import torch

        threads = min(max(round(self._idle), 1), self._most)
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        return threads if threads < self._most else None


def _now() -> tuple[float, float] | None:
    """Seconds: the time, and how long all cores that this process may use were idle; or None."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    try:
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in STAT.read_text().splitlines()]
        ticks = [int(line[4]) + int(line[5]) for line in lines if line and line[0] in mine]
        return (time.perf_counter(), sum(ticks) / os.sysconf("SC_CLK_TCK")) if ticks else None
    except (OSError, AttributeError, ValueError, IndexError):
        return None
