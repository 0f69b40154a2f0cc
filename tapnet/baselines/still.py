"""No motion: every point stays where it was asked for. What any tracker must beat."""

from __future__ import annotations

import numpy as np

from tapnet.baselines.online import SURE, OnlineTracker, Points, check_same_size, inside


class Still(OnlineTracker[np.ndarray, Points]):
    """Says that nothing moves, and that all of the frame is visible."""

    def remember(self, image: np.ndarray, memory: np.ndarray | None) -> np.ndarray:
        if memory is not None:
            check_same_size(image, memory)
        return image

    def begin(self, memory: np.ndarray, xy: np.ndarray) -> Points:
        logit = np.where(inside(xy, memory[..., 0]), -SURE, SURE).astype(np.float32)
        return Points(xy, logit, logit)

    def follow(self, memory: np.ndarray, points: Points) -> Points:
        return points
