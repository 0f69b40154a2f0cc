"""Structure from motion follows what is rigid, and says where it cannot."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import tapnet
from tapnet import metrics, scenes
from tapnet.baselines import colmap, sfm
from tapnet.baselines.colmap import Model
from tapnet.baselines.klt import KLT
from tapnet.baselines.sfm import SfM
from tapnet.baselines.sweep import Cameras, surfaces
from tapnet.scenes.rigid import circled, frozen
from tapnet.structs import Example, Prediction

# --------------------------------------------------------------------------- a world by hand

FOCAL, SIZE, STEP = 100.0, (80, 120), 0.5  # pixels; (height, width); the camera's way per frame
NEAR, FAR = 10.0, 25.0  # depths of two walls: they move by 5 and by 2 px a frame
SPLIT = 60  # the column where the near wall begins in frame 0


def texture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(SIZE[0], 400)).astype(np.float32)
    return 128 + cv2.GaussianBlur(noise, (0, 0), 1.5) / 0.19 * 35


def two_walls(frames: int = 9) -> np.ndarray:
    """[T, H, W] uint8: a camera goes right past a near wall, which stands before a far one."""
    near, far, out = texture(0), texture(1), []
    for t in range(frames):
        x = np.arange(SIZE[1]) + 0.5
        shifts = {depth: FOCAL * STEP * t / depth for depth in (NEAR, FAR)}
        rows = [
            np.stack([np.interp(x + shifts[depth], np.arange(400) + 0.5, row) for row in wall])
            for wall, depth in ((near, NEAR), (far, FAR))
        ]
        out.append(np.where(x + shifts[NEAR] >= SPLIT, *rows))
    return np.stack(out).round().clip(0, 255).astype(np.uint8)


def its_model(frames: int = 9, rows: list[int] | None = None) -> Model:
    """What COLMAP would say of it, with points here and there on both walls."""
    kept = np.arange(frames) if rows is None else np.array(rows)
    random = np.random.default_rng(2)
    xy = random.uniform([2, 2], [SIZE[1] - 2, SIZE[0] - 2], (60, 2))
    depth = np.where(xy[:, 0] >= SPLIT, NEAR, FAR)
    points = np.column_stack([(xy - [60, 40]) / FOCAL * depth[:, None], depth])
    seen = np.stack(np.meshgrid(np.arange(len(kept)), np.arange(60)), axis=-1).reshape(-1, 2)
    return Model(
        frames=kept,
        rotation=np.repeat(np.eye(3)[None], len(kept), 0),
        translation=np.column_stack([-STEP * kept, np.zeros((len(kept), 2))]),
        focal=np.array(FOCAL),
        centre=np.array([60.0, 40.0]),
        points=points,
        seen=seen,
    )


def as_video(gray: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.repeat(gray[..., None], 3, axis=-1))[None]


QUERIES = torch.tensor([[0, 30.3, 90.0], [0, 52.0, 46.4], [4, 20.0, 70.0], [0, 40.0, 66.0]])
DEPTHS = np.array([NEAR, FAR, NEAR, NEAR])


def truth(frames: int = 9) -> np.ndarray:
    """[N, T, 2]."""
    t, y, x = QUERIES.numpy().T[..., None]
    x = x - FOCAL * STEP * (np.arange(frames) - t) / DEPTHS[:, None]
    return np.stack([x, np.broadcast_to(y, x.shape)], axis=-1)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLMAP finds the world as it is."""
    monkeypatch.setattr(colmap, "check_installed", lambda: None)
    monkeypatch.setattr(sfm, "check_installed", lambda: None)
    monkeypatch.setattr(sfm, "reconstruct", lambda gray: [its_model(len(gray))])


def test_the_sweep_finds_the_depth_of_every_point() -> None:
    cameras = Cameras.of(its_model(), 0)
    xy = np.array([[90.0, 30.3], [20.4, 52.0], [66.0, 40.0], [30.0, 30.0]])
    surface, alike = surfaces(cameras, two_walls(), xy)
    np.testing.assert_allclose(1 / surface.inverse, [NEAR, FAR, NEAR, FAR], rtol=0.02)
    assert alike.min() > 0.95


