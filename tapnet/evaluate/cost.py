"""What tracking takes: time and memory, and the machine that they are of."""

from __future__ import annotations

import functools
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

NAN = float("nan")


@dataclass(frozen=True)
class Cost:
    """Of one video. NaN where the system does not tell."""

    seconds: float  # in the model: frames are decoded and resized before
    memory: float  # bytes of the process at most while it tracked
    memory_before: float  # bytes of the process when it began, the video among them
    device_memory: float  # bytes on the accelerator at most; NaN without one
    machine: str


@contextmanager
def measured(device: str) -> Iterator[list[Cost]]:
    """A list that holds the cost of the block when the block has ended."""
    costs: list[Cost] = []
    before = _restarted_peak()
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    yield costs
    if cuda:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    on_device = float(torch.cuda.max_memory_allocated(device)) if cuda else NAN
    costs.append(Cost(seconds, _status("VmHWM"), before, on_device, machine(device)))


def machine(device: str = "cpu") -> str:
    """Processor, accelerator and system: enough to know what a number of seconds is worth."""
    parts = [_processor(), f"cores: {_cores()}", f"torch threads: {torch.get_num_threads()}"]
    if torch.device(device).type == "cuda":
        parts.insert(0, torch.cuda.get_device_name(device))
    return f"{', '.join(parts)}, {platform.system()} {platform.machine()}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@functools.cache
def _processor() -> str:
    with suppress(OSError):  # elsewhere than on Linux
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _restarted_peak() -> float:
    """Bytes resident now; from here the system counts the peak anew."""
    with suppress(OSError):  # then the peak is that of the process so far
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> float:
    with suppress(OSError):  # elsewhere than on Linux
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return float(line.split()[1]) * 1024
    return NAN
