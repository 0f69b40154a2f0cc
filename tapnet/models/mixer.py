"""TAPIR's temporal network: the mixer of PIPs with depthwise convolutions over time. SPEC 2.7.

Axes: [N, T, C], tracks, frames, channels. Each channel becomes four over time (`grow`), and the
four are convolved and summed again (`shrink`); they are kept as four branches of C channels, so
that each fits a cache and no tensor is tiled or summed over a strided axis.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tapnet.models.layers import gelu

BRANCHES = 4
KERNEL = 3  # frames


class Context(NamedTuple):
    """What a block has seen of the two frames before, the earlier first; N tracks."""

    grow: tuple[Tensor, Tensor]  # inputs of `grow` [N, C]
    shrink: tuple[Tensor, Tensor]  # inputs of `shrink` [N, BRANCHES, C]


def convolve_time(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """[N, T, C] convolved over time, each channel by itself; weight [C, 1, 1, KERNEL]."""
    image = x.unsqueeze(1).permute(0, 3, 1, 2)  # [N, C, 1, T], channels last in memory
    y = F.conv2d(image, weight, bias, padding=(0, padding), groups=weight.shape[0])
    return y.permute(0, 2, 3, 1).squeeze(1)


class MixerBlock(nn.Module):
    """One block: over time within a channel, then over channels within a frame."""

    def __init__(self, channels: int, expansion: int = 4):
        super().__init__()
        self.norm0 = nn.LayerNorm(channels, bias=False)
        self.grow = nn.Parameter(torch.empty(BRANCHES, channels, 1, 1, KERNEL))
        self.grow_bias = nn.Parameter(torch.zeros(BRANCHES, channels))
        self.shrink = nn.Parameter(torch.empty(BRANCHES, channels, 1, 1, KERNEL))
        self.shrink_bias = nn.Parameter(torch.zeros(BRANCHES, channels))
        self.norm1 = nn.LayerNorm(channels, bias=False)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        for weight in (self.grow, self.shrink):
            std = KERNEL**-0.5
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, C]; each frame sees its neighbours on both sides, zeros beyond the ends."""
        n = self.norm0(x)
        for branch in range(BRANCHES):
            weight, bias = self.grow[branch], self.grow_bias[branch]
            h = gelu(convolve_time(n, weight, bias, KERNEL // 2))
            weight, bias = self.shrink[branch], self.shrink_bias[branch]
            x = x + convolve_time(h, weight, bias, KERNEL // 2)
        return x + self.project(gelu(self.expand(self.norm1(x))))

    def causal(self, x: Tensor, context: Context) -> tuple[Tensor, Context]:
        """[N, T, C] after the frames in `context`; each frame sees only earlier ones."""
        n = self.norm0(x)
        if x.shape[1] == 1:
            x, context = self._one_frame(x[:, 0], n[:, 0], context)
        else:
            x, context = self._later_frames(x, n, context)
        return x + self.project(gelu(self.expand(self.norm1(x)))), context

    def _later_frames(self, x: Tensor, n: Tensor, context: Context) -> tuple[Tensor, Context]:
        n = torch.cat([torch.stack(context.grow, dim=1), n], dim=1)
        before, kept = torch.stack(context.shrink, dim=1), []
        for branch in range(BRANCHES):
            h = gelu(convolve_time(n, self.grow[branch], self.grow_bias[branch], 0))
            h = torch.cat([before[:, :, branch], h], dim=1)
            kept.append(h[:, -2:])
            x = x + convolve_time(h, self.shrink[branch], self.shrink_bias[branch], 0)
        last = torch.stack(kept, dim=2)
        grow = (n[:, -2].clone(), n[:, -1].clone())
        return x, Context(grow, (last[:, 0].clone(), last[:, 1].clone()))

    def _one_frame(self, x: Tensor, n: Tensor, context: Context) -> tuple[Tensor, Context]:
        """`_later_frames` of one: all branches at once, and sums instead of convolutions."""
        grow = self.grow[:, :, 0, 0].permute(2, 0, 1).contiguous()  # a row of weights a frame
        shrink = self.shrink[:, :, 0, 0].permute(2, 0, 1).contiguous()
        h: Tensor = self.grow_bias
        for frame, weight in zip((*context.grow, n), grow, strict=True):
            h = torch.addcmul(h, frame[:, None], weight)
        h = gelu(h)
        sums: Tensor = self.shrink_bias
        for frame, weight in zip((*context.shrink, h), shrink, strict=True):
            sums = torch.addcmul(sums, frame, weight)
        after = Context((context.grow[1], n), (context.shrink[1], h))
        return (x + sums.sum(1))[:, None], after

    def no_context(self, like: Tensor) -> Context:
        """What `causal` starts from: zeros for the N tracks of `like` [N, T, .]."""
        tracks, channels = like.shape[0], self.norm0.weight.shape[0]
        one, four = like.new_zeros(tracks, channels), like.new_zeros(tracks, BRANCHES, channels)
        return Context((one, one), (four, four))


class Mixer(nn.Module):
    """[N, T, inputs] -> [N, T, outputs]."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 512, blocks: int = 12):
        super().__init__()
        self.start = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(MixerBlock(hidden) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden, bias=False)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))

    def causal(
        self, x: Tensor, context: tuple[Context, ...] | None
    ) -> tuple[Tensor, tuple[Context, ...]]:
        """As forward, seeing earlier frames only; `context` (None at first) has one a block."""
        x = self.start(x)
        after: list[Context] = []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, MixerBlock)
            x, kept = block.causal(x, context[number] if context else block.no_context(x))
            after.append(kept)
        return self.out(self.norm(x)), tuple(after)
