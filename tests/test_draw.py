"""Tracks are painted where they are, in a colour that stays, without touching the frames given."""

import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

import tapnet
from tapnet import video
from tapnet.draw import beginnings, color_by_position, draw

BLACK = np.zeros((90, 120, 3), np.uint8)
RED = np.array([[255, 0, 0]], np.uint8)


def painted(xy, visible=None, frame=BLACK, **settings) -> list[np.ndarray]:
    xy = np.asarray(xy, np.float32)
    visible = np.ones(xy.shape[:2], bool) if visible is None else np.asarray(visible, bool)
    return list(draw([frame] * xy.shape[1], xy, visible, **settings))


def center(image: np.ndarray) -> np.ndarray:
    """(x, y) in raster pixels of what is red."""
    weight = image[..., 0].astype(float) - image[..., 1]
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("at", [(60.0, 45.0), (60.5, 45.5), (30.25, 20.75)])
def test_a_disc_is_centred_on_its_raster_position(at: tuple[float, float]) -> None:
    (image,) = painted([[at]], colors=RED, scale=3)
    assert center(image) == pytest.approx(at, abs=0.06)


def test_a_visible_point_is_filled_and_a_hidden_one_hollow() -> None:
    spots = [[[30, 45]], [[90, 45]]]
    (image,) = painted(spots, [[True], [False]], colors=RED.repeat(2, 0), scale=3)
    assert tuple(image[45, 30]) == (255, 0, 0)
    assert tuple(image[45, 90]) == (0, 0, 0)
    disc, ring = image[:, :60, 0] > 128, image[:, 60:, 0] > 128
    assert 10 < ring.sum() < 0.6 * disc.sum()


def test_a_trail_fades_with_age_and_ends() -> None:
    xy = np.full((1, 60, 2), 45, np.float32)
    xy[0, :, 0] = np.minimum(10 + 10 * np.arange(60), 110)
    frames = painted(xy, colors=RED, trail=16)
    along = frames[10][44:46, [15, 35, 55, 75, 95], 0].max(0)  # drawn 10, 8, 6, 4 and 2 frames ago
    assert (np.diff(along.astype(int)) > 0).all()
    assert along[0] > 10
    assert frames[-1][:, :100].max() == 0  # rounding leaves no ghost
    assert painted(xy, colors=RED, trail=0)[10][:, :100].max() == 0


def test_a_longer_trail_reaches_further_back() -> None:
    xy = np.full((1, 12, 2), 45, np.float32)
    xy[0, :, 0] = 5 + 10 * np.arange(12)
    short, long = (painted(xy, colors=RED, trail=t)[-1][44, 10, 0] for t in (5, 30))
    assert long > short + 30


def test_the_trail_of_a_hidden_point_is_fainter() -> None:
    xy = np.array([[[20, 45], [90, 45]]])
    seen, hidden = (painted(xy, [[True, v]], colors=RED)[1][44:46, 55, 0].max() for v in (1, 0))
    assert 0 < hidden < 0.5 * seen


def test_discs_cover_rings() -> None:
    spots = [[[60, 45]], [[60, 45]]]
    for order in ([True, False], [False, True]):
        (image,) = painted(spots, np.array(order)[:, None], colors=RED.repeat(2, 0), scale=3)
        assert tuple(image[45, 60]) == (255, 0, 0)
        (alone,) = painted(spots[:1], [[True]], colors=RED, scale=3)
        inside = np.hypot(*(np.indices((90, 120)) + 0.5 - [[[45]], [[60]]])) < 3
        np.testing.assert_array_equal(image[inside], alone[inside])


def test_markers_grow_with_the_frame() -> None:
    area = {}
    for factor in (2, 6):
        frame = np.zeros((270 * factor, 480 * factor, 3), np.uint8)
        (image,) = painted([[[240 * factor, 135 * factor]]], frame=frame, colors=RED)
        area[factor] = (image[..., 0] > 128).sum()
    assert area[6] / area[2] == pytest.approx(9, rel=0.25)


def test_a_point_keeps_its_colour_whatever_the_frame_and_the_other_tracks_do() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(10, 80, (9, 5, 2))
    still = np.repeat(xy[:, :1], 5, 1)
    colors = color_by_position(beginnings(xy, np.ones((9, 5), bool)))
    np.testing.assert_array_equal(colors, color_by_position(still[:, 0]))
    order = rng.permutation(9)
    np.testing.assert_array_equal(color_by_position(xy[order, 0]), colors[order])
    frames = painted(still, trail=0)
    assert all((frame == frames[0]).all() for frame in frames)


