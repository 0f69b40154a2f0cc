"""How a training is run: within its time, from what is kept, alike in all processes."""

from __future__ import annotations

import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trained_apart
import training
from test_train import free_port, lines, losses, spoiled, state_of

from tapnet.config import Checkpoints, Evaluation, Optim, Run
from tapnet.data import tapvid
from tapnet.data.augment import Augment
from tapnet.data.sources import ShardClips
from tapnet.faults import exit_code
from tapnet.models import MODELS
from tapnet.train import LOSSES, judging, running, train
from tapnet.train.folder import Folder
from tapnet.train.pace import Clock


@pytest.fixture(autouse=True)
def _alone(own_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(MODELS, "toy", training.TOY["toy"])


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.write_shards(tmp_path_factory.mktemp("clips"))


# -------------------------------------------------------------------------------- its time


@pytest.mark.parametrize(
    ("seconds", "two_more"),
    [
        ([], 0.0),
        ([30.0], 30.0),
        ([30.0, 1.0], 2.0),
        ([30.0, 20.0], 40.0),
        ([30.0, 20.0, 1.0], 2.0),
        ([30.0, 20.0, 4.0, *[1.0] * 19], 8.0),
        ([30.0, 20.0, 4.0, *[1.0] * 20], 2.0),
    ],
)
def test_the_next_steps_are_judged_by_the_last_ones_but_not_the_first(
    seconds: list[float], two_more: float
) -> None:
    clock = Clock()
    for one in seconds:
        clock.stepped(one)
    assert clock.two_steps == two_more


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], float]:
    """Lets so many seconds pass; how many have."""
    passed, monotonic = 0.0, time.monotonic

    def let(seconds: float) -> float:
        nonlocal passed
        passed += seconds
        return passed

    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed)
    return let


def slow(monkeypatch: pytest.MonkeyPatch, let: Callable[[float], float], *first: float) -> None:
    """Clips of each start come after these seconds, the later ones after a second."""
    made = running.batches_of

    def batches_of(*args: Any) -> Iterator[Any]:
        waits = iter(first)
        for batch in made(*args):
            let(next(waits, 1.0))
            yield batch

    monkeypatch.setattr(running, "batches_of", batches_of)


def test_a_first_step_that_compiles_leaves_time_for_others(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, passing: Callable[[float], float]
) -> None:
    slow(monkeypatch, passing, 25.0)
    run = training.tiny(tmp_path, clips, steps=1000, budget="60s", checkpoint=Checkpoints())
    assert train(run, "train") > 20
    assert passing(0) < 60


