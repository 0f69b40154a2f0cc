"""The optical-flow path: that of the reference, and the fast one that costs as much."""

from pathlib import Path

import numpy as np
import pytest
import vectors

from tapnet.annotation import flow_assist, flow_search


@pytest.mark.parametrize("path", vectors.all_of("flow_assist_*.npz"))
def test_the_path_is_that_of_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    found = flow_assist.path(arrays["flows"], arrays["clicks"], config["radius"])
    np.testing.assert_array_equal(found, arrays["all_pos"])


@pytest.mark.parametrize("path", vectors.all_of("flow_assist_*.npz"))
def test_the_fast_search_costs_as_much_or_less_where_it_steps_farther(path: Path) -> None:
    config, arrays = vectors.read(path)
    frames = np.rint(arrays["clicks"][:, 0]).astype(int)
    for i in range(len(frames) - 1):
        part = arrays["flows"][frames[i] : frames[i + 1]]
        found = flow_search.cheapest(part, *arrays["clicks"][i : i + 2, 1:])
        cost = flow_assist.cost(part, found)
        if np.abs(np.diff(found, axis=0)).max() <= config["radius"]:
            assert cost == pytest.approx(arrays[f"dp{i}|min_cost"], abs=1e-4)
        else:
            assert cost < arrays[f"dp{i}|min_cost"]


def smooth_flows(seed: int, frames: int = 6, size: tuple[int, int] = (26, 30)) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(0, 2, (frames, 5, 6, 2))
    y, x = (np.linspace(0, n - 1, side) for n, side in zip((5, 6), size, strict=True))
    grid = np.stack(np.meshgrid(x, y), -1)
    return np.stack([flow_assist.read(flow, grid) for flow in coarse]).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_both_searches_find_paths_of_one_cost(seed: int) -> None:
    flows = smooth_flows(seed)
    clicks = np.random.default_rng(seed + 100).uniform(0, [25.4, 25.4], (2, 2))
    clicks = np.column_stack([[0, len(flows)], clicks])
    slow = flow_assist.path(flows, clicks, radius=26)
    fast = flow_search.cheapest(flows, clicks[0, 1:], clicks[1, 1:])
    assert flow_assist.cost(flows, fast) == pytest.approx(flow_assist.cost(flows, slow), abs=1e-4)
    np.testing.assert_array_equal(fast[[0, -1]], slow[[0, -1]])


@pytest.mark.parametrize("seed", range(8))
def test_the_refined_path_goes_through_the_clicks_as_they_are_and_costs_no_more(seed: int) -> None:
    flows = smooth_flows(seed)
    truth = flow_assist.carried(flows, np.array([14.3, 12.6])).clip(0, 25)
    clicks = np.column_stack([[0, 3, 6], truth[[0, 3, 6]] + [[0.2, -0.1], [0.3, 0.3], [-0.4, 0]]])
    clicks = clicks.clip(0, 25.4)
    found = flow_assist.fast_path(flows, clicks)
    np.testing.assert_allclose(found[[0, 3, 6]], clicks[:, 1:], atol=1e-12)
    exact = flow_assist.path(flows, clicks)
    rounding = np.abs(clicks[:, 1:] - np.rint(clicks[:, 1:])).sum() * 2
    assert flow_assist.cost(flows, found) <= flow_assist.cost(flows, exact) + rounding


def test_without_drift_the_refined_path_follows_the_flow_in_fractions_of_a_pixel() -> None:
    flows = np.tile(np.float32([1.25, -0.4]), (5, 20, 24, 1))
    truth = [5.5, 12.25] + np.arange(6)[:, None] * np.array([1.25, -0.4])
    clicks = np.column_stack([[0, 5], truth[[0, 5]]])
    np.testing.assert_allclose(flow_assist.fast_path(flows, clicks), truth, atol=1e-6)


def test_after_the_last_click_the_flow_carries_and_before_the_first_nothing_is_known() -> None:
    flows = np.tile(np.float32([2.5, 1.0]), (4, 30, 30, 1))
    found = flow_assist.path(flows, np.array([[1, 4.0, 7.0]]))
    np.testing.assert_array_equal(found, [[0, 0], [4, 7], [6, 8], [9, 9], [12, 10]])


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ([[0, 1, 1], [0, 2, 2]], "in their order"),
        ([[0.5, 1, 1]], "whole frames"),
        ([[0, 40, 1]], "30x26"),
        ([[0, np.nan, 1]], "30x26"),
        ([[7, 1, 1]], "0..6"),
        ([], "rows"),
        ([[1, 2]], "rows"),
    ],
)
def test_bad_clicks_are_told(clicks: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flow_assist.path(smooth_flows(0), np.array(clicks))


def test_bad_flows_are_told() -> None:
    with pytest.raises(ValueError, match="flows"):
        flow_assist.path(np.zeros((3, 4, 4)), np.array([[0, 1, 1]]))
