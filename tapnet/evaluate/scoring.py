"""The second pass: judge what a tracker said of every video. The tracker is not needed.

How a video is judged depends on the kind of its dataset: `SCORERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tapnet import metrics
from tapnet.data import Clip, Dataset
from tapnet.evaluate import folder, keypoints
from tapnet.evaluate.curves import Judged, curves, longest_gaps
from tapnet.evaluate.folder import Predicted
from tapnet.evaluate.predicting import Progress, asked_of
from tapnet.evaluate.protocol import OFFICIAL, Protocol
from tapnet.evaluate.results import Pooled, Result, Row
from tapnet.geometry import rescale
from tapnet.metrics import QueryMode
from tapnet.queries import Queries
from tapnet.structs import labelled_entries

Scorer = Callable[[Clip, Predicted, QueryMode], Row]


def score_folder(
    dataset: Dataset, out: Path, protocol: Protocol, progress: Progress | None = None
) -> Result:
    """The scores of the predictions in `out`, and its result.json, points.csv and curves.npz."""
    scorer, query_mode = SCORERS.get(protocol.kind, score_clip), protocol.asked()
    rows = []
    for clip in dataset:
        predicted = folder.load(out, clip.name)
        if predicted is None:
            raise FileNotFoundError(
                f"{out}: no prediction for {clip.name!r}; run the evaluation again to complete it"
            )
        rows.append(scorer(clip, predicted, query_mode))
        if progress is not None:
            progress("scoring", len(rows), clip.name)
    if not rows:
        raise ValueError(f"{dataset.path}: expected one clip or more, got none")
    result = Result(protocol, tuple(rows), folder.load_independence(out))
    result.save(out)
    return result


def score_clip(clip: Clip, predicted: Predicted, query_mode: QueryMode) -> Row:
    """The scores of one video, TAP-Vid's by their reference names; positions at 256x256.

    Without occlusion labels only positions are judged. `pck_t` where the clip has `object_area`,
    `AJ_RD` (over all reappearances of all videos) where points come back and are asked for once.
    """
    asked, size = asked_of(clip, predicted, query_mode)
    truth = rescale(asked.target_points, size, OFFICIAL)
    said = rescale(predicted.tracks.astype(np.float64), size, OFFICIAL)
    arguments = (asked.query_points, asked.occluded, truth, ~predicted.visible, said, query_mode)
    found = metrics.tapvid(*arguments, annotated=asked.annotated)
    by_point = metrics.tapvid(*arguments, annotated=asked.annotated, trackwise=True)
    scores = {name: float(value) for name, value in found.items()}
    pooled = {}
    if not clip.has_occlusion_labels:
        unknown = [name for name in scores if "pts_within" not in name]
        scores |= dict.fromkeys(unknown, float("nan"))
        by_point |= dict.fromkeys(unknown, np.full(len(truth), np.nan))
    elif query_mode == "first":
        pooled = _redetection(asked, truth, predicted.visible, said)
        scores |= {name: sums.value for name, sums in pooled.items()}
    if clip.object_area is not None:
        scores["pck_t"] = metrics.within_object(
            asked.query_points,
            asked.occluded,
            asked.target_points,
            predicted.tracks,
            clip.object_area,
            query_mode,
            annotated=asked.annotated,
        )
    seen = _judged(clip, asked, truth, said, predicted, query_mode)
    return Row(
        clip.name,
        len(asked.query_points),
        len(clip),
        scores,
        pooled,
        predicted.cost,
        _by_point(asked, seen, {name: np.asarray(value) for name, value in by_point.items()}),
        curves(seen, np.asarray(by_point["average_jaccard"])),
    )


def _judged(
    clip: Clip,
    asked: Queries,
    truth: np.ndarray,
    said: np.ndarray,
    predicted: Predicted,
    query_mode: QueryMode,
) -> Judged:
    frames = truth.shape[1]
    labelled = labelled_entries(asked.occluded, asked.annotated)
    return Judged(
        judged=metrics.judged_frames(asked.query_points, frames, query_mode) & labelled,
        occluded=asked.occluded,
        claimed=predicted.visible,
        squared=metrics.squared_distance(said, truth),
        confidence=predicted.confidence,
        query_frames=np.rint(asked.query_points[:, 0]).astype(int),
        labelled=labelled,
        has_occlusion_labels=clip.has_occlusion_labels,
    )


def _by_point(asked: Queries, seen: Judged, scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What points.csv tells of each query, [N]; t, y, x in pixels of the video as it is stored."""
    t, y, x = asked.query_points.T
    told = {"track": asked.trackgroup, "t": t, "y": y, "x": x, "judged": seen.judged.sum(axis=1)}
    told |= {"longest_gap": longest_gaps(seen), **scores}
    return {name: values.astype(np.float32) for name, values in told.items()}


def _redetection(
    asked: Queries, truth: np.ndarray, visible: np.ndarray, said: np.ndarray
) -> dict[str, Pooled]:
    """AJ_RD and AJ_RD_dmin of `metrics.redetection`, as sums that add up over videos."""
    durations, jaccard = metrics.redetection_events(
        ~asked.occluded, truth, visible, said, annotated=asked.annotated
    )
    parts: dict[int, tuple[float, ...]] = {}
    wholes: dict[int, tuple[float, ...]] = {}
    for least in metrics.GAPS:
        chosen = jaccard[:, durations >= least]
        parts[least] = tuple(np.nansum(chosen, axis=1).tolist())
        wholes[least] = tuple((~np.isnan(chosen)).sum(axis=1).astype(float).tolist())
    pooled = {f"AJ_RD_dmin{m}": Pooled(parts[m], wholes[m]) for m in metrics.GAPS}
    part, whole = (tuple(x for row in table.values() for x in row) for table in (parts, wholes))
    return {"AJ_RD": Pooled(part, whole), **pooled}


SCORERS: dict[str, Scorer] = {"tapvid": score_clip, "jhmdb": keypoints.score_clip}
