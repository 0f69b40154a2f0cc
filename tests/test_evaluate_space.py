"""What trackers in space said, judged from files by one command, under a protocol of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import layouts
import numpy as np
import pytest
import vectors
from test_cli import Run, run
from test_data_tapvid3d import FRAMES, N, T, arrays
from test_metrics3d import cases

from tapnet import evaluate_cli, metrics3d
from tapnet.evaluate import Result, score, score_space, space, table
from tapnet.evaluate.page import find_runs, write_report

__all__ = ["run"]  # a fixture


def a_set(folder: Path, names: tuple[str, ...] = ("adt/a", "adt/b", "pstudio/c")) -> Path:
    for name in names:
        layouts.space(folder / f"{name}.npz", FRAMES, **arrays())
    return folder


def said(folder: Path, name: str, shift: float = 0.0, **changes: Any) -> Path:
    """A prediction that is off by `shift` metres along x."""
    file = folder / f"{name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    truth = arrays()
    content = {
        "tracks_XYZ": truth["tracks_XYZ"] + np.array([shift, 0, 0]),
        "visibility": truth["visibility"],
    }
    np.savez(file, **(content | changes))
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return a_set(tmp_path / "tapvid3d_dataset")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    for name in ("adt/a", "adt/b", "pstudio/c"):
        said(tmp_path / "good", name)
    return tmp_path / "good"


@pytest.mark.parametrize("path", vectors.all_of("tapvid3d*.npz"))
def test_scores_of_the_command_are_those_of_the_reference(path: Path, tmp_path: Path) -> None:
    """The intrinsics of the vectors are of 256 px, so the frames are twice as large."""
    _, given = vectors.read(path)
    layouts.space_of(tmp_path / "set" / "a.npz", given)
    visible = ~given["pred_occluded"].T
    tracks = given["pred_tracks"].swapaxes(0, 1)
    said(tmp_path / "mine", "a", tracks_XYZ=tracks, visibility=visible)
    judged = 0
    for case in cases(given):
        scaling, over, threshold = case.split("|")
        result = score_space(
            tmp_path / "set",
            tmp_path / "mine",
            scaling=scaling,  # type: ignore[arg-type]
            thresholds="metres" if threshold == "fixed" else "pixels",
        )
        (row,) = result.rows
        for key, expected in given.items():
            if not key.startswith(f"{case}|"):
                continue
            name = key.rpartition("|")[2]
            name = name if name == "occlusion_accuracy" else f"{name}_3d"
            found = row.by_point[name] if over == "trackwise" else row.scores[name]
            np.testing.assert_allclose(found, np.squeeze(expected), rtol=1e-6, err_msg=key)
            judged += 1
            if over != "trackwise":
                assert result.mean[name].value == pytest.approx(row.scores[name], nan_ok=True)
    assert judged > 100


def test_a_score_is_the_mean_of_the_means_of_the_sources(
    dataset: Path, good: Path, tmp_path: Path
) -> None:
    assert score_space(dataset, good).mean["average_jaccard_3d"].value == 1
    for name in ("adt/a", "adt/b"):
        said(good, name, visibility=~arrays()["visibility"])
    result = score_space(dataset, good)
    assert [row.scores["occlusion_accuracy"] for row in result.rows] == [0, 0, 1]
    assert result.mean["occlusion_accuracy"].value == 1 / 2  # not 1 / 3
    alone = score_space(dataset / "adt", good / "adt")
    assert [row.name for row in alone.rows] == ["a", "b"]
    assert alone.mean["occlusion_accuracy"].value == 0


def test_the_scaling_matters_and_is_never_mixed(dataset: Path, good: Path, tmp_path: Path) -> None:
    for name in ("adt/a", "adt/b", "pstudio/c"):
        said(tmp_path / "half", name, tracks_XYZ=arrays()["tracks_XYZ"] / 2)
    median, none = (
        score_space(dataset, tmp_path / "half", scaling=scaling, out=tmp_path / scaling)  # type: ignore[arg-type]
        for scaling in ("median", "none")
    )
    assert median.mean["average_jaccard_3d"].value == 1
    assert none.mean["average_jaccard_3d"].value < 0.1
    assert len(re.findall(r"^model .* 3D-AJ", table([median, none]), re.MULTILINE)) == 2
    with pytest.raises(ValueError, match=r"judged 'positions in space, scaled by median.* choose"):
        score_space(dataset, tmp_path / "half", scaling="mean", out=tmp_path / "median")
    again = score_space(dataset, tmp_path / "half", out=tmp_path / "median")
    assert again.protocol == median.protocol
    said(tmp_path / "half", "adt/a", shift=1)
    with pytest.raises(ValueError, match="predictions_sha256"):
        score_space(dataset, tmp_path / "half", out=tmp_path / "median")


def test_the_command_compares_and_the_report_shows(
    run: Run, dataset: Path, good: Path, tmp_path: Path
) -> None:
    for name in ("adt/a", "adt/b", "pstudio/c"):
        said(tmp_path / "poor", name, shift=0.3)
    out = tmp_path / "runs"
    places = f"{good},{tmp_path / 'poor'}"
    code, text, err = run(
        "evaluate-3d", "--dataset", dataset, "--predictions", places, "--out", out
    )
    assert (code, err) == (0, "")
    assert "3D-AJ" in text
    assert "judged    positions in space, scaled by median, a point near within 1 to 16 px" in text
    assert "predictions sha256" in text
    assert "256x256" not in text
    assert text.index("\ngood ") < text.index("\npoor ")
    runs = find_runs([out])
    assert [result.protocol.model for _, result in runs] == ["good", "poor"]
    assert runs[0][1].mean["average_pts_within_thresh_3d"].value == 1
    assert write_report(runs, tmp_path / "report") == []
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "3D-AJ: position in space and visibility" in page
    assert "<h2>tapvid3d-tapvid3d_dataset, positions in space, scaled by median" in page
    assert "<video" not in page
    points = (out / "good" / "points.csv").read_text(encoding="utf-8").splitlines()
    assert len(points) == 2 + 3 * N
    with pytest.raises(ValueError, match="made elsewhere; judge them again by the command"):
        score(dataset, out / "good")


def test_a_video_without_anything_to_judge_has_no_score(dataset: Path, good: Path) -> None:
    hidden = np.zeros((T, N), bool)
    layouts.space(dataset / "adt" / "b.npz", FRAMES, **arrays(visibility=hidden))
    said(good, "adt/b", visibility=hidden)
    result: Result = score_space(dataset, good)
    assert result.mean["average_jaccard_3d"].left_out == ("adt/b",)
    assert result.mean["average_jaccard_3d"].value == 1
    assert result.mean["occlusion_accuracy"].count == 3


def test_what_is_missing_or_of_another_video_is_named(
    run: Run, dataset: Path, good: Path, tmp_path: Path
) -> None:
    said(good, "pstudio/c", visibility=np.zeros((T, N + 1), bool))
    with pytest.raises(ValueError, match=r"c\.npz, transposed: visibility: expected \[N T\]"):
        score_space(dataset, good)
    said(good, "pstudio/c", tracks_XYZ=np.full((T, N, 3), "a"))
    with pytest.raises(ValueError, match=r"c\.npz: tracks_XYZ: expected numbers, got <U1"):
        score_space(dataset, good)
    np.savez(good / "pstudio" / "c.npz", tracks_XYZ=np.zeros((T, N, 3)))
    with pytest.raises(ValueError, match=r"c\.npz: expected tracks_XYZ and visibility"):
        score_space(dataset, good)
    (good / "pstudio" / "c.npz").write_bytes(b"PK half")
    with pytest.raises(ValueError, match=r"c\.npz: expected an \.npz file"):
        score_space(dataset, good)
    (good / "pstudio" / "c.npz").unlink()
    (good / "adt" / "a.npz").unlink()
    code, _, err = run("evaluate-3d", "--dataset", dataset, "--predictions", good)
    assert code == 2
    assert err.count("\n") == 1
    assert "a.npz and 1 more: no such file; expected tracks_XYZ" in err
    with pytest.raises(FileNotFoundError, match="expected a folder of predictions"):
        score_space(dataset, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no scaling 'modal': there are median"):
        score_space(dataset, good, scaling="modal")  # type: ignore[arg-type]
    code, _, err = run("evaluate-3d", "--dataset", dataset, "--predictions", f"{good},{good}")
    assert (code, "of different names" in err) == (2, True)


def test_the_command_knows_the_choices_without_loading_numpy() -> None:
    assert get_args(evaluate_cli.Scaling) == get_args(metrics3d.Scaling)
    assert get_args(evaluate_cli.Thresholds) == get_args(space.Thresholds)
