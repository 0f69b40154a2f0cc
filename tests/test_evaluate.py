"""Evaluating: counted by hand, resumed, never mixed, and always told with its protocol."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tapnet import evaluate as evaluation
from tapnet.evaluate import evaluate, report, score
from tapnet.structs import Prediction

T, H, W = 6, 32, 64  # 4 px of these in x are 16 of 256, 4 in y are 32


class Still:
    """Says that nothing moves and all is visible; remembers what it was given."""

    resolution = None
    online = False

    def __init__(self) -> None:
        self.calls: list[tuple[torch.Size, int]] = []

    def __call__(self, video: torch.Tensor, query_points: torch.Tensor) -> Prediction:
        self.calls.append((video.shape, query_points.shape[1]))
        xy = query_points[:, :, [2, 1]][:, :, None].expand(-1, -1, video.shape[1], -1)
        return Prediction(xy.clone(), torch.full(xy.shape[:3], -9.0))


@dataclass
class Tracker:
    model: Any = field(default_factory=Still)
    name: str = "still"
    resolution: tuple[int, int] | None = None


def a_clip(**changes: Any) -> dict[str, Any]:
    """Two points seen from frame 0: one stays; one moves 1 px right a frame, hidden on frame 4."""
    x = np.stack([np.full(T, 8.0), 8.0 + np.arange(T)])
    clip = {
        "video": np.zeros((T, H, W, 3), np.uint8),
        "points": np.stack([x / W, np.full((2, T), 8.0 / H)], axis=-1),
        "occluded": np.zeros((2, T), bool),
    }
    clip["occluded"][1, 4] = True
    return clip | changes


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "clips.pkl"
        path.write_bytes(pickle.dumps(content))
        return path

    return write


def test_scores_are_those_counted_by_hand(dataset: Callable[..., Path]) -> None:
    (row,) = evaluate(dataset({"a": a_clip()}), Tracker()).rows
    assert (row.name, row.points, row.frames) == ("a", 2, T)
    # 9 visible judged entries. Point 0: five right. Point 1: off by 4 8 12 - 20 px at 256x256.
    within = {1: 5, 2: 5, 4: 5, 8: 6, 16: 8}
    for d, right in within.items():
        assert row.scores[f"pts_within_{d}"] == right / 9
        assert row.scores[f"jaccard_{d}"] == right / (9 + 10 - right)  # 10 claimed visible
    assert row.scores["occlusion_accuracy"] == 9 / 10
    assert row.scores["average_pts_within_thresh"] == pytest.approx(29 / 45)


def test_annotation_and_occlusion_labels_decide_what_is_judged(
    dataset: Callable[..., Path],
) -> None:
    annotated = np.ones((2, T), bool)
    annotated[1, 1:] = False
    path = dataset(
        {
            "all": a_clip(),
            "one point": a_clip(annotated=annotated),
            "positions": a_clip(has_occlusion_labels=False),
            "nothing": a_clip(annotated=np.zeros((2, T), bool)),
            "hidden": a_clip(occluded=np.ones((2, T), bool)),
        }
    )
    result = evaluate(path, Tracker())
    scores = {row.name: row.scores for row in result.rows}
    assert scores["one point"]["average_pts_within_thresh"] == 1
    assert scores["one point"]["average_jaccard"] == 1
    plain, positions = scores["all"], scores["positions"]
    assert positions["average_pts_within_thresh"] == plain["average_pts_within_thresh"]
    for name in ("average_jaccard", "occlusion_accuracy", "jaccard_1"):
        assert np.isnan(positions[name])
    assert np.isnan(list(scores["nothing"].values())).all()
    delta = result.mean["average_pts_within_thresh"]
    assert delta.value == pytest.approx((29 / 45 + 1 + 29 / 45) / 3)
    assert (delta.count, delta.left_out) == (3, ("nothing", "hidden"))
    assert result.mean["average_jaccard"].left_out == ("positions", "nothing", "hidden")


def test_pck_t_is_judged_in_stored_pixels_where_the_area_is_known(
    dataset: Callable[..., Path],
) -> None:
    area = np.full(T, 156.25)  # 0.2 * 12.5 = 2.5 px: right on the steps 1 and 2 of 1 2 3 - 5
    result = evaluate(dataset({"a": a_clip(object_area=area), "b": a_clip()}), Tracker())
    assert result.mean["pck_t"].value == 7 / 9
    assert result.mean["pck_t"].left_out == ("b",)


def test_strided_queries_are_asked_and_judged(dataset: Callable[..., Path]) -> None:
    (row,) = evaluate(dataset({"a": a_clip()}), Tracker(), query_mode="strided").rows
    assert row.points == 4  # both points on frames 0 and 5
    # Asked on frame 5, point 1 is off by 20 16 12 8 - px on frames 0 to 4, one of them hidden.
    assert row.scores["pts_within_1"] == (5 + 5) / (9 + 9)
    assert row.scores["pts_within_16"] == (8 + 5 + 2) / (9 + 9)


@pytest.mark.parametrize("resize_filter", ["lanczos", "bilinear"])
def test_the_resolution_given_to_the_model_changes_no_score_of_a_right_model(
    dataset: Callable[..., Path], resize_filter: Any
) -> None:
    path = dataset({"a": a_clip()})
    native = evaluate(path, Tracker())
    assert native.protocol.resolution == "native"
    tracker = Tracker(resolution=(64, 32))
    resized = evaluate(path, tracker, resize_filter=resize_filter)
    assert tracker.model.calls == [((1, T, 64, 32, 3), 2)]
    assert resized.rows[0].scores == pytest.approx(native.rows[0].scores)
    assert resized.protocol.resolution == "64x32"
    assert resized.protocol.resize_filter == resize_filter
    evaluate(path, tracker, resolution=None)
    evaluate(path, tracker, resolution=(16, 16))
    assert [shape[2:4] for shape, _ in tracker.model.calls[1:]] == [(H, W), (16, 16)]


def test_points_go_to_the_model_in_calls_of_the_size_asked(dataset: Callable[..., Path]) -> None:
    tracker, path = Tracker(), dataset({"a": a_clip()})
    alone = evaluate(path, tracker, points_per_call=1)
    assert [count for _, count in tracker.model.calls] == [1, 1]
    assert alone.rows == evaluate(path, Tracker()).rows
    assert alone.protocol.points_per_call == "1"


# --------------------------------------------------------------------------- predictions on disk


class Interrupted(Still):
    """Fails on its second video, as by a power cut."""

    def __call__(self, video: torch.Tensor, query_points: torch.Tensor) -> Prediction:
        if self.calls:
            raise KeyboardInterrupt
        return super().__call__(video, query_points)


def test_an_interrupted_evaluation_goes_on_where_it_stopped(
    dataset: Callable[..., Path], tmp_path: Path
) -> None:
    path, out = dataset({"a/b": a_clip(), "c": a_clip()}), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        evaluate(path, Tracker(Interrupted()), out=out)
    with pytest.raises(FileNotFoundError, match="no prediction for 'c'; run the evaluation again"):
        score(path, out)
    tracker = Tracker()
    told: list[tuple[int, str]] = []
    result = evaluate(path, tracker, out=out, progress=lambda *now: told.append(now))
    assert len(tracker.model.calls) == 1  # only the second video
    assert told == [(1, "a/b"), (2, "c")]
    assert result == evaluate(path, Tracker()) == score(path, out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_mode": "strided"}, r"query_mode 'first' \(now 'strided'\)"),
        ({"resolution": (8, 8)}, r"resolution 'native' \(now '8x8'\)"),
        ({"points_per_call": 1}, r"points_per_call 'all' \(now '1'\)"),
        ({"tracker": Tracker(name="other")}, r"model 'still' \(now 'other'\)"),
    ],
)
def test_predictions_of_two_protocols_are_never_mixed(
    dataset: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = dataset({"a": a_clip()})
    evaluate(path, Tracker(), out=tmp_path / "out")
    with pytest.raises(ValueError, match=f"{message}.*; choose another folder"):
        evaluate(path, **({"tracker": Tracker(), "out": tmp_path / "out"} | changes))


def test_predictions_of_another_dataset_or_damaged_ones_are_not_scored(
    dataset: Callable[..., Path], tmp_path: Path
) -> None:
    path, out = dataset({"a": a_clip()}), tmp_path / "out"
    evaluate(path, Tracker(), out=out)
    (out / "a.npz").write_bytes(b"PK half")
    with pytest.raises(ValueError, match=r"a\.npz: damaged"):
        score(path, out)
    dataset({"a": a_clip(occluded=np.zeros((2, T), bool))})
    with pytest.raises(ValueError, match=r"expected predictions .*, got some for clips\.pkl"):
        score(path, out)
    (out / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match=r"settings\.json: expected the settings"):
        score(path, out)
    (out / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"got \.npz files without settings\.json"):
        evaluate(path, Tracker(), out=out)
    with pytest.raises(FileNotFoundError, match=r"settings\.json: no such file"):
        score(path, out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_mode": "last"}, "'first' or 'strided', got 'last'"),
        ({"resize_filter": "nearest"}, "'lanczos' or 'bilinear', got 'nearest'"),
        ({"resolution": (0, 8)}, "resolution: expected"),
        ({"points_per_call": 0}, "points_per_call: expected 1 or more, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    dataset: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(dataset({"a": a_clip()}), Tracker(), **changes)
    with pytest.raises(ValueError, match="expected one clip or more, got none"):
        evaluate(dataset({}), Tracker())


# --------------------------------------------------------------------------- what is told


class Trained(torch.nn.Module):
    resolution = None
    online = False

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor([weight], dtype=torch.float64))
        self.still = Still()

    def forward(self, video: torch.Tensor, query_points: torch.Tensor) -> Prediction:
        return self.still(video, query_points)


def test_the_protocol_tells_the_data_and_the_weights_by_their_content(
    dataset: Callable[..., Path],
) -> None:
    path = dataset({"a": a_clip()})
    one, same, other = (evaluate(path, Tracker(Trained(w))).protocol for w in (1.0, 1.0, 2.0))
    assert one == same
    assert one.weights_sha256 != other.weights_sha256
    assert (one.precision, one.device) == ("float64", "cpu")
    assert evaluate(path, Tracker()).protocol.weights_sha256 is None
    renamed = path.rename(path.with_name("b.pkl"))
    assert evaluate(renamed, Tracker()).protocol.dataset_sha256 == one.dataset_sha256
    changed = dataset({"a": a_clip(), "b": a_clip()})
    assert evaluate(changed, Tracker()).protocol.dataset_sha256 != one.dataset_sha256


def test_the_report_shows_protocol_scores_and_what_was_left_out(
    dataset: Callable[..., Path],
) -> None:
    path = dataset({"long name of a clip": a_clip(), "b": a_clip(has_occlusion_labels=False)})
    result = evaluate(path, Tracker(resolution=(16, 24)))
    text = report(result)
    head, table = text.split("\n\n")
    for fact in ("clips.pkl, 2 videos", "still", "first", "forward and backward", "16x24", "cpu"):
        assert fact in head
    assert "resized by lanczos" in head
    assert result.protocol.dataset_sha256[:16] in head
    lines = table.splitlines()
    assert lines[0].split() == [
        "video",
        "points",
        "frames",
        "AJ",
        "delta_avg",
        "OA",
        "<1",
        "<2",
        "<4",
        "<8",
        "<16",
    ]
    # Jaccard 5/14 5/14 5/14 6/13 8/11, see above; delta 29/45; 5/9 6/9 8/9 within.
    shown = ["45.2", "64.4", "90.0", "55.6", "55.6", "55.6", "66.7", "88.9"]
    assert lines[1].split()[-8:] == shown
    assert lines[2].split() == ["b", "2", "6", "-", "64.4", "-", *shown[3:]]
    assert lines[3].split() == ["mean", *shown]
    assert lines[4].split() == ["videos", "counted", "1", "2", "1", "2", "2", "2", "2", "2"]
    assert lines[5] == "mean Jaccard at 1 2 4 8 16 px: 35.7 35.7 35.7 46.2 72.7"
    assert lines[6] == "no AJ, OA (nothing to judge): b"
    assert len(lines) == 7
    assert len({len(line) for line in lines[:5]}) == 1  # columns are aligned


def test_json_holds_everything_and_no_nan(dataset: Callable[..., Path]) -> None:
    path = dataset({"a": a_clip(), "b": a_clip(has_occlusion_labels=False)})
    result = evaluate(path, Tracker())
    content = json.loads(result.to_json())
    assert content["protocol"]["query_mode"] == "first"
    assert content["videos"][1]["scores"]["average_jaccard"] is None
    assert content["mean"]["average_jaccard"] == {
        "value": result.rows[0].scores["average_jaccard"],
        "count": 1,
        "left_out": ["b"],
    }


def test_a_real_tracker_follows_a_moving_square(dataset: Callable[..., Path]) -> None:
    from tapnet import load

    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (64, 96 + T, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    frames = np.stack([texture[:, 2 * t : 2 * t + 192] for t in range(T)])  # moves left 2 px
    x = np.array([100.0, 60.0])[:, None] - 2 * np.arange(T)
    points = np.stack([x / 192, np.full(x.shape, 0.5)], axis=-1)
    path = dataset({"a": {"video": frames, "points": points, "occluded": np.zeros((2, T), bool)}})
    result = evaluate(path, load("klt"))
    assert result.mean["pts_within_1"].value == 1
    assert result.protocol.model == "klt"
    assert evaluation.evaluate(path, Tracker()).mean["pts_within_1"].value == 0
