"""Cycle consistency finds a point where its features are, and doubts what does not lead back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tapnet
from tapnet import checkpoint, models
from tapnet.baselines.cycle import Cycle
from tapnet.evaluate.protocol import protocol_of
from tapnet.models.features import FrameFeatures

STRIDE, H, W = 8, 96, 128


def codes(seed: int = 0, height: int = 40, width: int = 40) -> Tensor:
    """[height, width, 512] random waves: likeness falls off alike on all sides of every place."""
    random = torch.manual_seed(seed)
    waves = torch.randn(2, 512, generator=random) / 1.5
    phase = torch.rand(512, generator=random) * 2 * torch.pi
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.cos(torch.stack([y, x], dim=-1).float() @ waves + phase)


def moving(offsets: list[tuple[int, int]]) -> Callable[[Tensor], Tensor]:
    """Features of a world that moves by whole cells (x, y) a frame, whatever the pixels are."""
    world = codes()

    def features(video: Tensor) -> Tensor:
        h, w = video.shape[1] // STRIDE, video.shape[2] // STRIDE
        return torch.stack([world[10 - y : 10 - y + h, 10 - x : 10 - x + w] for x, y in offsets])

    return features


def video(frames: int) -> Tensor:
    return torch.zeros(1, frames, H, W, 3, dtype=torch.uint8)


OFFSETS = [(0, 0), (1, 0), (3, 2), (-2, 1)]
# (t, y, x) with x and y of different ranges: an implementation that swaps them leaves the frame
QUERIES = torch.tensor([[0, 44.0, 100.0], [1, 20.0, 67.0], [3, 60.0, 28.0], [2, 48.0, 80.0]])


def test_points_are_found_where_their_features_are_in_every_frame() -> None:
    prediction = Cycle(moving(OFFSETS))(video(4), QUERIES[None])
    at = torch.tensor(OFFSETS)[None] - torch.tensor(OFFSETS)[QUERIES[:, 0].long()][:, None]
    truth = QUERIES[:, None, [2, 1]] + STRIDE * at
    assert (prediction.tracks[0] - truth).norm(dim=-1).max() < STRIDE / 4
    assert prediction.visible.all()


def test_a_point_is_at_its_query_in_its_frame() -> None:
    prediction = Cycle(moving(OFFSETS))(video(4), QUERIES[None])
    rows = torch.arange(4)
    assert prediction.tracks[0, rows, QUERIES[:, 0].long()].equal(QUERIES[:, [2, 1]])
    assert (prediction.confidence[0, rows, QUERIES[:, 0].long()] > 0.99).all()


def test_a_point_whose_features_are_gone_is_occluded() -> None:
    """In frame 1 other features stand in the world's place: from there no way leads back."""
    world, other = codes(0), codes(1)

    def features(frames: Tensor) -> Tensor:
        return torch.stack([field[10:22, 10:26] for field in (world, other, world)])

    prediction = Cycle(features)(video(3), QUERIES[None, :1])
    assert prediction.visible[0, 0].tolist() == [True, False, True]


def test_a_point_outside_the_frame_is_occluded() -> None:
    queries = torch.tensor([[[0, 44.0, -1.0], [0, H + 3.0, 9.0], [0, 60.0, 60.0]]])
    prediction = Cycle(moving(OFFSETS))(video(4), queries)
    assert prediction.visible[0].any(-1).tolist() == [False, False, True]
    assert prediction.tracks.isfinite().all()


def test_points_do_not_depend_on_one_another() -> None:
    model = Cycle(moving(OFFSETS))
    together = model(video(4), QUERIES[None])
    for i in range(len(QUERIES)):
        alone = model(video(4), QUERIES[None, i : i + 1])
        torch.testing.assert_close(alone.tracks[0, 0], together.tracks[0, i], atol=1e-4, rtol=0)
        assert alone.visible[0, 0].equal(together.visible[0, i])


def test_a_single_cell_and_no_points_are_fine() -> None:
    model = Cycle(lambda frames: torch.ones(len(frames), 1, 1, 3))
    assert model(video(2), QUERIES[None, :1]).tracks.isfinite().all()
    assert model(video(2), torch.zeros(1, 0, 3)).tracks.shape == (1, 0, 2, 2)


@pytest.mark.parametrize(
    "features", [torch.zeros(3, 4, 4), torch.zeros(2, 4, 4, 8), torch.full((3, 4, 4, 8), np.nan)]
)
def test_features_of_another_shape_are_refused(features: Tensor) -> None:
    with pytest.raises(ValueError, match=r"features: expected finite \[T h w C\] with T=3"):
        Cycle(lambda frames: features)(video(3), QUERIES[None, :1])


# --------------------------------------------------------------------------- features of models


@pytest.mark.parametrize(
    ("name", "stride", "channels"), [("taplite", 4, 48 + 96), ("tapir", 4, 384), ("tapnet", 8, 256)]
)
def test_every_model_gives_its_features(name: str, stride: int, channels: int) -> None:
    settings = {"initial_resolution": (32, 48)} if name == "tapir" else {}
    features = FrameFeatures(models.build(name, **settings).eval())
    frames = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        grids = features(frames)
    assert grids.shape == (2, 32 // stride, 48 // stride, channels)
    prediction = Cycle(features)(frames[None], torch.tensor([[[0, 12.0, 40.0]]]))
    assert prediction.tracks.shape == (1, 1, 2, 2)


def test_frames_of_any_size_have_cells_of_one_size() -> None:
    """Padding the frames instead would shift every cell: 41 px are not 48."""
    features = FrameFeatures(models.build("taplite").eval())
    frames = torch.randint(0, 256, (1, 41, 50, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert features(frames).shape[1:3] == (12, 12)


def test_cycle_is_loaded_on_the_features_of_the_default_model_or_of_a_file(tmp_path: Path) -> None:
    tracker = tapnet.load("cycle", device="cpu")
    assert tracker.name == "cycle"
    assert tracker.resolution == tapnet.load(device="cpu").resolution is not None
    assert not tracker.model.online
    checkpoint.save(tmp_path / "mine.safetensors", models.build("taplite"))
    other = tapnet.load(f"cycle:{tmp_path / 'mine.safetensors'}", device="cpu")
    assert other.name == "cycle-mine"
    with pytest.raises(ValueError, match="features: expected a model with weights, got KLT"):
        tapnet.load("cycle:klt")


def test_the_protocol_tells_the_weights_behind_the_features(tmp_path: Path) -> None:
    from tapnet.data import TapVid
    from tapnet.evaluate import Settings

    path = tmp_path / "a.pkl"
    path.write_bytes(b"nothing is read but the hash")
    one, other = (Cycle(FrameFeatures(models.build("taplite"))) for _ in range(2))
    hashes = {
        protocol_of(TapVid(path), tapnet.Tracker(model, "cycle"), Settings()).weights_sha256
        for model in (one, other, Cycle(moving(OFFSETS)))
    }
    assert len(hashes) == 3
    assert None in hashes
