"""Pyramidal Lucas-Kanade: every point moves by the flow of a small window around it.

B. D. Lucas and T. Kanade, "An iterative image registration technique with an application to stereo
vision", IJCAI 1981; J.-Y. Bouguet's pyramidal form, as in OpenCV; Z. Kalal et al.,
"Forward-backward error", ICPR 2010. How points are lost and found again: `patches`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tapnet.baselines.online import OnlineTracker, check_same_size, gray_image
from tapnet.baselines.patches import PATCH, Patches, begin, recognise

LEVELS = 5  # of the pyramid
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.01)  # iterations, pixels


@dataclass(frozen=True)
class GrayFrames:
    """The last two frames, [H, W] uint8."""

    last: np.ndarray
    before: np.ndarray


class KLT(OnlineTracker[GrayFrames, Patches]):
    """Follows the window of each point from frame to frame."""

    def remember(self, image: np.ndarray, memory: GrayFrames | None) -> GrayFrames:
        gray = gray_image(image)
        if memory is None:
            return GrayFrames(gray, gray)
        check_same_size(gray, memory.last)
        return GrayFrames(gray, memory.last)

    def begin(self, memory: GrayFrames, xy: np.ndarray) -> Patches:
        return begin(memory.last, xy)

    def follow(self, memory: GrayFrames, points: Patches) -> Patches:
        moved, found = _flow_of_windows(memory.before, memory.last, points.xy)
        back, found_back = _flow_of_windows(memory.last, memory.before, moved)
        missed = np.linalg.norm(back - points.xy, axis=-1)
        missed[~(found & found_back)] = np.inf
        return recognise(memory.last, points, moved, missed)


def _flow_of_windows(
    before: np.ndarray, after: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where points `xy` [M, 2] of `before` are in `after`, and [M] whether that was found."""
    centres = (xy - 0.5).astype(np.float32)[:, None]  # OpenCV counts from pixel centres
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        centres,
        centres.copy(),
        winSize=(PATCH, PATCH),
        maxLevel=LEVELS - 1,
        criteria=STOP,
    )
    return there[:, 0].astype(np.float64) + 0.5, found[:, 0] > 0
