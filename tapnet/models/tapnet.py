"""TAP-Net, the baseline model of the TAP-Vid benchmark.

Doersch et al., "TAP-Vid: A Benchmark for Tracking Any Point in a Video", NeurIPS 2022, as published
in checkpoint.npy (SPEC section 4). A ResNet with temporal shift gives a feature grid of stride 8.
The feature at the query point is multiplied with every cell of every frame (cost volume); two small
convolutions and a soft argmax turn each frame's costs into a point, a third into an occlusion
logit. Frames and points are decoded independently of each other.

Axes: video [B, T, H, W, 3], grid [B, T, h, w, C], query points [B, N, 3] (t, y, x) raster pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from tapnet.geometry import Resolution, rescale, sample_grid
from tapnet.models.backbones import TsmResNet
from tapnet.models.layers import (
    CostVolumeHead,
    at_least_single,
    bounds_memory,
    checked_queries,
    cost_volume,
    initialize,
    pinned,
    unit_norm,
)
from tapnet.structs import Prediction
from tapnet.video import normalize

FEATURES = 256  # channels of the grid
SHIFT_REACH = 4  # frames on either side that the four shifting blocks let a frame see


@dataclass(frozen=True)
class TapNetSettings:
    """What can be chosen of a TAP-Net; the defaults are those of the published checkpoint."""

    softmax_temperature: float = 10.0
    first_release: bool = False  # the variant of the first 2022 release, SPEC 4.3
    resolution: Resolution = (256, 256)  # videos are best resized to it: see `geometry.fitted`
    frames_per_chunk: int = bounds_memory(32)  # in the encoder at a time
    points_per_chunk: int = bounds_memory(16)  # in the cost volume at a time
    frames_per_window: int = bounds_memory(256)  # of a longer clip finished at a time


class FirstReleaseHead(CostVolumeHead):
    """The head of the first 2022 release: four costs a cell, root-mean-square pooling. SPEC 4.3."""

    def __init__(self) -> None:
        super().__init__(temperature=1.0, outputs=1, occlusion_relu=False, heads=4)
        del self.occlusion_hidden
        self.occlusion_out = nn.Linear(32, 1)

    def occlusion(self, hidden: Tensor) -> Tensor:
        seen = self.occlusion_conv(hidden)
        return self.occlusion_out((seen.square().mean(dim=(2, 3)) + 1e-8).sqrt())


class TapNet(nn.Module):
    """TAP-Net: `model(video, query_points)`."""

    online = False

    def __init__(self, settings: TapNetSettings = TapNetSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = TsmResNet()
        self.head = (
            FirstReleaseHead()
            if settings.first_release
            else CostVolumeHead(settings.softmax_temperature, outputs=1, occlusion_relu=False)
        )
        # The first release put (0, 0) at the centre of the first pixel.
        self.pixel_offset = 0.5 if settings.first_release else 0.0
        initialize(self)

    @property
    def resolution(self) -> Resolution:
        """What videos are best resized to before they are given: see `geometry.fitted`."""
        return self.settings.resolution

    def forward(self, video: Tensor, query_points: Tensor) -> Prediction:
        """Where the points go.

        video [B, T, H, W, 3] uint8, or float in [-1, 1]; query_points [B, N, 3] in its pixels.
        """
        if self.training or video.shape[1] <= self.settings.frames_per_window:
            return self.with_features(video, query_points)[0]
        query_points = checked_queries(video, query_points)
        tracks, occlusion = self._by_windows(video, self._corner_based(query_points))
        return Prediction(pinned(tracks - self.pixel_offset, query_points), occlusion)

    def with_features(
        self, video: Tensor, query_points: Tensor
    ) -> tuple[Prediction, Tensor, Tensor]:
        """`forward`, the feature grid it came from and the query features, for training."""
        query_points = checked_queries(video, query_points)
        size = (video.shape[2], video.shape[3])
        grid = self.feature_grid(video)
        features = self.query_features(grid, self._corner_based(query_points), size)
        tracks, occlusion = self.decode(grid, features, size)
        prediction = Prediction(pinned(tracks - self.pixel_offset, query_points), occlusion)
        return prediction, grid, features

    def _corner_based(self, query_points: Tensor) -> Tensor:
        """The query points, with (0, 0) at the corner of the first pixel."""
        shift = [0.0, self.pixel_offset, self.pixel_offset]
        return query_points + query_points.new_tensor(shift)

    def _by_windows(self, video: Tensor, query_points: Tensor) -> tuple[Tensor, Tensor]:
        """Tracks and logits, holding the grid of no more than a window of frames."""
        size, frames = (video.shape[2], video.shape[3]), video.shape[1]
        windows = [
            range(start, min(start + self.settings.frames_per_window, frames))
            for start in range(0, frames, self.settings.frames_per_window)
        ]
        times = query_points[..., :1].clamp(0, frames - 1)
        shape = (*query_points.shape[:2], FEATURES)
        features = query_points.new_zeros(shape, dtype=self.head.hidden.weight.dtype)
        for window in windows:  # a query between two windows needs the first frame of the next
            mine = (times >= window.start) & (times < window.stop)
            if not mine.any():
                continue
            grid = self.feature_grid(video, range(window.start, min(window.stop + 1, frames)))
            local = torch.cat([times - window.start, query_points[..., 1:]], dim=-1)
            features = torch.where(mine, self.query_features(grid, local, size), features)
        parts = [self.decode(self.feature_grid(video, w), features, size) for w in windows]
        tracks, occlusion = zip(*parts, strict=True)
        return torch.cat(tracks, dim=2), torch.cat(occlusion, dim=2)

    def feature_grid(self, video: Tensor, frames: range | None = None) -> Tensor:
        """[B, T, h, w, 256] features of length 1, h = ceil(H / 8), of all or some frames."""
        frames = frames or range(video.shape[1])
        step = len(frames) if self.training else self.settings.frames_per_chunk
        parts = []
        for start in frames[::step]:  # each chunk with its neighbours, so that cuts change nothing
            stop, first = min(start + step, frames.stop), max(start - SHIFT_REACH, 0)
            part = normalize(video[:, first : stop + SHIFT_REACH])
            part = rearrange(part.to(self.head.hidden.weight.dtype), "b t h w c -> b t c h w")
            grid = self.backbone(part)[:, start - first : stop - first]
            parts.append(unit_norm(rearrange(grid, "b t c h w -> b t h w c").contiguous()))
        return torch.cat(parts, dim=1)

    def query_features(self, grid: Tensor, query_points: Tensor, size: tuple[int, int]) -> Tensor:
        """[B, N, C]: the grid at the query points, which are pixels of a video of that size."""
        return sample_grid(grid, rescale(query_points, size, (grid.shape[2], grid.shape[3])))

    def decode(
        self, grid: Tensor, features: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Tracks [B, N, T, 2] in pixels of a video of that size, occlusion logits [B, N, T]."""
        batch, frames, height, width, _ = grid.shape
        tracks, occlusion = (
            [grid.new_zeros(batch, 0, frames, 2, dtype=at_least_single(grid.dtype))],
            [grid.new_zeros(batch, 0, frames)],
        )
        for some in features.split(self.settings.points_per_chunk, dim=1):
            if some.shape[1] == 0:
                continue
            cost = cost_volume(grid, some, self.head.heads)
            position, logit = self.head(rearrange(cost, "b n t d h w -> (b n t) d h w"))
            position = rescale(position, (height, width), size)
            tracks.append(position.view(batch, -1, frames, 2))
            occlusion.append(logit.view(batch, -1, frames))
        return torch.cat(tracks, dim=1), torch.cat(occlusion, dim=1)
