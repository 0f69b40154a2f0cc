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
WATCHED = 0.2  # seconds


def leave_busy_cores() -> int | None:
    """Lets torch compute with as many threads as there are idle cores, one at least.

    Never with more than it would. How many, if they are fewer; else None. Nothing is changed where
    OMP_NUM_THREADS is set, and where the system does not tell what its cores do.
    """
    before = None if "OMP_NUM_THREADS" in os.environ else _idle_seconds()
    if before is None:
        return None
    import torch

    began = time.perf_counter()
    time.sleep(WATCHED)
    after = _idle_seconds()
    if after is None:
        return None
    idle = (after - before) / (time.perf_counter() - began)
    threads = max(round(idle), 1)
    if threads >= torch.get_num_threads():
        return None
    torch.set_num_threads(threads)
    return threads


def _idle_seconds() -> float | None:
    """Of all cores that this process may use, since the system started; None = not told."""
    try:
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in STAT.read_text().splitlines()]
        ticks = [int(line[4]) + int(line[5]) for line in lines if line and line[0] in mine]
        return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
    except (OSError, AttributeError, ValueError, IndexError):
        return None
