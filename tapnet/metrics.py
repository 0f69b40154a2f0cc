"""How good tracks are: TAP-Vid, JHMDB joints, re-detection, calibration, and their mean.

TAP-Vid (Doersch et al. 2022) and re-detection positions are pixels of a 256x256 image: rescale
first (`geometry.rescale`). Arrays are numpy, [N, T, ...] for one video or [B, N, T, ...] for
several; results are numbers for one video, [B] for several. Shares are 0..1.

A score with nothing to judge is NaN, never 0 or 1; `mean` leaves it out, counts it and names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tapnet.structs import check_shapes, labelled_entries

QueryMode = Literal["first", "strided"]
Score = float | np.ndarray

THRESHOLDS = (1, 2, 4, 8, 16)  # pixels at 256x256
GAPS = (1, 4, 16, 64, 256)  # frames
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)  # of PCK: shares of a person's size


def tapvid(
    query_points: np.ndarray,
    gt_occluded: np.ndarray,
    gt_tracks: np.ndarray,
    pred_occluded: np.ndarray,
    pred_tracks: np.ndarray,
    query_mode: QueryMode,
    *,
    trackwise: bool = False,
    annotated: np.ndarray | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, Score]:
    """TAP-Vid scores of a video, under the names of the reference implementation.

    query_points [.. N 3] (t, y, x), *_occluded [.. N T] bool, *_tracks [.. N T 2] (x, y) in pixels
    of a 256x256 image. `annotated` [.. N T] bool: the entries with a label; no other is judged.
    `trackwise` gives one score per query, [.. N], instead of one per video.

    `average_pts_within_thresh` (delta_avg) and `pts_within_D`: share of visible points nearer than
    D pixels, whatever their predicted flag. `average_jaccard` (AJ) and `jaccard_D`: true positives
    / (visible + false positives). `occlusion_accuracy` (OA): share of right flags.
    """
    check_tracks(gt_occluded, gt_tracks, pred_occluded, pred_tracks, annotated, query_points)
    axes = (-1,) if trackwise else (-2, -1)
    judged = judged_frames(query_points, gt_occluded.shape[-1], query_mode)
    judged = judged & labelled_entries(gt_occluded, annotated)
    distance = squared_distance(pred_tracks, gt_tracks)
    return tapvid_scores(judged, gt_occluded, pred_occluded, distance, thresholds, axes)


def judged_frames(query_points: np.ndarray, num_frames: int, query_mode: QueryMode) -> np.ndarray:
    """[.. N T] bool: the frames that count. `first`: after the query's; `strided`: all but it."""
    query_frame = np.round(query_points[..., :1])  # .5 goes to the even frame, as the reference
    frames = np.arange(num_frames)
    if query_mode == "first":
        return frames > query_frame
    if query_mode == "strided":
        return frames != query_frame
    raise ValueError(f"query_mode: expected 'first' or 'strided', got {query_mode!r}")


def squared_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[..] from [.. 2]; NaN, for unlabelled positions, is near nothing."""
    return np.sum(np.square(_difference(a, b)), axis=-1)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b in floating point: whole numbers of few bits would wrap around."""
    return np.subtract(a, b, dtype=np.result_type(a, b, np.float32))


def tapvid_scores(
    judged: np.ndarray,
    gt_occluded: np.ndarray,
    pred_occluded: np.ndarray,
    distance: np.ndarray,
    thresholds: Sequence[float],
    axes: tuple[int, ...],
) -> dict[str, Score]:
    """The scores of `tapvid` over `axes`, of arrays of one shape.

    judged: bool, or the weight of each entry. distance: squared, in the unit of the thresholds.
    """

    def count(which: np.ndarray) -> np.ndarray:
        return np.sum(which * judged, axis=axes)

    visible, claimed = ~gt_occluded, ~pred_occluded
    right_flags = count(gt_occluded == pred_occluded)
    scores = {"occlusion_accuracy": _share(right_flags, np.sum(judged, axis=axes))}
    for threshold in thresholds:
        within = distance < np.square(threshold)
        right = count(visible & within & claimed)
        wrong = count(claimed & ~(visible & within))
        scores[f"pts_within_{threshold}"] = _share(count(visible & within), count(visible))
        scores[f"jaccard_{threshold}"] = _share(right, count(visible) + wrong)
    for name, part in (("average_jaccard", "jaccard"), ("average_pts_within_thresh", "pts_within")):
        scores[name] = np.mean([scores[f"{part}_{t}"] for t in thresholds], axis=0)
    return {name: _plain(score) for name, score in scores.items()}


