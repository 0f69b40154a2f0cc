"""What a report draws, as sums of one video that add up over videos.

Positions are in pixels of a 256x256 image. The keys of the dict that `curves` gives:

    within, jaccard   [D] share of points within DISTANCES, as TAP-Vid's scores of these names
    gap_sum, gap_count  [L] AJ of points and their number, by the longest gap of the point (GAPS)
    errors            [S, E] visible positions by frames since the query (SINCE) and error (ERRORS)
    confidence_count, confidence_sum, confidence_right  [10] see `metrics.reliability`

Values without a label of occlusion are NaN or 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tapnet import metrics

DISTANCES = 2.0 ** np.arange(-1, 5.25, 0.25)  # 0.5 to 32 pixels
GAPS = (0, 1, 4, 16, 64)  # frames: the first of each class
SINCE = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # frames from the query: the first of each class
ERRORS = 2.0 ** np.arange(-4, 8.0625, 0.125)  # edges of classes; two more are below and above
RIGHT_WITHIN = 6.0  # pixels: what confidence promises, see `Prediction.confidence`


@dataclass(frozen=True)
class Judged:
    """Predictions beside the truth, at 256x256: queries N, frames T."""

    judged: np.ndarray  # [N, T] bool: entries that count
    occluded: np.ndarray  # [N, T] bool: truth
    claimed: np.ndarray  # [N, T] bool: predicted visible
    squared: np.ndarray  # [N, T] squared distance; NaN where the truth is not known
    confidence: np.ndarray  # [N, T]
    query_frames: np.ndarray  # [N] int
    labelled: np.ndarray  # [N, T] bool: entries with a label
    has_occlusion_labels: bool


def curves(seen: Judged, average_jaccard: np.ndarray) -> dict[str, np.ndarray]:
    """The curves of one video; `average_jaccard` [N] is of each query."""
    within, jaccard = _thresholds(seen)
    sums = _by_gap(seen, average_jaccard)
    counts = _reliability(seen)
    if not seen.has_occlusion_labels:
        jaccard, sums = np.full_like(jaccard, np.nan), np.zeros_like(sums)
        counts = np.zeros_like(counts)
    return {
        "within": within,
        "jaccard": jaccard,
        "gap_sum": sums[0],
        "gap_count": sums[1],
        "errors": _errors(seen),
        "confidence_count": counts[0],
        "confidence_sum": counts[1],
        "confidence_right": counts[2],
    }


def longest_gaps(seen: Judged) -> np.ndarray:
    """[N] frames of the longest time that each point is gone and comes back, 0 = never.

    Where queries are asked at the first visible frame only later gaps count, as earlier ones end
    before the query.
    """
    visible = ~seen.occluded & seen.labelled
    begun = np.cumsum(visible, axis=1) > 0  # what is before the first sight is no gap
    events = metrics.reappearances(visible, seen.labelled & begun)
    longest = np.zeros(len(visible), int)
    np.maximum.at(longest, events.index[0], events.durations)
    return longest


def _thresholds(seen: Judged) -> tuple[np.ndarray, np.ndarray]:
    """[D] pts_within and [D] Jaccard at `DISTANCES`: strictly nearer, as `metrics.tapvid`."""
    near = np.searchsorted(np.square(DISTANCES), seen.squared, side="right")  # NaN: beyond all
    visible = seen.judged & ~seen.occluded

    def within(which: np.ndarray) -> np.ndarray:
        return np.cumsum(np.bincount(near[which], minlength=len(DISTANCES) + 1))[:-1]

    right = within(visible & seen.claimed)
    claims = int((seen.judged & seen.claimed).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        share = within(visible) / np.float64(visible.sum())
        return share, right / (visible.sum() + claims - right)


def _by_gap(seen: Judged, average_jaccard: np.ndarray) -> np.ndarray:
    """[2, L]: sum and count of the scores of the points in each class of `GAPS`."""
    known = ~np.isnan(average_jaccard)
    place = np.searchsorted(GAPS, longest_gaps(seen)[known], side="right") - 1
    scores = average_jaccard[known]
    return np.stack([np.bincount(place, w, len(GAPS)) for w in (scores, np.ones(len(scores)))])


def _errors(seen: Judged) -> np.ndarray:
    """[S, E] how many visible positions have which error at which time from the query."""
    frames = np.arange(seen.judged.shape[1])
    since = np.abs(frames - seen.query_frames[:, None])
    which = seen.judged & ~seen.occluded & ~np.isnan(seen.squared)
    row = np.searchsorted(SINCE, since[which], side="right") - 1
    column = np.searchsorted(ERRORS, np.sqrt(seen.squared[which]), side="right")
    shape = len(SINCE), len(ERRORS) + 1
    flat = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1])
    return flat.reshape(shape)


def _reliability(seen: Judged) -> np.ndarray:
    """[3, 10]: how many positions, their confidence, and how many are visible and right."""
    right = ~seen.occluded & (seen.squared < RIGHT_WITHIN**2)
    return np.stack(metrics.reliability(seen.confidence[seen.judged], right[seen.judged]))


def median_errors(errors: np.ndarray, quantile: float = 0.5) -> np.ndarray:
    """[S] the error below which that share of the positions in `errors` [S, E] lies, in pixels.

    Within a class the logarithm is taken to be even; NaN where there are no positions.
    """
    below = np.cumsum(errors, axis=1)
    total = below[:, -1:]
    edges = np.log2(np.concatenate([[ERRORS[0] / 2], ERRORS, [ERRORS[-1] * 2]]))
    out = np.full(len(errors), np.nan)
    for row in np.flatnonzero(total[:, 0]):
        target = quantile * total[row, 0]
        column = int(np.searchsorted(below[row], target))
        before = below[row, column - 1] if column else 0
        share = (target - before) / max(errors[row, column], 1)
        out[row] = 2.0 ** (edges[column] + share * (edges[column + 1] - edges[column]))
    return out
