"""Keypoints that were never learned: the joints of JHMDB, asked for once and followed (SPEC 9.3).

A. Jabri et al., "Space-time correspondence as a contrastive random walk", NeurIPS 2020, and others
before it propagate the joints of frame 0; TAP-Vid's trackers do the same. A joint is right on a
frame where its error is at most alpha of the person's size (0.6 times the diagonal of the box
around the joints), whether it is said to be visible or not. Frames and videos are counted together,
joint by joint, then joints are averaged; one that never counts is one that is never right.

The official number counts the query frame too, where every tracker is right: a few points are a
gift, more of them the shorter the videos. `PCK@alpha_later` leaves that frame out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tapnet import metrics
from tapnet.data import Clip
from tapnet.evaluate.folder import Predicted
from tapnet.evaluate.predicting import asked_of
from tapnet.evaluate.results import Pooled, Row
from tapnet.metrics import ALPHAS, QueryMode

NAMES = {f"PCK@{a}{end}": (a, first) for end, first in (("", 0), ("_later", 1)) for a in ALPHAS}


def check_mode(query_mode: QueryMode) -> None:
    """Raises ValueError unless every joint is asked for once."""
    if query_mode != "first":
        raise ValueError(
            f"query_mode: expected 'first' for keypoints, which are asked for on frame 0, got "
            f"{query_mode!r}"
        )


def score_clip(clip: Clip, predicted: Predicted, query_mode: QueryMode) -> Row:
    """The scores of one video, 0..1: alone (NaN if nothing counts), and as sums for all videos.

    Raises ValueError for other queries than those of frame 0, or a clip without `person_scale`.
    """
    check_mode(query_mode)
    if clip.person_scale is None:
        raise ValueError(f"{clip.source}: expected the person's size on each frame, got none")
    asked, _ = asked_of(clip, predicted, query_mode)
    error = metrics.joint_errors(predicted.tracks, asked.target_points, clip.person_scale)
    joints = len(clip.points)

    def of_all(values: np.ndarray) -> tuple[float, ...]:
        """[J] for every joint of the clip from [N] for those asked for."""
        return tuple(np.bincount(asked.trackgroup, values, joints).tolist())

    pooled = {}
    for name, (alpha, first) in NAMES.items():
        right = (error[:, first:] <= alpha).sum(axis=1)
        whole = np.full(len(error), error.shape[1] - first)
        pooled[name] = Pooled(of_all(right), of_all(whole), empty=0.0)
    # Of this video alone joints that are not asked for are left out.
    scores = {name: replace(sums, empty=None).value for name, sums in pooled.items()}
    return Row(
        clip.name,
        len(asked.query_points),
        len(clip),
        scores,
        pooled,
        predicted.cost,
        _by_point(asked.query_points, asked.trackgroup, error),
    )


def _by_point(
    query_points: np.ndarray, joints: np.ndarray, error: np.ndarray
) -> dict[str, np.ndarray]:
    """What points.csv tells of each joint, [N]; t, y, x in pixels of the video as it is stored."""
    t, y, x = query_points.T
    told = {"track": joints, "t": t, "y": y, "x": x, "judged": np.full(len(t), error.shape[1])}
    for name, (alpha, first) in NAMES.items():
        right = error[:, first:] <= alpha
        told[name] = right.mean(axis=1) if right.size else np.full(len(t), np.nan)
    return {name: values.astype(np.float32) for name, values in told.items()}