def check_tracks(
    gt_flags: np.ndarray,
    gt_tracks: np.ndarray,
    pred_flags: np.ndarray,
    pred_tracks: np.ndarray,
    annotated: np.ndarray | None = None,
    query_points: np.ndarray | None = None,
) -> None:
    """Raises ValueError unless the shapes agree and the flags are bool (a logit is not a flag)."""
    axes = "B N T" if gt_flags.ndim == 3 else "N T"
    check_shapes(
        gt_flags=(gt_flags, axes),
        gt_tracks=(gt_tracks, f"{axes} 2"),
        pred_flags=(pred_flags, axes),
        pred_tracks=(pred_tracks, f"{axes} 2"),
        annotated=(annotated, axes),
        query_points=(query_points, f"{axes[:-1]}3"),
    )
    flags = {"gt": gt_flags, "pred": pred_flags, "annotated": annotated}
    for name, flag in flags.items():
        if flag is not None and flag.dtype != np.bool_:
            raise ValueError(
                f"{name} flags: expected bool, got {flag.dtype}; threshold a logit at 0 first"
            )


def within_object(
    query_points: np.ndarray,
    gt_occluded: np.ndarray,
    gt_tracks: np.ndarray,
    pred_tracks: np.ndarray,
    object_area: np.ndarray,
    query_mode: QueryMode,
    *,
    annotated: np.ndarray | None = None,
    alpha: float = 0.2,
) -> float:
    """BADJA's PCK-T of one video: share of visible judged points with an error below
    `alpha` times the square root of `object_area` [T] (pixels of the frame the points are in).
    """
    check_shapes(
        gt_occluded=(gt_occluded, "N T"),
        gt_tracks=(gt_tracks, "N T 2"),
        pred_tracks=(pred_tracks, "N T 2"),
        object_area=(object_area, "T"),
        annotated=(annotated, "N T"),
        query_points=(query_points, "N 3"),
    )
    judged = judged_frames(query_points, gt_occluded.shape[-1], query_mode) & ~gt_occluded
    judged = judged & labelled_entries(gt_occluded, annotated)
    near = squared_distance(pred_tracks, gt_tracks) < alpha**2 * object_area
    return float(_share(np.sum(near & judged), np.sum(judged)))


# --------------------------------------------------------------------------- JHMDB


def pck(
    videos: Iterable[tuple[np.ndarray, np.ndarray, tuple[int, int]]],
    *,
    alphas: Sequence[float] = ALPHAS,
) -> dict[str, float]:
    """Percentage of correct keypoints (JHMDB), `PCK@alpha` in 0..100.

    Each video is (predicted [J, T, 2], true [J, T, 2], (height, width)), (x, y) pixels of the
    original frames; J joints, the same in every video. A joint counts in a video if it is inside
    the image on frame 0, then on all frames. An error is right up to alpha * 0.6 * the diagonal
    of the box around the joints that count, frame by frame. Percentages are over all frames and
    videos per joint, then averaged over joints; a joint that never counts gives 0.
    """
    errors: list[np.ndarray] = []
    counted: list[np.ndarray] = []
    for index, (predicted, true, size) in enumerate(videos):
        check_shapes(predicted=(predicted, "J T 2"), true=(true, "J T 2"))
        if errors and len(true) != len(errors[0]):
            raise ValueError(
                f"video {index}: expected {len(errors[0])} joints like the first, got {len(true)}"
            )
        error, inside = _joint_errors(predicted, true, size)
        errors.append(error)
        counted.append(inside)
    if not errors:
        return {f"PCK@{alpha}": float("nan") for alpha in alphas}
    error, inside = np.concatenate(errors, axis=1), np.concatenate(counted, axis=1)
    total = np.maximum(inside.sum(axis=1), 1)
    right = {alpha: (inside & (error <= alpha)).sum(axis=1) for alpha in alphas}
    return {f"PCK@{alpha}": float(np.mean(100 * right[alpha] / total)) for alpha in alphas}


