"""kill -9 at every file that an evaluation and its report write: what is there is whole, and the
next run ends as one that was never killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from test_evaluate import Tracker, a_clip, scores

from tapnet.evaluate import evaluate, read_result
from tapnet.evaluate.page import find_runs, write_report


def judge(dataset: Path, place: Path) -> None:
    """Both passes."""
    evaluate(dataset, Tracker(), out=place / "run")


def show(place: Path) -> None:
    """The page."""
    write_report(find_runs([place / "run"]), place / "report", clips=0)


def in_a_child(run: Callable[[], None]) -> int:
    """The status of a process that does it."""
    child = os.fork()
    if not child:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def killed_before(number: int, run: Callable[[], None]) -> bool:
    """Whether `run` was killed when file `number` was written but had not taken its place."""
    replace, done = os.replace, 0

    def counted(source: Path, target: Path) -> None:
        nonlocal done
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        replace(source, target)

    def killed() -> None:
        os.replace = counted  # type: ignore[assignment]
        run()

    return os.WTERMSIG(in_a_child(killed)) == signal.SIGKILL


def check_whole(place: Path) -> None:
    """Every file under its own name can be read to its end."""
    for file in (path for path in place.rglob("*") if path.is_file() and path.name[0] != "."):
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                assert all(arrays[name] is not None for name in arrays.files)
        if file.suffix == ".json":
            json.loads(file.read_text())
        if file.suffix in (".svg", ".html"):
            assert file.read_text().rstrip().endswith(("</svg>", "</html>"))


def names(place: Path) -> set[str]:
    return {file.name for file in place.rglob("*") if file.is_file() and file.name[0] != "."}


def main(place: Path) -> None:
    """In a process of its own with one thread, which may fork."""
    torch.set_num_threads(1)
    dataset = place / "clips.pkl"
    dataset.write_bytes(pickle.dumps({"a": a_clip(), "b": a_clip()}))
    (whole := place / "whole").mkdir()
    assert in_a_child(partial(judge, dataset, whole)) == 0
    assert in_a_child(partial(show, whole)) == 0
    expected, judged = scores(read_result(whole / "run")), 0
    here = place / "killed 0"
    while killed_before(judged, partial(judge, dataset, here)):
        check_whole(here)
        assert in_a_child(partial(judge, dataset, here)) == 0
        assert scores(read_result(here / "run")) == expected
        assert names(here / "run") == names(whole / "run")
        judged += 1
        here = place / f"killed {judged}"
    assert judged == 1 + 2 + 3  # settings, two videos, three files of scores
    shown = 0
    while killed_before(shown, partial(show, here)):
        check_whole(here)
        shown += 1
    assert shown > 4 + 5  # four files and the plots
    assert names(here / "report") == names(whole / "report")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_kill_at_any_file_loses_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    code = "import sys, pathlib, test_evaluate_killed as t; t.main(pathlib.Path(sys.argv[1]))"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stderr