def test_neighbours_look_alike_and_far_points_do_not() -> None:
    y, x = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    grid = np.stack([x, y], -1).reshape(-1, 2).astype(float)
    colors = color_by_position(grid).reshape(16, 16, 3)
    lab = cv2.cvtColor(colors.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    beside = np.linalg.norm(np.diff(lab, axis=1), axis=-1)
    below = np.linalg.norm(np.diff(lab, axis=0), axis=-1)
    far = np.linalg.norm(lab[:, 0] - lab[:, -1], axis=-1)
    assert max(beside.max(), below.max()) < far.min()
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) == 256


def test_a_track_begins_where_it_is_first_visible() -> None:
    nan = [np.nan, np.nan]
    xy = np.array([[nan, [1, 2], [3, 4]], [[5, 6], [7, 8], nan], [nan, nan, nan]], np.float32)
    visible = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]], bool)
    assert beginnings(xy, visible).tolist() == [[3, 4], [5, 6], [0, 0]]
    assert beginnings(np.zeros((2, 0, 2)), np.zeros((2, 0), bool)).tolist() == [[0, 0], [0, 0]]


def test_unknown_and_far_positions_are_not_drawn() -> None:
    wild = [[np.nan, np.nan], [np.inf, 5], [1e30, -1e30], [-1e9, 40], [60, 1e6], [60, np.nan]]
    xy = np.array([wild, wild[::-1]], np.float32)
    for image in painted(xy, [[True] * 6, [False] * 6]):
        assert image.max() == 0


def test_a_point_just_outside_leaves_its_trail_inside() -> None:
    frames = painted([[[60, 45], [140, 45]]], colors=RED)
    assert frames[1][44:46, 110, 0].max() > 100


def test_frames_are_copied_and_untouched_where_nothing_is_drawn() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    before = frame.copy()
    frames = painted(np.full((1, 4, 2), 20.0), frame=frame)
    np.testing.assert_array_equal(frame, before)
    for image in frames:
        assert not np.shares_memory(image, frame)
        np.testing.assert_array_equal(image[40:], frame[40:])
        assert (image != frame).any()
    (image,) = painted(np.zeros((0, 1, 2)), frame=frame)
    np.testing.assert_array_equal(image, frame)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 640), (1081, 1919)])
def test_any_frame_size_works(size: tuple[int, int]) -> None:
    frame = np.zeros((*size, 3), np.uint8)
    at = [size[1] / 2, size[0] / 2]
    frames = painted([[at, at, at]], frame=frame, colors=RED)
    assert [image.shape for image in frames] == [frame.shape] * 3
    assert all(image[size[0] // 2, size[1] // 2, 0] > 200 for image in frames)


def test_drawing_streams() -> None:
    given = []

    def frames():
        for t in range(300):
            given.append(t)
            yield BLACK.copy()

    iterator = draw(frames(), np.zeros((1, 300, 2)), np.ones((1, 300), bool))
    next(iterator)
    assert given == [0]
    tracemalloc.start()
    for _ in iterator:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * BLACK.nbytes


def test_lists_are_as_good_as_arrays() -> None:
    (frame,) = draw([BLACK], [[[9, 9]]], [[True]], colors=[[255, 0, 0]])  # type: ignore[arg-type]
    assert frame[9, 9].tolist() == [255, 0, 0]


def test_wrong_shapes_and_too_many_frames_are_errors() -> None:
    with pytest.raises(ValueError, match=r"visible: expected \[N T\] with N=2, T=3, got \[2, 4\]"):
        draw([BLACK], np.zeros((2, 3, 2)), np.ones((2, 4), bool))
    with pytest.raises(ValueError, match=r"colors: expected \[N 3\]"):
        draw([BLACK], np.zeros((2, 3, 2)), np.ones((2, 3), bool), colors=RED)
    with pytest.raises(ValueError, match=r"as many as the tracks have \(2\), got more; give the"):
        list(draw([BLACK] * 3, np.zeros((1, 2, 2)), np.ones((1, 2), bool)))


def test_the_demo_clip_ships_with_its_licence() -> None:
    folder = Path(tapnet.__file__).parent / "demo_clip"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.keys() >= {"file", "source", "licence", "attribution", "changes", "made_by"}
    assert "CC BY 3.0" in manifest["licence"]
    assert "Blender Foundation" in manifest["attribution"]
    path = folder / manifest["file"]
    assert path.stat().st_size < 500_000
    clip = video.open(path)
    assert (len(clip), clip.size, clip.fps, clip.warnings) == (70, (360, 640), 24, [])
    change = np.abs(np.diff(clip.read()[:, ::8, ::8].astype(int), axis=0)).mean((1, 2, 3))
    assert change.min() > 0.3  # no frame twice
    assert change.max() < 15  # no shot cut