def _joint_errors(
    predicted: np.ndarray, true: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """[J, T] errors in units of 0.6 box diagonals, and [J, T] whether they count."""
    error = joint_errors(predicted, true, person_scale(true, size))
    return error, np.broadcast_to(starts_inside(true, size)[:, None], error.shape)


def joint_errors(predicted: np.ndarray, true: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """[J, T] distances of predicted [J, T, 2] from true joints, in units of `scale` [T] pixels.

    0 where they are equal, whatever the scale.
    """
    distance = np.linalg.norm(_difference(predicted, true), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / scale)


def starts_inside(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[J] bool: the joints [J, T, 2] that are in the image of `size` (height, width) on frame 0."""
    height, width = (int(side) for side in size)
    start = joints[:, 0]
    return np.all((start >= 0) & (start < [width, height]), axis=-1)


def person_scale(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[T] the unit of PCK's errors: 0.6 times the diagonal of the box around the joints that count.

    Arguments as `starts_inside`; 0 where none counts.
    """
    counted = joints[starts_inside(joints, size)]
    if not len(counted):
        return np.zeros(joints.shape[1])
    return 0.6 * np.linalg.norm(np.ptp(counted, axis=0), axis=-1)


# --------------------------------------------------------------------------- re-detection


@dataclass(frozen=True)
class Reappearances:
    """The frames where points come back: E of them, in the order of their indices."""

    index: tuple[np.ndarray, ...]  # the axes of [.. N T], each [E] int
    durations: np.ndarray  # [E] int, frames the point was gone


def reappearances(gt_visible: np.ndarray, annotated: np.ndarray | None = None) -> Reappearances:
    """Visible frames right after a gap that is longer than all earlier gaps of the same track.

    gt_visible [.. N T] bool. A gap at the start of the video counts. Where `annotated` is given,
    frames without a label are passed over, and a gap lasts from its first label as occluded: the
    time that the point is known to have been gone.
    """
    known = labelled_entries(gt_visible, annotated)
    flat_visible = gt_visible.reshape(-1, gt_visible.shape[-1])
    flat_known = known.reshape(flat_visible.shape)
    gaps = np.zeros(flat_visible.shape, np.int64)
    gone_since = np.full(len(flat_visible), -1)
    longest = np.zeros(len(flat_visible), np.int64)
    for t in range(flat_visible.shape[-1]):
        back = flat_known[:, t] & flat_visible[:, t] & (gone_since >= 0)
        gap = np.where(back, t - gone_since, 0)
        gaps[:, t] = np.where(gap > longest, gap, 0)
        longest = np.maximum(longest, gap)
        hidden = flat_known[:, t] & ~flat_visible[:, t]
        gone_since[hidden & (gone_since < 0)] = t
        gone_since[flat_known[:, t] & flat_visible[:, t]] = -1
    durations = gaps.reshape(gt_visible.shape)
    index = np.nonzero(durations)
    return Reappearances(index, durations[index])


def redetection(
    gt_visible: np.ndarray,
    gt_tracks: np.ndarray,
    pred_visible: np.ndarray,
    pred_tracks: np.ndarray,
    *,
    annotated: np.ndarray | None = None,
    dist_thresholds: Sequence[float] = THRESHOLDS,
    d_min_thresholds: Sequence[int] = GAPS,
) -> dict[str, float]:
    """Re-detection Jaccard (AJ_RD): how well points are found again after an occlusion.

    *_visible [.. N T] bool, *_tracks [.. N T 2] (x, y) in pixels of a 256x256 image. Each
    reappearance is scored by the Jaccard index over the frames from it to the end, positions right
    up to and including the threshold. `AJ_RD_D{d}_dmin{m}`: mean over the reappearances after at
    least m frames; `AJ_RD_dmin{m}`: mean over d; `AJ_RD`: mean over m. NaN where none are.
    """
    durations, jaccard = redetection_events(
        gt_visible,
        gt_tracks,
        pred_visible,
        pred_tracks,
        annotated=annotated,
        dist_thresholds=dist_thresholds,
    )
    scores: dict[str, float] = {}
    for m in d_min_thresholds:
        means = [_nanmean(row[durations >= m]) for row in jaccard]
        parts = zip((f"AJ_RD_D{d}_dmin{m}" for d in dist_thresholds), means, strict=True)
        scores |= {**dict(parts), f"AJ_RD_dmin{m}": _nanmean(means)}
    scores["AJ_RD"] = _nanmean([scores[f"AJ_RD_dmin{m}"] for m in d_min_thresholds])
    return scores


def redetection_events(
    gt_visible: np.ndarray,
    gt_tracks: np.ndarray,
    pred_visible: np.ndarray,
    pred_tracks: np.ndarray,
    *,
    annotated: np.ndarray | None = None,
    dist_thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[np.ndarray, np.ndarray]:
    """What `redetection` averages: the [E] frames that each reappearing point was gone, and [D, E],
    for each threshold, the Jaccard index from its reappearance to the end.
    """
    check_tracks(gt_visible, gt_tracks, pred_visible, pred_tracks, annotated)
    events = reappearances(gt_visible, annotated)
    distance = np.sqrt(squared_distance(pred_tracks, gt_tracks))
    known = labelled_entries(gt_visible, annotated)
    jaccard = [
        _jaccard_to_the_end(gt_visible & known, pred_visible & known, distance <= d, events.index)
        for d in dist_thresholds
    ]
    return events.durations, np.stack(jaccard)


def _jaccard_to_the_end(
    visible: np.ndarray, claimed: np.ndarray, within: np.ndarray, index: tuple[np.ndarray, ...]
) -> np.ndarray:
    """[E] Jaccard index over the frames from each `index` to the last."""

    def count(which: np.ndarray) -> np.ndarray:
        return np.cumsum(which[..., ::-1], axis=-1)[..., ::-1][index]

    right = visible & within & claimed
    return _share(count(right), count(visible) + count(claimed & ~right))


# --------------------------------------------------------------------------- calibration, means


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, 0..1: how far confidence is from the share that is right.

    confidence in 0..1 and right bool, of equal shape. NaN without entries.
    """
    counts, sums, hits = reliability(confidence, right, bins)
    return float(np.abs(sums - hits).sum() / counts.sum()) if confidence.size else float("nan")


def reliability(
    confidence: np.ndarray, right: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a reliability diagram shows: for equal bins of confidence, [bins] each, how many entries
    there are, the sum of their confidence and how many are right. Arguments as `calibration`.
    """
    check_shapes(confidence=(confidence.ravel(), "E"), right=(right.ravel(), "E"))
    place = np.clip((confidence.ravel() * bins).astype(int), 0, bins - 1)
    weights = (np.ones(place.shape), confidence.ravel(), right.ravel())
    counts, sums, hits = (np.bincount(place, weight, minlength=bins) for weight in weights)
    return counts, sums, hits


@dataclass(frozen=True)
class Mean:
    """A mean over videos, and the videos that had nothing to judge."""

    value: float  # NaN if no video had a score
    count: int
    left_out: tuple[str, ...]  # names of the videos without a score


def mean(rows: Mapping[str, Mapping[str, float]]) -> dict[str, Mean]:
    """Plain mean over videos of each score; rows are {video name: {score name: value}}.

    A video whose score is NaN or absent is left out of that mean, counted and named.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    means = {}
    for name in names:
        values = {video: row.get(name, float("nan")) for video, row in rows.items()}
        missing = tuple(video for video, value in values.items() if np.isnan(value))
        means[name] = Mean(_nanmean(list(values.values())), len(values) - len(missing), missing)
    return means


def _nanmean(values: np.ndarray | Sequence[float]) -> float:
    found = np.asarray(values, float)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part / np.asarray(whole, float))


def _plain(score: np.ndarray) -> Score:
    return float(score) if np.ndim(score) == 0 else score
