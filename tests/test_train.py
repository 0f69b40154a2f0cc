"""Training as a whole: it goes on as if never stopped, alone or in company, and loses nothing."""

from __future__ import annotations

import copy
import errno
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trained_apart
import training
from safetensors.torch import load_file
from torch import Tensor, nn

import tapnet
from tapnet import checkpoint, cli, config, models
from tapnet.config import Checkpoints, Data, Evaluation, Optim
from tapnet.data import batches, tapvid
from tapnet.models import MODELS, TapNet, TapNetSettings
from tapnet.models.layers import CostVolumeHead
from tapnet.train import LOSSES, Status, judging, objectives, train
from tapnet.train.folder import Folder
from tapnet.train.processes import Processes
from tapnet.train.trainer import Trainer


@pytest.fixture(autouse=True)
def _one_thread(own_threads: None) -> None:
    """Processes that are forked to prepare clips cannot use the threads of this one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "toy", training.TOY["toy"])


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.write_shards(tmp_path_factory.mktemp("clips"))


def lines(out: Path, name: str = "log.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in lines(out)]


def state_of(out: Path) -> dict[str, Tensor]:
    found = Folder(out, Checkpoints()).load()
    assert found is not None
    return found[1]


def assert_equal_runs(a: Path, b: Path) -> None:
    """Bit for bit: weights, their average, moments, and every loss on the way."""
    first, second = state_of(a), state_of(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert losses(a) == losses(b)


class Interrupt(BaseException):
    """What no part of a training handles."""


def until(step: int) -> Any:
    def tell(status: Status) -> None:
        if status.step == step:
            raise Interrupt

    return tell


# ------------------------------------------------------------------------------- going on


def test_a_training_writes_its_log_its_settings_and_its_model(tmp_path: Path, clips: Path) -> None:
    said: list[Status] = []
    run = training.tiny(tmp_path, clips)
    assert train(run, "train", said.append) == 4
    assert [status.step for status in said] == [1, 2, 3, 4]
    assert said[-1].seconds_left == 0
    assert set(said[0].terms) == {"position", "occlusion"}
    assert losses(tmp_path) == [(s.step, s.loss) for s in said]
    assert json.loads((tmp_path / "run.json").read_text())["optim"]["batch"] == 2
    model = checkpoint.load(tmp_path / "model.safetensors")
    weights = {f"model/{name}": value for name, value in model.state_dict().items()}
    state = state_of(tmp_path)
    assert all(torch.equal(state[name], value) for name, value in weights.items())
    assert tapnet.load(tmp_path / "model.safetensors").name == "model"


@pytest.mark.parametrize(
    "optim",
    [
        Optim(batch=2, warmup=1, ema=0.9, clip_norm=1.0, lr_scale={"backbone": 0.5}),
        Optim(batch=2, warmup=1, accumulate=2),
    ],
    ids=["average", "accumulate"],
)
def test_a_resumed_training_equals_one_that_never_stopped(
    optim: Optim, tmp_path: Path, clips: Path
) -> None:
    whole, cut = (training.tiny(tmp_path / name, clips, optim=optim) for name in ("whole", "cut"))
    train(whole, "train")
    for stop in (1, 3):
        with pytest.raises(Interrupt):
            train(cut, "train", until(stop))
    assert train(cut, "train") == 4
    assert_equal_runs(whole.out, cut.out)
    assert [step for step, _ in losses(cut.out)] == [1, 2, 3, 4]


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, clips: Path) -> None:
    whole, cut = (training.tiny(tmp_path / name, clips, steps=8) for name in ("whole", "cut"))
    train(whole, "train")
    for _ in range(2):
        before = len(Folder(cut.out, cut.checkpoint).steps())
        process = trained_apart.start(trained_apart.alone, cut)
        while process.is_alive() and len(losses_so_far(cut.out)) < before + 2:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        process.join()
    assert train(cut, "train") == 8
    assert_equal_runs(whole.out, cut.out)
    assert not list((cut.out / "checkpoints").glob(".*"))


def losses_so_far(out: Path) -> list[str]:
    log = out / "log.jsonl"
    return log.read_text().splitlines() if log.exists() else []


def test_the_system_can_ask_to_stop(tmp_path: Path, clips: Path) -> None:
    run = training.tiny(tmp_path, clips, checkpoint=Checkpoints())

    def tell(status: Status) -> None:
        if status.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(run, "train", tell) == 3  # the step that was told of it is the last
    assert Folder(run.out, run.checkpoint).steps() == [3]
    assert not (tmp_path / "model.safetensors").exists()
    assert train(run, "train") == 4
    assert (tmp_path / "model.safetensors").exists()


def test_a_whole_group_of_processes_can_be_asked_to_stop(tmp_path: Path, clips: Path) -> None:
    """As a terminal does on Ctrl-C, and cluster managers before they kill."""
    run = training.tiny(tmp_path, clips, steps=100_000, checkpoint=Checkpoints())
    run = replace(run, data=replace(run.data, workers=1))
    process = trained_apart.start(trained_apart.in_group, run)
    while process.is_alive() and not losses_so_far(tmp_path):
        time.sleep(0.01)
    assert process.pid
    os.killpg(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 0
    assert len(Folder(run.out, run.checkpoint).steps()) == 1


def test_a_budget_ends_with_a_checkpoint(tmp_path: Path, clips: Path) -> None:
    run = training.tiny(
        tmp_path, clips, steps=100_000, budget="3s", checkpoint=Checkpoints(shard_mb=0.01)
    )
    done = train(run, "train")
    assert 0 < done < 100_000
    assert Folder(run.out, run.checkpoint).steps() == [done]
    sizes = [path.stat().st_size for path in tmp_path.rglob("part-*")]
    assert len(sizes) > 3
    assert max(sizes) < 0.012e6
    assert train(run, "train") > done


def test_a_run_has_one_training_at_a_time(tmp_path: Path, clips: Path) -> None:
    run = training.tiny(tmp_path, clips, steps=200)
    process = trained_apart.start(trained_apart.alone, run)
    try:
        while process.is_alive() and not losses_so_far(tmp_path):
            time.sleep(0.01)
        with pytest.raises(ValueError, match="another training is writing here"):
            train(run, "train")
    finally:
        process.kill()
        process.join()


def test_settings_that_changed_are_told(
    tmp_path: Path, clips: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    train(training.tiny(tmp_path, clips, steps=1), "train")
    train(training.tiny(tmp_path, clips, steps=2, optim=Optim(batch=2, lr=5e-4)), "train")
    assert "setting changed: optim.lr: 0.001 -> 0.0005" in caplog.messages
    assert "setting changed: steps: 1 -> 2" in caplog.messages


def test_a_run_of_another_model_is_refused(tmp_path: Path, clips: Path) -> None:
    train(training.tiny(tmp_path, clips, steps=1), "train")
    other = training.tiny(tmp_path, clips, model=TapNetSettings())
    with pytest.raises(ValueError, match="holds a run of another model"):
        train(other, "train")


def test_training_can_start_from_weights(tmp_path: Path, clips: Path) -> None:
    train(training.tiny(tmp_path / "a", clips), "train")
    start = tmp_path / "a" / "model.safetensors"
    run = training.tiny(tmp_path / "b", clips, init=start, steps=1, optim=Optim(batch=2, warmup=5))
    train(run, "train")  # at the learning rate 0 of the first step
    assert_same_weights(start, tmp_path / "b" / "model.safetensors")
    wrong = replace(run, out=tmp_path / "c", model=TapNetSettings())
    with pytest.raises(ValueError, match="expected weights of tapnet with"):
        train(wrong, "train")
    assert not wrong.out.exists()
    wrong.out.mkdir()  # one's own
    with pytest.raises(ValueError, match="expected weights of tapnet with"):
        train(wrong, "train")
    assert wrong.out.exists()


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = load_file(a), load_file(b)
    trained = [name for name in first if not name.endswith(("hidden", "average", "counter"))]
    assert all(torch.equal(first[name], second[name]) for name in trained)


# ------------------------------------------------------------------------------- in company


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def assert_same_training(alone: Path, together: Path) -> None:
    """To rounding; batch norms, too, have seen the whole batch."""
    for (step, loss), (other_step, other) in zip(losses(alone), losses(together), strict=True):
        assert step == other_step
        assert other == pytest.approx(loss, rel=2e-4)
    first, second = state_of(alone), state_of(together)
    for name in first:
        if name.endswith("average") and name.startswith("model/"):
            torch.testing.assert_close(second[name], first[name], rtol=2e-3, atol=1e-5)


def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path, clips: Path) -> None:
    optim = Optim(batch=4, warmup=1, lr=1e-4, clip_norm=1.0)
    alone, together = (
        training.tiny(tmp_path / name, clips, optim=optim, steps=3) for name in ("one", "two")
    )
    train(alone, "train")
    port = free_port()
    processes = [
        trained_apart.start(trained_apart.in_company, together, rank, port) for rank in range(2)
    ]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert_same_training(alone.out, together.out)


CONFIG = """
from pathlib import Path
import training
from tapnet.config import Optim, Run

