"""`tapnet evaluate` and `tapnet report`, as a user calls them."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapnet import cli

Run = Callable[..., tuple[int, str, str]]
T, H, W = 6, 48, 64


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `tapnet ARGS`; its exit code, stdout and stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main([str(arg) for arg in args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two clips of noise that moves 1 px right a frame."""
    return write_dataset(tmp_path / "clips.pkl", 2)


def write_dataset(path: Path, count: int) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (H // 4, W // 4 + 4, 3), dtype=np.uint8)
    big = noise.repeat(4, axis=0).repeat(4, axis=1)
    x = np.array([20.0, 30, 40])[:, None] + np.arange(T)
    clip = {
        "video": np.stack([big[:, 8 - t : 8 - t + W] for t in range(T)]),
        "points": np.stack([x / W, np.full((3, T), 0.5)], axis=-1),
        "occluded": np.zeros((3, T), bool),
    }
    path.write_bytes(pickle.dumps({f"clip {i}": clip for i in range(count)}))
    return path


def test_one_tracker_is_told_video_by_video(run: Run, dataset: Path, tmp_path: Path) -> None:
    code, out, _ = run("evaluate", "--dataset", dataset, "--model", "klt", "--out", tmp_path / "o")
    assert code == 0
    text = (tmp_path / "o" / "klt" / "report.txt").read_text()
    assert text in out
    assert "video     256x256, resized by lanczos" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("clip ")]
    assert [row[:4] for row in rows] == [["clip", "0", "3", "6"], ["clip", "1", "3", "6"]]
    assert not (tmp_path / "o" / "table.txt").exists()


def test_several_trackers_share_a_table_and_a_page(run: Run, dataset: Path, tmp_path: Path) -> None:
    runs, models = tmp_path / "runs", "klt,flow"
    code, out, _ = run("evaluate", "--dataset", dataset, "--model", models, "--out", runs)
    assert code == 0
    assert (runs / "table.txt").read_text() in out
    assert "model     klt, nothing trained\nmodel     flow, nothing trained" in out
    assert "klt and flow" in out or "flow and klt" in out
    assert {path.name for path in runs.iterdir()} == {"klt", "flow", "table.txt"}

    before = (runs / "klt" / "clip 0.npz").stat().st_mtime_ns
    code, again, _ = run("evaluate", "--dataset", dataset, "--model", models, "--out", runs)
    assert (code, again) == (0, out)  # times too: nothing was tracked again
    assert (runs / "klt" / "clip 0.npz").stat().st_mtime_ns == before

    code, out, err = run("report", runs, "--out", tmp_path / "page", "--clips", 1)
    assert code == 0
    assert "warning" not in err
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        *("report.html", "plots", "table.tex", "scores.csv", "videos.csv")
    }
    text = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    damaged = runs / "klt" / "clip 0.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    code, out, err = run("report", runs, "--out", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "clip 0.npz" in err
    assert not (tmp_path / "none").exists()
    assert text.count("data:video/mp4") == 2


def test_options_reach_the_protocol(run: Run, dataset: Path) -> None:
    args = ["--query-mode", "strided", "--direction", "forward", "--points-per-call", 2]
    code, out, _ = run("evaluate", "--dataset", dataset, *args, "--resolution", "native")
    assert code == 0
    told = "queries   strided, every 5th frame; tracked forward only; 2 per call"
    assert told in out
    assert "video     native\n" in out
    args = [
        "--model",
        "klt",
        "--resolution",
        "32x48",
        "--resize-filter",
        "bilinear",
        "--check-independence",
    ]
    _, out, _ = run("evaluate", "--dataset", dataset, *args)
    assert "video     32x48, resized by bilinear" in out
    assert "independence of klt: 6 queries of 2 videos asked alone and with all others" in out
    assert "differ by up to 0 px" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("evaluate --dataset CLIPS --out o --model klt,kltt", "no model 'kltt': there are"),
        ("evaluate --dataset CLIPS --model ,", "model: expected one name or more, separated by"),
        ("evaluate --dataset CLIPS --model klt,klt --out o", "trackers of different names"),
        ("evaluate --dataset CLIPS --resolution full", "HEIGHTxWIDTH"),
        ("evaluate --dataset CLIPS --points-per-call 0", "expected 1 or more, got 0"),
        ("evaluate --dataset CLIPS --kind davis", "no kind of dataset 'davis'"),
        ("report nowhere", "nowhere: expected a folder of `tapnet evaluate --out`"),
        ("report", "expected folders of runs, got none; name one or more"),
        ("report o --clips -1", "clips: expected 0 or more, got -1"),
    ],
)
def test_what_a_user_gets_wrong_is_one_clear_line(
    args: str, message: str, run: Run, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dataset.parent)
    code, _, err = run(*args.replace("CLIPS", dataset.name).split())
    assert code == 2
    assert err.count("\n") == 1, err
    assert message in err
    assert not list(dataset.parent.rglob("*.npz"))
    assert not (dataset.parent / "o").exists()


