"""AdamW, learning rates and averages, against the reference and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import vectors
from torch import Tensor, nn

from tapnet.config import Optim
from tapnet.models import build
from tapnet.models.layers import BatchNorm2d
from tapnet.train.optimizer import Average, adamw, learning_rate, set_learning_rate


@pytest.mark.parametrize("path", vectors.all_of("optimizer_schedule.npz"))
def test_learning_rates_are_those_of_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    assert set(config["configs"]) == {"tapir", "tapnet", "tapnet2022"}
    for name, given in config["configs"].items():
        settings = Optim(lr=given["base_lr"], warmup=given["warmup"])
        found = [learning_rate(int(s), settings, given["total"]) for s in arrays["lr_steps"]]
        # The reference computes them in single precision.
        assert found == pytest.approx(arrays[f"lr|{name}"].tolist(), rel=1e-5, abs=1e-12)


class Some(nn.Module):
    """One parameter of each kind in the reference's vector, three numbers each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1, bias=False)
        self.instance_norm = nn.InstanceNorm2d(3, affine=True)
        self.layer_norm = nn.LayerNorm(3, bias=False)
        self.linear = nn.Linear(1, 3)
        self.batch_norm = BatchNorm2d(3)


NAMES = {
    "tapir/~/resnet/~/initial_conv/w": "conv.weight",
    "tapir/~/resnet/~/block_group_0/~/block_0/~/instancenorm_0/scale": "instance_norm.weight",
    "tapir/~/resnet/~/block_group_0/~/block_0/~/instancenorm_0/offset": "instance_norm.bias",
    "tapir/~/pips_mlp_mixer/layer_norm/scale": "layer_norm.weight",
    "tapir/~/pips_mlp_mixer/linear/w": "linear.weight",
    "tapir/~/pips_mlp_mixer/linear/b": "linear.bias",
    "tap_net/~/x/batch_norm/scale": "batch_norm.weight",
    "tap_net/~/x/batch_norm/offset": "batch_norm.bias",
}


@pytest.mark.parametrize("path", vectors.all_of("optimizer_schedule.npz"))
def test_updates_and_what_decays_are_those_of_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    given = config["adam_case"]
    model = Some()
    ours = dict(model.named_parameters())
    settings = Optim(
        lr=given["base_lr"], warmup=given["warmup"], weight_decay=given["weight_decay"]
    )
    optimizer = adamw(model, settings)
    with torch.no_grad():
        for theirs, name in NAMES.items():
            ours[name].copy_(like(arrays[f"init|{theirs}"], ours[name]))
    steps = [key for key in arrays if key.startswith("grad") and key.endswith("initial_conv/w")]
    assert len(steps) >= 4
    for step in range(len(steps)):
        for theirs, name in NAMES.items():
            ours[name].grad = like(arrays[f"grad{step}|{theirs}"], ours[name])
        set_learning_rate(optimizer, learning_rate(step, settings, given["total"]))
        optimizer.step()
        for theirs, name in NAMES.items():
            wanted = like(arrays[f"after{step}|{theirs}"], ours[name])
            torch.testing.assert_close(ours[name].detach(), wanted, rtol=2e-6, atol=1e-7)


def like(array: object, parameter: Tensor) -> Tensor:
    return torch.as_tensor(array).view_as(parameter).clone()


def test_a_plateau_lies_between_warm_up_and_cosine() -> None:
    settings = Optim(lr=1.0, warmup=10, hold=0.5)
    rates = [learning_rate(step, settings, 110) for step in (5, 10, 60, 85, 110)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])


@pytest.mark.parametrize("name", ["tapnet", "tapir"])
def test_every_parameter_is_in_one_group(name: str) -> None:
    model = build(name)
    optimizer = adamw(model, Optim(weight_decay=0.1))
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped}) == len(list(model.parameters()))
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}


def test_no_bias_decays_whatever_its_shape() -> None:
    model = build("tapir", num_mixer_blocks=1, mixer_hidden_dim=16)
    optimizer = adamw(model, Optim(weight_decay=0.1))
    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    of = {name: decays[id(p)] for name, p in model.named_parameters()}
    assert of["mixer.blocks.0.grow_bias"] == of["mixer.blocks.0.shrink_bias"] == 0.0
    assert of["mixer.blocks.0.grow"] == of["mixer.blocks.0.shrink"] == 0.1


def test_modules_can_learn_more_slowly_or_not_at_all() -> None:
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(11)])
    optimizer = adamw(model, Optim(lr_scale={"1": 0.5, "1.bias": 0.25, "10": 0.0}))
    set_learning_rate(optimizer, 8.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model[0].weight)] == 8.0
    assert rates[id(model[1].weight)] == 4.0
    assert rates[id(model[1].bias)] == 2.0
    assert id(model[10].weight) not in rates
    assert not model[10].weight.requires_grad


def test_the_average_follows_quickly_at_first() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average, none = Average(model, 0.5), Average(model, 0.0)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average.update(model, 1)  # decay 1/10
    none.update(model, 1)
    assert average.model.weight.item() == pytest.approx(0.9)
    assert none.model.weight.item() == 1.0
    average.update(model, 100)  # decay 1/2
    assert average.model.weight.item() == pytest.approx(0.95)


def test_the_average_copies_what_is_not_learnt() -> None:
    norm = BatchNorm2d(2).train()
    average = Average(norm, 0.9)
    norm(torch.randn(3, 2, 4, 4))
    average.update(norm, 50)
    assert torch.equal(average.model.mean.average, norm.mean.average)
    assert average.model.mean.counter.item() == 1
    assert not average.model.training
