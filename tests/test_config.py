"""Configs and settings on the command line."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training

from tapnet import config, models
from tapnet.config import Data, Optim, Run
from tapnet.data.augment import Augment
from tapnet.data.batches import stack
from tapnet.models import TapirSettings, TapNetSettings
from tapnet.train import LOSSES
from tapnet.train.optimizer import adamw
from tapnet.train.trainer import fresh

SHIPPED = sorted(config.CONFIGS.glob("*_config.py"))
RUN = Run(out=Path("runs/x"), model=TapirSettings(), data=Data(points=16))


def test_there_is_a_config_for_each_model() -> None:
    kinds = {type(config.read(path).model) for path in SHIPPED}
    assert kinds == {settings for _, settings in models.MODELS.values()}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_tells_its_paper_command_duration_and_score(path: Path) -> None:
    head = path.read_text().split('"""')[1]
    assert f"--config tapnet/configs/{path.name}\n" in head
    assert f"--config tapnet/configs/{path.name}:smoke" in head
    assert "Duration:" in head
    assert "Score:" in head


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("variant", ["", ":smoke"])
def test_every_config_and_its_smoke_variant_fit_together(path: Path, variant: str) -> None:
    run = config.read(f"{path}{variant}")
    assert run.loss in LOSSES
    assert run.augment is not None
    if not variant:
        return
    adamw(fresh(run), run.optim)  # names of modules are right
    assert run.steps <= 100
    assert 0 < run.evaluation.every < run.steps
    example = training.moving(0, run.augment.frames, run.augment.size[0], run.augment.points)
    model = fresh(run).train()
    terms = LOSSES[run.loss](model, stack([example]))
    assert all(torch.isfinite(term) for term in terms.values())


