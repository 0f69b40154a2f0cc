"""As many threads as other programs leave cores."""

import os
from pathlib import Path

import pytest
import torch

from tapnet import cores


@pytest.fixture(autouse=True)
def _four_threads(own_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)


def watched(monkeypatch: pytest.MonkeyPatch, path: Path, idle: list[float]) -> None:
    """Ten seconds go by, in which core i is idle for idle[i] seconds."""
    tick = os.sysconf("SC_CLK_TCK")
    now = [100.0]

    def stat(seconds: list[float]) -> str:
        rows = [f"cpu{i} 7 0 9 {int(s * tick)} 0 0 0 0 0 0" for i, s in enumerate(seconds)]
        return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 0", *rows, "intr 5", ""])

    def sleep(_: float) -> None:
        now[0] += 10
        path.write_text(stat([50 + s for s in idle]))

    path.write_text(stat([50.0] * len(idle)))
    monkeypatch.setattr(cores, "STAT", path)
    monkeypatch.setattr(cores.time, "sleep", sleep)
    monkeypatch.setattr(cores.time, "perf_counter", lambda: now[0])


@pytest.mark.parametrize(
    ("idle", "threads"),
    [
        ([10, 10, 10, 0, 0, 9.8], None),  # cores 3 and 4 are not ours
        ([10, 10, 10, 10, 10, 0], 3),
        ([6, 6, 5, 10, 10, 6], 2),
        ([0, 0, 0, 10, 10, 0], 1),
    ],
)
def test_busy_cores_are_left_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, idle: list[float], threads: int | None
) -> None:
    watched(monkeypatch, tmp_path / "stat", idle)
    assert cores.leave_busy_cores() == threads
    assert torch.get_num_threads() == (threads or 4)


def test_no_more_threads_than_there_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    watched(monkeypatch, tmp_path / "stat", [10.0] * 6)
    assert cores.leave_busy_cores() is None
    assert torch.get_num_threads() == 2


def test_a_core_that_is_left_is_taken_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    idle = [10.0, 10.0, 10.0, 0.0, 0.0, 2.0]
    watched(monkeypatch, tmp_path / "stat", idle)
    watch = cores.Watch()
    assert watch.leave_busy_cores() is None  # nothing is known yet
    cores.time.sleep(1)
    watch.look()
    assert watch.leave_busy_cores() == 3
    watch.look()  # no time went by: what is known stays
    assert watch.leave_busy_cores() == 3
    watched(monkeypatch, tmp_path / "stat", [10.0] * 6)
    watch.begin()
    cores.time.sleep(1)
    watch.look()
    assert watch.leave_busy_cores() is None
    assert torch.get_num_threads() == 4


def test_who_says_how_many_threads_gets_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched(monkeypatch, tmp_path / "stat", [0.0] * 6)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert cores.leave_busy_cores() is None
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("told", [None, "nothing of cores\n", "cpu0 1 2\n"])
def test_nothing_changes_where_the_system_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str | None
) -> None:
    if told is not None:
        (tmp_path / "stat").write_text(told)
    monkeypatch.setattr(cores, "STAT", tmp_path / "stat")
    assert cores.leave_busy_cores() is None
    assert torch.get_num_threads() == 4
