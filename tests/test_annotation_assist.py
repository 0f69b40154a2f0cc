"""Paths between the clicks of people: exact at clicks, close between them, told while they grow."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tapnet import video
from tapnet.annotation import assist, flow_window, smoothing
from tapnet.annotation.asked import Asked
from tapnet.annotation.assist import fill
from tapnet.annotation.attention import APART, suggest
from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.flow_window import FlowWindow
from tapnet.annotation.motion import Between, Surroundings
from tapnet.annotation.simulated import annotate, clicked_frames
from tapnet.annotation.smoothing import Said

FRAMES, HEIGHT, WIDTH = 13, 96, 120


def swaying() -> tuple[np.ndarray, Callable[[float, float], np.ndarray]]:
    """A texture that sways, and where a point of its first frame goes."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT + 40, WIDTH + 40, 3)).astype(np.float32)
    texture = (128 + 300 * cv2.GaussianBlur(noise, (0, 0), 2)).clip(0, 255).astype(np.uint8)
    t = np.arange(FRAMES)
    shift = np.stack([7 * np.sin(t / 3), 6 - 6 * np.cos(t / 3)], 1)
    frames = [
        cv2.warpAffine(texture, np.array([[1, 0, dx - 20], [0, 1, dy - 20]]), (WIDTH, HEIGHT))
        for dx, dy in shift
    ]
    return np.stack(frames), lambda x, y: np.array([x, y]) + shift


VIDEO, PATH_FROM = swaying()
POINTS = [(30.3, 20.2), (45.0, 40.6), (25.5, 30.5)]


def contents(kind: str, frames: tuple[int, ...] = (0, 6, 12), **more: object) -> list[Content]:
    made = []
    for x, y in POINTS:
        truth = PATH_FROM(x, y)
        clicks = tuple(Click(t, float(truth[t, 0]), float(truth[t, 1])) for t in frames)
        made.append(Content(clicks=clicks, assist=kind, model="klt", **more))  # type: ignore[arg-type]
    return made


def errors(paths: list[Path]) -> np.ndarray:
    truth = np.stack([PATH_FROM(x, y) for x, y in POINTS])
    return np.linalg.norm(np.stack([path.xy for path in paths]) - truth, axis=-1)


@pytest.mark.parametrize("kind", ["linear", "flow", "tracker"])
def test_a_path_goes_through_every_click_exactly_and_is_sure_of_it(kind: str) -> None:
    asked = contents(kind)
    moved = [replace(c, clicks=(*c.clicks[:1], Click(5, 33.3, 41.7), *c.clicks[2:])) for c in asked]
    for content, path in zip(moved, fill(video.open(VIDEO), moved), strict=True):
        assert (path.start, len(path)) == (0, FRAMES)
        for click in content.clicks:
            np.testing.assert_array_equal(path.xy[click.frame], np.float32([click.x, click.y]))
            assert path.confidence[click.frame] == 1
            assert path.visible[click.frame]
        assert ((path.confidence >= 0) & (path.confidence <= 1)).all()


@pytest.mark.parametrize("kind", ["flow", "tracker"])
def test_assists_follow_a_curve_that_a_straight_line_misses(kind: str) -> None:
    straight = errors(fill(video.open(VIDEO), contents("linear")))
    assisted = errors(fill(video.open(VIDEO), contents(kind)))
    assert straight.mean() > 1
    assert assisted.mean() < straight.mean() / 4
    assert assisted.max() < 1


@pytest.mark.parametrize("kind", ["flow", "tracker"])
@pytest.mark.parametrize("frame", [0, 6, 12])
def test_from_one_click_the_point_is_followed_both_ways(kind: str, frame: int) -> None:
    assert errors(fill(video.open(VIDEO), contents(kind, (frame,)))).max() < 1


def test_beyond_its_clicks_a_straight_path_knows_nothing() -> None:
    path = fill(video.open(VIDEO), contents("linear", (3, 9)))[0]
    np.testing.assert_array_equal(path.visible, [3 <= t <= 9 for t in range(FRAMES)])
    assert (path.confidence[[0, 1, 2, 10, 11, 12]] == 0).all()
    np.testing.assert_array_equal(path.xy[0], path.xy[3])


