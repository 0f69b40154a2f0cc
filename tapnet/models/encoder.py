"""TAPIR's encoder: from a video to the feature grids of a few resolutions. SPEC 2.1 to 2.4.

Axes: video [B, T, H, W, 3], grids [B, T, h, w, C], query points [B, N, 3] (t, y, x) raster pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tapnet.geometry import rescale, sample_grid
from tapnet.models.backbones import ExtraBlock, TapirResNet
from tapnet.models.layers import at_least_single, quick_on_a_cpu, unit_norm
from tapnet.models.pieces import cores_for, each
from tapnet.video import normalize

Size = tuple[int, int]  # (height, width)
HIRES, LOWRES = 128, 256  # channels of the grids
Features = tuple[Tensor, Tensor]  # of queries at one level: hires [B, N, 128], lowres [B, N, 256]


@dataclass(frozen=True)
class Level:
    """The feature grids of a video at one resolution."""

    resolution: Size
    grids: tuple[Tensor, ...]  # hires [B, T, H/4, W/4, 128], lowres [B, T, H/8, W/8, 256], pooled


class Encoder(nn.Module):
    """A residual network, BootsTAPIR's extra convolutions, and pooled grids below."""

    def __init__(self, extra_convs: bool, pyramid_level: int, antialias: bool) -> None:
        super().__init__()
        self.pyramid_level, self.antialias = pyramid_level, antialias
        self.backbone = TapirResNet()
        self.extra = nn.Sequential(*(ExtraBlock() for _ in range(5 * extra_convs)))

    def forward(self, video: Tensor, resolution: Size, frames_per_chunk: int) -> Level:
        """The grids of `video`, uint8 or float in [-1, 1], resized to `resolution`."""
        if min(resolution) < 16 or any(side % 8 for side in resolution):
            raise ValueError(
                f"resolution: expected multiples of 8 from 16 on, got {resolution}; "
                "choose for example (256, 256)"
            )
        batch, frames = video.shape[:2]
        # A CPU convolves fastest in channels-last memory, where only single images norm fast.
        alone = quick_on_a_cpu(video)

        def one(some: Tensor) -> tuple[Tensor, Tensor]:
            image = normalize(some).permute(0, 3, 1, 2)
            image = image if alone else image.contiguous()
            if image.shape[2:] != resolution:
                image = image.to(at_least_single(image.dtype))  # a CPU resizes no half precision
                image = F.interpolate(image, resolution, mode="bilinear", antialias=self.antialias)
            high, low = self.backbone(image.to(self.backbone.stem.weight.dtype))
            high, low = unit_norm(high, dim=1), unit_norm(self.extra(low), dim=1)
            return high.permute(0, 2, 3, 1).contiguous(), low.permute(0, 2, 3, 1).contiguous()

        images = video.flatten(0, 1).split(1 if alone else frames_per_chunk)
        at_once = min(cores_for(video), frames_per_chunk)
        hires, lowres = zip(*each(one, images, at_once), strict=True)
        grids = [torch.cat(parts).unflatten(0, (batch, frames)) for parts in (hires, lowres)]
        for _ in range(self.pyramid_level):
            finer = rearrange(grids[-1], "b t h w c -> (b t) c h w")
            pooled = rearrange(F.avg_pool2d(finer, 2), "(b t) c h w -> b t h w c", t=frames)
            grids.append(pooled.contiguous())
        return Level(resolution, tuple(grids))

    def start_as_published(self) -> None:
        """Zero the extra convolutions' second weights, where the published training began."""
        for block in self.extra.children():
            assert isinstance(block, ExtraBlock)
            nn.init.zeros_(block.project.weight)


def read_queries(
    levels: tuple[Level, ...], query_points: Tensor, size: Size
) -> tuple[Features, ...]:
    """The grids at the query points, which are pixels of a video of that size. SPEC 2.4."""

    def read(grid: Tensor) -> Tensor:
        return sample_grid(grid, rescale(query_points, size, (grid.shape[2], grid.shape[3])))

    return tuple((read(level.grids[0]), read(level.grids[1])) for level in levels)


def joined_in_time(old: tuple[Level, ...], new: tuple[Level, ...], drop: int) -> tuple[Level, ...]:
    """The grids of `old` without their first `drop` frames, and those of `new` after them."""
    together: list[Level] = []
    for number, level in enumerate(old or new):
        if number and level is (old or new)[number - 1]:  # the first refinement shares its level
            together.append(together[-1])
            continue
        parts = [[grid[:, drop:] for grid in level.grids]] if old else []
        parts += [list(new[number].grids)] if new else []
        grids = tuple(torch.cat(pieces, dim=1) for pieces in zip(*parts, strict=True))
        together.append(Level(level.resolution, grids))
    return tuple(together)


def default_resolutions(size: Size, initial: Size) -> tuple[Size, ...]:
    """Where a video of `size` (height, width) is refined: `initial` up to its own. SPEC 2.3.

    No side is below 16, where the reference would fail.
    """
    if size == initial:
        return (initial,)
    ratios = [side / start for side, start in zip(size, initial, strict=True)]
    count = math.ceil(max(math.log2(ratio) for ratio in ratios)) + 1
    if count <= 1:
        return (initial,)

    def side(axis: int, level: int) -> int:
        grown = initial[axis] * ratios[axis] ** (level / (count - 1))
        return max(math.floor(grown / 8) * 8, 16)

    return tuple((side(0, level), side(1, level)) for level in range(count))
