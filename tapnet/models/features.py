"""What a model sees in each frame, without what it makes of it: for use apart from tracking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tapnet.geometry import Resolution
from tapnet.models.tapir import Tapir
from tapnet.models.taplite import Taplite
from tapnet.models.tapnet import TapNet
from tapnet.video import resize

STRIDE = 16  # of which sides are made multiples, so that all cells are of one size


class FrameFeatures(nn.Module):
    """The features of a model: all its grids as one, of the finest stride.

    Each grid has length 1, and counts alike. Raises ValueError for what has no features.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, Taplite | Tapir | TapNet):
            raise ValueError(
                f"features: expected a model with weights, got {type(model).__name__}; "
                "name a file of weights"
            )
        self.model = model
        self.resolution: Resolution = model.resolution

    def forward(self, video: Tensor) -> Tensor:
        """[T, h, w, C] of frames [T, H, W, 3], uint8 or float in [-1, 1]."""
        height, width = (max(round(side / STRIDE), 1) * STRIDE for side in video.shape[1:3])
        fitting = resize(video, (height, width))
        grids = [grid.permute(0, 3, 1, 2) for grid in self._grids(fitting)]
        size = max(grid.shape[-2:] for grid in grids)
        whole = [F.interpolate(grid, size, mode="bilinear", antialias=False) for grid in grids]
        return torch.cat(whole, dim=1).permute(0, 2, 3, 1)

    def _grids(self, video: Tensor) -> list[Tensor]:
        """Of several strides, each [T, h, w, C]."""
        if isinstance(self.model, Taplite):
            grids = self.model.grids(video)
            return [grids.fine, grids.coarse]
        if isinstance(self.model, Tapir):
            (level, *_) = self.model.feature_grids(video[None], ())
            return [grid[0] for grid in level.grids[:2]]
        return [self.model.feature_grid(video[None])[0]]
