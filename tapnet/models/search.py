"""Where taplite's points may be in a frame: heat maps over its coarse cells, and their peaks.

Axes: M points, cells [h, w]; places (x, y) are in cells, the middle of the first at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tapnet.models.layers import quick_on_a_cpu, soft_argmax, summed_taps
from tapnet.models.rows import Rows

LIKE_LATELY = 0.7  # cosine from which a cell looks as the point did lately
MARGIN = 2  # cells around a window that its heat depends on: two convolutions of 3 x 3


@dataclass(frozen=True)
class Found(Rows):
    """The best place of each point."""

    place: Tensor  # [M, 2]
    clear: Tensor  # [M, 7] how the peak stands out, how alike it is, how alike any cell is

    @property
    def alike(self) -> Tensor:
        """[M] bool: whether the point looks there as it lately did."""
        lately = self.clear[:, 3]  # of the three likenesses at the peak, the last
        return lately > LIKE_LATELY


class Search(nn.Module):
    """A heat map for each point, from how alike the cells are and where it is expected."""

    ALIKE = 3  # kinds of likeness: to the point and to the patch asked for, to the lately seen
    CHANNELS = ALIKE + 2  # and near the expected place at two scales

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(self.CHANNELS, 16, 3, padding=1)
        self.out = nn.Conv2d(16, 1, 3, padding=1)
        self.weights = nn.Linear(hidden, self.ALIKE + 1)
        nn.init.zeros_(self.weights.weight)
        with torch.no_grad():
            self.weights.bias.copy_(torch.tensor([2.0, 2.0, 2.0, 0.0]))
        nn.init.trunc_normal_(self.out.weight, std=1e-3)

    def forward(self, likeness: Tensor, near: Tensor, hidden: Tensor) -> Tensor:
        """Heat [M, h, w] from the kinds of likeness [M, 3, h, w], and the squared distance `near`
        [M, h, w] in cells from the expected place."""
        close = -torch.log1p(near / 2)
        channels = [*(4 * likeness).unbind(1), close / 2, 16 / (16 + near)]
        weights = F.softplus(self.weights(hidden))[:, :, None, None]
        mixed = torch.stack(channels, dim=-1).permute(0, 3, 1, 2)  # channels last
        mixed = F.relu(self.mix(mixed), inplace=True)
        heat = summed_taps(self.out, mixed) if quick_on_a_cpu(mixed) else self.out(mixed)[:, 0]
        alike = (weights[:, :-1] * likeness).sum(1)
        return heat + 4 * alike + weights[:, -1] * close

    def everywhere(self, likeness: Tensor, expected: Tensor, hidden: Tensor) -> Tensor:
        """Heat [M, h, w] of all cells; `expected` [M, 2] are places."""
        x, y = _every(likeness)
        return self(likeness, _squared_distance(x, y, expected), hidden)

    def find(
        self, likeness: Tensor, expected: Tensor, hidden: Tensor, sure: Tensor, reach: int
    ) -> Found:
        """The best place of each point. Where it is `sure` [M], of the 2 reach + 1 cells either way
        around the expected one (shifted into the frame), if the point looks there as it did lately;
        else of all cells.

        On a CPU a point that is found near costs no more than its window.
        """
        height, width = likeness.shape[2:]
        size = expected.new_tensor([width, height])
        middle = torch.minimum(expected.floor(), size - 1 - reach).clamp_min(reach)
        span = 2 * (reach + MARGIN) + 1
        if not (len(sure) and quick_on_a_cpu(likeness)) or span > min(height, width):
            heat = self.everywhere(likeness, expected, hidden)
            near = peaks(heat, likeness, _window(*_every(likeness), middle, reach))
            return near.where(sure & near.alike, peaks(heat, likeness))
        known = sure.nonzero()[:, 0]
        parts, whose, lost = [], [], torch.ones_like(sure)
        if len(known):
            corner = torch.minimum(middle[known] - reach - MARGIN, size - span).clamp_min(0)
            x, y = (corner[:, i : i + 1] + torch.arange(span) for i in range(2))
            maps = self.ALIKE * known[:, None] + torch.arange(self.ALIKE)
            cells = width * y.long()[:, :, None] + x.long()[:, None, :]
            index = height * width * maps[:, :, None, None] + cells[:, None]
            part = likeness.flatten().index_select(0, index.flatten()).view(index.shape)
            heat = self(part, _squared_distance(x, y, expected[known]), hidden[known])
            near = peaks(heat, part, _window(x, y, middle[known], reach))
            alike = near.alike.nonzero()[:, 0]
            whose.append(known[alike])
            parts.append(Found(near.place + corner, near.clear).take(alike))
            lost[known[alike]] = False
        others = lost.nonzero()[:, 0]
        if len(others):
            heat = self.everywhere(likeness[others], expected[others], hidden[others])
            whose.append(others)
            parts.append(peaks(heat, likeness[others]))
        return Found.joined(parts).take(torch.cat(whose).argsort())


def peaks(heat: Tensor, likeness: Tensor, inside: Tensor | None = None) -> Found:
    """The peaks of heat maps [M, h, w]; of the cells `inside` [M, h, w] alone, if given."""
    if inside is not None:
        heat = heat.masked_fill(~inside, -torch.inf)
        likeness = likeness.masked_fill(~inside[:, None], -1.0)
    flat, alike = heat.flatten(1), likeness.flatten(2)
    best, where = flat.max(dim=1)
    stands_out = (best - flat.logsumexp(1)).clamp_min(-8) / 4
    at = alike.gather(2, where[:, None, None].expand(-1, alike.shape[1], 1))[:, :, 0]
    clear = torch.cat([stands_out[:, None], at, alike.amax(2)], dim=1)
    return Found(soft_argmax(heat, radius=3.0), clear)


def _every(likeness: Tensor) -> tuple[Tensor, Tensor]:
    """x [1, w] and y [1, h] of all cells."""
    height, width = likeness.shape[2:]
    x, y = (torch.arange(n, device=likeness.device)[None] for n in (width, height))
    return x.to(likeness.dtype), y.to(likeness.dtype)


def _squared_distance(x: Tensor, y: Tensor, place: Tensor) -> Tensor:
    """[M, h, w] from the middles of the cells x [M, w] and y [M, h] to the places [M, 2]."""
    away_x, away_y = x + 0.5 - place[:, :1], y + 0.5 - place[:, 1:]
    return away_x.square()[:, None, :] + away_y.square()[:, :, None]


def _window(x: Tensor, y: Tensor, middle: Tensor, reach: int) -> Tensor:
    """[M, h, w]: which of the cells x [M, w] and y [M, h] are at most `reach` from `middle`."""
    near_x, near_y = (x - middle[:, :1]).abs() <= reach, (y - middle[:, 1:]).abs() <= reach
    return near_x[:, None, :] & near_y[:, :, None]
