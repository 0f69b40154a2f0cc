"""Trainings in processes of their own, which share no thread with the tests."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import training

from tapnet.config import Run
from tapnet.faults import exit_code
from tapnet.train import Status, train

# A process that is forked off one with threads can wait for ever for one of them: these are forked
# off a server without any, which has imported everything once.
_APART = multiprocessing.get_context("forkserver")
_APART.set_forkserver_preload([__name__])


def start(target: object, *args: object) -> BaseProcess:
    """Runs a function of this module."""
    process = _APART.Process(target=target, args=args)  # type: ignore[arg-type]
    process.start()
    return process


def alone(run: Run) -> None:
    torch.set_num_threads(1)
    training.register()
    train(run, "train")


def in_group(run: Run) -> None:
    """As the leader of a group of processes."""
    os.setpgrp()
    alone(run)


def in_company(run: Run, rank: int, port: int) -> None:
    """As one of two that train together."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    alone(run)


def bereaved(run: Run, said: Path) -> None:
    """Kills a process that helps it after three steps; what it says goes into a file."""
    torch.set_num_threads(1)
    training.register()

    def tell(status: Status) -> None:
        if status.step == 3:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)  # type: ignore[arg-type]

    with said.open("w") as sys.stderr:
        code = exit_code(lambda: train(run, "train", tell))
    sys.exit(code)