@pytest.mark.parametrize("kind", ["linear", "flow", "tracker"])
def test_hidden_frames_are_never_visible(kind: str) -> None:
    for path in fill(video.open(VIDEO), contents(kind, hidden=((2, 5), (10, 13)))):
        assert not path.visible[[2, 3, 4, 10, 11, 12]].any()
        assert path.visible[[0, 1, 5, 6, 9]].all()


@pytest.mark.parametrize("kind", ["flow", "tracker"])
def test_a_hidden_point_coasts_whatever_the_picture_shows(kind: str) -> None:
    frames = VIDEO.copy()
    frames[4:8, 10:50, 10:50] = np.random.default_rng(1).integers(0, 256, (4, 40, 40, 3), np.uint8)
    asked = [replace(contents(kind, (0, 12))[0], hidden=((4, 8),))]
    coasted = fill(video.open(frames), asked)[0]
    undisturbed = fill(video.open(VIDEO), asked)[0]
    assert np.abs(coasted.xy - undisturbed.xy).max() < 0.25
    assert np.linalg.norm(coasted.xy - PATH_FROM(*POINTS[0]), axis=1).mean() < 1
    assert coasted.confidence[4:8].max() < coasted.confidence[[1, 2, 10, 11]].min()


def test_kinds_and_models_may_be_mixed_and_keep_their_order() -> None:
    mixed = [
        contents("tracker")[0],
        Content(),
        contents("linear")[1],
        contents("flow")[2],
        replace(contents("tracker")[2], model="flow"),
    ]
    together = fill(video.open(VIDEO), mixed)
    assert [len(path) for path in together] == [FRAMES, 0, FRAMES, FRAMES, FRAMES]
    for content, path in zip(mixed, together, strict=True):
        alone = fill(video.open(VIDEO), [content])[0]
        np.testing.assert_allclose(alone.xy, path.xy, atol=1e-3)
        np.testing.assert_array_equal(alone.visible, path.visible)


