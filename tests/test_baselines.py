"""Trackers with nothing to train keep one contract, and their numbers are those of the scene.

The scenes are smooth random textures drawn at exact sub-pixel offsets by the tests themselves.
"""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tapnet.baselines import BASELINES
from tapnet.baselines.flow import Flow, MultiFlow
from tapnet.baselines.patches import normalised, patches_at, sample

NAMES = ["flow", "flow-farneback", "flow-multi", "klt"]  # that follow points frame by frame


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """[H, W, 3] float: smooth blots a few pixels wide, of mean 128 and deviation 35."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5) / 0.19 * 35
    return np.repeat((128 + smooth)[..., None], 3, axis=-1)


def as_video(frames: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(frames).round().clip(0, 255).astype(np.uint8))[None]


def shifted(image: np.ndarray, dx: float, dy: float, size: tuple[int, int]) -> np.ndarray:
    """The window of `size` from (20, 20) of an image moved by (dx, dy)."""
    matrix = np.array([[1, 0, dx - 20], [0, 1, dy - 20]])
    return cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_CUBIC)


STEP = np.array([1.3, -0.6])  # pixels a frame


def moving(frames: int = 8) -> Tensor:
    """A texture that moves by STEP: [1, T, 96, 128, 3]."""
    image = texture(0, 140, 180)
    return as_video([shifted(image, *(STEP * t), (96, 128)) for t in range(frames)])


def behind_a_bar(frames: int = 24) -> Tensor:
    """A still texture that a bar of another texture, 24 pixels wide, crosses 6 px a frame."""
    still, bar = texture(1, 64, 120), texture(2, 64, 24)
    out = []
    for t in range(frames):
        image = still.copy()
        left = -24 + 6 * t
        a, b = max(left, 0), min(left + 24, 120)
        if b > a:
            image[:, a:b] = bar[:, a - left : b - left]
        out.append(image)
    return as_video(out)


QUERIES = torch.tensor([[0, 50.3, 40.8], [3, 30.0, 70.5], [7, 40.25, 60.0], [3, 61.0, 33.7]])


def test_tracks_follow_a_sub_pixel_translation_both_ways(name: str) -> None:
    prediction = BASELINES[name]()(moving(), QUERIES[None])
    t = torch.arange(8)[None, :, None] - QUERIES[:, None, :1]
    truth = QUERIES[:, None, [2, 1]] + t * torch.from_numpy(STEP)
    error = (prediction.tracks[0] - truth).norm(dim=-1)
    assert error.max() < 0.15
    assert error.mean() < 0.08
    assert prediction.visible.all()


def test_a_covered_point_is_occluded_and_visible_again_when_uncovered(name: str) -> None:
    x, video = 60.0, behind_a_bar()
    prediction = BASELINES[name]()(video, torch.tensor([[[0, 32.0, x]]]))
    visible, tracks = prediction.visible[0, 0], prediction.tracks[0, 0]
    left = -24 + 6 * torch.arange(24)  # of the bar
    covered = (left < x - 2) & (left + 24 > x + 2)
    clear = (left > x + 12) | (left + 24 < x - 12)  # of the whole patch
    assert covered.sum() == 3  # at 42, 48 and 54 pixels
    assert not visible[covered].any()
    first_clear = int(torch.nonzero(clear & (left > x))[0])
    assert visible[clear & (left < x)].all()
    assert visible[first_clear + 1 :].all()
    assert (tracks[first_clear + 1 :] - torch.tensor([x, 32.0])).norm(dim=-1).max() < 0.5


def test_a_point_that_leaves_the_frame_is_occluded(name: str) -> None:
    prediction = BASELINES[name]()(moving(12), torch.tensor([[[0, 4.0, 60.0], [0, 80.0, 60.0]]]))
    left_the_frame = 4.0 + STEP[1] * np.arange(12) < -1
    assert left_the_frame.sum() >= 3
    assert not prediction.visible[0, 0, left_the_frame].any()
    assert prediction.visible[0, 1].all()


def test_a_point_outside_the_frame_at_its_query_is_occluded(name: str) -> None:
    queries = torch.tensor([[[0, -30.0, 10], [0, 500, 1e6], [1, 10.0, -1e30], [0, 96.0, 5.0]]])
    prediction = BASELINES[name]()(moving(3), queries)
    assert not prediction.visible[0, :, 0].any()
    assert prediction.tracks.isfinite().all()


def test_a_point_without_any_contrast_is_not_found_where_there_is_none_either(name: str) -> None:
    video = moving(6).clone()
    video[:, :, :48] = 40  # a flat band over a texture that moves
    said = BASELINES[name]()(video, torch.tensor([[[0.0, 20.0, 60.0]]]))
    # At most it goes along with the texture beside it: 6.5 pixels in these frames.
    assert (said.tracks[0, 0] - torch.tensor([60.0, 20.0])).abs().max() < 7
    assert not said.visible[0, 0, 1:].any()


def test_a_point_is_at_its_query_in_its_frame(name: str) -> None:
    prediction = BASELINES[name]()(moving(), QUERIES[None])
    rows = torch.arange(len(QUERIES))
    assert prediction.tracks[0, rows, QUERIES[:, 0].long()].equal(QUERIES[:, [2, 1]])
    assert (prediction.confidence[0, rows, QUERIES[:, 0].long()] > 0.99).all()


def test_points_do_not_depend_on_one_another(name: str) -> None:
    model, video = BASELINES[name](), behind_a_bar(12)
    queries = torch.tensor([[0, 20.0, 15.0], [4, 40.0, 70.0], [0, 33.0, 30.0], [11, 9.0, 99.0]])
    together = model(video, queries[None])
    for i in range(len(queries)):
        alone = model(video, queries[None, i : i + 1])
        assert alone.tracks[0, 0].equal(together.tracks[0, i])
        assert alone.occlusion[0, 0].equal(together.occlusion[0, i])


def test_online_equals_offline_forward_while_points_come_and_go(name: str) -> None:
    model, video = BASELINES[name](), behind_a_bar(10)
    queries = torch.tensor([[0, 20.0, 15.0], [4, 40.0, 70.0], [0, 33.0, 30.0], [4, 9.0, 99.0]])
    offline = model(video, queries[None])
    state, rows = model.init_state(), []
    for t in range(10):
        prediction, state = model.step(video[0, t], state)
        assert prediction.tracks[0, :, 0].equal(offline.tracks[0, rows, t])
        assert prediction.occlusion[0, :, 0].equal(offline.occlusion[0, rows, t])
        assert prediction.expected_dist[0, :, 0].equal(offline.expected_dist[0, rows, t])
        if t in (0, 4):
            new = torch.nonzero(queries[:, 0] == t)[:, 0]
            state = model.add(state, queries[new, 1:])
            rows += new.tolist()
        if t == 6:
            state = model.keep(state, torch.tensor([3, 1]))
            rows = [rows[3], rows[1]]


def test_a_step_leaves_the_state_it_was_given_as_it_was(name: str) -> None:
    model, video = BASELINES[name](), behind_a_bar(4)
    _, state = model.step(video[0, 0], model.init_state())
    state = model.add(state, torch.tensor([[30.0, 30.0]]))
    frame = video[0, 1].clone()
    first, after = model.step(frame, state)
    frame.zero_()  # a camera that writes its next frame into the same memory
    again, _ = model.step(video[0, 1], state)
    third, _ = model.step(video[0, 2], after)
    expected = model(video[:, :3], torch.tensor([[[0, 30.0, 30.0]]]))
    assert first.tracks.equal(again.tracks)
    assert third.tracks[0, 0].equal(expected.tracks[0, 0, 2:])


def test_a_state_does_not_grow_with_the_frames_seen(name: str) -> None:
    model, video = BASELINES[name](), behind_a_bar(24)
    _, state = model.step(video[0, 0], model.init_state())
    state, sizes = model.add(state, torch.tensor([[30.0, 30.0], [20.0, 90.0]])), []
    for t in range(1, 24):
        _, state = model.step(video[0, t], state)
        sizes.append(len(pickle.dumps(state)))
    assert len(set(sizes[17:])) == 1  # flow-multi remembers 17 frames


def test_float_video_gives_what_its_uint8_gives(name: str) -> None:
    model, video = BASELINES[name](), moving(3)
    as_float = video.float() / 127.5 - 1
    assert model(as_float, QUERIES[None, :1]).tracks.equal(model(video, QUERIES[None, :1]).tracks)


def test_query_times_are_rounded_half_to_even(name: str) -> None:
    model, video = BASELINES[name](), moving(4)
    point = torch.tensor([50.0, 60.0])
    half = torch.stack([torch.cat([torch.tensor([t]), point]) for t in (0.5, 1.5, 2.5)])
    whole = torch.stack([torch.cat([torch.tensor([t]), point]) for t in (0.0, 2.0, 2.0)])
    assert model(video, half[None]).tracks.equal(model(video, whole[None]).tracks)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16), (15, 40)])
def test_small_frames_and_a_single_frame_work(name: str, size: tuple[int, int]) -> None:
    model = BASELINES[name]()
    video = torch.randint(0, 256, (1, 3, *size, 3), dtype=torch.uint8)
    queries = torch.tensor([[[0, 0.5, 0.5], [2, size[0] - 0.5, size[1] - 0.5]]])
    prediction = model(video, queries)
    assert prediction.tracks.shape == (1, 2, 3, 2)
    assert prediction.tracks.isfinite().all()
    assert model(video[:, :1], queries[:, :1]).tracks[0, 0].tolist() == [[0.5, 0.5]]


def test_no_points_and_no_videos_give_no_tracks(name: str) -> None:
    model, video = BASELINES[name](), moving(3)
    assert model(video, torch.zeros(1, 0, 3)).tracks.shape == (1, 0, 3, 2)
    assert model(video[:0], torch.zeros(0, 4, 3)).tracks.shape == (0, 4, 3, 2)


def test_five_thousand_points_work(name: str) -> None:
    yx = torch.rand(5000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([40.0, 60])
    queries = torch.cat([torch.zeros(5000, 1), yx + 25], dim=-1)
    prediction = BASELINES[name]()(moving(3), queries[None])
    truth = queries[:, [2, 1]] + 2 * torch.from_numpy(STEP)
    assert (prediction.tracks[0, :, 2] - truth).norm(dim=-1).median() < 0.1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ([0, float("nan"), 1], "query_points: expected finite numbers"),
        ([0, 1, float("inf")], "query_points: expected finite numbers"),
        ([3, 1, 1], r"times \(t, y, x\) in 0\.\.2, got t = 3"),
        ([-1, 1, 1], "got t = -1"),
    ],
)
def test_queries_that_make_no_sense_are_refused(query: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BASELINES["klt"]()(moving(3), torch.tensor([[query]]))


def test_misuse_of_the_stream_is_refused_with_advice() -> None:
    model, video = BASELINES["klt"](), moving(2)
    with pytest.raises(ValueError, match="call step first"):
        model.add(model.init_state(), torch.zeros(1, 2))
    _, state = model.step(video[0, 0], model.init_state())
    with pytest.raises(ValueError, match="points: expected finite"):
        model.add(state, torch.tensor([[float("nan"), 1]]))
    with pytest.raises(ValueError, match="the state holds 0 points"):
        model.keep(state, torch.tensor([0]))
    with pytest.raises(ValueError, match=r"expected 96x128 .* got 90x128"):
        model.step(video[0, 0, :90], state)
    with pytest.raises(ValueError, match="expected uint8, or float"):
        model.step(video[0, 0].int(), state)


def test_any_function_of_two_frames_is_a_flow() -> None:
    video = moving(2)
    first = video[0, 0].numpy()

    def exact(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        forward = (before == first).all()
        return np.full((*before.shape[:2], 2), STEP if forward else -STEP, np.float32)

    prediction = Flow(exact)(video, torch.tensor([[[0, 50.0, 50.0]]]))
    assert torch.allclose(prediction.tracks[0, 0, 1], torch.tensor([51.3, 49.4]), atol=1e-4)


def test_a_flow_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"flow: expected finite \[H W 2\]"):
        Flow(lambda before, after: np.zeros((2, 3, 3)))(moving(2), QUERIES[None, :1])


def test_what_the_flow_errs_by_in_both_ways_is_taken_off() -> None:
    def err(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.full((60, 60, 2), [0.1, 0], np.float32)

    query = torch.tensor([[[0, 30.0, 30.0]]])
    tracks = Flow(err)(as_video([texture(3, 60, 60)] * 9), query).tracks
    assert torch.allclose(tracks, torch.full((1, 1, 9, 2), 30.0), atol=1e-4)


def test_long_gaps_drift_less_than_short_ones_when_every_flow_errs_alike() -> None:
    """Each flow onward errs by 0.1 px whatever its gap, half of which the exact flow back tells:
    8 steps of one frame err by 0.4, one of eight by 0.05."""
    frames = [texture(3, 60, 60) for _ in range(9)]
    for t, frame in enumerate(frames):
        frame[0, 0] = t

    def err(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        onward = before[0, 0, 0] < after[0, 0, 0]
        return np.full((60, 60, 2), [0.1 * onward, 0], np.float32)

    query, video = torch.tensor([[[0, 30.0, 30.0]]]), as_video(frames)
    short = MultiFlow(err, gaps=(1,))(video, query).tracks[0, 0, 8, 0]
    long = MultiFlow(err, gaps=(1, 2, 4, 8))(video, query).tracks[0, 0, 8, 0]
    assert abs(short - 30.4) < 1e-3
    assert abs(long - 30.05) < 1e-3


def test_gaps_without_one_are_refused() -> None:
    with pytest.raises(ValueError, match="add 1"):
        MultiFlow(gaps=(2, 4))


def test_samples_lie_between_pixel_centres() -> None:
    image = np.array([[0.0, 8.0], [16.0, 24.0]], np.float32)
    at = np.array([[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [1.5, 1.5], [-5.0, 9.0]])
    assert sample(image, at).tolist() == [0, 4, 12, 24, 16]
    assert sample(image, np.zeros((0, 2))).shape == (0,)


def test_a_patch_correlates_fully_with_itself_in_another_light_and_flat_ones_with_none() -> None:
    image = texture(4, 60, 60)[..., 0].astype(np.float32)
    patch = patches_at(image, np.array([[30.2, 29.7]]))
    assert (normalised(patch) * normalised(0.5 * patch + 40)).sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(normalised(np.full((1, 21, 21), 9, np.float32))).max() == 0
