"""What every baseline does with a call: check the queries, go clip by clip, say it in tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from tapnet.geometry import Resolution
from tapnet.structs import Prediction, check_shapes


class ClipTracker(ABC):
    """A tracker that needs no training. A subclass tracks one clip; points never meet."""

    resolution: Resolution = None  # videos are tracked at their own size
    online: bool = False

    @abstractmethod
    def track(self, video: Tensor, queries: np.ndarray) -> np.ndarray:
        """[N, T, 4] float32: x, y, occlusion and expected_dist of the queries in one video.

        video [T, H, W, 3], uint8 or float in [-1, 1]; queries [N, 3] float64 (t, y, x), finite,
        with times of the video; a query's frame is its time rounded half to even.
        """

    def __call__(self, video: Tensor, query_points: Tensor) -> Prediction:
        """Tracks of `query_points` [B, N, 3] through `video` [B, T, H, W, 3], both ways in time.

        The video is uint8 or float in [-1, 1]; a query's frame is its time rounded half to even.
        Raises ValueError for shapes that do not fit, NaN or infinite points, and times outside
        the video.
        """
        sizes = check_shapes(video=(video, "B T H W 3"), query_points=(query_points, "B N 3"))
        queries = query_points.detach().cpu().to(torch.float64).numpy()
        check_finite(queries, "query_points")
        _check_times(queries, sizes["T"])
        parts = [self.track(*pair) for pair in zip(video, queries, strict=True)]
        shape = (sizes["B"], sizes["N"], sizes["T"], 4)
        said = np.stack(parts) if parts else np.zeros(shape, np.float32)
        out = torch.from_numpy(said).to(query_points.device)
        return Prediction(out[..., :2].contiguous(), out[..., 2].clone(), out[..., 3].clone())


def check_finite(points: np.ndarray, name: str) -> None:
    """Raises ValueError for NaN and infinite coordinates in points [..., C]."""
    bad = ~np.isfinite(points).all(-1)
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        raise ValueError(
            f"{name}: expected finite numbers, got {points[bad][0].tolist()} at {where}; "
            f"leave such points out ({bad.sum()} of {bad.size})"
        )


def _check_times(queries: np.ndarray, frames: int) -> None:
    times = np.rint(queries[..., 0])
    bad = (times < 0) | (times >= frames)
    if bad.any():
        raise ValueError(
            f"query_points: expected times (t, y, x) in 0..{frames - 1}, got t = "
            f"{queries[..., 0][bad][0]:g}; a video of {frames} frames has no such frame"
        )
