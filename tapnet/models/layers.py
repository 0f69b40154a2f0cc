"""The pieces that TAP-Net and TAPIR are built from.

Grids are channels-last, `[B, T, h, w, C]`; positions on them are raster coordinates in grid cells,
so the centre of cell (row i, column j) is (i + 0.5, j + 0.5). Every gather is a plain index: no 5-D
`grid_sample`, which ONNX and MPS lack.
"""

from __future__ import annotations

import math
from dataclasses import field, fields
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from tapnet.geometry import xy_to_yx
from tapnet.structs import check_shapes


def bounds_memory(value: Any) -> Any:
    """The default of a setting that bounds memory or time and changes no result.

    Weights on disk do not say it: what is best follows from code and machine, not from training.
    """
    return field(default=value, metadata={"bounds_memory": True})


def bounding_memory(settings: type) -> set[str]:
    """The names of those settings of a class."""
    return {one.name for one in fields(settings) if one.metadata.get("bounds_memory")}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(low, high) zeros that make a convolution give ceil(size / stride) outputs, as TensorFlow's
    SAME does: the odd one goes to the high side."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """[..., h, w] padded for a SAME convolution or pooling."""
    low_y, high_y = same_padding(x.shape[-2], kernel, stride)
    low_x, high_x = same_padding(x.shape[-1], kernel, stride)
    if low_y == high_y == low_x == high_x == 0:
        return x
    return F.pad(x, (low_x, high_x, low_y, high_y), value=value)


class SameConv2d(nn.Conv2d):
    """A square convolution with SAME padding for any input size."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, bias: bool = False):
        super().__init__(channels, out, kernel, stride, padding=0, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1 and kernel % 2 == 1:  # symmetric: no padded copy needed
            return F.conv2d(x, self.weight, self.bias, padding=kernel // 2)
        return F.conv2d(pad_same(x, kernel, stride), self.weight, self.bias, self.stride)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form.

    tanh-GELU is x * sigmoid(z) with z twice the argument of the tanh. Where no gradient is asked
    for it is done that way in place: two to three times faster on a CPU, equal to rounding.
    """
    if x.device.type != "cpu" or (torch.is_grad_enabled() and x.requires_grad):
        return F.gelu(x, approximate="tanh")
    twice = 2 * math.sqrt(2 / math.pi)
    gate = torch.addcmul(x.new_tensor(twice), x, x, value=0.044715 * twice)
    return gate.mul_(x).sigmoid_().mul_(x)


def unit_norm(x: Tensor, dim: int = -1) -> Tensor:
    """x with vectors of length 1 along `dim`."""
    return x * x.square().sum(dim, keepdim=True).clamp_min(1e-12).rsqrt()


def temporal_shift(x: Tensor, fraction: float = 0.125) -> Tensor:
    """[B, T, C, h, w] with some channels moved by one frame (TSM); zeros beyond the ends.

    The order is the reference's: first the last channels, taken from the next frame; then the
    middle ones; last the first channels, taken from the previous frame.
    """
    n = int(x.shape[2] * fraction)
    after = F.pad(x[:, 1:, x.shape[2] - n :], (0, 0, 0, 0, 0, 0, 0, 1))
    before = F.pad(x[:, :-1, :n], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([after, x[:, :, n : x.shape[2] - n], before], dim=2)


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """The dtype of positions beside features of `dtype`: halves cannot tell pixels apart."""
    return torch.promote_types(dtype, torch.float32)


def checked_queries(video: Tensor, query_points: Tensor) -> Tensor:
    """The query points [B, N, 3] of a video [B, T, H, W, 3], in single precision at least.

    Raises ValueError for shapes that do not fit and for points that are not finite.
    """
    check_shapes(video=(video, "B T H W 3"), query_points=(query_points, "B N 3"))
    if not video.shape[1]:
        raise ValueError("video: expected at least one frame, got none")
    if not query_points.isfinite().all():
        raise ValueError(
            "query_points: expected finite numbers, got NaN or infinity; leave such points out"
        )
    return query_points.to(at_least_single(query_points.dtype))


def pinned(tracks: Tensor, query_points: Tensor) -> Tensor:
    """The tracks [B, N, T, 2] with each query [B, N, 3] itself at its frame; .5 goes to the even.

    Both in the same pixels.
    """
    frames = torch.arange(tracks.shape[2], device=tracks.device)
    asked = query_points[..., :1].round() == frames  # [B, N, T]
    return torch.where(asked[..., None], xy_to_yx(query_points[..., 1:])[:, :, None], tracks)


def local_scores(grid: Tensor, queries: Tensor, centers: Tensor, radius: int = 3) -> Tensor:
    """[F, M, k*k] scores of each query with the k x k places around its centre, k = 2 radius + 1.

    grid [F, h, w, C]; queries [F, M, C], M for each frame; centers [F, M, 2] (y, x) in cells.
    The places lie whole cells apart (rows outer), are read bilinearly, and count as zero outside
    the grid. Since all share one sub-cell offset, the (k + 1)² cells around are scored first and
    the scores interpolated: the same numbers as interpolating features, at a third of the reads.
    """
    height, width = grid.shape[1:3]
    cells = 2 * radius + 2
    index = centers - 0.5
    low = index.floor()
    part = (index - low).to(grid.dtype)
    span = torch.arange(-radius, radius + 2, device=grid.device)
    y = low[..., :1].long() + span  # [F, M, cells]
    x = low[..., 1:].long() + span
    inside = ((y >= 0) & (y < height))[..., :, None] & ((x >= 0) & (x < width))[..., None, :]
    row = y.clamp(0, height - 1) * width
    flat = (row[..., :, None] + x.clamp(0, width - 1)[..., None, :]).flatten(2)  # [F, M, cells²]
    # One product with all cells is quicker than reading some, if the grid is small and read often.
    if height * width <= 2 * cells**2 * min(queries.shape[1], 64):
        scores = torch.bmm(queries, grid.flatten(1, 2).transpose(1, 2)).gather(2, flat)
    else:
        scores = _scores_at(grid.flatten(1, 2), queries, flat)
    scores = scores.to(part.dtype).view(*flat.shape[:2], cells, cells) * inside  # maybe autocast
    part_y, part_x = part[..., :1, None], part[..., 1:, None]
    scores = torch.lerp(scores[..., :-1, :], scores[..., 1:, :], part_y)
    return torch.lerp(scores[..., :-1], scores[..., 1:], part_x).flatten(2)


def _scores_at(grid: Tensor, queries: Tensor, cells: Tensor) -> Tensor:
    """[F, M, K] scores of queries [F, M, C] with the cells [F, M, K] of a grid [F, h * w, C]."""
    frames, size, channels = grid.shape
    start = torch.arange(0, frames * size, size, device=grid.device)
    numbers, rows = (cells + start[:, None, None]).flatten(0, 1), grid.reshape(-1, channels)
    # As many at a time as keep the features that are read within a cache of some megabytes.
    step = max(1, 2**21 // (cells.shape[2] * channels))
    pairs = zip(numbers.split(step), queries.flatten(0, 1).split(step), strict=True)
    scores = [torch.bmm(rows[some], query[:, :, None]).squeeze(2) for some, query in pairs]
    return torch.cat(scores).view_as(cells)


def soft_argmax(heat: Tensor, radius: float = 5.0) -> Tensor:
    """[M, 2] (x, y) in cells: the mean cell centre near the maximum, weighted by probability.

    heat [M, h, w] are logits; softmax over all cells, then only cells closer than `radius` to the
    highest count. SPEC 2.5.
    """
    height, width = heat.shape[-2:]
    logits = heat.flatten(1)
    best = logits.max(dim=1).indices  # quicker than argmax
    reach = math.ceil(radius) - 1
    span = torch.arange(-reach, reach + 1, device=heat.device)
    y, x = (best // width)[:, None] + span, (best % width)[:, None] + span
    inside_y, inside_x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    cells = (width * inside_y)[:, :, None] + inside_x[:, None, :]
    close = span.square()[:, None] + span.square() < radius**2
    near = (y == inside_y)[:, :, None] & (x == inside_x)[:, None, :] & close
    values = logits.gather(1, cells.flatten(1)).masked_fill(~near.flatten(1), -torch.inf)
    probability = values.softmax(dim=1).view(cells.shape)
    mean_x = (probability.sum(1) * x).sum(1)
    mean_y = (probability.sum(2) * y).sum(1)
    return torch.stack([mean_x, mean_y], dim=-1) + 0.5


class CostVolumeHead(nn.Module):
    """A point and its logits from the cost volume of one query with one frame.

    Both papers share it; TAPIR has a ReLU after the strided convolution and a second logit
    (expected distance), TAP-Net has neither. SPEC 2.5 and 4.2.
    """

    def __init__(self, temperature: float, outputs: int, occlusion_relu: bool, heads: int = 1):
        super().__init__()
        self.temperature = temperature
        self.occlusion_relu = occlusion_relu
        self.heads = heads
        self.hidden = SameConv2d(heads, 16, 3, bias=True)
        self.heatmap = SameConv2d(16, 1, 3, bias=True)
        self.occlusion_conv = SameConv2d(16, 32, 3, stride=2, bias=True)
        self.occlusion_hidden = nn.Linear(32, 16)
        self.occlusion_out = nn.Linear(16, outputs)

    def forward(self, cost: Tensor) -> tuple[Tensor, Tensor]:
        """cost [M, heads, h, w] -> position [M, 2] (x, y) in cells, logits [M, outputs]."""
        rows = max(1, 2**16 // (cost.shape[2] * cost.shape[3]))  # 4 MiB of hidden map at a time
        positions, logits = zip(*(self._some(part) for part in cost.split(rows)), strict=True)
        return torch.cat(positions), torch.cat(logits)

    def _some(self, cost: Tensor) -> tuple[Tensor, Tensor]:
        quick = quick_on_a_cpu(cost)
        hidden = self._of_one_channel(cost) if quick and self.heads == 1 else self.hidden(cost)
        hidden = F.relu(hidden, inplace=quick)
        heat = summed_taps(self.heatmap, hidden) if quick else self.heatmap(hidden).squeeze(1)
        position = soft_argmax(heat.to(at_least_single(heat.dtype)) * self.temperature)
        return position, self.occlusion(hidden)

    def _of_one_channel(self, cost: Tensor) -> Tensor:
        """`hidden`, with three rows as three channels: a CPU is slow with one."""
        height, padded = cost.shape[2], F.pad(cost[:, 0], (1, 1, 1, 1))
        rows = torch.stack([padded[:, i : i + height] for i in range(3)], dim=-1)
        kernels = self.hidden.weight.transpose(1, 2)  # [16, 3, 1, 3]
        return F.conv2d(rows.permute(0, 3, 1, 2), kernels, self.hidden.bias)

    def occlusion(self, hidden: Tensor) -> Tensor:
        """[M, outputs] logits from the hidden map [M, 16, h, w]."""
        seen = self.occlusion_conv(hidden)
        if self.occlusion_relu:
            seen = F.relu(seen)
        return self.occlusion_out(F.relu(self.occlusion_hidden(seen.mean(dim=(2, 3)))))


def summed_taps(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """[M, h, w]: a 3 x 3 convolution of x [M, C, h, w], channels last, to one channel.

    A matrix product and shifted sums: on CPUs half the time of the convolution, unless gradients
    are wanted.
    """
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    taps = conv.weight[0].flatten(1).t() @ rows.t()
    left, column, right = taps.view(3, 3, count, height, width).unbind(1)
    # With `column[..., 1:] += ...` Python would copy the sum to where it is already.
    column[..., 1:].add_(left[..., :-1])
    column[..., :-1].add_(right[..., 1:])
    above, found, below = column
    found[:, 1:].add_(above[:, :-1])
    found[:, :-1].add_(below[:, 1:])
    return found if conv.bias is None else found + conv.bias


def cost_volume(grid: Tensor, queries: Tensor, heads: int = 1) -> Tensor:
    """[B, N, T, D, h, w]: query features [B, N, C] times every cell of the grid [B, T, h, w, C].

    With D heads the channels are D interleaved groups, each giving a cost of its own.
    """
    batch, frames, height, width, _ = grid.shape
    cells = rearrange(grid, "b t h w (c d) -> (b d) c (t h w)", d=heads)
    cost = torch.bmm(rearrange(queries, "b n (c d) -> (b d) n c", d=heads), cells)
    sizes = {"b": batch, "t": frames, "h": height, "w": width}
    return rearrange(cost, "(b d) n (t h w) -> b n t d h w", **sizes)


def initialize(module: nn.Module) -> None:
    """Haiku's defaults: truncated normal weights of deviation 1/sqrt(fan in), zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            fan_in = part.weight[0].numel()
            nn.init.trunc_normal_(
                part.weight, std=fan_in**-0.5, a=-2 / fan_in**0.5, b=2 / fan_in**0.5
            )
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class MovingAverage(nn.Module):
    """An exponential average that is right from the first value on (zero-debiased)."""

    def __init__(self, shape: int, decay: float = 0.9):
        super().__init__()
        self.decay = decay
        self.register_buffer("hidden", torch.zeros(shape))
        self.register_buffer("average", torch.zeros(shape))
        self.register_buffer("counter", torch.zeros((), dtype=torch.int64))

    hidden: Tensor
    average: Tensor
    counter: Tensor

    @torch.no_grad()
    def update(self, value: Tensor) -> None:
        self.counter += 1
        self.hidden.lerp_(value, 1 - self.decay)
        known = -torch.expm1(self.counter * math.log(self.decay))  # 1 - decay^counter
        self.average.copy_(self.hidden / known)


class _Summed(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Summed.forward(ctx, gradient)


class BatchNorm2d(nn.Module):
    """Batch norm with the reference's moving averages: debiased, and of the biased variance.

    With torch.distributed running, training statistics are those of all processes together.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean = MovingAverage(channels)
        self.variance = MovingAverage(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[M, C, h, w]."""
        mean, variance = self.mean.average, self.variance.average
        if self.training:
            mean, variance = self._batch_statistics(x)
            self.mean.update(mean.detach())
            self.variance.update(variance.detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        offset = self.bias - mean * scale
        return torch.addcmul(offset[:, None, None], x, scale[:, None, None])

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(at_least_single(x.dtype))  # a difference of squares in half precision is noise
        mean, square = x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            mean, square = _mean_of_all(torch.stack([mean, square])).unbind()
        return mean, square - mean.square()


@_disable_dynamo  # as torch.compiler.disable, which would import the compiler here and now
def _mean_of_all(x: Tensor) -> Tensor:
    """The mean over all processes."""
    total: Tensor = _Summed.apply(x)
    return total / torch.distributed.get_world_size()


def quick_on_a_cpu(x: Tensor) -> bool:
    """Whether what is quick there may be done: no gradients, and no fixed shapes, are wanted."""
    return x.is_cpu and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
