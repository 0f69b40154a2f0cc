"""What taplite's training minimises, for one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from tapnet.models.taplite import Guess

FAR = 12.0  # pixels: a position farther off is wrong; 8 of 256 where 384 are seen


def frame_losses(
    guesses: list[Guess],
    heat: Tensor,
    place: Tensor,
    truth: Tensor,
    hidden: Tensor,
    visible: Tensor,
    weight: Tensor,
) -> dict[str, Tensor]:
    """The terms [M] of the points in one frame.

    heat [M, h, w]; `place` [M, 2] is the truth [M, 2] in cells of it; the others are [M].
    """
    search = cross_entropy(heat, place) * visible
    position = 0.2 * _distance(guesses[0].xy, truth)
    occlusion = torch.zeros_like(search)
    uncertainty = torch.zeros_like(search)
    share = 1.0
    for guess in reversed(guesses[1:]):
        position = position + share * 0.5 * _distance(guess.xy, truth)
        target = hidden.to(guess.occlusion.dtype)
        bce = F.binary_cross_entropy_with_logits
        occlusion = occlusion + share * bce(guess.occlusion, target, reduction="none")
        far = ((guess.xy.detach() - truth).square().sum(-1) > FAR**2).to(target.dtype)
        unsure = bce(guess.expected_dist, far, reduction="none") * ~hidden
        uncertainty = uncertainty + share * unsure
        share *= 0.6
    return {
        "search": 0.2 * search,
        "position": position * weight,
        "occlusion": occlusion,
        "uncertainty": uncertainty,
    }


def _distance(xy: Tensor, truth: Tensor) -> Tensor:
    """[M] log(1 + pixels): a halved error counts alike near and far, as in delta_avg."""
    return ((xy - truth).square().sum(-1) + 1e-4).sqrt().log1p()


def cross_entropy(heat: Tensor, place: Tensor) -> Tensor:
    """[M] of heat [M, h, w] with the four cells around `place` [M, 2] (x, y) in cells."""
    height, width = heat.shape[-2:]
    index = place - 0.5
    low = index.floor()
    part = index - low
    logits = heat.flatten(1)
    total = logits.new_zeros(len(heat))
    for dy in (0, 1):
        for dx in (0, 1):
            x = (low[:, 0].long() + dx).clamp(0, width - 1)
            y = (low[:, 1].long() + dy).clamp(0, height - 1)
            share = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            total = total + share * logits.gather(1, (y * width + x)[:, None])[:, 0]
    return logits.logsumexp(1) - total