def test_a_leg_has_time_for_its_evaluations_or_leaves_them_out(
    tmp_path: Path,
    clips: Path,
    monkeypatch: pytest.MonkeyPatch,
    passing: Callable[[float], float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow(monkeypatch, passing)
    judged_on, made = tmp_path / "held-out.pkl", judging.evaluate
    tapvid.write(judged_on, [training.moving(100)])

    def evaluate(*args: Any, **settings: Any) -> Any:
        passing(30)
        return made(*args, **settings)

    monkeypatch.setattr(judging, "evaluate", evaluate)
    evaluation = Evaluation(every=2, clips=0, datasets=(judged_on,), videos=0)
    run = training.tiny(tmp_path / "run", clips, steps=100, budget="25s", evaluation=evaluation)

    def leg(budget: str | None) -> tuple[int, float, list[int]]:
        passing(-passing(0))
        done = train(replace(run, budget=budget))
        judged = lines(run.out, "scores.jsonl")
        return done, passing(0), [line["step"] for line in judged]

    done, _, judged = leg("25s")  # the first of all: nobody knows how long it takes
    assert (done, judged) == (3, [2])
    assert lines(run.out, "scores.jsonl")[0]["seconds"] == pytest.approx(30, abs=5)
    assert leg("25s")[::2] == (5, [2])  # stops for that of step 4
    assert "is not judged" not in caplog.text
    done, seconds, judged = leg("25s")
    assert done > 15
    assert seconds < 25
    assert judged == [2]
    assert "step 5 is not judged: that takes 30 s" in caplog.text
    assert leg("70s")[2][:2] == [2, done]  # first of all


# -------------------------------------------------------------------------- what it starts from


def test_a_run_goes_on_without_the_weights_it_started_from(tmp_path: Path, clips: Path) -> None:
    train(training.tiny(tmp_path / "a", clips, steps=1), "train")
    start = tmp_path / "a" / "model.safetensors"
    run = training.tiny(tmp_path / "b", clips, init=start, steps=2)
    train(run, "train")
    start.unlink()
    tapvid.write(tmp_path / "held-out.pkl", [training.moving(100)])
    evaluation = Evaluation(clips=0, datasets=(tmp_path / "held-out.pkl",), videos=0)
    assert train(replace(run, evaluation=evaluation), "eval") == 2
    assert train(replace(run, steps=3), "train") == 3
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        train(replace(run, out=tmp_path / "c"), "train")


# ----------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("clip_norm", [-1.0, 0.0])
def test_no_longest_gradient_means_no_clipping(
    clip_norm: float, tmp_path: Path, clips: Path
) -> None:
    for name, longest in (("plain", 1e9), ("none", clip_norm)):
        optim = Optim(batch=2, warmup=1, clip_norm=longest)
        train(training.tiny(tmp_path / name, clips, optim=optim), "train")
    assert losses(tmp_path / "none") == losses(tmp_path / "plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": Augment(frames=1)}, r"^augment\.frames: expected 2 or more, got 1$"),
        ({"seed": -1}, "^seed: expected 0 or more, got -1$"),
        (
            {"optim": Optim(batch=2, lr_scale={"backbone": 0.0, "head": 0.0})},
            r"^optim\.lr_scale: expected a factor above 0 for some part .* got \{'backbone'",
        ),
    ],
)
def test_settings_that_cannot_train_leave_nothing_behind(
    changes: dict[str, Any], message: str, tmp_path: Path, clips: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(training.tiny(tmp_path / "run", clips, **changes), "train")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------------------- in company


def told(run: Run, rank: int, port: int, said: Path) -> None:
    """Trains as one of two; what it says goes into a file."""
    with said.open("w") as sys.stderr:
        code = exit_code(lambda: trained_apart.in_company(run, rank, port))
    sys.exit(code)


def what_two_say(runs: tuple[Run, Run], folder: Path) -> list[str]:
    """Both end by an error that is told in a line: these lines."""
    port, said = free_port(), [folder / f"said-{rank}.txt" for rank in range(2)]
    processes = [
        trained_apart.start(told, run, rank, port, path)
        for rank, (run, path) in enumerate(zip(runs, said, strict=True))
    ]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [2, 2], [p.read_text() for p in said]
    return [path.read_text().splitlines()[-1] for path in said]


def damage(shards: Path, index: int) -> None:
    """Makes clip `index` of the first epoch one that cannot be read."""
    number = int(ShardClips([shards]).example(index).name.removeprefix("clip-"))
    for shard in shards.glob("*.tar"):
        with tarfile.open(shard) as tar:
            files = [member for member in tar if member.name.startswith(f"clip-{number:06d}.")]
        with shard.open("r+b") as file:
            for member in files:
                file.seek(member.offset_data)
                file.write(bytes(member.size))


def test_clips_that_break_for_one_process_stop_both_with_all_steps_kept(tmp_path: Path) -> None:
    shards, optim = tmp_path / "clips", Optim(batch=4, accumulate=2)
    training.write_shards(shards, (8, 8))
    damage(shards, 11)  # the second process meets it in the second part of the third step
    run = training.tiny(tmp_path / "run", shards, optim=optim, checkpoint=Checkpoints())
    first, second = what_two_say((run, run), tmp_path)
    assert "clips for all 2 processes, but process 1 got none: its own error tells why" in first
    assert "render it again" in second
    assert Folder(run.out, run.checkpoint).steps() == [2]
    state = state_of(run.out)
    seen = [state[name].item() for name in state if name.endswith("counter")]
    assert set(seen) == {4}  # nothing of the third step


@pytest.mark.parametrize("steps", [0, 3])
def test_processes_that_start_from_different_weights_are_told(
    steps: int, tmp_path: Path, clips: Path
) -> None:
    run = training.tiny(tmp_path / "run", clips, steps=5)
    other = replace(run, out=tmp_path / "unshared", seed=1)
    if steps:
        train(replace(run, steps=steps), "train")
    for line in what_two_say((run, other), tmp_path):
        assert "expected all processes to start from the same weights" in line
        assert f"of steps {steps}, 0; take an --out" in line


# ----------------------------------------------------------------------------------- diverging


@pytest.mark.parametrize("keep", [1, 3])
def test_what_was_kept_before_the_losses_were_no_number_stays(
    keep: int, tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "spoiled", spoiled(set(range(4, 100))))
    kept = Checkpoints(every=1, keep=keep)
    run = training.tiny(tmp_path, clips, loss="spoiled", steps=50, checkpoint=kept)
    with pytest.raises(ValueError, match="before is step 3: remove the checkpoints after it, low"):
        train(run, "train")
    steps = Folder(run.out, kept).steps()
    assert [step for step in steps if step <= 3] == [1, 2, 3][-keep:]
    assert 8 not in steps
    for step in steps:
        if step > 3:
            shutil.rmtree(run.out / "checkpoints" / f"step-{step:08d}")
    assert train(replace(run, loss="tapir", steps=6), "train") == 6
    assert Folder(run.out, kept).steps() == [4, 5, 6][-keep:]


def test_steps_without_a_loss_are_not_saved_when_they_end_a_training(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "spoiled", spoiled(set(range(4, 100))))
    run = training.tiny(tmp_path, clips, loss="spoiled", checkpoint=Checkpoints(), steps=50)
    with pytest.raises(ValueError, match=r"before is step 0: lower optim\.lr"):
        train(run, "train")
    assert Folder(run.out, run.checkpoint).steps() == []