@pytest.mark.usefixtures("known")
def test_points_are_followed_by_their_depth() -> None:
    prediction = SfM()(as_video(two_walls()), QUERIES[None])
    error = np.linalg.norm(prediction.tracks[0].numpy() - truth(), axis=-1)
    assert error[[0, 2, 3]].max() < 0.25
    assert error[1].max() < 1  # the near wall soon stands in its patch
    clear = (truth()[..., 0] > 6) & (truth()[..., 0] < SIZE[1] - 6)
    assert prediction.visible[0].numpy()[[0, 2, 3]][clear[[0, 2, 3]]].all()


@pytest.mark.usefixtures("known")
def test_a_point_behind_the_near_wall_or_outside_is_occluded() -> None:
    prediction = SfM()(as_video(two_walls()), QUERIES[None])
    edge = SPLIT - FOCAL * STEP * np.arange(9) / NEAR  # of the near wall
    covered = truth()[1, :, 0] > edge + 2
    assert covered.sum() == 3
    assert not prediction.visible[0, 1].numpy()[covered].any()
    clear = truth()[1, :, 0] < edge - 8
    assert prediction.visible[0, 1].numpy()[clear].all()
    outside = SfM()(as_video(two_walls()), torch.tensor([[[0, 30.0, 3.0], [0, 30.0, -9.0]]]))
    assert outside.visible[0].sum(-1).tolist() == [1, 0]


@pytest.mark.usefixtures("known")
def test_what_moves_by_itself_is_occluded_but_where_it_was_asked_for() -> None:
    """A patch of another texture goes up the near wall, as no rigid world lets it."""
    gray, patch = two_walls(), texture(7)[:16, :16].round().clip(0, 255).astype(np.uint8)
    for t in range(9):
        top = 60 - 6 * t
        gray[t, top : top + 16, 95 - 5 * t : 111 - 5 * t] = patch
    queries = torch.tensor([[[0, 68.0, 103.0], [0, 30.3, 90.0]]])
    visible = SfM()(as_video(gray), queries).visible[0]
    assert visible[0].tolist() == [True] + 8 * [False]
    assert visible[1].sum() >= 7


