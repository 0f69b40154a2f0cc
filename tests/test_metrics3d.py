"""TAPVid-3D scores: by hand, by changing what they should not see, by the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vectors

from tapnet import metrics3d

# One point, 2 m in front of a camera of 200 px focal length: 1 px is 1 cm.
TRUE = np.array([[[0.0, 0, 2]] * 4])
INTRINSICS = np.array([200.0, 200, 128, 128])
GONE = np.array([[False, False, False, True]])


def score(**changes: Any) -> dict[str, Any]:
    arguments = {
        "gt_occluded": GONE,
        "gt_tracks": TRUE,
        "pred_occluded": np.zeros_like(GONE),
        "pred_tracks": TRUE + np.array([0, 0.015, 0.1, 0])[:, None] * [1.0, 0, 0],
        "intrinsics": INTRINSICS,
        "scaling": "none",
    }
    return metrics3d.tapvid3d(**(arguments | changes))


def test_scores_of_one_point_are_those_counted_by_hand() -> None:
    # Visible on frames 0 1 2, with errors of 0, 1.5 and 10 px; frame 3 is a false positive.
    found = score()
    assert found["occlusion_accuracy"] == 3 / 4
    assert [found[f"pts_within_{d}"] for d in (1, 2, 4, 8, 16)] == [1 / 3, 2 / 3, 2 / 3, 2 / 3, 1]
    assert found["jaccard_1"] == 1 / (3 + 3)
    assert found["jaccard_16"] == 3 / (3 + 1)


def test_a_pixel_spans_more_where_the_point_is_far_but_a_fixed_distance_does_not() -> None:
    far = TRUE * [1, 1, 2]
    moved = np.add(far, (0.015, 0, 0))
    near = np.add(TRUE, (0.015, 0, 0))
    assert score(gt_tracks=far, pred_tracks=moved)["pts_within_1"] == 1
    assert score(gt_tracks=TRUE, pred_tracks=near)["pts_within_1"] == 0
    for true, said in ((far, moved), (TRUE, near)):
        found = score(gt_tracks=true, pred_tracks=said, fixed=True)
        assert (found["pts_within_1"], found["pts_within_2"]) == (0, 1)  # 1 and 4 cm


@pytest.mark.parametrize("scaling", ["median", "mean", "median_on_queries", "per_trajectory"])
def test_the_unit_of_the_prediction_does_not_matter_when_it_is_scaled(scaling: str) -> None:
    query_points = np.array([[1.0, 0, 0]])
    found = score(pred_tracks=TRUE * 7, scaling=scaling, query_points=query_points)
    assert found["average_pts_within_thresh"] == 1
    assert score(pred_tracks=TRUE * 7)["average_pts_within_thresh"] == 0


def test_reproduce_2d_judges_directions_alone() -> None:
    wrong_depth = TRUE * np.array([1, 2, 3, 4.0])[:, None]
    assert score(pred_tracks=wrong_depth, scaling="reproduce_2d")["pts_within_1"] == 1
    assert score(pred_tracks=wrong_depth, scaling="median")["pts_within_1"] < 1


def test_neighbours_are_judged_with_a_track() -> None:
    pair = {
        "gt_tracks": np.concatenate([TRUE, np.add(TRUE, (0.03, 0, 0))]),
        "gt_occluded": np.zeros((2, 4), bool),
        "pred_occluded": np.zeros((2, 4), bool),
        "query_points": np.zeros((2, 3)),
        "trackwise": True,
    }
    wrong_second = np.concatenate([TRUE, np.add(TRUE, (1.0, 0, 0))])
    alone = score(**pair, pred_tracks=wrong_second, scaling="per_trajectory")
    together = score(**pair, pred_tracks=wrong_second, scaling="local_neighborhood")
    np.testing.assert_array_equal(alone["pts_within_1"], [1, 0])
    np.testing.assert_array_equal(together["pts_within_1"], [0.5, 0.5])


def test_nothing_visible_in_both_is_no_score_by_distance() -> None:
    found = score(pred_occluded=np.ones_like(GONE), scaling="median")
    assert found["pts_within_16"] == 0
    everything = score(gt_occluded=np.ones_like(GONE))
    assert np.isnan(everything["average_pts_within_thresh"])


@pytest.mark.parametrize("scaling", ["median", "per_trajectory", "local_neighborhood"])
def test_no_tracks_have_no_scores(scaling: str) -> None:
    none = {
        "gt_tracks": np.zeros((0, 4, 3)),
        "pred_tracks": np.zeros((0, 4, 3)),
        "gt_occluded": np.zeros((0, 4), bool),
        "pred_occluded": np.zeros((0, 4), bool),
        "query_points": np.zeros((0, 3)),
    }
    found = score(**none, scaling=scaling, trackwise=True)
    assert {value.shape for value in found.values()} == {(0,)}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="no scaling 'best': there are median, mean"):
        score(scaling="best")
    with pytest.raises(ValueError, match=r"query_points: expected \[1 3\], got none"):
        score(scaling="per_trajectory")
    for t in (4, -1, np.nan):
        with pytest.raises(ValueError, match=r"query_points: expected t in 0\.\.3"):
            score(scaling="per_trajectory", query_points=np.array([[t, 0, 0]]))
    with pytest.raises(ValueError, match="expected trackwise=True"):
        score(scaling="local_neighborhood", query_points=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="pred_occluded: expected bool, got float64"):
        score(pred_occluded=np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"pred_tracks: expected \[N T 3\] with N=1, T=4"):
        score(pred_tracks=TRUE[:, :3])


def test_intrinsics_follow_the_short_side() -> None:
    scaled = metrics3d.scaled_intrinsics(np.array([1000.0, 1000, 960, 540]), (1080, 1920))
    np.testing.assert_allclose(scaled, np.array([1000, 1000, 960, 540]) * 256 / 1080)


def cases(arrays: dict[str, np.ndarray]) -> set[str]:
    """The combinations that a file has results of: scaling|video or trackwise|pixel or fixed."""
    return {n.rpartition("|")[0] for n in arrays if n.count("|") == 3}


@pytest.mark.parametrize("path", vectors.all_of("tapvid3d*.npz"))
def test_scores_equal_the_reference(path: Path) -> None:
    _, arrays = vectors.read(path)
    names = ("gt_occluded", "gt_tracks", "pred_occluded", "pred_tracks")
    assert len(cases(arrays)) >= 10
    for case in cases(arrays):
        scaling, over, threshold = case.split("|")
        found = metrics3d.tapvid3d(
            *(arrays[name] for name in names),
            arrays["intrinsics_params"],
            scaling=scaling,  # type: ignore[arg-type]
            query_points=arrays["query_points"],
            fixed=threshold == "fixed",
            trackwise=over == "trackwise",
        )
        for name, value in found.items():
            expected = np.squeeze(arrays[f"{case}|{name}"])
            np.testing.assert_allclose(value, expected, atol=1e-9, err_msg=f"{case} {name}")
