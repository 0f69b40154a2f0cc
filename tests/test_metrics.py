"""TAP-Vid, JHMDB and re-detection scores: by hand, by changing each mask, by the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vectors

from tapnet import geometry, metrics

# One point, query on frame 1 of 6. Distance to the truth by frame: 0 0 3 0 9 0.
QUERY = np.array([[1.0, 10.0, 10.0]])
TRUE = np.full((1, 6, 2), 10.0)
PREDICTED = TRUE + np.array([0, 0, 3, 0, 9, 0])[:, None] * [1.0, 0.0]
GONE = np.array([[False, False, False, True, False, False]])
SAID_GONE = np.array([[False, False, False, False, False, True]])


def score(**changes: Any) -> dict[str, Any]:
    arguments = {
        "query_points": QUERY,
        "gt_occluded": GONE,
        "gt_tracks": TRUE,
        "pred_occluded": SAID_GONE,
        "pred_tracks": PREDICTED,
        "query_mode": "first",
    }
    return metrics.tapvid(**(arguments | changes))


def test_scores_of_one_point_are_those_counted_by_hand() -> None:
    # Judged: frames 2 3 4 5. Visible: 2 4 5, with errors 3 9 0. Claimed visible: 2 3 4.
    found = score()
    assert found["occlusion_accuracy"] == 2 / 4  # right on 2 and 4
    for d, near in {1: 1, 2: 1, 4: 2, 8: 2, 16: 3}.items():
        assert found[f"pts_within_{d}"] == near / 3
    # True positives: frame 2 from 4 px on, frame 4 from 16 px on; frame 5 was not claimed.
    # False positives: frame 3 always, frames 2 and 4 until they are near enough.
    assert found["jaccard_1"] == found["jaccard_2"] == 0 / (3 + 3)
    assert found["jaccard_4"] == found["jaccard_8"] == 1 / (3 + 2)
    assert found["jaccard_16"] == 2 / (3 + 1)
    assert found["average_jaccard"] == pytest.approx((0 + 0 + 0.2 + 0.2 + 0.5) / 5)
    assert found["average_pts_within_thresh"] == pytest.approx((1 + 1 + 2 + 2 + 3) / 15)


def test_a_point_exactly_at_the_threshold_is_not_within_it() -> None:
    found = score(pred_tracks=np.add(TRUE, (2.0, 0.0)))
    assert found["pts_within_2"] == 0
    assert found["pts_within_4"] == 1


def test_strided_also_judges_the_frames_before_the_query_but_never_the_query_itself() -> None:
    wrong_before = PREDICTED.copy()
    wrong_before[:, 0] += 100
    assert score(pred_tracks=wrong_before) == score()
    assert score(query_mode="strided")["pts_within_1"] == 2 / 4
    assert score(query_mode="strided", pred_tracks=wrong_before)["pts_within_1"] == 1 / 4
    wrong_at_the_query = PREDICTED.copy()
    wrong_at_the_query[:, 1] += 100
    for mode in ("first", "strided"):
        changed = score(query_mode=mode, pred_tracks=wrong_at_the_query)
        assert changed == score(query_mode=mode)


def test_a_query_between_two_frames_belongs_to_the_even_one() -> None:
    frames = metrics.judged_frames(np.array([[0.5, 0, 0], [1.5, 0, 0], [2.5, 0, 0]]), 4, "strided")
    np.testing.assert_array_equal(frames.argmin(axis=1), [0, 2, 2])


def test_entries_without_a_label_are_not_judged() -> None:
    annotated = np.array([[True, True, True, False, False, True]])
    found = score(annotated=annotated)  # frames 2 and 5, both visible, errors 3 and 0
    assert found["occlusion_accuracy"] == 1 / 2
    assert found["pts_within_1"] == 1 / 2
    assert found["jaccard_4"] == 1 / 2  # frame 3, the false positive, has no label
    nowhere = TRUE.copy()
    nowhere[~annotated] = np.nan
    assert score(annotated=annotated, gt_tracks=nowhere) == found


def test_the_predicted_flag_changes_jaccard_and_accuracy_but_not_pts_within() -> None:
    shy = score(pred_occluded=np.ones_like(GONE))
    bold = score(pred_occluded=np.zeros_like(GONE))
    assert shy["average_pts_within_thresh"] == bold["average_pts_within_thresh"]
    assert shy["average_jaccard"] == 0 < bold["average_jaccard"]
    assert (shy["occlusion_accuracy"], bold["occlusion_accuracy"]) == (1 / 4, 3 / 4)


def test_a_lost_prediction_is_a_miss() -> None:
    lost = np.full_like(PREDICTED, np.nan)
    assert score(pred_tracks=lost)["average_pts_within_thresh"] == 0


def test_thresholds_name_their_scores() -> None:
    found = score(thresholds=(3, 10))
    assert set(found) == {
        *("occlusion_accuracy", "average_jaccard", "average_pts_within_thresh"),
        *("pts_within_3", "pts_within_10", "jaccard_3", "jaccard_10"),
    }
    assert found["average_pts_within_thresh"] == pytest.approx((1 / 3 + 1) / 2)


def test_trackwise_scores_do_not_depend_on_the_other_tracks() -> None:
    pair = {
        "query_points": np.concatenate([QUERY, np.add(QUERY, (3, 0, 0))]),
        "gt_occluded": np.concatenate([GONE, GONE]),
        "gt_tracks": np.concatenate([TRUE, TRUE]),
        "pred_occluded": np.concatenate([SAID_GONE, GONE]),
        "pred_tracks": np.concatenate([PREDICTED, PREDICTED]),
    }
    found = score(**pair, trackwise=True)
    for name, alone in score(trackwise=True).items():
        assert found[name].shape == (2,)
        assert found[name][0] == alone[0] == score()[name]


def test_nothing_to_judge_is_no_score() -> None:
    empty = np.zeros_like(GONE)
    assert all(np.isnan(value) for value in score(annotated=empty).values())
    no_points = {"query_points": np.zeros((0, 3)), "gt_tracks": np.zeros((0, 6, 2))}
    no_points |= {"pred_tracks": np.zeros((0, 6, 2)), "gt_occluded": np.zeros((0, 6), bool)}
    assert np.isnan(score(**no_points, pred_occluded=np.zeros((0, 6), bool))["average_jaccard"])


def test_what_is_no_flag_or_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected bool, got float64"):
        score(pred_occluded=np.zeros((1, 6)))
    with pytest.raises(ValueError, match=r"pred_tracks: expected \[N T 2\] with N=1, T=6"):
        score(pred_tracks=PREDICTED[:, :5])
    with pytest.raises(ValueError, match="expected 'first' or 'strided', got 'last'"):
        score(query_mode="last")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32])
def test_scores_do_not_depend_on_what_the_positions_are_stored_as(dtype: type) -> None:
    """A difference of -9 wraps around in uint8, the square of 200 in int16."""
    for distance in (-9, 3, 200):
        pred_tracks = np.add(TRUE, (max(distance, 0), 0))
        gt_tracks = np.add(TRUE, (max(-distance, 0), 0))
        stored = {"gt_tracks": gt_tracks.astype(dtype), "pred_tracks": pred_tracks.astype(dtype)}
        assert score(**stored) == score(gt_tracks=gt_tracks, pred_tracks=pred_tracks)


@pytest.mark.parametrize("dtypes", [("f4", "f4"), ("f4", "f8"), ("f8", "f8"), ("i8", "f4")])
def test_distances_are_as_precise_as_the_positions(dtypes: tuple[str, str]) -> None:
    a, b = (np.arange(20).reshape(10, 2).astype(dtype) ** 2 / 7 for dtype in dtypes)
    distance = metrics.squared_distance(a, b[::-1])
    np.testing.assert_array_equal(distance, np.sum(np.square(a - b[::-1]), axis=-1), strict=True)


@pytest.mark.parametrize("shape", [(1, 3), (3,), (3, 2), (1, 3, 3), (2, 3)])
def test_queries_that_are_not_those_of_the_tracks_are_refused(shape: tuple[int, ...]) -> None:
    gone, tracks = np.zeros((3, 6), bool), np.zeros((3, 6, 2))
    asked = np.zeros(shape)
    with pytest.raises(ValueError, match=r"query_points: expected \[N 3\] with N=3, got \["):
        metrics.tapvid(asked, gone, tracks, gone, tracks, "first")
    with pytest.raises(ValueError, match=r"query_points: expected \[N 3\] with N=3, got \["):
        metrics.within_object(asked, gone, tracks, tracks, np.ones(6), "first")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("query_mode", ["first", "strided"])
def test_scores_equal_those_of_plain_loops(query_mode: metrics.QueryMode, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_points, n_frames, d = 5, 9, 4
    t = rng.integers(0, 2 * n_frames - 4, (n_points, 1)) / 2  # some between two frames
    query_points = np.concatenate([t, np.zeros((n_points, 2))], axis=1)
    true = rng.integers(0, 256, (n_points, n_frames, 2)).astype(float)
    predicted = true + rng.integers(-4, 5, true.shape)
    gone, said_gone, annotated = rng.uniform(size=(3, n_points, n_frames)) < [
        [[0.4]],
        [[0.4]],
        [[0.8]],
    ]
    visible = near_visible = right = wrong = 0
    for n in range(n_points):
        for frame in range(n_frames):
            asked = round(query_points[n, 0])
            early = frame <= asked if query_mode == "first" else frame == asked
            if early or not annotated[n, frame]:
                continue
            (x, y), (u, v) = true[n, frame], predicted[n, frame]
            near = not gone[n, frame] and (x - u) ** 2 + (y - v) ** 2 < d * d
            visible += not gone[n, frame]
            near_visible += near
            right += near and not said_gone[n, frame]
            wrong += not near and not said_gone[n, frame]
    found = metrics.tapvid(
        *(query_points, gone, true, said_gone, predicted), query_mode, annotated=annotated
    )
    assert found["pts_within_4"] == near_visible / visible
    assert found["jaccard_4"] == right / (visible + wrong)


# --------------------------------------------------------------------------- other scores


def test_pck_of_two_joints_is_that_counted_by_hand() -> None:
    true = np.zeros((3, 2, 2))
    true[:, 0] = [[0, 0], [3, 4], [10, 4]]  # the third starts outside, at x = width
    true[:, 1] = [[0, 0], [6, 8], [1, 1]]
    predicted = true.copy()
    predicted[1] += [0, 0.9]  # of 0.6 * 5 = 3: 0.3; of 0.6 * 10 = 6: 0.15
    found = metrics.pck([(predicted, true, (20, 10))], alphas=(0.1, 0.2, 0.31))
    assert found == pytest.approx(
        {
            "PCK@0.1": (100 + 0 + 0) / 3,
            "PCK@0.2": (100 + 50 + 0) / 3,
            "PCK@0.31": (100 + 100 + 0) / 3,
        }
    )


def test_pck_does_not_depend_on_what_the_positions_are_stored_as() -> None:
    true = np.array([[[0, 0], [0, 0]], [[3, 4], [6, 8]]])
    predicted = np.add(true, [[0, 0], [0, 1]])
    found = [
        metrics.pck([(true.astype(dtype), predicted.astype(dtype), (20, 10))])
        for dtype in (np.uint8, np.float64)
    ]
    assert found[0] == found[1]


def test_pck_refuses_videos_with_other_joints() -> None:
    pose = np.zeros((3, 2, 2))
    with pytest.raises(ValueError, match="video 1: expected 3 joints like the first, got 2"):
        metrics.pck([(pose, pose, (9, 9)), (pose[:2], pose[:2], (9, 9))])


def test_within_object_compares_with_the_root_of_the_area() -> None:
    area = np.array([100.0, 100, 100, 100, 400, 100])  # limits 2 2 2 2 4 2
    shifted = np.add(TRUE, (3.0, 0.0))
    found = metrics.within_object(QUERY, GONE, TRUE, shifted, area, "first")
    assert found == 1 / 3  # frames 2, 4, 5 are judged
    wide = metrics.within_object(QUERY, GONE, TRUE, shifted, area, "first", alpha=0.31)
    assert wide == 1
    only = np.array([[False, False, True, False, False, False]])
    assert metrics.within_object(QUERY, GONE, TRUE, shifted, area, "first", annotated=only) == 0


def test_only_a_gap_longer_than_all_before_it_is_a_reappearance() -> None:
    visible = np.array([[0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1]], bool)
    found = metrics.reappearances(visible)  # gaps of 2 1 2 3 frames
    np.testing.assert_array_equal(found.index[1], [2, 11])
    np.testing.assert_array_equal(found.durations, [2, 3])


def test_a_gap_without_labels_is_no_gap_and_lasts_from_its_first_label() -> None:
    visible = np.array([[1, 0, 0, 0, 1, 0, 1]], bool)
    annotated = np.array([[1, 0, 1, 0, 1, 0, 1]], bool)
    found = metrics.reappearances(visible, annotated)
    np.testing.assert_array_equal(found.index[1], [4])
    np.testing.assert_array_equal(found.durations, [2])  # known as hidden on frame 2


def test_redetection_of_one_gap_is_that_counted_by_hand() -> None:
    visible = np.array([[1, 0, 1, 1]], bool)
    tracks = np.zeros((1, 4, 2))
    predicted = tracks + np.array([0, 0, 4, 9])[:, None] * [1.0, 0.0]
    found = metrics.redetection(
        visible,
        tracks,
        np.ones_like(visible),
        predicted,
        dist_thresholds=(2, 4),
        d_min_thresholds=(1, 2),
    )
    assert found["AJ_RD_D2_dmin1"] == 0
    assert found["AJ_RD_D4_dmin1"] == 1 / 3  # 1 right of 2 visible and 1 false; 4 is within 4
    assert found["AJ_RD_dmin1"] == found["AJ_RD"] == 1 / 6
    assert np.isnan(found["AJ_RD_dmin2"])


def test_calibration_is_zero_when_confidence_is_the_share_that_is_right() -> None:
    confidence = np.array([0.25, 0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75])
    right = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert metrics.calibration(confidence, right) == 0
    assert metrics.calibration(np.ones(8), right) == 0.5
    assert np.isnan(metrics.calibration(np.zeros(0), np.zeros(0, bool)))


def test_a_video_without_a_score_is_left_out_counted_and_named() -> None:
    rows = {"a": {"AJ": 0.5}, "b": {"AJ": float("nan")}, "c": {"AJ": 0.7}, "d": {"OA": 1.0}}
    found = metrics.mean(rows)
    assert found["AJ"] == metrics.Mean(pytest.approx(0.6), 2, ("b", "d"))
    assert found["OA"] == metrics.Mean(1.0, 1, ("a", "b", "c"))


# --------------------------------------------------------------------------- the reference


@pytest.mark.parametrize("trackwise", [False, True])
@pytest.mark.parametrize("path", vectors.all_of("metrics_tapvid_*.npz"))
def test_tapvid_scores_equal_the_reference(path: Path, trackwise: bool) -> None:
    config, arrays = vectors.read(path)
    names = ("query_points", "gt_occluded", "gt_tracks", "pred_occluded", "pred_tracks")
    given = [arrays[name] for name in names]
    found = metrics.tapvid(*given, config["query_mode"], trackwise=trackwise)
    prefix = "trackwise|" if trackwise else "video|"
    assert set(found) == {name.removeprefix(prefix) for name in arrays if name.startswith(prefix)}
    for name, value in found.items():
        np.testing.assert_allclose(value, arrays[prefix + name], atol=1e-12, err_msg=name)
    one_by_one = metrics.tapvid(*(a[0] for a in given), config["query_mode"], trackwise=trackwise)
    for name, value in one_by_one.items():
        np.testing.assert_array_equal(value, found[name][0])


@pytest.mark.parametrize("path", vectors.all_of("jhmdb_pck*.npz"))
def test_pck_equals_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    found = metrics.pck(
        (arrays[f"v{i}|pred_pose"], arrays[f"v{i}|gt_pose_orig"], tuple(arrays[f"v{i}|im_size"]))
        for i in range(config["videos"])
    )
    expected = {name[7:]: float(a) for name, a in arrays.items() if name.startswith("result|")}
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("path", vectors.all_of("aj_rd*.npz"))
def test_redetection_equals_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    names = ("gt_visible", "gt_tracks", "pred_visible", "pred_tracks")
    given = [arrays[name].swapaxes(1, 2) for name in names]  # theirs are [B, T, N]
    found = metrics.redetection(*given, **(config["kwargs"] or {}))
    expected = {name[7:]: float(a) for name, a in arrays.items() if name.startswith("result|")}
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)
    events = metrics.reappearances(given[0])
    b, n, t = events.index
    assert sorted(zip(b, t, n, events.durations, strict=True)) == sorted(
        zip(
            *(arrays[f"raw|{k}"] for k in ("index_b", "index_t", "index_n", "durations")),
            strict=True,
        )
    )


@pytest.mark.parametrize("path", vectors.all_of("grid_coordinates*.npz"))
def test_rescaling_points_equals_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    count = {"xy": 0, "tyx": 0}
    for kind, old, new in config["cases"]:
        name = f"{kind}{count[kind]}"
        count[kind] += 1
        # theirs: (width, height) for xy, (frames, height, width) for tyx
        sizes = [tuple(size[::-1]) if kind == "xy" else tuple(size[1:]) for size in (old, new)]
        found = geometry.rescale(arrays[f"{name}|in"], *sizes)
        np.testing.assert_allclose(found, arrays[f"{name}|out"], rtol=1e-12, err_msg=name)
    assert sum(count.values()) >= 5
