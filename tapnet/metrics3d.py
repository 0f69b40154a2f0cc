"""Scores of points tracked in space: TAPVid-3D (Koppula et al. 2024), SPEC 9.5.

Counts are those of TAP-Vid, on all frames. A point is right when it is nearer to the truth than
what d pixels of a 256-pixel image span at its depth, or than a fixed distance. Positions are in the
camera's frame, in metres; what is predicted may be in any unit, and is scaled first.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from tapnet.metrics import THRESHOLDS, Score, squared_distance, tapvid_scores
from tapnet.structs import check_shapes

Scaling = Literal[
    "median",
    "mean",
    "none",
    "per_trajectory",
    "median_on_queries",
    "reproduce_2d",
    "local_neighborhood",
]
FIXED = 0.01  # metres times d squared: 0.01, 0.04, 0.16, 0.64, 2.56
NEIGHBORHOOD = 0.05  # metres
_TINY = 1e-12


def tapvid3d(
    gt_occluded: np.ndarray,
    gt_tracks: np.ndarray,
    pred_occluded: np.ndarray,
    pred_tracks: np.ndarray,
    intrinsics: np.ndarray,
    *,
    scaling: Scaling = "median",
    query_points: np.ndarray | None = None,
    fixed: bool = False,
    trackwise: bool = False,
) -> dict[str, Score]:
    """TAPVid-3D scores of a video, under the names of the reference implementation.

    *_occluded [N, T] bool, *_tracks [N, T, 3] (x, y, z), intrinsics [4] (fx, fy, cx, cy) of the
    image that pixels are of (`scaled_intrinsics`). `fixed` judges by the same distance at every
    depth. `trackwise` gives [N] scores.

    Predictions are multiplied by the ratio of the truth to them: of the `median` or `mean`
    distances from the camera of the points visible in both; of their medians on the frames of the
    queries (`median_on_queries`); of each track's depth on that frame (`per_trajectory`; needs
    query_points [N, 3] (t, y, x)); of each point's depth (`reproduce_2d`, which judges directions
    alone); or not at all (`none`). `local_neighborhood` is trackwise: scaled as `per_trajectory`,
    a track is judged with all points nearer than 5 cm to it on the same frame, which together
    weigh as much as its own visible points.
    """
    _check(gt_occluded, gt_tracks, pred_occluded, pred_tracks, intrinsics, query_points)
    if scaling not in get_args(Scaling):
        raise ValueError(f"no scaling {scaling!r}: there are {', '.join(get_args(Scaling))}")
    judged = np.ones_like(gt_occluded)
    if scaling == "local_neighborhood" and not trackwise:
        raise ValueError("scaling 'local_neighborhood': expected trackwise=True, got False")
    if scaling == "local_neighborhood" and len(gt_tracks):
        factor = _depth_ratio(gt_tracks, pred_tracks, query_points)
        rows = []
        for n in range(len(gt_tracks)):  # each with all tracks, all scaled by its own factor
            near = squared_distance(gt_tracks, gt_tracks[n]) < NEIGHBORHOOD**2
            weight = np.sum(~gt_occluded[n]) / max(np.sum(near & ~gt_occluded), 1)
            distance = _distance(pred_tracks * factor[n], gt_tracks, intrinsics, fixed)
            flags = (gt_occluded, pred_occluded)
            rows.append(tapvid_scores(near * weight, *flags, distance, THRESHOLDS, (-2, -1)))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}
    factor = _factor(gt_occluded, gt_tracks, pred_occluded, pred_tracks, scaling, query_points)
    distance = _distance(pred_tracks * factor, gt_tracks, intrinsics, fixed)
    axes = (-1,) if trackwise else (-2, -1)
    return tapvid_scores(judged, gt_occluded, pred_occluded, distance, THRESHOLDS, axes)


def scaled_intrinsics(
    intrinsics: np.ndarray, size: tuple[int, int], short_side: int = 256
) -> np.ndarray:
    """(fx, fy, cx, cy) of the image of `size` (height, width) resized to that short side."""
    return np.asarray(intrinsics) * (short_side / min(size))


def _distance(
    pred_tracks: np.ndarray, gt_tracks: np.ndarray, intrinsics: np.ndarray, fixed: bool
) -> np.ndarray:
    """[N, T] squared, in units that thresholds of 1 to 16 stand for."""
    squared = squared_distance(pred_tracks, gt_tracks)
    if fixed:
        return np.sqrt(squared) / FIXED
    with np.errstate(divide="ignore", invalid="ignore"):
        return squared * intrinsics[0] * intrinsics[1] / np.square(gt_tracks[..., 2])


def _factor(
    gt_occluded: np.ndarray,
    gt_tracks: np.ndarray,
    pred_occluded: np.ndarray,
    pred_tracks: np.ndarray,
    scaling: Scaling,
    query_points: np.ndarray | None,
) -> np.ndarray:
    """What to multiply predictions by: [], [N, 1, 1] or [N, T, 1]."""
    if scaling == "none":
        return np.ones(())
    if scaling == "reproduce_2d":
        return gt_tracks[..., 2:] / pred_tracks[..., 2:]
    if scaling in ("per_trajectory", "local_neighborhood"):  # the latter where no track is
        return _depth_ratio(gt_tracks, pred_tracks, query_points)
    seen = ~gt_occluded & ~pred_occluded
    if scaling == "median_on_queries":
        seen = seen & (np.arange(seen.shape[1]) == _frames(query_points, seen))
    if not seen.any():
        return np.full((), np.nan)
    middle = np.nanmean if scaling == "mean" else np.nanmedian
    truth, said = (
        middle(np.maximum(np.linalg.norm(tracks[seen], axis=-1), np.sqrt(_TINY)))
        for tracks in (gt_tracks, pred_tracks)
    )
    return np.asarray(truth / said)


def _depth_ratio(
    gt_tracks: np.ndarray, pred_tracks: np.ndarray, query_points: np.ndarray | None
) -> np.ndarray:
    """[N, 1, 1] true over predicted depth of each track on the frame of its query."""
    frames = _frames(query_points, gt_tracks)
    truth, said = (
        np.maximum(np.take_along_axis(tracks[..., 2], frames, axis=1), _TINY)[..., None]
        for tracks in (gt_tracks, pred_tracks)
    )
    return truth / said


def _frames(query_points: np.ndarray | None, tracks: np.ndarray) -> np.ndarray:
    """[N, 1] int, of tracks [N, T, ...]."""
    count, last = len(tracks), tracks.shape[1] - 1
    if query_points is None:
        raise ValueError(f"query_points: expected [{count} 3], got none; this scaling needs them")
    frames = np.round(query_points[:, :1])
    if not ((frames >= 0) & (frames <= last)).all():  # nor NaN
        raise ValueError(f"query_points: expected t in 0..{last}, its frames, got others")
    return frames.astype(int)


def _check(
    gt_occluded: np.ndarray,
    gt_tracks: np.ndarray,
    pred_occluded: np.ndarray,
    pred_tracks: np.ndarray,
    intrinsics: np.ndarray,
    query_points: np.ndarray | None,
) -> None:
    check_shapes(
        gt_occluded=(gt_occluded, "N T"),
        gt_tracks=(gt_tracks, "N T 3"),
        pred_occluded=(pred_occluded, "N T"),
        pred_tracks=(pred_tracks, "N T 3"),
        intrinsics=(np.asarray(intrinsics), "4"),
        query_points=(query_points, "N 3"),
    )
    for name, flags in (("gt_occluded", gt_occluded), ("pred_occluded", pred_occluded)):
        if flags.dtype != np.bool_:
            raise ValueError(f"{name}: expected bool, got {flags.dtype}; threshold logits at 0")
