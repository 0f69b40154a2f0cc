"""Chains of learned optical flow: RAFT (Z. Teed and J. Deng, ECCV 2020) and its kin, by ptlflow.

ptlflow (https://github.com/hmorimitsu/ptlflow) has the networks of some fifty papers, each with
weights in files MODEL-DATA-HASH.ckpt. The file's name tells which network it is of. Nothing is
downloaded here: without a file the one that ptlflow itself has kept is taken. How points are
followed, lost and found again is that of `flow`.
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tapnet.baselines.flow import Flow, MultiFlow

SMALLEST = 128  # pixels: the coarsest of RAFT's four grids has then two cells a side
KEPT = "raft-things-802bbcfd.ckpt"  # where ptlflow keeps what it has downloaded
HAD_FROM = "https://github.com/hmorimitsu/ptlflow/releases/tag/weights1"


class Learned(nn.Module):
    """A network of ptlflow as a `DenseFlow`; it moves between devices with the tracker."""

    def __init__(self, network: nn.Module) -> None:
        nn.Module.__init__(self)
        self.network = network

    def between(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """A `DenseFlow`."""
        return _flow(self.network, before, after)


class RaftFlow(Flow, Learned):
    """Adds up the flow of a network from frame to frame."""

    def __init__(self, network: nn.Module) -> None:
        Learned.__init__(self, network)
        Flow.__init__(self, self.between)


class RaftMultiFlow(MultiFlow, Learned):
    """Adds up the flow of a network over gaps of several lengths."""

    def __init__(self, network: nn.Module) -> None:
        Learned.__init__(self, network)
        MultiFlow.__init__(self, self.between)


def kept() -> Path:
    """Where ptlflow keeps the weights of RAFT, once it has downloaded them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / KEPT


def load_network(path: Path) -> nn.Module:
    """The network with the weights in a file of ptlflow.

    Raises ImportError without ptlflow, FileNotFoundError without the file, and ValueError for a
    file of another kind. Nothing in the file is run.
    """
    if importlib.util.find_spec("ptlflow") is None:
        raise ImportError(
            "learned optical flow needs ptlflow, which is not installed; install it in an "
            "environment of its own, as it brings another OpenCV: pip install 'tapnet[raft]'"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected weights of ptlflow such as {KEPT}, from {HAD_FROM}; "
            "name the file: raft:FILE"
        )
    import ptlflow

    name, names = path.stem.partition("-")[0], ptlflow.get_model_names()
    if name not in names:
        raise ValueError(
            f"{path}: expected a file named MODEL-DATA-HASH.ckpt as ptlflow names them, got no "
            f"model {name!r}; there are {', '.join(names)}"
        )
    _check(path)
    try:
        network: nn.Module = ptlflow.get_model(name, str(path))
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{path}: expected weights of {name}, but {error}") from error
    return network.eval()


def _check(path: Path) -> None:
    """Raises ValueError unless the file holds tensors alone, so that reading it runs nothing."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a file of tensors only, got one that is damaged or that holds "
            f"something else, which could run code and is not read; it is had from {HAD_FROM}"
        ) from error


@torch.no_grad()
def _flow(network: nn.Module, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """[H, W, 2] float32 from two frames [H, W, 3] uint8 RGB: ptlflow takes BGR from 0 to 1."""
    height, width = before.shape[:2]
    device = next(network.parameters()).device
    frames = torch.from_numpy(np.stack([before, after])[..., ::-1].copy()).to(device)
    images = frames.permute(0, 3, 1, 2).float() / 255
    more = (0, max(SMALLEST - width, 0), 0, max(SMALLEST - height, 0))
    said: dict[str, Any] = network({"images": nn.functional.pad(images, more, "replicate")[None]})
    flow: Tensor = said["flows"][0, 0, :, :height, :width]
    return np.ascontiguousarray(flow.permute(1, 2, 0).float().cpu().numpy())
