"""The state of a training and its step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tapnet import checkpoint, models
from tapnet.config import Run
from tapnet.data.batches import Batch
from tapnet.models.layers import BatchNorm2d
from tapnet.train.folder import State
from tapnet.train.objectives import LOSSES
from tapnet.train.optimizer import (
    Average,
    adamw,
    learning_rate,
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
)
from tapnet.train.processes import Processes


@dataclass(frozen=True)
class Step:
    """What a step came to; means over all clips of it."""

    terms: dict[str, float]  # of the loss
    norm: float  # length of the gradient before it was clipped
    rate: float  # learning rate
    done: bool  # False: skipped, since its loss or gradient is not finite
    stop: bool  # whether any process asked to stop


class Trainer:
    """Model, average of its weights, optimiser, and how far they are."""

    def __init__(self, run: Run, us: Processes) -> None:
        """Raises ValueError for settings that do not fit together."""
        if run.loss not in LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {run.loss!r}")
        self._run, self._us = run, us
        loss = LOSSES[run.loss]
        self._loss = torch.compile(loss) if run.optim.compile else loss
        self.model = fresh(run).to(us.device).train()
        if run.optim.channels_last:
            for weight in self.model.parameters():
                if weight.dim() == 4:  # those of images; a mixer's have five dimensions
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.average = Average(self.model, run.optim.ema)
        self.optimizer = adamw(self.model, run.optim)
        for module in self.model.modules():
            if isinstance(module, BatchNorm2d) and not module.weight.requires_grad:
                module.eval()  # frozen with its averages
        self.step = 0
        self.skipped = 0  # steps whose loss was no number
        self.skipped_in_a_row = 0

    def state(self) -> State:
        """All that changes: weights, their average, the optimiser's moments; by name."""
        parts = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict() if self.average.decay else {},
            "optimizer": optimizer_state(self.optimizer, self.model),
        }
        return {f"{part}/{name}": v for part, values in parts.items() for name, v in values.items()}

    def about(self) -> dict[str, Any]:
        """The numbers that belong to `state`."""
        return {
            "clips": self.step * self._run.optim.batch,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
        }

    def resume(self, about: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        """Takes up a state. Raises ValueError when it is of another model."""

        def part(name: str) -> State:
            return {
                key.removeprefix(f"{name}/"): value
                for key, value in state.items()
                if key.startswith(f"{name}/")
            }

        try:
            self.model.load_state_dict(part("model"))
            self.average.model.load_state_dict(part("average") or part("model"))
            load_optimizer_state(self.optimizer, self.model, part("optimizer"))
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{self._run.out}: holds a run of another model ({error}); choose another --out"
            ) from error
        self.step = about["step"]
        self.skipped, self.skipped_in_a_row = about["skipped"], about["skipped_in_a_row"]

    def advance(self, batches: Iterator[Batch], stop: bool = False) -> Step:
        """One step over `optim.accumulate` batches; it is counted even when it is skipped.

        A step whose loss or gradient is not finite changes nothing. Its random numbers depend on
        the seed, the step and the process alone. `stop` is told to the other processes.
        """
        optim, us = self._run.optim, self._us
        # A resumed training has them right without their being stored.
        torch.manual_seed(_seed(self._run.seed, self.step, us.rank))
        rate = learning_rate(self.step, optim, self._run.steps)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        before = [buffer.clone() for buffer in self.model.buffers()]
        try:
            terms = self._backward(batches)
        except Exception:  # no half step stays behind: the caller may keep the state
            self._restore(before)
            raise
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        for weight in weights:  # unused ones, and those that only other processes used
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        gradients = [weight.grad for weight in weights]
        told = torch.stack([*terms.values(), gradients[0].new_tensor(float(stop))])
        us.mean([*gradients, told])
        norm = nn.utils.get_total_norm(gradients)
        *values, asked, length = torch.cat([told, norm[None]]).tolist()
        done = math.isfinite(sum(values)) and math.isfinite(length)
        if done:
            if optim.clip_norm > 0:
                nn.utils.clip_grads_with_norm_(weights, optim.clip_norm, norm)
            self.optimizer.step()
            self.average.update(self.model, self.step + 1)
            self.skipped_in_a_row = 0
        else:
            self._restore(before)
            self.skipped += 1
            self.skipped_in_a_row += 1
        self.step += 1
        return Step(dict(zip(terms, values, strict=True)), length, rate, done, asked > 0)

    def _backward(self, batches: Iterator[Batch]) -> dict[str, Tensor]:
        """The gradient, summed up in the weights, and the terms of the loss."""
        parts = self._run.optim.accumulate
        terms: dict[str, Tensor] = {}
        for _ in range(parts):
            batch = next(batches).to(self._us.device)
            with self._precision():
                found = self._loss(self.model, batch)
            share = {name: term.float() / parts for name, term in found.items()}
            torch.stack(list(share.values())).sum().backward()
            for name, term in share.items():
                terms[name] = term.detach() + terms.get(name, 0.0)
        return terms

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        """Of the computation; a CPU is slow at bfloat16, a hundred times at convolutions."""
        if self._run.optim.bfloat16 and self._us.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()

    @torch.no_grad()
    def _restore(self, before: list[Tensor]) -> None:
        for buffer, value in zip(self.model.buffers(), before, strict=True):
            buffer.copy_(value)


def fresh(run: Run) -> nn.Module:
    """The model of a run with its first weights: those of `run.init`, or random by the seed."""
    names = [name for name, (_, kind) in models.MODELS.items() if type(run.model) is kind]
    if not names:
        kinds = ", ".join(kind.__name__ for _, kind in models.MODELS.values())
        raise ValueError(f"model: expected one of {kinds}, got {type(run.model).__name__}")
    torch.manual_seed(run.seed)
    model = models.build(names[0], **vars(run.model))
    if run.init is not None:
        start = checkpoint.load(run.init)
        try:
            model.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise ValueError(
                f"{run.init}: expected weights of {names[0]} with the settings of this run, "
                f"got {checkpoint.name_of(start)} {start.settings}: {error}"
            ) from error
    return model


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) % 2**63