def test_settings_are_typed_and_change_only_what_they_name() -> None:
    words = (
        "--optim.lr 1e-4 --data.shards a b --model.causal True --data.size 64 96 "
        "--optim.lr-scale mixer 0.5 --steps 7 --budget 90m --data.workers 0"
    )
    args = words.split()
    found = config.override(RUN, args)
    optim = replace(RUN.optim, lr=1e-4, lr_scale={"mixer": 0.5})
    data = replace(RUN.data, shards=(Path("a"), Path("b")), size=(64, 96), workers=0)
    model = TapirSettings(causal=True)
    assert found == replace(RUN, optim=optim, data=data, model=model, steps=7, budget="90m")
    assert config.override(RUN, []) is RUN


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--optim.lrr", "3"], "no setting --optim.lrr: there are --optim.lr, --optim.warmup"),
        (["--optimm.lr", "3"], "no setting --optimm.lr: there are --out, --model, --loss"),
        (["--model.radius", "3"], "no setting --model.radius: there are --model.pyramid_level"),
        (["--lr=3"], "no setting --lr: there are --out"),
        (["fast"], "expected settings such as --optim.lr 1e-3, got 'fast'"),
        (["--steps", "many"], "Error parsing --steps: invalid literal"),
        (["--optim.lr"], "lr"),
        (["--data.preset", "mild"], "mild"),
    ],
)
def test_a_setting_that_is_wrong_is_told_with_the_choices(args: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.override(RUN, args)


def test_without_tyro_the_way_round_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tyro", None)
    assert config.override(RUN, []) is RUN
    with pytest.raises(ValueError, match="install it, or write a config file"):
        config.override(RUN, ["--steps", "3"])


def test_a_config_of_ones_own_has_variants(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from tapnet.config import Run, read, CONFIGS\n"
        "def get_config() -> Run: return read(CONFIGS / 'tapnet_config.py')\n"
        "def tiny() -> Run: return read(CONFIGS / 'tapnet_config.py:smoke')\n"
        "def helper(): return 3\n"
    )
    assert config.read(path).steps == 100_000
    assert config.read(f"{path}:tiny").steps == 100
    with pytest.raises(ValueError, match=r"found none; its variants are: :tiny"):
        config.read(f"{path}:huge")
    with pytest.raises(ValueError, match="its variants are: :tiny"):
        config.read(f"{path}:helper")


def test_configs_that_are_not_there_or_give_no_run_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"causal_tapir_config\.py.*tapnet_config\.py"):
        config.read(tmp_path / "nothing.py")
    (tmp_path / "clips.pkl").write_bytes(b"\0")
    with pytest.raises(ValueError, match=r"clips.pkl: expected a Python file \(.py\)"):
        config.read(tmp_path / "clips.pkl")
    (tmp_path / "wrong.py").write_text("def get_config(): return 3\n")
    with pytest.raises(ValueError, match=r"get_config\(\) must return a Run, got int"):
        config.read(tmp_path / "wrong.py")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_has_possible_settings(path: Path) -> None:
    found = runpy.run_path(str(path))
    for name in [name for name, made in found.items() if config._returns_run(made)]:
        config.check(config.read(f"{path}:{name}"))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("seed", -1, "0 or more"),
        ("steps", 0, "1 or more"),
        ("data.preset", "mild", "one of default, wild"),
        ("data.prefetch", 0, "1 or more"),
        ("data.size", (0, 64), "1 or more"),
        ("evaluation.clips", -1, "0 or more"),
        ("evaluation.query_mode", "last", "one of first, strided"),
        ("checkpoint.shard_mb", 0.0, "0.0001 to 1e+06"),
        ("optim.lr", -1e-3, "0 or more"),
        ("optim.lr", math.nan, "0 or more"),
        ("optim.lr", math.inf, "0 or more"),
        ("optim.warmup", -1, "0 or more"),
        ("optim.hold", 1.5, "0 to 1"),
        ("optim.ema", -0.1, "0 to 1"),
        ("optim.betas", (0.9, 1.0), "0 to 0.999999"),
        ("optim.weight_decay", -0.1, "0 or more"),
        ("optim.lr_scale", {"mixer": 1.0, "encoder": -1.0}, "0 or more"),
        ("augment.size", (64, 0), "1 or more"),
        ("augment.frames", 1, "2 or more"),
        ("augment.points", 0, "1 or more"),
        ("augment.max_stride", 0, "1 or more"),
        ("augment.zoom", (0.0, 1.0), "0.01 to 100"),
        ("augment.zoom", (1.6, 0.8), "the smaller first"),
        ("augment.flip", 50.0, "0 to 1"),
    ],
)
def test_a_setting_out_of_its_range_is_told_with_it(name: str, value: Any, wanted: str) -> None:
    run = replace(RUN, augment=Augment())
    part, _, one = name.rpartition(".")
    changed = replace(getattr(run, part) if part else run, **{one: value})
    with pytest.raises(ValueError) as told:  # noqa: PT011 -- the whole of it is compared
        config.check(replace(run, **{part: changed}) if part else changed)
    assert str(told.value) == f"{name}: expected {wanted}, got {value!r}"


@pytest.mark.parametrize(("text", "seconds"), [("540s", 540), ("1.5m", 90), ("2h", 7200)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert config.seconds(text) == seconds


@pytest.mark.parametrize("text", ["540", "s", "", "-3s", "0m", "nans", "5 days"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="budget: expected a duration such as 540s"):
        config.seconds(text)


def test_settings_as_json_tell_what_changed() -> None:
    old = json.loads(config.to_json(RUN))
    assert old["model"]["settings"] == "TapirSettings"
    changed = replace(RUN, optim=Optim(lr=0.5), model=TapNetSettings(softmax_temperature=20.0))
    found = list(config.changes(old, json.loads(config.to_json(changed))))
    assert "optim.lr: 0.001 -> 0.5" in found
    assert "model.settings: TapirSettings -> TapNetSettings" in found
    assert not list(config.changes(old, old))
