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

from tapnet.geometry import rescale, sample_grid, xy_to_yx
from tapnet.models.backbones import TsmResNet
from tapnet.models.layers import CostVolumeHead, cost_volume, initialize, unit_norm
from tapnet.structs import Prediction, check_shapes
from tapnet.video import normalize

SHIFT_REACH = 4  # frames on either side that the four shifting blocks let a frame see


@dataclass(frozen=True)
class TapNetSettings:
    """What can be chosen of a TAP-Net; the defaults are those of the published checkpoint."""

    softmax_temperature: float = 10.0
    first_release: bool = False  # the variant of the first 2022 release, SPEC 4.3
    frames_per_chunk: int = 32  # bounds the encoder's memory; no effect on results
    points_per_chunk: int = 16  # bounds the cost volume's memory; no effect on results


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
    """TAP-Net: `model(video, query_points)`; 256x256 is what it was trained on."""

    resolution = (256, 256)
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

    def forward(self, video: Tensor, query_points: Tensor) -> Prediction:
        """Where the points go.

        video [B, T, H, W, 3] uint8, or float in [-1, 1]; query_points [B, N, 3] in its pixels.
        """
        check_shapes(video=(video, "B T H W 3"), query_points=(query_points, "B N 3"))
        size = (video.shape[2], video.shape[3])
        query_points = query_points.to(self.head.hidden.weight.dtype)
        shift = query_points.new_tensor([0.0, self.pixel_offset, self.pixel_offset])
        grid = self.feature_grid(video)
        features = self.query_features(grid, query_points + shift, size)
        tracks, occlusion = self.decode(grid, features, size)
        frames = torch.arange(video.shape[1], device=video.device)
        asked = query_points[..., :1].round() == frames
        asked_at = xy_to_yx(query_points[..., 1:])[:, :, None]
        tracks = torch.where(asked[..., None], asked_at, tracks - self.pixel_offset)
        return Prediction(tracks, occlusion)

    def feature_grid(self, video: Tensor) -> Tensor:
        """[B, T, h, w, 256] features of length 1, h = ceil(H / 8)."""
        video = normalize(video).to(self.head.hidden.weight.dtype)
        video = rearrange(video, "b t h w c -> b t c h w")
        frames, step = video.shape[1], self.settings.frames_per_chunk
        if self.training or frames <= step:
            parts = [self.backbone(video)]
        else:  # each chunk with its neighbours, so that the cut changes nothing
            parts = []
            for start in range(0, frames, step):
                first = max(start - SHIFT_REACH, 0)
                part = self.backbone(video[:, first : start + step + SHIFT_REACH])
                parts.append(part[:, start - first : start - first + step])
        return torch.cat(
            [unit_norm(rearrange(p, "b t c h w -> b t h w c").contiguous()) for p in parts], dim=1
        )

    def query_features(self, grid: Tensor, query_points: Tensor, size: tuple[int, int]) -> Tensor:
        """[B, N, C]: the grid at the query points, which are pixels of a video of that size."""
        return sample_grid(grid, rescale(query_points, size, (grid.shape[2], grid.shape[3])))

    def decode(
        self, grid: Tensor, features: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Tracks [B, N, T, 2] in pixels of a video of that size, occlusion logits [B, N, T]."""
        batch, frames, height, width, _ = grid.shape
        tracks, occlusion = (
            [grid.new_zeros(batch, 0, frames, 2)],
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