def test_frames_without_a_camera_are_occluded_and_lie_between_the_others(
    known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = its_model(rows=[0, 1, 2, 5, 6])
    monkeypatch.setattr(sfm, "reconstruct", lambda gray: [model])
    queries = torch.tensor([[0, 30.3, 90.0], [3, 30.0, 80.0]])
    prediction = SfM()(as_video(two_walls()), queries[None])
    assert prediction.visible[0, 0].tolist() == [t in model.frames for t in range(9)]
    x = prediction.tracks[0, 0, :, 0].numpy()
    np.testing.assert_allclose(x[:7], 90 - 5 * np.arange(7), atol=0.3)
    np.testing.assert_allclose(x[7:], x[6])
    assert prediction.visible[0, 1].tolist() == [t == 3 for t in range(9)]  # no camera there
    assert prediction.tracks[0, 1].unique(dim=0).tolist() == [[80.0, 30.0]]


def test_the_model_that_has_the_query_frame_is_used(
    known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [its_model(rows=[3, 4, 5, 6, 7, 8]), its_model(rows=[0, 1, 2])]
    monkeypatch.setattr(sfm, "reconstruct", lambda gray: parts)
    queries = torch.tensor([[0, 30.3, 90.0], [4, 20.0, 70.0]])
    visible = SfM()(as_video(two_walls()), queries[None]).visible[0]
    assert visible[0].tolist() == [t < 3 for t in range(9)]
    assert visible[1].tolist() == [t >= 3 for t in range(9)]


# --------------------------------------------------------------------------- COLMAP's part


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs pycolmap.*pip install 'tapnet\[sfm\]'"):
        SfM()(as_video(two_walls()), QUERIES[None])


pycolmap_there = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="needs pycolmap"
)


def scores(example: Example, prediction: Prediction) -> dict[str, float]:
    return metrics.tapvid(
        example.query_points,
        example.occluded,
        example.target_points,
        ~prediction.visible[0].numpy(),
        prediction.tracks[0].numpy(),
        "first",
    )


def tracked(model: object, example: Example) -> Prediction:
    video, queries = (torch.from_numpy(x)[None] for x in (example.video, example.query_points))
    return model(video, queries)


SETTINGS = scenes.Settings((144, 144), 10, points=64, flaws=0, occluders=0, plain=0)


@pytest.fixture(scope="module")
def rigid_clip() -> Example:
    return scenes.render(frozen(circled(scenes.sample(0, SETTINGS))))


def test_nothing_moves_in_a_frozen_scene_but_its_camera() -> None:
    settings = scenes.Settings((32, 32), 6, points=64, deforming=1)
    for scene, still in (
        (scenes.sample(4, settings), False),
        (frozen(scenes.sample(4, settings)), True),
    ):
        extras = scenes.extras(circled(scene))
        _, _, world = extras.track(scenes.render(circled(scene)).query_points)
        assert (np.ptp(world, axis=1).max() < 1e-4) == still
        assert np.ptp(extras.cameras[:, 12:15], axis=0).max() > 0.3


@pycolmap_there
def test_a_rigid_scene_is_followed_better_than_by_klt(rigid_clip: Example) -> None:
    by_klt, by_sfm = (scores(rigid_clip, tracked(m, rigid_clip)) for m in (KLT(), SfM()))
    assert by_sfm["average_pts_within_thresh"] > by_klt["average_pts_within_thresh"] + 0.1
    assert by_sfm["average_jaccard"] > by_klt["average_jaccard"] + 0.1
    assert by_sfm["pts_within_2"] > 0.85


@pycolmap_there
def test_what_moves_and_bends_is_followed_worse_than_by_klt() -> None:
    lively = replace(SETTINGS, object_speed=2, deforming=1)
    scene = circled(scenes.sample(0, lively))
    example = scenes.render(scene)
    _, _, world = scenes.extras(scene).track(example.query_points)
    moves = np.ptp(world, axis=1).max(-1) > 0.05
    assert moves.sum() > 15
    fields = ("query_points", "target_points", "occluded")
    moving = replace(example, **{name: getattr(example, name)[moves] for name in fields})
    by_klt, by_sfm = (scores(moving, tracked(m, moving)) for m in (KLT(), SfM()))
    assert by_klt["average_jaccard"] > by_sfm["average_jaccard"] + 0.05
    assert by_klt["average_pts_within_thresh"] > by_sfm["average_pts_within_thresh"] + 0.1


@pycolmap_there
def test_the_same_frames_give_the_same_model_in_a_process_of_its_own(rigid_clip: Example) -> None:
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rigid_clip.video]
    first, again = colmap.reconstruct(gray), colmap.reconstruct(iter(gray))
    assert first
    for one, other in zip(first, again, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name))
    assert "pycolmap" not in sys.modules  # it would crash the next PNG written by Pillow or OpenCV


@pycolmap_there
def test_nothing_is_claimed_of_a_scene_that_does_not_move() -> None:
    gray = np.repeat(two_walls(1), 12, axis=0)
    assert colmap.reconstruct(gray) == []
    prediction = SfM()(as_video(gray), QUERIES[None])
    assert prediction.visible[0].sum(-1).tolist() == [1, 1, 1, 1]
    assert prediction.tracks[0].equal(QUERIES[:, None, [2, 1]].expand(-1, 12, -1))


@pycolmap_there
@pytest.mark.parametrize("size", [(1, 1), (15, 200), (16, 16)])
def test_small_frames_and_few_of_them_give_no_model(size: tuple[int, int]) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    assert colmap.reconstruct(gray) == []
    assert colmap.reconstruct(gray[:2]) == []
    video = as_video(gray)
    assert SfM()(video, torch.tensor([[[1, 0.5, 0.5]]])).tracks.isfinite().all()


@pycolmap_there
def test_what_colmap_says_when_it_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, -6, "", "Check failed: something")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(RuntimeError, match=r"COLMAP failed \(-6\): Check failed: something"):
        colmap.reconstruct(two_walls())


def test_no_points_need_no_model() -> None:
    if importlib.util.find_spec("pycolmap") is None:
        pytest.skip("needs pycolmap")
    assert tapnet.load("sfm").model(as_video(two_walls()), torch.zeros(1, 0, 3)).tracks.shape == (
        *(1, 0),
        *(9, 2),
    )