@pytest.mark.parametrize("kind", ["flow", "tracker"])
def test_what_is_known_so_far_is_told_and_grows_to_the_whole(kind: str) -> None:
    told: list[int] = []
    counts: list[tuple[int, int]] = []

    def partial(make: assist.Partial) -> None:
        known = make()
        for row, path in known.items():
            for click in contents(kind)[row].clicks:
                if path.start <= click.frame < path.stop:
                    np.testing.assert_allclose(
                        path.xy[click.frame - path.start], [click.x, click.y], atol=1e-4
                    )
        told.append(sum(len(path) for path in known.values()))

    fill(video.open(VIDEO), contents(kind), lambda *count: counts.append(count), partial)
    assert told == sorted(told)
    assert 0 < told[len(told) // 2] <= told[-1] == 3 * FRAMES
    assert [done for done, _ in counts] == list(range(1, counts[0][1] + 1))


@pytest.mark.parametrize("kind", ["flow", "tracker"])
def test_progress_may_end_the_work(kind: str) -> None:
    class Cancelled(Exception):
        pass

    def progress(done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        fill(video.open(VIDEO), contents(kind), progress)


def test_what_cannot_be_filled_is_told() -> None:
    clip = video.open(VIDEO)
    with pytest.raises(ValueError, match=r"0\.\.12"):
        fill(clip, [Content(clicks=(Click(13, 1, 1),))])
    with pytest.raises(ValueError, match=r"0\.\.120"):
        fill(clip, [Content(clicks=(Click(1, 121, 1),))])
    with pytest.raises(ValueError, match="imported"):
        fill(clip, [replace(contents("linear")[0], assist="imported")])
    for model in ("weights/stolen.pt", "no such model"):
        with pytest.raises(ValueError, match=r"expected .*klt"):
            fill(clip, [replace(contents("tracker")[0], model=model)])
    with pytest.raises(ValueError, match="whole clip"):
        fill(clip, [replace(contents("tracker")[0], model="sfm")])


def test_videos_of_one_and_two_frames_can_be_filled() -> None:
    for frames in (1, 2):
        for kind in ("linear", "flow", "tracker"):
            content = replace(contents(kind)[0], clicks=contents(kind)[0].clicks[:1])
            path = fill(video.open(VIDEO[:frames]), [content])[0]
            assert len(path) == frames


def test_flow_of_a_long_gap_is_kept_thinner_and_read_in_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    between = Between(np.stack([x / 10, y / 8], -1), np.stack([-x / 10, -y / 8], -1))
    window = FlowWindow(8, (HEIGHT, WIDTH))
    window.push(between)
    assert window.part(0, 1)[0].stride == 1
    monkeypatch.setattr(flow_window, "BYTES", 8 * HEIGHT * WIDTH)
    thin = FlowWindow(8, (HEIGHT, WIDTH))
    for _ in range(9):
        thin.push(between)
    (kept,) = thin.part(8, 9)
    assert kept.stride > 1
    assert len(thin._kept) == 8
    assert kept.onward.nbytes < between.onward.nbytes / 2 / kept.stride
    xy = np.array([[20.5, 30.25], [40, 41]])
    np.testing.assert_allclose(kept.onward_at(xy), xy / [10, 8], atol=0.02)
    np.testing.assert_allclose(kept.back_at(xy), -xy / [10, 8], atol=0.02)


def test_gaps_longer_than_memory_are_filled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = errors(fill(video.open(VIDEO), contents("flow", (0, 10, 12))))
    monkeypatch.setattr(flow_window, "BYTES", 4 * 8 * HEIGHT * WIDTH)
    thinner = errors(fill(video.open(VIDEO), contents("flow", (0, 10, 12))))
    assert (whole != thinner).any()
    assert thinner.max() < 0.6


def test_where_flow_misses_the_click_the_cheapest_path_is_the_start() -> None:
    flow = np.zeros((30, 40, 2), np.float32)
    flow[10:20] = [3, 0]  # a belt
    flows = [Between(flow, -flow)] * 6
    path = flow_window.path_between(flows, np.array([5.0, 8.0]), np.array([20.0, 8.0]))
    np.testing.assert_allclose(path[[0, -1]], [[5, 8], [20, 8]])
    assert path[:, 1].max() >= 10  # onto the belt and back: 4 pixels down and up, 15 along for none


def test_equations_are_solved_and_inverted_as_a_dense_solver_does() -> None:
    generator = np.random.default_rng(0)
    for frames in (1, 2, 3, 7):
        system = smoothing._Equations.none((2, frames))
        weights = [generator.uniform(0.1, 1, (2, max(frames - i, 0))) for i in range(3)]
        system.add_positions(weights[0], generator.normal(size=(2, frames, 2)))
        system.add_steps(weights[1], generator.normal(size=(2, max(frames - 1, 0), 2)))
        system.add_bends(weights[2])
        for n in range(2):
            dense = np.diag(system.main[:, n])
            for offset, band in ((1, system.next[:, n]), (2, system.after[:, n])):
                if len(band):
                    dense = dense + np.diag(band, offset) + np.diag(band, -offset)
            solved = np.linalg.solve(dense, system.right[:, n])
            np.testing.assert_allclose(system.solve()[n], solved)
            np.testing.assert_allclose(system.variance()[n], np.diag(np.linalg.inv(dense)))


def test_a_fit_leaves_out_what_is_far_off_and_is_less_sure_where_less_is_said() -> None:
    truth = np.stack([np.linspace(0, 20, 21), np.linspace(5, 9, 21) ** 1.2], 1)[None]
    clicked = np.zeros((1, 21), bool)
    clicked[0, [0, 20]] = True
    said = truth.copy()
    said[0, 7] += 30
    sigma = np.full((1, 21), 0.5)
    sigma[0, 12:18] = np.inf
    straight = truth[:, [0]] + np.linspace(0, 1, 21)[:, None] * (truth[:, [20]] - truth[:, [0]])
    best = smoothing.fit(clicked, straight, [Said(said, sigma)], None, 0.3, 8)
    assert np.linalg.norm(best.xy - truth, axis=-1).max() < 0.5
    assert best.sigma[0, 15] > 2 * best.sigma[0, 5] > best.sigma[0, 0] == 0


def test_steps_of_the_flow_are_trusted_where_the_way_back_agrees() -> None:
    around = Surroundings(2, 2)
    flow = np.tile(np.float32([2, 1]), (20, 20, 1))
    back = -flow
    back[:, 10:] = 0
    here = np.array([[4.0, 8.0], [14.0, 8.0]])
    there = np.array([[6.0, 9.0], [16.0, 9.0]])
    around.keep(np.arange(2), 0, Between(flow, back), here, there)
    path = np.stack([here, there], 1)
    onward, backward = around.steps(path)
    np.testing.assert_allclose(onward.xy[:, 0], [[2, 1], [2, 1]])
    np.testing.assert_allclose(backward.xy[:, 0], [[2, 1], [0, 0]])
    assert onward.sigma[0, 0] < 0.5 < 1.5 < onward.sigma[1, 0]
    np.testing.assert_allclose(onward.sigma[:, 0], [0.4, 0.4 + 0.5 * 5**0.5], rtol=1e-5)
    around.hide(np.array([[True, False], [True, True]]))
    assert around.steps(path)[0].sigma[0, 0] == pytest.approx(10 * onward.sigma[0, 0])


def test_asked_for_is_what_was_clicked_and_hidden() -> None:
    content = Content(clicks=(Click(2, 4, 8), Click(4, 8, 4)), hidden=((5, 6),))
    asked = Asked.of([content], 7)
    assert asked.clicked[0].tolist() == [False, False, True, False, True, False, False]
    assert asked.places[0, :, 0].tolist() == [4, 4, 4, 6, 8, 8, 8]
    assert asked.seen[0].tolist() == [True] * 5 + [False, True]
    assert (asked.first[0], asked.last[0]) == (2, 4)
    assert asked.between[0].tolist() == [False, False, True, True, True, False, False]


def test_simulated_annotators_click_where_they_see_and_mark_what_is_hidden() -> None:
    occluded = np.array([1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1], bool)
    assert clicked_frames(~occluded, 2) == [1, 3, 7, 9, 10]
    assert clicked_frames(~occluded, 4) == [1, 7, 10]
    assert clicked_frames(~occluded, 50) == [1, 10]
    assert clicked_frames(np.arange(4) == 2, 5) == [2]
    points = np.stack([np.arange(12.0), np.full(12, 5.0)], 1)
    offsets = np.full((12, 2), [-3.0, 0.5])
    content = annotate(points, occluded, 4, offsets, (20, 30), "flow")
    assert [(c.frame, c.x, c.y) for c in content.clicks] == [(1, 0, 5.5), (7, 4, 5.5), (10, 7, 5.5)]
    assert content.hidden == ((0, 1), (4, 7), (11, 12))
    assert content.assist == "flow"


def steady(frames: int = 60) -> Path:
    xy = np.stack([np.arange(frames), np.full(frames, 9)], 1).astype(np.float32)
    return Path(0, xy, np.ones(frames, bool), np.full(frames, 0.95, np.float32))


def test_a_good_path_asks_for_no_look() -> None:
    content = Content(clicks=(Click(0, 0, 9), Click(59, 59, 9)))
    assert suggest({"tracker": [steady()], "flow": [steady()]}, [content]) == []


def test_looks_are_asked_for_where_assists_disagree_are_unsure_or_jump() -> None:
    content = Content(clicks=(Click(0, 0, 9), Click(59, 59, 9)))
    other = steady()
    other.xy[18:22] += 30
    unsure = steady()
    unsure.confidence[40:44] = [0.4, 0.2, 0.1, 0.3]
    jumping = steady()
    jumping.xy[30:] += [0, 40]
    found = suggest(
        {"tracker": [steady(), unsure, jumping], "flow": [other, None, None]}, [content] * 3
    )
    assert {one["track"] for one in found} == {0, 1, 2}
    where = {one["track"]: one for one in found[::-1]}
    assert 18 <= where[0]["frame"] < 22
    assert "tracker and flow are 42.4 pixels apart" in where[0]["reason"]
    assert where[1]["frame"] == 42
    assert "10 % sure" in where[1]["reason"]
    assert where[2]["frame"] in (29, 30)
    assert "jumps" in where[2]["reason"]
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)


def test_looks_are_apart_from_each_other_from_clicks_and_from_hidden_frames() -> None:
    path = replace_confidence(steady(), 0.1)
    content = Content(clicks=(Click(20, 20, 9),), hidden=((30, 60),))
    found = [one["frame"] for one in suggest({"tracker": [path]}, [content])]
    assert found
    assert max(found) < 30
    frames = sorted([*found, 20])
    assert min(np.diff(frames)) >= APART


def replace_confidence(path: Path, value: float) -> Path:
    return replace(path, confidence=np.full(len(path), value, np.float32))


def test_suggestions_need_a_path_or_none_for_every_content() -> None:
    with pytest.raises(ValueError, match="expected one for each of 2 contents"):
        suggest({"flow": [None]}, [Content(), Content()])
    assert suggest({"flow": [None]}, [Content()]) == []
    assert suggest({}, [Content()]) == []
