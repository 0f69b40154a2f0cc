"""The two image encoders: TAPIR's ResNet with instance norm, TAP-Net's ResNet with temporal shift.

Both are pre-activation ResNets whose shortcut projection follows the first norm and ReLU.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tapnet.models.layers import BatchNorm2d, SameConv2d, gelu, pad_same, temporal_shift


def instance_norm(norm: nn.InstanceNorm2d, x: Tensor) -> Tensor:
    """The norm of each image of x [M, C, h, w] by its own statistics.

    One image alone is a batch norm of that batch, which is fast in channels-last memory too.
    """
    if x.shape[0] == 1:
        return F.batch_norm(x, None, None, norm.weight, norm.bias, True, 0.0, norm.eps)
    return norm(x)


class InstanceBlock(nn.Module):
    """A residual block with instance norm (eps 1e-5, learned scale and offset). SPEC 2.1."""

    def __init__(self, channels: int, out: int, stride: int, project: bool):
        super().__init__()
        self.norm0 = nn.InstanceNorm2d(channels, affine=True)
        self.conv0 = SameConv2d(channels, out, 3, stride)
        self.norm1 = nn.InstanceNorm2d(out, affine=True)
        self.conv1 = SameConv2d(out, out, 3)
        self.shortcut = SameConv2d(channels, out, 1, stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu_(instance_norm(self.norm0, x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        y = F.relu_(instance_norm(self.norm1, self.conv0(active)))
        return self.conv1(y) + shortcut


class TapirResNet(nn.Module):
    """[M, 3, H, W] in [-1, 1] -> hires [M, 128, H/4, W/4] and lowres [M, 256, H/8, W/8]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 64, 7, stride=2)
        widths, strides, groups, channels = (64, 128, 256, 256), (1, 2, 2, 1), [], 64
        for width, stride in zip(widths, strides, strict=True):
            groups.append(
                nn.Sequential(
                    InstanceBlock(channels, width, stride, project=True),
                    InstanceBlock(width, width, 1, project=False),
                )
            )
            channels = width
        self.groups = nn.ModuleList(groups)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.groups[0](self.stem(x))
        hires = self.groups[1](x)
        return hires, self.groups[3](self.groups[2](hires))


class ExtraBlock(nn.Module):
    """BootsTAPIR's extra convolutions on the lowres grid. SPEC 2.2.

    The residual is added to the NORMALISED input, as in the published weights.
    """

    def __init__(self, channels: int = 256, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.expand = SameConv2d(channels, channels * expansion, 3, bias=True)
        self.project = SameConv2d(channels * expansion, channels, 3, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        n = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()
        return n + self.project(gelu(self.expand(n)))


class ShiftBlock(nn.Module):
    """A residual block with batch norm; `shift` mixes neighbouring frames first. SPEC 4.1."""

    def __init__(self, channels: int, out: int, stride: int, project: bool, shift: bool):
        super().__init__()
        self.shift = shift
        self.norm0 = BatchNorm2d(channels)
        self.conv0 = SameConv2d(channels, out, 3, stride)
        self.norm1 = BatchNorm2d(out)
        self.conv1 = SameConv2d(out, out, 3)
        self.shortcut = SameConv2d(channels, out, 1, stride) if project else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        active = F.relu(self.norm0(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        y = active
        if self.shift:
            y = rearrange(y, "(b t) c h w -> b t c h w", t=frames)
            y = rearrange(temporal_shift(y), "b t c h w -> (b t) c h w")
        return self.conv1(F.relu(self.norm1(self.conv0(y)))) + shortcut


class TsmResNet(nn.Module):
    """[B, T, 3, H, W] in [-1, 1] -> [B, T, 256, H/8, W/8]; each frame sees 4 on either side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 64, 7, stride=2)
        blocks, channels = [], 64
        for width, stride, shift in ((64, 1, True), (128, 2, True), (256, 1, False)):
            blocks.append(ShiftBlock(channels, width, stride, project=True, shift=shift))
            blocks.append(ShiftBlock(width, width, 1, project=False, shift=shift))
            channels = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, video: Tensor) -> Tensor:
        frames = video.shape[1]
        x = self.stem(rearrange(video, "b t c h w -> (b t) c h w"))
        x = F.max_pool2d(pad_same(x, 3, 2, value=float("-inf")), 3, 2)
        for block in self.blocks:
            x = block(x, frames)
        return rearrange(x, "(b t) c h w -> b t c h w", t=frames)
