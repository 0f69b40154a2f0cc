"""What training minimises: position, occlusion and uncertainty, and the 2022 contrastive term.

All of SPEC section 10.1. Positions are compared in pixels of a 256 x 256 image whatever the video;
every term is a mean over ALL entries, with zeros where it does not apply.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from tapnet.geometry import rescale, sample_grid, xy_to_yx
from tapnet.structs import Prediction

SCALE = (256, 256)  # positions are compared in its pixels


@dataclass(frozen=True)
class Losses:
    """The terms of a training loss, weights applied; scalars."""

    position: Tensor
    occlusion: Tensor
    uncertainty: Tensor

    @property
    def total(self) -> Tensor:
        return self.position + self.occlusion + self.uncertainty

    def __add__(self, other: Losses) -> Losses:
        return Losses(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def squared_error(tracks: Tensor, target_points: Tensor) -> Tensor:
    """[B, N, T] squared distance of [B, N, T, 2] and [B, N, T, 2]."""
    return (tracks - target_points).square().sum(dim=-1)


def huber(tracks: Tensor, target_points: Tensor, occluded: Tensor, delta: float = 4.0) -> Tensor:
    """[B, N, T] Huber loss of the distance, zero where occluded, where targets may be NaN; pixels
    at 256 x 256."""
    square = squared_error(tracks, _known(target_points, occluded))
    distance = (square + 1e-12).sqrt()  # the root's slope is infinite at zero
    loss = torch.where(distance < delta, square / 2, delta * (distance - delta / 2))
    return loss * ~occluded


def uncertainty(
    tracks: Tensor,
    expected_dist: Tensor,
    target_points: Tensor,
    occluded: Tensor,
    threshold: float = 6.0,
) -> Tensor:
    """[B, N, T] cross-entropy of the logit with "farther than threshold", zero where occluded.

    Pixels at 256 x 256. No gradient reaches the positions. Targets may be NaN where occluded.
    """
    far = squared_error(tracks.detach(), _known(target_points, occluded)) > threshold**2
    loss = F.binary_cross_entropy_with_logits(
        expected_dist, far.to(expected_dist.dtype), reduction="none"
    )
    return loss * ~occluded


def _known(target_points: Tensor, occluded: Tensor) -> Tensor:
    """With zeros where occluded: not a number times zero is not a number."""
    return torch.where(occluded[..., None], 0.0, target_points)


def losses(
    prediction: Prediction,
    target_points: Tensor,
    occluded: Tensor,
    size: tuple[int, int],
    *,
    position_weight: float = 0.05,
    huber_delta: float = 4.0,
    threshold: float = 6.0,
    mask: Tensor | None = None,
    occlusion_mask: Tensor | None = None,
    rebalance_factor: float | None = None,
) -> Losses:
    """The terms of one prediction, its `refinements` left aside; see `training_loss`.

    target_points [B, N, T, 2] and prediction in raster pixels of videos of `size` (height, width);
    occluded [B, N, T] bool. `mask` [B, N, T] weighs every term, `occlusion_mask` the occlusion
    term once more. `rebalance_factor` r multiplies the occlusion term of visible entries by 1 + r.
    """
    tracks = rescale(prediction.tracks, size, SCALE)
    target_points = rescale(target_points, size, SCALE)
    position = huber(tracks, target_points, occluded, huber_delta) * position_weight
    hidden = F.binary_cross_entropy_with_logits(
        prediction.occlusion, occluded.to(prediction.occlusion.dtype), reduction="none"
    )
    if rebalance_factor is not None:
        hidden = hidden * torch.where(occluded, 1.0, 1.0 + rebalance_factor)
    if occlusion_mask is not None:
        hidden = hidden * occlusion_mask
    unsure = torch.zeros_like(hidden)
    if prediction.expected_dist is not None:
        unsure = uncertainty(tracks, prediction.expected_dist, target_points, occluded, threshold)
    terms = [position, hidden, unsure]
    return Losses(*((term if mask is None else term * mask).mean() for term in terms))


def training_loss(
    prediction: Prediction, target_points: Tensor, occluded: Tensor, size: tuple[int, int]
) -> Losses:
    """The terms summed over the final prediction and all its refinements."""
    total = losses(prediction, target_points, occluded, size)
    for earlier in prediction.refinements:
        total = total + losses(earlier, target_points, occluded, size)
    return total


def contrastive(
    grid: Tensor,
    query_features: Tensor,
    target_points: Tensor,
    occluded: Tensor,
    size: tuple[int, int],
    temperature: float = 10.0,
) -> Tensor:
    """The first 2022 release's term: the query's feature should match its true track best.

    grid [B, T, h, w, C], query_features [B, N, C], target_points [B, N, T, 2] in pixels of videos
    of `size`, whose (0, 0) is the CENTRE of the first pixel, as that release had it. Scalar: minus
    the log-softmax over all cells of all frames, along the track, occluded entries counting zero.
    """
    batch, frames, height, width, _ = grid.shape
    cells = grid.flatten(1, 3)
    every = torch.logsumexp(torch.einsum("bnc,bmc->bnm", query_features, cells) * temperature, -1)
    count = target_points.shape[1]
    time = torch.arange(frames, device=grid.device, dtype=grid.dtype).view(1, 1, frames, 1)
    place = rescale(xy_to_yx(_known(target_points, occluded) + 0.5), size[::-1], (width, height))
    along = torch.cat([time.expand(batch, count, frames, 1), place], dim=-1)
    there = sample_grid(grid, along.flatten(1, 2)).unflatten(1, (count, frames))
    score = torch.einsum("bntc,bnc->bnt", there, query_features) * temperature
    return -((score - every[..., None]) * ~occluded).mean()


def first_release_loss(
    prediction: Prediction,
    grid: Tensor,
    query_features: Tensor,
    target_points: Tensor,
    occluded: Tensor,
    size: tuple[int, int],
) -> Losses:
    """The loss of the first 2022 release, with the contrastive term in the place of uncertainty."""
    weight = 100 * (2 / 256) ** 2
    usual = losses(prediction, target_points, occluded, size, position_weight=weight)
    term = contrastive(grid, query_features, target_points, occluded, size)
    return Losses(usual.position, usual.occlusion, 0.05 * term)
