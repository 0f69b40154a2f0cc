"""The reference's scores, by the way that users take: files read, predictions kept, then judged."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import vectors

from tapnet import metrics
from tapnet.data import Clip, TapVid
from tapnet.evaluate import Predicted, Result, Settings, folder, score
from tapnet.evaluate.protocol import protocol_of

SIZE = (256, 256)  # what the positions of the reference are pixels of


@dataclass(frozen=True)
class Asking(TapVid):
    """A pickle of which other queries are asked than those that its tracks give."""

    asked: tuple[np.ndarray, ...] = ()  # of each clip, [N, 3] (t, y, x)

    def __iter__(self) -> Iterator[Clip]:
        for clip, points in zip(super().__iter__(), self.asked, strict=True):
            yield replace(clip, query_points=points / np.array([1, *SIZE]))


def judged(
    dataset: TapVid,
    out: Path,
    settings: Settings,
    predictions: list[tuple[np.ndarray, np.ndarray]],
) -> Result:
    """The scores of (tracks [N, T, 2], visible [N, T]) of every track of every clip."""
    tracker = SimpleNamespace(model=None, name="reference", resolution=None)
    folder.claim(out, protocol_of(dataset, tracker, settings), dataset.path)
    for clip, (tracks, visible) in zip(dataset, predictions, strict=True):
        asked = clip.queries(SIZE, settings.query_mode)
        rows = asked.trackgroup
        confidence = np.zeros(visible[rows].shape, np.float32)
        folder.save(
            out,
            clip.name,
            Predicted(asked.query_points, tracks[rows], visible[rows], confidence, np.array(SIZE)),
        )
    return score(dataset, out)


def pickled(path: Path, tracks: np.ndarray, occluded: np.ndarray) -> Path:
    """The truth [B, N, T, ...] as TAP-Vid-DAVIS stores it; of the frames nothing is asked."""
    clips = {
        f"clip {i}": {
            "video": np.zeros((points.shape[1], 2, 2, 3), np.uint8),
            "points": points / SIZE[0],  # exact: a power of two
            "occluded": hidden,
        }
        for i, (points, hidden) in enumerate(zip(tracks, occluded, strict=True))
    }
    path.write_bytes(pickle.dumps(clips))
    return path


@pytest.mark.parametrize("path", vectors.all_of("metrics_*.npz"))
def test_tapvid_scores_of_files_are_those_of_the_reference(path: Path, tmp_path: Path) -> None:
    config, arrays = vectors.read(path)
    written = pickled(tmp_path / "clips.pkl", arrays["gt_tracks"], arrays["gt_occluded"])
    dataset = Asking(written, tuple(arrays["query_points"]))
    settings = Settings(query_mode=config["query_mode"])
    predictions = list(zip(arrays["pred_tracks"], ~arrays["pred_occluded"], strict=True))
    result = judged(dataset, tmp_path / "out", settings, predictions)
    for key, expected in arrays.items():
        kind, _, name = key.partition("|")
        if kind == "video":
            found = [row.scores[name] for row in result.rows]
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=name)
        if kind == "trackwise":
            rows = np.stack([row.by_point[name] for row in result.rows])
            np.testing.assert_allclose(rows, expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("path", vectors.all_of("aj_rd*.npz"))
def test_redetection_of_files_is_that_of_the_reference(path: Path, tmp_path: Path) -> None:
    config, arrays = vectors.read(path)
    truth, said = (arrays[f"{who}_tracks"].swapaxes(1, 2) for who in ("gt", "pred"))
    visible, claimed = (arrays[f"{who}_visible"].swapaxes(1, 2) for who in ("gt", "pred"))
    dataset = TapVid(pickled(tmp_path / "clips.pkl", truth, ~visible))
    predictions = list(zip(said, claimed, strict=True))
    result = judged(dataset, tmp_path / "out", Settings(), predictions)
    if config["kwargs"]:  # other thresholds than the evaluation's, which must then be our own
        expected = metrics.redetection(visible, truth, claimed, said)
    else:
        expected = {name.removeprefix("result|"): float(value) for name, value in arrays.items()
                    if name.startswith("result|")}  # fmt: skip
    for name in ("AJ_RD", *(f"AJ_RD_dmin{m}" for m in metrics.GAPS)):
        assert result.mean[name].value == pytest.approx(expected[name], rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("path", vectors.all_of("query_sampling.npz"))
def test_the_queries_asked_of_files_are_those_of_the_reference(path: Path, tmp_path: Path) -> None:
    _, arrays = vectors.read(path)
    tracks, occluded = arrays["target_points"][None], arrays["target_occluded"][None]
    (clip,) = TapVid(pickled(tmp_path / "clips.pkl", tracks, occluded))
    for name in {key.partition("|")[0] for key in arrays if "|" in key}:
        if name == "first":
            asked = clip.queries(SIZE)
        else:
            asked = clip.queries(SIZE, "strided", stride=int(name.removeprefix("strided")))
        np.testing.assert_allclose(asked.query_points, arrays[f"{name}|query_points"][0])
        np.testing.assert_allclose(asked.target_points, arrays[f"{name}|target_points"][0])
        np.testing.assert_array_equal(asked.occluded, arrays[f"{name}|occluded"][0])
