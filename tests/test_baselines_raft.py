"""Chains of learned flow: a network of ptlflow is asked in its own terms, and followed as any flow.

ptlflow itself is no part of the tests: a module with its interface stands in for it, whose network
moves everything by its one weight.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tapnet
from tapnet.baselines import raft
from tapnet.baselines.raft import RaftFlow, RaftMultiFlow
from tapnet.data import open_dataset
from tapnet.evaluate import Settings
from tapnet.evaluate.protocol import protocol_of

H, W, T = 40, 60, 6
STEP = 2.0  # pixels to the right, a frame


class Network(nn.Module):
    """Says that all moves `step` pixels to the right, or as far back as the red line came from."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(0.0))
        self.seen: list[Tensor] = []

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        images = inputs["images"]
        assert images.shape[:3] == (1, 2, 3)
        self.seen.append(images)
        column = [frame[2].mean(0).argmax() for frame in images[0]]  # the last channel is red
        moved = self.step * (column[1] - column[0]).sign() * (column[1] - column[0]).abs() / STEP
        flow = torch.zeros(1, 1, 2, *images.shape[-2:])
        flow[:, :, 0] = moved
        return {"flows": flow}


@pytest.fixture
def ptlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with the interface of ptlflow, which knows `raft` and `raft_small`."""

    def get_model(name: str, ckpt_path: str) -> nn.Module:
        network = Network()
        content = torch.load(ckpt_path, weights_only=True)
        network.load_state_dict(content["state_dict"])
        return network

    fake = ModuleType("ptlflow")
    fake.get_model = get_model  # type: ignore[attr-defined]
    fake.get_model_names = lambda: ["raft", "raft_small"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ptlflow", fake)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "ptlflow" or found(name))


def weights(path: Path, step: float = STEP, key: str = "state_dict") -> Path:
    torch.save({key: {"step": torch.tensor(step)}}, path)
    return path


def moving() -> np.ndarray:
    """[T, H, W, 3]: a texture that goes right, with the red line of column 20."""
    texture = np.random.default_rng(0).integers(0, 128, (H, W + 40, 3), np.uint8)
    texture[:, 40 + 20] = [255, 0, 0]
    texture[:, :, 0] //= 2
    texture[:, 40 + 20, 0] = 255
    return np.stack([texture[:, 40 - 2 * t : 40 - 2 * t + W] for t in range(T)])


@pytest.mark.usefixtures("ptlflow")
@pytest.mark.parametrize("name", ["raft", "raft-multi"])
def test_points_go_where_the_network_says(name: str, tmp_path: Path) -> None:
    path = weights(tmp_path / "raft_small-things-abc.ckpt")
    tracker = tapnet.load(f"{name}:{path}", device="cpu")
    assert tracker.name == f"{name}-raft_small-things-abc"
    assert tracker.resolution is None
    tracks = tracker.track(moving(), [[2, 10.5, 30.5], [0, 30.5, 20.5]])
    expected = np.stack([30.5 + STEP * (np.arange(T) - 2), 20.5 + STEP * np.arange(T)])
    np.testing.assert_allclose(tracks.xy[..., 0], expected, atol=1e-4)
    np.testing.assert_allclose(tracks.xy[..., 1], [[10.5] * T, [30.5] * T], atol=1e-4)
    assert tracks.visible.all()
    model: Any = tracker.model
    assert isinstance(model, RaftFlow | RaftMultiFlow)
    seen = model.network.seen[0]
    assert seen.shape == (1, 2, 3, 128, 128)  # no smaller image has four grids
    assert (seen.min(), seen.max()) == (0, 1)


@pytest.mark.usefixtures("ptlflow")
def test_the_weights_of_the_network_are_those_of_the_tracker(tmp_path: Path) -> None:
    import pickle

    clip = {
        "video": moving(),
        "points": np.full((1, T, 2), 0.5),
        "occluded": np.zeros((1, T), bool),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": clip}))
    dataset = open_dataset(tmp_path / "a.pkl")
    hashes = []
    for step in (1.0, 2.0, 1.0):
        path = weights(tmp_path / "raft-things.ckpt", step)
        protocol = protocol_of(dataset, tapnet.load(f"raft:{path}", device="cpu"), Settings())
        hashes.append(protocol.weights_sha256)
        assert (protocol.precision, protocol.device) == ("float32", "cpu")
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.usefixtures("ptlflow")
def test_weights_that_ptlflow_has_kept_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"raft-things-.*name the file: raft:FILE"):
        tapnet.load("raft")
    raft.kept().parent.mkdir()
    weights(raft.kept())
    assert tapnet.load("raft", device="cpu").name == "raft"


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch harmed",)


@pytest.mark.usefixtures("ptlflow")
def test_files_that_hold_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Harmful()}, "raft-harmful.ckpt")
    with pytest.raises(ValueError, match="could run code and is not read"):
        tapnet.load("raft:raft-harmful.ckpt")
    assert not Path("harmed").exists()
    Path("raft-cut.ckpt").write_bytes(Path("raft-harmful.ckpt").read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged or that holds something else"):
        tapnet.load("raft:raft-cut.ckpt")
    weights(Path("raft-other.ckpt"), key="weights")
    with pytest.raises(ValueError, match=r"raft-other\.ckpt: expected weights of raft"):
        tapnet.load("raft:raft-other.ckpt")
    weights(Path("mine.ckpt"))
    with pytest.raises(ValueError, match="no model 'mine'; there are raft, raft_small"):
        tapnet.load("raft:mine.ckpt")


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs ptlflow.*pip install 'tapnet\[raft\]'"):
        tapnet.load(f"raft:{weights(tmp_path / 'raft-a.ckpt')}")
