"""What each kind of training minimises, by name: model and batch to named terms, summed up."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from tapnet import checkpoint
from tapnet.data.batches import Batch
from tapnet.losses import first_release_loss, training_loss
from tapnet.models import Tapir, Taplite, TapNet
from tapnet.structs import Prediction

Terms = dict[str, Tensor]  # weights applied; their sum is minimised


def tapir(model: nn.Module, batch: Batch) -> Terms:
    """TAPIR's loss and that of today's TAP-Net, over all refinements. SPEC 10.1."""
    return _terms(model(batch.video, batch.query_points), batch)


def first_release(model: nn.Module, batch: Batch) -> Terms:
    """TAP-Net's loss of the first 2022 release, with the contrastive term. SPEC 4.3, 10.1."""
    if not isinstance(model, TapNet):
        raise ValueError(f"loss first_release: expected a TAP-Net, got {type(model).__name__}")
    prediction, grid, features = model.with_features(batch.video, batch.query_points)
    found = first_release_loss(
        prediction, grid, features, batch.target_points, batch.occluded, batch.size
    )
    return {
        "position": found.position,
        "occlusion": found.occlusion,
        "contrastive": found.uncertainty,
    }


SHARPNESS = 25.0  # of the likeness of cells, when features are taught


def taught(model: nn.Module, batch: Batch) -> Terms:
    """`tapir`, and the features learn which cells the shipped taplite finds alike.

    Each cell of a frame compares itself with all cells of the next; the student's softmax over
    them should be the teacher's. So each cell of each frame says something, not the tracks alone.
    """
    if not isinstance(model, (TapNet, Tapir)):
        raise ValueError(f"loss taught: expected a TAP-Net or TAPIR, got {type(model).__name__}")
    prediction, grid, _ = model.with_features(batch.video, batch.query_points)
    wanted = _said_by_the_teacher(batch.video)
    # The teacher pads a video to multiples of 16; more may not be missing from the student.
    if any(size - 1 > own for size, own in zip(wanted.shape[1:3], grid.shape[2:4], strict=True)):
        raise ValueError(
            f"loss taught: expected features of the clips' size, {tuple(wanted.shape[1:3])} cells, "
            f"got {tuple(grid.shape[2:4])}; make augment.size and model.initial_resolution equal"
        )
    wanted = wanted[:, : grid.shape[2], : grid.shape[3]].unflatten(0, grid.shape[:2])
    distance = F.kl_div(_alike(grid), _alike(wanted), reduction="none", log_target=True)
    return {**_terms(prediction, batch), "features": distance.sum(-1).mean()}


def _alike(grid: Tensor) -> Tensor:
    """[B, T, cells, cells] log-softmax of how alike cells of a frame and of the next are.

    The frame after the last one is the first. grid [B, T, h, w, C], unit vectors.
    """
    cells = grid.flatten(2, 3)
    return (SHARPNESS * cells @ cells.roll(-1, 1).mT).log_softmax(-1)


@_disable_dynamo  # see `layers`
@torch.no_grad()
def _said_by_the_teacher(video: Tensor) -> Tensor:
    """[B * T, h, w, C] of the shipped taplite."""
    return _teacher(video.device).grids(video.flatten(0, 1)).coarse


@lru_cache
def _teacher(device: torch.device) -> Taplite:
    model = checkpoint.load(checkpoint.shipped()["taplite"]).to(device).eval()
    assert isinstance(model, Taplite)
    return model


def own(model: nn.Module, batch: Batch) -> Terms:
    """What the model itself says, by its method `training_losses`."""
    if not hasattr(model, "training_losses"):
        raise ValueError(
            f"loss own: expected a model with a method training_losses, {type(model).__name__} has "
            f"none; take one of {', '.join(name for name in LOSSES if name != 'own')}"
        )
    losses = cast(Callable[..., Terms], model.training_losses)
    return losses(batch.video, batch.query_points, batch.target_points, batch.occluded)


def _terms(prediction: Prediction, batch: Batch) -> Terms:
    found = training_loss(prediction, batch.target_points, batch.occluded, batch.size)
    terms = {"position": found.position, "occlusion": found.occlusion}
    if prediction.expected_dist is not None:
        terms["uncertainty"] = found.uncertainty
    return terms


LOSSES: dict[str, Callable[[nn.Module, Batch], Terms]] = {
    "tapir": tapir,
    "first_release": first_release,
    "taught": taught,
    "own": own,
}
