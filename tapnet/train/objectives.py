"""What each kind of training minimises, by name: model and batch to named terms, summed up."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from tapnet.data.batches import Batch
from tapnet.losses import first_release_loss, training_loss
from tapnet.models import TapNet

Terms = dict[str, Tensor]  # weights applied; their sum is minimised


def tapir(model: nn.Module, batch: Batch) -> Terms:
    """TAPIR's loss and that of today's TAP-Net, over all refinements. SPEC 10.1."""
    prediction = model(batch.video, batch.query_points)
    found = training_loss(prediction, batch.target_points, batch.occluded, batch.size)
    terms: Terms = vars(found)
    return terms if prediction.expected_dist is not None else _without(terms, "uncertainty")


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


def own(model: nn.Module, batch: Batch) -> Terms:
    """What the model itself says, by its method `training_losses`."""
    if not hasattr(model, "training_losses"):
        raise ValueError(
            f"loss own: expected a model with a method training_losses, {type(model).__name__} has "
            f"none; take one of {', '.join(name for name in LOSSES if name != 'own')}"
        )
    losses = cast(Callable[..., Terms], model.training_losses)
    return losses(batch.video, batch.query_points, batch.target_points, batch.occluded)


def _without(terms: Terms, name: str) -> Terms:
    return {key: value for key, value in terms.items() if key != name}


LOSSES: dict[str, Callable[[nn.Module, Batch], Terms]] = {
    "tapir": tapir,
    "first_release": first_release,
    "own": own,
}
