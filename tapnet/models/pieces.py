"""Pieces of work that need nothing of each other, side by side on the cores of a CPU.

An operation that several cores share ends when the last of them is done, and a network has
thousands of small ones. Whole pieces, each on cores of its own, wait for each other once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

from tapnet.models.layers import quick_on_a_cpu

P = TypeVar("P")
R = TypeVar("R")


def cores_for(x: Tensor) -> int:
    """How many pieces of work on tensors like x are best done at a time.

    On a CPU as many as torch has threads, unless gradients, other types or fixed shapes are wanted;
    elsewhere one. Threads that were told never to rest leave no core for others, and only OpenMP
    lets every thread have a number of its own.
    """
    restless = os.environ.get("OMP_WAIT_POLICY", "").lower() == "active"
    own_numbers = torch.backends.openmp.is_available()
    if restless or not own_numbers or not quick_on_a_cpu(x) or torch.is_autocast_enabled("cpu"):
        return 1
    return torch.get_num_threads()


def each(work: Callable[[P], R], pieces: Sequence[P], at_once: int) -> list[R]:
    """What `work` makes of every piece, in order, without gradients if `at_once` is above one.

    So many pieces are done at a time, each with its share of torch's threads; if there are not
    that many, one by one with all threads.
    """
    if at_once == 1 or len(pieces) < at_once:
        return [work(piece) for piece in pieces]
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    ready = Barrier(at_once + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first call in a thread takes on the number of all threads
        torch.set_num_threads(max(threads // at_once, 1))
        ready.wait()

    def done(piece: P) -> R:
        with torch.inference_mode(inference), torch.no_grad():
            return work(piece)

    pool = ThreadPoolExecutor(at_once, initializer=begin)
    try:
        try:
            results = [pool.submit(done, piece) for piece in pieces]
            ready.wait()
        except BaseException:  # no thread to be had, or interrupted: the others wait in vain
            ready.abort()
            raise
        finally:
            torch.set_num_threads(threads)  # for threads to come; those that began keep their share
        return [result.result() for result in results]
    finally:
        pool.shutdown(cancel_futures=True)
