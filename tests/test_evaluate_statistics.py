"""Intervals and comparisons: against arithmetic and theory, and blind to what cannot matter."""

from __future__ import annotations

import numpy as np
import pytest

from tapnet import metrics
from tapnet.evaluate import compare, interval
from tapnet.evaluate.statistics import Sums, mean_of

NAN = float("nan")


def test_a_mean_leaves_out_videos_without_a_score() -> None:
    sums = mean_of([0.2, NAN, 0.6])
    assert sums.value() == pytest.approx(0.4)
    np.testing.assert_array_equal(sums.judged, [True, False, True])
    assert sums.value(np.array([3, 5, 1])) == pytest.approx((3 * 0.2 + 0.6) / 4)
    assert np.isnan(sums.value(np.array([0, 5, 0])))
    assert np.isnan(mean_of([NAN]).value())


def test_groups_are_pooled_over_videos_and_then_averaged() -> None:
    part, whole = np.array([[1.0, 0], [2, 0]]), np.array([[4.0, 0], [4, 0]])
    assert Sums(part, whole).value() == 3 / 8  # the second group is left out
    assert Sums(part, whole, empty=0).value() == 3 / 16  # or counts as nothing


def test_keypoints_pooled_so_are_the_percentage_of_correct_keypoints() -> None:
    rng = np.random.default_rng(0)
    size = (100, 120)
    true = [rng.uniform(-5, 125, (15, frames, 2)) for frames in (4, 9, 6)]
    said = [poses + rng.normal(0, 15, poses.shape) for poses in true]
    alpha, parts, wholes = 0.2, [], []
    for a, b in zip(said, true, strict=True):
        inside = np.all((b[:, 0] >= 0) & (b[:, 0] < [120, 100]), axis=-1)
        box = np.linalg.norm(np.ptp(b[inside], axis=0), axis=-1)
        near = np.linalg.norm(a - b, axis=-1) <= alpha * 0.6 * box
        parts.append((near & inside[:, None]).sum(axis=1))
        wholes.append(inside * b.shape[1])
    found = Sums(np.array(parts, float), np.array(wholes, float), empty=0).value()
    videos = [(a, b, size) for a, b in zip(said, true, strict=True)]
    assert 100 * found == pytest.approx(metrics.pck(videos)["PCK@0.2"])


def test_an_interval_is_that_of_theory_for_a_mean_of_many() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    found = interval(mean_of(values))
    error = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = [interval(mean_of(rng.beta(2, 3, 30)), draws=400, seed=i) for i in range(200)]
    held = np.mean([one.low <= 2 / 5 <= one.high for one in found])
    assert 0.89 < held < 0.99


def test_an_interval_is_repeatable_and_blind_to_what_was_not_judged() -> None:
    values = np.random.default_rng(3).uniform(size=12)
    found = interval(mean_of(values))
    assert found == interval(mean_of(values))
    assert found == interval(mean_of([NAN, *values, NAN]))
    assert found != interval(mean_of(values), seed=1)
    same = interval(mean_of([0.5] * 5))
    assert (same.low, same.high) == (0.5, 0.5)
    for too_few in ([], [NAN], [0.1, 0.2, NAN, 0.3, 0.4]):
        assert np.isnan(interval(mean_of(too_few)).low)


def test_a_comparison_counts_all_ways_to_swap_two_models() -> None:
    b = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    a = b + np.array([0.1, 0.2, 0.05, 0.3, 0.15])
    found = compare(mean_of(a), mean_of(b))
    assert found.difference == pytest.approx(0.16)
    assert found.p_value == 2 / 32  # only all and none of the swaps give as much
    assert (found.videos, found.better, found.worse, found.sure) == (5, 5, 0, False)
    assert 0.05 <= found.interval.low < 0.16 < found.interval.high <= 0.3
    turned = compare(mean_of(b), mean_of(a))
    assert turned.difference == pytest.approx(-found.difference)
    assert (turned.p_value, turned.better, turned.worse) == (found.p_value, 0, 5)


def test_a_comparison_is_of_the_videos_that_both_have() -> None:
    a, b = [0.5, NAN, 0.9, 0.4], [0.4, 0.1, NAN, 0.6]
    found = compare(mean_of(a), mean_of(b))
    assert (found.videos, found.better, found.worse) == (2, 1, 1)
    assert found.difference == pytest.approx(-0.05)
    none = compare(mean_of([NAN]), mean_of([1.0]))
    assert none.videos == 0
    assert np.isnan(none.difference)
    assert not none.sure
    with pytest.raises(ValueError, match="expected scores of the same videos, got 1 and 2"):
        compare(mean_of([0.1]), mean_of([0.1, 0.2]))


def test_equal_models_are_told_apart_as_rarely_as_chance_allows() -> None:
    rng = np.random.default_rng(4)
    sure = []
    for _ in range(200):
        common = rng.uniform(size=20)
        a, b = (common + rng.normal(0, 0.05, 20) for _ in range(2))
        sure.append(compare(mean_of(a), mean_of(b), draws=300).sure)
    assert 0.005 < np.mean(sure) < 0.11
    same = rng.uniform(size=20)
    assert compare(mean_of(same), mean_of(same)).p_value == 1


def test_pairing_finds_a_small_lead_that_intervals_alone_cannot() -> None:
    rng = np.random.default_rng(5)
    hard = rng.uniform(0.1, 0.9, 40)
    a, b = mean_of(hard + 0.02 + rng.normal(0, 0.01, 40)), mean_of(hard)
    found = compare(a, b)
    assert found.sure
    assert found.interval.low > 0
    assert interval(a).low < interval(b).high  # they overlap widely
