"""Training in several processes at once, as `torchrun` starts them; or in one."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")
_PATIENCE = datetime.timedelta(hours=4)  # others wait so long while the first one evaluates


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0  # 0 is the first: it writes files and evaluates
    world: int = 1
    local_world: int = 1  # of them on this machine

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            distributed.barrier()

    def gathered(self, value: Value) -> list[Value]:
        """The value of each process, by rank."""
        if self.world == 1:
            return [value]
        found: list[Value] = [value] * self.world
        distributed.all_gather_object(found, value)
        return found

    def check_alike(self, step: int, model: nn.Module) -> None:
        """Raises ValueError when not all of them are at this step with these weights."""
        if self.world == 1:
            return
        found = hashlib.sha256()
        for value in model.state_dict().values():
            found.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        starts = self.gathered((step, found.hexdigest()))
        if len(set(starts)) > 1:
            raise ValueError(
                "expected all processes to start from the same weights, got different ones, of "
                f"steps {', '.join(str(step) for step, _ in starts)}; take an --out, and an init "
                "if any, that all machines see"
            )

    def together(self, own: Iterator[Value]) -> Iterator[Value]:
        """What `own` yields here, each once all processes have theirs.

        Where one of them gets an error instead, that ends the others by a ValueError.
        """
        while True:
            try:
                item = next(own)
            except Exception:
                self.gathered(True)
                raise
            if any(failed := self.gathered(False)):
                raise ValueError(
                    f"expected clips for all {self.world} processes, but process "
                    f"{failed.index(True)} got none: its own error tells why"
                )
            yield item

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its mean over all processes, with one message for all."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that `torchrun` started, or this one alone; `device` as in `Run`.

    gloo joins CPUs, nccl GPUs: one process for each. Raises ValueError for a device that is not
    there.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    local, local_world = (
        int(os.environ.get("LOCAL_RANK", 0)),
        int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
    )
    place = _device(device, local)
    if world == 1:
        yield Processes(place)
        return
    gpu = place if place.type == "cuda" else None
    distributed.init_process_group("nccl" if gpu else "gloo", timeout=_PATIENCE, device_id=gpu)
    try:
        yield Processes(place, rank, world, local_world)
    finally:
        distributed.destroy_process_group()


def _device(name: str, local: int) -> torch.device:
    """The device that `name` means for this process of its machine."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if cuda else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdecimal()):
        raise ValueError(f"device: expected auto, cpu, cuda, cuda:N or mps, got {name!r}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device: expected one of this machine, got mps, which it has not")
    if kind != "cuda":
        return torch.device(kind)
    number = int(index or local)
    if not cuda or number >= torch.cuda.device_count():
        have = f"{torch.cuda.device_count()} GPUs" if cuda else "no GPU that torch can use"
        raise ValueError(
            f"device: expected one of this machine, which has {have}, got cuda:{number}; "
            "start no more processes than there are GPUs, or take --device cpu"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