def test_blanks_between_names_do_no_harm(run: Run, dataset: Path) -> None:
    code, out, _ = run("evaluate", "--dataset", dataset, "--model", "klt, still ,")
    assert code == 0
    assert "klt" in out
    assert "still" in out


class Harmful:
    """Unpickled by `pickle` it makes a folder."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harmed",)


def changed(**changes: object) -> bytes:
    """A clip of which something is wrong."""
    clip = {
        "video": np.zeros((T, H, W, 3), np.uint8),
        "points": np.full((3, T, 2), 0.5),
        "occluded": np.zeros((3, T), bool),
    }
    return pickle.dumps({"a clip": clip | changes})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed()[:-2000], "cut short"),
        (changed(points=Harmful()), "this pickle asks for posix.mkdir"),
        (changed(points=np.full((3, T, 2), 40.0)), "shares of (width, height) in 0..1, got"),
        (changed(points=np.full((3, T), 0.5)), "points: expected [N 6 2], got [3, 6]"),
        (changed(occluded=np.zeros((4, T), bool)), "occluded: expected [3 6], got [4, 6]"),
        (changed(video=np.zeros((T, H, W), np.uint8)), "video: expected uint8 [T, H, W, 3]"),
        (changed(video=np.zeros((T - 1, H, W, 3), np.uint8)), "points: expected [N 5 2], got"),
        (changed(video=[b"no image"] * T), "frame 0: expected a JPEG or PNG image"),
        (pickle.dumps({}), "expected one clip or more, got none"),
        (pickle.dumps([1, 2]), "expected a dict {name: clip} or a list of clips"),
        (b"", "cut short"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_dataset_that_is_wrong_is_one_clear_line(
    content: bytes, message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips.pkl").write_bytes(content)
    code, out, err = run("evaluate", "--dataset", "clips.pkl", "--model", "still", "--out", "runs")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("tapnet: clips.pkl")
    assert message in err
    assert not Path("harmed").exists()


def test_an_evaluation_that_failed_stands_in_nobodys_way(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    copy, out = tmp_path / "copy.pkl", tmp_path / "runs"
    copy.write_bytes(dataset.read_bytes()[:-100])
    args = ("evaluate", "--dataset", copy, "--model", "still", "--out", out)
    assert run(*args)[0] == 2
    copy.write_bytes(dataset.read_bytes())  # "get it again"
    assert run(*args)[0] == 0
    code, _, err = run(*args, "--query-mode", "strided")
    assert code == 2
    assert "holds predictions made with query_mode 'first' (now 'strided')" in err


def test_predictions_do_not_go_into_the_folder_of_a_training(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "still").mkdir()
    (tmp_path / "still" / "run.json").touch()
    args = ("evaluate", "--dataset", dataset, "--model", "still", "--out", tmp_path)
    code, _, err = run(*args)
    assert code == 2
    assert "still: holds a training; choose another folder with --out" in err


def test_a_dataset_without_any_visible_point_has_no_score_and_says_so(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "clips.pkl"
    path.write_bytes(changed(occluded=np.ones((3, T), bool)))
    code, out, _ = run("evaluate", "--dataset", path, "--model", "still,klt")
    assert code == 0
    assert "no AJ, delta_avg (nothing to judge): a clip." in out
    for name in ("still", "klt"):
        assert re.search(rf"^{name} +1 +- +-$", out, re.MULTILINE), out
    assert "nan" not in out


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_an_evaluation_that_was_killed_goes_on_and_ends_the_same(tmp_path: Path, run: Run) -> None:
    dataset, runs = write_dataset(tmp_path / "clips.pkl", 12), tmp_path / "runs"
    args = ["evaluate", "--dataset", str(dataset), "--model", "klt", "--out", str(runs)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tapnet", *args], stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    while len(list(runs.glob("klt/clip*.npz"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in runs.glob("klt/clip*.npz")}
    assert len(done) >= 3
    assert run(*args)[0] == 0
    kept = {path.name: path.stat().st_mtime_ns for path in runs.glob("klt/clip*.npz")}
    assert len(kept) == 12
    assert done.items() <= kept.items()


def test_the_code_in_the_page_about_evaluation_runs(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(dataset.parent)
    exec(compile(code, "evaluation.md", "exec"), {})
    assert "delta_avg" in capsys.readouterr().out


def test_the_page_about_evaluation_names_what_there_is() -> None:
    from tapnet.evaluate.protocol import Protocol
    from tapnet.evaluate.summary import COLUMNS

    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in Protocol.__dataclass_fields__:
        assert f"`{name}`" in page, name
    for title in COLUMNS:
        assert f"`{title}`" in page or title[1:].isdigit(), title
