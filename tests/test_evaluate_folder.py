"""The folder of a run: any name of a video has a file of its own, and what is damaged is named."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from test_evaluate import Tracker, a_clip, scores
from test_pickles import told_of_damage

from tapnet.evaluate import Predicted, evaluate, folder, read_result


def predicted(t: int = 4) -> Predicted:
    flags = np.ones((1, t), bool)
    tracks = np.zeros((1, t, 2), np.float32)
    return Predicted(np.zeros((1, 3)), tracks, flags, flags.astype(np.float32), np.array([8, 8]))


NAMES = [
    "",
    "%",
    ".",
    "a",
    "a/b",
    "a%2Fb",
    "curves",
    "Curves",
    "%63urves",
    "curves.npz",
    "points",
    "result",
    "\u5b57" * 27,
    "\u5b57" * 28,
    "\u5b57" * 28 + "a",
    "x" * 251,
    "x" * 252,
    "x" * 300 + "/",
]


def test_every_name_has_a_file_of_its_own_that_the_folder_does_not_need(tmp_path: Path) -> None:
    for length, name in enumerate(NAMES):
        assert not folder.has(tmp_path, name)
        folder.save(tmp_path, name, predicted(length))
    (tmp_path / folder.CURVES).touch(exist_ok=False)
    for length, name in enumerate(NAMES):
        found = folder.load(tmp_path, name)
        assert found is not None
        assert found.tracks.shape[1] == length
    written = {path.name.lower() for path in tmp_path.iterdir()}
    assert len(written) == len(NAMES) + 1  # also where A and a are one


@pytest.mark.parametrize(
    ("name", "file"),
    [("a/b", "a%2Fb"), ("a clip", "a clip"), ("\u5b57", "%E5%AD%97"), ("x" * 241, "x" * 241)],
)
def test_predictions_of_earlier_versions_are_found(tmp_path: Path, name: str, file: str) -> None:
    folder.save(tmp_path, "any", predicted())
    (tmp_path / "any.npz").rename(tmp_path / f"{file}.npz")
    assert folder.has(tmp_path, name)


def test_a_clip_called_curves_is_scored_again_from_its_predictions(tmp_path: Path) -> None:
    path, out = tmp_path / "clips.pkl", tmp_path / "out"
    path.write_bytes(pickle.dumps({"curves": a_clip(), "b": a_clip()}))
    first = evaluate(path, Tracker(), out=out)
    assert scores(evaluate(path, Tracker(), out=out)) == scores(first)
    assert str(read_result(out).rows) == str(first.rows)


def test_a_damaged_byte_gives_other_numbers_or_is_named(tmp_path: Path) -> None:
    path, out = tmp_path / "clips.pkl", tmp_path / "out"
    path.write_bytes(pickle.dumps({"a": a_clip()}))
    evaluate(path, Tracker(), out=out)
    told = told_of_damage(out / "a.npz", lambda _: folder.load(out, "a"), every=7)
    assert told
    assert all("a.npz: damaged (" in line for line in told)
    told = told_of_damage(out / folder.CURVES, lambda _: read_result(out), every=29)
    assert told
    assert all("out: damaged result (" in line for line in told)


def test_curves_of_another_evaluation_are_damage(tmp_path: Path) -> None:
    path, out = tmp_path / "clips.pkl", tmp_path / "out"
    path.write_bytes(pickle.dumps({"a": a_clip(), "b": a_clip()}))
    evaluate(path, Tracker(), out=out)
    np.savez(out / folder.CURVES, size=np.zeros(1))
    with pytest.raises(ValueError, match=r"out: damaged result \(index 1 is out of bounds"):
        read_result(out)