training.register()

def get_config() -> Run:
    return training.tiny(
        Path({out!r}), Path({clips!r}), optim=Optim(batch=4, warmup=1, lr=1e-4), steps=3
    )
"""


@pytest.mark.slow
def test_torchrun_starts_processes_that_train_as_one(tmp_path: Path, clips: Path) -> None:
    for name in ("one", "two"):
        text = CONFIG.format(out=str(tmp_path / name), clips=str(clips))
        (tmp_path / f"{name}.py").write_text(text)
    experiment = Path(tapnet.__file__).parent / "experiment.py"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    port = ["--master_port", str(free_port())]
    for start, name in (([sys.executable], "one"), ([*torchrun, *port], "two")):
        config = str(tmp_path / f"{name}.py")
        command = [*start, str(experiment), "--config", config, "--mode", "train"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert_same_training(tmp_path / "one", tmp_path / "two")


# --------------------------------------------------------------------- learning from a teacher


STUDENTS = {
    "tapnet": ({}, "backbone.stem.weight", {"position", "occlusion"}),
    "tapir": (
        {"initial_resolution": (40, 40), "mixer_hidden_dim": 16, "num_mixer_blocks": 1},
        "encoder.backbone.stem.weight",
        {"position", "occlusion", "uncertainty"},
    ),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_features_are_taught_each_cell_of_each_frame(name: str) -> None:
    torch.manual_seed(0)
    settings, stem, wanted = STUDENTS[name]
    model = models.build(name, **settings).train()
    batch = batches.stack([training.moving(0, 3, 40, 8)])  # sides that the teacher pads to 48
    terms = LOSSES["taught"](model, batch)
    plain = LOSSES["tapir"](model, batch)
    assert plain.keys() == wanted
    assert terms.keys() == {*wanted, "features"}
    assert terms["position"].item() == pytest.approx(plain["position"].item(), rel=1e-4)
    assert terms["features"] > 0
    terms["features"].backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    assert gradients[stem] is not None
    assert gradients[stem].abs().sum() > 0
    assert gradients["head.hidden.weight"] is None  # only the tracks teach the head


def test_a_student_that_finds_alike_what_the_teacher_does_has_nothing_to_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = models.build("tapnet").eval()
    assert isinstance(model, TapNet)
    batch = batches.stack([training.moving(0, 3, 64, 8)])
    teacher = objectives._teacher(torch.device("cpu"))
    wanted = teacher.grids(batch.video[0]).coarse[None]
    turned = torch.linalg.qr(torch.randn(96, 96))[0]  # another basis, the same likeness
    found = model.with_features(batch.video, batch.query_points)[0], wanted @ turned, wanted
    monkeypatch.setattr(model, "with_features", lambda *_: found)
    assert LOSSES["taught"](model, batch)["features"].item() == pytest.approx(0, abs=1e-4)


def test_a_student_that_sees_the_clips_smaller_is_refused() -> None:
    settings = STUDENTS["tapir"][0] | {"initial_resolution": (32, 32)}
    model, batch = models.build("tapir", **settings), batches.stack([training.moving(0, 3, 64, 8)])
    with pytest.raises(ValueError, match=r"of the clips' size, \(8, 8\) cells, got \(4, 4\)"):
        LOSSES["taught"](model, batch)


def test_only_a_tapnet_or_tapir_is_taught() -> None:
    model, batch = models.build("taplite"), batches.stack([training.moving(0, 3, 32, 4)])
    with pytest.raises(ValueError, match="loss taught: expected a TAP-Net or TAPIR, got Taplite"):
        LOSSES["taught"](model, batch)


def test_a_small_tapir_starts_with_the_layers_of_a_tapnet() -> None:
    tool = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "start_tapir.py"))
    torch.manual_seed(0)
    teacher, model = models.build("tapnet"), models.build("tapir", num_mixer_blocks=1)
    norm = teacher.backbone.blocks[3].norm1
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    copied = tool["from_tapnet"](teacher.state_dict(), model)
    assert copied == sum(weight.numel() for weight in teacher.parameters())
    backbone = model.encoder.backbone
    torch.testing.assert_close(backbone.groups[1][1].norm1.weight, norm.weight)
    torch.testing.assert_close(
        backbone.groups[2][0].shortcut.weight, teacher.backbone.blocks[4].shortcut.weight
    )
    said = model.head.occlusion_out.weight, teacher.head.occlusion_out.weight
    torch.testing.assert_close(said[0][:1], said[1])
    features = torch.randn(1, 256, 4, 4).relu()
    passed = backbone.groups[3][1](features)  # the last block changes nothing yet
    torch.testing.assert_close(passed, features)


def test_occlusion_can_start_from_the_height_of_the_peak() -> None:
    tool = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "start_occlusion.py"))
    torch.manual_seed(0)
    head = CostVolumeHead(10.0, outputs=1, occlusion_relu=False)
    low = 0.5 * torch.rand(1, 1, 40, 40)  # cosines
    peaked = low.clone()
    peaked[..., 20:22, 10:12] = 0.95
    tool["watch_peaks"](head)
    assert head(low)[1].item() == pytest.approx(0.5, abs=0.1)  # as everywhere where it is low
    assert head(peaked)[1].item() < -0.5


def test_logits_of_occlusion_are_calibrated_by_a_scale_and_a_shift() -> None:
    tool = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "calibrate_occlusion.py"))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, generator=generator)
    hidden = torch.rand(20_000, generator=generator) < (2.5 * logits - 0.75).sigmoid()
    scale, shift = tool["fitted"](logits, hidden)
    assert scale == pytest.approx(2.5, abs=0.1)
    assert shift == pytest.approx(-0.75, abs=0.1)


def test_a_frozen_backbone_keeps_the_averages_of_its_batch_norms(tmp_path) -> None:
    frozen = Optim(batch=1, warmup=0, lr_scale={"backbone": 0.0})
    run = config.Run(tmp_path, TapNetSettings(), optim=frozen)
    trainer = Trainer(run, Processes(torch.device("cpu")))
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.advance(iter([batches.stack([training.moving(0, 3, 64, 8)])]))
    after = trainer.model.state_dict()
    changed = {name.split(".")[0] for name in before if not after[name].equal(before[name])}
    assert changed == {"head"}


# --------------------------------------------------------------------------- what goes wrong


def spoiled(when: set[int]) -> Any:
    """The loss of TAPIR, no number in some of its calls (from 1)."""
    calls = 0

    def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        terms = LOSSES["tapir"](model, batch)
        factor = float("nan") if calls in when else 1.0
        return {name: factor * term for name, term in terms.items()}

    return loss


def test_a_step_without_a_loss_is_skipped_and_counted(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "spoiled", spoiled({2}))
    run = training.tiny(tmp_path, clips, loss="spoiled", steps=3, checkpoint=Checkpoints(every=1))
    with pytest.raises(Interrupt):
        train(run, "train", until(2))
    # Told, but not saved yet: the state of step 1 is the last.
    before = state_of(tmp_path)
    monkeypatch.setitem(LOSSES, "spoiled", spoiled({1}))
    with pytest.raises(Interrupt):
        train(run, "train", until(3))
    after = state_of(tmp_path)  # of step 2, which was skipped
    assert all(torch.equal(before[name], after[name]) for name in before)
    train(run, "train")
    assert [line["skipped"] for line in lines(tmp_path)] == [0, 1, 1]
    assert "loss" not in lines(tmp_path)[1]
    assert all(value.isfinite().all() for value in state_of(tmp_path).values())


def test_losses_that_stay_no_number_stop_the_training(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "spoiled", spoiled(set(range(2, 100))))
    run = training.tiny(tmp_path, clips, loss="spoiled", steps=50, checkpoint=Checkpoints())
    with pytest.raises(ValueError, match=r"no finite number 5 steps in a row, up to step 6 \(pos"):
        train(run, "train")
    assert Folder(run.out, run.checkpoint).steps() == []  # none was saved before
    assert not (tmp_path / "model.safetensors").exists()
    train(replace(run, loss="tapir"), "train")


def test_a_clip_that_breaks_later_stops_with_all_steps_kept(tmp_path: Path) -> None:
    broken = training.write_shards(tmp_path / "clips", (2, 2))
    run = training.tiny(tmp_path / "run", broken, steps=20, checkpoint=Checkpoints())
    shard = broken / "clips-00001.tar"

    def tell(status: Status) -> None:
        if status.step == 3:
            data = bytearray(shard.read_bytes())
            data[1000:] = bytes(len(data) - 1000)
            shard.write_bytes(data)

    with pytest.raises(ValueError, match=r"clips-00001\.tar.*render"):
        train(run, "train", tell)
    kept = Folder(run.out, run.checkpoint).steps()
    assert kept
    assert kept[-1] >= 3
    training.write_shards(broken, (2, 2))
    assert train(run, "train") == 20


def test_a_helping_process_that_was_killed_is_told(tmp_path: Path, clips: Path) -> None:
    run = training.tiny(tmp_path / "run", clips, steps=100_000)
    run = replace(run, data=replace(run.data, workers=1))
    said = tmp_path / "said.txt"
    process = trained_apart.start(trained_apart.bereaved, run, said)
    process.join(60)
    assert process.exitcode == 2
    assert "tapnet: a process that prepares clips was killed" in said.read_text()
    assert Folder(run.out, run.checkpoint).steps()


@pytest.mark.parametrize("error", [ConnectionResetError, ConnectionRefusedError, EOFError])
def test_a_process_killed_while_it_hands_a_batch_over_is_told(
    error: type[Exception], tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loader(*_: Any, **__: Any) -> Iterator[Any]:
        raise error
        yield

    monkeypatch.setattr(batches, "DataLoader", loader)
    run = training.tiny(tmp_path / "run", clips)
    with pytest.raises(ChildProcessError, match="a process that prepares clips was killed"):
        train(replace(run, data=replace(run.data, workers=1)), "train")


def test_clips_that_are_not_there_are_told_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a folder of .* no such folder"):
        train(training.tiny(tmp_path / "run", tmp_path / "nothing"), "train")


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training.tiny(tmp_path, clips)

    def full(path: Path, content: bytes) -> int:
        if "00000003" in str(path) and path.suffix == ".safetensors":
            write(path, b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    write = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="the one of step 2 is whole: make room"):
            train(run, "train")
    assert Folder(run.out, run.checkpoint).steps() == [1, 2]
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert train(run, "train") == 4


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path, clips: Path) -> None:
    run = training.tiny(tmp_path, clips, optim=Optim(batch=3, accumulate=2))
    with pytest.raises(ValueError, match="multiple of 1 processes x 2 parts, got 3 clips"):
        train(run, "train")


@pytest.mark.parametrize("loss", ["tapir", "own"])
def test_what_is_compiled_is_what_a_step_computes(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    """Compiling a model compiles its `forward`, which not every loss goes through."""
    calls = []

    def compiled(work: Any) -> Any:
        return lambda *args: calls.append(work) or work(*args)

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setitem(LOSSES, "own", LOSSES["tapir"])
    plain = training.tiny(tmp_path / "plain", clips, loss=loss, steps=2)
    train(plain, "train")
    assert not calls
    optim = replace(plain.optim, compile=True)
    train(replace(plain, out=tmp_path / "compiled", optim=optim), "train")
    assert len(calls) == 2
    a, b = (load_file(run / "model.safetensors") for run in (plain.out, tmp_path / "compiled"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["tapnet", "tapir", "taplite"])
def test_every_model_can_have_its_images_channels_last(name: str) -> None:
    """TAPIR has weights of five dimensions, to which that does not apply."""
    run = config.read(f"{config.CONFIGS / name}_config.py:smoke")
    run = replace(run, optim=replace(run.optim, channels_last=True))
    model = Trainer(run, Processes(torch.device("cpu"))).model
    kernels = [weight for weight in model.parameters() if weight.dim() == 4]
    assert kernels
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in kernels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss": "tapirr"},
            "loss: expected one of tapir, first_release, taught, own, got 'tapirr'",
        ),
        ({"loss": "own"}, "method training_losses, Toy has none; take one of tapir, first_rel"),
        ({"model": 3}, "model: expected one of TapNetSettings, .* got int"),
        ({"device": "gpu"}, "device: expected auto, cpu, cuda, cuda:N or mps, got 'gpu'"),
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"optim": Optim(batch=0)}, "optim.batch: expected 1 or more, got 0"),
        ({"checkpoint": Checkpoints(keep=0)}, "checkpoint.keep: expected 1 or more, got 0"),
        ({"data": Data(workers=-1)}, "data.workers: expected 0 or more, got -1"),
        ({"budget": "9"}, "budget: expected a duration such as 540s, 90m or 12h, got '9'"),
        ({"optim": Optim(lr_scale={"backbones": 0.1})}, "its modules are backbone, head and what"),
    ],
)
def test_settings_that_do_not_fit_are_told(
    changes: dict[str, Any], message: str, tmp_path: Path, clips: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(training.tiny(tmp_path, clips, **changes), "train")


# ----------------------------------------------------------------------------- being judged


@pytest.fixture(scope="session")
def judged_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judged") / "held-out.pkl"
    tapvid.write(path, [training.moving(100), training.moving(101)])
    return path


def test_the_model_is_judged_on_the_way_and_the_best_is_kept(
    tmp_path: Path, clips: Path, judged_on: Path
) -> None:
    evaluation = Evaluation(every=2, clips=0, datasets=(judged_on,), videos=1)
    run = training.tiny(tmp_path, clips, evaluation=evaluation, optim=Optim(batch=2, ema=0.5))
    train(run)
    scores = lines(tmp_path, "scores.jsonl")
    assert [line["step"] for line in scores] == [2, 4]
    best = max(scores, key=lambda line: line["score"])
    found = scores[-1]["scores"]["held-out"]
    assert found["average_jaccard"] == scores[-1]["score"]
    assert {"average_pts_within_thresh", "occlusion_accuracy", "pts_within_16"} <= found.keys()
    from safetensors import safe_open

    with safe_open(tmp_path / "best.safetensors", "pt") as file:
        assert float(file.metadata()["average_jaccard"]) == pytest.approx(best["score"], abs=1e-4)
    from PIL import Image

    with Image.open(tmp_path / "videos" / "clip-100-00000004.gif") as shown:
        assert shown.size == (2 * training.SIDE, training.SIDE)
        assert shown.n_frames == training.FRAMES


def test_labels_beside_the_image_are_judged_but_not_painted(tmp_path: Path, clips: Path) -> None:
    beside = training.moving(100)
    beside.query_points[0, 2] = training.SIDE + 0.25
    tapvid.write(tmp_path / "beside.pkl", [beside])
    evaluation = Evaluation(every=2, clips=0, datasets=(tmp_path / "beside.pkl",), videos=1)
    train(training.tiny(tmp_path / "run", clips, evaluation=evaluation))
    assert [line["step"] for line in lines(tmp_path / "run", "scores.jsonl")] == [2, 4]
    assert (tmp_path / "run" / "videos" / "clip-100-00000004.gif").exists()


def test_judging_changes_nothing_in_the_training(
    tmp_path: Path, clips: Path, judged_on: Path
) -> None:
    plain, judged = (training.tiny(tmp_path / name, clips) for name in ("plain", "judged"))
    train(plain, "train")
    train(replace(judged, evaluation=Evaluation(every=1, clips=0, datasets=(judged_on,))))
    assert_equal_runs(plain.out, judged.out)


def test_an_evaluation_that_was_cut_off_is_made_up_for(
    tmp_path: Path, clips: Path, judged_on: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = Evaluation(every=2, clips=0, datasets=(judged_on,), videos=0)
    run = training.tiny(tmp_path, clips, evaluation=evaluation, steps=3)

    def killed(*_: Any, **__: Any) -> None:
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(judging, "evaluate", killed)
        with pytest.raises(Interrupt):
            train(run)
    assert not (tmp_path / "scores.jsonl").exists()
    train(run)
    assert [line["step"] for line in lines(tmp_path, "scores.jsonl")] == [2, 3]


def test_a_run_can_be_judged_without_training(
    tmp_path: Path, clips: Path, judged_on: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    evaluation = Evaluation(clips=0, datasets=(judged_on,), videos=0)
    run = training.tiny(tmp_path, clips, evaluation=evaluation)
    with pytest.raises(FileNotFoundError, match="expected a trained run to judge"):
        train(run, "eval")
    train(run, "train")
    before = state_of(tmp_path)
    assert train(run, "eval") == 4
    assert [line["step"] for line in lines(tmp_path, "scores.jsonl")] == [4]
    assert any("step 4, held-out: AJ" in message for message in caplog.messages)
    assert all(torch.equal(before[name], value) for name, value in state_of(tmp_path).items())


def test_tensorboard_has_curves_and_videos(tmp_path: Path, clips: Path, judged_on: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluation = Evaluation(every=2, clips=0, datasets=(judged_on,), videos=1)
    train(training.tiny(tmp_path, clips, evaluation=evaluation))
    seen = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in seen.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.value for event in seen.Scalars("train/loss")] == pytest.approx(
        [loss for _, loss in losses(tmp_path)]
    )
    assert [event.step for event in seen.Scalars("held-out/average_jaccard")] == [2, 4]
    (tag,) = seen.Tags()["images"]
    assert seen.Images(tag)[0].encoded_image_string.startswith(b"GIF89a")


def test_without_tensorboard_a_note_says_what_is_missing(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train(training.tiny(tmp_path, clips, steps=1), "train")
    assert any("TensorBoard is not installed" in message for message in caplog.messages)


def test_a_score_that_is_not_measured_is_told(tmp_path: Path, clips: Path, judged_on: Path) -> None:
    evaluation = Evaluation(clips=0, datasets=(judged_on,), score="AJ")
    with pytest.raises(ValueError, match=r"evaluation\.score: expected one of .*average_jaccard"):
        train(training.tiny(tmp_path, clips, evaluation=evaluation, steps=1))


# ------------------------------------------------------------------------------------- faces


BARE = """
import runpy, sys
for name in ("av", "tyro", "rich", "tensorboard", "torch.utils.tensorboard", "PIL", "numba"):
    sys.modules[name] = None
