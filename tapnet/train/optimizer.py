"""AdamW as TAPIR was trained with, its learning rates, the average of the weights. SPEC 10.2."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from tapnet.config import Optim


def learning_rate(step: int, settings: Optim, steps: int) -> float:
    """Of step 0, 1, ...: linear from 0 over the warm-up, the plateau if any, a cosine to 0."""
    if step < settings.warmup:
        return settings.lr * step / settings.warmup
    done = min(1.0, (step - settings.warmup) / max(1, steps - settings.warmup))
    falling = max(0.0, done - settings.hold) / max(1e-9, 1 - settings.hold)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * falling))


def adamw(model: nn.Module, settings: Optim) -> torch.optim.AdamW:
    """The optimiser; its groups hold their factor of the learning rate as "scale".

    Decay is decoupled: it is added to Adam's update before the learning rate multiplies both.
    Parameters with a factor of 0 are frozen; of the modules that `lr_scale` names, the innermost
    decides. Raises ValueError when a name fits no parameter, and when all are frozen.
    """
    decayed = set(_decayed(model))
    unused = set(settings.lr_scale)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        fitting = [one for one in settings.lr_scale if f"{name}.".startswith(f"{one}.")]
        unused -= set(fitting)
        scale = settings.lr_scale[max(fitting, key=len)] if fitting else 1.0
        parameter.requires_grad_(scale > 0)
        if scale > 0:
            groups.setdefault((scale, name in decayed), []).append(parameter)
    if unused:
        tops = sorted({name.split(".")[0] for name, _ in model.named_parameters()})
        raise ValueError(
            f"optim.lr_scale: expected modules or parameters of the model, got {sorted(unused)}; "
            f"its modules are {', '.join(tops)} and what is in them"
        )
    if not groups:
        raise ValueError(
            "optim.lr_scale: expected a factor above 0 for some part of the model, got "
            f"{settings.lr_scale}; then nothing would learn"
        )
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": settings.weight_decay if decays else 0.0,
                "scale": scale,
            }
            for (scale, decays), parameters in groups.items()
        ],
        lr=0.0,
        betas=settings.betas,
        eps=1e-8,
        foreach=True,
    )


def _decayed(model: nn.Module) -> Iterator[str]:
    """The parameters that decay: matrices and kernels, and whatever instance norms have.

    Biases, single numbers, layer norms and batch norms do not, as in the reference.
    """
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            bias = name.endswith("bias")  # the mixer's are [4, C]
            if (parameter.ndim >= 2 and not bias) or isinstance(module, nn.InstanceNorm2d):
                yield name


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """`rate` times each group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Its moments as `parameter/moment`, so that they can be stored by name."""
    return {
        f"{name}/{moment}": value
        for name, parameter in model.named_parameters()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }


@torch.no_grad()
def load_optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str, Tensor]
) -> None:
    """Takes up what `optimizer_state` gave."""
    parameters = dict(model.named_parameters())
    for key, value in state.items():
        name, _, moment = key.rpartition("/")
        parameter = parameters[name]
        if moment == "step":  # stays on the CPU, where AdamW keeps it
            optimizer.state[parameter][moment] = value.clone()
        else:
            optimizer.state[parameter][moment] = torch.empty_like(parameter).copy_(value)


class Average:
    """A copy of the model whose weights are the exponential average of the model's; for judging.

    With decay 0 it is the model as it is. Buffers, such as those of batch norms, are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """After step `step` (from 1); at first the average follows more quickly."""
        decay = min(self.decay, step / (step + 9))
        ours, theirs = _tensors(self.model.parameters()), _tensors(model.parameters())
        if self.decay == 0:
            torch._foreach_copy_(ours, theirs)
        else:
            torch._foreach_lerp_(ours, theirs, 1 - decay)
        if buffers := _tensors(self.model.buffers()):
            torch._foreach_copy_(buffers, _tensors(model.buffers()))


def _tensors(values: Iterable[Tensor]) -> list[Tensor]:
    return list(values)
