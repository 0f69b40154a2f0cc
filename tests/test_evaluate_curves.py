"""What a report draws: the same numbers as the scores, counted another way."""

from __future__ import annotations

import numpy as np
import pytest

from tapnet import metrics
from tapnet.evaluate import curves
from tapnet.evaluate.curves import ERRORS, GAPS, SINCE, Judged, longest_gaps, median_errors

N, T = 7, 40


def some(seed: int = 0, **changes: object) -> tuple[Judged, dict[str, np.ndarray]]:
    """Predictions of some points, and their scores one by one by `metrics.tapvid`."""
    rng = np.random.default_rng(seed)
    occluded = rng.uniform(size=(N, T)) < 0.3
    truth = rng.uniform(0, 256, (N, T, 2))
    said = truth + rng.normal(size=(N, T, 2)) * 2.0 ** rng.integers(-2, 6, (N, T, 1))
    claimed = rng.uniform(size=(N, T)) < 0.7
    annotated = rng.uniform(size=(N, T)) < 0.9
    queries = np.stack([rng.integers(0, 20, N), np.zeros(N), np.zeros(N)], axis=-1).astype(float)
    arguments = (queries, occluded, truth, ~claimed, said, "first")
    seen = Judged(
        judged=metrics.judged_frames(queries, T, "first") & annotated,
        occluded=occluded,
        claimed=claimed,
        squared=metrics.squared_distance(said, truth),
        confidence=rng.uniform(size=(N, T)),
        query_frames=queries[:, 0].astype(int),
        labelled=annotated,
        has_occlusion_labels=True,
    )
    scores = {
        "video": metrics.tapvid(
            *arguments, annotated=annotated, thresholds=tuple(curves.DISTANCES)
        ),
        "points": metrics.tapvid(*arguments, annotated=annotated, trackwise=True),
    }
    return Judged(**{**vars(seen), **changes}), scores


def test_the_threshold_curves_are_the_scores_at_every_threshold() -> None:
    seen, scores = some()
    found = curves.curves(seen, scores["points"]["average_jaccard"])
    within = [scores["video"][f"pts_within_{d}"] for d in curves.DISTANCES]
    jaccard = [scores["video"][f"jaccard_{d}"] for d in curves.DISTANCES]
    np.testing.assert_allclose(found["within"], within)
    np.testing.assert_allclose(found["jaccard"], jaccard)
    assert set(metrics.THRESHOLDS) <= set(curves.DISTANCES)


def test_a_point_exactly_at_a_threshold_is_not_within_it() -> None:
    seen, scores = some()
    seen = Judged(**{**vars(seen), "squared": np.full((N, T), 16.0)})
    within = curves.curves(seen, scores["points"]["average_jaccard"])["within"]
    np.testing.assert_array_equal(within, curves.DISTANCES > 4)


def test_positions_of_which_nothing_is_known_are_near_nothing() -> None:
    seen, scores = some(squared=np.full((N, T), np.nan))
    found = curves.curves(seen, scores["points"]["average_jaccard"])
    assert not found["within"].any()
    assert not found["errors"].any()


def test_without_labels_of_occlusion_only_positions_are_drawn() -> None:
    seen, scores = some(has_occlusion_labels=False)
    found = curves.curves(seen, np.full(N, np.nan))
    with_labels = curves.curves(some()[0], scores["points"]["average_jaccard"])
    np.testing.assert_array_equal(found["within"], with_labels["within"])
    assert np.isnan(found["jaccard"]).all()
    for name in ("gap_count", "confidence_count", "confidence_right"):
        assert with_labels[name].any()
        assert not found[name].any()


def test_a_gap_is_a_time_between_two_sights() -> None:
    visible = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 1, 0, 1, 0, 0],  # neither the start nor the end is a gap
            [1, 0, 1, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ],
        bool,
    )
    seen, _ = some(occluded=~visible, labelled=np.ones((4, 8), bool))
    np.testing.assert_array_equal(longest_gaps(seen), [0, 1, 3, 0])
    labelled = np.ones((4, 8), bool)
    labelled[2, 3:5] = False  # known to be gone for one frame only
    seen, _ = some(occluded=~visible, labelled=labelled)
    np.testing.assert_array_equal(longest_gaps(seen), [0, 1, 1, 0])


def test_scores_by_gap_are_means_of_the_points_of_each_class() -> None:
    seen, scores = some()
    jaccard = scores["points"]["average_jaccard"]
    found = curves.curves(seen, jaccard)
    gaps = longest_gaps(seen)
    for g, (low, high) in enumerate(zip(GAPS, [*GAPS[1:], 1000], strict=True)):
        members = jaccard[(gaps >= low) & (gaps < high)]
        assert found["gap_count"][g] == len(members)
        assert found["gap_sum"][g] == pytest.approx(members.sum())


def test_errors_are_counted_by_time_from_the_query() -> None:
    seen, scores = some()
    found = curves.curves(seen, scores["points"]["average_jaccard"])["errors"]
    counted = seen.judged & ~seen.occluded
    since = np.abs(np.arange(T) - seen.query_frames[:, None])
    for s, (low, high) in enumerate(zip(SINCE, [*SINCE[1:], 10_000], strict=True)):
        members = np.sqrt(seen.squared[counted & (since >= low) & (since < high)])
        assert found[s].sum() == len(members)
        if len(members):
            assert found[s, 0] == (members < ERRORS[0]).sum()
    assert found.sum() == counted.sum()


def test_the_median_from_classes_is_near_the_true_one() -> None:
    rng = np.random.default_rng(1)
    errors = np.exp(rng.normal(1, 1.2, (2, 4000)))
    counts = np.stack([np.bincount(np.searchsorted(ERRORS, row), minlength=len(ERRORS) + 1)
                       for row in errors])  # fmt: skip
    np.testing.assert_allclose(median_errors(counts), np.median(errors, axis=1), rtol=0.03)
    upper = np.quantile(errors, 0.9, axis=1)
    np.testing.assert_allclose(median_errors(counts, 0.9), upper, rtol=0.03)
    assert np.isnan(median_errors(np.zeros((1, len(ERRORS) + 1))))[0]


def test_reliability_counts_what_is_visible_and_in_place() -> None:
    seen, scores = some()
    found = curves.curves(seen, scores["points"]["average_jaccard"])
    right = ~seen.occluded & (np.sqrt(seen.squared) < 6)
    assert found["confidence_count"].sum() == seen.judged.sum()
    assert found["confidence_right"].sum() == (right & seen.judged).sum()
    assert found["confidence_sum"].sum() == pytest.approx(seen.confidence[seen.judged].sum())
    gap = np.abs(found["confidence_sum"] - found["confidence_right"]).sum() / seen.judged.sum()
    expected = metrics.calibration(seen.confidence[seen.judged], right[seen.judged])
    assert gap == pytest.approx(expected)