experiment, *sys.argv[1:] = sys.argv[1:]
sys.path[0] = str(experiment.rpartition("/")[0])  # as python does for a script
runpy.run_path(experiment, run_name="__main__")
"""


def test_a_bare_gpu_machine_has_all_that_training_needs(
    tmp_path: Path, clips: Path, judged_on: Path
) -> None:
    config = tmp_path / "config.py"
    config.write_text(
        "from dataclasses import replace\nfrom pathlib import Path\nimport training\n"
        "from tapnet.config import Evaluation, Run\ntraining.register()\ndef get_config() -> Run:\n"
        f"    judged = Evaluation(clips=0, datasets=(Path({str(judged_on)!r}),))\n"
        f"    run = training.tiny(Path({str(tmp_path / 'run')!r}), Path({str(clips)!r}), steps=2)\n"
        "    return replace(run, evaluation=judged)\n"
    )
    experiment = str(Path(tapnet.__file__).parent / "experiment.py")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BARE, experiment, "--config", str(config)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for text in ("TensorBoard is not installed", "Pillow is not", "step 2 of 2: loss", ": AJ "):
        assert text in done.stderr
    assert (tmp_path / "run" / "best.safetensors").exists()
    done = subprocess.run(
        [*command, "--steps", "3"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("tapnet: settings on the command line need the package tyro")


def test_a_terminal_shows_a_bar(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(out=str(tmp_path / "run"), clips=str(clips)))
    assert cli.main(["train", "--config", str(path), "--mode", "train", "--log-every", "2"]) == 0
    said = " ".join(capsys.readouterr().err.split())  # however lines are broken
    assert "step 3 of 3" in said
    assert "clips/s" in said
    assert "waiting for clips" in " ".join(said.split())
    assert "wrote" in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "tapnet: expected --config FILE, such as tapnet/configs/tapnet_config.py"),
        (["--config", "none.py"], "tapnet: none.py: no such config; give a Python file"),
        (["--mode", "test"], "tapnet: argument --mode: invalid choice: 'test'"),
        (
            ["--config", "tapnet/configs/tapnet_config.py", "--optim.rate", "1"],
            "tapnet: no setting --optim.rate: there are --optim.lr, --optim.warmup",
        ),
    ],
)
def test_what_a_training_cannot_do_is_one_line(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(Path(tapnet.__file__).parents[1])
    assert cli.main(["train", *args]) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


def test_help_lists_the_settings_of_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(config.CONFIGS / "causal_tapir_config.py")
    assert cli.main(["train", "--config", path, "--help"]) == 0
    said = capsys.readouterr().out
    for name in ("--model.causal", "--optim.lr-scale", "--augment.color", "--budget"):
        assert name in said


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(tapnet.__file__).parents[1] / "docs" / "training.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    trained = tmp_path / "runs" / "tapir-refining"
    trained.mkdir(parents=True)
    small = models.build("tapir", initial_resolution=(128, 128), num_mixer_blocks=1)
    checkpoint.save(trained / "model.safetensors", small)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, page.name, "exec"), {})
    larger = checkpoint.load(tmp_path / "runs" / "tapir-small.safetensors")
    assert larger.settings == replace(small.settings, initial_resolution=(256, 256))
    assert len(lines(tmp_path / "runs" / "two-steps")) == 1
