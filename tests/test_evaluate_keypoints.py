"""Joints that are asked for once: the reference's PCK from files, with and without the query."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import layouts
import numpy as np
import people
import pytest
import torch
import vectors

import tapnet
from tapnet import metrics
from tapnet.data import Dataset, TapVid, open_dataset
from tapnet.evaluate import Predicted, Result, Settings, evaluate, folder, report, score, table
from tapnet.evaluate.keypoints import score_clip
from tapnet.evaluate.page import find_runs, write_report
from tapnet.evaluate.protocol import protocol_of
from tapnet.metrics import ALPHAS
from tapnet.structs import Prediction


@dataclass
class Tracker:
    """Says where the joints are, as `positions` (x, y) per video, whatever it sees."""

    positions: list[np.ndarray]  # [J, T, 2] in shares of (width, height)
    name: str = "told"
    resolution: None = None
    model: Any = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.answer
        self.asked: list[tuple[torch.Size, np.ndarray]] = []

    def answer(self, video: torch.Tensor, query_points: torch.Tensor) -> Prediction:
        height, width = video.shape[2:4]
        positions = self.positions[len(self.asked)]
        self.asked.append((video.shape, query_points[0].numpy()))
        start = positions[:, 0] * [width, height]
        near = np.linalg.norm(start[:, None] - self.asked[-1][1][:, :0:-1], axis=-1).argmin(0)
        tracks = torch.from_numpy(positions[near] * [width, height])[None].float()
        return Prediction(tracks, torch.full(tracks.shape[:3], -9.0))


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {f"walk/person {seed}": people.person(seed) for seed in range(3)}


@pytest.fixture
def dataset(tmp_path: Path, drawn: dict[str, tuple[np.ndarray, np.ndarray]]) -> Dataset:
    return open_dataset(layouts.jhmdb(tmp_path / "jhmdb", drawn))


def shares(drawn: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [joints / [people.SIZE[1], people.SIZE[0]] for _, joints in drawn.values()]


def values(result: Result) -> dict[str, float]:
    return {name: 100 * mean.value for name, mean in result.mean.items()}


# --------------------------------------------------------------------------- the reference


@pytest.mark.parametrize("path", vectors.all_of("jhmdb_pck*.npz"))
def test_pck_of_files_and_kept_predictions_is_that_of_the_reference(
    path: Path, tmp_path: Path
) -> None:
    config, arrays = vectors.read(path)
    videos = {}
    for i in range(config["videos"]):
        length, size = arrays[f"v{i}|pred_pose"].shape[1], arrays[f"v{i}|im_size"]
        videos[f"wave/{i:03d}"] = np.zeros((length, *size, 3), "u1"), arrays[f"v{i}|gt_pose_orig"]
    dataset, out = open_dataset(layouts.jhmdb(tmp_path / "jhmdb", videos)), tmp_path / "out"
    tracker = SimpleNamespace(model=None, name="reference", resolution=None)
    folder.claim(out, protocol_of(dataset, tracker, Settings()), dataset.path)
    for i, clip in enumerate(dataset):
        size = np.array(arrays[f"v{i}|im_size"])
        asked = clip.queries((int(size[0]), int(size[1])))
        tracks = arrays[f"v{i}|pred_pose"][asked.trackgroup]
        unused = np.zeros(tracks.shape[:2])
        visible, confidence = unused.astype(bool), unused.astype(np.float32)
        said = Predicted(asked.query_points, tracks, visible, confidence, size)
        folder.save(out, clip.name, said)
    found = values(score(dataset, out))
    expected = {name[7:]: float(a) for name, a in arrays.items() if name.startswith("result|")}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_both_defects_of_the_reference_reader_would_show(
    dataset: Dataset, drawn: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    """Its queries were in pixels of the original video while the model saw 256x256."""
    tracker = Tracker(shares(drawn))
    result = evaluate(dataset, tracker)
    for (shape, asked), (_, joints) in zip(tracker.asked, drawn.values(), strict=True):
        assert shape == (1, 12, 256, 256, 3)
        inside = metrics.starts_inside(joints, people.SIZE)
        expected = joints[inside, 0] * [256 / people.SIZE[1], 256 / people.SIZE[0]]
        np.testing.assert_allclose(asked[:, :0:-1], expected, rtol=1e-5)
    assert set(values(result).values()) == {100.0}


# --------------------------------------------------------------------------- counted by hand


def test_the_query_frame_is_counted_and_left_out(tmp_path: Path) -> None:
    """One joint errs by 0.15 of the person's size on 2 of 4 frames, another by 0.6; 13 are right.

    The box is 30 x 40: a person's size is 0.6 * 50 = 30 px.
    """
    joints = np.linspace([45, 30], [75, 70], 15)[:, None].repeat(4, 1)
    said = joints.copy()
    said[2, 2:, 0] += 4.5
    said[3, 1:, 1] += 18
    frames = np.zeros((4, *people.SIZE, 3), np.uint8)
    path = layouts.jhmdb(tmp_path, {"wave/a": (frames, joints)})
    found = values(evaluate(open_dataset(path), Tracker([said / [160, 120]]), resolution="native"))
    for a in ALPHAS:
        small, large = (1, 1) if a >= 0.2 else (0.5, 1 / 3), 0.25
        assert found[f"PCK@{a}"] == pytest.approx(100 * (13 + small[0] + large) / 15)
        assert found[f"PCK@{a}_later"] == pytest.approx(100 * (13 + small[1] + 0) / 15)


def test_a_joint_that_never_counts_is_never_right_and_frames_are_counted_not_videos(
    tmp_path: Path,
) -> None:
    videos = {}
    for name, length in (("wave/a", 2), ("wave/b", 8)):
        joints = np.linspace([40, 30], [90, 80], 15)[:, None].repeat(length, 1)
        joints[14] = [-5, 50]  # outside from the start on
        videos[name] = np.zeros((length, *people.SIZE, 3), np.uint8), joints
    said = [joints / [160, 120] for _, joints in videos.values()]
    said[1] = said[1] + np.array([0, 0.5])  # all wrong
    dataset = open_dataset(layouts.jhmdb(tmp_path, videos))
    tracker = Tracker(said)
    # Where b's joints begin cannot be told from a wrong start: ask by the true positions.
    tracker.positions[1][:, 0] = said[1][:, 0] - [0, 0.5]
    result = evaluate(dataset, tracker, resolution="native")
    # 14 joints: right on 2 of 2 frames of a, on 1 of 8 of b
    assert values(result)["PCK@0.5"] == pytest.approx(100 * (14 * 3 / 10) / 15)
    assert values(result)["PCK@0.5_later"] == pytest.approx(100 * (14 * 1 / 8) / 15)
    alone = [row.scores["PCK@0.5"] for row in result.rows]
    assert alone == pytest.approx([1, 1 / 8])  # of one video: of the joints it asks for


def test_videos_in_which_nothing_counts_have_no_score_and_no_film(tmp_path: Path) -> None:
    joints = np.linspace([40, 30], [90, 80], 15)[:, None].repeat(4, 1)
    late = joints.copy()
    late[:, 0] = [-20, 50]  # walks in after frame 0
    videos = {"wave/a": joints, "wave/late": late, "wave/short": joints[:, :1]}
    frames = np.zeros((4, *people.SIZE, 3), np.uint8)
    dataset = open_dataset(
        layouts.jhmdb(tmp_path, {k: (frames[: j.shape[1]], j) for k, j in videos.items()})
    )
    result = evaluate(dataset, tapnet.load("still"), out=tmp_path / "runs" / "still")
    alone = {row.name.split("/")[-1]: row.scores for row in result.rows}
    assert alone["a"]["PCK@0.1_later"] == 1
    assert np.isnan(list(alone["late"].values())).all()
    assert (alone["short"]["PCK@0.1"], result.mean["PCK@0.1"].value) == (1, 1)
    assert np.isnan(alone["short"]["PCK@0.1_later"])
    assert write_report(find_runs([tmp_path / "runs"]), tmp_path / "report") == []


def test_whether_a_joint_is_said_to_be_visible_does_not_matter(
    dataset: Dataset, drawn: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    class Blind(Tracker):
        def answer(self, video: torch.Tensor, query_points: torch.Tensor) -> Prediction:
            said = super().answer(video, query_points)
            return Prediction(said.tracks, -said.occlusion)

    assert set(values(evaluate(dataset, Blind(shares(drawn)))).values()) == {100.0}


# --------------------------------------------------------------------------- trackers, and errors


def test_trackers_follow_people_and_their_table_tells_how_well(
    dataset: Dataset, drawn: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    still, klt = (
        evaluate(dataset, tapnet.load(name, device="cpu"), out=tmp_path / name)
        for name in ("still", "klt")
    )
    by_metric = metrics.pck(
        (joints[:, :1].repeat(joints.shape[1], 1), joints, people.SIZE)
        for _, joints in drawn.values()
    )
    found = values(still)
    assert {name: found[name] for name in by_metric} == pytest.approx(by_metric, abs=1e-3)
    for a in ALPHAS:
        assert found[f"PCK@{a}_later"] < found[f"PCK@{a}"]
    assert values(klt)["PCK@0.1_later"] > found["PCK@0.1_later"] + 20
    assert repr(score(dataset, tmp_path / "klt")) == repr(klt)  # NaN and all
    write_report([(tmp_path / r.protocol.model, r) for r in (still, klt)], tmp_path / "report")
    plot = (tmp_path / "report" / "plots" / "1-keypoints.svg").read_text(encoding="utf-8")
    assert f"klt: {values(klt)['PCK@0.1_later']:.1f} % within 0.1" in plot
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "later: without the query frame, on which every tracker is right" in page
    text = table([still, klt])
    assert "@0.1 later" in text
    assert "jhmdb (jhmdb)" in text
    assert f"{found['PCK@0.5_later']:.1f}" in report(still)
    written = (tmp_path / "klt" / "points.csv").read_text().splitlines()
    header, *lines = (line for line in written if not line.startswith("#"))
    assert {"track", "PCK@0.1", "PCK@0.1_later"} <= set(header.split(","))
    assert len(lines) == sum(row.points for row in klt.rows)


def test_other_queries_and_other_clips_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    tracker = tapnet.load("still", device="cpu")
    with pytest.raises(ValueError, match="expected 'first' for keypoints"):
        evaluate(dataset, tracker, query_mode="strided", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()  # before anything is tracked
    (clip, *_) = TapVid(a_pickle(tmp_path / "a.pkl"))
    size = np.array([8, 8])
    said = Predicted(np.zeros((1, 3)), np.zeros((1, 2, 2)), *np.zeros((2, 1, 2)), size)
    with pytest.raises(ValueError, match="expected the person's size"):
        score_clip(clip, said, "first")


def a_pickle(path: Path) -> Path:
    import pickle

    clip = {
        "video": np.zeros((2, 8, 8, 3), np.uint8),
        "points": np.zeros((1, 2, 2)),
        "occluded": np.zeros((1, 2), bool),
    }
    path.write_bytes(pickle.dumps({"a": clip}))
    return path
