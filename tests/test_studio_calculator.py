"""Paths are computed apart, at low priority, and what nobody wants any more ends."""

from __future__ import annotations

import os
import signal
import time
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from studio_app import FRAMES, make_video

from tapnet import video
from tapnet.annotation import assist
from tapnet.annotation.content import Click, Content
from tapnet.studio import calculator as module
from tapnet.studio.calculator import Calculator

CLICKED = Content(clicks=(Click(3, 10.0, 8.0),), assist="flow")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def calculator(tmp_path_factory: pytest.TempPathFactory):
    """One for all tests: each leaves it ready for the next."""
    made = Calculator(tmp_path_factory.mktemp("kept"))
    yield made
    made.close()


def quiet(done: int, total: int) -> None:
    pass


def test_it_gives_what_the_assist_gives(clip: Path, calculator: Calculator) -> None:
    told: list[tuple[int, int]] = []
    parts: list[dict] = []
    asked = [CLICKED, Content(), Content(clicks=(Click(0, 5, 5),), assist="linear")]
    found = calculator.fill(
        clip, asked, lambda *now: told.append(now), lambda make: parts.append(make())
    )
    for path, expected in zip(found, assist.fill(video.open(clip), asked), strict=True):
        np.testing.assert_array_equal(path.xy, expected.xy)
    frames = FRAMES - 1
    steps = [now for now, _ in groupby(told) if now != (0, 1)]  # told again while it waits
    assert steps == [(i + 1, frames) for i in range(frames)]
    assert len(parts) == frames
    assert all(0 in part for part in parts[3:])
    calculator.warm()
    assert len(calculator.fill(clip, asked[2:], quiet)) == 1


def test_it_gives_way_to_others(clip: Path, calculator: Calculator) -> None:
    calculator.fill(clip, [CLICKED], quiet)
    pid = calculator._process.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


class Enough(Exception):
    """Nobody wants it any more."""


def test_what_nobody_wants_ends_and_the_process_goes_on(clip: Path, calculator: Calculator) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Enough

    calculator.fill(clip, [CLICKED], quiet)
    pid = calculator._process.pid
    with pytest.raises(Enough):
        calculator.fill(clip, [CLICKED], stop)
    assert len(calculator.fill(clip, [CLICKED], quiet)) == 1
    assert calculator._process.pid == pid


def test_one_that_does_not_listen_is_killed(
    clip: Path, calculator: Calculator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    calculator.fill(clip, [CLICKED], quiet)
    pid = calculator._process.pid
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()

    def stop(done: int, total: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        calculator.fill(clip, [CLICKED], stop)
    assert time.monotonic() - began < 3
    assert len(calculator.fill(clip, [CLICKED], quiet)) == 1
    assert calculator._process.pid != pid


def test_one_that_was_killed_is_told_and_started_again(clip: Path, calculator: Calculator) -> None:
    calculator.fill(clip, [CLICKED], quiet)

    def kill(done: int, total: int) -> None:
        if done == 2:
            calculator._process.kill()
            calculator._process.join()

    with pytest.raises(MemoryError):
        calculator.fill(clip, [CLICKED], kill)
    assert len(calculator.fill(clip, [CLICKED], quiet)) == 1


def test_one_that_dies_while_it_should_stop_harms_nobody(
    clip: Path, calculator: Calculator
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Enough

    with pytest.raises(Enough):
        calculator.fill(clip, [CLICKED], stop)
    calculator._process.kill()
    assert len(calculator.fill(clip, [CLICKED], quiet)) == 1

    def kill(done: int, total: int) -> None:
        if done == 2:
            calculator._process.kill()
            calculator._process.join()
            raise Enough

    with pytest.raises(Enough):
        calculator.fill(clip, [CLICKED], kill)
    assert len(calculator.fill(clip, [CLICKED], quiet)) == 1


def test_what_users_got_wrong_is_told(tmp_path: Path, clip: Path, calculator: Calculator) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        calculator.fill(broken, [CLICKED], quiet)
    with pytest.raises(ValueError, match="model: expected"):
        calculator.fill(clip, [Content(clicks=CLICKED.clicks, model="nothing")], quiet)
    assert len(calculator.fill(clip, [CLICKED], quiet)) == 1
